"""Lesson 07: four patients, four treatments: how far signal and gradient get, and what the doctor says."""

from __future__ import annotations

import functools

from .. import datasets, initializers, plots
from ..course.patients import PATIENTS, WIDTHS, patient
from ..course.texts import text
from ..doctor.audit import wrong_by_itself
from ..doctor.scan import scan_array
from ..network import MLP, lsuv
from ..signals import Signals, fate
from ..theory import seen_and_predicted
from . import controls
from .figure import live_figure

TREATMENTS = ("none", "xavier", "he", "lsuv")


@live_figure
def doctor(*, lang: str, seed: int = 0):
    """Four nets of twenty layers on 200 digits, as they come or with all their weights drawn anew."""
    data = datasets.digits()
    x, y = data.x_train[:200], data.y_train[:200]
    picture = plots.PatientCard(len(WIDTHS) - 1, lang)

    @functools.cache
    def examined(patient, treatment):
        net = treated(patient, treatment, x, seed)
        seen, predicted = seen_and_predicted(net, x, y)
        return seen, predicted, *diagnosis(net, seen)

    def respond(patient, treatment):
        picture.update(*examined(patient, treatment))

    names = {name: text(f"patient.{name}", lang) for name in "ABCD"}
    treatments = {name: text(f"patient.{name}", lang) for name in TREATMENTS}
    moved = {
        "patient": controls.choice("patient.choice", lang, names, "A"),
        "treatment": controls.choice("patient.treatment", lang, treatments, "none"),
    }
    return picture, moved, respond


def treated(name: str, treatment: str, x, seed: int) -> MLP:
    if treatment == "none":
        return patient(name, rng=seed)
    scheme = initializers.xavier_normal if treatment == "xavier" else initializers.he_normal
    net = MLP(WIDTHS, PATIENTS[name][0], scheme, rng=seed)
    return lsuv(net, x, rng=seed) if treatment == "lsuv" else net


def diagnosis(net: MLP, seen: Signals) -> tuple[str, dict]:
    """The key of what the doctor says, below ``patient``, and the fields to fill in."""
    alike = sum(
        any(
            finding.kind == "symmetric_rows"
            for finding in wrong_by_itself("", weight.shape, scan_array(weight))
        )
        for weight in net.weights
    )
    if alike:
        return "symmetric", {"layers": alike}
    found = fate(seen)
    if found.kept:
        return "healthy", {}
    each = {"signal": f"{found.signal.a_layer:.2g}", "gradient": f"{found.gradient.a_layer:.2g}"}
    vanishes = "vanishes" in (found.signal.verdict, found.gradient.verdict)
    return ("vanishing" if vanishes else "exploding"), each
