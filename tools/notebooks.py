"""Keep the notebooks' two editions in step, and their stored outputs to the policy.

    python tools/notebooks.py strip     keep only the outputs that are compared; tidy the metadata
    python tools/notebooks.py record    run every notebook and store the outputs that are compared
        --jolts 2                       … if they stand so many jolts (tools/jolt.py)
    python tools/notebooks.py sync      copy code from English to Chinese; mark what is out of step; mend the
                                        links between lessons
        --accept CELL…                  … but take these pairs (lesson:cell-id, or all) as in step
    All take --lesson 05: only what begins so.

Policy on outputs: a text output that is worth comparing is stored, its cell has the tag
``nbval-check-output``, and nbval compares it. The picture of a cell tagged ``static`` is stored, for pages
where nothing runs (GitHub, nbviewer, print), and a test compares it: ``record`` keeps the stored one where
the new one looks the same. Nothing else is stored: no widget.

Editions: English and Chinese have the same files, cell ids, order, types, and code (the cell tagged
``parameters`` aside), which prints and is commented in its reader's language: printed.toml says how.
A Chinese Markdown cell keeps, in ``metadata.initkit``, a hash of the English cell that it says and one
of itself as it was then: where just one of the two has changed since, the pair is out of step, and
``sync`` tags the Chinese cell ``stale`` until the other follows (both changed: ``sync`` takes the pair
as in step) or someone has looked and says that it need not (``--accept``). A cell that has no Chinese
yet is stale, too, and waits for it.

Links: a lesson's title is its first heading. README's table, lesson 00's map and the last line of the lesson
before link to it by this title, which may lack what it has in parentheses.
"""

from __future__ import annotations

import argparse
import ast
import base64
import copy
import functools
import hashlib
import io
import os
import re
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1] / "notebooks"
README = ROOT.parent / "README.md"
FIRST = "00_start_here.ipynb"
CHECKED = "nbval-check-output"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def lessons() -> list[str]:
    """The notebooks' file names, of both editions together."""
    return sorted({path.name for lang in ("en", "zh") for path in (ROOT / lang).glob("*.ipynb")})


def number_of(name: str) -> str:
    """ "06b" of "06b_rescue.ipynb"."""
    return name.partition("_")[0]


def read(path: Path):
    return nbformat.read(path, as_version=4)


def write(notebook, path: Path) -> None:
    nbformat.validate(notebook)
    text = nbformat.writes(notebook, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def has(tag: str, cell) -> bool:
    return tag in cell.metadata.get("tags", [])


is_checked = functools.partial(has, CHECKED)
is_parameters = functools.partial(has, "parameters")
is_static = functools.partial(has, "static")


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


def record(notebook, folder: Path) -> list[str]:
    """Run it. A static picture that looks as the stored one does stays as it was stored.

    Returns the cells where it stays though pixels differ: by another CPU's training, or by a word.
    """
    from nbclient import NotebookClient

    before = {cell.id: copy.deepcopy(cell.outputs) for cell in notebook.cells if is_static(cell)}
    os.environ["TQDM_DISABLE"] = "1"  # as in conftest.py: no bar in what is compared
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    kept = []
    for cell in notebook.cells:
        if is_static(cell) and before[cell.id] and look_alike(before[cell.id], cell.outputs):
            if not np.array_equal(pixels(before[cell.id]), pixels(cell.outputs)):
                kept.append(cell.id)
            cell.outputs = before[cell.id]
    return kept


def look_alike(outputs, others) -> bool:
    """Whether the pictures of two cells are the same to the eye."""
    these, those = pixels(outputs), pixels(others)
    # Of 255. Another start differs by 3, another seed of a trained net by 1.4; the same training on another
    # CPU, which rounds differently, by up to 0.5.
    return these.shape == those.shape and bool(np.abs(these - those).mean() < 1)


def pixels(outputs) -> np.ndarray:
    (png,) = (o.data["image/png"] for o in outputs if "image/png" in o.get("data", {}))
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    return np.asarray(picture, np.int16)  # as floats, ten times slower


def digest(cell) -> str:
    return hashlib.sha256(cell.source.encode()).hexdigest()[:12]


@functools.cache
def printed() -> dict[str, str]:
    """Pieces of the English edition's code, and what stands in their place in the Chinese one."""
    return tomllib.loads(Path(__file__).with_name("printed.toml").read_text(encoding="utf-8"))


def in_chinese(code: str) -> str:
    """The Chinese edition's code: pieces of what it prints and notes are exchanged, the longest that fits."""
    pieces = sorted(printed(), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, pieces)), lambda found: printed()[found[0]], code)


