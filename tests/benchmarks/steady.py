"""A long live run of small frames: whether memory and latencies grow."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
from scipy import stats  # type: ignore[import-untyped]

import streamproc as sp

#: Blocks that frames are told in, and how many of the first are left out of the slopes:
#: caches of the ledger, of zarr and of the allocator fill to their bounds.
BLOCKS, FILLING = 12, 4
#: Seconds between two looks at the memory.
LOOK = 0.1
#: Pictures that are given in turn.
PICTURES = 16


class Ticker:
    """A live camera of small pictures with a few bright squares, at a fixed rate."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frames: int, fps: float) -> None:
        self._frames, self._fps = frames, fps
        self._is_stopped = threading.Event()
        random = np.random.default_rng(0)
        self._pictures = random.integers(90, 110, (PICTURES, 64, 64), dtype=np.uint16)
        for picture in self._pictures:
            for y, x in random.integers(0, 58, (4, 2)):
                picture[y : y + 6, x : x + 6] += 200
        self.info = sp.SourceInfo(
            shape=(64, 64),
            dtype=np.dtype(np.uint16),
            axes="yx",
            identity=f"ticker:{frames}",
            live=True,
            fps=fps,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame]:
        """Yield each frame when it is due; its time is when it was due."""
        begin = time.time() + 0.2
        for number in range(start, self._frames):
            due = begin + (number - start) / self._fps
            if self._is_stopped.wait(max(due - time.time(), 0.0)):
                return
            yield sp.Frame(self._pictures[number % PICTURES].copy(), number, due)

    def read(self, index: int) -> sp.Frame:
        """Refuse: a camera cannot go back."""
        raise sp.FrameError(f"frame {index} is gone")

    def stop(self) -> None:
        """End soon."""
        self._is_stopped.set()

    def close(self) -> None:
        """Nothing to close."""


def slope(values: list[float]) -> tuple[float, float]:
    """Return the slope of a line through values, and half of its 95 % interval."""
    fit = stats.linregress(np.arange(len(values)), values)
    return fit.slope, stats.t.ppf(0.975, len(values) - 2) * fit.stderr


def bench_steady(root: Path, frames: int, fps: float) -> None:
    """Run live on threads; tell memory and latencies of each block, and their slopes.

    A block's memory is the median of the resident sizes sampled ten times a second; the
    slope's interval counts one value per block, so that samples of one moment do not
    count as many.
    """
    raw = sp.open(Ticker(frames, fps))
    labels = raw.gaussian(sigma=1).threshold("otsu").label()
    save = {"labels": labels, "cells": labels.measure(raw)}
    process = psutil.Process()
    # the samples themselves must not be what grows
    samples = np.full((int(10 * frames / fps / LOOK) + 1000, 2), np.nan)
    run = sp.start(save, to=root / "steady", log={"keep_raw": False})
    for sample in samples:
        sample[:] = run.metrics.committed_here, process.memory_info().rss / 1e6
        time.sleep(LOOK)
        if not run.is_alive:
            break
    report = run.wait()
    committed, resident = samples.T
    table = sp.load(run.path).frames
    done = (table["state"] == "done").sum()
    delays = (table["committed_at"] - table["time"]).to_numpy() * 1e3
    edges = np.linspace(0, frames, BLOCKS + 1).astype(int)
    print(
        f"\n{frames} live frames of 64² at {fps:g}/s on threads: {done} done, ", end=""
    )
    print(f"{report.frames.lost} lost; from due to durable:")
    sizes, middle = [], []
    for first, last in pairwise(edges):
        rss = resident[(first <= committed) & (committed < last)]
        sizes.append(float(np.median(rss)) if rss.size else float("nan"))
        p50, p99 = np.percentile(delays[first:last], [50, 99])
        middle.append(float(p50))
        print(
            f"  frames {first:7d} to {last:7d}: RSS {sizes[-1]:7.1f} MB  "
            f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms"
        )
    for name, values, unit in (("RSS", sizes, "MB"), ("p50", middle, "ms")):
        told, apart = slope(values[FILLING:])
        print(
            f"  {name} per block from the {FILLING + 1}th on: "
            f"{told:+.3f} ± {apart:.3f} {unit}"
        )
