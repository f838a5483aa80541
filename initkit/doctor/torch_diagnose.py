"""``diagnose``: a PyTorch module examined, and each remedy tried before it is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import SimpleNamespace

from numpy.typing import ArrayLike

from ..words import Language
from .report import KINDS, Finding, Report
from .torch_apply import applied
from .torch_examine import examined
from .torch_rules import WHOLE
from .torch_scale import on_a_copy
from .torch_watch import nn, torch

# How many lines are tried for one report: at first without ``apply``'s trial, which takes a few passes each;
# those that mend their finding are tried once more with it, which takes some 50.
LINES_TRIED = 24, 3


def diagnose(
    module: nn.Module,
    batch: torch.Tensor | tuple | Mapping,
    loss: ArrayLike | Callable[..., torch.Tensor] | None = None,
    *,
    lang: Language = "en",
) -> Report:
    """Run one ``batch`` through ``module`` and back: what the signal does, and what would mend it.

    The module runs in the mode that it is in; but a BatchNorm that has seen no batch, whose statistics are 0
    and 1, normalizes by this one in eval mode too, if it has two examples or more. The module's parameters,
    buffers, gradients and attributes, and all random streams, are afterwards as they were.

    Parameters
    ----------
    module : torch.nn.Module
        Wrappers such as ``torch.compile``'s and ``DataParallel`` are taken off.
    batch : torch.Tensor, tuple or mapping
        The module's input, or inputs, or inputs by name, as Hugging Face's tokenizers return them;
        examples lie along the first axis.
    loss : labels, callable or None
        Labels, for softmax cross-entropy: classes, or each class's probability; or, for every other loss, a
        function of the output that returns a scalar, taken as a mean over the batch (so its gradient is
        multiplied by the number of examples); or None: the way back then starts from the loss that the module
        returns, as Hugging Face's do when they are given labels, else from a random gradient with variance 1,
        the same one every time.
    lang : {"en", "zh"}
        The language that the report speaks.

    Returns
    -------
    Report
        ``signals`` has an entry for every layer that ran: Linear, Conv, Embedding, MultiheadAttention,
        normalizations, each layer of an RNN, LSTM or GRU ("rnn.l0", "rnn.l1"), and any other module with
        parameters of its own and none below. In order of execution: ``q`` of its output, and ``grad_var``, of
        one example's loss with respect to it, NaN in layers that only another output uses. Where the output
        goes into exactly one activation, a module or a function, the entries on activations are that one's;
        else ``saturated`` and ``dead`` are NaN, and ``activation_mean`` and ``activation_var`` the output's
        own. ``predicted`` is theory's, where the layers are a chain of Linear with one activation; else None.
        ``coverage`` says which layers were looked at and which not; ``notes``, what looks odd and is meant
        so. ``facts`` are told of a plain net: one chain of Linear or Conv layers as they were drawn, four or
        more before the output layer, with one activation, no norm and no skip. These are its phase, with χ₁
        and ξ_c beside its depth (``ik.phase``); from ten hidden layers on, how evenly the Jacobian between
        the first and the last passes directions on, by random probes (Pennington et al. 2017); and the sum of
        1/width where it is above ½ (Hanin & Rolnick 2018).

    Raises
    ------
    TypeError
        For what is no module or no batch.
    ValueError
        For an empty batch, one that is not finite, a loss that does not fit, parameters without values, or
        checkpointing that hides the gradients.
    Exception
        Whatever the module raises.
    """
    inputs, report = examined(module, batch, loss, lang)
    return replace(report, findings=_tried(report, module, inputs, loss))


def assert_healthy(
    module: nn.Module,
    batch: torch.Tensor | tuple | Mapping,
    loss: ArrayLike | Callable[..., torch.Tensor] | None = None,
    *,
    allow: Collection[str] = (),
    lang: Language = "en",
) -> None:
    """Raise AssertionError, with the whole report as its text, where ``diagnose`` finds something.

    For a test suite: ``assert_healthy(Net(), next(iter(loader)))`` fails when a change of the code leaves a
    layer out of the graph, draws it at a wrong scale, or feeds it raw pixels. Where no layer can be watched,
    as in a lone ``GRUCell``, nothing is found and nothing fails.

    Parameters
    ----------
    module, batch, loss, lang
        As ``diagnose`` takes them.
    allow : collection of str
        Kinds of findings that do not fail, as ``Report.to_dict`` lists them.

    Raises
    ------
    AssertionError
        Where there is a finding of another kind.
    ValueError
        For an unknown kind, and whatever ``diagnose`` raises.

    Examples
    --------
    >>> from torch import nn
    >>> assert_healthy(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), torch.randn(32, 8))
    """
    allow = (allow,) if isinstance(allow, str) else tuple(allow)
    if unknown := sorted(set(allow) - set(KINDS)):
        raise ValueError(f"allow must hold kinds of findings, {', '.join(KINDS)}; not {', '.join(unknown)}")
    report = diagnose(module, batch, loss, lang=lang)
    if any(finding.kind not in allow for finding in report.findings):
        raise AssertionError(str(report))


def _tried(report: Report, module: nn.Module, inputs: tuple | dict, loss) -> tuple[Finding, ...]:
    """The findings, each with the first of its lines that removes it and brings no other, or None.

    Each line is run, the module is examined again, and all is put back as it was. A line's ``batch`` is the
    one that the module was examined with.
    """
    before = {(f.kind, f.tensor) for f in report.findings}
    seen: tuple[dict[str, set | None], ...] = ({}, {})

    def after(line: str, trial: bool) -> set | None:
        of = seen[trial]
        if line not in of:
            of[line] = _after(line, module, inputs, loss, trial) if len(of) < LINES_TRIED[trial] else None
        return of[line]

    def mends(line: str, finding: Finding) -> bool:
        has_trial = "(model, batch" in line or line in WHOLE
        lefts = (after(line, trial) for trial in (False, True)[: 1 + has_trial])
        return all(left is not None and left <= before - {(finding.kind, finding.tensor)} for left in lefts)

    every = dict.fromkeys(line for f in report.findings for line in _lines_of(f) if line not in WHOLE)
    found = []
    for f in report.findings:
        line = next((line for line in _in_turn(_lines_of(f), every) if mends(line, f)), None)
        found.append(replace(f, code=_with_loss(line, loss)))
    return tuple(found)


def _in_turn(own: tuple[str, ...], every: dict[str, None]) -> tuple[str, ...]:
    """The lines to try: a finding's own for some layers, those of all findings, its own for the whole model.

    Another finding's line may mend this one too, as two may have one cause.
    """
    narrow = [line for line in own if line not in WHOLE]
    return (*narrow, *(every if own else ()), *(line for line in own if line in WHOLE))


def _lines_of(finding: Finding) -> tuple[str, ...]:
    """The lines to try, without the loss: ``code`` holds them until one has been chosen."""
    return (finding.code,) if isinstance(finding.code, str) else finding.code or ()


def _with_loss(line: str | None, loss) -> str | None:
    """The line; where it calls ``apply`` with the batch, with the loss that was given."""
    return line if loss is None or line is None else line.replace("(model, batch", "(model, batch, loss=loss")


def _after(line: str, module, inputs: tuple | dict, loss, trial: bool) -> set | None:
    """What is found after the line has run, with or without the trial of ``apply``; None where it fails."""
    doctor = SimpleNamespace(apply=functools.partial(applied, rng=0, trial=trial))
    names = {"model": module, "torch": torch, "batch": inputs, "loss": loss}
    names["initkit"] = SimpleNamespace(doctor=doctor)
    with torch.inference_mode(False), on_a_copy(module):
        torch.manual_seed(0)  # its stream is put back as well
        try:
            exec(_with_loss(line, loss), names)
            return {(f.kind, f.tensor) for f in examined(module, inputs, loss, named=False)[1].findings}
        except (ValueError, TypeError, RuntimeError, AttributeError):  # a shape that the scheme cannot fill
            return None
