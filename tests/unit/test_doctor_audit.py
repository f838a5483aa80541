"""audit: a checkpoint's table, its findings, its JSON, and the command."""

import copy
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from memory import peak_memory

import initkit as ik
from initkit import activations
from initkit.command import main
from initkit.doctor import Coverage, Identification, Match, Report, audit
from initkit.doctor.audit import wrong_by_itself
from initkit.doctor.gains import right_gains
from initkit.doctor.identify import FEWEST, REASONS
from initkit.doctor.report import CAUSES, KINDS, LINES, NOTES, WIDTH, Finding, _width
from initkit.doctor.scan import Far, scan
from initkit.words import LANGUAGES, system_language, text


def weights(**changes) -> dict:
    """Six He layers and their biases, some of them changed."""
    rng = np.random.default_rng(0)
    layers = {}
    for k, (out, fan_in) in enumerate([(120, 64), (100, 120), (90, 100), (80, 90), (70, 80), (10, 70)]):
        layers[f"{k}.weight"] = ik.he_normal((out, fan_in), rng=rng)
        layers[f"{k}.bias"] = ik.zeros(out)
    return layers | {re.sub(r"^(\d)_", r"\1.", name): array for name, array in changes.items()}


def to_bfloat16(w):
    bits = w.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def saved(folder, **changes):
    np.savez(folder / "net.npz", **weights(**changes))
    return folder / "net.npz"


def test_a_healthy_net(tmp_path):
    report = audit(saved(tmp_path))
    assert report.findings == ()
    assert [t.name for t in report.tensors] == list(weights())
    first, bias = report.tensors[:2]
    assert (first.shape, first.fan_in, first.fan_out) == ((120, 64), 64, 120)
    assert first.std == pytest.approx((2 / 64) ** 0.5, rel=0.03)
    assert first.gain == pytest.approx(2**0.5, rel=0.03)
    assert first.found.matches[0].scheme == "he_normal"
    assert (bias.fan_in, bias.gain, bias.found.matches[0].scheme) == (None, None, "zeros")


def _symmetric():
    w = ik.he_normal((90, 100), rng=1)
    w[40:] = -w[:50]
    return w


def _dead():
    w = ik.he_normal((90, 100), rng=1)
    w[[3, 5]] = 0
    return w


def _ill():
    w = ik.he_normal((90, 100), rng=1)
    w[0, 0], w[1, 1] = np.nan, np.inf
    return w


SICK = {
    "symmetric_rows": _symmetric(),
    "all_zero": np.zeros((90, 100), np.float32),
    "dead_rows": _dead(),
    "non_finite": _ill(),
    "scale_outlier": ik.he_normal((90, 100), gain=40.0, rng=1),
    "transposed_fans": ik.torch_default((90, 700), rng=1).T.copy(),
}


@pytest.mark.parametrize("kind", SICK)
def test_a_sick_layer_is_found(kind, tmp_path):
    report = audit(saved(tmp_path, **{"2_weight": SICK[kind]}))
    assert [(f.kind, f.tensor) for f in report.findings] == [(kind, "2.weight")]
    for lang in LANGUAGES:
        assert "{" not in report.findings[0].message(lang)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_constant_weights_are_symmetric_and_nothing_else(dtype, tmp_path):
    """Their std is 0 and no scale that could be an outlier's, whatever the constant and the shape."""
    for constant in (*np.random.default_rng(0).lognormal(-2, 2, 6), 0.1, -0.7):
        for shape in ((90, 100), (33, 7), (64, 3, 3, 3)):
            (finding,) = audit(saved(tmp_path, **{"2_weight": np.full(shape, constant, dtype)})).findings
            assert (finding.kind, finding.fields["count"]) == ("symmetric_rows", shape[0])


def test_hidden_gains_are_held_to_the_activation(tmp_path):
    rng = np.random.default_rng(0)
    layers = {f"{k}.weight": ik.torch_default((100, 100), rng=rng) for k in range(5)}
    np.savez(tmp_path / "net.npz", **layers)
    report = audit(tmp_path / "net.npz", activation="relu")
    assert [f.kind for f in report.findings] == [
        "scheme_activation_mismatch"
    ] * 3  # not the first, not the last
    assert "0.57" in report.findings[0].message()
    assert "1.41" in report.findings[0].message()
    assert audit(tmp_path / "net.npz").findings == ()
    with pytest.raises(ValueError, match="rely"):
        audit(tmp_path / "net.npz", activation="rely")


@pytest.mark.parametrize("gain", [1.0, 5 / 3, 1.59])
def test_a_gain_for_tanh_is_right_that_keeps_a_signal_small_or_of_size_one(gain, tmp_path):
    layers = {f"{k}.weight": ik.xavier_normal((64, 64), gain=gain, rng=k) for k in range(8)}
    assert not audit(_file(tmp_path, layers), activation="tanh").findings
    layers |= {"4.weight": ik.xavier_normal((64, 64), gain=0.7, rng=4)}
    (finding,) = audit(_file(tmp_path, layers), activation="tanh").findings
    assert (finding.tensor, finding.fields["wanted"]) == ("4.weight", "1")


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", lambda x: x**2])
def test_an_activation_without_a_right_gain_at_0(activation, tmp_path):
    """f(0) ≠ 0: no gain keeps a small signal. f'(0) = 0: only q = 1 is kept, by 1/√3 under x²."""
    layers = {f"{k}.weight": ik.xavier_normal((64, 64), gain=3**-0.5, rng=k) for k in range(8)}
    assert not audit(_file(tmp_path, layers), activation=activation).findings


def test_a_function_without_a_name_has_the_right_gains_of_its_own():
    for f in activations.NAMES.values():
        assert right_gains(activations.get(lambda x, f=f: f.f(x))) == pytest.approx(right_gains(f), rel=1e-4)
    for kinked in ("relu", "leaky_relu", "selu"):
        assert right_gains(activations.get(kinked)) == (ik.gain(kinked),) * 2
    for flat in (lambda x: x**2, lambda x: x**3, lambda x: np.where(abs(x) > 1, x, 0)):
        assert right_gains(activations.get(flat)) == (ik.gain(flat),) * 2


def _file(folder, arrays):
    np.savez(folder / "some.npz", **arrays)
    return folder / "some.npz"


def test_gains_are_held_to_the_activation_whether_the_law_has_a_name_or_not(tmp_path):
    layers = {f"{k}.weight": ik.normal((100, 100), std=0.03, rng=k) for k in range(4)}
    report = audit(_file(tmp_path, layers), activation="relu")
    assert {t.found.verdict for t in report.tensors} == {"fresh_unnamed"}
    assert [f.kind for f in report.findings] == ["scheme_activation_mismatch"] * 2
    told = json.loads(report.to_json())["tensors"][0]
    assert (told["match"], told["law"]["scheme"]) == (None, "normal")
    assert "no scheme's" in str(report)
    assert "没有哪种方案是这个尺度" in "".join(str(audit(_file(tmp_path, layers), lang="zh")).split())


