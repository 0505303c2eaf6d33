"""Conv2d and ConvTranspose2d: the matrix C and its transpose, as layers that learn."""

from __future__ import annotations

import numpy as np

from fcn_numpy.checks import Pair, check_array, check_dtype, floating_dtype, pair, whole_number
from fcn_numpy.convolution import conv2d, conv2d_input, conv2d_weight
from fcn_numpy.geometry import FeatureMap, output_size, transposed_output_size
from fcn_numpy.nn.module import Module, Parameter


def bilinear_kernel(
    kernel_size: int | Pair, dtype: np.typing.DTypeLike = np.float32
) -> np.ndarray:
    """Kernel with which a transposed convolution interpolates bilinearly.

    A tent on each axis: ``1 - |i - c| / f`` with ``f = ceil(k / 2)`` and c the middle of the
    kernel. For upsampling by a factor f take ``kernel_size = 2 f - f % 2`` and stride f.

    Parameters
    ----------
    kernel_size : int or pair of int
    dtype : dtype
        A floating dtype.

    Returns
    -------
    ndarray, shape (kh, kw)

    Notes
    -----
    Long et al., section 4 ("upsampling is initialized to bilinear interpolation"); the
    `bilinear` filler of Caffe and `get_upsampling_weight` of pytorch-fcn give the same numbers.
    """
    dtype = floating_dtype(dtype)
    tents = []
    for k in pair(kernel_size, "kernel_size", 1):
        factor = (k + 1) // 2
        tents.append(1 - np.abs(np.arange(k) - (k - 1) / 2) / factor)
    return np.outer(*tents).astype(dtype)


class NotDrawn(np.random.Generator):
    """A generator that leaves the weights of layers at zero, without touching their memory.

    For networks whose weights are loaded next. All else it draws as any other, such as what is
    dropped out.
    """

    def __init__(self):
        super().__init__(np.random.default_rng().bit_generator)


def he_normal(
    shape: tuple[int, ...], fan_in: float, dtype: np.typing.DTypeLike,
    rng: np.random.Generator | None,
) -> np.ndarray:
    """Draw weights with mean 0 and standard deviation ``sqrt(2 / fan_in)``.

    So activations keep their size through ReLU layers (He et al., 2015).
    """
    dtype = floating_dtype(dtype)
    if isinstance(rng, NotDrawn):
        return np.zeros(shape, dtype)
    rng = np.random.default_rng() if rng is None else rng
    # A whole VGG16 is 134 million draws: draw them in the dtype at hand where NumPy can.
    draw = dtype if dtype in (np.float32, np.float64) else np.float64
    weight = rng.standard_normal(shape, dtype=draw)
    weight *= np.sqrt(2 / fan_in)
    return weight.astype(dtype, copy=False)


def bias_parameter(size: int, dtype: np.typing.DTypeLike) -> Parameter:
    """Zeros, with twice the learning rate and no decay, as the paper has biases (section 4.3)."""
    return Parameter(np.zeros(size, dtype), lr_mult=2.0, decay_mult=0.0)


class _ConvBase(Module):
    """What the two layers share: arguments, parameters, checks, the bias."""

    weight: Parameter
    bias: Parameter | None
    returns_new = True

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation):
        self.in_channels = whole_number(in_channels, "in_channels", 1)
        self.out_channels = whole_number(out_channels, "out_channels", 1)
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding")
        self.dilation = pair(dilation, "dilation", 1)

    def _check_input(self, x):
        name = type(self).__name__
        check_array(x, f"{name}: x", ("N", self.in_channels, "H", "W"))
        check_dtype(x, f"{name}: x", self.weight.data.dtype, "its parameters")

    def _check_channels(self, x: FeatureMap):
        if x.channels != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} expected {self.in_channels} channels, got {x.channels}"
            )

    def _add_grad(self, grad, x_of_c, y_of_c):
        """Add to the gradients, given that of the output, and C's input and gradient of output."""
        arguments = (self.kernel_size, self.stride, self.padding, self.dilation)
        self.weight.add_grad(conv2d_weight, x_of_c, y_of_c, *arguments)
        if self.bias is not None:
            self.bias.add_grad(np.sum, grad, axis=(0, 2, 3))


