"""Read a checkpoint, and say how its tensors were initialized and what is wrong with them.

Three steps over one row a tensor: ``survey`` reads names and shapes; ``_examined`` reads the entries, names
the initializer and finds what is wrong with the tensor by itself; ``_compared`` finds what shows only beside
the others.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .. import activations
from ..activations import Activation, ActivationLike
from ..fans import fans as fans_of
from ..words import Language, text
from .against import compared
from .bias_evidence import by_default, trained_by_bias
from .checkpoints import Source, opened
from .checkpoints.protocol import OTHERS, printable
from .gains import gains_of, nearest_right, right_gains
from .identify import EXACT, SET, Identification, of_scan, past_an_edge
from .layout import LAYOUTS, Layout
from .order import before_activation
from .recipes import Plan, RecipeName
from .report import Coverage, Finding, Fit, Report, Tensor, as_told, gravest_first, identical_layers
from .roles import CALLED_WEIGHT, JUDGED, NORM, Path, are_of_one_kind, natural, numbers_out
from .scan import Scan
from .survey import RECURRENT_KERNEL, Row, Surveyed, is_vector, survey
from .symmetry import are_equal, units_alike

OUTLIER = 10.0  # a gain is an outlier that many times above the file's median, or below it
# A weight of LEFT entries or more shows training; one that does not is reported if LEARNT others or more do.
LEFT, LEARNT = 2048, 10
WORN = 0.01  # the share of a trained layer's units that may die, or become equal, during training
SHUT_BIAS = -20.0  # a bias that shuts a unit: its sigmoid, or its share of a softmax, is below e⁻²⁰
# Kinds that are no finding on a tensor that fits the recipe.
BY_RECIPE = ("all_zero", "scale_outlier", "transposed_fans", "scheme_activation_mismatch")
# Layers that are known to start at zero, by the end of their modules' path without numbers. The last layer of
# a residual branch: Fixup (Zhang et al. 2019), latent diffusion's zero_module, ControlNet, RWKV.
_ENDS = re.compile(
    r"(?i)(^|\.)(c_proj|(o|out)_?proj|proj(_?out)?|to_out|down_proj|fc_?2|linear_?2|wo|out(put|_layers)?"
    r"|zero_?(conv|proj|module)\w*|ffn\.value)$"
)
# Layers that set a modulation (DiT), an offset (deformable convolutions) or a gate (AlphaFold, RWKV,
# xLSTM), and the weights of deformable attention.
_GATES = re.compile(
    r"(?i)(^|\.)(adaln\w*|\w*modulation|(sampling|conv)_offsets?|linear_g|\w*gate(\.proj|_preact)?|receptance"
    r"|attention_weights)$"
)
_HEADS = re.compile(
    r"(?i)(^|\.)(\w*(head|logits)(\.(fc|linear|proj))?|out(put)?(_?(layer|proj))?|classifier"
    r"|final(_?layer(\.linear)?)?)$"
)
# The calls that draw by a uniform law, and by a normal one without truncation: only that has no sharp edges.
_DRAWS_UNIFORM = re.compile(r"^torch_default|uniform")
_DRAWS_NORMAL = re.compile(r"(?<!truncated_)normal")
# What a normalization adds to the name of the layer in front of it: conv10_linear_bn_scale, conv.norm.weight.
_NORM_OF = re.compile(r"(?i)[._/](bn|(batch|layer|group|instance)?_?norm(alization)?)(?=[._/])")
SAME_GAIN = 2.0  # gains by fan_out within this factor count as equal


def audit(
    path: str | os.PathLike,
    *,
    activation: ActivationLike | None = None,
    lang: Language = "en",
    layout: Layout = "auto",
    against: str | os.PathLike | None = None,
    recipe: RecipeName | None = None,
) -> Report:
    """Report on the checkpoint ``path``: a row a tensor, and what is wrong, the gravest first.

    The file is read one tensor at a time, a part at a time; nothing in it is run. Of whole modules, and of
    objects of any class in PyTorch's files, the tensors are read.

    Parameters
    ----------
    path : str or path-like
        A file in one of the formats that ``checkpoints.format_names()`` lists, recognized by its content, or
        a folder with a model. The files that an index names are judged together, as one model.
    activation : str, tuple, Activation or callable, optional
        The function of the hidden layers, as ``gain`` takes it. Then fresh layers that sit before it must
        have one of its right gains (``gains.right_gains``, which ``diagnose`` asks too; none is known where
        f(0) ≠ 0), by fan_in or fan_out. Exempt are first and last layers, heads, projections of attention,
        shortcuts, gates, recurrent layers, and whatever shares a block with a normalization
        (``order.before_activation``).
    lang : {"en", "zh"}
        The language that the report speaks.
    layout : {"auto", "torch", "keras"}
        Which axis of a weight counts its units: the first, as in PyTorch, or the last, as in Keras, JAX and
        TensorFlow. "auto": what names, the bias's length, the file's kind and the other weights tell; where
        nothing does, both readings are shown and no finding rests on one.
    against : str or path-like, optional
        Another checkpoint, to be compared tensor by tensor (``Report.against``): the same to the last bit,
        drawn alike with another seed, or by another law or scale. Found are tensors that only one file has,
        other shapes and dtypes, other laws and scales; and, where weights are the same to the last bit, as in
        replicas, the first tensor that is not.
    recipe : str, optional
        One of ``recipes.RECIPES``, for a file that was not trained yet: a tensor that is not drawn as the
        recipe wants is a finding (``off_recipe``); one that is has none for zeros or for its scale.

    Returns
    -------
    Report
        In its table, ``gain`` = √(mean of w²·fan_in) is what the weight's gain comes to, whatever drew it.

    Raises
    ------
    checkpoints.Unreadable
        A ValueError of one line, for a file that cannot be read.
    ValueError, TypeError
        For an unknown activation, layout or recipe, and a recipe that names no weight of the file.

    Notes
    -----
    Findings are entries that are not finite; weights that are all zero; units with equal, collinear or no
    weights; a gain ten times off the median (unless its gain by fan_out is the others'); fans exchanged; lone
    entries that no law reaches; fresh weights of layers of one kind that are equal to the last bit. Tied
    weights, which share their entries in the file, and copies of whole networks are no finding.

    Layers that are known to start at zero are notes where nothing was trained: the last of every residual
    branch, what sets a modulation, gate or displacement, and the head of a net of blocks. They are recognized
    by their names; one block of many that is zero is a finding, and so is the head of a plain net. In print,
    findings with the same words in every block are one line.

    Only layers' weights are judged. A tensor's path and neighbours tell what else it may be
    (``roles.SIGNS``): a bias, a normalization's scale, an embedding, a buffer, the optimizer's state, an
    averaged copy of weights that stand in the file as well, an adapter, a quantized weight or its scale. On
    these there are findings for entries that are not finite (in a mask even those are none, in a table −∞ is
    none), and for word embeddings that are all zero. A tensor of which nothing is known is judged as a weight
    if it is a matrix or a kernel of floating-point numbers. ``coverage`` says what was judged, left out and
    not read.

    Where most weights were trained (a quantized one counts as trained), what training makes of a well drawn
    tensor is no finding: scales far from the others', entries far out, one unit in a hundred that died or
    became equal to another, units that are multiples of each other but not equal, unless most are, and units
    without weights whose bias is below −20. There a tensor that passes as a draw may hide training. It is
    "too_few", unless every entry shows its scheme, as in a constant or orthogonal one: below 2,048 entries,
    unless it is uniform within a scheme's bound and not the bias of a trained weight; above, if it passes as
    normal, which has no edges for training to cross, unless it is a weight whose bias and normalization still
    have their starting values, or that has neither and a scheme's scale. A larger uniform one that ends up to
    5 % past a scheme's bound is "not_fresh", for the reason "edge": training moved it a little.

    Units are compared with each other, inputs are not. Two equal units get the same gradient for ever; two
    equal columns, or a column of zeros, get the gradients of their own inputs and part at the first step, and
    masks and pruning make such columns on purpose.

    A bias that passes as a draw, or has too few entries to tell, is "not_fresh" all the same, for the reason
    "biases", unless it is constant, or PyTorch's default, or drawn, like all others of the file, from one law
    with mean 0 and one scale, independently of the weights. Then the weight beside it is "not_fresh" as well,
    for the reason "bias". Fresh ones are called so in at most one of 1,000 cases; but a bias that was set
    entry by entry, to the logarithms of frequencies say, is mistaken for a trained one. A bias that looks
    fresh proves nothing: it may have been frozen, and one that was drawn hides what it learned as a weight
    does.

    Examples
    --------
    >>> import tempfile
    >>> import initkit as ik
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", first=ik.he_normal((40, 30), rng=0), last=ik.zeros((10, 40)))
    ...     report = audit(f"{folder}/net.npz")
    >>> [str(tensor.found) for tensor in report.tensors], report.findings[0].kind
    (['he_normal()', 'zeros()'], 'all_zero')
    """
    text("doctor.clean", lang)  # raises ValueError for an unknown language
    function = None if activation is None else activations.get(activation)
    wanted = None if function is None else (function, right_gains(function))
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    comparison, differ = None, []
    with opened(path, others=True) as sources:
        rows, others = _read(sources, layout, recipe)
        if against is not None:
            with opened(against, others=True) as its:
                there = _read(its, layout)
                file = printable(os.path.basename(os.path.normpath(against)))
                comparison, differ = compared(file, [*rows, *others], [*there[0], *there[1]])
    findings = [finding for row in rows for finding in row.findings] + _compared(rows, wanted)
    if _is_trained(rows):
        findings = [finding for finding in findings if not _by_training(finding, rows)]
    findings += _identical_layers(rows)
    meant = {row.tensor.name for row in rows if row.fits}
    off = [f for f in findings if f.kind == "off_recipe"]
    left = [f for f in findings if f.kind != "off_recipe" and not (f.tensor in meant and f.kind in BY_RECIPE)]
    left, notes = _designs(rows, left)
    notes.sort(key=lambda note: natural(note.tensor))
    findings = [*left, *as_told(off), *as_told(differ)]
    findings.sort(key=lambda finding: natural(finding.tensor))
    return Report(
        tuple(row.tensor for row in rows),
        gravest_first(findings),
        coverage=_coverage(rows, others),
        lang=lang,
        notes=as_told(notes),
        against=comparison,
        recipe=None if recipe is None else _by_recipe(recipe, rows),
    )


def _by_recipe(recipe: RecipeName, rows: list[Row]) -> Fit:
    """What the recipe says of the tensors that were read."""
    names = {fits: tuple(row.tensor.name for row in rows if row.fits is fits) for fits in (True, False, None)}
    return Fit(recipe, names[True], names[False], names[None])


def _read(
    sources: Sequence[Source], layout: Layout, recipe: RecipeName | None = None
) -> tuple[list[Row], list[Row]]:
    """The rows of the tensors that are read, and those of the others."""
    surveyed = survey(sources, layout)
    plan = None if recipe is None else Plan(recipe, surveyed)
    rows = [_examined(one, plan) for one in surveyed if one.source.unread not in OTHERS]
    return _told_by_other_weights(_told_by_bias(rows)), [
        Row(one, None) for one in surveyed if one.source.unread in OTHERS
    ]


def _examined(surveyed: Surveyed, plan: Plan | None) -> Row:
    """Read the entries: what they are a sample of, and what is wrong with them by themselves."""
    source, fans = surveyed.source, (surveyed.fan_in, surveyed.fan_out)
    s = source.scan()
    if s is None:
        found = Identification("not_fresh", reason="empty" if 0 in source.shape else source.unread)
        return Row(surveyed, Tensor.of(source.name, source.shape, fans, s, found, surveyed.role))
    if surveyed.role == "optimizer":
        found = Identification("not_fresh", reason="optimizer")
    else:
        found = _identified(s, source, surveyed.layer_fans)
    if surveyed.is_judged and s.low == s.high and NORM.search(source.name):
        surveyed = replace(surveyed, role="norm_scale")  # LayerNorm((4, 8)), as it starts
    other = None
    if surveyed.is_open and surveyed.is_judged:
        turned = replace(source, units_last=True)
        s_turned = s if len(source.shape) == 2 else turned.scan()
        found_turned = _identified(s_turned, turned, ())
        other = Tensor.of(
            source.name, source.shape, tuple(fans_of(source.shape, **turned.axes)), s_turned, found_turned
        )
    table = surveyed.role == "embedding"
    finds = ("non_finite",) if surveyed.role == "norm_scale" else surveyed.finds
    findings = [
        *wrong_by_itself(source.name, source.shape, s, source.units_last, table),
        *equal_experts(source, s),
        *lone_entries(source.name, source.shape, s, found),
    ]
    if other is not None:
        as_well = {f.kind for f in wrong_by_itself(source.name, source.shape, s_turned, True)}
        findings = [f for f in findings if f.kind in as_well | {"lone_outlier"}]
    row = Tensor.of(source.name, source.shape, fans, s, found, surveyed.role)
    findings = [f for f in findings if finds is None or f.kind in finds]
    fits = plan and plan.fits(source.name, s)
    if fits is False:
        wanted, by = plan.wanted(source.name)
        fields = {"here": found, "std": f"{row.std or 0:.3g}", "wanted": wanted, "source": by}
        findings.append(Finding("off_recipe", source.name, {**fields, "recipe": plan.name}))
    alike = [f.fields for f in findings if f.kind == "symmetric_rows"]
    return Row(
        surveyed,
        replace(row, other=other),
        tuple(findings),
        s if surveyed.weight is not None and len(source.shape) < 2 else None,
        s.digest,
        fits,
        any(source.experts > 1 or are_equal(s, f["first"], f["second"], source.units_last) for f in alike),
    )


def _identified(s: Scan, source: Source, layer_fans: Sequence[float]) -> Identification:
    """Identify by the shape of the layer; else by that of the stored array, whose fans Keras draws by."""
    found = of_scan(s, source.layer, source.axes, layer_fans, source.units_last)
    if found.verdict == "fresh_unnamed" and source.layer != source.shape and source.experts == 1:
        as_array = of_scan(s, source.shape, source.axes, layer_fans, source.units_last)
        return as_array if as_array.verdict == "fresh" else found
    return found


def _told_by_bias(rows: list[Row]) -> list[Row]:
    """Call biases that cannot be fresh draws "not_fresh", and with them the drawn weights beside them."""
    ordered = sorted(rows, key=lambda row: natural(row.tensor.name))
    biases = {
        row.surveyed.weight: (row.bias_scan, row.surveyed.layer_fans)
        for row in ordered
        if row.bias_scan is not None
    }

    def passes(row: Row) -> bool:  # as a draw: where a scheme is recognized exactly, nothing was trained
        return row.tensor.found.verdict != "not_fresh" and row.tensor.found.scheme not in EXACT

    if not any(passes(row) and (row.surveyed.weight or row.tensor.name in biases) for row in rows):
        return rows

    def read_weights(names: set[str]) -> Iterator:
        for row in ordered:
            if row.tensor.name in names and (s := row.surveyed.source.scan()):
                yield row.surveyed.source, s

    trained = trained_by_bias(biases, read_weights)

    def told(row: Row) -> Row:
        if not passes(row):
            return row
        if row.tensor.name in trained:
            reason = "bias"
        elif row.surveyed.weight in trained:
            reason = "biases"
        else:
            return row
        found = Identification("not_fresh", reason=reason)
        return replace(row, tensor=replace(row.tensor, found=found))

    return [told(row) for row in rows]


def _told_by_other_weights(rows: list[Row]) -> list[Row]:
    """In a mostly trained file, call a tensor that passes as a draw and may be trained "too_few".

    A trained bias, shift or small kernel often looks like a normal draw of some scale. A uniform draw within
    a scheme's bound keeps its verdict, unless it is the bias of a trained weight, as training carries entries
    past the bound. A larger tensor whose entries are a little past it is "not_fresh".

    A normal draw has no bound, and hides what it learned. So a larger one keeps its verdict only if it is a
    layer's weight whose bias and normalization still have their starting values; or, where it has neither, if
    its scale is a scheme's.
    """
    if not _is_trained(rows):
        return rows
    trained = {row.tensor.name for row in rows if row.tensor.found.verdict == "not_fresh"}
    start = _starts(rows)

    def told(row: Row) -> Row:
        found = row.tensor.found
        passes = found.is_fresh and found.scheme not in EXACT
        bounded = found.matches and _DRAWS_UNIFORM.search(str(found.matches[0]))
        one = row.surveyed
        if math.prod(row.tensor.shape) < LEFT:
            is_open = not bounded or one.weight in trained
        else:
            hides = _DRAWS_NORMAL.search(str(found.matches[0] if found.matches else found.law))
            is_open = hides and not (one.is_judged and start.get(one.name, bool(found.matches)))
        if passes and is_open:
            found = Identification("too_few", reason="company", outliers=found.outliers)
        elif passes and past_an_edge(found, one.source.layer, one.source.axes, one.layer_fans):
            found = Identification("not_fresh", reason="edge")
        return replace(row, tensor=replace(row.tensor, found=found))

    return [told(row) for row in rows]


def _starts(rows: list[Row]) -> dict[str, bool]:
    """For each weight that passes as a draw: whether its bias and normalization have their starting values.

    By the weight's name. These values are constant, or PyTorch's default. A weight with neither is left out.
    """
    beside, found = defaultdict(list), {}
    for row in rows:
        if row.surveyed.is_vector and (norm := _NORM_OF.search(row.tensor.name)):
            beside[row.tensor.name[: norm.start()], math.prod(row.tensor.shape)].append(row)
    biases = {row.surveyed.weight: row for row in rows if row.bias_scan is not None}
    passing = (row for row in rows if row.tensor.found.is_fresh)
    for one in (row.surveyed for row in passing if row.surveyed.is_judged):
        stem = CALLED_WEIGHT.sub("", one.name).rstrip("._/")
        learn = beside[stem, one.sides[1]] + ([biases[one.name]] if one.name in biases else [])
        if learn:
            found[one.name] = all(
                row.tensor.std == 0 or (row.bias_scan and by_default(row.bias_scan, row.surveyed.layer_fans))
                for row in learn
            )
    return found


def _by_training(finding: Finding, rows: list[Row]) -> bool:
    """Whether training can have caused this finding on a tensor that was drawn correctly.

    One entry moves far from the others; a few units of many die or become equal. A class that is masked out
    has zero weights and a very negative bias. Units that start equal stay equal; where most units differ, a
    few that are only multiples of each other became so during training.
    """
    if finding.kind not in ("symmetric_rows", "dead_rows"):
        return finding.kind == "lone_outlier"
    count, first = finding.fields["count"], finding.fields.get("first")
    row = next(row for row in rows if row.tensor.name == finding.tensor)
    units = row.surveyed.sides[1]
    few = count <= WORN * units
    if few or finding.kind == "symmetric_rows":
        return few or not (row.equal or 2 * count > units)
    biases = [one.bias_scan for one in rows if one.surveyed.weight == finding.tensor and one.bias_scan]
    shut = [bias.sample[0] <= SHUT_BIAS for bias in biases]
    return any(first < len(off) and off[first] and np.count_nonzero(off) == count for off in shut)


def wrong_by_itself(
    name: str, shape: Sequence[int], s: Scan, units_last: bool = False, table: bool = False
) -> Iterator[Finding]:
    """The findings on one tensor that need no other.

    Parameters
    ----------
    name, shape
        The tensor's own; ``s.shape`` is that of the matrix it is read as.
    s : Scan
    units_last : bool
        Whether the last axis counts the units.
    table : bool
        Whether it is an embedding, whose rows are no units.
    """
    if s.non_finite:
        # A table that is added to attention's scores hides positions by −∞.
        if not table or s.non_finite > s.minus_infinite:
            yield Finding("non_finite", name, {"count": s.non_finite})
        return
    if is_vector(name, shape, units_last) or (table and s.shape[0] == 1):
        return
    if s.low == s.high == 0:
        yield Finding("all_zero", name)
        return
    if table or not s.whole:
        return
    if alike := units_alike(s, units_last):
        fields = {"count": alike.units, "first": alike.first, "second": alike.second}
        yield Finding("symmetric_rows", name, fields)
    if s.has_lines:
        dead = np.flatnonzero((s.by_column if units_last else s.by_row).squares == 0)
        if dead.size:
            yield Finding("dead_rows", name, {"count": dead.size, "first": int(dead[0])})


def equal_experts(source: Source, s: Scan) -> Iterator[Finding]:
    """The finding on stacked experts that are multiples of each other, where their units are the columns."""
    rows = math.prod(source.layer[:-1])
    alike = units_alike(s) if source.experts > 1 and source.units_last and s.whole else None
    if alike and (alike.second - alike.first) % rows == 0:
        first, second = alike.first // rows, alike.second // rows
        fields = {"count": max(2, alike.units // rows), "first": first, "second": second}
        yield Finding("symmetric_rows", source.name, fields)


def lone_entries(name: str, shape: Sequence[int], s: Scan, found: Identification) -> Iterator[Finding]:
    """The finding on entries that no law reaches, in a tensor whose rest is a fresh draw."""
    if found.outliers:
        row, column, value = max(found.outliers, key=lambda far: abs(far.value))
        place = ", ".join(map(str, np.unravel_index(row * s.shape[1] + column, shape)))
        times = abs(value) / math.sqrt(s.without_far().mean_square)
        fields = {
            "count": len(found.outliers),
            "value": f"{value:.4g}",
            "place": place,
            "times": f"{times:.2g}",
        }
        yield Finding("lone_outlier", name, fields)


def _designs(rows: list[Row], findings: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings that stay, and as notes those on layers that are known to start at zero, by their names.

    Zeros count as a design only in a file that has drawn weights and was not trained, and inside blocks only
    if they repeat in every block: those of one block of many stay findings.
    """
    zero = {finding.tensor for finding in findings if finding.kind == "all_zero"}
    drawn = [row.surveyed for row in rows if _is_weight(row)]
    if not zero or not drawn or _is_trained(rows):
        return findings, []
    rest = {numbers_out(one.name) for one in drawn}  # by name: what is not zero in some block
    blocks = {_outer_block(one.name) for one in drawn} - {()}
    modules = {Path.of(one.surveyed.name, ()).parts[:-2] for one in rows if "receptance" in one.surveyed.name}

    def design(name: str) -> str | None:
        path, block = Path.of(name, ()), _outer_block(name)
        module = _module(name)
        if not block:
            return "zero_head" if blocks and _HEADS.search(module) else None
        if numbers_out(name) in rest or block not in blocks:
            return None
        if _GATES.search(module) or (path.owner == "key" and path.parts[:-2] in modules):
            return "zero_gate"
        return "zero_branch" if _ENDS.search(module) else None

    kinds = {name: design(name) for name in zero}
    kept = [f for f in findings if f.kind != "all_zero" or not kinds[f.tensor]]
    return kept, [Finding(kind, name) for name, kind in kinds.items() if kind]


def _module(name: str) -> str:
    """The path of a tensor's module, without numbers."""
    return ".".join(part for part in Path.of(name, ()).parts[:-1] if not part.isdigit())


def _outer_block(name: str) -> tuple[str, ...]:
    """The parts of its path up to the first number that a module's name follows; none where there is none."""
    path = Path.of(name, ())
    owner = max((k for k, part in enumerate(path.parts[:-1]) if part == path.owner), default=0)
    return next((path.parts[: k + 1] for k, part in enumerate(path.parts[:owner]) if part.isdigit()), ())


def _compared(rows: list[Row], wanted: tuple[Activation, tuple[float, float]] | None) -> list[Finding]:
    """What shows only beside the other weights, or beside the activation function and its right gains.

    Scales are compared where most weights are as they were drawn: what training makes of a scale is no fault.
    """
    weights = [row.tensor for row in rows if _is_weight(row)]
    told = [weight for weight in weights if weight.found.verdict != "too_few"]
    # A tensor that training hardly moved is no evidence that training left another one out.
    trained = [one for one in told if one.found.verdict == "not_fresh" and one.found.reason != "edge"]
    held = before_activation(row.surveyed for row in rows) if wanted else ()
    findings = [] if _is_trained(rows) else list(_outliers(weights))
    if len(trained) >= max(LEARNT, 0.9 * len(told)):
        findings += [
            Finding(
                "fresh_among_trained",
                weight.name,
                {"match": str(weight.found), "trained": len(trained), "total": len(told)},
            )
            for weight in told
            if weight.found.verdict != "not_fresh" and math.prod(weight.shape) >= LEFT
        ]
    for weight in weights:
        if weight.other is not None or RECURRENT_KERNEL.search(weight.name):
            continue
        matches = weight.found.matches
        by_fan_out = matches and len(weight.shape) == 2 and all(match.fan == "fan_out" for match in matches)
        # Torchvision draws EfficientNet's head by fan_out, as TensorFlow's: it sets but the logits' scale.
        if by_fan_out and not _HEADS.search(_module(weight.name)):
            findings.append(Finding("transposed_fans", weight.name, {"match": str(matches[0])}))
        if weight.name in held and weight.found.is_fresh:
            activation, right = wanted
            if nearest := nearest_right(weight, right):
                fields = {
                    "gain": f"{weight.gain:.3g}",
                    "wanted": f"{nearest:.3g}",
                    "activation": activation.name,
                }
                findings.append(Finding("scheme_activation_mismatch", weight.name, fields))
    return findings


def _outliers(weights: list[Tensor]) -> Iterator[Finding]:
    """The findings on gains far from the median of all, and from that of their kind, kernels or matrices.

    A net may draw its kernels, which a normalization follows, by another scheme than its matrices. Heads and
    gates that begin small are a design, as those that begin at zero. So are layers of few inputs where all
    have one standard deviation, as GPT-2's.
    """

    def median(some: list[Tensor]) -> list[np.ndarray]:
        return [np.median([gains_of(one) for one in some], axis=0)] if len(some) > 3 else []

    def apart(weight: Tensor, by_fan_in: float, by_fan_out: float) -> tuple[float, float]:
        readings = [weight] if weight.other is None else [weight, weight.other]
        # A weight whose gain by fan_out equals the others' was drawn by fan_out, as they were: no outlier.
        alike = _apart(gains_of(weight)[1], by_fan_out) <= SAME_GAIN
        return 1.0 if alike else min(_apart(one.gain, by_fan_in) for one in readings), by_fan_in

    of_all = median(weights)
    if not of_all:
        return
    std = np.median([weight.std for weight in weights])
    of_kind = {
        many: median([one for one in weights if (len(one.shape) > 2) == many]) for many in (False, True)
    }
    for weight in weights:
        medians = [*of_all, *of_kind[len(weight.shape) > 2]]
        factor, nearest = min(apart(weight, *one) for one in medians)
        module = _module(weight.name)
        by_design = _HEADS.search(module) or _GATES.search(module) or _apart(weight.std, std) <= SAME_GAIN
        if factor > OUTLIER and not (by_design and weight.gain < nearest):
            fields = {"factor": f"{factor:.2g}", "gain": f"{weight.gain:.3g}", "median": f"{nearest:.3g}"}
            yield Finding("scale_outlier", weight.name, fields)


def _identical_layers(rows: list[Row]) -> list[Finding]:
    """One finding: fresh weights of layers of one kind that are equal to the last bit, as drawn by one seed.

    Weights that share their entries in the file are tied, and no finding. Neither are copies of whole parts,
    target networks say: the names of equal layers differ in a number, or in the layer's own name.
    """
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: natural(row.tensor.name)):
        source, found = row.surveyed.source, row.tensor.found
        drawn = found.is_fresh and found.scheme not in SET
        if drawn and row.surveyed.is_judged and row.digest:
            group = groups[row.digest, source.shape, source.nbytes]
            if all(source.place is None or one.surveyed.source.place != source.place for one in group):
                group.append(row)
    alike = []
    for group in groups.values():
        names = [row.tensor.name for row in group]
        same = [a for a in names if any(a != b and are_of_one_kind(a, b) for b in names)]
        if same:
            alike.append(same)
    return identical_layers(alike)


