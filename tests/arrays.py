"""Sources as a user writes them: arrays in memory, and what may happen to them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import streamproc as sp
from streamproc.errors import FrameError

Array = NDArray[Any]


class Arrays:
    """A stack of frames, ``(t, ...)``: a recording, a video, or a camera."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        frames: Array,
        axes: str = "yx",
        *,
        in_order: bool = False,
        live: bool = False,
        unreadable: frozenset[int] = frozenset(),
        breaks_at: int | None = None,
        gaps: dict[int, sp.Gap] | None = None,
        length: int | None = -1,
        channels: tuple[str, ...] = (),
    ) -> None:
        self.stack = frames
        self.unreadable = unreadable
        self.breaks_at = breaks_at
        self.gaps = gaps or {}
        self.ended = threading.Event()
        self.closed = 0
        self.info = sp.SourceInfo(
            shape=frames.shape[1:],
            dtype=frames.dtype,
            axes=axes,
            identity=f"arrays:{hash(frames.tobytes())}",
            frames=len(frames) if length == -1 else length,
            live=live,
            random_access=not in_order and not live,
            channels=channels,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | sp.Gap]:
        """Yield what `read` gives, unreadable frames named."""
        for index in range(start, len(self.stack)):
            if index in self.gaps:
                yield self.gaps[index]
            if self.ended.is_set():
                return
            try:
                yield self.read(index)
            except FrameError as error:
                yield sp.Unreadable(index, str(error), float(index))
        if len(self.stack) in self.gaps:
            yield self.gaps[len(self.stack)]

    def read(self, index: int) -> sp.Frame:
        """Return a copy of one frame."""
        if index == self.breaks_at:
            raise sp.SourceError(f"the cable was pulled at frame {index}")
        if index in self.unreadable:
            raise FrameError(f"frame {index} is scratched")
        pixels = np.ascontiguousarray(self.stack[index]).copy()
        return sp.Frame(pixels, index, float(index), {"n": index})

    def stop(self) -> None:
        """End soon."""
        self.ended.set()

    def close(self) -> None:
        """Count."""
        self.closed += 1


def noise(
    n: int, shape: tuple[int, ...] = (32, 32), dtype: str = "uint16", seed: int = 0
) -> Array:
    """Return frames of noise with a few bright blobs."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 50, (n, *shape)).astype(dtype)
    for frame in frames.reshape(n, -1, *shape[-2:]):
        for plane in frame:
            for _ in range(3):
                y, x = rng.integers(0, shape[-2] - 4), rng.integers(0, shape[-1] - 4)
                plane[y : y + 4, x : x + 4] += 150
    return frames


def simulated(frames: int | None = 20, *, live: bool = False, **more: Any) -> sp.Image:
    """Open a small simulation, which delivers as fast as it can."""
    given = {"frames": frames, "shape": [64, 64], "live": live, "fps": None, "cells": 2}
    return sp.open({"simulation": {**given, **more}})


def segmented(raw: sp.Image) -> tuple[sp.Labels, sp.Table]:
    """Return labels of a source, and their measures."""
    labels = raw.gaussian(sigma=1).threshold("otsu").label()
    return labels, labels.measure(raw)


def run_one(
    handle: sp.Handle, to: Path, *, executor: str = "inline", **options: Any
) -> sp.Results:
    """Run a pipeline that saves one step as ``x``, and load what it left."""
    sp.run({"x": handle}, to, executor=executor, **options)
    return sp.load(to)


def errors(result: sp.Results) -> list[str]:
    """Return the errors of failed frames, each once."""
    return list(result.frames.error.dropna().unique())


def wait_for(run: sp.Run, done: int) -> None:
    """Wait until so many frames are committed, or the run has ended."""
    changed = threading.Event()
    while run.metrics.counters.done < done and run.is_alive:
        changed.wait(0.002)


def whole(array: Any) -> Array:
    """Return all pixels of a zarr array, which has no types."""
    return np.asarray(array[:])
