"""Train a network on labelled data, and keep what a reader wants to see."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from . import sampling
from .arguments import Array, Real, RNGLike, Whole, check_whole, is_finite
from .datasets import Data
from .network import MLP, an_mlp
from .signals import softmax_cross_entropy

__all__ = ["History", "Optimizer", "Status", "iterate", "train"]

Status: TypeAlias = Literal["running", "finished", "diverged"]
"""How far a training is."""

Optimizer: TypeAlias = Literal["sgd", "momentum", "adam"]
"""How ``train`` moves the parameters."""


@dataclass(frozen=True)
class History:
    """What a training saw: entry 0 before the first step, entry e after e epochs.

    Attributes
    ----------
    train_loss : ndarray
        Mean softmax cross-entropy over the training set, in nats.
    test_accuracy : ndarray
        Share of the test inputs whose label is found, from 0 to 1.
    status : {"running", "finished", "diverged"}
        "diverged" where the loss was no longer finite.
    log_update_ratio : ndarray
        The update-to-data ratio of every layer's weights, ``log₁₀(|ΔW| / |W|)``, (epochs, layers): row e is
        the first step after entry e. ``|·|`` is the root of the mean square, and ΔW what the optimizer
        changes W by in this one step, lr·∂L/∂W for "sgd". Healthy is about −3, a thousandth of W a step: at
        −5 a layer hardly learns, at −1 it is torn apart. −inf where nothing moves, inf where W was all zeros.

    References
    ----------
    Karpathy 2022, Neural networks: zero to hero, "Building makemore part 3: activations & gradients,
    BatchNorm", with −3 as a rule of thumb (of standard deviations, which for weights of mean 0 are the same).

    Examples
    --------
    The first step of "adam" moves every weight by the learning rate, here a hundredth of it:

    >>> from initkit import datasets
    >>> net = MLP([64, 10], init=lambda shape, *, rng, dtype: np.full(shape, 0.5), rng=0)
    >>> history = train(net, datasets.digits(), lr=0.005, epochs=1, optimizer="adam", rng=0)
    >>> history.log_update_ratio.round(2)
    array([[-2.]])
    """

    train_loss: Array
    test_accuracy: Array
    status: Status = "running"
    log_update_ratio: Array = field(default_factory=lambda: np.empty((0, 0)))


def _snapshot(net: MLP, data: Data) -> tuple[float, float]:
    """The training loss and the test accuracy of the net as it stands."""
    accuracy = (net.output(data.x_test).argmax(axis=1) == data.y_test).mean()
    loss, _ = softmax_cross_entropy(net.output(data.x_train), data.y_train)
    return float(loss.mean(dtype=np.float64)), float(accuracy)


# An optimizer makes a direction of the gradient g at step t = 1, 2, …: θ ← θ − lr·direction(g, t). A factory
# gives it the memory that it keeps. θ and g hold all of a net's parameters in one flat array: on a deep net
# of small layers, array by array, calls would take most of the time.

_Direction: TypeAlias = Callable[[Array, int], Array]


def _sgd(_parameters: Array) -> _Direction:
    return lambda g, t: g


def _momentum(parameters: Array, mu: float = 0.9) -> _Direction:
    """v ← µ·v + g (Polyak 1964, as PyTorch writes it)."""
    v = np.zeros_like(parameters)

    def direction(g: Array, t: int) -> Array:
        np.multiply(v, v.dtype.type(mu), out=v)
        return np.add(v, g, out=v)

    return direction


def _adam(parameters: Array, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> _Direction:
    """m̂/(√v̂ + ε), running means of g and g² without their bias towards 0 (Kingma & Ba 2015, algorithm 1)."""
    # float32 at least: float16 can hold neither ε nor the square of a small gradient.
    m = np.zeros(parameters.shape, np.result_type(parameters, np.float32))
    v = np.zeros_like(m)

    def direction(g: Array, t: int) -> Array:
        m[...] += (g - m) * m.dtype.type(1 - beta_1)
        v[...] += (np.square(g, dtype=v.dtype) - v) * m.dtype.type(1 - beta_2)
        return (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)

    return direction


OPTIMIZERS: dict[Optimizer, Callable[[Array], _Direction]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adam": _adam,
}


def iterate(
    net: MLP, data: Data, *, lr: Real, epochs: Whole, batch_size: Whole = 64, optimizer: Optimizer = "sgd",
    rng: RNGLike = None,
) -> Iterator[History]:  # fmt: skip
    """``train``, one epoch at a time. Closing the iterator stops the training.

    Parameters
    ----------
    net, data, lr, epochs, batch_size, optimizer, rng
        As in ``train``.

    Yields
    ------
    History
        So far; the first before any step.

    Raises
    ------
    ValueError, TypeError
        As in ``train``, at the first step of the iterator.
    """
    if not is_finite(lr) or lr <= 0:
        raise ValueError(f"lr must be a finite number above 0, not {lr!r}")
    check_whole("epochs", epochs, 0)
    check_whole("batch_size", batch_size, 1)
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
    sizes = np.array([parameter.size for parameter in parameters])
    ends = np.cumsum(sizes)
    entries: list[tuple[float, float]] = []
    ratios = np.empty((0, net.depth))
    step, broken = 0, False
    for epoch in range(epochs + 1):
        # No warnings of overflow: the status says that a net exploded. One BLAS thread, as threads spin while
        # they wait for each other: beside a busy program, two took 25 times as long as one at 100 units a
        # layer.
        with np.errstate(all="ignore"), sampling.one_blas_thread():
            if epoch:
                order = rng.permutation(len(data.x_train))
                for start in range(0, len(order), batch_size):
                    step += 1
                    rows = order[start : start + batch_size]
                    trace = net.trace(data.x_train[rows], slopes=True)
                    loss, grad = softmax_cross_entropy(trace.pre[-1], data.y_train[rows])
                    broken = not np.isfinite(loss).all()
                    if broken:
                        break
                    gradients = net.backward(grad / len(grad), trace)
                    g = _flat([*gradients.weights, *gradients.biases])
                    change = (rate * direction(g, step)).astype(net.dtype, copy=False)
                    places = zip(parameters, ends - sizes, ends, strict=True)
                    changes = [change[at:end].reshape(p.shape) for p, at, end in places]
                    if start == 0:  # one step an epoch: each would take time
                        row = [_log_ratio(c, w) for c, w in zip(changes, net.weights, strict=False)]
                        ratios = np.vstack([ratios, row])
                    for parameter, part in zip(parameters, changes, strict=True):
                        parameter -= part
            entries.append(_snapshot(net, data))
        loss, accuracy = (np.array(column) for column in zip(*entries, strict=True))
        diverged = broken or not np.isfinite(loss[-1])
        status: Status = "diverged" if diverged else "finished" if epoch == epochs else "running"
        yield History(loss, accuracy, status, ratios)
        if diverged:
            return


def _log_ratio(change: Array, weight: Array) -> np.float64:
    """log₁₀ of one root mean square over the other; in float64, as squares of small gradients are."""
    over, under = (np.mean(np.square(a, dtype=np.float64)) for a in (change, weight))
    return np.log10(over / under) / 2


def _flat(arrays: list[Array]) -> Array:
    return np.concatenate([array.ravel() for array in arrays])


def _checked(net: MLP, data: Data) -> Data:
    """``data`` as arrays that fit the net; the steps do not check again."""
    an_mlp(net)
    arrays: dict[str, Array] = {}
    for part in ("train", "test"):
        try:
            x, y = (np.asarray(getattr(data, f"{name}_{part}")) for name in "xy")
        except AttributeError:
            raise TypeError(f"data must be a datasets.Data, not {type(data).__name__}") from None
        try:
            softmax_cross_entropy(np.zeros((len(net.checked(x)), net.widths[-1])), y)
        except (TypeError, ValueError) as error:
            raise type(error)(f"data.x_{part}, data.y_{part}: {error}") from None
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    return Data(**arrays)


def train(
    net: MLP, data: Data, *, lr: Real, epochs: Whole, batch_size: Whole = 64, optimizer: Optimizer = "sgd",
    rng: RNGLike = None, progress: Callable[[History], Any] | bool = True,
) -> History:  # fmt: skip
    """Train ``net`` in place by gradient descent on softmax cross-entropy.

    ``θ ← θ − lr·∂L/∂θ``, L the mean loss of a batch; every epoch shuffles the training set anew. Taught in
    lesson 01.

    Parameters
    ----------
    net : MLP
        Changed in place.
    data : datasets.Data
        What to train and to test on.
    lr : float
        The learning rate, > 0.
    epochs : int
        Passes over the training set.
    batch_size : int
        Examples a step.
    optimizer : {"sgd", "momentum", "adam"}
        "momentum" goes along ``v ← 0.9·v + ∂L/∂θ``; "adam" has β = 0.9, 0.999.
    rng : int, SeedSequence, Generator or None
        Shuffles.
    progress : bool or callable
        A function is called with the History so far after every epoch. True shows a tqdm bar in a terminal or
        a notebook, if tqdm is installed, training takes more than 2 seconds (in a browser, always) and
        TQDM_DISABLE is not set in the environment.

    Returns
    -------
    History
        With status "diverged" where a batch's loss was not finite: training then stops, without an error or a
        warning.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, or the data does not fit the net.

    Notes
    -----
    BLAS keeps to one thread meanwhile, as the nets are small.

    References
    ----------
    Momentum: Polyak 1964. Adam: Kingma & Ba 2015, algorithm 1.

    Examples
    --------
    >>> from initkit import datasets
    >>> net = MLP([64, 32, 10], rng=0)
    >>> history = train(net, datasets.digits(), lr=0.1, epochs=3, rng=0)
    >>> history.status, bool(history.test_accuracy[-1] > 0.8)
    ('finished', True)
    """
    steps = iterate(net, data, lr=lr, epochs=epochs, batch_size=batch_size, optimizer=optimizer, rng=rng)
    if progress is True:
        return _with_a_bar(steps, int(epochs))
    for history in steps:
        if callable(progress):
            progress(history)
    return history


def _with_a_bar(steps: Iterator[History], epochs: int) -> History:
    history = next(steps)
    with bar(total=epochs, unit="epoch", leave=False) as step:
        for history in steps:
            step(f"loss {history.train_loss[-1]:.3g}")
    return history


@contextlib.contextmanager
def bar(shown: bool = True, **options: Any) -> Iterator[Callable[..., None]]:
    """A tqdm bar for what takes more than 2 seconds, if tqdm is installed. Yields what every step calls.

    In a browser, where the same work takes ten times as long, it shows from the start.
    """
    browser = sys.platform == "emscripten"
    try:  # not at the top, as it loads ipywidgets in a notebook
        if browser:  # whose kernel ``auto`` takes for none
            from tqdm.notebook import tqdm
        else:
            from tqdm.auto import tqdm
    except ModuleNotFoundError:
        yield lambda said="": None
        return

    class Bar(tqdm):  # type: ignore[misc, valid-type]
        monitor_interval = 0  # no thread that watches it: a browser has none, and every step is told of

    # disable=None means no bar in a log file, which a page is not. tqdm reads its own variable only as the
    # default of ``disable``; where outputs are compared, it keeps bars out of them.
    disable = bool(not shown or os.environ.get("TQDM_DISABLE")) or (False if browser else None)
    with Bar(delay=0 if browser else 2, disable=disable, **options) as drawn:

        def step(said: str = "") -> None:
            drawn.set_postfix_str(said, refresh=False)
            drawn.update()

        yield step
