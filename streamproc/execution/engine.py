"""One run's flow: admission → stages → order → ordered steps → commit.

Two threads: the *driver* takes admitted frames and submits them to the executor
(with ``inline`` it also runs them); the *committer* takes results, puts them in
order, runs ordered steps and commits whatever is ready, at most 64 frames at once.
The next group forms meanwhile; while frames come fast, commits rest in between.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Literal

from streamproc.errors import FrameError, one_line
from streamproc.frame import FrameRef, Gap
from streamproc.metrics import Metrics
from streamproc.schedule import Schedule
from streamproc.stage import Result, SavedRows, Stage, unreadable
from streamproc.values import as_table, hash_rows, sql_rows, sql_types

from .admission import Admission
from .budget import Budget
from .committer import Committer
from .pace import Pace
from .protocol import Executor, Task, WindowValue
from .windows import Windows

#: Frames of one commit at most.
GROUP = 64
#: Frames between admission and commit at most, those without work included.
_ENTRIES = 4096


@dataclass(slots=True)
class Entry:
    """A frame between admission and commit."""

    ref: FrameRef
    nbytes: int
    windows: dict[str, WindowValue]
    error: str | None = None
    exception: BaseException | None = None
    #: the run ends before this frame, which gets no row
    fatal: BaseException | None = None
    #: highest level whose results are in
    level: int = -1
    ready: bool = False
    #: not analysed now: there was no worker for it
    is_skipped: bool = False
    #: has its row already, and gets no other
    is_settled: bool = False
    worker: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    encoded: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, SavedRows] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    #: seconds by step, in all, and that it waited for a worker; since when it does
    seconds: dict[str, float] = field(default_factory=dict)
    computed: float = 0.0
    waited: float = 0.0
    since: float = 0.0
    #: the step that failed
    step: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is computed for it, and nothing held."""
        return self.is_skipped or self.is_settled or self.ref.error is not None

    def took(self, result: Result) -> None:
        """Take how long a result says that steps took: elsewhere, by another clock."""
        for name, seconds in result.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        computed = sum(result.seconds.values())
        self.computed += computed
        if result.landed:
            self.waited += max(0.0, result.landed - self.since - computed)

    def stop(self, error: str, cause: BaseException | None) -> None:
        """End the run before this frame: ``on_error: stop``."""
        frame = f"frame {self.ref.frame}"
        text = error if error.startswith(frame) else f"{frame}: {error}"
        self.fatal = FrameError(text)
        self.fatal.__cause__ = cause


