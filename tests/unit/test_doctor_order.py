"""The order of layers, and what is held to the activation: the same in whatever order a file has them."""

import random

import numpy as np
import pytest

import initkit as ik
from initkit.doctor import audit
from initkit.doctor.roles import natural


def found(folder, layers, activation="relu") -> list:
    np.savez(folder / "net.npz", **layers)
    return [(f.kind, f.tensor) for f in audit(folder / "net.npz", activation=activation).findings]


def held(folder, layers) -> set:
    """The layers that are held to the activation, as their gain, a tenth of what it would be, is found."""
    drawn = {
        n: ik.normal(s, std=0.1 * s[1] ** -0.5, rng=k)
        for k, (n, s) in enumerate(layers.items())
        if np.prod(s) > max(s)
    }
    rest = {name: np.ones(shape, np.float32) for name, shape in layers.items() if name not in drawn}
    return {tensor for kind, tensor in found(folder, drawn | rest) if kind == "scheme_activation_mismatch"}


def test_names_are_sorted_as_people_number_them():
    names = [
        "stem.weight",
        "blocks.2.weight",
        "blocks.10.weight",
        "encoder.fc.weight",
        "decoder.fc.weight",
        "head.weight",
    ]
    mixed = names.copy()
    for seed in range(5):
        random.Random(seed).shuffle(mixed)
        assert sorted(mixed, key=natural) == [names[0], names[1], names[2], *names[3:]]
    assert natural("Dense_9/kernel") < natural("Dense_10/kernel")
    assert sorted(["a", "", "3", "a.3", "a.b.w", "3.w"], key=natural)  # any two names can be compared


NET = {
    "stem.weight": (256, 784),
    "body1.weight": (256, 256),
    "body2.weight": (256, 256),
    "head.weight": (10, 256),
}


@pytest.mark.parametrize("order", ["as written", "sorted", "reversed"])
def test_one_net_has_one_verdict_in_any_order(order, tmp_path):
    names = {"as written": list(NET), "sorted": sorted(NET), "reversed": list(NET)[::-1]}[order]
    gains = {"stem.weight": 1.0, "head.weight": 1.0}
    layers = {n: ik.he_normal(NET[n], gain=gains.get(n, 2**0.5), rng=list(NET).index(n)) for n in names}
    assert found(tmp_path, layers) == []
    layers = {n: ik.torch_default(NET[n], rng=list(NET).index(n)) for n in names}
    kind = "scheme_activation_mismatch"
    assert found(tmp_path, layers) == [(kind, "body1.weight"), (kind, "body2.weight")]


def test_heads_and_stems_are_told_by_their_sizes_too(tmp_path):
    """Two nets in one file, as of actor and critic: each has a first layer and a last."""
    net = {
        f"{who}.{k}.weight": s for who in ("pi", "vf") for k, s in enumerate([(64, 4), (64, 64), (64, 64)])
    }
    assert held(tmp_path, net | {"a.weight": (2, 64), "b.weight": (1, 64)}) == {
        f"{who}.{k}.weight" for who in ("pi", "vf") for k in (1, 2)
    }


def test_behind_a_flattened_convolution(tmp_path):
    net = {
        "c.0.weight": (16, 3, 3, 3),
        "c.1.weight": (32, 16, 3, 3),
        "f.0.weight": (64, 32 * 49),
        "f.1.weight": (9, 64),
    }
    assert held(tmp_path, net) == {"c.1.weight", "f.0.weight"}


def test_what_is_not_before_the_activation_is_not_held_to_it(tmp_path):
    layers = {"stem.weight": (64, 64), "out.weight": (64, 64)}
    aside = [
        "attn.q_proj",
        "self_attention.query",
        "attn.c_proj",
        "downsample.0",
        "fpn.inner_blocks",
        "shortcut",
        "se.fc1",
        "router",
    ]
    for k, name in enumerate(aside):
        layers[f"blocks.{k}.{name}.weight"] = (64, 64)
    layers["blocks.8.fc1.weight"] = layers["blocks.8.conv1.weight"] = (64, 64)
    layers["blocks.9.weight_ih_l0"] = layers["blocks.9.weight_hh_l0"] = (64, 64)
    layers["stem.1.0.weight"] = (64, 64)
    # Torchvision's squeeze-and-excitation, and an MLP of 1×1 convolutions, which has the same names.
    layers |= {"blocks.10.2.fc1.weight": (16, 64, 1, 1), "blocks.10.2.fc2.weight": (64, 16, 1, 1)}
    layers |= {"blocks.11.2.fc1.weight": (256, 64, 1, 1), "blocks.11.2.fc2.weight": (64, 256, 1, 1)}
    mlp = {"blocks.11.2.fc1.weight", "blocks.11.2.fc2.weight"}
    assert held(tmp_path, layers) == {"blocks.8.fc1.weight", "blocks.8.conv1.weight"} | mlp


