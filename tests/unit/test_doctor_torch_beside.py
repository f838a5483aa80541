"""``diagnose`` beside chains: designs, streams, inputs, first loss, what does not learn, wrapped modules.

Each finding has a sick net in which it must be found, and healthy ones beside it in which nothing may be.
"""

import functools
import json
import math
import operator
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import initkit as ik  # noqa: E402
from initkit.doctor import apply, assert_healthy, audit, diagnose  # noqa: E402
from initkit.doctor.torch_apply import _worse  # noqa: E402
from initkit.doctor.torch_examine import examined  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


LABELS = torch.arange(64) % 10


def batch(*shape):
    return torch.randn(*(shape or (64, 20)), generator=torch.Generator().manual_seed(1))


def kinds(report):
    return [f.kind for f in report.findings]


def mlp(hidden=64):
    model = nn.Sequential(nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    model.append(nn.Linear(hidden, 10))
    return model


class Block(nn.Module):
    """h + scale·f(norm(h)), the last layer of f drawn at ``std``·√(1/fan_in); 0 is Fixup's."""

    def __init__(self, norm=False, scale=1.0, std=1.0, width=64):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), scale))
        nn.init.kaiming_normal_(self.up.weight, nonlinearity="relu")
        nn.init.normal_(self.down.weight, 0, std / math.sqrt(4 * width))

    def forward(self, h):
        return h + self.gamma * self.down(torch.relu(self.up(self.norm(h))))


class Residual(nn.Module):
    def __init__(self, blocks=16, **options):
        super().__init__()
        last = nn.LayerNorm(64) if options.get("norm") else nn.Identity()
        self.stem, self.head = nn.Linear(20, 64), nn.Sequential(last, nn.Linear(64, 10))
        self.blocks = nn.ModuleList(Block(**options) for _ in range(blocks))

    def forward(self, x):
        return self.head(functools.reduce(lambda h, block: block(h), self.blocks, self.stem(x)))


# Designs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"norm": True},
        {"norm": True, "scale": 1e-6},  # LayerScale, as ConvNeXt and CaiT start
        {"norm": True, "scale": 0.0},  # ReZero
        {"norm": True, "std": 0.02},
        {"std": 1 / math.sqrt(2 * 16)},  # depth-scaled, as GPT-2's
        {"std": 0.0},  # Fixup
    ],
    ids=str,
)
def test_residual_nets_as_people_start_them_have_no_finding(options):
    report = diagnose(Residual(**options), batch(), LABELS)
    assert not report.findings
    assert [note.kind for note in report.notes] == ["zero_branch"] * (options.get("std") == 0)
    assert report.coverage.left_out == {}


def test_what_repeats_in_every_block_is_one_line_and_says_how_often():
    report = diagnose(Residual(std=0.0), batch())
    (note,) = report.notes
    assert note.tensor == "blocks.0.down.weight … blocks.15.down.weight"
    assert "Fixup" in note.message("en")
    assert "16" in note.message("en")
    assert json.loads(report.to_json())["notes"][0]["kind"] == "zero_branch"
    assert note.message("en") in " ".join(str(report).split())


def test_a_branch_that_is_zero_alone_among_many_is_found():
    model = Residual(std=0.3)
    assert not diagnose(model, batch()).findings
    nn.init.zeros_(model.blocks[4].down.weight)
    report = diagnose(model, batch())
    assert [(f.kind, f.tensor) for f in report.findings] == [("all_zero", "blocks.4.down.weight")]
    assert not report.notes


def test_a_context_of_zeros_that_is_added_to_a_whole_stream_is_a_design():
    """GCNet's global context, (B, C, 1, 1)."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10))
    model.down, model.up = nn.Linear(16, 4), nn.Linear(4, 16)
    nn.init.zeros_(model.up.weight)

    def forward(x):
        h = model[1](model[0](x))
        return model[3](model[2](h + model.up(torch.relu(model.down(h.mean((2, 3)))))[..., None, None]))

    model.forward = forward
    report = diagnose(model, batch(16, 3, 10, 10))
    assert not report.findings
    assert [(note.kind, note.tensor) for note in report.notes] == [("zero_branch", "up.weight")]


def test_a_zero_layer_is_a_design_at_the_end_alone():
    model = mlp()
    nn.init.zeros_(model[4].weight)
    report = diagnose(model, batch(), LABELS)
    assert (kinds(report), [note.kind for note in report.notes]) == ([], ["zero_head"])
    nn.init.zeros_(model[2].weight)
    report = diagnose(model, batch(), LABELS)
    assert ("all_zero", "2.weight") in [(f.kind, f.tensor) for f in report.findings]


def test_heads_of_gain_a_hundredth_and_lora_are_no_finding():
    class PPO(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 4), nn.Linear(64, 1)]
            for layer, gain in zip(layers, (2**0.5, 2**0.5, 0.01, 1.0), strict=True):
                nn.init.orthogonal_(layer.weight, gain)
                nn.init.zeros_(layer.bias)
            self.first, self.second, self.actor, self.critic = layers

        def forward(self, x):
            h = torch.tanh(self.second(torch.tanh(self.first(x))))
            return self.actor(h), self.critic(h)

    class LoRA(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.a, self.b = nn.Linear(20, 20), nn.Linear(20, 4), nn.Linear(4, 20)
            self.base.requires_grad_(False)
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)
            self.head = nn.Linear(20, 10)

        def forward(self, x):
            return self.head(torch.relu(self.base(x) + self.b(self.a(x))))

    assert not diagnose(PPO(), batch()).findings
    report = diagnose(LoRA(), batch(), LABELS)
    assert not report.findings
    assert [note.kind for note in report.notes] == ["zero_branch", "frozen"]


class Bare(nn.Module):
    """Products without a layer: x @ w, x @ v.T, and F.linear by u, which ends a branch where ``added``."""

    def __init__(self, added=False, head=True):
        super().__init__()
        self.w = nn.Parameter(torch.randn(20, 64) / 20**0.5)
        self.v = nn.Parameter(torch.randn(64, 64) / 8)
        self.u = nn.Parameter(torch.randn(64, 64) / 8)
        self.position = nn.Parameter(torch.zeros(1, 64))
        self.head, self.added = nn.Linear(64, 10) if head else nn.Identity(), added

    def forward(self, x):
        h = torch.relu(torch.relu(x @ self.w + self.position) @ self.v.T)
        z = nn.functional.linear(h, self.u)
        return self.head(h + 2 * z if self.added else z)


@pytest.mark.parametrize(
    ("name", "value", "options", "found", "noted"),
    [
        ("u", 0.0, {}, "all_zero", None),
        ("w", 0.0, {"added": True}, "all_zero", None),
        ("v", 0.1, {}, "symmetric_rows", None),
        ("u", 0.0, {"added": True}, None, "zero_branch"),
        ("u", 0.0, {"head": False}, None, "zero_head"),
        ("position", 0.0, {}, None, None),
    ],
    ids=str,
)
def test_weights_that_no_layer_holds_are_judged_where_they_multiply(name, value, options, found, noted):
    model = Bare(**options)
    nn.init.constant_(getattr(model, name), value)
    report = diagnose(model, batch())
    assert [(f.kind, f.tensor) for f in report.findings] == ([(found, name)] if found else [])
    assert [(f.kind, f.tensor) for f in report.notes] == ([(noted, name)] if noted else [])
    if options.get("head", True):
        assert report.coverage.left_out == {"bare": ("w", "v", "u")}


@pytest.mark.parametrize("name", "wv")
def test_units_that_are_alike_lie_where_the_product_has_them(name):
    model = Bare()
    units = model.w.data.T if name == "w" else model.v.data
    units[3] = units[5]
    (found,) = diagnose(model, batch()).findings
    assert (found.kind, found.tensor, found.fields["first"]) == ("symmetric_rows", name, 3)


class Lora(nn.Linear):
    """loralib's Linear, and its Conv2d: both factors are parameters of the layer itself, or make a weight."""

    def __init__(self, n_in, n_out, merged):
        super().__init__(n_in, n_out)
        self.weight.requires_grad = False
        self.lora_A = nn.Parameter(torch.randn(4, n_in))
        self.lora_B = nn.Parameter(torch.zeros(n_out, 4))
        self.merged = merged

    def forward(self, x):
        if self.merged:
            return nn.functional.linear(x, self.weight + 0.5 * (self.lora_B @ self.lora_A), self.bias)
        return super().forward(x) + x @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1) * 0.5


