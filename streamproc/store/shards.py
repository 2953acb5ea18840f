"""The appender: frames into the shards of one zarr v3 array, readable all the while.

The order of writes keeps every promise: data of a group, one sync, then one aligned
index block per shard makes them visible; a shard is synced with its index before the
next one is begun. What the ledger says was committed is on disk.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError
from . import shard_file
from .chunks import ChunkRow, read_chunk, read_frame, verify
from .codecs import Chunk, crc32c
from .extent import Extent
from .gather import Gather
from .layout import ArrayLayout
from .platform import (
    BLOCK,
    NATIVE,
    Durability,
    Platform,
    explained,
    padded,
)
from .repair import Repair, repair_shards
from .shard_file import OpenShard

__all__ = ["ChunkRow", "ShardWriter", "read_chunk", "read_frame", "verify"]


#: How many times larger than its data a shard must be to be copied tight.
_WORTH = 16


class ShardWriter:
    """Appends frames to one array; one thread appends, any process reads.

    Per group: `append` each frame, `sync` once, `publish` once; then the rows that
    `append` returned may be committed. After a `StoreError` what was not published
    is forgotten, and what was stays readable.

    Parameters
    ----------
    root
        The store; the array is made at ``root / layout.name`` unless it is there.
    layout
        Of the array; one that exists must have the same.
    platform
        How to write.
    durability
        ``"power"`` syncs; ``"process"`` leaves that to the operating system.
    frames_hint
        Number of frames where it is known; else the array grows ahead of them.
    fps
        Frames per second, for the growth.
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
        self._durability: Durability = durability
        with explained(self.folder):
            self.extent = Extent(
                self.folder,
                layout.metadata,
                platform=platform,
                durability=durability,
                frames_hint=frames_hint,
                fps=fps,
            )
        self._places = layout.places
        self._failed = False
        self._group = -1
        self._shards: list[OpenShard] = []
        self._gather = Gather(layout.full_size, platform, self._background)
        self._pool: ThreadPoolExecutor | None = None
        self._tightening: dict[int, Future[None]] = {}
        self._lock = threading.Lock()

    def append(self, frame: int, chunks: Sequence[Chunk]) -> list[ChunkRow]:
        """Stage one frame and return the rows to commit with its group.

        Fast in ascending order; an earlier frame that was left out may follow later.
        A frame that is already there is ignored: no rows.

        Parameters
        ----------
        frame
            Its number, the position along t.
        chunks
            What ``layout.encode`` returned; not to be changed before `sync`.
        """
        self._require_sound()
        layout = self.layout
        places = self._places
        sizes = [len(data) for data in chunks]
        if len(sizes) != len(places) or not self._sizes_fit(sizes):
            raise StoreError(
                f"frame {frame} was not encoded for {layout.name!r}, which takes "
                f"{len(places)} chunks of {layout.chunk_bytes} bytes ({layout.codec}); "
                "encode it with this layout"
            )
        with self._consistent():
            group, within = divmod(frame, layout.frames)
            if group != self._group:
                self._turn_to(group)
            if frame >= self.extent.frames:
                self.extent.cover(frame + 1)
            base = within * layout.slots_per_frame
            shards = self._shards
            if base + places[0][1] in shards[places[0][0]].present:
                return []
            rows, name = [], layout.name
            for number, (data, size) in enumerate(zip(chunks, sizes, strict=True)):
                part, slot = places[number]
                shard = shards[part]
                offset = shard.end
                self._gather.put(shard, data)
                shard.staged.append((base + slot, offset, size))
                shard.present.add(base + slot)
                crc = crc32c(data)
                rows.append(ChunkRow(name, frame, number, shard.key, offset, size, crc))
            return rows

    def sync(self) -> None:
        """Put all that was appended on the disk, one write per run and one sync."""
        self._require_sound()
        with self._consistent():
            self._gather.flush()
            for shard in self._shards:
                if shard.dirty and self._durability == "power":
                    self._platform.sync(shard.fd)
                shard.dirty = False
                shard.synced = len(shard.staged)

    def publish(self) -> None:
        """Make all that was synced visible, by one index block per shard."""
        self._require_sound()
        with self._consistent():
            for shard in self._shards:
                if shard.synced:
                    self._publish(shard)
            self.extent.retry()

    def recover(self, rows: Iterable[ChunkRow], since: int = 0) -> Repair:
        """Bring the shards in line with what was committed; call before `append`.

        Parameters
        ----------
        rows
            All committed chunks of this array, at least from the frame
            ``since - 255`` on.
        since
            The first frame that may have been written after the last clean mark.
        """
        self.abandon()
        with explained(self.folder):
            repair = repair_shards(
                self.root,
                self.layout,
                rows,
                since=since,
                platform=self._platform,
                durability=self._durability,
            )
            if repair.frames:
                self.extent.cover(repair.frames)
        return repair

    def delete_shards(self, upto_frame: int, from_frame: int = 0) -> list[str]:
        """Delete the shards whose frames are all between, and return their names.

        For raw logs that are not kept; any thread. The shard being written stays.
        """
        first = -(-from_frame // self.layout.frames)
        last = upto_frame // self.layout.frames
        with self._lock:
            busy = {self._group, *self._tightening}
            gone = []
            for path in sorted(self.folder.iterdir()):
                group = self.layout.group_of(path.name)
                if group is not None and first <= group < last and group not in busy:
                    try:
                        path.unlink(missing_ok=True)
                    except OSError:  # someone reads it on Windows: next time
                        continue
                    gone.append(path.name)
        return gone

    def delete_all(self) -> list[str]:
        """Delete every shard, after `close`: for a raw log that is not kept."""
        return self.delete_shards(sys.maxsize)

    def close(self, frames: int | None = None) -> None:
        """Finish: sync, publish, make the last shard tight, set the length.

        Parameters
        ----------
        frames
            Length of the array from now on; None leaves it.
        """
        try:
            if not self._failed:
                self.sync()
                self.publish()
            with self._consistent():
                self._finish_group()
        finally:
            self._close_shards()
            if frames is None:
                self.extent.retry()
            else:
                self.extent.cut(frames)

    def abandon(self) -> None:
        """Close the files without writing anything more, after a failure."""
        self.forget()
        self._close_shards()

    def forget(self) -> None:
        """Drop what was appended and not published; what was is untouched.

        After a failure the writer refuses everything until this is called.
        """
        self._drop()
        self._failed = False

    def _sizes_fit(self, sizes: list[int]) -> bool:
        layout = self.layout
        if layout.codec == "none":
            return all(size == layout.chunk_bytes for size in sizes)
        return min(sizes) > 0 and max(sizes) <= layout.room

    def _publish(self, shard: OpenShard) -> None:
        fresh = shard.staged[: shard.synced]
        index = shard.index.copy()
        for slot, offset, size in fresh:
            index[slot, 0] = offset
            index[slot, 1] = size
        block = shard_file.index_block(index, shard.block)
        self._platform.write_at(shard.fd, block, shard.size - BLOCK)
        shard.index = index
        shard.published_end = padded(fresh[-1][1] + fresh[-1][2])
        del shard.staged[: shard.synced]
        shard.synced = 0
        shard.dirty = True

    def _turn_to(self, group: int) -> None:
        """Finish the shards of one group and open those of another."""
        if self._shards:
            self.sync()
            self.publish()
            self._finish_group()
        pending = self._tightening.get(group)
        if pending is not None:
            pending.result()
        with self._lock:
            self._group = group
        try:
            for part in range(self.layout.shards_per_frame):
                self._shards.append(self._open(self.layout.key(group, part)))
        except BaseException:
            self._close_files()
            raise

    def _open(self, key: str) -> OpenShard:
        """Open a shard at its full size, making it where there is none."""
        path = self.folder / key
        full = self.layout.full_size
        exists = path.exists()
        if exists:
            index = shard_file.read_index(path, self.layout.slots)
            if index is None:
                raise StoreError(
                    f"the index of shard {self.layout.name}/{key} is damaged; "
                    "resume the run, which rebuilds it"
                )
        else:
            index = shard_file.empty_index(self.layout.slots)
        if not exists or path.stat().st_size != full:
            shard_file.create(
                path,
                index,
                full,
                platform=self._platform,
                durability=self._durability,
            )
        return OpenShard(path, self._platform.open(path), index, full)

    def _finish_group(self) -> None:
        """Sync the open shards with their indexes, close them, have them tightened.

        A copy is made where the full file is more than `_WORTH` times larger: it
        costs writing the data again, and the gap that it saves takes no disk.
        """
        group, shards = self._group, self._shards
        for shard in shards:
            if shard.dirty and self._durability == "power":
                self._platform.sync(shard.fd)
                shard.dirty = False
        self._close_files()
        loose = [s for s in shards if shard_file.tight_size(s.index) * _WORTH < s.size]
        if loose:
            with self._lock:
                for old in [g for g, copy in self._tightening.items() if copy.done()]:
                    del self._tightening[old]
                self._tightening[group] = self._background().submit(
                    self._tighten, loose
                )

    def _tighten(self, shards: list[OpenShard]) -> None:
        for shard in shards:
            try:
                shard_file.create(
                    shard.path,
                    shard.index,
                    shard_file.tight_size(shard.index),
                    platform=self._platform,
                    durability=self._durability,
                )
            except OSError:  # the sparse file stays: larger to look at, as readable
                continue

    def _background(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(2, "streamproc-store")
        return self._pool

    def _close_files(self) -> None:
        for shard in self._shards:
            os.close(shard.fd)
        self._shards = []
        with self._lock:
            self._group = -1

    def _close_shards(self) -> None:
        self._close_files()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self._tightening.clear()

    def _drop(self) -> None:
        self._gather.drop()
        for shard in self._shards:
            shard.roll_back()

    @contextmanager
    def _consistent(self) -> Iterator[None]:
        try:
            with explained(self.folder):
                yield
        except BaseException:
            self._drop()
            self._failed = True
            raise

    def _require_sound(self) -> None:
        if self._failed:
            raise StoreError(
                f"an earlier write to {self.layout.name!r} failed, and the frames of "
                "its group were dropped; call forget, then append them again"
            )
