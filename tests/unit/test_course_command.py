"""`initkit course` copies the lessons and loses nothing of a reader's, whatever was there before."""

import json
import os
import sys
from pathlib import Path

import pytest

from initkit.command import course, main

NAMES = ("en/00.ipynb", "en/05.ipynb", "zh/00.ipynb")


def release(folder: Path, version: str) -> Path:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} {version}", encoding="utf-8")
    return folder


def files(folder: Path) -> dict[str, str]:
    """All that a reader sees."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def of(version: str) -> dict[str, str]:
    return {name: f"{name} {version}" for name in NAMES}


@pytest.fixture
def old(tmp_path):
    return release(tmp_path / "old", "1")


@pytest.fixture
def new(tmp_path):
    return release(tmp_path / "new", "2")


@pytest.fixture
def folder(tmp_path, old):
    """With the old lessons in it, and a name that shells and consoles dislike."""
    folder = tmp_path / ("我的 course (1)" if sys.getfilesystemencoding() != "ascii" else "a course (1)")
    assert course.copy(old, folder) == []
    assert files(folder) == of("1")
    return folder


def test_a_new_version_replaces_what_nobody_changed(folder, new):
    assert course.copy(new, folder) == []
    assert files(folder) == of("2")


def test_a_new_version_goes_beside_what_the_reader_changed(folder, old, new):
    (folder / "en/05.ipynb").write_text("mine", encoding="utf-8")
    assert course.copy(old, folder) == []  # again the lesson that it is a change of: nothing to put beside it
    assert files(folder) == of("1") | {"en/05.ipynb": "mine"}
    for _ in range(2):  # the second time there is nothing to do
        course.copy(new, folder)
        assert files(folder) == of("2") | {"en/05.ipynb": "mine", "en/05.new.ipynb": "en/05.ipynb 2"}


def test_what_was_kept_is_said_once(folder, new):
    (folder / "en/05.ipynb").write_text("mine", encoding="utf-8")
    assert course.copy(new, folder) == [("en/05.ipynb", "en/05.new.ipynb")]
    assert course.copy(new, folder) == []


def test_versions_later_what_is_beside_is_replaced_or_kept_by_the_same_rule(folder, new, tmp_path):
    (folder / "en/05.ipynb").write_text("mine", encoding="utf-8")
    course.copy(new, folder)
    course.copy(release(tmp_path / "3", "3"), folder)
    beside = {"en/05.ipynb": "mine", "en/05.new.ipynb": "en/05.ipynb 3"}
    assert files(folder) == of("3") | beside
    (folder / "en/05.new.ipynb").write_text("mine, too", encoding="utf-8")
    assert course.copy(release(tmp_path / "4", "4"), folder) == [("en/05.ipynb", "en/05.new2.ipynb")]
    beside = {"en/05.ipynb": "mine", "en/05.new.ipynb": "mine, too", "en/05.new2.ipynb": "en/05.ipynb 4"}
    assert files(folder) == of("4") | beside


def test_files_of_unknown_origin_are_the_readers(tmp_path, old):
    """A copy made by hand, or a folder whose record is lost or damaged."""
    for said in (None, "not JSON", "[]", '{"en/05.ipynb": 3}'):
        folder = tmp_path / f"by hand {said}"[:12]
        release(folder, "0")
        if said:
            (folder / course.RECORD).write_text(said, encoding="utf-8")
        course.copy(old, folder)
        assert files(folder) == of("0") | {n.replace(".", ".new."): t for n, t in of("1").items()}


def test_a_deleted_lesson_comes_back(folder, old):
    (folder / "en/05.ipynb").unlink()
    course.copy(old, folder)
    assert files(folder) == of("1")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", range(len(NAMES)))
def test_an_interrupted_copy_is_finished_later(folder, new, monkeypatch, interruption, after):
    (folder / "en/05.ipynb").write_text("mine", encoding="utf-8")
    replace, calls = Path.replace, []

    def breaks(self, target):
        calls.append(target)
        if len(calls) == after + 1:
            raise interruption
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises((KeyboardInterrupt, OSError)):
        course.copy(new, folder)
    monkeypatch.undo()
    there = files(folder)
    assert there["en/05.ipynb"] == "mine"
    assert set(there.values()) <= {*of("1").values(), *of("2").values(), "mine"}  # no half of a file
    course.copy(new, folder)
    assert files(folder) == of("2") | {"en/05.ipynb": "mine", "en/05.new.ipynb": "en/05.ipynb 2"}
    assert not [path for path in folder.rglob(".*") if path.name != course.RECORD]


def test_a_copy_whose_process_was_ended_is_finished_later(folder, new):
    """Without a record of the last files, which are then whole lessons all the same."""
    record = (folder / course.RECORD).read_bytes()
    course.copy(new, folder)
    (folder / course.RECORD).write_bytes(record)
    course.copy(new, folder)
    assert files(folder) == of("2")


def test_where_nothing_is_new_nothing_is_written(folder, old):
    """So a read-only folder opens, when it has the lessons."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    course.copy(old, folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows' read-only folders can be written to")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(folder, capsys):
    for path in (folder / "en", folder / "zh", folder):
        path.chmod(0o500)
    assert main(["course", str(folder), "--lang", "en"]) == 2
    assert f"cannot write to {folder}: Permission denied" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a folder where not even root may write")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_folder_that_cannot_be_made_is_named(lang, capsys):
    assert main(["course", "/proc/a course", "--lang", lang]) == 2
    assert "/proc/a course" in capsys.readouterr().err


