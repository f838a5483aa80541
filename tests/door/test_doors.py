"""Every way in that README names, each from an empty environment elsewhere, to the first page of the course.

Needs a network, or what uv and pip keep of an earlier run. The wheel's way goes on to the end of lesson 01.
"""

import http.server
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile
from pathlib import Path

import bundle
import jupyter_client
import nbformat
import pytest
from reading import Lab, free_port, lab_arguments, wait_for

import initkit
from initkit.command.course import RECORD

ROOT = Path(__file__).parents[2]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
UV = [sys.executable, "-m", "uv"]
LOCKED = ["--constraint", ROOT / "constraints.txt", "--build-constraint", ROOT / "constraints.txt"]


def run(*words, cwd=None, **environment) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """From the source archive, as a release's."""
    folder = tmp_path_factory.mktemp("dist")
    run(*UV, "build", "--quiet", "--build-constraints", ROOT / "constraints.txt", "--out-dir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def environment(tmp_path):
    """An empty one; ``environment(what)`` installs into it and returns the folder of its commands."""
    run(*UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "env")

    def install(*what) -> Path:
        python = tmp_path / "env" / SCRIPTS / "python"
        run(*UV, "pip", "install", "--quiet", "--python", python, *LOCKED, *what, cwd=tmp_path)
        return python.parent

    return install


class Course(Lab):
    """``initkit course``, with its folder, in an empty folder elsewhere."""

    def __init__(self, command, elsewhere: Path):
        self.folder, self.runtime = elsewhere / "我的 course", elsewhere / "runtime"
        port, token = free_port(), "door"
        words = [*command, self.folder, "--lang", "zh", *lab_arguments(port, token)]
        log = elsewhere / "log.txt"
        places = {"JUPYTER_RUNTIME_DIR": str(self.runtime), "PYTHONUTF8": "1"}
        super().__init__([str(word) for word in words], elsewhere, port, token, log, **places)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ask(self, path: str, body=None):
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        return json.load(urllib.request.urlopen(request, timeout=60))

    def has_the_lessons(self) -> bool:
        listed = {entry["name"] for entry in self.ask("/api/contents/zh")["content"]}
        return {path.name for path in (ROOT / "notebooks" / "zh").glob("*.ipynb")} <= listed

    def run_all(self, path: str) -> int:
        """Run every code cell of a lesson in the server's kernel for it; how many there are."""
        session = self.ask(
            "/api/sessions",
            {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}},
        )
        connection = self.runtime / f"kernel-{session['kernel']['id']}.json"
        client = jupyter_client.BlockingKernelClient(connection_file=str(connection))
        client.load_connection_file()
        client.start_channels()
        try:
            wait_for(lambda: ready(client), 120, "the kernel")
            cells = self.ask(f"/api/contents/{path}")["content"]["cells"]
            sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            for source in sources:
                reply = client.execute_interactive(
                    source, timeout=120, allow_stdin=False, output_hook=lambda message: None
                )
                assert reply["content"]["status"] == "ok", (source, reply["content"])
        finally:
            client.stop_channels()
        return len(sources)


def ready(client) -> bool:
    """Both channels carry. ``wait_for_ready`` takes a kernel that is busy starting for a dead one."""
    try:
        client.kernel_info()
        return bool(client.get_shell_msg(timeout=5) and client.get_iopub_msg(timeout=5))
    except queue.Empty:
        return False