def test_a_gain_is_of_entries_about_0(tmp_path):
    """0.205 ± 0.002 passes on as much as 0.205 does."""
    layers = {f"{k}.weight": ik.normal((100, 100), std=0.2, rng=k) for k in range(4)}
    layers["2.weight"] = np.random.default_rng(0).normal(0.205, 0.002, (100, 100))
    report = audit(_file(tmp_path, layers))
    assert report.tensors[2].gain == pytest.approx(2.05, rel=1e-3)
    assert report.findings == ()


def test_a_lone_entry_is_a_finding(tmp_path):
    layers = {f"{k}.weight": ik.normal((20, 10, 3, 3), std=0.02, rng=k) for k in range(4)}
    layers["2.weight"][5, 7, 1, 2] = -2
    report = audit(_file(tmp_path, layers))
    (finding,) = report.findings
    assert (finding.kind, finding.tensor) == ("lone_outlier", "2.weight")
    assert "-2 at (5, 7, 1, 2)" in finding.message()
    assert report.to_dict()["tensors"][2]["outliers"] == [[5, 7 * 9 + 5, -2.0]]
    # In a file that is mostly trained it is noise, as the others' scale is; the table has it.
    for k in (0, 1, 3):
        layers[f"{k}.weight"] *= np.linspace(1, 3, 20, dtype=np.float32)[:, None, None, None]
    report = audit(_file(tmp_path, layers))
    assert report.findings == ()
    assert report.tensors[2].found.outliers


def test_layers_of_one_seed_are_found(tmp_path):
    same = ik.he_normal((64, 64), rng=0)

    def found(*names, draw=same):
        layers = {f"other.{k}.weight": ik.he_normal((64, 64), rng=1 + k) for k in range(4)}
        findings = audit(_file(tmp_path, layers | dict.fromkeys(names, draw))).findings
        return [(f.kind, f.tensor, f.fields["count"]) for f in findings]

    assert found("h.0.fc.weight", "h.1.fc.weight", "h.10.fc.weight") == [
        ("identical_layers", "h.0.fc.weight … h.10.fc.weight", 3)
    ]
    assert found("fc1.weight", "fc2.weight") == [("identical_layers", "fc1.weight … fc2.weight", 2)]
    assert len(found("attn.q_proj.weight", "attn.k_proj.weight")) == 1
    assert len(found("h.0.fc.weight", "h.1.fc.weight", draw=ik.orthogonal((64, 64), rng=0))) == 1
    # A tied table, averaged copies, target networks, and what nothing was drawn in or training has moved.
    assert found("lm_head.weight", "tok_embeddings.weight") == []
    assert found("model.0.weight", "model_ema.0.weight") == []
    assert found("q_net.0.weight", "q_net_target.0.weight") == []
    assert found("encoder_q.fc.weight", "encoder_k.fc.weight") == []
    assert found("h.0.fc.weight", "h.1.fc.weight", draw=ik.identity((64, 64))) == []
    trained = same + 0.2 * np.outer(np.ones(64), np.arange(64) / 64)
    assert found("h.0.fc.weight", "h.1.fc.weight", draw=trained) == []


