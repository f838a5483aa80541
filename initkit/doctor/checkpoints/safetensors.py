"""safetensors: the length of a JSON header, the header with names, dtypes, shapes and places, the entries."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from .protocol import HEADER, Bytes, Source, Unreadable, needed, printable, register
from .raw import NUMBERS, tensor


@register(".safetensors", begins=rb".{5}\0{3}\{")
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The tensors, read if ``raw.NUMBERS`` names their dtype; the safetensors package checks the header."""
    safetensors = needed("safetensors")
    length = int.from_bytes(data.read(0, 8), "little")
    if length > min(HEADER, data.size - 8):
        raise Unreadable(f"{path.name} is not a .safetensors file: a header of {length} bytes")
    with safetensors.safe_open(path, framework="numpy"):
        pass  # it raises where shapes do not agree with places, or these with the file's length
    header = json.loads(data.read(8, length), object_pairs_hook=_no_two)
    of_torch = (header.pop("__metadata__", None) or {}).get("format") == "pt"  # as transformers and timm say
    found = []
    for name, t in header.items():
        name, shape, dtype = printable(name), tuple(t["shape"]), t["dtype"]
        if dtype in NUMBERS:
            found.append(tensor(name, shape, NUMBERS[dtype], data, 8 + length + t["data_offsets"][0]))
        else:
            found.append(Source.of_others(name, shape, dtype[0] in "IU" or dtype == "BOOL"))
    return [replace(source, of_torch=of_torch) for source in found]


def _no_two(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("two tensors have the same name")
    return found
