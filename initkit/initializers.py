"""Initializers: a shape in, an array of weights out.

One mechanism, ``variance_scaling``, whose arguments the named schemes fill in. ``glorot_*`` and ``kaiming_*``
are other names of ``xavier_*`` and ``he_*``; errors say these. Every function takes, by keyword only:

rng : int, SeedSequence, Generator or None
    A seed; None for fresh entropy; a Generator advances (Scientific Python's SPEC 7).
dtype : dtype
    float16, float32 (the default) or float64. float16 is drawn in float32 and rounded.
out : ndarray, optional
    An array of that shape and dtype, of any layout, to fill in place and return; a memory map is one too.

Weights are ``(out, in, *kernel)``, as in PyTorch. For Keras and JAX kernels, ``(*kernel, in, out)``, pass
``in_axis=-2, out_axis=-1`` to any scheme that tells inputs from outputs. An axis is an int, or a tuple of
ints that count as one. In the schemes with a fan, axes change the fan alone: entries are drawn in the order
in which they lie. The structured schemes, ``orthogonal``, ``delta_orthogonal``, ``identity``, ``dirac`` and
``sparse``, make ``(out, in, *kernel)`` and then move its axes: one seed gives one weight in every layout.

One seed gives one array, whatever the number of threads; ``sampling`` says on which machines. Entries have no
unit. Limits are allowed: a gain, scale or std of 0, or ``low = high``, gives a constant. Bad input raises
ValueError or TypeError, which name the argument, and leaves ``out`` as it was.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, get_args, overload

import numpy as np
import numpy.typing as npt
import scipy

from . import activations, sampling
from .activations import ActivationLike
from .arguments import Array, AxisLike, DTypeLike, Real, RNGLike, ShapeLike, Whole, is_bool, is_whole
from .fans import checked_axes, checked_shape, fans
from .sampling import Block, Draw, OutLike

__all__ = [
    "REGISTRY", "SCHEMES", "Distribution", "Drawn", "Initializer", "Mode", "Scheme", "constant",
    "delta_orthogonal", "dirac", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "identity", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones",
    "orthogonal", "sample_block", "sparse", "torch_default", "truncated_normal", "uniform",
    "variance_scaling", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip

Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
"""The fan that a variance is divided by."""

Distribution: TypeAlias = Literal["normal", "truncated_normal", "uniform"]
"""What ``variance_scaling`` draws from."""

DTYPES = (np.float16, np.float32, np.float64)
MODES: tuple[str, ...] = get_args(Mode)
DISTRIBUTIONS: tuple[str, ...] = get_args(Distribution)


class Initializer(Protocol):
    """What ``MLP`` takes as ``init`` and ``bias``: a registered name's function, or any of this form."""

    def __call__(
        self, shape: tuple[int, ...], /, *, rng: np.random.Generator, dtype: np.dtype[Any]
    ) -> npt.ArrayLike:
        """An array of this shape, drawn from ``rng``."""


def checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """``dtype`` as one that can be filled; TypeError otherwise."""
    try:
        found = np.dtype(dtype) if dtype is not None else None  # NumPy takes None for float64
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found not in DTYPES:
        raise TypeError(f"dtype must be float16, float32 or float64, not {found or repr(dtype)}")
    return found


def _array(shape: ShapeLike, dtype: DTypeLike, out: OutLike) -> Array | Block:
    """What to fill: ``out``, if it has this shape and dtype, or a new array."""
    shape = checked_shape(shape)
    dtype = checked_dtype(dtype)
    if out is None:
        try:
            return np.empty(shape, dtype)
        except ValueError:  # more bytes than an address can count
            raise ValueError(f"shape {shape} is too large for an array") from None
    if isinstance(out, Block):
        if not 0 <= out.index < sampling.block_count(shape):
            raise ValueError(f"index must be from 0 to {sampling.block_count(shape) - 1}, not {out.index}")
        return Block(out.index, shape, dtype)
    if type(out) not in (np.ndarray, np.memmap):  # a matrix or masked array has other arithmetic
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; shape={shape} and dtype={dtype} were asked for"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def _whole(shape: ShapeLike, dtype: DTypeLike, out: OutLike) -> Array:
    """``_array`` for the schemes that cannot be made in blocks."""
    whole = _array(shape, dtype, out)
    if isinstance(whole, Block):
        raise ValueError("this initializer has no blocks: its entries are not drawn one by one")
    return whole


@contextlib.contextmanager
def _as_torchs(out: Array, in_axis: AxisLike, out_axis: AxisLike) -> Iterator[Array]:
    """``out`` as (out, in, kernel…), to be filled: a view, or an array that is copied to it at the end."""
    if out.ndim < 2:
        raise ValueError(f"shape must have two axes or more, not {out.shape}")
    ins, outs = checked_axes(out.ndim, in_axis=in_axis, out_axis=out_axis)
    kernel = [a for a in range(out.ndim) if a not in ins + outs]
    moved = out.transpose(*outs, *ins, *kernel)
    n_out, n_in = (math.prod(out.shape[a] for a in axes) for axes in (outs, ins))
    view = moved.reshape(n_out, n_in, *moved.shape[out.ndim - len(kernel) :])
    yield view
    if not np.may_share_memory(view, out):
        moved[...] = view.reshape(moved.shape)


