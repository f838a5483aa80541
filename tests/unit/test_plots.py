"""Pictures as figures: what they show, and at which size."""

import dataclasses
import io
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image

import initkit as ik
from initkit import plots
from initkit.course.lessons.random import ForwardAndBackward
from initkit.course.lessons.start_here import LayerHistograms
from initkit.course.lessons.zero_and_symmetry import UnitsInTraining
from initkit.words import text
from initkit.words.fonts import style

NAMES = {"a": "A", "b": "B"}


def history(losses, status="finished"):
    losses = np.asarray(losses, float)
    return ik.History(losses, np.full(len(losses), 0.5), status)


def signals(q, grad):
    q = np.asarray(q, float)
    return ik.Signals(q, q, q, q, q, q, np.asarray(grad, float))


def test_bars_beyond_the_axis_are_marked_at_its_edge():
    picture = LayerHistograms((1, 2, 3, 4, 5, 6), [-1, 0, 1], "en")
    shares = np.array([[0.1, 0.9], *[[0.2, 0.2]] * 5])
    picture.still(shares, np.ones(6))
    bars, over, note = picture.panels[0]
    assert bars.get_data().values.tolist() == [0.1, 0.9]
    assert over.get_xdata().tolist() == [0.5]
    assert note.get_text() == "1.0"
    assert len(picture.panels[1][1].get_xdata()) == 0


@pytest.mark.parametrize("dpi", [100, 200])
@pytest.mark.parametrize("text", ["0.42", "1.0e-10", "nan", "He, signal ×3.3", "信号 ×0.1；"])
def test_words_look_as_matplotlibs_own_text_does(text, dpi):
    """Ink of the same amount in the same place, to within a pixel of rounding at each character."""
    ink = []
    with matplotlib.rc_context(style("en")):
        for own in (True, False):
            figure = plots.Figure("en", 2, 1)
            figure.set_dpi(dpi)
            axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=(), yticks=())
            if own:
                axes.add_artist(plots.Words(0.75, 0.5, "#000000", right=True)).set_text(text)
            else:
                axes.text(0.75, 0.5, text, ha="right", va="baseline", color="#000000")
            figure.canvas.draw()
            ink.append(255.0 - np.asarray(figure.canvas.buffer_rgba())[..., 0])
    assert ink[0].sum() == pytest.approx(ink[1].sum(), rel=0.1)
    centres = [(i.sum(axis=axis) @ np.arange(i.shape[1 - axis])) / i.sum() for axis in (0, 1) for i in ink]
    assert abs(centres[0] - centres[1]) < 2.5
    assert abs(centres[2] - centres[3]) < 1


def test_words_stand_over_the_axes_in_a_still_picture_too():
    class Said(plots.Picture):
        def build(self):
            self.figure.add_axes((0, 0, 1, 1))
            self.said = self.words(0.3, 0.3, "#ff0000")

        def update(self, text):
            self.said.set_text(text)

    figure = Said("en").still("words")
    figure.canvas.draw()
    assert (np.asarray(figure.canvas.buffer_rgba())[..., :2] == (255, 0)).all(-1).any()


def test_what_vanished_or_overflowed_is_marked_at_the_edge():
    picture = plots.TrainingAndSignals(NAMES, 3, 2, "en")
    picture.still("a", signals([0.0, 1.0, np.inf], [np.nan, 1e-30, 1e30]), history([1, 0.5, 0.1]), {})
    points = [line.get_xdata().tolist() for line in (picture.forward.points, picture.forward.below)]
    assert points == [[2], [1]]
    assert picture.forward.above.get_xdata().tolist() == [3]
    assert picture.backward.above.get_xdata().tolist() == [1, 3]
    assert picture.backward.below.get_xdata().tolist() == [2]


@pytest.mark.parametrize(("layers", "shown"), [(3, [1, 2, 3]), (20, [1, 4, 7, 10, 13, 16, 19, 20])])
def test_in_a_narrow_panel_points_do_not_melt_into_a_bar_and_the_output_layer_is_there(layers, shown):
    picture = plots.TrainingAndSignals(NAMES, 40, 6, "en")
    picture.still("a", signals(np.ones(layers), np.ones(layers)), history([2.3]), {})
    for panel in (picture.forward, picture.backward):
        assert panel.points.get_xdata().tolist() == shown


def test_a_loss_that_leaves_the_picture_is_marked_and_named():
    picture = plots.TrainingAndSignals(NAMES, 3, 2, "en")
    diverged = history([9, np.nan], "diverged")
    picture.still("a", signals([1, 1, 1], [1, 1, 1]), diverged, {"b": history([2, 1, 1]), "a": diverged})
    assert picture.escaped.get_xdata().tolist() == [0, 1]
    assert "A" in picture.verdict.get_text()
    assert "diverged" in picture.verdict.get_text()
    assert [picture.labels[n].get_text() for n in "ab"] == ["", "B"]
    assert picture.labels["b"].get_position()[1] == 1


def test_labels_of_equal_curves_do_not_cover_each_other():
    names = dict.fromkeys("abcd", "name")
    picture = plots.TrainingAndSignals(names, 1, 2, "en")
    others = {n: history([2.3, 2.3, 2.3]) for n in "bcd"}
    picture.still("a", signals([1], [1]), history([2, 1, 1]), others)
    heights = sorted(picture.labels[n].get_position()[1] for n in "bcd")
    picture.figure.canvas.draw()
    size = picture.labels["b"].get_window_extent().height
    axis = picture.labels["b"].axes.get_window_extent().height
    assert min(np.diff(heights)) * axis / picture.TOP >= size * 0.95


