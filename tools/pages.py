"""Build the reading pages: the course in both languages, the API, the design, and the front page.

    python tools/pages.py FOLDER      writes FOLDER/index.html, FOLDER/en/, FOLDER/zh/

Sphinx builds each language from a folder of sources of its own: the lessons of notebooks/<language>, and of
docs what is in that language (``index.md`` is English, ``index.zh.md`` Chinese). Nothing is run: a lesson
shows what is stored in it. What only a kernel can show, this module says in text as Sphinx reads the lesson
(``readable``): questions, exercises and the glossary, from the course's own words, the answers folded.

docs/extension.py calls it from Sphinx, and sets formulas as MathML, which browsers show by themselves. No
page asks anything of another site.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
import shutil
import string
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import nbformat
import numpy as np

import initkit as ik
from initkit import course, words
from initkit.course import checks, quizzes
from initkit.packages import ADDRESS
from notebooks import CHECKED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WORDS = tomllib.loads((DOCS / "words.toml").read_text(encoding="utf-8"))
# Chinese for what the theme's templates have in English.
THEME = WORDS.pop("theme")
SPHINX = {"en": "en", "zh": "zh_CN"}
# Where lessons that are not read here find the other pages.
OWNER, REPOSITORY = ADDRESS.rsplit("/", 2)[1:]
SITE = f"https://{OWNER}.github.io/{REPOSITORY}"  # GitHub Pages'
OPENS = re.compile(r"(course|live)\.(?P<name>\w+)(\.still)?\((\"(?P<key>[\da-z.]+)\")?[^\n]*\)\Z")


def other(lang: str) -> str:
    (twin,) = set(words.LANGUAGES) - {lang}
    return twin


# A lesson as text -----------------------------------------------------------------------------------


def readable(notebook, name: str, lang: str):
    """The lesson for who reads and runs nothing; changed in place, and returned."""
    cells, task = [], None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        opened = OPENS.match(cell.source)
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, name, lang)
        elif "exercise" in tags or (opened and opened["name"] == "guess"):
            continue
        elif cell.id == "imports":
            cells[-1].source += f"\n\n{cell.source}"  # one fold with the parameters
            continue
        elif "solution" in tags:
            task = cell.source
            continue
        elif opened and opened["name"] == "check":
            cell = text_cell(cell, solution(opened["key"], task, lang))
        elif opened and opened["name"] == "quiz":
            cell = text_cell(cell, question(opened["key"], lang))
        elif opened and opened["name"] == "glossary":
            cell = text_cell(cell, glossary(lang))
        elif opened and "static" not in tags:
            cell = text_cell(cell, f'<p class="moves">{WORDS["moves"][lang]} {run_link(name, lang)}</p>')
        else:
            show(cell, tags, lang, cells, widget=bool(opened))
        cells.append(cell)
    notebook.cells = cells
    return notebook


def anchored(notebook):
    """Give each text but the title an id, ``cell-`` and the cell's own: one link for both languages."""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            cell.source = f'<span id="cell-{cell.id}"></span>\n\n{cell.source}'
    return notebook


def text_cell(cell, source: str):
    return nbformat.v4.new_markdown_cell(source, id=cell.id)


def show(cell, tags, lang: str, before, widget: bool) -> None:
    """Say how Sphinx is to show a cell of code: what only sets up is folded."""
    tags = [tag for tag in tags if tag != CHECKED]
    shown = {}
    if widget:
        tags = [*tags, "remove-input"]
    elif "parameters" in tags:
        shown["code_prompt_show"] = shown["code_prompt_hide"] = WORDS["setup"][lang]
        tags = [*tags, "hide-input"]
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            width = output.metadata["image/png"]["width"]
            shown["image"] = {"alt": alternative(before, lang), "width": f"{width}px"}
    cell.metadata = nbformat.from_dict({"tags": tags, "mystnb": shown})