@pytest.mark.parametrize("merged", [True, False])
def test_loras_zero_factor_in_the_layer_itself_is_a_note(merged):
    sizes = ((20, 64), (64, 64), (64, 10))
    model = nn.Sequential(*(part for size in sizes for part in (Lora(*size, merged), nn.ReLU())))
    report = diagnose(model, batch())
    assert not report.findings
    assert ("zero_branch", "0.lora_B … 4.lora_B") in [(f.kind, f.tensor) for f in report.notes]


def test_kernels_that_are_equal_by_design_and_those_that_are_not():
    class Shuffled(nn.Sequential):
        def forward(self, x):
            return nn.functional.pixel_shuffle(self[0](x), 2)

    blur = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    blur.weight.data[:] = torch.tensor([1.0, 2, 1]).outer(torch.tensor([1.0, 2, 1])) / 16
    assert not diagnose(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), blur), batch(4, 3, 9, 9)).findings
    icnr = Shuffled(nn.Conv2d(3, 32, 3))
    icnr[0].weight.data = icnr[0].weight.data[::4].repeat_interleave(4, 0)
    report = diagnose(icnr, batch(4, 3, 9, 9))
    assert (kinds(report), [note.kind for note in report.notes]) == ([], ["icnr"])
    grouped = nn.Sequential(nn.Conv2d(8, 16, 3, groups=2), nn.ReLU(), nn.Conv2d(16, 4, 3))
    grouped[0].weight.data[9] = grouped[0].weight.data[1]  # of two groups: they see different inputs
    assert not diagnose(grouped, batch(4, 8, 9, 9)).findings
    grouped[0].weight.data[9] = grouped[0].weight.data[12]
    (found,) = diagnose(grouped, batch(4, 8, 9, 9)).findings
    assert (found.kind, found.fields) == ("symmetric_rows", {"count": 2, "first": 9, "second": 12})
    upsampling = nn.Sequential(nn.ConvTranspose2d(8, 6, 4, 2), nn.ReLU(), nn.Conv2d(6, 4, 3))
    upsampling[0].weight.data[:, 5] = upsampling[0].weight.data[:, 2]  # axis 1 has the units
    (found,) = diagnose(upsampling, batch(4, 8, 5, 5)).findings
    assert (found.kind, found.fields) == ("symmetric_rows", {"count": 2, "first": 2, "second": 5})


def test_a_gate_and_a_fork_are_no_links_of_a_chain():
    """Squeeze-and-excitation: x·σ(expand(reduce(mean x))), as small as would vanish in a chain."""

    class Excited(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 4, 1)
            self.reduce, self.expand = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)
            for layer in (self.reduce, self.expand):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            gate = self.expand(torch.tanh(self.reduce(x.mean((2, 3), keepdim=True))))
            return self.head(x * gate.sigmoid())

    assert not diagnose(Excited(), batch(8, 3, 9, 9)).findings


# Streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"norm": True, "std": 30.0}], ids=str)
def test_a_stream_that_explodes_is_found_and_its_growth_named(options):
    report = diagnose(Residual(**options), batch())
    (found,) = [f for f in report.findings if f.kind == "stream_explodes"]
    assert found.fields["blocks"] == 16
    last = float(found.fields["last"])
    assert last > 1e3
    if not options:  # f doubles the mean square, half of which ReLU takes: up to ×2 a block
        assert 1.5 < float(found.fields["factor"]) < 3.5
        assert found.tensor == "blocks.0.down.weight … blocks.15.down.weight"


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_a_stream_that_begins_as_a_projection_explodes_as_any(size):
    """Where a stage begins, both of what is added are new, as RegNet's: the large one is no stream yet."""

    class Stage(nn.Module):
        def __init__(self, n, k):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(n, k), nn.ReLU(), nn.Linear(k, k), nn.BatchNorm1d(k))
            self.short = nn.Sequential(nn.Linear(n, k), nn.BatchNorm1d(k))
            nn.init.constant_(self.branch[-1].weight, size)

        def forward(self, x):
            return torch.relu(self.short(x) + self.branch(x))

    model = nn.Sequential(nn.Linear(20, 32), *[Stage(32 * k, 64 * k) for k in (1, 2, 4)], nn.Linear(256, 10))
    found = diagnose(model, batch()).findings
    assert [f.kind for f in found] == ["stream_explodes"][: size > 1]
    assert all(f.tensor.startswith("1.branch") for f in found)


def test_one_block_that_does_it_is_named():
    model = Residual(norm=True)
    model.blocks[5].down.weight.data *= 1e3
    (found,) = [f for f in diagnose(model, batch()).findings if f.kind == "stream_explodes"]
    assert found.tensor == "blocks.5.down.weight"


def test_a_stream_that_shrinks_is_found():
    class Shrinking(Residual):
        def forward(self, x):
            return self.head(functools.reduce(lambda h, block: 0.5 * block(h), self.blocks, self.stem(x)))

    assert kinds(diagnose(Shrinking(norm=False, std=0.1), batch())) == ["stream_vanishes"]


class Parallel(Block):
    """h + a(norm(h)) + b(norm(h)), where a + b is summed first, as in GPT-J, PaLM, and shared experts."""

    def __init__(self, std):
        super().__init__(norm=True, std=std)
        self.second = nn.Linear(64, 64)
        nn.init.normal_(self.second.weight, 0, std / 8)
        nn.init.zeros_(self.second.bias)
        nn.init.zeros_(self.down.bias)

    def forward(self, h):
        x = self.norm(h)
        return self.down(torch.relu(self.up(x))) + self.second(x) + h


