"""A run's store against its ledger: every pixel, checksum, row and count."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import FrameError, StoreError, one_line
from .folder import RunFolder, connect_readonly, existing, status
from .store import shard_file
from .store.chunks import ChunkRow, read_chunk, read_frame
from .store.extent import read_json
from .store.layout import ArrayLayout
from .store.ledger import RESERVED
from .store.log import read_journal
from .store.timeline import read_times
from .values import hash_image, hash_rows


@dataclass
class Verification:
    """What was checked, and one line for each thing that differs."""

    frames: int = 0
    images: int = 0
    chunks: int = 0
    tables: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing differs."""
        return not self.problems


def verify(path: str | Path) -> Verification:
    """Compare everything a run has committed with what its ledger says.

    Read are: the ledger itself, every chunk (checksum and shard index), every
    image, label image and table of every frame (hash), the acquisition times, a
    live run's admission journal, and the counts. A run may be going on: what was
    committed when this began is checked.

    Parameters
    ----------
    path
        The run folder.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder.
    StoreError
        The ledger cannot be read at all.
    """
    folder = existing(path)
    found = Verification()
    try:
        with closing(connect_readonly(folder.ledger)) as db:
            db.execute("BEGIN")
            _Check(folder, db, found).run()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {folder.ledger}: {one_line(error)}") from error
    counts = status(path)
    total = counts["done"] + counts["failed"] + counts["skipped"] + counts["pending"]
    if counts["admitted"] != total:
        found.problems.append(
            f"counts: {counts['admitted']} admitted, but done + failed + skipped + "
            f"pending is {total}"
        )
    return found


