"""Which axis counts the units: by names, the bias's length, the file and the company; or it is open."""

import json
import zipfile

import numpy as np
import pytest

import initkit as ik
from initkit.command import main
from initkit.doctor import audit


def keras(shape, rng=0, init=ik.he_normal):
    """A kernel in Keras' and JAX's layout, (…, in, out)."""
    return init(shape, in_axis=-2, out_axis=-1, rng=rng)


def report(folder, arrays, **more):
    np.savez(folder / "net.npz", **arrays)
    return audit(folder / "net.npz", **more)


def fans(found) -> dict:
    return {t.name: (t.fan_in, t.fan_out) for t in found.tensors if t.fan_in}


def all_he(found) -> bool:
    return all("he_normal()" in map(str, t.found.matches) for t in found.tensors if t.fan_in)


FLAX = {
    "Conv_0": (3, 3, 3, 16),
    "Conv_1": (3, 3, 16, 32),
    "Dense_0": (32, 256),
    "Dense_1": (256, 64),
    "Dense_2": (64, 10),
}


@pytest.mark.parametrize(("weight", "bias"), [("kernel", "bias"), ("kernel", None), ("w", "b"), ("W", "b")])
def test_kernels_of_jax_are_read_as_such(weight, bias, tmp_path):
    """By their name; in Haiku, and in nets by hand, by the biases' lengths."""
    net = {}
    for k, (name, shape) in enumerate(FLAX.items()):
        net[f"{name}/{weight}"] = keras(shape, k)
        if bias:
            net[f"{name}/{bias}"] = np.zeros(shape[-1], np.float32)
    found = report(tmp_path, net)
    assert found.findings == ()
    assert all_he(found)
    assert fans(found)[f"Conv_1/{weight}"] == (144, 288)
    assert found.coverage.open_layout == ()
    turned = {
        name: np.ascontiguousarray(np.moveaxis(np.moveaxis(w, -1, 0), -1, 1)) if w.ndim > 1 else w
        for name, w in net.items()
    }
    if weight != "kernel":
        assert fans(report(tmp_path, turned)) == fans(found)  # the same net as PyTorch has it


def test_what_torch_onnx_multiplies_from_the_right(tmp_path):
    net = {"onnx::MatMul_267": keras((256, 64)), "onnx::MatMul_268": keras((256, 32))}
    assert fans(report(tmp_path, net)) == {"onnx::MatMul_267": (256, 64), "onnx::MatMul_268": (256, 32)}


@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_of_sizes_tells(turned, tmp_path):
    net = {f"W{k}": keras(s, k) for k, s in enumerate([(784, 256), (256, 100), (100, 10)])}
    found = report(tmp_path, {name: w.T.copy() for name, w in net.items()} if turned else net)
    assert found.findings == ()
    assert fans(found) == {"W0": (784, 256), "W1": (256, 100), "W2": (100, 10)}


def test_where_nothing_tells_both_readings_are_shown_and_no_finding_rests_on_one(tmp_path, capsys):
    found = report(tmp_path, {"W": keras((784, 256))})
    assert found.findings == ()
    assert found.coverage.open_layout == ("W",)
    (w,) = found.tensors
    assert (w.fan_in, w.other.fan_in) == (256, 784)
    assert str(w.other.found) == "he_normal()"
    assert "256 → 784 | 784 → 256" in str(found)
    assert "--layout" in str(found)
    told = json.loads(found.to_json())
    assert told["schema"] == 2
    assert told["coverage"]["open_layout"] == ["W"]
    assert told["tensors"][0]["other_layout"]["match"] == "he_normal()"
    assert "两种读法" in str(audit(tmp_path / "net.npz", lang="zh"))
    assert audit(tmp_path / "net.npz", layout="keras").tensors[0].fan_in == 784
    (finding,) = audit(tmp_path / "net.npz", layout="torch").findings
    assert finding.kind == "transposed_fans"
    assert main(["audit", str(tmp_path / "net.npz"), "--lang", "en"]) == 0
    assert main(["audit", str(tmp_path / "net.npz"), "--layout", "torch", "--lang", "en"]) == 1
    assert "its fans look swapped" in capsys.readouterr().out
    with pytest.raises(ValueError, match="layout must be one of auto, torch, keras, not 'jax'"):
        audit(tmp_path / "net.npz", layout="jax")


def test_what_both_readings_say_is_found_in_an_open_one(tmp_path):
    w = keras((100, 64))
    w[3] = w[5]  # equal rows: units in one reading, inputs in the other
    assert report(tmp_path, {"W": w}).findings == ()
    for sick, kind in ((np.zeros((100, 64)), "all_zero"), (np.full((100, 64), 0.3), "symmetric_rows")):
        assert [f.kind for f in report(tmp_path, {"W": sick}).findings] == [kind]
    w[0, 0] = np.nan
    assert [f.kind for f in report(tmp_path, {"W": w}).findings] == ["non_finite"]


