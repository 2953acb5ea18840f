"""Frames that come at a fixed rate: how long until each one's results are saved."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np

import streamproc as sp

from . import analysis, contest, ours, peers
from .analysis import Recording, make_recording

Delays = list[float]


class Camera:
    """A recording played as a camera would give it: frame n is due at n / fps."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recording: Recording, fps: float) -> None:
        self._recording, self._fps = recording, fps
        self.info = sp.SourceInfo(
            shape=(recording.side, recording.side),
            dtype=np.dtype(np.uint16),
            axes="yx",
            identity=f"camera:{recording.frames}",
            frames=recording.frames,
            live=True,
            fps=fps,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame]:
        """Read and yield each frame when it is due; its time is when it was due."""
        array = analysis.opened(self._recording.path)
        for number, due in enumerate(paced(self._recording.frames, self._fps)):
            yield sp.Frame(array[number], number, due)

    def read(self, index: int) -> sp.Frame:
        """Refuse: a camera cannot go back."""
        raise sp.FrameError(f"frame {index} is gone")

    def stop(self) -> None:
        """Go on to the end: it is short."""

    def close(self) -> None:
        """Nothing to close."""


def paced(frames: int, fps: float) -> Iterator[float]:
    """Yield the time when each frame is due, once it is."""
    start = time.time() + 0.2
    for number in range(frames):
        due = start + number / fps
        time.sleep(max(due - time.time(), 0.0))
        yield due


def plain_loop(recording: Recording, fps: float, folder: Path) -> Delays:
    """Read, analyse and save each frame when it is due; rows are committed."""
    labels = folder / "labels.zarr"
    analysis.make_labels(labels, recording)
    peers.begin(recording.path)
    delays = []
    with closing(sqlite3.connect(folder / "cells.sqlite")) as db:
        take = peers.inserter(db)
        for number, due in enumerate(paced(recording.frames, fps)):
            take(peers.one(recording.path, str(labels), number))
            db.commit()
            delays.append(time.time() - due)
    return delays


def engine(recording: Recording, fps: float, folder: Path) -> Delays:
    """Run the engine on the camera, everything on as it is by default."""
    raw = sp.open(Camera(recording, fps))
    sp.run(ours.graph(raw), to=folder / "run", executor={"threads": {"workers": 2}})
    frames = sp.load(folder / "run").frames
    return list(frames["committed_at"] - frames["time"])


def bench_live(root: Path, frames: int, side: int, rounds: int, fps: float) -> None:
    """Compare the latencies of both; percentiles are those of all rounds' frames."""
    recording = make_recording(root / "live.zarr", frames, side)
    contestants: dict[str, Callable[[Recording, float, Path], Delays]] = {
        "plain loop": plain_loop,
        "ours, threads": engine,
    }
    delays: dict[str, Delays] = {name: [] for name in contestants}
    begin = min(round(fps), frames // 2)
    for _ in range(rounds):
        for name, run in contestants.items():
            with contest.scratch(root) as folder:
                delays[name] += run(recording, fps, folder)[begin:]
    print(
        f"\n{frames} frames of {side}² at {fps:g} frames/s, {rounds} rounds: from the "
        "frame's due time to its rows and labels being saved; the first "
        f"{begin} are left out.\nOurs also writes every frame to the raw log, and "
        "syncs all of it to the disk."
    )
    half, most = {}, {}
    for name, found in delays.items():
        half[name], most[name] = np.percentile(found, [50, 99]) * 1e3
        print(f"  {name:14s} p50 {half[name]:6.1f} ms  p99 {most[name]:6.1f} ms")
    mine, other = "ours, threads", "plain loop"
    print(f"  ours / plain loop: p50 {half[mine] / half[other]:.2f}", end="")
    print(f", p99 {most[mine] / most[other]:.2f}")
