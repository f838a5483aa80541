"""Glorot & Bengio 2010, *Understanding the difficulty of training deep feedforward neural networks*.

Five hidden tanh layers of 1,000 units, as in the paper; real digits for its images. "Standard" is
U[±1/√n] (eq. 1), "normalized" U[±√6/√(n_in + n_out)] (eq. 16), which is ``xavier_uniform``.
"""

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()
X, Y = DATA.x_train[:200], DATA.y_train[:200]
WIDTHS = [64, *[1000] * 5, 10]


def standard(shape, *, rng, dtype):
    bound = shape[1] ** -0.5
    return ik.uniform(shape, -bound, bound, rng=rng, dtype=dtype)


INITS = {"standard": standard, "normalized": "xavier_uniform"}


@pytest.fixture(scope="module")
def nets():
    return {name: ik.MLP(WIDTHS, "tanh", init, rng=0) for name, init in INITS.items()}


@pytest.fixture(scope="module")
def seen(nets):
    return {name: ik.measure(net, X, Y) for name, net in nets.items()}


@pytest.fixture(scope="module")
def linear():
    """Inputs so small that tanh is linear, which is the paper's assumption (section 4.2.1)."""
    return {
        name: ik.measure(ik.MLP([1000] * 7, "tanh", init, rng=0), X[:, :1].repeat(1000, 1) * 1e-3, Y)
        for name, init in INITS.items()
    }


def test_variance_of_the_standard_start(claim):
    """Eq. 15. A million draws: six standard errors of the variance are 0.0018."""
    w = standard((1000, 1000), rng=0, dtype=np.float64)
    claim("eq. 15: n·Var[W] of U[±1/√n]", 1 / 3, 1000 * w.var(), 0.0018)


def test_backpropagated_variance(claim, linear):
    """Eq. 13. A layer of 1,000 units adds a relative spread of √(2/1000) = 4.5 %; five of them 10 %, three
    standard errors of the fifth root are 6 %: 0.02 and 0.06."""
    for name, theirs, within in (("standard", 1 / 3, 0.02), ("normalized", 1.0, 0.06)):
        g = linear[name].grad_var
        factor = (g[0] / g[5]) ** 0.2
        claim(f"eq. 13: factor a layer of the back-propagated variance, {name}", theirs, factor, within)
        q = linear[name].q
        factor = (q[5] / q[0]) ** 0.2
        claim(f"eq. 5: factor a layer of the forward variance, {name}", theirs, factor, within)


def weight_gradient_variance(net, x, y):
    """Mean square of ∂ℓ/∂w of one example, over weights and examples, of the layers 1000 → 1000."""
    trace = net.trace(x)
    deltas = net.deltas(ik.signals.softmax_cross_entropy(trace.pre[-1], y)[1], trace)
    square = lambda a: np.square(a, dtype=np.float64).mean(axis=1)  # noqa: E731
    return np.array([(square(d) * square(a)).mean() for d, a in zip(deltas, trace.inputs, strict=True)])[1:5]


def test_weight_gradients_do_not_depend_on_the_layer(claim, nets):
    """Eq. 14 and figure 8, with tanh as it is. Three layers apart, 3 standard errors are 0.25."""
    for name, within in (("standard", 0.3), ("normalized", 0.3)):
        variance = weight_gradient_variance(nets[name], X * 0.1, Y)
        claim(
            f"eq. 14, figure 8: variance of weight gradients, layer 5 over layer 2, {name}",
            1.0, variance[3] / variance[0], within,
        )  # fmt: skip


def test_widths_of_figures_6_and_7(claim, seen):
    """Activations and back-propagated gradients: their spread, first hidden layer to last.

    The paper draws them and gives no numbers. What eq. 5 and 13 say of a linear net bounds them.
    """
    why = "figures without numbers; digits for the paper's images"
    spread = {name: np.sqrt(s.activation_var[4] / s.activation_var[0]) for name, s in seen.items()}
    what = "figure 6: std of activations, layer 5 over layer 1"
    claim(f"{what}, standard", "shrinks", spread["standard"], (0, 0.2), why)
    claim(f"{what}, normalized", "about the same", spread["normalized"], (0.5, 1), why)
    back = {name: np.sqrt(s.grad_var[0] / s.grad_var[4]) for name, s in seen.items()}
    what = "figure 7: std of gradients, layer 1 over layer 5"
    claim(f"{what}, standard", "shrinks", back["standard"], (0, 0.2), why)
    claim(f"{what}, normalized", "about the same", back["normalized"], (0.6, 1.1), why)


