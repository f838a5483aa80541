"""A multilayer perceptron in NumPy: forward, backward, and nothing hidden."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import activations, initializers, sampling
from .fans import checked_shape


class Gradients(NamedTuple):
    """∂L/∂(each weight), ∂L/∂(each bias), ∂L/∂(input): shaped as what they belong to."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    input: np.ndarray


class Trace(NamedTuple):
    """What one forward pass saw, layer by layer.

    ``inputs[l]`` enters layer l and ``pre[l] = inputs[l] @ weights[l].T + biases[l]`` leaves its
    linear part; the pre-activations of the last layer are the network's output.
    """

    inputs: list[np.ndarray]
    pre: list[np.ndarray]


class MLP:
    """Layers z = W a + b with an activation between them; the last layer is linear.

    ``widths``: units from the input to the output, (in, hidden…, out). ``activation``: as in
    ``activations.get``. ``init`` and ``bias``: a registry name or any callable
    ``f(shape, *, rng, dtype)``; weights are (out, in). ``rng``: layers draw from it in order, the
    weights of a layer before its biases. Taught in lesson 01.
    Raises ValueError or TypeError for widths that are not two or more sizes ≥ 1, unknown names, or an
    initializer that returns the wrong shape.

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
    ):
        self.widths = checked_shape(widths)
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(
                f"widths must be two or more sizes of at least 1, (in, hidden…, out), not {widths!r}"
            )
        self.activation = activations.get(activation)
        self.dtype = np.dtype(dtype)
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
        return array.astype(self.dtype, copy=False)

    @property
    def depth(self) -> int:
        """The number of layers that have weights."""
        return len(self.weights)

    def trace(self, x) -> Trace:
        """Run ``x`` (batch, in) forward and return what every layer saw; ``backward`` can follow."""
        x = np.asarray(x, self.dtype)
        if x.ndim != 2 or x.shape[1] != self.widths[0]:
            raise ValueError(f"x must have shape (batch, {self.widths[0]}), not {x.shape}")
        inputs, pre = [], []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            inputs.append(self.activation.f(pre[-1]) if pre else x)
            pre.append(inputs[-1] @ weight.T + bias)
        self._trace = Trace(inputs, pre)
        return self._trace

    def forward(self, x) -> np.ndarray:
        """``x`` (batch, in) → (batch, out)."""
        return self.trace(x).pre[-1]

    def deltas(self, grad_out) -> list[np.ndarray]:
        """∂L/∂(pre-activations) of every layer, (batch, width) each, for the last forward pass.

        δ_L = ∂L/∂y, δ_{l} = (δ_{l+1} W_{l+1}) ⊙ f'(z_l) (Glorot & Bengio 2010, eq. 2).
        """
        if self._trace is None:
            raise RuntimeError("backward needs a forward pass first")
        grad_out = np.asarray(grad_out, self.dtype)
        if grad_out.shape != self._trace.pre[-1].shape:
            raise ValueError(
                f"grad_out must have the output's shape {self._trace.pre[-1].shape}, not {grad_out.shape}"
            )
        deltas = [grad_out]
        for weight, pre in zip(self.weights[:0:-1], self._trace.pre[-2::-1], strict=True):
            deltas.append((deltas[-1] @ weight) * self.activation.df(pre))
        return deltas[::-1]

    def backward(self, grad_out) -> Gradients:
        """Gradients of L for the last forward pass, given ``grad_out`` = ∂L/∂y (batch, out).

        >>> net = MLP([2, 1], init="ones", rng=0)
        >>> _ = net.forward(np.array([[3.0, 4.0]]))
        >>> net.backward(np.ones((1, 1))).weights[0]
        array([[3., 4.]], dtype=float32)
        """
        deltas = self.deltas(grad_out)
        return Gradients(
            [d.T @ a for d, a in zip(deltas, self._trace.inputs, strict=True)],
            [d.sum(axis=0) for d in deltas],
            deltas[0] @ self.weights[0],
        )
