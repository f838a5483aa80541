"""A grid of runs, on any executor, that an interruption does not lose."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import json
import os
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .training import bar

__all__ = ["Grid", "sweep"]

Grid: TypeAlias = Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]]
"""Values by argument, of which every combination runs; or the arguments of each run."""


def _cells(grid: Grid) -> list[dict[str, Any]]:
    """The cells of a grid: every combination of a mapping's values, or the mappings of a list.

    Examples
    --------
    >>> _cells({"depth": [2, 20], "init": ["he_normal"]})
    [{'depth': 2, 'init': 'he_normal'}, {'depth': 20, 'init': 'he_normal'}]
    """
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise TypeError(f"grid[{name!r}] must be a sequence of values, not {values!r}")
        return _named([dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())])
    found = list(grid)
    for cell in found:
        if not isinstance(cell, Mapping):
            raise TypeError(f"grid must be a mapping of sequences or a list of mappings, not of {cell!r}")
    return _named([dict(cell) for cell in found])


def _named(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells, if their arguments' names can be columns."""
    for name in {name for cell in found for name in cell}:
        if not isinstance(name, str):
            raise TypeError(f"grid: names of arguments must be texts, not {name!r}")
        if name == "error":
            raise ValueError("grid: no argument may be called 'error', which is a column of its own")
    return found


