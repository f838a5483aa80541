"""A truth value is no number: every numeric argument of the library says so, be it Python's or NumPy's."""

import inspect

import numpy as np
import pytest

import initkit as ik
from initkit import activations, initializers, network

SHAPES = {"dirac": (6, 4, 3), "delta_orthogonal": (6, 4, 3)}
REQUIRED = {"constant": {"value": 1.0}, "sparse": {"sparsity": 0.5}}
NO_NUMBERS = {"distribution", "mode", "activation", "centre", "rng", "dtype", "out"}


def of_initializers():
    """(name, argument) of all that are not known to be something else: a new one is tried too."""
    for name, function in initializers.REGISTRY.items():
        arguments = inspect.signature(function).parameters
        yield from ((name, a) for a in arguments if a not in NO_NUMBERS)


@pytest.mark.parametrize("truth", [True, np.True_, np.array(True)], ids=["bool", "np.bool", "array"])
@pytest.mark.parametrize(("name", "argument"), list(of_initializers()))
def test_initializers(name, argument, truth):
    arguments = {"shape": SHAPES.get(name, (6, 4)), **REQUIRED.get(name, {})}
    arguments[argument] = (6, truth, 3) if argument == "shape" else truth
    with pytest.raises((TypeError, ValueError), match=rf"{argument} must "):
        ik.get(name)(**arguments)


X = np.ones((3, 4), np.float32)
DATA = ik.datasets.Data(X, np.zeros(3, int), X, np.zeros(3, int))


def net(**arguments):
    return ik.MLP([4, 4, 4], rng=0, **arguments)


def trained(**arguments):
    ik.train(net(), DATA, **{"lr": 0.1, "epochs": 1, "progress": False, **arguments})


CALLS = {
    "index": lambda t: ik.sample_block("normal", (3, 4), t, rng=0),
    "value": lambda t: ik.constant(2, [t, t]),
    "rng": lambda t: ik.normal(3, rng=t),
    "slope a": lambda t: ik.gain(("leaky_relu", t)),
    "alpha": lambda t: activations.elu(t),
    "scale": lambda t: activations.elu(1.0, t),
    "shape": lambda t: ik.fans((4, t)),
    "in_axis": lambda t: ik.fans((4, 4), in_axis=(t,)),
    "widths": lambda t: ik.MLP([4, t]),
    "residual": lambda t: net(residual=t),
    "factor": lambda t: network.scaled(net(), t, "tanh"),
    "tol": lambda t: ik.lsuv(net(), X, tol=t),
    "max_iter": lambda t: ik.lsuv(net(), X, max_iter=t),
    "depth": lambda t: ik.predict(t, 10),
    "width": lambda t: ik.predict(3, t),
    "sigma_w": lambda t: ik.predict(3, 10, sigma_w=t),
    "sigma_b": lambda t: ik.critical_sigma_w("tanh", t),
    "q0": lambda t: ik.predict(3, 10, q0=t),
    "c0": lambda t: ik.predict(3, 10, c0=t),
    "grad_var": lambda t: ik.predict_for(net(), X, grad_var=t),
    "lr": lambda t: trained(lr=t),
    "epochs": lambda t: trained(epochs=t),
    "batch_size": lambda t: trained(batch_size=t),
    "edges": lambda t: ik.measure(net(), X, edges=np.array([not t, t])),
    "fan_in": lambda t: ik.doctor.identify(X[0], fan_in=t),
}


@pytest.mark.parametrize("truth", [True, np.True_], ids=["bool", "np.bool"])
@pytest.mark.parametrize("argument", CALLS)
def test_all_others(argument, truth):
    with pytest.raises((TypeError, ValueError), match=rf"{argument} must "):
        CALLS[argument](truth)


def test_phase_too():
    for arguments in ({"sigma_w": True}, {"sigma_w": 1.0, "sigma_b": np.True_}):
        with pytest.raises(ValueError, match=r"sigma_. must be a finite number"):
            ik.phase("tanh", **arguments)
    with pytest.raises(ValueError, match="grad_var must be a finite number"):
        ik.predict(3, 10, grad_var=True)


def test_numbers_of_any_kind_are_numbers():
    assert ik.fans((np.int8(4), 6)) == (6, 4)
    assert ik.normal(3, std=np.float16(0), mean=np.array(2)).tolist() == [2, 2, 2]
    assert ik.predict(np.int64(3), 10, sigma_w=np.float32(1)).depth == 3