@pytest.mark.parametrize("tied", [True, False])
def test_tied_layers_of_pytorch_share_their_entries_and_copies_do_not(tied, tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(64, 64)
    torch.nn.init.normal_(layer.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    other = layer if tied else copy.deepcopy(layer)
    torch.save(torch.nn.Sequential(layer, torch.nn.ReLU(), other).state_dict(), tmp_path / "net.pt")
    assert [f.kind for f in audit(tmp_path / "net.pt").findings] == ["identical_layers"] * (not tied)


def test_an_embedding_may_have_a_scale_and_rows_of_its_own(tmp_path):
    table = ik.normal((500, 64), std=1.0, rng=0)
    table[0] = 0  # padding
    assert audit(saved(tmp_path, token_embedding=table)).findings == ()


def test_the_gravest_comes_first(tmp_path):
    report = audit(saved(tmp_path, **{"4_weight": SICK["non_finite"], "1_weight": SICK["scale_outlier"]}))
    assert [f.kind for f in report.findings] == ["non_finite", "scale_outlier"]
    order = [KINDS.index(kind) for kind in ("non_finite", "symmetric_rows", "transposed_fans")]
    assert order == sorted(order)


def test_json(tmp_path):
    report = audit(saved(tmp_path, **{"2_weight": SICK["non_finite"]}))
    told = json.loads(report.to_json())
    assert told["schema"] == 2
    assert set(told) == {"schema", "tensors", "findings", "coverage"}
    keys = {"name", "shape", "fan_in", "fan_out", "std", "gain", "match", "p_value", "verdict", "role"}
    keys |= {"law", "outliers"}
    assert all(set(t) == keys for t in told["tensors"])
    assert told["tensors"][0]["verdict"] == "fresh"
    assert told["tensors"][4]["match"] is None
    (finding,) = told["findings"]
    assert set(finding) == {"kind", "cause", "tensor", "message", "meaning", "remedy"}
    assert (finding["cause"], finding["message"]) == ("numbers", "NaN or infinite entries: 2")
    assert "loss" in finding["meaning"]


def test_a_number_that_json_has_no_word_for_is_null(tmp_path):
    report = audit(saved(tmp_path, **{"2_weight": np.full((90, 100), 1e300) * np.arange(1, 101)}))
    assert json.loads(report.to_json())["tensors"][4]["std"] is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_word_exists(lang, tmp_path):
    for reason in (*REASONS, "optimizer", "empty", "sparse", "quantized"):
        assert "{" not in Identification("not_fresh", reason=reason).message(lang)
    fields = dict.fromkeys(["count", "first", "second", "factor", "gain", "median", "match"], "1")
    fields |= {"activation": "relu", "wanted": "1.41", "scheme": "he_normal()", "better": "he_normal()"}
    fields |= {"share": "60%", "value": "-2", "place": "5, 7", "times": "100", "alike": "3"}
    fields |= dict.fromkeys(["rms", "low", "high", "mean", "std", "last", "blocks", "loss", "guessing"], "1")
    fields |= dict.fromkeys(
        ["classes", "set", "unset", "one", "other", "mode", "layers", "trained", "total", "sgd", "adam"], "1"
    )
    fields |= dict.fromkeys(["here", "there", "file", "difference", "same", "recipe", "source"], "1")
    law, far = Match("normal", {"std": 0.03}, None, 0.5), (Far(5, 7, -2.0),)
    few = (Identification("too_few"), Identification("too_few", reason="company"))
    assert len({found.message(lang) for found in few}) == 2
    for found in (*few, Identification("fresh_unnamed", law=law, outliers=far)):
        assert "{" not in found.message(lang)
    reasons = {
        "not_learning": ("never_called", "dropped", "detached", "zero"),
        "only_in_one": ("here", "there"),
        "weight_scale": ("large", "small", "small_mixed", "small_lost"),
    }
    reasons |= {
        f"{what}_{how}": ("recurrent", "")
        for what in ("signal", "gradient")
        for how in ("vanishes", "explodes")
    }
    reasons |= {"phase": ("ordered", "critical", "chaotic", "growing", "mixed")}
    reasons |= {"singular_values": ("even", "uneven")}
    numbers = dict.fromkeys(["chi_1", "xi_c", "change", "low", "high", "sum", "depth", "width"], 1.5)
    numbers |= dict.fromkeys(["factor", "directions", "effective", "spread", "probes"], 1.5)
    for kind in ("phase", "singular_values", "finite_width"):
        for why in reasons.get(kind, ("",)):
            for means in ("little", "shrinks", "grows"):
                said = {**numbers, "means": means} | ({"why": why} if why else {})
                assert "{" not in Finding(kind, "w", said).message(lang)
    for kind in (*KINDS, *NOTES):
        for why in reasons.get(kind, ("",)):
            finding = Finding(kind, "w", fields | ({"why": why} if why else {}))
            said = finding.message(lang), finding.meaning(lang), finding.remedy(lang)
            assert (finding.cause is None, said[1] is None) == (kind in NOTES,) * 2
            assert "{" not in "".join(filter(None, said))
    report = audit(saved(tmp_path, **{"2_weight": SICK["dead_rows"]}), lang=lang)
    assert ("张量" in str(report)) == (lang == "zh")
    assert "he_normal" in report._repr_html_()
    assert "2.weight" in str(report)


def test_every_kind_has_a_plain_name_one_cause_and_a_place_in_the_schema():
    assert all(kind.isidentifier() for kind in KINDS)
    assert sorted(kind for kinds in CAUSES.values() for kind in kinds) == sorted(KINDS)
    assert set(CAUSES) <= set(re.findall(r"[a-z]+", Report.to_dict.__doc__))
    assert set(KINDS) <= set(re.findall(r"[a-z_]+", Report.to_dict.__doc__.partition("Kinds:")[2]))


def net(seed, prefix="", **changes):
    """Twelve layers of five laws and their biases."""
    rng, layers = np.random.default_rng(seed), {}
    draws = [
        ik.he_normal,
        ik.torch_default,
        ik.xavier_uniform,
        ik.orthogonal,
        functools.partial(ik.normal, std=0.03),
    ]
    for k in range(12):
        layers[f"{prefix}{k}.weight"] = draws[k % 5]((60 + k, 72), rng=rng)
        layers[f"{prefix}{k}.bias"] = ik.torch_default((60 + k, 72), rng=rng)[:, 0]
    return layers | changes


def against(folder, here, there):
    np.savez(folder / "here.npz", **here)
    np.savez(folder / "there.npz", **there)
    return audit(folder / "here.npz", against=folder / "there.npz")


def test_another_seed_is_no_difference(tmp_path):
    """One fresh tensor in 1,000 is called not fresh, and so many are no other law."""
    for seed in range(3):
        report = against(tmp_path, net(seed), net(100 + seed, "module._orig_mod."))
        assert report.against.verdict == "same_recipe", report
        assert report.findings == ()
    assert "another seed" in str(report)
    assert "随机种子不同" in dataclasses.replace(report, lang="zh")._repr_html_()
    assert against(tmp_path, net(0), net(0, "module.")).against.verdict == "same"


def test_another_recipe_is_told(tmp_path):
    other = net(1, **{"3.weight": ik.lecun_normal((63, 72), rng=3), "extra": np.ones(3)})
    other["5.weight"] = 1.3 * other["5.weight"]
    other["6.weight"] = other["6.weight"].astype(np.float64)
    other["7.weight"] = other["7.weight"][:-1]
    del other["8.bias"]
    report = against(tmp_path, net(0), other)
    assert [(f.kind, f.tensor) for f in report.findings] == [
        ("only_in_one", "8.bias"), ("only_in_one", "extra"), ("other_form", "6.weight"),
        ("other_form", "7.weight"), ("other_law", "3.weight"), ("other_law", "5.weight"),
    ]  # fmt: skip
    told = json.loads(report.to_json())["against"]
    assert (told["file"], told["verdict"], told["only_there"]) == ("there.npz", "other", ["extra"])
    assert sum(map(len, told.values())) == 25 + len("there.npz") + len("other")
    assert "67×72 F32, and 66×72 F32 in there.npz" in report.findings[3].message()


def test_the_first_tensor_of_a_replica_that_differs(tmp_path):
    other = net(0)
    other["10.weight"] = ik.he_normal((70, 72), rng=5)
    other["2.bias"] = other["2.bias"] + np.float32(0.25)
    (finding,) = against(tmp_path, net(0), other).findings
    assert (finding.kind, finding.tensor) == ("replica_differs", "2.bias")
    assert (finding.fields["count"], finding.fields["same"], finding.fields["difference"]) == (2, 22, "0.25")


def test_equal_orthogonal_weights_make_a_replica(tmp_path):
    """By chance no two seeds draw one rotation."""
    here = {f"{k}.weight": ik.orthogonal((20, 20), rng=k) for k in range(6)}
    there = here | {f"{k}.weight": ik.orthogonal((20, 20), rng=10 + k) for k in range(1, 6)}
    (finding,) = against(tmp_path, here, there).findings
    assert (finding.kind, finding.tensor) == ("replica_differs", "1.weight")


def test_training_is_another_law(tmp_path):
    other = net(1)
    for k in (0, 5, 6, 10):
        other[f"{k}.weight"] += 0.02 * np.arange(72, dtype=np.float32) / 72
    report = against(tmp_path, net(0), other)
    assert {f.kind for f in report.findings} == {"other_law"}
    assert "not fresh" in report.findings[0].message("en")
    assert "不像刚初始化的" in report.findings[0].message("zh")
    trained = against(tmp_path, other, other | {"0.weight": other["0.weight"] * 2})
    assert [f.kind for f in trained.findings] == ["replica_differs"]


def test_names_cannot_write_html():
    bad = Report(
        (),
        (Finding("all_zero", "<script>", code="<script>"),),
        coverage=Coverage((), {"bias": ("<script>",)}, {}),
    )
    assert "<script>" not in bad._repr_html_()


def like_gpt2(folder):
    """148 tensors, two of them sick: one is 20 times as large as the others, one has two equal units."""
    layers, rng = {"transformer.wte.weight": ik.normal((90, 96), std=0.02, rng=1)}, np.random.default_rng(0)
    shapes = {
        "attn.c_attn": (32, 96),
        "attn.c_proj": (32, 32),
        "mlp.c_fc": (32, 128),
        "mlp.c_proj": (128, 32),
    }
    for k in range(12):
        for name in ("ln_1", "ln_2"):
            layers |= {
                f"transformer.h.{k}.{name}.weight": np.ones(96),
                f"transformer.h.{k}.{name}.bias": np.zeros(96),
            }
        for name, shape in shapes.items():
            layers[f"transformer.h.{k}.{name}.weight"] = ik.normal(shape, std=0.02, rng=rng)
            layers[f"transformer.h.{k}.{name}.bias"] = np.zeros(shape[1])
    layers["transformer.h.5.mlp.c_fc.weight"] *= 20
    layers["transformer.h.7.mlp.c_fc.weight"][:, 3] = layers["transformer.h.7.mlp.c_fc.weight"][:, 9]
    np.savez(folder / "gpt2.npz", **layers)
    return folder / "gpt2.npz"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_report_fits_a_terminal_and_its_findings_do_not_scroll_away(lang, tmp_path):
    report = audit(like_gpt2(tmp_path), lang=lang)
    assert [f.cause for f in report.findings] == ["units", "scale"]
    lines = str(report).splitlines()
    assert max(map(_width, lines)) <= WIDTH
    assert len(lines) < 2 * LINES
    assert lines[0].count("2") == lines[-1].count("2") == 1
    heads = [lines.index(text(f"doctor.cause.{cause}", lang)) for cause in ("units", "scale")]
    assert heads == sorted(heads)
    assert "transformer.h.7" in lines[heads[0] + 1]
    assert "transformer.h.0…11.attn.c_attn.weight ×12" in lines
    assert not any(
        line.endswith(tuple("（《“")) or line.lstrip().startswith(tuple("，。；：、）》！？”"))
        for line in lines
    )
    every = report.told(every=True)
    assert all(f"\n{tensor.name}\n" in every for tensor in report.tensors)
    assert every.startswith("\n".join(lines[: heads[1]]))


class Outline(HTMLParser):
    """What a screen reader goes by: elements in their order, with their roles, scopes and texts."""

    def __init__(self, page):
        super().__init__()
        self.seen = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.seen.append(("text", data))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_a_screen_reader_finds_in_a_notebook(lang, tmp_path):
    report = audit(like_gpt2(tmp_path), lang=lang)
    seen = Outline(report._repr_html_()).seen
    assert seen[0] == ("div", {"lang": lang})
    tags = [tag for tag, _ in seen]
    roles = [attrs["role"] for tag, attrs in seen if tag != "text" and "role" in attrs]
    assert roles == ["status", "heading", "heading"]
    assert tags.index("details") > max(k for k, (tag, attrs) in enumerate(seen) if tag == "div")
    scopes = [attrs["scope"] for tag, attrs in seen if tag == "th"]
    assert scopes == ["col"] * 6 + ["row"] * len(report.tensors)
    assert not any(re.fullmatch("h[1-6]", tag) for tag in tags)  # JupyterLab would list them
    short = Outline(audit(saved(tmp_path, **{"2_weight": SICK["dead_rows"]}), lang=lang)._repr_html_()).seen
    assert {"caption", "details"} & {tag for tag, _ in short} == {"caption"}


def test_the_command(tmp_path, capsys, monkeypatch):
    path = saved(tmp_path)
    assert main(["audit", str(path), "--lang", "en"]) == 0
    assert "Nothing wrong" in capsys.readouterr().out
    path = saved(tmp_path, **{"2_weight": SICK["dead_rows"]})
    assert main(["audit", str(path), "--lang", "zh"]) == 1
    assert "发现 1 个问题" in capsys.readouterr().out
    assert main(["audit", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "dead_rows"
    np.savez(tmp_path / "other.npz", **weights())
    assert main(["audit", str(tmp_path / "other.npz"), "--against", str(path), "--lang", "en"]) == 1
    assert "Against net.npz" in capsys.readouterr().out
    assert main(["audit", str(path), "--against", str(tmp_path / "gone.npz")]) == 2
    assert "gone.npz" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "none.npz")]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "none.npz" in err
    assert main(["audit", str(path), "--activation", "rely"]) == 2
    assert "rely" in capsys.readouterr().err
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    main(["audit", str(path)])
    assert "张量" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "locale", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, ("en_US", "UTF-8"), "zh"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, ("zh_CN", "UTF-8"), "en"),
        ({"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "C"}, (None, None), "zh"),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, ("zh_CN", "UTF-8"), "en"),
        ({}, ("Chinese (Simplified)_China", "936"), "zh"),  # as Windows says it, which sets no variable
        ({}, ("zh_CN", "UTF-8"), "zh"),
        ({}, ("English_United States", "1252"), "en"),
        ({}, (None, None), "en"),
        ({}, ValueError("unknown locale: UTF-8"), "en"),  # as macOS may say it
    ],
)
def test_the_command_speaks_the_systems_language(variables, locale, language, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def getlocale():
        if isinstance(locale, Exception):
            raise locale
        return locale

    monkeypatch.setattr("locale.getlocale", getlocale)
    assert system_language() == language


def test_the_command_is_installed_and_loads_no_framework(tmp_path):
    code = (
        "import sys; from initkit.command import main; status = main(['audit', sys.argv[1]]);"
        "heavy = {'torch', 'h5py', 'safetensors', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    command = [sys.executable, "-X", "utf8", "-c", code, saved(tmp_path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    from importlib.metadata import entry_points

    (command,) = [e for e in entry_points(group="console_scripts") if e.name == "initkit"]
    assert command.load() is main


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_pytorchs_defaults_are_named_layer_by_layer(suffix, tmp_path):
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(96, 4, 200, batch_first=True)
    models = {
        "mlp": nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 100), nn.ReLU(), nn.Linear(100, 10)
        ),
        "convnet": nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3)),
        "transformer": nn.TransformerEncoder(layer, 2),
    }
    for name, model in models.items():
        path = tmp_path / (name + suffix)
        if suffix == ".pt":
            torch.save(model.state_dict(), path)
        else:
            from safetensors.torch import save_file

            save_file(model.state_dict(), path)
        report = audit(path)
        # nn.TransformerEncoder copies the one layer that it is given.
        kinds = ["identical_layers"] if name == "transformer" else []
        assert [f.kind for f in report.findings] == kinds
        assert len(report.tensors) == sum(t.is_floating_point() for t in model.state_dict().values())
        for tensor in report.tensors:
            if "norm" in tensor.name or (name == "convnet" and tensor.name.startswith("1.")):
                wanted = {"weight": "ones", "bias": "zeros", "running_mean": "zeros", "running_var": "ones"}
                wanted = wanted[tensor.name.rsplit(".", 1)[-1]]
            elif tensor.name.endswith(("in_proj_bias", "out_proj.bias")):
                wanted = "zeros"
            elif tensor.name.endswith("in_proj_weight"):
                wanted = "xavier_uniform"
            else:
                wanted = "torch_default"
            if wanted == "torch_default" and np.prod(tensor.shape) < FEWEST:
                assert tensor.found.verdict == "too_few", tensor.name
            else:
                assert wanted in {m.scheme for m in tensor.found.matches}, tensor.name


