"""Dask workers: the same bits, whatever becomes of the processes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import tifffile

import streamproc as sp
from streamproc.execution.batches import Sizes
from streamproc.execution.cluster import ClusterOptions
from streamproc.execution.dask import Dask
from streamproc.folder import status
from streamproc.stage import Instruction, Result, Stage
from tests.arrays import Arrays, noise, segmented, simulated, wait_for
from tests.same_run import assert_same_run
from tests.workers import TWO, analysed, begun, frames_of, is_over, workers_of


@pytest.mark.parametrize("kind", ["recording", "in order", "live"])
def test_dask_gives_what_inline_gives(tmp_path: Path, movie: Path, kind: str) -> None:
    def source() -> sp.Image:
        if kind == "live":
            return simulated(60, live=True)
        if kind == "in order":
            return sp.open(Arrays(noise(60, (64, 64)), in_order=True))
        return sp.open(movie)

    sp.run(analysed(source()), tmp_path / "inline", executor="inline")
    report = sp.run(analysed(source()), tmp_path / "dask", executor=TWO)
    assert report.frames.done == 60
    assert_same_run(tmp_path / "inline", tmp_path / "dask")
    assert set(sp.load(tmp_path / "dask").frames.worker) <= {"worker-0", "worker-1"}


def test_values_are_streamed_in_order(tmp_path: Path, movie: Path, mine: Any) -> None:
    seen: list[int] = []
    first = sp.open(movie).map(mine.number, kind="value")
    first.stream.sink(seen.append)
    sp.run({"number": first}, tmp_path / "run", executor=TWO)
    assert seen == list(range(60))


def test_work_is_done_in_other_processes(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    handle = sp.open(movie).map(mine.pid, kind="value")
    sp.run({"pid": handle}, tmp_path / "run", executor=TWO)
    pids = set(sp.load(tmp_path / "run").tables["pid"]["value"])
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_a_worker_that_is_killed_takes_nothing_with_it(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    raw = sp.open(movie)
    graph = analysed(raw) | {"slow": raw.map(mine.slow_mean, kind="value")}
    run = sp.start(graph, tmp_path / "killed", executor=TWO)
    for done in (5, 20, 40):
        wait_for(run, done)
        workers_of(os.getpid())[0].kill()
    assert run.wait().frames.done == 60
    raw = sp.open(movie)
    graph = analysed(raw) | {"slow": raw.map(mine.slow_mean, kind="value")}
    sp.run(graph, tmp_path / "whole", executor="inline")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_only_the_frame_that_kills_its_worker_fails(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    raw = sp.open(movie)
    graph = {
        "dies": raw.map(mine.dies_at_seven, kind="value"),
        "cells": segmented(raw)[1],
    }
    report = sp.run(graph, tmp_path / "run", executor=TWO)
    assert (report.frames.done, report.frames.failed) == (59, 1)
    failed = [(n, e) for n, state, e in frames_of(tmp_path / "run") if state != "done"]
    assert [n for n, _ in failed] == [7]
    assert "its worker died, 2 times while nothing else was computed" in failed[0][1]


def test_a_frame_that_fails_is_recorded_as_everywhere(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    for name, executor in (("inline", "inline"), ("dask", TWO)):
        handle = sp.open(movie).map(mine.fails_at_three, kind="value")
        sp.run({"x": handle}, tmp_path / name, executor=executor)
    assert_same_run(tmp_path / "inline", tmp_path / "dask")
    assert frames_of(tmp_path / "dask")[3][1:] == (
        "failed",
        "step 'map': ValueError: three",
    )


def test_stop_forgets_what_has_not_started(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    handle = sp.open(movie).map(mine.slow_mean, kind="value")
    run = sp.start({"x": handle}, tmp_path / "run", executor=TWO)
    wait_for(run, 2)
    run.stop()
    report = run.wait()
    assert report.state == "stopped"
    assert 2 <= report.frames.done < 60
    resumed = sp.resume(tmp_path / "run")
    assert resumed.frames.done == 60  # type: ignore[union-attr]  # it waited


def test_batches_grow_with_the_workers_that_one_scheduler_feeds() -> None:
    few, many = (Dask(ClusterOptions(workers=n), 1) for n in (2, 64))
    assert (few.appetite, many.appetite) == (8, 256)  # frames, of unknown duration
    for dask in (few, many):
        dask._sizes.learn([Result(0, 0, seconds={"map": 0.1})], 0.1)
    assert (few.appetite, many.appetite) == (8 * 3, 256 * 4)


@pytest.mark.parametrize(
    ("seconds", "workers", "batches"),
    [
        (0.045, 2, [6, 5, 4, 3, 2, 1, 1, 1, 1]),
        (0.004, 2, [6, 5, 4, 3, 3, 2, 1]),  # three frames are worth a task
        (0.1, 24, [1] * 24),
    ],
)
def test_batches_get_shorter_where_no_more_frames_come(
    seconds: float, workers: int, batches: list[int]
) -> None:
    sizes, waiting, found = Sizes(None), 24, []
    sizes.learn([Result(0, 0, seconds={"map": seconds})], seconds)
    while waiting:
        found.append(sizes.frames(waiting, workers))
        waiting -= found[-1]
    assert found == batches


@pytest.mark.parametrize(
    ("cpu", "frames"),
    [
        (0.5, 6),  # 50 ms each; others had the processor for the rest of a second
        (0.05, 3),  # 100 ms each, spent waiting
        (2.0, 3),  # by a clock that is not fine
    ],
)
def test_batches_are_sized_by_what_frames_take_and_not_by_what_others_do(
    cpu: float, frames: int
) -> None:
    results = [Result(n, 0, seconds={"map": 0.1}) for n in range(10)]
    sizes, hasty = Sizes(None), Sizes(1.0)
    sizes.learn(results, cpu)
    hasty.learn(results, cpu)
    # a worker that computes is not to be taken for one that hangs
    assert (sizes.full(2), hasty.full(2)) == (frames, 1)


def test_workers_are_ready_before_the_first_frame(tmp_path: Path, mine: Any) -> None:
    folder = tmp_path / "where"
    folder.mkdir()
    function = mine.SaysWhere(str(folder))
    step = Instruction("mine", "image", function, ("source",), {}, "yx", False, True)
    dask = Dask(
        ClusterOptions(workers=2),
        1,
        stage=Stage(0, (step,), (), (), ()),
        source=simulated(1).graph.source,
    )
    dask.start(SimpleQueue[Result]().put)
    try:
        assert len(list(folder.iterdir())) == 2
    finally:
        dask.close(60)


_UNGUARDED = """
import streamproc as sp
raw = sp.open({movie!r})
sp.run({{"x": raw.gaussian(sigma=1)}}, {to!r}, executor={{"dask": {{"workers": 1}}}})
"""


def test_a_script_without_a_guard_is_told(tmp_path: Path, movie: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_UNGUARDED.format(movie=str(movie), to=str(tmp_path / "run")))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("streamproc.errors.ExecutorError: cannot start dask workers")
    assert last.endswith("the run must be below: if __name__ == '__main__':")


_PIPELINE = """
source: {movie}
executor: {{dask: {{workers: 2}}}}
graph:
  mean: {{map: {{function: "functions_of_mine:slow_mean", kind: value}}}}
