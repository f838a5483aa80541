"""What counts as a number where one is asked for: True and False do not, be they Python's or NumPy's."""

from __future__ import annotations

import numbers
from operator import index

import numpy as np


def is_bool(value) -> bool:
    """A truth value, which float() and index() would silently take for 0 or 1.

    >>> is_bool(True), is_bool(np.True_), is_bool(np.array([True])), is_bool(1)
    (True, True, True, False)
    """
    return isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_


def is_number(value) -> bool:
    """A real number, NaN and infinity included.

    >>> is_number(0.5), is_number(np.float32(2)), is_number(True), is_number("2")
    (True, True, False, False)
    """
    return isinstance(value, numbers.Real) and not is_bool(value)


def whole(value) -> int:
    """``value`` as an int; TypeError where it is not a whole number.

    >>> whole(np.int64(3))
    3
    """
    if is_bool(value):
        raise TypeError(f"{value!r} is a truth value, not a number")
    return index(value)


def is_whole(value) -> bool:
    """An integer, Python's or NumPy's.

    >>> is_whole(3), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    try:
        whole(value)
    except TypeError:
        return False
    return True
