"""The objects of a run: its saved tables, page by page, by SQL that ends in time."""

import csv
import io
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from streamproc.errors import ConfigError, StoreError, nearest, one_line
from streamproc.folder import RunFolder, connect_readonly

from .filter import Filter, parse, quoted

#: Seconds after which a question is given up, and those for the number of rows.
LIMIT, COUNT_LIMIT = 5.0, 2.0
#: Rows of a page, and points of a plot, at most.
MOST_ROWS, MOST_POINTS = 1000, 10_000
#: SQLite's instructions between two looks at the clock.
_STEPS = 20_000
#: Seconds that a part of an export takes, about: a long read holds back the ledger.
_PART = 0.2
#: Prime below 2³¹, and a factor: a row's place in the sample, the same each time.
_PRIME, _FACTOR = 2_147_483_629, 1_000_003

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """A column of a saved table."""

    name: str
    unit: str
    description: str
    #: INTEGER, REAL or TEXT
    kind: str


@dataclass(frozen=True)
class Ask:
    """What is looked at: a table, of one frame or of all, and what rows must meet."""

    table: str
    frame: int | None = None
    filter: str = ""


class Objects:
    """Reads the saved tables of one run beside its writer, from any thread."""

    def __init__(self, folder: RunFolder) -> None:
        self._ledger = folder.ledger

    def tables(self) -> dict[str, list[Column]]:
        """Return the columns of every saved table."""
        sql = 'SELECT "table", "column", unit, description FROM columns ORDER BY rowid'
        found: dict[str, list[Column]] = {}
        with limited(self._ledger) as db:
            rows = db.execute(sql).fetchall()
            for table in dict.fromkeys(row[0] for row in rows):
                info = db.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
                kinds = {row[1]: row[2] for row in info}
                found[table] = [
                    Column(name, unit or "", description or "", kinds[name])
                    for owner, name, unit, description in rows
                    if owner == table and name in kinds
                ]
        return found

    def rows(
        self,
        ask: Ask,
        *,
        sort: str = "frame",
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
        around: tuple[int, int] | None = None,
        stopped: Event | None = None,
    ) -> dict[str, Any]:
        """Return a page of rows, sorted, null last; ties by frame and label.

        Parameters
        ----------
        ask
            What is looked at.
        sort, descending
            By which column, and whether the largest comes first.
        offset, limit
            The page: its first row, and how many.
        around
            Frame and label of a row: the page that holds it, in place of ``offset``.
        stopped
            Set from another thread, it ends the question.

        Returns
        -------
        dict
            ``rows``, ``offset``, and ``total``: of all pages, None where counting
            took too long; ``found`` is the index of ``around`` in ``rows``, or None.

        Raises
        ------
        ConfigError
            No such table or column, or no such filter.
        StoreError
            It took too long, or the ledger cannot be read.
        """
        columns, where = self._where(ask)
        names = [column.name for column in columns]
        _known(sort, names)
        limit = max(1, min(limit, MOST_ROWS))
        order = _order(sort, "DESC" if descending else "ASC")
        table, found = quoted(ask.table), None
        with limited(self._ledger, LIMIT, stopped) as db:
            if around is not None:
                place = _place(db, table, where, sort, descending, around)
                if place is not None:
                    offset, found = place - place % limit, place % limit
            chosen = ", ".join(map(quoted, names))
            sql = (
                f"SELECT {chosen} FROM {table} WHERE {where.sql} "
                f"ORDER BY {order} LIMIT ? OFFSET ?"
            )
            rows = db.execute(sql, (*where.values, limit, max(0, offset))).fetchall()
        return {
            "rows": [[_plain(value) for value in row] for row in rows],
            "offset": offset,
            "found": found,
            "total": self._count(table, where, stopped),
        }

    def points(
        self, ask: Ask, names: Sequence[str], stopped: Event | None = None
    ) -> dict[str, Any]:
        """Return frame, label and some numbers of rows, a sample where they are many.

        A row is in the sample or not by its frame and label alone, so the same ones
        come each time.

        Returns
        -------
        dict
            ``frame``, ``label`` and ``values`` (a list per name), ``total`` rows that
            meet the filter, and how many of them are ``known``: have all the values.

        Raises
        ------
        ConfigError
            No such table, column or filter, or a column of text.
        StoreError
            It took too long, or the ledger cannot be read.
        """
        columns, where = self._where(ask)
        kinds = {column.name: column.kind for column in columns}
        for name in names:
            if kinds[_known(name, kinds)] == "TEXT":
                raise ConfigError(f"{name!r} is text; a plot takes numbers")
        table = quoted(ask.table)
        known = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in names) or "1"
        counting = f"SELECT count(*), total({known}) FROM {table} WHERE {where.sql}"
        with limited(self._ledger, LIMIT, stopped) as db:
            total, some = db.execute(counting, where.values).fetchone()
            share = _PRIME if some <= MOST_POINTS else int(_PRIME * MOST_POINTS / some)
            chosen = ", ".join(map(quoted, ("frame", "label", *names)))
            place = f"((frame * {_FACTOR} + label) % {_PRIME})"
            sql = (
                f"SELECT {chosen} FROM {table} WHERE ({where.sql}) AND {known} "
                f"AND {place} * {place} % {_PRIME} < ? ORDER BY frame, label"
            )
            rows = db.execute(sql, (*where.values, share)).fetchall()
        nothing: list[Row] = [()] * (2 + len(names))
        frame, label, *values = list(zip(*rows, strict=True)) or nothing
        return {
            "frame": frame,
            "label": label,
            "values": [[_plain(v) for v in column] for column in values],
            "total": total,
            "known": int(some),
        }

    def row(self, table: str, frame: int, label: int) -> dict[str, Any] | None:
        """Return one row by column; None where there is none."""
        columns, _ = self._where(Ask(table))
        names = [column.name for column in columns]
        chosen = ", ".join(map(quoted, names))
        sql = f"SELECT {chosen} FROM {quoted(table)} WHERE frame=? AND label=?"
        with limited(self._ledger) as db:
            row = db.execute(sql, (frame, label)).fetchone()
        if row is None:
            return None
        return {name: _plain(v) for name, v in zip(names, row, strict=True)}

    def csv(self, ask: Ask, stopped: Event | None = None) -> Iterator[bytes]:
        """Yield all rows as CSV, by frame and label, a part at a time.

        Between two parts nothing of the ledger is held, so that the run's writer is
        not held up by who takes them slowly. Frames that come meanwhile are not in it.

        Raises
        ------
        ConfigError
            No such table or filter; before the first part.
        StoreError
            The ledger cannot be read any more.
        """
        columns, where = self._where(ask)
        names = [column.name for column in columns]
        table, chosen = quoted(ask.table), ", ".join(map(quoted, names))
        with limited(self._ledger) as db:
            sql = f"SELECT min(frame), max(frame) FROM {table}"
            first, last = db.execute(sql).fetchone()
        if ask.frame is not None:
            first = last = ask.frame
        yield _csv([names])
        sql = (
            f"SELECT {chosen} FROM {table} WHERE frame BETWEEN ? AND ? AND "
            f"({where.sql}) ORDER BY frame, label"
        )
        step = 16
        while first is not None and first <= last:
            began = time.monotonic()
            end = min(last, first + step - 1)
            with limited(self._ledger, math.inf, stopped) as db:
                rows = db.execute(sql, (first, end, *where.values)).fetchall()
            if rows:
                yield _csv(rows)
            first = end + 1
            took = time.monotonic() - began
            step = min(1024, 2 * step) if took < _PART else max(1, step // 2)

    def has_pixels(self, frame: int) -> bool:
        """Return whether a frame came with pixels: one not to be read has none."""
        sql = (
            "SELECT state != 'failed' OR EXISTS (SELECT 1 FROM chunks WHERE "
            "frame = ?1 AND array = 'source/0') FROM frames WHERE frame = ?1"
        )
        with limited(self._ledger) as db:
            row = db.execute(sql, (frame,)).fetchone()
        return row is None or bool(row[0])

    def frame_at(self, when: float) -> int | None:
        """Return the first frame done at a moment or later; else the last."""
        later = "SELECT min(frame) FROM frames WHERE state='done' AND committed_at>=?"
        with limited(self._ledger) as db:
            found = db.execute(later, (when,)).fetchone()[0]
            if found is None:
                last = "SELECT max(frame) FROM frames WHERE state='done'"
                found = db.execute(last).fetchone()[0]
        return None if found is None else int(found)

    def _where(self, ask: Ask) -> tuple[list[Column], Filter]:
        """Return the columns, and the condition in SQL."""
        tables = self.tables()
        if ask.table not in tables:
            known = nearest(ask.table, tables) if tables else "; it has none yet"
            raise ConfigError(f"the run has no table {ask.table!r}{known}")
        columns = tables[ask.table]
        found = parse(ask.filter, [column.name for column in columns])
        if ask.frame is not None:
            found = Filter(f"frame = ? AND {found.sql}", (ask.frame, *found.values))
        return columns, found

    def _count(self, table: str, where: Filter, stopped: Event | None) -> int | None:
        sql = f"SELECT count(*) FROM {table} WHERE {where.sql}"
        try:
            with limited(self._ledger, COUNT_LIMIT, stopped) as db:
                return int(db.execute(sql, where.values).fetchone()[0])
        except StoreError:
            return None


@contextmanager
def limited(
    ledger: Path, seconds: float = LIMIT, stopped: Event | None = None
) -> Iterator[sqlite3.Connection]:
    """Open the ledger for questions that end in time; errors are one line.

    Raises
    ------
    StoreError
        They took longer, were ``stopped``, or the ledger cannot be read.
    """
    until = time.monotonic() + seconds

    def is_over() -> bool:
        return time.monotonic() > until or (stopped is not None and stopped.is_set())

    try:
        with closing(connect_readonly(ledger)) as db:
            db.set_progress_handler(is_over, _STEPS)
            yield db
    except sqlite3.Error as error:
        if is_over():
            raise StoreError(
                f"that took longer than {seconds:g} s and was given up; "
                "look at one frame, or filter by frame: frame < 1000"
            ) from error
        raise StoreError(f"the ledger cannot be read: {one_line(error)}") from error


def _order(sort: str, way: str) -> str:
    if sort == "frame":
        return f"frame {way}, label {way}"
    name = quoted(sort)
    return f"{name} IS NULL, {name} {way}, frame, label"


def _place(
    db: sqlite3.Connection,
    table: str,
    where: Filter,
    sort: str,
    descending: bool,
    row: tuple[int, int],
) -> int | None:
    """Return how many rows come before one; None where it is not among them."""
    name, sign = quoted(sort), ">" if descending else "<"
    sql = f"SELECT {name} FROM {table} WHERE frame=? AND label=? AND {where.sql}"
    found = db.execute(sql, (*row, *where.values)).fetchone()
    if found is None:
        return None
    value, values = found[0], tuple[Any, ...](row)
    if sort == "frame":
        before = f"(frame, label) {sign} (?, ?)"
    elif value is None:
        before = f"({name} IS NOT NULL OR (frame, label) < (?, ?))"
    else:
        before = f"({name} {sign} ? OR ({name} = ? AND (frame, label) < (?, ?)))"
        values = (value, value, *row)
    sql = f"SELECT count(*) FROM {table} WHERE ({where.sql}) AND {before}"
    return int(db.execute(sql, (*where.values, *values)).fetchone()[0])


def _known(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    if name not in names:
        raise ConfigError(f"the table has no column {name!r}{nearest(name, names)}")
    return name


def _plain(value: Any) -> Any:  # as SQLite has it
    """Return a value as JSON has it: infinity is a word."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