class Pools(nn.Module):
    """A quarter of the size, and a branch that starts at zero, as where a stage of dm_nfnet begins."""

    def __init__(self, size):
        super().__init__()
        self.branch = nn.Linear(size, size)

    def forward(self, h):
        h = nn.functional.avg_pool1d(h, 4)
        return h + 0 * self.branch(h)


class Copies(Block):
    """The stream joined to what it holds already but for one entry, as XCiT's class attention does."""

    def forward(self, h):
        return h + torch.cat([self.down(torch.relu(self.up(h)))[:, :1], h[:, 1:]], 1)


@pytest.mark.parametrize(
    "blocks",
    [
        lambda: (Parallel(0.01) for _ in range(5)),
        lambda: map(Pools, (256, 64, 16, 4, 1)),
        lambda: (Copies() for _ in range(5)),
    ],
    ids=["sum within", "resize", "copy"],
)
def test_what_is_no_change_of_a_stream(blocks):
    blocks = list(blocks())
    pools = isinstance(blocks[0], Pools)
    model = nn.Sequential(nn.Linear(20, 1024 if pools else 64), *blocks, nn.Linear(1 if pools else 64, 10))
    assert not [f for f in diagnose(model, batch()).findings if f.kind.startswith("stream_")]


class Skips(nn.Module):
    """Two streams: h, and beside it the sum of what each block hands out, as in WaveNet."""

    def __init__(self, scale):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 128) for _ in range(6))
        self.scale, self.head = scale, nn.Linear(64, 10)

    def forward(self, x):
        h, told = torch.cat([x, x, x, x[:, :4]], 1), 0
        for layer in self.layers:
            more, skip = layer(torch.tanh(h)).chunk(2, -1)
            h, told = h + self.scale * more * h, told + 1e-3 * skip
        return self.head(told)


class Chains(nn.Module):
    """The mean of three residual chains, behind a layer of their own input, as in HiFi-GAN's decoder."""

    def __init__(self, width, scale):
        super().__init__()
        self.first = nn.Linear(width, width // 2)
        self.chains = nn.ModuleList(
            nn.Sequential(*(Block(scale=scale, width=width // 2) for _ in range(3))) for _ in range(3)
        )

    def forward(self, h):
        h = self.first(h)
        a, b, c = (chain(h) for chain in self.chains)
        return (a + b + c) / 3


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: Skips(0.1), []),
        (lambda: Skips(30.0), ["stream_explodes"]),
        (lambda: nn.Sequential(nn.Linear(20, 256), Chains(256, 0.1), Chains(128, 0.1)), []),
        (lambda: nn.Sequential(nn.Linear(20, 256), Chains(256, 3.0), Chains(128, 3.0)), ["stream_explodes"]),
    ],
    ids=["skips", "skips that explode", "chains", "chains that explode"],
)
def test_of_streams_beside_each_other_each_is_followed(make, found):
    assert [kind for kind in kinds(diagnose(make(), batch())) if kind.startswith("stream_")] == found


def test_a_stream_within_a_branch_has_a_path_of_its_own():
    class Long(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.body = nn.Sequential(*(Block(scale=scale, std=2.0) for _ in range(6)), nn.Linear(64, 64))

        def forward(self, h):
            return h + 1e-3 * self.body(h)

    for scale, wanted in ((0.1, False), (3.0, True)):
        model = nn.Sequential(nn.Linear(20, 64), *(Long(scale) for _ in range(2)), nn.Linear(64, 10))
        assert ("stream_explodes" in kinds(diagnose(model, batch()))) is wanted


@pytest.mark.parametrize(
    "add", [operator.add, operator.iadd, torch.add, torch.Tensor.add_], ids=["+", "+=", "torch.add", "add_"]
)
def test_every_way_to_add_is_seen(add):
    class Adds(Residual):
        def forward(self, x):
            h = self.stem(x)
            for block in self.blocks:
                h = add(h.clone(), 3 * block.down(torch.relu(block.up(h))))
            return self.head(h)

    assert "stream_explodes" in kinds(diagnose(Adds(), batch()))


def test_a_layer_that_alone_multiplies_is_found_where_no_chain_shows_it():
    for factor, wanted in ((1e-3, "layer_gain"), (1e3, "layer_gain")):
        model = Residual(norm=True)
        model.blocks[3].up.weight.data *= factor
        model.blocks[3].up.bias.data.zero_()
        found = [(f.kind, f.tensor) for f in diagnose(model, batch()).findings]
        assert (wanted, "blocks.3.up.weight") in found


class Attention(nn.Module):
    """As timm writes it: query, key and value in one layer, and the projection that ends the branch."""

    def __init__(self, width, heads=3):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, h):
        n, t, width = h.shape
        q, k, v = self.qkv(h).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        h = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(h.transpose(1, 2).reshape(n, t, width))


class ViT(nn.Module):
    """A vision transformer with timm's start: N(0, 0.02²), a class token, positions that are added."""

    def __init__(self, width=48, blocks=3):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(1e-6 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Sequential(nn.LayerNorm(width), Attention(width), nn.Dropout(0.0)),
                    nn.Sequential(
                        nn.LayerNorm(width),
                        nn.Linear(width, 4 * width),
                        nn.GELU(),
                        nn.Linear(4 * width, width),
                    ),
                ]
            )
            for _ in range(blocks)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(h), -1, -1), h], 1) + self.positions
        for attention, mlp in self.blocks:
            h = h + attention(h)
            h = h + mlp(h)
        return self.head(self.norm(h)[:, 0])


def normed_convolutions():
    layers = [m for _ in range(4) for m in (nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU())]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), *layers, *head)


def weights_times(model, factor):
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, (nn.Linear, nn.Conv2d, nn.LSTM)):
                for name, p in m.named_parameters(recurse=False):
                    p.mul_(factor if name.startswith("weight") else 1)
    return model


@pytest.mark.parametrize("make", [ViT, normed_convolutions])
@pytest.mark.parametrize("factor", [1, 0.05, 20])
def test_a_scale_that_norms_hide_from_the_signal_is_found(make, factor):
    report = diagnose(weights_times(make(), factor), batch(4, 3, 32, 32))
    if factor == 1:
        assert not report.findings
        return
    told = {f.kind for f in report.findings}
    assert told & {"weight_scale", "layer_gain", "stream_explodes"}
    if make is normed_convolutions:
        (finding,) = report.findings
        assert finding.kind == "weight_scale"
        assert finding.fields["why"] == ("large" if factor > 1 else "small")
        assert finding.code  # a line that was tried


