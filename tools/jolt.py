"""Does anything that is printed or claimed hang on the last bit? Run it on machines that nobody has yet.

    python tools/jolt.py                    every compared cell, every claim, README's example: six jolts
        --seed 7 --jolts 12                 … other jolts, more of them
        --only 05 mishkin readme            … only what has a word in its name that begins so

Another CPU adds up in another order, and its results differ in the last bits. A *jolt* stands for one: every
number that an initializer draws moves by two roundings, up or down, at random by the jolt's seed. One
rounding is what CPUs differ by, the other is a margin. All that is drawn, starting weights and bare tensors,
comes from ``sampling.fill``, so it is jolted there, and the same array always alike: one seed still gives one
array. What is not drawn (zeros, constants) is the same everywhere, and stays.

Under a jolt, no compared cell may print another text, no test may fail, and no value that decides what is
seen may move by more than half of its distance to the nearer edge. Such a value is, in a cell, what is
formatted with a spec, rounded, or compared, of an array each entry by how far it moves itself; its edges are
the nearest numbers that would print or compare otherwise. In tests/papers it is what is claimed, in any test
what is given to the fixture ``between``. What lies on an edge fails though no jolt moves it: 1e-17, printed
as 0.000, is -0.000 elsewhere.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import math
import multiprocessing
import operator
import os
import re
import sys
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

import notebooks

ROOT = Path(__file__).parents[1]
README = "tests/unit/test_packaging.py::test_readmes_example_runs"
ROUNDINGS = 2


class Value(NamedTuple):
    """A number that decides what is seen, and the edges below and above it, where something else would be."""

    what: str
    value: float
    low: float
    high: float


class Differences(NamedTuple):
    """Of the two sides of a comparison, numbers or arrays; the edge of each is 0."""

    what: str
    value: np.ndarray

    def worst(self, runs: list[Differences]) -> tuple[Value, list[float]]:
        """The entry that moves by most of its distance to the edge, and where it is in each run.

        Of many there is always one near the edge: that it is near says nothing.
        """
        size = min(len(each.value) for each in [self, *runs])
        now, then = self.value[:size], np.array([run.value[:size] for run in runs])
        with np.errstate(all="ignore"):
            share = np.nan_to_num(np.abs(then - now) / np.abs(now), nan=np.inf)
        share[(then == now) | (np.isnan(then) & np.isnan(now))] = 0
        worst = int(share.max(axis=0).argmax())
        what = f"{self.what}: the difference" + (f" in entry {worst}" if len(self.value) > 1 else "")
        value = float(now[worst])
        low, high = (0.0, math.inf) if value > 0 else (-math.inf, 0.0)
        if not math.isfinite(value):
            low = high = value
        return Value(what, value, low, high), then[:, worst].tolist()


class Seen(NamedTuple):
    """What one cell or test shows."""

    text: str
    values: list[Value | Differences]


# The jolt


def jolted(array: np.ndarray, seed: int) -> np.ndarray:
    """Each number but 0 moved by ``ROUNDINGS``, up or down."""
    rng = np.random.default_rng([seed, zlib.crc32(array.tobytes())])
    towards = np.where(rng.integers(0, 2, array.shape, dtype=bool), np.inf, -np.inf).astype(array.dtype)
    moved = array
    for _ in range(ROUNDINGS):
        moved = np.nextafter(moved, towards)
    return np.where(array == 0, array, moved)


def jolt(seed: int) -> None:
    """From now on, whatever is drawn in this process is jolted."""
    from initkit import sampling

    fill = sampling.fill

    def jolted_fill(out, *args, **kwargs):
        filled = fill(out, *args, **kwargs)
        filled[...] = jolted(filled, seed)
        return filled

    sampling.fill = jolted_fill


# What is seen


def edges(show, value: float) -> tuple[float, float]:
    """The numbers nearest to ``value``, below and above it, of which ``show`` gives something else."""
    if not math.isfinite(value):
        return value, value

    def edge(sign: int) -> float:
        same, other = 0.0, float(np.spacing(abs(value)))
        while show(value + sign * other) == show(value):
            same, other = other, 2 * other
            if not math.isfinite(value + sign * other):
                return sign * math.inf
        for _ in range(53):
            middle = (same + other) / 2
            same, other = (middle, other) if show(value + sign * middle) == show(value) else (same, middle)
        return value + sign * other

    return edge(-1), edge(1)


def is_numeric(value) -> bool:
    """Whether this is a number or an array of numbers; not a list, whose order is another."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iuf"
    return isinstance(value, float | int | np.integer | np.floating)


