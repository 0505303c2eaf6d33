"""The real FCN-8s: 134 million parameters, and what it takes of memory and time to use them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fcn_numpy import weights
from fcn_numpy.models import VGG16, Classifier, FCN8s
from fcn_numpy.nn import skip_init

pytestmark = pytest.mark.slow
needs_proc = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc"
)


@pytest.fixture(scope="module")
def model():
    model = FCN8s(rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for layer in (model.score_fr, model.score_pool4, model.score_pool3):
        layer.weight.data[...] = rng.standard_normal(layer.weight.data.shape) / 1000
    return model


def measured(code):
    """Run code that ends in a dict `result`; return it with the peaks of memory, in bytes."""
    program = (
        "import json\n"
        "def peak():\n"
        "    # Unlike getrusage, not that of the process that started this one.\n"
        "    status = open('/proc/self/status').read()\n"
        "    return 1024 * int(status.split('VmHWM:')[1].split()[0])\n"
        f"{code}\n"
        "result['peak'] = peak()\n"
        "print(json.dumps(result))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@needs_proc
@pytest.mark.parametrize("name", ["w.npz", "w.pth", "w.safetensors"])
def test_loading_takes_little_more_than_the_file(model, tmp_path, name):
    path = tmp_path / name
    weights.save(path, {n: p.data for n, p in model.named_parameters()})
    size = path.stat().st_size
    assert size == pytest.approx(4 * 134_489_759, rel=1e-3)
    result = measured(
        "from fcn_numpy.models import FCN8s\n"
        f"model = FCN8s.from_file({str(path)!r})\n"
        "result = {'sum': float(model.fc6.weight.data.sum())}"
    )
    assert result["sum"] == float(model.fc6.weight.data.sum())
    # The whole process, interpreter and NumPy (some 50 MB) included.
    assert result["peak"] < 1.3 * size


@needs_proc
def test_a_photograph_takes_less_than_two_and_a_half_gigabytes(model, tmp_path):
    path = tmp_path / "w.pth"
    weights.save(path, {n: p.data for n, p in model.named_parameters()})
    result = measured(
        "import numpy as np\n"
        "from fcn_numpy.models import FCN8s\n"
        "from fcn_numpy.prediction import score_image\n"
        f"model = FCN8s.from_file({str(path)!r})\n"
        "image = np.random.default_rng(0).random((3, 375, 500), dtype=np.float32)\n"
        "scores = score_image(model, image)\n"
        "result = {'shape': scores.shape, 'finite': bool(np.isfinite(scores).all())}"
    )
    assert result["shape"] == [21, 375, 500] and result["finite"]
    assert result["peak"] < 2.5e9


def test_vgg16_of_torchvision_becomes_fcn8s(tmp_path):
    """Under its published names and shapes, every number lands where it belongs."""
    with skip_init():
        classifier = Classifier(1000, VGG16)
    rng = np.random.default_rng(0)
    for p in classifier.parameters():
        p.data[...] = rng.standard_normal(p.data.shape[-1:], dtype=np.float32)
        p.data.reshape(-1)[0] = rng.random()
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    layers = [*(f"features.{n}" for n in places), "classifier.0", "classifier.3", "classifier.6"]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    state = dict(zip(names, (p.data for p in classifier.parameters())))
    assert state["classifier.0.weight"].shape == (4096, 25088)
    weights.save(tmp_path / "vgg16.pth", state)
    model = FCN8s.from_file(tmp_path / "vgg16.pth")
    own = dict(model.named_parameters())
    for name, p in classifier.named_parameters():
        if not name.startswith("fc8"):
            np.testing.assert_array_equal(own[name].data.ravel(), p.data.ravel(), err_msg=name)
    assert model.n_class == 21 and not model.score_fr.weight.data.any()
