"""`initkit grade`: what runs of a notebook, what crosses back, what is said. A class: `make test-grade`."""

import csv
import io
import json
import re

import numpy as np
import pytest

import initkit as ik
from initkit import course
from initkit.command import cells, grade, main, nbgrader
from initkit.command.course import lessons

LESSONS = {lesson.name: lesson for lesson in grade.known_lessons()}
PATH = {path.name.partition("_")[0]: path for path in (lessons() / "en").glob("*.ipynb")}


def sources(lesson: str, **changed: str) -> list[str]:
    code = [cell | {"source": changed.get(cell["id"], cell["source"])} for cell in grade.read(PATH[lesson])]
    return [cell.exercise or cell.source for cell in grade.planned(code, LESSONS[lesson])]


def test_every_exercise_of_the_course_is_known():
    from initkit.course.registry import CHECKS

    assert sorted(e for lesson in LESSONS.values() for e in lesson.checks.values()) == sorted(CHECKS)


def test_of_the_lessons_own_cells_those_run_that_an_answer_needs():
    plan = sources("05")
    assert [cell for cell in plan if cell in ("05.1", "05.2")] == ["05.1", "05.2"]
    assert not any("live." in cell and "import" not in cell for cell in plan)
    assert not any("ik.train" in cell for cell in plan)
    assert not any("SOLVE:" in cell for cell in plan), "a solution"
    needy = sources("04", **{"answer-1": "answer = x"})
    assert any("x, y = data.x_train" in cell for cell in needy), "x is the lesson's"
    assert "import numpy as np\n%timeit 1" in sources("05", **{"answer-1": "import numpy as np\n%timeit 1"})


@pytest.mark.parametrize("lesson", sorted(PATH))
def test_a_copy_is_known_by_its_cells_or_by_its_checks(lesson):
    code = grade.read(PATH[lesson])
    known = grade.lesson_of(code)
    assert (known.name if known else None) == (lesson if LESSONS[lesson].checks else None)
    without_ids = [cell | {"id": "None"} for cell in code]
    assert grade.lesson_of(without_ids) == known
    edited = [cell | {"source": "pass"} if "check(" in cell["source"] else cell for cell in code]
    assert grade.lesson_of(edited) == known
    plan = grade.planned(edited, LESSONS[lesson])
    assert sorted(filter(None, (cell.exercise for cell in plan))) == sorted(LESSONS[lesson].checks.values())


