"""Net surgery: start one network from the weights of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fcn_numpy.checks import whole_number
from fcn_numpy.models.classifier import convolutionalize
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.finite import check_finite
from fcn_numpy.models.registry import listed, refuse_other_vggs

# torchvision subtracts this mean from an image (red, green, blue from 0 to 1), then divides by std.
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def is_classifier(state: Mapping[str, np.ndarray]) -> bool:
    """Return whether weights belong to a classifier, in which fc6 is not a convolution."""
    return np.ndim(state.get("fc6.weight", 0)) == 2


def start_from(
    model: FCN, state: Mapping[str, np.ndarray], *, assign: bool = False
) -> list[str]:
    """Load the weights that a network can take over from another one.

    From a classifier, load all convolutions, fc6 and fc7 (`convolutionalize`). From an FCN, also
    load the score layers with the same name and number of classes (`expand_scores` adds classes).
    A network that sees depth can start from one that does not (`add_depth`).

    Parameters
    ----------
    model : FCN
    state : dict of str to ndarray
        Weights of a classifier or an FCN on the same backbone.
    assign : bool
        Whether parameters may become the given arrays, instead of copies.

    Returns
    -------
    list of str
        Names of the parameters that were loaded.

    Raises
    ------
    ValueError
        If a convolution, fc6 or fc7 is missing, has another shape or is not finite. In this case
        nothing is loaded.
    """
    state = convolutionalize(state) if is_classifier(state) else state
    own = dict(model.named_parameters())
    if any("_bgrd." in name for name in own) and not any("_bgrd." in name for name in state):
        state = add_depth(state)
    stem = [name for name in own if name.startswith(("conv", "fc"))]
    _check_names(state, stem)
    # Upsampling stays bilinear: do not start from weights learned elsewhere or for another stride.
    scores = [
        name for name, p in own.items()
        if name.startswith("score") and np.shape(state.get(name, 0)) == p.data.shape
    ]
    taken = {name: state[name] for name in (*stem, *scores)}
    check_finite(taken)
    model.load_state_dict(taken, strict=False, assign=assign)
    return list(taken)


def expand_scores(state: Mapping[str, np.ndarray], n_class: int) -> dict[str, np.ndarray]:
    """Add classes to the score layers of an FCN: the old ones come first, the new ones are zero.

    For example, a network for the 21 classes of PASCAL VOC can then start a network for the 60
    classes of PASCAL-Context, the first 21 of which are the same.

    Parameters
    ----------
    state : dict of str to ndarray
        Weights of an FCN with k classes.
    n_class : int
        The new number of classes, at least k.

    Returns
    -------
    dict of str to ndarray
        Weights for `start_from`, without upsampling layers, which are bilinear for any number of
        classes.

    Raises
    ------
    ValueError
        If there is no score layer, or a score layer has more than `n_class` classes.

    Examples
    --------
    >>> expand_scores({"score_fr.bias": np.array([1.0, 2.0])}, 4)["score_fr.bias"]
    array([1., 2., 0., 0.])
    """
    whole_number(n_class, "n_class", 1)
    scores = [name for name in state if name.startswith("score")]
    if not scores:
        raise ValueError(f"expected score layers among the weights, got {listed(list(state)[:6])}")
    expanded = {name: value for name, value in state.items() if not name.startswith("upscore")}
    for name in scores:
        value = np.asarray(state[name])
        if not value.ndim or len(value) > n_class:
            raise ValueError(
                f"expected {name} for at most {n_class} classes, got shape {value.shape}"
            )
        expanded[name] = np.zeros((n_class, *value.shape[1:]), value.dtype)
        expanded[name][: len(value)] = value
    return expanded


def add_depth(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add depth to the first layer as a fourth channel, with the mean weight of the other three.

    Parameters
    ----------
    state : dict of str to ndarray
        Weights with a first layer, conv1_1 or conv1, that takes color images.

    Returns
    -------
    dict of str to ndarray
        Weights with a first layer named conv1_1_bgrd or conv1_bgrd.

    Raises
    ------
    ValueError
        If there is no such layer.

    Notes
    -----
    The reference implementation starts nyud-fcn32s-color-d this way.
    """
    name = next((name for name in ("conv1_1", "conv1") if f"{name}.weight" in state), "conv1_1")
    _check_names(state, [f"{name}.weight"])
    weight: Any = state[f"{name}.weight"]
    if np.ndim(weight) != 4 or weight.shape[1] != 3:
        raise ValueError(
            f"expected {name}.weight of shape (F, 3, kh, kw), got {np.shape(weight)}"
        )
    widened = np.concatenate([weight, weight.mean(axis=1, keepdims=True)], axis=1)
    renamed = {
        own.replace(f"{name}.", f"{name}_bgrd.") if own.startswith(f"{name}.") else own: value
        for own, value in state.items()
    }
    return {**renamed, f"{name}_bgrd.weight": widened}


def _check_names(state, names):
    refuse_other_vggs(state)
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(f"expected {missing[0]} among the names, got {listed(list(state)[:6])}")


def for_caffe_images(state: Mapping[str, np.ndarray], trained_on: str) -> Mapping[str, np.ndarray]:
    """Rewrite the weights of conv1_1 for the images that Caffe's networks see.

    Caffe's network sees ``x - mean``, with x blue, green, red from 0 to 255
    (`fcn_numpy.data.subtract_mean`). torchvision's network sees ``(x / 255 - mean) / std``, with x
    red, green, blue. Both are affine, so the first layer can absorb the difference: reverse its
    weights along the channels and divide them by ``255 std``; its bias takes the rest. In the
    padding both networks see zeros, which stand for means that differ by less than 2 of 255.

    Parameters
    ----------
    state : dict of str to ndarray
    trained_on : {"caffe", "torchvision"}
        The kind of images that the weights were trained on. Weights for Caffe's images are returned
        unchanged.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If conv1_1 is missing, has another shape or is not finite.
    """
    from fcn_numpy.data.images import CAFFE_MEAN

    if trained_on == "caffe":
        return state
    if trained_on != "torchvision":
        raise ValueError(f"expected trained_on 'caffe' or 'torchvision', got {trained_on!r}")
    names = ("conv1_1.weight", "conv1_1.bias")
    _check_names(state, names)
    shapes = [np.shape(state[name]) for name in names]
    if len(shapes[0]) != 4 or shapes[0][1] != 3 or shapes[1] != shapes[0][:1]:
        raise ValueError(
            f"expected {names[0]} of shape (F, 3, kh, kw) and {names[1]} of shape (F,), got "
            f"{shapes[0]} and {shapes[1]}"
        )
    check_finite({name: state[name] for name in names})
    weight, bias = (state[name].astype(np.float64) for name in names)
    mean, std = np.array(TORCHVISION_MEAN), np.array(TORCHVISION_STD)
    offset = (np.array(CAFFE_MEAN[::-1]) / 255 - mean) / std
    bias = bias + np.einsum("fckl,c->f", weight, offset)
    weight = (weight / (255 * std)[:, None, None])[:, ::-1]
    dtype = state[names[0]].dtype
    return {**state, names[0]: weight.astype(dtype, order="C"), names[1]: bias.astype(dtype)}