def test_a_figure_shows_itself_as_png_at_its_size():
    figure = LayerHistograms(range(1, 7), [-1, 0, 1], "zh").still(np.full((6, 2), 0.1), np.ones(6))
    png, size = figure._repr_png_()
    shown = Image.open(io.BytesIO(png))
    assert shown.size == (2 * size["width"], 2 * size["height"])


def test_a_figure_has_whole_pixels_at_every_dpi():
    """Else a draft of another dpi has a row less than the frame that it is drawn on."""
    for pixels in (115, 390, 460, 570, 860):
        figure = plots.Figure("en", width=pixels / 100, height=pixels / 100)
        for ratio in (1, 2, 3):
            figure.set_dpi(100 * ratio)
            assert np.asarray(figure.canvas.get_renderer().buffer_rgba()).shape[:2] == (pixels * ratio,) * 2
        assert [int(100 * inches) for inches in figure.get_size_inches()] == [pixels] * 2


def test_units_in_training_shows_the_step_it_is_told():
    places = np.zeros((4, 2, 2))
    places[:, 0, 0], places[:, 1, 1] = [0, 0.5, 1, 9], [0, -0.5, -1, -9]
    picture = UnitsInTraining(2, 3, "en")
    picture.still(places, np.array([9.0, 2, 1, 0.5]), np.array([1, 1, 2, 2]), 2, 0.1, 1e-6)
    np.testing.assert_array_equal(picture.points.get_xydata(), [[1, 0], [0, -1]])
    assert len(picture.paths.get_xdata()) == 2 * (3 + 1)  # both paths as far as step 2, and a gap after each
    assert [mark.get_xydata().tolist() for mark in picture.marks] == [[[2, 1]], [[2, 2]]]
    assert picture.curves[0].get_ydata()[0] == picture.TOP  # beyond the axis: at its edge
    assert [len(curve.get_xdata()) for curve in picture.curves] == [
        3,
        3,
    ]  # what comes after step 2 is not told
    assert all(part in picture.verdict.get_text() for part in ("c = 0.1", "ε = 10⁻⁶", "rank 2"))
    picture.update(places, np.ones(4), np.ones(4, int), 3, 0.1, 1e-6)
    assert abs(picture.points.get_xydata()).max() == picture.REACH


def test_forward_and_backward_lays_theory_over_measurement():
    x, y = np.random.default_rng(0).standard_normal((9, 5)), np.arange(9) % 3
    edges = np.linspace(-1, 1, 11)
    net = ik.MLP([5, 20, 20, 3], "tanh", rng=0)
    seen, predicted = ik.measure(net, x, y, edges), ik.predict_for(net, x, y)
    picture = ForwardAndBackward(6, edges, "en")
    picture.still(seen, predicted)
    np.testing.assert_array_equal(picture.forward.points.get_xydata(), np.c_[[1, 2, 3], seen.q])
    np.testing.assert_array_equal(picture.forward.line.get_xydata(), np.c_[[1, 2, 3], predicted.q])
    np.testing.assert_array_equal(picture.backward.line.get_ydata(), predicted.grad_var)
    assert np.ma.count(picture.shares.get_array()) == 2 * 10  # two hidden layers
    assert picture.verdict.get_text().startswith("layer 3: ")
    net.weights[1][:] = 3e38
    picture.update(ik.measure(net, x, y, edges), predicted)
    assert picture.verdict.get_text() == "overflow from layer 2 on"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_signals_by_layer_with_and_without_theory_and_a_way_back(lang):
    signals = ik.predict(5, 100, "relu", 1.0)
    for seen, theory in ((signals, signals), (signals, None), (replace(signals, grad_var=None), None)):
        figure = plots.signals_by_layer(seen, theory, lang=lang)
        (key,) = figure.legends
        assert [t.get_text() for t in key.get_texts()][1:] == (
            [text("signal.theory", lang)] if theory else []
        )
        assert figure._repr_png_()[0].startswith(b"\x89PNG")
    forward, backward = figure.axes
    assert forward.lines[0].get_ydata().tolist() == signals.q.tolist()
    assert backward.lines[0].get_ydata().size == 0


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_update_ratios_are_points_over_the_line_at_minus_three(lang):
    ratios = np.array([[1.0, -2.0, -5.0], [0.0, 0.0, 0.0]])
    nets = {
        name: dataclasses.replace(history([1, 1, 1]), log_update_ratio=ratios - k)
        for k, name in enumerate(("A", "B"))
    }
    (axes,) = plots.update_ratios(nets, lang=lang).axes
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_xdata())]
    assert [list(y) for y in drawn] == [[-3, -3], [1, -2, -5], [0, -3, -6]]
    assert axes.lines[0].get_color() == plots.THEORY
    with pytest.raises(ValueError, match="nets: 'C' made no step"):
        plots.update_ratios({"C": history([1])}, lang=lang)
    with pytest.raises(ValueError, match="nets must hold one net, or two; it is empty"):
        plots.update_ratios({}, lang=lang)


def test_signals_by_layer_reaches_as_far_as_they_do():
    near, far = (ik.predict(30, 100, "relu", sigma_w) for sigma_w in (2**0.5, 0.3))
    assert plots.signals_by_layer(near, lang="en").axes[0].get_ylim() == pytest.approx((1e-3 / 30, 1e3 * 30))
    assert plots.signals_by_layer(far, lang="en").axes[0].get_ylim() == pytest.approx((1e-18 / 30, 1e18 * 30))
