"""``apply``: initialize a PyTorch module in place, each weight by what follows it."""

from __future__ import annotations

import difflib
import fnmatch
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import activations, initializers, sampling
from ..arguments import RNGLike
from ..fans import fans
from ..signals import KEPT
from ..words import Language, text
from .bias_evidence import trained_by_bias
from .identify import Identification, of_scan
from .report import Report
from .scan import scan_array
from .torch_examine import examined, wrong
from .torch_rules import axes_of, call_of, orthogonal_in_place_of, rule_of
from .torch_scale import first_and_last, on_a_copy, probe, rescale, scale_of, watched

# isort: off
from .torch_watch import (
    EMBEDDINGS, LINEAR, RECURRENT, as_it_was, checked, each_parameter, following, is_linear, nn, numpy_of,
    torch, unwrapped, weight_axes,
)  # fmt: skip

TOO_LARGE = KEPT**2  # a layer's mean square from which on a module is not well, though nothing is found
# Findings on a layer by itself: to draw that one anew mends it.
ALONE = {"all_zero", "symmetric_rows", "dead_rows", "dead_units", "identical_layers"}


@dataclass(frozen=True)
class Applied:
    """What ``apply`` did. Prints as a line a parameter.

    Attributes
    ----------
    done : dict of str
        By a parameter's name: the call that it was drawn by, and what it was then multiplied by.
    left : tuple of str
        Parameters that stay as they were, as nothing is known of them.
    unseen : tuple of str
        Weights after which no activation is known, of layers that were not seen to run: they were taken for
        linear layers.
    kept : dict of tuple
        Names of parameters that stay as they were, by reason: "frozen", "trained".
    verdict : {"drawn", "well", "worse"}
        "well": nothing is found wrong with the module as it is; "worse": drawn anew it would start, or train,
        worse. Then nothing was written, and ``done`` is empty.
    losses : tuple or None
        ((first, last) before, (first, last) after): the loss at first and after a few steps of Adam on the
        batch, of the module as it was and as it would be. None where it was not tried.
    lang : {"en", "zh"}
        The language that it speaks.
    """

    done: dict[str, str]
    left: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    lang: Language = "en"
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    verdict: Literal["drawn", "well", "worse"] = "drawn"
    losses: tuple[tuple[float, float], tuple[float, float]] | None = None

    def __str__(self):
        width = max(map(len, self.done), default=0)
        lines = [f"{name:{width}}  {call}" for name, call in self.done.items()]
        if self.verdict != "drawn":
            lines.append(text(f"doctor.torch.{self.verdict}", self.lang))
        for key, names in (*self.kept.items(), ("left", self.left), ("unseen", self.unseen)):
            if names:
                lines.append(text(f"doctor.torch.{key}", self.lang, names=", ".join(names)))
        if self.losses is not None:
            (a, b), (c, d) = self.losses
            numbers = {"first": a, "last": b, "new_first": c, "new_last": d}
            numbers = {k: f"{v:.3g}" for k, v in numbers.items()}
            lines.append(text("doctor.torch.losses", self.lang, **numbers))
        return "\n".join(lines)

    __repr__ = __str__


