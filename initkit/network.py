"""A multilayer perceptron in NumPy: forward, backward, and nothing hidden."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import activations, initializers, sampling
from .arguments import is_number, is_whole
from .fans import checked_shape


class Gradients(NamedTuple):
    """∂L/∂(each weight), ∂L/∂(each bias), ∂L/∂(input): shaped as what they belong to."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    input: np.ndarray


class Trace(NamedTuple):
    """What one forward pass saw, layer by layer.

    ``inputs[l]`` enters layer l and ``pre[l] = inputs[l] @ weights[l].T + biases[l]`` leaves its
    linear part (in a residual block, plus ``pre[l − 1]``); the pre-activations of the last layer are the
    network's output. ``seen[l]`` is what the activation is applied to: ``pre[l]`` itself, or normalized,
    which is (pre[l] − mean) / ``spread[l]`` over the units; ``slopes[l]``, f' of that, where asked for.
    """

    inputs: list[np.ndarray]
    pre: list[np.ndarray]
    seen: list[np.ndarray]
    spread: list[np.ndarray]
    slopes: list[np.ndarray]


NORM_EPSILON = 1e-5  # added to the variance, as PyTorch's LayerNorm does


class MLP:
    """Layers z = W a + b, a = f(z), with an activation f between them; the last layer is linear.

    ``widths``: units from the input to the output, (in, hidden…, out). ``activation``: as in
    ``activations.get``. ``init`` and ``bias``: a registry name or any callable
    ``f(shape, *, rng, dtype)``; weights are (out, in). ``rng``: layers draw from it in order, the
    weights of a layer before its biases. Taught in lesson 01.

    ``residual``: the branch scale s. Every hidden layer from the second on that has as many units as
    the one before is then a block, z_l = z_{l−1} + s·(W f(z_{l−1}) + b): 1/√(2·blocks) as GPT-2 scales
    (Radford et al. 2019), 0 as ReZero starts (Bachlechner et al. 2020; s is not trained here).
    ``norm="layer"``: f is applied to layer-normalized pre-activations, of mean 0 and variance 1 over
    the units (Ba et al. 2016, without gain and bias); in a block, this is pre-LayerNorm.

    Raises ValueError or TypeError for widths that are not two or more sizes ≥ 1, unknown names, an
    initializer that returns the wrong shape, a residual that is not finite.

    >>> net = MLP([4, 8, 3], activation="tanh", init="xavier_normal", rng=0)
    >>> [w.shape for w in net.weights]
    [(8, 4), (3, 8)]
    >>> net.forward(np.ones((5, 4), np.float32)).shape
    (5, 3)
    """

    def __init__(
        self,
        widths,
        activation="relu",
        init="he_normal",
        bias="zeros",
        rng=None,
        dtype=np.float32,
        *,
        residual: float | None = None,
        norm: str | None = None,
    ):
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
        if residual is not None and not (is_number(residual) and math.isfinite(residual)):
            raise ValueError(f"residual must be None or a finite branch scale, not {residual!r}")
        if norm not in (None, "layer"):
            raise ValueError(f"norm must be None or 'layer', not {norm!r}")
        self.residual, self.norm = residual, norm
        n_in, n_out = np.array(self.widths[:-1]), np.array(self.widths[1:])
        self.skips = (n_in == n_out) & (residual is not None)  # which layers are blocks
        self.skips[[0, -1]] = False
        rng = sampling.generator(rng)
        init, bias = initializers.get(init), initializers.get(bias)
        self.weights, self.biases = [], []
        for n_in, n_out in zip(self.widths, self.widths[1:], strict=False):
            self.weights.append(self._drawn("init", init, (n_out, n_in), rng))
            self.biases.append(self._drawn("bias", bias, (n_out,), rng))
        self._trace: Trace | None = None

    def _drawn(self, argument, initializer, shape, rng):
        array = np.asarray(initializer(shape, rng=rng, dtype=self.dtype))
        if array.shape != shape:
            raise ValueError(f"{argument} returned shape {array.shape} where {shape} was asked for")
        if array.dtype.kind not in "buif":
            raise TypeError(f"{argument} returned {array.dtype} where real numbers were asked for")
        return np.array(array, self.dtype)  # a copy: the net's own, to be written to

    def __getstate__(self):
        return {**self.__dict__, "_trace": None}  # activations do not travel with the net

    @property
    def depth(self) -> int:
        """The number of layers that have weights."""
        return len(self.weights)

    def checked(self, x) -> np.ndarray:
        """A copy of ``x`` in the net's dtype.

        Raises ValueError for another shape than (batch, in), an empty batch, NaN or infinity, or numbers too
        large for the dtype; TypeError for what is no array of real numbers.
        """
        try:
            array = np.asarray(x)
            real = array.dtype.kind in "buif"
        except ValueError:  # rows of different lengths
            real = False
        if not real:
            raise TypeError(f"x must be an array of real numbers, (batch, {self.widths[0]})")
        if array.ndim != 2 or array.shape[1] != self.widths[0]:
            raise ValueError(f"x must have shape (batch, {self.widths[0]}), not {array.shape}")
        if len(array) == 0:
            raise ValueError("x must hold at least one input; the batch is empty")
        with np.errstate(over="ignore"):
            array = np.array(array, self.dtype)
        if not np.isfinite(array).all():
            raise ValueError(f"x must be finite numbers that {self.dtype} can hold; some are not")
        return array

    def trace(self, x, slopes: bool = False) -> Trace:
        """Run ``x`` (batch, in) forward and return what every layer saw. Nothing of it is kept in the net.

        ``slopes``: f' too, which costs less together with f than after it (GELU's Φ is their common part).
        Overflow is not an error, and no warning: what is too large for the dtype becomes inf.
        """
        with np.errstate(all="ignore"):
            inputs, pre, seen, spread, steep = map(list, zip(*self._layers(x, slopes), strict=True))
        return Trace(inputs, pre, seen[:-1], spread[:-1], steep[:-1] if slopes else [])

    def output(self, x) -> np.ndarray:
        """``x`` (batch, in) → (batch, out), as ``forward``, and what the layers saw is forgotten.

        A deep net and a thousand inputs take half the time so: the rest was fresh memory.
        """
        with np.errstate(all="ignore"):
            for seen_by_layer in self._layers(x):
                _, z, *_ = seen_by_layer
        return z

    def _layers(self, x, slopes: bool = False) -> Iterator[tuple]:
        """Layer by layer an entry of each of ``Trace``'s lists."""
        a, z = self.checked(x), None
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            before, z = z, a @ weight.T
            z += bias
            if self.skips[layer]:
                z *= self.dtype.type(self.residual)
                z += before
            if layer == self.depth - 1:
                yield a, z, None, None, None
                return
            seen, spread = _normalized(z) if self.norm else (z, None)
            value, slope = self.activation.both(seen) if slopes else (self.activation.f(seen), None)
            yield a, z, seen, spread, self._in_dtype(slope, seen) if slopes else None
            a = self._in_dtype(value, seen)

    def _in_dtype(self, values, z: np.ndarray) -> np.ndarray:
        """f or f' of ``z``; a reader's own activation may answer in another dtype."""
        values = np.asarray(values, self.dtype)
        if values.shape != z.shape:
            raise ValueError(f"activation returned shape {values.shape} for an argument of shape {z.shape}")
        return values

    def forward(self, x) -> np.ndarray:
        """``x`` (batch, in) → (batch, out); what the layers saw is kept for ``backward``.

        Raises as ``checked`` does.
        """
        self._trace = self.trace(x)
        return self._trace.pre[-1]

    def deltas(self, grad_out, trace: Trace | None = None) -> list[np.ndarray]:
        """∂L/∂(pre-activations) of every layer, (batch, width) each.

        δ_L = ∂L/∂y, δ_{l} = (δ_{l+1} W_{l+1}) ⊙ f'(z_l) (Glorot & Bengio 2010, eq. 2). ``trace``: of the
        forward pass meant, the last ``forward`` unless told.
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
                delta = deltas[-1] @ self.weights[layer]
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

    def backward(self, grad_out, trace: Trace | None = None) -> Gradients:
        """Gradients of L, given ``grad_out`` = ∂L/∂y (batch, out); ``trace`` as in ``deltas``.

        >>> net = MLP([2, 1], init="ones", rng=0)
        >>> _ = net.forward(np.array([[3.0, 4.0]]))
        >>> net.backward(np.ones((1, 1))).weights[0]
        array([[3., 4.]], dtype=float32)
        """
        trace = self._of_last_pass(trace)
        deltas = self.deltas(grad_out, trace)
        with np.errstate(all="ignore"):
            weights = [d.T @ a for d, a in zip(deltas, trace.inputs, strict=True)]
            biases = [d.sum(axis=0) for d in deltas]
            for layer in np.flatnonzero(self.skips):
                weights[layer] *= self.dtype.type(self.residual)
                biases[layer] *= self.dtype.type(self.residual)
            return Gradients(weights, biases, deltas[0] @ self.weights[0])


def _normalized(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z of mean 0 and variance 1 over the units, and the standard deviation (batch, 1) that it had."""
    centred = z - z.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + z.dtype.type(NORM_EPSILON))
    centred /= spread
    return centred, spread


