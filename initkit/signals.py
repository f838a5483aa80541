"""Signals, layer by layer: the type that theory and measurement share, and the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .arguments import is_bool
from .network import MLP


@dataclass(frozen=True)
class Signals:
    """One entry a layer, l = 1 … depth, the last being the linear output. Float64, without unit.

    ``q``                mean square of the pre-activations, q_l = ⟨z_l²⟩ (Poole et al. 2016, eq. 3)
    ``activation_mean``  ⟨f(z_l)⟩ over batch and units
    ``activation_var``   Var[f(z_l)] over batch and units (Glorot & Bengio 2010, eq. 5)
    ``correlation``      mean cosine between the z_l of two different inputs (Poole et al. 2016, eq. 5);
                         NaN where there is one input, or a pre-activation vector is 0
    ``saturated``        share of (input, unit) pairs whose slope |f'(z_l)| is below a twentieth of
                         the largest slope of the layer's function; for ReLU, the share of zeros
    ``dead``             share of units that are saturated for every input of the batch
    ``grad_var``         mean square of ∂ℓ/∂z_l, ℓ the loss of one example (Glorot & Bengio 2010,
                         eq. 6), or None where no loss could be formed
    ``histograms``       (depth, bins): share of the f(z_l) in every bin, or None where no ``edges`` were
                         given. What lies beyond the outer edges is counted in the outer bins, so that
                         a row sums to 1 and what leaves the picture is seen at its border; NaN in none
    ``q_band``           (depth, 2): the interval in which the q_l of 95 of 100 nets of this width lie, to
                         first order in depth over width (see ``predict``); None in what was measured
    """

    q: np.ndarray
    activation_mean: np.ndarray
    activation_var: np.ndarray
    correlation: np.ndarray
    saturated: np.ndarray
    dead: np.ndarray
    grad_var: np.ndarray | None = None
    histograms: np.ndarray | None = None
    q_band: np.ndarray | None = None

    @property
    def depth(self) -> int:
        return len(self.q)

    @property
    def overflowed_at(self) -> int | None:
        """The first layer l, from 1, whose q_l is not a finite number; None where all are.

        Its pre-activations are more than the net's dtype can hold (or, in float64, more than 1e154).
        """
        beyond = np.flatnonzero(~np.isfinite(self.q))
        return int(beyond[0]) + 1 if beyond.size else None


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each example, and its gradient with respect to that example's logits.

    ℓ_i = log Σ_k exp(y_ik) − y_{i, label}, ∂ℓ_i/∂y_ik = softmax(y_i)_k − [k = label].

    >>> loss, grad = softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(float(loss[0]), 4), grad[0].tolist()
    (1.3863, [0.25, 0.25, -0.75, 0.25])
    """
    labels = np.asarray(labels)
    if labels.shape != logits.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"y must be {len(logits)} whole-number labels, not {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise ValueError(
            f"y must hold labels from 0 to {logits.shape[1] - 1}, not {labels.min()} to {labels.max()}"
        )
    rows = np.arange(len(logits))
    with np.errstate(all="ignore"):  # an exploded network has infinite logits: the loss says so
        shifted = logits - logits.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis=1)
        loss = np.log(total) - shifted[rows, labels]
        grad = exp / total[:, None]
        grad[rows, labels] -= 1
    return loss, grad


KEPT = 100.0  # a mean square that changes by at most this factor, up or down, counts as kept

Verdict = Literal["kept", "vanishes", "explodes", "unknown"]


@dataclass(frozen=True)
class Passage:
    """What becomes of one mean square between the two ends of its way through the layers.

    Attributes
    ----------
    change : float
        The mean square at the end of the way over that at its beginning. NaN where both are 0 or both
        overflowed, and where nothing was measured.
    a_layer : float
        The factor that, once a layer, makes up ``change``: its geometric mean.
    verdict : {"kept", "vanishes", "explodes", "unknown"}
        "kept" where 1/``KEPT`` ≤ ``change`` ≤ ``KEPT``. A signal that is 0 at its end vanishes, one that
        overflowed explodes; "unknown" is the gradient of a measurement without a loss.
    """

    change: float
    a_layer: float
    verdict: Verdict

    @property
    def kept(self) -> bool:
        """Whether the verdict is "kept"."""
        return self.verdict == "kept"


