"""From the slider to changed pixels, in a real browser: a live figure beside ``interact`` + pyplot.

    make bench

The same picture of the same network, two ways, in one notebook. A key moves the slider by one step; the
clock runs in the page, from the key's event to the frame that shows the new picture. The two take
turns, so that a busy machine slows both. Prints the medians and their ratio; the aim is at least 8.
A third widget swaps two pictures that lie ready: what it takes is the browser's and the messages', and
bounds what a live figure can reach.
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

LIVE = """
from initkit import live
live.taste(lang="en")"""

INTERACT = """
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import interact
import initkit as ik
from initkit.course.fonts import style
from initkit.live.taste import EDGES, LAYERS, WIDTH

plt.rcParams.update(style("en"))
x = ik.datasets.digits().x_train[:50]
net = ik.MLP([64, *[WIDTH] * 10, 10], "tanh", "lecun_normal", rng=0)
drawn = [weight.copy() for weight in net.weights]
middle = (EDGES[1:] + EDGES[:-1]) / 2
blue, grey = "#0072B2", "#555555"

def draw(sigma_w=0.5):
    for weight, unit in zip(net.weights, drawn):
        np.multiply(unit, sigma_w, out=weight)
    seen = ik.measure(net, x, edges=EDGES)
    fig, axes = plt.subplots(2, 3, figsize=(8.6, 3.9), sharex=True, sharey=True)
    fig.suptitle("The same digits, on their way through ten tanh layers", fontsize=12, x=0.08, ha="left")
    fig.text(0.985, 0.965, "▲ higher than the axis", ha="right", va="center", fontsize=9, color=grey)
    fig.subplots_adjust(left=0.08, right=0.985, top=0.855, bottom=0.125, wspace=0.14, hspace=0.34)
    for ax, layer in zip(axes.flat, LAYERS):
        share, spread = seen.histograms[layer - 1], seen.activation_var[layer - 1] ** 0.5
        ax.stairs(share, EDGES, fill=True, color=blue)
        ax.plot(middle[share > 0.5], np.full((share > 0.5).sum(), 0.5), "^", color=blue, clip_on=False)
        ax.set_title(f"Layer {layer}", loc="left")
        ax.set_title(f"std {spread:#.2g}", loc="right", color=blue, fontsize=10)
        ax.set(xlim=(-1, 1), xticks=(-1, 0, 1), ylim=(0, 0.5), yticks=(0, 0.25, 0.5))
    for ax in axes[-1]:
        ax.set_xlabel("activation")
    for ax in axes[:, 0]:
        ax.set_ylabel("share")
    plt.show()

interact(draw, sigma_w=(0.1, 4.0, 0.05));"""

SWAP = """
from initkit.live.figure import DRAFT

ready = live.taste(lang="en")
ready.controls["sigma_w"].unobserve_all()
drafts = []
for sigma_w in (0.5, 0.55):
    ready.respond(sigma_w)
    ready._paint(DRAFT)
    drafts.append(ready.image.value)

def swap(change):
    ready.image.value = drafts[round(change["new"] / 0.05) % 2]

swap({"new": 0.5})
ready.controls["sigma_w"].observe(swap, "value")
ready"""

# Resolves with the milliseconds from the key's event to the frame that shows the new picture, as Chromium
# reports it by Element Timing: the moment at which the image's pixels are presented.
WATCH = """
(area) => {
  const picture = () => area.querySelector(".jp-OutputArea-output img");
  const before = picture().src;
  let pressed = null;
  area.addEventListener("keydown", (event) => { pressed ??= event.timeStamp; }, {capture: true, once: true});
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


def measure(reader, repeats: int) -> dict[str, list[float]]:
    page = reader.page
    took = {"live": [], "interact": [], "swap": []}
    for i in range(repeats):
        for cell, name in enumerate(took):
            area = page.locator(".jp-CodeCell").nth(cell)
            area.scroll_into_view_if_needed()
            area.locator(".noUi-handle").focus()
            page.wait_for_timeout(700)  # both at rest
            area.evaluate(WATCH)
            page.keyboard.press("ArrowRight" if i % 2 == 0 else "ArrowLeft")
            milliseconds = page.evaluate("window.__took")
            assert milliseconds is not None, f"{name}: no new picture within 5 s"
            took[name].append(milliseconds)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=25)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in (LIVE, INTERACT, SWAP)]
        book = nbformat.v4.new_notebook(cells=cells, metadata=tool.METADATA)
        nbformat.write(book, Path(folder) / "bench.ipynb")
        port = free_port()
        command = [sys.executable, "-m", "jupyterlab", *lab_arguments(port, "bench")]
        lab = Lab(command, folder, port, "bench", Path(folder) / "lab.log")
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1366, "height": 900})
            reader = Reader(page, lab)
            reader.open("bench.ipynb")
            reader.run_all()
            measure(reader, 3)  # warm up
            took = measure(reader, repeats)
        finally:
            lab.stop()
    medians = {name: statistics.median(values) for name, values in took.items()}
    for name, values in took.items():
        print(f"{name:9} median {medians[name]:6.1f} ms, from {min(values):.1f} to {max(values):.1f}")
    for name, what in (("live", "(aim: 8)"), ("swap", "if the kernel had nothing to do")):
        print(f"slider to changed pixels: {medians['interact'] / medians[name]:.1f} times faster {what}")


if __name__ == "__main__":
    main()
