"""Binder's own tool reads this repository. No Docker engine needed: it only writes the Dockerfile."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def repo2docker(folder):
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(folder)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)


OURS = 'env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"'  # what the Conda build pack writes


def test_binder_builds_from_our_environment():
    run = repo2docker(ROOT)
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert "Building conda environment for python=3.12" in said
    assert OURS in said
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/start"' in said  # the settings of `initkit course`


def test_a_binder_folder_would_hide_it(tmp_path):
    """The check above can fail."""
    (tmp_path / "environment.yml").write_bytes((ROOT / "environment.yml").read_bytes())
    (tmp_path / "binder").mkdir()
    (tmp_path / "binder" / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    run = repo2docker(tmp_path)
    assert run.returncode == 0
    assert OURS not in run.stdout + run.stderr
