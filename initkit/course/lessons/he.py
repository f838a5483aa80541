"""Lesson 05: what ReLU changes. He beside Xavier, over slope, mode and depth."""

from __future__ import annotations

import functools

import numpy as np

from ... import activations, datasets, initializers, plots
from ...network import MLP, scaled
from ...theory import seen_and_predicted
from ...widgets import controls
from ...words import text
from .. import answers
from ..registry import exercise, live_figure

NARROW, WIDE, MOST = 60, 180, 40
MODES = ("fan_in", "fan_out")


@live_figure
def he(*, lang: str, seed: int = 0):
    """Leaky ReLU layers that widen from 60 to 180 units, fed 40 digits: He's variance beside Xavier's."""
    data = datasets.digits()
    x, y = data.x_train[:40], data.y_train[:40]
    names = [text("he.he", lang), text("he.xavier", lang)]
    picture = plots.SignalsByLayer(MOST, 12, names, lang)

    @functools.lru_cache(maxsize=8)
    def drawn(depth, init):
        widths = [64, *np.geomspace(NARROW, WIDE, depth - 1).round().astype(int), 10]
        return MLP(widths, "identity", init, rng=seed)

    he_of_gain_1 = {m: functools.partial(initializers.he_normal, gain=1.0, mode=m) for m in MODES}

    def respond(slope, depth, mode):
        activation = activations.leaky_relu(slope)
        shown = []
        # One draw: the gain scales it, so that the picture moves with the hand alone.
        for init, gain in (
            (he_of_gain_1[mode], activations.gain(activation)),
            (initializers.xavier_normal, 1.0),
        ):
            net = scaled(drawn(depth, init), gain, activation)
            shown.append(seen_and_predicted(net, x, y))
        picture.update(*shown)

    moved = {
        "slope": controls.slider("he.slope", lang, 0.0, 1.0, 0.05, 0.0),
        "depth": controls.slider("network.depth", lang, 3, MOST, 1, 30),
        "mode": controls.choice("he.mode", lang, {m: text(f"he.{m}", lang) for m in MODES}, "fan_in"),
    }
    return picture, moved, respond


@exercise("05.1")
def he_std(answer):
    """√(2/((1 + 0.2²)·300))."""
    n, a = 300, 0.2
    known = {
        "right": (2 / ((1 + a**2) * n)) ** 0.5,
        "variance": 2 / ((1 + a**2) * n),
        "relu": (2 / n) ** 0.5,
        "bound": (6 / ((1 + a**2) * n)) ** 0.5,
    }
    key, fields = answers.nearest(answer, known, rel=0.005)
    if key == "right" and answers.nearest(answer, known, rel=0.0006)[0] != "right":
        return "digits", {}  # 0.0800 and 0.0802 are not 0.0801
    if key == "other" and "sum" in (
        answers.nearest(answer, {"sum": (2 / (mistaken * n)) ** 0.5}, rel=0.005)[0]
        for mistaken in (1.2, 1.44)
    ):
        return "sum", {}
    return key, fields


@exercise("05.2")
def gain_of_a_square(answer):
    """1/√(½·E[z⁴]) = √(2/3)."""
    second = 3 / 2
    return answers.nearest(
        answer,
        {
            "right": second**-0.5,
            "relu": 2**0.5,
            "inverse": second**0.5,
            "square": 1 / second,
            "centred": (second - 1 / 4) ** -0.5,
        },
    )


@exercise("05.3")
def widening_by_fan_out(answer):
    """Each layer multiplies by fan_in/fan_out; over the hidden layers 50/800 stays."""
    return answers.nearest(
        answer, {"right": 50 / 800, "inverse": 800 / 50, "kept": 1, "root": (50 / 800) ** 0.5}
    )
