"""A run as the page shows it, read from its folder: beside it, never from within."""

import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamproc.errors import StreamprocError
from streamproc.folder import RunFolder, connect_readonly, speed
from streamproc.reading import source_info
from streamproc.store.lock import is_locked

#: Seconds after which all frames are counted anew: a later pass changes old rows.
_RECOUNT = 60.0
#: Seconds of frames that speed and latency are those of, while a run is on.
_LATE = 10.0

#: Upper ends of the bins that latencies are counted in, in ms.
BINS = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)

#: Columns of a series: the moment, in seconds since the epoch, and what the plots show.
SERIES = (
    "time",
    "objects",
    "area",
    "intensity",
    "fps",
    "latency_p50",
    "latency_p99",
    "lost",
    "failed",
    "skipped",
)


#: Of the frames after one, by state: the last, how many, up to each of `BINS`, and how
#: many and how long in all.
_COUNTED = (
    "SELECT state, max(frame), count(*), "
    + ", ".join(f"sum(latency_ms <= {edge})" for edge in BINS)
    + ", count(latency_ms), sum(latency_ms) FROM frames WHERE frame > ? GROUP BY state"
)


#: Rows of `SERIES`: no object has no area, and losses are per second.
_SUMMARY = (
    "SELECT time, objects, CASE WHEN objects > 0 THEN area END, "
    "CASE WHEN objects > 0 THEN intensity END, fps, latency_p50, latency_p99, "
    "1.0 * lost / seconds, 1.0 * failed / seconds, 1.0 * skipped / seconds "
    "FROM summary WHERE seconds=? AND time>? ORDER BY time"
)
#: Of how many rows one that is shown may stand for, before coarser ones are read.
_THINNED = 20


