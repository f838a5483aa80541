"""Residual streams: Zhang, Dauphin & Ma 2019 (arXiv 1901.09321), GPT-2 (Radford et al. 2019), ReZero
(Bachlechner et al. 2020, arXiv 2003.04887), pre-LayerNorm (Xiong et al. 2020, arXiv 2002.04745).

z_l = z_{l−1} + s·W f(z_{l−1}), He's weights, ReLU; q_l is the mean square of the stream after l − 1 blocks.
"""

import numpy as np
import pytest

import initkit as ik

N, WIDTH = 12, 1000
CASES = {  # branch scale, norm, what theory says, how it is shown, where the paper does not say so itself
    "section 2, un-normalized He blocks: log₂ of the growth": (1.0, None, N, np.log2, ""),
    "pre-LayerNorm: growth": (
        1.0, "layer", 1 + N, float,
        "1 a block is derived here; that a Transformer grows linearly is lemma 2 of Xiong et al. 2020",
    ),
    "GPT-2, section 2.3, branches scaled 1/√N: growth": (
        N**-0.5, None, (1 + 1 / N) ** N, float, "the paper gives the scale; (1 + 1/N)^N is derived here",
    ),
    "ReZero, eq. 1, at the start, branch scale 0: growth": (
        0.0, None, 1.0, float, "before any step: the paper trains the scale, which is a constant here",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def growth():
    """By case, in twelve nets, whose weights the cases share."""
    # One Gaussian input of mean square ½, which He's first layer makes 1.
    x = np.random.default_rng(0).standard_normal((1, WIDTH))
    x *= np.sqrt(0.5 / np.square(x).mean())
    found = {what: [] for what in CASES}
    for seed in range(12):
        net = ik.MLP(
            [WIDTH] * (N + 3), "relu", rng=seed, residual=1.0
        )  # the first layer, N blocks, the output
        for what, (net.residual, net.norm, *_) in CASES.items():
            q = ik.measure(net, x).q
            # Behind a LayerNorm each block adds 1 to what enters.
            found[what].append(q[N] / q[0] if net.norm is None else q[N] - q[0] + 1)
    return found


@pytest.mark.parametrize("what", CASES)
def test_growth_over_twelve_blocks(claim, growth, what):
    """Width 1,000, twelve nets: the mean of log q has a standard error below 2 %; bounds are three of it."""
    scale, norm, theirs, shown, why = CASES[what]
    q = ik.predict(N + 2, WIDTH, "relu", 2**0.5, q0=0.5, residual=scale, norm=norm).q
    assert shown(q[N] / q[0]) == pytest.approx(theirs, rel=1e-4)
    ours = shown(np.mean(growth[what]))
    if scale == 0:
        assert growth[what] == [1.0] * 12
    within = 0 if scale == 0 else 0.06 * theirs if shown is float else 0.09
    claim(f"{what} over {N} blocks", theirs, ours, within, why)


def test_the_limit_is_e(claim):
    q = ik.predict(402, WIDTH, "relu", 2**0.5, q0=0.5, residual=400**-0.5).q
    claim(
        "GPT-2, section 2.3, branches scaled 1/√N: (1 + 1/N)^N at N = 400",
        np.e,
        q[400] / q[0],
        0.005,
        "e is derived here",
    )
