"""The tree that a network is: parameters, layers, names, train and eval mode, state_dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fcn_numpy.checks import check_array, check_dtype, floating_dtype
from fcn_numpy.geometry import FeatureMap


class Parameter:
    """An array that is learnt, and its gradient.

    Attributes
    ----------
    data : ndarray
        The value.
    grad : ndarray
        Sum of the gradients that backward has added since the last `zero_grad`; zeros before.
    lr_mult, decay_mult : float
        What the optimiser multiplies its learning rate and its weight decay with, as Caffe's
        fields of the same names. An lr_mult of 0 fixes the parameter.
    """

    def __init__(self, data: np.ndarray, lr_mult: float = 1.0, decay_mult: float = 1.0):
        self.data = data
        self._grad = np.zeros(data.shape, data.dtype)
        # Zeros are written only if somebody looks: the first gradient overwrites the array.
        self._is_zero = True
        self.lr_mult = lr_mult
        self.decay_mult = decay_mult

    @property
    def grad(self) -> np.ndarray:
        """Sum of the gradients that backward has added since the last `zero_grad`."""
        if self._is_zero:
            self._grad[...] = 0
            self._is_zero = False
        return self._grad

    @grad.setter
    def grad(self, value: np.ndarray) -> None:
        self._grad = value
        self._is_zero = False

    def add_grad(self, function: Callable[..., np.ndarray], *args: Any, **kwargs: Any) -> None:
        """Add ``function(*args, **kwargs)`` to the gradient.

        The function takes `out`, the array to write its result to, as NumPy's functions do. The
        first gradient after `zero_grad` is so written to its place at once.
        """
        if self._is_zero:
            function(*args, **kwargs, out=self._grad)
            self._is_zero = False
        else:
            self._grad += function(*args, **kwargs)

    def zero_grad(self) -> None:
        """Set the gradient to zeros."""
        self._is_zero = True

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class LoadReport(NamedTuple):
    """What `Module.load_state_dict` did not find a partner for."""

    missing: list[str]
    unexpected: list[str]


class Module:
    """A layer, or a network made of layers.

    Parameters and modules that are attributes are found by themselves, in the order in which
    they were set; the attribute's name is the name in `state_dict`, with dots between levels. An
    attribute whose name begins with an underscore is left out: there a network may hold its
    layers a second time, in the order in which they run.

    A layer defines ``forward`` and, below it, ``backward``. ``layer(x)`` is
    ``layer.forward(x)``. In train mode (the mode after construction) forward keeps what the
    layer's own backward needs, and backward drops it; in eval mode nothing is kept.

    A layer also defines ``trace``, which does with a `fcn_numpy.geometry.FeatureMap` what
    forward does with an array. A network needs none: its forward is made of layer calls.
    """

    training = True
    # Whether backward takes `need_input_grad`.
    can_skip_input_grad = False
    # Whether forward and backward take `overwrite`: permission to write the result to the input.
    can_overwrite = False
    # Whether what forward and backward return is new, and not kept by the layer either, so that
    # the layer that is given it may overwrite it.
    returns_new = False
    _kept: tuple | None = None

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Return forward of arrays, with options if it has any, or trace of a `FeatureMap`."""
        if isinstance(inputs[0], FeatureMap):
            output = self.trace(*inputs)
            if type(self).trace is not Module.trace:
                output.record(self, inputs, output)
            return output
        return self.forward(*inputs, **options)

    def forward(self, *inputs: np.ndarray) -> np.ndarray:
        """Compute the output; defined by each layer."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def trace(self, *inputs: FeatureMap) -> FeatureMap:
        """Describe the output for a described input; a network runs its own forward on it."""
        return self.forward(*inputs)

    def _keep(self, *values: Any) -> None:
        self._kept = values if self.training else None

    def _take(self) -> tuple:
        if self._kept is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward needs a forward in train mode before it; "
                "nothing is kept in eval mode or after a backward"
            )
        kept, self._kept = self._kept, None
        return kept

    def _check_grad(self, grad, shape, dtype):
        name = f"{type(self).__name__}.backward: grad"
        check_array(grad, name, shape)
        check_dtype(grad, name, dtype, "what forward was given")

    def kinks(self, *inputs: np.ndarray) -> np.ndarray | None:
        """Return on which smooth piece of the layer's function inputs lie; None for a smooth layer.

        Inputs with the same array lie on the same piece. A ReLU gives the signs of its input, a
        max-pool the winner of each window. `gradcheck` asks for it, to see whether a finite
        difference has stepped across a kink.
        """
        return None

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules that are attributes of this one."""
        return (
            (name, value)
            for name, value in vars(self).items()
            if isinstance(value, Module) and not name.startswith("_")
        )

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for this module, named '', and all below it."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter) for this module and all below it."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and of all below it."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to zeros."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self) -> Module:
        """Go to train mode: keep what backward needs, drop out. Returns the module."""
        return self._set_training(True)

    def eval(self) -> Module:
        """Go to eval mode: keep nothing, drop nothing out. Returns the module."""
        return self._set_training(False)

    def _set_training(self, training):
        for module in self.modules():
            module.training = training
            if not training:
                module._kept = None
        return self

    def astype(self, dtype: np.typing.DTypeLike) -> Module:
        """Turn all parameters into another floating dtype, in place. Returns the module."""
        dtype = floating_dtype(dtype)
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(dtype)
            parameter.grad = parameter.grad.astype(dtype)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of each parameter's value, under its name."""
        return {name: p.data.copy() for name, p in self.named_parameters()}

    def load_state_dict(
        self, state: Mapping[str, np.ndarray], strict: bool = True, *, assign: bool = False
    ) -> LoadReport:
        """Copy values into the parameters, cast to their dtype. All or nothing.

        Parameters
        ----------
        state : dict of str to ndarray
        strict : bool
            Whether a name that only one side has is an error. If not, such names are skipped.
        assign : bool
            Whether parameters may become the given arrays, where dtype and layout fit, instead of
            copies of them: for large networks, whose weights are then there once.

        Returns
        -------
        LoadReport
            The lists `missing` (parameters without a value) and `unexpected` (values without a
            parameter).

        Raises
        ------
        ValueError
            With `strict`, for missing or unexpected names; in any case for a wrong shape or
            values that are no numbers. Nothing has been changed then.
        """
        own = dict(self.named_parameters())
        report = LoadReport(
            [name for name in own if name not in state], [n for n in state if n not in own]
        )
        if strict and (report.missing or report.unexpected):
            raise ValueError(
                f"the names do not match this {type(self).__name__}: missing "
                f"{_shortened(report.missing)}, unexpected {_shortened(report.unexpected)}"
            )
        values = {n: np.asarray(v) for n, v in state.items() if n in own}
        for name, value in values.items():
            if value.shape != own[name].data.shape:
                raise ValueError(
                    f"expected {name} of shape {own[name].data.shape}, got {value.shape}"
                )
            if value.dtype.kind not in "fiu":
                raise ValueError(f"expected numbers for {name}, got dtype {value.dtype}")
        for name, value in values.items():
            data = own[name].data
            if assign and value.dtype == data.dtype and value.flags.c_contiguous:
                own[name].data = value
            else:
                data[...] = value
        return report


def _shortened(names: list[str], limit: int = 6) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


class Sequential(Module):
    """Layers that run one after the other: forward in their order, backward in reverse.

    Parameters
    ----------
    *layers : Module
        Named "0", "1", ... in state_dict.
    """

    can_skip_input_grad = True

    def __init__(self, *layers: Module):
        if not layers:
            raise ValueError("expected at least one layer")
        for index, layer in enumerate(layers):
            setattr(self, str(index), layer)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the last layer's output."""
        new = False
        for _, layer in self.children():
            x = layer(x, overwrite=True) if new and layer.can_overwrite else layer(x)
            new = layer.returns_new
        return x

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray | None:
        """Return the gradient of the first layer's input, unless told not to."""
        first, *others = (layer for _, layer in self.children())
        new = False
        for layer in reversed(others):
            if new and layer.can_overwrite:
                grad = layer.backward(grad, overwrite=True)
            else:
                grad = layer.backward(grad)
            new = layer.returns_new
        if need_input_grad:
            return first.backward(grad)
        # A convolution has something to save here; to other layers it makes no difference.
        if first.can_skip_input_grad:
            first.backward(grad, need_input_grad=False)
        else:
            first.backward(grad)
        return None
