"""Every scheme has the law that its docstring says, in every layout; and bad input is told."""

import inspect
import math
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import initkit as ik
from initkit import initializers

# Statistical tests fix their seeds. A Kolmogorov–Smirnov test fails below p = 1e-6, a variance beyond 6
# standard errors: with the few hundred tests here, one false alarm in some 3,000 sets of seeds.
P_VALUE = 1e-6
SHAPES = {"dense": (300, 200), "conv1d": (96, 64, 7), "conv2d": (64, 48, 3, 5), "conv3d": (32, 24, 3, 3, 3)}
MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
TRUNCATED = stats.truncnorm(-2, 2)


def fan_by(mode, n_in, n_out):
    return dict(zip(MODES, (n_in, n_out, (n_in + n_out) / 2, (n_in * n_out) ** 0.5), strict=True))[mode]


def fan_of(shape, mode):
    receptive = math.prod(shape[2:])
    return fan_by(mode, shape[1] * receptive, shape[0] * receptive)


def said(part):
    """Test ids without addresses of objects: every worker must find the same."""
    return "-".join(part) if isinstance(part, dict) else part if isinstance(part, str) else ""


def law_of(distribution, variance):
    """The law with mean 0 and this variance."""
    if distribution == "normal":
        return stats.norm(scale=variance**0.5)
    if distribution == "uniform":
        return stats.uniform(-((3 * variance) ** 0.5), 2 * (3 * variance) ** 0.5)
    if isinstance(distribution, tuple):  # of SciPy: its name and shape parameters
        name, *parameters = distribution
        of, plain = getattr(stats, name), getattr(stats, name)(*parameters)
        scale = variance**0.5 / plain.std()
        return of(*parameters, loc=-scale * plain.mean(), scale=scale)
    return stats.truncnorm(-2, 2, scale=(variance / TRUNCATED.var()) ** 0.5)


def assert_law(w, law):
    """Kolmogorov–Smirnov, and the variance within 6 standard errors."""
    x = w.ravel().astype(np.float64)
    assert stats.kstest(x, law.cdf).pvalue > P_VALUE
    mean, variance, _, excess = law.stats("mvsk")
    standard_error = variance * np.sqrt((excess + 2) / x.size)
    assert abs(np.square(x - mean).mean() - variance) < 6 * standard_error


@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_variance_scaling(shape, mode, distribution):
    w = ik.variance_scaling(shape, 1.7, mode, distribution, rng=1)
    assert_law(w, law_of(distribution, 1.7 / fan_of(shape, mode)))


# name, arguments → distribution, gain², mode
SCHEMES = [
    ("xavier_uniform", {}, "uniform", 1, "fan_avg"),
    ("xavier_normal", {"gain": 5 / 3}, "normal", 25 / 9, "fan_avg"),
    ("he_uniform", {}, "uniform", 2, "fan_in"),
    ("he_normal", {}, "normal", 2, "fan_in"),
    ("he_normal", {"mode": "fan_out", "activation": ("leaky_relu", 0.2)}, "normal", 2 / 1.04, "fan_out"),
    ("he_uniform", {"activation": "tanh"}, "uniform", 1.592537**2, "fan_in"),
    ("he_normal", {"activation": np.tanh}, "normal", 1.592537**2, "fan_in"),
    ("he_normal", {"gain": 3.0}, "normal", 9, "fan_in"),
    ("lecun_uniform", {}, "uniform", 1, "fan_in"),
    ("lecun_normal", {}, "normal", 1, "fan_in"),
    ("torch_default", {}, "uniform", 1 / 3, "fan_in"),
]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("name", "arguments", "distribution", "scale", "mode"), SCHEMES, ids=str)
def test_named_schemes(name, arguments, distribution, scale, mode, shape):
    w = ik.get(name)(shape, **arguments, rng=2)
    assert_law(w, law_of(distribution, scale / fan_of(shape, mode)))


LAWS = [(scheme.initializer.__name__, law) for scheme in initializers.SCHEMES for law in scheme.laws]


