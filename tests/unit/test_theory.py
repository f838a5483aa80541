"""Predictions: against closed forms, against adaptive integration, and against real nets."""

import numpy as np
import pytest

import initkit as ik
from initkit import activations, theory

DATA = ik.datasets.digits()
X, Y = DATA.x_train[:300], DATA.y_train[:300]
KINKED = {"relu6", "hardswish"}  # elsewhere than at 0: ``predict`` says how much less exact it is
EXACT = [name for name in activations.NAMES if name not in KINKED]


@pytest.mark.parametrize("name", activations.NAMES)
@pytest.mark.parametrize("q", [0.01, 1.0, 12.0])
def test_a_layers_means_are_those_of_adaptive_integration(name, q):
    """The last entry but one of a two-layer prediction has f applied to N(0, q)."""
    times = 2000 if name in KINKED else 1
    f, df = activations.NAMES[name].f, activations.NAMES[name].df
    mean = lambda g: activations.expectation(lambda z: g(np.sqrt(q) * z))  # noqa: E731
    p = ik.predict(2, 50, name, sigma_w=1.3, sigma_b=0.05, q0=(q - 0.0025) / 1.69)
    second = mean(lambda x: f(x) ** 2)
    assert p.q == pytest.approx([q, 1.69 * second + 0.0025], rel=1e-6 * times)
    assert p.activation_mean[0] == pytest.approx(mean(f), rel=1e-6 * times, abs=1e-9)
    assert p.activation_var[0] == pytest.approx(second - mean(f) ** 2, rel=1e-5 * times)
    slope = 1.69 * mean(lambda x: df(x) ** 2)  # which jumps at a kink
    assert p.grad_var == pytest.approx([slope, 1], rel=0.07 if name in KINKED else 1e-6)


def test_correlation_of_relu_is_the_arc_cosine_kernel():
    """Cho & Saul 2009: q·c' = (√(1 − c²) + (π − arccos c)·c)/π for He's variance."""
    for c in (-0.9, -0.3, 0.0, 0.3, 0.9, 0.99, 1.0):
        p = ik.predict(2, 50, "relu", 2**0.5, q0=0.5, c0=c)
        exact = (np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi
        assert p.correlation == pytest.approx([c, exact], abs=1e-4)


def test_saturated_share_is_the_mass_of_the_flat_parts():
    p = ik.predict(2, 50, "tanh", 1.0, q0=4.0)
    edge = np.arctanh(np.sqrt(0.95))  # where 1 − tanh² is a twentieth
    assert p.saturated[0] == pytest.approx(1 - activations.expectation(lambda z: abs(2 * z) < edge), abs=2e-3)
    assert ik.predict(2, 50, "relu", 1.0).saturated.tolist() == [0.5, 0.0]


FIELDS = ("q", "activation_var", "correlation", "saturated", "grad_var")


@pytest.mark.parametrize(
    ("activation", "init", "arguments"),
    [
        ("tanh", "xavier_normal", {}),
        ("relu", "he_normal", {}),
        ("gelu", "he_normal", {"bias": lambda s, *, rng, dtype: ik.normal(s, std=0.2, rng=rng, dtype=dtype)}),
        ("sigmoid", "xavier_uniform", {}),
        ("relu", "he_normal", {"residual": 0.3}),
        ("relu", "he_normal", {"norm": "layer"}),
        ("tanh", "lecun_normal", {"norm": "layer", "residual": 1.0}),
    ],
)
def test_theory_lies_over_measurement(activation, init, arguments):
    """Nine layers of 1,000 units. A layer's q has a relative spread of about √(5/1000) = 7 %, which adds up
    to 21 % over nine: entries within 3 of those, correlations within 0.06."""
    net = ik.MLP([64, *[1000] * 8, 10], activation, init, rng=0, **arguments)
    seen, predicted = ik.measure(net, X, Y), ik.predict_for(net, X, Y)
    assert seen.depth == predicted.depth == 9
    for field in FIELDS:
        ours, theirs = getattr(seen, field)[:-1], getattr(predicted, field)[:-1]
        if field in ("correlation", "saturated"):
            np.testing.assert_allclose(ours, theirs, atol=0.06, err_msg=field)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=0.6, err_msg=field)
    # The first layer has no fluctuation but its own.
    assert seen.q[0] == pytest.approx(predicted.q[0], rel=0.15)


