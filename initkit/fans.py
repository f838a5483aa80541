"""How many weights enter a unit (fan_in), and how many units a unit feeds (fan_out)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .arguments import AxisLike, ShapeLike, Whole, whole

__all__ = ["Fans", "fans"]


class Fans(NamedTuple):
    """The two counts of a weight array.

    Attributes
    ----------
    fan_in : int
        Weights that enter one output unit.
    fan_out : int
        Weights that leave one input unit.
    """

    fan_in: int
    fan_out: int


def _indices(numbers: Any) -> tuple[int, ...]:
    """One whole number, or several, as a tuple; TypeError for anything else."""
    if isinstance(numbers, (str, bytes)):
        raise TypeError
    try:
        return (whole(numbers),)
    except TypeError:
        return tuple(whole(n) for n in numbers)


def checked_shape(shape: ShapeLike) -> tuple[int, ...]:
    """``shape`` as a tuple of sizes ≥ 0; ValueError or TypeError where it is not one."""
    try:
        sizes = _indices(shape)
    except TypeError:
        raise TypeError(f"shape must be whole numbers, not {shape!r}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"shape must have no negative size, not {shape!r}")
    return sizes


def _axes(name: str, given: AxisLike, ndim: int) -> tuple[int, ...]:
    try:
        axes = _indices(given)
    except TypeError:
        raise TypeError(f"{name} must be an int or a tuple of ints, not {given!r}") from None
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"{name}={axes} is out of range for a shape of {ndim} axes")
    return tuple(a % ndim for a in axes)


def checked_axes(ndim: int, **axes: AxisLike) -> tuple[tuple[int, ...], ...]:
    """Each of ``axes`` as a tuple of axes counted from 0; an error where one does not fit or two overlap."""
    found = {name: _axes(name, value, ndim) for name, value in axes.items()}
    used = [a for group in found.values() for a in group]
    if len(used) != len(set(used)):
        *names, last = found
        raise ValueError(f"{', '.join(names)} and {last} must not share an axis; got {found}")
    return tuple(found.values())


def fans(
    shape: ShapeLike,
    in_axis: AxisLike = 1,
    out_axis: AxisLike = 0,
    batch_axis: AxisLike = (),
    groups: Whole = 1,
) -> Fans:
    """The fans of a weight array of this shape.

    ``fan_in = n_in · R`` and ``fan_out = n_out · R / groups``, where n_in and n_out are the sizes along
    ``in_axis`` and ``out_axis``, and the receptive field R is the product of the sizes of all axes but those
    and ``batch_axis``.

    Parameters
    ----------
    shape : int or sequence of int
        Two axes or more: ``(out, in/groups, *kernel)``, as in PyTorch. For Keras and JAX kernels,
        ``(*kernel, in/groups, out)``, pass ``in_axis=-2, out_axis=-1``.
    in_axis, out_axis, batch_axis : int or tuple of int
        Which axes are inputs, outputs, and independent weights side by side.
    groups : int
        Groups of a grouped convolution.

    Returns
    -------
    Fans
        ``(fan_in, fan_out)``.

    Raises
    ------
    ValueError
        An axis is missing, out of range or named twice, or ``groups`` does not divide the outputs.
    TypeError
        A size or an axis is not a whole number.

    References
    ----------
    He et al. 2015, section 2.2 (n = k²c).

    Examples
    --------
    >>> fans((20, 10))
    Fans(fan_in=10, fan_out=20)
    >>> fans((3, 3, 8, 16), in_axis=-2, out_axis=-1)
    Fans(fan_in=72, fan_out=144)
    """
    shape = checked_shape(shape)
    ndim = len(shape)
    if ndim < 2:
        raise ValueError(f"shape {shape} has no fans: a weight has an in axis and an out axis")
    axes = checked_axes(ndim, in_axis=in_axis, out_axis=out_axis, batch_axis=batch_axis)
    used = sum(axes, ())
    n_in, n_out, _ = (math.prod(shape[a] for a in group) for group in axes)
    try:
        (n_groups,) = _indices(groups)
    except (TypeError, ValueError):
        n_groups = 0
    if n_groups < 1 or n_out % n_groups:
        raise ValueError(f"groups must be a divisor of the {n_out} outputs, not {groups!r}")
    receptive_field = math.prod(n for a, n in enumerate(shape) if a not in used)
    return Fans(n_in * receptive_field, n_out // n_groups * receptive_field)