def sweep(
    fn: Callable[..., Any],
    grid: Grid,
    executor: concurrent.futures.Executor | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """``fn(**cell)`` for every cell of ``grid``: a tidy table, a row a cell, in the grid's order.

    Taught in lesson 06.

    Parameters
    ----------
    fn : callable
        Returns a mapping of column names to values, or one value, which becomes the column "value".
    grid : mapping or list of mappings
        Names of arguments to sequences of values, of which every combination is run; or the cells themselves.
    executor : concurrent.futures.Executor, optional
        Any of ``concurrent.futures``, or Dask's ``Client.get_executor()``. Without one, the cells run here in
        turn.
    path : str or path, optional
        A file of JSON lines, to which every row is added as soon as its cell is done. A later call with this
        file runs only the cells that it lacks or that failed.
    progress : bool
        Show a bar, as in ``train``.

    Returns
    -------
    list of dict
        The cell's arguments, its results, and "error": None, or what ``fn`` raised, as text. A failed cell
        does not end the others. ``pandas.DataFrame(rows)`` reads the rows.

    Raises
    ------
    TypeError
        The grid has another form; with a ``path``, an argument or a result cannot be written as JSON.
    ValueError
        A result is named like an argument, or the file is damaged, is no file of sweep's, or holds the rows
        of a function of another name.

    Notes
    -----
    Functions are told apart by name, and by the arguments of a ``functools.partial``. After a change of the
    function itself, begin a new file.

    Examples
    --------
    >>> sweep(lambda a, b: {"sum": a + b}, {"a": [1, 2], "b": [10]})
    [{'a': 1, 'b': 10, 'sum': 11, 'error': None}, {'a': 2, 'b': 10, 'sum': 12, 'error': None}]
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {fn!r}")
    found = _cells(grid)
    record = _Record(fn, path) if path is not None else None
    keys: list[Any] = [record.key(cell) for cell in found] if record else list(range(len(found)))
    rows = dict(record.done) if record else {}
    missing = {key: cell for key, cell in zip(keys, found, strict=True) if key not in rows}
    with bar(progress, total=len(found), initial=len(found) - len(missing)) as step:
        for key, outcome in _outcomes(fn, missing, executor):
            rows[key] = _row(missing[key], *outcome)
            if record:
                record.add(key, rows[key])
            step()
    # The cell as it was given: what was read from JSON has lists for tuples and arrays.
    return [
        {**cell, **{k: v for k, v in rows[key].items() if k not in cell}}
        for key, cell in zip(keys, found, strict=True)
    ]


def _run(fn: Callable[..., Any], cell: dict[str, Any]) -> tuple[Any, str | None]:
    """What a worker runs: returns the result and the error, one of them None."""
    try:
        return fn(**cell), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _outcomes(
    fn: Callable[..., Any], missing: dict[Any, dict[str, Any]], executor: concurrent.futures.Executor | None
) -> Iterator[tuple[Any, tuple[Any, str | None]]]:
    """Key and outcome of every cell, as they are done."""
    if executor is None:
        for key, cell in missing.items():
            yield key, _run(fn, cell)
        return
    # as_completed would wait for ever for futures that an executor cancels when it is shut down.
    futures: dict[concurrent.futures.Future[Any], Any] = {}
    done: queue.SimpleQueue[concurrent.futures.Future[Any]] = queue.SimpleQueue()
    try:
        for key, cell in missing.items():
            future = executor.submit(functools.partial(_run, fn), cell)
            futures[future] = key
            future.add_done_callback(done.put)
        for _ in futures:
            future = done.get()
            try:
                outcome = future.result()
            except Exception as error:  # the worker died, or its result could not be pickled
                outcome = None, f"{type(error).__name__}: {error}"
            yield futures[future], outcome
    finally:
        for future in futures:
            future.cancel()


def _row(cell: dict[str, Any], result: Any, error: str | None) -> dict[str, Any]:
    if error is None and not isinstance(result, Mapping):
        result = {"value": result}
    result = dict(result or {})
    clash = (set(cell) | {"error"}) & set(result)
    if clash:
        raise ValueError(
            f"fn must not name a result like an argument, or 'error': {', '.join(sorted(clash))}"
        )
    return {**cell, **result, "error": error}


def _name(fn: Any) -> str:
    """A name of the function that is the same in every process: ``repr`` has an address in it."""
    if isinstance(fn, functools.partial):
        given = json.dumps([fn.args, fn.keywords], sort_keys=True, default=_plain)
        return f"{_name(fn.func)} with {given}"
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return f"{named.__module__}.{named.__qualname__}"


class _Record:
    """The file: a line that names the function, then a line a finished cell. A torn last line is dropped."""

    def __init__(self, fn: Callable[..., Any], path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        header = self._line({"initkit sweep": _name(fn)})
        self.done: dict[str, Any] = {}
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            self._read(whole, header)
        elif not header.startswith(content):  # otherwise it is empty, or a torn header
            raise ValueError(f"path: {self.path} is not a file of sweep's; it is left as it is")
        if len(whole) != len(content):
            os.truncate(self.path, len(whole))
        if not whole:
            self._write(header)

    def _read(self, whole: bytes, header: bytes) -> None:
        first, *lines = whole.splitlines()
        if not first.startswith(b'{"initkit sweep": '):
            raise ValueError(f"path: {self.path} is not a file of sweep's; it is left as it is")
        if first != header.strip():
            theirs, ours = (json.loads(line)["initkit sweep"] for line in (first, header))
            raise ValueError(f"path: {self.path} holds the rows of {theirs}, not of {ours}")
        try:
            rows = [json.loads(line) for line in lines]
            self.done = {line["key"]: line["row"] for line in rows if line["row"]["error"] is None}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"path: {self.path} is damaged, and is left as it is: {error!r}") from None

    @staticmethod
    def key(cell: dict[str, Any]) -> str:
        try:
            return json.dumps(cell, sort_keys=True, default=_plain)
        except TypeError as error:
            raise TypeError(
                f"grid: with a path, arguments must be numbers, texts or lists: {error}"
            ) from None

    def add(self, key: str, row: dict[str, Any]) -> None:
        try:
            self._write(self._line({"key": key, "row": row}))
        except TypeError as error:
            raise TypeError(f"fn: with a path, results must be numbers, texts or lists: {error}") from None

    @staticmethod
    def _line(content: dict[str, Any]) -> bytes:
        return (json.dumps(content, default=_plain) + "\n").encode()

    def _write(self, line: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, for JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is none")
