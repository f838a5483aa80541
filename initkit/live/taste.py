"""Lesson 00: one slider, one picture."""

from __future__ import annotations

import functools

import numpy as np

from .. import datasets, initializers, plots, signals
from ..network import MLP
from . import controls
from .figure import LiveFigure

LAYERS = (1, 2, 4, 6, 8, 10)
EDGES = np.linspace(-1, 1, 42)
WIDTH = 200


def taste(*, lang: str, seed: int = 0) -> LiveFigure:
    """How tanh activations spread, layer by layer, as the weights' scale σ_w changes.

    Var[W] = σ_w²/fan_in in a net of ten hidden layers of 200 units, fed 100 real digits.
    """
    x = datasets.digits().x_train[:100]
    picture = plots.LayerHistograms(LAYERS, EDGES, lang)
    chosen = np.array(LAYERS) - 1

    def respond(sigma_w):
        init = functools.partial(initializers.variance_scaling, scale=sigma_w**2, distribution="normal")
        net = MLP([64, *[WIDTH] * 10, 10], "tanh", init, rng=seed)
        spread = np.sqrt(signals.measure(net, x).activation_var[chosen])
        picture.update(signals.histograms(net, x, EDGES)[chosen], spread)

    sigma_w = controls.slider("taste.sigma_w", lang, 0.1, 4.0, 0.05, 0.5)
    return LiveFigure(picture, {"sigma_w": sigma_w}, respond, lang=lang)
