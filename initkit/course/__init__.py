"""What the notebooks ask for: quizzes, checks of exercises, the glossary, lesson 07's patients, texts."""

from .. import widgets  # noqa: F401 - first, to say what to install
from ..words import LANGUAGES, text
from . import lessons  # noqa: F401 - registers every lesson's figures and checks
from .checks import check
from .frameworks import installed
from .glossaries import glossary
from .lessons.doctor import patient
from .lessons.random import specimen
from .own import own
from .progress import progress, score
from .quizzes import guess, quiz

__all__ = [
    "LANGUAGES", "check", "glossary", "guess", "installed", "own", "patient", "progress", "quiz", "score",
    "specimen", "text",
]  # fmt: skip
