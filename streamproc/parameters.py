"""Parameters checked against the signature that takes them.

The signature of an operator or of a source's constructor is the one definition of
its parameters: names, types, bounds (`annotated_types`), defaults. The YAML form,
the Python methods and the eager functions are all checked here.
"""

import inspect
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from .errors import ConfigError, nearest

_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "none_required": "empty (null)",
}
#: Values whose types say all of them, and how many checked calls are remembered.
_PLAIN, _REMEMBERED = {int, float, str, bool, type(None)}, 256


class ParameterError(ConfigError):
    """A parameter that its operator or source does not take."""


class Parameters:
    """The keyword-only parameters of a callable (or those of a constructor).

    ``skip`` names those that are the engine's business. Positional parameters of a
    constructor count too: its first one is the bare value of the YAML form.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        skip: tuple[str, ...] = (),
        positional: bool = False,
    ) -> None:
        self._function = function
        #: parameters that were given, with their types, and what they came to
        self._known: dict[Any, dict[str, Any]] = {}
        either = (inspect.Parameter.POSITIONAL_OR_KEYWORD,) if positional else ()
        kinds = (inspect.Parameter.KEYWORD_ONLY, *either)
        self.items: dict[str, inspect.Parameter] = {
            name: parameter
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind in kinds and name not in skip
        }

    @property
    def first(self) -> str | None:
        """The parameter that a bare value sets."""
        return next(iter(self.items), None)

    @cached_property
    def types(self) -> dict[str, Any]:
        """Annotations by name, resolved, bounds included."""
        target: Any = self._function
        target = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
        said = getattr(target, "__annotations__", {})
        # of these alone: what is returned may be a word that names no type
        own = {name: said[name] for name in self.items if name in said}
        hints = typing.get_type_hints(
            type("Own", (), {"__annotations__": own}),
            getattr(target, "__globals__", {}),
            include_extras=True,
        )
        return {name: hints.get(name, Any) for name in self.items}

    @cached_property
    def _adapters(self) -> dict[str, Any]:
        from pydantic import ConfigDict, TypeAdapter

        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        return {
            name: TypeAdapter(hint, config=config) for name, hint in self.types.items()
        }

    def defaults(self) -> dict[str, Any]:
        """Return the values of the parameters that have a default."""
        empty = inspect.Parameter.empty
        return {n: p.default for n, p in self.items.items() if p.default is not empty}

    def check(
        self, given: Mapping[str, Any], *, owner: str, path: str = ""
    ) -> dict[str, Any]:
        """Return all parameters, defaults filled in.

        Raises
        ------
        ParameterError
            An unknown name (the nearest known one is named), a missing one, a
            wrong type or a value out of bounds. ``path`` goes before the name.
        """
        kinds = _kinds(given.values())
        # a plain function is called again and again with the same few numbers
        known = None if kinds is None else (*given.items(), kinds)
        if known in self._known:
            return dict(self._known[known])
        values = self._check(given, owner, f"{path}." if path else "")
        if known is not None and len(self._known) < _REMEMBERED:
            self._known[known] = dict(values)
        return values

    def _check(
        self, given: Mapping[str, Any], owner: str, prefix: str
    ) -> dict[str, Any]:
        for name in given:
            if name not in self.items:
                raise ParameterError(
                    f"{prefix}{name}: {owner} has no parameter {name!r}"
                    + nearest(name, self.items)
                )
        values = self.defaults()
        for name in self.items:
            if name in given:
                values[name] = self._check_one(name, given[name], prefix)
            elif name not in values:
                raise ParameterError(f"{prefix}{name}: {owner} needs {name!r}")
        return values

    def _check_one(self, name: str, value: Any, prefix: str) -> Any:
        from pydantic import ValidationError

        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(
                f"{prefix}{name} must be a finite number, got {value!r}"
            )
        if "tuple" in str(self.types[name]):
            value = _tuples(value)
        try:
            return self._adapters[name].validate_python(value)
        except ValidationError as error:
            rule = explain(error.errors(include_url=False)[0])
            raise ParameterError(
                f"{prefix}{name} must be {rule}, got {value!r}"
            ) from None


def _kinds(values: Iterable[Any]) -> tuple[Any, ...] | None:
    """Return the types of plain values and of tuples of them; None if one is not."""
    found: list[Any] = []
    for value in values:
        kind = _kinds(value) if type(value) is tuple else type(value)
        if kind is None or not (type(kind) is tuple or kind in _PLAIN):
            return None
        found.append(kind)
    return tuple(found)


def _tuples(value: Any) -> Any:
    """Return lists and arrays, nested or not, as tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def explain(error: Mapping[str, Any]) -> str:
    """Return the rule a pydantic error broke, to follow ``must be``."""
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in _BOUNDS:
        key, sign = _BOUNDS[kind]
        return f"{sign} {context[key]}"
    if kind == "literal_error":
        return f"one of {context['expected']}"
    if kind == "predicate_failed":
        # "Predicate 'odd' failed": the rule is the name of its function
        return str(error["msg"]).split()[1].strip("'")
    return _TYPES.get(kind) or _lower(str(error["msg"]))


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ").removeprefix("Input should be ")
    return text[:1].lower() + text[1:]


def describe(hint: Any) -> str:
    """Return an annotation as a reader of a list of parameters wants it."""
    if typing.get_origin(hint) is Literal:
        return "|".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Annotated:
        base, *rules = typing.get_args(hint)
        signs = {"Gt": ">", "Ge": ">=", "Lt": "<", "Le": "<="}
        bounds = [
            f"{signs[type(r).__name__]} {next(iter(vars(r).values()), '')}"
            if hasattr(r, "__dict__")
            else f"{signs[type(r).__name__]} {getattr(r, type(r).__name__.lower())}"
            for r in rules
            if type(r).__name__ in signs
        ]
        return " ".join([describe(base), *bounds])
    return getattr(hint, "__name__", str(hint)) if inspect.isclass(hint) else str(hint)
