"""What backs the numbers in the lessons' prose, those that were measured or computed?

    python tools/prose.py             the list: lesson, number, what backs it; fails where nothing does
    python tools/prose.py measure     measure anew what numbers.toml says of many seeds, as on three machines
                                      (an hour), into tests/notebooks/measured.toml; or only the measures
                                      of tests/notebooks/measures.py that are named behind it

What counts, in Markdown cells outside code and displayed formulas, and in what the quizzes and hints say but
for their wrong options: per cents, decimals, powers of ten, 45–80. (Other whole numbers are mostly sizes; an
exercise sets its own.) A number is backed by the lesson's code, where it is a setting or a threshold; by what
a compared cell prints; else by a line of tests/notebooks/numbers.toml, which quotes the prose around it, in
as few words as are said of nothing else:

    "a factor of 1.5 becomes 58" = "1.5, 1.5**10"   the expression's values, rounded, are what is written
    "45 to 85 %" = { within = "he.best" }           what was seen, ``he.best`` of measured.toml, lies in there
    "below 15 %" = { below = "patients.C" }         never above it (``above``: never below it)
    "about 1.6" = { is = "units.loss" }             rounded, always it
    "a mean of 0.3" = { given = "its figure 3" }    not ours: who says so

Every number of the quotation has its turn. ``within`` takes two for a name, and in "a.b c.d" what was seen of
both; of powers of ten, it is their exponents that were measured. A quotation must still be in the prose. In
Chinese, a cell has the same numbers as in English.
"""

from __future__ import annotations

import ast
import functools
import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import machines
import numpy as np

import notebooks
from initkit.words import table as all_words

TESTS = Path(__file__).parents[1] / "tests/notebooks"
MEASURED = TESTS / "measured.toml"
KERNELS = ("Haswell", "Nehalem", "Prescott")

# What is no number of ours: code, formulas on lines of their own, versions, places in papers, what to read.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\]\([^)]*\)|(?:PyTorch|Flax|Keras|section|arXiv) [\d.]+|[\d.]+ 节"
    r"|## (?:Further reading|延伸阅读).*",
    re.DOTALL,
)
NUMBER = re.compile(
    r"(?:(?P<factor>\d+(?:\.\d+)?) ?(?:\\cdot|·) ?)?10\^(?:\{(?P<e>-?[\d.]+)\}|(?P<digit>\d))"
    r"|(?P<sign>[−-]?)(?P<plain>\d+(?:,\d{3})*(?:\.\d+)?)(?P<share> ?\\?%| per cent)?"
)
BETWEEN = re.compile(r" ?(?:to|and|or|–|到|或|至|，|、) ?")  # the two ends of a range, of which one has the %


class Number(NamedTuple):
    """A number of a text; ``digit``: the size of its last one."""

    start: int
    end: int
    value: float
    digit: float
    share: bool  # a per cent
    power: bool  # of ten
    exponent: float  # the size of the exponent's last digit where nothing stands before the 10, else 0
    counts: bool


def prose(source: str) -> str:
    """What Markdown says, on one line."""
    return " ".join(NOT_PROSE.sub(" ", source).split())


def numbers(text: str) -> list[Number]:
    found = list(NUMBER.finditer(text))
    made = [_number(match) for match in found]
    for at in range(len(made) - 1, 0, -1):
        one, other = made[at - 1 : at + 1]
        between = text[one.end : other.start]
        if other.share and BETWEEN.fullmatch(between):
            made[at - 1] = one._replace(share=True, counts=True)
        elif between == "–":
            made[at - 1 : at + 1] = one._replace(counts=True), other._replace(counts=True)
    return made


def _last_digit(written: str) -> float:
    return 10.0 ** -len(written.partition(".")[2])


def _number(match: re.Match) -> Number:
    if match["plain"]:
        share = bool(match["share"])
        value = float(match["plain"].replace(",", "")) * (-1 if match["sign"] else 1)
        counts = share or "." in match["plain"]
        return Number(*match.span(), value, _last_digit(match["plain"]), share, False, 0, counts)
    factor, exponent = match["factor"] or "", match["e"] or match["digit"]
    ten = 10.0 ** float(exponent)
    last = 0 if factor else _last_digit(exponent)
    return Number(*match.span(), float(factor or 1) * ten, _last_digit(factor) * ten, False, True, last, True)


def prints(number: Number, value: float) -> bool:
    """Whether ``value``, rounded, is what is written."""
    if number.exponent:  # a bare power of ten: to the nearest
        return value > 0 and abs(math.log10(value / number.value)) <= 0.5001 * number.exponent
    return abs(value - number.value) <= 0.5001 * number.digit


