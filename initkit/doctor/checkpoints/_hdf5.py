"""A program that finds the tensors of an HDF5 file, and may die of it. It imports nothing of initkit.

Bytes that somebody made up can crash the HDF5 library: of 5,000 files with a few bytes changed, 11 crashed
HDF5 2.0. So ``keras`` runs this file as a process of its own. ``python -P _hdf5.py FILE`` writes one line of
JSON a tensor; ``python -P _hdf5.py FILE 3 0 100`` writes the bytes of rows 0 to 100 of the fourth tensor. An
argument 512+9000 right after FILE says that 9,000 bytes from byte 512 on are the HDF5 file. The
line "loaded" comes before either; without it h5py could not be loaded, and the file was not opened.
"""

import io
import json
import math
import sys

TENSORS = 2**17  # tensors and groups in a file
WHOLE = 2**27  # bytes that are unpacked at once, of a tensor in chunks
MEMORY, SECONDS = 2**31, 60  # bytes, and seconds of computing, that one file may cost


class Part(io.RawIOBase):
    """``size`` bytes of a file from ``start`` on, as a file."""

    def __init__(self, file, start, size):
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self):
        """It is."""
        return True

    def seekable(self):
        """It is."""
        return True

    def seek(self, to, whence=0):
        """As files do."""
        self.at = to + (0, self.at, self.size)[whence]
        return self.at

    def readinto(self, buffer):
        """As files do."""
        self.file.seek(self.start + self.at)
        count = self.file.readinto(memoryview(buffer)[: max(0, self.size - self.at)])
        self.at += count
        return count


def tensors(h5py, path):
    """({name, shape, dtype, at, rows}, dataset) of each tensor.

    ``at``: where its entries lie in the file; None where only HDF5 can unpack them, ``rows`` rows at a time.
    """
    opened = h5py.File(path, "r") if isinstance(path, Part) else h5py.File(path, "r", locking=False)
    with opened as file:
        seen, waiting, count = set(), [file], 0
        while waiting:
            group = waiting.pop()
            place = h5py.h5o.get_info(group.id).addr
            if place in seen:  # a group may contain itself
                continue
            seen.add(place)
            inner = []
            for name in group:
                count += 1
                if count > TENSORS:
                    raise ValueError(f"it holds more than {TENSORS} objects")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue  # a link, to somewhere in this file or to another file
                item = group[name]
                if isinstance(item, h5py.Group):
                    inner.append(item)
                elif isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "fiub":
                    yield _described(h5py, item), item
            waiting += reversed(inner)


def _described(h5py, item) -> dict:
    name = item.name.lstrip("/")[:300]
    if item.dtype.kind != "f":  # it is named, and never read
        return {"name": name, "shape": item.shape, "dtype": item.dtype.str, "at": None}
    made = item.id.get_create_plist()
    if made.get_external_count() or item.is_virtual:
        raise ValueError(f"{name} lies in another file, which is not opened")
    found = {"name": name, "shape": item.shape, "dtype": item.dtype.str, "at": item.id.get_offset()}
    written = item.id.get_storage_size() and found["at"] is not None
    if made.get_layout() == h5py.h5d.CONTIGUOUS and written:
        return found
    # In chunks, perhaps compressed. Keras never writes so, and how large a chunk is shows only once it is
    # unpacked. All chunks that share a row are read together, so that each is unpacked once.
    filters = {made.get_filter(i)[0] for i in range(made.get_nfilters())}
    known = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    tall = min(item.chunks[0], item.shape[0]) if item.chunks else 1
    beside = max(1, tall * math.prod(item.shape[1:]) * item.dtype.itemsize)
    chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize
    if max(beside, chunk) > WHOLE or not filters <= known:
        raise ValueError(f"{name} is packed in chunks, too large or in a way that is not known")
    return {**found, "at": None, "rows": max(1, tall) * (WHOLE // beside)}


def _limit() -> None:
    """Limit time and memory for the file alone. What the libraries took before, it may take beside that."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    limits = {resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = _taken(resource.getpagesize()) + MEMORY
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]  # the user's own limit may be lower, and cannot be raised
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def _taken(page: int) -> int:
    """Bytes of addresses that this process has now. ``page``: bytes a page."""
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:
            return int(sizes.read().split()[0]) * page
    except OSError:  # a sandbox without /proc
        return MEMORY


def main(path, *asked) -> int:
    """Answer as the module's docstring says; exit status 1, and why on stderr, where that fails."""
    part = asked[0].split("+") if asked and "+" in asked[0] else None
    which, start, stop = asked[bool(part) :] or (None, 0, 0)
    try:
        import h5py
        import numpy as np
    except Exception as e:
        print(" ".join(str(e).split()) or type(e).__name__, file=sys.stderr)
        return 1
    try:
        _limit()
        if part:
            path = Part(open(path, "rb", 0), *map(int, part))  # noqa: SIM115 until the process ends
        sys.stdout.buffer.write(b"loaded\n")
        sys.stdout.flush()
        for i, (found, item) in enumerate(tensors(h5py, path)):
            if which is None:
                print(json.dumps(found))
            elif i == int(which):
                part = slice(int(start), int(stop)) if item.shape else ()
                shape = np.broadcast_to(False, item.shape)[part].shape
                entries = np.zeros(
                    shape, item.dtype
                )  # HDF5 may leave entries that were never written as they are
                item.read_direct(entries, part)
                sys.stdout.buffer.write(entries.tobytes())
    except Exception as e:
        print(str(e) or type(e).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
