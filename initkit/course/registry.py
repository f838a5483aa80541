"""The live figures of all lessons, and the checks of their exercises, by name.

A lesson's room (its module in ``lessons``) registers them by the decorators here. ``live`` shows the figures,
``checks`` calls the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..widgets.figure import Playable, playable

FIGURES: dict[str, Playable] = {}
CHECKS: dict[str, Callable] = {}
OWN: dict[str, dict[str, tuple[float, Sequence[float]]]] = {}  # exercise → number → its values


def live_figure(make: Callable) -> Playable:
    """Register a function as ``live.<its name>``: ``make(*, lang, seed)`` → picture, controls, ``respond``.

    ``widgets.figure.LiveFigure`` says what these three are.
    """
    return _entered(FIGURES, make.__name__, playable(make))


def exercise(name: str, **own: tuple[float, Sequence[float]]) -> Callable:
    """Register a check of the answers to exercise ``name``, "02.1" for one.

    ``own``: the numbers of the task that may differ by student, each with its value in the lesson's text and
    the values that ``own`` may choose. The check gets them by name, and so do the texts.

    The check gets the answer and returns a key and fields: the text to say is ``check.<name>.<key>`` of the
    words, filled with the fields. The key "right" is the only one that means right, "other" a mistake without
    a name; "close" and "type", whose fields are ``wanted`` and ``came``, are said by all exercises alike.
    """

    def enter(check: Callable) -> Callable:
        OWN[name] = own
        return _entered(CHECKS, name, check)

    return enter


def _entered(table: dict, name: str, made: Callable) -> Callable:
    if name in table:
        raise ValueError(f"{name!r} is entered twice: in {table[name].__module__} and in {made.__module__}")
    table[name] = made
    return made
