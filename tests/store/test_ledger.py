"""The one record of each frame's fate: its schema, its atomicity, its messages."""

import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamproc as sp
from streamproc.errors import FrameError, RunFolderError, StoreError
from streamproc.frame import Gap
from streamproc.store.ledger import RESERVED, FrameRow, Group, Ledger
from streamproc.store.units import describe
from tests.arrays import segmented, simulated, wait_for

#: INTERFACES.md: tables, their columns in order, their keys.
SCHEMA = {
    "frames": (
        "frame INTEGER, source_index INTEGER, time REAL, state TEXT, error TEXT, "
        "t INTEGER, c INTEGER, z INTEGER, position TEXT, hash TEXT, metadata TEXT, "
        "worker TEXT, admitted_at REAL, committed_at REAL, latency_ms REAL",
        "frame",
    ),
    "gaps": (
        "first_source_index INTEGER, last_source_index INTEGER, count INTEGER, "
        "time REAL, place TEXT, reason TEXT",
        "",
    ),
    "chunks": (
        "array TEXT, frame INTEGER, chunk INTEGER, shard TEXT, offset INTEGER, "
        "length INTEGER, crc32c INTEGER",
        "array frame chunk",
    ),
    "states": ("step TEXT, frame INTEGER, value BLOB", "step"),
    "run": ("key TEXT, value TEXT", "key"),
    "summary": (
        "seconds INTEGER, time REAL, done INTEGER, failed INTEGER, skipped INTEGER, "
        "lost INTEGER, fps REAL, latency_p50 REAL, latency_p99 REAL, objects REAL, "
        "area REAL, intensity REAL, bytes INTEGER",
        "seconds time",
    ),
    "columns": ("table TEXT, column TEXT, unit TEXT, description TEXT", ""),
    "parameters": ("frame INTEGER, step TEXT, name TEXT, value TEXT", ""),
    "events": ("time REAL, frame INTEGER, level TEXT, kind TEXT, message TEXT", ""),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "run.sqlite")
    yield made
    made.close()


def row(frame: int, state: str = "done", **more: Any) -> FrameRow:
    given: dict[str, Any] = {
        "frame": frame,
        "source_index": frame,
        "time": 1.0,
        "state": state,
        "error": None,
        "t": frame,
        "c": None,
        "z": None,
        "position": None,
        "hash": "{}",
        "metadata": "{}",
        "worker": "w",
        "admitted_at": 1.0,
        "committed_at": 2.0,
        "latency_ms": 3.0,
    }
    return FrameRow(**{**given, **more})


def test_schema_to_the_letter(ledger: Ledger) -> None:
    tables = {r[0] for r in ledger.query("SELECT name FROM sqlite_master")}
    assert {t for t in tables if not t.startswith("sqlite_")} == set(SCHEMA) == RESERVED
    for table, (columns, key) in SCHEMA.items():
        info = ledger.query(f"PRAGMA table_info({table})")
        assert ", ".join(f"{c[1]} {c[2]}" for c in info) == columns
        keys = sorted((c[5], c[1]) for c in info if c[5])
        assert " ".join(name for _, name in keys) == key
    with pytest.raises(StoreError, match=r"cannot record results in .*CHECK constr"):
        ledger.commit(Group(frames=[row(0, "lost")]))
    assert list(FrameRow._fields) == [
        c.split()[0] for c in SCHEMA["frames"][0].split(", ")
    ]


def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    ledger.table("cells", {"label": "INTEGER", "area": "INTEGER"})
    ledger.commit(
        Group(
            frames=[row(0), row(1)],
            chunks=[("source/0", 0, 0, "c.0.0.0", 0, 10, 5)],
            rows={"cells": [(0, 1, 5), (1, 1, 6)], "empty": []},
            states=[("count", 1, b"2")],
            summary=[(1, 5.0, 2, 0, 0, 0, 2.0, None, None, 1.0, 5.5, 0.0, 10)],
            gaps=[Gap(3, 4, "overflow", 1.0)],
            run={"admitted": "2"},
        )
    )
    assert ledger.first_pending() == 2
    assert ledger.states() == {"count": 2}
    assert ledger.get("admitted") == "2"
    assert ledger.get("nothing") is None
    before = list(ledger._db.iterdump())
    # frame 2 is new, and what comes with it is not: nothing of it stays
    with pytest.raises(
        StoreError, match=r"cannot record results in .*UNIQUE constraint"
    ):
        ledger.commit(
            Group(
                frames=[row(2)],
                rows={"cells": [(0, 1, 5)]},
                states=[("count", 2, b"3")],
                run={"admitted": "3"},
            )
        )
    with pytest.raises(StoreError, match="no such table: other"):
        ledger.commit(Group(frames=[row(2)], rows={"other": [(2, 1)]}))
    assert list(ledger._db.iterdump()) == before
    with pytest.raises(StoreError, match=r"UNIQUE constraint failed: frames.frame"):
        ledger.commit(Group(frames=[row(1)]))


