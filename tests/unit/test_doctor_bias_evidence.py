"""What a layer's bias tells of its weight: training that the weight alone does not show."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import initkit as ik
from initkit.doctor import audit, identify
from initkit.doctor.bias_evidence import by_default, trained_by_bias
from initkit.doctor.checkpoints import Source
from initkit.doctor.identify import ALPHA
from initkit.doctor.scan import scan_array
from initkit.doctor.survey import bias_of
from initkit.words import LANGUAGES

DIGITS = ik.datasets.digits()


def saved(folder, tensors: dict):
    np.savez(folder / "net.npz", **tensors)
    return folder / "net.npz"


def named(net, weight="{}.weight", bias="{}.bias") -> dict:
    arrays = {}
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        arrays |= {weight.format(k): w, bias.format(k): b}
    return arrays


def trained(activation="relu", hidden=(128, 128), **how):
    net = ik.MLP([64, *hidden, 10], activation, "he_normal", rng=1)
    ik.train(net, DIGITS, **{"lr": 0.1, "epochs": 5, "rng": 0} | how)
    return net


def drawn(widths, std, rng, law="normal", weights="he_normal") -> dict:
    """A fresh net of mean-field theory: all biases of one law."""
    layers = {}
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        layers[f"{k}.weight"] = ik.get(weights)((n_out, n_in), rng=rng)
        layers[f"{k}.bias"] = {
            "normal": lambda n: rng.normal(0, std, n),
            "uniform": lambda n: rng.uniform(-std, std, n),
            "truncated": lambda n: ik.truncated_normal(n, std=std, rng=rng),
        }[law](n_out).astype(np.float32)
    return layers


def told(path) -> set:
    """The weights whose bias speaks against them."""
    return {t.name for t in audit(path).tensors if t.found.reason == "bias"}


def rounded(w):  # to bfloat16
    bits = w.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_the_weights_hide_the_biases_tell(tmp_path, activation, optimizer):
    net = trained(activation, lr=0.1 if optimizer == "sgd" else 0.001, optimizer=optimizer)
    assert "fresh" in {identify(w).verdict for w in net.weights}
    assert {"fresh", "fresh_unnamed", "too_few"} & {identify(b).verdict for b in net.biases}
    assert {t.found.verdict for t in audit(saved(tmp_path, named(net))).tensors} == {"not_fresh"}


def test_the_report_says_so(tmp_path):
    report = audit(saved(tmp_path, named(trained("tanh"))))
    for k, reason in enumerate(("bias", "biases")):
        row = report.tensors[k]
        assert (row.found.verdict, row.found.reason, row.found.matches) == ("not_fresh", reason, ())
        assert row.found.message("en") in " ".join(str(report).split())
        assert {"偏置" in row.found.message(lang) for lang in LANGUAGES} == {True, False}
        entry = json.loads(report.to_json())["tensors"][k]
        assert (entry["match"], entry["p_value"], entry["verdict"]) == (None, None, "not_fresh")


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ("fc.weight", "fc.bias"),
        ("weight", "bias"),
        ("attn.in_proj_weight", "attn.in_proj_bias"),
        ("rnn.weight_hh_l1_reverse", "rnn.bias_hh_l1_reverse"),
        ("params/Dense_0/kernel", "params/Dense_0/bias"),
        ("conv/weights", "conv/biases"),
        ("w", "b"),
        ("layer_W12", "layer_b12"),
        ("layers/dense/vars/0", "layers/dense/vars/1"),
        ("layers/dense/vars/1", None),
        ("fc.bias", None),
        ("raw", None),
        ("fc.weight_g", None),
    ],
)
def test_whose_bias(weight, bias):
    assert bias_of(weight) == bias


@pytest.mark.parametrize("names", [("W{}", "b{}"), ("Dense_{}/kernel", "Dense_{}/bias")])
@pytest.mark.parametrize("first", ["weight", "bias"])
def test_names_and_their_order(tmp_path, names, first):
    arrays = named(trained(), *names)
    arrays = dict(sorted(arrays.items(), key=lambda item: (item[1].ndim == 1) == (first == "weight")))
    assert told(saved(tmp_path, arrays)) >= {names[0].format(0), names[0].format(1)}


def test_in_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    for net, found in ((trained("tanh"), True), (ik.MLP([64, 128, 128, 10], "tanh", rng=1), False)):
        with h5py.File(tmp_path / "net.weights.h5", "w") as f:
            for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
                f[f"layers/dense_{k}/vars/0"], f[f"layers/dense_{k}/vars/1"] = w.T, b
        assert ("layers/dense_1/vars/0" in told(tmp_path / "net.weights.h5")) == found


@pytest.mark.parametrize("law", ["normal", "uniform", "truncated"])
@pytest.mark.parametrize("cast", [np.float32, np.float16, rounded], ids=["float32", "float16", "bfloat16"])
def test_a_fresh_net_of_mean_field_theory(tmp_path, law, cast):
    """Nine nets of six seeds in all: each a false alarm in at most one of 1,000 cases."""
    for seed, (widths, std) in enumerate([([64] * 31, 0.05), ([512, 8, 300], 3.0), ([9, 200, 40, 8], 0.3)]):
        layers = drawn(widths, std, np.random.default_rng(seed), law)
        assert told(saved(tmp_path, {name: cast(w) for name, w in layers.items()})) == set()


def alarm(rng) -> bool:
    """Is a fresh mean-field net, of any depth, widths, scale and law, called worn?"""
    widths = np.exp(rng.uniform(np.log(2), np.log(129), int(rng.integers(2, 13)))).astype(int)
    if rng.random() < 0.5:
        widths[:] = widths[0]
    law, std = ("normal", "uniform", "truncated")[rng.integers(3)], float(10 ** rng.uniform(-6, 1))
    layers = drawn(widths, std, rng, law, "zeros")  # the weights are not asked for what they are
    biases, shapes = {}, {}
    for k, (n_in, n_out) in enumerate(pairwise(widths.tolist())):
        shapes[str(k)] = (n_out, n_in)
        biases[str(k)] = scan_array(layers[f"{k}.bias"]), (n_in,)

    def read(names):
        for name in names:
            source = SimpleNamespace(name=name, layer=shapes[name], units_last=False, experts=1)
            yield source, scan_array(rng.standard_normal(shapes[name], np.float32))

    return bool(trained_by_bias(biases, read))


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_said():
    """500 fresh nets, at most 0.1 % of them called worn: 5 or more less than once in 5,000 runs."""
    rng = np.random.default_rng(0)
    assert sum(alarm(rng) for _ in range(500)) < 5
    assert ALPHA == 0.001


def test_pytorchs_biases_are_fresh():
    """2,000 of 2 to 300 entries, by a fan of 1 to 1,000: 9 or more less than once in 4,000 runs."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        fan, n = int(np.exp(rng.uniform(0, 7))), int(rng.integers(2, 300))
        bias = rng.uniform(-(fan**-0.5), fan**-0.5, n).astype(np.float32)
        alarms += bool(trained_by_bias({"fc.weight": (scan_array(bias), (fan,))}, lambda names: ()))
    assert alarms < 9


