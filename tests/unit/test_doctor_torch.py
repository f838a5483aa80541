"""``diagnose`` and ``apply`` on PyTorch modules: what they find, what they change, and what they must not."""

import contextlib
import copy
import functools
import itertools
import json
import math
import pickle
import random
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from torch import nn  # noqa: E402

import initkit as ik  # noqa: E402
import initkit.doctor  # noqa: E402 - the lines that findings propose name it
from initkit.doctor import apply, diagnose  # noqa: E402
from initkit.doctor.torch_apply import applied  # noqa: E402
from initkit.doctor.torch_plain import BETWEEN  # noqa: E402
from initkit.doctor.torch_watch import Watch, floats_in  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def mlp(draw=None, activation=nn.ReLU, depth=30, width=100):
    widths = [64, *[width] * depth]
    layers = [m for n, k in itertools.pairwise(widths) for m in (nn.Linear(n, k), activation())]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    for m in model:
        if draw is not None and isinstance(m, nn.Linear):
            draw(m.weight)
            nn.init.zeros_(m.bias)
    return model


def he(w):
    nn.init.kaiming_normal_(w, nonlinearity="relu")


def batch(n=64, *shape):
    return torch.randn(n, *(shape or (64,)), generator=torch.Generator().manual_seed(1))


LABELS = torch.arange(64) % 10


def kinds(report):
    return [f.kind for f in report.findings]


def mend(report, model):
    """Run the lines that the report proposes."""
    for code in {f.code for f in report.findings}:
        exec(code, {"model": model, "torch": torch, "initkit": ik})


class Functional(nn.Module):
    def __init__(self, function, depth=20):
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(depth)])

    def forward(self, x):
        for layer in self.layers:
            x = self.function(layer(x))
        return x


def convnet():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 10),
    )  # fmt: skip


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 3)


# What is measured ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_signals_are_those_of_measure(activation):
    """The same weights in an initkit MLP, whose ``measure`` and ``predict_for`` are tested by themselves."""
    module = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[activation]
    model = mlp(he, module, depth=8).double()
    net = ik.MLP([64, *[100] * 8, 10], activation, "zeros", dtype=np.float64)
    net.weights = [m.weight.detach().numpy() for m in model if isinstance(m, nn.Linear)]
    x = batch().double()
    report = diagnose(model, x, LABELS)
    wanted = ik.measure(net, x.numpy(), LABELS.numpy())
    for name in ("q", "activation_mean", "activation_var", "correlation", "grad_var"):
        np.testing.assert_allclose(
            getattr(report.signals, name), getattr(wanted, name), rtol=1e-7, err_msg=name
        )
    for name in ("saturated", "dead"):  # of the last layer, nothing is said
        np.testing.assert_allclose(
            getattr(report.signals, name), [*getattr(wanted, name)[:-1], np.nan], err_msg=name
        )
    theory = ik.predict_for(net, x.numpy(), LABELS.numpy())
    np.testing.assert_allclose(report.predicted.q, theory.q, rtol=1e-7)
    np.testing.assert_allclose(report.predicted.grad_var, theory.grad_var, rtol=1e-7)
    assert report.layers == tuple(str(k) for k in range(0, 17, 2))


def test_functional_activations_are_seen_as_modules_are():
    by_module, by_function = mlp(he, depth=5, width=64), Functional(torch.relu, depth=6)
    for a, b in zip(
        [m for m in by_module if isinstance(m, nn.Linear)][:-1], by_function.layers, strict=False
    ):
        b.load_state_dict(a.state_dict())
    ours, theirs = (diagnose(m, batch()).signals for m in (by_module, by_function))
    np.testing.assert_array_equal(ours.saturated[:5], theirs.saturated[:5])
    np.testing.assert_array_equal(ours.activation_var[:5], theirs.activation_var[:5])


def test_what_goes_into_two_calls_is_followed_by_no_activation():
    """x·σ(x) is no sigmoid, and x + relu(x) no ReLU."""
    for function in (lambda z: z * torch.sigmoid(z), lambda z: z + torch.relu(z)):
        report = diagnose(Functional(function), batch())
        assert np.isnan(report.signals.saturated).all()
        assert report.predicted is None
    assert "scheme_activation_mismatch" not in kinds(report)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_activation_in_place_is_measured_before_it_writes(dtype):
    copying, writing = (mlp(he, lambda w=w: nn.SiLU(inplace=w), depth=6) for w in (False, True))
    writing.load_state_dict(copying.state_dict())
    ours, theirs = (diagnose(m.to(dtype), batch().to(dtype), LABELS) for m in (copying, writing))
    assert ours.to_json() == theirs.to_json()
    np.testing.assert_array_equal(ours.signals.saturated, theirs.signals.saturated)
    np.testing.assert_array_equal(ours.signals.activation_mean, theirs.signals.activation_mean)


def test_the_loss_may_be_labels_or_a_mean_over_the_batch():
    model = mlp(he, depth=4)
    labels = diagnose(model, batch(), LABELS).signals.grad_var
    mean = diagnose(model, batch(), lambda y: nn.functional.cross_entropy(y, LABELS)).signals.grad_var
    np.testing.assert_allclose(labels, mean, rtol=1e-4)


def test_labels_may_be_probabilities():
    model, hard = mlp(he), nn.functional.one_hot(LABELS, 10)
    as_classes, as_rows = (diagnose(model, batch(), loss).signals for loss in (LABELS, hard.float()))
    np.testing.assert_allclose(as_rows.grad_var, as_classes.grad_var, 1e-5)
    assert not diagnose(model, batch(), 0.9 * hard + 0.01).findings


def test_without_a_loss_the_way_back_starts_at_variance_1_and_is_the_same_every_time():
    model = mlp(he, depth=4)
    first, second = (diagnose(model, batch()).signals.grad_var for _ in range(2))
    assert 0.8 < first[-1] < 1.25
    np.testing.assert_array_equal(first, second)


