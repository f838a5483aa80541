"""Findings on a PyTorch module that need no chain of layers: streams, inputs, first loss, no gradient."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np

from ..fans import fans
from ..signals import KEPT, passage
from .gains import gains_of
from .identify import SET, Identification, of_scan
from .report import Coverage, Finding, Tensor, identical_layers, span
from .roles import numbers_out
from .scan import scan_array
from .torch_rules import applied_to

# isort: off
from .torch_watch import (
    EMBEDDINGS, NORMS, PRODUCTS, RECURRENT, Back, Layer, Sum, Watch, Weight, conv, each_parameter, is_linear,
    is_matrix, is_rescaled, is_transposed, nn, numbers, numpy_of, torch, weight_axes, worth_a_look,
)  # fmt: skip

LARGE_INPUT, SMALL_INPUT = 10.0, 1e-3  # root mean squares between which a network's input should lie
# How many nats the first loss may lie above ln(classes). Logits of variance s² add about s²/2: up to 2 under
# He's start. A network that is 3 nats above is sure of wrong answers, and its logits have a q of 6 and more.
SURE = 3.0
FEW = 64  # values: half as many are enough to be a draw
LONE_GAIN = 100.0  # a layer's root mean square gain, or its reciprocal, beyond which no scheme starts a layer
# Gains between which schemes start a layer, by fan_in or by fan_out. He's has √2 by one of them; N(0, 0.02²),
# which looks at no fan, has 0.08 at a width of 16. So small ones also have a standard deviation below FINE.
LARGEST, SMALLEST, FINE = 2.5, 0.08, 0.005
# Findings that tell what a weight's scale does to the signal.
TOLD = {"layer_gain", *(f"{what}_{how}" for what in ("signal", "stream") for how in ("vanishes", "explodes"))}
FORGETS = 0.5, 0.25  # the mean forget bias: above the one it was set, below the other it was not


def weight_of(layer: Layer) -> str:
    """The name of the parameter that a finding on the layer points to."""
    if layer.key:
        return layer.key
    key = "out_proj.weight" if isinstance(layer.module, nn.MultiheadAttention) else "weight"
    return f"{layer.name}.{key}" if layer.name else key


def looked_at(module: nn.Module, watch: Watch) -> Coverage:
    """Which layers were looked at, and which not, and why."""
    seen = {id(layer.module) for layer in watch.layers}
    used = {id(p) for layer in watch.layers for p in layer.module.parameters()}
    judged, left_out = [], defaultdict(list)
    for name, m in worth_a_look(module).items():
        name, own = name or type(m).__name__, {id(p) for p in m.parameters()}
        if id(m) in seen:
            judged.append(name)
        elif id(m) in watch.called:
            left_out["recurrent" if isinstance(m, RECURRENT) else "no_tensor"].append(name)
            used |= own
        elif not own <= used and not own & watch.weights.keys():  # else it is tied, or its weights are "bare"
            left_out["skipped" if id(m) in watch.elsewhere else "never_called"].append(name)
    for name, _, _, p in each_parameter(module):
        if id(p) in watch.weights and id(p) not in used:
            left_out["bare"].append(name)
    return Coverage(tuple(judged), {k: tuple(v) for k, v in left_out.items()}, {}, of="layers")


def beside_chains(
    module: nn.Module,
    watch: Watch,
    back: Back | None,
    tensors: tuple[Tensor, ...],
    findings: list[Finding],
) -> tuple[list[Finding], list[Finding]]:
    """All findings, with those that need no chain, and the notes: what looks odd and is meant so.

    ``findings``: those on the tensors by themselves and on the chains. Some of them are designs.
    """
    layers = watch.layers
    zero = {finding.tensor for finding in findings if finding.kind == "all_zero"}
    weights = {
        name: watch.weights[id(p)] for name, _, _, p in each_parameter(module) if id(p) in watch.weights
    }
    findings, notes = _designs(layers, weights, findings)
    frozen = [name for name, _, _, p in each_parameter(module) if not p.requires_grad]
    if frozen:
        notes.append(Finding("frozen", span(frozen), {"count": len(frozen)}))
    notes += _not_in_loss(module, back)
    if all(np.isfinite(layer.q) for layer in layers):
        findings += _of_streams(watch.sums)
        findings += _of_inputs(layers)
        findings += _of_first_loss(layers, back)
        if not any(finding.kind.startswith("signal_") for finding in findings):
            findings += _of_lone_gains(layers)
        if not any(finding.kind in TOLD for finding in findings):
            findings += _of_scales(module, layers, tensors)
    findings += _not_learning(module, watch, back, zero)
    findings += _identical(module, back, tensors)
    findings += _forgetful(module, layers)
    return findings, notes


def _designs(
    layers: list[Layer], weights: dict[str, Weight], findings: list[Finding]
) -> tuple[list[Finding], list[Finding]]:
    """The findings that stay, and those that are known designs, as notes.

    The last layer of a branch may be zero, if it is so in every block.
    """
    by_weight = {weight_of(layer): layer for layer in layers}
    zero = {finding.tensor for finding in findings if finding.kind == "all_zero"}
    rest = {numbers_out(name) for name, layer in by_weight.items() if layer.joins and name not in zero}
    kept, notes = [], []
    for finding in findings:
        layer, kind = by_weight.get(finding.tensor), None
        if finding.kind == "all_zero" and (layer := layer or weights.get(finding.tensor)):
            kind = "zero_branch" if layer.joins else "zero_head" if layer.last else None
            if kind == "zero_branch" and numbers_out(finding.tensor) in rest:
                kind = None
            if isinstance(layer, Layer) and "affine_grid" in layer.through:  # whose bias is the identity
                kind = "zero_gate"
        elif layer and finding.kind == "symmetric_rows" and "pixel_shuffle" in layer.into:
            kind = "icnr" if not bool((layer.module.weight == layer.module.weight[:1]).all()) else None
        if kind:
            notes.append(replace(finding, kind=kind, code=None))
        else:
            kept.append(finding)
    return kept, notes


# The signal, beside chains -------------------------------------------------------------------------


def _of_streams(sums: list[Sum]) -> list[Finding]:
    """One finding: the residual stream that grows, or shrinks, most from its first addition to its last.

    A branch that begins with a norm adds the same amount in every block, so q grows by a constant: a healthy
    stream stays below 100·max(1, its first q), and doubles from its middle to its end. A branch without a
    norm grows with the stream, so q grows by a factor a block. A finding must also hold without what no block
    does: pooling between stages, the step to another stream, a copy of the stream that is added to it.
    """
    worst, found = 0.0, []
    for end in set(sums) - {one.before for one in sums}:
        path = [end]
        while path[0].before is not None:
            path.insert(0, path[0].before)
        q = np.array([path[0].stream, *(one.q for one in path)])
        if len(path) < 2 or not np.isfinite(q).all() or not q[0] > 0:
            continue
        change, fate = q[-1] / q[0], _fate_of_stream(q)
        with np.errstate(all="ignore"):
            own = q[0] * np.cumprod([1.0, *(one.change for one in path)])
        if not fate or _fate_of_stream(own) != fate or abs(math.log(max(change, 1e-300))) <= worst:
            continue
        grows = fate == "explodes"
        worst = abs(math.log(max(change, 1e-300)))
        steps = np.diff(np.log(np.maximum(q, 1e-300)))
        most = int(steps.argmax() if grows else steps.argmin())
        places = [min(map(weight_of, one.ends)) for one in path]
        one_block = abs(steps[most]) > worst / 2
        fields = {"first": f"{q[0]:.2g}", "last": f"{q[-1]:.2g}", "blocks": len(path)}
        fields["factor"] = f"{change ** (1 / len(path)):.3g}"
        where = places[most] if one_block else span(places)
        found = [Finding(f"stream_{fate}", where, fields)]
    return found


def _fate_of_stream(q: np.ndarray) -> str | None:
    """What the mean squares along a stream do: "explodes", "vanishes" or None."""
    verdict, later = passage(q[0], q[-1], len(q) - 1).verdict, q[-1] / max(q[(len(q) - 1) // 2], 1e-300)
    if verdict == "explodes" and (q[-1] > KEPT or (len(q) > 6 and later > math.sqrt(KEPT))):
        return "explodes"
    return "vanishes" if verdict == "vanishes" else None


def _of_inputs(layers: list[Layer]) -> list[Finding]:
    """Inputs that reach the first layers of weights as raw numbers, such as pixels of 0…255."""
    found = []
    for layer in layers:
        if layer.origins != {None} or not (is_linear(layer.module) or layer.key):
            continue
        if layer.x is None or not layer.x.is_floating_point() or not layer.x.numel():
            continue
        if layer.x.grad_fn is not None:  # features from a table that is a parameter, looked up by the batch
            continue
        x = numbers(layer.x)
        rms = math.sqrt(np.square(x).mean())
        if rms > LARGE_INPUT or 0 < rms < SMALL_INPUT:
            fields = {"rms": f"{rms:.3g}", "low": f"{x.min():.3g}", "high": f"{x.max():.3g}"}
            fields |= {"mean": f"{x.mean():.3g}", "std": f"{x.std():.3g}"}
            found.append(Finding("input_scale", weight_of(layer), fields))
    return found


def _of_first_loss(layers: list[Layer], back: Back | None) -> list[Finding]:
    """Cross-entropy before training is that of guessing, ln(classes), and little more."""
    if back is None or back.loss is None or back.classes < 2:
        return []
    guessing = math.log(back.classes)
    if not back.loss > guessing + SURE:
        return []
    last = [one for one in layers if one.last and one.reached and is_linear(one.module)] or layers
    fields = {"loss": f"{back.loss:.3g}", "guessing": f"{guessing:.3g}", "classes": back.classes}
    return [Finding("first_loss", weight_of(last[-1]), fields)]


def brought_to_size(layers: list[Layer]) -> dict[Layer, bool]:
    """By each layer right in front of a norm: whether that norm brings its output to size.

    It does not where the output's variance is well below the norm's ε.
    """
    brought = {}
    for norm in layers:
        if isinstance(norm.module, NORMS) and norm.source is not None:
            weight = norm.module._parameters.get("weight")
            wanted = 1.0 if weight is None else np.square(numbers(weight)).mean()
            brought[norm.source] = bool(norm.q >= wanted / 4)
    return brought


def _of_lone_gains(layers: list[Layer]) -> list[Finding]:
    """Layers that multiply the signal by more, or less, than any scheme does, where no chain shows it.

    Left out are layers whose output a norm brings to size, of which ``_of_scales`` tells, and those whose
    output is mostly their bias, which multiplies nothing.
    """
    found, brought = [], brought_to_size(layers)
    for layer in layers:
        if layer.last or layer.joins or not (is_linear(layer.module) or layer.key) or brought.get(layer):
            continue
        if layer.x is None or not layer.x.numel():
            continue
        q, before = layer.q, float(np.square(numbers(layer.x)).mean())
        if not before or not q:
            continue
        gain = math.sqrt(q / before)
        bias = layer.module._parameters.get("bias")
        if bias is not None and q > before and q <= 4 * np.square(numbers(bias)).mean():
            continue
        if not 1 / LONE_GAIN <= gain <= LONE_GAIN:
            found.append(Finding("layer_gain", weight_of(layer), {"factor": f"{gain:.2g}"}))
    return found


def scale_of_none(row: Tensor, m: nn.Module) -> str | None:
    """Whether a weight of ``m`` is "large" or "small" as no scheme draws it; None where some does."""
    if not row.gain or not row.std or not math.isfinite(row.gain):
        return None
    apart = math.prod(m.stride) if isinstance(m, conv._ConvTransposeNd) else 1  # an output sees fan_in/apart
    gains = row.gain / math.sqrt(apart), *gains_of(row)
    if min(gains) > LARGEST:
        return "large"
    return "small" if max(gains) < SMALLEST and row.std < FINE else None


def _drawn_at_once(m: nn.Module, p: nn.Parameter, row: Tensor) -> list[Tensor]:
    """A weight's row; of one that may be attention's Q, K and V together, a row for each third."""
    w, axes = numpy_of(p), weight_axes(m)
    if w.ndim != 2 or row.fan_out != 3 * row.fan_in:
        return [row]
    rows = []
    for part in np.split(w, 3, axis=axes["out_axis"]):
        s = scan_array(np.ascontiguousarray(part))
        third = Tensor.of(row.name, part.shape, fans(part.shape, **axes), s, Identification("too_few"))
        if scale_of_none(third, m):
            third = replace(third, found=of_scan(s, part.shape, axes, (), is_transposed(m)))
        rows.append(third)
    return rows


def _of_scales(module: nn.Module, layers: list[Layer], tensors: tuple[Tensor, ...]) -> list[Finding]:
    """Weights larger, or smaller, than anybody draws them, where no signal shows it: at most a finding each.

    A norm, or a saturated softmax, hides a weight's scale s from the signal. But where the loss does not hang
    on s, the gradient goes as 1/s, and one step of SGD changes the weight by 1/s² of its size, one of Adam by
    1/s (van Laarhoven 2017; Arora, Li & Lyu 2019). The last layer, the last of a branch, and one whose output
    is multiplied, as SIREN's by ω₀, may start small; a weight that has been trained may be of any size.
    Small weights are "small" where a norm stands right behind each, "small_lost" where none is there that
    brings the signal to size, else "small_mixed".
    """
    brought = brought_to_size(layers)
    rows, by_weight = {row.name: row for row in tensors}, {weight_of(layer): layer for layer in layers}
    off = defaultdict(list)
    for name, m, _, p in each_parameter(module):
        row = rows.get(name)
        if row is None or not is_matrix(m, p) or is_rescaled(m) or not p.requires_grad:
            continue
        layer = by_weight.get(name)
        for part in _drawn_at_once(m, p, row):
            how = scale_of_none(part, m)
            if how == "small" and layer and (layer.last or layer.joins or layer.into & PRODUCTS):
                continue
            if how:
                off[how].append(part)
    found = []
    for how, those in off.items():
        drawn = [row for row in those if row.found.verdict != "not_fresh"]
        if 2 * len(drawn) < len(those):
            continue
        names = dict.fromkeys(row.name for row in drawn)
        gain = float(np.median([row.gain for row in drawn]))
        steps = {"gain": gain, "sgd": gain**-2, "adam": 1 / gain}
        if how == "small":
            held = {brought.get(by_weight.get(row.name)) for row in drawn}
            lost = held == {False} or not any(isinstance(layer.module, NORMS) for layer in layers)
            how = "small" if held == {True} else "small_lost" if lost else "small_mixed"
        fields = {"why": how, "count": len(names)} | {k: f"{v:.2g}" for k, v in steps.items()}
        code = applied_to(module, [name.rpartition(".")[0] for name in names])
        found.append(Finding("weight_scale", span(names), fields, code))
    return found


# What does not learn, and what learns the same -----------------------------------------------------


def _not_in_loss(module, back: Back | None) -> list[Finding]:
    """One note: layers of an output that the loss is not computed from, such as an auxiliary head's."""
    beside = {id(p) for p in module.parameters() if p.requires_grad and back and id(p) in back.beside}
    look = worth_a_look(module).items()
    names = [name or type(m).__name__ for name, m in look if beside & set(map(id, m.parameters()))]
    return [Finding("not_in_loss", span(names), {"count": len(names)})] if names else []


