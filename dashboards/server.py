"""The page of one run, served on this machine: a process of its own."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.server import Server
from prometheus_client import CONTENT_TYPE_LATEST
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler, StaticFileHandler

from streamproc.errors import ConfigError, one_line
from streamproc.folder import RunFolder, existing

from .live import Hub, Viewer
from .plots import plots

#: Where the page is served; nobody else's machine can reach it.
ADDRESS = "127.0.0.1"
#: Seconds after which the session of a closed page is forgotten.
_FORGET = 3.0
#: Ports that are tried for one that is free, to be told.
_NEAR = 50


class Dashboard:
    """Serves one run, on a loop of the thread that makes it.

    Parameters
    ----------
    path
        The run folder; the run may go on, or have ended.
    port
        Where to listen; 0 takes any that is free.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder.
    ConfigError
        The port is taken; the next free one is named.
    """

    def __init__(self, path: str | Path, port: int = 0) -> None:
        folder = existing(path)
        self.hub = Hub(RunFolder(folder.path.absolute()))
        port = port or _free()
        page = Application(FunctionHandler(plots(self.hub.folder, _asset("page.html"))))
        names = (ADDRESS, "localhost")
        origins = frozenset(f"{name}:{port}" for name in names)
        assets = {"path": str(files(__package__) / "assets")}
        try:
            self._server = Server(
                {"/": page},
                address=ADDRESS,
                port=port,
                allow_websocket_origin=sorted(origins),
                extra_patterns=[
                    ("/live", Viewer, {"hub": self.hub, "origins": origins}),
                    ("/assets/(.*)", _Asset, assets),
                    ("/healthz", _Health),
                    ("/metrics", _Metrics, {"hub": self.hub}),
                ],
                unused_session_lifetime_milliseconds=int(_FORGET * 1e3),
                check_unused_sessions_milliseconds=int(_FORGET * 1e3),
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"cannot listen on port {port}: {one_line(error)}"
                ) from error
            free = _free(port + 1)
            raise ConfigError(
                f"port {port} is taken; the next free one is {free}: --port {free}"
            ) from error
        self.address = f"http://{ADDRESS}:{port}/"

    def run(self, ready: Callable[[str], None] = lambda address: None) -> None:
        """Serve until `stop`; ``ready`` is told the address once it answers."""
        self._server.start()
        self.hub.start()
        ready(self.address)
        self.loop.start()

    @property
    def loop(self) -> IOLoop:
        """Where it is served."""
        loop: IOLoop = self._server.io_loop
        return loop

    def stop(self) -> None:
        """End `run` soon (any thread)."""
        self.loop.add_callback(self.loop.stop)

    def close(self) -> None:
        """Close the port."""
        self.hub.close()
        self._server.stop()


def serve(
    path: str | Path,
    *,
    port: int = 0,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page of a run until Ctrl-C or SIGTERM.

    Parameters
    ----------
    path, port
        As `Dashboard` takes them.
    ready
        Is told the address once it answers.

    Raises
    ------
    RunFolderError, ConfigError
        As `Dashboard` does.
    """
    asyncio.set_event_loop(asyncio.new_event_loop())
    dashboard = Dashboard(path, port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number,
            lambda *_: dashboard.loop.add_callback_from_signal(dashboard.loop.stop),
        )
    try:
        dashboard.run(ready)
    finally:
        dashboard.close()


class _Asset(StaticFileHandler):
    """Script and style of the page: new ones are taken at once."""

    def set_extra_headers(self, path: str) -> None:
        """Ask the browser to look for a newer one each time."""
        self.set_header("Cache-Control", "no-cache")


class _Health(RequestHandler):
    """Says that it serves."""

    def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "text/plain")
        self.finish("ok\n")


class _Metrics(RequestHandler):
    """Tells the run's numbers to Prometheus."""

    def initialize(self, hub: Hub) -> None:
        """Take the run to tell of."""
        self._hub = hub

    async def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(await self._hub.metrics())


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _free(first: int = 5006) -> int:
    """Return the first port from ``first`` on that is free; any, if none near is."""
    for port in (*range(first, min(first + _NEAR, 65536)), 0):
        with socket.socket() as probe:
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0
