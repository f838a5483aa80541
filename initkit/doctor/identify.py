"""Which initializer a tensor is a sample of, or none: one that was trained, pruned or damaged.

Each law that could have drawn it is a hypothesis; goodness-of-fit tests reject or keep it. A law with a scale
that no scheme has is one more; and where the entries are too few to refuse a wrong law, nothing is concluded.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .. import sampling
from ..arguments import is_number
from ..fans import fans
from ..initializers import SCHEMES, Mode, by_mode, truncated_std
from ..words import Language, text
from .scan import Far, Lines, Scan, scan_array

# The largest share of fresh tensors that are called not fresh. Every p-value is corrected, by Bonferroni's
# rule, for the number of tests that it is the smallest of.
ALPHA = 1e-3
# A law that passes is not named where the log-likelihood of another is larger by more than this.
LESS_LIKELY = 7.0
# Training by small steps carries the entries of a uniform draw past its edges by this factor at most.
EDGE = 1.05
# A sum of squares below this has lost its digits in float64.
TOO_SMALL = 1e-290

Verdict: TypeAlias = Literal["fresh", "fresh_unnamed", "too_few", "not_fresh"]

# Why a tensor is not fresh: what ``identify`` tests, then what ``audit`` concludes from the file's others.
REASONS = (
    "non_finite", "too_large", "drifted_mean", "tails", "kurtosis", "shape",
    "rows", "columns", "low_rank", "neighbours", "biases", "bias", "edge",
)  # fmt: skip


@dataclass(frozen=True)
class Match:
    """An initializer that could have drawn the tensor: ``ik.get(scheme)(shape, **params)`` does so again.

    Attributes
    ----------
    scheme : str
        A name of the registry, as ``ik.get`` takes it.
    params : dict
        Its arguments.
    fan : {"fan_in", "fan_out", "fan_avg", None}
        The fan that the variance is divided by, if any.
    p_value : float
        The chance that a true sample fits this law no better than the tensor does.
    """

    scheme: str
    params: dict
    fan: Mode | None
    p_value: float

    def __str__(self):
        params = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v!r}" for k, v in self.params.items()
        )
        return f"{self.scheme}({params})"


@dataclass(frozen=True)
class Identification:
    """What ``identify`` says about a tensor.

    Attributes
    ----------
    verdict : {"fresh", "fresh_unnamed", "too_few", "not_fresh"}
        "fresh" where at least one known initializer explains the tensor; "fresh_unnamed" where a law does, of
        a scale that no initializer has; "too_few" where its entries refuse no law, and could not have refused
        a wrong one, or, in ``audit``, where most weights beside it were trained and it may have been, too
        (``reason`` "company"); "not_fresh" where every law is refused.
    matches : tuple of Match
        What it may be a sample of, the likeliest first; empty where it is not "fresh".
    ambiguous : bool
        Whether several matches explain it, so that the one that drew it cannot be known.
    reason : str or None
        Where it is not fresh, what speaks against it: one of ``REASONS``. In a report of ``audit``, "biases"
        is said of a bias that passes by itself and not beside the file's other biases, and "bias" of a weight
        that passes while its layer's bias does not; "edge", where most weights beside it were trained, of one
        that is uniform a little past a scheme's bound. "optimizer" is said of an optimizer's state, which
        nobody draws. "empty", "sparse" and "quantized" tensors have no entries that could be looked at.
    law : Match or None
        Where it is "fresh_unnamed": the likeliest law, of the scale that fits best, as a call that draws so.
    outliers : tuple of Far
        Lone entries, ``(row, column, value)`` in the tensor read as a matrix (first axis by all others; all
        others by the last, where that counts the units), that no law reaches. The verdict is on the rest.
    """

    verdict: Verdict
    matches: tuple[Match, ...] = ()
    ambiguous: bool = False
    reason: str | None = None
    law: Match | None = None
    outliers: tuple[Far, ...] = ()

    def __str__(self):
        if self.verdict == "not_fresh":
            return f"not fresh: {self.reason}"
        if self.verdict == "too_few":
            return "drawn or trained" if self.reason else "too few entries to tell"
        found = " or ".join(map(str, self.matches)) if self.matches else f"{self.law}, no scheme's scale"
        lone = ", ".join(f"{far.value:.4g} at ({far.row}, {far.column})" for far in self.outliers)
        return f"{found}, but for {lone}" if lone else found

    @property
    def is_fresh(self) -> bool:
        """Whether it is a draw: "fresh" or "fresh_unnamed"."""
        return self.verdict in ("fresh", "fresh_unnamed")

    @property
    def scheme(self) -> str | None:
        """The name of the scheme that fits best, if any does."""
        return self.matches[0].scheme if self.matches else None

    def message(self, lang: Language) -> str:
        """What is found, in a reader's language (``"en"`` or ``"zh"``); ValueError for another one.

        >>> import initkit as ik
        >>> identify(ik.normal((64, 64), std=0.07, rng=0)).message("en")
        "as if drawn by normal(std=0.07011), which is no scheme's scale"
        """
        if self.verdict == "not_fresh":
            return text(f"doctor.not_fresh.{self.reason}", lang)
        if self.verdict == "too_few":
            return text("doctor.company" if self.reason else "doctor.too_few", lang)
        if self.verdict == "fresh_unnamed":
            named = text("doctor.fresh_unnamed", lang, law=self.law)
        else:
            named = text("doctor.or", lang).join(map(str, self.matches[:3]))
            named += " …" if len(self.matches) > 3 else ""
        return named + (text("doctor.but_for", lang, count=len(self.outliers)) if self.outliers else "")


# The laws, each with standard deviation 1 ----------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """A symmetric distribution with mean 0 and variance 1, on [−``bound``, ``bound``].

    ``sixth`` and ``eighth`` moments say how far the kurtosis of a sample strays. A truncated normal ends at
    ±``cut`` standard deviations of the normal before truncation; its own standard deviation is ``narrow``
    times that one.
    """

    name: str
    bound: float
    fourth: float  # E[x⁴]
    sixth: float
    eighth: float
    cut: float = math.inf
    narrow: float = 1.0

    @property
    def mass(self) -> float:
        """The share of the normal before truncation that lies within."""
        return math.erf(self.cut / math.sqrt(2))

    def cdf(self, x: np.ndarray | float) -> np.ndarray | float:
        """P(X ≤ x)."""
        if self.name == "uniform":
            return np.clip((x / self.bound + 1) / 2, 0, 1)
        if self.name == "normal":
            return scipy.special.ndtr(x)
        x = np.clip(x * self.narrow, -self.cut, self.cut)
        return (scipy.special.ndtr(x) - scipy.special.ndtr(-self.cut)) / self.mass

    def log_likelihood(self, mean_square: float, entries: np.ndarray) -> float:
        """Mean log density over ``entries`` that lie within the bound and have this mean square."""
        if self.name == "uniform":
            return -math.log(2 * self.bound)
        return math.log(self.narrow / self.mass / math.sqrt(2 * math.pi)) - mean_square * self.narrow**2 / 2

    def furthest(self, n: int, share: float) -> float:
        """The distance from 0 that all of ``n`` entries stay within with probability ``share``."""
        outside = -math.expm1(math.log(share) / n)
        if self.name == "uniform":
            return self.bound * (1 - outside)
        edge = 0.0 if self.name == "normal" else float(scipy.special.ndtr(-self.cut))
        return -float(scipy.special.ndtri(edge + outside * self.mass / 2)) / self.narrow

    def params(self, std: float) -> dict:
        """The arguments by which the initializer of this name draws with standard deviation ``std``."""
        if self.name == "uniform":
            return {"low": -std * self.bound, "high": std * self.bound}
        window = {} if self.cut in (2.0, math.inf) else {"low": -self.cut, "high": self.cut}
        return {"std": std / self.narrow, **window}


def _truncated(cut: float) -> Law:
    """N(0, 1) within ±cut, scaled to variance 1: by parts, E[xᵏ⁺²] = (k + 1)·E[xᵏ] − cutᵏ·(1 − E[x²])."""
    narrow = truncated_std(cut)
    moments = [1.0]
    for k in range(0, 8, 2):
        moments.append((k + 1) * moments[-1] - cut**k * (1 - narrow**2))
    fourth, sixth, eighth = (m / narrow**k for m, k in zip(moments[2:], (4, 6, 8), strict=True))
    return Law("truncated_normal", cut / narrow, fourth, sixth, eighth, cut, narrow)


@functools.cache
def _unit(distribution: tuple) -> Any:
    """The distribution of ``scipy.stats``, by its name and shape parameters, with mean 0 and variance 1."""
    name, *parameters = distribution
    law = getattr(scipy.stats, name, None)
    if not isinstance(law, scipy.stats.rv_continuous):
        raise ValueError(f"a law of Drawn must be a continuous distribution of scipy.stats, not {name!r}")
    of = functools.partial(law, *parameters)
    mean, std = of().mean(), of().std()
    return of(loc=-mean / std, scale=1 / std)


@dataclass(frozen=True)
class OfSciPy(Law):
    """A law of ``scipy.stats`` that a scheme draws by. It is tried at the scales of its schemes alone."""

    distribution: tuple = ()

    def cdf(self, x: np.ndarray | float) -> np.ndarray | float:
        return _unit(self.distribution).cdf(x)

    def log_likelihood(self, mean_square: float, entries: np.ndarray) -> float:
        unit = _unit(self.distribution)
        edge = unit.isf(1e-12)  # where the density may be 0, and rounding may have moved an entry
        return float(unit.logpdf(np.clip(entries, -edge, edge)).mean())


@functools.cache
def law_of(distribution: str | tuple) -> Law:
    """The law that ``Drawn.distribution`` says."""
    if isinstance(distribution, str):
        return LAWS[distribution]
    unit = _unit(distribution)
    moments = (2 * float(unit.expect(lambda x, k=k: x**k, lb=0)) for k in (4, 6, 8))
    return OfSciPy(distribution[0], float(unit.support()[1]), *moments, distribution=distribution)


NORMAL = Law("normal", math.inf, 3.0, 15.0, 105.0)
UNIFORM = Law("uniform", math.sqrt(3), 9 / 5, 27 / 7, 9.0)
TRUNCATED = _truncated(2.0)
LAWS = {law.name: law for law in (NORMAL, UNIFORM, TRUNCATED)}
# The laws that are tried at any scale, where no scheme's fits. torchtitan and OLMo truncate at ±3.
SHAPES = (*LAWS.values(), _truncated(3.0))


def _two_sided(z: float) -> float:
    """P(|Z| ≥ |z|) of a standard normal Z."""
    return float(2 * scipy.special.ndtr(-abs(z)))


# Tests of a fully known law ------------------------------------------------------------------------


def _sums_p(lines: Lines, length: int, variance: float) -> float:
    """p-value of: the sums over lines spread no wider than sums of independent entries do.

    The sum of their squares, over length·variance, is χ² with one degree of freedom a line.
    """
    return float(scipy.special.chdtrc(len(lines.sums), float(lines.sums @ lines.sums) / (length * variance)))


def _powers_p(lines: Lines, length: int, fourth: float) -> float:
    """p-value of: all lines have the same mean square, but for chance.

    The cube root of a line's mean square is nearly normal (Wilson & Hilferty 1931), so the squared deviations
    of all lines add up to χ². ``fourth``: E[x⁴] of the law with variance 1.
    """
    share = lines.squares / length
    level = share.mean()
    if level == 0:
        return 1.0
    spread = (fourth - 1) / (9 * length)
    z = (np.cbrt(share / level) - (1 - spread)) / math.sqrt(spread)
    return float(scipy.special.chdtrc(len(z) - 1, float(((z - z.mean()) ** 2).sum())))


def _spectrum_p(w: np.ndarray) -> float:
    """p-value of: the largest singular value of ``w`` is no larger than that of independent entries.

    Its law is Tracy and Widom's, centred and scaled as Johnstone (2001) does, whose distribution function is
    approximated by a gamma's (Chiani 2014), to 1e-3 of the p-value's logarithm.
    """
    p, n = sorted(w.shape)
    if p < 8:
        return 1.0
    variance = float(np.square(w).mean())
    if variance == 0:
        return 1.0
    with sampling.one_blas_thread():  # two threads cost more than they save
        top = float(np.linalg.svd(w, compute_uv=False)[0]) ** 2 / variance
    a, b = math.sqrt(n - 0.5), math.sqrt(p - 0.5)
    centre, width = (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return float(scipy.special.gammaincc(46.446, max(0.0, ((top - centre) / width + 9.84801) / 0.186054)))


def _independence(s: Scan) -> dict[str, float]:
    """p-values of what holds for independent, identically distributed entries of any law, by reason."""
    found = {}
    tests = []
    for products, pairs in s.neighbours:
        if pairs > 50:
            tests.append(_two_sided(products / math.sqrt(pairs) / s.mean_square))
    if tests:
        found["neighbours"] = min(1.0, len(tests) * min(tests))
    if s.has_lines and s.whole:
        found["low_rank"] = _spectrum_p(s.sample)
    return found


def _lines_p(lines: Lines, length: int, variance: float, fourth: float) -> float:
    """p-value of: neither sums nor mean squares of the lines vary more than by chance."""
    tests = [_sums_p(lines, length, variance)]
    if length >= 30 and len(lines.sums) > 1:
        tests.append(_powers_p(lines, length, fourth))
    return min(1.0, len(tests) * min(tests))


def _kurtosis_p(sample: np.ndarray, law: Law) -> float:
    """p-value of: the kurtosis Σ(w − mean)⁴·n/(Σ(w − mean)²)² of the sample is the law's, κ, but for chance.

    Its reciprocal is nearly normal, the kurtosis itself is skewed. To first order in 1/n (delta method) the
    kurtosis has the variance E[(x⁴ − κ − 2κ·(x² − 1))²]/n and the mean
    κ + (3κ·(κ − 1) − 2·(E[x⁶] − κ) + 6 − 2κ)/n.
    Simulated, the p-value falls below 0.001 in at most 0.0025 of samples of 64 and more entries.
    """
    n = sample.size
    square = np.square(sample - sample.mean())
    level = float(square.mean())
    if level == 0:
        return 1.0
    k, ratio = law.fourth, law.fourth / float(np.square(square / level).mean())
    spread = (law.eighth - k * k - 4 * k * (law.sixth - k) + 4 * k * k * (k - 1)) / (n * k * k)
    shift = (3 * k * (k - 1) - 2 * (law.sixth - k) + 6 - 2 * k) / (n * k)
    return _two_sided((ratio - 1 + shift - spread) / math.sqrt(spread))


def kolmogorov(ordered: np.ndarray, law: Law, std: float) -> float:
    """p-value of Kolmogorov's test of sorted entries, with Stephens' (1970) correction for small samples."""
    n = len(ordered)
    step = max(1, n // 2**16)  # of more entries, every step-th: that moves the distance by at most step/n
    f = law.cdf(ordered[::step] / std)
    rank = np.arange(0, n, step)
    d = float(max(((rank + 1) / n - f).max(), (f - rank / n).max()))
    root = math.sqrt(n)
    return float(scipy.special.kolmogorov((root + 0.12 + 0.11 / root) * d))


def _all_within(law: Law, x: float, n: int) -> float:
    """P(none of n entries is further from 0 than x)."""
    outside = float(2 * law.cdf(-x))
    return math.exp(n * math.log1p(-outside)) if 0 <= outside < 1 else 0.0


def _tests(s: Scan, law: Law, std: float, known: dict[str, float], ordered: np.ndarray) -> dict[str, float]:
    """p-values of "a sample of ``law`` with this ``std``", by the reason that a small one gives.

    ``known``: what ``_of_any_scale`` says; ``ordered``: the sample's entries, sorted.
    """
    n = s.n
    found = dict(known)
    found["drifted_mean"] = _two_sided(s.mean * math.sqrt(n) / std)
    ratio = s.mean_square / std**2
    if law is NORMAL and n < 1e6:
        below = float(scipy.special.chdtr(n, n * ratio))
        found["scale"] = 2 * min(below, 1 - below, 0.5)
    else:
        found["scale"] = _two_sided((ratio - 1) * math.sqrt(n / (law.fourth - 1)))
    furthest = max(-s.low, s.high) / std
    if furthest > law.bound * (1 + s.epsilon) * (1 + 1e-6):
        found["tails"] = 0.0
    else:
        # Rounding may have moved the furthest entry by epsilon, up or down.
        below = _all_within(law, furthest * (1 + s.epsilon), n)
        above = 1 - _all_within(law, furthest * (1 - s.epsilon), n)
        found["tails"] = 2 * min(below, above, 0.5)
    found["shape"] = kolmogorov(ordered, law, std)
    return found


def _of_any_scale(s: Scan, law: Law, known: dict[str, float]) -> dict[str, float]:
    """p-values of what holds for samples of ``law`` whatever their scale, by reason.

    ``known``: what ``_independence`` says.
    """
    found = {**known, "kurtosis": _kurtosis_p(s.sample, law)}
    if s.has_lines and s.whole:
        rows, columns = s.shape
        found["rows"] = _lines_p(s.by_row, columns, s.mean_square, law.fourth)
        found["columns"] = _lines_p(s.by_column, rows, s.mean_square, law.fourth)
    return found


def _at_best(
    s: Scan, law: Law, known: dict[str, float], ordered: np.ndarray
) -> tuple[float, float, dict[str, float]]:
    """(p-value, std, tests) of "a sample of ``law``, of whatever scale": those of the scale that fits best.

    So no law is refused because the scale that a sample suggests is off by chance. Tried are the root mean
    square, and, where the law ends at a bound, the scales at which the furthest entry is at its 50 %, 3 % and
    0.2 % quantile.
    """
    rms, furthest = math.sqrt(s.mean_square), max(-s.low, s.high)
    scales = [rms]
    # A law that is refused whatever its scale needs no further ones.
    refused = (len(known) + 4) * min(known.values()) < ALPHA
    if law is not NORMAL and not refused:
        scales += [furthest / law.furthest(s.n, share) for share in (0.5, 0.03, 2 * ALPHA)]
    tried = [(std, _tests(s, law, std, known, ordered)) for std in scales]
    if law is not NORMAL and refused:  # not for its end, which at another scale may be where the sample's is
        tried[0][1].update(tails=1.0, scale=1.0)
    std, tests = max(tried, key=lambda pair: _combined(pair[1]))
    return _combined(tests), std, tests


def _combined(tests: dict[str, float]) -> float:
    """One p-value of all tests together (Bonferroni)."""
    return min(1.0, len(tests) * min(tests.values()))


def p_value(s: Scan, law: Law, std: float) -> float:
    """p-value of: the tensor is a sample of ``law`` with standard deviation ``std``."""
    return _combined(
        _tests(s, law, std, _of_any_scale(s, law, _independence(s)), np.sort(s.sample, axis=None))
    )


# The fewest entries for which a law is named: they tell a normal from a uniform law, by which most schemes
# draw. A normal sample of this size stays within the uniform's bound √3 with a probability below ALPHA/18,
# the level of one side of one of nine two-sided tests.
FEWEST = math.ceil(math.log(ALPHA / (2 * 9)) / math.log(math.erf(math.sqrt(3 / 2))))


# The schemes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """A law with its scale, and the call that draws by it."""

    scheme: str
    params: dict
    fan: Mode | None
    law: Law
    std: float


# Var[W] = scale/fan, of every initializer that says so. Of laws that explain a tensor equally well, the first
# is named first: a call without arguments, then one with another mode, then one with a gain.
_SCALED = sorted(
    ((scheme.initializer.__name__, law) for scheme in SCHEMES for law in scheme.laws),
    key=lambda pair: (bool(pair[1].params), "gain" in pair[1].params),
)
_USUAL = (0.001, 0.01, 0.02, 0.05, 0.1, 1.0)  # a std, or a bound, as people write them

# Recognized by every entry, not by a law: if one of these is named, no entry has been trained.
EXACT = {"zeros", "ones", "constant", "identity", "dirac", "delta_orthogonal", "orthogonal"}
SET = EXACT - {"delta_orthogonal", "orthogonal"}  # in these nothing is drawn

# ln s, s the standard deviation of n entries, strays by 1/√(2n), as κ ≤ 3 in all laws that schemes draw by.
# It may differ by SPREAD/√n from a law's (7 standard errors) and from another tensor's (5 of the difference).
SPREAD = 5.0
FEW = 16  # entries below which scales are not compared


# GPT-2's projections back into the residual stream: 0.02/√(2·layers).
_GPT2 = tuple(0.02 / math.sqrt(2 * layers) for layers in (6, 12, 24, 36, 48))


def hidden_sizes(rows: int) -> tuple[int, ...]:
    """What the hidden size of a recurrent layer may be whose weights have so many rows.

    PyTorch stacks the gates along the first axis: four in an LSTM, three in a GRU, one in an RNN.
    """
    return tuple(rows // gates for gates in (4, 3, 1) if rows and rows % gates == 0)


def _candidates(shape, axes: dict, layer_fans) -> list[_Candidate]:
    """The laws that may have drawn a tensor of this shape. ``layer_fans``: what its layer's fan_in may be."""
    n_in, n_out = fans(shape, **axes) if len(shape) > 1 else (None, None)
    found = [
        _Candidate("torch_default", {"fan_in": fan}, "fan_in", UNIFORM, (3 * fan) ** -0.5)
        for fan in layer_fans
        if fan != n_in
    ]
    if n_in:
        by_name = by_mode(n_in, n_out)
        found += [
            _Candidate(
                name,
                dict(law.params),
                law.fan,
                law_of(law.distribution),
                math.sqrt(law.scale / by_name[law.fan]),
            )
            for name, law in _SCALED
        ]
    rows = n_out if len(shape) == 2 else shape[0] if len(shape) == 1 else 0
    recurrent = [n**-0.5 for n in hidden_sizes(rows)]  # PyTorch draws weights and biases from ±1/√hidden
    found += [_Candidate("normal", {"std": std}, None, NORMAL, std) for std in (*_USUAL, *_GPT2)]
    found += [
        _Candidate("truncated_normal", {"std": std}, None, TRUNCATED, std * TRUNCATED.narrow)
        for std in _USUAL
    ]
    found += [
        _Candidate("uniform", {"low": -bound, "high": bound}, None, UNIFORM, bound / math.sqrt(3))
        for bound in (*_USUAL, *recurrent)
    ]
    # A fan says more than a number: of two equal laws the one with a fan stays.
    taken = {(c.law, round(c.std, 12)) for c in found if c.fan}
    return [c for c in found if c.fan or (c.law, round(c.std, 12)) not in taken]


