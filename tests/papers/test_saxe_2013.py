"""Saxe, McClelland & Ganguli 2013 (arXiv 1312.6120) and Pennington et al. 2017 (arXiv 1711.04735).

What a product of L random matrices does to a vector, and how long a deep linear net takes to learn.
"""

import numpy as np
import pytest
from scipy import special
from scipy.sparse.linalg import svds

import initkit as ik

DATA = ik.datasets.digits()


def product(init, depth: int, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    total = np.eye(n)
    for _ in range(depth):
        total = init((n, n), rng=rng, dtype=np.float64) @ total
    return total


def test_largest_singular_value(claim):
    """(L + 1)^{L+1}/L^L is where the spectrum of L wide Gaussian matrices with n·Var[W] = 1 ends.

    At finite n the largest value lies below: by 8 % for ten factors of n = 500, 6 % at 1,000. The mean of
    four products has a standard error of 3 % for ten factors, less for fewer.
    """
    edges = {1: 4, 2: 6.75, 5: 14.93, 10: 28.53}
    largest = {depth: [] for depth in edges}
    for seed in range(4):
        rng, total = np.random.default_rng(seed), None
        for depth in range(1, 11):
            factor = ik.lecun_normal((1000, 1000), rng=rng)
            total = factor if total is None else factor @ total
            if depth in edges:
                largest[depth].append(svds(total, 1, return_singular_vectors=False, rng=0)[0] ** 2)
    for depth, edge in edges.items():
        assert (depth + 1) ** (depth + 1) / depth**depth == pytest.approx(edge, abs=0.005)
        claim(
            f"Pennington et al. 2017, section 2.4: largest s² of the product of {depth} Gaussian matrices",
            edge, np.mean(largest[depth]), 0.1 * edge,
            "mean of four, n = 1,000, n·Var[W] = 1; the law is that of infinite n",
        )  # fmt: skip


def test_orthogonal_products_are_isometries(claim):
    values = np.linalg.svd(product(ik.orthogonal, 10, 300, seed=0), compute_uv=False)
    assert values.max() - values.min() < 1e-9
    claim(
        "Pennington et al. 2017, section 2.4: largest s² of the product of 10 orthogonal matrices",
        1.0,
        values[0] ** 2,
        1e-9,
    )


def epochs_to_learn(init: str, depth: int) -> np.ndarray:
    """Epochs until the training loss is below 0.5, three seeds. The rate falls as 1/depth (section 2.2)."""
    found = []
    for seed in range(3):
        net = ik.MLP([64, *[64] * (depth - 1), 10], "identity", init, rng=seed)
        steps = ik.training.iterate(net, DATA, lr=0.1 / depth, epochs=60, rng=seed)
        found.append(next(e for e, h in enumerate(steps) if h.train_loss[-1] < 0.5))
    return np.array(found)


@pytest.mark.slow
def test_learning_time_under_depth(claim):
    """Figure 6 and section 3.1: orthogonal starts make the learning time independent of depth."""
    slower = {}
    for init in ("lecun_normal", "orthogonal"):
        shallow, deep = epochs_to_learn(init, 5), epochs_to_learn(init, 50)
        slower[init] = (
            deep.mean() / shallow.mean(),
            f"digits; epochs {shallow.tolist()} at 5 layers, {deep.tolist()} at 50, by seed",
        )
    claim(
        "section 3.1, figure 6: learning time, 50 linear layers over 5, scaled Gaussian",
        "grows with depth",
        slower["lecun_normal"][0],
        (2, np.inf),
        slower["lecun_normal"][1],
    )
    claim(
        "section 3.1, figure 6: learning time, 50 linear layers over 5, orthogonal",
        "independent of depth",
        slower["orthogonal"][0],
        (0.5, 1.5),
        slower["orthogonal"][1],
    )


def test_modes_are_learned_one_after_another(claim):
    """A linear net of two matrices, whitened inputs, balanced small weights: a mode of the task of strength s
    grows as u(t) = s·e^{2st}/(e^{2st} − 1 + s/u₀), and is half learned at t = log(s/u₀ − 1)/(2s) (τ = 1).

    Gradient descent takes steps of dt = 0.005. A step makes u grow by (1 + s dt)² instead of e^{2s dt}: it is
    late by s dt/2 of t, 1 % at s = 4, and by a step."""
    n, u0, dt = 4, 0.001, 0.005
    strengths = np.array([4.0, 2.0, 1.0, 0.5])
    rng = np.random.default_rng(0)
    left, right, middle = (ik.orthogonal((n, n), rng=rng, dtype=np.float64) for _ in range(3))
    net = ik.MLP([n] * 3, "identity", "zeros", dtype=np.float64)
    net.weights[:] = [u0**0.5 * middle @ right, u0**0.5 * left @ middle.T]
    task, x = left * strengths @ right, np.eye(n)
    u = []
    for _ in range(1800):
        gradients = net.backward(net.forward(x) - x @ task.T).weights
        for weight, gradient in zip(net.weights, gradients, strict=True):
            weight -= dt * gradient
        u.append(np.diagonal(left.T @ net.weights[1] @ net.weights[0] @ right.T))
    half = dt * (1 + (np.array(u) >= strengths / 2).argmax(axis=0))
    for s, found in zip(strengths.tolist(), half, strict=True):
        theirs = np.log(s / u0 - 1) / (2 * s)
        claim(
            f"abstract, exact solutions: time until a mode of strength {s:g} is half learned, u₀ = 0.001",
            theirs, found, 0.02 * theirs + 2 * dt, "log(s/u₀ − 1)·τ/(2s); gradient descent, whitened inputs",
        )  # fmt: skip


def test_mean_is_not_typical(claim):
    """One hundred standard Gaussian 4 × 4 matrices. λ_i = ½[ψ((N − i + 1)/2) + ln 2σ²] (Newman 1986).

    λ₁ is how a fixed vector v grows, on average 100 λ₁/ln 10 = 24.23 in log₁₀. After 100 factors a product is
    σ·l·rᵀ, with l and r uniform on the sphere of R⁴: its norm σ is |Pv| over |r·v|, which adds
    ½[ψ(2) − ψ(½)]/ln 10 = 0.52, and its largest entry is smaller than σ by max|l_i|·max|r_j|, which takes
    0.22 again: 24.53, which is the 24.5 ± 1.75 of a product as one reads it off a print. 1,000 products: the
    mean of log₁₀ has a standard error of 0.055, and 0.2 is 3.6 of it.
    """
    rng = np.random.default_rng(0)
    total = np.broadcast_to(np.eye(4), (1000, 4, 4))
    for _ in range(100):
        total = ik.normal((1000, 4, 4), std=1.0, rng=rng, dtype=np.float64) @ total
    logs = np.log10(np.linalg.norm(total, axis=(1, 2)))
    largest = (special.digamma(2) + np.log(2)) / 2
    grown = 100 * largest / np.log(10)
    norm = grown + (special.digamma(2) - special.digamma(0.5)) / 2 / np.log(10)
    assert (grown, norm) == pytest.approx((24.232, 24.750), abs=1e-3)
    claim(
        "100 Gaussian 4 × 4 matrices: log₁₀ of the product's norm, 100 λ₁/ln 10 + ½[ψ(2) − ψ(½)]/ln 10",
        norm, logs.mean(), 0.2,
        f"{grown:.2f} for a fixed vector (λ₁: Newman 1986), {norm - grown:.2f} for the norm (derived here)",
    )  # fmt: skip
    entries = np.log10(np.abs(total).max(axis=(1, 2)))
    side = np.random.default_rng(1).standard_normal((100_000, 4))
    side = np.abs(side).max(axis=1) / np.linalg.norm(side, axis=1)
    claim(
        "100 Gaussian 4 × 4 matrices: log₁₀ of the largest entry",
        24.5, entries.mean(), 0.2,
        f"derived here: the norm's {norm:.2f} less {-2 * np.log10(side).mean():.2f} for the largest of 4 × 4 "
        f"is {norm + 2 * np.log10(side).mean():.2f}; 1,000 products: a standard error of 0.055",
    )  # fmt: skip
    spread = np.sqrt(100 * special.polygamma(1, 2) / 4) / np.log(10)
    claim(
        "100 Gaussian 4 × 4 matrices: standard deviation of log₁₀ of the norm over products",
        1.75, logs.std(), 0.15, f"derived here: a vector's is ½√(100 ψ′(2))/ln 10 = {spread:.3f}",
    )  # fmt: skip
    short = np.log(np.linalg.norm(ik.normal((100_000, 4), std=1.0, rng=rng, dtype=np.float64), axis=1)).mean()
    claim(
        "Newman 1986, λ₁ of 4 × 4 matrices: E log of a Gaussian vector's length, ½[ψ(2) + ln 2]",
        largest, short, 6 * 0.4 / 100_000**0.5,
    )  # fmt: skip
    mean_square = np.log10(4.0**100 * 4) / 2  # E‖G v‖² = 4 ‖v‖²
    claim(
        "100 Gaussian 4 × 4 matrices: log₁₀ of the root mean square, E‖Gv‖² = 4‖v‖²",
        30, mean_square, 0.5, "derived here",
    )  # fmt: skip
    above = (logs > mean_square).mean()
    claim(
        "share of 1,000 products above that root mean square",
        "not typical",
        above,
        (0, 0.005),
        "derived here",
    )


def test_conditions_of_a_product_worsen(claim):
    """λ₁ − λ_N grows the condition number: the reason that depth alone makes Gaussian starts slow."""
    ratio = [np.linalg.cond(product(ik.lecun_normal, depth, 20, seed=1)) for depth in (1, 10)]
    claim(
        "condition number of 20 × 20 products, 10 matrices over 1",
        "grows with depth",
        ratio[1] / ratio[0],
        (100, np.inf),
        "derived here, from Newman 1986: λ₁ > λ_N",
    )
