"""The acquisition times of an image's frames: a 1-D zarr array beside its levels."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import codecs
from .extent import Extent, read_json
from .layout import array_metadata
from .platform import NATIVE, Durability, Platform, explained

#: Frames per chunk file.
CHUNK = 65536


def _metadata(frames: int) -> dict[str, Any]:
    return array_metadata(
        shape=(frames,),
        chunks=(CHUNK,),
        dtype="<f8",
        fill_value="NaN",
        chain=codecs.metadata("none", 8),
        names=("t",),
    )


class Timeline:
    """Seconds since the Unix epoch per frame, NaN where nothing tells it.

    Each time is written in place, 8 bytes, and not synced: the ledger has them too,
    and `rebuild` brings back what a crash took.

    Parameters
    ----------
    folder
        Of the array, made where it is missing.
    platform, durability, frames_hint, fps
        As for `ShardWriter`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        platform: Platform = NATIVE,
        durability: Durability = "power",
        frames_hint: int | None = None,
        fps: float | None = None,
    ) -> None:
        self.folder = folder
        self._platform = platform
        self._durable = durability == "power"
        with explained(folder):
            self.extent = Extent(
                folder,
                _metadata,
                platform=platform,
                durability=durability,
                frames_hint=frames_hint,
                fps=fps,
            )
        self._chunk = -1
        self._times: NDArray[np.float64] = np.empty(0)
        self._first = self._last = 0
        self._fd = -1

    def record(self, frame: int, time: float | None) -> None:
        """Note the time of one frame; on disk after the next `flush`."""
        chunk, within = divmod(frame, CHUNK)
        if chunk != self._chunk:
            self.flush()
            with explained(self.folder):
                self._turn_to(chunk)
        if self._first == self._last:
            self._first = self._last = within
        self._times[within] = np.nan if time is None else time
        self._first = min(self._first, within)
        self._last = max(self._last, within + 1)
        if frame >= self.extent.frames:
            self.extent.cover(frame + 1)

    def flush(self) -> None:
        """Write the noted times, in one write."""
        first, last = self._first, self._last
        if first < last:
            with explained(self.folder):
                part = self._times[first:last]
                self._platform.write_at(self._fd, part.view(np.uint8), first * 8)
            self._first = self._last = 0

    def rebuild(self, times: Iterable[tuple[int, float | None]]) -> None:
        """Write these (frame, time) pairs anew, after a crash."""
        for leftover in self.folder.glob("*.new"):
            leftover.unlink(missing_ok=True)
        for frame, time in times:
            self.record(frame, time)
        self.flush()

    def close(self, frames: int | None = None) -> None:
        """Finish; ``frames`` is the length of the array from now on."""
        self.flush()
        self._close_file()
        if frames is None:
            self.extent.retry()
        else:
            self.extent.cut(frames)

    def abandon(self) -> None:
        """Close the file without writing anything more, after a failure."""
        self._first = self._last = 0
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._chunk = -1, -1

    def _turn_to(self, chunk: int) -> None:
        self._close_file()
        path = self.folder / f"c.{chunk}"
        size = CHUNK * 8
        if not path.exists() or path.stat().st_size != size:
            times = np.full(CHUNK, np.nan)
            if path.exists():  # cut short
                kept = np.frombuffer(path.read_bytes()[: size // 8 * 8], np.uint8)
                times.view(np.uint8)[: len(kept)] = kept
            self._platform.write_file(path, times.tobytes(), durable=self._durable)
            if self._durable:
                self._platform.sync_directory(self.folder)
        self._times = np.fromfile(path, "<f8").astype(np.float64)
        self._fd = self._platform.open_ordinary(path)
        self._chunk = chunk

    def _close_file(self) -> None:
        if self._fd >= 0 and self._durable:
            with explained(self.folder):
                self._platform.sync(self._fd)
        self.abandon()


def read_times(folder: Path) -> NDArray[np.float64]:
    """Return the times of all frames that the array announces."""
    found = read_json(folder / "zarr.json")
    times = np.full(int(found["shape"][0]) if found else 0, np.nan)
    for chunk in range(-(-len(times) // CHUNK)):
        path = folder / f"c.{chunk}"
        if path.exists():
            part = times[chunk * CHUNK : (chunk + 1) * CHUNK]
            part[:] = np.fromfile(path, "<f8", count=len(part))
    return times
