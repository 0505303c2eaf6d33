"""A short training from scratch, for small experiments."""

from __future__ import annotations

from collections.abc import Callable

from fcn_numpy.nn import Module
from fcn_numpy.optim import SGD


def train_from_scratch(
    model: Module, compute: Callable[[], float], steps: int,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Train with SGD, momentum 0.9 and a learning rate from 0.1 down to 0; end in eval mode.

    Parameters
    ----------
    model : Module
        A network.
    compute : callable
        Adds the gradients of a batch to those of the network, and returns the loss.
    steps : int
    report : callable
        Called with each step's number and loss.
    """
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=5e-4, clip_gradients=0.5)
    for step in range(steps):
        optimizer.lr = 0.1 * min(1, (step + 1) / 20) * (1 - step / steps) ** 0.9
        model.zero_grad()
        loss = compute()
        optimizer.step()
        report(step + 1, loss)
    model.eval()
