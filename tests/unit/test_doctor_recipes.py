"""Recipes: what is drawn as one says is no finding, and each tensor that is not is one."""

import dataclasses
import json
import math
from typing import get_args

import numpy as np
import pytest

import initkit as ik
from initkit.command import main
from initkit.doctor import audit
from initkit.doctor.recipes import RECIPES, RecipeName
from initkit.words import LANGUAGES

ROOT2 = math.sqrt(2)


def uniform(shape, bound, rng):
    return ik.uniform(shape, low=-bound, high=bound, rng=rng)


def gpt2(rng, blocks=3, d=48):
    """With Conv1D's axes, as Hugging Face has them."""
    normal = lambda *shape, std=0.02: ik.normal(shape, std=std, rng=rng)  # noqa: E731
    found = {"wte.weight": normal(200, d), "wpe.weight": normal(64, d)}
    for k in range(blocks):
        std = 0.02 / math.sqrt(2 * blocks)
        layers = {"attn.c_attn": normal(d, 3 * d), "attn.c_proj": normal(d, d, std=std)}
        layers |= {"mlp.c_fc": normal(d, 4 * d), "mlp.c_proj": normal(4 * d, d, std=std)}
        found |= {f"h.{k}.{name}.weight": w for name, w in layers.items()}
        found |= {f"h.{k}.{name}.bias": np.zeros(w.shape[1], np.float32) for name, w in layers.items()}
        found |= {f"h.{k}.ln_1.weight": np.ones(d, np.float32), f"h.{k}.ln_1.bias": np.zeros(d, np.float32)}
    return found | {"h.0.attn.mask": np.tril(np.ones((8, 8), np.float32))}


def llama(rng, d=48):
    normal = lambda *shape: ik.normal(shape, std=0.02, rng=rng)  # noqa: E731
    found = {"model.embed_tokens.weight": normal(200, d), "lm_head.weight": normal(200, d)}
    found["model.embed_tokens.weight"][0] = 0  # padding_idx
    for k in range(2):
        for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj"):
            found[f"model.layers.{k}.{name}.weight"] = normal(d, d)
        found[f"model.layers.{k}.input_layernorm.weight"] = np.ones(d, np.float32)
    return found | {"model.rotary_emb.inv_freq": np.geomspace(1, 1e-4, 24).astype(np.float32)}


def vit(rng, d=48):
    """timm's, its MLP as by its "jax"."""
    normal = lambda *shape, std=0.02: ik.normal(shape, std=std, rng=rng)  # noqa: E731
    found = {"cls_token": normal(1, 1, d, std=1e-6), "pos_embed": normal(1, 17, d)}
    found["head.weight"] = normal(10, d)
    found["patch_embed.proj.weight"] = uniform((d, 3, 4, 4), 48**-0.5, rng)
    found["patch_embed.proj.bias"] = uniform((d,), 48**-0.5, rng)
    for k in range(2):
        found[f"blocks.{k}.attn.qkv.weight"] = normal(3 * d, d)
        found[f"blocks.{k}.attn.qkv.bias"] = np.zeros(3 * d, np.float32)
        found[f"blocks.{k}.norm1.weight"] = np.ones(d, np.float32)
        found[f"blocks.{k}.mlp.fc1.weight"] = ik.xavier_uniform((4 * d, d), rng=rng)
    return found | {"blocks.0.ls1.gamma": np.full(d, 0.1, np.float32)}


def siren(rng, d=64):
    found = {"net.0.linear.weight": uniform((d, 2), 1 / 2, rng)}
    for k in (1, 2):
        found[f"net.{k}.linear.weight"] = uniform((d, d), math.sqrt(6 / d) / 30, rng)
    return found | {"net.0.linear.bias": uniform((d,), 2**-0.5, rng)}


def ppo(rng, d=64):
    found = {"action_net.weight": 0.01, "value_net.weight": 1, "mlp_extractor.value_net.0.weight": ROOT2}
    shapes = [(2, d), (1, d), (d, 4)]
    found = {
        name: ik.orthogonal(shape, gain=gain, rng=rng)
        for (name, gain), shape in zip(found.items(), shapes, strict=True)
    }
    return found | {"log_std": np.zeros(2, np.float32), "action_net.bias": np.zeros(2, np.float32)}


def lora(rng, d=48):
    found = {"base_model.layers.0.q_proj.weight": ik.normal((d, d), std=0.5, rng=rng)}
    found["base_model.layers.0.q_proj.lora_A.default.weight"] = uniform((8, d), d**-0.5, rng)
    found["base_model.layers.0.q_proj.lora_B.default.weight"] = np.zeros((d, 8), np.float32)
    return found


