"""What the doctor says: a picture of the signals, findings by cause, and last a table of the tensors."""

from __future__ import annotations

import base64
import html
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..signals import Signals
from ..words import Language, table, text
from .identify import Identification
from .scan import Scan

NAMED = 3  # names of a group that is left out, in print; the JSON has all
BESIDE = ("optimizer", "ema")  # roles whose tensors repeat the model's, and are not printed as rows
SCHEMA = 2  # of the JSON; a field that goes or changes its meaning makes it 3
WIDTH = 80  # columns of a terminal
LINES = 24  # of a terminal; a longer table is folded in a notebook
ROWS = 10  # of a printed table: a longer one lists judged tensors only, and no more of them

# Every kind of finding, the gravest first, and its cause.
_CAUSE = {
    "non_finite": "numbers", "overflow": "numbers", "input_scale": "inputs", "all_zero": "units",
    "symmetric_rows": "units", "not_learning": "learning", "fresh_among_trained": "learning",
    "stream_explodes": "scale", "stream_vanishes": "scale", "signal_vanishes": "scale",
    "signal_explodes": "scale", "layer_gain": "scale", "gradient_vanishes": "gradient",
    "gradient_explodes": "gradient", "first_loss": "inputs", "dead_units": "flat", "dead_rows": "units",
    "weight_scale": "scale", "saturated_outputs": "flat", "scheme_activation_mismatch": "scale",
    "scale_outlier": "scale", "lone_outlier": "scale", "transposed_fans": "scale", "forget_bias": "gradient",
    "identical_layers": "units", "off_recipe": "file", "only_in_one": "file", "other_form": "file",
    "other_law": "file", "replica_differs": "file",
}  # fmt: skip
KINDS = tuple(_CAUSE)
"""Every kind of finding, the gravest first."""

CAUSES = {cause: tuple(k for k in KINDS if _CAUSE[k] == cause) for cause in dict.fromkeys(_CAUSE.values())}
"""The kinds of findings by cause; those of one cause are printed together."""

# What looks odd and is meant so.
NOTES = ("zero_branch", "zero_gate", "zero_head", "icnr", "frozen", "not_in_loss")
ALIKE = 3  # so many findings, or rows, that differ only in the block's number are merged
LEAST = 24  # columns for what a tensor was drawn by; if fewer are left, names get lines of their own
ITEM = "  · "  # how a line of a list begins, in words.toml's doctor.group too


@dataclass(frozen=True)
class Finding:
    """Something that is wrong; or, as a note or a fact, something worth knowing.

    Attributes
    ----------
    kind : str
        What: one of the kinds that ``Report.to_dict`` lists.
    tensor : str
        Where: a tensor's name, or the first and the last of several.
    fields : dict
        How much: numbers and names that ``message`` fills in.
    code : str or None
        A line of PyTorch that mends it, where there is one.
    """

    kind: str
    tensor: str
    fields: dict = field(default_factory=dict)
    code: str | None = None

    @property
    def cause(self) -> str | None:
        """One of ``CAUSES``; None of a note or a fact."""
        return _CAUSE.get(self.kind)

    def message(self, lang: Language = "en") -> str:
        """What was seen, in a reader's language."""
        why = f".{self.fields['why']}" if "why" in self.fields else ""
        told = self._text(f"{self.kind}{why}", lang)
        if "means" in self.fields:
            told += text(f"doctor.means.{self.fields['means']}", lang)
        alike = self.fields.get("alike")
        return told + text("doctor.alike", lang, count=alike) if alike else told

    def meaning(self, lang: Language = "en") -> str | None:
        """What it means for training; None of a note or a fact."""
        return self._beside("meaning", lang)

    def remedy(self, lang: Language = "en") -> str | None:
        """What to do about it, in words, where there are some; ``code`` does it."""
        return self._beside("remedy", lang)

    def _beside(self, part: str, lang: Language) -> str | None:
        """The text for this kind with this reason, else the one for the kind."""
        keys = f"{part}.{self.kind}.{self.fields.get('why')}", f"{part}.{self.kind}"
        return next((self._text(key, lang) for key in keys if f"doctor.{key}" in table()), None)

    def _text(self, key: str, lang: Language) -> str:
        fields = {k: v.message(lang) if isinstance(v, Identification) else v for k, v in self.fields.items()}
        return text(f"doctor.{key}", lang, **fields)

    def to_dict(self, lang: Language = "en") -> dict:
        """What ``Report.to_dict`` says of "findings"; of notes and facts, kind, tensor and message."""
        said = {"kind": self.kind, "cause": self.cause, "tensor": self.tensor, "message": self.message(lang)}
        said |= {"meaning": self.meaning(lang), "remedy": self.remedy(lang), "code": self.code}
        return {key: value for key, value in said.items() if value is not None}


