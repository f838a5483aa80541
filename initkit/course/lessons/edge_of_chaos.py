"""Lesson 08: what a deep net does to two inputs, by σ_w and σ_b, and how deep it may be to be trained."""

from __future__ import annotations

import copy
import csv
import functools
from pathlib import Path

import numpy as np
from matplotlib.image import AxesImage

from ... import activations, datasets, initializers, plots
from ...arguments import Array
from ...network import MLP
from ...plots import DIM, FAINT, MEASURED, QUIET, THEORY
from ...signals import cosines, mean_cosine, mean_square
from ...theory import PhaseMap, correlation_map, critical_sigma_w, length_map, phase
from ...training import iterate, train
from ...widgets import controls
from ...words import Language, text
from .. import answers
from ..registry import exercise, live_figure

DEPTH, WIDTH, LR, EPOCHS = 30, 64, 0.05, 3  # of the nets on the map
WIDTHS = [64, *[WIDTH] * (DEPTH - 1), 10]
FUNCTIONS = ("tanh", "relu", "gelu", "silu")
# The sliders' steps. Theory is known on them beforehand, so that a move does not wait for it.
SIGMA_W, SIGMA_B = np.arange(45, 306, 5) / 100, np.arange(0, 71, 5) / 100
EXPLODED = 1e13  # a q* above this stands for infinity: the signal explodes
SHOWN = (1, 2, 5, 10, 20, 29)  # layers, as clocks
RUNS = Path(__file__).with_name("edge_of_chaos.csv")  # made by tools/edge_map.py


@functools.cache
def _unit_net(seed: int) -> MLP:
    """Weights of variance 1/fan_in and biases of variance 1, which σ_w and σ_b then multiply."""
    bias = functools.partial(initializers.normal, std=1.0)
    return MLP(WIDTHS, "tanh", "lecun_normal", bias, rng=seed)


def net_at(activation: str, sigma_w: float, sigma_b: float, seed: int) -> MLP:
    """A net for the digits: weights N(0, σ_w²/fan_in), biases N(0, σ_b²); of one seed, the same draw, scaled.

    >>> net = net_at("tanh", 1.5, 0.2, seed=0)
    >>> net.depth, round(float(net.weights[1].std()) * 64**0.5, 1)
    (30, 1.5)
    """
    net = copy.copy(_unit_net(seed))
    net.activation = activations.get(activation)
    net.weights = [np.float32(sigma_w) * drawn for drawn in net.weights]
    net.biases = [np.float32(sigma_b) * drawn for drawn in net.biases]
    return net


def accuracy_of(activation: str, sigma_w: float, sigma_b: float, seed: int) -> float:
    """The test accuracy of one of the map's nets after ``EPOCHS`` epochs."""
    net = net_at(activation, sigma_w, sigma_b, seed)
    history = train(net, datasets.digits(), lr=LR, epochs=EPOCHS, rng=seed, progress=False)
    return float(history.test_accuracy[-1])


@functools.cache
def measured() -> dict[str, tuple[Array, Array, Array]]:
    """By activation: the σ_w, the σ_b, and the accuracies of all runs there, (σ_b, σ_w, runs)."""
    with RUNS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    found = {}
    for name in FUNCTIONS:
        values = np.array([row[1:] for row in rows if row[0] == name], float)
        w, b = np.unique(values[:, 0]), np.unique(values[:, 1])
        found[name] = w, b, values[:, 2:].reshape(len(b), len(w), -1)
    return found


@functools.cache
def theory_of(activation: str) -> PhaseMap:
    """``phase`` on all the sliders' steps, (σ_b, σ_w)."""
    return phase(activation, SIGMA_W[None], SIGMA_B[:, None])


