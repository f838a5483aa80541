"""A bar for what takes long, in a terminal, a notebook or a browser."""

from __future__ import annotations

import os
import sys
from typing import Any

from .packages import needed_by


def bar(**options: Any) -> Any:
    """tqdm's bar, shown where somebody watches and the work takes more than 2 seconds.

    In WebAssembly it shows from the start, as the same work takes ten times as long.
    """
    browser = sys.platform == "emscripten"
    with needed_by("progress=True", "tqdm"):
        # Not at the top, as it loads ipywidgets in a notebook. ``auto`` takes a browser's kernel for none.
        if browser:
            from tqdm.notebook import tqdm
        else:
            from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc, valid-type]
        # No thread that watches the bar: WebAssembly has none, and who tells it of every step needs none.
        monitor_interval = 0

    # disable=None means no bar in a log file, which a page is not. tqdm reads its own variable only as the
    # default of ``disable``; where outputs are compared, it keeps bars out of them.
    disable = bool(os.environ.get("TQDM_DISABLE")) or (False if browser else None)
    return Bar(delay=0 if browser else 2, disable=disable, **options)
