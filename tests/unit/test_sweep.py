"""Grids of runs: order, failures, interruptions, and a real cluster of two processes."""

import concurrent.futures
import functools
import json
import os
import subprocess
import sys
import threading

import cloudpickle
import numpy as np
import pytest

import initkit as ik
from initkit.sweep import _cells

GRID = {"a": [1, 2, 3], "b": [10, 20]}
calls = []


def work(a, b):
    calls.append((a, b))
    if (a, b) == (2, 20):
        raise ZeroDivisionError("two and twenty")
    return {"sum": a + b, "array": np.arange(a), "number": np.float32(0.5)}


def check(rows):
    assert [(row["a"], row["b"]) for row in rows] == [(a, b) for a in (1, 2, 3) for b in (10, 20)]
    failed = [row for row in rows if row["error"]]
    assert failed == [{"a": 2, "b": 20, "error": "ZeroDivisionError: two and twenty"}]
    assert [row["sum"] for row in rows if not row["error"]] == [11, 21, 12, 13, 23]


def test_rows_come_in_order_and_a_failure_is_a_row():
    check(ik.sweep(work, GRID))


def test_any_executor_will_do():
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        check(ik.sweep(work, GRID, executor))


@pytest.mark.slow
def test_dask(tmp_path):
    """A real local cluster: a scheduler and two worker processes."""
    from distributed import Client

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with Client(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path
        ) as client:
            rows = ik.sweep(where, {"a": range(6)}, client.get_executor(), path=tmp_path / "rows")
            check(ik.sweep(work, GRID, client.get_executor()))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert [row["a"] for row in rows] == list(range(6))
    assert len({row["value"] for row in rows}) == 2


def where(a):
    import os
    import time

    time.sleep(0.2)
    return os.getpid()


def test_a_file_keeps_what_is_done(tmp_path):
    path = tmp_path / "rows.jsonl"
    calls.clear()
    first = ik.sweep(work, {"a": [1, 2], "b": [10, 20]}, path=path)
    assert len(calls) == 4
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5
    calls.clear()
    rows = ik.sweep(work, GRID, path=path)
    assert calls == [(2, 20), (3, 10), (3, 20)]  # the failed one again, and the new ones
    check(rows)
    assert rows[0]["array"] == [0]
    assert first[0] == {"a": 1, "b": 10, "sum": 11, "array": pytest.approx([0]), "number": 0.5, "error": None}


def test_an_interruption_loses_one_cell_at_most(tmp_path):
    path = tmp_path / "rows.jsonl"

    def stops(a):
        if a == 3:
            raise KeyboardInterrupt
        return a * a

    with pytest.raises(KeyboardInterrupt):
        ik.sweep(stops, {"a": range(6)}, path=path)
    with open(path, "a", encoding="utf-8") as file:  # and a line that was torn
        file.write('{"key": "{\\"a\\": 3}", "ro')
    seen = []

    def goes_on(a):
        seen.append(a)
        return a * a

    goes_on.__qualname__ = stops.__qualname__
    rows = ik.sweep(goes_on, {"a": range(6)}, path=path)
    assert seen == [3, 4, 5]
    assert [row["value"] for row in rows] == [0, 1, 4, 9, 16, 25]
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_list_of_cells_and_one_value():
    rows = ik.sweep(lambda a, b=0: a + b, [{"a": 1}, {"a": 2, "b": 3}])
    assert rows == [{"a": 1, "value": 1, "error": None}, {"a": 2, "b": 3, "value": 5, "error": None}]
    assert _cells({"a": []}) == []
    assert ik.sweep(work, []) == []


@pytest.mark.parametrize(
    ("fn", "grid", "error", "message"),
    [
        (3, {"a": [1]}, TypeError, "fn must be callable, not 3"),
        (work, {"a": "tanh"}, TypeError, r"grid\['a'\] must be a sequence"),
        (work, {"a": 3}, TypeError, r"grid\['a'\] must be a sequence"),
        (work, [1, 2], TypeError, "grid must be"),
        (work, [{1: 2}], TypeError, "names of arguments must be texts, not 1"),
        (lambda **k: 1, {"error": [1]}, ValueError, "no argument may be called 'error'"),
        (dict, {"a": [1]}, ValueError, "must not name a result like an argument, or 'error': a"),
    ],
)
def test_bad_input_is_told(fn, grid, error, message):
    with pytest.raises(error, match=message):
        ik.sweep(fn, grid)