@dataclass
class Counts:
    """How many frames met which fate so far, and after how long."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    admitted: int = 0
    #: frames up to each of `BINS`, how many in all, and the sum in ms
    waits: Sequence[float] = (0.0,) * (len(BINS) + 2)

    @property
    def pending(self) -> int:
        """Admitted, and not finished."""
        return max(0, self.admitted - self.done - self.failed - self.skipped)


class Feed:
    """Reads one run again and again, at a cost that does not grow with its length.

    Every method may be called while the run is on, before it has a ledger, and after
    its folder is gone: then it tells what it knew last. For one thread.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.counts = Counts()
        self._last_frame = -1
        self._counted_at = -_RECOUNT
        self._journal_read = self._told_upto = 0
        self._raised: dict[str, dict[str, Any]] = {}
        self._values: dict[str, str] = {}
        self._db: sqlite3.Connection | None = None
        self._field_um: float | None = None
        self._speed: dict[str, float | None] = {}
        document: Mapping[str, Any] = {}
        with suppress(StreamprocError):
            document = folder.document()
        self.adjustable: Sequence[str] = tuple(document.get("adjustable") or ())
        self._counts_objects = not document or _counts_objects(document)

    def state(self) -> str:
        """Return ``running``, ``paused``, ``finished``, ``stopped`` … or ``gone``."""
        if not self.folder.pipeline.exists():
            return "gone"
        said = self._values.get("state", "interrupted")
        if is_locked(self.folder.lock):
            return "paused" if said == "paused" else "running"
        return "interrupted" if said in ("running", "paused") else said

    def told(self) -> dict[str, Any]:
        """Return the numbers of this moment, ready for JSON."""
        self._read()
        counts = self.counts
        return {
            "state": self.state(),
            "reason": self._values.get("reason") or None,
            "admitted": counts.admitted,
            "done": counts.done,
            "failed": counts.failed,
            "skipped": counts.skipped,
            "lost": counts.lost,
            "pending": counts.pending,
            **self._speed,
            **self._minute(),
        }

    def stamp(self) -> object:
        """Return what differs once the ledger has more, without opening it."""
        found = []
        for suffix in ("", "-wal"):
            with suppress(OSError):
                told = os.stat(f"{self.folder.ledger}{suffix}")
                found += [told.st_mtime_ns, told.st_size]
        return tuple(found)

    def newest(self) -> int | None:
        """Return the last frame that is done; None where there is none yet."""
        sql = (
            "SELECT frame FROM frames WHERE state = 'done' ORDER BY frame DESC LIMIT 1"
        )
        rows = self.query(sql)
        return int(rows[0][0]) if rows else None

    def when(self, frame: int) -> tuple[float | None, float | None]:
        """Return when a frame was taken, and when its results were durable."""
        rows = self.query(
            "SELECT time, committed_at FROM frames WHERE frame=?", (frame,)
        )
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def series(self, after: float, most: int) -> list[tuple[float, ...]]:
        """Return rows of `SERIES` later than ``after``, oldest first; NaN is unknown.

        One a second. Where they are more than ``most``, of several in turn the least
        and the greatest value of each column, so that no peak is lost; where they are
        very many, of the means over 10 s or 60 s.
        """
        for seconds in (1, 10, 60):
            rows = self.query(_SUMMARY, (seconds, after))
            if len(rows) <= _THINNED * most:
                break
        values = np.array(rows, float).reshape(-1, len(SERIES))
        if not self._counts_objects:
            values[:, SERIES.index("objects")] = np.nan
        return [tuple(row) for row in _thinned(values, most).tolist()]

    def events(self, most: int = 50) -> list[dict[str, Any]]:
        """Return the last events, the newest first."""
        names = ("time", "frame", "level", "kind", "message")
        sql = f"SELECT {', '.join(names)} FROM events ORDER BY rowid DESC LIMIT ?"
        return [dict(zip(names, row, strict=True)) for row in self.query(sql, (most,))]

    def alerts(self) -> list[dict[str, Any]]:
        """Return what is raised and not cleared, the newest first."""
        sql = (
            "SELECT rowid, time, frame, level, message FROM events "
            "WHERE kind='alert' AND rowid>? ORDER BY rowid"
        )
        for row, when, frame, level, message in self.query(sql, (self._told_upto,)):
            rule, _, text = message.partition(": ")
            self._raised.pop(rule, None)
            if level == "warning":
                found = {"rule": rule, "text": text, "time": when, "frame": frame}
                self._raised[rule] = found
            self._told_upto = row
        return list(self._raised.values())[::-1]

    def written(self) -> int:
        """Return how many bytes were saved so far."""
        sql = "SELECT coalesce(sum(bytes), 0) FROM summary WHERE seconds=60"
        rows = self.query(sql)
        return int(rows[0][0]) if rows else 0

    def parameters(self) -> dict[str, Any]:
        """Return the values, by ``step.parameter``, that hold for the newest frame."""
        rows = self.query("SELECT step, name, value FROM parameters ORDER BY rowid")
        return {f"{step}.{name}": json.loads(value) for step, name, value in rows}

    def field_um(self) -> float | None:
        """Return the width of the field in micrometres; None where nothing tells it."""
        if self._field_um is None:
            with suppress(StreamprocError, KeyError, IndexError):
                info = source_info(self.folder)
                size = info.pixel_size_um.get("x")
                self._field_um = size * info.shape[-1] if size else None
        return self._field_um

    def areas(self, frame: int) -> list[float]:
        """Return the areas of a frame's objects, of the first table that has them."""
        tables = self.query('SELECT "table" FROM columns WHERE "column"=\'area\'')
        if not tables:
            return []
        name = '"' + tables[0][0].replace('"', '""') + '"'
        return [
            r[0] for r in self.query(f"SELECT area FROM {name} WHERE frame=?", (frame,))
        ]

    def _read(self) -> None:
        rows = self.query("SELECT key, value FROM run")
        self._values = dict(rows) if rows else self._values
        now = time.monotonic()
        if now - self._counted_at >= _RECOUNT:
            self._last_frame, self._counted_at = -1, now
            self.counts = Counts(admitted=self.counts.admitted)
        newest = self._last_frame
        for state, last, number, *waits in self.query(_COUNTED, (self._last_frame,)):
            setattr(self.counts, state, getattr(self.counts, state) + number)
            known = zip(self.counts.waits, waits, strict=True)
            self.counts.waits = [before + (new or 0) for before, new in known]
            newest = max(newest, last)
        self._last_frame = newest
        lost = self.query("SELECT coalesce(sum(count), 0) FROM gaps")
        self.counts.lost = lost[0][0] if lost else self.counts.lost
        self._count_admitted()
        self._read_speed()

    def _count_admitted(self) -> None:
        """Count the journal's new lines; a recording admits what it takes into work."""
        counts = self.counts
        accounted = counts.done + counts.failed + counts.skipped
        with suppress(OSError), self.folder.journal.open("rb") as file:
            file.seek(self._journal_read)
            while block := file.read(1 << 20):
                counts.admitted += block.count(b"\n")
                self._journal_read += len(block)
        counts.admitted = max(
            counts.admitted, accounted, int(self._values.get("admitted", 0))
        )

    def _read_speed(self) -> None:
        """Read frames/s and latencies: of the last seconds, at the end of the run."""
        values = {} if is_locked(self.folder.lock) else self._values
        fps, p50, p99 = speed(values, self.query, _LATE)
        self._speed = {"fps": round(fps, 2), "p50": p50, "p99": p99}

    def _minute(self) -> dict[str, Any]:
        """Return means of the newest second, and the losses of the last minute."""
        newest = self.query(
            "SELECT objects, area, intensity, time FROM summary WHERE seconds=1 "
            "ORDER BY time DESC LIMIT 1"
        )
        if not newest:
            return {"objects": None, "area": None, "intensity": None, "lost_minute": 0}
        objects, area, intensity, when = newest[0]
        if not self._counts_objects:
            objects = None
        if not objects:
            area = intensity = None
        lost = self.query(
            "SELECT coalesce(sum(lost), 0) FROM summary WHERE seconds=1 AND time>?",
            (when - 60,),
        )
        return {
            "objects": objects,
            "area": area,
            "intensity": intensity,
            "lost_minute": lost[0][0],
        }

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one SELECT; none where the ledger cannot be read now."""
        try:
            if self._db is None:
                self._db = connect_readonly(self.folder.ledger)
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error:
            self.close()
            return []

    def close(self) -> None:
        """Let go of the ledger."""
        db, self._db = self._db, None
        if db is not None:
            db.close()


def _counts_objects(document: Mapping[str, Any]) -> bool:
    """Return whether the summary counts objects: those of a saved ``measure``."""
    past = document.get("recorded") or {}
    steps, saved = past.get("steps") or {}, past.get("saved") or {}
    return any("measure" in (steps.get(step) or {}) for step in saved.values())


def _thinned(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return rows, two for several: the extremes of each column, in their order."""
    if len(rows) <= most:
        return rows
    size = -(-2 * len(rows) // most)
    thin = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        low, high = np.fmin.reduce(part), np.fmax.reduce(part)
        known = np.where(np.isnan(part), low, part)
        rises = known.argmin(axis=0) <= known.argmax(axis=0)
        thin += [np.where(rises, low, high), np.where(rises, high, low)]
    return np.array(thin)
