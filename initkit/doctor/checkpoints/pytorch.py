"""PyTorch's files: a pickle of tensors in a ZIP archive, or, before 2020, in a file of its own.

The pickle is read by ``pickles.told``, which runs nothing, and PyTorch is not needed. What Stable-Baselines3
saves is an archive of such archives.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from .archive import archive_in, member
from .pickles import STEPS, Told, is_name, told
from .protocol import HEADER, TENSORS, Bytes, Source, Unreadable, printable, register
from .raw import NUMBERS, Numbers, c_strides, tensor

HEAD = 2**12  # bytes in front of a storage's entries, at most, where pickle.dump wrote it
LEGACY = 2**28  # bytes of a pickle that holds its arrays itself: it can only be read whole
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch.save began with before 2020

# By the names of PyTorch's storages and dtypes, how safetensors calls the numbers.
DTYPES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128",
    "UntypedStorage": "U8", "QInt8Storage": "I8", "QUInt8Storage": "U8", "QInt32Storage": "I32",
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
    "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
}  # fmt: skip
# What torch.save has a tensor made by; arrays are made by NumPy's _reconstruct.
_TENSORS = {
    f"torch._utils._rebuild_{how}" for how in (
        "tensor", "tensor_v2", "tensor_v3", "qtensor", "sparse_tensor", "meta_tensor_no_storage"
    )
}  # fmt: skip
# Those that have a shape and no entries to be read.
_UNREAD = {"qtensor": "quantized", "sparse_tensor": "sparse", "meta_tensor_no_storage": "empty"}
# A module keeps in these what its state_dict calls without them.
_INNER = ("_parameters", "_buffers", "_modules")

# A tensor's name, what tells of it, and the file's storages by their keys.
Tensor = tuple[str, Told, dict[str, Bytes]]


@register(
    ".pt", ".pth", ".bin", ".ckpt", ".th", ".pth.tar",
    holds=r"^[^/]+/(data|constants)\.pkl$",
    begins=rb"\x80[\2-\5](?!.{3}\0{3}\{)",  # not a .safetensors file, which begins with its header's length
)  # fmt: skip
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The tensors in nested dicts, lists and objects, called by their keys with dots between."""
    if data.read(0, min(4, data.size)) == b"PK\3\4":
        found = _zipped(path, data, stack)
    else:
        found = _flat(*_legacy(path, data), path)
    return [replace(_source(*one), of_torch=True) for one in found]


