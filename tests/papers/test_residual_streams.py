"""Residual streams: Zhang, Dauphin & Ma 2019 (arXiv 1901.09321), GPT-2 (Radford et al. 2019), ReZero (2020).

z_l = z_{l−1} + s·W f(z_{l−1}), He's weights, ReLU; q_l is the mean square of the stream after l − 1 blocks.
"""

import numpy as np
import pytest

import initkit as ik

N, WIDTH = 12, 1000
CASES = {
    "un-normalized He blocks: log₂ of the growth": (1.0, None, N, np.log2),
    "pre-LayerNorm: growth": (1.0, "layer", 1 + N, float),
    "branches scaled 1/√N: growth": (N**-0.5, None, (1 + 1 / N) ** N, float),
    "ReZero: growth": (0.0, None, 1.0, float),
}


@pytest.mark.parametrize("what", CASES)
def test_growth_over_twelve_blocks(claim, what):
    """Width 1,000, twelve nets: the mean of log q has a standard error below 2 %; bounds are three of it."""
    scale, norm, theirs, shown = CASES[what]
    # One Gaussian input of mean square ½, which He's first layer makes 1.
    x = np.random.default_rng(0).standard_normal((1, WIDTH))
    x *= np.sqrt(0.5 / np.square(x).mean())
    widths = [WIDTH] * (N + 3)  # the first layer, N blocks, the output
    arguments = {"residual": scale, "norm": norm}
    growth = []
    for seed in range(12):
        q = ik.measure(ik.MLP(widths, "relu", rng=seed, **arguments), x).q
        growth.append(q[N] / q[0] if norm is None else q[N] - q[0] + 1)  # each block adds 1 to what enters
    q = ik.predict(N + 2, WIDTH, "relu", 2**0.5, q0=0.5, **arguments).q
    assert shown(q[N] / q[0]) == pytest.approx(theirs, rel=1e-4)
    claim(
        f"{what} over {N} blocks",
        theirs,
        shown(np.mean(growth)),
        0 if scale == 0 else 0.06 * theirs if shown is float else 0.09,
    )


def test_the_limit_is_e(claim):
    q = ik.predict(402, WIDTH, "relu", 2**0.5, q0=0.5, residual=400**-0.5).q
    claim("branches scaled 1/√N: (1 + 1/N)^N at N = 400", np.e, q[400] / q[0], 0.005)
