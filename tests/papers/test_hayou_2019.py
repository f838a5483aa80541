"""Hayou, Doucet & Rousseau 2019, *On the impact of the activation function* (arXiv 1902.06853).

On the edge of chaos correlations still run to 1, as a power of the depth and not exponentially: for ReLU as
9π²/(2l²), for smooth functions as κ/l (the paper's introduction and proposition 3).
"""

import numpy as np
import pytest

import initkit as ik
from initkit import activations, theory


@pytest.fixture(scope="module")
def apart():
    """1 − c_l of ReLU and tanh on their edges (tanh's at σ_b² = 0.05), from two orthogonal inputs."""
    sigma_w = ik.critical_sigma_w("tanh", 0.05**0.5)
    return {
        "relu": 1 - ik.predict(3000, 10, "relu", 2**0.5).correlation,
        "tanh": 1 - ik.predict(3000, 10, "tanh", sigma_w, 0.05**0.5).correlation,
    }


def test_relu_runs_to_one_as_the_square_of_the_depth(claim, apart):
    """With u = (1 − c)^(−1/2) the arc-cosine map is u' = u + s/2 + 3s²/(8u) + …, s = 2√2/(3π): l²(1 − c)
    lies below its limit 4/s² by 3 ln(l)/l of it, 0.8 % at l = 3,000. The bounds are twice that."""
    claim(
        "ReLU on the edge of chaos: l²·(1 − c_l) → 9π²/2, at l = 3,000",
        9 * np.pi**2 / 2, 3000**2 * apart["relu"][-1], 9 * np.pi**2 / 2 * 6 * np.log(3000) / 3000,
        "derived here, too: 4/s², s = 2√2/(3π)",
    )  # fmt: skip


@pytest.mark.parametrize(("activation", "power"), [("relu", -2), ("tanh", -1)])
def test_the_powers(claim, apart, activation, power):
    """From layer 300 to 3,000. The next order, 3 ln(l)/l at most, changes the slope by 0.02 to 0.03."""
    claim(
        f"{activation} on the edge of chaos: power of l with which 1 − c_l falls",
        power, np.log10(apart[activation][2999] / apart[activation][299]), 0.06,
        "1/l for smooth functions: proposition 3" if power == -1 else "",
    )  # fmt: skip


def test_smooth_functions_carry_deeper(claim, apart):
    claim(
        "proposition 3, smooth functions carry deeper than ReLU: 1 − c_l at l = 100, tanh over ReLU",
        "more", apart["tanh"][99] / apart["relu"][99], (10, np.inf), "6.2/l over 44/l² in the limit: 14",
    )  # fmt: skip


@pytest.mark.parametrize(("activation", "second"), [
    ("tanh", lambda x: 2 * np.tanh(x) / np.cosh(x) ** 2),
    ("erf", lambda x: 4 / np.pi**0.5 * x * np.exp(-x * x)),
])  # fmt: skip
def test_the_constant_of_smooth_functions(claim, activation, second):
    """Near 1 the c-map is 1 − χ₁(1 − c) + ½σ_w² q E[f''²](1 − c)²: on the edge κ = 2E[f'²]/(q E[f''²]). The
    next order is ln(l)/l of κ times a constant of order 1: 0.3 % at l = 3,000; the bounds are 2 %."""
    sigma_w = ik.critical_sigma_w(activation, 0.3)
    q = ik.phase(activation, sigma_w, 0.3).q_star
    slope, _ = theory.slope_moments(activation, q)
    kappa = 2 * slope / (q * activations.expectation(lambda z: second(q**0.5 * z), 2))
    c = ik.predict(3000, 10, activation, sigma_w, 0.3, q0=(q - 0.09) / sigma_w**2).correlation
    claim(
        f"{activation} on the edge of chaos, σ_b = 0.3: l·(1 − c_l) → κ, at l = 3,000",
        kappa, 3000 * (1 - c[-1]), 0.02 * kappa,
        "the rate is the paper's; κ = 2E[f'²]/(q E[f''²]) is derived here",
    )  # fmt: skip
