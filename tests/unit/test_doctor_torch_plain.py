"""What ``diagnose`` tells of plain nets: phase, singular values, Σ1/n; and of which nets it is silent."""

import itertools
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from torch import nn  # noqa: E402

import initkit as ik  # noqa: E402
from initkit.doctor import diagnose  # noqa: E402
from initkit.doctor.torch_examine import examined  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def batch(*shape):
    return torch.randn(*(shape or (32, 24)), generator=torch.Generator().manual_seed(1))


def plain(widths, activation=nn.ReLU, sigma_w=2**0.5, sigma_b=0.0, orthogonal=False):
    """A chain whose weights have the variance σ_w²/fan_in, its biases σ_b²."""
    model = nn.Sequential()
    for n, k in itertools.pairwise(widths):
        model.append(nn.Linear(n, k)).append(activation())
        if orthogonal:
            nn.init.orthogonal_(model[-2].weight, sigma_w)
        else:
            nn.init.normal_(model[-2].weight, 0, sigma_w / math.sqrt(n))
        nn.init.normal_(model[-2].bias, 0, sigma_b)
    return model[:-1]


def facts(model, x=None):
    """By kind; of ``diagnose`` without its remedies, which take the longest."""
    return {fact.kind: fact for fact in examined(model, batch() if x is None else x)[1].facts}


EQUAL = [24, *[64] * 12, 10]


@pytest.mark.parametrize(
    ("activation", "name", "sigma_w", "sigma_b", "phase", "why", "means"),
    [
        (nn.ReLU, "relu", 2**0.5, 0.0, "critical", "critical", "little"),
        (nn.ReLU, "relu", 0.58, 0.07, "ordered", "ordered", "shrinks"),  # PyTorch's own start
        (nn.ReLU, "relu", 2.2, 0.0, "chaotic", "growing", "grows"),
        (nn.Tanh, "tanh", 1.0, 0.0, "critical", "critical", "little"),
        (nn.Tanh, "tanh", 1.0, 0.4, "ordered", "ordered", "shrinks"),
        (nn.Tanh, "tanh", 3.0, 0.2, "chaotic", "chaotic", "grows"),
    ],
)
def test_the_phase_is_that_of_theory(activation, name, sigma_w, sigma_b, phase, why, means):
    fact = facts(plain(EQUAL, activation, sigma_w, sigma_b))["phase"]
    told = fact.fields
    assert (told["phase"], told["why"], told["means"], told["depth"]) == (phase, why, means, 12)
    # σ_w² is known to √(2/64²/11) = 0.7 %; tanh doubles, at most, what χ₁ is off: 4 standard errors.
    theory = ik.phase(name, sigma_w, sigma_b)
    assert told["chi_1"] == pytest.approx(theory.chi_1, rel=0.06)
    assert (told["xi_c"] == math.inf) if why in ("critical", "growing") else told["xi_c"] < 12
    assert fact.tensor == "0.weight … 22.weight"


def test_theory_tells_of_a_delta_orthogonal_net_as_of_a_normal_one():
    """Xiao et al. 2018: only the singular values are others, all alike."""
    model = nn.Sequential()
    for k in range(12):
        model.append(nn.Conv2d(16, 16, 3, padding=1)).append(nn.Tanh())
        model[-2].weight.data = torch.from_numpy(ik.delta_orthogonal((16, 16, 3, 3), rng=k))
        nn.init.zeros_(model[-2].bias)
    told = facts(model[:-1], 0.1 * batch(32, 16, 6, 6))
    assert told["phase"].fields["phase"] == "critical"
    assert told["singular_values"].fields["why"] == "even"


def test_a_fact_is_no_finding_and_speaks_both_languages():
    model = plain(EQUAL)
    report = diagnose(model, batch())
    assert not report.findings
    assert "critical: χ₁ = 1" in " ".join(str(report).split())
    assert "临界：χ₁ = 1" in str(diagnose(model, batch(), lang="zh"))
    told = json.loads(report.to_json())["facts"]
    assert [one["kind"] for one in told] == ["phase", "singular_values"]
    assert set(told[0]) == {"kind", "tensor", "message", "depth", "change", "phase", "chi_1", "xi_c"}
    assert told[0]["xi_c"] is None  # infinite
    assert model.training


def test_layers_of_different_scales_have_no_one_phase():
    """As in torchvision's VGG, whose scale is by fan_out."""
    model = plain([24, 32, 64, 64, 128, 32, 10])
    for m in model:
        if isinstance(m, nn.Linear):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
    told = facts(model)["phase"].fields
    assert told["phase"] is None
    assert told["low"] == pytest.approx(0.5, rel=0.3)  # 32/64, 64/128 of χ = 1
    assert told["high"] == pytest.approx(4.0, rel=0.3)  # 128/32


@pytest.mark.parametrize("seed", range(3))
def test_gelu_has_no_edge(seed):
    """At the gain that keeps q = 1 that q is left, to 0 or to infinity, slowly: χ₁ jumps from 0.6 to 1.2."""
    torch.manual_seed(seed)
    told = facts(plain(EQUAL, nn.GELU, ik.gain("gelu")))["phase"].fields
    assert told["phase"] in (None, "chaotic")  # 1.2 is told where all layers are about there
    assert told["phase"] or 0.4 < told["low"] < told["high"] < 1.6


