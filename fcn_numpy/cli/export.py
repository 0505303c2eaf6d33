"""fcn-numpy export: convert weights to the format of another library."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from fcn_numpy.card import PLAIN, card_of, save_network
from fcn_numpy.cli.options import (
    add_classes,
    add_dataset,
    check_one_head,
    describe,
    parse_classes,
    print_unnamed,
)
from fcn_numpy.files import AN_HOUR, remove_leftovers
from fcn_numpy.models import from_file
from fcn_numpy.onnx_export import export_onnx
from fcn_numpy.prediction import means_for

DESCRIPTION = """\
Convert the weights of an FCN. The extension of OUT selects the format:

  .npz          NumPy, the format of this program
  .pth, .pt     PyTorch, with the layer names of pytorch-fcn
  .safetensors  safetensors
  .caffemodel   Caffe
  .onnx         ONNX, the whole network (needs the package onnx)

The file also records the names and colors of the classes and the input that the network
expects. Files for PyTorch and Caffe have no room for these; a file classes.csv next to
them lists the classes.
"""
EXTENSIONS = (".pth", ".pt", ".safetensors", ".caffemodel", ".npz", ".onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="weights of an FCN"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")
    add_classes(parser, "the names in the weights")
    add_dataset(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace OUT if it exists"
    )


def run(options: argparse.Namespace) -> int:
    """Write the weights, and print which network they belong to."""
    out = options.out
    extension = out.suffix.lower()
    if extension not in EXTENSIONS:
        raise ValueError(f"expected OUT to end in one of {', '.join(EXTENSIONS)}, got {out}")
    if out.exists() and not options.overwrite:
        raise ValueError(f"{out} already exists: choose another name, or use --overwrite")
    if out.parent.is_dir():
        remove_leftovers(out.parent, AN_HOUR)
    model = from_file(options.weights)
    classes, _ = parse_classes(options.classes)
    card = card_of(options.weights, model, beside=classes is None, dataset=options.dataset)
    if classes is not None:
        check_one_head(model)
        order = card.matched(classes, model.n_class, options.weights)
        if list(order) != list(range(model.n_class)):
            raise ValueError(
                "expected --classes in the order of the weights: "
                f"{', '.join(card.named(model.n_class).names)}"
            )
        card = replace(card, classes=classes)
    classes_file = None
    if extension == ".onnx":
        try:
            export_onnx(out, model, card)
        except ImportError as error:
            raise ValueError(str(error)) from error
    else:
        classes_file = save_network(out, model, card)
    print(f"{out}: {describe(model)}")
    if extension == ".onnx":
        print(f"It takes images whose height and width are {model.sizes}.")
    if classes_file is not None:
        print(f"The classes are in {classes_file}: keep it next to the weights.")
    print_unnamed(card, model)
    if extension in PLAIN and (card.heads or card.means not in (None, means_for(model))):
        print(
            f"A {extension} file cannot record its data set: use --dataset to predict from it."
        )
    if card.percentiles is not None and extension in PLAIN:
        print(
            f"A {extension} file cannot record --stretch: use --stretch to predict from it."
        )
    return 0