@register(".zip", holds=r"^policy\.pth$")
def read_sb3(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """Stable-Baselines3: the tensors of each .pth in the archive, called by its name and theirs."""
    archive = archive_in(path, data, stack)
    inside = [info for info in archive.infolist() if info.filename.endswith(".pth")]
    if not inside:
        raise Unreadable(f"{path.name} is an archive without weights: unpack it, and audit what is in it")
    found = []
    for info in inside:
        part, name = member(info, archive, data), printable(info.filename[: -len(".pth")])
        if part.forward_only:
            raise Unreadable(f"{name}.pth in {path.name} is compressed: unpack it, and audit it by itself")
        sources = [_source(f"{name}.{key}", *rest) for key, *rest in _zipped(path, part, stack)]
        found += [replace(source, of_torch=True) for source in sources]
    return found


def _zipped(path: Path, data: Bytes, stack: ExitStack) -> list[Tensor]:
    """The tensors of the archive's pickle.

    TorchScript's archive has its program beside the same pickle of a module, and a second pickle of the
    program's constants; in a frozen program these are the weights, without names.
    """
    archive = archive_in(path, data, stack)
    inside = {info.filename: info for info in archive.infolist()}
    tops = [name.split("/")[0] for name in inside if name.split("/")[1:] == ["data.pkl"]]
    if any(name.endswith("/.data/extern_modules") for name in inside):
        raise Unreadable(
            f"{path.name} is of torch.package: torch.save the state_dict() of what its PackageImporter loads"
        )
    if len(tops) != 1:
        raise Unreadable(f"{path.name} is an archive, but not what torch.save(model.state_dict()) writes")
    (top,) = tops
    if f"{top}/byteorder" in inside:
        order = member(inside[f"{top}/byteorder"], archive, data)
        if bytes(order.read(0, min(order.size, 8))) != b"little":
            raise Unreadable(f"{path.name} is big-endian: torch.load and torch.save it on another machine")
    found = []
    for part in ("data", "constants"):
        if f"{top}/{part}.pkl" not in inside:
            continue
        prefix = f"{top}/{part}/"
        stored = {name[len(prefix) :]: info for name, info in inside.items() if name.startswith(prefix)}
        pickled = member(inside[f"{top}/{part}.pkl"], archive, data)
        if any(info.compress_type != zipfile.ZIP_STORED for info in stored.values()) or pickled.forward_only:
            raise Unreadable(
                f"{path.name} was packed again: PyTorch leaves its tensors uncompressed. Zip it with -0"
            )
        if pickled.size > HEADER:
            raise Unreadable(
                f"{path.name} has {pickled.size} bytes of names: torch.save(model.state_dict()) alone"
            )
        root = told(io.BytesIO(pickled.read(0, pickled.size)))
        storages = {key: member(info, archive, data) for key, info in stored.items()}
        begins = "" if part == "data" else f"{part}."
        found += [(begins + name, *rest) for name, *rest in _flat(root, storages, path)]
    return found


def _legacy(path: Path, data: Bytes, most: int = HEADER) -> tuple[object, dict]:
    """What a pickle without an archive describes, and the storages behind it, by their keys.

    torch.save wrote, before 2020, a magic number, a version, the machine, the tensors, the keys of their
    storages in their order; then of each storage its length and its entries. ``most``: bytes up to there.
    """
    head = bytes(data.read(0, min(len(MAGIC), data.size)))
    if head[:1] != b"\x80":
        raise Unreadable(f"{path.name} is not what torch.save writes: torch.save(model.state_dict()) again")
    if head != MAGIC:
        if data.size > LEGACY:
            raise Unreadable(
                f"{path.name} is a pickle of {data.size} bytes: np.savez its arrays, and audit that"
            )
        root = told(io.BytesIO(data.read(0, data.size)))
        return root, _stored_within(root, path)
    file = io.BytesIO(data.read(0, min(data.size, most)))
    _, _, machine, root, keys = (told(file) for _ in range(5))
    if dict(machine.pairs).get("little_endian") is not True:
        raise Unreadable(f"{path.name} is big-endian: torch.load and torch.save it on another machine")
    sizes = {}
    for what in _every(root):
        if what.what == "" and len(what.args) > 2:
            sizes[str(what.args[2])] = _bytes_of(_dtype(what.args[1]))
    storages, at = {}, file.tell()
    for key in map(str, keys.items):
        count = int.from_bytes(data.read(at, 8), "little")
        storages[key] = data.part(at + 8, count * sizes[key])
        at += 8 + count * sizes[key]
    return root, storages


def _stored_within(root: object, path: Path) -> dict[str, Bytes]:
    """The storages that pickle.dump, of tensors, wrote as files of torch.save into the pickle, by new keys.

    What refers to one of them then refers to it as in a file of torch.save.
    """
    storages: dict[str, Bytes] = {}
    read: dict[int, tuple[bytes, tuple]] = {}  # by the identity of the bytes, which they keep alive
    for one in _every(root):
        if one.what == "torch.storage._load_from_bytes":
            (file,) = one.args
            if id(file) not in read:
                if not (isinstance(file, bytes) and file.startswith(MAGIC)):
                    raise Unreadable(f"{path.name} has a storage that torch.save did not write")
                if (len(read) + 1) * HEAD > HEADER:
                    raise Unreadable(f"{path.name} has too many storages: torch.save what it holds")
                storage, inside = _legacy(path, Bytes(io.BytesIO(file), 0, len(file)), HEAD)
                key = str(len(storages))
                storages[key] = inside[str(storage.args[2])]
                read[id(file)] = file, (*storage.args[:2], key, *storage.args[3:])
            one.what, one.args = "", read[id(file)][1]
    return storages


def _every(root: object) -> Iterator[Told]:
    """Everything told of that can be reached, once each."""
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple):
            waiting += value
        elif isinstance(value, Told) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting += [
                *value.args,
                *value.items,
                value.state,
                *(part for pair in value.pairs for part in pair),
            ]
        if len(waiting) > STEPS:
            raise Unreadable("it is nested without end")


def _dtype(named: object) -> str:
    """How safetensors calls the numbers of a storage or dtype; "?" for one that is not known."""
    return DTYPES.get(named.args[0].rpartition(".")[2], "?") if is_name(named) else "?"


def _bytes_of(dtype: str) -> int:
    """What a number takes."""
    if dtype in ("BOOL", "F8_E5M2", "F8_E4M3"):
        return 1
    return int(dtype.strip("CFIUB")) // 8 if dtype != "?" else 1


