"""The gains of a weight, and which of them keep a signal through an activation."""

from __future__ import annotations

import math

import numpy as np

from ..activations import Activation, gain
from .report import Tensor

OFF_GAIN = 1.25  # a gain that is off by this factor changes the mean square 87-fold over ten layers


def gains_of(weight: Tensor) -> tuple[float, float]:
    """√(mean square·fan) by fan_in and by fan_out, of a weight whose gain is known."""
    return weight.gain, weight.gain * math.sqrt(weight.fan_out / weight.fan_in)


def right_gains(function: Activation) -> tuple[float, float]:
    """The least and the largest right gain for a function: one keeps q = 1, the other, 1/f'(0), a small q.

    (0, 0) where f(0) is not 0, so that no gain keeps a small signal.
    """
    at_one, zero = gain(function), np.zeros(1)
    if abs(function.f(zero)[0]) > 1e-9:
        return 0.0, 0.0
    left, slope, right = function.df(np.array([-1e-3, 0.0, 1e-3]))
    # Of a kink, as ReLU's, f'(0) says nothing of a small signal, and neither does f'(0) = 0.
    smooth = max(abs(left - slope), abs(right - slope)) < 0.01 * abs(slope)
    other = 1 / abs(float(slope)) if smooth else at_one
    return min(at_one, other), max(at_one, other)


def nearest_right(weight: Tensor, right: tuple[float, float]) -> float | None:
    """Of the gains ``right_gains``, the nearest to a weight's; None where the weight's is right, or none is.

    By its fan_out a gain keeps the gradient, and either is as good (He et al. 2015, §2.2).
    """
    low, high = right
    # The gain of n drawn entries strays by 1/√(2n), and by three times that in one layer of 370.
    off = OFF_GAIN * math.exp(3 / math.sqrt(2 * math.prod(weight.shape)))
    if not high or any(low / off <= one <= high * off for one in gains_of(weight)):
        return None
    return low if weight.gain < low else high
