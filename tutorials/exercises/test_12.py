"""Grades 12.py."""

import numpy as np
import pytest
from grading import same

from fcn_numpy.data import subtract_mean

MEAN = 104.0, 117.0, 123.0
CONVS = 1, 2


def classifier():
    """Return the weights of a small classifier, under torchvision's names."""
    rng, shapes = np.random.default_rng(0), {
        "features.0": (2, 3, 3, 3), "features.3": (4, 2, 3, 3), "features.5": (4, 4, 3, 3),
        "classifier.0": (6, 4 * 2 * 2), "classifier.3": (6, 6), "classifier.6": (10, 6),
    }
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = rng.standard_normal(shape)
        state[f"{name}.bias"] = rng.standard_normal(shape[0])
    return state


def test_cost_in_parameters(mine):
    same(mine.cost(4096, 512, 7, 12, 16)[0], 102_764_544,
         "fc6 has F * C * k * k weights, and a bias for each of its F outputs. Parameters do not "
         "depend on the size of the map.")


def test_cost_in_multiply_adds(mine):
    same(mine.cost(64, 3, 3, 573, 698)[1], 691_120_512,
         "Each weight is used once for every cell of the output, and biases are not multiplied.")


def test_network_input_of_gray(mine):
    got = np.asarray(mine.network_input(np.full((3, 2, 2), 0.5), (0.0, 0.0, 0.0)))
    same(got, np.full((1, 3, 2, 2), 127.5),
         "0.5 becomes 127.5, in a batch of one image. Is the image multiplied by 255?")


def test_network_input_of_black(mine):
    got = np.asarray(mine.network_input(np.zeros((3, 1, 1)), MEAN))
    same(got.reshape(-1), [-104, -117, -123],
         "Black becomes minus the mean, in the order blue, green, red. Subtract the mean after the "
         "channels are reversed and multiplied by 255.")


def test_network_input_of_colors(mine):
    image = np.zeros((3, 1, 3))
    image[0, 0, 0] = image[1, 0, 1] = image[2, 0, 2] = 1             # red, green, blue pixels
    before = image.copy()
    got = np.asarray(mine.network_input(image, MEAN))
    same(image, before, "The caller's image has changed. Work on a copy.")
    same(got, subtract_mean(image[None], MEAN),
         "A red pixel must be largest in the last channel, a blue one in the first. Are the "
         "channels reversed, and only the channels?")


def test_from_classifier_names_convolutions(mine):
    state = classifier()
    got = mine.from_classifier(state, CONVS, 2, 5)
    for ours, theirs in {"conv1_1": 0, "conv2_1": 3, "conv2_2": 5}.items():
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" not in got:
                pytest.fail(f"There is no {ours}.{kind}.", pytrace=False)
            same(got[f"{ours}.{kind}"], state[f"features.{theirs}.{kind}"],
                 f"{ours} is features.{theirs}: a convolution and its ReLU take two numbers, and "
                 "the pooling layer at the end of a stage takes one.")


def test_from_classifier_folds_the_matrices(mine):
    state = classifier()
    got = mine.from_classifier(state, CONVS, 2, 5)
    window = np.random.default_rng(1).standard_normal((4, 2, 2))
    fc6 = np.asarray(got["fc6.weight"])
    same(fc6.shape, (6, 4, 2, 2), "fc6 has shape (F, C, kernel, kernel).")
    same(np.tensordot(fc6, window, 3), state["classifier.0.weight"] @ window.reshape(-1),
         "On one window, fc6 must compute what the matrix computed. A map is flattened channel by "
         "channel, so the channels come first when it is folded back.")
    same(np.asarray(got["fc7.weight"]), state["classifier.3.weight"][:, :, None, None],
         "fc7 becomes a convolution with a 1x1 kernel.")


def test_from_classifier_scores_new_classes(mine):
    got = mine.from_classifier(classifier(), CONVS, 2, 5)
    same(got["score_fr.weight"], np.zeros((5, 6, 1, 1)),
         "score_fr is zero. It has a 1x1 kernel, as many outputs as the FCN has classes, and as "
         "many inputs as fc7 has outputs.")
    same(got["score_fr.bias"], np.zeros(5), "The bias of score_fr is zero.")
    extra = [name for name in got if name.startswith(("features", "classifier", "fc8"))]
    same(len(extra), 0, f"{', '.join(extra)}: an FCN has no such layer.")
