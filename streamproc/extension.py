"""Operators that other packages bring: plain functions, read by their signature.

A plugin's operator is a function and an entry point, nothing else::

    # my_package/spots.py
    def bright_spots(
        image: NDArray[Any], *, radius: Annotated[int, Ge(1)] = 3
    ) -> Annotated[NDArray[np.uint8], "mask"]:
        \"\"\"Mark what is brighter than its surroundings.\"\"\"

    # pyproject.toml
    [project.entry-points."streamproc.operators"]
    bright_spots = "my_package.spots:bright_spots"

- What stands before the ``*`` without a default is an *input*: an array ``(y, x)`` or
  ``(z, y, x)``, which must not be written into; the engine calls the function once per
  channel. An annotation says another kind than image, mask or labels
  (``Annotated[Any, "table"]``: a DataFrame), or which of these it must be.
- All else is a *parameter*: its annotation is checked (bounds by ``annotated_types``)
  and its default is what ``streamproc list operators`` shows.
- The return annotation says the *kind* of the result: one of image, mask, labels,
  table or value, in ``Annotated`` or ``Literal``; default image. Images, masks and
  labels have the axes of the first input.

The function must be pure: the same input gives the same output, on several threads at
once. `streamproc.testing.OperatorContract` checks all that.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from .errors import ConfigError, one_line
from .frame import Kind
from .parameters import Parameters
from .plugins import load

KINDS: tuple[Kind, ...] = get_args(Kind)
_PIXELS: tuple[Kind, ...] = ("image", "mask", "labels")
#: What an input of a kind may be: a mask is an image of 0 and 1.
_TAKEN: dict[Kind, tuple[Kind, ...]] = {"image": ("image", "mask")}


@dataclass(frozen=True)
class Extension:
    """An operator of another package: its function, kinds and parameters."""

    function: Callable[..., Any]
    takes: tuple[tuple[Kind, ...], ...]
    gives: Kind
    parameters: Parameters

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def extension(name: str, path: str = "") -> Extension:
    """Return the operator of a plugin.

    Raises
    ------
    ConfigError
        No plugin has it, it breaks at import, or it is no function of an image.
    MissingDependency
        It needs a package that is not installed.
    """
    function = load("operators", name, path)
    try:
        return read(function)
    except ConfigError as error:
        prefix = f"{path}: " if path else ""
        raise ConfigError(f"{prefix}operator {name!r}: {error}") from error


def read(function: Callable[..., Any]) -> Extension:
    """Return what the signature of a function says.

    Raises
    ------
    ConfigError
        It is no function with an input, or its annotations mean nothing.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"needs a function, got {function!r}") from error
    hints = getattr(inspect.unwrap(function), "__annotations__", {})
    by_position = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    inputs = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in by_position and parameter.default is parameter.empty
    ]
    if not inputs or inspect.isclass(function):
        raise ConfigError("needs a function whose first parameter is an image")
    skip = (*inputs, "channel_axis")
    parameters = Parameters(function, skip=skip, positional=True)
    try:
        _ = parameters.types
    except Exception as error:
        # annotations are any expression
        text = f"its annotations cannot be read: {one_line(error)}"
        raise ConfigError(text) from error
    kinds = [said_kind(hints.get(name)) for name in inputs]
    return Extension(
        function,
        tuple(_TAKEN.get(k, (k,)) if k else _PIXELS for k in kinds),
        said_kind(hints.get("return")) or "image",
        parameters,
    )


def said_kind(annotation: object) -> Kind | None:
    """Return the kind that an annotation names; None where it names none.

    Examples
    --------
    >>> from typing import Annotated, Literal
    >>> said_kind(Literal["mask"]), said_kind(Annotated[int, "value"]), said_kind(int)
    ('mask', 'value', None)
    """
    words: list[Any] = [annotation, *get_args(annotation)]
    if isinstance(annotation, str):
        # as `from __future__ import annotations` leaves it
        words += re.findall(r"['\"](\w+)['\"]", annotation)
    texts = (word for word in words if isinstance(word, str))
    return next((kind for text in texts for kind in KINDS if text == kind), None)
