import errno
import itertools
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamproc.errors import FrameError, StoreError
from streamproc.store import gather, shard_file
from streamproc.store import layout as layout_module
from streamproc.store.chunks import ChunkRow, read_chunk, read_frame, verify
from streamproc.store.codecs import CODECS
from streamproc.store.layout import ArrayLayout
from streamproc.store.platform import BLOCK, EMULATED, NATIVE, Platform
from streamproc.store.shards import ShardWriter
from streamproc.store.writer import Writer, open_writer

#: Anything may come out of a zarr array, as far as its annotations go.
open_array: Any = zarr.open_array
LABELS = np.kron(np.arange(24).reshape(4, 6), np.ones((60, 50))).astype("u4")


@pytest.fixture(params=[NATIVE, EMULATED], ids=["native", "emulated"])
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.fixture
def few_frames(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """Shards of at most 8 inner chunks, so that tests turn over many."""
    monkeypatch.setattr(layout_module, "MOST_CHUNKS", 8)
    layout_module._layout.cache_clear()
    yield
    layout_module._layout.cache_clear()


def pixels_of(layout: ArrayLayout, frame: int) -> np.ndarray:
    random = np.random.default_rng(frame)
    return random.integers(0, 200, layout.shape).astype(layout.dtype)


def open_tensorstore(folder: Path) -> NDArray[Any]:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    found: NDArray[Any] = tensorstore.open(spec, read=True).result().read().result()
    return found


def append_all(writer: Writer, frames: Iterable[int], group: int = 5) -> list[ChunkRow]:
    rows: list[ChunkRow] = []
    for count, frame in enumerate(frames, 1):
        chunks = writer.layout.encode(pixels_of(writer.layout, frame))
        rows += writer.append(frame, chunks)
        if count % group == 0:
            writer.sync()
            writer.publish()
    writer.sync()
    writer.publish()
    return rows


def assert_holds(root: Path, layout: ArrayLayout, frames: Iterable[int]) -> None:
    """Check against zarr-python: these frames, and nothing else."""
    array = open_array(root / layout.name, mode="r")
    present = set(frames)
    for frame in range(array.shape[0]):
        if frame in present:
            np.testing.assert_array_equal(array[frame], pixels_of(layout, frame))
        elif frame <= max(present, default=0) + 3:
            assert not array[frame].any()


# geometry


@pytest.mark.parametrize(
    ("shape", "dtype", "codec", "chunk", "shard", "frames"),
    [
        ((2048, 2048), "u2", "none", (2048, 2048), (2048, 2048), 32),
        ((512, 512), "u2", "none", (512, 512), (512, 512), 255),
        ((16, 16), "u1", "none", (16, 16), (16, 16), 255),
        ((1024, 1024), "u4", "zstd", (1024, 1024), (1024, 1024), 64),
        ((3000, 3000), "u2", "none", (1500, 1500), (3000, 3000), 14),
        ((2049, 100), "u1", "none", (1025, 100), (2050, 100), 127),
        ((3, 40, 50), "u2", "none", (1, 40, 50), (3, 40, 50), 85),
        ((300, 64, 64), "u2", "none", (1, 64, 64), (150, 64, 64), 1),
        ((2, 300, 64, 64), "u2", "zstd", (1, 1, 64, 64), (1, 150, 64, 64), 1),
        ((40000, 40000), "u1", "zstd", (2000, 2000), (20000, 40000), 1),
    ],
)
def test_geometry(
    shape: tuple[int, ...],
    dtype: str,
    codec: str,
    chunk: tuple[int, ...],
    shard: tuple[int, ...],
    frames: int,
) -> None:
    layout = ArrayLayout.of("source/0", shape, dtype, codec)
    assert (layout.chunk, layout.shard, layout.frames) == (chunk, shard, frames)
    assert layout.slots <= 255
    assert layout is ArrayLayout.of("source/0", shape, dtype, codec)
    assert ArrayLayout.from_metadata("source/0", layout.metadata(7)) == layout


def test_a_shard_holds_one_frame_however_large() -> None:
    layout = ArrayLayout.of("a/0", (60, 2048, 2048), "f8")
    assert (layout.frames, layout.shards_per_frame) == (1, 1)


def test_axes_need_one_letter_per_dimension() -> None:
    with pytest.raises(FrameError, match=r"does not have the axes 'yx'; give one"):
        ArrayLayout.of("a/0", (1, 2, 3), "u1", axes="yx")


def test_a_frame_of_another_shape_names_both() -> None:
    layout = ArrayLayout.of("a/0", (4, 5), "u1")
    with pytest.raises(FrameError, match=r"is 5 x 4 uint8.*are 4 x 5 uint8; an array"):
        layout.encode(np.zeros((5, 4), "u1"))


def test_a_foreign_array_is_none_of_ours(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (4, 5), "u1")
    other = layout.metadata(3) | {"chunk_grid": {}}
    with pytest.raises(StoreError, match="another writer or version"):
        ArrayLayout.from_metadata("a/0", other)
    with pytest.raises(StoreError, match="not an array of this store"):
        ArrayLayout.from_metadata("a/0", {})


def test_big_endian_pixels_are_stored_little() -> None:
    layout = ArrayLayout.of("a/0", (4, 5), ">u2")
    pixels = np.arange(20, dtype=">u2").reshape(4, 5)
    np.testing.assert_array_equal(layout.decode(layout.encode(pixels)), pixels)


# appending


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_frames_read_back_equal(
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    platform: Platform,
    few_frames: None,
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 18), min_size=2, max_size=4)))
    dtype = data.draw(st.sampled_from(["u1", "u2", "i4", "u4", "f4", "f8", "?"]))
    codec = data.draw(st.sampled_from(CODECS))
    files = data.draw(st.booleans()) and np.prod(shape[:-2], dtype=int) < 20
    frames = sorted(data.draw(st.sets(st.integers(0, 30), max_size=12)))
    hint = data.draw(st.sampled_from([None, 31]))
    root = tmp_path_factory.mktemp("store")
    layout = ArrayLayout.of("a/0", shape, dtype, codec, files=files)
    writer = open_writer(root, layout, platform=platform, frames_hint=hint)
    rows = append_all(writer, frames, group=data.draw(st.integers(1, 6)))
    assert not list(verify(root, rows))
    for frame in frames:
        mine = [row for row in rows if row.frame == frame]
        found = read_frame(root, layout, mine)
        np.testing.assert_array_equal(found, pixels_of(layout, frame))
    assert_holds(root, layout, frames)
    writer.close(31)
    assert_holds(root, layout, frames)
    assert open_array(root / "a/0", mode="r").shape == (31, *shape)
    whole = open_tensorstore(root / "a/0")
    np.testing.assert_array_equal(whole, open_array(root / "a/0", mode="r")[:])
    assert not list(root.rglob("*.new"))


