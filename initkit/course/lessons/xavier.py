"""Lesson 04: which variance keeps the signal, forward and backward, where the layers' widths differ."""

from __future__ import annotations

import functools

import numpy as np

from ... import datasets, initializers, plots
from ...activations import gain
from ...network import MLP
from ...theory import seen_and_predicted
from ...widgets import controls
from ...words import Language, text
from .. import answers
from ..registry import exercise, live_figure

DEPTH = 21  # twenty hidden layers
MODES = ("fan_in", "fan_avg", "fan_out")
ACTIVATIONS = ("tanh", "identity", "sigmoid", "relu")


@live_figure
def xavier(*, lang: Language, seed: int = 0):
    """Twenty hidden layers of n, m, n, m, … units, fed 20 digits, before training.

    Var[W] = 1/fan_in, 1/fan_out, or Xavier's 2/(fan_in + fan_out), normal; biases zero.
    """
    data = datasets.digits()
    x, y = data.x_train[:20], data.y_train[:20]
    picture = plots.SignalsByLayer(DEPTH, 6, [text("signal.measured", lang)], lang)

    def respond(n, m, mode, activation):
        init = functools.partial(initializers.variance_scaling, mode=mode, distribution="normal")
        widths = [64, *[n, m] * (DEPTH // 2), 10]
        net = MLP(widths, activation, init, rng=seed)
        picture.update(seen_and_predicted(net, x, y))

    moved = {
        "n": controls.slider("xavier.n", lang, 20, 200, 10, 100),
        "m": controls.slider("xavier.m", lang, 20, 200, 10, 100),
        "mode": controls.choice("xavier.mode", lang, MODES, "fan_avg"),
        "activation": controls.function(lang, ACTIVATIONS, "tanh"),
    }
    return picture, moved, respond


@exercise("04.1", inputs=(200, range(160, 330, 5)))
def xavier_uniform(answer, inputs):
    """Weights (50, 200) from U[−b, b], b² = 6/250, by their law and their independence.

    Of 10,000 draws the variance is known to 1 %, of 8,000, the fewest that there may be, hardly less.
    """
    w, refused = answers.weights(answer, (50, inputs))
    if refused:
        return refused
    rows, columns = w * np.copysign(1, w[:, :1]), w * np.copysign(1, w[:1])  # −w is a copy of w, too
    if len(np.unique(rows, axis=0)) < 50 or len(np.unique(columns, axis=1)[0]) < inputs:
        return "equal", {}
    fans, furthest = inputs + 50, np.abs(w).max()
    bound, ratio, five = (6 / fans) ** 0.5, w.var() / (2 / fans), 5 / w.size**0.5  # standard errors
    fields = {"fans": fans, "bound": f"{bound:.4f}"}
    if abs(w.mean()) > five * w.std():  # 0 but for a chance of 6e-7
        return "mean", fields
    usual = {"three": 1 / 2, "std": 1 / 3, "lecun": fans / (2 * inputs), "he": fans / inputs}
    usual |= {"standard": fans / (6 * inputs), "fan_out": fans / 50, "bound": 3}
    for key, value in usual.items():
        if abs(ratio / value - 1) < 0.06:
            return key, fields
    if abs(furthest / bound**2 - 1) < 0.02:
        return "root", fields
    if ratio < 0.02:
        return "variance", fields
    if abs(ratio - 1) > 0.06:
        return "other", fields | {"ratio": f"{ratio:.2g}"}
    # The bound is 0.1549, which a reader may round; of 10,000 normal weights some reach 0.3.
    if furthest > 1.1 * bound:
        return "normal", fields | {"furthest": f"{furthest:.3g}"}
    # Kolmogorov and Smirnov's distance to the uniform law with that bound: above 2.7/√n by a chance of 1e-6.
    reached = np.sort(w.ravel() / furthest / 2 + 1 / 2)
    if np.abs(reached - np.linspace(0, 1, w.size)).max() > 2.7 / w.size**0.5:
        return "law", fields
    # Neighbours in a row and in a column: 6e-7 each.
    neighbours = [(w[:, 1:], w[:, :-1]), (w[1:], w[:-1])]
    if any(abs(np.mean(a * b)) > five * w.var() for a, b in neighbours):
        return "order", fields
    return "right", fields


@exercise("04.2")
def gain_of_a_slope(answer):
    """1/f'(0) = 2 for f(z) = 2 tanh(z/4)."""
    exact = gain(lambda z: 2 * np.tanh(z / 4))
    return answers.nearest(answer, {"right": 2, "variance": 4, "inverse": 0.5, "one": 1, "exact": exact})


@exercise("04.3", n=(200, range(200, 1000, 20)))  # around 192 share and squared are one
def mostly_zero(answer, n):
    """n·¼·b²/3 = 1 for n = 200: b = √(12/200)."""
    known = {"right": 12, "dense": 3, "share": 3 / 4, "third": 4}
    roots = {key: (value / n) ** 0.5 for key, value in known.items()}
    key, fields = answers.nearest(answer, roots | {"squared": 12 / n})
    return key, fields | {"right": f"{roots['right']:.3g}"}
