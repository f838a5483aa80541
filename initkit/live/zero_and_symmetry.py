"""Lesson 02: hidden units that start equal, and what a grain of noise does to them."""

from __future__ import annotations

import functools

import numpy as np

from .. import datasets, initializers, plots
from ..network import MLP
from ..training import iterate
from . import controls
from .figure import live_figure

UNITS, STEPS, LR, EXAMPLES = 8, 200, 0.3, 400
NOISES = (0.0, *(10.0**-k for k in range(9, 0, -1)))


def _train(value: float, noise: float, seed: int):
    """Full-batch gradient descent; the weights (steps + 1, units, inputs) and the training losses."""
    data = datasets.digits()
    data = data._replace(x_train=data.x_train[:EXAMPLES], y_train=data.y_train[:EXAMPLES])
    init = functools.partial(initializers.normal, mean=value, std=noise)
    # float64: in float32 rounding is noise of its own.
    net = MLP([64, UNITS, 10], "tanh", init, rng=seed, dtype=np.float64)
    weights = []
    for history in iterate(net, data, lr=LR, epochs=STEPS, batch_size=EXAMPLES, rng=seed):
        weights.append(net.weights[0].copy())
        loss = history.train_loss
    return np.array(weights), loss


@live_figure
def zero_and_symmetry(*, lang: str, seed: int = 0):
    """Eight tanh units that all start at c + ε·noise, trained on 400 digits: their weights, loss and rank.

    The plane of the left panel is that of the images' first two principal components.
    """
    x = datasets.digits().x_train[:EXAMPLES]
    plane = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2]
    picture = plots.UnitsInTraining(UNITS, STEPS, lang)

    @functools.lru_cache(maxsize=64)
    def run(value, noise):
        weights, loss = _train(value, noise, seed)
        return weights @ plane.T, loss, np.linalg.matrix_rank(weights, rtol=plots.UnitsInTraining.SMALLEST)

    def respond(value, noise, step):
        picture.update(*run(value, noise), step)

    moved = {
        "value": controls.slider("symmetry.value", lang, 0.0, 1.0, 0.05, 0.1),
        "noise": controls.steps("symmetry.noise", lang, {f"{n:g}": n for n in NOISES}, 0.0),
        "step": controls.slider("symmetry.shown", lang, 0, STEPS, 1, 0),
    }
    return picture, moved, respond
