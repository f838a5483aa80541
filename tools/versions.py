"""Try initkit with other versions of Python and of what it stands on.

    python tools/versions.py                                            every Python here, every resolution
    python tools/versions.py --python 3.11 --resolution lowest-direct   one alone

``lock`` is constraints.txt. ``lowest-direct`` takes the lower bound of everything that pyproject.toml names,
and the newest of what those bring: a bound that promises too much fails here. ``newest`` is what pip takes
today. Each makes an environment of its own, from wheels alone, runs the unit tests and one lesson in it, and
is a line of the table at the end. Exit status 1: something failed or could not be installed. A Python not
on this machine is left out, which the table says, unless ``--python`` asks for it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
RESOLUTIONS = {
    "lock": ["--constraint", str(ROOT / "constraints.txt")],
    "lowest-direct": ["--resolution", "lowest-direct"],
    "newest": ["--upgrade"],
}
LESSON = "notebooks/en/04_xavier.ipynb"
TESTS = ["tests/unit", LESSON, "--nbval-lax", "--nbval-cell-timeout=120", "--nbval-kernel-name=python3"]
TESTS += ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadgroup"]
UV = [sys.executable, "-m", "uv"]


def run(command: list, cwd: Path, **environment: str) -> tuple[int, list[str]]:
    """Exit status and the lines of what was said, which is shown as well."""
    said = []
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line.strip())
    return process.returncode, [line for line in said if line]


def attempt(version: str, resolution: str, pytest_arguments: list[str]) -> tuple[str, str]:
    """What came of one environment (passed, failed, not installed, no Python), and a line about it.

    uv runs in an empty folder: pyproject.toml's settings for the lock are not for who installs from it.
    """
    print(f"\n== Python {version}, {resolution}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # PYENV_VERSION: pyenv puts a python3.12 on the path that runs only if this names it.
        status, said = run(
            [*UV, "venv", "--quiet", "--no-python-downloads", "--python", version, folder / "env"],
            folder,
            PYENV_VERSION=version,
        )
        if status:
            return "no Python", f"no Python {version} on this machine"
        install = [*UV, "pip", "install", "--quiet", "--python", python]
        chosen = ["--requirements", ROOT / "pyproject.toml", "--extra", "course", "--extra", "test"]
        status, said = run([*install, "--only-binary", ":all:", *RESOLUTIONS[resolution], *chosen], folder)
        if not status:
            pins = ["--build-constraints", ROOT / "constraints.txt"]
            status, said = run([*install, "--no-deps", *pins, "--editable", ROOT], folder)
        if status:
            return "not installed", " ".join(said[-3:])
        start = time.monotonic()
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, *pytest_arguments]
        status, said = run(tests, ROOT, OPENBLAS_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="")
        summary = next((s.strip("= ") for s in reversed(said) if " passed" in s or " failed" in s), said[-1])
        return ("failed" if status else "passed"), f"{summary} ({time.monotonic() - start:.0f} s)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", metavar="VERSION", help=f"of {', '.join(PYTHONS)}, by default")
    parser.add_argument("--resolution", nargs="+", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument("pytest", nargs="*", help="after --: passed on to pytest")
    asked = parser.parse_args()
    table = []
    for version in asked.python or PYTHONS:
        for resolution in asked.resolution:
            table.append((version, resolution, *attempt(version, resolution, asked.pytest)))
            if table[-1][2] == "no Python":
                break
    print()
    for version, resolution, outcome, why in table:
        print(f"{version:5} {'' if outcome == 'no Python' else resolution:14} {outcome:14} {why}")
    outcomes = {outcome for _, _, outcome, _ in table}
    left_out = {"no Python"} if not asked.python else set()
    return 0 if "passed" in outcomes and outcomes - left_out == {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main())
