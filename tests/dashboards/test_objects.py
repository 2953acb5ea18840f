"""The objects of a run, page by page, are those that SQL has."""

import csv
import io
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from streamproc.dashboards import objects
from streamproc.dashboards.objects import Ask, Objects, limited

import streamproc as sp
from streamproc.errors import ConfigError, StoreError
from streamproc.folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of 30 frames of cells."""
    form = {"simulation": {"frames": 30, "shape": [128, 160], "live": False}}
    raw = sp.open(form)
    cells = raw.gaussian(sigma=1).threshold().label().measure(raw)
    path = tmp_path_factory.mktemp("objects") / "RUN"
    sp.run({"cells": cells, "total": cells.running_count()}, path)
    return RunFolder(path)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[tuple[RunFolder, sqlite3.Connection]]:
    """A ledger with a table of odd names and values, and its writer."""
    folder = RunFolder(tmp_path)
    db = sqlite3.connect(folder.ledger, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute('CREATE TABLE columns("table" TEXT, "column" TEXT, unit, description)')
    db.execute(
        'CREATE TABLE "a ""b"(frame INTEGER, label INTEGER, "x y" REAL, name TEXT, '
        "PRIMARY KEY (frame, label)) WITHOUT ROWID"
    )
    names = ("frame", "label", "x y", "name")
    db.executemany(
        "INSERT INTO columns VALUES ('a \"b', ?, 'px', '')", [(n,) for n in names]
    )
    rows = [
        (0, 1, None, 'with "quotes", and\nlines'),
        (0, 2, math.inf, None),
        (1, 1, 0.1, "µ"),
        (1, 2, -3.0, ""),
    ]
    db.executemany('INSERT INTO "a ""b" VALUES (?, ?, ?, ?)', rows)
    yield folder, db
    db.close()


def ledger(folder: RunFolder, sql: str) -> list[list[object]]:
    db = sqlite3.connect(folder.ledger)
    rows = [list(row) for row in db.execute(sql)]
    db.close()
    return rows


def test_columns_have_their_units(folder: RunFolder) -> None:
    tables = Objects(folder).tables()
    assert sorted(tables) == ["cells", "total"]
    found = {column.name: column for column in tables["cells"]}
    assert (found["area"].unit, found["area"].kind) == ("px", "INTEGER")
    assert found["mean_intensity"].unit == "grey level"


@pytest.mark.parametrize("sort", ["frame", "area", "mean_intensity"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_are_those_of_sql(folder: RunFolder, sort: str, descending: bool) -> None:
    way = "DESC" if descending else "ASC"
    order = f"frame {way}, label {way}" if sort == "frame" else f"{sort} {way}, 1, 2"
    sql = f"SELECT * FROM cells WHERE area > 120 ORDER BY {order}"
    expected = ledger(folder, sql)
    ask = Ask("cells", filter="area > 120")
    found: list[object] = []
    while len(found) < len(expected):
        page = Objects(folder).rows(
            ask, sort=sort, descending=descending, offset=len(found), limit=37
        )
        assert page["total"] == len(expected)
        found += page["rows"]
    assert found == expected
    # the page that holds a row, wherever that is
    row = expected[len(expected) * 2 // 3]
    around = int(str(row[0])), int(str(row[1]))
    page = Objects(folder).rows(
        ask, sort=sort, descending=descending, limit=37, around=around
    )
    assert page["rows"][page["found"]] == row
    assert page["offset"] == expected.index(row) // 37 * 37


def test_one_frame_alone(folder: RunFolder) -> None:
    page = Objects(folder).rows(Ask("cells", 7, "area > 100 or area < 50"))
    expected = ledger(
        folder, "SELECT * FROM cells WHERE frame = 7 AND (area > 100 OR area < 50)"
    )
    assert page["rows"] == expected
    assert Objects(folder).rows(Ask("cells", 7), around=(8, 1))["found"] is None
    assert Objects(folder).row("cells", 7, 10_000) is None


def test_all_points_or_a_sample_of_them(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT frame, label, area, mean_intensity FROM cells ORDER BY 1, 2"
    expected = ledger(folder, sql)
    ask, names = Ask("cells"), ["area", "mean_intensity"]
    told = Objects(folder).points(ask, names)
    found = zip(told["frame"], told["label"], *told["values"], strict=True)
    assert list(map(list, found)) == expected
    assert told["total"] == told["known"] == len(expected)
    none = Objects(folder).points(Ask("cells", 10_000), names)
    assert (none["frame"], none["values"], none["total"]) == ((), [[], []], 0)
    monkeypatch.setattr(objects, "MOST_POINTS", 100)
    told = Objects(folder).points(ask, names)
    # about so many, from everywhere, and the same ones again
    assert 60 < len(told["frame"]) < 150
    assert told["total"] == len(expected)
    assert abs(np.mean(told["frame"]) - 14.5) < 4
    assert told == Objects(folder).points(ask, names)
    found = zip(told["frame"], told["label"], *told["values"], strict=True)
    assert all(list(row) in expected for row in found)


def test_csv_is_the_whole_table(folder: RunFolder) -> None:
    parts = list(Objects(folder).csv(Ask("cells", filter="area > 60")))
    assert len(parts) > 2  # it comes in parts
    head, *rows = csv.reader(io.StringIO(b"".join(parts).decode()))
    expected = ledger(folder, "SELECT * FROM cells WHERE area > 60 ORDER BY 1, 2")
    assert head == [column.name for column in Objects(folder).tables()["cells"]]
    kinds = (int, int, int, float, float, float)
    found = [[k(v) for k, v in zip(kinds, row, strict=True)] for row in rows]
    assert found == expected  # to the last bit


def test_odd_names_and_values(
    odd: tuple[RunFolder, sqlite3.Connection],
) -> None:
    folder, _ = odd
    found, name = Objects(folder), 'a "b'
    page = found.rows(Ask(name), sort="x y", descending=True)
    # what has no value comes last; infinity has no number in JSON
    assert [row[2] for row in page["rows"]] == ["inf", 0.1, -3.0, None]
    page = found.rows(Ask(name), sort="x y", around=(0, 1), limit=2)
    assert (page["offset"], page["found"]) == (2, 1)
    told = found.points(Ask(name), ["x y"])
    assert (told["total"], told["known"]) == (4, 3)
    assert told["values"] == [["inf", 0.1, -3.0]]
    text = b"".join(found.csv(Ask(name, filter="[x y] is null or name = 'µ'")))
    assert list(csv.reader(io.StringIO(text.decode())))[1:] == [
        ["0", "1", "", 'with "quotes", and\nlines'],
        ["1", "1", "0.1", "µ"],
    ]
    with pytest.raises(ConfigError, match="'name' is text; a plot takes numbers"):
        found.points(Ask(name), ["name"])


def test_who_reads_does_not_hold_up_the_writer(
    odd: tuple[RunFolder, sqlite3.Connection],
) -> None:
    folder, db = odd
    parts = Objects(folder).csv(Ask('a "b'))
    next(parts)
    next(parts)
    db.execute("PRAGMA busy_timeout=0")
    db.execute('INSERT INTO "a ""b" VALUES (9, 1, 1.0, \'\')')
    # nothing of the ledger is held: all of its log can be taken back
    busy, log, taken = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, log, taken) == (0, 0, 0)
    assert list(parts) == []


def test_what_takes_too_long_is_given_up(folder: RunFolder) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT count(*) FROM n"
    )

    def ask(seconds: float, stopped: Event | None = None) -> None:
        with limited(folder.ledger, seconds, stopped) as db:
            db.execute(endless)

    with pytest.raises(StoreError, match=r"longer than 0\.2 s and was given up; look"):
        ask(0.2)
    stopped = Event()
    stopped.set()
    with pytest.raises(StoreError, match="given up"):
        ask(math.inf, stopped)


def test_frames_by_their_moment(folder: RunFolder) -> None:
    rows = ledger(folder, "SELECT frame, committed_at FROM frames ORDER BY frame")
    found = Objects(folder)
    assert found.frame_at(0) == 0
    assert found.frame_at(1e12) == 29
    assert found.frame_at(float(str(rows[12][1]))) == min(
        int(str(row[0]))
        for row in rows
        if row[1] >= rows[12][1]  # type: ignore[operator]
    )


def test_mistakes_are_one_line(folder: RunFolder, tmp_path: Path) -> None:
    found = Objects(folder)
    with pytest.raises(ConfigError, match="no table 'cels'; did you mean 'cells'"):
        found.rows(Ask("cels"))
    with pytest.raises(ConfigError, match="no column 'arae'; did you mean 'area'"):
        found.rows(Ask("cells"), sort="arae")
    with pytest.raises(ConfigError, match="no column 'mean'"):
        found.points(Ask("cells"), ["mean"])
    with pytest.raises(StoreError, match="the ledger cannot be read"):
        Objects(RunFolder(tmp_path)).tables()