@pytest.fixture
def buffered(monkeypatch):
    """Python writes what is in its buffer once more at the end; not where this is set, as in containers."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.parametrize("asked", [[], pytest.param(["--json"], marks=pytest.mark.slow)])
def test_who_reads_may_have_enough(tmp_path, asked, buffered):
    # Long names, as it is the tensors that take time; 80 KB of report.
    np.savez(tmp_path / "net.npz", **{f"{k:0240}": ik.he_normal((9, 8), rng=k) for k in range(240)})
    command = [sys.executable, "-m", "initkit", "audit", str(tmp_path / "net.npz"), *asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()  # long before the end: a pipe holds 64 KB
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize(
    ("asked", "count"),  # fails at the end, or on the way there
    [
        ([], 1),
        (["--json"], 100),
        *(
            pytest.param(*more, marks=pytest.mark.slow)
            for more in (([], 100), (["--json"], 1), (["--lang", "zh"], 1), (["--lang", "zh"], 100))
        ),
    ],
)
def test_a_full_disk_is_one_line_and_no_finding(tmp_path, asked, count, buffered):
    np.savez(tmp_path / "net.npz", **{f"w{k}": ik.he_normal((9, 8), rng=k) for k in range(count)})
    command = [sys.executable, "-m", "initkit", "audit", str(tmp_path / "net.npz"), *asked]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 2
    assert done.stderr == "initkit: the report cannot be written: No space left on device\n"


def test_a_vector_of_many_axes_has_no_scale_to_be_compared(tmp_path):
    small = np.random.default_rng(0).normal(0, 1e-3, 128)
    vectors = {"token": small.reshape(1, 1, 128), "scale": small.reshape(128, 1, 1)}
    assert audit(saved(tmp_path, **vectors)).findings == ()
    kinds = [(f.kind, f.tensor) for f in audit(saved(tmp_path, token=small.reshape(1, 2, 64))).findings]
    assert kinds == [("scale_outlier", "token")]


@pytest.mark.parametrize("gates", [1, 3])
def test_a_recurrent_layer_is_drawn_by_its_hidden_size(tmp_path, gates):
    w = ik.uniform((96 * gates, 32), -(96**-0.5), 96**-0.5, rng=0)
    for name, kinds in (("rnn.weight_ih_l0", []), ("fc.weight", ["transposed_fans"])):
        np.savez(tmp_path / "net.npz", **{name: w})
        assert [f.kind for f in audit(tmp_path / "net.npz").findings] == kinds


def test_what_is_not_finite_has_no_scale(tmp_path):
    w = ik.he_normal((90, 100), rng=1)
    w[0] = np.nan
    report = audit(saved(tmp_path, **{"2_weight": w}))
    (row,) = (t for t in report.tensors if t.name == "2.weight")
    assert (row.std, row.gain) == (None, None)
    assert [f.kind for f in report.findings] == ["non_finite"]


@pytest.mark.parametrize(("name", "entry", "kinds"), [
    ("spatial_embedding.weight", -np.inf, []),
    ("spatial_embedding.weight", np.inf, ["non_finite"]),
    ("spatial_embedding.weight", np.nan, ["non_finite"]),
    ("fc.weight", -np.inf, ["non_finite"]),
])  # fmt: skip
def test_a_table_of_what_is_added_to_scores_may_shut_some(name, entry, kinds, tmp_path):
    table = ik.normal((90, 16), std=0.1, rng=0)
    table[5], table[6] = -np.inf, entry
    np.savez(tmp_path / "net.npz", **{name: table})
    assert [f.kind for f in audit(tmp_path / "net.npz").findings] == kinds


def as_trained(count, scale=1.0):
    """Weights that a strong direction was added to, as training does."""
    rng = np.random.default_rng(0)
    drawn = [ik.he_normal((90, 100), rng=rng) for _ in range(count)]
    return {
        f"{k}.weight": scale * (w + 3 * w.std() * ik.orthogonal((90, 100), rng=rng)[:1])
        for k, w in enumerate(drawn)
    }


@pytest.mark.parametrize(("count", "left", "kinds"), [
    (12, (90, 100), ["fresh_among_trained"]),
    (12, (10, 100), []),  # too few entries to be sure
    (8, (90, 100), []),  # too few others
])  # fmt: skip
def test_a_layer_that_training_has_left_out(tmp_path, count, left, kinds):
    """``forward`` does not use it, say: shipped models have such layers."""
    np.savez(tmp_path / "net.npz", **as_trained(count), **{"left.weight": ik.torch_default(left, rng=1)})
    report = audit(tmp_path / "net.npz", lang="en")
    assert [(f.kind, f.tensor) for f in report.findings] == [(kind, "left.weight") for kind in kinds]
    if kinds:
        assert "torch_default()" in report.findings[0].message("en")
        assert "12 of 13" in report.findings[0].message("en")


def test_a_uniform_draw_that_goes_past_its_edge_was_trained_a_little(tmp_path):
    """By some hundredths, where most were trained; and that says nothing of what has not moved at all."""
    rng = np.random.default_rng(0)
    drawn = ik.xavier_uniform((96, 96), rng=rng)
    net = {
        "moved.weight": drawn + 2e-4 * rng.standard_normal(drawn.shape),
        "own.weight": ik.uniform((96, 96), low=-0.16, high=0.16, rng=rng),  # no scheme's bound is near
        "left.weight": ik.torch_default((90, 100), rng=rng),
    }

    def told(**more):
        np.savez(tmp_path / "net.npz", **net, **more)
        report = audit(tmp_path / "net.npz", lang="en")
        found = {t.name: t.found for t in report.tensors}
        return [(found[name].verdict, found[name].reason) for name in net], report

    verdicts, report = told(**as_trained(30))
    assert verdicts == [("not_fresh", "edge"), ("fresh_unnamed", None), ("fresh", None)]
    assert [f.tensor for f in report.findings] == ["left.weight", "own.weight"]
    assert all("30 of 33" in f.message("en") for f in report.findings)
    assert told()[0][0] == ("fresh_unnamed", None)


def test_a_bias_in_its_default_beside_a_trained_weight_tells_nothing(tmp_path):
    left, moved = ik.torch_default((128, 100), rng=0), ik.torch_default((128, 100), rng=1)
    layers = {"left.weight": left, "moved.weight": moved + 0.2 * ik.orthogonal((128, 100), rng=2)[:1]}
    biases = {f"{name}.bias": ik.uniform(128, low=-0.1, high=0.1, rng=3) for name in ("left", "moved")}
    np.savez(tmp_path / "net.npz", **as_trained(12), **layers, **biases)
    told = {t.name: t.found.verdict for t in audit(tmp_path / "net.npz").tensors}
    assert [told[name] for name in (*layers, *biases)] == ["fresh", "not_fresh", "fresh", "too_few"]


def test_few_entries_that_look_drawn_prove_nothing_beside_trained_ones(tmp_path):
    """A trained shift or small kernel is as normal as a draw; none keeps a uniform bound."""
    few = {
        "norm.bias": ik.normal(128, std=0.17, rng=0),
        "conv.weight": ik.he_normal((32, 1, 3, 3), rng=1),
        "table": ik.normal((12, 12), std=2, rng=2),
        "head.weight": ik.torch_default((10, 100), rng=3),
        "zero.bias": np.zeros(8),
        "left.weight": ik.he_normal((90, 100), rng=4),
    }
    np.savez(tmp_path / "net.npz", **as_trained(12), **few)
    told = {t.name: t.found.verdict for t in audit(tmp_path / "net.npz").tensors}
    assert [told[name] for name in few] == ["too_few"] * 3 + ["fresh"] * 3
    np.savez(tmp_path / "net.npz", **weights(), **few)
    told = {t.name: t.found.verdict for t in audit(tmp_path / "net.npz").tensors}
    assert {told[name] for name in few} == {"fresh", "fresh_unnamed"}


def test_a_normal_draw_among_trained_ones_stands_if_what_learns_with_it_is_as_it_starts(tmp_path):
    """It has no edges that training carries it past. A bias and a normalization show each step."""
    named, own = ik.he_normal((90, 100), rng=1), ik.normal((90, 100), std=0.3, rng=1)
    moved, default = ik.normal(90, std=0.1, rng=2), ik.uniform(90, low=-0.1, high=0.1, rng=3)
    scale, zeros = {"last_bn_scale": np.ones(90)}, {"last.bias": np.zeros(90)}
    for beside, stands, name in (
        ({"last.weight": named}, True, "last.weight"),
        ({"last.weight": named, **zeros}, True, "last.weight"),
        ({"last.weight": named, "last.bias": default}, True, "last.weight"),
        ({"last_weights": named, **scale, "last_bn_mean": moved}, False, "last_weights"),
        ({"last_weights": named, **scale, "last_bn_mean": moved[:80]}, True, "last_weights"),  # another's
        ({"last_weights": named, **scale}, True, "last_weights"),
        ({"last.weight": own}, False, "last.weight"),
        ({"last.weight": own, **zeros}, True, "last.weight"),
        ({"embedding.weight": named}, False, None),
        ({"last.bias": ik.normal(4096, std=0.02, rng=4)}, False, None),
    ):
        np.savez(tmp_path / "net.npz", **as_trained(12), **beside)
        report = audit(tmp_path / "net.npz")
        found = {t.name: t.found for t in report.tensors}[next(iter(beside))]
        assert (found.verdict in ("fresh", "fresh_unnamed")) == stands, beside.keys()
        assert [f.tensor for f in report.findings] == [name] * stands
        if not stands:
            assert (found.verdict, str(found)) == ("too_few", "drawn or trained")
        np.savez(tmp_path / "net.npz", **weights(), **beside)
        found = {t.name: t.found for t in audit(tmp_path / "net.npz").tensors}[next(iter(beside))]
        assert found.verdict in ("fresh", "fresh_unnamed"), beside.keys()


@pytest.mark.filterwarnings("ignore")  # that PyTorch is about to give its quantization up
def test_what_is_quantized_was_trained(tmp_path):
    torch = pytest.importorskip("torch")
    shift, w = torch.tensor(ik.normal(4096, std=0.02, rng=0)), torch.tensor(ik.he_normal((90, 100), rng=1))
    for layer, verdict in ((torch.quantize_per_tensor(w, 0.01, 0, torch.qint8), "too_few"), (w, "fresh")):
        torch.save({"fc.weight": layer, "last_shift": shift}, tmp_path / "net.pt")
        assert [t.found.verdict for t in audit(tmp_path / "net.pt").tensors][1] == verdict


def _spoilt(rows, units, of=0.0):
    """Some units are ``of`` times the last one."""
    w = np.random.default_rng(7).normal(size=(units, 60)) * np.linspace(1, 3, units)[:, None]
    w[:rows] = np.broadcast_to(of, rows)[:, None] * w[-1]
    return w


@pytest.mark.parametrize(("w", "bias", "kinds"), [
    (_spoilt(1, 200, 1.0), 0.0, []),
    (_spoilt(1, 200), 0.0, []),
    (_spoilt(20, 200, 1.0), 0.0, ["symmetric_rows"]),
    (_spoilt(20, 200, np.geomspace(1e-6, 1e-3, 20)), 0.0, []),  # decayed along one direction
    (_spoilt(120, 200, np.geomspace(1e-6, 1e-3, 120)), 0.0, ["symmetric_rows"]),  # hardly: most units do not
    (_spoilt(20, 200), 0.0, ["dead_rows"]),
    (_spoilt(1, 21), 0.0, ["dead_rows"]),
    (_spoilt(1, 21), -100.0, []),  # a class that is never to be named
])  # fmt: skip
def test_what_training_makes_of_a_few_units_is_no_fault(w, bias, kinds, tmp_path):
    biases = np.linspace(-1, 1, len(w))
    biases[0] = bias
    np.savez(tmp_path / "net.npz", **as_trained(12), **{"last.weight": w, "last.bias": biases})
    assert [f.kind for f in audit(tmp_path / "net.npz").findings] == kinds
    np.savez(tmp_path / "net.npz", **weights(), **{"last.weight": w, "last.bias": biases})
    assert {"symmetric_rows", "dead_rows"} & {f.kind for f in audit(tmp_path / "net.npz").findings}


def test_what_training_makes_of_a_scale_is_no_fault(tmp_path):
    large = {f"large.{name}": 100 * w for name, w in as_trained(2).items()}
    np.savez(tmp_path / "net.npz", **as_trained(12), **large)
    assert audit(tmp_path / "net.npz").findings == ()


def test_a_table_of_positions_has_no_fan(tmp_path):
    table = np.random.default_rng(0).normal(0, 0.02, (169, 3))
    for name, kinds in (("relative_position_bias_table", []), ("other", ["scale_outlier"])):
        np.savez(tmp_path / "net.npz", **weights(), **{name: table})
        assert [f.kind for f in audit(tmp_path / "net.npz").findings] == kinds


ZERO, SAME = "all_zero", "symmetric_rows"


@pytest.mark.parametrize(
    ("name", "shape", "value", "kind"),
    [
        ("fc.weight", (64, 1), 0.1, SAME),  # from one input
        ("w1", (64, 1), 0.1, SAME),
        ("rnn.weight_ih_l0", (64, 1), 0.1, SAME),
        ("stem.weight", (64, 1, 1, 1), 0.1, SAME),
        ("head.weight", (1, 64), 0, ZERO),  # to one unit
        ("head.weight", (1, 64, 1, 1), 0, ZERO),
        ("fc.weight", (64, 1), 0, ZERO),
        ("fc.weight", (1, 1), 0, ZERO),
        ("head.weight", (1, 64), 0.1, None),  # one unit is not symmetric to any
        ("head.weight", (1, 1), 0.1, None),
        ("head.bias", (1, 64), 0, None),
        ("b1", (1, 64), 0, None),
        ("b1", (64, 1), 0, None),
        ("norm.weight", (64,), 1, None),
        ("norm.weight", (64, 1, 1), 1, None),
        ("norm.weight", (1, 64, 1, 1), 1, None),
        ("fc.weight_g", (64, 1), 1, None),  # of weight normalization
        ("fc.parametrizations.weight.original0", (64, 1), 1, None),
        ("cls_token", (1, 1, 64), 0, None),
        ("logit_scale", (), 0, None),
        ("type_embedding.weight", (1, 64), 0, None),
        ("bias_embedding.weight", (64, 1), 0.1, None),
    ],
)  # fmt: skip
def test_one_row_or_column_is_a_weight_by_its_name(name, shape, value, kind, tmp_path):
    found = audit(saved(tmp_path, **{name: np.full(shape, value, np.float32)})).findings
    assert [(f.kind, f.tensor) for f in found] == [(kind, name)] * (kind is not None)


def test_equal_entries_of_one_column_are_chance(tmp_path):
    w = ik.torch_default((5000, 1), rng=0).astype(np.float16)
    assert len(np.unique(w.astype(np.float32))) < len(w)  # float16 is not sorted: see doctor/scan.py
    assert audit(saved(tmp_path, **{"fc.weight": w})).findings == ()


def test_one_input_or_one_unit_in_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "net.weights.h5", "w") as f:
        f["one_input/vars/0"] = np.full((1, 64), 0.1, np.float32)
        f["one_unit/vars/0"] = np.full((64, 1), 0.1, np.float32)
        f["one_unit/vars/1"] = np.zeros(1, np.float32)
    found = audit(tmp_path / "net.weights.h5").findings
    assert [(f.kind, f.tensor) for f in found] == [(SAME, "one_input/vars/0")]


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_recurrent_layers_are_named_as_pytorchs_default(tmp_path, kind):
    """±1/√hidden: of the hidden size 96 there are 96, 288 or 384 rows, and 40 inputs."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.ModuleDict({"rnn": getattr(torch.nn, kind)(40, 96, 2, bidirectional=True)})
    torch.save(net.state_dict(), tmp_path / "net.pt")
    report = audit(tmp_path / "net.pt")
    assert not report.findings
    assert len(report.tensors) == 16
    for tensor in report.tensors:
        if np.prod(tensor.shape) < FEWEST:  # an RNN's biases
            assert tensor.found.verdict == "too_few"
            continue
        by_hidden = "torch_default()" if tensor.fan_in == 96 else "torch_default(fan_in=96)"
        assert str(tensor.found.matches[0]) == by_hidden
        assert tensor.found.ambiguous == (len(tensor.found.matches) > 1)


