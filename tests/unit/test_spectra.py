"""Singular values: held to gradients, determinants and inverses; what is predicted of them, to real nets."""

import functools

import numpy as np
import pytest

import initkit as ik
from initkit import activations, spectra


def net(widths, activation="tanh", init="lecun_normal", **arguments):
    return ik.MLP(widths, activation, init, rng=0, dtype=np.float64, **arguments)


def test_they_are_those_of_the_gradients():
    """``backward`` gives the Jacobian row by row; behind layers of fewer units than the input some are 0."""
    n = net([5, 7, 4, 3], bias="normal")
    x = np.random.default_rng(1).standard_normal(5)
    n.forward(np.tile(x, (3, 1)))
    jacobian = n.backward(np.eye(3)).input
    s = spectra.singular_values(n, x)
    assert s.shape == (3, 5)
    assert s[2, :3] == pytest.approx(np.linalg.svd(jacobian, compute_uv=False))
    assert np.count_nonzero(s, axis=1).tolist() == [5, 4, 3]
    slopes = 1 - np.tanh(n.weights[0] @ x + n.biases[0]) ** 2
    assert s[0] == pytest.approx(np.linalg.svd(slopes[:, None] * n.weights[0], compute_uv=False))
    assert spectra.singular_values(n, x, layers=[3, 1]) == pytest.approx(s[[2, 0]])
    assert spectra.singular_values(n)[1, :4] == pytest.approx(
        np.linalg.svd(n.weights[1] @ n.weights[0], compute_uv=False)
    )


@pytest.mark.parametrize("x", [None, np.linspace(-1, 1, 30)], ids=["product", "tanh"])
def test_the_small_ones_are_as_exact_as_the_large_ones(x):
    """100 layers of 30 units: their logarithms sum to the layers' log|det|, the least is one over the largest
    of the inverse.

    The product as it is multiplied out holds 16 digits of its largest value only: its least would be 1e-16 of
    it, where the true one is below 1e-60.
    """
    n = net([30] * 102)
    factors = list(n.weights[:100])
    if x is not None:
        factors = [s.T * w for s, w in zip(n.trace(x[None], slopes=True).slopes, factors, strict=False)]
    (s,) = spectra.singular_values(n, x, layers=[100])
    log_det = sum(np.linalg.slogdet(factor).logabsdet for factor in factors)
    assert np.log(s).sum() == pytest.approx(log_det, rel=1e-10)
    inverse = functools.reduce(lambda total, factor: total @ np.linalg.inv(factor), factors, np.eye(30))
    assert s[-1] * np.linalg.norm(inverse, 2) == pytest.approx(1, rel=1e-8)
    assert s[-1] < 1e-60 * s[0]


def test_a_dead_net_has_only_zeros_and_an_exploding_one_no_warnings():
    n = net([4, 4, 4], "relu", "ones")
    assert (spectra.singular_values(n, -np.ones(4)) == 0).all()
    large = net([3] * 601, "identity", lambda s, **_: 10 * np.eye(3))
    assert spectra.singular_values(large, layers=[100, 600])[:, 0] == pytest.approx([1e100, np.inf])


