"""Admitted frames that wait for the analysis: any number of them, in little memory."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamproc as sp
from streamproc.execution import handover
from streamproc.execution.handover import Handover
from streamproc.frame import FrameRef, Gap
from streamproc.store.log import Mark
from tests import cameras
from tests.arrays import simulated, wait_for

MOST = 8
NBYTES = 32 * 32 * 2


class Journal:
    """A log of any number of frames: a record takes one byte of the journal."""

    def __init__(self, before: int = 0, needed: int = 0) -> None:
        self.admitted = before
        self.first = Mark(needed, needed)
        self.reader = self
        self.read_at_once = 0

    def read(self, start: Mark, count: int) -> tuple[list[FrameRef], Mark]:
        assert start.frame == start.offset
        end = min(self.admitted, start.frame + count)
        assert end > start.frame or not count
        self.read_at_once = max(self.read_at_once, end - start.frame)
        refs = [_ref(number) for number in range(start.frame, end)]
        return refs, Mark(end, end)

    def admit(self, count: int) -> tuple[list[FrameRef], Mark]:
        """Return new frames, hot, and where their records begin."""
        mark = Mark(self.admitted, self.admitted)
        refs = [_ref(self.admitted + n) for n in range(count)]
        for ref in refs:
            ref.pixels = np.zeros((32, 32), np.uint16)
        self.admitted += count
        return refs, mark


def _ref(number: int) -> FrameRef:
    return FrameRef(number, number, None, None, address=_Cold(), admitted_at=1.0)


class _Cold:
    def read(self) -> sp.Frame:
        return sp.Frame(np.zeros((32, 32), np.uint16), 0)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_MOST", MOST)


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 10),
    st.lists(st.tuples(st.sampled_from(["put", "get", "gap"]), st.integers(1, 9))),
)
def test_order_and_memory(
    before: int, needed: int, hot: int, acts: Sequence[tuple[str, int]]
) -> None:
    journal = Journal(before, min(needed, before))
    queue = Handover(journal, hot * NBYTES)  # type: ignore[arg-type]  # what it needs
    got: list[int] = []
    gaps, taken, first = 0, 0, min(needed, before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover, "_MOST", MOST)
        for act, count in acts:
            if act == "put":
                refs, mark = journal.admit(count)
                queue.put(refs, [], mark)
            elif act == "gap":
                queue.put([], [Gap(0, 0, "lost")], Mark(journal.admitted, 0))
                gaps += 1
            else:
                for _ in range(count):
                    if len(got) + taken == journal.admitted - first + gaps:
                        break
                    item = queue.get()
                    if isinstance(item, Gap):
                        taken += 1
                    elif item is not None:
                        got.append(item.frame)
            waits = list(queue._items)
            assert len(waits) <= MOST
            warm = sum(ref.pixels is not None for ref in waits)
            assert warm <= hot
            assert queue._hot == warm * NBYTES
        queue.end()
        while (item := queue.get()) is not None:
            if isinstance(item, Gap):
                taken += 1
            else:
                got.append(item.frame)
    assert got == list(range(first, journal.admitted))
    assert taken == gaps
    assert journal.read_at_once <= MOST


def test_a_gap_alone_after_a_backlog(tmp_path: Path) -> None:
    """Nothing new was admitted with it: the journal is not read beyond its end."""
    journal = Journal(3)
    queue = Handover(journal, 0)  # type: ignore[arg-type]  # what it needs
    queue.put([], [Gap(3, 5, "lost")], Mark(3, 3))
    queue.end()
    assert isinstance(queue.get(), Gap)
    assert [getattr(queue.get(), "frame", None) for _ in range(4)] == [0, 1, 2, None]


def test_whoever_waits_is_woken(tmp_path: Path) -> None:
    journal = Journal()
    queue = Handover(journal, 10 * NBYTES)  # type: ignore[arg-type]  # what it needs
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(iter(queue.get, None)))
    thread.start()
    for _ in range(30):
        refs, mark = journal.admit(1)
        queue.put(refs, [], mark)
    queue.end()
    thread.join(60)
    assert [ref.frame for ref in got] == list(range(30))


def test_latency_counts_the_wait_in_the_journal() -> None:
    """A frame that was read back from the journal seemed to have just come."""
    journal = Journal(2)
    queue = Handover(journal, 0)  # type: ignore[arg-type]  # what it needs
    refs, mark = journal.admit(1)
    queue.put(refs, [], mark)
    found = [queue.get() for _ in range(3)]
    clocks = [item.clock for item in found if isinstance(item, FrameRef)]
    # those of an earlier session count from now, ours since its admission, in 1970
    assert clocks[:2] == [0.0, 0.0]
    assert clocks[2] < -1e9


# --- runs ----------------------------------------------------------------------------


def test_far_behind_and_nothing_lost(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    run = sp.start({"m": raw.threshold()}, tmp_path / "run")
    wait_for(run, 5)
    run.pause()
    nap = threading.Event()
    while sp.load(run.path).status()["admitted"] < 40 * MOST:
        nap.wait(0.002)
    waiting = run._engine._admission._handover  # type: ignore[attr-defined]  # looked at
    assert len(waiting._items) <= MOST
    run.resume()
    run.drain()
    report = run.wait()
    assert report.frames.pending == 0
    frames = sp.load(run.path).frames
    assert frames.source_index.tolist() == list(range(report.frames.admitted))
    assert set(frames.state) == {"done"}


def test_the_camera_of_a_resumed_run_begins_before_its_backlog_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    first = cameras.Lossy.frames

    def frames(self: cameras.Lossy, start: int = 0) -> Iterator[Any]:
        if start:
            begun.set()
        return first(self, start)

    cameras.install(tmp_path, monkeypatch)
    monkeypatch.setattr(cameras.Lossy, "frames", frames)
    raw = sp.open({"lossy": {"frames": 200}})
    run = sp.start({"m": raw.threshold()}, tmp_path / "run")
    run.pause()
    nap = threading.Event()
    while sp.load(run.path).status()["admitted"] < 50:
        nap.wait(0.002)
    run.stop()
    before = run.wait().frames
    assert before.pending > 0
    again = sp.resume(tmp_path / "run", wait=False)
    assert isinstance(again, sp.Run)
    again.pause()
    if before.admitted < 200:
        assert begun.wait(60)
    again.resume()
    report = again.wait()
    assert (report.frames.admitted, report.frames.pending) == (200, 0)
    assert report.frames.lost == 3
