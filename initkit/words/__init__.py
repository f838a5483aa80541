"""Every text that a reader sees, by name and language.

The texts stand beside the code that shows them, in files whose names end in ``words.toml``:
``doctor/words.toml``, ``plots.words.toml``, ``course/lessons/random.words.toml``. They are one table.
"""

from __future__ import annotations

import difflib
import functools
import locale
import os
import tomllib
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal, TypeAlias, get_args

Language: TypeAlias = Literal["zh", "en"]
"""A language of the course."""

LANGUAGES: tuple[Language, ...] = get_args(Language)
"""The languages of the course."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def files(folder: Traversable | None = None) -> Iterator[Traversable]:
    """The files of texts in ``folder`` and below it; without one, all of initkit's."""
    folder = folder or resources.files(__package__.partition(".")[0])
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from files(entry)
        elif entry.name.endswith("words.toml"):
            yield entry


@functools.cache
def table() -> dict[str, dict[str, str]]:
    """All texts: ``{"layers.title": {"zh": "第 {layer} 层", "en": "Layer {layer}"}, …}``.

    Raises ValueError where two files have a section of the same name.
    """
    sections: dict[str, dict] = {}
    for file in files():
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        if twice := set(found) & set(sections):
            raise ValueError(f"{file.name}: another file has the section {', '.join(sorted(twice))}, too")
        sections |= found
    return {
        f"{section}.{name}": texts for section, entries in sections.items() for name, texts in entries.items()
    }


def text(key: str, lang: Language, **fields: object) -> str:
    """The text of that name in that language.

    Parameters
    ----------
    key : str
        Its section and name in a ``words.toml``.
    lang : {"en", "zh"}
        The language.
    **fields
        What fills the text's {braces}.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The course does not speak the language, or nothing fills some {braces}.
    KeyError
        No text has this name; the message gives the close ones.

    Examples
    --------
    >>> text("layers.title", "en", layer=3)
    'Layer 3'
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang must be one of {', '.join(LANGUAGES)}, not {lang!r}")
    if key not in table():
        close = difflib.get_close_matches(key, table(), n=3)
        raise KeyError(f"no text is called {key!r}" + (f"; close: {', '.join(close)}" if close else ""))
    try:
        return table()[key][lang].format(**fields)
    except (IndexError, KeyError, ValueError) as e:
        raise ValueError(
            f"the text {key!r} ({lang}) has {{braces}} that are not filled ({type(e).__name__}: {e}); "
            "those of a formula are written twice: $2^{{20}}$"
        ) from None


def two_digits(value: float) -> str:
    """As a reader would write it.

    >>> [two_digits(value) for value in (0.384, 604.0, 6.04e12, 6e-7)]
    ['0.38', '600', '6·10¹²', '6·10⁻⁷']
    """
    digits, _, power = f"{value:.2g}".partition("e")
    if power in ("+02", "+03"):
        return f"{float(digits) * 10 ** int(power):.0f}"
    return f"{digits}·10{str(int(power)).translate(RAISED)}" if power else digits


def system_language() -> Language:
    """ "zh" or "en", as POSIX's variables say; where none is set, as on Windows, as the locale does."""
    said = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
    if said is None:
        try:
            said = locale.getlocale()[0] or ""
        except ValueError:  # a locale that Python has no name for
            said = ""
    return "zh" if said.lower().startswith(("zh", "chinese")) else "en"
