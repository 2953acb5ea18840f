"""Where tokens are taken, and what those see who are not let in."""

from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from bokeh.core.templates import get_env
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

from .guard import DAYS, NEEDED, Guard, Refusal
from .tokens import Role

_MISSING = Refusal(404, "Nothing is here", "Go to the page, and on from there.")


class Door(RequestHandler):
    """What the handlers of this module share: sessions, and pages of one line."""

    def initialize(self, guard: Guard) -> None:
        """Take who decides."""
        self.guard = guard

    def refuse(self, refusal: Refusal, after: str = "/") -> None:
        """Answer why not: a browser gets a page, a program one line."""
        self.set_status(refusal.status)
        if refusal.status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="streamproc"')
        if refusal.status == 429:
            self.set_header("Retry-After", str(self.guard.waits(self.request)))
        if "text/html" not in self.request.headers.get("Accept", ""):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{refusal.title.lower()}: {refusal.line}\n")
            return
        asks = refusal.status in (401, 429) and self.guard.tokens is not None
        again = refusal is NEEDED
        self.finish(
            page("door.html", told=refusal, asks=asks, after=after, again=again)
        )

    def let_in(self, role: Role, after: str) -> None:
        """Begin a session, and go where the page was wanted."""
        self.set_cookie(
            self.guard.cookie,
            self.guard.session(role),
            expires_days=DAYS,
            httponly=True,
            samesite="Strict",
            secure=self.guard.is_secret(self.request),
        )
        self.redirect(_local(after), status=303)


class Refused(Door):
    """Answers what is not let in, whatever the method."""

    def initialize(self, guard: Guard, refusal: Refusal = _MISSING) -> None:
        """Take what to say."""
        super().initialize(guard)
        self._refusal = refusal

    def prepare(self) -> None:
        """Answer before any method could."""
        self.refuse(self._refusal, after=str(self.request.uri))


class Shown(Door):
    """Takes a token from the address, once: it is not in the one that is gone to."""

    def get(self, *_: str) -> None:
        """Begin a session, or refuse."""
        role = self.guard.admit(self.get_query_argument("token"), self.request)
        after = _without_token(str(self.request.uri))
        if role is None:
            self.refuse(self.guard.refused(self.request), after=after)
        else:
            self.let_in(role, after)


class Login(Door):
    """The page that asks for a token."""

    def get(self) -> None:
        """Ask, whoever one is: a viewer may become an operator."""
        role = self.guard.role(self.request)
        after = _local(self.get_query_argument("next", "/"))
        asks = self.guard.tokens is not None
        told = NEEDED
        if role is not None:
            told = Refusal(200, f"You are signed in as {role}", "Or enter another.")
        if not asks:
            told = Refusal(200, "No token needed", "Go to the page.")
        out = asks and role is not None
        self.finish(page("door.html", told=told, asks=asks, after=after, out=out))

    def post(self) -> None:
        """Begin a session, or ask again."""
        token = self.get_body_argument("token", "")
        after = self.get_body_argument("next", "/")
        role = self.guard.admit(token, self.request)
        if role is None:
            self.refuse(self.guard.refused(self.request), after=_local(after))
        else:
            self.let_in(role, after)


class Logout(Door):
    """Ends a session in this browser."""

    def post(self) -> None:
        """Forget it."""
        self.clear_cookie(self.guard.cookie, httponly=True, samesite="Strict")
        self.redirect("/login", status=303)


class Whoami(RequestHandler):
    """Tells a page that lost its socket who it is, and whether we are the same."""

    def initialize(self, guard: Guard, served: str) -> None:
        """Take who decides, and what differs from one dashboard to the next."""
        self._guard, self._served = guard, served

    def get(self) -> None:
        """Answer."""
        self.finish({"role": self._guard.role(self.request), "served": self._served})


class Careful(OutputTransform):
    """Adds what keeps a browser from lending the page to others."""

    def __init__(self, request: HTTPServerRequest) -> None:
        super().__init__(request)
        self._is_kept = request.path.startswith(("/assets/", "/static/"))

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the headers."""
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "same-origin"
        headers["Content-Security-Policy"] = (
            "frame-ancestors 'none'; object-src 'none'; base-uri 'none'; "
            "form-action 'self'"
        )
        if not self._is_kept:
            headers["Cache-Control"] = "no-store"
        return status_code, headers, chunk


@cache
def asset(name: str) -> str:
    """Return the text of one of our files."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def page(name: str, **values: Any) -> str:
    """Return one of our pages, filled in."""
    return str(get_env().from_string(asset(name)).render(**values))


def _local(after: str) -> str:
    """Return a place of this server; never one of another."""
    parts = urlsplit(after)
    is_ours = after.startswith("/") and not after.startswith(("//", "/\\"))
    return after if is_ours and not (parts.scheme or parts.netloc) else "/"


def _without_token(uri: str) -> str:
    parts = urlsplit(uri)
    left = [(k, v) for k, v in parse_qsl(parts.query) if k != "token"]
    return parts.path + (f"?{urlencode(left)}" if left else "")
