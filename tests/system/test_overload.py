"""Two speeds, one graph: live results in time, and later as if none was skipped."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

import streamproc as sp
from streamproc.config import parse
from streamproc.execution.pace import Pace
from streamproc.ordered import RunningCount
from streamproc.runs import resume, start_pipeline
from streamproc.verify import verify
from tests.conftest import REPOSITORY
from tests.same_run import assert_same_run

FRAMES = 90
MEASURED: dict[str, Any] = {
    "mask": {"threshold": "otsu", "of": "late"},
    "nuclei": {"label": {}, "of": "mask"},
    "cells": {"measure": {"intensity": "source"}, "of": "nuclei"},
}
COUNTED: dict[str, Any] = {**MEASURED, "count": {"running_count": {}, "of": "cells"}}


def function(name: str, of: Any, **more: Any) -> dict[str, Any]:
    """Return a map step."""
    return {"map": {"function": f"tests.functions:{name}", **more}, "of": of}


SLOW = function("slow", "source")
GRAPHS: dict[str, dict[str, Any]] = {
    "plain": {"late": SLOW, **MEASURED},
    "failing": {"late": function("picky", "source"), **COUNTED},
    "window": {
        "flat": {"background": {"window": 20, "every": 10}, "of": "source"},
        "late": function("slow", "flat"),
        **COUNTED,
    },
    "later segment": {
        "late": SLOW,
        **COUNTED,
        "plus": function("odd_total_fails", ["source", "count"]),
        "pair": function("two_rows", "late", kind="table"),
        "two": function("two_rows", "plus", kind="table"),
        "second": {"running_count": {}, "of": "two"},
    },
}


def pipeline(
    graph: str,
    *,
    skip: bool = True,
    frames: int = FRAMES,
    fps: float = 400.0,
    **more: Any,
) -> dict[str, Any]:
    """Return a live pipeline whose camera is faster than its graph."""
    simulation = {"frames": frames, "shape": [300, 280], "live": True, "fps": fps}
    overload = {"on_overload": "skip", "deadline_ms": 200} if skip else {}
    return {
        "source": {"simulation": simulation},
        "graph": GRAPHS[graph],
        "save": [name for name in GRAPHS[graph] if name not in ("late", "mask", "two")],
        "limits": {"disk_reserve": "100MB"},
        **overload,
        **more,
    }


def skipping(graph: str, to: Path, **more: Any) -> sp.Report:
    """Run a pipeline that skips, and see that it did."""
    report = start_pipeline(parse(pipeline(graph, **more)), to).wait()
    frames = report.frames
    assert frames.skipped > 0
    assert frames.done + frames.failed > 0
    assert frames.admitted == FRAMES == frames.done + frames.failed + frames.skipped
    return report


def whole(graph: str, to: Path, **more: Any) -> Path:
    """Run the same without skipping."""
    start_pipeline(parse(pipeline(graph, skip=False, **more)), to).wait()
    return to


def later(run: Path) -> sp.Report:
    """Complete what was skipped."""
    report = resume(run, skipped=True)
    assert isinstance(report, sp.Report)
    return report


@pytest.mark.parametrize(
    ("graph", "keep", "store"),
    [
        ("plain", True, {"images": "zstd"}),
        ("plain", False, {"layout": "files"}),
        ("failing", True, {"layout": "files", "images": "blosc-lz4"}),
        ("failing", False, {"labels": "none"}),
        ("window", True, {}),
        ("window", False, {"images": "blosc-lz4"}),
        ("later segment", True, {"layout": "files"}),
        ("later segment", True, {"images": "zstd"}),
        ("later segment", False, {}),
    ],
)
def test_a_later_pass_leaves_what_no_skipping_does(
    tmp_path: Path, graph: str, keep: bool, store: dict[str, Any]
) -> None:
    more = {"log": {"keep_raw": keep}, "store": store}
    expected = whole(graph, tmp_path / "whole", **more)
    run = tmp_path / "run"
    skipping(graph, run, **more)
    assert verify(run).problems == []
    report = later(run)
    assert (report.state, report.frames.skipped, report.frames.pending) == (
        "finished",
        0,
        0,
    )
    assert_same_run(expected, run)
    assert verify(run).problems == []
    assert sp.load(run).status()["state"] == "finished"
    columns = "sum(done), sum(failed), sum(skipped)"
    (sums,) = read(run, f"SELECT {columns} FROM summary WHERE seconds = 10")
    assert sums == (report.frames.done, report.frames.failed, 0)


def read(run: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        return db.execute(sql).fetchall()


def test_an_ordered_step_that_fails_late_takes_back_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels, and rows of tables that this session does not know, stayed."""
    calls: list[int] = []
    step = RunningCount.step

    def strict(self: RunningCount, state: int, *values: Any) -> Any:
        if "area" in values[0].columns:  # of count, not of second
            calls.append(state)
        if "area" in values[0].columns and len(calls) in (1, 7, FRAMES):
            raise ValueError("not in order")
        return step(self, state, *values)

    monkeypatch.setattr(RunningCount, "step", strict)
    expected = whole("later segment", tmp_path / "whole")
    calls.clear()
    skipping("later segment", tmp_path / "run")
    later(tmp_path / "run")
    assert "step 'count': ValueError: not in order" in set(
        sp.load(tmp_path / "run").frames.error.dropna()
    )
    assert_same_run(expected, tmp_path / "run")
    assert verify(tmp_path / "run").problems == []


