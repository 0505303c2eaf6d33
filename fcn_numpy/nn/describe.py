"""Describe a model for print(model): the tree of its layers with their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def describe(module: object, children: Iterable[tuple[str, object]]) -> str:
    """Describe a module as a tree, with one line for each layer.

    The arguments of a layer come from its attributes of the same names. The first argument is
    always shown, the others only if they differ from their defaults.

    Parameters
    ----------
    module : Module
    children : iterable of (name, module)
        The layers of the module, if any.

    Returns
    -------
    str
    """
    name = type(module).__name__
    lines = [f"  {child}: " + repr(layer).replace("\n", "\n  ") for child, layer in children]
    if lines:
        return "\n".join([f"{name}(", *lines, ")"])
    return f"{name}({', '.join(_arguments(module))})"


def _arguments(module: object) -> list[str]:
    shown: list[str] = []
    for name, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or not hasattr(module, name):
            continue
        value, default = _short(getattr(module, name), parameter.default), parameter.default
        if default is parameter.empty:
            shown.append(repr(value))
        elif repr(value) != repr(default) or not shown:
            shown.append(f"{name}={value!r}")
    return shown


def _short(value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return bool(value)  # bias=True is stored as a Parameter, bias=False as None
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        return value[0]  # (3, 3) is typed as 3
    return value
