"""The paper's networks as settings of `FCN`, and how they come out of files of weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from fcn_numpy import weights
from fcn_numpy.data.images import CAFFE_MEAN
from fcn_numpy.models.classifier import convolutionalize
from fcn_numpy.models.context import PyramidPooling
from fcn_numpy.models.fcn import FCN
from fcn_numpy.models.vgg import VGG16, Backbone, backbone_of
from fcn_numpy.nn.conv import NotDrawn

# What torchvision's pictures lose and are divided by: red, green, blue from 0 to 1.
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Published(FCN):
    """A setting of FCN: which pools are fused, and with which factors."""

    skips: Sequence[int] | Mapping[int, float] = ()

    def __init__(
        self,
        n_class: int = 21,
        backbone: Backbone = VGG16,
        *,
        context: PyramidPooling | None = None,
        learn_upsampling: bool = False,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(
            backbone, self.skips, n_class=n_class, context=context,
            learn_upsampling=learn_upsampling, dtype=dtype, rng=rng,
        )

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, n_class: int | None = None, *, trained_on: str = "caffe"
    ) -> FCN:
        """Make the network with the weights of a file.

        Parameters
        ----------
        path : path-like
            Published or own weights, in any format that `fcn_numpy.weights.load` reads: of this
            network, or of a VGG16 classifier such as torchvision's. A classifier's convolutions
            are copied, its first two fully connected layers become fc6 and fc7, and the score
            layers stay at zero: the paper starts so.
        n_class : int, optional
            Told by the file; for a classifier 21 if not given.
        trained_on : {"caffe", "torchvision"}
            How the pictures looked that a file's classifier was trained on. Caffe's are BGR from
            0 to 255 less their mean, as `fcn_numpy.data.subtract_mean` has them; so are those of
            every FCN published with the paper. Torchvision's are RGB, divided by their standard
            deviation; conv1_1 is rewritten then to take Caffe's.

        Returns
        -------
        FCN
            In train mode, as any new network.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is damaged, or holds the weights of another network or number of classes.
            The message names the file, the weight, what was expected and what came.
        """
        state = weights.load(path)
        try:
            state = for_caffe_pictures(state, trained_on)
            if not is_classifier(state):
                return fcn_for(state, cls, n_class, assign=True)
            model = cls(21 if n_class is None else n_class, backbone_of(state), rng=NotDrawn())
            _load_stem(model, convolutionalize(state), True)
            return model
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error


class FCN32s(_Published):
    """FCN-32s: scores at stride 32, upsampled at once. Arguments as `FCN`."""

    skips = ()


class FCN16s(_Published):
    """FCN-16s: the scores of pool4 are fused at stride 16. Arguments as `FCN`."""

    skips = (4,)


class FCN8s(_Published):
    """FCN-8s: the scores of pool4, then those of pool3 are fused. Arguments as `FCN`."""

    skips = (4, 3)


class FCN8sAtOnce(_Published):
    """FCN-8s trained in one stage: its pools are scaled down before they are scored.

    The scale of the finer pools' activations is larger than that of the last one; with these
    factors all three sets of scores learn at a similar rate. Arguments as `FCN`.
    """

    skips = {4: 0.01, 3: 0.0001}


MODELS = {
    "fcn32s": FCN32s, "fcn16s": FCN16s, "fcn8s": FCN8s, "fcn8satonce": FCN8sAtOnce
}
# The name of each network's last upsampling. At once or not, FCN-8s has the same names.
LAST_LAYERS = {
    "upscore.weight": (FCN32s,), "upscore16.weight": (FCN16s,),
    "upscore8.weight": (FCN8s, FCN8sAtOnce),
}


def fcn_from_file(path: str | os.PathLike) -> FCN:
    """Make whichever of the networks the weights of a file belong to (`fcn_for`).

    FCN-8s and FCN-8s-at-once have the same names and shapes. Files with "atonce" in their name,
    as pytorch-fcn and Chainer's fcn have it, are taken as the latter.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileNotFoundError
    ValueError
        As `FCN8s.from_file`.
    """
    state = weights.load(path)
    try:
        at_once = "atonce" in os.path.basename(os.fspath(path)).lower().replace("-", "")
        told = at_once and "upscore8.weight" in state
        return fcn_for(state, FCN8sAtOnce if told else None, assign=True)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def is_classifier(state: Mapping[str, np.ndarray]) -> bool:
    """Return whether weights are those of a classifier: fully connected, no convolutions."""
    return np.ndim(state.get("fc6.weight")) == 2


def fcn_for(
    state: Mapping[str, np.ndarray],
    kind: type[FCN] | None = None,
    n_class: int | None = None,
    *,
    assign: bool = False,
) -> FCN:
    """Make the network that weights belong to, and load them.

    Which one it is, is told by the names (each has an upsampling layer of its own), the backbone
    and the number of classes by the shapes. FCN-8s and FCN-8s-at-once have the same names; these
    are taken as FCN-8s if `kind` does not say otherwise.

    Parameters
    ----------
    state : dict of str to ndarray
        A state_dict.
    kind : class, optional
        FCN32s, FCN16s, FCN8s or FCN8sAtOnce: what the weights must be those of.
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
        If it is not the state_dict of such an FCN on a known backbone.
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
            f"of {', '.join(LAST_LAYERS)}, got {', '.join(list(state)[-6:])}"
        )
    if kind is None:
        kind = kinds[0][0]
    elif kind not in kinds[0]:
        raise ValueError(
            f"expected the weights of an {kind.__name__}, got those of an {kinds[0][0].__name__}"
        )
    if n_class is None:
        n_class = len(np.atleast_1d(state["score_fr.weight"]))
    model = kind(n_class, backbone, rng=NotDrawn())
    model.load_state_dict(state, assign=assign)
    return model


