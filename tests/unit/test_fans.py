"""Fans of every layout, and what is said of shapes and axes that have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit import fans


@pytest.mark.parametrize(
    ("shape", "arguments", "expected"),
    [
        ((20, 10), {}, (10, 20)),
        ((16, 8, 3), {}, (24, 48)),
        ((16, 8, 3, 3), {}, (72, 144)),
        ((16, 8, 3, 3, 3), {}, (216, 432)),
        ((16, 2, 3, 3), {"groups": 4}, (18, 36)),  # Conv2d(8, 16, 3, groups=4)
        ((8, 1, 3, 3), {"groups": 8}, (9, 9)),  # depthwise
        ((3, 3, 8, 16), {"in_axis": -2, "out_axis": -1}, (72, 144)),
        ((512, 8, 64), {"in_axis": 0, "out_axis": (1, 2)}, (512, 512)),  # attention: embed → heads × dim
        ((8, 64, 512), {"in_axis": (0, 1), "out_axis": 2}, (512, 512)),
        ((7, 20, 10), {"in_axis": 2, "out_axis": 1, "batch_axis": 0}, (10, 20)),
        ((0, 5), {}, (5, 0)),
    ],
)
def test_fans(shape, arguments, expected):
    assert fans(shape, **arguments) == expected


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_moving_the_axes_moves_nothing_else(shape, random):
    """A transposed array with its axes named has the fans of the original."""
    order = list(range(len(shape)))
    random.shuffle(order)
    moved = [shape[i] for i in order]
    assert fans(moved, in_axis=order.index(1), out_axis=order.index(0)) == fans(shape)


@pytest.mark.parametrize(
    ("shape", "arguments", "error", "message"),
    [
        ((3,), {}, ValueError, r"shape \(3,\) has no fans"),
        ((), {}, ValueError, "has no fans"),
        (5, {}, ValueError, r"shape \(5,\) has no fans"),
        ((-1, 2), {}, ValueError, "no negative size"),
        ((2.5, 2), {}, TypeError, "whole numbers"),
        ("ab", {}, TypeError, "whole numbers"),
        ((2, 3), {"in_axis": 0}, ValueError, "must not share an axis"),
        ((2, 3), {"in_axis": -2}, ValueError, "must not share an axis"),
        ((2, 3), {"in_axis": 2}, ValueError, r"in_axis=\(2,\) is out of range"),
        ((2, 3), {"out_axis": -3}, ValueError, r"out_axis=\(-3,\) is out of range"),
        ((2, 3), {"batch_axis": 1}, ValueError, "must not share an axis"),
        ((2, 3), {"in_axis": "x"}, TypeError, "in_axis must be an int or a tuple"),
        ((2, 3), {"groups": 3}, ValueError, "groups must be a divisor of the 2 outputs, not 3"),
        ((2, 3), {"groups": 0}, ValueError, "groups must be"),
        ((2, 3), {"groups": 1.0}, ValueError, "groups must be"),
        ((2, 3), {"groups": True}, ValueError, "groups must be"),
        ((2, True), {}, TypeError, "whole numbers"),
        (np.array([True, True]), {}, TypeError, "whole numbers"),
        ((2, 3), {"in_axis": True}, TypeError, "in_axis must be an int or a tuple"),
        ((2, 3), {"in_axis": (True,)}, TypeError, "in_axis must be an int or a tuple"),
    ],
)
def test_bad_shapes_are_told(shape, arguments, error, message):
    with pytest.raises(error, match=message):
        fans(shape, **arguments)


def test_numpy_integers_are_integers():
    assert fans(np.array([4, 6])) == fans((np.int64(4), np.int32(6))) == (6, 4)
