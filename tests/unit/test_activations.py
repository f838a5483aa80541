"""Functions, slopes, and the gain, held to values that do not come from our code."""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

from initkit import activations, gain

# 1/√E[f(z)²] by arbitrary-precision quadrature; relu, leaky_relu and selu are closed forms.
GAINS = {
    "identity": 1.0,
    "relu": 2**0.5,
    ("leaky_relu", 0.2): (2 / 1.04) ** 0.5,
    "tanh": 1.592537,
    "sigmoid": 1.846229,
    "gelu": 1.533530,
    "silu": 1.676532,
    "elu": 1.245198,
    "softplus": 1.041867,
    "mish": 1.486848,
    "selu": 1.0,
    "erf": 1.467167,
    "softsign": 2.337533,
    "relu6": 1.414214,
    "hardswish": 1.736657,
}


@pytest.mark.parametrize("name", GAINS, ids=str)
def test_gain(name):
    assert gain(name) == pytest.approx(GAINS[name], abs=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", activations.NAMES)
def test_both_at_once_are_what_each_is_alone(name, dtype):
    function, x = activations.get(name), np.linspace(-30, 30, 6001).astype(dtype)
    with np.errstate(all="ignore"):
        values, slopes = function.both(x)
        assert values.dtype == slopes.dtype == dtype
        np.testing.assert_array_equal(values, function.f(x))
        np.testing.assert_array_equal(slopes, function.df(x))


@pytest.mark.parametrize("kink", [0.1234, -1.7, 2.5, 4.3])
@pytest.mark.parametrize("kind", ["jump", "kink"])
def test_gain_of_a_callable_with_a_kink_anywhere(kink, kind):
    """Closed forms of E[1(z > c)²] and E[max(z − c, 0)²]."""
    tail, density = stats.norm.sf(kink), stats.norm.pdf(kink)
    if kind == "jump":
        found, second_moment = gain(lambda z: (z > kink) * 1.0), tail
    else:
        found = gain(lambda z: np.maximum(z - kink, 0))
        second_moment = (1 + kink**2) * tail - kink * density
    assert found == pytest.approx(second_moment**-0.5, rel=1e-9)


def test_gain_of_callables_that_wiggle():
    """E[|sin 20z|²] = (1 − e^−800)/2, and E[⌊z⌋²] is a sum over floors."""
    assert gain(lambda z: np.abs(np.sin(20 * z))) == pytest.approx(2**0.5, rel=1e-9)
    floors = np.arange(-14, 14)
    second_moment = (floors**2 * np.diff(stats.norm.cdf(np.arange(-14, 15)))).sum()
    assert gain(np.floor) == pytest.approx(second_moment**-0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "torchs"),
    [
        ("tanh", 5 / 3), ("selu", 0.75), ("sigmoid", 1), ("identity", 1), ("relu", 2**0.5),
        ("leaky_relu", (2 / (1 + 0.01**2)) ** 0.5), (("leaky_relu", 0.2), (2 / 1.04) ** 0.5),
    ],
)  # fmt: skip
def test_torchs_convention(name, torchs):
    assert gain(name, convention="torch") == pytest.approx(torchs, rel=1e-12)


@pytest.mark.parametrize("convention", ["exact", "torch"])
def test_other_names(convention):
    """torch.nn.init.calculate_gain's for what has no activation, and Keras' and JAX's for silu."""
    kinds = [f"conv{way}{n}d" for way in ("", "_transpose") for n in (1, 2, 3)]
    for name in ("linear", *kinds):
        assert gain(name, convention=convention) == 1
        assert activations.get(name) is activations.identity
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.get("hard_silu") is activations.hardswish
    assert not set(activations.ALIASES) & set(activations.NAMES)


def test_conventions_that_are_not_there_are_told():
    with pytest.raises(ValueError, match="no gain for 'gelu'; it has identity"):
        gain("gelu", convention="torch")
    with pytest.raises(ValueError, match="convention must be 'exact' or 'torch', not 'keras'"):
        gain("relu", convention="keras")


def test_every_named_activation_has_its_gain_tested():
    assert set(activations.NAMES) - {"leaky_relu"} == {n for n in GAINS if isinstance(n, str)}