def _mixture(name: str) -> str:
    """The path of the list of experts that a layer belongs to; "" for none."""
    before, experts, _ = name.partition("experts.")
    return before + experts if experts else ""


def _not_learning(module, watch: Watch, back: Back | None, zero: set[str]) -> list[Finding]:
    """Layers whose parameters get no gradient: one finding a reason.

    ``zero``: names of the weights that are all zero. What lies before one of them, or before units that are
    all dead, gets a gradient of zero for a reason that is told already.
    """
    if back is None:
        return []
    reasons = defaultdict(list)
    by_module = defaultdict(list)
    for layer in watch.layers:
        by_module[id(layer.module)].append(layer)
    look = worth_a_look(module).items()
    # Experts that no example was sent to are not idle where others beside them ran.
    chosen = {_mixture(name) for name, m in look if id(m) in watch.called} - {""}
    for name, m in look:
        own = [(key, p) for key, p in m.named_parameters() if p.requires_grad]
        if not own or any(id(p) in back.reached | back.beside for _, p in own) or id(m) in watch.elsewhere:
            continue
        if id(m) not in watch.called:
            if _mixture(name) in chosen:
                continue
            why = "never_called"
        elif ran := by_module[id(m)]:
            why = "dropped" if back.reached and all(layer.last for layer in ran) else "detached"
        else:
            continue
        reasons[why].append(f"{name}.{own[0][0]}" if name else own[0][0])
    told = 0  # the bits of what gets no gradient for a reason that has a finding
    for layer in watch.layers:  # units that only see zeros (q = 0) are not dead: what makes the zeros is told
        if weight_of(layer) in zero or (layer.dead == 1 and layer.q):
            told |= layer.past
    for name, _, _, p in each_parameter(module):
        if name in zero and id(p) in watch.weights:
            told |= watch.weights[id(p)].past
    for one in watch.sums:
        if one.branch == 0 or one.stream == 0:
            told |= one.within
    for layer in watch.layers:
        # A table may wait for one that starts at zero, as in word2vec, but not where no other learns either.
        table = isinstance(layer.module, EMBEDDINGS) and back.reached <= back.zero
        weight = getattr(layer.module, "weight", None) if table or is_linear(layer.module) else None
        seen = table or (layer.x is not None and bool(layer.x.any()))  # from zeros no weight learns
        if isinstance(weight, torch.Tensor) and id(weight) in back.zero and seen and not layer.bit & told:
            reasons["zero"].append(weight_of(layer))
    return [
        Finding("not_learning", span(names), {"count": len(names), "why": why})
        for why, names in reasons.items()
    ]