def test_convolutions_pooling_and_dropout_are_plain():
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3))
    for _ in range(2):
        model.extend([nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()])
    model.extend([nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)])
    told = facts(model, batch(8, 3, 8, 8))
    assert set(told) == {"phase"}
    assert told["phase"].fields["chi_1"] == pytest.approx(1 / 6, rel=0.05)  # PyTorch's start: σ_w² = 1/3


@pytest.mark.parametrize(
    ("activation", "sigma_w", "orthogonal", "why"),
    [(nn.ReLU, 2**0.5, False, "uneven"), (nn.Tanh, 1.0, True, "even"), (nn.Tanh, 0.9, False, "uneven")],
)
def test_directions_that_get_through_are_those_of_the_exact_jacobian(activation, sigma_w, orthogonal, why):
    model, x = plain([24, *[48] * 12, 10], activation, sigma_w, orthogonal=orthogonal), batch()
    told = facts(model, x)["singular_values"].fields
    first = model[0](x[:1]).detach()
    jacobian = torch.autograd.functional.jacobian(lambda z: model[1:23](z), first).reshape(48, 48)
    s2 = np.square(np.linalg.svd(jacobian.double().numpy(), compute_uv=False))
    exact = s2.sum() ** 2 / np.square(s2).sum()
    # 32 probes make 496 pairs: √(2/496) = 6 % where directions are many, less where they are few.
    assert told["effective"] == pytest.approx(exact, rel=0.25)
    assert told["spread"] == pytest.approx(48 / told["effective"] - 1)
    assert (told["directions"], told["probes"], told["why"]) == (48, 32, why)


def test_narrow_layers_are_told_with_what_they_do_to_the_gradient():
    widths = [24, *[20] * 15, 10]
    told = facts(plain(widths))["finite_width"].fields
    assert told["sum"] == pytest.approx(15 / 20)
    # The spread of the logarithm over 200 draws is known to 5 %, and the formula to first order in 1/n.
    z = first = torch.randn(200, 20, 1, requires_grad=True)
    for _ in range(14):
        z = torch.randn(200, 20, 20) / math.sqrt(10) @ torch.relu(z)
    (back,) = torch.autograd.grad(z, first, torch.randn(z.shape))
    changes = back.square().sum((1, 2)).log()
    assert changes.isfinite().all()
    assert 0.7 < math.log(told["factor"]) / float(changes.std()) < 1.3
    wide, tanh = plain([24, *[64] * 15, 10]), plain(widths, nn.Tanh, 0.5, orthogonal=True)
    assert "finite_width" not in facts(wide)
    assert "finite_width" not in facts(tanh)  # nearly linear and orthogonal: nothing is left to chance


class Called(nn.Module):
    """The layers of a plain net, with ``between`` called after each."""

    def __init__(self, between, hidden=12):
        super().__init__()
        self.layers = nn.ModuleList(m for m in plain([24, *[24] * hidden, 10]) if isinstance(m, nn.Linear))
        self.between = between

    def forward(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = self.between(layer(x), x)
        return last(x)


def constant_bias(model):
    for m in model[::2]:
        nn.init.constant_(m.bias, 0.1)
    return model


def trained(model):
    with torch.no_grad():
        for m in model[::2]:  # one direction that stands out
            m.weight += 2 / len(m.weight) ** 0.5 * torch.ones_like(m.weight)
    return model


def shared():
    layer = nn.Linear(24, 24)
    return nn.Sequential(*[m for _ in range(12) for m in (layer, nn.ReLU())], nn.Linear(24, 10))


SILENT = {
    "norms": lambda: nn.Sequential(
        *[m for _ in range(6) for m in (nn.Linear(24, 24), nn.LayerNorm(24), nn.ReLU())], nn.Linear(24, 10)
    ),
    "a norm as a function": lambda: Called(lambda z, x: nn.functional.layer_norm(z.relu(), (24,))),
    "a skip": lambda: Called(lambda z, x: x + z.relu()),
    "a function that is not known": lambda: Called(lambda z, x: torch.sin(z)),
    "a gate": lambda: Called(lambda z, x: z * torch.sigmoid(z)),
    "another scale": lambda: Called(lambda z, x: 2 * z.relu()),
    "two activations": lambda: nn.Sequential(
        *plain(EQUAL)[:10], nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 9)
    ),
    "three hidden layers": lambda: plain([24, 64, 64, 64, 10]),
    "biases of mean 0.1": lambda: constant_bias(plain(EQUAL)),
    "trained weights": lambda: trained(plain(EQUAL)),
    "one layer twelve times": shared,
    "recurrent": lambda: nn.Sequential(nn.Unflatten(1, (4, 6)), nn.RNN(6, 24, 6)),
}


@pytest.mark.parametrize("name", SILENT)
def test_of_what_is_not_plain_nothing_is_told(name):
    assert not facts(SILENT[name]())


def test_a_function_that_is_known_is_told_of():
    assert facts(Called(lambda z, x: torch.relu(z)))["phase"].fields["phase"] == "critical"
