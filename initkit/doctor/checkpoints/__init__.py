"""Checkpoint files, read as if a stranger had sent them: nothing in them is run, and no lie costs memory.

``opened(path)`` lists the tensors of a file; each is then read in the blocks that ``scan`` asks for.
Blocks are read, not memory-mapped: mapped pages count as this process's memory once they were touched, and a
mapped file that shrinks meanwhile kills the process. A format is a module of this package that registers a
reader (``protocol.register``); importing the package imports them all.
"""

from __future__ import annotations

import importlib
import math
import os
import pkgutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .protocol import OTHERS, READERS, Bytes, Source, Unreadable, format_names, one_line

__all__ = ["Source", "Unreadable", "format_names", "opened"]

LARGEST = 2**38  # elements of a tensor
EXPANSION, FREE = 100, 2**30  # a file stands for so many times its size at most, or for a GiB

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):  # _hdf5 is a program
        importlib.import_module(f".{_module.name}", __name__)


@contextmanager
def opened(path: str | os.PathLike, *, others: bool = False) -> Iterator[list[Source]]:
    """A context with the floating-point tensors of a checkpoint, in the file's order, ready to be scanned.

    Strings and objects are passed over. PyTorch's sparse and quantized tensors are listed; they cannot be
    read.

    Parameters
    ----------
    path : str or path-like
        A file of one of ``format_names()``. It stays open as long as the context.
    others : bool
        Whether integers, booleans, complex numbers and dtypes that are not known are listed too. They cannot
        be read: their ``unread`` is one of ``protocol.OTHERS``.

    Yields
    ------
    list of Source

    Raises
    ------
    Unreadable
        On entry or by ``Source.scan``, for whatever cannot be read.
    """
    with ExitStack() as stack:
        with one_line("cannot be read"):
            path = Path(path)
            suffix = path.suffix.lower()
            if suffix not in READERS:
                raise Unreadable(f"{path.name}: none of {', '.join(format_names())}")
        with one_line(f"{path.name} cannot be read"):
            if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a pipe would wait for a writer
                raise Unreadable(f"{path.name} is not a file" + (": a directory" if path.is_dir() else ""))
            file = stack.enter_context(open(path, "rb", buffering=0))
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise Unreadable(f"{path.name} is empty")
        with one_line(f"{path.name} is not a readable {suffix} file"):
            found = READERS[suffix](path, Bytes(file, 0, size), stack)
            _check(path, found, size)
        yield found if others else [source for source in found if source.unread not in OTHERS]


def _check(path: Path, found: list[Source], size: int) -> None:
    if all(source.unread in OTHERS for source in found):
        raise Unreadable(f"{path.name} holds no tensor of floating-point numbers")
    names = set()
    for source in found:
        if source.name in names:
            raise Unreadable(f"{path.name} holds two tensors that are called {source.name}")
        names.add(source.name)
        if math.prod(source.shape) > LARGEST:
            raise Unreadable(f"{path.name}: {source.name} claims a shape of {source.shape}, which none has")
    declared = sum(source.nbytes for source in found)
    if declared > max(FREE, EXPANSION * size):
        raise Unreadable(f"{path.name} has {size} bytes and claims to stand for {declared}: a bomb, not read")