@pytest.mark.parametrize(("name", "law"), LAWS, ids=str)
def test_what_the_registry_says_an_initializer_draws_is_what_it_draws(name, law):
    shape = SHAPES["conv2d"]
    w = ik.get(name)(shape, **law.params, rng=3)
    assert_law(w, law_of(law.distribution, law.scale / fan_of(shape, law.fan)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "arguments", "law"),
    [
        ("uniform", {"low": -1, "high": 3}, stats.uniform(-1, 4)),
        ("normal", {"mean": 1, "std": 2}, stats.norm(1, 2)),
        ("truncated_normal", {"mean": 1, "std": 0.5}, stats.truncnorm(-2, 2, 1, 0.5)),
        ("truncated_normal", {"std": 1e-6, "low": -3e5, "high": 2e5}, stats.norm(0, 1e-6)),
        ("truncated_normal", {"std": 2, "low": 0.5, "high": 2}, stats.truncnorm(0.5, 2, 0, 2)),
        ("truncated_normal", {"std": 1, "low": 4, "high": 6}, stats.truncnorm(4, 6)),
        ("truncated_normal", {"std": 1, "low": -6, "high": -4}, stats.truncnorm(-6, -4)),
        ("truncated_normal", {"std": 1, "low": -1, "high": 1}, stats.truncnorm(-1, 1)),
    ],
    ids=said,
)
def test_distributions(name, arguments, law, dtype):
    assert_law(ik.get(name)((500, 200), **arguments, rng=3, dtype=dtype), law)


@pytest.mark.parametrize(("low", "high"), [(8, 40), (30, 31), (50, 51), (-51, -50)])
def test_the_farthest_tails(low, high):
    """Beyond c the mean is c + 1/c − 2/c³ + O(c⁻⁵): within 6 standard errors and the next term."""
    w = ik.truncated_normal(100_000, 0, 1, low, high, rng=0, dtype=np.float64)
    assert low <= w.min()
    assert w.max() <= high
    c = min(abs(low), abs(high))
    assert abs(np.abs(w).mean() - (c + 1 / c - 2 / c**3)) < 6 / c / np.sqrt(w.size) + 15 / c**5


def test_truncated_normal_has_no_outliers_where_std_is_small_beside_the_bounds():
    """pytorch #155588 and #145498: float32's inverse error function made outliers of 2000 σ."""
    w = ik.truncated_normal((2000, 2000), std=1e-3, low=-2000, high=2000, rng=0)
    assert abs(w).max() < 6.6e-3
    assert np.isfinite(w).all()


def test_normals_tail():
    """Beyond 3, 4 and 5 σ, of 2²⁴: within 6 standard errors of a Poisson count."""
    z = abs(ik.normal((4096, 4096), std=1.0, rng=0))
    for sigma in (3, 4, 5):
        expected = 2 * stats.norm.sf(sigma) * z.size
        assert abs((z > sigma).sum() - expected) < 6 * expected**0.5
    assert z.max() < 6.57


def test_bounds_hold_to_the_last_digit():
    for low, high in [(-0.1, 0.1), (0, 1), (1, 1.000001), (-3e38, 3e38), (0.3, 0.7)]:
        w = ik.uniform((1000, 1000), low, high, rng=0).astype(np.float64)
        assert low <= w.min()
        assert w.max() < high


# Axes ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    distribution=st.sampled_from(initializers.DISTRIBUTIONS),
    mode=st.sampled_from(MODES),
    data=st.data(),
)
def test_any_layout_is_the_plain_one_scaled(shape, dtype, distribution, mode, data):
    """Axes and groups enter through the fan alone: entry by entry, a plain draw times a constant."""
    in_axis, out_axis = data.draw(st.permutations(range(len(shape))))[:2]
    groups = data.draw(st.sampled_from([g for g in range(1, 6) if shape[out_axis] % g == 0]))
    layout = {"in_axis": in_axis, "out_axis": out_axis, "groups": groups}
    w = ik.variance_scaling(shape, 1.0, mode, distribution, **layout, rng=0, dtype=dtype)
    assert w.shape == tuple(shape)
    assert w.dtype == dtype
    fan = fan_by(mode, *ik.fans(shape, **layout))
    plain = ik.variance_scaling((1, w.size), w.size, "fan_in", distribution, rng=0, dtype=np.float64)
    if dtype == np.float64:
        np.testing.assert_allclose(w.ravel() * fan**0.5, plain.ravel(), rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["xavier_normal", "xavier_uniform", "he_normal", "he_uniform", "lecun_normal"]
)
def test_keras_layout_is_torchs_turned(name):
    torchs = ik.get(name)((64, 32, 3, 3), rng=0)
    kerass = ik.get(name)((3, 3, 32, 64), in_axis=-2, out_axis=-1, rng=0)
    assert torchs.std() == pytest.approx(kerass.std(), rel=1e-6)  # the same draws, the same scale


def test_keras_truncated_he_and_glorot_are_one_call_away():
    assert_law(ik.variance_scaling((300, 200), 2.0, rng=0), law_of("truncated_normal", 2 / 200))
    assert_law(ik.variance_scaling((300, 200), 1.0, "fan_avg", rng=0), law_of("truncated_normal", 1 / 250))


