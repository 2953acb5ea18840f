"""One file per chunk: for file systems and tools that do not get on with shards."""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import FrameError, StoreError
from .chunks import ChunkRow, read_chunk
from .codecs import Chunk, crc32c
from .extent import Extent
from .layout import ArrayLayout
from .platform import NATIVE, Durability, Platform, explained
from .repair import Repair, remove_leftovers


class FileWriter:
    """Writes each chunk to a file of its own; the same verbs as `ShardWriter`.

    Parameters
    ----------
    root, layout, platform, durability, frames_hint, fps
        As for `ShardWriter`; the layout is one with ``files``.
    """

    def __init__(
        self,
        root: Path,
        layout: ArrayLayout,
        *,
        platform: Platform = NATIVE,
        durability: Durability = "power",
        frames_hint: int | None = None,
        fps: float | None = None,
    ) -> None:
        self.layout = layout
        self.root = root
        self.folder = root / layout.name
        self._platform = platform
        self._durable = durability == "power"
        self._staged: dict[str, Path] = {}
        with explained(self.folder):
            self.extent = Extent(
                self.folder,
                layout.metadata,
                platform=platform,
                durability=durability,
                frames_hint=frames_hint,
                fps=fps,
            )

    def append(self, frame: int, chunks: Sequence[Chunk]) -> list[ChunkRow]:
        """Write one frame aside and return the rows to commit with its group."""
        layout = self.layout
        keys = [layout.key(frame, part) for part, _ in layout.places]
        if len(keys) != len(chunks):
            raise StoreError(
                f"frame {frame} was not encoded for {layout.name!r}, which takes "
                f"{len(keys)} chunks; encode it with this layout"
            )
        if keys[0] in self._staged or (self.folder / keys[0]).exists():
            return []
        with explained(self.folder):
            self.extent.cover(frame + 1)
            for key, data in zip(keys, chunks, strict=True):
                new = self._staged[key] = self.folder / f"{key}.new"
                fd = self._platform.open_ordinary(new)
                try:
                    os.ftruncate(fd, 0)
                    self._platform.write_at(fd, data, 0)
                finally:
                    os.close(fd)
        return [
            ChunkRow(layout.name, frame, number, key, 0, len(data), crc32c(data))
            for number, (key, data) in enumerate(zip(keys, chunks, strict=True))
        ]

    def sync(self) -> None:
        """Put all that was appended on the disk."""
        if self._durable:
            with explained(self.folder):
                for new in self._staged.values():
                    fd = self._platform.open_ordinary(new)
                    try:
                        self._platform.sync(fd)
                    finally:
                        os.close(fd)

    def publish(self) -> None:
        """Give the files their names, durably: they become visible."""
        if not self._staged:
            return
        with explained(self.folder):
            for key, new in self._staged.items():
                self._platform.replace(new, self.folder / key)
            if self._durable:
                self._platform.sync_directory(self.folder)
        self._staged.clear()

    def recover(self, rows: Iterable[ChunkRow], since: int = 0) -> Repair:
        """Remove what was not committed; call before `append`.

        Parameters
        ----------
        rows
            All committed chunks of this array, at least from frame ``since`` on.
        since
            The first frame that may have been written after the last clean mark.
        """
        self.forget()
        repair = Repair()
        name = self.layout.name
        with explained(self.folder):
            committed: dict[str, ChunkRow] = {
                row.shard: row
                for row in rows
                if row.array == name and row.frame >= since
            }
            for row in committed.values():
                self._finish(row)
            remove_leftovers(self.folder, name, repair)
            for path in sorted(self.folder.iterdir()):
                frame = self.layout.group_of(path.name)
                if frame is None or frame < since:
                    continue
                found = committed.pop(path.name, None)
                if found is None:
                    path.unlink()
                    repair.trimmed.append(f"{name}/{path.name}")
                else:
                    repair.frames = max(repair.frames, frame + 1)
                    if path.stat().st_size != found.length:
                        repair.lost.append(found)
            repair.lost += committed.values()
            if repair.frames:
                self.extent.cover(repair.frames)
        return repair

    def _finish(self, row: ChunkRow) -> None:
        """Give a committed chunk its name where the crash came before that."""
        new = self.folder / f"{row.shard}.new"
        if new.exists() and not (self.folder / row.shard).exists():
            with suppress(FrameError):
                read_chunk(self.root, row._replace(shard=new.name))
                self._platform.replace(new, self.folder / row.shard)

    def delete_shards(self, upto_frame: int, from_frame: int = 0) -> list[str]:
        """Delete the files of all frames between, and return their names."""
        gone = []
        for path in sorted(self.folder.iterdir()):
            frame = self.layout.group_of(path.name)
            if frame is not None and from_frame <= frame < upto_frame:
                try:
                    path.unlink(missing_ok=True)
                except OSError:
                    continue
                gone.append(path.name)
        return gone

    def delete_all(self) -> list[str]:
        """Delete every chunk, after `close`: for a raw log that is not kept."""
        return self.delete_shards(sys.maxsize)

    def forget(self) -> None:
        """Drop what was appended and not published."""
        for new in self._staged.values():
            new.unlink(missing_ok=True)
        self._staged.clear()

    def abandon(self) -> None:
        """End without writing anything more, after a failure."""
        self.forget()

    def close(self, frames: int | None = None) -> None:
        """Finish; ``frames`` is the length of the array from now on."""
        self.sync()
        self.publish()
        if frames is None:
            self.extent.retry()
        else:
            self.extent.cut(frames)
