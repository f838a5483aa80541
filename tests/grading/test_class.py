"""`initkit grade` on a class: right answers, each usual mistake, and what a teacher dreads."""

import csv
import io
import json
import socket

import numpy as np
import pytest

import initkit as ik
from initkit import course
from initkit.command import grade, main
from initkit.command.course import lessons

PATH = {path.name.partition("_")[0]: path for path in (lessons() / "en").glob("*.ipynb")}
# Lesson, exercise, code that gives the answer, and whether it is right.
USUAL = [
    ("01", 1, "answer = 0.8**40", True),
    ("01", 1, "answer = 0.8 * 40", False),
    ("01", 1, "answer = 0.2**40", False),
    ("01", 1, "answer = 0.8 ** (1 / 40)", False),
    ("01", 1, "answer = '0.8'", False),
    ("01", 2, "answer = (2 / 100) ** 0.5", True),
    ("01", 2, "answer = 2 / 100", False),
    ("01", 2, "answer = 0.05", False),
    ("01", 2, "answer = -1", False),
    ("01", 3, "answer = 2", True),
    ("01", 3, "answer = 1", False),
    ("02", 1, "answer = ik.uniform((30, 64), 0.095, 0.105, rng=1)", True),
    ("02", 1, "answer = ik.uniform((64, 30), 0.095, 0.105, rng=1)", False),
    ("02", 1, "answer = np.full((30, 64), 0.1)", False),
    ("02", 1, "answer = ik.uniform((30, 64), rng=1)", False),
    ("02", 2, "answer = 2", True),
    ("02", 2, "answer = 1", False),
    ("02", 2, "answer = np.inf", False),
    ("02", 3, "answer = 19", True),
    ("03", 1, "answer = 0.06", True),
    ("03", 1, "answer = 0.0036", False),
    ("03", 1, "answer = 1", False),
    ("03", 2, "answer = (3 / 300) ** 0.5", True),
    ("03", 2, "answer = (1 / 300) ** 0.5", False),
    ("03", 2, "answer = 3 / 300", False),
    ("03", 3, "answer = np.array([4, 3, 2])", True),
    ("04", 1, "answer = ik.xavier_uniform((50, 200), rng=1)", True),
    ("04", 1, "answer = ik.xavier_uniform((200, 50), rng=1)", False),
    ("04", 1, "answer = ik.xavier_normal((50, 200), rng=1)", False),
    ("04", 1, "answer = ik.uniform((50, 200), -6 / 250, 6 / 250, rng=1)", False),
    ("04", 1, "answer = ik.xavier_uniform", False),
    ("04", 2, "answer = 2", True),
    ("04", 2, "answer = 4", False),
    ("04", 2, "answer = 0.5", False),
    ("04", 3, "answer = (3 * 4 / 200) ** 0.5", True),
    ("04", 3, "answer = (3 / 200) ** 0.5", False),
    ("05", 1, "answer = (2 / 312) ** 0.5", True),
    ("05", 1, "answer = 2 / 312", False),
    ("05", 1, "answer = (2 / 300) ** 0.5", False),
    ("05", 1, "answer = (2 / 360) ** 0.5", False),
    ("05", 2, "answer = ik.gain(lambda z: np.maximum(z, 0) ** 2)", True),
    ("05", 2, "answer = 2**0.5", False),
    ("05", 2, "answer = 1.5", False),
    ("05", 3, "answer = 50 / 800", True),
    ("05", 3, "answer = 16", False),
    ("06", 1, "answer = 2**0.5", False),
    ("06", 2, "answer = [4, 2, 1, 5, 3]", True),
    ("06", 2, "answer = [1, 2, 3, 4, 5]", False),
    ("06", 2, "answer = 0.5", False),
    ("06", 3, "answer = (2 / (1.04 * 9 * 32)) ** 0.5", True),
    ("06", 3, "answer = (2 / (1.04 * 32)) ** 0.5", False),
    ("07", 1, "answer = course.patient('E', rng=0)", False),
    ("07", 1, "answer = ik.MLP([64, 64, 10], rng=0)", False),
    ("07", 2, "answer = ik.normal((100, 400), std=(2 / 500) ** 0.5, rng=0)", True),
    ("07", 2, "answer = ik.normal((100, 400), std=2 / 500, rng=0)", False),
]
RIGHT_1, RIGHT_2 = "answer = (2 / 312) ** 0.5", "answer = (2 / 3) ** 0.5"  # to lesson 05's two exercises
# What stands in lesson 05's first answer, or in which cells else, and how what is said of exercise 1 begins.
LOOP = "while True:\n    {}"
DREADED = {
    "syntax": ("answer = (", "✗"),
    "name": ("answer = nonsense", "✗"),
    "loop": (LOOP.format("pass"), "✗ ran out of time"),
    "swallowing loop": (LOOP.format("try:\n        pass\n    except BaseException:\n        pass"), "✗"),
    "sleep": ("import time\ntime.sleep(1e6)", "✗ ran out of time"),
    "much said": (LOOP.format("print('x' * 10**6)"), "✗ ran out of time"),
    "10 GB": ("import numpy as np\nanswer = np.ones(10**10 // 8)", "✗"),
    "exit": ("import os\nos._exit(0)", "✗ the process ended"),
    "killed": ("import os\nos.kill(os.getpid(), 9)", "✗ the process ended"),
    "children": ("import os\nwhile os.fork():\n    pass\nos._exit(0)", "✗"),
    "recursion": ("def f():\n    return f()\nanswer = f()", "✗"),
    "lying": ("class A:\n    def __array__(self, *a, **k):\n        raise SystemExit\nanswer = A()", "✗"),
    "check mended": ("course.check = lambda *_, **__: '✓'\nanswer = 1", "✗"),
    "checks mended": (
        "from initkit.course import registry\nregistry.CHECKS['05.1'] = lambda _: ('right', {})\nanswer = 1",
        "✗",
    ),
    "check edited": ({"check-1": "course.check('05.1', 0.0801, lang=LANG)", "answer-1": "answer = 1"}, "✗"),
    "check removed": ({"check-1": "pass", "answer-1": "answer = 1"}, "✗"),
}  # fmt: skip


