"""A run's flow: order, groups, errors, ends, bounds; on real runs."""

import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import streamproc as sp
from streamproc.config import parse_options
from streamproc.folder import RunFolder
from streamproc.frame import Kind
from streamproc.graph import Step
from streamproc.job import Job
from streamproc.storage import Storage
from tests.arrays import (
    Array,
    Arrays,
    errors,
    noise,
    segmented,
    simulated,
    wait_for,
    whole,
)


def sql(run: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(f"{(run / 'run.sqlite').as_uri()}?mode=ro", uri=True)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


# --- order and groups -------------------------------------------------------------


def test_commits_are_in_order_in_groups_of_64(tmp_path: Path, executor: str) -> None:
    raw = sp.open(Arrays(noise(400)))
    first = threading.Event()

    def uneven(image: Array) -> Array:
        """Hold the first frame until others wait behind it."""
        if not first.is_set() and executor == "threads":
            first.wait(0.2)
        first.set()
        return image

    sp.run({"x": raw.map(uneven)}, tmp_path / "run", executor=executor)
    rows = sql(tmp_path / "run", "SELECT frame, committed_at FROM frames")
    assert [frame for frame, _ in rows] == list(range(400))
    times = [when for _, when in rows]
    assert times == sorted(times)
    assert max(Counter(times).values()) <= 64


def test_many_workers_have_a_frame_each(tmp_path: Path) -> None:
    """More than the 128 frames that are in flight otherwise."""
    together = threading.Barrier(150)

    def meet(image: Array) -> int:
        return together.wait(120)

    met = sp.open(Arrays(noise(150))).map(meet, kind="value")
    workers = {"threads": {"workers": 150}}
    report = sp.run({"met": met}, tmp_path / "run", executor=workers)
    assert report.frames.done == 150


def test_inline_and_threads_agree_bit_for_bit(tmp_path: Path) -> None:
    runs = []
    executors: list[str | dict[str, Any]] = ["inline", "threads"]
    executors.append({"threads": {"workers": 5}})
    for number, executor in enumerate(executors):
        raw = sp.open(Arrays(noise(90), unreadable=frozenset({4, 70})))
        flat = raw.background(window=7, every=6)
        labels = flat.gaussian(sigma=1).threshold().label()
        cells = labels.measure(raw)
        saved = {"labels": labels, "cells": cells, "total": cells.running_count()}
        sp.run(saved, tmp_path / str(number), executor=executor)
        result = sp.load(tmp_path / str(number))
        timing = ["worker", "admitted_at", "committed_at", "latency_ms"]
        runs.append(
            (
                whole(result.labels["labels"]).tobytes(),
                result.tables["cells"].to_csv(),
                result.tables["total"].to_csv(),
                result.frames.drop(columns=timing).to_csv(),
            )
        )
    assert runs[0] == runs[1] == runs[2]


# --- errors -----------------------------------------------------------------------


def three_fails(image: Array) -> Array:
    if image[0, 0] == 3:
        raise ValueError("three")
    return image


def numbered(n: int = 20, **more: Any) -> sp.Image:
    stack = noise(n)
    stack[:, 0, 0] = np.arange(n)
    return sp.open(Arrays(stack, **more))


@pytest.mark.parametrize("live", [True, False])
def test_on_error_stop_has_no_row(tmp_path: Path, executor: str, live: bool) -> None:
    step = numbered(live=live).map(three_fails)
    with pytest.raises(
        sp.FrameError, match="frame 3: step 'map': ValueError: three"
    ) as e:
        sp.run({"x": step}, tmp_path / "run", executor=executor, on_error="stop")
    assert isinstance(e.value.__cause__, ValueError)
    found = sp.load(tmp_path / "run")
    assert found.frames.frame.tolist() == [0, 1, 2]
    status = found.status()
    assert (status["state"], status["done"], status["failed"]) == ("stopped", 3, 0)
    assert status["reason"] == "frame 3: step 'map': ValueError: three"


def test_unreadable_frames_stop_too(tmp_path: Path, executor: str) -> None:
    raw = numbered(unreadable=frozenset({5}))
    with pytest.raises(sp.FrameError, match="frame 5 is scratched"):
        sp.run({"source": raw}, tmp_path / "run", executor=executor, on_error="stop")
    assert len(sp.load(tmp_path / "run").frames) == 5


@pytest.mark.parametrize(("live", "in_order"), [(0, 0), (0, 1), (1, 0)])
def test_what_came_before_a_broken_source_is_committed(
    tmp_path: Path, executor: str, live: int, in_order: int
) -> None:
    raw = numbered(30, breaks_at=21, live=bool(live), in_order=bool(in_order))
    with pytest.raises(sp.SourceError, match="the cable was pulled at frame 21"):
        sp.run({"source": raw}, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert result.frames.frame.tolist() == list(range(21))
    status = result.status()
    assert status["state"] == "stopped"
    assert status["reason"] == "the cable was pulled at frame 21"


@pytest.mark.parametrize("shape", [(16, 32), (32, 32)])
@pytest.mark.parametrize("more", [{}, {"in_order": True}, {"live": True}])
def test_a_source_that_changes_shape_or_dtype(
    tmp_path: Path, executor: str, shape: tuple[int, int], more: dict[str, bool]
) -> None:
    class Camera(Arrays):
        def read(self, index: int) -> sp.Frame:
            frame = super().read(index)
            if index < 13:
                return frame
            kind = np.uint16 if shape == (16, 32) else np.uint8
            return sp.Frame(np.ones(shape, kind), index, frame.time)

    raw = sp.open(Camera(noise(30), **more))  # type: ignore[arg-type]
    with pytest.raises(
        sp.SourceError, match=r"frames change shape: the frame with sour"
    ):
        sp.run({"source": raw}, tmp_path / "run", executor=executor)
    assert len(sp.load(tmp_path / "run").frames) == 13


def test_any_error_of_a_source_ends_the_run(tmp_path: Path, executor: str) -> None:
    class Odd(Arrays):
        def frames(self, start: int = 0) -> Any:
            yield from list(super().frames(start))[:5]
            raise RuntimeError("driver")

    raw = sp.open(Odd(noise(9), in_order=True))
    with pytest.raises(RuntimeError, match="driver"):
        sp.run({"source": raw}, tmp_path / "run", executor=executor)
    status = sp.load(tmp_path / "run").status()
    assert (status["state"], status["done"]) == ("stopped", 5)
    assert status["reason"] == "RuntimeError: driver"


def test_failing_in_a_later_segment(tmp_path: Path, executor: str) -> None:
    raw = numbered(80)
    _, cells = segmented(raw)
    total = cells.running_count()

    def late(image: Array, value: dict[str, int]) -> Array:
        return three_fails(image) + np.uint16(value["objects"])

    again = raw.map(late, total, name="late").map(lambda i: [{"a": 1}], kind="table")
    second = again.running_count(name="second")
    sp.run(
        {"cells": cells, "total": total, "second": second},
        tmp_path / "run",
        executor=executor,
    )
    result = sp.load(tmp_path / "run")
    assert errors(result) == ["step 'late': ValueError: three"]
    assert result.frames.frame.tolist() == list(range(80))
    for name in ("cells", "total", "second"):
        assert 3 not in set(result.tables[name].frame)
    assert result.tables["second"].total.tolist() == list(range(1, 80))


@dataclass(frozen=True)
class Strict:
    """An ordered step that a frame may break."""

    takes: ClassVar[tuple[tuple[Kind, ...], ...]] = (("value",),)

    def initial(self) -> int:
        return 0

    def step(self, state: int, *values: Any) -> tuple[int, int]:
        if values[0] == 3:
            raise ValueError("three in order")
        return state + 1, state + 1


def ordered(raw: sp.Image) -> sp.Handle:
    first = raw.map(lambda image: int(image[0, 0]), kind="value")
    step = Step("strict", "strict", "value", "ordered", (first.step,), ordered=Strict())
    return raw.graph.add(step)


def test_failing_ordered_steps(tmp_path: Path, executor: str) -> None:
    """The frame fails, its state is as if it had not been."""
    step = ordered(numbered())
    late = step.graph.handles["source"].map(np.add, step, name="late")
    saved = {"x": step, "late": late}
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert errors(result) == ["step 'strict': ValueError: three in order"]
    assert result.tables["x"].frame.tolist() == [n for n in range(20) if n != 3]
    assert result.tables["x"].value.tolist() == list(range(1, 20))
    assert sql(tmp_path / "run", "SELECT step, frame, value FROM states") == [
        ("strict", 19, b"19")
    ]
    with pytest.raises(
        sp.FrameError, match="frame 3: step 'strict': ValueError: three"
    ):
        sp.run(
            {"x": ordered(numbered())},
            tmp_path / "b",
            executor=executor,
            on_error="stop",
        )
    assert len(sp.load(tmp_path / "b").frames) == 3


# --- states ------------------------------------------------------------------------


def test_states_are_those_of_the_last_frame_of_the_group(tmp_path: Path) -> None:
    """A later ordered step lags behind: what is committed is each one's own state."""
    raw = simulated(None, live=True)
    _, cells = segmented(raw)
    total = cells.running_count()
    second = total.map(lambda value: [{"a": 1}] * 2, kind="table").running_count()
    run = sp.start({"one": total, "two": second}, tmp_path / "run")
    looked = 0
    while run.metrics.counters.done < 400 and run.is_alive:
        rows = (
            sql(
                tmp_path / "run",
                "SELECT s.value, t.total, u.total, s.step FROM states AS s "
                "LEFT JOIN one AS t ON t.frame = s.frame "
                "LEFT JOIN two AS u ON u.frame = s.frame",
            )
            if run.metrics.counters.done
            else []
        )
        for value, one, two, step in rows:
            looked += 1
            assert int(value) == (one if step == "running_count" else two)
    run.stop()
    run.wait()
    assert looked
    report = sp.load(tmp_path / "run")
    assert report.tables["two"].total.tolist() == [
        2 * (n + 1) for n in range(len(report.frames))
    ]


# --- ends --------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["drain", "stop"])
@pytest.mark.parametrize("live", [True, False])
def test_ends_asked_for_by_another_thread(
    tmp_path: Path, executor: str, live: bool, end: str
) -> None:
    frames = None if live else 5000
    for number, after in enumerate((0, 1, 30, 100)):
        labels, cells = segmented(simulated(frames, live=live))
        saved = {"labels": labels, "total": cells.running_count()}
        run = sp.start(saved, tmp_path / str(number), executor=executor)
        wait_for(run, after)
        threading.Thread(target=getattr(run, end)).start()
        report = run.wait(60)
        result = sp.load(tmp_path / str(number))
        assert report.state == "stopped"
        assert report.reason == f"{end} was asked for"
        assert report.frames.done == len(result.frames) >= after
        assert result.status()["admitted"] == report.frames.admitted
        if end == "drain":
            assert report.frames.pending == 0
    resumed = sp.resume(tmp_path / "3", wait=False)
    assert isinstance(resumed, sp.Run)
    wait_for(resumed, report.frames.done + 20)
    resumed.drain()
    resumed.wait(60)
    result = sp.load(tmp_path / "3")
    assert result.frames.source_index.tolist() == list(range(len(result.frames)))
    totals = result.tables["total"]
    assert totals.total.tolist() == totals.objects.cumsum().tolist()


def test_frames_ends_early_and_counts(tmp_path: Path, executor: str) -> None:
    for live in (True, False):
        raw = simulated(None if live else 50, live=live)
        to = tmp_path / str(live)
        report = sp.run({"source": raw}, to, executor=executor, frames=20)
        assert (report.state, report.frames.admitted, report.frames.done) == (
            "finished",
            20,
            20,
        )
        assert sp.load(to).images["source"].shape[0] == 20


def test_a_source_without_frames(tmp_path: Path, executor: str) -> None:
    raw = sp.open(Arrays(noise(1), length=0))
    report = sp.run({"source": raw}, tmp_path / "run", executor=executor)
    assert (report.state, report.frames.admitted) == ("finished", 0)
    assert report.latency_ms == {"p50": None, "p99": None}


def test_random_access_of_unknown_length_is_read_in_order(
    tmp_path: Path, executor: str
) -> None:
    raw = sp.open(Arrays(noise(7), length=None))
    assert sp.run([raw], tmp_path / "run", executor=executor).frames.done == 7


# --- gaps --------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_every_gap_has_a_row(tmp_path: Path, executor: str, live: bool) -> None:
    gaps = {
        0: sp.Gap(0, 1, "late start"),
        5: sp.Gap(7, 7, "overflow", 3.0, "camera"),
        8: sp.Gap(11, 15, "switched off"),
    }
    raw = sp.open(Arrays(noise(8), gaps=gaps, live=live, in_order=True))
    report = sp.run({"source": raw}, tmp_path / "run", executor=executor)
    assert (report.frames.done, report.frames.lost) == (8, 8)
    assert sql(tmp_path / "run", "SELECT * FROM gaps") == [
        (0, 1, 2, None, "source", "late start"),
        (7, 7, 1, 3.0, "camera", "overflow"),
        (11, 15, 5, None, "source", "switched off"),
    ]
    found = sql(tmp_path / "run", "SELECT seconds, sum(lost) FROM summary GROUP BY 1")
    assert found == [(1, 8), (10, 8), (60, 8)]


# --- bounds ------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_little_memory(tmp_path: Path, executor: str, live: bool) -> None:
    """A frame is larger than the share of frames in flight: one at a time."""
    raw = simulated(12, live=live, shape=[1200, 1000])
    run = sp.start(
        {"mask": raw.threshold()},
        tmp_path / "run",
        executor=executor,
        limits={"memory": "8MiB"},
    )
    report = run.wait()
    assert report.frames.done == 12
    one = raw.graph.source.info.nbytes
    assert run.metrics.peak_bytes <= 2 * one


def test_frames_in_flight_are_bounded(tmp_path: Path) -> None:
    raw = simulated(1000)
    begun, go = [], threading.Event()

    def hold(image: Array) -> int:
        begun.append(1)
        go.wait()
        return 1

    run = sp.start([raw.map(hold, kind="value")], tmp_path / "run")
    watch = threading.Event()
    while not begun:
        watch.wait(0.002)
    for _ in range(50):
        watch.wait(0.002)
    assert run.metrics.counters.admitted <= 130
    go.set()
    assert run.wait().frames.done == 1000


# --- a source written by a user ------------------------------------------------------


def test_log_none_says_what_is_gone(tmp_path: Path, executor: str) -> None:
    raw = simulated(30, live=True)
    report = sp.run([raw], tmp_path / "run", executor=executor, log="none")
    assert report.frames.done == 30
    assert report.notes == (
        "log: none — frames were kept in memory only; "
        "those not committed when a process dies are gone",
    )
    assert not (tmp_path / "run/admission.jsonl").exists()
    with pytest.raises(
        sp.RunFolderError, match="cannot be resumed: log: none keeps no"
    ):
        sp.resume(tmp_path / "run")


@pytest.mark.parametrize("more", [{}, {"in_order": True}, {"live": True}])
def test_metadata_of_any_type(tmp_path: Path, more: dict[str, bool]) -> None:
    """Cameras speak numpy."""

    class Camera(Arrays):
        def read(self, index: int) -> sp.Frame:
            pixels = super().read(index).pixels
            told = {"gain": np.float32(0.5), "roi": np.arange(2), "at": Path("a")}
            return sp.Frame(pixels, index, 1.0, told)

    raw = sp.open(Camera(noise(3), **more))  # type: ignore[arg-type]
    sp.run([raw], tmp_path / "run")
    found = sp.load(tmp_path / "run").frames.metadata
    assert set(found) == {'{"gain": 0.5, "roi": [0, 1], "at": "a"}'}


def test_live_and_recorded_arrays_agree(tmp_path: Path, executor: str) -> None:
    stack = noise(50)
    for name, more in {"a": {}, "b": {"in_order": True}, "c": {"live": True}}.items():
        raw = sp.open(Arrays(stack, unreadable=frozenset({9}), **more))  # type: ignore[arg-type]
        labels, cells = segmented(raw)
        saved = {"source": raw, "labels": labels, "cells": cells}
        sp.run(saved, tmp_path / name, executor=executor)
    first = sp.load(tmp_path / "a")
    for name in ("b", "c"):
        other = sp.load(tmp_path / name)
        assert np.array_equal(
            whole(other.images["source"]), whole(first.images["source"])
        )
        assert other.tables["cells"].equals(first.tables["cells"])
        columns = ["frame", "source_index", "state", "error", "time", "hash"]
        readable = first.frames.frame != 9
        assert other.frames[columns][readable].equals(first.frames[columns][readable])
        assert other.frames.error[9] == first.frames.error[9] == "frame 9 is scratched"


@pytest.mark.parametrize("live", [True, False])
def test_a_camera_that_was_unplugged_ends_the_run(tmp_path: Path, live: bool) -> None:
    # its error at `stop` hid the first one, and the run never ended
    class Unplugged(Arrays):
        def stop(self) -> None:
            raise OSError("no such device")

        def close(self) -> None:
            raise OSError("no such device")

    raw = sp.open(Unplugged(noise(9), live=live, in_order=True, breaks_at=5))
    run = sp.start({"source": raw}, tmp_path / "run")
    with pytest.raises(sp.SourceError, match="the cable was pulled at frame 5"):
        run.wait(timeout=60)
    assert len(sp.load(tmp_path / "run").frames) == 5


def test_a_gap_at_the_end_of_the_log_is_counted_once(tmp_path: Path) -> None:
    # the next session began at the gap, and lost its frames once more
    raw = sp.open(Arrays(noise(8), gaps={8: sp.Gap(8, 12, "overflow")}, live=True))
    sp.run({"source": raw}, tmp_path / "run")
    again = sp.open(Arrays(noise(8), live=True))
    job = Job(again.graph, {"source": again.step}, parse_options({}))
    storage = Storage(job, RunFolder(tmp_path / "run"), guard=lambda: None, again=False)
    try:
        plan = storage.plan()
        storage.admission(storage.schedule(plan), lambda error: None)
        assert storage.log is not None
        assert storage.log.next_source_index == 13
    finally:
        storage.abandon()
        storage.ledger.close()
