"""Quizzes and checks: a right answer passes, a near miss gets its own hint, an absurd one does no harm."""

import doctest
import inspect
import itertools
import math
import re
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import initkit as ik
import notebooks as tool
from initkit import course, words
from initkit.course import checks, registry
from initkit.course.lessons.random import SPECIMENS
from initkit.course.lessons.zero_and_symmetry import first_step_that_moves_hidden_weights
from initkit.signals import fate

RNG = np.random.default_rng(0)
ONES = np.ones((30, 1))
QUESTIONS = sorted({k.split(".", 1)[1].rsplit(".", 1)[0] for k in words.table() if k.startswith("quiz.")})


def signs(shape, size, rng, out):
    """Entries of one size, half of them negative: the variance of a draw, and no initializer's law."""
    out[:] = size * np.sign(ik.normal(shape, rng=rng))


def patient_e(layers=(4, 9, 13), draw=ik.he_normal, seed=0, **params):
    """Patient E, with these layers drawn anew."""
    net = course.patient("E", rng=0)
    for k in layers:
        draw((64, 64), rng=seed + k, out=net.weights[k - 1], **params)
    return net


def same(shape, rng, out):
    """The same draw whatever the seed."""
    ik.he_normal(shape, rng=0, out=out)


def another(weights=(), biases=0.0, **net):
    """Patient E, mended, then changed: a layer copied into another, the biases, or the net around them."""
    mended = patient_e()
    changed = ik.MLP(mended.widths, **{"activation": "relu"} | net)
    for new, old in zip(changed.weights, mended.weights, strict=True):
        new[:] = old
    for bias in changed.biases:
        bias[:] = biases
    for k in weights[:1]:
        changed.weights[3][:] = changed.weights[k - 1]
    return changed


Q, R = np.linalg.qr(np.random.default_rng(1).standard_normal((300, 8, 8)))
HAAR = Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None]
UPRIGHT = HAAR * np.where(np.arange(8) == 0, np.linalg.det(HAAR)[:, None], 1)[:, None]


class Tensor:
    """As PyTorch's that NumPy does not take as they are: of bfloat16, on a GPU, or requiring a gradient."""

    def __init__(self, values):
        self.values, self.free = values, False

    def __array__(self, *args, **kwargs):
        raise RuntimeError("call detach() first")

    def detach(self):
        free = Tensor(self.values)
        free.free = True
        return free

    def cpu(self):
        return self

    def double(self):
        return self

    def numpy(self):
        assert self.free
        return np.asarray(self.values, np.float64)


