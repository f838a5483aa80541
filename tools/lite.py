"""Build the course that runs in a browser: JupyterLite, with Python in WebAssembly (Pyodide) and no server.

    python tools/lite.py OUT                    Python comes from Pyodide's CDN
    python tools/lite.py OUT --offline FOLDER   FOLDER, a Pyodide distribution, goes into the site, which
                                                asks nothing of anywhere else

``jupyter lite build`` makes the pages and copies the notebooks into them. What is ours is the list of
packages, a ``pyodide-lock.json``: Pyodide's own with initkit, ipywidgets, comm and tqdm added. The kernel
loads from it what a cell imports, so that no notebook needs an installation cell. All names in the site are
relative: it works in any folder of any static web server.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = Path(sys.executable)
# The Pyodide that jupyterlite-pyodide-kernel names as its own; its lock is in npm's package.
PYODIDE = "314.0.6"
CDN = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
KERNEL = "@jupyterlite/pyodide-kernel-extension"
# Packages that the kernel starts with. They come with Pyodide; the kernel would install them one by one.
STARTS = ["micropip", "ipython", "jedi", "comm"]
# Files of Pyodide itself in a distribution; which of them it has depends on its version.
CORE = [
    "pyodide.js", "pyodide.mjs", "pyodide.asm.js", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip",
]  # fmt: skip
# Wheels added to Pyodide's list of packages, each with the packages that it needs.
ADDED = {"comm": [], "tqdm": [], "ipywidgets": ["comm", "ipython", "traitlets"]}
INITKIT = ["numpy", "scipy", "matplotlib", "pillow", "ipywidgets", "tqdm"]
# initkit needs these too, where Pyodide has them: lesson 07 reads a checkpoint of the reader's own.
IF_THERE = ["safetensors"]
# The kernel's wheels, each with the packages that it needs. A Pyodide older than the one that the extension
# is made for wants its own versions of them: FOLDER then has them.
KERNEL_WHEELS = {
    "piplite": ["micropip"],
    "ipykernel": [],
    "pyodide-kernel": ["ipython", "comm", "traitlets"],
}
# For Node.js: starts the Pyodide of a folder, which Python then sees as /site, and runs a file in it.
IN_NODE = """
const [folder, file, ...packages] = process.argv.slice(1);
const { readFileSync } = await import("node:fs");
const { loadPyodide } = await import(`${folder}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: folder, packages });
python.FS.mkdirTree("/site");
python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, "/site");
try {
  python.runPython(readFileSync(file, "utf8"));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
"""
APPS = ["notebooks", "lab", "tree"]  # one notebook; notebooks beside a list of files; the list alone
# One notebook opens half a second later with a menu of recent ones: a page waits for the list to be saved.
RECENT = [
    "@jupyterlab/docmanager-extension:recents",
    "@jupyterlab/docmanager-extension:reopen-recently-closed",
    "@jupyterlab/mainmenu-extension:recents",
]
# Plugins that no lesson has a use for, each with words that only its part of JupyterLab's code holds. They
# are switched off and their code is left out, a quarter of what the site is without Python.
UNUSED = {
    "@jupyterlab/mermaid-extension": ["mermaidAPI", "org.eclipse.elk"],  # diagrams, and how they are laid out
    "@jupyterlab/terminal-extension": ["registerLinkProvider", "CanvasAddon", "WebglAddon"],
    "@jupyterlab/vega5-extension": [":vega_identifier:", "vega-lite"],  # charts
}
# Of the languages that JupyterLab's editor colours, those that a reader of the course may open a file in,
# beside Python and Markdown, which stay in any case.
COLOURED = ["CSS", "HTML", "JSON", "Javascript", "LaTeX", "Shell", "TOML", "XML", "YAML", "diff"]
OVERRIDES = {
    # A long output, such as the glossary, is shown whole, not scrolled in a box.
    "@jupyter-notebook/notebook-extension:scroll-output": {"autoScrollOutputs": False},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def canonical(name: str) -> str:
    """The name of a package as PyPI writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def run(*command: object, cwd: Path = ROOT) -> str:
    """The standard output of a command; where it fails, its errors are shown and end the build."""
    if not shutil.which(command[0]):
        sys.exit(f"{command[0]} is missing: the site is made with Node.js and its npm")
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def fetch_wheels(folder: Path) -> dict[str, Path]:
    """initkit's wheel, built, and those of the packages beside it in the versions of the lock."""
    lock, ours = ROOT / "constraints.txt", folder / "initkit"
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--build-constraint", lock, "--wheel-dir", ours, ROOT)
    run(*pip, "download", "--no-deps", "--only-binary=:all:", "--constraint", lock, "--dest", folder, *ADDED)
    return {**wheels_in(folder), "initkit": without_lessons(next(ours.glob("*.whl")), folder)}


def without_lessons(wheel: Path, folder: Path) -> Path:
    """The wheel's code alone, a third of it: the lessons are in the site."""
    lighter = folder / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(lighter, "w", zipfile.ZIP_DEFLATED) as part:
        for name in whole.namelist():
            if not name.startswith("initkit/notebooks/"):
                part.writestr(name, whole.read(name))
    return lighter


def wheels_in(folder: Path) -> dict[str, Path]:
    """The wheels of a folder by the names of their packages; none may have two."""
    wheels: dict[str, Path] = {}
    for path in sorted(folder.glob("*.whl")):
        name = canonical(path.name.split("-")[0])
        if name in wheels:
            raise SystemExit(f"{folder} has two wheels of {name}: {wheels[name].name}, {path.name}")
        wheels[name] = path
    return wheels


def entry(name: str, wheel: Path, depends: list[str]) -> dict:
    """The entry of a wheel in the ``pyodide-lock.json`` beside it; the package is imported by its name."""
    return {
        "name": name,
        "version": wheel.name.split("-")[1],
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": [name.replace("-", "_")],
        "depends": depends,
        "unvendored_tests": False,
    }


def needed(packages: dict[str, dict], names: list[str]) -> dict[str, dict]:
    """Those of ``names`` that are among ``packages``, with all that they depend on."""
    todo, kept = [name for name in map(canonical, names) if name in packages], {}
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = packages[name]
            todo += map(canonical, packages[name]["depends"])
    return dict(sorted(kept.items()))


def official_lock(folder: Path) -> dict:
    """Pyodide's list of packages, with absolute addresses."""
    archive = run("npm", "pack", f"pyodide@{PYODIDE}", "--silent", cwd=folder).split()[-1]
    with tarfile.open(folder / archive) as packed:
        lock = json.load(packed.extractfile("package/pyodide-lock.json"))
    for package in lock["packages"].values():
        package["file_name"] = CDN + package["file_name"]
    return lock


def build(out: Path, offline: Path | None) -> None:
    """Build the site into ``out``; where something goes wrong, what was there stays."""
    with tempfile.TemporaryDirectory() as temporary:
        # Not in ROOT: JupyterLite drops jupyter-lite.json where the output's path begins with the source's.
        work = Path(temporary)
        static = work / "pyodide"
        for folder in (work / "wheels", work / "lite", static):
            folder.mkdir()
        wheels = fetch_wheels(work / "wheels")
        added = {**ADDED, "initkit": list(INITKIT)}
        kernel, older = {"disablePyPIFallback": True, "loadPyodideOptions": {}}, {}
        if offline:
            lock = json.loads((offline / "pyodide-lock.json").read_text(encoding="utf-8"))
            older = {name: path for name, path in wheels_in(offline).items() if name in KERNEL_WHEELS}
            wheels |= older
            added |= {name: KERNEL_WHEELS[name] for name in older}
            kernel["pyodideUrl"] = "./static/pyodide/pyodide.mjs"
        else:
            lock = official_lock(work)
            kernel["pyodideUrl"] = CDN + "pyodide.mjs"
            kernel["loadPyodideOptions"]["lockFileURL"] = "./static/pyodide/pyodide-lock.json"
        packages = {canonical(name): package for name, package in lock["packages"].items()}
        added["initkit"] += [name for name in IF_THERE if name in packages]
        for name, depends in added.items():
            packages[name] = entry(name, wheels[name], depends)
            shutil.copy(wheels[name], static)
        # Pyodide would not start with a package that its list has not.
        kernel["loadPyodideOptions"]["packages"] = [name for name in (*STARTS, *older) if name in packages]
        if offline:
            # An offline site has these packages alone; from the CDN, readers can import all of Pyodide's.
            packages = needed(packages, [*STARTS, *added])
            for package in packages.values():
                if not (static / package["file_name"]).exists():
                    copy_checked(offline / package["file_name"], static, package["sha256"])
            for name in CORE:
                if (offline / name).exists():
                    shutil.copy(offline / name, static)
        lock["packages"] = packages
        write_lock(static, lock)
        if offline:
            add_bytecode(static, lock)
        config = {
            "appName": "initkit",
            # Else the page asks for its "busy" icon and back at every step of a slider, before the picture.
            "disabledExtensions": ["@jupyterlab/application-extension:faviconbusy", *UNUSED],
            "litePluginSettings": {f"{KERNEL}:kernel": kernel},
        }
        (work / "lite" / "notebooks").mkdir()
        for place, settings in (".", config), ("notebooks", {"disabledExtensions": RECENT}):
            lite = {"jupyter-lite-schema-version": 0, "jupyter-config-data": settings}
            (work / "lite" / place / "jupyter-lite.json").write_text(json.dumps(lite), encoding="utf-8")
        (work / "lite" / "overrides.json").write_text(json.dumps(OVERRIDES), encoding="utf-8")
        lists = {"contents": [ROOT / "notebooks"], "apps": APPS, "piplite-wheels": [wheels["comm"]]}
        options = [f"--{name}={value}" for name, values in lists.items() for value in values]
        jupyter = PYTHON.parent / "jupyter"
        run(
            jupyter,
            "lite",
            "build",
            "--no-sourcemaps",
            f"--output-dir={work / 'out'}",
            *options,
            cwd=work / "lite",
        )
        for suffix in ("eot", "svg", "ttf", "woff"):  # icons' fonts for browsers that cannot run WebAssembly
            for path in (work / "out" / "build").glob(f"fa-*.{suffix}"):
                path.unlink()
        leave_out_unused(work / "out" / "build")
        # JupyterLab's icon has 319 kB, the notebook's 1.
        shutil.copy(work / "out" / "notebooks" / "favicon.ico", work / "out" / "lab")
        # Copied here, as JupyterLite takes only a whole distribution.
        shutil.copytree(static, work / "out" / "static" / "pyodide")
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "out", out)


def leave_out_unused(code: Path) -> None:
    """Delete the chunks of JupyterLab's code that only parts of UNUSED, or languages not COLOURED, load."""
    # By a chunk's number, which is its name's beginning; jlab_core and the apps' own files have none.
    texts = {path: path.read_text(encoding="utf-8") for path in code.rglob("*.js")}
    paths = {path.name.split(".")[0]: path for path in texts if re.match(r"\d+\.", path.name)}
    loaders: dict[str, set[str]] = {number: set() for number in paths}
    for path, text in texts.items():
        for number in loaded(text) & paths.keys():
            loaders[number].add(path.name.split(".")[0])
    (core,) = (text for path, text in texts.items() if path.name.startswith("jlab_core."))
    languages = re.findall(r'\{name:"([^"]+)"(?:(?!\{name:).)*?load:async\(\)=>(.+?)\.then', core)
    gone = set().union(*(loaded(load) for _, load in languages)) & paths.keys()
    for mark in (mark for marks in UNUSED.values() for mark in marks):
        holding = {number for number, path in paths.items() if mark in texts[path]}
        if not holding:
            sys.exit(f"JupyterLab's code, of which {mark} is to be left out, holds it nowhere")
        gone |= holding
    gone -= set().union(*(loaded(load) for name, load in languages if name in COLOURED))
    while more := {number for number, by in loaders.items() if by and by <= gone} - gone:
        gone |= more
    for number in gone:
        paths[number].unlink()


def loaded(code: str) -> set[str]:
    """The numbers of the chunks that some code loads."""
    return set(re.findall(r"\.e\((\d+)\)", code))


def add_bytecode(static: Path, lock: dict) -> None:
    """Add the bytecode of what a lesson imports first, compiled in Node.js; the wheels' checksums change."""
    script = ROOT / "tools" / "bytecode.py"
    run("node", "--input-type=module", "--eval", IN_NODE, static, script, *lock["packages"])
    for package in lock["packages"].values():
        package["sha256"] = hashlib.sha256((static / package["file_name"]).read_bytes()).hexdigest()
    write_lock(static, lock)


def write_lock(static: Path, lock: dict) -> None:
    """Write the list of packages where the kernel looks for it."""
    (static / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")


def copy_checked(source: Path, folder: Path, sha256: str) -> None:
    """Copy a file of a distribution; the build ends where it is missing or has another checksum."""
    if not source.exists():
        sys.exit(f"{source} is missing: a lesson needs it")
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{source} is not the file that pyodide-lock.json beside it names: another or a damaged one")
    (folder / source.name).write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--offline", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    out, offline = arguments.out.resolve(), arguments.offline and arguments.offline.resolve()
    if offline and not (offline / "pyodide-lock.json").is_file():
        sys.exit(f"{offline} is no Pyodide distribution: it has no pyodide-lock.json")
    build(out, offline)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    print(f"{out}: {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
