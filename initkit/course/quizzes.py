"""Questions: the reader commits to a guess, by a click or in words, before the figure answers."""

from __future__ import annotations

import hashlib

import ipywidgets as widgets

from ..words import Language, table, text
from .checks import Verdict
from .progress import QUESTIONS, keep


def choices(name: str) -> dict[str, bool]:
    """The choices of a question, by letter, and which is right: its keys are ``a_wrong``, ``b_right``, …

    They come in the order in which they are shown. That depends on the question's name alone, so it is the
    same for every reader, and the place of the right one tells nothing.
    """
    found = {}
    for key in sorted(table()):
        section, _, last = key.rpartition(".")
        letter, _, verdict = last.partition("_")
        if section == f"quiz.{name}" and verdict in ("right", "wrong"):
            found[letter] = verdict == "right"
    if not found:
        raise KeyError(
            f"no question is called {name!r}, or none of its choices is a letter and _right or _wrong"
        )
    place = {letter: hashlib.sha256(f"{letter} {name}".encode()).digest() for letter in found}
    return {letter: found[letter] for letter in sorted(found, key=place.get)}


class Quiz(widgets.VBox):
    """A question, its choices, and, once one is chosen, what there is to say to it.

    Attributes
    ----------
    answers : dict
        Whether each choice is right, by its letter, in the order in which they are shown.
    """

    def __init__(self, name: str, lang: Language) -> None:
        self.name, self.lang = name, lang
        self.answers = choices(name)
        question = widgets.HTMLMath(f"<b>{self.text('question')}</b>")
        self.buttons = widgets.RadioButtons(
            options=[(self.text(f"{a}_{'right' if ok else 'wrong'}"), a) for a, ok in self.answers.items()],
            value=None,
            layout=widgets.Layout(width="max-content", max_width="100%"),
        )
        # As high empty as full, so that nothing jumps.
        self.feedback = widgets.HTMLMath(layout=widgets.Layout(min_height="3.2em"))
        super().__init__([question, self.buttons, self.feedback])
        self.buttons.observe(self._answered, "value")

    def text(self, key: str) -> str:
        return text(f"quiz.{self.name}.{key}", self.lang)

    def _answered(self, change) -> None:
        if change["new"] is None:
            self.feedback.value = ""
            return
        verdict = Verdict(self.answers[change["new"]], self.text(f"{change['new']}_why"))
        self.feedback.value = verdict._repr_html_()
        keep(QUESTIONS, self.name, verdict.ok)


def guess(*, lang: Language) -> widgets.Text:
    """A line for what the reader guesses before the next cell tells. Nothing reads it or keeps it.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language of what the empty line says.

    Returns
    -------
    ipywidgets.Text

    Examples
    --------
    >>> guess(lang="en").value
    ''
    """
    wide = widgets.Layout(width="32em", max_width="100%")
    return widgets.Text(placeholder=text("guess.here", lang), layout=wide)


def quiz(name: str, *, lang: Language) -> Quiz:
    """A question with its choices; whichever the reader takes, it says why that is right or wrong.

    Parameters
    ----------
    name : str
        The question, "02.1" for one.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    Quiz

    Raises
    ------
    KeyError
        There is no such question.

    Examples
    --------
    >>> quiz("02.1", lang="en").answers
    {'a': False, 'c': False, 'b': True}
    """
    return Quiz(name, lang)
