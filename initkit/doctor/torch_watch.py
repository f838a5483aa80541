"""Watch a PyTorch module run: which layers, in which order, what came out, what follows, what is added."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import ModuleType

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
ADDITIONS = {"add", "iadd", "radd"}  # torch's names of a + b, a += b, torch.add(a, b)
PRODUCTS = {"mul", "imul", "rmul"}
# Functions that multiply their first tensor by their second, which may be a weight.
BY_A_WEIGHT = {"linear", "matmul", "mm", "bmm", "einsum", "conv1d", "conv2d", "conv3d"}
_DEFAULTS = {"leaky_relu": 0.01, "elu": 1.0}  # what a function takes that is called without its parameter


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
    given = [v for v in (*args[1:], *kwargs.values()) if not isinstance(v, (bool, str))]
    if name == "hardtanh" and given[:2] == [0, 6]:  # what nn.ReLU6 calls
        return activations.relu6
    return _with(name, given[0] if given else _DEFAULTS.get(name))


def _with(name: str, parameter) -> activations.Activation | None:
    """The activation with that name and parameter, a number or a tensor of PReLU's slopes."""
    if isinstance(parameter, torch.Tensor):  # PReLU may have a slope a channel
        parameter = parameter.item() if parameter.numel() == 1 else math.nan
    if not isinstance(parameter, (float, int, type(None))) or parameter != parameter:
        return None
    return _known(name, None if parameter is None else float(parameter))


def base_name(function: activations.Activation) -> str:
    """The name without its parameter: "leaky_relu" of "leaky_relu(0.2)"."""
    return function.name.partition("(")[0]


def _of_module(m: nn.Module) -> activations.Activation | None:
    """The activation that a module computes; ``identity`` for one that the library has not, such as Softmax.

    None where the module is none of torch.nn's activations.
    """
    if type(m).__module__ != nn.ReLU.__module__ or isinstance(m, nn.MultiheadAttention):
        return None
    given = [getattr(m, key) for key in ("negative_slope", "alpha", "beta", "weight") if hasattr(m, key)]
    name = type(m).__name__.lower().replace("leakyrelu", "leaky_relu")
    return _with(name, given[0] if given else None) or activations.identity


