"""``initkit course [DIR]``: a reader's own copy of the lessons, in JupyterLab.

What a reader has changed is never written over. ``RECORD``, in the folder, has a checksum of every lesson
that was put there: a file that no longer has it is the reader's, and a newer lesson goes beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..notebook_files import lessons
from ..packages import how_to_install
from ..words import LANGUAGES, Language, system_language, text

FIRST = "00_start_here.ipynb"
FOLDER = "initkit-course"  # made where the command is called, unless DIR is given
RECORD = ".initkit-course.json"
PACKAGES = ("matplotlib", "ipywidgets", "tqdm", "jupyterlab", "ipykernel")  # without which no lesson runs
SETTINGS = Path(__file__).parent / "jupyter"  # JupyterLab's, for the server that this command starts
FLAGS = ("--no-browser", "--allow-root")  # JupyterLab's; a word after them is DIR


def add_to(commands: argparse._SubParsersAction) -> None:
    ask = commands.add_parser(
        "course",
        usage="initkit course [DIR] [--lang {zh,en}] [--no-browser] [JupyterLab's options]",
        help="copy the lessons into a folder of your own and open them in JupyterLab",
        description="Copies the lessons into DIR (default: the folder initkit-course, here) and opens them "
        "in JupyterLab. A lesson that you have changed stays as it is; a newer one is put beside it.",
        epilog="All other options are JupyterLab's, such as --port=9999; `jupyter lab --help` lists them.",
        allow_abbrev=False,
    )
    ask.add_argument(
        "--lang", choices=LANGUAGES, default=system_language(), help="of the lessons (default: the system's)"
    )
    ask.add_argument("--no-browser", action="store_true", help="start the server and say its address")
    ask.add_argument("--allow-root", action="store_true", help="JupyterLab asks for it where you are root")


def run(asked: argparse.Namespace, others: list[str]) -> int:
    """Copy, say what was kept, and run JupyterLab to its end, whose exit status is returned."""
    try:
        folder, options = arguments(others)
    except ValueError as error:
        print(f"initkit course: {error}", file=sys.stderr)
        return 2
    options += [flag for flag in FLAGS if getattr(asked, flag[2:].replace("-", "_"))]
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        fields = {"packages": ", ".join(missing), "install": how_to_install(*missing)}
        print(text("command.missing", asked.lang, **fields), file=sys.stderr)
        return 2
    folder = Path(folder or (os.curdir if Path(RECORD).exists() else FOLDER)).absolute()
    try:
        kept = copy(lessons(), folder)
    except OSError as error:
        fields = {"folder": folder, "why": error.strerror or error}
        print(text("command.unwritable", asked.lang, **fields), file=sys.stderr)
        return 2
    for old, new in kept:
        print(text("command.kept", asked.lang, old=old, new=new))
    print(text("command.opens", asked.lang, folder=folder), flush=True)
    return jupyterlab(folder, f"{asked.lang}/{FIRST}", options, asked.lang)


def arguments(others: list[str]) -> tuple[str | None, list[str]]:
    """DIR and JupyterLab's options. A word that follows an option without "=" is that option's value.

    >>> arguments(["my folder", "--port", "9999"])
    ('my folder', ['--port', '9999'])
    """
    words, options = [], []
    for before, word in itertools.pairwise(["", *others]):
        is_value = before.startswith("-") and "=" not in before
        (options if word.startswith("-") or is_value else words).append(word)
    if len(words) > 1:
        raise ValueError(f"one folder, not {' and '.join(map(repr, words))}")
    return (words[0] if words else None), options


def copy(source: Path, folder: Path) -> list[tuple[str, str]]:
    """Bring ``folder`` up to the lessons of ``source``; write over no file but one put here and not changed.

    Returns
    -------
    list of (str, str)
        The changed files of which there was a newer lesson, and where in ``folder`` that is now.

    Raises
    ------
    OSError
        Something could not be written. What was there before is there still, and a later call goes on.
    """
    kept: list[tuple[str, str]] = []
    if folder.exists() and folder.samefile(source):
        return kept  # a clone's own lessons, read where they are
    found = {path.relative_to(source).as_posix(): path for path in sorted(source.glob("*/*.ipynb"))}
    if not found:
        raise FileNotFoundError(f"no lessons in {source}")
    put = recorded = record(folder)
    try:
        for name, path in found.items():
            lesson = path.read_bytes()
            if put.get(name) == checksum(lesson) and (folder / name).exists():
                continue  # this very lesson was put here before, and is the reader's since
            new = next(place for place in beside(name) if free(folder / place, lesson, put.get(place)))
            write(folder / new, lesson)
            put = put | {name: checksum(lesson), new: checksum(lesson)}
            if new != name:
                kept.append((name, new))
    finally:
        if put != recorded:
            write(folder / RECORD, json.dumps(put, indent=1, sort_keys=True).encode())
    return kept


def record(folder: Path) -> dict[str, str]:
    """The checksums of what was put into ``folder``; without a record every file is a reader's."""
    try:
        said = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def beside(name: str) -> Iterator[str]:
    """``en/05_he.ipynb``, and where a newer one can go: ``en/05_he.new.ipynb``, ``en/05_he.new2.ipynb``, …"""
    stem = name.removesuffix(".ipynb")
    yield name
    yield f"{stem}.new.ipynb"
    yield from (f"{stem}.new{n}.ipynb" for n in itertools.count(2))


def free(path: Path, lesson: bytes, put: str | None) -> bool:
    """Whether nothing is lost where ``lesson`` is written to ``path``: all but a reader's file may go."""
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return True
    return there == lesson or checksum(there) == put


def write(path: Path, data: bytes) -> None:
    """All of ``data`` or nothing: a copy that is interrupted leaves no half of a file."""
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_bytes(data)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def jupyterlab(folder: Path, page: str, options: list[str], lang: Language) -> int:
    """Run JupyterLab on ``page`` of ``folder``, with our settings beside the reader's own, to its end."""
    paths = [str(SETTINGS), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(paths)
    if not os.access(Path.home(), os.W_OK):  # JupyterLab, its kernels and matplotlib keep things there
        os.environ["HOME"] = tempfile.mkdtemp(prefix="initkit-")
    from jupyterlab.labapp import main

    try:
        main([f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{page}", *options])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in options:
            print(text("command.root", lang), file=sys.stderr)
        return status
    return 0