@pytest.mark.parametrize("codec", CODECS)
def test_readable_at_every_group(
    tmp_path: Path, platform: Platform, few_frames: None, codec: str
) -> None:
    layout = ArrayLayout.of("source/0", (30, 41), "u2", codec)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    for frame in range(30):
        writer.append(frame, layout.encode(pixels_of(layout, frame)))
        writer.sync()
        writer.publish()
        assert_holds(tmp_path, layout, range(frame + 1))
    writer.close(30)
    assert_holds(tmp_path, layout, range(30))


def test_nothing_shows_before_it_is_published(
    tmp_path: Path, platform: Platform
) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout, platform=platform)
    append_all(writer, [0])
    writer.append(1, layout.encode(pixels_of(layout, 1)))
    assert_holds(tmp_path, layout, [0])
    writer.sync()
    assert_holds(tmp_path, layout, [0])
    writer.publish()
    assert_holds(tmp_path, layout, [0, 1])
    writer.close(2)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_more_chunks_than_an_index_holds(
    tmp_path: Path, platform: Platform, codec: str
) -> None:
    layout = ArrayLayout.of("a/0", (300, 6, 7), "u2", codec)
    assert layout.shards_per_frame == 2
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows = append_all(writer, range(4), group=2)
    assert len(rows) == 1200
    writer.close(4)
    assert_holds(tmp_path, layout, range(4))
    found = open_tensorstore(tmp_path / "a/0")[3]
    np.testing.assert_array_equal(found, pixels_of(layout, 3))


