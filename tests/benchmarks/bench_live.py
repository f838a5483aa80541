"""From the slider to changed pixels, in a real browser: a live figure beside ``interact`` + pyplot.

    make bench

The same picture of the same network, two ways, in one notebook. A key moves the slider by one step; the
clock runs in the page, from the key's event to the frame that shows the new picture. The two take
turns, so that a busy machine slows both. Prints the medians and their ratio; the aim is at least 8.
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
from functools import partial
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import interact
import initkit as ik
from initkit.live.taste import EDGES, LAYERS, WIDTH

x = ik.datasets.digits().x_train[:50]

def draw(sigma_w=0.5):
    init = partial(ik.variance_scaling, scale=sigma_w**2, distribution="normal")
    net = ik.MLP([64, *[WIDTH] * 10, 10], "tanh", init, rng=0)
    seen = ik.measure(net, x, edges=EDGES)
    fig, axes = plt.subplots(2, 3, figsize=(8.6, 3.9), sharex=True, sharey=True)
    fig.suptitle("The same digits, on their way through ten tanh layers", x=0.07, ha="left")
    for ax, layer in zip(axes.flat, LAYERS):
        ax.stairs(seen.histograms[layer - 1], EDGES, fill=True)
        ax.set_title(f"Layer {layer}   std {seen.activation_var[layer - 1] ** 0.5:.2g}", loc="left")
        ax.set(ylim=(0, 0.5), xlabel="activation", ylabel="share")
    plt.show()

interact(draw, sigma_w=(0.1, 4.0, 0.05));"""

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
    took = {"live": [], "interact": []}
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
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in (LIVE, INTERACT)]
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
    print(f"slider to changed pixels: {medians['interact'] / medians['live']:.1f} times faster (aim: 8)")


if __name__ == "__main__":
    main()
