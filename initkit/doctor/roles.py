"""What each tensor of a checkpoint is for: told by its path, its shape and what stands beside it.

Only a layer's weights have a gain that can be held against others. A checkpoint holds much else: moments of
the optimizer, averaged copies, masks, tables, statistics, scales of quantized weights. ``SIGNS`` is the one
table of what tells them apart; of a tensor the first sign that fits counts.

A path is a name cut at its dots and slashes. Its last part is the leaf; the last part before it that is no
number is its owner, the module that it belongs to: ``blocks.0.norm1.weight`` is the ``weight`` of a
``norm1``, and ``time_embed.linear.weight`` that of a ``linear``, and no table.
"""

from __future__ import annotations

import functools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal[
    "weight", "unknown", "bias", "norm_scale", "embedding", "buffer", "optimizer", "ema", "adapter",
    "quantization", "other",
]  # fmt: skip
"""What a tensor is for."""

# Roles whose tensors are judged as a layer's weight, if they have the shape of one.
JUDGED = ("weight", "unknown")

# Scales of a normalization layer, which all start at 1. Those of LayerNorm((4, 8)) have several axes.
NORM = re.compile(r"norm|(\b|_)ln(\b|_|\d)", re.IGNORECASE)
# A tensor with one long axis is a layer's weight only if it is called so; else it is a bias or a scale.
CALLED_WEIGHT = re.compile(r"(\b|_)(w(_?\d+)?|weights?|kernel|weight_[ih]h\w*)$", re.IGNORECASE)
_EMA = (
    r"(^|_)(ema|swa)(_|\d|$)"
    r"|^(shadow_params|collected_params|averaged_model|slow_weights|current_model_state)$"
)
# The part that optax and MindSpore put in front of a tensor's name for what their optimizers keep of it.
_MOMENTS = r"^(mu|nu|trace|moments?[12]?|accum|adam_[mv])$"
# Parts in front of a path that only wrap a model; a copy's path may have others than its original's.
_WRAPPERS = {"module", "model", "_orig_mod", "online_model", "state_dict", "params"}
_DROPPED = 8  # a copy's path may lack at most this many leading parts of the original's


@functools.lru_cache(2**14)  # cached, as the same few parts come in every block
def _in(pattern: str, part: str) -> bool:
    return re.search(pattern, part) is not None


class Path(NamedTuple):
    """A tensor's name, cut up, and its shape.

    Attributes
    ----------
    parts : tuple of str
    leaf : str
        What it is called in its module.
    owner : str
        The module that it belongs to; "" where there is none.
    shape : tuple of int
    """

    parts: tuple[str, ...]
    leaf: str
    owner: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, shape: Iterable[int]) -> Path:
        """Of a name as files have it: "a.b.weight", "a/b/kernel:0", "layers/dense/vars/0"."""
        parts = tuple(re.split(r"[./]", re.sub(r":\d+$", "", name)))
        # Keras puts its variables into a group "vars".
        named = (part for part in reversed(parts[:-1]) if not part.isdigit() and part != "vars")
        return cls(parts, parts[-1], next(named, ""), tuple(shape))

    @property
    def block(self) -> tuple[str, ...]:
        """The path of the block that a layer lies in: up to the last number before the layer's own module.

        The experts of a mixture lie side by side in one block.
        """
        module = self.parts[:-2]
        before = ("", *module)
        numbers = [k for k, part in enumerate(module) if part.isdigit() and before[k] != "experts"]
        return module[: numbers[-1] + 1] if numbers else ()


def numbers_out(name: str) -> tuple[str, ...]:
    """The parts of a name without numbers: the same for layers that repeat in every block."""
    return tuple("#" if part.isdigit() else part for part in Path.of(name, ()).parts)


# Where a part of a path stands in a network, if its name says so; all else lies between.
_PLACES = (
    (0, re.compile(r"(?i)^(stem|conv_?in|in_?conv|inputs?(_?(layer|proj))?|\w*embed\w*|wte|wpe)$")),
    (2, re.compile(r"^decoder$")),
    (3, re.compile(r"(?i)^(\w*_?head|fc_?out|(out|output)(_?(layer|proj))?|classifier|logits|score)$")),
)


def natural(name: str) -> tuple:
    """A key to sort names by: stems first and heads last, numbers by their size, "h.10" after "h.9"."""
    parts = Path.of(name, ()).parts
    places = [place for part in parts[:-1] for place, pattern in _PLACES if pattern.match(part)]
    pieces = [re.split(r"(\d+)", part) for part in parts]
    return (
        max(places) if places and max(places) > 1 else min(places, default=1),
        [[int(piece) if k % 2 else piece for k, piece in enumerate(part)] for part in pieces],
    )


