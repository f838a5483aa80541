"""Lesson 10: what happens to the one net that you have, where the mean over all nets is kept."""

from __future__ import annotations

import math

import numpy as np

from ... import plots, sampling, theory
from ...arguments import Array
from ...widgets import controls
from ...words import Language
from .. import answers
from ..registry import exercise, live_figure

BARS, NARROW, WIDE, START = 10, 2, 100, 40
NETS, MOST = 500, 4  # nets in the cloud; how many times they have the ten layers, at most
LOW, HIGH, METER = 1e-5, 1e2, 1.5  # the ends of the axes: M, and Σ1/n
APART = 0.06  # marks nearer than that on the meter would melt together


class Cloud(plots.Picture):
    """500 nets as dots over M, the law's line on them; beside it, how they got there, over Σ1/n."""

    HEIGHT = 3.7

    def build(self):
        cloud, walk = self.figure.subplots(1, 2)
        cloud.set_position((0.03, 0.14, 0.45, 0.64))
        walk.set_position((0.56, 0.14, 0.42, 0.64))
        for axes, title in ((cloud, "finite_width.cloud"), (walk, "finite_width.walk")):
            axes.set(xscale="log", xlim=(LOW, HIGH), xlabel="$M$")
            axes.set_title(self.text(title), loc="left", fontsize=11)
            axes.axvline(1, color=plots.THEORY, lw=0.8, ls=":")
            plots.ruled(axes, "x")
        cloud.set(ylim=(0, 1.35), yticks=[])
        walk.set(ylim=(METER, 0), ylabel=r"$\sum\,1/n$")
        at = np.linspace(0, METER, 60)
        for edge, style in ((0, "-"), (-1.645, "--"), (1.645, "--")):
            walk.plot(np.exp(-5 * at / 2 + edge * np.sqrt(5 * at)), at, color=plots.THEORY, lw=1.2, ls=style)
        dots = {"color": plots.MEASURED, "ls": ""}
        self.dots = self.curve(cloud, "o", ms=2.6, mew=0, alpha=0.8, **dots)
        self.law = self.curve(cloud, **plots.line(False))
        at_edge = {"transform": cloud.get_xaxis_transform(), "clip_on": False, **dots}
        self.median = self.curve(cloud, "v", ms=9, **at_edge)
        self.mean = self.curve(cloud, "D", ms=7, mfc="white", **at_edge)
        self.sides = self.curve(walk, "|", ms=6, **dots)
        self.middle = self.curve(walk, "v", ms=5, **dots)
        entries = {
            self.text("finite_width.median_mark"): {"marker": "v", "ms": 7, **dots},
            self.text("finite_width.mean_mark"): {"marker": "D", "ms": 6, "mfc": "white", **dots},
            self.text("finite_width.law"): plots.line(False),
        }
        plots.key(self.figure, cloud, entries, (0.985, 0.945), "center right")
        self.said = self.words(0.03, 0.93)

    def update(self, dots, law, median, mean, path, total, dead):
        """``dots``: (2, living nets); ``law``: (2, points); ``path``: Σ1/n, 5 %, median and 95 % by layer."""
        self.dots.set_data(np.clip(dots[0], LOW, HIGH), dots[1])
        self.law.set_data(*law)
        self.median.set_data([max(median, LOW)], [0.985])
        self.mean.set_data([min(max(mean, LOW), HIGH)], [0.985])
        _, shown = np.unique((path[0, -1] - path[0, ::-1]) // APART, return_index=True)  # from the last layer
        at, *edges = path[:, ::-1][:, shown]
        low, middle, high = np.clip(edges, LOW, HIGH)
        self.sides.set_data(np.append(low, high), np.append(at, at))
        self.middle.set_data(middle, at)
        said = {"total": f"{total:.2f}", "median": f"{median:.2g}", "mean": f"{mean:.2g}", "dead": dead}
        self.said.set_text(self.text("finite_width.said", **said))


def stacked(logs: Array, spread: float) -> Array:
    """A dot for each entry, on top of those of its column: (2, entries). The law's peak has height 1."""
    column = 0.15 * spread
    place = np.floor(logs / column)
    order = np.argsort(place, kind="stable")
    sorted_place = place[order]
    height = np.arange(len(logs)) - np.searchsorted(sorted_place, sorted_place)
    peak = NETS * 0.15 / math.sqrt(2 * math.pi)
    return np.array([np.exp((sorted_place + 0.5) * column), (height + 0.5) / peak])


@live_figure
def finite_width(*, lang: Language, seed: int = 0):
    """Ten ReLU layers from He, once, twice or four times; the width of each is a bar. M of 500 such nets.

    Given a layer's input, the entries of z are independent normals, whatever the input's direction. So a
    column of normals replaces the matrix: one draw serves every width, and the dots move with the hand.
    """
    picture = Cloud(lang)
    normals = sampling.generator(seed).standard_normal((BARS * MOST, NETS, WIDE), np.float32)
    sums = np.cumsum(np.square(np.maximum(normals, 0)), axis=-1)  # of the first 1, 2, … units
    curve = np.linspace(-4, 4, 81)

    def respond(widths, times):
        n = np.array(widths * times)
        layers = np.arange(len(n))
        m = np.cumprod(2 / n[:, None] * sums[layers, :, n - 1], axis=0, dtype=np.float64)
        last = m[-1]
        living = last[last > 0]
        exact = theory.log_length(n)
        spread = math.sqrt(exact.variance)
        law = np.exp(exact.mean + curve * spread), np.exp(-(curve**2) / 2) * (1 - exact.dead)
        path = np.vstack([np.cumsum(1 / n), np.quantile(m, (0.05, 0.5, 0.95), axis=1)])
        dead = NETS - len(living)
        picture.update(
            stacked(np.log(living), spread), law, np.median(last), last.mean(), path, path[0, -1], dead
        )

    moved = {
        "widths": controls.bars("finite_width.widths", "finite_width.every", lang, BARS, NARROW, WIDE, START),
        "times": controls.steps("finite_width.times", lang, {"10": 1, "20": 2, "40": MOST}, 1),
    }
    return picture, moved, respond


@exercise("10.1", depth=(30, range(44, 60)), width=(60, (62, 66, 70)))
def median_of_m(answer, depth, width):
    """exp(−β/2), β = 5·30/60."""
    total = depth / width
    right = math.exp(-5 * total / 2)
    known = {
        "right": right,
        "mean": 1.0,
        "sum": total,
        "beta": 5 * total,
        "whole": math.exp(-5 * total),
        "linear": math.exp(-total),
        "logarithm": -5 * total / 2,
        "exact": math.exp(theory.log_length([width] * depth).mean),
    }
    key, fields = answers.nearest(answer, known)
    return key, fields | {"right": f"{right:.3g}", "sum": f"{total:.3g}"}


# Depths at which the width is no whole number before it is rounded.
@exercise("10.2", depth=(42, (30, 32, 36, 38, 42, 44, 48, 50, 54, 56, 60, 62, 66, 68)), code=(8, (5, 8, 10)))
def width_beside_a_bottleneck(answer, depth, code):
    """41/n ≤ ½ − 1/8: 110."""
    left = 0.5 - 1 / code
    right = math.ceil((depth - 1) / left - 1e-9)
    found = answers.number(answer)
    if found is None:
        return answers.mistyped(answer, "int")
    fields = {"right": right, "code": code, "others": depth - 1}
    if found == right:
        return "right", fields
    if found in (math.ceil((depth - 1) / 0.5), math.ceil(depth / 0.5)):
        return "forgotten", fields
    if found == math.ceil(depth / left - 1e-9):
        return "counted", fields
    if right - 1 < found < right or found == math.floor((depth - 1) / left):
        return "rounded", fields
    if found > right:
        return "wider", fields
    return "other", fields


@exercise("10.3", width=(5, (4, 5, 6)), depth=(20, (15, 20, 24, 26, 28, 30, 32, 34, 38, 40, 42)))
def born_dead(answer, width, depth):
    """1 − (1 − 2⁻⁵)²⁰."""
    layer = 0.5**width
    right = 1 - (1 - layer) ** depth
    known = {
        "right": right,
        "layer": layer,
        "alive": 1 - right,
        "added": depth * layer,
        "all": layer**depth,
        "per_cent": 100 * right,
    }
    key, fields = answers.nearest(answer, known, rel=0.01)
    return key, fields | {"right": f"{right:.3g}"}
