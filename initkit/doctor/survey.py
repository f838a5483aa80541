"""What the names and shapes of tensors say, before an entry is read: roles, fans, layers, biases."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..fans import fans
from .checkpoints import Source
from .identify import hidden_sizes
from .layout import Layout, laid_out
from .report import Finding, Tensor
from .roles import CALLED_WEIGHT, JUDGED, OF_GRAPH, signs
from .scan import Scan

# PyTorch's RNN, LSTM and GRU draw all of these by the hidden size.
RECURRENT = re.compile(r"\b(weight|bias)_[ih]h")
# Keras' recurrent kernels. They start orthogonal and are wide, so their scale is that of a draw by fan_out.
RECURRENT_KERNEL = re.compile(r"\brecurrent_kernel\b|\bcell/vars/1$")
COARSE = 2.0**-7  # numbers rounded by more take 8 bits
# What the bias beside a weight of this name is called, in PyTorch, JAX, NumPy, Paddle and Keras.
_BIAS_BESIDE = {"w": "b", "weight": "bias", "weights": "biases", "kernel": "bias", "vars/0": "vars/1"}
_WITH_BIAS = re.compile(r"((?<![a-z])w|weights?|kernel|vars/0)(?=(_?\d*|_[ih]h\w*)$)", re.IGNORECASE)


def bias_of(weight: str) -> str | None:
    """The name that the bias beside a weight of this name would have; None for a name that is no weight's."""
    found = _WITH_BIAS.search(weight)
    return found and weight[: found.start()] + _BIAS_BESIDE[found[1].lower()] + weight[found.end() :]


def is_vector(name: str, shape: Sequence[int], units_last: bool) -> bool:
    """Whether at most one axis is longer than 1, as in a bias, and it is no layer with one input or one unit.

    With three axes, (1, 1, n) is a class token, whatever its name; (n, 1, 1) is the weight of a Conv1d if it
    is called a weight, else a layer's scale. In Keras names say nothing, but there a bias has one axis.
    """
    if len(shape) < 2:
        return True
    conv1d = len(shape) == 3 and shape[0] > 1 and not units_last and CALLED_WEIGHT.search(name)
    layer = conv1d or (len(shape) != 3 and (units_last or CALLED_WEIGHT.search(name)))
    return math.prod(shape) == max(shape) and not layer


@dataclass(frozen=True)
class Surveyed:
    """One tensor, by what the file's names and shapes say.

    Attributes
    ----------
    source : Source
    fan_in, fan_out : int or None
        None for fewer than two axes.
    layer_fans : tuple of int
        Of a bias or a recurrent layer: the possible values of the fan_in that its layer was drawn by.
    weight : str or None
        Of a bias: the name of the weight beside it.
    is_vector, is_scale : bool
        Whether it has a bias's shape; whether its neighbours make it a normalization's scale or shift.
    role : str
        What it is for: one of ``roles.Role``.
    finds : tuple of str or None
        The kinds of findings on it by itself that its role allows; None allows all.
    is_open : bool
        Whether nothing tells its layout: then it is read as PyTorch's here, and no finding rests on it.
    """

    source: Source
    fan_in: int | None
    fan_out: int | None
    layer_fans: tuple[int, ...]
    weight: str | None
    is_vector: bool
    is_scale: bool
    role: str
    finds: tuple[str, ...] | None
    is_open: bool = False

    @property
    def name(self) -> str:
        """Of ``source``."""
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of ``source``."""
        return self.source.shape

    @property
    def sides(self) -> tuple[int, int]:
        """How many inputs, channels or features, the layer has, and how many units."""
        layer = self.source.layer
        return (layer[-2], layer[-1]) if self.source.units_last else (layer[1], layer[0])

    @property
    def is_judged(self) -> bool:
        """Whether it is judged as a layer's weight: it is called so, or nothing says what else it is."""
        return self.role in JUDGED and not self.is_vector and not self.is_scale


@dataclass(frozen=True)
class Row:
    """One tensor: what the survey says of it, what its entries say, and what is wrong with it by itself.

    ``tensor`` is None where the entries are not read, as they are no floating-point numbers of a known dtype.
    """

    surveyed: Surveyed
    tensor: Tensor | None
    findings: tuple[Finding, ...] = ()
    bias_scan: Scan | None = None  # of a bias, until it has been held against the others
    digest: bytes | None = None  # of the entries, where they were read
    fits: bool | None = None  # whether it is as the recipe wants it; None where that does not name it
    equal: bool = False  # whether units that are multiples of each other are equal; True for stacked experts


