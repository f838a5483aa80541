"""From bytes to numbers to blocks: a tensor whose entries lie in a file as they are."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..scan import BLOCK, pieces
from .protocol import CUT, Block, Bytes, Source, Unreadable

WHOLE = 2**27  # bytes that are read at once where it cannot be done in blocks


class Deflated:
    """A compressed member of an archive: ``Bytes`` that are unpacked from front to back."""

    forward_only = True

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo):
        self.archive, self.info, self.size = archive, info, info.file_size
        self.stream, self.at = None, 0

    def read(self, at: int, count: int) -> bytes:
        """``count`` unpacked bytes from ``at`` on; a read before the last one starts over."""
        if self.stream is None or at < self.at:
            self.close()
            self.stream, self.at = self.archive.open(self.info), 0
        while self.at < at:
            self._take(min(BLOCK, at - self.at))
        return self._take(count)

    def _take(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) < count:
            raise Unreadable(CUT)
        self.at += count
        return data

    def close(self) -> None:
        """Let go of the archive's stream; a later read opens it again."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None


@dataclass(frozen=True)
class Numbers:
    """How bytes become numbers: by ``dtype``, then, for formats that NumPy has no dtype for, by ``decode``.

    ``rounding``: the relative precision of such a format; None for that of ``dtype``.
    """

    dtype: np.dtype
    decode: Callable[[np.ndarray], np.ndarray] | None = None
    rounding: float | None = None

    @property
    def epsilon(self) -> float:
        """The relative precision of the numbers."""
        return self.rounding or float(np.finfo(self.dtype).eps)

    def of(self, raw: np.ndarray) -> np.ndarray:
        """The numbers in ``raw``, an array of ``dtype``."""
        return self.decode(raw) if self.decode else raw


def _e4m3() -> np.ndarray:
    """The 256 values of float8_e4m3fn (Micikevicius et al. 2022): no infinity, NaN where all bits are set."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent > 0, (8 + mantissa) * 2.0 ** (exponent - 10), mantissa * 2.0**-9)
    value[code & 127 == 127] = np.nan
    return np.where(code < 128, value, -value).astype(np.float32)


# By the names that safetensors gives to dtypes.
NUMBERS = {
    "F64": Numbers(np.dtype("<f8")),
    "F32": Numbers(np.dtype("<f4")),
    "F16": Numbers(np.dtype("<f2")),
    "BF16": Numbers(np.dtype("<u2"), lambda raw: (raw.astype(np.uint32) << 16).view(np.float32), 2.0**-8),
    "F8_E5M2": Numbers(np.dtype("u1"), lambda raw: (raw.astype(np.uint16) << 8).view(np.float16), 2.0**-3),
    "F8_E4M3": Numbers(np.dtype("u1"), lambda raw: _e4m3()[raw], 2.0**-4),
}


def tensor(
    name: str,
    shape: tuple[int, ...],
    numbers: Numbers,
    data: Bytes | Deflated,
    at: int = 0,
    strides: Sequence[int] | None = None,
    units_last: bool = False,
) -> Source:
    """A tensor whose entries lie in ``data`` as they are.

    Parameters
    ----------
    name, shape, units_last
        As in ``Source``.
    numbers : Numbers
        How an entry is written.
    data : Bytes or Deflated
        Closed once the entries have been read.
    at : int
        Where the first entry begins, in bytes.
    strides : sequence of int, optional
        From one entry to the next along each axis, in entries; in C order where there are none.

    Raises
    ------
    Unreadable
        Where ``data`` ends before the tensor does.
    """
    size, item = math.prod(shape), numbers.dtype.itemsize
    strides = c_strides(shape) if strides is None else tuple(strides)
    # The stride of an axis of length 1 is never used, and may be anything.
    plain = all(n == 1 or s == c for n, s, c in zip(shape, strides, c_strides(shape), strict=True))
    span = size if plain else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if at < 0 or (size and at + span * item > data.size):
        raise Unreadable(f"{name} has shape {shape}, and the file ends before it does")

    def numbers_at(start, count):
        return numbers.of(np.frombuffer(data.read(at + start * item, count * item), numbers.dtype))

    def blocks(matrix: tuple[int, int]) -> Iterator[Block]:
        try:
            if plain:
                yield from _in_order(numbers_at, matrix)
            elif span * item <= WHOLE:
                everything = numbers_at(0, span)
                steps = [s * everything.itemsize for s in strides]
                view = np.lib.stride_tricks.as_strided(everything, shape, steps, writeable=False)
                yield from blocks_of_array(view, matrix)
            else:
                yield from _by_lines(numbers_at, shape, strides, data.forward_only)
        finally:
            data.close()

    units_last = units_last and len(shape) > 1
    place = id(data), at, strides
    return Source(name, tuple(shape), units_last, size * item, blocks, numbers.epsilon, place=place)


def c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array in C order, in entries."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _in_order(numbers_at, matrix) -> Iterator[Block]:
    """Blocks of a matrix in C order."""
    columns = matrix[1]
    for r, r_end, c, c_end in pieces(matrix):  # either whole rows, or a part of one
        found = numbers_at(r * columns + c, (r_end - r) * (c_end - c))
        yield Block(found.reshape(r_end - r, c_end - c), r, c)


def blocks_of_array(array: np.ndarray, matrix: tuple[int, int]) -> Iterator[Block]:
    """Blocks of an array in memory whose axes may lie in any order, or be one entry shown many times."""
    if array.ndim < 2 or array.flags.c_contiguous:
        array = array.reshape(matrix)
    elif array.ndim > 2 and matrix[1] > 2**24:
        raise Unreadable("its entries lie scattered: save a contiguous copy")
    for r, r_end, c, c_end in pieces(matrix):
        yield Block(array[r:r_end].reshape(r_end - r, -1)[:, c:c_end], r, c)


def _by_lines(numbers_at, shape, strides, forward_only) -> Iterator[Block]:
    """Blocks of a matrix that is too large to be read whole and not in C order.

    Either its columns lie one after the other, or its rows or columns do with something between them.
    """
    rows, columns = shape if len(shape) == 2 else (0, 0)
    if strides[-2:] == (1, rows) and rows <= columns:  # what lies together is read together
        for c, c_end, r, r_end in pieces((columns, rows)):
            found = numbers_at(c * rows + r, (c_end - c) * (r_end - r))
            yield Block(found.reshape(c_end - c, r_end - r).T, r, c)
    elif rows and 1 in strides and not forward_only:
        across = strides[1] == 1
        for r, r_end, c, c_end in pieces(shape):
            if across:
                lines = [numbers_at(i * strides[0] + c, c_end - c) for i in range(r, r_end)]
            else:
                lines = [numbers_at(r + j * strides[1], r_end - r) for j in range(c, c_end)]
            yield Block(np.stack(lines, axis=0 if across else 1), r, c)
    else:
        raise Unreadable("its entries lie scattered: save a contiguous copy")
