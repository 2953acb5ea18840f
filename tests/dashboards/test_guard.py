"""Who may look and who may control, decided on requests as they come."""

import gc
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamproc.dashboards.guard import GUESSES, WHILE, Guard
from streamproc.dashboards.server import Dashboard
from streamproc.dashboards.tokens import Tokens, tokens
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

import streamproc as sp

VIEWER, OPERATOR = "v" * 24, "o" * 24
TOKENS = Tokens(VIEWER, OPERATOR)


def request(
    path: str = "/", *, host: str = "127.0.0.1:5006", at: str = "", **headers: str
) -> HTTPServerRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = HTTPServerRequest(
        start_line=RequestStartLine("GET", path, "HTTP/1.1"),
        headers=HTTPHeaders({"Host": host, **named}),
    )
    made.remote_ip = "10.0.0.7"
    if at:
        socket = SimpleNamespace(getsockname=lambda: (at, 5006))
        stream = SimpleNamespace(socket=socket)
        made.connection = SimpleNamespace(stream=stream)  # type: ignore[assignment]
    return made


def status(guard: Guard, asked: HTTPServerRequest) -> int:
    refusal = guard.refusal(asked)
    return refusal.status if refusal else 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:5006", 200),
        ("localhost:5006", 200),
        ("[::1]:5006", 200),
        ("localhost:8080", 200),  # a tunnel that begins at another port
        ("LOCALHOST:5006", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:5006", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.2:5006", 403),
        ("[::1", 403),
        ("localhost:x", 403),
    ],
)
def test_only_our_own_names_are_answered(host: str, expected: int) -> None:
    assert status(Guard("127.0.0.1", 5006), request(host=host)) == expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:5006", 200),
        ("https://scope.example.org", 200),
        ("https://scope.example.org:443", 200),
        ("http://scope.example.org", 403),
        ("https://scope.example.org:8443", 403),
        ("http://127.0.0.1:3000", 403),  # another program of this machine
        ("https://127.0.0.1:5006", 403),
        ("http://localhost:5006", 403),  # of another name than it asks
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_only_listed_origins_are_answered(origin: str, expected: int) -> None:
    guard = Guard("127.0.0.1", 5006, origins=["https://scope.example.org"])
    assert status(guard, request(Origin=origin)) == expected


def test_a_proxy_may_name_itself_or_us() -> None:
    guard = Guard("127.0.0.1", 5006, TOKENS, ["https://scope.example.org/"])
    for host in ("127.0.0.1:5006", "scope.example.org"):
        asked = request("/login", host=host, Origin="https://scope.example.org")
        assert status(guard, asked) == 200
        assert guard.is_secret(asked)
    assert not guard.is_secret(request("/login"))


def test_everywhere_is_named_by_the_address_that_was_reached() -> None:
    guard = Guard("0.0.0.0", 5006, TOKENS)
    token = {"Authorization": f"Bearer {VIEWER}"}
    assert status(guard, request(host="10.1.2.3:5006", at="10.1.2.3", **token)) == 200
    assert status(guard, request(host="10.1.2.4:5006", at="10.1.2.3", **token)) == 403
    assert status(guard, request(host="evil.example", at="10.1.2.3", **token)) == 403


def test_other_addresses_need_tokens() -> None:
    for address in ("0.0.0.0", "::", "127.0.0.2", "10.0.0.1", "scope.lab"):
        with pytest.raises(sp.ConfigError, match=f"others can reach {address}, so"):
            Guard(address, 5006)
    with pytest.raises(sp.ConfigError, match="an address is like"):
        Guard("", 5006, TOKENS)
    assert Guard("localhost", 5006).role(request()) == "operator"


@pytest.mark.parametrize(
    "text", ["scope.lab", "ftp://scope.lab", "https://", "https://a.b/c", "http://a:x"]
)
def test_origins_that_are_none(text: str) -> None:
    with pytest.raises(sp.ConfigError, match="got origin"):
        Guard("127.0.0.1", 5006, origins=[text])


def test_roles_come_from_tokens_and_sessions() -> None:
    guard = Guard("127.0.0.1", 5006, TOKENS)

    def role(**headers: str) -> Any:
        return guard.role(request(**headers))

    assert role(Authorization=f"Bearer {VIEWER}") == "viewer"
    assert role(Authorization=f"bearer  {OPERATOR} ") == "operator"
    assert role(Authorization=f"Basic {OPERATOR}") is None
    assert role(Cookie=f"{guard.cookie}={guard.session('viewer')}") == "viewer"
    session = guard.session("operator")
    assert role(Cookie=f"{guard.cookie}={session}") == "operator"
    # the session of another port, a changed one, one of a role that was written in
    assert role(Cookie=f"streamproc-1={session}") is None
    changed = session[:-1] + ("1" if session[-1] == "0" else "0")
    assert role(Cookie=f"{guard.cookie}={changed}") is None
    assert role(Cookie=f"{guard.cookie}=operator") is None
    viewer = guard.session("viewer").replace("dmlld2Vy", "b3BlcmF0b3I")
    assert role(Cookie=f"{guard.cookie}={viewer}") is None
    # other tokens end a session, a restart with the same ones does not
    cookie = {"Cookie": f"{guard.cookie}={session}"}
    assert Guard("127.0.0.1", 5006, TOKENS).role(request(**cookie)) == "operator"
    other = Tokens(VIEWER, "x" * 24)
    assert Guard("127.0.0.1", 5006, other).role(request(**cookie)) is None


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard("127.0.0.1", 5006, TOKENS)
    monkeypatch.setattr("time.time", lambda: 1e9)
    cookie = {"Cookie": f"{guard.cookie}={guard.session('viewer')}"}
    monkeypatch.setattr("time.time", lambda: 1e9 + 6.9 * 86400)
    assert guard.role(request(**cookie)) == "viewer"
    monkeypatch.setattr("time.time", lambda: 1e9 + 7.1 * 86400)
    assert guard.role(request(**cookie)) is None


