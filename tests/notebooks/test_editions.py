"""The two editions in step, the stored outputs as the policy has them, and the tool that keeps both."""

import ast
import copy
import re
from pathlib import Path

import jolt
import nbformat
import papermill
import pytest

import notebooks as tool
from initkit.course import lessons

NAMES = tool.lessons()
BOTH = [(lang, name) for name in NAMES for lang in ("en", "zh")]


@pytest.fixture(params=BOTH, ids=lambda p: "/".join(p))
def path(request):
    return tool.ROOT.joinpath(*request.param)


def test_there_are_lessons():
    assert {"00_start_here.ipynb", "01_why_initialization.ipynb"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_editions_are_in_step(name):
    assert tool.differences(*(tool.read(tool.ROOT / lang / name) for lang in ("en", "zh"))) == []


def test_what_the_chinese_code_says_is_all_that_differs():
    """Strings and comments; and every piece that printed.toml exchanges is there."""

    def without_strings(code):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                values = [value for value in node.values if isinstance(value, ast.FormattedValue)]
                node.values = sorted(
                    values, key=lambda value: ast.dump(value.value)
                )  # Chinese has its own order
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""
            elif isinstance(node, ast.FormattedValue):
                node.format_spec = None  # a Chinese name is not filled up
        return ast.dump(tree)

    code = [c.source for n in NAMES for c in tool.read(tool.ROOT / "en" / n).cells if c.cell_type == "code"]
    for source in code:
        assert without_strings(tool.in_chinese(source)) == without_strings(source)
    for piece, said in tool.printed().items():
        assert any(piece in source for source in code), piece
        assert re.search("[一-鿿。，：]", said), piece


def test_lessons_are_linked_by_their_titles():
    """From README, from lesson 00's maps, and from the lesson before."""
    books = {name: {lang: tool.read(tool.ROOT / lang / name) for lang in ("en", "zh")} for name in NAMES}
    before, readme = copy.deepcopy(books), tool.README.read_text(encoding="utf-8")
    assert tool.mend_links(books, readme) == readme, "make sync"
    assert books == before, "make sync"


def test_every_lesson_has_a_room_and_its_words():
    for name in NAMES:
        room = Path(lessons.__file__).parent / name.partition("_")[2].removesuffix(".ipynb")
        assert room.with_suffix(".py").exists(), name
        (number,) = re.findall(
            r"^# Lesson (\w+):", room.with_suffix(".words.toml").read_text(encoding="utf-8")
        )
        assert number == tool.number_of(name)


def test_stored_outputs_follow_the_policy(path):
    """As ``make strip`` leaves it, and every cell marked for comparison has something to compare."""
    notebook = tool.read(path)
    stripped = copy.deepcopy(notebook)
    tool.strip(stripped)
    assert notebook == stripped, "make strip"
    for cell in notebook.cells:
        if tool.is_checked(cell) or tool.is_static(cell):
            assert cell.outputs, f"{cell.id}: nothing stored; make record"
            assert cell.execution_count, f"{cell.id}: without a count nbval compares nothing"
        elif cell.cell_type == "code":
            assert cell.outputs == []


def test_every_lesson_compares_something():
    for name in NAMES:
        if name != "00_start_here.ipynb":  # a taste: one picture, no number
            assert any(map(tool.is_checked, tool.read(tool.ROOT / "en" / name).cells)), name


def test_metadata_names_kernel_and_language(path):
    """Without ``language_info`` ruff skips the notebook, silently."""
    notebook = tool.read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    nbformat.validate(notebook)


def test_parameters_are_the_declared_ones(path):
    """papermill only warns about a parameter that a notebook does not have."""
    assert {"LANG", "SEED"} <= set(papermill.inspect_notebook(str(path)))
    cells = [cell for cell in tool.read(path).cells if tool.is_parameters(cell)]
    assert len(cells) == 1
    assert cells[0].source.splitlines()[:2] == [f'LANG = "{path.parent.name}"', "SEED = 0"]


def test_cells_are_short_and_define_no_machinery(path):
    """A framework's cell is what one writes in it: a model there is a class, its start a function."""
    for cell in tool.read(path).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 12, cell.id
            framework = cell.source.startswith("if course.installed(")
            assert framework or not re.search(r"^\s*(class|def) ", cell.source, re.MULTILINE), cell.id


def test_links_lead_somewhere(path):
    for cell in tool.read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)", cell.source):
                if "://" not in target:
                    assert (path.parent / target).resolve().exists(), target