class Engine:
    """Runs a plan on admitted frames until the source ends, a stop or an error.

    While frames are being computed, commits rest in between for ``rest`` times as
    long as the last one took, at most ``most_rest`` seconds: what a commit costs is
    shared by more frames.

    With ``pace``, frames that find as many in work as it allows are skipped.
    """

    def __init__(
        self,
        schedule: Schedule,
        executor: Executor,
        admission: Admission,
        committer: Committer,
        budget: Budget,
        metrics: Metrics,
        *,
        start: int,
        states: dict[str, Any],
        on_error: Literal["record", "stop"],
        keep_windows: bool,
        rest: float,
        most_rest: float,
        pace: Pace | None = None,
    ) -> None:
        # what never changes of it: windows, outputs, levels
        plan = self._plan = schedule.plan(start)
        self._schedule = schedule
        self._pace = pace
        self._executor = executor
        self._admission = admission
        self._committer = committer
        self._budget = budget
        self._metrics = metrics
        self._start = start
        self._states = states
        self._on_error = on_error
        self._rest, self._most_rest = rest, most_rest
        self._windows = Windows(plan.windows, executor.submit_window, keep=keep_windows)
        self._entries: dict[int, Entry] = {}
        self._results: SimpleQueue[Result | Gap | int | None] = SimpleQueue()
        self._next_commit = start
        #: next frame of each ordered level
        self._ordered = {
            level: start for level, s in enumerate(plan.segments) if s.ordered
        }
        self._last_level = len(plan.segments) - 1
        self._fed: int | None = None
        #: when the next commit may begin while frames are being computed
        self._due = 0.0
        self._stopping = False
        self._going = threading.Event()
        self._going.set()
        #: set when entries go: the driver waits for it where there are too many
        self._progress = threading.Event()
        #: the source's error: raised once the frames before it are committed
        self._ending: BaseException | None = None
        self.failure: BaseException | None = None

    # --- the driver -----------------------------------------------------------

    def drive(self) -> None:
        """Feed frames to the executor until the source ends or `stop` (driver)."""
        fed = self._start
        try:
            first = self._plan.first_needed(self._start)
            for item in self._admission.frames(first):
                if self._stopping:
                    break
                if isinstance(item, Gap):
                    self._results.put(item)
                    continue
                if item.frame >= self._start and item.fate is None:
                    self._metrics.counters.admitted += 1
                self._schedule.admitted(item.frame + 1)
                for ref in self._windows.admit(item):
                    fed = self._feed(ref, fed)
            if self._admission.exhausted and not self._stopping:
                for ref in self._windows.flush():
                    fed = self._feed(ref, fed)
        except BaseException as error:  # reported by the run, which ends
            self._ending = error
            if self._stopping:
                self.fail(error)
        self._results.put(fed)

    def _feed(self, ref: FrameRef, fed: int) -> int:
        if ref.frame < self._start:
            return fed
        self._going.wait()
        self._wait_for_room()
        entry = self._entry(ref)
        if entry is None:
            return fed
        self._entries[ref.frame] = entry
        if entry.is_skipped or entry.is_settled:
            # a failed one is passed over by the ordered steps; its row tells why
            error = "failed" if ref.fate == "failed" else None
            self._results.put(Result(ref.frame, self._last_level, error=error))
        elif ref.error is not None:
            self._results.put(unreadable(ref, 0))
        else:
            self._submit(0, entry)
        return ref.frame + 1

    def _wait_for_room(self) -> None:
        """Wait while frames that need no work pile up behind one that is in work."""
        while len(self._entries) >= _ENTRIES and not self._stopping:
            self._progress.clear()
            if len(self._entries) >= _ENTRIES and not self._stopping:
                self._progress.wait()

    def _entry(self, ref: FrameRef) -> Entry | None:
        """Return a frame's entry once there is room for it; None at a stop."""
        if ref.fate == "failed" or (ref.fate == "done" and not self._ordered):
            return Entry(ref, 0, {}, is_settled=True)
        if ref.error is not None:
            return Entry(ref, 0, {})
        nbytes = self._committer.frame_bytes
        if self._pace is None:
            self._budget.make_room(self._executor.appetite)
            if not self._budget.acquire(nbytes):
                return None
        elif self._stopping:
            return None  # it stays pending: nobody decided to skip it
        elif not self._may_begin(self._pace, ref, nbytes):
            return Entry(ref, 0, {}, is_skipped=True)
        return Entry(ref, nbytes, self._windows.values(ref.frame))

    def _may_begin(self, pace: Pace, ref: FrameRef, nbytes: int) -> bool:
        if not self._budget.try_acquire(nbytes):
            return False
        age = time.perf_counter() - ref.clock
        if pace.begin(age, self._schedule.next - ref.frame - 1):
            return True
        self._budget.release(nbytes)
        return False

    # --- the committer --------------------------------------------------------

    def commit(self) -> None:
        """Take results and commit groups until all is done (committer thread)."""
        try:
            while not self._finished():
                self._take(self._results.get())
                self._take_more()
                start = time.perf_counter()
                self._commit_ready()
                end = time.perf_counter()
                self._due = end + min(self._rest * (end - start), self._most_rest)
            if self.failure is None:
                self._committer.finish(complete=self.complete)
        except BaseException as error:  # reported by the run, which ends
            self.fail(error)
        if self._ending is not None:
            self.fail(self._ending)

    def _take_more(self) -> None:
        """Take what is there, and what comes while a commit would be too soon.

        A commit costs the same whether it holds one frame or sixty: where frames
        come faster than that, it takes at most a part of the time. It is never put
        off while nothing else is being computed.
        """
        with suppress(Empty):
            for _ in range(GROUP):
                self._take(self._results.get_nowait())
        for _ in range(GROUP):
            rest = self._due - time.perf_counter()
            if rest <= 0 or self._stopping or self._is_idle():
                return
            with suppress(Empty):
                self._take(self._results.get(timeout=rest))

    def _is_idle(self) -> bool:
        return all(entry.ready for entry in list(self._entries.values()))

    def _finished(self) -> bool:
        if self._stopping:
            return True
        return self._fed is not None and self._next_commit >= self._fed

    def _take(self, item: Result | Gap | int | None) -> None:
        if isinstance(item, Result):
            self._take_result(item)
        elif isinstance(item, Gap):
            self._committer.gap(item)
        elif item is not None:
            self._fed = item

    def _take_result(self, result: Result) -> None:
        entry = self._entries.get(result.frame)
        if entry is None:
            return
        entry.level = result.level
        entry.worker = result.worker
        if result.time is not None:
            entry.ref.time = result.time
        if result.metadata is not None:
            entry.ref.metadata = result.metadata
        entry.took(result)
        if result.fatal is not None:
            entry.error, entry.fatal = one_line(result.fatal), result.fatal
        elif result.error is not None:
            entry.error, entry.exception = result.error, result.exception
            entry.step = result.step
            if self._on_error == "stop" and not entry.is_settled:
                entry.stop(result.error, result.exception)
        else:
            entry.values.update(result.values)
            entry.encoded.update(result.encoded)
            entry.rows.update(result.rows)
            entry.hashes.update(result.hashes)
            entry.nbytes += result.nbytes
            self._budget.add(result.nbytes)
        if result.level == self._last_level or entry.error is not None:
            entry.ready = True
            entry.ref = _without_pixels(entry.ref)
        for level in self._ordered:
            self._advance(level)

    def _advance(self, level: int) -> None:
        """Run the ordered steps of a level on the frames whose turn it is."""
        while True:
            entry = self._entries.get(self._ordered[level])
            if entry is None or not (entry.ready or entry.level >= level - 1):
                return
            self._ordered[level] += 1
            if entry.error is None:
                self._run_ordered(level, entry)
            # a later level lags behind: it must not take the states of the earlier ones
            for step in self._plan.segments[level].ordered:
                if step.name in self._states:
                    entry.states[step.name] = self._states[step.name]
            entry.level = max(entry.level, level)
            if entry.error is not None or level == self._last_level:
                entry.ready = True
                entry.ref = _without_pixels(entry.ref)
            else:
                self._submit(level + 1, entry)

    def _run_ordered(self, level: int, entry: Entry) -> None:
        states = dict(self._states)
        for step in self._schedule.plan(entry.ref.frame).segments[level].ordered:
            if step.ordered is None:
                continue
            inputs = [entry.values[i.name] for i in step.inputs]
            begun = time.perf_counter()
            try:
                state = states.get(step.name, step.ordered.initial())
                states[step.name], value = step.ordered.step(state, *inputs)
            except Exception as error:
                # a user's ordered step may fail in any way
                entry.error = f"step {step.name!r}: {one_line(error)}"
                entry.exception, entry.step = error, step.name
                if self._on_error == "stop":
                    entry.stop(entry.error, error)
                return
            finally:
                entry.seconds[step.name] = time.perf_counter() - begun
            entry.values[step.name] = value
            for output in self._plan.outputs:
                if output.step == step.name:
                    table = as_table(value)
                    rows = sql_rows(entry.ref.frame, table)
                    entry.rows[output.name] = SavedRows(sql_types(table), rows)
                    entry.hashes[output.name] = hash_rows(rows)
        self._states = states

    def _submit(self, level: int, entry: Entry) -> None:
        plan = self._schedule.plan(entry.ref.frame)
        stage: Stage | None = plan.segments[level].stage
        if stage is not None:
            entry.since = time.perf_counter() if level else entry.ref.clock
            self._executor.submit(
                Task(stage, entry.ref, given=entry.values, windows=entry.windows)
            )

    def _commit_ready(self) -> None:
        while self.failure is None:
            group: list[Entry] = []
            number = self._next_commit
            fatal: BaseException | None = None
            while len(group) < GROUP:
                entry = self._entries.get(number)
                if entry is None or not entry.ready:
                    break
                if entry.fatal is not None:
                    fatal = entry.fatal
                    break
                group.append(entry)
                number += 1
            if group:
                stop = self._on_error == "stop"
                count = self._committer.commit(group, stop_at_error=stop)
                if count < len(group):
                    fatal = group[count].fatal
                    del group[count:]
                    number = self._next_commit + count
                for entry in group:
                    del self._entries[entry.ref.frame]
                self._next_commit = number
                self._progress.set()
                worked = [e for e in group if not e.is_idle]
                self._budget.release(sum(e.nbytes for e in worked), len(worked))
            if fatal is not None:
                self.fail(fatal)
            if len(group) < GROUP:
                return

    def deliver(self, result: Result) -> None:
        """Take a result from the executor (any thread)."""
        if self._pace is not None:
            self._pace.end(sum(result.seconds.values()))
        result.landed = time.perf_counter()
        self._results.put(result)

    # --- ends -----------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the source ran to its end and every frame is committed."""
        return self._admission.exhausted and self._next_commit == self._fed

    @property
    def behind(self) -> float:
        """Seconds since the frame that is committed next was admitted (any thread)."""
        entry = self._entries.get(self._next_commit)
        return 0.0 if entry is None else time.perf_counter() - entry.ref.clock

    def pause(self) -> None:
        """Take no further frame into work; those in work are finished (any thread)."""
        self._going.clear()
        if self._stopping:
            self._going.set()

    def resume(self) -> None:
        """Go on after `pause` (any thread)."""
        self._going.set()

    def drain(self) -> None:
        """Admit nothing more, finish what is admitted (any thread)."""
        self._admission.stop()
        self._going.set()

    def stop(self) -> None:
        """Admit nothing more, forget what has not started (any thread)."""
        self._stopping = True
        self._admission.stop()
        self._going.set()
        self._progress.set()
        self._budget.close()
        self._results.put(None)
        self._executor.cancel()

    def fail(self, error: BaseException) -> None:
        """End the run with an error (any thread); the first one counts."""
        if self.failure is None:
            self.failure = error
        self.stop()


def _without_pixels(ref: FrameRef) -> FrameRef:
    """Return the reference without its hot copy: a window may still hold the other."""
    if ref.pixels is None:
        return ref
    return FrameRef(
        ref.frame,
        ref.source_index,
        ref.time,
        ref.metadata,
        ref.address,
        error=ref.error,
        admitted_at=ref.admitted_at,
        clock=ref.clock,
        fate=ref.fate,
    )