def test_frozen_parameters_hide_no_gradient():
    model = mlp(he, depth=4)
    free = diagnose(model, batch(), LABELS)
    model.requires_grad_(False)
    with torch.no_grad():
        frozen = diagnose(model, batch(), LABELS)
    assert [note.kind for note in frozen.notes] == ["frozen"]
    assert free.to_json() == replace(frozen, notes=()).to_json()


@pytest.mark.parametrize("training", [True, False])
def test_a_transformer_in_either_mode(training):
    """In eval mode PyTorch runs a whole encoder layer at once, past every hook, unless it is watched."""
    model = encoder().train(training).requires_grad_(training)
    report = diagnose(model, batch(8, 10, 64))
    parts = ("self_attn", "norm1", "linear1", "linear2", "norm2")
    assert report.layers == tuple(f"layers.{k}.{part}" for k in range(3) for part in parts)
    assert np.isfinite(report.signals.q).all()
    assert (report.signals.grad_var > 0).all()
    assert np.isfinite(report.signals.saturated[2::5]).all()  # linear1, whose relu is a function
    assert report.predicted is None
    # nn.TransformerEncoder copies its layer, as its documentation warns.
    assert kinds(report) == ["identical_layers"] * training
    assert {t.found.verdict for t in report.tensors} <= {"fresh", "too_few"}  # biases of 64 entries
    found = {t.name: t.found.matches[0].scheme for t in report.tensors if t.found.matches}
    for k in range(3):
        assert found[f"layers.{k}.self_attn.in_proj_weight"] == "xavier_uniform"
        assert found[f"layers.{k}.linear1.weight"] == found[f"layers.{k}.linear2.weight"] == "torch_default"
        assert found[f"layers.{k}.norm1.weight"] == "ones"


def test_a_convnet_is_healthy_and_named():
    report = diagnose(convnet(), batch(16, 3, 16, 16), LABELS[:16])
    assert not report.findings
    assert report.layers == ("0", "1", "4", "5", "10")
    found = {t.name: [m.scheme for m in t.found.matches] for t in report.tensors}
    assert all("torch_default" in found[f"{k}.weight"] for k in (0, 4, 10))
    assert {t.found.verdict for t in report.tensors if t.name in ("0.bias", "4.bias", "10.bias")} == {
        "too_few"
    }
    np.testing.assert_allclose(report.signals.q[[1, 3]], 1, atol=0.01)  # batch norm


def test_a_gru_is_in_the_table_and_its_layer_is_looked_at():
    report = diagnose(nn.GRU(16, 32), batch(5, 3, 16))
    assert report.layers == ("l0",)
    assert report.coverage.judged == ("GRU",)
    assert [t.name for t in report.tensors] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert [str(t.found.matches[0]) for t in report.tensors[:2]] == [
        "torch_default(fan_in=32)",
        "torch_default()",
    ]
    assert [t.found.verdict for t in report.tensors[2:]] == ["too_few"] * 2  # 96 entries each


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_units_is_passed_over():
    report = diagnose(nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3)), batch(5, 4))
    assert report.layers == ("1",)
    assert [t.name for t in report.tensors] == ["1.bias"]


def test_a_layer_that_runs_twice_has_two_entries():
    layer = nn.Linear(8, 8)
    report = diagnose(nn.Sequential(layer, nn.ReLU(), layer), batch(5, 8))
    assert report.layers == ("0", "0")
    assert [t.name for t in report.tensors] == ["0.weight", "0.bias"]
    assert report.predicted is None  # its weights are not independent


# What is found ---------------------------------------------------------------------------------------


def test_xavier_under_relu_vanishes_and_the_line_mends_it():
    model = mlp(nn.init.xavier_normal_)
    report = diagnose(model, batch(), LABELS)
    assert kinds(report) == ["signal_vanishes", "gradient_vanishes", "scheme_activation_mismatch"]
    signal = report.findings[0]
    assert signal.fields["first"] == 1
    assert 0.68 < float(signal.fields["factor"]) < 0.74  # √½ a layer
    assert signal.message("en").endswith("relu after xavier_normal()")
    assert signal.remedy("en") == "he_normal() keeps them"
    assert report.findings[2].fields["wanted"] == "1.41"
    mend(report, model)
    assert not diagnose(model, batch(), LABELS).findings


def test_pytorchs_default_under_relu():
    model = mlp()
    report = diagnose(model, batch(), LABELS)
    assert {"gradient_vanishes", "scheme_activation_mismatch"} <= set(kinds(report))
    assert report.findings[-1].fields == {"gain": "0.577", "activation": "relu", "wanted": "1.41"}
    assert report.findings[0].fields["scheme"] == "torch_default()"
    mend(replace(report, findings=report.findings[-1:]), model)
    assert not diagnose(model, batch(), LABELS).findings


@pytest.mark.parametrize("seed", range(5))
def test_he_under_relu_is_healthy(seed):
    torch.manual_seed(seed)
    assert not diagnose(mlp(he), batch(), LABELS).findings


@pytest.mark.parametrize("scheme", ["xavier_normal", "he_uniform", "lecun_normal"])
@pytest.mark.parametrize(
    "activation",
    [nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Hardswish, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SELU],
)
def test_the_file_of_a_net_is_held_to_the_gains_that_its_module_is(activation, scheme, tmp_path):
    model, kind = nn.Sequential(), "scheme_activation_mismatch"
    for k in range(8):
        model.append(nn.Linear(64, 64)).append(activation())
        with torch.no_grad():
            model[-2].weight.copy_(torch.from_numpy(ik.get(scheme)((64, 64), rng=k)))
            model[-2].bias.zero_()
    del model[-1]
    np.savez(tmp_path / "net.npz", **{name: p.numpy() for name, p in model.state_dict().items()})
    name = {"LeakyReLU": "leaky_relu"}.get(activation.__name__, activation.__name__.lower())
    report = ik.doctor.audit(tmp_path / "net.npz", activation=name)
    its = diagnose(model, batch())
    assert (kind in kinds(report)) == (kind in kinds(its))
    assert its.findings or not report.findings


