"""Pictures: results in, a matplotlib Figure out. Nothing is computed here.

Theory is a line and measurement is points, in the same two colours everywhere. A ``Picture`` has a frame
(axes, ticks, titles), which is drawn once, and a few moving artists, which ``update`` sets from results and
``live.LiveFigure`` redraws. ``still`` returns the whole as a Figure. Every function takes ``lang``, "en" or
"zh". No module uses pyplot, whose global state is not safe beside a widget's callback.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .arguments import Array
from .packages import needed_by
from .signals import Passage, Signals, fate
from .training import History
from .words import RAISED, Language, text, two_digits
from .words.fonts import style

with needed_by("initkit.plots", "matplotlib"):
    import matplotlib
    import matplotlib.artist
    import matplotlib.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
    from PIL import Image

__all__ = [
    "DIM", "FAINT", "MEASURED", "QUIET", "THEORY", "ByLayer", "Cells", "Figure", "Picture", "SignalsByLayer",
    "TrainingAndSignals", "Words", "both", "correlations", "heat_map", "key", "line", "over_layers", "points",
    "ruled", "signals_by_layer", "update_ratios",
]  # fmt: skip

# Okabe & Ito's colours, which colour-blind readers can tell apart.
THEORY, MEASURED = "#D55E00", "#0072B2"
FAINT, QUIET, DIM = "#e4e4e4", "#9a9a9a", "#555555"  # grid lines, lines in the background, their labels

# A power of ten as ``two_digits`` writes it, and the plain digits of its exponent.
LOWERED = {raised: digit for digit, raised in RAISED.items()}
POWER = re.compile(f"·10([{''.join(map(chr, LOWERED))}]+)")

# All drawing holds this lock: Matplotlib has global state (rcParams, font caches, the mathtext parser), and
# some front-ends run widget callbacks on a thread of their own.
DRAWING = threading.RLock()


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that draws itself with the fonts of its language, and shows as PNG in Jupyter.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language.
    width, height : float
        In inches; 100 pixels an inch on the page.
    """

    canvas: FigureCanvasAgg

    def __init__(self, lang: Language, width: float = 8.6, height: float = 3.9) -> None:
        # 4.6 * 100 is 459.99…, of which matplotlib before 3.11 makes 459 pixels; 4.6 * 300 is 1380.
        super().__init__(figsize=(math.nextafter(width, math.inf), math.nextafter(height, math.inf)), dpi=100)
        self.lang = lang
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        with DRAWING, matplotlib.rc_context(style(self.lang)):
            super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """For Jupyter: twice the pixels at the same size, and 64 colours, as notebooks store the picture."""
        packed = io.BytesIO()
        with DRAWING:
            dpi = self.get_dpi()
            self.set_dpi(200)
            try:
                pixels, size = self.canvas.print_to_buffer()
            finally:
                self.set_dpi(dpi)
        picture = Image.frombuffer("RGBA", size, pixels).convert("RGB")
        picture.quantize(64, method=Image.Quantize.MAXCOVERAGE).save(packed, format="png")
        width, height = self.get_size_inches() * 100
        return packed.getvalue(), {"width": int(width), "height": int(height)}


@functools.lru_cache(maxsize=4096)
def _inked(piece: str, dpi: float, color: str, family: tuple[str, ...], size: float) -> Array:
    """RGBA pixels of a word, character or $formula$: its advance wide, 2 em high, the baseline at 1.4 em."""
    properties, formula = FontProperties(family=family, size=size), piece.startswith("$")
    measure = FigureCanvasAgg(matplotlib.figure.Figure((1, 1), dpi=dpi)).get_renderer()
    width = lambda text: measure.get_text_width_height_descent(text, properties, formula)[0]  # noqa: E731
    advance = round(width(f"0{piece}0") - width("00"))
    em = size * dpi / 72
    canvas = FigureCanvasAgg(matplotlib.figure.Figure(((advance + 8) / dpi, round(2 * em) / dpi), dpi=dpi))
    renderer = canvas.get_renderer()
    gc = renderer.new_gc()
    gc.set_foreground(color)
    renderer.draw_text(gc, 4, round(1.4 * em), piece, properties, 0, formula)
    return np.asarray(renderer.buffer_rgba())[:, 4 : 4 + advance].copy()


