"""Random fills of float arrays: one seed, one array, on any machine and with any number of threads.

What one seed promises:

- The same bits on every CPU, in every supported version of NumPy, and in WebAssembly: ``uniform``, ``normal``
  and every scheme that draws by them; ``truncated_normal`` where the window holds more than 0.4 of the
  normal's mass around its mean, as the usual ±2 does; ``sparse``; the schemes that draw nothing
  (``constant``, ``identity``, ``dirac``).
- The same but for the last digits: ``truncated_normal`` in narrow or far windows, which calls SciPy's
  ``log_ndtr`` and ``ndtri_exp`` (some units in the last place); ``orthogonal`` and ``delta_orthogonal``,
  whose matrix products are BLAS's (1e-6 in float32 between its kernels).
- The outputs of a net, and still more its trained weights, differ between two kinds of CPU: matrix products
  add up in another order, and training amplifies the difference.

The first holds because every draw is made of random bits and of the operations that IEEE 754 rounds in one
way: +, −, ×, ÷, √, and conversions. NumPy's ``log``, ``exp``, ``sin`` and ``tanh`` differ from one SIMD width
to another. A float64 normal is NumPy's own, whose tails ask the C library for ``exp`` and ``log1p``: its bits
are held by test, on simulated CPUs and in WebAssembly.

A fill is cut into blocks of ``BLOCK`` elements in C order. Block ``i`` has a stream of its own, SFC64 seeded
by (the fill's key, i). So threads may take the blocks in any order, and ``out=Block(i)`` or
``initializers.sample_block`` draws any block alone.

The laws, ``uniform``, ``normal`` and ``truncated_normal``, return functions ``draw(generator, block)`` that
fill a one-dimensional, contiguous float32 or float64 array in place with NumPy's vectorised arithmetic.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy

from .arguments import Array, RNGLike, whole

__all__ = [
    "BLOCK", "Block", "Draw", "OutLike", "block_count", "fill", "generator", "normal", "truncated_normal",
    "uniform",
]  # fmt: skip

# Each NumPy call takes the interpreter's lock: on smaller blocks two threads mostly wait for it, and larger
# ones leave the cache.
BLOCK = 1 << 19
"""Elements a block."""

_THREADS = sys.platform != "emscripten"  # WebAssembly cannot start one
_CPUS = os.cpu_count() or 1
# Pairs of normals that are made at a time, so that they and their scratch space stay in a core's cache.
_CHUNK = 1 << 15

Draw: TypeAlias = "Callable[[np.random.Generator, Array], None]"
"""A law: fills a one-dimensional, contiguous float32 or float64 array with draws."""


@dataclass(frozen=True)
class Block:
    """Passed as ``out``: draw only this block of the fill, as a flat array of its own.

    Parameters
    ----------
    index : int
        The block, from 0 on.
    shape, dtype
        Of the whole array; the initializer fills them in.
    """

    index: int
    shape: tuple[int, ...] = ()
    dtype: Any = None

    @property
    def size(self) -> int:
        """The number of elements; the last block of a fill may have fewer than ``BLOCK``."""
        return min(BLOCK, math.prod(self.shape) - self.index * BLOCK)


OutLike: TypeAlias = Array | Block | None
"""The array to fill, one block of it, or None for a new array."""


def block_count(shape: tuple[int, ...]) -> int:
    """The number of blocks that an array of this shape is filled in.

    Parameters
    ----------
    shape : tuple of int
        Of the array.

    Returns
    -------
    int

    Examples
    --------
    >>> block_count((4096, 4096))
    32
    """
    return -(-math.prod(shape) // BLOCK)


def wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to draw and compute in: float32 for float16, else the same."""
    return np.dtype(np.float32 if dtype == np.float16 else dtype)


def generator(rng: RNGLike = None) -> np.random.Generator:
    """The Generator that ``rng`` means, by Scientific Python's SPEC 7.

    Parameters
    ----------
    rng : int, SeedSequence, Generator or None
        A seed ≥ 0; None for fresh entropy. A Generator is used as it is, and advances.

    Returns
    -------
    Generator

    Raises
    ------
    TypeError
        ``rng`` is none of these.
    ValueError
        The seed is negative.

    Examples
    --------
    >>> generator(0).integers(10) == generator(np.random.SeedSequence(0)).integers(10)
    np.True_
    """
    if rng is None or isinstance(rng, (np.random.SeedSequence, np.random.Generator)):
        return np.random.default_rng(rng)
    try:
        seed = whole(rng)
    except TypeError:
        raise TypeError(f"rng must be None, an int, a SeedSequence or a Generator, not {rng!r}") from None
    if seed < 0:
        raise ValueError(f"rng must be a seed of at least 0, not {rng}")
    return np.random.default_rng(seed)


