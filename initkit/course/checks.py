"""Checks of the exercises: each looks at a property of the answer, and names the usual mistakes.

A check is a function of the answer that returns the key of what to say, below ``check.<name>`` in the table,
and the fields to fill in. The key "right" is the only one that means right.
"""

from __future__ import annotations

import functools
import html
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import datasets, initializers
from ..activations import gain
from ..doctor import audit, identify
from ..network import MLP
from ..signals import fate, measure
from ..training import iterate
from .patients import patient
from .texts import text

CHECKS: dict[str, Callable] = {}
MARKS = {True: "✓", False: "✗", None: "…"}
COLORS = {True: "#00695c", False: "#b00020", None: "#555555"}


@dataclass(frozen=True)
class Verdict:
    """``ok``: True, False, or None where there is no answer yet. Shows itself in a notebook and in a quiz."""

    ok: bool | None
    message: str

    def __str__(self):
        return f"{MARKS[self.ok]} {self.message}"

    __repr__ = __str__

    def _repr_html_(self):
        style = f"color: {COLORS[self.ok]}; line-height: 1.5"
        return f'<div role="status" style="{style}">{html.escape(str(self))}</div>'


def check(name: str, answer, *, lang: str) -> Verdict:
    """What there is to say to ``answer`` to exercise ``name``. Raises KeyError for an unknown exercise only.

    An answer of ``...`` is one that has not been given yet.

    >>> check("02.1", ..., lang="en").ok is None
    True
    """
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {', '.join(CHECKS)}")
    if answer is ... or answer is None:
        return Verdict(None, text("check.untouched", lang))
    try:
        key, fields = CHECKS[name](answer)
    except Exception as error:  # whatever a reader's answer may do
        return Verdict(False, text("check.failed", lang, error=f"{type(error).__name__}: {error}"))
    message = text(f"check.{key}" if key == "type" else f"check.{name}.{key}", lang, **fields)
    return Verdict(key == "right", message)


def _of(name: str):
    def register(function):
        CHECKS[name] = function
        return function

    return register


def _numbers(answer) -> np.ndarray | None:
    """The answer as an array of real numbers, or None."""
    try:
        array = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return array if not isinstance(answer, (str, bytes)) else None


def _number(answer) -> float | None:
    """The answer as one real number, or None."""
    array = _numbers(answer)
    return None if array is None or array.ndim else float(array)


def _between(answer, low: float, high: float):
    """The answer as a number inside (low, high), and None; or None, and what to say instead."""
    number = _number(answer)
    if number is None:
        return None, ("type", {"wanted": "float", "came": type(answer).__name__})
    return (number, None) if low < number < high else (None, ("range", {}))


def _weights(answer, shape: tuple[int, int]):
    """The answer as finite weights of that shape, and None; or None, and what to say instead."""
    w = _numbers(answer)
    if w is None:
        return None, ("type", {"wanted": "array", "came": type(answer).__name__})
    if w.shape != shape:
        return None, ("transposed" if w.shape == shape[::-1] else "shape", {"shape": w.shape})
    return (w, None) if np.isfinite(w).all() else (None, ("finite", {}))


def _nearest(answer, known: dict[str, float], rel: float = 0.01):
    """The key of the number that the answer is, to within ``rel``; "type" or "other" where it is none."""
    number = _number(answer)
    if number is None:
        return "type", {"wanted": "float", "came": type(answer).__name__}
    for key, value in known.items():
        if abs(number - value) <= rel * abs(value):
            return key, {}
    return "other", {}


@_of("02.1")
def _broken_symmetry(answer):
    """Weights (30, 64), no two rows equal, within 0.01 of 0.1."""
    w, refused = _weights(answer, (30, 64))
    if refused:
        return refused
    if (w == w[0, 0]).all():
        return "constant", {}
    different = len(np.unique(w, axis=0))
    if different == 1:
        return "columns", {}
    if different < 30:
        return "some", {"rows": different}
    furthest = np.abs(w - 0.1).max()
    if furthest > 0.01 * (1 + 1e-6):
        shift = 0.1 - w.mean()
        # Wide noise misses 0.1 by chance, too: what has to be mended first is the larger of the two.
        if abs(shift) > max(0.01, w.std()):
            return "centre", {"middle": f"{w.mean():z.2f}", "shift": f"{shift:.2f}"}
        return "far", {"furthest": f"{furthest:.3g}"}
    return "right", {}


def first_step_that_moves_hidden_weights(output_weights: float = 0.0) -> int | None:
    """After how many steps of gradient descent the hidden weights of a random net have changed."""
    data = datasets.digits()
    net = MLP([64, 30, 10], "tanh", "xavier_normal", rng=0)
    net.weights[1][:] = output_weights
    start = net.weights[0].copy()
    for step, _ in enumerate(iterate(net, data, lr=0.1, epochs=4, batch_size=len(data.x_train), rng=0)):
        if not np.array_equal(net.weights[0], start):
            return step
    return None


