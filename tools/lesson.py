"""Make a new lesson that runs and says, in place, what to write: `make lesson NAME=09_orthogonal`.

Makes the lesson's room and its words in initkit/course/lessons, and both notebooks; links the lesson from
README, from the maps of lesson 00, from the lesson before and from the API pages; gives it a meeting on the
teacher's page; runs the notebooks and stores what is compared. What is to be written is marked WRITE, in
Chinese texts 待写.
"""

from __future__ import annotations

import argparse
import keyword
import re
import subprocess
import sys
from pathlib import Path

import nbformat

import notebooks
from initkit.packages import REQUIREMENT

ROOMS = Path(__file__).parents[1] / "initkit" / "course" / "lessons"

IMPORTS = f"""\
try:
    import initkit as ik
except ImportError as missing:
    raise ImportError(
        '先运行 / first run: %pip install "{REQUIREMENT}"'
    ) from missing
from initkit import course, live"""

# In all that follows, NN is the lesson's number, ROOM its name, CLASS the name of its picture.

ROOM = '''\
"""Lesson NN: WRITE the question of the lesson, in one sentence."""

from __future__ import annotations

import functools

from ... import datasets, initializers, plots
from ...network import MLP
from ...signals import measure
from ...widgets import controls
from ...words import Language
from .. import answers
from ..registry import exercise, live_figure

DEPTH, WIDTH = 12, 100


class CLASS(plots.Picture):
    """WRITE what it shows. Two panels, q forward and the gradient backward, are ``plots.SignalsByLayer``."""

    def build(self):
        """Draw what stands still, once, and create what moves, empty. Its words stand in the .toml beside."""
        axes = self.figure.subplots()
        self.figure.subplots_adjust(left=0.09, right=0.97, top=0.88, bottom=0.13)
        axes.set(xlim=(0.5, DEPTH + 0.5), yscale="log", ylim=(1e-12, 1e2))
        axes.set_title(self.text("ROOM.title"), loc="left")
        axes.set_xlabel(self.text("signal.layer"))
        # Colours: MEASURED is for what is measured, THEORY for what is predicted, QUIET for the background.
        self.points = self.curve(axes, "o", color=plots.MEASURED, clip_on=False)

    def update(self, q):
        """Set what moves, from results: here ``q`` (layers,). Compute nothing, create no artist."""
        self.points.set_data(range(1, len(q) + 1), q)


@live_figure
def ROOM(*, lang: Language, seed: int = 0):
    """WRITE which net, on which data, is shown, and what the controls change."""
    x = datasets.digits().x_train[:50]
    picture = CLASS(lang)

    def respond(gain):
        # Called with the value of every control, by name, when one has moved. Work that takes longer than
        # a tenth of a second yields now and then: what the picture shows by then is seen, and a newer value
        # ends the work.
        init = functools.partial(initializers.xavier_normal, gain=gain)
        net = MLP([64, *[WIDTH] * (DEPTH - 1), 10], "tanh", init, rng=seed)
        picture.update(measure(net, x).q)

    # Other controls: log_slider, steps, choice, function.
    # The slider's lowest and highest value, its step, its start.
    return picture, {"gain": controls.slider("ROOM.gain", lang, 0.1, 3.0, 0.1, 1.0)}, respond


@exercise("NN.1")
def factor_of_a_layer(answer):
    """WRITE what is right. Of every key, and of what is no answer at all, an example, which is tested:

    >>> factor_of_a_layer(0.25)
    ('right', {})
    >>> factor_of_a_layer(0.5)
    ('root', {})
    >>> factor_of_a_layer(7)
    ('other', {})
    >>> factor_of_a_layer("a quarter")
    ('type', {'wanted': 'float', 'came': 'str'})
    """
    # The key of what to say, a name in the section check.NN.1 of the words, and the fields of its {braces}.
    # Look at a property of the answer, and name the usual mistakes. Or: between, weights, kept.
    return answers.nearest(answer, {"right": 0.5**2, "root": 0.5})
'''

