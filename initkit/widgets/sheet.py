"""A picture that can be clicked: a sheet of invisible cells over a part of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import ipywidgets as widgets
import traitlets

from ..plots import Cells

STYLE = """<style>
.initkit-sheet {{position: relative; overflow: hidden; pointer-events: none}}
.{name} {{position: absolute; display: grid; pointer-events: auto;
  grid-template-columns: repeat({columns}, 1fr); grid-auto-rows: 1fr}}
.{name} > div {{display: contents}}
.{name} label {{height: auto; margin: 0; font-size: 0; line-height: 0; cursor: crosshair}}
.{name} label:hover {{outline: 2px solid #333}}
.{name} label input {{display: none}}
</style>"""
_names = (f"initkit-cells-{number}" for number in itertools.count())


class Radios(widgets.RadioButtons):
    """Without echo: see ``controls``."""

    index = traitlets.Int(None, allow_none=True).tag(sync=True, echo_update=False)


class Sheet(widgets.Box):
    """Stretched over an Image by whoever places both: ``clicked(x, y)`` where one of ``cells`` is.

    ipywidgets has no click on an image. A radio button it has, wherever its label is clicked or tapped; here
    each cell is such a label, laid on its place by CSS, without text. That takes no package, no JavaScript
    and no extension of the page, and so works in JupyterLab, Notebook 7 and JupyterLite alike. The buttons
    themselves are hidden, so that Tab passes them by: the controls that a click sets are there for the keys.
    """

    def __init__(self, cells: Cells, clicked: Callable[[float, float], None]) -> None:
        self.cells, self.clicked = cells, clicked
        box = cells.axes.get_position()
        name = next(_names)
        # Each label is its index: with other labels the page would rebuild all of them at each change.
        count = len(cells.xs) * len(cells.ys)
        place = {"left": box.x0, "top": 1 - box.y1, "width": box.width, "height": box.height}
        layout = widgets.Layout(margin="0", **{side: f"{100 * x:.4f}%" for side, x in place.items()})
        self.radios = Radios(options=[(str(k), k) for k in range(count)], value=None, layout=layout)
        self.radios.add_class(name)
        style = widgets.HTML(STYLE.format(name=name, columns=len(cells.xs)))
        style.layout.display = "none"
        super().__init__([self.radios, style])
        self.add_class("initkit-sheet")
        self.radios.observe(self._chosen, "index")

    def _chosen(self, change) -> None:
        if change["new"] is not None:  # row by row, the highest first
            row, column = divmod(change["new"], len(self.cells.xs))
            self.clicked(self.cells.xs[column], self.cells.ys[-1 - row])

    def forget(self) -> None:
        """Let the cell that was clicked last be clicked again."""
        self.radios.index = None
