"""Lesson 03: how large random weights should be, by layer, theory over measurement."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from matplotlib.colors import PowerNorm

from ... import datasets, initializers, plots
from ...network import MLP, scaled
from ...signals import fate
from ...theory import predict, seen_and_predicted
from ...widgets import controls
from ...words import Language, two_digits
from .. import answers
from ..registry import exercise, live_figure

WIDTH, MOST = 100, 30
EDGES = np.linspace(-1, 1, 42)
ACTIVATIONS = ("tanh", "relu", "sigmoid")
DISTRIBUTIONS = ("normal", "uniform")


class ForwardAndBackward(plots.Picture):
    """The activations' distribution, the signal forward and the gradient backward, over the layers."""

    TOP = 0.25  # share at which the darkest blue is reached; the shade is its root, as most shares are small

    def __init__(self, most: int, edges, lang: Language):
        self.most, self.edges = most, np.asarray(edges)
        super().__init__(lang)

    def build(self):
        spread, forward, backward = self.figure.subplots(1, 3)
        for axes, left, width in ((spread, 0.06, 0.26), (forward, 0.415, 0.25), (backward, 0.735, 0.25)):
            axes.set_position((left, 0.125, width, 0.69))
        spread.set_title(self.text("random.spread"), loc="left")
        spread.set_xlabel(self.text("signal.layer"))
        spread.set_ylabel(self.text("layers.value"), labelpad=0)
        spread.set(yticks=(-1, 0, 1), xticks=range(1, self.most + 1, 1 + self.most // 8))
        where = (0.5, self.most + 0.5, self.edges[0], self.edges[-1])
        self.shares = self.moves(
            spread.imshow(
                np.zeros((len(self.edges) - 1, self.most)),
                cmap="Blues", norm=PowerNorm(0.5, 0, self.TOP), aspect="auto", origin="lower", extent=where,
                interpolation="nearest",
            )
        )  # fmt: skip
        self.forward = plots.ByLayer(self, forward, self.most, 18, "signal.forward", "o")
        self.backward = plots.ByLayer(self, backward, self.most, 18, "signal.backward", "s")
        plots.key(self.figure, forward, plots.both(self.lang), (0.56, 0.955), "center")
        self.note(0.955, self.text("signal.edge"))
        self.verdict = self.words(0.04, 0.943, size=12)

    def update(self, seen, predicted):
        """``seen``: measured Signals, with histograms over ``edges``; ``predicted``: theory's."""
        shares = np.full((self.most, len(self.edges) - 1), np.nan)
        shares[: seen.depth - 1] = seen.histograms[:-1]  # the last layer is linear
        self.shares.set_data(np.ma.masked_invalid(shares.T))
        self.forward.update(seen.q, predicted.q)
        self.backward.update(seen.grad_var, predicted.grad_var)
        if seen.q[-1] == 0:
            self.verdict.set_text(self.text("random.gone", layer=int(np.argmin(seen.q)) + 1))
        elif seen.overflowed_at is None:
            ratio = two_digits(seen.q[-1] / seen.q[0])
            self.verdict.set_text(self.text("random.verdict", depth=seen.depth, ratio=ratio))
        else:
            self.verdict.set_text(self.text("random.overflowed", layer=seen.overflowed_at))


@live_figure
def random(*, lang: Language, seed: int = 0):
    """Weights of standard deviation σ in nets of 100 units a layer, fed 100 digits, before training.

    Points are measured; the line is what theory predicts for an infinitely wide net.
    """
    data = datasets.digits()
    x, y = data.x_train[:100], data.y_train[:100]
    picture = ForwardAndBackward(MOST, EDGES, lang)

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
        "depth": controls.slider("network.depth", lang, 2, MOST, 1, 10),
        "distribution": controls.choice("random.distribution", lang, DISTRIBUTIONS, "normal"),
        "activation": controls.function(lang, ACTIVATIONS, "tanh"),
    }
    return picture, moved, respond


@exercise("03.1", width=(400, range(250, 1270, 30)))
def level_signal(answer, width):
    """A σ that keeps signal and gradient within a factor of 100 over 20 tanh layers, by theory's line."""
    sigma, refused = answers.between(answer, 0, 1e3)
    if refused:
        return refused
    found = fate(predict(20, width, "tanh", sigma * width**0.5, q0=64 / width))
    scale = np.array([1.0, 1.2])  # the two σ_w that the lesson names

    def mistaken_for(values):
        return (np.abs(sigma / values - 1) < 0.02).any()

    key, fields = answers.kept(found, squared=mistaken_for(scale**2 / width))
    if key == "large" and mistaken_for(scale):
        key = "scale"
    if key == "large" and mistaken_for(scale / WIDTH**0.5):
        key = "hundred"
    return key, fields | {"right": f"{1.2 / width**0.5:.2g}"}


@exercise("03.2", n=(300, range(200, 1000, 20)))
def uniform_bound(answer, n):
    """√(3/300) = 0.1: the variance of U[−b, b] is b²/3."""
    number = answers.number(answer)
    if number is not None and not 0 < number < np.inf:
        return "range", {}
    b = (3 / n) ** 0.5
    known = {"std": n**-0.5, "variance": 1 / n, "width": 2 * b, "six": 2**0.5 * b, "squared": 3 / n}
    key, fields = answers.nearest(answer, {"right": b, **known})
    if key == "other":
        return key, {"variance": f"{n * number**2 / 3:.3g}"}
    return key, fields | {"right": f"{b:.3g}"}


SPECIMENS = {"A": ("sigmoid", 0.2), "B": ("tanh", 0.6), "C": ("tanh", 0.07)}


def specimen(name: Literal["A", "B", "C"], *, lang: Language) -> plots.Figure:
    """The picture of lesson 03 for a net of its third exercise: what ails the net is for you to see.

    Parameters
    ----------
    name : {"A", "B", "C"}
        The net.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    plots.Figure

    Raises
    ------
    KeyError
        There is no such net.

    Examples
    --------
    >>> specimen("A", lang="en").axes[1].get_title("left")
    'Signal q, mean sq.'
    """
    if name not in SPECIMENS:
        raise KeyError(f"no specimen is called {name!r}; there are {', '.join(SPECIMENS)}")
    activation, sigma = SPECIMENS[name]
    net = MLP([64, *[WIDTH] * 19, 10], activation, functools.partial(initializers.normal, std=sigma), rng=0)
    data = datasets.digits()
    seen = seen_and_predicted(net, data.x_train[:100], data.y_train[:100], EDGES)
    return ForwardAndBackward(net.depth, EDGES, lang).still(*seen)


@exercise("03.3")
def read_in_a_picture(answer):
    """What the specimens' pictures show: 4, 3, 2. A test holds them to what is measured.

    >>> read_in_a_picture([4, 3, 2])
    ('right', {})
    >>> read_in_a_picture([1, 3, 2])
    ('level', {'net': 'A'})
    >>> read_in_a_picture([4, 4, 2])
    ('direction', {'net': 'B'})
    >>> read_in_a_picture([4, 3, 1])
    ('other', {'net': 'C'})
    >>> read_in_a_picture(["4", "3", "2"])
    ('three', {})
    >>> read_in_a_picture("A")
    ('type', {'wanted': 'list', 'came': 'str'})
    """
    chosen = answers.numbers(answer)
    if chosen is None and not isinstance(answer, list):
        return answers.mistyped(answer, "list")
    chosen = [] if chosen is None else chosen.ravel().tolist()
    if len(chosen) != 3 or not {1, 2, 3, 4}.issuperset(chosen):
        return "three", {}
    for net, said, right in zip(SPECIMENS, chosen, (4, 3, 2), strict=True):
        if said != right:
            wrong_way = {said, right} == {3, 4}
            level = said == 1 and right != 2
            return ("level" if level else "direction" if wrong_way else "other"), {"net": net}
    return "right", {}
