"""Functions, slopes, and the gain, held to values that do not come from our code."""

import numpy as np
import pytest

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
}


@pytest.mark.parametrize("name", GAINS, ids=str)
def test_gain(name):
    assert gain(name) == pytest.approx(GAINS[name], abs=1e-6)


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
        (lambda z: 0 * z, ValueError, r"E\[f\(z\)\^2\] of '<lambda>' is 0"),
        (lambda z: np.exp(z**2), ValueError, "is inf"),
        (lambda z: z * np.nan, ValueError, "is inf"),
    ],
)
def test_bad_activations_are_told(bad, error, message):
    with pytest.raises(error, match=message):
        gain(bad)
