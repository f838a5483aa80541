"""Lu, Shin, Su & Karniadakis 2019, *Dying ReLU and initialization* (arXiv 1903.06733).

A ReLU net without biases is born dead where in some layer every unit is off. For one input, and weights
whose distribution is symmetric, that is 1 − Π(1 − 2^(−n_l)), whatever their variance is.
"""

import numpy as np
import pytest

import initkit as ik
from initkit import theory

NETS = 20_000


def dead(width: int, depth: int, draw) -> float:
    """The share of nets whose last layer is 0 for a Gaussian input of ``width``."""
    rng = np.random.default_rng(width + depth)
    a = rng.standard_normal((NETS, width)).astype(np.float32)
    for _ in range(depth):
        weights = draw((NETS * width, width), rng=rng).reshape(NETS, width, width)
        a = np.maximum(np.einsum("nij,nj->ni", weights, a), 0)
    return float((a == 0).all(axis=1).mean())


@pytest.mark.parametrize(
    ("width", "depth", "init"),
    [(2, 10, "he_normal"), (3, 10, "he_normal"), (5, 20, "he_normal"), (5, 20, "lecun_uniform")],
)
def test_born_dead(claim, width, depth, init):
    """Six standard errors of 20,000 nets: a false alarm in 10⁹."""
    theirs = 1 - (1 - 0.5**width) ** depth
    assert theory.log_length([width] * depth).dead == pytest.approx(theirs)
    claim(
        f"{depth} layers of {width} units, {init}: share of nets born dead, 1 − (1 − 2⁻ⁿ)^L",
        theirs, dead(width, depth, ik.get(init)), 6 * (theirs * (1 - theirs) / NETS) ** 0.5,
        "derived here, for one input; nets that are dead for all inputs are fewer",
    )  # fmt: skip


def test_every_deep_net_dies(claim):
    """Abstract: in probability, as the depth goes to infinity; and not where the width grows with it."""
    claim(
        "abstract, dies in probability as the depth grows: 5 units, 400 layers",
        "→ 1", theory.log_length([5] * 400).dead, (0.999, 1), "exact for one input",
    )  # fmt: skip
    claim(
        "abstract, dies in probability as the depth grows: 20 units, 400 layers",
        "slower for wider nets", theory.log_length([20] * 400).dead, (0, 0.001), "exact for one input",
    )  # fmt: skip
