"""Predict what a wide random network does to its signal: the mean-field theory, as ``Signals``.

In a wide layer the pre-activations are Gaussian, z ~ N(0, q). Layer by layer, q, the correlation of two
inputs and the size of a gradient follow from means over one or two normal variables (Poole et al. 2016,
Schoenholz et al. 2016). Weights have variance σ_w²/fan_in, biases σ_b².
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import scipy

from . import activations
from .activations import Activation, ActivationLike
from .arguments import Array, Elementwise, Real, ShapeLike, Whole, check_whole, is_finite, is_number
from .fans import checked_shape
from .network import MLP, NORM_EPSILON, Norm
from .signals import FLAT, Signals, mean_cosine, mean_square, measure, softmax_cross_entropy, steepest_slope

__all__ = [
    "LogLength", "Phase", "PhaseMap", "correlation_map", "critical_sigma_w", "length_map", "log_length",
    "phase", "predict", "predict_for", "seen_and_predicted", "slope_moments", "width_sum",
]  # fmt: skip


# Nodes z and weights w with Σ w·g(z) ≈ E[g(z)], z ~ N(0, 1): Gauss and Legendre's rule on panels. 0, where
# most kinks are, is a border, and the panels are narrow near it, as a large √q makes f(√q·z) steep there.
def _rule(right: Array) -> tuple[Array, Array]:
    """Nodes and weights on panels with these borders on the right of 0, and on its left."""
    x, w = np.polynomial.legendre.leggauss(10)
    borders = np.concatenate([-right[::-1], [0.0], right])
    half = np.diff(borders)[:, None] / 2
    z = (borders[:-1, None] + half * (x + 1)).ravel()
    weights = (half * w).ravel() * np.exp(-z * z / 2) / activations.SQRT_2PI
    # Corrected so that E[1] = E[z²] = 1 to the last digit: a critical net's q then stays exactly as it is.
    m0, m2, m4 = (weights @ z**k for k in (0, 2, 4))
    return z, weights * np.polynomial.Polynomial(np.linalg.solve([[m0, m2], [m2, m4]], [1.0, 1.0]))(z * z)


_Z, _W = _rule(np.array([0.003, 0.05, 0.4, 1.5, 3.0, 5.0, 8.5]))
# Where q is above _STEEP, a bounded f is a step between two nodes, and its slope is seen by these alone.
_STEEP, (_NEAR_Z, _NEAR_W) = 1e4, _rule(np.append(np.geomspace(1e-8, 0.4, 14), [1.5, 3.0, 5.0, 8.5]))

# Row k: the Hermite polynomial h_k, scaled so that E[h_j(z) h_k(z)] = [j = k], times the weights.
_TERMS = 48
_hermite = [np.ones_like(_Z), _Z]
for _k in range(1, _TERMS - 1):
    _hermite.append((_Z * _hermite[-1] - math.sqrt(_k) * _hermite[-2]) / math.sqrt(_k + 1))
_HERMITE = np.array(_hermite) * _W
_POWERS = np.arange(float(_TERMS))


def _on_gaussian(f: Elementwise, q: npt.ArrayLike, nodes: Array = _Z) -> Array:
    """f(√q·z) on the nodes, a row for each entry of ``q``."""
    return np.asarray(f(np.multiply.outer(np.sqrt(q), nodes)), np.float64)


def _second(activation: Activation, q: Any) -> Any:
    """E[f(√q z)²], for one q or an array."""
    if activation.lines:
        return q * float(np.square(activation.lines).mean())
    return np.square(_on_gaussian(activation.f, q)) @ _W


def _absolute(c: Any) -> Any:
    """E|u₁||u₂| of two unit normals of correlation c, one number or an array."""
    library: Any = math if isinstance(c, float) else np  # for one number, math takes a tenth of the time
    return (2 / math.pi) * (library.sqrt(1 - c * c) + c * library.asin(c))


_ABSOLUTE = np.square(np.abs(_Z) @ _HERMITE.T)  # the coefficients a_k of that function's series


def _kernels(f: Elementwise, df: Elementwise, q: Array) -> tuple[Array, Array, Array, Array]:
    """For each q, what ``_together`` needs to give E[f(u₁)f(u₂)], u₁ and u₂ of variance q and correlation c.

    By Mehler's formula this is Σ a_k c^k, which converges slowly where f has a kink. So the kink, κ/2·abs(u)
    with κ the jump of f' at 0, is split off: its part of the series is replaced by the closed form of
    E|u₁||u₂| (Cho & Saul 2009). The terms beyond the 48th are two geometric series, of the even powers and of
    the odd: their sums are known from c = ±1, their ratios from the last term.

    Returns the coefficients a_k, the sums and the ratios, (q, 2) each, and the kink's factor (κ/2)²·q.
    """
    values = _on_gaussian(f, q)
    jump = np.subtract(*np.asarray(df(np.array([1e-4, -1e-4])), np.float64))
    jump = jump if abs(jump) > 1e-3 else 0.0  # a smooth f' changes by less between ±1e-4
    kink = np.square(jump / 2) * np.asarray(q, np.float64)
    series = np.square(values @ _HERMITE.T) - kink[..., None] * _ABSOLUTE
    same = np.square(values) @ _W - kink
    opposite = (values * values[..., ::-1]) @ _W - kink
    both = np.stack([same + opposite, same - opposite], axis=-1) / 2
    rest = both - series.reshape(*kink.shape, _TERMS // 2, 2).sum(axis=-2)
    last = series[..., -2:]
    ratio = np.where(rest * last > 0, np.minimum(rest / (rest + last), 0.99), 0.0)  # 0.98 for a step
    return series, rest, ratio, kink


def _together(series: Array, rest: Any, ratio: Any, kink: Any, c: Any) -> Any:
    """E[f(u₁)f(u₂)] at the correlation c, from a row of ``_kernels``; of arrays, with the terms' axis, and
    that of 2, in front."""
    if isinstance(c, float):
        found = float(series @ c**_POWERS) + kink * _absolute(c)
    else:
        found = np.polynomial.polynomial.polyval(c, series, tensor=False) + kink * _absolute(c)
    for power, left, r in zip((_TERMS, _TERMS + 1), rest, ratio, strict=True):
        found = found + left * c**power * (1 - r) / (1 - r * c * c)
    return found


def _variance(values: Array, mean: Array) -> Array:
    """The variance of each row. E[f²] − E[f]² would lose its digits where f(0) is not 0 and q is small."""
    found = np.square(values - mean[:, None]) @ _W
    return np.where(found > 1e-30 * np.square(mean), found, 0.0)  # below that, it is the rounding of f


class _Moments(NamedTuple):
    """Means of functions of x = √q·z, z ~ N(0, 1), an entry for each q."""

    mean: Array  # E[f(x)]
    second: Array  # E[f(x)²]
    variance: Array  # Var[f(x)]
    spread: Array  # Var[f(x)²]
    passed: Array  # q·d E[f(x)²]/dq = E[f(x) f'(x) x]
    slope2: Array  # E[f'(x)²]


def _moments(activation: Activation, q: Array) -> _Moments:
    """By closed forms where f is two straight lines (Cho & Saul 2009 at n = 1), else by quadrature."""
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
    mean, size = values @ _W, squares @ _W
    passed, slope2 = ((values * slopes * _Z) @ _W) * np.sqrt(q), np.square(slopes) @ _W
    steep = q > _STEEP
    if steep.any():
        f, df = (_on_gaussian(g, q[steep], _NEAR_Z) for g in (activation.f, activation.df))
        passed[steep] = ((f * df * _NEAR_Z) @ _NEAR_W) * np.sqrt(q[steep])
        slope2[steep] = np.square(df) @ _NEAR_W
    return _Moments(mean, size, _variance(values, mean), _variance(squares, size), passed, slope2)


def _of_lines(lines: tuple[float, float], q: Any, c: Any) -> Any:
    """E[f(u₁)f(u₂)] where f is two straight lines."""
    a, b = lines
    return q * (((a + b) / 2) ** 2 * c + ((b - a) / 2) ** 2 * _absolute(c))


def _product(activation: Activation, q: Array) -> Callable[[Any], Any]:
    """The function c ↦ E[f(u₁)f(u₂)] of normals of variance q and correlation c, arrays both."""
    if activation.lines:
        return functools.partial(_of_lines, activation.lines, q)
    series, rest, ratio, kink = _kernels(activation.f, activation.df, q)
    series, rest, ratio = (np.moveaxis(a, -1, 0) for a in (series, rest, ratio))
    return functools.partial(_together, series, rest, ratio, kink)


def _products(activation: Activation, q: Array) -> list[Callable[[float], float]]:
    """For each q, that function of one number."""
    if activation.lines:
        return [functools.partial(_of_lines, activation.lines, size) for size in q.tolist()]
    series, rest, ratio, kink = _kernels(activation.f, activation.df, q)
    rows = zip(series, rest.tolist(), ratio.tolist(), kink.tolist(), strict=True)
    return [functools.partial(_together, *row) for row in rows]


@activations.cached
def _borders_of_flat(activation: Activation) -> tuple[bool, Array]:
    """Whether f is flat far on the left, and the x where that changes, on a grid with steps of 0.4 %."""
    positive = np.geomspace(1e-6, 1e6, 8001) if activation.lines is None else np.ones(1)
    x = np.concatenate([-positive[::-1], positive])
    flat = np.abs(np.asarray(activation.df(x))) < FLAT * steepest_slope(activation)
    change = np.flatnonzero(flat[1:] != flat[:-1])
    return bool(flat[0]), (x[change] + x[change + 1]) / 2


def _flat_share(activation: Activation, q: Array) -> Array:
    """The probability that f'(√q z) is below FLAT of its largest, in absolute value."""
    from_left, borders = _borders_of_flat(activation)
    below = scipy.special.ndtr(borders / np.sqrt(np.maximum(q, 1e-300))[:, None])
    below = np.concatenate([np.zeros((len(q), 1)), below, np.ones((len(q), 1))], axis=1)
    return np.diff(below)[:, int(not from_left) :: 2].sum(axis=1)