@pytest.mark.parametrize("shape", [(3000, 2100), (2049, 10), (2, 10, 2500)])
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_tiles_above_2048(
    tmp_path: Path, platform: Platform, shape: tuple[int, ...], codec: str
) -> None:
    layout = ArrayLayout.of("a/0", shape, "u1", codec)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows = append_all(writer, range(3))
    writer.close(3)
    assert_holds(tmp_path, layout, range(3))
    for frame in range(3):
        mine = [row for row in rows if row.frame == frame]
        found = read_frame(tmp_path, layout, mine)
        np.testing.assert_array_equal(found, pixels_of(layout, frame))


def test_a_frame_that_is_there_is_ignored(tmp_path: Path, platform: Platform) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout, platform=platform)
    append_all(writer, range(3))
    assert writer.append(1, layout.encode(pixels_of(layout, 9))) == []
    writer.close(3)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    assert writer.append(2, layout.encode(pixels_of(layout, 9))) == []
    writer.close(3)
    assert_holds(tmp_path, layout, range(3))


@pytest.mark.parametrize("codec", CODECS)
def test_left_out_frames_may_follow_in_a_later_pass(
    tmp_path: Path, platform: Platform, few_frames: None, codec: str
) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2", codec)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    late = {3, 4, 11, 17, 29}
    rows = append_all(writer, [f for f in range(30) if f not in late])
    writer.close(30)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows += append_all(writer, sorted(late))
    writer.close(30)
    assert_holds(tmp_path, layout, range(30))
    assert not list(verify(tmp_path, rows))


def test_large_chunks_go_through_the_background(
    tmp_path: Path, platform: Platform
) -> None:
    layout = ArrayLayout.of("a/0", (1500, 1500), "u2")
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows = append_all(writer, range(9), group=4)
    assert not list(verify(tmp_path, rows))
    writer.close(9)
    assert_holds(tmp_path, layout, range(9))


def test_a_finished_array_takes_no_more_than_it_holds(
    tmp_path: Path, platform: Platform
) -> None:
    for codec in ("none", "zstd"):
        layout = ArrayLayout.of(f"{codec}/0", (100, 100), "u2", codec)
        writer = ShardWriter(tmp_path, layout, platform=platform)
        rows = append_all(writer, range(3))
        path = writer.folder / "c.0.0.0"
        assert path.stat().st_size == layout.full_size
        writer.close(3)
        end = max(row.offset + row.length for row in rows)
        assert path.stat().st_size == -(-end // BLOCK) * BLOCK + BLOCK
        assert_holds(tmp_path, layout, range(3))


def test_every_chunk_keeps_its_offset(tmp_path: Path, few_frames: None) -> None:
    layout = ArrayLayout.of("a/0", LABELS.shape, "u4", "zstd")
    writer = ShardWriter(tmp_path, layout)
    rows = []
    for frame in range(20):
        rows += writer.append(frame, layout.encode(LABELS + frame))
        writer.sync()
        writer.publish()
    writer.close(20)
    sizes = {p.name: p.stat().st_size for p in writer.folder.glob("c.*")}
    assert max(sizes.values()) < layout.full_size
    for row in rows:
        found = layout.decode((read_chunk(tmp_path, row),))
        np.testing.assert_array_equal(found, LABELS + row.frame)


def test_the_array_grows_ahead_and_is_cut(tmp_path: Path, platform: Platform) -> None:
    layout = ArrayLayout.of("a/0", (2, 3), "u1")
    writer = ShardWriter(tmp_path, layout, platform=platform, fps=100)
    lengths = set()
    for frame in range(0, 6000, 50):
        append_all(writer, [frame])
        length = open_array(tmp_path / "a/0", mode="r").shape[0]
        assert length > frame
        lengths.add(length)
    assert min(lengths) == 500
    assert len(lengths) < 14
    writer.close(5951)
    assert open_array(tmp_path / "a/0", mode="r").shape[0] == 5951


def test_metadata_that_cannot_be_replaced_fails_nothing(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (2, 3), "u1")
    writer = ShardWriter(tmp_path, layout)
    whole = writer.extent._platform
    never = Platform(direct=False, pwrite=True, fdatasync=True, replace_failure=1.0)
    writer.extent._platform = never
    append_all(writer, [0, 300])
    assert open_array(tmp_path / "a/0", mode="r").shape[0] == 256
    writer.extent._platform = whole
    append_all(writer, [301])
    assert open_array(tmp_path / "a/0", mode="r").shape[0] == 512
    writer.close(302)


def test_process_durability_never_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Platform, "sync", refuse)
    monkeypatch.setattr(Platform, "sync_directory", refuse)
    layout = ArrayLayout.of("a/0", (8, 9), "u2", "zstd")
    writer = ShardWriter(tmp_path, layout, durability="process")
    append_all(writer, range(70))
    writer.close(70)
    assert_holds(tmp_path, layout, range(70))


