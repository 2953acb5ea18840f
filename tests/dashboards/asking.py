"""How tests ask a page, as browsers and programs do."""

import http.client
import itertools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

#: What a browser sends to open a socket.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_ADDRESSES = itertools.count(2)


class Answer(NamedTuple):
    """What a server says."""

    status: int
    headers: http.client.HTTPMessage
    text: str


def ask(
    page: str,
    path: str = "",
    *,
    method: str = "GET",
    body: str | None = None,
    source: str | None = None,
    **more: Any,
) -> Answer:
    """Ask a server; header names are written with ``_``."""
    parts = urlsplit(page)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(
        parts.hostname,
        parts.port,
        timeout=60,
        source_address=(source, 0) if source else None,
    )
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.request(method, parts.path + path, body, headers)
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode()
        return Answer(answer.status, answer.headers, text)
    finally:
        connection.close()


def another() -> str:
    """Return an address of this machine that asked nothing so far."""
    return f"127.0.1.{next(_ADDRESSES)}"


def opened(page: str, path: str = "live", **headers: str) -> Any:
    """Open a socket; to be awaited."""
    url = page.replace("http", "ws", 1) + path
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return websocket_connect(HTTPRequest(url, headers=named))


async def told(connection: WebSocketClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind; all else is acknowledged."""
    while True:
        message = await connection.read_message()
        assert message is not None, "the server closed"
        if isinstance(message, bytes):
            await connection.write_message('{"drawn": 0}')
            continue
        found: dict[str, Any] = json.loads(message)
        await connection.write_message('{"heard": true}')
        if found["type"] == kind:
            return found


def session_of(text: str) -> str:
    """Return the token that Bokeh's script in a page opens its socket with."""
    found = re.search(r'"token":"([^"]+)"', text)
    assert found, text[:500]
    return found[1]


def tokens_in(file: Path) -> dict[str, str]:
    """Return the tokens in a file, by role."""
    lines = file.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ") for line in lines if not line.startswith("#"))
    return dict(pairs)
