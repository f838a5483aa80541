"""What theory says of a plain net as it starts: its phase, its singular values, what its widths cost.

A plain net is one chain of Linear or Conv layers with one activation: no norm, no skip, nothing unknown in
between. What is told here is no fault, and it is told of weights that are as they were drawn.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..signals import KEPT, passage
from ..theory import phase, width_sum
from .identify import SET
from .report import Finding, Tensor, span
from .torch_beside import weight_of
from .torch_watch import LINEAR, Layer, Watch, as_it_was, conv, is_rescaled, nn, numbers, output_of, torch

HIDDEN, DEEP = 4, 10  # hidden layers from which on a phase is told, and the singular values
NARROW = 0.5  # Σ1/n above which the widths are told
ONE_SCALE = 1.25, 0.05  # by which factor σ_w², and by how much σ_b², may differ between layers of one scale
MEANS = {"vanishes": "shrinks", "kept": "little", "explodes": "grows"}  # what a gradient does, by its verdict
PROBES = 16, 64  # random directions, at least and at most
POOLS = {"dropout", "feature_dropout", *(f"{how}_pool{k}d" for how in ("max", "avg") for k in (1, 2, 3))}
POOLS |= {f"adaptive_{pool}" for pool in POOLS if "pool" in pool}
# What may stand between two layers of a chain, by torch's names: it moves entries, drops or pools them.
BETWEEN = POOLS | {
    "clone", "contiguous", "detach", "flatten", "get", "linear", "permute", "reshape", "squeeze", "swapaxes",
    "to", "transpose", "unflatten", "unsqueeze", "view",
    *(f"conv{k}d" for k in (1, 2, 3)),
}  # fmt: skip


def facts(module: nn.Module, inputs: tuple | dict, layers: list[Layer], tensors: tuple[Tensor, ...]):
    """The facts that are told of a plain net; none of any other module."""
    rows = {row.name: row for row in tensors}
    hidden = _plain(layers, rows)
    if len(hidden) < HIDDEN:
        return ()
    told = [_phase(hidden, rows), _singular_values(module, inputs, hidden), _finite_width(hidden, rows)]
    return tuple(fact for fact in told if fact is not None)


def _plain(layers: list[Layer], rows: dict[str, Tensor]) -> list[Layer]:
    """The hidden layers of a plain net with independent weights and biases of mean 0; none of any other."""
    hidden, before = layers[:-1], [None, *layers[:-1]]
    modules = [layer.module for layer in layers]
    if (
        not layers
        or not all(isinstance(m, LINEAR) and not isinstance(m, conv._ConvTransposeNd) for m in modules)
        or any(map(is_rescaled, modules))
        or len(set(modules)) < len(modules)
        or any(layer.origins != {one} for layer, one in zip(layers, before, strict=True))
        or len({layer.activation for layer in hidden} - {None}) != 1
        or not all(_is_link(layer, layer is hidden[-1]) for layer in hidden)
    ):
        return []
    return hidden if all(_as_drawn(layer, rows.get(weight_of(layer))) for layer in hidden) else []


def _is_link(layer: Layer, last: bool) -> bool:
    """Whether its output goes into its activation and from there, pooled at most, into the next layer.

    ``last``: the next layer is the output's; before that anything may stand.
    """
    live = all(0 < size < math.inf for size in (layer.grad_var, layer.slopes[0], layer.q))
    batched = layer.z.ndim - len(getattr(layer.module, "kernel_size", ())) > 1
    return (
        layer.activation is not None and live and batched and (last or layer.through <= BETWEEN | layer.into)
    )


def _as_drawn(layer: Layer, row: Tensor | None) -> bool:
    """Whether the layer's weight is a random draw, and its bias may have mean 0."""
    if row is None or not row.gain or row.found.verdict == "not_fresh":
        return False
    b = None if layer.module.bias is None else numbers(layer.module.bias)
    centred = b is None or abs(b.sum()) <= 5 * math.sqrt(np.square(b).sum())
    return centred and not any(match.scheme in SET for match in row.found.matches)


