"""fcn-numpy export: write weights in the format of another library."""

from __future__ import annotations

import argparse
from pathlib import Path

from fcn_numpy import weights
from fcn_numpy.models import from_file
from fcn_numpy.onnx_export import export_onnx

DESCRIPTION = """\
Write the weights of an FCN in the format that the extension of OUT names: .pth or .pt
(PyTorch, with the names of pytorch-fcn), .safetensors, .npz (our own), or .onnx (the whole
network; needs the package onnx).
"""
EXTENSIONS = (".pth", ".pt", ".safetensors", ".npz", ".onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command to its parser."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="weights of an FCN"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")


def run(options: argparse.Namespace) -> int:
    """Write the weights, and print what network they are for."""
    extension = options.out.suffix.lower()
    if extension not in EXTENSIONS:
        raise ValueError(
            f"expected OUT to end in one of {', '.join(EXTENSIONS)}, got {options.out}"
        )
    model = from_file(options.weights)
    if extension == ".onnx":
        try:
            export_onnx(options.out, model)
        except ImportError as error:
            raise ValueError(str(error)) from error
    else:
        weights.save(options.out, {name: p.data for name, p in model.named_parameters()})
    kind, backbone = type(model).__name__, model.backbone.name
    print(f"{options.out}: {kind} on {backbone}, {model.n_class} classes")
    return 0
