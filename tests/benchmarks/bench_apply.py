"""What ``doctor.apply`` is worth: beside AnyInit on plain nets, and on well-known architectures.

    python tests/benchmarks/bench_apply.py [--seeds 3] [--write] [--only resnet18 …]

Prints two tables in Markdown; with ``--write`` into DOCTOR.md beside this file. ``--only`` measures these
architectures alone, and takes all the rest from there. Nothing is downloaded: every architecture is built
from a small configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.metadata
import itertools
import math
import os
import re
import statistics
import warnings
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from torch import nn

import initkit as ik
from initkit.doctor import apply
from initkit.doctor.torch_beside import brought_to_size
from initkit.doctor.torch_examine import examined
from initkit.doctor.torch_watch import LINEAR, Watch, is_rescaled

STEPS = 20
PAGE = Path(__file__).parent / "DOCTOR.md"
NEAR = 1.05, 0.1  # a loss is worse that is above this factor times the other, plus this


# Plain nets beside AnyInit -------------------------------------------------------------------------


def mlp(activation):
    widths = [64, *[100] * 20]
    layers = [m for n, k in itertools.pairwise(widths) for m in (nn.Linear(n, k), activation())]
    return nn.Sequential(*layers, nn.Linear(100, 10))


def convolutions():
    layers = [m for k in range(12) for m in (nn.Conv2d(32 if k else 1, 32, 3, padding=1), nn.ReLU())]
    image = nn.Unflatten(1, (1, 8, 8))
    return nn.Sequential(image, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([m for m in mlp(nn.ReLU) if isinstance(m, nn.Linear)])

    def forward(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.relu(layer(x))
        return last(x)


class Block(nn.Module):
    def __init__(self, width=100):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(torch.relu(x))))


def residual(blocks=30):
    return nn.Sequential(nn.Linear(64, 100), *[Block() for _ in range(blocks)], nn.Linear(100, 10))


PLAIN = {
    "20 ReLU layers": lambda: mlp(nn.ReLU),
    "20 tanh": lambda: mlp(nn.Tanh),
    "20 GELU": lambda: mlp(nn.GELU),
    "20 SiLU": lambda: mlp(nn.SiLU),
    "12 convolutions, ReLU": convolutions,
    "20 functional ReLU": Functional,
    "30 residual blocks, no norm": residual,
}


def digits(seed: int, n: int = 128):
    """n of the course's digits, with mean 0 and variance 1 as they come."""
    data = ik.datasets.digits()
    chosen = torch.randperm(len(data.x_train), generator=torch.Generator().manual_seed(seed))[:n]
    return torch.tensor(data.x_train).float()[chosen], torch.tensor(data.y_train).long()[chosen]


def losses(model, loss) -> tuple[float, float]:
    """The loss of a copy at first, and after STEPS steps of Adam, lr 0.001, on the one batch."""
    torch.manual_seed(5)
    model = copy.deepcopy(model)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    seen = []
    for _ in range(STEPS + 1):
        value = loss(model)
        seen.append(value.item())
        adam.zero_grad()
        value.backward()
        adam.step()
    return seen[0], seen[-1]


def plain(seeds: int):
    import anyinit

    ways = {
        "untouched": lambda model, x: None,
        "`apply(model)`": lambda model, x: apply(model, rng=0),
        "`apply(model, batch)`": lambda model, x: apply(model, x, rng=0),
        "AnyInit analytic": lambda model, x: anyinit.initialize(model, "analytic", x),
        "AnyInit empirical": lambda model, x: anyinit.initialize(model, "empirical", x),
    }
    yield "| net | " + " | ".join(ways) + " |"
    yield "|---|" + "---|" * len(ways)
    for name, make in PLAIN.items():
        cells, after = [], []
        for way in ways.values():
            pairs = []
            for seed in range(seeds):
                torch.manual_seed(seed)
                model, (x, y) = make(), digits(seed)
                way(model, x)
                pairs.append(losses(model, lambda m, x=x, y=y: nn.functional.cross_entropy(m(x), y)))
            first, last = (statistics.median(column) for column in zip(*pairs, strict=True))
            after.append(last)
            cells.append(f"{first:.3g} → {last:.3g}")
        best = min(after[3:])
        cells[2] = f"**{cells[2]}**" if after[2] <= best else f"{cells[2]} (+{after[2] - best:.2g})"
        yield f"| {name} | " + " | ".join(cells) + " |"


