"""The four scores against plain loops and against examples worked out by hand."""

import warnings

import numpy as np
import pytest

from fcn_numpy.metrics import confusion_matrix, score_table, segmentation_scores


@pytest.fixture(autouse=True)
def no_warnings():
    # Classes without pixels are common, so they must not warn of a division by zero.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def counted_by_loops(labels, predictions, n_class, ignore_index):
    hist = [[0] * n_class for _ in range(n_class)]
    for label, prediction in zip(labels.ravel().tolist(), predictions.ravel().tolist()):
        if label != ignore_index:
            hist[label][prediction] += 1
    return hist


def scores_by_loops(hist):
    """The formulas of section 5, read literally."""
    n = len(hist)
    t = [sum(hist[i]) for i in range(n)]
    total = sum(t)
    unions = [t[i] + sum(hist[j][i] for j in range(n)) - hist[i][i] for i in range(n)]
    iu = [hist[i][i] / unions[i] if unions[i] else float("nan") for i in range(n)]
    accuracies = [hist[i][i] / t[i] for i in range(n) if t[i]]
    seen = [iu[i] for i in range(n) if unions[i]]
    return (
        sum(hist[i][i] for i in range(n)) / total,
        sum(accuracies) / len(accuracies),
        sum(seen) / len(seen),
        sum(t[i] * iu[i] for i in range(n) if t[i]) / total,
        iu,
    )


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 8, 9)])
@pytest.mark.parametrize("n_class", [1, 2, 5, 21])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_counts_as_a_loop_over_the_pixels(shape, n_class, dtype):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_class, shape).astype(dtype)
    predictions = rng.integers(0, n_class, shape).astype(dtype)
    labels[rng.random(shape) < 0.2] = 255 if dtype == np.uint8 else -1
    ignore = 255 if dtype == np.uint8 else -1
    hist = confusion_matrix(labels, predictions, n_class, ignore_index=ignore)
    assert hist.dtype == np.int64 and hist.shape == (n_class, n_class)
    np.testing.assert_array_equal(
        hist, counted_by_loops(labels, predictions, n_class, ignore)
    )


def test_rows_are_labels_and_columns_predictions():
    labels = np.array([[0, 0, 1], [2, 2, 2]])
    predictions = np.array([[0, 2, 1], [2, 0, 2]])
    np.testing.assert_array_equal(
        confusion_matrix(labels, predictions, 3), [[1, 0, 1], [0, 1, 0], [1, 0, 2]]
    )


def test_ignored_pixels_do_not_count_whatever_is_predicted_there():
    labels = np.array([0, 255, 1, 255], np.uint8)
    predictions = np.array([0, 1, 1, 200], np.uint8)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 2), [[1, 0], [0, 1]])


def test_many_classes_do_not_overflow_small_integers():
    # 200 * 201 does not fit into uint8, nor into int16.
    labels = np.full((4, 4), 200, np.uint8)
    hist = confusion_matrix(labels, np.full((4, 4), 199, np.uint8), 201)
    assert hist[200, 199] == 16 and hist.sum() == 16


def test_the_arrays_stay_as_they_are():
    labels, predictions = np.array([0, 255, 1], np.uint8), np.array([1, 255, 1], np.uint8)
    hist = confusion_matrix(labels, predictions, 2)
    np.testing.assert_array_equal(labels, [0, 255, 1])
    np.testing.assert_array_equal(predictions, [1, 255, 1])
    before = hist.copy()
    segmentation_scores(hist)
    np.testing.assert_array_equal(hist, before)


@pytest.mark.parametrize("seed", range(5))
def test_scores_as_plain_loops(seed):
    rng = np.random.default_rng(seed)
    hist = rng.integers(0, 20, (6, 6))
    hist[2], hist[:, 2] = 0, 0  # a class that occurs nowhere
    hist[4] = 0  # one that is only predicted
    scores, expected = segmentation_scores(hist), scores_by_loops(hist.tolist())
    np.testing.assert_allclose(scores[:4], expected[:4], rtol=1e-12)
    np.testing.assert_allclose(scores.iu, expected[4], rtol=1e-12)
    assert np.isnan(scores.iu[2]) and scores.iu[4] == 0
    assert all(isinstance(score, float) for score in scores[:4])