def test_the_edge():
    """(L + 1)^{L+1}/L^L, in whole numbers."""
    exact = [(depth + 1) ** (depth + 1) / depth**depth for depth in (1, 2, 5, 50)]
    assert spectra.largest([1, 2, 5, 50]) == pytest.approx(exact, rel=1e-12)
    assert spectra.largest(1) == 4
    with pytest.raises(ValueError, match="depth must be above 0"):
        spectra.largest(0)


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b", "init"),
    [
        ("identity", 1.0, 0.0, "gaussian"),
        ("relu", 2**0.5, 0.0, "gaussian"),
        ("relu", 2**0.5, 0.0, "orthogonal"),
        ("tanh", 1.2, 0.3, "gaussian"),
        ("tanh", 1.2, 0.3, "orthogonal"),
    ],
)
def test_predicted_is_measured(between, activation, sigma_w, sigma_b, init):
    """Sixteen nets of five layers of 100 units, from q*. Of 160 nets the first ratio has a deviation of at
    most 0.26, the second of 0.13 and, at this width, a mean of 0.99 to 1.05: the bounds are 5.5 standard
    errors, a false alarm in 10⁷."""
    draw = ik.orthogonal if init == "orthogonal" else ik.lecun_normal
    weights = lambda shape, *, rng, dtype: draw(shape, rng=rng, dtype=dtype) * sigma_w  # noqa: E731
    rng = np.random.default_rng(0)
    q0 = (ik.phase(activation, sigma_w, sigma_b).q_star - sigma_b**2) / sigma_w**2
    found = []
    for _ in range(16):
        n = ik.MLP([100] * 6 + [1], activation, weights, functools.partial(ik.normal, std=sigma_b), rng)
        x = rng.standard_normal(100)
        x *= np.sqrt(q0 / np.square(x).mean())
        s2 = np.square(spectra.singular_values(n, x, layers=[5]))
        found.append((s2.mean(), s2.var() / s2.mean() ** 2))
    mean, spread = np.mean(found, axis=0)
    theory = spectra.predicted(5, activation, sigma_w, sigma_b, orthogonal=init == "orthogonal")
    between("mean s²", mean / theory.mean[4], 0.65, 1.35)
    between("variance over squared mean", spread / (theory.variance[4] / theory.mean[4] ** 2), 0.77, 1.23)


def test_layers_away_from_the_fixed_point_count_as_they_are():
    """Two tanh layers from q = 0.5: σ_w² E[f'(√q_l z)²] of each, by adaptive integration."""
    found = spectra.predicted(2, "tanh", 1.5, 0.2, q=0.5)
    q2 = 2.25 * activations.expectation(lambda z: np.tanh(0.5**0.5 * z) ** 2) + 0.04
    moments = np.array([
        [activations.expectation(lambda z: np.cosh(q**0.5 * z) ** -k) for k in (4, 8)] for q in (0.5, q2)  # noqa: B023
    ])  # fmt: skip
    mean = np.cumprod(2.25 * moments[:, 0])
    assert found.mean == pytest.approx(mean, rel=1e-6)
    assert found.variance / mean**2 == pytest.approx(np.cumsum(moments[:, 1] / moments[:, 0] ** 2), rel=1e-6)
    haar = spectra.predicted(2, "tanh", 1.5, 0.2, q=0.5, orthogonal=True)
    assert (found.variance - haar.variance) / mean**2 == pytest.approx([1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectra.singular_values(net([3, 3, 3], residual=1.0)), "net must have no residual blocks"),
        (lambda: spectra.singular_values(net([3, 3]), np.ones(4)), r"one input, of shape \(3,\), not \(4,\)"),
        (lambda: spectra.singular_values(net([3, 3]), np.ones((2, 3))), r"x must be one input.*not \(2, 3\)"),
        (lambda: spectra.singular_values(net([3, 3]), layers=[2]), "layers must be from 1 to 1, not 2"),
        (lambda: spectra.singular_values(net([3, 3]), layers=1), "layers must be a sequence .*, not 1"),
        (lambda: spectra.singular_values(net([3, 3]), layers=[0.5]), "layers must be a whole number"),
        (lambda: spectra.predicted(0), "depth must be a whole number"),
        (lambda: spectra.predicted(3, "tanh", -1), "sigma_w must be"),
        *((lambda q=q: spectra.predicted(3, "tanh", 1, q=q), "q must be") for q in (-1, "a", True)),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_layers_may_be_an_array():
    some = spectra.singular_values(net([3, 3, 3]), layers=np.array([1, 2]))
    assert np.array_equal(some, spectra.singular_values(net([3, 3, 3])))
