"""The contributors' commands without make, on any system: ``pip install nox``, ``nox`` or ``nox -s lint``.

Each session is the Makefile's target of that name, in an environment of its own with the locked versions. The
Makefile does not call nox: it keeps one environment for all targets, made in a fraction of the time. What is
tested, and how, stands in pyproject.toml for both; tests/unit/test_packaging.py holds these commands to the
Makefile's.
"""

import nox

nox.options.sessions = ["test", "lint"]
nox.options.reuse_existing_virtualenvs = True
PYTEST = ["python", "-m", "pytest", "-n", "auto", "--dist", "loadgroup"]
TESTED = ["tests/notebooks", "tests/papers", "tests/machines", "tests/unit", "initkit"]
NBVAL = ["--nbval-lax", "--nbval-cell-timeout=60", "--nbval-kernel-name=python3"]


def ready(session: nox.Session, extras: str = "course,test") -> None:
    session.install("--constraint", "constraints.txt", "--editable", f".[{extras}]")
    session.env["OPENBLAS_NUM_THREADS"] = "1"  # a worker a core, and the nets are small


@nox.session
def test(session: nox.Session) -> None:
    """The library, the papers, and every notebook in both editions."""
    ready(session)
    session.run(*PYTEST, "-m", "not slow", *NBVAL, "notebooks/zh", *TESTED, *session.posargs)


@nox.session(name="test-slow")
def test_slow(session: nox.Session) -> None:
    """The tests that `test` leaves out for its time."""
    ready(session)
    session.run(*PYTEST, "-m", "slow", *TESTED, *session.posargs)


@nox.session(name="test-lib")
def test_lib(session: nox.Session) -> None:
    """The tests of the library and the papers."""
    ready(session)
    session.run(*PYTEST, "initkit", "tests/unit", "tests/papers", *session.posargs)


@nox.session(name="test-door")
def test_door(session: nox.Session) -> None:
    """Every way in that README names, each from an empty environment."""
    ready(session)
    session.install("uv")
    session.run("python", "-m", "pytest", "tests/door", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, of notebooks too, and types."""
    ready(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("python", "-m", "pytest", "-q", "tests/typing/test_calls.py")


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Mend style, of notebooks too."""
    ready(session)
    session.run("ruff", "check", "--fix-only", ".")
    session.run("ruff", "format", ".")
    session.run("ruff", "check", ".")


@nox.session
def sync(session: nox.Session) -> None:
    """Copy code from English to Chinese, mark stale cells, mend links: ``nox -s sync -- lesson:cell``."""
    ready(session)
    session.run("python", "tools/formats.py")
    session.run("python", "tools/notebooks.py", "sync", "--accept", *session.posargs)


@nox.session
def strip(session: nox.Session) -> None:
    """Drop every stored output that is not compared."""
    ready(session)
    session.run("python", "tools/notebooks.py", "strip")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the reading pages (lessons, design, API) into build/docs."""
    ready(session, "course,test,docs")
    session.run("python", "tools/pages.py", "build/docs")
