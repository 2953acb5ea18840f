"""The raw log and its admission journal: whole records, torn tails, resumed runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamproc as sp
from streamproc.errors import FrameError, StoreError
from streamproc.store.chunks import ChunkRow
from streamproc.store.layout import ArrayLayout
from streamproc.store.log import JOURNAL, RawLog, Record, count_admitted, read_journal
from streamproc.store.platform import NATIVE
from streamproc.store.space import Space
from streamproc.store.writer import open_writer
from tests.arrays import Array, noise, segmented, simulated, wait_for, whole

LAYOUT = ArrayLayout.of("source/0", (32, 32), "uint16", "none")


@contextmanager
def opened(folder: Path, *, first: int = 0, length: int = 0) -> Iterator[RawLog]:
    root = folder / "images"
    root.mkdir(exist_ok=True)
    writer = open_writer(root, LAYOUT)
    log = RawLog(folder, root, writer, NATIVE, space=Space(folder, 0), first=first)
    yield log
    log.close(max(log.admitted, length))


def items(stack: Array, start: int = 0) -> list[sp.Frame | sp.Unreadable]:
    """Return frames whose counter runs ahead of their number."""
    return [
        sp.Frame(pixels, 10 + n, float(n), {"n": n})
        for n, pixels in enumerate(stack, start)
    ]


CELLS = st.none() | st.floats(0, 1e9)
ROWS = st.lists(
    st.builds(
        ChunkRow,
        st.just("source/0"),
        st.just(3),
        st.integers(0, 9),
        st.from_regex(r"c\.\d\.\d\.\d", fullmatch=True),
        st.integers(0, 2**50),
        st.integers(1, 2**40),
        st.integers(0, 2**32 - 1),
    ),
    max_size=3,
).map(tuple)


@given(
    st.builds(
        Record,
        st.integers(0, 2**60),
        CELLS,
        st.none() | st.text(max_size=20),
        st.floats(0, 1e10),
        st.integers(0, 9),
        st.none() | st.text(max_size=20),
        ROWS,
    ),
    st.data(),
)
def test_a_record_is_whole_or_nothing(record: Record, data: st.DataObject) -> None:
    line = record.line()
    assert line.count(b"\n") == 1
    assert Record.parse(line, "source/0", 3) == record
    cut = data.draw(st.integers(0, len(line) - 1))
    assert Record.parse(line[:cut], "source/0", 3) is None
    at = data.draw(st.integers(0, len(line) - 2))
    bit = data.draw(st.integers(0, 7))
    broken = bytearray(line)
    broken[at] ^= 1 << bit
    changed = bytes(broken).lower() != line.lower()  # a crc in capitals is the same
    if changed and b"\n" not in broken[:-1]:
        assert Record.parse(bytes(broken), "source/0", 3) in (None, record)


def test_admitted_frames_can_be_read_again(tmp_path: Path) -> None:
    stack = noise(6)
    with opened(tmp_path) as log:
        refs = log.admit([*items(stack[:4]), sp.Unreadable(14, "torn", 4.0)])
        refs += log.admit(items(stack[5:], 5))
        assert log.admit([]) == []
        assert (log.admitted, log.next_source_index) == (6, 16)
        assert count_admitted(tmp_path / JOURNAL) == 6
    assert [r.frame for r in refs] == list(range(6))
    assert refs[4].error == "torn"
    for n in (0, 1, 2, 3, 5):
        hot = refs[n].resolve()
        refs[n].release()
        assert np.array_equal(refs[n].resolve(), stack[n])
        assert np.array_equal(hot, stack[n])
        assert (refs[n].source_index, refs[n].time) == (10 + n, float(n))
        assert refs[n].metadata == f'{{"n": {n}}}'


def test_the_next_process_has_them_too(tmp_path: Path) -> None:
    stack = noise(9)
    with opened(tmp_path) as log:
        log.admit(items(stack[:5]))
    with opened(tmp_path, first=2) as log:
        assert log.first.frame == 2
        refs, end = log.reader.read(log.first, 2)
        assert [r.frame for r in refs] == [2, 3]
        refs, end = log.reader.read(end, 9)
        assert ([r.frame for r in refs], end) == ([4], log.mark())
        assert all(r.pixels is None for r in refs)
        assert np.array_equal(refs[0].resolve(), stack[4])
        assert log.next_source_index == 15
        log.admit(items(stack[5:], 5))
        assert [r.frame for r in log.rows()] == list(range(9))
    with opened(tmp_path) as log:
        found = [r.resolve() for r in log.reader.read(log.first, 9)[0]]
        assert np.array_equal(np.stack(found), stack)


@pytest.mark.parametrize("torn", [1, 5, 40, -1])
def test_a_torn_tail_is_dropped(tmp_path: Path, torn: int) -> None:
    stack = noise(5)
    with opened(tmp_path) as log:
        log.admit(items(stack))
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:torn])
    with opened(tmp_path) as log:
        assert (log.admitted, log.next_source_index) == (4, 14)
        assert path.read_bytes() == b"".join(lines[:4])
        (ref,) = log.admit(items(stack[:1], 4))
        assert ref.frame == 4
    assert len(list(read_journal(path, "source/0"))) == 5


def test_zeros_after_a_power_cut_are_dropped(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.admit(items(noise(3)))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(bytes(4096))
    with opened(tmp_path) as log:
        assert log.admitted == 3


def test_a_journal_behind_the_ledger_is_refused(tmp_path: Path) -> None:
    """Rot in the middle: new frames must not take the numbers of committed ones."""
    with opened(tmp_path) as log:
        log.admit(items(noise(5)))
    path = tmp_path / JOURNAL
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 12] ^= 1
    path.write_bytes(content)
    message = (
        "admission.jsonl is damaged: 1 of its records are whole, the ledger knows 3"
    )
    with pytest.raises(StoreError, match=message), opened(tmp_path, first=3):
        pass
    assert path.read_bytes() == content


def test_pixels_that_changed_on_disk_are_told(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        (ref,) = log.admit(items(noise(1)))
    ref.release()
    (shard,) = (tmp_path / "images/source/0").glob("c.*")
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(FrameError, match=r"checksum|crc"):
        ref.resolve()


def test_another_shape_admits_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        with pytest.raises(
            FrameError, match=r"frame 1 has shape \(8, 8\), the log has"
        ):
            log.admit([*items(noise(1)), sp.Frame(noise(1, (8, 8))[0], 11)])
        assert log.admitted == 0
        assert log.admit(items(noise(1)))[0].frame == 0


def test_a_full_disk_admits_nothing(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    log = RawLog(
        tmp_path,
        root,
        open_writer(root, LAYOUT),
        NATIVE,
        space=Space(tmp_path, 1 << 60),
    )
    with pytest.raises(StoreError, match=r"less than limits.disk_reserve"):
        log.admit(items(noise(1)))
    assert log.admitted == 0
    log.close(0)


# --- runs ------------------------------------------------------------------------


@pytest.mark.parametrize("log", [{"keep_raw": True}, {"keep_raw": False}])
def test_a_live_run_goes_on_without_a_gap(
    tmp_path: Path, executor: str, log: dict[str, Any]
) -> None:
    labels, cells = segmented(simulated(None, live=True))
    saved: dict[str, sp.Handle] = {"labels": labels, "cells": cells}
    run = sp.start(saved, tmp_path / "run", executor=executor, log=log, frames=400)
    for stop in (30, 90, 200):
        wait_for(run, stop)
        run.stop()
        run.wait()
        resumed = sp.resume(tmp_path / "run", wait=False)
        assert isinstance(resumed, sp.Run)
        run = resumed
    report = run.wait()
    assert (report.state, report.frames.done) == ("finished", 400)
    frames = sp.load(tmp_path / "run").frames
    assert frames.frame.tolist() == frames.source_index.tolist() == list(range(400))
    unbroken, _ = segmented(simulated(400))
    sp.run({"labels": unbroken}, tmp_path / "whole")
    one, two = (whole(sp.load(tmp_path / n).labels["labels"]) for n in ("run", "whole"))
    assert np.array_equal(one, two)


def shards(run: Path) -> set[int]:
    folder = run / "images.ome.zarr/source/0"
    return {int(p.name.split(".")[1]) for p in folder.glob("c.*") if p.suffix != ".new"}


def test_a_log_that_is_not_kept_goes_behind_its_readers(
    tmp_path: Path, executor: str
) -> None:
    """Shards below what a pending window reaches, and no other; at the end all."""
    raw = simulated(2000, live=True)
    flat = raw.background(window=300, every=100)
    low = flat.map(np.mean, kind="value")
    run = sp.start(
        {"low": low}, tmp_path / "run", executor=executor, log={"keep_raw": False}
    )
    per_shard = ArrayLayout.of("source/0", (64, 64), "uint16", "none").frames
    gone = False
    while run.is_alive:
        done = run.metrics.counters.done
        there = shards(tmp_path / "run")
        block = done // 100
        needed = max(0, block * 100 - 300) // per_shard
        if there and run.metrics.counters.done == done and run.state == "running":
            gone |= min(there) > 0
            assert min(there) <= needed
    report = run.wait()
    assert (report.frames.done, report.frames.failed) == (2000, 0)
    assert gone
    assert shards(tmp_path / "run") == set()
    assert not (tmp_path / "run/images.ome.zarr/source/0/c.0.0.0").exists()
    again = sp.resume(tmp_path / "run")
    assert isinstance(again, sp.Report)
    assert (again.state, again.frames.done) == ("finished", 2000)
    assert "source" not in sp.load(tmp_path / "run").images