class Conv2d(_ConvBase):
    """Convolution: ``y = C x + bias``.

    ``y[n, f] = sum over c of w[f, c] * x[n, c] + bias[f]``, where ``*`` slides the kernel over
    the padded map (see `fcn_numpy.conv2d`). Backward: ``Cᵀ grad`` for the input, the columns
    of x for the weight, the sum over images and cells for the bias.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding, dilation : int or pair of int
        Height first.
    bias : bool
    dtype : dtype
        Of the parameters, and so of all that goes in and out.
    rng : numpy.random.Generator, optional
        Draws the weights: normal, standard deviation ``sqrt(2 / (C kh kw))`` (He). Biases
        start at zero.

    Attributes
    ----------
    weight : Parameter, shape (F, C, kh, kw)
    bias : Parameter, shape (F,), or None
    """

    can_skip_input_grad = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = True,
        *,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        shape = (out_channels, in_channels, *self.kernel_size)
        self.weight = Parameter(he_normal(shape, np.prod(shape[1:]), dtype, rng))
        self.bias = bias_parameter(out_channels, dtype) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        self._check_input(x)
        bias = None if self.bias is None else self.bias.data
        arguments = (self.stride, self.padding, self.dilation)
        y = conv2d(x, self.weight.data, *arguments, bias=bias)
        self._keep(x)
        return y

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray | None:
        """Add to the parameters' gradients; return the gradient of x, unless told not to."""
        (x,) = self._take()
        arguments = (self.stride, self.padding, self.dilation)
        size = output_size(x.shape[2:], self.kernel_size, *arguments)
        self._check_grad(grad, (len(x), self.out_channels, *size), x.dtype)
        self._add_grad(grad, x, grad)
        if not need_input_grad:
            return None
        return conv2d_input(grad, self.weight.data, x.shape[2:], *arguments)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        self._check_channels(x)
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        size = output_size(x.size, *window)
        return x.to(self.out_channels, size, x.grid.convolved(*window))

    def multiply_adds(self, output: FeatureMap) -> int:
        """Multiplications (each with an addition) for one image."""
        return self.weight.data.size * output.size[0] * output.size[1]


class ConvTranspose2d(_ConvBase):
    """Transposed convolution: ``y = Cᵀ x + bias``.

    C is the matrix of the convolution from `out_channels` to `in_channels` with the same
    kernel, stride, padding and dilation; its transpose goes the other way and upsamples by the
    stride. Nothing is inverted. Backward swaps the roles: ``C grad`` for the input.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, padding : int or pair of int
        Height first.
    output_padding : int or pair of int
        Rows and columns added at the bottom and the right: of the sizes that the convolution
        would map onto this input, the smallest plus `output_padding`. Below the stride.
    dilation : int or pair of int
    bias : bool
    dtype : dtype
    rng : numpy.random.Generator, optional
        Draws the weights, normal, standard deviation ``sqrt(2 / (C kh kw / (sh sw)))``: an
        output cell sums over C times as many taps as the strides leave it.

    Attributes
    ----------
    weight : Parameter, shape (C, F, kh, kw)
    bias : Parameter, shape (F,), or None

    Notes
    -----
    Long et al., section 3.3, "Upsampling is backwards strided convolution".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = False,
        *,
        dtype: np.typing.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
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
        self.weight = Parameter(he_normal(shape, in_channels * taps, dtype, rng))
        self.bias = bias_parameter(out_channels, dtype) if bias else None

    def _output_size(self, size):
        return transposed_output_size(
            size, self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y of shape (N, F, Ho, Wo) for x of shape (N, C, H, W)."""
        self._check_input(x)
        size = self._output_size(x.shape[2:])
        y = conv2d_input(x, self.weight.data, size, self.stride, self.padding, self.dilation)
        if self.bias is not None:
            y += self.bias.data[:, None, None]
        self._keep(x)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Add to the parameters' gradients; return the gradient of x."""
        (x,) = self._take()
        size = self._output_size(x.shape[2:])
        self._check_grad(grad, (len(x), self.out_channels, *size), x.dtype)
        self._add_grad(grad, grad, x)
        return conv2d(grad, self.weight.data, self.stride, self.padding, self.dilation)

    def trace(self, x: FeatureMap) -> FeatureMap:
        """Describe the output."""
        self._check_channels(x)
        grid = x.grid.transpose_convolved(
            self.kernel_size, self.stride, self.padding, self.dilation
        )
        return x.to(self.out_channels, self._output_size(x.size), grid)

    def multiply_adds(self, output: FeatureMap) -> int:
        """Multiplications (each with an addition) for one image: each input cell is spread
        over the whole kernel. Cells at the border count in full, as the padding is computed."""
        h, w = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                output.size, self.kernel_size, self.stride, self.padding, self.dilation
            )
        )
        return self.weight.data.size * h * w
