"""Lesson 03: how large random weights should be, by layer, theory over measurement."""

from __future__ import annotations

import functools

import numpy as np

from .. import datasets, initializers, plots
from ..course.texts import text
from ..network import MLP, scaled
from ..theory import seen_and_predicted
from . import controls
from .figure import live_figure

WIDTH, MOST = 100, 30
EDGES = np.linspace(-1, 1, 42)
ACTIVATIONS = ("tanh", "relu", "sigmoid")
DISTRIBUTIONS = ("normal", "uniform")


@live_figure
def random(*, lang: str, seed: int = 0):
    """Weights of standard deviation σ in nets of 100 units a layer, fed 100 digits, before training.

    Points are measured; the line is what theory predicts for an infinitely wide net.
    """
    data = datasets.digits()
    x, y = data.x_train[:100], data.y_train[:100]
    picture = plots.ForwardAndBackward(MOST, EDGES, lang)

    @functools.lru_cache(maxsize=16)
    def drawn(depth, distribution):
        """One draw of variance 1: σ scales it, so that the picture moves with the hand alone."""
        scheme = initializers.normal if distribution == "normal" else initializers.uniform
        spread = {"std": 1.0} if distribution == "normal" else {"low": -(3**0.5), "high": 3**0.5}
        widths = [64, *[WIDTH] * (depth - 1), 10]
        return MLP(widths, "tanh", functools.partial(scheme, **spread), rng=seed)

    def respond(sigma, depth, distribution, activation):
        net = scaled(drawn(depth, distribution), sigma, activation)
        picture.update(*seen_and_predicted(net, x, y, EDGES))

    moved = {
        "sigma": controls.log_slider("random.sigma", lang, -3, 1, 0.05, 0.1),
        "depth": controls.slider("random.depth", lang, 2, MOST, 1, 10),
        "distribution": controls.choice(
            "random.distribution", lang, {d: text(f"random.{d}", lang) for d in DISTRIBUTIONS}, "normal"
        ),
        "activation": controls.function(lang, ACTIVATIONS, "tanh"),
    }
    return picture, moved, respond