def start_from(
    model: FCN, state: Mapping[str, np.ndarray], *, assign: bool = False
) -> list[str]:
    """Load into a network what it can take over from other weights, and say what.

    From a classifier all convolutions, fc6 and fc7 (`convolutionalize`). From an FCN these, and
    the score layers of the same names if the number of classes is the same.

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
        If a convolution, fc6 or fc7 is missing or has another shape.
    """
    state = convolutionalize(state) if is_classifier(state) else state
    return _load_stem(model, state, assign)


def _load_stem(model, state, assign):
    """Load convolutions, fc6 and fc7, which must be there, and score layers that fit."""
    own = dict(model.named_parameters())
    stem = [name for name in own if name.startswith(("conv", "fc"))]
    missing = [name for name in stem if name not in state]
    if missing:
        raise ValueError(f"expected {missing[0]} among the names, got {', '.join(list(state)[:6])}")
    # Upsampling stays bilinear: the weights of another stride or another training are no start.
    scores = [
        name for name, p in own.items()
        if name.startswith("score") and np.shape(state.get(name)) == p.data.shape
    ]
    taken = [*stem, *scores]
    model.load_state_dict({name: state[name] for name in taken}, strict=False, assign=assign)
    return taken


def for_caffe_pictures(
    state: Mapping[str, np.ndarray], trained_on: str
) -> Mapping[str, np.ndarray]:
    """Rewrite conv1_1 of weights so that they take Caffe's pictures.

    Torchvision's network sees ``(x / 255 - mean) / std`` of red, green, blue; Caffe's ``x - m``
    of blue, green, red. Both are affine, so the one can be folded into the first layer of the
    other: its weights are turned round and divided by ``255 std``, its bias takes the rest. In
    the padding both see zeros, which stand for means that differ by less than 2 of 255.

    Parameters
    ----------
    state : dict of str to ndarray
    trained_on : {"caffe", "torchvision"}
        Whose pictures they were trained on. Caffe's are left as they are.

    Returns
    -------
    dict of str to ndarray
    """
    if trained_on == "caffe":
        return state
    if trained_on != "torchvision":
        raise ValueError(f"expected trained_on 'caffe' or 'torchvision', got {trained_on!r}")
    names = ("conv1_1.weight", "conv1_1.bias")
    shapes = [np.shape(state.get(name)) for name in names]
    if len(shapes[0]) != 4 or shapes[0][1] != 3 or shapes[1] != shapes[0][:1]:
        raise ValueError(
            f"expected {names[0]} of shape (F, 3, kh, kw) and {names[1]} of shape (F,), got "
            f"{shapes[0]} and {shapes[1]}"
        )
    weight, bias = (state[name].astype(np.float64) for name in names)
    mean, std = np.array(TORCHVISION_MEAN), np.array(TORCHVISION_STD)
    offset = (np.array(CAFFE_MEAN[::-1]) / 255 - mean) / std
    bias = bias + np.einsum("fckl,c->f", weight, offset)
    weight = (weight / (255 * std)[:, None, None])[:, ::-1]
    dtype = state[names[0]].dtype
    return {**state, names[0]: weight.astype(dtype, order="C"), names[1]: bias.astype(dtype)}