def survey(sources: Sequence[Source], layout: Layout = "auto") -> list[Surveyed]:
    """One row a tensor, in the file's order. ``layout``: one of ``layout.LAYOUTS``.

    A tensor whose role is not known is judged as a layer's weight only if it is a matrix or a kernel with
    floating-point entries: it has two axes longer than 1, or is called a weight.
    """
    shapes = {s.name: s.shape for s in sources}
    coarse = [s.name for s in sources if s.epsilon > COARSE]
    found = signs(shapes, coarse) | {s.name: OF_GRAPH[s.role] for s in sources if s.role}
    # A head tied to an embedding is that embedding, in which padding leaves a row of zeros.
    tables = {(s.place, s.shape): found[s.name] for s in sources if found[s.name].role == "embedding"}
    found |= {s.name: tables[s.place, s.shape] for s in sources if s.place and (s.place, s.shape) in tables}
    judged = [name for name, sign in found.items() if sign.role in JUDGED]
    placed = laid_out(sources, layout, bias_of, judged)
    sources = [one.source for one in placed.values()]
    sized = {s.name: _fans(s) for s in sources}
    # By the name of a bias, in the file or not: the weight beside it. What is no layer's has no bias.
    layers = ("bias", "norm_scale", *JUDGED)
    weight_of = {
        bias: s.name
        for s in sources
        if sized[s.name][0] and found[s.name].role in layers and (bias := bias_of(s.name))
    }
    scales = _scales({s.name: s.shape for s in sources}, weight_of)
    rows = []
    for s in sources:
        n_in, n_out = sized[s.name]
        sign, finds = found[s.name], found[s.name].finds
        weight = weight_of.get(s.name) if sign.role in layers else None
        layer_fans: tuple[int, ...] = ()
        if s.shape and RECURRENT.search(s.name):
            layer_fans = hidden_sizes(s.shape[0])
        elif weight is not None and not RECURRENT.search(weight):
            layer_fans = (sized[weight][0],)
        vector, scale = is_vector(s.name, s.shape, s.units_last), s.name in scales
        role = sign.role
        if scale and role in layers:
            role = "norm_scale"
        elif s.role == "bias" or (role in JUDGED and _added(s, shapes)):
            role, finds, n_in, n_out = "bias", ("non_finite",), None, None
        elif role == "unknown" and vector and weight is not None:
            role = "bias"
        elif role in JUDGED:
            role = "weight" if not vector and (role == "weight" or bias_of(s.name)) else "unknown"
        rows.append(
            Surveyed(s, n_in, n_out, layer_fans, weight, vector, scale, role, finds, placed[s.name].is_open)
        )
    return rows


def _fans(source: Source) -> tuple[int | None, int | None]:
    return tuple(fans(source.layer, **source.axes)) if len(source.shape) > 1 else (None, None)


def _added(source: Source, shapes: dict[str, tuple]) -> bool:
    """Whether it is a bias with two axes, one of Keras' numbered variables: of a GRU, or of heads."""
    shape, is_later = source.shape, re.search(r"\bvars/[1-9]$", source.name)
    if not is_later or len(shape) < 2:
        return False
    kernel = shapes.get(source.name[: is_later.start()] + "vars/0", ())
    of_heads = len(kernel) > len(shape) and shape == kernel[-len(shape) :]
    # Two biases of a GRU, of inputs and of the state, as long as all gates.
    return of_heads or (is_later[0] == "vars/2" and len(kernel) == 2 and shape == (2, kernel[1]))


def _scales(shapes: dict[str, tuple], weight_of: dict[str, str]) -> set[str]:
    """Names of tensors shaped like a layer's weight or bias that must be a normalization's scale or shift."""
    found = set()
    for bias, weight in weight_of.items():
        shape = shapes[weight]
        # A layer's bias has one axis. One of the weight's own shape is LayerNorm((4, 8))'s.
        if shapes.get(bias) == shape and math.prod(shape) > max(shape):
            found |= {bias, weight}
        # (n, 1, 1), unless the bias is that of a Conv1d with one channel.
        elif shape[1:] == (1, 1) and shapes.get(bias) != shape[:1]:
            found.add(weight)
    return found