def test_a_fresh_head_on_a_frozen_backbone(tmp_path):
    layers = named(trained())
    for bias in (ik.zeros(50), ik.torch_default(50, fan_in=128, rng=0)):
        layers |= {"head.weight": ik.he_normal((50, 128), rng=0), "head.bias": bias}
        assert told(saved(tmp_path, layers)) >= {"0.weight", "1.weight"}
        assert "head.weight" not in told(tmp_path / "net.npz")


def test_what_has_not_moved_is_called_what_it_is(tmp_path):
    """Weights of 0 or 1 learn nothing beside a bias that learns."""
    bias = np.random.default_rng(0).normal(0.1, 0.05, 60)
    layers = {"0.weight": ik.zeros((60, 30)), "1.weight": ik.orthogonal((60, 60), rng=0)}
    layers |= {f"{name[0]}.bias": bias for name in layers}
    report = audit(saved(tmp_path, layers))
    schemes = [t.found.matches[0].scheme for t in report.tensors if t.fan_in]
    assert schemes == ["zeros", "orthogonal"]
    assert [t.found.verdict for t in report.tensors if not t.fan_in] == ["not_fresh"] * 2
    assert [f.kind for f in report.findings] == ["all_zero"]
    layers["2.weight"], layers["2.bias"] = ik.he_normal((60, 60), rng=0), bias + 0.01
    assert told(saved(tmp_path, layers)) == {"2.weight"}


