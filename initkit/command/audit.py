"""``initkit audit MODEL``: the doctor's report on a checkpoint."""

from __future__ import annotations

import argparse
import errno
import os
import sys

from ..doctor.audit import audit
from ..doctor.checkpoints import format_names
from ..doctor.layout import LAYOUTS
from ..doctor.recipes import RECIPES
from ..doctor.report import SCHEMA
from ..words import LANGUAGES, system_language


def add_to(commands: argparse._SubParsersAction) -> None:
    ask = commands.add_parser(
        "audit",
        help="say how a checkpoint's tensors were initialized, and what is wrong with them",
        epilog="Exit status: 0 nothing wrong, 1 findings, 2 the file not read, or the report not written.",
    )
    ask.add_argument("model", help=f"a checkpoint, or a folder with one: {', '.join(format_names())}")
    ask.add_argument("--json", action="store_true", help=f"for programs; schema {SCHEMA}")
    ask.add_argument("--tensors", action="store_true", help="a row for every tensor, however many there are")
    ask.add_argument(
        "--lang", choices=LANGUAGES, default=system_language(), help="of the report (default: the system's)"
    )
    ask.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="auto",
        help="the axis of units: the first (torch), the last (keras), or as the file tells (default)",
    )
    ask.add_argument(
        "--recipe",
        choices=RECIPES,
        help="of a model that was not trained yet: hold each tensor to what such a model starts from",
    )
    ask.add_argument(
        "--against",
        metavar="OTHER",
        help="another checkpoint: which tensors are the same, of the same recipe, or of neither",
    )
    ask.add_argument(
        "--activation", help="of the hidden layers, such as relu: hold the gains of what sits before it to it"
    )


def run(asked: argparse.Namespace) -> int:
    """Print the report. The exit status: 0 nothing wrong, 1 findings, 2 not read or not written."""
    try:
        report = audit(
            asked.model,
            activation=asked.activation,
            lang=asked.lang,
            layout=asked.layout,
            against=asked.against,
            recipe=asked.recipe,
        )
    except ValueError as error:  # what cannot be read, or an activation that is none
        print(f"initkit: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    try:
        print(report.to_json() if asked.json else report.told(every=asked.tensors), flush=True)
    except OSError as error:
        # Send stdout to the null device: Python's flush at exit would write what is left, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader such as ``head -1`` closed the pipe, which is no error. Windows says EINVAL of that.
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            print(f"initkit: the report cannot be written: {error.strerror}", file=sys.stderr)
            return 2
    return 1 if report.findings else 0