def test_what_a_file_cannot_hold_is_told(tmp_path):
    with pytest.raises(TypeError, match="grid: with a path, arguments must be"):
        ik.sweep(lambda a: 1, {"a": [work]}, path=tmp_path / "rows")
    with pytest.raises(TypeError, match="fn: with a path, results must be"):
        ik.sweep(lambda a: work, {"a": [1]}, path=tmp_path / "other")
    note = tmp_path / "note.txt"
    note.write_text("my notes\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a file of sweep's"):
        ik.sweep(work, GRID, path=note)
    assert note.read_text(encoding="utf-8") == "my notes\n"
    ik.sweep(where, {"a": []}, path=tmp_path / "rows of another")
    with pytest.raises(ValueError, match=r"holds the rows of .*where, not of .*work"):
        ik.sweep(work, GRID, path=tmp_path / "rows of another")


def test_names_are_the_same_in_every_process(tmp_path):
    """A partial's and an object's too; what a partial gives is part of the name."""
    program = (
        "import sys, functools, initkit as ik\n"
        "def run(a, b): print('ran', a); return a * b\n"
        "class Call:\n    def __call__(self, a): print('ran', a); return a\n"
        "for name, fn in (('p', functools.partial(run, b=2)), ('o', Call())):\n"
        f"    ik.sweep(fn, {{'a': [1, 2]}}, path={str(tmp_path)!r} + '/' + name)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
        ).stdout
        for _ in range(2)
    ]
    assert outputs == ["ran 1\nran 2\nran 1\nran 2\n", ""]
    with pytest.raises(ValueError, match="holds the rows of"):
        ik.sweep(functools.partial(work, b=3), {"a": [1]}, path=tmp_path / "p")


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_torn_header_is_as_good_as_none(tmp_path, cut):
    path = tmp_path / "rows"
    ik.sweep(where, {"a": []}, path=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    ik.sweep(where, {"a": []}, path=path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["", "{}", "nonsense", '{"key": 1}'])
def test_a_damaged_file_is_told_and_left(tmp_path, line):
    path = tmp_path / "rows"
    ik.sweep(where, {"a": []}, path=path)
    path.write_bytes(path.read_bytes() + f"{line}\n".encode())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"path: .* is damaged, and is left as it is"):
        ik.sweep(where, {"a": []}, path=path)
    assert path.read_bytes() == before


def test_a_complete_file_may_be_read_only(tmp_path):
    path = tmp_path / "rows"
    first = ik.sweep(where, {"a": [1]}, path=path)
    truncate, os.truncate = os.truncate, None  # as root, permissions would stop nobody
    try:
        assert ik.sweep(where, {"a": [1]}, path=path) == first
    finally:
        os.truncate = truncate


def test_cells_come_back_as_they_were_given(tmp_path):
    grid = [{"a": (1, 2), "b": 1}, {"b": 1, "a": (3, 4)}]
    for _ in range(2):
        rows = ik.sweep(lambda a, b: sum(a) + b, grid, path=tmp_path / "rows")
        assert [row["a"] for row in rows] == [(1, 2), (3, 4)]
        assert [row["value"] for row in rows] == [4, 8]


def test_keys_are_names_and_values(tmp_path):
    """{a: 1} is not {b: 1}, and the order of names does not matter."""
    calls.clear()
    path = tmp_path / "rows"

    def either(a=0, b=0):
        calls.append((a, b))
        return a + 10 * b

    assert [r["value"] for r in ik.sweep(either, [{"a": 1}, {"b": 1}], path=path)] == [1, 10]
    ik.sweep(either, [{"a": 1, "b": 2}], path=path)
    ik.sweep(either, [{"b": 2, "a": 1}], path=path)
    assert calls == [(1, 0), (0, 1), (1, 2)]


def test_a_worker_that_dies_is_a_row():
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        rows = ik.sweep(os._exit, [{}], executor)  # os._exit() wants an argument: an error, in the worker
        assert rows[0]["error"].startswith("TypeError")
        rows = ik.sweep(functools.partial(os._exit, 1), [{}], executor)
    assert rows[0]["error"].startswith("BrokenProcessPool")


def test_a_row_is_on_the_disk_before_the_next_cell_begins(tmp_path, monkeypatch):
    """What os.fsync sees is what a power cut leaves."""
    path, kept, sync = tmp_path / "rows", [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sync(file), kept.append(path.read_bytes().count(b"\n"))))

    def before(a):
        return len(kept)

    rows = ik.sweep(before, {"a": range(3)}, path=path)
    assert [row["value"] for row in rows] == [1, 2, 3]  # the header, and a row for every cell before
    assert kept == [1, 2, 3, 4]


