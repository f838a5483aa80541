"""How often the doctor is right: on every scheme by every shape over seeds, and on trained tensors.

    python tests/benchmarks/bench_doctor.py [--seeds 20] [--write]

Prints two tables in Markdown; with ``--write`` into IDENTIFY.md beside this file.
"""

from __future__ import annotations

import argparse
import collections
import functools
import math
import tempfile
from pathlib import Path

import numpy as np

import initkit as ik
from initkit.doctor import audit, identify

SHAPES = ((256, 784), (512, 512), (64, 3, 7, 7), (128, 64, 3, 3), (1000, 2048), (32, 8))
TRUNCATED = [{"scale": s, "mode": m} for s, m in ((2.0, "fan_in"), (1.0, "fan_avg"), (1.0, "fan_in"))]
SCHEMES = [
    *((name, {}) for name in ("he_normal", "he_uniform", "xavier_normal", "xavier_uniform")),
    *((name, {}) for name in ("lecun_normal", "lecun_uniform", "torch_default", "orthogonal")),
    *((name, {"mode": "fan_out"}) for name in ("he_normal", "he_uniform")),
    *(("variance_scaling", arguments) for arguments in TRUNCATED),
    *(("normal", {"std": std}) for std in (0.02, 0.05, 0.02 / math.sqrt(24))),
    ("uniform", {"low": -0.05, "high": 0.05}),
    ("truncated_normal", {"std": 0.02}),
    *((name, {}) for name in ("zeros", "ones", "identity", "dirac", "delta_orthogonal")),
    ("constant", {"value": 0.3}),
    ("sparse", {"sparsity": 0.8}),
]
AXES = {
    "identity": (2,),
    "sparse": (2,),
    "dirac": (4,),
    "delta_orthogonal": (4,),
}  # numbers of axes they take


def same(match, scheme, arguments) -> bool:
    """Is it that scheme with those parameters? Those of the truncated default are the match's own."""
    return match.scheme == scheme and all(
        match.params.get(k) == v
        or (isinstance(v, float) and math.isclose(match.params.get(k, 0.0), v, rel_tol=1e-3))
        for k, v in arguments.items()
    )


def fresh(seeds: int):
    yield ("| scheme | " + " | ".join("×".join(map(str, s)) for s in SHAPES) + " |")
    yield "|---|" + "---|" * len(SHAPES)
    right = of = named = 0
    for scheme, arguments in SCHEMES:
        cells = []
        for shape in SHAPES:
            axes = AXES.get(scheme, (2, 4))
            if len(shape) not in axes or (scheme == "delta_orthogonal" and shape[0] < shape[1]):
                cells.append("–")
                continue
            first = among = 0
            for seed in range(seeds):
                found = identify(ik.get(scheme)(shape, rng=seed, **arguments))
                hits = [same(m, scheme, arguments) for m in found.matches]
                first += bool(hits and hits[0])
                among += any(hits)
            cells.append(f"{among}" if first == among else f"{among} ({first} first)")
            if math.prod(shape) >= 5000:
                right, named, of = right + among, named + first, of + seeds
        arguments = ", ".join(
            f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in arguments.items()
        )
        yield (f"| {scheme}({arguments}) | " + " | ".join(cells) + " |")
    yield (f"\n5,000 entries and more: named {right} of {of} = {right / of:.2%}, first {named / of:.2%}\n")


def called_fresh(net) -> list[list[tuple[bool, ...]]]:
    """Of each weight and bias: fresh by `identify`, alone; by `audit`, beside all the others.

    Then the same of: not refused, that is fresh, of a scale that no scheme has, or too few to tell.
    """
    arrays = {f"{k}.weight": w for k, w in enumerate(net.weights)}
    arrays |= {f"{k}.bias": b for k, b in enumerate(net.biases)}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "net.npz", **arrays)
        beside = {row.name: row.found for row in audit(Path(folder) / "net.npz").tensors}
    verdicts = [(identify(w).verdict, beside[name].verdict) for name, w in arrays.items()]
    calls = [(*(v == "fresh" for v in two), *(v != "not_fresh" for v in two)) for two in verdicts]
    return [calls[: len(net.weights)], calls[len(net.weights) :]]


def runs(bias="zeros"):
    """(initializer, epochs, weights at the start, net) of nets that learned the digits."""
    data = ik.datasets.digits()
    for hidden in ([128], [128] * 2, [128] * 5):
        for activation in ("relu", "tanh"):
            for init in ("he_normal", "xavier_normal", "xavier_uniform", "torch_default"):
                for epochs in (5, 20):
                    for lr, optimizer in ((0.1, "sgd"), (0.03, "momentum"), (0.001, "adam")):
                        net = ik.MLP([64, *hidden, 10], activation, init, bias, rng=1)
                        before = [w.copy() for w in net.weights]
                        history = ik.train(net, data, lr=lr, epochs=epochs, rng=0, optimizer=optimizer)
                        if history.test_accuracy[-1] >= 0.6:
                            yield init, epochs, before, net


def trained():
    """Digits, five and twenty epochs: what is called fresh, by how far a weight has moved."""
    seen, biases = collections.defaultdict(list), []
    for init, epochs, before, net in runs():
        weights, others = called_fresh(net)
        biases += others
        for w0, w, calls in zip(before, net.weights, weights, strict=True):
            # The change's largest singular value against the noise's: above 1 it can be seen.
            change = np.linalg.norm(w - w0, 2) / (w0.std() * math.prod(w.shape) ** 0.25)
            kind = "normal" if "normal" in init else "uniform"
            seen[kind, epochs, "above" if change > 1 else "below"].append(calls)
    yield (
        "| start | epochs | largest singular value of the change, over noise | weights "
        "| called fresh by `identify`, alone | by `audit`, with the biases |"
    )
    yield ("|---|---|---|---|---|---|")
    for (kind, epochs, level), calls in sorted(seen.items()):
        alone, beside = np.mean(calls, axis=0)[:2]
        yield (f"| {kind} | {epochs} | {level} 1 | {len(calls)} | {alone:.1%} | {beside:.1%} |")
    weights = [calls for level in seen.values() for calls in level]
    yield "\nBiases began at 0. Trained tensors called fresh:"
    yield from shares(weights, biases)
    std = 0.05
    yield f"\nThe same nets, where biases began as N(0, {std}²), which hides training too:"
    weights, biases = [], []
    for *_, net in runs(functools.partial(ik.normal, std=std)):
        for every, calls in zip((weights, biases), called_fresh(net), strict=True):
            every += calls
    yield from shares(weights, biases)


def shares(weights: list[tuple[bool, ...]], biases: list[tuple[bool, ...]]):
    yield (
        "\n| tensors | | by `identify`, alone | by `audit`, beside each other "
        "| not refused by `identify` (a law of any scale, or too few to tell) | nor by `audit` |"
    )
    yield "|---|---|---|---|---|---|"
    for kind, calls in (("weights", weights), ("biases", biases), ("all", weights + biases)):
        n = len(calls)
        yield f"| {kind} | {n} | " + " | ".join(f"{k} = {k / n:.1%}" for k in np.sum(calls, axis=0)) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    lines = [
        "# What the doctor calls a tensor",
        "",
        f"Of {asked.seeds} draws, seeds 0 to {asked.seeds - 1}: how often `identify` names what drew it,",
        "alone or among those that cannot be told from it (and how often first, where that is less often).",
        "",
    ]
    for part in (fresh(asked.seeds), trained()):
        for line in part:
            print(line, flush=True)
            lines.append(line)
    if asked.write:
        (Path(__file__).parent / "IDENTIFY.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
