"""Live figures: one function a picture, in the reader's language."""

from .figure import LiveFigure
from .random import random
from .taste import taste
from .why_initialization import why_initialization
from .zero_and_symmetry import zero_and_symmetry

__all__ = ["LiveFigure", "random", "taste", "why_initialization", "zero_and_symmetry"]
