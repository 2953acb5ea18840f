"""Pause, resume, drain, stop and set: in Python, over loopback, from the shell."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

import streamproc as sp
from streamproc import control
from streamproc.folder import status
from tests.arrays import simulated, wait_for
from tests.conftest import REPOSITORY

Command = Callable[..., tuple[int, str, str]]


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; pytest's time limit ends what never does."""
    nap = threading.Event()
    while not condition():
        nap.wait(0.002)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[sp.Run]:
    """A camera that never ends, and one parameter that may be set."""
    smooth = simulated(None, live=True).gaussian(sigma=1, name="smooth")
    saved = {"mask": smooth.threshold("otsu", name="mask")}
    run = sp.start(saved, tmp_path / "run", adjustable=["smooth.sigma"])
    yield run
    if run.is_alive:
        run.stop()
        run.wait()


def told(run: sp.Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "run.json").read_text())
    return found


def connected(run: sp.Run) -> socket.socket:
    host, _, port = told(run)["address"].rpartition(":")
    return socket.create_connection((host, int(port)), 60)


def ask(run: sp.Run, line: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    with connected(run) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            return replies.read()


def request(run: sp.Run, command: object, **more: object) -> dict[str, Any]:
    given = {"token": told(run)["token"], "command": command, **more}
    found: dict[str, Any] = json.loads(ask(run, json.dumps(given).encode() + b"\n"))
    return found


# --- who is let in -------------------------------------------------------------------


def test_the_address_is_the_owners_and_goes_with_the_run(run: sp.Run) -> None:
    path = run.path / "run.json"
    found = told(run)
    assert found["address"].startswith("127.0.0.1:")
    assert found["pid"] == os.getpid()
    assert len(found["token"]) >= 40
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    run.stop()
    run.wait()
    assert not path.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(found["address"][10:])), 5)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"token": "wrong", "command": "stop"}\n', "wrong token; RUN/run.json has"),
        (b'{"token": "\\ud800", "command": "stop"}\n', "wrong token"),
        (b'{"token": null, "command": "stop"}\n', "wrong token"),
        (b'{"command": "stop"}\n', "wrong token"),
        (b"stop\n", "a request is one JSON object in one line"),
        (b"[1]\n", "a request is one JSON object in one line"),
        (b"[" * 60_000 + b"\n", "a request is one JSON object in one line"),
        (b"\xff\xfe\n", "a request is one JSON object in one line"),
        (b"x" * 70_000 + b"\n", "a request is one JSON object in one line"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n{}", "a request is one JSON obj"),
        (b'{"token": "half a li', "a request is one JSON object in one line"),
    ],
)
def test_who_does_not_know_the_token_gets_one_line(
    run: sp.Run, line: bytes, error: str
) -> None:
    try:
        reply = json.loads(ask(run, line))
    except ConnectionError:  # it was cut off before it had said all
        reply = {"ok": False, "error": error}
    assert reply["ok"] is False
    assert error in reply["error"]
    assert told(run)["token"] not in str(reply)
    assert request(run, "status")["state"] == "running"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("paus", "no command 'paus'; did you mean 'pause'?"),
        (None, "no command None"),
        (["stop"], "no command ['stop']"),
        ("set", "set needs step, parameter and value"),
    ],
)
def test_commands_that_are_none(run: sp.Run, command: object, error: str) -> None:
    assert error in request(run, command)["error"]


def test_those_who_say_nothing_do_not_keep_others_out_for_ever(
    run: sp.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [connected(run) for _ in range(40)]
    try:
        wait_for(run, run.metrics.counters.done + 20)
        silent[0].sendall(b'{"token": "half')
    finally:
        for connection in silent:
            connection.close()
    until(lambda: _answers(run))


def _answers(run: sp.Run) -> bool:
    try:
        return bool(request(run, "status")["ok"])
    except (OSError, ValueError):  # no room yet
        return False


def test_a_silent_one_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_GREETING", 0.05)
    with (
        closing(_Port(tmp_path)) as port,
        socket.create_connection(port.address, 60) as connection,
    ):
        assert connection.recv(1) == b""


class _Port(control.ControlPort):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "run.json", {"fail": self._fail})
        found = json.loads((folder / "run.json").read_text())
        host, _, port = found["address"].rpartition(":")
        self.address, self.token = (host, int(port)), found["token"]

    def _fail(self, request: object) -> dict[str, object]:
        raise ZeroDivisionError("no light")


def test_a_command_that_fails_leaves_the_port_open(tmp_path: Path) -> None:
    with closing(_Port(tmp_path)) as port:
        line = json.dumps({"token": port.token, "command": "fail"}).encode() + b"\n"
        with (
            socket.create_connection(port.address, 60) as connection,
            connection.makefile("rb") as replies,
        ):
            for _ in range(2):
                connection.sendall(line)
                error = json.loads(replies.readline())["error"]
                assert error == "fail: ZeroDivisionError: no light"


