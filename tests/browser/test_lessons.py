"""Lessons in a real JupyterLab and browser: each opens, runs, and answers the reader's hand."""

import json
import os
import urllib.request
from pathlib import Path

import nbformat
import pytest
from reading import wait_for

import notebooks as tool

# Every lesson is read in tests/site, where no server is; here two that train, and one in Chinese.
LESSONS = [("en", "02_zero_and_symmetry.ipynb"), ("en", "06_choosing.ipynb"), ("zh", "05_he.ipynb")]
# Where to keep pictures of the pages, for eyes: INITKIT_SHOTS=folder make test-browser
SHOTS = os.environ.get("INITKIT_SHOTS")


def shoot(page, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


@pytest.mark.parametrize(("lang", "name"), LESSONS, ids=lambda part: part.removesuffix(".ipynb"))
def test_lesson_answers_the_hand(reader, lang, name):
    reader.open(f"{lang}/{name}")
    reader.run_all()
    assert reader.errors() == []
    figures = 0
    for cell in reader.code_cells():
        figure = cell.locator(".jp-OutputArea-output .widget-vbox:has(> .widget-gridbox > .widget-image)")
        if figure.count():
            use_every_control(reader, figure, f"{lang}-{Path(name).stem}-{figures}")
            figures += 1
        elif cell.locator(".widget-radio").count():
            answer_every_way(
                reader, cell, f"{lang}-{Path(name).stem}-quiz{cell.get_attribute('data-windowed-list-index')}"
            )
    assert figures > 0
    assert reader.errors() == []
    assert reader.widget_errors() == []


def use_every_control(reader, figure, name, finger=False, options=None):
    """``finger``: a finger moves each slider, too. ``options``: of each menu, at most so many."""
    page, image = reader.page, figure.locator("img.widget-image")
    before = reader.settle(image)
    shoot(page, f"{name}-start")
    place = place_of(image, figure)
    sliders, menus = figure.locator(".noUi-handle"), figure.locator("select")
    assert sliders.count() + menus.count() > 0
    for s in range(sliders.count()):
        # The keyboard, then the mouse.
        sliders.nth(s).focus()
        for _ in range(8):  # until it shows: from ε = 0 to 1e-9 nothing moves
            page.keyboard.press("ArrowRight")
            after = reader.settle(image)
            if after != before:
                break
        assert after != before
        drag_to_the_end(page, sliders.nth(s), figure.locator(".noUi-target").nth(s), steps=40)
        dragged = reader.settle(image)
        assert dragged != after  # it may be as before the key: lesson 10's bars are all at the end already
        shoot(page, f"{name}-slider{s}")
        before = dragged
        if finger:
            take_to_the_start(page, sliders.nth(s), figure.locator(".noUi-target").nth(s))
            sliders.nth(s).focus()
            assert reader.settle(image) != dragged
            page.keyboard.press("End")  # at all starts together other controls may have nothing to show
            before = reader.settle(image)
    for m in range(menus.count()):
        chosen = menus.nth(m).evaluate("menu => menu.selectedOptions[0].text")
        others = [text for text in menus.nth(m).locator("option").all_inner_texts() if text != chosen]
        for option in others[::-1][:options]:
            menus.nth(m).select_option(option)
            chosen = reader.settle(image)
            assert chosen != before, option
            shoot(page, f"{name}-{option.split()[0].replace('/', ' over ')}")
            before = chosen
    assert place_of(image, figure) == place, "the picture jumped"


def answer_every_way(reader, cell, name):
    """Each choice of a quiz gets feedback of its own; one of them is right."""
    choices = cell.locator("input[type=radio]")
    said = []
    for i in range(choices.count()):
        choices.nth(i).check()
        reader.page.wait_for_timeout(300)
        said.append(cell.locator("[role=status]").inner_text())
        shoot(reader.page, f"{name}-{i}")
    assert len(set(said)) == len(said) > 2
    assert sorted(text[0] for text in said) == sorted("✓" + "✗" * (len(said) - 1))


def drag_to_the_end(page, slider, track, steps):
    handle, track = slider.bounding_box(), track.bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] + 30, track["y"] + 5, steps=steps)
    page.mouse.up()


