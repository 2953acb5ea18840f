"""How long an array says it is: zarr.json, grown ahead of the frames, cut at last."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .platform import Durability, Platform

#: The least growth, in frames: no shard holds more.
STEP = 256


def extent_for(frames: int, fps: float | None) -> int:
    """Return the length of an array of unknown end that has to hold ``frames``.

    Every array of a store runs through the same lengths, so that all levels of a
    picture agree. Each is longer than the one before by a shard, five seconds or
    a tenth, whichever is most.
    """
    step = max(STEP, int(5 * (fps or 0)))
    length = step
    while length < frames:
        length += max(step, length // 10)
    return length


class Extent:
    """The zarr.json of one array, and the number of frames it announces.

    ``document`` gives the metadata for a number of frames. Growing never fails a
    run: what could not be replaced is tried again at the next growth and at the end.
    """

    def __init__(
        self,
        folder: Path,
        document: Callable[[int], dict[str, Any]],
        *,
        platform: Platform,
        durability: Durability = "power",
        frames_hint: int | None = None,
        fps: float | None = None,
    ) -> None:
        self._path = folder / "zarr.json"
        self._document = document
        self._platform = platform
        self._durable = durability == "power"
        self._hint = frames_hint
        self._fps = fps
        found = read_json(self._path)
        if found is not None:
            self.frames = self._on_disk = int(found["shape"][0])
            if found != document(self.frames):
                raise StoreError(
                    f"{self._path} describes another array; choose another folder"
                )
        else:
            make_folder(folder, platform, durable=self._durable)
            self.frames = extent_for(1, fps) if frames_hint is None else frames_hint
            self._write(attempts=10)
            if self._durable:
                platform.sync_directory(folder)

    def cover(self, frames: int) -> None:
        """Announce at least ``frames`` frames."""
        if frames > self.frames:
            if self._hint is not None and frames <= self._hint:
                self.frames = self._hint
            else:
                self.frames = extent_for(frames, self._fps)
        self.retry()

    def cut(self, frames: int) -> None:
        """Announce exactly ``frames`` frames: the recording has ended."""
        self.frames = frames
        self.retry(attempts=10)

    def retry(self, attempts: int = 4) -> None:
        """Write what could not be written before; never raises."""
        if self.frames != self._on_disk:
            try:
                self._write(attempts)
            except OSError:
                self._path.with_name("zarr.json.new").unlink(missing_ok=True)

    def _write(self, attempts: int) -> None:
        text = json.dumps(self._document(self.frames), indent=1)
        self._platform.write_file(
            self._path, text.encode(), durable=self._durable, attempts=attempts
        )
        self._on_disk = self.frames


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, None where there is none or it is torn."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def make_folder(folder: Path, platform: Platform, *, durable: bool) -> None:
    """Make a folder and those above it, their names durable."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        if durable:
            platform.sync_directory(folder.parent)


def write_json(
    path: Path, document: dict[str, Any], platform: Platform, *, durable: bool
) -> None:
    """Write a small JSON file whole, its name durable as well."""
    make_folder(path.parent, platform, durable=durable)
    text = json.dumps(document, indent=1)
    platform.write_file(path, text.encode(), durable=durable)
    if durable:
        platform.sync_directory(path.parent)
