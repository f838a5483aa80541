"""What a reader has done, kept in a file beside the lessons and sent nowhere: questions, exercises, scores.

Both editions share the file. Where it cannot be written, or holds something else, nothing is kept or said.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ..words import LANGUAGES, Language, table, text
from .glossaries import row
from .registry import CHECKS

FILE = "initkit-progress.json"
QUESTIONS, EXERCISES, SCORES = KINDS = ("questions", "exercises", "scores")
Kept = dict[str, dict[str, Any]]  # kind → name → what is kept of it


def place() -> Path | None:
    """The file, in the folder that has both editions; None where INITKIT_PROGRESS is "off", as in tests."""
    if os.environ.get("INITKIT_PROGRESS") == "off":
        return None
    here = Path.cwd()
    return (here.parent if here.name in LANGUAGES else here) / FILE


def read() -> Kept | None:
    """What was kept; None where the file is no such file."""
    try:
        path = place()
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(kind, {}), dict) for kind in KINDS):
        return None
    return {kind: found.get(kind, {}) for kind in KINDS}


def keep(kind: str, name: str, value: Any) -> None:
    """Add this to what was kept."""
    kept, path = read(), place()
    if kept is None or path is None or kept[kind].get(name) == value:
        return
    kept[kind][name] = value
    half = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        half.write_text(json.dumps(kept, sort_keys=True), encoding="utf-8")
        half.replace(path)


def score(lesson: str, value: float, *, lang: Language) -> str:
    """What there is to say to a score in a lesson's challenge, beside the reader's best so far.

    Parameters
    ----------
    lesson : str
        Its number, "04" for one.
    value : float
        The score; the largest so far is kept.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    str

    Examples
    --------
    >>> score("04", 12, lang="en")
    'Score 12; your best is 12.'
    """
    before = (read() or {}).get(SCORES, {}).get(lesson)
    best = max(float(value), before) if isinstance(before, float) else float(value)
    keep(SCORES, lesson, best)
    return text("progress.score", lang, score=f"{value:.3g}", best=f"{best:.3g}")


class Progress(widgets.VBox):
    """A table, a row a lesson: questions and exercises right, the best score; and a button to start over."""

    def __init__(self, lang: Language) -> None:
        self.lang = lang
        self.shown = widgets.HTML()
        restart = widgets.Button(description=text("progress.restart", lang), layout={"width": "max-content"})
        restart.on_click(self._restart)
        super().__init__([self.shown, restart])
        self._show()

    def _show(self) -> None:
        kept = read() or {kind: {} for kind in KINDS}
        questions = {
            key.split(".", 1)[1].rpartition(".")[0]
            for key in table()
            if key.startswith("quiz.") and key.endswith(".question")
        }
        heads = [text(f"progress.{name}", self.lang) for name in ("lesson", *KINDS)]
        rows = []
        for lesson in sorted({name.partition(".")[0] for name in questions | CHECKS.keys()}):
            cells = [lesson]
            for kind, every in ((QUESTIONS, questions), (EXERCISES, CHECKS)):
                names = [name for name in every if name.startswith(f"{lesson}.")]
                right = sum(kept[kind].get(name) is True for name in names)
                cells.append(f"{right}/{len(names)}" if names else "")
            best = kept[SCORES].get(lesson)
            rows.append([*cells, f"{best:.3g}" if isinstance(best, float) else ""])
        lines = [row("th", heads), *(row("td", cells) for cells in rows)]
        # The class gives it the look of JupyterLab's own tables, which a widget's do not have.
        common = f'<div class="jp-RenderedHTMLCommon" lang="{self.lang}">'
        self.shown.value = f"{common}<table style='margin-left: 0'>{''.join(lines)}</table></div>"

    def _restart(self, button: widgets.Button) -> None:
        """The file goes aside: a click by mistake loses nothing."""
        path = place()
        with contextlib.suppress(OSError):
            if path:
                path.replace(path.with_suffix(".old.json"))
        self._show()


def progress(*, lang: Language) -> Progress:
    """What the reader has done so far, of both editions together; ``initkit-progress.json`` has it.

    Parameters
    ----------
    lang : {"en", "zh"}
        The language of the headings.

    Returns
    -------
    Progress

    Examples
    --------
    >>> "0/2" in progress(lang="en").shown.value
    True
    """
    return Progress(lang)
