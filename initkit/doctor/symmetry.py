"""Units that start alike: rows of weights (columns, in Keras' layout) that are multiples of each other.

Such units get gradients that stay multiples of each other, so training never tells them apart. The tensor is
not in memory; ``Scan`` has of each line a few sums that multiples share, and a sample of the entries.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy

from .scan import PRODUCTS, SIDE, Lines, Scan

ROUNDED = 1e-5  # relative precision, above which float32's tolerance is too narrow: float16, bfloat16, float8
SAME = 1e-9  # sums of two units with equal entries, scaled to length 1, differ by this at most
CHANCE = 1e-6  # expected pairs that are alike by chance, above which nothing is concluded


class Alike(NamedTuple):
    """The number of units that are multiples of another, and the indices of one such pair."""

    units: int
    first: int
    second: int


def units_alike(s: Scan, units_last: bool = False) -> Alike | None:
    """The units of a scanned matrix that are multiples of each other; None where there are none.

    Parameters
    ----------
    s : Scan
        Of all entries of a matrix, ``s.whole``.
    units_last : bool
        Whether the columns are the units, not the rows.
    """
    units, inputs = s.shape[::-1] if units_last else s.shape
    if inputs == 1:  # one weight a unit: all are multiples; units are the same where all entries are
        return Alike(units, 0, 1) if units > 1 and s.low == s.high else None
    if not s.has_lines:
        return None
    found = multiples(s.by_column if units_last else s.by_row, inputs)
    if not found and s.epsilon > ROUNDED:
        found = _in_the_sample(s, units_last) or _by_random_products(s, units_last)
    return found


def are_equal(s: Scan, first: int, second: int, units_last: bool = False) -> bool:
    """Whether two units are equal, entry by entry; multiples of each other are not."""
    if not s.has_lines:  # one weight a unit
        return s.low == s.high
    pair = (s.by_column if units_last else s.by_row).at(np.array([first, second]))
    with np.errstate(invalid="ignore"):  # infinite sums are not equal
        numbers = np.stack([*pair.directions, np.sqrt(pair.squares / pair.squares.max())])
    return bool(np.ptp(numbers, axis=1).max() <= SAME)


def multiples(lines: Lines, length: int) -> Alike | None:
    """The lines that are multiples of each other to float32's precision, by three numbers of each.

    The numbers that say a direction must all agree to 1e-5. Lines of fewer than four entries (``length``) are
    close to each other's direction by chance too often, and count only where they are equal.
    """
    alive = np.flatnonzero(lines.squares > 0)
    some = lines.at(alive)
    if length < 4:
        directions = np.stack(some[:4])
    else:
        directions = some.directions
        directions = directions * np.where(directions[0] < 0, -1, 1)
    order = np.lexsort(directions[::-1])  # by all of them: unequal lines often share the first
    steps = np.abs(np.diff(directions[:, order], axis=1)).max(axis=0)
    same = steps < (1e-5 if length >= 4 else 1e-12 * np.abs(directions).max(initial=0.0))
    if not same.any():
        return None
    k = int(np.flatnonzero(same)[0])
    first, second = sorted((int(alive[order[k]]), int(alive[order[k + 1]])))
    return Alike(int(np.count_nonzero(np.append(same, False) | np.insert(same, 0, False))), first, second)


def _in_the_sample(s: Scan, units_last: bool) -> Alike | None:
    """``multiples`` for entries of low precision, which make multiples differ by up to ``s.epsilon``.

    At float16's precision the three numbers of ``multiples`` agree by chance. So the units of the sample, at
    most 512, are compared by their entries in the sample, and by those three numbers as well, which speak of
    the entries outside it.
    """
    kept, lines, units = s.kept, s.by_row.at(s.kept_rows), s.kept_rows
    if units_last:
        kept, lines, units = s.kept.T, s.by_column.at(s.kept_columns), s.kept_columns
    norm = np.linalg.norm(kept, axis=1)
    kept, lines, units, norm = kept[norm > 0], lines.at(norm > 0), units[norm > 0], norm[norm > 0]
    within = 2 * s.epsilon
    if len(units) ** 2 * within ** (kept.shape[1] - 1) > CHANCE:
        return None
    # The three numbers add up the rounding errors of all entries: a quarter of their difference counts.
    w = np.column_stack([kept / norm[:, None], lines.directions.T / 4])
    gram = w @ w.T
    # |u ∓ v|² of all pairs, with the sign that makes it smaller.
    apart = np.add.outer(gram.diagonal(), gram.diagonal()) - 2 * np.abs(gram)
    same = (apart < within**2) & ~np.eye(len(w), dtype=bool)
    if not same.any():
        return None
    k = int(np.flatnonzero(same.any(axis=1))[0])
    return Alike(
        int(np.count_nonzero(same.any(axis=1))), int(units[k]), int(units[np.flatnonzero(same[k])[0]])
    )


def _by_random_products(s: Scan, units_last: bool) -> Alike | None:
    """``_in_the_sample`` for more units than the sample holds, by eight random products of each unit."""
    units, length = s.shape[::-1] if units_last else s.shape
    if s.products is None or units <= SIDE:
        return None
    if units**2 * (2 * s.epsilon) ** min(length - 1, PRODUCTS) > CHANCE:
        return None
    products, squares = s.products[units_last], (s.by_column if units_last else s.by_row).squares
    alive = np.flatnonzero(squares > 0)
    directions = (products[:, alive] / np.sqrt(squares[alive])).T
    directions *= np.where(directions[:, :1] < 0, -1, 1)
    if len(alive) < 2:
        return None
    # Rounding moves each product as much as it moves the whole unit.
    within = 2 * s.epsilon * math.sqrt(len(products))
    # The nearest two of each unit: one of them is itself.
    distance, nearest = scipy.spatial.cKDTree(directions).query(directions, 2, distance_upper_bound=within)
    same = np.flatnonzero(np.isfinite(distance[:, 1]))
    if not same.size:
        return None
    return Alike(len(same), int(alive[same[0]]), int(alive[nearest[same[0]].max()]))
