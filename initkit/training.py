"""Train a network on labelled data, and keep what a reader wants to see."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from . import sampling
from .arguments import is_number, is_whole
from .datasets import Data
from .network import MLP
from .signals import softmax_cross_entropy


@dataclass(frozen=True)
class History:
    """What happened. Entry 0 is before the first step, entry e after e epochs.

    ``train_loss``     mean softmax cross-entropy over the training set, in nats
    ``test_accuracy``  share of the test images whose label is found, 0 to 1
    ``grad_norms``     (entries, layers): L2 norm of ∂(loss)/∂(weights of layer l), the loss that of the first
                       256 training examples: over all, this took as long as the training
    ``status``         "running", "finished", or "diverged" (the loss was no longer finite)
    """

    train_loss: np.ndarray
    test_accuracy: np.ndarray
    grad_norms: np.ndarray
    status: str = "running"


NORMS_OVER = 256  # training examples


def _snapshot(net: MLP, data: Data) -> tuple[float, float, np.ndarray]:
    accuracy = (net.output(data.x_test).argmax(axis=1) == data.y_test).mean()
    loss, gradients = _loss_and_gradients(net, data.x_train[:NORMS_OVER], data.y_train[:NORMS_OVER])
    if len(rest := data.x_train[NORMS_OVER:]):
        others, _ = softmax_cross_entropy(net.output(rest), data.y_train[NORMS_OVER:])
        loss = np.concatenate([loss, others])
    norms = np.array([np.linalg.norm(g.astype(np.float64)) for g in gradients.weights])
    return float(loss.mean(dtype=np.float64)), float(accuracy), norms


# θ ← θ − lr·(what the rule makes of the gradient g), t counting the steps from 1. Each rule is a factory: it
# keeps the parameters' memory. θ and g are all of a net's, one after the other, in one flat array: a deep net
# of small layers would else spend its time on calls.


def _sgd(_parameters):
    return lambda g, t: g


def _momentum(parameters, mu=0.9):
    """v ← µ·v + g (Polyak 1964, as PyTorch writes it)."""
    v = np.zeros_like(parameters)

    def direction(g, t):
        np.multiply(v, v.dtype.type(mu), out=v)
        return np.add(v, g, out=v)

    return direction


def _adam(parameters, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """m̂/(√v̂ + ε), the means of g and g² without their bias towards 0 (Kingma & Ba 2015, algorithm 1)."""
    # float16 knows neither ε nor the square of a small gradient.
    m = np.zeros(parameters.shape, np.result_type(parameters, np.float32))
    v = np.zeros_like(m)

    def direction(g, t):
        m[...] += (g - m) * m.dtype.type(1 - beta_1)
        v[...] += (np.square(g, dtype=v.dtype) - v) * m.dtype.type(1 - beta_2)
        return (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)

    return direction


OPTIMIZERS = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}


def iterate(
    net: MLP, data: Data, *, lr: float, epochs: int, batch_size: int = 64, optimizer: str = "sgd", rng=None
) -> Iterator[History]:
    """``train``, one epoch at a time: yields the History so far, first of all before any step.

    Closing the iterator stops the training; a live figure does so when the reader moves on.
    """
    if not is_number(lr) or not np.isfinite(lr) or lr <= 0:
        raise ValueError(f"lr must be a finite number above 0, not {lr!r}")
    for name, value, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if not is_whole(value) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if not isinstance(optimizer, str) or optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, not {optimizer!r}")
    data = _checked(net, data)
    with np.errstate(over="ignore", under="ignore"):
        rate = net.dtype.type(lr)
    if not 0 < rate < np.inf:
        raise ValueError(f"lr must be a number above 0 that {net.dtype} can hold, not {lr!r}")
    rng = sampling.generator(rng)
    parameters = [*net.weights, *net.biases]
    direction = OPTIMIZERS[optimizer](_flat(parameters))
    ends = np.cumsum([parameter.size for parameter in parameters])
    entries, step, broken = [], 0, False
    for epoch in range(epochs + 1):
        # A network that explodes overflows on its way; the status tells, once and in words.
        # BLAS's threads spin while they wait for each other: beside a busy program, two took 25 times as
        # long as one on a net of 100 units a layer.
        with np.errstate(all="ignore"), sampling.blas().limit(limits=1):
            if epoch:
                order = rng.permutation(len(data.x_train))
                for start in range(0, len(order), batch_size):
                    step += 1
                    rows = order[start : start + batch_size]
                    loss, gradients = _loss_and_gradients(net, data.x_train[rows], data.y_train[rows])
                    broken = not np.isfinite(loss).all()
                    if broken:
                        break
                    g = _flat([*gradients.weights, *gradients.biases])
                    change = (rate * direction(g, step)).astype(net.dtype, copy=False)
                    for parameter, end in zip(parameters, ends, strict=True):
                        parameter -= change[end - parameter.size : end].reshape(parameter.shape)
            entries.append(_snapshot(net, data))
        loss, accuracy, norms = (np.array(column) for column in zip(*entries, strict=True))
        history = History(loss, accuracy, norms)
        if broken or not np.isfinite(loss[-1]):
            yield replace(history, status="diverged")
            return
        yield replace(history, status="finished") if epoch == epochs else history


def _flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays])


def _checked(net: MLP, data: Data) -> Data:
    """As arrays, and once, before the first step: a step looks no more."""
    arrays = {}
    for part in ("train", "test"):
        try:
            x, y = (np.asarray(getattr(data, f"{name}_{part}")) for name in "xy")
            softmax_cross_entropy(np.zeros((len(net.checked(x)), net.widths[-1])), y)
        except AttributeError:
            raise TypeError(f"data must be a datasets.Data, not {type(data).__name__}") from None
        except (TypeError, ValueError) as error:
            raise type(error)(f"data.x_{part}, data.y_{part}: {error}") from None
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return Data(**arrays)


def _loss_and_gradients(net: MLP, x, y):
    """The loss of each example, and the gradients of their mean; nothing is kept in the net."""
    trace = net.trace(x, slopes=True)
    loss, grad = softmax_cross_entropy(trace.pre[-1], y)
    return loss, net.backward(grad / len(grad), trace)


def train(
    net: MLP,
    data: Data,
    *,
    lr: float,
    epochs: int,
    batch_size: int = 64,
    optimizer: str = "sgd",
    rng=None,
    progress: Callable[[History], None] | bool = True,
) -> History:
    """Gradient descent on softmax cross-entropy; changes ``net`` in place.

    θ ← θ − lr·∂L/∂θ on batches of ``batch_size`` examples, reshuffled by ``rng`` every epoch.
    ``optimizer``: "sgd"; "momentum", which goes along v ← 0.9·v + ∂L/∂θ; "adam", with β = 0.9, 0.999
    (Kingma & Ba 2015, algorithm 1). ``progress``: a function that is called with the History so far after
    every epoch; True is a tqdm bar, in a terminal or a notebook, where it takes more than 2 seconds and
    TQDM_DISABLE is not set in the environment (as where outputs are compared); False is nothing.
    Stops, with status "diverged", as soon as a batch's loss is not finite; never raises or warns for it.
    BLAS keeps to one thread meanwhile: the nets are small.
    Raises ValueError for a learning rate, epochs, batch size or optimizer out of range, and for data that
    does not fit the net. Taught in lesson 01.

    >>> from initkit import datasets
    >>> net = MLP([64, 32, 10], rng=0)
    >>> history = train(net, datasets.digits(), lr=0.1, epochs=3, rng=0)
    >>> history.status, bool(history.test_accuracy[-1] > 0.8)
    ('finished', True)
    """
    steps = iterate(net, data, lr=lr, epochs=epochs, batch_size=batch_size, optimizer=optimizer, rng=rng)
    if progress is True:
        return _with_a_bar(steps, epochs)
    for history in steps:
        if progress:
            progress(history)
    return history


def _with_a_bar(steps: Iterator[History], epochs: int) -> History:
    from tqdm.auto import tqdm  # here, as it loads ipywidgets in a notebook

    history = next(steps)
    # disable=None: no bar where nobody watches, as in a log file. tqdm's own variable, which it takes for a
    # default alone, keeps bars out of outputs that are compared, whatever the machine takes.
    disable = bool(os.environ.get("TQDM_DISABLE")) or None
    with tqdm(total=epochs, unit="epoch", delay=2, leave=False, disable=disable) as bar:
        for history in steps:
            bar.set_postfix_str(f"loss {history.train_loss[-1]:.3g}", refresh=False)
            bar.update()
    return history