def small(norm, std=0.001, layers=4, convolutions=False):
    """Weights N(0, std²), a norm behind each or None."""
    model = nn.Sequential()
    for k in range(layers):
        one = (
            nn.Conv2d(16 if k else 3, 16, 3, padding=1)
            if convolutions
            else nn.Linear(20 if k == 0 else 64, 64)
        )
        nn.init.normal_(one.weight, 0, std)
        model.extend([one, *([norm(16 if convolutions else 64)] if norm else []), nn.ReLU()])
    model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if convolutions else [])
    return model.append(nn.Linear(16 if convolutions else 64, 10))


@pytest.mark.parametrize(
    ("model", "x", "why"),
    [
        (lambda: small(nn.BatchNorm1d), batch(), "small"),
        (lambda: small(nn.LayerNorm), batch(), "small"),
        (lambda: small(nn.BatchNorm2d, convolutions=True), batch(16, 3, 8, 8), "small"),
        (lambda: small(nn.BatchNorm1d, 1e-5), batch(), "small_lost"),  # the norm's ε is above the variance
        (lambda: small(None, layers=1), batch(), "small_lost"),
        (
            lambda: nn.Sequential(*small(None, layers=1)[:-1], *small(nn.LayerNorm, layers=1)[1:]),
            batch(),
            "small",
        ),
    ],
)
def test_small_weights_before_a_norm_do_not_lose_the_signal(model, x, why):
    """One finding, which says what they do: the norm hides them from the signal, or does not."""
    (finding,) = examined(model(), x)[1].findings
    assert (finding.kind, finding.fields["why"]) == ("weight_scale", why)
    assert ("the signal is well" in finding.meaning()) == (why == "small")


def test_what_a_stride_takes_from_the_fan_in_is_no_scale():
    """Of a transposed convolution's kernel of 4 by 4 an output sees a quarter at stride 2."""

    def decoder(times=1.0, norm=nn.Identity):
        model = nn.Sequential()
        for _ in range(3):
            model.extend([nn.ConvTranspose2d(16, 16, 4, 2, 1), norm(16), nn.ReLU()])
            nn.init.normal_(model[-3].weight, 0, times * math.sqrt(2 / (16 * 16 / 4)))
        return model.append(nn.Conv2d(16, 3, 1))

    assert not diagnose(decoder(), batch(4, 16, 4, 4)).findings
    (found,) = diagnose(decoder(4, nn.BatchNorm2d), batch(4, 16, 4, 4)).findings
    assert (found.kind, found.fields["why"]) == ("weight_scale", "large")


class Fused(nn.Module):
    """Attention whose Q, K and V are one Linear."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))


def joint():
    layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True)
    return layer, layer.self_attn.in_proj_weight, "0.self_attn.in_proj_weight"


def fused():
    layer = Fused()
    return layer, layer.qkv.weight, "0.qkv.weight"


@pytest.mark.parametrize("make", [joint, fused])
@pytest.mark.parametrize("factor", [1, 50])
def test_the_scale_of_q_and_k_is_judged_where_v_shares_their_weight(make, factor):
    layer, weight, name = make()
    weight.data[:128] *= factor
    model = nn.Sequential(layer, nn.LayerNorm(64), nn.Flatten(), nn.Linear(640, 10))
    found = [(f.kind, f.tensor, f.fields["count"]) for f in diagnose(model, batch(8, 10, 64)).findings]
    assert found == [("weight_scale", name, 1)][: factor > 1]


def test_what_the_finding_on_scales_says_of_steps_is_so():
    model = nn.Sequential(
        nn.Linear(20, 64, bias=False), nn.BatchNorm1d(64, eps=1e-12), nn.ReLU(), nn.Linear(64, 10)
    )
    sizes = []
    for factor in (1.0, 20.0):
        model[0].weight.data.mul_(factor)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(model(batch()), LABELS), [model[0].weight])
        sizes.append(float(g.norm() / model[0].weight.detach().norm()))
    assert sizes[0] / sizes[1] == pytest.approx(20.0**2, rel=1e-3)
    (finding,) = diagnose(model, batch()).findings
    gain = math.sqrt(20) * float(model[0].weight.detach().square().mean().sqrt())
    assert (finding.kind, finding.tensor) == ("weight_scale", "0.weight")
    assert float(finding.fields["sgd"]) == pytest.approx(gain**-2, rel=0.05)
    assert float(finding.fields["adam"]) == pytest.approx(1 / gain, rel=0.05)


def test_scales_that_are_meant_or_learnt_are_no_finding():
    class Sine(nn.Module):  # SIREN's hidden layers are drawn small, and multiplied by 30
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(256, 256) for _ in range(3))
            for layer in self.layers:
                nn.init.uniform_(layer.weight, -math.sqrt(6 / 256) / 30, math.sqrt(6 / 256) / 30)

        def forward(self, x):
            return functools.reduce(lambda h, layer: torch.sin(30 * layer(h)), self.layers, x)

    assert not diagnose(Sine(), batch(64, 256)).findings
    learnt = normed_convolutions()
    for m in learnt.modules():
        if isinstance(m, nn.Conv2d):
            m.weight.data.mul_(1 + 2 * torch.rand(m.weight.shape[0], 1, 1, 1)).mul_(
                20
            )  # rows differ as no draw's
    assert not diagnose(learnt, batch(4, 3, 32, 32)).findings
    frozen = weights_times(normed_convolutions(), 20).requires_grad_(False)
    assert not diagnose(frozen, batch(4, 3, 32, 32)).findings


# Inputs and the first loss -----------------------------------------------------------------------------


def test_pixels_of_0_to_255_are_found_and_not_those_of_0_to_1():
    pixels = torch.randint(0, 256, (64, 20), generator=torch.Generator().manual_seed(1)).float()
    report = diagnose(mlp(), pixels, LABELS)
    (found,) = [f for f in report.findings if f.kind == "input_scale"]
    assert found.tensor == "0.weight"
    assert 140 < float(found.fields["rms"]) < 155
    assert found is report.findings[0]
    divided = nn.Sequential(mlp())
    divided.forward = lambda x: divided[0](x / 255)
    for model, x in ((mlp(), pixels / 255), (divided, pixels), (mlp(), batch())):
        assert not diagnose(model, x, LABELS).findings
    assert kinds(diagnose(mlp(), 1e-5 * batch()))[:1] == ["input_scale"]


def test_the_first_loss_is_held_against_guessing():
    model = mlp()
    assert "first_loss" not in kinds(diagnose(model, batch(), LABELS))
    model[4].weight.data *= 100
    (found,) = [f for f in diagnose(model, batch(), LABELS).findings if f.kind == "first_loss"]
    loss = nn.functional.cross_entropy(model(batch()), LABELS).item()
    assert found.fields == {"loss": f"{loss:.3g}", "guessing": "2.3", "classes": 10}
    assert found.tensor == "4.weight"
    assert "first_loss" not in kinds(diagnose(model, batch()))  # no loss, no first loss


# What does not learn -----------------------------------------------------------------------------------


class Parts(nn.Module):
    """Two layers, a third beside them, and a head."""

    def __init__(self, way):
        super().__init__()
        self.a, self.b = nn.Linear(20, 64), nn.Linear(64, 64)
        self.aux, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.way = way

    def forward(self, x):
        h = torch.relu(self.a(x))
        if self.way == "detached":
            h = h.detach()
        h = torch.relu(self.b(h))
        beside = 0 if self.way == "never_called" else self.aux(h)
        return self.head(h + beside if self.way in ("whole", "detached") else h)


@pytest.mark.parametrize(
    ("way", "place"), [("never_called", "aux.weight"), ("dropped", "aux.weight"), ("detached", "a.weight")]
)
def test_layers_that_get_no_gradient_are_found_with_the_reason(way, place):
    for loss in (None, LABELS):
        report = diagnose(Parts(way), batch(), loss)
        if way != "dropped" or loss is not None:
            (found,) = report.findings
            assert (found.kind, found.fields["why"], found.tensor) == ("not_learning", way, place)
    assert report.coverage.left_out == ({"never_called": ("aux",)} if way == "never_called" else {})


@pytest.mark.parametrize("used", [True, False])
def test_a_layer_of_the_other_mode_is_left_out_and_no_finding(used):
    model = Parts("never_called").train(not used)
    norm = model.aux = nn.BatchNorm1d(64)
    model.forward = lambda x: model.head(
        (norm if model.training is used else nn.Identity())(torch.relu(model.b(torch.relu(model.a(x)))))
    )
    report = diagnose(model, batch(), LABELS)
    assert not report.findings
    assert report.coverage.left_out == {"skipped": ("aux",)}
    assert model.training is not used
    assert norm.num_batches_tracked == 0
    model.forward = lambda x: 1 / 0 if model.training is used else model.head(model.b(model.a(x)))
    assert [f.fields["why"] for f in diagnose(model, batch(), LABELS).findings] == ["never_called"]


def test_a_weight_that_is_used_by_hand_in_a_layer_left_out_by_chance_is_no_finding():
    """As attention's projections, which WavLM gives to a function, behind LayerDrop."""
    model = Parts("never_called")
    by_hand = lambda h: h + nn.functional.linear(h, model.aux.weight)  # noqa: E731
    model.forward = lambda x: model.head(
        (nn.Identity() if model.training else by_hand)(torch.relu(model.b(torch.relu(model.a(x)))))
    )
    report = diagnose(model, batch(), LABELS)
    assert not report.findings
    assert report.coverage.left_out == {"skipped": ("aux",)}


