"""How much memory the tests have taken: what a stranger sends must not cost more."""

import sys

import pytest


def peak_memory() -> int:
    """The most bytes that this process has had at once."""
    resource = pytest.importorskip("resource", reason="Windows does not say how much a process took")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
