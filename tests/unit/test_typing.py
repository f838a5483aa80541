"""Types: every public function has annotations. What they refuse, tests/typing asks."""

import ast
import importlib
import inspect
import pkgutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import initkit as ik

PACKAGE = Path(ik.__file__).parent

CORE = (
    "activations", "arguments", "course", "datasets", "doctor", "fans", "initializers", "network", "plots",
    "sampling", "signals", "spectra", "sweep", "theory", "training", "widgets", "words",
)  # fmt: skip
# Of these, their modules too; a lesson's room, which the registry calls, lies one folder deeper.
WHOLE = ("course", "widgets", "words")
MODULES = [
    *CORE,
    *(f"{name}.{module.name}" for name in WHOLE for module in pkgutil.iter_modules([str(PACKAGE / name)])),
]


def offered(module):
    """What the module defines under a public name, or offers in ``__all__`` from wherever it comes."""
    promised = getattr(module, "__all__", ())
    for name in {*vars(module), *promised}:
        if name.startswith("_") or not (name in vars(module) or find_spec("torch")):
            continue  # what the doctor loads late needs torch
        thing = getattr(module, name)
        if name in promised or getattr(thing, "__module__", None) == module.__name__:
            yield name, thing


def functions_of(module):
    """Functions, and methods of classes, that the module offers."""
    for name, thing in offered(module):
        if inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing
        elif inspect.isclass(thing):
            for method, function in vars(thing).items():
                function = getattr(function, "fget", function)  # a property
                ours = inspect.isfunction(function) and function.__module__ == thing.__module__
                if ours and (method == "__init__" or not method.startswith("_")):
                    yield f"{module.__name__}.{name}.{method}", function


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_is_annotated(module):
    module = importlib.import_module(f"initkit.{module}")
    bare = []
    for name, function in functions_of(module):
        signature = inspect.signature(function)
        given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        if signature.return_annotation is signature.empty or any(p.annotation is p.empty for p in given):
            bare.append(name)
    assert bare == []


# What a parameter or field of this name has as its type, wherever it stands.
ALIASES = {"lang": "Language", "layout": "Layout"}


def annotations(tree):
    """Name and annotation of every parameter and annotated field of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation


@pytest.mark.parametrize("name", ALIASES)
def test_a_name_of_a_closed_set_has_the_type_of_that_set(name):
    """Where it is annotated; a bare ``str`` would take any."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for given, annotation in annotations(ast.parse(path.read_text(encoding="utf-8"))):
            if given == name and annotation is not None:
                found.setdefault(ast.unparse(annotation), []).append(path.name)
    assert found.keys() == {ALIASES[name]}, found


def test_the_wheel_says_that_it_has_types():
    assert (PACKAGE / "py.typed").exists()