def apply(
    module: nn.Module,
    batch: torch.Tensor | tuple | Mapping | str | None = None,
    scheme: str = "auto",
    rng: RNGLike = None,
    *,
    loss: ArrayLike | Callable[..., torch.Tensor] | None = None,
    only: str | Iterable[str] | None = None,
    skip: str | Iterable[str] | None = None,
    lang: Language = "en",
) -> Applied:
    """Initialize ``module`` in place, each weight by what follows it, and never for the worse.

    With a ``batch``, a module in which ``diagnose`` finds nothing is left as it is. Else Linear and Conv
    layers become orthogonal, with bias 0, and in one pass each is scaled to its mean square, part of a unit's
    mean is taken out of its bias, a branch of a residual stream begins small, and so does the output, so that
    the loss begins near ln C (``torch_scale.rescale``).

    Without a batch they are drawn by ``he_normal`` with the activation's gain, where signals reach no upper
    bound of it (ReLU, ReLU6, Leaky ReLU, GELU, SiLU, Hardswish, ELU, SELU, Mish, Softplus); else, and where
    no activation follows, by ``xavier_normal``. A ConvTranspose has its fan_in on axis 0. If the module runs
    on noise that fits its first layer, activations called in ``forward`` are seen, and what is then off by
    more than a factor of 3, by strides or pooling say, is scaled. If it does not, the activation is the one
    registered next, with at most norms, dropout and pooling between.

    Attention: ``xavier_normal``, query, key and value each by itself. Recurrent layers, gate by gate:
    ``xavier_normal`` for the input, ``orthogonal`` for the state. Embeddings: N(0, 0.02²), as GPT-2's, where
    a norm or a tied output comes later, else N(0, 1), as PyTorch's; the padding row 0. Norms: 1 and 0.
    Biases: 0. Weight norm: its length is that of the drawn direction. The rest is left as it is.

    Where all findings are on layers by themselves (units alike, dead or all zero, layers identical to the
    last bit), these layers alone are drawn anew; if that measures worse, all are.

    Left as they are, and named: frozen parameters; and layers that have been trained, which ``identify`` and
    their biases tell, unless ``only`` names them. Then the module as it was and as it would be are both
    trained, for a few steps of Adam on the batch: if the new one starts or trains worse, nothing is written.
    Worse is a loss above ``ℓ + 0.05·abs(ℓ) + 0.1·u``, where ℓ is the old one; on noise, which says little,
    above ``ℓ + 0.5·abs(ℓ) + 0.5·u``. The unit u is the larger of the old module's losses, before and after
    these steps, in absolute value, but at most 1.

    Parameters
    ----------
    module : torch.nn.Module
    batch : torch.Tensor, tuple, mapping or str, optional
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
        For an unknown scheme or name, parameters without values, shapes that the scheme cannot fill, and
        labels without their batch or that do not fit the output. Then nothing is written.
    """
    return applied(module, batch, scheme, rng, loss=loss, only=only, skip=skip, lang=lang)


def applied(
    module, batch=None, scheme="auto", rng=None, *, loss=None, only=None, skip=None, lang="en", trial=True
) -> Applied:
    """As ``apply``. Without ``trial``, what is drawn is written unless nothing is wrong with the module."""
    text("doctor.clean", lang)  # raises ValueError for an unknown language
    module = unwrapped(module)
    checked(module)
    if isinstance(batch, str):
        batch, scheme = None, batch
    if scheme != "auto" and (not isinstance(scheme, str) or scheme not in initializers.REGISTRY):
        names = ", ".join(("auto", *initializers.REGISTRY))
        raise ValueError(f"scheme must be one of {names}, not {scheme!r}")
    if batch is None and loss is not None and not callable(loss):
        raise ValueError(
            "loss: labels need the batch that they are of; pass it as batch, or a function as loss"
        )
    rng = sampling.generator(rng)
    asked = only is not None
    chosen = _named(module, "only", only) - _named(module, "skip", () if skip is None else skip)
    found = {} if asked else _identified(module)
    kept = _kept(module, chosen, found)
    free = chosen.difference(*kept.values())
    inputs, report, sick = None, None, set()
    if batch is not None:
        inputs, report = examined(module, batch, loss, named=False)
    elif scheme == "auto" and not any(p.is_inference() for p in module.parameters()):
        with torch.inference_mode(False), as_it_was(module):
            inputs = probe(module)
        if inputs is not None and not asked and _by_choice(found):
            report = examined(module, inputs, named=False)[1]
    if report is not None and scheme == "auto" and not asked:
        if _is_well(report):
            return Applied({}, lang=lang, kept=kept, verdict="well")
        sick = _of_layers(report, free)
    if inputs is None:
        done, left, unseen, new = _drawn(module, scheme, rng, following(module), free)
        _write(module, new)
        return Applied(done, left, unseen, lang, kept)
    exact = batch is not None
    judged = trial and (exact or not asked)
    with torch.inference_mode(False):
        if judged:
            with on_a_copy(module):
                before = first_and_last(module, inputs, loss, exact)
        for wanted in (sick, free) if sick else (free,):
            with on_a_copy(module):
                done, left, unseen, new, last = _redrawn(module, inputs, scheme, rng, wanted, exact)
                losses = (before, first_and_last(module, inputs, loss, exact)) if judged else None
            flat = last is None or last.z.ndim < 4
            if not losses or not _worse(*losses, sure=exact and (loss is not None or flat)):
                break
        else:
            return Applied({}, left, (), lang, kept, "worse", losses)
    _write(module, new)
    return Applied(done, left, unseen, lang, kept, losses=losses)


