"""What lies where on the page's server, behind its guard."""

import json
import logging
import secrets
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.document import Document
from bokeh.server.tornado import BokehTornado
from prometheus_client import CONTENT_TYPE_LATEST
from tornado.httputil import HTTPServerRequest
from tornado.web import RedirectHandler, RequestHandler, StaticFileHandler

from .door import Careful, Login, Logout, Refused, Shown, Whoami, asset, page
from .guard import NEEDED, Guard, Refusal
from .history import QUESTIONS, Data
from .live import Hub, Viewer
from .plots import plots
from .runs import GOING, Runs

#: Seconds after which the session of a closed page is forgotten.
_FORGET = 3.0
#: Bytes of one message at most: a page sends short wishes.
MESSAGE = 1 << 20
#: Where the pages of one run are among those of many.
_RUN = "/run"


class Site(BokehTornado):
    """Pages, sockets and numbers of one run at ``/``, or of many at ``/run/NAME/``.

    Every request passes the guard here, before any handler exists for it: Bokeh's
    pages and sockets as well as ours, and those that may be added.
    """

    def __init__(self, runs: Runs, guard: Guard) -> None:
        self._runs, self._guard = runs, guard
        served = secrets.token_hex(8)
        at = _RUN if runs.several else ""
        hub = {"hub": self._hub}
        door = {"guard": guard}
        patterns: list[Any] = [
            (f"{at}/live", Viewer, {**hub, **door}),
            (f"{at}/metrics", _Metrics, hub),
            (f"{at}/data/({QUESTIONS})", Data, hub),
            ("/assets/(.*)", _Asset, {"path": str(files(__package__) / "assets")}),
            ("/healthz", _Health),
            ("/login", Login, door),
            ("/logout", Logout, door),
            ("/whoami", Whoami, {**door, "served": served}),
        ]
        if runs.several:
            patterns += [
                ("/", _List, {"runs": runs}),
                ("/runs.json", _Rows, {"runs": runs}),
                ("/targets.json", _Targets, {"runs": runs}),
            ]
        shown = _Page(plots(runs.folder, asset("page.html")), runs, guard, served)
        super().__init__(
            {at or "/": Application(shown)},
            extra_patterns=patterns,
            use_index=False,
            # nobody can name or guess another viewer's document
            sign_sessions=True,
            secret_key=secrets.token_bytes(32),
            # a document is told nothing that its page must not know
            include_headers=[],
            include_cookies=[],
            # the guard has looked at the origin
            extra_websocket_origins=["*"],
            websocket_max_message_size_bytes=MESSAGE,
            unused_session_lifetime_milliseconds=int(_FORGET * 1e3),
            check_unused_sessions_milliseconds=int(_FORGET * 1e3),
            transforms=[Careful],
            default_handler_class=Refused,
            default_handler_args=door,
            log_function=_log,
        )

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> Any:
        """Return who answers a request: the guard, where it is not let in."""
        guard = self._guard
        refusal = guard.refusal(request)
        shows = "token" in request.query_arguments and request.method == "GET"
        may_show = guard.tokens is not None and (refusal or NEEDED) is NEEDED
        if shows and may_show:
            return self.get_handler_delegate(request, Shown, {"guard": guard})
        if refusal is not None:
            return self._refused(request, refusal)
        if self._runs.several and f"{request.path}/".startswith(f"{_RUN}/"):
            return self._of_run(request)
        return super().find_handler(request)

    def _of_run(self, request: HTTPServerRequest) -> Any:
        """Return who answers for one of many runs: as if it were the only one."""
        path = unquote(request.path)
        found = self._runs.split(path)
        if found is None and self._runs.split(f"{path}/") is not None:
            return self.get_handler_delegate(
                request, RedirectHandler, {"url": f"{request.path}/"}
            )
        if found is None:
            gone = Refusal(404, "No such run", "It was deleted or renamed; choose one.")
            return self._refused(request, gone)
        name, rest = found
        request.arguments["run"] = [name.encode()]
        request.path = f"{_RUN}/{rest}"
        return super().find_handler(request)

    def _refused(self, request: HTTPServerRequest, refusal: Refusal) -> Any:
        told = {"guard": self._guard, "refusal": refusal}
        return self.get_handler_delegate(request, Refused, told)

    def _hub(self, request: HTTPServerRequest) -> Hub:
        return self._runs.hub(_name(request))


class _Page(FunctionHandler):
    """Fills the page of a run; who asked, and for which, is signed into its session."""

    def __init__(
        self,
        fill: Callable[[Document], None],
        runs: Runs,
        guard: Guard,
        served: str,
    ) -> None:
        super().__init__(fill)
        self._runs, self._guard, self._served = runs, guard, served

    def process_request(self, request: HTTPServerRequest) -> dict[str, Any]:
        """Return what the document is told."""
        return {
            "run": _name(request),
            "role": self._guard.role(request),
            "several": self._runs.several,
            "served": self._served,
        }


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
    """Tells a run's numbers to Prometheus."""

    def initialize(self, hub: Callable[[HTTPServerRequest], Hub]) -> None:
        """Take the run to tell of."""
        self._hub = hub(self.request)

    async def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(await self._hub.metrics())


class _List(RequestHandler):
    """The page of many runs."""

    def initialize(self, runs: Runs) -> None:
        """Take the runs."""
        self._runs = runs

    def get(self) -> None:
        """Answer."""
        self.finish(page("runs.html", folder=self._runs.path.name))


class _Rows(RequestHandler):
    """Tells the page of many runs what there is."""

    def initialize(self, runs: Runs) -> None:
        """Take the runs."""
        self._runs = runs

    async def get(self) -> None:
        """Answer."""
        self.finish({"runs": await self._runs.rows(), "now": time.time()})


class _Targets(RequestHandler):
    """Tells Prometheus which runs are on, as its service discovery by HTTP asks."""

    def initialize(self, runs: Runs) -> None:
        """Take the runs."""
        self._runs = runs

    async def get(self) -> None:
        """Answer."""
        found = [
            {
                "targets": [self.request.host],
                "labels": {
                    "__metrics_path__": f"{_RUN}/{quote(row['name'])}/metrics",
                    "run": row["name"],
                },
            }
            for row in await self._runs.rows()
            if row["state"] in GOING
        ]
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(found))


def _name(request: HTTPServerRequest) -> str:
    """Return the run that a request is about; empty where there is only one."""
    return request.arguments.get("run", [b""])[0].decode()


def _log(handler: RequestHandler) -> None:
    """Say what we did wrong, not what others did."""
    status, request = handler.get_status(), handler.request
    if status >= 500:
        log = logging.getLogger("streamproc")
        log.error("%s %s: %d", request.method, request.path, status)
