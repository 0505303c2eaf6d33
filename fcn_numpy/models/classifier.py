"""The classifier that an FCN starts from, and how its fc layers become convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy import nn
from fcn_numpy.checks import check_array, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.backbone import StagedBackbone, adopt
from fcn_numpy.models.registry import backbone_of
from fcn_numpy.models.vgg import VGG, VGG16


class Classifier(nn.Module):
    """A backbone and three fully connected layers: one row of class scores for each image.

    Here conv1_1 has padding 1, as in VGG. The coarsest map must have the size of fc6's kernel, so
    an image has a height and width of `input_size` (224 for VGG16) or up to 31 pixels less.

    Parameters
    ----------
    n_class : int
    backbone : type of VGG
    dropout : float
        Probability of dropping an output of fc6 or fc7 in train mode.
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights (He; the last layer starts at zero) and dropout.

    Attributes
    ----------
    input_size : int
        Height and width of the images that the classifier is made for.
    """

    inputs = {"image": 3}

    def __init__(
        self, n_class: int, backbone: type[VGG] = VGG16, *, dropout: float = 0.5,
        dtype: np.typing.DTypeLike = np.float32, rng: np.random.Generator | None = None,
    ):
        n_class = whole_number(n_class, "n_class", 2)
        if not (isinstance(backbone, type) and issubclass(backbone, VGG)):
            raise ValueError(f"expected a Classifier on a subclass of VGG, got {backbone}")
        rng = np.random.default_rng() if rng is None else rng
        self.backbone = backbone
        self._features = backbone(pad=1, dtype=dtype, rng=rng)
        maps = adopt(self, self._features, FeatureMap(3, (1024, 1024)))
        self._coarsest, coarsest = list(maps.items())[-1]
        self._stride = int(coarsest.grid.scale[0])
        self.input_size = backbone.fc_kernel * self._stride

        width = backbone.fc_width
        self.flatten = nn.Flatten()
        self.fc6 = nn.Linear(
            coarsest.channels * backbone.fc_kernel**2, width, dtype=dtype, rng=rng
        )
        self.relu6 = nn.ReLU(inplace=True)
        self.drop6 = nn.Dropout2d(dropout, rng=rng)
        self.fc7 = nn.Linear(width, width, dtype=dtype, rng=rng)
        self.relu7 = nn.ReLU(inplace=True)
        self.drop7 = nn.Dropout2d(dropout, rng=rng)
        with nn.skip_init():
            self.fc8 = nn.Linear(width, n_class, dtype=dtype)
        self._head = nn.Sequential(
            self.flatten, self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7,
            self.fc8,
        )

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return scores of shape (N, n_class) for images of shape (N, 3, size, size)."""
        largest = self.input_size
        smallest = largest - self._stride + 1
        if not isinstance(image, FeatureMap):
            check_array(image, "Classifier: image", ("N", 3, "H", "W"))
        if not all(smallest <= n <= largest for n in image.shape[2:]):
            raise ValueError(
                f"a Classifier on {self.backbone.name} takes heights and widths of {smallest} to "
                f"{largest}, got {tuple(image.shape[2:])}"
            )
        return self._head(self._features(image)[self._coarsest])

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add to the parameters' gradients; return the gradient of the images."""
        return self._features.backward({self._coarsest: self._head.backward(grad)})


def convolutionalize(classifier: Classifier | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reshape a classifier's weights into the weights of an FCN, without changing any number.

    A fully connected layer over a map of C channels and k x k cells is a convolution with a
    k x k kernel that fits into the map in exactly one place. Row f of its weight, read as
    (C, k, k), is kernel f. So fc6 becomes a k x k convolution and fc7 a 1 x 1 convolution. The
    last layer, fc8, has no place in the FCN and is left out.

    Parameters
    ----------
    classifier : Classifier, or dict of str to ndarray
        If this is a state_dict, the returned arrays are views of its arrays.

    Returns
    -------
    dict of str to ndarray
        Weights to load with ``fcn.load_state_dict(..., strict=False)``.

    Raises
    ------
    ValueError
        If a layer's weight does not have the shape that the backbone requires.

    Notes
    -----
    Long et al., section 3.1, "Adapting classifiers for dense prediction".
    """
    given: Mapping[str, np.ndarray]
    backbone: type[StagedBackbone]
    if isinstance(classifier, Classifier):
        given, backbone = classifier.state_dict(), classifier.backbone
    else:
        given, backbone = classifier, backbone_of(classifier)
    k, channels, width = backbone.fc_kernel, backbone.widths[-1], backbone.fc_width
    state = {name: value for name, value in given.items() if not name.startswith("fc8.")}
    for name, inputs, shape in (("fc6.weight", channels * k * k, (channels, k, k)),
                                ("fc7.weight", width, (width, 1, 1))):
        came = np.shape(state.get(name, 0))
        if came != (width, inputs):
            raise ValueError(f"expected {name} of shape {(width, inputs)}, got {came}")
        state[name] = state[name].reshape(width, *shape)
    return state