def _source(name: str, t: Told, storages: dict[str, Bytes]) -> Source:
    """The Source of what would be a tensor or an array."""
    if t.what.startswith("numpy"):
        return _array(name, t)
    _, _, how = t.what.rpartition("_rebuild_")
    if how == "sparse_tensor":  # (layout, (…, values, size, …))
        inside = [part for part in t.args[1] if isinstance(part, Told)]
        size, dtype = inside[-1], _dtype(inside[-2].args[0].args[1])
    elif how == "meta_tensor_no_storage":
        size, dtype = t.args[1], _dtype(t.args[0])
    else:
        storage, offset, size, strides = t.args[:4]
        dtype = _dtype(t.args[6] if how == "tensor_v3" else storage.args[1])
    shape = _shape(name, size)
    if dtype not in NUMBERS and how != "qtensor":  # whose storage is one of integers
        return Source.of_others(name, shape, dtype[0] in "IUB")
    if how in _UNREAD:
        return Source(name, shape, False, 0, None, unread=_UNREAD[how])
    key = str(storage.args[2])
    if key not in storages:
        raise Unreadable(f"{name} is not where the file says")
    view = storage.args[5] if len(storage.args) > 5 else None  # a view, in files of before 2017
    at = (offset + (view[1] if view else 0)) * _bytes_of(dtype)
    return tensor(name, shape, NUMBERS[dtype], storages[key], at, _shape(name, strides))


def _array(name: str, t: Told) -> Source:
    """Of a NumPy array that lies in the pickle: its state is (version, shape, dtype, Fortran, bytes)."""
    _, shape, dtype, fortran, entries = t.state
    shape, code = _shape(name, shape), dtype.args[0]
    order = dtype.state[1] if isinstance(dtype.state, tuple) else "<"
    if not (isinstance(code, str) and re.fullmatch(r"[fiub]\d+", code) and isinstance(entries, bytes)):
        return Source.of_others(name, shape, False)
    if code[0] != "f":
        return Source.of_others(name, shape, True)
    numbers = Numbers(np.dtype((order if order in ("<", ">") else "<") + code))
    strides = c_strides(shape[::-1])[::-1] if fortran else None
    return tensor(name, shape, numbers, Bytes(io.BytesIO(entries), 0, len(entries)), 0, strides)


def _shape(name: str, size: object) -> tuple[int, ...]:
    """A shape or strides: a tuple of whole numbers, or torch.Size of one."""
    sizes = size.args[0] if isinstance(size, Told) and size.what == "torch.Size" else size
    if not isinstance(sizes, tuple) or any(type(n) is not int or n < 0 for n in sizes):
        raise Unreadable(f"{name} claims a shape that is none")
    return sizes


def _flat(root: object, storages: dict[str, Bytes], path: Path) -> list[Tensor]:
    """All tensors and arrays in nested dicts, lists and objects, each with the storages."""
    tensors, waiting, looked_at, seen = [], [("", root, 0)], 0, set()
    while waiting:
        name, value, depth = waiting.pop()
        looked_at += 1
        if depth > 256 or looked_at > STEPS or len(tensors) > TENSORS:
            raise Unreadable(f"{path.name} is nested without end")
        if isinstance(value, tuple):
            inner = list(enumerate(value))
        elif not isinstance(value, Told) or is_name(value):
            continue
        elif value.what in _TENSORS or (value.what.endswith("multiarray._reconstruct") and value.state):
            tensors.append((name or printable(path.stem), value, storages))
            continue
        else:
            inner = [*enumerate(value.items), *value.pairs]
            if value.state is not None:  # an object, which others may refer to
                if id(value) in seen:
                    continue
                seen.add(id(value))
            inner += [*enumerate(value.args), *_attributes(value.state)]
        dot = f"{name}." if name else ""
        waiting += [
            (name if key in _INNER else printable(f"{dot}{key}"), part, depth + 1)
            for key, part in reversed([(_key(key, n), part) for n, (key, part) in enumerate(inner)])
            if isinstance(part, (Told, tuple))
        ]
    return tensors


def _key(key: object, place: int) -> str | int:
    """The key, if it is text or a number; else its place."""
    return key if isinstance(key, (str, int)) else place


def _attributes(state: object) -> list[tuple]:
    """(name, value) of an object's attributes, its ``__dict__`` and slots; of a module, its state_dict's."""
    parts = state if isinstance(state, tuple) else (state,)
    found = [pair for part in parts if isinstance(part, Told) for pair in part.pairs]
    inner = [pair for pair in found if pair[0] in _INNER]
    return inner or found
