"""What a reader has done is kept between sessions, of both editions together; nothing is lost."""

import json
import os

import pytest

from initkit import course
from initkit.course.progress import FILE


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "zh").mkdir()
    (tmp_path / "en").mkdir()
    monkeypatch.chdir(tmp_path / "zh")
    monkeypatch.delenv("INITKIT_PROGRESS")
    return tmp_path


def rows(lang="en"):
    """Of the shown table, the words of each row."""
    shown = course.progress(lang=lang).shown.value
    cells = [row.replace("<", "\n<").split("\n") for row in shown.split("<tr>")[1:]]
    return [[part.partition(">")[2] for part in row if part.startswith(("<td", "<th"))] for row in cells]


def answered(name, letter):
    course.quiz(name, lang="zh").buttons.value = letter


def test_questions_exercises_and_scores_are_kept(folder, monkeypatch):
    answered("02.1", "b")
    assert course.check("05.1", 1, lang="zh").ok is False
    assert course.check("05.2", (2 / 3) ** 0.5, lang="zh").ok
    assert course.score("04", 12, lang="en") == "Score 12; your best is 12."
    assert course.score("04", 7, lang="en") == "Score 7; your best is 12."
    monkeypatch.chdir(folder / "en")  # the other edition
    by_lesson = {row[0]: row[1:] for row in rows()}
    assert by_lesson["02"][0].startswith("1/")
    assert by_lesson["05"][1:] == ["1/3", ""]
    assert by_lesson["04"][1:] == ["0/3", "12"]
    assert [path.name for path in folder.iterdir() if path.is_file()] == [FILE]
    assert "\n" not in (folder / FILE).read_text(encoding="utf-8")


def test_a_change_of_mind_counts_as_it_is_last(folder):
    for letter, right in (("b", "1/"), ("a", "0/"), ("b", "1/")):
        answered("02.1", letter)
        assert {row[0]: row[1] for row in rows()}["02"].startswith(right)


def test_starting_over_puts_the_file_aside(folder):
    answered("02.1", "b")
    shown = course.progress(lang="en")
    shown.children[1].click()
    assert {row[0]: row[1] for row in rows()}["02"].startswith("0/")
    assert (folder / "initkit-progress.old.json").exists()
    shown.children[1].click()
    assert (folder / "initkit-progress.old.json").exists()


@pytest.mark.parametrize("there", ["", "[]", '{"scores": 3}', "笔记", '{"scores": {"04": null}}'])
def test_what_is_no_such_file_stays_as_it_is(folder, there):
    (folder / FILE).write_text(there, encoding="utf-8")
    if "null" not in there:
        answered("02.1", "b")
        assert (folder / FILE).read_text(encoding="utf-8") == there
    assert rows("zh")[0][0] == "课"
    course.score("04", 1, lang="zh")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows' read-only folders can be written to")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_where_nothing_can_be_written_nothing_is_said(folder):
    folder.chmod(0o500)
    answered("02.1", "b")
    assert list(folder.glob("*.json")) == []


def test_what_others_kept_beside_ours_stays(folder):
    (folder / FILE).write_text(json.dumps({"scores": {"99": 5.0}}), encoding="utf-8")
    answered("02.1", "b")
    kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
    assert kept["scores"] == {"99": 5.0}
    assert kept["questions"] == {"02.1": True}


def test_off_nothing_is_kept(folder, monkeypatch):
    monkeypatch.setenv("INITKIT_PROGRESS", "off")
    answered("02.1", "b")
    assert not (folder / FILE).exists()
