"""The one table of texts, ``texts.toml``, keyed by name and language."""

from __future__ import annotations

import difflib
import functools
import tomllib
from importlib import resources

LANGUAGES = ("zh", "en")


@functools.cache
def table() -> dict[str, dict[str, str]]:
    """The table, flat: ``{"layers.title": {"zh": "第 {layer} 层", "en": "Layer {layer}"}, …}``."""
    source = resources.files(__package__).joinpath("texts.toml").read_text(encoding="utf-8")
    sections = tomllib.loads(source).items()
    return {f"{section}.{name}": texts for section, entries in sections for name, texts in entries.items()}


def text(key: str, lang: str, **fields) -> str:
    """The text of that name in that language, its {braces} filled with ``fields``.

    Raises ValueError for a language that the course does not speak, KeyError for an unknown name.

    >>> text("layers.title", "en", layer=3)
    'Layer 3'
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang must be one of {', '.join(LANGUAGES)}, not {lang!r}")
    if key not in table():
        close = difflib.get_close_matches(key, table(), n=3)
        raise KeyError(f"no text is called {key!r}" + (f"; close: {', '.join(close)}" if close else ""))
    return table()[key][lang].format(**fields)
