"""Parity with PyTorch and JAX: their fans, gains and moments, recorded by tools/record_frameworks.py."""

import json
from pathlib import Path

import numpy as np
import pytest

import initkit as ik

RECORDED = json.loads((Path(__file__).parent / "frameworks.json").read_text(encoding="utf-8"))
OURS = {
    "he_normal fan_out": ("he_normal", {"mode": "fan_out"}),
    "xavier truncated": ("variance_scaling", {"scale": 1.0, "mode": "fan_avg"}),
    "he truncated": ("variance_scaling", {"scale": 2.0}),
    "lecun truncated": ("variance_scaling", {"scale": 1.0}),
}


def name_of(record):
    return f"{record['framework']} {record['scheme']} {'x'.join(map(str, record['shape']))}"


def assert_one_law(w, theirs: dict) -> None:
    """Two samples of one law: each moment within 6 standard errors of their difference (alarm rate 2e-9).

    The variance of a sample's variance is at most 2σ⁴/n, of its standardized fourth moment 24/n (a normal's).
    """
    w = w.astype(np.float64).ravel()
    error = (2 / w.size) ** 0.5  # of the difference of two
    variance = w.var()
    assert abs(w.mean() - theirs["mean"]) < 6 * error * variance**0.5
    assert abs(variance / theirs["var"] - 1) < 6 * error * 2**0.5
    assert abs((w**4).mean() / variance**2 - theirs["fourth"]) < 6 * error * 24**0.5


@pytest.mark.parametrize("record", RECORDED["records"], ids=name_of)
def test_fans_and_moments_are_theirs(record):
    shape = tuple(record["shape"])
    layout = {"in_axis": -2, "out_axis": -1} if record["framework"] == "jax" else {}
    assert list(ik.fans(shape, **layout)) == record["fans"]
    scheme, arguments = OURS.get(record["scheme"], (record["scheme"], {}))
    w = ik.get(scheme)(shape, **arguments, **layout, rng=0)
    assert_one_law(w, record)
    if scheme.endswith("uniform") or scheme == "torch_default" or "truncated" in record["scheme"]:
        assert abs(w).max() == pytest.approx(record["max"], rel=5e-3)  # the same bound, nearly reached


@pytest.mark.parametrize("name", RECORDED["torch_gains"])
def test_gains_are_torchs_by_its_convention(name):
    assert ik.gain(name, convention="torch") == pytest.approx(RECORDED["torch_gains"][name], rel=1e-12)