def test_torchs_bias_rule():
    assert_law(ik.torch_default(60_000, fan_in=25, rng=0), stats.uniform(-0.2, 0.4))
    with pytest.raises(TypeError, match="fan_in says it all; groups must not"):
        ik.torch_default(5, fan_in=25, groups=5)


# Orthogonal and structured --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (100, 30), (30, 100), (16, 8, 3, 3), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float16, 5e-3), (np.float32, 1e-5), (np.float64, 1e-13)]
)
def test_orthogonal_is(shape, dtype, tolerance):
    w = ik.orthogonal(shape, gain=1.5, rng=0, dtype=dtype)
    assert w.dtype == dtype
    q = w.reshape(shape[0], -1).astype(np.float64) / 1.5
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    assert abs(product - np.eye(len(product))).max() < tolerance


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_orthogonal_is_haar(n):
    """Of 4,000: E[tr Q] = 0, E[(tr Q)²] = 1, det = ±1 equally often, each within 6 standard errors.

    An entry's square is Beta(½, (n − 1)/2). For n = 1 there are the two signs.
    """
    rng = np.random.default_rng(n)
    draws = np.array([ik.orthogonal((n, n), rng=rng, dtype=np.float64) for _ in range(4000)])
    trace = np.trace(draws, axis1=1, axis2=2)
    assert abs(trace.mean()) < 6 * trace.std() / 4000**0.5
    assert abs((trace**2).mean() - 1) <= 6 * (trace**2).std() / 4000**0.5
    assert abs((np.linalg.det(draws) > 0).sum() - 2000) < 6 * 1000**0.5
    if n > 1:
        for i, j in ((0, 0), (n - 1, 0), (0, n - 1), (n - 1, n - 1)):
            law = stats.beta(0.5, (n - 1) / 2)
            assert stats.kstest(draws[:, i, j] ** 2, law.cdf).pvalue > P_VALUE
            assert abs((draws[:, i, j] > 0).sum() - 2000) < 6 * 1000**0.5


def test_orthogonal_is_of_full_haar_law_when_wide():
    """Rows of a 2 × 3 are uniform on the sphere: by Archimedes, each entry is uniform on [−1, 1]."""
    rng = np.random.default_rng(0)
    draws = np.array([ik.orthogonal((2, 3), rng=rng, dtype=np.float64) for _ in range(4000)])
    for entry in draws.reshape(4000, 6).T:
        assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > P_VALUE


def test_delta_orthogonal_keeps_the_norm_of_any_signal():
    w = ik.delta_orthogonal((12, 5, 3, 4), gain=2.0, rng=0)
    x = np.random.default_rng(0).standard_normal((5, 10))
    y = w[:, :, 1, 2] @ x
    np.testing.assert_allclose(np.linalg.norm(y, axis=0), 2 * np.linalg.norm(x, axis=0), rtol=1e-5)
    w[:, :, 1, 2] = 0
    assert not w.any()


def test_identity_and_dirac():
    np.testing.assert_array_equal(ik.identity((4, 2), gain=3.0), 3 * np.eye(4, 2))
    np.testing.assert_array_equal(ik.identity((2, 4)), np.eye(2, 4))
    w = ik.dirac((6, 2, 5), groups=3)
    assert w.sum() == 6
    assert [tuple(i) for i in np.argwhere(w)] == [(g * 2 + i, i, 2) for g in range(3) for i in range(2)]


@pytest.mark.parametrize(("shape", "mode", "along"), [((300, 40), "fan_in", 1), ((40, 300), "fan_out", 0)])
def test_sparse(shape, mode, along):
    w = ik.sparse(shape, 0.33, std=2.0, mode=mode, rng=0)
    assert ((w == 0).sum(axis=along) == math.ceil(0.33 * 40)).all()
    assert_law(w[w != 0], stats.norm(scale=2.0))
    # Where the zeros fall: 300·14/40 = 105 a line across, binomial within 6 standard errors.
    across = (w == 0).sum(axis=1 - along)
    assert abs(across - 105).max() < 6 * (300 * 0.35 * 0.65) ** 0.5


def test_sparse_is_martens_by_default():
    """Every unit keeps 15 of its inputs; by PyTorch's rule their number differs from unit to unit."""
    w = ik.sparse((100, 784), 1 - 15 / 784, rng=0)
    assert set((w != 0).sum(axis=1).tolist()) == {15}
    assert len(set((ik.sparse((100, 30), 0.8, mode="fan_out", rng=0) != 0).sum(axis=1).tolist())) > 1


# Axes of what is structured ---------------------------------------------------------------------------

