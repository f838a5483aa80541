"""PyTorch's .pt and .pth: a pickle of tensors in a ZIP archive, or, before 2020, in a file of its own.

The pickle is checked step by step before PyTorch's restricted unpickler sees it: nothing in it is run.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .archive import archive_in, member
from .protocol import HEADER, TENSORS, Bytes, Source, Unreadable, needed, printable, register
from .raw import NUMBERS, Numbers, blocks_of_array, tensor

LEGACY = 2**28  # bytes of a PyTorch file from before 2020: it can only be read whole
STEPS = 2**21  # of a pickle

# What a pickle may name, by module: the classes and functions that torch.save writes for tensors.
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


@register(".pt", ".pth")
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The tensors in nested dicts and lists, called by their keys with dots between."""
    torch = needed("torch")
    zipped = data.read(0, min(4, data.size)) == b"PK\3\4"
    if zipped:
        archive = archive_in(path, data, stack)
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise Unreadable(f"{path.name} was packed again: PyTorch leaves its tensors uncompressed")
        inside = [info for info in archive.infolist() if info.filename.split("/")[1:] == ["data.pkl"]]
        if len(inside) != 1 or any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise Unreadable(f"{path.name} is an archive, but not what torch.save(model.state_dict()) writes")
        pickled = member(inside[0], archive, data)
        if pickled.size > HEADER:
            raise Unreadable(f"{path.name} has {pickled.size} bytes of names")
        _check_pickle(path, io.BytesIO(pickled.read(0, pickled.size)))
    else:
        if data.size > LEGACY:
            raise Unreadable(f"{path.name} is in PyTorch's format of before 2020: torch.save it again")
        file = io.BytesIO(data.read(0, data.size))
        for _ in range(5):  # pickles: a magic number, a version, the machine, the tensors, their order
            _check_pickle(path, file)
        del file
    with warnings.catch_warnings(), _stand_ins(torch):
        warnings.simplefilter("ignore")
        # A tensor on "meta" has a place in the file and no entries: nothing is mapped, nothing allocated.
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
    members = {part.start: part for part in (member(info, archive, data) for info in inside)}
    made = []
    for name, t in tensors:
        numbers = NUMBERS.get(known.get(t.dtype))
        unread = "quantized" if hasattr(t, "stands_in") else "sparse"
        if numbers and (unread == "quantized" or t.layout != torch.strided):
            made.append(Source(name, tuple(t.shape), False, 0, None, unread=unread))
        elif numbers and zipped:
            made.append(_in_member(name, t, numbers, members))
        elif numbers:
            made.append(_in_memory(name, t.detach(), numbers))
        else:
            made.append(Source.of_others(name, t.shape, not (t.is_floating_point() or t.is_complex())))
    return made


def _stand_ins(torch):
    """A context in which torch.load keeps of a quantized tensor its shape: "meta" has no quantized ones."""
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


def _in_member(name: str, t, numbers: Numbers, members: dict[int, Bytes]) -> Source:
    """The Source of a tensor on "meta", whose storage is one of the archive's ``members``, by their start."""
    start = getattr(t.untyped_storage(), "_checkpoint_offset", None)
    if start is None:
        raise Unreadable("needs a newer torch")
    if start not in members:
        raise Unreadable(f"{name} is not where the archive says")
    at = t.storage_offset() * numbers.dtype.itemsize
    return tensor(name, tuple(t.shape), numbers, members[start], at, t.stride())


def _in_memory(name: str, t, numbers: Numbers) -> Source:
    """The Source of a tensor that the format from before 2020 made torch load."""
    import torch

    raw = t.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[t.element_size()])
    array = raw.numpy().view(numbers.dtype)

    def blocks(matrix):
        for block in blocks_of_array(array, matrix):
            yield block._replace(entries=numbers.of(np.ascontiguousarray(block.entries)))

    return Source(name, tuple(t.shape), False, array.nbytes, blocks, numbers.epsilon)


def _check_pickle(path: Path, file: io.BytesIO) -> None:
    """Unreadable where the next pickle in ``file`` names anything but what tensors are made of.

    The pickle's steps are read, not taken. PyTorch's ``weights_only`` refuses what runs code too, but takes
    steps that fill the memory, such as bytearray(10**11).
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


def _flat(torch, found, path: Path) -> list[tuple]:
    """(name, tensor) of all tensors in nested dicts and lists."""
    tensors, waiting, looked_at = [], [("", found, 0)], 0
    while waiting:
        name, value, depth = waiting.pop()
        looked_at += 1
        if depth > 64 or looked_at > STEPS or len(tensors) > TENSORS:
            raise Unreadable(f"{path.name} is nested without end")
        if isinstance(value, torch.Tensor):
            tensors.append((name or printable(path.stem), value))
        elif isinstance(value, (dict, list, tuple)):
            inner = list(value.items() if isinstance(value, dict) else enumerate(value))
            dot = f"{name}." if name else ""
            waiting += [(printable(f"{dot}{key}"), v, depth + 1) for key, v in reversed(inner)]
    return tensors