def hand_in(folder, name, lesson, changed):
    notebook = json.loads(PATH[lesson].read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = changed.get(cell["id"], cell["source"])
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def graded(folder, capsys, *options):
    assert main(["grade", str(folder), "--csv", "--lang", "en", *options]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    return {row["file"].rpartition("/")[2].removesuffix(".ipynb"): row for row in rows}


def test_the_usual_ones(tmp_path, capsys):
    for k, (lesson, exercise, code, _) in enumerate(USUAL):
        hand_in(tmp_path, f"{k:02}", lesson, {f"answer-{exercise}": code})
    rows = graded(tmp_path, capsys)
    assert len(rows) == len(USUAL)
    for k, (lesson, exercise, code, right) in enumerate(USUAL):
        given = {"ik": ik, "np": np, "course": course}
        exec(code, given)
        name = f"{lesson}.{exercise}"
        said = course.check(name, given["answer"], lang="en")
        assert rows[f"{k:02}"][name] == str(said), code
        assert said.ok is right, code
        assert rows[f"{k:02}"]["right"] == str(int(right)), code


@pytest.mark.skipif(not grade.walled(), reason="bubblewrap is not here, or may not run: not without it")
def test_what_a_teacher_dreads(tmp_path, capsys):
    for name, (changed, _) in DREADED.items():
        changed = changed if isinstance(changed, dict) else {"answer-1": changed}
        hand_in(tmp_path, name, "05", {"answer-2": RIGHT_2} | changed)
    rows = graded(tmp_path, capsys, "--seconds", "15")
    assert len(rows) == len(DREADED)
    for name, (_, said) in DREADED.items():
        assert rows[name]["05.1"].startswith(said), f"{name}: {rows[name]}"
        assert rows[name]["05.2"].startswith("✓"), f"{name}: {rows[name]}"


@pytest.mark.skipif(not grade.walled(), reason="bubblewrap is not here, or may not run")
def test_nothing_reaches_the_network_or_a_file_elsewhere(tmp_path, capsys):
    target = tmp_path / "mine.txt"
    target.write_text("mine", encoding="utf-8")
    tries = [
        f"open({str(target)!r}, 'w').write('yours')",
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=5)",
        "import os\nif os.environ.get('INITKIT_SECRET'): raise SystemExit\nelse: raise OSError",
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:
        for k, code in enumerate(tries):
            code = code.replace("PORT", str(server.getsockname()[1]))
            lines = "\n".join(f"    {line}" for line in code.splitlines())
            code = f"answer = 'free'\ntry:\n{lines}\nexcept OSError:\n    {RIGHT_1}"
            hand_in(tmp_path, str(k), "05", {"answer-1": code})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INITKIT_SECRET", "a password")
            rows = graded(tmp_path, capsys)
    assert target.read_text(encoding="utf-8") == "mine"
    assert [row["right"] for row in rows.values()] == ["1"] * len(tries)
