"""Bring shard files in line with the ledger after a crash."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import shard_file
from .chunks import ChunkRow
from .layout import ArrayLayout
from .platform import BLOCK, Durability, Platform


@dataclass(slots=True)
class Repair:
    """What was found and done.

    ``rebuilt``: shards whose index was torn; ``trimmed``: shards that showed
    uncommitted chunks; ``removed``: leftovers of unfinished writes; ``lost``:
    committed chunks whose file is missing or too short (nothing of ours does that);
    ``frames``: one more than the last committed frame seen.
    """

    rebuilt: list[str] = field(default_factory=list)
    trimmed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    lost: list[ChunkRow] = field(default_factory=list)
    frames: int = 0

    def merge(self, other: "Repair") -> None:
        """Take in what was done to another array."""
        self.rebuilt += other.rebuilt
        self.trimmed += other.trimmed
        self.removed += other.removed
        self.lost += other.lost
        self.frames = max(self.frames, other.frames)


def repair_shards(
    root: Path,
    layout: ArrayLayout,
    rows: Iterable[ChunkRow],
    *,
    since: int,
    platform: Platform,
    durability: Durability,
) -> Repair:
    """Rewrite each index that is torn or differs from the committed rows.

    No data are deleted: what was not committed is hidden, and overwritten later.

    Parameters
    ----------
    root
        The store.
    layout
        Of the array.
    rows
        Its committed chunks, at least all from frame ``since - 255`` on.
    since
        Shards that hold only earlier frames are left alone.
    platform, durability
        How to write.
    """
    repair = Repair()
    folder = root / layout.name
    remove_leftovers(folder, layout.name, repair)
    committed: dict[str, list[ChunkRow]] = {}
    first = since // layout.frames
    for row in rows:
        if row.array == layout.name and row.frame // layout.frames >= first:
            committed.setdefault(row.shard, []).append(row)
            repair.frames = max(repair.frames, row.frame + 1)
    for path in sorted(folder.iterdir()):
        group = layout.group_of(path.name)
        if group is not None and group >= first:
            mine = committed.pop(path.name, [])
            _repair_shard(
                path, layout, mine, repair, platform=platform, durability=durability
            )
    for missing in committed.values():
        repair.lost += missing
    return repair


def remove_leftovers(folder: Path, name: str, repair: Repair) -> None:
    """Remove the ``.new`` files of writes that did not finish."""
    for path in sorted(folder.glob("*.new")):
        path.unlink(missing_ok=True)
        repair.removed.append(f"{name}/{path.name}")


def expected_index(layout: ArrayLayout, rows: Iterable[ChunkRow]) -> NDArray[np.uint64]:
    """Return the index of a shard that holds exactly these chunks."""
    index = shard_file.empty_index(layout.slots)
    places = layout.places
    for row in rows:
        slot = row.frame % layout.frames * layout.slots_per_frame
        index[slot + places[row.chunk][1]] = row.offset, row.length
    return index


def _repair_shard(
    path: Path,
    layout: ArrayLayout,
    rows: list[ChunkRow],
    repair: Repair,
    *,
    platform: Platform,
    durability: Durability,
) -> None:
    size = path.stat().st_size
    wanted = expected_index(layout, rows)
    found = shard_file.read_index(path, layout.slots)
    whole = size == layout.full_size or (
        size % BLOCK == 0 and size - BLOCK >= shard_file.end_of(wanted)
    )
    if whole and found is not None and np.array_equal(found, wanted):
        return
    name = f"{layout.name}/{path.name}"
    if found is None or not whole:
        repair.rebuilt.append(name)
    else:
        repair.trimmed.append(name)
    if not whole:
        cut = [row for row in rows if row.offset + row.length > size]
        repair.lost += cut
        kept = [row for row in rows if row.offset + row.length <= size]
        wanted = expected_index(layout, kept)
    fd = platform.open(path)
    try:
        if not whole:
            size = layout.full_size
            platform.resize_sparse(fd, size)
        platform.write_at(fd, shard_file.index_block(wanted), size - BLOCK)
        if durability == "power":
            platform.sync(fd)
    finally:
        os.close(fd)
