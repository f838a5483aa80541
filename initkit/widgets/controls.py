"""Controls with readable labels in the reader's language, usable from the keyboard.

Each takes the name of its label in the words, and the language.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

import ipywidgets as widgets
import traitlets

from ..words import Language, text

__all__ = ["bars", "choice", "function", "labels", "log_slider", "slider", "steps"]

WIDTH = "440px"  # two share a row beside JupyterLab's file list on a screen of 1366 pixels

# The traits below are declared anew without echo. With it the kernel first sends every value back, for other
# pages that show the same kernel, and the picture waits for the browser to read that (5 ms of 50).


class Slider(widgets.FloatSlider):
    value = traitlets.CFloat(0.0).tag(sync=True, echo_update=False)


class IntSlider(widgets.IntSlider):
    value = traitlets.CInt(0).tag(sync=True, echo_update=False)


class LogSlider(widgets.FloatLogSlider):
    value = traitlets.CFloat(1.0).tag(sync=True, echo_update=False)


class Steps(widgets.SelectionSlider):
    index = traitlets.Int(None, allow_none=True).tag(sync=True, echo_update=False)


def _labelled(kind, key: str, lang: Language, width: str = WIDTH, **traits):
    return kind(
        description=text(key, lang),
        style={"description_width": "initial"},
        layout=widgets.Layout(width=width, max_width="100%"),
        **traits,
    )


def slider(
    key: str, lang: Language, low: float, high: float, step: float, value: float
) -> Slider | IntSlider:
    """From ``low`` to ``high``: over whole numbers where ``step`` is an int, else over floats."""
    kind = IntSlider if isinstance(step, int) else Slider
    return _labelled(kind, key, lang, min=low, max=high, step=step, value=value)


def log_slider(key: str, lang: Language, low: float, high: float, step: float, value: float) -> LogSlider:
    """From 10^low to 10^high; ``step`` is that of the exponent."""
    ends = {"min": low, "max": high, "step": step, "value": value}
    return _labelled(LogSlider, key, lang, readout_format=".3g", **ends)


class Bars(widgets.VBox):
    """Whole numbers as upright sliders side by side, and below them a slider that moves them all.

    ``value`` is a tuple, and so are ``min`` and ``max``; which bar it is stands above it, its number below.
    """

    value = traitlets.Tuple()
    # What lies below the handle is filled, so that a slider looks like a bar.
    LOOK = """<style>
    .initkit-bars .noUi-target { width: 26px; margin: 6px auto; overflow: hidden; border-radius: 2px; }
    .initkit-bars .noUi-handle { width: 26px !important; height: 12px !important; right: 0 !important;
      border-radius: 2px !important; background: white; border: 1px solid #555; box-sizing: border-box; }
    .initkit-bars .noUi-handle:focus { border: 2px solid #D55E00; }
    .initkit-bars .noUi-handle::before { content: ""; position: absolute; pointer-events: none;
      display: block !important; top: 100% !important; left: -2px !important; width: 30px !important;
      height: 300px !important; background: #0072B2 !important; }
    .initkit-bars .widget-label, .initkit-bars .widget-readout { text-align: center; width: 100%;
      min-width: 0; margin: 0; padding: 0; line-height: 18px; height: 18px; }
    </style>"""

    def __init__(self, label: str, every: Slider | IntSlider, count: int) -> None:
        self.every = every
        self.min, self.max = (every.min,) * count, (every.max,) * count
        upright = widgets.Layout(width="0", min_width="26px", flex="1 1 0", height="150px", margin="0")
        look = {"orientation": "vertical", "layout": upright}
        ends = every.value, every.min, every.max
        self.bars = [IntSlider(*ends, description=str(k + 1), **look) for k in range(count)]
        row = widgets.HBox(self.bars, layout=widgets.Layout(width="100%", max_width="860px"))
        row.add_class("initkit-bars")
        super().__init__(
            [widgets.HTML(f"{self.LOOK}{html.escape(label)}"), row, every],
            layout=widgets.Layout(width="100%", overflow="hidden"),
        )
        self._moving = False
        self._pulled(None)
        self.observe(self._set, "value")
        every.observe(self._all, "value")
        for bar in self.bars:
            bar.observe(self._pulled, "value")

    def _pulled(self, change) -> None:
        if not self._moving:
            self.value = tuple(bar.value for bar in self.bars)

    def _all(self, change) -> None:
        self.value = (change["new"],) * len(self.bars)

    def _set(self, change) -> None:
        """The sliders follow a value that comes from elsewhere, as one change."""
        self._moving = True
        for bar, value in zip(self.bars, change["new"], strict=True):
            bar.value = value
        self._moving = False


def bars(key: str, every: str, lang: Language, count: int, low: int, high: int, value: int) -> Bars:
    """``count`` whole numbers, each an upright slider; ``every`` names the one that moves them all."""
    return Bars(text(key, lang), slider(every, lang, low, high, 1, value), count)


def steps(key: str, lang: Language, options: dict[str, float], value: float) -> Steps:
    """A slider over values that are not evenly spaced. ``options``: what the reader sees → the value."""
    return _labelled(Steps, key, lang, options=list(options.items()), value=value)


def choice(key: str, lang: Language, names: Iterable[str], value: str) -> widgets.Dropdown:
    """A menu. ``names``: what the program calls the choices; ``labels`` of ``key``'s section are shown."""
    shown = [(label, name) for name, label in labels(key.partition(".")[0], lang, names).items()]
    return _labelled(widgets.Dropdown, key, lang, width="360px", options=shown, value=value)


def labels(section: str, lang: Language, names: Iterable[str]) -> dict[str, str]:
    """What the words of a section call these names."""
    return {name: text(f"{section}.{name}", lang) for name in names}


def function(lang: Language, names: Iterable[str], value: str) -> widgets.Dropdown:
    """A menu of activation functions, by their names in ``activations``."""
    return choice("function.choice", lang, names, value)
