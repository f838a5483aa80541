"""Lesson 05: what ReLU changes. He beside Xavier, over slope, mode and depth."""

from __future__ import annotations

import functools

import numpy as np

from ... import activations, datasets, initializers, plots
from ...network import MLP, scaled
from ...theory import seen_and_predicted
from ...widgets import controls
from ...words import Language, text
from .. import answers
from ..registry import exercise, live_figure

NARROW, WIDE, MOST = 60, 180, 40
MODES = ("fan_in", "fan_out")


@live_figure
def he(*, lang: Language, seed: int = 0):
    """Leaky ReLU layers that widen from 60 to 180 units, fed 20 digits: He's variance beside Xavier's."""
    data = datasets.digits()
    x, y = data.x_train[:20], data.y_train[:20]
    names = [text("he.he", lang), text("he.xavier", lang)]
    picture = plots.SignalsByLayer(MOST, 12, names, lang)

    def widths(depth):
        return np.array([64, *np.geomspace(NARROW, WIDE, depth - 1).round().astype(int), 10])

    # One draw for all nets, which each scheme scales: the picture moves with the hand alone.
    normals = initializers.normal((widths(MOST)[1:] @ widths(MOST)[:-1],), std=1.0, rng=seed)

    @functools.lru_cache(maxsize=8)
    def drawn(depth):
        net = MLP(widths(depth), "identity", "zeros")
        ends = np.cumsum([weight.size for weight in net.weights])
        for weight, end in zip(net.weights, ends, strict=True):
            weight[:] = normals[end - weight.size : end].reshape(weight.shape)
        return net

    def of_std(std, depth, activation):
        net = scaled(drawn(depth), 1.0, activation)
        for weight, one in zip(net.weights, std, strict=True):
            weight *= one
        return net

    def respond(slope, depth, mode):
        activation = activations.leaky_relu(slope)
        n_in, n_out = widths(depth)[:-1], widths(depth)[1:]
        of_he = activations.gain(activation) / np.sqrt(n_in if mode == "fan_in" else n_out)
        of_xavier = np.sqrt(2 / (n_in + n_out))
        picture.update(
            *(seen_and_predicted(of_std(std, depth, activation), x, y) for std in (of_he, of_xavier))
        )

    moved = {
        "slope": controls.slider("he.slope", lang, 0.0, 1.0, 0.05, 0.0),
        "depth": controls.slider("network.depth", lang, 3, MOST, 1, 30),
        "mode": controls.choice("he.mode", lang, MODES, "fan_in"),
    }
    return picture, moved, respond


@exercise("05.1", n=(300, range(200, 1000, 20)), slope=(0.2, (0.2, 0.25, 0.3, 0.35, 0.4)))
def he_std(answer, n, slope):
    """√(2/((1 + 0.2²)·300))."""
    a = slope
    known = {
        "right": (2 / ((1 + a**2) * n)) ** 0.5,
        "variance": 2 / ((1 + a**2) * n),
        "relu": (2 / n) ** 0.5,
        "bound": (6 / ((1 + a**2) * n)) ** 0.5,
    }
    key, fields = answers.nearest(answer, known, rel=0.005)
    if key == "right" and abs(answers.number(answer) - known["right"]) > 0.51e-4:
        return "digits", {}  # 0.0800 and 0.0802 are not 0.0801; all that are asked for begin with 0.0
    if key == "other" and "sum" in (
        answers.nearest(answer, {"sum": (2 / (mistaken * n)) ** 0.5}, rel=0.005)[0]
        for mistaken in (1 + a, (1 + a) ** 2)
    ):
        return "sum", {}
    return key, fields | {"right": f"{known['right']:.3g}", "of_relu": f"{known['relu']:.3g}"}


@exercise("05.2")
def gain_of_a_square(answer):
    """1/√(½·E[z⁴]) = √(2/3)."""
    second = 3 / 2
    known = {"right": second**-0.5, "inverse": second**0.5, "square": 1 / second, "second": second}
    return answers.nearest(answer, known | {"relu": 2**0.5, "centred": (second - 1 / 4) ** -0.5})


@exercise("05.3", first=(50, range(30, 70, 5)), last=(800, range(400, 1000, 50)))
def widening_by_fan_out(answer, first, last):
    """Each layer multiplies by fan_in/fan_out; over the hidden layers 50/800 stays."""
    right = first / last
    known = {"right": right, "inverse": 1 / right, "kept": 1, "root": right**0.5}
    key, fields = answers.nearest(answer, known)
    return key, fields | {"right": f"{right:.3g}"}