WORDS = """\
# Lesson NN: what its figure says, its questions, and what its exercises may get to hear.
# {braces} are filled in by the code; those of a formula are written twice, $2^{{20}}$. No Chinese inside $…$:
# mathtext has no glyphs for it. Questions, checks and hints are shown as they are: 2²⁰, 1/√n.

[ROOM]
title = { zh = "待写：图的标题（信号的均方 q）", en = "WRITE: the title (the signal's mean square q)" }
gain = { zh = "增益", en = "Gain" }

# A question: its choices, one of them right, and to each what there is to say once it is chosen. They are
# shown in an order that hangs on the question's number.
["quiz.NN.1"]
question = { zh = "待写：先猜再看的问题", en = "WRITE: a question to be guessed before the picture is seen" }
a_wrong = { zh = "待写：一个常见的错误", en = "WRITE: a usual mistake" }
a_why = { zh = "待写：错在哪里", en = "WRITE: why it is one" }
b_right = { zh = "待写：正确的回答", en = "WRITE: the right choice" }
b_why = { zh = "对。待写：为什么", en = "Right. WRITE: why" }
c_wrong = { zh = "待写：另一个常见的错误", en = "WRITE: another usual mistake" }
c_why = { zh = "待写：又错在哪里", en = "WRITE: why that is one" }

# What the check of an exercise may say: each of its keys. Of "type" the words are there already.
["check.NN.1"]
right = { zh = "对。待写：为什么", en = "Right. WRITE: why" }
root = { zh = "待写：对这个错误说什么", en = "WRITE: what to say to this mistake" }
other = { zh = "不对。待写：从哪里想起", en = "No. WRITE: where to begin" }

# The hints below a check that is not content, opened one after another; the third is the solution's code.
["hint.NN.1"]
nudge = { zh = "待写：往哪里想", en = "WRITE: what to think of" }
formula = { zh = "待写：公式", en = "WRITE: the formula" }
"""

# Of both notebooks: a cell's id, its tags, and the text, English and Chinese; of code, which both share, one.
# Give a new cell a readable id, too.
CELLS = [
    (
        "title",
        "",
        """\
# NN · TITLE

**English** · [中文](../zh/NAME.ipynb) · [all lessons](00_start_here.ipynb)

**The question**: WRITE.

- **You will be able to** WRITE.
- **You need** WRITE.
- **Time**: 30 minutes.""",
        """\
# NN · TITLE

[English](../en/NAME.ipynb) · **中文** · [全部课程](00_start_here.ipynb)

**要回答的问题**：待写。

- **学完以后**，你能待写。
- **需要的基础**：待写。
- **时间**：30 分钟。""",
    ),
    (
        "idea",
        "",
        """\
## WRITE: the idea

WRITE what theory says, with its steps, so that the reader can predict what comes next. For example:

$$q_{l+1} = n\\,\\sigma^2\\,\\langle a_l^2 \\rangle$$""",
        """\
## 待写：想法

待写：理论怎么说，一步一步推导，让读者能预测接下来会看到什么。例如：

$$q_{l+1} = n\\,\\sigma^2\\,\\langle a_l^2 \\rangle$$""",
    ),
    ("parameters", "parameters", 'LANG = "en"\nSEED = 0\nSOLVE = False\nSTUDENT = ""'),
    ("imports", "", IMPORTS),
    (
        "live-before",
        "",
        """\
## WRITE: predict, then look

WRITE what the picture shows, what to look for, and what to guess first.""",
        """\
## 待写：先猜再看

待写：图里画的是什么，该看哪里，先猜什么。""",
    ),
    ("quiz", "", 'course.quiz("NN.1", lang=LANG)'),
    ("live", "", "live.ROOM(lang=LANG, seed=SEED)"),
    ("live-after", "", "**What you saw.** WRITE.", "**看到了什么？** 待写。"),
    (
        "still-before",
        "",
        "The same picture standing still, at a gain of 2:",
        "同一张图的静止版本，增益为 2：",
    ),
    ("still", "static", "live.ROOM.still(lang=LANG, seed=SEED, gain=2.0)"),
    (
        "measure-before",
        "",
        """\
## WRITE: on real data

WRITE what the next cell does, and what to guess.""",
        """\
## 待写：用真实数据验证

待写：下一个单元格做什么，先猜什么。""",
    ),
    (
        "measure",
        "nbval-check-output",
        """\
fan_in, fan_out = ik.fans((100, 64))
print("fan_in", fan_in, "fan_out", fan_out)""",
    ),
    ("measure-after", "", "**What you saw.** WRITE.", "**看到了什么？** 待写。"),
    (
        "exercise-1",
        "",
        """\
## Exercises

Put your answer in the place of `...`, then run that cell and the check below it.

**1.** WRITE the exercise. (For now: a layer halves the signal. By what factor does q change?)""",
        """\
## 练习

把 `...` 换成你的答案，先运行那个单元格，再运行下面的检查。

**1.** 待写：题目。（现在是：每过一层，信号减半，它的均方变为原来的几倍？）""",
    ),
    ("answer-1", "exercise", "answer = ..."),
    ("solution-1", "solution", "if SOLVE:\n    answer = 0.25"),
    ("check-1", "", 'course.check("NN.1", answer, lang=LANG)'),
    (
        "remember",
        "",
        """\
## Three sentences to remember

1. WRITE.
2. WRITE.
3. WRITE.

## Further reading

- WRITE.
""",
        """\
## 记住三句话

1. 待写。
2. 待写。
3. 待写。

## 延伸阅读

- 待写。
""",
    ),
]

