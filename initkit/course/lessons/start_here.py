"""Lesson 00: one slider, one picture."""

from __future__ import annotations

import numpy as np

from ... import datasets, plots
from ...network import MLP
from ...plots import MEASURED
from ...signals import measure
from ...widgets import controls
from ...words import Language
from ..registry import live_figure

LAYERS = (1, 2, 4, 6, 8, 10)
EDGES = np.linspace(-1, 1, 42)
WIDTH = 200


class LayerHistograms(plots.Picture):
    """How the activations of chosen hidden layers are spread over ``edges``; see ``update``."""

    TOP = 0.5  # share at which a bar leaves the picture

    def __init__(self, layers, edges, lang: Language):
        self.layers, self.edges = tuple(layers), np.asarray(edges)
        super().__init__(lang)

    def build(self):
        figure = self.figure
        figure.suptitle(self.text("taste.title"), fontsize=12, x=0.08, ha="left", y=0.975)
        self.note(0.965, self.text("taste.edge"))
        panels = figure.subplots(2, 3, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(left=0.08, right=0.985, top=0.855, bottom=0.125, wspace=0.14, hspace=0.34)
        self.panels = []
        for axes, layer in zip(panels.flat, self.layers, strict=True):
            axes.set_title(self.text("layers.title", layer=layer), loc="left")
            axes.set(xlim=(self.edges[0], self.edges[-1]), ylim=(0, self.TOP), yticks=(0, 0.25, 0.5))
            empty = np.zeros(len(self.edges) - 1)
            bars = self.moves(axes.stairs(empty, self.edges, fill=True, color=MEASURED))
            over = self.curve(axes, "^", color=MEASURED, ms=6, clip_on=False)
            place = {"transform": axes.transAxes, "ha": "right", "va": "baseline", "color": MEASURED}
            axes.text(0.71, 1.05, self.text("taste.spread"), **place)
            note = axes.add_artist(plots.Words(1, 1.05, MEASURED, right=True))
            self.panels.append((bars, over, self.moves(note)))
        for axes in panels[-1]:
            axes.set(xlabel=self.text("layers.value"), xticks=(-1, 0, 1))
        for axes in panels[:, 0]:
            axes.set_ylabel(self.text("taste.share"))

    def update(self, shares, spreads):
        """``shares`` (layers, bins) sum to 1 a row; ``spreads`` (layers,) are standard deviations."""
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        for (bars, over, note), share, spread in zip(self.panels, shares, spreads, strict=True):
            bars.set_data(values=share)
            too_high = middle[share > self.TOP]
            over.set_data(too_high, np.full(len(too_high), self.TOP))
            over.set_visible(len(too_high) > 0)  # Matplotlib takes as long over a line without points
            note.set_text(f"{spread:#.2g}")


@live_figure
def taste(*, lang: Language, seed: int = 0):
    """How tanh activations spread, layer by layer, as the weights' scale σ_w changes.

    Var[W] = σ_w²/fan_in in a net of ten hidden layers of 200 units, fed 50 real digits.
    """
    x = datasets.digits().x_train[:50]
    picture = LayerHistograms(LAYERS, EDGES, lang)
    chosen = np.array(LAYERS) - 1

    # One draw, at σ_w = 1; a slider scales it, so that the picture moves with the hand alone.
    net = MLP([64, *[WIDTH] * 10, 10], "tanh", "lecun_normal", rng=seed)
    drawn = [weight.copy() for weight in net.weights]

    def respond(sigma_w):
        for weight, unit in zip(net.weights, drawn, strict=True):
            np.multiply(unit, sigma_w, out=weight)
        seen = measure(net, x, edges=EDGES)
        picture.update(seen.histograms[chosen], np.sqrt(seen.activation_var[chosen]))

    sigma_w = controls.slider("taste.sigma_w", lang, 0.1, 4.0, 0.05, 0.5)
    return picture, {"sigma_w": sigma_w}, respond