def test_one_sick_layer_does_not_turn_the_company(tmp_path):
    """A weight that lies the other way around among PyTorch's is the fault, not the layout."""
    sizes = [(120, 64), (100, 120), (90, 100), (700, 90), (80, 700)]
    net = {f"{k}.weight": ik.he_normal(s, rng=k) for k, s in enumerate(sizes)}
    net |= {f"{k}.bias": np.zeros(s[0], np.float32) for k, s in enumerate(sizes)}
    net["3.weight"], net["3.bias"] = ik.torch_default((90, 700), rng=1).T.copy(), np.zeros(90, np.float32)
    assert [(f.kind, f.tensor) for f in report(tmp_path, net).findings] == [("transposed_fans", "3.weight")]


def test_gpt2s_conv1d_beside_linear_layers(tmp_path):
    """Conv1D's weights are (in, out), square ones too; the head's is PyTorch's."""
    net = {}
    for k in range(3):
        for name, shape in {
            "attn.c_attn": (64, 192),
            "attn.c_proj": (64, 64),
            "mlp.c_fc": (64, 256),
            "mlp.c_proj": (256, 64),
        }.items():
            net[f"h.{k}.{name}.weight"] = keras(shape, k)
            net[f"h.{k}.{name}.bias"] = np.zeros(shape[1], np.float32)
    net["lm_head.weight"] = ik.he_normal((500, 64), rng=0)
    net["score.weight"], net["score.bias"] = ik.he_normal((2, 64), rng=0), np.zeros(2, np.float32)
    found = report(tmp_path, net)
    assert found.findings == ()
    assert fans(found)["h.1.mlp.c_fc.weight"] == (64, 256)
    assert fans(found)["lm_head.weight"] == (64, 500)
    assert fans(found)["score.weight"] == (64, 2)
    units = net["h.1.attn.c_proj.weight"]
    units[:, 3] = units[:, 5]
    assert [(f.kind, f.tensor) for f in report(tmp_path, net).findings] == [
        ("symmetric_rows", "h.1.attn.c_proj.weight")
    ]


def test_a_transposed_convolution_is_pytorchs(tmp_path):
    net = {"up.weight": ik.he_normal((64, 16, 4, 4), rng=0), "up.bias": np.zeros(16, np.float32)}
    assert fans(report(tmp_path, net))["up.weight"] == (16 * 16, 64 * 16)


@pytest.mark.parametrize("turned", [False, True])
def test_stacked_experts(turned, tmp_path):
    """(experts, in, out), as GPT-OSS has them, or (experts, out, in): the fans are each expert's."""

    def stack(k, fan_in, fan_out):
        w = np.stack([keras((fan_in, fan_out), 10 * k + e) for e in range(8)])
        return w.transpose(0, 2, 1).copy() if turned else w

    net = {}
    for k in range(3):
        net |= {
            f"{k}.experts.gate_up_proj": stack(k, 64, 256),
            f"{k}.experts.down_proj": stack(k + 5, 128, 64),
        }
    found = report(tmp_path, net)
    assert found.findings == ()
    assert set(fans(found).values()) == {(64, 256), (128, 64)}
    assert all_he(found)
    net["1.experts.gate_up_proj"][:] = net["1.experts.gate_up_proj"][:1]
    (finding,) = report(tmp_path, net).findings
    assert (finding.kind, finding.tensor) == ("symmetric_rows", "1.experts.gate_up_proj")


def h5(path, arrays):
    with pytest.importorskip("h5py").File(path, "w") as f:
        for name, array in arrays.items():
            f[name] = array


def test_keras_grus_and_heads(tmp_path):
    """The GRU's two biases and those of heads are no weights; kernels with heads have their layer's fans."""
    xavier = ik.xavier_uniform
    gru, mha = "layers/gru/cell/vars", "layers/mha"
    net = {
        f"{gru}/0": keras((32, 72), 0, xavier),
        f"{gru}/1": ik.orthogonal((24, 72), rng=0),
        f"{gru}/2": np.zeros((2, 72)),
    }
    for k, name in enumerate(("query", "key", "value")):
        net[f"{mha}/{name}_dense/vars/0"] = keras(
            (64, 4, 16), k, xavier
        )  # as Keras draws it: 64 taken for a kernel
        net[f"{mha}/{name}_dense/vars/1"] = np.zeros((4, 16))
    net |= {
        f"{mha}/output_dense/vars/0": keras((4, 16, 64), 5, xavier),
        f"{mha}/output_dense/vars/1": np.zeros(64),
    }
    net |= {
        "layers/depthwise_conv2d/vars/0": keras((3, 3, 16, 2), 1, xavier),
        "layers/depthwise_conv2d/vars/1": np.zeros(32),
    }
    h5(tmp_path / "net.weights.h5", {name: np.float32(w) for name, w in net.items()})
    found = audit(tmp_path / "net.weights.h5")
    assert found.findings == ()
    assert len(found.coverage.left_out["bias"]) == 6
    assert fans(found)[f"{mha}/key_dense/vars/0"] == fans(found)[f"{mha}/output_dense/vars/0"] == (64, 64)
    assert fans(found)["layers/depthwise_conv2d/vars/0"] == (9, 9 * 32)
    assert {str(t.found.matches[0]) for t in found.tensors if "dense/vars/0" in t.name} == {
        "xavier_uniform()"
    }
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as z:
        z.write(tmp_path / "net.weights.h5", "model.weights.h5")
    assert audit(tmp_path / "net.keras").to_dict() == found.to_dict()


