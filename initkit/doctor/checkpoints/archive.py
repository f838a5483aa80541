"""ZIP archives, which NumPy's .npz, PyTorch's .pt and Keras' .keras are."""

from __future__ import annotations

import io
import zipfile
from contextlib import ExitStack
from pathlib import Path

from .protocol import HEADER, TENSORS, Bytes, Unreadable, printable
from .raw import Deflated

EXPANSION = 1032  # bytes that one byte of DEFLATE can stand for


class Window(io.RawIOBase):
    """``Bytes`` as a file."""

    def __init__(self, data: Bytes):
        self.data, self.at = data, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, to: int, whence: int = 0) -> int:
        """As files do."""
        self.at = max(0, to + (0, self.at, self.data.size)[whence])
        return self.at

    def readinto(self, buffer) -> int:
        """As files do; 0 at the end."""
        count = max(0, min(len(buffer), self.data.size - self.at))
        buffer[:count] = self.data.read(self.at, count)
        self.at += count
        return count


def names_in(data: Bytes) -> list[str]:
    """The members' names; none where it is no archive that can be read."""
    try:
        with ExitStack() as stack:
            return archive_in(Path(), data, stack).namelist()
    except Exception:  # whatever forged bytes make of it: the reader that its suffix asks for says so
        return []


def archive_in(path: Path, data: Bytes, stack: ExitStack) -> zipfile.ZipFile:
    """The archive, once its table of contents is known to be of a size that may be read."""
    tail = data.read(max(0, data.size - 2**17), min(data.size, 2**17))
    end = tail.rfind(b"PK\5\6")
    directory = int.from_bytes(tail[end + 12 : end + 16], "little")
    end64 = tail[max(0, end - 76) : max(0, end - 20)]
    if end64[:4] == b"PK\6\6":
        directory = int.from_bytes(end64[40:48], "little")
    if end < 0 or directory > HEADER:
        raise Unreadable(f"{path.name} is cut short, or no archive")
    archive = stack.enter_context(zipfile.ZipFile(io.BufferedReader(Window(data), 2**16)))
    names = archive.namelist()
    if names and min(info.header_offset for info in archive.infolist()):
        raise Unreadable(f"{path.name} is cut short, or holds more than an archive")
    if len(set(names)) < len(names):
        raise Unreadable(f"{path.name} holds two members of the same name")
    if len(names) > TENSORS:
        raise Unreadable(f"{path.name} holds {len(names)} members")
    return archive


def member(info: zipfile.ZipInfo, archive: zipfile.ZipFile, data: Bytes) -> Bytes | Deflated:
    """The bytes of one member, unpacked as they are read."""
    name, size, packed = printable(info.filename), info.file_size, info.compress_size
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable(f"{name} is encrypted, or packed in a way NumPy never does")
    if info.compress_type == zipfile.ZIP_DEFLATED:
        if size > EXPANSION * packed + 1024 or packed > data.size:
            raise Unreadable(f"{name} claims {size} bytes, which {packed} cannot stand for")
        return Deflated(archive, info)
    local = data.read(info.header_offset, 30)
    if local[:4] != b"PK\3\4" or size != packed:
        raise Unreadable(f"{name} is not where the archive says")
    skip = 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return data.part(info.header_offset + skip, size)
