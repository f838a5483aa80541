"""Poole, Lahiri, Raghu, Sohl-Dickstein & Ganguli 2016, *Exponential expressivity* (arXiv 1606.05340)."""

import functools

import numpy as np
import pytest

import initkit as ik
from initkit import signals, theory

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


@pytest.mark.parametrize(("sigma_w", "chi_1"), [(1.3, 0.940), (2.5, 1.585)])
def test_chi_is_the_slope_of_the_correlation_map(claim, sigma_w, chi_1):
    """Eq. 7: of eq. 5 at c = 1. The difference quotient takes half of the curvature, 2e-4 of χ₁, with it."""
    step = 1e-4
    c = theory.correlation_map("tanh", 1 - step, sigma_w, 0.3)
    claim(
        f"eq. 5 and 7, nets of figure 1: slope of the correlation map at c = 1, σ_w = {sigma_w}",
        chi_1, (1 - c) / step, 0.002,
    )  # fmt: skip


@pytest.mark.parametrize("sigma_w", [2.5, 4.0])
def test_inputs_settle_at_an_angle(claim, sigma_w):
    """Section 3: in the chaotic phase c* < 1. A net of 300 units, layers 10 to 15, 20 inputs:
    over nets the mean cosine deviates by 0.01, and is up to 0.015 lower at this width."""
    c_star, q_star = 0.5, ik.phase("tanh", sigma_w, 0.3).q_star
    for _ in range(200):
        c_star = theory.correlation_map("tanh", c_star, sigma_w, 0.3, q_star)
    init = functools.partial(ik.variance_scaling, scale=sigma_w**2, distribution="normal")
    net = ik.MLP([300] * 16, "tanh", init, functools.partial(ik.normal, std=0.3), rng=0)
    cosines = signals.cosines(net, np.random.default_rng(0).standard_normal((20, 300)))[9:]
    found = cosines[:, ~np.eye(20, dtype=bool)].mean()
    claim(
        f"section 3, eq. 5: measured cosine, layers 10 to 15, less c*, σ_w = {sigma_w}",
        0, found - c_star, 0.08, f"c* = {c_star:.3f}",
    )  # fmt: skip
