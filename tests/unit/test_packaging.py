"""pyproject.toml is the one place for dependencies; everything that repeats one is held to it."""

import ast
import graphlib
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from pages import SITE

import initkit
from initkit.command import course
from initkit.packages import ADDRESS, DISTRIBUTION, REQUIREMENT

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
INSTALL = PYPROJECT["dependency-groups"]["install"]
ON_UNIX = pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="make's own, on Unix")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(lines):
    """name → bounds, as written but for the order of the bounds."""
    parsed = [Requirement(line) for line in lines]
    return {r.name: set(str(r.specifier).split(",")) - {""} for r in parsed}


def test_environment_is_pyprojects_run_time_and_course():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    conda = [line for line in conda if not re.match(r"(python|pip)\b(?!-)", line)]
    assert requirements(conda) == requirements([*PROJECT["dependencies"], *EXTRAS["course"]])


def test_environment_names_one_python_that_pyproject_allows():
    """repo2docker takes a range for no version at all, and builds for its own default."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (version,) = [
        line.removeprefix("python=")
        for line in environment["dependencies"]
        if str(line).startswith("python=")
    ]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(version)


def test_what_installs_is_pinned_and_named_as_the_build_system_names_it():
    (builder,) = PYPROJECT["build-system"]["requires"]
    assert builder in INSTALL
    assert {"uv", "nox", "pip", "hatchling", "editables"} == set(requirements(INSTALL))


def test_to_read_takes_less_than_to_test():
    reading = requirements([*PROJECT["dependencies"], *EXTRAS["course"]])
    assert not {"pytest", "pandas", "ruff", "h5py", "distributed", "papermill"} & set(reading)


def test_the_folders_name_is_in_no_file_that_python_reads_to_start():
    """Python 3.11 and 3.12 read it in the locale's encoding: under LC_ALL=C, a Chinese name stopped them."""
    environment = ROOT / ".venv"
    if Path(sys.prefix) != environment or os.name == "nt":
        pytest.skip("not in make's own environment")
    (path,) = (environment / "lib").glob("python3*/site-packages/*_initkit_course.pth")
    assert path.read_text(encoding="utf-8") == "../../../..\n"
    assert (path.parent / "../../../..").resolve() == ROOT


@ON_UNIX
def test_a_home_that_cannot_be_written_to_is_replaced(tmp_path):
    """JupyterLab and IPython would end in a traceback."""

    def home(given):
        done = subprocess.run(
            ["make", "--no-print-directory", "-f", "-", "home"],
            input="include Makefile\nhome:; @echo $(HOME)\n",
            cwd=ROOT,
            env=os.environ | {"HOME": str(given), "TMPDIR": str(tmp_path)},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return Path(done.stdout.strip())

    assert home(tmp_path) == tmp_path
    other = home(tmp_path / "nowhere")
    assert other.parent == tmp_path
    assert other.name.startswith("initkit-")
    assert other.stat().st_mode & 0o777 == 0o700


def test_nothing_hides_the_environment_from_binder():
    assert not (ROOT / "binder").exists()
    assert not (ROOT / ".binder").exists()


def test_every_dependency_has_a_lower_bound():
    extras = [d for name in EXTRAS if name != "all" for d in EXTRAS[name]]
    for line in [*PROJECT["dependencies"], *extras, *INSTALL]:
        assert any(s.operator == ">=" for s in Requirement(line).specifier), line


def test_all_is_every_other_extra():
    (everything,) = EXTRAS["all"]
    assert Requirement(everything).extras == set(EXTRAS) - {"all"}


def test_lock_pins_every_dependency_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in pins)
    for line in [
        *PROJECT["dependencies"],
        *(d for n in EXTRAS if n not in ("all", "torch") for d in EXTRAS[n]),
        *INSTALL,
    ]:
        wanted = Requirement(line)
        versions = [next(iter(p.specifier)).version for p in pins if p.name == wanted.name]
        assert versions, f"{wanted.name} is not in constraints.txt: make lock"
        assert all(wanted.specifier.contains(v) for v in versions), f"{line}: {versions}; make lock"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "LICENSE-notebooks.md"])
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text(encoding="utf-8")):
        assert "://" in target or (ROOT / target).exists(), target


