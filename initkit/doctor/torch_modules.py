"""A PyTorch module examined: one pass forward and back, what is wrong, and the line of code that mends it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .. import activations
from ..fans import fans
from ..network import MLP
from ..signals import Signals, fate, passage
from ..theory import predict, predict_for
from ..words import text
from .audit import wrong_by_itself
from .identify import Identification, of_scan
from .report import Finding, Report, Tensor, gravest_first
from .torch_apply import HE, Applied, applied, base_name, call_of, scan_of, scheme_for
from .torch_remedies import applied_to, tried
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
    gradients,
    nn,
    numbers,
    torch,
)  # fmt: skip

__all__ = ["Applied", "apply", "diagnose"]

HALF = 0.5  # the share of dead units, or of saturated outputs, above which there is a finding
OFF = 1.2  # the factor by which a gain may be off
STEADY = 1.25  # the factor by which a mean square may change a layer, whatever the gain
DEEP = 4  # the number of layers with a wrong gain below which it does no harm


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
        or not all(bool(p.isfinite().all()) for m in modules for p in m.parameters())
    ):
        return None
    net = MLP([x.shape[1], *(m.out_features for m in modules)], *hidden, "zeros", dtype=np.float64)
    net.weights = [numbers(m.weight) for m in modules]
    net.biases = [b if m.bias is None else numbers(m.bias) for m, b in zip(modules, net.biases, strict=True)]
    return predict_for(net, numbers(x), grad_var=None if grad_var is None else float(grad_var[-1]))


def diagnose(
    module: nn.Module,
    batch: torch.Tensor | tuple,
    loss: ArrayLike | Callable[..., torch.Tensor] | None = None,
    *,
    lang: str = "en",
) -> Report:
    """Run one ``batch`` through ``module`` and back: what the signal does, and what would mend it.

    The module runs in the mode that it is in. Its parameters, buffers, gradients and attributes, and all
    random streams, are afterwards as they were.

    Parameters
    ----------
    module : torch.nn.Module
    batch : torch.Tensor or tuple
        The module's input, or inputs; examples lie along the first axis.
    loss : labels, callable or None
        Labels, for softmax cross-entropy; or a function of the output that returns a scalar, taken as a mean
        over the batch (so its gradient is multiplied by the number of examples); or None: the way back then
        starts from a random gradient with variance 1, the same one every time.
    lang : {"en", "zh"}
        The language that the report speaks.

    Returns
    -------
    Report
        ``signals`` has an entry for every Linear, Conv, Embedding, MultiheadAttention and normalization
        layer, in order of execution: ``q`` of its output, and ``grad_var``, of one example's loss with
        respect to it. Where the output goes into exactly one activation, a module or a function, the entries
        on activations are that one's; else they are NaN, and their mean and variance the output's own.
        ``predicted`` is theory's, where the layers are a chain of Linear with one activation; else None.
        Recurrent and unknown layers are in the table only.

    Raises
    ------
    TypeError
        For what is no module or no batch.
    ValueError
        For an empty batch, one that is not finite, a loss that does not fit, or parameters without values.
    Exception
        Whatever the module raises.
    """
    inputs, report = examined(module, batch, loss, lang)
    return replace(report, findings=tried(report, examined, module, inputs, loss))


def examined(
    module: nn.Module, batch, loss=None, lang: str = "en", named: bool = True
) -> tuple[tuple, Report]:
    """The module's inputs, and the report of ``diagnose`` with remedies that are still to be tried.

    ``named``: whether the table names the initializers, which takes the longest.
    """
    text("doctor.clean", lang)  # raises ValueError for an unknown language
    with torch.inference_mode(False):  # the pass below runs outside of inference mode as well
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
    with as_it_was(module):  # reading a parametrized weight (spectral_norm) runs code that changes buffers
        return inputs, _report(module, layers, lang, named)


def apply(
    module: nn.Module,
    batch: torch.Tensor | tuple | None = None,
    scheme: str = "auto",
    rng: int | np.random.SeedSequence | np.random.Generator | None = None,
    *,
    loss: ArrayLike | Callable[..., torch.Tensor] | None = None,
    only: str | Iterable[str] | None = None,
    skip: str | Iterable[str] | None = None,
    lang: str = "en",
) -> Applied:
    """Initialize ``module`` in place, each weight by what follows it, and never for the worse.

    With a ``batch``, a module in which ``diagnose`` finds nothing is left as it is. Else Linear and Conv
    layers become orthogonal, with bias 0, and in one pass each is scaled to its mean square, part of a unit's
    mean is taken out of its bias, a branch of a residual stream begins small, and so does the output, so that
    the loss begins near ln C (``torch_scale.rescale``).

    Without a batch they are drawn by ``he_normal`` with the activation's gain, where that has no upper bound
    (ReLU, Leaky ReLU, GELU, SiLU, ELU, SELU, Mish, Softplus); else, and where no activation follows, by
    ``xavier_normal``. A ConvTranspose has its fan_in on axis 0. If the module runs on noise that fits its
    first layer, activations called in ``forward`` are seen, and what is then off by more than a factor of 3,
    by strides or pooling say, is scaled. If it does not, the activation is the one registered next, with at
    most norms, dropout and pooling between.

    Attention: ``xavier_normal``, query, key and value each by itself. Recurrent layers, gate by gate:
    ``xavier_normal`` for the input, ``orthogonal`` for the state. Embeddings: N(0, 0.02²), as GPT-2's, where
    a norm or a tied output comes later, else N(0, 1), as PyTorch's; the padding row 0. Norms: 1 and 0.
    Biases: 0. Weight norm: its length is that of the drawn direction. The rest is left as it is.

    Left as they are, and named: frozen parameters; and layers that have been trained, which ``identify`` and
    their biases tell, unless ``only`` names them. Then the module as it was and as it would be are both
    trained, for a few steps of Adam on the batch: if the new one starts or trains worse, nothing is written.

    Parameters
    ----------
    module : torch.nn.Module
    batch : torch.Tensor or tuple, optional
        The module's input, or inputs, as in ``diagnose``. A name in its place is the scheme.
    scheme : str
        "auto", or a name of the registry, for every weight with two axes or more instead; then nothing is
        measured.
    rng : int, SeedSequence, Generator or None
        As in every initializer. Parameters draw from it in the order of ``named_modules``, a tied one once.
    loss : labels, callable or None
        As in ``diagnose``, for the trial. Without one it learns labels drawn at random.
    only, skip : str or iterable of str, optional
        Names of parameters, or of modules with all in them, ``*`` for any part: what to draw, or to leave.
    lang : {"en", "zh"}
        The language that the result speaks.

    Returns
    -------
    Applied
        What was done and what not.

    Raises
    ------
    TypeError
        For what is no module.
    ValueError
        For an unknown scheme or name, parameters without values, and shapes that the scheme cannot fill. Then
        nothing is written.
    """
    options = {"loss": loss, "only": only, "skip": skip, "lang": lang}
    return applied(examined, module, batch, scheme, rng, **options)


def _report(module, layers: list[Layer], lang: str, named: bool) -> Report:
    tensors, findings = _table(module, {layer.name: layer.activation for layer in layers}, named)
    if not layers:
        return Report(tensors, gravest_first(findings), lang=lang)
    q, mean, var, correlation, saturated, dead = np.array([layer.stats for layer in layers], np.float64).T
    back = np.array([layer.grad_var for layer in layers])
    back = None if np.isnan(back).all() and np.isfinite(q).all() else back
    signals = Signals(q, mean, var, correlation, saturated, dead, back)
    findings += _of_signals(module, layers, tensors)
    names = tuple(layer.name or type(layer.module).__name__ for layer in layers)
    return Report(tensors, gravest_first(findings), signals, _theory(layers, back), names, lang)


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


def _table(module, followed_by: dict, named: bool) -> tuple[tuple[Tensor, ...], list[Finding]]:
    """A row a parameter, and what is wrong with each by itself.

    ``followed_by``: by a layer's name, the activation that ran after it.
    """
    rows, findings = [], []
    for name, m, key, p in each_parameter(module):
        if not p.is_floating_point() or not p.numel():
            continue
        s = scan_of(p)
        n_in = n_out = None
        of_layer = ()  # the fan_in that PyTorch drew it by, where its own shape does not say so
        if p.ndim > 1:
            # As PyTorch counts, also for a ConvTranspose, whose first axis is the input.
            n_in, n_out = fans(p.shape)
        elif key == "bias" and isinstance(m, LINEAR) and m.weight.ndim > 1:
            of_layer = (fans(m.weight.shape).fan_in,)
        if isinstance(m, RECURRENT):
            of_layer = (m.hidden_size,)
        axes = {"in_axis": 1, "out_axis": 0}
        found = of_scan(s, p.shape, axes, of_layer) if named else Identification("too_few")
        rows.append(Tensor.of(name, p.shape, (n_in, n_out), s, found))
        layer = name.rpartition(".")[0]
        code = (_line(name, followed_by.get(layer)), *applied_to(module, [layer]))
        if s.non_finite or (p.ndim > 1 and not isinstance(m, (*EMBEDDINGS, *NORMS))):
            findings += [replace(finding, code=code) for finding in wrong_by_itself(name, p.shape, s)]
    return tuple(rows), findings


def _of_signals(module, layers: list[Layer], tensors: tuple[Tensor, ...]) -> list[Finding]:
    """What is wrong with the signals of one pass."""
    found = []
    broken = next((layer for layer in layers if not np.isfinite(layer.stats[0])), None)
    if broken:
        found.append(Finding("overflow", _weight(broken)))
    table = {t.name: t for t in tensors}
    for run in _runs(layers, lambda layer: None):
        found += _of_passage("signal", run, [layer.stats[0] for layer in run], layers, table, module)
        found += _of_gains(run, table, module)
    for run in _runs(layers, lambda layer: layer.z.shape[2:]):  # pooling changes a gradient by itself
        found += _of_passage("gradient", run, [layer.grad_var for layer in run], layers, table, module)
    crowds: dict[tuple, list] = {}  # by what is wrong: the layers that share one finding
    for layer in layers:
        if layer.activation is None or not np.isfinite(layer.stats[0]):
            continue
        saturated, dead = layer.stats[4:]
        # One input alone leaves half of the units off, ± 0.5/√units: three standard deviations more are dead.
        if layer.activation.name == "relu":
            if dead > HALF + 1.5 / math.sqrt(layer.z.shape[layer.unit_axis]):
                crowds.setdefault(("dead_units", layer.activation), []).append((dead, layer))
        elif base_name(layer.activation) not in HE and saturated > HALF:
            crowds.setdefault(("saturated_outputs", layer.activation), []).append((saturated, layer))
    for (kind, function), those in crowds.items():
        most, crowd = max(share for share, _ in those), [layer for _, layer in those]
        code = []
        if kind == "dead_units":  # the others may get nothing, as the ones before let nothing through
            to_zero = [one.name for one in crowd if (b := one.module.bias) is not None and b.detach().any()]
            code += ["; ".join(f"torch.nn.init.zeros_({_path(n, 'bias')})" for n in to_zero[:3])] * bool(
                to_zero
            )
            code += applied_to(module, to_zero or [crowd[0].name])
        code += applied_to(module, [layer.name for layer in crowd])
        code = tuple(dict.fromkeys(code))
        found.append(Finding(kind, _span(crowd), {"share": f"{most:.0%}", "activation": function.name}, code))
    return found


def _runs(layers, size):
    """Chains of Linear and Conv layers, each fed by the one before alone, without norms and the last layer.

    ``size``: what must stay the same along a chain. A residual stream, the sum of several layers' outputs,
    follows other laws, and is in no chain.
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