def test_what_explodes():
    model = mlp(lambda w: nn.init.normal_(w, std=1.0))
    report = diagnose(model, batch())
    assert kinds(report)[:2] == ["signal_explodes", "gradient_explodes"]
    assert 6.5 < float(report.findings[0].fields["factor"]) < 7.6  # √50 a layer
    assert kinds(diagnose(mlp(lambda w: nn.init.normal_(w, std=1e3)), batch()))[0] == "overflow"


def test_one_bad_layer_is_named():
    model = mlp(he, depth=10)
    with torch.no_grad():
        model[8].weight /= 1000
    report = diagnose(model, batch())
    assert [(f.kind, f.tensor) for f in report.findings] == [
        ("signal_vanishes", "8.weight"),
        ("gradient_vanishes", "8.weight"),
    ]


def test_a_functional_relu_is_seen_by_apply():
    model = Functional(nn.functional.relu)
    report = diagnose(model, batch())
    assert all(f.code.startswith("initkit.doctor.apply(model") for f in report.findings)
    mend(report, model)
    assert not diagnose(model, batch()).findings


def test_a_residual_stream_gets_no_advice_for_chains():
    """Its layers want no gain of √2: He's would double the stream a block."""
    for draw in (nn.init.xavier_normal_, he):
        model = Functional(None)
        for layer in model.layers:
            draw(layer.weight)
        add = lambda stream, layer: stream + torch.relu(layer(stream))  # noqa: E731
        model.forward = lambda x, add=add, layers=model.layers: functools.reduce(add, layers, x)
        report = diagnose(model, batch())
        assert report.signals.depth == 20
        assert kinds(report) == ["stream_explodes"]  # by ×1.5 a block, and by ×2
        assert report.findings[0].code is None


def test_an_activation_written_by_hand_is_not_named_but_its_chain_is_judged():
    report = diagnose(Functional(lambda z: z * torch.sigmoid(z)), batch())
    assert {"gradient_vanishes"} <= set(kinds(report))
    assert report.findings[0].fields["activation"] == "f(z)"
    assert report.findings[0].code is None


