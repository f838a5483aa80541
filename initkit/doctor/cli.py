"""The command ``initkit audit MODEL``."""

from __future__ import annotations

import argparse
import errno
import locale
import os
import sys

from ..words import LANGUAGES


def system_language() -> str:
    """ "zh" or "en", as POSIX's variables say; where none is set, as on Windows, as the locale does."""
    said = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
    if said is None:
        try:
            said = locale.getlocale()[0] or ""
        except ValueError:  # a locale that Python has no name for
            said = ""
    return "zh" if said.lower().startswith(("zh", "chinese")) else "en"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 nothing is wrong, 1 something is, 2 the file not read, or the report not written."""
    parser = argparse.ArgumentParser(prog="initkit", description="Neural-network parameter initialization.")
    commands = parser.add_subparsers(dest="command", required=True)
    ask = commands.add_parser(
        "audit",
        help="say how a checkpoint's tensors were initialized, and what is wrong with them",
        epilog="Exit status: 0 nothing wrong, 1 findings, 2 the file not read, or the report not written.",
    )
    ask.add_argument("model", help=".safetensors, .npz, .npy, .pt, .pth or .weights.h5")
    ask.add_argument("--json", action="store_true", help="for programs; schema 1")
    ask.add_argument(
        "--lang", choices=LANGUAGES, default=system_language(), help="of the report (default: the system's)"
    )
    ask.add_argument("--activation", help="of the hidden layers, such as relu: hold their gains to it")
    asked = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")  # a tensor's name may be anything
    from .audit import audit  # not before the arguments are known to be good: it loads SciPy

    try:
        report = audit(asked.model, activation=asked.activation, lang=asked.lang)
    except ValueError as error:  # what cannot be read, or an activation that is none
        print(f"initkit: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    try:
        print(report.to_json() if asked.json else report, flush=True)
    except OSError as error:
        # What is left in the buffer goes: it would be written, and fail, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # As of ``| head -1``: who reads has enough. Windows calls that an invalid argument.
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            print(f"initkit: the report cannot be written: {error.strerror}", file=sys.stderr)
            return 2
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
