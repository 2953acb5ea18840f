"""A thousand frames on dask while its workers are killed, one after the other."""

import random
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zarr

import streamproc as sp
from tests import functions
from tests.arrays import noise, segmented, wait_for
from tests.same_run import assert_same_run

REPOSITORY = Path(__file__).parents[2]
FRAMES = 1000
#: Seconds between two kills.
PAUSE = 3.0
#: Frames between two kills.
AT_LEAST = 50
SEVEN = [0, 3, 64, 500, 501, 777, 999]


@pytest.fixture
def movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording whose first pixel is the frame's number."""
    monkeypatch.syspath_prepend(str(REPOSITORY))  # workers import functions from it
    frames = noise(FRAMES, (48, 48))
    frames[:, 0, 0] = np.arange(FRAMES)
    zarr.create_array(tmp_path / "movie.zarr", data=frames, chunks=(1, 48, 48))
    return tmp_path / "movie.zarr"


def graph(movie: Path, given: dict[str, Any]) -> dict[str, sp.Handle]:
    """Return a slow step beside labels, rows and their running sum."""
    raw = sp.open({"zarr": {"path": str(movie), "axes": "tyx"}})
    labels, cells = segmented(raw.background(window=20, every=10))
    number = raw.map(functions.number, kind="value", parameters=given, name="number")
    count = cells.running_count()
    return {"nuclei": labels, "cells": cells, "count": count, "number": number}


def tell_end(run: sp.Run, ended: threading.Event) -> None:
    """Tell when a run ends, however."""
    with suppress(sp.StreamprocError):
        run.wait()
    ended.set()


def kill_workers(run: sp.Run) -> int:
    """Kill a worker process every few seconds until the run ends; count them."""
    kills, ended = 0, threading.Event()
    wait_for(run, 1)  # a cluster starts only where nobody kills it
    threading.Thread(target=tell_end, args=(run, ended), daemon=True).start()
    before = 0
    while not ended.wait(PAUSE):
        done = run.metrics.counters.done
        # on a busy machine workers take longer than that to come back
        if done >= before + AT_LEAST:
            kills, before = kills + kill_one(), done
    return kills


def kill_one() -> int:
    """Kill any of our worker processes; return how many that was."""
    workers = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                workers.append(process)
    if not workers:
        return 0
    random.choice(workers).kill()
    return 1


def forget_words(run: Path) -> None:
    """Leave out what was said of failed frames."""
    with closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        db.execute("UPDATE frames SET error = 'failed' WHERE state = 'failed'")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("given", "failed"),
    [
        pytest.param({}, [], marks=pytest.mark.soak),
        pytest.param({"fails": SEVEN}, SEVEN, marks=pytest.mark.soak),
        pytest.param({"dies": [500]}, [500], marks=pytest.mark.soak),
        # all at once, in the gate
        ({"fails": SEVEN[:3], "dies": [500]}, [*SEVEN[:3], 500]),
    ],
    ids=["all done", "seven raise", "one kills its worker", "three and one"],
)
def test_workers_are_killed_and_nothing_is_lost(
    tmp_path: Path, movie: Path, given: dict[str, Any], failed: list[int]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sp.run(graph(movie, given), whole, executor={"threads": {"workers": 16}})
    run = sp.start(graph(movie, given), killed, executor={"dask": {"workers": 2}})
    kills = kill_workers(run)
    print(f"{kills} workers killed")
    assert kills >= 2
    counts = run.report().frames
    assert (counts.done, counts.failed) == (FRAMES - len(failed), len(failed))
    assert counts.admitted == FRAMES
    result = sp.load(killed)
    assert list(result.frames.frame) == list(range(FRAMES))
    states = result.frames.set_index("frame").state
    assert list(states[states == "failed"].index) == failed
    numbers = result.tables["number"]
    assert list(numbers["value"]) == sorted(set(range(FRAMES)) - set(failed))
    assert result.tables["count"]["total"].max() == len(result.tables["cells"])
    if "dies" in given:
        assert "its worker died" in result.frames.error[500]
        forget_words(whole)
        forget_words(killed)
    assert_same_run(whole, killed)