class _Check:
    """One verification: reads in one snapshot of the ledger."""

    def __init__(
        self, folder: RunFolder, db: sqlite3.Connection, found: Verification
    ) -> None:
        self._folder = folder
        self._db = db
        self._found = found
        run = dict(db.execute("SELECT key, value FROM run"))
        self._saved: list[str] = json.loads(run.get("saved") or "[]")
        # frames that skip mode analysed get what needs an order in a later pass
        self._early: list[str] = json.loads(run.get("early") or "[]")
        (self._in_order,) = db.execute("SELECT max(frame) FROM states").fetchone()
        self._state = run.get("state")
        self._known = {row[0] for row in db.execute('SELECT "table" FROM columns')}
        self._layouts: dict[str, ArrayLayout | None] = {}
        self._indexes: dict[tuple[str, str], Any] = {}
        self._dropped = self._is_log_dropped()

    def run(self) -> None:
        """Check everything."""
        for problem in (
            *self._integrity(),
            *self._numbering(),
            *self._journal(),
            *self._chunks(),
            *self._frames(),
            *self._strays(),
            *self._times(),
        ):
            self._found.problems.append(problem)

    def _is_log_dropped(self) -> bool:
        """Whether the raw log was not to be kept: its shards may be gone."""
        from .config import read_yaml

        log = read_yaml(self._folder.pipeline).get("log")
        return isinstance(log, dict) and log.get("keep_raw") is False

    def _integrity(self) -> Iterator[str]:
        for (line,) in self._db.execute("PRAGMA integrity_check(20)"):
            if line != "ok":
                yield f"run.sqlite: {line}"

    def _numbering(self) -> Iterator[str]:
        """Yield frames that were left out: rows go from 0 on without a gap."""
        count, last = self._db.execute(
            "SELECT count(*), max(frame) FROM frames"
        ).fetchone()
        self._found.frames = count
        if count and count != last + 1:
            numbers = {row[0] for row in self._db.execute("SELECT frame FROM frames")}
            missing = sorted(set(range(last + 1)) - numbers)
            yield f"frames: no row for {_some(missing)}, though later ones have one"
        for frame, t in self._db.execute(
            "SELECT frame, t FROM frames WHERE t != frame"
        ):
            yield f"frame {frame}: its row says t = {t}"

    def _journal(self) -> Iterator[str]:
        """Yield where the admission journal of a live run and the ledger differ."""
        path = self._folder.journal
        if not path.exists():
            return
        records = read_journal(path, "source/0")
        admitted = whole = 0
        rows = self._db.execute(
            "SELECT frame, source_index, time FROM frames ORDER BY frame"
        ).fetchall()
        for frame, index, when in rows:
            record, whole = next(records, (None, whole))
            if record is None:
                yield f"frame {frame}: has a row, but was not admitted in {path.name}"
                return
            admitted += 1
            if (record.source_index, record.time) != (index, when):
                yield f"frame {frame}: source_index or time differ from {path.name}"
            if list(record.chunks) != self._rows_of("source/0", frame):
                yield f"frame {frame}: chunks of source/0 differ from {path.name}"
        for _, end in records:
            admitted, whole = admitted + 1, end
        if whole < path.stat().st_size and self._state != "running":
            yield f"{path.name}: torn after record {admitted}"

    def _rows_of(self, array: str, frame: int) -> list[ChunkRow]:
        query = "SELECT * FROM chunks WHERE array=? AND frame=? ORDER BY chunk"
        return [ChunkRow(*row) for row in self._db.execute(query, (array, frame))]

    def _chunks(self) -> Iterator[str]:
        """Yield chunks that are missing, damaged, or not in their shard's index."""
        names = [r[0] for r in self._db.execute("SELECT DISTINCT array FROM chunks")]
        for name in sorted(names):
            layout = self._layout(name)
            if layout is None:
                yield f"{name}: its zarr.json is missing or not what was written"
                continue
            frames = 0
            for row in map(
                ChunkRow._make,
                self._db.execute(
                    "SELECT * FROM chunks WHERE array=? ORDER BY frame, chunk", (name,)
                ),
            ):
                frames = max(frames, row.frame + 1)
                if self._was_dropped(row):
                    continue
                self._found.chunks += 1
                try:
                    read_chunk(self._folder.images, row)
                except FrameError as error:
                    yield str(error)
                    continue
                if not self._is_indexed(layout, row):
                    yield (
                        f"frame {row.frame} is not in the index of shard "
                        f"{name}/{row.shard}: readers see an empty chunk {row.chunk}; "
                        "resume repairs it"
                    )
            length = self._length(name)
            if length < frames:
                yield f"{name}: announces {length} frames, {frames} are committed"

    def _layout(self, name: str) -> ArrayLayout | None:
        if name not in self._layouts:
            document = read_json(self._folder.images / name / "zarr.json")
            self._layouts[name] = None
            if document is not None:
                with suppress(StoreError):
                    self._layouts[name] = ArrayLayout.from_metadata(name, document)
        return self._layouts[name]

    def _length(self, name: str) -> int:
        document = read_json(self._folder.images / name / "zarr.json")
        return int(document["shape"][0]) if document else 0

    def _was_dropped(self, row: ChunkRow) -> bool:
        if not self._dropped or row.array != "source/0":
            return False
        return not (self._folder.images / row.array / row.shard).exists()

    def _is_indexed(self, layout: ArrayLayout, row: ChunkRow) -> bool:
        """Return whether zarr readers find the chunk where the ledger has it."""
        if layout.files:
            return True
        key = (row.array, row.shard)
        if key not in self._indexes:
            path = self._folder.images / row.array / row.shard
            self._indexes[key] = shard_file.read_index(path, layout.slots)
        index = self._indexes[key]
        if index is None:
            return False
        slot = row.frame % layout.frames * layout.slots_per_frame
        slot += layout.places[row.chunk][1]
        return (int(index[slot, 0]), int(index[slot, 1])) == (row.offset, row.length)

    def _frames(self) -> Iterator[str]:
        """Yield where a frame's pixels or rows are not those that were hashed."""
        states = dict(self._db.execute("SELECT frame, state FROM frames"))
        hashes = self._db.execute("SELECT frame, hash FROM frames ORDER BY frame")
        for frame, text in hashes.fetchall():
            known: dict[str, str] = json.loads(text or "{}")
            if states[frame] != "done":
                continue
            expected = self._expected(frame)
            if set(known) - {"source"} != expected - {"source"}:
                names = f"{_names(known)}, not {_names(expected)}"
                yield f"frame {frame}: saved are {names}"
            for name, digest in known.items():
                if name in self._known:
                    self._found.tables += 1
                    actual = hash_rows(self._rows(name, frame))
                    if actual != digest:
                        yield f"frame {frame}: rows of table {name!r} have changed"
                else:
                    yield from self._pixels(name, frame, digest)

    def _expected(self, frame: int) -> set[str]:
        """Return the names that a done frame has hashes of."""
        is_early = self._in_order is None or frame > self._in_order
        return set(self._early if self._early and is_early else self._saved)

    def _rows(self, table: str, frame: int) -> list[tuple[Any, ...]]:
        quoted = '"' + table.replace('"', '""') + '"'
        query = f"SELECT * FROM {quoted} WHERE frame=? ORDER BY label"
        return self._db.execute(query, (frame,)).fetchall()

    def _pixels(self, name: str, frame: int, digest: str) -> Iterator[str]:
        path = f"{name}/0"
        if not (self._folder.images / path).exists():
            path = f"source/labels/{name}/0"
        layout = self._layout(path)
        rows = self._rows_of(path, frame)
        if rows and all(self._was_dropped(row) for row in rows):
            return
        self._found.images += 1
        if layout is None:
            yield f"frame {frame}: image {name!r} has no readable zarr.json"
            return
        try:
            pixels = read_frame(self._folder.images, layout, rows)
        except FrameError as error:
            if not rows:
                yield f"frame {frame}: image {name!r}: {error}"
            return  # damaged chunks are told already
        if hash_image(pixels) != digest:
            yield f"frame {frame}: pixels of {name!r} are not those that were committed"

    def _strays(self) -> Iterator[str]:
        """Yield rows and chunks of frames that are not done."""
        for table in sorted(self._known - RESERVED):
            quoted = '"' + table.replace('"', '""') + '"'
            found = self._db.execute(
                f"SELECT DISTINCT frame FROM {quoted} WHERE frame NOT IN "
                "(SELECT frame FROM frames WHERE state='done')"
            ).fetchall()
            if found:
                frames = _some([row[0] for row in found])
                yield f"table {table!r} has rows of {frames}, which are not done"
        found = self._db.execute(
            "SELECT DISTINCT frame FROM chunks WHERE frame NOT IN "
            "(SELECT frame FROM frames)"
        ).fetchall()
        if found:
            yield f"chunks: rows of {_some([r[0] for r in found])} without a ledger row"

    def _times(self) -> Iterator[str]:
        """Yield images whose acquisition times are not the ledger's."""
        rows = self._db.execute(
            "SELECT frame, time FROM frames ORDER BY frame"
        ).fetchall()
        ledger = np.array([np.nan if t is None else t for _, t in rows], np.float64)
        for folder in sorted(self._folder.images.glob("*/time")):
            times = read_times(folder)
            name = f"{folder.parent.name}/time"
            if len(times) < len(ledger):
                yield f"{name}: holds {len(times)} times for {len(ledger)} frames"
                continue
            same = np.equal(times[: len(ledger)], ledger) | (
                np.isnan(times[: len(ledger)]) & np.isnan(ledger)
            )
            if not same.all():
                frames = _some([rows[int(i)][0] for i in np.flatnonzero(~same)])
                yield f"{name}: differs from the ledger at {frames}"


def _some(numbers: list[int]) -> str:
    """Return frame numbers in words, at most five of them."""
    shown = ", ".join(map(str, numbers[:5]))
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"frame {shown}{more}" if len(numbers) == 1 else f"frames {shown}{more}"


def _names(names: set[str] | dict[str, str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
