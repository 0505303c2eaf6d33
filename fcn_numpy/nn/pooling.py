"""MaxPool2d: the largest value of each window."""

import numpy as np

from fcn_numpy import fast
from fcn_numpy.checks import IntOrPair, check_array
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.windowed import Windowed


class MaxPool2d(Windowed):
    """Maximum over windows: ``y[n, c, i, j] = max over a, b of x[n, c, i s - p + a d, ...]``.

    The gradient goes to the cell with the maximum, or to the first such cell in reading order.
    Padding never wins. Sizes and ties follow torch.nn.MaxPool2d.

    Parameters
    ----------
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        By default, the kernel size.
    padding : int or pair of int
        At most half the kernel size.
    ceil_mode : bool
        Keep windows that are only partly inside the map, like the published FCNs.
    dilation : int or pair of int
        If above 1, a window may contain only padding; its maximum is then -inf.
    """

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None = None,
        padding: IntOrPair = 0, ceil_mode: bool = False, dilation: IntOrPair = 1,
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(kernel_size, stride, padding, dilation)
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError(f"expected padding of at most half the kernel_size "
                             f"{self.kernel_size}, got {self.padding}")

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, C, Ho, Wo) for x of shape (N, C, H, W)."""
        check_array(x, "MaxPool2d: x", ("N", "C", "H", "W"))
        size = self.window.output_size(x.shape[2:], self.ceil_mode)
        if fast.on():
            y, winner = fast.max_pool(x, self.window, size, self.training)
        else:
            cells = self._cells(x, -np.inf)  # (N, C, taps, Ho, Wo)
            y = cells.max(axis=2)
            is_x = self._cells(np.ones(x.shape, bool), False)
            winner = (~(cells < y[:, :, None]) & is_x).argmax(axis=2)  # the first of the largest
        self._save(winner, x.shape, x.dtype)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Return the gradient of x: that of y where a cell won, 0 times it (inf: NaN) elsewhere."""
        winner, shape, dtype = self._take()
        self._check_grad(grad, winner.shape, dtype)
        if fast.on():
            return fast.max_pool_input(grad, winner, self.window, shape)
        taps = np.arange(np.prod(self.kernel_size)).reshape(*self.kernel_size, 1, 1)
        windows = grad[:, :, None, None] * (winner[:, :, None, None] == taps)
        return self.window.add_windows(windows, shape[2:])

    def _cells(self, x: np.ndarray, fill: float) -> np.ndarray:
        """Return the cells of each window, shape (N, C, taps, Ho, Wo)."""
        windows = self.window.windows(x, fill, self.ceil_mode)
        return windows.reshape(*x.shape[:2], -1, *windows.shape[4:])

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        size = self.window.output_size(x.size, self.ceil_mode)
        return x.to(x.channels, size, x.grid.convolved(*self.window))
