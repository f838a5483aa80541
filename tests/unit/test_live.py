"""The live figures: right pixels, newest value wins, nothing swallowed, every language drawn."""

import asyncio
import io
import logging
import re
import sys
import threading
import urllib.request
import warnings

import ipywidgets as widgets
import matplotlib
import numpy as np
import pytest
from PIL import Image

from initkit import course, datasets, live, measure, plots
from initkit.course.lessons import doctor
from initkit.course.registry import FIGURES
from initkit.widgets import controls
from initkit.widgets import figure as schedule
from initkit.widgets.figure import ERROR_CLASS
from initkit.widgets.render import CRISP
from initkit.words.fonts import style


class Dot(plots.Picture):
    """One moving point on a static frame, quick to draw."""

    def build(self):
        axes = self.figure.subplots()
        axes.set(xlim=(0, 10), ylim=(0, 1))
        axes.set_title(self.text("training.title"))
        self.point = self.moves(axes.plot([], [], "o", ms=20)[0])

    def update(self, x):
        self.point.set_data([x], [0.5])


def dot(respond=None, picture=None, **controls):
    picture = picture or Dot("en")
    controls = controls or {"x": widgets.FloatSlider(value=1, min=0, max=10)}
    return live.LiveFigure(picture, controls, respond or picture.update, lang="en")


def pixels(figure: live.LiveFigure) -> np.ndarray:
    data = figure.image.value
    if figure.image.format == "url":
        data = urllib.request.urlopen(bytes(data).decode()).read()
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_change_changes_the_picture():
    figure = dot()
    before = pixels(figure)
    figure.controls["x"].value = 9
    assert figure.error is None
    assert figure.frames == 2
    assert (pixels(figure) != before).any()
    figure.controls["x"].value = 1
    assert np.array_equal(pixels(figure), before)


@pytest.mark.parametrize("x", [0.5, 4, 9.5])
def test_blitting_draws_what_a_whole_redraw_draws(x):
    figure = dot()
    figure.controls["x"].value = x
    whole = Dot("en")
    whole.figure.set_dpi(100 * CRISP.ratio)
    with matplotlib.rc_context(style("en")):
        whole.still(x).canvas.draw()
    assert np.array_equal(pixels(figure), np.asarray(whole.figure.canvas.buffer_rgba())[..., :3])


