"""MLP: shapes, gradients against finite differences, initializers of every kind."""

import numpy as np
import pytest

import initkit as ik
from initkit import activations


def test_shapes_and_depth():
    net = ik.MLP([5, 7, 3], rng=0)
    assert [w.shape for w in net.weights] == [(7, 5), (3, 7)]
    assert [b.shape for b in net.biases] == [(7,), (3,)]
    assert net.depth == 2
    assert net.forward(np.ones((4, 5))).shape == (4, 3)


def test_the_last_layer_is_linear():
    net = ik.MLP([1, 1, 1], activation="relu", init=lambda shape, *, rng, dtype: -np.ones(shape, dtype))
    assert net.forward([[-2.0]]).item() == -2.0  # relu(2) = 2, then −2, which no relu lets through


@pytest.mark.parametrize("name", activations.NAMES)
def test_gradients_are_the_slopes_of_the_loss(name):
    """Every weight, bias and input of a small net, in float64, for L = Σ y·c."""
    rng = np.random.default_rng(0)
    net = ik.MLP([3, 4, 4, 2], name, "lecun_normal", bias=ik.normal, rng=1, dtype=np.float64)
    x, c = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    net.forward(x)
    gradients = net.backward(c)
    h = 1e-6
    for array, gradient in zip(
        [*net.weights, *net.biases, x], [*gradients.weights, *gradients.biases, gradients.input], strict=True
    ):
        numeric = np.empty_like(array)
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + h
            up = (net.forward(x) * c).sum()
            array[i] = kept - h
            numeric[i] = (up - (net.forward(x) * c).sum()) / (2 * h)
            array[i] = kept
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def test_same_seed_same_net_and_layers_differ():
    nets = [ik.MLP([8, 8, 8], rng=5) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(nets[0].weights, nets[1].weights, strict=True))
    assert not np.array_equal(nets[0].weights[0], nets[0].weights[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_is_of_the_nets_dtype(dtype):
    net = ik.MLP([3, 4, 2], rng=0, dtype=dtype)
    y = net.forward(np.ones((2, 3)))
    gradients = net.backward(np.ones_like(y))
    for array in (*net.weights, *net.biases, y, *gradients.weights, *gradients.biases, gradients.input):
        assert array.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"widths": [4]}, ValueError, "widths must be two or more"),
        ({"widths": [4, 0, 2]}, ValueError, "widths must be"),
        ({"widths": [4, 2.5]}, TypeError, "whole numbers"),
        ({"init": "he_norml"}, ValueError, "did you mean he_normal"),
        ({"init": lambda shape, *, rng, dtype: np.ones(3)}, ValueError, r"init returned shape \(3,\)"),
        ({"bias": lambda shape, *, rng, dtype: np.ones(9)}, ValueError, r"bias returned shape \(9,\)"),
        ({"activation": "relo"}, ValueError, "'relo' is not known"),
        ({"rng": "0"}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_told(arguments, error, message):
    with pytest.raises(error, match=message):
        ik.MLP(**{"widths": [4, 2], **arguments})


def test_bad_calls_are_told():
    net = ik.MLP([4, 2], rng=0)
    with pytest.raises(RuntimeError, match="forward pass first"):
        net.backward(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"x must have shape \(batch, 4\), not \(1, 3\)"):
        net.forward(np.ones((1, 3)))
    net.forward(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"grad_out must have the output's shape \(3, 2\)"):
        net.backward(np.ones((1, 2)))
