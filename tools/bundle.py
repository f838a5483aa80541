"""Pack the course for a room without a network: every wheel of one platform, and scripts that install them.

    python tools/bundle.py                              for this machine and this Python
    python tools/bundle.py --platform windows --python 3.12

Writes ``dist/initkit-course-<version>-<platform>-py<version>.zip``. Versions are those of constraints.txt.
Needs uv (and takes the wheels from the index that pip is set to); who installs needs Python alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import initkit
from initkit.packages import DISTRIBUTION

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "constraints.txt"
UV = [sys.executable, "-m", "uv"]
# What uv calls a platform (its markers), and which wheels pip may take for it, best first.
PLATFORMS = {
    "windows": ("windows", ["win_amd64"]),
    "macos": ("aarch64-apple-darwin", ["macosx_14_0_arm64"]),
    "linux": ("x86_64-manylinux_2_28", [f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17, 12, 5)]),
}

SH = """\
#!/bin/sh
# Installs the course beside this file, without a network. 把课程装在本文件旁边，不需要联网。
set -e
cd "$(dirname "$0")"
python=${{PYTHON:-python3}}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != {python})' || {{
  echo "This bundle is for Python {version}: PYTHON=python{version} sh install.sh"; exit 1; }}
"$python" -m venv env
env/bin/python -m pip install --quiet --no-index --find-links wheels '{wanted}'
echo "Start the course with / 打开课程： '$PWD/env/bin/initkit' course"
"""
PS1 = """\
# Installs the course beside this file, without a network. 把课程装在本文件旁边，不需要联网。
#     powershell -ExecutionPolicy Bypass -File install.ps1
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
py -{version} -m venv env
if ($LASTEXITCODE) {{ Write-Host "This bundle is for Python {version} (python.org)"; exit 1 }}
& env\\Scripts\\python -m pip install --quiet --no-index --find-links wheels "{wanted}"
if ($LASTEXITCODE) {{ exit 1 }}
Write-Host "Start the course with / 打开课程： & '$PSScriptRoot\\env\\Scripts\\initkit' course"
"""
README = """\
{name} {release}, Python {version}, {platform}

Windows: powershell -ExecutionPolicy Bypass -File install.ps1
macOS, Linux: sh install.sh
No network is needed. 不需要联网。
"""


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


def bundle(platform: str | None, version: str, target: Path) -> Path:
    """The zip's path."""
    name = platform or sysconfig.get_platform().replace("-", "_").replace(".", "_")
    with tempfile.TemporaryDirectory() as folder:
        wheels, pins = Path(folder, "wheels"), Path(folder, "pins.txt")
        run(*UV, "build", "--quiet", "--wheel", "--build-constraints", LOCK, "--out-dir", wheels, ROOT)
        (wheels / ".gitignore").unlink(missing_ok=True)  # uv's
        resolve = [*UV, "pip", "compile", "--quiet", "--extra", "course", "--python-version", version]
        resolve += ["--python-platform", PLATFORMS[platform][0]] if platform else []
        # The constraints' lines have markers; what comes out is for this platform alone.
        run(*resolve, "--constraint", LOCK, "-o", pins, ROOT / "pyproject.toml")
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        fetch += ["--no-deps", "--only-binary", ":all:", "--python-version", version]
        fetch += [word for tag in PLATFORMS[platform][1] for word in ("--platform", tag)] if platform else []
        run(*fetch, "--dest", wheels, "--requirement", pins)
        fields = {
            "name": DISTRIBUTION,
            "release": initkit.__version__,
            "platform": name,
            "version": version,
            "python": tuple(map(int, version.split("."))),
            "wanted": f"{DISTRIBUTION}[course]",
        }
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"{DISTRIBUTION}-{initkit.__version__}-{name}-py{version}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:  # wheels are packed already
            top = path.stem
            packed.writestr(f"{top}/README.txt", README.format(**fields))
            packed.writestr(f"{top}/install.sh", SH.format(**fields))
            # PowerShell 5 takes a file without this mark for one in the system's own encoding.
            packed.writestr(f"{top}/install.ps1", "\ufeff" + PS1.format(**fields).replace("\n", "\r\n"))
            for wheel in sorted(wheels.iterdir()):
                packed.write(wheel, f"{top}/wheels/{wheel.name}")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", choices=PLATFORMS, help="by default, this machine's")
    parser.add_argument(
        "--python", default="{}.{}".format(*sys.version_info[:2]), help="(default: %(default)s)"
    )
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="the folder (default: dist)")
    asked = parser.parse_args()
    path = bundle(asked.platform, asked.python, asked.to)
    print(f"{path} ({path.stat().st_size / 2**20:.0f} MiB)")


if __name__ == "__main__":
    main()