@_of("02.2")
def _zero_output_layer(answer):
    """The number of a step, from 1; found by running them."""
    number = _number(answer)
    if number is None:
        return "type", {"wanted": "int", "came": type(answer).__name__}
    if number == first_step_that_moves_hidden_weights():
        return "right", {}
    if np.isinf(number):
        return "never", {}
    if not (number >= 1 and number % 1 == 0):
        return "whole", {}
    return ("first" if number == 1 else "late"), {}


def _kept(net: MLP, squared: bool):
    """Whether signal and gradient stay within a factor of 100 from the first hidden layer to the last.

    ``squared``: whether the answer looks like the square of the right one.
    """
    data = datasets.digits()
    found = fate(measure(net, data.x_train[:200], data.y_train[:200]))
    fields = {"forward": f"{found.signal.change:.1e}", "backward": f"{found.gradient.change:.1e}"}
    if found.kept:
        return "right", fields
    if squared:
        return "variance", fields
    return ("small" if found.signal.verdict == "vanishes" else "large"), fields


@_of("03.1")
def _level_signal(answer):
    """A σ that keeps signal and gradient within a factor of 100 over 20 tanh layers, found by measuring."""
    sigma, refused = _between(answer, 0, 1e3)
    if refused:
        return refused
    net = MLP([64, *[100] * 19, 10], "tanh", functools.partial(initializers.normal, std=sigma), rng=0)
    level = np.array([0.1, 0.12])  # the two that the lesson names, σ_w = 1 and 1.2

    def mistaken_for(values):
        return (np.abs(sigma / values - 1) < 0.02).any()

    key, fields = _kept(net, squared=mistaken_for(level**2))
    return ("scale" if mistaken_for(level * 100**0.5) else key), fields


@_of("03.2")
def _uniform_bound(answer):
    """√(3/300) = 0.1: the variance of U[−b, b] is b²/3."""
    number = _number(answer)
    if number is not None and not 0 < number < np.inf:
        return "range", {}
    known = {"std": 300**-0.5, "variance": 1 / 300, "width": 0.2, "six": 0.02**0.5, "squared": 0.01}
    key, fields = _nearest(answer, {"right": 0.1, **known})
    return key, {"variance": f"{300 * number**2 / 3:.3g}"} if key == "other" else fields


@_of("01.1")
def _factor_to_the_depth(answer):
    """0.8⁴⁰."""
    return _nearest(
        answer,
        {"right": 0.8**40, "sum": 0.8 * 40, "lost": 0.2**40, "root": 0.8 ** (1 / 40), "inverse": 0.8**-40},
        rel=0.05,
    )


@_of("01.2")
def _level_relu(answer):
    """A σ that keeps q within a factor of ten over ten hidden ReLU layers, found by measuring."""
    sigma, refused = _between(answer, 0, 1e3)
    if refused:
        return refused
    net = MLP([64, *[100] * 10, 10], "relu", functools.partial(initializers.normal, std=sigma), rng=0)
    q = measure(net, datasets.digits().x_train).q
    ratio = q[10] / q[0]
    if 0.1 <= ratio <= 10:
        key = "right"
    elif 0.015 <= sigma <= 0.025:
        key = "variance"
    else:
        key = "small" if ratio < 0.1 else "large"
    return key, {"ratio": f"{ratio:.1e}"}


@_of("04.1")
def _xavier_uniform(answer):
    """Weights (50, 200) from U[−b, b], b² = 6/250. Of 10,000 draws the variance is known to 1 %."""
    w, refused = _weights(answer, (50, 200))
    if refused:
        return refused
    if len(np.unique(w, axis=0)) < 50:
        return "equal", {}
    ratio, furthest = w.var() / (2 / 250), np.abs(w).max()
    if abs(w.mean()) > 0.05 * w.std():  # 0 but for a chance of 6e-7
        return "mean", {}
    usual = {"three": 1 / 2, "std": 1 / 3, "lecun": 250 / 400}
    for key, value in usual.items():
        if abs(ratio / value - 1) < 0.06:
            return key, {}
    if abs(furthest / (6 / 250) - 1) < 0.02:
        return "root", {}
    if ratio < 0.02:
        return "variance", {}
    if abs(ratio - 1) > 0.06:
        return "other", {"ratio": f"{ratio:.2g}"}
    # The bound is 0.1549, which a reader may round; of 10,000 normal weights some reach 0.3.
    if furthest > 0.17:
        return "normal", {"furthest": f"{furthest:.3g}"}
    return "right", {}


