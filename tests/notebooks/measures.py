"""What the lessons say of many seeds and machines, measured: ``make numbers`` writes it into measured.toml.

A function decorated with ``@over(seeds)`` measures one net, or a few, of the given seed, and returns values
by name, accuracies in per cent. What a lesson's own cells do, ``after`` does with their code, with another
``SEED``; what its figure does has the figure's constants. The rest repeats what the prose says.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np

import initkit as ik
from initkit import course, doctor, training
from initkit.course.lessons import choosing, orthogonal, rescue, why_initialization, zero_and_symmetry

LESSONS = Path(__file__).parents[2] / "notebooks/en"


class Measure(NamedTuple):
    run: Callable[[int], dict[str, float]]
    seeds: Iterable[int]


MEASURES: dict[str, Measure] = {}


def over(seeds: Iterable[int]):
    def register(run):
        MEASURES[run.__name__] = Measure(run, seeds)
        return run

    return register


def after(lesson: str, *cells: str, seed: int = 0, **given) -> dict:
    """The names of a lesson after these of its cells; ``given`` are those of cells that are left out."""
    (path,) = LESSONS.glob(f"{lesson}_*.ipynb")
    code = {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}
    names = {"LANG": "en", "SEED": seed} | given
    for cell in ("imports", *cells):
        exec(code[cell], names)
    return names


def said(lesson: str, *cells: str, seed: int, **given) -> list[float]:
    """The numbers that a lesson's cells print."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        after(lesson, *cells, seed=seed, **given)
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?", text.getvalue())]


def fit(net: ik.MLP, data=None, **how) -> ik.training.History:
    return ik.train(net, data or digits(), progress=False, **how)


def best(history) -> float:
    return 100 * history.test_accuracy.max()


def last(history) -> float:
    return 100 * history.test_accuracy[-1]


digits = functools.cache(ik.datasets.digits)


def batch() -> tuple[np.ndarray, np.ndarray]:
    return digits().x_train[:200], digits().y_train[:200]


def passed(net: ik.MLP) -> tuple[float, float]:
    """log₁₀ of what signal and gradient change by between the first hidden layer and the last."""
    seen = ik.measure(net, *batch())
    with np.errstate(divide="ignore"):
        return tuple(np.log10([seen.q[-2] / seen.q[0], seen.grad_var[0] / seen.grad_var[-2]]))


# 01


@over([0])
def one_random_unit(_):
    found = []
    for seed in range(11):
        net = ik.MLP([64, 1, 10], "relu", partial(ik.normal, std=0.1), rng=seed, dtype=np.float64)
        found.append(best(fit(net, lr=0.1, epochs=5, rng=seed)))
    found.sort()
    return {"least": found[0], "least_but_one": found[1], "most": found[-1]}


@over(range(11))
def thirty_random_units(seed):
    return {"best": 100 * after("01", "data-shapes", "symmetry", seed=seed)["best"]}


@over(range(30))
def xavier_under_relu(seed):
    x = batch()[0]
    xavier, he = (
        ik.measure(ik.MLP(why_initialization.WIDTHS, "relu", start, rng=seed), x).q
        for start in ("xavier_normal", "he_normal")
    )
    return {"q": xavier[10], "he_most": he.max(), "he_least": he.min()}


@over(range(3))
def far_starts(seed):
    x, y = batch()
    small, large = (
        ik.measure(ik.MLP(why_initialization.WIDTHS, "relu", why_initialization.STARTS[s], rng=seed), x, y)
        for s in ("small", "large")
    )
    net = ik.MLP(why_initialization.WIDTHS, "relu", why_initialization.STARTS["large"], rng=seed)
    return {
        "log_gradient": np.log10(small.grad_var[:3].max()),
        "growth": (large.q[-2] / large.q[0]) ** (1 / 9),
        "log_loss": np.log10(ik.signals.softmax_cross_entropy(net.output(x), y)[0].mean()),
    }


@over(range(8))
def xavier_and_he(seed):
    found = {}
    for lr, rate in ((0.03, "slow"), (0.06, "fast")):
        for start in ("xavier", "he"):
            net = ik.MLP(why_initialization.WIDTHS, "relu", why_initialization.STARTS[start], rng=seed)
            found[f"{start}_{rate}"] = best(fit(net, lr=lr, epochs=why_initialization.EPOCHS, rng=seed))
    return found


