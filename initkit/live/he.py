"""Lesson 05: what ReLU changes. He beside Xavier, over slope, mode and depth."""

from __future__ import annotations

import functools

import numpy as np

from .. import datasets, initializers, plots
from ..course.texts import text
from ..network import MLP
from ..signals import measure
from ..theory import predict_for
from . import controls
from .figure import LiveFigure

NARROW, WIDE, MOST = 80, 240, 40
MODES = ("fan_in", "fan_out")


def he(*, lang: str, seed: int = 0) -> LiveFigure:
    """Leaky ReLU layers that widen from 80 to 240 units, fed 50 digits: He's variance beside Xavier's."""
    data = datasets.digits()
    x, y = data.x_train[:50], data.y_train[:50]
    names = [text("start.he", lang), text("start.xavier", lang)]
    picture = plots.SignalsByLayer(MOST, 12, names, lang)

    def respond(slope, depth, mode):
        activation = ("leaky_relu", slope)
        hidden = np.geomspace(NARROW, WIDE, depth - 1).round().astype(int)
        he_normal = functools.partial(initializers.he_normal, activation=activation, mode=mode)
        nets = [MLP([64, *hidden, 10], activation, i, rng=seed) for i in (he_normal, "xavier_normal")]
        picture.update(*((measure(net, x, y), predict_for(net, x, y)) for net in nets))

    return LiveFigure(
        picture,
        {
            "slope": controls.slider("he.slope", lang, 0.0, 1.0, 0.05, 0.0),
            "depth": controls.slider("random.depth", lang, 3, MOST, 1, 30),
            "mode": controls.choice("he.mode", lang, {m: text(f"he.{m}", lang) for m in MODES}, "fan_in"),
        },
        respond,
        lang=lang,
    )