def test_scores_worked_out_by_hand():
    scores = segmentation_scores(np.array([[6, 2], [1, 3]]))
    assert scores.pixel_accuracy == pytest.approx(9 / 12)
    assert scores.mean_accuracy == pytest.approx((6 / 8 + 3 / 4) / 2)
    np.testing.assert_allclose(scores.iu, [6 / 9, 3 / 6])
    assert scores.mean_iu == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores.frequency_weighted_iu == pytest.approx((8 * 6 / 9 + 4 * 3 / 6) / 12)


def test_a_perfect_prediction_scores_one():
    labels = np.random.default_rng(0).integers(0, 4, (9, 9))
    scores = segmentation_scores(confusion_matrix(labels, labels, 4))
    assert scores[:4] == pytest.approx((1, 1, 1, 1))
    np.testing.assert_array_equal(scores.iu, np.ones(4))


def test_an_absent_class_is_nan_and_left_out_of_the_means():
    with_it = segmentation_scores(np.array([[6, 0, 2], [0, 0, 0], [1, 0, 3]]))
    without = segmentation_scores(np.array([[6, 2], [1, 3]]))
    assert with_it[:4] == pytest.approx(without[:4])
    assert np.isnan(with_it.iu[1])
    np.testing.assert_allclose(with_it.iu[[0, 2]], without.iu)


def test_a_class_that_is_only_predicted_has_an_iu_of_zero_but_no_accuracy():
    scores = segmentation_scores(np.array([[3, 1], [0, 0]]))
    np.testing.assert_allclose(scores.iu, [3 / 4, 0])
    assert scores.mean_iu == pytest.approx(3 / 8)
    assert scores.mean_accuracy == pytest.approx(3 / 4)
    assert scores.frequency_weighted_iu == pytest.approx(3 / 4)


def test_a_class_that_is_never_predicted_counts_as_zero():
    scores = segmentation_scores(np.array([[3, 0], [1, 0]]))
    np.testing.assert_allclose(scores.iu, [3 / 4, 0])
    assert scores.mean_iu == pytest.approx(3 / 8)
    assert scores.mean_accuracy == pytest.approx(1 / 2)


def test_nothing_labeled_gives_nan():
    labels = np.full((3, 3), 255, np.uint8)
    hist = confusion_matrix(labels, np.zeros((3, 3), np.uint8), 3)
    np.testing.assert_array_equal(hist, np.zeros((3, 3)))
    scores = segmentation_scores(hist)
    assert np.isnan(scores[:4]).all()
    assert np.isnan(scores.iu).all() and scores.iu.shape == (3,)


def test_matrices_of_several_images_add_up():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 4, (2, 5, 6, 7))
    parts = sum(confusion_matrix(a, b, 4) for a, b in zip(labels, predictions))
    np.testing.assert_array_equal(parts, confusion_matrix(labels, predictions, 4))