def predict(
    depth: Whole,
    width: Whole,
    activation: ActivationLike = "relu",
    sigma_w: Real = 1.0,
    sigma_b: Real = 0.0,
    q0: Real = 1.0,
    *,
    c0: Real = 0.0,
    grad_var: Real = 1.0,
    residual: Real | None = None,
    norm: Norm = None,
) -> Signals:
    """What ``measure`` will find in a random net of ``depth`` layers of ``width`` units.

    With z ~ N(0, 1), and u₁, u₂ normals of variance q_l and correlation c_l::

        q₁             = σ_w² q₀ + σ_b²
        q_{l+1}        = σ_w² E[f(√q_l z)²] + σ_b²
        c_{l+1} q_{l+1} = σ_w² E[f(u₁) f(u₂)] + σ_b²
        Var[δ_l]       = σ_w² E[f'(√q_l z)²] Var[δ_{l+1}]

    Used in lesson 04.

    Parameters
    ----------
    depth, width : int
        Layers, and units a layer.
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    sigma_w, sigma_b : float
        Weights have variance σ_w²/fan_in, biases σ_b².
    q0, c0 : float
        Mean square of the inputs, and mean cosine between two.
    grad_var : float
        Mean square of the gradient at the output, where the backward recursion starts.
    residual, norm
        As in ``MLP``; the layers 2 … depth − 1 are the blocks.

    Returns
    -------
    Signals
        ``dead`` depends on the batch and is NaN. ``q_band`` holds the q_l of one input in 95 of 100 nets of
        this width, in fewer where the depth is more than a tenth of the width.

    Raises
    ------
    ValueError
        ``depth`` or ``width`` is below 1, σ or q₀ is negative, or c₀ is outside [−1, 1].

    Notes
    -----
    Of functions that are smooth but for a kink at 0, means are right to 1e-6; correlations to 1e-5 while q is
    about 1, to 1e-4 up to q = 12, and to 1e-2 where √q makes tanh a step. Of relu6 and hardswish, which have
    kinks elsewhere, means are right to 2e-3 up to q = 12, and what hangs on the slope to 7e-2. ``q_band``
    takes log q_l to be normal, with the variance that the width gives it to first order: for ReLU 5/width a
    layer.

    References
    ----------
    Poole et al. 2016, eq. 3 (q) and 5 (c); Schoenholz et al. 2016, on backpropagation (δ); Hanin & Rolnick
    2018 (the band).

    Examples
    --------
    >>> predict(3, 100, "relu", sigma_w=2**0.5).q.round(6).tolist()
    [2.0, 2.0, 2.0]
    >>> float(np.log2(predict(30, 100, "relu", sigma_w=1.0).q[-1]).round(9))  # Xavier's variance
    -29.0
    """
    check_whole("depth", depth, 1)
    check_whole("width", width, 1)
    _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b, q0=q0, grad_var=grad_var)
    if not (is_number(c0) and -1 <= c0 <= 1):
        raise ValueError(f"c0 must lie in [-1, 1], not {c0!r}")
    # A net checks these three, and says how its layers work.
    like = MLP([1, 1], activation, "zeros", residual=residual, norm=norm)
    skips = np.zeros(depth, bool)
    skips[1:-1] = residual is not None
    widths = np.full(depth + 1, width)
    sigma_ws, sigma_bs = np.full(depth, float(sigma_w)), np.full(depth, float(sigma_b))
    return _recursion(like, widths, skips, sigma_ws, sigma_bs, q0, c0, grad_var)


