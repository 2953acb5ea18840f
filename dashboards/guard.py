"""What every request has to pass before anything answers it."""

import logging
import math
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import create_signed_value, decode_signed_value

from streamproc.errors import ConfigError

from .tokens import Role, Tokens

#: Addresses that need no token: only who is on this machine reaches them. The others
#: of 127.0.0.0/8 are not among them: containers and tunnels lead them elsewhere.
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
#: Addresses that stand for all of a machine.
EVERYWHERE = frozenset({"0.0.0.0", "::"})
#: Days that a session lasts.
DAYS = 7
#: Wrong tokens that one address may try in so many seconds; addresses remembered.
GUESSES, WHILE, _REMEMBERED = 10, 60.0, 1000
#: What is shown without a token: none of it is of the run.
_OPEN = ("/assets/", "/static/", "/favicon.ico", "/login", "/logout")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: status, title, and what to do, in one line."""

    status: int
    title: str
    line: str


NEEDED = Refusal(401, "Token needed", "Enter the token of a viewer or an operator.")


class Guard:
    """Decides who may look and who may control.

    A request must name this server (``Host``), so that a foreign name that leads here
    opens nothing; a browser's must come from a page of this server or of a listed
    origin (``Origin``). Where there are tokens, it must have a session or show one.

    Parameters
    ----------
    address, port
        Where the page is served.
    tokens
        Of viewers and operators; None where no token is needed.
    origins
        Further origins of pages, such as ``https://scope.example.org``.
    clock
        Seconds, to count guesses by.

    Raises
    ------
    ConfigError
        The address is not `LOOPBACK`'s and there are no tokens, or an origin is none.
    """

    def __init__(
        self,
        address: str,
        port: int,
        tokens: Tokens | None = None,
        origins: Iterable[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not address.strip():
            raise ConfigError("an address is like 127.0.0.1, 0.0.0.0 or scope.lab")
        if tokens is None and address not in LOOPBACK:
            raise ConfigError(
                f"others can reach {address}, so it needs tokens: give --token-file "
                "FILE (one is made there if there is none)"
            )
        self.tokens = tokens
        self._is_everywhere = address in EVERYWHERE
        self._names = {address.lower()}
        if address in LOOPBACK or self._is_everywhere:
            self._names |= LOOPBACK
        if self._is_everywhere:
            self._names.add(socket.gethostname().lower())
        self._origins = {_origin(text) for text in origins}
        self._clock = clock
        self._guesses: dict[str, deque[float]] = {}
        self._key = tokens.key if tokens is not None else secrets.token_hex(32)
        #: name of the session's cookie: browsers keep those of all ports together
        self.cookie = f"streamproc-{port}"

    def refusal(self, request: HTTPServerRequest) -> Refusal | None:
        """Return why a request is not answered; None where it is."""
        if request.path == "/healthz":
            return None
        if not self._is_meant(request):
            return Refusal(
                403,
                "Not under this name",
                f"This page is not served as {request.host or 'nothing'}; who began it "
                f"can allow that with --origin {request.protocol}://{request.host}",
            )
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_ours(origin, request):
            return Refusal(
                403,
                "Not from there",
                f"Pages of {origin} may not use this one; whoever began it can allow "
                f"them with --origin {origin}",
            )
        if request.path.startswith(_OPEN) or self.role(request) is not None:
            return None
        wait = self.waits(request)
        if wait:
            return _too_often(wait)
        return NEEDED

    def role(self, request: HTTPServerRequest) -> Role | None:
        """Return the role of who asks; None where it has shown nothing that counts."""
        if self.tokens is None:
            return "operator"
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.admit(token.strip(), request)
        morsel = request.cookies.get(self.cookie)
        if morsel is None:
            return None
        known = decode_signed_value(self._key, self.cookie, morsel.value, DAYS)
        return "operator" if known == b"operator" else "viewer" if known else None

    def admit(self, token: str, request: HTTPServerRequest) -> Role | None:
        """Return the role that a token gives; wrong ones are counted by address."""
        if self.tokens is None or self.waits(request):
            return None
        role = self.tokens.role(token)
        if role is None:
            who = str(request.remote_ip)
            logging.getLogger("streamproc").warning("wrong token from %s", who)
            guesses = self._guesses.pop(who, deque(maxlen=GUESSES))
            guesses.append(self._clock())
            self._guesses[who] = guesses
            if len(self._guesses) > _REMEMBERED:
                del self._guesses[next(iter(self._guesses))]
        return role

    def waits(self, request: HTTPServerRequest) -> int:
        """Return for how many seconds no token is taken from who asks."""
        guesses = self._guesses.get(str(request.remote_ip), deque())
        if len(guesses) < GUESSES:
            return 0
        return max(0, math.ceil(guesses[0] + WHILE - self._clock()))

    def refused(self, request: HTTPServerRequest) -> Refusal:
        """Return what to say to a token that was not taken."""
        wait = self.waits(request)
        if wait:
            return _too_often(wait)
        return Refusal(401, "Wrong token", "That is none of this page's tokens.")

    def session(self, role: Role) -> str:
        """Return a signed session of a role, for its cookie."""
        return create_signed_value(self._key, self.cookie, role).decode()

    def is_secret(self, request: HTTPServerRequest) -> bool:
        """Whether who asks does it by TLS, here or at the proxy before us."""
        if request.protocol == "https":
            return True
        secure = {o for o in self._origins if o[0] == "https"}
        origin = request.headers.get("Origin", "")
        return bool(secure & {_parts(origin), _parts(f"https://{request.host}")})

    def _is_meant(self, request: HTTPServerRequest) -> bool:
        """Whether the ``Host`` is ours, on any port: a tunnel may begin at another."""
        name = _parts(f"{request.protocol}://{request.host}")[1]
        if name in self._names or any(name == origin[1] for origin in self._origins):
            return True
        return self._is_everywhere and name == _arrived_at(request)

    def _is_ours(self, origin: str, request: HTTPServerRequest) -> bool:
        known = _parts(origin)
        own = _parts(f"{request.protocol}://{request.host}")
        return known == own or known in self._origins


def _too_often(wait: int) -> Refusal:
    return Refusal(
        429,
        "Too many wrong tokens",
        f"No token is taken from your address for {wait} s; then try again.",
    )


def _parts(origin: str) -> tuple[str, str, int]:
    """Return scheme, name and port; nothing where it is no origin."""
    try:
        found = urlsplit(origin)
        port = found.port or _PORTS.get(found.scheme, 0)
    except ValueError:
        return "", "", 0
    return found.scheme, found.hostname or "", port


def _origin(text: str) -> tuple[str, str, int]:
    scheme, name, port = _parts(text.rstrip("/"))
    if scheme not in _PORTS or not name or urlsplit(text).path.strip("/"):
        raise ConfigError(
            f"got origin {text!r}; one is like https://scope.example.org, with no path"
        )
    return scheme, name, port


def _arrived_at(request: HTTPServerRequest) -> str | None:
    """Return the address of this machine that a request came to."""
    connection: Any = request.connection  # tornado's: a stream with its socket
    try:
        address = connection.stream.socket.getsockname()[0]
    except (AttributeError, OSError):
        return None
    return str(address)
