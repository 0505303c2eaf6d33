"""What a training step of the tiny network is made of, in one of its two worker processes."""

import collections
import contextlib
import time

import numpy as np

from fcn_numpy import fast, nn
from fcn_numpy.models import TINY
from fcn_numpy.training import Settings
from fcn_numpy.training.gradients import PartGradients
from fcn_numpy.training.networks import make_model
from fcn_numpy.training.part import Part

PRODUCTS, COPIES = "matrix products", "copies: columns, windows, tiles"
KINDS = {
    nn.Conv2d: "rest of the convolutions", nn.ConvTranspose2d: "rest of the convolutions",
    nn.ReLU: "ReLU", nn.MaxPool2d: "pools", nn.SoftmaxCrossEntropy: "loss",
}


class Clock:
    """Seconds by kind of work; time of an inner kind does not count for the outer one."""

    def __init__(self):
        self.seconds = collections.Counter()
        self._inner = 0.0

    @contextlib.contextmanager
    def of(self, kind):
        before, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[kind] += passed - self._inner
            self._inner = before + passed

    def wrap(self, function, kind):
        """Return the function, timed."""

        def timed(*arguments, **options):
            with self.of(kind):
                return function(*arguments, **options)

        return timed


class TimedNumPy:
    """NumPy whose copies are timed."""

    def __init__(self, clock):
        self.copyto = clock.wrap(np.copyto, COPIES)

    def __getattr__(self, name):
        return getattr(np, name)


def part_of_a_step():
    """Return what computes the gradient of one of two workers: four images, the tiny FCN-8s."""
    gradients = PartGradients(Settings(n_train=16), None, Part(0, 2))
    stage = Settings().with_stages("fcn8s", batch=8).stage("fcn8s")
    model = make_model(stage, TINY, gradients.n_class, np.random.default_rng(0))
    for parameter in model.parameters():
        parameter.data[...] = 0.1 * np.random.default_rng(1).standard_normal(parameter.data.shape)
    gradients.begin(stage, model)
    return gradients


def seconds_by_kind(count):
    """Return the median over `count` steps of each kind's seconds."""
    gradients = part_of_a_step()
    model = gradients.model
    clock = Clock()
    fast.blas.matmul = clock.wrap(fast.blas.matmul, PRODUCTS)
    for module in (fast.bands, fast.flat, fast.winograd, fast.transposed, fast.pointwise):
        module.np = TimedNumPy(clock)
    for layer in (*model.modules(), gradients.loss_of):
        if type(layer) in KINDS:
            for name in ("forward", "backward"):
                vars(layer)[name] = clock.wrap(getattr(layer, name), KINDS[type(layer)])
    steps = []
    for step in range(count + 3):
        clock.seconds.clear()
        with clock.of("everything else"):
            gradients.compute(step)
        steps.append(dict(clock.seconds))
    return {kind: float(np.median([s.get(kind, 0) for s in steps[3:]])) for kind in steps[-1]}
