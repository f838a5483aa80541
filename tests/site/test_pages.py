"""The reading pages as a reader finds them: whole, in the reader's language, for every eye and hand.

INITKIT_PAGES names the folder they were built into; ``make test-pages`` builds them once for all workers.
"""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from functools import cache, partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import slides
from playwright.sync_api import sync_playwright
from reading import FLAGS, chromium

from initkit import words
from initkit.course import quizzes

ROOT = Path(__file__).parents[2]
NODE_MODULES = Path(sys.prefix) / "node_modules"  # where noxfile.py puts npm's packages
AXE = NODE_MODULES / "axe-core" / "axe.min.js"
LANGUAGES = words.LANGUAGES
LESSONS = sorted(path.stem for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))
OTHER = {"en": "zh", "zh": "en"}
HAN = re.compile("[一-鿿]")
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """What the tests ask of a page: elements with their attributes, texts with the tags around them."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.ids = {attributes["id"] for _, attributes in self.elements if attributes.get("id")}

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, {**attributes, "inside": tuple(self.open)}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if text := " ".join(data.split()):
            self.texts.append((text, tuple(self.open)))

    def text(self, within: str = "article") -> str:
        return " ".join(text for text, around in self.texts if within in around)


page_of = cache(Page)


@pytest.fixture(scope="session")
def site() -> Path:
    folder = Path(os.environ.get("INITKIT_PAGES", "build/docs")).resolve()
    assert (folder / "index.html").exists(), f"there are no pages in {folder}: make test-pages builds them"
    return folder


@pytest.fixture(scope="session")
def pages(site) -> list[Path]:
    return [
        site / "index.html",
        *(path for lang in LANGUAGES for path in sorted((site / lang).rglob("*.html"))),
    ]


@pytest.fixture(scope="session")
def served(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tab(served):
    """A page of Chromium's that reaches this server alone; ``tab.outside`` says what else was asked for."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        tab = browser.new_page(base_url=served)
        tab.outside = []

        def handle(route):
            if route.request.url.startswith(served):
                route.continue_()
            else:
                tab.outside.append(route.request.url)
                route.abort()

        tab.route("**/*", handle)
        yield tab
        browser.close()


# What stands in the files ---------------------------------------------------------------------------


def test_every_lesson_is_there_in_both_languages(site):
    for lang in LANGUAGES:
        assert sorted(path.stem for path in (site / lang / "lessons").glob("*.html")) == LESSONS


def has(path: Path, fragment: str) -> bool:
    return not fragment or fragment in page_of(path).ids


def test_no_link_is_broken_and_nothing_comes_from_elsewhere(site, pages):
    broken, foreign = [], []
    for path in pages:
        for tag, attributes in page_of(path).elements:
            for name in {"href", "src", "action"} & attributes.keys():
                url, where = urlsplit(attributes[name] or ""), f"{path.relative_to(site)}: {attributes[name]}"
                if url.scheme in ("mailto", "data", "javascript"):
                    continue
                if url.scheme or url.netloc:
                    if tag != "a":  # a link is followed by a hand, all else by the page
                        foreign.append(where)
                    continue
                target = (path.parent / unquote(url.path)).resolve() if url.path else path
                if (site / "lite") in target.parents:
                    assert target.relative_to(site).as_posix() == "lite/notebooks/index.html", where
                    (lesson,) = parse_qs(url.query)["path"]
                    if not (ROOT / "notebooks" / lesson).is_file():
                        broken.append(where)
                elif not target.is_file() or not has(target, unquote(url.fragment)):
                    broken.append(where)
    assert broken == []
    assert foreign == []