def test_predict_is_predict_for_a_net_of_that_kind():
    p = ik.predict(9, 1000, "relu", 2**0.5, q0=1.0)
    rng = np.random.default_rng(0)
    net = ik.MLP([1000] * 10, "relu", "he_normal", rng=rng)
    own = ik.predict_for(net, rng.standard_normal((20, 1000)))
    np.testing.assert_allclose(own.q, p.q, rtol=0.03)
    np.testing.assert_allclose(own.q_band, p.q_band, rtol=0.03)


def test_indices_are_those_of_measure():
    """The first layer acts on the input itself."""
    assert ik.predict(1, 10, "tanh", 2.0, 0.5, q0=3.0).q.tolist() == [12.25]
    assert ik.predict(3, 10, "identity", 2.0, q0=1.0).q.tolist() == pytest.approx([4, 16, 64])


def test_the_band_narrows_with_width():
    narrow, wide = (ik.predict(10, n, "relu", 2**0.5).q_band[-1] for n in (50, 5000))
    assert narrow[0] < wide[0] < 2 < wide[1] < narrow[1]
    assert ik.predict(10, 50, "relu", 2**0.5, residual=1.0).q_band is None


@pytest.mark.parametrize("activation", activations.NAMES)
def test_phases_agree_with_the_recursion(activation):
    """q* is where q goes, χ₁ what a gradient grows by there."""
    for sigma_w, sigma_b in ((0.7, 0.0), (0.9, 0.3), (1.2, 0.1)):
        there = ik.phase(activation, sigma_w, sigma_b)
        p = ik.predict(3000, 100, activation, sigma_w, sigma_b)
        if np.isfinite(there.q_star) and there.q_star > 0:
            assert p.q[-2] == pytest.approx(there.q_star, rel=1e-6)
            assert p.grad_var[-3] / p.grad_var[-2] == pytest.approx(there.chi_1, rel=1e-5)
        else:
            assert p.q[-1] < 1e-3 or p.q[-1] > 1e3
        assert there.phase == ("ordered" if there.chi_1 < 1 else "chaotic")


@pytest.mark.parametrize("activation", ["tanh", "erf", "softsign", "selu", "elu", "sigmoid"])
def test_the_edge_is_critical(activation):
    for sigma_b in (0.0, 0.2, 1.0):
        there = ik.phase(activation, ik.critical_sigma_w(activation, sigma_b), sigma_b)
        assert there.phase == "critical"
        assert there.xi_c == np.inf


