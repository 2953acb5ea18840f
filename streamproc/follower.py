"""What hands committed frames to observers, while a run goes on and after.

An observer is a reader of the ledger with a cursor, not the end of a queue. The
commit only wakes it; it then reads from ``run.sqlite`` what lies behind its cursor.
So it holds one batch in memory however far it is behind, gets every frame at least
once and in order, is caught up after a crash by the same few lines that follow a
live run, and cannot slow a commit, which knows nothing of it but an event to set.
"""

import contextlib
import json
import math
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .errors import one_line
from .folder import RunFolder, connect_readonly
from .observers import Committed, Observer

#: Frames and rows of one batch: what an observer costs in memory.
_FRAMES, _ROWS = 64, 20_000
#: Seconds without one batch taken after which the end of a run waits no more; those
#: that it waits when it is in a hurry; and those between two looks.
_PATIENCE, _MOMENT, _LOOK = 60.0, 1.0, 0.1


class Follower:
    """One observer's thread: reads the ledger behind a cursor and hands it over.

    ``tables`` are all saved ones, ``cursor`` is the file that keeps the position of
    an observer which does not know its own, ``failed`` is told, once, what broke.
    ``back`` is the frame from which all is handed over again, for skipped frames that
    were analysed late; ``upto`` says up to where that has come, until the end.
    """

    def __init__(
        self,
        name: str,
        observer: Observer,
        folder: RunFolder,
        tables: Sequence[str],
        *,
        cursor: Path,
        failed: Callable[[str], None],
        back: int | None = None,
        upto: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        self.name = name
        self.note: str | None = None
        #: on the monotonic clock, after which the end of a run waits no more
        self.deadline = math.inf
        self._observer = observer
        self._folder = folder
        wanted = getattr(observer, "tables", None)
        # those of later segments are not there while frames are skipped
        self._tables = tuple(t for t in tables if wanted is None or t in wanted)
        self._cursor = cursor
        self._back, self._upto = back, upto
        self._failed = failed
        self._next = 0
        self._size = 1
        self._batches = 0
        self._wake = threading.Event()
        self._ending = self._given_up = False
        self._thread = threading.Thread(
            target=self._run, name=f"sink-{name}", daemon=True
        )

    def start(self) -> None:
        """Begin to follow; what is in the ledger already comes first."""
        self._thread.start()

    def wake(self) -> None:
        """Say that more is committed; returns at once."""
        self._wake.set()

    def close(self) -> None:
        """Wait until all that is committed is taken, unless the observer hangs."""
        self._ending = True
        self._wake.set()
        before, since = self._batches, time.monotonic()
        while self._thread.is_alive() and not self._given_up:
            self._thread.join(_LOOK)
            if self._batches != before:
                before, since = self._batches, time.monotonic()
            if time.monotonic() - since > _PATIENCE:
                self._give_up("hangs")
            elif time.monotonic() > self.deadline:
                self._give_up("was not waited for")

    def _give_up(self, why: str) -> None:
        if self._thread.is_alive():
            self._given_up = True
            self._say(why)

    def _run(self) -> None:
        try:
            with closing(connect_readonly(self._folder.ledger)) as db:
                self._follow(db)
            self._observer.flush()
        except BaseException as error:
            # an observer may fail in any way, or call sys.exit(); the run goes on
            self._say(f"failed: {one_line(error)}")
            with contextlib.suppress(BaseException):
                self._observer.close()
            return
        try:
            self._observer.close()
        except BaseException as error:
            self._say(f"failed at its end: {one_line(error)}")

    def _say(self, what: str) -> None:
        self.note = (
            f"sink {self.name!r} {what}; frames from {self._next} on were not taken; "
            f"streamproc resume {self._folder.path} hands them over"
        )
        self._failed(self.note)

    def _follow(self, db: sqlite3.Connection) -> None:
        opened = False
        while True:
            # looked at first: what was committed before the end is seen below
            ending = self._ending
            self._wake.clear()
            opened = opened or self._open(db, whatever=ending)
            upto = sys.maxsize if ending else self._upto()
            while opened and not self._given_up and (batch := self._read(db, upto)):
                self._observer.take(batch)
                self._next = batch[-1].frame + 1
                self._batches += 1
                self._remember()
            if ending:
                return
            self._wake.wait()

    def _open(self, db: sqlite3.Connection, *, whatever: bool) -> bool:
        """Open the observer once the columns of its tables are known."""
        units: dict[str, dict[str, str]] = {}
        for table, column, unit in db.execute(
            'SELECT "table", "column", unit FROM columns'
        ).fetchall():
            if table in self._tables:
                units.setdefault(table, {})[column] = unit
        if len(units) < len(self._tables) and not whatever:
            return False
        self._observer.open(self._folder.path, units or None)
        rewind = getattr(self._observer, "rewind", None)
        if self._back is not None and rewind is not None:
            rewind(self._back)
        position = getattr(self._observer, "position", None)
        self._next = position() if position is not None else self._remembered()
        if self._back is not None:
            self._next = min(self._next, self._back)
        self._tables = tuple(units)
        return True

    def _read(self, db: sqlite3.Connection, upto: int) -> list[Committed]:
        """Return the next frames of the ledger, as one moment has them."""
        db.execute("BEGIN")
        try:
            frames = db.execute(
                "SELECT frame, time, state, error, source_index, "
                "coalesce(metadata, '{}') FROM frames "
                "WHERE frame >= ? AND frame < ? ORDER BY frame LIMIT ?",
                (self._next, upto, self._size),
            ).fetchall()
            if not frames:
                return []
            found: dict[int, dict[str, list[dict[str, Any]]]]
            found = {frame[0]: {} for frame in frames}
            count = 0
            for table in self._tables:
                rows = _rows(db, table, frames[0][0], frames[-1][0])
                count += len(rows)
                for row in rows:
                    found[row["frame"]].setdefault(table, []).append(row)
        finally:
            db.execute("ROLLBACK")
        fewer = len(frames) * _ROWS // max(count, 1)
        self._size = max(1, min(_FRAMES, 2 * self._size, fewer))
        return [
            Committed(
                number, when, state, error, found[number], index, json.loads(told)
            )
            for number, when, state, error, index, told in frames
        ]

    def _remembered(self) -> int:
        try:
            return int(self._cursor.read_text())
        except (OSError, ValueError):
            return 0

    def _remember(self) -> None:
        if hasattr(self._observer, "position"):
            return
        new = self._cursor.with_name(self._cursor.name + ".new")
        # an old or an empty file only means that more is handed over again
        with contextlib.suppress(OSError):
            new.write_text(str(self._next))
            os.replace(new, self._cursor)


def _rows(
    db: sqlite3.Connection, table: str, first: int, last: int
) -> list[dict[str, Any]]:
    quoted = '"' + table.replace('"', '""') + '"'
    found = db.execute(
        f"SELECT * FROM {quoted} WHERE frame BETWEEN ? AND ? ORDER BY frame, label",
        (first, last),
    )
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=False)) for row in found.fetchall()]


