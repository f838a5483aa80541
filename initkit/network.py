"""A multilayer perceptron in NumPy: forward, backward, and nothing hidden."""

from __future__ import annotations

import collections
import contextlib
import copy
import math
import sys
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from . import activations, initializers, sampling
from .activations import ActivationLike
from .arguments import Array, DTypeLike, Real, RNGLike, ShapeLike, Whole, check_whole, is_finite, is_number
from .fans import checked_shape
from .initializers import Initializer

__all__ = ["MLP", "Gradients", "Norm", "Trace", "lsuv"]

Norm: TypeAlias = Literal["layer"] | None
"""What every hidden layer's pre-activations are normalized over, if anything."""


class Gradients(NamedTuple):
    """The gradients of a loss L, each of the shape of what it belongs to.

    Attributes
    ----------
    weights, biases : list of ndarray
        ∂L/∂W and ∂L/∂b of every layer.
    input : ndarray
        ∂L/∂x, (batch, in).
    """

    weights: list[Array]
    biases: list[Array]
    input: Array


class Trace(NamedTuple):
    """What one forward pass computed; an entry a layer, the last layer has no activation.

    Attributes
    ----------
    inputs : list of ndarray
        What enters layer l, (batch, fan_in).
    pre : list of ndarray
        The pre-activations, ``inputs[l] @ weights[l].T + biases[l]``; in a residual block, that branch times
        its scale plus ``pre[l − 1]``. The last are the network's output.
    seen : list of ndarray
        What the activation is applied to: ``pre[l]``, or ``(pre[l] − mean) / spread[l]`` over the units.
    spread : list of ndarray or None
        The standard deviation that the normalization divided by, (batch, 1).
    slopes : list of ndarray
        f' of ``seen[l]``; empty where it was not asked for.
    """

    inputs: list[Array]
    pre: list[Array]
    seen: list[Array]
    spread: list[Array]
    slopes: list[Array]


def _product(a: Array, b: Array) -> Array:
    """``a @ b`` of two matrices of one dtype.

    In WebAssembly NumPy has no BLAS: that of SciPy takes a third to three fifths of its time.
    """
    if sys.platform != "emscripten" or a.dtype.char not in "fd" or 0 in (a.size, b.size):
        return a @ b
    from scipy.linalg import blas

    # BLAS wants the entries of a column side by side; in C order those of a row are, and BLAS reads m as m.T.
    # So it is asked for (a @ b).T = b.T @ a.T, and turns back a matrix that is in its own order.
    (first, flip_first), (second, flip_second) = (
        (m.T, 0) if m.flags.c_contiguous else (m, 1) for m in (b, a)
    )
    gemm = blas.sgemm if a.dtype.char == "f" else blas.dgemm
    return gemm(1.0, first, second, trans_a=flip_first, trans_b=flip_second).T