# On the teacher's page.
MEETING = {
    "en": """\
## NN · TITLE

| minutes | cell | ask the class before it is run |
|--:|---|---|
| 45 | <a href="lessons/NAME.html#cell-live">the live figure</a> | WRITE what to ask, and plan 90 minutes |
| 45 | <a href="lessons/NAME.html#cell-exercise-1">Exercises</a> | WRITE |

**What students get wrong**

- WRITE, of the question: <!-- quiz.NN.1.a_wrong -->what they say.

**Open questions**
""",
    "zh": """\
## NN · TITLE

| 分钟 | 单元格 | 运行之前问 |
|--:|---|---|
| 45 | <a href="lessons/NAME.html#cell-live">可以动的图</a> | 待写：问什么；一共 90 分钟 |
| 45 | <a href="lessons/NAME.html#cell-exercise-1">练习</a> | 待写 |

**学生常错的地方**

- 待写：小测验里，<!-- quiz.NN.1.a_wrong -->学生会怎么答。

**开放题**
""",
}
RUBRIC = """
<details class="solution"><summary>WRITE</summary>

1. WRITE.
2. WRITE.
3. WRITE.
4. WRITE.

</details>
"""


def with_meeting(page: str, number: str, meeting: str) -> str:
    """The teacher's page with a lesson's meeting, before the first with a greater number."""
    later = (m.start() for m in re.finditer(r"(?m)^## (\d\d[a-z]?) ", page) if m[1] > number)
    if (at := next(later, None)) is None:
        return f"{page}\n{meeting}"
    return f"{page[:at]}{meeting}\n{page[at:]}"


