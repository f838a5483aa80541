"""Lesson 06b: a net that does not train, and which of its four faults keeps it from training."""

from __future__ import annotations

import functools

import numpy as np

from ... import datasets, initializers, plots
from ...network import MLP
from ...signals import measure
from ...training import iterate
from ...widgets import controls
from ...words import Language, text
from .. import answers
from ..registry import exercise, live_figure

WIDTHS, EPOCHS = [64, *[64] * 19, 10], 6
DRAWS = {"normal": functools.partial(initializers.normal, std=1.0), "xavier": initializers.xavier_normal}
RATES = (1e-4, 0.001, 0.01, 0.03, 0.1, 0.3, 3.0)


class Workbench(plots.TrainingAndSignals):
    """Loss and signals; below, in words, what the other looks find."""

    HEIGHT, BOTTOM, TALL = 4.5, 0.22, 0.61

    def build(self):
        super().build()
        self.found = self.words(0.04, 0.035)

    def update(self, signals, history, lr):
        super().update("net", signals, history, {})
        seen = {"lr": f"{lr:g}", "loss": "…", "saturated": f"{100 * signals.saturated[9]:.0f} %"}
        ratios = np.empty(0)  # none before the first step
        if history is not None:
            seen["loss"] = f"{history.train_loss[0]:.2f}"
            ratios = history.log_update_ratio[:1].ravel()
        if ratios.size:
            low, high = (f"{ratio:.1f}".replace("-", "−") for ratio in (ratios.min(), ratios.max()))
            self.found.set_text(self.text("rescue.found", **seen, low=low, high=high))
        else:
            self.found.set_text(self.text("rescue.first", **seen))


@live_figure
def rescue(*, lang: Language, seed: int = 0):
    """The lesson's net, twenty tanh layers, cured; each control brings one of its faults back."""
    data = datasets.digits()
    dark, span = data.x_train.min(), np.ptp(data.x_train)
    grey = {name: 255 * (getattr(data, name) - dark) / span for name in ("x_train", "x_test")}
    inputs = {"pixels": data._replace(**grey), "standardized": data}
    picture = Workbench({"net": text("rescue.net", lang)}, len(WIDTHS) - 1, EPOCHS, lang)

    def respond(data, hidden, last, lr):
        net = MLP(WIDTHS, "tanh", DRAWS[hidden], rng=seed)
        net.weights[-1][:] = MLP(WIDTHS, "tanh", DRAWS[last], rng=seed).weights[-1]
        data = inputs[data]
        signals = measure(net, data.x_train[:200], data.y_train[:200])
        picture.update(signals, None, lr)
        yield
        for history in iterate(net, data, lr=lr, epochs=EPOCHS, rng=seed):
            picture.update(signals, history, lr)
            yield

    moved = {
        "data": controls.choice("rescue.data", lang, inputs, "standardized"),
        "hidden": controls.choice("rescue.hidden", lang, DRAWS, "xavier"),
        "last": controls.choice("rescue.last", lang, DRAWS, "xavier"),
        "lr": controls.steps("rescue.lr", lang, {f"{rate:g}": rate for rate in RATES}, 0.03),
    }
    return picture, moved, respond


@exercise("06b.1")
def rate_for_three(answer):
    """0.002·10^(4.2 − 3): the ratio is proportional to the rate.

    >>> rate_for_three(0.0317)
    ('right', {})
    >>> rate_for_three(0.03)
    ('right', {})
    >>> rate_for_three(0.002 * 10**-1.2)
    ('down', {})
    >>> rate_for_three(0.002 * 1.2)
    ('linear', {})
    >>> rate_for_three(0.002 * np.exp(1.2))
    ('natural', {})
    >>> rate_for_three(10**1.2)
    ('factor', {})
    >>> rate_for_three(0.1)
    ('other', {})
    >>> rate_for_three("0.03?")
    ('type', {'wanted': 'float', 'came': 'str'})
    """
    known = {"right": 0.002 * 10**1.2, "down": 0.002 * 10**-1.2, "linear": 0.002 * 1.2}
    return answers.nearest(answer, known | {"natural": 0.002 * np.exp(1.2), "factor": 10**1.2}, rel=0.1)
