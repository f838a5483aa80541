"""One pass over a tensor, in bounded memory: what ``identify`` and ``audit`` know of it.

The tensor is seen as a matrix (rows, columns), its first axis against the rest, or, where the units lie on
the last axis (Keras, JAX), the rest against the last. It comes in blocks and is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

BLOCK = 2**20  # elements that are looked at together
LOOKED_AT = 2**27  # of a larger tensor, so many elements, in blocks that lie evenly over it
SIDE = 512  # rows and columns of the part that is kept
FULL = 64  # rows (columns, if taller than wide) whose angles are computed
PRODUCTS = 8  # of every row and column, where digits are few and not all lines are kept
MOST = 2**22  # columns, or rows, about which something is kept one by one


def evenly(n: int, most: int) -> np.ndarray:
    """``most`` of the numbers below ``n``, evenly spaced; all, where there are fewer."""
    return np.arange(n) if n <= most else (np.arange(most) * n) // most


def matrix_shape(shape, units_last: bool = False) -> tuple[int, int]:
    """(rows, columns); a vector is one row, as its entries have no second direction."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    return (math.prod(shape[:-1]), shape[-1]) if units_last else (shape[0], math.prod(shape[1:]))


def pieces(shape: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """(row, row end, column, column end) of blocks of at most BLOCK elements, in storage order."""
    rows, columns = shape
    tall = max(1, BLOCK // max(1, columns))
    places = [
        (r, min(r + tall, rows), c, min(c + BLOCK, columns))
        for r in range(0, rows, tall)
        for c in range(0, columns, BLOCK)
    ]
    yield from (places[k] for k in evenly(len(places), max(1, LOOKED_AT // BLOCK)))


class Scan:
    """Sums over all that was looked at, and a part of SIDE × SIDE entries that is kept.

    ``add`` takes the blocks; the attributes are plain numbers and float64 arrays. ``last`` is the size of the
    tensor's last axis: neighbours at that distance lie above each other in a kernel.
    """

    def __init__(self, shape: tuple[int, int], last: int = 1, epsilon: float = 0.0):
        self.shape, self.last, self.epsilon = shape, last, epsilon
        rows, columns = shape
        self.n = self.non_finite = self.zeros = 0
        self.mean = self.centred = self.squares = 0.0  # of the entries: Σ(w − mean)², Σw²
        self.low, self.high = math.inf, -math.inf
        self.neighbours = np.zeros((2, 3))  # Σ w·w' and how many, for the three distances
        self.has_lines = rows > 1 and columns > 1 and max(shape) <= MOST
        if self.has_lines:
            # Of each row and each column: sum, sum of squares, two products with a random line, and zeros.
            self.by_row, self.by_column = np.zeros((5, rows)), np.zeros((5, columns))
            rng = np.random.default_rng(0)
            self.across, self.down = rng.standard_normal((2, columns)), rng.standard_normal((2, rows))
        self.products = self._factors = None
        self.kept_rows, self.kept_columns = evenly(rows, SIDE), evenly(columns, SIDE if rows > 1 else SIDE**2)
        self.kept = np.full((len(self.kept_rows), len(self.kept_columns)), np.nan)
        self.wide = rows <= columns
        fewer, more = sorted(shape)
        self.angles = evenly(fewer, max(2, min(FULL, MOST // max(1, more))))
        self._full = np.zeros((len(self.angles), columns)) if self.wide and self.has_lines else None
        self._gram = np.zeros((len(self.angles),) * 2)

    def add(self, block: np.ndarray, row: int, column: int) -> None:
        if not self.n and rounded_to_bfloat16(block):
            self.epsilon = max(self.epsilon, 2.0**-8)
        if not self.n and self.has_lines and self.epsilon > 1e-5 and SIDE < max(self.shape) <= 2**17:
            rng = np.random.default_rng(1)
            self._factors = [rng.standard_normal((PRODUCTS, n)) for n in self.shape[::-1]]
            self.products = [np.zeros((PRODUCTS, n)) for n in self.shape]  # of rows, of columns
        # What is sorted later is float64, too: NumPy 2.4.6 sorts float16 wrongly on CPUs with AVX512_ICL.
        w = np.asarray(block, np.float64)
        finite = np.isfinite(w)
        if not finite.all():
            self.non_finite += int(w.size - np.count_nonzero(finite))
            w = np.where(finite, w, 0.0)
        rows, columns = slice(row, row + w.shape[0]), slice(column, column + w.shape[1])
        flat = w.ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            self._merge(flat)
            self.zeros += int(w.size - np.count_nonzero(w))
            self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
            self.squares += float(flat @ flat)
            for k, distance in enumerate((1, self.last, self.shape[1])):
                if distance < flat.size and (k == 0 or distance > 1):
                    self.neighbours[:, k] += flat[:-distance] @ flat[distance:], flat.size - distance
            if self.has_lines:
                square = np.square(w)
                self.by_row[:2, rows] += w.sum(axis=1), square.sum(axis=1)
                self.by_row[2:4, rows] += self.across[:, columns] @ w.T
                self.by_column[:2, columns] += w.sum(axis=0), square.sum(axis=0)
                self.by_column[2:4, columns] += self.down[:, rows] @ w
                self.by_row[4, rows] += (w == 0).sum(axis=1)
                self.by_column[4, columns] += (w == 0).sum(axis=0)
                if self.products is not None:
                    self.products[0][:, rows] += self._factors[0][:, columns] @ w.T
                    self.products[1][:, columns] += self._factors[1][:, rows] @ w
                if self.wide:
                    mine = (self.angles >= rows.start) & (self.angles < rows.stop)
                    self._full[mine, columns] = w[self.angles[mine] - row]
                else:
                    part = w[:, self.angles]
                    self._gram += part.T @ part
        r = (self.kept_rows >= rows.start) & (self.kept_rows < rows.stop)
        c = (self.kept_columns >= columns.start) & (self.kept_columns < columns.stop)
        self.kept[np.ix_(r, c)] = w[np.ix_(self.kept_rows[r] - row, self.kept_columns[c] - column)]

    def _merge(self, flat: np.ndarray) -> None:
        """The mean and the centred squares of one more block (Chan, Golub & LeVeque 1983).

        E[w²] − E[w]² would lose the digits that w and its mean share: in a constant layer, all.
        """
        mean = float(flat.mean())
        apart, n = mean - self.mean, self.n + flat.size
        deviations = flat - mean
        self.centred += float(deviations @ deviations) + apart * apart * self.n * (flat.size / n)
        self.mean += apart * (flat.size / n)
        self.n = n

    @property
    def whole(self) -> bool:
        return self.n == math.prod(self.shape)

    @property
    def mean_square(self) -> float:
        return self.squares / self.n

    @property
    def std(self) -> float:
        """Exactly 0 where all entries are alike, whose mean may be rounded; inf where their squares are."""
        if self.low == self.high:
            return 0.0
        return math.sqrt(self.centred / self.n) if math.isfinite(self.squares) else math.inf

    @property
    def gram(self) -> np.ndarray:
        """Products of up to FULL of the rows with each other; of the columns, if taller than wide."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._full @ self._full.T if self.wide else self._gram

    @property
    def sample(self) -> np.ndarray:
        """The kept part: a matrix without what was not looked at."""
        seen = ~np.isnan(self.kept)
        return self.kept[seen.any(axis=1)][:, seen.any(axis=0)]


def scan(blocks: Iterable, shape: tuple[int, int], last: int = 1, epsilon: float = 0.0) -> Scan:
    """``blocks``: (matrix block, row, column), as ``pieces`` cuts them."""
    found = Scan(shape, last, epsilon)
    for block, row, column in blocks:
        found.add(block, row, column)
    return found


def scan_array(array: np.ndarray, units_last: bool = False) -> Scan:
    shape = matrix_shape(array.shape, units_last)
    matrix = array.reshape(shape)
    blocks = ((matrix[r:r_end, c:c_end], r, c) for r, r_end, c, c_end in pieces(shape))
    return scan(blocks, shape, array.shape[-1] if array.ndim > 2 else 1, float(np.finfo(array.dtype).eps))


def rounded_to_bfloat16(matrix: np.ndarray) -> bool:
    if matrix.dtype != np.float32 or not matrix.size:
        return False
    head = np.ascontiguousarray(matrix[:64, :1024])
    return not (head.view(np.uint32) & 0xFFFF).any()