def _redrawn(module, inputs, scheme, rng, wanted, exact):
    """Draw the parameters named ``wanted`` anew, by what one pass shows. The module is a copy.

    Returns what ``_drawn`` does, and the last layer of the pass, if one ran.
    """
    layers, heads = watched(module, inputs)
    follows = following(module)
    for layer in layers:
        if layer.activation not in (None, activations.identity) or follows.get(id(layer.module)) is None:
            follows[id(layer.module)] = layer.activation or activations.identity
    done, left, unseen, new = _drawn(module, scheme, rng, follows, wanted, exact)
    _write(module, new)
    written = {name: p for name, _, _, p in each_parameter(module) if name in new}
    if scheme == "auto":
        factors = rescale(module, inputs, layers, heads, {id(p) for p in written.values()}, exact)
        for name, p in written.items():
            done[name] += f" × {factors[id(p)]:.3g}" if id(p) in factors else ""
    new = {name: p.detach().clone() for name, p in written.items()}
    return done, left, unseen, new, layers[-1] if layers else None


def _is_well(report: Report) -> bool:
    """Whether nothing is found, and no layer's output is as large as at the end of a stream that explodes."""
    return not report.findings and (report.signals is None or bool(np.nanmax(report.signals.q) < TOO_LARGE))


def _of_layers(report: Report, names: set[str]) -> set[str]:
    """Those of the names that belong to layers with findings; none if a finding is not on named layers."""
    sick: list[str] = []
    for f in report.findings:
        places = f.tensor.split(" … ")
        unnamed = len(places) > 1 and f.fields.get("count") != len(places)
        if f.kind not in ALONE or "alike" in f.fields or unnamed:
            return set()
        sick += places
    stems = {place.rpartition(".")[0] for place in sick}
    return {name for name in names if name.rpartition(".")[0] in stems}


def _worse(before: tuple[float, float], after: tuple[float, float], sure: bool) -> bool:
    """Whether the loss at first, or after the trial's steps, is above what it was.

    ``sure``: it was measured on the module's own batch, by a loss that starts near ln C. Else, on noise or
    with noise as the target, it says little, and must be half as much again.
    """
    share, slack = (0.05, 0.1) if sure else (0.5, 0.5)
    slack *= min(1, max(map(abs, before)))
    return any(new > old + share * abs(old) + slack for old, new in zip(before, after, strict=True))


# Which parameters ----------------------------------------------------------------------------------


def _named(module: nn.Module, argument: str, wanted) -> set[str]:
    """The names of the parameters that ``wanted`` names, by themselves or by their module; None: of all."""
    names = {name for name, *_ in each_parameter(module)}
    if wanted is None:
        return names
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    found = set()
    for pattern in patterns:
        hit = {n for n in names if any(fnmatch.fnmatchcase(n, f"{pattern}{end}") for end in ("", ".*"))}
        if not hit:
            close = difflib.get_close_matches(str(pattern), names | {n.rpartition(".")[0] for n in names})
            raise ValueError(
                f"{argument} must name parameters or modules of the module, not {pattern!r}"
                + (f"; close are {', '.join(close)}" if close else "")
            )
        found |= hit
    return found


def _weight_norms(module: nn.Module) -> dict[int, tuple[nn.Module, nn.Parameter]]:
    """By id of a direction v: its layer, and its length g, of weight = g·v/‖v‖ (Salimans & Kingma 2016)."""
    found = {}
    for m in module.modules():
        if isinstance(m, LINEAR) and m._parameters.get("weight") is None:
            g = scale_of(m)
            if g is not None:
                v = m._parameters.get("weight_v")
                found[id(m.parametrizations.weight.original1 if v is None else v)] = m, g
    return found


def _identified(module: nn.Module) -> dict[str, Identification]:
    """By name: what the layers' weights are samples of, but for those in which something is wrong."""
    normed, found = _weight_norms(module), {}
    lengths = {id(g) for _, g in normed.values()}
    for name, m, key, p in each_parameter(module):
        layer, _ = normed.get(id(p), (m, None))
        if not (is_linear(layer) or isinstance(layer, (*RECURRENT, nn.MultiheadAttention))) or p.ndim < 2:
            continue
        if ("weight" not in key and id(p) not in normed) or id(p) in lengths:
            continue
        if not p.is_floating_point() or not p.numel():
            continue
        w = numpy_of(p)
        s = scan_array(w)
        if not any(wrong(name, layer, w, s)):
            of_layer = (layer.hidden_size,) if isinstance(layer, RECURRENT) else ()
            found[name] = of_scan(s, p.shape, weight_axes(layer), of_layer)
    return found


