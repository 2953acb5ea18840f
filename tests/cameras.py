"""A camera as a user writes one: it loses frames, spoils some, and counts all."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import streamproc as sp
from tests.arrays import noise


class Lossy:
    """Gives ``frames`` pictures; by its counter 20 to 22 are lost, 5 and 30 spoiled."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frames: int = 60) -> None:
        self._stack = noise(frames)
        self._ended = threading.Event()
        self.info = sp.SourceInfo(
            shape=(32, 32),
            dtype=np.dtype("uint16"),
            axes="yx",
            identity=f"lossy:{frames}",
            frames=None,
            live=True,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | sp.Gap]:
        """Yield all from a count on."""
        self._ended.clear()
        for count in range(start, len(self._stack) + 3):
            if self._ended.is_set():
                return
            if count == 20:
                yield sp.Gap(20, 22, "the buffer was full", 20.0, "camera")
            if count in (5, 30):
                yield sp.Unreadable(count, f"picture {count} is torn", float(count))
            elif count not in (20, 21, 22):
                pixels = self._stack[count - 3 * (count > 22)].copy()
                yield sp.Frame(pixels, count, float(count), {"count": count})

    def read(self, index: int) -> sp.Frame:
        """Refuse: it is live."""
        raise sp.FrameError(f"frame {index} is gone")

    def stop(self) -> None:
        """End soon."""
        self._ended.set()

    def close(self) -> None:
        """Release nothing."""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the source ``lossy``, as a package of its own would."""
    info = folder / "packages" / "cameras-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: cameras\nVersion: 1.0\n")
    line = "lossy = tests.cameras:Lossy"
    (info / "entry_points.txt").write_text(f"[streamproc.sources]\n{line}\n")
    monkeypatch.syspath_prepend(folder / "packages")
