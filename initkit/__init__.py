"""initkit: neural-network parameter initialization, to learn and to use.

>>> import initkit as ik
>>> ik.he_normal((128, 64), rng=0).shape
(128, 64)

``import initkit`` loads NumPy; SciPy's parts load when they are needed, and the modules that draw or read
data when they are first used: ``ik.plots``, ``ik.live``, ``ik.course``, ``ik.datasets``, ``ik.doctor``.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from . import activations, initializers, sampling, signals, spectra, theory, training
from .activations import Activation, gain
from .fans import Fans, fans
from .initializers import (
    constant,
    delta_orthogonal,
    dirac,
    get,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    identity,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    sample_block,
    sparse,
    torch_default,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from .network import MLP, Gradients, lsuv
from .signals import Signals, measure
from .sweep import sweep
from .theory import Phase, critical_sigma_w, phase, predict, predict_for
from .training import History, train

if TYPE_CHECKING:
    from . import course, datasets, doctor, live, plots

__version__ = "0.1.0"

_LAZY = ("course", "datasets", "doctor", "live", "plots")

__all__ = [
    "MLP", "Activation", "Fans", "Gradients", "History", "Phase", "Signals", "activations",
    "constant", "course", "critical_sigma_w", "datasets", "delta_orthogonal", "dirac", "doctor", "fans",
    "gain", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "initializers", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "live",
    "lsuv", "measure", "normal", "ones", "orthogonal", "phase", "plots", "predict", "predict_for",
    "sample_block", "sampling", "signals", "sparse", "spectra", "sweep", "theory", "torch_default", "train",
    "training", "truncated_normal", "uniform", "variance_scaling", "xavier_normal",
    "xavier_uniform", "zeros",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