def test_beside_a_normalization_no_scale_is_held(tmp_path):
    layers = {f"layers.{k}.mlp.fc.weight": (64, 64) for k in range(5)}
    layers |= {
        "layers.1.norm.weight": (64,),
        "layers.2.mlp.bn.weight": (64,),
        "layers.3.mlp.fc.weight_g": (64, 1),
    }
    assert held(tmp_path, layers) == {"layers.3.mlp.fc.weight"}
    layers = {f"layers.{k}.mlp.fc.weight": (64, 64) for k in range(6)}
    layers |= {"layers.1.norm1.alpha": (1, 1, 64), "layers.1.norm1.beta": (1, 1, 64)}  # ResMLP's
    layers |= {"layers.2.mlp.fc.gain": (64, 1, 1, 1), "layers.3.mlp.alpha": (64,)}  # NF-ResNet's; no norm
    experts = {f"layers.4.moe.experts.{k}.w1.weight": (64, 64) for k in range(2)}
    assert held(tmp_path, layers | experts) == {"layers.3.mlp.fc.weight", "layers.4.mlp.fc.weight", *experts}
    assert held(tmp_path, layers | experts | {"layers.4.norm.weight": (64,)}) == {"layers.3.mlp.fc.weight"}
    # Of a path that begins with a number, that is the block.
    plain = {f"{k}.experts.w1.weight": (64, 64) for k in range(3)} | {
        f"{k + 3}.fc.weight": (64, 64) for k in range(3)
    }
    found_in = held(tmp_path, plain)
    assert "1.experts.w1.weight" in found_in
    assert held(tmp_path, plain | {"1.norm.weight": (64,)}) == found_in - {"1.experts.w1.weight"}
    sequential = {f"features.{2 * k}.weight": (64, 64, 3, 3) for k in range(4)}
    assert len(held(tmp_path, sequential)) == 2
    assert held(tmp_path, sequential | {"features.1.weight": (64,)}) == set()


def test_a_gain_by_fan_out_is_as_good(tmp_path):
    """A convolution that doubles the channels, drawn as ResNet's are."""
    shapes = [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (64, 64, 3, 3)]
    layers = {f"{k}.weight": ik.he_normal(s, mode="fan_out", rng=k) for k, s in enumerate(shapes)}
    assert found(tmp_path, layers) == []


def test_a_scale_by_fan_out_is_no_outlier(tmp_path):
    """Depthwise filters and squeezing layers, all drawn by fan_out: by fan_in they are 50 times apart."""
    shapes = [
        (96, 1, 3, 3),
        (4, 96, 1, 1),
        (96, 4, 1, 1),
        (96, 96, 1, 1),
        (144, 1, 3, 3),
        (6, 144, 1, 1),
        (144, 6, 1, 1),
    ]
    net = {f"{k}.weight": ik.he_normal(s, mode="fan_out", rng=k) for k, s in enumerate(shapes)}
    assert found(tmp_path, net, None) == []
    net["3.weight"] = 20 * net["3.weight"]
    assert found(tmp_path, net, None) == [("scale_outlier", "3.weight")]


def test_a_scale_is_compared_with_all_and_with_its_kind(tmp_path):
    """MobileViT: kernels by He in front of norms beside matrices of N(0, 0.02²)."""
    net = {f"blocks.{k}.fc.weight": ik.normal((64, 64), std=0.02, rng=k) for k in range(8)}
    net |= {f"stages.{k}.conv.weight": ik.he_normal((64, 32, 3, 3), gain=3, rng=k) for k in range(5)}
    assert found(tmp_path, net, None) == []
    spoilt = {"stages.3.conv.weight": 400 * net["stages.3.conv.weight"]}
    assert found(tmp_path, net | spoilt, None) == [("scale_outlier", "stages.3.conv.weight")]
    spoilt = {"blocks.3.fc.weight": 100 * net["blocks.3.fc.weight"]}
    assert found(tmp_path, net | spoilt, None) == [("scale_outlier", "blocks.3.fc.weight")]


