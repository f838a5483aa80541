"""``make jolt`` fails where something hangs on the last bit, and passes what is steady."""

import math
import shutil

import jolt
import nbformat
import numpy as np
import pytest

import initkit as ik
import notebooks

SETUP = (
    "import numpy as np\nimport initkit as ik\nfrom_uniform = ik.uniform(3, 0, 1, rng=0, dtype=np.float64)"
)
CHAOS = "x = from_uniform[0]\nfor _ in range(99): x = 4 * x * (1 - x)\n"  # the logistic map
CHAOTIC_ARRAY = CHAOS.replace("[0]", "")
# Two roundings carry this entry over more than half of the way to a number that is three away.
ENTRY = float(ik.uniform(3, 0, 1, rng=0, dtype=np.float64)[1])
NEAR = ENTRY + 3 * math.ulp(ENTRY)
STEADY = {
    "formatted": 'print(f"{from_uniform[0]:.2f}", format(from_uniform[1], ".3g"))',
    "rounded": "print(np.round(from_uniform, 1), round(from_uniform[0], 2))",
    "rounded-by-method": "print(from_uniform.round(1), from_uniform[0].round(decimals=2))",
    "counted": "print((from_uniform < 0.5).sum(), np.mean(0.1 * from_uniform >= from_uniform[:, None]))",
    "counted-of-many": "print((ik.uniform(9999, 0, 1, rng=1, dtype=np.float64) < 0.5).sum())",
    "counted-zeros": "zeros = np.minimum(from_uniform, 0)\nprint((zeros > 0).sum(), (zeros == 0).sum())",
    "words": 'print("a" < "b", np.array(["a", "b"]) == "a", {1} <= {1, 2}, np.zeros(0) < 1, [1] < [1, 2])',
    "compared": 'print("above" if from_uniform.mean() > 0.01 else "below", 0 < 1 < 2)',
    "constant": 'print(f"{ik.constant(2, 0.126)[0]:.2f}", ik.zeros(2))',
}
CHAOTIC = {
    "formatted": CHAOS + 'print(f"{x:.1f}")',
    "rounded": CHAOS + "print(round(x, 1))",
    "compared": CHAOS + 'print("more" if x > -0.1 else "less")',  # always more, but how long?
    "rounded-by-method": CHAOS + "print((0.49 * x).round())",  # always 0
    "rounded-by-keyword": CHAOS + "print(np.round(0.49 * x, decimals=0))",
    "counted": CHAOTIC_ARRAY + "print((x > -0.1).sum())",  # always 3
    "counted-on-edge": f"print((from_uniform < {NEAR!r}).sum())",
    "counted-of-many": f"print((np.append(np.arange(99.0), from_uniform) < {NEAR!r}).sum())",
    "counted-equal": f"print((from_uniform == {NEAR!r}).sum())",
    "on-edge": 'print(f"{1e-17:.3f}")',
    "plain": "print(from_uniform[0])",
    "shown": "from_uniform[0]",
}
TESTS = f"""
import numpy as np
import initkit as ik

{SETUP}

def test_steady(between):
    between("a draw", from_uniform[0], 0, 1)

def test_exact(between):
    between("a constant", ik.ones(3)[0], 1, 1)

def test_chaotic(between):
    {CHAOS.replace(chr(10), chr(10) + "    ")}
    between("chaos", x, -0.1, 1.1)
"""


@pytest.mark.slow
def test_planted_cells_and_tests(tmp_path):
    new = nbformat.v4.new_code_cell
    cells = [new(SETUP, id="setup"), new("1 / 0", id="not-used")]
    for kind, sources in {"steady": STEADY, "chaotic": CHAOTIC}.items():
        cells += [
            new(code, id=f"{kind}-{name}", metadata={"tags": [notebooks.CHECKED]})
            for name, code in sources.items()
        ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "planted.ipynb")
    (tmp_path / "test_planted.py").write_text(TESTS, encoding="utf-8")
    shutil.copy(jolt.ROOT / "conftest.py", tmp_path)  # the fixture ``between``
    parts = [str(tmp_path / name) for name in ("planted.ipynb", "test_planted.py")]
    found = jolt.judge(parts, range(2))
    for name in CHAOTIC:
        assert any(said.startswith(f"planted:chaotic-{name}: ") for said in found), name
    assert any("x is 0." in said and "edge" in said for said in found)
    assert any("::test_chaotic: chaos is 0." in said for said in found)
    assert not [said for said in found if "steady" in said or "exact" in said]


def test_of_a_compared_array_the_entry_counts_that_moves_most_of_its_own_distance():
    def shown(*differences):
        return {"cell": jolt.Seen("", [jolt.Differences("(a < b)", np.array(differences))])}

    # The third is nearest, the second moves farthest: both stand. So does what is 0, infinite or nan in all.
    seen = shown(9.0, -5.0, 0.1, 0.0, math.inf, math.nan)
    assert not jolt.findings(seen, [shown(9.1, -3.0, 0.11, 0.0, math.inf, math.nan)])
    (found,) = jolt.findings(seen, [seen, shown(9.1, -3.0, 0.04, 0.0, math.inf, math.nan)])
    assert found == "cell: (a < b): the difference in entry 2 is 0.1, under jolts from 0.04 to 0.1; edge 0"
    for other in [(9, -5, 0.1, 1e-300), (9, -5, 0.1, 0, 1e9), (9, math.nan), (-9,)]:
        assert jolt.findings(seen, [shown(*other)]), other
    assert not jolt.findings(seen, [{"cell": jolt.Seen("", [])}])  # a branch may pass it by


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_jolt_is_two_roundings_and_one_for_one_array(dtype):
    array = np.append(np.random.default_rng(0).normal(size=999), 0).astype(dtype)
    moved = jolt.jolted(array, 1)
    assert moved.dtype == dtype
    assert moved[-1] == 0
    steps = np.abs(moved - array)[:-1] / np.spacing(np.abs(array[:-1]))
    assert set(steps) <= {1.0, 1.5, 2.0, 3.0}  # all but 2 across a power of two
    assert np.median(steps) == 2
    assert 400 < (moved > array).sum() < 600  # fixed seed; 6 standard deviations of a fair coin
    assert (jolt.jolted(array, 1) == moved).all()
    assert (jolt.jolted(array, 2) != moved).any()


@pytest.mark.parametrize(
    ("spec", "value", "low", "high"),
    [
        (".2f", 0.123, 0.115, 0.125),
        (".0%", 0.5, 0.495, 0.505),
        (".2g", 1234.0, 1150.0, 1250.0),
        (".0e", 3e-9, 2.5e-9, 3.5e-9),
        (".3f", 1e-4, 0.0, 5e-4),  # below lies -0.000
        ("z.3f", 1e-4, -5e-4, 5e-4),
    ],
)
def test_edges_are_where_another_text_begins(spec, value, low, high):
    found = jolt.edges(lambda x: format(x, spec), value)
    assert found == pytest.approx((low, high), abs=1e-12 * abs(value))


def test_half_of_the_distance_to_the_nearer_edge():
    value = jolt.Value("x", 1.0, 0.0, 5.0)
    assert [jolt.stands(value, moved) for moved in (0.5, 1.5, 0.49, 1.51)] == [True, True, False, False]
    exact = jolt.Value("x", 1.0, 1.0, 1.0)
    assert jolt.stands(exact, 1.0)
    assert not jolt.stands(exact, 1 + 1e-15)
    never = jolt.Value("x", math.nan, math.nan, math.nan)
    assert jolt.stands(never, math.nan)
    assert not jolt.stands(never, 1.0)