def test_a_weight_that_he_drew_by_the_wrong_fan_is_transposed(tmp_path):
    """Recurrent, too; but a head by its fan_out is a design."""
    swapped = ["transposed_fans"]
    for name, kinds in (("rnn.weight_ih_l0", swapped), ("fc.weight", swapped), ("head.weight", [])):
        np.savez(tmp_path / "net.npz", **{name: ik.he_normal((288, 40), mode="fan_out", rng=0)})
        assert [f.kind for f in audit(tmp_path / "net.npz").findings] == kinds


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_sparse_pytorch_tensor_is_listed_and_the_others_are_read(tmp_path, legacy, layout):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(w) for name, w in weights(**{"2_weight": _dead()}).items()}
    tensors["1.weight"] = tensors["1.weight"].to_sparse(layout=getattr(torch, layout))
    tensors["index"] = torch.eye(3, dtype=torch.int64).to_sparse()  # no numbers of ours
    torch.save(tensors, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    report = audit(tmp_path / "net.pt")
    assert [t.name for t in report.tensors] == list(weights())
    row = report.tensors[2]
    assert (row.name, row.shape, row.std, row.found.reason) == ("1.weight", (100, 120), None, "sparse")
    assert [(f.kind, f.tensor) for f in report.findings] == [("dead_rows", "2.weight")]
    assert "stored sparse" in str(report)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("by", ["tensor", "channel"])
@pytest.mark.filterwarnings("ignore")  # that PyTorch is about to give its quantization up
def test_a_quantized_pytorch_tensor_is_listed_and_the_others_are_read(tmp_path, legacy, by):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(w) for name, w in weights(**{"2_weight": _dead()}).items()}
    w = tensors["1.weight"].float()
    if by == "tensor":
        w = torch.quantize_per_tensor(w, 0.01, 0, torch.qint8)
    else:
        w = torch.quantize_per_channel(w, torch.full((100,), 0.01), torch.zeros(100), 0, torch.qint8)
    tensors["1.weight"] = w
    tensors["packed"] = (torch.quantize_per_tensor(torch.ones(7), 0.1, 3, torch.quint8), torch.ones(3))
    torch.save(tensors, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    report = audit(tmp_path / "net.pt")
    assert [t.name for t in report.tensors] == [*weights(), "packed.0", "packed.1"]
    row = report.tensors[2]
    assert (row.name, row.shape, row.std, row.found.reason) == ("1.weight", (100, 120), None, "quantized")
    assert [f.kind for f in report.findings] == ["dead_rows"]
    assert "stored quantized" in str(report)
    assert report.tensors[-1].found.matches[0].scheme == "ones"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # which makes the file
def test_a_quantized_pytorch_tensor_of_any_claimed_size_is_not_allocated(tmp_path, legacy):
    torch = pytest.importorskip("torch")

    class Claim:
        def __reduce__(self):
            storage = torch.storage.TypedStorage(
                wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.qint8
            )
            scheme = (torch.per_tensor_affine, 0.1, 0)
            return torch._utils._rebuild_qtensor, (storage, 0, (2**18, 2**19), (1, 1), scheme, False, {})

    tensors = {"huge": Claim(), "w": torch.ones(3, 4)}
    torch.save(tensors, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    before = peak_memory()
    assert [t.found.reason for t in audit(tmp_path / "net.pt").tensors] == ["quantized", None]
    assert peak_memory() - before < 100 * 2**20


@pytest.mark.parametrize("first", ["weight", "bias"])
def test_a_scale_over_several_axes_is_no_layer(tmp_path, first):
    """As of nn.LayerNorm((4, 8)): a bias of the weight's own shape, or a name that says so, tells."""
    ones, zeros = np.ones((4, 8), np.float32), np.zeros((4, 8), np.float32)
    small = np.random.default_rng(0).normal(1, 0.2, (4, 8)) * 1e-3
    pairs = {"7": (ones, zeros), "deep": (np.ones((4, 8, 3)), np.zeros((4, 8, 3))), "learned": (small, small)}
    scales = {f"{name}.{kind}": array for name, pair in pairs.items()
              for kind, array in zip(("weight", "bias"), pair, strict=True)}  # fmt: skip
    scales = dict(sorted(scales.items(), key=lambda item: item[0].endswith("weight") == (first == "bias")))
    scales |= {"block.ln_1.weight": ones, "RMSNorm_0/scale": ones}
    assert audit(saved(tmp_path, **scales)).findings == ()
    layers = {"7.weight": ones, "7.bias": zeros[:, 0], "plain/kernel": ones, "w9": zeros[:1], "b9": zeros[:1]}
    layers["normal.weight"] = _dead()
    found = [(f.kind, f.tensor) for f in audit(saved(tmp_path, **layers)).findings]
    assert found == [(ZERO, "w9"), (SAME, "7.weight"), (SAME, "plain/kernel"), ("dead_rows", "normal.weight")]
    ill = audit(saved(tmp_path, **{"norm.weight": np.full((4, 8), np.nan)})).findings
    assert [f.kind for f in ill] == ["non_finite"]


def test_a_layer_norm_over_several_axes_in_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    from initkit.doctor import diagnose

    norm = torch.nn.LayerNorm((4, 8))
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), norm, torch.nn.Tanh(), torch.nn.Linear(8, 8))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    assert audit(tmp_path / "net.pt").findings == ()
    assert diagnose(net, torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0))).findings == ()


