"""Read a checkpoint and say how its tensors were initialized, and what is wrong with them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
import scipy

from .. import activations
from ..fans import fans
from .checkpoints import Source, sources
from .company import RECURRENT, bias_of, worn
from .identify import Identification, hidden_sizes, of_scan
from .report import Finding, Report, Tensor
from .scan import PRODUCTS, SIDE, Scan

# The gravest first; the same names stand in the JSON.
KINDS = (
    "non_finite", "all_zero", "symmetric_rows", "dead_rows", "scheme_activation_mismatch", "scale_outlier",
    "transposed_fans",
)  # fmt: skip
OUTLIER = 10.0  # times the median gain, or a tenth of it
MISMATCH = 1.25  # times the gain that keeps the signal, or a part of it: over ten layers that is 87
# Looked up, not multiplied by: their rows are not units, and their scale is not bound to a fan.
EMBEDDING = re.compile(r"emb|position|\bwte\b|\bwpe\b", re.IGNORECASE)
# One row or column alone may be a bias or a scale, of any name but these.
WEIGHT = re.compile(r"(\b|_)(w\d*|weights?|kernel|weight_[ih]h\w*)$", re.IGNORECASE)
# Scales, entry by entry, which start alike; of several axes as those of LayerNorm((4, 8)) may be.
NORM = re.compile(r"norm|(\b|_)ln(\b|_|\d)", re.IGNORECASE)
# Recognized by what they are, entry by entry: of these none has moved, whatever the layer's bias did.
EXACT = {"zeros", "ones", "constant", "identity", "dirac", "delta_orthogonal", "orthogonal"}


def audit(path, *, activation=None, lang: str = "en") -> Report:
    """A ``Report`` on the checkpoint ``path``: one row a tensor, then what is wrong, the gravest first.

    Reads .safetensors, .npz, .npy, PyTorch's .pt and .pth (tensors only: nothing is unpickled), and Keras'
    .weights.h5, one tensor at a time, a part at a time. ``gain`` = std·√fan_in is the gain that a weight has,
    whatever it was drawn by. With ``activation`` (a name, or what ``gain`` takes) the gains of the hidden
    layers are held to it. Findings: entries not finite; weights all zero; units with equal or collinear
    weights, or none; a gain ten times off the median; fans exchanged.

    A bias that passes as fresh is "not_fresh" all the same, with reason "biases", where it is neither
    constant, nor PyTorch's default, nor, with all others of the file, drawn from one law of mean 0 and one
    scale, independently of the weights; and so is the weight beside it, with reason "bias". To fresh ones
    that happens in at most one of 1,000 cases; but a bias that was set entry by entry, as to the logarithms
    of frequencies, passes for a trained one. The reverse says nothing: not every layer has a bias, a frozen
    one's is as it was, and one that was drawn hides what it learned as the weight does.

    Units are held against each other, inputs not. Two units alike get the same gradient for ever; two columns
    alike, or one of zeros, get each its own input's, and part at the first step. Masks and pruning make such
    columns on purpose.

    Raises ``files.Unreadable``, a ValueError of one line, for a file that cannot be read. Lesson 07.
    """
    wanted = None if activation is None else (activations.get(activation), activations.gain(activation))
    seen, findings, layer_fans, weight_of = [], [], defaultdict(tuple), {}
    vectors, scales = set(), set()
    for source in sources(path):
        n_in, n_out = _fans(source)
        recurrent = source.shape and RECURRENT.search(source.name)
        if recurrent:
            layer_fans[source.name] = hidden_sizes(source.shape[0])
        if n_in and (bias := bias_of(source.name)):
            weight_of[bias] = source.name
            if not recurrent:
                layer_fans[bias] = (n_in,)
        if _is_vector(source.name, source.shape, source.units_last):
            vectors.add(source.name)
        s = source.scan()
        if s is not None and s.low == s.high and NORM.search(source.name):
            scales.add(source.name)
        std = gain = None
        if s is not None:
            table = bool(EMBEDDING.search(source.name))
            findings += wrong_by_itself(source.name, source.shape, s, source.units_last, table)
            if not s.non_finite:  # else there is no such number
                std = s.std
            gain = std * math.sqrt(n_in) if n_in and std is not None else None
        if s is None:
            s = Identification("not_fresh", reason="empty" if 0 in source.shape else source.unread)
        elif n_in is not None:  # a vector waits for the fan of its layer: in many a file the bias comes first
            s = _identified(source.shape, s, layer_fans[source.name], source.units_last)
        seen.append(((source.name, source.shape, n_in, n_out, std, gain), s))
    scales |= _scales({row[0]: row[1] for row, _ in seen}, weight_of)
    findings = [f for f in findings if f.kind == "non_finite" or f.tensor not in scales]
    rows = [
        Tensor(*row, s if isinstance(s, Identification) else _identified(row[1], s, layer_fans[row[0]]))
        for row, s in seen
    ]
    biases = {
        weight_of[name]: (s, layer_fans[name])
        for (name, *_), s in seen
        if name in weight_of and isinstance(s, Scan)
    }
    rows = _told_by_bias(rows, biases, weight_of, path)
    weights = [row for row in rows if row.name not in vectors | scales and _is_weight(row)]
    findings += _compared(weights, wanted)
    findings.sort(key=lambda finding: KINDS.index(finding.kind))
    return Report(tuple(rows), tuple(findings), lang=lang)


def _scales(shapes: dict, weight_of: dict) -> set[str]:
    """What has the shape of weights, or of biases, and by what stands beside it is a scale or a shift."""
    found = set()
    for bias, weight in weight_of.items():  # of a layer the bias has one axis
        shape = shapes[weight]
        if shapes.get(bias) == shape and math.prod(shape) > max(shape):
            found |= {bias, weight}
        elif shape[1:] == (1, 1) and shapes.get(bias) != shape[:1]:  # not of a Conv1d of one channel
            found.add(weight)
    return found


def _told_by_bias(rows: list[Tensor], biases: dict, weight_of: dict, path) -> list[Tensor]:
    """A bias that no scheme starts so has been trained; and with it a weight of its layer that was drawn."""
    drawn = {row.name for row in rows if row.found.matches and row.found.matches[0].scheme not in EXACT}
    if not drawn & (biases.keys() | weight_of.keys()):
        return rows
    layers = worn(biases, lambda names: _again(path, names))
    reasons = dict.fromkeys(layers, "bias") | {b: "biases" for b, w in weight_of.items() if w in layers}
    told = {name: Identification("not_fresh", reason=reasons[name]) for name in drawn & reasons.keys()}
    return [replace(row, found=told.get(row.name, row.found)) for row in rows]


def _again(path, names: set):
    """These tensors are read a second time, as they were not held."""
    for source in sources(path):
        if source.name in names and (s := source.scan()):
            yield source, s


def _axes(units_last: bool) -> dict:
    return {"in_axis": -2, "out_axis": -1} if units_last else {}


def _fans(source: Source) -> tuple[int | None, int | None]:
    return tuple(fans(source.shape, **_axes(source.units_last))) if len(source.shape) > 1 else (None, None)


def _identified(shape, s: Scan, fans_of_layer, units_last: bool = False) -> Identification:
    return of_scan(s, shape, _axes(units_last), fans_of_layer, units_last)


def _is_vector(name: str, shape, units_last: bool) -> bool:
    """One axis at most that counts anything, as in a bias; and no layer from one input, or to one unit.

    Of three axes it is a class token (1, 1, n), whatever its name, or by its name a layer's scale (n, 1, 1).
    In Keras a name says nothing, but a bias has one axis.
    """
    if len(shape) < 2:
        return True
    conv1d = len(shape) == 3 and shape[0] > 1 and not units_last and WEIGHT.search(name)
    layer = conv1d or (len(shape) != 3 and (units_last or WEIGHT.search(name)))
    return math.prod(shape) == max(shape) and not layer


def wrong_by_itself(name: str, shape, s: Scan, units_last: bool = False, table: bool = False):
    """The findings on one tensor that need no other. ``shape``: its own; ``s.shape`` is the matrix's.

    ``table``: it is one of embeddings, whose rows are no units.
    """
    if s.non_finite:
        yield Finding("non_finite", name, {"count": s.non_finite})
        return
    if _is_vector(name, shape, units_last) or (table and s.shape[0] == 1):
        return
    if s.low == s.high == 0:
        yield Finding("all_zero", name)
        return
    if table or not s.whole:
        return
    units, length = s.shape[::-1] if units_last else s.shape
    if length == 1 < units and s.low == s.high:  # where not all are the same, two may be by chance
        yield Finding("symmetric_rows", name, {"count": units, "first": 0, "second": 1})
    if not s.has_lines:
        return
    lines = s.by_column if units_last else s.by_row
    dead = np.flatnonzero(lines[1] == 0)
    together = alike(lines, length)
    if not together and s.epsilon > 1e-5:
        together = alike_rounded(s, units_last) or alike_at_a_distance(s, units_last)
    if together:
        count, first, second = together
        yield Finding("symmetric_rows", name, {"count": count, "first": first, "second": second})
    if dead.size:
        yield Finding("dead_rows", name, {"count": dead.size, "first": int(dead[0])})


def alike(lines: np.ndarray, length: int) -> tuple[int, int, int] | None:
    """How many lines are a multiple of another, and two that are; from their sums and random products.

    Of three numbers that say a direction all must agree to 1e-5. Lines of fewer than four entries must be the
    same, as their directions are soon alike by chance.
    """
    alive = np.flatnonzero(lines[1] > 0)
    if length < 4:
        directions = lines[:4, alive]
    else:
        directions = lines[[2, 3, 0]][:, alive] / np.sqrt(lines[1, alive])
        directions = directions * np.where(directions[0] < 0, -1, 1)
    order = np.argsort(directions[0], kind="stable")
    steps = np.abs(np.diff(directions[:, order], axis=1)).max(axis=0)
    same = steps < (1e-5 if length >= 4 else 1e-12 * np.abs(directions).max(initial=0.0))
    if not same.any():
        return None
    k = int(np.flatnonzero(same)[0])
    first, second = sorted((int(alive[order[k]]), int(alive[order[k + 1]])))
    return int(np.count_nonzero(np.append(same, False) | np.insert(same, 0, False))), first, second


def alike_rounded(s: Scan, units_last: bool) -> tuple[int, int, int] | None:
    """``alike`` for few digits, as of float16, which make multiples differ by up to ``s.epsilon``.

    Held against each other are the up to 512 units of which entries were kept; by these, as so coarse a
    direction is soon met by chance in three numbers, and by the sums and products of the whole lines.
    """
    kept, lines, units = s.kept, s.by_row[:, s.kept_rows], s.kept_rows
    if units_last:
        kept, lines, units = s.kept.T, s.by_column[:, s.kept_columns], s.kept_columns
    norm = np.linalg.norm(kept, axis=1)
    kept, lines, units, norm = kept[norm > 0], lines[:, norm > 0], units[norm > 0], norm[norm > 0]
    within = 2 * s.epsilon
    if len(units) ** 2 * within ** (kept.shape[1] - 1) > 1e-6:  # short lines: so many pairs by chance
        return None
    # An error of epsilon is one of several in such a product: a quarter counts.
    w = np.column_stack([kept / norm[:, None], (lines[[2, 3, 0]] / np.sqrt(lines[1])).T / 4])
    gram = w @ w.T
    apart = np.add.outer(gram.diagonal(), gram.diagonal()) - 2 * np.abs(gram)  # squared, but for the sign
    same = (apart < within**2) & ~np.eye(len(w), dtype=bool)
    if not same.any():
        return None
    k = int(np.flatnonzero(same.any(axis=1))[0])
    return int(np.count_nonzero(same.any(axis=1))), int(units[k]), int(units[np.flatnonzero(same[k])[0]])


def alike_at_a_distance(s: Scan, units_last: bool) -> tuple[int, int, int] | None:
    """``alike_rounded`` for more units than of which entries are kept, by more random products of each."""
    units, length = s.shape[::-1] if units_last else s.shape
    if s.products is None or units <= SIDE:
        return None
    if units**2 * (2 * s.epsilon) ** min(length - 1, PRODUCTS) > 1e-6:  # so many pairs by chance
        return None
    products, squares = s.products[units_last], (s.by_column if units_last else s.by_row)[1]
    alive = np.flatnonzero(squares > 0)
    directions = (products[:, alive] / np.sqrt(squares[alive])).T
    directions *= np.where(directions[:, :1] < 0, -1, 1)
    if len(alive) < 2:
        return None
    within = 2 * s.epsilon * math.sqrt(len(products))  # of every product as much as of the whole unit
    distance, nearest = scipy.spatial.cKDTree(directions).query(directions, 2, distance_upper_bound=within)
    same = np.flatnonzero(np.isfinite(distance[:, 1]))
    if not same.size:
        return None
    return len(same), int(alive[same[0]]), int(alive[nearest[same[0]].max()])  # one of these two is itself


def _is_weight(row: Tensor) -> bool:
    return bool(row.gain) and math.isfinite(row.gain) and not EMBEDDING.search(row.name)


def _compared(weights: list[Tensor], wanted) -> list[Finding]:
    """What shows only beside the other weights, or beside the activation function."""
    findings = []
    median = float(np.median([row.gain for row in weights])) if len(weights) > 3 else None
    for k, row in enumerate(weights):
        if median and max(row.gain / median, median / row.gain) > OUTLIER:
            factor = max(row.gain / median, median / row.gain)
            fields = {"factor": f"{factor:.2g}", "gain": f"{row.gain:.3g}", "median": f"{median:.3g}"}
            findings.append(Finding("scale_outlier", row.name, fields))
        matches = row.found.matches
        if matches and len(row.shape) == 2 and all(match.fan == "fan_out" for match in matches):
            findings.append(Finding("transposed_fans", row.name, {"match": str(matches[0])}))
        hidden = 0 < k < len(weights) - 1  # the first sees the input, the last has no activation behind it
        if wanted and hidden and row.found.verdict == "fresh":
            activation, gain = wanted
            if max(row.gain / gain, gain / row.gain) > MISMATCH:
                fields = {"gain": f"{row.gain:.3g}", "wanted": f"{gain:.3g}", "activation": activation.name}
                findings.append(Finding("scheme_activation_mismatch", row.name, fields))
    return findings
