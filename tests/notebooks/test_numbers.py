"""Every number in the lessons' prose has something that gives it: tools/prose.py says what counts."""

import measures
import prose
import pytest

import notebooks

NAMES = notebooks.lessons()


@pytest.mark.parametrize("name", NAMES)
def test_every_number_in_prose_is_backed(name):
    bare = [f"{place}: …{words}…" for place, words, backing in prose.lines(name) if backing is None]
    lesson = notebooks.number_of(name)
    assert not bare, (
        f'nothing gives these numbers. Let a cell print them, or add a line to ["{lesson}"] of '
        "tests/notebooks/numbers.toml (CONTRIBUTING.md, “Numbers in prose”):\n" + "\n".join(bare)
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_backs_a_number_gives_it(name):
    lines = prose.table().get(notebooks.number_of(name), {})
    names = prose.namespace(prose.lesson(name))
    said = prose.quotations(name)
    wrong = [f"{words}: {fault}" for words, by in lines.items() for fault in prose.faults(words, by, names)]
    gone = [f"{words}: the lesson no longer says it" for words in lines if not said[words]]
    assert not wrong + gone, "\n".join(
        ["mend the prose, in both editions, or the line of numbers.toml:", *wrong, *gone]
    )


@pytest.mark.parametrize("name", NAMES)
def test_both_editions_give_the_same_numbers(name):
    found = prose.differences(name)
    assert not found, "\n".join(found)


def test_what_was_measured_is_what_measures_measure():
    assert set(prose.measured()) == set(measures.MEASURES), "make numbers"


def test_the_table_has_no_other_lessons():
    assert set(prose.table()) <= {notebooks.number_of(name) for name in NAMES}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("45 to 85 %, 10–20 per cent, 5% 到 8%", [45, 85, 10, 20, 5, 8]),
        ("1.5 and 0.001, −5.4", [1.5, 0.001, -5.4]),
        ("| 40 layers | 45–80 | 12", [45, 80]),
        (r"$5\cdot10^{-9}$, $10^4$, $10^{2.4}$", [5e-9, 1e4, 10**2.4]),
        ("40 layers of 1,000 units, lesson 05, section 2.2, PyTorch 2.13, 2.2 节", []),
        ("`lr=0.1` and $$q = 0.5$$ end\n```\n0.7\n```\n", []),
        ("so.\n\n## Further reading\n\n- arXiv 1502.01852", []),
    ],
)
def test_what_counts(text, found):
    assert [n.value for n in prose.numbers(prose.prose(text)) if n.counts] == pytest.approx(found)


@pytest.fixture
def measured(monkeypatch):
    ranges = {"he": {"best": [50.2, 83.6], "log": [-9.6, -1.2]}, "c": {"best": [7.0, 9.4]}}
    monkeypatch.setattr(prose, "measured", lambda: ranges)


@pytest.mark.parametrize(
    ("words", "backing", "right"),
    [
        ("a factor of 1.5 becomes 58", "1.5, 1.5**10", True),
        ("a factor of 1.5 becomes 57", "1.5, 1.5**10", False),
        ("a factor of 1.5 becomes 58", "1.5**10", False),
        (r"$5\cdot10^{-5}$", "3.0**-9", True),
        ("$10^{-4}$", "3.0**-9", True),
        ("$10^{-5}$", "3.0**-9", False),
        ("45 to 85 %", {"within": "he.best"}, True),
        ("45 to 83 %", {"within": "he.best"}, False),
        ("45 to 85 %", {"within": "he.best c.best"}, False),
        ("5 to 85 %", {"within": "he.best c.best"}, True),
        ("5 to 10 %, and 50 to 84 %", {"within": ["c.best", "he.best"]}, True),
        ("5 to 10 %", {"within": ["c.best", "he.best"]}, False),
        ("between $10^{-1}$ and $10^{-10}$", {"within": "he.log"}, True),
        ("between $10^{-1}$ and $10^{-8}$", {"within": "he.log"}, False),
        ("below 15 %", {"below": "c.best"}, True),
        ("below 8 %", {"below": "c.best"}, False),
        ("above 50 %", {"above": "he.best"}, True),
        ("above 60 %", {"above": "he.best"}, False),
        ("about 8 %", {"is": "c.best"}, False),
        ("a mean of 0.3", {"given": "its figure 3"}, True),
    ],
)
def test_a_wrong_number_is_found(measured, words, backing, right):
    assert (prose.faults(words, backing, {}) == []) is right
