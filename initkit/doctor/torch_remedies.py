"""Remedies that were tried: each line is run, the module examined again, and all put back as it was."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

from .report import Finding, Report
from .torch_apply import applied
from .torch_scale import on_a_copy
from .torch_watch import LINEAR, nn, torch

WHOLE = "initkit.doctor.apply(model)", "initkit.doctor.apply(model, batch)"
MOST = 24  # lines that are tried for one report: each costs a pass forward and back, or more


def tried(report: Report, examine, module: nn.Module, inputs: tuple | dict, loss) -> tuple[Finding, ...]:
    """The findings, each with the first of its lines after which it is gone and no other has come, or None.

    A line's ``batch`` is the one that the module was examined with. ``examine``: ``examined``, which makes a
    report of the module.
    """
    before = {(f.kind, f.tensor) for f in report.findings}
    seen: dict[str, set | None] = {}

    def after(line: str) -> set | None:
        if line not in seen:
            seen[line] = _after(line, examine, module, inputs, loss) if len(seen) < MOST else None
        return seen[line]

    def mends(line: str, finding: Finding) -> bool:
        left = after(line)
        return left is not None and left <= before - {(finding.kind, finding.tensor)}

    every = dict.fromkeys(line for f in report.findings for line in lines_of(f) if line not in WHOLE)
    return tuple(
        replace(f, code=next((line for line in _in_turn(lines_of(f), every) if mends(line, f)), None))
        for f in report.findings
    )


def _in_turn(own: tuple[str, ...], every: dict[str, None]) -> tuple[str, ...]:
    """A finding's narrow lines, those of the others, as one cause may show twice, then its wide ones."""
    narrow = [line for line in own if line not in WHOLE]
    return (*narrow, *(every if own else ()), *(line for line in own if line in WHOLE))


def lines_of(finding: Finding) -> tuple[str, ...]:
    """The lines to try. Until then, ``code`` holds them in their order."""
    return (finding.code,) if isinstance(finding.code, str) else finding.code or ()


def _after(line: str, examine, module, inputs: tuple | dict, loss) -> set | None:
    """What is found after the line has run; None where it fails."""
    doctor = SimpleNamespace(apply=functools.partial(applied, examine, rng=0))
    names = {"model": module, "torch": torch, "batch": inputs, "initkit": SimpleNamespace(doctor=doctor)}
    with torch.inference_mode(False), on_a_copy(module):
        torch.manual_seed(0)  # its stream is put back as well
        try:
            exec(line, names)
            return {(f.kind, f.tensor) for f in examine(module, inputs, loss, named=False)[1].findings}
        except (ValueError, TypeError, RuntimeError, AttributeError):  # a shape that the scheme cannot fill
            return None


def applied_to(module: nn.Module, sick: Sequence[str]) -> tuple[str, ...]:
    """Calls of ``apply`` for the layers with these names, the narrowest first."""
    every = {name for name, m in module.named_modules() if isinstance(m, LINEAR)}
    if "" in sick or len(every - set(sick)) < min(3, len(every)):  # all but the first and the last
        return WHOLE
    first = sick[0].split(".")
    for k in range(1, len(first)):
        stem = ".".join(first[:k])
        if set(sick) == {name for name in every if name.startswith(stem + ".")}:
            sick = [stem]
            break
    only = repr(sick[0]) if len(sick) == 1 else repr(list(dict.fromkeys(sick)))
    return (
        f"initkit.doctor.apply(model, only={only})",
        f"initkit.doctor.apply(model, batch, only={only})",
        *WHOLE,
    )
