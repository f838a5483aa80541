"""Run every lesson whole: solved, and with other parameters."""

import base64

import nbformat
import papermill
import pytest

import initkit as ik
import notebooks as tool
from initkit.widgets.figure import ERROR_CLASS

WIDGETS = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(autouse=True)
def kernels_leave_nothing_behind(tmp_path, monkeypatch):
    """They are killed in the end, temporary folders and all."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run(path, target, parameters=None):
    known = papermill.inspect_notebook(str(path)) if parameters else {}
    assert set(parameters or ()) <= set(known), "papermill would only warn about an unknown parameter"
    return papermill.execute_notebook(
        str(path),
        str(target),
        parameters=parameters,
        cwd=str(path.parent),
        kernel_name="python3",
        progress_bar=False,
        execution_timeout=120,
        request_save_on_cell_execute=False,  # else it is written twice a cell, and once more at the end
        autosave_cell_every=0,
        shutdown_kernel="immediate",  # else it unloads all it has, for a third of a second
    )


def widget_models(notebook):
    return notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}).values()


def verdicts(notebook) -> list[str]:
    """The first character of what each exercise's check says."""
    checks = [c for c in notebook.cells if c.cell_type == "code" and "course.check(" in c.source]
    return [cell.outputs[0].data["text/plain"][0] for cell in checks]


def printed(cell) -> str:
    """A stream may come in pieces."""
    return "".join(output.text for output in cell.outputs)


def errors(notebook) -> list[str]:
    """What went wrong in a widget's callback, which papermill does not notice."""
    found = []
    for model in widget_models(notebook):
        state = model["state"]
        if model["model_name"] == "OutputModel":
            found += [o["ename"] for o in state.get("outputs", []) if o["output_type"] == "error"]
        elif ERROR_CLASS in str(state.get("value", "")):
            found.append(state["value"])
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"{cell.id}: {output.get('ename', output.get('text'))}")
    return found


def run_and_look(lang, name, folder, parameters=None):
    done = run(tool.ROOT / lang / name, folder / name, parameters)
    assert errors(done) == []
    pictures = [m for m in widget_models(done) if m["model_name"] == "ImageModel"]
    assert all(m.get("buffers") for m in pictures), "an empty live figure"
    live_cells = [c for c in done.cells if c.source.startswith("live.") and not tool.is_static(c)]
    assert len(pictures) == len(live_cells) > 0
    return done


def solvable(lang, name) -> bool:
    return "SOLVE" in papermill.inspect_notebook(str(tool.ROOT / lang / name))


@pytest.mark.parametrize("name", tool.lessons())
def test_lesson_runs(name, tmp_path):
    """The English edition, solved, prints and draws what is stored; nbval runs the Chinese as it is."""
    done = run_and_look("en", name, tmp_path, {"SOLVE": True} if solvable("en", name) else None)
    assert set(verdicts(done)) <= {"✓"}
    known = {cell.id: cell for cell in done.cells if "id" in cell}  # papermill adds a cell of parameters
    for then in tool.read(tool.ROOT / "en" / name).cells:
        if tool.is_checked(then):
            assert printed(known[then.id]) == printed(then), f"{then.id}: make record"
        if tool.is_static(then):
            assert tool.look_alike(known[then.id].outputs, then.outputs), f"{then.id}: make record"


@pytest.mark.slow
@pytest.mark.parametrize("name", tool.lessons())
def test_lesson_runs_with_another_seed_and_language(name, tmp_path):
    """The Chinese edition, as a reader runs it who has changed the parameters."""
    parameters = {"LANG": "en", "SEED": 1}
    if solvable("zh", name):
        parameters |= {"SOLVE": True, "STUDENT": "李雷"}
    assert set(verdicts(run_and_look("zh", name, tmp_path, parameters))) <= {"✓"}


@pytest.mark.parametrize("name", tool.lessons())
def test_the_chinese_editions_figures_are_stored_as_they_are_drawn(name):
    cells = tool.read(tool.ROOT / "zh" / name).cells
    stills = [cell for cell in cells if tool.is_static(cell) and cell.source.startswith("live.")]
    assert stills
    for cell in stills:
        png, _ = eval(cell.source, {"live": ik.live, "LANG": "zh", "SEED": 0})._repr_png_()
        drawn = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(png).decode()})
        assert tool.look_alike([drawn], cell.outputs), f"{cell.id}: make record"


BROKEN = {
    "an Output widget": """
import ipywidgets
slider = ipywidgets.IntSlider()
shown = ipywidgets.interactive_output(lambda x: 1 / (x - 1), {"x": slider})
slider.value = 1
shown""",
    "a live figure": """
import ipywidgets
from initkit import live, plots
class Empty(plots.Picture):
    def build(self): pass
x = ipywidgets.IntSlider()
live.LiveFigure(Empty("en"), {"x": x}, lambda x: 1 / x, lang="en")""",
    "stderr": "import sys\nprint('oh', file=sys.stderr)",
}


def test_errors_that_papermill_does_not_notice_are_found(tmp_path):
    cells = [nbformat.v4.new_code_cell(code.strip()) for code in BROKEN.values()]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=tool.METADATA)
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    found = errors(run(tmp_path / "broken.ipynb", tmp_path / "done.ipynb"))  # and papermill is content
    assert len(found) == len(BROKEN)
    assert "ZeroDivisionError" in found
    assert any(ERROR_CLASS in said for said in found)
    assert any("oh" in said for said in found)


def test_an_unknown_parameter_is_refused(tmp_path):
    name = tool.lessons()[0]
    with pytest.raises(AssertionError, match="unknown parameter"):
        run(tool.ROOT / "en" / name, tmp_path / name, {"LANGUAGE": "zh"})
