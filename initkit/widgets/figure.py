"""A live figure: controls, a picture, and when it is drawn."""

from __future__ import annotations

import asyncio
import html
import inspect
import itertools
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import ipywidgets as widgets

from ..plots import Figure, Picture
from ..words import Language, text
from .render import CRISP, DRAFT, Quality, Renderer, at_work
from .sheet import Sheet

ERROR_CLASS = "initkit-error"
REST = 0.15  # seconds without a newer value after which the hand rests
LEAST = 700  # minimum width in CSS pixels: the smallest text of a picture of 860, 12.5 high, keeps 10
STILLS = f"<style>.jp-RenderedImage img[width='860'] {{min-width: {LEAST}px}}</style>"  # for stored pictures
PAUSE = 0.005  # seconds between frames: to receive a newer value takes several turns of the event loop


def responses(respond: Callable, values: dict) -> Iterator:
    """Call ``respond``; stop wherever its picture is to be shown."""
    steps = respond(**values)
    if inspect.isgenerator(steps):
        yield from steps
    else:
        yield


class LiveFigure(widgets.VBox):
    """A picture that is redrawn whenever one of its controls changes.

    It is shown as a quick draft at once, and sharp when the hand rests. Its shape is fixed, so that nothing
    on the page jumps. On a narrow page it becomes smaller as long as its text can be read, and then is
    scrolled sideways. Where the picture has ``cells``, they can be clicked.

    Parameters
    ----------
    picture : plots.Picture
        What is shown.
    controls : dict
        The widgets by name.
    respond : callable
        ``respond(**values)`` gets the controls' values by name and calls ``picture.update``; nothing else
        changes the picture. If it is a generator, every ``yield`` shows the picture as it then stands, so
        that long work shows its progress. Before the work goes on, the kernel handles messages, and after the
        first frame it waits until the hand rests; a newer value ends the work. A value that comes while an
        older one waits replaces it.
    lang : {"en", "zh"}
        The language.

    Attributes
    ----------
    error : Exception or None
        What ``respond`` raised last; it is shown in red below the picture.
    frames : int
        How many pictures were shown.
    """

    def __init__(
        self, picture: Picture, controls: dict[str, widgets.Widget], respond: Callable, *, lang: Language
    ) -> None:
        self.picture, self.controls, self.respond, self.lang = picture, controls, respond, lang
        self.error: Exception | None = None
        self.frames = 0
        self._renderer = Renderer(picture)
        self._tickets = itertools.count(1)  # every value gets one; only the newest is drawn
        self._newest = 0
        width, height = (int(100 * inches) for inches in picture.figure.get_size_inches())
        place = widgets.Layout(width="100%", margin="0", grid_area="1 / 1")
        self.image = widgets.Image(format="png", width=width, height=height, layout=place)
        self.message = widgets.HTML(layout=widgets.Layout(display="none"))
        row = widgets.HBox(
            list(controls.values()), layout=widgets.Layout(flex_flow="row wrap", grid_gap="2px 16px")
        )
        self.sheet, self._holds = None, False
        if cells := picture.cells:
            self.sheet = Sheet(cells, lambda x, y: self.set(**{cells.x: x, cells.y: y}))
            self.sheet.layout.grid_area = place.grid_area
        column = widgets.Layout(grid_template_columns=f"minmax({min(LEAST, width)}px, {width}px)")
        shown = widgets.GridBox([self.image, *([self.sheet] if self.sheet else [])], layout=column)
        stills = widgets.HTML(STILLS, layout=widgets.Layout(display="none"))
        super().__init__([row, shown, self.message, stills])
        for control in controls.values():
            control.observe(self._changed, "value")
        # The first picture is complete, for a notebook that nobody reads as it runs, and has no draft, as
        # nothing is on the page yet.
        self._show_all(self._ticket(), drafts=False)

    def _ticket(self) -> int:
        self._newest = next(self._tickets)
        return self._newest

    def set(self, **values: Any) -> None:
        """Give several controls new values, and draw once."""
        self._holds = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._holds = False
        self._changed(None)

    def _changed(self, change) -> None:
        if self._holds:
            return
        if change is not None and self.sheet:
            self.sheet.forget()
        ticket = self._ticket()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel, so no message to look at in between
            self._show_all(ticket)
        else:
            self._show_next(self._frames_of(ticket), ticket, loop)

    def _show_all(self, ticket: int, drafts: bool = True) -> None:
        for _ in self._frames_of(ticket, drafts):
            pass
        self._sharpen(ticket)

    def _show_next(self, frames: Iterator[int], ticket: int, loop, pause: float = REST) -> None:
        """Show the next frame now, and leave those after it to the kernel's event loop.

        Work after the first frame begins when the hand rests: in a browser a step of it may take a second, in
        which no newer value gets through.
        """
        if next(frames, None) is None:
            self._sharpen(ticket)
        else:
            loop.call_later(pause, self._show_next, frames, ticket, loop, PAUSE)

    def _frames_of(self, ticket: int, drafts: bool = True) -> Iterator[int]:
        """Show ``respond``'s frames one by one, until a newer ticket is given out or an exception comes."""
        steps = responses(self.respond, {name: control.value for name, control in self.controls.items()})
        try:
            while True:
                with at_work():
                    if ticket != self._newest or next(steps, self) is self:
                        return
                    if drafts:
                        self._paint(DRAFT)
                    self._shown()
                yield self.frames
        except Exception as error:
            self._fail(error)
        finally:
            steps.close()

    def _sharpen(self, ticket: int) -> None:
        with at_work():
            if ticket != self._newest or self.error is not None:
                return
            try:
                self._paint(CRISP)
                self._renderer.draw(DRAFT)  # now, so that matplotlib's caches are filled when the hand moves
            except Exception as error:
                self._fail(error)

    def _paint(self, quality: Quality) -> None:
        form, data = self._renderer.file(quality)
        with self.image.hold_sync():
            self.image.format, self.image.value = form, data

    def _shown(self) -> None:
        self.frames += 1
        if self.error is not None:
            self.error = None
            self.message.value, self.message.layout.display = "", "none"

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


