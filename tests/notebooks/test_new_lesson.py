"""``make lesson``: what it makes runs, is in step and linked, and passes the tests as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lesson
import pytest

import notebooks as tool

ROOT = Path(__file__).parents[2]


def ran(folder, *command, status=0):
    """What the command prints; with the library and the tests of that folder."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OPENBLAS_NUM_THREADS": "1"}
    how = {"cwd": folder, "env": environment, "encoding": "utf-8", "capture_output": True}
    run = subprocess.run([sys.executable, *command], **how)
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.mark.slow
def test_a_new_lesson_passes_the_tests_as_it_is(tmp_path):
    """In a copy of the repository, by the tests that look at it."""
    for name in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "initkit", "notebooks", "tests", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    said = ran(tmp_path, "tools/lesson.py", "99_toy_lesson", "--en", "A toy", "--zh", "玩具")
    assert "initkit/course/lessons/toy_lesson.py" in said
    row = "| 99 | [A toy](notebooks/en/99_toy_lesson.ipynb) | [玩具](notebooks/zh/99_toy_lesson.ipynb) |"
    assert row in (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()
    style = ran(tmp_path, "-m", "ruff", "check", "initkit/course/lessons/toy_lesson.py")
    assert "All checks passed" in style
    for name in ("docs/teaching.zh.md", f"notebooks/en/{tool.FIRST}", f"notebooks/zh/{tool.lessons()[-1]}"):
        assert f"\n  {name}\n" in said  # what it changes beside
    chosen = "(99 and not another) or factor_of or titles or room or texts or fit or every_lesson"
    tests = [f"tests/notebooks/test_{name}.py" for name in ("editions", "papermill")]
    tests += [f"tests/unit/test_{name}.py" for name in ("docs", "texts", "practice")]
    tests += ["initkit/course/lessons/toy_lesson.py"]
    said = ran(tmp_path, "-m", "pytest", "-q", "-k", f"{chosen} or api", *tests)
    assert "1 whole runs with papermill): all passed" in said
    assert "has the number 99" in ran(tmp_path, "tools/lesson.py", "99_other", status=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("orthogonal", "must be two digits"),
        ("98_Orthogonal", "must be two digits"),
        ("98_class", "must be two digits"),
        ("98_random", "is called 'random' already"),
        ("98_signal", "is called 'signal' already"),
        (tool.FIRST[:3] + "more", "has the number 00"),
    ],
)
def test_a_bad_name_is_told_and_nothing_made(name, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lesson.py", name])
    with pytest.raises(SystemExit, match="2"):
        lesson.main()
    assert message in " ".join(capsys.readouterr().err.split())