def _finite(name: str, value: Any) -> float:
    try:
        number = float("" if isinstance(value, (str, bytes)) or is_bool(value) else value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return number


def _finite_array(name: str, value: Any) -> Array:
    """``_finite`` for a number or an array of numbers."""
    if not np.iterable(value) or isinstance(value, (str, bytes)):
        return np.array(_finite(name, value))
    array = None
    with contextlib.suppress(ValueError):  # rows of different lengths
        array = np.asarray(value)
    if array is None or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or an array of them, not {value!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; some of its entries are not")
    return array


def _not_negative(name: str, value: Any) -> float:
    number = _finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")
    return number


def _above_0(name: str, value: Any) -> float:
    number = _finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def _scale(name: str, gain: Any) -> float:
    """gain², where float64 can hold it."""
    number = _not_negative(name, gain)
    scale = number * number  # number**2 would raise where this is inf
    if scale == math.inf or (number and not scale):
        raise ValueError(f"{name} must have a square between 0 and infinity, or be 0, not {gain!r}")
    return scale


def _within_reach(dtype: np.dtype[Any], furthest: float) -> None:
    """ValueError where entries would overflow to inf; float16 ends at 65504."""
    if furthest > float(np.finfo(dtype).max):
        raise ValueError(
            f"dtype {np.dtype(dtype)} ends at {np.finfo(dtype).max:g}; values to {furthest:g} were asked for"
        )


def _check_order(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low must not be above high, not low={low:g}, high={high:g}")


def _all(value: float) -> Draw:
    """The law of a constant. As a law, it has blocks, and a Generator advances as for any other."""
    return lambda generator, block: block.fill(value)


# Constants ---------------------------------------------------------------------------------------


def constant(
    shape: ShapeLike, value: npt.ArrayLike, *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out:
    OutLike = None
) -> Array:  # fmt: skip
    """Every entry ``value``: ``Var[W] = 0``.

    Right for biases, never for weights: a layer's units start, and stay, the same. Taught in lesson 02.

    Parameters
    ----------
    shape : int or sequence of int
        The sizes.
    value : float or array of float
        A number, or an array that broadcasts to ``shape``, as in JAX: a filter for a kernel, the log-odds of
        the classes for a bias.
    rng, dtype, out
        As for every initializer; see the module.
        Nothing is drawn from ``rng``.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        ``value`` is not of numbers.
    ValueError
        ``value`` is not finite, or does not broadcast.

    References
    ----------
    Goodfellow et al. 2016, *Deep Learning*, section 8.4.

    Examples
    --------
    >>> constant((2, 2), 0.5)
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    >>> constant((2, 3), [1, 2, 3])
    array([[1., 2., 3.],
           [1., 2., 3.]], dtype=float32)
    """
    values = _finite_array("value", value)
    sampling.generator(rng)  # for its errors
    whole = _whole(shape, dtype, out)
    try:
        values = np.broadcast_to(values, whole.shape)
    except ValueError:
        raise ValueError(
            f"value has shape {values.shape}, which does not broadcast to {whole.shape}"
        ) from None
    _within_reach(whole.dtype, float(np.abs(values).max(initial=0)))
    whole[...] = values
    return whole


def zeros(
    shape: ShapeLike, *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None
) -> Array:  # fmt: skip
    """Every entry 0, ``constant(shape, 0.0)``: right for biases, never for weights. Taught in lesson 02.

    Parameters
    ----------
    shape, rng, dtype, out
        As in ``constant``.

    Returns
    -------
    ndarray

    References
    ----------
    Goodfellow et al. 2016, *Deep Learning*, section 8.4.

    Examples
    --------
    >>> zeros(3)
    array([0., 0., 0.], dtype=float32)
    """
    return constant(shape, 0.0, rng=rng, dtype=dtype, out=out)


def ones(
    shape: ShapeLike, *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None
) -> Array:  # fmt: skip
    """Every entry 1, ``constant(shape, 1.0)``: right for the scale γ of a normalization layer.

    Parameters
    ----------
    shape, rng, dtype, out
        As in ``zeros``.

    Returns
    -------
    ndarray

    References
    ----------
    Ioffe & Szegedy 2015, section 3.

    Examples
    --------
    >>> ones(3)
    array([1., 1., 1.], dtype=float32)
    """
    return constant(shape, 1.0, rng=rng, dtype=dtype, out=out)


# Distributions -----------------------------------------------------------------------------------


def uniform(
    shape: ShapeLike, low: Real = -0.05, high: Real = 0.05,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """W ~ U[low, high), ``Var[W] = (high − low)²/12``. Taught in lesson 03.

    Parameters
    ----------
    shape : int or sequence of int
        The sizes.
    low, high : float
        The ends; the defaults are Keras'. ``low = high`` gives that number, as in PyTorch and NumPy.
    rng, dtype, out
        As for every initializer; see the module.

    Returns
    -------
    ndarray
        Entries in [low, high).

    Raises
    ------
    ValueError
        ``low > high``, or either is not finite.

    Notes
    -----
    An entry takes 32 random bits, 64 in float64. No entry is rounded up to ``high``, in float16 either.

    References
    ----------
    Glorot & Bengio 2010, eq. 1, for ±1/√n.

    Examples
    --------
    >>> w = uniform((200, 100), -1, 1, rng=0)
    >>> bool(abs(w.var() - 1 / 3) < 0.01)
    True
    """
    low, high = _finite("low", low), _finite("high", high)
    _check_order(low, high)
    array = _array(shape, dtype, out)
    _within_reach(array.dtype, max(-low, high))
    draw = sampling.uniform(low, high, array.dtype) if low < high else _all(high)
    return sampling.fill(array, draw, rng)


def normal(
    shape: ShapeLike, mean: Real = 0.0, std: Real = 0.05,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """W ~ N(mean, std²), ``Var[W] = std²``. Taught in lesson 03.

    Parameters
    ----------
    shape : int or sequence of int
        The sizes.
    mean, std : float
        The defaults are Keras'. ``std = 0`` gives ``mean``.
    rng, dtype, out
        As for every initializer; see the module.

    Returns
    -------
    ndarray
        Entries are independent of each other.

    Raises
    ------
    ValueError
        ``std`` is negative, or either is not finite.

    Notes
    -----
    In float32 no entry is further than 6.56·std from the mean, as one in 2·10¹⁰ should be; float64 has no
    such end.

    References
    ----------
    Box & Muller 1958.

    Examples
    --------
    >>> w = normal((200, 100), std=2.0, rng=0)
    >>> bool(abs(w.std() - 2) < 0.05)
    True
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    array = _array(shape, dtype, out)
    _within_reach(array.dtype, abs(mean) + 10 * std)
    return sampling.fill(array, sampling.normal(mean, std) if std else _all(mean), rng)


def truncated_normal(
    shape: ShapeLike, mean: Real = 0.0, std: Real = 0.05, low: Real = -2.0, high: Real = 2.0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """W ~ N(mean, std²) given ``low ≤ (W − mean)/std ≤ high``: sampled from that law, not clipped.

    At ±2, ``Var[W] = 0.7737·std²``, a standard deviation of 0.8796·std. Taught in lesson 05.

    Parameters
    ----------
    shape : int or sequence of int
        The sizes.
    mean, std : float
        Of the normal *before* truncation; the defaults are Keras'.
    low, high : float
        The window in units of ``std`` around ``mean``; in PyTorch they are values. Far tails
        (``low=30, high=31``), ``-inf`` and ``inf`` are allowed. Where ``low = high`` or ``std = 0``, every
        entry is mean + low·std.
    rng, dtype, out
        As for every initializer; see the module.

    Returns
    -------
    ndarray
        Entries from mean + low·std to mean + high·std.

    Raises
    ------
    ValueError
        ``std`` is negative, ``low > high``, ``mean`` or ``std`` is not finite, or the window lies further
        than 1e100 from the mean.

    References
    ----------
    Burkardt 2014, *The Truncated Normal Distribution*, section 2.

    Examples
    --------
    >>> w = truncated_normal((200, 100), std=1.0, rng=0)
    >>> bool(abs(w).max() <= 2), bool(abs(w.std() - 0.8796) < 0.02)
    (True, True)
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    low, high = _window(low, high)
    array = _array(shape, dtype, out)
    _within_reach(array.dtype, abs(mean) + std * max(abs(low), abs(high)))
    one = low == high or not std
    draw = _all(mean + low * std) if one else sampling.truncated_normal(mean, std, low, high, array.dtype)
    return sampling.fill(array, draw, rng)


def _window(low: Any, high: Any) -> tuple[float, float]:
    """The bounds, cut where the mass ends: what lies 40 further out has less than e⁻⁸⁰⁰ of it."""
    bounds = {"low": low, "high": high}
    for name, bound in bounds.items():
        if bound not in (-math.inf, math.inf):
            bounds[name] = _finite(name, bound)
    low, high = bounds.values()
    _check_order(low, high)
    if low > 1e100 or high < -1e100:
        raise ValueError(f"low and high must not both lie beyond 1e100, not low={low:g}, high={high:g}")
    return max(low, min(high, 0.0) - 40), min(high, max(low, 0.0) + 40)


# Variance scaling and its names ------------------------------------------------------------------


@functools.cache
def truncated_std(bound: float = 2.0) -> float:
    """The standard deviation of N(0, 1) truncated at ±bound, √(1 − 2·b·φ(b)/(2Φ(b) − 1)) with b = bound."""
    density = math.exp(-bound * bound / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * bound * density / math.erf(bound / math.sqrt(2)))


def by_mode(n_in: int, n_out: int) -> dict[str, float]:
    """The fan that each ``Mode`` divides by."""
    return dict(zip(MODES, (n_in, n_out, (n_in + n_out) / 2, math.sqrt(n_in * n_out)), strict=True))


def _scaled_std(
    shape: ShapeLike, scale: Real, mode: Mode,
    in_axis: AxisLike, out_axis: AxisLike, batch_axis: AxisLike, groups: Whole, fan: Real | None,
) -> float:  # fmt: skip
    """√(scale/fan), with the arguments of ``variance_scaling``, which it checks; 0 where the fan is 0."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    scale = _not_negative("scale", scale)
    if fan is not None:
        fan = _above_0("fan", fan)
        if (in_axis, out_axis, batch_axis, groups) != (1, 0, (), 1):
            raise TypeError("fan says it all; axes and groups must not come with it")
    else:
        fan = by_mode(*fans(shape, in_axis, out_axis, batch_axis, groups))[mode]
    return math.sqrt(scale) / math.sqrt(fan) if fan else 0.0  # with a fan of 0, there is no entry to fill


def variance_scaling(
    shape: ShapeLike, scale: Real = 1.0, mode: Mode = "fan_in",
    distribution: Distribution = "truncated_normal",
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """``Var[W] = scale / fan``: the one mechanism under Xavier, He and LeCun. Taught in lesson 04.

    Parameters
    ----------
    shape : int or sequence of int
        ``(out, in/groups, *kernel)``, or in the order that the axes name.
    scale : float
        ≥ 0; 0 gives zeros, as in JAX.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        Which fan: the inputs, the outputs, their mean, or the root of their product.
    distribution : {"normal", "truncated_normal", "uniform"}
        "truncated_normal" ends at ±2 of an underlying std that is widened so that Var[W] is exactly
        scale/fan; "uniform" is on ±√(3·scale/fan).
    in_axis, out_axis, batch_axis, groups
        As in ``fans``.
    fan : float, optional
        The fan itself, > 0, instead of mode, axes and groups. A bias that is drawn as its layer's weight is
        has ``fan=fan_in`` of that weight.
    rng, dtype, out
        As for every initializer; see the module.

    Returns
    -------
    ndarray
        Empty where the fan is 0.

    Raises
    ------
    ValueError
        The mode, the distribution or an axis is unknown, ``scale`` is negative, or ``fan`` is not above 0.
    TypeError
        Axes or groups come beside a ``fan``.

    Notes
    -----
    Keras' and JAX's ``he_normal`` and ``glorot_normal``, which are truncated, are
    ``variance_scaling(shape, 2.0)`` and ``variance_scaling(shape, 1.0, "fan_avg")``.

    References
    ----------
    LeCun et al. 1998, eq. 16; Glorot & Bengio 2010, eq. 12; He et al. 2015, eq. 10.

    Examples
    --------
    >>> w = variance_scaling((400, 100), scale=2.0, mode="fan_in", rng=0)
    >>> bool(abs(w.var() * 100 - 2) < 0.1)
    True
    """
    if not isinstance(distribution, str) or distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
    shape = checked_shape(shape)
    std = _scaled_std(shape, scale, mode, in_axis, out_axis, batch_axis, groups, fan)
    if distribution == "uniform":
        bound = math.sqrt(3) * std
        return uniform(shape, -bound, bound, rng=rng, dtype=dtype, out=out)
    if distribution == "truncated_normal":
        return truncated_normal(shape, 0.0, std / truncated_std(), rng=rng, dtype=dtype, out=out)
    return normal(shape, 0.0, std, rng=rng, dtype=dtype, out=out)


def xavier_uniform(
    shape: ShapeLike, gain: Real = 1.0,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """Xavier's (Glorot's) scheme, uniform: ``Var[W] = gain²·2/(fan_in + fan_out)``.

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="uniform")``. For tanh and sigmoid; with ReLU
    the signal halves a layer. Taught in lesson 04.

    Parameters
    ----------
    shape : int or sequence of int
        ``(out, in/groups, *kernel)``, or in the order that the axes name.
    gain : float
        Factor of the standard deviation, ≥ 0.
    in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``variance_scaling``.

    Returns
    -------
    ndarray
        Entries in ±gain·√(6/(fan_in + fan_out)).

    Raises
    ------
    ValueError, TypeError
        ``gain`` is no number ≥ 0, and as in ``variance_scaling``.

    References
    ----------
    Glorot & Bengio 2010, eq. 12 and 16.

    Examples
    --------
    >>> w = xavier_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 400) ** 0.5), bool(abs(w.var() * 200 - 1) < 0.05)
    (True, True)
    """
    return variance_scaling(
        shape, _scale("gain", gain), "fan_avg", "uniform", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def xavier_normal(
    shape: ShapeLike, gain: Real = 1.0,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """Xavier's (Glorot's) scheme, normal: ``Var[W] = gain²·2/(fan_in + fan_out)``.

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="normal")``, as in PyTorch; Keras' and JAX's
    is truncated. Taught in lesson 04.

    Parameters
    ----------
    shape, gain, in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``xavier_uniform``.

    Returns
    -------
    ndarray
        Entries from N(0, gain²·2/(fan_in + fan_out)).

    Raises
    ------
    ValueError, TypeError
        As in ``xavier_uniform``.

    References
    ----------
    Glorot & Bengio 2010, eq. 12.

    Examples
    --------
    >>> w = xavier_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 200 - 1) < 0.05)
    True
    """
    return variance_scaling(
        shape, _scale("gain", gain), "fan_avg", "normal", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def _he_scale(activation: ActivationLike, gain: Real | None) -> float:
    known = activations.get(activation)  # for its errors, also where the gain is given
    if gain is None:
        return _scale(f"activation: the gain of {known.name!r}", activations.gain(known))
    return _scale("gain", gain)


def he_uniform(
    shape: ShapeLike, activation: ActivationLike = "relu", mode: Mode = "fan_in", gain: Real | None = None,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """He's (Kaiming's) scheme, uniform: ``Var[W] = gain²/fan``; for ReLU ±√(6/fan_in).

    ``variance_scaling(scale=gain(activation)², mode, "uniform")``. Taught in lesson 05.

    Parameters
    ----------
    shape, activation, mode, gain, in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``he_normal``.

    Returns
    -------
    ndarray
        Entries in ±gain·√(3/fan).

    Raises
    ------
    ValueError, TypeError
        As in ``he_normal``.

    References
    ----------
    He et al. 2015, eq. 10, 14 and 15.

    Examples
    --------
    >>> w = he_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 100) ** 0.5), bool(abs(w.var() * 50 - 1) < 0.05)
    (True, True)
    """
    return variance_scaling(
        shape, _he_scale(activation, gain), mode, "uniform", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def he_normal(
    shape: ShapeLike, activation: ActivationLike = "relu", mode: Mode = "fan_in", gain: Real | None = None,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """He's (Kaiming's) scheme, normal: ``Var[W] = gain²/fan``; for ReLU ``2/fan_in``.

    ``variance_scaling(scale=gain(activation)², mode, "normal")``, as in PyTorch; Keras' and JAX's is
    truncated. The gain makes ``gain²·E[f(z)²] = 1``; for Leaky ReLU, ``Var[W] = 2/((1 + a²)·fan_in)``. Taught
    in lesson 05.

    Parameters
    ----------
    shape : int or sequence of int
        ``(out, in/groups, *kernel)``, or in the order that the axes name.
    activation : str, tuple, Activation or callable
        As in ``gain``, which computes the gain from it.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo_avg"}
        "fan_in" keeps the signal forward, "fan_out" the gradient backward.
    gain : float, optional
        The gain itself; ``gain=ik.gain("tanh", convention="torch")`` is PyTorch's.
    in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``variance_scaling``.

    Returns
    -------
    ndarray
        Entries from N(0, gain²/fan).

    Raises
    ------
    ValueError, TypeError
        As in ``variance_scaling`` and ``gain``.

    References
    ----------
    He et al. 2015, eq. 10, 14 and 15.

    Examples
    --------
    >>> w = he_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 50 - 1) < 0.05)
    True
    """
    return variance_scaling(
        shape, _he_scale(activation, gain), mode, "normal", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def lecun_uniform(
    shape: ShapeLike,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """LeCun's scheme, uniform: ``Var[W] = 1/fan_in``.

    ``variance_scaling(distribution="uniform")``. Taught in lesson 04.

    Parameters
    ----------
    shape, in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``lecun_normal``.

    Returns
    -------
    ndarray
        Entries in ±√(3/fan_in).

    Raises
    ------
    ValueError, TypeError
        As in ``lecun_normal``.

    References
    ----------
    LeCun et al. 1998, *Efficient BackProp*, section 4.6, eq. 16.

    Examples
    --------
    >>> w = lecun_uniform((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(
        shape, 1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def lecun_normal(
    shape: ShapeLike,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """LeCun's scheme, normal: ``Var[W] = 1/fan_in``.

    ``variance_scaling(distribution="normal")``; Keras' and JAX's is truncated. Taught in lesson 04.

    Parameters
    ----------
    shape, in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``variance_scaling``.

    Returns
    -------
    ndarray
        Entries from N(0, 1/fan_in).

    Raises
    ------
    ValueError, TypeError
        As in ``variance_scaling``.

    References
    ----------
    LeCun et al. 1998, *Efficient BackProp*, section 4.6, eq. 16.

    Examples
    --------
    >>> w = lecun_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(
        shape, 1.0, "fan_in", "normal", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


def torch_default(
    shape: ShapeLike, fan_in: Real | None = None,
    in_axis: AxisLike = 1, out_axis: AxisLike = 0, batch_axis: AxisLike = (), groups: Whole = 1,
    fan: Real | None = None,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """PyTorch's default for linear and convolution layers: ``Var[W] = 1/(3·fan_in)``, uniform.

    There it is written ``kaiming_uniform_(a=√5)``, whose gain is √(2/(1 + 5)) = 1/√3. A bias has the same law
    with its weight's fan_in: ``torch_default((out,), fan_in=…)``. Too small for depth: with ReLU the signal's
    mean square falls to a sixth a layer. Taught in lesson 06.

    Parameters
    ----------
    shape : int or sequence of int
        ``(out, in/groups, *kernel)``, or in the order that the axes name.
    fan_in : float, optional
        The fan by hand, for a bias; the same as ``fan``.
    in_axis, out_axis, batch_axis, groups, fan, rng, dtype, out
        As in ``variance_scaling``.

    Returns
    -------
    ndarray
        Entries in ±1/√fan_in.

    Raises
    ------
    ValueError, TypeError
        As in ``variance_scaling``; ``fan_in`` beside a ``fan``, axes or groups.

    References
    ----------
    LeCun et al. 1998, by way of Torch7; Glorot & Bengio 2010, eq. 1.

    Examples
    --------
    >>> w, b = torch_default((300, 100), rng=0), torch_default(300, fan_in=100, rng=1)
    >>> bool(abs(w).max() <= 0.1), bool(abs(b).max() <= 0.1), bool(abs(w.var() * 300 - 1) < 0.05)
    (True, True, True)
    """
    if fan_in is not None:
        usual = {"in_axis": 1, "out_axis": 0, "batch_axis": (), "groups": 1, "fan": None}
        given = (in_axis, out_axis, batch_axis, groups, fan)
        others = [name for name, value in zip(usual, given, strict=True) if value != usual[name]]
        if others:
            raise TypeError(f"fan_in says it all; {', '.join(others)} must not come with it")
        fan = _above_0("fan_in", fan_in)
    return variance_scaling(
        shape, 1 / 3, "fan_in", "uniform", in_axis, out_axis, batch_axis, groups, fan,
        rng=rng, dtype=dtype, out=out,
    )  # fmt: skip


# Orthogonal and structured -----------------------------------------------------------------------


def _haar(
    rows: int, columns: int, gain: float, dtype: np.dtype[Any], rng: RNGLike, out: Array | None = None
) -> Array:
    """gain times a Haar-distributed matrix with orthonormal rows, or columns if it is taller than wide.

    It is made in ``out`` where that is not taller than wide and LAPACK can work in it. It is the Q of a
    Gaussian matrix, without the factorization: LAPACK's ?orgqr multiplies reflections along independent
    Gaussian vectors of length m, m − 1, … (Stewart 1980, section 3).
    """
    dtype = sampling.wide(dtype)
    n, m = sorted((rows, columns))
    rng = sampling.generator(rng)
    if n == 0:
        return np.empty((rows, columns), dtype)
    if out is None or rows > columns or not (out.flags.carray and out.dtype == dtype):
        out = np.empty((n, m), dtype)
    x = sampling.fill(out.reshape(n, m), sampling.normal(0, 1), rng)  # row k holds vector k from entry k on
    diagonal = np.einsum("ii->i", x[:, :n])  # a view
    diagonal[diagonal == 0] = 1  # happens once in 10⁷ draws; a last vector of length 0 has no direction
    first = diagonal.copy()
    norm = np.empty(n)
    for start in range(0, n, 64):  # in parts, as all at once would be a second matrix
        tails = np.triu(x[start : start + 64, start:])
        norm[start : start + 64] = np.sqrt(np.einsum("ij,ij->i", tails, tails, dtype=np.float64))
    beta = -np.copysign(norm, first)
    x /= (first - beta)[:, None].astype(dtype)
    tau = ((beta - first) / beta).astype(dtype)
    (orgqr,) = scipy.linalg.get_lapack_funcs(("orgqr",), (x,))
    # One thread, as more would make OpenBLAS add up in another order.
    with sampling.one_blas_thread():
        q, _, info = orgqr(x.T, tau, lwork=32 * n, overwrite_a=True)
    if info:
        raise RuntimeError(f"LAPACK's orgqr failed with {info}")
    q *= (gain * np.sign(beta)).astype(dtype)  # without the sign, −1 and 1 would not be equally likely
    if not gain:
        q += 0  # −0 becomes 0
    return q if rows > columns else q.T


def orthogonal(
    shape: ShapeLike, gain: Real = 1.0, in_axis: AxisLike = 1, out_axis: AxisLike = 0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """Orthonormal rows or columns, whichever are fewer: ``W Wᵀ = gain²·I`` or ``Wᵀ W = gain²·I``.

    ``Var[W] = gain²/max(rows, columns)``. The rows are the outputs, the columns all the rest, as in PyTorch:
    a unit's weights are one row, wherever its axes lie. W is Haar-distributed: every rotation is equally
    likely. All its singular values are ``gain``, whereas those of a product of Gaussian matrices spread with
    depth. Taught in lesson 09.

    Parameters
    ----------
    shape : int or sequence of int
        Two axes or more.
    gain : float
        ≥ 0; 0 gives zeros.
    in_axis, out_axis, rng, dtype, out
        As for every initializer that tells inputs from outputs; see the module.

    Returns
    -------
    ndarray
        Its rows or its columns are orthogonal.

    Raises
    ------
    ValueError
        There are fewer than two axes, an axis is wrong, or ``gain`` is negative or too large for the dtype.

    Notes
    -----
    A second array of its size is needed for a matrix taller than wide, for other axes than PyTorch's, and for
    an ``out`` that is float16 or not contiguous.

    References
    ----------
    Saxe et al. 2013, section 3; Stewart 1980, section 3.

    Examples
    --------
    >>> w = orthogonal((3, 5), rng=0)
    >>> bool(np.allclose(w @ w.T, np.eye(3), atol=1e-6))
    True
    >>> kernel = orthogonal((3, 3, 8, 16), in_axis=-2, out_axis=-1, rng=0).reshape(72, 16)  # Keras, JAX
    >>> bool(np.allclose(kernel.T @ kernel, np.eye(16), atol=1e-6))
    True
    """
    gain = _not_negative("gain", gain)
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        _within_reach(out.dtype, gain)
        q = _haar(w.shape[0], math.prod(w.shape[1:]), gain, w.dtype, rng, w)
        if not np.may_share_memory(q, w):
            w[...] = q.reshape(w.shape)
    return out


def delta_orthogonal(
    shape: ShapeLike, gain: Real = 1.0, centre: Literal["upper", "lower"] = "upper",
    in_axis: AxisLike = 1, out_axis: AxisLike = 0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """A convolution that is 0 but for its centre, which has orthonormal columns times gain.

    It keeps the norm of every signal: ``‖W ∗ x‖ = gain·‖x‖``. ``Var[W] = gain²/(out·R)``, R the kernel's
    size.

    Parameters
    ----------
    shape : sequence of int
        ``(out, in, *kernel)`` with out ≥ in.
    gain : float
        ≥ 0; 0 gives zeros.
    centre : {"upper", "lower"}
        Of the two middle places of a kernel of even size k, the one at k // 2, as in
        ``torch.nn.init.dirac_``, or at (k − 1) // 2, as in JAX's ``delta_orthogonal``: there, "same" padding
        passes an image on unshifted.
    in_axis, out_axis, rng, dtype, out
        As for every initializer that tells inputs from outputs; see the module.

    Returns
    -------
    ndarray
        0 but at the centre.

    Raises
    ------
    ValueError
        There are fewer than three axes, an axis is wrong, out < in, ``centre`` is unknown, or ``gain`` is
        negative or too large for the dtype.

    References
    ----------
    Xiao et al. 2018, section 2.5 and algorithm 2.

    Examples
    --------
    >>> w = delta_orthogonal((8, 4, 3, 3), rng=0)
    >>> centre = w[:, :, 1, 1]
    >>> bool(np.allclose(centre.T @ centre, np.eye(4), atol=1e-6)), bool(np.count_nonzero(w) == 32)
    (True, True)
    """
    gain = _not_negative("gain", gain)
    if not isinstance(centre, str) or centre not in ("upper", "lower"):
        raise ValueError(f"centre must be 'upper' or 'lower', not {centre!r}")
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        _check_kernel(w, out.shape)
        if w.shape[0] < w.shape[1]:
            raise ValueError(f"shape must have at least as many outputs as inputs, not {w.shape[:2]}")
        _within_reach(out.dtype, gain)
        q = _haar(w.shape[0], w.shape[1], gain, out.dtype, rng)
        w[...] = 0
        if w.size:
            w[:, :, *((n - (centre == "lower")) // 2 for n in w.shape[2:])] = q
    return out


def _check_kernel(w: Array, shape: tuple[int, ...]) -> None:
    if w.ndim < 3:
        raise ValueError(f"shape must have outputs, inputs and a kernel, three axes or more, not {shape}")


def identity(
    shape: ShapeLike, gain: Real = 1.0, in_axis: AxisLike = 1, out_axis: AxisLike = 0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """``W[i, i] = gain``, 0 elsewhere: the inputs pass through, cut or padded with zeros.

    Nothing is drawn: ``Var[W] = 0`` over seeds.

    Parameters
    ----------
    shape : sequence of int
        Two axes, or more where ``in_axis`` or ``out_axis`` names several as one.
    gain : float
        The diagonal.
    in_axis, out_axis, rng, dtype, out
        As for every initializer that tells inputs from outputs; see the module.

    Returns
    -------
    ndarray
        0 but on the diagonal.

    Raises
    ------
    ValueError
        There are not two axes, an axis is wrong, or ``gain`` is not finite.

    References
    ----------
    Le et al. 2015, for recurrent nets.

    Examples
    --------
    >>> identity((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    gain = _finite("gain", gain)
    sampling.generator(rng)  # for its errors
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        if w.ndim != 2:
            raise ValueError(f"shape must have two axes, not {out.shape}; a convolution's identity is dirac")
        _within_reach(out.dtype, abs(gain))
        w[...] = 0
        np.fill_diagonal(w[: min(w.shape)], gain)
    return out


def dirac(
    shape: ShapeLike, groups: Whole = 1, in_axis: AxisLike = 1, out_axis: AxisLike = 0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """The identity of convolutions: in each group g, ``W[g·out/groups + i, i, centre] = 1``, 0 elsewhere.

    Channels pass through as far as there are outputs; the centre is at k // 2. Nothing is drawn: ``Var[W] =
    0`` over seeds.

    Parameters
    ----------
    shape : sequence of int
        ``(out, in/groups, *kernel)``.
    groups : int
        Of a grouped convolution.
    in_axis, out_axis, rng, dtype, out
        As for every initializer that tells inputs from outputs; see the module.

    Returns
    -------
    ndarray
        0s and 1s.

    Raises
    ------
    ValueError
        There are fewer than three axes, an axis is wrong, or ``groups`` does not divide the outputs.

    References
    ----------
    Zagoruyko & Komodakis 2017 (DiracNets); ``torch.nn.init.dirac_``.

    Examples
    --------
    >>> dirac((2, 2, 3))[:, :, 1]
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    sampling.generator(rng)  # for its errors
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        _check_kernel(w, out.shape)
        fans(w.shape, groups=groups)  # for the error where groups does not divide
        centre = tuple(n // 2 for n in w.shape[2:])
        w[...] = 0
        if w.size:
            per_group = w.shape[0] // int(groups)
            for start in range(0, w.shape[0], per_group):
                for i in range(min(per_group, w.shape[1])):
                    w[(start + i, i, *centre)] = 1
    return out


def sparse(
    shape: ShapeLike, sparsity: Real, std: Real = 0.01, mode: Literal["fan_in", "fan_out"] = "fan_in",
    in_axis: AxisLike = 1, out_axis: AxisLike = 0,
    *, rng: RNGLike = None, dtype: DTypeLike = np.float32, out: OutLike = None,
) -> Array:  # fmt: skip
    """W ~ N(0, std²), of which ⌈sparsity·n⌉ of the n weights of each unit, chosen at random, are 0.

    ``Var[W] = (1 − ⌈sparsity·n⌉/n)·std²``, n = fan_in. With few inputs a unit differs from the others and yet
    does not saturate; Martens keeps 15, ``sparsity=1 - 15 / fan_in``. Where n is small, ⌈sparsity·n⌉ can be
    all of n.

    Parameters
    ----------
    shape : sequence of int
        Two axes, or more where ``in_axis`` or ``out_axis`` names several as one.
    sparsity : float
        The share of zeros, in [0, 1).
    std : float
        Of the weights that remain, ≥ 0.
    mode : {"fan_in", "fan_out"}
        "fan_in" counts the weights that enter a unit. "fan_out" counts those that leave an input, n =
        fan_out, as ``torch.nn.init.sparse_`` does; then some units may have no input.
    in_axis, out_axis, rng, dtype, out
        As for every initializer that tells inputs from outputs; see the module.

    Returns
    -------
    ndarray
        Each unit has ⌈sparsity·n⌉ zeros.

    Raises
    ------
    ValueError
        There are not two axes, an axis or the mode is wrong, ``sparsity`` is outside [0, 1), or ``std`` is
        negative.

    References
    ----------
    Martens 2010, section 5.

    Examples
    --------
    >>> w = sparse((3, 10), 0.75, rng=0)
    >>> (w == 0).sum(axis=1).tolist()
    [8, 8, 8]
    >>> (sparse((10, 3), 0.75, mode="fan_out", rng=0) == 0).sum(axis=0).tolist()
    [8, 8, 8]
    """
    if not isinstance(mode, str) or mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be fan_in or fan_out, not {mode!r}")
    sparsity, std = _finite("sparsity", sparsity), _not_negative("std", std)
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be at least 0 and below 1, not {sparsity!r}")
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        if w.ndim != 2:
            raise ValueError(f"shape must have two axes, not {out.shape}")
        rng = sampling.generator(rng)
        normal(w.shape, std=std, rng=rng, dtype=w.dtype, out=w)
        lines = w if mode == "fan_in" else w.T
        n = lines.shape[1]
        zeros_a_line = math.ceil(sparsity * n - 1e-9)  # 0.07·100 is a little above 7
        group = max(1, sampling.BLOCK // max(1, n))  # of lines, as all at once would be a second array
        for start in range(0, len(lines), group):
            part = lines[start : start + group]
            order = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (len(part), 1)), axis=1)
            np.put_along_axis(part, order[:, :zeros_a_line], 0, axis=1)
    return out


# Names --------------------------------------------------------------------------------------------

glorot_uniform, glorot_normal = xavier_uniform, xavier_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


class Drawn(NamedTuple):
    """What an initializer called with ``params`` draws: independent entries, mean 0, Var[W] = scale/fan.

    Attributes
    ----------
    distribution : str or tuple
        A ``Distribution``, or a symmetric one of ``scipy.stats`` with eight moments: its name there and its
        shape parameters, ("triang", 0.5).
    scale : float
        The variance times the fan.
    fan : str
        A ``Mode``.
    params : dict
        The arguments of the call; empty for one without any.
    """

    distribution: str | tuple[Any, ...]
    scale: float
    fan: Mode
    params: dict[str, Any] = {}  # noqa: RUF012 - never written to


class Scheme(NamedTuple):
    """An initializer, and what the doctor recognizes its samples by.

    Attributes
    ----------
    initializer : callable
        What draws.
    laws : tuple of Drawn
        What it draws, by the arguments that people write; empty where its entries have no such law.
    alias : str or None
        Its other name, if any.
    """

    initializer: Callable[..., Array]
    laws: tuple[Drawn, ...] = ()
    alias: str | None = None


# Keras' and JAX's he_normal, glorot_normal and lecun_normal are truncated.
_TRUNCATED: tuple[tuple[float, Mode], ...] = (
    (2.0, "fan_in"),
    (1.0, "fan_avg"),
    (1.0, "fan_in"),
    (2.0, "fan_out"),
)

SCHEMES = (
    Scheme(zeros),
    Scheme(ones),
    Scheme(constant),
    Scheme(uniform),
    Scheme(normal),
    Scheme(truncated_normal),
    Scheme(
        variance_scaling,
        (
            *(
                Drawn("truncated_normal", scale, fan, {"scale": scale, "mode": fan})
                for scale, fan in _TRUNCATED
            ),
            # LeCun's and PyTorch's, of weights that were transposed after the draw.
            *(
                Drawn(law, scale, "fan_out", {"scale": scale, "mode": "fan_out", "distribution": law})
                for law, scale in (("normal", 1.0), ("uniform", 1.0), ("uniform", 1 / 3))
            ),
        ),
    ),
    Scheme(
        xavier_uniform,
        (
            Drawn("uniform", 1.0, "fan_avg"),
            # PyTorch's calculate_gain("relu") and calculate_gain("tanh").
            *(Drawn("uniform", gain**2, "fan_avg", {"gain": gain}) for gain in (math.sqrt(2), 5 / 3)),
        ),
        "glorot_uniform",
    ),
    Scheme(xavier_normal, (Drawn("normal", 1.0, "fan_avg"),), "glorot_normal"),
    Scheme(
        he_uniform,
        (Drawn("uniform", 2.0, "fan_in"), Drawn("uniform", 2.0, "fan_out", {"mode": "fan_out"})),
        "kaiming_uniform",
    ),
    Scheme(
        he_normal,
        (Drawn("normal", 2.0, "fan_in"), Drawn("normal", 2.0, "fan_out", {"mode": "fan_out"})),
        "kaiming_normal",
    ),
    Scheme(lecun_uniform, (Drawn("uniform", 1.0, "fan_in"),)),
    Scheme(lecun_normal, (Drawn("normal", 1.0, "fan_in"),)),
    Scheme(torch_default, (Drawn("uniform", 1 / 3, "fan_in"),)),
    Scheme(orthogonal),
    Scheme(delta_orthogonal),
    Scheme(identity),
    Scheme(dirac),
    Scheme(sparse),
)
"""Every initializer: ``get`` finds it by its name, and ``doctor.identify`` names it by its laws."""

REGISTRY: dict[str, Callable[..., Array]] = {
    scheme.initializer.__name__: scheme.initializer for scheme in SCHEMES
}
"""The initializers by name; an entry that is added is known to ``get`` and ``MLP``."""

REGISTRY |= {scheme.alias: scheme.initializer for scheme in SCHEMES if scheme.alias}


_Callable = TypeVar("_Callable", bound=Callable[..., Any])


@overload
def get(name: str) -> Callable[..., Array]: ...
@overload
def get(name: _Callable) -> _Callable: ...
def get(name: Any) -> Any:
    """The initializer of that name; a callable is returned as it is.

    Parameters
    ----------
    name : str or callable
        A key of ``REGISTRY``, as ``MLP``'s ``init``.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        The name is unknown; the message gives the close ones.
    TypeError
        ``name`` is neither.

    Examples
    --------
    >>> get("he_normal") is he_normal
    True
    """
    if callable(name):
        return name
    if not isinstance(name, str):
        raise TypeError(f"an initializer is a name or a callable, not {name!r}")
    if name not in REGISTRY:
        close = difflib.get_close_matches(name.lower(), REGISTRY, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(REGISTRY)}"
        raise ValueError(f"no initializer is called {name!r}; {hint}")
    return REGISTRY[name]


def sample_block(
    initializer: str | Callable[..., Array], shape: ShapeLike, index: Whole,
    *, rng: RNGLike, dtype: DTypeLike = np.float32, **arguments: Any,
) -> Array:  # fmt: skip
    """One block of ``initializer(shape, rng=rng, …)``: a slice of an array that is never made whole.

    The array is cut, in C order, into ``sampling.block_count(shape)`` blocks of ``sampling.BLOCK`` = 2¹⁹
    elements (the last may be shorter), so that machines or passes can each make their part.

    Parameters
    ----------
    initializer : str or callable
        One that draws entry by entry: ``uniform``, ``normal``, ``truncated_normal`` and all that scale a
        variance.
    shape : int or sequence of int
        Of the whole array.
    index : int
        The block, from 0 on.
    rng : int or SeedSequence
        The seed. A Generator would advance from block to block.
    dtype : dtype
        float16, float32 or float64.
    **arguments
        The initializer's own.

    Returns
    -------
    ndarray
        Flat.

    Raises
    ------
    ValueError
        The initializer cannot be made in blocks, or ``index`` is out of range.
    TypeError
        ``rng`` is no seed.

    References
    ----------
    One SeedSequence a block: O'Neill 2015; NumPy's ``spawn_key``.

    Examples
    --------
    >>> whole = he_normal((1500, 1000), rng=0)
    >>> part = sample_block("he_normal", (1500, 1000), 2, rng=0)
    >>> bool((part == whole.ravel()[2 * sampling.BLOCK :]).all())
    True
    """
    if rng is None or isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be an int or a SeedSequence, so that blocks fit each other, not {rng!r}")
    if not is_whole(index):
        raise TypeError(f"index must be a whole number, not {index!r}")
    return get(initializer)(shape, rng=rng, dtype=dtype, out=Block(int(index)), **arguments)
