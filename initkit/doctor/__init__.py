"""The doctor: how a model was initialized, whether its signal survives, and what would mend it.

``identify(array)`` names the initializer that a tensor is a sample of; ``audit(path)`` reads a checkpoint;
``diagnose(module, batch)`` runs a PyTorch module, ``assert_healthy(module, batch)`` does so in a test;
``apply(module)`` initializes one.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .audit import audit
from .identify import Identification, Match, identify
from .report import Comparison, Coverage, Finding, Report, Tensor

__all__ = [
    "Comparison", "Coverage", "Finding", "Identification", "Match", "Report", "Tensor", "apply",
    "assert_healthy", "audit", "diagnose", "identify",
]  # fmt: skip

if TYPE_CHECKING:
    from .torch_apply import apply
    from .torch_diagnose import assert_healthy, diagnose
else:

    def __getattr__(name: str) -> Any:
        if name in ("apply", "assert_healthy", "diagnose"):  # these need torch
            room = ".torch_apply" if name == "apply" else ".torch_diagnose"
            return getattr(importlib.import_module(room, __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
