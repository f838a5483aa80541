"""Keras' .weights.h5: HDF5, whose tensors a process of its own finds, as the HDF5 library may crash on it.

A .keras file is a ZIP archive with such a file in it, uncompressed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ..scan import LOOKED_AT, evenly
from .archive import archive_in, member
from .protocol import Block, Bytes, Source, Unreadable, cannot_load, missing, printable, register
from .raw import Numbers, blocks_of_array, tensor

SECONDS = 120  # for one answer of the process


WEIGHTS = "model.weights.h5"


@register(".h5", name=".weights.h5", begins=rb"\x89HDF\r\n\x1a\n")
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The datasets of numbers in all groups, by their paths."""
    if importlib.util.find_spec("h5py") is None:
        raise missing("h5py")
    # Where it is a part of a file, the process is told which.
    inside = (f"{data.start}+{data.size}",) if data.start else ()
    found = [json.loads(line) for line in ask_hdf5(path, *inside).splitlines()]
    return [_dataset(path, i, data, inside, **dataset) for i, dataset in enumerate(found)]


@register(".keras", holds=f"^{re.escape(WEIGHTS)}$")
def read_keras(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The datasets of the one HDF5 file in the archive."""
    archive = archive_in(path, data, stack)
    if WEIGHTS not in archive.namelist():
        raise Unreadable(f"{path.name} is an archive without {WEIGHTS}: unpack it, and audit what is in it")
    part = member(archive.getinfo(WEIGHTS), archive, data)
    if part.forward_only:
        raise Unreadable(f"{path.name} is compressed, as Keras leaves none: unpack it, and audit {WEIGHTS}")
    return read(path, part, stack)


def _dataset(
    path: Path,
    i: int,
    data: Bytes,
    inside: tuple[str, ...],
    name: str,
    shape: list[int],
    dtype: str,
    at: int | None,
    rows: int = 1,
) -> Source:
    """The Source of dataset ``i``: read from ``data`` where it lies there ``at`` a place, else by HDF5.

    ``rows``: how many rows of its first axis HDF5 is to be asked for at once.
    """
    name, shape = printable(name), tuple(shape)
    if np.dtype(dtype).kind != "f":
        return Source.of_others(name, shape, True)
    numbers = Numbers(np.dtype(dtype))
    if at is not None:
        return tensor(name, shape, numbers, data, at, units_last=True)

    def blocks(matrix) -> Iterator[Block]:
        row = math.prod(shape[1:])
        starts = range(0, shape[0] if shape else 1, rows)
        for k in evenly(len(starts), max(1, LOOKED_AT // (rows * row))):
            answer = ask_hdf5(path, *inside, str(i), str(starts[k]), str(starts[k] + rows))
            part = np.frombuffer(answer, numbers.dtype)
            part = part.reshape(-1, matrix[1]) if len(shape) > 1 else part[None]
            above, left = divmod(starts[k] * row, matrix[1])
            for block, r, c in blocks_of_array(part, part.shape):
                yield Block(block, above + r, left + c)

    nbytes = math.prod(shape) * numbers.dtype.itemsize
    return Source(name, shape, len(shape) > 1, nbytes, blocks, numbers.epsilon)


def ask_hdf5(path: Path, *which: str) -> bytes:
    """What the program ``_hdf5.py`` answers on this file: its datasets, or the rows ``which`` of one.

    The first of ``which`` may be "start+size": the part of the file that is HDF5.
    """
    program = Path(__file__).with_name("_hdf5.py")
    command = [sys.executable, "-P", program, path.absolute(), *which]
    # It forms no product; each thread of BLAS would only take 41 MB of addresses from the file's share.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    slow = Unreadable(f"{path.name} was given up: HDF5 has not read it in {SECONDS} s")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise slow from None
    except OSError as e:  # as in WebAssembly
        raise Unreadable(f".h5 files are read in a process of their own, which cannot be started: {e}") from e
    said = done.stderr.decode(errors="replace").strip().splitlines()
    loaded, _, answer = done.stdout.partition(b"\n")
    if loaded != b"loaded":
        raise cannot_load("h5py", said[-1] if said else f"exit status {done.returncode}")
    if done.returncode == -getattr(signal, "SIGXCPU", 0) != 0:
        raise slow
    if done.returncode:
        crashed = done.returncode != 1 or not said
        raise Unreadable(f"{path.name} is broken: " + ("HDF5 crashed on it" if crashed else said[-1]))
    return answer
