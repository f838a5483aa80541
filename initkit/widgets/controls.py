"""Controls with readable labels in the reader's language, usable from the keyboard.

Each takes the name of its label in the words, and the language.
"""

from __future__ import annotations

import ipywidgets as widgets
import traitlets

from ..words import text

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


def _labelled(kind, key: str, lang: str, width: str = WIDTH, **traits):
    return kind(
        description=text(key, lang),
        style={"description_width": "initial"},
        layout=widgets.Layout(width=width, max_width="100%"),
        **traits,
    )


def slider(key: str, lang: str, low, high, step, value) -> Slider | IntSlider:
    """From ``low`` to ``high``: over whole numbers where ``step`` is an int, else over floats."""
    kind = IntSlider if isinstance(step, int) else Slider
    return _labelled(kind, key, lang, min=low, max=high, step=step, value=value)


def log_slider(key: str, lang: str, low: float, high: float, step: float, value: float) -> LogSlider:
    """From 10^low to 10^high; ``step`` is that of the exponent."""
    return _labelled(
        LogSlider, key, lang, min=low, max=high, step=step, value=value, readout_format=".3g"
    )  # fmt: skip


def steps(key: str, lang: str, options: dict[str, float], value: float) -> Steps:
    """A slider over values that are not evenly spaced. ``options``: what the reader sees → the value."""
    return _labelled(Steps, key, lang, options=list(options.items()), value=value)


def choice(key: str, lang: str, options: dict[str, str], value: str) -> widgets.Dropdown:
    """A menu. ``options``: what the program calls a choice → what the reader calls it."""
    shown = [(label, name) for name, label in options.items()]
    return _labelled(widgets.Dropdown, key, lang, width="360px", options=shown, value=value)


def function(lang: str, names, value: str) -> widgets.Dropdown:
    """A menu of activation functions, by their names in ``activations``."""
    return choice("function.choice", lang, {name: text(f"function.{name}", lang) for name in names}, value)