@pytest.mark.parametrize("left", [0, 1, 0.5, -1])
def test_a_half_written_row_is_run_again_and_no_other(tmp_path, left):
    """Of the last line so much is there: nothing, a byte, half, all but its end."""
    path = tmp_path / "rows"
    calls.clear()
    grid = {"a": [1, 3], "b": [10, 20]}
    first = ik.sweep(work, grid, path=path)
    whole = path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    keep = {0: start, 1: start + 1, 0.5: (start + len(whole)) // 2, -1: len(whole) - 1}[left]
    path.write_bytes(whole[:keep])
    calls.clear()
    rows = ik.sweep(work, grid, path=path)
    assert calls == [(3, 20)]
    assert [row["sum"] for row in rows] == [row["sum"] for row in first]
    assert path.read_bytes() == whole


def test_a_full_disk_ends_the_sweep_and_loses_no_row(tmp_path, monkeypatch):
    path, sync = tmp_path / "rows", os.fsync

    def full(file):
        if len(calls) == 2:  # half of its line is out
            os.truncate(path, path.stat().st_size - 10)
            raise OSError(28, "No space left on device")
        sync(file)

    calls.clear()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ik.sweep(work, GRID, path=path)
    monkeypatch.undo()
    assert calls == [(1, 10), (1, 20)]
    calls.clear()
    check(ik.sweep(work, GRID, path=path))
    assert calls[0] == (1, 20)
    assert len(calls) == 5


class Submitted(concurrent.futures.ThreadPoolExecutor):
    """One worker; ``all``: set when so many cells are in."""

    def __init__(self, count):
        super().__init__(1)
        self.missing, self.all = count, threading.Event()

    def submit(self, *arguments):
        future = super().submit(*arguments)
        self.missing -= 1
        if not self.missing:
            self.all.set()
        return future


def test_a_cancelled_cell_is_a_row_and_tried_again(tmp_path):
    """As where an executor is shut down while cells wait in it."""
    path, found = tmp_path / "rows", []

    def shuts(a):
        if executor:
            executor.all.wait(20)
            executor.shutdown(wait=False, cancel_futures=True)
        return a

    executor = Submitted(3)
    # In a thread, so that waiting for ever would fail this test instead of stopping all.
    thread = threading.Thread(
        target=lambda: found.extend(ik.sweep(shuts, {"a": range(3)}, executor, path=path)), daemon=True
    )
    thread.start()
    thread.join(20)
    assert [row.get("value") for row in found] == [0, None, None]
    assert [row["error"] for row in found] == [None, "CancelledError: ", "CancelledError: "]
    executor = None
    assert [row["value"] for row in ik.sweep(shuts, {"a": range(3)}, path=path)] == [0, 1, 2]


@pytest.mark.parametrize("where", ["a cell", "the file", "the executor"])
def test_an_interruption_cancels_what_waits(tmp_path, monkeypatch, where):
    """Cell 0 is done; cells 3 to 5 wait while it comes: they are not run, nor is cell 0 run again."""
    path, ran, gate = tmp_path / "rows", [], threading.Event()
    record = ik.sweep.__globals__["_Record"]
    add = record.add
    executor = Submitted(6)

    def cell(a):
        executor.all.wait(1)
        ran.append(a)
        if where == "a cell" and a == 1:
            raise KeyboardInterrupt
        if a == 2:
            gate.wait(20)
        return a

    def writes(self, key, row):
        add(self, key, row)
        if where == "the file":
            raise KeyboardInterrupt

    def submits(*arguments):
        if executor.missing == 1:
            raise KeyboardInterrupt
        return Submitted.submit(executor, *arguments)

    monkeypatch.setattr(record, "add", writes)
    if where == "the executor":
        executor.submit = submits
    with executor:
        with pytest.raises(KeyboardInterrupt):
            ik.sweep(cell, {"a": range(6)}, executor, path=path)
        gate.set()
    assert set(ran) <= {0, 1, 2}
    monkeypatch.undo()
    done = [json.loads(line)["row"]["a"] for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert done == ([] if where == "the executor" else [0])
    again = []
    ik.sweep(cell_again(cell, again), {"a": range(6)}, path=path)
    assert again == [a for a in range(6) if a not in done]


def cell_again(cell, again):
    """Another function of that name."""

    def other(a):
        again.append(a)

    other.__qualname__ = cell.__qualname__
    return other