def test_the_repositorys_address_stands_once():
    """In pyproject.toml; what repeats it is held to it."""
    (address,) = {
        PROJECT["urls"]["Source"],
        ADDRESS,
        *re.findall(r"^repository-code: (.+)$", read("CITATION.cff"), re.M),
    }
    owner, name = address.removeprefix("https://github.com/").split("/")
    for file in ("README.md", "CONTRIBUTING.md", "LICENSE-notebooks.md"):
        said = re.findall(r"github\.com/([\w.-]+/[\w-]+)|mybinder\.org/v2/gh/([^/]+/[^/]+)/", read(file))
        assert {a or b for a, b in said} <= {f"{owner}/{name}"}, file
    assert len(re.findall(re.escape(address), read("README.md"))) > 1  # so there is something to hold
    wanted = Requirement(REQUIREMENT)
    assert (wanted.name, wanted.url) == (PROJECT["name"], f"{address}/archive/HEAD.zip")
    assert f"https://{owner}.github.io/{name}" == SITE
    books = [f"notebooks/{lang}/00_start_here.ipynb" for lang in ("en", "zh")]
    for file in ("README.md", "docs/teaching.md", "docs/teaching.zh.md", *books):
        assert {*re.findall(r"https://[\w-]+\.github\.io/[\w-]+", read(file))} == {SITE}, file


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_where_initkit_is_missing_a_lesson_says_what_to_do(path, monkeypatch):
    """Its first cell after the parameters, as in Colab, or in VS Code with another Python."""
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert cells[0]["metadata"]["tags"] == ["parameters"]
    monkeypatch.setitem(sys.modules, "initkit", None)
    with pytest.raises(ImportError, match=re.escape(f'先运行 / first run: %pip install "{REQUIREMENT}"')):
        exec("".join(cells[1]["source"]), {})
    assert "try:" not in "".join("".join(c["source"]) for c in cells[2:] if c["id"] != "torch-import")


@pytest.mark.parametrize("name", ["README.md", "docs/landing.html"])
def test_who_installs_from_the_repository_gets_what_the_course_needs(name):
    """Without [course] a lesson's second import fails, and the first had told the reader what to install."""
    written = read(name)
    assert written.count("HEAD.zip") == written.count(f'"{REQUIREMENT}"') > 0


def test_badges_open_the_first_page_of_both_editions():
    pages = re.findall(
        r"mybinder\.org/v2/\S+urlpath=lab/tree/(\S+)\)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert pages == [f"notebooks/{lang}/00_start_here.ipynb" for lang in ("en", "zh")]
    assert all((ROOT / page).exists() for page in pages)


def test_readmes_example_runs(between):
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    *program, accuracy = example.strip().splitlines()
    names = {}
    exec("\n".join(program), names)
    between("the test accuracy of README's example", eval(accuracy, names), 0.5, math.inf)


def test_version_has_one_place():
    from importlib.metadata import version

    assert "version" not in PROJECT
    assert version(DISTRIBUTION) == initkit.__version__


def test_pages_that_repeat_the_version_have_this_one():
    """In the name of the wheel, and as the tag of a hub's image."""
    wheel, tag = r"initkit_course-([^-]+)-py3-none-any\.whl", r'initkit-hub, tag: "(.*?)"'
    for file, pattern in (("README.md", wheel), ("docs/teaching.md", tag), ("docs/teaching.zh.md", tag)):
        assert {*re.findall(pattern, read(file))} == {initkit.__version__}, file


def sessions_of_make() -> list[str]:
    (names,) = re.findall(r"^SESSIONS := ((?:.*\\\n)*.*)$", read("Makefile"), re.MULTILINE)
    return names.replace("\\\n", "").split()


def test_make_runs_the_sessions_of_nox():
    """All of them, and no other; what a session is for is said in one line."""
    functions = [node for node in ast.parse(read("noxfile.py")).body if isinstance(node, ast.FunctionDef)]
    sessions = {
        f.name.rstrip("_").replace("_", "-"): ast.get_docstring(f) for f in functions if f.decorator_list
    }
    assert sorted(sessions_of_make()) == sorted(sessions)
    assert not [name for name, said in sessions.items() if not said or "\n" in said]


@ON_UNIX
def test_make_help_lists_every_target_in_one_line():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout
    # A make started by make announces the folder that it enters.
    lines = [line.split()[1] for line in listed.splitlines() if line.startswith("  make ")]
    assert lines == phony.replace("$(SESSIONS)", " ".join(sessions_of_make())).split()
    wanted = "lab test test-lib test-notebooks bench lint format strip help clean lock sync font"
    assert set(wanted.split()) <= set(lines)


def settings_of(name: str) -> dict:
    return json.loads((course.SETTINGS / "labconfig" / name).read_text(encoding="utf-8"))


def test_jupyterlab_reads_the_override(monkeypatch):
    """On the path that `initkit course` gives its server, and on no other's."""
    from jupyterlab.commands import get_app_dir
    from jupyterlab_server.settings_utils import get_settings

    app = Path(get_app_dir())
    ours = settings_of("default_setting_overrides.json")
    name = "@jupyterlab/apputils-extension:kernels-settings"
    where = [str(app / folder) for folder in ("settings", "schemas", "no-user-settings")]
    settings, _ = get_settings(*where, schema_name=name)
    assert settings["schema"]["properties"]["commsOverSubshells"]["default"] != "disabled"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(course.SETTINGS))
    settings, _ = get_settings(*where, schema_name=name)
    schema = settings["schema"]["properties"]["commsOverSubshells"]
    assert schema["default"] == "disabled"
    assert "disabled" in [choice["const"] for choice in schema["oneOf"]]
    for plugin, wanted in ours.items():
        read, _ = get_settings(*where, schema_name=plugin)
        for key, value in wanted.items():
            assert read["schema"]["properties"][key]["default"] == value


