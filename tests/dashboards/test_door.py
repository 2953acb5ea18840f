"""Who is refused by a page with tokens, over real sockets; and what harms it not."""

import asyncio
import datetime
import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from bokeh.util.token import get_token_payload
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError

import streamproc as sp

from .asking import UPGRADE, another, ask, opened, session_of, tokens_in, told
from .conftest import Begin, serving

pytestmark = pytest.mark.slow  # a run and a server each

#: Stands for another machine's view of this one.
OTHER = "127.0.0.2"


class Guarded(NamedTuple):
    """A page with tokens."""

    page: str
    viewer: str
    operator: str
    run: Path


@pytest.fixture(scope="module")
def guarded(
    live_run: Path, begin: Begin, tmp_path_factory: pytest.TempPathFactory
) -> Guarded:
    """The page of the live run, served on another address than this machine's own."""
    with socket.socket() as probe:
        try:
            probe.bind((OTHER, 0))
        except OSError:
            pytest.skip(f"{OTHER} is no address here")
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    options = ("--address", OTHER, "--token-file", str(file))
    page = serving(begin("dashboard", str(live_run), *options))
    return Guarded(page, **tokens_in(file), run=live_run)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


#: Page, Bokeh's socket and what else it serves, our socket, numbers, who one is.
PLACES = ("", "ws", "live", "metrics", "whoami", "metadata", "autoload.js", "no/such")


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_answered_without_a_right_token(
    guarded: Guarded, place: str
) -> None:
    more = UPGRADE if place in ("ws", "live") else {}
    if place == "ws":
        more = {**more, "Sec_WebSocket_Protocol": "bokeh, x"}
    source = another()

    def status(**headers: str) -> int:
        named = {**more, **headers}
        return ask(guarded.page, place, source=source, **named).status

    assert status() == 401
    assert status(**bearer("x" * 43)) == 401
    assert status(**bearer(guarded.viewer[:-1])) == 401
    assert status(**bearer("")) == 401
    assert status(Authorization=guarded.viewer) == 401
    assert status(Cookie="streamproc=operator") == 401
    for token in (guarded.viewer, guarded.operator):
        foreign = {"Origin": "http://evil.example", **bearer(token)}
        assert status(**foreign) == 403
        assert status(**{**foreign, "Origin": "null"}) == 403
        assert status(**bearer(token), Host="evil.example") == 403


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "GET"])
def test_no_method_goes_round_the_door(guarded: Guarded, method: str) -> None:
    for place in ("", "metrics", "autoload.js", "whoami", "live"):
        for query in ("", "?token=x", "?token="):
            answer = ask(guarded.page, place + query, method=method, source=another())
            assert answer.status == 401, (place, query)
            assert answer.headers["Set-Cookie"] is None


def test_who_has_a_token_is_answered(guarded: Guarded) -> None:
    for token in (guarded.viewer, guarded.operator):
        for place in ("", "metrics", "whoami", "metadata"):
            assert ask(guarded.page, place, **bearer(token)).status == 200, place
        shown = ask(guarded.page, "live", **UPGRADE, **bearer(token))
        assert shown.status == 101
        assert ask(guarded.page, "no/such", **bearer(token)).status == 404


def test_what_holds_no_secret_is_open(guarded: Guarded) -> None:
    for place in ("healthz", "login", "assets/style.css", "static/js/bokeh.min.js"):
        assert ask(guarded.page, place).status == 200, place
    for place in ("assets/../server.py", "assets/%2e%2e/server.py", "static/../x"):
        assert ask(guarded.page, place).status in (400, 401, 403, 404), place


def test_a_browser_is_asked_for_a_token(guarded: Guarded) -> None:
    page = ask(guarded.page, "?x=1", Accept="text/html")
    assert page.status == 401
    assert 'name="token"' in page.text
    assert 'name="next" value="/?x=1"' in page.text
    assert page.headers["WWW-Authenticate"].startswith("Bearer")
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "no-store"
    program = ask(guarded.page)
    assert program.text == "token needed: Enter the token of a viewer or an operator.\n"


def sign_in(guarded: Guarded, token: str, after: str = "/", **headers: str) -> Any:
    body = f"token={token}&next={after}"
    return ask(guarded.page, "login", method="POST", body=body, **headers)


def test_a_token_begins_a_session(guarded: Guarded) -> None:
    answer = sign_in(guarded, guarded.viewer, Origin=guarded.page.rstrip("/"))
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert any(part.startswith("expires=") for part in attributes)
    assert guarded.viewer not in cookie
    page = ask(guarded.page, Cookie=cookie)
    assert page.status == 200
    assert 'dataset.role = "viewer"' in page.text
    # what scripts of the page can read holds neither session nor headers
    payload = get_token_payload(session_of(page.text))
    assert (payload["cookies"], payload["headers"]) == ({}, {})
    assert cookie.partition("=")[2] not in page.text
    out = ask(guarded.page, "logout", method="POST", body="", Cookie=cookie)
    assert out.headers["Set-Cookie"].startswith(cookie.partition("=")[0] + '="";')