class Own(nn.Module):
    """A function that calls none of PyTorch's activations whole."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


def tanh_gelu(z):
    return 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (tanh_gelu, "gelu"),
        (lambda z: z * torch.sigmoid(1.702 * z), "gelu"),
        (lambda z: z * torch.sigmoid(z), "silu"),
        (lambda z: z * (z > 0), "relu"),
        (torch.sin, None),
        (lambda z: 1.001 * z, None),
        (lambda z: z / z.square().mean(-1, keepdim=True).sqrt(), None),
    ],
    ids=["tanh gelu", "quick gelu", "silu", "relu", "sine", "identity", "norm"],
)
def test_a_module_of_the_models_own_is_told_by_its_values(function, name):
    model = mlp(he, lambda: Own(function), depth=5)
    with Watch(model, ((batch(),),)) as watch:
        model(batch())
    layers = watch.ran()
    assert {layer.activation and layer.activation.name for layer in layers[:-1]} == {name}
    assert name is None or all(layer.through <= BETWEEN | {name} for layer in layers[:-1])
    with torch.no_grad():
        model[2].bias.fill_(-20.0)
    dead = [f.tensor for f in diagnose(model, batch()).findings if f.kind == "dead_units"]
    assert dead == (["2.weight"] if name else [])


def test_sigmoid_is_not_promised_what_no_scale_can_keep():
    report = diagnose(mlp(nn.init.xavier_normal_, nn.Sigmoid), batch())
    assert kinds(report) == ["gradient_vanishes"]
    assert report.findings[0].code is None
    assert report.findings[0].fields["better"] == "tanh + xavier_normal()"


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Tanh, nn.SELU, nn.ELU, nn.PReLU, nn.Mish])
def test_what_apply_draws_is_healthy_where_theory_says_so(activation):
    model = mlp(None, activation)
    report = diagnose(model, batch())
    assert "initkit.doctor.apply(model)" in {f.code for f in report.findings}
    apply(model, rng=0)
    assert not diagnose(model, batch()).findings


def test_broken_symmetry_zeros_dead_rows_and_nan():
    model = mlp(he, depth=5)
    with torch.no_grad():
        model[0].weight[7] = -2.5 * model[0].weight[3]
        model[2].weight.zero_()
        model[4].weight[5] = 0
        model[6].weight[0, 0] = torch.nan
    report = diagnose(model, batch())
    found = {(f.kind, f.tensor): f.fields for f in report.findings}
    assert found[("symmetric_rows", "0.weight")] == {"count": 2, "first": 3, "second": 7}
    assert found[("all_zero", "2.weight")] == {}
    assert found[("dead_rows", "4.weight")] == {"count": 1, "first": 5}
    assert found[("non_finite", "6.weight")] == {"count": 1}
    assert kinds(report)[0] == "non_finite"
    assert "overflow" not in kinds(report)  # it has the same cause
    model[6].weight.data[0, 0], model[6].bias.data[1] = 0, math.inf
    assert kinds(diagnose(model, batch())).count("non_finite") == 1
    assert "overflow" not in kinds(diagnose(model, batch()))


@pytest.mark.parametrize(
    ("activation", "found"),
    [(nn.SiLU, True), (nn.GELU, True), (nn.Hardswish, True), (nn.ReLU, False), (nn.ReLU6, False)],
)
def test_four_units_may_be_off_by_chance_but_not_far_below_zero(activation, found):
    model = nn.Sequential(nn.Linear(64, 4), activation(), nn.Linear(4, 64), activation(), nn.Linear(64, 10))
    assert "dead_units" not in kinds(diagnose(model, batch()))
    nn.init.constant_(model[0].bias, -9.0)
    assert ("dead_units" in kinds(diagnose(model, batch()))) == found


def test_dead_and_saturated_layers():
    model = mlp(he, depth=4)
    nn.init.constant_(model[2].bias, -20.0)
    report = diagnose(model, batch())
    # The layers behind it see zeros, and are not to blame.
    assert [(f.kind, f.tensor) for f in report.findings] == [("dead_units", "2.weight")]
    report = diagnose(mlp(lambda w: nn.init.normal_(w, std=2.0), nn.Tanh, depth=4), batch())
    assert "saturated_outputs" in kinds(report)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_report_prints_shows_and_is_json(lang):
    report = diagnose(mlp(nn.init.xavier_normal_), batch(), LABELS, lang=lang)
    assert "".join(report.findings[0].message(lang).split()) in "".join(str(report).split())
    page = report._repr_html_()
    assert page.index("<img") < page.index("role='status'") < page.index("<li>") < page.index("<table")
    (alt,) = re.findall('alt="(.*?)"', page)
    q = report.signals.q
    assert f"{q[0]:.2g}" in alt.partition(f"{q[-1]:.2g}")[0]  # what the picture shows, the first layer first
    said = json.loads(report.to_json())
    assert len(said["signals"]["q"]) == len(said["signals"]["predicted_q"]) == 31
    assert said["findings"][0]["message"] == report.findings[0].message(lang)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_without_matplotlib_the_picture_is_its_words(lang, monkeypatch):
    report = diagnose(mlp(he), batch(), lang=lang)
    monkeypatch.delattr(ik, "plots", raising=False)
    monkeypatch.setitem(sys.modules, "initkit.plots", None)
    shown = report._repr_html_()
    assert "<img" not in shown
    assert all(f"<div>{line}</div>" in shown for line in report._stream())
    assert len(report._stream()) == 2


def test_the_picture_stands_where_there_is_no_theory_and_one_layer():
    assert "<img" in diagnose(convnet(), batch(4, 3, 8, 8))._repr_html_()
    assert "<img" in diagnose(nn.Linear(4, 3), batch(5, 4))._repr_html_()


# What is left as it was ------------------------------------------------------------------------------


class Restless(nn.Module):
    """Draws from every stream, writes to buffers, weights and attributes, freezes one; and may then fail."""

    def __init__(self, fails=False):
        super().__init__()
        self.net, self.fails, self.calls = convnet(), fails, 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        self.net[10].weight.requires_grad_(False)
        self.cache = self.net(x) + np.random.standard_normal() + torch.rand(1) + random.random()  # noqa: NPY002
        with torch.no_grad():
            self.net[0].weight.mul_(2)
        self.net[1].eval()
        if self.fails:
            raise ArithmeticError("no")
        return self.cache


def everything(model):
    """All that could have changed, as bytes."""
    state = [
        (k, v.detach().numpy().tobytes(), v.requires_grad)
        for k, v in model.state_dict(keep_vars=True).items()
    ]
    gradients = [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()]
    modules = [
        (
            name,
            m.training,
            len(m._forward_hooks),
            len(m._forward_pre_hooks),
            len(m._backward_hooks),
            sorted(m.__dict__),
        )
        for name, m in model.named_modules()
    ]
    streams = torch.get_rng_state().numpy().tobytes(), random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    return state, gradients, modules, streams, getattr(model, "calls", None), torch.is_grad_enabled()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("with_gradients", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_changed(fails, with_gradients, training):
    model = Restless(fails).train(training)
    model.net[4].weight.requires_grad_(False)
    model.net[5].eval()
    if with_gradients:
        model.net(batch(4, 3, 8, 8)).sum().backward()
    before = everything(model)
    if fails:
        with pytest.raises(ArithmeticError):
            diagnose(model, batch(16, 3, 8, 8), LABELS[:16])
    else:
        diagnose(model, batch(16, 3, 8, 8), LABELS[:16])
    assert everything(model) == before


def test_a_loss_that_fails_changes_nothing_either():
    model = convnet()
    before = everything(model)
    with pytest.raises(ValueError, match="loss must return a tensor with one number"):
        diagnose(model, batch(16, 3, 8, 8), lambda y: y)
    assert everything(model) == before


def test_the_batch_is_not_written_to_and_gets_no_gradient():
    x = batch().requires_grad_()
    before = x.detach().clone()
    diagnose(nn.Sequential(nn.ReLU(), nn.Linear(64, 3)), x)
    assert torch.equal(x, before)
    assert x.grad is None


def test_a_backward_pass_that_is_still_to_come_finds_what_it_needs():
    model = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8))
    loss = model(batch()).square().sum()
    diagnose(model, batch())
    loss.backward()
    assert model[0].weight.grad is not None


def test_inference_mode_around_it_does_no_harm():
    model = mlp(he, depth=4)
    outside = diagnose(model, batch(), LABELS).to_json()
    with torch.inference_mode():
        assert diagnose(model, batch(), LABELS).to_json() == outside


@pytest.mark.parametrize("inside", [False, True])
def test_parameters_made_in_inference_mode_are_refused_with_the_way_out(inside):
    with torch.inference_mode():
        model = mlp(he, depth=2)
    told = pytest.raises(ValueError, match=r"0\.weight was made in .*: outside .* copy\.deepcopy\(module\)")
    with torch.inference_mode(inside):
        with told:
            diagnose(model, batch())
        with contextlib.nullcontext() if inside else told:  # there it can be written
            apply(model, rng=0)
    copied = copy.deepcopy(model)
    assert diagnose(copied, batch()).signals is not None
    apply(copied, rng=0)


# apply -----------------------------------------------------------------------------------------------


def test_apply_chooses_by_what_follows():
    model = nn.Sequential(
        nn.Embedding(50, 16, padding_idx=3),
        nn.Linear(16, 200), nn.LayerNorm(200), nn.ReLU(),
        nn.Linear(200, 200), nn.Dropout(0.1), nn.LeakyReLU(0.2),
        nn.Linear(200, 200), nn.GELU(),
        nn.Linear(200, 200), nn.Tanh(),
        nn.Linear(200, 200), nn.Softmax(-1),
        nn.Linear(200, 200),
    )  # fmt: skip
    done = apply(model, rng=0)
    assert done.done == {
        "0.weight": "normal(std=0.02)",
        "1.weight": "he_normal()", "1.bias": "zeros()", "2.weight": "ones()", "2.bias": "zeros()",
        "4.weight": "he_normal(activation=leaky_relu(0.2))", "4.bias": "zeros()",
        "7.weight": "he_normal(activation=gelu)", "7.bias": "zeros()",
        "9.weight": "xavier_normal()", "9.bias": "zeros()",
        "11.weight": "xavier_normal()", "11.bias": "zeros()",
        "13.weight": "xavier_normal()", "13.bias": "zeros()",
    }  # fmt: skip
    assert done.unseen == ()  # on noise it was seen to run
    assert not done.left
    for layer, variance in ((4, 2 / 1.04 / 200), (7, ik.gain("gelu") ** 2 / 200), (9, 1 / 200)):
        assert abs(model[layer].weight.var().item() / variance - 1) < 0.05
    assert not model[0].weight[3].any()
    assert model[0].weight[4].any()
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))


def test_apply_knows_the_fans_of_convolutions():
    model = nn.Sequential(
        nn.Conv2d(32, 64, 3, groups=4), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, groups=2), nn.ReLU(),
    )  # fmt: skip
    apply(model, rng=0)
    assert abs(model[0].weight.var().item() * (8 * 9) / 2 - 1) < 0.05
    assert abs(model[2].weight.var().item() * (32 * 16) / 2 - 1) < 0.05


def test_apply_draws_recurrent_weights_gate_by_gate():
    model = nn.LSTM(16, 32, num_layers=2)
    done = apply(model, rng=0)
    for gate in model.weight_hh_l1.detach().split(32):
        torch.testing.assert_close(gate @ gate.T, torch.eye(32), atol=1e-5, rtol=0)
    assert done.done["weight_ih_l0"] == "xavier_normal()"
    assert not model.bias_hh_l0.any()


def test_apply_is_reproducible_and_a_tied_weight_is_drawn_once():
    def tied():
        model = nn.ModuleDict(
            {"emb": nn.Embedding(50, 16), "fc": nn.Linear(16, 16), "head": nn.Linear(16, 50)}
        )
        model["head"].weight = model["emb"].weight
        return model

    first, second, other = tied(), tied(), tied()
    done = apply(first, rng=7)
    apply(second, rng=7)
    apply(other, rng=8)
    assert list(done.done) == ["emb.weight", "fc.weight", "fc.bias", "head.bias"]
    assert first["head"].weight is first["emb"].weight
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first["fc"].weight, other["fc"].weight)


def test_apply_leaves_what_it_does_not_know_and_says_so():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.full((3,), 5.0))
            self.fc, self.act = nn.Linear(3, 3), nn.PReLU()

    model = Odd()
    done = apply(model, rng=0)
    assert done.left == ("scale", "act.weight")
    assert model.scale.tolist() == [5.0] * 3
    assert model.act.weight.item() == 0.25
    assert done.done["fc.weight"] == "he_normal(activation=leaky_relu(0.25))"
    assert "nothing is known of them: scale, act.weight" in str(done)
    assert "没有改动" in str(apply(model, lang="zh"))


def test_apply_a_scheme_to_every_weight_and_keep_dtype_and_flags():
    model = encoder().to(torch.bfloat16)
    model.layers[0].linear1.weight.requires_grad_(False)
    flags = [(p.requires_grad, p.dtype) for p in model.parameters()]
    done = apply(model, "orthogonal", rng=0)
    assert {c for name, c in done.done.items() if name.endswith("weight") and "norm" not in name} == {
        "orthogonal()"
    }
    assert [(p.requires_grad, p.dtype) for p in model.parameters()] == flags
    square = model.layers[0].self_attn.out_proj.weight.detach().float()
    torch.testing.assert_close(square @ square.T, torch.eye(64), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("scheme", "call"), [("orthogonal", "orthogonal()"), ("dirac", "dirac(groups=2)"), ("zeros", "zeros()")]
)
def test_apply_gives_a_scheme_the_arguments_that_it_takes(scheme, call):
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2))
    assert apply(model, scheme, rng=0).done["0.weight"] == call


def test_apply_changes_nothing_where_the_scheme_does_not_suit():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    before = everything(model)
    refused = r"scheme 'dirac' cannot fill 2\.weight: shape must have outputs, inputs and a kernel"
    with pytest.raises(ValueError, match=refused):
        apply(model, "dirac")
    assert everything(model) == before


# apply is never for the worse ------------------------------------------------------------------------


def loss_of(model, x, y, steps=0):
    """The loss at first, and after that many steps of Adam, of a copy."""
    model = copy.deepcopy(model)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(steps + 1):
        value = nn.functional.cross_entropy(model(x), y)
        losses.append(value.item())
        adam.zero_grad()
        value.backward()
        adam.step()
    return losses[0], losses[-1]


def residual(blocks=30, draw=None):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x):
            return x + self.b(torch.relu(self.a(torch.relu(x))))

    model = nn.Sequential(nn.Linear(64, 64), *[Block() for _ in range(blocks)], nn.Linear(64, 10))
    for m in model.modules():
        if draw and isinstance(m, nn.Linear):
            draw(m.weight)
            nn.init.zeros_(m.bias)
    return model


def bits(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def encoder_of_different_layers():
    """PyTorch's own are copies of one."""
    model = encoder()
    for m in model.modules():
        reset = getattr(m, "reset_parameters", getattr(m, "_reset_parameters", None))
        if reset:
            reset()
    return model


