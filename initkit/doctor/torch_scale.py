"""Weights scaled by what is measured: a pass that brings every layer to its mean square, and a trial.

These functions write into the module that they are given: call them inside ``on_a_copy``.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator

import numpy as np

from .torch_watch import (
    EMBEDDINGS,
    LINEAR,
    NORMS,
    RECURRENT,
    Layer,
    Watch,
    as_it_was,
    base_name,
    conv,
    floats_in,
    grad,
    is_linear,
    labels_for,
    leaves,
    nn,
    output_of,
    own_loss,
    torch,
)

# HEAD: the root mean square r that outputs start with. Softmax cross-entropy then starts at ln C + r²/2, and
# which n labels the batch has moves that by about r/√n. For a small batch r is smaller, so that this is
# at most LUCK.
HEAD, LUCK = 0.3, 0.075
SMALL = 0.1  # mean square at which a saturating function is nearly linear: tanh keeps the gradient there
WIDE = 4.0  # mean square before a smoothed ReLU: one of 1 or less does not stay from layer to layer
SMOOTH, KINKED = ("gelu", "silu", "hardswish", "mish"), ("relu", "relu6", "leaky_relu")
CENTRED = 5  # layers up to which the outputs' means are taken out in full; else the share CENTRED/layers
STEPS, SLOW, LARGE = 20, 5, 2**24  # steps of a trial; steps for a module with more than LARGE parameters
BY_NOISE = math.sqrt(10)  # the factor by which a root mean square that is measured on noise may be off
SIDES = (32, 28, 64, 224, 8)  # of the images that are tried on a module whose batch is not known


@contextlib.contextmanager
def on_a_copy(module: nn.Module) -> Iterator[None]:
    """A context in which the module's parameters are copies: what is written to them is gone afterwards."""
    with as_it_was(module):
        copies: dict[int, nn.Parameter] = {}
        for m in module.modules():
            for key, p in m._parameters.items():
                if p is not None:
                    copies.setdefault(id(p), nn.Parameter(p.detach().clone(), p.requires_grad))
                    m._parameters[key] = copies[id(p)]
            if isinstance(m, nn.RNNBase):
                m.__dict__["_flat_weights"] = [copies.get(id(p), p) for p in m._flat_weights]
        yield