# What backs a number


@functools.cache
def table() -> dict[str, dict]:
    return tomllib.loads((TESTS / "numbers.toml").read_text(encoding="utf-8"))


@functools.cache
def measured() -> dict[str, dict[str, list[float]]]:
    return tomllib.loads(MEASURED.read_text(encoding="utf-8"))


def seen(names: str) -> tuple[float, float]:
    """The least and the most that was measured of ``measure.value``, of all such names together."""
    ranges = [measured()[measure][value] for measure, value in (name.split(".") for name in names.split())]
    return min(least for least, _ in ranges), max(most for _, most in ranges)


def settings(notebook) -> tuple[set[float], set[float]]:
    """The numbers of the code, and those that something is compared with."""
    constants, limits = set(), set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            nodes = list(ast.walk(ast.parse(cell.source)))
            constants |= _sizes(nodes)
            for node in nodes:
                if isinstance(node, ast.Compare):
                    limits |= _sizes([node.left, *node.comparators])
    return constants, limits


def _sizes(nodes) -> set[float]:
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return {abs(float(value)) for value in values if type(value) in (int, float)}


def stored(cell) -> str:
    """What a compared cell prints."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    return re.sub(r"10\^(-?\d+)", r"10^{\1}", "".join(texts))


def outputs(notebook) -> set[tuple[float, bool]]:
    """The numbers that the compared cells print, each with whether it is a per cent."""
    checked = (cell for cell in notebook.cells if cell.cell_type == "code" and notebooks.is_checked(cell))
    return {(abs(number.value), number.share) for cell in checked for number in numbers(stored(cell))}


def namespace(notebook) -> dict:
    """What an expression of the table can use.

    ``printed(cell)`` has the numbers of a stored output, ``row(file, start)`` those of a line of a file.
    """
    import initkit as ik
    from initkit import course, doctor
    from initkit.course import lessons

    def printed(cell: str) -> list[float]:
        (text,) = (stored(c) for c in notebook.cells if c.id == cell)
        return [number.value for number in numbers(text)]

    def row(file: str, start: str, turn: int = 0) -> list[float]:
        lines = (notebooks.ROOT.parent / file).read_text(encoding="utf-8").splitlines()
        return [n.value for n in numbers([line for line in lines if line.startswith(start)][turn])]

    modules = {"np": np, "math": math, "ik": ik, "course": course, "lessons": lessons, "doctor": doctor}
    known = {"partial": functools.partial, "data": ik.datasets.digits(), "seen": seen}
    return {**modules, **known, "printed": printed, "row": row}


def faults(words: str, backing: str | dict, names: dict) -> list[str]:
    """What is wrong with a line of the table; ``names`` are the namespace of the lesson."""
    written = numbers(words)
    if isinstance(backing, str):
        values = np.ravel(eval(backing, dict(names)))
        if len(values) != len(written):
            return [f"{len(values)} values for {len(written)} numbers"]
        pairs = zip(written, values, strict=True)
        return [f"{words[n.start : n.end]} is {value:.6g}" for n, value in pairs if not prints(n, value)]
    ((how, what),) = backing.items()
    if how == "given":
        return []
    what = [what] if isinstance(what, str) else what
    ways = {"within": _within, "below": _below, "above": _above, "is": _is}
    each = 2 if how == "within" else 1
    if len(written) != each * len(what):
        return [f"{how} {len(what)} for {len(written)} numbers"]
    parts = [written[at : at + each] for at in range(0, len(written), each)]
    ranges = [(name, *seen(name)) for name in what]
    return [
        f"{name} was seen from {least:.4g} to {most:.4g}"
        for part, (name, least, most) in zip(parts, ranges, strict=True)
        if not ways[how](least, most, *part)
    ]


def _end(number: Number) -> tuple[float, float]:
    """A written number as it was measured, and by how much it may be rounded."""
    return (math.log10(number.value), 0.5) if number.power else (number.value, number.digit / 2)


def _within(least: float, most: float, one: Number, other: Number) -> bool:
    (low, down), (high, up) = sorted((_end(one), _end(other)))
    return low - down <= least and most <= high + up


def _below(_, most: float, number: Number) -> bool:
    return most < sum(_end(number))


def _above(least: float, _, number: Number) -> bool:
    return least > _end(number)[0] - _end(number)[1]


def _is(least: float, most: float, number: Number) -> bool:
    ends = (10**least, 10**most) if number.power else (least, most)
    return all(prints(number, end) for end in ends)


@functools.cache
def lesson(name: str, lang: str = "en"):
    return notebooks.read(notebooks.ROOT / lang / name)


def texts(name: str, lang: str = "en") -> dict[str, str]:
    """The prose of a lesson: by cell, and by the names of what its quizzes and hints say."""
    cells = lesson(name, lang).cells
    said = {cell.id: prose(cell.source) for cell in cells if cell.cell_type == "markdown"}
    of_lesson = re.compile(rf"(?:quiz|hint)\.{notebooks.number_of(name)}\.")
    return said | {
        key: prose(by_lang[lang])
        for key, by_lang in all_words().items()
        if of_lesson.match(key) and not key.endswith("_wrong")
    }


class Line(NamedTuple):
    """A number of a lesson, where it stands, and what backs it, if anything does."""

    place: str
    words: str
    backing: str | None


def lines(name: str) -> list[Line]:
    """Of every number that counts in the English edition of a lesson."""
    notebook = lesson(name)
    (constants, limits), printed = settings(notebook), outputs(notebook)
    entries = table().get(notebooks.number_of(name), {})
    found = []
    for place, text in texts(name).items():
        spans = [
            (*match.span(), backing if isinstance(backing, str) else json.dumps(backing, ensure_ascii=False))
            for words, backing in entries.items()
            for match in re.finditer(re.escape(words), text)
        ]
        for number in numbers(text):
            size = abs(number.value)
            by = next((b for start, end, b in spans if start <= number.start and number.end <= end), None)
            if by is None and (not number.counts or place.startswith("exercise")):
                continue
            if by is None and (size, number.share) in printed:
                by = "printed by a cell"
            if by is None and (size / 100 in limits if number.share else size in constants):
                by = "set in the code"
            around = text[max(0, number.start - 40) : number.end + 25]
            found.append(Line(place, around, by))
    return found


def quotations(name: str) -> dict[str, int]:
    """Of every line of the table, how often the lesson says it."""
    return {
        quotation: sum(text.count(quotation) for text in texts(name).values())
        for quotation in table().get(notebooks.number_of(name), {})
    }


def differences(name: str) -> list[str]:
    """Texts whose numbers are not the same in both editions."""
    editions = texts(name), texts(name, "zh")
    assert editions[0].keys() == editions[1].keys()
    found = []
    for place in editions[0]:
        en, zh = ({(n.value, n.share) for n in numbers(text[place]) if n.counts} for text in editions)
        for lang, only in (("en", en - zh), ("zh", zh - en)):
            if only:
                said = ", ".join(f"{value:g}{' %' * share}" for value, share in sorted(only))
                found.append(f"{place}: only {lang} has {said}")
    return found


# Measuring


def measure(names: list[str]) -> None:
    """Write what the measures, or those named, give on all machines together."""
    ranges = {name: {} if name in names else dict(known) for name, known in measured().items() if names}
    ran = []
    for kernel in KERNELS:
        told = machines.environment(kernel)
        if told is None:
            print(f"{kernel} cannot run here", file=sys.stderr)
            continue
        ran.append(kernel)
        told |= {"TQDM_DISABLE": "1"}
        command = [sys.executable, str(TESTS / "measures.py"), *names]
        done = subprocess.Popen(command, env=told, stdout=subprocess.PIPE, encoding="utf-8")
        for line in done.stdout:
            print(kernel, line, end="")
            merge(ranges, json.loads(line))
        if done.wait():
            sys.exit(f"{kernel}: the measures failed")
    write(ranges, ran)


def merge(ranges: dict, line: dict) -> None:
    """Into ``ranges`` what one machine has measured; of ``x_least`` and ``x_most`` the range of x."""
    known = ranges.setdefault(line["name"], {})
    for value, (least, most) in line["seen"].items():
        value = re.sub("_(least|most)$", "", value)
        low, high = known.get(value, (math.inf, -math.inf))
        known[value] = [min(low, least), max(high, most)]


def write(ranges: dict, kernels) -> None:
    text = f"# Written by `make numbers`: the least and the most of each value, as on {', '.join(kernels)}.\n"
    for name, values in ranges.items():
        text += f"\n[{name}]\n"
        text += "".join(f"{value} = [{low:.5g}, {high:.5g}]\n" for value, (low, high) in values.items())
    MEASURED.write_text(text, encoding="utf-8")


def main() -> int:
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2:])
        return 0
    bare = 0
    for name in notebooks.lessons():
        for line in lines(name):
            print(f"{name.removesuffix('.ipynb')}:{line.place}: …{line.words}… | {line.backing or 'NOTHING'}")
            bare += line.backing is None
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main())
