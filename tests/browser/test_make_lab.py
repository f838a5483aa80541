"""`make lab`: on the first page, behind a token, on this machine only, and not installed twice."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reading import Lab, Reader, answers, free_port, lab_arguments

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="make's own, on Unix")


def test_make_lab_opens_the_first_page_behind_a_token(browser, tmp_path):
    installed = (ROOT / ".venv" / "lab").stat().st_mtime
    port, token = free_port(), "a-token"
    arguments = " ".join(lab_arguments(port, token))
    lab = Lab(["make", "lab", f"ARGS={arguments}", "EDITION=zh"], ROOT, port, token, tmp_path / "log")
    try:
        assert answers(f"{lab.url}/api/contents") == 403
        assert answers(f"{lab.url}/api/contents?token={token}") == 200
        page = browser.new_page()
        opened = page.goto(f"{lab.url}/?token={token}").url  # JupyterLab then shows its folder's address
        assert opened.split("?")[0].endswith("/lab/tree/zh/00_start_here.ipynb")
        page.wait_for_selector(".jp-Notebook .jp-Cell h1:has-text('从哪里出发')", timeout=60_000)
        # A server that is told to end while its kernel starts waits for ever: Jupyter's own fault.
        Reader(page, lab).wait_idle()
        page.close()
        if sys.platform == "linux":
            # It lists who listens where: nothing of ours on an address that others reach.
            table = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
            listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
            assert [a for a in listening if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
    finally:
        lab.stop()
    assert (ROOT / ".venv" / "lab").stat().st_mtime == installed, "installed again"
    if sys.platform != "linux":
        pytest.skip("all passed but one: only Linux lists who listens where")


def test_make_lab_keeps_jupyters_own_token(tmp_path):
    """Without a token of the test's: Jupyter makes one up and asks for it."""
    port = free_port()
    arguments = " ".join(a for a in lab_arguments(port, "x") if "token" not in a)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["make", "lab", f"ARGS={arguments}"], cwd=ROOT, stdout=out, stderr=out, start_new_session=True
        )
        try:
            for _ in range(300):
                if answers(f"http://localhost:{port}/api/contents") == 403:
                    break
                time.sleep(0.2)
            else:
                raise AssertionError(log.read_text(encoding="utf-8"))
            (token,) = set(re.findall(r"token=([0-9a-f]{48})", log.read_text(encoding="utf-8")))
            assert answers(f"http://localhost:{port}/api/contents?token={token}") == 200
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)
