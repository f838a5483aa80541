"""Lesson 10: WRITE the question of the lesson, in one sentence."""

from __future__ import annotations

import functools

from ... import datasets, initializers, plots
from ...network import MLP
from ...signals import measure
from ...widgets import controls
from .. import answers
from ..registry import exercise, live_figure

DEPTH, WIDTH = 12, 100


class FiniteWidth(plots.Picture):
    """WRITE what it shows. Two panels, q forward and the gradient backward, are ``plots.SignalsByLayer``."""

    def build(self):
        """Draw what stands still, once, and create what moves, empty. Words come from finite_width.words.toml."""
        axes = self.figure.subplots()
        self.figure.subplots_adjust(left=0.09, right=0.97, top=0.88, bottom=0.13)
        axes.set(xlim=(0.5, DEPTH + 0.5), yscale="log", ylim=(1e-12, 1e2))
        axes.set_title(self.text("finite_width.title"), loc="left")
        axes.set_xlabel(self.text("signal.layer"))
        self.points = self.moves(axes.plot([], [], "o", color=plots.MEASURED, clip_on=False)[0])

    def update(self, q):
        """Set what moves, from results: here ``q`` (layers,). Compute nothing, create no artist."""
        self.points.set_data(range(1, len(q) + 1), q)


@live_figure
def finite_width(*, lang: str, seed: int = 0):
    """WRITE which net, on which data, is shown, and what the controls change."""
    x = datasets.digits().x_train[:50]
    picture = FiniteWidth(lang)

    def respond(gain):
        # Called with the value of every control, by name, when one has moved. Work that takes longer than
        # a tenth of a second yields now and then: what the picture shows by then is seen, and a newer value
        # ends the work.
        init = functools.partial(initializers.xavier_normal, gain=gain)
        net = MLP([64, *[WIDTH] * (DEPTH - 1), 10], "tanh", init, rng=seed)
        picture.update(measure(net, x).q)

    # Other controls: log_slider, steps, choice, function.
    # The slider's lowest and highest value, its step, its start.
    return picture, {"gain": controls.slider("finite_width.gain", lang, 0.1, 3.0, 0.1, 1.0)}, respond


@exercise("10.1")
def factor_of_a_layer(answer):
    """WRITE what is right. Of every key, and of what is no answer at all, an example, which is tested:

    >>> factor_of_a_layer(0.25)
    ('right', {})
    >>> factor_of_a_layer(0.5)
    ('root', {})
    >>> factor_of_a_layer(7)
    ('other', {})
    >>> factor_of_a_layer("a quarter")
    ('type', {'wanted': 'float', 'came': 'str'})
    """
    # The key of what to say, a name in the section check.10.1 of finite_width.words.toml, and the fields of its
    # {braces}. Look at a property of the answer, and name the usual mistakes. Or: between, weights, kept.
    return answers.nearest(answer, {"right": 0.5**2, "root": 0.5})
