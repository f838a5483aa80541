"""One pass over a tensor in bounded memory: the sums that ``identify`` and ``audit`` decide by.

The tensor is read as a matrix (rows, columns): its first axis by all others; or, where the units lie on the
last axis (Keras, JAX), all others by the last. It arrives in blocks, none of which is kept.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

BLOCK = 2**20  # elements of a block
LOOKED_AT = 2**27  # elements that are read of a larger tensor, in blocks spread evenly over it
SIDE = 512  # rows and columns of the sample that is kept
FULL = 64  # rows (columns, if taller than wide) whose products with each other are computed
PRODUCTS = 8  # of each row and column with random vectors, where precision is low and not all are kept
FAR = 6.0  # an entry is far at so many root mean squares of the rest
LONE = 4  # far entries are lone if there are no more
MOST = 2**22  # rows or columns, above which nothing is kept for each of them


def evenly(n: int, most: int) -> np.ndarray:
    """``most`` of the whole numbers below ``n``, evenly spaced; all of them where there are fewer."""
    return np.arange(n) if n <= most else (np.arange(most) * n) // most


def matrix_shape(shape: Sequence[int], units_last: bool = False) -> tuple[int, int]:
    """(rows, columns) of the matrix that a tensor is read as; a vector is one row."""
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


class Lines(NamedTuple):
    """Sums over each row of a matrix, or over each column: arrays with one entry a line.

    Two lines are multiples of each other only if their sums, and their products with any vector, are in the
    ratio of their norms; that is how ``symmetry`` finds them without keeping them.
    """

    sums: np.ndarray
    squares: np.ndarray  # sums of squares
    product_0: np.ndarray  # inner products with a fixed random vector
    product_1: np.ndarray  # and with another
    zeros: np.ndarray  # how many entries are 0

    @classmethod
    def of_zeros(cls, n: int) -> Lines:
        """``n`` lines over which nothing has been added up yet."""
        return cls(*np.zeros((5, n)))

    def at(self, places: np.ndarray) -> Lines:
        """The lines at ``places``, an index array or a mask."""
        return Lines(*(values[places] for values in self))

    @property
    def directions(self) -> np.ndarray:
        """(3, lines): three numbers that are the same, up to sign, in all multiples of a line."""
        return np.stack([self.product_0, self.product_1, self.sums]) / np.sqrt(self.squares)


class Neighbours(NamedTuple):
    """Pairs of entries at a fixed distance: the sum of their products, and how many there are."""

    products: float
    pairs: int


class Far(NamedTuple):
    """An entry much further from 0 than the rest, and where in the matrix it stands."""

    row: int
    column: int
    value: float


class Scan:
    """Sums over all entries that were read, and a sample of up to SIDE × SIDE entries that is kept.

    ``add`` takes the blocks; the attributes are plain numbers and float64 arrays.

    Parameters
    ----------
    shape : (int, int)
        Of the matrix.
    last : int
        Size of the tensor's last axis: entries of a kernel at that distance lie above each other.
    epsilon : float
        Relative precision of the entries. It is raised to bfloat16's where float32 entries show no more.

    Attributes
    ----------
    n, non_finite, minus_infinite, zeros : int
        Entries read; that are NaN or infinite, and count as 0 in every sum; of these, −∞; that are 0.
    mean, centred, squares : float
        Of the entries: their mean, Σ(w − mean)², Σw².
    low, high : float
        Smallest and largest entry.
    neighbours : list of Neighbours
        Of entries beside each other, ``last`` apart, and one row apart.
    far : list of Far
        Lone entries further out than FAR root mean squares of the rest; empty where there are more than LONE.
    has_lines : bool
        Whether ``by_row`` and ``by_column``, the ``Lines``, exist.
    kept : ndarray
        The sample: the entries in ``kept_rows`` and ``kept_columns``, NaN where none was read.
    """

    def __init__(self, shape: tuple[int, int], last: int = 1, epsilon: float = 0.0):
        self.shape, self.last, self.epsilon = shape, last, epsilon
        rows, columns = shape
        self.n = self.non_finite = self.minus_infinite = self.zeros = 0
        self.mean = self.centred = self.squares = 0.0
        self.low, self.high = math.inf, -math.inf
        self.neighbours = [Neighbours(0.0, 0)] * 3
        self._hash = hashlib.sha1(usedforsecurity=False)
        self.far: list[Far] = []
        self._many_far = False
        self._rest: Scan | None = None  # with 0 in the places of ``far``
        self.has_lines = rows > 1 and columns > 1 and max(shape) <= MOST
        if self.has_lines:
            self.by_row, self.by_column = Lines.of_zeros(rows), Lines.of_zeros(columns)
            rng = np.random.default_rng(0)
            # The random vectors that rows, and columns, are multiplied with.
            self.across, self.down = rng.standard_normal((2, columns)), rng.standard_normal((2, rows))
        self.products = self._factors = None  # (of rows, of columns), once the precision is known to be low
        self.kept_rows, self.kept_columns = evenly(rows, SIDE), evenly(columns, SIDE if rows > 1 else SIDE**2)
        self.kept = np.full((len(self.kept_rows), len(self.kept_columns)), np.nan)
        self.wide = rows <= columns
        fewer, more = sorted(shape)
        self.angles = evenly(fewer, max(2, min(FULL, MOST // max(1, more))))
        self._full = np.zeros((len(self.angles), columns)) if self.wide and self.has_lines else None
        self._gram = np.zeros((len(self.angles),) * 2)

    def add(self, block: np.ndarray, row: int, column: int) -> None:
        """Take in a block of the matrix whose upper left entry lies at (``row``, ``column``)."""
        if not self.n and rounded_to_bfloat16(block):
            self.epsilon = max(self.epsilon, 2.0**-8)
        if not self.n and self.has_lines and self.epsilon > 1e-5 and SIDE < max(self.shape) <= 2**17:
            rng = np.random.default_rng(1)
            self._factors = [rng.standard_normal((PRODUCTS, n)) for n in self.shape[::-1]]
            self.products = [np.zeros((PRODUCTS, n)) for n in self.shape]
        self._hash.update(np.ascontiguousarray(block))
        # The sample is sorted later, in float64: NumPy 2.4.6 sorts float16 wrongly on CPUs with AVX512_ICL.
        w = np.asarray(block, np.float64)
        finite = np.isfinite(w)
        if not finite.all():
            self.non_finite += int(w.size - np.count_nonzero(finite))
            self.minus_infinite += int(np.count_nonzero(w == -np.inf))
            w = np.where(finite, w, 0.0)
        rows, columns = slice(row, row + w.shape[0]), slice(column, column + w.shape[1])
        flat = w.ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            low, high, squares = float(flat.min()), float(flat.max()), float(flat @ flat)
            near = self._look_far(w, max(-low, high), squares, row, column)
            if self._rest is not None:
                self._rest.add(near.astype(block.dtype, copy=False), row, column)
            self._merge(flat)
            self.zeros += int(w.size - np.count_nonzero(w))
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.squares += squares
            for k, distance in enumerate((1, self.last, self.shape[1])):
                if distance < flat.size and (k == 0 or distance > 1):
                    products, pairs = self.neighbours[k]
                    products += float(flat[:-distance] @ flat[distance:])
                    self.neighbours[k] = Neighbours(products, pairs + flat.size - distance)
            if self.has_lines:
                square, zero = np.square(w), w == 0
                across, down = self.across[:, columns] @ w.T, self.down[:, rows] @ w
                for lines, places, axis, products in (
                    (self.by_row, rows, 1, across),
                    (self.by_column, columns, 0, down),
                ):
                    sums = w.sum(axis=axis), square.sum(axis=axis), *products, zero.sum(axis=axis)
                    for total, added in zip(lines, sums, strict=True):
                        total[places] += added
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

    def _look_far(self, w: np.ndarray, furthest: float, squares: float, row: int, column: int) -> np.ndarray:
        """Note the lone far entries of the block ``w``, and return it with 0 in their places."""
        n = w.size
        looks = n > 1 and squares < 1e290 and not self._many_far
        if not looks or furthest**2 * (n - 1) <= FAR**2 * max(0.0, squares - furthest**2):
            return w
        near = w.flatten()
        top = np.argpartition(np.abs(near), -min(n, LONE + 1))[-min(n, LONE + 1) :]
        values, near[top] = near[top], 0
        is_far = np.square(values) > FAR**2 * float(near @ near) / max(1, n - len(top))
        near[top[~is_far]] = values[~is_far]
        self._many_far = len(self.far) + np.count_nonzero(is_far) > LONE
        if self._many_far:
            self.far, self._rest = [], None
            return w
        if is_far.any() and self._rest is None:
            self._rest = copy.deepcopy(self, {id(self._hash): self._hash.copy()})
            self._rest._many_far = True  # it looks for none itself
        for place, value in zip(top[is_far].tolist(), values[is_far].tolist(), strict=True):
            self.far.append(Far(row + place // w.shape[1], column + place % w.shape[1], value))
        return near.reshape(w.shape)

    def without_far(self) -> Scan:
        """The Scan of the same tensor with 0 in the places of ``far``, where there are some."""
        return self if self._rest is None else self._rest

    def _merge(self, flat: np.ndarray) -> None:
        """Update ``mean`` and ``centred`` by one more block (Chan, Golub & LeVeque 1983).

        E[w²] − E[w]² would lose the digits that the entries and their mean share: in a constant layer, all.
        """
        mean = float(flat.mean())
        apart, n = mean - self.mean, self.n + flat.size
        deviations = flat - mean
        self.centred += float(deviations @ deviations) + apart * apart * self.n * (flat.size / n)
        self.mean += apart * (flat.size / n)
        self.n = n

    @property
    def digest(self) -> bytes:
        """A hash of the bits of the entries that were read, as they lie in the file."""
        return self._hash.digest()

    @property
    def whole(self) -> bool:
        """Whether every entry was read."""
        return self.n == math.prod(self.shape)

    @property
    def mean_square(self) -> float:
        """Σw²/n."""
        return self.squares / self.n

    @property
    def std(self) -> float:
        """√(Σ(w − mean)²/n): exactly 0 where all entries are equal, inf where their squares overflow."""
        if self.low == self.high:
            return 0.0
        return math.sqrt(self.centred / self.n) if math.isfinite(self.squares) else math.inf

    @property
    def gram(self) -> np.ndarray:
        """Inner products of up to FULL of the rows with each other; of the columns, if taller than wide."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._full @ self._full.T if self.wide else self._gram

    @property
    def sample(self) -> np.ndarray:
        """``kept`` without the rows and columns of which nothing was read."""
        seen = ~np.isnan(self.kept)
        return self.kept[seen.any(axis=1)][:, seen.any(axis=0)]


