"""The contributors' commands, on any system: ``pip install nox``, then ``nox`` or ``nox -s lint``.

Each is said here alone. A session makes an environment of its own with the locked versions; ``make lint``
runs the same session in .venv, which all of make's targets share and which is made in a fraction of the time.
What comes after ``--`` goes to pytest, or to the tool:
``nox -s lesson -- 09_orthogonal --en "Orthogonal start" --zh 正交初始化``.
"""

import json
import os
import sys
from pathlib import Path

import nox

nox.options.sessions = ["test", "lint"]
nox.options.reuse_existing_virtualenvs = True
# A clone that belongs to somebody else takes no cache.
WRITABLE = os.access(".", os.W_OK)
PYTEST = ["python", "-m", "pytest", *([] if WRITABLE else ["-p", "no:cacheprovider"])]
# One worker more than there are cores: a worker often waits for its kernel.
SPREAD = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadgroup"]
# What takes longest first, so that no worker is left with it at the end.
TESTED = ["tests/notebooks", "tests/papers", "tests/machines", "tests/unit", "initkit"]
NBVAL = ["--nbval-lax", "--nbval-cell-timeout=60", "--nbval-kernel-name=python3"]
# What PyTorch's absence skips has its name in its own, or stands in one of these files (if damaged, as .pt).
NEEDS_TORCH = "torch or doctor_files and not (fuzz and not .pt) or doctor_roles or in_your_framework"
NEEDS_TORCH += " or 06b_rescue or 07_doctor"
# From npm: what finds a page's barriers for who does not see it, or has no mouse; what shows slides.
AXE, REVEAL = "axe-core@4.14.1", "reveal.js@6.0.2"


def ready(session: nox.Session, extras: str = "course,test", npm: tuple[str, ...] = ()) -> None:
    """Install what the session needs; in make's environment all but npm's packages are there."""
    # One thread a worker: the nets are small. PyTorch's threads (OMP) keep a core busy while they wait.
    session.env.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    own = session.virtualenv.is_sandboxed
    prefix = session.virtualenv.location if own else sys.prefix
    if own:
        pins = {"PIP_BUILD_CONSTRAINT": "constraints.txt"}
        session.install("--constraint", "constraints.txt", "--editable", f".[{extras}]", env=pins)
        # Names the folder by a relative path: Python 3.11 and 3.12 read the file in the locale's encoding.
        for path in Path(prefix).glob("**/site-packages/*_initkit_course.pth"):
            path.write_text(f"{os.path.relpath('.', path.parent)}\n", encoding="ascii")
    for package in npm:
        name, version = package.split("@")
        manifest = Path(prefix, "node_modules", name, "package.json")
        if not manifest.exists() or json.loads(manifest.read_text(encoding="utf-8"))["version"] != version:
            quietly = ["--silent", "--no-audit", "--no-fund"]
            session.run("npm", "install", *quietly, "--prefix", prefix, package, external=True)


@nox.session
def test(session: nox.Session) -> None:
    """Test the library, the papers, and every notebook in both editions."""
    ready(session)
    session.run(*PYTEST, *SPREAD, "-m", "not slow", *NBVAL, "notebooks/zh", *TESTED, *session.posargs)


@nox.session(name="test-slow")
def test_slow(session: nox.Session) -> None:
    """Run the tests that `test` leaves out for their time."""
    ready(session)
    session.run(*PYTEST, *SPREAD, "-m", "slow", *TESTED, *session.posargs)


@nox.session(name="test-lib")
def test_lib(session: nox.Session) -> None:
    """Run the tests of the library and the papers."""
    ready(session)
    session.run(*PYTEST, "initkit", "tests/unit", "tests/papers", *session.posargs)


@nox.session(name="test-notebooks")
def test_notebooks(session: nox.Session) -> None:
    """Run the notebooks with nbval and papermill."""
    ready(session)
    session.run(*PYTEST, *SPREAD, *NBVAL, "tests/notebooks", "notebooks/zh", *session.posargs)


@nox.session(name="test-browser")
def test_browser(session: nox.Session) -> None:
    """Read the lessons in a real JupyterLab and Chromium."""
    ready(session, "course,test,browser")
    session.run(*PYTEST, "-n", "2", "tests/browser", *session.posargs)


@nox.session(name="test-pages")
def test_pages(session: nox.Session) -> None:
    """Read the pages in Chromium; axe-core looks at them, too (INITKIT_PAGES=build/docs: those there)."""
    ready(session, "course,test,browser,docs", npm=(AXE, REVEAL))
    pages = os.environ.get("INITKIT_PAGES")
    if not pages:
        pages = "build/docs"
        session.run("python", "tools/pages.py", pages)
    tests = ["tests/site/test_pages.py", *session.posargs]
    session.run(*PYTEST, "-n", "2", *tests, env={"INITKIT_PAGES": pages})


