"""``claim``: a paper's number beside ours, asserted, and a line of RESULTS.md."""

import math
import os
import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).with_name("RESULTS.md")
WRITING = "INITKIT_WRITE_PAPERS" in os.environ  # make papers
JOLTED = "INITKIT_JOLTED" in os.environ  # tools/jolt.py, which looks before RESULTS.md is written
HEAD = """# What the papers say, and what this library finds

Written by `make papers`; every line is a test in this folder, which fails where ours leaves the tolerance.

| paper | claim | paper's number | ours | tolerance | where they differ, why |
|---|---|---|---|---|---|
"""
_rows = []


def _number(value) -> str:
    return value if isinstance(value, str) else f"{value:.5g}"


@pytest.fixture
def claim(request, between):
    """claim(what, theirs, ours, within, note): ``ours`` must be within ``within`` of ``theirs``.

    ``within`` is absolute; a pair (low, high) holds ``ours`` itself where the paper gives no number but a
    direction, and ``theirs`` is then its words.
    """
    paper = re.match(r".*?\d{4}", request.module.__doc__)[0]

    def check(what, theirs, ours, within, note=""):
        ours = float(ours)
        low, high = within if isinstance(within, tuple) else (theirs - within, theirs + within)
        if high == math.inf:
            tolerance = f"at least {_number(low)}"
        elif isinstance(within, tuple):
            tolerance = f"{_number(low)} to {_number(high)}"
        else:
            tolerance = f"± {_number(within)}"
        between(f"{what} ({theirs})", ours, low, high)
        start = f"| {paper} | {what} | {_number(theirs)} | "
        row = f"{start}{_number(ours)} | {tolerance} | {note} |\n"
        if JOLTED:
            return
        if WRITING:
            _rows.append(row)
            return
        lines = RESULTS.read_text(encoding="utf-8").splitlines()
        written = next((line for line in lines if line.startswith(start)), start + "nan | - |")
        then, then_within = (cell.strip() for cell in written.removeprefix(start).split("|")[:2])
        assert then_within == tolerance, f"RESULTS.md is behind: make papers\n{row}{written}"
        # What was trained differs a little from machine to machine; what was computed does not.
        assert low <= float(then) <= high, f"RESULTS.md is behind: make papers\n{row}{written}"

    return check


def pytest_sessionfinish(session, exitstatus):
    """All claims or none: a selection of tests must not shorten the table."""
    if WRITING and exitstatus == 0:
        options = [session.config.getoption(o, None) for o in ("keyword", "markexpr", "numprocesses")]
        if any(options) or any("::" in argument for argument in session.config.args):
            raise pytest.UsageError(
                "make papers writes the whole table or none: no -k, -m, -n, or single test"
            )
        RESULTS.write_text(HEAD + "".join(_rows), encoding="utf-8")