def test_jupyterlab_reads_the_page_config(monkeypatch):
    from jupyterlab.labapp import LabApp
    from jupyterlab_server.config import get_page_config

    ours = settings_of("page_config.json")["disabledExtensions"].keys()
    assert not ours & set(get_page_config(LabApp().labextensions_path)["disabledExtensions"])
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(course.SETTINGS))
    assert ours <= set(get_page_config(LabApp().labextensions_path)["disabledExtensions"])


def loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    return set(run.stdout.split())


def test_import_is_light():
    heavy = {"matplotlib", "ipywidgets", "IPython", "PIL", "torch", "dask", "distributed"}
    heavy |= {"scipy.special", "scipy.linalg", "scipy.optimize"}  # each takes longer to load than NumPy
    assert not heavy & loaded_by("import initkit")


def test_the_base_install_computes_and_names_what_draws():
    """As in an environment without the extra `course`."""
    program = f"""if True:
        import sys
        for package in {sorted(requirements(EXTRAS["course"]))}:
            sys.modules[package] = None
        sys.modules["PIL"] = None
        import initkit as ik, initkit.command
        data = ik.datasets.digits()
        net = ik.MLP([64, 32, 10], rng=0)
        ik.measure(net, data.x_test), ik.predict_for(net, data.x_test), ik.phase("relu", 1.4, 0)
        ik.train(net, data, lr=0.1, epochs=1, rng=0), ik.sweep(abs, [{{}}])
        ik.doctor.identify(net.weights[0])
        for name in ("plots", "live", "course"):
            try:
                getattr(ik, name)
            except ModuleNotFoundError as error:
                print(error)
        print(ik.command.main(["course", "--lang", "en"]))"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert run.stdout.splitlines() == [
        "No module named 'matplotlib', which initkit.plots needs: pip install matplotlib",
        *["No module named 'ipywidgets', which initkit.live needs: pip install matplotlib ipywidgets"] * 2,
        "2",
    ], run.stderr
    assert run.stderr.startswith("initkit course needs ")


def test_the_command_asks_for_all_that_every_lesson_needs():
    assert set(course.PACKAGES) == set(requirements(EXTRAS["course"])) - {"safetensors"}  # lesson 07 alone


def test_hints_to_install_are_made_in_one_place():
    """The texts of the words aside, which say it in two languages."""
    for path in MODULES:
        if name_of(path) != "packages":
            assert "pip install" not in path.read_text(encoding="utf-8"), path


def test_lazy_modules_load_when_used():
    assert "ipywidgets" in loaded_by("import initkit as ik; ik.live")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = initkit.nonsense
    assert {"live", "plots", "he_normal"} <= set(dir(initkit))


def test_public_names_exist():
    for name in initkit.__all__:
        assert getattr(initkit, name) is not None


# The floors, lowest first: a package, or a module that stands alone, may import from floors below its own.
FLOORS = [
    {"arguments", "notebook_files", "words"},
    {"packages"},
    {"activations", "fans", "sampling"},
    {"initializers", "datasets"},
    {"network"},
    {"signals"},
    {"theory", "training"},
    {"sweep", "plots", "spectra"},
    {"widgets", "doctor"},
    {"course"},
    {"live", "command"},
    {"__main__"},
]


DESIGN = read("docs/design.md")


def test_the_design_draws_these_floors():
    """In its picture, from the top: between two strokes one floor, each package at the head of a line."""
    picture = DESIGN.split("```")[1]
    drawn = [set(re.findall(r"(?m)^ {0,3}(\w+) {2,}", part)) for part in re.split(r"(?m)^ +│$", picture)]
    assert [names for names in drawn if names] == FLOORS[-2::-1]  # __main__ is the command's


def test_the_design_and_the_readme_name_every_folder_of_tests():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] not in "_."}
    for text in (DESIGN, read("README.md")):
        (line,) = re.findall(r"(?m)^ *tests/ +(.*)$", text)
        assert set(re.findall(r"\w+", line)) == folders


def test_the_designs_public_names_are_there_with_these_arguments():
    """And the initializers', up to the first net, with these defaults."""
    (code,) = re.findall(r"```python\n(.*?)```", DESIGN, re.DOTALL)
    code = re.sub(r"#.*", "", code)
    defaults, starts = code.index("net "), [match.start() for match in re.finditer(r"\bik\.[\w.]+\(", code)]
    for start in starts:
        call = next(filter(None, (parsed(code[start:end]) for end in range(start, len(code) + 1))))
        signature = inspect.signature(eval(ast.unparse(call.func), {"ik": initkit}))
        given = {word.arg: word.value for word in call.keywords}
        signature.bind(*call.args, **given)
        for name, value in given.items() if start < defaults else ():
            default = signature.parameters[name].default
            assert default in (inspect.Parameter.empty, ast.literal_eval(value)), (call.func.attr, name)
    assert len(starts) > 30


