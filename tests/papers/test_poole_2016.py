"""Poole, Lahiri, Raghu, Sohl-Dickstein & Ganguli 2016, *Exponential expressivity* (arXiv 1606.05340)."""

import numpy as np
import pytest

import initkit as ik

WHY = "12.6041, 2.3673 by adaptive integration; Gauss–Hermite of 128 nodes still gives 12.612, 2.317"


@pytest.mark.parametrize(
    ("sigma_w", "q_star", "chi_1"), [(1.3, 0.607, 0.940), (2.5, 4.079, 1.585), (4.0, 12.603, 2.375)]
)
def test_fixed_points_of_figure_1(claim, sigma_w, q_star, chi_1):
    """tanh, σ_b = 0.3, the three networks of figures 1 and 2; eq. 3, 7."""
    there = ik.phase("tanh", sigma_w, 0.3)
    why = WHY if sigma_w == 4 else ""
    claim(f"eq. 3, nets of figure 1: q* at σ_w = {sigma_w}", q_star, there.q_star, 0.0015, why)
    claim(
        f"eq. 7, nets of figure 1: χ₁ at σ_w = {sigma_w}",
        chi_1,
        there.chi_1,
        0.01 if sigma_w == 4 else 0.0006,
        why,
    )


@pytest.mark.parametrize("sigma_w", [1.3, 2.5, 4.0])
def test_a_net_settles_there(claim, sigma_w):
    """Figure 1 C: the dots of a net of 1,000 units lie on the theory's line. Ten layers average the
    fluctuation of a layer, √(2/1000) and what it inherits: 5 % are at least four standard errors."""
    init = lambda shape, *, rng, dtype: ik.lecun_normal(shape, rng=rng, dtype=dtype) * dtype.type(sigma_w)  # noqa: E731
    bias = lambda shape, *, rng, dtype: ik.normal(shape, std=0.3, rng=rng, dtype=dtype)  # noqa: E731
    net = ik.MLP([1000] * 22, "tanh", init, bias, rng=0)
    x = np.random.default_rng(0).standard_normal((20, 1000))
    q_star = ik.phase("tanh", sigma_w, 0.3).q_star
    claim(
        f"figure 1: measured q, layers 11 to 20, over q*, σ_w = {sigma_w}",
        1.0,
        ik.measure(net, x).q[10:20].mean() / q_star,
        0.05,
    )
