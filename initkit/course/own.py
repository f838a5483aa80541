"""The numbers of an exercise that differ by student."""

from __future__ import annotations

import hashlib
import unicodedata
from types import SimpleNamespace

from .registry import CHECKS, OWN


def own(name: str, student: str = "") -> SimpleNamespace:
    """A student's own numbers in an exercise, so that in a class each has another right answer.

    Each number is chosen by SHA-256 of the exercise, the number's name and the student: the same everywhere.

    Parameters
    ----------
    name : str
        The exercise, "05.1" for one.
    student : str
        Whatever the class agrees on, a name or a number; case, width and spaces do not count. Empty: the
        numbers of the exercise's text.

    Returns
    -------
    SimpleNamespace
        The numbers by name; none in an exercise whose numbers are everybody's.

    Raises
    ------
    KeyError
        There is no such exercise.

    Examples
    --------
    >>> own("05.1")
    namespace(n=300, slope=0.2)
    >>> own("05.1", "Li Lei")
    namespace(n=980, slope=0.25)
    >>> own("05.1", "li lei ") == own("05.1", "Li Lei")
    True
    """
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {', '.join(sorted(CHECKS))}")
    who = "".join(unicodedata.normalize("NFKC", str(student)).casefold().split())

    def chosen(number, of_text, choices):
        key = hashlib.sha256(f"{name} {number} {who}".encode()).digest()
        return choices[int.from_bytes(key[:8], "big") % len(choices)] if who else of_text

    return SimpleNamespace(**{number: chosen(number, *known) for number, known in OWN[name].items()})
