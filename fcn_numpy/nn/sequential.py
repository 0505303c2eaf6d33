"""Sequential: layers that run one after the other."""

from __future__ import annotations

import numpy as np

from fcn_numpy.nn.module import Module


class Sequential(Module):
    """Run layers one after the other, named "0", "1", ...; backward runs them in reverse.

    Parameters
    ----------
    *layers : Module
        A layer must not appear twice: its second forward would replace what the first one saved,
        and backward raises RuntimeError when it reaches the layer again. Two layers may share a
        Parameter.
    """

    def __init__(self, *layers: Module):
        if not layers:
            raise ValueError("expected at least one layer")
        self._adopt((str(index), layer) for index, layer in enumerate(layers))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output."""
        for _, layer in self.children():
            x = layer(x)
        return x

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of the first layer's input."""
        for _, layer in reversed(list(self.children())):
            grad = layer.backward(grad)
        return grad
