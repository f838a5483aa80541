"""Watch a PyTorch module run: which layers, in which order, what came out, and which function follows."""

from __future__ import annotations

import contextlib
import functools
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..packages import needed_by

with needed_by("the doctor for PyTorch modules", "torch"):
    import torch
from torch import nn
from torch.nn.modules import batchnorm, conv
from torch.overrides import TorchFunctionMode

from .. import activations
from ..signals import FLAT, mean_cosine, steepest_slope

LINEAR = (nn.Linear, conv._ConvNd)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, batchnorm._NormBase)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
LAYERS = (*LINEAR, *NORMS, *EMBEDDINGS, nn.MultiheadAttention)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_DEFAULTS = {"leaky_relu": 0.01, "elu": 1.0}  # parameters of functions that are called without one


# Which function follows ----------------------------------------------------------------------------


@functools.cache
def _known(name: str, parameter: float | None = None) -> activations.Activation | None:
    """The library's activation with that name; always the same object, so that layers can be compared."""
    if name in ("leaky_relu", "prelu"):
        return activations.leaky_relu(parameter)
    if name == "elu" and parameter != 1:
        return activations.elu(parameter, name=f"elu({parameter:g})")
    return activations.NAMES.get(name) if name != "identity" and parameter in (None, 1.0) else None


def _called(func, args, kwargs) -> activations.Activation | None:
    """The activation that a call of a torch function computes; None where it is none."""
    name = getattr(func, "__name__", "").strip("_")
    given = [v for v in (*args[1:2], *kwargs.values()) if not isinstance(v, (bool, str))]
    return _with(name, given[0] if given else _DEFAULTS.get(name))


def _with(name: str, parameter) -> activations.Activation | None:
    """The activation with that name and parameter, a number or a tensor of PReLU's slopes."""
    if isinstance(parameter, torch.Tensor):  # PReLU may have a slope a channel
        parameter = parameter.item() if parameter.numel() == 1 else math.nan
    if not isinstance(parameter, (float, int, type(None))) or parameter != parameter:
        return None
    return _known(name, None if parameter is None else float(parameter))


def _of_module(m: nn.Module) -> activations.Activation | None:
    """The activation that a module computes; ``identity`` for unknown ones, such as Softmax."""
    if type(m).__module__ != nn.ReLU.__module__ or isinstance(m, nn.MultiheadAttention):
        return None
    given = [getattr(m, key) for key in ("negative_slope", "alpha", "beta", "weight") if hasattr(m, key)]
    name = type(m).__name__.lower().replace("leakyrelu", "leaky_relu")
    return _with(name, given[0] if given else None) or activations.identity


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules without children, and whole attention layers, in the order in which they are registered."""
    children = [m for m in module._modules.values() if m is not None]
    if not children or isinstance(module, nn.MultiheadAttention):
        yield module
    else:
        for m in children:
            yield from _leaves(m)


def following(module: nn.Module) -> dict[int, activations.Activation | None]:
    """By id of a Linear or Conv: the activation registered next, with at most norms and the like between."""
    found, after = {}, None
    for m in reversed(list(_leaves(module))):
        if isinstance(m, LINEAR):
            found[id(m)] = after
        if (function := _of_module(m)) is not None:
            after = function
        elif not isinstance(m, NORMS) and (
            isinstance(m, (*LAYERS, *RECURRENT)) or not type(m).__module__.startswith("torch.nn.")
        ):
            after = None
    return found


def checked(module: nn.Module) -> None:
    """Raise TypeError for what is no module, ValueError for parameters without values or gradients."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    for name, t in (*module.named_parameters(), *module.named_buffers()):
        if nn.parameter.is_lazy(t):
            raise ValueError(f"module: {name} has no shape yet; run a batch through it first")
        if t.is_meta:
            raise ValueError(f"module: {name} is on the meta device and has no values")
        if t.is_inference() and isinstance(t, nn.Parameter) and not torch.is_inference_mode_enabled():
            raise ValueError(
                f"module: {name} was made in torch.inference_mode and takes no gradient: outside of it, "
                "copy.deepcopy(module) makes one that does"
            )


