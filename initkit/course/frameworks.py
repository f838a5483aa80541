"""Cells in a framework that not every reader has: PyTorch, Flax or Keras."""

from __future__ import annotations

from importlib.util import find_spec

from ..packages import how_to_install
from ..words import Language, text


def installed(*packages: str, lang: Language) -> bool:
    """Whether all these packages are there; if not, prints one line on how to install those that are missing.

    What needs them is written under it, so that the cell runs where it can and the lesson runs everywhere.

    Parameters
    ----------
    *packages : str
        As they are imported; none of them is.
    lang : {"en", "zh"}
        The language.

    Returns
    -------
    bool

    Examples
    --------
    >>> if installed("numpy", lang="en"):
    ...     import numpy
    """
    if missing := [package for package in packages if find_spec(package) is None]:
        fields = {"packages": ", ".join(missing), "install": how_to_install(*missing, lang=lang)}
        print(text("installed.missing", lang, **fields))
    return not missing