def _exact(s: Scan, shape, units_last: bool) -> tuple[str, dict] | None:
    """(name, parameters) of the scheme of ``EXACT`` whose entries the tensor has, if any."""
    if s.low == s.high:
        if s.low in (0.0, 1.0):
            return ("ones" if s.low else "zeros"), {}
        # The probability that independent entries of any law agree in all digits of their precision.
        return ("constant", {"value": s.low}) if s.epsilon ** (s.n - 1) < ALPHA else None
    if not (s.has_lines and s.whole):
        return None
    rows, columns = s.shape
    few = s.n - s.zeros
    if len(shape) == 2 and few == min(rows, columns):
        gain = s.high if s.low == 0 else s.low
        if _passes_on(s, np.arange(rows), gain):
            return "identity", {} if gain == 1 else {"gain": gain}
    if len(shape) > 2 and not units_last:
        kernel = shape[2:]
        size, centre = math.prod(kernel), int(np.ravel_multi_index([n // 2 for n in kernel], kernel))
        if s.low == 0 and s.high == 1 and few <= rows:
            for groups in (g for g in range(1, rows + 1) if rows % g == 0):
                channel = np.arange(rows) % (rows // groups)
                if _passes_on(s, np.where(channel < shape[1], channel * size + centre, columns), 1.0):
                    return "dirac", {} if groups == 1 else {"groups": groups}
        # JAX's centre of an even kernel is the lower of the two in the middle.
        lower = int(np.ravel_multi_index([(n - 1) // 2 for n in kernel], kernel))
        for at, params in ((centre, {}), (lower, {"centre": "lower"})):
            norms = s.by_column.squares.reshape(-1, size)[:, at]
            if size > 1 and few <= rows * shape[1]:
                off_centre = s.squares - norms.sum()
                if abs(off_centre) < 1e-9 * s.squares and np.ptp(norms) < 1e-3 * norms.mean():
                    return "delta_orthogonal", {**_gain(math.sqrt(norms.mean())), **params}
    if min(rows, columns) > 1:
        gram = s.gram
        level = float(np.trace(gram)) / len(gram)
        # The roundings of n entries are independent, so together they are 1/√n of what each may be.
        near = 1e-4 + 4 * s.epsilon * min(1.0, 3 / math.sqrt(max(rows, columns)))
        if np.abs(gram - level * np.eye(len(gram))).max() < near * level:
            # The entries of a random orthogonal matrix are nearly normal; those of a basis of cosines or
            # principal components are not.
            ordered, std = np.sort(s.sample, axis=None), math.sqrt(level / max(rows, columns))
            if kolmogorov(ordered, NORMAL, std) >= ALPHA:
                return "orthogonal", _gain(math.sqrt(level))
    return None


def _gain(gain: float) -> dict:
    """The arguments that say this gain: none for 1, and √2 and 5/3 exactly where it is close to them."""
    known = [g for g in (1.0, math.sqrt(2), 5 / 3) if abs(gain / g - 1) < 1e-3]
    return {"gain": known[0] if known else gain} if known != [1.0] else {}


def _passes_on(s: Scan, target: np.ndarray, gain: float) -> bool:
    """Whether row i is 0 but for ``gain`` in column target[i], or all 0 where there is no such column.

    Then its product with the random vector is the gain times that vector's entry there.
    """
    across = np.append(s.across[0], np.zeros(max(0, int(target.max()) + 1 - s.shape[1])))
    return bool(np.allclose(s.by_row.product_0, gain * across[target], rtol=1e-5, atol=0))


def past_an_edge(
    found: Identification, shape: Sequence[int], axes: dict[str, int], layer_fans: Sequence[float]
) -> bool:
    """Whether it is uniform, at no scheme's scale, and ends past a scheme's bound by at most ``EDGE``."""
    if found.law is None or found.law.scheme != "uniform":
        return False
    ends = [c.std * c.law.bound for c in _candidates(shape, axes, layer_fans) if c.law is UNIFORM]
    return any(end < found.law.params["high"] <= EDGE * end for end in ends)


def _sparse(s: Scan, shape, units_last: bool) -> Match | None:
    """The Match of ``sparse``: equally many zeros in every unit, or from every input, the rest normal.

    Zeros that fill whole lines were set, as a table's padding is: then it is the Match of ``normal``.
    """
    if len(shape) != 2 or not (s.has_lines and s.whole) or not 0 < s.zeros < s.n:
        return None
    of_units, of_inputs = (s.by_column.zeros, s.by_row.zeros)[:: 1 if units_last else -1]
    if not np.ptp(of_units):
        params = {"sparsity": _sparsity(int(of_units[0]), len(of_inputs))}
    elif not np.ptp(of_inputs):
        params = {"sparsity": _sparsity(int(of_inputs[0]), len(of_units)), "mode": "fan_out"}
    else:
        return None
    lines, across = (of_inputs, of_units) if np.ptp(of_units) else (of_units, of_inputs)
    if _by_chance_equal(s.n, s.zeros, len(lines)) >= ALPHA:
        return None
    scheme, params = ("normal", {}) if np.isin(across, (0, len(lines))).all() else ("sparse", params)
    n = s.n - s.zeros
    kept = s.sample
    entries = kept[kept != 0]
    for std in _USUAL:
        below = (
            float(scipy.special.chdtr(n, s.squares / std**2))
            if n < 1e6
            else scipy.special.ndtr((s.squares / (n * std**2) - 1) * math.sqrt(n / 2))
        )
        p = min(1.0, 4 * min(below, 1 - below), 2 * kolmogorov(np.sort(entries), NORMAL, std))
        if p >= ALPHA:
            return Match(scheme, {**params, "std": std}, None, p)
    return None


def _by_chance_equal(n: int, zeros: int, lines: int) -> float:
    """P(each of the lines has equally many zeros), where they fall anywhere among the ``n`` entries."""

    def log_choose(n, k):
        return scipy.special.gammaln(n + 1) - scipy.special.gammaln(k + 1) - scipy.special.gammaln(n - k + 1)

    return math.exp(min(0.0, lines * log_choose(n / lines, zeros / lines) - log_choose(n, zeros)))


def _sparsity(zeros: int, n: int) -> float:
    """The shortest decimal s with ⌈s·n⌉ = zeros."""
    for digits in range(1, 17):
        sparsity = math.floor(zeros / n * 10**digits) / 10**digits
        if math.ceil(sparsity * n - 1e-9) == zeros:
            return sparsity
    return zeros / n


def identify(
    array: ArrayLike, *, in_axis: int = 1, out_axis: int = 0, fan_in: float | None = None
) -> Identification:
    """Name the known initializers that ``array`` may be a sample of, or say what speaks against all of them.

    Known are He's, Xavier's and LeCun's Var[W] = scale/fan with every fan, normal, uniform and truncated;
    PyTorch's and Keras' defaults; normal, uniform and truncated draws whose std or bound is 0.001, 0.01,
    0.02, 0.05, 0.1 or 1; GPT-2's 0.02/√(2·layers); orthogonal, identity, dirac, delta_orthogonal, sparse and
    constant tensors; and whatever else ``initializers.SCHEMES`` gives a law for. A normal, uniform or
    truncated draw (at ±2 or ±3 standard deviations) of any other scale is "fresh_unnamed", and ``law`` says
    by which call it would be drawn. Up to four lone entries that no law reaches are named with their places
    (``outliers``), and the verdict is on the rest: the ``trunc_normal_`` of PyTorch and timm leaves single
    entries at its bounds, a hundred standard deviations out.

    Parameters
    ----------
    array : array_like
        Entries of any real dtype. Of more than 2²⁷ entries, so many are read, the same ones every time.
    in_axis, out_axis : int
        The axes of inputs and units, as in ``fans``.
    fan_in : float, optional
        Where ``array`` is a bias: the fan_in of its layer; of a recurrent layer, the hidden size, by which
        PyTorch draws.

    Returns
    -------
    Identification

    Raises
    ------
    ValueError
        For an empty array, axes that it does not have, or a ``fan_in`` that is not positive and finite.
    TypeError
        For entries that are masked or not real numbers.

    Notes
    -----
    A law is named where p ≥ 0.001: the smallest p-value, corrected by Bonferroni's rule, of tests of the
    mean, the mean square, the largest entry, the kurtosis and the distribution function (Kolmogorov), and of
    what holds for independent entries of any law: sums and mean squares of rows and columns, products of
    neighbours, and the largest singular value (Tracy and Widom). So at most one fresh tensor in 1,000 is
    called not fresh. A law whose scale is not known is refused only if it is refused at every scale.

    Of fewer than 113 entries no law is named: so many it takes before a normal sample can be told from a
    uniform one of the same variance at that rate, by the bound √3 that none of its entries may pass
    (P(−√3 ≤ Z ≤ √3)ⁿ < 0.001/18). What no law can have drawn is "not_fresh" with however few entries; the
    rest is "too_few". Equal entries need fewer: two in float32, one that is 0 or 1.

    So "fresh_unnamed" may be a draw with a gain of its own, or a normal start that training has made larger.
    Training that moves a tensor little cannot be seen: a change whose singular values stay below
    std·(rows·columns)^¼ is lost in those of the noise [1]_. A normal start hides more than a uniform one,
    whose edges are sharp. ``audit`` sees more, as it has the layer's bias beside the weight.

    References
    ----------
    .. [1] Benaych-Georges and Nadakuditi, The singular values and vectors of low rank perturbations of large
       rectangular random matrices, 2012.

    Examples
    --------
    >>> import initkit as ik
    >>> print(identify(ik.he_normal((256, 784), rng=0)))
    he_normal()
    >>> identify(ik.he_normal((512, 512), rng=0)).ambiguous  # fan_in = fan_out
    True
    >>> found = identify(ik.normal((512, 512), std=0.03, rng=0))
    >>> found.verdict, found.law.scheme, round(found.law.params["std"], 3)
    ('fresh_unnamed', 'normal', 0.03)
    >>> identify(ik.he_normal((4, 5), rng=0)).verdict
    'too_few'
    """
    if np.ma.is_masked(array):
        raise TypeError(
            "array must hold real numbers; some are masked: pass array.compressed(), or fill them"
        )
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"array must hold real numbers, not {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not array.size:
        raise ValueError(f"array must have an entry, not shape {array.shape}")
    if fan_in is not None and not (is_number(fan_in) and 0 < fan_in < math.inf):
        raise ValueError(f"fan_in must be a positive number, not {fan_in!r}")
    axes = {"in_axis": in_axis, "out_axis": out_axis}
    layer_fans = () if fan_in is None else (fan_in,)
    units_last = False
    if array.ndim > 1:
        fans(array.shape, **axes)  # raises where the axes do not fit
        units_last = out_axis % array.ndim == array.ndim - 1
        if not units_last and out_axis % array.ndim:
            return of_scan(scan_array(np.moveaxis(array, out_axis, 0)), array.shape, axes, layer_fans)
    return of_scan(scan_array(array, units_last), array.shape, axes, layer_fans, units_last)


def of_scan(
    s: Scan,
    shape: Sequence[int],
    axes: dict[str, int],
    layer_fans: Sequence[float] = (),
    units_last: bool = False,
) -> Identification:
    """``identify`` of a tensor that has been scanned already.

    ``axes`` are ``in_axis`` and ``out_axis`` of its ``shape``; ``layer_fans``, of a bias or a recurrent
    layer: what the layer's fan_in may be.
    """
    if s.non_finite:
        return Identification("not_fresh", reason="non_finite")
    if not 0 <= s.squares < math.inf or (s.squares < TOO_SMALL and s.low != s.high):
        return Identification("not_fresh", reason="too_large")
    if exact := _exact(s, shape, units_last):
        return Identification("fresh", (Match(*exact, None, 1.0),))
    if found := _sparse(s, shape, units_last):
        return Identification("fresh", (found,))
    found = _of_laws(s, shape, axes, layer_fans)
    if found.verdict == "not_fresh" and s.far:
        rest = s.without_far()
        if rest.squares < TOO_SMALL:
            return found
        of_rest = _of_laws(rest, shape, axes, layer_fans)
        if of_rest.matches or of_rest.law:
            return replace(of_rest, outliers=tuple(sorted(s.far)))
    return found


def _of_laws(s: Scan, shape: Sequence[int], axes: dict, layer_fans: Sequence[float]) -> Identification:
    """The verdict by laws, on a tensor that neither ``_exact`` nor ``_sparse`` has named."""
    independence = _independence(s)
    candidates = _candidates(shape, axes, layer_fans) if s.n >= FEWEST else []
    laws = dict.fromkeys((*SHAPES, *(c.law for c in candidates)))
    known = {law: _of_any_scale(s, law, independence) for law in laws}
    ordered = np.sort(s.sample, axis=None)
    passed = []
    for c in candidates:
        ratio = s.mean_square / c.std**2
        if abs(ratio - 1) * math.sqrt(s.n / (c.law.fourth - 1)) > 6 + 100 / math.sqrt(s.n):
            continue  # its scale alone refuses the law, without the slower tests
        p = _combined(_tests(s, c.law, c.std, known[c.law], ordered))
        if p >= ALPHA:
            likelihood = s.n * (c.law.log_likelihood(ratio, ordered / c.std) - math.log(c.std))
            passed.append((likelihood, Match(c.scheme, c.params, c.fan, p)))
    if passed:
        best = max(likelihood for likelihood, _ in passed)
        near = [
            (round(best - likelihood, 6), m) for likelihood, m in passed if likelihood > best - LESS_LIKELY
        ]
        matches = tuple(m for _, m in sorted(near, key=lambda pair: pair[0]))
        return Identification("fresh", matches, ambiguous=len(matches) > 1)
    fitted = [(law, *_at_best(s, law, known[law], ordered)) for law in SHAPES]
    if all(p < ALPHA for _, p, *_ in fitted):
        tests = max(fitted, key=lambda one: one[1])[3]
        tests["tails"] = min(tests["tails"], tests.pop("scale"))  # at no scale does the furthest entry fit
        reason = min(tests, key=lambda reason: (tests[reason], REASONS.index(reason)))
        return Identification("not_fresh", reason=reason)
    if s.n < FEWEST:
        return Identification("too_few")
    unnamed = []
    for law, p, std, _ in fitted:
        if p >= ALPHA:
            fits = law.log_likelihood(s.mean_square / std**2, ordered / std)
            likelihood = s.n * (fits - math.log(std))
            unnamed.append((likelihood, Match(law.name, law.params(std), None, p)))
    best = max(likelihood for likelihood, _ in unnamed)
    near = [pair for pair in unnamed if pair[0] > best - LESS_LIKELY]
    return Identification(
        "fresh_unnamed", ambiguous=len(near) > 1, law=max(near, key=lambda pair: pair[0])[1]
    )
