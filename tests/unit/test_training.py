"""Training: it learns, it says what happened, and it never raises for a network that explodes."""

import functools
import io
import itertools
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import initkit as ik
from initkit import datasets, signals, training

DATA = datasets.digits()


def train(net=None, **arguments):
    return ik.train(
        net or ik.MLP([64, 30, 10], rng=0), DATA, **{"lr": 0.1, "epochs": 3, "rng": 0, **arguments}
    )


def test_it_learns_and_reports():
    net = ik.MLP([64, 30, 10], rng=0)
    history = train(net, epochs=8)
    assert history.status == "finished"
    assert len(history.train_loss) == len(history.test_accuracy) == 9
    assert history.train_loss[-1] < 0.2 < history.train_loss[0]
    assert history.test_accuracy[-1] > 0.9
    # What it reports is the net as it stands.
    loss, _ = signals.softmax_cross_entropy(net.forward(DATA.x_train), DATA.y_train)
    assert history.train_loss[-1] == pytest.approx(loss.mean(), rel=1e-5)
    assert history.test_accuracy[-1] == (net.forward(DATA.x_test).argmax(axis=1) == DATA.y_test).mean()


def test_one_step_is_gradient_descent():
    net, twin = (ik.MLP([64, 5, 10], rng=0, dtype=np.float64) for _ in range(2))
    history = train(net, lr=0.5, epochs=1, batch_size=len(DATA.x_train))
    _, grad = signals.softmax_cross_entropy(twin.forward(DATA.x_train), DATA.y_train)
    gradients = twin.backward(grad / len(grad))
    for after, before, g in zip(net.weights, twin.weights, gradients.weights, strict=True):
        np.testing.assert_allclose(after, before - 0.5 * g, atol=1e-12)
    for after, before, g in zip(net.biases, twin.biases, gradients.biases, strict=True):
        np.testing.assert_allclose(after, before - 0.5 * g, atol=1e-12)
    assert history.train_loss[1] < history.train_loss[0]


def test_update_ratio_of_gradient_descent():
    """ΔW = lr·∂L/∂W: of the first step and of the second, with the weights as they are by then."""
    net, twin = (ik.MLP([64, 5, 10], rng=0, dtype=np.float64) for _ in range(2))
    history = train(net, lr=0.5, epochs=2, batch_size=len(DATA.x_train))
    assert history.log_update_ratio.shape == (2, 2)
    for row in history.log_update_ratio:
        _, grad = signals.softmax_cross_entropy(twin.forward(DATA.x_train), DATA.y_train)
        gradients = twin.backward(grad / len(grad)).weights
        for seen, w, g in zip(row, twin.weights, gradients, strict=True):
            assert seen == pytest.approx(np.log10(0.5 * np.linalg.norm(g) / np.linalg.norm(w)), abs=1e-9)
        train(twin, lr=0.5, epochs=1, batch_size=len(DATA.x_train))


def test_update_ratio_of_the_first_step_of_adam():
    """Every weight moves by lr."""
    net = ik.MLP([64, 30, 10], "tanh", rng=0)
    size = np.array([np.sqrt(np.square(w).mean()) for w in net.weights])
    ratio = train(net, lr=1e-3, epochs=3, optimizer="adam").log_update_ratio
    np.testing.assert_allclose(ratio[0], np.log10(1e-3 / size), atol=0.01)
    assert (ratio[1:] < ratio[0]).all()  # later gradients disagree


def test_update_ratio_of_what_is_zero_or_breaks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = train(ik.MLP([64, 5, 10], init="zeros", rng=0), epochs=1).log_update_ratio
        assert np.isnan(flat).all()  # 0/0: neither weights nor gradients
        last = ik.MLP([64, 5, 10], rng=0)
        last.weights[1][:] = 0
        assert train(last, epochs=1).log_update_ratio[0].tolist() == [-np.inf, np.inf]
        broken = train(ik.MLP([64, 20, 10], rng=0), lr=1e30, epochs=3)
    assert broken.status == "diverged"
    assert broken.log_update_ratio.shape == (1, 2)
    assert train(epochs=0).log_update_ratio.shape == (0, 2)
    # Gradients whose squares float32 cannot hold.
    tiny = ik.MLP([64, *[20] * 60, 10], init="torch_default", rng=0)
    assert np.isfinite(train(tiny, epochs=1).log_update_ratio).all()


