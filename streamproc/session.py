"""One run in threads of its own: prepared, driven, ended, recorded."""

import contextlib
import json
import os
import secrets
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .config import Options
from .control import ControlPort
from .errors import (
    ConfigError,
    FrameError,
    RunFolderError,
    StoreError,
    StreamprocError,
    one_line,
)
from .execution.admission import Admission, Logged, Recording
from .execution.admission import Sequence as InOrder
from .execution.budget import Budget
from .execution.committer import Committer
from .execution.engine import Engine
from .execution.inline import Inline
from .execution.live import Live
from .execution.outbox import Emission, Outbox
from .execution.pace import Pace
from .execution.protocol import Executor
from .execution.threads import Threads
from .folder import RunFolder, status
from .follower import Observers
from .frame import FrameRef, Source
from .job import Job
from .metrics import Metrics
from .plan import Plan, Segment
from .plugins import load
from .report import Report, make_report
from .schedule import Schedule, changes_in, initial_rows
from .stage import Stage, rehearse
from .store.chunks import ChunkRow
from .store.ledger import Ledger
from .store.lock import RunLock
from .store.log import LogReader, RawLog, unrecorded
from .store.platform import NATIVE
from .store.repair import Repair
from .store.space import Space
from .values import as_table, sql_types

#: Frames in flight at most, unless a window needs more.
_IN_FLIGHT = 128
#: Seconds that the end of a run waits for a camera or a function that hangs.
_PATIENCE = 20.0
#: Errors of one kind that log.jsonl gets in full.
_LOGGED = 20
#: Chunks up to which every shard is checked at resume, not only the last ones.
_CHECK_ALL = 2_000_000
#: Rest between commits, in durations of a commit: live frames should not wait.
_REST_LIVE, _REST_RECORDED = 2.0, 25.0
#: Seconds that they rest at most; with a deadline, the share of it.
_MOST_REST, _REST_SHARE = 0.1, 0.1
#: Threads that run pure Python must not keep a commit waiting for the GIL.
_SWITCH_INTERVAL = 0.0005