def one_blas_thread() -> contextlib.AbstractContextManager[Any]:
    """A context in which the BLAS libraries that are loaded keep to one thread."""
    if not _THREADS:  # there the look itself would take a second: it asks the page about every library
        return contextlib.nullcontext()
    return _blas("scipy.linalg" in sys.modules, "scipy.special" in sys.modules).limit(limits=1)


@functools.cache
def _blas(linalg: bool, special: bool) -> Any:
    """Cached, as the look takes milliseconds; done again once either has loaded the BLAS of SciPy."""
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def fill(out: Any, draw: Draw, rng: RNGLike = None, threads: int | None = None) -> Array:
    """Fill ``out`` in place, block by block, and return it.

    Parameters
    ----------
    out : ndarray or Block
        A float16, float32 or float64 array of any layout. float16 is drawn in float32 and rounded. For a
        ``Block``, a new flat array is returned.
    draw : callable
        A law, ``draw(generator, block)``.
    rng : int, SeedSequence, Generator or None
        As in ``generator``.
    threads : int, optional
        By default one a CPU. Where none can be started (WebAssembly), always one.

    Returns
    -------
    ndarray
        ``out``.

    Notes
    -----
    If ``out`` is contiguous and not float16, nothing of its size is allocated; otherwise, one block a thread.

    Examples
    --------
    >>> a = fill(np.empty(5), uniform(0, 1), rng=1)
    >>> b = fill(np.empty(5), uniform(0, 1), rng=1, threads=1)
    >>> np.array_equal(a, b)
    True
    """
    key = generator(rng).integers(0, 2**32, size=4, dtype=np.uint32)
    drawn = wide(out.dtype)

    def draw_block(i: int, block: Array) -> Array:
        stream = np.random.SFC64(np.random.SeedSequence(key, spawn_key=(i,)))
        draw(np.random.Generator(stream), block)
        return block

    if isinstance(out, Block):
        return draw_block(out.index, np.empty(out.size, drawn)).astype(out.dtype, copy=False)
    direct = out.flags.c_contiguous and out.flags.aligned and out.dtype == drawn
    flat = out.reshape(-1) if direct else out.flat

    def fill_block(i: int) -> None:
        start, stop = i * BLOCK, min((i + 1) * BLOCK, out.size)
        if direct:
            draw_block(i, flat[start:stop])
        else:
            flat[start:stop] = draw_block(i, np.empty(stop - start, drawn))

    blocks = range(block_count(out.shape))
    workers = min(len(blocks), threads or _CPUS) if _THREADS else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill_block, blocks))
    else:
        list(map(fill_block, blocks))
    return out


