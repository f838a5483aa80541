"""Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2016, *Deep information propagation* (arXiv 1611.01232)."""

import functools

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()


def tanh_net(widths, w2, b2, seed):
    init = functools.partial(ik.variance_scaling, scale=w2, distribution="normal")
    return ik.MLP(widths, "tanh", init, functools.partial(ik.normal, std=b2**0.5), rng=seed)


@pytest.mark.parametrize(
    ("b2", "w2"), [(0, 1), (0.01, 1.424), (0.05, 1.761), (0.1, 1.986), (0.3, 2.505), (1, 3.443)]
)
def test_the_critical_line(claim, b2, w2):
    claim(
        f"section 3, the critical line: σ_w² at σ_b² = {b2}",
        w2,
        ik.critical_sigma_w("tanh", b2**0.5) ** 2,
        0.0005,
    )


@pytest.mark.parametrize(("b2", "w2"), [(0.05, 1.761), (0.3, 2.505)])
def test_the_line_parts_the_map(claim, b2, w2):
    """The whole map at once: σ_w² by steps of 0.001, the largest that is still ordered."""
    steps = np.arange(1000, 3000) / 1000
    names = ik.phase("tanh", np.sqrt(steps), b2**0.5).phase
    assert (np.diff(names == "ordered") != 0).sum() == 1
    claim(
        f"section 3, order ends and chaos begins on a map, σ_b² = {b2}: σ_w²",
        w2, steps[names == "ordered"][-1], 0.0015,
    )  # fmt: skip


def test_relu_has_one_critical_point(claim):
    claim(
        "section 3's equations for ReLU, its critical point: σ_w² at σ_b = 0",
        2,
        ik.critical_sigma_w("relu") ** 2,
        1e-9,
    )
    with pytest.raises(ValueError, match="no edge of chaos"):
        ik.critical_sigma_w("relu", 0.1)


@pytest.mark.parametrize(("w2", "xi"), [(1.2, 5.9), (1.5, 15.8), (1.6, 27.0), (1.7, 74.9)])
def test_depth_scales(claim, w2, xi):
    claim(f"eq. 9: ξ_c at σ_b² = 0.05, σ_w² = {w2}", xi, ik.phase("tanh", w2**0.5, 0.05**0.5).xi_c, 0.05)


@pytest.mark.slow
def test_correlations_fade_as_predicted(claim):
    """Figure 2: 1 − c_l of a real net falls by exp(−1/ξ_c) a layer. Five nets of 1,000 units, layers 10 to
    50, from a correlation of 0.95, as the law is that of small distances. A net's spread is 1.2."""
    found = []
    for seed in range(5):
        net = tanh_net([1000] * 52, 1.5, 0.05, seed)
        rng = np.random.default_rng(seed)
        x = 0.95**0.5 * rng.standard_normal((1, 1000)) + 0.05**0.5 * rng.standard_normal((20, 1000))
        apart = 1 - ik.measure(net, x).correlation
        found.append(-1 / np.polyfit(np.arange(10, 50), np.log(apart[10:50]), 1)[0])
    claim(
        "figure 2: ξ_c measured, σ_b² = 0.05, σ_w² = 1.5",
        15.79,
        np.mean(found),
        1.6,
        "mean of five nets of 1,000 units",
    )


@pytest.mark.slow
def test_trainable_depth(claim):
    """Figure 5: nets train to about 6 ξ_c. On the digits, at 3 ξ_c and at 10 ξ_c.

    To train is to be right more often than not. At the limit itself it is rounding that decides, so that
    nothing is claimed of 6 ξ_c."""
    for w2 in (1.0, 1.2):
        xi = ik.phase("tanh", w2**0.5, 0.05**0.5).xi_c
        for d, trains, edges in ((3, "trains", (0.5, 1)), (10, "does not", (0, 0.5))):
            net = tanh_net([64, *[100] * round(d * xi), 10], w2, 0.05, 0)
            accuracy = ik.train(net, DATA, lr=0.05, epochs=6, rng=0).test_accuracy[-1]
            how = f"digits, {round(d * xi)} layers of 100 units, 6 epochs"
            claim(f"figure 5: accuracy at {d} ξ_c, σ_w² = {w2}", trains, accuracy, edges, how)
