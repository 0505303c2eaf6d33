"""The convolution as it is mostly written in NumPy: the columns of the whole batch at once."""

import numpy as np

from fcn_numpy import col2im, im2col


def conv2d(x, w, stride=1, padding=0, dilation=1, *, bias=None):
    """All columns, one matrix product."""
    n, _, h, wd = x.shape
    f, _, kh, kw = w.shape
    cols = im2col(x, (kh, kw), stride, padding, dilation)
    y = w.reshape(f, -1) @ cols
    size = [_size(s, k, *a) for s, k, a in zip((h, wd), (kh, kw), _axes(stride, padding, dilation))]
    y = y.reshape(n, f, *size)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input(grad_y, w, input_size, stride=1, padding=0, dilation=1):
    """One matrix product, and all columns added back."""
    n, f = grad_y.shape[:2]
    cols = w.reshape(f, -1).T @ grad_y.reshape(n, f, -1)
    return col2im(cols, input_size, w.shape[2:], stride, padding, dilation)


def conv2d_weight(x, grad_y, kernel_size, stride=1, padding=0, dilation=1, *, out=None):
    """All columns again, and one matrix product for each image."""
    n, f = grad_y.shape[:2]
    cols = im2col(x, kernel_size, stride, padding, dilation)
    grad = (grad_y.reshape(n, f, -1) @ cols.transpose(0, 2, 1)).sum(axis=0)
    grad = grad.reshape(f, x.shape[1], *np.broadcast_to(kernel_size, 2))
    if out is None:
        return grad
    out[...] = grad
    return out


def _axes(*arguments):
    return zip(*(np.broadcast_to(a, 2) for a in arguments))


def _size(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
