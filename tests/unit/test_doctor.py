"""identify: which initializer a tensor is a sample of."""

import fractions
import importlib
import math
import re
import statistics
import textwrap
from pathlib import Path

import numpy as np
import pytest
import scipy

import initkit as ik
from initkit import initializers
from initkit.doctor import identify, scan
from initkit.doctor.audit import wrong_by_itself
from initkit.doctor.identify import ALPHA, FEWEST, NORMAL, REASONS, SHAPES, _kurtosis_p
from initkit.doctor.symmetry import multiples


def to_bfloat16(w):
    bits = w.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


DRAWN = [
    ("he_normal", {}, "fan_in"),
    ("he_uniform", {}, "fan_in"),
    ("he_normal", {"mode": "fan_out"}, "fan_out"),
    ("he_uniform", {"mode": "fan_out"}, "fan_out"),
    ("xavier_normal", {}, "fan_avg"),
    ("xavier_uniform", {}, "fan_avg"),
    ("xavier_uniform", {"gain": 5 / 3}, "fan_avg"),
    ("lecun_normal", {}, "fan_in"),
    ("lecun_uniform", {}, "fan_in"),
    ("torch_default", {}, "fan_in"),
    ("variance_scaling", {"scale": 2.0, "mode": "fan_in"}, "fan_in"),
    ("variance_scaling", {"scale": 1.0, "mode": "fan_avg"}, "fan_avg"),
    ("normal", {"std": 0.02}, None),
    ("normal", {"std": 0.02 / math.sqrt(24)}, None),
    ("uniform", {"low": -0.05, "high": 0.05}, None),
    ("truncated_normal", {"std": 0.02}, None),
]


@pytest.mark.parametrize(("scheme", "params", "fan"), DRAWN, ids=lambda part: str(part))
@pytest.mark.parametrize("shape", [(60, 240), (80, 10, 3, 3)], ids=str)
def test_a_drawn_tensor_is_recognized(scheme, params, fan, shape):
    """Seeds 0 to 2: each a false alarm in at most one of 1,000 cases."""
    for seed in range(3):
        found = identify(ik.get(scheme)(shape, rng=seed, **params))
        assert found.verdict == "fresh"
        assert (scheme, params, fan) in [(m.scheme, pytest.approx(m.params), m.fan) for m in found.matches]
        assert found.ambiguous == (len(found.matches) > 1)


@pytest.mark.parametrize(
    ("name", "law"),
    [(scheme.initializer.__name__, law) for scheme in initializers.SCHEMES for law in scheme.laws],
    ids=str,
)
def test_every_law_of_the_registry_is_named(name, law):
    """Seed 0: each a false alarm in at most one of 1,000 cases."""
    found = identify(ik.get(name)((60, 240), rng=0, **law.params))
    assert (name, law.params, law.fan) in [(m.scheme, m.params, m.fan) for m in found.matches]


OTHERS = [
    (("triang", 0.5), lambda rng, shape: rng.triangular(-1, 0, 1, shape) * math.sqrt(6)),
    (("laplace",), lambda rng, shape: rng.laplace(0, math.sqrt(0.5), shape)),
    (("beta", 2, 2), lambda rng, shape: (rng.beta(2, 2, shape) - 0.5) * math.sqrt(20)),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("distribution", "draw"), OTHERS, ids=["triang", "laplace", "beta"])
def test_a_law_of_scipys_is_named(distribution, draw, dtype, monkeypatch):
    """Seed 0: each a false alarm in at most one of 1,000 cases. It is not named beside He's own."""
    law = initializers.Drawn(distribution, 2.0, "fan_in")
    module = importlib.import_module("initkit.doctor.identify")  # the package's name is the function
    monkeypatch.setattr(module, "_SCALED", [*module._SCALED, ("mine", law)])
    w = (draw(np.random.default_rng(0), (200, 240)) * math.sqrt(2 / 240)).astype(dtype)
    assert "mine" in [m.scheme for m in identify(w).matches]
    assert identify(2 * w).verdict == "not_fresh"
    for name in ("he_normal", "he_uniform"):
        found = [m.scheme for m in identify(ik.get(name)((200, 240), rng=0, dtype=dtype)).matches]
        assert name in found
        assert "mine" not in found


