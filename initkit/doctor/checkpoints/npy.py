"""NumPy's files: .npy, one array behind a short header, and .npz, a ZIP archive of such."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .archive import archive_in, member
from .protocol import Bytes, Source, Unreadable, printable, register
from .raw import Deflated, Numbers, c_strides, tensor


@register(".npy", begins=rb"\x93NUMPY")
def read_npy(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The one array, called as the file is."""
    found, dtype = _array_in(printable(path.stem), data)
    if dtype.kind != "f":
        what = "Python objects, which are not loaded" if dtype.hasobject else f"{dtype}, not floating-point"
        raise Unreadable(f"{path.name} holds {what}")
    return [found]


@register(".npz", holds=r"\.npy$")
def read_npz(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The arrays of the archive, stored or compressed."""
    archive = archive_in(path, data, stack)
    found = [
        _array_in(printable(info.filename[:-4]), member(info, archive, data))
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    ]
    if any(dtype.hasobject for _, dtype in found) and all(dtype.kind != "f" for _, dtype in found):
        raise Unreadable(f"{path.name} holds only Python objects, which are not loaded")
    return [source for source, dtype in found if dtype.kind in "fiubc"]


def _array_in(name: str, data: Bytes | Deflated) -> tuple[Source, np.dtype]:
    """The array in bytes of the .npy format, and its dtype."""
    try:  # a header that claims to be long stays short
        head = io.BytesIO(data.read(0, min(data.size, 2**16)))
    finally:
        data.close()
    version = np.lib.format.read_magic(head)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(version[0])
    if read is None:
        # NumPy writes version 3 only for structures with names beyond Latin-1.
        return Source.of_others(name, (), False), np.dtype("V")
    shape, fortran, dtype = read(head)
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise Unreadable(f"{name} claims a shape of {shape}")
    if dtype.kind != "f":
        return Source.of_others(name, shape, dtype.kind in "iub"), dtype
    strides = c_strides(shape[::-1])[::-1] if fortran else None
    return tensor(name, shape, Numbers(dtype), data, head.tell(), strides), dtype
