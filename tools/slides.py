"""Make slides of a lesson, from the lesson's own cells, by rule: nothing is marked in a notebook.

    python tools/slides.py --lesson 04 --lang zh    writes build/slides/zh/04_xavier.html

The rule looks at what a cell is made of, never at how long it is, so that both editions have the same slides:

- a heading begins a slide, and stands on all slides up to the next;
- a formula, a table (six rows at most), code, a question and a picture have a slide each, with what leads to
  it: the last sentence before it, and paragraphs that begin in bold;
- of other paragraphs and of a list's items the first sentence is shown, and what they ask; a guess whole;
  remarks in parentheses never;
- code has its stored output with it, which comes when the teacher goes on; a live figure, which takes a
  kernel, has its stored picture and a link to where it runs;
- the whole text is in the notes, with the answers. The glossary, settings and imports are left out.

nbconvert writes the deck, for reveal.js, whose files (from npm, see noxfile.py) go beside it: it opens from
a disk, without a network. Formulas are MathML, as on the reading pages.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pages
from nbconvert import SlidesExporter
from pages import DOCS, ROOT, SITE, WORDS
from traitlets.config import Config

sys.path.append(str(DOCS))
ROWS = 6  # of a table, on a slide
STILL = ("still-before", "still")  # the cells of a live figure's stored picture
TEMPLATE = Path(__file__).with_name("slides.html.j2")
STYLE = Config(CSSHTMLHeaderPreprocessor={"style": "default"})  # colours of code
REVEAL = ("reset.css", "reveal.css", "reveal.js", "plugin/notes.js")


@dataclass
class Slide:
    """What is seen (Markdown), then what comes when one goes on, and what the teacher reads."""

    heading: str
    first: bool = False  # of its heading
    seen: list[str] = field(default_factory=list)
    code: str = ""
    then: str = ""
    notes: list[str] = field(default_factory=list)


def blocks(source: str) -> list[str]:
    """Markdown, cut at blank lines; fences and folds stay whole.

    >>> blocks("a\\nb\\n\\n<details>\\n\\nc\\n\\n</details>\\n\\n$$x$$")
    ['a\\nb', '<details>\\n\\nc\\n\\n</details>', '$$x$$']
    """
    cut: list[str] = []
    for part in re.split(r"\n{2,}", source.strip()):
        is_open = cut and (
            cut[-1].count("```") % 2 or cut[-1].count("<details") > cut[-1].count("</details>")
        )
        if is_open:
            cut[-1] += f"\n\n{part}"
        else:
            cut.append(part)
    return cut


def sentences(text: str) -> list[str]:
    """Formulas, code, bold and parentheses stay whole, and a bold lead goes with what it leads to.

    >>> sentences("**What you saw.** By 0.5 (i. e. half. Or so). X. Glorot says so.")
    ['**What you saw.** By 0.5 (i. e. half. Or so).', 'X. Glorot says so.']
    >>> sentences("**看到了什么？** 一半。（另一半呢？没有了。）好。")
    ['**看到了什么？** 一半。', '（另一半呢？没有了。）', '好。']
    """
    text, found, start = " ".join(text.split()), [], 0
    for end in re.finditer(r"(?<=[^A-Z\s])[.?!](\*\*)?(?=\s|$)|[。？！](\*\*|[）”])*|$", text):
        part = text[start : end.end()].strip()
        whole = not any(part.count(mark) % 2 for mark in ("**", "$", "`"))
        whole &= all(part.count(left) <= part.count(right) for left, right in ("()", "（）", "“”"))
        if not end[0] or (whole and not re.fullmatch(r"\*\*[^*]*\*\*", part)):
            found.append(part)
            start = end.end()
    return [sentence for sentence in found if sentence]


GUESS = re.compile(r"[^*]*\*\*(Guess|猜一猜)")


def is_list(block: str) -> bool:
    return bool(re.match(r"(-|\d+\.) ", block))


def items(block: str) -> str:
    """A list, what matters of each item."""
    cut = (item.split(" ", 1) for item in re.split(r"\n(?=-|\d+\.)", block))
    return "\n".join(f"{mark} {gist(text)}" for mark, text in cut)


def is_shown(block: str) -> bool:
    return block.startswith(("$$", "|", "```"))


def pieces(block: str) -> list[str]:
    """A table in parts that a slide can hold, each with the heading row."""
    if not block.startswith("|"):
        return [block]
    head, rows = block.split("\n")[:2], block.split("\n")[2:]
    size = -(-len(rows) // -(-len(rows) // ROWS))  # as even as can be
    return ["\n".join(head + rows[at : at + size]) for at in range(0, len(rows), size)]


def gist(text: str) -> str:
    """A paragraph's first sentence, or three of what was seen, and what it asks; a guess whole.

    >>> gist("A net. It is deep. Does it train? Look.")
    'A net. Does it train?'
    """
    first, *others = sentences(text)
    some = 2 if re.match(r"\*\*[^*]*[.?？]\*\*", text) else 0
    asked = [s for n, s in enumerate(others) if n < some or s.rstrip("*）)").endswith(("?", "？"))]
    joined = re.sub(r"(?<=[。？！）”]) ", "", " ".join([first, *asked]))
    return text if GUESS.match(text) else joined


def told(heading: str, texts: list[str], shown: str = "") -> list[Slide]:
    """A stretch of text as slides: what is said, then what it leads to, one piece a slide."""
    made = [Slide(heading, notes=texts)]
    seen = [text for text in texts if not text.startswith(("<", "(", "（"))]
    for text in seen:
        if is_list(text):
            made[0].seen.append(items(text))
        elif text.startswith("**") or not shown:
            made[0].seen.append(gist(text))
    if shown and seen and not is_list(seen[-1]) and (last := sentences(seen[-1])[-1]) not in made[0].seen:
        made[0].seen.append(last)
    for number, part in enumerate(pieces(shown) if shown else ()):
        if number or (made[-1].seen and not part.startswith("$$")):
            made.append(Slide(heading))
        made[-1].seen.append(part)
    return [slide for slide in made if slide.seen]


def slides(notebook, name: str, lang: str) -> list[Slide]:
    """The deck of a lesson."""
    live = f"{SITE}/lite/notebooks/index.html?path={lang}/{name}.ipynb"
    link = f'<a class="live" href="{live}">{WORDS["open_live"][lang]}</a>'
    deck: list[Slide] = []
    cells = pages.readable(notebook, name, lang).cells
    still = {cell.id: cell for cell in cells if cell.id in STILL}
    for cell in cells:
        heading = deck[-1].heading if deck else ""
        left_out = cell.id in STILL or "hide-input" in cell.metadata.get("tags", [])
        if left_out or cell.source.startswith('<div class="glossary">'):
            continue
        elif 'class="moves"' in cell.source:
            stands = [still["still-before"].source, picture(still["still"])] if still else []
            still = {}
            deck.append(Slide(heading, seen=[*(stands or [WORDS["figure"][lang]]), link]))
        elif cell.source.startswith('<section class="quiz"'):
            asked, _, answers = cell.source.partition("<details>")
            answers = f"<details open>{answers.removesuffix('</section>')}"
            deck.append(Slide(heading, seen=[re.sub("section", "div", asked) + "</div>"], notes=[answers]))
        elif cell.source.startswith('<details class="solution">'):
            deck[-1].notes.append(cell.source)
        elif cell.cell_type == "code":
            printed = html.escape("".join(output.get("text", "") for output in cell.outputs))
            then = picture(cell) if drawn(cell) else printed and f'<pre class="printed">{printed}</pre>'
            deck.append(Slide(heading, code=cell.source, then=then))
        else:
            deck += of_text(cell, heading)
    for before, slide in zip([Slide(""), *deck], deck, strict=False):
        slide.first = slide.heading != before.heading
    return deck


def of_text(cell, heading: str) -> list[Slide]:
    """A cell of text as slides; a remark after what was shown goes into its notes."""
    made: list[Slide] = []
    texts: list[str] = []

    def flush(shown: str = "") -> None:
        nonlocal texts
        if shown or not made or made[-1].heading != heading or any(map(worth, texts)):
            made.extend(told(heading, texts, shown))
        elif texts:
            made[-1].notes += texts
        texts = []

    for block in blocks(cell.source):
        if block.startswith("#"):
            flush()
            title, _, rest = block.partition("\n")
            heading = title.lstrip("# ")
            texts = [rest] if rest else []
        elif cell.id == "title" and ".ipynb)" in block:
            continue
        elif is_shown(block):
            flush(block)
        else:
            texts.append(block)
    flush()
    return made


def worth(text: str) -> bool:
    """Whether it is more than a remark after what was shown."""
    return text.startswith("**") or is_list(text)


def drawn(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


def picture(cell) -> str:
    (data,) = (o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
    alt = html.escape(cell.metadata.mystnb["image"]["alt"])
    return f'<img alt="{alt}" src="data:image/png;base64,{"".join(data.split())}">'


# The deck --------------------------------------------------------------------------------------------


def formulas(text: str) -> str:
    """Markdown with its formulas as MathML, links to other lessons as their words."""
    from extension import mathml

    def as_mathml(match) -> str:
        block = match[1] is not None
        made = mathml(match[1] if block else match[2], block).replace("|", "&#124;").replace("\n", "")
        return f'<div class="formula">{made}</div>' if block else made

    parts = re.split(r"(```.*?```|`[^`\n]*`|data:image[^\"]*)", text, flags=re.DOTALL)
    pattern = r"\$\$(.+?)\$\$|\$([^$]+)\$"
    parts[::2] = [re.sub(pattern, as_mathml, part, flags=re.DOTALL) for part in parts[::2]]
    return re.sub(r"\[([^]]*)\]\(\w+\.ipynb\)", r"\1", "".join(parts))


def notebook_of(deck: list[Slide]):
    """The slides as cells with the metadata that nbconvert knows."""
    cells = []

    def add(new, source: str, kind: str) -> None:
        if source:
            cells.append(new(source, metadata={"slideshow": {"slide_type": kind}}))

    markdown = nbformat.v4.new_markdown_cell
    for number, slide in enumerate(deck):
        level = "#" if number == 0 else "##"
        kind = "slide" if slide.first else "subslide"
        add(markdown, formulas("\n\n".join([f"{level} {slide.heading}", *slide.seen])), kind)
        add(nbformat.v4.new_code_cell, slide.code, "-")
        add(markdown, slide.then, "fragment")
        add(markdown, formulas("\n\n".join(slide.notes)), "notes")
    return nbformat.v4.new_notebook(cells=cells)


def write(lesson: str, lang: str, reveal: Path, out: Path) -> list[Path]:
    """Decks of the lessons with that number, with what reveal.js is made of beside them."""
    found = sorted((ROOT / "notebooks" / lang).glob(f"{lesson}_*.ipynb"))
    if not found or not lesson:
        paths = sorted((ROOT / "notebooks" / lang).glob("*.ipynb"))
        known = ", ".join(path.stem.partition("_")[0] for path in paths)
        raise SystemExit(f"no lesson has the number {lesson!r}; there are {known}")
    for name in (*REVEAL, "../LICENSE"):
        (out / "reveal").mkdir(parents=True, exist_ok=True)
        shutil.copy(reveal / "dist" / name, out / "reveal")
    shutil.copy(DOCS / "_static" / "math.woff", out / "reveal")
    (out / lang).mkdir(exist_ok=True)
    written = []
    for path in found:
        exporter = SlidesExporter(
            template_file=str(TEMPLATE), exclude_input_prompt=True, exclude_anchor_links=True, config=STYLE
        )
        deck = slides(nbformat.read(path, as_version=4), path.stem, lang)
        resources = {"metadata": {"name": deck[0].heading}, "lang": lang}
        body, _ = exporter.from_notebook_node(notebook_of(deck), resources)
        target = out / lang / f"{path.stem}.html"
        target.write_text(body, encoding="utf-8")
        written.append(target)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lesson", default="")
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    reveal = Path(sys.prefix) / "node_modules" / "reveal.js"  # where noxfile.py puts npm's packages
    parser.add_argument("--reveal", type=Path, default=reveal, help="the folder of npm's package reveal.js")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides")
    asked = parser.parse_args()
    for path in write(asked.lesson, asked.lang, asked.reveal, asked.out):
        print(path)


if __name__ == "__main__":
    main()