def span(names: Iterable[str]) -> str:
    """The first name and the last, as a finding's place."""
    names = list(names)
    return names[0] if names[0] == names[-1] else f"{names[0]} … {names[-1]}"


def identical_layers(alike: Sequence[Sequence[str]]) -> list[Finding]:
    """One finding for groups of weights that are equal to the last bit; none where there is no group."""
    if not alike:
        return []
    fields = {"count": sum(map(len, alike)), "one": alike[0][0], "other": alike[0][1]}
    return [Finding("identical_layers", f"{alike[0][0]} … {alike[-1][-1]}", fields)]


def gravest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of ``KINDS``, or notes in theirs; those of one kind as they came."""
    order = (*KINDS, *NOTES)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.kind)))


def as_told(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first; findings that repeat in every block are merged, in the words of the first.

    A merged finding has in its ``fields`` "alike": how many it stands for.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, re.sub(r"\d+", "#", finding.tensor)), []).append(finding)
    told: list[Finding] = []
    for (_, place), those in groups.items():
        if len(those) < ALIKE or "#" not in place:
            told += those
            continue
        first, last = (re.split(" … ", those[k].tensor)[k] for k in (0, -1))
        fields = {**those[0].fields, "alike": len(those)}
        told.append(replace(those[0], tensor=f"{first} … {last}", fields=fields))
    return gravest_first(told)


def once(findings: Sequence[Finding]) -> list[Finding]:
    """As they came; findings with the same words in every block are merged, as ``as_told`` does it."""
    groups: dict[tuple, list[Finding]] = {}
    keys = [(f.kind, re.sub(r"\d+", "#", f.tensor), str(f.fields), f.code) for f in findings]
    for key, finding in zip(keys, findings, strict=True):
        groups.setdefault(key, []).append(finding)
    told: list[Finding] = []
    for key, finding in zip(keys, findings, strict=True):
        if len(groups[key]) < ALIKE:
            told.append(finding)
        elif finding is groups[key][0]:
            told += as_told(groups[key])
    return told


@dataclass(frozen=True)
class Tensor:
    """One tensor of a report.

    Attributes
    ----------
    name : str
    shape : tuple of int
    fan_in, fan_out : int or None
        None for fewer than two axes.
    std : float or None
        Of the entries; None where some are not finite, or none was read.
    gain : float or None
        √(mean of w²·fan_in), by which a signal's root mean square grows; None where the entries or the fan_in
        are missing.
    found : Identification
        Which initializer it is a sample of.
    role : str or None
        Of ``audit``: what it is for, one of ``roles.Role``.
    other : Tensor or None
        Of ``audit``, where nothing tells the layout: the same tensor, read with its units on the last axis.
    """

    name: str
    shape: tuple[int, ...]
    fan_in: int | None
    fan_out: int | None
    std: float | None
    gain: float | None
    found: Identification
    role: str | None = None
    other: Tensor | None = None

    @classmethod
    def of(
        cls,
        name: str,
        shape: Sequence[int],
        fans: tuple[int | None, int | None],
        s: Scan | None,
        found: Identification,
        role: str | None = None,
    ) -> Tensor:
        """The row of a tensor with these fans and this scan, None where no entry was read."""
        std = None if s is None or s.non_finite else s.std
        gain = math.sqrt(s.mean_square * fans[0]) if fans[0] and std is not None else None
        return cls(name, tuple(shape), *fans, std, gain, found, role)

    def to_dict(self) -> dict:
        """As an entry of ``Report.to_dict()["tensors"]``."""
        best = self.found.matches[0] if self.found.matches else None
        return {
            "name": self.name,
            "shape": list(self.shape),
            "fan_in": self.fan_in,
            "fan_out": self.fan_out,
            "std": self.std,
            "gain": self.gain,
            "match": " or ".join(map(str, self.found.matches)) or None,
            "p_value": best.p_value if best else None,
            "verdict": self.found.verdict,
            **({"role": self.role} if self.role else {}),
            **({"other_layout": self.other.to_dict()} if self.other else {}),
            "law": {"scheme": law.scheme, **law.params} if (law := self.found.law) else None,
            "outliers": [list(far) for far in self.found.outliers],
        }


@dataclass(frozen=True)
class Coverage:
    """Which tensors of a file, or layers of a module, were judged, and which were not, and why.

    Attributes
    ----------
    judged : tuple of str
        Names: of tensors that are a layer's weight, or of layers that ran.
    left_out : dict
        Names by role, one of ``roles.Role``: what is no layer's weight. "unknown" are tensors without a
        matrix's shape of which nothing is known.
    unread : dict
        Names by reason: "quantized", "sparse", "empty", "integer" or "dtype".
    of : {"tensors", "layers"}
        What the names are of. Layers of ``diagnose`` are left out because they are "never_called"; are
        "skipped", by chance or in this mode, training or not; are "recurrent" (a cell, or fed with packed
        sequences); or return "no_tensor" of floating-point numbers that can be read: none, a sparse one, or
        one of torch.func's. "bare" are parameters that a module with layers below multiplies by itself,
        whose signal is not seen.
    open_layout : tuple of str
        Names, of those judged, whose layout nothing tells: no finding rests on one reading.
    """

    judged: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]
    unread: dict[str, tuple[str, ...]]
    of: Literal["tensors", "layers"] = "tensors"
    open_layout: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """As ``Report.to_dict()["coverage"]``."""
        lists = {key: {k: list(v) for k, v in getattr(self, key).items()} for key in ("left_out", "unread")}
        is_open = {"open_layout": list(self.open_layout)} if self.open_layout else {}
        return {"judged": list(self.judged), **lists, **is_open}

    def lines(self, lang: Language) -> list[str]:
        """In a reader's language; none where all tensors of a file were judged."""
        layers = self.of == "layers"
        groups = [(f"{'layer' if layers else 'role'}.{k}", v) for k, v in self.left_out.items()]
        groups += [(f"unread.{k}", v) for k, v in self.unread.items()]
        lines = []
        if self.open_layout:
            names = self.open_layout
            lines.append(text("doctor.open_layout", lang, count=len(names), names=_some(names)))
        if not groups and not layers:
            return lines
        total = len(self.judged) + sum(len(names) for _, names in groups)
        if not total:  # the verdict says it
            return lines
        said = "looked_at" if layers and groups else "looked_at_all" if layers else "judged"
        lines.append(text(f"doctor.{said}", lang, judged=len(self.judged), total=total))
        return lines + [_group(key, names, lang) for key, names in groups]


