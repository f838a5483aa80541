"""The lessons that docstrings name use the function; the API pages have every public name, with numpydoc."""

import ast
import functools
import importlib
import importlib.util
import json
import re
from pathlib import Path

import pytest

from initkit import words

ROOT = Path(__file__).parents[2]
LESSONS = {path.name.partition("_")[0]: path for path in (ROOT / "notebooks" / "en").glob("*.ipynb")}
MODULES = [
    importlib.import_module(f"initkit.{name}")
    for name in ("activations", "datasets", "fans", "initializers", "network", "plots", "sampling", "signals",
                 "spectra", "sweep", "theory", "training")
]  # fmt: skip
# The lessons that the docstring of a public object names.
CLAIMS = {
    f"{thing.__name__}-{lesson}": (thing.__name__, lesson)
    for module in MODULES
    for thing in vars(module).values()
    if getattr(thing, "__module__", None) == module.__name__
    for lesson in re.findall(r"[Ll]esson (\d\d[a-z]?)", thing.__doc__ or "")
}


@pytest.mark.parametrize(("name", "lesson"), CLAIMS.values(), ids=CLAIMS)
def test_the_lesson_that_a_docstring_names_uses_the_function(name, lesson):
    """As ``ik.name`` or ``name(``, as a string, or as code in prose; the word in a sentence is not enough."""
    cells = json.loads(LESSONS[lesson].read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert re.search(rf"\bik\.(\w+\.)?{name}\b|\b{name}\(|[\"'`]{name}[\"'`(]", text)


def test_there_are_claims():
    assert {"he_normal-05", "measure-01", "sweep-06"} <= CLAIMS.keys()


# Public names ---------------------------------------------------------------------------------------

PACKAGE = ROOT / "initkit"


@functools.cache
def tree(module: str) -> ast.Module | None:
    """What the module's file says; None where there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")) if file.exists() else None


def defined(module: str) -> dict[str, ast.stmt]:
    """What a module itself defines at its top, by name."""
    found = {}
    for node in tree(module).body if tree(module) else ():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found |= {name.id: node for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def definition(name: str) -> ast.stmt | None:
    """The statement that defines the name; None for a module, and for what is no name of ours."""
    module, _, last = name.rpartition(".")
    return defined(module).get(last)


def home(name: str) -> str:
    """The full name where it is defined, in place of one by which another module offers it."""
    module, _, last = name.rpartition(".")
    if tree(module) is None or definition(name):
        return name
    package = module if ROOT.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and last in [alias.asname or alias.name for alias in node.names]:
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            return name if source == module else home(f"{source}.{last}")
    return name


def on_pages() -> tuple[set[str], set[str]]:
    """The modules that the API pages describe; and what they list, by the names where it is defined."""
    modules, names, module = set(), set(), ""
    for page in (ROOT / "docs" / "api").glob("*.rst"):
        text = page.read_text(encoding="utf-8")
        for kind, listed in re.findall(r"^\.\. (\w+):: (\S+(?:\n {10}\w+)*)", text, re.MULTILINE):
            if kind in ("currentmodule", "automodule"):
                module = listed
            if kind == "automodule":
                modules.add(listed)
            for name in listed.split():
                names.add(home(name if name.startswith("initkit") else f"{module}.{name}"))
    return modules, names


PUBLIC, LISTED = on_pages()


@pytest.mark.parametrize("module", sorted(PUBLIC | {"initkit"}))
def test_every_public_name_is_on_the_api_pages(module):
    names = importlib.import_module(module).__all__
    missing = {f"{module}.{name}" for name in names if home(f"{module}.{name}") not in LISTED}
    assert not missing, "docs/api/*.rst: add .. autofunction:: for each of these"


def used_elsewhere(module: str) -> set[str]:
    """The names that other files of the package import from the module, or ask it for with a dot."""
    found, last = set(), module.rpartition(".")[2]
    for path in PACKAGE.rglob("*.py"):
        other = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(tree(other)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == last:
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == last:
                found.add(node.attr)
    return found


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_a_name_without_an_underscore_is_public_or_a_tool_of_other_modules(module):
    """So a new function is in ``__all__``, and with it on a page, or plainly no reader's."""
    constants = {name for name in defined(module) if name.isupper()}
    plain = {name for name in defined(module) if not name.startswith("_")} - constants
    assert plain - set(importlib.import_module(module).__all__) <= used_elsewhere(module)


LISTED_FUNCTIONS = sorted(name for name in LISTED if isinstance(definition(name), ast.FunctionDef))


@pytest.mark.parametrize("name", LISTED_FUNCTIONS)
def test_a_public_function_says_what_it_takes_and_returns(name):
    """In numpydoc's sections: every parameter is named in the one, and there is the other."""
    function = definition(name)
    parts = re.split(r"(?m)^(\w[\w ]*)\n-+$", ast.get_docstring(function))
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    told = re.findall(r"(?m)^(\S.*?)(?: :.*)?$", sections.get("Parameters", ""))
    taken = [node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    assert set(taken) <= set(re.findall(r"\w+", " ".join(told)))
    assert ast.unparse(function.returns) == "None" or {"Returns", "Yields"} & sections.keys()


@pytest.mark.parametrize("name", LISTED_FUNCTIONS)
def test_what_a_public_function_returns_is_on_the_api_pages(name):
    module = name.rpartition(".")[0]
    classes = re.findall(r"[A-Z]\w+", ast.unparse(definition(name).returns))
    assert {found for found in (home(f"{module}.{c}") for c in classes) if definition(found)} <= LISTED


# The teacher's page ----------------------------------------------------------------------------------


def meetings(lang: str) -> dict[str, str]:
    """What the teacher's page says of each lesson."""
    page = (ROOT / "docs" / f"teaching{'' if lang == 'en' else '.zh'}.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"(?m)^## (\d\d[a-z]?) .*$", page)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("lang", words.LANGUAGES)
def test_every_lesson_has_its_meeting(lang):
    """In the lessons' order."""
    assert list(meetings(lang)) == sorted(LESSONS)


@pytest.mark.parametrize("lesson", meetings("en"))
def test_a_meeting_has_90_minutes_mistakes_that_the_course_names_and_rubrics_of_four_steps(lesson):
    """In both languages the same cells for the same minutes, and the same mistakes, named in comments."""
    plans = []
    for lang in words.LANGUAGES:
        said = meetings(lang)[lesson]
        minutes = [int(n) for n in re.findall(r"(?m)^\| (\d+) \|", said)]
        links, named = re.findall(r'href="lessons/(.*?)"', said), re.findall(r"<!-- (.*?) -->", said)
        assert sum(minutes) == 90
        assert [len(re.findall(r"(?m)^\d\. ", fold)) for fold in said.split("<details")[1:]] == [4, 4]
        assert {key.split(".")[1] for key in named} == {lesson}
        assert set(named) <= words.table().keys()
        assert not [key for key in named if key.endswith("right")]
        plans.append((minutes, links, named))
    (notebook,) = (ROOT / "notebooks" / "en").glob(f"{lesson}_*.ipynb")
    cells = {cell["id"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]}
    assert {f"{notebook.stem}.html#cell-{cell}" for cell in cells} >= set(links)
    assert plans[0] == plans[1]
