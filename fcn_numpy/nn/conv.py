"""Conv2d and ConvTranspose2d: the matrix M and its transpose, as layers that learn."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, check_dtype, pair, whole_number
from fcn_numpy.convolution import conv2d, conv2d_input, conv2d_weight
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.initial import he_normal, zero_bias
from fcn_numpy.nn.parameter import Parameter
from fcn_numpy.nn.windowed import Windowed


class _Convolution(Windowed):
    """The arguments that both layers have."""

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_channels, out_channels, *window):
        super().__init__(*window)
        self.in_channels = whole_number(in_channels, "in_channels", 1)
        self.out_channels = whole_number(out_channels, "out_channels", 1)

    def _check_channels(self, channels: int) -> None:
        if channels != self.in_channels:
            name = type(self).__name__
            raise ValueError(f"{name} expected {self.in_channels} channels, got {channels}")


class Conv2d(_Convolution):
    """Convolution: ``y = M x + bias``.

    ``y[n, f] = sum over c of w[f, c] * x[n, c] + bias[f]``, where ``*`` slides the kernel over
    the padded map (see `fcn_numpy.conv2d`).

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding, dilation : int or pair of int
        Height first.
    bias : bool
    dtype : dtype
        Of the parameters, and so of everything that goes in and out.
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / (C kh kw))`` (He). Biases
        start at zero.

    Attributes
    ----------
    weight : Parameter, shape (F, C, kh, kw)
    bias : Parameter, shape (F,), or None

    Examples
    --------
    >>> layer = Conv2d(3, 16, kernel_size=3, padding=1)
    >>> layer(np.zeros((1, 3, 32, 48), np.float32)).shape
    (1, 16, 32, 48)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair,
        stride: int | Pair = 1, padding: int | Pair = 0, dilation: int | Pair = 1,
        bias: bool = True, *, dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        shape = (out_channels, in_channels, *self.kernel_size)
        self.weight = he_normal(shape, np.prod(shape[1:]), dtype, rng)
        self.bias = zero_bias(out_channels, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        bias = None if self.bias is None else self.bias.data
        y = conv2d(x, self.weight.data, self.stride, self.padding, self.dilation, bias=bias)
        self._save(x)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add ``grad im2col(x)ᵀ`` and the sum of grad to the gradients; return ``Mᵀ grad``."""
        (x,) = self._take()
        window = (self.stride, self.padding, self.dilation)
        grad_x = conv2d_input(grad, self.weight.data, x.shape[2:], *window)
        buffer = self.weight.buffer
        self.weight.add_grad(conv2d_weight(x, grad, self.kernel_size, *window, out=buffer))
        if self.bias is not None:
            self.bias.add_grad(grad.sum(axis=(0, 2, 3)))
        return grad_x

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        self._check_channels(x.channels)
        size = self.window.output_size(x.size)
        return x.to(self.out_channels, size, x.grid.convolved(*self.window))


class ConvTranspose2d(_Convolution):
    """Transposed convolution: ``y = Mᵀ x + bias``.

    M is the matrix of the convolution from `out_channels` to `in_channels` with the same
    kernel, stride, padding and dilation. Its transpose goes the other way and upsamples by the
    stride; it inverts nothing. In backward the two change places: ``M grad``.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding : int or pair of int
        Height first.
    output_padding : int or pair of int
        Rows and columns added at the bottom and on the right, fewer than the stride: of the sizes
        that the convolution maps onto this input, take the smallest plus `output_padding`.
    dilation : int or pair of int
    bias : bool
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / (C kh kw / (sh sw)))``, since the
        strides leave each output that many terms.

    Attributes
    ----------
    weight : Parameter, shape (C, F, kh, kw)
    bias : Parameter, shape (F,), or None

    Notes
    -----
    Long et al., section 3.3, "Upsampling is backwards strided convolution".

    Examples
    --------
    >>> layer = ConvTranspose2d(21, 21, kernel_size=4, stride=2)
    >>> layer(np.zeros((1, 21, 7, 7), np.float32)).shape
    (1, 21, 16, 16)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair,
        stride: int | Pair = 1, padding: int | Pair = 0, output_padding: int | Pair = 0,
        dilation: int | Pair = 1, bias: bool = False, *,
        dtype: np.typing.DTypeLike = np.float32, rng: np.random.Generator | None = None,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        self.output_padding = pair(output_padding, "output_padding")
        if any(o >= s for o, s in zip(self.output_padding, self.stride)):
            raise ValueError(
                f"expected output_padding below the stride {self.stride}, "
                f"got {self.output_padding}"
            )
        shape = (in_channels, out_channels, *self.kernel_size)
        taps = np.prod(self.kernel_size) / np.prod(self.stride)
        self.weight = he_normal(shape, in_channels * taps, dtype, rng)
        self.bias = zero_bias(out_channels, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        check_array(x, "ConvTranspose2d: x", ("N", self.in_channels, "H", "W"))
        check_dtype(x, "ConvTranspose2d: x", self.weight.data.dtype, "its parameters")
        size = self.window.input_size(x.shape[2:], self.output_padding)
        y = conv2d_input(x, self.weight.data, size, self.stride, self.padding, self.dilation)
        if self.bias is not None:
            y += self.bias.data[:, None, None]
        self._save(x, y.shape)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add to the parameters' gradients; return ``M grad``, the gradient of x."""
        x, shape = self._take()
        self._check_grad(grad, shape, x.dtype)
        window = (self.stride, self.padding, self.dilation)
        buffer = self.weight.buffer
        self.weight.add_grad(conv2d_weight(grad, x, self.kernel_size, *window, out=buffer))
        if self.bias is not None:
            self.bias.add_grad(grad.sum(axis=(0, 2, 3)))
        return conv2d(grad, self.weight.data, *window)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe y."""
        self._check_channels(x.channels)
        size = self.window.input_size(x.size, self.output_padding)
        return x.to(self.out_channels, size, x.grid.transpose_convolved(*self.window))