# The file, what spoils it, and what it has that the recipe does not name.
CASES = {
    "gpt2": (gpt2, "h.1.mlp.c_proj.weight", {"h.0.attn.mask"}),
    "llama": (llama, "model.layers.1.mlp.up_proj.weight", {"model.rotary_emb.inv_freq"}),
    "vit": (vit, "blocks.1.attn.qkv.weight", {"blocks.0.ls1.gamma"}),
    "siren": (siren, "net.2.linear.weight", {"net.0.linear.bias"}),
    "ppo": (ppo, "action_net.weight", set()),
    "lora": (lora, "base_model.layers.0.q_proj.lora_B.default.weight", {"base_model.layers.0.q_proj.weight"}),
}


def audited(folder, tensors, recipe):
    np.savez(folder / "net.npz", **tensors)
    return audit(folder / "net.npz", recipe=recipe)


def test_every_recipe_is_tried():
    assert set(CASES) == set(RECIPES) == set(get_args(RecipeName))


@pytest.mark.parametrize("recipe", CASES)
def test_a_model_as_the_recipe_starts_it(recipe, tmp_path):
    """At the level of 0.001 a file: of these 12, with fixed seeds, none is off."""
    build, _, not_named = CASES[recipe]
    for seed in range(2):
        report = audited(tmp_path, build(np.random.default_rng(seed)), recipe)
        assert report.findings == (), report
        assert set(report.recipe.not_named) == not_named
    assert all(name in report.recipe.lines("en")[-1] for name in not_named)


@pytest.mark.parametrize("recipe", CASES)
def test_a_tensor_that_is_off(recipe, tmp_path):
    build, name, _ = CASES[recipe]
    for spoil in (lambda w: w + 0.01 * (w == 0) + 0.2 * w, lambda w: w[::-1] * 0 + 1.5):
        tensors = build(np.random.default_rng(0))
        tensors[name] = spoil(tensors[name]).astype(np.float32)
        report = audited(tmp_path, tensors, recipe)
        assert report.recipe.off == (name,)
        (finding,) = (f for f in report.findings if f.kind == "off_recipe")
        assert finding.tensor == name
        for lang in LANGUAGES:
            assert finding.fields["source"] in finding.message(lang)
    told = json.loads(report.to_json())["recipe"]
    assert (told["name"], told["off"]) == (recipe, [name])


def test_lone_entries_among_zeros_are_off(tmp_path):
    tensors, name = gpt2(np.random.default_rng(0)), "h.1.mlp.c_proj.weight"
    tensors[name] = np.zeros_like(tensors[name])
    tensors[name][1, 2] = 1.0
    assert audited(tmp_path, tensors, "gpt2").recipe.off == (name,)


def test_gpt2s_projections_are_scaled_by_the_depth(tmp_path):
    tensors = gpt2(np.random.default_rng(0))
    tensors |= {name: w * math.sqrt(6) for name, w in tensors.items() if name.endswith("c_proj.weight")}
    report = audited(tmp_path, tensors, "gpt2")
    assert [f.tensor for f in report.findings] == [
        "h.0.attn.c_proj.weight … h.2.attn.c_proj.weight", "h.0.mlp.c_proj.weight … h.2.mlp.c_proj.weight",
    ]  # fmt: skip
    assert "0.02/√(2·3)" in report.findings[0].message()
    assert len(report.recipe.off) == 6
    assert "初始化核对" in dataclasses.replace(report, lang="zh")._repr_html_()


def test_what_a_recipe_wants_is_no_other_finding(tmp_path):
    tensors = ppo(np.random.default_rng(0))
    for k in (2, 4):
        tensors[f"mlp_extractor.policy_net.{k}.weight"] = ik.orthogonal((64, 64), gain=ROOT2, rng=k)
    assert [f.kind for f in audited(tmp_path, tensors, None).findings] == ["scale_outlier"]
    assert audited(tmp_path, tensors, "ppo").findings == ()


def test_a_recipe_of_another_model_is_an_error(tmp_path, capsys):
    np.savez(tmp_path / "net.npz", **llama(np.random.default_rng(0)))
    for recipe, said in (("lora", "names no weight of the file"), ("bert", "one of gpt2, llama")):
        with pytest.raises(ValueError, match=said):
            audit(tmp_path / "net.npz", recipe=recipe)
    assert main(["audit", str(tmp_path / "net.npz"), "--recipe", "lora"]) == 2
    assert "names no weight" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "net.npz"), "--recipe", "llama", "--lang", "en"]) == 0
    assert "By the recipe llama" in capsys.readouterr().out
