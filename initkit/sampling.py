"""Random fills of float arrays: one seed, one array, on any machine and with any number of threads.

What one seed promises:

- The same bits on every CPU, in every supported version of NumPy, and in WebAssembly: ``uniform`` and every
  scheme that draws by it; ``normal`` and every scheme that draws by it; ``truncated_normal`` in float32 and
  float16 where the window holds more than 0.4 of the normal's mass around its mean, the usual ±2 and so
  ``lecun_normal`` among them; ``sparse``; what draws nothing (``constant``, ``identity``, ``dirac``).
- The same to the last digits only: ``truncated_normal`` in float64 and in narrow or far windows, which calls
  SciPy's ``log_ndtr`` and ``ndtri_exp`` (some units in the last place); ``orthogonal`` and
  ``delta_orthogonal``, whose matrix products are BLAS's (1e-6 in float32 between its kernels).
- A net that is run, and still more one that is trained, is never the same bit by bit on two kinds of CPU:
  matrix products add up in another order, and training amplifies the difference.

The first holds because every draw is made of random bits and of the operations that IEEE 754 rounds in one
way: +, −, ×, ÷, √, and conversions. NumPy's ``log``, ``exp``, ``sin`` and ``tanh`` differ from one SIMD width
to another.

A fill is cut into blocks of ``BLOCK`` elements in C order. Block ``i`` has a stream of its own,
SFC64 seeded by (the fill's key, i), so threads may take the blocks in any order, and any block can be
had alone: ``out=Block(i)``, or ``initializers.sample_block``.

The laws, ``uniform``, ``normal`` and ``truncated_normal``, are functions ``draw(generator, block)`` that
fill a one-dimensional, contiguous float32 or float64 array. They work on whole blocks with NumPy's
vectorised arithmetic, in place: that is what makes them fast.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy

# Elements. Each NumPy call takes the interpreter's lock: on smaller blocks two threads mostly wait for it,
# larger ones leave the cache.
BLOCK = 1 << 19
_CPUS = os.cpu_count() or 1
# Elements that a logarithm looks at together, so that what it needs beside them stays in the nearest cache.
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Block:
    """In the place of ``out``: draw only block ``index`` of the fill, as a flat array of its own.

    ``shape`` and ``dtype``, those of the whole, are filled in by the initializer.
    """

    index: int
    shape: tuple[int, ...] = ()
    dtype: np.dtype | None = None

    @property
    def size(self) -> int:
        return min(BLOCK, math.prod(self.shape) - self.index * BLOCK)


def block_count(shape) -> int:
    """How many blocks an array of this shape is filled in.

    >>> block_count((4096, 4096))
    32
    """
    return -(-math.prod(shape) // BLOCK)


def wide(dtype):
    """The dtype to draw and compute in: float32 for float16, else the same."""
    return np.dtype(np.float32 if dtype == np.float16 else dtype)


def generator(rng=None) -> np.random.Generator:
    """The Generator meant by ``rng``, as Scientific Python's SPEC 7 has it.

    ``rng``: None (fresh entropy), an int ≥ 0, a SeedSequence, or a Generator, which is used as it is
    and advances. Raises TypeError for anything else, ValueError for a negative seed.

    >>> generator(0).integers(10) == generator(np.random.SeedSequence(0)).integers(10)
    np.True_
    """
    if rng is None or isinstance(rng, (np.random.SeedSequence, np.random.Generator)):
        return np.random.default_rng(rng)
    try:
        seed = None if isinstance(rng, bool) else operator.index(rng)
    except TypeError:
        seed = None
    if seed is None:
        raise TypeError(f"rng must be None, an int, a SeedSequence or a Generator, not {rng!r}")
    if seed < 0:
        raise ValueError(f"rng must be a seed of at least 0, not {rng}")
    return np.random.default_rng(seed)


def blas():
    """The libraries behind NumPy's and SciPy's matrices, to say ``blas().limit(limits=1)`` to."""
    return _blas("scipy.linalg" in sys.modules)


@functools.cache
def _blas(scipys_too: bool):
    """Asking what is loaded takes some milliseconds: once, and again when SciPy has brought its own."""
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def fill(out, draw: Callable, rng=None, threads: int | None = None) -> np.ndarray:
    """Fill ``out`` in place, block by block, with ``draw(generator, block)``; return it.

    ``out``: a float16, float32 or float64 array of any layout, or a ``Block``. float16 is drawn in
    float32 and rounded. ``threads``: the CPU count unless told. Where ``out`` is contiguous and not
    float16, nothing of its size is allocated; elsewhere, one block a thread.

    >>> a = fill(np.empty(5), uniform(0, 1), rng=1)
    >>> b = fill(np.empty(5), uniform(0, 1), rng=1, threads=1)
    >>> np.array_equal(a, b)
    True
    """
    key = generator(rng).integers(0, 2**32, size=4, dtype=np.uint32)
    drawn = wide(out.dtype)

    def draw_block(i: int, block: np.ndarray) -> np.ndarray:
        stream = np.random.SFC64(np.random.SeedSequence(key, spawn_key=(i,)))
        draw(np.random.Generator(stream), block)
        return block

    if isinstance(out, Block):
        return draw_block(out.index, np.empty(out.size, drawn)).astype(out.dtype, copy=False)
    count = block_count(out.shape)
    blocks = iter(range(count))
    direct = out.flags.c_contiguous and out.flags.aligned and out.dtype == drawn
    flat = out.reshape(-1) if direct else out.flat

    def work() -> None:  # a range's iterator gives each number once, whoever asks
        for i in blocks:
            start, stop = i * BLOCK, min((i + 1) * BLOCK, out.size)
            if direct:
                draw_block(i, flat[start:stop])
            else:
                flat[start:stop] = draw_block(i, np.empty(stop - start, drawn))

    helpers = min(count, threads or _CPUS) - 1
    if helpers > 0:
        with ThreadPoolExecutor(helpers) as pool:
            done = [pool.submit(work) for _ in range(helpers)]
            work()
            for helper in done:
                helper.result()
    else:
        work()
    return out


def _bits(generator, size: int, dtype) -> np.ndarray:
    """``size`` random signed integers, as wide as ``dtype``."""
    if dtype == np.float64:
        return generator.bit_generator.random_raw(size).view(np.int64)
    return generator.bit_generator.random_raw(-(-size // 2)).view(np.int32)[:size]


def _inside(low: float, high: float, dtype) -> tuple:
    """The least and the greatest number of ``dtype`` in [low, high]; twice the nearest if there is none."""
    least, most = dtype.type(low), dtype.type(high)
    least = np.nextafter(least, dtype.type(np.inf)) if float(least) < low else least
    most = np.nextafter(most, dtype.type(-np.inf)) if float(most) > high else most
    return (least, most) if least <= most else (dtype.type(low / 2 + high / 2),) * 2


def uniform(low: float, high: float, dtype=None) -> Callable:
    """U[low, high): a random integer of 32 bits (64 for float64), scaled to [−1, 1), then half·x + middle.

    ``dtype``: what the block is rounded to in the end, where that is float16. No rounding leaves
    [low, high). Where that dtype has fewer than 1,024 steps in the interval, float64 is rounded down to them,
    so that all are as likely; where it has more, to the nearest. ``low == high`` gives that constant.
    """

    def draw(generator, block):
        kind = block.dtype
        rounded = np.dtype(dtype or kind)
        below = max(low, math.nextafter(high, -math.inf))
        bounds = _inside(low, below, rounded)
        step = float(np.spacing(np.abs(bounds).max()))
        if kind == np.float32 and float(bounds[1]) - float(bounds[0]) < 1024 * step:
            wanted = generator.random(block.size) * (high - low) + low
            nearest = wanted.astype(rounded)
            np.nextafter(nearest, rounded.type(-np.inf), out=nearest, where=nearest > wanted)
            np.clip(nearest, *bounds, out=block)
            return
        least, most = _inside(low, below, kind)
        middle = min(max(kind.type(low / 2 + high / 2), least), most)
        half = kind.type(min(float(most) - float(middle), float(middle) - float(least)))
        # In at both ends, x = ±1, so, as rounding is monotone, everywhere between.
        if middle + half > most or middle - half < least:
            half = np.nextafter(half, kind.type(0))
        unit = kind.type(0.5 ** (8 * kind.itemsize - 1))
        np.copyto(block, _bits(generator, block.size, kind), casting="same_kind")
        if half < 1e-28:  # half·unit could be subnormal and lose digits
            block *= unit
        else:
            half *= unit
        block *= half
        block += middle
        if rounded != kind:
            np.clip(block, *(kind.type(bound) for bound in bounds), out=block)

    return draw


# P(w) ≈ 2·artanh(√w)/√w = 2 + 2w/3 + 2w²/5 + … as _LOG_SLOPE·(w + _LOG_SHIFT)² + _LOG_LEAST, with the least
# greatest relative error, 6e-7, for s = √w ≤ (√2 − 1)/(√2 + 1).
_LOG_SLOPE, _LOG_SHIFT, _LOG_LEAST = 0.41565464703925553, 0.8016383464040323, 1.7328915072961808
_ROOT_HALF = 0x3F3504F3  # √½ as the bits of a float32


def _times_log(u: np.ndarray, factor: float) -> None:
    """factor·ln u in place, for float32 u in (0, 1], by operations that every machine rounds alike.

    u = 2ᵉ·m with m in [√½, √2), so ln u = e·ln 2 + s·P(s²), s = (m − 1)/(m + 1). Relative error below 1e-6.
    """
    slope, least = np.float32(factor * _LOG_SLOPE), np.float32(factor * _LOG_LEAST)
    a_power = np.float32(factor * math.log(2) / 2**23)
    scratch = np.empty((2, min(u.size, _CHUNK)), np.float32)
    for start in range(0, u.size, _CHUNK):
        result = u[start : start + _CHUNK]
        s, w = scratch[:, : result.size]
        exponent, mantissa = result.view(np.int32), s.view(np.int32)
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
        np.multiply(w, a_power, out=result)
        result += s


# √2·sin(πv/4) ≈ v·(c₀v⁴ + c₁v² + c₂) for |v| ≤ 1, with the least greatest error in the angle, 1.6e-6.
_SINE = np.array([0.00343025189, -0.114144059, 1.11071447], np.float32)


def _box_muller(generator, block, std: float) -> None:
    """N(0, std²) in float32, two from 64 random bits: √(−2 ln |u|)·(cos θ, sin θ), in place.

    |u| ≥ 2⁻³¹, so |z| ends at √(62 ln 2) = 6.56, and one normal in 2·10¹⁰ lies beyond. The first half of
    the block holds the cosines, the second the sines. What it needs beside the block is the random bits:
    more arrays of this size would go back to the system and come again, page by page.
    """
    if block.size % 2:
        even = np.empty(block.size + 1, np.float32)
        _box_muller(generator, even, std)
        block[:] = even[:-1]
        return
    bits = _bits(generator, block.size, block.dtype)
    half = block.size // 2
    sign, (cosine, t), (radius, v) = (
        bits[:half],
        bits.view(np.float32).reshape(2, half),
        block.reshape(2, half),
    )
    sign |= 1  # never 0
    np.multiply(bits, np.float32(2.0**-31), out=block, dtype=np.float32, casting="unsafe")
    np.abs(radius, out=radius)
    _times_log(radius, -2 * std * std)
    np.sqrt(radius, out=radius)
    sign &= -(2**31)
    signed = radius.view(np.int32)
    signed |= sign  # u's sign: the left half-plane
    # θ = πv/2 is in the right one. With w = √2·sin(θ/2): cos θ = 1 − w², sin θ = w·√(2 − w²).
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


def normal(mean: float, std: float) -> Callable:
    """N(mean, std²): Box and Muller's method in float32, NumPy's ziggurat in float64."""

    def draw(generator, block):
        number = block.dtype.type
        if block.dtype == np.float64:
            generator.standard_normal(out=block)
            block *= std
        elif 1e-15 < std < 1e15:  # std²·2⁻²³ fits
            _box_muller(generator, block, std)
        else:
            _box_muller(generator, block, 1.0)
            block *= number(std)
        if mean:
            block += number(mean)

    return draw


def truncated_normal(mean: float, std: float, low: float, high: float, dtype=None) -> Callable:
    """N(mean, std²) given low ≤ (x − mean)/std ≤ high, sampled from that law, not clipped.

    What falls outside a wide window is drawn again; a narrow or far one is reached by inverting the
    distribution function, in float64 and by logarithms, so that no tail is too far.
    """
    # In the upper tail Φ rounds to 1, and beyond 38 log Φ to 0; the mirrored lower tail keeps its digits.
    mirror = low + high > 0
    a, b = (-high, -low) if mirror else (low, high)
    log_a, log_b = scipy.special.log_ndtr(a), scipy.special.log_ndtr(b)
    share = -math.expm1(log_a - log_b)  # of the mass below b, what is above a
    wide = math.exp(log_b) * share > 0.4
    draw_normal = normal(mean, std)

    def redraw(generator, block, least, most):
        draw_normal(generator, block)
        outside = np.flatnonzero((block < least) | (block > most))
        while outside.size:
            again = np.empty(outside.size, block.dtype)
            draw_normal(generator, again)
            block[outside] = again
            outside = outside[(again < least) | (again > most)]

    def invert(generator, block, least, most):
        z = generator.random(block.size)
        z *= -share
        np.log1p(z, out=z)
        z += log_b
        scipy.special.ndtri_exp(z, out=z)
        z *= -std if mirror else std
        z += mean
        np.copyto(block, z, casting="same_kind")
        np.clip(block, least, most, out=block)  # only against the last digit's rounding

    def draw(generator, block):
        least, most = _inside(mean + std * low, mean + std * high, np.dtype(dtype or block.dtype))
        least, most = block.dtype.type(least), block.dtype.type(most)
        # With a mean in the window that the dtype can say, a draw is accepted soon, however small std is.
        method = redraw if wide and least <= block.dtype.type(mean) <= most else invert
        method(generator, block, least, most)

    return draw
