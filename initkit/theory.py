"""Predict what a wide random network does to its signal: the mean-field theory, as ``Signals``.

In a wide layer the pre-activations are Gaussian, z ~ N(0, q). Layer by layer, q, the correlation of two
inputs and the size of a gradient follow from means over one or two normal variables (Poole et al. 2016,
Schoenholz et al. 2016). Weights have variance σ_w²/fan_in, biases σ_b².
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from . import activations
from .activations import Activation, ActivationLike
from .arguments import Array, Elementwise, Real, Whole, check_whole, is_finite, is_number
from .network import MLP, NORM_EPSILON, Norm
from .signals import FLAT, Signals, mean_cosine, mean_square, measure, softmax_cross_entropy, steepest_slope

# Nodes z and weights w with Σ w·g(z) ≈ E[g(z)], z ~ N(0, 1): Gauss and Legendre's rule on panels. 0, where
# most kinks are, is a border, and the panels are narrow near it, as a large √q makes f(√q·z) steep there.
_x, _w = np.polynomial.legendre.leggauss(10)
_right = np.array([0.003, 0.05, 0.4, 1.5, 3.0, 5.0, 8.5])
_borders = np.concatenate([-_right[::-1], [0.0], _right])
_half = np.diff(_borders)[:, None] / 2
_Z = (_borders[:-1, None] + _half * (_x + 1)).ravel()
_W = (_half * _w).ravel() * np.exp(-_Z * _Z / 2) / activations.SQRT_2PI
# The weights are corrected so that E[1] = E[z²] = 1 to the last digit: a critical net's q then stays exactly
# as it is.
_m0, _m2, _m4 = (_W @ _Z**_k for _k in (0, 2, 4))
_W *= np.polynomial.Polynomial(np.linalg.solve([[_m0, _m2], [_m2, _m4]], [1.0, 1.0]))(_Z * _Z)

# Row k: the Hermite polynomial h_k, scaled so that E[h_j(z) h_k(z)] = [j = k], times the weights.
_TERMS = 48
_hermite = [np.ones_like(_Z), _Z]
for _k in range(1, _TERMS - 1):
    _hermite.append((_Z * _hermite[-1] - math.sqrt(_k) * _hermite[-2]) / math.sqrt(_k + 1))
_HERMITE = np.array(_hermite) * _W
_POWERS = np.arange(float(_TERMS))


def _on_gaussian(f: Elementwise, q: npt.ArrayLike) -> Array:
    """f(√q·z) on the nodes, a row for each entry of ``q``."""
    return np.asarray(f(np.sqrt(np.asarray(q, np.float64))[..., None] * _Z), np.float64)


def _absolute(c: float) -> float:
    """E|u₁||u₂| of two unit normals of correlation c."""
    return (2 / math.pi) * (math.sqrt(1 - c * c) + c * math.asin(c))


_ABSOLUTE = np.square(np.abs(_Z) @ _HERMITE.T)  # the coefficients a_k of that function's series


def _kernels(f: Elementwise, df: Elementwise, q: Array) -> tuple[Array, Any, Any, Any]:
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
    rest = both - series.reshape(len(q), _TERMS // 2, 2).sum(axis=-2)
    last = series[..., -2:]
    ratio = np.where(rest * last > 0, np.minimum(rest / (rest + last), 0.99), 0.0)  # 0.98 for a step
    return series, rest.tolist(), ratio.tolist(), kink.tolist()


def _together(series: Array, rest: Sequence[float], ratio: Sequence[float], kink: float, c: float) -> float:
    """E[f(u₁)f(u₂)] at the correlation c, from a row of ``_kernels``."""
    found = float(series @ c**_POWERS) + kink * _absolute(c)
    for power, left, r in zip((_TERMS, _TERMS + 1), rest, ratio, strict=True):
        found += left * c**power * (1 - r) / (1 - r * c * c)
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


def _second(activation: Activation, q: float) -> float:
    """E[f(√q z)²], for one q."""
    if activation.lines:
        return q * float(np.square(activation.lines).mean())
    values = activation.f(math.sqrt(q) * _Z)
    return float(np.square(values, dtype=np.float64) @ _W)


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
    mean, second = values @ _W, squares @ _W
    passed = ((values * slopes * _Z) @ _W) * np.sqrt(q)
    return _Moments(
        mean, second, _variance(values, mean), _variance(squares, second), passed, np.square(slopes) @ _W
    )


def _products(activation: Activation, q: Array) -> list[Callable[[float], float]]:
    """For each q, the function c ↦ E[f(u₁)f(u₂)] of normals of variance q and correlation c."""
    if activation.lines:
        a, b = activation.lines
        even, odd = ((b - a) / 2) ** 2, ((a + b) / 2) ** 2

        def of_lines(q: float, c: float) -> float:
            return q * (odd * c + even * _absolute(c))

        return [functools.partial(of_lines, size) for size in q.tolist()]
    rows = zip(*_kernels(activation.f, activation.df, q), strict=True)
    return [functools.partial(_together, *row) for row in rows]


@functools.cache
def _named_borders(name: str) -> tuple[bool, Array]:
    return _borders_of_flat(activations.NAMES[name])


def _borders_of_flat(activation: Activation) -> tuple[bool, Array]:
    """Whether f is flat far on the left, and the x where that changes, on a grid with steps of 0.4 %."""
    positive = np.geomspace(1e-6, 1e6, 8001) if activation.lines is None else np.ones(1)
    x = np.concatenate([-positive[::-1], positive])
    flat = np.abs(np.asarray(activation.df(x))) < FLAT * steepest_slope(activation)
    change = np.flatnonzero(flat[1:] != flat[:-1])
    return bool(flat[0]), (x[change] + x[change + 1]) / 2


def _flat_share(activation: Activation, q: Array) -> Array:
    """The probability that f'(√q z) is below FLAT of its largest, in absolute value."""
    # Cached by name for the named ones only: a reader's function may change, or share a name.
    named = activations.NAMES.get(activation.name) is activation
    from_left, borders = _named_borders(activation.name) if named else _borders_of_flat(activation)
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
    about 1, to 1e-4 up to q = 12, and to 1e-2 where √q makes tanh a step. ``q_band`` takes log q_l to be
    normal, with the variance that the width gives it to first order: for ReLU 5/width a layer.

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
    """``measure`` and ``predict_for`` from one forward pass."""
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
        ``c_l − c*`` fades as exp(−l/xi_c) (eq. 9); inf at the edge of chaos, and where it does not fade.
    phase : {"ordered", "critical", "chaotic"}
        χ₁ < 1: inputs become alike; χ₁ = 1; χ₁ > 1: gradients explode.
    """

    q_star: float
    chi_1: float
    xi_q: float
    xi_c: float
    phase: Literal["ordered", "critical", "chaotic"]


_GRID = np.geomspace(1e-14, 1e14, 561)  # values of q; the ends stand for 0 and infinity


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return scipy.optimize.brentq(function, low, high, xtol=1e-14)


def _check_sizes(**arguments: object) -> None:
    for name, value in arguments.items():
        if not (is_finite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")


def _depth_scale(slope: float) -> float:
    """The ξ with slope^l = exp(−l/ξ)."""
    slope = abs(slope)
    if slope == 0:
        return 0.0
    return math.inf if slope > 1 - 1e-9 else -1 / math.log(slope)


def _fixed_point(f: Elementwise, w2: float, b2: float) -> float:
    """The fixed point of q that q = 1 runs to."""

    def grow(q: Any) -> Any:
        """How much q changes in a layer."""
        return w2 * (np.square(_on_gaussian(f, q)) @ _W) + b2 - q

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
        # Where q only seems to stay, what is added is below its last digit.
        if not ahead.size or signs[start + ahead[0]] == 0:
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


def phase(activation: ActivationLike, sigma_w: Real, sigma_b: Real = 0.0) -> Phase:
    """The phase of a net with these variances, and how deep a signal travels in it. Taught in lesson 05.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    sigma_w, sigma_b : float
        Weights have variance σ_w²/fan_in, biases σ_b².

    Returns
    -------
    Phase
        Its attributes have the equations. Right for σ_w up to about 1,000, where tanh is a step.

    Raises
    ------
    ValueError
        σ_w or σ_b is negative or not finite.

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
    """
    _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b)
    known = activations.get(activation)
    f, df = known.f, known.df
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
        (product,) = _products(known, np.array([q]))
        mapped = lambda c: w2 * product(c) + b2  # noqa: E731
        after = mapped(1.0)  # q itself, unless q explodes
        nearer = lambda c: mapped(c) / after - c  # noqa: E731
        c_star = _root(nearer, 0, 1 - 1e-6) if nearer(1e-12) > 0 > nearer(1 - 1e-6) else 0.0
        # Near c*, the distance to it changes by the slope of the map in every layer.
        step = min(1e-5, (1 - c_star) / 2)
        slope = 1 + (nearer(c_star + step) - nearer(c_star - step)) / (2 * step)
    return Phase(q_star, chi_1, _depth_scale(q_slope), _depth_scale(slope), "chaotic")


def critical_sigma_w(activation: ActivationLike, sigma_b: Real = 0.0) -> float:
    """The edge of chaos: the σ_w at which χ₁ = 1. Taught in lesson 06.

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
        over = lambda t: float(edge(math.exp(t))[1] - b2)  # noqa: E731
        candidates = [math.sqrt(edge(_GRID[0])[0])]  # of q = 0, a fixed point where f(0) = σ_b = 0
        excess = edge(_GRID)[1] - b2
        excess[np.abs(excess) < 1e-12 * _GRID] = 0  # rounding
        for i in np.flatnonzero(excess[1:] * excess[:-1] < 0):
            root = _root(over, *np.log(_GRID[[i, i + 1]]))
            candidates.append(math.sqrt(edge(math.exp(root))[0]))
        for sigma_w in candidates:
            there = phase(known, sigma_w, sigma_b)
            if there.phase == "critical" and math.isfinite(there.q_star):
                return sigma_w
    raise ValueError(
        f"sigma_b: {known.name!r} has no edge of chaos at {sigma_b!r}: "
        "no sigma_w has chi_1 = 1 at a finite q that a signal runs to"
    )
