"""``initkit grade NOTEBOOK…``: what each of a class has made of a lesson's exercises.

A student's notebook is a stranger's program. Its cells run in a process of their own, in bubblewrap's sandbox
where that is installed, within limits of time and memory. What comes back is each exercise's answer, as
numbers, and it is judged here, by the lesson's own checks: a notebook's outputs and its checks count for
nothing. Cells of the lesson that no answer needs are left out.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import csv
import datetime
import functools
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..notebook_files import CHECK, LARGEST, lessons, read
from ..packages import needed_by
from ..words import LANGUAGES, Language, system_language, text
from . import nbgrader

STUDENT = re.compile(r"(?m)^STUDENT *= *([^\n]+)")
BUBBLE = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
]  # fmt: skip
ENDS = 3  # how often a notebook may end its process, or run out of time, before the rest is left


@dataclass
class Cell:
    source: str
    exercise: str | None = None  # whose answer is taken here
    why: str | None = None  # it must not run again, as it ended the process so


@dataclass
class Row:
    """A student's: ``verdicts`` by exercise, and what else there is to say of the notebook.

    ``student``: whose numbers count, as the notebook says. ``numbers``: the answers that are one number.
    """

    file: str
    lesson: str = ""
    verdicts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    student: str = ""
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def right(self) -> int:
        return sum(verdict.ok is True for verdict in self.verdicts.values())


@dataclass(frozen=True)
class Lesson:
    name: str
    ids: frozenset[str]
    checks: dict[str, str]  # cell id → exercise
    own: frozenset[str]  # the code of both editions
    solutions: frozenset[str]


def add_to(commands: argparse._SubParsersAction) -> None:
    ask = commands.add_parser(
        "grade",
        help="judge the exercises in students' notebooks: a row a notebook",
        epilog="Runs each notebook within limits. Install bubblewrap (Linux) to keep them from the network "
        "and from your files. Exit status: 0, or 2 where a file is none of the course's or cannot be read.",
    )
    ask.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="students' notebooks, or folders of them"
    )
    ask.add_argument(
        "--nbgrader",
        metavar="DIR",
        type=Path,
        help="judge none; write the lessons with exercises into DIR/source, as nbgrader takes them",
    )
    ask.add_argument("--csv", action="store_true", help="for a spreadsheet: a column an exercise")
    ask.add_argument(
        "--due", type=datetime.datetime.fromisoformat, help='say what is later: "2026-12-01T18:00"'
    )
    ask.add_argument("--seconds", type=float, default=20, help="for a cell, at most (default: 20)")
    ask.add_argument("--memory", type=float, default=4, help="GB for a notebook, at most (default: 4)")
    ask.add_argument(
        "--lang", choices=LANGUAGES, default=system_language(), help="of what is said (default: the system's)"
    )


def run(asked: argparse.Namespace) -> int:
    if asked.nbgrader:
        try:
            print(*nbgrader.export(asked.nbgrader, asked.lang), sep="\n")
        except OSError as error:
            print(f"initkit grade: {error}", file=sys.stderr)
            return 2
        return 0
    if not asked.notebooks:
        print(text("grade.none", asked.lang), file=sys.stderr)
        return 2
    if not walled():
        print(text("grade.open", asked.lang), file=sys.stderr)
    files = list(found(asked.notebooks))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(functools.partial(grade, asked=asked), files))
    compare(rows, asked.lang)
    print(table(rows) if asked.csv else listing(rows), end="")
    return 0 if all(row.lesson for row in rows) else 2


def found(names: Iterable[str]) -> Iterable[Path]:
    for name in names:
        path = Path(name)
        inside = (p for p in sorted(path.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts)
        yield from inside if path.is_dir() else [path]


def listing(rows: list[Row]) -> str:
    """For a terminal: a line a notebook, and one below it for each exercise that is not right."""
    lines = []
    for row in rows:
        begin = [row.file, row.lesson, *filter(None, [row.student]), f"{row.right}/{len(row.verdicts)}"]
        lines.append("  ".join([*begin, *row.notes]))
        lines += [f"    {name} {said}" for name, said in row.verdicts.items() if said.ok is not True]
    return "".join(f"{printable(line)}\n" for line in lines)


def table(rows: list[Row]) -> str:
    """As CSV: a row a notebook, for each exercise a column with ✓, ✗ or … and what there is to say."""
    names = sorted({name for row in rows for name in row.verdicts})
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["file", "lesson", "student", "right", "of", *names, "notes"])
    for row in rows:
        said = [str(row.verdicts.get(name, "")) for name in names]
        begin = [row.file, row.lesson, row.student, row.right, len(row.verdicts)]
        cells = [*begin, *said, "; ".join(row.notes)]
        # What a spreadsheet would take for a formula becomes text.
        formula = ("=", "+", "-", "@")
        out.writerow([f"'{cell}" if cell.startswith(formula) else cell for cell in map(printable, cells)])
    return file.getvalue()


def printable(words: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(words))


def grade(path: Path, asked: argparse.Namespace) -> Row:
    """The row of one notebook, whatever it is."""
    row = Row(str(path))
    try:
        late = asked.due and path.stat().st_mtime > asked.due.timestamp()
        cells = read(path)
    except (OSError, ValueError, RecursionError) as error:
        row.notes.append(text("grade.unread", asked.lang, why=f"{type(error).__name__}: {error}"[:200]))
        return row
    if late:
        row.notes.append(text("grade.late", asked.lang))
    lesson = lesson_of(cells)
    if lesson is None:
        row.notes.append(text("grade.no_lesson", asked.lang))
        return row
    row.lesson, row.student = lesson.name, student_of(cells)
    answers = answers_of(planned(cells, lesson), asked.seconds, asked.memory)
    for exercise in sorted(lesson.checks.values()):
        lines = [line for line in answers if line["exercise"] == exercise] or [{"why": "gone"}]
        found = [judged(exercise, line, asked.lang, row.student) for line in lines]
        # A check that stands twice counts where it is right.
        row.verdicts[exercise], number = max(found, key=lambda f: (f[0].ok is True, f[0].ok is False))
        if number is not None:
            row.numbers[exercise] = number
    return row


def student_of(cells: list[dict[str, Any]]) -> str:
    """What the notebook sets ``STUDENT`` to, first; nothing is run."""
    for cell in cells:
        for match in STUDENT.finditer(cell["source"]):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                return str(ast.literal_eval(match[1].strip()))[:80]
    return ""


def compare(rows: list[Row], lang: Language) -> None:
    """Say where a wrong number, which no usual mistake gives, is the right one of others in the class.

    To within two thousandths, as who copies may round. It is a hint: two numbers may be the same by chance.
    """
    for row in rows:
        key = row.lesson, row.student
        same = [one.file for one in rows if one is not row and (one.lesson, one.student) == key]
        if row.student and same:
            row.notes.append(text("grade.same", lang, files=", ".join(same[:3])))
        for exercise, number in row.numbers.items():
            if row.verdicts[exercise].key not in ("close", "other"):
                continue
            whose = [
                other.student or other.file
                for other in rows
                if exercise in other.numbers
                and other.verdicts[exercise].ok
                and math.isclose(number, other.numbers[exercise], rel_tol=2e-3)
            ]
            if whose:
                said = text("grade.copied", lang, exercise=exercise, students=", ".join(whose[:3]))
                row.notes.append(said)


@functools.cache
def known_lessons() -> list[Lesson]:
    made = []
    for path in sorted((lessons() / "en").glob("*.ipynb")):
        editions = [read(lessons() / lang / path.name) for lang in LANGUAGES]
        made.append(
            Lesson(
                path.name.partition("_")[0],
                frozenset(cell["id"] for cell in editions[0]),
                {c["id"]: m[1] for c in editions[0] if (m := CHECK.search(c["source"]))},
                frozenset(cell["source"].strip() for edition in editions for cell in edition),
                frozenset(c["source"].strip() for e in editions for c in e if "solution" in c["tags"]),
            )
        )
    return made


def lesson_of(cells: list[dict[str, Any]]) -> Lesson | None:
    """The lesson that a notebook is a copy of: the one whose exercises it checks, or whose cells it has."""
    checked = {m[1] for cell in cells for m in CHECK.finditer(cell["source"])}
    ids = {cell["id"] for cell in cells}

    def shared(lesson: Lesson) -> int:
        return 10 * len(checked & set(lesson.checks.values())) + len(ids & lesson.checks.keys())

    best = max(known_lessons(), key=lambda lesson: (shared(lesson), len(ids & lesson.ids)))
    return best if shared(best) or (len(ids & best.ids) > len(best.ids) / 2 and best.checks) else None


def planned(cells: list[dict[str, Any]], lesson: Lesson) -> list[Cell]:
    """The student's cells, and of the lesson's own those that bind a name which a later one uses."""
    plan: list[Cell] = []
    used = {"answer"}
    for cell in reversed(cells):
        source = cell["source"].strip()
        match = CHECK.search(source)
        exercise = match[1] if match else lesson.checks.get(cell["id"])
        if exercise in lesson.checks.values():
            plan.append(Cell("", exercise))
        elif source in lesson.solutions:
            continue
        else:
            binds, loads = names(source)
            if source not in lesson.own or binds & used:
                plan.append(Cell(source))
                used |= loads
    return plan[::-1]


def names(source: str) -> tuple[set[str], set[str]]:
    """What a cell binds, and what it uses."""
    with needed_by("initkit grade", "IPython"):
        from IPython.core.inputtransformer2 import TransformerManager
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()  # it will not run either
    binds, loads = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loads if isinstance(node.ctx, ast.Load) else binds).add(node.id)
        elif isinstance(node, ast.alias):
            binds.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            binds.add(node.name)
    return binds, loads


def answers_of(plan: list[Cell], seconds: float, memory: float) -> list[dict[str, Any]]:
    """The exercises' lines: ``exercise``, ``answer``, ``why``. A cell that ended the process is left out."""
    for _ in range(ENDS):
        began, lines, ended = ran(plan, seconds, memory)
        if ended is None or not 0 <= began < len(plan) or plan[began].why:
            break
        plan[began].why = ended
        if plan[began].exercise:
            break
    done = {line["exercise"] for line in lines}
    return lines + [
        {"exercise": cell.exercise, "why": ended or "end"}
        for cell in plan
        if cell.exercise and cell.exercise not in done
    ]


