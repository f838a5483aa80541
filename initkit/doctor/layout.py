"""Which axis of a weight counts the units, by its name, its bias's length, the file and the other weights.

PyTorch has (units, inputs, *kernel), Keras, JAX and TensorFlow (*kernel, inputs, units), and so has GPT-2's
Conv1D. A fan, a gain and what a unit is hang on it; where nothing tells, the layout is open.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias, get_args

from .checkpoints import Source
from .roles import Path, natural

Layout: TypeAlias = Literal["auto", "torch", "keras"]
"""Which axis of a weight counts its units: the first (PyTorch), the last (Keras), or what the file shows."""

LAYOUTS = get_args(Layout)
KERNEL = 11  # the largest side of a kernel that is recognized by shape
_DEEP = 8  # levels of nested modules that are searched for layers stacked by flax.linen.scan

_KERAS = re.compile(r"kernel$|^onnx::MatMul_\d+$")  # torch.onnx: what x is multiplied with from the right
_TORCH = re.compile(r"^(weight(_(v|g|orig|[ih]h\w*))?|in_proj_weight|original[01])$")
_EXPERTS = re.compile(r"(^|_)(experts?|exps)(_|$)")
# Modules whose kernels have an axis of heads: (inputs, heads, size) in the first, (heads, size, units) in the
# second.
_TO_HEADS, _FROM_HEADS = (
    re.compile(r"^(query|key|value)(_dense)?$"),
    re.compile(r"^(out|output_dense|attention_output)$"),
)


_DEPTHWISE = re.compile(r"depthwise|\bseparable\w*/vars/0$")


class LaidOut(NamedTuple):
    """A tensor with its layout: ``source.units_last``, ``source.layer``; and whether that is open."""

    source: Source
    is_open: bool = False


def laid_out(
    sources: Sequence[Source], asked: Layout, bias_of: Callable[[str], str | None], judged: Iterable[str]
) -> dict[str, LaidOut]:
    """Each tensor, by its name, with its layout.

    Parameters
    ----------
    sources : sequence of Source
        All of the file.
    asked : {"auto", "torch", "keras"}
        The user's choice; "auto" leaves it to the evidence.
    bias_of : callable
        What the bias beside a weight is called.
    judged : iterable of str
        Names of the tensors that may be weights: of the others the layout does not matter.
    """
    shapes = {s.name: s.shape for s in sources}
    biases = {name: shapes.get(bias_of(name) or "", ()) for name in shapes}
    weights = [s for s in sources if len(s.shape) > 1 and s.name in set(judged)]
    if asked == "auto":
        last, is_open = _told(weights, biases)
    else:
        last, is_open = dict.fromkeys(shapes, asked == "keras"), set()
    experts = _stacked(sources, last) | _experts(weights)
    found = {}
    for s in sources:
        units_last = last.get(s.name, s.units_last) and len(s.shape) > 1
        layer = s.layer if s.told and s.layer != s.shape else None
        if s.name in experts:
            layer, fits = s.shape[1:], experts[s.name]
            units_last = units_last if asked != "auto" or fits is None else fits
            if len(layer) > 2:
                layer = _joined(Source(s.name, layer, True, 0, None), biases[s.name][1:])
            is_open.discard(s.name)
        elif units_last:
            layer = _joined(s, biases[s.name])
        found[s.name] = LaidOut(replace(s, units_last=units_last, layer=layer), s.name in is_open)
    return found


def _told(weights: list[Source], biases: dict[str, tuple]) -> tuple[dict[str, bool], set[str]]:
    """Whether the units come last, by name; and the names for which there is no evidence."""
    sure = {s.name: s.units_last if s.told else s.units_last or None for s in weights}
    votes = {s.name: _by_bias(s, biases[s.name]) for s in weights}
    for key in (_digits_out, _block, lambda path: path.leaf):
        said = defaultdict(list)
        for s in weights:
            vote = sure[s.name] if sure[s.name] is not None else votes[s.name]
            if vote is not None:
                said[key(Path.of(s.name, s.shape)), len(s.shape)].append(vote)
        for s in weights:
            path = Path.of(s.name, s.shape)
            near = said[key(path), len(s.shape)]
            # A weight that is called "weight" and has no bias is PyTorch's own, whatever its neighbours are.
            alone = not biases[s.name] and _TORCH.match(path.leaf)
            if sure[s.name] is None and near and not alone and 2 * sum(near) != len(near):
                sure[s.name] = 2 * sum(near) > len(near)
    for s in weights:
        if sure[s.name] is None:
            leaf, by_shape = Path.of(s.name, s.shape).leaf, _by_shape(s.shape)
            if _TORCH.match(leaf):
                sure[s.name] = False
            elif _KERAS.search(leaf) and (len(s.shape) < 3 or not s.of_torch):
                sure[s.name] = True  # a port to PyTorch may keep x @ kernel, but not Keras' convolutions
            else:
                sure[s.name] = False if s.of_torch and by_shape is None else by_shape
    left = [s for s in weights if sure[s.name] is None]
    chain = _by_chain(weights) if left else None
    known = {value for value in sure.values() if value is not None}
    for s in left:
        sure[s.name] = chain if chain is not None else known.copy().pop() if len(known) == 1 else None
    is_open = {name for name, value in sure.items() if value is None}
    return {name: bool(value) for name, value in sure.items()}, is_open


def _digits_out(path: Path) -> tuple:
    return _without_digits(path.parts)


def _without_digits(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(re.sub(r"\d+", "#", part) for part in parts)


def _block(path: Path) -> tuple:
    """The parts of the block that the layer lies in, without numbers; its leaf."""
    return (*_without_digits(path.block), path.leaf) if path.block else ("no block", path.parts)


def _by_bias(s: Source, bias: tuple[int, ...]) -> bool | None:
    """What the bias's shape says: it has one entry a unit."""
    leaf = Path.of(s.name, s.shape).leaf
    if len(s.shape) > 2 and _TORCH.match(leaf):
        return None  # a transposed convolution has its units on the second axis
    if len(bias) > 1:
        return True if bias == s.shape[-len(bias) :] else None
    first, last = s.shape[:1] == bias, s.shape[-1:] == bias
    return last if first != last else None


