"""One contestant, in a process of its own: does each task it reads, and answers in seconds.

``python contestant.py NAME THREADS`` reads tasks from standard input, one JSON list a line. The
first time a task comes, it is prepared and done once without a clock. ``python contestant.py NAME
THREADS TASK`` does one task in a fresh process and answers with its peak memory in bytes.

Every contestant prepares a task with a function of the task's name, and returns what is to be
timed.
"""

import contextlib
import functools
import json
import os
import sys
import time

NAME, THREADS = sys.argv[1], sys.argv[2]
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = THREADS

import numpy as np  # noqa: E402  (the number of threads is read when it is imported)

import fcn_numpy  # noqa: E402
from fcn_numpy.models import TINY, VGG16, Frozen  # noqa: E402

N_CLASS = 21


def arrays(channels, filters, size, kernel, padding):
    """Input, weight and gradient of the output of a convolution."""
    rng = np.random.default_rng(0)
    out = size + 2 * padding - kernel + 1
    shapes = (1, channels, size, size), (filters, channels, kernel, kernel), (1, filters, out, out)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def images(batch, height, width):
    """A batch of images, and a gradient of their scores."""
    rng = np.random.default_rng(0)
    shapes = (batch, 3, height, width), (batch, N_CLASS, height, width)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


class FcnNumpy:
    """This package."""

    def conv2d(self, *shape):
        x, w, _ = arrays(*shape)
        return lambda: fcn_numpy.conv2d(x, w, padding=shape[-1])

    def conv2d_input(self, *shape):
        x, w, grad = arrays(*shape)
        return lambda: fcn_numpy.conv2d_input(grad, w, x.shape[2:], padding=shape[-1])

    def conv2d_weight(self, *shape):
        x, w, grad = arrays(*shape)
        return lambda: fcn_numpy.conv2d_weight(x, grad, w.shape[2:], padding=shape[-1])

    def _model(self):
        from fcn_numpy.models import FCN8s

        model = FCN8s(N_CLASS, VGG16, rng=np.random.default_rng(0))
        for name in ("score_fr", "score_pool4", "score_pool3"):
            # At zero, as they start, they would make every gradient before them zero too.
            weight = getattr(model, name).weight.data
            weight[...] = np.random.default_rng(1).standard_normal(weight.shape) * 0.01
        return model

    def forward(self, *size):
        network, (x, _) = Frozen(self._model()).__enter__(), images(*size)
        return lambda: network(x)

    def forward_not_frozen(self, *size):
        model, (x, _) = self._model().eval(), images(*size)
        return lambda: model(x)

    def export(self, path):
        from fcn_numpy.onnx_export import export_onnx

        return lambda: export_onnx(path, self._model())

    def forward_backward(self, *size):
        model, (x, grad) = self._model(), images(*size)

        def run():
            model.zero_grad()
            model(x)
            model.backward(grad)

        return run

    def tiny_steps(self, count):
        # As `fcn-numpy train` does it, between two processes.
        from fcn_numpy.data import TOY_CLASSES
        from fcn_numpy.models import FCN8s
        from fcn_numpy.optim import SGD
        from fcn_numpy.training import Settings
        from fcn_numpy.training.gradients import ParallelGradients

        settings = Settings(n_train=16).with_stages("fcn8s", batch=8)
        model = FCN8s(len(TOY_CLASSES), TINY, dropout=0, rng=np.random.default_rng(0))
        optimizer = SGD(model.parameters(), 1e-3, weight_decay=5e-4)
        gradients = ParallelGradients(settings)
        gradients.begin(settings.stage("fcn8s"), model)

        def run():
            for step in range(count):
                gradients.compute(step)
                optimizer.step()

        return run

    def tiny_part(self, count):
        """The steps of one of the two workers, four images each, on one thread."""
        import profile_step

        from fcn_numpy.fast import blas

        blas._FUNCTIONS[1](1)
        gradients = profile_step.part_of_a_step()

        def run():
            for step in range(count):
                gradients.compute(step)

        return run

    def tiny_profile(self, count):
        """Print, as JSON, the seconds of each kind of work of a worker's step."""
        import profile_step

        return lambda: print(json.dumps(profile_step.seconds_by_kind(count)))

    def _classifier(self, cells):
        from fcn_numpy.models import Classifier

        classifier = Classifier(1000, VGG16, rng=np.random.default_rng(0)).eval()
        size = classifier.input_size + 32 * (cells - 1)
        return classifier, images(1, size, size)[0]

    def dense_map(self, cells):
        from fcn_numpy.paper import dense_classifier

        classifier, image = self._classifier(cells)
        dense = dense_classifier(classifier)
        return lambda: dense(image)

    def window_by_window(self, cells):
        from fcn_numpy.paper import classify_windows

        classifier, image = self._classifier(cells)
        return lambda: classify_windows(classifier, image, classifier.input_size, 32)


class Plain(FcnNumpy):
    """The textbook alone: the columns of the whole batch at once, one matrix product."""

    def __init__(self):
        from fcn_numpy.convolution import algorithm

        self.block = algorithm("plain")
        self.block.__enter__()  # for as long as the process lives