def parsed(code: str) -> ast.Call | None:
    """The call; None where the code ends before the call does."""
    try:
        found = ast.parse(code, mode="eval").body
    except SyntaxError:
        return None
    return found if isinstance(found, ast.Call) else None


def floor(module: str) -> int:
    package = module.partition(".")[0]
    for level, packages in enumerate(FLOORS):
        if package in packages:
            return level
    raise AssertionError(f"{package} stands on no floor: add it to FLOORS where the design has it")


def imports_of(path: Path):
    """Our own modules that a module imports, as dotted names below ``initkit``."""
    package = path.relative_to(ROOT / "initkit").with_suffix("").parts
    package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            deep = [*base, alias.name]
            is_module = (ROOT / "initkit" / Path(*deep)).with_suffix(".py").exists() or (
                ROOT / "initkit" / Path(*deep)
            ).is_dir()
            yield ".".join(deep if is_module else base)


MODULES = sorted(p for p in (ROOT / "initkit").rglob("*.py") if p != ROOT / "initkit" / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "initkit").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "initkit")))
def test_imports_point_down(path):
    module = name_of(path)
    for imported in imports_of(path):
        if imported.partition(".")[0] != module.partition(".")[0]:
            assert floor(imported) < floor(module), f"{module} imports {imported}, which is not below it"


def test_no_modules_import_each_other():
    """Within a package either; an ``__init__``, which gathers the package's names, aside."""
    graph = {name_of(path): set(imports_of(path)) for path in MODULES if path.name != "__init__.py"}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_no_pyplot_in_the_library():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            assert not any("pyplot" in name for name in names), path


def texts_without_encoding(source: str):
    """Lines that read or write text in the machine's encoding, which on Windows is not UTF-8."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if method else getattr(node.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        received = given.get("text", given.get("universal_newlines"))
        mode = given.get("mode", (*node.args, None, None)[1])
        text_mode = mode is None or (isinstance(mode, ast.Constant) and "b" not in str(mode.value))
        as_text = name in ("read_text", "write_text") or (name == "open" and not method and text_mode)
        if "encoding" not in given and (as_text or getattr(received, "value", False) is True):
            yield node.lineno


@pytest.mark.parametrize("folder", ["initkit", "tests", "tools"])
def test_every_text_has_an_encoding(folder):
    modules = [*(ROOT / folder).rglob("*.py"), ROOT / "conftest.py"]
    assert [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules
        for line in texts_without_encoding(path.read_text(encoding="utf-8"))
    ] == []
    for bad in (
        "open(path)",
        "open(path, 'a')",
        "path.read_text()",
        "path.write_text(x)",
        "run(x, text=True)",
    ):
        assert list(texts_without_encoding(bad)) == [1]
    for good in ("open(path, 'rb')", "open(path, encoding='utf-8')", "run(x)", "image.open(path)"):
        assert list(texts_without_encoding(good)) == []
