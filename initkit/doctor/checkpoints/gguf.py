"""GGUF, llama.cpp's: "GGUF", a version, two counts, metadata, names with shapes and places, aligned entries.

All numbers are little-endian. A shape stands with its last axis first, so that a matrix is (units, inputs),
as in PyTorch. Read here and not by the gguf package, which maps the whole file, and trusts what it claims.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path

from .protocol import CUT, HEADER, TENSORS, Bytes, Source, Unreadable, printable, register
from .raw import NUMBERS, tensor

VERSIONS = 2, 3
ALIGNMENT = 32  # of the entries, where the metadata do not say another
FLOATS = {0: "F32", 1: "F16", 28: "F64", 30: "BF16"}  # by ggml's numbers; others are quantized
INTEGERS = range(24, 28)
# Metadata: by type, struct's letter. An array (9) has a type, a count and the items; a string (8) a length.
SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
STRING, ARRAY = 8, 9
AXES = 4


class _Header:
    """What comes before the entries, taken from front to back."""

    def __init__(self, data: bytearray):
        self.data, self.at = data, 4

    def take(self, form: str) -> int | float:
        try:
            (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        except struct.error:
            raise Unreadable(CUT) from None
        self.at += struct.calcsize(f"<{form}")
        return value

    def string(self) -> bytes:
        length = self.take("Q")
        self.at += length
        if self.at > len(self.data):
            raise Unreadable(CUT)
        return bytes(self.data[self.at - length : self.at])

    def value(self, kind: int) -> int | float | bytes | None:
        """A value of the metadata; of an array None, whose items are passed over."""
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            if kind not in SCALARS:
                raise Unreadable(f"its metadata have a type {kind}, which GGUF does not know")
            return self.take(SCALARS[kind])
        of, count = self.take("I"), self.take("Q")
        if of in SCALARS:
            self.at += count * struct.calcsize(f"<{SCALARS[of]}")
        else:
            for _ in range(count):  # each takes eight bytes or more, and the header is bounded
                self.value(of)
        return None


@register(".gguf", begins=rb"GGUF")
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The tensors, read where they are of floating-point numbers; a quantized one is listed as such."""
    head = _Header(data.read(0, min(HEADER, data.size)))
    version = head.take("I")
    if version not in VERSIONS:
        raise Unreadable(
            f"{path.name} is GGUF of version {version}, and only 2 and 3 are read: convert it anew"
        )
    count, pairs = head.take("Q"), head.take("Q")
    if count > TENSORS:
        raise Unreadable(f"{path.name} claims {count} tensors, which no file has")
    alignment = ALIGNMENT
    for _ in range(pairs):
        key, value = head.string(), head.value(head.take("I"))
        alignment = value if key == b"general.alignment" else alignment
    if not isinstance(alignment, int) or alignment < 1:
        raise Unreadable(f"{path.name} has an alignment of {alignment!r}")
    listed = []
    for _ in range(count):
        name, axes = head.string().decode(errors="replace"), head.take("I")
        if axes > AXES:
            raise Unreadable(f"{printable(name)} claims {axes} axes, where GGUF has {AXES} at most")
        shape = tuple(head.take("Q") for _ in range(axes))[::-1]
        listed.append((printable(name), shape, head.take("I"), head.take("Q")))
    begin = -(-head.at // alignment) * alignment
    found = []
    for name, shape, kind, at in listed:
        if kind in FLOATS:
            found.append(tensor(name, shape, NUMBERS[FLOATS[kind]], data, begin + at))
        elif kind in INTEGERS:
            found.append(Source.of_others(name, shape, integer=True))
        else:
            found.append(Source(name, shape, False, 0, None, unread="quantized"))
    return found
