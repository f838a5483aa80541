"""Predict what a wide random network does to its signal: the mean-field theory, as ``Signals``.

In a wide layer the pre-activations are Gaussian, z ~ N(0, q); layer by layer q, the correlation of two
inputs and the size of a gradient follow from means over one or two normal numbers (Poole et al. 2016,
Schoenholz et al. 2016). Weights have variance σ_w²/fan_in, biases σ_b².
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

from . import activations
from .arguments import is_number, is_whole
from .network import MLP, NORM_EPSILON
from .signals import FLAT, Signals, mean_cosine, mean_square, measure, softmax_cross_entropy, steepest_slope

# Gauss and Legendre's rule on panels that meet at 0, where most kinks are, and crowd there, as √q·z makes a
# function steep: nodes z and weights with Σ w·g(z) ≈ E[g(z)], z ~ N(0, 1).
_x, _w = np.polynomial.legendre.leggauss(10)
_right = np.array([0.003, 0.05, 0.4, 1.5, 3.0, 5.0, 8.5])
_borders = np.concatenate([-_right[::-1], [0.0], _right])
_half = np.diff(_borders)[:, None] / 2
_Z = (_borders[:-1, None] + _half * (_x + 1)).ravel()
_W = (_half * _w).ravel() * np.exp(-_Z * _Z / 2) / activations.SQRT_2PI
# E[1] = E[z²] = 1 to the last digit, so that what should stay the same does.
_m0, _m2, _m4 = (_W @ _Z**_k for _k in (0, 2, 4))
_W *= np.polynomial.Polynomial(np.linalg.solve([[_m0, _m2], [_m2, _m4]], [1.0, 1.0]))(_Z * _Z)

# h_k, the Hermite polynomials with E[h_j(z) h_k(z)] = [j = k], by rows, times the weights.
_TERMS = 48
_hermite = [np.ones_like(_Z), _Z]
for _k in range(1, _TERMS - 1):
    _hermite.append((_Z * _hermite[-1] - math.sqrt(_k) * _hermite[-2]) / math.sqrt(_k + 1))
_HERMITE = np.array(_hermite) * _W
_POWERS = np.arange(float(_TERMS))


def _on_gaussian(f, q) -> np.ndarray:
    """f(√q·z) on the nodes, a row for each entry of ``q``."""
    return np.asarray(f(np.sqrt(np.asarray(q, np.float64))[..., None] * _Z), np.float64)


def _absolute(c: float) -> float:
    """E|u₁||u₂| of unit normals of correlation c."""
    return (2 / math.pi) * (math.sqrt(1 - c * c) + c * math.asin(c))


_ABSOLUTE = np.square(np.abs(_Z) @ _HERMITE.T)  # the same, as a_k of the series below


def _kernels(f, df, q: np.ndarray) -> tuple:
    """What gives E[f(u₁)f(u₂)] for normals of variance q, correlation c, for each q.

    Returns the coefficients a_k of the series below, what they leave over of even powers and of odd, the
    ratio of each, and the kink's factor.

    Mehler's formula, Σ a_k c^k, converges slowly where f has a kink. So f is split into a smooth function
    and κ/2·|u|, κ the jump of f' at 0, whose part of the series is replaced by its closed form (Cho & Saul
    2009): Σ a_k c^k + ``kink``·E|u₁||u₂|. What 48 terms leave over is known at c = ±1; it goes on as two
    geometric series, of the even powers and of the odd, each with the ratio that the last term suggests.
    """
    values = _on_gaussian(f, q)
    jump = np.subtract(*np.asarray(df(np.array([1e-4, -1e-4])), np.float64))
    jump = jump if abs(jump) > 1e-3 else 0.0  # else it is the slope's own change between the two
    kink = np.square(jump / 2) * np.asarray(q, np.float64)
    series = np.square(values @ _HERMITE.T) - kink[..., None] * _ABSOLUTE
    same = np.square(values) @ _W - kink
    opposite = (values * values[..., ::-1]) @ _W - kink
    both = np.stack([same + opposite, same - opposite], axis=-1) / 2
    rest = both - series.reshape(len(q), _TERMS // 2, 2).sum(axis=-2)
    last = series[..., -2:]
    ratio = np.where(rest * last > 0, np.minimum(rest / (rest + last), 0.99), 0.0)  # 0.98 for a step
    return series, rest.tolist(), ratio.tolist(), kink.tolist()


def _together(series: np.ndarray, rest, ratio, kink: float, c: float) -> float:
    """E[f(u₁)f(u₂)] at one correlation, from what ``_kernels`` gives for one q."""
    found = float(series @ c**_POWERS) + kink * _absolute(c)
    for power, left, r in zip((_TERMS, _TERMS + 1), rest, ratio, strict=True):
        found += left * c**power * (1 - r) / (1 - r * c * c)
    return found


def _variance(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Of each row. E[f²] − E[f]² would lose its digits where f(0) is not 0 and q is small."""
    found = np.square(values - mean[:, None]) @ _W
    return np.where(found > 1e-30 * np.square(mean), found, 0.0)  # what is less, f was rounded by


