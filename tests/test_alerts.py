"""Alerts: what raises and clears them, whom they reach, and what they must not do."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import yaml

import streamproc as sp
from streamproc.alerts import Facts, Rules
from streamproc.config import AlertConfig, parse
from streamproc.courier import Courier, webhook
from streamproc.execution.engine import Entry
from streamproc.folder import RunFolder, connect_readonly
from streamproc.runs import start_pipeline
from streamproc.stage import SavedRows
from tests.arrays import noise, segmented, simulated
from tests.cameras import Lossy
from tests.same_run import assert_same_run

Command = Callable[..., tuple[int, str, str]]
CALM: Mapping[str, Any] = {
    "admitted": 0,
    "lost": 0,
    "failed": 0,
    "pending": 0,
    "behind": 0.0,
    "free": 10**12,
    "is_taking": True,
}


def course(given: Mapping[str, Any], *looks: Mapping[str, Any]) -> list[str]:
    """Return what is raised (+) and cleared (-) when a run is looked at so."""
    rules = Rules(AlertConfig.model_validate(given), "cells")
    found: list[str] = []
    known = dict(CALM)
    for look in looks:
        known |= look
        alerts = rules.look(Facts(**known))
        found += [f"{look['now']} {'-+'[a.is_raised]} {a}" for a in alerts]
    return found


# --- the rules -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "calm", "bad", "said"),
    [
        (
            {"loss_rate": 0.1},
            {"admitted": 95, "lost": 5},
            {"admitted": 150, "lost": 50},
            "loss_rate: 25.0% of the frames of the last minute are lost (50)",
        ),
        (
            {"failed": 3},
            {"failed": 2},
            {"failed": 3},
            "failed: 3 frames failed in the last minute",
        ),
        (
            {"lag_frames": 1000},
            {"pending": 1000},
            {"pending": 1001},
            "lag_frames: 1,001 frames wait for their results",
        ),
        (
            {"lag_seconds": 30},
            {"behind": 29.0},
            {"behind": 31.0},
            "lag_seconds: results come 31.0 s late",
        ),
        (
            {"disk_hours": 2},
            {"now": 100, "free": 990 * 10**9},
            {"now": 200, "free": 880 * 10**9},
            "disk_hours: the disk is full in 0.4 h (880.0 GB left)",
        ),
        (
            {"stalled": 10},
            {"now": 10},
            {"now": 11},
            "stalled: no frame for 11 s",
        ),
    ],
)
def test_a_rule_is_broken_beyond_its_bound(
    rule: Mapping[str, Any],
    calm: Mapping[str, Any],
    bad: Mapping[str, Any],
    said: str,
) -> None:
    first, second = {"now": 1, **calm}, {"now": 2, **bad}
    assert course(rule, {"now": 0}, first) == []
    now = second["now"]
    assert course(rule, {"now": 0}, first, second) == [f"{now} + {said}"]


def test_one_that_flickers_is_raised_once_and_cleared_once() -> None:
    bad, good = {"pending": 11}, {"pending": 0}
    looks = [{"now": n, **(good if n % 7 else bad)} for n in range(100)]
    looks += [{"now": n, **good} for n in range(100, 200)]
    found = course({"lag_frames": 10, "clear_after": 20}, *looks)
    assert found == [
        "0 + lag_frames: 11 frames wait for their results",
        "118 - lag_frames: cleared, it lasted 98 s",
    ]


def test_what_was_lost_long_ago_is_no_rate() -> None:
    given = {"loss_rate": 0.1, "failed": 5, "clear_after": 0}
    spoiled = {"lost": 50, "failed": 50, "admitted": 50}
    looks = [{"now": n, "admitted": 100 + 10 * n} for n in range(2, 70)]
    found = course(given, {"now": 0}, {"now": 1, **spoiled}, *looks)
    assert [line[:14] for line in found] == [
        "1 + loss_rate:",
        "1 + failed: 50",
        "35 - loss_rate",  # by then a tenth of the minute's frames
        "61 - failed: c",
    ]


def test_a_camera_that_is_to_give_no_more_does_not_stall() -> None:
    given = {"stalled": 10, "clear_after": 0}
    over = {"now": 20, "is_taking": False}
    assert course(given, {"now": 0}, over, {"now": 100}) == []
    looks = [{"now": 0}, {"now": 12}, {"now": 13, "admitted": 1}, {"now": 20}]
    assert [line[:12] for line in course(given, *looks)] == [
        "12 + stalled",
        "13 - stalled",
    ]


def committed(objects: int | None, **columns: Sequence[float | None]) -> Entry:
    """Return a frame as the committer has it."""
    names = {"label": "INTEGER", **dict.fromkeys(columns, "REAL")}
    values = list(zip(*columns.values(), strict=True))
    rows = [(0, label, *row) for label, row in enumerate(values, 1)]
    saved = SavedRows(names, rows, objects=objects or 0)
    tables = {} if objects is None else {"cells": saved}
    entry = SimpleNamespace(error=None, is_idle=False, rows=tables)
    return cast("Entry", entry)


def test_frames_without_an_object_are_counted_in_a_row() -> None:
    rules = Rules(AlertConfig(no_objects=3, clear_after=0), "cells")

    def after(*objects: int | None) -> list[str]:
        rules.count([committed(n) for n in objects])
        return list(map(str, rules.look(Facts(now=1, **CALM))))

    assert after(0, 0, 4, 0, 0) == []
    failed = cast("Entry", SimpleNamespace(error="torn", is_idle=False, rows={}))
    rules.count([failed])  # it has no objects, and says nothing of them
    assert after(None) == []
    assert after(0) == ["no_objects: none in the last 3 frames"]
    assert after(0) == []
    assert after(1) == ["no_objects: cleared, it lasted 0 s"]


def test_a_value_that_falls_below_its_best() -> None:
    config = AlertConfig(drop={"cells.focus": 0.5}, clear_after=0)
    rules = Rules(config, "cells")

    def after(*values: Sequence[float | None]) -> list[str]:
        rules.count([committed(len(v), focus=v) for v in values])
        return list(map(str, rules.look(Facts(now=1, **CALM))))

    assert after(*[[8.0, 12.0]] * 20, [None], []) == []
    assert after([1.0]) == []  # one frame is none
    assert after(*[[9.0]] * 10) == []
    assert after(*[[4.0]] * 10) == [
        "drop of cells.focus: 4 is 60% below the best, 10",
    ]
    assert after(*[[4.0]] * 500) == []  # it gets used to nothing
    assert after(*[[6.0]] * 10) == ["drop of cells.focus: cleared, it lasted 0 s"]
    rules.count([committed(1, area=[3.0])])
    (said,) = rules.look(Facts(now=1, **CALM))
    assert said.text == "table 'cells' has no column 'focus'"


# --- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alerts", "error"),
    [
        ({"no_object": 3}, "alerts.no_object: unknown key; did you mean 'no_objects'?"),
        ({"no_objects": 0}, "alerts.no_objects must be >= 1, got 0"),
        ({"loss_rate": 1}, "alerts.loss_rate must be < 1.0, got 1"),
        ({"drop": {"focus": 0.3}}, "alerts.drop: needs columns such as cells.area"),
        (
            {"drop": {"cell.area": 0.3}},
            "no table 'cell' is saved; did you mean 'cells'",
        ),
        ({"drop": {"cells.aera": 0.3}}, "no column 'aera'; did you mean 'area'?"),
        ({"webhook": "ftp://example.org"}, "alerts.webhook must"),
        ({"command": []}, "alerts.command must"),
        ({"command": ["no such program"]}, "no program 'no such program' on the path"),
        ({"command": "mail"}, "alerts.command must"),
        ("no_objects", "alerts must be a mapping"),
    ],
)
def test_bad_rules_are_refused_before_the_first_frame(
    alerts: Any, error: str, tmp_path: Path
) -> None:
    raw = simulated(2)
    with pytest.raises(sp.ConfigError) as refused:
        sp.run({"cells": segmented(raw)[1]}, tmp_path / "run", alerts=alerts)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_objects_that_nobody_counts_cannot_be_missed(tmp_path: Path) -> None:
    labels, _ = segmented(simulated(2))
    with pytest.raises(sp.ConfigError, match="no_objects counts the rows of a saved"):
        sp.run({"labels": labels}, tmp_path / "run", alerts={"no_objects": 3})


# --- whom they reach -----------------------------------------------------------------


class Hook(ThreadingHTTPServer):
    """A webhook that answers with ``codes`` in turn, then with 200; or not at all."""

    daemon_threads = True

    def __init__(self, codes: list[int], *, hangs: bool = False) -> None:
        self.got: list[dict[str, Any]] = []
        self.codes = codes
        self.changed = threading.Condition()
        self.free = threading.Event()
        self.hangs = hangs
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def address(self) -> str:
        """Where it listens; the path is a secret."""
        return f"http://127.0.0.1:{self.server_port}/secret"

    def wait(self, number: int) -> list[dict[str, Any]]:
        """Wait for messages."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= number, 60)
            return list(self.got)


