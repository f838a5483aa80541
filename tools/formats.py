"""Write the registry's list of checkpoint formats where README and lesson 07 name them. Run by ``make sync``.

In prose the list is a run of three code spans or more: "`.npy`, `.npz`, `.pt`"; in Chinese with "、" between.
"""

from __future__ import annotations

import re
from pathlib import Path

from initkit.doctor.checkpoints import format_names
from notebooks import read, write

ROOT = Path(__file__).parents[1]
LISTS = ("README.md", "notebooks/en/07_doctor.ipynb", "notebooks/zh/07_doctor.ipynb")
LIST = re.compile(r"`\.[a-z0-9.]+`((, |、|,\n)`\.[a-z0-9.]+`)+")


def with_formats(text: str) -> str:
    """``text`` with the registry's list in the place of its list of three suffixes or more, if it has one."""

    def said(found: re.Match) -> str:
        if found[0].count("`") < 6:
            return found[0]
        return ("、" if "、" in found[0] else ", ").join(f"`{name}`" for name in format_names())

    return LIST.sub(said, text)


def prose(path: Path) -> list[str]:
    """The texts of a Markdown file or a notebook, in which a list may stand."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def main() -> None:
    """Rewrite the files of ``LISTS`` whose list is not the registry's."""
    for path in (ROOT / name for name in LISTS):
        if all(text == with_formats(text) for text in prose(path)):
            continue
        print(f"{path.relative_to(ROOT)}: names the formats anew")
        if path.suffix == ".md":
            path.write_text(with_formats(path.read_text(encoding="utf-8")), encoding="utf-8")
            continue
        book = read(path)
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = with_formats(cell.source)
        write(book, path)


if __name__ == "__main__":
    main()