class Watch(ast.NodeTransformer):
    """Rewrites a cell so that it says what it formats with a spec, rounds, or compares."""

    NAME = "_watch"  # of this object, in the cell

    def __init__(self):
        self.values: list[Value | Differences] = []

    def take(self, what: str, value, show) -> None:
        if isinstance(value, float | np.floating):
            self.values.append(Value(what, float(value), *edges(show, float(value))))

    def formatted(self, what: str, value, spec: str):
        self.take(what, value, lambda x: format(x, spec))
        return value

    def rounded(self, what: str, value, digits=0):
        for number in np.ravel(value):
            self.take(what, number, lambda x: round(x, digits))
        return value

    def compared(self, what: str, left, right, name: str):
        if all(is_numeric(side) for side in (left, right)):
            with np.errstate(all="ignore"):
                difference = np.subtract(left, right, dtype=float).ravel()
            if len(difference):
                self.values.append(Differences(f"({what})", difference))
        return getattr(operator, name)(left, right)

    def _call(self, method: str, what, *arguments):
        call = ast.parse(f"{self.NAME}.{method}({what!r})", mode="eval").body
        call.args += arguments
        return call

    def visit_FormattedValue(self, node):
        what = ast.unparse(node.value)
        self.generic_visit(node)
        if node.format_spec is not None and node.conversion == -1:
            node.value = self._call("formatted", what, node.value, node.format_spec)
        return node

    def visit_Call(self, node):
        what, function = ast.unparse(node), ast.unparse(node.func)
        self.generic_visit(node)
        values = [*node.args, *(word.value for word in node.keywords)]
        if function in ("round", "np.round"):
            node.args[0] = self._call("rounded", what, *values)
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "round":
            node.func.value = self._call("rounded", what, node.func.value, *values)
        elif function == "format" and len(node.args) == 2:
            node.args[0] = self._call("formatted", what, *node.args)
        return node

    def visit_Compare(self, node):
        what = ast.unparse(node)
        self.generic_visit(node)
        names = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
        name = names.get(type(node.ops[0]))
        if name is None or len(node.ops) > 1:
            return node
        return self._call("compared", what, node.left, node.comparators[0], ast.Constant(name))


def needed(cells) -> list:
    """The compared cells, and those that give them a name."""
    chosen, wanted = [], set()
    for cell in reversed([cell for cell in cells if cell.cell_type == "code"]):
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        given = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        given |= {(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)}
        if notebooks.is_checked(cell) or given & wanted:
            chosen.insert(0, cell)
            wanted = wanted - given | {name.id for name in names} - given
    return chosen


