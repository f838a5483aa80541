"""Whole notebooks to one worker each, its kernels on ports of their own, and one line that says what ran."""

import gc
import itertools
import os
import socket
import zlib
from importlib.util import find_spec

import hypothesis
import pytest
from jupyter_client.connect import LocalPortCache

# Doctests import what they look through. tests/unit/test_doctor_torch.py says that it was skipped.
collect_ignore_glob = [] if find_spec("torch") else ["initkit/doctor/torch_*.py"]


# A bar of train's or sweep's appears after two seconds: what a cell prints would hang on the machine's speed.
os.environ["TQDM_DISABLE"] = "1"
# What a test answers is no reader's progress.
os.environ["INITKIT_PROGRESS"] = "off"

# The same examples everywhere, however slow the machine is, and nothing written: the folder may be another's.
hypothesis.settings.register_profile(
    "initkit",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("initkit")

# jupyter_client asks the system for ports and lets them go, for the kernel to take: another worker's kernel
# may take them before (papermill issue 511), and nbval then waits without end. So each worker has ports of
# its own, below those that the system gives away, and another run beside this one has most likely others.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_run = zlib.crc32(os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())).encode())
_first = 20_000 + 100 * ((_run + _worker) % 125)
_ports = itertools.cycle(range(_first, _first + 100))


def _free_port(self, ip):
    for port in _ports:
        with socket.socket() as free:
            try:
                free.bind((ip, port))
            except OSError:
                continue
        self.currently_used_ports.add(port)
        return port


LocalPortCache.find_available_port = _free_port


@pytest.fixture
def between(request):
    """between(what, value, low, high) asserts low ≤ value ≤ high, and tells ``make jolt`` all four."""

    def check(what, value, low, high):
        request.node.user_properties.append(("between", (what, float(value), float(low), float(high))))
        assert low <= value <= high, f"{what}: {value:.6g}, wanted {low:.6g} to {high:.6g}"

    return check


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":  # nbval's cells share a kernel
            item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


def pytest_collection_finish():
    """What is there now stays to the end: the garbage collector need not look through it again."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, exitstatus):
    calls = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    cells = [report for report in calls if ".ipynb::" in report.nodeid]
    runs = [report for report in calls if "test_papermill.py::test_lesson_runs" in report.nodeid]
    books = {report.nodeid.split("::")[0] for report in cells}
    terminalreporter.write_line(
        f"initkit: {len(calls) - len(cells)} tests and {len(books)} notebooks ran "
        f"({len(cells)} cells with nbval, {len(runs)} whole runs with papermill): "
        + ("all passed" if exitstatus == 0 else f"NOT all passed (exit {int(exitstatus)})")
    )
