"""The page of a run, or of many, served to browsers: a process of its own."""

import asyncio
import errno
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from bokeh.server.server import BaseServer
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets

from streamproc.errors import ConfigError, one_line
from streamproc.executors import kept_memory

from .guard import EVERYWHERE, Guard
from .runs import Runs
from .site import MESSAGE, Site
from .tokens import tokens

#: Where the page is served unless told otherwise: nobody else's machine can reach it.
ADDRESS = "127.0.0.1"
#: Seconds between looks for runs that nobody looks at any more.
_TIDY = 10.0
#: Ports that are tried for one that is free, to be told.
_NEAR = 50
#: Bytes of a form at most.
_FORM = 64 << 10


class Dashboard:
    """Serves one run or many, on a loop of the thread that makes it.

    Parameters
    ----------
    path
        The run folder, or a folder that has some in it; runs may go on, or have ended.
    port
        Where to listen; 0 takes any that is free.
    address
        Of this machine; any but 127.0.0.1, ::1 and localhost needs ``token_file``.
    token_file
        The tokens of viewers and operators; it is made if it does not exist.
    origins
        Further origins that browsers may come from, such as that of a proxy.
    certificate, key
        Files in PEM form; with them the page is served by TLS alone.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder, and holds none.
    ConfigError
        The port is taken; the next free one is named. Or the address needs tokens, or
        a file is not of its form.
    """

    def __init__(
        self,
        path: str | Path,
        port: int = 0,
        *,
        address: str = ADDRESS,
        token_file: str | Path | None = None,
        origins: Sequence[str] = (),
        certificate: str | Path | None = None,
        key: str | Path | None = None,
    ) -> None:
        self.runs = Runs(path)
        context = _context(certificate, key)
        known = tokens(Path(token_file)) if token_file is not None else None
        port = port or _free(address)
        guard = Guard(address, port, known, origins)
        sockets = _listen(address, port)
        site = Site(self.runs, guard)
        http = HTTPServer(
            site,
            ssl_options=context,
            max_body_size=_FORM,
            max_buffer_size=8 * MESSAGE,
        )
        http.add_sockets(sockets)
        self._server = BaseServer(IOLoop.current(), site, http)
        self._tidying = PeriodicCallback(self.runs.forget, _TIDY * 1e3)
        name = socket.gethostname() if address in EVERYWHERE else address
        scheme = "https" if context is not None else "http"
        self.address = f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/"

    def run(self, ready: Callable[[str], None] = lambda address: None) -> None:
        """Serve until `stop`; ``ready`` is told the address once it answers."""
        self._server.start()
        self._tidying.start()
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
        self._tidying.stop()
        self.runs.close()
        self._server.stop()


def serve(
    path: str | Path,
    *,
    port: int = 0,
    address: str = ADDRESS,
    token_file: str | Path | None = None,
    origins: Sequence[str] = (),
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page of a run, or of the runs in a folder, until Ctrl-C or SIGTERM.

    Parameters
    ----------
    path, port, address, token_file, origins, certificate, key
        As `Dashboard` takes them.
    ready
        Is told the address once it answers.

    Raises
    ------
    RunFolderError, ConfigError
        As `Dashboard` does.
    """
    # what a viewer sends amiss is answered to it, and not worth a line each
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.CRITICAL)
    asyncio.set_event_loop(asyncio.new_event_loop())
    dashboard = Dashboard(
        path,
        port,
        address=address,
        token_file=token_file,
        origins=origins,
        certificate=certificate,
        key=key,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number,
            lambda *_: dashboard.loop.add_callback_from_signal(dashboard.loop.stop),
        )
    try:
        # pictures of one size, one after another
        with kept_memory():
            dashboard.run(ready)
    finally:
        dashboard.close()


def _context(
    certificate: str | Path | None, key: str | Path | None
) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise ConfigError("--key belongs to a certificate: give --certificate, too")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # nobody is there to be asked for the password of a key
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no certificate and key in PEM form without a password in {certificate}"
            f"{f' and {key}' if key else ''}: {one_line(error)}"
        ) from error
    return context


def _listen(address: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            raise ConfigError(
                f"{address} is no address of this machine; 0.0.0.0 is all of them"
            ) from error
        if error.errno != errno.EADDRINUSE:
            raise ConfigError(
                f"cannot listen on {address}, port {port}: {one_line(error)}"
            ) from error
        free = _free(address, port + 1)
        raise ConfigError(
            f"port {port} is taken; the next free one is {free}: --port {free}"
        ) from error


def _free(address: str, first: int = 5006) -> int:
    """Return the first port from ``first`` on that is free; any, if none near is."""
    try:
        family, *_, place = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[
            0
        ]
    except socket.gaierror:
        return 0
    for port in (*range(first, min(first + _NEAR, 65536)), 0):
        with socket.socket(family) as probe:
            try:
                probe.bind((place[0], port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0
