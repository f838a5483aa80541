"""``claim``: a paper's number beside ours, asserted, and a line of RESULTS.md."""

import os
import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).with_name("RESULTS.md")
WRITING = "INITKIT_WRITE_PAPERS" in os.environ  # make papers
HEAD = """# What the papers say, and what this library finds

Written by `make papers`; every line is a test in this folder, which fails where ours leaves the tolerance.

| paper | claim | paper's number | ours | tolerance | where they differ, why |
|---|---|---|---|---|---|
"""
_rows = []


def _number(value) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


@pytest.fixture
def claim(request):
    """claim(what, theirs, ours, within, note): ``ours`` must be within ``within`` of ``theirs``.

    ``within`` is absolute; a pair (low, high) holds ``ours`` itself where the paper gives no number but a
    direction, and ``theirs`` is then its words.
    """
    paper = re.match(r".*?\d{4}", request.module.__doc__)[0]

    def check(what, theirs, ours, within, note=""):
        ours = float(ours)
        low, high = within if isinstance(within, tuple) else (theirs - within, theirs + within)
        tolerance = (
            f"{_number(low)} to {_number(high)}" if isinstance(within, tuple) else f"± {_number(within)}"
        )
        assert low <= ours <= high, f"{what}: {theirs}, ours {ours:.6g}, tolerance {tolerance}"
        start = f"| {paper} | {what} | {_number(theirs)} | "
        if WRITING:
            _rows.append(f"{start}{_number(ours)} | {tolerance} | {note} |\n")
        else:
            assert start in RESULTS.read_text(encoding="utf-8"), f"not in RESULTS.md: {start}; make papers"

    return check


def pytest_sessionfinish(exitstatus):
    if WRITING and exitstatus == 0:
        RESULTS.write_text(HEAD + "".join(_rows), encoding="utf-8")
