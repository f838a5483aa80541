"""A PyTorch module examined: one pass forward and back, what is wrong, and lines that may mend it."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from .. import activations
from ..fans import fans
from ..network import MLP
from ..signals import FLAT, KEPT, Signals, fate, passage, steepest_slope
from ..theory import predict, predict_for
from ..words import Language, text
from .audit import wrong_by_itself
from .gains import nearest_right, right_gains
from .identify import Identification, of_scan
from .report import Finding, Report, Tensor, as_told, span
from .scan import scan_array
from .torch_beside import beside_chains, looked_at, scale_of_none, weight_of
from .torch_plain import facts
from .torch_rules import HE, applied_to, call_of, scheme_for

# isort: off
from .torch_watch import (
    LAYERS, RECURRENT, Back, Layer, Watch, Weight, as_it_was, base_name, checked, conv, each_parameter,
    floats_in, gradients, has_seen_nothing, is_linear, is_matrix, is_rescaled, is_transposed, nn, numbers,
    numpy_of, output_of, reached_from, tensors_in, torch, unwrapped, weight_axes, worth_a_look,
)  # fmt: skip

HALF = 0.5  # the share of dead units, or of saturated outputs, above which there is a finding
GATES = {"sigmoid", "softplus"}  # functions that make a share, or a positive number
TINY = 1e-60  # the mean square of numbers that float32 can hardly hold
GATED = KEPT**3  # the factor by which the mean square may change in stacked recurrent layers
STEADY = 1.25  # the factor by which a mean square may change a layer, whatever the gain
LAYERS_OFF = 4  # fewer layers than these with a wrong gain do no harm


def _theory(layers: list[Layer], grad_var) -> Signals | None:
    """Mean-field theory's Signals; None unless the layers are a chain of Linear with one activation."""
    modules = [layer.module for layer in layers]
    hidden = {layer.activation for layer in layers[:-1]} or {activations.identity}
    x = layers[0].x
    if (
        not all(isinstance(m, nn.Linear) for m in modules)
        or len(set(modules)) < len(modules)
        or any(after.source is not before for before, after in itertools.pairwise(layers))
        or len(hidden) > 1
        or None in hidden
        or x is None
        or x.ndim != 2
        or not x.numel() * min(m.out_features for m in modules)
        or not all(bool(t.isfinite().all()) for t in (x, *(p for m in modules for p in m.parameters())))
    ):
        return None
    net = MLP([x.shape[1], *(m.out_features for m in modules)], *hidden, "zeros", dtype=np.float64)
    net.weights = [numbers(m.weight) for m in modules]
    net.biases = [b if m.bias is None else numbers(m.bias) for m, b in zip(modules, net.biases, strict=True)]
    return predict_for(net, numbers(x), grad_var=None if grad_var is None else float(grad_var[-1]))


