"""The raw log of a live source: pixels in shards, one journal record per frame."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamproc.errors import FrameError, StoreError, one_line
from streamproc.frame import Array, Frame, FrameRef, Unreadable, metadata_json

from .chunks import ChunkRow, read_frame
from .codecs import crc32c
from .layout import ArrayLayout
from .platform import Platform
from .space import Space
from .writer import Writer

#: Name of the admission journal in the run folder.
JOURNAL = "admission.jsonl"


@dataclass(frozen=True, slots=True)
class Record:
    """One admitted frame, as the journal has it."""

    source_index: int
    time: float | None
    metadata: str | None
    admitted_at: float
    parameters: int
    error: str | None
    chunks: tuple[ChunkRow, ...]

    def line(self) -> bytes:
        """Return crc32c and JSON in one line."""
        chunks = [[c.chunk, c.shard, c.offset, c.length, c.crc32c] for c in self.chunks]
        body = json.dumps(
            [
                self.source_index,
                self.time,
                self.metadata,
                self.admitted_at,
                self.parameters,
                self.error,
                chunks,
            ],
            separators=(",", ":"),
        ).encode()
        return b"%08x %s\n" % (crc32c(body), body)

    @classmethod
    def parse(cls, line: bytes, array: str, frame: int) -> "Record | None":
        """Return the record of a line; None where it is torn."""
        code, _, body = line.rstrip(b"\n").partition(b" ")
        try:
            if not line.endswith(b"\n") or int(code, 16) != crc32c(body):
                return None
            index, when, metadata, admitted, version, error, chunks = json.loads(body)
        except ValueError:
            return None
        rows = tuple(
            ChunkRow(array, frame, chunk, shard, offset, length, crc)
            for chunk, shard, offset, length, crc in chunks
        )
        return cls(index, when, metadata, admitted, version, error, rows)


@dataclass(frozen=True, slots=True)
class LogAddress:
    """A frame in the raw log."""

    root: Path
    layout: ArrayLayout
    record: Record

    def read(self) -> Frame:
        """Read and check it; raises `FrameError` where a checksum fails."""
        record = self.record
        metadata = json.loads(record.metadata) if record.metadata else {}
        pixels = read_frame(self.root, self.layout, record.chunks)
        return Frame(pixels, record.source_index, record.time, metadata)


def read_journal(path: Path, array: str) -> Iterator[tuple[Record, int]]:
    """Yield the whole records, each with the file's length up to its end."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for frame, line in enumerate(file):
            record = Record.parse(line, array, frame)
            if record is None:
                return
            end += len(line)
            yield record, end


def count_admitted(path: Path) -> int:
    """Return how many frames the journal of a run folder has admitted.

    Cheap for a reader beside a running engine: whole lines are counted.
    """
    count = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            count += block.count(b"\n")
    return count


class RawLog:
    """Appends live frames: pixels synced, then journal synced, then visible.

    A frame is admitted when `admit` returns it. ``first`` is the first frame that an
    earlier process admitted and this one still needs.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        writer: Writer,
        platform: Platform,
        *,
        space: Space,
        first: int = 0,
    ) -> None:
        self._root = root
        self._writer = writer
        self._platform = platform
        self._path = folder / JOURNAL
        self.admitted, self.next_source_index, end = 0, 0, 0
        self._first = first
        self._space = space
        self._records: list[Record] = []
        for record, length in read_journal(self._path, writer.layout.name):
            if self.admitted >= first:
                self._records.append(record)
            self.admitted, end = self.admitted + 1, length
            self.next_source_index = record.source_index + 1
        if self.admitted < first:
            raise StoreError(
                f"{self._path} is damaged: {self.admitted} of its records are whole, "
                f"the ledger knows {first} or more frames; restore it from a copy"
            )
        try:
            self._file = self._path.open("ab")
            self._file.truncate(end)
            self._file.seek(end)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {one_line(error)}") from error

    def rows(self) -> Iterator[ChunkRow]:
        """Yield where every admitted frame lies."""
        for record, _ in read_journal(self._path, self._writer.layout.name):
            yield from record.chunks

    def refs(self, start: int) -> Iterator[FrameRef]:
        """Yield what an earlier process admitted, from frame ``start`` on."""
        for number, record in enumerate(self._records, self._first):
            if number >= start:
                yield self._ref(number, record, None)
        self._records = []

    def admit(self, items: Sequence[Frame | Unreadable]) -> list[FrameRef]:
        """Append frames, make them durable and return them, hot.

        Raises
        ------
        StoreError
            The disk is full or gone; none of these frames is admitted.
        """
        if not items:  # a group of gaps alone
            return []
        frames = (i.pixels.nbytes for i in items if isinstance(i, Frame))
        self._space.check(sum(frames))
        try:
            refs = self._admit(items)
        except BaseException:
            self._writer.forget()
            raise
        self.admitted += len(items)
        self.next_source_index = items[-1].source_index + 1
        now = time.perf_counter()
        for ref in refs:
            ref.clock = now
        return refs

    def _admit(self, items: Sequence[Frame | Unreadable]) -> list[FrameRef]:
        refs, lines = [], []
        writer = self._writer
        for number, item in enumerate(items, self.admitted):
            record = self._record(number, item)
            lines.append(record.line())
            pixels = item.pixels if isinstance(item, Frame) else None
            refs.append(self._ref(number, record, pixels))
        writer.sync()
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
            self._platform.sync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {one_line(error)}") from error
        writer.publish()
        return refs

    def _record(self, number: int, item: Frame | Unreadable) -> Record:
        chunks: Sequence[ChunkRow] = ()
        error = None
        if isinstance(item, Frame):
            layout = self._writer.layout
            if item.pixels.shape != layout.shape:
                raise FrameError(
                    f"frame {number} has shape {item.pixels.shape}, "
                    f"the log has {layout.shape}"
                )
            chunks = self._writer.append(number, layout.encode(item.pixels))
        else:
            error = item.error
        metadata = metadata_json(item.metadata)
        return Record(
            item.source_index, item.time, metadata, time.time(), 0, error, tuple(chunks)
        )

    def _ref(self, number: int, record: Record, pixels: Array | None) -> FrameRef:
        return FrameRef(
            frame=number,
            source_index=record.source_index,
            time=record.time,
            metadata=record.metadata,
            address=LogAddress(self._root, self._writer.layout, record),
            pixels=pixels,
            error=record.error,
            admitted_at=record.admitted_at,
            clock=time.perf_counter(),
        )

    def close(self, frames: int) -> None:
        """Close journal and shards, the array trimmed to ``frames``."""
        self._file.close()
        self._writer.close(frames)