def test_a_wheel(wheel, environment, tmp_path):
    """The whole way: to the end of lesson 01, and again after a change of it, which is still there."""
    command = [environment(f"{wheel}[course]") / "initkit", "course"]
    lesson = "zh/01_why_initialization.ipynb"
    with Course(command, tmp_path) as course:
        assert course.has_the_lessons()
        assert course.run_all(lesson) > 10
        settings = course.ask("/lab/api/settings/@jupyterlab/apputils-extension:kernels-settings")
        assert settings["schema"]["properties"]["commsOverSubshells"]["default"] == "disabled"
    changed = nbformat.read(course.folder / lesson, as_version=4)
    changed.cells.append(nbformat.v4.new_markdown_cell("我的笔记"))
    nbformat.write(changed, course.folder / lesson)
    before = {path: path.read_bytes() for path in course.folder.rglob("*") if path.is_file()}
    with Course(command, tmp_path) as course:
        assert course.ask(f"/api/contents/{lesson}")["content"]["cells"][-1]["source"] == "我的笔记"
    assert before == {p: p.read_bytes() for p in before}
    # As if another version had been put there: now there is something to put beside the change.
    record = json.loads((course.folder / RECORD).read_text(encoding="utf-8"))
    (course.folder / RECORD).write_text(json.dumps(record | {lesson: "another"}), encoding="utf-8")
    with Course(command, tmp_path) as course:
        assert (course.folder / lesson).read_bytes() == before[course.folder / lesson]
        new = course.folder / lesson.replace(".", ".new.")
        assert new.read_bytes() == (ROOT / "notebooks" / lesson).read_bytes()
    assert "01_why_initialization.new.ipynb" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_the_library_alone(wheel, environment, tmp_path):
    """Four packages; the core works, the command says what the course needs, and audit reads."""
    scripts = environment(wheel)
    python = scripts / "python"
    listed = json.loads(run(*UV, "pip", "list", "--quiet", "--format", "json", "--python", python))
    assert {p["name"] for p in listed} == {"initkit-course", "numpy", "scipy", "threadpoolctl"}
    program = (
        "import numpy as np, initkit as ik; net = ik.MLP([64, 99, 10], rng=0); data = ik.datasets.digits();"
    )
    program += (
        "ik.train(net, data, lr=.1, epochs=1, rng=0); np.savez('net.npz', **{'0.weight': net.weights[0]})"
    )
    run(python, "-c", program, cwd=tmp_path)
    assert "0.weight" in run(scripts / "initkit", "audit", "net.npz", cwd=tmp_path)
    done = subprocess.run(
        [scripts / "initkit", "course", "--lang", "en"], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 2
    assert "pip install matplotlib ipywidgets tqdm jupyterlab ipykernel" in done.stderr


def test_a_zip_of_the_repository(environment, tmp_path):
    """As GitHub gives it: no .git, all of it in one folder."""
    archive = tmp_path / "initkit-main.zip"
    run("git", "-C", ROOT, "archive", "--prefix", "initkit-main/", "--output", archive, "HEAD")
    command = [environment(f"{archive}[course]") / "python", "-m", "initkit", "course"]
    with Course(command, tmp_path) as course:
        assert course.has_the_lessons()


def test_git(environment, tmp_path):
    clone = tmp_path / "clone.git"
    run("git", "clone", "--quiet", "--bare", ROOT, clone)
    scripts = environment(f"initkit-course[course] @ git+{clone.as_uri()}")
    with Course([scripts / "initkit", "course"], tmp_path) as course:
        assert course.has_the_lessons()


def test_uvx(wheel, tmp_path):
    command = [*UV, "tool", "run", "--constraints", ROOT / "constraints.txt", "--python", sys.executable]
    with Course([*command, "--from", f"{wheel}[course]", "initkit", "course"], tmp_path) as course:
        assert course.has_the_lessons()


def test_pipx(wheel, environment, tmp_path):
    scripts = environment("pipx", "uv")
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    run(scripts / "pipx", "install", "--backend", "uv", f"{wheel}[course]", cwd=tmp_path, **places)
    with Course([tmp_path / "bin" / "initkit", "course"], tmp_path) as course:
        assert course.has_the_lessons()


def test_a_bundle_without_a_network(tmp_path):
    path = bundle.bundle(None, "{}.{}".format(*sys.version_info[:2]), tmp_path)
    with zipfile.ZipFile(path) as packed:
        packed.extractall(tmp_path / "别处 elsewhere")
    (folder,) = (tmp_path / "别处 elsewhere").iterdir()
    nowhere = {"PIP_INDEX_URL": "http://localhost:9/", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    if os.name == "nt":
        run("powershell", "-ExecutionPolicy", "Bypass", "-File", folder / "install.ps1", **nowhere)
    else:
        cut_off = ["unshare", "--net"] if shutil.which("unshare") and os.geteuid() == 0 else []
        run(*cut_off, "sh", folder / "install.sh", PYTHON=sys.executable, **nowhere)
    scripts = folder / "env" / SCRIPTS
    assert (
        run(scripts / "python", "-c", "import initkit; print(initkit.__version__)").strip()
        == initkit.__version__
    )
    with Course([scripts / "initkit", "course"], tmp_path) as course:
        assert course.has_the_lessons()


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a JupyterHub as a single-user server asks for when it starts."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()


def answers(url: str) -> bool:
    try:
        return "version" in json.load(urllib.request.urlopen(url, timeout=5))
    except (OSError, ValueError):
        return False


@pytest.mark.skipif(os.name == "nt", reason="an image is of Linux")
def test_a_jupyterhub_image(hub, tmp_path):
    """The Dockerfile's steps without Docker: in an empty environment, from what the image is built of."""
    source, home = tmp_path / "srv", tmp_path / "home"
    said = (ROOT / "tools" / "hub" / "Dockerfile").read_text(encoding="utf-8")
    steps = re.findall(r"(?m)^([A-Z]+) (.*)$", said.replace("/srv/initkit", str(source)))
    given, ran = dict(steps), [what for kind, what in steps if kind == "RUN"]
    version = given["FROM"].removeprefix("python:").removesuffix("-slim")
    assert f"- python={version} " in (ROOT / "environment.yml").read_text(encoding="utf-8")
    run("git", "-C", ROOT, "archive", "--output", tmp_path / "context.tar", "HEAD")
    shutil.unpack_archive(tmp_path / "context.tar", source, filter="data")
    run(*UV, "venv", "--quiet", "--seed", "--python", sys.executable, tmp_path / "env")
    inside = dict(what.split("=") for kind, what in steps if kind in ("ARG", "ENV") and what[:3] != "UV_")
    inside |= {"PATH": f"{tmp_path / 'env' / SCRIPTS}:{os.environ['PATH']}", "HOME": str(home)}
    for step in ran[:2]:
        run("sh", "-c", step, cwd=source, **{**inside, "HOME": os.environ["HOME"]})  # with the caches
    assert [step.split()[0] for step in ran[2:]] == ["useradd"]
    assert Path(inside["JUPYTER_CONFIG_PATH"], "labconfig").is_dir()
    home.mkdir()
    url = f"http://127.0.0.1:{free_port()}/user/a/"
    told = {"API_TOKEN": "door", "API_URL": hub, "USER": "a", "CLIENT_ID": "jupyterhub-user-a"}
    told |= {"SERVICE_PREFIX": "/user/a/", "SERVICE_URL": url}
    words = [word for kind in ("ENTRYPOINT", "CMD") for word in json.loads(given[kind])]
    with open(tmp_path / "log.txt", "wb") as log:
        server = subprocess.Popen(
            [*words, "--allow-root"],
            cwd=home,
            env=os.environ | inside | {f"JUPYTERHUB_{name}": what for name, what in told.items()},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: answers(f"{url}api"), 90, f"the single-user server (see {tmp_path / 'log.txt'})")
    finally:
        server.terminate()
        server.wait(30)
    lessons = {path.relative_to(ROOT / "notebooks") for path in (ROOT / "notebooks").glob("*/*.ipynb")}
    copied = home / "initkit-course"
    assert {path.relative_to(copied) for path in copied.glob("*/*.ipynb")} == lessons
