"""Other processes read a run while it goes on, and other readers read it after."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorstore
import yaml
import yaozarrs
import zarr
from ome_zarr_models import open_ome_zarr
from streamproc.sources.simulation import Simulation

FRAMES = 150
SHAPE = (300, 280)
WATCH = """
import sqlite3, sys, time
from pathlib import Path
path = Path(sys.argv[1])
print("watching", flush=True)
looks = last = 0
while last < int(sys.argv[2]):
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    with db:
        db.execute("BEGIN")
        frames = db.execute("SELECT count(*), max(frame) + 1 FROM frames").fetchone()
        cells = db.execute("SELECT count(DISTINCT frame) FROM cells").fetchone()[0]
        admitted = int(
            dict(db.execute("SELECT key, value FROM run")).get("admitted", 0)
        )
        summed = db.execute(
            "SELECT sum(done) FROM summary WHERE seconds=1"
        ).fetchone()[0]
    db.close()
    count, end = frames
    assert count == (end or 0), frames
    assert cells == count, (cells, count)
    assert admitted >= count
    assert (summed or 0) == count, (summed, count)
    assert count >= last
    last, looks = count, looks + 1
print(looks)
"""


def newest(run: Path) -> int | None:
    """Return the newest committed frame."""
    db = sqlite3.connect(f"{(run / 'run.sqlite').as_uri()}?mode=ro", uri=True)
    try:
        found = db.execute("SELECT max(frame) FROM frames WHERE state='done'")
        return found.fetchone()[0]  # type: ignore[no-any-return]  # SQL's own type
    finally:
        db.close()


def validate(store: Path) -> None:
    """Let both validators judge the whole store."""
    yaozarrs.validate_zarr_store(str(store))
    for image in (store / "source", store / "source" / "labels" / "nuclei"):
        open_ome_zarr(zarr.open_group(image, mode="r"))


def test_readers_during_and_after_a_live_run(tmp_path: Path) -> None:
    simulation = {"frames": FRAMES, "shape": list(SHAPE), "fps": 50}
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(
        yaml.safe_dump(
            {
                "source": {"simulation": simulation},
                "graph": {
                    "smooth": {"gaussian": {"sigma": 2}},
                    "mask": {"threshold": "otsu"},
                    "nuclei": {"label": None},
                    "cells": {"measure": {"intensity": "source"}},
                },
                "save": ["source", "nuclei", "cells"],
                "limits": {"disk_reserve": "100MB"},
            },
            sort_keys=False,
        )
    )
    run = tmp_path / "run"
    command = [sys.executable, "-m", "streamproc", "run", str(pipeline)]
    command += ["--to", str(run)]
    engine = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    truth = Simulation(FRAMES, shape=SHAPE, live=False)
    store = run / "images.ome.zarr"
    while not (run / "run.sqlite").exists() or not has_frames(run):
        assert engine.poll() is None, engine.communicate()
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, run / "run.sqlite", str(FRAMES)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    validate(store)
    reads = 0
    while engine.poll() is None:
        frame = newest(run)
        assert frame is not None
        pixels = zarr.open_array(store / "source/0", mode="r")[frame]
        assert np.array_equal(np.asarray(pixels), truth.read(frame).pixels)
        labels = zarr.open_array(store / "source/labels/nuclei/0", mode="r")[frame]
        assert np.asarray(labels).max() > 0
        reads += 1
    _out, error = engine.communicate()
    assert engine.returncode == 0, error
    looks, problem = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, problem
    assert reads > 10, (reads, looks)
    validate(store)
    for name in ("source/0", "source/labels/nuclei/0"):
        mine = np.asarray(zarr.open_array(store / name, mode="r")[:])
        spec = {"driver": "zarr3", "kvstore": f"file://{store / name}/"}
        theirs = tensorstore.open(spec).result().read().result()
        assert mine.shape == (FRAMES, *SHAPE)
        assert np.array_equal(mine, theirs)


def has_frames(run: Path) -> bool:
    """Return whether a first frame is committed."""
    try:
        return newest(run) is not None
    except sqlite3.OperationalError:
        return False