ANSWERS = [
    0.8**40, 3, np.float32(0.1), [1.0, 2], (2, 3), np.ones((2, 3)), np.inf, "a word", {"a": 1}, print, True,
    ik.MLP([3, 4, 2], "tanh", residual=0.5, norm="layer", rng=0), ik.MLP([3, 4, 2], dtype=np.float64, rng=0),
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_crosses_as_data(answer):
    crossed = grade.rebuilt(json.loads(json.dumps(cells.exported(answer))))
    if isinstance(answer, ik.MLP):
        x = np.ones((5, 3))
        assert np.array_equal(crossed.forward(x), answer.forward(x))
    elif isinstance(answer, (str, dict, bool)) or callable(answer):
        assert type(crossed).__name__ == type(answer).__name__
    else:
        assert np.array_equal(crossed, answer)


@pytest.mark.parametrize("answer", [..., None])
def test_no_answer_is_none(answer):
    assert grade.rebuilt(cells.exported(answer)) is ...


@pytest.mark.parametrize(
    "forged",
    [{"numbers": "!"}, {"numbers": 3}, {"net": []}, {"net": ["AA=="], "activation": "x"}, [1], "x", {"a": 1}],
)
def test_what_is_forged_is_a_wrong_answer(forged):
    verdict, _ = grade.judged("05.1", {"exercise": "05.1", "answer": forged, "why": None}, "en")
    assert verdict.ok is False


def test_no_object_crosses():
    """What NumPy would unpickle."""
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    packed = grade.base64.b64encode(file.getvalue()).decode()
    with pytest.raises(ValueError, match="allow_pickle"):
        grade.rebuilt({"numbers": packed})


BROKEN = {
    "cut": b'{"cells": [',
    "list": b"[1, 2]",
    "text": "笔记".encode("utf-16"),
    "no cells": b'{"cells": 3}',
    "odd cells": b'{"cells": [1, null, {"cell_type": "code", "source": 5, "metadata": 3}]}',
    "deep": b"[" * 10**5,
    "another": b'{"cells": [{"cell_type": "code", "source": ["print(1)"], "metadata": {}}]}',
    "empty": b"",
}


def test_what_is_no_notebook_of_ours_gets_a_row(tmp_path, capsys):
    for name, data in BROKEN.items():
        (tmp_path / f"{name}.ipynb").write_bytes(data)
    files = [str(tmp_path), str(tmp_path / "not there.ipynb")]
    for lang in ("zh", "en"):
        assert main(["grade", *files, "--csv", "--lang", lang]) == 2
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert len(rows) == len(BROKEN) + 1
        assert all(row["notes"] and not row["lesson"] for row in rows)


def test_a_spreadsheet_takes_nothing_for_a_formula():
    row = grade.Row("=HYPERLINK(1)", "05", {"05.1": "\x1b[31m✗"}, [])
    row.verdicts = {"05.1": course.check("05.1", "x", lang="en")}
    row.student = "@SUM(1)"
    assert "\n'=HYPERLINK(1),05,'@SUM(1)," in grade.table([row])


@pytest.mark.parametrize(
    ("source", "student"),
    [
        ('LANG = "zh"\nSTUDENT = "李雷"  # 学号', "李雷"),
        ("SEED = 0\nSTUDENT = 2023001", "2023001"),
        ('STUDENT="a"\nSTUDENT = "b"', "a"),
        ("STUDENT = name", ""),
        ("STUDENT = '", ""),
        ("STUDENT = " + "[" * 10**5, ""),
        ("STUDENT = " + "9" * 10**5, ""),
        ("STUDENT = '" + "9" * 10**5 + "'", "9" * 80),
        ("print(1)", ""),
    ],
    ids=range(9),
)
def test_whose_a_notebook_is_is_read_not_run(source, student):
    assert grade.student_of([{"source": "1"}, {"source": source}]) == student


def handed_in(student, file="", answers=()):
    """A row of lesson 05, as graded."""
    row = grade.Row(file or f"{student}.ipynb", "05", student=student)
    for name, answer in dict(answers).items():
        line = {"exercise": name, "answer": cells.exported(answer), "why": None}
        row.verdicts[name], number = grade.judged(name, line, "en", student)
        if number is not None:
            row.numbers[name] = number
    return row


def std(student):
    mine = course.own("05.1", student)
    return (2 / ((1 + mine.slope**2) * mine.n)) ** 0.5


def test_another_students_right_answer_is_named_and_usual_mistakes_are_not():
    copied = [
        handed_in("Anna", answers={"05.1": [std("Anna")], "05.3": 0.0625}),
        handed_in("Ben", answers={"05.1": std("Anna")}),
        handed_in("Eve", answers={"05.1": float(f"{std('Anna'):.3g}")}),
    ]
    own = [
        handed_in("Dan", answers={"05.1": std("Dan")}),
        handed_in("Fay", answers={"05.1": std("Fay") ** 2}),  # her own variance
        handed_in("Guy", answers={"05.1": std("")}),  # the text's numbers
        handed_in("", answers={"05.1": std("")}),
        handed_in("Ida", answers={"05.1": "a word", "05.3": 3.0}),
    ]
    rows = [*copied, *own]
    grade.compare(rows, "en")
    assert [row.notes for row in rows] == [
        [],
        *2 * [["05.1 is the right answer of Anna (copied, or by chance)"]],
        *5 * [[]],
    ]
    assert [row.right for row in rows] == [1, 0, 0, 1, 0, 0, 1, 0]


def test_two_notebooks_of_one_student_name_each_other():
    rows = [
        handed_in("Anna", "a.ipynb"),
        handed_in("Anna", "b.ipynb"),
        handed_in("", "c"),
        handed_in("", "d"),
    ]
    grade.compare(rows, "zh")
    assert [row.notes for row in rows] == [["STUDENT 与 b.ipynb 相同"], ["STUDENT 与 a.ipynb 相同"], [], []]


@pytest.mark.slow
@pytest.mark.parametrize("walled", [True, False])
def test_a_class(tmp_path, capsys, monkeypatch, walled):
    """One that is right, and one whose cells end the process, or do not end, or mend the check."""
    if walled and not grade.walled():
        pytest.skip("bubblewrap is not here, or may not run")
    monkeypatch.setattr(grade, "walled", lambda: walled)
    notebook = json.loads(PATH["05"].read_text(encoding="utf-8"))

    def hand_in(name, **changed):
        cells = [
            cell | {"source": changed.get(cell["id"].replace("-", "_"), cell["source"])}
            for cell in notebook["cells"]
        ]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook | {"cells": cells}), encoding="utf-8")

    hand_in("right", answer_1="answer = (2 / 312) ** 0.5", answer_2="answer = (2 / 3) ** 0.5")
    mine = "answer = (2 / ((1 + mine.slope**2) * mine.n)) ** 0.5"
    hand_in("student", parameters='LANG = "en"\nSEED = 0\nSTUDENT = "Li Lei"', answer_1=mine)
    hand_in("texts", parameters='STUDENT = "Li Lei"', answer_1="answer = (2 / 312) ** 0.5")
    hand_in(
        "ends", answer_1="import os\nos._exit(0)", check_2="course.check = print", answer_2="answer = 1.5"
    )
    assert main(["grade", str(tmp_path), "--csv", "--lang", "en", "--seconds", "20"]) == 0
    said = capsys.readouterr()
    ends, right, student, texts = csv.DictReader(io.StringIO(said.out))
    assert (student["student"], student["05.1"][0], right["student"]) == ("Li Lei", "✓", "")
    assert texts["05.1"] == str(course.check("05.1", (2 / 312) ** 0.5, lang="en", student="Li Lei"))
    assert texts["notes"] == f"STUDENT is that of {tmp_path / 'student.ipynb'}, too"
    assert (right["right"], right["of"], ends["right"]) == ("2", "3", "0")
    assert ends["05.1"].startswith("✗ the process ended")
    assert ends["05.2"] == str(course.check("05.2", 1.5, lang="en"))
    assert ("bubblewrap" in said.err) is not walled


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_nbgraders_notebooks_are_as_its_schema_has_them(tmp_path, capsys, lang):
    """Version 3, with the rules of its validator. nbgrader 0.9.6 took them, and graded three hand-ins."""
    assert main(["grade", "--nbgrader", str(tmp_path), "--lang", lang]) == 0
    paths = sorted((tmp_path / "source").rglob("*.ipynb"))
    assert [str(path) for path in paths] == capsys.readouterr().out.splitlines()
    assert {path.name.partition("_")[0] for path in paths} == {
        name for name, lesson in LESSONS.items() if lesson.checks
    }
    for path in paths:
        assert path.parent.name == path.stem
        marked = [
            c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if "nbgrader" in c["metadata"]
        ]
        about = [cell["metadata"]["nbgrader"] for cell in marked]
        assert all(cell["cell_type"] == "code" for cell in marked)
        assert len({a["grade_id"] for a in about}) == len(about)
        for cell, a in zip(marked, about, strict=True):
            assert re.fullmatch(r"[a-zA-Z0-9_\-]+", a["grade_id"])
            assert (a["schema_version"], a["task"]) == (3, False)
            assert all(type(a[key]) is bool for key in ("grade", "solution", "locked"))
            assert ("points" in a) is a["grade"] is ("course.check(" in cell["source"])
            assert a["solution"] is not a["locked"]
            assert set(a) <= {"schema_version", "grade", "solution", "locked", "task", "grade_id", "points"}
        assert (
            sum(a["grade"] for a in about)
            == sum(a["solution"] for a in about)
            == len(LESSONS[path.name.partition("_")[0]].checks)
        )


