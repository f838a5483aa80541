"""Random fills of float arrays: one seed, one array, whatever the number of threads.

A fill is cut into blocks of ``BLOCK`` elements in C order. Block ``i`` has a stream of its own,
SFC64 seeded by (the fill's key, i), so threads may take the blocks in any order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK = 1 << 18


def generator(rng=None) -> np.random.Generator:
    """The Generator meant by ``rng``, as Scientific Python's SPEC 7 has it.

    ``rng``: None (fresh entropy), an int ≥ 0, a SeedSequence, or a Generator, which is used as it is
    and advances. Raises TypeError for anything else, ValueError for a negative seed.

    >>> generator(0).integers(10) == generator(np.random.SeedSequence(0)).integers(10)
    np.True_
    """
    if isinstance(rng, bool) or not (
        rng is None
        or isinstance(rng, (np.random.SeedSequence, np.random.Generator))
        or hasattr(rng, "__index__")
    ):
        raise TypeError(f"rng must be None, an int, a SeedSequence or a Generator, not {rng!r}")
    if hasattr(rng, "__index__") and rng < 0:
        raise ValueError(f"rng must be a seed of at least 0, not {rng}")
    return np.random.default_rng(rng)


def fill(out: np.ndarray, draw: Callable, rng=None, threads: int | None = None) -> np.ndarray:
    """Fill ``out`` in place, block by block, with ``draw(generator, block)``.

    ``draw`` writes into the one-dimensional, contiguous float32 or float64 array that it is given. A
    float16 ``out`` is drawn in float32 and rounded. ``threads``: the CPU count unless told.

    >>> a = fill(np.empty(5), lambda g, block: g.random(out=block), rng=1)
    >>> b = fill(np.empty(5), lambda g, block: g.random(out=block), rng=1, threads=1)
    >>> np.array_equal(a, b)
    True
    """
    key = generator(rng).integers(0, 2**32, size=4, dtype=np.uint32)
    direct = out.flags.c_contiguous and out.dtype != np.float16
    work = out if direct else np.empty(out.shape, np.float32 if out.dtype == np.float16 else out.dtype)
    flat = work.reshape(-1)

    def fill_block(i: int) -> None:
        stream = np.random.SFC64(np.random.SeedSequence(key, spawn_key=(i,)))
        draw(np.random.Generator(stream), flat[i * BLOCK : (i + 1) * BLOCK])

    blocks = range(-(-flat.size // BLOCK))
    workers = min(len(blocks), threads or os.cpu_count() or 1)
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill_block, blocks))
    else:
        for i in blocks:
            fill_block(i)
    if not direct:
        out[...] = work
    return out
