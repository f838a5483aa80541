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
from .controls import beside

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
PAUSE = 0.005  # seconds in which a newer value gets through: that takes several turns of the event loop


@contextlib.contextmanager
def _at_work():
    """Hold the lock, and keep BLAS to one thread.

    The matrices behind a picture are small, and the browser is at work on the other core: threads that
    wait for each other there took 20 ms where one took 6.
    """
    with DRAWING, sampling.blas().limit(limits=1):
        yield


def _key(values: dict) -> tuple:
    """What tells values apart. Of a front-end's number the last bits may be others than ours."""
    key = tuple(f"{value:.12g}" if isinstance(value, float) else value for value in values.values())
    try:
        hash(key)
    except TypeError:
        key = tuple(map(id, values.values()))
    return key


class LiveFigure(widgets.VBox):
    """``picture``, redrawn in an Image whenever one of ``controls`` changes.

    ``respond(**values)`` gets the controls' values by name and calls ``picture.update``; the picture may
    not change but with them. Where it returns a generator, every ``yield`` shows the picture as it then
    stands, and the rest waits until the kernel has looked at its messages: long work shows its progress,
    and a newer value ends it. A value that comes while an older one waits replaces it.

    The frame is drawn once and kept as pixels; a change puts them back and draws only the moving
    artists: as a quick draft at once, and sharp when the hand rests. Then ``respond`` is asked for what is
    beside (``controls.beside``), so that the hand's next step finds its draft ready; a generator is not
    begun for that. An exception in ``respond`` is shown in red below the picture, and kept in ``error``,
    once the hand is there.

    ``frames`` counts the pictures that were shown. The Image's height is fixed, so that nothing jumps.
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
        self._ready = {}  # by values, the drafts of what is beside
        self._came_from = None  # what is shown: "respond", "generator" or "ready"
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

    def _ticket(self) -> int:
        self._newest = next(self._tickets)
        return self._newest

    def _values(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    def _changed(self, change) -> None:
        self._moved = next(name for name, control in self.controls.items() if control is change["owner"])
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
            loop.call_later(REST, self._rest, ticket, loop)
        else:
            loop.call_later(PAUSE, self._show_next, frames, ticket, loop)

    def _rest(self, ticket: int, loop) -> None:
        self._sharpen(ticket)
        if ticket == self._newest and self.error is None and self._came_from != "generator":
            values = self._values()
            if steps := [values | {self._moved: value} for value in beside(self.controls[self._moved])]:
                loop.call_later(PAUSE, self._look_ahead, ticket, steps, loop)

    def _look_ahead(self, ticket: int, steps: list[dict], loop) -> None:
        """Draw a draft for each of ``steps``, until a newer value comes."""
        with _at_work():
            if ticket != self._newest:
                return
            if not steps:
                self._respond(self._values())  # so that the picture stands again where it is shown
                return
            with contextlib.suppress(Exception):  # shown when the hand gets there
                if self._respond(steps[0]) is None:
                    self._ready[_key(steps[0])] = self._packed(DRAFT)
        loop.call_later(PAUSE, self._look_ahead, ticket, steps[1:], loop)

    def _respond(self, values: dict):
        """A generator, not begun; None where the picture shows ``values`` already."""
        steps = self.respond(**values)
        return steps if inspect.isgenerator(steps) else None

    def _frames_of(self, ticket: int, drafts: bool = True):
        """Show ``respond``'s frames one by one, until a newer ticket is drawn or it fails."""
        steps = None
        try:
            with _at_work():
                if ticket != self._newest:
                    return
                values = self._values()
                ready = self._ready.get(_key(values))
                self._ready = {}
                steps = None if ready else self._respond(values)
                self._came_from = "ready" if ready else "respond" if steps is None else "generator"
                if steps is None:
                    self._draft(drafts, ready)
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
            if steps is not None:
                steps.close()

    def _draft(self, drafts: bool, ready: tuple[str, bytes] | None = None) -> None:
        if ready:
            self._show(*ready)
        elif drafts:
            self._paint(DRAFT)
        self.frames += 1
        if self.error is not None:
            self.error = None
            self.message.value, self.message.layout.display = "", "none"

    def _sharpen(self, ticket: int) -> None:
        with _at_work():
            if ticket != self._newest or self.error is not None:
                return
            try:
                if self._came_from == "ready":  # and the picture stands elsewhere
                    self._respond(self._values())
                self._paint(CRISP)
                self._render(DRAFT)  # what Matplotlib computes anew for it, before the hand moves
            except Exception as error:
                self._fail(error)

    def _paint(self, quality: Quality) -> None:
        self._show(*self._packed(quality))

    def _show(self, form: str, data: bytes) -> None:
        with self.image.hold_sync():
            self.image.format, self.image.value = form, data

    def _packed(self, quality: Quality) -> tuple[str, bytes]:
        """The Image's format, and its value."""
        self._render(quality)
        canvas = self.picture.figure.canvas
        pixels = Image.frombuffer("RGBX", canvas.get_width_height(), canvas.buffer_rgba())
        if quality.format == "png":  # which would take the fourth byte for opacity
            pixels = pixels.convert("RGB")
        packed = io.BytesIO()
        pixels.save(packed, format=quality.format, **quality.options)
        form, data = quality.format, packed.getvalue()
        if quality.inline:
            form, data = "url", f"data:image/{form};base64,".encode() + base64.b64encode(data)
        return form, data

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


def live_figure(make):
    """From a function that returns picture, controls and ``respond``, one that returns the LiveFigure.

    It has a ``still``, too.
    """

    def live(*, lang: str, seed: int = 0) -> LiveFigure:
        return LiveFigure(*make(lang=lang, seed=seed), lang=lang)

    def still(*, lang: str, seed: int = 0, **values) -> Figure:
        """The whole picture as a Figure, for a page that nobody can touch; nothing is drawn for a hand.

        The controls that ``values`` names are moved there, the others stand as they begin. Raises TypeError
        for a control that is not there.
        """
        picture, controls, respond = make(lang=lang, seed=seed)
        if unknown := set(values) - set(controls):
            raise TypeError(
                f"no control is called {', '.join(sorted(unknown))}; there are {', '.join(controls)}"
            )
        with _at_work():
            steps = respond(**{name: control.value for name, control in controls.items()} | values)
            for _ in steps if inspect.isgenerator(steps) else ():
                pass
        return picture.figure

    for function in (live, still):
        function.__module__, function.__doc__ = make.__module__, function.__doc__ or make.__doc__
    live.__name__ = live.__qualname__ = make.__name__
    still.__qualname__ = f"{make.__name__}.still"
    live.still = still
    return live
