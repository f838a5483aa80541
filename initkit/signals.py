"""Signals, layer by layer: the type that theory and measurement share, and the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Activation
from .arguments import Array
from .network import MLP, an_mlp

__all__ = [
    "KEPT", "Fate", "Passage", "Signals", "Verdict", "cosines", "fate", "measure", "passage",
    "softmax_cross_entropy",
]  # fmt: skip


@dataclass(frozen=True)
class Signals:
    """What happens to a signal, as arrays of one entry a layer; the last layer is the linear output.

    Float64, without unit. ⟨·⟩ is the mean over batch and units; z_l are the pre-activations of layer l.

    Attributes
    ----------
    q : ndarray
        Mean square of the pre-activations, ``⟨z_l²⟩`` (Poole et al. 2016, eq. 3).
    activation_mean, activation_var : ndarray
        Mean and variance of f(z_l) over batch and units (Glorot & Bengio 2010, eq. 5).
    correlation : ndarray
        Mean cosine between the z_l of two different inputs (Poole et al. 2016, eq. 5); NaN where there is one
        input, or a vector of pre-activations is 0.
    saturated : ndarray
        Share of (input, unit) pairs with a slope ``abs(f'(z_l))`` below a twentieth of the function's
        largest; for ReLU, the share of zeros.
    dead : ndarray
        Share of units that are saturated for every input of the batch.
    grad_var : ndarray or None
        Mean square of ∂ℓ/∂z_l, ℓ the loss of one example (Glorot & Bengio 2010, eq. 6); None without labels.
    histograms : ndarray or None
        (depth, bins): the share of the f(z_l) in every bin; None without ``edges``. The outer bins include
        what lies beyond them, so that a row sums to 1; NaN is in none.
    q_band : ndarray or None
        (depth, 2): the interval that holds the q_l of 95 of 100 nets of this width, see ``predict``; None in
        what was measured.
    """

    q: Array
    activation_mean: Array
    activation_var: Array
    correlation: Array
    saturated: Array
    dead: Array
    grad_var: Array | None = None
    histograms: Array | None = None
    q_band: Array | None = None

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.q)

    @property
    def overflowed_at(self) -> int | None:
        """The first layer l, counted from 1, whose q_l is not finite; None where all are.

        Its pre-activations, or in float64 their squares, are too large for the dtype.
        """
        beyond = np.flatnonzero(~np.isfinite(self.q))
        return int(beyond[0]) + 1 if beyond.size else None


def softmax_cross_entropy(logits: Array, labels: npt.ArrayLike) -> tuple[Array, Array]:
    """The loss of each example, and its gradient with respect to that example's logits.

    ``ℓ_i = log Σ_k exp(y_ik) − y_{i, label}`` and ``∂ℓ_i/∂y_ik = softmax(y_i)_k − [k = label]``.

    Parameters
    ----------
    logits : ndarray
        y, (batch, classes).
    labels : array of int
        (batch,), from 0 on.

    Returns
    -------
    loss : ndarray
        (batch,), in nats; inf or NaN where the logits are.
    gradient : ndarray
        (batch, classes).

    Raises
    ------
    ValueError
        The labels do not fit; the message calls them y.

    Examples
    --------
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
    with np.errstate(all="ignore"):  # infinite logits, of a net that exploded, give an infinite loss
        shifted = logits - logits.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis=1)
        loss = np.log(total) - shifted[rows, labels]
        grad = exp / total[:, None]
        grad[rows, labels] -= 1
    return loss, grad


KEPT = 100.0
"""A mean square that changes by at most this factor, up or down, counts as kept."""

Verdict: TypeAlias = Literal["kept", "vanishes", "explodes", "unknown"]
"""What a signal does on its way: see ``Passage.verdict``."""


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


def steepest_slope(activation: Activation) -> float:
    """The largest ``abs(f')`` on a grid over [−4, 4]."""
    return float(np.abs(activation.df(np.linspace(-4, 4, 801))).max())


def _squares(a: Array) -> Array:
    """Every row's squared norm, in float64."""
    a = a.astype(np.float64, copy=False)
    return np.vecdot(a, a)


def mean_square(a: Array) -> float:
    """⟨a²⟩ over all entries, in float64."""
    return float(_squares(a).sum()) / a.size  # np.mean adds a few microseconds of Python


def _variance(a: Array, mean: float) -> float:
    """Var[a], centring ``a`` in place: E[a²] − E[a]² would lose the digits that the entries share."""
    a -= mean
    variance = mean_square(a)
    if variance < 1e-20 * mean**2 and a.min() == a.max():  # all alike, and only their mean was rounded
        return 0.0
    return variance


def mean_cosine(z: Array, squares: Array | None = None) -> float:
    """The mean cosine between two different rows of ``z``; NaN for one row, or where a row is 0.

    With unit vectors ``u_i = z_i/‖z_i‖``, ``‖Σ u_i‖² = n + Σ_{i≠j} u_i·u_j``. ``squares``: the ‖z_i‖², if
    known.
    """
    n = len(z)
    norm = np.sqrt(_squares(z) if squares is None else squares)
    if n < 2 or not norm.all():
        return np.nan
    total = (1 / norm) @ z.astype(np.float64, copy=False)
    return float(total @ total - n) / (n * (n - 1))


