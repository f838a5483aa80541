"""A matplotlib figure that follows a reader's hand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import inspect
import io
import itertools
import traceback
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
from PIL import Image

from .. import sampling
from ..course.texts import text
from ..plots import DRAWING, Figure, Picture

ERROR_CLASS = "initkit-error"


class Quality(NamedTuple):
    """How a picture is sent: pixels per CSS pixel, the file format with Pillow's options for it, and as what.

    ``inline``: as a URL that holds the file. A browser fetches bytes that it has already; Chromium showed
    them 6 ms later.
    """

    ratio: int
    format: str
    options: dict
    inline: bool = False


# While the hand moves, what is quickest to pack and to unpack; once it rests, sharp on any screen.
DRAFT = Quality(1, "jpeg", {"quality": 88, "subsampling": 2}, inline=True)
CRISP = Quality(2, "png", {"compress_level": 1})
REST = 0.15  # seconds without a newer value before the crisp picture is drawn


@contextlib.contextmanager
def _at_work():
    """Hold the lock, and keep BLAS to one thread.

    The matrices behind a picture are small, and the browser is at work on the other core: threads that
    wait for each other there took 20 ms where one took 6.
    """
    with DRAWING, sampling.blas().limit(limits=1):
        yield


class LiveFigure(widgets.VBox):
    """``picture``, redrawn in an Image whenever one of ``controls`` changes.

    ``respond(**values)`` gets the controls' values by name and calls ``picture.update``. Where it is
    a generator function, every ``yield`` shows the picture as it then stands, and the rest waits
    until the kernel has looked at its messages: long work shows its progress, and a newer value ends
    it. A value that comes while an older one waits replaces it.

    The frame is drawn once and kept as pixels; a change puts them back and draws only the moving
    artists: as a quick draft at once, and sharp when the hand rests. An exception in ``respond`` is
    shown in red below the picture, and kept in ``error``.

    ``frames`` counts the pictures that ``respond`` has made. The Image's height is fixed, so that nothing
    jumps.
    """

    def __init__(
        self, picture: Picture, controls: dict[str, widgets.Widget], respond: Callable, *, lang: str
    ):
        self.picture, self.controls, self.respond, self.lang = picture, controls, respond, lang
        self.error: Exception | None = None
        self.frames = 0
        self._tickets = itertools.count(1)
        self._newest = 0
        self._frames = {}  # by pixel ratio
        width, height = (int(100 * inches) for inches in picture.figure.get_size_inches())
        self.image = widgets.Image(
            format="png",
            layout=widgets.Layout(
                width=f"{width}px", max_width="100%", height=f"{height}px", object_fit="contain"
            ),
        )
        self.message = widgets.HTML(layout=widgets.Layout(display="none"))
        row = widgets.HBox(
            list(controls.values()), layout=widgets.Layout(flex_flow="row wrap", grid_gap="2px 16px")
        )
        super().__init__([row, self.image, self.message])
        for control in controls.values():
            control.observe(self._changed, "value")
        # All of it, for a notebook that nobody reads as it runs; no draft, as nothing is on the page yet.
        self._show_all(self._ticket(), drafts=False)

    def still(self, **values) -> Figure:
        """The whole picture with these values, the others as they stand, for a page that nobody can touch.

        Raises TypeError for a control that is not there.
        """
        if unknown := set(values) - set(self.controls):
            raise TypeError(
                f"no control is called {', '.join(sorted(unknown))}; there are {', '.join(self.controls)}"
            )
        with _at_work():
            steps = self.respond(**{name: control.value for name, control in self.controls.items()} | values)
            for _ in steps if inspect.isgenerator(steps) else ():
                pass
            for artist in self.picture.moving:
                artist.set_animated(False)
            self._frames.clear()
        return self.picture.figure

    def _ticket(self) -> int:
        self._newest = next(self._tickets)
        return self._newest

    def _changed(self, _change) -> None:
        ticket = self._ticket()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel: nobody else wants to work
            self._show_all(ticket)
        else:
            self._show_next(self._frames_of(ticket), ticket, loop)

    def _show_all(self, ticket: int, drafts: bool = True) -> None:
        for _ in self._frames_of(ticket, drafts):
            pass
        self._sharpen(ticket)

    def _show_next(self, frames, ticket: int, loop) -> None:
        """Show the next frame now, and leave those after it to the kernel's event loop."""
        if next(frames, None) is None:
            loop.call_later(REST, self._sharpen, ticket)
        else:
            loop.call_soon(self._show_next, frames, ticket, loop)

    def _frames_of(self, ticket: int, drafts: bool = True):
        """Show ``respond``'s frames one by one, until a newer ticket is drawn or it fails."""
        steps = None
        try:
            with _at_work():
                if ticket != self._newest:
                    return
                steps = self.respond(**{name: c.value for name, c in self.controls.items()})
                if not inspect.isgenerator(steps):
                    self._draft(drafts)
                    yield self.frames
                    return
            while True:
                with _at_work():
                    if ticket != self._newest:
                        return
                    if next(steps, self) is self:
                        return
                    self._draft(drafts)
                yield self.frames
        except Exception as error:
            self._fail(error)
        finally:
            if inspect.isgenerator(steps):
                steps.close()

    def _draft(self, drafts: bool) -> None:
        if drafts:
            self._paint(DRAFT)
        self.frames += 1
        if self.error is not None:
            self.error = None
            self.message.value, self.message.layout.display = "", "none"

    def _sharpen(self, ticket: int) -> None:
        with DRAWING:
            if ticket != self._newest or self.error is not None:
                return
            try:
                self._paint(CRISP)
                self._render(DRAFT)  # what Matplotlib computes anew for it, before the hand moves
            except Exception as error:
                self._fail(error)

    def _paint(self, quality: Quality) -> None:
        self._render(quality)
        canvas = self.picture.figure.canvas
        pixels = Image.frombuffer("RGBX", canvas.get_width_height(), canvas.buffer_rgba())
        if quality.format == "png":  # which would take the fourth byte for opacity
            pixels = pixels.convert("RGB")
        packed = io.BytesIO()
        pixels.save(packed, format=quality.format, **quality.options)
        shown, data = quality.format, packed.getvalue()
        if quality.inline:
            shown, data = "url", f"data:image/{shown};base64,".encode() + base64.b64encode(data)
        with self.image.hold_sync():
            self.image.format, self.image.value = shown, data

    def _render(self, quality: Quality) -> None:
        figure, frame = self.picture.figure, self._frame(quality.ratio)
        figure.set_dpi(100 * quality.ratio)
        np.asarray(figure.canvas.get_renderer().buffer_rgba())[:] = frame
        for artist in self.picture.moving:
            figure.draw_artist(artist)

    def _frame(self, ratio: int) -> np.ndarray:
        """Pixels of all that stands still, drawn once: a draft's are the sharp ones', averaged."""
        if ratio not in self._frames and ratio != CRISP.ratio:
            sharp = Image.fromarray(self._frame(CRISP.ratio))
            self._frames[ratio] = np.asarray(sharp.reduce(CRISP.ratio // ratio))
        elif ratio not in self._frames:
            for artist in self.picture.moving:
                artist.set_animated(True)
            figure = self.picture.figure
            figure.set_dpi(100 * ratio)
            figure.canvas.draw()
            self._frames[ratio] = np.array(figure.canvas.buffer_rgba())
        return self._frames[ratio]

    def _fail(self, error: Exception) -> None:
        self.error = error
        trace = "".join(traceback.format_exception(error))
        self.message.value = (
            f'<div class="{ERROR_CLASS}" role="alert" style="color: #b00020; line-height: 1.4">'
            f"<b>{text('error.heading', self.lang)}</b> · "
            f"{html.escape(type(error).__name__)}: {html.escape(str(error))}"
            f"<details><summary>{text('error.details', self.lang)}</summary>"
            f"<pre>{html.escape(trace)}</pre></details></div>"
        )
        self.message.layout.display = None
