"""Lesson 04: which variance keeps the signal, forward and backward, where the layers' widths differ."""

from __future__ import annotations

import functools

from .. import datasets, initializers, plots
from ..course.texts import text
from ..network import MLP
from ..theory import seen_and_predicted
from . import controls
from .figure import live_figure

DEPTH = 21  # twenty hidden layers
MODES = ("fan_in", "fan_avg", "fan_out")
ACTIVATIONS = ("tanh", "identity", "sigmoid", "relu")


@live_figure
def xavier(*, lang: str, seed: int = 0):
    """Twenty hidden layers of n, m, n, m, … units, fed 50 digits, before training.

    Var[W] = 1/fan_in, 1/fan_out, or Xavier's 2/(fan_in + fan_out), normal; biases zero.
    """
    data = datasets.digits()
    x, y = data.x_train[:50], data.y_train[:50]
    picture = plots.SignalsByLayer(DEPTH, 6, [text("signal.measured", lang)], lang)

    def respond(n, m, mode, activation):
        init = functools.partial(initializers.variance_scaling, mode=mode, distribution="normal")
        widths = [64, *[n, m] * (DEPTH // 2), 10]
        net = MLP(widths, activation, init, rng=seed)
        picture.update(seen_and_predicted(net, x, y))

    moved = {
        "n": controls.slider("xavier.n", lang, 20, 200, 10, 100),
        "m": controls.slider("xavier.m", lang, 20, 200, 10, 100),
        "mode": controls.choice(
            "xavier.mode", lang, {m: text(f"xavier.{m}", lang) for m in MODES}, "fan_avg"
        ),
        "activation": controls.function(lang, ACTIVATIONS, "tanh"),
    }
    return picture, moved, respond
