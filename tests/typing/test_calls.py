"""mypy --strict accepts right calls and refuses wrong ones; ``make lint`` runs it, as mypy takes its time."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = Path(__file__).parent


@pytest.fixture(scope="module")
def lines_refused(tmp_path_factory):
    """By file, the lines in which mypy --strict finds errors for a user of the installed library."""
    cache = tmp_path_factory.mktemp("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"]
    files = [str(CALLS / name) for name in ("right.py", "wrong.py")]
    run = subprocess.run([*command, *files], capture_output=True, encoding="utf-8", cwd=CALLS)
    assert run.returncode == 1, run.stdout + run.stderr
    found = re.findall(r"^(?:.*[/\\\\])?(\w+\.py):(\d+): error: ", run.stdout, re.MULTILINE)
    lines = {
        Path(file).name: {int(line) for name, line in found if name == Path(file).name} for file in files
    }
    assert sum(map(len, lines.values())) > 0, run.stdout
    assert {name for name, _ in found} <= lines.keys(), run.stdout  # none in the library itself
    return lines


def test_right_calls_are_accepted(lines_refused):
    assert lines_refused["right.py"] == set()


def test_wrong_calls_are_refused(lines_refused):
    """Each of them, and nothing else in the file."""
    lines = (CALLS / "wrong.py").read_text(encoding="utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, start=1) if line.endswith("  # wrong")}
    assert lines_refused["wrong.py"] == marked
    assert len(marked) > 50
