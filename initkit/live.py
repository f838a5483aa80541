"""Live figures: one function a picture, in the reader's language.

Each stands in the room of its lesson, ``initkit/course/lessons``.
"""

from .course.registry import FIGURES
from .widgets.figure import LiveFigure

globals().update(FIGURES)

__all__ = ["LiveFigure", *sorted(FIGURES)]