@pytest.mark.parametrize("name", ["bernoulli", "no_law", "describe"])
def test_a_law_is_continuous_and_scipys(name, monkeypatch):
    module = importlib.import_module("initkit.doctor.identify")
    monkeypatch.setattr(module, "_SCALED", [("mine", initializers.Drawn((name, 0.5), 2.0, "fan_in"))])
    with pytest.raises(ValueError, match=f"continuous distribution of scipy.stats, not '{name}'"):
        identify(ik.he_normal((200, 240), rng=0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_initializer_that_contributing_shows_is_named(dtype, monkeypatch):
    """Seed 0: a false alarm in at most one of 1,000 cases."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r" *def he_triangular\(.*?(?= *```)", text, re.DOTALL)[0])
    space = dict(vars(initializers))
    exec(code, space)
    scheme = eval(re.search(r"`(Scheme\(he_triangular[^`]*)`", text)[1], space)
    module = importlib.import_module("initkit.doctor.identify")
    monkeypatch.setattr(
        module, "_SCALED", [*module._SCALED, *(("he_triangular", law) for law in scheme.laws)]
    )
    w = scheme.initializer((60, 240), rng=0, dtype=dtype)
    assert "he_triangular" in [m.scheme for m in identify(w).matches]
    with pytest.raises(ValueError, match="fan must be above 0"):
        scheme.initializer((60, 240), fan=0)


EXACT = [
    ("zeros", (30, 20), {}),
    ("ones", (20,), {}),
    ("constant", (30, 20), {"value": 0.25}),
    ("identity", (30, 20), {}),
    ("identity", (20, 30), {"gain": 0.5}),
    ("dirac", (8, 8, 3, 3), {}),
    ("dirac", (8, 4, 3), {"groups": 2}),
    ("delta_orthogonal", (90, 80, 3, 3), {}),
    ("orthogonal", (50, 200), {}),
    ("orthogonal", (200, 50), {"gain": math.sqrt(2)}),
    ("orthogonal", (64, 8, 3, 3), {}),
    ("sparse", (100, 60), {"sparsity": 0.9, "std": 0.01}),
    ("sparse", (60, 256), {"sparsity": 0.9, "std": 0.01}),
    ("sparse", (256, 60), {"sparsity": 0.9, "std": 0.01, "mode": "fan_out"}),
    ("delta_orthogonal", (90, 80, 4, 2), {}),
    ("delta_orthogonal", (90, 80, 4, 2), {"centre": "lower"}),
]


@pytest.mark.parametrize(("scheme", "shape", "params"), EXACT, ids=str)
def test_what_leaves_no_doubt(scheme, shape, params):
    found = identify(ik.get(scheme)(shape, rng=0, **params))
    assert (found.verdict, found.ambiguous) == ("fresh", False)
    assert (found.matches[0].scheme, found.matches[0].params) == (scheme, pytest.approx(params))


@pytest.mark.parametrize(("scheme", "params", "fan"), DRAWN, ids=lambda part: str(part))
def test_a_match_can_be_drawn_again(scheme, params, fan):
    first = identify(ik.get(scheme)((60, 240), rng=0, **params)).matches[0]
    again = identify(ik.get(first.scheme)((60, 240), rng=9, **first.params))
    assert first.scheme in {m.scheme for m in again.matches}


# Scales that no scheme has at this shape: DeepSeek's std of 0.006, and torchtitan's cut at ±3 among them.
UNNAMED = [
    ("normal", {"std": 0.03}),
    ("normal", {"std": 0.006}),
    ("normal", {"std": 0.06}),
    ("uniform", {"low": -0.013, "high": 0.013}),
    ("uniform", {"low": -0.3, "high": 0.3}),
    ("truncated_normal", {"std": 0.03}),
    ("truncated_normal", {"std": 0.02, "low": -3.0, "high": 3.0}),
]


@pytest.mark.parametrize(("scheme", "params"), UNNAMED, ids=str)
def test_a_draw_of_a_scale_that_no_scheme_has(scheme, params):
    """Seeds 0 to 2: each a false alarm in at most one of 1,000 cases; the scale, to 4 standard errors."""
    for seed in range(3):
        w = ik.get(scheme)((200, 120), rng=seed, **params)
        found = identify(w)
        assert (found.verdict, found.matches, found.reason) == ("fresh_unnamed", (), None)
        assert (found.law.scheme, found.law.params) == (
            scheme,
            pytest.approx(params, rel=4 / math.sqrt(48_000)),
        )
        again = identify(ik.get(found.law.scheme)(w.shape, rng=9, **found.law.params))
        assert again.law.scheme == scheme


@pytest.mark.parametrize("rounded", [lambda w: w, to_bfloat16, np.float16], ids=["", "bfloat16", "float16"])
def test_no_scale_is_refused_for_what_the_sample_gets_wrong_about_it(rounded):
    """120 draws of scales at random: at most 0.1 % are called not fresh, 3 of them once in 3,000 runs."""
    calls = []
    for seed, scale in enumerate(10 ** np.random.default_rng(0).uniform(-2, 0, 120)):
        shape = ((64, 48), (10, 64), (6, 5, 3, 3))[seed % 3]
        law = (ik.normal, ik.truncated_normal, ik.uniform)[seed // 3 % 3]
        arguments = (-scale, scale) if law is ik.uniform else (0.0, scale)
        calls.append(identify(rounded(law(shape, *arguments, rng=seed))).verdict)
    assert calls.count("not_fresh") < 3
    assert calls.count("fresh_unnamed") > 60


@pytest.mark.parametrize("law", SHAPES, ids=lambda law: f"{law.name} {law.cut}")
@pytest.mark.parametrize("n", [FEWEST, 2000])
def test_the_kurtosis_strays_as_said(law, n):
    """Of 4,000 samples p < 0.01 in 40: in more than 80 (twice that, as stated) less than once in 10⁸ runs."""
    rng = np.random.default_rng(0)
    x = rng.uniform(float(law.cdf(-law.bound)), float(law.cdf(law.bound)), (4000, n))
    x = {"uniform": lambda u: u, "normal": scipy.special.ndtri}.get(law.name, lambda u: _inside(law, u))(x)
    assert sum(_kurtosis_p(sample, law) < 0.01 for sample in x) <= 80


def _inside(law, u):
    edge = scipy.special.ndtr(-law.cut)
    return scipy.special.ndtri(edge + u * (1 - 2 * edge))


def test_a_kurtosis_that_is_no_laws():
    """3 − 2·0.8⁴ = 2.18: two near humps, whose mean, spread, tails and distribution pass for He's."""
    rng = np.random.default_rng(0)
    w = math.sqrt(2 / 70) * (0.8 * rng.choice([-1, 1], (30, 70)) + rng.normal(0, 0.6, (30, 70)))
    assert _kurtosis_p(w, NORMAL) < 1e-9
    assert (identify(w).verdict, identify(w).reason) == ("not_fresh", "kurtosis")


def test_a_lone_entry_is_named_with_its_place():
    """As the trunc_normal_ of PyTorch and timm leaves one, at -2 where the std is 0.02."""
    w = ik.normal((192, 768), std=0.02, rng=0)
    w[5, 7] = -2
    found = identify(w)
    assert (found.verdict, found.matches[0].params) == ("fresh", {"std": 0.02})
    assert found.outliers == ((5, 7, -2.0),)
    assert str(found) == "normal(std=0.02), but for -2 at (5, 7)"
    w = ik.uniform((64, 32, 3, 3), -0.3, 0.3, rng=0)
    w[3, 4, 0, 2] = w[60, 0, 0, 0] = 9
    found = identify(w)
    assert (found.verdict, found.law.scheme) == ("fresh_unnamed", "uniform")
    assert found.outliers == ((3, 4 * 9 + 2, 9.0), (60, 0, 9.0))
    w.flat[::1000] = 9  # not lone
    assert (identify(w).verdict, identify(w).outliers) == ("not_fresh", ())


@pytest.mark.parametrize("shape", [(30, 40), (40,)])
def test_beside_a_lone_entry_zeros_are_no_draw(shape):
    w = np.zeros(shape)
    w.flat[7] = 0.3
    assert (identify(w).verdict, identify(w).outliers) == ("not_fresh", ())


@pytest.mark.parametrize("block", [64, 1000, scan.BLOCK])
def test_a_scan_without_its_far_entries_is_that_of_0_in_their_places(block, monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", block)
    w = np.random.default_rng(0).normal(size=(40, 6, 3, 3))
    w[3, 4, 0, 2], w[3, 4, 1, 0], w[39, 5, 2, 2] = 50, -70, 1e20  # beside which the others' squares vanish
    without, clean = scan.scan_array(w).without_far(), w.copy()
    clean[np.abs(w) > 10] = 0
    seen = scan.scan_array(clean)
    for name in ("n", "zeros", "mean", "centred", "squares", "low", "high", "kept"):
        assert getattr(without, name) == pytest.approx(getattr(seen, name), abs=1e-9), name
    for lines in ("neighbours", "by_row", "by_column"):
        for ours, theirs in zip(getattr(without, lines), getattr(seen, lines), strict=True):
            assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [30.0, 1e6, 1e9, 1e12, 1e30])
def test_a_lone_entry_hides_nothing_however_large(value):
    w = ik.he_normal((200, 300), rng=0)
    w[7, 11] = value
    found = identify(w)
    assert (found.verdict, found.scheme) == ("fresh", "he_normal")
    assert found.outliers == ((7, 11, np.float32(value)),)
    w = np.full((64, 64), 0.1)
    w[3, 4] = value
    assert scan.scan_array(w).without_far().std < 0.1


def test_long_rows_in_half_precision_are_orthogonal_by_their_angles_alone():
    """Rounding moves the product of two rows of n entries by epsilon/√n, as chance moves that of a draw's."""
    for seed in range(40):
        w = ik.normal((2, 16384), std=0.01, dtype=np.float16, rng=seed)
        assert identify(w).scheme != "orthogonal", seed
        w = ik.orthogonal((2, 16384), rng=seed).astype(np.float16)
        assert identify(w).scheme == "orthogonal", seed


def test_a_basis_is_no_orthogonal_draw():
    """Its rows are orthogonal as well, but not its entries nearly normal."""
    n = 64
    cosines = np.cos(np.pi / n * np.outer(np.arange(1, n), np.arange(n) + 0.5))
    smooth = np.cumsum(np.random.default_rng(0).standard_normal((500, n)), axis=1)
    components = np.linalg.svd(smooth, full_matrices=False)[2][:16]
    for basis in (cosines, components, ik.identity((n, n))[np.random.default_rng(1).permutation(n)]):
        assert np.allclose(basis @ basis.T, (basis @ basis.T)[0, 0] * np.eye(len(basis)))
        assert identify(basis).verdict == "not_fresh"


def test_a_row_of_zeros_is_a_padding_index_not_a_sparse_draw():
    w = ik.normal((1000, 64), std=1.0, rng=0)
    w[3] = 0
    assert str(identify(w)) == "normal(std=1)"
    assert str(identify(ik.sparse((1000, 64), sparsity=0.001, std=1.0, rng=0))).startswith("sparse(")


def test_what_too_few_entries_can_and_cannot_tell():
    """Of 300 fresh tensors with fewer than FEWEST entries none is named.

    At most 0.1 % are called not fresh: 3 or more of them once in 280 runs of other seeds.
    """
    calls = [
        identify(ik.get(scheme)(shape, rng=seed)).verdict
        for scheme in ("he_normal", "torch_default", "xavier_uniform")
        for shape in ((3, 5), (10, 8), (2, 50), (2, 3, 3, 3))
        for seed in range(25)
    ]
    assert set(calls) <= {"too_few", "not_fresh"}
    assert calls.count("not_fresh") < 3
    # So many it takes until a normal sample within the uniform's bound is rarer than one test's level.
    within = math.erf(math.sqrt(3 / 2))
    assert within**FEWEST < ALPHA / 18 <= within ** (FEWEST - 1)
    assert identify(ik.normal(FEWEST, std=0.02, rng=0)).verdict == "fresh"
    # What no law draws is refused all the same; and equal entries need no more than two.
    assert identify(ik.normal((5, 8), std=0.05, rng=0) + 1).verdict == "not_fresh"
    assert identify(np.float32(0.3)).verdict == "too_few"
    assert identify(np.float32([0.3, 0.3])).matches[0].scheme == "constant"
    assert identify(np.float16([0.5, 0.5])).matches[0].scheme == "constant"
    assert identify(np.zeros(1)).matches[0].scheme == "zeros"
    assert identify(np.array([[0.2, 0.0], [0.1, 0.0]])).verdict == "too_few"  # not sparse


def test_equal_fans_are_ambiguous_never_guessed():
    found = identify(ik.he_normal((100, 100), rng=0))
    assert found.ambiguous
    assert {m.fan for m in found.matches if m.scheme == "he_normal"} == {"fan_in", "fan_out"}
    # Where the fans are equal Xavier's law is LeCun's.
    assert {"xavier_normal", "lecun_normal"} <= {
        m.scheme for m in identify(ik.lecun_normal((100, 100), rng=0)).matches
    }


def test_false_alarms_are_as_rare_as_said():
    """600 fresh tensors, some small: at most 0.1 % are called not fresh.

    6 or more of 600 at that rate: less than once in 25,000 runs of other seeds.
    """
    calls = [
        identify(ik.get(scheme)(shape, rng=seed)).verdict
        for scheme in ("he_normal", "torch_default", "xavier_uniform", "lecun_normal")
        for shape in ((32, 8), (10, 64), (40, 30), (6, 5, 3, 3), (64, 48))
        for seed in range(30)
    ]
    assert calls.count("not_fresh") < 6
    assert ALPHA == 0.001


def _normal(shape=(120, 80), std=0.1):
    return np.random.default_rng(0).normal(0, std, shape)


def _low_rank():
    rng = np.random.default_rng(1)
    return _normal() + 0.3 * np.outer(rng.standard_normal(120), rng.standard_normal(80)) / 10


WORN = {
    "drifted_mean": _normal() + 0.02,
    "tails": np.clip(_normal((300, 300)), -0.34, 0.34),
    "kurtosis": np.random.default_rng(0).standard_t(8, (120, 80)) * 0.1,
    "rows": _normal() * np.geomspace(0.5, 2, 120)[:, None],
    "columns": _normal() * np.geomspace(0.5, 2, 80),
    "low_rank": _low_rank(),
    "neighbours": (_normal((120, 81))[:, 1:] + 0.3 * _normal((120, 81))[:, :-1]) / math.sqrt(1.09),
    "non_finite": np.where(_normal() > 0.3, np.nan, _normal()),
    "too_large": _normal() * 1e200,
}


@pytest.mark.parametrize("reason", WORN)
def test_what_speaks_against_a_fresh_draw(reason):
    found = identify(WORN[reason])
    assert (found.verdict, found.matches, found.reason) == ("not_fresh", (), reason)
    assert reason in REASONS


def test_two_humps_are_no_known_law():
    rng = np.random.default_rng(0)
    humps = rng.choice([-1, 1], (120, 80)) * rng.normal(0.1, 0.02, (120, 80))
    assert identify(humps).reason in ("tails", "kurtosis", "shape")


@pytest.mark.parametrize("start", ["xavier_uniform", "torch_default"])
def test_training_wears_the_edges_of_a_uniform_start(start):
    """Digits, five epochs. A normal start has none, and its change is below the noise: bench_doctor.py."""
    net = ik.MLP([64, 128, 128, 10], "relu", start, rng=0)
    assert {identify(w).verdict for w in net.weights} == {"fresh"}
    history = ik.train(net, ik.datasets.digits(), lr=0.1, epochs=5, rng=0)
    assert history.test_accuracy[-1] > 0.8
    assert {identify(w).verdict for w in net.weights} == {"not_fresh"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes(dtype):
    for scheme in ("he_normal", "xavier_uniform", "orthogonal"):
        found = identify(ik.get(scheme)((128, 300), rng=0, dtype=dtype))
        assert found.matches[0].scheme == scheme


def test_rounded_to_bfloat16():
    """Its bound is rounded too, and may lie above the law's by one part in 256."""
    for scheme in ("he_normal", "xavier_uniform", "torch_default", "orthogonal"):
        w = ik.get(scheme)((128, 300), rng=0)
        assert identify(to_bfloat16(w)).matches[0].scheme == scheme


def test_axes():
    w = ik.he_normal((240, 61), rng=0, in_axis=0, out_axis=1)  # Keras, JAX
    assert [m.fan for m in identify(w, in_axis=-2, out_axis=-1).matches] == ["fan_in"]
    assert [m.fan for m in identify(w).matches] == ["fan_out"]
    kernel = ik.he_normal((3, 3, 20, 50), rng=0, in_axis=-2, out_axis=-1)
    assert [m.fan for m in identify(kernel, in_axis=-2, out_axis=-1).matches] == ["fan_in"]
    between = np.moveaxis(ik.he_normal((50, 20, 3), rng=0), 0, 1)
    assert [m.fan for m in identify(between, in_axis=0, out_axis=1).matches] == ["fan_in"]


def test_a_bias_is_known_by_its_layers_fan():
    bias = ik.torch_default(300, fan_in=50, rng=0)
    (match,) = identify(bias, fan_in=50).matches
    assert (match.scheme, match.params) == ("torch_default", {"fan_in": 50})


def test_large_tensors_are_looked_at_in_parts_the_same_ones_every_time(monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", 2**12)
    monkeypatch.setattr(scan, "LOOKED_AT", 2**15)
    w = ik.he_normal((1000, 200), rng=0)
    seen = scan.scan_array(w)
    assert 2**14 < seen.n <= 2**15
    assert not seen.whole
    assert identify(w).matches[0].scheme == "he_normal"
    assert identify(w) == identify(w)
    one_row = ik.normal((2, 100_000), std=0.02, rng=0)  # longer than a block
    assert identify(one_row).matches[0].params == {"std": 0.02}


@pytest.mark.parametrize("block", [7, 64, scan.BLOCK])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_constant_has_a_std_of_exactly_0(block, dtype, monkeypatch):
    """Wherever the blocks' borders lie, though the mean of equal numbers is rounded."""
    monkeypatch.setattr(scan, "BLOCK", block)
    rng = np.random.default_rng(0)
    for constant in (*rng.lognormal(0, 3, 20), -0.1, 1 / 3, 0.7, 0.0):
        for shape in ((1,), (97,), (1, 50), (9, 13), (30, 4, 3, 3)):
            seen = scan.scan_array(np.full(shape, constant, dtype))
            assert seen.std == 0
            assert seen.centred <= (1e-14 * seen.mean) ** 2 * seen.n
    assert scan.scan_array(np.full((9, 13), 1e200)).std == 0  # whose squares float64 has not


@pytest.mark.parametrize("block", [30, 64, 1000, scan.BLOCK])
@pytest.mark.parametrize("mean", [0.0, 1.0, -1e6])
def test_the_std_keeps_the_digits_beside_a_large_mean(block, mean, monkeypatch):
    """Held to exact fractions. A block's mean is off by 1e-15 of itself at most: 1e-9 of the std at -1e6,
    where a mean square minus a squared mean is off by 1e-4."""
    monkeypatch.setattr(scan, "BLOCK", block)
    for seed, shape in enumerate([(97,), (40, 30), (1, 777), (777, 2)]):
        w = np.random.default_rng(seed).normal(mean, 1.0, shape)
        exact = statistics.pvariance(map(fractions.Fraction, w.ravel().tolist()))
        assert scan.scan_array(w).std == pytest.approx(float(exact) ** 0.5, rel=1e-12 + 1e-15 * abs(mean))
    assert scan.scan_array(np.array([1e200, -1e200])).std == math.inf


def test_recurrent_layers_as_pytorch_draws_them():
    """±1/√hidden: of 64 units an LSTM has 256 rows, and its bias 256 entries."""
    for seed, shape in enumerate([(256, 40), (256,)]):
        assert {"low": -0.125, "high": 0.125} in [
            m.params for m in identify(ik.uniform(shape, -1 / 8, 1 / 8, rng=seed)).matches
        ]
    found = identify(ik.uniform((192, 40), -1 / 8, 1 / 8, rng=0), fan_in=64)  # of a GRU
    assert str(found.matches[0]) == "torch_default(fan_in=64)"
    assert found.ambiguous  # three times 64 are the rows: it is LeCun's by fan_out, too


def test_alike_lines():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((50, 20))
    lines = lambda w: scan.scan_array(w).by_row  # noqa: E731
    assert multiples(lines(w), 20) is None
    w[[7, 31]] = w[3], -2.5 * w[3]
    count, first, second = multiples(lines(w.astype(np.float32)), 20)
    assert count == 3
    assert {first, second} < {3, 7, 31}
    assert multiples(lines(np.ones((4, 6))), 6)[0] == 4
    assert multiples(lines(rng.standard_normal((1000, 2))), 2) is None  # in a plane directions are soon alike
    assert multiples(lines(np.zeros((4, 6))), 6) is None
    # Between two equal lines stands another of the same sum.
    assert multiples(lines(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])), 2) == (2, 0, 2)


@pytest.mark.parametrize("rounded", [to_bfloat16, np.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("units_last", [False, True])
def test_multiples_are_alike_after_they_were_rounded(rounded, units_last):
    found = lambda w: list(  # noqa: E731
        wrong_by_itself(
            "w", w.shape, scan.scan_array(rounded(w.T if units_last else w), units_last), units_last
        )
    )
    for seed, shape in enumerate([(60, 9), (600, 30), (40, 700)]):  # short lines, and more than are kept
        w = ik.he_normal(shape, rng=seed)
        assert found(w) == []
        w[shape[0] // 2 :] = -0.3 * w[: shape[0] // 2]
        (finding,) = found(w)
        assert finding.kind == "symmetric_rows"
        assert finding.fields["second"] == finding.fields["first"] + shape[0] // 2
    assert found(ik.he_normal((300, 2), rng=0)) == []  # of such lines some are alike by chance
    few = ik.sparse((300, 3000), sparsity=0.999, rng=0)  # alike where they were kept, not elsewhere
    assert found(few) == []


def test_a_masked_entry_is_no_number():
    w = np.ma.masked_greater(ik.he_normal((40, 30), rng=0), 0.3)
    with pytest.raises(TypeError, match=r"some are masked: pass array\.compressed\(\)"):
        identify(w)
    assert identify(w.compressed()).verdict == "not_fresh"
    assert identify(np.ma.array(ik.he_normal((40, 30), rng=0))).matches[0].scheme == "he_normal"


def test_refused():
    with pytest.raises(ValueError, match=r"array must have an entry, not shape \(0, 3\)"):
        identify(np.zeros((0, 3)))
    with pytest.raises(TypeError, match="array must hold real numbers, not complex128"):
        identify(np.zeros((2, 2), complex))
    with pytest.raises(TypeError, match="array must hold real numbers, not object"):
        identify([None, 1])
    with pytest.raises(ValueError, match="out_axis"):
        identify(np.zeros((2, 2)), out_axis=5)
    assert identify([[1, 0], [0, 1]]).matches[0].scheme == "identity"
    assert identify(3.0).verdict == "too_few"


@pytest.mark.parametrize("fan_in", [0, -3, float("nan"), float("inf"), "64", True])
def test_a_fan_that_is_none(fan_in):
    with pytest.raises(ValueError, match="fan_in must be a positive number"):
        identify(ik.zeros(8), fan_in=fan_in)


@pytest.mark.parametrize("seed", range(6))
def test_the_reason_is_not_the_end_of_a_law_whose_scale_is_a_guess(seed):
    """Half of all uniform draws pass the end √3·rms a little; what speaks against this one is its order."""
    w, rng = ik.uniform((64, 1600), rng=seed), np.random.default_rng(seed)
    alike = np.where(
        rng.random((64, 800)) < 0.53, 1, -1
    )  # in sign, more than half of all pairs of neighbours
    w[:, 1::2] = np.abs(w[:, 1::2]) * np.sign(w[:, ::2]) * alike
    assert identify(w).reason == "neighbours"