# Well-known architectures --------------------------------------------------------------------------


def stub_operators() -> None:
    """Declare torchvision's compiled operators, which a build for another torch lacks; none is called."""
    spec = importlib.util.find_spec("torchvision")
    text = (Path(spec.origin).parent / "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in set(re.findall(r'(?:register_meta|register_fake)\("(?:torchvision::)?(\w+)"', text)):
        with contextlib.suppress(RuntimeError):
            library.define(f"{name}(Tensor x) -> Tensor")
    STUBS.append(library)


STUBS: list = []  # while they live, the operators are declared


def vision(name, side=32, **arguments):
    def make():
        import torchvision

        return getattr(torchvision.models, name)(weights=None, num_classes=10, **arguments)

    return make, lambda: torch.randn(4, 3, side, side)


def timmed(name, side=64, **arguments):
    def make():
        import timm

        return timm.create_model(name, pretrained=False, num_classes=10, **arguments)

    return make, lambda: torch.randn(4, 3, side, side)


def narrowed(build, side=32):
    """An architecture of fewer or narrower blocks than any that its package names."""
    return build, lambda: torch.randn(4, 3, side, side)


def resnet():
    from torchvision.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)


def shufflenet():
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([2, 3, 2], [24, 48, 96, 192, 1024], num_classes=10)


def densenet():
    from torchvision.models import DenseNet

    return DenseNet(12, (3, 4, 4), 24, num_classes=10)


def convnext():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    widths = (24, 48), (48, 96), (96, None)
    return ConvNeXt([CNBlockConfig(*pair, 2) for pair in widths], num_classes=10)


def regnet():
    from torchvision.models.regnet import BlockParams, RegNet

    sizes = {"depth": 7, "w_0": 24, "w_a": 24.0, "w_m": 2.0, "group_width": 8, "se_ratio": 0.25}
    return RegNet(BlockParams.from_init_params(**sizes), num_classes=10)


def efficientnet():
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    blocks = (1, 3, 1, 16, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 64, 2)
    return EfficientNet([MBConvConfig(*b) for b in blocks], 0.2, num_classes=10, last_channel=256)


def mixer(**arguments):
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(num_classes=10, img_size=64, num_blocks=4, embed_dim=96, **arguments)


def resmlp():
    from timm.models.mlp_mixer import Affine, ResBlock

    return mixer(mlp_ratio=4, block_layer=ResBlock, norm_layer=Affine)


def hugging(model, config, **arguments):
    def make():
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(**arguments))

    return make, lambda: torch.randint(0, 500, (4, 16))


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        from diffusers import UNet2DModel

        self.net = UNet2DModel(
            sample_size=16,
            layers_per_block=1,
            block_out_channels=(32, 64),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x):
        return self.net(x, torch.arange(len(x))).sample


