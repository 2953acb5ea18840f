"""One run in threads of its own: prepared, driven, ended, recorded."""

import contextlib
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from .alerts import KIND as ALERT
from .alerts import Alerts, Facts
from .control import ControlPort
from .errors import (
    ConfigError,
    RunFolderError,
    StoreError,
    StreamprocError,
    one_line,
    plain_text,
)
from .execution.budget import Budget
from .execution.committer import Committer
from .execution.engine import Engine
from .execution.outbox import Emission, Outbox
from .execution.pace import Pace
from .executors import (
    frozen_heap,
    kept_memory,
    make_executor,
    quick_switching,
    single_threaded_opencv,
)
from .folder import RunFolder, status
from .follower import Observers
from .job import Job
from .metrics import Metrics
from .observers import Observer
from .report import Report, make_report
from .storage import Storage
from .store.lock import RunLock
from .work import Work, described

#: Frames in flight at most, unless a window needs more.
_IN_FLIGHT = 128
#: Seconds that the end of a run waits for a camera or a function that hangs.
_PATIENCE = 20.0
#: Errors of one kind that log.jsonl gets in full.
_LOGGED = 20
#: Characters of a note at most.
_MARK = 1000
#: Rest between commits, in durations of a commit: live frames should not wait.
_REST_LIVE, _REST_RECORDED = 2.0, 25.0
#: Seconds that they rest at most; with a deadline, the share of it.
_MOST_REST, _REST_SHARE = 0.1, 0.1


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
        self._alerts: Alerts | None = None
        self._port: ControlPort | None = None
        self._undelivered = False
        self._listener_errors = self._frame_errors = 0
        self._lock = RunLock(folder.lock)
        self._lock.acquire()
        # that of a run that was killed leads to nobody, or to somebody else
        with contextlib.suppress(OSError):
            folder.control.unlink(missing_ok=True)
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
        said = f"{step}.{parameter} = {value!r} from frame {frame} on"
        self._storage.say("set", said, frame)
        return frame

    def mark(self, text: str) -> int | None:
        """Note something about this moment: a row of ``events``, kind ``mark``.

        Parameters
        ----------
        text
            What there is to say, 1 to 1000 characters.

        Returns
        -------
        int or None
            The frame it is noted at: the last one admitted; None before the first.

        Raises
        ------
        ConfigError
            There is nothing to say, or too much, or the run has ended.
        StoreError
            It cannot be recorded.
        """
        said = plain_text(" ".join(text.split())) if isinstance(text, str) else ""
        if not 0 < len(said) <= _MARK:
            raise ConfigError(f"a mark needs a text of 1 to {_MARK} characters")
        if not self.is_alive:
            raise ConfigError(f"the run in {self.path} has ended; nothing can be noted")
        frame = self._newest
        self._storage.ledger.event("mark", said, frame=frame)
        self.folder.log("mark", said, frame=frame)
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
                self._storage.ledger.set("state", after)
            self._storage.say(
                after, f"{after} at frame {self.metrics.counters.admitted}"
            )

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
            "mark": lambda request: {"frame": self.mark(request.get("text", ""))},
        }

    # --- how it is put together -------------------------------------------------

    def _prepare(self, resumed: bool) -> None:
        job, options = self.job, self.job.options
        storage = self._storage = Storage(
            job, self.folder, guard=self._lock.check, again=self._again
        )
        plan = storage.plan()
        self._schedule = storage.schedule(plan)
        admission = storage.admission(
            self._schedule,
            lambda error: self._engine.fail(error),
            lambda seconds: self.metrics.took("log", seconds),
        )
        storage.repair(resumed)
        storage.warm(plan)
        self._alerts = self._watch(plan.main_table)
        budget = self._budget = Budget(
            options.limits.memory // 4,
            max([_IN_FLIGHT, *(2 * w.every for w in plan.windows)]),
        )
        if plan.streamed:
            self._outbox = Outbox(self._emit, self._listener_failed)
        self._executor = make_executor(
            options, plan.segments[0].stage, job.graph.source
        )
        storage.read_counters(self.metrics.counters)
        self._observers = Observers(
            job.observers,
            self.folder,
            [output.name for output in plan.tables],
            back=storage.late(),
            upto=lambda: self._committer.upto if self._again else sys.maxsize,
        )
        self._committer = Committer(
            plan,
            storage.ledger,
            storage.sink,
            self.metrics,
            frame_bytes=job.info.nbytes,
            space=storage.space,
            outbox=self._outbox,
            release_log=storage.release_log if storage.releases_log else None,
            admitted=lambda: self._admitted,
            guard=self._lock.check,
            known_summary=storage.last_summary(),
            failed=self._frame_failed,
            committed=self._observers.wake,
            counted=self._alerts.count if self._alerts is not None else None,
            has_log=job.is_logged,
            again=self._again,
            first=storage.first,
            raw=storage.raw,
        )
        deadline = options.deadline_ms if storage.skips else None
        self._engine = Engine(
            self._schedule,
            self._executor,
            admission,
            self._committer,
            budget,
            self.metrics,
            start=storage.first,
            states=storage.ledger.states(),
            on_error=options.on_error,
            keep_windows=job.keep_windows,
            rest=_REST_LIVE if job.info.live else _REST_RECORDED,
            most_rest=_MOST_REST if deadline is None else _REST_SHARE * deadline / 1e3,
            pace=Pace(self._executor, deadline) if storage.skips else None,
        )
        self._work = Work(
            self.folder,
            self.metrics,
            self._executor,
            budget,
            graph=described(plan, job.source_facts(), _wants(job.observers)),
            guard=self._lock.check,
        )
        said = "resumed" if resumed else "started"
        said = "skipped frames: again" if self._again else said
        self.folder.log("start", f"{said} at frame {storage.first}")
        storage.begin(plan)
        self._observers.start()
        if self._alerts is not None:
            self._alerts.start()
        self._port = ControlPort(self.folder.control, self._commands())

    def _watch(self, table: str) -> Alerts | None:
        """Return what watches the run, if anything is to be watched."""
        config = self.job.options.alerts
        if config is None:
            return None
        for name in config.drop:
            self._storage.check_column(name)

        def say(kind: str, message: str, level: str) -> None:
            if self.owns_folder:
                self._storage.say(kind, message, self._newest, level)

        return Alerts(
            config,
            table,
            facts=self._facts,
            say=say,
            run=self.path.name,
            earlier=self._storage.said(ALERT),
        )

    def _facts(self) -> Facts:
        """Return how the run stands, for the rules of ``alerts``."""
        counters, storage = self.metrics.counters, self._storage
        admitted = self._admitted
        settled = counters.done + counters.failed + counters.skipped
        return Facts(
            now=time.monotonic(),
            admitted=admitted,
            lost=counters.lost,
            failed=counters.failed,
            pending=max(0, admitted - settled),
            behind=self._engine.behind,
            free=storage.space.left(),
            is_taking=storage.is_taking and self._ended is None,
        )

    @property
    def _newest(self) -> int | None:
        """The last frame that was admitted; None where there is none yet."""
        return self._admitted - 1 if self._admitted else None

    @property
    def _admitted(self) -> int:
        return self._storage.admitted(self.metrics.counters.admitted)

    @property
    def damage(self) -> str | None:
        """What of the committed data was found missing at resume, in words."""
        return self._storage.damage

    # --- while it goes on -------------------------------------------------------

    def _run(self) -> None:
        """Run the engine to its end, then close everything (the run's thread)."""
        engine = self._engine
        self.metrics.started = time.perf_counter()
        try:
            with quick_switching(), single_threaded_opencv(), kept_memory():
                self._executor.start(engine.deliver)
                self._work.start()
                # the seconds that a cluster takes to start are no frame's
                self.metrics.started = time.perf_counter()
                # a daemon: a camera or a function that hangs cannot hold up the end
                driver = threading.Thread(target=engine.drive, name="driver")
                driver.daemon = True
                with frozen_heap():
                    driver.start()
                    engine.commit()
                self._executor.close(_PATIENCE)
                driver.join(_PATIENCE)
                if driver.is_alive():
                    self._storage.seal()
        except BaseException as error:  # told by wait(), like any other failure
            engine.fail(error)
        finally:
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
        try:
            self._close()
            if self._outbox is not None and not self._outbox.close():
                self._undelivered = True
        finally:
            self._work.close()
            self._lock.release()

    def _close(self) -> None:
        """Close store and ledger; what fails here is said, and repaired by resume."""
        storage = self._storage
        try:
            if isinstance(self._engine.failure, StoreError):
                storage.abandon()
            else:
                if self._committer.has_withdrawn:
                    storage.recover(storage.first)
                counters = self.metrics.counters
                settled = counters.admitted - counters.pending
                storage.close(self._frames_at_end(), settled, self._state)
            self._observers.close()
            if not self._observers.notes:
                storage.ledger.set("late", "")
            self._record_end()
        except (StreamprocError, OSError, sqlite3.Error) as error:
            self._state, self._reason = "stopped", self._reason or one_line(error)
            self._engine.failure = self._engine.failure or error
            with contextlib.suppress(StreamprocError, OSError, sqlite3.Error):
                self._record_end()
        finally:
            self._observers.close()  # where the store could not be closed
            if self._alerts is not None:
                failure = self._engine.failure
                self._alerts.close(None if failure is None else one_line(failure))
            with contextlib.suppress(Exception):
                storage.ledger.close()
            with contextlib.suppress(Exception):  # an unplugged camera, say
                self.job.graph.source.close()
            if self._state == "finished":
                with contextlib.suppress(OSError):
                    self.folder.drop_ballast()
            self.folder.log("end", str(self.report()), state=self._state)

    def _frames_at_end(self) -> int:
        """Return the length of the arrays: what is known, or what was admitted."""
        if self._state == "finished":
            return self._admitted
        return max(self.job.total or 0, self._admitted)

    def _record_end(self) -> None:
        metrics, ledger = self.metrics, self._storage.ledger
        speed = None
        if metrics.committed_here:
            p50, p99 = (metrics.latency.percentile(p) for p in (50, 99))
            speed = {"fps": metrics.fps, "p50": p50, "p99": p99}
        with ledger.transaction():
            self._storage.record_end(
                state=self._state,
                reason=self._reason,
                admitted=self._admitted,
                speed=speed,
            )
            for note in self._notes():
                ledger.event("note", note)
            if self._engine.failure is not None:
                ledger.event("error", self._reason or "", level="error")

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
        if self._storage.skips and len(self.job.plan.segments) > 1:
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
        storage = getattr(self, "_storage", None)
        if storage is not None:
            for close in (storage.ledger.close, storage.abandon):
                with contextlib.suppress(Exception):
                    close()
        if self._port is not None:
            self._port.close()
        if self._outbox is not None:
            self._outbox.close()
        if self._alerts is not None:
            self._alerts.give_up()
        self._lock.release()


def _wants(
    observers: Sequence[tuple[str, Observer]],
) -> list[tuple[str, Sequence[str] | None]]:
    """Return which tables each observer is handed; None: all."""
    return [(name, getattr(observer, "tables", ())) for name, observer in observers]
