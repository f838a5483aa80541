"""Hanin 2018 (arXiv 1801.03744) and Hanin & Rolnick 2018 (arXiv 1803.01719): finite width.

M_l is the mean square of layer l's pre-activations, of a ReLU net with Gaussian He weights, over that of
its first. E[M_l] = M₀ and E[M_l²] = M₀² Π(1 + 5/n), the second paper's
failure mode 2 when the widths are small.
"""

import numpy as np
import pytest
from scipy import special, stats

import initkit as ik
from initkit import theory

DATA = ik.datasets.digits()


def lengths(nets: int, width: int, depth: int, *names: str, seed: int) -> np.ndarray:
    """‖a_l‖²·gain²/n at the last layer of many nets at once, for an input with ‖a₀‖²·gain²/n = 1: a row an
    activation, all with the same draws."""
    fs = [(ik.activations.get(name).f, ik.gain(name)) for name in names]
    found = []
    rng = np.random.default_rng(seed)
    most = 250_000 // width**2  # 1 MB of weights, which stays in the cache
    for start in range(0, nets, most):
        some = min(most, nets - start)
        signals = [np.ones((some, width), np.float32) for _ in fs]  # a·gain
        for _ in range(depth):
            weights = ik.he_normal((some * width, width), gain=1.0, rng=rng).reshape(some, width, width)
            signals = [
                g * f(np.einsum("nij,nj->ni", weights, a)) for (f, g), a in zip(fs, signals, strict=True)
            ]
        found.append([np.square(a, dtype=np.float64).mean(axis=1) for a in signals])
    return np.concatenate(found, axis=1)


@pytest.fixture(scope="module")
def moments():
    return dict(zip(("relu", "identity"), lengths(100_000, 20, 5, "relu", "identity", seed=0), strict=True))


@pytest.mark.parametrize(("activation", "each"), [("relu", 5), ("identity", 2)])
def test_moments_of_the_length(claim, moments, activation, each):
    """Width 20, depth 5, 100,000 nets. Bounds: six of the sample's own standard errors."""
    m = moments[activation]
    error = 6 / len(m) ** 0.5
    claim(
        f"Hanin & Rolnick 2018, failure mode 1: E[M] of 5 layers of 20 units, {activation}",
        1.0,
        m.mean(),
        error * m.std(),
    )
    exact = (1 + each / 20) ** 5
    claim(
        f"Hanin & Rolnick 2018, failure mode 2: E[M²] = (1 + {each}/20)⁵, {activation}",
        exact,
        np.square(m).mean(),
        error * np.square(m).std(),
    )


def test_mean_is_not_typical(claim):
    """Twenty layers of 20 units: the mean of M is 1, its median 0.07, and log M follows from χ²."""
    (m,) = lengths(20_000, 20, 20, "relu", seed=1)
    what = "Hanin & Rolnick 2018, failure mode 2, 20 layers of 20 units:"
    claim(f"{what} median of M, whose mean is 1", 0.068, np.median(m), 0.006, "20,000 nets")
    on = np.arange(1, 21)
    chance = stats.binom.pmf(on, 20, 0.5)
    step = (chance * (special.digamma(on / 2) + np.log(2) + np.log(2 / 20))).sum() / chance.sum()
    logs = np.log(m[m > 0])
    claim(
        f"{what} E[log M] = Σ E[log((2/n)·χ²_K)]",
        20 * step,
        logs.mean(),
        6 * logs.std() / len(logs) ** 0.5,
    )


def test_only_the_sum_of_reciprocal_widths_counts(claim):
    """Hanin 2018: β = Σ 1/n: to first order, 5 layers of 20 fluctuate as 10 layers of 40 do.

    Exactly, the variance of log((2/n)·χ²_K) says 0.886 for this ratio. Six standard errors of it are 0.12.
    """

    def step(n):
        on = np.arange(1, n + 1)
        chance = stats.binom.pmf(on, n, 0.5)
        mean, square = special.digamma(on / 2), special.polygamma(1, on / 2)
        return chance @ (square + mean**2) - (chance @ mean) ** 2

    exact = 10 * step(40) / (5 * step(20))
    spread = [np.log(lengths(10_000, n, d, "relu", seed=2)).var() for n, d in ((20, 5), (40, 10))]
    claim(
        "Hanin 2018, abstract, β = Σ 1/n counts: Var[log M], 10 layers of 40 over 5 of 20",
        exact,
        spread[1] / spread[0],
        0.12,
        "1 to first order in 1/n; the number here is exact",
    )


def test_the_band_of_predict(claim):
    """What ``q_band`` promises, at width 100 and depth 10: 95 of 100 nets.

    Given a, the entries of W a are independent normals: a layer multiplies M by (2/n)·χ²_K, K ~ Bin(n, ½) the
    units that are on. So 100,000 nets cost no weights, and the share has a standard error of 0.0007.
    """
    low, high = ik.predict(11, 100, "relu", 2**0.5).q_band[9] / 2
    rng = np.random.default_rng(3)
    m = np.prod(rng.chisquare(rng.binomial(100, 0.5, (9, 100_000))) * 2 / 100, axis=0)
    q = m * rng.chisquare(100, len(m)) / 100  # z of the tenth layer, given the ninth's a
    claim(
        "Hanin & Rolnick 2018, failure mode 2: share of nets within predict's q_band, 10 layers of 100 units",
        0.95,
        ((low < q) & (q < high)).mean(),
        0.01,
        "100,000 nets, drawn from the law of their lengths",
    )


def epochs_to_begin(hidden) -> np.ndarray:
    """Epochs until a fifth of the test digits is right, twice chance; 12 at most, of eight seeds."""
    found = []
    for seed in range(8):
        net = ik.MLP([64, *hidden, 10], rng=seed)
        steps = ik.training.iterate(net, DATA, lr=0.01, epochs=12, rng=seed)
        found.append(next((epoch for epoch, h in enumerate(steps) if h.test_accuracy[-1] >= 0.2), 12))
    return np.array(found)


def test_who_begins_to_learn(claim):
    """Of two architectures of one depth and one number of units, the one with the larger Σ1/n begins later.
    Single seeds take 1 to 4 epochs for one, 3 to 9 for the other."""
    even, uneven = (epochs_to_begin(hidden) for hidden in ([50] * 20, [10, 90] * 10))
    claim(
        "Hanin & Rolnick 2018, abstract: epochs until training starts, 20 layers of 10 and 90 over 20 of 50",
        "later, as Σ1/n is 1.1 and 0.4", uneven.mean() / even.mean(), (1.0, np.inf),
        f"digits, accuracy 0.2; by seed {uneven.tolist()} and {even.tolist()}",
    )  # fmt: skip


def test_residual_nets_have_no_second_failure_mode(claim):
    """z + W relu(z)/√60, 60 blocks of 30 units, 500 nets: their variance has a standard error of 6 %."""
    rng = np.random.default_rng(0)
    z = np.broadcast_to(rng.standard_normal(30), (500, 30))
    first = np.square(z).mean()
    for _ in range(60):
        weights = ik.he_normal((500 * 30, 30), rng=rng, dtype=np.float64).reshape(500, 30, 30)
        z = z + np.einsum("nij,nj->ni", weights, np.maximum(z, 0)) / 60**0.5
    plain = theory.log_length([30] * 60).variance
    claim(
        "Hanin & Rolnick 2018, abstract, no failure mode 2 in residual nets: Var[log M], 60 blocks of 30",
        "bounded", np.log(np.square(z).mean(axis=1) / first).var(), (0, 0.5),
        f"blocks scaled 1/√60; without skips {plain:.1f}",
    )  # fmt: skip