def _kept(
    module: nn.Module, chosen: set[str], found: dict[str, Identification]
) -> dict[str, tuple[str, ...]]:
    """Names of the chosen parameters that are to stay, by reason.

    Every layer counts as trained from the first to the last whose weight, or bias, is no fresh draw: some
    between them may have moved too little to be told. One alone may be a false alarm, and is left as it is
    all the same.
    """
    order = list(each_parameter(module))
    frozen = tuple(n for n, _, _, p in order if n in chosen and not p.requires_grad)
    biases = {}
    for prefix, m in module.named_modules():
        name = f"{prefix}.weight" if prefix else "weight"
        bias = m._parameters.get("bias") if is_linear(m) else None
        if name in found and bias is not None and bias.numel():
            biases[name] = scan_array(numpy_of(bias)), (fans(m.weight.shape, **weight_axes(m)).fan_in,)
    trained = {name for name, one in found.items() if one.verdict == "not_fresh"}
    if found:
        trained |= trained_by_bias(biases, lambda _: ())
    at = [k for k, (name, *_) in enumerate(order) if name in trained]
    if not at:
        return {"frozen": frozen} if frozen else {}
    stem = order[at[-1]][0].rpartition(".")[0]
    last = max(k for k, (name, *_) in enumerate(order) if name.rpartition(".")[0] == stem)
    span = [n for n, *_ in order[at[0] : last + 1] if n in chosen and n not in frozen]
    kept = {"frozen": frozen, "trained": tuple(span)}
    return {reason: names for reason, names in kept.items() if names}


def _by_choice(found: dict[str, Identification]) -> bool:
    """Whether somebody has chosen how the module starts: not all is PyTorch's default."""
    return any(
        one.is_fresh and all(m.scheme != "torch_default" for m in one.matches) for one in found.values()
    )


# What to draw --------------------------------------------------------------------------------------


def _write(module: nn.Module, new: dict[str, torch.Tensor]) -> None:
    """Write these values, by name, into the module's parameters."""
    with torch.no_grad():
        for name, _, _, p in each_parameter(module):
            if name in new:
                p.copy_(new[name])


def _drawn(module, scheme, rng, follows, free: set[str], measured: bool = False):
    """Draw the parameters named ``free``, without writing them.

    Returns the calls by name; the names of parameters of which nothing is known; those of weights after which
    no activation is seen; and the new values by name.
    """
    done, left, unseen, new = {}, [], [], {}
    normed = _weight_norms(module)
    lengths = {id(g) for _, g in normed.values()}
    for name, m, key, p in each_parameter(module):
        if name not in free or id(p) in lengths:
            continue
        layer, length = normed.get(id(p), (m, None))
        if length is not None:
            key = "weight"
        rule = rule_of(layer, key, p, follows, module) if p.is_floating_point() else None
        if rule and measured and is_linear(layer) and key == "weight":
            rule = orthogonal_in_place_of(rule, layer)
        if scheme != "auto" and p.ndim > 1 and p.is_floating_point():
            rule = scheme, axes_of(scheme, rule[1] if rule else {}), rule[2] if rule else 1
        elif rule and is_linear(layer) and key == "weight" and follows.get(id(layer), layer) is None:
            unseen.append(name)
        if rule is None:
            left.append(name)
            continue
        call, arguments, blocks = rule
        done[name] = call_of(call, arguments)
        shape = (p.shape[0] // blocks, *p.shape[1:])
        dtype = np.float64 if p.dtype == torch.float64 else np.float32
        draw = functools.partial(initializers.get(call), shape, **arguments, rng=rng, dtype=dtype)
        try:
            array = [draw() for _ in range(blocks)]
        except (TypeError, ValueError) as error:
            raise type(error)(f"scheme {call!r} cannot fill {name}: {error}") from None
        array = torch.from_numpy(np.concatenate(array))
        if isinstance(m, EMBEDDINGS) and m.padding_idx is not None:
            array[m.padding_idx] = 0
        new[name] = array
        if length is not None:
            summed = [k for k in range(p.ndim) if length.ndim != p.ndim or length.shape[k] != p.shape[k]]
            norms = torch.linalg.vector_norm(array, dim=summed, keepdim=True) if summed else array.abs()
            its_name = next(n for n, _, _, q in each_parameter(module) if q is length)
            new[its_name], done[its_name] = norms.reshape(length.shape), "‖v‖"
    return done, tuple(left), tuple(unseen), new