def _normalized_backward(delta, normalized, spread) -> np.ndarray:
    """What ``_normalized`` does to a gradient: the parts along 1 and along its result are gone."""
    along = (delta * normalized).mean(axis=1, keepdims=True)
    return (delta - delta.mean(axis=1, keepdims=True) - normalized * along) / spread


def scaled(net: MLP, factor: float, activation) -> MLP:
    """A plain net of ``net``'s widths, its weights times ``factor``, its biases zero.

    One draw for all scales: a picture of them moves with the hand alone.

    >>> float(scaled(MLP([1, 1], init="ones"), 3.0, "tanh").weights[0][0, 0])
    3.0
    """
    if not is_number(factor):
        raise TypeError(f"factor must be a number, not {factor!r}")
    units = iter(net.weights)
    return MLP(net.widths, activation, lambda shape, *, rng, dtype: next(units) * factor, dtype=net.dtype)


def lsuv(net: MLP, batch, *, tol: float = 0.1, max_iter: int = 10, rng=None) -> MLP:
    """Layer-sequential unit-variance initialization (Mishkin & Matas 2015, algorithm 1), in place.

    Every layer's weights become orthonormal and are then, from the first layer on, divided by the
    standard deviation that the layer's output has on ``batch``, until |Var[z_l] − 1| < ``tol``; biases
    stay as they are. Returns ``net``. Raises ValueError for a residual net (what its skips bring is out of
    reach), where a layer has not come within ``tol`` after ``max_iter`` divisions (its output does not
    vary, or its biases do), and as ``forward`` does. Taught in lesson 06.

    >>> net = lsuv(MLP([64, *[50] * 8, 10], "tanh"), np.random.default_rng(0).normal(size=(99, 64)), rng=0)
    >>> bool(abs(net.forward(np.random.default_rng(0).normal(size=(99, 64))).var() - 1) < 0.1)
    True
    """
    if not (is_number(tol) and math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be a finite number above 0, not {tol!r}")
    if not is_whole(max_iter) or max_iter < 0:
        raise ValueError(f"max_iter must be a whole number of at least 0, not {max_iter!r}")
    if net.skips.any():
        raise ValueError("net must have no residual blocks: what their skips bring cannot be scaled")
    a = net.checked(batch)
    rng = sampling.generator(rng)
    for weight in net.weights:
        initializers.orthogonal(weight.shape, rng=rng, dtype=weight.dtype, out=weight)
    with np.errstate(all="ignore"):
        for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
            for _ in range(max_iter + 1):
                z = a @ weight.T + bias
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
