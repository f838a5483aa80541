"""Initializers: shape -> ndarray.

One mechanism, ``variance_scaling``; the named schemes fill in its arguments. Every function takes,
by keyword only,

``rng``    None | int | SeedSequence | Generator (see ``sampling.generator``);
``dtype``  float16, float32 (default) or float64; float16 is drawn in float32 and rounded;
``out``    an array of that shape and dtype to fill in place and return: of any layout, a memory map too.

One seed gives one array, whatever the number of threads; see ``sampling``. Weights are (out, in, *kernel),
as in PyTorch; for Keras and JAX kernels, (*kernel, in, out), say ``in_axis=-2, out_axis=-1`` to any scheme
that tells inputs from outputs. An axis is an int, or a tuple of ints that count as one.
The schemes with a fan take ``batch_axis``, ``groups`` and ``fan`` too, as ``variance_scaling`` does; their
axes change the fan alone, and the entries are drawn in the order in which they lie. What is structured,
``orthogonal``, ``delta_orthogonal``, ``identity``, ``dirac`` and ``sparse``, is made as (out, in, *kernel),
and its axes then moved: one seed gives one weight in every layout.
Entries have no unit. A limit is meant where it is asked for: a gain, scale or std of 0 gives a constant, as
does ``low`` = ``high``. Bad input raises ValueError or TypeError, which name the argument, and leaves ``out``
untouched.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from . import activations, sampling
from .arguments import is_bool, is_whole
from .fans import checked_axes, checked_shape, fans
from .sampling import Block

DTYPES = (np.float16, np.float32, np.float64)
MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")


def checked_dtype(dtype) -> np.dtype:
    """``dtype`` as one that can be filled; TypeError otherwise."""
    try:
        found = np.dtype(dtype) if dtype is not None else None  # None would be float64
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found not in DTYPES:
        raise TypeError(f"dtype must be float16, float32 or float64, not {found or repr(dtype)}")
    return found


def _array(shape, dtype, out) -> np.ndarray | Block:
    """What to fill: ``out`` when it fits shape and dtype, else a new array."""
    shape = checked_shape(shape)
    dtype = checked_dtype(dtype)
    if out is None:
        try:
            return np.empty(shape, dtype)
        except ValueError:  # more than an address can say
            raise ValueError(f"shape {shape} is too large for an array") from None
    if isinstance(out, Block):
        if not 0 <= out.index < sampling.block_count(shape):
            raise ValueError(f"index must be from 0 to {sampling.block_count(shape) - 1}, not {out.index}")
        return Block(out.index, shape, dtype)
    if type(out) not in (np.ndarray, np.memmap):  # a matrix or a masked array computes by rules of its own
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; shape={shape} and dtype={dtype} were asked for"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def _whole(shape, dtype, out) -> np.ndarray:
    """``_array`` for the schemes whose entries all depend on each other, or are not drawn."""
    out = _array(shape, dtype, out)
    if isinstance(out, Block):
        raise ValueError("this initializer has no blocks: its entries are not drawn one by one")
    return out


@contextlib.contextmanager
def _as_torchs(out: np.ndarray, in_axis, out_axis):
    """``out`` to be filled as (out, in, *kernel): a view of it, or what is copied to it at the end."""
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


def _finite(name: str, value) -> float:
    try:
        number = float("" if isinstance(value, (str, bytes)) or is_bool(value) else value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return number


def _finite_array(name: str, value) -> np.ndarray:
    """``_finite``, for one number or an array of them."""
    if not np.iterable(value) or isinstance(value, (str, bytes)):
        return np.array(_finite(name, value))
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = None
    if array is None or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or an array of them, not {value!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; some of its entries are not")
    return array


def _not_negative(name: str, value) -> float:
    number = _finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")
    return number


def _above_0(name: str, value) -> float:
    number = _finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def _scale(name: str, gain) -> float:
    """gain², which must be a number that float64 has."""
    number = _not_negative(name, gain)
    scale = number * number  # not a power, which would raise where this is inf
    if scale == math.inf or (number and not scale):
        raise ValueError(f"{name} must have a square between 0 and infinity, or be 0, not {gain!r}")
    return scale


def _within_reach(dtype, furthest: float) -> None:
    """float16 ends at 65504: what would become inf is refused, not warned of."""
    if furthest > float(np.finfo(dtype).max):
        raise ValueError(
            f"dtype {np.dtype(dtype)} ends at {np.finfo(dtype).max:g}; values to {furthest:g} were asked for"
        )


def _low_high(low, high) -> tuple[float, float]:
    low, high = _finite("low", low), _finite("high", high)
    if low > high:
        raise ValueError(f"low must not be above high, not low={low:g}, high={high:g}")
    return low, high


def _all(value: float):
    """The law of one number. It is filled as the others are: a Generator advances, and there are blocks."""
    return lambda generator, block: block.fill(value)


# Constants ---------------------------------------------------------------------------------------


def constant(shape, value, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """Every entry ``value``. Var[W] = 0, so a layer's units all start, and stay, the same.

    Right for biases, never for weights. ``value``: a number, or an array that broadcasts to ``shape``, as in
    JAX: a filter for a kernel, the classes' log-odds for a bias; then entries are what the array says.
    ``rng`` is accepted and not used. Source: Goodfellow et al. 2016, *Deep Learning*, section 8.4. Taught in
    lesson 02. Raises TypeError when ``value`` is not of numbers, ValueError when it is not finite or does not
    broadcast, and as every initializer does for a bad shape, dtype, rng or out.

    >>> constant((2, 2), 0.5)
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    >>> constant((2, 3), [1, 2, 3])
    array([[1., 2., 3.],
           [1., 2., 3.]], dtype=float32)
    """
    value = _finite_array("value", value)
    sampling.generator(rng)  # says so when it is none
    out = _whole(shape, dtype, out)
    try:
        value = np.broadcast_to(value, out.shape)
    except ValueError:
        raise ValueError(f"value has shape {value.shape}, which does not broadcast to {out.shape}") from None
    _within_reach(out.dtype, float(np.abs(value).max(initial=0)))
    out[...] = value
    return out


def zeros(shape, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """``constant(shape, 0.0)``: Var[W] = 0; right for biases, never for weights. Lesson 02.

    Source and errors as in ``constant``.

    >>> zeros(3)
    array([0., 0., 0.], dtype=float32)
    """
    return constant(shape, 0.0, rng=rng, dtype=dtype, out=out)


def ones(shape, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """``constant(shape, 1.0)``: Var[W] = 0; right for the scale of a normalization layer. Lesson 02.

    Source: Ioffe & Szegedy 2015, section 3 (γ). Errors as in ``constant``.

    >>> ones(3)
    array([1., 1., 1.], dtype=float32)
    """
    return constant(shape, 1.0, rng=rng, dtype=dtype, out=out)


# Distributions -----------------------------------------------------------------------------------


def uniform(shape, low=-0.05, high=0.05, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W ~ U[low, high). Var[W] = (high − low)²/12. Taught in lesson 03.

    The defaults are Keras'. Drawn with 32 random bits an entry (64 in float64). float16 stays below
    ``high`` too. ``low`` = ``high`` gives that number, as in PyTorch and NumPy. Source: Glorot & Bengio
    2010, eq. 1, for ±1/√n. Raises ValueError when ``low`` > ``high`` or either is not finite.

    >>> w = uniform((200, 100), -1, 1, rng=0)
    >>> bool(abs(w.var() - 1 / 3) < 0.01)
    True
    """
    low, high = _low_high(low, high)
    out = _array(shape, dtype, out)
    _within_reach(out.dtype, max(-low, high))
    draw = sampling.uniform(low, high, out.dtype) if low < high else _all(high)
    return sampling.fill(out, draw, rng)