# Networks that start as copies of others: of DQN, SAC and TD3, of BYOL, MoCo and DINO; federated clients.
_COPY = r"(?i)(^|_)(target|teacher|student|online|momentum|old|prev|ref|copy|clients?|replicas?|rank)(_|\d|$)"


def are_of_one_kind(one: str, other: str) -> bool:
    """Whether two names are of layers that stand in one network: "h.0.fc.weight" and "h.1.fc.weight".

    They differ in numbers alone, or in the layer's own name, "q_proj" and "k_proj", or in the leaf.
    """
    a, b = Path.of(one, ()).parts, Path.of(other, ()).parts
    if any(_in(_COPY, part) for part in (*a, *b)):
        return False
    numbers = [re.sub(r"\d+", "#", part) for part in a], [re.sub(r"\d+", "#", part) for part in b]
    apart = [k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    return numbers[0] == numbers[1] or (len(a) == len(b) and len(apart) == 1 and apart[0] >= len(a) - 2)


class File:
    """What stands beside a tensor: leaves of the same module, and all paths, whole and by their ends.

    ``coarse``: the paths of numbers in 8 bits.
    """

    def __init__(self, paths: list[Path], coarse: Iterable[Path] = ()):
        self.coarse = {path.parts for path in coarse}
        self.with_coarse = {path[:-1] for path in self.coarse}
        self.leaves, self.ends, self.shapes = defaultdict(set), set(), set()
        self.whole = {path.parts: path.shape for path in paths}
        self.unwrapped = {(tuple(unwrapped(path.parts)), path.shape) for path in paths}
        self.adapted = set()
        for path in paths:
            self.leaves[path.parts[:-1]].add(path.leaf)
            if "base_layer" in path.parts[1:]:
                self.adapted.add(path.parts[: path.parts.index("base_layer")])
        if any(map(_copied, paths)):
            for path in paths:
                if not _copied(path):
                    self.shapes.add(path.shape)
                    dropped = range(min(_DROPPED + 1, len(path.parts)))
                    self.ends |= {(_squeezed(path.parts[k:]), path.shape) for k in dropped}

    def beside(self, path: Path) -> set[str]:
        """The leaves of its module, its own among them."""
        return self.leaves[path.parts[:-1]]


Neighbours = Callable[[Path, File], bool]


def _has_no_bias(path: Path, file: File) -> bool:
    """Whether no bias stands beside it: a module with one is a layer, though it is called an embedding."""
    return "bias" not in file.beside(path)


def _beside(pattern: str) -> Neighbours:
    """A test of whether a leaf of the same module fits the whole pattern."""
    return lambda path, file: any(re.fullmatch(pattern, leaf) for leaf in file.beside(path))


def _has_a_scale(path: Path, file: File) -> bool:
    """Whether the scale that it was divided by stands beside it, or below its own name."""
    beside, below = file.beside(path), file.leaves.get(path.parts, set())
    ends = ("_scale_inv", "_scale", "_scales")
    by_name = {f"scale_{path.leaf}", *(path.leaf + end for end in ends)}
    return bool(by_name & beside) or "SCB" in beside or "absmax" in below


def _scaled_to_8_bits(path: Path, file: File) -> bool:
    """Whether it is a tensor in 8 bits with a scale beside it, whatever that is called, or that scale."""
    if path.parts in file.coarse:
        return any("scale" in leaf for leaf in file.beside(path))
    return "scale" in path.leaf and path.parts[:-1] in file.with_coarse


def _copied(path: Path) -> int:
    """Index at which the original's name begins in an averaged copy's path; 0 if it is no copy."""
    places = (k for k in range(len(path.parts) - 1, 0, -1) if _in(_EMA, path.parts[k - 1]))
    return next(places, 0)


def unwrapped(parts: Iterable[str]) -> list[str]:
    """The parts without those in front that only wrap a model."""
    rest = list(parts)
    while len(rest) > 1 and rest[0] in _WRAPPERS:
        del rest[0]
    return rest


def _squeezed(parts: Iterable[str]) -> str:
    """Letters and digits alone: latent diffusion's LitEma leaves the dots out of its names."""
    return re.sub(r"[\W_]", "", "".join(parts))


def _original(path: Path, file: File) -> bool:
    """Whether the tensor that it is a copy of is in the file: copies without it are a model themselves."""
    rest = unwrapped(path.parts[_copied(path) :])
    if len(rest) == 1 and rest[0].isdigit():  # a list without names, as in torch_ema
        return path.shape in file.shapes
    return (_squeezed(rest), path.shape) in file.ends


def _names_another(path: Path, file: File) -> bool:
    """Whether what comes behind the moment's name is the whole name of a tensor of its shape."""
    k = next(k for k, part in enumerate(path.parts) if _in(_MOMENTS, part))
    return (tuple(unwrapped(path.parts[k + 1 :])), path.shape) in file.unwrapped


def _of_adapted(path: Path, file: File) -> bool:
    """Whether it lies beside base_layer in a module that PEFT put around a layer: q_proj.any_name.default."""
    if not file.adapted or "base_layer" in path.parts:
        return False
    return path.parts[:-2] in file.adapted or path.parts[:-3] in file.adapted


def _below_another(path: Path, file: File) -> bool:
    """Whether its path is that of another tensor of its shape and one part more, as no layer's can be.

    More parts may stand in front: Keras 2 has fc/kernel:0 and Adam/fc/kernel/m:0.
    """
    begins = range(max(1, min(len(path.parts) - 2, _DROPPED)))
    return not path.leaf.isdigit() and any(file.whole.get(path.parts[k:-1]) == path.shape for k in begins)


class Sign(NamedTuple):
    """One row of the table: what a tensor with this path, shape and neighbours is for.

    Attributes
    ----------
    role : Role
        What it is for.
    where : {"root", "path", "owner", "leaf"}
        What ``pattern`` is searched in: the first part; each before the leaf; the owner; the leaf.
    pattern : str
        A regular expression.
    shape, neighbours : callable, optional
        Whether a path's shape, and what stands beside it, fit.
    finds : tuple of str, optional
        The kinds of findings on the tensor by itself that its role allows; None allows all.
    """

    role: Role
    where: str
    pattern: str
    shape: Callable[[Path], bool] | None = None
    neighbours: Neighbours | None = None
    finds: tuple[str, ...] | None = ("non_finite",)

    def fits(self, path: Path, file: File) -> bool:
        """Whether the path has the sign."""
        if self.where == "leaf":
            found = _in(self.pattern, path.leaf)
        elif self.where == "owner":
            found = _in(self.pattern, path.owner)
        else:
            parts = path.parts[:-1][: 1 if self.where == "root" else None]
            found = any(_in(self.pattern, part) for part in parts)
        return (
            found
            and (self.shape is None or self.shape(path))
            and (self.neighbours is None or self.neighbours(path, file))
        )


def _is_mask(path: Path) -> bool:
    """Whether its shape is (1, 1, T, T), as that of GPT-2's causal mask."""
    return len(path.shape) == 4 and path.shape[:2] == (1, 1) and path.shape[2] == path.shape[3] > 1


def _is_no_parameter(path: Path) -> bool:
    """Whether it lies in no module."""
    return len(path.parts) == 1 or not path.parts[0]


def _is_depthwise(path: Path) -> bool:
    """Whether its shape is (C, 1, *kernel): one filter a channel."""
    return len(path.shape) > 2 and path.shape[1] == 1


def _is_fourier(path: Path) -> bool:
    """Whether it is (n/2 + 1, 1, n) or (n + 2, 1, n): sines, cosines or both, of a window of n."""
    return _is_depthwise(path) and path.shape[0] in (path.shape[2] // 2 + 1, path.shape[2] + 2)


def _is_of_coordinates(path: Path) -> bool:
    """Whether it is a matrix B between at most 4 coordinates and many features."""
    return path.leaf == "B" and len(path.shape) == 2 and min(path.shape) <= 4


def _is_table(path: Path) -> bool:
    """Whether it is no convolution's kernel, as that of a patch embedding is."""
    return len(path.shape) < 4


def _is_vocabulary(path: Path) -> bool:
    """Whether it is shared.weight with more words than dimensions: T5's and BART's table."""
    return path.parts[-2:] == ("shared", "weight") and len(path.shape) == 2 and path.shape[0] > path.shape[1]


def _is_vector(path: Path) -> bool:
    """Whether at most one of its axes is longer than 1."""
    return math.prod(path.shape) == max(path.shape, default=1)


def _is_numbered(path: Path) -> bool:
    """Whether it is one of Keras' variables without a name, of the layer itself, not of one inside it."""
    return path.parts[-2:-1] == ("vars",)


def _is_of_state(path: Path) -> bool:
    """Whether it is called as state.3.prev, and is no layer's weight or bias."""
    of_layer = CALLED_WEIGHT.search(path.leaf) or "bias" in path.leaf
    return len(path.parts) > 2 and path.parts[-3] == "state" and path.parts[-2].isdigit() and not of_layer


def _has_one_axis(path: Path) -> bool:
    """Whether it has one axis alone."""
    return len(path.shape) == 1


OR_ZERO = ("non_finite", "all_zero")
# Not an ensemble's members, nor what projects embeddings to another width (ALBERT, ELECTRA).
_TABLE = r"(?i)^(?!.*(project|mapping)).*emb(?!l[ey]|ers?\b)|codebook|^(wte|wpe)$"
_TOKENS = r"(cls|class|mask|dist|reg|register|query|iou)_?tokens?$"
_ADAPTER = (
    r"^(((vb|rand)?lora|hada|lokr|b?oft|vera)_\w+|(miss|bone)_block|hra_u|c3a_kernel|ia3_l\w*|dora_scale)$"
)
_POSITIONS = r"(?i)(?<!com)position|(^|_)pos_?emb|^wpe$|" + _TOKENS

# The first that fits counts. A comment says which library has such names, or why the shape is a sign.
SIGNS = (
    # What a run saves beside the model: torch.save({"model": …, "optimizer": …}); Lightning's
    # optimizer_states; Keras' optimizer/vars; optax' opt_state.
    Sign("optimizer", "path", r"[oO]ptim(izers?)?(?![a-z])|^opt_states?$"),
    # torch.optim: whatever an optimizer keeps of its third parameter lies in "state.2".
    Sign("optimizer", "root", r"^opt$"),
    Sign("optimizer", "leaf", "", shape=_is_of_state),
    # Keys of the state of Adam, SGD, RMSprop, Adadelta, whatever they lie in; Adafactor.
    Sign(
        "optimizer", "leaf",
        r"^((max_)?exp_avg(_sq|_slow)?(_row|_col)?|momentum_buffer|square_avg|acc_delta)$",
    ),
    # Moments that have their tensor's name: Paddle (fc.w_0_moment1_0), Mesh TensorFlow (kernel_slot_vr).
    Sign(
        "optimizer", "leaf",
        r"_(moment\d?|velocity|inf_norm|mean_(square|grad)|momentum)_\d+$|_slot_v[rc]?$",
    ),
    Sign("optimizer", "path", _MOMENTS, neighbours=_names_another),
    # Lightning: what its Trainer saves beside state_dict; torch.amp.GradScaler; the settings of the run.
    Sign(
        "optimizer", "root",
        r"^(callbacks|loops|lr_schedulers?|scheduler|(grad_|loss_)?scaler|native_amp_scaling_state"
        r"|config|hparams|hyper_parameters|args)$",
    ),
    # timm: state_dict_ema; LitEma: model_ema; ema_pytorch: ema_model; torch_ema: shadow_params; SWA:
    # Izmailov et al. 2018; Lookahead: slow_weights; Lightning's WeightAveraging: current_model_state.
    Sign("ema", "path", _EMA, neighbours=_original),
    # PEFT, loralib, LyCORIS: one factor starts at 0 (Hu et al. 2021, §4.1); the other's fan is no layer's.
    # PEFT's state_dict has the adapter's name behind: oft_R.default.weight.
    Sign("adapter", "path", _ADAPTER + r"|^(adapters|adapter_(up|down))$"),
    Sign("adapter", "leaf", _ADAPTER),
    Sign("adapter", "leaf", "", neighbours=_of_adapted),
    # Quantized weights are numbers only together with their scales. DeepSeek-V3: weight_scale_inv;
    # compressed-tensors: weight_scale; ComfyUI: scale_weight.
    Sign(
        "quantization", "leaf",
        r"(^|_)(weight|input|output|activation|k|v|kv)_(scale(_inv|_\d+)?|zero_point)$|^scale_(weight|input)$",
    ),
    # GPTQ, AWQ, MXFP4: a scale a group of integers.
    Sign(
        "quantization", "leaf", r"^(\w+_)?(qweight|qzeros|scales|zeros|g_idx|blocks)$",
        neighbours=_beside(r"(\w+_)?(qweight|blocks)"),
    ),
    # bitsandbytes.
    Sign("quantization", "leaf", r"^(absmax|quant_map|nested_\w+|bitsandbytes__\w+|SCB|weight_format)$"),
    # torch.ao.quantization: observers.
    Sign(
        "quantization", "leaf", r"^(scale|zero_point|min_val|max_val|eps)$",
        neighbours=_beside("zero_point|min_val"),
    ),
    Sign("quantization", "leaf", r"^(w\d*|weights?|kernel|\w+_proj)$", neighbours=_has_a_scale),
    Sign("quantization", "leaf", "", neighbours=_scaled_to_8_bits),
    # TensorFlow's averages, and its slots: fc/kernel/Adam_1, fc/kernel/Momentum.
    Sign("ema", "leaf", r"^ExponentialMovingAverage$", neighbours=_below_another),
    Sign("optimizer", "leaf", "", neighbours=_below_another),
    # Buffers, which no optimizer touches. Statistics: BatchNorm in PyTorch, Keras and Flax; swa_utils.
    Sign(
        "buffer", "leaf",
        r"^(running_(mean|var|std)|moving_(mean|variance)|num_batches_tracked|n_averaged)$",
    ),
    Sign("buffer", "path", r"^batch_stats$"),
    # e3nn: Wigner's 3j symbols, which are orthogonal, as a draw may be.
    Sign("buffer", "leaf", r"^_w3j_"),
    # What torch.onnx computed beforehand, by the operation's name: positions, mostly. "val_7" may as well be
    # a transposed weight: it is judged beside the others, and not for being 0.
    Sign(
        "buffer", "leaf",
        r"^((r?sub|add|mul|div|neg|pow|exp|sin|cos|cat|stack|expand|arange|full|zeros|ones)_\d+|\w+_output_\d+)$",
        shape=_is_no_parameter,
    ),
    Sign("unknown", "leaf", r"^val_\d+$", shape=_is_no_parameter),
    # Masks: GPT-2's tril of ones; others of 0 and -inf.
    Sign("buffer", "leaf", r"^bias$", shape=_is_mask, finds=()),
    Sign("buffer", "leaf", r"(^|_)(mask|tril|triu)$|^masked_bias$", finds=()),
    # Places and angles: rotary positions (Su et al. 2021), BERT, Swin, LeViT.
    Sign("buffer", "leaf", r"^(\w*inv_freq|freqs|freqs?_(cis|cos|sin)|(cos|sin)(_cached?)?)$"),
    Sign("buffer", "owner", r"^rope_(freqs|factors_(long|short))$"),  # llama.cpp's GGUF
    Sign("buffer", "leaf", r"position_ids$|relative_(position_index|coords_table)$|(^|_)idxs?$"),
    # Fixed filters: antialiased-cnns (Zhang 2019), StyleGAN2, BigVGAN; windows, mel banks and Fourier bases
    # of torchaudio and torchlibrosa.
    Sign(
        "buffer", "leaf",
        r"^(filt|resample_filter|window|fb|mel_(basis|fb|\d+)|melW|dct_mat|(forward|inverse)_basis\w*)$",
    ),
    Sign("buffer", "leaf", r"^filters?$", shape=_is_depthwise),
    Sign("buffer", "leaf", r"(?i)gauss\w*_(kernel|window|filter)$|^filter_?banks?$"),
    # What coordinates are multiplied with for random Fourier features (Tancik et al. 2020).
    Sign("buffer", "owner", r"(?i)fourier|^rff$", shape=_is_of_coordinates),
    Sign("buffer", "owner", r"^(blur(_?pool)?\d*|sobel\w*)$"),
    Sign("buffer", "owner", r"(?i)stft|spec|fourier|^conv_(real|imag)$", shape=_is_fourier),
    # State spaces: A = −exp(A_log) starts at −1, …, −N (Gu & Dao 2023, §3.6); S4D; RWKV.
    Sign(
        "other", "leaf",
        r"^(A_logs?|A_(real|imag)|log_A_real|log_dt|inv_dt|dt_bias|Ds|time_(decay|first|faaaa|mix_\w+))$",
    ),
    Sign("other", "leaf", r"^[ABCD]$", neighbours=_beside("A_log|log_dt|log_A_real|inv_dt")),
    # The variables that a state-space layer adds in Keras, which calls them by numbers: mamba/vars/0.
    Sign("other", "owner", r"(?i)^(mamba|ssm|ssd|s4d?)\d?(_\d+)?$", shape=_is_numbered),
    # Global response normalization (ConvNeXt V2): x + γ·(…), γ of shape (1, 1, 1, C) in transformers.
    Sign("other", "owner", r"^grn$", shape=_is_vector),
    # The scale of ResMLP's affine layer, which stands where others have a normalization.
    Sign("norm_scale", "leaf", r"^alpha$", shape=_is_vector, neighbours=_beside("beta")),
    # Weight standardization: what a unit is multiplied with after it, (C, 1, 1, 1) in NF-ResNet.
    Sign("norm_scale", "leaf", r"^gain$", shape=_is_vector, neighbours=_beside("weight")),
    # I-BERT: the weight in integers, 0 until the first pass.
    Sign("buffer", "leaf", r"^weight_integer$"),
    # Codebooks that are averages of what they stand for, and not trained: 0 until the first batch.
    Sign("buffer", "leaf", r"^(embed(_avg)?|cluster_size|inited)$", neighbours=_beside("cluster_size")),
    # The state that a recurrent net starts from: zeros, mostly.
    Sign("other", "leaf", r"(?i)^([hc]_?0|(init(ial)?|learned)_([hc]|hidden|cell|state)(_?state)?)$"),
    # Factors of a branch: LayerScale, 1e-6 to 0.1 (Touvron et al. 2021), timm's ls1.gamma; CLIP.
    Sign(
        "other", "leaf",
        r"^(layer_?scale\w*|ls\d?|lambda_?\d|gamma_\d|logit_(scale|bias)|temperature|alpha)$",
        shape=_is_vector,
    ),
    Sign("other", "owner", r"^(layer_?scale\w*|ls\d?)$", shape=_is_vector),
    # Tables: rows are looked up or added, not multiplied with, so no fan binds their scale. Positions and
    # tokens get a gradient where they are 0, and may start there: ViT, Swin, SAM, BERT, GPT-2, T5.
    Sign("embedding", "leaf", _POSITIONS + r"|^pe$|rel_pos"),
    Sign("embedding", "owner", _POSITIONS + r"|relative_attention_bias", shape=_is_table),
    Sign("embedding", "leaf", _TABLE, finds=OR_ZERO),
    Sign("embedding", "owner", _TABLE, shape=_is_table, neighbours=_has_no_bias, finds=OR_ZERO),
    Sign("embedding", "owner", r"^shared$", shape=_is_vocabulary, finds=OR_ZERO),
    # What is added, whatever its axes: units, heads, experts, gates.
    Sign("bias", "leaf", r"(^|_)bias(es)?(_\w+)?$|^b\d*$|^beta$"),
    Sign("norm_scale", "owner", f"(?i:{NORM.pattern})|^(bn|gn)\\d*$", shape=_is_vector),
    # One axis: BatchNorm in a Sequential, PReLU; the length in weight normalization.
    Sign("norm_scale", "leaf", r"^(weight|scale|gamma)$", shape=_has_one_axis),
    Sign("norm_scale", "leaf", r"^(gamma|weight_g|original0)$|_norm$", shape=_is_vector),
    Sign("weight", "leaf", f"(?i:{CALLED_WEIGHT.pattern})|^(weight_(v|orig)|original1)$", finds=None),
    Sign("unknown", "leaf", "", finds=None),
)  # fmt: skip

# By role: the sign of a tensor whose file says what it is for (``Source.role``). Operands of Where, Clip, Max
# and Min may be infinite, so buffers get no findings.
OF_GRAPH = {
    "bias": Sign("bias", "leaf", ""),
    "embedding": Sign("embedding", "leaf", "", finds=OR_ZERO),
    "buffer": Sign("buffer", "leaf", "", finds=()),
    "quantization": Sign("quantization", "leaf", ""),
}


def signs(shapes: Mapping[str, Iterable[int]], coarse: Iterable[str] = ()) -> dict[str, Sign]:
    """The sign of each tensor of a file, by its name: the first of ``SIGNS`` that fits.

    Parameters
    ----------
    shapes : dict
        Of all tensors of the file, those that are not read among them, as they are neighbours too.
    coarse : iterable of str
        Names of tensors of floating-point numbers in 8 bits.

    Examples
    --------
    >>> file = {"model.fc.weight": (64, 32), "model.fc.bias": (64,), "optimizer.state.0.exp_avg": (64, 32)}
    >>> [sign.role for sign in signs(file).values()]
    ['weight', 'bias', 'optimizer']
    """
    paths = {name: Path.of(name, shape) for name, shape in shapes.items()}
    file = File(list(paths.values()), [paths[name] for name in coarse])
    return {name: next(sign for sign in SIGNS if sign.fits(path, file)) for name, path in paths.items()}