def test_of_few_inputs_a_common_standard_deviation_is_no_outlier(tmp_path):
    """CaiT mixes its heads by matrices of 4 × 4, drawn at 0.02 as all its weights are."""
    net = {f"blocks.{k}.fc.weight": ik.normal((256, 256), std=0.02, rng=k) for k in range(4)}
    mix = np.array([[1, -1, -1, 1], [1, 1, -1, -1], [-1, 1, -1, 1], [1, 1, 1, -1]], np.float32)
    for std, kinds in ((0.012, []), (0.005, ["scale_outlier"]), (2.0, ["scale_outlier"])):
        assert [kind for kind, _ in found(tmp_path, net | {"blocks.3.mix.weight": std * mix}, None)] == kinds


@pytest.mark.parametrize(
    "name", ["head.weight", "AuxLogits.fc.weight", "blocks.1.gate.proj.weight", "blocks.1.fc.weight"]
)
def test_heads_and_gates_may_begin_small_not_large(tmp_path, name):
    """BEiT's head is drawn a thousand times smaller than the rest, gMLP's gates a million times."""
    net = {f"blocks.{k}.fc.weight": ik.he_normal((64, 64), rng=k) for k in range(8)}
    for std in (1e-6, 30):
        may = std < 1 and "1.fc" not in name
        drawn = {name: ik.normal((64, 64), std=std, rng=9)}
        assert found(tmp_path, net | drawn, None) == ([] if may else [("scale_outlier", name)])


def resnet18() -> dict:
    """The tensors of torchvision's ResNet-18, narrower, drawn as it draws them: by fan_out, with √2."""
    rng = np.random.default_rng(0)  # one for all: of one seed each, layers would be equal
    draw = lambda *shape: ik.he_normal(shape, mode="fan_out", rng=rng)  # noqa: E731
    norm = lambda name, n: {f"{name}.weight": np.ones(n), f"{name}.bias": np.zeros(n)}  # noqa: E731
    net = {"conv1.weight": draw(32, 3, 7, 7)} | norm("bn1", 32)
    n_in = 32
    for k, n in enumerate((32, 64, 128, 256), start=1):
        for block in range(2):
            path = f"layer{k}.{block}"
            net |= {f"{path}.conv1.weight": draw(n, n_in, 3, 3), f"{path}.conv2.weight": draw(n, n, 3, 3)}
            net |= norm(f"{path}.bn1", n) | norm(f"{path}.bn2", n)
            if n != n_in:
                net |= {f"{path}.downsample.0.weight": draw(n, n_in, 1, 1)} | norm(f"{path}.downsample.1", n)
            n_in = n
    return net | {"fc.weight": ik.torch_default((1000, 256), rng=0), "fc.bias": np.zeros(1000, np.float32)}


def llama() -> dict:
    """The tensors of a small Llama of transformers: all N(0, 0.02²), with grouped keys and values."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: ik.normal(shape, std=0.02, rng=rng)  # noqa: E731
    net = {"model.embed_tokens.weight": draw(300, 256), "model.norm.weight": np.ones(256, np.float32)}
    for k in range(4):
        for name, n in {"q": 256, "k": 128, "v": 128, "o": 256}.items():
            net[f"model.layers.{k}.self_attn.{name}_proj.weight"] = draw(n, 256)
        for name, shape in {"gate": (512, 256), "up": (512, 256), "down": (256, 512)}.items():
            net[f"model.layers.{k}.mlp.{name}_proj.weight"] = draw(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            net[f"model.layers.{k}.{name}.weight"] = np.ones(256, np.float32)
    return net | {"lm_head.weight": draw(300, 256)}


@pytest.mark.parametrize(("net", "activation"), [(resnet18, "relu"), (llama, "silu")])
def test_healthy_models_have_no_finding(net, activation, tmp_path):
    assert found(tmp_path, net(), activation) == []
    assert found(tmp_path, dict(sorted(net().items())), activation) == []