class Answer(BaseHTTPRequestHandler):
    """Notes what is posted."""

    server: Hook

    def do_POST(self) -> None:
        """Take a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        with self.server.changed:
            self.server.got.append(json.loads(body))
            self.server.changed.notify_all()
            code = self.server.codes.pop(0) if self.server.codes else 200
        if self.server.hangs:
            self.server.free.wait(60)
            return
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Callable[..., Hook]]:
    """Serve webhooks until the test ends."""
    begun: list[tuple[Hook, threading.Thread]] = []

    def serve(codes: list[int] | None = None, *, hangs: bool = False) -> Hook:
        made = Hook(codes or [], hangs=hangs)
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        begun.append((made, thread))
        return made

    yield serve
    for made, thread in begun:
        made.free.set()
        made.shutdown()
        thread.join()
        made.server_close()


def events(run: Path, *kinds: str) -> list[tuple[str, str, str]]:
    """Return level, kind and message of the rows of ``events`` of some kinds."""
    with closing(connect_readonly(RunFolder(run).ledger)) as db:
        rows = db.execute("SELECT level, kind, message FROM events ORDER BY rowid")
        return [row for row in rows if row[1] in kinds]


def dark(frames: int | None = 30, *, live: bool = False) -> dict[str, sp.Handle]:
    """Return what finds no object in any frame."""
    raw = simulated(frames, live=live)
    mask = raw.threshold("fixed", value=1e9)
    return {"cells": mask.label().measure(raw)}


#: Writes its input, and its argument, to the file that it is given.
WRITER = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + sys.stdin.read())"


def test_a_webhook_and_a_command_are_told(
    tmp_path: Path, hook: Callable[..., Hook]
) -> None:
    server, file = hook(), tmp_path / "said"
    command = [sys.executable, "-c", WRITER, str(file), "hello\n"]
    alerts = {"no_objects": 30, "webhook": server.address, "command": command}
    run = sp.run(dark(), tmp_path / "run", alerts=alerts).path
    (message,) = server.wait(1)
    assert message["text"] == "run: no_objects: none in the last 30 frames"
    assert (message["alert"], message["state"]) == ("no_objects", "raised")
    assert message["run"] == "run"
    said = file.read_text().splitlines()
    assert said[:2] == ["hello", "run: no_objects: none in the last 30 frames"]
    assert "state: raised" in said
    assert events(run, "alert", "unsent") == [
        ("warning", "alert", "no_objects: none in the last 30 frames"),
        ("info", "alert", "no_objects: cleared, the run has ended"),
    ]


def test_a_message_is_sent_again_until_it_arrives(hook: Callable[..., Hook]) -> None:
    server, failed = hook([500, 200]), list[str]()
    courier = Courier(*webhook(server.address), failed.append)
    courier.put({"text": "one"})
    courier.put({"text": "two"})
    assert [m["text"] for m in server.wait(3)] == ["one", "one", "two"]
    courier.close(60)
    assert failed == []


def test_what_cannot_be_sent_is_an_event_without_the_secret(
    tmp_path: Path, hook: Callable[..., Hook]
) -> None:
    server = hook([500] * 10)
    command = [sys.executable, "-c", "import sys; sys.exit('no mail today')"]
    alerts = {"no_objects": 3, "webhook": server.address, "command": command}
    run = sp.run(dark(), tmp_path / "run", alerts=alerts).path
    told = sorted(message for _, _, message in events(run, "unsent"))
    said = "'run: no_objects: none in the last 30 frames'"
    assert told == [
        f"command {sys.executable!r} has not got {said}: "
        "OSError: exit code 1 no mail today",
        f"webhook at 127.0.0.1 has not got {said}: "
        "HTTPError: HTTP Error 500: Internal Server Error",
    ]


def test_a_webhook_that_hangs_holds_up_nothing(
    tmp_path: Path, hook: Callable[..., Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamproc.alerts._PATIENCE", 0.0)
    server = hook(hangs=True)
    alerts = {"no_objects": 3, "webhook": server.address}
    run = sp.start(dark(None, live=True), tmp_path / "run", alerts=alerts)
    server.wait(1)  # it has the message, and does not answer
    before = run.metrics.counters.done
    changed = threading.Event()
    while run.metrics.counters.done < before + 50:
        assert run.is_alive
        changed.wait(0.002)
    run.drain()
    report = run.wait()
    assert not server.free.is_set()
    assert report.frames.pending == 0
    ((level, _, text),) = events(run.path, "unsent")
    assert level == "error"
    assert text.endswith("frames': the run has ended")


def test_a_run_that_an_error_stops_says_so(
    tmp_path: Path, hook: Callable[..., Hook]
) -> None:
    server = hook()
    raw = sp.open(Lossy())
    saved = {"cells": segmented(raw)[1]}
    alerts = {"failed": 5, "webhook": server.address}
    with pytest.raises(sp.FrameError):
        sp.run(saved, tmp_path / "run", on_error="stop", alerts=alerts)
    (message,) = server.wait(1)
    assert message["alert"] == "stopped"
    assert "frame 5: picture 5 is torn" in message["text"]


def test_losses_and_failures_of_a_camera(tmp_path: Path) -> None:
    raw = sp.open(Lossy())
    alerts = {"loss_rate": 0.01, "failed": 2}
    run = sp.run({"cells": segmented(raw)[1]}, tmp_path / "run", alerts=alerts).path
    raised = [text for level, _, text in events(run, "alert") if level == "warning"]
    assert raised == [
        "loss_rate: 4.8% of the frames of the last minute are lost (3)",
        "failed: 2 frames failed in the last minute",
    ]


class Faltering:
    """A camera that gives three frames, waits until it may go on, and gives more."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.ended = threading.Event()
        self.info = sp.SourceInfo(
            shape=(32, 32),
            dtype=np.dtype("uint16"),
            axes="yx",
            identity="faltering",
            live=True,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame]:
        """Yield frames from a count on."""
        for count, pixels in enumerate(noise(6)):
            if count == 3:
                self.may_go_on.wait(60)
            if count == 5:
                self.ended.wait(60)
            yield sp.Frame(pixels, count, float(count))

    def read(self, index: int) -> sp.Frame:
        """Refuse: it is live."""
        raise sp.FrameError(f"frame {index} is gone")

    def stop(self) -> None:
        """End soon."""
        self.ended.set()

    def close(self) -> None:
        """Release nothing."""


