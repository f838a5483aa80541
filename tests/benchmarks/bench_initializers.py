"""Fills beside ``torch.nn.init`` and beside a plain memory fill, with two threads each.

    make bench

The two take turns on arrays that exist already, so that a busy machine slows both; each ratio is the
median over the pairs. Prints a table and draws it to build/bench_initializers.png.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

import initkit as ik
from initkit import plots

ROOT = Path(__file__).parents[2]
THREADS = 2
SHAPE, SQUARE = (4096, 4096), (1024, 1024)
# name, shape, ours, torch's, the least ratio that we aim at
ROWS = [
    ("uniform", SHAPE, ik.uniform, lambda t: torch.nn.init.uniform_(t, -0.05, 0.05), 2.5),
    ("xavier_uniform", SHAPE, ik.xavier_uniform, torch.nn.init.xavier_uniform_, 2.5),
    ("normal", SHAPE, ik.normal, lambda t: torch.nn.init.normal_(t, 0, 0.05), 1.8),
    ("he_normal", SHAPE, ik.he_normal, lambda t: torch.nn.init.kaiming_normal_(t, nonlinearity="relu"), 1.8),
    ("truncated_normal ±2σ", SHAPE, ik.truncated_normal,
     lambda t: torch.nn.init.trunc_normal_(t, 0, 0.05, -0.1, 0.1), 10),
    ("orthogonal 1024²", SQUARE, ik.orthogonal, torch.nn.init.orthogonal_, 1.0),
]  # fmt: skip


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(shape, ours, torchs, repeats: int) -> tuple[float, float, float]:
    """Medians over pairs: torch's time over ours, our nanoseconds an entry, ours over a plain fill's."""
    out, tensor = np.empty(shape, np.float32), torch.empty(shape)
    pairs = []
    for i in range(repeats + 1):
        mine = seconds(lambda: ours(shape, rng=0, out=out))
        theirs = seconds(lambda: torchs(tensor))
        plain = seconds(lambda: out.fill(1.0))
        if i:  # the first one warms up
            pairs.append((theirs / mine, mine / out.size * 1e9, mine / plain))
    return tuple(statistics.median(column) for column in zip(*pairs, strict=True))


def draw(names, ratios, aims) -> Path:
    figure = plots.Figure("en", 8.6, 3.4)
    axes = figure.subplots()
    at = np.arange(len(names))[::-1]
    axes.barh(at, ratios, color=plots.MEASURED, height=0.6, label="measured")
    axes.plot(aims, at, "|", color=plots.THEORY, ms=22, mew=3, label="aim")
    axes.set_yticks(at, names)
    axes.set_xscale("log")
    axes.set_xlabel("times as fast as torch.nn.init, both with two threads")
    axes.legend(loc="lower right", frameon=False)
    figure.subplots_adjust(left=0.24, right=0.98, top=0.97, bottom=0.16)
    path = ROOT / "build" / "bench_initializers.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(THREADS)
    ik.sampling._CPUS = THREADS
    print(f"torch {torch.__version__}, numpy {np.__version__}, {THREADS} threads, float32, {repeats} pairs")
    print(f"{'scheme':22} {'× torch':>8} {'aim':>6} {'ns/entry':>9} {'× plain fill':>13}")
    found = []
    for name, shape, ours, torchs, aim in ROWS:
        ratio, nanoseconds, over_fill = compare(shape, ours, torchs, repeats)
        found.append(ratio)
        print(f"{name:22} {ratio:8.2f} {aim:6.1f} {nanoseconds:9.2f} {over_fill:13.1f}", flush=True)
    path = draw([row[0] for row in ROWS], found, [row[4] for row in ROWS])
    print(f"drawn to {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