def ran(plan: list[Cell], seconds: float, memory: float) -> tuple[int, list[dict[str, Any]], str | None]:
    """The last cell that began, the exercises' lines, and how it ended: None, "time" or "end"."""
    with tempfile.TemporaryDirectory(prefix="initkit-grade-", ignore_cleanup_errors=True) as folder:
        limits = {"seconds": seconds, "memory": int(memory * 1e9), "file": LARGEST}
        job = {"cells": [vars(cell) for cell in plan], **limits}
        said = Path(folder) / "said"
        ended = None
        with said.open("wb") as out:
            process = subprocess.Popen(
                [*wall(folder), sys.executable, "-m", f"{__package__}.cells"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=environment(folder),
                start_new_session=True,
            )
            try:
                process.communicate(json.dumps(job).encode(), timeout=30 + 6 * seconds)
            except subprocess.TimeoutExpired:
                ended = "time"
            finally:
                kill(process)
        if process.returncode and not ended:
            ended = "end"
        began, lines = -1, []
        with said.open(encoding="utf-8", errors="replace") as written:
            for line in written:
                try:
                    heard = json.loads(line)
                    if "begins" in heard:
                        began = int(heard["begins"])
                    elif isinstance(heard["exercise"], str):
                        lines.append(heard)
                except (ValueError, TypeError, KeyError, RecursionError):
                    continue
    if ended is None and began < len(plan) - 1:
        ended = "end"  # os._exit(0)
    return began, lines, ended


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it has started in its session."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def environment(folder: str) -> dict[str, str]:
    """None of the teacher's secrets; matplotlib's list of fonts, which takes seconds to make."""
    import matplotlib

    places = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "IPYTHONDIR", "USERPROFILE"), folder)
    fonts = Path(folder) / "matplotlib"
    shutil.copytree(
        matplotlib.get_cachedir(), fonts, ignore=lambda _, names: [n for n in names if "font" not in n]
    )
    kept = {
        k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "PYTHONPATH")
    }
    settings = {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(fonts), "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1"}
    return kept | places | settings | {"OPENBLAS_NUM_THREADS": "1"}