# 02


@over(range(3))
def eight_units(seed):
    """As the figure trains them, step by step."""
    plane = np.zeros((2, 64))

    def run(value, noise):
        run, losses, weights = zero_and_symmetry.Run(value, noise, seed, plane), [], []
        for history in run.steps:
            losses.append(history.train_loss[-1])
            weights.append(run.net.weights[0].copy())
        return np.array(losses), np.array(weights)

    equal, flat = run(0.1, 0.0)[0], run(1.0, 0.0)[0]
    zero = run(0.0, 0.0)[0]
    found = {"loss": equal[-1], "saturated_loss": flat[-1], "zero_loss_off": np.abs(zero - np.log(10)).max()}
    for noise, name in ((1e-6, ""), (1e-9, "_less")):
        _, w = run(0.1, noise)
        apart = np.linalg.norm(w - w.mean(axis=1, keepdims=True), axis=(1, 2))
        growth = 100 * (apart[1:] / apart[:-1] - 1)
        found[f"growth_early{name}"] = 100 * ((apart[30] / apart[10]) ** (1 / 20) - 1)
        found[f"growth_later{name}"] = growth[10:].max()
        if not name:
            ranks = [np.linalg.matrix_rank(m, rtol=0.01) for m in w]
            found["step_of_rank_2"] = float(np.argmax(np.array(ranks) > 1))
    return found


@over(range(11))
def noise_enough(seed):
    starts = {"noise": partial(ik.normal, mean=0.1, std=1e-2), "xavier": "xavier_normal"}
    return {
        name: best(
            fit(ik.MLP([64, 30, 10], "tanh", s, rng=seed, dtype=np.float64), lr=0.1, epochs=8, rng=seed)
        )
        for name, s in starts.items()
    }


# 04


@over(range(20))
def tanh_under_xavier(seed):
    """Twenty hidden layers of one width, as the figure has them at n = m = 100."""
    net = ik.MLP([64, *[100] * 20, 10], "tanh", "xavier_normal", rng=seed)
    x, y = digits().x_train[:50], digits().y_train[:50]
    seen = ik.measure(net, x, y)
    return {"signal": seen.q[0] / seen.q[19], "gradient": seen.grad_var[19] / seen.grad_var[0]}


# 05


@over(range(12))
def he_of_thirty_layers(seed):
    net = ik.MLP([64, *[100] * 29, 10], "relu", "he_normal", rng=seed)
    history = fit(net, lr=0.01, epochs=8, rng=seed)
    return {"loss": history.train_loss.min(), "best": best(history)}


# 06


@over(range(2))
def normalized(seed):
    found = {}
    for norm, width, depth in (("layer", 256, 30), ("layer", 64, 30), ("layer", 64, 15)):
        net = ik.MLP([64, *[width] * (depth - 1), 10], "relu", "torch_default", norm=norm, rng=seed)
        history = fit(net, lr=0.001, epochs=6, optimizer="adam", rng=seed)
        found[f"{norm}_{width}" + ("_15" if depth == 15 else "")] = last(history)
    return found


def card(seed, depth, activations=("relu", "tanh", "gelu")):
    """The last accuracy by activation and start: what the figure's card shows."""
    found = {}
    for f in activations:
        for scheme in choosing.SCHEMES:
            net = ik.MLP([64, *[choosing.WIDTH] * (depth - 1), 10], f, choosing.SCHEMES[scheme](f), rng=seed)
            history = fit(net, lr=choosing.LR, epochs=choosing.EPOCHS, optimizer="adam", rng=seed)
            found[f"{f}_{scheme}"] = last(history)
    return found


@over(range(2))
def card_3(seed):
    found = card(seed, 3)
    sigmoid = card(seed, 3, ("sigmoid",))
    behind = [
        found[f"{f}_{s}"] - sigmoid[f"sigmoid_{s}"]
        for f in ("relu", "tanh", "gelu")
        for s in choosing.SCHEMES
    ]
    return {"worst": min(found.values()), "behind_least": min(behind), "behind_most": max(behind)}


for _depth in (10, 20, 40):
    MEASURES[f"card_{_depth}"] = Measure(partial(card, depth=_depth), range(2))


