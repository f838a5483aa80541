"""How many weights feed a unit (fan_in), and how many units a unit feeds (fan_out)."""

from __future__ import annotations

import math
from typing import NamedTuple

from .arguments import whole


class Fans(NamedTuple):
    fan_in: int
    fan_out: int


def _indices(numbers) -> tuple[int, ...]:
    """One whole number, or several; TypeError for anything else."""
    if isinstance(numbers, (str, bytes)):
        raise TypeError
    try:
        return (whole(numbers),)
    except TypeError:
        return tuple(whole(n) for n in numbers)


def checked_shape(shape) -> tuple[int, ...]:
    """``shape`` as a tuple of sizes ≥ 0; ValueError or TypeError where it is not one."""
    try:
        sizes = _indices(shape)
    except TypeError:
        raise TypeError(f"shape must be whole numbers, not {shape!r}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"shape must have no negative size, not {shape!r}")
    return sizes


def _axes(name: str, axes, ndim: int) -> tuple[int, ...]:
    try:
        axes = _indices(axes)
    except TypeError:
        raise TypeError(f"{name} must be an int or a tuple of ints, not {axes!r}") from None
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"{name}={axes} is out of range for a shape of {ndim} axes")
    return tuple(a % ndim for a in axes)


def checked_axes(ndim: int, **axes) -> tuple[tuple[int, ...], ...]:
    """Each of ``axes``, an int or several, as a tuple of axes from 0 on; errors where they do not fit."""
    found = {name: _axes(name, value, ndim) for name, value in axes.items()}
    used = [a for group in found.values() for a in group]
    if len(used) != len(set(used)):
        *names, last = found
        raise ValueError(f"{', '.join(names)} and {last} must not share an axis; got {found}")
    return tuple(found.values())


def fans(shape, in_axis=1, out_axis=0, batch_axis=(), groups: int = 1) -> Fans:
    """The fans of a weight array of this shape.

    fan_in = (sizes along in_axis) · R and fan_out = (sizes along out_axis) · R / groups, where R, the
    receptive field, is the product of the axes that are neither in, out nor batch.

    Parameters: ``shape``, two axes or more, (out, in/groups, *kernel) by default as in PyTorch; for
    Keras and JAX kernels (*kernel, in/groups, out) say ``in_axis=-2, out_axis=-1``. ``in_axis``,
    ``out_axis``, ``batch_axis``: an int or a tuple of ints. ``groups``: of a grouped convolution.
    Raises ValueError when an axis is missing, out of range or named twice, or when ``groups`` does
    not divide the out axis. Source: He et al. 2015, section 2.2 (n = k²c). Taught in lesson 04.

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
