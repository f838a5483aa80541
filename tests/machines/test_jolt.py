"""``make jolt`` fails where something hangs on the last bit, and passes what is steady."""

import math
import shutil

import jolt
import nbformat
import numpy as np
import pytest

import notebooks

SETUP = (
    "import numpy as np\nimport initkit as ik\nfrom_uniform = ik.uniform(3, 0, 1, rng=0, dtype=np.float64)"
)
CHAOS = "x = from_uniform[0]\nfor _ in range(99): x = 4 * x * (1 - x)\n"  # the logistic map
STEADY = {
    "formatted": 'print(f"{from_uniform[0]:.2f}", format(from_uniform[1], ".3g"))',
    "rounded": "print(np.round(from_uniform, 1), round(from_uniform[0], 2))",
    "compared": 'print("above" if from_uniform.mean() > 0.01 else "below", 0 < 1 < 2)',
    "constant": 'print(f"{ik.constant(2, 0.126)[0]:.2f}", ik.zeros(2))',
}
CHAOTIC = {
    "formatted": CHAOS + 'print(f"{x:.1f}")',
    "rounded": CHAOS + "print(round(x, 1))",
    "compared": CHAOS + 'print("more" if x > -0.1 else "less")',  # always more, but how long?
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