def test_one_channel_of_a_conv1d_is_told_from_a_scale_by_its_bias(tmp_path):
    same, small = np.ones((64, 1, 1)), np.random.default_rng(0).normal(0, 1e-3, (64, 1, 1))
    for w, kind in ((same, SAME), (0 * same, ZERO), (small, "scale_outlier")):
        for bias in ({"stem.bias": np.zeros(64)}, {"stem.bias": np.zeros((64, 1, 1))}, {}):
            found = audit(saved(tmp_path, **{"stem.weight": w}, **bias)).findings
            layer = [b.ndim for b in bias.values()] == [1]
            assert [(f.kind, f.tensor) for f in found] == [(kind, "stem.weight")] * layer
    small = {"cls.weight": small.reshape(1, 1, 64), "cls.bias": np.zeros(64)}
    assert audit(saved(tmp_path, **small)).findings == ()


@pytest.mark.parametrize("units_last", [False, True])
@pytest.mark.parametrize("rounding", ["float16", "bfloat16"])
def test_one_rounded_pair_in_a_wide_layer(tmp_path, units_last, rounding):
    """Of 3,000 units 512 are held against each other at first; the pair is none of these."""

    def audited(w):
        w = w.astype(np.float16) if rounding == "float16" else to_bfloat16(w)
        if not units_last:
            return audit(saved(tmp_path, wide=w)).findings
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "net.weights.h5", "w") as f:
            f["dense/vars/0"] = np.ascontiguousarray(w.T)
        return audit(tmp_path / "net.weights.h5").findings

    w = ik.he_normal((3000, 40), rng=0)
    assert list(audited(w)) == []  # as of 3,000 other pairs that are as near by chance
    w[2001] = -0.37 * w[1000]
    (finding,) = audited(w)
    assert (finding.kind, finding.fields) == (SAME, {"count": 2, "first": 1000, "second": 2001})
    short = ik.he_normal((3000, 3), rng=0)
    short[2001] = -0.37 * short[1000]
    assert list(audited(short)) == []  # so short ones are alike by chance