def alternative(cells, lang: str) -> str:
    """What stands for the picture after these cells: heading and begin of its section, what was said last."""
    said = [cell.source for cell in cells if cell.cell_type == "markdown" and not cell.source.startswith("<")]
    section, last = (re.split(r"(?m)^#+ ", text)[-1] for text in ("\n\n".join(said), said[-1]))
    heading, _, begin = section.partition("\n")
    begin, last = begin.strip().partition("\n\n")[0], "" if last == section else last
    spoken = " ".join(plain(text) for text in (begin, last) if text)
    return WORDS["picture"][lang].format(heading=plain(heading), said=spoken.rstrip(":："))


def plain(text: str) -> str:
    """Markdown with formulas as one line of text."""
    text = re.sub(r"\\[td]?frac *\{?(\w)\}?\{?(\w)\}?", r"\1/\2", text)
    text = re.sub(r"[*`$]|\\!", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text))
    text = re.sub(r"\\[,;]", " ", text)
    return " ".join(re.sub(r"\\([A-Za-z]+)", _sign, text).replace("{", "").replace("}", "").split())


SIGNS = {"sqrt": "√", "times": "×", "cdot": "·", "approx": "≈", "langle": "⟨", "rangle": "⟩", "infty": "∞"}


def _sign(match) -> str:
    if match[1] in SIGNS:
        return SIGNS[match[1]]
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {match[1].removeprefix('var')}")
    except KeyError:
        return match[1]


def question(key: str, lang: str) -> str:
    """A question, its choices, and, folded, which is right and what there is to say to each."""

    def said(name):
        return html.escape(words.text(f"quiz.{key}.{name}", lang))

    choices = [
        (right, said(f"{letter}_{'right' if right else 'wrong'}"), said(f"{letter}_why"))
        for letter, right in quizzes.choices(key).items()
    ]
    options = "".join(f"<li>{choice}</li>" for _, choice, _ in choices)
    replies = "".join(
        f"<li>{MARK[right]} <b>{shown}</b> {reply}</li>"
        for shown, (right, _, reply) in zip(string.ascii_uppercase, choices, strict=False)
    )
    return (
        f'<section class="quiz" aria-label="{WORDS["quiz"][lang]} {key}">'
        f"<p><strong>{said('question')}</strong></p>"
        f'<ol type="A">{options}</ol><details><summary>{WORDS["answer"][lang]}</summary>'
        f"<ul>{replies}</ul></details></section>"
    )


MARK = {True: "✓", False: "✗"}


def glossary(lang: str) -> str:
    """The terms as a table; in Markdown, as there are formulas in it."""
    terms = course.glossary(lang=lang)
    rows = [terms.headings, ["---"] * len(terms.headings), *terms.rows]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(['<div class="glossary">', "", *lines, "", "</div>"])


def solution(key: str, source: str, lang: str) -> str:
    """An exercise's hints and its solution, folded: the code, and what is said to the right answer."""
    code = re.sub(r"(?m)^    ", "", source.removeprefix("if SOLVE:\n"))
    right = words.table()[f"check.{key}.right"][lang]
    if "{" in right and vars(course.own(key)):
        scope = {"np": np, "ik": ik, "mine": course.own(key), "SEED": 0}
        exec(code, scope)
        right = checks.verdict(key, scope["answer"], lang=lang).message
    said = f"\n{MARK[True]} {right}\n" if "{" not in right else ""
    hints = "".join(
        f'<details class="solution"><summary>{heading}</summary><p>{html.escape(hint)}</p></details>\n'
        for heading, hint in checks.hints(key, lang=lang)[:-1]
    )
    return (
        f'{hints}\n<details class="solution"><summary>{WORDS["solution"][lang]}</summary>\n\n'
        f"```python\n{code}\n```\n{said}\n</details>"
    )


def run_url(name: str, lang: str) -> str:
    return f"../../lite/notebooks/index.html?path={lang}/{name}.ipynb"


def run_link(name: str, lang: str) -> str:
    return f'<a class="run" href="{run_url(name, lang)}">{WORDS["run"][lang]}</a>'


