"""What ``measure`` reports, held to the definitions computed in the plainest way."""

import functools
import warnings

import numpy as np
import pytest

import initkit as ik
from initkit import signals

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def net(activation="tanh", **arguments):
    return ik.MLP([4, 9, 9, 3], activation, bias=ik.normal, rng=1, dtype=np.float64, **arguments)


def test_forward_statistics_are_their_definitions():
    n = net()
    s = ik.measure(n, X)
    a = X.astype(np.float64)
    for layer, (w, b) in enumerate(zip(n.weights, n.biases, strict=True)):
        z = a @ w.T + b
        a = np.tanh(z) if layer < 2 else z
        assert s.q[layer] == pytest.approx((z**2).mean())
        assert s.activation_mean[layer] == pytest.approx(a.mean())
        assert s.activation_var[layer] == pytest.approx(a.var())
        cosines = [
            z[i] @ z[j] / (np.linalg.norm(z[i]) * np.linalg.norm(z[j]))
            for i in range(6) for j in range(6) if i != j
        ]  # fmt: skip
        assert s.correlation[layer] == pytest.approx(np.mean(cosines))
    assert s.depth == 3
    assert s.grad_var is None


def test_backward_statistic_is_the_mean_square_of_each_examples_gradient():
    n = net()
    s = ik.measure(n, X, LABELS)
    expected = np.zeros(3)
    for x, label in zip(X, LABELS, strict=True):  # one at a time: nothing is averaged away
        _, grad = signals.softmax_cross_entropy(n.forward(x[None]), np.array([label]))
        expected += [(d**2).mean() / len(X) for d in n.deltas(grad)]
    np.testing.assert_allclose(s.grad_var, expected)


def test_dead_and_saturated_relus():
    n = ik.MLP([2, 4, 2], "relu", "zeros")
    n.weights[0][:] = [[1, 0], [-1, 0], [0, 1], [0, -1]]
    s = ik.measure(n, [[1.0, 1.0], [1.0, -1.0]])
    assert s.dead.tolist() == [0.25, 0.0]  # only the second unit is off for both
    assert s.saturated.tolist() == [0.5, 0.0]


def test_correlation_is_nan_where_there_is_none():
    assert np.isnan(ik.measure(net(), X[:1]).correlation).all()
    assert np.isnan(ik.measure(ik.MLP([4, 3, 2], init="zeros"), X).correlation).all()


def test_overflow_is_a_value_not_a_warning():
    huge = ik.MLP([4, *[50] * 30, 3], "relu", lambda s, *, rng, dtype: ik.normal(s, std=100, rng=rng), rng=0)
    s = ik.measure(huge, X, LABELS)
    assert np.isfinite(s.q[0])
    assert not np.isfinite(s.q[-1])


def test_loss_and_gradient():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]])
    loss, grad = signals.softmax_cross_entropy(logits, np.array([2, 0]))
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-1) + np.exp(-2)), 0])
    p = np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum()
    np.testing.assert_allclose(grad, [p - [0, 0, 1], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:0], None, "batch is empty"),
        (X, LABELS[:2], "y must be 6 whole-number labels"),
        (X, LABELS / 2, "y must be 6 whole-number labels, not float64"),
        (X, LABELS + 1, "labels from 0 to 2, not 1 to 3"),
        (X[:, :3], None, r"x must have shape \(batch, 4\)"),
    ],
)
def test_bad_input_is_told(x, y, message):
    with pytest.raises(ValueError, match=message):
        ik.measure(net(), x, y)


def test_histograms_count_everything_once():
    s = ik.measure(net(), X, edges=np.linspace(-0.5, 0.5, 11))
    assert s.histograms.shape == (3, 10)
    np.testing.assert_allclose(s.histograms.sum(axis=1), 1)
    first = np.tanh(X @ net().weights[0].T + net().biases[0])
    assert s.histograms[0, -1] == pytest.approx((first >= 0.4).mean())
    assert s.histograms[0, 3] == pytest.approx(((first >= -0.2) & (first < -0.1)).mean())
    assert ik.measure(net(), X).histograms is None