def each_parameter(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    """(name, its module, its name there, parameter) of all parameters, tied ones once."""
    seen = set()
    for prefix, m in module.named_modules():
        for key, p in m._parameters.items():
            if p is not None and id(p) not in seen:
                seen.add(id(p))
                yield f"{prefix}.{key}" if prefix else key, m, key, p


# One pass ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Layer:
    """A layer that ran."""

    name: str
    module: nn.Module
    x: torch.Tensor | None  # its input
    z: torch.Tensor  # its output
    out: torch.Tensor  # a copy of it, which the network went on with
    source: Layer | None  # the layer whose output, or activation, is the input
    origins: frozenset  # all layers whose output had a part in the input; None stands for the batch
    stats: list[float]  # q, activation_mean, activation_var, correlation, saturated, dead, as in Signals
    activation: activations.Activation | None = None  # what its output goes into, where that is known
    uses: int = 0  # how many calls its output went into
    added: bool = False  # whether it ends a branch that is added to what other layers brought
    grad_var: float = math.nan

    @property
    def unit_axis(self) -> int:
        """The axis of its output that counts the units."""
        if isinstance(self.module, conv._ConvNd):
            return -1 - len(self.module.kernel_size)
        return 1 if isinstance(self.module, (batchnorm._NormBase, nn.GroupNorm)) else -1

    def followed_by(self, function: activations.Activation, before: np.ndarray, after: torch.Tensor) -> None:
        """Its output, ``before``, went into ``function``, and ``after`` came out."""
        self.activation = function
        flat = np.abs(function.df(before)) < FLAT * steepest_slope(function)
        units = np.moveaxis(flat, self.unit_axis, -1).reshape(-1, flat.shape[self.unit_axis])
        a = numbers(after)
        self.stats[1:3] = a.mean(), a.var()
        self.stats[4:] = flat.mean(), units.all(axis=0).mean()


def numbers(t: torch.Tensor) -> np.ndarray:
    """The entries in float64."""
    return t.detach().to("cpu", torch.float64).numpy()


def tensors_in(values: Iterable) -> Iterator[torch.Tensor]:
    """The tensors among ``values``, and in the lists, tuples and dicts among them."""
    for v in values:
        if isinstance(v, torch.Tensor):
            yield v
        elif isinstance(v, (list, tuple, dict)):
            yield from tensors_in(v.values() if isinstance(v, dict) else v)


class Watch(TorchFunctionMode):
    """A context in which ``module`` runs watched: ``layers`` holds a ``Layer`` for every one that ran.

    Hooks, removed on exit, see the layers; overridden torch functions see the activations, so F.relu is seen
    as nn.ReLU is.
    """

    def __init__(self, module: nn.Module, inputs: tuple):
        super().__init__()
        self.layers: list[Layer] = []
        self.outputs: dict[int, Layer] = {}  # by id of ``out``, which the layer keeps alive
        self.activated: dict[int, Layer] = {}  # by id of what the activation returned
        self.origins = {id(t): frozenset([None]) for t in tensors_in(inputs)}  # by id of a result
        self.alive = []  # the results: while they live, no other object takes their ids
        self.handles = [
            m.register_forward_hook(functools.partial(self._ran, name))
            for name, m in module.named_modules()
            if isinstance(m, LAYERS)
        ]

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        return super().__exit__(*error)

    def _ran(self, name, module, inputs, output):
        """The hook after a layer's forward."""
        z = output[0] if isinstance(output, tuple) else output
        if not isinstance(z, torch.Tensor) or not z.is_floating_point() or not z.numel():
            return None
        if not z.requires_grad:  # where every parameter before it is frozen
            z = z.detach().requires_grad_()
        out = z.clone()  # the next module may write into it
        x = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else None
        source = self.activated.get(id(x)) or self.outputs.get(id(x))
        with np.errstate(all="ignore"):
            values = numbers(z)
            rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
            q = np.square(values).mean()
            stats = [q, values.mean(), values.var(), mean_cosine(rows), math.nan, math.nan]
        layer = Layer(name, module, x, z, out, source, self.origins.get(id(x), frozenset()), stats)
        if source is not None and source.activation is None:
            source.activation = activations.identity
        self.layers.append(layer)
        self.outputs[id(out)] = layer
        self.origins[id(out)] = frozenset([layer])
        return (out, *output[1:]) if isinstance(output, tuple) else out

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [id(t) for t in tensors_in((*args, kwargs))]
        origins = frozenset().union(*(self.origins[i] for i in given if i in self.origins))
        if not origins:
            return func(*args, **kwargs)
        used = {self.outputs[i] for i in given if i in self.outputs}
        layer = self.outputs.get(id(args[0])) if args else None
        function = _called(func, args, kwargs) if layer else None
        before = None if function is None else np.array(numbers(args[0]))  # the call may overwrite it
        if getattr(func, "__name__", "").strip("_") in ("add", "radd", "iadd"):
            self._add([t for t in args[:2] if isinstance(t, torch.Tensor)])
        result = func(*args, **kwargs)
        results = list(tensors_in([result]))
        for t in results:
            self.origins[id(t)] = origins
        self.alive += results
        if results:  # a call that returns no tensor, such as size(), is no use
            for one in used:
                one.uses += 1
        if function is not None:
            with np.errstate(all="ignore"):
                layer.followed_by(function, before, result)
            self.activated[id(result)] = layer
            if result is layer.out:  # in place: from now on it is the activation
                del self.outputs[id(result)]
        return result

    def _add(self, terms: list[torch.Tensor]) -> None:
        """Mark the layer that ends a branch: the later one of those that a term comes from alone."""
        origins = [self.origins.get(id(t)) for t in terms]
        if len(terms) == 2 and all(origins) and terms[0].shape == terms[1].shape and origins[0] != origins[1]:
            alone = [one for o in origins if len(o) == 1 for one in o if one is not None]
            if alone:
                max(alone, key=self.layers.index).added = True

    def ran(self) -> list[Layer]:
        """The layers in order, without the activation of those whose output went into several calls."""
        for layer in self.layers:
            if layer.uses != 1:
                layer.activation = None
                layer.stats[4:] = math.nan, math.nan
        return self.layers


@contextlib.contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """A context after which attributes, parameters, buffers and all random streams are as before."""
    tables = [
        (table, dict(table))
        for m in module.modules()
        for table in (m.__dict__, m._parameters, m._buffers, m._modules)
        if isinstance(table, dict)
    ]
    parameters = [(p, p.detach().clone(), p.requires_grad) for p in module.parameters()]
    copies = {id(b): b.detach().clone() for b in module.buffers()}
    streams = random.getstate(), np.random.get_state()  # noqa: NPY002 - a module may use them
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            # The module writes to copies: a pending backward pass of the caller may need the buffers.
            for m in module.modules():
                m._buffers.update({k: copies[id(b)] for k, b in m._buffers.items() if b is not None})
            yield
        finally:
            random.setstate(streams[0])
            np.random.set_state(streams[1])  # noqa: NPY002
            for table, saved in tables:
                table.clear()
                table.update(saved)
            with torch.no_grad():
                for p, saved, requires_grad in parameters:
                    p.requires_grad_(requires_grad)
                    # Only what has changed is written: writing spoils a pending backward pass. NaN equals
                    # NaN.
                    if not torch.equal(p, saved) and not torch.allclose(p, saved, 0, 0, equal_nan=True):
                        p.copy_(saved)


def gradients(layers: list[Layer], output, loss, n: int) -> None:
    """Set every layer's ``grad_var``: the mean square of the gradient of one example's loss at its output.

    ``loss`` as in ``diagnose``; ``n``: the number of examples.
    """
    y = next((t for t in tensors_in([output]) if t.is_floating_point()), None)
    start, scale = None, 1.0
    if callable(loss):
        y, scale = loss(output), n
        if not isinstance(y, torch.Tensor) or y.numel() != 1:
            shape = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
            raise ValueError(f"loss must return a tensor with one number, not {shape}")
    elif loss is not None:
        try:
            labels = torch.as_tensor(loss, device=None if y is None else y.device)
            y = nn.functional.cross_entropy(y, labels, reduction="sum")
        except (TypeError, RuntimeError, ValueError, IndexError) as error:
            raise ValueError(f"loss: these labels do not fit the output: {error}") from None
    elif y is not None:
        start = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)
    if y is None or not y.requires_grad or not layers:
        return
    found = torch.autograd.grad(y, [layer.z for layer in layers], start, allow_unused=True)
    for layer, g in zip(layers, found, strict=True):
        with np.errstate(all="ignore"):
            layer.grad_var = 0.0 if g is None else float(np.square(scale * numbers(g)).mean())