def in_english(code: str) -> list[str]:
    """Strings of Chinese code that printed.toml leaves in English: that have two of its words in a row."""
    try:
        strings = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    except SyntaxError:  # a cell that is being written
        return []
    return [s for s in strings if isinstance(s, str) and re.search("[A-Za-z]{2,} +[a-z]{2,}", s)]


def formulas(cell) -> list[str]:
    return re.findall(r"\$\$.*?\$\$", cell.source, re.DOTALL)


WAITS = "waits for its translation"


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
            if in_chinese(cell.source) != twin.source and not is_parameters(cell):
                found.append(f"{cell.id}: code differs")
            elif cell.id != "imports":  # where the reader's language is not known yet
                found += [f"{cell.id}: {s!r} is English: tools/printed.toml" for s in in_english(twin.source)]
        else:
            if formulas(cell) != formulas(twin):
                found.append(f"{cell.id}: $$…$$ differs")
            kept, now = twin.metadata.get("initkit", {}), digests(cell, twin)
            if "en" not in kept:
                found.append(f"{cell.id}: {WAITS}")
            else:
                names = {"en": "English", "zh": "Chinese"}
                found += [f"{cell.id}: the {names[lang]} changed" for lang in now if kept[lang] != now[lang]]
    return found


def digests(cell, twin) -> dict[str, str]:
    return {"en": digest(cell), "zh": digest(twin)}


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
            if is_parameters(cell):
                twin.source = re.sub(r'^LANG = ".*"', 'LANG = "zh"', twin.source, flags=re.MULTILINE)
            elif twin.source != in_chinese(cell.source):
                twin.source = in_chinese(cell.source)
                if not is_static(cell):  # whose picture, like some outputs, speaks a language: record follows
                    twin.outputs, twin.execution_count = cell.outputs, cell.execution_count
        else:
            now = digests(cell, twin)
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


# Links between lessons -----------------------------------------------------------------------------

NEXT = {"en": "Next: ", "zh": "下一课："}
BACK = {"en": f"Back to the [map of the lessons]({FIRST})", "zh": f"回到[课程地图]({FIRST})"}
QUESTION = {"en": "WRITE: the question", "zh": "待写：要回答的问题"}


def title(notebook) -> str:
    """ "He (Kaiming)" of "# 05 · He (Kaiming)"."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ").partition(" · ")[2]


def link(text: str, address: str, title: str) -> str:
    """The link to ``address`` that stands in ``text``, if it says ``title``, all or without parentheses.

    Else a new one, with the whole title.
    """
    for words in re.findall(rf"\[([^\]]*)\]\({re.escape(address)}\)", text):
        if words in (title, re.sub(r" ?[(（].*", "", title)):
            return f"[{words}]({address})"
    return f"[{title}]({address})"


def with_row(text: str, number: str, make) -> str:
    """A Markdown table whose row ``number`` is ``make(the row that was there, or "")``."""
    rows = {m[1]: m[0] for m in re.finditer(r"(?m)^\| (\d\d[a-z]?) \|.*$", text)}
    if number in rows:
        return text.replace(rows[number], make(rows[number]))
    before = rows[max(other for other in rows if other < number)]
    return text.replace(before, f"{before}\n{make('')}")


def mend_links(books: dict[str, dict], readme: str) -> str:
    """Link the lessons as their titles are; ``books``: name → language → notebook. Returns README's new text.

    A pair of cells that is in step stays so; one that is not is left alone.
    """
    first, names = books[FIRST], sorted(set(books) - {FIRST})
    for name, after in zip([FIRST, *names], [*names, None], strict=True):
        pair = {lang: book.cells[-1] for lang, book in books[name].items()}
        _rewrite(pair, lambda lang, text, after=after: _with_end(text, lang, after, books))
    pair = {lang: next(c for c in book.cells if c.id == "map") for lang, book in first.items()}
    for name in names:
        titles, number = {lang: title(book) for lang, book in books[name].items()}, number_of(name)

        def of_map(lang, text, name=name, titles=titles, number=number):
            def make(row):
                asked = row.split("|")[3].strip() if row else QUESTION[lang]
                return f"| {number} | {link(row, name, titles[lang])} | {asked} |"

            return with_row(text, number, make)

        def of_readme(row, name=name, titles=titles, number=number):
            links = [link(row, f"notebooks/{lang}/{name}", titles[lang]) for lang in ("en", "zh")]
            return f"| {number} | {links[0]} | {links[1]} |"

        _rewrite(pair, of_map)
        readme = with_row(readme, number, of_readme)
    return readme


def _rewrite(pair: dict, change) -> None:
    """Set both cells to ``change(lang, source)``, if they are in step."""
    cells = pair["en"], pair["zh"]
    if cells[1].metadata.get("initkit") == digests(*cells):
        for lang, cell in pair.items():
            cell.source = change(lang, cell.source)
        cells[1].metadata["initkit"] = digests(*cells)


def _with_end(text: str, lang: str, after: str | None, books) -> str:
    """A lesson's last cell, its last line leading to the lesson ``after``, or back to the map."""
    *body, end = text.split("\n")
    if not any(end.startswith((NEXT[each], BACK[each].partition("[")[0])) for each in NEXT):
        body, end = [text, ""], ""
    if after is None:
        return "\n".join([*body, BACK[lang]])
    name = f"{number_of(after)} · {title(books[after][lang])}"
    return "\n".join([*body, NEXT[lang] + link(end, after, name)])