def normal(shape, mean=0.0, std=0.05, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W ~ N(mean, std²). Var[W] = std²; with std 0, ``mean``. Taught in lesson 03.

    The defaults are Keras'. In float32 the tail ends at 6.56·std (one normal in 2·10¹⁰ lies beyond);
    float64 has none of that. Source: Box & Muller 1958. Raises ValueError when ``std`` is negative or
    either is not finite.

    >>> w = normal((200, 100), std=2.0, rng=0)
    >>> bool(abs(w.std() - 2) < 0.05)
    True
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    out = _array(shape, dtype, out)
    _within_reach(out.dtype, abs(mean) + 10 * std)
    return sampling.fill(out, sampling.normal(mean, std) if std else _all(mean), rng)


def truncated_normal(
    shape, mean=0.0, std=0.05, low=-2.0, high=2.0, *, rng=None, dtype=np.float32, out=None
) -> np.ndarray:
    """W ~ N(mean, std²) given low ≤ (W − mean)/std ≤ high: sampled from that law, not clipped.

    ``low`` and ``high`` are in units of ``std``, around ``mean`` (in PyTorch they are values); ``std`` is
    that of the normal *before* truncation. At ±2, Var[W] = 0.7737·std², so its standard deviation is
    0.8796·std. Any bounds will do: far tails (``low=30, high=31``), ``-inf`` and ``inf``. Where ``low`` =
    ``high`` or ``std`` = 0, every entry is mean + low·std. The defaults are Keras'. Source: Burkardt 2014,
    *The Truncated Normal Distribution*, section 2. Taught in lesson 05.
    Raises ValueError when ``std`` is negative, ``low`` > ``high``, ``mean`` or ``std`` is not finite, or the
    window lies further than 1e100 from the mean.

    >>> w = truncated_normal((200, 100), std=1.0, rng=0)
    >>> bool(abs(w).max() <= 2), bool(abs(w.std() - 0.8796) < 0.02)
    (True, True)
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    low, high = _window(low, high)
    out = _array(shape, dtype, out)
    _within_reach(out.dtype, abs(mean) + std * max(abs(low), abs(high)))
    one = low == high or not std
    draw = _all(mean + low * std) if one else sampling.truncated_normal(mean, std, low, high, out.dtype)
    return sampling.fill(out, draw, rng)


def _window(low, high) -> tuple[float, float]:
    """Where the mass between the bounds is: what lies 40 further out has less than e⁻⁸⁰⁰ of it."""
    bounds = {"low": low, "high": high}
    for name, bound in bounds.items():
        if bound not in (-math.inf, math.inf):
            bounds[name] = _finite(name, bound)
    low, high = bounds.values()
    if low > high:
        raise ValueError(f"low must not be above high, not low={low:g}, high={high:g}")
    if low > 1e100 or high < -1e100:
        raise ValueError(f"low and high must not both lie beyond 1e100, not low={low:g}, high={high:g}")
    return max(low, min(high, 0.0) - 40), min(high, max(low, 0.0) + 40)


# Variance scaling and its names ------------------------------------------------------------------


@functools.cache
def truncated_std(bound: float = 2.0) -> float:
    """Standard deviation of N(0, 1) truncated at ±bound: √(1 − 2·b·φ(b)/(2Φ(b) − 1))."""
    density = math.exp(-bound * bound / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * bound * density / math.erf(bound / math.sqrt(2)))


def variance_scaling(
    shape,
    scale=1.0,
    mode="fan_in",
    distribution="truncated_normal",
    in_axis=1,
    out_axis=0,
    batch_axis=(),
    groups=1,
    fan=None,
    *,
    rng=None,
    dtype=np.float32,
    out=None,
) -> np.ndarray:
    """Var[W] = scale / fan: the one mechanism under Xavier, He and LeCun. Taught in lesson 04.

    ``mode`` chooses the fan: ``fan_in``, ``fan_out``, ``fan_avg`` (their mean) or ``fan_geo_avg``
    (the root of their product). ``distribution`` is ``normal``, ``truncated_normal`` (at ±2 of its
    underlying std, widened so that Var[W] is exactly scale/fan) or ``uniform`` on
    ±√(3·scale/fan). Axes and groups as in ``fans``. ``fan``: the number itself, in the place of what mode,
    shape and axes give, for a bias or any shape that does not tell it: a bias drawn as its layer's weight is
    has ``fan=fan_in`` of that weight. Keras' and JAX's ``he_normal`` and ``glorot_normal``,
    which are truncated, are ``variance_scaling(shape, 2.0)`` and ``variance_scaling(shape, 1.0, "fan_avg")``.
    Source: LeCun et al. 1998, eq. 16; Glorot & Bengio 2010, eq. 12; He et al. 2015, eq. 10.
    Raises ValueError for an unknown mode or distribution, a negative scale (0 gives zeros, as in JAX), a fan
    that is not above 0, or bad axes; TypeError for axes or groups beside a ``fan``.
    A shape with a fan of 0 gives an empty array.

    >>> w = variance_scaling((400, 100), scale=2.0, mode="fan_in", rng=0)
    >>> bool(abs(w.var() * 100 - 2) < 0.1)
    True
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if not isinstance(distribution, str) or distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
    scale = _not_negative("scale", scale)
    shape = checked_shape(shape)
    if fan is not None:
        fan = _above_0("fan", fan)
        if (in_axis, out_axis, batch_axis, groups) != (1, 0, (), 1):
            raise TypeError("fan says it all; axes and groups must not come with it")
    else:
        n_in, n_out = fans(shape, in_axis, out_axis, batch_axis, groups)
        fan = {
            "fan_in": n_in,
            "fan_out": n_out,
            "fan_avg": (n_in + n_out) / 2,
            "fan_geo_avg": math.sqrt(n_in * n_out),
        }[mode]
    # No entry to fill, or no unit to count: any finite std will do.
    std = math.sqrt(scale) / math.sqrt(fan) if fan else 0.0
    common = {"rng": rng, "dtype": dtype, "out": out}
    if distribution == "uniform":
        bound = math.sqrt(3) * std
        return uniform(shape, -bound, bound, **common)
    if distribution == "truncated_normal":
        return truncated_normal(shape, 0.0, std / truncated_std(), **common)
    return normal(shape, 0.0, std, **common)


def xavier_uniform(shape, gain=1.0, *, rng=None, dtype=np.float32, out=None, **axes) -> np.ndarray:
    """Var[W] = gain²·2/(fan_in + fan_out), uniform on ±gain·√(6/(fan_in + fan_out)).

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="uniform")``. For tanh and sigmoid;
    with ReLU the signal halves a layer. Source: Glorot & Bengio 2010, eq. 12 and 16. Lesson 04.
    Raises as ``variance_scaling`` does.

    >>> w = xavier_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 400) ** 0.5), bool(abs(w.var() * 200 - 1) < 0.05)
    (True, True)
    """
    scale = _scale("gain", gain)
    return variance_scaling(shape, scale, "fan_avg", "uniform", rng=rng, dtype=dtype, out=out, **axes)


def xavier_normal(shape, gain=1.0, *, rng=None, dtype=np.float32, out=None, **axes) -> np.ndarray:
    """Var[W] = gain²·2/(fan_in + fan_out), normal.

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="normal")``, as in PyTorch; Keras' and
    JAX's is truncated. Source: Glorot & Bengio 2010, eq. 12. Lesson 04. Raises as ``variance_scaling`` does.

    >>> w = xavier_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 200 - 1) < 0.05)
    True
    """
    scale = _scale("gain", gain)
    return variance_scaling(shape, scale, "fan_avg", "normal", rng=rng, dtype=dtype, out=out, **axes)


def _he_scale(activation, gain) -> float:
    activation = activations.get(activation)  # says so when it is none, also where the gain is given
    return activations.gain(activation) ** 2 if gain is None else _scale("gain", gain)


def he_uniform(
    shape, activation="relu", mode="fan_in", gain=None, *, rng=None, dtype=np.float32, out=None, **axes
) -> np.ndarray:
    """Var[W] = gain²/fan, uniform on ±gain·√(3/fan); for ReLU ±√(6/fan_in).

    ``variance_scaling(scale=gain(activation)², mode, "uniform")``; arguments as in ``he_normal``. Source:
    He et al. 2015, eq. 10, 14 and 15. Lesson 05. Raises as ``variance_scaling`` and ``gain`` do.

    >>> w = he_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 100) ** 0.5), bool(abs(w.var() * 50 - 1) < 0.05)
    (True, True)
    """
    scale = _he_scale(activation, gain)
    return variance_scaling(shape, scale, mode, "uniform", rng=rng, dtype=dtype, out=out, **axes)


def he_normal(
    shape, activation="relu", mode="fan_in", gain=None, *, rng=None, dtype=np.float32, out=None, **axes
) -> np.ndarray:
    """Var[W] = gain²/fan, normal; for ReLU 2/fan_in, for Leaky ReLU 2/((1 + a²)·fan_in).

    ``variance_scaling(scale=gain(activation)², mode, "normal")``, as in PyTorch; Keras' and JAX's is
    truncated. The gain is computed from the activation (a name, ``("leaky_relu", a)``, an Activation or
    any callable), so that gain²·E[f(z)²] = 1, unless it is given: ``gain=gain("tanh", convention="torch")``
    for PyTorch's table. ``mode="fan_in"`` keeps the signal forward, ``"fan_out"`` backward. Source: He et
    al. 2015, eq. 10, 14 and 15. Lesson 05. Raises as ``variance_scaling`` and ``gain`` do.

    >>> w = he_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 50 - 1) < 0.05)
    True
    """
    scale = _he_scale(activation, gain)
    return variance_scaling(shape, scale, mode, "normal", rng=rng, dtype=dtype, out=out, **axes)


def lecun_uniform(shape, *, rng=None, dtype=np.float32, out=None, **axes) -> np.ndarray:
    """Var[W] = 1/fan_in, uniform on ±√(3/fan_in). ``variance_scaling(distribution="uniform")``.

    Source: LeCun et al. 1998, *Efficient BackProp*, section 4.6, eq. 16. Lesson 04. Raises as
    ``variance_scaling`` does.

    >>> w = lecun_uniform((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(shape, 1.0, "fan_in", "uniform", rng=rng, dtype=dtype, out=out, **axes)


def lecun_normal(shape, *, rng=None, dtype=np.float32, out=None, **axes) -> np.ndarray:
    """Var[W] = 1/fan_in, normal. ``variance_scaling(distribution="normal")``; Keras' and JAX's is truncated.

    Source: LeCun et al. 1998, *Efficient BackProp*, section 4.6, eq. 16. Lesson 04. Raises as
    ``variance_scaling`` does.

    >>> w = lecun_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(shape, 1.0, "fan_in", "normal", rng=rng, dtype=dtype, out=out, **axes)


def torch_default(shape, fan_in=None, *, rng=None, dtype=np.float32, out=None, **axes) -> np.ndarray:
    """Var[W] = 1/(3·fan_in), uniform on ±1/√fan_in: what PyTorch's ``Linear`` and ``Conv`` start from.

    There it is written ``kaiming_uniform_(a=√5)``, whose gain is √(2/(1 + 5)) = 1/√3. A layer's bias gets the
    same law with its weight's fan_in: ``torch_default((out,), fan_in=…)``. Too small for depth: with ReLU
    the signal's mean square falls to a sixth a layer. ``fan_in`` is ``variance_scaling``'s ``fan``.
    Source: LeCun et al. 1998 by way of Torch7; Glorot & Bengio 2010, eq. 1. Lesson 06. Raises as
    ``variance_scaling`` does.

    >>> w, b = torch_default((300, 100), rng=0), torch_default(300, fan_in=100, rng=1)
    >>> bool(abs(w).max() <= 0.1), bool(abs(b).max() <= 0.1), bool(abs(w.var() * 300 - 1) < 0.05)
    (True, True, True)
    """
    if fan_in is not None:
        if axes:
            raise TypeError(f"fan_in says it all; {', '.join(axes)} must not come with it")
        axes = {"fan": _above_0("fan_in", fan_in)}
    return variance_scaling(shape, 1 / 3, "fan_in", "uniform", rng=rng, dtype=dtype, out=out, **axes)


# Orthogonal and structured -----------------------------------------------------------------------


def _haar(rows: int, columns: int, gain: float, dtype, rng, out=None) -> np.ndarray:
    """gain times a matrix with orthonormal rows (columns, if taller than wide), Haar-distributed.

    In ``out`` where it is not taller than wide and LAPACK can work in it.

    The Q of a Gaussian matrix, without its factorization: reflections along independent Gaussian vectors
    of length m, m − 1, … (Stewart 1980, section 3), multiplied out by LAPACK's ?orgqr.
    """
    dtype = sampling.wide(dtype)
    n, m = sorted((rows, columns))
    rng = sampling.generator(rng)
    if n == 0:
        return np.empty((rows, columns), dtype)
    if out is None or rows > columns or not (out.flags.carray and out.dtype == dtype):
        out = np.empty((n, m), dtype)
    x = sampling.fill(out.reshape(n, m), sampling.normal(0, 1), rng)  # row k, from entry k on: vector k
    diagonal = np.einsum("ii->i", x[:, :n])  # a view
    diagonal[diagonal == 0] = 1  # once in 10⁷: a last vector of length 0 has no direction
    first = diagonal.copy()
    norm = np.empty(n)
    for start in range(0, n, 64):  # not all at once: that would be a second matrix
        tails = np.triu(x[start : start + 64, start:])
        norm[start : start + 64] = np.sqrt(np.einsum("ij,ij->i", tails, tails, dtype=np.float64))
    beta = -np.copysign(norm, first)
    x /= (first - beta)[:, None].astype(dtype)
    tau = ((beta - first) / beta).astype(dtype)
    (orgqr,) = scipy.linalg.get_lapack_funcs(("orgqr",), (x,))
    # One thread: with more, OpenBLAS adds up in another order.
    with sampling.blas().limit(limits=1):
        q, _, info = orgqr(x.T, tau, lwork=32 * n, overwrite_a=True)
    if info:
        raise RuntimeError(f"LAPACK's orgqr failed with {info}")
    q *= (gain * np.sign(beta)).astype(dtype)  # without the sign, −1 and 1 would not be equally likely
    if not gain:
        q += 0  # −0 becomes 0
    return q if rows > columns else q.T


def orthogonal(shape, gain=1.0, in_axis=1, out_axis=0, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W Wᵀ = gain²·I or Wᵀ W = gain²·I: the rows or the columns, whichever are fewer, are orthonormal.

    Var[W] = gain²/max(rows, columns). The rows are the outputs, the columns all the rest, as in PyTorch: a
    unit's weights are one row, wherever its axes lie. Haar-distributed: every rotation is as likely. Keeps
    every singular value at ``gain``, where Gaussian matrices spread with depth; ``gain=0`` gives zeros.
    Source: Saxe et al. 2013, section 3; Stewart 1980. Lesson 06.
    A matrix taller than wide, axes that are not in PyTorch's order, or ``out`` that is not contiguous or
    float16, needs a second array of its size. Raises ValueError for fewer than two axes, bad axes, or a gain
    that is negative or too large for the dtype.

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
    shape, gain=1.0, centre="upper", in_axis=1, out_axis=0, *, rng=None, dtype=np.float32, out=None
) -> np.ndarray:
    """A convolution (out, in, *kernel), 0 but for its centre, which has orthonormal columns times gain.

    It keeps the norm of every signal, ‖W ∗ x‖ = gain·‖x‖, which needs out ≥ in. Var[W] = gain²/(out·R), R
    the kernel's size; ``gain=0`` gives zeros. Of the two in the middle of an even kernel, ``centre="upper"``
    is that at k // 2, as in ``torch.nn.init.dirac_``, and ``"lower"`` that at (k − 1) // 2, as in JAX's
    ``delta_orthogonal``: where padding is "same", it passes an image on without a shift. Source: Xiao et al.
    2018, section 2.5 and algorithm 2. Lesson 06.
    Raises ValueError for fewer than three axes, bad axes, out < in, another centre, or a gain that is
    negative or too large for the dtype.

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
        q = _haar(*w.shape[:2], gain, out.dtype, rng)
        w[...] = 0
        if w.size:
            w[:, :, *((n - (centre == "lower")) // 2 for n in w.shape[2:])] = q
    return out


def _check_kernel(w, shape) -> None:
    if w.ndim < 3:
        raise ValueError(f"shape must have outputs, inputs and a kernel, three axes or more, not {shape}")


def identity(shape, gain=1.0, in_axis=1, out_axis=0, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W[i, i] = gain, 0 elsewhere. What comes in goes out; what is wider than the other is cut or padded.

    Nothing is drawn, Var[W] = 0 over seeds; ``rng`` is accepted and not used. Several axes are one where
    ``in_axis`` or ``out_axis`` names them all. Source: Le et al. 2015 (recurrent nets). Lesson 06. Raises
    ValueError for a shape that has not two axes, bad axes, or a gain that is not finite.

    >>> identity((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    gain = _finite("gain", gain)
    sampling.generator(rng)  # says so when it is none
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        if w.ndim != 2:
            raise ValueError(f"shape must have two axes, not {out.shape}; a convolution's identity is dirac")
        _within_reach(out.dtype, abs(gain))
        w[...] = 0
        np.fill_diagonal(w[: min(w.shape)], gain)
    return out


def dirac(shape, groups=1, in_axis=1, out_axis=0, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """A convolution (out, in/groups, *kernel) that passes channels on: W[g·out/groups + i, i, centre] = 1.

    The identity of convolutions, as far as there are channels, in each group g. The centre is at k // 2.
    Nothing is drawn, Var[W] = 0 over seeds; ``rng`` is accepted and not used. Source: Zagoruyko & Komodakis
    2017 (DiracNets); ``torch.nn.init.dirac_``. Lesson 06. Raises ValueError for fewer than three axes, bad
    axes, or groups that do not divide the outputs.

    >>> dirac((2, 2, 3))[:, :, 1]
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    sampling.generator(rng)  # says so when it is none
    out = _whole(shape, dtype, out)
    with _as_torchs(out, in_axis, out_axis) as w:
        _check_kernel(w, out.shape)
        fans(w.shape, groups=groups)  # says so when groups does not divide
        centre = tuple(n // 2 for n in w.shape[2:])
        w[...] = 0
        if w.size:
            per_group = w.shape[0] // int(groups)
            for start in range(0, w.shape[0], per_group):
                for i in range(min(per_group, w.shape[1])):
                    w[(start + i, i, *centre)] = 1
    return out


def sparse(
    shape, sparsity, std=0.01, mode="fan_in", in_axis=1, out_axis=0, *, rng=None, dtype=np.float32, out=None
) -> np.ndarray:
    """W ~ N(0, std²), and of each unit's n = fan_in weights ⌈sparsity·n⌉, chosen at random, are 0.

    Var[W] = (1 − ⌈sparsity·n⌉/n)·std². ``mode="fan_in"`` limits the weights that come into a unit, so that
    units differ and yet do not saturate: Martens keeps 15, which is ``sparsity=1 - 15 / fan_in``.
    ``mode="fan_out"`` limits those that leave an input, n = fan_out, as ``torch.nn.init.sparse_`` does; units
    then have different numbers of inputs, and some may have none. Of few weights ⌈sparsity·n⌉ can be all n.
    Source: Martens 2010, section 5. Lesson 06.
    Raises ValueError for a shape that has not two axes (several may be one together, as in ``identity``),
    sparsity outside [0, 1), a negative std, another mode, or bad axes.

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
        zeros_a_line = math.ceil(sparsity * n - 1e-9)  # 0.07·100 is a little above 7 in floating point
        group = max(1, sampling.BLOCK // max(1, n))  # of lines; all at once would be a second array
        for start in range(0, len(lines), group):
            part = lines[start : start + group]
            order = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (len(part), 1)), axis=1)
            np.put_along_axis(part, order[:, :zeros_a_line], 0, axis=1)
    return out


# Names --------------------------------------------------------------------------------------------

glorot_uniform, glorot_normal = xavier_uniform, xavier_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


class Drawn(NamedTuple):
    """What an initializer called with ``params`` draws: independent entries, mean 0, Var[W] = scale/fan."""

    distribution: str  # one of DISTRIBUTIONS
    scale: float
    fan: str  # one of MODES
    params: dict = {}  # noqa: RUF012 - never written to


class Scheme(NamedTuple):
    """An initializer, the laws by which the doctor recognizes its samples, and its other name, if any."""

    initializer: Callable
    laws: tuple[Drawn, ...] = ()
    alias: str | None = None


# Every initializer: ``get`` finds it by its name, and ``doctor.identify`` names it by its laws.
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
            # Keras' and JAX's he_normal, glorot_normal and lecun_normal are truncated.
            *(
                Drawn("truncated_normal", scale, fan, {"scale": scale, "mode": fan})
                for scale, fan in ((2.0, "fan_in"), (1.0, "fan_avg"), (1.0, "fan_in"), (2.0, "fan_out"))
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

REGISTRY = {scheme.initializer.__name__: scheme.initializer for scheme in SCHEMES}
REGISTRY |= {scheme.alias: scheme.initializer for scheme in SCHEMES if scheme.alias}


def get(name):
    """The initializer of that name, as ``MLP``'s ``init`` takes it (lesson 01); a callable as it is.

    Raises ValueError for an unknown name, with the close ones; TypeError for anything else.

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


def sample_block(initializer, shape, index: int, *, rng, dtype=np.float32, **arguments) -> np.ndarray:
    """Block ``index`` of ``initializer(shape, rng=rng, …)``, flat: a slice of an array never made whole.

    The array is cut, in C order, into ``sampling.block_count(shape)`` blocks of ``sampling.BLOCK`` = 2¹⁹
    elements (the last may be shorter), so that machines or passes can each make their part. ``rng``: an
    int or a SeedSequence; a Generator would advance from block to block. For schemes that draw entry by
    entry: uniform, normal, truncated_normal, and all that scale a variance.
    Raises ValueError for others, or a block out of range; TypeError for an rng that is no seed. Source of the
    streams: one SeedSequence a block (O'Neill 2015; NumPy's ``spawn_key``). Lesson 06.

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
