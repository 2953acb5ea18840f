"""kill -9 at random moments, resume: as if nothing had happened."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr

from tests.same_run import assert_same_run

PIPELINE: dict[str, Any] = {
    "graph": {
        "flat": {"background": {"window": 50, "every": 25}},
        "smooth": {"gaussian": {"sigma": 2}},
        "mask": {"threshold": {"method": "otsu"}},
        "opened": {"binary_opening": {"radius": 2}},
        "nuclei": {"label": {}},
        "cells": {
            "measure": {"intensity": "source", "properties": ["area", "centroid"]}
        },
        "count": {"running_count": {}},
    },
    "save": ["source", "flat", "nuclei", "cells", "count"],
    "limits": {"disk_reserve": "100MB"},
}
FRAMES = 260


def write_pipeline(folder: Path, *, live: bool, executor: str, images: str) -> Path:
    """Write the pipeline of one case."""
    simulation = {"frames": FRAMES, "shape": [200, 232], "live": live, "fps": None}
    given = {
        "source": {"simulation": simulation},
        **PIPELINE,
        "executor": executor,
        "store": {"images": images},
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def streamproc(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamproc", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a command that must succeed."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error


@pytest.mark.parametrize(
    ("live", "executor", "images", "kills"),
    [
        (False, "threads", "none", 4),
        (False, "threads", "blosc-lz4", 3),
        (False, "inline", "zstd", 3),
        (True, "threads", "none", 4),
        (True, "threads", "blosc-lz4", 3),
        (True, "inline", "none", 3),
    ],
)
def test_killed_and_resumed_equals_unbroken(
    tmp_path: Path, live: bool, executor: str, images: str, kills: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pipeline = write_pipeline(tmp_path, live=live, executor=executor, images=images)
    started = time.monotonic()
    finish(streamproc("run", pipeline, "--to", tmp_path / "whole"))
    duration = time.monotonic() - started

    broken = tmp_path / "broken"
    for _ in range(kills):
        process = start_or_resume(pipeline, broken)
        try:
            process.communicate(timeout=chance.uniform(0.2, duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    finish(start_or_resume(pipeline, broken))
    assert_same_run(tmp_path / "whole", broken)
    finish(streamproc("verify", broken))


def start_or_resume(pipeline: Path, run: Path) -> subprocess.Popen[str]:
    """Begin the run, or go on where its folder exists."""
    if run.exists():
        return streamproc("resume", run)
    return streamproc("run", pipeline, "--to", run)


def test_torn_index_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, live=True, executor="threads", images="none")
    run = tmp_path / "run"
    finish(streamproc("run", pipeline, "--to", run))
    store = run / "images.ome.zarr"
    whole = {}
    for name in ("source/0", "flat/0", "source/labels/nuclei/0"):
        whole[name] = np.asarray(zarr.open_array(store / name, mode="r")[:])
        shard = sorted(store.joinpath(name).glob("c.*"))[-1]
        content = bytearray(shard.read_bytes())
        content[-2048:] = bytes(2048)
        shard.write_bytes(content)
    finish(streamproc("resume", run))
    for name, pixels in whole.items():
        again = np.asarray(zarr.open_array(store / name, mode="r")[:])
        assert np.array_equal(again, pixels), name
