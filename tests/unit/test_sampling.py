"""Fills: the same whatever the threads, the layout or the piece; streams that have nothing in common."""

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

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


# What one seed promises -----------------------------------------------------------------------------

SHAPE = (41, 37)  # an odd number of entries: SIMD's full vectors and what is left over
PROMISED = {
    "uniform": lambda dtype: ik.uniform(SHAPE, -1, 2, rng=3, dtype=dtype),
    "uniform, few steps": lambda dtype: ik.uniform(SHAPE, 1000, 1001, rng=3, dtype=dtype),
    "xavier_uniform": lambda dtype: ik.xavier_uniform(SHAPE, rng=3, dtype=dtype),
    "normal": lambda dtype: ik.normal(SHAPE, 0.5, 2, rng=3, dtype=dtype),
    "normal, tiny": lambda dtype: ik.normal(SHAPE, 0, 2.0**-13, rng=3, dtype=dtype),
    "he_normal": lambda dtype: ik.he_normal(SHAPE, rng=3, dtype=dtype),
    "many blocks": lambda dtype: ik.he_normal(BIG, rng=3, dtype=dtype),
    "he_normal, an integrated gain": lambda dtype: ik.he_normal(SHAPE, "gelu", rng=3, dtype=dtype),
    "sparse": lambda dtype: ik.sparse(SHAPE, 0.5, rng=3, dtype=dtype),
    "truncated_normal": lambda dtype: ik.truncated_normal(SHAPE, rng=3, dtype=dtype),
    "lecun_normal": lambda dtype: ik.lecun_normal(SHAPE, rng=3, dtype=dtype),
}
# The first 16 hexadecimal digits of SHA-256 over the little-endian bytes, by what was drawn and the dtype.
SUMS = json.loads(Path(__file__).with_name("seeds.json").read_text(encoding="utf-8"))


def sums() -> dict[str, str]:
    """Of everything whose bits are promised."""
    found = {}
    for dtype in ("float16", "float32", "float64"):
        for name, draw in PROMISED.items():
            drawn = np.ascontiguousarray(draw(dtype), np.dtype(dtype).newbyteorder("<"))
            found[f"{name}, {dtype}"] = hashlib.sha256(drawn).hexdigest()[:16]
    return found


def on_a_plainer_cpu(statement: str) -> str:
    """What a new Python prints without this CPU's optional instructions, with BLAS's oldest kernel."""
    features = sys.modules["numpy._core._multiarray_umath"]
    there = [name for name in features.__cpu_dispatch__ if features.__cpu_features__.get(name)]
    plainer = {"NPY_DISABLE_CPU_FEATURES": " ".join(there), "OPENBLAS_CORETYPE": "Prescott"}
    code = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {statement}"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | plainer, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_one_seed_gives_the_same_bits_as_on_other_machines():
    assert sums() == SUMS


def test_one_seed_gives_the_same_bits_on_a_plainer_cpu():
    assert (
        json.loads(on_a_plainer_cpu("import test_sampling; print(json.dumps(test_sampling.sums()))")) == SUMS
    )


def test_orthogonal_differs_between_kernels_in_the_last_digits_alone():
    statement = "import initkit as ik; print(json.dumps(ik.orthogonal((64, 96), rng=3).tolist()))"
    there = np.array(json.loads(on_a_plainer_cpu(statement)))
    assert np.abs(there - ik.orthogonal((64, 96), rng=3)).max() < 1e-6


def test_the_logarithm_is_right():
    """−2 ln u over every power of 2 that a draw can give, and close to 1, where it is 0."""
    u = np.random.default_rng(0).uniform(0.5, 1, (31, 4000)) * 2.0 ** -np.arange(31)[:, None]
    u = np.concatenate([u.ravel(), [2.0**-31], 1 - np.arange(100) * 2.0**-24]).astype(np.float32)
    found = u.copy()
    sampling._times_log(found, -2.0, *np.empty((2, u.size), np.float32))
    np.testing.assert_allclose(found, -2 * np.log(u.astype(np.float64)), rtol=1e-6)


# U[low, high) where the dtype has few numbers ------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float16", 1000, 1001),
        ("float16", 100, 101),
        ("float16", 1, 2),
        ("float16", 0, 1e-6),
        ("float16", -2050, -2040),
        ("float32", 2.0**23, 2.0**23 + 7),
    ],
)
def test_all_numbers_in_a_coarse_interval_are_as_likely(dtype, low, high):
    """Each within 5.5 standard errors of its share of [low, high): false-alarm rate 1e-4 in all."""
    n = 200_000
    values, counts = np.unique(ik.uniform(n, low, high, rng=0, dtype=dtype).astype(float), return_counts=True)
    number = np.dtype(dtype).type
    steps, at = [], number(low)
    while float(at) < high:
        steps.append(float(at))
        at = np.nextafter(at, number(np.inf))
    share = np.diff([*steps, high]) / (high - low)
    assert len(share) < 1100
    assert np.array_equal(values, steps)
    assert (np.abs(counts / n - share) < 5.5 * np.sqrt(share / n)).all()


def test_float16_keeps_the_variance_and_the_mean():
    """Within 4.5 standard errors each, over six bounds: false-alarm rate 8e-5."""
    n = 4_000_000
    for bound in (0.05, 0.0626, 0.1, 0.5, 1.0, 3.0):
        w = ik.uniform(n, -bound, bound, rng=1, dtype=np.float16).astype(np.float64)
        assert -bound <= w.min()
        assert w.max() < bound
        assert abs(np.square(w).mean() / (bound**2 / 3) - 1) < 4.5 * np.sqrt(0.8 / n)
        assert abs(w.mean()) < 4.5 * bound / np.sqrt(3 * n)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_equal_bounds_give_a_constant(dtype, value):
    drawn = sampling.fill(np.empty(5, dtype), sampling.uniform(value, value, np.dtype(dtype)), rng=0)
    assert np.array_equal(drawn, np.full(5, value, dtype))


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


def test_where_there_are_no_threads_none_is_started():
    """As in WebAssembly, whose Python cannot start one."""
    program = (
        "import sys, threading, numpy as np, scipy.special;"
        "sys.platform = 'emscripten';"
        "threading.Thread.start = None;"
        "from initkit import sampling;"
        "a = sampling.fill(np.empty(3 * sampling.BLOCK, np.float32), sampling.uniform(0, 1), 0);"
        "b = sampling.fill(np.empty_like(a), sampling.uniform(0, 1), 0, threads=4);"
        "print(float(a[-1]), np.array_equal(a, b))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    whole = sampling.fill(np.empty(3 * sampling.BLOCK, np.float32), sampling.uniform(0, 1), 0)
    assert run.stdout.split() == [str(float(whole[-1])), "True"]