@pytest.mark.parametrize("epsilon", [2.0**-3, 2.0**-4, 2.0**-8, 2.0**-10])
def test_no_pair_of_a_wide_fresh_layer_is_alike(epsilon):
    """As of float8, where one of 3,000 units is soon near another, to float16."""
    w = ik.he_normal((3000, 60), rng=0)
    seen = scan([(w, 0, 0)], w.shape, 1, epsilon)
    assert list(wrong_by_itself("w", w.shape, seen)) == []
    assert seen.products[0].shape == (8, 3000)


DESIGNS = {
    "zero_branch": ["out_layers.3", "att.output", "mlp.fc2", "ffn.value"],
    "zero_gate": [
        "adaLN_modulation.1", "att.receptance", "att.key", "attn.sampling_offsets", "attn.attention_weights",
        "igate_preact",
    ],
}  # fmt: skip


def blocks(zeros=(), start="blocks"):
    """Six blocks with a layer that is drawn, and others that are zero; and the head, drawn."""
    net = {f"{start}.{k}.mlp.fc1.weight": ik.he_normal((48, 32), rng=k) for k in range(6)}
    net |= {f"{start}.{k}.{name}.weight": np.zeros((32, 48)) for k in range(6) for name in zeros}
    return net | {"model.head.weight": ik.he_normal((10, 32), rng=9)}


