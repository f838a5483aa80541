"""Calls that mypy --strict accepts: test_calls.py reads this file, and nothing runs it."""

import concurrent.futures
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import initkit as ik
from initkit import training
from initkit.arguments import DTypeLike, RNGLike, ShapeLike
from initkit.doctor.layout import Layout
from initkit.doctor.recipes import RecipeName
from initkit.initializers import Distribution, Initializer, Mode
from initkit.words import Language


def mine(shape: ShapeLike, *, rng: RNGLike = None, dtype: DTypeLike = np.float32) -> npt.NDArray[np.float32]:
    """An initializer of a reader's own, after the library's."""
    scale: npt.NDArray[np.float32] = ik.normal(shape, std=0.1, rng=rng, dtype=dtype)
    return scale * np.float32(2)


def plain(shape: tuple[int, ...], *, rng: np.random.Generator, dtype: np.dtype[np.float32]) -> list[float]:
    """As little as an initializer needs."""
    return rng.standard_normal(shape).astype(dtype).tolist()  # type: ignore[no-any-return]


def relu_6(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.clip(z, 0, 6)


# Shapes, seeds, dtypes
w = ik.he_normal((3, 4), rng=0)
ik.he_normal([3, 4], rng=np.random.SeedSequence(1))
ik.he_normal(w.shape, rng=np.random.default_rng(2))
ik.he_normal((n for n in (3, 4)), rng=np.int64(3))
ik.he_normal(np.array([3, 4]))
ik.zeros(3, dtype="float16")
ik.zeros(np.int64(3), dtype=float)
ik.zeros((), dtype=np.dtype(np.float64))
ik.ones(w.shape, dtype=w.dtype)
double: npt.NDArray[np.float64] = ik.ones(3, dtype=np.float64)
ik.normal((3, 4), out=w)
ik.normal((3, 4), dtype=np.float64, out=np.empty((3, 4)))
ik.normal((3, 4), out=ik.sampling.Block(0))

# Schemes and their arguments
mode: Mode = "fan_out"
distribution: Distribution = "uniform"
ik.variance_scaling((3, 4), 2, mode, distribution, in_axis=-2, out_axis=-1)
ik.variance_scaling((3, 4, 5), scale=np.float32(2), in_axis=(0, 1), out_axis=2, batch_axis=(), groups=1)
ik.xavier_uniform((3, 4), gain=5 / 3, in_axis=0, out_axis=1)
ik.he_uniform((3, 4), "leaky_relu", "fan_in", None)
ik.he_normal((3, 4), ("leaky_relu", 0.2), groups=1)
ik.he_normal((3, 4), np.tanh)
ik.he_normal((3, 4), relu_6)
ik.he_normal((3, 4), ik.activations.gelu, gain=1)
ik.lecun_normal(5, fan=4)
ik.torch_default(5, fan_in=4)
ik.constant((2, 3), [1, 2, 3])
ik.constant((2, 3), 0.5)
ik.orthogonal((3, 4), 2, out_axis=(0,))
ik.delta_orthogonal((3, 3, 5), centre="lower")
ik.identity((3, 4))
ik.dirac((3, 4, 5), groups=3)
ik.sparse((3, 4), 0.5, mode="fan_out")
ik.uniform(3, -1, 1)
ik.truncated_normal(3, low=-np.inf)
ik.sample_block("he_normal", (3, 4), 0, rng=0, gain=2.0)
ik.get("he_normal")((3, 4), gain=2.0, rng=0)
ik.get(ik.he_normal)((3, 4), gain=2.0)
chosen: Initializer = ik.he_normal
ik.fans((3, 4)).fan_in.bit_length()
ik.gain("tanh", convention="torch").is_integer()

# Nets, signals, theory
net = ik.MLP([64, *[32] * 3, 10], np.tanh, mine, "zeros", 0, np.float64, residual=0.5, norm="layer")
ik.MLP((64, 10), init=ik.he_normal, bias=plain, rng=np.random.default_rng(0), dtype="float32")
data = ik.datasets.digits()
x, y = data.x_train[:50], data.y_train[:50]
net.forward(x)
gradient: npt.NDArray[np.float64] = net.backward(np.ones((50, 10))).weights[0]
ik.lsuv(net, x, tol=0.2, max_iter=3)
seen = ik.measure(net, x, y, np.linspace(-1, 1, 5))
predicted = ik.predict_for(net, x, y)
ik.predict(30, 100, "relu", sigma_w=2**0.5, norm="layer").q.sum()
if ik.phase("tanh", 1, 0.1).phase == "chaotic":
    ik.critical_sigma_w("tanh", sigma_b=0.1).is_integer()
ik.phase("tanh", [1.0, 2.0], 0.1).chi_1.mean()
ik.phase("tanh", np.ones(3), np.zeros((2, 1))).phase.tolist()
ik.theory.log_length([20, 20], "relu", "orthogonal").variance.is_integer()
ik.spectra.singular_values(net, x[0], layers=[1]).max()

# Training, sweeps, pictures
history = ik.train(net, data, lr=0.1, epochs=2, optimizer="adam", rng=0, progress=print)
steps: Iterator[ik.History] = training.iterate(net, data, lr=0.1, epochs=1)
history.train_loss.min()
with concurrent.futures.ThreadPoolExecutor() as pool:
    rows = ik.sweep(max, {"a": [1, 2], "b": range(3)}, pool, path="rows.jsonl")
ik.sweep(lambda a: a, [{"a": 1}], progress=False)[0]["value"].bit_length()
ik.plots.signals_by_layer(seen, predicted, lang="en").savefig("signals.png")

# The doctor and the course
module: Any = None  # of PyTorch, which may be missing
ik.doctor.apply(module, "he_normal", rng=np.random.default_rng(0), only=["head"]).verdict.upper()
ik.doctor.assert_healthy(module, {"x": x}, y, allow=["input_scale"], lang="zh")
ik.doctor.diagnose(module, (x,)).findings[0].remedy("zh")
lang: Language = "zh"
layout: Layout = "keras"
recipe: RecipeName = "gpt2"
report = ik.doctor.audit("net.npz", activation=("leaky_relu", 0.2), lang=lang, layout=layout, recipe=recipe)
if report.tensors[0].found.verdict == "too_few":
    report.findings[0].message("en").upper()
ik.doctor.identify(w).message(lang).upper()
ik.live.he(lang=lang, seed=1).controls.keys()
ik.live.he.still(lang="en", activation="relu").savefig("he.png")
for language in ik.course.LANGUAGES:
    ik.course.quiz("02.1", lang=language)
ik.course.check("02.1", w, lang="en", student="Li Lei").message.upper()
ik.course.patient("A", rng=0).depth.bit_length()
ik.course.specimen("B", lang="zh").savefig("b.png")