def test_a_pass_that_stops_at_an_error_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole("window", tmp_path / "whole")
    run = tmp_path / "run"
    skipping("window", run, on_error="stop")
    step = RunningCount.step

    def broken(self: RunningCount, state: int, *values: Any) -> Any:
        if state > 30:
            raise MemoryError("for a while")
        return step(self, state, *values)

    with monkeypatch.context() as patch:
        patch.setattr(RunningCount, "step", broken)
        with pytest.raises(sp.FrameError, match="'count': MemoryError: for a while"):
            later(run)
    assert sp.load(run).status()["state"] == "stopped"
    assert verify(run).problems == []
    later(run)
    assert_same_run(expected, run)
    assert verify(run).problems == []


def write(folder: Path, graph: str, **more: Any) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(pipeline(graph, **more), sort_keys=False))
    return path


def streamproc(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own, which knows our functions."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamproc", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def killed(process: subprocess.Popen[str], run: Path, wanted: str) -> None:
    """Kill a process once the ledger of its run says so, or at its end."""
    nap = threading.Event()
    while process.poll() is None:
        try:
            if read(run, f"SELECT count(*) FROM frames WHERE {wanted}")[0][0]:
                break
        except sqlite3.OperationalError:  # it just begins
            pass
        nap.wait(0.002)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("keep", [True, False])
def test_killed_in_both_speeds_and_resumed(tmp_path: Path, keep: bool) -> None:
    """The camera's part goes on skipping; each pass goes on behind the last one."""
    frames = 300
    more = {"log": {"keep_raw": keep}, "frames": frames, "fps": 80.0}
    expected = whole("later segment", tmp_path / "whole", **more)
    run = tmp_path / "run"
    start = streamproc("run", write(tmp_path, "later segment", **more), "--to", run)
    killed(start, run, "frame = 20")
    killed(streamproc("resume", run), run, "frame = 60")
    assert verify(run).problems == []
    # a pass of an interrupted run leaves its camera alone, and its state
    interrupted = later(run)
    assert interrupted.frames.skipped == interrupted.frames.pending == 0
    assert 60 < interrupted.frames.admitted < frames
    assert sp.load(run).status()["state"] == "interrupted"
    assert verify(run).problems == []
    process = streamproc("resume", run)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 3, out + error
    assert sp.load(run).status()["state"] == "finished"
    half = (interrupted.frames.admitted + frames) // 2
    again = f"frame = {half} AND hash LIKE '%second%'"
    killed(streamproc("resume", run, "--skipped"), run, again)
    assert verify(run).problems == []
    finish_with_failures(streamproc("resume", run, "--skipped"))
    # as before the pass that was killed
    assert sp.load(run).status()["state"] == "finished"
    assert_same_run(expected, run)
    assert verify(run).problems == []


def finish_with_failures(process: subprocess.Popen[str]) -> None:
    out, error = process.communicate(timeout=120)
    assert process.returncode in (0, 3), out + error


def test_the_sums_hold_at_every_moment_for_another_process(tmp_path: Path) -> None:
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
    )
    skipping("plain", tmp_path / "run")
    later(tmp_path / "run")
    (tmp_path / "end").touch()
    out, _ = watcher.communicate(timeout=60)
    told = json.loads(out)
    assert told["wrong"] == []
    assert told["looks"] > 10


