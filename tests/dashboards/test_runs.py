"""Many runs on one server: the list, and each page of its own."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamproc.dashboards import runs as module
from streamproc.dashboards.live import Hub
from streamproc.dashboards.picture import Look
from streamproc.dashboards.runs import Runs
from streamproc.dashboards.server import Dashboard

import streamproc as sp
from streamproc.folder import RunFolder

from .asking import UPGRADE, ask, opened, session_of, told
from .conftest import LIVE, Begin, serving

pytestmark = pytest.mark.slow  # a run and a server each


def finished(path: Path, frames: int = 3) -> Path:
    """Make a run that has ended."""
    form = {"simulation": {"frames": frames, "shape": [64, 64], "live": False}}
    raw = sp.open(form)
    labels = raw.threshold().label()
    save = {"source": raw, "nuclei": labels, "cells": labels.measure(raw)}
    return sp.run(save, path).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs one and two folders deep, one with a name to quote."""
    folder = tmp_path_factory.mktemp("many")
    finished(folder / "one")
    finished(folder / "day 1" / "a&b", 5)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def live(folder: Path, begin: Begin) -> str:
    """The name of the run in the folder that goes on."""
    (folder / "live.yaml").write_text(LIVE)
    begin("run", str(folder / "live.yaml"), "--to", str(folder / "day 1" / "live"))
    while True:
        try:
            if sp.load(folder / "day 1" / "live").status()["done"]:
                return "day 1/live"
        except sp.StreamprocError:
            continue


@pytest.fixture(scope="module")
def server(folder: Path, live: str, begin: Begin) -> str:
    return serving(begin("dashboard", str(folder)))


def rows(server: str) -> dict[str, Any]:
    answer = ask(server, "runs.json")
    assert answer.status == 200
    return {row["name"]: row for row in json.loads(answer.text)["runs"]}


def until(found: Callable[[], Any]) -> Any:
    """Return what is found, once it is."""
    while not (value := found()):
        pass
    return value


def test_the_list_is_what_status_says(server: str, folder: Path, live: str) -> None:
    found = rows(server)
    assert next(iter(found)) == live  # what is on comes first
    assert set(found) == {live, "one", "day 1/a&b"}
    begun = [row["begun"] for name, row in found.items() if name != live]
    assert begun == sorted(begun, reverse=True)
    for name in ("one", "day 1/a&b"):
        status = sp.load(folder / name).status()
        for key in ("state", "done", "failed", "lost"):
            assert found[name][key] == status[key], (name, key)
        assert found[name]["fps"] is None  # it has ended
    assert found[live]["state"] == "running"
    until(lambda: rows(server)[live]["done"] > found[live]["done"])
    until(lambda: (rows(server)[live]["fps"] or 0) > 1)


def test_runs_come_and_go(server: str, folder: Path) -> None:
    finished(folder / "later")
    until(lambda: "later" in rows(server))
    assert ask(server, "run/later/").status == 200
    shutil.rmtree(folder / "later")
    until(lambda: "later" not in rows(server))
    gone = ask(server, "run/later/", Accept="text/html")
    assert gone.status == 404
    assert "No such run" in gone.text
    assert 'href="/"' in gone.text
    # one that is watched while its folder goes
    finished(folder / "watched")

    async def watch() -> str:
        connection = await opened(server, "run/watched/live")
        assert (await told(connection, "stats"))["state"] == "finished"
        shutil.rmtree(folder / "watched")
        while (state := (await told(connection, "stats"))["state"]) != "gone":
            pass
        connection.close()
        while await connection.read_message() is not None:
            pass
        return str(state)

    assert asyncio.run(watch()) == "gone"
    assert ask(server, "healthz").text == "ok\n"


@pytest.mark.parametrize("name", ["one", "day%201/a%26b", "day%201/live"])
def test_each_run_has_all_of_a_page(server: str, name: str) -> None:
    page = ask(server, f"run/{name}/")
    assert page.status == 200
    assert 'class="back" href="/"' in page.text
    moved = ask(server, f"run/{name}")
    assert (moved.status, moved.headers["Location"]) == (301, f"/run/{name}/")
    assert 'streamproc_frames_total{state="done"}' in (
        ask(server, f"run/{name}/metrics").text
    )
    assert ask(server, f"run/{name}/live", **UPGRADE).status == 101
    protocols = f"bokeh, {session_of(page.text)}"
    shown = ask(server, f"run/{name}/ws", **UPGRADE, Sec_WebSocket_Protocol=protocols)
    assert shown.status == 101


@pytest.mark.parametrize(
    "path",
    [
        "run/", "run", "run/none/", "run/live", "run/day%201/", "run/../one/",
        "run/%2e%2e/one/", "run/day%201%2f..%2fone/", "run/one/../../one/", "live",
        "metrics", "ws", "run//", "run/one%00/", "run/empty/", "run/%ff/",
        "run/one/nothing", "run/C:/one/", "run/day%201%5clive/",
    ],
)  # fmt: skip
def test_there_is_nothing_else(server: str, path: str) -> None:
    assert ask(server, path).status == 404
    assert ask(server, "healthz").status == 200