def probe(module: nn.Module) -> tuple | None:
    """A batch of noise, shaped for its first layer, for which ``module`` returns numbers; else None."""
    try:
        wanted = [
            p
            for p in inspect.signature(module.forward).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        return None
    if len(wanted) > 1:
        return None
    for batch in _noise(module):
        try:
            with torch.enable_grad():  # some modules differentiate in forward
                output = module(batch)
        except Exception:  # whatever a module raises that cannot take this batch
            continue
        return (batch,) if floats_in(output) else None
    return None


def _noise(module) -> Iterator[torch.Tensor]:
    """Batches for the module's first layer: N(0, 1), or indices."""
    first = next((m for m in leaves(module) if isinstance(m, (*LINEAR, *EMBEDDINGS, *RECURRENT))), None)
    if first is None:
        return
    stream = torch.Generator().manual_seed(0)
    at = next(first.parameters())

    def normal(*shape):
        return torch.randn(shape, generator=stream).to(at)

    if isinstance(first, EMBEDDINGS):
        yield torch.randint(first.num_embeddings, (8, 16), generator=stream).to(at.device)
    elif isinstance(first, RECURRENT):
        yield normal(16, 8, first.input_size)
        yield normal(8, first.input_size)
    elif isinstance(first, nn.Linear):
        yield normal(64, first.in_features)
        yield normal(8, 16, first.in_features)
    else:
        decoder = isinstance(first, conv._ConvTransposeNd)  # it makes its input larger
        for side in (4,) if decoder else SIDES:
            yield normal(
                2 if decoder or side >= 64 else 4, first.in_channels, *[side] * len(first.kernel_size)
            )


def watched(module: nn.Module, inputs: tuple | dict) -> tuple[list[Layer], set[int]]:
    """The layers of one pass, and the ids of the Linear or Conv layers whose output is the module's output.

    Dropout's masks are the same at every call, as in ``first_and_last``.
    """
    torch.manual_seed(0)
    with torch.enable_grad(), Watch(module, (inputs,)) as watch:
        output = output_of(module, inputs)
    y = next(iter(floats_in(output)), None)
    last = watch.origins.get(id(y), frozenset())
    layers = watch.ran()
    heads = {id(layer.module) for layer in last if layer is not None} if len(last) == 1 else set()
    return layers, {
        id(layer.module)
        for layer in layers
        if id(layer.module) in heads
        and is_linear(layer.module)
        and (layer.activation is None or layer.activation.name == "identity")
    }


def scale_of(m: nn.Module) -> nn.Parameter | None:
    """The parameter that a layer's output is proportional to, but for its bias; None where there is none."""
    weight = m._parameters.get("weight")
    if weight is not None:
        return weight
    if "weight_g" in m._parameters:
        return m._parameters["weight_g"]
    parametrized = getattr(m, "parametrizations", {})
    if "weight" in parametrized and type(parametrized["weight"][0]).__name__ == "_WeightNorm":
        return parametrized["weight"].original0
    return None


def rescale(
    module: nn.Module,
    inputs: tuple | dict,
    layers: list[Layer],
    heads: set[int],
    allowed: set[int],
    exact: bool,
) -> dict[int, float]:
    """Bring each layer's output to its mean square, in the order in which they run.

    The mean square is 1 (LSUV, Mishkin & Matas 2015); ``SMALL`` before a function with both bounds, such as
    tanh, ``WIDE`` before a smoothed ReLU; 1/n for the last layer of each of n branches that are added to a
    stream, so that the stream at most doubles (Hanin & Rolnick 2018; Zhang, Dauphin & Ma 2019); ``HEAD``² for
    the output, or less for few examples. Before a ReLU a unit's mean over the batch is taken out of its bias,
    in part: through it all examples come to look alike, as their mean grows at the cost of what tells them
    apart (Krähenbühl et al. 2016; Salimans & Kingma 2016), whereas to take it out in full makes the gradient
    grow ×1.47 a layer (Yang et al. 2019), hence 5/depth of it. Of the output it is taken out in full.

    Parameters
    ----------
    layers, heads
        Of ``watched``.
    allowed : set of int
        Ids of the parameters that may be written.
    exact : bool
        False, for a batch of noise: only what is off by more than a factor of ``BY_NOISE`` is scaled, or a
        branch or output that is too large, and nothing is centred.

    Returns
    -------
    dict
        By id of the scaled parameter: the factor.
    """
    runs = {id(layer.module): layer for layer in layers if is_linear(layer.module)}
    for layer in layers:  # the scale in front of a norm does not matter: the norm divides by it
        if isinstance(layer.module, NORMS) and layer.source is not None:
            runs.pop(id(layer.source.module), None)
    tables = {id(p) for m in module.modules() if isinstance(m, EMBEDDINGS) for p in m.parameters()}
    branches = sum(layer.added for layer in runs.values())
    share = min(1.0, CENTRED / max(len(runs) - 1, 1)) if exact else 0.0
    factors: dict[int, float] = {}

    @torch.no_grad()
    def scaled(m, given, z):
        layer, p = runs.pop(id(m), None), scale_of(m)
        if layer is None or p is None or id(p) not in allowed or id(p) in tables or not z.isfinite().all():
            return False
        head, branch = id(m) in heads, layer.added and id(m) not in heads
        axis = layer.unit_axis % z.ndim
        others = [k for k in range(z.ndim) if k != axis]
        n = math.prod(z.shape[k] for k in others)
        target = min(HEAD, LUCK * math.sqrt(n)) ** 2 if head else 1 / branches if branch else _target(layer)
        bias = m._parameters.get("bias")
        kinked = layer.activation is not None and base_name(layer.activation) in KINKED
        part = 1.0 if head and exact else share if kinked and not head else 0.0
        free = part > 0 and bias is not None and id(bias) in allowed
        mean = part * z.double().mean(others) if free and n > 1 else None
        centred = z.double() if mean is None else z.double() - _along(mean, axis, z.ndim)
        size = centred.square().mean()
        if not size > 0:
            return False
        factor = math.sqrt(target / float(size))
        if not exact:
            low, high = (1.0, BY_NOISE) if branch else (1.0, math.inf) if head else (1 / BY_NOISE, BY_NOISE)
            if low <= factor <= high:
                return False
        p.mul_(factor)
        if mean is not None:
            bias.sub_((factor * mean).to(bias))
        elif bias is not None and id(bias) in allowed:
            bias.mul_(factor)
        factors[id(p)] = factor
        return True

    def after(m, given, z):
        if not scaled(m, given, z):
            return None
        for hook in m._forward_pre_hooks.values():  # the old weight_norm makes its weight in one
            hook(m, given)
        return m.forward(*given)

    handles = [m.register_forward_hook(after) for m in module.modules() if id(m) in runs]
    try:
        with torch.enable_grad():
            output_of(module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return factors


def _along(values: torch.Tensor, axis: int, ndim: int) -> torch.Tensor:
    """A vector, shaped to lie along one axis of ``ndim``."""
    return values.reshape([-1 if k == axis else 1 for k in range(ndim)])


def _target(layer: Layer) -> float:
    """The mean square that a layer's output is brought to, by the function that follows."""
    f = layer.activation
    if f is None or base_name(f) in KINKED:
        return 1.0
    if base_name(f) in SMOOTH:
        return WIDE
    bounded = np.abs(f.f(np.array([-1e3, 1e3]))).max() < 10
    return SMALL if bounded and abs(f.f(np.zeros(1))[0]) < 1e-9 else 1.0


# Whether it trains ---------------------------------------------------------------------------------


def first_and_last(module: nn.Module, inputs: tuple | dict, loss, exact: bool) -> tuple[float, float]:
    """The loss at first, and after some steps of Adam on this one batch, in the mode that the module is in.

    ``loss`` as in ``diagnose``. Without one: softmax cross-entropy to labels drawn at random, or for an
    output with four axes and more the mean square distance to N(0, 1). ``exact``: False for a batch of noise,
    which is worth fewer steps. Dropout's masks are the same at every call. The module is changed.
    """
    torch.manual_seed(0)
    parameters = [p for p in module.parameters() if p.requires_grad and p.numel()]
    steps = STEPS if exact and sum(p.numel() for p in parameters) <= LARGE else SLOW
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    losses = []
    with torch.enable_grad():
        for step in range(steps + 1):
            try:
                value = _loss(output_of(module, inputs), loss)
            except (ValueError, RuntimeError):
                if not step:
                    raise
                losses.append(math.inf)  # a distribution, say, refuses what training has made of the output
                break
            losses.append(float(value.detach()))
            if not math.isfinite(losses[-1]) or step == steps or not (parameters and value.requires_grad):
                break
            found = grad(value, parameters)
            with torch.no_grad():
                for p, g, (m, v) in zip(parameters, found, moments, strict=True):
                    if g is not None:
                        _adam(p, g.to_dense() if g.is_sparse else g, m, v, step + 1)
    return tuple(v if math.isfinite(v) else math.inf for v in (losses[0], losses[-1]))


def _adam(p, g, m, v, t: int) -> None:
    """One step of Adam (Kingma & Ba 2015): torch.optim would import torch's compiler, which takes seconds."""
    m.lerp_(g, 0.1)
    v.mul_(0.999).addcmul_(g, g, value=0.001)
    p.addcdiv_(m, (v / (1 - 0.999**t)).sqrt_().add_(1e-8), value=-1e-3 / (1 - 0.9**t))


def _loss(output, loss) -> torch.Tensor:
    """The loss of an output, by the rules of ``first_and_last``."""
    if callable(loss):
        return loss(output)
    if loss is None and (own := own_loss(output)) is not None:
        return own
    y = next(iter(floats_in(output)), None)
    if y is None:
        raise ValueError(
            f"module returns a {type(output).__name__}, with no tensor of floating-point numbers in it; "
            "pass as loss a function of it"
        )
    if loss is not None:
        return nn.functional.cross_entropy(y, labels_for(y, loss))
    stream = torch.Generator().manual_seed(0)
    if y.ndim > 3 or y.ndim < 2 or y.shape[-1] < 2:
        return (y - torch.randn(y.shape, generator=stream).to(y)).square().mean()
    y = y.reshape(-1, y.shape[-1])
    return nn.functional.cross_entropy(
        y, torch.randint(y.shape[-1], (len(y),), generator=stream).to(y.device)
    )