def test_every_picture_has_an_alternative_text_in_the_language_of_its_page(site, pages):
    seen = 0
    for path in pages:
        for tag, attributes in page_of(path).elements:
            if tag == "img":
                seen += 1
                alt = attributes.get("alt") or ""
                assert len(alt) > 10, f"{path.relative_to(site)}: {attributes}"
                if "zh" in path.relative_to(site).parts:
                    assert HAN.search(alt), alt
                elif "en" in path.relative_to(site).parts:
                    assert not HAN.search(alt), alt
    assert seen >= 2 * len(LESSONS)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_has_its_questions_its_solutions_its_pictures_and_a_way_to_run_it(site, lesson, lang):
    page = page_of(site / lang / "lessons" / f"{lesson}.html")
    notebook = json.loads((ROOT / "notebooks" / lang / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    folded, whole = page.text("details"), page.text()
    for key in re.findall(r"course\.quiz\(\"([\d.]+)\"", "\n".join(sources)):
        said = {name.removeprefix(f"quiz.{key}."): t[lang] for name, t in words.table().items()
                if name.startswith(f"quiz.{key}.")}  # fmt: skip
        assert len(said) == 1 + 2 * len(quizzes.choices(key))
        for name, text in said.items():
            assert " ".join(text.split()) in (folded if name.endswith("_why") else whole), (key, name)
    for source in sources:
        if source.startswith("if SOLVE:"):
            # Code is cut into tokens; what is compared is without spaces.
            squeezed = "".join(source.removeprefix("if SOLVE:").split())
            assert squeezed in "".join(folded.split())
    for key in re.findall(r"course\.check\(\"([\d.]+)\"", "\n".join(sources)):
        for step in ("nudge", "formula"):
            assert " ".join(words.text(f"hint.{key}.{step}", lang).split()) in folded, (key, step)
    pictures = sum("image/png" in output.get("data", {}) for cell in notebook["cells"]
                   for output in cell.get("outputs", ()))  # fmt: skip
    assert sum(tag == "img" for tag, a in page.elements if "article" in a["inside"]) == pictures > 0
    runs = {a["href"] for tag, a in page.elements if tag == "a" and "lite/" in a.get("href", "")}
    assert runs == {f"../../lite/notebooks/index.html?path={lang}/{lesson}.ipynb"}
    assert "course.quiz(" not in whole
    assert "NBVAL" not in whole


def test_the_glossary_is_there(site):
    for lang in LANGUAGES:
        text = page_of(site / lang / "lessons" / f"{LESSONS[0]}.html").text("table")
        assert words.text("glossary.definition", lang) in text
        assert "fan_in" in text
        assert "$" not in text  # formulas are set


def test_each_answer_of_the_interview_points_at_the_cells_that_show_it(site):
    """The same cells in both languages, which test_no_link_is_broken finds by their ids."""
    shown = {}
    for lang in LANGUAGES:
        page = page_of(site / lang / "interview.html")
        assert sum(tag == "summary" and "article" in a["inside"] for tag, a in page.elements) == 23
        links = [a["href"] for tag, a in page.elements if tag == "a" and "details" in a["inside"]]
        shown[lang] = [link for link in links if link.startswith("lessons/")]
        assert all("#cell-" in link for link in shown[lang])
    assert len(shown["en"]) >= 23
    assert shown["en"] == shown["zh"]


def test_lesson_00_leads_to_the_pages_to_take_along(site):
    for lang in LANGUAGES:
        page = page_of(site / lang / "lessons" / f"{LESSONS[0]}.html")
        links = {a["href"] for tag, a in page.elements if tag == "a" and "article" in a["inside"]}
        assert {"../cheatsheet.html", "../interview.html"} <= links


def test_around_a_chinese_lesson_all_words_are_chinese(site):
    names = {"initkit", "English", "Ctrl", "K", "+", "▶"}
    for path in sorted((site / "zh").rglob("*.html")):
        page = page_of(path)
        hidden = {"script", "style", "title", "noscript", "article", "math"}
        said = [text for text, around in page.texts if not hidden & set(around)]
        labels = ("title", "aria-label", "placeholder", "alt")
        said += [a[name] for tag, a in page.elements if tag != "link" for name in labels if a.get(name)]
        foreign = {t for t in said if not HAN.search(t) and re.search("[A-Za-z]", t) and t not in names}
        assert foreign == set(), path.name


# What Chromium shows --------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_language_switch_stays_on_the_lesson(tab, lang):
    twin = OTHER[lang]
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto(f"/{lang}/lessons/05_he.html")
    for where in (".bd-header-article", "article"):
        tab.click(f"{where} a[href$='{twin}/lessons/05_he.html']")
        tab.wait_for_url(f"**/{twin}/lessons/05_he.html")
        assert tab.locator("html").get_attribute("lang")[:2] == twin
        tab.go_back()
    for page in ("index", "cheatsheet", "interview", "teaching"):
        tab.goto(f"/{lang}/{page}.html")
        tab.click(f".bd-header-article a[lang={twin}]")
        tab.wait_for_url(f"**/{twin}/{page}.html")


@pytest.mark.parametrize(
    ("lang", "sought"), [("en", "kaiming"), ("zh", "秩"), ("zh", "梯度"), ("zh", "初始化的方差")]
)
def test_search_finds(tab, lang, sought):
    tab.goto(f"/{lang}/search.html?q={sought}")
    tab.wait_for_selector("#search-results li a[href*='lessons/']", timeout=20_000)


WIDTHS = (1366, 820, 390)
LOOKED_AT = {
    "en": ("index.html", "en/lessons/05_he.html", "en/api/initializers.html"),
    "zh": (
        "zh/index.html",
        "zh/lessons/00_start_here.html",
        "zh/lessons/01_why_initialization.html",
        "zh/teaching.html",
    ),
    "both": [f"{lang}/{page}.html" for lang in LANGUAGES for page in ("cheatsheet", "interview")],
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", [path for paths in LOOKED_AT.values() for path in paths])
def test_a_page_is_for_everyone(tab, path, width):
    """axe-core finds nothing serious, nothing stands out of the screen, nothing is asked of another site."""
    assert AXE.is_file(), "make test-pages fetches axe-core"
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"/{path}")
    tab.wait_for_load_state("networkidle")
    tab.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    tab.wait_for_timeout(600)  # they fade in
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("axe.run({ resultTypes: ['violations'] })")
    serious = [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert tab.outside == []


def test_a_formula_that_cannot_be_set_is_told_with_its_place(tmp_path):
    """The notebook, the cell and the formula, of each one; a docstring's object."""
    new, formula = nbformat.v4, r"$\Big({}\Big)$"
    texts = {"title": "# A lesson " + formula.format("a"), "idea": "Once.\n\n" + formula.format("b")}
    cells = [new.new_markdown_cell(text, id=name) for name, text in texts.items()]
    (tmp_path / "lessons").mkdir()
    nbformat.write(new.new_notebook(cells=cells), tmp_path / "lessons" / "toy.ipynb")
    (tmp_path / "toy.py").write_text('def f():\n    r""":math:`\\Big c`"""\n', encoding="utf-8")
    index = "Index\n=====\n\n.. toctree::\n\n   lessons/toy\n\n.. autofunction:: toy.f\n"
    (tmp_path / "index.rst").write_text(index, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", ROOT / "docs", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [*command, tmp_path / "html"], env=environment, capture_output=True, encoding="utf-8"
    )
    assert run.returncode
    for place, name in {"title": "a", "idea": "b"}.items():
        assert re.search(rf"toy.ipynb:.*In the cell {place}: .*\\Big\({name}\\Big\)", run.stderr)
    assert re.search(r"docstring of toy.f:.* The formula: \\Big c", run.stderr)


def test_a_formula_is_set_by_the_browser(tab):
    tab.goto("/en/lessons/05_he.html")
    box = tab.locator("article .formula math").first.bounding_box()
    assert box["height"] > 20  # a fraction; as plain text it would be a line
    assert tab.evaluate("document.fonts.ready.then(() => document.fonts.check('16px \"initkit math\"'))")


def test_a_page_prints(tab):
    tab.goto("/zh/lessons/01_why_initialization.html")
    assert len(tab.pdf()) > 50_000
    tab.emulate_media(media="print")
    assert not tab.locator(".door").first.is_visible()
    tab.emulate_media(media="screen")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_cheat_sheet_is_one_page_of_a4_and_fills_it(tab, lang):
    """With room to spare: at nine tenths of the height it is one page still, at half of it no longer."""
    tab.goto(f"/{lang}/cheatsheet.html")
    tab.emulate_media(media="print")
    for size, fits in (("A4", True), ("210mm 267mm", True), ("210mm 148mm", False)):
        tab.add_style_tag(content=f"@page sheet {{ size: {size}; }}")
        printed = len(re.findall(rb"/Type\s*/Page\b", tab.pdf(prefer_css_page_size=True)))
        assert (printed == 1) is fits, size
    tab.emulate_media(media="screen")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_slides_open_from_a_disk_and_fit_in_large_type(tab, tmp_path, lang):
    """As reveal.js lays them out: nothing over an edge, nothing small, nothing asked of another site."""
    (path,) = slides.write("06", lang, NODE_MODULES / "reveal.js", tmp_path)
    asked, page = [], tab.context.browser.new_page(viewport={"width": 1366, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("Reveal.isReady()")
    made = page.evaluate(LAID_OUT)
    page.close()
    lesson = nbformat.read(ROOT / "notebooks" / lang / f"{path.stem}.ipynb", as_version=4)
    assert len(made) == len(slides.slides(lesson, path.stem, lang)) > 30
    assert [slide for slide in made if slide["over"] or slide["size"] < 26] == []
    assert [url for url in asked if not url.startswith((tmp_path.as_uri(), "data:"))] == []


# The size of type is in the slide's own pixels, of which there are 1280 × 800.
LAID_OUT = """() => Reveal.getSlides().map((slide) => {
  const { h, v } = Reveal.getIndices(slide);
  Reveal.slide(h, v, 99);
  const edge = document.querySelector(".slides").getBoundingClientRect();
  const seen = [...slide.querySelectorAll("*")].filter((e) => !e.closest(".notes"));
  const over = (box) => box.right > edge.right + 1 || box.bottom > edge.bottom + 1;
  return { says: slide.innerText.slice(0, 60), size: parseFloat(getComputedStyle(slide).fontSize),
    over: seen.some((e) => over(e.getBoundingClientRect())) };
})"""
