"""Hanin & Nica 2018, *Products of many large random matrices* (arXiv 1812.05994).

log M of a ReLU net is asymptotically normal. Its variance goes by Σ1/n: 5Σ1/n to first order for Gaussian
weights. M is the mean square of the last hidden activations over that of the input.
"""

import functools

import numpy as np
import pytest
from scipy import stats

import initkit as ik
from initkit import theory


@functools.cache
def logs(widths, init="he_normal"):
    """log M of 4,000 ReLU nets of these hidden widths, of those that are not dead; the input is as wide as
    layer 1. "haar": orthogonal weights, from Q and R of normal ones."""
    rng, draw, found = np.random.default_rng(0), ik.get("he_normal" if init == "haar" else init), []
    for _ in range(8):
        a = np.ones((500, widths[0]), np.float32)
        for n in widths:
            weights = draw((500 * n, a.shape[1]), rng=rng).reshape(500, n, -1)
            if init == "haar":
                q, r = np.linalg.qr(weights)
                weights = 2**0.5 * q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
            a = np.maximum(np.einsum("nij,nj->ni", weights, a), 0)
        found.append(np.square(a, dtype=np.float64).mean(axis=1))
    m = np.concatenate(found)
    return np.log(m[m > 0])


def errors(sample):
    """Standard errors of mean and variance of a nearly normal sample, its kurtosis taken from it."""
    variance, kurtosis = sample.var(), stats.kurtosis(sample) + 3
    return np.sqrt(variance / len(sample)), variance * np.sqrt((kurtosis - 1) / len(sample))


@pytest.mark.parametrize(
    ("what", "widths"),
    [("8 layers of 30", (30,) * 8), ("8 layers, 10 and 50 in turn", (10, 50) * 4)],
    ids=["even", "uneven"],
)
def test_mean_and_variance_of_the_logarithm(claim, what, widths):
    """The exact law, which is the paper's to first order, in 4,000 nets; six standard errors."""
    found, law = logs(widths), theory.log_length(widths)
    beta = theory.width_sum(widths)
    first = f"exact, derived here; to first order {{}}Σ1/n = {{:.2f}}; Σ1/n = {beta:.2f}"
    mean, variance = errors(found)
    claim(f"{what}: E[log M]", law.mean, found.mean(), 6 * mean, first.format("−(5/2)", -2.5 * beta))
    claim(f"{what}: Var[log M]", law.variance, found.var(), 6 * variance, first.format("5", 5 * beta))


def test_the_distribution_of_the_weights_hardly_matters(claim):
    """Abstract: mean and variance depend on the first two, or four, moments of the weights' law. The fourth
    enters at second order in 1/n: some per cent at n = 30. Six standard errors of the ratio are 0.16."""
    normal, uniform = (logs((30,) * 8, init) for init in ("he_normal", "he_uniform"))
    claim(
        "abstract, two moments count to first order: Var[log M], uniform weights over normal, 8 layers of 30",
        1, uniform.var() / normal.var(), 0.2, "4,000 nets each",
    )  # fmt: skip


def test_the_logarithm_is_nearly_normal(claim):
    """40,000 nets of 50 layers of 100, drawn from the exact law of their layers: M's factor is (2/n)·χ²_K, K
    from Bin(n, ½). For normal numbers the statistic is below 0.01 in all but one of 1,000 samples; the third
    moment adds 0.01."""
    rng = np.random.default_rng(0)
    m = np.log(rng.chisquare(rng.binomial(100, 0.5, (50, 40_000))) * 2 / 100).sum(axis=0)
    law = theory.log_length([100] * 50)
    distance = stats.kstest(m, "norm", (law.mean, law.variance**0.5)).statistic
    claim(
        "abstract, log M is asymptotically normal: Kolmogorov–Smirnov distance, 50 layers of 100",
        "→ 0", distance, (0, 0.03), "from the normal law of log_length's mean and variance",
    )  # fmt: skip


def test_orthogonal_weights_fluctuate_less(claim):
    """The factor of a layer is 2·Beta(K/2, (n − K)/2): E[M²] = (1 + 3/(n + 2))^L."""
    widths = (10,) * 4
    found, law = logs(widths, "haar"), theory.log_length(widths, weights="orthogonal")
    mean, variance = errors(found)
    note = f"derived here; Gaussian: {theory.log_length(widths).variance:.2f}"
    m = np.exp(found)
    claim(
        "4 layers of 10, orthogonal: E[M²] over E[M]² of the nets that are not dead, (1 + 3/12)⁴·P(not dead)",
        law.second_moment * (1 - law.dead), np.square(m).mean() / m.mean() ** 2, 0.25,
        "derived here; Gaussian: (1 + 5/10)⁴ = 5.06",
    )  # fmt: skip
    claim("4 layers of 10, orthogonal: E[log M]", law.mean, found.mean(), 6 * mean, "derived here")
    claim("4 layers of 10, orthogonal: Var[log M]", law.variance, found.var(), 6 * variance, note)
