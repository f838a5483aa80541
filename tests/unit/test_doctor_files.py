"""Checkpoints: what is read is what was saved; and whatever a stranger sends costs one line."""

import argparse
import gc
import importlib
import io
import json
import mmap
import os
import pickle
import re
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import types
import zipfile
from pathlib import Path

import formats
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import peak_memory

import initkit as ik
from initkit.command import main
from initkit.doctor import audit, checkpoints, scan
from initkit.doctor.checkpoints import (
    Unreadable,
    format_names,
    keras,
    opened,
    pickles,
    protocol,
    pytorch,
    raw,
)
from initkit.doctor.checkpoints.protocol import READERS, Bytes

W = np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)
KERNEL = np.random.default_rng(1).standard_normal((4, 3, 2, 5)).astype(np.float32)
FORMATS = [
    ".npy", ".npz", ".safetensors", ".pt", ".pth", ".pth.tar", ".th", ".bin", ".ckpt", ".weights.h5",
    ".keras", ".zip", ".index.json", ".gguf", ".onnx",
]  # fmt: skip
SINGLE = {".npy"}  # of these, the formats of one matrix
KERAS = {".weights.h5", ".keras"}


def save(path, tensors: dict, **more) -> None:
    """The tensors, as the library of that format writes them."""
    name = path.name
    if name.endswith(".npy"):
        np.save(path, *tensors.values())
    elif name.endswith(".npz"):
        (np.savez_compressed if more.get("compressed") else np.savez)(path, **tensors)
    elif name.endswith(".safetensors"):
        pytest.importorskip("safetensors.numpy").save_file(tensors, path)
    elif name.endswith(".h5"):
        with pytest.importorskip("h5py").File(path, "w") as f:
            for key, value in tensors.items():
                f.create_dataset(key, data=value, **more)
    elif name.endswith(".keras"):
        save(path.with_name("model.weights.h5"), tensors, **more)
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("config.json", "{}")
            z.write(path.with_name("model.weights.h5"), "model.weights.h5")
    elif name.endswith(".zip"):  # as Stable-Baselines3 does
        save(path.with_name("policy.pth"), tensors, **more)
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("data", "{}")
            z.write(path.with_name("policy.pth"), "policy.pth")
    elif name.endswith(".gguf"):
        path.write_bytes(
            gguf([(key, value.shape, 0, value.astype("<f4").tobytes()) for key, value in tensors.items()])
        )
    elif name.endswith(".onnx"):
        path.write_bytes(onnx_file([onnx_tensor(key, value) for key, value in tensors.items()]))
    elif name.endswith(".index.json"):  # a file a tensor
        places = {key: f"part-{k}.safetensors" for k, key in enumerate(tensors)}
        for key, place in places.items():
            save(path.with_name(place), {key: tensors[key]})
        path.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    else:
        torch = pytest.importorskip("torch")
        torch.save({key: torch.tensor(value) for key, value in tensors.items()}, path, **more)


def gguf(tensors, metadata=(), version=3, count=None, alignment=32) -> bytes:
    """A file as llama.cpp has it, of (name, shape, ggml's type, bytes) and (key, type, value's bytes)."""
    said = lambda s: struct.pack("<Q", len(s)) + s  # noqa: E731
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) if count is None else count, len(metadata))
    head += b"".join(said(key) + struct.pack("<I", kind) + value for key, kind, value in metadata)
    entries = b""
    for name, shape, kind, numbers in tensors:
        entries += bytes(-len(entries) % alignment)
        head += (
            said(name.encode()) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        )
        head += struct.pack("<IQ", kind, len(entries))
        entries += numbers
    return head + bytes(-len(head) % alignment) + entries


