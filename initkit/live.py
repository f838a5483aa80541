"""Live figures: one function a picture, in the reader's language.

Each stands in the room of its lesson, ``initkit/course/lessons``.
"""

from typing import TYPE_CHECKING

from .course.registry import FIGURES
from .widgets.figure import LiveFigure, Playable

if TYPE_CHECKING:

    def __getattr__(name: str) -> Playable: ...


globals().update(FIGURES)

__all__ = ["LiveFigure", *sorted(FIGURES)]