def test_far_from_the_edge():
    assert ik.phase("relu", 2.0).q_star == np.inf
    assert ik.phase("tanh", 0.5).q_star == 0
    assert ik.phase("relu", 1.0, 1.0).q_star == pytest.approx(2)  # σ_b²/(1 − σ_w²/2)
    assert ik.phase("tanh", 0.0).chi_1 == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ik.predict(0, 10), "depth must be a whole number of at least 1, not 0"),
        (lambda: ik.predict(2.5, 10), "depth must be"),
        (lambda: ik.predict(3, 0), "width must be"),
        (lambda: ik.predict(3, 10, sigma_w=-1), "sigma_w must be"),
        (lambda: ik.predict(3, 10, sigma_b=np.nan), "sigma_b must be"),
        (lambda: ik.predict(3, 10, q0=-1), "q0 must be"),
        (lambda: ik.predict(3, 10, c0=1.1), "c0 must lie in"),
        (lambda: ik.predict(3, 10, grad_var=np.inf), "grad_var must be"),
        (lambda: ik.predict(3, 10, "relo"), "'relo' is not known"),
        (lambda: ik.predict(3, 10, residual=np.nan), "residual must be"),
        (lambda: ik.predict(3, 10, norm="batch"), "norm must be None or 'layer', not 'batch'"),
        (lambda: ik.phase("tanh", -1), "sigma_w must be"),
        (lambda: ik.phase("tanh", [1, -1]), r"sigma_w must be finite numbers of at least 0, not \[1, -1\]"),
        (lambda: ik.phase("tanh", 1, [np.nan]), "sigma_b must be"),
        (lambda: ik.phase("tanh", [True]), "sigma_w must be"),
        (lambda: ik.phase("tanh", ["1"]), "sigma_w must be"),
        (lambda: ik.phase("tanh", [1, 2], [1, 2, 3]), r"sigma_w, sigma_b must have shapes that go together"),
        (lambda: theory.length_map("tanh", -1, 1), "q must be"),
        (lambda: theory.correlation_map("tanh", 1.1, 1), r"c must be finite numbers in \[-1, 1\], not 1.1"),
        (
            lambda: theory.correlation_map("tanh", [0.1, 0.2], 1, q=[1, 2, 3]),
            "c, q, sigma_w, sigma_b must have",
        ),
        (lambda: theory.width_sum([]), r"widths must be one or more whole numbers of at least 1, not \[\]"),
        (
            lambda: ik.phase("tanh", [[1], [2, 3]]),
            r"sigma_w must be finite numbers .* not \[\[1\], \[2, 3\]\]",
        ),
        (lambda: theory.width_sum([3, 0]), "widths must be"),
        (lambda: theory.log_length([3, 4], weights="orthogonal"), r"widths must be alike .* not \[3, 4\]"),
        (lambda: theory.log_length([3], "tanh"), "activation must be 'relu' or 'identity', not 'tanh'"),
        (lambda: theory.log_length([3], weights="uniform"), "weights must be 'gaussian' or 'orthogonal'"),
        (lambda: ik.critical_sigma_w("relu", 0.1), "'relu' has no edge of chaos at 0.1"),
        (lambda: ik.predict_for(ik.MLP([4, 2]), np.full((3, 4), np.nan)), "x must be finite"),
        (lambda: ik.predict_for(ik.MLP([4, 2]), np.zeros((0, 4))), "batch is empty"),
        (lambda: ik.predict_for(ik.MLP([4, 2]), np.zeros((3, 5))), r"x must have shape \(batch, 4\)"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_hopeless_net_is_predicted_without_warnings():
    p = ik.predict(2000, 10, "relu", 3.0)
    assert p.overflowed_at is not None
    assert ik.predict(50, 10, "relu", 0.0).q.tolist() == [0.0] * 50


def test_mehler_series_is_exact_at_both_ends():
    for name in activations.NAMES:
        f, df = activations.NAMES[name].f, activations.NAMES[name].df
        values = theory._on_gaussian(f, 2.0)
        one, minus = (
            theory._together(*(part[0] for part in theory._kernels(f, df, np.array([2.0]))), c)
            for c in (1.0, -1.0)
        )
        assert one == pytest.approx(np.square(values) @ theory._W, rel=1e-12)
        assert minus == pytest.approx((values * values[::-1]) @ theory._W, rel=1e-9, abs=1e-9)


# Depth scales, against the recursion itself ---------------------------------------------------------


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.3, 0.3), (1.1, 0.5), (2.5, 0.3), (4.0, 0.3)])
def test_xi_q_is_how_fast_q_settles(sigma_w, sigma_b):
    there = ik.phase("tanh", sigma_w, sigma_b)
    distance = np.abs(ik.predict(14, 100, "tanh", sigma_w, sigma_b, q0=0.1).q - there.q_star)
    steps = distance[distance > 1e-6 * there.q_star]
    assert steps[-1] / steps[-2] == pytest.approx(np.exp(-1 / there.xi_q), rel=0.02)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.3, 0.3), (2.5, 0.3), (4.0, 0.3), (2.0, 0.0)])
def test_xi_c_is_how_fast_correlations_settle(sigma_w, sigma_b):
    """In order towards 1, in chaos towards c* < 1, from both sides."""
    there = ik.phase("tanh", sigma_w, sigma_b)
    for c0 in (0.1, 0.9):
        c = ik.predict(400, 100, "tanh", sigma_w, sigma_b, q0=1.0, c0=c0).correlation
        distance = np.abs(c - c[-1])
        steps = distance[(distance < 1e-3) & (distance > 1e-6)]
        assert steps[-1] / steps[-2] == pytest.approx(np.exp(-1 / there.xi_c), rel=0.02)
    assert (c[-1] > 0.999) == (there.phase == "ordered")