@over(range(2))
def card_sigmoid(seed):
    deep = [max(card(seed, depth, ("sigmoid",)).values()) for depth in (10, 20)]
    net = ik.MLP([64, *[64] * 9, 10], "sigmoid", partial(ik.xavier_normal, gain=4.0), rng=seed)
    return {"most": max(deep), "xavier_4": last(fit(net, lr=0.001, epochs=6, optimizer="adam", rng=seed))}


@over(range(3))
def small_epsilon(seed):
    found = {}
    adam = training.OPTIMIZERS["adam"]
    for name, epsilon in (("usual", 1e-8), ("small", 1e-16)):
        training.OPTIMIZERS["adam"] = partial(adam, epsilon=epsilon)
        try:
            net = ik.MLP([64, *[64] * 39, 10], "gelu", "xavier_normal", rng=seed)
            found[name] = last(fit(net, lr=0.001, epochs=6, optimizer="adam", rng=seed))
        finally:
            training.OPTIMIZERS["adam"] = adam
    return found


def remedies():
    scale = (2 * 38) ** -0.5
    return {
        "nothing": {},
        "he": {"init": "he_normal"},
        "layer_norm": {"norm": "layer"},
        "lsuv": {},
        "residual": {"residual": 1.0},
        "scaled": {"residual": scale},
        "scaled_norm": {"residual": scale, "norm": "layer"},
    }


@over(range(2))
def six_epochs(seed):
    found = {}
    for name, more in remedies().items():
        net = ik.MLP([64, *[64] * 39, 10], "gelu", **{"init": "torch_default", "rng": seed} | more)
        if name == "lsuv":
            net = ik.lsuv(net, batch()[0], rng=seed)
        if name in ("layer_norm", "lsuv"):
            found[f"{name}_gradient"] = passed(net)[1]
        if name == "residual":
            found["residual_signal"] = passed(net)[0]
        found[name] = last(fit(net, lr=0.001, epochs=6, optimizer="adam", rng=seed))
    net = ik.MLP([64, *[64] * 39, 10], "gelu", "he_normal", residual=1.0, rng=seed)
    found["residual_from_he"] = last(fit(net, lr=0.001, epochs=4, optimizer="adam", rng=seed))
    scaled = ik.MLP([64, *[64] * 39, 10], "gelu", "he_normal", residual=(2 * 38) ** -0.5, rng=seed)
    found["scaled_from_he"] = last(fit(scaled, lr=0.001, epochs=4, optimizer="adam", rng=seed))
    return found


@over(range(30))
def gelu_from_he(seed):
    return {"signal": passed(ik.MLP([64, *[64] * 39, 10], "gelu", "he_normal", rng=seed))[0]}


@over([0])
def gelu_from_he_at_seed_0(seed):
    z = ik.MLP([64, *[64] * 39, 10], "gelu", "he_normal", rng=seed).trace(batch()[0]).pre
    first, last_ = (np.square(z[k].astype(float)).mean(axis=1) for k in (0, -2))
    signals = [gelu_from_he(s)["signal"] for s in range(30)]
    return {
        "share": 100 * last_.max() / last_.sum(),
        "log_median_image": np.log10(np.median(last_ / first)),
        "log_median_net": np.median(signals),
    }


@over(range(30))
def correlation_at_the_edge(seed):
    draw, bias = partial(ik.he_normal, gain=1.0), partial(ik.normal, std=0.0)
    c = ik.measure(ik.MLP([64, *[200] * 20, 10], "tanh", draw, bias, rng=seed), batch()[0]).correlation[:20]
    return {"c_least": c.min(), "c_most": c.max()}


@over([0])
def nets_on_the_hilltop(seed):
    kept = []
    for gain in (1.43, 1.44, 1.45, 1.46, 1.47):
        nets = (
            ik.MLP([64, *[100] * 39, 10], "gelu", partial(ik.he_normal, gain=gain), rng=s) for s in range(30)
        )
        good = [max(map(abs, passed(net))) < 2 for net in nets]
        kept.append([sum(good[k : k + 10]) for k in (0, 10, 20)])
    most = np.max(kept, axis=0)
    return {"least_of_ten": float(most.min()), "most_of_ten": float(most.max())}


@over(range(6))
def challenge_06(seed):
    net = ik.MLP([64, *[64] * 39, 10], "gelu", partial(ik.he_normal, gain=2**0.5), rng=seed)
    return {"he": last(fit(net, lr=0.001, epochs=2, optimizer="adam", rng=seed))}


