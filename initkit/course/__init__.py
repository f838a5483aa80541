"""What the course says to its readers: texts by language, and the fonts to draw them with."""

from .texts import LANGUAGES, text

__all__ = ["LANGUAGES", "text"]
