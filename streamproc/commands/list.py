"""``streamproc list``: what pipelines can be made of."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from .common import OK, AsJson

if TYPE_CHECKING:
    from ..catalogue import Item


def list_(
    group: Annotated[
        str | None, typer.Argument(metavar="[sources|sinks|operators|dashboards]")
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One of them: its whole help."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List sources, sinks, operators and dashboards, with their parameters."""
    from ..catalogue import GROUPS, catalogue, find

    if group is not None and name is not None:
        item = find(group, name)
        print(json.dumps(item.document(), indent=1)) if as_json else _show_one(item)
        return OK
    groups = {g: list(catalogue(g)) for g in ([group] if group else GROUPS)}
    if as_json:
        told = {g: [i.document() for i in items] for g, items in groups.items()}
        print(json.dumps(told, indent=1))
        return OK
    for title, items in groups.items():
        if group is None and items:
            print(title)
        _show(items)
    return OK


def _show(items: "Iterable[Item]") -> None:
    above = ""
    for item in items:
        if item.family != above:
            above = item.family
            print(above)
        print(f"  {item.name}: {item.summary}")
        if item.parameters:
            print(f"      {item.parameters}")
        if item.facts is not None:
            print(f"      {item.facts}")


def _show_one(item: "Item") -> None:
    print(f"{item.name}({item.parameters})")
    if item.facts is not None:
        print(item.facts)
    print(f"\n{item.help or item.summary}")
