"""The patients of lesson 07: nets of twenty layers that somebody has already initialized, well or badly."""

from __future__ import annotations

import functools

import numpy as np

from .. import initializers
from ..network import MLP

WIDTHS = [64, *[64] * 19, 10]
PATIENTS = {  # activation, and what all weights are drawn by, before ``patient`` does its mischief
    "A": ("relu", "torch_default"),
    "B": ("relu", "he_normal"),
    "C": ("tanh", functools.partial(initializers.normal, std=1.0)),
    "D": ("relu", "he_normal"),
    "E": ("relu", "he_uniform"),
}
# C is chaotic: it makes a rounding grow a millionfold on the way to its last layer, so that in float32 two
# CPUs see two nets.
DTYPES = {"C": np.float64}


def patient(name: str, *, rng=None) -> MLP:
    """Patient "A", "B", "C" or "D" of lesson 07, or "E" of its exercise. What they have is for you to find.

    All are float32 but C, which is float64.

    >>> patient("A", rng=0).depth
    20
    """
    if name not in PATIENTS:
        raise KeyError(f"no patient is called {name!r}; there are {', '.join(PATIENTS)}")
    net = MLP(WIDTHS, *PATIENTS[name], rng=rng, dtype=DTYPES.get(name, np.float32))
    if name == "B":
        for weight in net.weights[:-1]:
            weight[:] = 1 / weight.shape[1]
    elif name == "E":
        net.weights[3][:] = net.weights[3][0]
        net.weights[8] *= net.dtype.type(0.05)
        net.weights[12][:20] = 0
    return net
