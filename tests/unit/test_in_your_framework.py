"""The lessons' cells for PyTorch, Flax and Keras draw what initkit draws, and the defaults are what is said.

`make test-torch` runs PyTorch's, `make frameworks` all; elsewhere they are skipped. A draw is held to one of
initkit's by ``assert_one_law``, some 250 times: of a million seeds, two would raise a false alarm.
"""

import re
import sys
from functools import partial
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from test_frameworks import assert_one_law

import initkit as ik
import notebooks
from initkit import course

LESSONS = ["02_zero_and_symmetry", "03_random", "04_xavier", "05_he", "06_choosing"]
NEEDED = {"torch": ["torch"], "flax": ["flax"], "keras": ["keras", "jax"]}
NAMES = {"torch": "PyTorch", "flax": "Flax", "keras": "Keras"}
JAX = {"in_axis": -2, "out_axis": -1}  # of kernels in Flax and Keras
TRUNCATED_HE = partial(ik.variance_scaling, scale=2.0, **JAX)


def needs(framework: str) -> None:
    if not all(map(find_spec, NEEDED[framework])):
        pytest.skip(f"{NAMES[framework]} is not here: make frameworks")
    if framework == "torch":
        import torch

        torch.manual_seed(0)
    if framework == "keras":
        run("02_zero_and_symmetry", "keras-backend", {})
        import keras

        keras.utils.set_random_seed(0)


def cell(lesson: str, name: str) -> str:
    book = notebooks.read(notebooks.ROOT / "en" / f"{lesson}.ipynb")
    return next(cell.source for cell in book.cells if cell.id == f"in-{name}")


def run(lesson: str, name: str, given: dict) -> dict:
    exec(cell(lesson, name), given)
    return given


def ran(lesson: str, framework: str) -> dict:
    needs(framework)
    return run(lesson, framework, {"course": course, "LANG": "en", "SEED": 0, "partial": partial})


def parameters(framework: str, module) -> dict[str, np.ndarray]:
    """All that is trained, by name."""
    if framework == "torch":
        return {name: p.detach().numpy() for name, p in module.named_parameters()}
    if framework == "keras":
        return {w.path: np.array(w.value) for w in module.trainable_weights}
    from flax import nnx

    flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {"/".join(map(str, path)): np.array(p[...]) for path, p in flat}


def sorted_out(framework: str, *modules) -> tuple[dict, dict, dict]:
    """Kernels, scales and biases, each by name. No two kernels are the same."""
    kernels, scales, biases = {}, {}, {}
    for i, module in enumerate(modules):
        for name, w in parameters(framework, module).items():
            scale = re.search("scale|gamma", name) or (w.ndim == 1 and name.endswith("weight"))
            kind = scales if scale else biases if re.search("bias|beta", name) else kernels
            kind[f"{i} {name}"] = w
    assert not any(np.array_equal(a, b) for a, b in combinations(kernels.values(), 2))
    return kernels, scales, biases


def assert_as(theirs, ours) -> None:
    """One law; ``ours`` draws by initkit."""
    theirs = np.asarray(theirs, np.float64)
    said = {"mean": theirs.mean(), "var": theirs.var(), "fourth": (theirs**4).mean() / theirs.var() ** 2}
    assert_one_law(ours(theirs.shape, rng=1), said)


def test_where_biases_start():
    """Lesson 02, PyTorch."""
    made = ran("02_zero_and_symmetry", "torch")
    weights, _, biases = sorted_out("torch", made["layer"], made["lstm"])
    forget = biases.pop("1 bias_ih_l0").reshape(4, 30)
    assert np.array_equal(forget, np.outer([0, 1, 0, 0], np.ones(30)))
    assert len(biases) == 2
    assert not any(b.any() for b in biases.values())
    assert_as(weights["0 weight"], ik.torch_default)  # as it was
    # The gate that stands there is the forget gate: open, and the others at a half, it keeps all of the cell.
    import torch

    with torch.no_grad():
        for w in (made["lstm"].weight_ih_l0, made["lstm"].weight_hh_l0):
            w.zero_()
        _, (_, c) = made["lstm"](torch.zeros(1, 64), (torch.zeros(1, 30), torch.ones(1, 30)))
    assert c.numpy() == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("framework", ["flax", "keras"])
def test_where_biases_start_in(framework):
    made = ran("02_zero_and_symmetry", framework)
    modules = [made["model"]] if framework == "keras" else [made["layer"], made["lstm"]]
    _, _, biases = sorted_out(framework, *modules)
    if framework == "keras":
        (lstm,) = (name for name, b in biases.items() if b.size == 120)
        gates = biases.pop(lstm).reshape(4, 30)  # i, f, g, o
        assert np.array_equal(gates, np.outer([0, 1, 0, 0], np.ones(30)))
    else:
        assert (biases.pop("1 hf/bias") == 1).all()
    assert biases
    assert not any(b.any() for b in biases.values())


