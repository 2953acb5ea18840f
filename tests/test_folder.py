"""A run folder: made whole or not at all, refused where one is, read while it grows."""

import json
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamproc as sp
from streamproc import folder as folders
from streamproc.errors import RunFolderError, StoreError
from streamproc.folder import RunFolder, existing, fingerprint, new_folder, status
from tests.arrays import Arrays, noise, segmented, simulated, wait_for
from tests.functions import brighten


def test_a_folder_appears_at_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run")
    folder.create({"source": "µ.tif"})
    assert yaml.safe_load(folder.pipeline.read_text("utf-8")) == {"source": "µ.tif"}
    assert folder.ballast.stat().st_size == 4 << 20
    with pytest.raises(
        RunFolderError, match=r"exists already; choose another folder, or go on with"
    ):
        folder.create({})
    folder.remove()
    (tmp_path / "other").mkdir()
    with pytest.raises(
        RunFolderError, match="other exists already; choose another fol"
    ):
        RunFolder(tmp_path / "other").create({})


def test_nothing_is_left_where_it_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunFolderError, match=r"cannot create run folder .*Not a director"
    ):
        RunFolder(tmp_path / "file" / "run").create({})
    with pytest.raises(yaml.representer.RepresenterError):
        RunFolder(tmp_path / "run").create({"a": object()})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_new_folders_have_new_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = new_folder("my movie/1")
    first.mkdir(parents=True)
    second = new_folder("my movie/1")
    assert re.fullmatch(r"runs/\d{8}T\d{6}Z-my-movie-1", first.as_posix())
    assert first != second


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    for call in (existing, status, sp.load, sp.resume):
        with pytest.raises(RunFolderError, match=r"no run folder '.*nowhere'"):
            call(tmp_path / "nowhere")
        with pytest.raises(
            RunFolderError, match="is no run folder: it has no pipeline"
        ):
            call(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("{}")
    (tmp_path / "run.sqlite").write_text("no database, whatever its name says")
    with pytest.raises(StoreError, match=r"cannot read .*run.sqlite"):
        status(tmp_path)


def test_status_to_the_letter(tmp_path: Path, executor: str) -> None:
    raw = simulated(20)
    labels, cells = segmented(raw)
    saved = {"source": raw, "nuclei": labels, "cells": cells}
    report = sp.run(saved, tmp_path / "run", executor=executor)
    found = status(tmp_path / "run")
    assert list(found) == [
        "state",
        "admitted",
        "done",
        "failed",
        "skipped",
        "lost",
        "pending",
        "fps",
        "latency_ms",
        "saved",
        "reason",
    ]
    assert found["state"] == "finished"
    assert (found["admitted"], found["done"], found["pending"]) == (20, 20, 0)
    assert found["saved"] == ["source", "nuclei", "cells"]
    assert found["latency_ms"].keys() == {"p50", "p99"}
    assert found["fps"] == pytest.approx(report.fps)
    json.dumps(found)


def test_counts_agree_at_every_moment(tmp_path: Path, executor: str) -> None:
    """Read by other connections while a live run goes on."""
    labels, _ = segmented(simulated(None, live=True))
    run = sp.start({"labels": labels}, tmp_path / "run", executor=executor)
    seen = 0
    while run.metrics.counters.done < 300 and run.is_alive:
        found = status(tmp_path / "run")
        parts = sum(found[k] for k in ("done", "failed", "skipped", "pending"))
        assert found["admitted"] == parts
        assert found["state"] == "running"
        assert found["done"] >= seen
        seen = found["done"]
    run.stop()
    report = run.wait()
    found = status(tmp_path / "run")
    assert (found["state"], found["reason"]) == ("stopped", "stop was asked for")
    assert found["admitted"] == report.frames.admitted
    assert found["pending"] == report.frames.pending
    journal = (tmp_path / "run/admission.jsonl").read_bytes()
    assert found["admitted"] == journal.count(b"\n")


# --- resume refuses ------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A recording's run, stopped midway."""
    raw = simulated(200)
    labels = raw.map(brighten).threshold().label()
    run = sp.start({"labels": labels}, tmp_path / "run")
    wait_for(run, 5)
    run.stop()
    run.wait()
    return tmp_path / "run"


def edit(run: Path, change: Any) -> None:
    document = yaml.safe_load((run / "pipeline.yaml").read_text())
    change(document)
    (run / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def test_resume_goes_on_and_ends_once(stopped: Path) -> None:
    report = sp.resume(stopped)
    assert isinstance(report, sp.Report)
    assert (report.state, report.frames.done) == ("finished", 200)
    before = (sp.load(stopped).frames, status(stopped))
    again = sp.resume(stopped)
    assert isinstance(again, sp.Report)
    assert (again.state, again.frames.done) == ("finished", 200)
    assert sp.load(stopped).frames.equals(before[0])
    assert status(stopped) == before[1]


def test_resume_refuses_another_environment(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = fingerprint()
    changed = {**past, "numpy": "99"}
    monkeypatch.setattr("streamproc.runs.fingerprint", lambda: changed)
    message = f"begun in another environment \\(numpy was {past['numpy']}, is 99\\)"
    with pytest.raises(RunFolderError, match=message):
        sp.resume(stopped)
    report = sp.resume(stopped, force_environment=True)
    assert isinstance(report, sp.Report)
    assert report.frames.done == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["graph"]["threshold"]["threshold"].update(method="li"),
            "parameter method of step 'threshold' was otsu, is li; start a new run ins",
        ),
        (
            lambda d: d.update(save={"cells": "label"}),
            "saved names were \\['labels'\\], are \\['cells'\\]",
        ),
        (
            lambda d: d["source"]["simulation"].update(seed=5),
            r"the source is not the same \(files, their sizes, pixels or parameters di",
        ),
        (
            lambda d: d["source"]["simulation"].update(frames=199),
            r"the source is not the same \(frames was 200, is 199\)",
        ),
        (
            lambda d: d["graph"]["map"]["map"].update(function="numpy:positive"),
            "parameter function of step 'map' was .*, is numpy:positive",
        ),
    ],
)
def test_resume_refuses_another_pipeline(
    stopped: Path, change: Any, message: str
) -> None:
    edit(stopped, change)
    before = sorted(p.name for p in stopped.iterdir())
    with pytest.raises(RunFolderError, match=f"cannot be resumed: {message}"):
        sp.resume(stopped)
    assert sorted(p.name for p in stopped.iterdir()) == before