def test_a_draft_while_the_hand_moves_and_sharp_once_it_rests(monkeypatch):
    draft, crisp = schedule.DRAFT._replace(format="png", options={}), CRISP
    monkeypatch.setattr(schedule, "DRAFT", draft)  # to compare pixel by pixel
    monkeypatch.setattr(schedule, "REST", 0.01)
    whole = Dot("en")

    def drawn(ratio, x=7):
        whole.figure.set_dpi(100 * ratio)
        whole.still(x).canvas.draw()
        return Image.fromarray(np.asarray(whole.figure.canvas.buffer_rgba())[..., :3])

    async def reader():
        figure = dot()
        figure.controls["x"].value = 4
        figure.controls["x"].value = 7
        # What stands still is the sharp picture's, averaged, so that nothing shifts; what moves is drawn.
        frame = np.asarray(drawn(crisp.ratio, x=-1).reduce(crisp.ratio // draft.ratio))
        point = np.asarray(drawn(draft.ratio)) != np.asarray(drawn(draft.ratio, x=-1))
        assert point.any()
        assert np.array_equal(pixels(figure), np.where(point, drawn(draft.ratio), frame))
        assert figure.image.format == "url"
        await asyncio.sleep(0.1)
        assert np.array_equal(pixels(figure), drawn(crisp.ratio))
        assert figure.image.format == CRISP.format
        assert figure.frames == 3

    asyncio.run(reader())


def test_the_frame_is_drawn_once():
    picture = Dot("en")
    drawn = []
    draw = picture.figure.canvas.draw
    picture.figure.canvas.draw = lambda: drawn.append(draw())
    figure = dot(picture=picture)
    for x in range(5):
        figure.controls["x"].value = x
    assert len(drawn) == 1


def test_the_shape_is_fixed():
    image = (figure := dot()).image
    assert [int(image.height), int(image.width)] == [n / CRISP.ratio for n in pixels(figure).shape[:2]]


def test_an_exception_is_shown_in_red_and_kept():
    picture = Dot("en")

    def respond(x):
        if x > 5:
            raise ValueError("x <beyond> 5")
        picture.update(x)

    figure = dot(respond, picture)
    before = pixels(figure)
    figure.controls["x"].value = 6
    assert isinstance(figure.error, ValueError)
    assert ERROR_CLASS in figure.message.value
    assert "ValueError: x &lt;beyond&gt; 5" in figure.message.value
    assert "#b00020" in figure.message.value
    assert figure.message.layout.display != "none"
    assert np.array_equal(pixels(figure), before)
    figure.controls["x"].value = 2  # and the figure goes on
    assert figure.error is None
    assert figure.message.layout.display == "none"
    assert (pixels(figure) != before).any()


def test_an_exception_of_the_first_picture_is_shown_too():
    figure = dot(lambda x: 1 / 0)
    assert isinstance(figure.error, ZeroDivisionError)
    assert figure.frames == 0


def test_an_exception_of_the_first_drawing_is_shown_too():
    class Broken(Dot):
        def update(self, x):
            self.point.draw = lambda renderer: 1 / 0

    assert isinstance(dot(picture=Broken("en")).error, ZeroDivisionError)


def test_no_draft_is_drawn_before_the_figure_is_on_the_page(monkeypatch):
    painted, paint = [], live.LiveFigure._paint
    monkeypatch.setattr(live.LiveFigure, "_paint", lambda self, q: (painted.append(q), paint(self, q)))
    picture = Dot("en")

    def respond(x):
        for place in range(3):
            picture.update(place)
            yield

    figure = dot(respond, picture)
    assert painted == [CRISP]
    figure.controls["x"].value = 2
    assert painted[1:] == [schedule.DRAFT] * 3 + [CRISP]


def test_an_exception_in_the_middle_of_long_work_is_shown():
    picture = Dot("en")

    def respond(x):
        picture.update(x)
        yield
        raise RuntimeError("half way")

    figure = dot(respond, picture)
    assert figure.frames == 1
    assert "half way" in str(figure.error)


def test_work_after_the_first_frame_begins_when_the_hand_rests():
    picture, seen = Dot("en"), []

    def respond(x):
        for step in range(2):
            seen.append((x, step))
            picture.update(x)
            yield

    async def reader():
        figure = dot(respond, picture)
        seen.clear()
        for x in (2, 3, 4):
            figure.controls["x"].value = x
            await asyncio.sleep(schedule.PAUSE)
        assert seen == [(2, 0), (3, 0), (4, 0)]
        await asyncio.sleep(5 * schedule.REST)
        assert seen[3:] == [(4, 1)]
        assert figure.image.format == CRISP.format

    asyncio.run(reader())


def test_long_work_shows_every_step_and_a_newer_value_ends_it():
    picture = Dot("en")
    seen = []

    def respond(x):
        try:
            for step in range(100):
                seen.append((x, step))
                picture.update(x)
                yield
        finally:
            seen.append((x, "closed"))

    async def reader():
        figure = dot(respond, picture)
        assert figure.frames == 100  # the first picture is complete, for a notebook that nobody touches
        seen.clear()
        figure.controls["x"].value = 2
        for _ in range(10):
            await asyncio.sleep(0)
        figure.controls["x"].value = 3
        while seen[-1] != (3, "closed"):
            await asyncio.sleep(0)
        return figure

    figure = asyncio.run(reader())
    assert figure.error is None
    assert (2, "closed") in seen
    assert (2, 99) not in seen
    assert (3, 99) in seen
    # Once the newer value has been drawn, the older one draws nothing more.
    assert not [x for x, step in seen[seen.index((3, 0)) :] if x == 2 and step != "closed"]


def test_values_that_wait_are_replaced_by_the_newest():
    """Callbacks on threads of their own, as a front-end with subshells runs them."""
    picture = Dot("en")
    drawn = []
    figure = dot(lambda x: (drawn.append(x), picture.update(x)), picture)
    drawn.clear()
    with plots.DRAWING:  # a cell is drawing
        waiting = []
        for x in (2, 3, 4, 5):
            thread = threading.Thread(target=lambda x=x: setattr(figure.controls["x"], "value", x))
            thread.start()
            thread.join(0.1)
            waiting.append(thread)
        assert all(thread.is_alive() for thread in waiting)
    for thread in waiting:
        thread.join()
    assert drawn == [5]
    assert figure.error is None


def test_threads_never_draw_at_the_same_time():
    figure, other = dot(), dot()
    at_work, most = [0], [0]
    paint = live.LiveFigure._paint

    def counted(self, quality):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        paint(self, quality)
        at_work[0] -= 1

    def drag(f):
        for x in np.linspace(0, 10, 30):
            f.controls["x"].value = x

    live.LiveFigure._paint = counted
    try:
        threads = [threading.Thread(target=drag, args=(f,)) for f in (figure, other) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        live.LiveFigure._paint = paint
    assert most == [1]
    assert figure.error is None
    assert other.error is None


def test_every_live_figure_is_shown():
    assert set(live.__all__) - {"LiveFigure"} == set(FIGURES)
    assert all(getattr(live, name) is FIGURES[name] for name in FIGURES)


def other_values(control):
    if isinstance(control, widgets.Dropdown):
        return [value for _, value in control.options if value != control.value]
    if hasattr(control, "options"):  # a slider over chosen values
        return [control.options[1][1], control.options[-1][1]]
    return [value for value in (control.max, control.min) if value != control.value]


def label_of(control):
    """What names it to the reader; bars have it above them."""
    if isinstance(control, controls.Bars):
        return control.children[0].value.removeprefix(control.LOOK)
    return control.description


def pixels_of(label):
    """About how wide a page sets it: 13 pixels a Chinese character, 7 another, of a formula two."""
    return sum(13 if c > "\u2e7f" else 7 for c in re.sub(r"\$[^$]*\$", "xx", label))


@pytest.mark.parametrize(
    ("lang", "moves"),
    [("zh", 1), *(pytest.param(*more, marks=pytest.mark.slow) for more in (("en", 1), ("zh", None)))],
)
@pytest.mark.parametrize("name", sorted(FIGURES))
def test_every_control_of_every_figure_in_every_language(name, lang, moves, caplog, monkeypatch):
    """Each control moves the picture; its words stay inside, no glyph is missing, in a warning or the log."""
    monkeypatch.setattr(plots.Words, "draw", held_inside(plots.Words.draw))
    for module in ("choosing", "rescue", "why_initialization"):  # long work, of which the beginning will do
        monkeypatch.setattr(sys.modules[f"initkit.course.lessons.{module}"], "EPOCHS", 1)
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG, logger="matplotlib"):
        warnings.simplefilter("error")
        figure = FIGURES[name](lang=lang)
        assert figure.error is None
        for control in figure.controls.values():
            assert (label := label_of(control)).strip()
            if hasattr(control, "readout"):  # a slider: on a phone 274 pixels, of which the number takes 80
                assert pixels_of(label) < 120, label
            start = control.value
            for value in other_values(control)[:moves]:
                before = figure.image.value  # of a PNG other bytes are other pixels
                control.value = value
                assert figure.error is None, value
                assert figure.image.format == "png"
                assert figure.image.value != before, f"{label} = {value}"
            control.value = start
    assert not missing_glyphs(caplog)


def held_inside(draw):
    """``Words.draw`` that fails where a line leaves the picture on the right."""

    def checked(words, renderer):
        draw(words, renderer)
        if words.text and not words.right:
            across = words.axes.transAxes if words.axes else words.figure.transFigure
            end = across.transform(words.position)[0] + words.ink(renderer.dpi).shape[1]
            assert end <= renderer.width, words.text

    return checked


def missing_glyphs(caplog):
    return [r.getMessage() for r in caplog.records if "glyph" in r.getMessage().lower()]


def test_a_missing_glyph_would_be_seen(caplog):
    """Both ways in which matplotlib tells: a warning in text, a log line in mathtext."""
    figure = plots.Figure("zh")
    figure.text(0.5, 0.5, "\U0001f409\u9f98")
    with pytest.warns(UserWarning, match="[Gg]lyph"):
        figure.canvas.draw()
    figure = plots.Figure("zh")
    figure.text(0.5, 0.5, r"$\mathrm{层}$")
    with caplog.at_level(logging.DEBUG, logger="matplotlib"):
        figure.canvas.draw()
    assert missing_glyphs(caplog)


def test_same_seed_same_picture():
    assert live.taste(lang="en", seed=3).image.value == live.taste(lang="en", seed=3).image.value
    assert live.taste(lang="en", seed=3).image.value != live.taste(lang="en", seed=4).image.value


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_a_still_shows_what_the_live_figure_would(lang):
    moved = live.taste(lang=lang)
    moved.controls["sigma_w"].value = 2.0
    still = live.taste.still(lang=lang, sigma_w=2.0)
    still.set_dpi(200)
    still.canvas.draw()
    drawn = np.asarray(still.canvas.buffer_rgba())[..., :3].astype(float)
    # Alike but where bars cover an axis, or it covers them: 0.48 %. The next value, 2.05, differs in 0.72 %.
    assert (drawn != pixels(moved)).any(axis=-1).mean() < 0.006
    with pytest.raises(TypeError, match="no control is called sigma; there are sigma_w"):
        live.taste.still(lang=lang, sigma=1.0)


def test_a_still_of_long_work_is_its_end():
    picture = Dot("en")

    def respond(x):
        for place in (0, x):
            picture.update(place)
            yield

    @schedule.playable
    def long(*, lang, seed=0):
        return picture, {"x": widgets.FloatSlider(value=1)}, respond

    assert long.still(lang="en", x=7) is picture.figure
    assert picture.point.get_xdata() == [7]


def test_an_unknown_language_is_told():
    with pytest.raises(ValueError, match="lang must be one of zh, en, not 'fr'"):
        live.taste(lang="fr")


@pytest.mark.parametrize("seed", range(3))
def test_the_doctor_of_lesson_07_is_right(seed):
    figure = live.doctor(lang="en", seed=seed)
    x, y = datasets.digits().x_train[:200], datasets.digits().y_train[:200]

    def says(patient, treatment):
        net = doctor.treated(patient, treatment, x, seed)
        return doctor.diagnosis(net, measure(net, x, y))

    assert says("B", "none") == ("symmetric", {"layers": 19})
    untreated = [says(patient, "none")[0] for patient in "ABCD"]
    assert untreated == ["vanishing", "symmetric", "exploding", "healthy"]
    assert [says(patient, "xavier")[0] for patient in "ABCD"] == [
        "vanishing",
        "vanishing",
        "healthy",
        "vanishing",
    ]
    for treatment in ("he", "lsuv"):
        assert [says(patient, treatment)[0] for patient in "ABCD"] == ["healthy"] * 4
    figure.controls["patient"].value = "C"
    assert figure.picture.diagnosis.get_text().startswith("exploding")


class Ground(Dot):
    """A dot on ground that can be clicked, of three cells by two."""

    def build(self):
        super().build()
        self.cells = plots.Cells(self.figure.axes[0], "x", [1, 5, 9], "y", [0.25, 0.75])

    def update(self, x, y):
        self.point.set_data([x], [y])


def test_a_click_sets_both_controls_and_draws_once():
    sliders = {"x": widgets.FloatSlider(value=5, max=10), "y": widgets.FloatSlider(value=0.25, max=1)}
    figure = dot(picture=Ground("en"), **sliders)
    places = []
    for cell in range(6):
        frames = figure.frames
        figure.sheet.radios.index = cell
        assert figure.frames == frames + 1
        places.append((sliders["x"].value, sliders["y"].value))
    assert places == [(1, 0.75), (5, 0.75), (9, 0.75), (1, 0.25), (5, 0.25), (9, 0.25)]  # as one reads
    assert figure.error is None


def test_a_cell_can_be_clicked_again_after_a_slider_moved():
    figure = dot(picture=Ground("en"), x=widgets.FloatSlider(value=5, max=10), y=widgets.FloatSlider(max=1))
    figure.sheet.radios.index = 2
    figure.controls["x"].value = 5
    assert figure.sheet.radios.index is None
    figure.sheet.radios.index = 2
    assert figure.controls["x"].value == 9


def test_the_sheet_lies_on_the_cells():
    """Its place as the page computes it, from a sheet that is stretched over the picture."""
    figure = dot(picture=Ground("en"), x=widgets.FloatSlider(max=10), y=widgets.FloatSlider(max=1))
    width, height = 860, 390
    box = figure.picture.figure.axes[0].get_position()
    layout = figure.sheet.radios.layout
    assert figure.sheet.layout.grid_area == figure.image.layout.grid_area == "1 / 1"
    percent = lambda value: float(value.removesuffix("%")) / 100  # noqa: E731
    assert percent(layout.left) * width == pytest.approx(box.x0 * width, abs=0.1)
    assert percent(layout.width) * width == pytest.approx(box.width * width, abs=0.1)
    assert percent(layout.top) * height == pytest.approx((1 - box.y1) * height, abs=0.1)
    assert percent(layout.height) * height == pytest.approx(box.height * height, abs=0.1)
