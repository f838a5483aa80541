"""What a checkpoint format is: a function from an open file to its tensors, registered by what it looks like.

A format is one module of this package::

    @register(".toy")
    def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
        ...

``path`` is where the file lies and how messages name it, and ``data`` reads its bytes. ``stack`` closes, once
all tensors have been looked at, whatever is pushed onto it. The function reads names, shapes and
places, never the entries: those are read later, a block at a time, by ``Source.scan``. ``raw.tensor`` makes a
``Source`` of entries that lie in ``data`` as they are. Whatever the function raises reaches the reader as one
line; ``Unreadable`` reaches it in its own words.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from ...packages import how_to_install
from ..scan import Scan, matrix_shape, scan

__all__ = [
    "HEADER", "OTHERS", "TENSORS", "Block", "Bytes", "Reader", "Source", "Unreadable", "format_names",
    "needed", "register",
]  # fmt: skip

TENSORS = 2**17
"""How many tensors a file may have."""

HEADER = 2**24
"""How many bytes of names and shapes a file may have."""

OTHERS = ("integer", "dtype")
"""Why tensors of other than floating-point numbers are not read."""

CUT = "cut short: it ends before its tensors do"


class Unreadable(ValueError):
    """A file that cannot be read as a checkpoint; ``message`` says why in one printable line."""

    def __init__(self, message: str):
        self.message = printable(message)
        super().__init__(self.message)


def printable(name: object) -> str:
    """``name`` as one line without control characters, of at most 300 characters."""
    name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    name = name if len(name) <= 300 else name[:299] + "…"
    if name.isprintable():  # nearly always, and a file may have many
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


class Bytes:
    """``size`` bytes of a file, from ``start`` on.

    Attributes
    ----------
    forward_only : bool
        Whether reading backwards is slow.
    more : int
        Bytes of the files beside it that hold its tensors, for a reader to add to.
    """

    forward_only, more = False, 0

    def __init__(self, file: io.RawIOBase, start: int, size: int):
        self.file, self.start, self.size = file, start, size

    def read(self, at: int, count: int) -> bytearray:
        """``count`` bytes from ``at`` on, counted from ``start``; Unreadable beyond the end."""
        self.file.seek(self.part(at, count).start)
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self.file.readinto(view)
            if not got:
                raise Unreadable(CUT)
            view = view[got:]
        return data

    def part(self, start: int, size: int) -> Bytes:
        """``size`` of these bytes, from ``start`` on."""
        if start < 0 or start + size > self.size:
            raise Unreadable(CUT)
        return Bytes(self.file, self.start + start, size)

    def close(self) -> None:
        """Nothing is left open: the file is closed by whoever opened it."""


class Block(NamedTuple):
    """A part of a tensor's matrix, and where its upper left entry lies.

    Attributes
    ----------
    entries : ndarray
        Two-dimensional.
    row, column : int
        In the matrix.
    """

    entries: np.ndarray
    row: int
    column: int


_Blocks = Callable[[tuple[int, int]], Iterable[Block]]


@dataclass(frozen=True)
class Source:
    """A tensor in a file, whose entries have not been read yet.

    Attributes
    ----------
    name : str
        As it can be printed.
    shape : tuple of int
    units_last : bool
        Whether its last axis counts the units, as in Keras; else the first does, as in PyTorch.
    nbytes : int
        How many bytes the entries take, as the file declares.
    epsilon : float
        To which relative precision the entries were rounded.
    unread : str or None
        Why the entries cannot be read: "sparse" or "quantized"; "empty" where the file has none; "integer"
        (booleans too) or "dtype" (any other) where they are no floating-point numbers; None where they can.
    of_torch : bool
        Whether the file says that PyTorch wrote it.
    layer : tuple of int
        The shape of one layer: ``shape``, unless it is a stack of experts, or of a recurrent layer's two
        directions, or has heads that belong together.
    place : tuple, optional
        Where the entries lie, the same for tensors that share them; None where the format does not tell.
    told : bool
        Whether the file says its layout: that the first axis counts the units, too.
    role : str, optional
        What the file says it is for, whatever its name: one of ``roles.OF_GRAPH``.
    """

    name: str
    shape: tuple[int, ...]
    units_last: bool
    nbytes: int
    _blocks: _Blocks | None = field(repr=False)  # the entries, for a matrix of this shape; None: not read
    epsilon: float = 0.0
    unread: str | None = None
    of_torch: bool = False
    layer: tuple[int, ...] | None = None
    place: tuple | None = None
    told: bool = False
    role: str | None = None

    def __post_init__(self):
        if self.layer is None:
            object.__setattr__(self, "layer", self.shape)

    @property
    def experts(self) -> int:
        """How many layers are stacked in it."""
        return math.prod(self.shape) // max(1, math.prod(self.layer))

    @property
    def axes(self) -> dict[str, int]:
        """``in_axis`` and ``out_axis`` of ``layer``, as ``fans`` takes them."""
        return {"in_axis": -2, "out_axis": -1} if self.units_last else {}

    @classmethod
    def of_others(cls, name: str, shape: Sequence[int], integer: bool) -> Source:
        """A tensor that is not of floating-point numbers that can be read."""
        return cls(name, tuple(shape), False, 0, None, unread=OTHERS[not integer])

    def scan(self) -> Scan | None:
        """Read the entries once, in blocks; None where there is no entry, or none can be read.

        Raises Unreadable where the file does not hold what it declared.
        """
        if 0 in self.shape or self._blocks is None:
            return None
        rows, columns = matrix_shape(self.layer, self.units_last)
        shape = self.experts * rows, columns
        return scan(self._readable(shape), shape, self.layer[-1] if len(self.layer) > 2 else 1, self.epsilon)

    def furthest_from(self, other: Source) -> float | None:
        """The largest |difference| of an entry to that of ``other``, a tensor of the same shape.

        It is infinite where one of the two is no number; None where the files hold them in different orders.
        """
        shape, found = matrix_shape(self.shape), 0.0
        for mine, its in zip(self._readable(shape), other._readable(shape), strict=False):
            if mine.entries.shape != its.entries.shape or mine[1:] != its[1:]:
                return None
            x, y = (block.entries.astype(np.float64) for block in (mine, its))
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
            found = max(found, float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max()))
        return found

    def _readable(self, shape) -> Iterator[Block]:
        with one_line(f"{self.name} cannot be read"):
            yield from self._blocks(shape)


class Reader(Protocol):
    """The function that makes a format: from an open file to its tensors."""

    def __call__(self, path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
        """The tensors of one file.

        Parameters
        ----------
        path : Path
            Where the file lies; messages name it by its name.
        data : Bytes
            What it holds.
        stack : ExitStack
            Closes whatever is pushed onto it, once all tensors have been looked at.

        Returns
        -------
        list of Source
            With names, shapes and places; entries are read later, by ``Source.scan``.

        Raises
        ------
        Unreadable
            With what is wrong. Whatever else is raised becomes one.
        """


READERS: dict[str, Reader] = {}  # by suffix, in small letters
BEGINS: list[tuple[re.Pattern, Reader]] = []  # by how such a file begins
HOLDS: list[tuple[re.Pattern, Reader]] = []  # of ZIP archives: by the name of a member
NAMES: list[str] = []


def register(
    *suffixes: str, name: str | None = None, begins: bytes | None = None, holds: str | None = None
) -> Callable[[Reader], Reader]:
    """A decorator: files that begin so, or else have one of these suffixes, are read by the function.

    Parameters
    ----------
    *suffixes : str
        With their dots, in small letters: ".pt", ".pth".
    name : str, optional
        How the lists of formats call it, where that is not the suffix: ".weights.h5" for ".h5".
    begins : bytes, optional
        A regular expression for a file's first 16 bytes: such a file is read so whatever it is called.
    holds : str, optional
        One for the name of a member, where the file is a ZIP archive.

    Returns
    -------
    callable
        The decorator, from a ``Reader`` to itself.

    Raises
    ------
    ValueError
        For a suffix that another format has.
    """

    def registered(read: Reader) -> Reader:
        if taken := [suffix for suffix in suffixes if suffix in READERS]:
            raise ValueError(f"{', '.join(taken)}: another format has this suffix")
        READERS.update(dict.fromkeys(suffixes, read))
        NAMES.extend([name] if name else suffixes)
        if begins:
            BEGINS.append((re.compile(begins, re.DOTALL), read))
        if holds:
            HOLDS.append((re.compile(holds), read))
        return read

    return registered


def format_names() -> list[str]:
    """The formats that the doctor reads, as every list of them says: [".npy", ".npz", …].

    Returns
    -------
    list of str
        In order.
    """
    return sorted(NAMES)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn whatever a parser raises on damaged or forged bytes into an Unreadable of one line."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as e:
        said = (getattr(e, "strerror", None) or str(e)).strip() or type(e).__name__
        raise Unreadable(f"{what}: {said.splitlines()[0]}") from e


def needed(package: str) -> ModuleType:
    """The package of this name, imported.

    Parameters
    ----------
    package : str
        As it is imported, and installed.

    Returns
    -------
    module

    Raises
    ------
    Unreadable
        With what to install, where it is missing or does not load.
    """
    try:
        return __import__(package)
    except ModuleNotFoundError as e:
        if e.name == package:
            raise missing(package) from None
        raise cannot_load(package, e) from e
    except Exception as e:  # a package beside another version of NumPy may raise anything
        raise cannot_load(package, e) from e


def missing(package: str) -> Unreadable:
    """``package`` is not installed."""
    return Unreadable(f"needs {package}: {how_to_install(package)}")


def cannot_load(package: str, why: object) -> Unreadable:
    """``package`` is installed and fails to load, which says nothing about the file."""
    why = (str(why).strip() or type(why).__name__).splitlines()[0]
    return Unreadable(
        f"{package} is installed but cannot be loaded ({why[:200]}): the file was not looked at; "
        f"{how_to_install('--upgrade', package)}, so that it fits the NumPy beside it"
    )