STRUCTURED = [
    ("orthogonal", (16, 8, 3, 4), {"gain": 1.5}),
    ("orthogonal", (5, 7), {}),
    ("orthogonal", (7, 5), {}),
    ("delta_orthogonal", (16, 8, 3, 4), {}),
    ("delta_orthogonal", (8, 8, 2), {"centre": "lower"}),
    ("identity", (5, 7), {"gain": 2.0}),
    ("dirac", (6, 4, 3, 2), {"groups": 2}),
    ("sparse", (20, 30), {"sparsity": 0.4}),
    ("sparse", (20, 30), {"sparsity": 0.4, "mode": "fan_out"}),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("name", "shape", "arguments"), STRUCTURED, ids=said)
def test_one_seed_is_one_weight_in_every_layout(name, shape, arguments, dtype):
    """Keras' and JAX's kernel is PyTorch's, moved; so is any other order of the axes, bit by bit."""
    torchs = ik.get(name)(shape, **arguments, rng=5, dtype=dtype)
    for order in ((*range(2, len(shape)), 1, 0), (1, *range(2, len(shape)), 0), tuple(range(len(shape)))):
        axes = {"in_axis": order.index(1), "out_axis": order.index(0) - len(shape)}
        moved = tuple(shape[a] for a in order)
        w = ik.get(name)(moved, **arguments, **axes, rng=5, dtype=dtype)
        np.testing.assert_array_equal(w, torchs.transpose(order))
        out = np.full(moved, 9, dtype, order="F")
        assert ik.get(name)(moved, **arguments, **axes, rng=5, dtype=dtype, out=out) is out
        np.testing.assert_array_equal(out, w)


