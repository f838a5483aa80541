"""Live figures: one function a picture, in the reader's language."""

from .choosing import choosing
from .doctor import doctor
from .figure import LiveFigure
from .he import he
from .random import random
from .taste import taste
from .why_initialization import why_initialization
from .xavier import xavier
from .zero_and_symmetry import zero_and_symmetry

__all__ = [
    "LiveFigure",
    "choosing",
    "doctor",
    "he",
    "random",
    "taste",
    "why_initialization",
    "xavier",
    "zero_and_symmetry",
]
