"""The running course as a site on this machine, in a sub-path, and a Chromium that reaches nothing else."""

import functools
import http.server
import json
import os
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from reading import FLAGS, Reader, chromium

# Where it was built: its folder lite/ is what is tried.
SITE = Path(os.environ.get("INITKIT_SITE", "build/site")).resolve()
CDN = "cdn.jsdelivr.net"
# Two names of this machine. LAN is one as in a class's own network: over plain http its pages count as
# insecure, those of HERE do not, and an insecure page has no service worker.
HERE, LAN = "127.0.0.1", "class.lan"
SUB_PATH = "/courses/init"
# All of a notebook in the page, not only what is in view.
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves SITE below SUB_PATH, as any web server would, but for SETTINGS."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path):
        below = path.startswith(SUB_PATH + "/")
        return super().translate_path(path.removeprefix(SUB_PATH) if below else "/there is nothing")

    def do_GET(self):
        if self.path.split("?")[0] != f"{SUB_PATH}/lite/jupyter-lite.json":
            return super().do_GET()
        lite = json.loads((SITE / "lite/jupyter-lite.json").read_text(encoding="utf-8"))
        lite["jupyter-config-data"].setdefault("settingsOverrides", {}).update(SETTINGS)
        data = json.dumps(lite).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site():
    """The address of the folder lite/."""
    assert (SITE / "lite/jupyter-lite.json").exists(), (
        f"there is no site in {SITE}: make test-site builds one"
    )
    server = http.server.ThreadingHTTPServer((HERE, 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HERE}:{server.server_port}{SUB_PATH}/lite"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def site_on_a_lan(site):
    return site.replace(HERE, LAN)


@pytest.fixture(scope="session")
def folder():
    """The folder lite/ itself."""
    return SITE / "lite"


@pytest.fixture(scope="session")
def pyodide(folder):
    """The folder with Pyodide, where it lies in the site."""
    inside = folder / "static/pyodide"
    return inside if (inside / "pyodide.mjs").exists() else None


@pytest.fixture(scope="session")
def reached(pyodide):
    """Hosts that the site may ask: none but its own, where Pyodide lies in it."""
    return [HERE, LAN] if pyodide else [HERE, LAN, CDN]


@pytest.fixture(scope="session")
def browser(reached):
    rules = f"MAP {LAN} {HERE} , MAP * ~NOTFOUND" + "".join(
        f" , EXCLUDE {host}" for host in reached if host != LAN
    )
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=chromium(), args=[*FLAGS, f"--host-resolver-rules={rules}"]
        )
        yield instance
        instance.close()


class SiteReader(Reader):
    """Reads a lesson in the app for notebooks. Python here is slower than on a server of its own."""

    patience = soon = 300  # on a busy machine a lesson takes many times as long as on a quiet one
    answer = 10

    def __init__(self, page, site):
        super().__init__(page, lab=None)
        self.site, self.files, self.asked = site, SITE / "lite/files", set()
        page.context.on("request", lambda request: self.asked.add(request.url))

    def open(self, path: str, app: str = "notebooks"):
        self.page.goto(f"{self.site}/{app}/index.html?path={path}")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=self.patience * 1000)
        self.page.wait_for_selector(".lm-MenuBar-itemLabel:text-is('Run')", timeout=self.patience * 1000)
        # Before there is a kernel JupyterLab says idle, too, and passes over a cell that is run then.
        if not self.page.workers:
            self.page.wait_for_event("worker", timeout=self.patience * 1000)
        self.wait_idle()

    def save(self):
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+s")


@pytest.fixture
def reader(browser, site):
    with_touch = browser.new_context(viewport={"width": 1366, "height": 900}, has_touch=True)
    yield SiteReader(with_touch.new_page(), site)
    with_touch.close()