def take_to_the_start(page, slider, track):
    """By a finger, as on a phone: to the left and down, where sliders that lie and upright ones start."""
    slider.scroll_into_view_if_needed()
    handle, track = slider.bounding_box(), track.bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    left, low = track["x"], track["y"] + track["height"]
    session = page.context.new_cdp_session(page)
    for step in range(11):
        kind = "touchMove" if step else "touchStart"
        points = [{"x": x + (left - x) * step / 10, "y": y + (low - y) * step / 10}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(30)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def place_of(image, figure):
    """Where in the figure, and how high: in CSS pixels, whatever the page has scrolled."""
    return image.bounding_box()["y"] - figure.bounding_box()["y"], image.bounding_box()["height"]


def test_a_click_on_a_map_sets_both_controls(reader):
    """At the width of a screen, a tablet and a phone: the sheet lies where the picture is, which is readable.

    Where the page is too narrow for its text, the picture is scrolled in its box, and nothing else is.
    """
    still = "live.edge_of_chaos.still(lang='en')"
    write(reader.lab, "click.ipynb", "from initkit import live\nlive.edge_of_chaos(lang='en')", still)
    page = reader.page
    reader.open("click.ipynb")
    run_cell(reader, 0)
    run_cell(reader, 1)
    page.keyboard.press("Control+b")  # the list of files, which leaves a phone nothing
    image, cells = page.locator("img.widget-image"), page.locator(".initkit-sheet label:has(input)")
    for width, row, column, place in ((1366, 3, 11, ["1.60", "0.55"]), (820, 11, 3, ["0.80", "0.15"]),
                                      (390, 7, 19, ["2.40", "0.35"])):  # fmt: skip
        page.set_viewport_size({"width": width, "height": 900})
        before = reader.settle(image)
        cells.nth(26 * row + column).click()
        assert reader.settle(image) != before
        assert page.locator(".widget-readout").all_inner_texts() == place
        shoot(page, f"click-{width}")
        shown, wide, high = image.evaluate(
            "({parentElement: box, width, height}) => [[box.clientWidth, box.scrollWidth], width, height]"
        )
        assert 10 <= 12.5 * wide / 860 <= 12.5, "the smallest text"
        assert high == pytest.approx(520 * wide / 860, abs=1)
        assert (shown[1] > shown[0]) is (wide > shown[0])
        figure = page.locator(".widget-vbox:has(> .widget-gridbox)")
        for outer in (figure, page.locator(".jp-WindowedPanel-outer"), page.locator("html")):
            assert outer.evaluate("box => box.scrollWidth <= box.clientWidth")
    still = page.locator(".jp-RenderedImage img")
    still.scroll_into_view_if_needed()
    assert still.evaluate("image => image.width") == wide, "a still picture on a phone"
    page.set_viewport_size({"width": 1366, "height": 900})
    assert reader.widget_errors() == []


def test_a_fast_drag_draws_less_than_it_passes_and_ends_where_the_hand_ends(reader):
    """Values that wait are replaced by newer ones, so that the picture never lags behind."""
    code = """
from initkit import live
figure = live.taste(lang="en")
slow = figure.respond
def respond(**values):
    import time
    time.sleep(0.1)
    slow(**values)
figure.respond = respond
figure""".strip()
    write(reader.lab, "drag.ipynb", code, "print(figure.frames, figure.controls['sigma_w'].value)")
    page = reader.page
    reader.open("drag.ipynb")
    run_cell(reader, 0)
    image = page.locator("img.widget-image")
    reader.settle(image)
    steps = 60
    drag_to_the_end(page, page.locator(".noUi-handle"), page.locator(".noUi-target"), steps)
    reader.settle(image)
    run_cell(reader, 1)
    frames, value = page.locator("[data-mime-type='application/vnd.jupyter.stdout']").inner_text().split()
    assert float(value) == 4.0
    assert 2 <= int(frames) < steps / 2


def test_widget_messages_come_on_the_main_thread(reader):
    """The override that the project installs is in effect in the browser."""
    code = """
import threading, ipywidgets
seen = ipywidgets.Label("nothing yet")
button = ipywidgets.Button(description="which")
button.on_click(lambda _: setattr(seen, "value", threading.current_thread().name))
ipywidgets.VBox([button, seen])""".strip()
    write(reader.lab, "thread.ipynb", code)
    reader.open("thread.ipynb")
    run_cell(reader, 0)
    reader.page.click("button.widget-button")
    label = reader.page.locator(".widget-label:text-is('MainThread')")
    label.wait_for(timeout=15_000)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_live_figures_are_safe_where_the_override_is_not(reader, lang):
    """Widget messages on a second thread, beside cells that draw with pyplot: no error, right pictures."""
    code = f"""
from initkit import live
from initkit.course.lessons.start_here import LayerHistograms
figure = live.taste(lang="{lang}")
figure""".strip()
    busy = """
import numpy as np
shares, spreads, edges = np.full((6, 4), 0.2), np.ones(6), np.linspace(-1, 1, 5)
for i in range(40):
    LayerHistograms(range(1, 7), edges, "zh").still(shares * i / 8, spreads)._repr_png_()
print("drawn", figure.error, figure.frames)""".strip()
    write(reader.lab, "threads.ipynb", code, busy)
    page = reader.page
    reader.open("threads.ipynb")
    set_comms(reader, "perCommTarget")
    try:
        reader.open("threads.ipynb")
        run_cell(reader, 0)
        image = page.locator("img.widget-image")
        before = reader.settle(image)
        start_cell(reader, 1)
        page.locator(".noUi-handle").focus()
        for _ in range(15):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(50)
        reader.wait_idle()
        after = reader.settle(image)
        assert after != before
        printed = page.locator("[data-mime-type='application/vnd.jupyter.stdout']").inner_text()
        assert printed.startswith("drawn None")
        assert reader.errors() == []
    finally:
        set_comms(reader, "disabled")


def set_comms(reader, value):
    """As a reader's own setting, which wins over the project's."""
    name = "@jupyterlab/apputils-extension:kernels-settings"
    request = urllib.request.Request(
        f"{reader.lab.url}/lab/api/settings/{name}?token={reader.lab.token}",
        data=json.dumps({"raw": json.dumps({"commsOverSubshells": value})}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request)


def write(lab, name, *cells):
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata=tool.METADATA
    )
    nbformat.write(book, lab.folder / name)


def start_cell(reader, index):
    reader.page.locator(".jp-CodeCell").nth(index).locator(".jp-InputArea-prompt").click()
    reader.page.keyboard.press("Control+Enter")


def run_cell(reader, index):
    start_cell(reader, index)
    cell = reader.page.locator(".jp-CodeCell").nth(index)
    wait_for(lambda: reader.has_run(cell), 60, "the cell has run")
    reader.wait_idle()
