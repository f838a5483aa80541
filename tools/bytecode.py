"""Compile what a lesson imports first: ``tools/lite.py`` runs this in a Pyodide that has the site at /site.

Pyodide's wheels hold source alone, and a browser keeps nothing between visits: at each it would compile a
thousand modules, those of IPython, NumPy and matplotlib, before the first figure. The bytecode of a module
goes beside its source, which stays for tracebacks and is not compared with it.
"""

import sys
import zipfile
from importlib import _bootstrap_external as importing
from importlib import import_module
from importlib.util import find_spec, source_hash
from pathlib import Path, PurePosixPath

# The kernel's modules. pyodide_kernel and piplite are the site's only where its Pyodide is an older one.
KERNEL = ["pyodide_kernel", "piplite", "IPython", "jedi"]
# What a lesson's first cell asks for, and theory when it first computes.
LESSON = ["initkit.course", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "scipy.special"]
STDLIB = f"/lib/python{sys.version_info.major}{sys.version_info.minor}.zip"


def bytecode_name(source: str, folder: str) -> str:
    """The name of a module's bytecode where an import looks for it: beside the source in a zip archive."""
    path = PurePosixPath(source)
    cached = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
    return f"{source}c" if folder == STDLIB else str(cached)


def add_bytecode(archive: Path, folder: str, imported: set[str]) -> None:
    """Add the bytecode of what was imported from ``archive``, which Pyodide has in ``folder``."""
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in packed.namelist():
            if name.endswith(".py") and f"{folder}/{name}" in imported:
                source = packed.read(name)
                code = compile(source, f"{folder}/{name}", "exec", dont_inherit=True)
                bytecode = importing._code_to_hash_pyc(code, source_hash(source), checked=False)
                packed.writestr(bytecode_name(name, folder), bytecode)


def replace(archive: Path, name: str, data: bytes) -> None:
    """Put ``data`` in the place of a file of ``archive``."""
    with zipfile.ZipFile(archive) as packed:
        files = {entry: packed.read(entry) for entry in packed.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for entry, content in (files | {name: data}).items():
            packed.writestr(entry, content)


for name in LESSON:
    import_module(name)
# Lesson 00's figure: to compute and to draw, NumPy, SciPy and Pillow import more. The kernel's modules come
# later, as with them a widget wants a page.
import_module("initkit.live").taste(lang="en")
for name in filter(find_spec, KERNEL):
    import_module(name)
packages = str(Path(sys.modules["initkit"].__file__).parents[1])
imported = {getattr(module, "__file__", None) for module in sys.modules.values()}
add_bytecode(Path("/site/python_stdlib.zip"), STDLIB, imported)
for wheel in Path("/site").glob("*.whl"):
    add_bytecode(wheel, packages, imported)
# The list of fonts in matplotlib's wheel may be another version's. It was made anew at the import above, as
# a browser would make it at each visit, in half a second.
fonts = Path(packages, "matplotlib", "fontlist.json")
if fonts.exists():
    (wheel,) = Path("/site").glob("matplotlib-[0-9]*.whl")
    replace(wheel, "matplotlib/fontlist.json", fonts.read_bytes())
