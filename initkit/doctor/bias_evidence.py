"""Evidence of training in a layer's bias, where its weight has none.

What training adds to a weight is lost in the randomness that the weight started from. A bias that started at
0 shows every step; one that was drawn can be held against all other biases of the file, and the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy

from .checkpoints import Source
from .identify import ALPHA, LAWS, TOO_SMALL, UNIFORM, kolmogorov, p_value
from .scan import Scan, scan_array
from .survey import RECURRENT

NEAR = 32  # how many layers apart in a file two biases may lie to be held against each other


def trained_by_bias(
    biases: dict[str, tuple[Scan, tuple[int, ...]]],
    read_weights: Callable[[set[str]], Iterable[tuple[Source, Scan]]],
) -> set[str]:
    """Names of the weights whose layer was trained, as its bias cannot be a fresh draw.

    A bias may be fresh if it is constant; if it is PyTorch's default for its layer's fan_in; or if it is
    drawn as in mean-field theory: together with all other drawn biases of the file from one law with mean 0
    and one scale, independently of the weights.

    Parameters
    ----------
    biases : dict
        By the name of the layer's weight: the scan of its bias, and what the layer's fan_in may be.
    read_weights : callable
        Gives the weights with these names, each with its scan. Called only where the biases alone pass.

    Returns
    -------
    set of str
        False alarms: where all biases are fresh, the set is not empty in at most one of 1,000 files with
        drawn biases, and it holds a layer whose bias is PyTorch's default in at most one of 1,000 cases.
    """
    values, drawn, epsilon = {}, [], 0.0
    for layer, (s, layer_fans) in biases.items():
        if RECURRENT.search(layer):  # an LSTM's forget gate is often set, to 1 say: leave those entries out
            entries, counts = np.unique(s.sample, return_counts=True)
            if s.low < s.high and counts.max() > max(1, s.n / 8):
                rest = scan_array(s.sample[s.sample != entries[counts.argmax()]])
                rest.epsilon = s.epsilon
                s = rest
        if s.low == s.high or s.non_finite or not TOO_SMALL < s.squares < 1 / TOO_SMALL:
            continue
        values[layer], epsilon = s.sample[0], max(epsilon, s.epsilon)
        if not by_default(s, layer_fans) or _one_law([values[layer]], s.epsilon) < ALPHA / 2:
            drawn.append(layer)
    if not drawn:
        return set()
    # Equal biases, as of averaged copies, count once.
    different = {values[layer].tobytes(): values[layer] for layer in drawn}
    if _one_law(list(different.values()), epsilon) < ALPHA / 2:
        return set(drawn)
    echoes = list(_echoes(values, read_weights(set(values))))
    together = -2 * sum(math.log(p) for p, *_ in echoes)  # Fisher (1925): the p-values together are χ²
    if not echoes or scipy.special.chdtrc(2 * len(echoes), together) >= ALPHA / 2:
        return set()
    return set(drawn) | {layer for p, *pair in echoes if p < ALPHA for layer in pair}


def by_default(s: Scan, layer_fans: tuple[int, ...]) -> bool:
    """Whether a bias may be PyTorch's default for a layer whose fan_in is one of these."""
    return s.squares > TOO_SMALL and any(
        p_value(s, UNIFORM, (3 * fan) ** -0.5) >= ALPHA for fan in layer_fans
    )


def _one_law(biases: list[np.ndarray], epsilon: float) -> float:
    """p-value of: all entries of all biases are independent draws from one law with mean 0 and one scale.

    Tested are the distribution function; each bias's mean, and the mean of all; and each bias's share of the
    whole sum of squares. For normal entries such shares have Beta's law exactly; for uniform and truncated
    ones they vary less. A mean can be too near 0 as well: under softmax the gradients of the output layer's
    bias sum to 0. Rounding to ``epsilon`` shifts a sum by chance, so a mean is taken at whichever value
    within the rounding speaks least for training.
    """
    n = np.array([len(b) for b in biases])
    # |Σb| and Σb² of each bias; then the same of all biases together.
    sums, squares = np.array([(abs(b.sum()), b @ b) for b in biases]).T
    whole, count = squares.sum(), n.sum()
    every = abs(sum(b.sum() for b in biases))
    pooled = np.sort(np.concatenate(biases)) / math.sqrt(whole / count)
    # Shares of the sum of squares: the least and the most that rounding allows, and the degrees of freedom.
    shares = [
        (sums**2 / n, (sums + 2 * epsilon * np.sqrt(squares)) ** 2 / n, 1),
        (every**2 / count, (every + 2 * epsilon * math.sqrt(whole)) ** 2 / count, 1),
        (squares, squares, n),
    ]
    tests = [max(kolmogorov(pooled, law, 1.0) for law in LAWS.values())]
    for least, most, freedom in shares[: 3 if len(n) > 1 else 2]:
        above = scipy.special.betainc((count - freedom) / 2, freedom / 2, np.clip(1 - least / whole, 0, 1))
        below = scipy.special.betainc(freedom / 2, (count - freedom) / 2, np.clip(most / whole, 0, 1))
        tests.append(2 * np.minimum(above, below).min() * np.size(least))
    return len(tests) * min(tests)


def _echoes(biases: dict[str, np.ndarray], weights: Iterable) -> Iterator[tuple[float, str, str]]:
    """Of each layer: the p-value of "the bias before is independent of Wᵀb", the layer, and the one before.

    Let b belong to the layer with weight W, and b' to the layer before. The gradient of b' is that of b times
    Wᵀ and a slope, so a trained b' points along Wᵀb. If b' is normal and independent of W and b, the squared
    cosine between b' and Wᵀb has Beta's law, whatever W and b are. Files list layers in any order, so every
    layer within ``NEAR`` places whose size fits is tried.
    """
    order = list(biases)
    places = {layer: k for k, layer in enumerate(order)}
    for source, s in weights:
        w, units, inputs = np.nan_to_num(s.kept), s.kept_rows, s.kept_columns // math.prod(source.layer[2:])
        n_out, n_in = source.layer[:2]
        if source.units_last:
            (n_in, n_out), w = source.layer[-2:], w.T
            units, inputs = s.kept_columns, s.kept_rows % n_in
        if source.experts > 1 or len(biases[source.name]) != n_out:
            continue
        back = _unit(biases[source.name][units]) @ (w / (np.abs(w).max() or 1.0))
        back = _unit(np.bincount(inputs, back, n_in))  # of a convolution: summed over the kernel
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
    """v/|v|; 0 where v is."""
    return v / (np.linalg.norm(v) or 1.0)
