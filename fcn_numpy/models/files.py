"""Networks out of files: which network a file of weights holds, and a start from other weights."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from fcn_numpy.files import errors_name, shown
from fcn_numpy.models.classifier import convolutionalize
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.registry import backbone_of, listed, refuse_other_vggs
from fcn_numpy.models.variants import FCN8s, FCN8sAtOnce, FCN16s, FCN32s
from fcn_numpy.nn import skip_init

# torchvision subtracts this mean from an image, red, green, blue from 0 to 1, and divides by this.
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Each network has an upsampling layer of its own name, except that FCN-8s has the same names as
# FCN-8s-at-once.
LAST_LAYERS: dict[str, tuple[type[FCN], ...]] = {
    "upscore.weight": (FCN32s,), "upscore16.weight": (FCN16s,),
    "upscore8.weight": (FCN8s, FCN8sAtOnce),
}

State = Mapping[str, np.ndarray]


def from_file(path: str | os.PathLike) -> FCN:
    """Make whichever network the weights of a file belong to (`fcn_for`).

    FCN-8s and FCN-8s-at-once have the same names and shapes. A file with "atonce" in its name, as
    pytorch-fcn and Chainer's fcn name theirs, is taken as the latter.

    Parameters
    ----------
    path : path-like
        A file in any format that `fcn_numpy.weights.load` reads.

    Returns
    -------
    FCN
        In train mode, as any new network.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, holds the weights of another network, or numbers that are not
        finite. The message names the file, the weight, what was expected and what came.
    """
    from fcn_numpy import weights

    state = weights.load(path)
    with errors_name(path):
        at_once = "atonce" in os.path.basename(os.fspath(path)).lower().replace("-", "")
        kind = FCN8sAtOnce if at_once and "upscore8.weight" in state else None
        return fcn_for(state, kind, assign=True)


def load_as(
    kind: type[FCN], path: str | os.PathLike, n_class: int | None = None,
    trained_on: str = "caffe",
) -> FCN:
    """Make a network of a given kind with the weights of a file; ``FCN8s.from_file`` calls it.

    Parameters
    ----------
    kind : type of FCN
        FCN32s, FCN16s, FCN8s or FCN8sAtOnce.
    path : path-like
        Weights of this network, or of a VGG16 classifier such as torchvision's, in any format
        that `fcn_numpy.weights.load` reads. A classifier's convolutions are copied, its first two
        fully connected layers become fc6 and fc7, and the score layers stay at zero: the paper
        starts from there.
    n_class : int, optional
        By default the file's; for a classifier 21.
    trained_on : {"caffe", "torchvision"}
        Which images the weights were trained on: see `for_caffe_images`. Every FCN published with
        the paper was trained on Caffe's.

    Returns
    -------
    FCN
        In train mode, as any new network.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, holds the weights of another network or number of classes, or
        numbers that are not finite.
    """
    from fcn_numpy import weights

    state: State = weights.load(path)
    with errors_name(path):
        state = for_caffe_images(state, trained_on)
        if not is_classifier(state):
            return fcn_for(state, kind, n_class, assign=True)
        with skip_init():
            model = kind(21 if n_class is None else n_class, backbone_of(state))
        _load_stem(model, convolutionalize(state), True)
        return model


def is_classifier(state: State) -> bool:
    """Return whether weights are those of a classifier: its fc6 is no convolution.

    Parameters
    ----------
    state : dict of str to ndarray

    Returns
    -------
    bool
    """
    return np.ndim(state.get("fc6.weight", 0)) == 2


def fcn_for(
    state: State, kind: type[FCN] | None = None, n_class: int | None = None, *,
    assign: bool = False,
) -> FCN:
    """Make the network that weights belong to, and load them.

    The names tell which network it is, the shapes which backbone and how many classes.

    Parameters
    ----------
    state : dict of str to ndarray
        A state_dict.
    kind : type of FCN, optional
        What the weights must be those of: FCN32s, FCN16s, FCN8s or FCN8sAtOnce. By default,
        names that both FCN8s and FCN8sAtOnce have are taken as FCN8s.
    n_class : int, optional
        The number of classes that they must have.
    assign : bool
        Whether parameters may become the given arrays, instead of copies.

    Returns
    -------
    FCN

    Raises
    ------
    ValueError
        If it is not the state_dict of such an FCN on a known backbone, or not finite.

    Examples
    --------
    >>> from fcn_numpy.models import TINY
    >>> model = fcn_for(FCN16s(5, TINY).state_dict())
    >>> type(model).__name__, model.n_class, model.backbone.name
    ('FCN16s', 5, 'TINY')
    """
    backbone = backbone_of(state)
    if is_classifier(state):
        raise ValueError(
            "these are the weights of a classifier: an FCN made from them has to be trained first"
        )
    kinds = [kinds for name, kinds in LAST_LAYERS.items() if name in state]
    if len(kinds) != 1 or "score_fr.weight" not in state:
        raise ValueError(
            "expected the weights of an FCN-32s, FCN-16s or FCN-8s, with score_fr.weight and one "
            f"of {', '.join(LAST_LAYERS)}, got {listed(list(state)[-6:])}"
        )
    if kind is None:
        kind = kinds[0][0]
    elif kind not in kinds[0]:
        raise ValueError(
            f"expected the weights of an {kind.__name__}, got those of an {kinds[0][0].__name__}"
        )
    if n_class is None:
        n_class = len(np.atleast_1d(state["score_fr.weight"]))
    with skip_init():
        model = kind(n_class, backbone)
    check_finite(state)
    model.load_state_dict(state, assign=assign)
    return model


def check_finite(state: State) -> None:
    """Raise an error for weights that are integers or not finite. It takes no memory.

    Parameters
    ----------
    state : dict of str to ndarray

    Raises
    ------
    ValueError
        If one is of integers, as quantized weights are, which mean nothing without their scale;
        if one of floating point holds NaN or infinity. The message names the first.

    Examples
    --------
    >>> check_finite({"fc7.bias": np.array([0.5, np.inf])})
    Traceback (most recent call last):
        ...
    ValueError: fc7.bias holds NaN or infinity: are these the weights of a training that diverged?
    """
    for name, value in state.items():
        value = np.asarray(value)
        if value.dtype.kind in "iu":
            raise ValueError(f"expected floating weights for {shown(name)}, got {value.dtype}")
        if value.dtype.kind != "f" or not value.size:
            continue
        # Both are NaN if one number is. Networks compute in float32, whose range is smaller.
        with np.errstate(over="ignore"):
            ends = np.array([value.min(), value.max()]).astype(np.float32)
        if not np.isfinite(ends).all():
            raise ValueError(
                f"{shown(name)} holds NaN or infinity: are these the weights of a training that "
                "diverged?"
            )


def start_from(model: FCN, state: State, *, assign: bool = False) -> list[str]:
    """Load into a network what it can take over from other weights.

    From a classifier these are all convolutions, fc6 and fc7 (`convolutionalize`); from an FCN
    also the score layers of the same names, if the number of classes is the same.

    Parameters
    ----------
    model : FCN
    state : dict of str to ndarray
        Of a classifier or an FCN on the same backbone.
    assign : bool
        Whether parameters may become the given arrays, instead of copies.

    Returns
    -------
    list of str
        Names of the parameters that were loaded.

    Raises
    ------
    ValueError
        If a convolution, fc6 or fc7 is missing, has another shape or is not finite. Nothing has
        been loaded then.
    """
    state = convolutionalize(state) if is_classifier(state) else state
    return _load_stem(model, state, assign)


def _load_stem(model, state, assign):
    """Load convolutions, fc6 and fc7, which must be there, and score layers that fit."""
    own = dict(model.named_parameters())
    stem = [name for name in own if name.startswith(("conv", "fc"))]
    _check_names(state, stem)
    # Upsampling stays bilinear: weights for another stride, or learned elsewhere, are no start.
    scores = [
        name for name, p in own.items()
        if name.startswith("score") and np.shape(state.get(name, 0)) == p.data.shape
    ]
    taken = {name: state[name] for name in (*stem, *scores)}
    check_finite(taken)
    model.load_state_dict(taken, strict=False, assign=assign)
    return list(taken)


def _check_names(state, names):
    refuse_other_vggs(state)
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(f"expected {missing[0]} among the names, got {listed(list(state)[:6])}")


def for_caffe_images(state: State, trained_on: str) -> State:
    """Rewrite conv1_1 of weights so that they take Caffe's images.

    Caffe's network sees ``x - mean`` of blue, green, red from 0 to 255
    (`fcn_numpy.data.subtract_mean`), torchvision's ``(x / 255 - mean) / std`` of red, green, blue.
    Both are affine, so the difference folds into the first layer: its weights are reversed along
    the channels and divided by ``255 std``, its bias takes the rest. In the padding both see
    zeros, which stand for means that differ by less than 2 of 255.

    Parameters
    ----------
    state : dict of str to ndarray
    trained_on : {"caffe", "torchvision"}
        Which images they were trained on. Weights for Caffe's are returned unchanged.

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
