"""The order of layers, and what sits before the hidden activation: by names, roles and shapes.

The order in which a file lists its tensors says little: ``.safetensors`` is sorted by name, ``.pt`` as the
model was written. So one net has one order here, whatever it was saved as.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from .roles import Path, natural
from .survey import RECURRENT, Surveyed

_FIRST, _LAST = 0, 3  # where ``natural`` puts stems and heads
# Parts of a path whose weights have no activation of the hidden layers right behind them: the projections of
# attention, shortcuts around a block, gates and routers.
_ASIDE = re.compile(
    r"attn|attention|^to_(q|k|v|kv|qkv|out)$|^(q|k|v|o|qkv|kv)_?(proj|dense|lin)$|^(qkv|query|key|value)$|"
    r"^(in|out)_proj|"
    r"downsample|shortcut|^skip|_skip|^fpn$|(^|_)(se|squeeze\w*|excit\w*|router|gate)(_|\d|$)",
    re.IGNORECASE,
)


def before_activation(rows: Iterable[Surveyed]) -> set[str]:
    """Names of the weights that have the hidden activation behind them, and no normalization.

    Left out are first layers, which have as many inputs as no other layer has units, and last ones, which
    have as many units as no other has inputs; where sizes show none, the first and last in ``natural`` order.
    Then stems, heads, the projections of attention, shortcuts, gates and recurrent layers, by their names;
    and what shares a block with a normalization, because that cancels the weight's scale.
    """
    rows = list(rows)
    ordered = sorted((one for one in rows if one.is_judged), key=lambda one: natural(one.name))
    normed = {path[:k] for path in _normalizations(rows) for k in range(len(path))}
    inputs, units = (Counter(one.sides[k] for one in ordered) for k in (0, 1))
    # A convolution may be flattened: then each of its units feeds several inputs.
    of_convolutions = {one.sides[1] for one in ordered if len(one.shape) > 2} - {0, 1}
    of_matrices = {one.sides[0] for one in ordered if len(one.shape) == 2}
    found, first, last = [], [], []
    for one in ordered:
        n_in, n_out = one.sides
        itself = n_in == n_out
        if units[n_in] <= itself and not (
            len(one.shape) == 2 and any(n_in % n == 0 for n in of_convolutions)
        ):
            first.append(one)
        if inputs[n_out] <= itself and not (
            n_out in of_convolutions and any(n % n_out == 0 for n in of_matrices)
        ):
            last.append(one)
        path = Path.of(one.name, ())
        parts = path.parts[:-1]
        aside = any(map(_ASIDE.search, parts)) or RECURRENT.search(one.name)
        place = natural(one.name)[0]
        # A head may be a net by itself, of layers with numbers.
        at_the_end = place == _FIRST or (place == _LAST and not parts[-1].isdigit())
        # Torchvision's squeeze-and-excitation, block.2.fc1: 1×1 convolutions, to fewer channels and back.
        narrowed = path.owner == ("fc1" if n_out < n_in else "fc2")
        aside = aside or (len(one.shape) == 4 and n_in != n_out and narrowed)
        if not aside and not at_the_end and path.block not in normed:
            found.append(one)
    ends = [*(first or ordered[:1]), *(last or ordered[-1:])]
    return {one.name for one in found} - {one.name for one in ends}


def _normalizations(rows: Iterable[Surveyed]) -> Iterator[tuple[str, ...]]:
    """The paths of normalizations' scales: not the length in weight normalization, nor PReLU's one slope."""
    for one in rows:
        path = Path.of(one.name, one.shape)
        if (
            one.role == "norm_scale"
            and math.prod(one.shape) > 1
            and path.leaf not in ("weight_g", "original0")
        ):
            yield path.parts
