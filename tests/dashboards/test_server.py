"""The page's sockets, spoken to without a browser."""

import asyncio
import json
import os
import re
import signal
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from streamproc.dashboards import runs
from streamproc.dashboards.server import Dashboard
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

import streamproc as sp

from .conftest import LIVE, Begin, serving

pytestmark = pytest.mark.slow  # a run and a server each

Talk = Callable[[WebSocketClientConnection], Coroutine[Any, Any, Any]]


def talk(page: str, what: Talk, origin: str | None = None) -> Any:
    """Speak to the socket of the live picture."""

    async def whole() -> Any:
        url = page.replace("http", "ws") + "live"
        headers = {"Origin": origin or page.rstrip("/")}
        connection = await websocket_connect(HTTPRequest(url, headers=headers))
        try:
            return await asyncio.wait_for(what(connection), 60)
        finally:
            connection.close()
            while await connection.read_message() is not None:
                pass  # what was under way; then its socket is closed

    return asyncio.run(whole())


async def told(connection: WebSocketClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind; pictures are drawn, numbers are heard."""
    while True:
        message = await connection.read_message()
        assert message is not None, "the server closed"
        if isinstance(message, bytes):
            frame = struct.unpack_from("<I", message, 4)[0]
            await connection.write_message(json.dumps({"drawn": frame}))
            if kind == "picture":
                return {"frame": frame, "ends": struct.unpack_from("<ff", message, 32)}
            continue
        found: dict[str, Any] = json.loads(message)
        if found["type"] == "stats":
            await connection.write_message('{"heard": true}')
        if found["type"] == kind:
            return found


def test_pictures_and_numbers_come(page: str, live_run: Path) -> None:
    async def look(connection: WebSocketClientConnection) -> list[int]:
        frames = [(await told(connection, "picture"))["frame"] for _ in range(4)]
        numbers = await told(connection, "stats")
        assert numbers["state"] == "running"
        assert numbers["admitted"] >= numbers["done"] > 0
        return frames

    frames = talk(page, look)
    assert frames == sorted(set(frames))
    with urlopen(page + "metrics") as answer:
        assert b'streamproc_frames_total{state="done"}' in answer.read()


def test_who_draws_nothing_is_sent_two_pictures(page: str) -> None:
    async def stare(connection: WebSocketClientConnection) -> int:
        pictures = numbers = 0
        while numbers < 3:
            message = await connection.read_message()
            pictures += isinstance(message, bytes)
            if isinstance(message, str):
                numbers += 1
                await connection.write_message('{"heard": true}')
        return pictures

    assert talk(page, stare) == 2  # the frames go on meanwhile


def test_controls_reach_the_run(page: str, live_run: Path) -> None:
    async def steer(connection: WebSocketClientConnection) -> int:
        await connection.write_message('{"do": "pause"}')
        assert (await told(connection, "done"))["do"] == "pause"
        while (await told(connection, "stats"))["state"] != "paused":
            pass
        await connection.write_message('{"do": "resume"}')
        await told(connection, "done")
        await connection.write_message('{"set": "smooth.sigma", "value": 2.5}')
        frame = int((await told(connection, "done"))["frame"])
        await connection.write_message('{"set": "mask.offset", "value": 1}')
        refused = await told(connection, "error")
        assert "mask.offset is not adjustable" in refused["message"]
        while (await told(connection, "stats"))["parameters"]["smooth.sigma"] != 2.5:
            pass
        await connection.write_message('{"mark": "lid open"}')
        noted = await told(connection, "done")
        while (event := await newest(connection))["kind"] != "mark":
            pass
        assert event["message"] == noted["mark"] == "lid open"
        assert event["frame"] == noted["frame"]
        await connection.write_message('{"mark": ""}')
        assert "a mark needs a text" in (await told(connection, "error"))["message"]
        return frame

    async def newest(connection: WebSocketClientConnection) -> dict[str, Any]:
        events: list[dict[str, Any]] = (await told(connection, "stats"))["events"]
        return next(e for e in events if e["kind"] != "alert")

    frame = talk(page, steer)
    parameters = sp.load(live_run).parameters
    last = parameters[parameters["name"] == "sigma"].iloc[-1]
    assert (last["frame"], json.loads(last["value"])) == (frame, 2.5)


@pytest.mark.parametrize(
    "message", ["", "[]", "nonsense", '{"do": "format"}', '{"show": "x"}', "[" * 70_000]
)
def test_what_means_nothing_is_told_and_harms_nobody(page: str, message: str) -> None:
    async def mumble(connection: WebSocketClientConnection) -> None:
        await connection.write_message(message)
        if '"show"' not in message:
            assert (await told(connection, "error"))["message"]
        await told(connection, "stats")

    talk(page, mumble)


def test_pages_of_other_places_are_refused(page: str) -> None:
    with pytest.raises(HTTPClientError, match="403"):
        talk(page, lambda connection: told(connection, "stats"), "http://example.org")


def test_frames_of_the_past_are_shown(page: str) -> None:
    async def go_back(connection: WebSocketClientConnection) -> int:
        await told(connection, "picture")
        await connection.write_message('{"show": 0}')
        while (frame := (await told(connection, "picture"))["frame"]) != 0:
            pass
        return int(frame)

    assert talk(page, go_back) == 0


def test_those_who_look_alike_are_sent_one_picture(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 3, "shape": [32, 32], "live": False}})
    sp.run({"source": raw}, tmp_path / "run")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made: Queue[Dashboard] = Queue()
    ready: Queue[str] = Queue()

    def serve() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        dashboard = Dashboard(tmp_path / "run", port)
        made.put(dashboard)
        dashboard.run(ready.put)
        dashboard.close()

    thread = threading.Thread(target=serve)
    thread.start()
    dashboard, page = made.get(timeout=60), ready.get(timeout=60)
    counts: list[int] = []
    ends: list[tuple[float, float]] = []

    async def look() -> None:
        url, headers = page.replace("http", "ws") + "live", {"Origin": page.rstrip("/")}
        viewers = [
            await websocket_connect(HTTPRequest(url, headers=headers)) for _ in range(3)
        ]
        for _ in range(3):
            for viewer in viewers:
                ends.append((await told(viewer, "picture"))["ends"])
            counts.append(dashboard.runs.hub("").encoded)
            # all once more: two as everybody, one as it likes
            for viewer, own in zip(
                viewers, ({}, {"ends": [300, 700]}, {}), strict=True
            ):
                await viewer.write_message(json.dumps({"look": own}))
        await viewers[0].write_message('{"look": {"ends": [700, 300]}}')
        refused = await told(viewers[0], "error")
        assert refused["message"] == "black must be below white, got [700, 300]"
        for viewer in viewers:
            viewer.close()
            while await viewer.read_message() is not None:
                pass

    try:
        asyncio.run(asyncio.wait_for(look(), 60))
    finally:
        dashboard.stop()
        thread.join()
    assert counts == [1, 2, 2]  # what is known is not encoded again
    assert ends[4] == ends[7] == (300, 700)
    assert len({ends[i] for i in (0, 1, 2, 3, 5, 6, 8)}) == 1


def test_the_run_does_not_notice_its_death(
    page: str, live_run: Path, begin: Begin
) -> None:
    again = begin("dashboard", str(live_run))
    serving(again)
    os.kill(again.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    again.wait()
    done = sp.load(live_run).status()["done"]
    while (status := sp.load(live_run).status())["done"] <= done:
        pass
    assert status["state"] == "running"
    with urlopen(page + "healthz") as answer:
        assert answer.read() == b"ok\n"


def test_a_run_brings_its_page_and_takes_it_along(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text(LIVE.replace("100000", "60"))
    run = str(tmp_path / "RUN")
    options = ("--dashboard", "--token-file", str(tmp_path / "tokens"))
    process = begin("run", str(tmp_path / "short.yaml"), "--to", run, *options)
    assert process.stdout is not None
    (address,) = (
        line.split()[-1] for line in process.stdout if "the page of the run" in line
    )
    assert process.wait(60) == 0
    assert "operator: " in (tmp_path / "tokens").read_text(encoding="utf-8")
    with pytest.raises(URLError):
        urlopen(address + "healthz")


@pytest.mark.parametrize(
    "option", [("--port", "5006"), ("--address", "0.0.0.0"), ("--token-file", "t")]
)
def test_options_of_a_page_need_one(
    option: tuple[str, str], begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(LIVE)
    process = begin("run", str(tmp_path / "short.yaml"), *option)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert f"{option[0]} is of the page: give --dashboard with it" in text


def test_bad_input_is_one_line(tmp_path: Path, begin: Begin) -> None:
    def said(*arguments: str) -> str:
        process = begin("dashboard", *arguments)
        text = process.communicate(timeout=60)[0]
        assert process.returncode == 2, text
        assert text.count("\n") == 1, text
        return text

    assert "no run folder 'nothing'" in said("nothing")
    raw = sp.open({"simulation": {"frames": 1, "shape": [32, 32], "live": False}})
    sp.run({"mask": raw.threshold()}, tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = said(str(tmp_path / "run"), "--port", str(port))
    assert re.search(
        rf"port {port} is taken; the next free one is (\d+): --port \1", text
    )


def test_nothing_is_noted_in_a_run_that_has_ended(begin: Begin, tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 2, "shape": [32, 32], "live": False}})
    run = sp.run({"mask": raw.threshold()}, tmp_path / "run").path

    async def mark(connection: WebSocketClientConnection) -> str:
        await connection.write_message('{"mark": "too late"}')
        return str((await told(connection, "error"))["message"])

    assert "is not on" in talk(serving(begin("dashboard", str(run))), mark)
    assert not len(sp.load(run).events)


def test_there_is_nothing_beside_the_page(page: str) -> None:
    for path in ("assets/../server.py", "assets/%2e%2e/server.py", "run.json"):
        with pytest.raises(HTTPError, match="40") as refused:
            urlopen(page + path)
        refused.value.close()


def test_an_export_outlives_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = sp.open({"simulation": {"frames": 1, "shape": [32, 32], "live": False}})
    run = sp.run({"mask": raw.threshold()}, tmp_path / "run").path
    monkeypatch.setattr(runs, "_KEPT", -1.0)

    async def look() -> None:
        shown = runs.Runs(run)
        hub = shown.hub("")
        hub.history.exports += 1
        shown.forget()
        assert shown.hub("") is hub
        hub.history.exports -= 1
        shown.forget()
        assert shown.hub("") is not hub
        shown.close()

    asyncio.run(look())