@dataclass(frozen=True)
class Comparison:
    """Of ``audit(against=)``: how the tensors differ from those of another file.

    Attributes
    ----------
    file : str
        The other's name.
    verdict : {"same", "same_recipe", "other"}
        Whether all is the same to the last bit, or drawn by one recipe with another seed.
    names : dict
        Names of tensors: "same" to the last bit, of all entries that were looked at; "other_seed": drawn
        alike, as far as their entries tell; of an "other_law" or scale; "differs", where neither is a draw;
        of "other_form", shape or dtype; "only_here", "only_there"; "not_read".
    """

    file: str
    verdict: Literal["same", "same_recipe", "other"]
    names: dict[str, tuple[str, ...]]

    def to_dict(self) -> dict:
        """As ``Report.to_dict()["against"]``."""
        lists = {key: list(names) for key, names in self.names.items()}
        return {"file": self.file, "verdict": self.verdict, **lists}

    def lines(self, lang: Language) -> list[str]:
        """In a reader's language."""
        first = text(f"doctor.against.is_{self.verdict}", lang, file=self.file)
        return [first, *(_group(f"against.{key}", names, lang) for key, names in self.names.items())]


@dataclass(frozen=True)
class Fit:
    """Of ``audit(recipe=)``: names of tensors that are as the recipe wants, that are not, and of others.

    Attributes
    ----------
    recipe : str
    as_wanted, off, not_named : tuple of str
    """

    recipe: str
    as_wanted: tuple[str, ...]
    off: tuple[str, ...]
    not_named: tuple[str, ...]

    def to_dict(self) -> dict:
        """As ``Report.to_dict()["recipe"]``."""
        lists = {key: list(getattr(self, key)) for key in ("as_wanted", "off", "not_named")}
        return {"name": self.recipe, **lists}

    def lines(self, lang: Language) -> list[str]:
        """In a reader's language."""
        named, unnamed = len(self.as_wanted) + len(self.off), len(self.not_named)
        fields = {"recipe": self.recipe, "count": len(self.as_wanted), "total": named}
        lines = [text("doctor.recipe", lang, **fields)]
        if unnamed:
            names = _some(self.not_named)
            lines.append(f"  {text('doctor.not_named', lang, count=unnamed, names=names)}")
        return lines


