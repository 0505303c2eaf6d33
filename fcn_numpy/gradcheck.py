"""Check a backward pass against finite differences, without being fooled by kinks.

The check compares a derivative with a central difference, ``(L(x + h) - L(x - h)) / (2 h)``, of
the number ``L = sum of r * output`` with random r. In float64, both are correct to about ten
digits, so a relative error above 1e-6 means a wrong formula.

ReLU and max-pooling have kinks. A step across a kink gives the slope of a chord, not of a tangent,
and makes a correct backward look wrong. The usual cure, a looser tolerance, would hide real errors.
Instead, `smooth_piece` identifies the smooth piece of its function that a layer is on (the signs of
a ReLU, the winners of a pooling layer). If a step leaves the piece, the check tries a smaller one.
It leaves out, and counts, each coordinate without a usable step.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass

import numpy as np

from fcn_numpy.checks import check_plain
from fcn_numpy.nn import MaxPool2d, Module, ReLU

# Steps to try in turn until one agrees to well below the tolerance: large steps suffer from
# curvature and kinks, small ones from rounding.
STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
# With up to this many numbers, check each one; with more, check random directions.
MAX_ELEMENTS = 5000
DIRECTIONS = 3
# Largest relative error that rounding may cause in the output of a deep network.
ROUNDING = 100 * np.finfo(np.float64).eps


@functools.singledispatch
def smooth_piece(layer: Module, *inputs: np.ndarray) -> np.ndarray | None:
    """Identify the smooth piece of its function that a layer is on; None if it is smooth.

    Inputs for which the returned arrays are equal are on the same piece. A layer counts as smooth
    unless a function is registered for its class: ``smooth_piece.register(MyLayer, my_function)``.

    Parameters
    ----------
    layer : Module
    *inputs : ndarray
        The arguments of its forward.

    Returns
    -------
    ndarray or None

    Examples
    --------
    >>> smooth_piece(ReLU(), np.array([-1.0, 2.0]))
    array([False,  True])
    """
    return None


@smooth_piece.register(ReLU)
def _signs(layer: ReLU, x: np.ndarray) -> np.ndarray:
    return x > 0


@smooth_piece.register(MaxPool2d)
def _winners(layer: MaxPool2d, x: np.ndarray) -> np.ndarray:
    windows = layer.window.windows(x, -np.inf, layer.ceil_mode)
    cells = windows.reshape(*x.shape[:2], -1, *windows.shape[4:])
    best = cells.max(axis=2, keepdims=True)
    # Cells that differ only by rounding count as equal: where a network sees only its own padding,
    # this is true of whole areas of a map.
    slack = 2**10 * np.finfo(x.dtype).eps * np.abs(best)
    return (cells >= best - slack).argmax(axis=2)


class GradientError(Exception):
    """Error for a backward pass that does not agree with finite differences.

    Parameters
    ----------
    message : str
    tensor : str
        Name of the parameter, or "input 0", "input 1", ...
    index : tuple of int or None
        The element where they differ; None if no element of the tensor could be checked.
    """

    def __init__(self, message: str, tensor: str, index: tuple[int, ...] | None):
        super().__init__(message)
        self.tensor = tensor
        self.index = index


@dataclass(frozen=True)
class TensorReport:
    """The result of checking one input or parameter.

    Attributes
    ----------
    error : float
        Largest relative error.
    checked, left_out : int
        Number of elements (or random directions) that were compared, and of those that no step
        could decide: large steps because of kinks, small ones because of rounding.
    by_element : bool
        Whether each element was checked, rather than random directions.
    """

    error: float
    checked: int
    left_out: int
    by_element: bool


@dataclass(frozen=True)
class GradcheckReport:
    """The result of `gradcheck`.

    Attributes
    ----------
    tensors : dict of str to TensorReport
    """

    tensors: dict[str, TensorReport]

    @property
    def errors(self) -> dict[str, float]:
        """Largest relative error for each input and parameter."""
        return {name: t.error for name, t in self.tensors.items()}

    @property
    def max_error(self) -> float:
        """Largest relative error of all."""
        return max(self.errors.values())

    @property
    def checked(self) -> int:
        """Number of elements or directions that were compared."""
        return sum(t.checked for t in self.tensors.values())

    @property
    def by_element(self) -> bool:
        """Whether each element was checked, rather than random directions."""
        return all(t.by_element for t in self.tensors.values())

    @property
    def left_out(self) -> int:
        """Number of elements or directions that were left out because no step could decide."""
        return sum(t.left_out for t in self.tensors.values())

    def __str__(self) -> str:
        width = max(len("tensor"), *(len(name) for name in self.tensors))
        lines = [f"{'tensor':{width}}  relative error  checked  left out"]
        for name, t in self.tensors.items():
            unit = "elements" if t.by_element else "directions"
            lines.append(f"{name:{width}}  {t.error:14.1e}  {t.checked:7}  {t.left_out:8}  {unit}")
        return "\n".join(lines)


def gradcheck(
    module: Module,
    *inputs: np.ndarray,
    tol: float = 1e-6,
    rng: np.random.Generator | None = None,
) -> GradcheckReport:
    """Check the backward pass of a module against central differences.

    The check works on a copy, in float64 and train mode. In the copy, parameters that are all
    zeros get small random values, because every gradient before a zero weight is zero, and
    comparing zeros proves nothing. `Dropout2d` drops the same channels in each evaluation.

    If the inputs and parameters have at most 5,000 elements together, the check covers each
    element. Otherwise it compares each tensor along random directions, which takes a few forward
    passes per tensor, and finds a wrong element by halving.

    Parameters
    ----------
    module : Module
        A layer, a loss or a network. Its output may be a dict of arrays, as with several heads.
    *inputs : ndarray
        The arguments of its forward. Floating arrays are checked; integer arrays (labels) have no
        gradient. If backward returns fewer gradients than there are inputs, the output must not
        depend on the values of the other inputs.
    tol : float
        Largest relative error allowed: ``|a - n| / max(|a|, |n|)`` for the gradient a and the
        difference n. If both are below a thousandth of the tensor's largest gradient, the error is
        relative to that thousandth.
    rng : numpy.random.Generator, optional
        Draws the projection and the directions.

    Returns
    -------
    GradcheckReport
        ``print(report)`` shows a table.

    Raises
    ------
    GradientError
        If backward is wrong, or no element of a tensor can be checked. The message names the tensor
        and the index.

    Examples
    --------
    >>> from fcn_numpy.nn import Conv2d
    >>> report = gradcheck(Conv2d(3, 2, 3, rng=np.random.default_rng(0)), np.ones((1, 3, 5, 5)))
    >>> report.max_error < 1e-6
    True
    """
    check = _Check(module, inputs, tol, np.random.default_rng() if rng is None else rng)
    return GradcheckReport({name: check.tensor(name) for name in check.tensors})


class _Check:
    def __init__(self, module, inputs, tol, rng):
        for x in inputs:
            if not isinstance(x, np.ndarray):
                raise ValueError(
                    f"expected a floating array or an integer array for each input, got {x!r}"
                )
            check_plain(x, "each input")  # the check works on a copy, which has no mask
        if not any(x.dtype.kind == "f" for x in inputs):
            raise ValueError("expected at least one floating array among the inputs")
        self.tol = tol
        self.rng = rng
        self.module = copy.deepcopy(module).astype(np.float64).train()
        for parameter in self.module.parameters():
            if not parameter.data.any():
                spread = 1 / np.sqrt(max(1, np.prod(parameter.data.shape[1:])))
                parameter.data[...] = spread * rng.standard_normal(parameter.data.shape)
        self.inputs = [
            np.array(x, np.float64 if x.dtype.kind == "f" else None, order="C") for x in inputs
        ]
        for parameter in self.module.parameters():
            parameter.data = np.ascontiguousarray(parameter.data)
        self.pieces: list[np.ndarray | None] = []
        for m in self.module.modules():
            if smooth_piece.dispatch(type(m)) is not smooth_piece.dispatch(object):
                m.forward = self._noting_pieces(m)
        generators = {
            id(m.rng): m.rng
            for m in self.module.modules()
            if isinstance(getattr(m, "rng", None), np.random.Generator)
        }
        self.generators = [(g, g.bit_generator.state) for g in generators.values()]
        self.output, self.piece = self.run()
        self.tensors = self._tensors_with_gradients()
        self.by_element = sum(t.size for t, _ in self.tensors.values()) <= MAX_ELEMENTS

    def _noting_pieces(self, module):
        """Return the module's forward, changed to note the smooth piece that the module is on."""
        forward = module.forward

        def noting(*inputs):
            self.pieces.append(smooth_piece(module, *inputs))
            return forward(*inputs)

        return noting

    def run(self):
        """Return the output, and the smooth piece that each module was on."""
        for generator, state in self.generators:
            generator.bit_generator.state = state
        self.pieces = []
        output = self.module(*self.inputs)
        self.heads = output if isinstance(output, dict) else {}
        if self.heads:  # check them as one long output
            output = np.concatenate([scores.ravel() for scores in output.values()])
        # Return a copy: the output may be a view of the input, which is about to change.
        return np.array(output), self.pieces

    def grad(self):
        """Return the argument of backward: the projection, in the form of the output."""
        rest, grads = np.asarray(self.projection), {}
        for name, scores in self.heads.items():
            grads[name], rest = rest[: scores.size].reshape(scores.shape), rest[scores.size :]
        return grads or rest.copy()

    def _tensors_with_gradients(self):
        """Return {name: (array, gradient)}, and set the array that outputs are projected on."""
        self.module.zero_grad()
        if self.output.ndim == 0:
            self.projection = np.float64(1)
            grads = self.module.backward()
        else:
            self.projection = self.rng.standard_normal(self.output.shape)
            grads = self.module.backward(self.grad())
        grads = grads if isinstance(grads, tuple) else (grads,)
        floating = [(i, x) for i, x in enumerate(self.inputs) if x.dtype.kind == "f"]
        tensors = {}
        for position, (index, x) in enumerate(floating):
            grad = grads[position] if position < len(grads) else np.zeros_like(x)
            tensors[f"input {index}"] = (x, grad)
        for name, parameter in self.module.named_parameters():
            tensors[name] = (parameter.data, parameter.grad.copy())
        for name, (x, grad) in tensors.items():
            if np.shape(grad) != x.shape:
                raise GradientError(
                    f"the gradient of {name} has shape {np.shape(grad)}, expected {x.shape}",
                    name, None,
                )
            if not np.isfinite(grad).all():
                wrong = tuple(int(i) for i in np.argwhere(~np.isfinite(grad))[0])
                raise GradientError(
                    f"the gradient of {name} at {wrong} is {grad[wrong]}", name, wrong
                )
        return tensors

    def tensor(self, name):
        x, grad = self.tensors[name]
        if self.by_element:
            candidates = [[np.array([i])] for i in range(x.size)]
            values = np.ones(x.size)
        else:
            # A direction that crosses kinks at every step may be usable on a part of the tensor.
            everything = np.arange(x.size)
            candidates = [
                [everything] + [everything[self.rng.random(x.size) < p] for p in (0.1, 0.01)]
                for _ in range(DIRECTIONS)
            ]
        worst, checked, left_out = 0.0, 0, 0
        for supports in candidates:
            if not self.by_element:
                values = self.rng.standard_normal(x.size)
            for support in filter(len, supports):
                error, _ = self.compare(x, grad, support, values)
                if error is not None:
                    break
            if error is None:
                left_out += 1
                continue
            checked += 1
            worst = max(worst, error)
            if not error <= self.tol:
                self.fail(name, x, grad, support, values)
        if not checked:
            raise GradientError(
                f"nothing of {name} could be checked: every step crosses a kink, or is lost in "
                "rounding; choose other inputs", name, None,
            )
        return TensorReport(worst, checked, left_out, self.by_element)

    def compare(self, x, grad, support, values):
        """Compare along a direction: `values` at the flat indices `support`, 0 elsewhere.

        Return the relative error at the step where it is smallest, and the difference there. Both
        are None if no step decides: each crosses a kink, or rounding explains the difference.
        """
        values = values[support]
        analytic = float(grad.ravel()[support] @ values)
        typical = np.abs(grad).max() if len(support) == 1 else np.linalg.norm(grad)
        # Below the second floor, a difference is only rounding of the output.
        magnitude = np.abs(self.projection * self.output).sum()
        floor = float(max(1e-3 * typical, 1e-7 * magnitude, 1e-30))
        scale = max(1.0, float(np.sqrt(np.mean(x**2))))
        best = (None, None)
        for step in STEPS:
            numeric = self.slope(x, support, values, step * scale)
            if numeric is None:
                continue
            difference = abs(analytic - numeric)
            size = max(abs(analytic), abs(numeric), floor)
            error = difference / size
            if self.tol < error <= ROUNDING * magnitude / (step * scale * size):
                continue
            if best[0] is None or error < best[0]:
                best = (error, difference)
            if error < 1e-3 * self.tol:
                break
        return best

    def slope(self, x, support, values, step):
        """Return the central difference along a direction, or None if it crosses a kink."""
        flat = x.reshape(-1)
        before = flat[support].copy()
        outputs = []
        for sign in (1, -1):
            flat[support] = before + sign * step * values
            output, piece = self.run()
            flat[support] = before
            if not all(np.array_equal(a, b) for a, b in zip(piece, self.piece)):
                return None
            outputs.append(output)
        return float(np.sum(self.projection * (outputs[0] - outputs[1]))) / (2 * step)

    def fail(self, name, x, grad, support, values):
        """Find the most wrong element, by halving, and raise."""
        while len(support) > 1:
            halves = np.array_split(support, 2)
            differences = [self.compare(x, grad, half, values)[1] or 0.0 for half in halves]
            support = halves[int(np.argmax(differences))]
        index = tuple(int(i) for i in np.unravel_index(support[0], x.shape))
        slopes = (self.slope(x, support, np.ones(1), step) for step in STEPS[2:])
        numeric = next((slope for slope in slopes if slope is not None), np.nan)
        raise GradientError(
            f"the gradient of {name} at {index} is wrong: backward gives {grad[index]:.9g}, "
            f"finite differences give {numeric:.9g}",
            name, index,
        )
