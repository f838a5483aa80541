"""The company a weight keeps: can its own layer's bias be a fresh one?

What training adds to a weight may be lost in the randomness it started from. A bias that began at 0 shows
every step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy

from .identify import ALPHA, LAWS, UNIFORM, kolmogorov, p_value
from .scan import Scan, scan_array

# PyTorch's RNN, LSTM and GRU draw all of these by the hidden size.
RECURRENT = re.compile(r"\b(weight|bias)_[ih]h")
NEAR = 32  # layers on, or back, in a file, within which the one before a layer is looked for
_BIASES = {"w": "b", "weight": "bias", "weights": "biases", "kernel": "bias", "vars/0": "vars/1"}
_WEIGHT = re.compile(r"((?<![a-z])w|weights?|kernel|vars/0)(?=(\d*|_[ih]h\w*)$)", re.IGNORECASE)


def bias_of(weight: str) -> str | None:
    """The name that the bias beside a weight of this name has in PyTorch, JAX, NumPy or Keras."""
    found = _WEIGHT.search(weight)
    return found and weight[: found.start()] + _BIASES[found[1].lower()] + weight[found.end() :]


def worn(biases: dict[str, tuple[Scan, tuple]], read: Callable[[set], Iterable]) -> set[str]:
    """The layers whose bias no scheme starts so. ``biases``: by layer, each with what its fan_in may be.

    A bias may be fresh that is constant; that is PyTorch's default, by its own layer's fan_in; or that is
    drawn, as in mean-field theory: all the others of the file together from one law of mean 0 and one scale,
    independently of the weights. ``read`` gives the weights of the layers that it is asked for, as (Source,
    Scan); it is called where all else holds. Fresh biases that are drawn so are called worn in at most one of
    1,000 files; and one of PyTorch's default in at most one of 1,000 cases.
    """
    values, drawn, epsilon = {}, [], 0.0
    for layer, (s, fans) in biases.items():
        if RECURRENT.search(layer):  # a gate's entries may have been set, as to 1 so that less is forgotten
            entries, counts = np.unique(s.sample, return_counts=True)
            if s.low < s.high and counts.max() > max(1, s.n / 8):
                rest = scan_array(s.sample[s.sample != entries[counts.argmax()]])
                rest.epsilon = s.epsilon
                s = rest
        if s.low == s.high or s.non_finite or not 1e-290 < s.squares < 1e290:
            continue
        values[layer], epsilon = s.sample[0], max(epsilon, s.epsilon)
        by_default = any(p_value(s, UNIFORM, (3 * fan) ** -0.5) >= ALPHA for fan in fans)
        if not by_default or _one_law([values[layer]], s.epsilon) < ALPHA / 2:
            drawn.append(layer)
    if not drawn:
        return set()
    copies = {values[layer].tobytes(): values[layer] for layer in drawn}  # as of a moving average
    if _one_law(list(copies.values()), epsilon) < ALPHA / 2:
        return set(drawn)
    echoes = list(_echoes(values, read(set(values))))
    together = -2 * sum(math.log(p) for p, *_ in echoes)  # χ², as Fisher (1925) joins p-values
    if not echoes or scipy.special.chdtrc(2 * len(echoes), together) >= ALPHA / 2:
        return set()
    return set(drawn) | {layer for p, *pair in echoes if p < ALPHA for layer in pair}


def _one_law(biases: list[np.ndarray], epsilon: float) -> float:
    """p-value of: independent entries of one law, of mean 0 and one scale; ``epsilon``: as they are rounded.

    Of normal entries the shares of the whole sum of squares have Beta's law exactly; uniform and truncated
    ones vary less. A mean is also too near 0, as of the output layer's bias under softmax: the gradients of
    its entries sum to 0. Rounding does as much by chance, so that far it does not count.
    """
    n = np.array([len(b) for b in biases])
    sums, squares = np.array([(abs(b.sum()), b @ b) for b in biases]).T
    whole, count = squares.sum(), n.sum()
    every = abs(sum(b.sum() for b in biases))
    pooled = np.sort(np.concatenate(biases)) / math.sqrt(whole / count)
    shares = [
        (sums**2 / n, (sums + 2 * epsilon * np.sqrt(squares)) ** 2 / n, 1),
        (every**2 / count, (every + 2 * epsilon * math.sqrt(whole)) ** 2 / count, 1),
        (squares, squares, n),
    ]
    tests = [max(kolmogorov(pooled, law, 1.0) for law in LAWS)]
    for least, most, mine in shares[: 3 if len(n) > 1 else 2]:
        above = scipy.special.betainc((count - mine) / 2, mine / 2, np.clip(1 - least / whole, 0, 1))
        below = scipy.special.betainc(mine / 2, (count - mine) / 2, np.clip(most / whole, 0, 1))
        tests.append(2 * np.minimum(above, below).min() * np.size(least))
    return len(tests) * min(tests)


def _echoes(biases: dict[str, np.ndarray], weights: Iterable) -> Iterator[tuple[float, str, str]]:
    """(p-value, layer, the one before it): does the bias before go with what W brings back of the own one?

    The gradient of a bias is that of the next layer's, through Wᵀ and a slope: of trained ones b' goes with
    Wᵀb. Of normal b', independent of W and b, the squared cosine of the two has Beta's law, whatever these
    are. Files have any order, so every layer near by that fits is tried.
    """
    order = list(biases)
    places = {layer: k for k, layer in enumerate(order)}
    for source, s in weights:
        w, units, inputs = np.nan_to_num(s.kept), s.kept_rows, s.kept_columns // math.prod(source.shape[2:])
        n_out, n_in = source.shape[:2]
        if source.units_last:
            (n_in, n_out), w = source.shape[-2:], w.T
            units, inputs = s.kept_columns, s.kept_rows % n_in
        if len(biases[source.name]) != n_out:
            continue
        back = _unit(biases[source.name][units]) @ (w / (np.abs(w).max() or 1.0))
        back = _unit(np.bincount(inputs, back, n_in))  # all positions of a kernel together
        seen = np.unique(inputs)
        place, found = places[source.name], []
        for other in order[max(0, place - NEAR) : place + NEAR + 1]:
            if other != source.name and len(biases[other]) == n_in:
                cosine = float(back[seen] @ _unit(biases[other][seen]))
                beyond = float(scipy.special.betainc((len(seen) - 1) / 2, 0.5, max(0.0, 1 - cosine**2))) / 2
                found.append((max(beyond if cosine > 0 else 1 - beyond, 1e-300), other))
        if found:
            p, other = min(found)
            yield min(1.0, p * len(found)), source.name, other


def _unit(v: np.ndarray) -> np.ndarray:
    return v / (np.linalg.norm(v) or 1.0)