class Playable(Protocol):
    """What ``live`` offers by a figure's name: a function, with one more as its ``still``."""

    def __call__(self, *, lang: Language, seed: int = 0) -> LiveFigure:
        """The live figure.

        Parameters
        ----------
        lang : {"en", "zh"}
            The language.
        seed : int
            Of what the figure draws at random, if anything.

        Returns
        -------
        LiveFigure
        """

    def still(self, *, lang: Language, seed: int = 0, **values: Any) -> Figure:
        """Its whole picture, for a page that nobody can touch.

        Parameters
        ----------
        lang, seed
            As those of the live figure.
        **values
            Values of controls by name; the others keep their initial values.

        Returns
        -------
        plots.Figure

        Raises
        ------
        TypeError
            There is no such control.
        """


def playable(make: Callable) -> Playable:
    """The function that ``live`` offers, of a ``make(lang=…, seed=…)`` → picture, controls, ``respond``."""

    def live(*, lang: Language, seed: int = 0) -> LiveFigure:
        return LiveFigure(*make(lang=lang, seed=seed), lang=lang)

    def still(*, lang: Language, seed: int = 0, **values) -> Figure:
        picture, controls, respond = make(lang=lang, seed=seed)
        if unknown := set(values) - set(controls):
            raise TypeError(
                f"no control is called {', '.join(sorted(unknown))}; there are {', '.join(controls)}"
            )
        with at_work():
            for _ in responses(respond, {name: control.value for name, control in controls.items()} | values):
                pass
        return picture.figure

    live.__module__ = still.__module__ = make.__module__
    live.__doc__, still.__doc__ = make.__doc__, Playable.still.__doc__
    live.__name__ = live.__qualname__ = make.__name__
    still.__qualname__ = f"{make.__name__}.still"
    live.still = still
    return live
