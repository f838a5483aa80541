"""Types: mypy --strict accepts right calls and refuses wrong ones; every public function has annotations."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import initkit as ik

CALLS = Path(__file__).parents[1] / "typing"


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


CORE = (
    "activations", "arguments", "datasets", "fans", "initializers", "network", "sampling", "signals", "sweep",
    "theory", "training",
)  # fmt: skip


def functions_of(module):
    """Functions, and methods of classes, that the module defines under a public name."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing
        elif inspect.isclass(thing):
            for method, function in vars(thing).items():
                ours = inspect.isfunction(function) and function.__module__ == module.__name__
                if ours and (method == "__init__" or not method.startswith("_")):
                    yield f"{module.__name__}.{name}.{method}", function


@pytest.mark.parametrize("module", CORE)
def test_every_public_function_is_annotated(module):
    __import__(f"initkit.{module}")
    bare = []
    for name, function in functions_of(sys.modules[f"initkit.{module}"]):
        signature = inspect.signature(function)
        given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        if signature.return_annotation is signature.empty or any(p.annotation is p.empty for p in given):
            bare.append(name)
    assert bare == []


def test_the_wheel_says_that_it_has_types():
    assert (Path(ik.__file__).parent / "py.typed").exists()
