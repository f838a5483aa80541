"""What names and shapes of a checkpoint's tensors say, before any entry is read: fans, layers, biases."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..fans import fans
from .checkpoints import Source
from .identify import hidden_sizes

# Tables whose rows are looked up, not multiplied with: a row is no unit, and their scale is not bound to a
# fan.
EMBEDDING = re.compile(r"emb|position|\bwte\b|\bwpe\b", re.IGNORECASE)
# A tensor with one long axis is a layer's weight only if it is called so; else it is a bias or a scale.
CALLED_WEIGHT = re.compile(r"(\b|_)(w\d*|weights?|kernel|weight_[ih]h\w*)$", re.IGNORECASE)
# Scales of a normalization layer, which all start at 1. Those of LayerNorm((4, 8)) have several axes.
NORM = re.compile(r"norm|(\b|_)ln(\b|_|\d)", re.IGNORECASE)
# PyTorch's RNN, LSTM and GRU draw all of these by the hidden size.
RECURRENT = re.compile(r"\b(weight|bias)_[ih]h")
# What the bias beside a weight of this name is called, in PyTorch, JAX, NumPy and Keras.
_BIAS_BESIDE = {"w": "b", "weight": "bias", "weights": "biases", "kernel": "bias", "vars/0": "vars/1"}
_WITH_BIAS = re.compile(r"((?<![a-z])w|weights?|kernel|vars/0)(?=(\d*|_[ih]h\w*)$)", re.IGNORECASE)


def bias_of(weight: str) -> str | None:
    """The name that the bias beside a weight of this name would have; None for a name that is no weight's."""
    found = _WITH_BIAS.search(weight)
    return found and weight[: found.start()] + _BIAS_BESIDE[found[1].lower()] + weight[found.end() :]


def axes(units_last: bool) -> dict[str, int]:
    """``in_axis`` and ``out_axis`` of a layout, as ``fans`` takes them."""
    return {"in_axis": -2, "out_axis": -1} if units_last else {}


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
        Of a bias or a recurrent layer: what the fan_in may be that its layer was drawn by.
    weight : str or None
        Of a bias: the name of the weight beside it.
    is_vector, is_table, is_scale : bool
        Whether it is a bias or the like; an embedding; a scale or shift, by what stands beside it.
    """

    source: Source
    fan_in: int | None
    fan_out: int | None
    layer_fans: tuple[int, ...]
    weight: str | None
    is_vector: bool
    is_table: bool
    is_scale: bool

    @property
    def name(self) -> str:
        """Of ``source``."""
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of ``source``."""
        return self.source.shape


def survey(sources: Sequence[Source]) -> list[Surveyed]:
    """One row a tensor, in the file's order."""
    sized = {s.name: _fans(s) for s in sources}
    # By the name of a bias, in the file or not: the weight beside it.
    weight_of = {bias: s.name for s in sources if sized[s.name][0] and (bias := bias_of(s.name))}
    scales = _scales({s.name: s.shape for s in sources}, weight_of)
    rows = []
    for s in sources:
        n_in, n_out = sized[s.name]
        weight = weight_of.get(s.name)
        layer_fans: tuple[int, ...] = ()
        if s.shape and RECURRENT.search(s.name):
            layer_fans = hidden_sizes(s.shape[0])
        elif weight is not None and not RECURRENT.search(weight):
            layer_fans = (sized[weight][0],)
        vector, table = is_vector(s.name, s.shape, s.units_last), bool(EMBEDDING.search(s.name))
        rows.append(Surveyed(s, n_in, n_out, layer_fans, weight, vector, table, s.name in scales))
    return rows


def _fans(source: Source) -> tuple[int | None, int | None]:
    return tuple(fans(source.shape, **axes(source.units_last))) if len(source.shape) > 1 else (None, None)


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
