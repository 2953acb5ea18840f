"""What ``streamproc list`` lists: every plugin, with its parameters."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from . import ops
from .errors import ConfigError, StreamprocError, nearest, one_line
from .extension import extension
from .ordered import ORDERED
from .parameters import Parameters
from .plugins import clashes, installed, is_ours, load, package
from .steps import built_in

Group = Literal["sources", "sinks", "operators", "dashboards"]
GROUPS: tuple[Group, ...] = get_args(Group)

#: What the engine itself gives a sink.
_ENGINE = ("path", "info", "saved_source", "platform")


@dataclass(frozen=True, slots=True)
class Item:
    """One plugin or operator: its parameters with defaults, and one line."""

    name: str
    parameters: str
    summary: str


def catalogue(group: str) -> Iterator[Item]:
    """Yield what is installed of a group, by name.

    What breaks at import, and what cannot be used because its name is another's, is
    an item too: its one line says so.

    Raises
    ------
    ConfigError
        There is no such group.
    """
    if group not in GROUPS:
        raise ConfigError(f"nothing to list as {group!r}{nearest(group, GROUPS)}")
    items = _operators() if group == "operators" else []
    for name, point in installed(group).items():
        if group == "operators" and built_in(name):
            items.append(_hidden(name, package(point), "built in"))
            continue
        try:
            made = _plugin(group, name)
        except StreamprocError as error:
            made = Item(name, "", one_line(error))
        except Exception as error:
            # another's class may lack whatever is asked for
            made = Item(name, "", f"cannot be listed: {one_line(error)}")
        items.append(made)
    for point in clashes(group):
        winner = installed(group)[point.name]
        owner = "built in" if is_ours(winner) else f"of {package(winner)}"
        items.append(_hidden(point.name, package(point), owner))
    # sorted keeps the order of equal names: what is hidden comes after what hides it
    yield from sorted(items, key=lambda item: item.name)


def _hidden(name: str, loser: str, owner: str) -> Item:
    line = f"of {loser or 'another package'} is not used: a plugin of this name is "
    return Item(name, "", f"{line}{owner}")


def _plugin(group: str, name: str) -> Item:
    if group == "operators":
        spec = extension(name)
        return Item(name, _parameters(spec.parameters), spec.summary)
    kind = load(group, name)
    skip = _ENGINE if group == "sinks" else ()
    parameters = Parameters(kind, skip=skip, positional=True)
    return Item(name, _parameters(parameters), _summary(kind))


def _operators() -> list[Item]:
    from .handle import Handle

    items = {
        name: Item(name, _parameters(spec.parameters), spec.summary)
        for name, spec in ops.OPERATORS.items()
    }
    for name, kind in ORDERED.items():
        parameters = _parameters(Parameters(kind, positional=True))
        items[name] = Item(name, parameters, _summary(kind))
    takes = "function, kind=image, parameters={}"
    items["map"] = Item("map", takes, _summary(Handle.map))
    return list(items.values())


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
