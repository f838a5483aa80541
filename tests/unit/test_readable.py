"""A lesson as the reading pages show it: what only a kernel can show becomes text, answers folded."""

import re

import nbformat
import pages
import pytest

CODE = nbformat.v4.new_code_cell
PNG = {"output_type": "execute_result", "data": {"image/png": "", "text/plain": ""}, "execution_count": 1,
       "metadata": {"image/png": {"width": 860, "height": 390}}}  # fmt: skip


def read(*cells, lang="en"):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(cell) for cell in cells])
    return pages.readable(notebook, "05_he", lang).cells


def markdown(text):
    return nbformat.v4.new_markdown_cell(text)


@pytest.mark.parametrize(("lang", "right"), [("en", "The mean square of a"), ("zh", "a 的均方")])
def test_a_quiz_is_its_question_its_choices_and_what_there_is_to_say_folded(lang, right):
    (cell,) = read(CODE('course.quiz("05.1", lang=LANG)'), lang=lang)
    asked, folded = cell.source.split("<details>")
    assert cell.cell_type == "markdown"
    assert re.findall("<li>(.*?)</li>", asked)[1] == right
    replies = re.findall("<li>(.*?)</li>", folded)
    assert [reply[: len("✓ <b>A</b>")] for reply in replies] == ["✗ <b>A</b>", "✓ <b>B</b>", "✗ <b>C</b>"]
    assert "✓" not in asked
    assert "\n" not in cell.source  # Markdown would take it up again after a blank line


def test_an_exercise_is_its_task_its_hints_and_its_solution_folded():
    task, answer = read(
        markdown("**1.** Which gain?"),
        CODE("answer = ...", metadata={"tags": ["exercise"]}),
        CODE("if SOLVE:\n    a = 2\n    answer = [\n        a,\n    ]", metadata={"tags": ["solution"]}),
        CODE('course.check("05.2", answer, lang=LANG)'),
    )
    assert task.source == "**1.** Which gain?"
    hint, formula, solution, _ = answer.source.split("</details>")
    assert hint.startswith('<details class="solution"><summary>A hint</summary><p>')
    assert "½·E[z⁴]" in formula
    assert solution.strip().startswith(
        '<details class="solution"><summary>Solution</summary>\n\n```python\na = 2\n'
    )
    assert "answer = [\n    a,\n]\n```" in answer.source
    assert "✓ Right: E[f²]" in answer.source


def test_a_live_figure_says_that_it_moves_and_its_picture_has_words():
    _, live, said, still = read(
        markdown("## Play *with* it\n\nLook."),
        CODE("live.he(lang=LANG, seed=SEED)"),
        markdown(r"The same, at $\sigma_w = \tfrac12$:"),
        CODE("live.he.still(lang=LANG)", metadata={"tags": ["static"]}, outputs=[PNG]),
    )
    assert "lite/notebooks/index.html?path=en/05_he.ipynb" in live.source
    assert "remove-input" in still.metadata.tags
    assert still.metadata.mystnb.image.alt == "Picture: Play with it. Look. The same, at σ_w = 1/2"
    assert said.source.endswith(":")


def test_a_formula_can_be_read_aloud():
    assert (
        pages.plain(r"**At** $\varepsilon = 10^{-6}$, [see](x.ipynb) $n_{in}\,\sigma$")
        == "At ε = 10^-6, see n_in σ"
    )


def test_setup_is_folded_into_one_and_other_code_stays():
    setup, code = read(
        CODE('LANG = "en"', metadata={"tags": ["parameters"]}),
        CODE("import numpy as np", id="imports"),
        CODE("print(1)", metadata={"tags": ["nbval-check-output"]}),
    )
    assert setup.source == 'LANG = "en"\n\nimport numpy as np'
    assert "hide-input" in setup.metadata.tags
    assert code.source == "print(1)"
    assert code.metadata.tags == []


def test_a_place_for_a_guess_is_not_shown():
    assert [cell.source for cell in read(markdown("**Guess**"), CODE("course.guess(lang=LANG)"))] == [
        "**Guess**"
    ]


def test_the_other_edition_is_a_page_and_the_lesson_can_be_run():
    (cell,) = read(markdown("**English** · [中文](../zh/05_he.ipynb) · [all](00_start_here.ipynb)"))
    assert (
        '<a href="../../zh/lessons/05_he.html" lang="zh">中文</a> · [all](00_start_here.ipynb) · <a'
        in cell.source
    )
    assert "path=en/05_he.ipynb" in cell.source


def test_every_word_of_the_pages_is_in_both_languages():
    assert all(said.keys() == {"en", "zh"} for said in pages.WORDS.values())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_glossary_is_a_table_whose_rows_are_whole(lang):
    (cell,) = read(CODE("course.glossary(lang=LANG)"), lang=lang)
    rows = [line for line in cell.source.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(pages.course.glossary(lang=lang).rows)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
