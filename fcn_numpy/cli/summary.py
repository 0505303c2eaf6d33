"""fcn-numpy summary: list the layers of a model."""

from __future__ import annotations

import argparse

from fcn_numpy.cli.options import whole_number
from fcn_numpy.models import BACKBONES, MODELS
from fcn_numpy.nn import skip_init
from fcn_numpy.summary import summary

DESCRIPTION = """\
List the layers of a model. For each layer, the table shows the shape of the output, its
stride (image pixels from one cell to the next), its receptive field (side of the square
of image pixels that one cell depends on), the parameters, and the multiply-adds for one
image. The totals and the offsets of the crops follow the table.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument("model", metavar="MODEL", help="fcn32s, fcn16s, fcn8s or fcn8satonce")
    parser.add_argument(
        "--size", nargs=2, type=whole_number(1), metavar=("H", "W"),
        help="height and width of the image (default: 224 224; 227 227 for alexnet; 128 128 for "
        "tiny)",
    )
    parser.add_argument(
        "--backbone", choices=tuple(BACKBONES), default="vgg16",
        help="network that the FCN is built on (default: %(default)s)",
    )
    parser.add_argument(
        "--classes", type=whole_number(1), default=21, metavar="N",
        help="number of classes, including the background (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the layers of the model."""
    name = options.model.lower().replace("-", "").replace("_", "")
    if name not in MODELS:
        raise ValueError(f"expected MODEL to be one of {', '.join(MODELS)}, got {options.model!r}")
    backbone = BACKBONES[options.backbone]
    with skip_init():  # the values of the weights do not matter here
        model = MODELS[name](options.classes, backbone)
    height, width = options.size or (backbone.image_size, backbone.image_size)
    print(summary(model, (height, width)))
    return 0
