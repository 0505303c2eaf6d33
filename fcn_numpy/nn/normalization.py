"""LocalResponseNorm: divide each number by the size of nearby channels, as in AlexNet."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import check_array, is_number, whole_number
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.module import Module


class LocalResponseNorm(Module):
    """Divide each cell by the size of the neighboring channels at the same position.

    ::

        s[c] = k + alpha / size * (sum of x[d]**2 over size channels d around c)
        y[c] = x[c] / s[c]**beta

    Channels beyond the first and the last count as zeros. With an even size, one more channel
    counts before c than after it.

    Parameters
    ----------
    size : int
        Number of channels that are summed.
    alpha, beta, k : float
        Alpha is at least 0 and k above 0, so that s is never 0.

    Notes
    -----
    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012),
    section 3.3, with alpha divided by the size, as in Caffe's LRN layer and
    torch.nn.LocalResponseNorm.

    Examples
    --------
    >>> norm = LocalResponseNorm(size=1, alpha=1.0, beta=0.5, k=9.0)
    >>> norm(np.array([[[[4.0]]]]))  # 4 / sqrt(9 + 4 * 4)
    array([[[[0.8]]]])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size = whole_number(size, "size", 1)
        finite = all(is_number(value) and np.isfinite(value) for value in (alpha, beta, k))
        if not (finite and alpha >= 0 and k > 0):
            raise ValueError(
                "expected finite numbers alpha of at least 0, beta, and k above 0, got "
                f"{alpha!r}, {beta!r} and {k!r}"
            )
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y, which has the shape of x, (N, C, H, W)."""
        check_array(x, "LocalResponseNorm: x", ("N", "C", "H", "W"))
        s = self.k + self.alpha / self.size * self._sum(x * x, self.size // 2)
        y = x * s**-self.beta
        self._save(x, s, y)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x.

        x[c] contributes to y[c], and to s[d] for each nearby channel d: ``s[c]**-beta * grad[c] -
        2 alpha beta / size * x[c] * (sum of grad[d] * y[d] / s[d])``.
        """
        x, s, y = self._take()
        self._check_grad(grad, x.shape, x.dtype)
        # The channels d whose sums contain c are those around c with the two sides exchanged.
        through_s = self._sum(grad * y / s, (self.size - 1) // 2)
        return grad * s**-self.beta - 2 * self.alpha * self.beta / self.size * x * through_s

    def _sum(self, x: np.ndarray, before: int) -> np.ndarray:
        """Sum `size` channels for each channel, starting `before` channels before it."""
        n, c, h, w = x.shape
        padded = np.zeros((n, c + self.size - 1, h, w), x.dtype)
        padded[:, before : before + c] = x
        total = padded[:, :c].copy()
        for first in range(1, self.size):
            total += padded[:, first : first + c]
        return total

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y: a map like x."""
        return x
