"""The classifier that an FCN is made from, and how its fully connected layers become fc6, fc7."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcn_numpy.checks import check_array, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.models.vgg import VGG16, Backbone, add_stages, backbone_of
from fcn_numpy.nn import Dropout2d, Flatten, Linear, Module, ReLU, Sequential


class Classifier(Module):
    """A backbone with three fully connected layers: one row of class scores for an image.

    conv1_1 is padded by 1, as VGG has it, and the image must be of a size whose last map is
    exactly the size of fc6's kernel: `input_size` (224 for VGG16), or up to 31 pixels less.

    Parameters
    ----------
    n_class : int
    backbone : Backbone
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights (He; the last layer starts at zero) and what is dropped out.
    """

    def __init__(
        self,
        n_class: int,
        backbone: Backbone = VGG16,
        *,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        n_class = whole_number(n_class, "n_class", 2)
        rng = np.random.default_rng() if rng is None else rng
        self.backbone = backbone
        self._stages = add_stages(self, backbone, 1, dtype, rng)
        cells = backbone.widths[-1] * backbone.fc_kernel**2
        self.flatten = Flatten()
        self.fc6 = Linear(cells, backbone.fc_width, dtype=dtype, rng=rng)
        self.relu6 = ReLU()
        self.drop6 = Dropout2d(rng=rng)
        self.fc7 = Linear(backbone.fc_width, backbone.fc_width, dtype=dtype, rng=rng)
        self.relu7 = ReLU()
        self.drop7 = Dropout2d(rng=rng)
        self.fc8 = Linear(backbone.fc_width, n_class, dtype=dtype, rng=rng)
        self.fc8.weight.data[...] = 0
        self._head = Sequential(
            self.flatten, self.fc6, self.relu6, self.drop6, self.fc7, self.relu7, self.drop7,
            self.fc8,
        )

    @property
    def input_size(self) -> int:
        """Height and width of the images it was made for."""
        return self.backbone.fc_kernel * 2 ** len(self.backbone.widths)

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Return scores of shape (N, n_class) for images of shape (N, 3, size, size)."""
        largest = self.input_size
        smallest = largest - 2 ** len(self.backbone.widths) + 1
        if not isinstance(image, FeatureMap):
            check_array(image, "Classifier: image", ("N", 3, "H", "W"))
        if not all(smallest <= n <= largest for n in image.shape[2:]):
            raise ValueError(
                f"a Classifier on {self.backbone.name} takes heights and widths of {smallest} to "
                f"{largest}, got {tuple(image.shape[2:])}"
            )
        x = image
        for stage in self._stages:
            x = stage(x)
        return self._head(x)

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray | None:
        """Return the gradient of the images, unless told not to compute it."""
        grad = self._head.backward(grad)
        for stage in reversed(self._stages[1:]):
            grad = stage.backward(grad)
        return self._stages[0].backward(grad, need_input_grad)


def convolutionalize(classifier: Classifier | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the classifier's weights as those of an FCN: reshaped, not one number changed.

    A fully connected layer over a map of C channels and k x k cells is a convolution with a
    k x k kernel that fits the map in one place: row f of its weight, read as (C, k, k), is
    kernel f. So fc6 becomes a k x k convolution and fc7 a 1 x 1 convolution. The last layer,
    fc8, has no place in the FCN and is left out.

    Parameters
    ----------
    classifier : Classifier, or dict of str to ndarray
        With a state_dict, the arrays returned are views of those in it.

    Returns
    -------
    dict of str to ndarray
        To be loaded with ``fcn.load_state_dict(..., strict=False)``.

    Raises
    ------
    ValueError
        If a layer's weight is not of the shape that the backbone has.

    Notes
    -----
    Long et al., section 3.1, "Adapting classifiers for dense prediction".
    """
    if isinstance(classifier, Classifier):
        state, backbone = classifier.state_dict(), classifier.backbone
    else:
        state, backbone = classifier, backbone_of(classifier)
    k, channels, width = backbone.fc_kernel, backbone.widths[-1], backbone.fc_width
    state = {name: value for name, value in state.items() if not name.startswith("fc8.")}
    for name, inputs, shape in (("fc6.weight", channels * k * k, (channels, k, k)),
                                ("fc7.weight", width, (width, 1, 1))):
        if np.shape(state.get(name)) != (width, inputs):
            raise ValueError(
                f"expected {name} of shape {(width, inputs)}, got {np.shape(state.get(name))}"
            )
        state[name] = state[name].reshape(width, *shape)
    return state
