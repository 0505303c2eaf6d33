"""The one file, tutorials/fcn8s.py: the same numbers as the library and as PyTorch, and it runs."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from references import assert_close

from fcn_numpy.models import TINY, VGG16, FCN8s
from fcn_numpy.nn import SoftmaxCrossEntropy, skip_init

ROOT = Path(__file__).parent.parent
FILE = ROOT / "tutorials" / "fcn8s.py"


def module_from(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


one_file = module_from(FILE)
THIN = {"widths": (8, 16, 32, 64, 64), "fc": 128, "fc_kernel": 3, "pad": 17, "crops": (1, 1, 12)}
# In the order of the one file's convs().
NAMES = [
    *(f"conv{stage}_{i + 1}" for stage, count in enumerate(VGG16.convs, 1) for i in range(count)),
    "fc6", "fc7", "score_fr", "score_pool4", "score_pool3",
]


def both(n_class, backbone, seed=0, **sizes):
    """Make the network of the one file and that of the library, with the same weights."""
    rng = np.random.default_rng(seed)
    ours = one_file.FCN8s(n_class, rng, **sizes)
    with skip_init():
        library = FCN8s(n_class, backbone, dropout=0, dtype=np.float64)
    assert len(ours.convs()) == len(NAMES)
    for name, layer in zip(NAMES, ours.convs()):
        if not layer.w.any():  # a score layer: at zero, it would leave every gradient zero
            layer.w = rng.standard_normal(layer.w.shape) / np.sqrt(layer.w[0].size)
        layer.b = 0.1 * rng.standard_normal(layer.b.shape)
        getattr(library, name).weight.data[...] = layer.w
        getattr(library, name).bias.data[...] = layer.b
    for layer in ours.head.layers:
        if isinstance(layer, one_file.Dropout):
            layer.p = 0
    return ours, library


def example(n, size, n_class):
    rng = np.random.default_rng(1)
    image = rng.standard_normal((n, 3, *size))
    labels = rng.integers(0, n_class, (n, *size))
    labels[:, :3] = 255
    return image, labels


def run_one_file(network, image, labels):
    """Return scores, loss, the gradient of the image and those of all weights."""
    scores = network.forward(image)
    loss, dscores = one_file.cross_entropy(scores, labels)
    grad = network.backward(dscores)
    grads = {f"{name}.weight": layer.dw for name, layer in zip(NAMES, network.convs())}
    grads |= {f"{name}.bias": layer.db for name, layer in zip(NAMES, network.convs())}
    return {"scores": scores, "loss": loss, "image": grad} | grads


def run_library(network, image, labels):
    loss_of = SoftmaxCrossEntropy(255)
    scores = network(image)
    loss = loss_of(scores, labels)
    grad = network.backward(loss_of.backward())
    grads = {n: p.grad for n, p in network.named_parameters() if not n.startswith("up")}
    return {"scores": scores.copy(), "loss": loss, "image": grad} | grads


def run_torch(library, backbone, image, labels):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    twin = module_from(ROOT / "benchmarks" / "torch_fcn.py")
    network = twin.FCN8s(library.n_class, backbone, dropout=0).double()
    state = {name: torch.from_numpy(value) for name, value in library.state_dict().items()}
    network.load_state_dict(state)
    x = torch.from_numpy(image).requires_grad_()
    scores = network(x)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), ignore_index=255)
    loss.backward()
    grads = {n: p.grad.numpy() for n, p in network.named_parameters() if p.requires_grad}
    return {"scores": scores.detach().numpy(), "loss": loss.item(), "image": x.grad.numpy()} | grads


def assert_same(actual, expected):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert np.any(value), name
        scale = np.abs(value).max()
        assert_close(np.asarray(actual[name]) / scale, np.asarray(value) / scale, 1e-9)


@pytest.mark.parametrize("size", [(64, 64), (49, 62)])
def test_it_is_the_library(size):
    ours, library = both(4, TINY, **THIN)
    image, labels = example(2, size, 4)
    assert_same(run_one_file(ours, image, labels), run_library(library, image, labels))


def test_it_is_pytorch():
    ours, library = both(4, TINY, **THIN)
    image, labels = example(2, (64, 60), 4)
    assert_same(run_one_file(ours, image, labels), run_torch(library, TINY, image, labels))


@pytest.mark.slow
def test_at_full_size_it_is_the_library_and_pytorch():
    ours, library = both(21, VGG16)  # its defaults: the real FCN-8s
    image, labels = example(1, (33, 50), 21)
    found = run_one_file(ours, image, labels)
    assert sum(layer.w.size + layer.b.size for layer in ours.convs()) == 134_362_751
    assert_same(found, run_library(library, image, labels))
    del ours
    assert_same(found, run_torch(library, VGG16, image, labels))


def test_cross_entropy_ignores_another_label_if_asked_to():
    scores = np.random.default_rng(0).standard_normal((1, 3, 2, 2))
    labels = np.array([[[0, 1], [9, 2]]])
    loss, grad = one_file.cross_entropy(scores, labels, ignore=9)
    loss_of = SoftmaxCrossEntropy(ignore_index=9)
    assert loss == pytest.approx(loss_of(scores, labels), rel=1e-12)
    assert_close(grad, loss_of.backward(), 1e-12)


@pytest.mark.slow
def test_it_runs_and_has_learned():
    text = subprocess.run(
        [sys.executable, str(FILE)], capture_output=True, text=True, check=True
    ).stdout
    losses = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("step")]
    assert losses[-1] < 0.2 < losses[0]
    assert all(float(iu) > 0.6 for iu in re.search(r"square: (.*)", text)[1].split())
    drawn = [line for line in text.splitlines() if set(line) <= set(".o# ") and len(line) > 60]
    assert len(drawn) == 16
    for half in (slice(0, 32), slice(33, 65)):
        image = "".join(line[half] for line in drawn)
        assert image.count("o") > 10 and image.count("#") > 10


def test_it_stays_one_file_of_250_lines():
    text = FILE.read_text("utf-8")
    assert len(text.splitlines()) <= 250
    imports = [line for line in text.splitlines() if line.lstrip().startswith(("import", "from "))]
    assert imports == ["import numpy as np"]