def proto(*fields) -> bytes:
    """A message of protobuf, of (number, value): a whole number, or bytes."""
    number = lambda n: b"".join(  # noqa: E731
        bytes([n >> 7 * k & 127 | (128 if n >> 7 * (k + 1) else 0)])
        for k in range(max(1, -(-n.bit_length() // 7)))
    )
    return b"".join(
        number(key << 3) + number(value)
        if isinstance(value, int)
        else number(key << 3 | 2) + number(len(value)) + value
        for key, value in fields
    )


def onnx_tensor(name, array, shape=None, kind=1, data=9, more=()) -> bytes:
    """A TensorProto, its entries in the field ``data``."""
    dims = [(1, n) for n in (array.shape if shape is None else shape)]
    return proto(*dims, (2, kind), (8, name.encode()), (data, array.astype("<f4").tobytes()), *more)


def onnx_file(tensors, nodes=(), opsets=1) -> bytes:
    """A ModelProto, as exporters write it, of TensorProtos and NodeProtos."""
    graph = proto(*((1, node) for node in nodes), (2, b"g"), *((5, tensor) for tensor in tensors))
    return proto((1, 8), (2, b"test"), (7, graph), *[(8, proto((2, 17)))] * opsets)


def assert_same(found, array, units_last=False):
    """The scan of a file is the scan of the array."""
    expected = scan.scan_array(np.ascontiguousarray(array), units_last)
    for name in ("shape", "last", "n", "non_finite", "zeros", "low", "high", "epsilon"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("mean", "centred", "squares", "by_row", "by_column", "kept", "gram"):
        if hasattr(expected, name):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)


def scans(path) -> dict:
    with opened(path) as sources:
        return {source.name: source.scan() for source in sources}


def refused(path) -> str:
    with pytest.raises(Unreadable) as e:
        scans(path)
    assert "\n" not in e.value.message
    assert e.value.message == str(e.value)
    assert len(e.value.message) < 700
    return e.value.message


def test_every_list_of_formats_is_the_registrys(tmp_path, capsys):
    """To name a new one in README and lesson 07: ``make sync``."""
    assert sorted(FORMATS) == format_names()
    (tmp_path / "w.txt").write_bytes(b"w")
    assert refused(tmp_path / "w.txt") == f"w.txt: none of {', '.join(format_names())}"
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    assert ", ".join(format_names()) in " ".join(capsys.readouterr().out.split())
    for path in (formats.ROOT / name for name in formats.LISTS):
        texts = formats.prose(path)
        assert any(all(f"`{name}`" in text for name in format_names()) for text in texts), path
        assert texts == [formats.with_formats(text) for text in texts], path


def test_a_suffix_has_one_format():
    with pytest.raises(ValueError, match=r"\.npz: another format has this suffix"):
        protocol.register(".npz")(lambda path, data, stack: [])


def test_the_format_that_contributing_shows_is_read(tmp_path):
    text = (formats.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = textwrap.dedent(re.search(r" *from \.protocol import.*?(?= *```)", text, re.DOTALL)[0])
    try:
        exec(code.replace(".toy", ".shown"), {"__package__": checkpoints.__name__})
        (tmp_path / "w.shown").write_bytes(struct.pack("<2Q", *W.shape) + W.tobytes())
        assert_same(scans(tmp_path / "w.shown")["w"], W)
    finally:
        protocol.READERS.pop(".shown", None)
        protocol.NAMES[:] = [name for name in protocol.NAMES if name != ".shown"]


# What is read is what was saved --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("block", [25, 64, scan.BLOCK])
def test_every_format_gives_back_what_it_was_given(suffix, block, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", block)  # rows cut, rows together, all at once
    tensors = {"w": W} if suffix in SINGLE else {"w": W, "k": KERNEL, "b": W[0]}
    save(tmp_path / f"w{suffix}", tensors)
    prefix = "policy." if suffix == ".zip" else ""
    with opened(tmp_path / f"w{suffix}") as sources:
        assert {source.name for source in sources} == {prefix + name for name in tensors}
        for source in sources:
            tensor = tensors[source.name.removeprefix(prefix)]
            assert source.shape == tensor.shape
            assert source.units_last == (suffix in KERAS and len(source.shape) > 1)
            assert_same(source.scan(), tensor, source.units_last)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_dtypes_of_numpy(dtype, suffix, tmp_path):
    save(tmp_path / f"w{suffix}", {"w": W.astype(dtype)})
    assert_same(scans(tmp_path / f"w{suffix}")["w"], W.astype(dtype))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("array", [W, W.T, KERNEL], ids=["tall", "wide", "kernel"])
@pytest.mark.parametrize("whole", [0, raw.WHOLE])
def test_fortran_order(suffix, compressed, array, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "WHOLE", whole)
    monkeypatch.setattr(scan, "BLOCK", 64)
    save(tmp_path / f"w{suffix}", {"w": np.asfortranarray(array)}, compressed=compressed)
    backwards = suffix == ".npz" and compressed and array is W
    if whole == 0 and (array is KERNEL or backwards):
        assert "contiguous copy" in refused(tmp_path / f"w{suffix}")
    else:
        assert_same(scans(tmp_path / f"w{suffix}")["w"], array)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("whole", [0, raw.WHOLE])
def test_torch_views(legacy, whole, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(raw, "WHOLE", whole)
    monkeypatch.setattr(scan, "BLOCK", 64)
    w = torch.tensor(W)
    views = {
        "t": w.t(),
        "columns": w[:, 3:9],
        "rows": w[4:],
        "one": torch.ones(1, 7),
        "p": torch.nn.Parameter(w),
    }
    views["tt"] = w[:15].t()
    if whole:
        views |= {"kernel": torch.tensor(KERNEL).permute(1, 2, 0, 3), "same": w[:1].expand(5, 20)}
    torch.save(views, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    found = scans(tmp_path / "w.pt")
    assert found.keys() == views.keys()
    for name, view in views.items():
        assert_same(found[name], view.detach().numpy())


def test_what_torch_nests_is_named_with_dots(tmp_path):
    torch = pytest.importorskip("torch")
    w = torch.tensor(W)
    inside = {"model": {"layer.weight": w}, "optimizer": {"state": {0: {"step": torch.tensor(3), "m": w}}}}
    torch.save({**inside, "epoch": 4, "shapes": torch.Size([3]), "more": [w]}, tmp_path / "w.pt")
    assert list(scans(tmp_path / "w.pt")) == ["model.layer.weight", "optimizer.state.0.m", "more.0"]
    torch.save(w, tmp_path / "alone.pt")
    assert list(scans(tmp_path / "alone.pt")) == ["alone"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("name", "epsilon"), [("bfloat16", 2.0**-8), ("float8_e4m3fn", 2.0**-4), ("float8_e5m2", 2.0**-3)]
)
def test_numbers_that_numpy_does_not_know(suffix, name, epsilon, tmp_path):
    torch = pytest.importorskip("torch")
    w = torch.tensor(W).to(getattr(torch, name))
    if suffix == ".pt":
        torch.save({"w": w}, tmp_path / "w.pt")
    else:
        pytest.importorskip("safetensors.torch").save_file({"w": w}, tmp_path / "w.safetensors")
    found = scans(tmp_path / f"w{suffix}")["w"]
    assert found.epsilon == epsilon
    np.testing.assert_array_equal(found.kept, w.double().numpy())


def test_float8_tables_are_those_of_torch():
    torch = pytest.importorskip("torch")
    codes = np.arange(256, dtype=np.uint8)
    for key, dtype in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)):
        expected = torch.tensor(codes).view(dtype).float().numpy()
        np.testing.assert_array_equal(raw.NUMBERS[key].of(codes).astype(np.float32), expected)


def test_keras_links_are_not_followed_and_loops_end(tmp_path):
    h5py = pytest.importorskip("h5py")
    save(tmp_path / "other.h5", {"secret": W})
    with h5py.File(tmp_path / "w.weights.h5", "w") as f:
        f["layers/dense/vars/0"] = W
        f["layers/again"] = f["layers"]
        f["soft"] = h5py.SoftLink("/layers/dense/vars/0")
        f["nowhere"] = h5py.SoftLink("/nowhere")
        f["external"] = h5py.ExternalLink("other.h5", "/secret")
        f["empty"] = h5py.Empty("f4")
        f["text"] = "config"
    assert list(scans(tmp_path / "w.weights.h5")) == ["layers/dense/vars/0"]


def test_keras_chunks_and_what_was_never_written(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w", userblock_size=512) as f:
        f.create_dataset("chunks", data=W, chunks=(7, 3), compression="gzip", shuffle=True)
        f.create_dataset("unwritten", shape=(5, 4), dtype="f4")
        f.create_dataset("number", shape=(), dtype="f4")
        f["plain"] = KERNEL
    found = scans(tmp_path / "w.h5")
    assert_same(found["chunks"], W, units_last=True)
    assert_same(found["plain"], KERNEL, units_last=True)
    assert found["unwritten"].zeros == 20
    assert found["number"].zeros == 1


@pytest.mark.slow  # a dozen processes
def test_keras_chunks_are_unpacked_a_part_at_a_time(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    program = keras.Path(keras.__file__).with_name("_hdf5.py").read_text(encoding="utf-8")
    (tmp_path / "_hdf5.py").write_text(program.replace("WHOLE = 2**27", "WHOLE = 500"), encoding="utf-8")
    monkeypatch.setattr(keras, "__file__", str(tmp_path / "keras.py"))
    asked, hdf5 = [], keras.ask_hdf5
    monkeypatch.setattr(keras, "ask_hdf5", lambda path, *which: asked.append(which) or hdf5(path, *which))
    tensors = {"w": W, "k": KERNEL[:, :2], "b": W.ravel()[:175]}
    with h5py.File(tmp_path / "w.h5", "w") as f:
        for (name, tensor), chunks in zip(tensors.items(), [(5, 3), (1, 1, 2, 5), (50,)], strict=True):
            f.create_dataset(name, data=tensor, chunks=chunks, compression="gzip")
    found = scans(tmp_path / "w.h5")
    assert len(asked) == 1 + 6 + 1 + 2
    for name, tensor in tensors.items():
        for sums in ("n", "mean", "centred", "squares", "by_row", "by_column", "kept"):
            if hasattr(found[name], sums):
                expected = getattr(scan.scan_array(np.ascontiguousarray(tensor), units_last=True), sums)
                np.testing.assert_allclose(getattr(found[name], sums), expected, rtol=1e-9)
    monkeypatch.setattr(keras, "LOOKED_AT", 200)
    assert scans(tmp_path / "w.h5")["w"].n == 200
    with h5py.File(tmp_path / "w.h5", "w") as f:  # each chunk is small, and those beside each other are not
        f.create_dataset("w", data=W, chunks=(30, 1))
    assert "packed in chunks" in refused(tmp_path / "w.h5")


@pytest.mark.parametrize("what", ["external", "virtual", "plugin", "large"])
def test_keras_never_opens_another_file_nor_unpacks_what_is_large(what, tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(4096))
    with h5py.File(tmp_path / "w.h5", "w") as f:
        if what == "external":
            f.create_dataset("w", (4, 4), "f4", external=[(str(tmp_path / "secret"), 0, 64)])
        elif what == "virtual":
            layout = h5py.VirtualLayout((4, 4), "f4")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", (4, 4))
            f.create_virtual_dataset("w", layout)
        elif what == "plugin":
            f.create_dataset("w", data=W, compression="lzf")
        else:
            f.create_dataset("w", (2**14, 2**14), "f4", chunks=(2**14, 2**12), compression="gzip")
    said = refused(tmp_path / "w.h5")
    assert ("another file" if what in ("external", "virtual") else "packed in chunks") in said


def test_what_is_no_floating_point_number_is_passed_over(tmp_path):
    others = {"i": np.arange(3), "t": np.ones(3, bool), "c": np.ones(3, complex), "s": np.array("he_normal")}
    save(tmp_path / "w.npz", {"w": W, **others, "o": np.array([{}])})
    assert list(scans(tmp_path / "w.npz")) == ["w"]
    save(tmp_path / "i.npz", others)
    assert "no tensor" in refused(tmp_path / "i.npz")
    np.save(tmp_path / "i.npy", others["i"])
    assert "not floating-point" in refused(tmp_path / "i.npy")


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix not in SINGLE])
def test_nothing_to_see_and_nan(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    tensors = {"none": np.zeros((0, 3), np.float32), "one": np.float32(3) * np.ones(()), "nan": W * np.nan}
    save(path, {name: np.asarray(t, np.float32) for name, t in tensors.items()})
    found = {name.removeprefix("policy."): s for name, s in scans(path).items()}
    assert found["none"] is None
    assert (found["one"].n, found["one"].mean) == (1, 3)
    assert found["nan"].non_finite == W.size


def test_only_what_a_format_needs_is_imported(tmp_path):
    save(tmp_path / "w.npz", {"w": W})
    code = f"""if True:
        import sys
        from initkit.doctor import checkpoints
        with checkpoints.opened({str(tmp_path / "w.npz")!r}) as sources:
            print([s.scan().n for s in sources])
        print({{"torch", "h5py", "safetensors"}} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "[600]\nset()\n"


@pytest.mark.parametrize(
    ("package", "suffix"), [("safetensors", ".safetensors"), ("h5py", ".h5"), ("h5py", ".weights.h5")]
)
def test_a_missing_package_is_named(package, suffix, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"w{suffix}").write_bytes(bytes(100))
    assert f"needs {package}: pip install {package}" in refused(tmp_path / f"w{suffix}")


RAISES, ENDS = "raise ImportError('size changed\\nmay indicate')", "import os; os._exit(3)"


@pytest.mark.parametrize(
    ("package", "suffix", "how"),
    [
        ("safetensors", ".safetensors", RAISES),
        ("h5py", ".h5", RAISES),
        ("h5py", ".h5", ENDS),
    ],
)
def test_a_package_that_cannot_be_loaded_is_no_broken_file(package, suffix, how, tmp_path, monkeypatch):
    """As h5py 3.10 beside NumPy 2. h5py is loaded by a process of its own, which that may also end."""
    (tmp_path / f"{package}.py").write_text(how, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package, raising=False)
    (tmp_path / f"w{suffix}").write_bytes(bytes(100))
    message = refused(tmp_path / f"w{suffix}")
    assert f"{package} is installed but cannot be loaded" in message
    assert f"pip install --upgrade {package}" in message
    assert ("size changed" if how == RAISES else "exit status 3") in message
    assert "broken" not in message
    assert "not a readable" not in message


@pytest.mark.skipif(sys.platform != "linux", reason="memory is capped on Linux alone")
def test_what_libraries_take_of_a_large_machine_is_not_the_files(tmp_path, monkeypatch):
    """As NumPy, 41 MB of addresses for every thread of BLAS. A file may take 2 GiB beside it, and no more."""
    save(tmp_path / "w.h5", {"w": W})
    taken = "import mmap; taken = mmap.mmap(-1, 3 * 2**30, mmap.MAP_PRIVATE | mmap.MAP_NORESERVE)"
    if not hasattr(mmap, "MAP_NORESERVE"):  # before Python 3.12
        taken = taken.replace("mmap.MAP_NORESERVE", "0x4000")
    (tmp_path / "sitecustomize.py").write_text(taken, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert_same(scans(tmp_path / "w.h5")["w"], W, units_last=True)
    folder = os.path.dirname(keras.__file__)
    code = (
        f"import sys; sys.path.append({folder!r}); import _hdf5; _hdf5._limit(); bytearray(int(sys.argv[1]))"
    )
    for size, fits in ((2**28, True), (2**31 + 2**26, False)):  # what is freed in between is less
        done = subprocess.run([sys.executable, "-c", code, str(size)], capture_output=True, check=False)
        assert (done.returncode == 0, b"MemoryError" in done.stderr) == (fits, not fits)


def test_a_slow_machine_makes_no_broken_file(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    save(tmp_path / "w.h5", {"w": W})
    (tmp_path / "_hdf5.py").write_text("import time; time.sleep(600)", encoding="utf-8")
    monkeypatch.setattr(keras, "__file__", str(tmp_path / "keras.py"))
    monkeypatch.setattr(keras, "SECONDS", 0.1)
    assert refused(tmp_path / "w.h5") == "w.h5 was given up: HDF5 has not read it in 0.1 s"


def test_without_processes_keras_files_are_not_called_broken(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    save(tmp_path / "w.h5", {"w": W})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert "a process of their own, which cannot be started" in refused(tmp_path / "w.h5")


# No file at all ------------------------------------------------------------------------------------


def test_what_is_not_a_file(tmp_path):
    (tmp_path / "dir.npz").mkdir()
    (tmp_path / "empty.npy").touch()
    assert "directory" in refused(tmp_path / "dir.npz")
    assert "empty" in refused(tmp_path / "empty.npy")
    assert "No such file" in refused(tmp_path / "missing.npz")
    assert "null" in refused("a\0b.npy")
    (tmp_path / "model.xyz").write_bytes(bytes(100))
    for suffix in (".safetensors", ".npz", ".npy", ".pt", ".weights.h5"):
        assert suffix in refused(tmp_path / "model.xyz")
        assert suffix in refused(tmp_path / "dir.npz")  # a folder with nothing in it


@pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="Windows has no such pipes, and links by privilege alone"
)
def test_what_only_unix_has_is_not_a_file(tmp_path):
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    os.mkfifo(tmp_path / "pipe.pt")
    assert "symbolic links" in refused(tmp_path / "loop.npy")
    assert "not a file" in refused(tmp_path / "pipe.pt")


def test_a_file_closes_when_its_tensors_were_read(tmp_path):
    for suffix in (".npy", ".npz", ".safetensors"):
        save(tmp_path / f"w{suffix}", {"w": W})
        with opened(tmp_path / f"w{suffix}") as (source,):
            assert source.scan().n == W.size
        with pytest.raises(Unreadable):
            source.scan()
    gc.collect()  # a file that was left open warns here


# What a stranger sends -----------------------------------------------------------------------------


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "legacy", "raw"])
def test_a_malicious_pickle_does_nothing(kind, tmp_path):
    sentinel, path = (
        tmp_path / "sentinel",
        tmp_path / {"legacy": "w.pt", "raw": "w.pth"}.get(kind, f"w.{kind}"),
    )
    evil = Evil(sentinel)
    pickle.loads(pickle.dumps(evil)).close()
    assert sentinel.exists()  # it would, where it is loaded
    sentinel.unlink()
    if kind == "npy":
        np.save(path, np.array([evil]), allow_pickle=True)
    elif kind == "npz":
        np.savez(path, w=np.array([evil]))
    elif kind == "raw":
        pytest.importorskip("torch")
        path.write_bytes(pickle.dumps(evil))
    else:
        torch = pytest.importorskip("torch")
        tensors = {"w": torch.tensor(W), "x": evil}
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "pt")
    said = refused(path)
    assert not sentinel.exists()
    assert ("not loaded" if kind[:2] == "np" else "io.open") in said


def test_a_pickle_that_would_fill_the_memory_is_not_taken(tmp_path):
    torch = pytest.importorskip("torch")

    class Large:
        def __reduce__(self):
            return bytearray, (10**11,)

    torch.save({"x": Large()}, tmp_path / "w.pt")
    assert "bytearray" in refused(tmp_path / "w.pt")
    loop = {}
    loop["again"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    assert "nested without end" in refused(tmp_path / "loop.pt")
    many = torch.tensor(W)
    for _ in range(40):  # 2⁴⁰ names of one tensor
        many = {"a": many, "b": many}
    torch.save(many, tmp_path / "many.pt")
    assert "nested without end" in refused(tmp_path / "many.pt")


class Ours:
    """Of a class that the reader does not have; it would say so where it is made, called, filled or set."""

    def __init__(self, w):
        self.w = w

    def _never(self, *args, **kwargs):
        raise AssertionError("it was run")

    __setstate__ = __call__ = __hash__ = append = extend = update = _never
    __reduce_ex__ = object.__reduce_ex__


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_are_told_and_never_made(legacy, tmp_path):
    torch = pytest.importorskip("torch")
    w = torch.tensor(W)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.LSTM(2, 3))
    inside = {
        "net": module,
        "args": argparse.Namespace(lr=0.1, table=w, where=Path("/x")),
        "ours": Ours(w),
        "best": np.float64(0.3),
        "parameter": torch.nn.Parameter(w),
        ("a", 1): w,
    }
    torch.save(inside, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    found = scans(tmp_path / "w.pt")
    of_module = {f"net.{name}": t for name, t in module.state_dict().items() if t.is_floating_point()}
    assert found.keys() == {*of_module, "args.table", "ours.w", "parameter", "5"}
    for name, t in of_module.items():
        assert_same(found[name], t.numpy())
    assert_same(found["ours.w"], W)
    torch.save(module, tmp_path / "whole.pt", _use_new_zipfile_serialization=not legacy)
    assert list(scans(tmp_path / "whole.pt")) == [name.removeprefix("net.") for name in of_module]


class Calls:
    def __init__(self, what, *args):
        self.what, self.args = what, args

    def __reduce__(self):
        return self.what, self.args


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_a_pickle_asks_for_is_not_done(protocol, tmp_path, monkeypatch):
    """A module written beside the file would leave a mark when it is imported, called, or its object set."""
    torch = pytest.importorskip("torch")
    mark = tmp_path / "mark"
    (tmp_path / "theirs.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "class Thing:\n    def __new__(cls, *a): Path('called').touch(); return object.__new__(cls)\n"
        "    def __setstate__(self, s): pass\n"
        "def call(*a): return Thing()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    theirs = importlib.import_module("theirs")
    thing = theirs.Thing()
    thing.w = torch.tensor(W)
    torch.save(
        {"a": thing, "b": Calls(theirs.call, 3), "c": theirs.Thing},
        tmp_path / "w.pt",
        pickle_protocol=protocol,
    )
    mark.unlink()
    (tmp_path / "called").unlink(missing_ok=True)
    del sys.modules["theirs"]
    assert list(scans(tmp_path / "w.pt")) == ["a.w"]
    assert not mark.exists()
    assert not (tmp_path / "called").exists()
    assert "theirs" not in sys.modules
    for what, args in ((os.system, ("touch mark",)), (exec, ("open('mark', 'w')",)), (eval, ("1",))):
        torch.save(
            {"w": torch.tensor(W), "x": Calls(what, *args)}, tmp_path / "w.pt", pickle_protocol=protocol
        )
        said = refused(tmp_path / "w.pt")
        assert what.__name__ in said
        assert "nothing was run" in said
    assert not mark.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\nlist\n(lp0\n0.",  # protocol 0
        b"\x82\x01.",  # an extension's code
        b"Pname\n.",  # a persistent id in text
        b"j\xff\xff\xff\x7f.",  # from a memo that is not
        b"Nr\xff\xff\xff\x7f.",  # into a memo that would be of 2³¹ places
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes without end
        b"K\x01K\x02\x86R.",  # a call of a number
        b"K\x01}b.",  # a number's attributes
        b"K\x01K\x02a.",  # a number as a list
        b"}K\x01s.",  # half of a pair
        b"ccollections\nOrderedDict\n}b.",  # attributes of a class
        b"]" + b"2" * 50 + b"(e" * 50 + b".",
        b"0.", b"1.", b"e.", b"(.", b"R.", b"\x93.", b"",
    ],
    ids=range(19),
)  # fmt: skip
def test_forged_pickles(code, tmp_path):
    (tmp_path / "w.pkl").write_bytes(b"\x80\x04" + code)
    refused(tmp_path / "w.pkl")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_pickle_dump_makes_of_tensors_is_read(protocol, tmp_path):
    torch = pytest.importorskip("torch")
    one = torch.tensor(W)
    net = {"a.weight": one, "tied": one, "part": one[1:, 2:], "half": one.half(), "turned": one.T}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(net | {"rng": bytearray(b"harmless")}, protocol))
    found = scans(tmp_path / "w.pkl")
    assert found.keys() == net.keys()
    for name, tensor in net.items():
        assert_same(found[name], tensor.numpy())


@pytest.mark.parametrize("inside", [b"", b"\x80\x02K\x01.", b"cos\nsystem\n.", pytorch.MAGIC, 3])
def test_a_forged_storage_within_a_pickle_is_refused(inside, tmp_path):
    class Storage:
        def __reduce__(self):
            return _load_from_bytes, (inside,)

    def _load_from_bytes(file):
        raise AssertionError

    _load_from_bytes.__module__, _load_from_bytes.__qualname__ = "torch.storage", "_load_from_bytes"
    stub = types.SimpleNamespace(_load_from_bytes=_load_from_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", types.SimpleNamespace(storage=stub))
        patch.setitem(sys.modules, "torch.storage", stub)
        code = pickle.dumps({"w": Storage()}, 4)
    (tmp_path / "w.pkl").write_bytes(code)
    assert "w.pkl" in refused(tmp_path / "w.pkl")


@pytest.mark.parametrize("name", ["long", "unicode", "dict", "bytearray"])
def test_types_that_pickles_name_as_python_2_did_harm_nothing(name):
    """PyTorch writes protocol 2, whose builtins are __builtin__'s: OmegaConf's settings name a "long"."""
    code = f"\x80\x02c__builtin__\n{name}\n.".encode("latin1")
    assert pickles.told(io.BytesIO(code)).args == (f"builtins.{name}",)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_has_the_state_dict_and_frozen_its_entries_alone(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(6, 4)).eval()
    programs = {
        "script": torch.jit.script(net),
        "trace": torch.jit.trace(net, torch.ones(1, 2, 8)),
        "frozen": torch.jit.freeze(torch.jit.script(net)),
    }
    torch.save(net.state_dict(), tmp_path / "plain.pt")
    for name, program in programs.items():
        program.save(str(tmp_path / f"{name}.pt"))
    plain, *others = (scans(tmp_path / f"{name}.pt") for name in ("plain", "script", "trace"))
    looks = {key: (s.n, s.mean, s.std, s.low, s.high) for key, s in plain.items()}
    for other in others:
        assert {key: (s.n, s.mean, s.std, s.low, s.high) for key, s in other.items()} == looks
    frozen = {key: (s.n, s.mean, s.std, s.low, s.high) for key, s in scans(tmp_path / "frozen.pt").items()}
    assert all(key.startswith("constants.") for key in frozen)
    # Freezing multiplies the convolution by what the normalization behind it does.
    assert {looks["2.weight"], looks["2.bias"]} <= set(frozen.values())


@pytest.mark.parametrize("protocol", [2, 4])
def test_numpys_arrays_in_a_pickle(protocol, tmp_path):
    arrays = {
        "w": W,
        "f": np.asfortranarray(W),
        "big": W.astype(">f4"),
        "i": np.arange(3),
        "o": np.array([{}]),
    }
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": arrays, "n": np.float32(3)}, protocol))
    found = scans(tmp_path / "w.pkl")
    assert list(found) == ["a.w", "a.f", "a.big"]
    for s in found.values():
        assert_same(s, W)


def test_torch_is_not_needed_to_read_its_files(tmp_path, monkeypatch):
    save(tmp_path / "w.pt", {"w": W})
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_same(scans(tmp_path / "w.pt")["w"], W)


def test_a_file_is_what_it_holds_whatever_it_is_called(tmp_path):
    for suffix in FORMATS:
        if suffix in (".index.json", ".zip", *SINGLE):
            continue
        save(tmp_path / f"w{suffix}", {"w": W})
        for name in ("w", "w.xyz", "w.npy", "w.safetensors.old", "W.PT"):
            (tmp_path / name).write_bytes((tmp_path / f"w{suffix}").read_bytes())
            assert_same(scans(tmp_path / name)["w"], W, suffix in KERAS)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_head_tied_to_a_table_is_the_table(zipped, tmp_path):
    """Its row of padding is no dead unit; of a head with entries of its own it is."""
    torch = pytest.importorskip("torch")
    table = torch.tensor(ik.normal((300, 40), std=0.02, rng=0))
    table[0] = 0
    for head, kinds in ((table, []), (table.clone(), ["dead_rows"])):
        state = {
            "embed.weight": table,
            "body.weight": torch.tensor(ik.normal((40, 40), std=0.02, rng=1)),
            "lm_head.weight": head,
        }
        torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        assert [finding.kind for finding in audit(tmp_path / "w.pt").findings] == kinds


@pytest.mark.parametrize("length", [640, 0x380, 0x480, 0x580])
def test_a_safetensors_header_may_be_as_long_as_a_pickle_begins(length, tmp_path):
    """Its length comes first, and that of 640 bytes is written as a pickle's first two are."""
    file = pytest.importorskip("safetensors.numpy").save({"w": W})
    old = int.from_bytes(file[:8], "little")
    padded = length.to_bytes(8, "little") + file[8 : 8 + old].ljust(length) + file[8 + old :]
    (tmp_path / "w.safetensors").write_bytes(padded)
    assert_same(scans(tmp_path / "w.safetensors")["w"], W)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("w.bin", b"\n<!DOCTYPE html><html>", "fetch it again"),
        ("w.npz.gz", b"\x1f\x8b" + bytes(50), "gunzip"),
        ("w.pt.zst", b"\x28\xb5\x2f\xfd" + bytes(50), "unpack it"),
        ("w.pt", b"\xfd7zXZ\0" + bytes(50), "unpack it"),
        ("w.pt.bz2", b"BZh9" + bytes(50), "unpack it"),
        ("w.bin", b"\x1c\0\0\0TFL3" + bytes(50), "get_tensor"),
        ("w.pth.tar", bytes(257) + b"ustar" + bytes(300), "unpack"),
        ("w.gguf", b"GGUF" + bytes(50), "of version 0"),
        ("w.onnx", b"\x08\x07" + bytes(50), "no graph"),
        ("w.bin", b"\x18\0\0\0ORTM" + bytes(50), "the .onnx"),
        ("w.msgpack", b"\x81" + bytes(50), "flatten_dict"),
        ("w.bin", b"x" * 50, "torch.save(model.state_dict())"),
        ("w.zip", b"PK\5\6" + bytes(18), "unpack it, and audit"),
        ("w.pkl", b"\x80\4cjoblib.numpy_pickle\nNumpyArrayWrapper\n" + bytes(50), "joblib.load"),
    ],
)
def test_a_refusal_says_what_to_do(name, content, what, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert what in refused(tmp_path / name)


def test_a_package_of_pytorch_is_told_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("net/.data/0.storage", bytes(8))
        archive.writestr("net/.data/extern_modules", "torch")
    assert "PackageImporter" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", READERS)
def test_a_folder_with_one_file_of_any_format_is_the_model_in_it(suffix, tmp_path):
    save(tmp_path / f"w{suffix}", {"w": W})
    for part in ("policy.pth", "model.weights.h5"):  # which ``save`` packs
        (tmp_path / part).unlink(missing_ok=True)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    ((_, entries),) = scans(tmp_path).items()
    assert_same(entries, W)


def test_a_folder_is_the_model_in_it(tmp_path):
    names = [f"model-0000{k}-of-00003.safetensors" for k in (1, 2, 3)]
    for k, name in enumerate(names):
        save(tmp_path / name, {f"{k}.w": W})
    (tmp_path / "optimizer.pt").write_bytes(b"what lies beside is not looked at")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    expected = ["0.w", "1.w", "2.w"]
    assert list(scans(tmp_path)) == expected
    places = dict(zip(expected, names, strict=True))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert list(scans(tmp_path)) == list(scans(index)) == expected
    save(tmp_path / names[2], {"1.w": W})
    assert "called 1.w" in refused(index)
    (tmp_path / names[1]).unlink()
    assert f"{names[1]}, which is not there" in refused(index)
    index.unlink()
    assert "2 of 3" in refused(tmp_path)
    for name in (names[0], names[2]):
        (tmp_path / name).unlink()
    save(tmp_path / "a.safetensors", {"w": W})
    assert list(scans(tmp_path)) == ["w"]
    save(tmp_path / "b.safetensors", {"w": W})
    assert "a.safetensors, b.safetensors" in refused(tmp_path)


@pytest.mark.parametrize(
    "place", ["../w.npz", "/etc/passwd", "..", "", ".", "a/w.npz", "a\\w.npz", 3, None, ["w.npz"], "x" * 5000]
)
def test_an_index_names_only_files_beside_it(place, tmp_path):
    save(tmp_path / "w.npz", {"w": W})
    (tmp_path / "a").mkdir()
    save(tmp_path / "a" / "w.npz", {"w": W})
    index = tmp_path / "a" / "m.index.json"
    index.write_text(json.dumps({"weight_map": {"w": place}}), encoding="utf-8")
    refused(index)
    for content in ("{}", "[]", '{"weight_map": {}}', '{"weight_map": [1]}', "{", "[" * 100_000):
        index.write_text(content, encoding="utf-8")
        refused(index)


@pytest.mark.parametrize("suffix", [".keras", ".zip"])
def test_an_archive_in_an_archive_is_not_unpacked(suffix, tmp_path):
    save(tmp_path / f"w{suffix}", {"w": W})
    with (
        zipfile.ZipFile(tmp_path / f"w{suffix}") as old,
        zipfile.ZipFile(tmp_path / f"n{suffix}", "w", 8) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "is compressed" in refused(tmp_path / f"n{suffix}")


def test_a_torch_archive_packed_again_is_refused(tmp_path):
    save(tmp_path / "w.pt", {"w": W})
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "new.pt", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "packed again" in refused(tmp_path / "new.pt")


CUT = [suffix for suffix in FORMATS if suffix != ".index.json"]


@pytest.mark.parametrize("suffix", [*CUT, "legacy.pt", "packed.npz"])
def test_cut_short_anywhere(suffix, tmp_path):
    more = {"legacy.pt": {"_use_new_zipfile_serialization": False}, "packed.npz": {"compressed": True}}
    path = tmp_path / f"w{suffix}"
    save(path, {"w": W}, **more.get(suffix, {}))
    good = path.read_bytes()
    assert scans(path)
    for share in (
        (0.001, 0.02, 0.3, 0.7, 0.97)
        if "h5" in suffix or suffix == ".keras"
        else np.linspace(0.001, 0.999, 40)
    ):
        path.write_bytes(good[: int(len(good) * share)])
        refused(path)
    path.write_bytes(good[:-1])
    refused(path)


def npy(shape, data=b"", dtype="<f4", fortran=False) -> bytes:
    header = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "shape", [(31, 20), (-30, 20), (-30, -20), (2**62, 2**62), (True, 20), (1.5, 20), "w", (10**4000,)]
)
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_lying_header_of_numpy(shape, fortran, suffix, tmp_path):
    lie = npy(shape, W.tobytes(), fortran=fortran)
    if suffix == ".npy":
        (tmp_path / "w.npy").write_bytes(lie)
    else:
        with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("w.npy", lie)
    refused(tmp_path / f"w{suffix}")


def test_a_header_that_claims_to_be_long(tmp_path):
    with open(tmp_path / "w.npy", "wb") as f:
        f.write(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1))
        f.truncate(2**33)
    tracemalloc.start()
    refused(tmp_path / "w.npy")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def safetensors(header, data=bytes(2400)) -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def tensor(start=0, end=2400, shape=(30, 20), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"w": tensor(shape=(31, 20))}),
        safetensors({"w": tensor(shape=(-30, -20))}),
        safetensors({"w": tensor(0, 2480, (31, 20))}),
        safetensors({"w": tensor(shape=(2**32, 2**32, 2**32))}),
        safetensors({"a": tensor(), "b": tensor()}),
        safetensors({"a": tensor(), "b": tensor(1200, 2400, (15, 20))}),
        safetensors({"w": tensor(-2400, 0)}),
        safetensors({"w": tensor(dtype="F33")}),
        safetensors({"w": 3}),
        safetensors(b'{"w": %b, "w": %b}' % ((json.dumps(tensor()).encode(),) * 2)),
        safetensors(b'{"\xff\xfe": %b}' % json.dumps(tensor()).encode()),
        safetensors(b"[" * 100_000),
        struct.pack("<Q", 2**60) + bytes(100),
        struct.pack("<Q", 2**64 - 1) + bytes(100),
        bytes(7),
        bytes(100),
    ],
    ids=range(16),
)
def test_a_lying_header_of_safetensors(content, tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "w.safetensors").write_bytes(content)
    refused(tmp_path / "w.safetensors")


def test_a_torch_shape_larger_than_its_data(tmp_path):
    torch = pytest.importorskip("torch")
    save(tmp_path / "w.pt", {"w": W})
    for rows in (31, 2**31 - 1):
        with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "lie.pt", "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name.endswith("data.pkl"):
                    assert data.count(b"K\x1eK\x14") == 1  # the shape: 30, 20
                    data = data.replace(b"K\x1eK\x14", b"J" + struct.pack("<i", rows) + b"K\x14")
                new.writestr(name, data)
        refused(tmp_path / "lie.pt")
    expanded = torch.zeros(1).expand(2**20, 2**20)  # a terabyte in four bytes
    torch.save({"w": expanded}, tmp_path / "bomb.pt")
    assert "bomb" in refused(tmp_path / "bomb.pt")
    for side in (2**30, 2**17):
        one = torch.zeros(2, 1, dtype=torch.int64)
        sparse = torch.sparse_coo_tensor(one, [1.0], (side, side), check_invariants=True)
        torch.save({"w": sparse}, tmp_path / "sparse.pt")
        if side == 2**30:
            assert "which none has" in refused(tmp_path / "sparse.pt")
        else:
            assert scans(tmp_path / "sparse.pt") == {"w": None}  # not made dense


def test_zip_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FREE", 2**25)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as z, z.open("w.npy", "w") as f:
        f.write(npy((2**12, 2**12)))
        for _ in range(2**2):
            f.write(bytes(2**24))
    assert "bomb" in refused(tmp_path / "bomb.npz")
    data = bytearray((tmp_path / "bomb.npz").read_bytes())
    entry = data.rfind(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)  # its size, in the directory
    (tmp_path / "lie.npz").write_bytes(data)
    assert "cannot stand for" in refused(tmp_path / "lie.npz")


def test_one_member_twice_is_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, W)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as z:
        z.writestr("w.npy", content.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("w.npy", content.getvalue())
    assert "same name" in refused(tmp_path / "w.npz")


def test_two_tensors_of_one_name_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a.b": torch.tensor(W), "a": {"b": torch.tensor(W)}}, tmp_path / "w.pt")
    assert "called a.b" in refused(tmp_path / "w.pt")


def test_names_can_be_printed(tmp_path):
    names = {
        "\x1b[2J\x1b[31mred": "\\x1b[2J\\x1b[31mred",
        "层.权重": "层.权重",
        "a\nb": "a\\nb",
        "x\u202ey": "x\\u202ey",
    }
    save(tmp_path / "w.npz", dict.fromkeys(names, W))
    assert list(scans(tmp_path / "w.npz")) == list(names.values())
    with pytest.raises(Unreadable) as e:
        scans(tmp_path / "\x1b[2J\n.npy")
    assert e.value.message.isprintable()


def test_names_of_keras_can_be_printed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as f:
        f["\x1b[2J"] = W
    assert set(scans(tmp_path / "w.h5")) == {"\\x1b[2J"}
    with h5py.File(tmp_path / "w.h5", "a") as f:
        f[b"\xff\xfe"] = W
    assert "utf-8" in refused(tmp_path / "w.h5")


def test_a_sparse_file_of_ten_gigabytes(tmp_path, monkeypatch):
    """Of which a ten-thousandth is read, in as many reads as there are blocks."""
    monkeypatch.setattr(scan, "LOOKED_AT", 2**24)
    reads, read = [], Bytes.read
    monkeypatch.setattr(Bytes, "read", lambda self, *part: reads.append(part[1]) or read(self, *part))
    with open(tmp_path / "w.npy", "wb") as f:
        f.write(npy((25 * 10**4, 10**4)))
        f.truncate(f.tell() + 10**10)
    before = peak_memory()
    found = scans(tmp_path / "w.npy")["w"]
    assert len(reads) <= 1 + 2**24 // scan.BLOCK
    assert sum(reads) <= 2**16 + 4 * 2**24
    assert found.zeros == found.n
    assert 0.9 * 2**24 < found.n <= 2**24
    assert not found.whole
    assert peak_memory() - before < 200 * 2**20
    with open(tmp_path / "huge.npy", "wb") as f:
        f.write(npy((2**20, 2**20)))
        f.truncate(2**43)
    assert "which none has" in refused(tmp_path / "huge.npy")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_a_file_that_crashes_hdf5_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    save(tmp_path / "w.h5", {"w": W})
    program = tmp_path / "_hdf5.py"
    crash = "import os, signal; os.write(1, b'loaded\\n'); os.kill(os.getpid(), signal.SIGSEGV)"
    program.write_text(crash, encoding="utf-8")
    monkeypatch.setattr(keras, "__file__", str(tmp_path / "keras.py"))
    assert "crashed" in refused(tmp_path / "w.h5")


# Bytes at random -----------------------------------------------------------------------------------

NUMBERS = st.sampled_from([0, 1, 127, 255, 2**15, 2**20, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1])


@st.composite
def edits(draw):
    """What to do to a file: [(where, as a share of it, what)]."""
    where = st.floats(0, 1, exclude_max=True)
    flip = st.tuples(st.just("set"), st.binary(min_size=1, max_size=4))
    number = st.tuples(
        st.just("set"),
        st.builds(lambda n, k: (n % 256**k).to_bytes(k, "little"), NUMBERS, st.sampled_from([1, 2, 4, 8])),
    )
    insert = st.tuples(st.just("insert"), st.binary(min_size=1, max_size=8))
    delete = st.tuples(st.just("delete"), st.integers(1, 16))
    copy = st.tuples(st.just("copy"), where)
    cut = st.tuples(st.just("cut"), st.none())
    return draw(
        st.lists(st.tuples(where, st.one_of(flip, number, insert, delete, copy, cut)), min_size=1, max_size=6)
    )


def edited(good: bytes, changes) -> bytes:
    data = bytearray(good)
    for share, (what, value) in changes:
        at = int(share * len(data))
        if what == "set":
            data[at : at + len(value)] = value
        elif what == "insert":
            data[at:at] = value
        elif what == "delete":
            del data[at : at + value]
        elif what == "copy":
            other = int(value * len(data))
            data[at : at + 16] = data[other : other + 16]
        else:
            del data[at:]
    return bytes(data)


def fuzz(tmp_path, suffix, examples, **more):
    path = tmp_path / f"good{suffix}"
    save(path, {"w": W[:4, :5]} if suffix in SINGLE else {"w": W[:4, :5], "v": W[:3, 0]}, **more)
    good, path = path.read_bytes(), tmp_path / f"broken{suffix}"

    said = []

    @settings(
        max_examples=int(os.environ.get("INITKIT_FUZZ", examples)),
        deadline=None,
        database=None,
        derandomize="INITKIT_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits())
    def broken(changes):
        path.write_bytes(edited(good, changes))
        try:
            with np.errstate(all="ignore"):
                scans(path)
        except Unreadable as e:
            said.append(e.message)

    before = peak_memory()
    broken()
    assert said
    assert all(message.isprintable() for message in said)
    assert peak_memory() - before < 300 * 2**20


@pytest.mark.parametrize(
    ("suffix", "more"),
    [
        *((suffix, {}) for suffix in (".npy", ".npz", ".safetensors", ".pt", ".zip")),
        *((suffix, {}) for suffix in (".index.json", ".gguf", ".onnx")),
        (".npz", {"compressed": True}),
        (".pt", {"_use_new_zipfile_serialization": False}),
    ],
)
@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_fuzz(suffix, more, examples, tmp_path):
    fuzz(tmp_path, suffix, examples, **more)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("examples", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_fuzz_keras(suffix, examples, tmp_path):  # each starts a process
    fuzz(tmp_path, suffix, examples)


# GGUF ------------------------------------------------------------------------------------------------

WORDS = struct.pack("<IQ", 8, 2) + 2 * (struct.pack("<Q", 3) + b"abc")  # an array of strings
METADATA = [
    (b"tokens", 9, WORDS),
    (b"a", 8, struct.pack("<Q", 1) + b"b"),
    (b"scores", 9, struct.pack("<IQ", 6, 3) + bytes(12)),
]


def test_gguf_as_llama_cpp_names_it(tmp_path):
    """Floating-point numbers of three widths, behind metadata; what is quantized is named."""
    q, norm = ik.he_normal((40, 60), rng=0), np.ones(60, np.float32)
    half = (q.view("<u4") >> 16).astype("<u2").tobytes()
    tensors = [
        ("token_embd.weight", (90, 60), 2, bytes(90 * 60 // 32 * 18)),
        ("blk.0.attn_norm.weight", (60,), 0, norm.tobytes()),
        ("blk.0.attn_q.weight", (40, 60), 0, q.tobytes()),
        ("blk.0.attn_k.weight", (40, 60), 1, q.astype("<f2").tobytes()),
        ("blk.0.attn_v.weight", (40, 60), 30, half),
        ("blk.0.ids", (4,), 26, bytes(16)),
    ]
    alignment = [(b"general.alignment", 4, struct.pack("<I", 64))]
    (tmp_path / "w").write_bytes(gguf(tensors, METADATA + alignment, alignment=64))
    report = audit(tmp_path / "w")
    assert report.findings == ()
    assert report.coverage.judged == ("blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight")
    assert report.coverage.left_out == {"norm_scale": ("blk.0.attn_norm.weight",)}
    assert report.coverage.unread == {"quantized": ("token_embd.weight",), "integer": ("blk.0.ids",)}
    rows = {t.name: t for t in report.tensors}
    assert all((rows[n].fan_in, str(rows[n].found)) == (60, "he_normal()") for n in report.coverage.judged)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (gguf([("w", (3, 4), 0, bytes(48))], version=1), "version 1"),
        (gguf([("w", (3, 4), 0, bytes(48))], count=2**60), "claims"),
        (gguf([("w", (2**40, 4), 0, bytes(48))]), "the file ends before it does"),
        (gguf([("w", (1,) * 5, 0, bytes(4))]), "5 axes"),
        (gguf([("w", (3, 4), 0, bytes(48))], [(b"a", 13, b"")]), "type 13"),
        (gguf([("w", (3, 4), 0, bytes(48))], [(b"a", 9, struct.pack("<IQ", 8, 2**60))]), "cut short"),
        (gguf([("w", (3, 4), 0, bytes(48))], [(b"a", 9, struct.pack("<IQ", 0, 2**60))]), "cut short"),
        (gguf([("w", (3,), 0, bytes(12))], [(b"a", 9, struct.pack("<IQ", 9, 2**60) * 5000)]), "is not"),
        (gguf([("w", (3, 4), 0, bytes(48))], [(b"general.alignment", 4, bytes(4))]), "alignment of 0"),
    ],
)  # fmt: skip
def test_gguf_that_lies(file, what, tmp_path):
    (tmp_path / "w.gguf").write_bytes(file)
    before = peak_memory()
    assert what in refused(tmp_path / "w.gguf")
    assert peak_memory() - before < 100 * 2**20


# ONNX ------------------------------------------------------------------------------------------------

KINDS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "FLOAT8E4M3FN", "FLOAT8E5M2")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [True, False])
def test_onnx_is_read_as_its_package_reads_it(kind, raw, tmp_path, monkeypatch):
    """Entries as they are, and those of 8 and 16 bits as protobuf packs whole numbers."""
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(checkpoints.onnx, "BLOCK", 100)  # numbers of several bytes are cut
    kind = getattr(onnx.TensorProto, kind)
    if raw:
        entries = W.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        w = onnx.numpy_helper.from_array(entries, "w")
    else:
        w = onnx.helper.make_tensor("w", kind, W.shape, W.ravel())
    assert w.HasField("raw_data") == raw
    graph = onnx.helper.make_graph([], "g", [], [], [w])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "w.onnx")
    found = scans(tmp_path / "w.onnx")["w"]
    np.testing.assert_array_equal(found.kept, onnx.numpy_helper.to_array(w).astype(np.float64))