# --- what it does --------------------------------------------------------------------


def test_status_is_that_of_the_command(run: sp.Run, command: Command) -> None:
    attached = sp.attach(run.path)
    attached.pause()
    until(lambda: run.metrics.counters.done == _still(run))
    found = attached.status()
    _, out, _ = command("status", str(run.path), "--json")
    changing = {"admitted", "pending", "fps"}  # its camera goes on
    told = json.loads(out)
    assert found.keys() == told.keys()
    for name in found.keys() - changing:
        assert found[name] == told[name], name
    assert repr(attached) == f"<Control of {str(run.path)!r}>"


def _still(run: sp.Run) -> int:
    """Return how many frames are done, a moment ago."""
    done = run.metrics.counters.done
    threading.Event().wait(0.05)
    return done


def test_a_pause_costs_the_camera_nothing(run: sp.Run) -> None:
    wait_for(run, 20)
    attached = sp.attach(run.path)
    attached.pause()
    assert run.state == attached.status()["state"] == "paused"
    until(lambda: run.metrics.counters.done == _still(run))
    done = attached.status()["done"]
    admitted = attached.status()["admitted"]
    until(lambda: status(run.path)["admitted"] > admitted + 200)
    assert attached.status()["done"] == done
    attached.resume()
    assert attached.status()["state"] == "running"
    wait_for(run, done + 200)
    attached.drain()
    report = run.wait()
    assert report.frames.pending == report.frames.lost == 0
    indices = sp.load(run.path).frames.source_index
    assert indices.tolist() == list(range(report.frames.admitted))
    kinds = [kind for kind in sp.load(run.path).events.kind if kind != "note"]
    assert kinds == ["paused", "running"]


@pytest.mark.parametrize("end", ["drain", "stop"])
def test_ends_while_it_is_paused(run: sp.Run, end: str) -> None:
    attached = sp.attach(run.path)
    attached.pause()
    until(lambda: status(run.path)["admitted"] > 200)
    getattr(attached, end)()
    report = run.wait(60)
    assert (report.state, report.reason) == ("stopped", f"{end} was asked for")
    assert (report.frames.pending == 0) == (end == "drain")
    found = status(run.path)
    assert found["state"] == "stopped"


def test_a_drain_ends_the_pause(run: sp.Run) -> None:
    """It said paused while the last frames were analysed."""
    run.pause()
    until(lambda: status(run.path)["admitted"] > 100)
    run.drain()
    assert run.state != "paused"
    run.wait()


def test_set_between_two_frames(run: sp.Run) -> None:
    attached = sp.attach(run.path)
    wait_for(run, 5)
    frame = attached.set("smooth", "sigma", 2)
    assert frame >= 5
    rows = sp.load(run.path).parameters
    assert rows.iloc[-1].tolist() == [frame, "smooth", "sigma", "2"]
    with pytest.raises(sp.ConfigError, match=r"mask\.method is not adjustable; the p"):
        attached.set("mask", "method", "li")
    with pytest.raises(sp.ConfigError, match="sigma must be"):
        attached.set("smooth", "sigma", -1)
    with pytest.raises(sp.ConfigError, match="set: TypeError: Object of type object"):
        attached.set("smooth", "sigma", object())
    assert "needs a value" in request(run, "set", step="a", parameter="b")["error"]


def test_a_mark_is_at_the_frame_of_its_moment(run: sp.Run, command: Command) -> None:
    wait_for(run, 5)
    attached = sp.attach(run.path)
    first = attached.mark("  the light\nflickers ")
    assert first is not None
    assert first >= 4
    code, _, said = command("control", str(run.path), "mark", "lid open")
    assert (code, said) == (0, f"streamproc: noted at frame {said.split()[-1]}\n")
    last = run.mark("µ £ ☃")
    for nothing in ("", " \n", "x" * 1001, 3, None):
        with pytest.raises(sp.ConfigError, match="a mark needs a text of 1 to 1000"):
            attached.mark(nothing)  # type: ignore[arg-type]
    run.drain()
    run.wait()
    events = sp.load(run.path).events
    marks = events[events.kind == "mark"]
    assert marks.message.tolist() == ["the light flickers", "lid open", "µ £ ☃"]
    assert marks.frame.tolist() == [first, int(said.split()[-1]), last]
    with pytest.raises(sp.ConfigError, match="has ended; nothing can be noted"):
        run.mark("too late")
    with pytest.raises(sp.RunFolderError, match="is not on"):
        attached.mark("too late")
    code, _, said = command("control", str(run.path), "mark", "too late")
    assert code == 2
    assert said.count("\n") == 1


