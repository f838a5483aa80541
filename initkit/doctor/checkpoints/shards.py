"""A model in several files: a folder, or an index that names the file of each tensor, as Hugging Face has it.

``model.safetensors.index.json`` holds {"weight_map": {name of a tensor: name of a file}}. All files are read
together, as weights are judged against each other.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from .protocol import HEADER, NAMES, READERS, Unreadable, format_names, printable

INDEX = ".index.json"
NAMES.append(INDEX)
FILES = 4096  # of one model
_SHARD = re.compile(r"^(.+)-(\d{5,})-of-(\d{5,})\.(safetensors|bin)$")
# Of several files in a folder, the first of these is the model, else the first of the other ``READERS``.
_FIRST = (".safetensors", ".bin", ".keras", ".h5", ".ckpt", ".pth", ".pt", ".npz", ".onnx")
# What trainers save beside it.
_BESIDE = re.compile(r"^(training_args|optimizer|scheduler|scaler|rng_state|random_states|sampler)")


def files_of(path: Path) -> list[Path]:
    """The files that hold the model: those of a folder or an index; else the one file, whatever it is."""
    if path.is_dir():
        return _in_folder(path)
    if path.name.lower().endswith(INDEX) and path.is_file():
        return _of_index(path)
    return [path]


def _of_index(path: Path) -> list[Path]:
    if path.stat().st_size > HEADER:
        raise Unreadable(f"{path.name} has {path.stat().st_size} bytes of names")
    found = json.loads(path.read_text(encoding="utf-8"))
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict) or not places:
        raise Unreadable(
            f"{path.name} has no weight_map, that names the files: audit a file of weights itself"
        )
    names = list(dict.fromkeys(places.values()))
    if len(names) > FILES:
        raise Unreadable(f"{path.name} names {len(names)} files")
    return [beside(path, name) for name in names]


def beside(path: Path, name: object) -> Path:
    """The file in the folder of ``path`` that ``path`` calls ``name``; Unreadable where it is none."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name or name in ("", ".", ".."):
        raise Unreadable(f"{path.name} names {printable(name)}, which is no file beside it")
    if not (path.parent / name).is_file():
        raise Unreadable(f"{path.name} names {printable(name)}, which is not there: fetch all its files")
    return path.parent / name


def _in_folder(folder: Path) -> list[Path]:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and not _BESIDE.match(p.name))
    for suffix in dict.fromkeys((*_FIRST, *READERS)):
        of_suffix = [name for name in names if name.lower().endswith(suffix)]
        if len(index := [name for name in names if name.lower().endswith(f"{suffix}{INDEX}")]) == 1:
            return _of_index(folder / index[0])
        shards = [_SHARD.match(name) for name in of_suffix]
        if of_suffix and all(shards) and len({(shard[1], shard[3]) for shard in shards}) == 1:
            if len(shards) < int(shards[0][3]):
                raise Unreadable(
                    f"{folder.name} holds {len(shards)} of {int(shards[0][3])} files: fetch the others"
                )
            return [folder / name for name in of_suffix]
        if len(of_suffix) > 1:
            some = ", ".join(of_suffix[:3]) + (", …" if len(of_suffix) > 3 else "")
            raise Unreadable(f"{folder.name} is a directory of several models: name one of {some}")
        if of_suffix:
            return [folder / of_suffix[0]]
    if (folder / ".metadata").exists():
        raise Unreadable(
            f"{folder.name} is a directory of torch.distributed.checkpoint: "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER w.pt, and audit that"
        )
    raise Unreadable(f"{folder.name} is a directory without weights: none of {', '.join(format_names())}")
