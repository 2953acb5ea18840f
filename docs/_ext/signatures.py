"""Types, ranges and defaults beside the meaning of each parameter.

The signature is the one definition of them; the docstring says what they mean. Here
the two meet: ``sigma`` of a docstring becomes ``sigma : float >= 0 <= 1000, default
1.0`` before napoleon reads it, and the annotations leave the line of the signature.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from sphinx.application import Sphinx

SIGNS = {"Gt": "> {}", "Ge": "at least {}", "Lt": "< {}", "Le": "at most {}"}
#: Classes whose objects a user gets and never makes.
NOT_MADE = {"Handle", "Image", "Labels", "Mask", "Table", "Value"}
NOT_MADE |= {"Report", "Results", "Run"}
WORDS = {"NoneType": "None", "ArrayLike": "array", "_SupportsArray": "array"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Join Sphinx: before napoleon, whose priority is the default, 500."""
    app.connect("autodoc-process-docstring", add_types, priority=400)
    app.connect("autodoc-process-signature", hide_types)
    return {"parallel_read_safe": True}


def told(hint: Any) -> str:
    """Return an annotation in a reader's words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " | ".join(repr(word) for word in arguments)
    if origin is typing.Annotated:
        return ", ".join([told(arguments[0]), *rules(arguments[1:])])
    if origin in (typing.Union, types.UnionType):
        if any("SupportsArray" in str(a) for a in arguments):
            return "array"
        return " or ".join(dict.fromkeys(bracketed(a) for a in arguments))
    if origin is tuple:
        of = dict.fromkeys(bracketed(a) for a in arguments if a is not ...)
        return f"tuple of {' and '.join(of)}"
    if origin is list:
        return f"list of {told(arguments[0])}"
    if origin is not None:
        return getattr(origin, "__name__", str(origin))
    if hint is type(None):
        return "None"
    if isinstance(hint, typing.TypeVar):
        return str(hint)
    name = getattr(hint, "__name__", None) or str(hint).rpartition(".")[2]
    return WORDS.get(name, name)


def bracketed(hint: Any) -> str:
    """Return a part of a longer annotation: its bounds in brackets."""
    base, comma, bounds = told(hint).partition(", ")
    is_bounded = comma and typing.get_origin(hint) is typing.Annotated
    return f"{base} ({bounds})" if is_bounded else told(hint)


def rules(found: tuple[Any, ...]) -> list[str]:
    """Return the bounds of an ``Annotated``, in words."""
    bounds = {type(rule).__name__: rule for rule in found}
    if {"Ge", "Le"} <= set(bounds):
        low, high = bounds.pop("Ge").ge, bounds.pop("Le").le
        return [f"{low} to {high}", *rules(tuple(bounds.values()))]
    said = []
    for name, rule in bounds.items():
        if name in SIGNS:
            bound = getattr(rule, name.lower())
            said.append(SIGNS[name].format(bound))
        elif name == "Predicate":
            said.append(rule.func.__name__)
        elif name == "FieldInfo":
            said += rules(tuple(rule.metadata))
    return said


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function that can be resolved."""
    found: dict[str, Any] = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        holder = type("Holder", (), {"__annotations__": {name: hint}})
        space = getattr(function, "__globals__", {})
        try:
            found |= typing.get_type_hints(holder, space, include_extras=True)
        except NameError:  # of a block that only type checkers see
            found[name] = None
    return found


def parameters(thing: Any) -> dict[str, str]:
    """Return type and default of each parameter of a function or class, in words."""
    target = inspect.unwrap(thing.__init__ if inspect.isclass(thing) else thing)
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return {}
    known = hints(target)
    found = {}
    for name, parameter in signature.parameters.items():
        words = told(known[name]) if known.get(name) is not None else ""
        if parameter.default is not parameter.empty:
            default = f"default {parameter.default!r}"
            words = f"{words}, {default}" if words else default
        found[name] = words
    return found


def typed(lines: list[str], said: Mapping[str, str]) -> list[str]:
    """Return the lines of a docstring, types added in its section Parameters."""
    result: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", after.strip()):
            inside = line.strip() == "Parameters"
        names = [name.strip() for name in line.split(",")]
        if not (inside and re.match(r"\w", line) and all(said.get(n) for n in names)):
            result.append(line)
            continue
        # of several names on a line each has its own type, and all the meaning below
        meaning = list(
            takewhile(lambda text: text[:1] in ("", " "), lines[number + 1 :])
        )
        for name in names[:-1]:
            result += [f"{name} : {said[name]}", *meaning]
        result.append(f"{names[-1]} : {said[names[-1]]}")
    return result


def add_types(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Write the types into a docstring."""
    if what in ("function", "method", "class") and "Parameters" in lines:
        lines[:] = typed(lines, parameters(thing))


def hide_types(
    app: Sphinx,
    what: str,
    name: str,
    thing: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Leave names and defaults in the line of the signature."""
    if what == "class" and name.rpartition(".")[2] in NOT_MADE:
        return "", None
    return signature, None