@pytest.mark.parametrize("kind", DESIGNS)
def test_known_designs_of_zeros_are_notes_once_for_all_blocks(kind, tmp_path):
    report = audit(_file(tmp_path, blocks(DESIGNS[kind])))
    assert report.findings == ()
    assert [(note.kind, note.fields["alike"]) for note in report.notes] == [(kind, 6)] * len(DESIGNS[kind])
    for lang in LANGUAGES:
        assert "{" not in report.notes[0].message(lang)
    assert report.notes[0].tensor in str(report)


@pytest.mark.parametrize(
    "name", ["model.head.weight", "head.fc.weight", "final_layer.linear.weight", "model.out.2.weight"]
)
def test_a_head_of_zeros_is_a_note_beside_what_is_drawn(name, tmp_path):
    report = audit(_file(tmp_path, blocks() | {name: np.zeros((10, 32))}))
    assert [(note.kind, note.tensor) for note in report.notes] == [("zero_head", name)]
    assert report.findings == ()
    alone = audit(_file(tmp_path, {name: np.zeros((10, 32))}))
    assert (kinds_of(alone), alone.notes) == (["all_zero"], ())


def kinds_of(report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_zeros_that_are_no_design_stay_findings(tmp_path):
    drawn = {f"blocks.{k}.mlp.fc2.weight": ik.he_normal((32, 48), rng=k) for k in range(5)}
    found = audit(_file(tmp_path, blocks(["mlp.fc2"]) | drawn))  # in one block of six
    assert [(f.kind, f.tensor) for f in found.findings] == [("all_zero", "blocks.5.mlp.fc2.weight")]
    dead = blocks(["mlp.fc0"])  # at the head of the branch
    found = audit(_file(tmp_path, dead))
    assert kinds_of(found) == ["all_zero"] * 6
    said = str(found)
    assert said.count("✗") == found._repr_html_().count("<li><code>") == 1  # in one line
    assert "blocks.0.mlp.fc0.weight … blocks.5.mlp.fc0.weight: all weights are zero" in said
    assert "(the same in 6 places)" in " ".join(said.split())
    rng = np.random.default_rng(0)
    trained = {n: w + 0.3 * w.any() * rng.exponential(size=w.shape) for n, w in blocks(["fc2"]).items()}
    report = audit(_file(tmp_path, trained))
    assert (kinds_of(report), report.notes) == (["all_zero"] * 6, ())
    key = blocks(["att.key"])  # of no RWKV: with the queries', no score gets a gradient
    assert kinds_of(audit(_file(tmp_path, key))) == ["all_zero"] * 6


def test_a_gain_may_stray_as_far_as_so_few_entries_do(tmp_path):
    """He's √2 is 5 % within what suits SiLU, and 256 entries stray by 4.4 %."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net = {f"fc{i}.weight": ik.he_normal((16, 16), rng=rng) for i in range(6)}
        np.savez(tmp_path / "w.npz", **net)
        found += audit(tmp_path / "w.npz", activation="silu").findings
    assert not found


def test_odd_shapes_are_read(tmp_path):
    """Stacked experts with one bias for all, a kernel without units, LoRA's matrix without an axis."""
    experts = {"moe.experts.weight": ik.normal((4, 64, 32), std=0.05, rng=0)}
    experts["moe.experts.bias"] = ik.normal((64,), std=0.05, rng=1)
    assert len(audit(_file(tmp_path, experts)).tensors) == 2
    empty = {"conv.weight": np.zeros((0, 3, 3, 3)), "a.weight": ik.he_normal((16, 8), rng=0)}
    empty["b.weight"] = ik.he_normal((4, 16), rng=1)
    assert len(audit(_file(tmp_path, empty), activation="relu").tensors) == 3
    audit(
        _file(tmp_path, {"q.lora_A.weight": np.float32(1), "q.lora_B.weight": np.zeros((8, 4))}),
        recipe="lora",
    )


def test_an_unknown_language_is_refused_before_the_file_is_read(tmp_path):
    with pytest.raises(ValueError, match="lang must be one of zh, en, not 'de'"):
        audit(tmp_path / "nothing.npz", lang="de")
