"""Frames between the camera and the log: what a slow disk costs, to the frame."""

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamproc as sp
from streamproc.errors import StoreError
from streamproc.execution import live
from streamproc.execution.waiting import Waiting
from streamproc.frame import Gap
from streamproc.store.log import unrecorded
from streamproc.store.space import Space
from tests import cameras

DROPPING: list[Literal["drop_newest", "drop_oldest"]] = ["drop_newest", "drop_oldest"]


def frame(index: int) -> sp.Frame:
    return sp.Frame(np.zeros((1, 1), np.uint8), index, float(index))


Item = sp.Frame | sp.Unreadable | Gap


@given(
    st.sampled_from(DROPPING),
    st.integers(1, 5),
    st.lists(st.sampled_from(["frame", "unreadable", "gap"]) | st.integers(1, 4)),
)
def test_what_is_taken_and_what_is_lost_is_what_came(
    policy: Literal["drop_newest", "drop_oldest"], most: int, acts: list[str | int]
) -> None:
    waiting = Waiting(most, policy)
    came, taken = 0, list[Item]()
    for act in acts:
        if isinstance(act, int):
            if came > sum(map(length, taken)):
                taken += waiting.take(act)
            continue
        if act == "frame":
            waiting.put(frame(came))
        elif act == "unreadable":
            waiting.put(sp.Unreadable(came, "torn"))
        else:
            waiting.put(Gap(came, came + 1, "overflow"))
        came += 2 if act == "gap" else 1
    waiting.end()
    while more := waiting.take(3):
        taken += more
    # each index once, in order
    assert [i for item in taken for i in indices(item)] == list(range(came))
    ours = [i for i in taken if isinstance(i, Gap) and i.place == "log"]
    assert sum(gap.count for gap in ours) == waiting.dropped
    assert all(policy in gap.reason for gap in ours)
    unreadable = [act for act in acts if act == "unreadable"]
    assert len([i for i in taken if isinstance(i, sp.Unreadable)]) == len(unreadable)


def indices(item: Item) -> range:
    if isinstance(item, Gap):
        return range(item.first_source_index, item.last_source_index + 1)
    return range(item.source_index, item.source_index + 1)


def length(item: Item) -> int:
    return len(indices(item))


@pytest.mark.parametrize(
    ("policy", "kept", "gaps"),
    [
        ("drop_newest", [0, 1, 2], [(3, 9)]),
        ("drop_oldest", [7, 8, 9], [(0, 6)]),
    ],
)
def test_a_row_of_losses_is_one_gap(
    policy: Any, kept: list[int], gaps: list[tuple[int, int]]
) -> None:
    waiting = Waiting(3, policy)
    for index in range(10):
        waiting.put(frame(index))
    waiting.end()
    found = waiting.take(99)
    lost = [i for i in found if isinstance(i, Gap)]
    assert [i.source_index for i in found if isinstance(i, sp.Frame)] == kept
    assert [(g.first_source_index, g.last_source_index) for g in lost] == gaps
    assert waiting.dropped == 7


def test_fail_says_what_to_do() -> None:
    waiting = Waiting(2, "fail")
    for index in range(2):
        waiting.put(frame(index))
    with pytest.raises(StoreError, match=r"the disk is slower than the camera: 2 fr"):
        waiting.put(frame(2))
    assert len(waiting.take(9)) == 2


@pytest.mark.parametrize("way", ["take", "hasten", "clear"])
def test_block_waits_for_room(way: str) -> None:
    waiting = Waiting(2, "block")
    for index in range(2):
        waiting.put(frame(index))
    put = threading.Thread(target=waiting.put, args=(frame(2),))
    put.start()
    {"take": lambda: waiting.take(1), "hasten": waiting.hasten, "clear": waiting.clear}[
        way
    ]()
    put.join(60)
    assert not put.is_alive()
    waiting.end()
    assert len(waiting.take(9)) == {"take": 2, "hasten": 3, "clear": 0}[way]


# --- runs with a disk that stands still ----------------------------------------------