class Reversible(torch.autograd.Function):
    """As in RevNets: a block that runs again on the way back, and then sets its parameters' gradients."""

    @staticmethod
    def forward(ctx, x, block):
        ctx.block = block
        ctx.save_for_backward(x.detach())
        return block(x.detach()).detach()

    @staticmethod
    def backward(ctx, g):
        x = ctx.saved_tensors[0].requires_grad_()
        with torch.enable_grad():
            y = ctx.block(x)
        y.backward(g)
        return x.grad, None


@pytest.mark.parametrize("pending", [False, True])
def test_a_layer_that_sets_its_own_gradients_learns_and_keeps_those_that_it_had(pending):
    model = mlp()
    if pending:
        model(batch()).sum().backward()
    before = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.forward = lambda x: model[4](Reversible.apply(torch.relu(model[0](x)), model[1:4]))
    assert not diagnose(model, batch(), LABELS).findings
    for p, grad in zip(model.parameters(), before, strict=True):
        assert p.grad is grad if grad is None else torch.equal(p.grad, grad)


def test_checkpointing_that_hides_the_gradients_is_named():
    model = mlp()
    model.forward = lambda x: model[4](checkpoint(model[1:4], model[0](x), use_reentrant=reentrant))
    reentrant = False
    assert not diagnose(model, batch(), LABELS).findings
    reentrant = True
    with pytest.raises(ValueError, match="use_reentrant=False"):
        diagnose(model, batch(), LABELS)


def test_an_expert_that_no_example_was_sent_to_is_no_finding():
    model = mlp()
    model.experts = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))
    model.forward = lambda x: model[4](torch.relu(model.experts[2](model[:4](x))))
    assert not diagnose(model, batch(), LABELS).findings
    model.forward = lambda x: nn.Sequential.forward(model[:5], x)
    assert [f.fields for f in diagnose(model, batch(), LABELS).findings] == [
        {"count": 4, "why": "never_called"}
    ]


def test_a_batch_norm_that_has_seen_nothing_normalizes_in_eval_mode_too():
    """Its statistics are 0 and 1: a fresh ResNet's stream would grow with its depth."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
            nn.init.kaiming_normal_(self.conv.weight)

        def forward(self, x):
            return torch.relu(x + self.norm(self.conv(x)))

    blocks = (Residual() for _ in range(12))
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )
    x = batch(8, 3, 10, 10)
    assert not diagnose(model, x).findings
    model.eval()
    assert not diagnose(model, x).findings
    assert not any(m.training or getattr(m, "num_batches_tracked", 0) for m in model.modules())
    for m in model.modules():  # one that has seen batches is taken at its word
        if isinstance(m, nn.BatchNorm2d):
            m.running_var.fill_(0.5)
    assert "stream_explodes" in kinds(diagnose(model, x))
    diagnose(model, x[:1])


def test_all_outputs_count_where_there_is_no_loss_and_frozen_layers_are_a_note():
    model = Parts("whole")
    assert not diagnose(model, batch(), LABELS).findings
    two = Parts("dropped")
    two.forward = lambda x: (two.head(two.b(two.a(x))), two.aux(two.b(two.a(x))))
    assert not diagnose(two, batch()).findings
    model.a.requires_grad_(False)
    report = diagnose(model, batch(), LABELS)
    assert not report.findings
    assert [(note.kind, note.fields["count"]) for note in report.notes] == [("frozen", 2)]


def test_a_layer_that_the_first_output_multiplies_by_zero_learns_from_the_others():
    """DETR's heads: the stack of all is returned, and first its last."""
    model = Parts("dropped")
    model.aux = nn.Linear(64, 10)

    def forward(x):
        both = torch.stack([model.aux(model.b(model.a(x))), model.head(model.b(model.a(x)))])
        return both[1], both

    model.forward = forward
    assert not diagnose(model, batch()).findings
    (found,) = diagnose(model, batch(), lambda out: out[0].square().mean()).findings
    assert (found.kind, found.tensor) == ("not_learning", "aux.weight")


def test_what_another_output_is_made_of_is_a_note_where_the_loss_is_of_the_first():
    two = Parts("dropped")
    two.forward = lambda x: (lambda h: (two.head(h), two.aux(h)))(two.b(two.a(x)))
    for loss in (LABELS, lambda out: out[0].square().mean()):
        report = diagnose(two, batch(), loss)
        assert not report.findings
        assert [(note.kind, note.tensor) for note in report.notes] == [("not_in_loss", "aux")]
        assert [name for name, g in zip(report.layers, report.signals.grad_var, strict=True) if g != g] == [
            "aux"
        ]
        assert not re.search("mean square: (0|nan) at the last", str(report))
        assert "<img" in report._repr_html_()
    two.head.weight.data *= 100
    findings = diagnose(two, batch(), LABELS).findings
    assert [f.tensor for f in findings if f.kind == "first_loss"] == ["head.weight"]


