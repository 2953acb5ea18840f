"""``streamproc dashboard``: the page of a run, live or finished, or of many."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from .common import LOCAL, OK, Address, Port, TokenFile, note


def dashboard(
    path: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder, or one that holds some."),
    ],
    port: Port = 0,
    address: Address = LOCAL,
    token_file: TokenFile = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Of a proxy, such as https://scope.example.org."
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Serve by TLS.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Of the certificate, unless it is in it."),
    ] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
) -> int:
    """Serve the page of a run, or of all in a folder, to browsers, until Ctrl-C."""
    from ..plugins import load

    serve = load("dashboards", "live")

    def ready(served: str) -> None:
        print(served, flush=True)
        if token_file is not None:
            note(f"tokens of viewers and operators are in {token_file}")
        if address != LOCAL and certificate is None and not origin:
            note("others can read what http carries: give --certificate, or tunnel")
        note("open it in a browser; Ctrl-C ends the page, not the run")
        if until_eof:
            threading.Thread(target=_wait_for_eof, daemon=True).start()

    serve(
        path,
        port=port,
        address=address,
        token_file=token_file,
        origins=origin or (),
        certificate=certificate,
        key=key,
        ready=ready,
    )
    return OK


def _wait_for_eof() -> None:
    """End, as SIGTERM does, when whoever began us has gone."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGTERM)