def _by_shape(shape: tuple[int, ...]) -> bool | None:
    """What a kernel's shape says: it is small, and channels are many."""
    if len(shape) < 4:
        return None
    first, last = (
        max(part) <= KERNEL < min(rest) for part, rest in ((shape[:-2], shape[-2:]), (shape[2:], shape[:2]))
    )
    return first if first != last else None


def _by_chain(weights: list[Source]) -> bool | None:
    """What the sizes of matrices in a row say: a layer's inputs are the units of the one before."""
    matrices = [s.shape for s in sorted(weights, key=lambda s: natural(s.name)) if len(s.shape) == 2]
    said = {a[1] == b[0] for a, b in itertools.pairwise(matrices) if (a[1] == b[0]) != (a[0] == b[1])}
    return said.pop() if len(said) == 1 else None


def _experts(weights: list[Source]) -> dict[str, bool | None]:
    """Stacks of experts, (experts, …, …), by name: whether their units come last; None where either fits.

    What one matrix of an expert gives, the other takes: all of it, or half where it is gated.
    """
    groups = defaultdict(list)
    for s in weights:
        parts = Path.of(s.name, s.shape).parts
        if len(s.shape) == 3 and s.shape[0] > 1 and any(map(_EXPERTS.search, parts)):
            groups[parts[:-1], s.shape[0]].append(s)
    found = {}
    for group in groups.values():
        fits = set()
        for (_, a1, a2), (_, b1, b2) in ((a.shape, b.shape) for a in group for b in group if a is not b):
            last, first = b2 == a1 and a2 in (b1, 2 * b1), b1 == a2 and a1 in (b2, 2 * b2)
            if last != first:
                fits.add(last)
        found |= dict.fromkeys((s.name for s in group), fits.pop() if len(fits) == 1 else None)
    return found


def _stacked(sources: Sequence[Source], last: dict[str, bool]) -> dict[str, bool]:
    """Kernels (layers, inputs, units), or with heads, of layers that Flax stacks by a scan.

    The first axis of every array in such a module counts the layers. That it does is shown by a bias or scale
    with two axes, or by a first axis that is longer than any kernel's side.
    """
    modules = defaultdict(list)
    for s in sources:
        parts = Path.of(s.name, s.shape).parts
        for k in range(min(len(parts) - 1, _DEEP)):
            modules[parts[:k]].append(s)
    found = {}
    for inside in modules.values():
        lengths = {s.shape[:1] for s in inside}
        kernels = [
            s for s in inside
            if last.get(s.name) and (len(s.shape) == 3 or (len(s.shape) == 4 and _has_heads(s)))
        ]  # fmt: skip
        if len(lengths) == 1 and len(kernels) > 1:
            (depth,) = lengths.pop()
            if depth > 1 and (depth > KERNEL or any(len(s.shape) == 2 for s in inside)):
                found |= {s.name: True for s in kernels}
    return found


def _has_heads(s: Source) -> bool:
    owner = Path.of(s.name, s.shape).owner
    return bool(_TO_HEADS.match(owner) or _FROM_HEADS.match(owner))


def _joined(s: Source, bias: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the layer that a kernel of Keras or JAX is: heads joined, depthwise filters as units."""
    owner, shape = Path.of(s.name, s.shape).owner, s.shape
    if len(shape) == 3 and (_TO_HEADS.match(owner) or bias == shape[1:]):
        return shape[0], math.prod(shape[1:])
    if len(shape) == 3 and _FROM_HEADS.match(owner):
        return math.prod(shape[:2]), shape[2]
    if len(shape) > 2 and _DEPTHWISE.search(s.name):
        return (*shape[:-2], 1, shape[-2] * shape[-1])
    return None
