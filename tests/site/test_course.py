"""The course with no server behind it: a lesson runs, answers the hand, and keeps what the reader wrote."""

import _imp
import re
import zipfile
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pytest
from reading import wait_for
from test_lessons import answer_every_way, shoot, use_every_control

import notebooks as tool

# One whole edition, and one lesson of the other on a network without https.
LESSONS = [("zh", name) for name in tool.lessons()] + [("en", "05_he.ipynb")]


@pytest.mark.parametrize(("lang", "name"), LESSONS, ids=lambda part: part.removesuffix(".ipynb"))
def test_lesson_runs_and_answers_the_hand(reader, reached, site_on_a_lan, lang, name):
    if lang == "en":
        reader.site = site_on_a_lan
    reader.open(f"{lang}/{name}")
    assert reader.page.evaluate("isSecureContext") is (lang != "en")
    reader.run_all()
    assert reader.errors() == []
    shoot(reader.page, f"site-{lang}-{name}")
    compare_outputs(reader, lang, name)
    figures = quizzes = 0
    for cell in reader.code_cells():
        figure = cell.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-gridbox > .widget-image)")
        if figure.count():
            # One other option of a menu will do: training takes ten times as long here.
            use_every_control(reader, figure, f"site-{lang}-{name}-{figures}", finger=True, options=1)
            figures += 1
        elif cell.locator(".widget-radio").count():
            if quizzes == 0:  # the others are the same code
                answer_every_way(reader, cell, f"site-{lang}-{name}-quiz")
            quizzes += 1
    assert figures > 0
    assert reader.errors() == []
    hosts = {urlsplit(url).hostname for url in reader.asked if url.startswith("http")}
    assert hosts <= set(reached)


def compare_outputs(reader, lang, name):
    """As nbval does: what a marked cell printed and returned is what is stored."""
    stored = [cell for cell in tool.read(tool.ROOT / lang / name).cells if cell.cell_type == "code"]
    shown = list(reader.code_cells())
    assert len(shown) == len(stored)
    for cell, there in zip(stored, shown, strict=True):
        if tool.is_checked(cell):
            kinds = "[data-mime-type='application/vnd.jupyter.stdout'], .jp-OutputArea-executeResult"
            texts = there.locator(kinds).all_inner_texts()
            assert words("\n".join(texts)) == words("\n".join(map(text_of, cell.outputs))), cell.id


def text_of(output) -> str:
    return output.text if output.output_type == "stream" else output.data["text/plain"]


def words(text: str) -> list[str]:
    return re.sub(r"\[\d+\]:", " ", text).split()


@pytest.mark.parametrize("app", ["notebooks", "lab"])
def test_saved_work_is_there_after_a_reload(reader, app):
    """What a reader wrote stays in this browser; the lesson as it came is untouched in the site."""
    path, mine = "en/00_start_here.ipynb", "my_own_words = 42"
    reader.open(path, app)
    cell = reader.page.locator(".jp-Notebook .jp-CodeCell").first
    cell.locator(".cm-content").click()
    reader.page.keyboard.press("Control+Home")
    reader.page.keyboard.type(mine + "\n")
    reader.save()
    reader.page.wait_for_timeout(3000)
    reader.page.reload()
    reader.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    first = reader.page.locator(".jp-Notebook .jp-CodeCell").first
    wait_for(lambda: mine in first.inner_text(), 60, "the saved cell")
    assert mine not in (reader.files / path).read_text(encoding="utf-8")


def test_what_the_site_leaves_out_is_shown_as_text(reader):
    """JupyterLab's charts and diagrams and the colours of most languages, which no lesson has."""
    chart = {"application/vnd.vegalite.v5+json": {"mark": "bar"}, "text/plain": "a chart in words"}
    texts = {"mermaid": "graph LR; here --> there", "php": "<?php echo 'here';"}
    markdown = "\n".join(f"```{language}\n{text}\n```" for language, text in texts.items())
    reader.open("en/00_start_here.ipynb")
    reader.page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    reader.page.keyboard.press("Control+a")
    shown = f"display({chart}, raw=True); display({{'text/markdown': {markdown!r}}}, raw=True)"
    reader.page.keyboard.insert_text(shown)
    reader.page.keyboard.press("Control+Enter")
    output = reader.page.locator(".jp-Notebook .jp-CodeCell .jp-OutputArea").first
    for text in (chart["text/plain"], *texts.values()):
        wait_for(lambda text=text: text in output.inner_text(), reader.patience, text)
    assert not any("mermaid" in text or "vega" in text for text in reader.console)


def test_the_site_is_small(folder, pyodide):
    """MiB of a site with Python inside, and without it; the wheels beside Python take two."""
    sizes = {path: path.stat().st_size / 2**20 for path in folder.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= (80 if pyodide else 15)
    assert sum(size for path, size in sizes.items() if pyodide not in path.parents) <= 15 - 2 * bool(pyodide)


def test_what_a_lesson_imports_first_is_compiled(pyodide):
    """Beside its source, and of it as it is: Python does not compare them."""
    if pyodide is None:
        pytest.skip("Python comes from the CDN")
    compiled = {}
    for archive in [pyodide / "python_stdlib.zip", *pyodide.glob("*.whl")]:
        with zipfile.ZipFile(archive) as packed:
            assert len(packed.namelist()) == len(set(packed.namelist())), archive.name
            for name in filter(lambda name: name.endswith(".pyc"), packed.namelist()):
                path, bytecode = PurePosixPath(name), packed.read(name)
                cached = path.parent.name == "__pycache__"
                source = f"{path.parents[1] / path.name.split('.')[0]}.py" if cached else name[:-1]
                unchecked, magic = (1).to_bytes(4, "little"), int.from_bytes(bytecode[:4], "little")
                assert bytecode[4:8] == unchecked, name
                assert bytecode[8:16] == _imp.source_hash(magic, packed.read(source)), name
                compiled[source] = name
    assert {"json/__init__.py", "IPython/core/interactiveshell.py", "initkit/live.py"} <= compiled.keys()
    assert compiled["json/__init__.py"] == "json/__init__.pyc"  # where Python looks in a zip archive
    assert len(compiled) > 500