def predict_for(
    net: MLP, x: npt.ArrayLike, y: npt.ArrayLike | None = None, *, grad_var: Real | None = None
) -> Signals:
    """``predict`` for this net and these inputs, to be laid over ``measure(net, x, y)``.

    ``σ_w² = fan_in·⟨W²⟩`` and ``σ_b² = ⟨b²⟩`` are taken from every layer as it stands.
    The theory holds for independent weights of mean 0, not for constant or trained ones. Taught in lesson 04.

    Parameters
    ----------
    net : MLP
        The network.
    x : array
        Inputs, (batch, in), whose q₀ and c₀ are taken.
    y : array of int, optional
        Labels, (batch,): a forward pass then gives Var[δ] at the output.
    grad_var : float, optional
        Var[δ] at the output, where it is known already.

    Returns
    -------
    Signals
        As from ``predict``; ``grad_var`` is None without ``y`` and ``grad_var``.

    Raises
    ------
    ValueError, TypeError
        As in ``measure``.

    Examples
    --------
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


def seen_and_predicted(
    net: MLP, x: npt.ArrayLike, y: npt.ArrayLike, edges: npt.ArrayLike | None = None
) -> tuple[Signals, Signals]:
    """``measure`` and ``predict_for`` from one forward pass.

    Parameters
    ----------
    net, x, y, edges
        As in ``measure``; with labels, so that there is a gradient.

    Returns
    -------
    seen, predicted : Signals
    """
    seen = measure(net, x, y, edges)
    assert seen.grad_var is not None  # as there are labels
    return seen, predict_for(net, x, grad_var=float(seen.grad_var[-1]))


def _recursion(
    net: MLP, widths: Array, skips: Array, sigma_w: Array, sigma_b: Array, q0: Real, c0: Real,
    grad_var: Real | None,
) -> Signals:  # fmt: skip
    depth = len(sigma_w)
    w2, b2, skips = np.square(sigma_w).tolist(), np.square(sigma_b).tolist(), skips.tolist()
    scale2 = 1.0 if net.residual is None else net.residual**2
    f = net.activation
    with np.errstate(all="ignore"):
        now = w2[0] * q0 + b2[0]
        sizes = [now]
        for weight, bias, skip in zip(w2[1:], b2[1:], skips[1:], strict=True):
            branch = weight * _second(f, now / (now + NORM_EPSILON) if net.norm else now) + bias
            now = now + scale2 * branch if skip else branch
            sizes.append(now)
        q = np.array(sizes)
        # The variance of what f is applied to.
        inner = q[:-1] / (q[:-1] + NORM_EPSILON) if net.norm else q[:-1]
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
    """c, cut to [−1, 1] where it was rounded beyond; NaN stays NaN."""
    return math.copysign(1.0, c) if abs(c) > 1 else c


def _correlations(
    products: list[Callable[[float], float]], skips: Any, q: Array, w2: list[float], b2: list[float],
    scale2: Real, q0: Real, c0: Real,
) -> Array:  # fmt: skip
    sizes = q.tolist()
    c = _within((w2[0] * q0 * c0 + b2[0]) / sizes[0] if sizes[0] else math.nan)
    found = [c]
    layers = zip(products, w2[1:], b2[1:], skips[1:], sizes[:-1], sizes[1:], strict=True)
    for product, weight, bias, skip, before, after in layers:
        branch = weight * product(c) + bias
        covariance = c * before + scale2 * branch if skip else branch
        # Equal inputs stay equal; in the chaotic phase, rounding would part them.
        c = 1.0 if c == 1 and after else _within(covariance / after if after else math.nan)
        found.append(c)
    return np.array(found)


def _backward(
    net: MLP, widths: Array, skips: Any, q: Array, chi: Array, scale2: Real, grad_var: Real
) -> Array:
    """Var[δ_l], from the output back."""
    branch = chi * widths[2:] / widths[1:-1]
    if net.norm:
        branch = branch / (q[:-1] + NORM_EPSILON)
    factors = np.where(skips[1:], 1 + scale2 * branch, branch)
    return grad_var * np.append(np.cumprod(factors[::-1])[::-1], 1.0)


def _band(net: MLP, widths: Array, q: Array, moments: _Moments, w2: Array) -> Array | None:
    """exp(log q − s²/2 ± 1.96 s), s² the variance of log q_l over nets of these widths.

    The units of layer l share a variance V_l, which fluctuates from net to net as a mean of f² over the
    n_{l−1} units below does. q_l is the mean square of n_l units of variance V_l, which adds 2/n_l.
    """
    if net.residual is not None or net.norm:
        return None
    ratio = w2 * moments.second / q[1:]  # the share of q that the weights, not the biases, make
    spread = ratio**2 * moments.spread / moments.second**2 / widths[1:-1]
    passed = w2 * moments.passed / q[1:]  # d log q_{l+1} / d log q_l
    v = [0.0]  # Var[log V_l]; if a log-normal factor 1 + x has Var[x] = u, its logarithm has log(1 + u)
    for kept, added in zip(np.square(passed).tolist(), np.log1p(spread).tolist(), strict=True):
        v.append(kept * v[-1] + added)
    s2 = np.array(v) + np.log1p(2 / widths[1:])
    return np.exp(np.log(q)[:, None] - s2[:, None] / 2 + 1.96 * np.sqrt(s2)[:, None] * np.array([-1, 1]))


# The phases -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """Where (σ_w, σ_b) lies between order and chaos. Depths are in layers, the rest is without unit.

    Attributes
    ----------
    q_star : float
        The fixed point of q that q = 1 runs to: 0 or inf where the signal fades or explodes, 1 where every q
        stays as it is (ReLU at σ_w² = 2, σ_b = 0).
    chi_1 : float
        ``χ₁ = σ_w² E[f'(√q* z)²]``, the growth a layer of a gradient, and of the distance of two close inputs
        (Poole et al. 2016, eq. 7; Schoenholz et al. 2016, eq. 5).
    xi_q : float
        ``q_l − q*`` fades as exp(−l/xi_q) (Schoenholz et al. 2016, eq. 7); inf where it does not fade.
    xi_c : float
        ``c_l − c*`` fades as exp(−l/xi_c) (eq. 9); inf where it fades by a power of l, as at the edge of
        chaos or where a ReLU's q explodes, or not at all.
    phase : {"ordered", "critical", "chaotic"}
        χ₁ < 1: inputs become alike; χ₁ = 1; χ₁ > 1: gradients explode.
    """

    q_star: float
    chi_1: float
    xi_q: float
    xi_c: float
    phase: Literal["ordered", "critical", "chaotic"]


@dataclass(frozen=True)
class PhaseMap:
    """``Phase`` for many pairs (σ_w, σ_b) at once: its fields as arrays, an entry for each pair.

    Attributes
    ----------
    q_star, chi_1, xi_q, xi_c : ndarray
        As in ``Phase``, of the shape that σ_w and σ_b have together.
    phase : ndarray of str
        "ordered", "critical" or "chaotic".
    """

    q_star: Array
    chi_1: Array
    xi_q: Array
    xi_c: Array
    phase: Array


_GRID = np.geomspace(1e-14, 1e14, 561)  # values of q; the ends stand for 0 and infinity
_CELLS = 512  # as many pairs (σ_w, σ_b) at once; their values of f on the nodes then stay in the cache


def _roots(function: Elementwise, low: Array, high: Array) -> Array:
    """Where ``function``, of arrays to arrays, is 0 between ``low`` and ``high``, at which its signs differ.

    To 1e-14, by the method of Chandrupatla 1997: a step of inverse quadratic interpolation where the last
    three points allow it, of bisection elsewhere. ``scipy.optimize.elementwise.find_root`` does the same, but
    only from SciPy 1.15 on.
    """
    a, b = np.asarray(high, np.float64), np.asarray(low, np.float64)
    at_a, at_b = function(a), function(b)
    part, best = np.clip(at_a / (at_a - at_b), 0.01, 0.99), b  # the first step follows the secant
    for _ in range(120):
        if not a.size:
            break
        x = a + part * (b - a)
        at_x = function(x)
        same = np.sign(at_x) == np.sign(at_a)
        c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
        b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
        a, at_a = x, at_x
        best = np.where(np.abs(at_a) < np.abs(at_b), a, b)
        width = np.abs(b - a)
        if np.all((width < 2e-14) | (at_a == 0)):
            break
        xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
        inverse = at_a / (at_b - at_a) * at_c / (at_b - at_c)
        inverse += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
        part = np.where((phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi), inverse, 0.5)
        least = np.minimum(1e-14 / width, 0.5)
        part = np.clip(part, least, 1 - least)
    return best


def _check_sizes(**arguments: object) -> None:
    for name, value in arguments.items():
        if not (is_finite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")


def _checked_arrays(**arguments: npt.ArrayLike) -> list[Array]:
    """The arguments as arrays of float64, from 0 on (c: in [−1, 1]), whose shapes go together."""
    found = []
    for name, value in arguments.items():
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        low, high, limits = (-1, 1, "in [-1, 1]") if name == "c" else (0, np.inf, "of at least 0")
        if array.dtype.kind not in "uif" or not ((low <= array) & (array <= high) & np.isfinite(array)).all():
            raise ValueError(f"{name} must be finite numbers {limits}, not {value!r}")
        found.append(array.astype(np.float64))
    try:
        np.broadcast_shapes(*(array.shape for array in found))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in found)
        raise ValueError(f"{', '.join(arguments)} must have shapes that go together, not {shapes}") from None
    return found


def _depth_scale(slope: Array) -> Array:
    """The ξ with slope^l = exp(−l/ξ)."""
    slope = np.abs(slope)
    return np.where(slope > 1 - 1e-9, np.inf, -1 / np.log(slope))  # −1/log 0 = 0


def _fixed_points(activation: Activation, grown: Array, w2: Array, b2: Array) -> Array:
    """The fixed point of q that q = 1 runs to, for each σ_w² and σ_b²; ``grown``: E[f²] on the grid."""
    start = len(_GRID) // 2  # q = 1
    found = np.ones(len(w2))
    at_one = w2 * grown[start] + b2 - 1
    at_one[np.abs(at_one) < 1e-12] = 0
    for way, end in ((1, np.inf), (-1, 0.0)):
        rows = np.flatnonzero(at_one > 0 if way == 1 else ~(at_one >= 0))
        q = _GRID[start::way]
        step = w2[rows, None] * (way * grown[start::way] / q) + b2[rows, None] * (way / q) - way
        back = step <= 1e-12
        first = back.argmax(axis=1)
        # A step below 1e-12 is rounding: q still runs to 0 or infinity.
        runs = ~back.any(axis=1) | (np.abs(step[np.arange(len(rows)), first]) < 1e-12)
        found[rows[runs]] = end
        rows, first = rows[~runs], first[~runs]
        weight, bias = w2[rows], b2[rows]
        borders = np.log(q[first - 1]), np.log(q[first])
        grow = lambda t: weight * _second(activation, np.exp(t)) + bias - np.exp(t)  # noqa: B023, E731
        found[rows] = np.exp(_roots(grow, *borders))
    return found


def _nearer(activation: Activation, w2: Array, b2: Array, q: Array) -> Elementwise:
    """How much one layer changes a correlation, a function of c."""
    product = _product(activation, q)
    after = w2 * product(np.ones(len(q))) + b2  # q itself, unless q explodes
    return lambda c: (w2 * product(c) + b2) / after - c


def _phases(
    activation: Activation, grown: Array, w2: Array, b2: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """The fields of ``PhaseMap``, for each pair of σ_w² and σ_b²."""
    q_star = _fixed_points(activation, grown, w2, b2)
    q = np.clip(q_star, _GRID[0], _GRID[-1])
    moments = _moments(activation, q)
    chi_1 = w2 * moments.slope2
    slope = np.where(np.abs(chi_1 - 1) < 1e-6, 1.0, chi_1)
    name = np.where(slope == 1, "critical", np.where(chi_1 < 1, "ordered", "chaotic"))
    rows = np.flatnonzero(name == "chaotic")
    nearer = _nearer(activation, w2[rows], b2[rows], q[rows])
    low, high = np.full(len(rows), 1e-12), np.full(len(rows), 1 - 1e-6)
    leaves_0 = nearer(low) > 0
    between = leaves_0 & (nearer(high) < 0)
    c_star = np.zeros(len(rows))
    inner = rows[between]
    inner_nearer = _nearer(activation, w2[inner], b2[inner], q[inner])
    # c = 1 is always a fixed point: divided out, as near the edge of chaos c* lies beside it.
    c_star[between] = _roots(lambda c: inner_nearer(c) / (1 - c), low[between], high[between])
    # Near c*, the distance to it changes by the slope of the map in every layer.
    step = np.minimum(1e-5, (1 - c_star) / 2)
    slope[rows] = 1 + (nearer(c_star + step) - nearer(c_star - step)) / (2 * step)
    # The map lies above c all the way to 1, for example where ReLU's q explodes: c* = 1, and c approaches it
    # by a power of the depth.
    slope[rows[leaves_0 & ~between]] = 1.0
    return q_star, chi_1, _depth_scale(w2 * moments.passed / q), _depth_scale(slope), name


@overload
def phase(activation: ActivationLike, sigma_w: Real, sigma_b: Real = 0.0) -> Phase: ...


@overload
def phase(activation: ActivationLike, sigma_w: npt.ArrayLike, sigma_b: npt.ArrayLike = 0.0) -> PhaseMap: ...


def phase(
    activation: ActivationLike, sigma_w: npt.ArrayLike, sigma_b: npt.ArrayLike = 0.0
) -> Phase | PhaseMap:
    """The phase of a net with these variances, and how deep a signal travels in it. Taught in lesson 05.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    sigma_w, sigma_b : float or array
        Weights have variance σ_w²/fan_in, biases σ_b². Of arrays, every pair that they make together is
        judged, all at once: a map of the phases.

    Returns
    -------
    Phase or PhaseMap
        ``Phase`` of two numbers; of arrays, ``PhaseMap``, which has the same fields as arrays. The attributes
        have the equations. Beyond σ_w = 1e5 a bounded f's phase is still right, but its q*, and with it χ₁,
        may count as infinite.

    Raises
    ------
    ValueError
        σ_w or σ_b is negative or not finite, or their shapes do not go together.

    References
    ----------
    Poole et al. 2016; Schoenholz et al. 2016.

    Examples
    --------
    >>> p = phase("tanh", sigma_w=1.3, sigma_b=0.3)
    >>> p.phase, round(p.q_star, 3), round(p.chi_1, 3)
    ('ordered', 0.607, 0.94)
    >>> phase("relu", 2**0.5).phase
    'critical'
    >>> phase("tanh", [0.8, 1.2, 2.0], [[0.0], [0.5]]).phase.tolist()
    [['ordered', 'chaotic', 'chaotic'], ['ordered', 'ordered', 'chaotic']]
    """
    known = activations.get(activation)
    single = not (np.iterable(sigma_w) or np.iterable(sigma_b))
    if single:
        _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b)
    w, b = np.broadcast_arrays(*_checked_arrays(sigma_w=sigma_w, sigma_b=sigma_b))
    w2, b2 = np.square(w.ravel()), np.square(b.ravel())
    with np.errstate(all="ignore"):
        grown = _second(known, _GRID)
        cuts = range(_CELLS, w.size, _CELLS)
        blocks = zip(np.split(w2, cuts), np.split(b2, cuts), strict=True)
        found = [_phases(known, grown, *block) for block in blocks]
    fields = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    if single:
        return Phase(*(field[0].item() for field in fields))
    return PhaseMap(*(field.reshape(w.shape) for field in fields))


def length_map(
    activation: ActivationLike, q: npt.ArrayLike, sigma_w: npt.ArrayLike, sigma_b: npt.ArrayLike = 0.0
) -> Array:
    """What one layer makes of q: ``σ_w² E[f(√q z)²] + σ_b²``, z ~ N(0, 1).

    Iterated it is the q of ``predict``; its fixed point is the q* of ``phase``.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    q : float or array
        Mean squares of the pre-activations of a layer.
    sigma_w, sigma_b : float or array
        Weights have variance σ_w²/fan_in, biases σ_b².

    Returns
    -------
    ndarray
        Those of the next layer, of the shape that the arguments have together; one number for numbers.

    Raises
    ------
    ValueError
        An argument is negative or not finite, or shapes do not go together.

    References
    ----------
    Poole et al. 2016, eq. 3.

    Examples
    --------
    >>> length_map("tanh", [0.1, 0.607, 3.0], 1.3, 0.3).round(3)
    array([0.232, 0.607, 1.086])
    """
    known = activations.get(activation)
    q, w, b = _checked_arrays(q=q, sigma_w=sigma_w, sigma_b=sigma_b)
    return np.asarray(w * w * _second(known, q) + b * b)[()]


def correlation_map(
    activation: ActivationLike,
    c: npt.ArrayLike,
    sigma_w: npt.ArrayLike,
    sigma_b: npt.ArrayLike = 0.0,
    q: npt.ArrayLike | None = None,
) -> Array:
    """What one layer makes of the correlation c of two inputs of the same q.

    ``(σ_w² E[f(u₁) f(u₂)] + σ_b²)/(σ_w² E[f(u₁)²] + σ_b²)``, u₁ and u₂ normals of variance q and correlation
    c. Its slope at c = 1 is χ₁ where q is kept.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    c : float or array
        Correlations of the pre-activations of a layer, in [−1, 1].
    sigma_w, sigma_b : float or array
        Weights have variance σ_w²/fan_in, biases σ_b².
    q : float or array, optional
        The variance of the pre-activations; by default the q* of ``phase``, in the limit where that is 0 or
        infinite.

    Returns
    -------
    ndarray
        Those of the next layer, of the shape that the arguments have together; one number for numbers. NaN
        where the next layer is 0.

    Raises
    ------
    ValueError
        c is outside [−1, 1], another argument is negative, one is not finite, or shapes do not go together.

    References
    ----------
    Poole et al. 2016, eq. 5.

    Examples
    --------
    >>> correlation_map("relu", [-1.0, 0.0, 1.0], 2**0.5).round(3)
    array([0.   , 0.318, 1.   ])
    >>> float(correlation_map("tanh", 0.5, sigma_w=1.3, sigma_b=0.3).round(3))
    0.56
    """
    known = activations.get(activation)
    if q is None:
        q = np.clip(phase(known, sigma_w, sigma_b).q_star, _GRID[0], _GRID[-1])
    c, q, w, b = _checked_arrays(c=c, q=q, sigma_w=sigma_w, sigma_b=sigma_b)
    with np.errstate(all="ignore"):
        both = w * w * _product(known, q)(c) + b * b
        return np.asarray(np.clip(both / (w * w * _second(known, q) + b * b), -1, 1))[()]


def critical_sigma_w(activation: ActivationLike, sigma_b: Real = 0.0) -> float:
    """The edge of chaos: the σ_w at which χ₁ = 1. Taught in lesson 08.

    There, ``σ_w² = 1/E[f'(√q z)²]`` and ``σ_b² = q − σ_w² E[f(√q z)²]``, which is solved for q. Where there
    are several solutions, the smallest q that a signal runs to counts.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    sigma_b : float
        Biases have variance σ_b².

    Returns
    -------
    float
        σ_w.

    Raises
    ------
    ValueError
        There is none: ReLU's q grows without end unless σ_b = 0; GELU's and SiLU's leaves such a q again.

    References
    ----------
    Schoenholz et al. 2016, section 3.

    Examples
    --------
    >>> round(critical_sigma_w("relu") ** 2, 6), round(critical_sigma_w("tanh", 0.05**0.5) ** 2, 3)
    (2.0, 1.761)
    """
    _check_sizes(sigma_b=sigma_b)
    known = activations.get(activation)
    b2 = float(sigma_b) ** 2

    def edge(q: Any) -> tuple[Any, Any]:
        """σ_w² and σ_b² of the critical net whose fixed point is q."""
        w2 = 1 / (np.square(_on_gaussian(known.df, q)) @ _W)
        return w2, q - w2 * (np.square(_on_gaussian(known.f, q)) @ _W)

    with np.errstate(all="ignore"):
        over = lambda t: edge(np.exp(t))[1] - b2  # noqa: E731
        candidates = [math.sqrt(edge(_GRID[0])[0])]  # of q = 0, a fixed point where f(0) = σ_b = 0
        excess = edge(_GRID)[1] - b2
        excess[np.abs(excess) < 1e-12 * _GRID] = 0  # rounding
        i = np.flatnonzero(excess[1:] * excess[:-1] < 0)
        roots = _roots(over, np.log(_GRID[i]), np.log(_GRID[i + 1]))
        candidates += np.sqrt(edge(np.exp(roots))[0]).tolist()
        for sigma_w in candidates:
            there = phase(known, sigma_w, sigma_b)
            if there.phase == "critical" and math.isfinite(there.q_star):
                return sigma_w
    raise ValueError(
        f"sigma_b: {known.name!r} has no edge of chaos at {sigma_b!r}: "
        "no sigma_w has chi_1 = 1 at a finite q that a signal runs to"
    )


def slope_moments(activation: ActivationLike, q: npt.ArrayLike) -> tuple[Array, Array]:
    """``E[f'(√q z)²]`` and ``E[f'(√q z)⁴]``, z ~ N(0, 1): what the slopes do to singular values.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    q : float or array
        Mean squares of the pre-activations.

    Returns
    -------
    mu_1, mu_2 : ndarray
        Of the shape of ``q``; one number for a number. σ_w² μ₁ is χ.

    Raises
    ------
    ValueError
        ``q`` is negative or not finite.

    References
    ----------
    Pennington et al. 2017.

    Examples
    --------
    >>> [float(moment) for moment in slope_moments("relu", 1.0)]
    [0.5, 0.5]
    """
    known = activations.get(activation)
    (q,) = _checked_arrays(q=q)
    if known.lines:
        squares = np.square(known.lines)
        return np.full(q.shape, squares.mean())[()], np.full(q.shape, np.square(squares).mean())[()]
    squares = np.square(_on_gaussian(known.df, q))
    return squares @ _W, np.square(squares) @ _W


# Finite width ---------------------------------------------------------------------------------------


def _checked_widths(widths: ShapeLike) -> Array:
    try:
        found = checked_shape(widths)
    except (TypeError, ValueError):
        found = ()
    if not found or min(found) < 1:
        raise ValueError(f"widths must be one or more whole numbers of at least 1, not {widths!r}")
    return np.array(found)


def width_sum(widths: ShapeLike) -> float:
    """The sum ``Σ 1/n_l`` over the hidden layers: how far the signals of an architecture's nets differ.

    Well below 1 its nets are alike; above, each is another. Five times the sum is, to first order, the
    variance of log M in ReLU nets: see ``log_length``.

    Parameters
    ----------
    widths : sequence of int
        Units of the hidden layers, n_l.

    Returns
    -------
    float
        Without unit.

    Raises
    ------
    ValueError
        ``widths`` are not one or more sizes of at least 1.

    References
    ----------
    Hanin & Rolnick 2018, abstract; Hanin 2018, abstract.

    Examples
    --------
    >>> width_sum([50] * 20), width_sum([100] * 40)  # twice the depth at twice the width
    (0.4, 0.4)
    """
    return math.fsum(1 / _checked_widths(widths))


@dataclass(frozen=True)
class LogLength:
    """How the length of a signal is distributed over the nets of an architecture: see ``log_length``.

    Attributes
    ----------
    mean, variance : float
        Of log M, over the nets whose signal is not dead. log M is nearly normal, so that ``exp(mean)`` is
        nearly the median of M.
    second_moment : float
        E[M²] over all nets, where E[M] = 1.
    dead : float
        P(M = 0): in some layer every unit is off for this input. Nets that are dead for each of several
        inputs are fewer.
    """

    mean: float
    variance: float
    second_moment: float
    dead: float


def log_length(
    widths: ShapeLike,
    activation: Literal["relu", "identity"] = "relu",
    weights: Literal["gaussian", "orthogonal"] = "gaussian",
) -> LogLength:
    """The exact law of a signal's length over nets of finite width, as the weights keep it on average.

    ``M = (‖a_L‖²/n_L)/(‖x‖²/n₀)``: the mean square of the last hidden activations over that of one input,
    with the gain's weights (He's for ReLU, Var[W] = 1/n_{l−1} for identity) and without biases. Every layer
    multiplies M by an independent factor, K the number of units that are on, Bin(n, ½) under ReLU::

        Gaussian     (2/n)·χ²_K             E[M²]: 1 + 5/n a layer
        orthogonal   2·Beta(K/2, (n − K)/2)         1 + 3/(n + 2)

    For identity, χ²_n/n (1 + 2/n) and 1. To first order in 1/n, log M has variance 5Σ1/n and mean
    −(5/2)Σ1/n for Gaussian ReLU nets.

    Parameters
    ----------
    widths : sequence of int
        Units of the hidden layers, n_l; all alike for orthogonal weights, and the input's size too.
    activation : {"relu", "identity"}
        f.
    weights : {"gaussian", "orthogonal"}
        What the weights are drawn from.

    Returns
    -------
    LogLength
        Without unit.

    Raises
    ------
    ValueError
        ``widths`` are not one or more sizes of at least 1, or are not alike for orthogonal weights;
        ``activation`` or ``weights`` is none of these.

    References
    ----------
    Hanin & Rolnick 2018, failure mode 2; Lu et al. 2019 (``dead``). The orthogonal factor is derived here: an
    orthogonal W turns a vector into a uniform one of its length, whose squares are Beta-distributed.

    Examples
    --------
    >>> law = log_length([20] * 20)
    >>> round(law.mean, 2), round(law.variance, 2), round(law.second_moment, 1)
    (-2.74, 6.24, 86.7)
    >>> log_length([20] * 20, "identity", "orthogonal").variance
    0.0
    >>> round(log_length([5] * 100).dead, 3)
    0.958
    """
    sizes, counts = np.unique(_checked_widths(widths), return_counts=True)
    for name, value, allowed in (
        ("activation", activation, ("relu", "identity")),
        ("weights", weights, ("gaussian", "orthogonal")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")
    haar = weights == "orthogonal"
    if haar and len(sizes) > 1:
        raise ValueError(f"widths must be alike for orthogonal weights, not {sizes.tolist()}")
    mean = variance = second = alive = 0.0
    special = scipy.special
    for n, layers in zip(sizes.tolist(), counts.tolist(), strict=True):
        if activation == "identity":
            on, chance, gain2 = np.array([n]), np.ones(1), 1.0
        else:
            on, gain2 = np.arange(1, n + 1), 2.0
            ways = special.gammaln(n + 1) - special.gammaln(on + 1) - special.gammaln(n - on + 1)
            chance = np.exp(ways - n * math.log(2))  # K = 0 left out
            alive += layers * math.log1p(-(0.5**n))
        squared = chance @ (on * (on + 2)) * gain2**2 / (n * (n + 2 * haar))  # E[M²] of a layer
        chance /= chance.sum()
        steps, spread = special.digamma(on / 2), special.polygamma(1, on / 2)
        scale = special.digamma(n / 2) if haar else math.log(n / 2)
        step = chance @ steps
        mean += layers * (step + math.log(gain2) - scale)
        variance += layers * (
            chance @ (spread + np.square(steps - step)) - haar * special.polygamma(1, n / 2)
        )
        second += layers * math.log(squared)
    # A variance of 0 is the difference of two equal sums.
    return LogLength(float(mean), max(float(variance), 0.0), math.exp(second), abs(math.expm1(alive)))
