"""Grades 01.py."""

import numpy as np
from grading import same

TABLE = np.array([[12, 1, 0], [1, 3, 0], [1, 0, 1]])


def small(*rows):
    return np.array(rows, np.uint8)


def test_confusion(mine):
    same(mine.confusion(small([0, 0, 1], [1, 1, 2]), small([0, 1, 1], [1, 0, 0]), 3),
         [[1, 1, 0], [1, 2, 0], [1, 0, 0]],
         "Rows are labels, columns are predictions, and every pixel adds 1 to one entry.")


def test_confusion_leaves_out_what_is_ignored(mine):
    same(mine.confusion(small([0, 255, 1, 255]), small([0, 0, 1, 1]), 2), [[1, 0], [0, 1]],
         "Pixels with label 255 do not count, whatever is predicted there.")


def test_confusion_of_many_classes(mine):
    label = np.arange(21, dtype=np.uint8).reshape(3, 7)
    same(mine.confusion(label, label, 21), np.eye(21),
         "With 21 classes, right answers are counted off the diagonal. Labels have eight bits: "
         "what is 21 * 20 in eight bits?")


def test_pixel_accuracy(mine):
    same(mine.scores(TABLE)[0], 16 / 19,
         "Pixel accuracy is the sum of the diagonal over the number of all pixels.")


def test_mean_accuracy(mine):
    same(mine.scores(TABLE)[1], (12 / 13 + 3 / 4 + 1 / 2) / 3,
         "The accuracy of a class divides by the pixels labeled so: by the sum of its row.")


def test_mean_iu(mine):
    same(mine.scores(TABLE)[2], (12 / 15 + 3 / 5 + 1 / 2) / 3,
         "The union of a class is its row plus its column, with the diagonal counted only once.")


def test_frequency_weighted_iu(mine):
    same(mine.scores(TABLE)[3], (13 * 12 / 15 + 4 * 3 / 5 + 2 * 1 / 2) / 19,
         "Each IU is weighted by the share of the pixels labeled so, which is a sum of a row.")


def test_scores_without_a_class(mine):
    n = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    with np.errstate(all="ignore"):
        got = mine.scores(n)
    same(got, [9 / 12, (6 / 8 + 3 / 4) / 2, (6 / 9 + 3 / 6) / 2, (8 * 6 / 9 + 4 * 3 / 6) / 12],
         "Class 2 is neither labeled nor predicted. All means leave it out: they are not NaN, nor "
         "do they count it as 0.")


def test_scores_of_a_class_that_is_only_predicted(mine):
    n = np.array([[6, 1, 1], [1, 3, 0], [0, 0, 0]])
    with np.errstate(all="ignore"):
        got = mine.scores(n)[1:3]
    same(got, [(6 / 8 + 3 / 4) / 2, (6 / 9 + 3 / 5) / 3],
         "Class 2 is predicted once and never labeled. It has no accuracy, but it has an IU: 0.")


def test_mean_iu_of_a_data_set(mine):
    labels = [small([0, 0, 1, 1]), small([0, 0], [0, 1])]
    predictions = [small([0, 0, 1, 1]), small([0, 0], [0, 0])]
    same(mine.mean_iu(labels, predictions, 2), (5 / 6 + 2 / 3) / 2,
         "Add the confusion matrices of all images, and score the sum once.")