save: [mean]
"""


@pytest.mark.skipif(os.name == "nt", reason="process groups are of POSIX")
@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_no_worker_outlives_its_run(tmp_path: Path, end: str, mine: Any) -> None:
    file, run, movie = tmp_path / "p.yaml", tmp_path / "run", tmp_path / "m.tif"
    # more than are in flight at once
    tifffile.imwrite(movie, noise(300, (16, 16)), photometric="minisblack")
    file.write_text(_PIPELINE.format(movie=movie))
    pause = threading.Event()
    begin = ["streamproc", "run", str(file), "--to", str(run)]
    with begun(*begin, cwd=tmp_path, start_new_session=True) as process:
        while process.poll() is None and not done_in(run):
            pause.wait(0.02)
        assert process.poll() is None
        workers = workers_of(process.pid)
        assert len(workers) == 2
        if end == "interrupt":  # as a terminal does: the workers get it too
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait() == 130
            assert not sp.load(run).frames.state.ne("done").any()
        else:
            process.kill()
            process.wait()
    while not all(map(is_over, workers)):
        pause.wait(0.02)
    with begun("streamproc", "resume", str(run), cwd=tmp_path) as process:
        assert process.wait() == 0
    sp.run(
        {"mean": sp.open(movie).map(mine.slow_mean, kind="value", name="mean")},
        tmp_path / "whole",
        executor={"threads": {"workers": 16}},
    )
    assert_same_run(tmp_path / "whole", run)


def done_in(run: Path) -> int:
    """Return how many frames of a run are committed, also where it has not begun."""
    try:
        return int(status(run)["done"])
    except sp.StreamprocError:
        return 0
