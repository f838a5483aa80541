"""Lesson 07: four patients, four treatments: how far signal and gradient get, and what the doctor says."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from ... import datasets, initializers, plots
from ...arguments import RNGLike
from ...doctor.audit import audit, wrong_by_itself
from ...doctor.identify import identify
from ...doctor.scan import scan_array
from ...network import MLP, lsuv
from ...signals import Signals, fate, measure
from ...theory import seen_and_predicted
from ...widgets import controls
from ...words import Language, text
from .. import answers
from ..registry import exercise, live_figure

WIDTHS = [64, *[64] * 19, 10]
PATIENTS = {  # activation, and the initializer of all weights; ``patient`` then spoils some of them
    "A": ("relu", "torch_default"),
    "B": ("relu", "he_normal"),
    "C": ("tanh", functools.partial(initializers.normal, std=1.0)),
    "D": ("relu", "he_normal"),
    "E": ("relu", "he_uniform"),
}
# C is chaotic: it makes a rounding grow a millionfold on the way to its last layer, so that in float32 two
# CPUs see two nets.
DTYPES = {"C": np.float64}


def patient(name: Literal["A", "B", "C", "D", "E"], *, rng: RNGLike = None) -> MLP:
    """A net of lesson 07 that has some fault; which, is for you to find.

    Parameters
    ----------
    name : {"A", "B", "C", "D", "E"}
        The patient; E is that of the exercise.
    rng : int, SeedSequence, Generator or None
        Draws the weights, as in ``MLP``.

    Returns
    -------
    MLP
        In float32, but C in float64.

    Raises
    ------
    KeyError
        There is no such patient.

    Examples
    --------
    >>> patient("A", rng=0).depth
    20
    """
    if name not in PATIENTS:
        raise KeyError(f"no patient is called {name!r}; there are {', '.join(PATIENTS)}")
    net = MLP(WIDTHS, *PATIENTS[name], rng=rng, dtype=DTYPES.get(name, np.float32))
    if name == "B":
        for weight in net.weights[:-1]:
            weight[:] = 1 / weight.shape[1]
    elif name == "E":
        net.weights[3][:] = net.weights[3][0]
        net.weights[8] *= net.dtype.type(0.05)
        net.weights[12][:20] = 0
    return net


TREATMENTS = ("none", "xavier", "he", "lsuv")


class PatientCard(plots.SignalsByLayer):
    """Signal and gradient of one net, and below them what the doctor says."""

    HEIGHT = 4.6

    def __init__(self, depth: int, lang: Language):
        super().__init__(depth, 18, [text("signal.measured", lang)], lang)

    def build(self):
        super().build()
        for axes in self.figure.axes:
            axes.set_position((axes.get_position().x0, 0.2, 0.42, 0.6))
        self.figure.text(0.04, 0.035, self.text("patient.diagnosis"), color=plots.DIM, fontsize=11)
        self.diagnosis = self.words(0.14, 0.035, "black")

    def update(self, seen, predicted, diagnosis, fields):
        """``seen``: measured Signals; ``predicted``: theory's; ``diagnosis``: a text below ``patient``."""
        super().update((seen, predicted))
        self.diagnosis.set_text(self.text(f"patient.{diagnosis}", **fields))


@live_figure
def doctor(*, lang: Language, seed: int = 0):
    """Four nets of twenty layers on 200 digits, as they come or with all their weights drawn anew."""
    data = datasets.digits()
    x, y = data.x_train[:200], data.y_train[:200]
    picture = PatientCard(len(WIDTHS) - 1, lang)

    @functools.cache
    def examined(patient, treatment):
        net = treated(patient, treatment, x, seed)
        seen, predicted = seen_and_predicted(net, x, y)
        return seen, predicted, *diagnosis(net, seen)

    def respond(patient, treatment):
        picture.update(*examined(patient, treatment))

    moved = {
        "patient": controls.choice("patient.choice", lang, "ABCD", "A"),
        "treatment": controls.choice("patient.treatment", lang, TREATMENTS, "none"),
    }
    return picture, moved, respond