@dataclass(frozen=True)
class Fate:
    """What the signal does on its way forward, and the gradient on its way back.

    Attributes
    ----------
    signal : Passage
        Of ``Signals.q``, from the first hidden layer to the last.
    gradient : Passage
        Of ``Signals.grad_var``, from the last hidden layer to the first.
    """

    signal: Passage
    gradient: Passage

    @property
    def kept(self) -> bool:
        """Whether the signal is kept, and the gradient too where there is one."""
        return self.signal.kept and self.gradient.verdict in ("kept", "unknown")


def passage(first: float, last: float, layers: int) -> Passage:
    """The ``Passage`` of a mean square that is ``first``, and ``last`` that many ``layers`` on.

    Parameters
    ----------
    first, last : float
        Mean squares, at least 0; inf or NaN where they overflowed.
    layers : int
        From the one to the other; at least 0.

    Returns
    -------
    Passage

    Examples
    --------
    >>> passage(1.0, 0.5**10, 10)
    Passage(change=0.0009765625, a_layer=0.5, verdict='vanishes')
    """
    with np.errstate(all="ignore"):  # 0/0 and inf/inf are not numbers
        change = float(np.float64(last) / first)
    lost = change < 1 / KEPT or last == 0
    verdict: Verdict = "vanishes" if lost else "kept" if change <= KEPT else "explodes"  # NaN is an overflow
    return Passage(change, change ** (1 / max(layers, 1)), verdict)


def fate(signals: Signals) -> Fate:
    """The one verdict on what signal and gradient do between the first hidden layer and the last.

    Parameters
    ----------
    signals : Signals
        Measured or predicted.

    Returns
    -------
    Fate
        Both end to end and a layer, and whether each is kept, vanishes or explodes.

    Examples
    --------
    >>> net = MLP([64, *[64] * 20, 10], init="xavier_normal", rng=0)  # under ReLU half the signal a layer
    >>> found = fate(measure(net, np.random.default_rng(0).standard_normal((100, 64))))
    >>> found.signal.verdict, round(found.signal.a_layer, 1), found.kept
    ('vanishes', 0.5, False)
    """
    last = max(signals.depth - 2, 0)
    back = signals.grad_var
    gradient = Passage(np.nan, np.nan, "unknown") if back is None else passage(back[last], back[0], last)
    return Fate(passage(signals.q[0], signals.q[last], last), gradient)


FLAT = 0.05  # of the largest slope: below it a unit is called saturated


def steepest_slope(activation) -> float:
    return float(np.abs(activation.df(np.linspace(-4, 4, 801))).max())


def _squares(a: np.ndarray) -> np.ndarray:
    """|a_i|² of every row, in float64."""
    a = a.astype(np.float64, copy=False)
    return np.vecdot(a, a)


def mean_square(a: np.ndarray) -> float:
    return float(_squares(a).sum()) / a.size  # NumPy's mean is slower, by its Python


def _variance(a: np.ndarray, mean: float) -> float:
    """Of the entries of ``a``, which is centred in place: E[a²] − E[a]² would lose the digits they share."""
    a -= mean
    variance = mean_square(a)
    if variance < 1e-20 * mean**2 and a.min() == a.max():  # alike: only their mean was rounded
        return 0.0
    return variance