class Observers:
    """All observers of one run; ``back`` and ``upto`` are those of a later pass."""

    def __init__(
        self,
        observers: Sequence[tuple[str, Observer]],
        folder: RunFolder,
        tables: Sequence[str],
        *,
        back: int | None = None,
        upto: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        def failed(note: str) -> None:
            folder.log("sink", note)

        self._followers = [
            Follower(
                name,
                observer,
                folder,
                tables,
                cursor=folder.path / f".sink-{number}-{name}",
                failed=failed,
                back=back,
                upto=upto,
            )
            for number, (name, observer) in enumerate(observers)
        ]

    @property
    def notes(self) -> list[str]:
        """What went wrong, one line per observer."""
        return [f.note for f in self._followers if f.note is not None]

    def start(self) -> None:
        """Begin to follow the ledger, which is there."""
        for follower in self._followers:
            follower.start()

    def wake(self) -> None:
        """Say that more is committed; returns at once."""
        for follower in self._followers:
            follower.wake()

    def hurry(self) -> None:
        """Wait a moment longer at most; ``resume`` hands over what is left."""
        for follower in self._followers:
            follower.deadline = time.monotonic() + _MOMENT

    def close(self) -> None:
        """Wait until all is taken, unless one hangs."""
        for follower in self._followers:
            follower.close()