def test_data_are_synced_before_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_frames: None
) -> None:
    """No index block is written while data of its shard are not synced."""
    unsynced: set[int] = set()
    write_at, sync = Platform.write_at, Platform.sync
    layout = ArrayLayout.of("a/0", (8, 9), "u2")

    def spy_write(self: Platform, fd: int, data: bytes, offset: int) -> None:
        if offset == layout.full_size - BLOCK:
            assert fd not in unsynced
        else:
            unsynced.add(fd)
        write_at(self, fd, data, offset)

    def spy_sync(self: Platform, fd: int) -> None:
        unsynced.discard(fd)
        sync(self, fd)

    writer = ShardWriter(tmp_path, layout, frames_hint=30)
    monkeypatch.setattr(Platform, "write_at", spy_write)
    monkeypatch.setattr(Platform, "sync", spy_sync)
    append_all(writer, range(30), group=3)
    writer.abandon()


def test_chunks_of_another_layout_are_refused(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout)
    other = ArrayLayout.of("a/0", (8, 8), "u2")
    with pytest.raises(StoreError, match=r"frame 0 was not encoded for 'a/0'"):
        writer.append(0, other.encode(np.zeros((8, 8), "u2")))
    writer.close(0)


def test_an_array_of_another_layout_is_refused(tmp_path: Path) -> None:
    ShardWriter(tmp_path, ArrayLayout.of("a/0", (8, 9), "u2")).close()
    with pytest.raises(StoreError, match="describes another array; choose another"):
        ShardWriter(tmp_path, ArrayLayout.of("a/0", (8, 9), "u1"))


def test_shards_that_are_not_kept_are_deleted(
    tmp_path: Path, platform: Platform, few_frames: None
) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout, platform=platform)
    append_all(writer, range(30))
    assert writer.delete_shards(17) == ["c.0.0.0", "c.1.0.0"]
    assert_holds(tmp_path, layout, range(16, 30))
    assert writer.delete_shards(100) == ["c.2.0.0"]
    append_all(writer, range(30, 40))
    writer.close(40)
    assert_holds(tmp_path, layout, range(24, 40))
    assert len(writer.delete_all()) == 2
    assert_holds(tmp_path, layout, [])