def _group(key: str, names: Sequence[str], lang: Language) -> str:
    """A line of a list: how many, what they are, and the first names."""
    what = text(f"doctor.{key}", lang)
    return f"  {text('doctor.group', lang, count=len(names), what=what, names=_some(names))}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:NAMED], *["…"] * (len(names) > NAMED)])


@dataclass(frozen=True)
class Report:
    """What ``audit`` and ``diagnose`` found. Prints itself in 80 columns, and shows itself in a notebook.

    The verdict comes first, then the findings by cause, what else was seen, and last the tensors; in a
    notebook all of it below the picture of the signals.

    Attributes
    ----------
    tensors : tuple of Tensor
        The rows of the table.
    findings : tuple of Finding
        What is wrong, the gravest first.
    signals : Signals or None
        Of ``diagnose``: what was measured, layer by layer.
    predicted : Signals or None
        Of ``diagnose``: what theory says, where it applies.
    layers : tuple of str
        The names of the layers that ``signals`` has entries for.
    lang : {"en", "zh"}
        The language that it speaks.
    coverage : Coverage or None
        Which tensors, or in ``diagnose`` which layers, were judged, and which not.
    notes : tuple of Finding
        What looks odd and is meant so, such as a branch that starts at zero.
    facts : tuple of Finding
        Of ``diagnose``: what theory says of a plain net as it starts, well or ill; see there.
    against : Comparison or None
        Of ``audit(against=)``: how the tensors differ from those of another file.
    recipe : Fit or None
        Of ``audit(recipe=)``: which tensors are as the recipe wants.
    """

    tensors: tuple[Tensor, ...]
    findings: tuple[Finding, ...]
    signals: Signals | None = None
    predicted: Signals | None = None
    layers: tuple[str, ...] = ()
    lang: Language = "en"
    coverage: Coverage | None = None
    notes: tuple[Finding, ...] = ()
    facts: tuple[Finding, ...] = ()
    against: Comparison | None = None
    recipe: Fit | None = None

    def to_dict(self) -> dict:
        """``{"schema": 2, "tensors": […], "findings": […]}``, and the other parts below where there are some.

        An entry of "tensors" has name, shape, fan_in, fan_out, std, gain, match, p_value, verdict, law and
        outliers. The verdict is "fresh"; "fresh_unnamed", where law is the scheme that draws so with its
        arguments; "too_few"; or "not_fresh", where the tensor or, in ``audit``, its layer's bias speaks
        against it. Where it is not "fresh", match and p_value are null. "outliers" lists lone entries as
        [row, column, value] of the tensor read as a matrix. In ``audit`` it has role too, one of "weight",
        "unknown", "bias", "norm_scale", "embedding", "buffer", "optimizer", "ema", "adapter", "quantization"
        and "other"; and other_layout, the entry of the other reading, where nothing tells its layout.

        An entry of "findings" has kind; cause, one of "numbers", "inputs", "units", "learning", "scale",
        "gradient", "flat" and "file"; tensor, where; message, what was seen; meaning, what that means for
        training; remedy in words, where there are some; and code where one line, which was tried, mends it.
        "notes" are like findings, of the kinds zero_branch, zero_gate, zero_head, icnr, frozen and
        not_in_loss.

        "facts" have kind, tensor, message and numbers. Of "phase": depth, the number of hidden layers;
        change, the square of the gradient in the first of them over that in the last; and phase, "ordered",
        "critical" or "chaotic", with chi_1 and xi_c, or null, with low and high, the least and the largest χ
        of a layer. Of "singular_values": directions, their number; effective, how many equal ones would give
        the same measurement; spread, Var[s²]/⟨s²⟩² of the singular values s; and probes. Of "finite_width":
        sum, Σ1/n of the hidden layers; depth; width, the least; and factor, e to the standard deviation of
        the gradient's log square.

        "coverage" has lists of names: judged, left_out by role, unread by reason, and, where there are such,
        open_layout, the tensors with other_layout; in ``diagnose`` the names are layers', and left_out is by
        reason. "against" has file, the other's name; verdict, one of "same", "same_recipe" and "other"; and
        lists of names: same, other_seed, other_law, differs, other_form, only_here, only_there, not_read.
        "recipe" has name and lists of names: as_wanted, off, not_named. "signals" has layers, q, grad_var,
        predicted_q and predicted_grad_var, with a number or null a layer.

        In ``to_json`` a number that is not finite is null.

        Kinds: of both, non_finite, all_zero, symmetric_rows, dead_rows, scheme_activation_mismatch,
        identical_layers; of ``audit``, fresh_among_trained, scale_outlier, lone_outlier, transposed_fans,
        against a recipe off_recipe, against another file only_in_one, other_form, other_law,
        replica_differs; of ``diagnose``, overflow, input_scale, not_learning, stream_explodes,
        stream_vanishes, signal_vanishes, signal_explodes, layer_gain, gradient_vanishes, gradient_explodes,
        first_loss, dead_units, weight_scale, saturated_outputs, forget_bias.
        """
        said = {
            "schema": SCHEMA,
            "tensors": [t.to_dict() for t in self.tensors],
            "findings": [f.to_dict(self.lang) for f in self.findings],
        }
        if self.notes:
            said["notes"] = [note.to_dict(self.lang) for note in self.notes]
        if self.facts:
            said["facts"] = [
                one.to_dict(self.lang) | {k: v for k, v in one.fields.items() if k not in ("why", "means")}
                for one in self.facts
            ]
        if self.coverage is not None:
            said["coverage"] = self.coverage.to_dict()
        if self.recipe is not None:
            said["recipe"] = self.recipe.to_dict()
        if self.against is not None:
            said["against"] = self.against.to_dict()
        if self.signals is not None:
            arrays = {"q": self.signals.q, "grad_var": self.signals.grad_var}
            if self.predicted is not None:
                arrays |= {f"predicted_{k}": getattr(self.predicted, k) for k in ("q", "grad_var")}
            lists = {k: None if a is None else [float(v) for v in a] for k, a in arrays.items()}
            said["signals"] = {"layers": list(self.layers), **lists}
        return said

    def to_json(self) -> str:
        """``to_dict`` as JSON, in one line."""
        return json.dumps(_finite(self.to_dict()), ensure_ascii=False, allow_nan=False)

    def _rows(self, fold: bool) -> tuple[list[list[str]], int]:
        """The head and the rows of the table, and how many rows are left out.

        ``fold``: tensors whose names differ in numbers alone share a row, and a long table is cut.
        """

        def both(t: Tensor, cell) -> str:
            cells = [cell(t)] + ([cell(t.other)] if t.other else [])
            return " | ".join(dict.fromkeys(cells))

        alike: dict[tuple, list[Tensor]] = {}
        for k, t in enumerate(self.tensors):
            if t.role not in BESIDE:
                fans = both(t, lambda t: "–" if t.fan_in is None else f"{t.fan_in} → {t.fan_out}")
                said = "×".join(map(str, t.shape)) or "1", fans, both(t, lambda t: t.found.message(self.lang))
                alike.setdefault((re.sub(r"\d+", "#", t.name) if fold else k, said), []).append(t)
        judged: list[bool] = []
        rows = [
            [text(f"doctor.{key}", self.lang) for key in ("name", "shape", "fans", "std", "gain", "match")]
        ]
        for (_, (shape, fans, match)), those in alike.items():
            for some in [those] if len(those) >= ALIKE else [[t] for t in those]:
                name = _name_of([t.name for t in some]) + (f" ×{len(some)}" if len(some) > 1 else "")
                one, std, gain = some[0], _number([t.std for t in some]), _number([t.gain for t in some])
                gain = both(one, lambda t: _number([t.gain])) if len(some) == 1 else gain
                rows.append([name, shape, fans, std, gain, match])
                judged.append(one.role in (None, "weight", "unknown"))
        if fold and len(judged) > ROWS:
            rows = [row for row, keep in zip(rows, [True, *judged], strict=True) if keep][: ROWS + 1]
        return rows, len(judged) - len(rows) + 1

    def _said(self) -> list[str]:
        """What comes after the findings."""
        lines = []
        for key, those in (("notes", self.notes), ("facts", self.facts)):
            if those:
                lines.append(text(f"doctor.{key}", self.lang))
                lines += [f"{ITEM}{one.tensor}: {one.message(self.lang)}" for one in those]
        for part in (self.recipe, self.against, self.coverage):
            lines += part.lines(self.lang) if part else []
        return lines

    def _verdict(self) -> str:
        if not self.findings:
            unseen = self.coverage is not None and self.coverage.of == "layers" and not self.coverage.judged
            return text(f"doctor.{'unwatched' if unseen else 'clean'}", self.lang)
        return text("doctor.findings", self.lang, count=len(self.findings))

    def _by_cause(self) -> dict[str, list[Finding]]:
        """The findings under the headings of their causes, that of the gravest first."""
        groups: dict[str, list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault(text(f"doctor.cause.{finding.cause}", self.lang), []).append(finding)
        return groups

    def _beside(self, finding: Finding) -> list[str]:
        """What a finding means and what to do, a line each."""
        means, remedy = finding.meaning(self.lang), finding.remedy(self.lang)
        lines = [text("doctor.means_line", self.lang, means=means)] if means else []
        return lines + ([text("doctor.remedy_line", self.lang, remedy=remedy)] if remedy else [])

    def _stream(self) -> list[str]:
        """The picture in words: a line for the signal, one for the gradient, each from start to end."""
        lines = []
        for what, key, way in (("signal", "q", 1), ("gradient", "grad_var", -1)):
            values, expected = (getattr(s, key, None) for s in (self.signals, self.predicted))
            if what == "gradient" and values is not None and (values == values).any():
                values = values[values == values]  # NaN: a layer that only another output uses
            if values is not None:
                ends = [f"{end:.2g}" for end in values[[0, -1]][::way]]
                fields = {"depth": len(self.layers), "one": self.layers[0], "other": self.layers[-1]}
                theory = ""
                if expected is not None:
                    those = [f"{end:.2g}" for end in expected[[0, -1]][::way]]
                    theory = text("doctor.theory", self.lang, start=those[0], end=those[1])
                fields |= {"start": ends[0], "end": ends[1], "theory": theory}
                lines.append(text(f"doctor.{what}_line", self.lang, **fields))
        return lines

    def told(self, every: bool = False) -> str:
        """The report as text, as ``print`` shows it.

        Parameters
        ----------
        every : bool
            Whether every tensor has a row of its own. Else three or more share a row if their names differ in
            numbers alone and all else is alike, and a long table has 10 rows, of tensors that were judged.
        """
        lines = [self._verdict()]
        for line in self._stream():
            lines += _wrapped(line)
        for cause, findings in self._by_cause().items():
            lines += ["", cause]
            for finding in once(findings):
                lines += _wrapped(f"{finding.tensor}: {finding.message(self.lang)}", "  ✗ ", 6)
                for line in self._beside(finding):
                    lines += _wrapped(line, "      ", 8)
                if finding.code:
                    lines += [f"      {text('doctor.tried_line', self.lang)}", f"        {finding.code}"]
        said = [line for one in self._said() for line in _wrapped(one, "", 4)]
        lines += [*([""] if said else []), *said]
        (head, *rows), more = self._rows(fold=not every)
        if rows:
            lines += ["", *_columns([head, *rows])]
        if more:
            lines += _wrapped(text("doctor.more_rows", self.lang, count=more))
        if self.findings and len(lines) > LINES:
            counts = {cause: len(those) for cause, those in self._by_cause().items()}
            told = (text("doctor.above_one", self.lang, cause=k, count=v) for k, v in counts.items())
            causes = text("doctor.comma", self.lang).join(told)
            lines += ["", *_wrapped(text("doctor.above", self.lang, count=len(self.findings), causes=causes))]
        return "\n".join(lines)

    def __str__(self):
        return self.told()

    __repr__ = __str__

    def _repr_html_(self):
        picture = "" if self.signals is None else self._picture()
        parts = [picture, f"<div role='status'>{html.escape(self._verdict())}</div>"]
        for cause, findings in self._by_cause().items():
            # No <h4>, which JupyterLab would list among the notebook's own.
            parts.append(
                f"<div role='heading' aria-level='4'><strong>{html.escape(cause)}</strong></div><ul>"
            )
            for finding in once(findings):
                seen = (
                    f"<code>{html.escape(finding.tensor)}</code>: {html.escape(finding.message(self.lang))}"
                )
                lines = self._beside(finding) + [text("doctor.tried_line", self.lang)] * bool(finding.code)
                told = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
                code = f"<pre>{html.escape(finding.code)}</pre>" if finding.code else ""
                parts.append(f"<li>{seen}{told}{code}</li>")
            parts.append("</ul>")
        for listed, lines in itertools.groupby(self._said(), lambda line: line.startswith(ITEM)):
            if listed:
                items = "".join(f"<li>{html.escape(line.removeprefix(ITEM))}</li>" for line in lines)
                parts.append(f"<ul>{items}</ul>")
            else:
                parts += [f"<div>{html.escape(line)}</div>" for line in lines]
        return f"<div lang='{self.lang}'>{''.join(parts)}{self._table()}</div>"

    def _table(self) -> str:
        """The tensors as HTML, folded where they are many; nothing where there are none."""
        (head, *rows), _ = self._rows(fold=False)
        if not rows:
            return ""
        last = len(head) - 1

        def cell(k: int, words: str, tag: str, scope: str = "") -> str:
            # JupyterLab's cells are flush right, as suits numbers alone.
            left = " style='text-align: left'" if k in (0, last) else ""
            return f"<{tag}{scope}{left}>{html.escape(words)}</{tag}>"

        columns = "".join(cell(k, words, "th", " scope='col'") for k, words in enumerate(head))
        body = ""
        for name, *others in rows:
            cells = "".join(cell(k, words, "td") for k, words in enumerate(others, 1))
            first = cell(0, name, "th", " scope='row'")
            body += f"<tr>{first}{cells}</tr>"
        count = text("doctor.tensors", self.lang, count=len(rows))
        table = f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
        if len(rows) > LINES:
            return f"<details><summary>{count}</summary><table aria-label='{count}'>{table}</details>"
        return f"<table><caption>{count}</caption>{table}"

    def _picture(self) -> str:
        """The picture of the signals; its words, where there is no matplotlib to draw it."""
        try:
            from .. import plots  # draws: only where somebody looks
        except ModuleNotFoundError:
            return "".join(f"<div>{html.escape(line)}</div>" for line in self._stream())

        png, size = plots.signals_by_layer(self.signals, self.predicted, lang=self.lang)._repr_png_()
        data = base64.b64encode(png).decode()
        says = html.escape(text("doctor.picture", self.lang, lines=" ".join(self._stream())))
        return f'<img width="{size["width"]}" src="data:image/png;base64,{data}" alt="{says}">'


def _number(values: Sequence[float | None]) -> str:
    """A cell of the table: a number, or the least and the largest of several."""
    if None in values:
        return "–"
    least, most = (f"{end(values):.{4 if len(values) == 1 else 3}g}" for end in (min, max))
    return least if least == most else f"{least}–{most}"


def _name_of(names: Sequence[str]) -> str:
    """One name for names that differ in numbers alone: "h.0…11.mlp.weight"."""
    pieces = zip(*(re.split(r"(\d+)", name) for name in names), strict=True)
    ends = lambda piece: (min(piece, key=int), max(piece, key=int))  # noqa: E731
    return "".join(piece[0] if len(set(piece)) == 1 else "…".join(ends(piece)) for piece in pieces)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose last column is broken, or whose names have lines of their own, where it is too wide."""
    *widths, last = (max(map(_width, column)) for column in zip(*rows, strict=True))
    before = sum(widths) + 2 * len(widths)
    if apart := before + min(last, LEAST) > WIDTH:
        widths[0], before = 2, before - widths[0] + 2
    lines = []
    for name, *cells, match in rows:
        lines += [name] if apart else []
        padded = zip(["" if apart else name, *cells], widths, strict=True)
        start = "".join(cell + " " * (w - _width(cell) + 2) for cell, w in padded)
        lines += _wrapped(match, start, before)
    return lines


# A line ends in none of the first, and begins with none of the second.
OPENING, CLOSING = "（《“", "，。；：、）》！？”"
WIDE = "\u2e80-\u9fff\uff00-\uffef"
PIECE = re.compile(rf"\s*[{OPENING}]*(?:[^\s{OPENING}{CLOSING}{WIDE}]+|[^\s{OPENING}{CLOSING}])?[{CLOSING}]*")


def _wrapped(words: str, start: str = "", indent: int = 0) -> list[str]:
    """``words`` behind ``start`` in lines of ``WIDTH`` columns, the later ones indented.

    Chinese is broken between any two characters. What has no place to break it stays whole.
    """
    lines, line = [], start
    for piece in PIECE.findall(words):
        if line.strip() and _width(line) + _width(piece) > WIDTH and _width(line) > indent:
            lines.append(line.rstrip())
            line, piece = " " * indent, piece.lstrip()
        line += piece
    return [*lines, line.rstrip()]


def _width(cell: str) -> int:
    """How many columns of a terminal it takes; a Chinese character takes two."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in cell)


def _finite(value):
    """``value`` with None for every number that JSON cannot say: NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
