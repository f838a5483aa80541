"""Real data that needs no download."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .arguments import Array

__all__ = ["Data", "digits"]


class Data(NamedTuple):
    """A labelled data set, split in two.

    Attributes
    ----------
    x_train, x_test : ndarray
        Inputs, (n, features), float32 where they are this module's.
    y_train, y_test : ndarray
        Labels, (n,), int64, from 0 on.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


@functools.cache
def digits() -> Data:
    """1,797 real handwritten digits of 8 × 8 pixels, from 13 people: 1,442 to train on, 355 to test on.

    Used from lesson 01 on.

    Returns
    -------
    Data
        Read-only arrays, the same every time.

    Notes
    -----
    Split: of each digit's images, in the data set's order, every fifth goes to the test set. Scaling: the
    grey levels 0 … 16 have the training set's mean subtracted and are divided by its standard deviation, one
    number each for all pixels, so that the mean square of the training inputs is 1 (q₀ = 1). The images lie
    beside this module; they are those of ``sklearn.datasets.load_digits``, in its order.

    References
    ----------
    Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49: its test set, under CC BY 4.0.

    Examples
    --------
    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape
    ((1442, 64), (355, 64))
    >>> round(float(np.square(data.x_train).mean()), 4)
    1.0
    """
    table = Path(__file__).with_name("digits.csv.gz")  # an image a line: 64 grey levels, the digit
    rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)  # several times as fast as floats
    images, labels = rows[:, :-1].astype(np.float64), rows[:, -1].astype(np.int64)
    rank = np.empty(len(labels), int)  # of the images with the same digit, 0 for the first
    for digit in range(10):
        rank[labels == digit] = np.arange((labels == digit).sum())
    test = rank % 5 == 4
    mean, std = images[~test].mean(), images[~test].std()
    x = ((images - mean) / std).astype(np.float32)
    data = Data(x[~test], labels[~test], x[test], labels[test])
    for array in data:
        array.flags.writeable = False
    return data
