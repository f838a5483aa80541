"""Types: every public function has annotations. What they refuse, tests/typing asks."""

import inspect
import sys
from pathlib import Path

import pytest

import initkit as ik

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