def test_onnx_in_graphs_inside_nodes_in_constants_and_what_is_not_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    make, of, kinds = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto
    constant = lambda name, array: make.make_node("Constant", [], [name], value=of(array))  # noqa: E731
    graphs = {
        branch: make.make_graph([constant("k", KERNEL * scale)], branch, [], [], [of(W * scale, "w")])
        for branch, scale in (("then_branch", 1), ("else_branch", 2))
    }
    indices = of(np.array([3, 7]), "i")
    graph = make.make_graph(
        [
            constant("k", KERNEL[0]),
            constant("half", np.float32([0.5])),
            constant("places", np.arange(9)),
            make.make_node("If", ["c"], ["y"], **graphs),
            make.make_node("DequantizeLinear", ["q", "q_scale", "q_zero"], ["d"]),
            constant("q2", np.arange(9, dtype=np.int8)),
            make.make_node("MatMulInteger", ["x", "q2"], ["e"]),
        ],
        "g",
        [],
        [],
        [
            of(W, "w"),
            of(np.int8([[1, 2]]), "q"),
            of(np.float32([[1, 2]]), "q_scale"),
            of(np.int8(0), "q_zero"),
            of(np.arange(3), "shape"),
            make.make_tensor("f4", kinds.FLOAT4E2M1, (2, 2), [0, 1, 1, 0]),
        ],
        sparse_initializer=[make.make_sparse_tensor(of(np.float32([1, 2]), "s"), indices, [9])],
    )
    onnx.save(make.make_model(graph), tmp_path / "w.onnx")
    with opened(tmp_path / "w.onnx", others=True) as sources:
        unread = {source.name: source.unread for source in sources if source.unread}
        roles = {source.name: source.role for source in sources if source.role}
        found = {source.name: source.scan() for source in sources if not source.unread}
    assert unread == {
        "q": "quantized", "q2": "quantized", "q_zero": "quantized", "shape": "integer", "f4": "dtype",
        "s": "sparse",
    }  # fmt: skip
    assert roles == {"q_scale": "quantization"}
    assert found.keys() == {
        "k", "w", "q_scale", "y.then_branch.k", "y.then_branch.w", "y.else_branch.k", "y.else_branch.w",
    }  # fmt: skip
    assert_same(found["y.else_branch.w"], W * 2)
    assert_same(found["y.then_branch.k"], KERNEL)
    assert_same(found["w"], W)