class Disk:
    """Lets the log write only so many groups, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.stands = threading.Event()
        check = Space.check
        disk = self

        def slow(space: Space, nbytes: int) -> None:
            if threading.current_thread().name == "log":
                disk.stands.set()
                disk.go.wait()
            check(space, nbytes)

        monkeypatch.setattr(Space, "check", slow)


class Counted(cameras.Lossy):
    """Says when it has given all; its counter has no gap of its own."""

    def __init__(self, frames: int, disk: Disk) -> None:
        super().__init__(frames)
        self.given = 0
        self._disk = disk

    def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | Gap]:
        for count, pixels in enumerate(self._stack[start:], start):
            if self._ended.is_set():
                break
            self.given += 1
            yield sp.Frame(pixels.copy(), count, float(count))
            if count == start:
                self._disk.stands.wait()  # the first one is in work, alone
        self._disk.go.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    # room for four frames
    monkeypatch.setattr(live, "_WAITING_BYTES", 4 * 32 * 32 * 2)
    disk = Disk(monkeypatch)
    yield disk
    disk.go.set()


@pytest.mark.parametrize(
    ("policy", "admitted", "gaps"),
    [
        ("drop_newest", [0, 1, 2, 3, 4], [(5, 29)]),
        ("drop_oldest", [0, 26, 27, 28, 29], [(1, 25)]),
    ],
)
def test_every_loss_has_a_row(
    tmp_path: Path, disk: Disk, policy: str, admitted: list[int], gaps: list[Any]
) -> None:
    camera = Counted(30, disk)
    mask = sp.open(camera).threshold()
    report = sp.run({"m": mask}, tmp_path / "run", on_full_log=policy)
    result = sp.load(tmp_path / "run")
    assert result.frames.source_index.tolist() == admitted
    assert report.frames.admitted + report.frames.lost == camera.given == 30
    found = result.gaps[["first_source_index", "last_source_index", "place"]]
    assert found.values.tolist() == [[*gap, "log"] for gap in gaps]
    assert policy in result.gaps.reason[0]


@pytest.mark.parametrize("policy", DROPPING)
def test_frames_counts_those_admitted(tmp_path: Path, disk: Disk, policy: str) -> None:
    class Endless(Counted):
        def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | Gap]:
            yield from super().frames(start)
            for count in itertools.count(len(self._stack)):
                if self._ended.wait(0.002):
                    return
                yield sp.Frame(self._stack[0].copy(), count, float(count))

    mask = sp.open(Endless(20, disk)).threshold()
    options: dict[str, Any] = {"on_full_log": policy, "frames": 12}
    report = sp.run({"m": mask}, tmp_path / "run", **options)
    assert (report.state, report.frames.admitted, report.frames.done) == (
        "finished",
        12,
        12,
    )
    assert report.frames.lost > 0
    indices = sp.load(tmp_path / "run").frames.source_index
    assert indices.is_monotonic_increasing
    assert indices.max() + 1 == 12 + report.frames.lost


def test_fail_ends_the_run_resumably(tmp_path: Path, disk: Disk) -> None:
    mask = sp.open(Counted(30, disk)).threshold()
    run = sp.start({"m": mask}, tmp_path / "run", on_full_log="fail")
    disk.stands.wait()
    nap = threading.Event()
    while mask.graph.source.given < 6:  # type: ignore[attr-defined]  # our own camera
        nap.wait(0.002)
    disk.go.set()
    with pytest.raises(StoreError, match="the disk is slower than the camera: 4 fra"):
        run.wait()
    status = sp.load(tmp_path / "run").status()
    assert status["state"] == "stopped"
    assert status["reason"].startswith("the disk is slower than the camera")
    assert status["done"] == status["admitted"] == 5
    assert status["pending"] == 0


def test_block_loses_nothing(tmp_path: Path, disk: Disk) -> None:
    camera = Counted(30, disk)
    run = sp.start({"m": sp.open(camera).threshold()}, tmp_path / "run")
    disk.stands.wait()
    nap = threading.Event()
    while camera.given < 6:  # one in work, four that wait, one that cannot
        nap.wait(0.002)
    assert camera.given == 6
    disk.go.set()
    report = run.wait()
    assert (report.frames.done, report.frames.lost) == (30, 0)


# --- killed before the loss was recorded ---------------------------------------------


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ([], [(3, 9)]),
        ([(3, 9)], []),
        ([(3, 4)], [(5, 9)]),
        ([(8, 9)], [(3, 7)]),
        ([(5, 6)], [(3, 4), (7, 9)]),
        ([(0, 3), (9, 12)], [(4, 8)]),
        ([(20, 30)], [(3, 9)]),
    ],
)
def test_what_no_row_accounts_for(known: list[Any], found: list[Any]) -> None:
    gaps = [Gap(first, last, "known") for first, last in known]
    lost = unrecorded([(3, 9)], gaps)
    assert [(g.first_source_index, g.last_source_index) for g in lost] == found
    assert all("the run was killed" in g.reason for g in lost)


def test_a_loss_that_was_not_recorded_is_found_at_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the journal and the ledger."""
    cameras.install(tmp_path, monkeypatch)
    raw = sp.open({"lossy": {}})
    run = tmp_path / "run"
    sp.run({"m": raw.threshold()}, run)
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        db.execute("DELETE FROM gaps")
        db.execute("DELETE FROM frames WHERE frame >= 15")
        db.execute("DELETE FROM chunks WHERE frame >= 15")
    report = sp.resume(run)
    assert isinstance(report, sp.Report)
    assert (report.frames.admitted, report.frames.lost) == (60, 3)
    gaps = sp.load(run).gaps
    assert gaps[["first_source_index", "last_source_index"]].values.tolist() == [
        [20, 22]
    ]
    assert "lost before it was recorded why" in gaps.reason[0]
    again = sp.resume(run)
    assert isinstance(again, sp.Report)
    assert again.frames.lost == 3