def test_a_target_is_a_note_and_features_that_were_cut_off_are_not():
    model = Parts("dropped")
    model.forward = lambda x: (
        model.head(model.b(model.a(x))),
        model.b(model.aux(x[:, :1].expand(-1, 64))).detach(),
    )
    (note,) = diagnose(model, batch()).notes
    assert (note.kind, note.tensor) == ("not_in_loss", "aux")
    cut = Parts("dropped")
    del cut.aux
    cut.forward = lambda x: (cut.head(cut.b(cut.a(x).detach())), cut.a(x).detach())
    report = diagnose(cut, batch())
    assert [(f.fields["why"], f.tensor) for f in report.findings] == [("detached", "a.weight")]
    assert not report.notes


def test_a_gradient_of_zero_is_found_once_and_dead_units_tell_it_better():
    model = mlp()
    model.forward = lambda x: model[4](torch.relu(model[2](torch.sign(torch.relu(model[0](x)) + 1))))
    (found,) = diagnose(model, batch(), LABELS).findings
    assert (found.kind, found.tensor, found.fields["why"]) == ("not_learning", "0.weight", "zero")
    model = mlp()
    model[2].bias.data -= 9
    assert [(f.kind, f.tensor) for f in diagnose(model, batch(), LABELS).findings] == [
        ("dead_units", "2.weight")
    ]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
@pytest.mark.parametrize("zero", [True, False])
def test_a_norm_of_zeros_outside_a_branch_cuts_off_what_lies_before_it(norm, zero):
    model = mlp()
    model.insert(3, norm(64))
    nn.init.constant_(model[3].weight, 0 if zero else 1)
    found = [(f.kind, f.tensor) for f in diagnose(model, batch(), LABELS).findings]
    assert found == [("not_learning", "0.weight … 2.weight")][:zero]


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.ReLU, nn.ReLU6])
def test_units_that_a_bias_has_killed(activation):
    model = nn.Sequential(nn.Linear(20, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 10))
    assert not diagnose(model, batch(), LABELS).findings
    model[2].bias.data -= 9
    assert ("dead_units", "2.weight") in [(f.kind, f.tensor) for f in diagnose(model, batch()).findings]


# Recurrent layers, layers alike ------------------------------------------------------------------------


class Read(nn.Module):
    def __init__(self, kind, layers, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(16, 32, layers, batch_first=True, **options)
        self.head = nn.Linear(32 * (1 + self.rnn.bidirectional), 10)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"bias": False}], ids=str)
def test_recurrent_layers_are_looked_into_one_by_one(kind, options):
    model, x = Read(kind, 3, **options), batch(8, 12, 16)
    report = diagnose(model, x)
    assert report.layers == ("rnn.l0", "rnn.l1", "rnn.l2", "head")
    assert not report.findings
    last = model.rnn(x)[0].detach().numpy()
    assert abs(report.signals.q[2] / np.square(last).mean() - 1) < 1e-4  # as the module itself computes it
    assert (report.signals.grad_var > 0).all()


def test_a_stack_of_recurrent_layers_that_lets_nothing_through():
    model = Read("RNN", 4)
    for p in model.rnn.parameters():
        nn.init.normal_(p, std=0.01)
    (found,) = diagnose(model, batch(8, 12, 16)).findings
    assert found.kind == "gradient_vanishes"
    assert found.tensor == "rnn.weight_ih_l0 … rnn.weight_ih_l3"
    assert "4 stacked RNN layers" in found.message("en")


def test_a_forget_bias_that_was_set_in_one_layer_only():
    model = Read("LSTM", 3)
    model.rnn.bias_hh_l0.data[32:64] = 1
    (found,) = diagnose(model, batch(8, 12, 16)).findings
    assert (found.kind, found.tensor) == ("forget_bias", "rnn.bias_hh_l1 … rnn.bias_hh_l2")
    for k in range(3):
        getattr(model.rnn, f"bias_hh_l{k}").data[32:64] = 1
    assert not diagnose(model, batch(8, 12, 16)).findings


class Stacked(Read):
    """The same stack as modules of one layer each."""

    def __init__(self, kind, layers):
        super().__init__(kind, 1)
        one = getattr(nn, kind)
        self.rnn = nn.ModuleList(one(32 if k else 16, 32, batch_first=True) for k in range(layers))

    def forward(self, x):
        for rnn in self.rnn:
            x = nn.functional.dropout(rnn(x)[0], 0.1)
        return self.head(x[:, -1])


def test_a_stack_of_recurrent_modules_is_judged_as_one_of_their_layers():
    model, x = Stacked("LSTM", 4), batch(8, 12, 16)
    assert not diagnose(model, x).findings
    for rnn in model.rnn[:3]:
        rnn.bias_hh_l0.data[32:64] = 1
    assert [(f.kind, f.tensor) for f in diagnose(model, x).findings] == [("forget_bias", "rnn.3.bias_hh_l0")]
    for p in model.rnn.parameters():
        nn.init.normal_(p, std=0.01)
    (found,) = diagnose(model, x).findings
    assert (found.kind, found.tensor) == ("gradient_vanishes", "rnn.0.weight_ih_l0 … rnn.3.weight_ih_l0")
    assert "4 stacked LSTM layers" in found.message("en")


def test_recurrent_modules_beside_each_other_are_no_stack():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.LSTM(16, 32, batch_first=True), nn.LSTM(16, 32, batch_first=True)
            self.one.bias_hh_l0.data[32:64] = 1
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            return self.head(torch.cat([self.one(x)[0][:, -1], self.two(x)[0][:, -1]], 1))

    assert not diagnose(Two(), batch(8, 12, 16)).findings


def test_layers_that_one_seed_drew_are_found():
    model = nn.Sequential(nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 20))
    assert not diagnose(model, batch()).findings
    for k in (0, 2):
        torch.manual_seed(42)
        model[k].reset_parameters()
    (found,) = diagnose(model, batch()).findings
    assert (found.kind, found.fields) == (
        "identical_layers",
        {"count": 2, "one": "0.weight", "other": "2.weight"},
    )
    for k in (0, 2):  # nobody draws an identity
        nn.init.eye_(model[k].weight)
    assert not diagnose(model, batch()).findings
    for k in (0, 2):  # nor weights of few values
        model[k].weight.data = (torch.arange(400.0) * 16 % 7 - 3).reshape(20, 20) / 10
    assert "identical_layers" not in kinds(diagnose(model, batch()))


