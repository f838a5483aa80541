"""Train a network on labelled data, and keep what a reader wants to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from . import sampling
from .datasets import Data
from .network import MLP
from .signals import softmax_cross_entropy


@dataclass(frozen=True)
class History:
    """What happened. Entry 0 is before the first step, entry e after e epochs.

    ``train_loss``     mean softmax cross-entropy over the training set, in nats
    ``test_accuracy``  share of the test images whose label is found, 0 to 1
    ``grad_norms``     (entries, layers): L2 norm of ∂(train loss)/∂(weights of layer l)
    ``status``         "running", "finished", or "diverged" (the loss was no longer finite)
    """

    train_loss: np.ndarray
    test_accuracy: np.ndarray
    grad_norms: np.ndarray
    status: str = "running"


def _snapshot(net: MLP, data: Data) -> tuple[float, float, np.ndarray]:
    # Last forward and backward: the training set's; nothing of it is kept in the net.
    accuracy = (net.forward(data.x_test).argmax(axis=1) == data.y_test).mean()
    loss, grad = softmax_cross_entropy(net.forward(data.x_train), data.y_train)
    gradients = net.backward(grad / len(grad))
    norms = np.array([np.linalg.norm(g.astype(np.float64)) for g in gradients.weights])
    return float(loss.mean(dtype=np.float64)), float(accuracy), norms


def iterate(
    net: MLP, data: Data, *, lr: float, epochs: int, batch_size: int = 64, rng=None
) -> Iterator[History]:
    """``train``, one epoch at a time: yields the History so far, first of all before any step.

    Closing the iterator stops the training; a live figure does so when the reader moves on.
    """
    if not np.isfinite(lr) or lr <= 0:
        raise ValueError(f"lr must be a finite number above 0, not {lr!r}")
    if epochs < 0 or batch_size < 1:
        raise ValueError(f"epochs must be ≥ 0 and batch_size ≥ 1, not {epochs!r}, {batch_size!r}")
    rng = sampling.generator(rng)
    entries = []
    for epoch in range(epochs + 1):
        # A network that explodes overflows on its way; the status tells, once and in words.
        with np.errstate(all="ignore"):
            if epoch:
                order = rng.permutation(len(data.x_train))
                for start in range(0, len(order), batch_size):
                    _step(net, data, order[start : start + batch_size], lr)
            entries.append(_snapshot(net, data))
        loss, accuracy, norms = (np.array(column) for column in zip(*entries, strict=True))
        history = History(loss, accuracy, norms)
        if not np.isfinite(loss[-1]):
            yield replace(history, status="diverged")
            return
        yield replace(history, status="finished") if epoch == epochs else history


def _step(net: MLP, data: Data, rows: np.ndarray, lr: float) -> None:
    _, grad = softmax_cross_entropy(net.forward(data.x_train[rows]), data.y_train[rows])
    gradients = net.backward(grad / len(rows))
    for parameters, grads in ((net.weights, gradients.weights), (net.biases, gradients.biases)):
        for parameter, g in zip(parameters, grads, strict=True):
            parameter -= net.dtype.type(lr) * g


def train(
    net: MLP,
    data: Data,
    *,
    lr: float,
    epochs: int,
    batch_size: int = 64,
    rng=None,
    progress: Callable[[History], None] | None = None,
) -> History:
    """Stochastic gradient descent on softmax cross-entropy; changes ``net`` in place.

    θ ← θ − lr·∂L/∂θ on batches of ``batch_size`` examples, reshuffled by ``rng`` every epoch.
    ``progress`` is called with the History so far after every epoch. Stops, with status "diverged",
    as soon as the loss is not finite; never raises or warns for it. Raises ValueError for a learning
    rate, epochs or batch size out of range. Taught in lesson 01.

    >>> from initkit import datasets
    >>> net = MLP([64, 32, 10], rng=0)
    >>> history = train(net, datasets.digits(), lr=0.1, epochs=3, rng=0)
    >>> history.status, bool(history.test_accuracy[-1] > 0.8)
    ('finished', True)
    """
    for history in iterate(net, data, lr=lr, epochs=epochs, batch_size=batch_size, rng=rng):
        if progress is not None:
            progress(history)
    return history
