"""The checks of the exercises: what there is to say to an answer."""

from __future__ import annotations

import html
from dataclasses import dataclass

from ..words import text
from .progress import EXERCISES, keep
from .registry import CHECKS

MARKS = {True: "✓", False: "✗", None: "…"}
COLORS = {True: "#00695c", False: "#b00020", None: "#555555"}


@dataclass(frozen=True)
class Verdict:
    """``ok``: True, False, or None where there is no answer yet. Shows itself in a notebook and in a quiz."""

    ok: bool | None
    message: str

    def __str__(self):
        return f"{MARKS[self.ok]} {self.message}"

    __repr__ = __str__

    def _repr_html_(self):
        style = f"color: {COLORS[self.ok]}; line-height: 1.5"
        return f'<div role="status" style="{style}">{html.escape(str(self))}</div>'


def check(name: str, answer, *, lang: str) -> Verdict:
    """What there is to say to ``answer`` to exercise ``name``. Raises KeyError for an unknown exercise only.

    An answer of ``...`` is one that has not been given yet. A right one counts in the reader's progress.

    >>> check("02.1", ..., lang="en").ok is None
    True
    """
    said = verdict(name, answer, lang=lang)
    if said.ok:
        keep(EXERCISES, name, True)
    return said


def verdict(name: str, answer, *, lang: str) -> Verdict:
    """``check`` that keeps nothing."""
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {', '.join(sorted(CHECKS))}")
    if answer is ... or answer is None:
        return Verdict(None, text("check.untouched", lang))
    try:
        key, fields = CHECKS[name](answer)
    except Exception as error:  # whatever a reader's answer may do
        return Verdict(False, text("check.failed", lang, error=f"{type(error).__name__}: {error}"))
    message = text(f"check.{key}" if key == "type" else f"check.{name}.{key}", lang, **fields)
    return Verdict(key == "right", message)
