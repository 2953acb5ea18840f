"""``streamproc list``: what pipelines can be made of."""

from typing import Annotated

import typer

from .common import OK


def list_(
    group: Annotated[
        str | None, typer.Argument(metavar="[sources|sinks|operators|dashboards]")
    ] = None,
) -> int:
    """List sources, sinks, operators and dashboards, with their parameters."""
    from ..catalogue import GROUPS, catalogue

    for name in [group] if group else GROUPS:
        items = list(catalogue(name))
        if group is None and items:
            print(name)
        for item in items:
            print(f"  {item.name}: {item.summary}")
            if item.parameters:
                print(f"      {item.parameters}")
    return OK
