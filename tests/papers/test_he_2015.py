"""He, Zhang, Ren & Sun 2015, *Delving Deep into Rectifiers* (arXiv 1502.01852)."""

import functools

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()


def test_model_b_under_std_001(claim):
    """Section 2.2: of a gradient that goes back from conv10 to conv2 of model B, std 0.01 leaves
    1/(5.9 · 4.2² · 2.9² · 2.1⁴) of what their rule √(2/n̂_l) gives; n̂_l = 3²·d_l."""
    product = 1.0
    for filters, theirs, layers in ((64, 0.059, 1), (128, 0.042, 2), (256, 0.029, 2), (512, 0.021, 4)):
        kernel = ik.he_normal((filters, filters, 3, 3), mode="fan_out", rng=0, dtype=np.float64)
        n = kernel.size  # 6 standard errors of a standard deviation, and the paper's rounding
        claim(
            f"section 2.2: std of a 3×3 layer of {filters} filters",
            theirs,
            kernel.std(),
            0.0005 + 6 * theirs / (2 * n) ** 0.5,
        )
        product *= (ik.gain("relu") / np.sqrt(ik.fans(kernel.shape).fan_out) / 0.01) ** layers
    claim("section 2.2: std 0.01 shrinks the gradient conv10 → conv2 by", 1.7e4, product, 0.05e4)


@pytest.fixture(scope="module")
def of_gain_1():
    init = functools.partial(ik.he_normal, gain=1.0)
    return ik.MLP([64, *[2000] * 29, 10], "identity", init, rng=0)


@pytest.mark.parametrize("activation", ["relu", ("leaky_relu", 0.25)])
def test_sufficient_condition_keeps_the_signal(claim, of_gain_1, activation):
    """Eq. 10 and 15: with ½(1 + a²)·n_l·Var[w_l] = 1 the variance neither grows nor fades over 30 layers.

    Width 2,000; each layer's mean square has a relative spread of about √(5/2000) = 5 %, which adds up to
    27 % over 30 layers: the bounds are 4 of those, fewer than 1 false alarm in 10,000 seeds.
    """
    net = ik.network.scaled(of_gain_1, ik.gain(activation), activation)
    q = ik.measure(net, DATA.x_train[:50]).q
    name = ik.activations.get(activation).name
    claim(f"eq. 10, 15: forward variance, layer 29 over layer 1, {name}", "1", q[-2] / q[0], (1 / 3, 3))


def test_xavier_halves_the_signal_of_relu_a_layer(claim):
    """Section 2.2: forward variance at depth L under Xavier is 2^−L of He's (same draws: exactly)."""
    nets = [ik.MLP([64, *[64] * 20, 64], "relu", init, rng=0) for init in ("xavier_normal", "he_normal")]
    xavier, he = (ik.measure(net, DATA.x_train[:50]).q for net in nets)
    np.testing.assert_allclose(xavier / he, 0.5 ** np.arange(1, 22), rtol=1e-4)
    claim(
        "section 2.2: log₂ of Xavier's forward variance over He's, 21 layers",
        -21,
        np.log2(xavier / he)[-1],
        1e-3,
    )


@pytest.mark.slow
def test_thirty_layers_he_trains_and_xavier_stalls(claim):
    """Figure 3, as an MLP analogue on the digits: 30 layers of 128, lr 0.01, 12 epochs, two seeds.

    Stalled is a loss that is still ln 10, which is guessing, to one part in a hundred. (The accuracy then
    is the share of whichever digits the biases favour, 0.1 to 0.23: it says less.) He's net is judged by its
    best epoch: its accuracy jumps from one epoch to the next, by rounding too.
    """
    history = {
        init: [
            ik.train(ik.MLP([64, *[128] * 29, 10], "relu", init, rng=s), DATA, lr=0.01, epochs=12, rng=s)
            for s in range(2)
        ]
        for init in ("xavier_normal", "he_normal")
    }
    loss = [h.train_loss[-1] for h in history["xavier_normal"]]
    accuracy = [h.test_accuracy.max() for h in history["he_normal"]]
    shown = lambda values: ", ".join(f"{value:.2f}" for value in values)  # noqa: E731
    why = (
        "an analogue: 30 fully connected layers on 8 × 8 digits, not convolutions on ImageNet; by seed, loss "
        f"{shown(loss)} (Xavier), best accuracy {shown(accuracy)} (He)"
    )
    furthest = max(loss, key=lambda value: abs(value - np.log(10)))
    claim(
        "figure 3: Xavier's training loss over ln 10, the further of 2 seeds",
        "stalls",
        furthest / np.log(10),
        (0.99, 1.01),
        why,
    )
    claim(
        "figure 3: He's test accuracy in the best of 12 epochs, the worse of 2 seeds",
        "converges",
        min(accuracy),
        (0.5, np.inf),
        why,
    )


def test_a_shallower_net_trains_from_both_and_he_leads(claim):
    """Figure 2, as the same analogue, 8 layers: both starts converge, He's earlier. Three seeds, each until
    the loss is below 0.5."""

    def epochs(init, seed):
        net = ik.MLP([64, *[128] * 7, 10], "relu", init, rng=seed)
        steps = ik.training.iterate(net, DATA, lr=0.03, epochs=12, rng=seed)
        return next((e for e, h in enumerate(steps) if h.train_loss[-1] < 0.5), np.inf)

    xavier, he = ([epochs(init, seed) for seed in range(3)] for init in ("xavier_normal", "he_normal"))
    why = (
        "an analogue: 8 fully connected layers on digits, where the paper has 22 layers on ImageNet; "
        f"by seed: {xavier} (Xavier), {he} (He)"
    )
    what = "figure 2: epochs until the training loss is below 0.5"
    claim(f"{what}, Xavier, the slowest of 3 seeds", "converges", max(xavier), (1, 12), why)
    claim(
        f"{what}, He minus Xavier, mean of 3 seeds",
        "He is earlier",
        np.mean(he) - np.mean(xavier),
        (-12, -1),
        why,
    )
