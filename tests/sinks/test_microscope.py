"""What is seen decides what is acquired next, on Micro-Manager's demo devices."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import streamproc as sp
from streamproc import feedback
from streamproc.observers import Committed
from streamproc.testing import ObserverContract
from tests.deciding import LAST

pytest.importorskip("pymmcore", reason="pymmcore-plus is not installed")
pytest.importorskip("mm_test_adapters", reason="no demo devices")

from streamproc.sinks.microscope import Microscope, decisions

SMALL = [0, 0, 64, 64]


@pytest.fixture
def mailbox() -> Iterator[feedback.Mailbox]:
    """Where decisions go, as a source would open it."""
    box = feedback.announce("test")
    yield box
    feedback.withdraw(box)


@pytest.mark.usefixtures("mailbox")
class TestContract(ObserverContract):
    """The engine can rely on it."""

    def make(self) -> Microscope:
        """Return one that decides by the number of rows."""
        return Microscope("tests.deciding:every_other", tables=("cells",))

    def read(self, path: Path) -> object:
        """Return what it decided."""
        with closing(sqlite3.connect(path / "decisions.sqlite")) as db:
            return db.execute(
                "SELECT frame, source_index, state, events, reason FROM decisions"
            ).fetchall()


def acquire(path: Path, function: str, **parameters: Any) -> sp.Report:
    """Run an acquisition that begins with one image, and answers."""
    raw = sp.open(
        {
            "micromanager": {
                "exposure_ms": 2,
                "roi": SMALL,
                "sequence": {"channels": ["DAPI"]},
                "feedback": True,
                "buffer_mb": 4,
            }
        }
    )
    cells = raw.threshold("otsu").label().measure(raw)
    sink = {"function": f"tests.deciding:{function}", **parameters}
    return sp.run({"cells": cells}, path, sinks=[{"microscope": sink}])


def test_each_image_decides_on_the_next(tmp_path: Path) -> None:
    report = acquire(tmp_path / "run", "follow")
    assert (report.frames.done, report.frames.lost) == (LAST + 1, 0)
    result = sp.load(tmp_path / "run")
    told = [json.loads(text) for text in result.frames["metadata"]]
    rows = result.tables["cells"]["frame"].value_counts()
    for frame in range(1, LAST + 1):
        event = told[frame]["event"]
        assert event["answers"] == frame - 1
        assert event["objects"] == rows[frame - 1]
        assert event["before"] == told[frame - 1]["x_um"]
        # the stage is where it was asked to be, and exposures are the source's
        assert told[frame]["x_um"] == pytest.approx(10.0 * (frame - 1), abs=0.1)
        assert told[frame]["exposure_ms"] == 2.0
    made = decisions(tmp_path / "run")
    assert list(made["frame"]) == list(range(LAST + 1))
    assert list(made["state"]) == LAST * ["sent"] + ["none"]
    assert (made["latency_ms"] > 0).all()
    assert made["acquired"].to_list() == result.frames["time"].to_list()


def test_a_sequence_is_an_answer(tmp_path: Path) -> None:
    acquire(tmp_path / "run", "stack")
    frames = sp.load(tmp_path / "run").frames
    told = [json.loads(text) for text in frames["metadata"]]
    assert [m.get("channel") for m in told] == ["DAPI", "FITC", "FITC", "FITC"]
    assert [m["z_um"] for m in told[1:]] == pytest.approx([1, 3, 5], abs=0.1)
    assert list(decisions(tmp_path / "run")["events"]) == [3, 0, 0, 0]


def test_an_image_that_is_not_as_asked_is_no_good(tmp_path: Path) -> None:
    report = acquire(tmp_path / "run", "elsewhere")
    assert (report.frames.done, report.frames.failed) == (2, 1)
    frames = sp.load(tmp_path / "run").frames
    assert "Failed to set channel" in frames["error"][1]
    assert json.loads(frames["metadata"][2])["channel"] == "DAPI"
    assert decisions(tmp_path / "run")["reason"][1] == "the frame is failed"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("refuse", "decision on frame 0: ValueError: nothing to see"),
        ("misunderstand", "decision on frame 0: TypeError: it returned a str"),
    ],
)
def test_a_decision_that_fails_is_told(
    tmp_path: Path, function: str, message: str
) -> None:
    report = acquire(tmp_path / "run", function)
    assert report.frames.done == 1
    events = sp.load(tmp_path / "run").events
    (said,) = events[events["kind"] == "failed"]["message"]
    assert said.startswith(message)
    assert decisions(tmp_path / "run")["state"][0] == "failed"


def test_a_decision_that_is_late_is_dropped(tmp_path: Path) -> None:
    report = acquire(tmp_path / "run", "follow", deadline_ms=0.001)
    assert report.frames.done == 1
    events = sp.load(tmp_path / "run").events
    (said,) = events[events["kind"] == "late"]["message"]
    assert said.startswith("decision on frame 0: it took ")
    assert said.endswith("deadline_ms is 0.001")
    made = decisions(tmp_path / "run")
    assert (made["state"][0], made["events"][0]) == ("late", 1)


def test_without_a_source_that_takes_events(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 5, "shape": [32, 32], "live": False}})
    cells = raw.threshold("otsu").label().measure(raw)
    sink = {"function": "tests.deciding:follow"}
    report = sp.run({"cells": cells}, tmp_path / "run", sinks=[{"microscope": sink}])
    assert report.frames.done == 5
    assert "no source of this process takes events" in " ".join(report.notes)


def test_without_a_sink_it_ends_when_told(tmp_path: Path) -> None:
    given = {"exposure_ms": 2, "roi": SMALL, "feedback": True, "stall_timeout": 0.05}
    raw = sp.open({"micromanager": {**given, "sequence": {"channels": ["DAPI"]}}})
    report = sp.run({"mask": raw.threshold("otsu")}, tmp_path / "run")
    assert report.frames.done == 1
    events = sp.load(tmp_path / "run").events
    assert "no decision for 0.05 s" in str(events["message"].to_list())


def test_decisions_go_on_where_they_were(
    tmp_path: Path, mailbox: feedback.Mailbox
) -> None:
    frames = [Committed(n, 100.0 + n, "done", source_index=n) for n in range(6)]
    first = Microscope("tests.deciding:follow")
    first.open(tmp_path, None)
    first.take(frames[:3])
    # killed: decisions are not made again, what was sent is sent again
    feedback.withdraw(mailbox)
    mailbox = feedback.announce("test")
    second = Microscope("tests.deciding:follow")
    second.open(tmp_path, None)
    assert second.position() == 3
    asked: list[int] = []
    while (event := mailbox.take(0, 2)) is not None:
        asked.append(event.metadata["answers"])
    assert asked == [0, 1, 2]
    second.take(frames[2:])
    while (event := mailbox.take(0, 5)) is not None:
        asked.append(event.metadata["answers"])
    assert asked == [0, 1, 2, 3, 4, 5]
    first.close()
    second.close()
    feedback.withdraw(mailbox)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"function": "no_such_module:f"}, "cannot import 'no_such_module:f'"),
        ({"function": "follow"}, "write it as 'module:name'"),
    ],
)
def test_functions_that_are_not_there(given: dict[str, str], match: str) -> None:
    with pytest.raises(sp.ConfigError, match=match):
        Microscope(**given)


def test_runs_without_decisions(tmp_path: Path) -> None:
    with pytest.raises(sp.RunFolderError, match="had no sink microscope"):
        decisions(tmp_path)


def test_the_mailbox_of_a_source_is_its_own(mailbox: feedback.Mailbox) -> None:
    assert feedback.find() is feedback.find("test") is mailbox
    with pytest.raises(sp.ConfigError, match="'test' that takes events is open"):
        feedback.announce("test")
    with pytest.raises(sp.ConfigError, match=r"no source 'tset' .* mean 'test'"):
        feedback.find("tset")
    other = feedback.announce("other")
    with pytest.raises(sp.ConfigError, match="2 sources take events: other, test"):
        feedback.find()
    feedback.withdraw(other)
    feedback.withdraw(other)
    assert feedback.find() is mailbox


def test_nothing_is_waited_for_when_all_is_decided(mailbox: feedback.Mailbox) -> None:
    assert not mailbox.is_done(0)
    mailbox.post(0, ["a", "b"])
    assert not mailbox.is_done(0)
    assert [mailbox.take(60, 0) for _ in range(3)] == ["a", "b", None]
    assert mailbox.is_done(0)
    assert not mailbox.is_done(1)
    mailbox.leave()
    assert mailbox.take(60, 1) is None
    assert mailbox.is_done(1)