def wall(folder: str) -> list[str]:
    """bubblewrap's sandbox: no network, no other processes, all files but ``folder``'s read-only."""
    return [*BUBBLE, "--bind", folder, folder, "--chdir", folder] if walled() else []


@functools.cache
def walled() -> bool:
    """Whether bubblewrap is here, and may do its work."""
    return (
        bool(shutil.which("bwrap")) and subprocess.run([*BUBBLE, "true"], capture_output=True).returncode == 0
    )


def judged(
    exercise: str, line: dict[str, Any], lang: Language, student: str = ""
) -> tuple[Any, float | None]:
    """The lesson's verdict on an answer, which has come as data, or why there is none; and its one number."""
    from ..course import answers
    from ..course.checks import Verdict, verdict

    why, answer = line.get("why"), line.get("answer")
    if why in ("time", "end", "gone"):
        return Verdict(False, text(f"grade.{why}", lang)), None
    try:
        given = rebuilt(answer)
    except Exception as error:  # forged, or a net that is none
        why = f"{type(error).__name__}: {error}"[:200]
        given = ...
    if given is ... and why:
        return Verdict(False, text("check.failed", lang, error=str(why))), None
    return verdict(exercise, given, lang=lang, student=student), answers.number(given)


def rebuilt(answer: Any) -> Any:
    """An answer from its JSON; ``...`` where there is none."""
    from ..network import MLP

    if not answer:
        return ...
    if "numbers" in answer:
        array = unpacked(answer["numbers"])
        return array if array.ndim else array.item()
    if "net" in answer:
        arrays = [unpacked(packed) for packed in answer["net"]]
        weights, biases = arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]
        widths = [weights[0].shape[1], *(w.shape[0] for w in weights)]
        kind = {"dtype": weights[0].dtype, "residual": answer["residual"], "norm": answer["norm"]}
        net = MLP(widths, answer["activation"], "zeros", **kind)
        net.weights, net.biases = weights, biases
        return net
    return type(str(answer["type"])[:80], (), {})()


def unpacked(packed: str) -> np.ndarray:
    return np.load(io.BytesIO(base64.b64decode(packed)), allow_pickle=False)
