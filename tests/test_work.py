"""What a run tells of its work is what the ledger has, on every executor."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc.folder import RunFolder
from streamproc.metrics import LATE, Durations
from streamproc.work import read_work, shares
from tests import cameras
from tests.workers import begun

STEPS = {"(read)", "gaussian", "threshold", "label", "measure", "(encode)", "(commit)"}
EXECUTORS = ["inline", "threads", pytest.param("dask", marks=pytest.mark.slow)]


def told(path: Path) -> dict[str, Any]:
    found = read_work(RunFolder(path))
    assert found is not None
    return found


def save(frames: int = 40, *, live: bool = False) -> dict[str, sp.Handle]:
    form = {"frames": frames, "shape": [64, 64], "live": live}
    raw = sp.open({"simulation": form})
    labels = raw.gaussian(sigma=1).threshold().label()
    return {"source": raw, "spots": labels, "cells": labels.measure(raw)}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_counts_and_workers_are_those_of_the_ledger(
    tmp_path: Path, executor: str
) -> None:
    report = sp.run(save(), tmp_path / "run", executor=executor)
    found, frames = told(report.path), sp.load(report.path).frames
    assert set(found["steps"]) == STEPS
    for name, step in found["steps"].items():
        assert (step["frames"], step["failed"]) == (len(frames), 0), name
        assert step["seconds"] > 0, name
        assert 0 < step["p50"] <= step["p99"], name
    assert sum(shares(found["steps"], late=False).values()) == pytest.approx(1)
    assert sum(shares(found["steps"], late=True).values()) == pytest.approx(1)
    assert (found["executor"], found["ended"], found["page"]) == (executor, True, None)
    by_worker = dict(frames["worker"].value_counts())
    known = {w["name"]: w["frames"] for w in found["workers"] if w["frames"]}
    assert known == by_worker
    for worker in found["workers"]:
        assert 0 <= worker["occupancy"] <= 1
        assert worker["state"] == "idle"
        assert (worker["memory"] is not None) == (executor == "dask")


def test_stages_add_up_to_the_latency(tmp_path: Path) -> None:
    report = sp.run(save(live=True), tmp_path / "run")
    stages = told(report.path)["stages"]
    assert list(stages) == ["log", "worker", "computing", "turn", "commit"]
    whole = sp.load(report.path).frames["latency_ms"].sum() / 1e3
    parts = [stages[n]["seconds"] for n in ("worker", "computing", "turn", "commit")]
    # a row cannot hold how long its own transaction took: it has that of the last
    assert sum(parts) == pytest.approx(whole, rel=0.2, abs=0.5)
    assert {stage["frames"] for stage in stages.values()} == {40}


def test_failures_are_counted_where_they_happen(tmp_path: Path) -> None:
    def picky(pixels: np.ndarray) -> np.ndarray:
        if pixels[0, 0] % 2:
            raise ValueError("odd")
        return pixels

    raw = sp.open({"simulation": {"frames": 30, "shape": [32, 32], "live": False}})
    mine = raw.map(picky, kind="image", name="mine")
    report = sp.run({"out": mine.gaussian()}, tmp_path / "run")
    assert 0 < report.frames.failed < 30
    steps = told(report.path)["steps"]
    assert {n: s["failed"] for n, s in steps.items() if s["failed"]} == {
        "mine": report.frames.failed
    }
    assert steps["gaussian"]["frames"] == report.frames.done


def test_frames_that_cannot_be_read_fail_there(tmp_path: Path) -> None:
    raw = sp.open(cameras.Lossy())
    report = sp.run({"source": raw}, tmp_path / "run")
    steps = told(report.path)["steps"]
    assert steps["(read)"]["failed"] == report.frames.failed > 0


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ordered_steps_and_backgrounds_are_timed(tmp_path: Path, executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 20, "shape": [64, 64], "live": False}})
    clean = raw.background(window=4, every=2)
    count = clean.threshold().label().measure(raw).running_count()
    report = sp.run({"count": count}, tmp_path / "run", executor=executor)
    found = told(report.path)
    for name in ("background", "running_count"):
        assert found["steps"][name]["frames"] == 20
    assert sum(w["frames"] for w in found["workers"]) == 20
    graph = {step["name"]: step for step in found["graph"]["steps"]}
    assert graph["background"]["role"] == "windowed"
    ordered = graph["running_count"]
    assert (ordered["role"], ordered["level"]) == ("ordered", 1)
    assert found["graph"]["outputs"] == [
        {"name": "count", "step": "running_count", "kind": "value"}
    ]


def test_steps_that_run_together_are_told(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 2, "shape": [32, 32], "live": False}})
    out = raw.gaussian().add(value=1).multiply(value=2)
    report = sp.run({"out": out}, tmp_path / "run")
    joined = {s["name"]: s["joined"] for s in told(report.path)["graph"]["steps"]}
    assert joined["add"] == joined["multiply"] is not None
    assert joined["gaussian"] is joined["source"] is None


def test_a_run_that_is_resumed_goes_on_counting(tmp_path: Path) -> None:
    run = sp.start(save(100_000), tmp_path / "run")
    while not run.report().frames.done:
        pass
    run.stop()
    done = run.wait().frames.done
    assert told(run.path)["steps"]["measure"]["frames"] == done
    again = sp.resume(run.path, wait=False)
    assert isinstance(again, sp.Run)
    while again.report().frames.done == done:
        pass
    again.stop()
    frames = again.wait().frames
    assert frames.done > done
    assert told(run.path)["steps"]["measure"]["frames"] == frames.done


def test_it_is_told_while_the_run_goes_on(tmp_path: Path) -> None:
    run = sp.start(save(100_000), tmp_path / "run")
    folder = RunFolder(run.path)
    while (found := read_work(folder)) is None:
        pass
    run.stop()
    run.wait()
    assert not found["ended"]
    assert found["flight"]["frames"] <= found["flight"]["most_frames"]
    assert found["memory"] > 1e6


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    run = sp.start(save(100_000), tmp_path / "run")
    while not run.report().frames.done:
        pass
    shutil.rmtree(run.path, ignore_errors=True)
    with pytest.raises(sp.StreamprocError):
        run.wait()
    assert not (run.path / "work.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', '{"format": 99}', "{}"])
def test_what_is_torn_is_nothing(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path)
    assert read_work(folder) is None
    folder.work.write_text(text)
    assert read_work(folder) is None


def test_durations_are_those_of_all_and_of_the_last() -> None:
    durations = Durations()
    values = np.random.default_rng(1).uniform(0.001, 0.01, 3 * LATE)
    for value in values:
        durations.add(value)
    found, last = durations.told(), np.sort(values[-LATE:]) * 1e3
    assert found["frames"] == len(values)
    assert found["seconds"] == pytest.approx(values.sum())
    assert found["ms"] == pytest.approx(last.mean())
    assert (found["p50"], found["p99"]) == (last[LATE // 2], last[LATE * 99 // 100])
    assert Durations().told()["p50"] is None
    assert shares({"a": Durations().told()}, late=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize("shows", [True, False])
def test_a_page_of_dasks_own_is_told(tmp_path: Path, shows: bool) -> None:
    from streamproc.execution.cluster import Cluster, ClusterOptions

    told, pause = tmp_path / "scheduler.json", threading.Event()
    place = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told)]
    page = ["--dashboard-address", "127.0.0.1:0"] if shows else ["--no-dashboard"]
    with begun("distributed.cli.dask_scheduler", *place, *page) as head:
        while head.poll() is None and not told.exists():
            pause.wait(0.02)
        address = json.loads(told.read_text())["address"]
        cluster = Cluster(ClusterOptions(scheduler=address), 1)
        found = cluster.page
        cluster.close()
    if shows:
        assert found is not None
        assert found.startswith("http://127.0.0.1:")
    else:
        assert found is None