def edge_line(theory: PhaseMap) -> tuple[Array, Array]:
    """Where χ₁ = 1: σ_w, NaN where there is none, and σ_b.

    Where χ₁ jumps over 1, as GELU's does where its q* becomes infinite, there is no edge. ReLU's q* becomes
    infinite, too, but its χ₁ rises no faster than σ_w².

    >>> w, b = edge_line(theory_of("tanh"))
    >>> w[[0, 6]].round(1).tolist()
    [1.0, 1.4]
    >>> for f in ("gelu", "silu"):  # as critical_sigma_w has it
    ...     b[np.isfinite(edge_line(theory_of(f))[0])][:1].round(2).tolist()
    [0.45]
    []
    """
    log = np.log(theory.chi_1)
    steady = (theory.q_star[:, 1:] < EXPLODED) | (np.diff(log) < 1.1 * np.diff(2 * np.log(SIGMA_W)))
    crosses = (log[:, :-1] < 0) & (log[:, 1:] >= -1e-9) & steady
    at, row = crosses.argmax(axis=1), np.arange(len(log))
    left, right = log[row, at], log[row, at + 1]
    w = SIGMA_W[at] - left / (right - left) * (SIGMA_W[at + 1] - SIGMA_W[at])
    return np.where(crosses.any(axis=1), w, np.nan), SIGMA_B


def walk(first: float, x: Array, y: Array, steps: int) -> Array:
    """The steps of an iteration on the curve (x, y), as the path of a cobweb, (2, points)."""
    path = [(first, first)]
    for _ in range(steps):
        after = float(np.interp(path[-1][0], x, y))
        path += [(path[-1][0], after), (after, after)]
    return np.array(path).T


class Shades(AxesImage):
    """An image that caches its resampled pixels: to resample it takes a quarter of a picture's time."""

    kept: dict[float, tuple]  # resolution → what matplotlib made of it

    def show(self, values, extent, cmap, low, high):
        """Show other ``values`` (σ_b, σ_w) over ``extent``, in 16 shades from ``low`` to ``high``."""
        self.kept = {}
        self.set_data(low + np.round(16 * (values - low) / (high - low)) / 16 * (high - low))
        self.set_extent(extent)
        self.set_cmap(cmap)
        self.set_clim(low, high)

    def make_image(self, renderer, magnification=1.0, unsampled=False):
        if renderer.dpi not in self.kept:
            self.kept[renderer.dpi] = super().make_image(renderer, magnification, unsampled)
        return self.kept[renderer.dpi]