class Slow(Platform):
    """A disk whose writes take their time, each another one."""

    __slots__ = ()

    def write_at(self, fd: int, data: bytes | NDArray[Any], offset: int) -> None:
        time.sleep((offset // BLOCK * 7919 % 13) / 1000)
        Platform.write_at(self, fd, data, offset)


@pytest.mark.parametrize(
    ("shape", "most"), [((700, 901), 8), ((3, 200, 300), 2), ((5, 40, 50), 3)]
)
@pytest.mark.parametrize("base", [NATIVE, EMULATED], ids=["native", "emulated"])
def test_slow_writes_lose_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few_frames: None,
    base: Platform,
    shape: tuple[int, ...],
    most: int,
) -> None:
    """A buffer was once taken for empty before its write had begun."""
    monkeypatch.setattr(layout_module, "MOST_CHUNKS", most)
    monkeypatch.setattr(gather, "BUFFERS", 2)
    monkeypatch.setattr(gather, "BUFFER_BYTES", 5 * BLOCK)
    monkeypatch.setattr(gather, "_THREAD_BYTES", 2 * BLOCK)
    layout = ArrayLayout.of("a/0", shape, "u2")
    disk = Slow(base.direct, base.pwrite, base.fdatasync)
    writer = ShardWriter(tmp_path, layout, platform=disk, frames_hint=12)
    rows = append_all(writer, range(12), group=3)
    assert not list(verify(tmp_path, rows))
    writer.close(12)
    assert_holds(tmp_path, layout, range(12))


# reading


def test_damage_names_frame_and_shard(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout)
    rows = append_all(writer, range(3))
    writer.close(3)
    path = tmp_path / "a/0/c.0.0.0"
    with path.open("r+b") as file:
        file.seek(rows[1].offset)
        file.write(b"?")
    with pytest.raises(FrameError, match=r"frame 1 is damaged in shard a/0/c.0.0.0"):
        read_frame(tmp_path, layout, [rows[1]])
    assert [line[:18] for line in verify(tmp_path, rows)] == ["frame 1 is damaged"]
    with pytest.raises(FrameError, match=r"frame 2 cannot be read .*ends too early"):
        read_chunk(tmp_path, rows[2]._replace(offset=10**9))
    path.unlink()
    with pytest.raises(FrameError, match=r"frame 0 cannot be read .*No such file"):
        read_chunk(tmp_path, rows[0])
    with pytest.raises(FrameError, match=r"a frame of 'a/0' has 0 of its 1 chunks"):
        read_frame(tmp_path, layout, [])


# failures


class Filling(Platform):
    """A disk with room for so many more writes."""

    __slots__ = ()
    room = 10**9

    def write_at(self, fd: int, data: bytes | NDArray[Any], offset: int) -> None:
        if Filling.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Filling.room -= 1
        Platform.write_at(self, fd, data, offset)


@pytest.mark.parametrize("shape", [(20, 30), (1500, 1500)])
@pytest.mark.parametrize("room", range(0, 30, 3))
@pytest.mark.parametrize("base", [NATIVE, EMULATED], ids=["native", "emulated"])
def test_a_full_disk_keeps_what_was_published(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few_frames: None,
    base: Platform,
    room: int,
    shape: tuple[int, ...],
) -> None:
    disk = Filling(base.direct, base.pwrite, base.fdatasync)
    monkeypatch.setattr(Filling, "room", 10**9)
    layout = ArrayLayout.of("a/0", shape, "u2")
    writer = ShardWriter(tmp_path, layout, platform=disk)
    monkeypatch.setattr(Filling, "room", room)
    rows: list[ChunkRow] = []

    def fill() -> None:
        for start in itertools.count(0, 3):
            group = []
            for frame in range(start, start + 3):
                group += writer.append(frame, layout.encode(pixels_of(layout, frame)))
            writer.sync()
            writer.publish()
            rows.extend(group)

    with pytest.raises(StoreError, match=r"cannot write .*No space left.*; free space"):
        fill()
    done = len(rows)
    with pytest.raises(StoreError, match="an earlier write to 'a/0' failed"):
        writer.sync()
    monkeypatch.setattr(Filling, "room", 10**9)
    assert not list(verify(tmp_path, rows))
    writer.recover(rows)
    assert_holds(tmp_path, layout, range(done))
    rows += append_all(writer, range(done, 25))
    writer.close(25)
    assert_holds(tmp_path, layout, range(25))
    assert not list(verify(tmp_path, rows))


def test_after_a_failure_forget_starts_the_group_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Filling(NATIVE.direct, NATIVE.pwrite, NATIVE.fdatasync)
    layout = ArrayLayout.of("a/0", (20, 30), "u2")
    writer = ShardWriter(tmp_path, layout, platform=disk)
    append_all(writer, range(3))
    writer.append(3, layout.encode(pixels_of(layout, 3)))
    monkeypatch.setattr(Filling, "room", 0)
    with pytest.raises(StoreError, match="No space left"):
        writer.sync()
    monkeypatch.setattr(Filling, "room", 10**9)
    writer.forget()
    assert len(append_all(writer, [3, 4])) == 2
    writer.close(5)
    assert_holds(tmp_path, layout, range(5))


# repair


Harm = Callable[[Path, ArrayLayout], None]


def zero_half_the_index(path: Path, layout: ArrayLayout) -> None:
    with path.open("r+b") as file:
        file.seek(-BLOCK // 2, os.SEEK_END)
        file.write(bytes(BLOCK // 2))


def garble_the_index(path: Path, layout: ArrayLayout) -> None:
    with path.open("r+b") as file:
        file.seek(-BLOCK, os.SEEK_END)
        file.write(os.urandom(BLOCK))


def cut_the_tail(path: Path, layout: ArrayLayout) -> None:
    os.truncate(path, path.stat().st_size - 100)


def cut_a_block(path: Path, layout: ArrayLayout) -> None:
    os.truncate(path, path.stat().st_size - BLOCK)


def lengthen(path: Path, layout: ArrayLayout) -> None:
    with path.open("ab") as file:
        file.write(b"x" * 77)


@pytest.mark.parametrize(
    "harm", [zero_half_the_index, garble_the_index, cut_the_tail, cut_a_block, lengthen]
)
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_torn_index_is_rebuilt(
    tmp_path: Path, platform: Platform, harm: Harm, closed: bool, codec: str
) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2", codec)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows = append_all(writer, [f for f in range(40) if f != 7])
    if closed:
        writer.close(40)
    else:
        writer.abandon()
    path = tmp_path / "a/0/c.0.0.0"
    harm(path, layout)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    repair = writer.recover(rows)
    assert repair.rebuilt == ["a/0/c.0.0.0"]
    assert not repair.lost
    assert repair.frames == 40
    present = [f for f in range(40) if f != 7]
    assert_holds(tmp_path, layout, present)
    rows += append_all(writer, range(40, 70))
    writer.close(70)
    assert_holds(tmp_path, layout, [*present, *range(40, 70)])
    assert not list(verify(tmp_path, rows))


def test_a_torn_index_is_refused_without_recover(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2")
    writer = ShardWriter(tmp_path, layout)
    append_all(writer, range(4))
    writer.abandon()
    garble_the_index(tmp_path / "a/0/c.0.0.0", layout)
    writer = ShardWriter(tmp_path, layout)
    with pytest.raises(StoreError, match=r"index of shard a/0/c.0.0.0 is damaged; res"):
        append_all(writer, [4])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_uncommitted_frames_are_hidden_and_written_again(
    tmp_path: Path, platform: Platform, few_frames: None, codec: str, closed: bool
) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2", codec)
    writer = ShardWriter(tmp_path, layout, platform=platform)
    rows = append_all(writer, range(21))
    if closed:
        writer.close(21)
    else:
        writer.abandon()
    committed = [row for row in rows if row.frame < 13]
    writer = ShardWriter(tmp_path, layout, platform=platform)
    repair = writer.recover(committed)
    assert repair.trimmed == ["a/0/c.1.0.0", "a/0/c.2.0.0"]
    assert_holds(tmp_path, layout, range(13))
    again = append_all(writer, range(13, 30))
    writer.close(30)
    assert_holds(tmp_path, layout, range(30))
    assert not list(verify(tmp_path, committed + again))


def test_recovery_removes_leftovers_and_names_what_is_gone(
    tmp_path: Path, few_frames: None
) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2")
    writer = ShardWriter(tmp_path, layout)
    rows = append_all(writer, range(20))
    writer.abandon()
    (tmp_path / "a/0/c.2.0.0.new").write_bytes(b"half")
    (tmp_path / "a/0/c.1.0.0").unlink()
    os.truncate(tmp_path / "a/0/c.2.0.0", BLOCK)
    repair = ShardWriter(tmp_path, layout).recover(rows)
    assert repair.removed == ["a/0/c.2.0.0.new"]
    assert [r.frame for r in repair.lost] == [17, 18, 19, *range(8, 16)]
    assert_holds(tmp_path, layout, [*range(8), 16])


def test_shards_before_the_clean_mark_are_left_alone(
    tmp_path: Path, few_frames: None
) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2")
    writer = ShardWriter(tmp_path, layout)
    rows = append_all(writer, range(20))
    writer.abandon()
    recent = [row for row in rows if row.frame >= 8]
    repair = ShardWriter(tmp_path, layout).recover(recent, since=10)
    assert (repair.rebuilt, repair.trimmed) == ([], [])
    assert_holds(tmp_path, layout, range(20))


def test_torn_metadata_is_written_anew(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (20, 30), "u2")
    writer = ShardWriter(tmp_path, layout)
    rows = append_all(writer, range(20))
    writer.abandon()
    (tmp_path / "a/0/zarr.json").write_bytes(b"")
    ShardWriter(tmp_path, layout).recover(rows)
    assert_holds(tmp_path, layout, range(20))


@pytest.mark.parametrize("published", [False, True])
def test_chunk_files_recover(
    tmp_path: Path, platform: Platform, published: bool
) -> None:
    layout = ArrayLayout.of("a/0", (2, 20, 30), "u2", "zstd", files=True)
    writer = open_writer(tmp_path, layout, platform=platform)
    rows = append_all(writer, range(5))
    rows += writer.append(5, layout.encode(pixels_of(layout, 5)))
    writer.append(6, layout.encode(pixels_of(layout, 6)))
    writer.sync()
    if published:
        writer.publish()
    writer = open_writer(tmp_path, layout, platform=platform)
    repair = writer.recover(rows)
    assert not repair.lost
    assert_holds(tmp_path, layout, range(6))
    rows += append_all(writer, range(6, 9))
    writer.close(9)
    assert_holds(tmp_path, layout, range(9))
    assert len(writer.delete_shards(2)) == 4
    os.unlink(writer.folder / "c.4.1.0.0")
    assert [r.frame for r in writer.recover(rows, since=4).lost] == [4]


# other processes

_READER = """
import sys, time
import numpy as np, zarr
folder, stop = sys.argv[1:]
from pathlib import Path
reads = errors = newest = 0
def wanted(t):
    return np.full((200, 300), t + 1, "u2")
while not Path(stop).exists() or newest == 0:
    try:
        array = zarr.open_array(folder, mode="r")
        start = newest
        for t in range(newest, array.shape[0]):
            frame = array[t]
            reads += 1
            if not frame.any():
                break
            if not np.array_equal(frame, wanted(t)):
                raise ValueError(f"frame {t} is wrong")
            newest = t + 1
        for t in range(max(0, newest - 130), newest, 13):
            reads += 1
            if not np.array_equal(array[t], wanted(t)):
                raise ValueError(f"frame {t} is wrong")
    except Exception as error:
        errors += 1
        print(repr(error), file=sys.stderr)
print(reads, errors, newest)
"""


@pytest.mark.parametrize("codec", CODECS)
def test_a_reader_beside_the_writer_never_errs(
    tmp_path: Path, few_frames: None, codec: str
) -> None:
    layout = ArrayLayout.of("a/0", (200, 300), "u2", codec)
    writer = ShardWriter(tmp_path, layout, frames_hint=2000)
    direct = NATIVE.open(tmp_path / "probe", create=True)
    is_direct = bool(fcntl_flags(direct) & getattr(os, "O_DIRECT", 0))
    os.close(direct)
    if not is_direct:
        pytest.skip("the file system of the test folder has no direct writes")
    stop = tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(writer.folder), str(stop)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 5
    frame = 0
    while frame < 2000 and time.monotonic() < end:
        writer.append(frame, layout.encode(np.full((200, 300), frame + 1, "u2")))
        if frame % 3 == 2:
            writer.sync()
            writer.publish()
            time.sleep(0.002)
        frame += 1
    writer.close(frame)
    stop.touch()
    out, err = reader.communicate(timeout=60)
    reads, errors, newest = map(int, out.split())
    assert errors == 0, err
    assert reads > 100
    assert newest > 50


def fcntl_flags(fd: int) -> int:
    fcntl = pytest.importorskip("fcntl")
    return int(fcntl.fcntl(fd, fcntl.F_GETFL))


_WRITER = """
import sqlite3, sys
import numpy as np
from pathlib import Path
from streamproc.store import layout as layout_module
layout_module.MOST_CHUNKS = 8
from streamproc.store.layout import ArrayLayout
from streamproc.store.platform import EMULATED, NATIVE
from streamproc.store.shards import ShardWriter, ChunkRow
root, codec, kind = sys.argv[1:]
platform = NATIVE if kind == "native" else EMULATED
layout = ArrayLayout.of("a/0", (60, 70), "u2", codec)
db = sqlite3.connect(root + "/rows.sqlite", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE IF NOT EXISTS chunks(a, f, c, s, o, l, x)")
rows = [ChunkRow(*row) for row in db.execute("SELECT * FROM chunks")]
writer = ShardWriter(Path(root), layout, platform=platform)
writer.recover(rows)
frame = max((row.frame for row in rows), default=-1) + 1
print("go", flush=True)
while True:
    group = []
    for frame in range(frame, frame + 1 + frame % 5):
        pixels = np.random.default_rng(frame).integers(0, 200, layout.shape)
        group += writer.append(frame, layout.encode(pixels.astype("u2")))
    frame += 1
    writer.sync()
    writer.publish()
    db.execute("BEGIN")
    db.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?)", group)
    db.execute("COMMIT")
"""


@pytest.mark.parametrize("kind", ["native", "emulated"])
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_killed_at_any_moment_nothing_committed_is_lost(
    tmp_path: Path, few_frames: None, codec: str, kind: str
) -> None:
    random = np.random.default_rng(len(codec) + len(kind))
    rows: list[ChunkRow] = []
    layout = ArrayLayout.of("a/0", (60, 70), "u2", codec)
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), codec, kind],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == b"go"
        time.sleep(random.uniform(0, 0.25))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        before = len(rows)
        with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as db:
            found = db.execute("SELECT * FROM chunks ORDER BY f").fetchall()
        db.close()
        rows = [ChunkRow(*row) for row in found]
        assert len(rows) >= before
        assert not list(verify(tmp_path, rows))
    resumed = ShardWriter(tmp_path, layout)
    repair = resumed.recover(rows)
    assert not repair.lost
    assert_holds(tmp_path, layout, range(len(rows)))
    rows += append_all(resumed, range(len(rows), len(rows) + 10))
    resumed.close(len(rows))
    assert_holds(tmp_path, layout, range(len(rows)))


_ROUND_TRIP = """
import * as zarr from "zarrita";
import { FileSystemStore } from "@zarrita/storage";
const array = await zarr.open(new FileSystemStore(process.argv[2]), { kind: "array" });
const all = await zarr.get(array);
console.log(JSON.stringify({shape: all.shape, data: Array.from(all.data)}));
"""


@pytest.fixture(scope="session")
def zarrita(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("zarrita")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    wanted = ["zarrita@0.7.5", "@zarrita/storage@0.2.0"]
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", *wanted],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install zarrita: {done.stderr[-200:]}")
    (folder / "read.js").write_text(textwrap.dedent(_ROUND_TRIP))
    return folder


@pytest.mark.parametrize("codec", CODECS)
def test_zarrita_reads_it_while_written_and_after(
    tmp_path: Path, zarrita: Path, codec: str, few_frames: None
) -> None:
    import json

    layout = ArrayLayout.of("a/0", (7, 9), "u2", codec)
    writer = ShardWriter(tmp_path, layout, frames_hint=20)
    for done in (11, 20):
        append_all(writer, range(done - 9, done))
        if done == 20:
            writer.close(20)
        run = subprocess.run(
            ["node", "read.js", str(writer.folder)],
            cwd=zarrita,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found = json.loads(run.stdout)
        expected = open_array(writer.folder, mode="r")[:]
        assert found["shape"] == [20, 7, 9]
        np.testing.assert_array_equal(
            np.reshape(found["data"], expected.shape), expected
        )
        np.testing.assert_array_equal(expected[done - 1], pixels_of(layout, done - 1))


def test_the_index_is_the_prototype_s(tmp_path: Path) -> None:
    layout = ArrayLayout.of("a/0", (8, 9), "u2")
    writer = ShardWriter(tmp_path, layout)
    append_all(writer, [2])
    index = shard_file.read_index(writer.folder / "c.0.0.0", layout.slots)
    assert index is not None
    assert index[2].tolist() == [0, 144]
    assert (index[[0, 1, 3]] == shard_file.EMPTY).all()
    writer.close(3)
