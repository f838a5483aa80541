"""``initkit grade --nbgrader DIR``: the lessons with exercises, as nbgrader's source notebooks.

An answer's cell holds the solution between nbgrader's marks, by which it is cut out of what students get. The
check is a test worth one point; it and a student's own numbers are locked: nbgrader puts these cells back as
they were before it grades.
"""

from __future__ import annotations

import errno
import json
import os
import textwrap
from pathlib import Path
from typing import Any

from ..notebook_files import CHECK, lessons
from ..words import Language


def export(folder: Path, lang: Language) -> list[Path]:
    """Write ``folder``/source/05_he/05_he.ipynb and its kin; where one is there, none: FileExistsError."""
    made = {}
    for path in sorted((lessons() / lang).glob("*.ipynb")):
        notebook = source_notebook(json.loads(path.read_text(encoding="utf-8")))
        if any("nbgrader" in cell["metadata"] for cell in notebook["cells"]):
            made[folder / "source" / path.stem / path.name] = notebook
    if there := [path for path in made if path.exists()]:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(there[0]))
    for path, notebook in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return list(made)


def source_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    """A lesson's notebook, changed: https://nbgrader.readthedocs.io/en/stable/contributor_guide/metadata.html."""
    cells: list[dict[str, Any]] = []
    for cell in notebook["cells"]:
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if "parameters" in tags:
            source = "\n".join(line for line in source.split("\n") if not line.startswith("SOLVE"))
        elif "exercise" in tags:
            mark(cell, solution=True)
        elif "solution" in tags:
            code = textwrap.dedent(source.partition("\n")[2])
            cells[-1]["source"] += f"\n### BEGIN SOLUTION\n{code}\n### END SOLUTION"
            continue
        elif cell["cell_type"] == "code" and CHECK.search(source):
            source = f"said = {source}\nprint(said)\nassert said.ok, said"
            mark(cell, grade=True, locked=True, points=1)
        elif source.startswith("mine = "):
            mark(cell, locked=True)
        cells.append(cell | {"source": source})
    return notebook | {"cells": cells}


def mark(cell: dict[str, Any], **more: Any) -> None:
    about = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    cell["metadata"]["nbgrader"] = about | {"grade_id": cell["id"]} | more
