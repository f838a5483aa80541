"""A question with choices: the reader commits to a guess before the figure answers."""

from __future__ import annotations

import ipywidgets as widgets

from ..words import table, text
from .checks import Verdict


def choices(name: str) -> dict[str, bool]:
    """The choices of a question, by letter, and which is right: its keys are ``a_wrong``, ``b_right``, …"""
    found = {}
    for key in sorted(table()):
        section, _, last = key.rpartition(".")
        letter, _, verdict = last.partition("_")
        if section == f"quiz.{name}" and verdict in ("right", "wrong"):
            found[letter] = verdict == "right"
    if not found:
        raise KeyError(f"no question is called {name!r}")
    return found


class Quiz(widgets.VBox):
    """A question of the table, its choices, and, once one is chosen, what there is to say to it."""

    def __init__(self, name: str, lang: str):
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


def quiz(name: str, *, lang: str) -> Quiz:
    """Question ``name`` of the table, "02.1" for one. Raises KeyError for one that is not there.

    >>> quiz("02.1", lang="en").answers
    {'a': False, 'b': True, 'c': False}
    """
    return Quiz(name, lang)