def test_nothing_is_adjustable_from_outside_unless_listed(tmp_path: Path) -> None:
    smooth = simulated(None, live=True).gaussian(sigma=1, name="smooth")
    run = sp.start({"m": smooth.threshold()}, tmp_path / "run")
    with pytest.raises(
        sp.ConfigError, match=r"smooth\.sigma is not adjustable; list it under 'adjust"
    ):
        sp.attach(run.path).set("smooth", "sigma", 2)
    assert run.set("smooth", "sigma", 2) >= 0  # whoever started it may
    run.stop()
    run.wait()


# --- runs that are not on ------------------------------------------------------------


def test_nobody_to_attach_to(tmp_path: Path) -> None:
    with pytest.raises(sp.RunFolderError, match=r"no run folder '.*nope'"):
        sp.attach(tmp_path / "nope")
    with pytest.raises(sp.RunFolderError, match="is no run folder"):
        sp.attach(tmp_path)
    sp.run([simulated(3)], tmp_path / "run")
    message = r"the run in .*run is not on, so nothing can control it; go on with it b"
    with pytest.raises(sp.RunFolderError, match=message):
        sp.attach(tmp_path / "run")


def test_what_a_killed_run_left_is_not_trusted(tmp_path: Path) -> None:
    """Its port may be somebody else's by now, who was sent the token."""
    sp.run([simulated(3)], tmp_path / "run")
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        left = {"address": address, "token": "secret", "pid": 1}
        (tmp_path / "run/run.json").write_text(json.dumps(left))
        with pytest.raises(sp.RunFolderError, match="is not on"):
            sp.attach(tmp_path / "run")
        stranger.settimeout(0)
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"address": "x", "token": "y"}'])
def test_an_address_that_is_none(run: sp.Run, text: str) -> None:
    path = run.path / "run.json"
    path.write_text(text)
    with pytest.raises(sp.RunFolderError, match=r"cannot read .*run\.json"):
        sp.attach(run.path)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400\r\n", b"[1]\n"])
def test_an_answer_that_is_none(run: sp.Run, reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        (run.path / "run.json").write_text(
            json.dumps({"address": address, "token": "t"})
        )
        with pytest.raises(sp.RunFolderError, match="is not on"):
            sp.attach(run.path)
        thread.join()


# --- another process -----------------------------------------------------------------


def shell(*arguments: str | Path) -> str:
    """Run one command in a process of its own; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    return f"{done.returncode} {done.stdout.strip().splitlines()[-1]}"


def test_from_the_shell_and_killed_in_a_pause(tmp_path: Path) -> None:
    simulation = {"frames": None, "shape": [64, 64], "fps": 200.0, "live": True}
    given = {
        "source": {"simulation": simulation},
        "graph": {"smooth": {"gaussian": {"sigma": 1}}, "mask": {"threshold": "otsu"}},
        "save": ["mask"],
        "adjustable": ["smooth.sigma"],
        "limits": {"disk_reserve": "100MB"},
    }
    path, run = tmp_path / "p.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(given, sort_keys=False))

    def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamproc", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: (run / "run.json").exists() or process.poll() is not None)
        return process

    first = start("run", path, "--to", run)
    until(lambda: status(run)["done"] > 0)
    said = shell("control", run, "set", "smooth.sigma=2.5")
    assert said.startswith("0 streamproc: smooth.sigma is 2.5 from frame ")
    assert "is not adjustable" in shell("control", run, "set", "mask.method=li")
    assert shell("control", run, "pause").endswith("pause is under way")
    assert status(run)["state"] == "paused"
    first.kill()
    first.wait()
    assert status(run)["state"] == "interrupted"
    assert shell("control", run, "resume").startswith("2 streamproc: error: the run in")
    (run / "run.json").unlink()
    second = start("resume", run)
    until(lambda: status(run)["pending"] == 0 and status(run)["state"] == "running")
    assert shell("control", run, "drain").endswith("drain is under way")
    assert second.wait(60) is not None
    assert status(run)["pending"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "pause"], "no run folder 'nope'"),
        (["run", "set"], "set needs what to set, such as smooth.sigma=2"),
        (["run", "pause", "a.b=1"], "set needs what to set"),
        (["run", "mark"], "mark needs a text"),
        (["run", "set", "smooth"], "got 'smooth'; write it as step.parameter=value"),
        (["run", "set", "smooth=3"], "write it as step.parameter=value"),
        (["run", "set", "smooth.sigma=[1"], "smooth.sigma: '[1' is not a YAML value"),
        (["run", "puase"], "'puase' is not one of"),
    ],
)
def test_refused_by_the_command(
    run: sp.Run, command: Command, arguments: list[str], message: str
) -> None:
    code, _, error = command("control", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_the_port_of_another_process_stays_announced(tmp_path: Path) -> None:
    # who had lost the folder took the address of its new owner away
    port = _Port(tmp_path)
    other = json.dumps({"address": "127.0.0.1:1", "token": "another"})
    (tmp_path / "run.json").write_text(other)
    port.close()
    assert (tmp_path / "run.json").read_text() == other
