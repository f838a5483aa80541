"""Run a notebook's code cells and say what answers they leave: ``initkit grade``'s half that nobody trusts.

A job comes as JSON on standard input. Lines of JSON go to what standard output was: which cell begins, and
each exercise's answer as numbers. The cells may forge these lines; all they gain by it is another answer.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import sys
from typing import Any

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ..course import answers
from ..network import MLP

MOST = 2**25  # bytes of an answer's numbers


class Nowhere(io.TextIOBase):
    """Where cells print to. IPython would set another ``write``, which keeps all that is printed."""

    write = property(lambda self: len, lambda self, other: None)


class OutOfTime(BaseException):
    """Not an Exception, which a cell may catch without a thought."""


def main() -> None:
    job = json.load(sys.stdin)
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    sys.stdout = sys.stderr = Nowhere()
    with contextlib.suppress(ImportError):  # Windows has no limits of this kind
        import resource

        for what, most in (("RLIMIT_AS", job["memory"]), ("RLIMIT_FSIZE", job["file"]), ("RLIMIT_CORE", 0)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, what), (most, most))
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, out_of_time)

    def say(**line: Any) -> None:
        print(json.dumps(line), file=said, flush=True)

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    why = None  # what went wrong since the last exercise
    for k, cell in enumerate(job["cells"]):
        say(begins=k)
        if exercise := cell["exercise"]:
            error, answer = run(lambda: exported(shell.user_ns.pop("answer", ...)), job["seconds"])
            say(exercise=exercise, answer=answer, why=error or why)
            why = None
        elif cell["why"]:  # it ended the process before
            why = cell["why"]
        else:
            error, result = run(lambda cell=cell: shell.run_cell(cell["source"]), job["seconds"])
            raised = result and (result.error_before_exec or result.error_in_exec)
            why = error or (named(raised) if raised else why)


def out_of_time(number: int, frame: Any) -> None:
    raise OutOfTime


def run(what: Any, seconds: float) -> tuple[str | None, Any]:
    """What went wrong, and the result; at most this long, where the system has alarms."""
    alarm = getattr(signal, "setitimer", lambda *_: None)
    timer = getattr(signal, "ITIMER_REAL", None)
    try:
        alarm(timer, seconds)
        try:
            return None, what()
        finally:
            alarm(timer, 0)
    except BaseException as error:
        return named(error), None


def named(error: BaseException) -> str:
    if isinstance(error, OutOfTime):
        return "time"
    message = error.msg if isinstance(error, SyntaxError) else str(error)  # without the file's name
    return f"{type(error).__name__}: {message}"[:300]


def exported(answer: Any) -> dict[str, Any]:
    """The answer as JSON: numbers, a net's numbers, that there is none, or what type it is of."""
    if answer is ... or answer is None:
        return {}
    if isinstance(answer, MLP):
        arrays = [packed(a) for a in (*answer.weights, *answer.biases)]
        about = {"activation": answer.activation.name, "residual": answer.residual, "norm": answer.norm}
        return {"net": arrays, **about}
    found = answers.numbers(answer)
    if found is None or found.nbytes > MOST:
        return {"type": type(answer).__name__}
    return {"numbers": packed(found)}


def packed(array: Any) -> str:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
