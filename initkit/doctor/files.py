"""Checkpoints, read as what a stranger sent: nothing in them is run, and neither lies nor size cost memory.

A file is opened and measured before anything is read from it; then its tensors come one by one, each in the
blocks that ``scan`` asks for. Blocks are read, not mapped: mapped pages count as memory once they were looked
at, and a mapped file that shrinks ends the process.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import pickletools
import signal
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .scan import BLOCK, LOOKED_AT, Scan, evenly, matrix_shape, pieces, scan

HEADER = 2**24  # bytes of names and shapes in a file
TENSORS = 2**17  # in a file
WHOLE = 2**27  # bytes that are read at once where it cannot be done in blocks
LEGACY = 2**28  # bytes of a PyTorch file from before 2020: it can only be read whole
LARGEST = 2**38  # elements of a tensor
EXPANSION, FREE = 100, 2**30  # a file stands for so many times its size at most, or for a GiB
DEFLATE = 1032  # bytes that one byte can stand for
STEPS = 2**21  # of a pickle
HDF5_SECONDS = 120  # for one answer of the process that reads .h5
CUT = "cut short: it ends before its tensors do"

ALLOWED_GLOBALS = {
    "collections": {"OrderedDict", "Counter"},
    "torch": {"Size", "device", "UntypedStorage"},
    "torch.storage": {"UntypedStorage", "TypedStorage"},
    "torch.nn.parameter": {"Parameter"},
    "torch.serialization": {"_get_layout"},
    "torch._utils": {
        "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_sparse_tensor", "_rebuild_qtensor",
    },
}  # fmt: skip


class Unreadable(ValueError):
    """What is wrong with a file, in one line."""

    def __init__(self, message: str):
        self.message = shown(message)
        super().__init__(self.message)


def shown(name) -> str:
    """``name`` as it can be printed: one line, no control characters, not endless."""
    name = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    name = name if len(name) <= 300 else name[:299] + "…"
    if name.isprintable():  # nearly always, and a file may have many
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


@dataclass(frozen=True)
class Source:
    """A tensor in a file. ``units_last``: its last axis counts the units, as in Keras, not its first."""

    name: str
    shape: tuple[int, ...]
    units_last: bool
    nbytes: int  # as the file declares them
    _blocks: Callable | None = field(repr=False)  # matrix shape -> (block, row, column), …; None: not read
    _epsilon: float = 0.0
    unread: str | None = None  # why it is not: "sparse", "quantized"

    def scan(self) -> Scan | None:
        """What ``identify`` and ``audit`` need to know of it; None where it has no entry, or is not read."""
        if 0 in self.shape or self._blocks is None:
            return None
        shape = matrix_shape(self.shape, self.units_last)
        return scan(self._readable(shape), shape, self.shape[-1] if len(self.shape) > 2 else 1, self._epsilon)

    def _readable(self, shape) -> Iterator:
        with _one_line(f"{self.name} cannot be read"):
            yield from self._blocks(shape)


def sources(path) -> Iterator[Source]:
    """The tensors of floating-point numbers in a checkpoint, to be scanned one after the other.

    Reads .safetensors, .npy, .npz, .pt and .pth (a ``state_dict``, or nested dicts of tensors) and Keras'
    .weights.h5. Integers, booleans, strings and complex numbers are passed over; PyTorch's sparse and
    quantized tensors are listed, and not read. The file is open until the iterator ends. Raises Unreadable,
    here or in ``Source.scan``.
    """
    with ExitStack() as stack:
        with _one_line("cannot be read"):
            path = Path(path)
            suffix = path.suffix.lower()
            if suffix not in READERS:
                raise Unreadable(
                    f"{path.name}: none of .safetensors, .npz, .npy, .pt (or .pth) and Keras' .weights.h5"
                )
        with _one_line(f"{path.name} cannot be read"):
            if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a pipe would wait for a writer
                raise Unreadable(f"{path.name} is not a file" + (": a directory" if path.is_dir() else ""))
            file = stack.enter_context(open(path, "rb", buffering=0))
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise Unreadable(f"{path.name} is empty")
        with _one_line(f"{path.name} is not a readable {suffix} file"):
            found = READERS[suffix](path, _Bytes(file, 0, size), stack)
            _check(path, found, size)
        yield from found


def _check(path: Path, found: list[Source], size: int) -> None:
    if not found:
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


@contextmanager
def _one_line(what: str):
    """Whatever a parser raises on bytes that somebody made up becomes one line."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as e:
        said = (getattr(e, "strerror", None) or str(e)).strip() or type(e).__name__
        raise Unreadable(f"{what}: {said.splitlines()[0]}") from e


