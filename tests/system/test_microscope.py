"""Whole runs on Micro-Manager's demo devices: full rate, slow analysis, kill -9."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamproc as sp
from tests.arrays import Array

pytest.importorskip("pymmcore_plus", reason="pymmcore-plus is not installed")
pytest.importorskip("mm_test_adapters", reason="no demo devices")

from streamproc.sinks.microscope import decisions

#: Seconds of filming at full rate.
LONG = 30.0
REPOSITORY = Path(__file__).parents[2]


def slowly(image: Array) -> Array:
    """Take 100 ms for an image."""
    time.sleep(0.1)
    return np.asarray(image > image.mean())


def counted(result: Any) -> list[int]:
    """Return the camera's own numbers of the frames that were admitted."""
    return [json.loads(text)["ImageNumber"] for text in result.frames["metadata"]]


@pytest.mark.soak
@pytest.mark.parametrize("size", [512, 1024])
def test_nothing_is_lost_at_full_rate(
    tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # pictures are not drawn anew: the exposure alone is its rate
    chip = {"OnCameraCCDXSize": size, "OnCameraCCDYSize": size, "FastImage": 1}
    given = {"exposure_ms": 10, "properties": {"Camera": chip}}
    raw = sp.open({"micromanager": given})
    run = sp.start({"labels": raw.threshold("otsu").label()}, tmp_path / "run")
    with pytest.raises(TimeoutError):
        run.wait(LONG)
    run.drain()
    frames = run.wait().frames
    result = sp.load(run.path)
    numbers = counted(result)
    assert numbers[-1] + 1 == frames.admitted + frames.lost
    assert (frames.done, frames.failed, frames.skipped) == (frames.admitted, 0, 0)
    assert numbers == sorted(set(numbers))
    assert result.labels["labels"].shape == (frames.admitted, size, size)
    elapsed = float(np.ptp(result.frames["time"]))
    latency = np.percentile(result.frames["latency_ms"], [50, 99])
    with capsys.disabled():
        print(
            f"\n{size}²: {frames.admitted} frames at {frames.admitted / elapsed:.1f}/s,"
            f" lost {frames.lost}; p50 {latency[0]:.0f} ms, p99 {latency[1]:.0f} ms"
        )


@pytest.mark.slow
def test_a_slow_analysis_costs_no_frame(tmp_path: Path) -> None:
    given = {"exposure_ms": 10, "roi": [0, 0, 128, 128], "buffer_mb": 16}
    raw = sp.open({"micromanager": given})
    slow = raw.map(slowly, kind="mask", name="slow")
    report = sp.run({"slow": slow}, tmp_path / "run", frames=80)
    assert (report.frames.done, report.frames.lost) == (80, 0)
    result = sp.load(tmp_path / "run")
    assert counted(result) == list(range(80))
    # the camera went on at its own pace, the analysis did not
    taken = float(np.ptp(result.frames["time"]))
    assert taken < float(np.ptp(result.frames["committed_at"]))


def killed_at(
    folder: Path,
    source: dict[str, Any],
    frames: int,
    at: int,
    sinks: Sequence[dict[str, Any]] = (),
) -> Path:
    """Run a pipeline, kill it once so many frames are admitted, and resume it."""
    file, run = folder / "film.yaml", folder / "run"
    document: dict[str, Any] = {
        "source": {"micromanager": source},
        "graph": {"mask": {"threshold": "otsu"}, "nuclei": {"label": {}}},
        "save": ["nuclei"],
    }
    if sinks:  # they take a table, and that is of one channel
        document["graph"]["cells"] = {"measure": {"intensity": "source"}}
        document |= {"save": ["cells"], "sinks": list(sinks)}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    start = [sys.executable, "-m", "streamproc"]
    command = [*start, "run", str(file), "--to", str(run), "--frames", str(frames)]
    log = folder / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stderr=out)
    journal = run / "admission.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < at:
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    process.kill()
    process.wait()
    admitted = journal.read_bytes().count(b"\n")
    assert at <= admitted < frames, "it was killed too late"
    done = subprocess.run(
        [*start, "resume", str(run)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.slow
def test_a_film_that_is_killed_goes_on(tmp_path: Path) -> None:
    source = {"exposure_ms": 20, "roi": [0, 0, 128, 128], "buffer_mb": 16}
    run = killed_at(tmp_path, source, 200, 60)
    result = sp.load(run)
    assert list(result.frames["frame"]) == list(range(200))
    assert list(result.frames["state"]) == 200 * ["done"]
    # its counter begins anew, and nobody knows what was missed meanwhile
    numbers = counted(result)
    begins = numbers.index(0, 1)
    assert begins >= 60
    assert numbers == [*range(begins), *range(200 - begins)]
    (gap,) = result.gaps.to_dict("records")
    assert (gap["count"], gap["place"]) == (0, "restart")
    assert "the run was not on" in gap["reason"]
    assert "unknown" in gap["reason"]
    assert list(result.frames["source_index"]) == list(range(200))


@pytest.mark.slow
def test_an_acquisition_that_is_killed_goes_on(tmp_path: Path) -> None:
    sequence = {
        "channels": ["DAPI", "FITC"],
        "time_plan": {"interval": 0.05, "loops": 40},
        "stage_positions": [[0, 0, 0], [10, 0, 0]],
    }
    source = {"exposure_ms": 5, "roi": [0, 0, 64, 64], "sequence": sequence}
    run = killed_at(tmp_path, {**source, "buffer_mb": 16}, 1000, 20)
    result = sp.load(run)
    assert list(result.frames["state"]) == 80 * ["done"]
    told = [json.loads(text) for text in result.frames["metadata"]]
    assert [(m["t"], m["p"]) for m in told] == [(n // 2, n % 2) for n in range(80)]
    assert result.gaps.empty


@pytest.mark.slow
@pytest.mark.parametrize("at", [20, 31, 45])
def test_what_is_followed_is_followed_after_a_kill(tmp_path: Path, at: int) -> None:
    source = {
        "exposure_ms": 10,
        "roi": [0, 0, 64, 64],
        "sequence": {"channels": ["DAPI"]},
        "feedback": True,
        "buffer_mb": 4,
    }
    sinks = [{"microscope": {"function": "tests.deciding:walk"}}]
    run = killed_at(tmp_path, source, 1000, at, sinks)
    result = sp.load(run)
    # frame 0, and the three that each third one up to 87 asked for
    assert list(result.frames["state"]) == 91 * ["done"]
    told = [json.loads(text)["event"] for text in result.frames["metadata"][1:]]
    asked = [{"answers": n, "step": step} for n in range(0, 90, 3) for step in range(3)]
    assert told == asked
    made = decisions(run)
    assert list(made["frame"]) == list(range(91))
    assert made["events"].sum() == 90