def test_float16_overflow_is_a_state():
    """65504 is float16's largest: the layer that passes it is named, and nothing warns."""
    large = functools.partial(ik.normal, std=1)
    net = ik.MLP([4, *[50] * 30, 3], "relu", large, rng=0, dtype=np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s = ik.measure(net, X, LABELS, edges=np.linspace(-1, 1, 5))
        net.forward(X)
        net.backward(np.ones((6, 3)))
    assert 2 < s.overflowed_at < 12
    assert np.isfinite(s.q[: s.overflowed_at - 1]).all()
    assert not np.isfinite(s.q[s.overflowed_at - 1])
    assert ik.measure(ik.MLP([4, 3], rng=0), X).overflowed_at is None


def test_means_far_from_0_keep_their_variance():
    """A mean square minus a squared mean would lose every digit here."""
    n = ik.MLP([4, 50, 3], "identity", rng=0)
    n.biases[0][:] = 1e4
    a = X @ n.weights[0].T + n.biases[0]
    assert ik.measure(n, X).activation_var[0] == pytest.approx(a.var(dtype=np.float64), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_the_same_for_all_has_no_variance(dtype):
    """Also in float64, where the mean of equal numbers is rounded."""
    for constant in np.random.default_rng(0).lognormal(0, 3, 50):
        n = ik.MLP([4, 37, 23, 3], "sigmoid", "zeros", lambda s, c=constant, **_: np.full(s, c), dtype=dtype)
        assert ik.measure(n, X).activation_var.tolist() == [0, 0, 0]


def test_tiny_signals_are_measured():
    """1e-30, whose square float32 does not have."""
    s = ik.measure(ik.MLP([4, 9, 3], "identity", lambda s, *, rng, dtype: ik.ones(s) * 1e-30, rng=0), X)
    assert 1e-62 < s.q[0] < 1e-58
    assert np.isfinite(s.correlation[0])


@pytest.mark.parametrize("edges", [[], [1], [3, 2, 1], [0, np.nan, 1], [[0, 1]]])
def test_edges_must_rise(edges):
    with pytest.raises(ValueError, match="edges must be two or more finite numbers that rise"):
        ik.measure(net(), X, edges=edges)
    with pytest.raises(TypeError, match="edges must be numbers, not 'abc'"):
        ik.measure(net(), X, edges="abc")


def test_what_is_no_net_is_named():
    with pytest.raises(TypeError, match="net must be an MLP, not int"):
        ik.measure(1, X)
    with pytest.raises(TypeError, match=r"^net must be an MLP, not NoneType"):
        ik.train(None, ik.datasets.digits(), lr=0.1, epochs=1)


def _signals(q, grad_var=None):
    """Of hidden layers with these mean squares; the linear output, the last entry, says nothing."""
    rest = [np.zeros(len(q) + 1)] * 5
    back = None if grad_var is None else np.append(grad_var, 1e30)
    return signals.Signals(np.append(q, 1e30), *rest, back)


def test_the_fate_of_a_signal_is_its_change_end_to_end():
    found = signals.fate(_signals([1.0, 0.1, 0.01], [200.0, 3.0, 1.0]))
    assert (found.signal.change, found.signal.verdict) == (0.01, "kept")  # by just the factor that may be
    assert found.signal.a_layer == pytest.approx(0.1)
    assert (found.gradient.change, found.gradient.verdict) == (200.0, "explodes")
    assert found.gradient.a_layer == pytest.approx(200**0.5)
    assert not found.kept
    assert signals.fate(_signals([1.0, 100.0], [1.0, 50.0])).kept
    assert signals.fate(_signals([1.0, 0.0099])).signal.verdict == "vanishes"


def test_what_was_lost_or_overflowed_has_a_fate_too():
    def verdicts(q, grad_var):
        found = signals.fate(_signals(np.array(q), np.array(grad_var)))
        return found.signal.verdict, found.gradient.verdict

    assert verdicts([0.0, 0.0], [0.0, 0.0]) == ("vanishes", "vanishes")
    assert verdicts([1.0, np.inf], [np.nan, np.nan]) == ("explodes", "explodes")
    assert verdicts([np.inf, np.nan], [1e-9, 1.0]) == ("explodes", "vanishes")


def test_without_a_loss_the_gradients_fate_is_unknown():
    found = signals.fate(_signals([1.0, 2.0]))
    assert (found.gradient.verdict, found.kept) == ("unknown", True)


def test_one_layer_has_nothing_to_lose():
    found = signals.fate(ik.measure(ik.MLP([4, 3], rng=0), X, LABELS))
    assert found.kept
    assert found.signal.change == found.signal.a_layer == 1


def test_cosines_are_those_of_every_pair():
    n = net()
    found = signals.cosines(n, X)
    assert found.shape == (3, 6, 6)
    z = n.trace(X).pre[1]
    assert found[1, 0, 3] == pytest.approx(z[0] @ z[3] / np.sqrt((z[0] @ z[0]) * (z[3] @ z[3])))
    assert (found == found.swapaxes(1, 2)).all()
    assert found[:, range(6), range(6)] == pytest.approx(1)
    pairs = found.sum(axis=(1, 2)) - 6
    assert pairs / 30 == pytest.approx(ik.measure(n, X).correlation)
    # What is too small for its square to be a number, even in float32, has a direction all the same.
    for layer, weight in enumerate(n.weights):
        weight *= 1e-200 if layer == 2 else 1
    n.biases[2][:] = 0
    tiny, large = signals.cosines(n, X)[2], (n.trace(X).inputs[2] @ (n.weights[2].T * 1e200))
    assert tiny[0, 1] == pytest.approx(
        large[0] @ large[1] / np.sqrt((large[0] @ large[0]) * (large[1] @ large[1]))
    )


def test_cosines_of_nothing_are_not_numbers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = signals.cosines(ik.MLP([4, 5, 3], init="zeros"), X)
    assert np.isnan(found).all()
