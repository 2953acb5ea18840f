"""Workers that hang, or take all memory: restarted, and no other frame is harmed."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import streamproc as sp
from tests.arrays import wait_for
from tests.same_run import assert_same_run
from tests.workers import frames_of, workers_of

HUNG = "its worker hung: no result within 2 s"


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
