"""SGD as in Caffe: momentum on the step, a learning rate and a decay for each parameter."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fcn_numpy.nn import Parameter

PIECE = 1 << 20  # how many numbers of a gradient to square at a time


class SGD:
    """Stochastic gradient descent with momentum and weight decay.

    For each parameter w with gradient g and velocity v (zero at first)::

        v <- momentum * v + lr * lr_mult * (g + weight_decay * decay_mult * w)
        w <- w - v

    The learning rate is inside the velocity, as in Caffe, so a change of `lr` does not rescale
    the steps that the velocity already holds (in PyTorch it does).

    Parameters
    ----------
    parameters : iterable of Parameter
        ``module.parameters()``. Parameters with an lr_mult of 0 are fixed. A parameter that occurs
        twice, because two layers share it, moves once per step.
    lr : float
        Learning rate; it may change between steps.
    momentum : float
        At least 0 and below 1.
    weight_decay : float
    clip_gradients : float, optional
        If the L2 norm of all gradients together is above this, scale them down to it before the
        step. Fixed parameters do not count.

    Attributes
    ----------
    velocities : list of ndarray
        One velocity for each parameter, in the same order.

    Examples
    --------
    >>> w = Parameter(np.array([1.0]))
    >>> optimizer = SGD([w], lr=0.5, momentum=0.5)
    >>> for _ in range(3):
    ...     w.grad = w.data.copy()  # the gradient of w ** 2 / 2
    ...     optimizer.step()
    ...     print(w.data)  # momentum carries it past the minimum
    [0.5]
    [0.]
    [-0.25]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        clip_gradients: float | None = None,
    ):
        self.parameters = list(dict.fromkeys(parameters))  # a shared one moves once
        if not self.parameters:
            raise ValueError("expected at least one parameter, got none")
        if not 0 <= momentum < 1:
            raise ValueError(f"expected momentum of at least 0 and below 1, got {momentum}")
        if not (lr >= 0 and weight_decay >= 0):
            raise ValueError(
                f"expected lr and weight_decay of at least 0, got {lr} and {weight_decay}"
            )
        if clip_gradients is not None and not clip_gradients > 0:
            raise ValueError(f"expected clip_gradients above 0, got {clip_gradients}")
        self.clip_gradients = clip_gradients
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocities = [np.zeros(p.data.shape, p.data.dtype) for p in self.parameters]

    def step(self) -> None:
        """Update each parameter from its gradient."""
        scale = self._gradient_scale()
        for parameter, velocity in zip(self.parameters, self.velocities):
            if parameter.lr_mult == 0:
                continue
            rate = self.lr * parameter.lr_mult
            velocity *= self.momentum
            velocity += (rate * scale) * parameter.grad
            decay = self.weight_decay * parameter.decay_mult
            if decay:
                velocity += (rate * decay) * parameter.data
            parameter.data -= velocity

    def _gradient_scale(self):
        if self.clip_gradients is None:
            return 1.0
        learned = [p.grad for p in self.parameters if p.lr_mult != 0]
        # In pieces: a float64 copy of fc6's gradient would take 820 MB.
        pieces = (g.ravel()[i : i + PIECE] for g in learned for i in range(0, g.size, PIECE))
        norm = np.sqrt(sum(np.sum(np.square(piece, dtype=np.float64)) for piece in pieces))
        return float(self.clip_gradients / norm) if norm > self.clip_gradients else 1.0

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to zeros."""
        for parameter in self.parameters:
            parameter.zero_grad()
