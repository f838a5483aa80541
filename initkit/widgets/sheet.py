"""A picture that can be clicked: a sheet of invisible cells over a part of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import ipywidgets as widgets
import traitlets

from ..plots import Cells

STYLE = """<style>
.initkit-sheet {{position: relative; overflow: hidden; pointer-events: none}}
.{name} {{position: absolute; display: grid; margin-right: 0; margin-bottom: 0; pointer-events: auto;
  grid-template-columns: repeat({columns}, 1fr); grid-auto-rows: 1fr; aspect-ratio: {aspect:.5f}}}
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
    """Over an Image of ``width`` × ``height`` pixels above it: ``clicked(x, y)`` where one of ``cells`` is.

    ipywidgets has no click on an image. A radio button it has, wherever its label is clicked or tapped; here
    each cell is such a label, laid on its place by CSS, without text. That takes no package, no JavaScript
    and no extension of the page, and so works in JupyterLab, Notebook 7 and JupyterLite alike. The buttons
    themselves are hidden, so that Tab passes them by: the controls that a click sets are there for the keys.
    """

    def __init__(self, cells: Cells, width: int, height: int, clicked: Callable[[float, float], None]):
        self.cells, self.clicked = cells, clicked
        box = cells.axes.get_position()
        name = next(_names)
        # The picture is as wide as the sheet, and in the middle of its height where the page is narrow.
        below = 100 * (0.5 - box.y1) * height / width
        # Labels that are their index, as otherwise the page makes all of them anew with each change.
        count = len(cells.xs) * len(cells.ys)
        self.radios = Radios(
            options=[(str(k), k) for k in range(count)],
            value=None,
            layout=widgets.Layout(
                left=f"{100 * box.x0:.4f}%",
                top="50%",
                width=f"{100 * box.width:.4f}%",
                margin=f"{below:.4f}% 0 0 0",
            ),
        )
        self.radios.add_class(name)
        aspect = box.width * width / (box.height * height)
        style = widgets.HTML(STYLE.format(name=name, columns=len(cells.xs), aspect=aspect))
        style.layout.display = "none"
        layout = widgets.Layout(
            width=f"{width}px", max_width="100%", height=f"{height}px", margin=f"-{height + 2}px 0 2px 2px"
        )
        super().__init__([self.radios, style], layout=layout)
        self.add_class("initkit-sheet")
        self.radios.observe(self._chosen, "index")

    def _chosen(self, change) -> None:
        if change["new"] is not None:  # row by row, the highest first
            row, column = divmod(change["new"], len(self.cells.xs))
            self.clicked(self.cells.xs[column], self.cells.ys[-1 - row])

    def forget(self) -> None:
        """Let the cell that was clicked last be clicked again."""
        self.radios.index = None