def _by_values(m: nn.Module, like: torch.Tensor) -> activations.Activation | None:
    """The activation that a module computes of tensors like this one; None where none is near.

    QuickGELU, x·sigmoid(1.702x), is off GELU by at most 0.02.
    """
    x = torch.linspace(-5, 5, like.numel(), dtype=like.dtype, device=like.device).reshape(like.shape)
    try:
        with torch.no_grad():
            x, y = numbers(x), numbers(m.forward(x.clone()))
    except Exception:  # whatever a module raises that is no function of one tensor
        return None
    if y.shape != x.shape or not x.size:
        return None
    step = -(-x.size // 1000)  # a thousand entries tell
    x, y = x.ravel()[::step], y.ravel()[::step]
    with np.errstate(all="ignore"):
        off = {name: float(np.abs(f.f(x) - y).max()) for name, f in activations.NAMES.items()}
    name = min(off, key=lambda name: np.nan_to_num(off[name], nan=math.inf))
    return _known(name, _DEFAULTS.get(name)) if off[name] <= 0.03 else None


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules without children, and whole attention layers, in the order in which they are registered."""
    children = [m for m in module._modules.values() if m is not None]
    if not children or isinstance(module, nn.MultiheadAttention):
        yield module
    else:
        for m in children:
            yield from leaves(m)


def following(module: nn.Module) -> dict[int, activations.Activation | None]:
    """By id of a linear layer: the activation registered next, with norms, dropout or pooling between."""
    found, after = {}, None
    for m in reversed(list(leaves(module))):
        if is_linear(m):
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


def unwrapped(module: nn.Module) -> nn.Module:
    """The module that ``torch.compile``, DataParallel and the like stand around."""
    while isinstance(module, nn.Module):
        if "_orig_mod" in getattr(module, "_modules", ()):  # torch.compile's
            module = module._orig_mod
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            break
    return module


def is_linear(m: nn.Module) -> bool:
    """Whether a module's output is its weight times its input: Linear, Conv, and Hugging Face's Conv1D."""
    return isinstance(m, LINEAR) or is_transposed(m)


def is_transposed(m: nn.Module) -> bool:
    """Whether it is Hugging Face's Conv1D, a Linear layer whose weight is (in, out)."""
    return type(m).__name__ == "Conv1D" and getattr(getattr(m, "weight", None), "ndim", 0) == 2


def weight_axes(m: nn.Module) -> dict[str, int]:
    """Where PyTorch counts the fans of a layer's weight, which for a ConvTranspose is the wrong way round."""
    return {"in_axis": 0, "out_axis": 1} if is_transposed(m) else {"in_axis": 1, "out_axis": 0}


def has_seen_nothing(m: nn.Module) -> bool:
    """Whether it is a normalization whose running statistics are 0 and 1: it has seen no batch so far."""
    mean, var = getattr(m, "running_mean", None), getattr(m, "running_var", None)
    known = isinstance(m, batchnorm._NormBase) and mean is not None and var is not None
    return known and not mean.is_meta and not bool(mean.any()) and bool((var == 1).all())


def is_rescaled(m: nn.Module) -> bool:
    """Whether a layer may multiply by another weight than is stored, as with weight standardization."""
    return not (is_transposed(m) or type(m).forward.__module__.startswith("torch.nn."))


def is_matrix(m: nn.Module, p: nn.Parameter) -> bool:
    """Whether the parameter is a weight that ``m`` multiplies its input by, as stored or rescaled."""
    return p.ndim > 1 and (is_linear(m) or isinstance(m, (nn.MultiheadAttention, *RECURRENT)))


def worth_a_look(module: nn.Module) -> dict[str, nn.Module]:
    """By name: the modules with parameters of their own and none below, but for activations such as PReLU."""
    found, inside = {}, set()
    for name, m in module.named_modules():
        if id(m) in inside:
            continue
        if isinstance(m, (*LAYERS, *RECURRENT)):
            found[name] = m
            inside |= {id(part) for part in m.modules()}  # attention's out_proj, what computes a weight
        elif type(m).__module__ != nn.ReLU.__module__ and any(p is not None for p in m._parameters.values()):
            below = itertools.chain.from_iterable(part.parameters() for part in m.children())
            if next(below, None) is None:
                found[name] = m
    return found


# One pass ------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Layer:
    """A layer that ran."""

    name: str  # of a recurrent layer's k-th layer, with ".l{k}" behind
    module: nn.Module
    x: torch.Tensor | None  # its input
    z: torch.Tensor  # its output
    out: torch.Tensor  # a copy of it, which the network went on with
    source: Layer | None  # the layer whose output, or activation of it, is the input
    origins: frozenset  # all layers whose output had a part in the input; None stands for the batch
    q: float  # this and the next five are as in Signals: of the output, and of its activation once known
    activation_mean: float
    activation_var: float
    correlation: float
    saturated: float = math.nan
    dead: float = math.nan
    activation: activations.Activation | None = None  # what its output goes into, where that is known
    uses: int = 0  # how many calls its output went into
    into: set[str] = field(default_factory=set)  # the names of these functions
    through: set[str] = field(default_factory=set)  # the names of all functions up to the layers after it
    slopes: tuple[float, float] = (1.0, 1.0)  # ⟨f'(z)²⟩ and ⟨f'(z)⁴⟩ of its activation
    added: bool = False  # whether it is the last layer of a branch that is added to a stream
    grad_var: float = math.nan
    reached: bool = True  # whether the backward pass reaches it
    bit: int = 0  # its own, as in ``past``
    past: int = 0  # the bits of all layers, sums and weights that had a part in the output; its own too
    key: str | None = None  # of a recurrent layer: its parameter that a finding points to
    joins: bool = False  # whether its output, at most scaled or normalized, ends a branch or is a gate
    forks: bool = False  # whether a branch starts at its output, past which the stream goes on
    last: bool = False  # whether no layer follows

    @property
    def unit_axis(self) -> int:
        """The axis of its output that counts the units."""
        if isinstance(self.module, conv._ConvNd):
            return -1 - len(self.module.kernel_size)
        return 1 if isinstance(self.module, (batchnorm._NormBase, nn.GroupNorm)) else -1

    def followed_by(self, function: activations.Activation, before: np.ndarray, after: torch.Tensor) -> None:
        """Its output, ``before``, went into ``function``, and ``after`` came out."""
        self.activation = function
        slopes = np.abs(function.df(before))
        flat = slopes < FLAT * steepest_slope(function)
        units = np.moveaxis(flat, self.unit_axis, -1).reshape(-1, flat.shape[self.unit_axis])
        a = numbers(after)
        self.activation_mean, self.activation_var = a.mean(), a.var()
        self.saturated, self.dead = flat.mean(), units.all(axis=0).mean()
        self.slopes = float(np.square(slopes).mean()), float((np.square(slopes) ** 2).mean())


@dataclass(eq=False)
class Sum:
    """An addition that joins a branch to the stream which it left: h + f(h), or g(h) + f(h)."""

    before: Sum | None  # the addition that the stream comes from
    loose: bool  # whether weights lie between the two additions, as where a stage begins with a projection
    stream: float  # mean square of the stream before; where both are branches, of the smaller
    branch: float  # mean square of what is added to it
    q: float  # mean square of the sum
    ends: frozenset  # the layers that the branch ends in
    bit: int
    within: int  # the bits of what lies within the branch
    size: torch.Size
    twice: bool  # whether most entries of branch and stream are equal, so that the sum is twice the stream

    @property
    def change(self) -> float:
        """The factor from the sum before to this one, but for a resize between them and an added copy."""
        before = self.stream if self.before is None or self.before.size != self.size else self.before.q
        return (self.stream if self.twice else self.q) / max(before, 1e-300)


@dataclass(eq=False)
class Weight:
    """A parameter that something is multiplied by, in a layer or by a module of the model's own."""

    bit: int
    units_last: bool | None  # of a matrix: whether its columns count the units; None where nothing tells
    past: int = 0  # the bits of all that had a part in its products; its own too
    joins: bool = False  # whether a product, at most through functions without weights, is added or is a gate
    last: bool = True  # whether no layer and no other weight follows


def numbers(t: torch.Tensor) -> np.ndarray:
    """The entries in float64."""
    return t.detach().to("cpu", torch.float64).numpy()


def numpy_of(p: torch.Tensor) -> np.ndarray:
    """A parameter's values; those of a dtype that NumPy lacks in float32."""
    w = p.detach().cpu()
    return (w if w.dtype in (torch.float16, torch.float32, torch.float64) else w.float()).numpy()


def _mean_square(t: torch.Tensor) -> float:
    """⟨t²⟩ in float64."""
    with np.errstate(all="ignore"):
        return float(np.square(numbers(t)).mean())


def tensors_in(values: Iterable) -> Iterator[torch.Tensor]:
    """The tensors among ``values``, and in the lists, tuples and dicts among them."""
    for v in values:
        if isinstance(v, torch.Tensor):
            yield v
        elif isinstance(v, (list, tuple, Mapping)):
            yield from tensors_in(v.values() if isinstance(v, Mapping) else v)


def floats_in(output, within: tuple = ()) -> list[torch.Tensor]:
    """The tensors of floating-point numbers in what a module returns.

    They are looked for in the attributes of objects, too, of a dataclass or a distribution say, but not of
    modules.
    """
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, (list, tuple)):
        parts = list(output)
    elif isinstance(output, (type, ModuleType, nn.Module)) or any(output is one for one in within):
        return []
    else:
        slots = [one.name for one in fields(output)] if is_dataclass(output) else []
        parts = list({**getattr(output, "__dict__", {}), **{k: getattr(output, k) for k in slots}}.values())
    return [t for part in parts for t in floats_in(part, (*within, output))]