class _Moments(NamedTuple):
    """Means over z ~ N(0, 1) of x = √q·z, an entry for each q."""

    mean: np.ndarray  # E[f(x)]
    second: np.ndarray  # E[f(x)²]
    variance: np.ndarray  # Var[f(x)]
    spread: np.ndarray  # Var[f(x)²]
    passed: np.ndarray  # q·d E[f(x)²]/dq = E[f(x) f'(x) x]
    slope2: np.ndarray  # E[f'(x)²]


def _second(activation, q: float) -> float:
    """E[f(√q z)²], for one q."""
    if activation.lines:
        return q * float(np.square(activation.lines).mean())
    values = activation.f(math.sqrt(q) * _Z)
    return float(np.square(values, dtype=np.float64) @ _W)


def _moments(activation, q: np.ndarray) -> _Moments:
    """Closed forms where f is two straight lines (Cho & Saul 2009 at n = 1), else by quadrature."""
    if activation.lines:
        a, b = activation.lines
        second, mean = (a * a + b * b) / 2, (b - a) / activations.SQRT_2PI
        spread = 1.5 * (a**4 + b**4) - second**2
        slope2 = np.where(q > 0, second, float(activation.df(np.zeros(1))[0]) ** 2)
        return _Moments(
            mean * np.sqrt(q), second * q, (second - mean**2) * q, spread * q * q, second * q, slope2
        )
    values, slopes = _on_gaussian(activation.f, q), _on_gaussian(activation.df, q)
    squares = np.square(values)
    mean, second = values @ _W, squares @ _W
    passed = ((values * slopes * _Z) @ _W) * np.sqrt(q)
    return _Moments(
        mean, second, _variance(values, mean), _variance(squares, second), passed, np.square(slopes) @ _W
    )


def _products(activation, q: np.ndarray) -> list[Callable[[float], float]]:
    """For each q the function c ↦ E[f(u₁)f(u₂)], for normals of variance q and correlation c."""
    if activation.lines:
        a, b = activation.lines
        even, odd = ((b - a) / 2) ** 2, ((a + b) / 2) ** 2
        return [lambda c, q=q: q * (odd * c + even * _absolute(c)) for q in q.tolist()]
    rows = zip(*_kernels(activation.f, activation.df, q), strict=True)
    return [lambda c, row=row: _together(*row, c) for row in rows]


@functools.cache
def _named_borders(name: str) -> tuple[bool, np.ndarray]:
    return _borders_of_flat(activations.NAMES[name])


def _borders_of_flat(activation) -> tuple[bool, np.ndarray]:
    """Is f flat far on the left? and where that changes, looked for on a grid, 0.4 % apart."""
    positive = np.geomspace(1e-6, 1e6, 8001) if activation.lines is None else np.ones(1)
    x = np.concatenate([-positive[::-1], positive])
    flat = np.abs(np.asarray(activation.df(x))) < FLAT * steepest_slope(activation)
    change = np.flatnonzero(flat[1:] != flat[:-1])
    return bool(flat[0]), (x[change] + x[change + 1]) / 2