def test_a_token_in_the_address_is_taken_away(guarded: Guarded) -> None:
    answer = ask(guarded.page, f"?a=1&token={guarded.operator}&b=2")
    assert (answer.status, answer.headers["Location"]) == (303, "/?a=1&b=2")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    wrong = ask(guarded.page, "?token=" + "x" * 30, source=another())
    assert (wrong.status, wrong.headers["Set-Cookie"]) == (401, None)


@pytest.mark.parametrize(
    "after",
    ["http://evil.example/", "//evil.example/", "/\\evil.example", "x", "/%09/e"],
)
def test_nobody_is_sent_elsewhere(guarded: Guarded, after: str) -> None:
    assert sign_in(guarded, guarded.viewer, after).headers["Location"] == "/"


def test_other_pages_cannot_sign_in(guarded: Guarded) -> None:
    answer = sign_in(guarded, guarded.viewer, Origin="http://evil.example")
    assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_guessing_is_slowed(guarded: Guarded) -> None:
    source = another()
    cookie = sign_in(guarded, guarded.viewer).headers["Set-Cookie"].split(";")[0]
    statuses = [sign_in(guarded, "x" * 30, source=source).status for _ in range(11)]
    assert statuses == [401] * 9 + [429] * 2
    right = sign_in(guarded, guarded.operator, source=source, Accept="text/html")
    assert right.status == 429
    assert 0 < int(right.headers["Retry-After"]) <= 60
    assert "Too many wrong tokens" in right.text
    # who is in stays in, and others come in
    assert ask(guarded.page, source=source, Cookie=cookie).status == 200
    assert sign_in(guarded, guarded.operator, source=another()).status == 303


# --- sockets ------------------------------------------------------------------------


Talk = Callable[[WebSocketClientConnection], Coroutine[Any, Any, Any]]


#: What a conversation ends with that the server ended.
CLOSED = object()


def talk(page: str, what: Talk, path: str = "live", **headers: str) -> Any:
    """Speak to a socket."""

    async def whole() -> Any:
        connection = await opened(page, path, **headers)
        found = await asyncio.wait_for(what(connection), 60)
        connection.close()
        while found is not CLOSED and await connection.read_message() is not None:
            pass  # what was under way; then its socket is closed
        return found

    return asyncio.run(whole())


def test_a_viewer_looks_and_controls_nothing(guarded: Guarded) -> None:
    wishes = (
        {"do": "stop"},
        {"do": "drain"},
        {"do": "pause"},
        {"mark": "x"},
        {"set": "smooth.sigma", "value": 9},
        {"anything": 1},
    )

    async def wish(connection: WebSocketClientConnection) -> list[str]:
        refused = []
        for request in wishes:
            await connection.write_message(json.dumps(request))
            refused.append((await told(connection, "error"))["message"])
        assert (await told(connection, "stats"))["state"] == "running"
        return refused

    refused = talk(guarded.page, wish, **bearer(guarded.viewer))
    assert refused[0] == "you are watching: stop needs the operator's token"
    assert all("needs the operator's token" in text for text in refused)
    run = sp.load(guarded.run)
    assert run.status()["state"] == "running"
    assert "9" not in set(run.parameters["value"])


def test_an_operator_controls(guarded: Guarded) -> None:
    async def steer(connection: WebSocketClientConnection) -> None:
        for verb, state in (("pause", "paused"), ("resume", "running")):
            await connection.write_message(json.dumps({"do": verb}))
            assert (await told(connection, "done"))["do"] == verb
            while (await told(connection, "stats"))["state"] != state:
                pass

    talk(guarded.page, steer, **bearer(guarded.operator))


