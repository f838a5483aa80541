"""What the course says to its readers: texts, quizzes, checks, a glossary, patients, and fonts."""

import importlib

from .texts import LANGUAGES, text

__all__ = ["LANGUAGES", "check", "glossary", "patient", "quiz", "text"]


def __getattr__(name):
    # These stand above the plots, which need the texts.
    if name == "quiz":
        return importlib.import_module(".quizzes", __name__).quiz
    if name == "check":
        return importlib.import_module(".checks", __name__).check
    if name == "glossary":
        return importlib.import_module(".glossaries", __name__).glossary
    if name == "patient":
        return importlib.import_module(".patients", __name__).patient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
