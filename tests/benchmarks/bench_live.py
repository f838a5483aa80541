"""From the slider to changed pixels, in a real browser: a live figure beside ``interact`` + pyplot.

    make bench

Of every live figure: the same picture of the same network, two ways, in one notebook. A key moves the
first control by one step (of a menu: the choice); the clock runs in the page, from that event to the frame
that shows the new picture. The two take turns, so that a busy machine slows both. What a figure trains is
trained before the clock runs. Prints the medians, their ratios, and the median of these; the aim is at least
8, and no figure under 4.

A live figure draws what is beside while the hand rests, so "live" is one step of a hand that rested for
0.7 s, as is all else. "jump" goes further: of a slider by PageUp, to what does not lie ready; of a menu two
on or more, which does.
Beside the first figure another widget swaps two pictures that lie ready: what it takes is the browser's and
the messages', and bounds what a live figure can reach.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright
from reading import FLAGS, Lab, Reader, chromium, free_port, lab_arguments

import notebooks as tool

FIGURES = ("taste", "why_initialization", "zero_and_symmetry", "random", "xavier", "he", "choosing", "doctor")

LIVE = """
from initkit import live
live.{name}(lang="en")"""

# Without LiveFigure: the same values into the same picture, drawn anew by pyplot at each change, and an
# ordinary control.
INTERACT = """
import ipywidgets
import matplotlib.pyplot as plt
from initkit import live, plots
from initkit.course.fonts import style

plt.rcParams.update(style("en"))

def remembering(cls, *args, **kwargs):
    picture = object.__new__(cls)
    picture.arguments = args, kwargs
    return picture

plots.Picture.__new__ = remembering
figure = live.{name}(lang="en")
name, control = next(iter(figure.controls.items()))
values = {{n: c.value for n, c in figure.controls.items()}}
plain = next(c for c in type(control).__mro__ if c.__module__.startswith("ipywidgets."))
traits = ("min", "max", "step", "base", "options", "value")
plain = plain(**{{t: getattr(control, t) for t in traits if control.has_trait(t)}})
plots.Figure = lambda lang, width=8.6, height=3.9: plt.figure(figsize=(width, height))

def draw(value):
    args, kwargs = figure.picture.arguments
    figure.picture.__init__(*args, **kwargs)
    steps = figure.respond(**{{**values, name: value}})
    for _ in steps or ():
        pass
    plt.show()

ipywidgets.interact(draw, value=plain);"""

SWAP = """
from initkit import live
from initkit.live.figure import DRAFT

ready = live.taste(lang="en")
control = ready.controls["sigma_w"]
control.unobserve_all()
drafts = []
for sigma_w in (0.5, 0.55):
    ready.respond(sigma_w)
    ready._paint(DRAFT)
    drafts.append(bytes(ready.image.value))

def swap(change):
    ready.image.value = drafts[round(change["new"] / 0.05) % 2]

swap({{"new": 0.5}})
control.observe(swap, "value")
ready"""

# Resolves with the milliseconds from the key's event to the frame that shows the new picture, as Chromium
# reports it by Element Timing: the moment at which the image's pixels are presented.
WATCH = """
(area) => {
  const picture = () => area.querySelector(".jp-OutputArea-output img");
  const before = picture().src;
  let pressed = null;
  for (const kind of ["keydown", "change"])
    area.addEventListener(kind, (event) => { pressed ??= event.timeStamp; }, {capture: true, once: true});
  const mark = () => picture()?.setAttribute("elementtiming", "picture");
  mark();
  new MutationObserver(mark).observe(area, {subtree: true, childList: true});
  window.__took = new Promise((resolve) => {
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        if (pressed !== null && entry.renderTime > pressed && picture().src !== before)
          resolve(entry.renderTime - pressed);
    }).observe({type: "element", buffered: false});
    setTimeout(() => resolve(null), 5000);
  });
}"""


CELLS = {"live": LIVE, "swap": SWAP, "interact": INTERACT}
# From one choice of a menu to another, in turns: "live" goes on one, and "jump" from there.
CHOICES = {"live": (1, 2), "jump": (3, 0), "swap": (1, 0), "interact": (1, 0)}


def measure(reader, kinds, repeats: int) -> dict[str, list[float]]:
    """``kinds``: the cells there are."""
    page = reader.page
    took = {kind: [] for kind in ("live", "jump", *kinds)}
    for i in range(repeats):
        for kind in took:
            area = page.locator(".jp-CodeCell").nth(list(kinds).index("live" if kind == "jump" else kind))
            area.scroll_into_view_if_needed()
            first = area.locator(".noUi-handle, select").first
            slides = first.evaluate("control => control.tagName") != "SELECT"
            first.focus()
            page.wait_for_timeout(700)  # all at rest
            area.evaluate(WATCH)
            if slides:
                up, down = ("PageUp", "PageDown") if kind == "jump" else ("ArrowRight", "ArrowLeft")
                page.keyboard.press((up, down)[i % 2])
            else:
                area.locator("select").first.select_option(index=CHOICES[kind][i % 2])
            milliseconds = page.evaluate("window.__took")
            assert milliseconds is not None, f"{kind}: no new picture within 5 s"
            took[kind].append(milliseconds)
    return took


def bench(reader, folder: Path, name: str, repeats: int) -> dict[str, float]:
    """The medians in ms of one figure."""
    # The last one changes plots for its own purpose, and the others are built by then.
    kinds = [kind for kind in CELLS if kind != "swap" or name == "taste"]
    cells = [nbformat.v4.new_code_cell(CELLS[kind].strip().format(name=name)) for kind in kinds]
    book = nbformat.v4.new_notebook(cells=cells, metadata=tool.METADATA)
    nbformat.write(book, folder / f"{name}.ipynb")
    reader.open(f"{name}.ipynb")
    reader.run_all()
    measure(reader, kinds, 4)  # warm up; and what is trained once is kept
    took = measure(reader, kinds, repeats)
    medians = {kind: statistics.median(values) for kind, values in took.items()}
    for kind, values in took.items():
        print(
            f"{name:18} {kind:9} median {medians[kind]:6.1f} ms, from {min(values):.1f} to {max(values):.1f}"
        )
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--figures", nargs="*", default=FIGURES)
    arguments = parser.parse_args()
    ratios, jumps = {}, {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port = free_port()
        command = [sys.executable, "-m", "jupyterlab", *lab_arguments(port, "bench")]
        lab = Lab(command, folder, port, "bench", Path(folder) / "lab.log")
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            for name in arguments.figures:
                page = browser.new_page(viewport={"width": 1366, "height": 900})
                medians = bench(Reader(page, lab), Path(folder), name, arguments.repeats)
                page.close()
                ratios[name] = medians["interact"] / medians["live"]
                jumps[name] = medians["interact"] / medians["jump"]
                if "swap" in medians:
                    bound = medians["interact"] / medians["swap"]
                    print(f"{name:18} {bound:.1f} times faster if the kernel had nothing to do")
        finally:
            lab.stop()
    for name, ratio in ratios.items():
        print(f"{name:18} {ratio:.1f} times faster (aim: none under 4), a jump {jumps[name]:.1f}")
    print(
        f"slider to changed pixels, median: {statistics.median(ratios.values()):.1f} times faster (aim: 8), "
        f"a jump {statistics.median(jumps.values()):.1f}"
    )


if __name__ == "__main__":
    main()