def test_orthogonal_of_a_keras_kernel():
    w = ik.orthogonal((3, 3, 8, 16), in_axis=-2, out_axis=-1, rng=0)
    units = w.reshape(72, 16).T  # a unit's weights are a row
    np.testing.assert_allclose(units @ units.T, np.eye(16), atol=1e-6)
    np.testing.assert_array_equal(w, ik.orthogonal((16, 8, 3, 3), rng=0).transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("shape", "in_axis", "out_axis", "order"),
    [
        ((12, 4, 5), 0, (1, 2), (1, 2, 0)),  # attention: embed → heads × dim
        ((4, 5, 12), (0, 1), 2, (2, 0, 1)),
        ((4, 12, 5), (2, 0), 1, (1, 2, 0)),  # not adjacent: there is no such view
        ((4, 12, 5), (0, 2), 1, (1, 0, 2)),
    ],
)
def test_several_axes_are_one(shape, in_axis, out_axis, order):
    axes = {"in_axis": in_axis, "out_axis": out_axis}
    n_out, n_in = (20, 12) if shape[0] == 12 else (12, 20)
    for name in ("orthogonal", "identity", "sparse"):
        arguments = {"sparsity": 0.5} if name == "sparse" else {}
        matrix = ik.get(name)((n_out, n_in), **arguments, rng=3)
        w = ik.get(name)(shape, **arguments, **axes, rng=3, out=np.full(shape, 9, np.float32))
        np.testing.assert_array_equal(w.transpose(order).reshape(n_out, n_in), matrix)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_centre_of_a_kernel(size):
    """PyTorch's is at k // 2, JAX's at (k − 1) // 2."""
    for centre, at in (("upper", size // 2), ("lower", (size - 1) // 2)):
        w = ik.delta_orthogonal((4, 3, size, 3), centre=centre, rng=0)
        assert sorted(set(np.nonzero(w)[2].tolist())) == [at]
        np.testing.assert_array_equal(w[:, :, at, 1], ik.delta_orthogonal((4, 3, 1), rng=0)[:, :, 0])


# Limits, a fan by hand, a constant that is an array ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("xavier_uniform", {"gain": 0}, 0), ("xavier_normal", {"gain": 0.0}, 0),
        ("he_uniform", {"gain": 0}, 0), ("he_normal", {"gain": 0}, 0), ("orthogonal", {"gain": 0}, 0),
        ("delta_orthogonal", {"gain": 0}, 0), ("identity", {"gain": 0}, 0),
        ("variance_scaling", {"scale": 0}, 0),
        ("variance_scaling", {"scale": 0, "distribution": "uniform"}, 0),
        ("normal", {"std": 0}, 0), ("normal", {"mean": 2, "std": 0}, 2), ("sparse", {"std": 0}, 0),
        ("uniform", {"low": 0.25, "high": 0.25}, 0.25), ("uniform", {"low": -3, "high": -3}, -3),
        ("truncated_normal", {"low": 2, "high": 2}, 0.1), ("truncated_normal", {"mean": 1, "std": 0}, 1),
        ("truncated_normal", {"std": 0, "low": -np.inf, "high": np.inf}, 0),
    ],
    ids=said,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_where_a_limit_is_meant_it_is_reached(name, arguments, value, dtype):
    """Zeros that are not −0; a Generator goes on as after any draw, so that the next layer's is the same."""
    arguments = {**CALLS[name], **arguments}
    used, other = np.random.default_rng(0), np.random.default_rng(0)
    w = ik.get(name)(shape_for(name), **arguments, rng=used, dtype=dtype)
    np.testing.assert_array_equal(w, np.full(shape_for(name), value, dtype))
    assert not np.signbit(w).any() or value < 0
    if name != "identity":  # which draws nothing
        usual = {k: v for k, v in CALLS[name].items() if k != "std"}
        ik.get(name)(shape_for(name), **usual, rng=other, dtype=dtype)
        assert used.random() == other.random()


def test_a_limit_has_blocks():
    part = ik.sample_block("he_normal", (1500, 1000), 2, rng=0, gain=0)
    assert part.size == 1_500_000 - 2 * ik.sampling.BLOCK
    assert not part.any()


SCALED = [name for name, *_ in SCHEMES] + ["variance_scaling"]


@pytest.mark.parametrize("name", sorted(set(SCALED)))
def test_a_fan_may_be_given_by_hand(name):
    """A bias with its layer's fan has the law of the weight: the same numbers in the same order."""
    weight = ik.get(name)((1, 50) if "xavier" not in name else (50, 50), rng=0)
    bias = ik.get(name)(weight.size, fan=50, rng=0)
    np.testing.assert_array_equal(bias, weight.ravel())
    assert ik.get(name)((), fan=2.5, rng=0).shape == ()
    with pytest.raises(ValueError, match="fan must be above 0, not 0"):
        ik.get(name)(3, fan=0)
    with pytest.raises(TypeError, match="fan says it all; axes and groups must not come with it"):
        ik.get(name)((4, 4), fan=4, in_axis=0, out_axis=1)


def test_torchs_fan_in_is_the_fan():
    np.testing.assert_array_equal(ik.torch_default(99, fan_in=7, rng=0), ik.torch_default(99, fan=7, rng=0))
    with pytest.raises(TypeError, match="fan_in says it all; fan must not"):
        ik.torch_default(5, fan_in=25, fan=25)


def test_constant_takes_an_array():
    filter_ = np.arange(9.0).reshape(3, 3)
    w = ik.constant((4, 2, 3, 3), filter_, dtype=np.float16)
    assert (w == filter_).all()
    assert w.dtype == np.float16
    assert ik.constant((2, 3), [[1], [2]]).tolist() == [[1, 1, 1], [2, 2, 2]]
    assert ik.constant((), np.array(2)) == 2
    assert ik.constant((0, 3), [1, 2, 3]).shape == (0, 3)


# One behaviour for all ------------------------------------------------------------------------------

REQUIRED = {"constant": {"value": 2.0}, "sparse": {"sparsity": 0.5}}  # arguments without a default
CALLS = {f.__name__: REQUIRED.get(f.__name__, {}) for f in initializers.REGISTRY.values()}


def shape_for(name):
    return (6, 4, 3) if name in ("dirac", "delta_orthogonal") else (6, 4)


def test_every_scheme_is_here_public_and_documented():
    schemes = set(CALLS)
    assert len(schemes) >= 19
    assert ik.glorot_normal is ik.xavier_normal
    assert ik.kaiming_uniform is ik.he_uniform
    for name in schemes:
        function = getattr(ik, name)
        assert ">>> " in function.__doc__, name
        keyword_only = [
            p.name for p in inspect.signature(function).parameters.values() if p.kind == p.KEYWORD_ONLY
        ]
        assert keyword_only == ["rng", "dtype", "out"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_out_is_filled_in_place_with_what_would_be_returned(name, dtype):
    shape = shape_for(name)
    plain = ik.get(name)(shape, **CALLS[name], rng=4, dtype=dtype)
    assert (plain.shape, plain.dtype) == (shape, dtype)
    for out in (np.zeros(shape, dtype), np.zeros((2, *shape), dtype, order="F")[1]):
        assert ik.get(name)(shape, **CALLS[name], rng=4, dtype=dtype, out=out) is out
        assert np.array_equal(out, plain)


@pytest.mark.parametrize("name", CALLS)
def test_shapes_of_size_zero_are_empty_and_silent(name):
    tail = shape_for(name)[2:]
    for shape in ((0, 0, *tail), (4, 0, *tail), *([] if name == "delta_orthogonal" else [(0, 4, *tail)])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ik.get(name)(shape, **CALLS[name], rng=0).shape == shape


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": np.int32}, TypeError, "dtype must be float16, float32 or float64, not int32"),
        ({"dtype": complex}, TypeError, "dtype must be float16, float32 or float64, not complex128"),
        ({"dtype": "nonsense"}, TypeError, "dtype must be float16, float32 or float64, not 'nonsense'"),
        ({"out": [1.0]}, TypeError, "out must be a NumPy array, not list"),
        ({"out": np.zeros(1, np.float32)}, ValueError, r"out has shape \(1,\) and dtype float32"),
        ({"dtype": np.float64, "out": "right shape"}, ValueError, "out has shape .* and dtype float32"),
        ({"out": "read-only"}, ValueError, "out is read-only"),
        ({"shape": (2, -1, 3)}, ValueError, r"shape must have no negative size, not \(2, -1, 3\)"),
        ({"shape": (2, 1.5, 3)}, TypeError, r"shape must be whole numbers, not \(2, 1.5, 3\)"),
    ],
    ids=said,
)
def test_bad_input_common_to_all_is_told(name, arguments, error, message):
    shape = shape_for(name)
    if isinstance(arguments.get("out"), str):
        out = np.zeros(shape, np.float32)
        out.flags.writeable = arguments["out"] != "read-only"
        arguments = {**arguments, "out": out}
    with pytest.raises(error, match=message):
        ik.get(name)(**{"shape": shape, **CALLS[name], **arguments})


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("normal", {"std": -1}, ValueError, "std must be at least 0, not -1"),
        ("normal", {"std": np.inf}, ValueError, "std must be finite, not inf"),
        ("normal", {"mean": np.nan}, ValueError, "mean must be finite, not nan"),
        ("normal", {"std": "big"}, TypeError, "std must be a number, not 'big'"),
        ("normal", {"std": 1e39}, ValueError, "dtype .*float32.* 3.40282e\\+38"),
        ("truncated_normal", {"std": -0.1}, ValueError, "std must be at least 0"),
        (
            "truncated_normal",
            {"low": 2, "high": 1},
            ValueError,
            "low must not be above high, not low=2, high=1",
        ),
        ("truncated_normal", {"low": np.inf, "high": np.inf}, ValueError, "must not both lie beyond 1e100"),
        ("truncated_normal", {"low": np.nan}, ValueError, "low must be finite"),
        ("uniform", {"low": 1, "high": 0}, ValueError, "low must not be above high, not low=1, high=0"),
        ("uniform", {"high": 1e39}, ValueError, "dtype"),
        ("constant", {"value": np.nan}, ValueError, "value must be finite"),
        ("constant", {"value": [1, np.nan]}, ValueError, "value must be finite; some"),
        ("constant", {"value": [1, 2, 3]}, ValueError, r"value has shape \(3,\).* broadcast to \(6, 4\)"),
        ("constant", {"value": np.ones((2, 6, 4))}, ValueError, r"broadcast to \(6, 4\)"),
        ("constant", {"value": [1, 1, 1, 1e39]}, ValueError, "dtype float32 ends at"),
        ("constant", {"value": ["1"] * 4}, TypeError, "value must be a number or an array of them"),
        ("constant", {"value": [[1], [2, 3]]}, TypeError, "value must be a number or an array of them"),
        ("variance_scaling", {"mode": "fan"}, ValueError, "mode must be one of fan_in.*not 'fan'"),
        ("variance_scaling", {"distribution": "cauchy"}, ValueError, "distribution must be.*not 'cauchy'"),
        ("variance_scaling", {"scale": -1e-9}, ValueError, "scale must be at least 0, not -1e-09"),
        ("variance_scaling", {"scale": -2}, ValueError, "scale must be at least 0, not -2"),
        ("variance_scaling", {"shape": 5}, ValueError, r"shape \(5,\) has no fans"),
        ("he_normal", {"shape": (5,)}, ValueError, r"shape \(5,\) has no fans"),
        ("he_normal", {"in_axis": 0}, ValueError, "must not share an axis"),
        ("he_normal", {"in_axis": 2}, ValueError, "in_axis=.* is out of range"),
        ("he_normal", {"groups": 4}, ValueError, "groups must be a divisor of the 6 outputs, not 4"),
        ("he_normal", {"activation": "rleu"}, ValueError, "activation: 'rleu' is not known"),
        ("he_normal", {"activation": lambda z: 0 * z}, ValueError, r"has no gain: E\[f\(z\)\^2\] is 0"),
        ("he_normal", {"activation": lambda z: np.exp(z**2)}, ValueError, "has no gain: .*not finite"),
        ("he_normal", {"gain": 1e-170}, ValueError, "gain must have a square .*or be 0, not 1e-170"),
        ("xavier_normal", {"gain": -1}, ValueError, "gain must be at least 0, not -1"),
        ("he_normal", {"rng": "seed"}, TypeError, "rng must be None, an int.*not 'seed'"),
        ("torch_default", {"fan_in": 0}, ValueError, "fan_in must be above 0, not 0"),
        ("orthogonal", {"shape": (6,)}, ValueError, r"shape must have two axes or more.*not \(6,\)"),
        ("orthogonal", {"gain": -1}, ValueError, "gain must be at least 0"),
        ("orthogonal", {"in_axis": 0}, ValueError, "in_axis and out_axis must not share an axis"),
        ("orthogonal", {"out_axis": 2}, ValueError, "out_axis=.* is out of range"),
        ("delta_orthogonal", {"centre": "middle"}, ValueError, "centre must be 'upper' or 'lower', not 'mid"),
        ("delta_orthogonal", {"in_axis": (1, 2)}, ValueError, "three axes or more"),
        ("identity", {"in_axis": ()}, ValueError, "shape must have two axes"),
        ("dirac", {"out_axis": -2}, ValueError, "must not share an axis"),
        ("sparse", {"in_axis": 1.0}, TypeError, "in_axis must be an int or a tuple"),
        ("sparse", {"mode": "fan_avg"}, ValueError, "mode must be fan_in or fan_out, not 'fan_avg'"),
        ("orthogonal", {"rng": "seed"}, TypeError, "rng must be"),
        ("delta_orthogonal", {"shape": (4, 6, 3)}, ValueError, r"as many outputs as inputs, not \(4, 6\)"),
        ("delta_orthogonal", {"shape": (6, 4)}, ValueError, "three axes or more"),
        ("delta_orthogonal", {"rng": "seed"}, TypeError, "rng must be"),
        ("identity", {"shape": (3, 3, 3)}, ValueError, "shape must have two axes"),
        ("dirac", {"shape": (3, 3)}, ValueError, "three axes or more"),
        ("dirac", {"groups": 4}, ValueError, "groups must be a divisor of the 6 outputs, not 4"),
        ("sparse", {"sparsity": 1}, ValueError, "sparsity must be at least 0 and below 1, not 1"),
        ("sparse", {"sparsity": -0.1}, ValueError, "sparsity must be at least 0"),
        ("sparse", {"std": -1}, ValueError, "std must be at least 0"),
        ("sparse", {"shape": (3,)}, ValueError, "shape must have two axes"),
        ("sparse", {"rng": "seed"}, TypeError, "rng must be"),
    ],
    ids=said,
)
def test_bad_input_is_told_and_out_untouched(name, arguments, error, message):
    arguments = {"shape": shape_for(name), **CALLS[name], **arguments}
    out = np.full(arguments["shape"], 9, np.float32)
    with pytest.raises(error, match=message):
        ik.get(name)(**arguments, out=out)
    assert (out == 9).all()


