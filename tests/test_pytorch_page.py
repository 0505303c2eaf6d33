"""docs/pytorch.md: its program, run as it stands there, takes the same steps as fcn_numpy."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backbones import vgg

torch = pytest.importorskip("torch", reason="PyTorch is not installed: its page is not run")

from fcn_numpy import weights  # noqa: E402
from fcn_numpy.data import IGNORE, normalize, toy_shapes  # noqa: E402
from fcn_numpy.models import (  # noqa: E402
    TINY,
    FCN8s,
    FCN8sAtOnce,
    FCN16s,
    FCN32s,
)
from fcn_numpy.nn import SoftmaxCrossEntropy  # noqa: E402
from fcn_numpy.optim import SGD  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pytorch.md"
# VGG16's stages and padding, but narrow.
NARROW = vgg("NARROW", (4, 6, 8, 8, 8), (2, 2, 3, 3, 3), 16, 7, 100)
# Some gradients are clipped and some are not: a clipped one does not tell its size.
STEPS, BATCH, LR, CLIP = 4, 4, 0.002, 5.0


def program():
    """Return the page's blocks of Python, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M))


@pytest.fixture(scope="module")
def page():
    """Return what the program defines."""
    names = {"__name__": "continue"}
    exec(compile(program(), str(PAGE), "exec"), names)
    return names


def build(kind, backbone):
    """Return a network with no weight at 0, as score layers and biases are at first."""
    rng = np.random.default_rng(0)
    model = kind(4, backbone, dropout=0, rng=rng)
    for parameter in model.parameters():
        if not parameter.data.any():
            parameter.data[...] = 0.02 * rng.standard_normal(parameter.data.shape)
    return model


def save(path, model):
    weights.save(path, model.state_dict())


@pytest.mark.parametrize("backbone", [TINY, NARROW], ids=lambda backbone: backbone.name)
@pytest.mark.parametrize(
    "kind", [FCN32s, FCN16s, FCN8s, FCN8sAtOnce]
)
def test_the_network_gives_the_same_scores(kind, backbone, page, tmp_path):
    model = build(kind, backbone).eval()
    save(tmp_path / "weights.pth", model)
    network = page["load"](tmp_path / "weights.pth", kind, backbone, dropout=0.5).eval()
    fixed = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert fixed == {name for name, p in model.named_parameters() if p.lr_mult == 0}
    image = np.random.default_rng(1).standard_normal((2, 3, 64, 50)).astype(np.float32)
    with torch.no_grad():
        scores = network(torch.from_numpy(image)).numpy()
    expected = model(image)
    assert scores.shape == expected.shape
    assert np.ptp(expected) > 0.001
    assert np.abs(scores - expected).max() <= 1e-5 * np.abs(expected).max()


def test_dropout_drops_whole_channels_in_train_mode_only(page, tmp_path):
    save(tmp_path / "weights.pth", build(FCN8s, TINY))
    network = page["load"](tmp_path / "weights.pth", FCN8s, TINY, dropout=0.5)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_weights_that_do_not_fit_are_an_error(page, tmp_path):
    save(tmp_path / "weights.pth", build(FCN8s, TINY))
    with pytest.raises(RuntimeError, match="score_pool3"):
        page["load"](tmp_path / "weights.pth", FCN16s, TINY, dropout=0.0)


def our_steps(dtype):
    """Return the losses of some steps of fcn_numpy alone, and the weights they lead to."""
    model = build(FCN8s, TINY).astype(dtype)
    loss_of = SoftmaxCrossEntropy(IGNORE)
    optimizer = SGD(model.parameters(), LR, 0.9, 5e-4, CLIP)
    images, labels = toy_shapes(STEPS * BATCH, seed=7, rim=True)
    images = images.astype(dtype)
    losses = []
    for step in range(STEPS):
        own = slice(step * BATCH, (step + 1) * BATCH)
        optimizer.lr = learning_rate(step)
        model.zero_grad()
        losses.append(loss_of(model(normalize(images[own])), labels[own]))
        model.backward(loss_of.backward())
        optimizer.step()
    return losses, model.state_dict()


def learning_rate(step):
    return LR * (1 - step / STEPS) ** 0.9


def test_the_steps_are_the_same_in_float64(page, tmp_path):
    """The only difference is that PyTorch clips to CLIP / (norm + 1e-6)."""
    save(tmp_path / "weights.pth", build(FCN8s, TINY))
    network = page["load"](tmp_path / "weights.pth", FCN8s, TINY, dropout=0.0).double()
    before = {name: p.detach().numpy().copy() for name, p in network.named_parameters()}
    optimizer = page["make_optimizer"](network, LR, 0.9, 5e-4)
    losses = []
    for step, (images, labels) in enumerate(page["batches"](STEPS, BATCH, 0, 1)):
        page["set_learning_rate"](optimizer, learning_rate(step))
        images = images.double()
        losses.append(page["train_step"](network, optimizer, images, labels, CLIP, 1))
    expected, after = our_steps(np.float64)
    assert losses == pytest.approx(expected, abs=1e-6)
    for name, p in network.named_parameters():
        moved = np.abs(after[name] - before[name]).max()
        assert (moved > 0) == p.requires_grad
        assert np.abs(p.detach().numpy() - after[name]).max() <= 1e-5 * moved, name


@pytest.fixture(scope="module")
def steps_in_float32():
    return our_steps(np.float32)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_program_takes_the_same_steps(processes, steps_in_float32, tmp_path):
    losses, after = steps_in_float32
    (tmp_path / "continue.py").write_text(program())
    save(tmp_path / "fcn8s.pth", build(FCN8s, TINY))
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    command += ["continue.py", "fcn8s.pth", "--steps", str(STEPS), "--batch", str(BATCH)]
    run = subprocess.run(
        [*command, "--lr", str(LR), "--clip-gradients", str(CLIP)], cwd=tmp_path,
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
             "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.returncode == 0, run.stderr
    lines = re.findall(r"^step (\d+) loss (\S+)$", run.stdout, re.M)
    assert [int(step) for step, _ in lines] == list(range(1, STEPS + 1))
    assert [float(loss) for _, loss in lines] == pytest.approx(losses, abs=1e-5)
    state = weights.load(tmp_path / "continued.pth")
    assert set(state) == set(after)
    for name, value in after.items():
        assert np.abs(state[name] - value).max() <= 1e-6, name


def test_two_processes_do_not_count_equally_many_pixels(page):
    """Else the mean of their means would do as well, and the test above would not tell."""
    shares = [list(page["batches"](STEPS, BATCH, rank, 2)) for rank in range(2)]
    counts = [[int((labels != IGNORE).sum()) for _, labels in share] for share in shares]
    assert any(abs(a - b) > 0.005 * a for a, b in zip(*counts))


def test_weights_come_back(page, tmp_path):
    """Also those that were saved from the DistributedDataParallel around the network."""
    save(tmp_path / "weights.pth", build(FCN8s, TINY))
    network = page["load"](tmp_path / "weights.pth", FCN8s, TINY, dropout=0.0)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "parallel.pth")
    model = FCN8s(4, TINY)
    model.load_state_dict(weights.load(tmp_path / "parallel.pth"))
    assert all(np.array_equal(model.state_dict()[n], v) for n, v in network.state_dict().items())
