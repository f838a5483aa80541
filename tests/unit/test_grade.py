"""`initkit grade`: what runs of a notebook, what crosses back, what is said. A class: `make test-grade`."""

import csv
import io
import json

import numpy as np
import pytest

import initkit as ik
from initkit import course
from initkit.command import cells, grade, main
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
    verdict = grade.judged("05.1", {"exercise": "05.1", "answer": forged, "why": None}, "en")
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
    assert "\n'=HYPERLINK(1),05," in grade.table([row])


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
    hand_in(
        "ends", answer_1="import os\nos._exit(0)", check_2="course.check = print", answer_2="answer = 1.5"
    )
    assert main(["grade", str(tmp_path), "--csv", "--lang", "en", "--seconds", "20"]) == 0
    said = capsys.readouterr()
    ends, right = csv.DictReader(io.StringIO(said.out))
    assert (right["right"], right["of"], ends["right"]) == ("2", "3", "0")
    assert ends["05.1"].startswith("✗ the process ended")
    assert ends["05.2"] == str(course.check("05.2", 1.5, lang="en"))
    assert ("bubblewrap" in said.err) is not walled