def mean_cosine(z: np.ndarray, squares: np.ndarray | None = None) -> float:
    """Mean of cos(z_i, z_j), i ≠ j, from |Σ u_i|² = n + Σ_{i≠j} u_i·u_j with u_i = z_i/|z_i|.

    ``squares``: the |z_i|², where they are known already. NaN for one row, or where a row is 0.
    """
    n = len(z)
    norm = np.sqrt(_squares(z) if squares is None else squares)
    if n < 2 or not norm.all():
        return np.nan
    total = (1 / norm) @ z.astype(np.float64, copy=False)
    return (total @ total - n) / (n * (n - 1))


def measure(net: MLP, x, y=None, edges=None) -> Signals:
    """Run ``x`` (batch, in) through ``net``, and back when labels ``y`` (batch,) are given.

    The loss is softmax cross-entropy. ``edges`` (bins + 1,) asks for histograms too. One pass; nothing
    is kept. Overflow is not an error: entries become inf or NaN, and ``overflowed_at`` names the layer.
    Raises ValueError for an empty batch, NaN or infinity in ``x``, labels that do not fit, or edges that do
    not rise. Taught in lesson 01.

    >>> net = MLP([64, *[64] * 5, 10], init="he_normal", rng=0)
    >>> s = measure(net, np.random.default_rng(0).standard_normal((100, 64)))
    >>> s.depth, bool(0.3 < s.q[-1] / s.q[0] < 3)
    (6, True)
    """
    edges = None if edges is None else _checked_edges(edges)
    trace = net.trace(x, slopes=True)
    steep = FLAT * steepest_slope(net.activation)
    scratch = np.empty(max(z.size for z in trace.pre))

    def in_float64(a):  # sums of float32 would lose digits, and fresh memory for each takes longer than they
        copy = scratch[: a.size].reshape(a.shape)
        np.copyto(copy, a)
        return copy

    with np.errstate(all="ignore"):
        rows, shares = [], []
        for layer, z in enumerate(trace.pre):
            last = layer == net.depth - 1
            a = z if last else trace.inputs[layer + 1]
            if edges is not None:
                shares.append(_shares(a, edges))
            z = in_float64(z)
            squares = _squares(z)
            q = squares.sum() / z.size
            correlation = mean_cosine(z, squares)
            if last:
                a, flat = z, np.zeros((1, 1), bool)
            else:
                a = in_float64(a)  # in the place of z
                flat = np.abs(trace.slopes[layer]) < steep
            mean = a.sum() / a.size
            variance = _variance(a, mean)  # the last that a is needed for
            dead = np.count_nonzero(flat.all(axis=0)) / flat.shape[1]
            rows.append((q, mean, variance, correlation, np.count_nonzero(flat) / flat.size, dead))
        grad_var = None
        if y is not None:
            deltas = net.deltas(softmax_cross_entropy(trace.pre[-1], y)[1], trace)
            grad_var = np.array([mean_square(in_float64(d)) for d in deltas])
    q, activation_mean, activation_var, correlation, saturated, dead = np.array(rows, np.float64).T
    return Signals(
        q=q,
        activation_mean=activation_mean,
        activation_var=activation_var,
        correlation=correlation,
        saturated=saturated,
        dead=dead,
        grad_var=grad_var,
        histograms=np.array(shares) if edges is not None else None,
    )


def _checked_edges(edges) -> np.ndarray:
    if is_bool(np.asarray(edges)):
        raise TypeError(f"edges must be numbers, not {edges!r}")
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError(f"edges must be two or more finite numbers that rise, not {edges!r}")
    return edges


def _shares(a: np.ndarray, edges: np.ndarray) -> np.ndarray:
    low, high, bins = edges[0], edges[-1], len(edges) - 1
    if not np.array_equal(edges, np.linspace(low, high, bins + 1)):
        return np.histogram(np.clip(a, low, high), edges)[0] / a.size
    # Equal bins, as a live figure has them, need no search: four times as fast.
    place = np.clip((a - a.dtype.type(low)) * a.dtype.type(bins / (high - low)), 0, bins - 1).ravel()
    if np.isnan(place).any():
        place = place[~np.isnan(place)]
    return np.bincount(place.astype(np.intp), minlength=bins) / a.size