def _flat_share(activation, q: np.ndarray) -> np.ndarray:
    """P(|f'(√q z)| < FLAT·max|f'|)."""
    # What is not ours may change, or share a name.
    named = activations.NAMES.get(activation.name) is activation
    from_left, borders = _named_borders(activation.name) if named else _borders_of_flat(activation)
    below = scipy.special.ndtr(borders / np.sqrt(np.maximum(q, 1e-300))[:, None])
    below = np.concatenate([np.zeros((len(q), 1)), below, np.ones((len(q), 1))], axis=1)
    return np.diff(below)[:, int(not from_left) :: 2].sum(axis=1)


def predict(
    depth: int,
    width: int,
    activation="relu",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    q0: float = 1.0,
    *,
    c0: float = 0.0,
    grad_var: float = 1.0,
    residual: float | None = None,
    norm: str | None = None,
) -> Signals:
    """What ``measure`` will find, layer by layer, in a random net of ``depth`` layers of ``width`` units.

    q₁ = σ_w² q₀ + σ_b², q_{l+1} = σ_w² E[f(√q_l z)²] + σ_b², z ~ N(0, 1) (Poole et al. 2016, eq. 3)
    c_{l+1} q_{l+1} = σ_w² E[f(u₁) f(u₂)] + σ_b², with u₁, u₂ of variance q_l, correlation c_l (eq. 5)
    Var[δ_l] = σ_w² E[f'(√q_l z)²] Var[δ_{l+1}] (Schoenholz et al. 2016, on backpropagation)

    ``q0``, ``c0``: mean square of the inputs, and the mean cosine between two. ``grad_var``: mean square
    of the gradient at the output, where the backward recursion starts. ``residual``, ``norm``: as in
    ``MLP``, with the layers 2 … depth − 1 as blocks. ``q_band``: for one input, 95 of 100 nets of this
    width have their q_l in it, if log q_l is normal, of the variance that widths give it to first
    order (for ReLU 5/width a layer: Hanin & Rolnick 2018); where the depth is more than a tenth of the
    width, fewer. ``dead`` depends on the batch and is NaN. For functions that are smooth but for a kink at 0
    means are right to 1e-6; correlations to 1e-5 while q is about 1, to 1e-4 up to q = 12, and to 1e-2 where
    √q makes tanh a step.
    Returns Signals, with the indices of ``measure``. Raises ValueError for a depth or width below 1, a
    negative σ or q₀, |c₀| > 1. Taught in lesson 03.

    >>> predict(3, 100, "relu", sigma_w=2**0.5).q.round(6).tolist()
    [2.0, 2.0, 2.0]
    >>> float(np.log2(predict(30, 100, "relu", sigma_w=1.0).q[-1]).round(9))  # Xavier's variance
    -29.0
    """
    for name, value in (("depth", depth), ("width", width)):
        if not is_whole(value) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b, q0=q0, grad_var=grad_var)
    if not is_number(c0) or not abs(c0) <= 1:
        raise ValueError(f"c0 must lie in [-1, 1], not {c0!r}")
    # An MLP's own rules for these two, and their errors.
    like = MLP([1, 1], activation, "zeros", residual=residual, norm=norm)
    skips = np.zeros(depth, bool)
    skips[1:-1] = residual is not None
    widths = np.full(depth + 1, width)
    sigmas = np.full(depth, float(sigma_w)), np.full(depth, float(sigma_b))
    return _recursion(like, widths, skips, *sigmas, q0, c0, grad_var)