@pytest.mark.parametrize(
    ("make", "shape"),
    [(lambda: mlp(he, depth=10), (64,)), (convnet, (3, 16, 16)), (encoder_of_different_layers, (10, 64))],
    ids=["he", "conv", "encoder"],
)
def test_a_net_that_is_well_is_left_as_it_is(make, shape):
    model, x = make(), batch(16, *shape)
    before = bits(model)
    did = apply(model, x, rng=0)
    assert (did.verdict, did.done) == ("well", {})
    assert same(model, before)
    assert "Nothing was changed" in str(did)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Tanh, nn.GELU, nn.SiLU, nn.Hardswish])
def test_with_a_batch_the_layers_are_measured_and_the_loss_begins_at_ln_c(activation):
    model = mlp(None, activation, depth=20, width=64)
    before, x = loss_of(model, batch(), LABELS, 20), batch()
    did = apply(model, x, rng=0)
    report = diagnose(model, x, LABELS)
    wanted = {nn.ReLU: 1.0, nn.ReLU6: 1.0, nn.Tanh: 0.1}.get(activation, 4.0)
    np.testing.assert_allclose(report.signals.q[:-1], wanted, rtol=1e-3)
    assert not report.findings
    first, last = loss_of(model, x, LABELS, 20)
    assert abs(first - np.log(10)) < 0.15
    assert last < before[1] - 0.3
    assert did.done["0.weight"].startswith("orthogonal() × ")
    assert did.losses[1][1] < did.losses[0][1]