@contextlib.contextmanager
def _about(argument: str) -> Iterator[None]:
    """Errors say which of MLP's arguments they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{argument}: {error}") from error


NORM_EPSILON = 1e-5  # added to the variance, as PyTorch's LayerNorm does


class MLP:
    """A multilayer perceptron: layers z = W a + b and a = f(z); the last layer is linear.

    Taught in lesson 01.

    Parameters
    ----------
    widths : sequence of int
        Units from the input to the output, (in, hidden…, out).
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    init, bias : str or callable
        Initializers: registered names, or any ``f(shape, *, rng, dtype)``. A weight is (out, in), a bias
        (out,).
    rng : int, SeedSequence, Generator or None
        Layers draw from it in order, the weight of a layer before its bias.
    dtype : dtype
        float16, float32 or float64.
    residual : float, optional
        The branch scale s. Every hidden layer from the second on that has as many units as the one before
        becomes a block, ``z_l = z_{l−1} + s·(W f(z_{l−1}) + b)``: s = 1/√(2·blocks) in GPT-2, 0 at the start
        of ReZero (whose s is trained; here it is not).
    norm : {"layer"}, optional
        Apply f to layer-normalized pre-activations, of mean 0 and variance 1 over the units, without gain and
        bias; in a block, this is pre-LayerNorm.

    Attributes
    ----------
    weights, biases : list of ndarray
        Of every layer; they may be written to.

    Raises
    ------
    ValueError, TypeError
        ``widths`` are not two or more sizes ≥ 1, a name is unknown, an initializer fails or returns another
        shape, or ``residual`` is not finite.

    References
    ----------
    Residual scales: Radford et al. 2019 (GPT-2); Bachlechner et al. 2020 (ReZero). Normalization: Ba et al.
    2016.

    Examples
    --------
    >>> net = MLP([4, 8, 3], activation="tanh", init="xavier_normal", rng=0)
    >>> [w.shape for w in net.weights]
    [(8, 4), (3, 8)]
    >>> net.forward(np.ones((5, 4), np.float32)).shape
    (5, 3)
    """

    def __init__(
        self,
        widths: ShapeLike,
        activation: ActivationLike = "relu",
        init: str | Initializer = "he_normal",
        bias: str | Initializer = "zeros",
        rng: RNGLike = None,
        dtype: DTypeLike = np.float32,
        *,
        residual: Real | None = None,
        norm: Norm = None,
    ) -> None:
        try:
            self.widths = checked_shape(widths)
        except (TypeError, ValueError):
            raise TypeError(f"widths must be whole numbers of at least 1, not {widths!r}") from None
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(
                f"widths must be two or more sizes of at least 1, (in, hidden…, out), not {widths!r}"
            )
        self.activation = activations.get(activation)
        self.dtype = initializers.checked_dtype(dtype)
        if residual is not None and not is_finite(residual):
            raise ValueError(f"residual must be None or a finite branch scale, not {residual!r}")
        if norm not in (None, "layer"):
            raise ValueError(f"norm must be None or 'layer', not {norm!r}")
        self.residual, self.norm = residual, norm
        self.skips = np.diff(self.widths) == 0  # which layers are residual blocks
        self.skips &= residual is not None
        self.skips[[0, -1]] = False
        rng = sampling.generator(rng)
        with _about("init"):
            draw_weight = initializers.get(init)
        with _about("bias"):
            draw_bias = initializers.get(bias)
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        for n_in, n_out in zip(self.widths, self.widths[1:], strict=False):
            self.weights.append(self._drawn("init", draw_weight, (n_out, n_in), rng))
            self.biases.append(self._drawn("bias", draw_bias, (n_out,), rng))
        self._trace: Trace | None = None

    def _drawn(
        self, argument: str, initializer: Initializer, shape: tuple[int, ...], rng: np.random.Generator
    ) -> Array:
        with _about(argument):
            array = np.asarray(initializer(shape, rng=rng, dtype=self.dtype))
        if array.shape != shape:
            raise ValueError(f"{argument} returned shape {array.shape} where {shape} was asked for")
        if array.dtype.kind not in "buif":
            raise TypeError(f"{argument} returned {array.dtype} where real numbers were asked for")
        return np.array(array, self.dtype)  # a copy, as the net's own may be written to

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trace": None}  # a pickled net leaves its activations behind

    @property
    def depth(self) -> int:
        """The number of layers that have weights."""
        return len(self.weights)

    def checked(self, x: npt.ArrayLike, name: str = "x") -> Array:
        """A copy of ``x`` in the net's dtype.

        Parameters
        ----------
        x : array
            Inputs, (batch, in).
        name : str
            What errors call it.

        Raises
        ------
        ValueError
            The shape is not (batch, in), the batch is empty, or a number is not finite or too large for the
            dtype.
        TypeError
            ``x`` is no array of real numbers.
        """
        try:
            array = np.asarray(x)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        if array.dtype.kind not in "buif":
            raise TypeError(f"{name} must be an array of real numbers, (batch, {self.widths[0]})")
        if array.ndim != 2 or array.shape[1] != self.widths[0]:
            raise ValueError(f"{name} must have shape (batch, {self.widths[0]}), not {array.shape}")
        if len(array) == 0:
            raise ValueError(f"{name} must hold at least one input; the batch is empty")
        with np.errstate(over="ignore"):
            array = np.array(array, self.dtype)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers that {self.dtype} can hold; some are not")
        return array

    def trace(self, x: npt.ArrayLike, slopes: bool = False) -> Trace:
        """Run ``x`` (batch, in) forward and return what every layer computed; the net keeps nothing of it.

        Parameters
        ----------
        x : array
            As in ``checked``, errors included.
        slopes : bool
            Compute f' too, which together with f costs less than after it (GELU's Φ is common to both).

        Returns
        -------
        Trace
            What is too large for the dtype becomes inf, without an error or a warning.
        """
        with np.errstate(all="ignore"):
            inputs, pre, seen, spread, steep = map(list, zip(*self._layers(x, slopes), strict=True))
        return Trace(inputs, pre, seen[:-1], spread[:-1], steep[:-1] if slopes else [])

    def output(self, x: npt.ArrayLike) -> Array:
        """``forward`` without what ``backward`` needs, whose fresh memory doubles the time of a deep net."""
        with np.errstate(all="ignore"):
            (last,) = collections.deque(self._layers(x), maxlen=1)
        return last[1]

    def _layers(self, x: npt.ArrayLike, slopes: bool = False) -> Iterator[tuple[Any, ...]]:
        """For each layer, the entries of ``Trace``'s lists."""
        a, z = self.checked(x), np.empty(0)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            before, z = z, _product(a, weight.T)
            z += bias
            if self.skips[layer]:
                z *= self.dtype.type(self.residual)
                z += before
            if layer == self.depth - 1:
                yield a, z, None, None, None
                return
            seen, spread = _normalized(z) if self.norm else (z, None)
            value, slope = self.activation.both(seen) if slopes else (self.activation.f(seen), None)
            yield a, z, seen, spread, self._in_dtype(slope, seen) if slope is not None else None
            a = self._in_dtype(value, seen)

    def _in_dtype(self, values: npt.ArrayLike, z: Array) -> Array:
        """``values`` of f or f' at ``z`` in the net's dtype: a reader's function may answer in another."""
        try:
            values = np.asarray(values, self.dtype)
        except (TypeError, ValueError):
            raise TypeError("activation must return an array of real numbers") from None
        if values.shape != z.shape:
            raise ValueError(f"activation returned shape {values.shape} for an argument of shape {z.shape}")
        return values

    def forward(self, x: npt.ArrayLike) -> Array:
        """The outputs (batch, out) of ``x`` (batch, in); the net keeps what ``backward`` needs.

        Errors as in ``checked``.
        """
        self._trace = self.trace(x)
        return self._trace.pre[-1]

    def deltas(self, grad_out: npt.ArrayLike, trace: Trace | None = None) -> list[Array]:
        """The gradients ∂L/∂z of every layer's pre-activations, (batch, width) each.

        ``δ_L = ∂L/∂y`` and ``δ_l = (δ_{l+1} W_{l+1}) ⊙ f'(z_l)`` (Glorot & Bengio 2010, eq. 2). Arguments and
        errors as in ``backward``.
        """
        trace = self._of_last_pass(trace)
        grad_out = np.asarray(grad_out, self.dtype)
        if grad_out.shape != trace.pre[-1].shape:
            raise ValueError(
                f"grad_out must have the output's shape {trace.pre[-1].shape}, not {grad_out.shape}"
            )
        deltas = [grad_out]
        with np.errstate(all="ignore"):
            slopes = trace.slopes or [self._in_dtype(self.activation.df(z), z) for z in trace.seen]
            for layer in range(self.depth - 1, 0, -1):
                delta = _product(deltas[-1], self.weights[layer])
                seen = trace.seen[layer - 1]
                delta *= slopes[layer - 1]
                if self.norm:
                    delta = _normalized_backward(delta, seen, trace.spread[layer - 1])
                if self.skips[layer]:
                    delta *= self.dtype.type(self.residual)
                    delta += deltas[-1]
                deltas.append(delta)
        return deltas[::-1]

    def _of_last_pass(self, trace: Trace | None) -> Trace:
        trace = self._trace if trace is None else trace
        if trace is None:
            raise RuntimeError("backward needs a forward pass first")
        return trace

    def backward(self, grad_out: npt.ArrayLike, trace: Trace | None = None) -> Gradients:
        """The gradients of a loss L.

        Parameters
        ----------
        grad_out : array
            ∂L/∂y, (batch, out).
        trace : Trace, optional
            The forward pass; by default that of the last ``forward``.

        Raises
        ------
        ValueError
            ``grad_out`` has not the output's shape.
        RuntimeError
            There was no forward pass.

        Examples
        --------
        >>> net = MLP([2, 1], init="ones", rng=0)
        >>> _ = net.forward(np.array([[3.0, 4.0]]))
        >>> net.backward(np.ones((1, 1))).weights[0]
        array([[3., 4.]], dtype=float32)
        """
        trace = self._of_last_pass(trace)
        deltas = self.deltas(grad_out, trace)
        with np.errstate(all="ignore"):
            weights = [_product(d.T, a) for d, a in zip(deltas, trace.inputs, strict=True)]
            biases = [d.sum(axis=0) for d in deltas]
            for layer in np.flatnonzero(self.skips):
                weights[layer] *= self.dtype.type(self.residual)
                biases[layer] *= self.dtype.type(self.residual)
            return Gradients(weights, biases, _product(deltas[0], self.weights[0]))


