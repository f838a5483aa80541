"""Training: it learns, it says what happened, and it never raises for a network that explodes."""

import warnings

import numpy as np
import pytest

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
    assert history.grad_norms.shape == (9, 2)
    assert history.train_loss[-1] < 0.2 < history.train_loss[0]
    assert history.test_accuracy[-1] > 0.9
    # What it reports is the net as it stands.
    loss, grad = signals.softmax_cross_entropy(net.forward(DATA.x_train), DATA.y_train)
    assert history.train_loss[-1] == pytest.approx(loss.mean(), rel=1e-5)
    gradient = net.backward(grad / len(grad)).weights[0]
    assert history.grad_norms[-1, 0] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
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
        ({"epochs": -1}, "epochs must be a whole number of at least 0, not -1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_arguments_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        train(**arguments)


# The data ------------------------------------------------------------------------------------------


def test_digits_are_all_there_split_and_scaled_as_documented():
    assert (len(DATA.y_train), len(DATA.y_test)) == (1442, 355)
    assert DATA.x_train.dtype == np.float32
    assert DATA.y_train.dtype == np.int64
    assert DATA.x_train.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert DATA.x_train.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    shares = np.bincount(DATA.y_test) / (np.bincount(DATA.y_train) + np.bincount(DATA.y_test))
    assert shares.round(1).tolist() == [0.2] * 10


def test_digits_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        DATA.x_train[0] = 0


def test_no_image_is_in_both_parts():
    train_rows = {row.tobytes() for row in DATA.x_train}
    assert not [row for row in DATA.x_test if row.tobytes() in train_rows]