def test_a_file_is_no_folder(tmp_path, capsys):
    path = tmp_path / "a file"
    path.write_text("mine", encoding="utf-8")
    assert main(["course", str(path), "--lang", "en"]) == 2
    assert f"cannot write to {path}" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_clones_own_lessons_are_read_where_they_are(old):
    before = files(old)
    assert course.copy(old, old) == []
    assert files(old) == before
    assert not (old / course.RECORD).exists()


def test_the_clones_lessons_are_found():
    assert (course.lessons() / "zh" / course.FIRST).exists()


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(course, "find_spec", lambda name: None if name in ("jupyterlab", "tqdm") else name)
    assert main(["course", "--lang", "en"]) == 2
    assert capsys.readouterr().err == ("initkit course needs tqdm, jupyterlab: pip install tqdm jupyterlab\n")


@pytest.mark.parametrize(
    ("given", "folder", "options"),
    [
        ([], None, []),
        (["here"], "here", []),
        (["--port=9", "here"], "here", ["--port=9"]),
        (["--port", "9", "here"], "here", ["--port", "9"]),
        (["here", "--port", "9"], "here", ["--port", "9"]),
        (["--no-browser", "here"], "here", ["--no-browser"]),
        (["--allow-root", "--no-browser", "--lang=zh", "a b"], "a b", ["--no-browser", "--allow-root"]),
    ],
)
def test_options_go_to_jupyterlab(given, folder, options, monkeypatch, tmp_path):
    called = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "jupyterlab", lambda *asked: called.append(asked) or 7)
    assert main(["course", *given]) == 7
    ((where, _, passed, _),) = called
    assert where == tmp_path / (folder or course.FOLDER)
    assert passed == options
    assert (where / "zh" / course.FIRST).exists()


def test_a_home_that_cannot_be_written_to_is_not_needed(monkeypatch, tmp_path):
    labapp = pytest.importorskip("jupyterlab.labapp")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setattr(labapp, "main", lambda _: None)
    assert course.jupyterlab(tmp_path, course.FIRST, [], "en") == 0
    assert os.access(os.environ["HOME"], os.W_OK)


def test_in_the_folder_itself_it_is_used(monkeypatch, tmp_path, old):
    course.copy(old, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "jupyterlab", lambda folder, *_: 0 if folder == tmp_path else 1)
    assert main(["course"]) == 0


def test_two_folders_are_too_many(capsys):
    assert main(["course", "one", "two"]) == 2
    assert "one folder, not 'one' and 'two'" in capsys.readouterr().err


def test_the_record_has_a_checksum_for_every_lesson(folder):
    assert set(json.loads((folder / course.RECORD).read_text(encoding="utf-8"))) == set(NAMES)
