"""Explain a score: what each stream contributed to it, and which pixels it depends on.

The scores of FCN-8s are a sum of three maps, score_fr, score_pool4 and score_pool3, each upsampled
to the size of the image. Upsampling and cropping are linear, so it is possible to apply them to
each of these *streams* separately. The results add up to the scores.

This module traces the network, and then runs its layers one after another. It finds the streams by
walking back from the scores: through crops, transposed convolutions and scales, and both ways at a
sum.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy.checks import Pair, check_array, pair
from fcn_numpy.convolution import conv2d, conv2d_input
from fcn_numpy.geometry import FeatureMap, Grid, Step, Traced, trace_all
from fcn_numpy.models import Segmenter
from fcn_numpy.nn import Concat, Conv2d, ConvTranspose2d, Crop, Dropout2d, Scale, Sum

CONTEXT = "context"


class Field(NamedTuple):
    """A receptive field: first and last row, first and last column, in image pixels.

    The field may reach beyond the image, into the padding.
    """

    rows: Pair
    columns: Pair

    @property
    def size(self) -> Pair:
        """Height and width."""
        (top, bottom), (left, right) = self
        return bottom - top + 1, right - left + 1


@dataclass(frozen=True)
class Explanation:
    """Why a network gave a pixel the scores it did.

    Attributes
    ----------
    pixel : (int, int)
        Row and column.
    scores : ndarray, shape (n_class,)
        The scores of the pixel.
    streams : dict of str to ndarray, shape (n_class, H, W)
        What each stream contributes to the scores of every pixel, coarsest stream first, under the
        name of the layer that scores it: score_fr, score_pool4, score_pool3. With
        `fcn_numpy.models.PyramidPooling`, the part of score_fr that comes from the pyramid is a
        separate stream, "context". The streams add up to the scores.
    fields : dict of str to Field
        The receptive field of the pixel, for each stream.
    gradients : dict of str to ndarray, shape (C, H, W)
        The gradient of the winner's score at the pixel, for each input image.
    """

    pixel: Pair
    scores: np.ndarray
    streams: dict[str, np.ndarray]
    fields: dict[str, Field]
    gradients: dict[str, np.ndarray]

    @property
    def contributions(self) -> dict[str, np.ndarray]:
        """What each stream contributes to the scores of the pixel, as arrays of (n_class,)."""
        row, column = self.pixel
        return {name: stream[:, row, column] for name, stream in self.streams.items()}

    @property
    def winner(self) -> int:
        """The class with the largest score."""
        return int(self.scores.argmax())

    @property
    def runner_up(self) -> int:
        """The class with the second largest score, or the winner if there is no other class."""
        return int(np.argsort(-self.scores, kind="stable")[:2][-1])

    @property
    def margins(self) -> dict[str, float]:
        """The amount by which each stream favors the winner over the runner-up."""
        return {
            name: float(c[self.winner] - c[self.runner_up])
            for name, c in self.contributions.items()
        }

    def influence(self) -> np.ndarray:
        """Return the absolute gradient of each pixel, summed over channels, shape (H, W)."""
        gradients = np.concatenate(list(self.gradients.values()))
        return abs(gradients).sum(axis=0, dtype=np.float64)

    def share_within(self, size: int) -> float:
        """Return the share of `influence` in a box around the pixel: the effective field.

        Parameters
        ----------
        size : int
            Side of the box. If it is even, the larger half is below and to the right.

        Returns
        -------
        float
            From 0 to 1; NaN if no pixel has any influence.
        """
        influence = self.influence()
        first = [max(0, p - (size - 1) // 2) for p in self.pixel]
        rows, columns = (slice(f, p + size // 2 + 1) for f, p in zip(first, self.pixel))
        total = influence.sum()
        return float(influence[rows, columns].sum() / total) if total else float("nan")

    @property
    def shares(self) -> dict[int, float]:
        """`share_within` boxes of 16, 32, 64, ... pixels that are smaller than the image."""
        h, w = next(iter(self.gradients.values())).shape[1:]
        sizes = itertools.takewhile(lambda n: n < max(h, w), (16 << k for k in itertools.count()))
        return {size: self.share_within(size) for size in sizes}


def explain(
    model: Segmenter, image: np.ndarray | tuple[np.ndarray, ...], pixel: Pair
) -> Explanation | dict[str, Explanation]:
    """Split the scores of an image into streams, and find what the scores of one pixel depend on.

    Parameters
    ----------
    model : FCN or LateFusion
        A network with any backbone, in either mode. It does not change.
    image : ndarray, shape (C, H, W) or (1, C, H, W), or a tuple of two
        The input of the network: see `fcn_numpy.prediction.network_inputs`. For
        `fcn_numpy.models.LateFusion`, a tuple of two.
    pixel : (int, int)
        Row and column of the score to explain.

    Returns
    -------
    Explanation or dict of str to Explanation
        A network with several heads has one for each head.

    Raises
    ------
    ValueError
        If the network does not take such an image, or the pixel is outside the image.

    Examples
    --------
    >>> from fcn_numpy.models import TINY, FCN8s
    >>> model = FCN8s(4, TINY, dtype=np.float64, rng=np.random.default_rng(0))
    >>> image = np.random.default_rng(1).random((3, 64, 64))
    >>> explanation = explain(model, image, (20, 30))
    >>> list(explanation.streams)
    ['score_fr', 'score_pool4', 'score_pool3']
    >>> explanation.fields["score_pool3"]
    Field(rows=(-2, 49), columns=(6, 57))
    """
    if not isinstance(model, Segmenter):
        raise ValueError(f"explain: expected an FCN, got {type(model).__name__}")
    images = [x[None] if np.ndim(x) == 3 else x
              for x in (image if isinstance(image, tuple) else (image,))]
    model.check(*images)
    check_array(images[0], "explain: image", (1, "C", "H", "W"))
    size = images[0].shape[2:]
    pixel = pair(pixel, "pixel", 0)
    if any(p >= n for p, n in zip(pixel, size)):
        raise ValueError(f"expected a pixel inside an image of {size[0]} x {size[1]}, "
                         f"got row {pixel[0]}, column {pixel[1]}")
    traced = trace_all(model, size)
    run = _Run(traced, images)
    found = {
        name: _explain_head(run, traced, output, pixel, tuple(model.inputs))
        for name, output in traced.outputs.items()
    }
    return found if model.heads else found["scores"]


def _explain_head(run, traced, output, pixel, names):
    described = {id(step.output): step.output for step in traced.steps}
    described |= {id(x): x for x in traced.inputs}
    streams = {name: y[0] for name, y in _Streams(traced, run.maps).of(output).items()}
    grids = {name: y.grid for name, y in _Streams(traced, described).of(output).items()}
    scores = run.maps[id(output)][0][:, pixel[0], pixel[1]].copy()
    grad = np.zeros_like(run.maps[id(output)])
    grad[0, scores.argmax(), pixel[0], pixel[1]] = 1
    gradients = dict(zip(names, (g[0] for g in run.backward(output, grad))))
    fields = {name: _field(grid, pixel) for name, grid in grids.items()}
    return Explanation(pixel, scores, streams, fields, gradients)


def _field(grid: Grid, pixel: Pair) -> Field:
    rows, columns = grid.rows.seen_from([pixel[0]]), grid.columns.seen_from([pixel[1]])
    return Field(rows or (0, -1), columns or (0, -1))  # a gap of a transposed convolution


class _Run:
    """The layers of a traced network: run forward once, and backward from any of the outputs.

    The layers are copies that share their parameters with the network, so neither the mode of the
    network nor the values that it saved change. Dropout is off.
    """

    def __init__(self, traced: Traced, images: list[np.ndarray]):
        self.traced = traced
        self.maps: dict[int, np.ndarray] = {id(m): x for m, x in zip(traced.inputs, images)}
        self.layers = []
        for step in traced.steps:
            layer: Any = copy.copy(step.layer)
            # A convolution does not need to save anything: see `backward`.
            layer.training = not isinstance(layer, (Dropout2d, Conv2d, ConvTranspose2d))
            self.layers.append(layer)
            self.maps[id(step.output)] = layer(*(self.maps[id(m)] for m in step.inputs))

    def backward(self, output: FeatureMap, grad: np.ndarray) -> list[np.ndarray]:
        """Return the gradients of the images, without computing those of the parameters."""
        grads = {id(output): grad}
        for step, layer in zip(reversed(self.traced.steps), reversed(self.layers)):
            if id(step.output) not in grads:  # it belongs to another head
                continue
            grad = grads.pop(id(step.output))
            if isinstance(layer, Conv2d):
                size = step.inputs[0].size
                given = conv2d_input(grad, layer.weight.data, size, *layer.window[1:], layer.groups)
            elif isinstance(layer, ConvTranspose2d):
                given = conv2d(grad, layer.weight.data, *layer.window[1:])
            elif isinstance(layer, Dropout2d):
                given = grad
            else:
                saved, given = layer._saved, layer.backward(grad)
                layer._saved = saved  # other heads go back through this layer too
            for m, g in zip(step.inputs, given if isinstance(given, tuple) else (given,)):
                grads[id(m)] = grads[id(m)] + g if id(m) in grads else g
        return [grads[id(m)] for m in self.traced.inputs]


class _Streams:
    """Splits a map of scores into streams: arrays or, with descriptions as `maps`, FeatureMaps."""

    def __init__(self, traced: Traced, maps: Mapping[int, Any]):
        self.traced, self.maps = traced, maps

    def of(self, output: FeatureMap) -> dict[str, Any]:
        """Return the streams of a map, by the names of the layers that score them."""
        step: Any = self.traced.maker_of(output)
        if isinstance(step.layer, Sum):
            a, b = step.inputs
            return {**self.of(a), **self.of(b)}
        if isinstance(step.layer, (Crop, ConvTranspose2d, Scale)):
            scores, *like = step.inputs
            # A copy: the network's own layer would save these maps for its next backward.
            layer = copy.copy(step.layer)
            layer.training = False
            others = [self.maps[id(m)] for m in like]
            return {name: layer(x, *others) for name, x in self.of(scores).items()}
        source = self.traced.maker_of(step.inputs[0])
        if source is not None and isinstance(source.layer, Concat):
            return self._without_context(step, source)
        return {step.name: self.maps[id(output)]}

    def _without_context(self, step: Any, source: Step) -> dict[str, Any]:
        """Return what the features contribute to coarse scores, and what the pyramid does."""
        scores, features = self.maps[id(step.output)], source.inputs[0]
        if isinstance(scores, FeatureMap):
            own = scores.to(scores.channels, scores.size, features.grid)
            return {step.name: own, CONTEXT: scores}
        n = features.channels
        x, weight = self.maps[id(source.output)], step.layer.weight.data
        context = conv2d(x[:, n:], np.ascontiguousarray(weight[:, n:]), *step.layer.window[1:])
        return {step.name: scores - context, CONTEXT: context}