def cosines(net: MLP, x: npt.ArrayLike) -> Array:
    """The cosine between the pre-activations of every two inputs, layer by layer.

    ``cos_l(i, j) = z_l(x_i)·z_l(x_j) / (‖z_l(x_i)‖ ‖z_l(x_j)‖)``: whether two inputs drift together or apart.
    Its mean over i ≠ j is ``Signals.correlation``.

    Parameters
    ----------
    net, x
        As in ``measure``.

    Returns
    -------
    ndarray
        (layers, batch, batch), float64, in [−1, 1] with 1 on the diagonal; NaN where a vector is 0 or
        overflowed.

    Raises
    ------
    ValueError, TypeError
        As in ``MLP.checked``.

    References
    ----------
    Poole et al. 2016, eq. 5.

    Examples
    --------
    >>> net = MLP([2, 500, 500, 500, 500, 10], init="he_normal", rng=0)
    >>> c = cosines(net, [[1, 0], [0, 1]])
    >>> c.shape, bool(c[0, 0, 1] < c[1, 0, 1] < c[2, 0, 1])  # ReLU turns inputs towards each other
    ((5, 2, 2), True)
    """
    found = []
    with np.errstate(all="ignore"):
        for z in net.trace(x).pre:
            u = z / np.abs(z).max(axis=1, keepdims=True)  # a square of small numbers would be 0
            u = u.astype(np.float64)
            u /= np.sqrt(_squares(u))[:, None]
            found.append(np.clip(u @ u.T, -1, 1))
    return np.array(found)


def measure(
    net: MLP, x: npt.ArrayLike, y: npt.ArrayLike | None = None, edges: npt.ArrayLike | None = None
) -> Signals:
    """What happens to the inputs ``x`` on their way through ``net``, and to the gradient on its way back.

    The loss is softmax cross-entropy. One pass; the net keeps nothing of it. Taught in lesson 01.

    Parameters
    ----------
    net : MLP
        The network.
    x : array
        Inputs, (batch, in).
    y : array of int, optional
        Labels, (batch,); without them there is no gradient.
    edges : array, optional
        The edges of histograms' bins, (bins + 1,); without them there are none.

    Returns
    -------
    Signals
        Overflow is no error: entries become inf or NaN, and ``overflowed_at`` names the layer.

    Raises
    ------
    ValueError
        ``x`` is empty or not finite, the labels do not fit, or the edges do not rise.

    Examples
    --------
    >>> net = MLP([64, *[64] * 5, 10], init="he_normal", rng=0)
    >>> s = measure(net, np.random.default_rng(0).standard_normal((100, 64)))
    >>> s.depth, bool(0.3 < s.q[-1] / s.q[0] < 3)
    (6, True)
    """
    borders = None if edges is None else _checked_edges(edges)
    trace = an_mlp(net).trace(x, slopes=True)
    steep = FLAT * steepest_slope(net.activation)
    scratch = np.empty(max(z.size for z in trace.pre))

    def in_float64(a: Array) -> Array:
        """A copy in ``scratch``: float32 sums lose digits, and allocating takes longer than summing."""
        copy = scratch[: a.size].reshape(a.shape)
        np.copyto(copy, a)
        return copy

    with np.errstate(all="ignore"):
        rows, shares = [], []
        for layer, z in enumerate(trace.pre):
            last = layer == net.depth - 1
            a = z if last else trace.inputs[layer + 1]
            if borders is not None:
                counts = np.histogram(np.clip(a, borders[0], borders[-1]), borders)[0]
                shares.append(counts / a.size)
            z = in_float64(z)
            squares = _squares(z)
            q = squares.sum() / z.size
            correlation = mean_cosine(z, squares)
            if last:
                a, flat = z, np.zeros((1, 1), bool)
            else:
                a = in_float64(a)  # overwrites z
                flat = np.abs(trace.slopes[layer]) < steep
            mean = a.sum() / a.size
            variance = _variance(a, mean)  # overwrites a
            dead = np.count_nonzero(flat.all(axis=0)) / flat.shape[1]
            rows.append((q, mean, variance, correlation, np.count_nonzero(flat) / flat.size, dead))
        grad_var = None
        if y is not None:
            deltas = net.deltas(softmax_cross_entropy(trace.pre[-1], y)[1], trace)
            grad_var = np.array([mean_square(in_float64(d)) for d in deltas])
    q, activation_mean, activation_var, correlation, saturated, dead = np.array(rows, np.float64).T
    histograms = None if borders is None else np.array(shares)
    return Signals(q, activation_mean, activation_var, correlation, saturated, dead, grad_var, histograms)


def _checked_edges(edges: npt.ArrayLike) -> Array:
    array = np.asarray(edges)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"edges must be numbers, not {edges!r}")
    array = array.astype(np.float64)
    if array.ndim != 1 or len(array) < 2 or not (np.isfinite(array).all() and (np.diff(array) > 0).all()):
        raise ValueError(f"edges must be two or more finite numbers that rise, not {edges!r}")
    return array