def test_where_q_explodes_lengths_are_infinite_or_those_of_the_angle():
    there = ik.phase("relu", 3.0)
    assert (there.q_star, there.xi_q, there.phase) == (np.inf, np.inf, "chaotic")
    # The angle of two inputs shrinks all the same, by a power of the depth: its map does not know σ_w.
    for activation in ("relu", "gelu", "silu", "leaky_relu", "identity"):
        assert ik.phase(activation, 2.0, 0.3).xi_c == np.inf


def test_relu_correlations_fade_as_one_over_the_square_of_the_depth():
    """The arc-cosine map, iterated: 1 − c is 4.32e-5 at layer 1,000, no exponential."""
    c = 0.0
    for _ in range(999):
        c = (np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi
    p = ik.predict(1000, 50, "relu", 2**0.5)
    assert 1 - p.correlation[-1] == pytest.approx(1 - c, rel=1e-3)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("c", [-0.9, 0.3, 0.99])
@pytest.mark.parametrize(("q", "within"), [(1.0, 1e-5), (12.6, 1e-4)])
def test_correlations_are_those_of_the_plane(name, c, q, within):
    """E[f(u₁)f(u₂)] over the plane, with both kinks on the borders of panels, as polar angles are."""
    f = lambda u: activations.NAMES[name].f(np.sqrt(q) * u)  # noqa: E731
    # u₁ = r cos φ, u₂ = r cos(φ − θ), cos θ = c; r²/2 is exponential, φ uniform. Kinks: where a cosine is 0.
    theta = np.arccos(c)
    kinks = np.sort(np.mod([np.pi / 2, -np.pi / 2, theta + np.pi / 2, theta - np.pi / 2], 2 * np.pi))
    x, w = np.polynomial.legendre.leggauss(60)
    borders = np.append(kinks, kinks[0] + 2 * np.pi)
    middle, half = (borders[1:] + borders[:-1]) / 2, np.diff(borders) / 2
    phi, weight = np.add.outer(middle, 0 * x) + np.outer(half, x), np.outer(half, w) / (2 * np.pi)
    phi, weight = phi.ravel(), weight.ravel()
    r = 5 * (x + 1)
    mass = 5 * w * r * np.exp(-r * r / 2)
    product = f(r[:, None] * np.cos(phi)) * f(r[:, None] * np.cos(phi - theta))
    exact = mass @ product @ weight
    second = activations.expectation(f, moment=2)
    p = ik.predict(2, 50, name, 1.0, q0=q, c0=c)
    assert p.correlation[1] == pytest.approx(exact / second, abs=within)


@pytest.mark.parametrize(("name", "slope"), [("sigmoid", 0.25), ("softplus", 0.5)])
def test_a_small_signal_beside_a_large_mean_has_its_variance(name, slope):
    """f(√q z) = f(0) + f'(0)·√q z + O(q): below 1e-9 E[f²] − E[f]² has no digit of f'(0)²·q."""
    for q in (1e-8, 1e-12, 1e-17, 1e-24):
        p = ik.predict(2, 100, name, 1.0, q0=q)
        assert p.activation_var[0] == pytest.approx(slope**2 * q, rel=1e-3 if q < 1e-18 else 1e-6)
    assert ik.predict(2, 100, np.ones_like).activation_var[0] == 0


@pytest.mark.parametrize(
    "activation", ["identity", "relu", *[("leaky_relu", a) for a in (0.01, 0.2, 1.5, -0.7)]]
)
def test_the_closed_forms_of_two_lines_are_the_quadratures(activation):
    known = activations.get(activation)
    asked = activations.Activation(known.name, known.f, known.df)
    q = np.geomspace(1e-17, 1e17, 99)
    for closed, summed, unit in zip(
        *(theory._moments(a, q) for a in (known, asked)), (0.5, 1, 1, 2, 1, 0), strict=True
    ):
        np.testing.assert_allclose(closed / q**unit, summed / q**unit, rtol=0, atol=1e-12)
    for c in (-1.0, -0.7, 0.2, 0.95, 1.0):
        closed, summed = ([f(c) for f in theory._products(a, q)] for a in (known, asked))
        np.testing.assert_allclose(closed / q, summed / q, rtol=0, atol=1e-5)
    assert ik.gain(known) == pytest.approx(ik.gain(asked), rel=1e-12)
    shares = [theory._flat_share(a, q) for a in (known, asked)]
    np.testing.assert_array_equal(*shares)


def test_like_inputs_stay_alike_in_chaos():
    p = ik.predict(1000, 50, "tanh", 3.0, 0.3, c0=1.0)
    assert p.correlation.tolist() == [1.0] * 1000


def test_no_signal_and_too_much_of_it():
    """At q = 0 f(0) and f'(0) count; a correlation of what has overflowed is not known."""
    p = ik.predict(3, 50, "sigmoid", 2.0, q0=0.0)
    assert p.q.tolist()[:2] == [0, 4 * 0.25]
    assert p.grad_var[0] == pytest.approx(4 / 16 * p.grad_var[1])
    assert ik.predict(3, 50, "relu", 2.0, q0=0.0).grad_var.tolist() == [0, 0, 1]
    exploded = ik.predict(2000, 10, "relu", 3.0)
    assert np.isnan(exploded.correlation[-1])
    assert exploded.correlation[100] > 0.99


def test_what_has_no_name_is_asked_each_time():
    """An activation may be an object that changes."""
    slope = [1.0]
    own = ik.activations.Activation("tanh", lambda x: slope[0] * x, lambda x: np.full_like(x, slope[0]))
    before = ik.predict(3, 50, own).q.tolist()
    slope[0] = 2.0
    assert ik.predict(3, 50, own).q == pytest.approx([1, 4, 16])
    assert before == pytest.approx([1, 1, 1])


def test_odd_functions_keep_opposite_inputs_opposite():
    for q0 in (1.0, 12.6, 100.0):
        assert ik.predict(2, 50, "tanh", 1.0, q0=q0, c0=-1.0).correlation.tolist() == pytest.approx([-1, -1])


def test_the_first_correlation_knows_the_biases():
    p = ik.predict(1, 50, "tanh", 2.0, 1.0, q0=3.0, c0=0.5)
    assert p.correlation[0] == pytest.approx((4 * 3 * 0.5 + 1) / 13)


def test_the_last_layer_is_linear():
    p = ik.predict(3, 50, "sigmoid", 1.0)
    assert p.activation_mean[-1] == 0
    assert p.activation_var[-1] == p.q[-1]
    blocks = ik.predict(4, 50, "tanh", 1.0, residual=1.0)
    assert blocks.q[-1] < blocks.q[-2]  # and no block


@pytest.mark.parametrize(
    ("activation", "sigma_b"),
    [
        ("tanh", 0.3),
        *(pytest.param(*more, marks=pytest.mark.slow) for more in (("relu", 0.0), ("gelu", 0.2))),
    ],
)
def test_the_band_is_that_of_many_nets(activation, sigma_b):
    """Layers of 60, 200, 80 and 120 units: 1,000 nets, whose log q has the band's spread to a tenth."""
    widths = [50, 60, 200, 80, 120]
    x = np.random.default_rng(0).standard_normal((1, 50)).astype(np.float32)
    init = lambda s, *, rng, dtype: ik.lecun_normal(s, rng=rng, dtype=dtype) * dtype.type(1.4)  # noqa: E731
    bias = lambda s, *, rng, dtype: ik.normal(s, std=sigma_b, rng=rng, dtype=dtype)  # noqa: E731
    rng = np.random.default_rng(1)
    logs = np.log([ik.measure(ik.MLP(widths, activation, init, bias, rng), x).q for _ in range(1000)])
    net = ik.MLP(widths, activation, init, bias, rng)
    for weight, n in zip(net.weights, widths, strict=False):  # of exactly the variances meant
        weight *= 1.4 / np.sqrt(n * np.square(weight).mean())
    for b in net.biases:
        b *= sigma_b / np.sqrt(np.square(b).mean()) if sigma_b else 0
    low, high = ik.predict_for(net, x).q_band.T
    np.testing.assert_allclose(logs.std(axis=0), (np.log(high) - np.log(low)) / (2 * 1.96), rtol=0.1)


def test_layer_norms_epsilon_counts_for_small_signals():
    net = ik.MLP([200, *[1000] * 4, 10], "tanh", "lecun_normal", norm="layer", rng=0)
    x = 1e-3 * np.random.default_rng(0).standard_normal((20, 200))
    np.testing.assert_allclose(ik.measure(net, x).q[:5], ik.predict_for(net, x).q[:5], rtol=0.2)


def test_predict_for_starts_its_way_back_where_it_is_told():
    net = ik.MLP([20, 50, 50, 10], "relu", "he_normal", rng=0)
    x, y = np.random.default_rng(0).standard_normal((30, 20)), np.arange(30) % 10
    own = ik.predict_for(net, x, y).grad_var
    for labels in (None, y):
        told = ik.predict_for(net, x, labels, grad_var=3.0).grad_var
        np.testing.assert_allclose(told, own * 3 / own[-1])


# Maps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "selu", "sigmoid"])
def test_a_map_is_the_phases_of_its_pairs(activation):
    """Of 2 × 300 pairs, more than are worked on at once; the depth scales hang on differences, to 1e-8."""
    sigma_w, sigma_b = np.r_[0, 2**0.5, np.linspace(0.5, 3, 298)], np.array([[0.0], [0.4]])
    found = ik.phase(activation, sigma_w, sigma_b)
    assert isinstance(found, theory.PhaseMap)
    for i, j in [(0, 0), (0, 1), (1, 1), (0, 60), (1, 60), (0, 170), (1, 170), (1, 299)]:
        one = ik.phase(activation, sigma_w[j], sigma_b[i, 0])
        assert found.phase[i, j] == one.phase
        for field in ("q_star", "chi_1", "xi_q", "xi_c"):
            array = getattr(found, field)
            assert array.shape == (2, 300)
            assert array[i, j] == pytest.approx(getattr(one, field), rel=1e-8)


def test_a_map_of_no_pairs_is_empty():
    assert ik.phase("tanh", np.ones((0, 3))).chi_1.shape == (0, 3)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_the_maps_are_one_layer_of_the_recursion(activation):
    p = ik.predict(8, 100, activation, 1.4, 0.3, q0=2.0, c0=-0.4)
    q = theory.length_map(activation, p.q[:-1], 1.4, 0.3)
    assert q == pytest.approx(p.q[1:], rel=1e-12)
    c = theory.correlation_map(activation, p.correlation[:-1], 1.4, 0.3, q=p.q[:-1])
    assert c == pytest.approx(p.correlation[1:], rel=1e-9)
    one = theory.correlation_map(activation, float(p.correlation[0]), 1.4, 0.3, float(p.q[0]))
    assert one == pytest.approx(p.correlation[1], rel=1e-9)
    assert np.ndim(one) == 0


@pytest.mark.parametrize(("activation", "area"), [("tanh", 4 / 3), ("sigmoid", 1 / 6)])
def test_a_function_so_steep_that_it_is_a_step(activation, area):
    """χ₁ = σ_w² ∫f'(x)² dx/√(2π q*), where q* is large: the slope is seen near 0 alone."""
    for sigma_w, sigma_b in ((1e3, 0.0), (1e5, 0.0), (1e3, 3e5)):
        there = ik.phase(activation, sigma_w, sigma_b)
        assert there.chi_1 == pytest.approx(sigma_w**2 * area / np.sqrt(2 * np.pi * there.q_star), rel=1e-5)
    assert ik.phase(activation, [2.0, 1e6, 1e9, 1e30]).phase.tolist()[1:] == ["chaotic"] * 3


@pytest.mark.parametrize(
    ("activation", "sigma_w", "sigma_b"), [("tanh", 2.0, 0.3), ("tanh", 0.5, 0.0), ("relu", 3.0, 0.0)]
)
def test_the_correlation_map_by_default_is_that_of_q_star(activation, sigma_w, sigma_b):
    """There 1 is kept, with a slope of χ₁, or of 1 where q* is 0 or infinite: tanh is a line at 0."""
    there = ik.phase(activation, sigma_w, sigma_b)
    c = theory.correlation_map(activation, [1 - 1e-6, 1], sigma_w, sigma_b)
    assert c[1] == pytest.approx(1, abs=1e-14)
    slope = there.chi_1 if 0 < there.q_star < np.inf else 1
    assert (1 - c[0]) / 1e-6 == pytest.approx(slope, rel=1e-3)


def test_moments_of_slopes():
    for q in (0.3, 4.0):
        exact = [activations.expectation(lambda z: np.cosh(q**0.5 * z) ** -k) for k in (4, 8)]  # noqa: B023
        assert theory.slope_moments("tanh", q) == pytest.approx(exact, rel=1e-6)
    a, b = theory.slope_moments(("leaky_relu", 0.5), [1.0, 2.0])
    assert (a.tolist(), b.tolist()) == ([0.625] * 2, [0.53125] * 2)


# Finite width ---------------------------------------------------------------------------------------


def test_lengths_of_one_and_two_units_are_integrals():
    """One unit: M = 2z², z > 0. Two under an orthogonal W: M = 2(relu(cos φ)² + relu(sin φ)²), φ uniform."""
    one = theory.log_length([1])
    log = lambda z: np.log(2 * z * z)  # noqa: E731
    assert one.mean == pytest.approx(activations.expectation(log), abs=1e-3)
    assert one.mean**2 + one.variance == pytest.approx(activations.expectation(log, 2), rel=2e-3)
    assert (one.second_moment, one.dead) == (pytest.approx(6), 0.5)
    two = theory.log_length([2], weights="orthogonal")
    # On a third of the alive quarters log M = log 2, on two log(2cos²φ), whose integrals are known.
    mean, square = -2 * np.log(2), np.pi**2 / 3 + 4 * np.log(2) ** 2  # of log cos²φ, φ in a quarter
    logs = np.log(2) + 2 / 3 * mean
    assert two.mean == pytest.approx(logs)
    assert two.variance == pytest.approx(2 / 3 * square - (2 / 3 * mean) ** 2)
    assert (two.second_moment, two.dead) == pytest.approx((1 + 3 / 4, 0.25))


def test_lengths_of_layers_add_up():
    wide, narrow = theory.log_length([50] * 3), theory.log_length([7] * 2)
    both = theory.log_length([50, 7, 50, 7, 50])
    assert both.mean == pytest.approx(wide.mean + narrow.mean)
    assert both.variance == pytest.approx(wide.variance + narrow.variance)
    assert both.second_moment == pytest.approx((1 + 5 / 50) ** 3 * (1 + 5 / 7) ** 2)
    assert 1 - both.dead == pytest.approx((1 - 2.0**-50) ** 3 * (1 - 2.0**-7) ** 2)
    assert theory.log_length([50] * 3, "identity").second_moment == pytest.approx((1 + 2 / 50) ** 3)
    assert theory.log_length([50] * 3, "relu", "orthogonal").second_moment == pytest.approx((1 + 3 / 52) ** 3)
    assert theory.log_length([9] * 4, "identity", "orthogonal") == theory.LogLength(0, 0, 1, 0)


def test_lengths_of_wide_nets_are_those_of_first_order():
    """Var log M → 5Σ1/n and E log M → −(5/2)Σ1/n; also the variance that ``predict`` draws its band from."""
    law = theory.log_length([2000] * 10)
    beta = theory.width_sum([2000] * 10)
    assert beta == pytest.approx(0.005)
    assert (law.mean, law.variance) == (
        pytest.approx(-2.5 * beta, rel=2e-3),
        pytest.approx(5 * beta, rel=2e-3),
    )
    band = np.log(ik.predict(11, 2000, "relu", 2**0.5).q_band[-1])
    assert (band[1] - band[0]) / 2 / 1.96 == pytest.approx(np.sqrt(law.variance + 2 / 2000), rel=2e-3)