# 06b


@over(range(4))
def the_patient(seed):
    """The lesson's cells, one after the other."""
    names = after("06b", "patient", "data", "signals", "hidden", "last", "rate", seed=seed)
    seen, found = names["seen"], {"hidden": 100 * names["found"]}
    sick = names["sick"]
    loss = ik.signals.softmax_cross_entropy(sick.forward(digits().x_train), digits().y_train)[0]
    found["first_loss"] = loss.mean()
    found["log_gradient"] = np.log10(seen.grad_var[0] / seen.grad_var[-2])
    found["last_loss"] = float(names["loss"])
    found["last"] = best(names["now"])
    found["cured"] = best(names["cured"])
    found["ratio_apart"] = float(np.ptp(names["ratio"]))
    found["ratio"] = float(np.median(names["ratio"]))
    found["ratio_apart_before"] = float(np.ptp(names["before"].log_update_ratio[0]))
    found["rate_first"] = best(fit(deepcopy(sick), names["pixels"], lr=names["lr"], epochs=6, rng=seed))
    return found


@over(range(10))
def one_fault(seed):
    data = digits()
    dark, span = data.x_train.min(), np.ptp(data.x_train)
    pixels = data._replace(
        x_train=255 * (data.x_train - dark) / span, x_test=255 * (data.x_test - dark) / span
    )
    found = {}

    def cured(name, hidden="xavier", last_layer="xavier", lr=0.03, given=data):
        net = ik.MLP(rescue.WIDTHS, "tanh", rescue.DRAWS[hidden], rng=seed)
        net.weights[-1][:] = ik.MLP(rescue.WIDTHS, "tanh", rescue.DRAWS[last_layer], rng=seed).weights[-1]
        gradient = np.sqrt(ik.measure(net, given.x_train[:200], given.y_train[:200]).grad_var[:-1])
        history = fit(net, given, lr=lr, epochs=rescue.EPOCHS, rng=seed)
        found[name] = last(history)
        return np.median(history.log_update_ratio[0][:-1]), gradient

    _, usual = cured("nothing")
    cured("pixels", given=pixels)
    cured("hidden", hidden="normal")
    found["last_ratio"], gradient = cured("last_layer", last_layer="normal")
    found["last_gradient"] = np.median(gradient / usual)
    found["slow_ratio"], _ = cured("slow", lr=1e-4)
    found["fast_ratio"], _ = cured("fast", lr=0.3)
    found["faster_ratio"], _ = cured("faster", lr=3.0)
    return found


@over(range(4))
def last_layer_of_the_patient(seed):
    """The first loss when all but the last layer is repaired."""
    net = ik.MLP(rescue.WIDTHS, "tanh", "xavier_normal", rng=seed, dtype=np.float64)
    net.weights[-1][:] = ik.MLP(rescue.WIDTHS, "tanh", partial(ik.normal, std=1.0), rng=seed).weights[-1]
    loss = ik.signals.softmax_cross_entropy(net.forward(digits().x_train), digits().y_train)[0]
    return {"loss": loss.mean()}


@over([2])
def five_layers(seed):
    """The net of question 06b.2: its last layer N(0, 1), then Xavier's."""
    found, widths = {}, [64, *[64] * 4, 10]
    for prefix, draw in (("", "normal"), ("cured_", "xavier")):
        net = ik.MLP(widths, "tanh", rescue.DRAWS["xavier"], rng=seed)
        net.weights[-1][:] = ik.MLP(widths, "tanh", rescue.DRAWS[draw], rng=seed).weights[-1]
        loss = ik.signals.softmax_cross_entropy(net.output(digits().x_train), digits().y_train)[0]
        ratios = fit(net, lr=0.01, epochs=1, rng=seed).log_update_ratio[0]
        found |= {
            f"{prefix}loss": loss.mean(),
            f"{prefix}hidden": np.median(ratios[:-1]),
            f"{prefix}last": ratios[-1],
        }
    return found


# 07


@over(range(10))
def patient_c(seed):
    net = course.patient("C", rng=seed)
    return {"log_gradient": passed(net)[1]}


