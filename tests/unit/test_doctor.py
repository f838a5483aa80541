"""identify: which initializer a tensor is a sample of."""

import fractions
import math
import statistics

import numpy as np
import pytest

import initkit as ik
from initkit import initializers
from initkit.doctor import identify, scan
from initkit.doctor.audit import wrong_by_itself
from initkit.doctor.identify import ALPHA, REASONS
from initkit.doctor.symmetry import multiples

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
    "scale": _normal(std=0.0374),
    "tails": np.random.default_rng(0).standard_t(3, (120, 80)) * 0.1 / math.sqrt(3),
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
    assert identify(humps).reason in ("tails", "shape")


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


def to_bfloat16(w):
    bits = w.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


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
    assert identify(3.0).matches[0].scheme == "constant"


@pytest.mark.parametrize("fan_in", [0, -3, float("nan"), float("inf"), "64", True])
def test_a_fan_that_is_none(fan_in):
    with pytest.raises(ValueError, match="fan_in must be a positive number"):
        identify(ik.zeros(8), fan_in=fan_in)
