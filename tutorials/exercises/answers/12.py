"""Model answers to 12.py, and what graders say to common mistakes."""

import numpy as np


def cost(f, c, k, height, width):
    weights = f * c * k * k
    return weights + f, weights * height * width


def network_input(image, mean):
    return (255 * image[::-1] - np.reshape(mean, (3, 1, 1)))[None]


def from_classifier(state, convs, kernel, n_class):
    names, number = {}, 0
    for stage, count in enumerate(convs, 1):
        for index in range(1, count + 1):
            names[f"features.{number}"] = f"conv{stage}_{index}"
            number += 2
        number += 1
    names |= {"classifier.0": "fc6", "classifier.3": "fc7"}
    new = {}
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            new[f"{ours}.{kind}"] = state[f"{theirs}.{kind}"]
    f = len(new["fc6.bias"])
    new["fc6.weight"] = new["fc6.weight"].reshape(f, -1, kernel, kernel)
    new["fc7.weight"] = new["fc7.weight"].reshape(f, f, 1, 1)
    new["score_fr.weight"], new["score_fr.bias"] = np.zeros((n_class, f, 1, 1)), np.zeros(n_class)
    return new


def _channels_last(state, convs, kernel, n_class):
    new = from_classifier(state, convs, kernel, n_class)
    f, c = new["fc6.weight"].shape[:2]
    w = new["fc6.weight"].reshape(f, kernel, kernel, c).transpose(0, 3, 1, 2)
    return new | {"fc6.weight": w}


def _pool_not_counted(state, convs, kernel, n_class):
    new = from_classifier(state, convs, kernel, n_class)
    return new | {"conv2_1.weight": state["features.5.weight"]}


# Each mistake: the function it stands in for, and words of the hint that it gets.
MISTAKES = [
    ("cost", lambda f, c, k, h, w: (f * c * k * k, f * c * k * k * h * w), "a bias for each"),
    ("cost", lambda f, c, k, h, w: (f * c * k * k + f, (f * c * k * k + f) * h * w),
     "biases are not multiplied"),
    ("network_input", lambda image, mean: (image[::-1] - np.reshape(mean, (3, 1, 1)))[None],
     "multiplied by 255"),
    ("network_input", lambda image, mean: network_input(image[::-1], mean), "largest in the last"),
    ("network_input", lambda image, mean: network_input(image, mean[::-1]), "after the channels"),
    ("from_classifier", _pool_not_counted, "at the end of a stage"),
    ("from_classifier", _channels_last, "channel by channel"),
    ("from_classifier", lambda state, *rest: from_classifier(state, *rest) | {"fc8.bias": 0},
     "no such layer"),
]
