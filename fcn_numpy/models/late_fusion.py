"""LateFusion: average the scores of two networks for two images of one scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcn_numpy import nn
from fcn_numpy.geometry import feature_maps
from fcn_numpy.models.layers import upsampling
from fcn_numpy.models.segmenter import Segmenter
from fcn_numpy.models.variants import FCN32s


class LateFusion(Segmenter):
    """The mean of the coarse scores of two FCN-32s, upsampled together (Long et al., table 4).

    ``network(color, hha)`` takes two images of the same size. In the paper, one is a color image
    and the other is HHA: horizontal disparity, height above the ground, and angle with gravity,
    all computed from depth.

    The fused network takes over the layers of the two networks and adds "color" or "hha" to their
    names: conv1_1color ... score_frhha. So it starts from what the two have learned, and training
    it trains them. A single upsampling layer, upscore, replaces their two.

    Parameters
    ----------
    color, hha : FCN32s
        Two networks with the same number of classes, and backbones with the same strides.
    """

    def __init__(self, color: FCN32s, hha: FCN32s):
        streams = {"color": color, "hha": hha}
        for name, stream in streams.items():
            if not isinstance(stream, FCN32s) or stream.heads or stream.skips:
                raise ValueError(
                    f"expected {name} to be an FCN32s with one head and no skips, got "
                    f"{type(stream).__name__}"
                )
        dtypes = [next(stream.parameters()).data.dtype for stream in streams.values()]
        if dtypes[0] != dtypes[1]:
            raise ValueError(f"expected two networks of one dtype, got {dtypes[0]} and {dtypes[1]}")
        if color is hha or color.n_class != hha.n_class:
            raise ValueError(
                "expected two networks with the same number of classes, got "
                f"{'one' if color is hha else f'{color.n_class} and {hha.n_class}'}"
            )
        self.n_class, self.backbone = color.n_class, color.backbone
        self.inputs = {name: stream.inputs["image"] for name, stream in streams.items()}
        layers: dict[str, nn.Module] = {}
        for name, stream in streams.items():
            of_stream = dict(stream.children())
            del of_stream["crop"]
            last: Any = of_stream.pop("upscore")
            layers |= {f"{own}{name}": layer for own, layer in of_stream.items()}
        self._adopt(layers.items())
        self._streams = _Stream(color), _Stream(hha)
        self.scale_color, self.scale_hha = nn.Scale(0.5), nn.Scale(0.5)
        self.score_fused = nn.Sum()
        images = feature_maps(tuple(self.inputs.values()), (1024, 1024))
        scores, weight = self._fuse(*images), last.weight
        self.upscore = upsampling(scores, images[0], weight.lr_mult > 0, weight.data.dtype)
        self.crop = nn.Crop(self.upscore.trace(scores).grid.offset_of(images[0].grid))
        self._find_sizes(scores.grid.scale)
        self.train(color.training)

    def _fuse(self, color, hha):
        of_color, of_hha = self._streams
        return self.score_fused(
            self.scale_color(of_color(color)), self.scale_hha(of_hha(hha))
        )

    def _segment(self, color, hha):
        return self.crop(self.upscore(self._fuse(color, hha)), color)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add to the parameters' gradients; return the gradients of `color` and of `hha`."""
        a, b = self.score_fused.backward(self.upscore.backward(self.crop.backward(grad)))
        of_color, of_hha = self._streams
        grad_color = of_color.backward(self.scale_color.backward(a))
        return grad_color, of_hha.backward(self.scale_hha.backward(b))


class _Stream(nn.Module):
    """An FCN-32s up to its coarse scores."""

    def __init__(self, fcn: FCN32s):
        self._features, self._coarsest = fcn._features, fcn._coarsest
        self._score: nn.Module = nn.Sequential(fcn._fc, vars(fcn)["score_fr"])

    def forward(self, image):
        return self._score(self._features(image)[self._coarsest])

    def backward(self, grad):
        return self._features.backward({self._coarsest: self._score.backward(grad)})
