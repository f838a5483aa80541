"""A real JupyterLab, and a reader who opens a notebook in a real Chromium, runs it, and looks."""

import contextlib
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

# Chromium must not try to reach anything but this machine.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise RuntimeError("the browser tests need Chromium: apt-get install chromium")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(url: str) -> int:
    """The HTTP status, or 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(condition, seconds: float, what: str):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds} s")


class Lab:
    """JupyterLab, started by any command, on a port of its own."""

    def __init__(self, command, cwd, port, token, log, **environment):
        self.url, self.token = f"http://localhost:{port}", token
        self.log = open(log, "wb")  # noqa: SIM115 - open as long as the server is
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        wait_for(
            lambda: answers(f"{self.url}/api/status?token={token}") == 200, 90, f"JupyterLab (see {log})"
        )

    def page(self, path: str) -> str:
        return f"{self.url}/lab/tree/{path}?token={self.token}&reset"

    def stop(self):
        """Ask it to end; one that has not in half a minute, as when a kernel was just starting, is killed."""
        if hasattr(os, "killpg"):  # make, uvx and pipx start JupyterLab as a process of their own
            tell, ends = functools.partial(os.killpg, self.process.pid), (signal.SIGTERM, signal.SIGKILL)
        else:
            tell, ends = self.process.send_signal, (signal.SIGTERM,)  # which on Windows kills
        for end in ends:
            with contextlib.suppress(ProcessLookupError):
                tell(end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.log.close()


def lab_arguments(port: int, token: str) -> list[str]:
    arguments = ["--no-browser", f"--port={port}", "--port-retries=0", f"--IdentityProvider.token={token}"]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*arguments, "--allow-root"] if is_root else arguments


class Reader:
    """Opens a notebook, runs it, and looks at it."""

    # Seconds until a cell has run, until a picture rests, and until it begins to answer the hand.
    patience, soon, answer = 90, 20, 3
    rests = 3  # looks in a row, a quarter of a second apart, that find the same picture where it rests

    def __init__(self, page, lab):
        self.page, self.lab = page, lab
        self.settled = ""  # the address of the picture that rested last
        self.console: list[str] = []
        page.on("pageerror", lambda error: self.console.append(f"page error: {error}"))
        page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)

    def open(self, path: str):
        self.page.goto(self.lab.page(path))
        # The toolbar comes with the content; the kernel's name, when it has been started.
        self.page.wait_for_selector(".jp-KernelName:has-text('Python 3')", timeout=60_000)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self.wait_idle()

    def kernel_status(self) -> str:
        return self.page.evaluate(
            "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status ?? ''"
        )

    def wait_idle(self):
        wait_for(lambda: self.kernel_status() == "idle", self.patience, "an idle kernel")

    def run_all(self):
        self.page.click(".lm-MenuBar-itemLabel:text-is('Run')")
        self.page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
        for k, cell in enumerate(self.code_cells()):
            wait_for(lambda cell=cell: self.has_run(cell), self.patience, f"code cell {k} has run")
        self.wait_idle()

    def code_cells(self):
        """Each in turn, in view: of the others JupyterLab keeps only the frame in the page."""
        cells = self.page.locator(".jp-CodeCell")
        for i in itertools.count():
            if i == cells.count():  # asked anew: a notebook that opens gets them one after the other
                return
            cell = cells.nth(i)
            wait_for(lambda cell=cell: self.prompts(cell), 20, "a cell in view")
            yield cell

    def prompts(self, cell) -> list[str]:
        """What stands beside a cell, once it is in view; sought anew, as Run All scrolls to the last one."""
        cell.scroll_into_view_if_needed()
        return cell.locator(".jp-InputPrompt").all_inner_texts()  # also of a folded cell, which shows none

    def has_run(self, cell) -> bool:
        prompts = self.prompts(cell)
        if cell.locator(".jp-InputPlaceholder").count():  # a folded cell has no number; those after it have
            return True
        return bool(prompts) and prompts[0].strip("[]: \xa0").isdigit()

    def errors(self) -> list[str]:
        """What a reader would see in red: tracebacks, stderr, and our own message."""
        kinds = (
            "[data-mime-type='application/vnd.jupyter.error']",
            "[data-mime-type='application/vnd.jupyter.stderr']",
            ".initkit-error",
        )
        return [t for cell in self.code_cells() for t in cell.locator(", ".join(kinds)).all_inner_texts()]

    def widget_errors(self) -> list[str]:
        """The console's errors that a widget can have caused; JupyterLab has some of its own offline."""
        ours = ("widget", "comm", "page error", "blob:")
        return [text for text in self.console if any(word in text.lower() for word in ours)]

    def settle(self, image) -> bytes:
        """The picture as shown, once the figure has answered the hand's last move.

        Drafts come as data URLs; the sharp picture that ends every answer is a blob, and each is a new one.
        """
        image.scroll_into_view_if_needed()
        with contextlib.suppress(TimeoutError):  # a move that changes no value gets no answer
            wait_for(lambda: image.get_attribute("src") != self.settled, self.answer, "an answer")
        seen: list[str] = []
        for _ in range(4 * self.soon):
            seen = [*seen, image.get_attribute("src")][-self.rests :]
            if seen == seen[:1] * self.rests and seen[0].startswith("blob:"):
                self.settled = seen[0]
                return image.screenshot()
            self.page.wait_for_timeout(250)
        raise TimeoutError("the picture never came to rest")
