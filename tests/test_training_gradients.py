"""The gradient of a batch is the same in one process and in several; workers answer or fail."""

import contextlib
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from labeled_folder import write_folder

from fcn_numpy import fast
from fcn_numpy.convolution import algorithm
from fcn_numpy.data import normalize
from fcn_numpy.fast import blas
from fcn_numpy.models import TINY
from fcn_numpy.nn import Dropout2d, LossSampling, SoftmaxCrossEntropy
from fcn_numpy.prediction import prepare
from fcn_numpy.seeds import stream
from fcn_numpy.training import SEGMENTERS, OwnData, Settings, train
from fcn_numpy.training.gradients import (
    PARTS,
    ParallelGradients,
    PartGradients,
    PartJob,
    SerialGradients,
    gradient_divisor,
)
from fcn_numpy.training.images import FolderImages, ToyImages
from fcn_numpy.training.networks import make_loss, make_model
from fcn_numpy.training.part import Part
from fcn_numpy.training.workers import WorkerFailed, WorkerPool, WorkersInTurn

QUICK = Settings().quick().with_stages(*SEGMENTERS, dropout=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("own"), listed=True)


def gradient_in_one_piece(settings, model, step):
    """Loss and gradients of an FCN-8s step, from a sum over the images of the parts in turn."""
    stage = settings.stage("fcn8s")
    losses, pixels, sizes = 0.0, 0, []
    model.zero_grad()
    for number in range(PARTS):
        rng = np.random.default_rng(stream("step", settings.seed, 3, step, number))
        size = sum((i + step) % PARTS == number for i in range(stage.batch))
        sizes.append(size)
        if not size:
            continue
        x, y = ToyImages(settings, Part(number, PARTS)).batch(size, rng, model)
        for module in model.modules():
            if isinstance(module, Dropout2d):
                module.rng = rng
        loss_of = SoftmaxCrossEntropy(
            reduction="sum", sampling=LossSampling(stage.loss_sampling, rng)
        )
        losses += loss_of(model(normalize(x)), y)
        pixels += np.count_nonzero(y != 255)
        model.backward(loss_of.backward())
    assert sum(sizes) == stage.batch
    divisor = 1 if stage.reduction == "sum" else pixels
    total = {name: p.grad / divisor for name, p in model.named_parameters()}
    return losses / pixels, total, sizes