class Reader(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.emb, self.fc = nn.Embedding(500, 64), nn.Linear(128, 10)
        self.rnn = getattr(nn, kind)(64, 128, 2, batch_first=True)

    def forward(self, x):
        return self.fc(self.rnn(self.emb(x))[0][:, -1])


def tokens():
    return torch.randint(0, 500, (16, 20))


BERT = {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
BERT |= {"intermediate_size": 128}
LLAMA = {**BERT, "num_key_value_heads": 2}
VIT = {"img_size": 64, "embed_dim": 96, "depth": 4, "num_heads": 3}
MOBILE = [1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 64, 2, 2]  # expansion, channels, blocks, stride
NFNET = {"depths": (1, 1, 2, 1), "channels": (32, 64, 96, 128), "group_size": 8, "num_features": 256}
MODELS = {
    "torchvision ResNet": narrowed(resnet),
    "torchvision squeezenet1_1": vision("squeezenet1_1"),
    "torchvision mobilenet_v2": vision("mobilenet_v2", width_mult=0.35, inverted_residual_setting=MOBILE),
    "torchvision mobilenet_v3_small": vision("mobilenet_v3_small", width_mult=0.5),
    "torchvision ShuffleNetV2": narrowed(shufflenet, 64),
    "torchvision mnasnet0_5": vision("mnasnet0_5", 64),
    "torchvision DenseNet": narrowed(densenet),
    "torchvision ConvNeXt": narrowed(convnext),
    "torchvision RegNetY": narrowed(regnet),
    "torchvision EfficientNet": narrowed(efficientnet),
    "timm vit_tiny_patch16_224": timmed("vit_tiny_patch16_224", **VIT),
    "timm deit3_small_patch16_224": timmed("deit3_small_patch16_224", **VIT),
    "timm convnext_atto": timmed("convnext_atto", 32, depths=(1, 1, 2, 1), dims=(24, 48, 96, 192)),
    "timm test_efficientnet": timmed("test_efficientnet", 32),
    "timm MLP-Mixer": narrowed(mixer, 64),
    "timm ResMLP": narrowed(resmlp, 64),
    "timm nfnet_l0": timmed("nfnet_l0", 32, **NFNET),
    "timm ghostnet_050": timmed("ghostnet_050", 32),
    "transformers GPT2": hugging(
        "GPT2LMHeadModel", "GPT2Config", vocab_size=500, n_positions=64, n_embd=64, n_layer=3, n_head=4
    ),
    "transformers Bert": hugging("BertForSequenceClassification", "BertConfig", **BERT),
    "transformers Roberta": hugging("RobertaForSequenceClassification", "RobertaConfig", **BERT),
    "transformers Llama": hugging("LlamaForCausalLM", "LlamaConfig", **LLAMA),
    "transformers Qwen2": hugging("Qwen2ForCausalLM", "Qwen2Config", **LLAMA),
    "transformers OPT": hugging(
        "OPTForCausalLM", "OPTConfig", vocab_size=500, hidden_size=64, ffn_dim=128, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=64, word_embed_proj_dim=64,
    ),
    "transformers T5 encoder": hugging(
        "T5EncoderModel", "T5Config", vocab_size=500, d_model=64, d_kv=16, d_ff=128, num_layers=3, num_heads=4
    ),
    "diffusers UNet2D": (Denoiser, lambda: torch.randn(2, 3, 16, 16)),
    "Embedding, LSTM": (lambda: Reader("LSTM"), tokens),
    "Embedding, GRU": (lambda: Reader("GRU"), tokens),
}  # fmt: skip


def first_tensor(output):
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if isinstance(output, dict) else output
    return next(t for t in map(first_tensor, values) if t.is_floating_point())


def loss_on(batch):
    """Cross-entropy to labels drawn at random; for images, the mean square distance to noise."""

    def loss(model):
        y = first_tensor(model(batch))
        stream = torch.Generator().manual_seed(9)
        if y.ndim > 3:
            return (y - torch.randn(y.shape, generator=stream)).square().mean()
        y = y.reshape(-1, y.shape[-1])
        return nn.functional.cross_entropy(y, torch.randint(y.shape[-1], (len(y),), generator=stream))

    return loss


def weights(model):
    """The weights of Linear, Conv and recurrent layers, and of Hugging Face's Conv1D."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase)
    layers = [m for m in model.modules() if isinstance(m, kinds) or type(m).__name__ == "Conv1D"]
    named = ((name, w) for m in layers for name, w in m.named_parameters(recurse=False))
    return [w for name, w in named if name.startswith("weight") and w.requires_grad]


def scaled(factor):
    def spoil(model, x):
        with torch.no_grad():
            for w in weights(model):
                w.mul_(factor)
        return x

    return spoil


def symmetric(model, x):
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    linear = [m.weight for m in model.modules() if isinstance(m, kinds)]
    conv1d = [m.weight.t() for m in model.modules() if type(m).__name__ == "Conv1D"]
    w = max(conv1d or linear[:-1] or weights(model)[:-1], key=len)
    with torch.no_grad():
        w[1] = w[0]
    return x


def dead(model, x):
    """The bias -9 in every layer whose output goes into a module that lets only positive numbers through."""
    made, found, handles = [], [], []
    for m in model.modules():
        if re.search("ReLU|GELU|SiLU", type(m).__name__):
            seen = lambda m, given: found.extend(one for y, one in made if y is given[0])  # noqa: E731
            handles.append(m.register_forward_pre_hook(seen))
        elif getattr(m, "bias", None) is not None and not list(m.children()):
            handles.append(m.register_forward_hook(lambda m, given, y: made.append((y, m))))
    with torch.no_grad():
        model(x)
        for m in found:
            m.bias.fill_(-9.0)
    for handle in handles:
        handle.remove()
    return x if found else None


def detached(model, x):
    """One layer's output leads back no further. Of recurrent nets none, as theirs are tuples."""
    layers = [
        m for m in model.modules() if isinstance(m, nn.Linear) or type(m).__name__ in ("Conv1D", "Conv2d")
    ]
    if len(layers) < 2:
        return None
    layers[len(layers) // 2].register_forward_hook(lambda m, given, y: y.detach())
    return x


def pixels(model, x):
    return 127.5 * (1 + x.clamp(-2, 2) / 2) if x.is_floating_point() else None


def wrong_fan(model, x):
    """Each weight (out, in, *kernel) at the scale that it has if its fans are read as (*kernel, in, out).

    Where that changes few weights threefold, as in nets of nearly square matrices, it is no illness. Neither
    is it where a norm follows at once and brings the output back to size: ResNet, RegNetY and DenseNet then
    end at a lower loss than untouched ones, by SGD (lr 0.1 and 0.01) as by Adam, even if their heads begin
    too large. Nor is it where the layer brings its weight to size itself, as NFNet's convolutions do.
    """
    factors = {}
    with torch.no_grad():
        for w in weights(model):
            right, wrong = ik.fans(w.shape).fan_in, ik.fans(w.shape, in_axis=-2, out_axis=-1).fan_in
            factors[id(w)] = math.sqrt(right / wrong)
            w.mul_(factors[id(w)])
        with Watch(model, ((x,),)) as watch:
            model(x)
    undone = {id(layer.module.weight) for layer, so in brought_to_size(watch.layers).items() if so}
    undone |= {
        id(layer.module.weight)
        for layer in watch.layers
        if isinstance(layer.module, LINEAR) and is_rescaled(layer.module)
    }
    logs = [0.0 if key in undone else abs(math.log(factor)) for key, factor in factors.items()]
    return x if statistics.median(logs) > math.log(3) else None


def exploding_stream(model, x):
    """Each branch of a residual stream ends in a layer 30 times as large, or 900, until it explodes."""

    def stream():
        with torch.no_grad(), Watch(model, ((x,),)) as watch:
            model(x)
        ends = {layer.module for layer in watch.ran() if layer.added}
        return ends, max((one.q for one in watch.sums), default=0.0)

    ends, before = stream()
    for _ in range(2 if ends else 0):
        with torch.no_grad():
            for w in (m.weight for m in ends if getattr(m, "weight", None) is not None):
                w.copy_(30 * w if w.any() else torch.full_like(w, 30))
        if stream()[1] > 100 * max(1, before):
            return x
    return None


# By name: what changes a model, and returns the batch that it then sees, or None where it cannot be done.
SICK = {
    "weights × 0.05": scaled(0.05),
    "weights × 20": scaled(20.0),
    "two units alike": symmetric,
}
FOUND = {  # diagnosed only
    "units dead by bias": dead,
    "a layer detached": detached,
    "input of 0…255": pixels,
    "wrong fan": wrong_fan,
    "exploding stream": exploding_stream,
}
COLUMNS = ["model", "layers", "findings, fresh", "loss, fresh", "`apply(model, batch)`", "loss after it"]


def is_worse(new, old) -> bool:
    factor, slack = NEAR
    return any(not a <= factor * b + slack for a, b in zip(new, old, strict=True))


def by_kind(findings) -> str:
    """The kinds of findings, each with the number of places that it stands for."""
    counts: dict[str, int] = {}
    for f in findings:
        counts[f.kind] = counts.get(f.kind, 0) + f.fields.get("alike", 1)
    return ", ".join(f"{kind} ({n})" for kind, n in sorted(counts.items())) or "none"


def arrow(pair, than=None) -> str:
    """A loss at first and after the steps, and whether it is worse."""
    return f"{pair[0]:.3g} → {pair[1]:.3g}" + (" (worse)" if than and is_worse(pair, than) else "")


def architecture(name: str) -> str:
    """A row of the table."""
    make, batch = MODELS[name]
    torch.manual_seed(0)
    model, x = make(), batch()
    report, loss = examined(model, x)[1], loss_on(x)
    fresh, before = {f.kind for f in report.findings}, losses(model, loss)
    applied = copy.deepcopy(model)
    verdict = apply(applied, x, rng=0).verdict
    cells = [name, str(len(report.coverage.judged)), by_kind(report.findings), arrow(before), verdict]
    cells.append(arrow(losses(applied, loss), before))
    for spoil in (*SICK.values(), *FOUND.values()):
        spoilt = copy.deepcopy(model)
        seen = spoil(spoilt, x)
        if seen is None:
            cells.append("")
            continue
        cell = "found" if {f.kind for f in examined(spoilt, seen, named=False)[1].findings} - fresh else "–"
        if spoil in SICK.values():
            old = losses(spoilt, loss)
            apply(spoilt, x, rng=0)
            new = losses(spoilt, loss)
            cell += f", {old[1]:.3g} → {new[1]:.3g}" + (" (worse)" if is_worse(new, old) else "")
        cells.append(cell)
    return "| " + " | ".join(cells) + " |"


def architectures(rows: dict[str, str]):
    """The table of these rows, and what they come to."""
    columns = [*COLUMNS, *SICK, *FOUND]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    rows = {name: rows[name] for name in MODELS if name in rows}
    yield from rows.values()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.values()]
    layers, said = sum(int(row[1]) for row in cells), [row[2] for row in cells]
    places = sum(map(int, re.findall(r"\((\d+)\)", " ".join(said))))
    sick = [cell for row in cells for cell in row[len(COLUMNS) :] if cell]
    tried = [cell for row in cells for cell in row[5 : len(COLUMNS) + len(SICK)]]
    found, worse = sum("found" in cell for cell in sick), sum("(worse)" in cell for cell in tried)
    yield ""
    ill = sum(one != "none" for one in said)
    yield f"{len(rows)} of {len(MODELS)} models, {layers} layers. Findings though fresh: {places}, in {ill}."
    yield f"Sick ones found: {found} of {len(sick)}. Worse after `apply`: {worse} of {len(tried)}."


def table_rows() -> dict[str, str]:
    """The rows of architectures that stand in DOCTOR.md, by name."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    length = len(COLUMNS) + len(SICK) + len(FOUND) + 2
    return {name: row for name, row in rows.items() if name in MODELS and len(row.split("|")) == length}


def plain_lines() -> list[str]:
    """The table of plain nets that stands in DOCTOR.md."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    first = next((k for k, line in enumerate(lines) if line.startswith("| net |")), len(lines))
    return list(itertools.takewhile(bool, lines[first:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs="*", help="architectures whose name has one of these in it")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a signal that vanishes would take a hundred times as long
    packages = ("torch", "anyinit", "torchvision", "timm", "transformers", "diffusers")
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    lines = [
        "# What `doctor.apply` is worth",
        "",
        f"Loss at first → after {STEPS} steps of Adam (lr 0.001) on one batch, on a CPU with one thread;",
        f"{versions}.",
        "",
        "## Plain nets, beside AnyInit",
        "",
        "Width 100 (32 channels), PyTorch's default before, 128 of the course's digits, softmax",
        f"cross-entropy; median of seeds 0 to {asked.seeds - 1}. In bold where `apply` with the batch ends",
        "at or below the better of AnyInit's two, else by how much it is above.",
        "",
    ]
    stub_operators()
    between = [
        "",
        "## Well-known architectures",
        "",
        "Small configurations, one draw, seed 0, a batch of noise (2 to 16 examples), labels drawn at",
        "random, or noise to be approached by images. Findings by kind, and in how many places; *well*:",
        "`apply` found nothing wrong, *worse*: it measured worse, and wrote nothing. Sick: the same model",
        "spoilt in a way, where it can be; whether `diagnose`, without a loss, then has a kind of finding",
        "that it did not have, and the loss after the steps without → with `apply`. (worse): a loss above",
        f"{NEAR[0]} times the other plus {NEAR[1]}, at first or after the steps. Dropout stays on, with one",
        "draw of masks; a net that is silent begins at ln C, as low as labels drawn at random allow.",
        "",
    ]
    lines += plain(asked.seeds) if asked.only is None else plain_lines()
    rows = table_rows()
    for name in (name for part in asked.only or [""] for name in MODELS if part in name):
        rows[name] = architecture(name)
        print(rows[name], flush=True)
        if asked.write:  # after each, as all of them take an hour
            PAGE.write_text("\n".join([*lines, *between, *architectures(rows), ""]), encoding="utf-8")
    print(*lines, *between, *architectures(rows), sep="\n")
