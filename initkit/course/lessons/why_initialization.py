"""Lesson 01: same net, same data, same learning rate; only the starting weights change."""

from __future__ import annotations

import functools

from ... import datasets, initializers, plots
from ...network import MLP
from ...signals import measure
from ...training import iterate
from ...widgets import controls
from ...words import Language, two_digits
from .. import answers
from ..registry import exercise, live_figure

STARTS = {
    "zeros": "zeros",
    "small": functools.partial(initializers.normal, std=0.01),
    "large": functools.partial(initializers.normal, std=1.0),
    "xavier": "xavier_normal",
    "he": "he_normal",
}
WIDTHS = [64, *[100] * 10, 10]
EPOCHS, LR = 12, 0.03


@live_figure
def why_initialization(*, lang: Language, seed: int = 0):
    """Five starts of one ReLU network on the digits: its loss curve, and its signals before training.

    Ten hidden layers of 100 units, plain SGD, lr 0.03, batches of 64, 12 epochs. Starts that were seen
    before stay in the picture as grey curves.
    """
    data = datasets.digits()
    names = controls.labels("start", lang, STARTS)
    picture = plots.TrainingAndSignals(names, len(WIDTHS) - 1, EPOCHS, lang)
    before, done = {}, {}

    def respond(start):
        if start in done:
            picture.update(start, before[start], done[start], done)
            yield
            return
        net = MLP(WIDTHS, "relu", STARTS[start], rng=seed)
        before[start] = measure(net, data.x_train[:200], data.y_train[:200])
        picture.update(start, before[start], None, done)
        yield
        for history in iterate(net, data, lr=LR, epochs=EPOCHS, rng=seed):
            picture.update(start, before[start], history, done)
            yield
        done[start] = history

    start = controls.choice("start.choice", lang, names, "zeros")
    return picture, {"start": start}, respond


@exercise("01.1", kept=(0.8, (0.7, 0.75, 0.8)), layers=(40, range(20, 40)))
def factor_to_the_depth(answer, kept, layers):
    """0.8⁴⁰."""
    # The root is so near to 1 that with a tolerance of 5 % it would be taken for 1.
    close = answers.nearest(answer, {"one": 1, "root": kept ** (1 / layers)}, rel=0.005)
    if close[0] != "other":
        return close
    right = kept**layers
    known = {"right": right, "percent": 100 * right, "sum": kept * layers, "lost": (1 - kept) ** layers}
    key, fields = answers.nearest(answer, known | {"inverse": 1 / right}, rel=0.05)
    return key, fields | {"right": f"{right:.2g}"}


@exercise("01.2")
def level_relu(answer):
    """A σ that keeps q within a factor of ten over ten hidden ReLU layers, found by measuring ten nets.

    The reader has measured one net, of any seed: what one of the ten keeps is right.
    """
    sigma, refused = answers.between(answer, 0, 1e3)
    if refused:
        return refused
    draw, x, ratios = functools.partial(initializers.normal, std=sigma), datasets.digits().x_train[:200], []
    for seed in range(10):
        q = measure(MLP(WIDTHS, "relu", draw, rng=seed), x).q
        ratios.append(q[10] / q[0])
    low, high = min(ratios), max(ratios)
    count = sum(0.1 <= ratio <= 10 for ratio in ratios)
    if count:
        key = "right"
    elif 0.015 <= sigma <= 0.025:
        key = "variance"
    else:
        key = "small" if high < 0.1 else "large"
    return key, {"count": count, "low": two_digits(low), "high": two_digits(high)}


@exercise("01.3")
def demand_that_fails(answer):
    """The second: a signal of 10⁻¹² is gone, and full rank says that the symmetry is broken."""
    return answers.nearest(answer, {"right": 2, "symmetry": 1, "speed": 3})