def examined(
    module: nn.Module, batch, loss=None, lang: Language = "en", named: bool = True
) -> tuple[tuple | dict, Report]:
    """The module's inputs, and the report of ``diagnose`` with remedies that are still to be tried.

    ``named``: whether the table names the initializers, which takes the longest.
    """
    text("doctor.clean", lang)  # raises ValueError for an unknown language
    module = unwrapped(module)
    with torch.inference_mode(False):  # the pass below runs outside of inference mode as well
        checked(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError("module must be written in Python; one of TorchScript cannot be watched")
    args, by_name = _inputs(batch)
    with torch.inference_mode(False), torch.enable_grad(), as_it_was(module):
        args = tuple(map(_outside, args))
        by_name = {key: _outside(value) for key, value in by_name.items()}
        inputs = by_name or args
        n = len(next(tensors_in([inputs])))
        for m in filter(has_seen_nothing, module.modules() if n > 1 else ()):
            m.training = True  # else it would normalize nothing; as_it_was brings its mode back
        with Watch(module, (inputs,)) as watch:
            output = output_of(module, inputs)
        layers = watch.ran()
        try:
            back = gradients(module, watch, output, loss, n)
        except (ValueError, RuntimeError):
            if all(bool(p.isfinite().all()) for p in module.parameters()):
                raise
            back = None  # a loss that refuses NaN: the finding is that the parameters hold some
        watch.elsewhere = _used_elsewhere(module, inputs, watch, back)
    with as_it_was(module):  # reading a parametrized weight (spectral_norm) runs code that changes buffers
        report = _report(module, watch, back, lang, named)
        told = facts(module, inputs, layers, report.tensors) if named else ()
        return inputs, replace(report, facts=told)


def _used_elsewhere(module, inputs, watch: Watch, back: Back | None) -> set[int]:
    """Ids of the modules that did not run, but run, or have their parameters used, in the other mode.

    The modes are train and eval. LayerDrop leaves layers out by chance, and only in training; auxiliary heads
    are used only there.
    """
    here = set() if back is None else back.reached
    idle = [
        m
        for m in worth_a_look(module).values()
        if id(m) not in watch.called and not any(id(p) in here for p in m.parameters())
    ]
    if not idle:
        return set()
    with contextlib.suppress(Exception):  # whatever a module raises in that mode
        module.train(not module.training)
        with Watch(module, (inputs,)) as other:
            there = reached_from(floats_in(output_of(module, inputs)))
        return {id(m) for m in idle if id(m) in other.called or any(id(p) in there for p in m.parameters())}
    return set()


def _outside(value):
    """The value; a tensor of inference mode as a copy that can take part in a backward pass."""
    return value.clone() if isinstance(value, torch.Tensor) and value.is_inference() else value


def _report(module, watch: Watch, back, lang: Language, named: bool) -> Report:
    """The report of a pass; ``code`` of its findings holds the lines that are still to be tried."""
    layers = watch.layers
    tensors, findings = _table(module, watch, named)
    not_finite = {f.tensor.rpartition(".")[0] for f in findings if f.kind == "non_finite"}
    findings += _of_signals(module, layers, tensors, not_finite)
    findings, notes = beside_chains(module, watch, back, tensors, findings)
    coverage = looked_at(module, watch)
    if not layers:
        return Report(tensors, as_told(findings), lang=lang, coverage=coverage, notes=as_told(notes))
    keys = ("q", "activation_mean", "activation_var", "correlation", "saturated", "dead", "grad_var")
    seen = {key: np.array([getattr(layer, key) for layer in layers], np.float64) for key in keys}
    if np.isnan(seen["grad_var"]).all() and np.isfinite(seen["q"]).all():
        seen["grad_var"] = None
    signals = Signals(**seen)
    names = tuple(layer.name or type(layer.module).__name__ for layer in layers)
    theory = _theory(layers, signals.grad_var)
    return Report(tensors, as_told(findings), signals, theory, names, lang, coverage, as_told(notes))


def _inputs(batch) -> tuple[tuple, dict]:
    """The arguments of the module, by place and by name."""
    named = dict(batch) if isinstance(batch, Mapping) else {}
    args = () if named else batch if isinstance(batch, tuple) else (batch,)
    given = [v for v in named.values() if isinstance(v, torch.Tensor)] or [*named.values(), *args]
    first = given[0] if given else batch
    if not isinstance(first, torch.Tensor):
        raise TypeError(
            "batch must be a tensor, a tuple of inputs that begins with one, or a dict of inputs by name, "
            f"not {type(first).__name__}"
        )
    if not first.ndim or not first.numel():
        raise ValueError(f"batch must hold at least one example, not shape {tuple(first.shape)}")
    if not first.isfinite().all():
        raise ValueError("batch must be finite numbers; some are NaN or infinite")
    return args, named


# What is found -------------------------------------------------------------------------------------


def _table(module, watch: Watch, named: bool) -> tuple[tuple[Tensor, ...], list[Finding]]:
    """A row a parameter, and what is wrong with each by itself."""
    rows, findings = [], []
    followed_by = {layer.name: layer.activation for layer in watch.layers}
    for name, m, key, p in each_parameter(module):
        if not p.is_floating_point() or not p.numel():
            continue
        w = numpy_of(p)
        flipped = is_transposed(m) and w.ndim > 1  # (in, out)
        s = scan_array(w)
        n_in = n_out = None
        of_layer = ()  # the fan_in that PyTorch draws it by, where its own shape does not tell
        axes = weight_axes(m)
        if w.ndim > 1:
            n_in, n_out = fans(w.shape, **axes)
        elif key == "bias" and is_linear(m) and m.weight.ndim > 1:
            of_layer = (fans(m.weight.shape, **axes).fan_in,)
        if isinstance(m, RECURRENT):
            of_layer = (m.hidden_size,)
        row = Tensor.of(name, w.shape, (n_in, n_out), s, Identification("too_few"))
        # Weights of no scheme's scale are identified in any case: trained ones may have any scale.
        if named or (is_matrix(m, p) and not is_rescaled(m) and scale_of_none(row, m)):
            row = replace(row, found=of_scan(s, w.shape, axes, of_layer, flipped))
        rows.append(row)
        bare = (
            None if isinstance(m, (*LAYERS, *RECURRENT)) or not p.requires_grad else watch.weights.get(id(p))
        )
        if s.non_finite or is_matrix(m, p) or (bare and p.ndim > 1):
            layer = name.rpartition(".")[0]
            for finding in wrong(name, m, w, s, bare):
                code = (_line(name, followed_by.get(layer)), *applied_to(module, [layer]))
                findings.append(replace(finding, code=code))
    return tuple(rows), findings


def wrong(name: str, m, w: np.ndarray, s, bare: Weight | None = None) -> Iterator[Finding]:
    """What is wrong with a weight by itself; units are compared where they see the same inputs.

    ``bare``: of a weight that no layer of PyTorch's holds, how it is used.
    """
    if bare and not is_linear(m) and not s.non_finite:
        whole = w.ndim == 2 and bare.units_last is not None  # else nothing tells which entries are a unit's
        found = wrong_by_itself(name, w.shape, s, bool(bare.units_last))
        yield from (f for f in found if whole or f.kind == "all_zero")
        return
    groups = getattr(m, "groups", 1)
    crosswise = isinstance(m, conv._ConvTransposeNd)  # (in, out/groups, *kernel)
    if s.non_finite or (groups == 1 and not crosswise):
        yield from wrong_by_itself(name, w.shape, s, is_transposed(m))
        return
    yield from (f for f in wrong_by_itself(name, w.shape, s) if f.kind == "all_zero")
    parts = w.reshape(groups, -1, *w.shape[1:])
    parts = parts.swapaxes(1, 2) if crosswise else parts
    for k, part in enumerate(parts if parts.shape[1] > 1 else ()):
        for finding in wrong_by_itself(name, part.shape, scan_array(np.ascontiguousarray(part))):
            if finding.kind in ("symmetric_rows", "dead_rows"):
                yield replace(finding, fields=_moved(finding.fields, k * len(part)))
                return


def _moved(fields: dict, by: int) -> dict:
    """A finding's fields, in which units of one group are counted as those of the whole weight."""
    return {key: value if key == "count" else value + by for key, value in fields.items()}


def _of_signals(
    module, layers: list[Layer], tensors: tuple[Tensor, ...], not_finite: set[str]
) -> list[Finding]:
    """What is wrong with the signals of one pass. ``not_finite``: layers found to hold NaN or infinity."""
    found = []
    broken = next((layer for layer in layers if not np.isfinite(layer.q)), None)
    if broken and broken.name not in not_finite:
        found.append(Finding("overflow", weight_of(broken)))
    table = {t.name: t for t in tensors}
    for run in _runs(layers, lambda layer: None):
        found += _of_passage("signal", run, [layer.q for layer in run], layers, table, module)
        found += _of_gains(run, table, module)
    back = [layer for layer in layers if layer.reached]
    for run in _runs(back, lambda layer: layer.z.shape[2:]):  # pooling changes a gradient by itself
        found += _of_passage("gradient", run, [layer.grad_var for layer in run], layers, table, module)
    crowds: dict[tuple, list] = {}  # by what is wrong: the layers that share one finding
    for layer in layers:
        if layer.activation is None or not np.isfinite(layer.q) or layer.q == 0:
            continue  # a layer that sees zeros returns zeros, behind a branch that starts at zero say
        if (layer.joins or layer.last) and _by_its_bias(layer):
            continue
        # Identical inputs turn off half of the units, ± 0.5/√units: more than three standard deviations above
        # that, units are dead. Of few units all may be off by chance under ReLU, but not under a smooth
        # function, which is flat well below 0 alone.
        if base_name(layer.activation) in HE - {"leaky_relu"}:  # flat on one side
            most = HALF + 1.5 / math.sqrt(layer.z.shape[layer.unit_axis])
            if layer.dead > most or (layer.dead == 1 and "relu" not in base_name(layer.activation)):
                crowds.setdefault(("dead_units", layer.activation), []).append((layer.dead, layer))
        elif base_name(layer.activation) not in HE and layer.saturated > HALF:
            crowds.setdefault(("saturated_outputs", layer.activation), []).append((layer.saturated, layer))
    for (kind, function), those in crowds.items():
        most, crowd = max(share for share, _ in those), [layer for _, layer in those]
        code = []
        if kind == "dead_units":  # a layer may be dead only because the one before lets nothing through
            biases = ((one.name, one.module._parameters.get("bias")) for one in crowd)
            to_zero = [name for name, bias in biases if bias is not None and bias.any()]
            if to_zero:
                code.append("; ".join(f"torch.nn.init.zeros_({_path(n, 'bias')})" for n in to_zero[:3]))
            code += applied_to(module, to_zero or [crowd[0].name])
        code = tuple(dict.fromkeys([*code, *applied_to(module, [layer.name for layer in crowd])]))
        fields = {"share": f"{most:.0%}", "activation": function.name}
        found.append(Finding(kind, span(map(weight_of, crowd)), fields, code))
    return found


def _by_its_bias(layer: Layer) -> bool:
    """Whether a gate, or an output, is flat by its bias alone, and so on purpose.

    Biases keep a forget gate open (Tallec & Ollivier 2018), make a rare class rare (Lin et al. 2017) and
    steps of time short (Gu & Dao 2023).
    """
    bias, function = layer.module._parameters.get("bias"), layer.activation
    if base_name(function) not in GATES or bias is None or not is_linear(layer.module):
        return False
    z = np.moveaxis(numbers(layer.z), layer.unit_axis, -1) - numbers(bias)
    return bool((function.df(z) < FLAT * steepest_slope(function)).mean() <= HALF)


def _runs(layers, size):
    """Chains of Linear and Conv layers, or of recurrent ones, each fed by the one before alone.

    ``size``: what must stay the same along a chain. Norms are in no chain, and neither are output layers and
    those that end a branch, which start small, or at zero, by design. A residual stream, the sum of several
    layers' outputs, follows other laws: see ``torch_beside``.
    """
    run = []
    for layer in layers:
        if layer.last or layer.joins:
            continue
        fits = (is_linear(layer.module) or layer.key) and np.isfinite(layer.q)
        kind = not run or (layer.key is None) == (run[-1].key is None)
        if run and (
            run[-1].forks
            or not fits
            or not kind
            or layer.origins != {run[-1]}
            or size(layer) != size(run[-1])
        ):
            yield run
            run = []
        if fits:
            run.append(layer)
    if run:
        yield run


def _of_passage(what: str, run: list[Layer], values, layers, table, module) -> list[Finding]:
    """Whether the signal, or the gradient, is lost or explodes on its way through a run.

    ``what``: "signal" or "gradient"; ``values``: its mean squares, in the order of ``run``.
    """
    way = np.array(values if what == "signal" else values[::-1])
    if len(run) < 2 or not np.isfinite(way).all() or not way[0]:
        return []
    if any(layer.dead == 1 and layer.q for layer in run):  # the finding on dead units tells why
        return []
    if what == "gradient" and not way.all() and way[int(np.argmin(way > 0)) - 1] > TINY:
        return []  # one layer cuts it off, which is a finding of ``not_learning``
    verdict = passage(way[0], way[-1], len(way) - 1).verdict
    # Half-open gates damp what passes through them; two or three stacked layers learn all the same.
    gated = run[0].key is not None and GATED**-1 <= way[-1] / way[0] <= GATED
    if verdict == "kept" or gated:
        return []
    vanishes = verdict == "vanishes"
    begin = int(np.argmax(way[:-1]) if vanishes else np.argmin(way[:-1]))
    levels = np.log(np.maximum(way[begin:], np.finfo(float).tiny))
    steps, change = np.diff(levels), levels[-1] - levels[0]
    worst = int((np.argmin if vanishes else np.argmax)(steps))
    # Between two layers both signal and gradient pass the weights of the later one.
    passed = run if what == "signal" else run[::-1]
    at, later = passed[begin], what == "signal"
    cause, before = passed[begin + worst + later], passed[begin + worst + 1 - later]
    one = abs(steps[worst]) > abs(change) / 2  # whether one layer did most of it
    tensor = table.get(weight_of(cause))
    scheme = "?"
    if tensor and tensor.gain is not None:
        fresh = tensor.found.matches
        scheme = str(fresh[0]) if fresh else f"√(mean w²·fan_in) = {tensor.gain:.2g}"
    fields = {
        "first": layers.index(at) + 1,
        "factor": f"{math.exp(change / 2 / len(steps)) if way[-1] else 0:#.2g}",
        "activation": before.activation.name if before.activation else "f(z)",
        "scheme": scheme,
        "better": _better(before.activation, len(run)),
    }
    if cause.key:  # a recurrent layer: no gain is known that keeps a signal through gates
        mode = cause.module.mode.partition("_")[0]
        fields = {"why": "recurrent", "factor": fields["factor"], "mode": mode, "layers": len(run)}
    kind = f"{what}_{verdict}"
    where = weight_of(cause) if one else span(map(weight_of, sorted(passed[begin:], key=layers.index)))
    off = [layer for _, layer, *_ in _gains_off(run, table)] or run
    sick = [[cause], [before], off] if one else [off]
    return [Finding(kind, where, fields, _remedies(module, run, *sick, run))]


def _of_gains(run, table, module) -> list[Finding]:
    """One finding for each activation for which LAYERS_OFF or more layers of a run have the wrong gain."""
    if _steady(run):
        return []
    off: dict[str, list] = {}
    for function, *one in _gains_off(run, table):
        off.setdefault(function.name, []).append(one)
    found = []
    for name, those in off.items():
        if len(those) < LAYERS_OFF:
            continue
        gain, wanted = (float(np.median([t[k] for t in those])) for k in (1, 2))
        fields = {"gain": f"{gain:.3g}", "activation": name, "wanted": f"{wanted:.3g}"}
        sick = [layer for layer, _, _ in those]
        code = _remedies(module, run, sick)
        found.append(Finding("scheme_activation_mismatch", span(map(weight_of, sick)), fields, code))
    return found


def _steady(run: list[Layer]) -> bool:
    """Whether signal and gradient are the same from layer to layer as measured, whatever theory asks for."""
    changes = [
        abs(math.log(last / first)) / (len(run) - 1) if first > 0 and last > 0 else math.inf
        for first, last in ((run[0].q, run[-1].q), (run[-1].grad_var, run[0].grad_var))
        if len(run) > 1 and not math.isnan(last)
    ]
    return all(change < math.log(STEADY) for change in changes)


def _gains_off(run, table) -> Iterator[tuple]:
    """(activation before it, layer, gain, the nearest right gain) of each layer with a wrong gain."""
    for before, layer in itertools.pairwise(run):  # the first sees data, not an activation
        function, tensor = before.activation, table.get(weight_of(layer))
        if (
            function is None
            or tensor is None
            or not tensor.gain
            or not tensor.std  # equal entries sum up the inputs, not their squares
            or isinstance(layer.module, conv._ConvTransposeNd)
            or is_rescaled(layer.module)
        ):
            continue
        if wanted := nearest_right(tensor, right_gains(function)):
            yield function, layer, tensor.gain, wanted


def _better(function: activations.Activation | None, depth: int) -> str:
    """What to draw by, as a call: before this function if that keeps the signal, else before another one."""
    if function is None:
        return "std = 1/√(fan_in·E[f(z)²])"
    if _keeps(function, depth):
        return call_of(*scheme_for(function))
    return "relu + he_normal()" if base_name(function) in HE else "tanh + xavier_normal()"


def _keeps(function: activations.Activation, depth: int) -> bool:
    """Whether theory says that what ``apply`` draws keeps signal and gradient through ``depth`` layers."""
    sigma_w = activations.gain(function) if scheme_for(function)[0] == "he_normal" else 1.0
    return fate(predict(depth + 1, 100, function, sigma_w)).kept


def _remedies(module, run: list[Layer], *sick: list[Layer]) -> tuple[str, ...]:
    """Lines to try for each group of ``sick`` layers of a run; none where theory says they would not help."""
    functions = [layer.activation for layer in run]
    if None in functions or not all(_keeps(f, len(run)) for f in set(functions)):
        return ()
    lines = [line for group in sick for line in applied_to(module, [layer.name for layer in group])]
    return tuple(dict.fromkeys(lines))


def _line(name: str, function) -> str:
    """PyTorch's own call for one tensor. ``function``: the activation that ran after it, if it is known."""
    tensor = _path(name)
    if function is not None and function.name == "relu":
        return f'torch.nn.init.kaiming_normal_({tensor}, nonlinearity="relu")'
    return f"torch.nn.init.xavier_normal_({tensor})"


def _path(*parts: str) -> str:
    """The expression for a module or parameter: model.layers[0].weight."""
    name = ".".join(part for part in parts if part)
    return "model" + re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", f".{name}")