# Found by trying to break it ------------------------------------------------------------------------


def test_a_window_may_be_open():
    """KS against SciPy's law: one false alarm in 10⁶."""
    for low, high in [(-np.inf, 2), (3, np.inf), (-1e308, 2), (-np.inf, np.inf)]:
        w = ik.truncated_normal(200_000, std=1.0, low=low, high=high, rng=0, dtype=np.float64)
        assert stats.kstest(w, stats.truncnorm(low, high).cdf).pvalue > 1e-6
    assert ik.truncated_normal(99, std=1.0, low=-3, high=1e5, rng=0, dtype=np.float16).max() < 7
    with pytest.raises(ValueError, match="must not both lie beyond 1e100"):
        ik.truncated_normal(5, low=1e155, high=1.1e155)


def test_float16_keeps_the_bounds():
    assert ik.uniform(10**6, 0, 1, rng=0, dtype=np.float16).max() < 1
    assert ik.truncated_normal(10**6, std=0.3, rng=0, dtype=np.float16).max() <= 0.6
    assert float(ik.xavier_uniform((300, 100), rng=0, dtype=np.float16).max()) <= (6 / 400) ** 0.5


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_up_to_the_largest_number(dtype):
    most = float(np.finfo(dtype).max)
    for low, high in ((-most, most), (-most, 0)):
        w = ik.uniform((1000,), low, high, dtype=dtype, rng=0)
        assert low <= w.min() < 0.9 * low
        assert (w < high).all()