def predict_for(net: MLP, x, y=None, *, grad_var: float | None = None) -> Signals:
    """``predict`` for this net and these inputs, to be laid over ``measure(net, x, y)``.

    σ_w² = fan_in·⟨W²⟩ and σ_b² = ⟨b²⟩ are read off every layer as it stands, q₀ and c₀ off ``x``; with
    labels ``y``, Var[δ] at the output is what a forward pass finds; ``grad_var`` is that number, where it is
    known already. Weights that are not independent and of mean 0 (constants, trained ones) are not what
    the theory speaks of.
    Raises as ``measure`` does. Taught in lesson 03.

    >>> net = MLP([64, *[500] * 10, 10], "tanh", "xavier_normal", rng=0)
    >>> x = np.random.default_rng(0).standard_normal((20, 64))
    >>> bool(abs(predict_for(net, x).q[9] / 0.0476 - 1) < 0.1)
    True
    """
    if grad_var is not None and not is_number(grad_var):
        raise ValueError(f"grad_var must be None or a number, not {grad_var!r}")
    x = net.checked(x)
    sigma_w = [math.sqrt(n * mean_square(w)) for n, w in zip(net.widths, net.weights, strict=False)]
    sigma_b = [math.sqrt(mean_square(b)) for b in net.biases]
    if y is not None and grad_var is None:
        grad_var = mean_square(softmax_cross_entropy(net.output(x), y)[1])
    return _recursion(
        net, np.array(net.widths), net.skips, np.array(sigma_w), np.array(sigma_b),
        mean_square(x), mean_cosine(x), grad_var,
    )  # fmt: skip


def seen_and_predicted(net: MLP, x, y, edges=None) -> tuple[Signals, Signals]:
    """``measure`` and ``predict_for``, which need one forward pass together."""
    seen = measure(net, x, y, edges)
    return seen, predict_for(net, x, grad_var=float(seen.grad_var[-1]))


def _recursion(net, widths, skips, sigma_w, sigma_b, q0, c0, grad_var) -> Signals:
    depth = len(sigma_w)
    w2, b2, skips = np.square(sigma_w).tolist(), np.square(sigma_b).tolist(), skips.tolist()
    scale2 = 1.0 if net.residual is None else net.residual**2
    f = net.activation
    with np.errstate(all="ignore"):
        now = w2[0] * q0 + b2[0]
        q = [now]
        for weight, bias, skip in zip(w2[1:], b2[1:], skips[1:], strict=True):
            branch = weight * _second(f, now / (now + NORM_EPSILON) if net.norm else now) + bias
            now = now + scale2 * branch if skip else branch
            q.append(now)
        q = np.array(q)
        inner = q[:-1] / (q[:-1] + NORM_EPSILON) if net.norm else q[:-1]  # of what f sees
        moments = _moments(f, inner)
        chi = np.array(w2[1:]) * moments.slope2
        return Signals(
            q=q,
            activation_mean=np.append(moments.mean, 0.0),
            activation_var=np.append(moments.variance, q[-1]),
            correlation=_correlations(_products(f, inner), skips, q, w2, b2, scale2, q0, c0),
            saturated=np.append(_flat_share(f, inner), 0.0),
            dead=np.full(depth, np.nan),
            grad_var=None if grad_var is None else _backward(net, widths, skips, q, chi, scale2, grad_var),
            q_band=_band(net, widths, q, moments, np.array(w2[1:])),
        )


def _within(c: float) -> float:
    """Rounding may not leave [−1, 1]; NaN stays NaN."""
    return math.copysign(1.0, c) if abs(c) > 1 else c


def _correlations(products, skips, q, w2, b2, scale2, q0, c0) -> np.ndarray:
    q = q.tolist()
    c = _within((w2[0] * q0 * c0 + b2[0]) / q[0] if q[0] else math.nan)
    found = [c]
    layers = zip(products, w2[1:], b2[1:], skips[1:], q[:-1], q[1:], strict=True)
    for product, weight, bias, skip, before, after in layers:
        branch = weight * product(c) + bias
        covariance = c * before + scale2 * branch if skip else branch
        # Like inputs stay alike; where that is not stable, rounding would part them.
        c = 1.0 if c == 1 and after else _within(covariance / after if after else math.nan)
        found.append(c)
    return np.array(found)


def _backward(net, widths, skips, q, chi, scale2, grad_var) -> np.ndarray:
    branch = chi * widths[2:] / widths[1:-1]
    if net.norm:
        branch = branch / (q[:-1] + NORM_EPSILON)
    factors = np.where(skips[1:], 1 + scale2 * branch, branch)
    return grad_var * np.append(np.cumprod(factors[::-1])[::-1], 1.0)


