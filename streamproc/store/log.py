"""The raw log of a live source: pixels in shards, one journal record per frame."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from streamproc.errors import FrameError, StoreError, one_line
from streamproc.frame import (
    Frame,
    FrameRef,
    Gap,
    Receipt,
    Unreadable,
    metadata_json,
)

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


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the journal: the next frame, and where its record begins."""

    frame: int = 0
    offset: int = 0


def read_journal(
    path: Path, array: str, start: Mark = Mark()
) -> Generator[tuple[Record, int]]:
    """Yield the whole records, each with the file's length up to its end."""
    if not path.exists():
        return
    end = start.offset
    with path.open("rb") as file:
        file.seek(end)
        for frame, line in enumerate(file, start.frame):
            record = Record.parse(line, array, frame)
            if record is None:
                return
            end += len(line)
            yield record, end


class LogReader:
    """Reads admitted frames back, in order, beside whoever appends.

    ``folder`` is the run folder, ``root`` its store, ``layout`` that of the log, and
    ``gaps`` what never reached it, for who replays it.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        layout: ArrayLayout,
        gaps: Sequence[Gap] = (),
    ) -> None:
        self.path = folder / JOURNAL
        self.gaps = gaps
        self._root = root
        self._layout = layout

    def read(self, start: Mark, count: int) -> tuple[list[FrameRef], Mark]:
        """Return up to ``count`` frames from a place on, cold, and the next place.

        Raises
        ------
        StoreError
            The journal cannot be read, or has no record there.
        """
        refs: list[FrameRef] = []
        end = start.offset
        try:
            with closing(read_journal(self.path, self._layout.name, start)) as records:
                for record, length in islice(records, count):
                    refs.append(self.ref(start.frame + len(refs), record))
                    end = length
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {one_line(error)}") from error
        if count and not refs:
            raise StoreError(
                f"{self.path} is damaged: it has no record of frame {start.frame}; "
                "restore it from a copy"
            )
        return refs, Mark(start.frame + len(refs), end)

    def is_whole(self) -> bool:
        """Return whether the pixels of the first frames are there still."""
        for record, _ in read_journal(self.path, self._layout.name):
            if record.chunks:
                first = record.chunks[0]
                return (self._root / first.array / first.shard).exists()
        return True

    def ref(self, number: int, record: Record) -> FrameRef:
        """Return the reference of a record."""
        return FrameRef(
            frame=number,
            source_index=record.source_index,
            time=record.time,
            metadata=record.metadata,
            address=LogAddress(self._root, self._layout, record),
            error=record.error,
            admitted_at=record.admitted_at,
            clock=time.perf_counter(),
        )


def unrecorded(jumps: Iterable[tuple[int, int]], gaps: Iterable[Gap]) -> list[Gap]:
    """Return the frames between those of the journal that no gap accounts for.

    A gap is recorded with the next frames; the run may be killed before.
    """
    known = sorted((g.first_source_index, g.last_source_index) for g in gaps)
    reason = "lost before it was recorded why: the run was killed"
    found = []
    for first, last in jumps:
        for start, end in known:
            if start <= first <= end:
                first = end + 1
            elif first < start <= last:
                found.append(Gap(first, start - 1, reason, place="log"))
                first = end + 1
        if first <= last:
            found.append(Gap(first, last, reason, place="log"))
    return found


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
    earlier process admitted and this one still needs. ``guard`` is called before
    anything is written; it raises where the run folder is no longer ours. One thread
    appends, another may read meanwhile.
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
        guard: Callable[[], None] | None = None,
    ) -> None:
        self._guard = guard
        #: reads back what was appended, from any thread
        self.reader = LogReader(folder, root, writer.layout)
        self._writer = writer
        self._platform = platform
        self._path = folder / JOURNAL
        self.admitted, self.next_source_index = 0, 0
        self._end = 0
        #: where the first frame that is still needed lies in the journal
        self.first = Mark()
        #: pairs of source indexes that follow each other in the journal, not in the
        #: source: frames between them never reached us
        self.jumps: list[tuple[int, int]] = []
        self._space = space
        for record, length in read_journal(self._path, writer.layout.name):
            if self.admitted == first:
                self.first = Mark(first, self._end)
            if self.admitted and record.source_index > self.next_source_index:
                self.jumps.append((self.next_source_index, record.source_index - 1))
            self.admitted, self._end = self.admitted + 1, length
            self.next_source_index = record.source_index + 1
        if self.admitted == first:
            self.first = self.mark()
        if self.admitted < first:
            raise StoreError(
                f"{self._path} is damaged: {self.admitted} of its records are whole, "
                f"the ledger knows {first} or more frames; restore it from a copy"
            )
        is_new = not self._path.exists()
        try:
            self._file = self._path.open("ab")
            if is_new:
                platform.sync_directory(folder)
            self._file.truncate(self._end)
            self._file.seek(self._end)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {one_line(error)}") from error

    def rows(self) -> Iterator[ChunkRow]:
        """Yield where every admitted frame lies."""
        for record, _ in read_journal(self._path, self._writer.layout.name):
            yield from record.chunks

    def receipts(self) -> Iterator[Receipt]:
        """Yield what it has of every admitted frame, pixels aside."""
        for record, _ in read_journal(self._path, self._writer.layout.name):
            metadata = json.loads(record.metadata) if record.metadata else {}
            yield Receipt(record.source_index, metadata, record.error)

    def mark(self) -> Mark:
        """Return the end of the journal."""
        return Mark(self.admitted, self._end)

    def admit(
        self, items: Sequence[Frame | Unreadable], parameters: int = 0
    ) -> list[FrameRef]:
        """Append frames, make them durable and return them, hot.

        ``parameters`` is how often a parameter was changed before these frames.

        Raises
        ------
        StoreError
            The disk is full or gone; none of these frames is admitted.
        """
        if not items:  # a group of gaps alone
            return []
        if self._guard is not None:
            self._guard()
        frames = (i.pixels.nbytes for i in items if isinstance(i, Frame))
        self._space.check(sum(frames))
        try:
            refs = self._admit(items, parameters)
        except BaseException:
            self._writer.forget()
            raise
        self.admitted += len(items)
        self.next_source_index = items[-1].source_index + 1
        now = time.perf_counter()
        for ref in refs:
            ref.clock = now
        return refs

    def _admit(
        self, items: Sequence[Frame | Unreadable], parameters: int
    ) -> list[FrameRef]:
        refs, lines = [], []
        writer = self._writer
        for number, item in enumerate(items, self.admitted):
            record = self._record(number, item, parameters)
            lines.append(record.line())
            ref = self.reader.ref(number, record)
            ref.pixels = item.pixels if isinstance(item, Frame) else None
            refs.append(ref)
        writer.sync()
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
            self._platform.sync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {one_line(error)}") from error
        writer.publish()
        self._end += sum(map(len, lines))
        return refs

    def _record(self, number: int, item: Frame | Unreadable, parameters: int) -> Record:
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
            item.source_index,
            item.time,
            metadata,
            time.time(),
            parameters,
            error,
            tuple(chunks),
        )

    def close(self, frames: int) -> None:
        """Close journal and shards, the array trimmed to ``frames``."""
        self._file.close()
        self._writer.close(frames)

    def abandon(self) -> None:
        """Close the files without writing anything more, after a failure."""
        with suppress(OSError):
            self._file.close()
        self._writer.abandon()