def test_same_seed_same_history():
    assert np.array_equal(train().train_loss, train().train_loss)
    assert not np.array_equal(train().train_loss, train(rng=1).train_loss)


def test_divergence_is_a_status_not_a_warning():
    exploding = ik.MLP([64, *[50] * 10, 10], init=lambda s, *, rng, dtype: ik.normal(s, std=1.0, rng=rng))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(exploding, lr=1.0, epochs=5)
    assert history.status == "diverged"
    assert len(history.train_loss) < 6
    assert not np.isfinite(history.train_loss[-1])


def test_progress_sees_every_epoch():
    seen = []
    history = train(progress=seen.append)
    assert [len(h.train_loss) for h in seen] == [1, 2, 3, 4]
    assert [h.status for h in seen] == ["running"] * 3 + ["finished"]
    assert seen[-1] is history


def test_closing_the_iterator_stops_the_training():
    net = ik.MLP([64, 30, 10], rng=0)
    steps = training.iterate(net, DATA, lr=0.1, epochs=5, rng=0)
    next(steps)
    next(steps)
    weights = [w.copy() for w in net.weights]
    steps.close()
    assert all(np.array_equal(a, b) for a, b in zip(weights, net.weights, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr must be a finite number above 0, not 0"),
        ({"lr": float("nan")}, "lr must be"),
        ({"lr": None}, "lr must be"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, momentum, adam, not 'lion'"),
        ({"epochs": -1}, "epochs must be a whole number of at least 0, not -1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        train(**arguments)


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_steps_are_those_of_pytorch(optimizer):
    """Three steps of torch.optim's SGD, SGD with momentum 0.9, and Adam, recorded from torch 2.13.0 on
    f(θ) = Σ (θ − c)²/2 from θ = 0, lr 0.1, c = (1, −2, 0.5)."""
    recorded = {
        "sgd": [0.271, -0.542, 0.1355],
        "momentum": [0.514, -1.028, 0.257],
        "adam": [0.2984137255, -0.2993766072, 0.2951287443],
    }
    theta, c = np.zeros(3), np.array([1, -2, 0.5])
    direction = training.OPTIMIZERS[optimizer](theta)
    for step in (1, 2, 3):
        theta = theta - 0.1 * direction(theta - c, step)
    np.testing.assert_allclose(theta, recorded[optimizer], rtol=1e-6)


@pytest.mark.parametrize(("optimizer", "lr"), [("momentum", 0.02), ("adam", 0.003)])
def test_other_optimizers_learn(optimizer, lr):
    history = train(optimizer=optimizer, lr=lr, epochs=8)
    assert history.test_accuracy[-1] > 0.9
    assert np.array_equal(history.train_loss, train(optimizer=optimizer, lr=lr, epochs=8).train_loss)


def test_float16_nets_train():
    net = ik.MLP([64, 30, 10], rng=0, dtype=np.float16)
    history = train(net, optimizer="adam", lr=0.005)
    assert history.test_accuracy[-1] > 0.8
    assert net.weights[0].dtype == np.float16


def test_data_that_does_not_fit_is_told():
    x = DATA.x_train[:20].copy()
    x[3, 4] = np.nan
    for data, message in (
        (DATA._replace(x_train=x, y_train=DATA.y_train[:20]), "data.x_train, data.y_train: x must be finite"),
        (DATA._replace(y_test=DATA.y_test + 5), "data.x_test, data.y_test: y must hold labels from 0 to 9"),
        (
            DATA._replace(x_train=x[:0], y_train=DATA.y_train[:0]),
            "data.x_train, data.y_train: .*the batch is empty",
        ),
        (DATA._replace(x_test=x[:, :5]), r"data.x_test, data.y_test: x must have shape \(batch, 64\)"),
    ):
        with pytest.raises(ValueError, match=message):
            ik.train(ik.MLP([64, 10], rng=0), data, lr=0.1, epochs=1)


def test_a_bar_where_somebody_watches(monkeypatch):
    """tqdm's own rule: on a terminal, and after two seconds; and TQDM_DISABLE, which is set in our tests."""
    clock = itertools.count(step=5.0)
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock))  # a slow machine
    calls = (train, functools.partial(ik.sweep, abs, [{}, {}]))
    for call, (terminal, disabled) in itertools.product(calls, itertools.product([True, False], repeat=2)):
        stderr = io.StringIO()
        stderr.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setenv("TQDM_DISABLE", "1" if disabled else "")
        call(progress=True)
        assert bool(stderr.getvalue()) == (terminal and not disabled)
        call(progress=False)
        assert bool(stderr.getvalue()) == (terminal and not disabled)


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_every_batch_and_every_step_counts(optimizer):
    """Two epochs by hand: five batches, the last of them smaller, with t counting steps and not epochs."""
    small = DATA._replace(x_train=DATA.x_train[:90], y_train=DATA.y_train[:90])
    net, twin = (ik.MLP([64, 5, 10], rng=0, dtype=np.float64) for _ in range(2))
    ik.train(net, small, lr=0.01, epochs=2, batch_size=20, optimizer=optimizer, rng=3)
    parameters = [*twin.weights, *twin.biases]
    directions = [training.OPTIMIZERS[optimizer](p) for p in parameters]
    rng, t = np.random.default_rng(3), 0
    for _ in range(2):
        order = rng.permutation(90)
        for rows in np.split(order, [20, 40, 60, 80]):
            t += 1
            _, grad = signals.softmax_cross_entropy(twin.forward(small.x_train[rows]), small.y_train[rows])
            g = twin.backward(grad / len(rows))
            for p, direction, gradient in zip(parameters, directions, [*g.weights, *g.biases], strict=True):
                p -= 0.01 * direction(gradient, t)
    for ours, by_hand in zip([*net.weights, *net.biases], parameters, strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-12)


def test_divergence_ends_the_epoch_too():
    calls = []

    def counted(z):
        calls.append(1)
        return np.maximum(z, 0)

    net = ik.MLP([64, 20, 10], ik.Activation("counted", counted, lambda z: (z > 0).astype(z.dtype)), rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = train(net, lr=1e30, batch_size=8, epochs=3)
    assert history.status == "diverged"
    assert len(calls) < 20  # of 181 batches an epoch


def test_a_rate_that_the_dtype_has_not_is_told():
    for lr in (1e5, 1e-9):
        with pytest.raises(ValueError, match="lr must be a number above 0 that float16 can hold"):
            train(ik.MLP([64, 10], rng=0, dtype=np.float16), lr=lr)


def test_lists_will_do_and_other_things_are_told():
    small = datasets.Data(*(a[:50].tolist() for a in DATA))
    assert ik.train(ik.MLP([64, 10], rng=0), small, lr=0.1, epochs=1).status == "finished"
    with pytest.raises(TypeError, match=r"data must be a datasets\.Data, not NoneType"):
        ik.train(ik.MLP([64, 10], rng=0), None, lr=0.1, epochs=1)


def test_nothing_stays_in_the_net():
    net = ik.MLP([64, 30, 10], rng=0)
    train(net)
    ik.measure(net, DATA.x_train)
    ik.predict_for(net, DATA.x_train, DATA.y_train)
    assert net._trace is None
    net.forward(DATA.x_train)
    assert len(pickle.dumps(net)) < 20_000


# The data ------------------------------------------------------------------------------------------


def test_digits_are_all_there_split_and_scaled_as_documented():
    assert (len(DATA.y_train), len(DATA.y_test)) == (1442, 355)
    assert DATA.x_train.dtype == np.float32
    assert DATA.y_train.dtype == np.int64
    assert DATA.x_train.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert DATA.x_train.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    shares = np.bincount(DATA.y_test) / (np.bincount(DATA.y_train) + np.bincount(DATA.y_test))
    assert shares.round(1).tolist() == [0.2] * 10


def test_digits_are_the_published_ones():
    """The counts of each digit are UCI's; their grey levels' sum is that of scikit-learn's copy."""
    rows = np.loadtxt(Path(datasets.__file__).with_name("digits.csv.gz"), delimiter=",", dtype=np.uint8)
    assert np.bincount(rows[:, -1]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (rows[:, :-1].sum(), rows[:, :-1].max()) == (561718, 16)


def test_digits_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        DATA.x_train[0] = 0


def test_no_image_is_in_both_parts():
    train_rows = {row.tobytes() for row in DATA.x_train}
    assert not [row for row in DATA.x_test if row.tobytes() in train_rows]


def test_one_blas_thread_trains():
    """Small matrices: beside a browser, or two hundred students, several threads spin and wait."""
    seen = set()

    def watched(x):
        seen.update(p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas")
        return np.maximum(x, 0)

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        train(ik.MLP([64, 5, 10], watched, rng=0), epochs=1, batch_size=500)
    assert seen == {1}