@pytest.mark.parametrize(("batch", "reduction", "loss_sampling"), [
    (4, "mean", 1.0), (4, "sum", 1.0), (4, "mean", 0.5), (1, "mean", 1.0), (1, "sum", 0.5),
    (3, "mean", 1.0), (3, "sum", 1.0),
])
def test_the_gradient_of_the_parts_is_that_of_the_batch(batch, reduction, loss_sampling):
    """Two workers give the mean or the sum over all images; one of them may have none."""
    settings = QUICK.with_stages(
        "fcn8s", batch=batch, dropout=0.0, reduction=reduction, loss_sampling=loss_sampling
    )
    stage = settings.stage("fcn8s")
    model = make_model(stage, TINY, 4, np.random.default_rng(1))
    dealt = []
    with ParallelGradients(settings) as gradients:
        gradients.begin(stage, model)
        for step in (4, 5):
            loss = gradients.compute(step)
            grads = {name: p.grad.copy() for name, p in model.named_parameters()}
            expected, total, sizes = gradient_in_one_piece(settings, model, step)
            assert loss == pytest.approx(expected, rel=1e-5)
            for name, grad in total.items():
                atol = 1e-4 * np.abs(grad).max()
                np.testing.assert_allclose(grads[name], grad, rtol=0, atol=atol, err_msg=name)
            dealt.append(sizes)
    # The odd image goes to each worker in turn: each has images that the other has not.
    assert dealt == [[-(-batch // 2), batch // 2], [batch // 2, -(-batch // 2)]]


def test_the_classifier_learns_from_the_mean_over_all_images():
    settings = Settings().heavy_learning().with_stages(
        *SEGMENTERS, loss_sampling=0.5, class_weights=(1.0, 2.0, 3.0, 4.0)
    )
    assert settings.stage("classifier") == Settings().stage("classifier")
    assert gradient_divisor(settings.stage("classifier"), 24.0) == 24.0
    plain = make_loss(settings.stage("classifier"))
    assert plain.sampling.p == 1 and plain.weight is None
    for name in SEGMENTERS:
        stage = settings.stage(name)
        assert gradient_divisor(stage, 24.0) == 1.0
        assert make_loss(stage).sampling.p == 0.5
        assert make_loss(stage).weight.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_process_gives_the_gradient_of_the_batch(folder, reduction):
    settings = dataclasses.replace(QUICK, size=64).with_stages(
        "fcn8s", reduction=reduction, dropout=0.0, batch=3, class_weights=(0.5, 1.0, 2.0, 3.0)
    )
    data, stage = OwnData.open(folder), settings.stage("fcn8s")
    model = make_model(stage, TINY, 4, np.random.default_rng(0))
    with SerialGradients(settings, data) as gradients:
        gradients.begin(stage, model)
        loss = gradients.compute(7)
    grads = {name: p.grad.copy() for name, p in model.named_parameters()}
    rng = np.random.default_rng(stream("step", settings.seed, 3, 7, 0))
    x, y = FolderImages(settings, data, Part()).batch(3, rng, model)
    loss_of = SoftmaxCrossEntropy(255, reduction, stage.class_weights)
    expected = loss_of(model(prepare(x, TINY)), y)
    model.zero_grad()
    model.backward(loss_of.backward())
    assert loss == pytest.approx(
        expected / (loss_of.total if reduction == "sum" else 1), rel=1e-6
    )
    for name, p in model.named_parameters():
        atol = 1e-5 * np.abs(p.grad).max()
        np.testing.assert_allclose(grads[name], p.grad, rtol=0, atol=atol, err_msg=name)


def test_two_processes_give_the_mean_over_labeled_pixels(folder):
    """Not the mean of their means: whole images have different numbers of labeled pixels."""
    settings = dataclasses.replace(QUICK, size=None).with_stages(
        "fcn32s", dropout=0.0, batch=3, class_weights=(0.5, 1.0, 2.0, 3.0)
    )
    data, stage = OwnData.open(folder), settings.stage("fcn32s")
    model = make_model(stage, TINY, 4, np.random.default_rng(0))
    with ParallelGradients(settings, data) as gradients:
        gradients.begin(stage, model)
        loss = gradients.compute(0)
    grads = {name: p.grad.copy() for name, p in model.named_parameters()}
    sums = {name: 0.0 for name in grads}
    losses, totals = [], []
    for number in range(2):
        gradients = PartGradients(settings, data, Part(number, 2))
        gradients.begin(stage, model)
        of_part, total = gradients.compute(0)
        losses.append(of_part)
        totals.append(total)
        for name, p in model.named_parameters():
            sums[name] = sums[name] + p.grad
    assert not 0.9 < totals[0] / totals[1] < 1.1
    assert loss == pytest.approx(sum(losses) / sum(totals), rel=1e-6)
    for name, grad in grads.items():
        expected = sums[name] / sum(totals)
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(grad, expected, rtol=0, atol=atol, err_msg=name)


def test_a_worker_that_ends_is_an_error():
    with WorkerPool([Broken()]) as pool, pytest.raises(RuntimeError, match="worker process ended"):
        pool.call(Broken.start)


class Broken:
    """A job whose worker ends as soon as it starts."""

    def start(self):
        os._exit(3)


def test_each_worker_answers_for_its_own_object():
    with WorkerPool([Counter(10), Counter(20)]) as pool:
        assert pool.call(Counter.add, 1) == [11, 21]
        assert pool.call(Counter.add, 2) == [13, 23]


class Counter:
    """A job that is also the object whose methods are called."""

    def __init__(self, value):
        self.value = value

    def start(self):
        return self

    def add(self, amount):
        print("printing does no harm")
        self.value += amount
        return self.value


class AskedForAlgorithm:
    """Stands in for the gradients that a worker computes: tells how it would compute them."""

    def __init__(self, job):
        self.job = job

    def start(self):
        self.job.start()
        return self

    def answer(self):
        return fast.CHOICE.get()


@pytest.mark.parametrize("name", ["auto", "plain"])
def test_the_algorithm_reaches_the_workers(name):
    with algorithm(name):
        job = PartJob(QUICK, None, Part())
    with WorkerPool([AskedForAlgorithm(job)]) as pool:
        assert pool.call(AskedForAlgorithm.answer) == [name]


def test_workers_in_turn_give_the_same_bits(tmp_path, monkeypatch):
    """As in a browser, where there are no processes."""
    settings = Settings(seed=3).quick()
    train(tmp_path / "processes", settings)
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(subprocess, "Popen", None)  # starting a process is an error
    monkeypatch.setattr(blas, "thread_count", lambda: 1)
    with blas.one_thread():
        train(tmp_path / "turns", settings)
    for weights in ("classifier", "fcn32s", "fcn16s", "fcn8s"):
        first, second = (tmp_path / name / f"{weights}.npz" for name in ("processes", "turns"))
        assert first.read_bytes() == second.read_bytes()


class Failing:
    """A job that is also the object whose method fails."""

    def start(self):
        return self

    def fail(self):
        raise ValueError("no such image")


def test_what_fails_in_turn_is_said_as_by_a_process():
    for pool in (WorkersInTurn([Failing()]), WorkerPool([Failing()])):
        with contextlib.closing(pool), pytest.raises(WorkerFailed, match="^no such image$"):
            pool.call(Failing.fail)