# Bytes, numbers, blocks ----------------------------------------------------------------------------


class _Bytes:
    """``size`` bytes of a file, from ``start`` on."""

    forward_only = False

    def __init__(self, file, start: int, size: int):
        self.file, self.start, self.size = file, start, size

    def read(self, at: int, count: int) -> bytearray:
        self.file.seek(self.part(at, count).start)
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self.file.readinto(view)
            if not got:
                raise Unreadable(CUT)
            view = view[got:]
        return data

    def part(self, start: int, size: int) -> _Bytes:
        if start < 0 or start + size > self.size:
            raise Unreadable(CUT)
        return _Bytes(self.file, self.start + start, size)

    def close(self) -> None:
        pass


class _Deflated:
    """A compressed member of an archive: read from front to back."""

    forward_only = True

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo):
        self.archive, self.info, self.size = archive, info, info.file_size
        self.stream, self.at = None, 0

    def read(self, at: int, count: int) -> bytes:
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
        if self.stream is not None:
            self.stream.close()
            self.stream = None


@dataclass(frozen=True)
class _Numbers:
    """How bytes become numbers: as ``dtype`` says, or by ``decode``, for what NumPy has no dtype for.

    ``rounding``: by how much such a number may have been rounded.
    """

    dtype: np.dtype
    decode: Callable | None = None
    rounding: float | None = None

    @property
    def epsilon(self) -> float:
        return self.rounding or float(np.finfo(self.dtype).eps)

    def of(self, raw: np.ndarray) -> np.ndarray:
        return self.decode(raw) if self.decode else raw


