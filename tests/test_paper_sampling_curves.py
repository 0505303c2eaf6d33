"""Figure 5 in a tiny setting: three trainings from one start, and an image of them."""

import numpy as np
import pytest
from PIL import Image

from fcn_numpy.paper import sampling_curves as figure_5
from fcn_numpy.plotting import plot_convergence

TINY_SETTING = {"steps": 5, "n_train": 4, "n_test": 2, "every": 2}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("figure") / "figure_5.png"
    return path, figure_5.draw_sampling_curves(path, **TINY_SETTING)


def test_three_curves_from_the_same_start(drawn):
    _, curves = drawn
    assert list(curves) == [1.0, 0.5, 0.25]
    for curve in curves.values():
        np.testing.assert_array_equal(curve.steps, [0, 2, 4, 5])
        assert curve.seconds[0] == 0
        assert (np.diff(curve.seconds) > 0).all()
        # The score layers start at zero: four classes, all as likely.
        assert curve.losses[0] == pytest.approx(np.log(4), rel=1e-6)
        assert curve.losses[-1] < 0.98 * curve.losses[0]
    ends = {curve.losses[-1] for curve in curves.values()}
    assert len(ends) == 3


def test_the_same_seed_gives_the_same_losses(drawn):
    again = figure_5.sampling_curves((0.5,), **TINY_SETTING)[0.5]
    np.testing.assert_array_equal(again.losses, drawn[1][0.5].losses)
    other = figure_5.sampling_curves((0.5,), seed=1, **TINY_SETTING)[0.5]
    assert not np.array_equal(other.losses, again.losses)


def test_as_many_pixels_count_in_a_step(monkeypatch):
    """Batches grow by 1 / p; what is measured is the whole-image loss of the held-out images."""
    seen = []

    class Noting(figure_5.SoftmaxCrossEntropy):
        def forward(self, scores, labels):
            seen.append((self.training, len(scores), self.sampling.p))
            return super().forward(scores, labels)

    monkeypatch.setattr(figure_5, "SoftmaxCrossEntropy", Noting)
    figure_5.sampling_curves((1.0, 0.25), steps=1, batch=2, n_train=3, n_test=5)
    assert seen == [
        (False, 5, 1.0), (True, 2, 1.0), (False, 5, 1.0),
        (False, 5, 0.25), (True, 8, 0.25), (False, 5, 0.25),
    ]


def test_the_seconds_are_those_of_training(monkeypatch):
    """A clock that is asked twice a step; measuring lies between, and does not count."""
    ticks = iter(range(1000))
    monkeypatch.setattr(figure_5.time, "perf_counter", lambda: float(next(ticks)))
    curve = figure_5.sampling_curves((1.0,), **TINY_SETTING)[1.0]
    np.testing.assert_array_equal(curve.seconds, curve.steps)


def test_the_image(drawn):
    with Image.open(drawn[0]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
        colors = {color for _, color in image.convert("RGB").getcolors(10**6)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= colors


def test_plot_convergence_draws_each_curve_twice(tmp_path, monkeypatch):
    from fcn_numpy.plotting import results

    figures = []
    monkeypatch.setattr(results, "save_figure", lambda figure, path: figures.append(figure))
    curves = {"a": ([0, 1, 2], [0, 10, 20], [3, 2, 1]), "b": ([0, 1], [0, 30], [3, 2.5])}
    plot_convergence(tmp_path / "x.png", curves)
    for axis, column in zip(figures[0].axes, (0, 1)):
        assert [line.get_label() for line in axis.lines] == ["a", "b"]
        for line, curve in zip(axis.lines, curves.values()):
            np.testing.assert_array_equal(line.get_xdata(), curve[column])
            np.testing.assert_array_equal(line.get_ydata(), curve[2])
    left, right = figures[0].axes
    assert left.get_xlabel() == "step" and "seconds" in right.get_xlabel()


def test_errors():
    with pytest.raises(ValueError, match="expected p above 0"):
        figure_5.sampling_curves((0.0,), **TINY_SETTING)
    with pytest.raises(ValueError, match="expected every to be an int of at least 1, got 0"):
        figure_5.sampling_curves(every=0)
