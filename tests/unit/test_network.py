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


def gradients_and_slopes(net, x, c, every=1):
    """Of L = Σ y·c: each array's gradient and its finite differences, at every such entry."""
    net.forward(x)
    gradients = net.backward(c)
    h = 1e-6
    for array, gradient in zip(
        [*net.weights, *net.biases, x], [*gradients.weights, *gradients.biases, gradients.input], strict=True
    ):
        places = list(np.ndindex(array.shape))[::every]
        numeric = []
        for i in places:
            kept = array[i]
            array[i] = kept + h
            up = (net.forward(x) * c).sum()
            array[i] = kept - h
            numeric.append((up - (net.forward(x) * c).sum()) / (2 * h))
            array[i] = kept
        yield [gradient[i] for i in places], numeric


@pytest.mark.parametrize("name", activations.NAMES)
def test_gradients_are_the_slopes_of_the_loss(name):
    """Every weight, bias and input of a small net, in float64, for L = Σ y·c."""
    rng = np.random.default_rng(0)
    net = ik.MLP([3, 4, 4, 2], name, "lecun_normal", bias=ik.normal, rng=1, dtype=np.float64)
    x, c = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    for gradient, numeric in gradients_and_slopes(net, x, c):
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)


@pytest.mark.parametrize("arguments", [{}, {"residual": 0.5}, {"norm": "layer", "residual": 0.5}])
def test_output_is_what_forward_returns_and_nothing_is_kept(arguments):
    net = ik.MLP([3, 4, 4, 2], "tanh", rng=0, **arguments)
    x = np.random.default_rng(0).standard_normal((5, 3))
    y = net.output(x)
    with pytest.raises(RuntimeError, match="forward pass first"):
        net.backward(y)
    assert np.array_equal(y, net.forward(x))


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
        *(({"widths": bad}, TypeError, "widths must be") for bad in (None, "abc", [4, -1], [True, 2.5])),
        ({"init": "he_norml"}, ValueError, "did you mean he_normal"),
        ({"init": lambda shape, *, rng, dtype: np.ones(3)}, ValueError, r"init returned shape \(3,\)"),
        ({"bias": lambda shape, *, rng, dtype: np.ones(9)}, ValueError, r"bias returned shape \(9,\)"),
        ({"activation": "relo"}, ValueError, "'relo' is not known"),
        ({"rng": "0"}, TypeError, "rng must be"),
        ({"dtype": np.int32}, TypeError, "dtype must be float16, float32 or float64, not int32"),
        ({"residual": np.nan}, ValueError, "residual must be None or a finite branch scale, not nan"),
        ({"residual": "0.1"}, ValueError, "residual must be"),
        ({"norm": "batch"}, ValueError, "norm must be None or 'layer', not 'batch'"),
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


# Blocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [None, "layer"])
@pytest.mark.parametrize("residual", [None, 0.5, 0.0, -1])
@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_gradients_through_blocks(name, residual, norm):
    """Against finite differences, in float64, with a layer that has no skip as its width changes."""
    rng = np.random.default_rng(0)
    net = ik.MLP(
        [3, 4, 4, 5, 5, 2], name, "lecun_normal", ik.normal, 1, np.float64, residual=residual, norm=norm
    )
    assert net.skips.tolist() == [False, residual is not None, False, residual is not None, False]
    x, c = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    for gradient, numeric in gradients_and_slopes(net, x, c, every=3):
        assert gradient == pytest.approx(numeric, abs=2e-6)


