"""What an engineer is told is what SQL and the run's own figures say."""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamproc.dashboards.bench import Bench
from streamproc.dashboards.feed import Feed

import streamproc as sp
from streamproc.folder import RunFolder, connect_readonly
from tests import cameras


def save(raw: Any) -> dict[str, sp.Handle]:
    labels = raw.gaussian(sigma=1).threshold().label()
    return {"source": raw, "spots": labels, "cells": labels.measure(raw)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A live run with gaps, failures and objects."""
    return sp.run(save(sp.open(cameras.Lossy())), tmp_path / "run").path


def told(path: Path) -> dict[str, Any]:
    feed = Feed(RunFolder(path))
    found = Bench(feed).told(feed.told())
    feed.close()
    again: dict[str, Any] = json.loads(json.dumps(found))
    assert again == found
    return again


def test_steps_and_stages_are_those_of_the_ledger(run: Path) -> None:
    work = told(run)["work"]
    frames = sp.load(run).frames
    done = frames["state"] == "done"
    steps = {step["name"]: step for step in work["steps"]}
    assert list(steps) == [
        *("(read)", "gaussian", "threshold", "label", "measure"),
        *("(encode)", "(commit)"),
    ]
    assert steps["measure"]["frames"] == done.sum()
    assert steps["(commit)"]["frames"] == len(frames)
    assert steps["(read)"]["failed"] == (~done).sum()
    shares = [step["share"] for step in steps.values() if step["share"] is not None]
    assert sum(shares) == pytest.approx(1)
    assert steps["(commit)"]["share"] is None
    for step in steps.values():  # of a run that has ended: of all
        assert step["ms"] == pytest.approx(1e3 * step["seconds"] / step["frames"])
    assert work["stages"][0]["name"] == "log"
    assert sum(worker["frames"] for worker in work["workers"]) == done.sum()


def test_losses_are_those_of_gaps_and_none_is_counted_twice(run: Path) -> None:
    feed = Feed(RunFolder(run))
    bench = Bench(feed)
    bench.told(feed.told())
    found = bench.told(feed.told())["losses"]
    feed.close()
    gaps = sp.load(run).gaps.groupby(["place", "reason"])["count"]
    shown = {(x["place"], x["reason"]): x["frames"] for x in found}
    assert shown == gaps.sum().to_dict()
    assert sum(x["gaps"] for x in found) == len(sp.load(run).gaps)


def test_the_disk_is_what_summary_and_the_file_system_say(run: Path) -> None:
    disk = told(run)["disk"]
    chunks = sum_of_bytes(run)
    ledger = (run / "run.sqlite").stat().st_size
    assert disk["written"] == chunks + ledger
    assert 0 < disk["rate"] <= chunks
    free = shutil.disk_usage(run).free
    assert disk["free"] == pytest.approx(free, rel=0.05)
    assert disk["hours"] is None  # nothing is written any more


def sum_of_bytes(run: Path) -> int:
    with closing(connect_readonly(run / "run.sqlite")) as db:
        total = db.execute("SELECT sum(length) FROM chunks").fetchone()
    return int(total[0])


def test_hours_are_left_while_the_run_goes_on(tmp_path: Path) -> None:
    form = {"simulation": {"frames": 100_000, "shape": [64, 64], "live": True}}
    limits = {"disk_reserve": "1MB"}
    run = sp.start(save(sp.open(form)), tmp_path / "run", limits=limits)
    feed = Feed(run.folder)
    bench = Bench(feed)
    try:
        while (found := bench.told(feed.told()))["disk"]["hours"] is None:
            pass
        while found["work"] is None:
            found = bench.told(feed.told())
    finally:
        run.stop()
        run.wait()
        feed.close()
    disk = found["disk"]
    room = disk["free"] - 1_000_000
    assert disk["hours"] == pytest.approx(room / disk["rate"] / 3600)
    assert found["lag"]["bytes"] == found["lag"]["frames"] * 64 * 64 * 2
    assert found["work"]["is_on"]


def test_the_slowest_step_is_named_where_workers_are_busy(tmp_path: Path) -> None:
    def slow(pixels: np.ndarray) -> np.ndarray:
        for _ in range(200):
            np.linalg.norm(pixels)
        return pixels

    raw = sp.open({"simulation": {"frames": 60, "shape": [512, 512], "live": False}})
    out = raw.map(slow, kind="image", name="norm").gaussian()
    run = sp.run({"out": out}, tmp_path / "run", executor="inline")
    limit = told(run.path)["limit"]
    work = told(run.path)["work"]
    (worker,) = work["workers"]
    share = {s["name"]: s["share"] for s in work["steps"]}["norm"]
    assert share > 0.5
    assert worker["occupancy"] > 0.8
    assert limit == {
        "what": "norm",
        "why": f"{share:.0%} of computing; workers {worker['occupancy']:.0%} busy",
    }


def test_without_a_word_of_the_run_nothing_is_made_up(run: Path) -> None:
    (run / "work.json").unlink()
    found = told(run)
    assert (found["work"], found["limit"], found["lag"]["bytes"]) == (None, None, None)
    shutil.rmtree(run)
    found = told(run)
    assert found["disk"] == {"rate": None, "free": None, "hours": None, "written": 0}
    assert found["losses"] == []
