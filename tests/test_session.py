"""What a run keeps, says, and can do again."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import streamproc as sp
from streamproc.cli import app


def live(frames: int | None = None, **more: Any) -> sp.Image:
    """Open a live simulation that is as fast as it can be."""
    given = {"frames": frames, "shape": [300, 280], "fps": None, **more}
    return sp.open({"simulation": given})


@pytest.mark.parametrize("how", ["stop", "drain"])
def test_a_live_source_runs_again_after_it_was_stopped(
    tmp_path: Path, how: str
) -> None:
    raw = live()
    cells = raw.threshold("otsu").label().measure(raw)
    run = sp.start({"cells": cells}, tmp_path / "first")
    while not run.report().frames.done:
        pass
    getattr(run, how)()
    assert run.wait().state == "stopped"
    report = sp.run({"cells": cells}, tmp_path / "second", frames=20)
    assert (report.state, report.frames.done) == ("finished", 20)


def test_a_kept_log_is_the_saved_image_with_its_pyramid(tmp_path: Path) -> None:
    raw = live(10)
    report = sp.run({"nuclei": raw.threshold().label()}, tmp_path / "run")
    assert report.saved == ("source", "nuclei")
    store = tmp_path / "run/images.ome.zarr/source"
    full = np.asarray(zarr.open_array(store / "0", mode="r")[:])
    half = np.asarray(zarr.open_array(store / "1", mode="r")[:])
    assert half.shape == (10, 150, 140)
    assert np.allclose(half.mean(), full.mean(), rtol=1e-2)


def test_log_tells_the_begin_and_why_a_frame_failed(tmp_path: Path) -> None:
    def fail(image: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("no light")

    report = sp.run(live(3).map(fail), tmp_path / "run")
    assert report.frames.failed == 3
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    assert said[0]["message"] == "started at frame 0"
    failed = [entry for entry in said if entry["kind"] == "failed"]
    assert [entry["frame"] for entry in failed] == [0, 1, 2]
    assert "raise ZeroDivisionError" in failed[0]["traceback"]


def test_speed_of_the_last_session_survives_an_empty_one(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 30, "live": False}})
    sp.run({"mask": raw.threshold()}, tmp_path / "run")
    before = sp.load(tmp_path / "run").status()
    assert before["fps"] > 0
    sp.resume(tmp_path / "run")
    assert sp.load(tmp_path / "run").status()["fps"] == before["fps"]


def test_objects_of_a_resumed_run_are_those_of_the_whole_run(tmp_path: Path) -> None:
    # were those of the last session alone
    raw = sp.open({"simulation": {"frames": 200, "live": False}})
    cells = raw.gaussian(sigma=1).threshold().label().measure(raw)
    run = sp.start({"cells": cells}, tmp_path / "run")
    while not run.report().frames.done:
        time.sleep(0.005)
    run.stop()
    part = run.wait()
    whole, again = sp.resume(tmp_path / "run"), sp.resume(tmp_path / "run")
    assert isinstance(whole, sp.Report)
    assert isinstance(again, sp.Report)
    rows = len(sp.load(tmp_path / "run").tables["cells"][:])
    assert 0 < part.objects < rows
    assert whole.frames.done == again.frames.done == 200
    assert whole.objects == again.objects == rows


def test_frames_and_resume_exclude_each_other(tmp_path: Path) -> None:
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        "source: {simulation: {frames: 9, live: false}}\n"
        "graph: {mask: {threshold: otsu}}\n"
        "save: [mask]\n"
    )
    run = ["run", str(pipeline), "--to", str(tmp_path / "run")]
    assert CliRunner().invoke(app, [*run, "--frames", "5"]).exit_code == 0
    again = CliRunner().invoke(app, [*run, "--frames", "7", "--resume"])
    assert isinstance(again.exception, sp.ConfigError)
    assert "belongs to the begin of a run" in str(again.exception)


def test_a_bare_operator_is_told_how_to_be_written(tmp_path: Path) -> None:
    from streamproc.config import parse

    with pytest.raises(sp.ConfigError, match=r"got 'label'; write it as \{label: "):
        parse({"source": "a.tif", "graph": {"l": "label"}, "save": ["l"]})


def test_parameters_that_contradict_each_other_are_refused_first(
    tmp_path: Path,
) -> None:
    raw = sp.open({"simulation": {"frames": 3, "shape": [32, 32], "live": False}})
    words = r"^graph\.threshold: value: 100 is of method 'fixed', the method is 'otsu'"
    with pytest.raises(sp.ConfigError, match=words):
        sp.run({"mask": raw.threshold(value=100.0)}, tmp_path / "run")
    assert not list(tmp_path.iterdir())