@pytest.mark.parametrize("seeds", [(0, 0, 0), (0, 1, 2)])
def test_delta_orthogonal_layers_that_one_seed_drew_are_found_in_the_module_and_in_its_file(seeds, tmp_path):
    layers = [nn.Conv2d(16, 16, 3, padding=1) for _ in seeds]
    for layer, seed in zip(layers, seeds, strict=True):
        layer.weight.data = torch.from_numpy(ik.delta_orthogonal((16, 16, 3, 3), rng=seed))
        nn.init.zeros_(layer.bias)
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    np.savez(tmp_path / "net.npz", **{name: p.numpy() for name, p in model.state_dict().items()})
    for report in (diagnose(model, batch(8, 16, 6, 6)), audit(tmp_path / "net.npz")):
        assert [f.kind for f in report.findings] == ["identical_layers"] * (len(set(seeds)) == 1)


# How models come ---------------------------------------------------------------------------------------


def test_wrapped_and_compiled_modules_are_looked_at_themselves():
    model, x = mlp(), batch()
    wanted = diagnose(model, x, LABELS).to_json()
    compiled = mlp()
    compiled.load_state_dict(model.state_dict())
    compiled.compile(backend="eager")
    inside = nn.Sequential(torch.compile(model, backend="eager"))
    wrapped = (torch.compile(model, backend="eager"), nn.DataParallel(model), compiled)
    for one in wrapped:
        assert diagnose(one, x, LABELS).to_json() == wanted
    assert compiled._compiled_call_impl is not None
    assert len(diagnose(inside, x, LABELS).layers) == 3


def test_a_batch_by_name_and_the_loss_that_the_module_returns():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, *, inputs, mask=None, labels=None):
            logits = self.net(inputs)
            loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
            return {"loss": loss, "logits": logits}

    model, x = Named(), batch()
    mask = torch.ones(64)
    plain = diagnose(model.net, x, LABELS)
    named = diagnose(model, {"inputs": x, "mask": mask, "labels": LABELS})
    np.testing.assert_allclose(named.signals.grad_var, plain.signals.grad_var, rtol=1e-4)
    model.net[4].weight.data *= 100
    assert "first_loss" in kinds(diagnose(model, {"inputs": x, "labels": LABELS}))
    with pytest.raises(
        TypeError, match=r"batch must be a tensor, a tuple .* dict of inputs by name, not str"
    ):
        diagnose(model, {"inputs": "x"})


@pytest.mark.skipif(not hasattr(torch, "float8_e4m3fn"), reason="float8")
def test_float8_parameters_and_a_layer_written_by_hand():
    class Stored(nn.Module):
        """A weight in float8, as it is stored for inference."""

        def __init__(self):
            super().__init__()
            stored = nn.Linear(20, 64).weight.detach().to(torch.float8_e4m3fn)
            self.weight = nn.Parameter(stored, requires_grad=False)

        def forward(self, x):
            return x @ self.weight.float().T

    model = nn.Sequential(Stored(), nn.ReLU(), nn.Linear(64, 10))
    before = model[0].weight.view(torch.uint8).clone()
    report = diagnose(model, batch(), LABELS)
    assert report.layers == ("0", "2")
    assert not report.findings
    assert torch.equal(model[0].weight.view(torch.uint8), before)


def test_hugging_faces_conv1d_is_a_linear_layer_with_its_axes_exchanged():
    class Conv1D(nn.Module):
        def __init__(self, inputs, units):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(inputs, units) * math.sqrt(2 / inputs))
            self.bias = nn.Parameter(torch.zeros(units))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight)

    model = nn.Sequential(Conv1D(20, 96), nn.ReLU(), Conv1D(96, 64), nn.ReLU(), Conv1D(64, 10))
    report = diagnose(model, batch())
    assert not report.findings
    assert [(t.fan_in, t.fan_out) for t in report.tensors[::2]] == [(20, 96), (96, 64), (64, 10)]
    model[2].weight.data[:, 7] = model[2].weight.data[:, 3]
    (found,) = diagnose(model, batch()).findings
    assert (found.kind, found.fields["second"]) == ("symmetric_rows", 7)
    model[4].weight.data *= 100
    assert apply(model, batch(), rng=0).done["2.weight"].startswith("orthogonal(in_axis=0, out_axis=1)")
    assert not diagnose(model, batch()).findings
    assert apply(model, only="2", rng=0).done["2.weight"].startswith("he_normal(in_axis=0, out_axis=1)")
    assert model[2].weight.std().item() == pytest.approx(math.sqrt(2 / 96), rel=0.05)


# In a test suite ---------------------------------------------------------------------------------------


def test_assert_healthy_fails_with_the_report_and_lets_through_what_is_allowed():
    assert assert_healthy(mlp(), batch(), LABELS) is None
    model = Parts("never_called")
    with pytest.raises(AssertionError, match=r"aux\.weight: layers that are never called: 1"):
        assert_healthy(model, batch(), LABELS)
    with pytest.raises(AssertionError, match="从未被调用"):
        assert_healthy(model, batch(), LABELS, lang="zh")
    assert_healthy(model, batch(), LABELS, allow=("not_learning",))
    with pytest.raises(ValueError, match=r"allow must hold kinds of findings, .*; not typo"):
        assert_healthy(model, batch(), allow=["typo"])


class ByHand(nn.Module):
    """No layer: weights of its own, multiplied by hand."""

    def __init__(self):
        super().__init__()
        self.w = nn.ParameterList([torch.randn(20, 20) / 20**0.5 for _ in range(3)])

    def forward(self, x):
        return functools.reduce(lambda x, w: torch.tanh(x @ w), self.w, x)


@pytest.mark.parametrize(
    ("make", "left_out"),
    [
        (ByHand, {}),
        (nn.Flatten, {}),
        (lambda: nn.GRUCell(20, 8), {"recurrent": ("GRUCell",)}),
        (lambda: nn.Sequential(nn.Linear(20, 8, dtype=torch.complex64)), {"no_tensor": ("0",)}),
    ],
    ids=["ByHand", "Flatten", "GRUCell", "complex"],
)
def test_where_no_layer_is_watched_the_verdict_says_so(make, left_out):
    model = make()  # here, where the seed is set
    x = batch().to(torch.complex64) if "no_tensor" in left_out else batch()
    report = diagnose(model, x)
    assert (report.signals, report.coverage.judged) == (None, ())
    assert left_out.items() <= report.coverage.left_out.items()
    assert str(report).startswith("No layer's signal could be watched")
    assert "Nothing wrong" not in report._repr_html_()
    assert_healthy(model, x)
    assert apply(model, x).verdict == "well"
    assert set(apply(model, rng=0).done) == (set(model.state_dict()) if "recurrent" in left_out else set())


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_coverage_stands_in_every_report(lang):
    whole = str(diagnose(mlp(), batch(), lang=lang))
    assert {"zh": "3 层全部查看过。", "en": "Looked at all 3 layers."}[lang] in whole
    part = str(diagnose(Parts("never_called"), batch(), lang=lang))
    assert {"zh": "共 4 层，查看了 3 层", "en": "Looked at 3 of 4 layers; not at:"}[lang] in part
    assert re.search(r"·.*aux$", part, re.MULTILINE)