def test_onnx_entries_in_a_file_beside_it(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in (("w", W), ("k", KERNEL))]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors))
    path, data = tmp_path / "w.onnx", tmp_path / "w.onnx_data"
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=0)
    monkeypatch.setattr(checkpoints, "FREE", 0)
    monkeypatch.setattr(checkpoints, "EXPANSION", 1)
    for place in (path, tmp_path):
        found = scans(place)
        assert_same(found["w"], W)
        assert_same(found["k"], KERNEL)
    path.write_bytes(onnx_file([outside(data.name, name=f"w{k}") for k in range(3)]))  # of the same bytes
    assert "bomb" in refused(path)
    data.write_bytes(data.read_bytes()[:-1])
    path.write_bytes(onnx_file([outside(data.name, offset=b"481")]))
    assert "the file ends before it does" in refused(path)
    data.unlink()
    assert "w.onnx names w.onnx_data, which is not there" in refused(path)


def outside(place, name="w", **more) -> bytes:
    """A TensorProto of W's shape whose entries lie in another file."""
    said = {"location": place.encode(), **more}
    entries = [(13, proto((1, key.encode()), (2, value))) for key, value in said.items()]
    return proto((1, 30), (1, 20), (2, 1), (8, name.encode()), *entries, (14, 1))


