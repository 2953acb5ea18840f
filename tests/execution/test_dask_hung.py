"""Workers that hang, or take all memory: restarted, and no other frame is harmed."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc.execution.cluster import ClusterOptions
from streamproc.execution.dask import Dask
from streamproc.execution.protocol import Task
from streamproc.frame import FrameRef
from streamproc.stage import Instruction, Result, Stage
from tests.arrays import wait_for, whole
from tests.same_run import assert_same_run
from tests.workers import frames_of, scheduler, wait_for_workers, worker, workers_of

#: clusters and workers begin again and again: once, on one interpreter
pytestmark = pytest.mark.slow

HUNG = "its worker hung, 2 times: no result within 2 s while nothing else was comp"


def not_done(run: Path) -> list[tuple[int, str]]:
    """Return the frames that failed, and why."""
    return [(n, e) for n, state, e in frames_of(run) if state != "done"]


def test_a_frame_that_hangs_and_one_that_fills_memory_fail_alone(
    tmp_path: Path, movie: Path, mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAG_OF_MINE", str(tmp_path / "flag"))
    raw = sp.open(movie)
    graph = {
        "never": raw.map(mine.hangs_at_seven, kind="value"),
        "once": raw.map(mine.hangs_once, kind="value"),
        "memory": raw.map(mine.fills_memory_at_33, kind="value"),
    }
    options = {"workers": 2, "timeout": 2, "memory_limit": "800MB"}
    report = sp.run(graph, tmp_path / "run", executor={"dask": options})
    assert (report.frames.done, report.frames.failed) == (58, 2)
    (seven, hung), (many, died) = not_done(tmp_path / "run")
    assert (seven, many) == (7, 33)
    assert hung.startswith(HUNG)
    assert died.startswith("its worker died, 2 times while nothing else was computed")
    assert (tmp_path / "flag").exists()
    numbers = sp.load(tmp_path / "run").tables["once"]["value"]
    assert list(numbers) == [n for n in range(60) if n not in (7, 33)]


@pytest.mark.slow
def test_a_background_that_hangs_is_computed_here(tmp_path: Path, mine: Any) -> None:
    for name in ("dask", "inline"):
        raw = sp.open(mine.Sticky(os.getpid()))
        graph = {"flat": raw.background(window=10, every=5)}
        options: Any = {"dask": {"workers": 2, "timeout": 2}}
        executor = options if name == "dask" else name
        sp.run(graph, tmp_path / name, executor=executor)
    ((three, why),) = not_done(tmp_path / "dask")
    assert three == 3
    assert why.startswith(HUNG)
    here, there = (sp.load(tmp_path / n).images["flat"] for n in ("inline", "dask"))
    others = [n for n in range(8) if n != 3]
    assert np.array_equal(whole(here)[others], whole(there)[others])


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_a_worker_that_is_stopped_is_replaced(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    raw = sp.open(movie)
    graph = {"slow": raw.map(mine.slow_mean, kind="value")}
    options = {"workers": 2, "timeout": 2}
    run = sp.start(graph, tmp_path / "run", executor={"dask": options})
    wait_for(run, 5)
    workers_of(os.getpid())[0].send_signal(signal.SIGSTOP)
    assert run.wait().frames.done == 60
    sp.run(graph, tmp_path / "whole", executor="inline")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_a_function_that_keeps_the_gil_for_ever(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    graph = {"x": sp.open(movie).map(mine.keeps_the_gil_at_seven, kind="value")}
    options = {"workers": 2, "timeout": 2}
    sp.run(graph, tmp_path / "run", executor={"dask": options})
    ((seven, why),) = not_done(tmp_path / "run")
    assert seven == 7
    assert why.startswith("its worker ")


@pytest.mark.slow
def test_workers_without_nannies_are_left_and_others_may_join(
    tmp_path: Path, movie: Path, mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamproc.execution.cluster._RESTART", 2.0)
    graph = {"x": sp.open(movie).map(mine.hangs_at_one, kind="value")}
    with scheduler(tmp_path, workers=0) as (address, _), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(worker(address, "--no-nanny", cwd=tmp_path))
        wait_for_workers(address, 2)
        there = {"dask": {"scheduler": address, "timeout": 2}}
        run = sp.start(graph, tmp_path / "run", executor=there)
        wait_for(run, 1)
        stack.enter_context(worker(address, cwd=tmp_path))
        report = run.wait()
    assert (report.frames.done, report.frames.failed) == (59, 1)
    ((one, why),) = not_done(tmp_path / "run")
    assert one == 1
    assert why.startswith(HUNG)


def test_a_run_is_stopped_while_a_worker_hangs(
    tmp_path: Path, movie: Path, mine: Any
) -> None:
    graph = {"x": sp.open(movie).map(mine.hangs_at_seven, kind="value")}
    run = sp.start(graph, tmp_path / "run", executor={"dask": {"workers": 2}})
    wait_for(run, 3)
    run.stop()
    report = run.wait()
    assert report.state == "stopped"
    assert 3 <= report.frames.done <= 7
    assert not workers_of(os.getpid())
    # dask keeps some threads of its own
    assert not [t for t in threading.enumerate() if t.name.startswith("dask-")]


def stage_of(function: Callable[..., Any]) -> Stage:
    """Return a stage of one function."""
    step = Instruction("x", "value", function, ("source",), {}, "yx", False, True)
    return Stage(0, (step,), (), ("x",), ())


def test_a_frame_given_up_and_done_after_all_is_delivered_once(mine: Any) -> None:
    results, is_taken, go_on = list[Result](), threading.Event(), threading.Event()

    def deliver(result: Result) -> None:
        results.append(result)
        is_taken.set()
        go_on.wait()

    # two stages of one level, as where a parameter is set meanwhile
    stages = [stage_of(mine.number), stage_of(mine.pid)]
    dask = Dask(ClusterOptions(workers=1), 1)
    dask.start(deliver)
    try:
        pixels = np.zeros((8, 8), np.uint16)
        for n, stage in enumerate(stages):
            ref = FrameRef(n, n, None, None, None, pixels=pixels)
            dask.submit(Task(stage, ref))
        is_taken.wait()
        pause = threading.Event()
        while len(dask._flying) < 2 or not all(f.done() for f in dask._flying):
            pause.wait(0.01)
        taken, landed = dask._flying.values()
        assert (taken.has_landed, landed.has_landed) == (True, False)
        dask._end_hung([taken, landed])  # as a clock that is a little fast would
        assert [batch.is_alone for batch in dask._again] == [True]
        assert list(dask._flying.values()) == [taken]
        go_on.set()
        while len(results) < 2 or dask._flying or dask._again:
            pause.wait(0.01)
    finally:
        go_on.set()
        dask.close(60)
    assert [result.frame for result in results] == [0, 1]
    assert results[0].values["x"] == 0
    assert results[1].values["x"] > 0