def _of_passage(what: str, run: list[Layer], values, layers, table, module) -> list[Finding]:
    """Whether the signal, or the gradient, is lost or explodes on its way through a run.

    ``what``: "signal" or "gradient"; ``values``: its mean squares, in the order of ``run``.
    """
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
    # Between two layers both signal and gradient pass the weights of the later one.
    passed = run if what == "signal" else run[::-1]
    at, later = passed[begin], what == "signal"
    cause, before = passed[begin + worst + later], passed[begin + worst + 1 - later]
    one = abs(steps[worst]) > abs(change) / 2  # whether one layer did most of it
    tensor = table.get(_weight(cause))
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
    kind = f"{what}_{verdict}"
    where = _weight(cause) if one else _span(sorted(passed[begin:], key=layers.index))
    off = [layer for _, layer, *_ in _gains_off(run, table)] or run
    sick = [[cause], [passed[begin + worst + 1 - later]], off] if one else [off]
    return [Finding(kind, where, fields, _remedies(module, run, *sick, run))]


def _of_gains(run, table, module) -> list[Finding]:
    """One finding an activation: DEEP or more layers of a run have the wrong gain for it."""
    if _steady(run):
        return []
    off: dict[str, list] = {}
    for function, *one in _gains_off(run, table):
        off.setdefault(function.name, []).append(one)
    found = []
    for name, those in off.items():
        if len(those) < DEEP:
            continue
        gain, wanted = (float(np.median([t[k] for t in those])) for k in (1, 2))
        fields = {"gain": f"{gain:.3g}", "activation": name, "wanted": f"{wanted:.3g}"}
        sick = [layer for layer, _, _ in those]
        code = _remedies(module, run, sick)
        found.append(Finding("scheme_activation_mismatch", _span(sick), fields, code))
    return found