def an_mlp(net: MLP) -> MLP:
    """``net``; TypeError where it is none."""
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, not {type(net).__name__}")
    return net


def _normalized(z: Array) -> tuple[Array, Array]:
    """z with mean 0 and variance 1 over the units, and its standard deviation (batch, 1) before."""
    centred = z - z.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + z.dtype.type(NORM_EPSILON))
    centred /= spread
    return centred, spread


def _normalized_backward(delta: Array, normalized: Array, spread: Array) -> Array:
    """The gradient before ``_normalized`` from the one after: its parts along 1 and the result vanish."""
    along = (delta * normalized).mean(axis=1, keepdims=True)
    return (delta - delta.mean(axis=1, keepdims=True) - normalized * along) / spread


def scaled(net: MLP, factor: Real, activation: ActivationLike) -> MLP:
    """A net as ``net`` is, but for its activation, its weights times ``factor`` and its biases of zero.

    Live figures draw once and scale, so that the picture moves with the slider alone.

    Examples
    --------
    >>> float(scaled(MLP([1, 1], init="ones"), 3.0, "tanh").weights[0][0, 0])
    3.0
    """
    if not is_number(factor):
        raise TypeError(f"factor must be a number, not {factor!r}")
    other = copy.copy(an_mlp(net))
    other.activation = activations.get(activation)
    other.weights = [np.asarray(weight * factor, net.dtype) for weight in net.weights]
    other.biases = [np.zeros_like(bias) for bias in net.biases]
    return other


