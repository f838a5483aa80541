"""The lessons that docstrings name use the function; the API pages have every public name."""

import importlib
import json
import re
from pathlib import Path

import pytest

import initkit as ik
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


def names_on_pages() -> set[str]:
    """Full names of what the API pages document."""
    found, module = set(), ""
    for page in (ROOT / "docs" / "api").glob("*.rst"):
        for kind, name in re.findall(
            r"^\.\. (\w+):: ([\w.]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if kind in ("currentmodule", "automodule"):
                module = name
            found.add(name if kind == "automodule" else f"{module}.{name}")
    return found


@pytest.mark.parametrize("module", [ik, ik.doctor, ik.live, ik.course], ids=lambda module: module.__name__)
def test_every_public_name_is_on_the_api_pages(module):
    missing = {f"{module.__name__}.{name}" for name in module.__all__} - names_on_pages()
    assert not missing, "docs/api/*.rst: add .. autofunction:: for each of these"


def meetings(lang: str) -> dict[str, str]:
    """What the teacher's page says of each lesson."""
    page = (ROOT / "docs" / f"teaching{'' if lang == 'en' else '.zh'}.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"(?m)^## (\d\d[a-z]?) .*$", page)
    return dict(zip(parts[::2], parts[1::2], strict=True))


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