def _e4m3() -> np.ndarray:
    """The 256 values of float8_e4m3fn (Micikevicius et al. 2022): no infinity, NaN where all bits are set."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent > 0, (8 + mantissa) * 2.0 ** (exponent - 10), mantissa * 2.0**-9)
    value[code & 127 == 127] = np.nan
    return np.where(code < 128, value, -value).astype(np.float32)


NUMBERS = {
    "F64": _Numbers(np.dtype("<f8")),
    "F32": _Numbers(np.dtype("<f4")),
    "F16": _Numbers(np.dtype("<f2")),
    "BF16": _Numbers(np.dtype("<u2"), lambda raw: (raw.astype(np.uint32) << 16).view(np.float32), 2.0**-8),
    "F8_E5M2": _Numbers(np.dtype("u1"), lambda raw: (raw.astype(np.uint16) << 8).view(np.float16), 2.0**-3),
    "F8_E4M3": _Numbers(np.dtype("u1"), lambda raw: _e4m3()[raw], 2.0**-4),
}


def _source(name, shape, numbers: _Numbers, data, at=0, strides=None, units_last=False) -> Source:
    """A tensor whose first element lies ``at`` bytes into ``data``. ``strides``: in elements."""
    size, item = math.prod(shape), numbers.dtype.itemsize
    strides = _c_strides(shape) if strides is None else tuple(strides)
    # Of an axis of length 1 the stride says nothing.
    plain = all(n == 1 or s == c for n, s, c in zip(shape, strides, _c_strides(shape), strict=True))
    span = size if plain else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if at < 0 or (size and at + span * item > data.size):
        raise Unreadable(f"{name} has shape {shape}, and the file ends before it does")

    def numbers_at(start, count):
        return numbers.of(np.frombuffer(data.read(at + start * item, count * item), numbers.dtype))

    def blocks(matrix):
        try:
            if plain:
                yield from _in_order(numbers_at, matrix)
            elif span * item <= WHOLE:
                everything = numbers_at(0, span)
                steps = [s * everything.itemsize for s in strides]
                view = np.lib.stride_tricks.as_strided(everything, shape, steps, writeable=False)
                yield from _of_array(view, matrix)
            else:
                yield from _by_lines(numbers_at, shape, strides, data.forward_only)
        finally:
            data.close()

    units_last = units_last and len(shape) > 1
    return Source(name, tuple(shape), units_last, size * item, blocks, numbers.epsilon)


def _c_strides(shape) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _in_order(numbers_at, matrix):
    columns = matrix[1]
    for r, r_end, c, c_end in pieces(matrix):  # either whole rows, or a part of one
        found = numbers_at(r * columns + c, (r_end - r) * (c_end - c))
        yield found.reshape(r_end - r, c_end - c), r, c


def _of_array(array, matrix):
    """Blocks of an array in memory whose axes may lie in any order, or be one entry shown many times."""
    if array.ndim < 2 or array.flags.c_contiguous:
        array = array.reshape(matrix)
    elif array.ndim > 2 and matrix[1] > 2**24:
        raise Unreadable("its entries lie scattered: save a contiguous copy")
    for r, r_end, c, c_end in pieces(matrix):
        yield array[r:r_end].reshape(r_end - r, -1)[:, c:c_end], r, c


def _by_lines(numbers_at, shape, strides, forward_only):
    """Blocks of a matrix too large to be read whole, whose columns lie one after the other; or whose rows do,
    with something between them."""
    rows, columns = shape if len(shape) == 2 else (0, 0)
    if strides[-2:] == (1, rows) and rows <= columns:  # what lies together is read together
        for c, c_end, r, r_end in pieces((columns, rows)):
            found = numbers_at(c * rows + r, (c_end - c) * (r_end - r))
            yield found.reshape(c_end - c, r_end - r).T, r, c
    elif rows and 1 in strides and not forward_only:
        across = strides[1] == 1
        for r, r_end, c, c_end in pieces(shape):
            if across:
                lines = [numbers_at(i * strides[0] + c, c_end - c) for i in range(r, r_end)]
            else:
                lines = [numbers_at(r + j * strides[1], r_end - r) for j in range(c, c_end)]
            yield (np.stack(lines) if across else np.stack(lines, axis=1)), r, c
    else:
        raise Unreadable("its entries lie scattered: save a contiguous copy")


# Formats -------------------------------------------------------------------------------------------


def _needs(package: str, extra: str):
    try:
        return __import__(package)
    except ModuleNotFoundError as e:
        if e.name == package:
            raise Unreadable(f'needs {package}: pip install "initkit[{extra}]"') from None
        raise _cannot_load(package, e) from e
    except Exception as e:  # whatever a package raises that does not fit the others
        raise _cannot_load(package, e) from e


def _cannot_load(package: str, why) -> Unreadable:
    """A package that is there and does not work says nothing of the file."""
    why = (str(why).strip() or type(why).__name__).splitlines()[0]
    return Unreadable(
        f"{package} is installed but cannot be loaded ({why[:200]}): the file was not looked at; "
        f"pip install --upgrade {package}, so that it fits the NumPy beside it"
    )


def _safetensors(path, data, stack) -> list[Source]:
    safetensors = _needs("safetensors", "doctor")
    length = int.from_bytes(data.read(0, 8), "little")
    if length > min(HEADER, data.size - 8):
        raise Unreadable(f"{path.name} is not a .safetensors file: a header of {length} bytes")
    with safetensors.safe_open(path, framework="numpy"):
        pass  # shapes agree with offsets, and these with the file's length: else it has raised
    header = json.loads(data.read(8, length), object_pairs_hook=_no_two)
    header.pop("__metadata__", None)
    return [
        _source(shown(name), tuple(t["shape"]), NUMBERS[t["dtype"]], data, 8 + length + t["data_offsets"][0])
        for name, t in header.items()
        if t["dtype"] in NUMBERS
    ]


def _no_two(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("two tensors have the same name")
    return found


def _npy(path, data, stack) -> list[Source]:
    found = _array_in(shown(path.stem), data)
    if isinstance(found, np.dtype):
        what = "Python objects, which are not loaded" if found.hasobject else f"{found}, not floating-point"
        raise Unreadable(f"{path.name} holds {what}")
    return [found]


def _array_in(name: str, data) -> Source | np.dtype:
    """The array in bytes of the .npy format; its dtype, where it is none of floating-point numbers."""
    try:  # a header that claims to be long stays short
        head = io.BytesIO(data.read(0, min(data.size, 2**16)))
    finally:
        data.close()
    version = np.lib.format.read_magic(head)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}.get(version[0])
    if read is None:
        return np.dtype("V")  # only for structures with names beyond Latin-1
    shape, fortran, dtype = read(head)
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise Unreadable(f"{name} claims a shape of {shape}")
    if dtype.kind != "f":
        return dtype
    strides = _c_strides(shape[::-1])[::-1] if fortran else None
    return _source(name, shape, _Numbers(dtype), data, head.tell(), strides)


def _npz(path, data, stack) -> list[Source]:
    archive = _archive(path, data, stack)
    found = [
        _array_in(shown(info.filename[:-4]), _member(info, archive, data))
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    ]
    numbers = [source for source in found if isinstance(source, Source)]
    if not numbers and any(dtype.hasobject for dtype in found):
        raise Unreadable(f"{path.name} holds only Python objects, which are not loaded")
    return numbers


def _archive(path, data, stack) -> zipfile.ZipFile:
    tail = data.read(max(0, data.size - 2**17), min(data.size, 2**17))
    end = tail.rfind(b"PK\5\6")
    directory = int.from_bytes(tail[end + 12 : end + 16], "little")
    end64 = tail[max(0, end - 76) : max(0, end - 20)]
    if end64[:4] == b"PK\6\6":
        directory = int.from_bytes(end64[40:48], "little")
    if end < 0 or directory > HEADER:
        raise Unreadable(f"{path.name} is cut short, or no archive")
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise Unreadable(f"{path.name} holds two members of the same name")
    if len(names) > TENSORS:
        raise Unreadable(f"{path.name} holds {len(names)} members")
    return archive


def _member(info: zipfile.ZipInfo, archive, data):
    name, size, packed = shown(info.filename), info.file_size, info.compress_size
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable(f"{name} is encrypted, or packed in a way NumPy never does")
    if info.compress_type == zipfile.ZIP_DEFLATED:
        if size > DEFLATE * packed + 1024 or packed > data.size:
            raise Unreadable(f"{name} claims {size} bytes, which {packed} cannot stand for")
        return _Deflated(archive, info)
    local = data.read(info.header_offset, 30)
    if local[:4] != b"PK\3\4" or size != packed:
        raise Unreadable(f"{name} is not where the archive says")
    skip = 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return data.part(info.header_offset + skip, size)


def _torch(path, data, stack) -> list[Source]:
    torch = _needs("torch", "torch")
    zipped = data.read(0, min(4, data.size)) == b"PK\3\4"
    if zipped:
        archive = _archive(path, data, stack)
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise Unreadable(f"{path.name} was packed again: PyTorch leaves its tensors uncompressed")
        inside = [info for info in archive.infolist() if info.filename.split("/")[1:] == ["data.pkl"]]
        if len(inside) != 1 or any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise Unreadable(f"{path.name} is an archive, but not what torch.save(model.state_dict()) writes")
        pickled = _member(inside[0], archive, data)
        if pickled.size > HEADER:
            raise Unreadable(f"{path.name} has {pickled.size} bytes of names")
        _check_pickle(path, io.BytesIO(pickled.read(0, pickled.size)))
    else:
        if data.size > LEGACY:
            raise Unreadable(f"{path.name} is in PyTorch's format of before 2020: torch.save it again")
        file = io.BytesIO(data.read(0, data.size))
        for _ in range(5):  # a number, a version, the machine, the tensors, their order
            _check_pickle(path, file)
        del file
    with warnings.catch_warnings(), _stand_ins(torch):
        warnings.simplefilter("ignore")
        # On "meta" tensors have no entries, only a place in the file: nothing is mapped, nothing allocated.
        found = torch.load(path, map_location="meta" if zipped else "cpu", weights_only=True, mmap=zipped)
    tensors = _flat(torch, found, path)
    if not zipped:
        whole = [t.untyped_storage() for _, t in tensors if t.layout == torch.strided and not t.is_meta]
        if sum({storage.data_ptr(): storage.nbytes() for storage in whole}.values()) > data.size:
            raise Unreadable(f"{path.name} ends before its tensors do")
    known = {
        torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
        torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fn: "F8_E4M3",
    }  # fmt: skip
    inside = [info for info in archive.infolist() if not info.is_dir()] if zipped else []
    members = {member.start: member for member in (_member(info, archive, data) for info in inside)}
    made = []
    for name, tensor in tensors:
        numbers = NUMBERS.get(known.get(tensor.dtype))
        unread = "quantized" if hasattr(tensor, "stands_in") else "sparse"
        if numbers and (unread == "quantized" or tensor.layout != torch.strided):
            made.append(Source(name, tuple(tensor.shape), False, 0, None, unread=unread))
        elif numbers and zipped:
            made.append(_torch_source(name, tensor, numbers, members))
        elif numbers:
            made.append(_legacy_source(name, tensor.detach(), numbers))
    return made


def _stand_ins(torch):
    """While it is entered, a quantized tensor is loaded as its shape: on "meta" there are none."""
    quantized = torch._empty_affine_quantized, torch._empty_per_channel_affine_quantized

    class StandIn(torch.Tensor):
        stands_in = True

        def set_(self, *place):
            return self

    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in quantized:
                return torch.empty(args[0], dtype=torch.float32, device="meta").as_subclass(StandIn)
            return func(*args, **(kwargs or {}))

    return Mode()


def _torch_source(name, tensor, numbers, members: dict) -> Source:
    start = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    if start is None:
        raise Unreadable("needs a newer torch")
    if start not in members:
        raise Unreadable(f"{name} is not where the archive says")
    at = tensor.storage_offset() * numbers.dtype.itemsize
    return _source(name, tuple(tensor.shape), numbers, members[start], at, tensor.stride())


def _legacy_source(name, tensor, numbers) -> Source:
    import torch

    raw = tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])
    array = raw.numpy().view(numbers.dtype)

    def blocks(matrix):
        return ((numbers.of(np.ascontiguousarray(b)), r, c) for b, r, c in _of_array(array, matrix))

    return Source(name, tuple(tensor.shape), False, array.nbytes, blocks, numbers.epsilon)


def _check_pickle(path, file) -> None:
    """Does it name only what makes tensors? Reads the steps, takes none.

    ``weights_only`` would refuse what runs code; but it takes steps that fill the memory, such as
    bytearray(10**11).
    """
    for step, (op, argument, _) in enumerate(pickletools.genops(file)):
        if step > STEPS:
            raise Unreadable(f"{path.name} holds more than {STEPS} steps of a pickle")
        if op.name in ("INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise Unreadable(f"{path.name} asks for more than tensors ({op.name})")
        if op.name == "GLOBAL":
            module, _, name = argument.partition(" ")
            harmless = module == "torch" and (name.endswith("Storage") or name[:1].islower())  # or a dtype
            if not harmless and name not in ALLOWED_GLOBALS.get(module, ()):
                raise Unreadable(
                    f"{path.name} asks for {module}.{name}, which is not run: save model.state_dict() alone"
                )


def _flat(torch, found, path) -> list:
    """(name, tensor) of all tensors in nested dicts and lists."""
    tensors, waiting, looked_at = [], [("", found, 0)], 0
    while waiting:
        name, value, depth = waiting.pop()
        looked_at += 1
        if depth > 64 or looked_at > STEPS or len(tensors) > TENSORS:
            raise Unreadable(f"{path.name} is nested without end")
        if isinstance(value, torch.Tensor):
            tensors.append((name or shown(path.stem), value))
        elif isinstance(value, (dict, list, tuple)):
            inner = list(value.items() if isinstance(value, dict) else enumerate(value))
            dot = f"{name}." if name else ""
            waiting += [(shown(f"{dot}{key}"), v, depth + 1) for key, v in reversed(inner)]
    return tensors


def _h5(path, data, stack) -> list[Source]:
    if importlib.util.find_spec("h5py") is None:
        raise Unreadable('needs h5py: pip install "initkit[doctor]"')
    found = [json.loads(line) for line in _hdf5(path).splitlines()]
    return [_h5_source(path, i, data, **tensor) for i, tensor in enumerate(found)]


def _h5_source(path, i: int, data, name: str, shape: list, dtype: str, at: int | None, rows=None) -> Source:
    name, shape, numbers = shown(name), tuple(shape), _Numbers(np.dtype(dtype))
    if at is not None:
        return _source(name, shape, numbers, data, at, units_last=True)

    def blocks(matrix):
        row = math.prod(shape[1:])
        starts = range(0, shape[0] if shape else 1, rows)
        for k in evenly(len(starts), max(1, LOOKED_AT // (rows * row))):
            part = np.frombuffer(_hdf5(path, str(i), str(starts[k]), str(starts[k] + rows)), numbers.dtype)
            part = part.reshape(-1, matrix[1]) if len(shape) > 1 else part[None]
            above, left = divmod(starts[k] * row, matrix[1])
            for block, r, c in _of_array(part, part.shape):
                yield block, above + r, left + c

    nbytes = math.prod(shape) * numbers.dtype.itemsize
    return Source(name, shape, len(shape) > 1, nbytes, blocks, numbers.epsilon)


def _hdf5(path: Path, *which: str) -> bytes:
    """What the process says that opens the file, as the HDF5 library may crash on it."""
    program = Path(__file__).with_name("_hdf5.py")
    command = [sys.executable, "-P", program, path.absolute(), *which]
    # No product is formed there: each thread of BLAS would take 41 MB of addresses for nothing.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    slow = Unreadable(f"{path.name} was given up: HDF5 has not read it in {HDF5_SECONDS} s")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=HDF5_SECONDS,
            check=False,
            env=alone,
        )
    except subprocess.TimeoutExpired:
        raise slow from None
    except OSError as e:  # as in WebAssembly
        raise Unreadable(f".h5 files are read in a process of their own, which cannot be started: {e}") from e
    said = done.stderr.decode(errors="replace").strip().splitlines()
    loaded, _, answer = done.stdout.partition(b"\n")
    if loaded != b"loaded":
        raise _cannot_load("h5py", said[-1] if said else f"exit status {done.returncode}")
    if done.returncode == -getattr(signal, "SIGXCPU", 0) != 0:
        raise slow
    if done.returncode:
        crashed = done.returncode != 1 or not said
        raise Unreadable(f"{path.name} is broken: " + ("HDF5 crashed on it" if crashed else said[-1]))
    return answer


READERS = {
    ".safetensors": _safetensors,
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _torch,
    ".pth": _torch,
    ".h5": _h5,
}
