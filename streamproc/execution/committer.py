"""Makes groups of frames durable: chunks, sync, index, ledger; then tells others."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from streamproc.errors import FrameError
from streamproc.frame import FrameRef, Gap
from streamproc.metrics import Added, Metrics, Summary
from streamproc.plan import Plan
from streamproc.store.ledger import FrameRow, Group, Ledger
from streamproc.store.log import LogAddress
from streamproc.store.space import Space

from .continuity import RESTART
from .outbox import Emission, Outbox

if TYPE_CHECKING:
    from .engine import Entry

#: What of a commit is timed, beside the steps.
COMMIT = "(commit)"


class Sink(Protocol):
    """Where encoded images go; one thread calls it, frames ascend."""

    def append_all(self, frame: int, encoded: Mapping[str, Any]) -> list[Any]:
        """Take all encoded images of one frame; return their rows of ``chunks``.

        Raises `FrameError`, and takes none, where one does not fit those before it.
        """
        ...

    def record_time(self, frame: int, when: float | None) -> None:
        """Take the acquisition time of one frame."""
        ...

    def flush(self) -> None:
        """Make all that was appended durable, not yet visible."""
        ...

    def publish(self) -> None:
        """Make it visible."""
        ...


class Committer:
    """One thread's work: the order below is what survives a loss of power.

    Chunks of the whole group, all arrays → one sync per file → index blocks → one
    SQLite transaction → ``committed`` is called → streams. ``counted`` is told which
    frames they were, ``release_log`` up to which the raw log is no longer needed.
    ``guard`` is called before anything is written; it raises where the run folder is no
    longer ours. ``has_log`` says that the run has a raw log of its own, ``again`` that
    it is a later pass, whose frames may have a row, ``first`` where it begins. ``raw``
    encodes what is kept of a frame that failed.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        sink: Sink,
        metrics: Metrics,
        *,
        frame_bytes: int,
        space: Space,
        outbox: Outbox | None,
        release_log: Callable[[int], None] | None,
        admitted: Callable[[], int],
        failed: Callable[[int, str, BaseException | None], None],
        guard: Callable[[], None] | None = None,
        known_summary: Sequence[tuple[Any, ...]] = (),
        committed: Callable[[], None] | None = None,
        counted: Callable[[Sequence["Entry"]], None] | None = None,
        has_log: bool = False,
        again: bool = False,
        first: int = 0,
        raw: Callable[[FrameRef], Mapping[str, Any]] = lambda ref: {},
    ) -> None:
        self.frame_bytes = frame_bytes
        self._plan = plan
        self._ledger = ledger
        self._sink = sink
        self._metrics = metrics
        self._space = space
        self._outbox = outbox
        self._release_log = release_log
        self._admitted = admitted
        self._failed = failed
        self._committed = committed
        self._counted = counted
        self._guard = guard
        self._has_log = has_log
        self._again = again
        self._raw = raw
        #: behind the last frame that this session has committed
        self.upto = first
        #: a frame that was done has failed: what is stored of it is to be hidden
        self.has_withdrawn = False
        self._summary = Summary(known_summary)
        self._gaps: list[Gap] = []
        #: seconds of the last transaction
        self._transaction = 0.0
        self._tables: dict[str, tuple[str, ...]] = {}
        self._main_table = plan.main_table
        self._seen_windows: dict[str, str] = {}
        self._ordered = [
            step.name for segment in plan.segments for step in segment.ordered
        ]

    def gap(self, gap: Gap) -> None:
        """Record frames lost before us, with the next group."""
        self._gaps.append(gap)
        if gap.place == RESTART:
            self._ledger.event(RESTART, gap.reason, level="warning")

    def commit(self, entries: Sequence["Entry"], *, stop_at_error: bool = False) -> int:
        """Make a group of frames durable; return how many there are.

        With ``stop_at_error`` the group ends before a frame whose results cannot be
        stored (another shape, other columns); that entry is then ``fatal``.

        Raises
        ------
        StoreError
            The disk is full, near its reserve, or gone.
        """
        start = time.perf_counter()
        images = (e.nbytes for entry in entries for e in entry.encoded.values())
        if self._guard is not None:
            self._guard()
        self._space.check(sum(images))
        group, added = Group(again=self._again), Added()
        for number, entry in enumerate(entries):
            if entry.is_settled:
                continue
            chunks = self._store(entry)
            if stop_at_error and entry.error is not None:
                entry.stop(entry.error, entry.exception)
                entries = entries[:number]
                break
            self._append(entry, chunks, group)
        fresh = [entry for entry in entries if not entry.is_settled]
        if not fresh:
            self._pass(entries)
            return len(entries)
        self._sink.flush()
        self._sink.publish()
        # a transaction cannot hold its own length: it is taken to be that of the last
        now, clock = time.time(), time.perf_counter() + self._transaction
        for entry in fresh:
            self._record(entry, group, added, now, clock)
        self._finish(entries, group, added, now)
        begun = time.perf_counter()
        self._ledger.commit(group)
        end = time.perf_counter()
        self._transaction = end - begun
        self._pass(entries)
        self._time(fresh, start, end)
        self._count(fresh, added)
        self._tell(fresh)
        return len(entries)

    def _time(self, entries: Sequence["Entry"], start: float, end: float) -> None:
        """Count how long steps and stages took for a group that is durable now."""
        worked = [e for e in entries if not e.is_skipped]
        each = (end - start) / max(len(worked), 1)
        metrics = self._metrics
        with metrics.lock:
            for entry in worked:
                for name, seconds in entry.seconds.items():
                    metrics.step(name).add(seconds)
                metrics.step(COMMIT).add(each)
                if entry.error is not None:
                    metrics.step(entry.step or COMMIT).failed += 1
        ways = [e for e in worked if e.computed]
        metrics.took("worker", (e.waited for e in ways))
        metrics.took("computing", (e.computed for e in ways))
        known = [start - e.ref.clock - e.waited - e.computed for e in ways]
        metrics.took("turn", (max(0.0, rest) for rest in known))
        metrics.took("commit", (end - start for _ in ways))

    def _pass(self, entries: Sequence["Entry"]) -> None:
        if entries:
            self.upto = entries[-1].ref.frame + 1

    def finish(self, *, complete: bool) -> None:
        """Record what came after the last group: gaps, tables without a row."""
        if self._gaps:
            group, added = Group(), Added()
            group.gaps, self._gaps = self._gaps, []
            added.lost = sum(gap.count for gap in group.gaps)
            group.summary = self._summary.add(time.time(), added)
            self._ledger.commit(group)
            self._count([], added)
        # skipped frames may still say which columns there are
        if complete and not self._metrics.counters.skipped:
            for output in self._plan.tables:
                if output.name not in self._tables:
                    with suppress(FrameError):  # it exists, with more columns
                        self._ledger.table(output.name, {"label": "INTEGER"})

    def _store(self, entry: "Entry") -> list[Any]:
        """Take one frame's images and the columns of its rows, or make it failed."""
        if entry.is_skipped:
            return []
        if entry.error is not None:
            return self._sink.append_all(entry.ref.frame, self._raw(entry.ref))
        try:
            for name, saved in entry.rows.items():
                columns = tuple(saved.types)
                # a table without objects need not know its columns
                is_bare = not saved.rows and len(columns) == 1
                if self._tables.get(name) != columns and not is_bare:
                    self._ledger.table(name, saved.types)
                    self._tables[name] = columns
            return self._sink.append_all(entry.ref.frame, entry.encoded)
        except FrameError as error:
            entry.error, entry.exception, entry.step = str(error), error, COMMIT
            return self._sink.append_all(entry.ref.frame, self._raw(entry.ref))

    def _append(self, entry: "Entry", chunks: list[Any], group: Group) -> None:
        """Add one frame's chunks and rows to the group."""
        ref = entry.ref
        if self._has_log and isinstance(ref.address, LogAddress):
            group.chunks += ref.address.record.chunks
        group.chunks += chunks
        if entry.error is not None:
            entry.rows.clear()
            entry.hashes.clear()
        else:
            for name, saved in entry.rows.items():
                group.rows.setdefault(name, []).extend(saved.rows)
        self._sink.record_time(ref.frame, ref.time)

    def _record(
        self, entry: "Entry", group: Group, added: Added, now: float, clock: float
    ) -> None:
        """Add one frame's row, or what is new of it, and count it."""
        ref, failed = entry.ref, entry.error is not None
        hashes = json.dumps(entry.hashes, sort_keys=True) if entry.hashes else "{}"
        if ref.fate == "done":
            # computed again for what it lacks: its row stays, with its times
            if failed:
                self.has_withdrawn = True
                group.failed.append((ref.frame, entry.error or ""))
                added.done, added.failed = added.done - 1, added.failed + 1
            else:
                group.hashes.append((ref.frame, hashes))
            return
        added.skipped += entry.is_skipped - (ref.fate == "skipped")
        latency = None if entry.is_skipped else (clock - ref.clock) * 1e3
        if latency is not None:
            added.latencies.append(latency)
            added.failed += failed
            added.done += not failed
        saved = entry.rows.get(self._main_table)
        if saved is not None:
            added.objects += saved.objects
            added.area += saved.area
            added.intensity += saved.intensity
        row = FrameRow(
            ref.frame,
            ref.source_index,
            ref.time,
            "failed" if failed else "skipped" if entry.is_skipped else "done",
            entry.error,
            ref.frame,
            None,
            None,
            _position(ref.metadata),
            hashes,
            ref.metadata or "{}",
            entry.worker,
            ref.admitted_at,
            now,
            latency,
        )
        group.frames.append(row)

    def _finish(
        self, entries: Sequence["Entry"], group: Group, added: Added, now: float
    ) -> None:
        last = entries[-1]
        group.states = [
            (name, last.ref.frame, json.dumps(last.states[name]).encode())
            for name in self._ordered
            if name in last.states
        ]
        group.gaps, self._gaps = self._gaps, []
        added.lost = sum(gap.count for gap in group.gaps)
        added.bytes = sum(row[5] for row in group.chunks)
        group.summary = self._summary.add(now, added)
        group.run = {"admitted": str(self._admitted())}
        for entry in entries:
            for name, value in entry.windows.items():
                self._note_window(name, value.key[1], value.hash)
                # the frame that brings it bears what it took
                if value.seconds and name in entry.seconds:
                    entry.seconds[name] += value.seconds
                    value.seconds = 0.0

    def _note_window(self, name: str, block: int, digest: str | None) -> None:
        identity = f"block {block}: {digest}"
        if digest is not None and self._seen_windows.get(name) != identity:
            self._seen_windows[name] = identity
            self._ledger.event("background", f"{name} {identity}")

    def _count(self, entries: Sequence["Entry"], added: Added) -> None:
        metrics = self._metrics
        with metrics.lock:
            counters = metrics.counters
            counters.done += added.done
            counters.failed += added.failed
            counters.skipped += added.skipped
            counters.lost += added.lost
            counters.objects += added.objects
            metrics.committed_here += sum(not e.is_skipped for e in entries)
            for value in added.latencies:
                metrics.latency.add(value)
        if added.failed:
            for entry in entries:
                if entry.error is not None:
                    self._failed(entry.ref.frame, entry.error, entry.exception)
        if self._release_log is not None and entries:
            self._release_log(entries[-1].ref.frame + 1)

    def _tell(self, entries: Sequence["Entry"]) -> None:
        if self._committed is not None:
            self._committed()
        if self._counted is not None:
            self._counted(entries)
        if self._outbox is None:
            return
        for entry in entries:
            if entry.error is None and not entry.is_skipped:
                values = {n: entry.values[n] for n in self._plan.streamed}
                self._outbox.put(Emission(entry.ref.frame, entry.ref.time, values))


def _position(metadata: str | None) -> str | None:
    """Return the name of the stage position, where a frame's metadata has one."""
    if metadata is None or '"position"' not in metadata:
        return None
    found = json.loads(metadata).get("position")
    return found if isinstance(found, str) else None
