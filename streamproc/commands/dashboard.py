"""``streamproc dashboard``: the page of a run, live or finished."""

import signal
import sys
import threading
from typing import Annotated

import typer

from .common import OK, RunArgument, note


def dashboard(
    path: RunArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Default: the first free from 5006.")
    ] = 0,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
) -> int:
    """Serve the page of a run to browsers on this machine, until Ctrl-C."""
    from ..plugins import load

    def ready(address: str) -> None:
        print(address, flush=True)
        note("open it in a browser; Ctrl-C ends the page, not the run")
        if until_eof:
            threading.Thread(target=_wait_for_eof, daemon=True).start()

    load("dashboards", "live")(path, port=port, ready=ready)
    return OK


def _wait_for_eof() -> None:
    """End, as SIGTERM does, when whoever began us has gone."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGTERM)