def test_guessing_is_slowed_by_address() -> None:
    now = 100.0
    guard = Guard("127.0.0.1", 5006, TOKENS, clock=lambda: now)
    right = request(Authorization=f"Bearer {OPERATOR}")
    for _ in range(GUESSES):
        assert status(guard, right) == 200
        assert status(guard, request(Authorization="Bearer guess")) in (401, 429)
    # even the right one is not looked at; sessions and other addresses go on
    refusal = guard.refusal(right)
    assert refusal is not None
    assert refusal.status == 429
    assert f"{WHILE:.0f} s" in refusal.line
    cookie = {"Cookie": f"{guard.cookie}={guard.session('viewer')}"}
    assert status(guard, request(**cookie)) == 200
    elsewhere = request(Authorization=f"Bearer {OPERATOR}")
    elsewhere.remote_ip = "10.0.0.8"
    assert status(guard, elsewhere) == 200
    now += WHILE
    assert status(guard, right) == 200


def test_guesses_are_remembered_in_bounded_memory() -> None:
    guard = Guard("127.0.0.1", 5006, TOKENS)
    for number in range(3000):
        asked = request(Authorization="Bearer guess")
        asked.remote_ip = f"10.0.{number // 256}.{number % 256}"
        guard.role(asked)
    assert len(guard._guesses) == 1000


# --- the file -------------------------------------------------------------------------


def test_a_token_file_is_made_for_its_owner(tmp_path: Path) -> None:
    made = tokens(tmp_path / "t")
    assert made.viewer != made.operator
    assert min(len(made.viewer or ""), len(made.operator or "")) >= 40
    assert tokens(tmp_path / "t") == made
    if os.name == "posix":
        assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_all_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "t"
    tokens(file)
    file.chmod(mode)
    with pytest.raises(sp.ConfigError, match=f"mode {mode:o}.*chmod 600"):
        tokens(file)
    file.chmod(0o640)  # a group may share it
    assert tokens(file).operator


def test_a_file_may_have_viewers_alone(tmp_path: Path) -> None:
    found = tokens(_written(tmp_path, f"\n# nobody controls\nviewer:{VIEWER}\n"))
    assert found == Tokens(VIEWER, None)
    assert (found.role(VIEWER), found.role(""), found.role("x")) == (
        "viewer",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no token; delete it"),
        (f"viewr: {VIEWER}", "line 1: a line is.*did you mean 'viewer'"),
        ("viewer: short", "line 1: a token has 20 or more"),
        (f"\noperator: {VIEWER}é", "line 2: a token has 20 or more"),
        (f"viewer: {VIEWER}\noperator: {VIEWER}", "line 2: each role has one token"),
        (f"viewer: {VIEWER}\nviewer: {OPERATOR}", "line 2: each role has one token"),
    ],
)
def test_files_of_another_form(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(sp.ConfigError, match=said):
        tokens(_written(tmp_path, text))


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(sp.ConfigError, match="cannot make token file"):
        tokens(tmp_path / "no" / "t")
    with pytest.raises(sp.ConfigError, match=r"cannot (read|make) token file"):
        tokens(tmp_path)
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00" * 9)
    (tmp_path / "b").chmod(0o600)
    with pytest.raises(sp.ConfigError, match="cannot read token file"):
        tokens(tmp_path / "b")


def _written(folder: Path, text: str) -> Path:
    file = folder / "t"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


# --- what is given to a dashboard -----------------------------------------------------


# tornado leaves a socket that cannot be bound to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"address": "127.0.0.2"}, "others can reach 127.0.0.2.*--token-file"),
        ({"address": "203.0.113.77", "token_file": "t"}, "no address of this machine"),
        ({"address": "no.such.invalid", "token_file": "t"}, "no address of this"),
        ({"key": "t"}, "--key belongs to a certificate"),
        ({"certificate": "none.pem"}, "no certificate and key in PEM form"),
        ({"certificate": "run/pipeline.yaml"}, "no certificate and key in PEM form"),
        ({"origins": ["scope"]}, "got origin 'scope'"),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = sp.open({"simulation": {"frames": 1, "shape": [32, 32], "live": False}})
    sp.run({"mask": raw.threshold()}, "run")
    with pytest.raises(sp.ConfigError, match=said):
        Dashboard("run", **given)
    gc.collect()  # here, and not in the next test