def test_the_run_cannot_be_named_beside_the_path(server: str) -> None:
    text = ask(server, "run/one/metrics?run=day%201/a%26b").text
    assert 'streamproc_frames_total{state="done"} 3.0' in text


def test_prometheus_finds_what_is_on(server: str, live: str) -> None:
    (target,) = json.loads(ask(server, "targets.json").text)
    assert target["labels"]["run"] == live
    (host,) = target["targets"]
    text = ask(f"http://{host}", target["labels"]["__metrics_path__"]).text
    assert "streamproc_running 1.0" in text


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sp.RunFolderError, match="is no run folder"):
        Runs(tmp_path)
    with pytest.raises(sp.RunFolderError, match="no run folder"):
        Runs(tmp_path / "none")


def test_a_batch_is_its_runs(tmp_path: Path) -> None:
    finished(tmp_path / "batch" / "a")
    (tmp_path / "batch" / "pipeline.yaml").write_text("source: x\n")
    (tmp_path / "batch" / "index.sqlite").touch()
    one = Runs(tmp_path / "batch")
    assert one.several
    assert one.split("/run/a/") == ("a", "")
    many = Runs(tmp_path)
    assert many.split("/run/batch/a/live") == ("batch/a", "live")
    assert many.split("/run/batch/") is None


# --- what costs nothing ---------------------------------------------------------------


class Looker:
    """A viewer that takes all it is sent."""

    wants = listens = follows = True
    pinned = None
    at = -1
    look = Look()

    def __init__(self) -> None:
        self.pictures: list[int] = []

    def send_picture(self, frame: int, message: bytes) -> None:
        self.pictures.append(frame)
        self.at = frame

    def send_numbers(self, told: object) -> None:
        """Take them."""


def test_without_a_viewer_nothing_is_read_or_encoded(folder: Path) -> None:
    async def turn() -> None:
        hub = Hub(RunFolder(folder / "one"))
        for _ in range(5):
            await hub._publish()
            await hub._tell()
        assert (hub.encoded, hub._feed, hub._pictures) == (0, None, None)
        looker: Any = Looker()
        hub.viewers.add(looker)
        for _ in range(5):
            await hub._publish()
        assert (hub.encoded, looker.pictures) == (1, [2])
        # a second one costs nothing more
        other: Any = Looker()
        hub.viewers.add(other)
        await hub._publish()
        assert (hub.encoded, other.pictures) == (1, [2])
        hub.viewers.clear()
        await hub._publish()
        assert hub.encoded == 1
        hub.close()

    asyncio.run(turn())


def test_what_nobody_looks_at_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def turn() -> None:
        runs = Runs(folder)
        hub = runs.hub("one")
        assert runs.hub("one") is hub
        runs.forget()
        assert runs.hub("one") is hub  # just now somebody did
        looker: Any = Looker()
        hub.viewers.add(looker)
        monkeypatch.setattr(module, "_KEPT", -1.0)
        runs.forget()
        assert runs.hub("one") is hub  # somebody does
        hub.viewers.clear()
        runs.forget()
        assert runs.hub("one") is not hub
        assert len(await runs.rows()) >= 2
        runs.close()

    asyncio.run(turn())


@pytest.fixture
def within(folder: Path) -> Iterator[Dashboard]:
    """A page served by a thread of this process, to look into."""
    found: list[Dashboard] = []
    is_up = threading.Event()

    def serve() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        dashboard = Dashboard(folder / "one")
        found.append(dashboard)
        dashboard.run(lambda address: is_up.set())
        dashboard.close()
        dashboard.loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert is_up.wait(60)
    yield found[0]
    found[0].stop()
    thread.join(60)


def test_closed_tabs_leave_no_session(within: Dashboard) -> None:
    async def tabs() -> None:
        opened_ = []
        for _ in range(3):
            session = session_of((await asyncio.to_thread(ask, within.address)).text)
            protocols = {"Sec_WebSocket_Protocol": f"bokeh, {session}"}
            opened_.append(await opened(within.address, "ws", **protocols))
            assert await opened_[-1].read_message()
            opened_.append(await opened(within.address))
            await told(opened_[-1], "stats")
        assert len(within._server.get_sessions()) == 3
        assert len(within.runs.hub("").viewers) == 3
        for connection in opened_:
            connection.close()
            while await connection.read_message() is not None:
                pass

    asyncio.run(tabs())
    # the page promises 10 s; it looks every 3
    left = time.monotonic() + 10
    while within._server.get_sessions() or within.runs.hub("").viewers:
        assert time.monotonic() < left
