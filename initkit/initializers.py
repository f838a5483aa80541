"""Initializers: shape -> ndarray.

One mechanism, ``variance_scaling``; the named schemes fill in its arguments. Every function takes,
by keyword only,

``rng``    None | int | SeedSequence | Generator (see ``sampling.generator``);
``dtype``  float16, float32 (default) or float64;
``out``    an array of that shape and dtype to fill in place and return.

Weights are (out, in, *kernel), as in PyTorch. For Keras and JAX kernels say ``in_axis=-2,
out_axis=-1``. Bad input raises ValueError or TypeError and leaves ``out`` untouched.
"""

from __future__ import annotations

import difflib
import functools
import math

import numpy as np
from scipy import special

from . import activations, sampling
from .fans import checked_shape, fans

DTYPES = (np.float16, np.float32, np.float64)
MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
DISTRIBUTIONS = ("normal", "truncated_normal", "uniform")


def _array(shape, dtype, out) -> np.ndarray:
    """The array to fill: ``out`` when it fits shape and dtype, else a new one."""
    shape = checked_shape(shape)
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be float16, float32 or float64, not {dtype!r}") from None
    if dtype not in DTYPES:
        raise TypeError(f"dtype must be float16, float32 or float64, not {dtype}")
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}; shape={shape} and dtype={dtype} were asked for"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def _finite(name: str, value) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return number


def _not_negative(name: str, value) -> float:
    number = _finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")
    return number


def _low_high(low, high) -> tuple[float, float]:
    low, high = _finite("low", low), _finite("high", high)
    if low >= high:
        raise ValueError(f"low must be below high, not low={low:g}, high={high:g}")
    return low, high


# Constants ---------------------------------------------------------------------------------------