def histograms(init, seed: int):
    """Shares in 41 bins, a row a hidden layer: of activations in [−1, 1], and of gradients from the last
    layer to the first, in ± 3 standard deviations of the last, what lies beyond in the outermost bins."""
    net = ik.MLP(WIDTHS, "tanh", init, rng=seed)
    trace = net.trace(X)
    deltas = net.deltas(ik.signals.softmax_cross_entropy(trace.pre[-1], Y)[1], trace)[4::-1]

    def shares(layers, reach):
        bins = np.linspace(-reach, reach, 42)
        return np.array([np.histogram(np.clip(a, -reach, reach), bins)[0] / a.size for a in layers])

    return shares(trace.inputs[1:6], 1.0), shares(deltas, 3 * float(deltas[0].std()))


def test_histograms_of_figures_6_and_7(claim):
    """Three seeds. Under the standard start a layer is 1/√3 as wide as the one before, in either direction,
    so that the peak at 0 grows by up to √3 = 1.7 a layer in the linear range, and by more from the layers
    next to input and output. Under the normalized start the first and the last layer's histograms have most
    of their mass in common: the total variation distance is what they have not."""
    seeds = range(3)
    found = {name: [histograms(init, seed) for seed in seeds] for name, init in INITS.items()}
    for kind, (figure, of, direction) in enumerate(
        (
            ("figure 6", "activations", "from a layer to the next"),
            ("figure 7", "gradients", "from a layer to the one before"),
        )
    ):
        peaks = np.array([run[kind][:, 20] for run in found["standard"]])
        growth = peaks[:, 1:] / peaks[:, :-1]
        claim(
            f"{figure}: growth of the {of}' 0-peak {direction}, standard, the least of 3 seeds × 4 steps",
            "grows", growth.min(), (1.4, 3),
            "figures without numbers; digits for the paper's images; the peak by layer: "
            + ", ".join(f"{p:.2f}" for p in peaks.mean(axis=0)),
        )  # fmt: skip
        for name, theirs, within in (("standard", "apart", (0.7, 1)), ("normalized", "alike", (0, 0.35))):
            distance = np.array([np.abs(run[kind][0] - run[kind][-1]).sum() / 2 for run in found[name]])
            furthest = distance.min() if name == "standard" else distance.max()
            claim(
                f"{figure}: total variation distance of the {of}' histograms, layers 1 and 5, {name}, "
                f"the {'least' if name == 'standard' else 'most'} of 3 seeds",
                theirs, furthest, within, "by seed: " + ", ".join(f"{d:.2f}" for d in distance),
            )  # fmt: skip


def test_singular_values_of_a_layers_jacobian(claim, nets):
    """Section 4.2.2. Of a square matrix with n·Var[W] = v the singular values fill a quarter circle of
    radius 2√v, whose mean is 8√v/(3π); tanh's slopes below 1 pull the layer's own a little lower."""
    for name, theirs, law in (
        ("normalized", 0.8, 8 / (3 * np.pi)),
        ("standard", 0.5, 8 / (3 * np.pi * 3**0.5)),
    ):
        net = nets[name]
        weight = net.weights[2]
        mean = np.linalg.svd(weight, compute_uv=False).mean()
        claim(
            f"section 4.2.2, quarter-circle law: mean singular value of W, {name}",
            law,
            mean,
            0.005,
            "the reason behind the next line",
        )
        slope = net.activation.df(net.trace(X[:1]).pre[2])[0]
        mean = np.linalg.svd(slope[:, None] * weight, compute_uv=False).mean()
        claim(
            f"section 4.2.2: mean singular value of a layer's Jacobian, {name}",
            theirs,
            mean,
            0.1,
            "one digit in the paper",
        )


def test_table_1_in_its_order(claim):
    """Tanh with the normalized start learns better than with the standard one. Five seeds; widths of 100."""
    loss = {}
    for name, init in INITS.items():
        runs = [
            ik.train(
                ik.MLP([64, *[100] * 5, 10], "tanh", init, rng=s), DATA, lr=0.02, epochs=5, rng=s
            ).train_loss[-1]
            for s in range(5)
        ]
        loss[name] = np.array(runs)
    assert loss["normalized"].max() < loss["standard"].min()
    claim(
        "table 1: training loss on the digits after 5 epochs, normalized over standard (5 seeds, no overlap)",
        "better", loss["normalized"].mean() / loss["standard"].mean(), (0, 0.8),
        f"only the order can be shown: the paper's data are Shapeset and others; ours "
        f"{loss['normalized'].mean():.2f} ± {loss['normalized'].std():.2f} against "
        f"{loss['standard'].mean():.2f} ± {loss['standard'].std():.2f}",
    )  # fmt: skip