def test_resume_takes_other_options(stopped: Path) -> None:
    edit(stopped, lambda d: d.update(executor="inline", on_error="stop"))
    report = sp.resume(stopped)
    assert isinstance(report, sp.Report)
    assert report.frames.done == 200


def test_resume_of_a_stream_that_was_not_saved(tmp_path: Path) -> None:
    """What was only listened to belongs to the graph that is resumed."""
    raw = simulated(200)
    smooth = raw.gaussian(sigma=1)
    smooth.stream.sink(lambda value: None)
    run = sp.start({"mask": raw.threshold()}, tmp_path / "run")
    run.drain()
    run.wait()
    report = sp.resume(tmp_path / "run")
    assert isinstance(report, sp.Report)
    assert report.frames.done == 200


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sp.open(Arrays(noise(3))), "its source is a Python object, not a nam"),
        (lambda: simulated(3).map(lambda i: i), "cannot be imported by name"),
    ],
)
def test_resume_says_what_cannot_be_resumed(
    tmp_path: Path, make: Any, message: str
) -> None:
    sp.run([make()], tmp_path / "run")
    with pytest.raises(RunFolderError, match=f"run cannot be resumed: .*{message}"):
        sp.resume(tmp_path / "run")


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    run = sp.start([simulated(None, live=True)], tmp_path / "run")
    try:
        message = f"in use by process {os.getpid()} on .*; wait for its end or choose"
        with pytest.raises(RunFolderError, match=message):
            sp.resume(tmp_path / "run")
        with pytest.raises(RunFolderError, match="run in it: streamproc resume"):
            sp.run([simulated()], tmp_path / "run")
    finally:
        run.stop()
        run.wait()


# --- results ---------------------------------------------------------------------


def test_readers_cannot_write(stopped: Path) -> None:
    db = folders.connect_readonly(stopped / "run.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM frames")
    db.close()


def test_log_lines(tmp_path: Path) -> None:
    sp.run([simulated(3)], tmp_path / "run")
    lines = [
        json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["kind"] == "end"
    assert lines[-1]["message"].startswith("finished: 3 done, 0 failed")
    assert np.all(np.diff([line["time"] for line in lines]) >= 0)


def test_a_run_that_saves_nothing_is_resumed_too(tmp_path: Path) -> None:
    raw = simulated(200)
    run = sp.start([raw.gaussian(sigma=1)], tmp_path / "run")
    wait_for(run, 3)
    run.stop()
    run.wait()
    report = sp.resume(tmp_path / "run")
    assert isinstance(report, sp.Report)
    assert (report.state, report.frames.done) == ("finished", 200)


def test_status_of_a_run_killed_while_it_began(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "pipeline.yaml").write_text("source: a.tif\nsave: [source]\n")
    for content in (None, b""):
        if content is not None:
            (run / "run.sqlite").write_bytes(content)
        found = status(run)
        assert (found["state"], found["admitted"]) == ("interrupted", 0)