@pytest.mark.parametrize("framework", NEEDED)
@pytest.mark.parametrize("lesson", LESSONS[1:])
def test_a_lessons_cell_draws_its_scheme(lesson, framework):
    made = ran(lesson, framework)
    if (lesson[:2], framework) == ("06", "keras"):
        import keras

        made["model"] = keras.Model(made["tokens"], made["stream"])
    nets = ("model",) if "model" in made else ("stem", "branch", "blocks")
    modules = [made[name] for name in nets if name in made]
    kernels, scales, biases = sorted_out(framework, *modules)
    axes = {} if framework == "torch" else JAX
    he = partial(ik.he_normal, mode="fan_out") if framework == "torch" else TRUNCATED_HE
    gpt2 = {True: partial(ik.normal, std=0.02 / 24**0.5), False: partial(ik.normal, std=0.02)}
    last = [name for name, w in kernels.items() if ends_a_branch(framework, name, w)]
    for name, w in kernels.items():
        ours = {
            "03": partial(ik.normal, std=0.1),
            "04": partial(ik.xavier_uniform, **axes),
            "05": he,
            "06": gpt2[name in last],
        }
        assert_as(w, ours[lesson[:2]])
    # In PyTorch query, key and value are one matrix; what Keras has in three sizes is one of ten weights.
    counts = {"03": 3, "04": 6, "05": 3, "06": 12 * (4 if framework == "torch" else 6)}
    assert len(kernels) == counts[lesson[:2]]
    assert len(last) == (24 if lesson[:2] == "06" else 0)
    assert not any(b.any() for b in biases.values())
    zero = [name for name, scale in scales.items() if not scale.any()]
    assert len(zero) == (lesson[:2] == "05")
    assert all((scale == 1).all() for name, scale in scales.items() if name not in zero)
    assert lesson[:2] != "05" or (len(scales), len(biases)) == (3, 3)  # BatchNorm's alone


def ends_a_branch(framework: str, name: str, w) -> bool:
    ends = {"torch": r"out_proj|linear2", "flax": r"/out/|/down/", "keras": r"attention_output"}
    return bool(re.search(ends[framework], name)) or (framework == "keras" and w.shape == (512, 128))


def test_a_block_of_zero_scale_is_the_identity():
    made = ran("05_he", "keras")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    import keras

    stem = keras.Model(made["images"], made["stem"])
    assert np.array_equal(made["model"](images), stem(images))


def test_pytorchs_defaults_are_what_the_lessons_say():
    needs("torch")
    from torch import empty, nn

    bound = 300**-0.5
    linear, lstm, conv = nn.Linear(300, 200), nn.LSTM(64, 300), nn.Conv2d(32, 64, 3)
    assert_as(linear.weight.detach(), ik.torch_default)
    for bias in (linear.bias, lstm.bias_ih_l0, lstm.bias_hh_l0):
        assert_as(bias.detach(), partial(ik.uniform, low=-bound, high=bound))
    assert_as(conv.weight.detach(), ik.torch_default)
    norm = nn.BatchNorm2d(8)
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert_as(nn.init.normal_(empty(300, 200)), partial(ik.normal, std=1))
    assert_as(nn.Embedding(300, 200).weight.detach(), partial(ik.normal, std=1))
    block = nn.TransformerEncoderLayer(128, 4, 512, norm_first=True)
    net = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
    first, *others = (parameters("torch", layer) for layer in net.layers)
    assert all(np.array_equal(other[name], w) for other in others for name, w in first.items())
    assert first["self_attn.in_proj_weight"].shape == (384, 128)
    assert_as(first["self_attn.in_proj_weight"], ik.xavier_uniform)
    assert first["self_attn.in_proj_weight"].var() == pytest.approx(1 / 256, rel=0.05)
    for name in ("self_attn.out_proj", "linear1", "linear2"):
        assert_as(first[f"{name}.weight"], ik.torch_default)