def test_nbgraders_test_fails_without_the_solution_and_passes_with_it():
    notebook = nbgrader.source_notebook(json.loads(PATH["05"].read_text(encoding="utf-8")))
    assert "SOLVE" not in "".join(cell["source"] for cell in notebook["cells"])
    cut = "(?s)### BEGIN SOLUTION.*### END SOLUTION"  # what nbgrader puts a line that raises in the place of
    for student in ("", "Anna"):
        scope = {"ik": ik, "np": np, "course": course, "LANG": "en", "STUDENT": student}
        for cell in notebook["cells"]:
            if about := cell["metadata"].get("nbgrader"):
                if about["grade"]:
                    exec(cell["source"], scope)
                    scope["answer"] = ...
                    with pytest.raises(AssertionError, match="Not done yet"):
                        exec(cell["source"], scope)
                else:
                    exec(re.sub(cut, "", cell["source"]), scope)
                    assert not about["solution"] or scope["answer"] is ...
                    exec(cell["source"], scope)


def test_nbgraders_notebooks_go_over_no_file(tmp_path, capsys):
    there = tmp_path / "source" / "07_doctor" / "07_doctor.ipynb"
    there.parent.mkdir(parents=True)
    there.write_text("mine", encoding="utf-8")
    assert main(["grade", "--nbgrader", str(tmp_path)]) == 2
    assert "07_doctor.ipynb" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.ipynb")) == [there]
    assert there.read_text(encoding="utf-8") == "mine"
    assert main(["grade"]) == 2
    assert "initkit grade" in capsys.readouterr().err