#: Looks at one snapshot after another until the run has ended.
WATCH = """
import json, sqlite3, sys, time
from pathlib import Path
run = Path(sys.argv[1])
looks, wrong = 0, []
while not (run.parent / "end").exists():
    try:
        db = sqlite3.connect(f"{(run / 'run.sqlite').as_uri()}?mode=ro", uri=True)
        db.execute("BEGIN")
        kept = dict(db.execute("SELECT key, value FROM run"))
        states = dict(db.execute("SELECT state, count(*) FROM frames GROUP BY state"))
        sums = db.execute(
            "SELECT seconds, sum(done), sum(failed), sum(skipped) FROM summary "
            "GROUP BY seconds"
        ).fetchall()
        rows, last = db.execute("SELECT count(*), max(frame) FROM frames").fetchone()
        lacking = db.execute(
            "SELECT count(*) FROM frames WHERE (state = 'done') != (frame IN "
            "(SELECT frame FROM chunks WHERE array = 'source/labels/nuclei/0'))"
        ).fetchone()[0]
        db.close()
    except sqlite3.Error:
        continue
    exact = tuple(states.get(s, 0) for s in ("done", "failed", "skipped"))
    right = all(found[1:] == exact for found in sums) and not lacking
    right = right and rows == sum(exact) == (-1 if last is None else last) + 1
    right = right and rows <= int(kept.get("admitted", 0))
    if rows:
        looks += 1
        if not right:
            wrong.append([exact, sums, rows, last, kept.get("admitted"), lacking])
print(json.dumps({"looks": looks, "wrong": wrong[:3]}))
"""


def test_results_in_time(tmp_path: Path) -> None:
    given = pipeline("plain", frames=400, deadline_ms=2000)
    report = start_pipeline(parse(given), tmp_path / "run").wait()
    assert report.latency_ms["p99"] is not None
    assert report.latency_ms["p99"] < 2000
    assert report.frames.skipped > 0


def test_what_waited_too_long_is_skipped(tmp_path: Path) -> None:
    """It was analysed, though nothing could keep its deadline any more."""
    run = start_pipeline(parse(pipeline("plain")), tmp_path / "run")
    run.pause()
    nap = threading.Event()
    while sp.load(run.path).status()["admitted"] < FRAMES:
        nap.wait(0.002)
    nap.wait(0.3)  # more than its deadline
    run.resume()
    assert run.wait().frames.skipped > FRAMES // 2
    assert later(tmp_path / "run").frames.done == FRAMES


def test_frames_that_were_all_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables without columns were made, and all frames failed on them later."""
    expected = whole("plain", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "begin", lambda *given: False)
        report = start_pipeline(parse(pipeline("plain")), tmp_path / "run").wait()
    assert report.frames.skipped == FRAMES
    assert verify(tmp_path / "run").problems == []
    later(tmp_path / "run")
    assert_same_run(expected, tmp_path / "run")


def test_a_stop_skips_nothing(tmp_path: Path) -> None:
    """Frames that found no worker because of the stop were skipped, not pending."""
    run = start_pipeline(parse(pipeline("plain")), tmp_path / "run")
    run.pause()
    done = threading.Event()
    while run.metrics.counters.admitted < 1 and run.is_alive:
        done.wait(0.002)
    run.stop()
    before = run.wait().frames
    assert before.done + before.skipped + before.pending == before.admitted


# --- what there is to do ------------------------------------------------------------


def test_nothing_was_skipped(tmp_path: Path) -> None:
    run = whole("plain", tmp_path / "run")
    report = later(run)
    assert (report.state, report.frames.done) == ("finished", FRAMES)
    assert verify(run).problems == []


def test_nothing_was_skipped_and_the_log_is_gone(tmp_path: Path) -> None:
    run = whole("plain", tmp_path / "run", log={"keep_raw": False})
    with pytest.raises(sp.SourceError, match=r"raw log of .* was not kept"):
        later(run)
    assert sp.load(run).status()["state"] == "finished"


def test_a_recording_has_nothing_to_skip(tmp_path: Path) -> None:
    recording = {"frames": 20, "shape": [64, 64], "live": False}
    given = {**pipeline("plain"), "source": {"simulation": recording}}
    report = start_pipeline(parse(given), tmp_path / "run").wait()
    assert (report.frames.done, report.frames.skipped) == (20, 0)
    with pytest.raises(
        sp.RunFolderError, match=r"has no raw log, so none of its frames was skipped"
    ):
        later(tmp_path / "run")


def test_skipping_needs_a_log(tmp_path: Path) -> None:
    given = parse(pipeline("plain", log="none"))
    with pytest.raises(sp.ConfigError, match="on_overload: skip leaves frames in the"):
        start_pipeline(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_ordered_waits_and_says_so(tmp_path: Path) -> None:
    report = skipping("failing", tmp_path / "run")
    (note,) = report.notes
    assert note.startswith("steps that run in frame order wait for the frames that")
    assert set(sp.load(tmp_path / "run").tables) == {"cells"}


def test_a_pass_that_was_stopped_gives_the_state_back(tmp_path: Path) -> None:
    # was "stopped" for ever
    run = tmp_path / "run"
    skipping("plain", run)
    first = resume(run, skipped=True, wait=False)
    assert isinstance(first, sp.Run)
    first.stop()
    first.wait()
    assert later(run).frames.skipped == 0
    assert sp.load(run).status()["state"] == "finished"
