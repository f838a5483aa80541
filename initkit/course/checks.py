"""The checks of the exercises: what there is to say to an answer, and the hints for who has none."""

from __future__ import annotations

import functools
import html
import textwrap
from dataclasses import dataclass, replace

from ..notebook_files import CHECK, lessons, read
from ..words import Language, table, text
from .own import own
from .progress import EXERCISES, keep
from .registry import CHECKS

MARKS = {True: "✓", False: "✗", None: "…"}
COLORS = {True: "#00695c", False: "#b00020", None: "#555555"}


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer. Shows itself in a notebook and in a quiz.

    Attributes
    ----------
    ok : bool or None
        Whether the answer is right; None where there is none yet.
    message : str
        In the reader's language.
    key : str
        The name of what is said, "other" for a mistake that has none.
    hints : tuple
        Each with its heading; a reader opens one after another.
    """

    ok: bool | None
    message: str
    key: str = ""
    hints: tuple[tuple[str, str], ...] = ()

    def __str__(self):
        return f"{MARKS[self.ok]} {self.message}"

    __repr__ = __str__

    def _repr_html_(self):
        style = f"color: {COLORS[self.ok]}; line-height: 1.5"
        folded = ""
        for heading, hint in reversed(self.hints):  # each inside the one before
            said = f'<div style="white-space: pre-wrap">{html.escape(hint)}</div>'
            folded = f'<details style="margin-left: 1em"><summary>{heading}</summary>{said}{folded}</details>'
        return f'<div role="status" style="{style}">{html.escape(str(self))}</div>{folded}'


def check(name: str, answer: object, *, lang: Language, student: str = "") -> Verdict:
    """What there is to say to an answer to an exercise. A right one counts in the reader's progress.

    Parameters
    ----------
    name : str
        The exercise, "02.1" for one.
    answer : object
        Whatever the reader wrote; ``...`` is an answer that has not been given yet.
    lang : {"en", "zh"}
        The language.
    student : str
        Whose numbers count, as in ``own``.

    Returns
    -------
    Verdict
        With hints, where the answer is not right.

    Raises
    ------
    KeyError
        There is no such exercise. No answer raises anything.

    Examples
    --------
    >>> check("02.1", ..., lang="en").ok is None
    True
    """
    said = verdict(name, answer, lang=lang, student=student)
    if said.ok:
        keep(EXERCISES, name, True)
        return said
    return replace(said, hints=hints(name, lang=lang))


def verdict(name: str, answer: object, *, lang: Language, student: str = "") -> Verdict:
    """``check`` that keeps nothing and gives no hints."""
    numbers, of_text = vars(own(name, student)), vars(own(name))
    if answer is ... or answer is None:
        return Verdict(None, text("check.untouched", lang))
    try:
        key, fields = CHECKS[name](answer, **numbers)
        unnamed = key in ("close", "other", "small", "large", "shape") and numbers != of_text
        if unnamed and CHECKS[name](answer, **of_text)[0] == "right":
            key = "texts"
    except Exception as error:  # whatever a reader's answer may do
        return Verdict(False, text("check.failed", lang, error=f"{type(error).__name__}: {error}"))
    said = f"check.{key}" if key in ("close", "type", "texts") else f"check.{name}.{key}"
    return Verdict(key == "right", text(said, lang, **(numbers | fields)), key)


def hints(name: str, *, lang: Language) -> tuple[tuple[str, str], ...]:
    """To an exercise: a nudge, the formula, and the answer, as the lesson's solution has it in code.

    >>> [heading for heading, _ in hints("05.1", lang="en")]
    ['A hint', 'The formula', 'The answer']
    """
    steps = {step: f"hint.{name}.{step}" for step in ("nudge", "formula")}
    said = {step: text(key, lang) for step, key in steps.items() if key in table()}
    lesson = name.partition(".")[0]
    if name in solutions(lesson):
        said["answer"] = solutions(lesson)[name]
    return tuple((text(f"check.{step}", lang), hint) for step, hint in said.items())


@functools.cache
def solutions(lesson: str) -> dict[str, str]:
    """The code that ``SOLVE`` runs in a lesson, by exercise."""
    found, code = {}, ""
    for cell in (cell for path in (lessons() / "en").glob(f"{lesson}_*.ipynb") for cell in read(path)):
        if "solution" in cell["tags"]:
            code = textwrap.dedent(cell["source"].partition("\n")[2])
        elif match := CHECK.search(cell["source"]):
            found[match[1]] = code
    return found
