"""How well-known models draw each tensor: its name or role, law and scale, and the source that says so.

A recipe is a list of rules, of which the first that fits a tensor counts; a tensor that none fits is not
judged. Where libraries start the same tensor differently, a rule lists each of their draws and accepts any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from .identify import ALPHA, FEW, FEWEST, NORMAL, SPREAD, TOO_SMALL, TRUNCATED, UNIFORM, Law, p_value
from .roles import natural
from .scan import Scan
from .survey import Surveyed


@dataclass(frozen=True)
class Place:
    """A tensor, and what a scale depends on of its file.

    Attributes
    ----------
    one : Surveyed
    blocks : int
        Residual blocks of the file: of GPT-2, tensors that are called ``mlp.c_proj.weight``.
    first, last : bool
        Whether it is the first weight by name, but for output layers; the last one in its module.
    """

    one: Surveyed
    blocks: int
    first: bool
    last: bool

    @property
    def fan_in(self) -> float:
        """Of its layer."""
        return self.one.fan_in or (self.one.layer_fans or (math.nan,))[0]

    @property
    def rank(self) -> float:
        """How many rows it has."""
        return next(iter(self.one.shape), 0) or math.nan


@dataclass(frozen=True)
class Draw:
    """A law with its scale: a std; the bound, gain or value of "uniform", "orthogonal" and "constant".

    ``says`` is a call that draws so; ``source``, the paper or library that does.
    """

    law: Law | str
    scale: Callable[[Place], float]
    says: str
    source: str

    def fits(self, place: Place, s: Scan, level: float) -> bool:
        """Whether the entries are a sample of it, at this level of significance."""
        wanted = self.scale(place)
        if self.law == "constant":
            return s.low == s.high == wanted
        if s.low == s.high or s.non_finite or not math.isfinite(wanted):
            return False
        if self.law == "orthogonal":
            return _is_orthogonal(s, wanted)
        std = wanted / math.sqrt(3) if self.law is UNIFORM else wanted * self.law.narrow
        s = s.without_far()  # trunc_normal_ leaves lone entries at its bounds
        if s.squares < TOO_SMALL:  # they stand among zeros
            return False
        n, furthest = s.n, max(-s.low, s.high)
        padded = place.one.role == "embedding" and s.has_lines and not s.by_row.squares.all()
        if padded:  # rows of zeros, as padding_idx leaves them
            n -= int(np.count_nonzero(s.by_row.squares == 0)) * s.shape[1]
        if n >= FEWEST and not padded:
            return p_value(s, self.law, std) >= level
        within = furthest <= std * self.law.bound * (1 + s.epsilon) * (1 + 1e-6)
        apart = abs(math.log(math.sqrt(s.squares / n) / std)) * math.sqrt(n)
        return within and (n < FEW or apart <= SPREAD)


def _is_orthogonal(s: Scan, gain: float) -> bool:
    """Whether rows, or columns if there are fewer, are at right angles and as long as ``gain``."""
    tolerance = (1e-4 + 4 * s.epsilon) * gain**2
    if not s.has_lines:
        return abs(s.squares - gain**2) < tolerance
    return float(np.abs(s.gram - gain**2 * np.eye(len(s.gram))).max()) < tolerance


@dataclass(frozen=True)
class Rule:
    """Tensors whose name ends in whole parts in ``name`` and whose role is ``role`` fit one of ``draws``."""

    name: str
    draws: tuple[Draw, ...]
    role: str | None = None
    where: Callable[[Place], bool] = lambda place: True

    def holds(self, place: Place) -> bool:
        """Whether the rule is for this tensor."""
        name = place.one.name.replace("/", ".")
        return (
            (self.role is None or place.one.role == self.role)
            and re.search(rf"(^|\.)({self.name})$", name) is not None
            and self.where(place)
        )


def _of(law: Law | str, scale: float | Callable[[Place], float], says: str, source: str) -> Draw:
    return Draw(law, scale if callable(scale) else lambda place: scale, says, source)


_GPT2 = "Radford et al. 2019, §2.3; transformers 5.24, modeling_gpt2.py"
_LLAMA = "transformers 5.24, modeling_utils.py, initializer_range of LlamaConfig"
_TIMM, _HF_VIT = "timm 1.0.31, vision_transformer.py", "transformers 5.24, modeling_vit.py"
_BOTH_VITS = f"{_TIMM}; {_HF_VIT}"
_SIREN = "Sitzmann et al. 2020, §3.2 and suppl. §1.5"
_PPO = "Huang et al. 2022, The 37 implementation details of PPO, no. 2; stable-baselines3 2.9, policies.py"
_LORA = "Hu et al. 2021, §4.1; peft 0.21, tuners/lora/layer.py"


def _normal(std: float, source: str) -> Draw:
    return _of(NORMAL, std, f"normal(std={std:g})", source)


def _equal(value: float, source: str) -> Draw:
    return _of("constant", value, {0: "zeros()", 1: "ones()"}[value], source)


def _orthogonal(gain: float, says: str) -> Draw:
    return _of("orthogonal", gain, f"orthogonal(gain={says})", _PPO)


def _torch(source: str) -> Draw:
    return _of(UNIFORM, lambda place: place.fan_in**-0.5, "torch_default()", source)


def _xavier(units: Callable[[Surveyed], float], says: str) -> Draw:
    return _of(
        UNIFORM, lambda place: math.sqrt(6 / (place.fan_in + units(place.one))), says, f"{_TIMM} (jax, moco)"
    )


_LECUN = _of(
    TRUNCATED, lambda place: place.fan_in**-0.5 / TRUNCATED.narrow, "lecun_normal()", f"{_TIMM} (jax)"
)
_XAVIER = _xavier(lambda one: one.fan_out, "xavier_uniform()")
_XAVIER_EACH = _xavier(lambda one: one.fan_out / 3, "xavier_uniform() of q, k and v apart")
_BRANCH = _of(NORMAL, lambda place: 0.02 / math.sqrt(2 * place.blocks), "normal(std=0.02/√(2·blocks))", _GPT2)
_FIRST = _of(UNIFORM, lambda place: 1 / place.fan_in, "uniform(±1/fan_in)", _SIREN)
_LATER = (
    _of(UNIFORM, lambda place: math.sqrt(6 / place.fan_in) / 30, "uniform(±√(6/fan_in)/30)", _SIREN),
    _of(
        UNIFORM, lambda place: math.sqrt(6 / place.fan_in), "uniform(±√(6/fan_in)), where ω₀ = 1",
        "siren-pytorch 0.1.7",
    ),
)  # fmt: skip
_RANK = _of(NORMAL, lambda place: 1 / place.rank, "normal(std=1/rank)", f"{_LORA}, gaussian")
_SQRT2 = _orthogonal(math.sqrt(2), "√2")
_PATCHES = r"(patch_embed\.proj|patch_embeddings\.projection)"

RecipeName: TypeAlias = Literal["gpt2", "llama", "vit", "siren", "ppo", "lora"]
"""A recipe of ``RECIPES``."""

RECIPES: dict[RecipeName, tuple[Rule, ...]] = {
    "gpt2": (
        Rule(r"c_proj\.weight", (_BRANCH,)),
        Rule(r"wpe(\.weight)?", (_normal(0.02, _GPT2), _normal(0.01, "openai/gpt-2, src/model.py"))),
        Rule(r"(wte|c_attn|q_attn|c_fc|lm_head|score)(\.weight)?", (_normal(0.02, _GPT2),)),
        Rule(r".*", (_equal(1, _GPT2),), "norm_scale"),
        Rule(r".*", (_equal(0, _GPT2),), "bias"),
    ),
    "llama": (
        Rule(r"((q|k|v|o|gate|up|down)_proj|lm_head|embed_tokens|score)\.weight", (_normal(0.02, _LLAMA),)),
        Rule(r".*", (_equal(1, _LLAMA),), "norm_scale"),
        Rule(r".*", (_equal(0, _LLAMA),), "bias"),
    ),
    "vit": (
        Rule(rf"{_PATCHES}\.weight", (_torch(_TIMM), _normal(0.02, _HF_VIT), _LECUN)),
        Rule(rf"{_PATCHES}\.bias", (_torch(_TIMM), _equal(0, _HF_VIT))),
        Rule(r"pos_embed|position_embeddings", (_normal(0.02, _BOTH_VITS),)),
        Rule(r"mask_token", (_equal(0, _HF_VIT),)),
        Rule(r"(cls|reg|dist)_token", (_normal(1e-6, _TIMM), _normal(0.02, _HF_VIT))),
        Rule(
            r"(head|head_dist|classifier)\.weight",
            (_normal(0.02, _BOTH_VITS), _equal(0, f"{_TIMM} (jax)"), _XAVIER),
        ),
        Rule(
            r".*", (_normal(0.02, _BOTH_VITS), _XAVIER, _XAVIER_EACH), "weight",
            lambda place: len(place.one.shape) == 2,
        ),
        Rule(r".*", (_equal(1, _BOTH_VITS),), "norm_scale"),
        Rule(r".*", (_equal(0, _BOTH_VITS), _normal(1e-6, f"{_TIMM} (jax)")), "bias"),
    ),
    "siren": (
        Rule(r".*", (_FIRST,), "weight", lambda place: place.first),
        Rule(r".*", _LATER, "weight"),
    ),
    "ppo": (
        Rule(r"action_net\.weight|actor(_mean)?\.weight", (_orthogonal(0.01, "0.01"),)),
        Rule(r"actor(_mean)?\.\d+\.weight", (_orthogonal(0.01, "0.01"),), None, lambda place: place.last),
        Rule(r"(value_net|critic)\.weight", (_orthogonal(1.0, "1"),)),
        Rule(r"(critic|value)\.\d+\.weight", (_orthogonal(1.0, "1"),), None, lambda place: place.last),
        Rule(r"log_std|\w*logstd", (_equal(0, _PPO),)),
        Rule(r".*", (_SQRT2,), "weight"),
        Rule(r".*", (_equal(0, _PPO),), "bias"),
    ),
    "lora": (
        Rule(r"(.*\.)?lora_embedding_A(\.\w+)?", (_equal(0, _LORA),)),
        Rule(r"(.*\.)?lora_embedding_B(\.\w+)?", (_normal(1, _LORA),)),
        Rule(r"(.*\.)?lora_A(\.\w+)?(\.weight)?", (_torch(_LORA), _RANK)),
        Rule(r"(.*\.)?lora_B(\.\w+)?(\.(weight|bias))?", (_equal(0, _LORA),)),
    ),
}  # fmt: skip


class Plan:
    """A recipe, for the tensors of one file.

    Raises
    ------
    ValueError
        For an unknown recipe, or one that names no weight of the file.
    """

    def __init__(self, name: RecipeName, surveyed: Sequence[Surveyed]):
        if name not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {name!r}")
        weights = sorted((one.name for one in surveyed if one.role == "weight"), key=natural)
        blocks = sum(bool(re.search(r"\bmlp[./]c_proj[./]weight$", one.name)) for one in surveyed)
        inner = [name for name in weights if not re.search(r"last|final|out", name)]
        last = {re.sub(r"\d+[./]\w+$", "", weight): weight for weight in weights}
        self.name, self.rules = name, {}
        for one in surveyed:
            place = Place(one, blocks, one.name in inner[:1], one.name in last.values())
            rule = next((rule for rule in RECIPES[name] if rule.holds(place)), None)
            if rule:
                self.rules[one.name] = place, rule
        if not any(place.one.role not in ("bias", "norm_scale") for place, _ in self.rules.values()):
            raise ValueError(f"recipe {name!r} names no weight of the file: it has {', '.join(weights[:3])}")

    def fits(self, name: str, s: Scan) -> bool | None:
        """Whether a tensor is as the recipe wants it; None for one that it does not name.

        In one of 1,000 files that were drawn by the recipe, some tensor is refused by chance.
        """
        if name not in self.rules:
            return None
        place, rule = self.rules[name]
        return any(draw.fits(place, s, ALPHA / len(self.rules)) for draw in rule.draws)

    def wanted(self, name: str) -> tuple[str, str]:
        """What the recipe wants of a tensor that it names, and who says so."""
        place, rule = self.rules[name]
        said = [draw.says.replace("blocks", str(place.blocks)) for draw in rule.draws]
        return " | ".join(said), "; ".join(dict.fromkeys(draw.source for draw in rule.draws))