def test_blocks_are_what_they_say():
    net = ik.MLP([3, 4, 4, 2], "relu", rng=0, residual=0.5, norm="layer", dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((6, 3))
    z = x @ net.weights[0].T
    norm = lambda z: (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)  # noqa: E731
    z = z + 0.5 * np.maximum(norm(z), 0) @ net.weights[1].T
    np.testing.assert_allclose(net.forward(x), np.maximum(norm(z), 0) @ net.weights[2].T)


# LSUV -----------------------------------------------------------------------------------------------


def test_lsuv_is_orthonormal_up_to_scale():
    x = np.random.default_rng(0).standard_normal((200, 30))
    net = ik.MLP([30, 20, 20, 5], "tanh", bias=ik.normal, rng=0)
    biases = [b.copy() for b in net.biases]
    assert ik.lsuv(net, x, tol=0.01, rng=1) is net
    for weight, before, after in zip(net.weights, biases, net.biases, strict=True):
        product = weight @ weight.T
        np.testing.assert_allclose(product, product[0, 0] * np.eye(len(weight)), atol=1e-4)
        assert np.array_equal(before, after)
    assert all(abs(z.var() - 1) < 0.01 for z in net.trace(x).pre)


def test_lsuv_says_what_it_cannot_do():
    net = ik.MLP([3, 3, 2], rng=0)
    with pytest.raises(ValueError, match="the batch is empty"):
        ik.lsuv(net, np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"layer 1 has an output of variance 0\.0"):
        ik.lsuv(net, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="tol must be"):
        ik.lsuv(net, np.ones((5, 3)), tol=0)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_lsuv_in_other_dtypes(dtype):
    x = np.random.default_rng(0).standard_normal((99, 30))
    net = ik.lsuv(ik.MLP([30, 20, 5], "tanh", rng=0, dtype=dtype), x, rng=0)
    assert all(abs(z.var(dtype=np.float64) - 1) < 0.1 for z in net.trace(x).pre)
    with pytest.raises(ValueError, match="net must have no residual blocks"):
        ik.lsuv(ik.MLP([30, 20, 20, 5], residual=1.0), x)
    with pytest.raises(ValueError, match="max_iter must be"):
        ik.lsuv(net, x, max_iter=-1)


def test_weights_are_the_nets_own():
    shared = np.full((4, 4), 0.1, np.float32)
    net = ik.MLP([4, 4, 4], init=lambda s, *, rng, dtype: shared)
    net.weights[0] += 1
    assert shared[0, 0] == net.weights[1][0, 0] == np.float32(0.1)
    frozen = ik.MLP([4, 4], init=lambda s, *, rng, dtype: np.broadcast_to(np.float32(0.1), s))
    frozen.weights[0] += 1
    with pytest.raises(TypeError, match="init returned complex128 where real numbers"):
        ik.MLP([4, 4], init=lambda s, *, rng, dtype: np.ones(s) * 1j)


def test_measuring_in_between_does_not_change_the_gradient():
    net = ik.MLP([4, 5, 3], "tanh", rng=0)
    x = np.random.default_rng(0).standard_normal((6, 4))
    net.forward(x)
    before = net.backward(np.ones((6, 3))).weights[0]
    ik.measure(net, 2 * x)
    x *= 0
    assert np.array_equal(net.backward(np.ones((6, 3))).weights[0], before)


def test_an_activations_dtype_and_shape_are_held():
    net = ik.MLP([4, 3, 2], lambda z: z * np.float64(2), rng=0)
    assert net.forward(np.ones((1, 4))).dtype == np.float32
    with pytest.raises(ValueError, match="activation returned shape"):
        ik.MLP([4, 3, 2], lambda z: z.sum()).forward(np.ones((1, 4)))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ("abc", TypeError, "x must be an array of real numbers"),
        ([[1, 2], [3]], TypeError, "x must be an array of real numbers"),
        (np.ones((1, 2)) * 1j, TypeError, "x must be an array of real numbers"),
        (np.zeros((0, 2)), ValueError, "the batch is empty"),
        ([[1e39, 0]], ValueError, "x must be finite numbers that float32 can hold"),
        ([[1, np.nan]], ValueError, "x must be finite numbers that float32 can hold"),
        ([[1, np.inf]], ValueError, "x must be finite numbers that float32 can hold"),
    ],
)
def test_bad_inputs_are_named(x, error, message):
    with pytest.raises(error, match=message):
        ik.MLP([2, 2]).forward(x)
