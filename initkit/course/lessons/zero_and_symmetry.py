"""Lesson 02: hidden units that start equal, and what a grain of noise does to them."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt

from ... import datasets, initializers, plots
from ...network import MLP
from ...plots import DIM, MEASURED, QUIET
from ...training import iterate
from ...widgets import controls
from ...words import RAISED, Language
from .. import answers
from ..registry import exercise, live_figure

UNITS, STEPS, LR, EXAMPLES = 8, 200, 0.3, 400
AT_ONCE = 10  # steps of training between two pictures
NOISES = (0.0, *(10.0**-k for k in range(9, 0, -1)))


def written(noise: float) -> str:
    """0 or a power of ten, as a reader would write it.

    >>> [written(noise) for noise in (0.0, 1e-6, 0.1)]
    ['0', '10⁻⁶', '0.1']
    """
    digits, _, power = f"{noise:g}".partition("e")
    return "10" + str(int(power)).translate(RAISED) if power else digits


class Run:
    """One net in training, full-batch gradient descent, as far as it has come."""

    def __init__(self, value: float, noise: float, seed: int, plane: np.ndarray):
        data = datasets.digits()
        data = data._replace(x_train=data.x_train[:EXAMPLES], y_train=data.y_train[:EXAMPLES])
        init = functools.partial(initializers.normal, mean=value, std=noise)
        # float64: in float32 rounding is noise of its own.
        self.net = MLP([64, UNITS, 10], "tanh", init, rng=seed, dtype=np.float64)
        self.steps = iterate(self.net, data, lr=LR, epochs=STEPS, batch_size=EXAMPLES, rng=seed)
        self.plane = plane
        self.places, self.ranks, self.loss = [], [], None

    def go_on(self) -> bool:
        """Train for ``AT_ONCE`` steps more; False where there were not as many left."""
        before = len(self.places)
        for history in itertools.islice(self.steps, AT_ONCE):
            weights = self.net.weights[0]
            self.places.append(weights @ self.plane.T)
            self.ranks.append(np.linalg.matrix_rank(weights, rtol=UnitsInTraining.SMALLEST))
            self.loss = history.train_loss
        return len(self.places) == before + AT_ONCE

    def seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As ``UnitsInTraining.update`` takes it."""
        return np.array(self.places), self.loss, np.array(self.ranks)


class UnitsInTraining(plots.Picture):
    """Where the hidden units' weight vectors go as they train, in a plane; the loss; the rank."""

    REACH = 1.5  # of the plane, to either side; what lies beyond is drawn at its edge
    TOP = 2.6  # of the loss axis
    SMALLEST = 0.01  # of the largest singular value: what counts as a direction

    def __init__(self, units: int, steps: int, lang: Language):
        self.units, self.steps = units, steps
        super().__init__(lang)

    def build(self):
        plane, loss, rank = self.figure.subplots(1, 3)
        for axes, left, width in ((plane, 0.06, 0.29), (loss, 0.43, 0.225), (rank, 0.745, 0.225)):
            axes.set_position((left, 0.125, width, 0.69))
        reach = 1.05 * self.REACH
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        plane.set_title(self.text("symmetry.plane", units=self.units), loc="left")
        plane.set_xlabel(self.text("symmetry.first"))
        plane.set_ylabel(self.text("symmetry.second"), labelpad=-2)
        plots.ruled(plane)
        loss.set(xlim=(0, self.steps), ylim=(0, self.TOP))
        loss.set_title(self.text("training.title"), loc="left")
        loss.axhline(np.log(10), color=QUIET, lw=0.8, zorder=0)
        guess = self.text("training.guessing")  # clear of the mark at step 0
        loss.text(0.06 * self.steps, np.log(10) + 0.04, guess, va="bottom", color=DIM, fontsize=9)
        rank.set(xlim=(0, self.steps), ylim=(-0.3, self.units + 0.5), yticks=range(0, self.units + 1, 2))
        rank.set_title(self.text("symmetry.rank"), loc="left")
        plots.ruled(rank, "y")
        for axes in (loss, rank):
            axes.set_xlabel(self.text("symmetry.step"))
        self.note(0.955, self.text("symmetry.counted", share=f"{self.SMALLEST:.0%}"))
        self.paths = self.curve(plane, "-", color=MEASURED, lw=0.9, alpha=0.45)
        self.points = self.curve(plane, "o", color=MEASURED, ms=8, alpha=0.6, mew=0, clip_on=False)
        self.curves = [self.curve(axes, "-", color=MEASURED, lw=1.8) for axes in (loss, rank)]
        self.marks = [self.curve(axes, "o", color=MEASURED, ms=8, clip_on=False) for axes in (loss, rank)]
        self.verdict = self.words(0.04, 0.943, size=12)

    def update(self, places, loss, rank, step, value, noise):
        """``places`` (steps + 1, units, 2), ``loss`` and ``rank`` (steps + 1,), or of the steps done so far.

        ``step``: the one shown; ``value`` and ``noise``: what it started from.
        """
        places = np.clip(places, -self.REACH, self.REACH)
        gap = np.full((1, self.units, 2), np.nan)  # between one unit's path and the next
        path = np.concatenate([places[: step + 1], gap]).swapaxes(0, 1).reshape(-1, 2)
        self.paths.set_data(path[:, 0], path[:, 1])
        self.points.set_data(places[step, :, 0], places[step, :, 1])
        for values, curve, mark in zip((loss, rank), self.curves, self.marks, strict=True):
            values = np.minimum(values, self.TOP) if values is loss else values
            curve.set_data(np.arange(step + 1), values[: step + 1])  # what comes is for the reader to guess
            mark.set_data([step], [values[step]])
        started = {"value": f"{value:g}", "noise": written(noise), "step": step}
        reached = {"loss": f"{loss[step]:.2f}", "rank": rank[step]}
        self.verdict.set_text(self.text("symmetry.verdict", **started, **reached))