ONE = {
    "zeros": (lambda rng: np.zeros(80), False),
    "set to a number": (lambda rng: np.full(80, -4.6), False),
    "drawn": (lambda rng: rng.normal(0, 0.3, 80), False),
    "of another mean": (lambda rng: rng.normal(0.05, 0.06, 80), True),
    "of a mean that is 0": (lambda rng: (b := rng.normal(0, 0.05, 80)) - b.mean(), True),
    "PyTorch's, of a mean that is 0": (lambda rng: (b := rng.uniform(-0.09, 0.09, 80)) - b.mean(), True),
    "of no known law": (lambda rng: rng.standard_t(1.2, 80) * 0.01, True),
    "dead in part": (lambda rng: rng.normal(0, 0.05, 80) * (np.arange(80) % 2), True),
    "not finite in part": (lambda rng: np.where(np.arange(80) % 2, np.nan, rng.normal(0, 0.05, 80)), False),
    "too large to be squared": (lambda rng: rng.normal(1e200, 1e199, 80), False),
    "opposite": (lambda rng: np.array([0.3, -0.3]), True),
    "opposite as they are rounded": (lambda rng: rounded(np.array([0.3, -0.3])), False),
    "one entry": (lambda rng: np.array([0.3]), False),
}  # fmt: skip


@pytest.mark.parametrize("kind", ONE)
def test_one_bias_alone(tmp_path, kind):
    make, found = ONE[kind]
    bias = make(np.random.default_rng(0))
    layers = {"w": ik.he_normal((len(bias), 100), rng=0), "b": bias}
    assert told(saved(tmp_path, layers)) == ({"w"} if found else set())


def test_biases_of_two_scales_were_not_drawn_together(tmp_path):
    rng = np.random.default_rng(0)
    layers = drawn([60, 80, 90, 70], 0.1, rng)
    assert told(saved(tmp_path, layers)) == set()
    layers["1.bias"] /= 2
    assert told(saved(tmp_path, layers)) == {"0.weight", "1.weight", "2.weight"}


def test_a_moving_average_of_a_fresh_net_is_its_copy(tmp_path):
    """Its biases say nothing new: taken for others, they would be a third time too alike."""
    for seed in range(3):
        net = drawn([20, 40, 12, 30, 9, 25], 0.1, np.random.default_rng(seed))
        copies = {f"{k}.{name}": w for k in range(16) for name, w in net.items()}
        assert told(saved(tmp_path, copies)) == set()


@pytest.mark.parametrize(
    "shape", [(90, 70), (40, 30, 3, 3), pytest.param((600, 520), marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("units_last", [False, True])
@pytest.mark.parametrize("before", [True, False])
def test_a_bias_that_came_back_through_the_weights(tmp_path, shape, units_last, before):
    """Normal, of one scale: only together with the weights between them it shows that they learned."""
    rng = np.random.default_rng(0)
    n_out, n_in = shape[:2]
    w, b = ik.he_normal(shape, rng=rng), rng.standard_normal(n_out) * 0.1
    back = b @ w.reshape(n_out, n_in, -1).sum(axis=2)
    for learned in (True, False):
        first = (back if learned else rng.permutation(back)) * 0.1 / back.std()
        layers = [(ik.he_normal((n_in, 50), rng=rng), first), (w, b)]
        found = {"vars/0"} if units_last else {"weight"}
        found = {f"{k}/{name}" for k in range(2) for name in found} if learned else set()
        layers = list(enumerate(layers)) if before else list(enumerate(layers))[::-1]
        if units_last:
            h5py = pytest.importorskip("h5py")
            with h5py.File(tmp_path / "net.weights.h5", "w", track_order=True) as f:
                for k, (w_k, b_k) in layers:
                    turned = w_k.T if w_k.ndim == 2 else w_k.transpose(2, 3, 1, 0)
                    f[f"{k}/vars/0"], f[f"{k}/vars/1"] = np.ascontiguousarray(turned), b_k
            assert told(tmp_path / "net.weights.h5") == found
        else:
            arrays = {f"{k}/weight": w_k for k, (w_k, _) in layers} | {
                f"{k}/bias": b_k for k, (_, b_k) in layers
            }
            assert told(saved(tmp_path, arrays)) == found


def test_weights_are_read_again_only_where_biases_are_drawn(tmp_path, monkeypatch):
    count, scan = [], Source.scan
    monkeypatch.setattr(Source, "scan", lambda source: count.append(source.name) or scan(source))
    fresh = ik.MLP([9, 40, 30], rng=0)
    for arrays, times in ((named(fresh), 1), (drawn([9, 40, 30], 0.1, np.random.default_rng(0)), 2)):
        count.clear()
        audit(saved(tmp_path, arrays))
        assert {name: count.count(name) for name in arrays} == {
            name: times if name.endswith("weight") else 1 for name in arrays
        }


def _forget(net):
    for name in ("bias_ih_l0", "bias_hh_l1"):
        getattr(net, name).data[32:64] = 1  # so that an LSTM of 32 units forgets less at first
    return net


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_fresh_modules_of_pytorch(tmp_path, dtype):
    """Each of some 130 weights is a false alarm in at most one of 1,000 cases."""
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(96, 4, 200, batch_first=True)
    models = [
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 100), nn.ReLU(), nn.Linear(100, 10)),
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=2)),
        nn.Sequential(nn.ConvTranspose2d(16, 24, 3), nn.Conv1d(24, 30, 1), nn.LayerNorm((4, 8))),
        nn.TransformerEncoder(layer, 3),
        nn.MultiheadAttention(64, 4),
        nn.LSTM(40, 96, 2, bidirectional=True),
        nn.GRU(13, 7, 2),
        nn.RNN(20, 50),
        _forget(nn.LSTM(20, 32, 2)),
    ]
    normal = nn.Sequential(*(nn.Linear(70, 70) for _ in range(5)))
    for m in normal:  # biases are often left as they are
        nn.init.kaiming_normal_(m.weight)
    for model in (*models, normal):
        torch.save(
            {k: t.to(getattr(torch, dtype)) for k, t in model.state_dict().items()}, tmp_path / "net.pt"
        )
        assert told(tmp_path / "net.pt") == set()