@over(range(5))
def patients_trained(seed):
    how = {"lr": 0.001, "epochs": 5, "optimizer": "adam", "rng": seed}
    cures = {"A": "he_normal", "B": "he_normal", "C": "xavier_normal"}
    found = {}
    for name in "ABCD":
        ill = course.patient(name, rng=seed)
        found[name] = last(fit(ill, **how))
        if name in "AC":
            found[f"{name}_cured"] = last(
                fit(ik.MLP(ill.widths, ill.activation, cures[name], rng=seed), **how)
            )
    return found


@over([0])
def trained_normal(_):
    """The normal net of "After five epochs of training", with five seeds; and after forty epochs."""
    accuracy, moved, spread, unnamed, later = [], [], [], 0, [0, 0, 0]
    for seed in range(5):
        net = ik.MLP([64, 128, 128, 10], "relu", "he_normal", rng=seed)
        *hidden, start = (w.copy() for w in net.weights)
        accuracy.append(last(fit(net, lr=0.05, epochs=5, rng=seed)))
        moved.append(100 * np.linalg.norm(net.weights[2] - start) / np.linalg.norm(start))
        spread += [100 * abs(now.std() / w.std() - 1) for now, w in zip(net.weights, hidden, strict=False)]
        unnamed += not doctor.identify(net.weights[2]).matches
        net = ik.MLP([64, 128, 128, 10], "relu", "he_normal", rng=seed)
        fit(net, lr=0.05, epochs=40, rng=seed)
        later = [n + (not doctor.identify(w).matches) for n, w in zip(later, net.weights, strict=True)]
    return {
        "accuracy_least": min(accuracy),
        "accuracy_most": max(accuracy),
        "moved_least": min(moved),
        "moved_most": max(moved),
        "spread_least": min(spread),
        "spread_most": max(spread),
        "output_unnamed": unnamed,
        **{f"layer_{k}_unnamed_later": n for k, n in enumerate(later, 1)},
    }


# 09

STARTS = {"independent": "lecun_normal", "orthogonal": "orthogonal"}


@over(range(6))
def a_hundred_linear_layers(seed):
    """The cell `spectrum`; and the figure, whose matrices keep the mean exactly."""
    net = ik.MLP([100] * 101, "identity", "lecun_normal", rng=seed, dtype=np.float64)
    (s,) = ik.spectra.singular_values(net, layers=[100])
    x = np.random.default_rng(seed).standard_normal(100)
    fan = orthogonal.opening(orthogonal.matrices("gaussian", seed), "identity", 1.0, x)
    middle = dict(zip(orthogonal.SHOWN.tolist(), fan[:, 50], strict=True))
    return {
        "largest": s[0],
        "middle_of_10": middle[10],
        "log_middle_of_50": np.log10(middle[50]),
        "thin_of_50": 100 * (fan[-1] < 0.01).mean(),
    }


@over(range(8))
def axes_of_fifty_layers(seed):
    """The cell `isometry`: the share of thin axes."""
    x = np.random.default_rng(seed).standard_normal(100)
    found = {}
    for f, g in (("tanh", 1.05), ("tanh", 1.5), ("relu", 2**0.5)):
        for start in (partial(ik.he_normal, gain=g), partial(ik.orthogonal, gain=g)):
            net = ik.MLP([100] * 52, f, start, rng=seed, dtype=np.float64)
            (s,) = ik.spectra.singular_values(net, x, layers=[50])
            found[f"{f}_{10 * g:.0f}_{start.func.__name__}"] = 100 * (s < 0.01 * s[0]).mean()
    kept = found.pop("tanh_10_orthogonal")  # σ_w = 1.05
    return {"kept": kept, "others_least": min(found.values()), "others_most": max(found.values())}


@over(range(6))
def one_epoch_of_a_linear_net(seed):
    """The cell `train`: the training loss."""
    found = {}
    for depth in (5, 20, 60, 200):
        for name, start in STARTS.items():
            net = ik.MLP([64, *[32] * (depth - 1), 10], "identity", start, rng=seed)
            found[f"{name}_{depth}"] = fit(net, lr=0.3 / depth, epochs=1, rng=seed).train_loss[-1]
    return found