# exercise → (answer, what the check should say)
ANSWERS = {
    "01.1": [
        (0.8**40, "right"),
        (1.3e-4, "right"),
        (32, "sum"),
        (0.2**40, "lost"),
        (0.8 ** (1 / 40), "root"),
        (0.8**-40, "inverse"),
        (0.5, "other"),
        (np.nan, "other"),
        ("0.8", "type"),
        ([1.3e-4], "right"),
        (np.array([[1.3e-4]]), "right"),
        (Tensor(1.3e-4), "right"),
        (1, "one"),
        (0.99, "root"),
        (0.95, "other"),
        (100 * 0.8**40, "percent"),
        (True, "type"),
        ([1.3e-4, 1.3e-4], "type"),
    ],
    "01.2": [
        ((2 / 100) ** 0.5, "right"),
        (0.14, "right"),
        (0.12, "right"),  # of seed 1's net, say, which is as good as seed 0's
        (0.155, "right"),
        (0.02, "variance"),
        (0.05, "small"),
        (0.1, "small"),
        (0.2, "large"),
        (0.3, "large"),
        (-1, "range"),
        (np.inf, "range"),
        ({}, "type"),
    ],
    "01.3": [(2, "right"), (1, "symmetry"), (3, "speed"), (4, "other"), ("2", "type")],
    "04.1": [
        (ik.xavier_uniform((50, 200), rng=1), "right"),
        (ik.uniform((50, 200), -((6 / 250) ** 0.5), (6 / 250) ** 0.5, rng=2).tolist(), "right"),
        (ik.uniform((50, 200), -0.155, 0.155, rng=2), "right"),  # rounded
        (ik.uniform((50, 200), -6 / 250, 6 / 250, rng=1), "root"),
        (ik.xavier_uniform((200, 50), rng=1), "transposed"),
        (ik.xavier_uniform((50, 201), rng=1), "shape"),
        (np.full((50, 200), np.inf), "finite"),
        (np.zeros((50, 200)), "equal"),
        (ik.uniform((50, 200), 0.0, 0.3, rng=1), "mean"),
        (ik.xavier_normal((50, 200), rng=1), "normal"),
        (ik.uniform((50, 200), -((3 / 250) ** 0.5), (3 / 250) ** 0.5, rng=1), "three"),
        (ik.uniform((50, 200), -((2 / 250) ** 0.5), (2 / 250) ** 0.5, rng=1), "std"),
        (ik.lecun_uniform((50, 200), rng=1), "lecun"),
        (ik.normal((50, 200), std=2 / 250, rng=1), "variance"),
        (ik.he_uniform((50, 200), rng=1), "he"),
        (ik.uniform((50, 200), -(200**-0.5), 200**-0.5, rng=1), "standard"),
        (ik.uniform((50, 200), -((6 / 50) ** 0.5), (6 / 50) ** 0.5, rng=1), "fan_out"),
        (ik.normal((50, 200), std=(6 / 250) ** 0.5, rng=1), "bound"),
        (ik.lecun_uniform((200, 50), rng=1).T, "other"),
        # Two moments are not a law: coins, an arcsine law, a normal one that is cut off at the bound.
        ((2 / 250) ** 0.5 * np.where(RNG.random((50, 200)) < 0.5, -1, 1), "law"),
        (0.004**0.5 * 2 * np.sin(np.pi * RNG.uniform(-0.5, 0.5, (50, 200))), "law"),
        (np.clip(ik.normal((50, 200), std=0.102, rng=1), -0.155, 0.155), "law"),
        # Nor is a law a draw.
        (np.linspace(-0.1549, 0.1549, 10_000).reshape(50, 200), "order"),
        (np.linspace(-0.1549, 0.1549, 10_000).reshape(200, 50).T, "order"),
        (np.tile(ik.uniform((50, 100), -0.1549, 0.1549, rng=1), 2), "equal"),
        (np.outer([1, -1], ik.uniform((25, 200), -0.1549, 0.1549, rng=1)).reshape(50, 200), "equal"),
        (Tensor(ik.xavier_uniform((50, 200), rng=1)), "right"),
        ("xavier", "type"),
        (ik.xavier_uniform, "type"),
    ],
    "04.2": [
        (2, "right"),
        (2.0, "right"),
        (4, "variance"),
        (0.5, "inverse"),
        (1, "one"),
        (ik.gain(lambda z: 2 * np.tanh(z / 4)), "exact"),
        (-2, "other"),
        (None.__class__, "type"),
    ],
    "04.3": [
        (0.06**0.5, "right"),
        (0.245, "right"),
        ((3 / 200) ** 0.5, "dense"),
        ((3 / 800) ** 0.5, "share"),
        ((4 / 200) ** 0.5, "third"),
        (0.06, "squared"),
        (0.25, "close"),
        (1, "other"),
        ("b", "type"),
    ],
    "05.1": [
        (0.0801, "right"),
        (np.array([0.08006]), "right"),
        (0.0797, "digits"),
        (0.0800, "digits"),
        (0.0802, "digits"),
        (0.0804, "digits"),
        ((2 / 312) ** 0.5, "right"),
        (2 / 312, "variance"),
        ((2 / 300) ** 0.5, "relu"),
        ((2 / 360) ** 0.5, "sum"),
        ((2 / 432) ** 0.5, "sum"),
        ((6 / 312) ** 0.5, "bound"),
        (1, "other"),
        ("std", "type"),
    ],
    "05.2": [
        (ik.gain(lambda z: np.maximum(z, 0) ** 2), "right"),
        (0.816, "right"),
        (2**0.5, "relu"),
        (1.5**0.5, "inverse"),
        (2 / 3, "square"),
        (1.25**-0.5, "centred"),
        (1.5, "second"),
        (0.8, "close"),
        (0, "other"),
        ([], "type"),
    ],
    "05.3": [
        (1 / 16, "right"),
        (0.0625, "right"),
        (Fraction(1, 16), "right"),
        (16, "inverse"),
        (1, "kept"),
        (0.25, "root"),
        (2, "other"),
        ("fan_out", "type"),
    ],
    "06.1": [
        (1.45, "right"),
        (1.44, "right"),
        (1.47, "right"),
        (1e-30, "small"),  # and nothing is left to divide
        (1.0, "small"),
        (2**0.5, "small"),
        (1.43, "small"),
        (1.49, "gradient"),
        (1.51, "gradient"),
        (ik.gain("gelu"), "large"),
        (9, "large"),  # and overflows
        (1.45**2, "variance"),
        (0, "range"),
        (np.nan, "range"),
        ("gelu", "type"),
    ],
    "06.2": [
        ([4, 2, 1, 5, 3], "right"),
        (np.array([4.0, 2, 1, 5, 3]), "right"),
        ((4, 2, 1, 5, 3), "right"),
        ([2, 4, 1, 5, 3], "swapped"),
        ([1, 2, 3, 4, 5], "zero"),
        ([4, 2, 5, 1, 3], "zero"),
        ([4, 1, 2, 5, 3], "zero"),
        ([3, 2, 1, 5, 4], "recurrent"),
        ([4, 2, 1, 3, 5], "recurrent"),
        ([5, 2, 1, 4, 3], "embedding"),
        ([4, 5, 1, 2, 3], "embedding"),
        ([4, 4, 1, 5, 3], "once"),
        ([4, 2, 1, 5], "once"),
        (42153, "once"),
        (list("42153"), "once"),
        ("4 2 1 5 3", "type"),
    ],
    "06.3": [
        ((2 / (1.04 * 288)) ** 0.5, "right"),
        (0.082, "right"),
        ((2 / 33.28) ** 0.5, "channels"),
        (288**-0.5, "xavier"),
        (0.08, "close"),
        ((2 / (1.2 * 288)) ** 0.5, "sum"),
        (2 / (1.04 * 288), "variance"),
        ((2 / 288) ** 0.5, "relu"),
        (1, "other"),
        ("he", "type"),
    ],
    "08.1": [
        (-1 / np.log(0.94), "right"),
        ([16.2], "right"),
        (np.array([16.16]), "right"),
        (Tensor(16.16), "right"),
        (16.7, "linear"),
        (16, "close"),
        (0.94, "other"),
        ("xi", "type"),
    ],
    "08.2": [
        (1.304, "right"),
        (1.3041458, "right"),
        ([1.3], "right"),
        (1.31, "near"),
        (Tensor([1.304]), "right"),
        (1.7, "square"),
        (1.29, "near"),
        (0.2, "other"),
        (True, "type"),
    ],
    "08.3": [
        ((1.37, 0.3), "right"),
        ([1.62, 0.61], "right"),
        (np.array([1.465, 0.4]), "right"),
        (np.array([[1.37], [0.3]]), "right"),
        (Tensor([1.37, 0.3]), "right"),
        ((1.36, 0.3), "short"),
        ((1.4, 0.3), "chaotic"),
        ((0.4, 1.465), "swapped"),
        ((0.3, 1.37), "swapped"),
        ((0.98, 0.0), "bias"),
        ((0.2, 0.25), "bias"),
        ((0.0, 0.3), "short"),
        ((1.37, 0.3, 1.0), "type"),
        ((np.nan, 0.3), "type"),
        (1.37, "type"),
    ],
    "07.1": [
        (patient_e(), "right"),
        (patient_e(draw=ik.he_uniform, seed=7), "right"),
        (patient_e(draw=ik.orthogonal, gain=2**0.5), "right"),  # whatever keeps the signal
        (patient_e(layers=()), "findings"),
        (patient_e(layers=(4, 13)), "findings"),
        (patient_e(draw=ik.zeros), "findings"),
        (patient_e(draw=ik.normal, std=1.0), "findings"),  # too large for ReLU
        (patient_e(draw=ik.normal, std=0.03), "findings"),
        (patient_e(draw=signs, size=0.03), "small"),  # no law that the doctor holds a gain to
        (patient_e(draw=signs, size=1.3), "large"),
        (patient_e(layers=(3, 4, 9, 13)), "touched"),
        (course.patient("D", rng=0), "touched"),
        (patient_e(seed=0, layers=(4, 9, 13), draw=same), "copied"),  # rng=0 each time
        (another(weights=[6, 9, 13]), "copied"),
        (another(biases=5.0), "biases"),
        (another(activation="tanh"), "net"),
        (another(residual=1.0), "net"),
        (another(norm="layer"), "net"),
        (ik.MLP([64, 64, 10], "relu", "he_normal", rng=0), "shape"),
        (patient_e().weights, "type"),
        ("4, 9, 13", "type"),
    ],
    "07.2": [
        (ik.normal((100, 400), std=(2 / 500) ** 0.5, rng=3), "right"),
        (ik.xavier_normal((100, 400), rng=4).tolist(), "right"),
        (ik.xavier_uniform((100, 400), rng=0), "uniform"),
        (ik.normal((100, 400), std=2 / 500, rng=0), "variance"),
        (ik.normal((100, 400), std=400**-0.5, rng=0), "fan_in"),
        (ik.normal((100, 400), std=100**-0.5, rng=0), "fan_out"),
        (ik.normal((100, 400), std=500**-0.5, rng=0), "sum"),
        (ik.he_normal((100, 400), rng=0), "he"),
        (ik.normal((100, 400), std=0.09, rng=0), "other"),
        (np.full((100, 400), 0.0632), "other"),
        (ik.xavier_normal((100, 1), rng=0) * np.ones(400), "other"),
        (ik.xavier_normal((400, 100), rng=0), "transposed"),
        (ik.xavier_normal((100, 300), rng=0), "shape"),
        (np.full((100, 400), np.nan), "finite"),
        ("xavier_normal", "type"),
        (ik.xavier_normal, "type"),
    ],
    "02.3": [
        (19, "right"),
        (np.array([19.0]), "right"),
        (30, "all"),
        (15, "incoming"),
        (18, "gone"),
        (13, "random"),
        (1, "one"),
        (19.5, "whole"),
        (np.nan, "whole"),
        (np.inf, "whole"),
        (0, "other"),
        ("19", "type"),
    ],
    "09.2": [
        (0.25, "right"),
        ([0.25], "right"),
        (Fraction(1, 4), "right"),
        (4, "inverse"),
        (1, "kept"),
        (1 / 16, "twice"),
        (0.5, "root"),
        (0.24, "close"),
        (0.4, "other"),
        (True, "type"),
    ],
    "09.3": [
        (HAAR, "right"),
        (list(HAAR.astype(np.float32)), "right"),
        (Tensor(HAAR), "right"),
        (np.array([ik.orthogonal((8, 8), rng=seed) for seed in range(300)]), "right"),
        (Q * RNG.choice([-1, 1], (300, 1, 8)), "right"),  # any signs that do not know Q's
        (Q, "signs"),
        (-Q, "signs"),
        (ik.normal((300, 8, 8), std=8**-0.5, rng=1), "independent"),
        (np.zeros((300, 8, 8)), "independent"),
        (2 * HAAR, "gain"),
        (np.tile(HAAR[0], (300, 1, 1)), "copies"),
        (np.array([ik.orthogonal((8, 8), rng=0) for _ in range(300)]), "copies"),
        (np.repeat(HAAR[:10], 30, axis=0), "copies"),
        (np.repeat(HAAR[:150], 2, axis=0), "copies"),
        (np.tile(np.eye(8), (300, 1, 1)), "copies"),
        (np.array([np.eye(8)[RNG.permutation(8)] for _ in range(300)]), "permutations"),
        (UPRIGHT, "rotations"),
        (HAAR[0], "shape"),
        (HAAR[:200], "shape"),
        (ik.orthogonal, "type"),
    ],
    "02.1": [
        (ik.uniform((30, 64), 0.09, 0.11, rng=0), "right"),
        ((0.1 + 0.001 * RNG.standard_normal((30, 64))).tolist(), "right"),
        (0.1 + 0.0001 * np.arange(30)[:, None] * np.ones(64), "right"),  # one number a unit will do
        (np.full((30, 64), 0.1), "constant"),
        (0.1 + 0.001 * RNG.standard_normal(64) * ONES, "columns"),
        (0.1 + 0.001 * (np.arange(30) // 2)[:, None] * np.ones(64) / 15, "some"),
        (ik.normal((30, 64), std=0.001, rng=0), "centre"),
        (ik.uniform((30, 64), 0.12, 0.13, rng=0), "centre"),
        (ik.normal((30, 64), 0.1, 0.01, rng=0), "far"),
        (ik.normal((30, 64), 0.1, 1.0, rng=2), "far"),  # whose mean misses 0.1 by more than 0.01, too
        (ik.uniform((64, 30), 0.09, 0.11, rng=0), "transposed"),
        (ik.uniform((30, 63), 0.09, 0.11, rng=0), "shape"),
        (3, "type"),
        (np.full((30, 64), np.nan), "finite"),
        ("0.1", "type"),
        (object(), "type"),
        ([[1, 2], [3]], "type"),
    ],
    "02.2": [
        (2, "right"),
        (2.0, "right"),
        (np.int64(2), "right"),
        (1, "first"),
        (np.inf, "never"),
        (0, "whole"),
        (1.5, "whole"),
        (np.nan, "whole"),
        (7, "late"),
        ("2", "type"),
        ([2], "right"),
        (True, "type"),
        (print, "type"),
    ],
    "03.1": [
        (0.05, "right"),
        (0.06, "right"),  # whatever keeps both, not one number
        (np.float32(0.08), "right"),
        (0.0025, "variance"),
        (0.0036, "variance"),  # of 0.06
        (0.002, "small"),
        (0.004, "small"),  # no root of it is an answer that the lesson suggests
        (0.02, "small"),
        (0.04, "small"),
        (1, "scale"),
        (1.2, "scale"),
        (0.1, "hundred"),  # the figure's
        (0.12, "hundred"),
        (0.11, "large"),
        (0.5, "large"),
        (999, "large"),
        (0, "range"),
        (-0.1, "range"),
        (np.nan, "range"),
        ("0.1", "type"),
        ([0.05], "right"),
    ],
    "10.1": [
        (math.exp(-1.25), "right"),
        (0.287, "right"),
        (np.array([0.2865]), "right"),
        (0.29, "close"),  # two digits of three
        (0.3, "close"),
        (math.exp(ik.theory.log_length([60] * 30).mean), "exact"),
        (0.25, "other"),
        (1, "mean"),
        (0.5, "sum"),
        (2.5, "beta"),
        (math.exp(-2.5), "whole"),
        (math.exp(-0.5), "linear"),
        (-1.25, "logarithm"),
        (np.nan, "other"),
        (np.inf, "other"),
        (True, "type"),
        ("0.29", "type"),
    ],
    "10.2": [
        (110, "right"),
        (110.0, "right"),
        ([110], "right"),
        (109, "rounded"),
        (41 / 0.375, "rounded"),
        (111, "wider"),
        (1000, "wider"),
        (112, "counted"),
        (82, "forgotten"),
        (84, "forgotten"),
        (108, "other"),
        (0, "other"),
        (-110, "other"),
        (np.nan, "other"),
        ([42] * 42, "type"),
    ],
    "10.3": [
        (1 - (1 - 1 / 32) ** 20, "right"),
        (0.47, "right"),
        ((0.470,), "right"),
        (0.48, "close"),
        (1 / 32, "layer"),
        (0.53, "alive"),
        (20 / 32, "added"),
        (2.0**-100, "all"),
        (47, "per_cent"),
        (0, "other"),
        (np.nan, "other"),
        ("half", "type"),
    ],
    "03.2": [
        (0.1, "right"),
        ((3 / 300) ** 0.5, "right"),
        (300**-0.5, "std"),
        (1 / 300, "variance"),
        (0.2, "width"),
        ((6 / 300) ** 0.5, "six"),
        (0.01, "squared"),
        (1, "other"),
        (3 / 300**0.5, "other"),
        (-0.1, "range"),  # whose nσ² is 1
        (0, "range"),
        (np.nan, "range"),
        ("b", "type"),
        (None.__class__, "type"),
    ],
}


def examples(name):
    """What a check's docstring shows that it returns: keys and fields."""
    check = checks.CHECKS[name]
    shown = doctest.DocTestParser().get_examples(inspect.getdoc(check))
    return [eval(example.source, vars(sys.modules[check.__module__])) for example in shown]


def test_every_exercise_is_tested_with_right_near_and_absurd_answers():
    """Here, or by the examples in the check's docstring."""
    for name in checks.CHECKS:
        said = {key for key, _ in examples(name)} | {key for _, key in ANSWERS.get(name, ())}
        known = {k.rsplit(".", 1)[1] for k in words.table() if k.startswith(f"check.{name}.")}
        assert known <= said, f"{name}: never said: {known - said}"
        assert "type" in said


@pytest.mark.parametrize(("name", "answer", "key"), [(n, *a) for n in ANSWERS for a in ANSWERS[n]])
def test_the_check_says(name, answer, key, monkeypatch):
    once, found = checks.CHECKS[name], []  # some train networks, which are the same in every language
    monkeypatch.setitem(
        checks.CHECKS,
        name,
        lambda a, **own: found[0] if found else found.append(once(a, **own)) or found[0],
    )
    for lang in course.LANGUAGES:
        verdict = course.check(name, answer, lang=lang)
        assert verdict.ok is (key == "right")
        anywhere = key in ("close", "type")
        wanted = words.table()[f"check.{key}" if anywhere else f"check.{name}.{key}"][lang]
        pattern = re.sub(r"\\{\w+\\}", ".*", re.escape(wanted))
        assert re.fullmatch(pattern, verdict.message)
        assert str(verdict)[0] == ("✓" if verdict.ok else "✗")


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_what_the_examples_return_has_words(lang):
    for name in checks.CHECKS:
        for key, fields in examples(name):
            assert "{" not in words.text(
                f"check.{key}" if key == "type" else f"check.{name}.{key}", lang, **fields
            )


@pytest.mark.parametrize("name", sorted(checks.CHECKS))
@pytest.mark.parametrize("answer", [..., None])
def test_an_untouched_exercise_is_not_wrong(name, answer):
    verdict = course.check(name, answer, lang="zh")
    assert verdict.ok is None
    assert "还没有作答" in verdict._repr_html_()


def test_an_answer_that_raises_does_no_harm():
    class Bad:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("<b>no</b>")

    verdict = course.check("02.1", Bad(), lang="en")
    assert verdict.ok is False
    assert "RuntimeError: <b>no</b>" in verdict.message
    assert "&lt;b&gt;" in verdict._repr_html_()
    with pytest.raises(KeyError, match=r"no exercise is called .99\.9"):
        course.check("99.9", 1, lang="en")


@pytest.mark.parametrize("lang", course.LANGUAGES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_choice_is_answered(name, lang):
    quiz = course.quiz(name, lang=lang)
    assert quiz.buttons.value is None
    assert quiz.feedback.value == ""
    assert sum(quiz.answers.values()) == 1
    seen = set()
    for letter, right in quiz.answers.items():
        quiz.buttons.value = letter
        assert checks.MARKS[right] in quiz.feedback.value
        seen.add(quiz.feedback.value)
    assert len(seen) == len(quiz.answers) >= 3
    quiz.buttons.value = None
    assert quiz.feedback.value == ""


def test_the_place_of_the_right_choice_tells_nothing():
    places = [list(course.quiz(name, lang="en").answers.values()).index(True) for name in QUESTIONS]
    assert {0, 1, 2} <= set(places)
    assert max(places.count(place) for place in places) <= len(places) / 2


def test_an_unknown_question_is_told():
    with pytest.raises(KeyError, match="no question is called"):
        course.quiz("99.9", lang="en")


def test_lessons_and_practice_fit_each_other():
    """Every question and every exercise is in exactly one lesson, and none is asked that is not there."""
    for kind, known in (("quiz", QUESTIONS), ("check", sorted(checks.CHECKS))):
        used = []
        for name in tool.lessons():
            for cell in tool.read(tool.ROOT / "en" / name).cells:
                used += re.findall(rf'course\.{kind}\("([\w.]+)"', cell.source)
        assert sorted(used) == known


def test_the_zero_output_layer_is_run_not_remembered():
    assert first_step_that_moves_hidden_weights(0.0) == 2
    assert first_step_that_moves_hidden_weights(0.1) in (1, 2)
    assert first_step_that_moves_hidden_weights(np.random.default_rng(0).normal(size=(10, 30))) == 1


def test_the_patients_have_what_the_lesson_says():
    rows = {
        name: {len(np.unique(w, axis=0)) for w in course.patient(name, rng=1).weights} for name in "ABCDE"
    }
    assert rows["A"] == rows["C"] == rows["D"] == {64, 10}
    assert rows["B"] == {1, 10}
    assert rows["E"] == {64, 1, 45, 10}  # one layer of copies, one with 20 rows of zeros
    with pytest.raises(KeyError, match="no patient is called 'F'; there are A, B, C, D, E"):
        course.patient("F")


@pytest.mark.parametrize("name", "ABCD")
def test_another_machines_roundings_do_not_change_what_a_patient_shows(name):
    """C in float32 fails: its gradient's factor moves by some per cent."""
    data, rng = ik.datasets.digits(), np.random.default_rng(0)
    net = course.patient(name, rng=0)
    shown = []
    for _ in range(2):
        found = fate(ik.measure(net, data.x_train[:200], data.y_train[:200]))
        shown.append([found.signal.change, found.gradient.change])
        for w in net.weights:
            w[:] = np.nextafter(w, rng.choice([-np.inf, np.inf], w.shape).astype(w.dtype))
    np.testing.assert_allclose(*shown, rtol=1e-4)


# What each usual mistake gives, from a student's own numbers.
def flat(mine, over):
    """Uniform weights of 04.1 whose bound is √(over/fans)."""
    bound = (over / (mine.inputs + 50)) ** 0.5
    return ik.uniform((50, mine.inputs), -bound, bound, rng=1)


def drawn(mine, std):
    return ik.normal((100, mine.inputs), std=std, rng=1)


MISTAKES = {
    "02.3": {
        "all": lambda m: m.units,
        "incoming": lambda m: m.units - m.copies - m.sharing + 2,
        "gone": lambda m: m.units - m.copies,
        "random": lambda m: m.units - m.copies - m.sharing,
        "one": lambda m: 1,
        "whole": lambda m: m.units - 0.5,
        "other": lambda m: m.units + 1,
    },
    "03.1": {
        "variance": lambda m: 1.44 / m.width,
        "scale": lambda m: 1.2,
        "hundred": lambda m: 0.12,  # σ_w of 1.9 and more
        "small": lambda m: 0.7 / m.width**0.5,
        "large": lambda m: 6 / m.width**0.5,
    },
    "04.1": {
        "transposed": lambda m: ik.xavier_uniform((m.inputs, 50), rng=1),
        "shape": lambda m: ik.xavier_uniform((50, m.inputs + 1), rng=1),
        "finite": lambda m: np.full((50, m.inputs), np.nan),
        "equal": lambda m: np.zeros((50, m.inputs)),
        "mean": lambda m: flat(m, 6) + 0.1,
        "normal": lambda m: ik.xavier_normal((50, m.inputs), rng=1),
        "three": lambda m: flat(m, 3),
        "std": lambda m: flat(m, 2),
        "lecun": lambda m: ik.lecun_uniform((50, m.inputs), rng=1),
        "he": lambda m: ik.he_uniform((50, m.inputs), rng=1),
        "standard": lambda m: ik.torch_default((50, m.inputs), rng=1),
        "fan_out": lambda m: flat(m, 6 * (m.inputs + 50) / 50),
        "bound": lambda m: ik.normal((50, m.inputs), std=(6 / (m.inputs + 50)) ** 0.5, rng=1),
        "law": lambda m: np.sign(flat(m, 6)) * (2 / (m.inputs + 50)) ** 0.5 * (1 + 1e-6 * flat(m, 6)),
        "order": lambda m: np.sort(flat(m, 6).ravel()).reshape(50, -1),
        "variance": lambda m: ik.normal((50, m.inputs), std=2 / (m.inputs + 50), rng=1),
        "root": lambda m: ik.uniform((50, m.inputs), -6 / (m.inputs + 50), 6 / (m.inputs + 50), rng=1),
        "other": lambda m: flat(m, 12),
    },
    "07.2": {
        "transposed": lambda m: ik.xavier_normal((m.inputs, 100), rng=1),
        "shape": lambda m: ik.xavier_normal((100, m.inputs + 1), rng=1),
        "finite": lambda m: np.full((100, m.inputs), np.nan),
        "uniform": lambda m: ik.xavier_uniform((100, m.inputs), rng=1),
        "variance": lambda m: drawn(m, 2 / (m.inputs + 100)),
        "fan_in": lambda m: drawn(m, m.inputs**-0.5),
        "fan_out": lambda m: drawn(m, 100**-0.5),
        "sum": lambda m: drawn(m, (m.inputs + 100) ** -0.5),
        "he": lambda m: ik.he_normal((100, m.inputs), rng=1),
        "other": lambda m: drawn(m, 0.3),
    },
    "01.1": {
        "one": lambda m: 1,
        "root": lambda m: m.kept ** (1 / m.layers),
        "percent": lambda m: 100 * m.kept**m.layers,
        "sum": lambda m: m.kept * m.layers,
        "lost": lambda m: (1 - m.kept) ** m.layers,
        "inverse": lambda m: m.kept**-m.layers,
    },
    "03.2": {
        "std": lambda m: m.n**-0.5,
        "variance": lambda m: 1 / m.n,
        "width": lambda m: 2 * (3 / m.n) ** 0.5,
        "six": lambda m: (6 / m.n) ** 0.5,
        "squared": lambda m: 3 / m.n,
        "other": lambda m: 1,
    },
    "04.3": {
        "dense": lambda m: (3 / m.n) ** 0.5,
        "share": lambda m: (3 / 4 / m.n) ** 0.5,
        "third": lambda m: (4 / m.n) ** 0.5,
        "squared": lambda m: 12 / m.n,
        "other": lambda m: 1,
    },
    "05.1": {
        "variance": lambda m: 2 / ((1 + m.slope**2) * m.n),
        "relu": lambda m: (2 / m.n) ** 0.5,
        "bound": lambda m: (6 / ((1 + m.slope**2) * m.n)) ** 0.5,
        "sum": lambda m: (2 / ((1 + m.slope) ** 2 * m.n)) ** 0.5,
        "digits": lambda m: (2 / ((1 + m.slope**2) * m.n)) ** 0.5 + 1e-4,
        "other": lambda m: 1,
    },
    "05.3": {
        "inverse": lambda m: m.last / m.first,
        "kept": lambda m: 1,
        "root": lambda m: (m.first / m.last) ** 0.5,
        "other": lambda m: 2,
    },
    "08.1": {
        "sign": lambda m: 1 / np.log(m.chi),
        "linear": lambda m: 1 / (1 - m.chi),
        "ten": lambda m: -1 / np.log10(m.chi),
        "half": lambda m: -np.log(2) / np.log(m.chi),
        "inverse": lambda m: -np.log(m.chi),
        "other": lambda m: 1000,
    },
    "06.3": {
        "channels": lambda m: (2 / ((1 + m.slope**2) * m.channels)) ** 0.5,
        "xavier": lambda m: (9 * m.channels) ** -0.5,
        "sum": lambda m: (2 / ((1 + m.slope) * 9 * m.channels)) ** 0.5,
        "variance": lambda m: 2 / ((1 + m.slope**2) * 9 * m.channels),
        "relu": lambda m: (2 / (9 * m.channels)) ** 0.5,
        "other": lambda m: 1,
    },
    "09.1": {
        "square": lambda m: (m.layers + 1) ** (m.layers + 1) / m.layers**m.layers,
        "mean": lambda m: 1,
        "each": lambda m: 2**m.layers,
        "middle": lambda m: 2 ** (-m.layers / 2),
        "spread": lambda m: m.layers,
        "other": lambda m: 1000,
    },
    "09.2": {
        "inverse": lambda m: m.wide / m.narrow,
        "kept": lambda m: 1,
        "twice": lambda m: (m.narrow / m.wide) ** 2,
        "root": lambda m: (m.narrow / m.wide) ** 0.5,
        "other": lambda m: 100,
    },
    "10.1": {
        "mean": lambda m: 1,
        "sum": lambda m: m.depth / m.width,
        "beta": lambda m: 5 * m.depth / m.width,
        "whole": lambda m: math.exp(-5 * m.depth / m.width),
        "linear": lambda m: math.exp(-m.depth / m.width),
        "logarithm": lambda m: -2.5 * m.depth / m.width,
        "exact": lambda m: math.exp(ik.theory.log_length([m.width] * m.depth).mean),
        "other": lambda m: 0,
    },
    "10.2": {
        "forgotten": lambda m: 2 * (m.depth - 1),
        "counted": lambda m: math.ceil(m.depth / (0.5 - 1 / m.code)),
        "rounded": lambda m: math.floor((m.depth - 1) / (0.5 - 1 / m.code)),
        "wider": lambda m: math.ceil((m.depth - 1) / (0.5 - 1 / m.code)) + 5,
        "other": lambda m: m.depth,
    },
    "10.3": {
        "layer": lambda m: 0.5**m.width,
        "alive": lambda m: (1 - 0.5**m.width) ** m.depth,
        "added": lambda m: m.depth * 0.5**m.width,
        "all": lambda m: 0.5 ** (m.width * m.depth),
        "per_cent": lambda m: 100 - 100 * (1 - 0.5**m.width) ** m.depth,
        "other": lambda m: 5,
    },
}
CLASS = [f"2026{k:04}" for k in range(200)]


def solved(name, numbers):
    """What the lesson's solution gives for these numbers."""
    scope = {"np": np, "ik": ik, "mine": numbers, "SEED": 0}
    exec(checks.solutions(name.partition(".")[0])[name], scope)
    return scope["answer"]


def every_choice(name):
    """Of exercises that ask for an array, whose checks take longer, every seventh."""
    known = registry.OWN[name]
    every = list(itertools.product(*(choices for _, choices in known.values())))
    for values in every[:: 7 if name in ("04.1", "07.2") else 1]:
        yield SimpleNamespace(**dict(zip(known, values, strict=True)))


def test_the_exercises_with_own_numbers_are_these():
    assert {name for name, known in registry.OWN.items() if known} == set(MISTAKES)
    assert len(MISTAKES) == 16
    readme = (tool.ROOT.parent / "README.md").read_text(encoding="utf-8")
    assert "sixteen exercises have numbers of their own" in readme
    assert "有十六道练习会换成各人自己的数" in readme


@pytest.mark.parametrize("name", MISTAKES)
def test_whatever_the_numbers_the_solution_is_right_and_each_mistake_is_named(name):
    known = {k.rsplit(".", 1)[1] for k in words.table() if k.startswith(f"check.{name}.")}
    assert known - {"right", "range"} <= MISTAKES[name].keys() | {"other"}
    for numbers in every_choice(name):
        said, _ = checks.CHECKS[name](solved(name, numbers), **vars(numbers))
        assert said == "right", numbers
        for key, mistake in MISTAKES[name].items():
            said, _ = checks.CHECKS[name](mistake(numbers), **vars(numbers))
            assert said == key, numbers


def test_the_specimens_have_what_03_3_says_they_have():
    """By theory, on whose line the measured points lie: they are of 100 units and one seed."""
    what = {
        ("kept", "kept"): 1,
        ("vanishes", "vanishes"): 2,
        ("kept", "explodes"): 3,
        ("kept", "vanishes"): 4,
    }
    found = []
    for f, sigma in SPECIMENS.values():
        theory = fate(ik.predict(20, 100, f, 10 * sigma, q0=0.64))
        found.append(what[theory.signal.verdict, theory.gradient.verdict])
    assert course.check("03.3", found, lang="en").ok
    with pytest.raises(KeyError, match=r"no specimen is called .D."):
        course.specimen("D", lang="en")


def test_layers_of_the_start_that_02_3_tells_of_keep_as_many_units_as_it_says():
    for numbers in (course.own("02.3"), course.own("02.3", "Li Lei")):
        units, copies, sharing = vars(numbers).values()
        net = ik.MLP([64, units, 10], "tanh", "xavier_normal", rng=0, dtype=np.float64)
        hidden, output = net.weights
        hidden[:copies], output[:, :copies] = hidden[0], output[:, :1]
        hidden[copies : copies + sharing] = hidden[copies]
        ik.train(net, ik.datasets.digits(), lr=0.1, epochs=2, rng=0, progress=False)
        assert len(np.unique(hidden.round(9), axis=0)) == solved("02.3", numbers)


def one_for_each_set(name):
    """Students of the class, one for each set of numbers that somebody has."""
    return {str(course.own(name, student)): student for student in CLASS}.values()


def test_a_class_has_other_numbers_and_other_right_answers():
    """At least thirty answers an exercise in a class of 200, and no two students who share all numbers."""
    for name in MISTAKES:
        right = {student: solved(name, course.own(name, student)) for student in one_for_each_set(name)}
        answers = {(np.size(a), round(float(np.max(a)), 9)) for a in right.values()}  # arrays, some of them
        assert len(answers) >= 30, name
        for student, answer in right.items():
            assert course.check(name, answer, lang="en", student=student).ok
    assert len({str([course.own(name, student) for name in MISTAKES]) for student in CLASS}) == len(CLASS)


def test_without_a_student_the_numbers_are_those_of_the_text():
    for name in checks.CHECKS:
        numbers = course.own(name)
        assert vars(numbers) == {k: of_text for k, (of_text, _) in registry.OWN[name].items()}
        assert course.own(name, " ") == numbers
    with pytest.raises(KeyError, match=r"no exercise is called .99\.9"):
        course.own("99.9", "Li Lei")


def test_a_student_is_the_same_however_written():
    for name in MISTAKES:
        assert course.own(name, "Li Lei") == course.own(name, "ｌｉ　ｌｅｉ ")
        assert course.own(name, "李雷") == course.own(name, " 李 雷")
        assert course.own(name, 2023001) == course.own(name, "2023001")


def test_who_answers_with_the_numbers_of_the_text_is_told():
    for name in MISTAKES:
        of_text = solved(name, course.own(name))
        assert "texts" in {
            course.check(name, of_text, lang="zh", student=s).key for s in [*one_for_each_set(name)][:40]
        }, name
        right = course.check(name, of_text, lang="zh")
        assert right.ok
        assert "<details" not in right._repr_html_()


@pytest.mark.parametrize("lang", course.LANGUAGES)
@pytest.mark.parametrize("name", sorted(checks.CHECKS))
def test_an_answer_that_is_not_right_gets_three_hints_one_inside_the_other(name, lang):
    lesson, number = name.split(".")
    (code,) = [
        cell.source
        for path in sorted((tool.ROOT / lang).glob(f"{lesson}_*.ipynb"))
        for cell in tool.read(path).cells
        if cell.id == f"solution-{number}"
    ]
    for answer in (..., "nothing of the kind"):
        verdict = course.check(name, answer, lang=lang)
        headings, said = zip(*verdict.hints, strict=True)
        assert headings == tuple(words.text(f"check.{step}", lang) for step in ("nudge", "formula", "answer"))
        assert said[:2] == tuple(words.text(f"hint.{name}.{step}", lang) for step in ("nudge", "formula"))
        assert said[2].split() == code.removeprefix("if SOLVE:").split()
        shown = verdict._repr_html_()
        places = [shown.index(f"<summary>{heading}</summary>") for heading in headings]
        assert places == sorted(places)
        assert shown.endswith("</details>" * 3)
        assert str(verdict) == f"{checks.MARKS[verdict.ok]} {verdict.message}"
