"""What a caller may pass: the types that annotations name, and what counts as a number.

True and False, Python's or NumPy's, are no numbers here, although ``float`` and ``operator.index`` take them
for 1 and 0.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "AxisLike", "DTypeLike", "Elementwise", "RNGLike", "Real", "ShapeLike", "Whole"]

Array: TypeAlias = npt.NDArray[Any]
"""What initializers and layers return: a NumPy array of the dtype that was asked for."""

Real: TypeAlias = float | np.floating[Any] | np.integer[Any]
"""A real number, Python's or NumPy's."""

Whole: TypeAlias = int | np.integer[Any]
"""An integer, Python's or NumPy's."""

ShapeLike: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
"""One size, or the sizes of all axes."""

AxisLike: TypeAlias = SupportsIndex | Iterable[SupportsIndex]
"""One axis, or several that count as one."""

# As text: to evaluate it would load numpy.random, which NumPy itself loads when it is first used.
RNGLike: TypeAlias = "SupportsIndex | np.random.SeedSequence | np.random.Generator | None"
"""A seed, a generator that advances, or None for fresh entropy (Scientific Python's SPEC 7)."""

DTypeLike: TypeAlias = (
    type[np.float16] | type[np.float32] | type[np.float64] | type[float] | np.dtype[np.floating[Any]]
    | Literal["float16", "float32", "float64", "f2", "f4", "f8", "half", "single", "double"]
)  # fmt: skip
"""float16, float32 or float64, by its type, its dtype or its name."""

Elementwise: TypeAlias = Callable[[Array], Array]
"""A function that works on every entry of an array and keeps its shape."""


def is_bool(value: object) -> bool:
    """Whether ``value`` is a truth value, Python's or NumPy's.

    >>> is_bool(True), is_bool(np.True_), is_bool(np.array([True])), is_bool(1)
    (True, True, True, False)
    """
    return isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_


def is_number(value: object) -> TypeGuard[Real]:
    """Whether ``value`` is a real number, NaN and infinity included.

    >>> is_number(0.5), is_number(np.float32(2)), is_number(True), is_number("2")
    (True, True, False, False)
    """
    return isinstance(value, numbers.Real) and not is_bool(value)


def is_finite(value: object) -> TypeGuard[Real]:
    """Whether ``value`` is a real number that float64 can hold.

    >>> is_finite(0.5), is_finite(np.inf), is_finite(10**400), is_finite("2")
    (True, False, False, False)
    """
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:
        return False


def whole(value: Any) -> int:
    """``value`` as an int; TypeError where it is not a whole number.

    >>> whole(np.int64(3))
    3
    """
    if is_bool(value):
        raise TypeError(f"{value!r} is a truth value, not a number")
    return index(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an integer, Python's or NumPy's.

    >>> is_whole(3), is_whole(3.0), is_whole(True)
    (True, False, False)
    """
    try:
        whole(value)
    except TypeError:
        return False
    return True


def check_whole(name: str, value: object, least: int) -> None:
    """ValueError where ``value`` is not an integer of at least ``least``.

    >>> check_whole("depth", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: depth must be a whole number of at least 1, not 0
    """
    if not (is_whole(value) and value >= least):
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
