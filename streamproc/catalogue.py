"""What ``streamproc list`` lists: every plugin, with its parameters."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from . import ops
from .errors import ConfigError, StreamprocError, nearest, one_line
from .extension import extension
from .facts import Facts, facts, facts_of_plugin, family
from .ordered import ORDERED
from .parameters import Parameters
from .plugins import clashes, installed, is_ours, load, package
from .steps import built_in

Group = Literal["sources", "sinks", "operators", "dashboards"]
GROUPS: tuple[Group, ...] = get_args(Group)

#: Headings of operators that no module of `ops` holds.
_OWN, _PLUGINS = "map: Functions of your own.", "plugins: Of other packages."
#: What the engine itself gives, by group.
_ENGINE = {
    "sinks": ("path", "info", "saved_source", "platform"),
    "dashboards": ("path", "ready"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One plugin or operator: its parameters with defaults, and one line.

    ``family`` is the heading that operators are listed below, ``facts`` what is known
    of one, ``help`` its whole docstring.
    """

    name: str
    parameters: str
    summary: str
    family: str = ""
    facts: Facts | None = None
    help: str = ""

    def document(self) -> dict[str, Any]:
        """Return all as plain values, as ``--json`` prints them."""
        told = asdict(self)
        known = told.pop("facts") or {}
        return {**told, **known}


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
    below = {item.name: item.family for item in reversed(items)}
    # sorted keeps the order of equal names: what is hidden comes after what hides it
    yield from sorted(items, key=lambda item: (below[item.name], item.name))


def find(group: str, name: str) -> Item:
    """Return one item of a group.

    Raises
    ------
    ConfigError
        There is no such group, or no such item; the nearest is named.
    """
    items = {item.name: item for item in reversed(list(catalogue(group)))}
    if name not in items:
        raise ConfigError(f"no {group[:-1]} named {name!r}{nearest(name, items)}")
    return items[name]


def _hidden(name: str, loser: str, owner: str) -> Item:
    line = f"of {loser or 'another package'} is not used: a plugin of this name is "
    return Item(name, "", f"{line}{owner}")


def _plugin(group: str, name: str) -> Item:
    if group == "operators":
        spec = extension(name)
        return Item(
            name,
            _parameters(spec.parameters),
            spec.summary,
            _PLUGINS,
            facts_of_plugin(spec),
            inspect.getdoc(spec.function) or "",
        )
    kind = load(group, name)
    parameters = Parameters(kind, skip=_ENGINE.get(group, ()), positional=True)
    return Item(
        name, _parameters(parameters), _summary(kind), help=inspect.getdoc(kind) or ""
    )


def _operators() -> list[Item]:
    from .handle import Handle

    items = []
    for name in (*ops.OPERATORS, *ORDERED):
        kind: Any = ORDERED.get(name) or ops.OPERATORS[name].kernel
        parameters = (
            Parameters(kind, positional=True)
            if name in ORDERED
            else ops.OPERATORS[name].parameters
        )
        items.append(
            Item(
                name,
                _parameters(parameters),
                _summary(kind),
                ": ".join(family(name)),
                facts(name),
                inspect.getdoc(kind) or "",
            )
        )
    takes, made = "function, kind=image, parameters={}", Handle.map
    whole = inspect.getdoc(made) or ""
    return [*items, Item("map", takes, _summary(made), _OWN, help=whole)]


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