def test_a_rounded_bound_of_a_recurrent_layer():
    """1/√40 and 1/√160 are rounded up: with no room for that no draw of PyTorch's would reach so far."""
    rng, biases = np.random.default_rng(0), {}
    for k, hidden in enumerate([40, 160]):
        bias = rng.uniform(-1, 1, 4 * hidden) * hidden**-0.5
        bias[0], bias[hidden : 2 * hidden] = hidden**-0.5, 1
        biases[f"rnn{k}.weight_ih_l0"] = scan_array(rounded(bias)), (hidden,)
        assert rounded(bias)[0] > hidden**-0.5
    assert trained_by_bias(biases, lambda names: ()) == set()


def test_the_coarsest_rounding_of_a_file_counts():
    """Two entries that are opposite as they are rounded; then a gate that was set, in more digits."""
    gates = np.random.default_rng(0).normal(0, 0.3, 160)
    gates[40:80] = 1
    biases = {"fc.weight": (scan_array(rounded(np.array([0.3, -0.3]))), ())}
    biases["rnn.weight_ih_l0"] = scan_array(gates), (40,)
    assert trained_by_bias(biases, lambda names: ()) == set()


def test_a_recurrent_bias_before_its_weight(tmp_path):
    """As a file's names may be sorted: the layer's fan is still the hidden size, 50, not the weight's 9."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(-1, 1, 150) * 50**-0.5 for name in ("gru.bias_ih_l0", "gru.bias_hh_l0")}
    arrays["gru.weight_ih_l0"] = rng.uniform(-1, 1, (150, 9)) * 50**-0.5
    rows = audit(saved(tmp_path, arrays)).tensors
    assert all("torch_default(fan_in=50)" in map(str, row.found.matches) for row in rows)


def test_a_trained_recurrent_layer_of_pytorch(tmp_path):
    """Its weights as they were, each gate's bias moved."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = _forget(torch.nn.LSTM(20, 32, 2))
    net.bias_ih_l0.data += torch.randn(128) * 0.2
    torch.save(net.state_dict(), tmp_path / "net.pt")
    assert told(tmp_path / "net.pt") == {"weight_ih_l0"}


def test_a_bias_whose_squares_are_lost_is_no_default():
    assert not by_default(scan_array(ik.uniform(64, -1, 1, rng=0, dtype=np.float64) * 1e-170), (64,))
    assert by_default(scan_array(ik.torch_default(64, fan_in=64, rng=0)), (64,))
