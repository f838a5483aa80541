"""Controls with readable labels in the reader's language, usable from the keyboard."""

from __future__ import annotations

import math
import numbers

import ipywidgets as widgets
import traitlets

from ..course.texts import text

STYLE = {"description_width": "initial"}


class Slider(widgets.FloatSlider):
    # No echo: the kernel would first send each value back, for other pages that show the same kernel,
    # and the picture would wait for the browser to read it (5 ms of 50).
    value = traitlets.CFloat(0.0).tag(sync=True, echo_update=False)


class IntSlider(widgets.IntSlider):
    value = traitlets.CInt(0).tag(sync=True, echo_update=False)  # as above


WIDTH = "440px"  # two share a row beside JupyterLab's file list on a screen of 1366 pixels


def slider(key: str, lang: str, low, high, step, value) -> Slider | IntSlider:
    """Over whole numbers where ``step`` is one, else over floats."""
    return (IntSlider if isinstance(step, int) else Slider)(
        value=value,
        min=low,
        max=high,
        step=step,
        description=text(key, lang),
        style=STYLE,
        layout=widgets.Layout(width=WIDTH, max_width="100%"),
    )


class LogSlider(widgets.FloatLogSlider):
    value = traitlets.CFloat(1.0).tag(sync=True, echo_update=False)  # as above


def log_slider(key: str, lang: str, low: float, high: float, step: float, value: float) -> LogSlider:
    """From 10^low to 10^high; ``step`` is that of the exponent."""
    return LogSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        readout_format=".3g",
        description=text(key, lang),
        style=STYLE,
        layout=widgets.Layout(width=WIDTH, max_width="100%"),
    )


class Steps(widgets.SelectionSlider):
    index = traitlets.Int(None, allow_none=True).tag(sync=True, echo_update=False)  # as above


def steps(key: str, lang: str, options: dict[str, float], value: float) -> Steps:
    """A slider over values that are not evenly spaced. ``options``: what the reader sees → the value."""
    return Steps(
        options=list(options.items()),
        value=value,
        description=text(key, lang),
        style=STYLE,
        layout=widgets.Layout(width=WIDTH, max_width="100%"),
    )


def function(lang: str, names, value: str) -> widgets.Dropdown:
    """Activation functions, by their names in ``activations``."""
    return choice("function.choice", lang, {name: text(f"function.{name}", lang) for name in names}, value)


def choice(key: str, lang: str, options: dict[str, str], value: str) -> widgets.Dropdown:
    """``options``: what the program calls a choice → what the reader calls it."""
    return widgets.Dropdown(
        options=[(shown, name) for name, shown in options.items()],
        value=value,
        description=text(key, lang),
        style=STYLE,
        layout=widgets.Layout(width="360px", max_width="100%"),
    )


REACH = 5  # choices of a menu


def beside(control) -> list:
    """Where the hand can be next: of a slider the values one step away, of a menu the nearest ``REACH``."""
    index, place = getattr(control, "index", None), control.value
    if isinstance(index, int):
        values = control._options_values  # as ``options`` may be given in four ways
        reach = 1 if isinstance(control, widgets.SelectionSlider) else REACH
        away = sorted((abs(i - index), i) for i in range(len(values)) if i != index)
        return [values[i] for steps, i in away if steps <= reach][:REACH]
    limits = (getattr(control, name, None) for name in ("min", "max", "step"))
    if not all(isinstance(number, numbers.Real) for number in (place, *limits)):
        return []
    base = control.base if control.has_trait("base") else None
    place = math.log(place, base) if base else place
    steps = max(place - control.step, control.min), min(place + control.step, control.max)
    return [base**step if base else step for step in steps if not math.isclose(step, place)]
