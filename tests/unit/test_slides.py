"""The rule that makes slides of lessons: nothing is lost, nothing empty, both editions alike."""

import doctest
import re
from functools import cache

import nbformat
import pytest
import slides

from initkit import words

SHOWN = r"\$\$|\||```|<img|<div"
LESSONS = sorted(path.stem for path in (slides.ROOT / "notebooks" / "en").glob("*.ipynb"))


def notebook(name: str, lang: str):
    return nbformat.read(slides.ROOT / "notebooks" / lang / f"{name}.ipynb", as_version=4)


@cache
def deck(name: str, lang: str) -> list[slides.Slide]:
    return slides.slides(notebook(name, lang), name, lang)


def test_the_examples_of_the_rule():
    assert doctest.testmod(slides) == (0, 4)


@pytest.mark.parametrize("name", LESSONS)
def test_both_editions_have_the_same_slides(name):
    shapes = [
        [
            (
                s.first,
                bool(s.code),
                bool(s.then),
                [re.match(SHOWN, text)[0] for text in s.seen if re.match(SHOWN, text)],
            )
            for s in deck(name, lang)
        ]
        for lang in words.LANGUAGES
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("lang", words.LANGUAGES)
@pytest.mark.parametrize("name", LESSONS)
def test_no_slide_is_empty_and_every_picture_question_and_formula_is_there(name, lang):
    made, cells = deck(name, lang), notebook(name, lang).cells
    headings = [
        line for c in cells if c.cell_type == "markdown" for line in c.source.split("\n") if line[:1] == "#"
    ]
    assert len(made) > 10
    assert sum(slide.first for slide in made) >= len(headings) - 1  # but the glossary's
    assert all(slide.heading and (slide.seen or slide.code) for slide in made)
    shown = [*("\n".join(slide.seen) for slide in made), *(slide.then for slide in made)]
    for cell in cells:
        for output in cell.get("outputs", ()):
            if png := output.get("data", {}).get("image/png"):
                assert sum("".join(png.split()) in text for text in shown) == 1
        if cell.cell_type == "markdown":
            blocks = [block for block in slides.blocks(cell.source) if block.startswith("$$")]
            assert all(sum(block in text for text in shown) == 1 for block in blocks)
    quizzes = sum(cell.source.startswith("course.quiz(") for cell in cells)
    assert sum('class="quiz"' in text for text in shown) == quizzes
    assert not any("✓" in text for text in shown if 'class="printed"' not in text)


def test_what_a_slide_leaves_out_is_in_its_notes():
    source = (
        "## What\n\nA net. It is deep.\n\n(A remark.)\n\n**Guess**: how deep? And how wide?\n\n- one. Or two."
    )
    source += "\n\nIt leads here:\n\n$$x$$\n\nAfterwards.\n\n**So** it is. Really."
    first, second = slides.of_text(nbformat.v4.new_markdown_cell(source), "")
    assert first.seen == ["**Guess**: how deep? And how wide?", "- one.", "It leads here:", "$$x$$"]
    assert second.seen == ["Afterwards.", "**So** it is."]
    assert first.notes[:2] == ["A net. It is deep.", "(A remark.)"]
    assert second.notes == ["Afterwards.", "**So** it is. Really."]


def test_a_long_table_is_cut_evenly_each_part_with_its_heading():
    table = "\n".join(["| a |", "|---|", *(f"| {n} |" for n in range(7))])
    parts = [slide.seen[-1].split("\n") for slide in slides.told("T", [], table)]
    assert [len(part) for part in parts] == [2 + 4, 2 + 3]
    assert all(part[:2] == ["| a |", "|---|"] for part in parts)