def notebook(lang: str, fill) -> nbformat.NotebookNode:
    cells = []
    for name, tag, *texts in CELLS:
        code = len(texts) == 1
        make = nbformat.v4.new_code_cell if code else nbformat.v4.new_markdown_cell
        cell = make(fill(texts[0] if code or lang == "en" else texts[1]).rstrip("\n"), id=name)
        if tag:
            cell.metadata["tags"] = [tag]
        if tag == "solution":
            cell.metadata["jupyter"] = {"source_hidden": True}
        if tag == "parameters":
            cell.source = cell.source.replace('"en"', f'"{lang}"')
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata=notebooks.METADATA)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="number and name, such as 09_orthogonal")
    parser.add_argument("--en", default="", help="the title in English")
    parser.add_argument("--zh", default="", help="the title in Chinese")
    asked = parser.parse_args()
    name = re.fullmatch(r"(\d\d[a-z]?)_([a-z][a-z0-9_]*)", asked.name)
    if not name or keyword.iskeyword(name[2]):
        parser.error(
            f"NAME must be two digits, a letter or none, _ and a name in small letters, as 09_orthogonal; "
            f"not {asked.name!r}"
        )
    number, room = name.groups()
    if taken := [lesson for lesson in notebooks.lessons() if notebooks.number_of(lesson) == number]:
        parser.error(f"NAME: {taken[0]} has the number {number}")
    from initkit import live, words

    if hasattr(live, room) or any(key.startswith(f"{room}.") for key in words.table()):
        parser.error(f"NAME: a live figure, or a section of the words, is called {room!r} already")
    plain = room.replace("_", " ").capitalize()
    titles = {"en": asked.en or plain, "zh": asked.zh or f"待写：{plain}"}

    def fill(text: str, lang: str = "en") -> str:
        names = {"NN": number, "NAME": asked.name, "ROOM": room, "TITLE": titles[lang]}
        names["CLASS"] = plain.title().replace(" ", "")
        return re.sub(rf"\b({'|'.join(names)})\b", lambda m: names[m[0]], text)

    made = [ROOMS / f"{room}.py", ROOMS / f"{room}.words.toml"]
    for path, text in zip(made, (ROOM, WORDS), strict=True):
        path.write_text(fill(text), encoding="utf-8")
    books = {lang: notebook(lang, lambda text, lang=lang: fill(text, lang)) for lang in ("en", "zh")}
    notebooks.sync(books["en"], books["zh"], accepted=lambda cell: True)
    for lang, book in books.items():
        made.append(notebooks.ROOT / lang / f"{asked.name}.ipynb")
        notebooks.write(book, made[-1])
    tool = [sys.executable, notebooks.__file__]
    subprocess.run([*tool, "sync"], check=True)  # the links
    subprocess.run([*tool, "record", "--lesson", number], check=True)
    root = notebooks.ROOT.parent
    api = root / "docs" / "api" / "course.rst"
    pages = api.read_text(encoding="utf-8")
    figures = pages.index("currentmodule:: initkit.live")
    end = pages.rindex(last := ".. autofunction:: ", figures, pages.index(".. currentmodule::", figures))
    end = pages.index("\n", end)
    api.write_text(f"{pages[:end]}\n{last}{room}{pages[end:]}", encoding="utf-8")
    changed, names = [notebooks.README, api], notebooks.lessons()
    before = names[names.index(f"{asked.name}.ipynb") - 1]
    for lang, ending in (("en", ".md"), ("zh", ".zh.md")):
        changed.append(page := root / "docs" / f"teaching{ending}")
        rubric = RUBRIC if lang == "en" else RUBRIC.replace("WRITE.", "待写。").replace("WRITE", "待写")
        text = with_meeting(page.read_text(encoding="utf-8"), number, fill(MEETING[lang] + 2 * rubric, lang))
        page.write_text(text, encoding="utf-8")
        changed += [notebooks.ROOT / lang / name for name in sorted({notebooks.FIRST, before})]
    print("made", *(path.relative_to(root) for path in made), sep="\n  ")
    print("changed", *(path.relative_to(root) for path in sorted(changed)), sep="\n  ")
    print("docs/teaching.md and docs/teaching.zh.md say at their top how many meetings there are")
    print(
        r'what to write: git grep -n --untracked "WRITE\|待写" -- '
        "notebooks initkit/course/lessons README.md docs/teaching*"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
