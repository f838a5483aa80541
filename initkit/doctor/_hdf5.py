"""Where the tensors of an HDF5 file lie. Run on its own, in a process that may die.

The HDF5 library can be crashed by bytes that were made up: of 5,000 files with a few bytes changed, 11
crashed HDF5 2.0. This process finds the tensors, ``files`` reads them. ``python -P _hdf5.py FILE`` writes a
line of JSON for each, ``python -P _hdf5.py FILE 3`` the bytes of the fourth. It imports nothing of initkit.
"""

import json
import math
import sys

import numpy as np

TENSORS = 2**17  # in a file, and groups
WHOLE = 2**27  # bytes of a tensor that is packed in chunks
MEMORY, SECONDS = 2**31, 60  # that this process may take


def tensors(path):
    """({name, shape, dtype, at}, dataset) of each tensor. ``at``: where it lies; None: only HDF5 knows."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        seen, waiting, count = set(), [file], 0
        while waiting:
            group = waiting.pop()
            place = h5py.h5o.get_info(group.id).addr
            if place in seen:  # a group may hold itself
                continue
            seen.add(place)
            inner = []
            for name in group:
                count += 1
                if count > TENSORS:
                    raise ValueError(f"it holds more than {TENSORS} objects")
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue  # elsewhere in the file, or in another
                item = group[name]
                if isinstance(item, h5py.Group):
                    inner.append(item)
                elif isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind == "f":
                    yield _described(h5py, item), item
            waiting += reversed(inner)


def _described(h5py, item) -> dict:
    name = item.name.lstrip("/")[:300]
    made = item.id.get_create_plist()
    if made.get_external_count() or item.is_virtual:
        raise ValueError(f"{name} lies in another file, which is not opened")
    found = {"name": name, "shape": item.shape, "dtype": item.dtype.str, "at": item.id.get_offset()}
    written = item.id.get_storage_size() and found["at"] is not None
    if made.get_layout() == h5py.h5d.CONTIGUOUS and written:
        return found
    # In chunks, or packed: Keras never does so, and what a chunk unpacks to is only known afterwards.
    filters = {made.get_filter(i)[0] for i in range(made.get_nfilters())}
    known = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    elements = max(math.prod(item.chunks or (0,)), math.prod(item.shape))
    if elements * item.dtype.itemsize > WHOLE or not filters <= known:
        raise ValueError(f"{name} is packed in chunks, too large or in a way that is not known")
    return {**found, "at": None}


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main(path, which=None) -> int:
    try:
        for i, (found, item) in enumerate(tensors(path)):
            if which is None:
                print(json.dumps(found))
            elif i == int(which):
                entries = np.zeros(item.shape, item.dtype)  # HDF5 may leave alone what was never written
                item.read_direct(entries)
                sys.stdout.buffer.write(entries.tobytes())
    except Exception as e:
        print(str(e) or type(e).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    _limit()
    sys.exit(main(*sys.argv[1:]))