def _phase(hidden: list[Layer], rows: dict[str, Tensor]) -> Finding:
    """The phase of (σ_w, σ_b), where all layers share these, beside what was measured through all layers.

    χ₁ belongs to the layers from the second on, whose inputs are activations. Measured is the sum of the
    squares of a gradient in the first layer over that in the last: theory's χ₁^(depth − 1), at q*.
    """
    links = hidden[1:]
    tensors = [rows[weight_of(layer)] for layer in links]
    w2 = np.array([row.gain**2 for row in tensors])
    b2 = np.array([0.0 if (b := one.module.bias) is None else np.square(numbers(b)).mean() for one in links])
    # The standard error of log ⟨w²⟩ of normal weights.
    scatter = np.array([math.sqrt(2 / math.prod(row.shape)) for row in tensors])
    first, last = (one.grad_var * one.z[0].numel() for one in (hidden[0], hidden[-1]))
    change = first / last
    mean = math.exp(np.log(w2).mean())
    error = 4 * math.sqrt(np.square(scatter).sum()) / len(links)
    sigma_b = math.sqrt(b2.mean())
    chi = w2 * [layer.slopes[0] for layer in hidden[:-1]]
    one_scale = np.all(np.abs(np.log(w2 / mean)) < math.log(ONE_SCALE[0]) + 4 * scatter)
    slack = ONE_SCALE[1] + 4 * b2.mean() * np.sqrt([2 / row.shape[0] for row in tensors])
    fields = {"depth": len(hidden), "change": change}
    fields["means"] = MEANS[passage(last, first, len(links)).verdict]
    place = span(map(weight_of, hidden))
    if one_scale and np.all(np.abs(b2 - b2.mean()) < slack):
        f = hidden[0].activation
        low, at, high = (phase(f, math.sqrt(mean * math.exp(k * error)), sigma_b) for k in (-1, 0, 1))
        # GELU's χ₁ jumps past 1 where its q* does from 0 to infinity; then no σ_w nearby is critical.
        critical = low.chi_1 <= 1 <= high.chi_1 <= low.chi_1 * math.exp(4 * error + 1e-6)
        expected = 0.0 if critical else len(links) * math.log(at.chi_1)
        # Under functions such as GELU q moves towards q* slowly: the layers' q may be far from it.
        far = not (critical or f.lines or 0 < at.q_star < math.inf)
        far = far and abs(np.log(chi).mean() - math.log(at.chi_1)) > abs(math.log(at.chi_1)) / 2
        if not far and abs(math.log(change) - expected) < max(math.log(KEPT), abs(expected) / 2):
            name = "critical" if critical else at.phase
            xi = math.inf if critical else at.xi_c
            fields |= {"phase": name, "chi_1": at.chi_1, "xi_c": xi}
            fields["why"] = "growing" if name == "chaotic" and at.q_star == math.inf else name
            return Finding("phase", place, fields)
    fields |= {"phase": None, "low": float(chi.min()), "high": float(chi.max()), "why": "mixed"}
    return Finding("phase", place, fields)


def _singular_values(module: nn.Module, inputs: tuple | dict, hidden: list[Layer]) -> Finding | None:
    """How evenly the Jacobian of the last hidden layer by the first passes directions on, at one example.

    Of rows g_i = Jᵀu_i, u_i ~ N(0, 1), i ≠ j, E[g_i·g_i g_j·g_j] = (Σs²)² and E[(g_i·g_j)²] = Σs⁴: their
    ratio is the number of singular values, were they all alike. One pass forward and back with that example
    repeated, dropout off.
    """
    whole = all(a.z[0].numel() == b.x[0].numel() for a, b in itertools.pairwise(hidden))  # nothing is pooled
    x = next(iter(inputs.values() if isinstance(inputs, dict) else inputs))
    if len(hidden) < DEEP or len(inputs) > 1 or not whole or {len(one.z) for one in hidden} != {len(x)}:
        return None
    probes = min(max(len(x), PROBES[0]), PROBES[1])
    x = x[:1].expand(probes, *x.shape[1:]).clone()
    try:
        back = _back_through(module, inputs, x, hidden)
    except Exception:  # whatever a module raises that cannot take another batch
        return None
    with np.errstate(all="ignore"):
        g = back.reshape(probes, -1)
        g /= math.sqrt(np.square(g).mean())
        products = g @ g.T
        squares, apart = np.diag(products), ~np.eye(probes, dtype=bool)
        ratio = float(np.outer(squares, squares)[apart].sum() / np.square(products[apart]).sum())
    if not math.isfinite(ratio):
        return None
    among = min(one.z[0].numel() for one in hidden)
    effective = min(ratio, among)
    fields = {"directions": among, "effective": effective, "spread": among / effective - 1, "probes": probes}
    fields["why"] = "even" if fields["spread"] < 1 else "uneven"
    return Finding("singular_values", span(map(weight_of, (hidden[0], hidden[-1]))), fields)


def _back_through(
    module: nn.Module, inputs: tuple | dict, x: torch.Tensor, hidden: list[Layer]
) -> np.ndarray:
    """u·∂z/∂z′ of the last hidden layer's z by the first one's z′, u ~ N(0, 1) for each example of ``x``."""
    with torch.inference_mode(False), torch.enable_grad(), as_it_was(module):
        module.eval()
        with Watch(module, (x,)) as watch:
            output_of(module, (x,) if isinstance(inputs, tuple) else dict.fromkeys(inputs, x))
        of = {id(layer.module): layer.z for layer in watch.layers}
        first, last = (of[id(hidden[k].module)] for k in (0, -1))
        u = torch.randn(last.shape, generator=torch.Generator().manual_seed(0)).to(last)
        return numbers(torch.autograd.grad(last, first, u)[0]).copy()


def _finite_width(hidden: list[Layer], rows: dict[str, Tensor]) -> Finding | None:
    """Σ1/n, where it is large, and how far it drives the gradients of two draws apart.

    To first order the logarithm of a gradient's square has the variance Σ (3⟨f'⁴⟩/⟨f'²⟩² − 1)/n over the
    layers, 5Σ1/n for ReLU, and 2/n less a layer with orthogonal weights.
    """
    if not all(isinstance(layer.module, nn.Linear) for layer in hidden):
        return None
    widths = np.array([layer.module.out_features for layer in hidden])
    total = width_sum(widths)
    square, fourth = np.array([layer.slopes for layer in hidden]).T
    found = (rows[weight_of(layer)].found.matches for layer in hidden)
    fixed = np.array([any(match.scheme == "orthogonal" for match in matches) for matches in found])
    variance = float(((3 * fourth / square**2 - 1 - 2 * fixed) / widths).sum())
    if total <= NARROW or variance <= NARROW:
        return None
    at = int(widths.argmin())
    fields = {"sum": total, "depth": len(hidden), "width": int(widths[at]), "factor": math.exp(variance**0.5)}
    return Finding("finite_width", span(map(weight_of, hidden)), fields)
