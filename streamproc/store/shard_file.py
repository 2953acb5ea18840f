"""One shard file: its index, and its two forms.

::

    full   [ chunk, padded to 4096 ] ... [ sparse gap ] [ ...  index, crc32c ]
    tight  [ chunk, padded to 4096 ] ...                [ ...  index, crc32c ]

The index is in the last block of the file, where every zarr v3 reader looks for it.
A full file has room for everything that may come, so its index never moves; a tight
one takes no more than it holds, with every chunk at the same offset.
"""

import errno
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .codecs import crc32c
from .platform import BLOCK, Bytes, Durability, Platform, aligned_empty, padded

#: Offset and length of an entry that holds nothing.
EMPTY = np.uint64(2**64 - 1)
_COPY_BYTES = 8 << 20


def empty_index(slots: int) -> NDArray[np.uint64]:
    """Return an index in which nothing is visible: (offset, length) per entry."""
    return np.full((slots, 2), EMPTY, "<u8")


def end_of(index: NDArray[np.uint64]) -> int:
    """Return where the data of a shard end, rounded up to whole blocks."""
    used = index[index[:, 0] != EMPTY]
    return padded(int((used[:, 0] + used[:, 1]).max())) if len(used) else 0


def index_block(index: NDArray[np.uint64], out: Bytes | None = None) -> Bytes:
    """Return the last block of a shard file, aligned; in ``out`` where given."""
    block = aligned_empty(BLOCK) if out is None else out
    raw = index.tobytes()
    raw += crc32c(raw).to_bytes(4, "little")
    block[BLOCK - len(raw) :] = np.frombuffer(raw, np.uint8)
    return block


def read_index(path: Path, slots: int) -> NDArray[np.uint64] | None:
    """Return the index on disk, or None where it is torn or missing."""
    size = slots * 16 + 4
    with path.open("rb", buffering=0) as file:
        if file.seek(0, os.SEEK_END) < size:
            return None
        file.seek(-size, os.SEEK_END)
        raw = file.read(size)
    if len(raw) < size or crc32c(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    return np.frombuffer(raw[:-4], "<u8").reshape(slots, 2).copy()


def create(
    path: Path,
    index: NDArray[np.uint64],
    size: int,
    *,
    platform: Platform,
    durability: Durability,
) -> None:
    """Make a shard file of ``size``, or replace it with its data kept.

    Whoever opens the file sees all of the old or all of the new one; a reader that
    has the old one open goes on reading that.

    Parameters
    ----------
    path
        The file.
    index
        What is visible; the data of these entries are copied, at their offsets.
    size
        Of the whole file; what is not written takes no room.
    platform, durability
        How to write, and whether to sync.
    """
    new = path.with_name(path.name + ".new")
    try:
        fd = platform.open(new, create=True)
        try:
            platform.resize_sparse(fd, size)
            _copy(path, fd, end_of(index), platform)
            platform.write_at(fd, index_block(index), size - BLOCK)
            if durability == "power":
                platform.sync(fd)
        finally:
            os.close(fd)
        platform.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if durability == "power":
        platform.sync_directory(path.parent)


def tight_size(index: NDArray[np.uint64]) -> int:
    """Return the size of the tight form."""
    return end_of(index) + BLOCK


class OpenShard:
    """An open shard file, and what of it is visible, synced and staged."""

    __slots__ = (
        "block",
        "dirty",
        "end",
        "fd",
        "index",
        "key",
        "path",
        "present",
        "published_end",
        "size",
        "staged",
        "synced",
    )

    def __init__(
        self, path: Path, fd: int, index: NDArray[np.uint64], size: int
    ) -> None:
        self.path, self.fd, self.index, self.size = path, fd, index, size
        self.key = path.name
        self.present = set(np.flatnonzero(index[:, 0] != EMPTY).tolist())
        self.end = self.published_end = end_of(index)
        #: (slot, offset, length) not yet in the index; the first `synced` are on disk
        self.staged: list[tuple[int, int, int]] = []
        self.synced = 0
        self.dirty = False
        self.block = aligned_empty(BLOCK)

    def roll_back(self) -> None:
        """Forget what is staged; its room is used again."""
        self.present.difference_update(slot for slot, _, _ in self.staged)
        self.staged.clear()
        self.synced = 0
        self.end = self.published_end


def _copy(path: Path, fd: int, end: int, platform: Platform) -> None:
    if not end:
        return
    buffer = aligned_empty(min(_COPY_BYTES, end))
    with path.open("rb", buffering=0) as source:
        for offset in range(0, end, len(buffer)):
            part = buffer[: min(len(buffer), end - offset)]
            view = part.data
            while view.nbytes:
                count = source.readinto(view)
                if not count:
                    raise OSError(errno.EIO, f"{path} ends too early")
                view = view[count:]
            platform.write_at(fd, part, offset)
