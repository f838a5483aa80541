"""Whole notebooks to one worker each, and one closing line that says what ran."""

from importlib.util import find_spec

import pytest

# Doctests import what they look through. tests/unit/test_doctor_torch.py says that it was skipped.
collect_ignore_glob = [] if find_spec("torch") else ["initkit/doctor/torch_*.py"]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":  # nbval's cells share a kernel
            item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


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
