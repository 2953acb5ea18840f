"""What makes a plain function an operator: its kinds, its parameters, its name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast, overload

import numpy as np

from ..errors import ConfigError
from ..frame import Kind
from ..grid import Grid
from ..parameters import Parameters
from ._runs import painted

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

#: Whether each pixel is looked at alone; it may depend on the parameters.
Pixelwise: TypeAlias = bool | Callable[[Mapping[str, Any]], bool]
#: Engine matters among the keyword parameters of an operator.
_ENGINE = ("channel_axis",)


@dataclass(frozen=True)
class Operator:
    """An operator as graph, config and executors know it.

    ``kernel(*inputs, **parameters)`` is the plain function: it acts on ``(z)yx``
    arrays and trusts its parameters. ``takes`` holds the kinds that each input may
    have, ``optional`` how many of the last inputs may be missing, ``gives`` the
    kind of the result (None: that of the first input). ``oracle`` names the function
    of another library that it equals. ``pixelwise`` says, of parameters where it
    depends on them, that a pixel of the result comes from the same pixel of each
    input alone. ``grid`` tells where the pixels of the result lie, where that is not
    where those of its first input lie.
    """

    name: str
    kernel: Callable[..., Any]
    takes: tuple[tuple[Kind, ...], ...]
    gives: Kind | None
    optional: int = 0
    oracle: str = ""
    pixelwise: Pixelwise = False
    grid: Callable[[Grid, Mapping[str, Any]], Grid] | None = None

    def is_pixelwise(self, parameters: Mapping[str, Any]) -> bool:
        """Return whether it looks at each pixel alone, with these parameters."""
        said = self.pixelwise
        return said if isinstance(said, bool) else said(parameters)

    def __reduce__(self) -> tuple[Callable[..., "Operator"], tuple[str, str]]:
        """Travel by name: what is cached here does not pickle."""
        return _find, (self.kernel.__module__, self.name)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature of the kernel."""
        return inspect.signature(self.kernel)

    @cached_property
    def counts(self) -> range:
        """How many inputs it may be given."""
        return range(len(self.takes) - self.optional, len(self.takes) + 1)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(
            name
            for name, parameter in self.signature.parameters.items()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        )

    @cached_property
    def parameters(self) -> Parameters:
        """The keyword-only parameters of the kernel."""
        return Parameters(self.kernel, skip=_ENGINE)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.kernel) or "").partition("\n")[0]


def _find(module: str, name: str) -> Operator:
    return cast(Operator, getattr(import_module(module), name).operator)


@overload
def operator(
    *takes: tuple[Kind, ...],
    gives: Kind | None,
    optional: int = 0,
    oracle: str = "",
    pixelwise: Pixelwise = False,
    grid: Callable[[Grid, Mapping[str, Any]], Grid] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


@overload
def operator(
    *takes: tuple[Kind, ...],
    gives: Kind | None,
    optional: int = 0,
    oracle: str = "",
    pixelwise: Pixelwise = False,
    grid: Callable[[Grid, Mapping[str, Any]], Grid] | None = None,
    shown: Callable[[R], S],
) -> Callable[[Callable[P, R]], Callable[P, S]]: ...


def operator(
    *takes: tuple[Kind, ...],
    gives: Kind | None,
    optional: int = 0,
    oracle: str = "",
    pixelwise: Pixelwise = False,
    grid: Callable[[Grid, Mapping[str, Any]], Grid] | None = None,
    shown: Callable[[Any], Any] | None = None,
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make a function an operator: checked parameters, channels mapped over.

    The decorated function checks its parameters (`ParameterError`, one line) and,
    with ``channel_axis``, applies the kernel to each channel and stacks the
    results on the same axis; ``shown`` turns the kernel's result into what a user
    gets. ``oracle``, ``pixelwise`` and ``grid`` are those of its `Operator`, which
    is ``function.operator``. Function, kernel and `Operator` all pickle by name.
    """

    def decorate(kernel: Callable[P, Any]) -> Callable[P, Any]:
        spec = Operator(
            kernel.__name__, kernel, takes, gives, optional, oracle, pixelwise, grid
        )

        @wraps(kernel)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Any:  # the overloads say what
            given = cast("dict[str, Any]", kwargs)
            axis: int | None = given.pop("channel_axis", None)
            named = {name: given.pop(name) for name in spec.inputs if name in given}
            values = spec.parameters.check(given, owner=spec.name)
            inputs: tuple[Any, ...] = args
            if named or len(args) not in spec.counts:
                inputs = spec.signature.bind(*args, **named, **values).args
            if axis is None:
                result = cast("Callable[..., Any]", kernel)(*inputs, **values)
            else:
                result = per_channel(kernel, inputs, values, axis)
            return result if shown is None else shown(result)

        checked.operator = spec  # type: ignore[attr-defined]  # a function attribute
        # after wraps(): the name leads to `checked`, and from there to the kernel
        kernel.__qualname__ = f"{kernel.__qualname__}.operator.kernel"
        return checked

    return decorate


def per_channel(
    kernel: Callable[..., Any],
    inputs: tuple[Any, ...],
    parameters: dict[str, Any],
    axis: int = 0,
) -> Any:  # arrays give an array, mappings a mapping
    """Apply a kernel to every channel of its array inputs; stack on the same axis.

    An input with fewer axes than the first one has no channels, and goes to each.
    Numbers by name are put side by side, the channel's number behind each name.

    Raises
    ------
    ConfigError
        The results are tables: measure one channel, or give it as intensity.
    """
    count, ndim = np.shape(inputs[0])[axis], np.ndim(inputs[0])
    split = (
        np.moveaxis(i, axis, 0) if np.ndim(i) == ndim else [i] * count for i in inputs
    )
    channels = [
        painted(kernel(*map(_contiguous, planes), **parameters))
        for planes in zip(*split, strict=True)
    ]
    if isinstance(channels[0], Mapping):
        return {
            f"{name}_c{number}": value
            for number, found in enumerate(channels)
            for name, value in found.items()
        }
    if not isinstance(channels[0], np.ndarray):
        raise ConfigError("tables have no channel axis: choose one channel first")
    return np.stack(channels, axis=axis)


def _contiguous(value: Any) -> Any:  # other values pass
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