def scan(
    blocks: Iterable[tuple[np.ndarray, int, int]],
    shape: tuple[int, int],
    last: int = 1,
    epsilon: float = 0.0,
) -> Scan:
    """The ``Scan`` of a matrix in ``blocks``, (entries, row, column), as ``pieces`` cuts them."""
    found = Scan(shape, last, epsilon)
    for block, row, column in blocks:
        found.add(block, row, column)
    return found


def scan_array(array: np.ndarray, units_last: bool = False) -> Scan:
    """The ``Scan`` of a tensor in memory. ``units_last``: its last axis counts the units, not its first."""
    shape = matrix_shape(array.shape, units_last)
    matrix = array.reshape(shape)
    blocks = ((matrix[r:r_end, c:c_end], r, c) for r, r_end, c, c_end in pieces(shape))
    return scan(blocks, shape, array.shape[-1] if array.ndim > 2 else 1, float(np.finfo(array.dtype).eps))


def rounded_to_bfloat16(matrix: np.ndarray) -> bool:
    """Whether float32 entries have no more digits than bfloat16: the lower 16 bits of all are 0."""
    if matrix.dtype != np.float32 or not matrix.size:
        return False
    head = np.ascontiguousarray(matrix[:64, :1024])
    return not (head.view(np.uint32) & 0xFFFF).any()
