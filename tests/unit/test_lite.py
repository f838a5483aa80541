"""What goes into the course that runs in a browser. That it runs: tests/site."""

import zipfile

import lite
import pytest


def test_what_is_needed_comes_with_what_it_depends_on():
    packages = {
        "a": {"depends": ["B_c"]},
        "b-c": {"depends": ["d", "a"]},
        "d": {"depends": []},
        "e": {"depends": ["d"]},
    }
    assert list(lite.needed(packages, ["A", "not there"])) == ["a", "b-c", "d"]


def test_a_damaged_or_missing_file_stops_the_build(tmp_path):
    (tmp_path / "there").write_bytes(b"changed")
    with pytest.raises(SystemExit, match="another or a damaged one"):
        lite.copy_checked(tmp_path / "there", tmp_path / "out", "0" * 64)
    with pytest.raises(SystemExit, match="missing"):
        lite.copy_checked(tmp_path / "not there", tmp_path / "out", "0" * 64)


def test_a_wheel_is_listed_under_its_name(tmp_path):
    wheel, folder = tmp_path / "initkit_course-1.2-py3-none-any.whl", tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("initkit/__init__.py", "")
        packed.writestr("initkit/notebooks/en/00.ipynb", "{}")
    lighter = lite.without_lessons(wheel, folder)
    with zipfile.ZipFile(lighter) as packed:
        assert packed.namelist() == ["initkit/__init__.py"]
    listed = lite.entry("initkit", lighter, ["numpy"])
    assert (listed["file_name"], listed["version"], listed["imports"]) == (wheel.name, "1.2", ["initkit"])
