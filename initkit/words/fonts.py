"""The fonts of the figures: the only place where one is registered with matplotlib."""

from __future__ import annotations

import functools
import logging
from importlib import resources

from . import Language

FILE = "font/NotoSansSC-subset.otf"
FAMILY = "initkit Noto Sans SC"
# On a new machine, and in a browser every time, matplotlib announces in red that it lists the fonts.
logging.getLogger("matplotlib.font_manager").addFilter(lambda record: "font cache" not in str(record.msg))


@functools.cache
def style(lang: Language) -> dict:
    """Matplotlib settings that draw this language's texts, on a machine with or without its fonts.

    A glyph that the first family lacks (Greek, arrows, subscripts) comes from the second.
    """
    from matplotlib import font_manager

    with resources.as_file(resources.files(__package__).joinpath(FILE)) as path:
        if not any(f.name == FAMILY for f in font_manager.fontManager.ttflist):
            font_manager.fontManager.addfont(path)
    return {
        "font.family": [FAMILY, "DejaVu Sans"] if lang == "zh" else ["DejaVu Sans", FAMILY],
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
    }