class Words(matplotlib.artist.Artist):
    """A line of text for live figures; its baseline begins at (x, y) of its axes or figure.

    A matplotlib Text is laid out and rendered anew at every change, 3 ms for fifty characters. Here every
    Latin word, $formula$, and every other character, is rendered once; a change only puts them beside each
    other. A power of ten is a formula, as raised digits come from two fonts.

    Parameters
    ----------
    x, y : float
        The place, in units of the axes or figure that it is added to.
    color : str
        As matplotlib takes it.
    size : float
        Of the letters, in points.
    right : bool
        Whether the line ends at x.
    """

    zorder = 3  # as matplotlib's Text: over axes and lines, in a still picture as in a live one

    def __init__(self, x: float, y: float, color: str, size: float = 10, right: bool = False) -> None:
        super().__init__()
        self.position, self.color, self.size, self.right, self.text = (x, y), color, size, right, ""
        self.family = tuple(matplotlib.rcParams["font.family"])

    def set_text(self, text: str) -> None:
        """Show this text."""
        self.text = POWER.sub(lambda m: rf"$\cdot10^{{{m[1].translate(LOWERED)}}}$", text)

    def get_text(self) -> str:
        """What is shown, with powers of ten as formulas."""
        return self.text

    def ink(self, dpi: float) -> Array:
        """RGBA pixels of the whole line."""
        look = dpi, self.color, self.family, self.size
        pieces = re.findall(r"\$[^$]*\$|[A-Za-z]+|.", self.text)
        return np.concatenate([_inked(piece, *look) for piece in pieces], axis=1)

    def draw(self, renderer: Any) -> None:
        if not self.text:
            return
        pixels = self.ink(renderer.dpi)
        x, y = (self.axes.transAxes if self.axes else self.figure.transFigure).transform(self.position)
        em = self.size * renderer.dpi / 72
        below = round(2 * em) - round(1.4 * em)
        left = round(x) - (pixels.shape[1] if self.right else 0)
        # Agg wants the lowest row first.
        renderer.draw_image(renderer.new_gc(), left, round(y) - below, pixels[::-1])


class Cells(NamedTuple):
    """Where a click sets two controls: a panel in equal cells.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    x, y : str
        The names of the two controls.
    xs, ys : sequence of float
        The middles of the cells, which are the controls' values.
    """

    axes: Any
    x: str
    xs: Sequence[float]
    y: str
    ys: Sequence[float]


class Picture:
    """A figure with moving artists that ``update`` sets from results.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language of its words.

    Attributes
    ----------
    figure : Figure
        What is drawn.
    moving : list of Artist
        What a live figure redraws.
    cells : Cells or None
        What of it can be clicked.
    """

    figure: Figure
    HEIGHT = 3.9
    cells: Cells | None = None

    def __init__(self, lang: Language) -> None:
        self.lang = lang
        self.moving: list[Any] = []
        with DRAWING, matplotlib.rc_context(style(lang)):
            self.figure = Figure(lang, height=self.HEIGHT)
            self.build()

    def build(self) -> None:
        """Draw the frame and create the moving artists."""
        raise NotImplementedError

    def update(self, *results: Any) -> None:
        """Set the moving artists from results. It creates none, as ``build`` settles the fonts."""
        raise NotImplementedError

    def still(self, *results: Any) -> Figure:
        """The figure, updated with these results."""
        with DRAWING:
            self.update(*results)
        return self.figure

    def text(self, key: str, **fields: Any) -> str:
        """The words of that key in the picture's language."""
        return text(key, self.lang, **fields)

    def moves(self, artist: Any) -> Any:
        """The artist, marked as one that moves."""
        self.moving.append(artist)
        return artist

    def curve(self, axes: Any, *shape: str, **look: Any) -> Any:
        """What ``axes.plot`` draws, of no points yet, as an artist that moves."""
        return self.moves(axes.plot([], [], *shape, **look)[0])

    def words(self, x: float, y: float, color: str = MEASURED, size: float = 11) -> Any:
        """A line of words that moves; its baseline begins at (x, y) of the figure."""
        return self.moves(self.figure.add_artist(Words(x, y, color, size)))

    def note(self, y: float, words: str) -> None:
        """What the reader needs to know of the marks, small, at the figure's right edge."""
        self.figure.text(0.985, y, words, ha="right", va="center", fontsize=9, color=DIM)


def points(second: int) -> dict[str, Any]:
    """How measurement is drawn: points in one colour.

    Parameters
    ----------
    second : int
        1 for the second of two nets, whose points are hollow.

    Returns
    -------
    dict
        Arguments of ``plot``.
    """
    return {"color": MEASURED, "ms": 6, "ls": "", "mfc": "white" if second else MEASURED}


