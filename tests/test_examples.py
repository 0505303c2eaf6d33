"""Run every example in the docstrings, and check what it prints."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import fcn_numpy

# The names that a student types first.
SHOWN = {
    "Conv2d", "ConvTranspose2d", "SGD", "SoftmaxCrossEntropy", "Window", "algorithm",
    "balanced_class_weights", "bilinear_kernel", "col2im", "confusion_matrix", "conv2d",
    "conv2d_input", "conv2d_weight", "conv_matrix", "fcn_for", "gradcheck", "im2col", "save",
    "score_image", "score_table", "segmentation_scores", "skip_init", "smooth_piece", "summary",
    "toy_shapes", "trace", "Settings.with_stages",
}


def found():
    """Return the examples of each docstring in the package, by the name of what it describes."""
    finder, tests = doctest.DocTestFinder(), {}
    for info in pkgutil.walk_packages(fcn_numpy.__path__, "fcn_numpy."):
        module = importlib.import_module(info.name)
        names = {**vars(module), "np": np}
        # Not by module: doctest would leave out what a decorator of another module has wrapped.
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == info.name:
                for test in finder.find(value, name, module=False, globs=names):
                    if test.examples:
                        tests[test.name] = test
    return tests


EXAMPLES = found()


def test_what_a_student_types_first_has_an_example():
    assert SHOWN <= EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_stands_there(name):
    report = []
    result = doctest.DocTestRunner().run(EXAMPLES[name], out=report.append)
    assert result.attempted and not result.failed, "".join(report)
