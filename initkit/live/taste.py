"""Lesson 00: one slider, one picture."""

from __future__ import annotations

import numpy as np

from .. import datasets, plots
from ..network import MLP
from ..signals import measure
from . import controls
from .figure import live_figure

LAYERS = (1, 2, 4, 6, 8, 10)
EDGES = np.linspace(-1, 1, 42)
WIDTH = 200


@live_figure
def taste(*, lang: str, seed: int = 0):
    """How tanh activations spread, layer by layer, as the weights' scale σ_w changes.

    Var[W] = σ_w²/fan_in in a net of ten hidden layers of 200 units, fed 50 real digits.
    """
    x = datasets.digits().x_train[:50]
    picture = plots.LayerHistograms(LAYERS, EDGES, lang)
    chosen = np.array(LAYERS) - 1

    # One draw, at σ_w = 1; a slider scales it, so that the picture moves with the hand alone.
    net = MLP([64, *[WIDTH] * 10, 10], "tanh", "lecun_normal", rng=seed)
    drawn = [weight.copy() for weight in net.weights]

    def respond(sigma_w):
        for weight, unit in zip(net.weights, drawn, strict=True):
            np.multiply(unit, sigma_w, out=weight)
        seen = measure(net, x, edges=EDGES)
        picture.update(seen.histograms[chosen], np.sqrt(seen.activation_var[chosen]))

    sigma_w = controls.slider("taste.sigma_w", lang, 0.1, 4.0, 0.05, 0.5)
    return picture, {"sigma_w": sigma_w}, respond