def test_a_trained_recurrent_kernel_of_keras_is_not_called_transposed(tmp_path):
    """It starts orthogonal, 24 × 72 of std 1/√72, and nearly keeps that."""
    w = ik.orthogonal((24, 72), rng=0) + ik.normal((24, 72), std=0.01, rng=1)
    h5(tmp_path / "net.weights.h5", {"layers/gru/cell/vars/0": keras((32, 72)), "layers/gru/cell/vars/1": w})
    assert audit(tmp_path / "net.weights.h5").findings == ()


def test_the_file_tells_that_pytorch_wrote_it(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    for metadata, is_open in (({"format": "pt"}, False), (None, True), ({"format": "np"}, True)):
        save_file({"proj": ik.he_normal((100, 64), rng=0)}, tmp_path / "w.safetensors", metadata)
        assert bool(audit(tmp_path / "w.safetensors").coverage.open_layout) == is_open


def test_paddles_biases_tell(tmp_path):
    """(in, out) beside b_0; a convolution is as PyTorch's."""
    shapes = [(64, 256), (64, 64)]  # in a row the other way around
    net = {f"linear_{k}.w_0": keras(s, k) for k, s in enumerate(shapes)}
    net |= {f"linear_{k}.b_0": np.zeros(s[1], np.float32) for k, s in enumerate(shapes)}
    net |= {"conv2d_0.w_0": ik.he_normal((64, 32, 3, 3), rng=0), "conv2d_0.b_0": np.zeros(64, np.float32)}
    found = report(tmp_path, net)
    assert found.findings == ()
    assert all_he(found)
    assert [fans(found)[f"linear_{k}.w_0"] for k in range(2)] == shapes
    assert fans(found)["conv2d_0.w_0"] == (288, 576)


def scanned(depth, **shapes):
    """Kernels of ``depth`` layers in one array, as Flax' nn.scan makes them."""
    return {
        f"layers/{name}/kernel": np.stack([keras(shape, 10 * k + n) for k in range(depth)])
        for n, (name, shape) in enumerate(shapes.items())
    }


def test_layers_stacked_by_a_scan_are_no_kernels_of_a_convolution(tmp_path):
    net = scanned(12, wi=(128, 512), wo=(512, 128), q=(128, 128))
    found = report(tmp_path, net | {"head/kernel": keras((128, 10))})
    assert found.findings == ()
    assert all_he(found)
    assert fans(found)["layers/wi/kernel"] == (128, 512)
    heads = {
        "layers/query/kernel": np.stack([keras((64, 32), k).reshape(64, 4, 8) for k in range(12)]),
        "layers/query/bias": np.zeros((12, 4, 8), np.float32),
        "layers/out/kernel": np.stack([keras((32, 64), k).reshape(4, 8, 64) for k in range(12)]),
        "layers/norm/scale": np.ones((12, 64), np.float32),
    }
    found = report(tmp_path, heads)
    for name, expected in (("query", (64, 32)), ("out", (32, 64))):
        (kernel,) = [t for t in found.tensors if t.name == f"layers/{name}/kernel"]
        assert (kernel.fan_in, kernel.fan_out) == expected
        assert "he_normal()" in map(str, kernel.found.matches)
    few = scanned(3, wi=(128, 512), wo=(512, 128))
    assert fans(report(tmp_path, few))["layers/wi/kernel"] == (384, 1536)  # or kernels of 3
    norm = {"layers/norm/scale": np.ones((3, 128), np.float32)}
    assert fans(report(tmp_path, few | norm))["layers/wi/kernel"] == (128, 512)


def test_convolutions_with_one_long_kernel_are_no_stack(tmp_path):
    net = {f"layers/{k}/kernel": keras((16, 32, 64), rng=k) for k in range(3)}
    bias = {"layers/0/bias": np.zeros(64, np.float32)}
    assert fans(report(tmp_path, net | bias))["layers/1/kernel"] == (512, 1024)
    assert fans(report(tmp_path, {"conv/kernel": net["layers/0/kernel"]}))["conv/kernel"] == (512, 1024)


def test_pytorchs_own_parameter_may_be_called_kernel(tmp_path):
    torch = pytest.importorskip("torch")
    kernels = {
        "conv": ik.he_normal((64, 32, 3, 3), rng=0), "line": ik.he_normal((48, 24, 5), rng=1),
        "first": ik.he_normal((48, 3, 7, 7), rng=2),
    }  # fmt: skip
    torch.save({f"{name}.kernel": torch.tensor(w) for name, w in kernels.items()}, tmp_path / "net.pt")
    found = audit(tmp_path / "net.pt")
    assert all_he(found)
    assert fans(found)["conv.kernel"] == (288, 576)
    ported = torch.tensor(keras((3, 3, 32, 64)))
    torch.save({"conv.kernel": ported}, tmp_path / "net.pt")
    assert fans(audit(tmp_path / "net.pt"))["conv.kernel"] == (288, 576)
