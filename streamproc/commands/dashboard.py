"""``streamproc dashboard``: the page of a run, live or finished."""

from typing import Annotated

import typer

from .common import OK, RunArgument, note


def dashboard(
    path: RunArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Default: the first free from 5006.")
    ] = 0,
) -> int:
    """Serve the page of a run to browsers on this machine, until Ctrl-C."""
    from ..plugins import load

    def ready(address: str) -> None:
        print(address, flush=True)
        note("open it in a browser; Ctrl-C ends the page, not the run")

    load("dashboards", "live")(path, port=port, ready=ready)
    return OK