@pytest.mark.parametrize(
    "place", ["../w", "/etc/passwd", "..", "", ".", "a/w", "a\\w", "./w", "../m/w", "*/_ORT"]
)
def test_onnx_names_only_files_beside_it(place, tmp_path):
    for folder in ("m", "m/a"):
        (tmp_path / folder).mkdir()
    for name in ("w", "m/w", "m/a/w"):
        (tmp_path / name).write_bytes(W.tobytes())
    path = tmp_path / "m" / "m.onnx"
    path.write_bytes(onnx_file([outside("w")]))
    assert_same(scans(path)["w"], W)
    path.write_bytes(onnx_file([outside(place)]))
    assert "which is no file beside it" in refused(path)
    path.write_bytes(onnx_file([outside("w", offset=b"-4")]))
    assert "ends before it does" in refused(path)


def test_onnx_nodes_tell_layouts_and_roles(tmp_path):
    """Whatever the names say, here those that exporters make, and shapes, which fit either reading."""
    onnx = pytest.importorskip("onnx")
    he, node = ik.he_normal, onnx.helper.make_node
    inf, table = np.full((3, 4), -np.inf), np.random.default_rng(2).normal(size=(50, 40))
    table[0] = 0
    tensors = {
        "onnx::1": he((40, 60), in_axis=0, out_axis=1, rng=1), "onnx::2": he((40, 60), rng=2),
        "kernel": he((40, 60), rng=5), "b": np.zeros(40),
        "onnx::3": he((12, 3, 3, 3), rng=3), "onnx::4": he((12, 12, 1, 1), rng=4),
        "onnx::5": np.stack([he((160, 60), rng=k) for k in (6, 7)]), "onnx::6": np.zeros((2, 320)),
        "onnx::7": np.zeros((2, 1, 40)), "onnx::8": table, "onnx::9": inf, "odd": he((40, 60), rng=8),
        "many": np.stack([he((60, 40), rng=k) for k in (9, 10)]),
    }  # fmt: skip
    nodes = [
        node("MatMul", ["x", "onnx::1"], ["a"]),
        node("Gemm", ["x", "onnx::2", "b"], ["c"], transB=1),
        node("Gemm", ["x", "kernel"], ["d"], transB=1),
        node("Conv", ["x", "onnx::3"], ["e"]),
        node("Conv", ["x", "onnx::4"], ["f"]),
        node("LSTM", ["x", "onnx::5", "onnx::5", "onnx::6", "", "onnx::7"], ["h"]),
        node("Gather", ["onnx::8", "x"], ["i"]),
        node("Where", ["x", "onnx::9", "y"], ["j"]),
        node("MatMul", ["x", "odd"], ["k"]),
        node("Gemm", ["x", "odd"], ["l"], transB=1),
        node("MatMul", ["x", "many"], ["m"]),
    ]
    arrays = [onnx.numpy_helper.from_array(w.astype(np.float32), name) for name, w in tensors.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], arrays)), tmp_path / "w.onnx")
    report = audit(tmp_path / "w.onnx")
    assert report.findings == ()
    assert report.coverage.left_out == {
        "bias": ("b", "onnx::6"), "buffer": ("onnx::7", "onnx::9"), "embedding": ("onnx::8",),
    }  # fmt: skip
    rows = {t.name: t for t in report.tensors if t.name in report.coverage.judged}
    fans = {
        "onnx::1": (40, 60), "onnx::2": (60, 40), "kernel": (60, 40),
        "onnx::3": (27, 108), "onnx::4": (12, 12), "onnx::5": (60, 160),
    }  # fmt: skip
    assert {name: (rows[name].fan_in, rows[name].fan_out) for name in fans} == fans
    assert all(str(rows[name].found).startswith("he_normal()") for name in fans)
    assert rows.keys() - fans.keys() == set(report.coverage.open_layout) == {"odd", "many"}
    assert next(t.fan_in for t in report.tensors if t.name == "onnx::6") is None


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (onnx_file([], opsets=0), "no opset_import"),
        (proto((1, 8), (8, b"")), "no graph"),
        (onnx_file([onnx_tensor("w", W, (31, 20))]), "2400 bytes of numbers"),
        (onnx_file([onnx_tensor("w", W, (29, 20))]), "2400 bytes of numbers"),
        (onnx_file([onnx_tensor("w", W, (2**64 - 30, 20))]), "2400 bytes of numbers"),
        (onnx_file([onnx_tensor("w", W, (2**40, 2**40), data=3)]), "0 bytes of numbers"),
        (onnx_file([onnx_tensor("w", W, (2**27,), kind=10, data=5)]), "too large"),
        (onnx_file([onnx_tensor("w", W, (2400,), kind=10, data=5)]), "do not agree"),
        (onnx_file([proto((1, 3), (2, 10), (5, b"\1\2\x83"))]), "do not agree"),
        (onnx_file([proto((1, 2), (2, 10), (5, b"\1\2\3"))]), "do not agree"),
        (onnx_file([onnx_tensor("w", W)] * 2), "called w"),
        (onnx_file([proto((1, 3), (2, 7), (9, bytes(24)))]), "no tensor"),
        (onnx_file([onnx_tensor("w", W, more=[(14, 1)])]), "no file beside it"),
        (proto((1, 8), (7, b"\x0b")), "is damaged"),
        (proto((1, 8), (7, b"\x0a" + b"\xff" * 9 + b"\1")), "cut short"),
        (proto((1, 8), (7, b"\x0a" + b"\xff" * 20)), "cut short"),
        (onnx_file([], [b""] * 2**18), "more nodes and names"),
        (onnx_file([], [proto((4, bytes(2**24)))]), "more nodes and names"),
        (onnx_file([b""] * (2**10 + 1)), "more than 1024 tensors"),
    ],
    ids=range(19),
)
def test_onnx_that_lies(file, what, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.onnx, "TENSORS", 2**10)
    (tmp_path / "w.onnx").write_bytes(file)
    before = peak_memory()
    assert what in refused(tmp_path / "w.onnx")
    assert peak_memory() - before < 200 * 2**20


