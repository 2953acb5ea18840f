"""What makes a plain function an operator: its kinds, its parameters, its name."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from ..errors import ConfigError
from ..frame import Array, Kind
from ..parameters import Parameters

P = ParamSpec("P")
R = TypeVar("R")

#: Engine matters among the keyword parameters of an operator.
_ENGINE = ("channel_axis",)


@dataclass(frozen=True)
class Operator:
    """An operator as graph, config and executors know it.

    ``kernel(*inputs, **parameters)`` is the plain function: it acts on ``(z)yx``
    arrays and trusts its parameters. ``takes`` holds the kinds that each input may
    have, ``optional`` how many of the last inputs may be missing, ``gives`` the
    kind of the result (None: that of the first input).
    """

    name: str
    kernel: Callable[..., Any]
    takes: tuple[tuple[Kind, ...], ...]
    gives: Kind | None
    optional: int = 0

    @cached_property
    def parameters(self) -> Parameters:
        """The keyword-only parameters of the kernel."""
        return Parameters(self.kernel, skip=_ENGINE)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.kernel) or "").partition("\n")[0]


def operator(
    *takes: tuple[Kind, ...], gives: Kind | None, optional: int = 0
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function an operator: checked parameters, channels mapped over.

    The decorated function checks its parameters (`ParameterError`, one line) and,
    with ``channel_axis``, applies the kernel to each channel and stacks the
    results on the same axis. Its `Operator` is ``function.operator``.
    """

    def decorate(kernel: Callable[P, R]) -> Callable[P, R]:
        spec = Operator(kernel.__name__, kernel, takes, gives, optional)

        @wraps(kernel)
        def checked(*inputs: P.args, **parameters: P.kwargs) -> R:
            axis = cast("int | None", parameters.pop("channel_axis", None))
            values = spec.parameters.check(parameters, owner=spec.name)
            if axis is None:
                return kernel(*inputs, **values)  # type: ignore[arg-type]  # ParamSpec cannot name them
            return cast("R", per_channel(kernel, inputs, values, axis))

        checked.operator = spec  # type: ignore[attr-defined]  # a function attribute
        return checked

    return decorate


def per_channel(
    kernel: Callable[..., Any],
    inputs: tuple[Any, ...],
    parameters: dict[str, Any],
    axis: int = 0,
) -> Array:
    """Apply a kernel to every channel of its array inputs; stack on the same axis.

    Raises
    ------
    ConfigError
        The results are tables: measure one channel, or give it as intensity.
    """
    channels = [
        kernel(*(np.ascontiguousarray(c) for c in planes), **parameters)
        for planes in zip(*(np.moveaxis(i, axis, 0) for i in inputs), strict=True)
    ]
    if not isinstance(channels[0], np.ndarray):
        raise ConfigError("tables have no channel axis: choose one channel first")
    return np.stack(channels, axis=axis)
