"""Keep the notebooks' two editions in step, and their stored outputs to the policy.

    python tools/notebooks.py strip     keep only the outputs that are compared; tidy the metadata
    python tools/notebooks.py record    run every notebook and store the outputs that are compared
    python tools/notebooks.py sync      copy code from English to Chinese; mark what is out of step
        --accept CELL…                  … but take these pairs (lesson:cell-id, or all) as in step

Policy on outputs: a text output that is worth comparing is stored, its cell begins with
``# NBVAL_CHECK_OUTPUT``, and nbval compares it. The picture of a cell tagged ``static`` is stored, for pages
where nothing runs (GitHub, nbviewer, print), and a test compares it. Nothing else is stored: no widget.

Editions: English and Chinese have the same files, cell ids, order, types, and code (the cell tagged
``parameters`` aside). A Chinese Markdown cell keeps, in ``metadata.initkit``, a hash of the English
cell that it says and one of itself as it was then: where just one of the two has changed since, the
pair is out of step, and ``sync`` tags the Chinese cell ``stale`` until the other follows (both changed:
``sync`` takes the pair as in step) or someone has looked and says that it need not (``--accept``).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1] / "notebooks"
CHECKED = "# NBVAL_CHECK_OUTPUT"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def lessons(root: Path = ROOT) -> list[str]:
    """The notebooks' file names, of both editions together."""
    return sorted({path.name for lang in ("en", "zh") for path in (root / lang).glob("*.ipynb")})


def read(path: Path):
    return nbformat.read(path, as_version=4)


def write(notebook, path: Path) -> None:
    nbformat.validate(notebook)
    text = nbformat.writes(notebook, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def is_checked(cell) -> bool:
    return cell.cell_type == "code" and cell.source.startswith(CHECKED)


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def is_static(cell) -> bool:
    return "static" in cell.metadata.get("tags", [])


def strip(notebook) -> None:
    notebook.metadata = nbformat.from_dict(METADATA)
    count = 0
    for cell in notebook.cells:
        cell.metadata = {k: cell.metadata[k] for k in ("initkit", "jupyter", "tags") if k in cell.metadata}
        if cell.cell_type != "code":
            continue
        count += 1
        if not (is_checked(cell) or is_static(cell)):
            cell.outputs, cell.execution_count = [], None
            continue
        # nbval takes a cell without a count for one that was never run, and compares nothing.
        cell.execution_count = count
        cell.outputs = _kept(cell.outputs, count, "image/png" if is_static(cell) else "text/plain")


def _kept(outputs, count: int, kind: str) -> list:
    """Only printed text and results of this kind; a kernel may print one text in any number of pieces."""
    kept = []
    for output in outputs:
        if output.output_type == "execute_result":
            output.data = {"text/plain": output.data["text/plain"], kind: output.data[kind]}
            kept.append({**output, "execution_count": count})
        elif output.output_type == "stream" and output.name == "stdout":
            if kept and kept[-1]["output_type"] == "stream":
                kept[-1]["text"] += output.text
            else:
                kept.append(output)
    return [nbformat.from_dict(output) for output in kept]


def record(notebook, folder: Path) -> None:
    from nbclient import NotebookClient

    os.environ["TQDM_DISABLE"] = "1"  # as in conftest.py: no bar in what is compared
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()


def digest(cell) -> str:
    return hashlib.sha256(cell.source.encode()).hexdigest()[:12]


def formulas(cell) -> list[str]:
    return re.findall(r"\$\$.*?\$\$", cell.source, re.DOTALL)


def differences(en, zh) -> list[str]:
    """Every way in which the two editions of a lesson are out of step."""
    found = []
    ids = [[cell.id for cell in notebook.cells] for notebook in (en, zh)]
    if ids[0] != ids[1]:
        return [f"cell ids differ: {ids[0]} in English, {ids[1]} in Chinese"]
    for cell, twin in zip(en.cells, zh.cells, strict=True):
        if cell.cell_type != twin.cell_type or cell.metadata.get("tags", []) != [
            tag for tag in twin.metadata.get("tags", []) if tag != "stale"
        ]:
            found.append(f"{cell.id}: type or tags differ")
        elif cell.cell_type == "code":
            if cell.source != twin.source and not is_parameters(cell):
                found.append(f"{cell.id}: code differs")
        else:
            if formulas(cell) != formulas(twin):
                found.append(f"{cell.id}: $$…$$ differs")
            kept = twin.metadata.get("initkit", {})
            if kept.get("en") != digest(cell):
                found.append(f"{cell.id}: the English changed, or was never said to be translated")
            if kept.get("zh") != digest(twin):
                found.append(f"{cell.id}: the Chinese changed, or was never said to be a translation")
    return found


def sync(en, zh, accepted=lambda cell_id: False) -> list[str]:
    """Bring the Chinese edition's code in step, mark stale cells; returns what remains."""
    twins = {cell.id: cell for cell in zh.cells}
    cells = []
    for cell in en.cells:
        twin = twins.get(cell.id)
        if twin is None or twin.cell_type != cell.cell_type:
            twin = nbformat.from_dict(cell)  # the English text, until it is translated
            twin.metadata = {**twin.metadata, "initkit": {"zh": digest(twin)}}
        tags = [*cell.metadata.get("tags", [])]
        if cell.cell_type == "code":
            twin.metadata.pop("initkit", None)
            if not is_parameters(cell) and twin.source != cell.source:
                twin.source = cell.source
                if not is_static(cell):  # whose picture, like some outputs, speaks a language: record follows
                    twin.outputs, twin.execution_count = cell.outputs, cell.execution_count
        else:
            now = {"en": digest(cell), "zh": digest(twin)}
            kept = twin.metadata.get("initkit", {})
            both_changed = all(kept.get(lang) != now[lang] for lang in now)
            if both_changed or accepted(cell.id):
                twin.metadata["initkit"] = now
            elif kept != now:
                tags.append("stale")
        if tags:
            twin.metadata["tags"] = tags
        else:
            twin.metadata.pop("tags", None)
        cells.append(twin)
    zh.cells = cells
    return differences(en, zh)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=("strip", "record", "sync"))
    parser.add_argument("--accept", nargs="*", default=[], metavar="CELL")
    arguments = parser.parse_args()
    remaining = 0
    for name in lessons():
        paths = {lang: ROOT / lang / name for lang in ("en", "zh")}
        books = {lang: read(path) for lang, path in paths.items() if path.exists()}
        if arguments.command == "sync":
            if "en" not in books:
                print(f"{name}: has no English edition to follow")
                remaining += 1
                continue
            books.setdefault("zh", nbformat.v4.new_notebook(metadata=METADATA))
            lesson = Path(name).stem
            found = sync(
                books["en"],
                books["zh"],
                lambda cell, lesson=lesson: bool({"all", f"{lesson}:{cell}"} & set(arguments.accept)),
            )
            for problem in found:
                print(f"{lesson}:{problem}")
            remaining += len(found)
        for lang, book in books.items():
            if arguments.command == "record":
                record(book, paths[lang].parent)
            strip(book)
            write(book, paths[lang])
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
