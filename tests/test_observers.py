"""Observers see every committed frame, and harm none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc import follower
from streamproc.observers import Observer
from tests.arrays import Arrays, noise, segmented, simulated, wait_for
from tests.functions import slow
from tests.listeners import Broken, Careful, Hanging, Knowing


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the observers of `tests.listeners` as a package of their own."""
    info = tmp_path / "packages" / "listeners-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: listeners\nVersion: 1.0\n")
    lines = [
        f"{kind.__name__.lower()} = tests.listeners:{kind.__name__}"
        for kind in (Careful, Knowing, Broken, Hanging)
    ]
    (info / "entry_points.txt").write_text(
        "\n".join(["[streamproc.sinks]", *lines, ""])
    )
    monkeypatch.syspath_prepend(tmp_path / "packages")
    Hanging.go.clear()
    yield
    Hanging.go.set()


def saved(frames: int | None = 100, **more: Any) -> dict[str, sp.Handle]:
    """Return a small pipeline with a table."""
    raw = simulated(frames, **more)
    labels, cells = segmented(raw)
    return {"nuclei": labels, "cells": cells}


def numbers(run: Path) -> list[int]:
    """Return the frames that were taken, in the order they came."""
    return [frame.frame for batch in Careful.taken[run] for frame in batch]


def test_the_protocol_is_what_a_class_needs() -> None:
    for kind in (Careful, Knowing, Broken, Hanging):
        assert isinstance(kind(), Observer)


def test_every_frame_comes_once_in_order_with_its_rows(
    tmp_path: Path, executor: str
) -> None:
    stack = noise(150)
    raw = sp.open(Arrays(stack, unreadable=frozenset({7, 80})))
    labels, cells = segmented(raw)
    path = tmp_path / "run"
    report = sp.run(
        {"nuclei": labels, "cells": cells, "n": cells.running_count()},
        path,
        executor=executor,
        sinks=["careful"],
    )
    assert report.notes == ()
    frames = [frame for batch in Careful.taken[path] for frame in batch]
    ledger = sp.load(path).frames
    assert [f.frame for f in frames] == ledger.frame.tolist()
    assert [f.time for f in frames] == [None if np.isnan(t) else t for t in ledger.time]
    assert [f.state for f in frames] == ledger.state.tolist()
    assert frames[7].error == "frame 7 is scratched"
    assert frames[8].error is None
    assert frames[7].tables == {}
    for name, table in sp.load(path).tables.items():
        rows = [row for f in frames for row in f.tables.get(name, ())]
        assert rows == table.to_dict("records")
    assert Careful.opened[path] == [
        {
            "cells": {
                "frame": "",
                "label": "",
                "area": "px",
                "centroid_y": "px",
                "centroid_x": "px",
                "mean_intensity": "grey level",
            },
            "n": {"frame": "", "label": "", "objects": "", "total": ""},
        }
    ]
    assert Careful.ends[path] == ["flush", "close"]
    assert Careful.threads >= {"sink-careful"}


def test_a_pipeline_without_tables_is_followed_too(tmp_path: Path) -> None:
    path = tmp_path / "run"
    sp.run(simulated(20).threshold(), path, sinks=[{"careful": None}])
    assert numbers(path) == list(range(20))
    assert Careful.opened[path] == [None]