@contextlib.contextmanager
def _labels_that_fit() -> Iterator[None]:
    """What PyTorch raises about labels becomes a ValueError about ``loss``."""
    try:
        yield
    except (TypeError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"loss: these labels do not fit the output: {error}") from None


def labels_for(y: torch.Tensor | None, loss) -> torch.Tensor:
    """``loss`` as labels for softmax cross-entropy of the output ``y``.

    Raises ValueError for other targets, which cross-entropy takes all the same: of one class, where it is 0
    whatever the output, and floating-point numbers that are no probabilities of the classes.
    """
    other = "for another loss, pass a function of the output"
    if y is None:
        raise ValueError(f"loss: labels need an output of floating-point numbers, and there is none; {other}")
    with _labels_that_fit():
        labels = torch.as_tensor(loss, device=y.device)
    axis = min(1, y.ndim - 1)
    if axis < 0 or y.shape[axis] < 2:
        raise ValueError(
            f"loss: labels are for softmax cross-entropy, which needs an output (examples, classes) of two "
            f"classes or more, not shape {tuple(y.shape)}; {other}"
        )
    if labels.is_floating_point() and labels.shape == y.shape and labels.numel():
        with _labels_that_fit():
            least, sums = labels.min(), labels.sum(axis, dtype=torch.float64)
        if not (least >= 0 and (sums - 1).abs().max() < 0.01):
            raise ValueError(
                "loss: floating-point labels are each class's probability, at least 0 and of sum 1 a row, "
                f"not from {least:.3g} and with sums up to {sums.max():.3g}; {other}"
            )
    return labels


