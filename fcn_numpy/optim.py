"""SGD as Caffe means it: momentum on the step, a learning rate and a decay for each parameter."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fcn_numpy.nn import Parameter


class SGD:
    """Stochastic gradient descent with momentum and weight decay.

    For each parameter w with gradient g and velocity v (zero at first)::

        v <- momentum * v + lr * lr_mult * (g + weight_decay * decay_mult * w)
        w <- w - v

    The learning rate is inside the velocity, as in Caffe, so that a change of `lr` does not
    rescale the steps already on their way (in PyTorch it does).

    Parameters
    ----------
    parameters : iterable of Parameter
        ``module.parameters()``. Those with an lr_mult of 0 are fixed.
    lr : float
        Learning rate; may be changed between steps.
    momentum : float
        At least 0 and below 1.
    weight_decay : float

    Attributes
    ----------
    velocities : list of ndarray
        One for each parameter, in their order.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("expected at least one parameter, got none")
        if not 0 <= momentum < 1:
            raise ValueError(f"expected momentum of at least 0 and below 1, got {momentum}")
        if lr < 0 or weight_decay < 0:
            raise ValueError(
                f"expected lr and weight_decay of at least 0, got {lr} and {weight_decay}"
            )
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocities = [np.zeros(p.data.shape, p.data.dtype) for p in self.parameters]

    def step(self) -> None:
        """Update each parameter from its gradient."""
        for parameter, velocity in zip(self.parameters, self.velocities):
            rate = self.lr * parameter.lr_mult
            if parameter.lr_mult == 0:
                continue
            velocity *= self.momentum
            velocity += rate * parameter.grad
            decay = self.weight_decay * parameter.decay_mult
            if decay:
                velocity += (rate * decay) * parameter.data
            parameter.data -= velocity

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to zeros."""
        for parameter in self.parameters:
            parameter.zero_grad()
