"""What each parameter of a PyTorch module is drawn by, and how that is written as a call."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from .. import activations, initializers
from .torch_scale import scale_of
from .torch_watch import EMBEDDINGS, NORMS, RECURRENT, base_name, conv, is_linear, is_transposed, nn

# Activations that want He's gain: without an upper bound, or, as ReLU6, one that signals do not reach.
HE = {"relu", "relu6", "leaky_relu", "gelu", "silu", "hardswish", "elu", "selu", "mish", "softplus"}
# The lines that draw the whole model anew.
WHOLE = "initkit.doctor.apply(model)", "initkit.doctor.apply(model, batch)"


def rule_of(m, key: str, p, follows, module) -> tuple[str, dict, int] | None:
    """(scheme, its arguments, into how many blocks of rows the parameter is cut); None if it is not known."""
    if isinstance(m, NORMS):
        return {"weight": ("ones", {}, 1), "bias": ("zeros", {}, 1)}.get(key)
    if isinstance(m, EMBEDDINGS):
        return "normal", {"std": 0.02 if _is_brought_to_size(p, m, module) else 1.0}, 1
    if isinstance(m, nn.MultiheadAttention):
        if key == "in_proj_bias":
            return "zeros", {}, 1
        return ("xavier_normal", {}, 3 if key == "in_proj_weight" else 1) if "proj_weight" in key else None
    if (is_linear(m) or isinstance(m, RECURRENT)) and key.startswith("bias"):
        known = isinstance(m, RECURRENT) or scale_of(m) is not None  # else its weight stays
        return ("zeros", {}, 1) if known else None
    if isinstance(m, RECURRENT):
        if key.startswith("weight_hr"):  # an LSTM's projection
            return "xavier_normal", {}, 1
        return "orthogonal" if "_hh" in key else "xavier_normal", {}, p.shape[0] // m.hidden_size
    if is_linear(m) and key == "weight":
        name, arguments = scheme_for(follows.get(id(m)) or activations.identity)
        groups = getattr(m, "groups", 1)
        if is_transposed(m) or isinstance(m, conv._ConvTransposeNd):  # (in, out/groups, *kernel)
            return name, {**arguments, "in_axis": 0, "out_axis": 1}, groups
        return name, {**arguments, "groups": groups} if groups > 1 else arguments, 1
    return None


def _is_brought_to_size(p, table: nn.Module, module: nn.Module) -> bool:
    """Whether a norm is registered after ``table``, or another layer has its parameter ``p`` as weight."""
    after = list(module.modules())
    after = after[next(k for k, m in enumerate(after) if m is table) :]
    return any(isinstance(m, NORMS) or (m is not table and m._parameters.get("weight") is p) for m in after)


def scheme_for(function: activations.Activation) -> tuple[str, dict]:
    """(name, arguments) for layers before ``function``: He's, with its gain, where it is one of HE."""
    if base_name(function) not in HE:
        return "xavier_normal", {}
    return "he_normal", {} if function.name == "relu" else {"activation": function}


def orthogonal_in_place_of(rule, m: nn.Module):
    """The rule with orthogonal weights, whose scale is then measured; that of a grouped layer stays."""
    _, arguments, blocks = rule
    if getattr(m, "groups", 1) > 1:
        return rule
    return "orthogonal", {k: v for k, v in arguments.items() if k in ("in_axis", "out_axis")}, blocks


def axes_of(scheme: str, arguments: dict) -> dict:
    """Those of a rule's arguments that say where the fans lie and that the scheme takes."""
    takes = inspect.signature(initializers.get(scheme)).parameters
    return {k: v for k, v in arguments.items() if k in ("in_axis", "out_axis", "groups") and k in takes}


def call_of(name: str, arguments: dict) -> str:
    """The call as a reader would write it."""
    said = (
        f"{k}={v.name if isinstance(v, activations.Activation) else repr(v)}" for k, v in arguments.items()
    )
    return f"{name}({', '.join(said)})"


def applied_to(module: nn.Module, sick: Sequence[str]) -> tuple[str, ...]:
    """Calls of ``apply`` for the layers with these names, the narrowest first."""
    every = {name for name, m in module.named_modules() if is_linear(m)}
    if "" in sick or len(every - set(sick)) < min(3, len(every)):  # two layers at most are well
        return WHOLE
    first = sick[0].split(".")
    for k in range(1, len(first)):
        stem = ".".join(first[:k])
        if set(sick) == {name for name in every if name.startswith(stem + ".")}:
            sick = [stem]
            break
    only = repr(sick[0]) if len(sick) == 1 else repr(list(dict.fromkeys(sick)))
    return (
        f"initkit.doctor.apply(model, only={only})",
        f"initkit.doctor.apply(model, batch, only={only})",
        *WHOLE,
    )