def line(second: int) -> dict[str, Any]:
    """How theory is drawn: a line in one colour.

    Parameters
    ----------
    second : int
        1 for the second of two nets, whose line is dashed.

    Returns
    -------
    dict
        Arguments of ``plot``.
    """
    return {"color": THEORY, "lw": 1.5, "ls": "--" if second else "-"}


def ruled(axes: Any, axis: str = "both") -> None:
    """Draw grid lines, behind all else.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        What they are drawn in.
    axis : {"both", "x", "y"}
        Across which axis.
    """
    axes.grid(axis=axis, color=FAINT, lw=0.8)
    axes.set_axisbelow(True)


def over_layers(axes: Any, depth: int, lang: Language) -> None:
    """Let the x-axis be the layers, from 1 on.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Whose x-axis.
    depth : int
        The number of layers.
    lang : {"en", "zh"}
        The language of its label.
    """
    axes.set(xlim=(0.4, depth + 0.6), xlabel=text("signal.layer", lang))
    axes.set_xticks(np.arange(1, depth + 1)[:: 1 + depth // 8])


def both(lang: Language) -> dict[str, Any]:
    """The entries of ``key`` for measured points and theory's line.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language of the labels.

    Returns
    -------
    dict
    """
    measured = {"marker": "o", **points(False)}
    return {text("signal.measured", lang): measured, text("signal.theory", lang): line(False)}


def key(figure: Any, axes: Any, entries: dict[str, Any], where: Any, loc: str) -> None:
    """Draw a legend in one row above the panels, where no value comes.

    Parameters
    ----------
    figure : Figure
        What it is drawn in.
    axes : matplotlib.axes.Axes
        Any of the figure's; what is drawn in them stays as it is.
    entries : dict
        Label → how its mark is drawn, as ``points``, ``line`` and ``both`` say it.
    where : tuple of float
        The place (x, y) in the figure, from 0 to 1.
    loc : str
        Which point of the legend is there, as matplotlib calls it: "center left".
    """
    for label, shape in entries.items():
        axes.plot([], [], label=label, **shape)
    tight = {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.0, "borderpad": 0}
    figure.legend(loc=loc, bbox_to_anchor=where, ncols=len(entries), frameon=False, fontsize=9, **tight)


class ByLayer:
    """Measured points and theory's line over layers; values beyond the log axis are marked at its edge.

    Parameters
    ----------
    picture : Picture
        Whose ``build`` makes it.
    axes : matplotlib.axes.Axes
        One panel of it.
    depth : int
        Layers.
    decades : int
        The axis shows values from 10^−decades to 10^decades.
    title : str
        The key of the panel's title in the words.
    marker : str
        Of the points, as matplotlib calls it.
    second : int
        1 for the second of two nets in the same panel, as in ``points`` and ``line``.
    """

    def __init__(
        self,
        picture: Picture,
        axes: Any,
        depth: int,
        decades: int,
        title: str,
        marker: str,
        second: int = False,
    ) -> None:
        self.low, self.high = 10.0**-decades, 10.0**decades
        self.layers = np.arange(1, depth + 1)
        axes.set(yscale="log", ylim=(self.low / 30, self.high * 30))
        axes.set_title(picture.text(title), loc="left")
        over_layers(axes, depth, picture.lang)
        axes.yaxis.set_major_locator(LogLocator(base=10 ** (decades // 3), numticks=9))
        axes.yaxis.set_minor_locator(NullLocator())
        ruled(axes, "y")
        # In many layers the points would melt into a bar: they are smaller, and in a narrow panel fewer.
        room = axes.get_position().width * 860 / depth
        self.every = 1 if room >= 5 else 3
        shown = points(second) | {"ms": 6 if room >= 11 else 4}
        self.points, self.above, self.below = (picture.curve(axes, m, **shown) for m in (marker, "^", "v"))
        # The line lies over the points, which would hide it where theory is right.
        self.line = picture.curve(axes, **line(second))

    def update(self, values: Any, predicted: Any = ()) -> None:
        """``values`` and ``predicted`` of layers 1, 2, …, as many as there are."""
        layers = self.layers[: len(values)]
        values = np.nan_to_num(np.asarray(values), nan=np.inf)
        above, below = values > self.high, values < self.low
        every = self.every if len(layers) > 10 else 1
        shown = ((layers - 1) % every == 0) | (layers == len(layers))  # the output layer always
        inside = shown & ~(above | below)
        self.points.set_data(layers[inside], values[inside])
        for marks, out, edge in ((self.above, above, self.high * 6), (self.below, below, self.low / 6)):
            few = layers[out][:: 1 + len(self.layers) // 15]  # each layer's would melt into a bar
            marks.set_data(few, np.full(len(few), edge))
            marks.set_visible(out.any())  # Matplotlib takes as long over a line without points
        self.line.set_data(layers[: len(predicted)], np.clip(predicted, 1e-300, 1e300))


class TrainingAndSignals(Picture):
    """One network, one start: its loss as it trains, and the size of its signals before it does.

    Parameters
    ----------
    names : dict
        What each start is called, by the name that ``update`` gets.
    depth : int
        Layers.
    epochs : int
        Of the training.
    lang : {"en", "zh"}
        The language.
    """

    TOP = 5.2  # loss at which a curve leaves the picture
    BOTTOM, TALL = 0.125, 0.69  # of the panels

    def __init__(self, names: Mapping[str, str], depth: int, epochs: int, lang: Language) -> None:
        self.names, self.depth, self.epochs = names, depth, epochs
        super().__init__(lang)

    def build(self) -> None:
        loss, forward, backward = self.figure.subplots(1, 3)
        for axes, left, width in ((loss, 0.04, 0.3), (forward, 0.55, 0.175), (backward, 0.805, 0.175)):
            axes.set_position((left, self.BOTTOM, width, self.TALL))
        loss.set(xlim=(-0.3, self.epochs + 0.3), ylim=(0, self.TOP))
        loss.set_title(self.text("training.title"), loc="left")
        loss.set_xlabel(self.text("training.epoch"))
        loss.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        loss.axhline(np.log(10), color=QUIET, lw=0.8, zorder=0)
        guess = self.text("training.guessing")
        loss.text(1.2, np.log(10) + 0.13, guess, va="bottom", color=DIM, fontsize=9)
        self.earlier = {name: self.curve(loss, color=QUIET, lw=1.5) for name in self.names}
        self.labels = {
            name: self.moves(loss.text(self.epochs + 0.5, 0, "", color=DIM, fontsize=9, va="center"))
            for name in self.names
        }
        self.now = self.curve(loss, "o-", color=MEASURED, lw=2, ms=4, clip_on=False)
        self.escaped = self.curve(loss, "^", color=MEASURED, ms=8, clip_on=False)
        self.verdict = self.words(0.04, 0.943, size=12)
        self.note(0.955, self.text("signal.edge"))
        self.forward = ByLayer(self, forward, self.depth, 18, "signal.forward", "o")
        self.backward = ByLayer(self, backward, self.depth, 18, "signal.backward", "s")

    def update(
        self,
        name: str,
        signals: Signals,
        history: History | None,
        others: Mapping[str, History],
        predicted: Signals | None = None,
    ) -> None:
        """Show one start.

        Parameters
        ----------
        name : str
            The start.
        signals : Signals
            Measured before training.
        history : History or None
            Of its training so far, if it has begun.
        others : dict
            The histories of the starts that were seen before, by name.
        predicted : Signals, optional
            Theory's.
        """
        self.forward.update(signals.q, () if predicted is None else predicted.q)
        self.backward.update(signals.grad_var, () if predicted is None else predicted.grad_var)
        losses = np.empty(0) if history is None else history.train_loss
        epochs = np.arange(len(losses))
        inside = losses < self.TOP
        self.now.set_data(epochs[inside], losses[inside])
        self.escaped.set_data(epochs[~inside], np.full((~inside).sum(), self.TOP - 0.15))
        for other, line in self.earlier.items():
            seen: Any = others[other].train_loss if other in others and other != name else []
            line.set_data(np.arange(len(seen)), seen)
            self.labels[other].set_visible(False)  # Matplotlib takes as long over a text without letters
        self._label({n: h.train_loss[-1] for n, h in others.items() if n != name})
        verdict = self.names[name]
        if history is not None:
            accuracy = f"{100 * history.test_accuracy[-1]:.1f} %"
            verdict += " · " + self.text(f"training.{history.status}", epoch=epochs[-1], accuracy=accuracy)
        self.verdict.set_text(verdict)

    def _label(self, ends: dict[str, float]) -> None:
        """Name the earlier curves at their right end, top to bottom, none over another."""
        height = self.TOP
        for name, end in sorted(ends.items(), key=lambda item: -np.nan_to_num(item[1], nan=np.inf)):
            inside = end < self.TOP
            height = min(height, end) if inside else height
            self.labels[name].set_y(height)
            self.labels[name].set_text(self.names[name] + ("" if inside else " ▲"))
            self.labels[name].set_visible(True)
            height -= 0.33


def passages(signals: Signals) -> dict[str, Passage]:
    """What becomes of the signal and of the gradient, by the names that they have in the texts."""
    found = fate(signals)
    return {"forward": found.signal, "backward": found.gradient}


class SignalsByLayer(Picture):
    """The signal forward and the gradient backward, of one net or of two, theory over measurement.

    Parameters
    ----------
    most : int
        Layers, of the deepest net that is to be shown.
    decades : int
        As in ``ByLayer``.
    names : iterable of str
        What the nets are called.
    lang : {"en", "zh"}
        The language.
    theory : bool
        Whether the legend has theory's line.
    """

    HEIGHT = 4.2

    def __init__(
        self, most: int, decades: int, names: Iterable[str], lang: Language, theory: bool = True
    ) -> None:
        self.most, self.decades, self.names, self.theory = most, decades, tuple(names), theory
        super().__init__(lang)

    def build(self) -> None:
        forward, backward = self.figure.subplots(1, 2)
        for axes, left in ((forward, 0.065), (backward, 0.565)):
            axes.set_position((left, 0.12, 0.42, 0.66))
        panels = ((forward, "signal.forward", "o"), (backward, "signal.backward", "s"))
        self.series = [
            [ByLayer(self, axes, self.most, self.decades, title, shape, k) for axes, title, shape in panels]
            for k in range(len(self.names))
        ]
        entries = {name: {"marker": "o", **points(k)} for k, name in enumerate(self.names)}
        key(
            self.figure, forward, loc="center left", where=(0.055, 0.885),
            entries={**entries, self.text("signal.theory"): line(False)} if self.theory else entries,
        )  # fmt: skip
        self.note(0.885, self.text("signal.edge"))
        self.verdict = self.words(0.04, 0.945)

    def update(self, *nets: tuple[Signals, Signals | None]) -> None:
        """Show the nets.

        Parameters
        ----------
        *nets : tuple
            Of each, the measured Signals, and theory's or None.
        """
        said = []
        for name, series, (seen, predicted) in zip(self.names, self.series, nets, strict=True):
            for panel, quantity in zip(series, ("q", "grad_var"), strict=True):
                values = (getattr(s, quantity, None) for s in (seen, predicted))
                panel.update(*(() if v is None else v for v in values))
            passed = {way: two_digits(passage.change) for way, passage in passages(seen).items()}
            said.append(self.text("signal.passage", name=name, **passed))
        self.verdict.set_text(self.text("signal.through", nets=self.text("signal.and").join(said)))


@contextlib.contextmanager
def _titled(title: str, height: float, lang: Language) -> Iterator[Figure]:
    """A new figure with this title, to be drawn into in the fonts of its language."""
    with DRAWING, matplotlib.rc_context(style(lang)):
        figure = Figure(lang, height=height)
        figure.text(0.01, 0.93, text(title, lang), fontsize=12, va="center", color=MEASURED)
        yield figure


def signals_by_layer(signals: Signals, predicted: Signals | None = None, *, lang: Language) -> Figure:
    """The signal forward and the gradient backward of one net, on axes as long as they need.

    Parameters
    ----------
    signals : Signals
        Measured.
    predicted : Signals, optional
        Theory's.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    Figure
    """
    values = np.append(signals.q, [] if signals.grad_var is None else signals.grad_var)
    values = values[(values > 0) & np.isfinite(values)]
    reach = np.abs(np.log10(values)).max(initial=0)
    decades = min(18, 3 * max(1, int(np.ceil(reach / 3))))
    names = [text("signal.measured", lang)]
    picture = SignalsByLayer(signals.depth, decades, names, lang, theory=predicted is not None)
    return picture.still((signals, predicted))


def correlations(
    nets: Mapping[str, tuple[Signals, Signals]], *, lang: Language, apart: bool = False
) -> Figure:
    """How alike two inputs look, layer by layer: a panel a net, theory over measurement.

    Parameters
    ----------
    nets : dict
        Title → measured Signals and theory's.
    lang : {"en", "zh"}
        The language.
    apart : bool
        Show 1 − c, how far two inputs are apart, with both axes logarithmic, in place of c.

    Returns
    -------
    Figure
    """
    with _titled("correlation.apart" if apart else "correlation.title", 2.8, lang) as figure:
        panels = figure.subplots(1, len(nets), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.075, right=0.985, top=0.72, bottom=0.19, wspace=0.09)
        for axes, (title, (seen, predicted)) in zip(panels, nets.items(), strict=True):
            layers = np.arange(1, seen.depth + 1)
            if apart:
                axes.set(xscale="log", yscale="log", ylim=(3e-5, 2), xlabel=text("signal.layer", lang))
                axes.set_xticks([1, 10, seen.depth], [1, 10, seen.depth])
                axes.minorticks_off()
            else:
                over_layers(axes, seen.depth, lang)
                axes.set(ylim=(-0.06, 1.06), yticks=(0, 0.5, 1))
            axes.set_title(title, loc="left")
            ruled(axes, "y")
            measured, theory = (1 - s.correlation if apart else s.correlation for s in (seen, predicted))
            axes.plot(layers, measured, "o", **points(False) | {"ms": 4 if apart else 6}, clip_on=apart)
            axes.plot(layers, theory, **line(False))
        key(figure, panels[0], both(lang), (0.99, 0.93), "center right")
    return figure


def update_ratios(nets: Mapping[str, History], *, lang: Language) -> Figure:
    """The update-to-data ratio by layer, of each net's first step, over the line of what is healthy, 10^−3.

    Parameters
    ----------
    nets : dict
        Name → History; one net, or two.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        There is no net, or one made no step.
    """
    if not nets:
        raise ValueError("nets must hold one net, or two; it is empty")
    for name, history in nets.items():
        if not len(history.log_update_ratio):
            raise ValueError(f"nets: {name!r} made no step, of which there could be a ratio")
    with _titled("ratio.title", 3.2, lang) as figure:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.075, right=0.985, top=0.8, bottom=0.16)
        axes.axhline(-3, **line(False))
        entries: dict[str, Any] = {}
        for k, (name, history) in enumerate(nets.items()):
            ratios = history.log_update_ratio[0]
            layers = np.arange(1, len(ratios) + 1)
            # The second net's are rings under the first's points, and wider: neither hides the other.
            entries[name] = {"marker": "o", **points(k), "ms": 9 if k else 5}
            axes.plot(layers, ratios, **entries[name], zorder=2 - k / 2, clip_on=False)
        over_layers(axes, len(layers), lang)
        axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
        ruled(axes, "y")
        key(figure, axes, {**entries, text("ratio.healthy", lang): line(False)}, (0.99, 0.93), "center right")
    return figure


def heat_map(rows: Sequence[Mapping[str, Any]], *, lang: Language) -> Figure:
    """Accuracies as shades and numbers: a panel a depth, a line a scheme, a column an activation.

    Parameters
    ----------
    rows : list of dict
        What ``sweep`` returns over a grid of ``activation``, ``scheme`` and ``depth``, with accuracies as
        "value".
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    Figure
    """
    names = {key: list(dict.fromkeys(row[key] for row in rows)) for key in ("depth", "scheme", "activation")}
    with _titled("heat.title", 0.9 + 0.42 * len(names["scheme"]), lang) as figure:
        panels = figure.subplots(1, len(names["depth"]), squeeze=False)[0]
        figure.subplots_adjust(left=0.16, right=0.985, top=0.76, bottom=0.13, wspace=0.06)
        for axes, depth in zip(panels, names["depth"], strict=True):
            here = [row for row in rows if row["depth"] == depth]
            place = lambda row: tuple(names[key].index(row[key]) for key in ("scheme", "activation"))  # noqa: E731
            shares = np.full((len(names["scheme"]), len(names["activation"])), np.nan)
            for row in here:
                shares[place(row)] = row["value"]
            # A shade a twentieth: of many nearly alike ``_repr_png_`` keeps now these, now those.
            axes.imshow(np.round(20 * shares) / 20, cmap="Blues", vmin=0, vmax=1.1, aspect="auto")
            for (i, j), share in np.ndenumerate(shares):
                color = "white" if share > 0.6 else "black"
                axes.text(j, i, f"{share:.0%}", ha="center", va="center", color=color, fontsize=10)
            axes.set_title(text("heat.depth", lang, depth=depth), loc="left")
            axes.set_xticks(range(len(names["activation"])), names["activation"])
            axes.set_yticks(range(len(names["scheme"])), names["scheme"] if axes is panels[0] else [])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
    return figure