class Rung(FcnNumpy):
    """This package without what makes it fast from some rung of the ladder on."""

    def __init__(self, columns, algorithm_name, shared):
        from fcn_numpy.convolution import algorithm
        from fcn_numpy.fast import blas, flat

        if columns == "bands":
            flat.MAX_WASTE = 0
        if not shared:  # BLAS shares each product between its threads; nothing else is shared
            blas.thread_count, blas.one_thread = lambda: 1, contextlib.nullcontext
        self.block = algorithm(algorithm_name)
        self.block.__enter__()

    def forward(self, *size):
        return self.forward_not_frozen(*size)


class Product:
    """NumPy's matrix product alone, of as many multiplications: what bounds im2col."""

    def conv2d(self, channels, filters, size, kernel, padding):
        cells = (size + 2 * padding - kernel + 1) ** 2
        rng = np.random.default_rng(0)
        taps = channels * kernel**2
        w = rng.standard_normal((filters, taps), dtype=np.float32)
        # In as few pieces as fit the cache, so that memory is no bound.
        pieces = -(-cells // 2048)
        cols = rng.standard_normal((taps, -(-cells // pieces)), dtype=np.float32)
        y = np.empty((filters, cols.shape[1]), np.float32)

        def run():
            for _ in range(pieces):
                np.matmul(w, cols, out=y)

        return run


class PyTorch:
    """PyTorch on the CPU."""

    def __init__(self):
        import torch

        self.torch = torch
        torch.set_num_threads(int(THREADS))

    def _tensors(self, all_arrays):
        return [self.torch.from_numpy(a) for a in all_arrays]

    def conv2d(self, *shape):
        x, w, _ = self._tensors(arrays(*shape))
        return lambda: self.torch.nn.functional.conv2d(x, w, padding=shape[-1])

    def conv2d_input(self, *shape):
        x, w, grad = self._tensors(arrays(*shape))
        return lambda: self.torch.nn.grad.conv2d_input(x.shape, w, grad, padding=shape[-1])

    def conv2d_weight(self, *shape):
        x, w, grad = self._tensors(arrays(*shape))
        return lambda: self.torch.nn.grad.conv2d_weight(x, w.shape, grad, padding=shape[-1])

    def _model(self, n_class, backbone, dropout=0.5):
        from torch_fcn import FCN8s

        return FCN8s(n_class, backbone, dropout)

    def forward(self, *size):
        model, (x, _) = self._model(N_CLASS, VGG16).eval(), self._tensors(images(*size))

        def run():
            with self.torch.no_grad():
                model(x)

        return run

    def forward_backward(self, *size):
        model, (x, grad) = self._model(N_CLASS, VGG16), self._tensors(images(*size))

        def run():
            model.zero_grad()
            model(x).backward(grad)

        return run

    def tiny_steps(self, count):
        from torch.nn.functional import cross_entropy

        from fcn_numpy.data import TOY_CLASSES

        model = self._model(len(TOY_CLASSES), TINY, dropout=0.0)
        learned = [p for p in model.parameters() if p.requires_grad]
        optimizer = self.torch.optim.SGD(learned, 1e-3, momentum=0.9, weight_decay=5e-4)
        x, _ = images(8, 128, 128)
        labels = np.random.default_rng(0).integers(0, len(TOY_CLASSES), (8, 128, 128))
        x, labels = self._tensors((x, labels))

        def run():
            for _ in range(count):
                optimizer.zero_grad()
                cross_entropy(model(x), labels, ignore_index=255).backward()
                optimizer.step()

        return run


class OnnxRuntime:
    """ONNX Runtime on the CPU, with the file that fcn_numpy exported."""

    def forward(self, *size):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(THREADS)
        session = onnxruntime.InferenceSession(
            os.environ["FCN_NUMPY_ONNX"], options, providers=["CPUExecutionProvider"]
        )
        x, _ = images(*size)
        return lambda: session.run(None, {"image": x})


class OpenVino:
    """OpenVINO on the CPU, with the same file, compiled for one size."""

    def forward(self, *size):
        import openvino

        core = openvino.Core()
        model = core.read_model(os.environ["FCN_NUMPY_ONNX"])
        x, _ = images(*size)
        model.reshape(x.shape)
        settings = {"INFERENCE_NUM_THREADS": int(THREADS), "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda: request.infer([x])


CONTESTANTS = {
    "fcn_numpy": FcnNumpy, "plain im2col": Plain, "PyTorch": PyTorch, "matrix product": Product,
    "ONNX Runtime": OnnxRuntime, "OpenVINO": OpenVino,
    "columns in bands": functools.partial(Rung, "bands", "im2col", shared=False),
    "columns along a line": functools.partial(Rung, "line", "im2col", shared=False),
    "Winograd's algorithm": functools.partial(Rung, "line", "auto", shared=False),
    "work shared between threads": functools.partial(Rung, "line", "auto", shared=True),
}


def peak_memory():
    """Most memory that this process has held at once, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main():
    contestant = CONTESTANTS[NAME]()
    if len(sys.argv) > 3:
        task, *arguments = json.loads(sys.argv[3])
        getattr(contestant, task)(*arguments)()
        print(peak_memory())
        return
    prepared, run = None, None
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        if line != prepared:
            run = None  # let go of the last task's arrays first
            prepared, run = line, getattr(contestant, task)(*arguments)
            run()
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
