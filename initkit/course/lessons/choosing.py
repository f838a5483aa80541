"""Lesson 06: one net, any start: what theory says, what is measured, and what training makes of it."""

from __future__ import annotations

import functools

import numpy as np

from ... import activations, datasets, initializers, plots
from ...network import MLP
from ...signals import fate, measure
from ...theory import seen_and_predicted
from ...training import iterate
from ...widgets import controls
from ...words import Language, two_digits
from .. import answers
from ..registry import exercise, live_figure

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
FATES = {"vanishes": "fades", "kept": "kept", "explodes": "grows"}  # by verdict, what the card calls it


class VerdictCard(plots.TrainingAndSignals):
    """Loss and signals, theory over measurement; below, in words, how far both say that the signal gets."""

    HEIGHT, BOTTOM, TALL = 4.7, 0.26, 0.57

    def build(self):
        super().build()
        rows = (("signal.theory", plots.THEORY, 0.09), ("signal.measured", plots.MEASURED, 0.03))
        for key, color, height in rows:
            self.figure.text(0.04, height, self.text(key), color=color, fontsize=11)
        self.rows = [self.words(0.14, height, color) for _, color, height in rows]

    def update(self, name, signals, history, others, predicted):
        super().update(name, signals, history, others, predicted)
        for row, said in zip(self.rows, (predicted, signals), strict=True):
            words = {
                way: self.text(f"fate.{FATES[passage.verdict]}", change=two_digits(passage.change))
                for way, passage in plots.passages(said).items()
            }
            row.set_text(self.text("fate.passage", **words))


@live_figure
def choosing(*, lang: Language, seed: int = 0):
    """Layers of 64 units on the digits; Adam, lr 0.001, batches of 64, 6 epochs.

    Starts that were seen with the same activation and depth stay in the picture as grey curves.
    """
    data = datasets.digits()
    # 200, as many as the lesson measures: where GELU has no stable level, a few images make up most of q.
    x, y = data.x_train[:200], data.y_train[:200]
    names = controls.labels("choosing", lang, SCHEMES)
    picture = VerdictCard(names, max(DEPTHS), EPOCHS, lang)
    starts, done = {}, {(f, depth): {} for f in ACTIVATIONS for depth in DEPTHS}

    def respond(activation, depth, scheme):
        seen = done[activation, depth]
        if scheme in seen:
            before, predicted = starts[activation, depth, scheme]
            picture.update(scheme, before, seen[scheme], seen, predicted)
            yield
            return
        net = MLP([64, *[WIDTH] * (depth - 1), 10], activation, SCHEMES[scheme](activation), rng=seed)
        before, predicted = starts[activation, depth, scheme] = seen_and_predicted(net, x, y)
        picture.update(scheme, before, None, seen, predicted)
        yield
        for history in iterate(net, data, lr=LR, epochs=EPOCHS, optimizer="adam", rng=seed):
            picture.update(scheme, before, history, seen, predicted)
            yield
        seen[scheme] = history

    moved = {
        "activation": controls.function(lang, ACTIVATIONS, "relu"),
        "depth": controls.steps("network.depth", lang, {str(d): d for d in DEPTHS}, 20),
        "scheme": controls.choice("choosing.scheme", lang, names, "torch"),
    }
    return picture, moved, respond


@exercise("06.1")
def on_the_hilltop(answer):
    """A gain that keeps signal and gradient within a factor of 100 over 40 GELU layers, in 7 nets of 10."""
    g, refused = answers.between(answer, 0, 10)
    if refused:
        return refused
    data, draw = datasets.digits(), functools.partial(initializers.he_normal, gain=g)
    verdicts = []  # on signal and gradient, a row a net
    for seed in range(10):
        net = MLP([64, *[100] * 39, 10], "gelu", draw, rng=seed)
        found = fate(measure(net, data.x_train[:200], data.y_train[:200]))
        verdicts.append((found.signal.verdict, found.gradient.verdict))
    verdicts = np.array(verdicts)
    kept, lost, grown = (verdicts == verdict for verdict in ("kept", "vanishes", "explodes"))
    fields = {"kept": kept.all(axis=1).sum(), "signal": kept[:, 0].sum(), "gradient": kept[:, 1].sum()}
    if fields["kept"] >= 7:
        return "right", fields
    if 2 <= g <= 2.4:
        return "variance", fields
    if lost.sum() > grown.sum():
        return "small", fields
    return ("gradient" if fields["signal"] >= 7 else "large"), fields


@exercise("06.2")
def a_start_for_each(answer):
    """Of five starts one for each of five layers, each once: the only way in which none of them is wrong."""
    chosen = answers.numbers(answer)
    if chosen is None and not isinstance(answer, (list, tuple)):
        return answers.mistyped(answer, "list")
    if chosen is None or sorted(chosen.ravel()) != [1, 2, 3, 4, 5]:
        return "once", {}
    right = [4, 2, 1, 5, 3]  # for the tanh layer, ReLU's, the branch's end, the embedding, the recurrent one
    wrong = [was != is_right for was, is_right in zip(chosen.ravel(), right, strict=True)]
    for key, at in {"zero": 2, "recurrent": 4, "embedding": 3, "swapped": 0}.items():
        if wrong[at]:
            return key, {}
    return "right", {}


@exercise("06.3", channels=(32, range(16, 128, 4)), slope=(0.2, (0.2, 0.25, 0.3, 0.35, 0.4)))
def leaky_convolution(answer, channels, slope):
    """√(2/(1.04·288)), to three digits or two: 0.082."""
    n, a = 3 * 3 * channels, slope
    known = {
        "right": 2 / ((1 + a**2) * n),
        "channels": 2 / ((1 + a**2) * channels),
        "xavier": 1 / n,
        "sum": 2 / ((1 + a) * n),
    }
    roots = {key: value**0.5 for key, value in known.items()}
    mistaken = {"variance": known["right"], "relu": (2 / n) ** 0.5}
    key, fields = answers.nearest(answer, roots | mistaken, rel=0.009)
    return key, fields | {"n": n, "right": f"{roots['right']:.2g}"}