@_of("04.2")
def _gain_of_a_slope(answer):
    """1/f'(0) = 2 for f(z) = 2 tanh(z/4)."""
    exact = gain(lambda z: 2 * np.tanh(z / 4))
    return _nearest(answer, {"right": 2, "variance": 4, "inverse": 0.5, "one": 1, "exact": exact})


@_of("05.1")
def _he_std(answer):
    """√(2/((1 + 0.2²)·300))."""
    n, a = 300, 0.2
    known = {
        "right": (2 / ((1 + a**2) * n)) ** 0.5,
        "variance": 2 / ((1 + a**2) * n),
        "relu": (2 / n) ** 0.5,
        "bound": (6 / ((1 + a**2) * n)) ** 0.5,
    }
    key, fields = _nearest(answer, known, rel=0.005)
    if key == "other" and "sum" in (
        _nearest(answer, {"sum": (2 / (mistaken * n)) ** 0.5}, rel=0.005)[0] for mistaken in (1.2, 1.44)
    ):
        return "sum", {}
    return key, fields


@_of("05.2")
def _gain_of_a_square(answer):
    """1/√(½·E[z⁴]) = √(2/3)."""
    second = 3 / 2
    return _nearest(
        answer,
        {
            "right": second**-0.5,
            "relu": 2**0.5,
            "inverse": second**0.5,
            "square": 1 / second,
            "centred": (second - 1 / 4) ** -0.5,
        },
    )


@_of("06.1")
def _on_the_hilltop(answer):
    """A gain that keeps signal and gradient within a factor of 100 over 40 GELU layers, in 7 nets of 10."""
    g, refused = _between(answer, 0, 10)
    if refused:
        return refused
    data, draw = datasets.digits(), functools.partial(initializers.he_normal, gain=g)
    verdicts = []  # on signal and gradient, a row a net
    for seed in range(10):
        net = MLP([64, *[100] * 39, 10], "gelu", draw, rng=seed)
        found = fate(measure(net, data.x_train[:200], data.y_train[:200]))
        verdicts.append((found.signal.verdict, found.gradient.verdict))
    verdicts = np.array(verdicts)
    kept, lost, grown = (verdicts == verdict for verdict in ("kept", "vanishes", "explodes"))
    fields = {"kept": kept.all(axis=1).sum(), "signal": kept[:, 0].sum(), "gradient": kept[:, 1].sum()}
    if fields["kept"] >= 7:
        return "right", fields
    if 2 <= g <= 2.4:
        return "variance", fields
    if lost.sum() > grown.sum():
        return "small", fields
    return ("gradient" if fields["signal"] >= 7 else "large"), fields


@_of("06.2")
def _torch_under_relu(answer):
    """⅓·½."""
    return _nearest(
        answer, {"right": 1 / 6, "third": 1 / 3, "half": 1 / 2, "one": 1, "std": 6**-0.5}, rel=0.05
    )


@_of("07.1")
def _mended(answer):
    """Patient E with nothing to find in its file, the signal kept, and the sound layers as they were."""
    if not isinstance(answer, MLP):
        return "type", {"wanted": "ik.MLP", "came": type(answer).__name__}
    ill = patient("E", rng=0)
    if [w.shape for w in answer.weights] != [w.shape for w in ill.weights]:
        return "shape", {}
    with tempfile.TemporaryDirectory() as folder:
        reports = [_audited(net, folder) for net in (ill, answer)]
    ailing, left = ({finding.tensor for finding in report.findings} for report in reports)
    if left:
        return "findings", {"count": len(left), "tensor": min(left, key=lambda name: (len(name), name))}
    sound = [k for k in range(ill.depth) if f"layer{k + 1}" not in ailing]
    touched = sum(not np.array_equal(ill.weights[k], answer.weights[k]) for k in sound)
    if touched:
        return "touched", {"count": touched}
    return _kept(answer, squared=False)


def _audited(net: MLP, folder: str):
    path = Path(folder) / "net.npz"
    np.savez(path, **{f"layer{k}": w for k, w in enumerate(net.weights, 1)})
    return audit(path, activation=net.activation)


@_of("07.2")
def _taken_for_xavier(answer):
    """Weights (100, 400) that ``identify`` takes for xavier_normal."""
    w, refused = _weights(answer, (100, 400))
    if refused:
        return refused
    found = identify(w)
    schemes = {match.scheme for match in found.matches}
    if schemes == {"xavier_normal"}:
        return "right", {"p": f"{found.matches[0].p_value:.2g}"}
    if schemes == {"xavier_uniform"}:
        return "uniform", {}
    std = w.std()
    known = {
        "variance": 2 / 500,
        "fan_in": 400**-0.5,
        "fan_out": 100**-0.5,
        "sum": 500**-0.5,
        "he": 200**-0.5,
    }
    for key, value in known.items():
        if abs(std / value - 1) < 0.03:
            return key, {}
    return "other", {"std": f"{std:.3g}"}
