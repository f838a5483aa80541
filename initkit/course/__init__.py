"""What the course says to its readers: texts by language, quizzes, checks, and fonts to draw them with."""

import importlib

from .texts import LANGUAGES, text

__all__ = ["LANGUAGES", "check", "quiz", "text"]


def __getattr__(name):
    # These stand above the plots, which need the texts.
    if name == "quiz":
        return importlib.import_module(".quizzes", __name__).quiz
    if name == "check":
        return importlib.import_module(".checks", __name__).check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