def test_uniform_where_float32_has_few_numbers():
    """Of 1e8, 1e8 + 8 and 1e8 + 16 each a third; 6 standard errors of a count of 100,000/3 are 900."""
    numbers, counts = np.unique(ik.uniform(100_000, 1e8, 1e8 + 24, rng=0), return_counts=True)
    assert (numbers.astype(float) - 1e8).tolist() == [0, 8, 16]
    assert abs(counts - 100_000 / 3).max() < 900


@pytest.mark.parametrize("name", ["sparse", "orthogonal"])
def test_structured_ones_need_little_beside_out(name):
    out = np.empty((1024, 4096), np.float32)
    arguments = {"sparsity": 0.5} if name == "sparse" else {}
    tracemalloc.start()
    ik.get(name)(out.shape, rng=0, out=out, **arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out.nbytes / 2


def test_orthogonal_does_not_depend_on_blas_threads():
    program = (
        "import hashlib, initkit as ik;"
        "ik.sampling.one_blas_thread();"  # as training does, before SciPy's BLAS is there
        "print([hashlib.sha1(f(s, rng=0).tobytes()).hexdigest() for f, s in"
        " ((ik.orthogonal, (600, 200)), (ik.orthogonal, (200, 600)), (ik.delta_orthogonal, (600, 200, 3)))])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "OPENBLAS_NUM_THREADS": n},
            capture_output=True, encoding="utf-8", check=True,
        ).stdout
        for n in ("1", "2")
    }  # fmt: skip
    assert len(answers) == 1