class Map(plots.Picture):
    """The map; cobwebs of q and c; ten digits as the hands of clocks; the net's ten answers."""

    HEIGHT = 5.2
    Q = (1e-3, 1e3)

    def build(self):
        ground, length, correlation, clocks, bars = self.figure.subplots(1, 5)
        for axes, place in (
            (ground, (0.055, 0.475, 0.37, 0.345)),
            (length, (0.5, 0.475, 0.205, 0.345)),
            (correlation, (0.775, 0.475, 0.205, 0.345)),
            (clocks, (0.02, 0.01, 0.625, 0.3)),
            (bars, (0.7, 0.065, 0.28, 0.255)),
        ):
            axes.set_position(place)
        self._build_ground(ground)
        self._build_cobwebs(length, correlation)
        self._build_clocks(clocks)
        bars.set(xlim=(-0.6, 9.6), ylim=(0, 1), xticks=range(10), yticks=(0, 0.5, 1))
        bars.set_yticklabels(["0", "50 %", "100 %"])
        bars.set_title(self.text("edge_of_chaos.answers"), loc="left")
        bars.axhline(0.1, color=QUIET, lw=0.8, ls=":")
        self.bars = self.curve(bars, color=MEASURED, lw=15, solid_capstyle="butt")
        self.said = self.words(0.02, 0.955)
        self.forecast = self.words(0.02, 0.905, THEORY)

    def _build_ground(self, axes):
        half = (SIGMA_W[2] - SIGMA_W[0]) / 2, (SIGMA_B[1] - SIGMA_B[0]) / 2
        xs, ys = SIGMA_W[1:-1:2].tolist(), SIGMA_B.tolist()
        self.cells = plots.Cells(axes, "sigma_w", xs, "sigma_b", ys)
        axes.set(
            xlim=(xs[0] - half[0], xs[-1] + half[0]), ylim=(ys[0] - half[1], ys[-1] + half[1]),
            xlabel=r"$\sigma_w$", xticks=(0.5, 1, 1.5, 2, 2.5, 3),
            ylabel=r"$\sigma_b$", yticks=(0, 0.2, 0.4, 0.6),
        )  # fmt: skip
        axes.xaxis.labelpad = axes.yaxis.labelpad = 0
        self.shades = self.moves(axes.add_image(Shades(axes, origin="lower", interpolation="nearest")))
        self.shown = None  # what ``shades`` shows now: most moves ask for the same again
        self.edge = self.curve(axes, color=THEORY, lw=2)
        self.here = self.curve(axes, "o", ms=11, mfc="white", mec="black", mew=2.5, clip_on=False)
        self.legend = self.words(0.055, 0.838, "black", 10)

    def _build_cobwebs(self, length, correlation):
        length.set(xlim=self.Q, ylim=self.Q, xscale="log", yscale="log")
        length.set_xticks([1e-3, 1, 1e3])
        length.set_yticks([1e-3, 1, 1e3])
        length.minorticks_off()
        length.set_title(self.text("edge_of_chaos.length"), loc="left")
        correlation.set(xlim=(0, 1.02), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        correlation.set_title(self.text("edge_of_chaos.correlation"), loc="left")
        self.cobwebs = []
        for axes, low, high in ((length, *self.Q), (correlation, 0, 1)):
            axes.plot([low, high], [low, high], color=QUIET, lw=0.8)
            plots.ruled(axes)
            path, curve = self.curve(axes, color=DIM, lw=1), self.curve(axes, color=THEORY, lw=2)
            self.cobwebs.append((path, curve, self.curve(axes, "o", ms=4, color=MEASURED)))

    def _build_clocks(self, axes):
        axes.set(xlim=(-1.15, 2.3 * len(SHOWN) - 1.15), ylim=(-1.75, 1.55))
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.set_title(self.text("edge_of_chaos.clocks"), loc="left")
        turn = np.linspace(0, 2 * np.pi, 100)
        for k, layer in enumerate(SHOWN):
            axes.plot(2.3 * k + np.cos(turn), np.sin(turn), color=FAINT, lw=1)
            label = self.text("edge_of_chaos.layer", layer=layer)
            axes.text(2.3 * k, -1.2, label, ha="center", va="top", fontsize=9, color=DIM)
        self.hands = self.curve(axes, color=MEASURED, lw=1.3)
        self.tips = self.curve(axes, "o", ms=3.5, color=MEASURED)
        self.mean = self.curve(axes, color=THEORY, lw=2)

    def shade(self, shades, legend, edge):
        """What lies behind the map: ``shades``, as ``Shades.show`` takes them; ``edge``: its σ_w and σ_b."""
        if shades is not self.shown:
            self.shades.show(**shades)
            self.shown = shades
        self.legend.set_text(legend)
        self.edge.set_data(*edge)

    def update(self, place, cobwebs, angles, mean, shares, said, forecast):
        """``place``: σ_w, σ_b; ``cobwebs``: of q and of c, (path, curve, points), each (2, n).

        ``angles``: from the first digit, (``SHOWN``, digits); ``mean``: theory's, (``SHOWN``,); ``shares``,
        (10,), of the answers.
        """
        self.here.set_data([place[0]], [place[1]])
        for lines, shown in zip(self.cobwebs, cobwebs, strict=True):
            for drawn, points in zip(lines, shown, strict=True):
                drawn.set_data(*points)
        side = np.where(np.arange(angles.shape[1]) % 2, 1, -1)  # by turns to the left and to the right
        self._point(self.hands, angles * side, self.tips)
        self._point(self.mean, np.stack([mean, -mean], axis=1))
        digits = np.repeat(np.arange(10), 3)
        self.bars.set_data(digits, np.stack([0 * shares, shares, np.full(10, np.nan)], axis=1).ravel())
        self.said.set_text(said)
        self.forecast.set_text(forecast)

    def _point(self, hands, angles, tips=None):
        """Hands at these angles from twelve o'clock, (clocks, hands); theory's are short and at the rim."""
        middle = np.broadcast_to(2.3 * np.arange(len(angles))[:, None], angles.shape)
        x, y, inner = np.sin(angles), np.cos(angles), 0.0 if tips is not None else 0.85
        outer = 1.0 if tips is not None else 1.13
        gap = np.full(angles.shape, np.nan)
        hands.set_data(
            np.stack([middle + inner * x, middle + outer * x, gap], axis=-1).ravel(),
            np.stack([inner * y, outer * y, gap], axis=-1).ravel(),
        )
        if tips is not None:
            tips.set_data((middle + x).ravel(), y.ravel())


@functools.cache
def _digits() -> Array:
    """100 test digits, the first ten of them one of each kind."""
    x, y = datasets.digits().x_test, datasets.digits().y_test
    one_of_each = [int(np.flatnonzero(y == digit)[0]) for digit in range(10)]
    return np.concatenate([x[one_of_each], np.delete(x, one_of_each, axis=0)[:90]])


def _cobwebs(activation: str, sigma_w: float, sigma_b: float, q_star: float, z: Array, x: Array):
    """Those of ``Map``, and theory's correlations c₁, c₂, …"""
    q = np.geomspace(*Map.Q, 61)
    after = np.maximum(length_map(activation, q, sigma_w, sigma_b), 1e-300)
    first = sigma_w**2 * mean_square(x) + sigma_b**2
    path = np.exp(walk(np.log(first), np.log(q), np.log(after), DEPTH - 2))
    sizes = np.array([mean_square(layer) for layer in z])
    lengths = path, (q, after), (sizes[:-1], sizes[1:])
    c = np.linspace(0, 1, 61)
    after = correlation_map(activation, c, sigma_w, sigma_b, q=np.clip(q_star, 1e-14, 1e14))
    first = (sigma_w**2 * mean_square(x) * mean_cosine(x) + sigma_b**2) / first
    path = walk(first, c, after, DEPTH - 2)
    alike = np.array([mean_cosine(layer) for layer in z])
    return (lengths, (path, (c, after), (alike[:-1], alike[1:]))), path[0, ::2]


def _background(kind: str, activation: str, lang: Language) -> dict:
    """As ``Map.shade`` takes it."""
    theory = theory_of(activation)
    half = 0.025
    extent = SIGMA_W[0] - half, SIGMA_W[-1] + half, SIGMA_B[0] - half, SIGMA_B[-1] + half
    if kind == "accuracy":
        w, b, runs = measured()[activation]
        extent = w[0] - 0.1, w[-1] + 0.1, b[0] - 0.05, b[-1] + 0.05
        shown = {"values": runs.mean(axis=2), "cmap": "Blues", "low": 0.0, "high": 1.1}
    elif kind == "xi_c":
        depths = np.log10(np.clip(theory.xi_c, 1, 1000))
        depths[theory.q_star > EXPLODED] = np.nan  # no depth where the signal explodes: left white
        shown = {"values": depths, "cmap": "Blues", "low": 0.0, "high": 3.3}
    else:
        logs = np.clip(np.log(theory.chi_1), -1, 1)
        shown = {"values": logs, "cmap": "coolwarm", "low": -1.6, "high": 1.6}
    legend = text(f"edge_of_chaos.{kind}_legend", lang, runs=2)
    return {"shades": {**shown, "extent": extent}, "legend": legend, "edge": edge_line(theory)}


def _nearest(activation: str, sigma_w: float, sigma_b: float) -> float:
    """The mean accuracy of the runs nearest on the map."""
    w, b, runs = measured()[activation]
    return float(runs[np.abs(b - sigma_b).argmin(), np.abs(w - sigma_w).argmin()].mean())


@live_figure
def edge_of_chaos(*, lang: Language, seed: int = 0):
    """A net of 30 layers at (σ_w, σ_b): click the map, or move the sliders."""
    picture = Map(lang)
    x = _digits()
    background = functools.cache(functools.partial(_background, lang=lang))

    def respond(sigma_w, sigma_b, function, behind, net):
        row, column = np.abs(SIGMA_B - sigma_b).argmin(), np.abs(SIGMA_W - sigma_w).argmin()
        picture.shade(**background(behind, function))
        theory = theory_of(function)
        q_star, chi_1, xi_c = (float(a[row, column]) for a in (theory.q_star, theory.chi_1, theory.xi_c))
        start = net_at(function, sigma_w, sigma_b, seed)
        trace = start.trace(x)
        z = np.stack(trace.pre[:-1])
        cobwebs, correlations = _cobwebs(function, sigma_w, sigma_b, q_star, z, x)
        shown = np.array(SHOWN) - 1
        exploding = q_star > EXPLODED
        name = "exploding" if exploding else theory.phase[row, column]
        fields = {
            "sigma_w": f"{sigma_w:.2f}",
            "sigma_b": f"{sigma_b:.2f}",
            "phase": text(f"edge_of_chaos.{name}", lang),
            "q": "∞" if exploding else f"{q_star:.2g}",
            "chi": f"{chi_1:.3f}",
            "xi": f"{xi_c:.1f}" if np.isfinite(xi_c) else "∞",
        }
        forecast = {
            "ratio": f"{DEPTH / xi_c:.1f}",
            "power": f"{(DEPTH - 2) * np.log10(chi_1):z.0f}",  # of ten, of the gradient
            "map": f"{_nearest(function, sigma_w, sigma_b):.0%}",
        }
        angles = np.arccos(cosines(start, x[:10])[shown, 0])
        mean = np.arccos(np.clip(correlations[shown], -1, 1))
        said = text("edge_of_chaos.said", lang, **fields)

        def show(output, epoch=0, accuracy="…"):
            answers = np.bincount(output.argmax(axis=1), minlength=10) / len(x)
            told = text("edge_of_chaos.forecast", lang, **forecast)
            if net == "trained":
                told += text("edge_of_chaos.trained_to", lang, epoch=epoch, accuracy=accuracy)
            picture.update((sigma_w, sigma_b), cobwebs, angles, mean, answers, said, told)

        show(trace.pre[-1])
        yield
        if net == "trained":
            steps = iterate(start, datasets.digits(), lr=LR, epochs=EPOCHS, rng=seed)
            for epoch, history in enumerate(steps):
                show(start.output(x), epoch, f"{history.test_accuracy[-1]:.0%}")
                yield

    moved = {
        "sigma_w": controls.slider("edge_of_chaos.sigma_w", lang, 0.5, 3.0, 0.05, 1.0),
        "sigma_b": controls.slider("edge_of_chaos.sigma_b", lang, 0.0, 0.7, 0.05, 0.3),
        "function": controls.function(lang, FUNCTIONS, "tanh"),
        "behind": controls.choice("edge_of_chaos.behind", lang, ("chi_1", "xi_c", "accuracy"), "chi_1"),
        "net": controls.choice("edge_of_chaos.net", lang, ("untrained", "trained"), "untrained"),
    }
    return picture, moved, respond


@exercise("08.1", chi=(0.94, [k / 100 for k in range(60, 96)]))
def depth_scale(answer, chi=0.94):
    """ξ_c = −1/ln χ₁.

    >>> depth_scale(16.16)
    ('right', {})
    >>> depth_scale(-16.16)
    ('sign', {})
    >>> depth_scale(1 / 0.06)
    ('linear', {})
    >>> depth_scale(-1 / np.log10(0.94))
    ('ten', {})
    >>> depth_scale(np.log(2) * 16.16)
    ('half', {})
    >>> depth_scale(-np.log(0.94))
    ('inverse', {})
    >>> depth_scale(100)
    ('other', {})
    >>> depth_scale("sixteen")
    ('type', {'wanted': 'float', 'came': 'str'})
    """
    xi = -1 / np.log(chi)
    known = {"right": xi, "sign": -xi, "inverse": 1 / xi, "half": xi * np.log(2)}
    known |= {"linear": 1 / (1 - chi), "ten": -1 / np.log10(chi)}
    return answers.nearest(answer, known, rel=0.005)


@exercise("08.2")
def edge_at_a_fifth(answer):
    """σ_w on tanh's edge at σ_b = 0.2, to two digits after the point.

    >>> edge_at_a_fifth(1.3)
    ('right', {})
    >>> edge_at_a_fifth(1.3**2)
    ('square', {})
    >>> edge_at_a_fifth(1.0)
    ('zero', {})
    >>> edge_at_a_fifth(1.512)
    ('variance', {})
    >>> edge_at_a_fifth(2**0.5)
    ('he', {})
    >>> edge_at_a_fifth(1.35)
    ('near', {'chi': '1.025'})
    >>> edge_at_a_fifth(3)
    ('other', {})
    >>> edge_at_a_fifth([1, 2])
    ('type', {'wanted': 'float', 'came': 'list'})
    """
    right = critical_sigma_w("tanh", 0.2)
    known = {"square": right**2, "zero": 1.0, "variance": critical_sigma_w("tanh", 0.2**0.5), "he": 2**0.5}
    said, fields = answers.nearest(answer, {"right": right}, rel=0.004)  # 1.30, not 1.31
    if said == "close":
        return "near", {"chi": f"{phase('tanh', answers.number(answer), 0.2).chi_1:.3f}"}
    return answers.nearest(answer, known) if said == "other" else (said, fields)


@exercise("08.3")
def far_sighted(answer):
    """(σ_w, σ_b) of a tanh net with σ_b of at least 0.3, and ξ_c of at least 50 layers, yet ordered.

    >>> far_sighted((1.37, 0.3))
    ('right', {'xi': '64'})
    >>> far_sighted((1.3, 0.3))
    ('short', {'xi': '16'})
    >>> far_sighted((1.45, 0.3))
    ('chaotic', {'chi': '1.032'})
    >>> far_sighted((1e9, 0.3))
    ('chaotic', {'chi': '5.319e+10'})
    >>> far_sighted((0.3, 1.37))
    ('swapped', {})
    >>> far_sighted((1.0, 0.0))
    ('bias', {})
    >>> far_sighted((1.0,))
    ('type', {'wanted': '(sigma_w, sigma_b)', 'came': 'tuple'})
    """
    pair = answers.numbers(answer)
    if pair is None or pair.size != 2 or not (np.isfinite(pair).all() and (pair >= 0).all()):
        return answers.mistyped(answer, "(sigma_w, sigma_b)")
    sigma_w, sigma_b = pair.ravel().tolist()
    there = phase("tanh", sigma_w, sigma_b)
    good = lambda p: p.phase == "ordered" and p.xi_c >= 50  # noqa: E731
    if sigma_b < 0.3:
        return "bias", {}
    if good(there):
        return "right", {"xi": f"{there.xi_c:.0f}"}
    if good(phase("tanh", sigma_b, sigma_w)) and sigma_w >= 0.3:
        return "swapped", {}
    if there.phase != "ordered":
        return "chaotic", {"chi": f"{there.chi_1:.4g}"}
    return "short", {"xi": f"{there.xi_c:.0f}"}
