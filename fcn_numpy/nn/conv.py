"""Conv2d and ConvTranspose2d: the matrix M and its transpose, as layers that learn."""

import numpy as np
from numpy.typing import DTypeLike

from fcn_numpy.checks import IntOrPair, check_array, divide, pair, whole_number
from fcn_numpy.convolution import conv2d, conv2d_input, conv2d_weight
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.initial import he_normal, zero_bias
from fcn_numpy.nn.windowed import Windowed


class Conv2d(Windowed):
    """Convolution: ``y[n, f] = sum over c of w[f, c] * x[n, c] + bias[f]``, or ``y = M x + bias``.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding, dilation : int or pair of int
        Height first.
    bias : bool
    groups : int
        Parts that the channels are split into; each part of y sees only its own part of x.
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / (C / groups kh kw))`` (He).

    Attributes
    ----------
    weight : Parameter, shape (F, C / groups, kh, kw)
    bias : Parameter, shape (F,), or None

    Examples
    --------
    >>> layer = Conv2d(3, 16, kernel_size=3, padding=1)
    >>> layer(np.zeros((1, 3, 32, 48), np.float32)).shape
    (1, 16, 32, 48)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: IntOrPair,
        stride: IntOrPair = 1, padding: IntOrPair = 0, dilation: IntOrPair = 1, bias: bool = True,
        groups: int = 1, *, dtype: DTypeLike = np.float32, rng: np.random.Generator | None = None,
    ):
        super().__init__(kernel_size, stride, padding, dilation)
        self.in_channels = whole_number(in_channels, "in_channels", 1)
        self.out_channels = whole_number(out_channels, "out_channels", 1)
        divide(out_channels, groups, "out_channels")
        self.groups, channels = groups, divide(in_channels, groups, "in_channels")
        shape = (out_channels, channels, *self.kernel_size)
        self.weight = he_normal(shape, np.prod(shape[1:]), dtype, rng)
        self.bias = zero_bias(out_channels, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        bias = None if self.bias is None else self.bias.data
        y = conv2d(x, self.weight.data, *self.window[1:], self.groups, bias=bias)
        self._save(x)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add ``grad im2col(x)ᵀ`` and the sum of grad to the gradients; return ``Mᵀ grad``."""
        (x,) = self._take()
        weight = self.weight
        grad_x = conv2d_input(grad, weight.data, x.shape[2:], *self.window[1:], self.groups)
        weight.add_grad(conv2d_weight(x, grad, *self.window, self.groups, out=weight.buffer))
        if self.bias is not None:
            self.bias.add_grad(grad.sum(axis=(0, 2, 3)))
        return grad_x

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        x.check_channels(self.in_channels, "Conv2d")
        size = self.window.output_size(x.size)
        return x.to(self.out_channels, size, x.grid.convolved(*self.window))


class ConvTranspose2d(Windowed):
    """Transposed convolution: ``y = Mᵀ x + bias``.

    M is the matrix of the convolution from `out_channels` to `in_channels` with the same window.
    Its transpose goes the other way and upsamples by the stride; it inverts nothing. In backward
    the two change places (Long et al., section 3.3).

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding : int or pair of int
        Height first.
    output_padding : int or pair of int
        Added to the output size; less than stride s, since s sizes convolve to one input size.
    dilation : int or pair of int
    bias : bool
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / (C kh kw / (sh sw)))``.

    Attributes
    ----------
    weight : Parameter, shape (C, F, kh, kw)
    bias : Parameter, shape (F,), or None

    Examples
    --------
    >>> layer = ConvTranspose2d(21, 21, kernel_size=4, stride=2)
    >>> layer(np.zeros((1, 21, 7, 7), np.float32)).shape
    (1, 21, 16, 16)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: IntOrPair,
        stride: IntOrPair = 1, padding: IntOrPair = 0, output_padding: IntOrPair = 0,
        dilation: IntOrPair = 1, bias: bool = False, *, dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(kernel_size, stride, padding, dilation)
        self.in_channels = whole_number(in_channels, "in_channels", 1)
        self.out_channels = whole_number(out_channels, "out_channels", 1)
        self.output_padding = extra = pair(output_padding, "output_padding")
        if any(o >= s for o, s in zip(extra, self.stride)):
            raise ValueError(f"expected output_padding below the stride {self.stride}, got {extra}")
        shape = (in_channels, out_channels, *self.kernel_size)
        terms = in_channels * np.prod(self.kernel_size) / np.prod(self.stride)
        self.weight = he_normal(shape, terms, dtype, rng)
        self.bias = zero_bias(out_channels, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        dtype, shape = self.weight.data.dtype, ("N", self.in_channels, "H", "W")
        check_array(x, "ConvTranspose2d: x", shape, dtype=dtype, owner="its parameters")
        size = self.window.input_size(x.shape[2:], self.output_padding)
        y = conv2d_input(x, self.weight.data, size, *self.window[1:])
        if self.bias is not None:
            y += self.bias.data[:, None, None]
        self._save(x)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add ``x im2col(grad)ᵀ`` and the sum of grad to the gradients; return ``M grad``."""
        (x,) = self._take()
        size = self.window.input_size(x.shape[2:], self.output_padding)
        self._check_grad(grad, (len(x), self.out_channels, *size), x.dtype)
        self.weight.add_grad(conv2d_weight(grad, x, *self.window, out=self.weight.buffer))
        if self.bias is not None:
            self.bias.add_grad(grad.sum(axis=(0, 2, 3)))
        return conv2d(grad, self.weight.data, *self.window[1:])

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        x.check_channels(self.in_channels, "ConvTranspose2d")
        size = self.window.input_size(x.size, self.output_padding)
        return x.to(self.out_channels, size, x.grid.transpose_convolved(*self.window))