@live_figure
def zero_and_symmetry(*, lang: Language, seed: int = 0):
    """Eight tanh units that all start at c + ε·noise, trained on 400 digits: their weights, loss and rank.

    The plane of the left panel is that of the images' first two principal components.
    """
    x = datasets.digits().x_train[:EXAMPLES]
    plane = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2]
    picture = UnitsInTraining(UNITS, STEPS, lang)

    @functools.lru_cache(maxsize=64)
    def begun(value, noise):
        return Run(value, noise, seed, plane)

    def respond(value, noise, step):
        run, more = begun(value, noise), True
        while more:
            more = run.go_on()  # a run that was left for a newer value goes on from there
            picture.update(*run.seen(), min(step, len(run.places) - 1), value, noise)
            yield

    moved = {
        "value": controls.slider("symmetry.value", lang, 0.0, 1.0, 0.05, 0.1),
        "noise": controls.steps("symmetry.noise", lang, {written(n): n for n in NOISES}, 0.0),
        "step": controls.slider("symmetry.shown", lang, 0, STEPS, 1, 0),
    }
    return picture, moved, respond


def first_step_that_moves_hidden_weights(output_weights: npt.ArrayLike = 0.0) -> int | None:
    """After how many steps of gradient descent the hidden weights of a random net have changed.

    ``output_weights``: what the output weights start at. None if the hidden weights never change.
    """
    data = datasets.digits()
    net = MLP([64, 30, 10], "tanh", "xavier_normal", rng=0)
    net.weights[1][:] = output_weights
    start = net.weights[0].copy()
    for step, _ in enumerate(iterate(net, data, lr=0.1, epochs=4, batch_size=len(data.x_train), rng=0)):
        if not np.array_equal(net.weights[0], start):
            return step
    return None


@exercise("02.1")
def broken_symmetry(answer):
    """Weights (30, 64), no two rows equal, within 0.01 of 0.1."""
    w, refused = answers.weights(answer, (30, 64))
    if refused:
        return refused
    if (w == w[0, 0]).all():
        return "constant", {}
    different = len(np.unique(w, axis=0))
    if different == 1:
        return "columns", {}
    if different < 30:
        return "some", {"rows": different}
    furthest = np.abs(w - 0.1).max()
    if furthest > 0.01 * (1 + 1e-6):
        shift = 0.1 - w.mean()
        # Wide noise misses 0.1 by chance, too: what has to be mended first is the larger of the two.
        if abs(shift) > max(0.01, w.std()):
            return "centre", {"middle": f"{w.mean():z.2f}", "shift": f"{shift:.2f}"}
        return "far", {"furthest": f"{furthest:.3g}"}
    return "right", {}


@exercise("02.2")
def zero_output_layer(answer):
    """The number of a step, from 1; found by running them."""
    number = answers.number(answer)
    if number is None:
        return answers.mistyped(answer, "int")
    if number == first_step_that_moves_hidden_weights():
        return "right", {}
    if np.isinf(number):
        return "never", {}
    if not (number >= 1 and number % 1 == 0):
        return "whole", {}
    return ("first" if number == 1 else "late"), {}


@exercise("02.3", units=(30, range(44, 84)), copies=(12, range(6, 18, 2)), sharing=(5, range(3, 6)))
def units_that_differ(answer, units, copies, sharing):
    """30 − 12 + 1 = 19: to stay alike takes the same outgoing weights, too. (A test trains such a layer.)"""
    number = answers.number(answer)
    if number is None:
        return answers.mistyped(answer, "int")
    right = units - copies + 1
    known = {"right": right, "all": units, "incoming": right - sharing + 1, "gone": right - 1}
    known |= {"random": right - 1 - sharing, "one": 1}
    if number % 1:  # of inf, too
        return "whole", {}
    fields = {"answer": right, "both": copies + sharing}
    return next(((key, fields) for key, value in known.items() if number == value), ("other", fields))
