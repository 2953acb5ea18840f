"""The one record of each frame's fate, and the tables, in one SQLite file."""

import json
import sqlite3
import threading
import time as clock
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from streamproc.errors import FrameError, StoreError, one_line
from streamproc.frame import Gap

from .lock import taken_over

#: Version of the run folder's format.
FORMAT = "1"

_SCHEMA = """
CREATE TABLE frames(frame INTEGER PRIMARY KEY, source_index INTEGER, time REAL,
    state TEXT CHECK (state IN ('done','failed','skipped')), error TEXT,
    t INTEGER, c INTEGER, z INTEGER, position TEXT, hash TEXT, metadata TEXT,
    worker TEXT, admitted_at REAL, committed_at REAL, latency_ms REAL);
CREATE TABLE gaps(first_source_index INTEGER, last_source_index INTEGER,
    count INTEGER, time REAL, place TEXT, reason TEXT);
CREATE TABLE chunks(array TEXT, frame INTEGER, chunk INTEGER, shard TEXT,
    offset INTEGER, length INTEGER, crc32c INTEGER,
    PRIMARY KEY (array, frame, chunk)) WITHOUT ROWID;
CREATE TABLE states(step TEXT, frame INTEGER, value BLOB, PRIMARY KEY (step));
CREATE TABLE run(key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE summary(seconds INTEGER, time REAL, done INTEGER, failed INTEGER,
    skipped INTEGER, lost INTEGER, fps REAL, latency_p50 REAL, latency_p99 REAL,
    objects REAL, area REAL, intensity REAL, bytes INTEGER,
    PRIMARY KEY (seconds, time));
CREATE TABLE columns("table" TEXT, "column" TEXT, unit TEXT, description TEXT);
CREATE TABLE parameters(frame INTEGER, step TEXT, name TEXT, value TEXT);
CREATE TABLE events(time REAL, frame INTEGER, level TEXT, kind TEXT, message TEXT);
"""

#: Rows of one statement, and the variables that every SQLite allows in one.
_ROWS, _VARIABLES = 64, 32_000

#: Names that a saved table cannot have.
RESERVED = frozenset(
    "frames gaps chunks states run summary columns parameters events".split()  # noqa: SIM905
)


class FrameRow(NamedTuple):
    """One row of ``frames``, in the schema's order."""

    frame: int
    source_index: int
    time: float | None
    state: str
    error: str | None
    t: int
    c: int | None
    z: int | None
    position: str | None
    hash: str
    metadata: str
    worker: str
    admitted_at: float
    committed_at: float
    latency_ms: float | None


@dataclass(slots=True)
class Group:
    """What one transaction makes durable: at most 64 frames and all that is theirs."""

    frames: list[FrameRow] = field(default_factory=list)
    chunks: list[tuple[Any, ...]] = field(default_factory=list)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    states: list[tuple[str, int, bytes]] = field(default_factory=list)
    summary: list[tuple[Any, ...]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    run: dict[str, str] = field(default_factory=dict)
    #: rows may take the place of others: frames that were skipped, or lacked something
    again: bool = False
    #: frame and hashes, or frame and error, of frames that have a row already
    hashes: list[tuple[int, str]] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)


