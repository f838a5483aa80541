"""Mishkin & Matas 2015, *All you need is a good init* (arXiv 1511.06422): LSUV."""

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_every_layer_ends_within_the_tolerance(claim, activation):
    """Algorithm 1, Tol_var = 0.1, on a batch of 512 digits; 20 layers of 64 units, three seeds."""
    batch = DATA.x_train[:512]
    furthest = []
    for seed in range(3):
        net = ik.lsuv(ik.MLP([64, *[64] * 19, 10], activation, rng=seed), batch, rng=seed)
        variance = np.array([z.var() for z in net.trace(batch).pre])
        furthest.append(variance[np.abs(variance - 1).argmax()])
    furthest.sort(key=lambda v: abs(v - 1))
    claim(
        f"algorithm 1: the layer variance furthest from 1, 20 layers, {activation}, the worst of 3 seeds",
        1.0, furthest[-1], 0.1, f"the furthest by seed: {min(furthest):.4f} to {max(furthest):.4f}",
    )  # fmt: skip


@pytest.mark.slow
def test_it_trains_what_xavier_does_not(claim):
    """Table 1's point, as an MLP analogue: 30 ReLU layers on the digits, 12 epochs, three seeds.

    Judged by the best epoch. From one epoch to the next the accuracy of so deep a ReLU net jumps by tens of
    per cent, and when it does hangs on the last bit of the weights; 0.1 is guessing.
    """
    best = []
    for seed in range(3):
        net = ik.lsuv(ik.MLP([64, *[96] * 29, 10], "relu", rng=seed), DATA.x_train[:512], rng=seed)
        best.append(ik.train(net, DATA, lr=0.01, epochs=12, rng=seed).test_accuracy.max())
    claim(
        "section 4: 30 ReLU layers on the digits: best test accuracy of 12 epochs, the worst of 3 seeds",
        "trains", min(best), (0.5, np.inf),
        f"an analogue of FitNets on CIFAR; by seed: {', '.join(f'{b:.2f}' for b in best)}",
    )  # fmt: skip
