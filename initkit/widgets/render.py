"""A picture as image files, drawn fast: what stands still is kept as pixels, only what moves is drawn."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from .. import sampling
from ..plots import DRAWING, Picture


class Quality(NamedTuple):
    """How a picture is sent: pixels per CSS pixel, the file format, and Pillow's options for it.

    ``inline``: as a URL that holds the file. A browser fetches a picture in bytes although it has the bytes;
    Chromium shows an inline one 6 ms sooner.
    """

    ratio: int
    format: str
    options: dict
    inline: bool = False


DRAFT = Quality(1, "jpeg", {"quality": 88, "subsampling": 2}, inline=True)  # quick to pack and to unpack
CRISP = Quality(2, "png", {"compress_level": 1})  # sharp on any screen


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """Hold matplotlib's lock, and keep BLAS to one thread.

    The matrices behind a picture are small, and the browser is busy on the other core: BLAS threads that
    wait for each other there take 20 ms where one thread takes 6.
    """
    with DRAWING, sampling.one_blas_thread():
        yield


class Renderer:
    """Draws ``picture`` as it stands. Whoever calls it is ``at_work``."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._frames: dict[int, np.ndarray] = {}  # pixel ratio → pixels of all that stands still

    def file(self, quality: Quality) -> tuple[str, bytes]:
        """The ``format`` and ``value`` of an ipywidgets Image."""
        self.draw(quality)
        canvas = self.picture.figure.canvas
        pixels = Image.frombuffer("RGBX", canvas.get_width_height(), canvas.buffer_rgba())
        if quality.format == "png":  # which would take the fourth byte for opacity
            pixels = pixels.convert("RGB")
        packed = io.BytesIO()
        pixels.save(packed, format=quality.format, **quality.options)
        if not quality.inline:
            return quality.format, packed.getvalue()
        url = f"data:image/{quality.format};base64,".encode()
        return "url", url + base64.b64encode(packed.getvalue())

    def draw(self, quality: Quality) -> None:
        """Put the frame's pixels on the canvas, and draw the moving artists over them."""
        figure, frame = self.picture.figure, self._frame(quality.ratio)
        figure.set_dpi(100 * quality.ratio)
        np.asarray(figure.canvas.get_renderer().buffer_rgba())[:] = frame
        for artist in self.picture.moving:
            figure.draw_artist(artist)

    def _frame(self, ratio: int) -> np.ndarray:
        """The crisp frame is drawn, once; a draft's is the crisp one averaged, so that nothing shifts."""
        if ratio not in self._frames and ratio == CRISP.ratio:
            self._frames[ratio] = self._drawn()
        elif ratio not in self._frames:
            crisp = Image.fromarray(self._frame(CRISP.ratio))
            self._frames[ratio] = np.asarray(crisp.reduce(CRISP.ratio // ratio))
        return self._frames[ratio]

    def _drawn(self) -> np.ndarray:
        for artist in self.picture.moving:
            artist.set_animated(True)  # a whole drawing leaves it out
        figure = self.picture.figure
        figure.set_dpi(100 * CRISP.ratio)
        figure.canvas.draw()
        return np.array(figure.canvas.buffer_rgba())
