"""What a run writes: ledger, image store and raw log; opened, mended, closed."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .errors import ConfigError, FrameError, StreamprocError, nearest
from .execution.admission import Admission, Logged, Recording
from .execution.admission import Sequence as InOrder
from .execution.live import Live
from .folder import RunFolder
from .frame import FrameRef, Notice
from .job import Job
from .metrics import Counters
from .plan import Plan, Segment
from .plugins import load
from .schedule import Schedule, changes_in, initial_rows
from .stage import rehearse
from .store.chunks import ChunkRow
from .store.ledger import Ledger
from .store.log import LogReader, RawLog, unrecorded
from .store.platform import NATIVE
from .store.repair import Repair
from .store.space import Space
from .values import as_table, sql_types

#: Chunks up to which every shard is checked at resume, not only the last ones.
_CHECK_ALL = 2_000_000


class Storage:
    """The run folder's files in the hands of the one process that writes them.

    Parameters
    ----------
    job, folder
        What is run, and where.
    guard
        Raises where the folder is no longer ours.
    again
        A later pass: frames that were skipped, or lack something, are analysed.
    """

    def __init__(
        self,
        job: Job,
        folder: RunFolder,
        *,
        guard: Callable[[], None],
        again: bool,
    ) -> None:
        self._job = job
        self._folder = folder
        self._guard = guard
        self.again = again
        options = job.options
        #: what of the committed data was found missing at resume, in words
        self.damage: str | None = None
        self.log: RawLog | None = None
        self._live: Live | None = None
        self.ledger = Ledger(folder.ledger, durability=options.store.durability)
        try:
            self.ledger.own(secrets.token_hex(8))
            #: where this session begins
            self.first = self._first()
            before = self.ledger.get("before") if again else None
            # a pass that was killed says running: what counts is what it found
            self._before = before or self.ledger.get("state") or "running"
            self.space = Space(folder.path, options.limits.disk_reserve)
            self.sink = self._open_sink()
        except BaseException:
            self.ledger.close()
            raise

    def _first(self) -> int:
        if not self.again:
            return self.ledger.first_pending()
        ordered = any(segment.ordered for segment in self._job.plan.segments)
        return self.ledger.first_lacking(in_order=ordered)

    def _open_sink(self) -> Any:  # a plugin
        job, store = self._job, self._job.options.store
        info = job.info
        if job.total != info.frames:
            info = replace(info, frames=job.total)
        sink = load("sinks", "ome-zarr")(
            self._folder.images,
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

    # --- what it means for the run ------------------------------------------------

    @property
    def skips(self) -> bool:
        """Whether frames that find no worker are left for a later pass."""
        skips = self._job.options.on_overload == "skip"
        return skips and self._job.is_logged and not self.again

    @property
    def releases_log(self) -> bool:
        """Whether log shards may go once their frames are committed."""
        # those of a run that skips are wanted by the later pass
        return self._drops_log and not self.skips

    @property
    def _drops_log(self) -> bool:
        return self._job.is_logged and not self._job.keeps_raw

    def state_at_end(self, state: str) -> str:
        """Return the state that is recorded: a later pass leaves the one it found."""
        if not self.again or state != "finished":
            return state
        return "interrupted" if self._before in ("running", "paused") else self._before

    @property
    def is_taking(self) -> bool:
        """Whether more frames are to come from a camera."""
        if self._live is not None:
            return self._live.is_taking
        return self._job.info.live and not self.again

    def admitted(self, counted: int) -> int:
        """Return how many frames are admitted: the journal may be ahead."""
        return max(counted, self.log.admitted) if self.log else counted

    # --- the begin ------------------------------------------------------------------

    def plan(self) -> Plan:
        """Return the plan with the store's encoders in its stages."""
        plan = self._job.plan.without_order() if self.skips else self._job.plan
        encoders = {}
        # the store knows those of later segments too: a pass may have begun them
        for output in self._job.plan.images:
            encoder = self.sink.encoder(
                output.name, output.kind, output.axes, grid=output.grid
            )
            if output.name == "source" and self._job.is_logged:
                encoder = partial(encoder, first_level=1)
            encoders[output.name] = encoder
        self._encode_source: Any = encoders.get("source")
        segments = []
        for segment in plan.segments:
            stage = segment.stage
            if stage is not None:
                own = {o.name for o in stage.outputs} & encoders.keys()
                stage = replace(stage, encoders={name: encoders[name] for name in own})
            segments.append(Segment(stage=stage, ordered=segment.ordered))
        return replace(plan, segments=tuple(segments))

    def schedule(self, plan: Plan) -> Schedule:
        """Return which parameters hold for which frames, as the ledger has them."""
        ledger = self.ledger
        ledger.begin_parameters(
            [*initial_rows(plan), *(change.row() for change in self._job.changes)]
        )
        return Schedule(
            plan,
            self._job.info,
            start=self.first,
            changes=changes_in(ledger.parameters()),
            record=lambda change: ledger.change_parameter(change.row()),
        )

    def admission(
        self,
        schedule: Schedule,
        failed: Callable[[BaseException], None],
        took: Callable[[Iterable[float]], None] = lambda seconds: None,
    ) -> Admission:
        """Return what yields the frames.

        ``failed`` is told why a raw log ended, ``took`` how long frames waited for it.
        """
        job, options = self._job, self._job.options
        source = job.graph.source
        if job.is_logged:
            log = self.log = self._open_log()
            # the parameters of what an earlier session admitted are fixed
            schedule.admitted(log.admitted)
            if self.again:
                return Logged(log.reader, log.admitted, self.ledger.fates)
            self._live = Live(
                source,
                log,
                job.frames,
                schedule=schedule,
                on_full=options.on_full_log,
                memory=options.limits.memory // 8,
                failed=failed,
                say=self._note,
                took=took,
            )
            return self._live
        if self._replayed is not None and job.total is not None:
            return Logged(self._replayed, job.total)
        if job.info.random_access and job.info.frames is not None:
            return Recording(source, job.frames)
        return InOrder(source, job.frames, self._note)

    def _open_log(self) -> RawLog:
        """Open the raw log; the source goes on behind what is known to be lost."""
        log = RawLog(
            self._folder.path,
            self._folder.images,
            self._log_writer,
            NATIVE,
            space=self.space,
            first=self._job.plan.first_needed(self.first),
            guard=self._guard,
        )
        for gap in sorted(self.ledger.gaps(), key=lambda gap: gap.first_source_index):
            if gap.count and gap.first_source_index == log.next_source_index:
                log.next_source_index = gap.last_source_index + 1
        return log

    @property
    def _replayed(self) -> LogReader | None:
        """The raw log that is the source: its frames keep their numbers and times."""
        log = getattr(self._job.graph.source, "log", None)
        return log if isinstance(log, LogReader) else None

    def warm(self, plan: Plan) -> None:
        """Compile kernels before the first frame, and make the tables known by then."""
        from . import ops

        info = self._job.info
        if plan.windows:
            ops.mean_frame([np.zeros((1, 1), info.dtype)] * 5)
        stage = plan.segments[0].stage
        values = rehearse(stage, info) if stage else {}
        for output in plan.tables:
            if output.step in values:
                self.ledger.table(output.name, sql_types(as_table(values[output.step])))

    def check_column(self, name: str) -> None:
        """Refuse ``table.column`` where the table is known, and has no such column."""
        table, _, column = name.partition(".")
        sql = 'SELECT "column" FROM columns WHERE "table"=?'
        known = [row[0] for row in self.ledger.query(sql, (table,))]
        if known and column not in known:
            raise ConfigError(
                f"alerts.drop.{name}: table {table!r} has no column {column!r}"
                f"{nearest(column, known)}"
            )

    def begin(self, plan: Plan) -> None:
        """Record that the run is on; a run that does nothing loses no earlier words."""
        ledger = self.ledger
        ledger.set("saved", json.dumps(list(self._job.saved)))
        if self.skips:
            # what frames have until a later pass runs the steps in order
            ledger.set("early", json.dumps([o.name for o in plan.outputs]))
        self._last_reason = ledger.get("reason") or ""
        self._last_speed = ledger.get("speed") or ""
        ledger.set("reason", "")
        ledger.set("speed", "")
        if self.again:
            # shards from there on are written into once more
            ledger.set("synced_upto", str(self.first))
        ledger.set("clean", "no")
        ledger.set("before", self._before if self.again else "")
        ledger.set("state", "running")

    def late(self) -> int | None:
        """Return the frame that observers go back to, in and after a later pass.

        It is remembered until they have all: a pass may be killed before.
        """
        known = self.ledger.get("late")
        back = int(known) if known else None
        if self.again:
            back = self.first if back is None else min(back, self.first)
            self.ledger.set("late", str(back))
        return back

    def read_counters(self, counters: Counters) -> None:
        """Count what earlier sessions have committed."""
        query = self.ledger.query
        rows = dict(query("SELECT state, count(*) FROM frames GROUP BY state"))
        counters.done = rows.get("done", 0)
        counters.failed = rows.get("failed", 0)
        counters.skipped = rows.get("skipped", 0)
        counters.admitted = sum(rows.values())
        counters.lost = query("SELECT coalesce(sum(count), 0) FROM gaps")[0][0]
        # a row holds the mean per done frame
        objects = "SELECT total(round(objects * done)) FROM summary WHERE seconds = 60"
        counters.objects = int(query(objects)[0][0])

    def last_summary(self) -> list[tuple[Any, ...]]:
        """Return the newest rows of ``summary``, one per length."""
        return self.ledger.query(
            "SELECT * FROM summary AS a WHERE time = "
            "(SELECT max(time) FROM summary AS b WHERE b.seconds = a.seconds)"
        )

    # --- mending --------------------------------------------------------------------

    def repair(self, resumed: bool) -> None:
        """Bring the store in line with the ledger after whatever ended the last run."""
        ledger = self.ledger
        if self._replayed is not None and not ledger.gaps():
            ledger.record_gaps(self._replayed.gaps)
        if not resumed:
            return
        if self.log is not None:
            ledger.record_gaps(unrecorded(self.log.jumps, ledger.gaps()))
        since = 0
        if ledger.query("SELECT count(*) FROM chunks")[0][0] > _CHECK_ALL:
            since = int(ledger.get("synced_upto") or 0)
        repair = self.recover(since)
        if self.log is not None:
            logged = self._log_writer.recover(self.log.rows(), since)
            if self._drops_log:
                logged.lost.clear()
            repair.merge(logged)
        if repair.lost:
            shards = sorted({f"{row.array}/{row.shard}" for row in repair.lost})
            self.damage = (
                f"{len(repair.lost)} committed chunk(s) are missing or cut in "
                f"{', '.join(shards[:3])}{' …' if len(shards) > 3 else ''}; "
                f"streamproc verify {self._folder.path} lists what differs"
            )
        for what in ("rebuilt", "trimmed", "removed", "lost"):
            found = getattr(repair, what)
            if found:
                ledger.event("repair", f"{what}: {found}")
                self._folder.log("repair", f"{what}: {found}")

    def recover(self, since: int) -> Repair:
        """Make the store show what the ledger has from a frame on, and no more."""
        rows = (
            ChunkRow(*row)
            for row in self.ledger.query(
                "SELECT * FROM chunks WHERE frame >= ? ORDER BY array, frame, chunk",
                (since - 255,),
            )
        )
        times = self.ledger.query(
            "SELECT frame, time FROM frames WHERE frame >= ? ORDER BY frame", (since,)
        )
        repair: Repair = self.sink.recover(rows, times, since)
        return repair

    # --- while it goes on -------------------------------------------------------------

    def raw(self, ref: FrameRef) -> Mapping[str, Any]:
        """Return the pixels of a frame that failed in a replay, encoded.

        The log that is replayed has them: so has the array, as in the live run.
        """
        is_replay = self._replayed is not None and not self._job.is_logged
        if not is_replay or not self._job.saves_source or ref.error is not None:
            return {}
        try:
            encoded = self._encode_source(ref.resolve())
        except FrameError:
            return {}
        return {"source": replace(encoded, levels=encoded.levels[:1])}

    def release_log(self, committed: int) -> None:
        """Delete log shards that neither a window nor a pending frame reaches."""
        gone = self._job.plan.may_go(committed)
        self._log_writer.delete_shards(gone.stop, gone.start)

    # --- the end --------------------------------------------------------------------

    def seal(self) -> None:
        """Let a log thread that still goes on write no more: its files are closed next.

        What the camera gave and is not in the log is a gap when the run is resumed.
        """
        if self._live is not None:
            self._live.abandon()

    def close(self, frames: int, settled: int, state: str) -> None:
        """Close image store and log, the arrays ``frames`` long; the ledger stays open.

        ``settled`` frames have a row.
        """
        self.sink.close(frames)
        if self.log is not None:
            self.log.close(frames)
        if self.releases_log and self.state_at_end(state) == "finished":
            self._log_writer.delete_all()
        self.ledger.set("clean", "yes")
        self.ledger.set("synced_upto", str(settled))

    def abandon(self) -> None:
        """Close image store and log without writing anything more."""
        self.sink.abandon()
        if self.log is not None:
            self.log.abandon()

    def record_end(
        self,
        *,
        state: str,
        reason: str | None,
        admitted: int,
        speed: Mapping[str, float | None] | None,
    ) -> None:
        """Record how the run ended; without a ``speed`` the last one stays."""
        ledger = self.ledger
        ledger.set("admitted", str(admitted))
        ledger.set("state", self.state_at_end(state))
        # the next pass finds it, if this one did not end
        ledger.set("before", self._before if self.again and state != "finished" else "")
        ledger.set("reason", reason or (self._last_reason if self.again else ""))
        ledger.set("speed", self._last_speed if speed is None else json.dumps(speed))

    def say(
        self, kind: str, message: str, frame: int | None = None, level: str = "info"
    ) -> None:
        """Record what was done to the run."""
        with contextlib.suppress(StreamprocError):
            self.ledger.event(kind, message, frame=frame, level=level)
        self._folder.log(kind, message)

    def said(self, kind: str) -> list[tuple[str, str]]:
        """Return the messages of a kind and their levels, the first one first."""
        sql = "SELECT message, level FROM events WHERE kind=? ORDER BY rowid"
        return self.ledger.query(sql, (kind,))

    def _note(self, notice: Notice) -> None:
        """Record what the source says, beside the frame that comes next."""
        frame = self.log.admitted if self.log is not None else None
        self.say(notice.kind, notice.message, frame, notice.level)