@pytest.mark.parametrize(
    "labels, predictions, words",
    [
        (np.array([0, 3]), np.array([0, 0]), "labels from 0 to 2, got 3"),
        (np.array([0, -1]), np.array([0, 0]), "labels from 0 to 2, got -1"),
        (np.array([0, 2**32]), np.array([0, 0]), "labels from 0 to 2, got 4294967296"),
        (np.array([0, 2**64 - 1], np.uint64), np.array([0, 0]), "labels from 0 to 2, got "),
        (np.array([0, 1]), np.array([0, 3]), "predictions from 0 to 2, got 3"),
        (np.array([0, 1]), np.array([0, 255]), "predictions from 0 to 2, got 255"),
        (np.array([0, 1]), np.array([0, -2]), "predictions from 0 to 2, got -2"),
        (np.array([0, 1]), np.array([0, 1, 2]), "predictions"),
        (np.array([[0, 1]]), np.array([0, 1]), "predictions"),
        (np.array([0.0, 1.0]), np.array([0, 1]), "labels"),
        (np.array([0, 1]), np.array([0.0, 1.0]), "predictions"),
        ([0, 1], np.array([0, 1]), "labels"),
        (np.ma.masked_array([0, 1], [0, 1]), np.array([0, 1]), "labels .* got a MaskedArray"),
        (np.array([0, 1]), np.ma.masked_array([0, 1]), "predictions .* got a MaskedArray"),
        (np.zeros(0, int), np.zeros(0, int), "labels"),
    ],
)
def test_bad_pixels_are_an_error(labels, predictions, words):
    with pytest.raises(ValueError, match=words):
        confusion_matrix(labels, predictions, 3)


@pytest.mark.parametrize("n_class", [0, -1, 2.0, True, None])
def test_a_bad_number_of_classes_is_an_error(n_class):
    with pytest.raises(ValueError, match="n_class"):
        confusion_matrix(np.array([0]), np.array([0]), n_class)


@pytest.mark.parametrize(
    "hist", [
        np.zeros((2, 3)), np.zeros(4), [[1, 0], [0, 1]], np.ones((2, 2, 2)),
        np.array([[1, -1], [0, 2]]), np.array([[1, np.nan], [0, 2]]),
    ]
)
def test_a_bad_matrix_is_an_error(hist):
    with pytest.raises(ValueError, match="hist"):
        segmentation_scores(hist)


def scores_of(correct):
    """Scores whose IU is 1 for the classes that have correct pixels, and NaN for the others."""
    return segmentation_scores(np.diag(correct))


def test_a_few_classes_are_columns():
    table = score_table({"fcn32s": scores_of([3, 1]), "fcn8s": scores_of([2, 0])}, ["sky", "x"])
    assert table.splitlines() == [
        "        pixel acc.  mean acc.  mean IU  f.w. IU  IU sky   IU x",
        "fcn32s       1.000      1.000    1.000    1.000   1.000  1.000",
        "fcn8s        1.000      1.000    1.000    1.000   1.000    nan",
    ]


@pytest.mark.parametrize("class_names", [list("abcdef"), ["twelve chars", "a"]])
def test_six_classes_of_twelve_characters_are_still_columns(class_names):
    table = score_table({"fcn8s": scores_of([1] * len(class_names))}, class_names)
    assert [line.count("1.000") for line in table.splitlines()] == [0, 4 + len(class_names)]
    assert all(f"  IU {name}" in table for name in class_names)


@pytest.mark.parametrize("class_names", [
    ["a", "b", "c", "d", "e", "f", "g"], ["a", "a rather long name"],
])
def test_many_or_long_classes_are_rows(class_names):
    n = len(class_names)
    scores = {"fcn32s": scores_of([1] * n), "fcn8satonce": scores_of([1] * (n - 1) + [0])}
    lines = score_table(scores, class_names).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["pixel", "acc.", "mean", "acc.", "mean", "IU", "f.w.", "IU"],
        ["fcn32s", *["1.000"] * 4], ["fcn8satonce", *["1.000"] * 4], [],
    ]
    assert lines[4].split() == ["IU", "fcn32s", "fcn8satonce"]
    assert len(lines) == 5 + n
    for name, line in zip(class_names, lines[5:]):
        assert line.startswith(name)
    assert lines[-1].split()[-2:] == ["1.000", "nan"]
    assert len(set(map(len, lines[:3]))) == len(set(map(len, lines[4:]))) == 1


def test_a_table_needs_a_name_for_each_class():
    with pytest.raises(ValueError, match="fcn8s to have 3 IUs, one for each class name, got 2"):
        score_table({"fcn8s": scores_of([1, 1])}, ["a", "b", "c"])