def lsuv(
    net: MLP, batch: npt.ArrayLike, *, tol: Real = 0.1, max_iter: Whole = 10, rng: RNGLike = None
) -> MLP:
    """Layer-sequential unit-variance initialization, in place.

    Every weight becomes orthonormal. Then, from the first layer on, it is divided by the standard deviation
    of the layer's output on ``batch`` until ``|Var[z_l] − 1| < tol``; biases stay as they are. Taught in
    lesson 06.

    Parameters
    ----------
    net : MLP
        Without residual blocks: the part of the signal that skips a layer cannot be scaled.
    batch : array
        Inputs, (batch, in).
    tol : float
        > 0.
    max_iter : int
        Divisions a layer, at most.
    rng : int, SeedSequence, Generator or None
        Draws the orthonormal weights.

    Returns
    -------
    MLP
        ``net``.

    Raises
    ------
    ValueError
        The net has residual blocks, an argument is out of range, or a layer is not within ``tol`` after
        ``max_iter`` divisions, as its output does not vary, or its biases do.

    References
    ----------
    Mishkin & Matas 2015, algorithm 1.

    Examples
    --------
    >>> net = lsuv(MLP([64, *[50] * 8, 10], "tanh"), np.random.default_rng(0).normal(size=(99, 64)), rng=0)
    >>> bool(abs(net.forward(np.random.default_rng(0).normal(size=(99, 64))).var() - 1) < 0.1)
    True
    """
    if not (is_finite(tol) and tol > 0):
        raise ValueError(f"tol must be a finite number above 0, not {tol!r}")
    check_whole("max_iter", max_iter, 0)
    if an_mlp(net).skips.any():
        raise ValueError("net must have no residual blocks: what their skips bring cannot be scaled")
    a = net.checked(batch, "batch")
    rng = sampling.generator(rng)
    for weight in net.weights:
        initializers.orthogonal(weight.shape, rng=rng, dtype=weight.dtype, out=weight)
    with np.errstate(all="ignore"):
        for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
            for _ in range(max_iter + 1):
                z = _product(a, weight.T) + bias
                variance = z.var(dtype=np.float64)
                if abs(variance - 1) < tol:
                    break
                if not (np.isfinite(variance) and variance > 0):
                    raise ValueError(f"batch: layer {layer} has an output of variance {variance}")
                weight /= weight.dtype.type(math.sqrt(variance))
            else:
                raise ValueError(
                    f"batch: layer {layer} has variance {variance:.3g} after {max_iter} divisions"
                )
            seen = _normalized(z)[0] if net.norm else z
            a = net._in_dtype(net.activation.f(seen), seen)
    return net