def _is_held(t: torch.Tensor) -> bool:
    """Whether a tensor has memory of its own, as a sparse tensor and one inside of torch.func have not."""
    try:
        t.untyped_storage()
    except NotImplementedError:
        return False
    return True


def own_loss(output) -> torch.Tensor | None:
    """The loss that a model returns by itself, as Hugging Face's do when they are given labels."""
    own = output.get("loss") if isinstance(output, Mapping) else None
    return own if isinstance(own, torch.Tensor) and own.numel() == 1 else None


def output_of(module: nn.Module, inputs: tuple | dict):
    """What the module returns for a batch whose parts come by place, or by name."""
    return module(**inputs) if isinstance(inputs, dict) else module(*inputs)


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
        self.sums: list[Sum] = []
        self.ends: dict[Layer, int] = {}  # the layers in which branches end: the bits of what lies in these
        self.forks: set[Layer] = set()  # the layers at whose output a branch starts, while the stream goes on
        self.bits = 1  # how many bits are given out; the first is the batch's
        self.past = dict.fromkeys(self.origins, 1)  # by id of a result: the bits of what had a part in it
        self.parameters = {id(p) for p in module.parameters()}
        self.weights: dict[int, Weight] = {}  # by id of the parameter
        self.made: dict[int, set[Weight]] = {}  # by id of a result: the weights whose products it is made of
        self.streams: dict[int, frozenset[Sum]] = {}  # by id of a result: the sums in it, at most normalized
        self.called: set[int] = set()  # ids of the modules that ran
        self.elsewhere: set[int] = set()  # ids of the modules that run in the other mode alone, train or eval
        self.entered: dict[int, tuple] = {}  # by id of a running module: the layer whose output it got
        self.stack = contextlib.ExitStack()
        for m in module.modules():
            if getattr(m, "_compiled_call_impl", None) is not None:
                m._compiled_call_impl = None  # after module.compile(), calls pass by every hook
            self._hook(m, lambda m, inputs: self.called.add(id(m)), "register_forward_pre_hook")
            if not (m._modules or m._parameters or type(m).__module__ == nn.ReLU.__module__):
                self._hook(m, self._starts, "register_forward_pre_hook")
                self._hook(m, self._ends)
        for name, m in worth_a_look(module).items():
            if isinstance(m, nn.RNNBase):
                self._hook(m, functools.partial(self._layer_by_layer, name), with_kwargs=True)
            elif not isinstance(m, nn.RNNCellBase):
                self._hook(m, functools.partial(self._ran, name))

    def _hook(self, m: nn.Module, hook, register: str = "register_forward_hook", **options) -> None:
        self.stack.callback(getattr(m, register)(hook, **options).remove)

    def __enter__(self):
        # Functions and inner modules that torch.compile has compiled run as they are written, so that they
        # are seen. Nothing was compiled where torch._dynamo is not loaded; to load it takes seconds.
        if "torch._dynamo" in sys.modules:
            self.stack.enter_context(torch.compiler.set_stance("force_eager"))
        return super().__enter__()

    def __exit__(self, *error):
        self.stack.close()
        return super().__exit__(*error)

    def _starts(self, m, inputs):
        """The hook before a module without parameters, which may be an activation of the model's own."""
        layer = self.outputs.get(id(inputs[0])) if inputs else None
        if layer is not None:
            self.entered[id(m)] = layer, layer.uses, set(layer.into), set(layer.through)

    def _ends(self, m, inputs, output):
        """The hook after such a module: its values tell which activation it is, whatever it has called."""
        layer, uses, into, through = self.entered.pop(id(m), (None, 0, set(), set()))
        if layer is None or not isinstance(output, torch.Tensor) or output.shape != layer.z.shape:
            return
        function = None if id(output) in self.activated else _by_values(m, output)
        if function is not None:
            with np.errstate(all="ignore"):
                layer.followed_by(function, numbers(layer.z), output)
            layer.uses, layer.into = uses + 1, into | {function.name}
            layer.through = through | {function.name}
            self.activated[id(output)] = layer

    def _ran(self, name, module, inputs, output):
        """The hook after a layer's forward."""
        z = output[0] if isinstance(output, tuple) else output
        if not isinstance(z, torch.Tensor) or not z.is_floating_point() or not z.numel() or not _is_held(z):
            return None
        x = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else None
        out = self._layer(name, module, x, z, self._past_of((*inputs, z)))
        return (out, *output[1:]) if isinstance(output, tuple) else out

    def _layer_by_layer(self, name, m, inputs, kwargs, output):
        """The hook after a recurrent module's forward, which runs its layers once more, one at a time."""
        x, given = (*inputs, kwargs.get("hx"), None)[:2] if inputs else (None, None)
        if not isinstance(x, torch.Tensor) or x.ndim != 3 or not x.numel():
            return None  # packed sequences, or a single sequence
        ways = 1 + m.bidirectional
        states = given if isinstance(given, tuple) else None if given is None else (given,)
        if states is None:
            widths = (m.proj_size or m.hidden_size, m.hidden_size)[: 1 + (m.mode == "LSTM")]
            examples = x.shape[0 if m.batch_first else 1]
            states = tuple(x.new_zeros(ways * m.num_layers, examples, width) for width in widths)
        weights, ends = len(m._flat_weights) // m.num_layers, []
        for k in range(m.num_layers):
            start = tuple(state[k * ways : (k + 1) * ways] for state in states)
            z, *end = getattr(torch, m.mode.lower())(
                x, start if m.mode == "LSTM" else start[0], m._flat_weights[k * weights : (k + 1) * weights],
                m.bias, 1, 0.0, m.training, m.bidirectional, m.batch_first,
            )  # fmt: skip
            ends.append(end)
            out = self._layer(f"{name}.l{k}" if name else f"l{k}", m, x, z, self._past_of((x, z)))
            self.layers[-1].key = f"{name}.weight_ih_l{k}" if name else f"weight_ih_l{k}"
            x = nn.functional.dropout(out, m.dropout, m.training) if k < m.num_layers - 1 else out
        state = tuple(map(torch.cat, zip(*ends, strict=True)))
        return x, state if m.mode == "LSTM" else state[0]

    def _past_of(self, tensors) -> int:
        """The bits of all that had a part in any of these tensors."""
        return functools.reduce(operator.or_, (self.past.get(id(t), 0) for t in tensors_in(tensors)), 0)

    def _bit(self) -> int:
        """A bit that is not given out yet."""
        self.bits += 1
        return 1 << (self.bits - 1)

    def _layer(self, name, module, x, z, past: int) -> torch.Tensor:
        """Note a layer with input ``x`` and output ``z``; return the copy that the network goes on with."""
        if not z.requires_grad:  # where every parameter before it is frozen
            z = z.detach().requires_grad_()
        out = z.clone()  # the next module may write into it
        source = self.activated.get(id(x)) or self.outputs.get(id(x))
        with np.errstate(all="ignore"):
            values = numbers(z)
            rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
            measured = np.square(values).mean(), values.mean(), values.var(), mean_cosine(rows)
        origins = self.origins.get(id(x)) or self.origins.get(id(z), frozenset())
        layer = Layer(name, module, x, z, out, source, origins, *measured)
        layer.bit = self._bit()
        layer.past = past | layer.bit
        if source is not None and source.activation is None:
            source.activation = activations.identity
        self.layers.append(layer)
        for weight in self.made.get(id(x), ()):
            weight.last = False
        self.outputs[id(out)] = layer
        if not isinstance(module, NORMS):
            self.streams[id(out)] = frozenset()
        self.origins[id(out)] = frozenset([layer])
        self.past[id(out)] = layer.past
        return out

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [id(t) for t in tensors_in((*args, kwargs))]
        origins = frozenset().union(*(self.origins[i] for i in given if i in self.origins))
        name = getattr(func, "__name__", "").strip("_")
        past = self._past_of((*args, kwargs))
        made, of_weight = self._weighted(name, list(tensors_in((*args, kwargs))), past)
        past |= of_weight
        if not origins:
            result = func(*args, **kwargs)
            if made:  # of parameters alone
                self._note(list(tensors_in([result])), made, past)
            return result
        used = {self.outputs[i] for i in given if i in self.outputs}
        layer = self.outputs.get(id(args[0])) if args else None
        function = _called(func, args, kwargs) if layer else None
        before = None if function is None else np.array(numbers(args[0]))  # the call may overwrite it
        joined = self._joined(name, *args[:2]) if name in ADDITIONS | PRODUCTS and len(args) > 1 else None
        result = func(*args, **kwargs)
        results = [args[0]] if name == "setitem" else list(tensors_in([result]))
        if joined is not None and results and results[0].shape == args[0].shape:
            joined.q = _mean_square(results[0])
            self.sums.append(joined)
            past |= joined.bit
            streams = frozenset([joined])
        elif name in BY_A_WEIGHT:
            streams = frozenset()
        else:
            streams = frozenset().union(*(self.streams.get(i, ()) for i in given))
        for t in results:
            self.origins[id(t)] = origins
            self.streams[id(t)] = streams
        self._note(results, made, past)
        if results:  # a call that returns no tensor, such as size(), is no use
            for one in used:
                one.uses += 1
                one.into.add(name)
            for one in origins - {None}:
                one.through.add(name)
        if function is not None:
            with np.errstate(all="ignore"):
                layer.followed_by(function, before, result)
            self.activated[id(result)] = layer
            if result is layer.out:  # in place: from now on it is the activation
                del self.outputs[id(result)]
        return result

    def _note(self, results: list[torch.Tensor], made: set[Weight], past: int) -> None:
        """Note of what weights, and of what else, the results of a call are made."""
        for t in results:
            self.made[id(t)] = made
            self.past[id(t)] = past
        self.alive += results

    def _weighted(self, name: str, given: list[torch.Tensor], past: int) -> tuple[set[Weight], int]:
        """The weights whose products the results of a call are made of, and the bit of a new one.

        A branch may be a product without a layer. Then its weight has a part in one of two summands, or
        factors, alone, and ``joins`` notes that.
        """
        made = set().union(*(self.made.get(id(t), ()) for t in given))
        if name in BY_A_WEIGHT and len(given) > 1:
            alone = not any(id(t) in self.origins for t in given)  # no factor is the input's: LoRA's B·A
            bases = [t if t._base is None else t._base for t in given[0 if alone else 1 : 2]]
            new = {id(base): base for base in bases if id(base) in self.parameters}
            for one in made if new else ():
                one.last = False
            for key, base in new.items():
                plain = name in ("matmul", "mm") and base is given[1] and base.ndim == 2
                weight = self.weights.setdefault(key, Weight(0, None if alone or name == "einsum" else plain))
                weight.bit = weight.bit or self._bit()
                weight.past |= past | weight.bit
            if new:
                made = {self.weights[key] for key in new}
                return made, functools.reduce(operator.or_, (one.bit for one in made))
        if len(given) > 1 and (name in PRODUCTS or (name in ADDITIONS and given[0].shape == given[1].shape)):
            parts = [self.past.get(id(t), 0) for t in given[:2]]
            if name in ADDITIONS or all(parts):
                for one in made:
                    one.joins |= bool(one.bit & (parts[0] ^ parts[1]))
        return made, 0

    def _joined(self, name: str, a, b) -> Sum | None:
        """The addition of ``a`` and ``b``, if one, or both, is a branch from what the other comes from.

        A product, x·g(x), is no addition, and neither is a context of fewer numbers that is added to a whole
        stream (GCNet's). The layers that end such a branch, a gate or a context, are noted.
        """
        if not all(isinstance(t, torch.Tensor) and id(t) in self.origins for t in (a, b)):
            return None
        if not a.is_floating_point() or not a.numel():
            return None
        adds = name in ADDITIONS and a.shape == b.shape
        if not self.past[id(a)] & ~self.past[id(b)]:
            a, b = b, a  # h comes second: f(h) + h
        common = self.past[id(a)] & self.past[id(b)]
        # Now b is the stream that a was computed from, or each of the two comes out of a branch of its own.
        ends, within = set(self.origins[id(a)]), self.past[id(a)] & ~common
        if not common or not within:
            return None
        two = bool(self.past[id(b)] & ~common)
        if name in ADDITIONS and not adds and (two or a.numel() > b.numel()):
            return None
        if two:
            ends |= self.origins[id(b)]
            within |= self.past[id(b)] & ~common
        ends = frozenset(end for end in ends if end is not None and end.bit & within)
        if not ends:  # no layer lies in a branch, as in rotary positions
            return None
        for end in ends:
            self.ends[end] = self.ends.get(end, 0) | within
        self.forks |= {end for end in self.origins[id(b)] if end is not None and end.bit & common}
        if not adds:
            return None
        carried = self.streams.get(id(a), frozenset()) | self.streams.get(id(b), frozenset())
        carried = {one for one in carried if one.bit & common} or carried
        before = max(carried, key=lambda one: one.bit, default=None)
        if before is None:
            before = next((one for one in reversed(self.sums) if one.bit & common), None)
        stream, branch = _mean_square(b), _mean_square(a)
        if two and 0 < branch < stream:
            # Both are new, as where a stage begins with a projection. The larger one counts as added: taken
            # for the stream, it would hide how much the sum has grown.
            stream, branch = branch, stream
        twice = bool((a == b).double().mean() > 0.5) and stream > 0
        return Sum(before, not carried, stream, branch, math.nan, ends, self._bit(), within, a.shape, twice)

    def ran(self) -> list[Layer]:
        """The layers in order, with what shows only after the pass.

        A layer whose output went into several calls has no activation.
        """
        ends, followed = list(self.ends.items()), 0
        while ends:
            end, within = ends.pop()
            if not end.joins:
                end.joins = True
                if not is_linear(end.module):  # a norm or a scale: the layer before it in the branch ends it
                    ends += [(one, within) for one in end.origins - {None} if one.bit & within]
        continued = {one.before for one in self.sums if not one.loose}
        for one in self.sums:
            if one.loose and one.before in continued:
                one.before = None  # the stream goes on past it: this sum lies in a branch and begins a path
            max(one.ends, key=self.layers.index).added = True
        for one in (*self.layers, *self.weights.values()):
            followed |= one.past & ~one.bit
        for layer in self.layers:
            layer.last = not layer.bit & followed
            layer.forks = layer in self.forks
            if layer.uses != 1:
                layer.activation = None
                layer.saturated = layer.dead = math.nan
        return self.layers


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have equal entries; NaN equals NaN."""
    if a.dtype.itemsize == 1 and a.is_floating_point():  # for which torch has no comparison
        return torch.equal(a.view(torch.uint8), b.view(torch.uint8))
    return torch.equal(a, b) or torch.allclose(a, b, 0, 0, equal_nan=True)


@contextlib.contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """A context after which attributes, parameters, buffers and all random streams are as before.

    Inside, no parameter has a ``grad``, unless a backward pass of the module's own makes one.
    """
    tables = [
        (table, dict(table))
        for m in module.modules()
        for table in (m.__dict__, m._parameters, m._buffers, m._modules)
        if isinstance(table, dict)
    ]
    parameters = [(p, p.detach().clone(), p.requires_grad, p.grad) for p in module.parameters()]
    copies = {id(b): b.detach().clone() for b in module.buffers()}
    streams = random.getstate(), np.random.get_state()  # noqa: NPY002 - a module may use them
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            # The module writes to copies: a pending backward pass of the caller may need the buffers.
            for m in module.modules():
                m._buffers.update({k: copies[id(b)] for k, b in m._buffers.items() if b is not None})
            for p, _, _, grad in parameters:
                if grad is not None:
                    p.grad = None
            yield
        finally:
            random.setstate(streams[0])
            np.random.set_state(streams[1])  # noqa: NPY002
            for table, saved in tables:
                table.clear()
                table.update(saved)
            with torch.no_grad():
                for p, saved, requires_grad, grad in parameters:
                    p.requires_grad_(requires_grad)
                    if p.grad is not grad:
                        p.grad = grad
                    # Only what has changed is written: writing spoils a pending backward pass. NaN equals
                    # NaN.
                    if not _same(p, saved):
                        p.copy_(saved)


@dataclass(frozen=True)
class Back:
    """What the way back shows.

    Attributes
    ----------
    loss : float or None
        The mean over the batch, where it is a softmax cross-entropy.
    classes : int
        Among how many it chooses.
    reached : set of int
        Ids of the parameters that the loss, or without one any output, is computed from.
    zero : set of int
        Ids of those whose gradient is exactly zero; without a loss, of every output.
    beside : set of int
        Ids of those that only another output uses: one with a gradient, such as an auxiliary head's, or one
        without, if no output with a gradient shares their layers, such as a target network's.
    """

    loss: float | None
    classes: int
    reached: set[int]
    zero: set[int]
    beside: set[int]


def gradients(module, watch: Watch, output, loss, n: int) -> Back | None:
    """Set every layer's ``grad_var``: the mean square of the gradient of one example's loss at its output.

    It is 0 where none arrives, and NaN in layers that only another output uses.

    Parameters
    ----------
    loss
        As in ``diagnose``.
    n : int
        The number of examples.

    Returns
    -------
    Back or None
        None where there is no output of floating-point numbers, or no layer.

    Raises
    ------
    ValueError
        The labels do not fit the output, the loss is no number, or checkpointing hides the gradients.
    """
    layers, returned = watch.layers, floats_in(output)
    outputs, y = returned, next(iter(returned), None)
    logits = y
    start, scale, mean = None, 1.0, None
    own = own_loss(output)
    if loss is None and own is not None and own.requires_grad:
        y, scale, outputs = own, n, [own]
        logits = output.get("logits")
        mean = own if isinstance(logits, torch.Tensor) and logits.ndim > 1 else None
    elif callable(loss):
        try:
            y, scale = loss(output), n
        except TypeError as error:
            raise TypeError(f"loss is called with the module's output alone: {error}") from error
        if not isinstance(y, torch.Tensor) or y.numel() != 1:
            shape = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
            raise ValueError(f"loss must return a tensor with one number, not {shape}")
        outputs = [y]
    elif loss is not None:
        labels = labels_for(y, loss)
        with _labels_that_fit():
            y = nn.functional.cross_entropy(y, labels, reduction="sum")
        outputs, mean = [y], y / max(labels.numel() if labels.dtype == torch.int64 else n, 1)
    elif y is not None:
        start = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)
    if y is None or not layers:
        return None
    if not y.requires_grad:  # no gradient reaches any layer
        return Back(None, 0, set(), set(), set())
    reached = reached_from(outputs)
    taught, cut = (
        {id(p) for layer in layers if layer.bit & past for p in layer.module.parameters()}
        for past in (watch._past_of(t for t in returned if t.requires_grad is way) for way in (True, False))
    )
    beside = (reached_from(returned) | (cut - taught)) - reached
    parameters = [p for p in module.parameters() if id(p) in reached]
    wanted = [*(layer.z for layer in layers), *parameters]
    try:
        found = grad(y, wanted, start, retain_graph=True)
    except RuntimeError:  # the forward pass wrote to a parameter: only the layers' outputs have gradients
        parameters = []
        found = grad(y, wanted[: len(layers)], start)
    for layer, g in zip(layers, found[: len(layers)], strict=True):
        layer.reached = g is not None
        with np.errstate(all="ignore"):
            layer.grad_var = 0.0 if g is None else float(np.square(scale * numbers(g)).mean())
        if g is None and any(id(p) in beside for p in layer.module.parameters()):
            layer.grad_var = math.nan
    # A reversible layer computes itself anew on the way back, and sets its parameters' gradients.
    reached |= {id(p) for p in module.parameters() if p.grad is not None}
    pairs = zip(parameters, found[len(layers) :], strict=True)
    flat = [p for p, g in pairs if g is not None and not bool(g.any())]
    others = [t for t in returned if t is not y and t.requires_grad] if start is not None else []
    if flat and others:  # as DETR's heads of all layers, of which the first output has the last one's alone
        again = grad(others, flat, [torch.randn_like(t) for t in others])
        flat = [p for p, g in zip(flat, again, strict=True) if g is None or not bool(g.any())]
    zero = set(map(id, flat))
    classes = 0 if logits is None or logits.ndim < 2 else logits.shape[1 if loss is not None else -1]
    return Back(None if mean is None else float(mean.detach()), classes, reached, zero, beside)


def grad(y, wanted, start=None, *, retain_graph: bool = False) -> tuple[torch.Tensor | None, ...]:
    """``torch.autograd.grad``, with None for what is not used.

    Raises ValueError where checkpointing hides the gradients.
    """
    try:
        return torch.autograd.grad(y, wanted, start, retain_graph, allow_unused=True)
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise ValueError(
            "module uses torch.utils.checkpoint with use_reentrant=True, through which no gradient of a "
            "layer can be asked for; switch checkpointing off, or pass use_reentrant=False"
        ) from None


def reached_from(outputs: list[torch.Tensor]) -> set[int]:
    """Ids of the parameters from which these are computed."""
    found, seen, left = set(), set(), [t.grad_fn for t in outputs]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        left += [step for step, _ in node.next_functions]
    return found
