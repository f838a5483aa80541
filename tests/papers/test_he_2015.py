"""He, Zhang, Ren & Sun 2015, *Delving Deep into Rectifiers* (arXiv 1502.01852)."""

import numpy as np
import pytest

import initkit as ik

DATA = ik.datasets.digits()


@pytest.mark.parametrize("activation", ["relu", ("leaky_relu", 0.25)])
def test_sufficient_condition_keeps_the_signal(activation):
    """Eq. 10 and 15: with ½(1 + a²)·n_l·Var[w_l] = 1 the variance neither grows nor fades over 30 layers.

    Width 2,000; each layer's mean square has a relative spread of about √(5/2000) = 5 %, which adds up to
    27 % over 30 layers: the bounds are 4 of those, fewer than 1 false alarm in 10,000 seeds.
    """
    init = lambda shape, *, rng, dtype: ik.he_normal(shape, activation, rng=rng, dtype=dtype)  # noqa: E731
    net = ik.MLP([64, *[2000] * 29, 10], activation, init, rng=0)
    q = ik.measure(net, DATA.x_train[:50]).q
    assert 1 / 3 < q[-2] / q[0] < 3


@pytest.mark.parametrize("seed", range(3))
def test_thirty_layers_he_trains_and_xavier_stalls(seed):
    """Figure 3, as an MLP analogue on the digits: 30 layers of 128, lr 0.01, 12 epochs.

    Stalled is a loss that is still ln 10, which is guessing, to one part in a thousand. (The accuracy then
    is the share of whichever digits the biases favour, 0.1 to 0.23: it says less.)
    """
    history = {}
    for init in ("xavier_normal", "he_normal"):
        net = ik.MLP([64, *[128] * 29, 10], "relu", init, rng=seed)
        history[init] = ik.train(net, DATA, lr=0.01, epochs=12, rng=seed)
    assert history["xavier_normal"].train_loss[-1] == pytest.approx(np.log(10), rel=1e-3)
    assert history["he_normal"].test_accuracy[-1] > 0.6


def test_xavier_halves_the_signal_of_relu_a_layer():
    """Section 2.2: forward variance at depth L under Xavier is 2^−L of He's (same draws: exactly)."""
    nets = [ik.MLP([64, *[64] * 20, 64], "relu", init, rng=0) for init in ("xavier_normal", "he_normal")]
    xavier, he = (ik.measure(net, DATA.x_train[:50]).q for net in nets)
    np.testing.assert_allclose(xavier / he, 0.5 ** np.arange(1, 22), rtol=1e-4)