@over(range(6))
def tanh_of_sixty_layers(seed):
    """The cell `tanh`: the lowest training loss in six epochs; and epochs to 1 with 40 layers of 64 units."""
    found = {}
    for name, start in STARTS.items():
        net = ik.MLP([64, *[32] * 59, 10], "tanh", start, rng=seed)
        found[name] = fit(net, lr=2 / 60, epochs=6, rng=seed).train_loss.min()
        net = ik.MLP([64, *[64] * 39, 10], "tanh", start, rng=seed)
        reached = fit(net, lr=2 / 40, epochs=10, rng=seed).train_loss < 1
        found[f"epochs_{name}"] = 1 + np.argmax(reached) if reached.any() else np.inf
    return found


@over(range(4))
def tanh_of_a_hundred_layers(seed):
    found = {}
    for name, start in STARTS.items():
        net = ik.MLP([64, *[64] * 99, 10], "tanh", start, rng=seed)
        found[name] = best(fit(net, lr=2 / 100, epochs=8, rng=seed))
    return found


@over(range(8))
def widths_that_change(seed):
    """The cell `widths`: by which factor signal and gradient are off."""
    found = {}
    for name in ("lecun_normal", "xavier_normal"):
        net = ik.MLP([64, *[40, 160] * 10, 10], "identity", name, rng=seed, dtype=np.float64)
        seen = ik.measure(net, *batch())
        kept = np.array([seen.q[18] / seen.q[0], seen.grad_var[0] / seen.grad_var[18]])
        off = np.maximum(kept, 1 / kept)
        found |= {f"{name}_least": off.min(), f"{name}_most": off.max()}
    return found


# 10

KINDS = {
    "10_12": [12] * 10,
    "10_25": [25] * 10,
    "20_25": [25] * 20,
    "20_50": [50] * 20,
    "20_100": [100] * 20,
    "20_14_80": [14, 80] * 10,
    "40_100": [100] * 40,
}


@over([0])
def who_begins(_):
    """Epochs to 20 % of the test digits: the mean over 24 seeds by kind of net; of one, first and last."""
    epochs = {}
    for kind, widths in KINDS.items():
        epochs[kind] = []
        for seed in range(24):
            net = ik.MLP([64, *widths, 10], "relu", "he_normal", rng=seed)
            seen = training.iterate(net, digits(), lr=0.01, epochs=30, rng=seed)
            epochs[kind].append(next((k for k, h in enumerate(seen) if h.test_accuracy[-1] > 0.2), 31))
    found = {f"mean_{kind}": np.mean(those) for kind, those in epochs.items()}
    found |= {f"error_{kind}": np.std(those, ddof=1) / 24**0.5 for kind, those in epochs.items()}
    return found | {"first": min(epochs["20_25"]), "last": max(epochs["20_25"])}


@over(range(8))
def finite_width(seed):
    """What the cells of lesson 10 print."""
    measured = np.reshape(said("10", "measure", seed=seed), (3, 6))
    laws = said("10", "laws", seed=seed)
    normal, _, uniform, _, _, coin, _, student, _, sparse, dead = laws
    _, orthogonal, _, linear, *_ = said("10", "orthogonal", seed=seed)
    plain, residual = said("10", "residual", seed=seed)
    kurtosis = np.reshape(said("10", "gauss", seed=seed), (3, 3))[:, 1]
    found = {"normal": normal, "uniform": uniform, "coin": coin, "student": student, "sparse": sparse}
    found |= {"sparse_dead": dead, "orthogonal": orthogonal, "linear": linear}
    for value, numbers in zip(("mean", "median", "variance"), measured.T[2:5], strict=True):
        found |= {f"{value}_least": numbers.min(), f"{value}_most": numbers.max()}
    found |= {"plain": plain, "residual": residual}
    return found | dict(zip(("kurtosis_10", "kurtosis_30", "kurtosis_100"), kurtosis, strict=True))


# In PyTorch


@over(range(3))
def rescue_in_torch(seed):
    cells = ("torch-first", "torch-signals", "torch-last", "torch-ratio", "torch-train")
    loss, flat, first, _, last_, _, _, _, large, repaired, least, most, rate, accuracy = said(
        "06b", *cells, seed=seed, data=digits()
    )
    found = {"first_loss": loss, "saturated": flat, "log_gradient_1": np.log10(first), "gradient_19": last_}
    found |= {"large_loss": large, "repaired_loss": repaired}
    found |= {"ratio_least": least, "ratio_most": most, "rate": rate}
    return found | {"accuracy": accuracy}