def constant(shape, value, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """Every entry ``value``. Var[W] = 0, so a layer's units all start, and stay, the same.

    Right for biases, never for weights. Taught in lesson 02. ``rng`` is accepted and not used.
    Raises ValueError when ``value`` is not finite.

    >>> constant((2, 2), 0.5)
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    """
    value = _finite("value", value)
    out = _array(shape, dtype, out)
    out[...] = value
    return out


def zeros(shape, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """``constant(shape, 0.0)``: right for biases, never for weights (lesson 02).

    >>> zeros(3)
    array([0., 0., 0.], dtype=float32)
    """
    return constant(shape, 0.0, dtype=dtype, out=out)


def ones(shape, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """``constant(shape, 1.0)``: right for the scale of a normalization layer (lesson 02).

    >>> ones(3)
    array([1., 1., 1.], dtype=float32)
    """
    return constant(shape, 1.0, dtype=dtype, out=out)


# Distributions -----------------------------------------------------------------------------------


def uniform(shape, low=-0.05, high=0.05, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W ~ U[low, high). Var[W] = (high − low)²/12. Taught in lesson 03.

    Raises ValueError when ``low`` ≥ ``high`` or either is not finite.

    >>> w = uniform((200, 100), -1, 1, rng=0)
    >>> bool(abs(w.var() - 1 / 3) < 0.01)
    True
    """
    low, high = _low_high(low, high)
    out = _array(shape, dtype, out)

    def draw(generator, block):
        generator.random(out=block, dtype=block.dtype)
        block *= high - low
        block += low

    return sampling.fill(out, draw, rng)


def normal(shape, mean=0.0, std=0.05, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:
    """W ~ N(mean, std²). Var[W] = std². Taught in lesson 03.

    Raises ValueError when ``std`` is negative or either is not finite.

    >>> w = normal((200, 100), std=2.0, rng=0)
    >>> bool(abs(w.std() - 2) < 0.05)
    True
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    out = _array(shape, dtype, out)

    def draw(generator, block):
        generator.standard_normal(out=block, dtype=block.dtype)
        block *= std
        block += mean

    return sampling.fill(out, draw, rng)


def truncated_normal(
    shape, mean=0.0, std=0.05, low=-2.0, high=2.0, *, rng=None, dtype=np.float32, out=None
) -> np.ndarray:
    """W ~ N(mean, std²) given low < (W − mean)/std < high: sampled from that law, not clipped.

    ``low`` and ``high`` are in units of ``std``, around ``mean``; ``std`` is that of the normal
    *before* truncation. At ±2, Var[W] = 0.7737·std², so its standard deviation is 0.8796·std.
    Drawn by inverting the distribution function in float64. Taught in lesson 05.
    Raises ValueError when ``std`` is negative, ``low`` ≥ ``high``, or one is not finite.

    >>> w = truncated_normal((200, 100), std=1.0, rng=0)
    >>> bool(abs(w).max() <= 2), bool(abs(w.std() - 0.8796) < 0.02)
    (True, True)
    """
    mean, std = _finite("mean", mean), _not_negative("std", std)
    low, high = _low_high(low, high)
    out = _array(shape, dtype, out)
    # In the upper tail Φ rounds to 1; the mirrored lower tail keeps its digits.
    mirror = low + high > 0
    a, b = (-high, -low) if mirror else (low, high)
    p, q = special.ndtr(a), special.ndtr(b)

    def draw(generator, block):
        z = special.ndtri(p + generator.random(block.size) * (q - p))
        np.clip(z, a, b, out=z)  # only against the last digit's rounding
        block[:] = mean + (-std if mirror else std) * z

    return sampling.fill(out, draw, rng)


# Variance scaling and its names ------------------------------------------------------------------


@functools.cache
def _truncated_std(bound: float = 2.0) -> float:
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
    *,
    rng=None,
    dtype=np.float32,
    out=None,
) -> np.ndarray:
    """Var[W] = scale / fan: the one mechanism under Xavier, He and LeCun. Taught in lesson 04.

    ``mode`` chooses the fan: ``fan_in``, ``fan_out``, ``fan_avg`` (their mean) or ``fan_geo_avg``
    (the root of their product). ``distribution`` is ``normal``, ``truncated_normal`` (at ±2 of its
    underlying std, widened so that Var[W] is exactly scale/fan) or ``uniform`` on
    [−√(3·scale/fan), √(3·scale/fan)). Axes and groups as in ``fans``.
    Raises ValueError for an unknown mode or distribution, a scale that is not above 0, or bad axes.
    A shape with a fan of 0 gives an empty array.

    >>> w = variance_scaling((400, 100), scale=2.0, mode="fan_in", rng=0)
    >>> bool(abs(w.var() * 100 - 2) < 0.1)
    True
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
    if _finite("scale", scale) <= 0:
        raise ValueError(f"scale must be above 0, not {scale!r}")
    n_in, n_out = fans(shape, in_axis, out_axis, batch_axis, groups)
    fan = {
        "fan_in": n_in,
        "fan_out": n_out,
        "fan_avg": (n_in + n_out) / 2,
        "fan_geo_avg": math.sqrt(n_in * n_out),
    }[mode]
    # No entry to fill, or no unit to count: any finite std will do.
    std = math.sqrt(scale / fan) if fan else 0.0
    common = {"rng": rng, "dtype": dtype, "out": out}
    if distribution == "uniform":
        bound = math.sqrt(3) * std or 1.0
        return uniform(shape, -bound, bound, **common)
    if distribution == "truncated_normal":
        return truncated_normal(shape, 0.0, std / _truncated_std(), **common)
    return normal(shape, 0.0, std, **common)


def xavier_uniform(shape, gain=1.0, in_axis=1, out_axis=0, batch_axis=(), groups=1, *,
                   rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = gain²·2/(fan_in + fan_out), uniform on ±gain·√(6/(fan_in + fan_out)).

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="uniform")``. For tanh and sigmoid;
    with ReLU the signal halves a layer. Source: Glorot & Bengio 2010, eq. 12 and 16. Lesson 04.
    Raises as ``variance_scaling`` does.

    >>> w = xavier_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 400) ** 0.5), bool(abs(w.var() * 200 - 1) < 0.05)
    (True, True)
    """
    return _xavier(shape, gain, "uniform", in_axis, out_axis, batch_axis, groups, rng, dtype, out)


def xavier_normal(shape, gain=1.0, in_axis=1, out_axis=0, batch_axis=(), groups=1, *,
                  rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = gain²·2/(fan_in + fan_out), normal.

    ``variance_scaling(scale=gain², mode="fan_avg", distribution="normal")``. Source: Glorot & Bengio
    2010, eq. 12. Lesson 04. Raises as ``variance_scaling`` does.

    >>> w = xavier_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 200 - 1) < 0.05)
    True
    """
    return _xavier(shape, gain, "normal", in_axis, out_axis, batch_axis, groups, rng, dtype, out)


def _xavier(shape, gain, distribution, in_axis, out_axis, batch_axis, groups, rng, dtype, out):
    scale = _above_0("gain", gain) ** 2
    return variance_scaling(shape, scale, "fan_avg", distribution, in_axis, out_axis, batch_axis,
                            groups, rng=rng, dtype=dtype, out=out)  # fmt: skip


def he_uniform(shape, activation="relu", mode="fan_in", gain=None, in_axis=1, out_axis=0,
               batch_axis=(), groups=1, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = gain²/fan, uniform on ±gain·√(3/fan); for ReLU ±√(6/fan_in).

    ``variance_scaling(scale=gain(activation)², mode, "uniform")``; see ``he_normal``. Lesson 05.

    >>> w = he_uniform((300, 100), rng=0)
    >>> bool(abs(w).max() <= (6 / 100) ** 0.5), bool(abs(w.var() * 50 - 1) < 0.05)
    (True, True)
    """
    return _he(shape, activation, mode, gain, "uniform", in_axis, out_axis, batch_axis, groups,
               rng, dtype, out)  # fmt: skip


def he_normal(shape, activation="relu", mode="fan_in", gain=None, in_axis=1, out_axis=0,
              batch_axis=(), groups=1, *, rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = gain²/fan, normal; for ReLU 2/fan_in, for Leaky ReLU 2/((1 + a²)·fan_in).

    ``variance_scaling(scale=gain(activation)², mode, "normal")``, where ``gain`` is computed from the
    activation (a name, ``("leaky_relu", a)``, an Activation or any callable) unless it is given.
    ``mode="fan_in"`` keeps the signal forward, ``"fan_out"`` backward. Source: He et al. 2015, eq.
    10, 14 and 15. Lesson 05. Raises as ``variance_scaling`` and ``gain`` do.

    >>> w = he_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 50 - 1) < 0.05)
    True
    """
    return _he(shape, activation, mode, gain, "normal", in_axis, out_axis, batch_axis, groups,
               rng, dtype, out)  # fmt: skip


def _he(shape, activation, mode, gain, distribution, in_axis, out_axis, batch_axis, groups,
        rng, dtype, out):  # fmt: skip
    gain = activations.gain(activation) if gain is None else _above_0("gain", gain)
    return variance_scaling(shape, gain**2, mode, distribution, in_axis, out_axis, batch_axis,
                            groups, rng=rng, dtype=dtype, out=out)  # fmt: skip


def _above_0(name: str, value) -> float:
    number = _finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def lecun_uniform(shape, in_axis=1, out_axis=0, batch_axis=(), groups=1, *,
                  rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = 1/fan_in, uniform on ±√(3/fan_in). ``variance_scaling(distribution="uniform")``.

    Source: LeCun et al. 1998, *Efficient BackProp*, section 4.6. Lesson 04.

    >>> w = lecun_uniform((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(shape, 1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, groups,
                            rng=rng, dtype=dtype, out=out)  # fmt: skip


def lecun_normal(shape, in_axis=1, out_axis=0, batch_axis=(), groups=1, *,
                 rng=None, dtype=np.float32, out=None) -> np.ndarray:  # fmt: skip
    """Var[W] = 1/fan_in, normal. ``variance_scaling(distribution="normal")``.

    Source: LeCun et al. 1998, *Efficient BackProp*, section 4.6. Lesson 04.

    >>> w = lecun_normal((300, 100), rng=0)
    >>> bool(abs(w.var() * 100 - 1) < 0.05)
    True
    """
    return variance_scaling(shape, 1.0, "fan_in", "normal", in_axis, out_axis, batch_axis, groups,
                            rng=rng, dtype=dtype, out=out)  # fmt: skip


glorot_uniform, glorot_normal = xavier_uniform, xavier_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal

# Registry ----------------------------------------------------------------------------------------

REGISTRY = {
    f.__name__: f
    for f in (
        zeros, ones, constant, uniform, normal, truncated_normal, variance_scaling, xavier_uniform,
        xavier_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
    )
} | {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
}  # fmt: skip


def get(name):
    """The initializer of that name; a callable is returned as it is.

    Raises ValueError for an unknown name, with the close ones; TypeError for anything else.

    >>> get("he_normal") is he_normal
    True
    """
    if callable(name):
        return name
    if not isinstance(name, str):
        raise TypeError(f"an initializer is a name or a callable, not {name!r}")
    if name not in REGISTRY:
        close = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(REGISTRY)}"
        raise ValueError(f"no initializer is called {name!r}; {hint}")
    return REGISTRY[name]
