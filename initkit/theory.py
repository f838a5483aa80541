"""Predict what a wide random network does to its signal: the mean-field theory, as ``Signals``.

In a wide layer the pre-activations are Gaussian, z ~ N(0, q); layer by layer q, the correlation of two
inputs and the size of a gradient follow from means over one or two normal numbers (Poole et al. 2016,
Schoenholz et al. 2016). Weights have variance σ_w²/fan_in, biases σ_b².
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np
from scipy import special

from . import activations
from .network import MLP, NORM_EPSILON
from .signals import FLAT, Signals, mean_cosine, softmax_cross_entropy, steepest_slope

# Gauss and Legendre's rule on panels that meet at 0, where most kinks are, and crowd there, as √q·z makes a
# function steep: nodes z and weights with Σ w·g(z) ≈ E[g(z)], z ~ N(0, 1).
_x, _w = np.polynomial.legendre.leggauss(10)
_right = np.array([0.003, 0.05, 0.4, 1.5, 3.7, 8.5])
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
_POWERS = np.arange(_TERMS + 2.0)  # the last two for what the series leaves over: its even part, and its odd
_EVEN = _POWERS[:-2] % 2 == 0


def _on_gaussian(f, q) -> np.ndarray:
    """f(√q·z) on the nodes, a row for each entry of ``q``."""
    return np.asarray(f(np.sqrt(np.asarray(q, np.float64))[..., None] * _Z), np.float64)


def _absolute(c):
    """E|u₁||u₂| of unit normals of correlation c."""
    c = max(-1.0, min(c, 1.0))
    return (2 / math.pi) * (math.sqrt(max(0.0, 1 - c * c)) + c * math.asin(c))


_ABSOLUTE = np.square(np.abs(_Z) @ _HERMITE.T)  # the same, as a_k of the series below


def _kernels(f, df, q) -> tuple[np.ndarray, np.ndarray]:
    """What gives E[f(u₁)f(u₂)] for normals of variance ``q``, correlation c: a row and a number for each q.

    Mehler's formula, Σ a_k c^k, converges slowly where f has a kink. So f is split into a smooth function
    and κ/2·|u|, κ the jump of f' at 0, whose part of the series is replaced by its closed form (Cho & Saul
    2009): Σ a_k c^k + ``kink``·E|u₁||u₂|. What 48 terms leave over is known at c = ±1, and put there.
    """
    values = _on_gaussian(f, q)
    jump = np.subtract(*np.asarray(df(np.array([1e-4, -1e-4])), np.float64))
    jump = jump if abs(jump) > 1e-3 else 0.0  # else it is the slope's own change between the two
    kink = np.square(jump / 2) * np.asarray(q, np.float64)
    series = np.square(values @ _HERMITE.T) - kink[..., None] * _ABSOLUTE
    same = np.square(values) @ _W - kink
    opposite = (values * values[..., ::-1]) @ _W - kink
    even = (same + opposite) / 2 - series[..., _EVEN].sum(axis=-1)
    odd = (same - opposite) / 2 - series[..., ~_EVEN].sum(axis=-1)
    return np.concatenate([series, even[..., None], odd[..., None]], axis=-1), kink


def _together(kernel: np.ndarray, kink: float, c: float, two_terms: bool = False) -> float:
    """E[f(u₁)f(u₂)] from a row of ``_kernels``."""
    # Near 0 the powers of c would underflow, which is slow.
    two_terms = two_terms or abs(c) < 1e-6
    smooth = kernel[0] + kernel[1] * c if two_terms else np.dot(kernel, c**_POWERS)
    return float(smooth) + (kink * _absolute(c) if kink else 0.0)


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
    means are right to 1e-6; correlations to 2e-5 while q is about 1, and to 1e-3 where √q makes tanh a step.
    Returns Signals, with the indices of ``measure``. Raises ValueError for a depth or width below 1, a
    negative σ or q₀, |c₀| > 1. Taught in lesson 03.

    >>> predict(3, 100, "relu", sigma_w=2**0.5).q.round(6).tolist()
    [2.0, 2.0, 2.0]
    >>> float(np.log2(predict(30, 100, "relu", sigma_w=1.0).q[-1]).round(9))  # Xavier's variance
    -29.0
    """
    for name, value in (("depth", depth), ("width", width)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    _check_sizes(sigma_w=sigma_w, sigma_b=sigma_b, q0=q0, grad_var=grad_var)
    if not isinstance(c0, numbers.Real) or not abs(c0) <= 1:
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
    x = net.checked(x)
    mean_square = lambda a: float(np.square(a, dtype=np.float64).mean())  # noqa: E731
    sigma_w = [math.sqrt(n * mean_square(w)) for n, w in zip(net.widths, net.weights, strict=False)]
    sigma_b = [math.sqrt(mean_square(b)) for b in net.biases]
    if y is not None and grad_var is None:
        grad_var = mean_square(softmax_cross_entropy(net.trace(x).pre[-1], y)[1])
    return _recursion(
        net, np.array(net.widths), net.skips, np.array(sigma_w), np.array(sigma_b),
        mean_square(x), mean_cosine(x), grad_var,
    )  # fmt: skip


def _recursion(net, widths, skips, sigma_w, sigma_b, q0, c0, grad_var) -> Signals:
    f, df = net.activation.f, net.activation.df
    depth = len(sigma_w)
    w2, b2, skips = np.square(sigma_w).tolist(), np.square(sigma_b).tolist(), skips.tolist()
    scale2 = 1.0 if net.residual is None else net.residual**2
    with np.errstate(all="ignore"):
        now = w2[0] * q0 + b2[0]
        q = [now]
        last_seen, second = -1.0, 0.0
        for weight, bias, skip in zip(w2[1:], b2[1:], skips[1:], strict=True):
            seen = now / (now + NORM_EPSILON) if net.norm else now
            if abs(seen - last_seen) > 1e-10 * seen:  # else at a fixed point
                last_seen = seen
                values = f(_Z * math.sqrt(seen))
                second = float(np.dot(_W, values * values))
            branch = weight * second + bias
            now = now + scale2 * branch if skip else branch
            q.append(now)
        q = np.array(q)
        inner = q[:-1] / (q[:-1] + NORM_EPSILON) if net.norm else q[:-1]  # of what f sees
        # One row for each q that occurs, at a fixed point one for all layers. ``layer``: which is whose.
        inner, layer = np.unique(inner, return_inverse=True)
        values, slopes = _on_gaussian(f, inner), _on_gaussian(df, inner)
        mean, second = (values @ _W)[layer], (np.square(values) @ _W)[layer]
        chi = np.array(w2[1:]) * (np.square(slopes) @ _W)[layer]
        kernels, kinks = _kernels(f, df, inner)
        return Signals(
            q=q,
            activation_mean=np.append(mean, 0.0),
            activation_var=np.append(second - mean**2, q[-1]),
            correlation=_correlations(kernels[layer], kinks[layer], skips, q, w2, b2, scale2, q0, c0),
            saturated=np.append(_flat_share(net.activation, inner)[layer], 0.0),
            dead=np.full(depth, np.nan),
            grad_var=None if grad_var is None else _backward(net, widths, skips, q, chi, scale2, grad_var),
            q_band=_band(
                net,
                widths,
                q,
                second,
                fourth=(np.square(np.square(values)) @ _W)[layer],
                # q·d E[f(√q z)²]/dq
                slope=(((values * slopes * _Z) @ _W) * np.sqrt(inner))[layer],
                w2=np.array(w2[1:]),
            ),
        )


def _correlations(kernels, kinks, skips, q, w2, b2, scale2, q0, c0) -> np.ndarray:
    q = q.tolist()
    c = (w2[0] * q0 * c0 + b2[0]) / q[0] if q[0] else math.nan
    found = [c]
    # Of piecewise linear functions, as ReLU, the series has two terms, and its powers need not be computed.
    short = np.abs(kernels[:, 2:]).sum(axis=1) < 1e-9 * (np.abs(kernels[:, :2]).sum(axis=1) + kinks)
    layers = zip(
        kernels, kinks.tolist(), short.tolist(), w2[1:], b2[1:], skips[1:], q[:-1], q[1:], strict=True
    )
    for kernel, kink, two, weight, bias, skip, before, after in layers:
        branch = weight * _together(kernel, kink, c, two) + bias
        covariance = c * before + scale2 * branch if skip else branch
        c = max(-1.0, min(covariance / after, 1.0)) if after else math.nan
        found.append(c)
    return np.array(found)


def _backward(net, widths, skips, q, chi, scale2, grad_var) -> np.ndarray:
    branch = chi * widths[2:] / widths[1:-1]
    if net.norm:
        branch = branch / (q[:-1] + NORM_EPSILON)
    factors = np.where(skips[1:], 1 + scale2 * branch, branch)
    return grad_var * np.append(np.cumprod(factors[::-1])[::-1], 1.0)


def _band(net, widths, q, second, fourth, slope, w2) -> np.ndarray | None:
    """exp(log q − s²/2 ± 1.96 s), s² the variance of log q_l over nets of these widths.

    V_l, the variance that layer l's units share, fluctuates as the mean of f² over n_{l−1} units does; q_l
    is the mean square of n_l units of variance V_l, which adds 2/n_l.
    """
    if net.residual is not None or net.norm:
        return None
    ratio = w2 * second / q[1:]  # the weights' part of q
    spread = ratio**2 * (fourth / second**2 - 1) / widths[1:-1]
    passed = w2 * slope / q[1:]  # d log q_{l+1} / d log q_l
    v = [0.0]  # of log V_l; a factor 1 + x with Var[x] = u has a logarithm of variance log(1 + u)
    for kept, added in zip(np.square(passed).tolist(), np.log1p(spread).tolist(), strict=True):
        v.append(kept * v[-1] + added)
    s2 = np.array(v) + np.log1p(2 / widths[1:])
    return np.exp(np.log(q)[:, None] - s2[:, None] / 2 + 1.96 * np.sqrt(s2)[:, None] * np.array([-1, 1]))


def _flat_share(activation, q) -> np.ndarray:
    """P(|f'(√q z)| < FLAT·max|f'|): the flat parts' borders are looked for on a grid, 0.4 % apart."""
    positive = np.geomspace(1e-6, 1e6, 8001)
    x = np.concatenate([-positive[::-1], positive])
    flat = np.abs(np.asarray(activation.df(x))) < FLAT * steepest_slope(activation)
    change = np.flatnonzero(flat[1:] != flat[:-1])
    borders = (x[change] + x[change + 1]) / 2
    with np.errstate(all="ignore"):
        below = special.ndtr(borders / np.sqrt(np.maximum(q, 1e-300))[:, None])
    below = np.concatenate([np.zeros((len(q), 1)), below, np.ones((len(q), 1))], axis=1)
    return np.diff(below)[:, int(not flat[0]) :: 2].sum(axis=1)


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
    from scipy import optimize  # here, as it loads half of SciPy

    return optimize.brentq(function, low, high, xtol=1e-14)


def _check_sizes(**arguments) -> None:
    for name, value in arguments.items():
        if not (isinstance(value, numbers.Real) and np.isfinite(value) and value >= 0):
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
        kernel, kink = _kernels(f, df, q)
        after = w2 * _together(kernel, kink, 1.0) + b2  # q itself, unless q explodes
        nearer = lambda c: (w2 * _together(kernel, kink, c) + b2) / after - c  # noqa: E731
        c_star = _root(nearer, 0, 1 - 1e-6) if nearer(1e-12) > 0 > nearer(1 - 1e-6) else 0.0
        # c* is left at the slope of the map there.
        step = 1e-5
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
