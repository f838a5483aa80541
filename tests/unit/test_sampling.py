"""Fills: the same whatever the threads, the layout or the piece; streams that have nothing in common."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import initkit as ik
from initkit import sampling

BIG = (1030, 1020)  # three blocks, the last one short
LAWS = {
    "uniform": sampling.uniform(-1, 2),
    "normal": sampling.normal(0.5, 2),
    "redrawn": sampling.truncated_normal(0, 1, -2, 2),
    "inverted": sampling.truncated_normal(0, 1, 2, 3),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_nothing(law, dtype):
    one, *others = (
        sampling.fill(np.empty(BIG, dtype), LAWS[law], rng=3, threads=threads) for threads in (1, 2, 3, 8)
    )
    assert all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal", "he_normal", "xavier_uniform"])
def test_blocks_alone_make_the_whole(name, dtype):
    whole = ik.get(name)(BIG, rng=5, dtype=dtype)
    count = sampling.block_count(BIG)
    assert count == 3
    parts = [ik.sample_block(name, BIG, i, rng=5, dtype=dtype) for i in range(count)]
    assert np.array_equal(np.concatenate(parts), whole.ravel())


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_layout_changes_nothing(dtype):
    plain = ik.he_normal(BIG, rng=1, dtype=dtype)
    strided = np.zeros((BIG[0], 2 * BIG[1]), dtype)[:, ::2]
    fortran = np.zeros(BIG, dtype, order="F")
    for out in (strided, fortran):
        assert ik.he_normal(BIG, rng=1, dtype=dtype, out=out) is out
        assert np.array_equal(out, plain)


def test_float16_is_float32_rounded():
    assert np.array_equal(
        ik.he_normal(BIG, rng=1, dtype=np.float16), ik.he_normal(BIG, rng=1).astype(np.float16)
    )


def test_seeds_of_every_kind():
    by_int = ik.normal((10, 10), rng=7)
    assert np.array_equal(by_int, ik.normal((10, 10), rng=np.int64(7)))
    assert np.array_equal(by_int, ik.normal((10, 10), rng=np.random.SeedSequence(7)))
    assert np.array_equal(by_int, ik.normal((10, 10), rng=np.random.default_rng(7)))
    assert not np.array_equal(ik.normal((10, 10)), ik.normal((10, 10)))
    advancing = np.random.default_rng(7)
    assert np.array_equal(by_int, ik.normal((10, 10), rng=advancing))
    assert not np.array_equal(by_int, ik.normal((10, 10), rng=advancing))


@pytest.mark.parametrize(
    ("rng", "error"),
    [
        ("0", TypeError),
        (1.5, TypeError),
        (True, TypeError),
        (-1, ValueError),
        (np.random.RandomState(0), TypeError),
    ],
)
def test_what_is_no_seed_is_told(rng, error):
    out = np.full((2, 2), 9, np.float32)
    with pytest.raises(error, match="rng must be"):
        ik.normal((2, 2), rng=rng, out=out)
    assert (out == 9).all()


def test_filling_allocates_no_second_array():
    """At most the random bits of one block a thread, and a little."""
    out = np.empty((2048, 4096), np.float32)
    for fill in (ik.he_normal, ik.he_uniform):
        fill(out.shape, rng=0, out=out)  # warm
        tracemalloc.start()
        fill(out.shape, rng=0, out=out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < out.nbytes / 2
        assert peak < (sampling._CPUS * 4.1 + 1) * sampling.BLOCK


TOO_LARGE = """
import resource, sys
import numpy as np
import initkit as ik
ik.he_normal((1000, 1000), rng=0)  # threads and their stacks are there
with open("/proc/self/status") as status:
    (used,) = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmData")]
resource.setrlimit(resource.RLIMIT_DATA, (used + 40 * 2**20,) * 2)
shape = (8192, 4096)  # 128 MiB
try:
    np.empty(shape, np.float32)
except MemoryError:
    print("too large for memory")
out = np.memmap(sys.argv[1], np.float32, "w+", shape=shape)
ik.he_normal(shape, rng=0, out=out)
out.flush()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA binds on Linux alone")
def test_a_tensor_too_large_for_memory_is_filled_in_a_memory_map(tmp_path):
    path = tmp_path / "weights"
    run = subprocess.run([sys.executable, "-c", TOO_LARGE, path], capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "too large for memory\n"
    assert np.array_equal(
        np.memmap(path, np.float32, "r", shape=(8192, 4096)), ik.he_normal((8192, 4096), rng=0)
    )


# Streams have nothing in common ---------------------------------------------------------------------


def correlation_z(a, b):
    """√n·r: N(0, 1) for independent samples."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    return (a @ b) / np.sqrt((a @ a) * (b @ b)) * np.sqrt(a.size)


def test_streams_of_seeds_blocks_and_calls_do_not_correlate():
    """Every pair of 24 streams, values and squares: 552 checks at |z| < 5, false-alarm rate 3e-4."""
    shape = (4 * sampling.BLOCK // 1024, 1024)
    n = 1 << 16
    rng = np.random.default_rng(100)
    streams = [
        ik.sample_block("normal", shape, i, rng=seed, std=1.0)[:n] for seed in (0, 1) for i in range(4)
    ]
    streams += [ik.normal(n, std=1.0, rng=rng) for _ in range(8)]
    streams += [ik.normal(n, std=1.0, rng=seed) for seed in range(2, 10)]
    for i, a in enumerate(streams):
        for b in streams[:i]:
            assert abs(correlation_z(a, b)) < 5
            assert abs(correlation_z(a**2, b**2)) < 5


def test_streams_do_not_overlap():
    """No two of 64 streams share a value in float64: 64-bit numbers that repeat would be the same stream."""
    firsts = [
        ik.sample_block("uniform", (64, sampling.BLOCK), i, rng=0, dtype=np.float64)[:2000] for i in range(64)
    ]
    together = np.concatenate(firsts)
    assert len(np.unique(together)) == len(together)


# Blocks that are not there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("normal", BIG, 3), ValueError, "index must be from 0 to 2, not 3"),
        (("normal", BIG, -1), ValueError, "index must be from 0 to 2, not -1"),
        (("normal", BIG, 0.5), TypeError, "index must be a whole number"),
        (("orthogonal", (9, 9), 0), ValueError, "has no blocks"),
        (("zeros", (9, 9), 0), ValueError, "has no blocks"),
        (("he_norml", (9, 9), 0), ValueError, "did you mean he_normal"),
    ],
)
def test_blocks_that_are_not_there_are_told(arguments, error, message):
    with pytest.raises(error, match=message):
        ik.sample_block(*arguments, rng=0)


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_a_block_needs_a_seed(rng):
    with pytest.raises(TypeError, match="rng must be an int or a SeedSequence"):
        ik.sample_block("normal", BIG, 0, rng=rng)