def test_sparse_counts_as_arithmetic_does():
    for sparsity, zeros in ((0.07, 7), (0.14, 14), (0.28, 28), (0.55, 55), (0.071, 8)):
        assert (ik.sparse((2, 100), sparsity, rng=0) == 0).sum(axis=1).tolist() == [zeros] * 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ik.orthogonal((6, 4), 1e39), ValueError, "dtype float32 ends at"),
        (lambda: ik.delta_orthogonal((6, 4, 3), 1e5, dtype=np.float16), ValueError, "dtype float16 ends at"),
        (lambda: ik.he_normal((4, 4), gain=1e160), ValueError, "gain must have a square"),
        (lambda: ik.normal((4, 4), std=10**400), ValueError, "std must be finite"),
        (lambda: ik.normal((4, 4), std="0.5"), TypeError, "std must be a number"),
        (lambda: ik.zeros(3, rng="s"), TypeError, "rng must be"),
        (lambda: ik.identity((3, 3), rng="s"), TypeError, "rng must be"),
        (lambda: ik.dirac((3, 3, 3), rng="s"), TypeError, "rng must be"),
        (lambda: ik.orthogonal((0, 4), rng="s"), TypeError, "rng must be"),
        (lambda: ik.normal(2, rng=np.array([1, 2])), TypeError, "rng must be"),
        (lambda: ik.he_normal((2, 2), "nonsense", gain=1.0), ValueError, "'nonsense' is not known"),
        (lambda: ik.normal(10**20), ValueError, "too large for an array"),
        (lambda: ik.normal(3, dtype=None), TypeError, "dtype must be"),
        (lambda: ik.normal(b"ab"), TypeError, "shape must be"),
        (lambda: ik.normal(True), TypeError, "shape must be"),
        (lambda: ik.fans((4, 6), in_axis=""), TypeError, "in_axis must be"),
        (lambda: ik.fans((4, 6, 3), groups=np.array([1, 2])), ValueError, "groups must be"),
        (lambda: ik.variance_scaling((4, 6), mode=np.array(["a", "b"])), ValueError, "mode must be"),
        (lambda: ik.normal((2, 2), out=np.ma.zeros((2, 2), np.float32)), TypeError, "not MaskedArray"),
        (lambda: ik.get("HE_NORMAL"), ValueError, "did you mean he_normal"),
        (lambda: ik.get("he_norml"), ValueError, "did you mean he_normal"),
        (lambda: ik.get("qqqq"), ValueError, "the names are zeros, ones"),
        (lambda: ik.get(3), TypeError, "a name or a callable, not 3"),
    ],
)
def test_odd_input_is_told(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_small_oddities():
    assert ik.he_normal((n for n in (2, 3)), rng=0).shape == (2, 3)
    assert type(ik.fans((4, 6, 3), groups=np.int64(2)).fan_out) is int
    assert np.array_equal(ik.normal(2, rng=np.array(3)), ik.normal(2, rng=3))
    assert abs(ik.variance_scaling((2, 2), 5e-324, "fan_in", "uniform", dtype=np.float64)).max() < 1e-161
    unaligned = np.zeros(193, np.uint8)[1:].view(float).reshape(4, 6)
    assert np.array_equal(
        ik.normal((4, 6), rng=0, dtype=float, out=unaligned), ik.normal((4, 6), rng=0, dtype=float)
    )
