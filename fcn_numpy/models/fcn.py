"""FCN: score the feature maps of a backbone, and upsample the scores to the image."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy import nn
from fcn_numpy.checks import whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.backbone import Backbone, adopt
from fcn_numpy.models.head import Head
from fcn_numpy.models.pyramid import PyramidPooling
from fcn_numpy.models.segmenter import Segmenter, check_heads
from fcn_numpy.models.skip import SkipNames
from fcn_numpy.models.vgg import VGG16


class FCN(Segmenter):
    """Fully convolutional network (Long et al., figure 3, section 4), with pytorch-fcn's names.

    The classifier's layers fc6 and fc7, as convolutions, turn the coarsest map of the backbone into
    features. A `Head` scores them and fuses finer maps, one after another; a subclass says which.
    Last, it upsamples the scores by the remaining stride and crops them to the image. For any
    backbone, strides and crops follow from where each map is in the image (`fcn_numpy.geometry`).

    Parameters
    ----------
    n_class : int
        Number of classes, including the background.
    backbone : type of Backbone
    heads : dict of str to int, optional
        Several sets of classes: the name of each set, and its number of classes. Each set has its
        own head, with layer names that end in the name of the set (score_fr_sem). forward then
        returns a dict of scores, and backward takes a dict of gradients.
    in_channels : int
        Channels of the image. With four (blue, green, red and depth: "early fusion"), the first
        layer is named conv1_1_bgrd.
    context : PyramidPooling, optional
        A module that the output of fc7 passes through before it is scored.
    dropout : float
        Probability of dropping a channel of fc6 or fc7 in train mode.
    learn_upsampling : bool
        Whether the upsampling weights, bilinear at first, are learned.
    dtype : dtype
        Data type of the parameters and the images.
    rng : numpy.random.Generator, optional
        Draws the weights (He initialization; score layers start at zero) and dropout.
    """

    skips: tuple[SkipNames, ...] = ()
    upscore_name = "upscore"

    def __init__(
        self, n_class: int = 21, backbone: type[Backbone] = VGG16, *,
        heads: Mapping[str, int] | None = None, in_channels: int = 3,
        context: PyramidPooling | None = None, dropout: float = 0.5,
        learn_upsampling: bool = False, dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        if heads is not None and n_class != 21:
            raise ValueError(f"expected n_class or heads, got {n_class} and {dict(heads)}")
        self.heads = {} if heads is None else check_heads(heads)
        counts = {f"_{name}": n for name, n in self.heads.items()} or {"": n_class}
        self.n_class = sum(whole_number(n, "n_class", 1) for n in counts.values())
        self.inputs = {"image": whole_number(in_channels, "in_channels", 1)}
        self.backbone = backbone
        rng = np.random.default_rng() if rng is None else rng
        # A backbone that takes only color images need not accept in_channels.
        more = {} if in_channels == 3 else {"in_channels": in_channels}
        self._features = backbone(dtype=dtype, rng=rng, **more)
        # Trace an image large enough for every map to have a cell, to find strides and crops.
        maps = adopt(self, self._features, image := FeatureMap(in_channels, (1024, 1024)))
        self._coarsest = list(maps)[-1]

        channels, width = maps[self._coarsest].channels, backbone.fc_width
        self.fc6 = nn.Conv2d(channels, width, backbone.fc_kernel, dtype=dtype, rng=rng)
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = nn.Dropout2d(dropout, rng=rng)
        self.fc7 = nn.Conv2d(width, width, 1, dtype=dtype, rng=rng)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = nn.Dropout2d(dropout, rng=rng)
        layers = [self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7]
        if context is not None:
            if context.in_channels != width:
                raise ValueError(f"expected a context for {width} channels, the width of fc7, got "
                                 f"one for {context.in_channels}")
            self.context = context.astype(dtype)
            layers.append(self.context)
        self._fc = nn.Sequential(*layers)

        fc7, self._heads = self._fc(maps[self._coarsest]), {}
        for suffix, n in counts.items():
            self._heads[suffix[1:]] = head = Head(
                n, fc7, maps, image, self.skips, self.upscore_name, suffix=suffix,
                learn_upsampling=learn_upsampling, dtype=dtype,
            )
            self._adopt(head.children())
        self._find_sizes(maps[self._coarsest].grid.scale)

    def _segment(self, image):
        maps = self._features(image)
        fc7 = self._fc(maps[self._coarsest])
        scores = {name: head(fc7, maps, image) for name, head in self._heads.items()}
        return scores if self.heads else scores[""]

    def backward(self, grad: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
        """Add to the parameters' gradients; return the gradient of the image."""
        of_heads: Any = grad if self.heads else {"": grad}
        if not isinstance(of_heads, Mapping) or of_heads.keys() != self._heads.keys():
            got = ", ".join(of_heads) if isinstance(of_heads, Mapping) else type(grad).__name__
            raise ValueError(f"expected gradients of {', '.join(self._heads)}, got {got}")
        grad_fc7: Any = 0.0
        grads: dict[str, np.ndarray] = {}
        for name, head in self._heads.items():
            of_fc7, of_maps = head.backward(of_heads[name])
            grad_fc7 = grad_fc7 + of_fc7
            for key, each in of_maps.items():
                grads[key] = grads[key] + each if key in grads else each
        grads[self._coarsest] = self._fc.backward(grad_fc7)
        return self._features.backward(grads)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, n_class: int | None = None, *, trained_on: str = "caffe"
    ) -> "FCN":
        """Make the network from a file of weights: see `fcn_numpy.models.files.load_as`."""
        from fcn_numpy.models.files import load_as

        return load_as(cls, path, n_class, trained_on)