@given(st.sets(st.integers(0, 40)))
def test_first_pending(frames: set[int]) -> None:
    ledger = Ledger(Path(":memory:"))
    ledger.commit(Group(frames=[row(n) for n in sorted(frames)]))
    assert ledger.first_pending() == next(n for n in range(42) if n not in frames)
    ledger.close()


def test_tables_keep_their_columns(ledger: Ledger) -> None:
    types = {"label": "INTEGER", 'a "b"': "REAL", "select": "TEXT"}
    ledger.table("mine", types)
    ledger.table("mine", types)
    again = Ledger(ledger.path)
    again.table("mine", types)
    message = (
        r"table 'mine' has columns label, a \"b\", select; this frame gave label, x"
    )
    for one in (ledger, again):
        with pytest.raises(FrameError, match=message):
            one.table("mine", {"label": "INTEGER", "x": "REAL"})
    again.close()
    described = 'SELECT "table", "column", unit FROM columns ORDER BY rowid'
    assert ledger.query(described)[:2] == [("mine", "frame", ""), ("mine", "label", "")]
    assert len(ledger.query(described)) == 4
    with pytest.raises(StoreError, match=r"cannot make table 'sqlite_x' in .*reserved"):
        ledger.table("sqlite_x", {"label": "INTEGER"})
    assert ledger.get("format") == "1"  # no transaction was left open


def test_parameters_are_recorded_once(ledger: Ledger) -> None:
    for value in ("1", "2"):
        ledger.begin_parameters([(0, "smooth", "sigma", value)])
    assert ledger.parameters() == [(0, "smooth", "sigma", "1")]
    ledger.change_parameter((7, "smooth", "sigma", "3"))
    assert ledger.parameters()[1:] == [(7, "smooth", "sigma", "3")]


def test_what_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(
        StoreError, match=r"cannot write .*run.sqlite: DatabaseError: file "
    ):
        Ledger(tmp_path / "run.sqlite")
    with pytest.raises(StoreError, match=r"cannot write .*unable to open database fi"):
        Ledger(tmp_path / "none" / "run.sqlite")


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 0)])
def test_durability(tmp_path: Path, durability: str, synchronous: int) -> None:
    ledger = Ledger(tmp_path / "run.sqlite", durability=durability)
    assert ledger.wal
    assert ledger.query("PRAGMA synchronous") == [(synchronous,)]
    assert ledger.query("PRAGMA journal_mode") == [("wal",)]
    ledger.close()
    assert not (tmp_path / "run.sqlite-wal").exists()


@pytest.fixture
def no_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite as on a network drive: without shared memory, hence without WAL."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def without(path: str | Path, **more: Any) -> sqlite3.Connection:
        if "uri" in more:
            return connect(path, **more)
        return connect(f"file:{path}?vfs=unix-dotfile", uri=True, **more)

    monkeypatch.setattr("streamproc.store.ledger.sqlite3.connect", without)