@pytest.mark.parametrize("how", ["raise", "exit"])
def test_a_failure_is_said_and_harms_no_frame(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run"
    report = sp.run(saved(), path, sinks=[{"broken": {"at": 5, "how": how}}, "careful"])
    assert (report.state, report.frames.done) == ("finished", 100)
    (note,) = report.notes
    reason = {"raise": "ConnectionError: nobody listens", "exit": "SystemExit: 3"}[how]
    assert note.startswith(f"sink 'broken' failed: {reason}; frames from ")
    assert note.endswith(f"streamproc resume {path} hands them over")
    said = [json.loads(x) for x in (path / "log.jsonl").read_text().splitlines()]
    assert [s["message"] for s in said if s["kind"] == "sink"] == [note]
    assert note in list(sp.load(path).events.message)
    assert "close" in Careful.ends[path]


def test_resume_hands_over_what_was_missed(tmp_path: Path) -> None:
    path = tmp_path / "run"
    sp.run(saved(), path, sinks=[{"broken": 40}])
    before = numbers(path)
    assert before == list(range(len(before)))
    assert len(before) <= 40
    report = sp.resume(path)
    assert isinstance(report, sp.Report)
    assert report.notes == ()
    assert numbers(path) == list(range(100))
    sp.resume(path)
    assert numbers(path) == list(range(100))


def test_who_knows_its_position_begins_there(tmp_path: Path) -> None:
    path = tmp_path / "run"
    sp.run(saved(10), path, sinks=[{"knowing": {"tables": ["cells"]}}])
    assert numbers(path) == list(range(3, 10))
    sp.resume(path)
    assert numbers(path) == 2 * list(range(3, 10))
    assert not list(path.glob(".sink-*"))


def test_a_hanging_one_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_PATIENCE", 0.05)
    path = tmp_path / "run"
    report = sp.run(saved(), path, sinks=["hanging"])
    assert (report.state, report.frames.done) == ("finished", 100)
    assert report.notes[0].startswith("sink 'hanging' hangs; frames from 0 on were ")


def test_a_second_interrupt_waits_no_longer(tmp_path: Path) -> None:
    handles = saved(None, live=True)
    run = sp.start(handles, tmp_path / "run", sinks=["hanging", "careful"])
    wait_for(run, 1)
    run.interrupt()
    run.interrupt()
    with pytest.raises(KeyboardInterrupt):
        run.wait()
    (note,) = run.report().notes
    assert note.startswith("sink 'hanging' was not waited for; frames from 0 on ")


def test_a_slow_one_delays_no_commit_and_holds_little(tmp_path: Path) -> None:
    path = tmp_path / "run"
    run = sp.start(saved(None, live=True), path, sinks=["hanging"])
    wait_for(run, 300)
    run.stop()
    Hanging.go.set()
    report = run.wait()
    assert report.frames.done >= 300
    assert numbers(path) == list(range(report.frames.done))
    assert max(map(len, Careful.taken[path])) <= 64


def skipping(to: Path, sinks: list[Any]) -> int:
    """Run a pipeline that skips frames; return the first of them."""
    simulation = {"frames": 60, "shape": [64, 64], "fps": 400.0, "live": True}
    raw = sp.open({"simulation": simulation})
    cells = raw.map(slow).threshold().label().measure(raw)
    sp.run(
        {"cells": cells, "n": cells.running_count()},
        to,
        on_overload="skip",
        sinks=sinks,
    )
    frames = sp.load(to).frames
    return int(frames.frame[frames.state == "skipped"].min())


def test_late_frames_come_again_in_order(tmp_path: Path) -> None:
    """From the first frame of the pass on, each once it is complete."""
    path = tmp_path / "run"
    skipping(path, ["careful", {"knowing": {"tables": ["cells"]}}])
    before = [frame for batch in Careful.taken.pop(path) for frame in batch]
    assert {frame.state for frame in before} == {"done", "skipped"}
    assert all(set(frame.tables) <= {"cells"} for frame in before)
    report = sp.resume(path, skipped=True)
    assert isinstance(report, sp.Report)
    assert report.notes == ()
    late = [frame for batch in Careful.taken[path] for frame in batch]
    assert {frame.state for frame in late} == {"done"}
    assert sorted(f.frame for f in late) == sorted(2 * list(range(60)))
    for name, table in sp.load(path).tables.items():
        rows = [row for f in late for row in f.tables.get(name, ())]
        assert len(rows) == len(table) * (2 if name == "cells" else 1)
    sp.resume(path)
    more = [frame.frame for batch in Careful.taken[path] for frame in batch][120:]
    assert more == list(range(3, 60))  # who says that it stands at 3


def test_a_broken_one_gets_the_late_frames_at_the_next_resume(tmp_path: Path) -> None:
    """Its place was behind the frames that came late, and it never got them."""
    path = tmp_path / "run"
    skipping(path, [{"broken": 70}])
    Careful.taken.pop(path)
    document = (path / "pipeline.yaml").read_text()
    (path / "pipeline.yaml").write_text(document.replace("at: 70", "at: 5"))
    report = sp.resume(path, skipped=True)
    assert isinstance(report, sp.Report)
    assert report.notes[0].startswith("sink 'broken' failed")
    sp.resume(path)
    late = [frame for batch in Careful.taken[path] for frame in batch]
    assert {frame.state for frame in late} == {"done"}
    assert {frame.frame for frame in late} == set(range(60))


def test_many_rows_make_small_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_ROWS", 6)
    path = tmp_path / "run"

    def three(image: Any) -> dict[str, list[int]]:
        return {"label": [1, 2, 3]}

    sp.run({"x": simulated(50).map(three, kind="table")}, path, sinks=["careful"])
    assert numbers(path) == list(range(50))
    assert max(map(len, Careful.taken[path])) == 2


@pytest.mark.parametrize(
    ("sinks", "message"),
    [
        (
            [{"knowing": {"tables": ["cels"]}}],
            r"sinks\.knowing\.tables: no table 'cels' is saved; did you mean 'cells'\?",
        ),
        (["knowing", "knowing"], r"sinks\.knowing\.tables: 'cells' is given twice"),
        ([{"knowing": "cells"}], r"sinks\.knowing\.tables must be .*, got 'cells'"),
        (["knwing"], r"sinks: no sink named 'knwing'; did you mean 'knowing'\?"),
        ([{"broken": {"bad": True}}], r"sinks\.broken: LookupError: no such address"),
        ([{"broken": {"at": 1.5}}], r"sinks\.broken\.at must be .*, got 1\.5"),
        ([{"careful": 3}], r"sinks\.careful: takes no parameters, got 3"),
        (["ome-zarr"], r"sinks\.ome-zarr: 'ome-zarr' holds the images of every run"),
        ("careful", r"sinks: must be a list of sinks, got 'careful'"),
        ([7], r"sinks: each needs one name with its parameters, got 7"),
    ],
)
def test_what_cannot_be_is_refused_before_the_start(
    tmp_path: Path, sinks: Any, message: str
) -> None:
    with pytest.raises(sp.ConfigError, match=message):
        sp.run(saved(), tmp_path / "run", sinks=sinks)
    assert not (tmp_path / "run").exists()


def test_a_table_is_wanted_and_none_is_saved(tmp_path: Path) -> None:
    with pytest.raises(sp.ConfigError, match=r"sinks\.knowing: no table is saved"):
        sp.run(simulated(3).threshold(), tmp_path / "run", sinks=["knowing"])