def _steady(run: list[Layer]) -> bool:
    """Whether signal and gradient are the same from layer to layer as measured, whatever theory asks for."""
    changes = [
        abs(math.log(last / first)) / (len(run) - 1) if first > 0 and last > 0 else math.inf
        for first, last in ((run[0].stats[0], run[-1].stats[0]), (run[-1].grad_var, run[0].grad_var))
        if len(run) > 1 and not math.isnan(last)
    ]
    return all(change < math.log(STEADY) for change in changes)


def _gains_off(run, table) -> Iterator[tuple]:
    """(activation before it, layer, gain, the nearest one that is right) of those with a wrong gain."""
    for before, layer in itertools.pairwise(run):  # the first sees data, not an activation
        function, tensor = before.activation, table.get(_weight(layer))
        if (
            function is None
            or tensor is None
            or not tensor.gain
            or not tensor.std  # equal entries pass on the sum of the inputs, not one of squares
            or isinstance(layer.module, conv._ConvTransposeNd)
        ):
            continue
        low, high = _wanted(function)
        if high and not low / OFF <= tensor.gain <= high * OFF:
            yield function, layer, tensor.gain, low if tensor.gain < low else high


def _wanted(function) -> tuple[float, float]:
    """The gains that are right for a function: from the one that keeps q = 1 to that for small q, 1/f'(0).

    (0, 0) where f(0) is not 0, so that no gain keeps a small signal.
    """
    zero = np.zeros(1)
    if abs(function.f(zero)[0]) > 1e-9:
        return 0.0, 0.0
    at_one, slope = activations.gain(function), float(function.df(zero)[0])
    kinked = base_name(function) in ("relu", "leaky_relu", "selu")
    other = at_one if kinked else 1 / slope
    return min(at_one, other), max(at_one, other)


def _weight(layer: Layer) -> str:
    """The name of the parameter that a finding on the layer points to."""
    key = "out_proj.weight" if isinstance(layer.module, nn.MultiheadAttention) else "weight"
    return f"{layer.name}.{key}" if layer.name else key


def _span(layers: list[Layer]) -> str:
    """The names of the first and the last weight."""
    first, last = _weight(layers[0]), _weight(layers[-1])
    return first if first == last else f"{first} … {last}"


def _better(function: activations.Activation | None, depth: int) -> str:
    """What to draw by, in words: for the function where that keeps the signal, else with another function."""
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
    """Lines for each group of ``sick`` layers of a run; none where theory promises nothing."""
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