def linked(source: str, name: str, lang: str) -> str:
    """The links of a cell, those to the site and the other edition; beside these one to run the lesson."""
    twin = other(lang)
    source = re.sub(rf"\[([^]]*)\]\({SITE}/{lang}/([^)]*)\)", r'<a href="../\2">\1</a>', source)
    pattern = rf"\[([^]]*)\]\(\.\./{twin}/(\w+)\.ipynb\)(.*)"
    return re.sub(
        pattern,
        rf'<a href="../../{twin}/lessons/\2.html" lang="{twin}">\1</a>\3 · {run_link(name, lang)}',
        source,
    )


# The build ------------------------------------------------------------------------------------------


def sources(lang: str, folder: Path) -> None:
    """Bring together what is in that language."""
    shutil.copytree(ROOT / "notebooks" / lang, folder / "lessons", ignore=lambda *_: {".ipynb_checkpoints"})
    for page in DOCS.glob("*.md"):
        if page.name.endswith(".zh.md") == (lang == "zh"):
            shutil.copy(page, folder / page.name.replace(".zh.md", ".md"))
    if lang == "en":
        shutil.copytree(DOCS / "api", folder / "api")
        shutil.copy(ROOT / "SECURITY.md", folder / "security.md")


# Not for readers: the theme's maps of its scripts, its translations, which are in the pages already, and a
# script of 1.5 MB that draws the icons anew, which the theme's style sheet sets from a font.
ICONS = "fontawesome.js"
LEFT_OUT = shutil.ignore_patterns(
    ICONS, "*.map", "*-macros.html", "locales", "_sources", ".buildinfo", ".doctrees", "objects.inv"
)


def build(out: Path, work: Path) -> None:
    """Build both languages, at the same time, and bring them to ``out`` with the front page."""
    runs = []
    for lang in words.LANGUAGES:
        source, made = work / lang / "source", work / lang / "html"
        shutil.rmtree(work / lang, ignore_errors=True)
        sources(lang, source)
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", DOCS]
        runs.append(subprocess.Popen([*command, "-D", f"language={SPHINX[lang]}", source, made]))
    codes = [run.wait() for run in runs]
    if any(codes):
        raise SystemExit("Sphinx found something wrong, see above")
    for lang in words.LANGUAGES:
        shutil.rmtree(out / lang, ignore_errors=True)
        shutil.copytree(work / lang / "html", out / lang, ignore=LEFT_OUT)
        for page in (out / lang).rglob("*.html"):
            page.write_text(themed(page.read_text(encoding="utf-8"), lang), encoding="utf-8")
        first = nbformat.read(ROOT / "notebooks" / lang / "00_start_here.ipynb", as_version=4)
        (png,) = (cell.outputs[0].data["image/png"] for cell in first.cells if cell.get("outputs"))
        (out / f"taste.{lang}.png").write_bytes(base64.b64decode(png))
    shutil.copy(DOCS / "landing.html", out / "index.html")


def themed(page: str, lang: str) -> str:
    """The page, mended where the theme's templates are: for who listens to it, and in its language."""
    page = page.replace(' aria-label="Toggle hidden content"', "")  # the fold's own words say more
    page = re.sub(r'(<button class="btn search-button-field[^>]*) aria-label="[^"]*"', r"\1", page)
    fold = '<summary><span class="toctree-toggle"'
    page = page.replace(fold, fold.replace("<summary", f'<summary aria-label="{WORDS["more"][lang]}"'))
    page = re.sub(rf"<script [^>]*/{ICONS}[^>]*></script>", "", page)
    # Sphinx does not always know where a name is documented that is imported by another module.
    page = re.sub(r'<a class="viewcode-back"[^>]*>.*?</a>', "", page)
    for english, said in THEME.items() if lang == "zh" else ():
        page = page.replace(f'"{english}"', f'"{said}"').replace(f">{english}<", f">{said}<")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    build(parser.parse_args().folder.resolve(), ROOT / "build" / "pages")


if __name__ == "__main__":
    main()
