"""Run every lesson whole: as it is, and once more, solved, with another seed."""

from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client import KernelManager

import notebooks as tool
from initkit.widgets.figure import ERROR_CLASS

BOTH = [
    pytest.param(
        (lang, name), id=f"{lang}-{Path(name).stem}", marks=pytest.mark.xdist_group(f"{lang}-{name}")
    )
    for name in tool.lessons()
    for lang in ("en", "zh")
]
AGAIN = [part for part in BOTH if part.values[0][0] == "zh"]
WIDGETS = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(autouse=True)
def kernels_leave_nothing_behind(tmp_path, monkeypatch):
    """They are killed in the end, temporary folders and all."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture(scope="module", params=BOTH)
def lesson(request):
    """Language, name and kernel: a new one, which the lesson's tests share."""
    manager = KernelManager(client_class="jupyter_client.asynchronous.AsyncKernelClient")
    clients, connect = [], manager.client  # papermill leaves open what goes to a kernel that is not its own
    manager.client = lambda **how: clients.append(connect(**how)) or clients[-1]
    yield *request.param, manager
    for client in clients:
        client.stop_channels()
    if manager.has_kernel:
        manager.shutdown_kernel(now=True)


def run(path, target, parameters=None, kernel=None):
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
        km=kernel,
    )


def widget_models(notebook):
    return notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}).values()


def verdicts(notebook) -> list[str]:
    """The first character of what each exercise's check says."""
    checks = [c for c in notebook.cells if c.cell_type == "code" and "course.check(" in c.source]
    return [cell.outputs[0].data["text/plain"][0] for cell in checks]


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


def compare_static_pictures(done, stored):
    """What a notebook keeps for pages where nothing runs is what its cell draws."""
    for now, then in zip(done.cells, stored.cells, strict=True):
        if tool.is_static(then):
            assert tool.look_alike(now.outputs, then.outputs), f"{then.id}: make record"


def run_and_look(lesson, folder, parameters=None):
    lang, name, kernel = lesson
    done = run(tool.ROOT / lang / name, folder / name, parameters, kernel)
    assert errors(done) == []
    pictures = [m for m in widget_models(done) if m["model_name"] == "ImageModel"]
    assert all(m.get("buffers") for m in pictures), "an empty live figure"
    live_cells = [c for c in done.cells if c.source.startswith("live.") and not tool.is_static(c)]
    assert len(pictures) == len(live_cells) > 0
    return done


def test_lesson_runs(lesson, tmp_path):
    done = run_and_look(lesson, tmp_path)
    assert set(verdicts(done)) <= {"…"}  # untouched, an exercise says that it is not done
    compare_static_pictures(done, tool.read(tool.ROOT.joinpath(*lesson[:2])))


@pytest.mark.parametrize("lesson", AGAIN, indirect=True)
def test_lesson_runs_again_solved_with_another_seed_and_language(lesson, tmp_path):
    """As a reader runs it who has changed the parameters: in the kernel that is there. One edition will do,
    as in the end it is in the other's language, and their code is the same."""
    lang, name, _ = lesson
    parameters = {"LANG": {"en": "zh", "zh": "en"}[lang], "SEED": 1}
    if "SOLVE" in papermill.inspect_notebook(str(tool.ROOT / lang / name)):
        parameters["SOLVE"] = True
    assert set(verdicts(run_and_look(lesson, tmp_path, parameters))) <= {"✓"}


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