def test_chinese_paragraphs_are_not_broken_into_lines():
    """A line's end in Markdown is shown as a space, which Chinese does not have between words."""
    for name in NAMES:
        for cell in tool.read(tool.ROOT / "zh" / name).cells:
            if cell.cell_type == "markdown":
                broken = r"[\u3000-\u9fff\uff00-\uffef]\n *(?![-#|>\n ]|\d+\. ).*[\u3400-\u9fff]"
                prose = re.sub(r"(?s)```.*?```", "", cell.source)  # where lines are shown as they are
                assert not re.search(broken, prose), (name, cell.id)


def test_no_chinese_in_formulas(path):
    """A browser's MathJax may lack the glyphs, and matplotlib's mathtext does."""
    for cell in tool.read(path).cells:
        if cell.cell_type == "markdown":
            for formula in re.findall(r"\$\$.*?\$\$|\$[^$\n]+\$", cell.source, re.DOTALL):
                assert not re.search(r"[\u3400-\u9fff]", formula), formula


# The tool itself ----------------------------------------------------------------------------------


@pytest.fixture
def pair():
    """A lesson in step: (English, Chinese)."""
    new = nbformat.v4
    books = []
    for lang, words in (("en", "Hello $$x$$"), ("zh", "你好 $$x$$")):
        parameters = new.new_code_cell(f'LANG = "{lang}"', id="p", metadata={"tags": ["parameters"]})
        cells = [new.new_markdown_cell(words, id="a"), parameters, new.new_code_cell("1 + 1", id="c")]
        books.append(new.new_notebook(cells=cells, metadata=tool.METADATA))
    en, zh = books
    zh.cells[0].metadata["initkit"] = {"en": tool.digest(en.cells[0]), "zh": tool.digest(zh.cells[0])}
    assert tool.differences(en, zh) == []
    return en, zh


def test_changed_code_is_seen_and_copied(pair):
    en, zh = pair
    en.cells[2].source = "2 + 2"
    assert tool.differences(en, zh) == ["c: code differs"]
    assert tool.sync(en, zh) == []
    assert zh.cells[2].source == "2 + 2"
    assert zh.cells[1].source == 'LANG = "zh"'


def test_what_chinese_code_says_in_english_is_seen(pair):
    en, zh = pair
    for cell in (en.cells[2], zh.cells[2]):
        cell.source = 'print("fan_in", n, f"layers between {n} and so on")'
    zh.cells[2].source = tool.in_chinese(en.cells[2].source)
    assert tool.differences(en, zh) == ["c: ' and so on' is English: tools/printed.toml"]
    en.cells[2].source = zh.cells[2].source = "print("
    assert tool.differences(en, zh) == []


def test_what_a_cell_said_in_chinese_stays_where_its_code_does(pair):
    en, zh = pair
    for book, said in zip(pair, ("two", "二"), strict=True):
        book.cells[2].outputs = [nbformat.v4.new_output("stream", text=said)]
    assert tool.sync(en, zh) == []
    assert zh.cells[2].outputs[0].text == "二"


@pytest.mark.parametrize("edition", [0, 1])
def test_one_text_changed_without_the_other_is_seen_and_marked(pair, edition):
    pair[edition].cells[0].source += "!"
    found = tool.differences(*pair)
    assert len(found) == 1
    assert tool.sync(*pair) == found
    assert pair[1].cells[0].metadata["tags"] == ["stale"]


def test_both_texts_changed_are_taken_as_in_step(pair):
    en, zh = pair
    en.cells[0].source = "Hi $$x$$"
    tool.sync(en, zh)
    zh.cells[0].source = "嗨 $$x$$"
    assert tool.sync(en, zh) == []
    assert "tags" not in zh.cells[0].metadata


def test_a_static_picture_stays_in_its_language(pair):
    for book, picture in zip(pair, ("en…", "zh…"), strict=True):
        output = nbformat.v4.new_output("execute_result", data={"image/png": picture}, execution_count=2)
        book.cells[2].metadata["tags"] = ["static"]
        book.cells[2].outputs, book.cells[2].execution_count = [output], 2
    assert tool.sync(*pair) == []
    assert [book.cells[2].outputs[0].data["image/png"] for book in pair] == ["en…", "zh…"]