@pytest.mark.parametrize("n", [4, 9, 100])
def test_a_small_batch_has_smaller_outputs_as_the_luck_of_its_labels_is_larger(n):
    model = mlp(None, nn.ReLU, depth=20, width=64)
    x = batch(n, 64)
    apply(model, x, rng=0)
    assert model(x).square().mean().sqrt().item() == pytest.approx(min(0.3, 0.075 * n**0.5), rel=1e-3)


def test_a_function_in_forward_is_seen_with_and_without_a_batch():
    for given in ((batch(),), ()):
        model = Functional(torch.relu)
        apply(model, *given, rng=0)
        assert not [f for f in diagnose(model, batch()).findings if "vanishes" in f.kind]


@pytest.mark.parametrize("given", [True, False])
def test_of_layers_that_ran_no_batch_is_asked_for(given):
    did = apply(mlp(nn.init.xavier_normal_), *[batch()] * given, rng=0)
    assert (did.verdict, did.unseen) == ("drawn", ())


def test_where_no_batch_can_be_made_up_the_user_is_told():
    class Two(Functional):
        def forward(self, x, y):
            return super().forward(x + y)

    assert "apply(model, batch)" in str(apply(Two(torch.relu), rng=0))


@pytest.mark.parametrize("given", [True, False])
def test_a_residual_stream_does_not_explode(given):
    model = residual(draw=he)
    x = batch()
    assert diagnose(model, x).signals.q[-1] > 1e6
    apply(model, *([x] if given else []), rng=0)
    q = diagnose(model, x).signals.q
    assert q[:-1].max() < 10
    assert loss_of(model, x, LABELS)[0] < 3


def test_what_measures_worse_is_not_written():
    """The loss is such that any change makes it worse."""
    model = mlp(nn.init.xavier_normal_)
    assert diagnose(model, batch()).findings
    before = bits(model)

    def loss(output):
        moved = sum((p - before[k]).square().sum() for k, p in model.named_parameters())
        return output.square().mean() + 10 * moved

    did = apply(model, batch(), rng=0, loss=loss)
    assert (did.verdict, did.done) == ("worse", {})
    assert same(model, before)
    assert "drawn anew it starts, or trains, worse" in str(did)
    assert did.losses[1][0] > did.losses[0][0]


def twins(model):
    model[4].weight.data[1] = model[4].weight.data[0]


def copies(model):
    model[6].weight.data[:] = model[4].weight.data


def cut_off(model):
    model[4].bias.data[:] = -9.0


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("spoil", "sick"), [(twins, "4"), (copies, "46"), (cut_off, "4")])
def test_of_layers_that_are_sick_by_themselves_these_alone_are_drawn_anew(spoil, sick, given):
    model, x = mlp(he, depth=6), batch()
    model[-1].weight.data *= 0.3
    spoil(model)
    before = bits(model)
    did = apply(model, *([x] if given else []), rng=0)
    assert set(did.done) == {f"{k}.{key}" for k in sick for key in ("weight", "bias")}
    changed = {key for key, value in bits(model).items() if not torch.equal(value, before[key])}
    assert {f"{k}.weight" for k in sick} <= changed <= set(did.done)
    assert not diagnose(model, x).findings


@pytest.mark.parametrize("why", ["the others' scale", "worse alone", "not all named"])
def test_where_more_than_such_layers_is_sick_all_are_drawn_anew(why):
    """A dead net starts at ln C; once its signal is through, a head that is too large starts above that."""
    model = mlp(nn.init.xavier_normal_ if why.startswith("the") else he, depth=10)
    {"w": cut_off, "n": copies}.get(why[0], twins)(model)
    if why.startswith("n"):
        model[8].weight.data[:] = model[4].weight.data
    did = apply(model, batch(), rng=0)
    assert {f"{k}.weight" for k in range(0, 21, 2)} <= set(did.done)
    assert not diagnose(model, batch()).findings