def _is_trained(rows: list[Row]) -> bool:
    """Whether most weights with a verdict are "not_fresh". Quantized ones count as trained."""
    found = [row.tensor.found for row in rows if _is_weight(row) or row.tensor.found.reason == "quantized"]
    told = [one.verdict for one in found if one.verdict != "too_few"]
    return 2 * told.count("not_fresh") > len(told)


def _apart(a: float, b: float) -> float:
    """By which factor two positive numbers differ, at least 1."""
    return max(a / b, b / a)


def _is_weight(row: Row) -> bool:
    """Whether it is a layer's weight, with a gain that can be held against others.

    The gain of equal entries says nothing: they pass on the plain sum of the inputs, where a gain supposes
    weights of random signs.
    """
    gain = row.tensor.gain
    return row.surveyed.is_judged and bool(row.tensor.std) and bool(gain) and math.isfinite(gain)


def _coverage(rows: list[Row], others: list[Row]) -> Coverage:
    """What was judged as a layer's weight; what was left out, by role, or not read, by reason."""
    judged, left_out, unread = [], defaultdict(list), defaultdict(list)
    for surveyed in (row.surveyed for row in [*rows, *others]):
        why = "empty" if 0 in surveyed.shape else surveyed.source.unread
        # Integers that nobody takes for a weight, position_ids say, are left out for their role.
        if why and (why not in OTHERS or surveyed.role in (*JUDGED, "quantization")):
            unread[why].append(surveyed.name)
        elif surveyed.is_judged:
            judged.append(surveyed.name)
        else:
            left_out[surveyed.role].append(surveyed.name)
    is_open = tuple(row.tensor.name for row in rows if row.tensor.other is not None)
    return Coverage(tuple(judged), _in_order(left_out), _in_order(unread), open_layout=is_open)


def _in_order(groups: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The largest group first."""
    return {key: tuple(groups[key]) for key in sorted(groups, key=lambda key: -len(groups[key]))}
