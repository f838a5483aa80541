"""The command ``initkit``, also ``python -m initkit``: the course, a class's exercises, a checkpoint."""

from __future__ import annotations

import argparse
import sys

from . import audit, course, grade

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command with these arguments; with those of the command line, where there are none.

    Parameters
    ----------
    arguments : list of str, optional
        As a shell would give them: ``["audit", "model.safetensors"]``.

    Returns
    -------
    int
        The exit status: 0 where nothing is wrong; 1 for an audit's findings; 2 where a file could not be read
        or written, or a package is missing. ``initkit course`` ends with JupyterLab's own.
    """
    parser = argparse.ArgumentParser(prog="initkit", description="Neural-network parameter initialization.")
    commands = parser.add_subparsers(dest="command", required=True)
    course.add_to(commands)
    audit.add_to(commands)
    grade.add_to(commands)
    asked, others = parser.parse_known_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")  # a tensor or a folder may have any name
    if asked.command == "course":
        return course.run(asked, others)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return {"audit": audit, "grade": grade}[asked.command].run(asked)
