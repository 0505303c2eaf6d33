"""The seam between the textbook and the engine room: who computes, and that both agree."""

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from references import assert_close

import fcn_numpy
from fcn_numpy import fast
from fcn_numpy.convolution import algorithm
from fcn_numpy.models import TINY, FCN8s, Frozen, PyramidPooling
from fcn_numpy.nn import Module

PACKAGE = Path(fcn_numpy.__file__).parent
FUNCTIONS = [name for name in fast.__all__ if name not in ("CHOICE", "on")]
SIZE = 49, 50


def forward_and_backward():
    """Return the scores of a network, and every gradient."""
    rng = np.random.default_rng(0)
    model = FCN8s(3, TINY, context=PyramidPooling(128, rng=rng), dtype=np.float64, rng=rng)
    for parameter in model.parameters():
        if not parameter.data.any():
            parameter.data[...] = 0.1 * rng.standard_normal(parameter.data.shape)
    model.drop6.rng = model.drop7.rng = np.random.default_rng(1)
    image = rng.standard_normal((1, 3, *SIZE))
    scores = model(image)
    grad = model.backward(rng.standard_normal(scores.shape))
    grads = {n: p.grad for n, p in model.named_parameters()}
    expected = model.eval()(image)
    with Frozen(model.astype(np.float32)) as network:
        assert_close(network(image.astype(np.float32)), expected, 1e-4)
    return {"scores": scores, "image": grad, **grads}


def test_plain_and_fast_give_the_same_numbers():
    fast_ones = forward_and_backward()
    with algorithm("plain"):
        plain = forward_and_backward()
    for name, expected in plain.items():
        assert expected.any(), name
        assert_close(fast_ones[name], expected, 1e-12)


def test_plain_runs_without_the_engine_room(monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("the engine room was called")

    for name in FUNCTIONS:
        monkeypatch.setattr(fast, name, forbidden)
    with pytest.raises(AssertionError, match="the engine room"):
        forward_and_backward()
    with algorithm("plain"):
        forward_and_backward()


def test_every_function_of_the_engine_room_is_used(monkeypatch):
    called = set()

    def noting(name, function):
        def noted(*arguments, **options):
            called.add(name)
            return function(*arguments, **options)

        return noted

    for name in FUNCTIONS:
        monkeypatch.setattr(fast, name, noting(name, getattr(fast, name)))
    forward_and_backward()
    assert called == set(FUNCTIONS)


def test_the_choice_ends_with_its_block():
    assert fast.on()
    with algorithm("plain"):
        assert not fast.on()
        with algorithm("im2col"):
            assert fast.on()
        assert not fast.on()
    with pytest.raises(KeyError), algorithm("plain"):
        raise KeyError
    assert fast.on()


def imports_of(path):
    """Return the modules of the package that a file imports."""
    return set(re.findall(r"^ *(?:from|import) (fcn_numpy[\w.]*)", path.read_text("utf-8"), re.M))


def test_the_engine_room_knows_nothing_of_the_textbook():
    allowed = {"fcn_numpy.window", "fcn_numpy.checks"}
    for path in (PACKAGE / "fast").glob("*.py"):
        others = {name for name in imports_of(path) if not name.startswith("fcn_numpy.fast")}
        assert others <= allowed, path


def test_the_textbook_does_not_speak_of_speed():
    """Outside fast/, only the docstring of `algorithm` names Winograd, and only workers threads."""
    words = re.compile(r"cache(?!d_property)|thread|\bbands?\b|workspace|BLAS\b|Winograd", re.I)
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] == "fast" or place == Path("training/workers.py"):
            continue
        text = path.read_text("utf-8")
        if place == Path("algorithms.py"):
            # Not by __doc__, which Python 3.13 and later indent differently.
            text = re.sub(r'    """Choose how.*?"""', "", text, flags=re.DOTALL)
        found += [f"{place}:{n}: {line.strip()}" for n, line in enumerate(text.splitlines(), 1)
                  if words.search(line)]
    assert found == []


READING_PATH = (
    "window.py", "convolution.py", "nn/module.py", "nn/conv.py", "nn/pooling.py",
    "nn/activation.py", "nn/dropout.py", "nn/fusion.py", "models/vgg.py", "models/fcn.py",
    "models/variants.py", "models/head.py", "models/skip.py",
)


def lines(path):
    return len(path.read_text("utf-8").splitlines())


def test_the_textbook_stays_short():
    assert sum(lines(PACKAGE / name) for name in READING_PATH) <= 1250
    long = {p.name for p in PACKAGE.rglob("*.py") if lines(p) > 400}
    assert long <= {"torch_pickle.py"}


def test_layers_have_forward_above_backward():
    classes = set()
    for info in pkgutil.walk_packages([str(PACKAGE / "nn")], "fcn_numpy.nn."):
        module = __import__(info.name, fromlist=["x"])
        classes |= {c for _, c in inspect.getmembers(module, inspect.isclass)
                    if issubclass(c, Module) and c.__module__ == info.name}
    assert len(classes) > 15
    for kind in classes:
        own = vars(kind)
        if "forward" in own and "backward" in own:
            first, second = own["forward"], own["backward"]
            assert first.__code__.co_firstlineno < second.__code__.co_firstlineno, kind


def test_the_models_load_neither_weights_nor_data_nor_scipy():
    program = """
import sys
import fcn_numpy.models
print([name for name in sys.modules
       if name.startswith(("scipy", "matplotlib", "fcn_numpy.weights", "fcn_numpy.data"))])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=environment,
    )
    assert done.stdout.strip() == "[]"