class Run:
    """A run that goes on in threads of its own.

    ``again`` is a later pass: frames that were skipped are analysed, ordered steps run
    on all; nothing is taken from the camera.
    """

    def __init__(
        self, job: Job, folder: RunFolder, *, resumed: bool, again: bool = False
    ) -> None:
        self.job = job
        self._again = again
        self.folder = folder
        self.metrics = Metrics()
        self._state: str = "running"
        self._reason: str | None = None
        self._ended: Literal["drain", "stop", "interrupt"] | None = None
        self._outbox: Outbox | None = None
        self._port: ControlPort | None = None
        self._log: RawLog | None = None
        self._undelivered = False
        #: what of the committed data was found missing at resume, in words
        self.damage: str | None = None
        self._listener_errors = self._frame_errors = 0
        self._lock = RunLock(folder.lock)
        self._lock.acquire()
        try:
            self._prepare(resumed)
        except BaseException:
            self._close_quietly()
            raise
        # not Thread.join: Ctrl-C inside it makes Python 3.11 take the thread for dead
        self._has_ended = threading.Event()
        threading.Thread(target=self._run, name="streamproc-run").start()

    def __repr__(self) -> str:
        return f"<Run {self.report()}>"

    def _repr_html_(self) -> str:
        """Return the progress and the numbers as a notebook shows them."""
        from .view.notebook import of_run

        return of_run(self)

    # --- what a user calls ------------------------------------------------------

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``finished``, ``stopped`` or ``interrupted``."""
        return self._state

    @property
    def total(self) -> int | None:
        """How many frames there will be; None where nobody knows."""
        return self.job.total

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet, files closed."""
        return not self._has_ended.is_set()

    def wait(self, timeout: float | None = None) -> Report:
        """Wait for the end and return the report.

        Ctrl-C drains (admitted frames are finished), twice stops.

        Raises
        ------
        StreamprocError
            The run was stopped by an error; it is in the ledger, and resumable.
        TimeoutError
            ``timeout`` seconds passed; the run goes on.
        KeyboardInterrupt
            After Ctrl-C, once the run has ended.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive:
            try:
                # a bounded wait lets Ctrl-C through on Windows
                self._has_ended.wait(0.2)
            except KeyboardInterrupt:
                self.interrupt()
            if end is not None and time.monotonic() > end and self.is_alive:
                raise TimeoutError(f"run {self.path} still goes on")
        failure = self._engine.failure
        if failure is not None:
            raise failure
        if self._state == "interrupted":
            raise KeyboardInterrupt
        return self.report()

    @property
    def owns_folder(self) -> bool:
        """Whether its folder was neither deleted nor taken over by another process."""
        return not isinstance(self._engine.failure, RunFolderError)

    def report(self) -> Report:
        """Return the report so far."""
        self.metrics.peak_bytes = self._budget.peak
        return make_report(
            self.path,
            self.metrics,
            state=self._state,
            saved=tuple(self.job.saved),
            reason=self._reason,
            notes=self._notes(),
        )

    def drain(self) -> None:
        """Take no more frames, finish those admitted; the run then can be resumed."""
        self._ended = self._ended or "drain"
        self._engine.drain()
        self._change_state("paused", "running")

    def stop(self) -> None:
        """End now: what is committed stays, what is admitted stays pending."""
        self._ended = self._ended or "stop"
        self._engine.stop()

    def interrupt(self) -> None:
        """Do what Ctrl-C and SIGTERM do: drain; the second time, stop."""
        if self._ended == "interrupt":
            self._engine.stop()
            self._observers.hurry()
        else:
            self._ended = "interrupt"
            self._engine.drain()

    def pause(self) -> None:
        """Take no further frame into work; those in work are finished and committed.

        A camera goes on into the raw log: nothing is lost by a pause, however long.
        """
        self._engine.pause()
        self._change_state("running", "paused")

    def resume(self) -> None:
        """Go on after `pause`."""
        self._engine.resume()
        self._change_state("paused", "running")

    def set(self, step: str, parameter: str, value: object) -> int:
        """Change a parameter between two frames: from the next one admitted on.

        Parameters
        ----------
        step, parameter
            The step's name, and its operator's parameter; of ``map``, a keyword of its
            function. Where the run was begun with ``adjustable``, it must list them.
        value
            As the operator takes it.

        Returns
        -------
        int
            The first frame that has it. The table ``parameters`` records it.

        Raises
        ------
        ConfigError
            There is no such parameter, it is not adjustable, or the value breaks its
            rule; nothing changes.
        StoreError
            It cannot be recorded; nothing changes.
        """
        allowed = self.job.options.adjustable
        if allowed and f"{step}.{parameter}" not in allowed:
            raise ConfigError(
                f"{step}.{parameter} is not adjustable; the pipeline lists "
                f"{', '.join(allowed)}"
            )
        if not self.is_alive:
            raise ConfigError(f"the run in {self.path} has ended; nothing can be set")
        frame = self._schedule.set(step, parameter, value).frame
        self._say("set", f"{step}.{parameter} = {value!r} from frame {frame} on", frame)
        return frame

    def _set_for(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a parameter for somebody at the control port."""
        step, name = request.get("step"), request.get("parameter")
        if not isinstance(step, str) or not isinstance(name, str):
            raise ConfigError("set needs step, parameter and value")
        if "value" not in request:
            raise ConfigError(f"set {step}.{name}: needs a value")
        if not self.job.options.adjustable:
            raise ConfigError(
                f"{step}.{name} is not adjustable; list it under 'adjustable' when the "
                "run is begun"
            )
        return {"frame": self.set(step, name, request["value"])}

    def _change_state(self, before: str, after: str) -> None:
        if self._state == before:
            self._state = after
            with contextlib.suppress(StreamprocError, sqlite3.Error):
                self._ledger.set("state", after)
            self._say(after, f"{after} at frame {self.metrics.counters.admitted}")

    def _say(self, kind: str, message: str, frame: int | None = None) -> None:
        """Record what was done to the run."""
        with contextlib.suppress(sqlite3.Error):
            self._ledger.event(kind, message, frame=frame)
        self.folder.log(kind, message)

    def _commands(self) -> Mapping[str, Any]:
        """Return what the control port can do."""

        def does(call: Callable[[], None]) -> Callable[[Any], Mapping[str, Any]]:
            def command(request: object) -> Mapping[str, Any]:
                call()
                return {"state": self._state}

            return command

        return {
            "status": lambda request: status(self.path),
            "pause": does(self.pause),
            "resume": does(self.resume),
            "drain": does(self.drain),
            "stop": does(self.stop),
            "set": self._set_for,
        }

    # --- how it is put together -------------------------------------------------

    def _prepare(self, resumed: bool) -> None:
        job, options = self.job, self.job.options
        self._ledger = Ledger(self.folder.ledger, durability=options.store.durability)
        self._ledger.own(secrets.token_hex(8))
        self._first = self._ledger.first_pending()
        if self._again:
            ordered = any(segment.ordered for segment in job.plan.segments)
            self._first = self._ledger.first_lacking(in_order=ordered)
        before = self._ledger.get("before") if self._again else None
        # a pass that was killed says running: what counts is what it found
        self._before = before or self._ledger.get("state") or "running"
        self._space = Space(self.folder.path, options.limits.disk_reserve)
        self._sink = self._open_sink()
        plan = self._encoding_plan()
        self._schedule = self._make_schedule(plan)
        admission = self._admission()
        if self._log is not None:
            # the parameters of what an earlier session admitted are fixed
            self._schedule.admitted(self._log.admitted)
        self._repair(resumed)
        self._warm(plan)
        budget = self._budget = Budget(
            options.limits.memory // 4,
            max([_IN_FLIGHT, *(2 * w.every for w in plan.windows)]),
        )
        if plan.streamed:
            self._outbox = Outbox(self._emit, self._listener_failed)
        self._executor = _executor(options, plan.segments[0].stage, job.graph.source)
        self._read_counters()
        self._ledger.set("saved", json.dumps(list(job.saved)))
        if self._skips:
            # what frames have until a later pass runs the steps in order
            self._ledger.set("early", json.dumps([o.name for o in plan.outputs]))
        self._observers = self._make_observers(plan)
        committer = self._committer = Committer(
            plan,
            self._ledger,
            self._sink,
            self.metrics,
            frame_bytes=job.info.nbytes,
            space=self._space,
            outbox=self._outbox,
            release_log=self._release_log if self._releases_log else None,
            admitted=lambda: self._admitted,
            guard=self._lock.check,
            known_summary=self._last_summary(),
            failed=self._frame_failed,
            committed=self._observers.wake,
            has_log=job.is_logged,
            again=self._again,
            first=self._first,
            raw=self._raw,
        )
        deadline = options.deadline_ms if self._skips else None
        self._engine = Engine(
            self._schedule,
            self._executor,
            admission,
            committer,
            budget,
            self.metrics,
            start=self._first,
            states=self._ledger.states(),
            on_error=options.on_error,
            keep_windows=job.keep_windows,
            rest=_REST_LIVE if job.info.live else _REST_RECORDED,
            most_rest=_MOST_REST if deadline is None else _REST_SHARE * deadline / 1e3,
            pace=Pace(self._executor, deadline) if self._skips else None,
        )
        self._last_reason = self._ledger.get("reason") or ""
        self._ledger.set("reason", "")
        self._last_speed = self._ledger.get("speed") or ""
        self._ledger.set("speed", "")
        said = "skipped frames: again" if self._again else "started"
        said = "resumed" if resumed and not self._again else said
        self.folder.log("start", f"{said} at frame {self._first}")
        if self._again:
            # shards from there on are written into once more
            self._ledger.set("synced_upto", str(self._first))
        self._ledger.set("clean", "no")
        self._ledger.set("before", self._before if self._again else "")
        self._ledger.set("state", "running")
        self._observers.start()
        self._port = ControlPort(self.folder.control, self._commands())

    @property
    def _skips(self) -> bool:
        """Whether frames that find no worker are left for a later pass."""
        skips = self.job.options.on_overload == "skip"
        return skips and self.job.is_logged and not self._again

    def _make_observers(self, plan: Plan) -> Observers:
        """Return the observers; in a later pass they go back to its first frame.

        That frame is remembered until they have all: a pass may be killed before.
        """
        late = self._ledger.get("late")
        back = int(late) if late else None
        if self._again:
            back = self._first if back is None else min(back, self._first)
            self._ledger.set("late", str(back))
        return Observers(
            self.job.observers,
            self.folder,
            [output.name for output in plan.tables],
            back=back,
            upto=lambda: self._committer.upto if self._again else sys.maxsize,
        )

    def _make_schedule(self, plan: Plan) -> Schedule:
        """Return which parameters hold for which frames, as the ledger has them."""
        ledger = self._ledger
        ledger.begin_parameters(
            [*initial_rows(plan), *(change.row() for change in self.job.changes)]
        )
        return Schedule(
            plan,
            self.job.info,
            start=self._first,
            changes=changes_in(ledger.parameters()),
            record=lambda change: ledger.change_parameter(change.row()),
        )

    def _open_sink(self) -> Any:  # a plugin
        store, job = self.job.options.store, self.job
        info = job.info
        if job.total != info.frames:
            info = replace(info, frames=job.total)
        sink = load("sinks", "ome-zarr")(
            self.folder.images,
            info=info,
            saved_source=job.saves_source,
            images=store.images,
            labels=store.labels,
            pyramid=store.pyramid,
            layout=store.layout,
            durability=store.durability,
        )
        if job.is_logged:
            self._log_writer = sink.log_writer()
        return sink

    def _encoding_plan(self) -> Plan:
        """Return the plan with the sink's encoders in its stages."""
        plan = self.job.plan.without_order() if self._skips else self.job.plan
        encoders = {}
        # the store knows those of later segments too: a pass may have begun them
        for output in self.job.plan.images:
            encoder = self._sink.encoder(output.name, output.kind, output.axes)
            if output.name == "source" and self.job.is_logged:
                encoder = partial(encoder, first_level=1)
            encoders[output.name] = encoder
        self._encode_source: Any = encoders.get("source")
        segments = [
            Segment(
                stage=replace(
                    s.stage,
                    encoders={
                        o.name: encoders[o.name]
                        for o in s.stage.outputs
                        if o.name in encoders
                    },
                )
                if s.stage
                else None,
                ordered=s.ordered,
            )
            for s in plan.segments
        ]
        return replace(plan, segments=tuple(segments))

    def _admission(self) -> Admission:
        source, frames = self.job.graph.source, self.job.frames
        options = self.job.options
        if self.job.is_logged:
            self._log = RawLog(
                self.folder.path,
                self.folder.images,
                self._log_writer,
                NATIVE,
                space=self._space,
                first=self.job.plan.first_needed(self._first),
                guard=self._lock.check,
            )
            if self._again:
                reader, end = self._log.reader, self._log.admitted
                return Logged(reader, end, self._ledger.fates)
            return Live(
                source,
                self._log,
                frames,
                schedule=self._schedule,
                on_full=options.on_full_log,
                memory=options.limits.memory // 8,
                failed=lambda error: self._engine.fail(error),
            )
        if self._replayed is not None and self.job.total is not None:
            return Logged(self._replayed, self.job.total)
        if self.job.info.random_access and self.job.info.frames is not None:
            return Recording(source, frames)
        return InOrder(source, frames)

    @property
    def _replayed(self) -> LogReader | None:
        """The raw log that is the source: its frames keep their numbers and times."""
        log = getattr(self.job.graph.source, "log", None)
        return log if isinstance(log, LogReader) else None

    def _raw(self, ref: FrameRef) -> Mapping[str, Any]:
        """Return the pixels of a frame that failed in a replay, encoded.

        The log that is replayed has them: so has the array, as in the live run.
        """
        is_replay = self._replayed is not None and not self.job.is_logged
        if not is_replay or not self.job.saves_source or ref.error is not None:
            return {}
        try:
            encoded = self._encode_source(ref.resolve())
        except FrameError:
            return {}
        return {"source": replace(encoded, levels=encoded.levels[:1])}

    def _repair(self, resumed: bool) -> None:
        """Bring the store in line with the ledger after whatever ended the last run."""
        ledger = self._ledger
        if not resumed:
            # those of a log that is replayed
            if self._replayed is not None:
                ledger.record_gaps(self._replayed.gaps)
            return
        if self._log is not None:
            ledger.record_gaps(unrecorded(self._log.jumps, ledger.gaps()))
        since = 0
        if ledger.query("SELECT count(*) FROM chunks")[0][0] > _CHECK_ALL:
            since = int(ledger.get("synced_upto") or 0)
        repair = self._recover(since)
        if self._log is not None:
            logged = self._log_writer.recover(self._log.rows(), since)
            if self._drops_log:
                logged.lost.clear()
            repair.merge(logged)
        if repair.lost:
            shards = sorted({f"{row.array}/{row.shard}" for row in repair.lost})
            self.damage = (
                f"{len(repair.lost)} committed chunk(s) are missing or cut in "
                f"{', '.join(shards[:3])}{' …' if len(shards) > 3 else ''}; "
                f"streamproc verify {self.path} lists what differs"
            )
        for what in ("rebuilt", "trimmed", "removed", "lost"):
            found = getattr(repair, what)
            if found:
                ledger.event("repair", f"{what}: {found}")
                self.folder.log("repair", f"{what}: {found}")

    def _recover(self, since: int) -> Repair:
        """Make the store show what the ledger has from a frame on, and no more."""
        rows = (
            ChunkRow(*row)
            for row in self._ledger.query(
                "SELECT * FROM chunks WHERE frame >= ? ORDER BY array, frame, chunk",
                (since - 255,),
            )
        )
        times = self._ledger.query(
            "SELECT frame, time FROM frames WHERE frame >= ? ORDER BY frame", (since,)
        )
        repair: Repair = self._sink.recover(rows, times, since)
        return repair

    def _warm(self, plan: Plan) -> None:
        """Compile kernels before the first frame, and make the tables known by then."""
        from . import ops

        info = self.job.info
        spatial = sum(axis != "c" for axis in info.axes)
        ops.warm(info.dtype, spatial)
        stage = plan.segments[0].stage
        values = rehearse(stage, info) if stage else {}
        for output in plan.tables:
            if output.step in values:
                self._ledger.table(
                    output.name, sql_types(as_table(values[output.step]))
                )

    def _read_counters(self) -> None:
        counters = self.metrics.counters
        rows = dict(
            self._ledger.query("SELECT state, count(*) FROM frames GROUP BY state")
        )
        counters.done = rows.get("done", 0)
        counters.failed = rows.get("failed", 0)
        counters.skipped = rows.get("skipped", 0)
        counters.admitted = sum(rows.values())
        counters.lost = self._ledger.query("SELECT coalesce(sum(count),0) FROM gaps")[
            0
        ][0]
        # a row holds the mean per done frame
        objects = "SELECT total(round(objects * done)) FROM summary WHERE seconds = 60"
        counters.objects = int(self._ledger.query(objects)[0][0])

    def _last_summary(self) -> list[tuple[Any, ...]]:
        return self._ledger.query(
            "SELECT * FROM summary AS a WHERE time = "
            "(SELECT max(time) FROM summary AS b WHERE b.seconds = a.seconds)"
        )

    @property
    def _admitted(self) -> int:
        counted = self.metrics.counters.admitted
        return max(counted, self._log.admitted) if self._log else counted

    @property
    def _drops_log(self) -> bool:
        return self.job.is_logged and not self.job.keeps_raw

    @property
    def _releases_log(self) -> bool:
        """Whether log shards may go once their frames are committed."""
        # those of a run that skips are wanted by the later pass
        return self._drops_log and not self._skips

    def _release_log(self, committed: int) -> None:
        """Delete log shards that neither a window nor a pending frame reaches."""
        self._log_writer.delete_shards(self.job.plan.first_needed(committed))

    # --- while it goes on -------------------------------------------------------

    def _run(self) -> None:
        """Run the engine to its end, then close everything (the run's thread)."""
        engine = self._engine
        self.metrics.started = time.perf_counter()
        try:
            with _quick_switching(), _single_threaded_opencv():
                self._executor.start(engine.deliver)
                # the seconds that a cluster takes to start are no frame's
                self.metrics.started = time.perf_counter()
                # a daemon: a camera or a function that hangs cannot hold up the end
                driver = threading.Thread(target=engine.drive, name="driver")
                driver.daemon = True
                driver.start()
                engine.commit()
                self._executor.close(_PATIENCE)
                driver.join(_PATIENCE)
        except BaseException as error:  # told by wait(), like any other failure
            engine.fail(error)
        self.metrics.finished = time.perf_counter()
        try:
            self._end()
        finally:
            self._has_ended.set()

    def _end(self) -> None:
        if self._port is not None:
            self._port.close()
        failure = self._engine.failure
        # a log goes on a little after the analysis was stopped
        self.metrics.counters.admitted = self._admitted
        if failure is not None:
            self._state, self._reason = "stopped", one_line(failure)
            if self.owns_folder:
                with contextlib.suppress(OSError):
                    self.folder.drop_ballast()
        elif self._engine.complete:
            self._state = "finished"
        elif self._ended == "interrupt":
            self._state, self._reason = "interrupted", "interrupted"
        elif self._ended is not None:
            self._state, self._reason = "stopped", f"{self._ended} was asked for"
        else:
            self._state = "finished"
        self._close()
        if self._outbox is not None and not self._outbox.close():
            self._undelivered = True
        self._lock.release()

    @property
    def _state_in_ledger(self) -> str:
        """The state that is recorded: a later pass leaves the one it found."""
        if not self._again or self._state != "finished":
            return self._state
        return "interrupted" if self._before in ("running", "paused") else self._before

    def _close(self) -> None:
        """Close store and ledger; what fails here is said, and repaired by resume."""
        try:
            frames = self._frames_at_end()
            if isinstance(self._engine.failure, StoreError):
                self._sink.abandon()
                if self._log is not None:
                    self._log.abandon()
            else:
                if self._committer.has_withdrawn:
                    self._recover(self._first)
                self._sink.close(frames)
                if self._log is not None:
                    self._log.close(frames)
                if self._releases_log and self._state_in_ledger == "finished":
                    self._log_writer.delete_all()
                self._ledger.set("clean", "yes")
                counters = self.metrics.counters
                settled = counters.admitted - counters.pending
                self._ledger.set("synced_upto", str(settled))
            self._observers.close()
            if not self._observers.notes:
                self._ledger.set("late", "")
            self._record_end()
        except (StreamprocError, OSError, sqlite3.Error) as error:
            self._state, self._reason = "stopped", self._reason or one_line(error)
            self._engine.failure = self._engine.failure or error
            with contextlib.suppress(StreamprocError, OSError, sqlite3.Error):
                self._record_end()
        finally:
            self._observers.close()  # where the store could not be closed
            with contextlib.suppress(Exception):
                self._ledger.close()
            self.job.graph.source.close()
            if self._state == "finished":
                self.folder.drop_ballast()
            self.folder.log("end", str(self.report()), state=self._state)

    def _frames_at_end(self) -> int:
        """Return the length of the arrays: what is known, or what was admitted."""
        if self._state == "finished":
            return self._admitted
        return max(self.job.total or 0, self._admitted)

    def _record_end(self) -> None:
        latency = self.metrics.latency
        speed = {
            "fps": self.metrics.fps,
            "p50": latency.percentile(50),
            "p99": latency.percentile(99),
        }
        with self._ledger.transaction():
            self._ledger.set("admitted", str(self._admitted))
            self._ledger.set("state", self._state_in_ledger)
            self._ledger.set("before", "")
            reason = self._last_reason if self._again else ""
            self._ledger.set("reason", self._reason or reason)
            went_on = self.metrics.committed_here > 0
            self._ledger.set(
                "speed", json.dumps(speed) if went_on else self._last_speed
            )
            for note in self._notes():
                self._ledger.event("note", note)
            if self._engine.failure is not None:
                self._ledger.event("error", self._reason or "", level="error")

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.job.info.live and not self.job.is_logged:
            notes.append(
                "log: none — frames were kept in memory only; "
                "those not committed when a process dies are gone"
            )
        if self.damage:
            notes.append(self.damage)
        if self._listener_errors:
            notes.append(
                f"listeners of streams failed on {self._listener_errors} value(s); "
                "log.jsonl has the first ones"
            )
        if self._skips and len(self.job.plan.segments) > 1:
            notes.append(
                "steps that run in frame order wait for the frames that were skipped: "
                f"streamproc resume {self.path} --skipped"
            )
        notes += self._observers.notes
        if self._undelivered:
            notes.append("a listener of a stream hangs; not all values were delivered")
        return tuple(notes)

    def _emit(self, emission: Emission) -> None:
        from .table import Measurements

        metadata = [{"frame": emission.frame, "time": emission.time}]
        for name, value in emission.values.items():
            if isinstance(value, Measurements):
                value = value.dataframe(emission.frame)
            try:
                self.job.graph.handles[name].stream.emit(value, metadata=metadata)
            except Exception as error:
                # a listener may fail in any way; those of other steps get theirs
                self._listener_failed(emission.frame, f"{name}: {one_line(error)}")

    def _listener_failed(self, frame: int, message: str) -> None:
        self._listener_errors += 1
        if self._listener_errors <= _LOGGED:
            self.folder.log("listener", f"stream of {message}", frame=frame)

    def _frame_failed(
        self, frame: int, error: str, cause: BaseException | None
    ) -> None:
        self._frame_errors += 1
        if self._frame_errors <= _LOGGED:
            where = "".join(traceback.format_exception(cause)) if cause else None
            self.folder.log("failed", error, frame=frame, traceback=where)

    def _close_quietly(self) -> None:
        """Undo a preparation that failed."""
        for name in ("_ledger", "_sink"):
            part = getattr(self, name, None)
            with contextlib.suppress(Exception):
                if part is not None:
                    (part.abandon if name == "_sink" else part.close)()
        if self._port is not None:
            self._port.close()
        if self._outbox is not None:
            self._outbox.close()
        self._lock.release()


def _executor(options: Options, stage: Stage | None, source: Source) -> Executor:
    if options.executor_name == "inline":
        return Inline()
    parameters = options.executor_parameters
    if options.executor_name == "threads":
        return Threads(parameters["workers"] or available_cores())
    from .execution.cluster import ClusterOptions
    from .execution.dask import Dask

    return Dask(
        ClusterOptions(**parameters), available_cores(), stage=stage, source=source
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _quick_switching() -> Iterator[None]:
    """Let a thread that waits for the GIL have it soon, while a run is on."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from starting threads beside ours."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