def _identical(module, back: Back | None, tensors: tuple[Tensor, ...]) -> list[Finding]:
    """One finding: weights of different layers that are equal to the last bit, as drawn by one seed.

    Deterministic starts (identity, a blur, zeros) repeat by themselves, frozen weights are copied on purpose.
    """
    rows, groups = {row.name: row for row in tensors}, defaultdict(list)
    for name, m, _, p in each_parameter(module):
        row = rows.get(name)
        if row is None or not row.std or p.ndim < 2 or isinstance(m, NORMS) or not p.requires_grad:
            continue
        if any(match.scheme in SET for match in row.found.matches):
            continue
        if back is None or id(p) in back.reached:
            groups[p.shape, p.dtype, row.std].append((name, p))
    alike = []
    for those in groups.values():
        first = those[0][1]
        same = [name for name, p in those[1:] if torch.equal(p, first)]
        if not same or first[0].numel() < 2:
            continue
        # A weight with equal rows, of few values (ConViT's positions), or mostly zeros around no orthogonal
        # matrix was not drawn.
        delta = rows[those[0][0]].found.scheme == "delta_orthogonal"
        drawn = delta or (
            first.count_nonzero() * 2 > first.numel() and first.unique().numel() * 2 > min(first.numel(), FEW)
        )
        if drawn and not bool((first == first[:1]).all()):
            alike.append((those[0][0], *same))
    return identical_layers(alike)