@over(range(2))
def batch_norm(seed):
    """Thirty plain ReLU layers with BatchNorm, as PyTorch starts them."""
    import torch
    from torch import nn

    x, y, x_test, y_test = (torch.tensor(part) for part in digits())
    found = {}
    for width in (256, 64):
        torch.manual_seed(seed)
        widths = [64, *[width] * 29]
        pairs = itertools.pairwise(widths)
        hidden = [m for n, k in pairs for m in (nn.Linear(n, k), nn.BatchNorm1d(k), nn.ReLU())]
        net = nn.Sequential(*hidden, nn.Linear(width, 10))
        adam = torch.optim.Adam(net.parameters(), lr=0.001)
        for _ in range(6):
            for rows in torch.randperm(len(x)).split(64):
                adam.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
                adam.step()
        net.eval()
        found[f"width_{width}"] = 100 * (net(x_test).argmax(dim=1) == y_test).double().mean().item()
    return found


@over([0])
def patient_in_torch(seed):
    """Lesson 07's module: the signal that its biases keep up, and the gradient that arrives."""
    names = after("07", "torch-import", "torch-diagnose", seed=seed, x=batch()[0], y=batch()[1], display=repr)
    signals = names["report"].signals
    return {
        "signal": signals.q[18],
        "log_gradient": np.log10(signals.grad_var[0] / signals.grad_var[18]),
        "says": float(re.search(r"×\s*(0\.\d+)", names["report"].findings[0].message("en"))[1]),
    }


# 08


def commonest(net) -> float:
    """The share of the commonest answer, in per cent."""
    answers = net.output(digits().x_test).argmax(axis=1)
    return 100 * np.bincount(answers).max() / len(answers)


def twenty_relu(seed) -> ik.MLP:
    return ik.MLP([64, *[100] * 19, 10], "relu", "he_normal", rng=seed)


@over(range(40))
def twenty_relu_layers(seed):
    return {"share": commonest(twenty_relu(seed))}


@over([0])
def forty_relu_nets(_):
    return {"share": np.mean([commonest(twenty_relu(seed)) for seed in range(40)])}


@over(range(5))
def twenty_relu_layers_trained(seed):
    net = twenty_relu(seed)
    found = {}
    for epoch, _ in enumerate(training.iterate(net, digits(), lr=0.05, epochs=3, rng=seed)):
        found[f"epoch_{epoch}"] = commonest(net)
    return found


@over(range(4))
def depth_of_tanh(seed):
    """The lesson's four nets; the ordered for ten epochs, too; 80 layers at a fifth of the learning rate."""
    found = {}
    for name, w2, depth, lr, epochs in (
        ("ordered", 1.0, 22, 0.05, 5),
        ("ordered_10", 1.0, 22, 0.05, 10),
        ("chaotic", 3.5, 47, 0.05, 5),
        ("edge_30", 1.761, 30, 0.05, 5),
        ("edge_80", 1.761, 80, 0.05, 5),
        ("edge_80_slow", 1.761, 80, 0.01, 6),
    ):
        draw, bias = partial(ik.he_normal, gain=w2**0.5), partial(ik.normal, std=0.05**0.5)
        net = ik.MLP([64, *[64] * (depth - 1), 10], "tanh", draw, bias, rng=seed)
        found[name] = best(fit(net, lr=lr, epochs=epochs, rng=seed))
    return found


@over(range(5))
def challenge_08(seed):
    """What the challenge of lesson 08 reaches as it stands."""
    draw, bias = partial(ik.he_normal, gain=1.0), partial(ik.normal, std=0.2)
    net = ik.MLP([64, *[64] * 9, 10], "tanh", draw, bias, rng=seed)
    return {"best": best(fit(net, lr=0.05, epochs=4, rng=seed))}


def main() -> None:
    """A line of JSON a measure: its name, and the least and the most of each value."""
    for name in sys.argv[1:] or MEASURES:
        with contextlib.redirect_stdout(io.StringIO()):  # what cells print
            runs = [MEASURES[name].run(seed) for seed in MEASURES[name].seeds]
        seen = {value: [float(pick(run[value] for run in runs)) for pick in (min, max)] for value in runs[0]}
        print(json.dumps({"name": name, "seen": seen}), flush=True)


if __name__ == "__main__":
    main()
