"""Two checkpoints, tensor by tensor: the same to the last bit, drawn by one recipe twice, or otherwise.

Tensors are paired by name, without what only wraps a model (``module.``, ``_orig_mod.``). Laws and scales are
compared with their sampling errors, so that another seed is no difference.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import scipy

from .checkpoints.raw import NUMBERS
from .identify import ALPHA, FEW, SET, SPREAD
from .report import Comparison, Finding, Tensor, span
from .roles import Path, natural, unwrapped
from .survey import Row

ORDER = ("same", "other_seed", "other_law", "differs", "other_form", "only_here", "only_there", "not_read")
UNDRAWN = ("optimizer", "ema", "buffer", "quantization")  # roles of what no recipe draws
_DTYPES = {numbers.epsilon: name for name, numbers in NUMBERS.items()}


def compared(file: str, here: Sequence[Row], there: Sequence[Row]) -> tuple[Comparison, list[Finding]]:
    """How the tensors of ``here`` differ from those of ``there``, which ``file`` holds.

    Both files are open still: where a tensor differs though others are equal to the last bit, its entries are
    read once more, beside the other's.
    """
    a_of, b_of = _by_name(here), _by_name(there)
    told: dict[str, list[str]] = defaultdict(list)
    findings, same, apart = [], [], []
    for key in sorted(a_of.keys() | b_of.keys(), key=natural):
        a, b = a_of.get(key), b_of.get(key)
        if a is None or b is None:
            told["only_there" if a is None else "only_here"].append((a or b).surveyed.name)
        elif (form := _form(a)) != (other := _form(b)):
            told["other_form"].append(a.surveyed.name)
            fields = {"here": form, "there": other, "file": file}
            findings.append(Finding("other_form", a.surveyed.name, fields))
        elif a.digest is None or b.digest is None:
            told["not_read"].append(a.surveyed.name)
        else:
            (same if a.digest == b.digest else apart).append((a, b))
    for why in ("only_here", "only_there"):
        if names := told[why]:
            fields = {"count": len(names), "file": file, "why": why.removeprefix("only_")}
            findings.append(Finding("only_in_one", span(names), fields))
    told["same"] = [a.surveyed.name for a, _ in same]
    laws = [_laws(a, b) for a, b in apart]
    # By chance one fresh tensor in 1/ALPHA is called not fresh: as many doubtful pairs as that explains count
    # as drawn alike.
    by_chance = ALPHA * 2 * len(laws)
    doubtful = laws.count("doubtful")
    really = doubtful and float(scipy.special.pdtrc(doubtful - 1, by_chance)) < ALPHA
    for (a, b), law in zip(apart, laws, strict=True):
        law = law if law != "doubtful" else "other_law" if really else "other_seed"
        told[law].append(a.surveyed.name)
        if law == "other_law":
            fields = {"here": a.tensor.found, "there": b.tensor.found, "file": file}
            fields |= {"std": f"{a.tensor.std or 0:.3g}", "other": f"{b.tensor.std or 0:.3g}"}
            findings.append(Finding("other_law", a.surveyed.name, fields))
    weights = [a for a, _ in [*same, *apart] if a.surveyed.is_judged and a.tensor.std]
    equal = [a for a, _ in same if a.surveyed.is_judged and a.tensor.std]
    if apart and (any(map(_is_drawn, equal)) or 2 * len(equal) > len(weights)):
        a, b = apart[0]
        difference = a.surveyed.source.furthest_from(b.surveyed.source)
        fields = {"count": len(apart), "file": file, "same": len(same), "std": f"{a.tensor.std or 0:.3g}"}
        fields["difference"] = "?" if difference is None else f"{difference:.3g}"
        findings.append(Finding("replica_differs", a.surveyed.name, fields))
    plain = not findings and not told["differs"]
    verdict = "other" if not plain else "same_recipe" if apart else "same"
    return Comparison(file, verdict, {key: tuple(told[key]) for key in ORDER if told[key]}), findings


def _by_name(rows: Sequence[Row]) -> dict[str, Row]:
    """The rows by their names without wrappers; by their names where two would have one."""
    groups = defaultdict(list)
    for row in rows:
        parts = unwrapped(part for part in Path.of(row.surveyed.name, ()).parts if part != "_orig_mod")
        groups[".".join(parts)].append(row)
    return {
        key if len(those) == 1 else row.surveyed.name: row for key, those in groups.items() for row in those
    }


def _form(row: Row) -> str:
    source = row.surveyed.source
    dtype = source.unread or _DTYPES.get(source.epsilon, "")
    return f"{'×'.join(map(str, source.shape)) or '1'} {dtype}".strip()


def _is_drawn(row: Row) -> bool:
    """Whether the entries are a random draw: identity and the like are the same in every file."""
    return row.tensor.found.is_fresh and row.tensor.found.scheme not in SET


def _laws(one: Row, other: Row) -> str:
    """Of two tensors with different entries: "other_seed", "other_law", "doubtful", or "differs".

    Where one alone is a fresh draw, chance may have called the other not fresh: "doubtful".
    """
    a, b = one.tensor, other.tensor
    verdicts = {a.found.verdict, b.found.verdict}
    n = math.prod(a.shape)
    if one.surveyed.role in UNDRAWN or verdicts == {"not_fresh"} or n == 1:
        return "differs"
    if not (a.std and b.std and math.isfinite(a.std + b.std)):
        return "differs" if a.std == b.std and _named(a) & _named(b) else "other_law"
    apart = abs(math.log(a.std / b.std)) * math.sqrt(n) if n >= FEW else 0.0
    if a.found.matches and b.found.matches:
        return "other_seed" if _named(a) & _named(b) else "other_law"
    if apart > SPREAD:
        return "other_law"
    if "not_fresh" in verdicts and (a.found.is_fresh or b.found.is_fresh):
        return "doubtful"
    laws = [t.found.law.scheme for t in (a, b) if t.found.law and not t.found.ambiguous]
    return "other_law" if len(set(laws)) > 1 else "other_seed"


def _named(tensor: Tensor) -> set[str]:
    return set(map(str, tensor.found.matches))
