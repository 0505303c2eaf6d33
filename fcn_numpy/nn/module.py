"""Module: a layer or a network, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from fcn_numpy.checks import check_array, floating_dtype
from fcn_numpy.geometry import FeatureMap
from fcn_numpy.nn.describe import describe
from fcn_numpy.nn.parameter import Parameter
from fcn_numpy.nn.state import LoadReport, load_state

Self = TypeVar("Self", bound="Module")


class Module:
    """A layer, or a network made of layers. ``layer(x)`` is ``layer.forward(x)``.

    A layer defines ``forward``, ``backward`` and ``trace``. trace is forward for descriptions: it
    takes the input's `fcn_numpy.geometry.FeatureMap` and returns the output's. A network needs no
    trace, because its forward calls layers. backward belongs to the latest forward. If x changes
    in place between the two, gradients are wrong; unlike PyTorch, this package does not notice.

    Attributes that are Parameters or Modules are found in the order in which they were set. Their
    names are those in `state_dict`, with dots between levels. Modules whose names begin with an
    underscore are left out: a network can keep its layers there in the order in which they run.
    """

    training = True
    _saved: tuple | None = None

    def __call__(self, *inputs: Any) -> Any:
        """Return forward of arrays, or trace of a `FeatureMap`."""
        if not inputs or not isinstance(inputs[0], FeatureMap):
            return self.forward(*inputs)
        output = self.trace(*inputs)
        if type(self).trace is not Module.trace:
            output = output.record(self, inputs)
        return output

    def forward(self, *inputs: Any) -> Any:
        """Compute the output from the inputs."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, *grads: Any) -> Any:
        """Add to the parameters' gradients; return the gradient of each input of forward."""
        raise TypeError(f"{type(self).__name__} defines no backward")

    def trace(self, *inputs: Any) -> Any:
        """Describe the output, given descriptions of the inputs."""
        return self.forward(*inputs)

    def _save(self, *values: Any) -> None:
        """Save what backward needs; in eval mode, nothing."""
        self._saved = values if self.training else None

    def _take(self) -> tuple:
        """Take what forward saved. A second backward is an error."""
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward in train mode "
                               "before it; nothing is kept in eval mode or after a backward")
        saved, self._saved = self._saved, None
        return saved

    def _check_grad(self, grad: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        name = f"{type(self).__name__}.backward: grad"
        check_array(grad, name, shape, dtype=dtype, owner="what forward was given")

    def _adopt(self, layers: Iterable[tuple[str, Module]]) -> None:
        """Make layers attributes of this module, under their own names."""
        for name, layer in layers:
            setattr(self, name, layer)

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Module) or isinstance(old, Parameter) and isinstance(value, Module):
            kind = "layer" if isinstance(old, Module) else "parameter"
            raise ValueError(f"{type(self).__name__} has a {kind} {name}, and would go on using "
                             "it: change the values in it, or build a new network")
        super().__setattr__(name, value)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules that are attributes of this one."""
        for name, value in vars(self).items():
            if isinstance(value, Module) and not name.startswith("_"):
                yield name, value

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
        """Yield the parameters of this module and of all below it, each one once."""
        return iter(dict.fromkeys(parameter for _, parameter in self.named_parameters()))

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to zeros."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to train mode: save what backward needs, apply dropout. Returns the module."""
        for module in self.modules():
            module.training = mode
            module._saved = module._saved if mode else None
        return self

    def eval(self: Self) -> Self:
        """Switch to eval mode: save nothing, skip dropout. Returns the module."""
        return self.train(False)

    def astype(self: Self, dtype: np.typing.DTypeLike) -> Self:
        """Convert all parameters to another floating dtype, in place. Returns the module."""
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(floating_dtype(dtype))
            parameter.grad = parameter.grad.astype(floating_dtype(dtype))
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of each parameter's value, under its name."""
        return {name: p.data.copy() for name, p in self.named_parameters()}

    def load_state_dict(
        self, state: Mapping[str, np.ndarray], strict: bool = True, *, assign: bool = False
    ) -> LoadReport:
        """Copy values into the parameters, cast to their dtype (`fcn_numpy.nn.state`)."""
        own = dict(self.named_parameters())
        return load_state(type(self).__name__, own, state, strict, assign)

    def __repr__(self) -> str:
        return describe(self, self.children())