def test_every_live_figure_has_a_static_one_after_it(path):
    """For pages where nothing runs."""
    cells = [cell for cell in tool.read(path).cells if cell.cell_type == "code"]
    for cell in cells:
        if cell.source.startswith("live.") and not tool.is_static(cell):
            still = cell.source.split("(")[0] + ".still(lang=LANG, seed=SEED"
            assert any(tool.is_static(c) and c.source.startswith(still) for c in cells), cell.id


def test_an_accepted_pair_is_in_step(pair):
    en, zh = pair
    en.cells[0].source = "Hello, $$x$$"
    assert tool.sync(en, zh, accepted=lambda cell: cell == "a") == []
    assert "tags" not in zh.cells[0].metadata


def test_changed_formula_is_seen(pair):
    en, zh = pair
    zh.cells[0].source = "你好 $$y$$"
    assert "a: $$…$$ differs" in tool.differences(en, zh)


def test_a_new_cell_waits_for_its_translation(pair):
    en, zh = pair
    en.cells.append(nbformat.v4.new_markdown_cell("Bye", id="z"))
    assert tool.differences(en, zh)[0].startswith("cell ids differ")
    assert tool.sync(en, zh) == ["z: waits for its translation"]
    assert tool.sync(en, zh) == ["z: waits for its translation"]
    assert zh.cells[3].metadata["tags"] == ["stale"]
    zh.cells[3].source = "再见"
    assert tool.sync(en, zh) == []


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Two lessons, of which the second is English only, and a README, in a folder of their own."""
    new = nbformat.v4
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "README", tmp_path / "README.md")
    tool.README.write_text("|---|---|---|\n| 00 | here | 这里 |\n", encoding="utf-8")
    for lang, name in (("en", tool.FIRST), ("zh", tool.FIRST), ("en", "01_second.ipynb")):
        texts = {
            "title": "# 01 · The second (or so)",
            "map": "|---|---|---|\n| 00 | Start | this |",
            "end": "End.",
        }
        cells = [new.new_markdown_cell(text, id=name) for name, text in texts.items()]
        cells.insert(1, new.new_code_cell('LANG = "en"', id="p", metadata={"tags": ["parameters"]}))
        (tmp_path / lang).mkdir(exist_ok=True)
        tool.write(new.new_notebook(cells=cells, metadata=tool.METADATA), tmp_path / lang / name)
    in_step = [f"00_start_here:{name}" for name in texts]
    monkeypatch.setattr("sys.argv", ["notebooks.py", "sync", "--accept", *in_step])
    return tmp_path


def test_a_new_file_waits_for_its_translation_alone(course, capsys):
    assert tool.main() == 0
    said = capsys.readouterr().out
    assert "made notebooks/zh/01_second.ipynb" in said
    assert "01_second:end: waits for its translation" in said
    assert "changed" not in said
    assert tool.read(course / "zh" / "01_second.ipynb").cells[1].source == 'LANG = "zh"'
    assert tool.main() == 0  # and again


def retitled(path, title):
    book = tool.read(path)
    book.cells[0].source = f"# 01 · {title}"
    tool.write(book, path)


def test_links_follow_the_titles(course, monkeypatch):
    en, zh = (course / lang for lang in ("en", "zh"))
    tool.main()
    retitled(zh / "01_second.ipynb", "第二（大概）")
    monkeypatch.setattr("sys.argv", ["notebooks.py", "sync", "--accept", "all"])
    assert tool.main() == 0
    end = "End.\n\nNext: [01 · The second (or so)](01_second.ipynb)"
    assert tool.read(en / tool.FIRST).cells[-1].source == end
    assert tool.read(en / "01_second.ipynb").cells[-1].source == "End.\n\n" + tool.BACK["en"]
    row = "| 01 | [第二（大概）](01_second.ipynb) | 待写：要回答的问题 |"
    assert tool.read(zh / tool.FIRST).cells[2].source.splitlines()[-1] == row
    readme = tool.README.read_text(encoding="utf-8")
    links = (
        "[The second (or so)](notebooks/en/01_second.ipynb) | [第二（大概）](notebooks/zh/01_second.ipynb)"
    )
    assert readme.splitlines()[-1] == f"| 01 | {links} |"
    # A shorter form that somebody chose stays; a title that has changed is followed.
    tool.README.write_text(readme.replace("第二（大概）", "第二"), encoding="utf-8")
    retitled(en / "01_second.ipynb", "Another")
    assert tool.main() == 0
    readme = tool.README.read_text(encoding="utf-8")
    assert "[Another](notebooks/en/01_second.ipynb) | [第二](notebooks/zh/01_second.ipynb)" in readme
    assert tool.read(en / tool.FIRST).cells[-1].source == "End.\n\nNext: [01 · Another](01_second.ipynb)"
    assert tool.differences(*(tool.read(folder / tool.FIRST) for folder in (en, zh))) == []


def test_record_runs_all_before_it_jolts_and_stores_nothing_that_does_not_stand(course, monkeypatch, capsys):
    def record(notebook, folder):
        done.append(folder.name)
        notebook.cells[0].source = "another"
        return ["still"]

    def broken(notebook, folder):
        raise ValueError("an error of the notebook")

    done, before = [], {path: path.read_text(encoding="utf-8") for path in course.glob("*/*.ipynb")}
    monkeypatch.setattr(jolt, "main", lambda arguments: done.append(arguments) or 1)
    monkeypatch.setattr("sys.argv", ["notebooks.py", "record", "--jolts", "2"])
    monkeypatch.setattr(tool, "record", record)
    assert tool.main() == 1
    assert "zh/00_start_here.ipynb:still: looks as stored" in capsys.readouterr().out
    assert done == ["en", "zh", "en", ["--jolts", "2", "--only", "notebooks"]]
    monkeypatch.setattr(tool, "record", broken)
    with pytest.raises(ValueError, match=r"of the notebook\nin notebooks/en/00_start_here"):
        tool.main()
    assert len(done) == 4
    assert before == {path: path.read_text(encoding="utf-8") for path in course.glob("*/*.ipynb")}


@pytest.mark.slow  # three kernels
def test_a_picture_that_looks_the_same_is_not_recorded_anew():
    def book(color):
        code = f"from PIL import Image\nImage.new('RGB', (40, 30), ({color}, 0, 0))"
        cell = nbformat.v4.new_code_cell(code, id="still", metadata={"tags": ["static"]})
        return nbformat.v4.new_notebook(cells=[cell], metadata=tool.METADATA)

    recorded = [book(color) for color in (10, 11, 100)]
    assert tool.record(recorded[0], tool.ROOT) == []
    kept = copy.deepcopy(recorded[0].cells[0].outputs)
    for other, same in zip(recorded[1:], (True, False), strict=True):
        other.cells[0].outputs = copy.deepcopy(kept)
        assert tool.record(other, tool.ROOT) == ["still"] * same
        assert (other.cells[0].outputs == kept) is same


def test_a_moved_or_removed_cell_follows(pair):
    en, zh = pair
    en.cells = [en.cells[2], en.cells[1]]
    assert tool.sync(en, zh) == []
    assert [cell.id for cell in zh.cells] == ["c", "p"]


def test_strip_keeps_only_what_is_compared():
    new = nbformat.v4
    stream = new.new_output("stream", name="stdout", text="1\n")
    more = new.new_output("stream", name="stdout", text="2\n")
    noise = new.new_output("stream", name="stderr", text="warning\n")
    result = new.new_output("execute_result", data={"text/plain": "3", "image/png": "…"}, execution_count=41)
    outputs = [stream, more, noise, result]
    book = new.new_notebook(
        cells=[
            new.new_code_cell("1", outputs=outputs, execution_count=40, metadata={"scrolled": True}),
            new.new_code_cell(
                "1", outputs=copy.deepcopy(outputs), execution_count=41, metadata={"tags": [tool.CHECKED]}
            ),
            new.new_code_cell("1", outputs=[copy.deepcopy(result)], metadata={"tags": ["static"]}),
        ],
        metadata={"widgets": {"state": {}}},
    )
    tool.strip(book)
    assert book.metadata == tool.METADATA
    assert (book.cells[0].outputs, book.cells[0].execution_count) == ([], None)
    assert book.cells[0].metadata == {}
    kept = book.cells[1]
    assert kept.execution_count == 2
    assert [o.get("text") or o.data for o in kept.outputs] == ["1\n2\n", {"text/plain": "3"}]
    assert kept.outputs[1].execution_count == 2
    assert book.cells[2].outputs[0].data == {"text/plain": "3", "image/png": "…"}
    once = copy.deepcopy(book)
    tool.strip(book)
    assert book == once
