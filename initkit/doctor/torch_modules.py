"""The doctor at a PyTorch module: one pass forward and back, what it finds, and the line that mends it."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np

from .. import activations
from ..course.texts import text
from ..fans import fans
from ..network import MLP
from ..signals import Signals, fate, passage
from ..theory import predict, predict_for
from .audit import wrong_by_itself
from .identify import of_scan
from .report import Finding, Report, Tensor
from .scan import scan_array
from .torch_apply import HE, Applied, apply, base_name, call_of, scheme_for
from .torch_watch import (
    EMBEDDINGS,
    LINEAR,
    NORMS,
    RECURRENT,
    Layer,
    Watch,
    as_it_was,
    checked,
    conv,
    each_parameter,
    following,
    gradients,
    nn,
    numbers,
    torch,
)  # fmt: skip

__all__ = ["Applied", "apply", "diagnose"]

HALF = 0.5  # of the units dead, or of the outputs saturated
OFF = 1.2  # by so much a gain may be off
DEEP = 4  # layers, below which that does no harm


def _theory(layers: list[Layer], grad_var) -> Signals | None:
    """Mean-field theory, where the layers are one chain of Linear and a single activation; else None."""
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
        or not all(bool(p.isfinite().all()) for m in modules for p in m.parameters())
    ):
        return None
    net = MLP([x.shape[1], *(m.out_features for m in modules)], *hidden, "zeros", dtype=np.float64)
    net.weights = [numbers(m.weight) for m in modules]
    net.biases = [b if m.bias is None else numbers(m.bias) for m, b in zip(modules, net.biases, strict=True)]
    return predict_for(net, numbers(x), grad_var=None if grad_var is None else float(grad_var[-1]))


def diagnose(module, batch, loss=None, *, lang: str = "en") -> Report:
    """One pass of ``batch`` through ``module`` and back: what the signal does, and what would mend it.

    ``batch``: a tensor, or a tuple of the module's inputs; examples lie along the first axis. ``loss``:
    labels, for softmax cross-entropy; or a function of the output that returns a scalar, taken as a mean over
    the batch (its gradient is multiplied by the examples); or None: the way back then starts from a random
    gradient of variance 1, the same one every time.

    In ``signals`` there is an entry for every Linear, Conv, Embedding, MultiheadAttention and normalization
    layer, in order of execution: ``q`` of its output, ``grad_var`` of one example's loss with respect to it,
    and what holds for the activation, where one is all that its output goes into, as a module or a function;
    else NaN (for its mean and variance, the output's own). ``predicted`` is theory's, where the layers are
    a chain of Linear and one activation; else None. Recurrent and unknown layers are in the table only. The
    module is run in the mode that it is in; its parameters, buffers, gradients and attributes, and all
    random streams, are afterwards as they were.

    Raises TypeError for what is no module or no batch; ValueError for an empty batch, one that is not finite,
    a loss that does not fit, parameters without values; and whatever the module raises. Lesson 07.
    """
    text("doctor.clean", lang)  # says so where it is no language of ours
    with torch.inference_mode(False):  # as the pass below
        checked(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError("module must be written in Python; one of TorchScript cannot be watched")
    inputs = _inputs(batch)
    with torch.inference_mode(False), torch.enable_grad(), as_it_was(module):
        inputs = tuple(t.clone() if isinstance(t, torch.Tensor) and t.is_inference() else t for t in inputs)
        with Watch(module, inputs) as watch:
            output = module(*inputs)
        layers = watch.ran()
        gradients(layers, output, loss, len(inputs[0]))
    with as_it_was(module):  # to read a parametrized weight is to run what it is made by: spectral_norm
        return _report(module, layers, lang)


def _report(module, layers: list[Layer], lang: str) -> Report:
    tensors, findings = _table(module, {layer.name: layer.activation for layer in layers})
    if not layers:
        return Report(tensors, tuple(findings), lang=lang)
    q, mean, var, correlation, saturated, dead = np.array([layer.stats for layer in layers], np.float64).T
    back = np.array([layer.grad_var for layer in layers])
    back = None if np.isnan(back).all() and np.isfinite(q).all() else back
    signals = Signals(q, mean, var, correlation, saturated, dead, back)
    findings += _of_signals(module, layers, tensors)
    findings.sort(key=lambda f: _WEIGHT.index(f.kind))
    names = tuple(layer.name or type(layer.module).__name__ for layer in layers)
    return Report(tensors, tuple(findings), signals, _theory(layers, back), names, lang)


def _inputs(batch) -> tuple:
    inputs = batch if isinstance(batch, tuple) else (batch,)
    if not inputs or not isinstance(inputs[0], torch.Tensor):
        kind = type(inputs[0] if inputs else batch).__name__
        raise TypeError(f"batch must be a tensor, or a tuple of inputs that begins with one, not {kind}")
    if not inputs[0].ndim or not inputs[0].numel():
        raise ValueError(f"batch must hold at least one example, not shape {tuple(inputs[0].shape)}")
    if not inputs[0].isfinite().all():
        raise ValueError("batch must be finite numbers; some are NaN or infinite")
    return inputs


# What is found -------------------------------------------------------------------------------------

_WEIGHT = (
    "non_finite", "overflow", "symmetric_rows", "all_zero", "signal_vanishes", "signal_explodes",
    "gradient_vanishes", "gradient_explodes", "dead_units", "dead_rows", "saturated_outputs",
    "scheme_activation_mismatch",
)  # fmt: skip


def _table(module, followed_by: dict) -> tuple[tuple[Tensor, ...], list[Finding]]:
    rows, findings = [], []
    for name, m, key, p in each_parameter(module):
        if not p.is_floating_point() or not p.numel():
            continue
        w = p.detach().cpu()
        w = (w.float() if w.dtype == torch.bfloat16 else w).numpy()
        s = scan_array(w)
        n_in = n_out = None
        of_layer = ()  # what PyTorch drew it by, where its own shape does not say so
        if w.ndim > 1:
            # As PyTorch counts; of a ConvTranspose too, whose first axis is the input.
            n_in, n_out = fans(w.shape)
        elif key == "bias" and isinstance(m, LINEAR) and m.weight.ndim > 1:
            of_layer = (fans(m.weight.shape).fan_in,)
        if isinstance(m, RECURRENT):
            of_layer = (m.hidden_size,)
        found = of_scan(s, w.shape, {"in_axis": 1, "out_axis": 0}, of_layer)
        std = None if s.non_finite else s.std
        gain = std * math.sqrt(n_in) if std is not None and n_in else None
        rows.append(Tensor(name, tuple(w.shape), n_in, n_out, std, gain, found))
        code = _line(name, followed_by.get(name.rpartition(".")[0]))
        if s.non_finite or (w.ndim > 1 and not isinstance(m, (*EMBEDDINGS, *NORMS))):
            findings += [replace(finding, code=code) for finding in wrong_by_itself(name, w.shape, s)]
    return tuple(rows), findings


def _of_signals(module, layers, tensors) -> list[Finding]:
    found = []
    broken = next((layer for layer in layers if not np.isfinite(layer.stats[0])), None)
    if broken:
        found.append(Finding("overflow", _weight(broken)))
    table = {t.name: t for t in tensors}
    follows = following(module)
    for run in _runs(layers, lambda layer: None):
        found += _of_passage("signal", run, [layer.stats[0] for layer in run], layers, table, follows)
        found += _of_gains(run, table, follows)
    for run in _runs(layers, lambda layer: layer.z.shape[2:]):  # a pool would change it by itself
        found += _of_passage("gradient", run, [layer.grad_var for layer in run], layers, table, follows)
    crowds: dict[tuple, list] = {}  # layers that suffer from the same, together
    for layer in layers:
        if layer.activation is None or not np.isfinite(layer.stats[0]):
            continue
        saturated, dead = layer.stats[4:]
        # One input leaves half of the units off: so many, and three standard deviations more.
        if layer.activation.name == "relu":
            if dead > HALF + 1.5 / math.sqrt(layer.z.shape[layer.unit_axis]):
                crowds.setdefault(("dead_units", layer.activation), []).append((dead, layer))
        elif base_name(layer.activation) not in HE and saturated > HALF:
            crowds.setdefault(("saturated_outputs", layer.activation), []).append((saturated, layer))
    for (kind, function), those in crowds.items():
        most, crowd = max(share for share, _ in those), [layer for _, layer in those]
        code = _remedy(crowd, follows) if len(crowd) > 1 else _line(_weight(crowd[0]), function)
        found.append(Finding(kind, _span(crowd), {"share": f"{most:.0%}", "activation": function.name}, code))
    return found


def _runs(layers, size):
    """Linear and Conv layers, each fed by the one before alone, with no norm between; without the last layer.

    What is added up from several layers, as a residual stream, follows other laws.
    """
    run = []
    for layer in layers[:-1]:
        fits = isinstance(layer.module, LINEAR) and np.isfinite(layer.stats[0])
        if run and (not fits or layer.origins != {run[-1]} or size(layer) != size(run[-1])):
            yield run
            run = []
        if fits:
            run.append(layer)
    if run:
        yield run


def _of_passage(what, run, values, layers, table, follows) -> list[Finding]:
    """Does the signal, or the gradient on its way back, survive between a run's ends?"""
    way = np.array(values if what == "signal" else values[::-1])
    if len(run) < 2 or not np.isfinite(way).all() or not way[0]:
        return []
    verdict = passage(way[0], way[-1], len(way) - 1).verdict
    if verdict == "kept":
        return []
    vanishes = verdict == "vanishes"
    begin = int(np.argmax(way[:-1]) if vanishes else np.argmin(way[:-1]))
    levels = np.log(np.maximum(way[begin:], np.finfo(float).tiny))
    steps, change = np.diff(levels), levels[-1] - levels[0]
    worst = int((np.argmin if vanishes else np.argmax)(steps))
    # A step, of the signal or of the gradient on its way back, is the work of the later layer's weights.
    passed = run if what == "signal" else run[::-1]
    at, later = passed[begin], what == "signal"
    cause, before = passed[begin + worst + later], passed[begin + worst + 1 - later]
    one = abs(steps[worst]) > abs(change) / 2  # one layer did most of it
    tensor = table.get(_weight(cause))
    scheme = "?"
    if tensor and tensor.gain is not None:
        fresh = tensor.found.matches
        scheme = str(fresh[0]) if fresh else f"std·√fan_in = {tensor.gain:.2g}"
    fields = {
        "first": layers.index(at) + 1,
        "factor": f"{math.exp(change / 2 / len(steps)) if way[-1] else 0:#.2g}",
        "activation": before.activation.name if before.activation else "f(z)",
        "scheme": scheme,
        "better": _better(before.activation, len(run)),
    }
    kind = f"{what}_{verdict}"
    where = _weight(cause) if one else _span(sorted(passed[begin:], key=layers.index))
    return [Finding(kind, where, fields, _remedy(run, follows))]


def _of_gains(run, table, follows) -> list[Finding]:
    """Layers whose activation wants another gain, together: in a shallow net it does no harm."""
    off: dict[str, list] = {}
    for before, layer in itertools.pairwise(run):  # the first sees data, not an activation
        function, tensor = before.activation, table.get(_weight(layer))
        if (
            function is None
            or tensor is None
            or not tensor.gain
            or isinstance(layer.module, conv._ConvTransposeNd)
        ):
            continue
        low, high = _wanted(function)
        if high and not low / OFF <= tensor.gain <= high * OFF:
            off.setdefault(function.name, []).append((layer, tensor.gain, low if tensor.gain < low else high))
    found = []
    for name, those in off.items():
        if len(those) < DEEP:
            continue
        gain, wanted = (float(np.median([t[k] for t in those])) for k in (1, 2))
        fields = {"gain": f"{gain:.3g}", "activation": name, "wanted": f"{wanted:.3g}"}
        where = _span([layer for layer, _, _ in those])
        found.append(Finding("scheme_activation_mismatch", where, fields, _remedy(run, follows)))
    return found


def _wanted(function) -> tuple[float, float]:
    """From the gain that keeps q = 1 to the one that keeps q small, 1/f'(0); (0, 0) where f(0) is not 0."""
    zero = np.zeros(1)
    if abs(function.f(zero)[0]) > 1e-9:
        return 0.0, 0.0
    at_one, slope = activations.gain(function), float(function.df(zero)[0])
    kinked = base_name(function) in ("relu", "leaky_relu", "selu")
    other = at_one if kinked else 1 / slope
    return min(at_one, other), max(at_one, other)


def _weight(layer: Layer) -> str:
    key = "out_proj.weight" if isinstance(layer.module, nn.MultiheadAttention) else "weight"
    return f"{layer.name}.{key}" if layer.name else key


def _span(layers) -> str:
    first, last = _weight(layers[0]), _weight(layers[-1])
    return first if first == last else f"{first} … {last}"


def _better(function, depth: int) -> str:
    if function is None:
        return "std = 1/√(fan_in·E[f(z)²])"
    if _keeps(function, depth):
        return call_of(*scheme_for(function))
    return "relu + he_normal()" if base_name(function) in HE else "tanh + xavier_normal()"


def _keeps(function, depth: int) -> bool:
    """Does theory say that what ``apply`` draws keeps signal and gradient through so many layers?"""
    sigma_w = activations.gain(function) if scheme_for(function)[0] == "he_normal" else 1.0
    return fate(predict(depth + 1, 100, function, sigma_w)).kept


def _remedy(run, follows) -> str | None:
    """``apply``, told the scheme where it cannot see the activations that ran; None where none helps."""
    functions = [layer.activation for layer in run]
    if None in functions or not all(_keeps(f, len(run)) for f in set(functions)):
        return None
    if all((follows.get(id(layer.module)) or activations.identity) is layer.activation for layer in run):
        return "initkit.doctor.apply(model)"
    return f'initkit.doctor.apply(model, "{scheme_for(functions[0])[0]}")'


def _line(name: str, function) -> str:
    """PyTorch's own line for one tensor."""
    tensor = "model" + re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", f".{name}")
    if function is not None and function.name == "relu":
        return f'torch.nn.init.kaiming_normal_({tensor}, nonlinearity="relu")'
    return f"torch.nn.init.xavier_normal_({tensor})"
