"""What the checks of exercises share: an answer, whatever the reader has put there, as a number or weights.

Where an answer is not what it should be, a function returns what a check returns: a key and fields.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..signals import Fate
from ..words import two_digits

Said = tuple[str, dict]  # the key of a text, and the fields to fill in


def mistyped(answer: object, wanted: str) -> Said:
    """What there is to say to an answer that is not what is ``wanted``, a type's name."""
    return "type", {"wanted": wanted, "came": type(answer).__name__}


def numbers(answer: object) -> np.ndarray | None:
    """The answer as an array of real numbers, or None.

    A tensor of PyTorch counts as an array, a truth value not as a number.
    """
    try:
        if hasattr(answer, "detach"):  # it may require a gradient, or have a dtype that NumPy lacks
            answer = answer.detach().cpu().double().numpy()
        elif isinstance(answer, Fraction):
            answer = float(answer)
        array = np.asarray(answer)
        return array.astype(np.float64) if array.dtype.kind not in "bcUSO" else None
    except (TypeError, ValueError):
        return None


def number(answer: object) -> float | None:
    """The answer as one real number, or None. It may stand in a list or an array, alone."""
    array = numbers(answer)
    return None if array is None or array.size != 1 else array.item()


def between(answer: object, low: float, high: float) -> tuple[float, None] | tuple[None, Said]:
    """The answer as a number inside (low, high), and None; or None, and "type" or "range"."""
    found = number(answer)
    if found is None:
        return None, mistyped(answer, "float")
    return (found, None) if low < found < high else (None, ("range", {}))


def weights(answer: object, shape: tuple[int, int]) -> tuple[np.ndarray, None] | tuple[None, Said]:
    """The answer as finite weights of ``shape``, and None; or None, and what is wrong with it.

    That is one of "type", "transposed", "shape" (with ``shape``), "finite".
    """
    w = numbers(answer)
    if w is None or w.ndim == 0:
        return None, mistyped(answer, "array")
    if w.shape != shape:
        return None, ("transposed" if w.shape == shape[::-1] else "shape", {"shape": w.shape})
    return (w, None) if np.isfinite(w).all() else (None, ("finite", {}))


def nearest(answer: object, known: dict[str, float], rel: float = 0.01) -> Said:
    """The key of the first number of ``known`` that the answer is, to within ``rel``.

    "close" where it is none of them but "right" to within 5 %, rounded too early, say; "other" where it is
    not even that, "type" where it is no number.
    """
    found = number(answer)
    if found is None:
        return mistyped(answer, "float")
    for key, value in known.items():
        if abs(found - value) <= rel * abs(value):
            return key, {}
    close = "right" in known and abs(found - known["right"]) <= 0.05 * abs(known["right"])
    return "close" if close else "other", {}


def kept(found: Fate, squared: bool = False) -> Said:
    """Whether signal and gradient are kept.

    "right", "small" or "large", or "variance" where ``squared`` says that the answer looks like the square of
    a right one. The fields are the factors, ``forward`` and ``backward``.
    """
    changes = {"forward": found.signal.change, "backward": found.gradient.change}
    fields = {way: two_digits(change) for way, change in changes.items()}
    if found.kept:
        return "right", fields
    if squared:
        return "variance", fields
    return ("small" if found.signal.verdict == "vanishes" else "large"), fields