class Ledger:
    """The writer's side; one process writes, from any thread, others read alongside.

    ``durability`` ``"power"`` syncs every commit to the device, ``"process"``
    survives the death of the process only. Where the file system cannot do
    write-ahead logging (network drives), a rollback journal is used.
    """

    def __init__(self, path: Path, *, durability: str = "power") -> None:
        self.path = path
        # a statement of another thread must not become part of a transaction
        self._lock = threading.RLock()
        self._owner: str | None = None
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, timeout=30, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {path}: {one_line(error)}") from error
        try:
            self.wal = self._journal_mode()
            sync = "FULL" if durability == "power" else "OFF"
            self._db.execute(f"PRAGMA synchronous={sync}")
            self._db.execute(f"PRAGMA journal_size_limit={64 << 20}")
            if not self.query("SELECT 1 FROM sqlite_master WHERE name='events'"):
                with self.transaction():
                    for statement in _SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self.set("format", FORMAT)
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"cannot write {path}: {one_line(error)}") from error
        self._columns: dict[str, tuple[str, ...]] = {}

    def own(self, token: str) -> None:
        """Take the ledger over: transactions of whoever had it before are refused."""
        with self.transaction():
            self.set("owner", token)
        self._owner = token

    def _journal_mode(self) -> bool:
        try:
            mode = self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError:
            mode = self._db.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        return bool(mode == "wal")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all or nothing; other threads wait.

        Raises
        ------
        RunFolderError
            Another process owns the ledger by now.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self._owner is not None and self.get("owner") != self._owner:
                    raise taken_over(self.path.parent)
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def commit(self, group: Group) -> None:
        """Make a group of frames durable, in one transaction.

        Raises
        ------
        StoreError
            The disk is full or gone; nothing of the group is recorded.
        """
        many = self._db.executemany
        try:
            with self.transaction():
                into = "INSERT OR REPLACE" if group.again else "INSERT"
                self._insert(into, "frames", group.frames)
                self._insert(into, "chunks", group.chunks)
                for table, rows in group.rows.items():
                    self._insert(into, table, rows)
                self._amend(group)
                if group.states:
                    many("INSERT OR REPLACE INTO states VALUES (?,?,?)", group.states)
                if group.summary:
                    many(
                        f"INSERT OR REPLACE INTO summary VALUES ({_marks(13)})",
                        group.summary,
                    )
                self._insert_gaps(group.gaps)
                for key, value in group.run.items():
                    self.set(key, value)
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot record results in {self.path}: {one_line(error)}"
            ) from error

    def _insert(self, into: str, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, many per statement: each statement gives up the GIL once.

        With one statement per row a commit waits for the GIL as often as it has
        rows; while workers run Python that was 13 ms instead of 0.1 ms per 350 rows.
        """
        if not rows:
            return
        into = f"{into} INTO {_quoted(table)} VALUES "
        marks = f"({_marks(len(rows[0]))})"
        at = max(1, min(_ROWS, _VARIABLES // len(rows[0])))
        whole = len(rows) - len(rows) % at
        statement = into + ",".join([marks] * at)
        for start in range(0, whole, at):
            part = rows[start : start + at]
            self._db.execute(statement, tuple(chain.from_iterable(part)))
        self._db.executemany(into + marks, rows[whole:])

    def _amend(self, group: Group) -> None:
        """Change rows of frames that were computed again for what they lacked."""
        for frame, hashes in group.hashes:
            self._db.execute("UPDATE frames SET hash=? WHERE frame=?", (hashes, frame))
        for frame, error in group.failed:
            self._db.execute(
                "UPDATE frames SET state='failed', error=?, hash='{}' WHERE frame=?",
                (error, frame),
            )
            for (table,) in self.query('SELECT DISTINCT "table" FROM columns'):
                self._db.execute(
                    f"DELETE FROM {_quoted(table)} WHERE frame=?", (frame,)
                )
            # the raw log keeps what came from the camera
            self._db.execute(
                "DELETE FROM chunks WHERE frame=? AND array != 'source/0'", (frame,)
            )

    def _insert_gaps(self, gaps: Iterable[Gap]) -> None:
        self._db.executemany(
            "INSERT INTO gaps VALUES (?,?,?,?,?,?)",
            [
                (
                    g.first_source_index,
                    g.last_source_index,
                    g.count,
                    g.time,
                    g.place,
                    g.reason,
                )
                for g in gaps
            ],
        )

    def table(self, name: str, columns: Mapping[str, str]) -> None:
        """Create a saved table with these columns and SQL types, or check it.

        Raises
        ------
        FrameError
            The table exists with other columns.
        """
        known = self._columns.get(name)
        if known is None:
            known = self._existing(name)
        if known is None:
            typed = ", ".join(f"{_quoted(c)} {t}" for c, t in columns.items())
            try:
                with self.transaction():
                    self._db.execute(
                        f"CREATE TABLE {_quoted(name)}(frame INTEGER, {typed}, "
                        "PRIMARY KEY (frame, label)) WITHOUT ROWID"
                    )
                    self._describe(name, columns)
            except sqlite3.Error as error:
                raise StoreError(
                    f"cannot make table {name!r} in {self.path}: {one_line(error)}"
                ) from error
            known = tuple(columns)
        self._columns[name] = known
        if known != tuple(columns):
            raise FrameError(
                f"table {name!r} has columns {', '.join(known)}; "
                f"this frame gave {', '.join(columns)}"
            )

    def _existing(self, name: str) -> tuple[str, ...] | None:
        rows = self._db.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
        return tuple(row[1] for row in rows[1:]) if rows else None

    def _describe(self, table: str, columns: Mapping[str, str]) -> None:
        from .units import describe

        self._db.executemany(
            "INSERT INTO columns VALUES (?,?,?,?)",
            [(table, c, *describe(c)) for c in ("frame", *columns)],
        )

    def begin_parameters(self, rows: Iterable[tuple[int, str, str, str]]) -> None:
        """Record the values that a run begins with; once, however often it is begun."""
        if self.query("SELECT 1 FROM parameters LIMIT 1"):
            return
        with self.transaction():
            self._db.executemany("INSERT INTO parameters VALUES (?,?,?,?)", rows)

    def change_parameter(self, row: tuple[int, str, str, str]) -> None:
        """Record a value that holds from a frame on; durable when this returns.

        Raises
        ------
        StoreError
            The disk is full or gone; nothing is recorded.
        """
        try:
            with self.transaction():
                self._db.execute("INSERT INTO parameters VALUES (?,?,?,?)", row)
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot record a parameter in {self.path}: {one_line(error)}"
            ) from error

    def parameters(self) -> list[tuple[int, str, str, str]]:
        """Return the rows of ``parameters``, in the order they were recorded."""
        return self.query("SELECT * FROM parameters ORDER BY rowid")

    def event(
        self, kind: str, message: str, *, frame: int | None = None, level: str = "info"
    ) -> None:
        """Record what the engine said."""
        self._write(
            "INSERT INTO events VALUES (?,?,?,?,?)",
            (clock.time(), frame, level, kind, message),
        )

    def set(self, key: str, value: str) -> None:
        """Set one key of the ``run`` table."""
        self._write("INSERT OR REPLACE INTO run VALUES (?,?)", (key, value))

    def _write(self, sql: str, values: Sequence[Any]) -> None:
        try:
            with self._lock:
                self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self.path}: {one_line(error)}") from error

    def get(self, key: str) -> str | None:
        """Return one value of the ``run`` table."""
        rows = self.query("SELECT value FROM run WHERE key=?", (key,))
        return str(rows[0][0]) if rows else None

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one SELECT."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def first_pending(self) -> int:
        """Return the first frame number without a row."""
        if not self.query("SELECT 1 FROM frames WHERE frame=0"):
            return 0
        return int(
            self.query(
                "SELECT min(frame) + 1 FROM frames AS a WHERE NOT EXISTS "
                "(SELECT 1 FROM frames AS b WHERE b.frame = a.frame + 1)"
            )[0][0]
        )

    def fates(self, first: int, last: int) -> dict[int, str]:
        """Return the states of the frames between two numbers (inclusive)."""
        rows = self.query(
            "SELECT frame, state FROM frames WHERE frame BETWEEN ? AND ?",
            (first, last),
        )
        return dict(rows)

    def first_lacking(self, *, in_order: bool) -> int:
        """Return the first frame that a later pass has something to do for.

        Parameters
        ----------
        in_order
            The graph has ordered steps: they go on behind the last frame that they
            were run on. Else it is the first frame that was skipped, or has no row.
        """
        if in_order:
            return int(
                self.query("SELECT coalesce(max(frame) + 1, 0) FROM states")[0][0]
            )
        skipped = self.query("SELECT min(frame) FROM frames WHERE state='skipped'")
        pending = self.first_pending()
        return pending if skipped[0][0] is None else min(pending, int(skipped[0][0]))

    def record_gaps(self, gaps: Sequence[Gap]) -> None:
        """Record frames that never reached us, apart from a group."""
        if gaps:
            with self.transaction():
                self._insert_gaps(gaps)

    def gaps(self) -> list[Gap]:
        """Return the gaps, in the order they were recorded."""
        rows = self.query(
            "SELECT first_source_index, last_source_index, reason, time, place "
            "FROM gaps ORDER BY rowid"
        )
        return [Gap(*row) for row in rows]

    def states(self) -> dict[str, Any]:
        """Return the recorded state of every ordered step."""
        return {
            step: json.loads(value)
            for step, value in self.query("SELECT step, value FROM states")
        }

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        self._db.close()


def _marks(n: int) -> str:
    return ",".join("?" * n)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
