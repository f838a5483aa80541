"""What a tensor is for, by names, shapes and neighbours; and that nothing but layers' weights is judged."""

import json
import re
from typing import get_args

import numpy as np
import pytest

import initkit as ik
from initkit.doctor import audit
from initkit.doctor.roles import Role, signs
from initkit.words import LANGUAGES

MODEL = [(120, 64), (100, 120), (90, 100), (80, 90), (10, 80)]


def model(prefix=""):
    """Five He layers and their biases, under a prefix."""
    rng = np.random.default_rng(0)
    layers = {}
    for k, shape in enumerate(MODEL):
        layers[f"{prefix}{k}.weight"] = ik.he_normal(shape, rng=rng)
        layers[f"{prefix}{k}.bias"] = ik.zeros(shape[0])
    return layers


def audited(folder, tensors, **options):
    np.savez(folder / "net.npz", **tensors)
    return audit(folder / "net.npz", **options)


def roles(tensors) -> dict:
    return {name: sign.role for name, sign in signs(tensors).items()}


# What stands alone: (name, shape, role).
ALONE = [
    ("fc.weight", (64, 32), "weight"),
    ("_orig_mod.module.fc.weight", (64, 32), "weight"),
    ("encoder.layers.0.self_attn.in_proj_weight", (96, 32), "weight"),
    ("rnn.weight_hh_l0_reverse", (128, 32), "weight"),
    ("conv.weight_v", (64, 32, 3), "weight"),
    ("conv.parametrizations.weight.original1", (64, 32, 3), "weight"),
    ("Dense_0/kernel", (32, 64), "weight"),
    ("dense/dense/kernel:0", (32, 64), "weight"),
    ("experts.gate_up_proj", (8, 32, 64), "unknown"),
    ("optimal_transport.weight", (64, 32), "weight"),
    ("ensemble_members.0.weight", (64, 32), "weight"),
    ("decomposition.weight", (64, 32), "weight"),
    ("patch_embed.proj.weight", (64, 3, 16, 16), "weight"),
    ("patch_embed.weight", (64, 3, 16, 16), "weight"),
    ("time_embedding.linear_1.weight", (64, 32), "weight"),
    ("norm1.linear.weight", (64, 32), "weight"),
    ("ms_stft_discriminator.convs.0.weight", (32, 2, 3, 9), "weight"),
    ("adapter.body.0.weight", (64, 32, 3, 3), "weight"),
    ("fc.bias", (64,), "bias"),
    ("attn.in_proj_bias", (96,), "bias"),
    ("rnn.bias_ih_l0", (128,), "bias"),
    ("query/bias", (4, 16), "bias"),
    ("experts.b1", (8, 64), "bias"),
    ("attn.attention_biases", (4, 49), "bias"),
    ("norm.weight", (64,), "norm_scale"),
    ("h.0.ln_1.weight", (64,), "norm_scale"),
    ("1.weight", (64,), "norm_scale"),
    ("bn1.weight", (64,), "norm_scale"),
    ("conv.weight_g", (64, 1, 1), "norm_scale"),
    ("wte.weight", (500, 64), "embedding"),
    ("word_embeddings.weight", (500, 64), "embedding"),
    ("shared.weight", (500, 64), "embedding"),
    ("shared.0.weight", (500, 64), "weight"),
    ("embeddings_project.weight", (64, 32), "weight"),
    ("mask_decoder.mask_tokens.weight", (4, 64), "embedding"),
    ("cls_token", (1, 1, 64), "embedding"),
    ("register_tokens", (1, 4, 64), "embedding"),
    ("pos_embed", (1, 197, 64), "embedding"),
    ("attn.relative_position_bias_table", (169, 3), "embedding"),
    ("SelfAttention.relative_attention_bias.weight", (32, 8), "embedding"),
    ("attn.rel_pos_h", (27, 64), "embedding"),
    ("h.0.attn.bias", (1, 1, 64, 64), "buffer"),
    ("h.0.attn.masked_bias", (), "buffer"),
    ("causal_mask", (64, 64), "buffer"),
    ("rotary_emb.inv_freq", (32,), "buffer"),
    ("rotary_emb.cos_cached", (1, 1, 64, 32), "buffer"),
    ("rope_freqs.weight", (64,), "buffer"),
    ("rope_factors_long.weight", (48,), "buffer"),
    ("rope.weight", (64,), "norm_scale"),
    ("embeddings.position_ids", (1, 512), "buffer"),
    ("attn.relative_position_index", (49, 49), "buffer"),
    ("bn1.running_mean", (64,), "buffer"),
    ("bn1.num_batches_tracked", (), "buffer"),
    ("1_convolution.convolution._compiled_main_left_right._w3j_1_1_1", (3, 3, 3), "buffer"),
    ("batch_stats/BatchNorm_0/mean", (64,), "buffer"),
    ("layer1.0.blurpool.filt", (64, 1, 3, 3), "buffer"),
    ("up.blur.kernel", (4, 4), "buffer"),
    ("resblock.upsample.filter", (1, 1, 12), "buffer"),
    ("spectrogram_extractor.stft.conv_real.weight", (129, 1, 256), "buffer"),
    ("stft_conv.weight", (258, 1, 256), "buffer"),
    ("spec_conv.weight", (64, 1, 256), "weight"),
    ("optimizer.state.0.exp_avg", (64, 32), "optimizer"),
    ("optimizer_states.0.state.0.momentum_buffer", (64, 32), "optimizer"),
    ("g_solver.state.0.exp_avg_sq", (64, 32), "optimizer"),
    ("optimizer/vars/3", (64, 32), "optimizer"),
    ("optimG.state.1.foo", (64, 32), "optimizer"),
    ("opt_state/0/mu/Dense_0/kernel", (64, 32), "optimizer"),
    ("callbacks.SomeMetric.confusion", (10, 10), "optimizer"),
    ("loops.fit_loop.state", (3, 3), "optimizer"),
    ("config.shift", (2, 89), "optimizer"),
    ("opt.state.0.sum", (64, 32), "optimizer"),
    ("trainer.state.0.step_size", (64, 32), "optimizer"),
    ("state.0.weight", (64, 32), "weight"),
    ("state.0.in_proj_bias", (96,), "bias"),
    ("linear_0.w_0_moment1_0", (64, 32), "optimizer"),
    ("encoder/mlp/kernel_slot_vr", (64,), "optimizer"),
    ("moment.weight", (64, 32), "weight"),
    ("mel_128", (128, 201), "buffer"),
    ("featurizer.filterbanks", (1, 80, 257), "buffer"),
    ("ssim.gaussian_kernel", (1, 1, 11, 11), "buffer"),
    ("gaussian.kernel.weight", (64, 32), "weight"),
    ("fourier.B", (64, 3), "buffer"),
    ("fourier_features.B", (2, 128), "buffer"),
    ("fourier.B", (64, 64), "unknown"),
    ("rnn.h0", (2, 1, 64), "other"),
    ("lstm.init_hidden", (2, 1, 64), "other"),
    ("h0.weight", (64, 32), "weight"),
    ("h10", (64, 32), "unknown"),
    ("net.callbacks.weight", (10, 10), "weight"),
    ("layers.0.q_proj.lora_A.weight", (8, 64), "adapter"),
    ("layers.0.q_proj.lora_B.default.weight", (64, 8), "adapter"),
    ("lora_unet_down_0.lora_up.weight", (64, 8), "adapter"),
    ("block.lokr_w1", (8, 8), "adapter"),
    ("q_proj.boft_R", (1, 4, 16, 16), "adapter"),
    ("model.vera_A.default", (8, 64), "adapter"),
    ("q_proj.randlora_lambda.default", (8, 64), "adapter"),
    ("q_proj.miss_block", (8, 64), "adapter"),
    ("q_proj.hra_u", (64, 8), "adapter"),
    ("soft_thresholds.weight", (64, 32), "weight"),
    ("mixer.A_log", (64, 16), "other"),
    ("mixer.dt_bias", (64,), "other"),
    ("mixer.D", (8, 8), "unknown"),
    ("blocks/layers/block_mamba_1/attn/mamba/vars/0", (192, 48), "other"),
    ("layers/ss_conv_1/ssm/vars/4", (1, 1, 32, 4, 128, 2), "other"),
    ("attn/mamba/x_projection/vars/0", (192, 102), "unknown"),
    ("mamba.weight", (64, 32), "weight"),
    ("ssm.0", (64, 32), "unknown"),
    ("blocks.0.ls1.gamma", (64,), "other"),
    ("layer_scale", (64, 1, 1), "other"),
    ("logit_scale", (), "other"),
    ("ema.0.weight", (64, 32), "weight"),
    ("mul_141", (180, 64), "buffer"),
    ("/pe/Mul_output_0", (180, 64), "buffer"),
    ("val_196", (128, 180), "unknown"),
    ("layers.mul_1", (64, 32), "unknown"),
    ("onnx::MatMul_267", (64, 32), "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "role"), ALONE)
def test_a_name_and_a_shape_tell(name, shape, role):
    assert roles({name: shape}) == {name: role}


# What its neighbours tell: the roles in order.
TOGETHER = [
    ({"mixer.A_log": (64, 16), "mixer.D": (8, 8)}, ["other"] * 2),
    ({"grn.weight": (1, 1, 1, 64), "grn.bias": (1, 1, 1, 64)}, ["other"] * 2),
    ({"fc.weight": (64, 32), "fc.weight_integer": (64, 32)}, ["weight", "buffer"]),
    ({"norm1.alpha": (1, 1, 64), "norm1.beta": (1, 1, 64)}, ["norm_scale", "bias"]),
    ({"conv.weight": (64, 32, 3, 3), "conv.gain": (64, 1, 1, 1)}, ["weight", "norm_scale"]),
    ({"book.embed": (64, 32), "book.embed_avg": (64, 32), "book.cluster_size": (64,)}, ["buffer"] * 3),
    ({"codebook.embed": (64, 32), "codebook.weight": (64, 32)}, ["embedding"] * 2),
    ({"embed.0.weight": (64, 32), "embed.0.bias": (64,)}, ["weight", "bias"]),
    ({"embed.0.weight": (64,), "embed.0.bias": (64,)}, ["norm_scale", "bias"]),
    (
        {"q.base_layer.weight": (9, 8), "q.r.default": (9, 8), "q.s.default.weight": (8, 8), "k": (9, 8)},
        ["weight", "adapter", "adapter", "unknown"],
    ),
    ({"q.weight": (64, 32), "q.weight_scale_inv": (1, 1)}, ["quantization"] * 2),
    ({"q.weight": (64, 32), "q.scales": (64, 4)}, ["weight", "unknown"]),
    ({"q.qweight": (8, 32), "q.qzeros": (4, 4), "q.scales": (4, 32), "q.g_idx": (64,)}, ["quantization"] * 4),
    ({"q.weight": (1024, 1), "q.weight.absmax": (32,), "q.weight.quant_map": (16,)}, ["quantization"] * 3),
    ({"fc.scale": (), "fc.zero_point": ()}, ["quantization"] * 2),
    ({"model.a.weight": (9, 8), "ema.a.weight": (9, 8)}, ["weight", "ema"]),
    ({"model.a.weight": (9, 8), "ema.a.weight": (8, 8)}, ["weight"] * 2),  # another tensor
    ({"model.a.weight": (9, 8), "ema.b.weight": (9, 8)}, ["weight"] * 2),
    ({"state_dict.a.weight": (9, 8), "state_dict_ema.module.a.weight": (9, 8)}, ["weight", "ema"]),
    ({"model.model.a.weight": (9, 8), "ema_model.model.a.weight": (9, 8)}, ["weight", "ema"]),
    ({"model.net_in.0.weight": (9, 8), "model_ema.net_in0weight": (9, 8)}, ["weight", "ema"]),
    ({"model.a.weight": (9, 8), "ema.shadow_params.0": (9, 8)}, ["weight", "ema"]),
    ({"fc/kernel": (9, 8), "fc/kernel/Adam": (9, 8)}, ["weight", "optimizer"]),
    ({"fc/kernel:0": (9, 8), "Adam/fc/kernel/m:0": (9, 8)}, ["weight", "optimizer"]),
    ({"fc/kernel": (9, 8), "fc/kernel/ExponentialMovingAverage": (9, 8)}, ["weight", "ema"]),
    ({"fc/kernel": (9, 8), "fc/kernel/scale": (8, 9), "a/kernel/m": (9, 8)}, ["weight", *["unknown"] * 2]),
    ({"fc.weight": (9, 8), "moment1.fc.weight": (9, 8)}, ["weight", "optimizer"]),
    ({"params/a/kernel": (9, 8), "state/0/mu/a/kernel": (9, 8)}, ["weight", "optimizer"]),
    ({"a.weight": (9, 8), "mu.weight": (9, 8), "b.mu.a.weight": (8, 8)}, ["weight"] * 3),  # a layer's name
    ({"model.a.weight": (9, 8), "slow_weights.a.weight": (9, 8)}, ["weight", "ema"]),
    ({"model.5.ema.conv.weight": (9, 8), "model.6.conv.bias": (9,)}, ["weight", "bias"]),  # a layer's name
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "expected"), TOGETHER)
def test_neighbours_tell(shapes, expected):
    for order in (shapes, dict(reversed(shapes.items()))):
        assert roles(order) == dict(zip(shapes, expected, strict=True))


def test_weights_in_8_bits_are_numbers_only_with_the_scale_beside_them():
    shapes = {"q.weight": (64, 64), "q.scale": (), "fc.weight": (64, 64), "fc.scale": (), "k.weight": (8, 8)}
    told = {n: sign.role for n, sign in signs(shapes, coarse={"q.weight", "k.weight"}).items()}
    assert told["q.weight"] == told["q.scale"] == "quantization"
    assert (told["fc.weight"], told["fc.scale"], told["k.weight"]) == ("weight", "unknown", "weight")
    pair = {"q.weight": (64, 64), "q.scale_weight": (64, 1)}  # ComfyUI's, in any dtype
    assert {sign.role for sign in signs(pair).values()} == {"quantization"}


@pytest.mark.parametrize("scale", ["weight_scale", "scale_weight", "scale"])
def test_the_others_are_not_held_to_weights_in_8_bits(scale, tmp_path):
    torch = pytest.importorskip("torch")
    drawn = torch.Generator().manual_seed(0)
    file = {}
    for k in range(4):
        for name in "qkv":
            codes = (torch.randn(64, 64, generator=drawn) * 100).to(torch.float8_e4m3fn)
            file |= {f"{k}.{name}.weight": codes, f"{k}.{name}.{scale}": torch.tensor(2e-4)}
        file[f"{k}.fc.weight"] = torch.randn(64, 64, generator=drawn, dtype=torch.bfloat16) * 0.02
    torch.save(file, tmp_path / "net.pt")
    report = audit(tmp_path / "net.pt")
    assert report.findings == ()
    assert report.coverage.judged == tuple(f"{k}.fc.weight" for k in range(4))
    torch.save({n: w for n, w in file.items() if scale not in n}, tmp_path / "net.pt")  # cast, not scaled
    assert len(audit(tmp_path / "net.pt").coverage.judged) == 16


def test_every_role_is_told_by_some_sign():
    seen = {role for *_, role in ALONE} | {role for _, expected in TOGETHER for role in expected}
    assert seen == set(get_args(Role))


def noise(shape, std):
    return np.random.default_rng(1).normal(0, std, shape)


BESIDE = {
    "optimizer": {
        f"optimizer.state.{k}.{key}": noise(shape, std) ** power
        for k, shape in enumerate(MODEL)
        for key, std, power in (("exp_avg", 1e-4, 1), ("exp_avg_sq", 1e-4, 2))
    },
    "ema": {f"ema_model.{name}": w for name, w in model().items()},
    "buffer": {f"attn.{k}.bias": np.tril(np.ones((1, 1, 40, 40))) for k in range(12)},
    "infinite": {"mask": np.triu(np.full((40, 40), -np.inf), 1)},
    "adapter": {"q.lora_A.weight": noise((8, 64), 0.1), "q.lora_B.weight": np.zeros((64, 8))},
    "quantization": {"q.weight": noise((64, 64), 90), "q.weight_scale_inv": noise((8, 8), 1e-5)},
    "other": {"mixer.A_log": np.log(np.tile(np.arange(1.0, 17), (64, 1)))},
    "embedding": {"pos_embed": np.zeros((1, 9, 64)), "rel_pos_w": np.zeros((27, 64))},
    "bias": {"experts.b1": np.zeros((8, 64)), "query/bias": noise((4, 16), 1e-6)},
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_is_no_layers_weight_is_not_judged_and_judges_none(kind, tmp_path):
    for beside in ([model("model."), BESIDE[kind]], [BESIDE[kind], model("model.")]):
        report = audited(tmp_path, beside[0] | beside[1])
        assert report.findings == ()
        assert report.coverage.judged == tuple(f"model.{k}.weight" for k in range(5))
        out = [name for names in report.coverage.left_out.values() for name in names]
        assert sorted(out) == sorted([*BESIDE[kind], *(f"model.{k}.bias" for k in range(5))])


def test_the_same_tensors_under_a_layers_name_are_found(tmp_path):
    """So that the silence above is the roles' and no other's."""
    for kind in ("optimizer", "buffer", "adapter", "other"):
        tensors = {f"layer{k}.weight": w for k, w in enumerate(BESIDE[kind].values())}
        report = audited(tmp_path, model("model.") | tensors)
        assert tensors.keys() <= set(report.coverage.judged), kind
        # Most of what is judged beside masks is no draw: then scales are not compared.
        assert report.findings or kind == "buffer", kind


@pytest.mark.parametrize("name", ["optimizer.state.0.exp_avg", "bn.running_var", "q.lora_A.weight", "b1"])
def test_what_is_not_finite_is_found_wherever_it_stands(name, tmp_path):
    found = audited(tmp_path, model() | {name: np.full((9, 8), np.nan)}).findings
    assert [(f.kind, f.tensor) for f in found] == [("non_finite", name)]


def test_a_sick_layer_is_found_among_moments_and_copies(tmp_path):
    layers = model("model.")
    layers["model.2.weight"] = ik.he_normal((90, 100), gain=40.0, rng=1)
    found = audited(tmp_path, BESIDE["optimizer"] | layers | BESIDE["ema"]).findings
    assert [(f.kind, f.tensor) for f in found] == [("scale_outlier", "model.2.weight")]


def test_copies_alone_are_a_model(tmp_path):
    layers = model("model_ema.")
    layers["model_ema.2.weight"] = np.zeros((90, 100))
    report = audited(tmp_path, layers)
    assert [(f.kind, f.tensor) for f in report.findings] == [("all_zero", "model_ema.2.weight")]
    assert len(report.coverage.judged) == 5


def test_word_embeddings_of_zeros_are_found_and_positions_are_not(tmp_path):
    found = audited(tmp_path, {"wte.weight": np.zeros((50, 8)), "wpe.weight": np.zeros((50, 8))}).findings
    assert [(f.kind, f.tensor) for f in found] == [("all_zero", "wte.weight")]


def test_nobody_draws_an_optimizers_state(tmp_path):
    report = audited(tmp_path, model() | {"optimizer.state.0.exp_avg": ik.he_normal((90, 100), rng=0)})
    moment = report.tensors[-1]
    assert (moment.found.verdict, moment.found.reason, moment.role) == ("not_fresh", "optimizer", "optimizer")
    rows = str(report).rpartition("\n\n")[2]
    assert "exp_avg" not in rows
    assert "0.weight" in rows


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_report_says_what_was_left_out_by_count_and_name(lang, tmp_path):
    tensors = model() | BESIDE["optimizer"] | {"q.qweight": np.ones((8, 8), np.int32), "ok": np.ones(3) > 0}
    report = audited(tmp_path, tensors | {"empty.weight": np.zeros((0, 4))}, lang=lang)
    assert report.coverage.left_out["optimizer"] == tuple(BESIDE["optimizer"])
    assert report.coverage.unread == {"integer": ("q.qweight", "ok"), "empty": ("empty.weight",)}
    lines = [line for _, line in re.findall("<(div|li)>([^<]+)", report._repr_html_())][-5:]
    assert "5" in lines[0]
    assert str(len(tensors) + 1) in lines[0]
    groups = [("10", "exp_avg, "), ("5", "0.bias"), ("2", "q.qweight"), ("1", "empty")]
    for line, (count, name) in zip(lines[1:], groups, strict=True):
        assert line.startswith(f"{count} ")
        assert name in line
    assert "…" in lines[1]
    assert "…" not in lines[3]
    assert "".join(lines[1].split()) in "".join(str(report).split())


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_role_has_its_words(lang, tmp_path):
    tensors = {name: np.ones(shape) for name, shape, _ in ALONE if np.prod(shape) < 1e5}
    tensors |= {name: np.ones(shape) for shapes, _ in TOGETHER for name, shape in shapes.items()}
    report = audited(tmp_path, tensors | {"centre": np.ones(3)}, lang=lang)
    assert set(report.coverage.left_out) == set(get_args(Role)) - {"weight"}
    assert len(str(report)) > 1000
    judged = set(report.coverage.judged)
    assert all(t.role in ("weight", "unknown") for t in report.tensors if t.name in judged)


def test_where_all_was_judged_there_is_nothing_to_say(tmp_path):
    report = audited(tmp_path, {name: w for name, w in model().items() if "weight" in name})
    assert str(report).startswith("Nothing wrong was found.\n\ntensor")


def test_json_says_roles_and_coverage(tmp_path):
    told = json.loads(audited(tmp_path, model() | {"ids": np.arange(3)}).to_json())
    assert told["schema"] == 2
    assert [t["role"] for t in told["tensors"]] == ["weight", "bias"] * 5
    assert told["coverage"] == {
        "judged": [f"{k}.weight" for k in range(5)],
        "left_out": {"bias": [f"{k}.bias" for k in range(5)]},
        "unread": {"integer": ["ids"]},
    }


def test_integers_are_named_in_every_format(tmp_path):
    kernel, ids = ik.he_normal((9, 8), rng=0), np.arange(4).reshape(2, 2)
    np.savez(tmp_path / "w.npz", kernel=kernel, ids=ids)
    written = ["w.npz"]
    try:
        from safetensors.numpy import save_file

        save_file({"kernel": kernel, "ids": ids}, tmp_path / "w.safetensors")
        written.append("w.safetensors")
    except ImportError:
        pass
    try:
        import h5py

        with h5py.File(tmp_path / "w.weights.h5", "w") as f:
            f["ids"], f["kernel"] = ids, kernel  # the first of the file is no tensor that is read
        written.append("w.weights.h5")
    except ImportError:
        pass
    try:
        import torch

        torch.save({"kernel": torch.tensor(kernel), "ids": torch.tensor(ids)}, tmp_path / "w.pt")
        written.append("w.pt")
    except ImportError:
        pass
    for name in written:
        report = audit(tmp_path / name)
        assert report.coverage.unread == {"integer": ("ids",)}, name
        assert report.tensors[0].std == pytest.approx(float(kernel.std()), rel=1e-5), name


def test_what_an_exporter_computed_is_not_judged_by_its_entries(tmp_path):
    """torch.onnx saves what it can compute beforehand: sines at places, a state of zeros."""
    turns = np.outer(np.arange(180), 10000 ** (-np.arange(64) / 64))
    report = audited(tmp_path, model() | {"mul_141": turns, "val_196": np.zeros((128, 180))})
    assert report.findings == ()