def test_onnx_graphs_in_graphs_end(tmp_path):
    graph = b""
    for _ in range(5000):
        graph = proto((1, proto((5, proto((6, graph))))))
    (tmp_path / "w.onnx").write_bytes(proto((1, 8), (7, graph), (8, b"")))
    assert "recursion" in refused(tmp_path / "w.onnx")


def test_what_begins_as_onnx_does_is_none(tmp_path):
    """Core ML's models, TensorFlow's, and a header of safetensors that is as long as that."""
    for start in (b"\x08\x04\x12\x20\x0a\x10", b"\x08\x01\x12\x20model", b"\x08\x03\x08\x04\x10\x01"):
        (tmp_path / "w").write_bytes(start + bytes(50))
        assert "w: none of" in refused(tmp_path / "w")
    header = json.dumps({"w": tensor()}).encode()
    for length in (0x120308, 0x1A0308, 0x3A0308):
        (tmp_path / "w").write_bytes(safetensors(header.ljust(length)))
        assert list(scans(tmp_path / "w")) == ["w"]


@pytest.mark.parametrize("before", [[], [(2, b"spox")], [(2, b""), (3, b"")], [(2, b"")], [(3, b"1")]])
def test_onnx_begins_as_exporters_begin_it(before, tmp_path):
    """And shapes may be packed, as the third syntax of protobuf has them."""
    w = proto((1, b"\x1e\x14"), (2, 1), (8, b"w"), (9, W.tobytes()))
    (tmp_path / "w").write_bytes(proto((1, 10), *before, (7, proto((5, w))), (8, b"")))
    assert_same(scans(tmp_path / "w")["w"], W)