def treated(name: str, treatment: str, x, seed: int) -> MLP:
    """The patient as it comes ("none"), or with all weights drawn anew by "xavier", "he" or "lsuv"."""
    if treatment == "none":
        return patient(name, rng=seed)
    scheme = initializers.xavier_normal if treatment == "xavier" else initializers.he_normal
    net = MLP(WIDTHS, PATIENTS[name][0], scheme, rng=seed)
    return lsuv(net, x, rng=seed) if treatment == "lsuv" else net


def diagnosis(net: MLP, seen: Signals) -> tuple[str, dict]:
    """The key of what the doctor says, below ``patient``, and the fields to fill in."""
    found = (wrong_by_itself("", weight.shape, scan_array(weight)) for weight in net.weights)
    alike = sum(any(finding.kind == "symmetric_rows" for finding in those) for those in found)
    if alike:
        return "symmetric", {"layers": alike}
    found = fate(seen)
    if found.kept:
        return "healthy", {}
    each = {"signal": f"{found.signal.a_layer:.2g}", "gradient": f"{found.gradient.a_layer:.2g}"}
    vanishes = "vanishes" in (found.signal.verdict, found.gradient.verdict)
    return ("vanishing" if vanishes else "exploding"), each


@exercise("07.1")
def mended(answer):
    """Patient E, mended: no finding in its file, the signal kept, and the sound layers as they were."""
    if not isinstance(answer, MLP):
        return answers.mistyped(answer, "ik.MLP")
    ill = patient("E", rng=0)
    if [w.shape for w in answer.weights] != [w.shape for w in ill.weights]:
        return "shape", {}
    kind, of_ill = ((net.activation.name, net.residual, net.norm) for net in (answer, ill))
    if kind != of_ill:
        return "net", {}
    if any(np.any(bias) for bias in answer.biases):
        return "biases", {}
    with tempfile.TemporaryDirectory() as folder:
        reports = [_audited(net, folder) for net in (ill, answer)]
    ailing, left = (  # of layers of one seed, below
        {finding.tensor for finding in report.findings if finding.kind != "identical_layers"}
        for report in reports
    )
    if left:
        return "findings", {"count": len(left), "tensor": min(left, key=lambda name: (len(name), name))}
    sound = [k for k in range(ill.depth) if f"layer{k + 1}" not in ailing]
    touched = sum(not np.array_equal(ill.weights[k], answer.weights[k]) for k in sound)
    if touched:
        return "touched", {"count": touched}
    # Hidden layers that are drawn apart, of 4,096 entries each, correlate by 0.1 with a probability of 2e-10.
    alike = np.abs(np.corrcoef([w.ravel() for w in answer.weights[:-1]])) > 0.1
    pairs = [(i + 1, j + 1) for i, j in np.argwhere(np.triu(alike, 1))]
    if pairs:
        return "copied", {"one": pairs[0][0], "other": pairs[0][1]}
    data = datasets.digits()
    return answers.kept(fate(measure(answer, data.x_train[:200], data.y_train[:200])))


@exercise("07.2", inputs=(400, range(310, 630, 10)))
def taken_for_xavier(answer, inputs):
    """Weights (100, 400) that ``identify`` takes for xavier_normal."""
    w, refused = answers.weights(answer, (100, inputs))
    if refused:
        return refused
    found, fans = identify(w), inputs + 100
    fields = {"fans": fans}
    schemes = {match.scheme for match in found.matches}
    if schemes == {"xavier_normal"}:
        return "right", fields | {"p": f"{found.matches[0].p_value:.2g}", "right": f"{(2 / fans) ** 0.5:.3g}"}
    if "xavier_uniform" in schemes:
        return "uniform", {}
    std = w.std()
    known = {
        "variance": 2 / fans,
        "fan_in": inputs**-0.5,
        "fan_out": 100**-0.5,
        "sum": fans**-0.5,
        "he": (2 / inputs) ** 0.5,
    }
    for key, value in known.items():
        if abs(std / value - 1) < 0.03:
            return key, fields
    return "other", {"std": f"{std:.3g}"}


def _audited(net: MLP, folder: str):
    """The doctor's report on the net's weights, by way of a file."""
    path = Path(folder) / "net.npz"
    np.savez(path, **{f"layer{k}": w for k, w in enumerate(net.weights, 1)})
    return audit(path, activation=net.activation)
