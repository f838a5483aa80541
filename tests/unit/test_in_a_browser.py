"""What is different where Python runs in a browser: no threads, no processes, nothing to install, and slower.

Simulated here by ``sys.platform``; tests/site has the real thing. (Fills: test_sampling.py.)
"""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import initkit as ik
from initkit import network, packages, sampling, training
from initkit.doctor.checkpoints import keras, protocol


@pytest.fixture
def in_a_browser(monkeypatch):
    """No thread starts; a bar is written to stderr, which is no terminal, as there is no page."""
    import tqdm.notebook
    import tqdm.std

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    monkeypatch.setattr(tqdm.notebook, "tqdm", tqdm.std.tqdm)
    monkeypatch.setenv("TQDM_DISABLE", "")


@pytest.mark.parametrize(
    "work",
    [
        lambda: ik.train(ik.MLP([64, 10], rng=0), ik.datasets.digits(), lr=0.1, epochs=1, rng=0),
        lambda: ik.sweep(abs, [{}, {}], progress=True),
    ],
    ids=["train", "sweep"],
)
def test_a_bar_shows_at_once_and_starts_no_thread(in_a_browser, work, capsys):
    work()  # a warning of tqdm's, that its monitor has no thread, would be an error here
    assert "0%" in capsys.readouterr().err


def test_a_bar_has_no_monitor_anywhere(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread"))
    monkeypatch.setenv("TQDM_DISABLE", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with training.bar(total=1) as step:
        step()


def test_hints_say_that_a_browser_cannot_install(monkeypatch):
    assert packages.how_to_install("torch") == "pip install torch"
    monkeypatch.setattr(sys, "platform", "emscripten")
    said = str(protocol.missing("safetensors"))
    assert said == f'needs safetensors: outside the browser, pip install safetensors "{packages.REQUIREMENT}"'
    assert packages.how_to_install("torch", lang="zh").startswith("浏览器里装不了")


def test_a_keras_file_without_processes_is_unreadable_and_says_why(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError(138, "emscripten does not support processes.")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(protocol.Unreadable, match="in a process of their own, which cannot be started"):
        keras.ask_hdf5(tmp_path / "model.h5")


def test_no_word_of_matplotlibs_about_its_font_cache(tmp_path):
    """Five seconds after it has begun to build one, or at once in a browser, it says so in red."""
    program = (
        "import threading; threading.Timer.start = lambda timer: timer.function();"
        "import initkit.plots; print('drawn')"
    )
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True, env=environment
    )
    assert (run.stdout, run.stderr) == ("drawn\n", "")
    assert list(tmp_path.glob("fontlist*"))  # it was built anew


def test_no_blas_is_looked_for(monkeypatch):
    """threadpoolctl looks up every library in the notebook's folder, a message to the page each."""
    monkeypatch.setattr(sampling, "_THREADS", False)
    monkeypatch.setattr(sampling, "_blas", lambda *loaded: pytest.fail("looked for"))
    with sampling.one_blas_thread():
        ik.train(ik.MLP([64, 10], rng=0), ik.datasets.digits(), lr=0.1, epochs=1, rng=0, progress=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    "layout", [np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]]
)
def test_matrices_are_multiplied_by_scipys_blas(monkeypatch, dtype, layout):
    rng = np.random.default_rng(0)
    a, b = (layout(rng.standard_normal(shape).astype(dtype)) for shape in ((7, 5), (5, 9)))
    here = a @ b
    monkeypatch.setattr(sys, "platform", "emscripten")
    there = network._product(a, b)
    assert (there.dtype, there.shape) == (here.dtype, here.shape)
    np.testing.assert_allclose(there, here, rtol=0, atol=4 * np.finfo(dtype).eps * 5 * 9)
    used = []
    monkeypatch.setattr("scipy.linalg.blas.sgemm", lambda *_, **__: used.append("sgemm") or here)
    monkeypatch.setattr("scipy.linalg.blas.dgemm", lambda *_, **__: used.append("dgemm") or here)
    network._product(a, b)
    assert used == {np.float32: ["sgemm"], np.float64: ["dgemm"], np.float16: []}[dtype]
    assert network._product(a[:0], b).shape == (0, 9)
    assert not network._product(a[:, :0], b[:0]).any()


def test_a_net_computes_there_what_it_does_here(monkeypatch):
    """Infinities too: a net that explodes does so in either."""
    x = np.random.default_rng(0).standard_normal((30, 20))
    for scale in (1.0, 1e12):
        net = ik.MLP([20, 40, 40, 40, 3], rng=0)
        net.weights = [w * np.float32(scale) for w in net.weights]
        found = []
        for platform in ("linux", "emscripten"):
            monkeypatch.setattr(sys, "platform", platform)
            s = ik.measure(net, x, np.zeros(30, int))
            found.append([s.q, s.grad_var])
        np.testing.assert_allclose(*found, rtol=1e-4)
