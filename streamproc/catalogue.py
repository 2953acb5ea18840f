"""What ``streamproc list`` lists: sources, sinks and operators, with parameters."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from . import ops
from .errors import ConfigError, MissingDependency, nearest
from .ordered import ORDERED
from .parameters import Parameters
from .plugins import installed, load

Group = Literal["sources", "sinks", "operators"]
GROUPS: tuple[Group, ...] = get_args(Group)

#: What the engine itself gives a sink.
_ENGINE = ("path", "info", "saved_source", "platform")


@dataclass(frozen=True, slots=True)
class Item:
    """One source, sink or operator: its parameters with defaults, and one line."""

    name: str
    parameters: str
    summary: str


def catalogue(group: str) -> Iterator[Item]:
    """Yield what is installed of a group, by name.

    Raises
    ------
    ConfigError
        There is no such group.
    """
    if group not in GROUPS:
        raise ConfigError(f"nothing to list as {group!r}{nearest(group, GROUPS)}")
    if group == "operators":
        yield from _operators()
        return
    skip = _ENGINE if group == "sinks" else ()
    for name in installed(group):
        try:
            kind = load(group, name)
        except MissingDependency as error:
            yield Item(name, "", str(error))
            continue
        parameters = Parameters(kind, skip=skip, positional=True)
        yield Item(name, _parameters(parameters), _summary(kind))


def _operators() -> Iterator[Item]:
    from .graph import Handle

    items = {
        name: Item(name, _parameters(spec.parameters), spec.summary)
        for name, spec in ops.OPERATORS.items()
    }
    for name, kind in ORDERED.items():
        parameters = _parameters(Parameters(kind, positional=True))
        items[name] = Item(name, parameters, _summary(kind))
    takes = "function, kind=image, parameters={}"
    items["map"] = Item("map", takes, _summary(Handle.map))
    for name in sorted(items):
        yield items[name]


def _summary(thing: Callable[..., Any]) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _parameters(parameters: Parameters) -> str:
    shown = []
    for name, parameter in parameters.items.items():
        if parameter.default is parameter.empty:
            shown.append(name)
        else:
            shown.append(f"{name}={_yaml(parameter.default)}")
    return ", ".join(shown)


def _yaml(value: object) -> str:
    """Return a default as one would write it in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)