def test_a_camera_that_stalls_and_goes_on(
    tmp_path: Path, hook: Callable[..., Hook]
) -> None:
    server, camera = hook(), Faltering()
    saved = {"cells": segmented(sp.open(camera))[1]}
    alerts = {"stalled": 0.9, "clear_after": 0, "webhook": server.address}
    run = sp.start(saved, tmp_path / "run", alerts=alerts)
    assert server.wait(1)[0]["alert"] == "stalled"
    camera.may_go_on.set()
    assert server.wait(2)[1]["state"] == "cleared"
    camera.ended.set()
    run.wait()


# --- what they must not do -----------------------------------------------------------


def test_they_change_no_result_and_a_resume_may_have_others(tmp_path: Path) -> None:
    plain = sp.run(dark(live=True), tmp_path / "plain").path
    run = sp.start(dark(live=True), tmp_path / "run", alerts={"no_objects": 1})
    run.stop()
    run.wait()
    report = sp.resume(run.path, alerts={"no_objects": 20})
    assert isinstance(report, sp.Report)
    assert report.frames.pending == 0
    assert_same_run(plain, run.path)
    raised = [text for level, _, text in events(run.path, "alert") if level != "info"]
    assert all("no_objects: none in the last" in text for text in raised)


def test_what_a_killed_session_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    run = sp.start(dark(live=True), tmp_path / "run", alerts={"failed": 1})
    run.stop()
    run.wait()
    with closing(connect_readonly(RunFolder(run.path).ledger)) as db:
        db.execute("PRAGMA query_only=OFF")
        row = "(0, 0, 'warning', 'alert', 'lag_frames: 900 frames wait')"
        db.execute(f"INSERT INTO events VALUES {row}")
        db.commit()
    sp.resume(run.path)
    assert events(run.path, "alert")[1:] == [
        ("info", "alert", "lag_frames: cleared, the run was resumed")
    ]


def test_a_file_with_other_rules_goes_on_with_its_run(
    command: Command, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "source": {"simulation": {"frames": 300, "shape": [64, 64], "live": False}},
        "graph": {
            "mask": {"threshold": {"method": "fixed", "value": 1e9}},
            "spots": {"label": {}},
            "cells": {"measure": {"intensity": "source"}, "of": "spots"},
        },
        "save": ["cells"],
        "alerts": {"failed": 1},
    }
    run = start_pipeline(parse(given), tmp_path / "RUN")
    run.stop()
    run.wait()
    assert events(run.path, "alert") == []
    given["alerts"] = {"no_objects": 1}
    file = tmp_path / "dark.yaml"
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    assert command("check", str(file))[0] == 0
    code, _, said = command("run", str(file), "--to", "RUN", "--resume")
    assert code == 0, said
    (raised, cleared) = events(run.path, "alert")
    assert raised[2].startswith("no_objects: none in the last")
    assert cleared[2] == "no_objects: cleared, the run has ended"
    assert command("replay", "RUN", "--verify")[0] == 0
