"""The glossary, ``glossary.toml``: each term of the course in both languages, and what it means."""

from __future__ import annotations

import functools
import html
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from ..words import LANGUAGES, Language, text

COLUMNS = ("term", "other", "definition", "lesson")
STYLE = 'style="text-align: left; vertical-align: top"'  # JupyterLab's own tables stand on the right


@functools.cache
def terms() -> dict[str, dict]:
    """The terms by name, those of lesson 00 first: ``{"weight": {"zh": "权重", "en": "weight", …}, …}``."""
    source = resources.files(__package__).joinpath("glossary.toml").read_text(encoding="utf-8")
    return dict(sorted(tomllib.loads(source).items(), key=lambda item: item[1]["lesson"]))


@dataclass(frozen=True)
class Glossary:
    """All terms, for the readers of one language: a table in a notebook, a line each in a terminal.

    Attributes
    ----------
    lang : {"en", "zh"}
        The language.
    headings : list of str
        Of the columns: the term, the term in the other language, what it means, the lesson.
    rows : list of tuple
        The columns of each term.
    """

    lang: Language
    headings: list[str]
    rows: list[tuple[str, ...]]

    def __repr__(self):
        return "\n".join(f"{lesson} {term} ({other}): {means}" for term, other, means, lesson in self.rows)

    def _repr_html_(self):
        rows = [row("th", self.headings), *(row("td", entry) for entry in self.rows)]
        return f'<table lang="{self.lang}">{"".join(rows)}</table>'


def row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag} {STYLE}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"


def glossary(*, lang: Language) -> Glossary:
    """The terms of the course, by lesson.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language that comes first and explains; the other's terms stand beside.

    Returns
    -------
    Glossary

    Raises
    ------
    ValueError
        The course does not speak the language.

    Examples
    --------
    >>> glossary(lang="en").rows[1][:2]
    ('weight', '权重')
    """
    headings = [text(f"glossary.{column}", lang) for column in COLUMNS]
    (other,) = set(LANGUAGES) - {lang}
    rows = [(t[lang], t[other], t["definition"][lang], t["lesson"]) for t in terms().values()]
    return Glossary(lang, headings, rows)