def test_flaxs_defaults_are_what_the_lessons_say():
    needs("flax")
    import jax
    from flax import nnx

    rngs = nnx.Rngs(0)
    lecun = partial(ik.variance_scaling, scale=1.0, **JAX)  # truncated
    linear, conv = nnx.Linear(300, 200, rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
    for module in (linear, conv):
        assert_as(module.kernel[...], lecun)
        assert not module.bias[...].any()
    _, _, biases = sorted_out("flax", nnx.LSTMCell(64, 30, rngs=rngs))
    assert biases
    assert not any(b.any() for b in biases.values())
    _, scales, biases = sorted_out("flax", nnx.BatchNorm(8, rngs=rngs))
    assert [w.tolist() for w in (*scales.values(), *biases.values())] == [[1] * 8, [0] * 8]
    assert_as(nnx.initializers.normal()(jax.random.key(0), (300, 200)), partial(ik.normal, std=0.01))
    attention = nnx.MultiHeadAttention(4, 128, decode=False, rngs=rngs)
    kernels, _, _ = sorted_out("flax", attention)
    for w in kernels.values():
        assert_as(w.reshape(128, 128), lecun)
        assert w.std() == pytest.approx(0.088, rel=0.02)
    embedding = nnx.Embed(300, 200, rngs=rngs).embedding[...]
    assert_as(embedding, partial(ik.normal, std=200**-0.5))
    (said,) = re.findall(r"`(variance_scaling\(.*?\))`", text("05_he", "en"))
    draw = eval(said, vars(nnx.initializers))
    wanted = partial(ik.variance_scaling, scale=2.0, mode="fan_out", **JAX)
    assert_as(draw(jax.random.key(0), (3, 3, 16, 64)), wanted)


def test_kerass_defaults_are_what_the_lessons_say():
    needs("keras")
    from keras import initializers, layers, random

    def built(layer, *shapes):
        layer.build(*shapes)
        return sorted_out("keras", layer)

    xavier = partial(ik.xavier_uniform, **JAX)
    dense, conv = built(layers.Dense(200), (None, 300)), built(layers.Conv2D(64, 3), (None, 8, 8, 32))
    for kernels, _, biases in (dense, conv):
        assert_as(*kernels.values(), xavier)
        assert not np.any(list(biases.values()))
    attention, _, _ = built(layers.MultiHeadAttention(4, 32), (None, 5, 128), (None, 5, 128))
    for w in attention.values():
        assert_as(w.reshape(128, 128), xavier)
    _, scales, biases = built(layers.BatchNormalization(), (None, 8))
    assert [w.tolist() for w in (*scales.values(), *biases.values())] == [[1] * 8, [0] * 8]
    assert_as(initializers.RandomNormal()((300, 200)), partial(ik.normal, std=0.05))
    embedding, _, _ = built(layers.Embedding(300, 200))
    assert_as(*embedding.values(), partial(ik.uniform, low=-0.05, high=0.05))
    for seed, same in ((None, True), (0, True), (random.SeedGenerator(0), False)):
        draw = initializers.RandomNormal(stddev=0.1, seed=seed)
        two = [layers.Dense(64, kernel_initializer=draw) for _ in range(2)]
        for layer in two:
            layer.build((None, 64))
        assert np.array_equal(*(np.array(layer.kernel.value) for layer in two)) is same


def text(lesson: str, lang: str) -> str:
    book = notebooks.read(notebooks.ROOT / lang / f"{lesson}.ipynb")
    return "\n\n".join(c.source for c in book.cells if c.id.startswith("in-") and c.cell_type == "markdown")


@pytest.mark.parametrize("lang", course.LANGUAGES)
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_version_that_is_named_is_the_one_that_is_tested(lesson, lang):
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for package, name in NAMES.items():
        (version,) = re.findall(rf"\b{package}==(\d+\.\d+)\b", makefile)
        assert re.findall(rf"{name} ([\d.]+\d)", text(lesson, lang)) == [version]


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_where_a_package_is_missing_one_line_says_how_to_install_it(lang, capsys, monkeypatch):
    assert course.installed("numpy", "scipy", lang=lang)
    assert capsys.readouterr().out == ""
    assert not course.installed("numpy", "no_torch", "no_jax", lang=lang)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip install no_torch no_jax\n" in said
    assert "numpy" not in said
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert not course.installed("no_torch", lang=lang)
    assert {"en": "outside the browser", "zh": "浏览器里装不了"}[lang] in capsys.readouterr().out


# Lesson 09's table and the paragraph below it. A call that stands there is run as it stands.


def table_of_09(lang: str) -> tuple[list[str], list[list[str]], str]:
    """The code in its first row, by framework; what the second row says; the text below."""
    book = notebooks.read(notebooks.ROOT / lang / "09_orthogonal.ipynb")
    source = next(c.source for c in book.cells if c.id == "framework")
    first, second = [line.split("|")[2:-1] for line in source.splitlines() if line.startswith("|")][2:]
    calls = [re.findall(r"`([^`]+)`", part) for part in second]
    return [re.findall(r"`([^`]+)`", part)[0] for part in first], calls, source.rpartition("|")[2]


def kernels_of_09(framework: str, shape: tuple, count: int = 1, g: float = 2.0) -> np.ndarray:
    """``count`` kernels from the call in the table's first row, the output channels in front."""
    needs(framework)
    call = table_of_09("en")[0][["torch", "flax", "keras"].index(framework)]
    if framework == "torch":
        import torch

        return np.stack([eval(call, {"nn": torch.nn, "w": torch.empty(shape), "g": g}) for _ in range(count)])
    if framework == "flax":
        import jax

        draw, turned = eval(call, {"jax": jax, "g": g}), (*shape[2:], shape[1], shape[0])
        drawn = jax.vmap(lambda key: draw(key, turned))(jax.random.split(jax.random.key(0), count))
    else:
        import keras

        draw, turned = eval(call, {"keras": keras, "g": g}), (*shape[2:], shape[1], shape[0])
        drawn = np.stack([np.array(eval(call, {"keras": keras, "g": g})(turned)) for _ in range(count)])
    return np.moveaxis(np.moveaxis(np.array(drawn), -1, 1), -1, 2)


@pytest.mark.parametrize("framework", NEEDED)
def test_lesson_09_the_frameworks_orthogonal(framework):
    """Var[W] = g²/max(in, out), a convolution's kernel as (out, all the rest); its sign is corrected."""
    for shape in ((40, 160), (160, 40), (32, 8, 3, 3), (96, 8, 3, 3)):
        (w,) = kernels_of_09(framework, shape).reshape(1, shape[0], -1)
        gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
        assert gram == pytest.approx(4 * np.eye(len(gram)), abs=1e-4)
    # Of 200 of Haar's, 100 ± 7 have a determinant of -1; without the correction all or none have.
    w = kernels_of_09(framework, (20, 20), 200, 1.0)
    assert 60 < np.sum(np.linalg.det(w) < 0) < 140


def test_lesson_09_a_convolution_that_keeps_lengths():
    needs("flax")
    needs("keras")
    import jax
    import keras

    _, (torchs, (call,), kerass), _ = table_of_09("en")
    assert (torchs, kerass) == (["nn.init.dirac_"], [])
    assert not [name for name in dir(keras.initializers) if "delta" in name.lower()]
    draw, key = eval(call, {"jax": jax, "g": 2.0}), jax.random.key(0)
    w = np.array(draw(key, (3, 3, 8, 32)))
    assert w[1, 1] @ w[1, 1].T == pytest.approx(4 * np.eye(8), abs=1e-4)
    assert np.count_nonzero(w) == w[1, 1].size
    with pytest.raises(ValueError, match="fan_in"):  # narrower than what comes in
        draw(key, (3, 3, 32, 8))


def test_lesson_09_pytorchs_dirac_and_lstm():
    needs("torch")
    import torch
    from torch import nn

    image, dirac = torch.randn(2, 8, 5, 5), nn.Conv2d(8, 8, 3, padding=1, bias=False)
    nn.init.dirac_(dirac.weight)
    assert torch.equal(dirac(image), image)
    assert not [name for name in dir(nn.init) if "delta" in name]
    lstm = nn.LSTM(8, 16)
    (loop,) = re.findall(r"`(for [^`]+)`", table_of_09("en")[2])
    exec(loop, {"lstm": lstm, "nn": nn})
    for w in lstm.weight_hh_l0.detach().numpy().reshape(4, 16, 16):
        assert w @ w.T == pytest.approx(np.eye(16), abs=1e-5)
    whole = nn.init.orthogonal_(torch.empty(4 * 16, 16)).numpy()
    assert np.square(whole).mean() * 16 == pytest.approx(0.5**2)  # of each of the four, the gain squared


def test_lesson_09_kerass_lstm():
    needs("keras")
    from keras import layers

    lstm = layers.LSTM(16)
    lstm.build((None, 5, 8))
    w = np.array(lstm.cell.recurrent_kernel.value)  # (16, 4·16): its rows are orthonormal, the gates' are not
    assert w @ w.T == pytest.approx(np.eye(16), abs=1e-5)
    assert np.square(w).mean() * 16 == pytest.approx(0.5**2)


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_lesson_09_names_what_is_tested(lang):
    """The same calls in both editions; the versions are the Makefile's, JAX's the one that is recorded."""
    first, second, below = table_of_09(lang)
    assert (first, second) == table_of_09("en")[:2]
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for package, name in (("torch", "PyTorch"), ("keras", "Keras")):
        assert re.findall(rf"{name} ([\d.]+\d)", below) == re.findall(rf"\b{package}==(\d+\.\d+)\b", makefile)
    recorded = (Path(__file__).parent / "frameworks.json").read_text(encoding="utf-8")
    assert re.findall(r"JAX ([\d.]+\d)", below) == re.findall(r'"jax": "(\d+\.\d+)\.', recorded)
