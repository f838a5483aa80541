"""Live figures: one function a picture, in the reader's language."""

from .figure import LiveFigure
from .taste import taste
from .why_initialization import why_initialization

__all__ = ["LiveFigure", "taste", "why_initialization"]
