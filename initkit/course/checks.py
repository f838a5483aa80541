"""Checks of the exercises: each looks at a property of the answer, and names the usual mistakes.

A check is a function of the answer that returns the key of what to say, below ``check.<name>`` in the table,
and the fields to fill in. The key "right" is the only one that means right.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import datasets, initializers
from ..network import MLP
from ..signals import measure
from ..training import iterate
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


@_of("02.1")
def _broken_symmetry(answer):
    """Weights (30, 64), no two rows equal, within 0.01 of 0.1."""
    w = _numbers(answer)
    if w is None:
        return "type", {"wanted": "array", "came": type(answer).__name__}
    if w.shape != (30, 64):
        return ("transposed" if w.shape == (64, 30) else "shape"), {"shape": w.shape}
    if not np.isfinite(w).all():
        return "finite", {}
    if (w == w[0, 0]).all():
        return "constant", {}
    different = len(np.unique(w, axis=0))
    if different == 1:
        return "columns", {}
    if different < 30:
        return "some", {"rows": different}
    furthest = np.abs(w - 0.1).max()
    if furthest > 0.01 * (1 + 1e-6):
        return ("centre" if abs(w.mean() - 0.1) > 0.01 else "far"), {"furthest": f"{furthest:.3g}"}
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


def _number(answer) -> float | None:
    """The answer as one real number, or None."""
    array = _numbers(answer)
    return None if array is None or array.ndim else float(array)


@_of("02.2")
def _zero_output_layer(answer):
    """A number of steps, found by running them."""
    number = _number(answer)
    if number is None:
        return "type", {"wanted": "int", "came": type(answer).__name__}
    if number == first_step_that_moves_hidden_weights():
        return "right", {}
    if number == 1:
        return "first", {}
    return ("never" if not np.isfinite(number) or number < 1 else "late"), {}


@_of("03.1")
def _level_signal(answer):
    """A σ that keeps signal and gradient within a factor of 100 over 20 tanh layers, found by measuring."""
    sigma = _number(answer)
    if sigma is None:
        return "type", {"wanted": "float", "came": type(answer).__name__}
    if not 0 < sigma < 1e3:
        return "range", {}
    data = datasets.digits()
    net = MLP([64, *[100] * 19, 10], "tanh", functools.partial(initializers.normal, std=sigma), rng=0)
    seen = measure(net, data.x_train[:200], data.y_train[:200])
    forward, backward = (seen.q[18] / seen.q[0], seen.grad_var[0] / seen.grad_var[18])
    fields = {"forward": f"{forward:.1e}", "backward": f"{backward:.1e}"}
    if 0.01 <= forward <= 100 and 0.01 <= backward <= 100:
        return "right", fields
    if 0.008 <= sigma <= 0.02:
        return "variance", fields
    return ("small" if forward < 0.01 else "large"), fields


@_of("03.2")
def _uniform_bound(answer):
    """√(3/300) = 0.1: the variance of U[−b, b] is b²/3."""
    bound = _number(answer)
    if bound is None:
        return "type", {"wanted": "float", "came": type(answer).__name__}
    known = {
        "right": 0.1,
        "std": 300**-0.5,
        "variance": 1 / 300,
        "width": 0.2,
        "six": 0.02**0.5,
        "squared": 0.01,
    }
    for key, value in known.items():
        if abs(bound - value) <= 0.01 * value:
            return key, {}
    return "other", {"variance": f"{300 * bound**2 / 3:.3g}"}
