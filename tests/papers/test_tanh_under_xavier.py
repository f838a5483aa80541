"""Tanh is never kept by Xavier: what follows from Poole et al. 2016, eq. 3, for the two gains in use.

At constant width Xavier gives tanh σ_w = 1, PyTorch's table 5/3.
"""

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()
X, Y = DATA.x_train[:50], DATA.y_train[:50]


@pytest.fixture(scope="module")
def xavier():
    return ik.MLP([64, *[1000] * 50, 10], "tanh", "xavier_normal", rng=0)


def test_xavier_fades_as_one_over_two_l(claim, xavier):
    """tanh(z)² = z² − ⅔z⁴ + …, so q_{l+1} = q_l − 2q_l² + …, whose solution is q_l ≈ 1/(2l)."""
    predicted = ik.predict(1000, 1000, "tanh", sigma_w=1.0)
    claim("eq. 3, σ_w = 1: 2l·q_l at l = 1000", 1.0, 2000 * predicted.q[-1], 0.01, "1 in the limit of depth")
    # One net of 1,000 units: its band at layer 50 is 13 % to either side.
    claim(
        "eq. 3, σ_w = 1: std of layer 50's activations, times √(2·50)",
        1.0,
        np.sqrt(100 * ik.measure(xavier, X).activation_var[49]),
        0.13,
    )


def test_five_thirds_is_slightly_chaotic(claim, xavier):
    there = ik.phase("tanh", 5 / 3)
    predicted = ik.predict(100, 1000, "tanh", sigma_w=5 / 3)
    claim(
        "eq. 3, gain 5/3: std of the activations at the fixed point",
        0.6513,
        np.sqrt(predicted.activation_var[-2]),
        5e-5,
    )
    claim("eq. 7, gain 5/3: χ₁", 1.21, there.chi_1, 0.005)
    seen = ik.measure(ik.network.scaled(xavier, 5 / 3, "tanh"), X, Y)
    claim(
        "eq. 3, gain 5/3: std of layer 50's activations, measured",
        0.6513,
        np.sqrt(seen.activation_var[49]),
        0.02,
    )
    growth = (seen.grad_var[9] / seen.grad_var[48]) ** (1 / 39)
    claim("eq. 7, gain 5/3: growth of the gradient's variance a layer, measured", 1.21, growth, 0.02)
