"""A real JupyterLab on a copy of the notebooks, and a real Chromium to read it with."""

import json
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from reading import FLAGS, Lab, Reader, chromium, free_port, lab_arguments

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The notebooks are a copy: JupyterLab writes into them."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    port, token = free_port(), "course"
    command = [sys.executable, "-m", "jupyterlab", *lab_arguments(port, token)]
    server = Lab(command, folder, port, token, folder / "lab.log")
    server.folder = folder
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture
def reader(browser, lab):
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    yield Reader(context.new_page(), lab)
    for session in json.load(urllib.request.urlopen(f"{lab.url}/api/sessions?token={lab.token}")):
        request = urllib.request.Request(
            f"{lab.url}/api/sessions/{session['id']}?token={lab.token}", method="DELETE"
        )
        urllib.request.urlopen(request)
    context.close()
