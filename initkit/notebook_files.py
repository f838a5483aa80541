"""Notebooks as files: where the course's own lie, and what code is in one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CHECK = re.compile(r"course\.check\(\s*[\"'](\d\d[a-z]?\.\d+)[\"']")
LARGEST = 64 * 2**20  # bytes of a notebook that is read


def lessons() -> Path:
    """The folder that has the lessons: the wheel's, or in a clone the repository's own."""
    package = Path(__file__).parent
    packed = package / "notebooks"
    return packed if packed.is_dir() else package.parent / "notebooks"


def read(path: Path) -> list[dict[str, Any]]:
    """The code cells: ``id``, ``source``, ``tags``. Raises ValueError or OSError where it is no notebook."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST // 2**20} MB")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("no notebook")
    cells = []
    for cell in notebook["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            source = "".join(map(str, source)) if isinstance(source, list) else str(source)
            tags = cell.get("metadata", {}).get("tags", []) if isinstance(cell.get("metadata"), dict) else []
            cells.append({"id": str(cell.get("id")), "source": source, "tags": tags})
    return cells
