"""Networks from files: find out which network a file of weights holds, and load it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from fcn_numpy.files import errors_name, shown
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.finite import check_finite
from fcn_numpy.models.late_fusion import LateFusion
from fcn_numpy.models.registry import backbone_of, listed
from fcn_numpy.models.segmenter import Segmenter
from fcn_numpy.models.surgery import for_caffe_images, is_classifier, start_from
from fcn_numpy.models.variants import FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.nn import Scale, skip_init

# The name of the last upsampling layer identifies the network, except that FCN-8s and
# FCN-8s-at-once have the same names.
LAST_LAYERS: dict[str, tuple[type[FCN], ...]] = {
    "upscore": (FCN32s,), "upscore16": (FCN16s,), "upscore8": (FCN8s, FCN8sAtOnce)
}
FIRST_LAYER = re.compile(r"conv1(_1)?(_bgrd)?\.weight")
# The endings of the layer names in the two networks of a LateFusion.
STREAMS = ("color", "hha")

State = Mapping[str, np.ndarray]
Kind = TypeVar("Kind", bound=FCN)


def from_file(path: str | os.PathLike) -> Segmenter:
    """Make the network that the weights in a file belong to (see `fcn_for`).

    FCN-8s and FCN-8s-at-once have the same layers. A file holds FCN-8s-at-once if it contains the
    factors of the skips, like Caffe's files; if its metadata says so, like the metadata that this
    package writes; or if its name contains "atonce", like the files of pytorch-fcn and Chainer's
    fcn.

    Parameters
    ----------
    path : path-like
        A file in any format that `fcn_numpy.weights.load` reads.

    Returns
    -------
    FCN or LateFusion
        In train mode, like any new network.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, or holds the weights of another network or numbers that are not
        finite. The message names the file and the weight, and says what was expected and found.
    """
    from fcn_numpy import weights

    state, kind = weights.load(path), None
    if _last_layer(state) == "upscore8":
        said = weights.read_metadata(path).get("network", "")
        name = os.path.basename(os.fspath(path)).lower().replace("-", "")
        if said.startswith("FCN8sAtOnce on ") or "atonce" in name:
            kind = FCN8sAtOnce
    with errors_name(path):
        return fcn_for(state, kind, assign=True)


def load_as(
    kind: type[FCN], path: str | os.PathLike, n_class: int | None = None,
    trained_on: str = "caffe",
) -> FCN:
    """Make a network of a given kind from a file of weights; ``FCN8s.from_file`` calls this.

    Parameters
    ----------
    kind : type of FCN
        FCN32s, FCN16s, FCN8s or FCN8sAtOnce.
    path : path-like
        Weights of this network or of a classifier (VGG16 or CaffeNet), in any format that
        `fcn_numpy.weights.load` reads. From a classifier, the network takes the convolutions, and
        the first two fully connected layers as fc6 and fc7. The score layers stay at zero. This is
        where training in the paper starts.
    n_class : int, optional
        By default the number in the file, or 21 for a classifier.
    trained_on : {"caffe", "torchvision"}
        The kind of images that the weights were trained on: see `for_caffe_images`. Every FCN
        published with the paper was trained on Caffe's images.

    Returns
    -------
    FCN
        In train mode, like any new network.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, or holds the weights of another network, another number of classes
        or numbers that are not finite.
    """
    from fcn_numpy import weights

    state: State = weights.load(path)
    with errors_name(path):
        state = for_caffe_images(state, trained_on)
        if not is_classifier(state):
            model = fcn_for(state, kind, n_class, assign=True)
            assert isinstance(model, FCN)
            return model
        with skip_init():
            model = kind(21 if n_class is None else n_class, backbone_of(state))
        start_from(model, state, assign=True)
        return model


def fcn_for(
    state: State, kind: type[FCN] | None = None, n_class: int | None = None, *,
    assign: bool = False,
) -> Segmenter:
    """Make the network that weights belong to, and load them.

    The names tell which network it is, which heads it has and whether it fuses two images; the
    shapes tell the backbone, the channels of the image and the number of classes.

    Parameters
    ----------
    state : dict of str to ndarray
        A state_dict.
    kind : type of FCN, optional
        The network that the weights must belong to: FCN32s, FCN16s, FCN8s or FCN8sAtOnce. By
        default, names that FCN8s and FCN8sAtOnce share mean FCN8s, unless the state_dict also has
        the factors of the skips, as in Caffe's files: ``scale_pool4.weight`` and
        ``scale_pool3.weight``.
    n_class : int, optional
        The number of classes that the network must have.
    assign : bool
        Whether parameters may become the given arrays, instead of copies.

    Returns
    -------
    FCN or LateFusion

    Raises
    ------
    ValueError
        If this is not the state_dict of such a network on a known backbone, or is not finite.

    Examples
    --------
    >>> from fcn_numpy.models import TINY
    >>> model = fcn_for(FCN16s(5, TINY).state_dict())
    >>> type(model).__name__, model.n_class, model.backbone.name
    ('FCN16s', 5, 'TINY')
    """
    if all(f"score_fr{name}.weight" in state for name in STREAMS):
        if kind is not None or n_class is not None:
            raise ValueError("these are the weights of a LateFusion: load them with from_file")
        color, hha = (_empty(_stream(state, name), FCN32s) for name in STREAMS)
        model: Segmenter = LateFusion(color, hha)
    else:
        backbone_of(state)
        if is_classifier(state):
            raise ValueError(
                "these are the weights of a classifier: an FCN made from them must be trained "
                "first"
            )
        last = _last_layer(state)
        if last is None:
            raise ValueError(
                "expected the weights of an FCN-32s, FCN-16s or FCN-8s, with score_fr.weight and "
                f"one of {', '.join(f'{name}.weight' for name in LAST_LAYERS)}, got "
                f"{listed(list(state)[-6:])}"
            )
        kinds = LAST_LAYERS[last]
        if kind is None:
            scaled = any(name.startswith("scale_pool") for name in state)
            kind = kinds[-1 if scaled else 0]
        elif kind not in kinds:
            raise ValueError(
                f"expected the weights of an {kind.__name__}, got those of an {kinds[0].__name__}"
            )
        model = _empty(state, kind, n_class)
        state = _without_factors(state, model)
    check_finite(state)
    model.load_state_dict(state, assign=assign)
    return model


def _heads(state: State) -> dict[str, int]:
    """Return the number of classes of each head, by the suffix of its layers."""
    found = ((re.fullmatch(r"score_fr(.*)\.weight", name), value) for name, value in state.items())
    return {match[1]: len(np.atleast_1d(value)) for match, value in found if match}


def _last_layer(state: State) -> str | None:
    """Return the name of the last layer without the suffix of a head, or None if not an FCN."""
    last = [
        layer for layer in LAST_LAYERS
        if _heads(state) and all(f"{layer}{head}.weight" in state for head in _heads(state))
    ]
    return last[0] if len(last) == 1 else None


def _stream(state: State, name: str) -> State:
    """Return the weights of one network of a LateFusion under that network's own names."""
    ending = re.compile(rf"(.*){name}\.(weight|bias)")
    matches = ((ending.fullmatch(own), value) for own, value in state.items())
    stream = {f"{match[1]}.{match[2]}": value for match, value in matches if match}
    return {**stream, **{own: state[own] for own in state if own.startswith("upscore")}}


