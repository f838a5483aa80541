"""Initialize a PyTorch module in place, each weight by what follows it."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass

import numpy as np

from .. import activations, initializers, sampling
from ..words import text
from .torch_watch import (
    EMBEDDINGS,
    LINEAR,
    NORMS,
    RECURRENT,
    checked,
    conv,
    each_parameter,
    following,
    nn,
    torch,
)  # fmt: skip

# Activations without an upper bound, which want He's gain.
HE = {"relu", "leaky_relu", "gelu", "silu", "elu", "selu", "mish", "softplus"}


@dataclass(frozen=True)
class Applied:
    """What ``apply`` did. Prints as a line a parameter.

    Attributes
    ----------
    done : dict of str
        By a parameter's name: the call that it was drawn by.
    left : tuple of str
        Parameters that stay as they were, as nothing is known of them.
    unseen : tuple of str
        Weights after which no activation is registered: they were taken for linear layers.
    lang : {"en", "zh"}
        The language that it speaks.
    """

    done: dict[str, str]
    left: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    lang: str = "en"

    def __str__(self):
        width = max(map(len, self.done), default=0)
        lines = [f"{name:{width}}  {call}" for name, call in self.done.items()]
        for key, names in (("left", self.left), ("unseen", self.unseen)):
            if names:
                lines.append(text(f"doctor.torch.{key}", self.lang, names=", ".join(names)))
        return "\n".join(lines)

    __repr__ = __str__


def apply(
    module: nn.Module,
    scheme: str = "auto",
    rng: int | np.random.SeedSequence | np.random.Generator | None = None,
    *,
    lang: str = "en",
) -> Applied:
    """Initialize ``module`` in place, each weight by what follows it.

    Linear, Conv and ConvTranspose: ``he_normal`` with the activation's gain, where that has no upper bound
    (ReLU, Leaky ReLU, GELU, SiLU, ELU, SELU, Mish, Softplus); else, and where no activation follows,
    ``xavier_normal``. A ConvTranspose has its fan_in on axis 0, and strides are not counted. Attention:
    ``xavier_normal``, query, key and value each by itself. Recurrent layers, gate by gate: ``xavier_normal``
    for the input, ``orthogonal`` for the state. Embeddings: N(0, 0.02²), as GPT-2's, with the padding row 0.
    Norms: 1 and 0. Biases: 0. The rest is left as it is.

    What follows is the module registered next, with at most norms, dropout and pooling between: functions
    called in ``forward`` cannot be seen without a batch.

    Parameters
    ----------
    module : torch.nn.Module
    scheme : str
        "auto", or a name of the registry, for every weight with two axes or more instead.
    rng : int, SeedSequence, Generator or None
        As in every initializer. Parameters draw from it in the order of ``named_modules``, a tied one once.
    lang : {"en", "zh"}
        The language that the result speaks.

    Returns
    -------
    Applied
        What was done and what not.

    Raises
    ------
    TypeError
        For what is no module.
    ValueError
        For an unknown scheme, parameters without values, and shapes that the scheme cannot fill. Then nothing
        is written.
    """
    text("doctor.clean", lang)  # raises ValueError for an unknown language
    checked(module)
    if scheme != "auto" and (not isinstance(scheme, str) or scheme not in initializers.REGISTRY):
        names = ", ".join(("auto", *initializers.REGISTRY))
        raise ValueError(f"scheme must be one of {names}, not {scheme!r}")
    rng = sampling.generator(rng)
    follows = following(module)
    done, left, unseen, drawn = {}, [], [], []
    for name, m, key, p in each_parameter(module):
        rule = _rule(m, key, p, follows) if p.is_floating_point() else None
        if scheme != "auto" and p.ndim > 1 and p.is_floating_point():
            rule = scheme, _axes(scheme, rule[1] if rule else {}), rule[2] if rule else 1
        elif rule and isinstance(m, LINEAR) and key == "weight" and follows.get(id(m), m) is None:
            unseen.append(name)
        if rule is None:
            left.append(name)
            continue
        call, arguments, blocks = rule
        done[name] = call_of(call, arguments)
        shape = (p.shape[0] // blocks, *p.shape[1:])
        dtype = np.float64 if p.dtype == torch.float64 else np.float32
        draw = functools.partial(initializers.get(call), shape, **arguments, rng=rng, dtype=dtype)
        try:
            array = [draw() for _ in range(blocks)]
        except (TypeError, ValueError) as error:
            raise type(error)(f"scheme {call!r} cannot fill {name}: {error}") from None
        array = np.concatenate(array) if p.ndim else array[0]
        if isinstance(m, EMBEDDINGS) and m.padding_idx is not None:
            array[m.padding_idx] = 0
        drawn.append((p, array))
    with torch.no_grad():
        for p, array in drawn:
            p.copy_(torch.from_numpy(array))
    return Applied(done, tuple(left), tuple(unseen), lang)


def _axes(scheme: str, arguments: dict) -> dict:
    """The arguments that say where the fans lie, if the scheme takes them."""
    takes = inspect.signature(initializers.get(scheme)).parameters
    wanted = ("in_axis", "out_axis", "groups") if "axes" in takes or "in_axis" in takes else ()
    return {k: v for k, v in arguments.items() if k in wanted}


def _rule(m, key: str, p, follows) -> tuple[str, dict, int] | None:
    """(scheme, its arguments, into how many blocks of rows the parameter is cut); None for unknown ones."""
    if isinstance(m, NORMS):
        return {"weight": ("ones", {}, 1), "bias": ("zeros", {}, 1)}.get(key)
    if isinstance(m, EMBEDDINGS):
        return "normal", {"std": 0.02}, 1
    if isinstance(m, nn.MultiheadAttention):
        if key == "in_proj_bias":
            return "zeros", {}, 1
        return ("xavier_normal", {}, 3 if key == "in_proj_weight" else 1) if "proj_weight" in key else None
    if isinstance(m, (*LINEAR, *RECURRENT)) and key.startswith("bias"):
        return "zeros", {}, 1
    if isinstance(m, RECURRENT):
        if key.startswith("weight_hr"):  # an LSTM's projection
            return "xavier_normal", {}, 1
        return "orthogonal" if "_hh" in key else "xavier_normal", {}, p.shape[0] // m.hidden_size
    if isinstance(m, LINEAR) and key == "weight":
        name, arguments = scheme_for(follows.get(id(m)) or activations.identity)
        if isinstance(m, conv._ConvTransposeNd):  # (in, out/groups, *kernel)
            return name, {**arguments, "in_axis": 0, "out_axis": 1}, m.groups
        groups = getattr(m, "groups", 1)
        return name, {**arguments, "groups": groups} if groups > 1 else arguments, 1
    return None


def scheme_for(function: activations.Activation) -> tuple[str, dict]:
    """(name, arguments): He's, with the function's own gain, if it has no upper bound; else Xavier's."""
    if base_name(function) not in HE:
        return "xavier_normal", {}
    return "he_normal", {} if function.name == "relu" else {"activation": function}


def call_of(name: str, arguments: dict) -> str:
    """The call as a reader would write it."""
    said = (
        f"{k}={v.name if isinstance(v, activations.Activation) else repr(v)}" for k, v in arguments.items()
    )
    return f"{name}({', '.join(said)})"


def base_name(function: activations.Activation) -> str:
    """The name without its parameter: "leaky_relu" of "leaky_relu(0.2)"."""
    return function.name.partition("(")[0]
