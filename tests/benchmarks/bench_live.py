"""From the slider to changed pixels, in a real browser: a live figure beside ``interact`` + pyplot.

    make bench

Of every live figure: the same picture of the same network, two ways, in one notebook. A key moves the
first control by one step (of a menu: the choice); the clock runs in the page, from that event to the frame
that shows the new picture. The two take turns, so that a busy machine slows both. What a figure trains is
trained before the clock runs. Prints the medians, their ratios, and the median of these; the aim is at least
8, and no figure under 4.

All is measured with a hand that rested for 0.7 s.
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
from initkit.course.registry import FIGURES

LIVE = """
from initkit import live
live.{name}(lang="en")"""

# Without LiveFigure: the same values into the same picture, drawn anew by pyplot at each change, and an
# ordinary control.
INTERACT = """
import ipywidgets
import matplotlib.pyplot as plt
from initkit import live, plots
from initkit.words.fonts import style

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
from initkit.widgets.render import DRAFT

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
ALONE = {"finite_width"}  # its bars are no control of ipywidgets: nothing to measure beside it
CHOICES = (1, 0)  # of a menu, in turns


def measure(reader, kinds, repeats: int) -> dict[str, list[float]]:
    """``kinds``: the cells there are."""
    page = reader.page
    took = {kind: [] for kind in kinds}
    for i in range(repeats):
        for kind in took:
            area = page.locator(".jp-CodeCell").nth(list(kinds).index(kind))
            area.scroll_into_view_if_needed()
            first = area.locator(".noUi-handle, select").first
            slides = first.evaluate("control => control.tagName") != "SELECT"
            first.focus()
            page.wait_for_timeout(700)  # all at rest
            area.evaluate(WATCH)
            if slides:
                page.keyboard.press(("ArrowRight", "ArrowLeft")[i % 2])
            else:
                area.locator("select").first.select_option(index=CHOICES[i % 2])
            milliseconds = page.evaluate("window.__took")
            assert milliseconds is not None, f"{kind}: no new picture within 5 s"
            took[kind].append(milliseconds)
    return took


def bench(reader, folder: Path, name: str, repeats: int) -> dict[str, float]:
    """The medians in ms of one figure."""
    # The last one changes plots for its own purpose, and the others are built by then.
    kinds = [kind for kind in CELLS if kind != "swap" or name == "taste"]
    kinds = kinds[:1] if name in ALONE else kinds
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
    parser.add_argument("--figures", nargs="*", default=sorted(FIGURES))
    arguments = parser.parse_args()
    ratios = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port = free_port()
        command = [sys.executable, "-m", "initkit", "course", ".", *lab_arguments(port, "bench")]
        lab = Lab(command, folder, port, "bench", Path(folder) / "lab.log")
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            for name in arguments.figures:
                page = browser.new_page(viewport={"width": 1366, "height": 2400})  # all cells in view
                medians = bench(Reader(page, lab), Path(folder), name, arguments.repeats)
                page.close()
                if name not in ALONE:
                    ratios[name] = medians["interact"] / medians["live"]
                if "swap" in medians:
                    bound = medians["interact"] / medians["swap"]
                    print(f"{name:18} {bound:.1f} times faster if the kernel had nothing to do")
        finally:
            lab.stop()
    for name, ratio in ratios.items():
        print(f"{name:18} {ratio:.1f} times faster (aim: none under 4)")
    print(f"slider to changed pixels, median: {statistics.median(ratios.values()):.1f} times faster (aim: 8)")


if __name__ == "__main__":
    main()