def _empty(state: State, kind: type[Kind], n_class: int | None = None) -> Kind:
    """Return a network for these weights, but do not load them."""
    heads = _heads(state)
    channels = 3
    for name, value in state.items():
        match, shape = FIRST_LAYER.fullmatch(name), np.shape(value)
        # conv1_1 takes any number of channels except four: with four, it is conv1_1_bgrd.
        if match and len(shape) == 4 and (match[2] or shape[1] != 4):
            channels = shape[1]
    with skip_init():
        if set(heads) == {""}:
            n_class = heads[""] if n_class is None else n_class
            return kind(n_class, backbone_of(state), in_channels=channels)
        if n_class is not None:
            raise ValueError(
                f"expected one head of {n_class} classes, got {len(heads)}: {listed(heads)}"
            )
        named = {name.removeprefix("_"): n for name, n in heads.items()}
        return kind(heads=named, backbone=backbone_of(state), in_channels=channels)


def factors_of(model: Segmenter) -> dict[str, np.ndarray]:
    """Return the factors of a network's skips as Caffe stores them, one number per channel."""
    layers = dict(model.children())
    factors = {}
    for name, layer in layers.items():
        if name.startswith("scale_pool") and isinstance(layer, Scale):
            channels = vars(layers[name.replace("scale", "score", 1)])["in_channels"]
            factors[f"{name}.weight"] = np.full(channels, layer.factor, np.float32)
    return factors


def _without_factors(state: State, model: FCN) -> State:
    """Return weights without Caffe's factors of the skips, which must agree with the network."""
    own, rest = factors_of(model), {}
    for name, value in state.items():
        if not name.startswith("scale_pool"):
            rest[name] = value
        elif name not in own or not np.allclose(value, own[name][0], rtol=1e-4, atol=0):
            expected = f"{own[name][0]:g} everywhere" if name in own else "left out"
            raise ValueError(
                f"expected {shown(name)} to be {expected}, as in {type(model).__name__}, got "
                f"{shown(np.unique(value)[:3])}"
            )
    return rest
