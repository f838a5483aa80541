"""Calls that mypy --strict refuses, each on a line marked as wrong. See test_calls.py."""

import math

import numpy as np

import initkit as ik
from initkit.initializers import Initializer


def without_dtype(shape: tuple[int, ...], *, rng: np.random.Generator) -> float:
    return 0.0


shape = (3, 4)
net = ik.MLP([64, 10])
data = ik.datasets.digits()

# Shapes, seeds, dtypes, out
ik.he_normal(3.5)  # wrong
ik.he_normal("34")  # wrong
ik.he_normal((3, 4.0))  # wrong
ik.he_normal()  # wrong
ik.he_normal(shape, rng="seed")  # wrong
ik.he_normal(shape, rng=0.5)  # wrong
ik.he_normal(shape, rng=np.random.RandomState(0))  # wrong
ik.he_normal(shape, dtype="float12")  # wrong
ik.he_normal(shape, dtype=np.int32)  # wrong
ik.he_normal(shape, dtype=complex)  # wrong
ik.he_normal(shape, dtype=None)  # wrong
ik.he_normal(shape, out=[0.0])  # wrong

# Axes and modes
ik.he_normal(shape, in_axes=1)  # wrong
ik.he_normal(shape, in_axis=1.0)  # wrong
ik.xavier_normal(shape, out_axis="last")  # wrong
ik.lecun_uniform(shape, scale=2.0)  # wrong
ik.torch_default(shape, batch=0)  # wrong
ik.he_uniform(shape, mode="fan_inn")  # wrong
ik.variance_scaling(shape, mode="fan")  # wrong
ik.variance_scaling(shape, distribution="gaussian")  # wrong
ik.variance_scaling(shape, groups="2")  # wrong
ik.sparse(shape, 0.5, mode="fan_avg")  # wrong
ik.sparse(shape)  # wrong
ik.delta_orthogonal(shape, centre="middle")  # wrong
ik.fans(shape, in_axis=None)  # wrong

# Numbers and functions
ik.normal(shape, std="0.5")  # wrong
ik.uniform(shape, low=None)  # wrong
ik.xavier_uniform(shape, gain="relu")  # wrong
ik.he_normal(shape, activation=3)  # wrong
ik.he_normal(shape, activation=math.tanh)  # wrong
ik.gain("tanh", convention="Torch")  # wrong
ik.constant(shape)  # wrong
ik.get(3)  # wrong
ik.sample_block("he_normal", shape, 0)  # wrong
chosen: Initializer = without_dtype  # wrong
how_many: int = ik.zeros(shape)  # wrong

# Nets, signals, theory, training
ik.MLP(64.0)  # wrong
ik.MLP([64, 10], init=3)  # wrong
ik.MLP([64, 10], init=without_dtype)  # wrong
ik.MLP([64, 10], norm="batch")  # wrong
ik.MLP([64, 10], residual="0.5")  # wrong
net.forward()  # wrong
ik.measure([64, 10], data.x_train)  # wrong
kept = ik.measure(net, data.x_train).variance  # wrong
ik.predict(depth=2.5, width=10)  # wrong
ik.predict(2, 10, sigma="1")  # wrong
ik.phase("tanh")  # wrong
ik.critical_sigma_w("tanh", sigma_b="0")  # wrong
ik.train(net, data, lr="0.1", epochs=1)  # wrong
ik.train(net, data, lr=0.1, epochs=1, optimizer="rmsprop")  # wrong
ik.train(net, data.x_train, lr=0.1, epochs=1)  # wrong
ik.train(net, data, 0.1, 1)  # wrong
ik.sweep(3, {})  # wrong
ik.sweep(max, {"a": 1})  # wrong

# Languages, layouts, recipes
ik.plots.heat_map([], lang="fr")  # wrong
ik.plots.Figure("fr")  # wrong
ik.doctor.audit("net.npz", lang="de")  # wrong
ik.doctor.audit("net.npz", layout="tensorflow")  # wrong
ik.doctor.audit("net.npz", recipe="gpt-2")  # wrong
ik.doctor.audit("net.npz", activation=3)  # wrong
ik.doctor.identify(ik.zeros(shape)).message("English")  # wrong
ik.doctor.diagnose(None, None, lang="fr")  # wrong
ik.doctor.assert_healthy(None, None, lang="fr")  # wrong
ik.doctor.apply(None, lang="fr")  # wrong
ik.doctor.aply(None)  # wrong
if ik.doctor.identify(ik.zeros(shape)).verdict == "stale":  # wrong
    pass
ik.live.he(lang="fr")  # wrong
ik.live.he()  # wrong
ik.live.he.still(lang="fr", gain=2.0)  # wrong
ik.course.quiz("02.1", lang="fr")  # wrong
ik.course.check("02.1", 1, lang="fr")  # wrong
ik.course.glossary(lang="fr")  # wrong
ik.course.text("layers.title", "fr")  # wrong
ik.course.patient("F")  # wrong
ik.course.specimen("D", lang="en")  # wrong