# What other people's nets do ---------------------------------------------------------------------------


def test_apply_holds_a_loss_to_its_own_unit():
    """A mean square error far below 1, a loss below 0, and one that is infinite."""
    assert not _worse((-50.0, -60.0), (-50.0, -60.0), sure=True)
    assert _worse((0.05, 0.004), (0.13, 0.096), sure=True)
    assert not _worse((4.0, 1.4), (1.4, 1.1), sure=True)
    assert not _worse((math.inf, math.inf), (2.3, 2.0), sure=True)


class Equation(nn.Module):
    """A net that differentiates by its input, as a physics-informed one does."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))

    def forward(self, x):
        x = x.requires_grad_()
        u = self.net(x)
        return u, torch.autograd.grad(u.sum(), x, create_graph=True)[0]


def test_apply_draws_a_net_that_differentiates_in_forward():
    model = Equation()
    model.net[2].weight.data *= 30
    loss = lambda out: (out[0].square() + out[1].square().sum(1, keepdim=True)).mean()  # noqa: E731
    assert apply(model, batch(64, 2), rng=0, loss=loss).done


def test_a_loss_that_refuses_what_training_has_made_counts_as_infinite():
    model, calls = mlp(), []
    nn.init.normal_(model[2].weight, std=30.0)

    def loss(out):
        calls.append(out)
        if len(calls) == 3:  # after ``diagnose`` and the trial's first step, of the old weights
            raise ValueError("Expected parameter loc to satisfy the constraint Real()")
        return nn.functional.cross_entropy(out, LABELS)

    did = apply(model, batch(), rng=0, loss=loss)
    assert did.losses[0][1] == math.inf
    assert did.verdict == "drawn"


def test_nothing_has_a_gradient():
    cut = lambda out: nn.functional.cross_entropy(out.detach(), LABELS)  # noqa: E731
    (finding,) = diagnose(mlp(), batch(), cut).findings
    assert (finding.kind, finding.fields) == ("not_learning", {"count": 3, "why": "detached"})


def test_what_is_not_finite_behind_a_finite_batch_is_told():
    model, x = mlp(), batch()
    model.forward = lambda x: nn.Sequential.forward(model, (x - x.mean(0)) / x.std(0))
    x[:, 3] = 1
    assert [(f.kind, f.tensor) for f in diagnose(model, x, LABELS).findings] == [("overflow", "0.weight")]


def test_a_loss_that_refuses_nan_does_not_hide_where_it_is():
    model = mlp().append(nn.Sigmoid())
    model[0].weight.data[0, 0] = math.nan
    wanted = nn.functional.one_hot(LABELS, 10).float()
    report = diagnose(model, batch(), lambda out: nn.functional.binary_cross_entropy(out, wanted))
    assert kinds(report) == ["non_finite"]
    with pytest.raises(TypeError, match="loss is called with the module's output alone"):
        diagnose(mlp(), batch(), nn.CrossEntropyLoss())


@pytest.mark.parametrize("by_its_bias", [True, False])
def test_an_output_that_its_bias_makes_rare_is_not_saturated(by_its_bias):
    """The prior of focal loss (Lin et al. 2017); weights that saturate it are told."""
    model = mlp().append(nn.Sigmoid())
    nn.init.normal_(model[4].weight, 0, 0.01 if by_its_bias else 30.0)
    nn.init.constant_(model[4].bias, -math.log(99))
    report = diagnose(model, batch(), lambda out: out.square().mean())
    assert ("saturated_outputs" in kinds(report)) == (not by_its_bias)


def test_an_embedding_s_dead_units_have_no_bias_to_blame():
    model = nn.Sequential(nn.Embedding(50, 32), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    model[0].weight.data.abs_().neg_()
    report = diagnose(model, torch.arange(64).reshape(16, 4) % 50)
    assert ("dead_units", "0.weight") in [(f.kind, f.tensor) for f in report.findings]


class Transformed(nn.Module):
    """A spatial transformer, whose grid starts as the identity: weights 0, and a bias."""

    def __init__(self):
        super().__init__()
        self.where, self.fc = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 6)), nn.Linear(64, 10)
        self.where[2].weight.data.zero_()
        self.where[2].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, x):
        grid = nn.functional.affine_grid(self.where(x.flatten(1)).view(-1, 2, 3), x.shape, False)
        return self.fc(nn.functional.grid_sample(x, grid, align_corners=False).flatten(1))


def test_a_grid_that_starts_as_the_identity_is_a_design():
    report = diagnose(Transformed(), batch(32, 1, 8, 8))
    assert "all_zero" not in kinds(report)
    assert [(f.kind, f.tensor) for f in report.notes] == [("zero_gate", "where.2.weight")]


def test_two_factors_that_are_zero_do_not_learn():
    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.user, self.item = nn.Embedding(10, 4), nn.Embedding(20, 4)
            for table in (self.user, self.item):
                nn.init.zeros_(table.weight)

        def forward(self, user, item):
            return (self.user(user) * self.item(item)).sum(1)

    pairs, loss = (torch.arange(10), torch.arange(10)), lambda out: (out - 1).square().mean()
    model = Factors()
    assert [(f.kind, f.fields["count"]) for f in diagnose(model, pairs, loss).findings] == [
        ("not_learning", 2)
    ]
    nn.init.normal_(model.user.weight)  # then the other one learns at once
    assert not diagnose(model, pairs, loss).findings


def test_what_is_written_into_a_buffer_is_followed():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            for layer in (self.a, self.b):
                h = x.new_zeros(len(x), 64)
                h[:] = torch.relu(layer(x))
                x = h
            return self.c(x)

    for name, findings, notes in ("a", ["all_zero"], []), ("b", ["all_zero"], []), ("c", [], ["zero_head"]):
        model = Written()
        nn.init.zeros_(getattr(model, name).weight)
        report = diagnose(model, batch(), LABELS)
        assert (kinds(report), [note.kind for note in report.notes]) == (findings, notes)
        assert {f.tensor for f in (*report.findings, *report.notes)} == {f"{name}.weight"}


def test_features_looked_up_in_a_parameter_are_no_input():
    class Hashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.ParameterList([nn.Parameter(torch.empty(256, 8).uniform_(-1e-4, 1e-4))])
            self.net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))

        def forward(self, x):
            return self.net(self.table[0][(x[:, 0] * 1000).long() % 256])

    assert "input_scale" not in kinds(diagnose(Hashed(), batch()))


def test_what_is_trained_stays_though_its_fans_lie_the_other_way():
    """A dead input is a dead unit of nothing."""
    for layer in (nn.Linear(64, 64), nn.ConvTranspose2d(64, 64, 1)):
        with torch.no_grad():
            w = torch.distributions.StudentT(3.0).sample(layer.weight.shape) * 0.05
            (w[:, 3] if isinstance(layer, nn.Linear) else w[3]).zero_()
            layer.weight.copy_(w)
        assert apply(nn.Sequential(layer), rng=0).kept.get("trained")