def test_the_control_port_takes_no_token_of_the_page(guarded: Guarded) -> None:
    announced = json.loads((guarded.run / "run.json").read_text(encoding="utf-8"))
    host, port = announced["address"].split(":")
    for token in (guarded.operator, guarded.viewer, None, ""):
        request = {"command": "stop", **({} if token is None else {"token": token})}
        with (
            socket.create_connection((host, int(port)), 60) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(json.dumps(request).encode() + b"\n")
            assert json.loads(replies.readline()) == {
                "ok": False,
                "error": "wrong token; RUN/run.json has it",
            }
    assert sp.load(guarded.run).status()["state"] == "running"
    # and it is nobody's but this machine's
    page = urlsplit(guarded.page)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((page.hostname, int(port)), 60)


def test_bokehs_socket_needs_a_session_that_we_signed(guarded: Guarded) -> None:
    token = session_of(ask(guarded.page, **bearer(guarded.viewer)).text)

    async def first(connection: WebSocketClientConnection) -> Any:
        return await connection.read_message() or CLOSED

    def greeted(session: str, **headers: str) -> bool:
        protocols = {"Sec_WebSocket_Protocol": f"bokeh, {session}"}
        return talk(guarded.page, first, "ws", **protocols, **headers) is not CLOSED

    assert greeted(token, **bearer(guarded.viewer))
    with pytest.raises(HTTPClientError, match="401"):
        greeted(token)
    payload, _, signature = token.partition(".")
    unsigned = get_token_payload(token)
    assert unsigned["role"] == "viewer"
    for forged in (payload, f"{payload}.{signature[::-1]}", f"e30.{signature}", "x"):
        assert not greeted(forged, **bearer(guarded.viewer))


GARBAGE = ("", "nonsense", "{", "[" * 70_000, "\x00", b"\xff" * 999, '{"msgid": 1}')


@pytest.mark.parametrize("path", ["live", "ws"])
def test_what_means_nothing_harms_nobody(guarded: Guarded, path: str) -> None:
    headers = bearer(guarded.operator)
    if path == "ws":
        session = session_of(ask(guarded.page, **headers).text)
        headers["Sec_WebSocket_Protocol"] = f"bokeh, {session}"

    async def mumble(connection: WebSocketClientConnection) -> None:
        for message in GARBAGE:
            await connection.write_message(message, binary=isinstance(message, bytes))

    async def shout(connection: WebSocketClientConnection) -> object:
        with suppress(WebSocketClosedError):  # it is cut off at the first megabyte
            await connection.write_message("x" * (2 << 20))
        while await connection.read_message() is not None:
            pass
        return CLOSED

    async def look(connection: WebSocketClientConnection) -> None:
        for made in (mumble, shout):
            await asyncio.to_thread(talk, guarded.page, made, path, **headers)
            # who looks meanwhile does not notice
            assert (await told(connection, "stats"))["state"] == "running"

    talk(guarded.page, look, **bearer(guarded.viewer))
    assert ask(guarded.page, "healthz").text == "ok\n"


def test_half_requests_and_large_forms_are_refused(guarded: Guarded) -> None:
    page = urlsplit(guarded.page)
    for text in (b"\x16\x03\x01" * 40 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET"):
        with socket.create_connection((page.hostname, page.port), 60) as connection:
            connection.sendall(text)
    with socket.create_connection((page.hostname, page.port), 60) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: {page.netloc}\r\n"
        connection.sendall(f"{head}Content-Length: 90000000\r\n\r\n".encode())
        assert b" 200 " not in connection.recv(4096)
    assert ask(guarded.page, "healthz").text == "ok\n"


# --- TLS ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "streamproc")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address(OTHER))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    file = tmp_path_factory.mktemp("tls") / "page.pem"
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, plain))
    return file


@pytest.fixture
def secured(guarded: Guarded, begin: Begin, certificate: Path) -> Iterator[str]:
    """The same page by TLS."""
    file = certificate.with_name("tokens")
    options = ("--address", OTHER, "--certificate", str(certificate))
    process = begin("dashboard", str(guarded.run), *options, "--token-file", str(file))
    yield serving(process, "https://")
    process.kill()


def test_tls_is_the_only_way(secured: str, certificate: Path) -> None:
    page = urlsplit(secured)
    known = ssl.create_default_context(cafile=str(certificate))
    with urlopen(secured + "healthz", context=known) as answer:
        assert answer.read() == b"ok\n"
    token = tokens_in(certificate.with_name("tokens"))["operator"]
    with (
        socket.create_connection((page.hostname, page.port), 60) as plain,
        known.wrap_socket(plain, server_hostname=page.hostname) as connection,
    ):
        request = f"GET /?token={token} HTTP/1.1\r\nHost: {page.netloc}\r\n\r\n"
        connection.sendall(request.encode())
        said = connection.recv(1 << 16).decode()
    assert said.startswith("HTTP/1.1 303")
    assert "; Secure" in said
    # who speaks without it hears nothing of the page
    with socket.create_connection((page.hostname, page.port), 60) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {page.netloc}\r\n\r\n".encode())
        said = ""
        with suppress(ConnectionError):
            said = plain.recv(4096).decode(errors="replace")
        assert "HTTP" not in said
    with urlopen(secured + "healthz", context=known) as answer:
        assert answer.read() == b"ok\n"