def lesson_shows(path: Path) -> dict[str, Seen]:
    """What the compared cells of a notebook show, by cell; of the others, those run that they use."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.reset(new_session=False)
    seen = {}
    for cell in needed(notebooks.read(path).cells):
        watch = Watch()
        shell.user_ns[Watch.NAME] = watch
        shell.ast_transformers[:] = [watch] if notebooks.is_checked(cell) else []
        with contextlib.chdir(path.parent), capture_output() as said:
            result = shell.run_cell(cell.source)
        result.raise_error()
        if notebooks.is_checked(cell):
            seen[f"{path.stem}:{cell.id}"] = Seen(said.stdout, watch.values)
    return seen


class Tests:
    """A plugin of pytest: what the tests show, by test."""

    def __init__(self):
        self.seen: dict[str, Seen] = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.failed:
            values = [Value(*entry) for name, entry in report.user_properties if name == "between"]
            why = report.longrepr.reprcrash.message.splitlines()[:1] if report.failed else []
            self.seen[report.nodeid] = Seen("\n".join([report.outcome, *why]), values)


def tests_show(nodes: list[str]) -> dict[str, Seen]:
    import pytest

    tests = Tests()
    arguments = ["-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *(str(ROOT / node) for node in nodes)]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main(arguments, plugins=[tests])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(said.getvalue())
    return tests.seen


def show(parts: list[str], seed: int | None) -> dict[str, Seen]:
    """What the parts show, under a jolt if there is a seed."""
    if seed is not None:
        jolt(seed)
    seen = {}
    for part in parts:
        if part.endswith(".ipynb"):
            seen |= lesson_shows(ROOT / part)
    nodes = [part for part in parts if not part.endswith(".ipynb")]
    return seen | (tests_show(nodes) if nodes else {})


# The verdict


def findings(seen: dict[str, Seen], under: list[dict[str, Seen]]) -> list[str]:
    """What does not stand, in words. ``seen``: without a jolt; ``under``: with each."""
    found = []
    for place, (text, values) in seen.items():
        jolted = [run.get(place, Seen("", [])) for run in under]
        others = [by_name(run.values) for run in jolted]
        for name, value in by_name(values).items():
            runs = [other[name] for other in others if name in other] or [value]  # a branch may pass it by
            moved = [run.value for run in runs]
            if isinstance(value, Differences):
                value, moved = value.worst(runs)
            if on_edge(value):
                found.append(f"{place}: {value.what} is {value.value:.6g}, on its edge: its last bit decides")
            elif not all(stands(value, number) for number in moved):
                edge = min(value.low, value.high, key=lambda edge: abs(edge - value.value))
                found.append(
                    f"{place}: {value.what} is {value.value:.6g}, under jolts from {min(moved):.6g} "
                    f"to {max(moved):.6g}; edge {edge:.6g}"
                )
        changed = [run.text for run in jolted if run.text != text]
        if changed:
            pairs = zip_longest(text.splitlines(), changed[0].splitlines(), fillvalue="")
            lines = [f"\n    - {now}\n    + {then}" for now, then in pairs if now != then]
            found.append(f"{place}: another text under {len(changed)} jolts" + "".join(lines))
    return found


def by_name(values: list[Value | Differences]) -> dict[tuple[str, int], Value | Differences]:
    """By what it is and, as in a loop the same is seen again, its number among them."""
    turns = Counter()
    named = {}
    for value in values:
        named[value.what, turns[value.what]] = value
        turns[value.what] += 1
    return named


def stands(value: Value, moved: float) -> bool:
    """Whether it has moved by no more than half of the distance to its nearer edge."""
    if moved == value.value or (math.isnan(moved) and math.isnan(value.value)):
        return True
    return abs(moved - value.value) <= min(value.value - value.low, value.high - value.value) / 2


def on_edge(value: Value) -> bool:
    """Whether a rounding of what it was computed from may carry it over an edge; 0 is taken for exact."""
    room, width = min(value.value - value.low, value.high - value.value), value.high - value.low
    return value.value != 0 and room < 1e-9 * width < math.inf


def judge(parts: list[str], seeds) -> list[str]:
    """The findings in ``parts``, paths from the project's root, under the jolts of these seeds."""
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "INITKIT_JOLTED": "1"}
    runs = [None, *seeds]
    # A new process for each: modules, and the tests' fixtures, keep what they have drawn.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, max_tasks_per_child=1) as pool:
        seen, *under = pool.map(show, [parts] * len(runs), runs)
    failed = {place: shown.text for place, shown in seen.items() if shown.text.startswith("failed")}
    if failed:
        return [f"{place} fails without a jolt: {text}" for place, text in failed.items()]
    return findings(seen, under)


def main(argv: list[str] | None = None) -> int:
    # The Chinese edition has the same code.
    lessons = [f"notebooks/en/{name}" for name in notebooks.lessons()]
    papers = [f"tests/papers/{path.name}" for path in sorted((ROOT / "tests/papers").glob("test_*.py"))]
    every_part = [*lessons, README, *papers]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jolts", type=int, default=6)
    parser.add_argument("--only", "--lesson", nargs="+", default=[""], metavar="NAME")
    arguments = parser.parse_args(argv)
    # A number is a lesson's: the papers' files end in years.
    begins = [
        f"/{name}" if name[:1].isdigit() else rf"(?<![a-z0-9]){re.escape(name)}" for name in arguments.only
    ]
    chosen = [re.compile(begin, re.IGNORECASE) for begin in begins]
    parts = [part for part in every_part if any(name.search(part) for name in chosen)]
    if not parts:
        parser.error("--only: there are\n  " + "\n  ".join(every_part))
    found = judge(parts, range(arguments.seed, arguments.seed + arguments.jolts))
    print(*found, sep="\n")
    print(f"{len(found)} findings in {', '.join(arguments.only) or 'all'}", end=" ")
    print(f"under {arguments.jolts} jolts from seed {arguments.seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