@pytest.mark.parametrize("name", activations.NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_function_and_slope_keep_dtype_and_shape(name, dtype):
    x = np.linspace(-3, 3, 12, dtype=dtype).reshape(3, 4)
    activation = activations.get(name)
    for result in (activation.f(x), activation.df(x)):
        assert result.dtype == dtype
        assert result.shape == x.shape


@pytest.mark.parametrize("name", activations.NAMES)
def test_float32_is_float64_rounded(name):
    """To some units in the last place of 1 or |x|, the largest numbers on the way."""
    x = np.r_[np.linspace(-16, 16, 32_001), np.geomspace(1e-6, 1e-3, 99), -50, 50].astype(np.float32)
    for now, exact in zip(*(activations.get(name).both(x.astype(t)) for t in "fd"), strict=True):
        assert now.dtype == np.float32
        np.testing.assert_array_less(np.abs(now - exact), 5 * 2.0**-24 * np.maximum(1, np.abs(x)))


@pytest.mark.parametrize("name", activations.NAMES)
def test_slope_is_the_functions(name):
    x = np.linspace(-4.013, 4, 500)  # the kink at 0 is not among them
    activation = activations.get(name)
    h = 1e-6
    numeric = (activation.f(x + h) - activation.f(x - h)) / (2 * h)
    np.testing.assert_allclose(activation.df(x), numeric, atol=1e-7)


def test_a_callable_gets_a_slope():
    activation = activations.get(lambda x: x**2)
    x = np.array([-1.0, 0.5, 3.0], np.float32)
    assert activation.df(x).dtype == np.float32
    np.testing.assert_allclose(activation.df(x), 2 * x, rtol=1e-4)


@pytest.mark.parametrize("name", activations.NAMES)
def test_large_inputs_do_not_overflow_where_the_function_does_not(name):
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(activations.get(name).f(np.array([-1e4, 1e4], np.float32))).all()


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ("rleu", ValueError, "activation: 'rleu' is not known.*relu"),
        (3, TypeError, "activation must be a name.*not 3"),
        (("elu", 2), TypeError, "activation must be a name"),
        (("leaky_relu", float("nan")), ValueError, "slope a must be a finite number"),
        (("leaky_relu", True), ValueError, "slope a must be a finite number, not True"),
        ("convld", ValueError, "'convld' is not known.*swish"),
        (lambda z: 0 * z, ValueError, r"'<lambda>' has no gain: E\[f\(z\)\^2\] is 0"),
        (lambda z: np.exp(z**2), ValueError, "'<lambda>' has no gain: .*not finite"),
        (lambda z: z * np.nan, ValueError, "'<lambda>' has no gain: .*not finite"),
        (lambda z: 1.0, ValueError, r"returned shape \(\)"),
        (math.tanh, TypeError, "'tanh' must take and return an array"),
        (lambda z: z * 1j, TypeError, "real numbers: it returns complex128"),
    ],
)
def test_bad_activations_are_told(bad, error, message):
    with pytest.raises(error, match=message):
        gain(bad)


# Found by trying to break it ------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [1.0012, 3.0012, 3.2512, 4.0012, 0.5, -1.03125, 0.7654321])
def test_a_jump_may_be_anywhere(jump):
    """Also between a panel's border and the first node beside it, where no Gaussian rule looks."""
    assert activations.gain(lambda z: (z > jump) * 1.0) == pytest.approx(
        stats.norm.sf(jump) ** -0.5, rel=1e-9
    )


def test_a_narrow_bump_is_seen():
    found = activations.gain(lambda z: z + 30 * (abs(z - 0.031) < 1e-3))
    assert found == pytest.approx(0.7627, abs=1e-4)


def test_a_thousandth_is_not_too_narrow():
    """Bumps a thousandth wide anywhere, up to 26 times as high as the rest; E[f²] in closed form."""
    rng = np.random.default_rng(0)
    for middle in (0.5397636, *rng.uniform(-4, 4, 40)):
        low, high = middle - 5e-4, middle + 5e-4
        share = abs(stats.norm.sf(abs(low)) - stats.norm.sf(abs(high)))
        found = activations.gain(lambda z: 1 + 25 * ((z > low) & (z < high)))  # noqa: B023
        assert found == pytest.approx((1 + (26**2 - 1) * share) ** -0.5, rel=1e-9)


def test_no_two_nodes_are_further_apart_than_is_said():
    """Those of a panel, on [0, 1]: Gauss' over the whole, and both rules' over its halves."""
    unit = [(nodes + 1) / 2 for nodes in (activations._GAUSS[0], activations._LOBATTO[0])]
    nodes = np.sort(
        np.concatenate([unit[0], *[(unit[rule] + half) / 2 for rule in (0, 1) for half in (0, 1)]])
    )
    assert nodes[0] == 0
    assert nodes[-1] == 1
    assert np.diff(nodes).max() * np.diff(activations._PANELS).max() < 0.00072


@pytest.mark.parametrize(("growth", "within"), [(1 / 3, 1e-12), (0.3, 1e-12), (0.4, 7e-9)])
def test_what_lies_beyond_the_reach(growth, within):
    """E[exp(a·z²)] = 1/√(1 − 2a)."""
    found = activations.expectation(lambda z: np.exp(growth * z * z))
    assert abs(found * math.sqrt(1 - 2 * growth) - 1) < within


def test_what_has_its_weight_beyond_the_reach_is_refused():
    with pytest.raises(ValueError, match=r"not finite, or lies beyond \|z\| = 13"):
        activations.expectation(lambda z: np.exp(0.45 * z * z))


@pytest.mark.parametrize(
    ("function", "gain"),
    [
        (lambda z: (z > 0).astype(np.int8) * np.int8(20), 2**0.5 / 20),
        (lambda z: z.astype(np.float16) * np.float16(100), 0.01),
        (lambda z: np.tanh(z.astype(np.float32)), 1.592537),
    ],
)
def test_what_a_callable_returns_is_squared_in_float64(function, gain):
    assert activations.gain(function) == pytest.approx(gain, rel=2e-5)


def test_a_callable_may_write_to_its_argument():
    def in_place(z):
        z[np.abs(z) < 1] = 1.0
        return z

    assert activations.gain(in_place) == activations.gain(lambda z: in_place(z.copy()))


def test_a_noisy_callable_ends():
    rng = np.random.default_rng(0)
    assert activations.gain(lambda z: z + 1e-3 * rng.standard_normal(z.shape)) == pytest.approx(1, abs=1e-3)


def test_a_callable_that_changes_is_not_remembered():
    class Slope:
        a, __hash__ = 0.2, None

        def __call__(self, z):
            return np.where(z > 0, z, self.a * z)

    slope = Slope()
    before = activations.gain(slope)
    slope.a = 1.0
    assert (before, activations.gain(slope)) == pytest.approx(((2 / 1.04) ** 0.5, 1.0))


def test_a_named_activation_travels_by_its_name():
    assert pickle.loads(pickle.dumps(activations.gelu)) is activations.gelu
