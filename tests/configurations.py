"""Convolutions of all kinds, for the tests of the three functions."""

import numpy as np
import pytest
from references import conv_size

# (N, C, F), (H, W), kernel_size, stride, padding, dilation
CONFIGURATIONS = [
    pytest.param((1, 1, 1), (1, 1), 1, 1, 0, 1, id="one-pixel"),
    pytest.param((2, 3, 4), (5, 6), 1, 1, 0, 1, id="1x1"),
    pytest.param((2, 3, 4), (5, 6), 1, 2, 0, 1, id="1x1-stride"),
    pytest.param((1, 2, 3), (4, 5), 1, 1, 2, 1, id="1x1-padding"),
    pytest.param((1, 2, 3), (6, 7), 3, 1, 1, 1, id="3x3-same"),
    pytest.param((3, 2, 2), (5, 5), 3, 1, 0, 1, id="3x3-valid-batch"),
    pytest.param((1, 2, 3), (5, 6), 3, 1, 2, 1, id="3x3-full"),
    pytest.param((2, 1, 2), (3, 4), 2, 1, 4, 1, id="padding-above-kernel"),
    pytest.param((1, 2, 2), (3, 4), (2, 3), 1, (5, 1), 1, id="padding-above-kernel-one-axis"),
    pytest.param((1, 2, 2), (3, 4), 2, 3, 5, 1, id="padding-above-kernel-stride"),
    pytest.param((2, 2, 3), (7, 5), (2, 4), (1, 1), (0, 2), 1, id="rectangular"),
    pytest.param((1, 3, 2), (4, 9), (1, 5), 1, (0, 2), 1, id="row-kernel"),
    pytest.param((1, 2, 2), (8, 7), 3, 2, 1, 1, id="stride-leaves-a-rest"),
    pytest.param((2, 2, 2), (9, 8), (3, 2), (3, 2), (1, 0), 1, id="stride-pair"),
    pytest.param((1, 2, 2), (7, 9), 2, 3, 0, 1, id="stride-above-kernel"),
    pytest.param((1, 2, 2), (8, 8), 4, 4, 0, 1, id="stride-is-kernel"),
    pytest.param((2, 2, 2), (7, 8), 3, 1, 2, 2, id="dilation"),
    pytest.param((1, 2, 2), (8, 9), (2, 3), 1, (1, 0), (3, 2), id="dilation-pair"),
    pytest.param((1, 2, 2), (9, 10), 3, 2, (2, 3), 2, id="dilation-and-stride"),
    pytest.param((1, 2, 2), (9, 8), (3, 2), (2, 3), (4, 1), (3, 2), id="everything"),
    pytest.param((2, 2, 3), (4, 5), (4, 5), 1, 0, 1, id="kernel-is-image"),
    pytest.param((1, 2, 2), (2, 3), 4, 1, 1, 1, id="kernel-above-image-with-padding"),
    pytest.param((1, 2, 2), (5, 6), 2, 2, 1, 3, id="dilation-above-kernel"),
]
# The same, and groups.
GROUPED = [
    pytest.param((2, 4, 6), (5, 6), 3, 1, 1, 1, 2, id="two-groups"),
    pytest.param((2, 4, 4), (5, 4), 3, 1, 1, 1, 4, id="depthwise"),
    pytest.param((1, 3, 6), (6, 5), 3, 2, 0, 1, 3, id="depthwise-two-each-stride"),
    pytest.param((2, 6, 2), (4, 5), 1, 1, 0, 1, 2, id="1x1-one-filter-a-group"),
    pytest.param((1, 4, 2), (2, 3), 2, 1, 4, 1, 2, id="padding-above-kernel"),
    pytest.param((1, 6, 9), (6, 7), 3, 1, 2, 2, 3, id="dilation"),
    pytest.param((2, 4, 4), (9, 8), (3, 2), (2, 3), (4, 1), (3, 2), 2, id="everything"),
    pytest.param((1, 4, 6), (4, 5), (4, 5), 1, 0, 1, 2, id="kernel-is-image"),
]
GEOMETRY = ("stride", "padding", "dilation")


def arrays(counts, size, kernel_size, stride, padding, dilation, dtype=np.float64, groups=1):
    """Draw x, w and grad_y for a row of the table."""
    rng = np.random.default_rng(0)
    n, c, f = counts
    kernel = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    out = conv_size(size, kernel, stride, padding, dilation)
    x = rng.standard_normal((n, c, *size)).astype(dtype)
    w = rng.standard_normal((f, c // groups, *kernel)).astype(dtype)
    return x, w, rng.standard_normal((n, f, *out)).astype(dtype)
