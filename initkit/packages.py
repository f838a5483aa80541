"""Packages that not every reader needs, and what is said where one is missing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from .words import Language, text

DISTRIBUTION = "initkit-course"  # our own name on PyPI, where "initkit" is another project's
ADDRESS = "https://github.com/initkit-course/initkit-course"  # the repository's, as in [project.urls]
# What pip takes: the course with all that it needs, until there is a release, from the repository.
REQUIREMENT = f"{DISTRIBUTION}[course] @ {ADDRESS}/archive/HEAD.zip"


def how_to_install(*packages: str, lang: Language = "en") -> str:
    """What a reader types to have these packages: every hint to install something says this.

    In a browser nothing can be installed that is not made for it; it says so, in the language ``lang``.

    >>> how_to_install("safetensors", "h5py")
    'pip install safetensors h5py'
    """
    said = " ".join(["pip install", *packages])
    # Who comes from the browser has nothing of the course yet.
    in_a_browser = sys.platform == "emscripten"
    return text("install.in_a_browser", lang, command=f'{said} "{REQUIREMENT}"') if in_a_browser else said


@contextlib.contextmanager
def needed_by(what: str, *packages: str) -> Iterator[None]:
    """Around imports: where one of ``packages`` is missing, the error says how to install them.

    Raises
    ------
    ModuleNotFoundError
        In the place of the one that the import raises, if it is about one of ``packages``.

    Examples
    --------
    >>> with needed_by("initkit.plots", "paint"):
    ...     import paint
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: No module named 'paint', which initkit.plots needs: pip install paint
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        said = f"No module named {error.name!r}, which {what} needs: {how_to_install(*packages)}"
        raise ModuleNotFoundError(said, name=error.name) from None
