"""Checkpoint files, read as if a stranger had sent them: nothing in them is run, and no lie costs memory.

``opened(path)`` lists the tensors of a file, or of all files that an index names; each is then read in the
blocks that ``scan`` asks for. Its format is recognized by its content, whatever it is called. Blocks are
read, not memory-mapped: mapped pages count as this process's memory once they were touched, and a mapped file
that shrinks meanwhile kills the process. A format is a module of this package that registers a reader
(``protocol.register``); importing the package imports them all.
"""

from __future__ import annotations

import importlib
import math
import os
import pkgutil
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .archive import names_in
from .protocol import (
    BEGINS,
    HOLDS,
    OTHERS,
    READERS,
    Bytes,
    Reader,
    Source,
    Unreadable,
    format_names,
    one_line,
)
from .shards import files_of

__all__ = ["Source", "Unreadable", "format_names", "opened"]

LARGEST = 2**38  # elements of a tensor
EXPANSION, FREE = 100, 2**30  # tensors may declare so many times the file's size, or a GiB if that is more

# Files that are not read, by their first bytes or their suffix, and what to do instead.
OTHER_FORMATS = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (rb"^version https://git-lfs", "a pointer of Git LFS, not the file itself: git lfs pull"),
        (rb"(?i)^\s*<(!doctype|html)", "a web page, not the file itself: fetch it again"),
        (rb"^\x1f\x8b|^.gz$", "packed by gzip: gunzip it, and audit what comes out"),
        (
            rb"^(\x28\xb5\x2f\xfd|\xfd7zXZ|BZh\d)|^.(zst|xz|bz2)$",
            "packed by zstd, xz or bzip2: unpack it, and audit that",
        ),
        (rb"^.{257}ustar|^.tar$", "a tar archive: unpack it, and audit what is in it"),
        (rb"^.{4}ORTM|^.ort$", "ONNX Runtime's own form: audit the .onnx that it was made of"),
        (
            rb"^.{4}TFL3|^.tflite$",
            "TFLite: np.savez what get_tensor of a tf.lite.Interpreter gives of each of get_tensor_details()",
        ),
        (rb"^.msgpack$", "Flax's msgpack: np.savez(…, **flatten_dict(params, sep='/')), and audit that"),
    )
]

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
        A file in one of ``format_names()``, or a folder that a model was saved to. Files stay open as long as
        the context.
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
            files = files_of(path)
        found = [source for file in files for source in _listed(file, stack)]
        _check(path, found)
        yield found if others else [source for source in found if source.unread not in OTHERS]


def _listed(path: Path, stack: ExitStack) -> list[Source]:
    """The tensors of one file."""
    with one_line(f"{path.name} cannot be read"):
        # Before it is opened: a pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Unreadable(f"{path.name} is not a file")
        file = stack.enter_context(open(path, "rb", buffering=0))  # noqa: SIM115 the stack closes it
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise Unreadable(f"{path.name} is empty: fetch it, or save it, again")
        head, data = file.read(512), Bytes(file, 0, size)
        suffix, read = _reader(path, head, data)
    with one_line(f"{path.name} is not a readable {suffix} file"):
        found = read(path, data, stack)
    declared = sum(source.nbytes for source in found)
    if declared > max(FREE, EXPANSION * (size + data.more)):
        raise Unreadable(f"{path.name} has {size} bytes and claims to stand for {declared}: a bomb, not read")
    return found


def _reader(path: Path, head: bytes, data: Bytes) -> tuple[str, Reader]:
    """How the file is called in messages, and who reads it: by what it holds, else by its suffix."""
    name = path.name.lower()
    suffix = max((s for s in READERS if name.endswith(s)), key=len, default=path.suffix)
    members = names_in(data) if head.startswith(b"PK\3\4") else []
    for pattern, read in HOLDS:
        if any(map(pattern.search, members)):
            return suffix, read
    for pattern, read in BEGINS:
        if pattern.match(head):
            return suffix, read
    for pattern, instead in OTHER_FORMATS:
        if pattern.search(head) or (suffix not in READERS and pattern.search(path.suffix.lower().encode())):
            raise Unreadable(f"{path.name} is {instead}")
    if suffix in READERS:
        return suffix, READERS[suffix]
    raise Unreadable(f"{path.name}: none of {', '.join(format_names())}")


def _check(path: Path, found: list[Source]) -> None:
    if all(source.unread in OTHERS for source in found):
        raise Unreadable(f"{path.name} holds no tensor of floating-point numbers")
    names = set()
    for source in found:
        if source.name in names:
            raise Unreadable(f"{path.name} holds two tensors that are called {source.name}")
        names.add(source.name)
        if math.prod(source.shape) > LARGEST:
            raise Unreadable(f"{path.name}: {source.name} claims a shape of {source.shape}, which none has")
