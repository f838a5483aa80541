"""A real JupyterLab on a copy of the notebooks, and a real Chromium to read it with."""

import json
import sys
import urllib.request

import pytest
from playwright.sync_api import sync_playwright
from reading import FLAGS, Lab, Reader, chromium, free_port, lab_arguments


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """As a reader has it: JupyterLab writes into the copy that the command makes."""
    folder = tmp_path_factory.mktemp("course")
    port, token = free_port(), "course"
    command = [sys.executable, "-m", "initkit", "course", ".", *lab_arguments(port, token)]
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