@pytest.mark.parametrize("given", [True, False])
def test_dropout_does_not_change_what_a_seed_draws(given):
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(0)
        model = nn.Sequential(mlp(None, depth=6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(10, 10))
        torch.manual_seed(seed)
        apply(model, *([batch()] if given else []), rng=0)
        drawn.append((bits(model), torch.rand(1)))
    assert same(model, drawn[0][0])
    assert drawn[0][1] != drawn[1][1]  # the stream goes on as if nothing had been


def test_frozen_and_trained_layers_are_left_and_only_what_is_asked_is_drawn():
    body = nn.Sequential(*[m for _ in range(3) for m in (nn.Linear(64, 64), nn.ReLU())])
    for m in body:
        if isinstance(m, nn.Linear):
            he(m.weight)
            nn.init.zeros_(m.bias)
    adam, x = torch.optim.Adam(body.parameters(), 1e-3), batch(256)
    for _ in range(200):
        adam.zero_grad()
        (body(x) - x.relu()).square().mean().backward()
        adam.step()
    head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    model = nn.ModuleDict({"body": body, "head": head})
    before = bits(body)
    did = apply(model, rng=0)
    assert same(body, before)
    assert {n.partition(".")[0] for n in did.kept["trained"]} == {"body"}
    assert {n.partition(".")[0] for n in did.done} == {"head"}
    assert "only=" in str(did)
    apply(model, rng=0, only="body.0")
    assert not torch.equal(body[0].weight, before["0.weight"])
    assert torch.equal(body[2].weight, before["2.weight"])
    body.requires_grad_(False)
    before, others = bits(body), bits(head)
    did = apply(model, rng=0, skip=["head.*.bias", "head.2"])
    assert same(body, before)
    assert len(did.kept["frozen"]) == 6
    assert list(did.done) == ["head.0.weight"]
    assert torch.equal(head[2].weight, others["2.weight"])


def test_names_that_are_none_are_told():
    with pytest.raises(ValueError, match=r"only must name parameters or modules .*, not 'fc'"):
        apply(mlp(depth=2), only="fc")


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weight_norm_is_drawn_by_direction_and_length(norm):
    layers = [m for _ in range(6) for m in (norm(nn.Linear(128, 128)), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    apply(model, rng=0)
    q = diagnose(model, batch(64, 128)).signals.q
    assert 0.3 < q[5] < 10


def test_spectral_norm_keeps_its_biases_with_its_weights():
    model = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 2)
    )
    before = bits(model[0])
    assert "0.bias" in apply(model, rng=0).left
    assert torch.equal(model[0].bias, before["bias"])


def test_strided_transposed_convolutions_keep_the_signal():
    layers = [m for _ in range(4) for m in (nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())
    for given in ((), (batch(4, 16, 2, 2),)):
        apply(model, *given, rng=0)
        q = diagnose(model, batch(4, 16, 2, 2)).signals.q
        assert q[:4].min() > 0.05
        assert q.max() < 10


class Reader(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.emb, self.fc = nn.Embedding(50, 32), nn.Linear(64, 10)
        self.rnn = getattr(nn, kind)(32, 64, 2, batch_first=True)

    def forward(self, x):
        return self.fc(self.rnn(self.emb(x))[0][:, -1])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_net_trains_no_worse(kind):
    model = Reader(kind)
    x = torch.randint(50, (64, 12), generator=torch.Generator().manual_seed(2))
    before = loss_of(model, x, LABELS, 20)
    did = apply(model, rng=0)
    assert did.done["emb.weight"] == "normal(std=1.0)"
    assert loss_of(model, x, LABELS, 20)[1] < before[1] + 0.05


# Remedies that were tried ------------------------------------------------------------------------------


def test_a_remedy_for_units_dead_by_their_bias_names_the_bias():
    model = mlp(he, depth=5, width=128)
    nn.init.constant_(model[4].bias, -20.0)
    report = diagnose(model, batch())
    dead = next(f for f in report.findings if f.kind == "dead_units")
    assert dead.code == "torch.nn.init.zeros_(model[4].bias)"
    mend(replace(report, findings=(dead,)), model)
    assert not diagnose(model, batch()).findings


def test_a_remedy_names_the_sick_layers_only():
    model = nn.Sequential(mlp(he, depth=4, width=64)[:-1], mlp(None, depth=4, width=64))
    for m in model[1]:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.01)
    before = bits(model[0])
    report = diagnose(model, batch())
    assert report.findings
    assert all(f.code and "only=" in f.code and "'0." not in f.code for f in report.findings)
    mend(report, model)
    assert not diagnose(model, batch()).findings
    assert same(model[0], before)


def test_a_line_that_does_not_mend_is_not_printed(monkeypatch):
    from initkit.doctor import torch_diagnose

    monkeypatch.setattr(torch_diagnose, "applied", lambda *args, **kwargs: None)
    assert {f.code for f in diagnose(mlp(nn.init.xavier_normal_), batch()).findings} == {None}


def test_a_line_is_run_with_its_trial_only_where_it_mends_without(monkeypatch):
    from initkit.doctor import torch_diagnose

    trials = []

    def spy(*args, trial, mends, **kwargs):
        trials.append(trial)
        return applied(*args, trial=trial, **kwargs) if mends else None

    for mends in (False, True):
        trials.clear()
        monkeypatch.setattr(torch_diagnose, "applied", functools.partial(spy, mends=mends))
        codes = {f.code for f in diagnose(mlp(nn.init.xavier_normal_), batch()).findings}
        assert codes == ({"initkit.doctor.apply(model)"} if mends else {None})
        assert trials == ([False, True] if mends else [False, False])


@dataclass
class Out:
    logits: torch.Tensor


class Wrapped(nn.Module):
    """Functional activations between layers, two inputs, and an output that ``wrap`` makes."""

    def __init__(self, wrap):
        super().__init__()
        self.m, self.wrap = nn.ModuleList(mlp(nn.init.xavier_normal_, depth=12)[::2]), wrap

    def forward(self, x, function):
        for m in self.m[:-1]:
            x = function(m(x))
        return self.wrap(self.m[-1](x))


def test_a_remedy_is_tried_with_the_loss_that_was_given():
    model, x = Wrapped(Out), (batch(), torch.relu)
    loss = lambda out: nn.functional.cross_entropy(out.logits, LABELS)  # noqa: E731
    codes = {f.code for f in diagnose(model, x, loss).findings}
    assert codes == {"initkit.doctor.apply(model, batch, loss=loss)"}
    assert apply(model, x).losses  # and without one its output is found


def test_an_output_without_tensors_needs_a_loss():
    model, x = Wrapped(lambda y: lambda: y), (batch(), torch.relu)
    assert "signal_vanishes" in kinds(diagnose(model, x))
    assert apply(model, x, loss=lambda out: out().square().mean()).losses
    with pytest.raises(ValueError, match=r"returns a function, .*; pass as loss a function of it"):
        apply(model, x, only="m.0")
    assert apply(model, rng=0).done


@pytest.mark.parametrize(
    "wrap",
    [
        Out,
        dataclass(slots=True)(type("Slots", (), {"__annotations__": {"logits": object}})),
        lambda y: SimpleNamespace(one=[{"y": y}]),
        lambda y: torch.distributions.Independent(torch.distributions.Normal(y, 1.0), 1),
    ],
    ids=["dataclass", "slots", "namespace", "distribution"],
)
def test_tensors_are_found_in_what_a_module_returns(wrap):
    model, x = Wrapped(lambda y: (wrap(y), y[:, 0].detach().requires_grad_())), (batch(), torch.relu)
    he(model.m[0].weight)
    assert "not_learning" not in kinds(diagnose(model, x))
    itself = SimpleNamespace(y=batch())
    itself.again = [itself]
    assert floats_in(itself) == [itself.y]


def test_gradients_of_an_embedding_may_be_sparse():
    of = functools.partial(nn.EmbeddingBag, 100, 64)
    x, said = torch.randint(0, 100, (64, 5)), []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(of(sparse=sparse), mlp(nn.init.xavier_normal_, depth=12))
        said.append({f.code for f in diagnose(model, x).findings})
        said.append(apply(model, x, rng=0).losses)
    assert said[0] == said[2] == {"initkit.doctor.apply(model)"}
    np.testing.assert_allclose(said[1], said[3], 1e-4)


def test_what_runs_inside_of_torch_func_is_said_not_to_be_looked_at():
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    model.forward = lambda x: model[2](torch.func.vmap(model[0])(x).tanh())
    report = diagnose(model, batch())
    assert not report.findings
    assert report.coverage.left_out == {"no_tensor": ("0",)}
    assert apply(model, batch()).verdict == "well"


# Bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: diagnose("net", batch()), TypeError, "module must be a torch.nn.Module, not str"),
        (lambda: apply([nn.Linear(2, 2)]), TypeError, "module must be a torch.nn.Module, not list"),
        (lambda: diagnose(mlp(), np.zeros((2, 64))), TypeError, "batch must be a tensor, .* not ndarray"),
        (lambda: diagnose(mlp(), ()), TypeError, "batch must be a tensor, .* not tuple"),
        (lambda: diagnose(mlp(), torch.zeros(0, 64)), ValueError, "batch must hold at least one example"),
        (lambda: diagnose(mlp(), torch.tensor(1.0)), ValueError, "batch must hold at least one example"),
        (lambda: diagnose(mlp(), batch() / 0), ValueError, "batch must be finite numbers"),
        (lambda: diagnose(mlp(), batch(), LABELS[:3]), ValueError, "loss: these labels do not fit"),
        (lambda: diagnose(mlp(), batch(), "x"), ValueError, "loss: these labels do not fit"),
        (lambda: apply(mlp(), loss=LABELS), ValueError, "loss: labels need the batch that they are of"),
        (lambda: diagnose(mlp(), batch(), torch.ones(64, 10)), ValueError, "sums up to 10;"),
        (lambda: apply(mlp(), batch(), loss=batch(64, 10)), ValueError, "probability, .*, not from -"),
        (lambda: apply(nn.Linear(64, 1), batch(), loss=batch(64, 1)), ValueError, "two classes"),
        (lambda: diagnose(nn.Linear(64, 1), batch(), LABELS % 2), ValueError, "pass a function of"),
        (lambda: diagnose(mlp(), batch(), lambda y: 1.0), ValueError, "loss must return a tensor"),
        (lambda: diagnose(nn.LazyLinear(3), batch()), ValueError, "module: weight has no shape yet"),
        (lambda: apply(nn.LazyLinear(3)), ValueError, "module: weight has no shape yet"),
        (lambda: diagnose(nn.Linear(64, 2, device="meta"), batch()), ValueError, "on the meta device"),
        (lambda: diagnose(mlp(), batch(), lang="fr"), ValueError, "lang must be one of"),
        (lambda: apply(mlp(), "he"), ValueError, "scheme must be one of auto, .*, not 'he'"),
        (lambda: apply(mlp(), rng=-1), ValueError, "rng must be a seed"),
    ],
)  # fmt: skip
def test_bad_input_is_told(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_without_torch_the_two_say_how_to_install_it():
    program = "import sys; sys.modules['torch'] = None; import initkit.doctor as d; d.{}"
    for name in ("diagnose", "apply"):
        run = subprocess.run(
            [sys.executable, "-c", program.format(name)], capture_output=True, encoding="utf-8"
        )
        assert run.stderr.rstrip().endswith("which the doctor for PyTorch modules needs: pip install torch")


def test_spectral_norm_takes_no_step():
    """Whoever reads its weight in training mode moves its buffers."""
    norm = nn.utils.parametrizations.spectral_norm
    model = nn.Sequential(norm(nn.Linear(64, 32)), nn.ReLU(), norm(nn.Linear(32, 10)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert diagnose(model, batch()).predicted is not None
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_parameters_that_are_nan_are_not_written_again():
    model = mlp(depth=1)
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    loss = model(batch()).sum()
    diagnose(model, batch())
    loss.backward()  # would say that the weight has been modified


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_refused():
    with pytest.raises(TypeError, match="TorchScript"):
        diagnose(torch.jit.script(mlp(depth=1)), batch())