def _bits(generator: np.random.Generator, size: int, dtype: np.dtype[Any]) -> Array:
    """``size`` random signed integers, as wide as ``dtype``."""
    if dtype == np.float64:
        return generator.bit_generator.random_raw(size).view(np.int64)
    return generator.bit_generator.random_raw(-(-size // 2)).view(np.int32)[:size]


def _inside(low: float, high: float, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The least and the greatest number of ``dtype`` in [low, high]; if it has none, the middle for both."""
    least, most = dtype.type(low), dtype.type(high)
    least = np.nextafter(least, dtype.type(np.inf)) if float(least) < low else least
    most = np.nextafter(most, dtype.type(-np.inf)) if float(most) > high else most
    return (least, most) if least <= most else (dtype.type(low / 2 + high / 2),) * 2


def uniform(low: float, high: float, dtype: np.dtype[Any] | None = None) -> Draw:
    """The law U[low, high); ``low == high`` gives that constant.

    Parameters
    ----------
    low, high : float
        The ends. No rounding leaves [low, high).
    dtype : dtype, optional
        What the block is rounded to afterwards, where that is float16.

    Returns
    -------
    Draw

    Notes
    -----
    A random integer of 32 bits (64 for float64), scaled to x in [−1, 1), gives half·x + middle, rounded to
    the nearest. Where the dtype has fewer than 1,024 numbers in the interval, a float64 draw is rounded down
    instead, so that each of them is equally likely.
    """

    def draw(generator: np.random.Generator, block: Array) -> None:
        kind = block.dtype
        rounded = np.dtype(dtype or kind)
        below = max(low, math.nextafter(high, -math.inf))
        bounds = _inside(low, below, rounded)
        largest = np.abs(bounds).max()
        step = float(largest - np.nextafter(largest, rounded.type(0)))
        if kind == np.float32 and float(bounds[1]) - float(bounds[0]) < 1024 * step:
            wanted = generator.random(block.size) * (high - low) + low
            nearest = wanted.astype(rounded)
            np.nextafter(nearest, rounded.type(-np.inf), out=nearest, where=nearest > wanted)
            np.clip(nearest, *bounds, out=block)
            return
        least, most = _inside(low, below, kind)
        middle = min(max(kind.type(low / 2 + high / 2), least), most)
        half = kind.type(min(float(most) - float(middle), float(middle) - float(least)))
        # Rounding is monotone: if both ends, x = ±1, stay inside, every x between them does.
        if middle + half > most or middle - half < least:
            half = np.nextafter(half, kind.type(0))
        unit = kind.type(0.5 ** (8 * kind.itemsize - 1))
        np.copyto(block, _bits(generator, block.size, kind), casting="same_kind")
        if half < 1e-28:  # half·unit could be subnormal, and lose digits
            block *= unit
        else:
            half *= unit
        block *= half
        block += middle
        if rounded != kind:
            np.clip(block, *(kind.type(bound) for bound in bounds), out=block)

    return draw


# P(w) = _LOG_SLOPE·(w + _LOG_SHIFT)² + _LOG_LEAST approximates 2·artanh(√w)/√w = 2 + 2w/3 + 2w²/5 + … with
# the smallest maximal relative error, 6e-7, for √w ≤ (√2 − 1)/(√2 + 1).
_LOG_SLOPE, _LOG_SHIFT, _LOG_LEAST = 0.41565464703925553, 0.8016383464040323, 1.7328915072961808
_ROOT_HALF = 0x3F3504F3  # √½ as the bits of a float32


def _times_log(u: Array, factor: float, s: Array, w: Array) -> None:
    """factor·ln u in place, for float32 u in (0, 1], by operations that every machine rounds alike.

    ``s`` and ``w`` are scratch space.

    u = 2ᵉ·m with m in [√½, √2), so ln u = e·ln 2 + s·P(s²), s = (m − 1)/(m + 1). Relative error below 1e-6.
    """
    slope, least = np.float32(factor * _LOG_SLOPE), np.float32(factor * _LOG_LEAST)
    a_power = np.float32(factor * math.log(2) / 2**23)
    exponent, mantissa = u.view(np.int32), s.view(np.int32)
    exponent -= _ROOT_HALF
    np.bitwise_and(exponent, 2**23 - 1, out=mantissa)
    exponent -= mantissa  # e·2²³
    mantissa += _ROOT_HALF  # as a float32: m
    np.add(s, 1, out=w)
    s -= 1
    s /= w
    np.square(s, out=w)
    w += np.float32(_LOG_SHIFT)
    w *= w
    w *= slope
    w += least
    s *= w
    np.copyto(w, exponent, casting="same_kind")
    np.multiply(w, a_power, out=u)
    u += s


# √2·sin(πv/4) ≈ v·(c₀v⁴ + c₁v² + c₂) for |v| ≤ 1, with the smallest maximal error in the angle, 1.6e-6.
_SINE = np.array([0.00343025189, -0.114144059, 1.11071447], np.float32)


def _box_muller(generator: np.random.Generator, block: Array, std: float) -> None:
    """N(0, std²) in float32, two from 64 random bits: √(−2 ln |u|)·(cos θ, sin θ), in place.

    |u| ≥ 2⁻³¹, so no |z| exceeds √(62 ln 2) = 6.56; a true normal does once in 2·10¹⁰ draws. The first half
    of the block becomes the cosines, the second the sines.
    """
    if block.size % 2:
        even = np.empty(block.size + 1, np.float32)
        _box_muller(generator, even, std)
        block[:] = even[:-1]
        return
    half = block.size // 2
    both, bits = block.reshape(2, half), _bits(generator, block.size, block.dtype).reshape(2, half)
    scratch, unit = np.empty(min(half, _CHUNK), np.float32), np.float32(2.0**-31)
    for start in range(0, half, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        sign, (radius, v) = bits[0, chunk], both[:, chunk]
        cosine = scratch[: radius.size]
        t = bits.view(np.float32)[1, chunk]  # scratch space, too, once v is made of these bits
        sign |= 1  # so that u is never 0
        np.multiply(bits[:, chunk], unit, out=both[:, chunk], dtype=np.float32, casting="unsafe")
        np.abs(radius, out=radius)
        _times_log(radius, -2 * std * std, cosine, t)
        np.sqrt(radius, out=radius)
        sign &= -(2**31)
        signed = radius.view(np.int32)
        signed |= sign  # the sign of u mirrors the point to the left half-plane
        # θ = πv/2 lies in the right one. With w = √2·sin(θ/2): cos θ = 1 − w², sin θ = w·√(2 − w²).
        np.square(v, out=t)
        np.multiply(t, _SINE[0], out=cosine)
        cosine += _SINE[1]
        cosine *= t
        cosine += _SINE[2]
        v *= cosine
        np.square(v, out=t)
        np.subtract(1, t, out=cosine)
        np.subtract(2, t, out=t)
        np.sqrt(t, out=t)
        v *= t
        v *= radius
        radius *= cosine


def normal(mean: float, std: float) -> Draw:
    """The law N(mean, std²): Box and Muller's method in float32, NumPy's ziggurat in float64.

    Parameters
    ----------
    mean, std : float
        Of the law.

    Returns
    -------
    Draw
    """

    def draw(generator: np.random.Generator, block: Array) -> None:
        number = block.dtype.type
        if block.dtype == np.float64:
            generator.standard_normal(out=block)
            block *= std
        elif 1e-15 < std < 1e15:  # std²·2⁻²³ is a normal float32
            _box_muller(generator, block, std)
        else:
            _box_muller(generator, block, 1.0)
            block *= number(std)
        if mean:
            block += number(mean)

    return draw


def truncated_normal(
    mean: float, std: float, low: float, high: float, dtype: np.dtype[Any] | None = None
) -> Draw:
    """The law of x ~ N(mean, std²) given ``low ≤ (x − mean)/std ≤ high``: sampled, not clipped.

    Parameters
    ----------
    mean, std : float
        Of the normal before truncation.
    low, high : float
        The window, in units of ``std`` around ``mean``.
    dtype : dtype, optional
        As in ``uniform``.

    Returns
    -------
    Draw

    Notes
    -----
    In a wide window, what falls outside is drawn again. A narrow or far one is sampled by inverting the
    distribution function, in float64 and in logarithms, so that no tail is too far.
    """
    # An upper window is mirrored: there Φ rounds to 1 (beyond 38 log Φ to 0), the lower tail does not.
    mirror = low + high > 0
    a, b = (-high, -low) if mirror else (low, high)
    log_a, log_b = scipy.special.log_ndtr(a), scipy.special.log_ndtr(b)
    share = -math.expm1(log_a - log_b)  # of the mass below b, the part above a
    wide = math.exp(log_b) * share > 0.4
    draw_normal = normal(mean, std)

    def redraw(generator: np.random.Generator, block: Array, least: Any, most: Any) -> None:
        draw_normal(generator, block)
        outside = np.flatnonzero((block < least) | (block > most))
        while outside.size:
            again = np.empty(outside.size, block.dtype)
            draw_normal(generator, again)
            block[outside] = again
            outside = outside[(again < least) | (again > most)]

    def invert(generator: np.random.Generator, block: Array, least: Any, most: Any) -> None:
        z = generator.random(block.size)
        z *= -share
        np.log1p(z, out=z)
        z += log_b
        scipy.special.ndtri_exp(z, out=z)
        z *= -std if mirror else std
        z += mean
        np.copyto(block, z, casting="same_kind")
        np.clip(block, least, most, out=block)  # the last digit's rounding may leave the window

    def draw(generator: np.random.Generator, block: Array) -> None:
        least, most = _inside(mean + std * low, mean + std * high, np.dtype(dtype or block.dtype))
        least, most = block.dtype.type(least), block.dtype.type(most)
        # Where the window holds the mean as the dtype rounds it, draws are accepted, however small std is.
        method = redraw if wide and least <= block.dtype.type(mean) <= most else invert
        method(generator, block, least, most)

    return draw