def _forgetful(module, layers: list[Layer]) -> list[Finding]:
    """One finding a stack of LSTM layers in which forget gates were set open and some were forgotten.

    A stack is the layers of one module, or of modules of which each is fed by the one before alone.
    """
    first = {}  # by id of a module: the id of the first module in its stack
    for layer in layers:
        before = next(iter(layer.origins), None) if len(layer.origins) == 1 else None
        if before is not None and all(isinstance(m, nn.LSTM) for m in (layer.module, before.module)):
            first.setdefault(id(layer.module), first.get(id(before.module), id(before.module)))
    stacks = defaultdict(dict)
    for name, m in module.named_modules():
        if not isinstance(m, nn.LSTM) or not m.bias:
            continue
        h, ways = m.hidden_size, ("", "_reverse")[: 1 + m.bidirectional]
        for way in (f"l{k}{way}" for k in range(m.num_layers) for way in ways):
            biases = (numbers(getattr(m, f"bias_{part}h_{way}"))[h : 2 * h].mean() for part in "ih")
            key = f"{name}.bias_hh_{way}" if name else f"bias_hh_{way}"
            stacks[first.get(id(m), id(m))][key] = float(sum(biases))
    found = []
    for means in stacks.values():
        unset = [key for key, mean in means.items() if abs(mean) < FORGETS[1]]
        if unset and (most := max(means.values())) > FORGETS[0]:
            fields = {"set": f"{most:.2g}", "unset": f"{means[unset[0]]:.2g}", "count": len(unset)}
            found.append(Finding("forget_bias", span(unset), fields))
    return found
