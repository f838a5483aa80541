"""Lesson 06: one net, any start: what theory says, what is measured, and what training makes of it."""

from __future__ import annotations

import functools

from .. import activations, datasets, initializers, plots
from ..course.texts import text
from ..network import MLP
from ..theory import seen_and_predicted
from ..training import iterate
from . import controls
from .figure import live_figure

WIDTH, EPOCHS, LR = 64, 6, 0.001
ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid")
DEPTHS = (3, 10, 20, 30, 40)
SCHEMES = {  # from the activation's name to an initializer
    "torch": lambda f: initializers.torch_default,
    "lecun": lambda f: initializers.lecun_normal,
    "xavier": lambda f: initializers.xavier_normal,
    "he": lambda f: initializers.he_normal,
    "exact": lambda f: functools.partial(initializers.he_normal, activation=f),
    "orthogonal": lambda f: functools.partial(initializers.orthogonal, gain=activations.gain(f)),
}


@live_figure
def choosing(*, lang: str, seed: int = 0):
    """Layers of 64 units on the digits; Adam, lr 0.001, batches of 64, 6 epochs.

    Starts that were seen with the same activation and depth stay in the picture as grey curves.
    """
    data = datasets.digits()
    # As many as the lesson measures: where GELU has no stable level, a few images make up nearly all of q.
    x, y = data.x_train[:200], data.y_train[:200]
    names = {name: text(f"choosing.{name}", lang) for name in SCHEMES}
    picture = plots.VerdictCard(names, max(DEPTHS), EPOCHS, lang)
    starts, done = {}, {(f, depth): {} for f in ACTIVATIONS for depth in DEPTHS}

    def respond(activation, depth, scheme):
        seen = done[activation, depth]
        if scheme not in seen:
            return training(activation, depth, scheme, seen)
        before, predicted = starts[activation, depth, scheme]
        picture.update(scheme, before, seen[scheme], seen, predicted)

    def training(activation, depth, scheme, seen):
        net = MLP([64, *[WIDTH] * (depth - 1), 10], activation, SCHEMES[scheme](activation), rng=seed)
        before, predicted = starts[activation, depth, scheme] = seen_and_predicted(net, x, y)
        for history in iterate(net, data, lr=LR, epochs=EPOCHS, optimizer="adam", rng=seed):
            picture.update(scheme, before, history, seen, predicted)
            yield
        seen[scheme] = history

    moved = {
        "activation": controls.function(lang, ACTIVATIONS, "relu"),
        "depth": controls.steps("random.depth", lang, {str(d): d for d in DEPTHS}, 20),
        "scheme": controls.choice("choosing.scheme", lang, names, "torch"),
    }
    return picture, moved, respond