@pytest.mark.skipif(sys.platform == "win32", reason="SQLite's VFS of Unix")
@pytest.mark.usefixtures("no_wal")
def test_a_rollback_journal_where_wal_cannot_be(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run.sqlite")
    assert not ledger.wal
    assert ledger.query("PRAGMA journal_mode") == [("delete",)]
    ledger.commit(Group(frames=[row(0)]))
    ledger.close()
    labels, cells = segmented(simulated(80))
    report = sp.run({"labels": labels, "cells": cells}, tmp_path / "run")
    assert report.frames.done == 80
    assert sp.load(tmp_path / "run").status()["done"] == 80


def test_committed_is_committed(tmp_path: Path) -> None:
    """A process that dies without a word leaves what it committed."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from streamproc.store.ledger import *\n"
        "from tests.store.test_ledger import row\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "ledger.commit(Group(frames=[row(n) for n in range(64)]))\n"
        "ledger._db.execute('BEGIN'); ledger.set('a', 'b')\n"
        "os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "run.sqlite"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, timeout=60, check=False, cwd=root)
    ledger = Ledger(path)
    assert ledger.first_pending() == 64
    assert ledger.get("a") is None
    ledger.close()


def test_summary_rows_sum_to_all_frames(tmp_path: Path, executor: str) -> None:
    """For 1, 10 and 60 s, and across a resume."""
    raw = simulated(150)
    labels, cells = segmented(raw)
    odd = raw.map(_fails_at_times, name="odd")
    saved = {"labels": labels, "cells": cells, "odd": odd}
    _GO.clear()
    _SEEN.clear()
    run = sp.start(saved, tmp_path / "run", executor=executor)
    wait_for(run, 40)
    run.stop()
    _GO.set()
    first = run.wait().frames
    assert first.done + first.failed < 150
    report = sp.resume(tmp_path / "run")
    assert isinstance(report, sp.Report)
    db = sqlite3.connect(tmp_path / "run/run.sqlite")
    sums = db.execute(
        "SELECT seconds, sum(done), sum(failed), sum(skipped), sum(lost) FROM summary "
        "GROUP BY seconds ORDER BY seconds"
    ).fetchall()
    counts = (report.frames.done, report.frames.failed, 0, 0)
    assert sums == [(s, *counts) for s in (1, 10, 60)]
    assert sum(counts) == 150
    # what a history shows: objects per frame, bytes of all chunks
    objects, area, nbytes = db.execute(
        "SELECT sum(objects * done), sum(area * objects * done), sum(bytes) "
        "FROM summary WHERE seconds = 10"
    ).fetchone()
    cells_rows, cells_area = db.execute(
        "SELECT count(*), sum(area) FROM cells"
    ).fetchone()
    assert objects == pytest.approx(cells_rows)
    assert area == pytest.approx(cells_area)
    assert nbytes == db.execute("SELECT sum(length) FROM chunks").fetchone()[0]
    db.close()


_GO = threading.Event()
_SEEN: list[int] = []


def _fails_at_times(image: Any) -> Any:
    _SEEN.append(1)
    if len(_SEEN) > 100:
        _GO.wait()
    if image[0, 0] % 7 == 0:
        raise ValueError("a multiple of seven")
    return image


def test_units() -> None:
    assert describe("area") == ("px", "number of pixels (voxels in 3-D)")
    assert describe("mean_intensity_c1") == describe("intensity_mean")
    assert describe("centroid_y") == ("px", "mean position along y")
    assert describe("weighted_centroid_x") == ("px", "mean position along x")
    assert describe("bbox_y1") == ("px", "one past the last pixel along y")
    assert describe("mine") == ("", "")


def test_every_column_of_measure_is_described(tmp_path: Path) -> None:
    from streamproc.ops.measurement import PROPERTIES

    raw = simulated(2)
    cells = raw.threshold().label().measure(raw, properties=list(PROPERTIES))
    sp.run({"cells": cells}, tmp_path / "run")
    db = sqlite3.connect(tmp_path / "run/run.sqlite")
    rows = db.execute('SELECT "column", unit, description FROM columns').fetchall()
    db.close()
    assert [name for name, _, text in rows if not text] == []
    assert all(re.fullmatch(r"px|rad|grey level|", unit) for _, unit, _ in rows)


def test_the_last_owner_alone_commits(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with closing(Ledger(path)) as first, closing(Ledger(path)) as second:
        first.own("a")
        first.commit(Group(run={"admitted": "1"}))
        second.own("b")
        with pytest.raises(RunFolderError, match="another process took over run folde"):
            first.commit(Group(run={"admitted": "2"}))
        assert second.get("admitted") == "1"
        second.commit(Group(run={"admitted": "3"}))