@nox.session(name="test-site")
def test_site(session: nox.Session) -> None:
    """Run the course in Chromium, no server behind it (INITKIT_SITE=_site: the one there)."""
    ready(session, "course,test,browser,site")
    site = os.environ.get("INITKIT_SITE")
    if not site:  # with Pyodide inside, of what a Python package index has
        site = "build/site"
        session.run("python", "tests/site/distribution.py", "build/pyodide")
        session.run("python", "tools/lite.py", f"{site}/lite", "--offline", "build/pyodide")
    tests = ["tests/site/test_course.py", *session.posargs]
    session.run(*PYTEST, "-n", "2", *tests, env={"INITKIT_SITE": site})


@nox.session(name="test-door")
def test_door(session: nox.Session) -> None:
    """Try every way in that README names, each from an empty environment."""
    ready(session)
    if session.virtualenv.is_sandboxed:
        session.install("uv")
    session.run(*PYTEST, "-n", "2", "tests/door", *session.posargs)


@nox.session(name="test-grade")
def test_grade(session: nox.Session) -> None:
    """Grade a class's notebooks (apt-get install bubblewrap: the hostile ones too)."""
    ready(session)
    session.run(*PYTEST, "-n", "2", "tests/grading", *session.posargs)


@nox.session(name="test-binder")
def test_binder(session: nox.Session) -> None:
    """Let repo2docker read this repository as Binder does."""
    ready(session, "course,test,binder")
    session.run(*PYTEST, "tests/binder", *session.posargs)


@nox.session(name="test-torch")
def test_torch(session: nox.Session) -> None:
    """Run the doctor's tests and lessons, and the others' cells, with PyTorch (`test` does without)."""
    ready(session, "course,test,torch")
    doctor = sorted(
        f"tests/unit/{name}" for name in os.listdir("tests/unit") if name.startswith("test_doctor")
    )
    lessons = ["notebooks/zh/06b_rescue.ipynb", "notebooks/zh/07_doctor.ipynb"]
    others = ["tests/unit/test_in_your_framework.py", *lessons, "tests/notebooks/test_papermill.py"]
    session.run(*PYTEST, *SPREAD, *NBVAL, "-k", NEEDS_TORCH, *doctor, *others, *session.posargs)


@nox.session(name="test-machines")
def test_machines(session: nox.Session) -> None:
    """Run the tests as four other CPUs would (Nehalem Prescott: these)."""
    ready(session)
    session.run("python", "tools/machines.py", *session.posargs)


@nox.session
def jolt(session: nox.Session) -> None:
    """Does anything printed or claimed hang on the last bit? (--seed 7 --only 05)"""
    ready(session)
    session.run("python", "tools/jolt.py", *session.posargs)


@nox.session
def papers(session: nox.Session) -> None:
    """Check the papers' claims, jolted too, and write tests/papers/RESULTS.md."""
    ready(session)
    session.run("python", "tools/jolt.py", "--jolts", "2", "--only", "papers")
    session.run(*PYTEST, "tests/papers", *session.posargs, env={"INITKIT_WRITE_PAPERS": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, of notebooks too, and types."""
    ready(session)
    no_cache = [] if WRITABLE else ["--no-cache"]
    session.run("ruff", "check", *no_cache, ".")
    session.run("ruff", "format", "--check", *no_cache, ".")
    session.run("mypy", *([] if WRITABLE else ["--cache-dir", os.devnull]))
    session.run(*PYTEST, "-q", "tests/typing/test_calls.py")


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Mend style, of notebooks too."""
    ready(session)
    session.run("ruff", "check", "--fix-only", ".")
    session.run("ruff", "format", ".")
    session.run("ruff", "check", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the reading pages (lessons, design, API) into build/docs."""
    ready(session, "course,test,docs")
    session.run("python", "tools/pages.py", "build/docs")


@nox.session
def slides(session: nox.Session) -> None:
    """Make a lesson's slides in build/slides (--lesson 04 --lang zh)."""
    ready(session, "course,test,docs", npm=(REVEAL,))
    session.run("python", "tools/slides.py", *session.posargs)


@nox.session
def lesson(session: nox.Session) -> None:
    """Make a lesson's skeleton (09_orthogonal --en "Orthogonal start" --zh 正交初始化)."""
    ready(session)
    session.run("python", "tools/lesson.py", *session.posargs)


@nox.session
def sync(session: nox.Session) -> None:
    """Copy code from English to Chinese, mark stale cells, mend links (lesson:cell … to accept)."""
    ready(session)
    session.run("python", "tools/formats.py")
    session.run("python", "tools/notebooks.py", "sync", "--accept", *session.posargs)


@nox.session
def strip(session: nox.Session) -> None:
    """Drop every stored output that is not compared."""
    ready(session)
    session.run("python", "tools/notebooks.py", "strip")


@nox.session
def record(session: nox.Session) -> None:
    """Run notebooks, store what is compared, if it stands two jolts (--lesson 05: only this)."""
    ready(session)
    session.run("python", "tools/notebooks.py", "record", "--jolts", "2", *session.posargs)