# The commands --------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=("strip", "record", "sync"))
    parser.add_argument("--accept", nargs="*", default=[], metavar="CELL")
    parser.add_argument("--lesson", default="", metavar="NN")
    parser.add_argument("--jolts", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    names = [name for name in lessons() if name.startswith(arguments.lesson)]
    if not names:
        parser.error(f"no lesson begins with {arguments.lesson!r}; there are {', '.join(lessons())}")
    failed = False
    books = {}
    for name in names:
        paths = {lang: ROOT / lang / name for lang in ("en", "zh")}
        books[name] = {lang: read(path) for lang, path in paths.items() if path.exists()}
    cells = {
        f"{Path(name).stem}:{cell.id}"
        for name, editions in books.items()
        for book in editions.values()
        for cell in book.cells
    }
    if unknown := sorted(set(arguments.accept) - cells - {"all"}):
        parser.error(
            f"--accept takes a cell, as in 01_why_initialization:title, or all, not {' '.join(unknown)}"
        )
    for name in names:
        if arguments.command == "sync":
            failed |= _synced(Path(name).stem, books[name], set(arguments.accept))
        elif arguments.command == "record":
            for lang, book in books[name].items():
                try:
                    kept = record(book, ROOT / lang)
                except Exception as error:
                    error.add_note(f"in notebooks/{lang}/{name}")
                    raise
                for cell in kept:
                    print(f"{lang}/{name}:{cell}: looks as stored, and stays, unless you delete it")
    if failed:
        print("translate or accept what is listed, then make sync again")
    if arguments.jolts:  # of notebooks that run
        import jolt

        chosen = ["--jolts", str(arguments.jolts), "--only", arguments.lesson or "notebooks"]
        if jolt.main(chosen):
            return 1
    if arguments.command == "sync" and names == lessons() and not failed:
        README.write_text(mend_links(books, README.read_text(encoding="utf-8")), encoding="utf-8")
    for name in names:
        for lang, book in books[name].items():
            strip(book)
            write(book, ROOT / lang / name)
    return 1 if failed else 0


def _synced(lesson: str, books: dict, accepted: set[str]) -> bool:
    """Bring the Chinese edition in step, and say what remains.

    Returns whether that is more than new cells that wait for their translation.
    """
    if "en" not in books:
        print(f"{lesson}: has no English edition to follow")
        return True
    if "zh" not in books:
        print(f"{lesson}: made notebooks/zh/{lesson}.ipynb")
        books["zh"] = nbformat.v4.new_notebook(metadata=METADATA)
    found = sync(books["en"], books["zh"], lambda cell: bool({"all", f"{lesson}:{cell}"} & accepted))
    for problem in found:
        print(f"{lesson}:{problem}")
    return any(not problem.endswith(WAITS) for problem in found)


if __name__ == "__main__":
    sys.exit(main())