def _band(net, widths, q, moments, w2) -> np.ndarray | None:
    """exp(log q − s²/2 ± 1.96 s), s² the variance of log q_l over nets of these widths.

    V_l, the variance that layer l's units share, fluctuates as the mean of f² over n_{l−1} units does; q_l
    is the mean square of n_l units of variance V_l, which adds 2/n_l.
    """
    if net.residual is not None or net.norm:
        return None
    ratio = w2 * moments.second / q[1:]  # the weights' part of q
    spread = ratio**2 * moments.spread / moments.second**2 / widths[1:-1]
    passed = w2 * moments.passed / q[1:]  # d log q_{l+1} / d log q_l
    v = [0.0]  # of log V_l; a factor 1 + x with Var[x] = u has a logarithm of variance log(1 + u)
    for kept, added in zip(np.square(passed).tolist(), np.log1p(spread).tolist(), strict=True):
        v.append(kept * v[-1] + added)
    s2 = np.array(v) + np.log1p(2 / widths[1:])
    return np.exp(np.log(q)[:, None] - s2[:, None] / 2 + 1.96 * np.sqrt(s2)[:, None] * np.array([-1, 1]))


# The phases -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """Where (σ_w, σ_b) lies; lengths in layers, the rest without unit.

    ``q_star``  fixed point of q that q = 1 runs to; 0 or inf where it fades or explodes; 1 where q stays
                as it is (ReLU at σ_w² = 2, σ_b = 0)
    ``chi_1``   σ_w² E[f'(√q* z)²]: growth of a gradient, and of the distance of two like inputs, a layer
                (Poole et al. 2016, eq. 7; Schoenholz et al. 2016, eq. 5)
    ``xi_q``    q_l − q* fades as exp(−l/xi_q) (Schoenholz et al. 2016, eq. 7); inf where it does not
    ``xi_c``    c_l − c* fades as exp(−l/xi_c) (eq. 9); inf at the edge of chaos, and where it does not
    ``phase``   "ordered" (χ₁ < 1: inputs become one), "critical", "chaotic" (χ₁ > 1: gradients explode)
    """

    q_star: float
    chi_1: float
    xi_q: float
    xi_c: float
    phase: str


_GRID = np.geomspace(1e-14, 1e14, 561)  # of q; its ends stand for 0 and infinity


def _root(function, low: float, high: float) -> float:
    return scipy.optimize.brentq(function, low, high, xtol=1e-14)


def _check_sizes(**arguments) -> None:
    for name, value in arguments.items():
        if not (is_number(value) and np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")


def _depth_scale(slope: float) -> float:
    """ξ with slope^l = exp(−l/ξ)."""
    slope = abs(slope)
    if slope == 0:
        return 0.0
    return math.inf if slope > 1 - 1e-9 else -1 / math.log(slope)


def _fixed_point(f, w2: float, b2: float) -> float:
    grow = lambda q: w2 * (np.square(_on_gaussian(f, q)) @ _W) + b2 - q  # noqa: E731
    step = grow(_GRID)
    step[np.abs(step) < 1e-12 * _GRID] = 0
    if not step.any():
        return 1.0
    signs = np.sign(step)
    start = len(_GRID) // 2  # q = 1
    if signs[start] == 0:
        return 1.0
    if signs[start] > 0:
        ahead = np.flatnonzero(signs[start:] <= 0)
        if not ahead.size or signs[start + ahead[0]] == 0:  # what is added is below q's last digit
            return math.inf
        right = start + ahead[0]
        left = right - 1
    else:
        behind = np.flatnonzero(signs[: start + 1] >= 0)
        if not behind.size or signs[behind[-1]] == 0:
            return 0.0
        left = behind[-1]
        right = left + 1
    root = _root(lambda t: float(grow(math.exp(t))), *np.log(_GRID[[left, right]]))
    return math.exp(root)


def phase(activation, sigma_w: float, sigma_b: float = 0.0) -> Phase:
    """In which phase a net with these variances is, and how deep a signal travels in it.

    Returns a ``Phase``, whose fields give the equations; right for σ_w to about 1,000, beyond which tanh is a
    step. Raises ValueError for negative or non-finite σ.
    Taught in lesson 06.

    >>> p = phase("tanh", sigma_w=1.3, sigma_b=0.3)
    >>> p.phase, round(p.q_star, 3), round(p.chi_1, 3)
    ('ordered', 0.607, 0.94)
    >>> phase("relu", 2**0.5).phase
    'critical'
    """
    _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b)
    activation = activations.get(activation)
    f, df = activation.f, activation.df
    w2, b2 = float(sigma_w) ** 2, float(sigma_b) ** 2
    with np.errstate(all="ignore"):
        q_star = _fixed_point(f, w2, b2)
        q = min(max(q_star, _GRID[0]), _GRID[-1])
        values, slopes = _on_gaussian(f, q), _on_gaussian(df, q)
        chi_1 = w2 * float(np.square(slopes) @ _W)
        q_slope = w2 * float((values * slopes * _Z) @ _W) / math.sqrt(q)
        if abs(chi_1 - 1) < 1e-6:
            return Phase(q_star, chi_1, _depth_scale(q_slope), math.inf, "critical")
        if chi_1 < 1:
            return Phase(q_star, chi_1, _depth_scale(q_slope), _depth_scale(chi_1), "ordered")
        (product,) = _products(activation, np.array([q]))
        mapped = lambda c: w2 * product(c) + b2  # noqa: E731
        after = mapped(1.0)  # q itself, unless q explodes
        nearer = lambda c: mapped(c) / after - c  # noqa: E731
        c_star = _root(nearer, 0, 1 - 1e-6) if nearer(1e-12) > 0 > nearer(1 - 1e-6) else 0.0
        # c* is left at the slope of the map there.
        step = min(1e-5, (1 - c_star) / 2)
        slope = 1 + (nearer(c_star + step) - nearer(c_star - step)) / (2 * step)
    return Phase(q_star, chi_1, _depth_scale(q_slope), _depth_scale(slope), "chaotic")


def critical_sigma_w(activation, sigma_b: float = 0.0) -> float:
    """The edge of chaos: the σ_w at which χ₁ = 1 (Schoenholz et al. 2016, section 3).

    On the edge σ_w² = 1/E[f'(√q z)²] and σ_b² = q − σ_w² E[f(√q z)²]; the second is solved for q. Where
    there are several solutions, the least q that a signal runs to. Raises ValueError where there is none:
    ReLU's q grows without end but for σ_b = 0; GELU's and SiLU's leave such a q again. Taught in lesson 06.

    >>> round(critical_sigma_w("relu") ** 2, 6), round(critical_sigma_w("tanh", 0.05**0.5) ** 2, 3)
    (2.0, 1.761)
    """
    _check_sizes(sigma_b=sigma_b)
    activation = activations.get(activation)
    b2 = float(sigma_b) ** 2

    def edge(q):
        """σ_w² and σ_b²."""
        w2 = 1 / (np.square(_on_gaussian(activation.df, q)) @ _W)
        return w2, q - w2 * (np.square(_on_gaussian(activation.f, q)) @ _W)

    with np.errstate(all="ignore"):
        over = lambda t: float(edge(math.exp(t))[1] - b2)  # noqa: E731
        candidates = [math.sqrt(edge(_GRID[0])[0])]  # at q = 0, which is a fixed point where f(0) = 0 = σ_b
        excess = edge(_GRID)[1] - b2
        excess[np.abs(excess) < 1e-12 * _GRID] = 0  # rounding
        for i in np.flatnonzero(excess[1:] * excess[:-1] < 0):
            root = _root(over, *np.log(_GRID[[i, i + 1]]))
            candidates.append(math.sqrt(edge(math.exp(root))[0]))
        for sigma_w in candidates:
            there = phase(activation, sigma_w, sigma_b)
            if there.phase == "critical" and math.isfinite(there.q_star):
                return sigma_w
    raise ValueError(
        f"sigma_b: {activation.name!r} has no edge of chaos at {sigma_b!r}: "
        "no sigma_w has chi_1 = 1 at a finite q that a signal runs to"
    )
