"""Workers in other processes, here or elsewhere: small batches as dask tasks.

The *dispatcher* thread sends batches, sized so that what a task costs is a fortieth
of its kernels' time, and restarts workers that hang; the *gatherer* takes replies. A
batch whose workers died or hung is tried frame by frame, each with nothing else in
flight: only a frame that takes its workers along alone is recorded as failed.
"""

import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from distributed import KilledWorker

from streamproc.errors import ExecutorError, FrameError, one_line
from streamproc.frame import Source
from streamproc.stage import Result, Stage

from .batches import BYTES, Background, Batch, Sent, Sizes
from .cluster import Cluster, ClusterOptions
from .crew import Worker
from .protocol import Deliver, Task, WindowValue
from .remote import Reply, worker_name
from .sending import Sender

#: Batches in flight per thread: one runs, one waits at the worker.
_DEPTH = 2
#: Seconds between two looks at the workers, and for how long there may be none.
_LOOK, _PATIENCE = 2.0, 60.0
#: A frame that hangs so often fails.
_HANGS = 2


class Dask:
    """Tasks on a dask cluster: our own on this machine, or a scheduler's address."""

    name = "dask"

    def __init__(
        self,
        options: ClusterOptions,
        cores: int,
        *,
        stage: Stage | None = None,
        source: Source | None = None,
    ) -> None:
        self._options = options
        self._first = stage, source
        self._cores = cores
        self.workers = options.workers or cores
        self._sizes = Sizes(options.timeout)
        self._tick = min(_LOOK, self._sizes.shortest / 4)
        self._changed = threading.Condition()
        self._pending: deque[Task] = deque()
        #: to be sent again, before what is pending
        self._again: deque[Batch] = deque()
        self._flying: dict[Any, Batch] = {}
        self._ahead: list[Background] = []
        self._backgrounds: weakref.WeakKeyDictionary[WindowValue, Background] = (
            weakref.WeakKeyDictionary()
        )
        self._landed: SimpleQueue[Any] = SimpleQueue()
        self._restarting: list[threading.Thread] = []
        self._has_ended = False
        self._looked = self._manned = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._cluster: Cluster | None = None
        #: by worker: frames, and the seconds that they took
        self._done: dict[str, tuple[int, float]] = {}

    # --- what the engine calls --------------------------------------------------

    def start(self, deliver: Deliver) -> None:
        """Start or reach the cluster.

        Raises
        ------
        ConfigError, ExecutorError
            It cannot be, or must not be reached.
        """
        self._deliver = deliver
        self._cluster = Cluster(self._options, self._cores)
        self._client = self._cluster.client
        self._sender = Sender(self._client, f"streamproc-{uuid.uuid4().hex[:12]}")
        self.workers = self._cluster.threads() or self.workers
        stage, source = self._first
        if stage is not None and source is not None:
            with suppress(Exception):  # met again by the first frame, and told there
                self._sender.warm(stage, source)
        for name, loop in (("dispatcher", self._dispatch), ("gatherer", self._gather)):
            thread = threading.Thread(target=loop, name=f"dask-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def crew(self) -> list[Worker]:
        """Return what the workers are at that were there a moment ago."""
        now, cluster = time.monotonic(), self._cluster
        with self._changed:
            begun = [(b, b.begun) for b in self._flying.values() if not b.has_landed]
        found = []
        for address, told in ({} if cluster is None else cluster.seen).items():
            name = worker_name(told["name"])
            at = [(b, t) for b, t in begun if t is not None and b.worker == address]
            since = max((now - t for _, t in at), default=None)
            frames, busy = self._done.get(name, (0, 0.0))
            alone = at[0][0].tasks if len(at) == 1 else []
            worker = Worker(
                name,
                "busy" if at else "idle",
                frames,
                busy + sum(now - t for _, t in at),
                alone[0].ref.frame if len(alone) == 1 else None,
                since,
                told["nthreads"],
                told.get("metrics", {}).get("memory"),
                told.get("memory_limit") or None,
            )
            found.append(worker)
        return sorted(found, key=lambda worker: worker.name)

    @property
    def page(self) -> str | None:
        """Dask's own page, where the scheduler serves one."""
        return None if self._cluster is None else self._cluster.page

    def _note(self, results: Sequence[Result]) -> None:
        """Count what workers have done."""
        for result in results:
            frames, busy = self._done.get(result.worker, (0, 0.0))
            busy += sum(result.seconds.values())
            self._done[result.worker] = (frames + 1, busy)

    def _note_background(self, background: Background | None, seconds: float) -> None:
        cluster = self._cluster
        if background is None or cluster is None:
            return
        told = cluster.seen.get(background.worker)
        if told is not None:
            name = worker_name(told["name"])
            frames, busy = self._done.get(name, (0, 0.0))
            self._done[name] = (frames, busy + seconds)

    @property
    def appetite(self) -> int:
        """Batches on their way, and as many frames as let the next ones be full."""
        return (_DEPTH + 2) * self.workers * self._sizes.full(self.workers)

    def submit(self, task: Task) -> None:
        """Queue a frame."""
        with self._changed:
            self._pending.append(task)
            self._changed.notify_all()

    def submit_window(self, window: WindowValue) -> None:
        """Queue a background, ahead of the frames that wait for it."""
        refs = [
            replace(ref, pixels=None if ref.address else ref.pixels)
            for ref in window.refs
        ]
        window.refs = []
        background = Background(refs=refs, block=window.key[1], method=window.method)
        background.limit = self._sizes.shortest
        with self._changed:
            self._backgrounds[window] = background
            self._ahead.append(background)
            self._changed.notify_all()

    def cancel(self) -> None:
        """Forget what has not started."""
        with self._changed:
            self._has_ended = True
            self._pending.clear()
            self._again.clear()
            futures = list(self._flying)
            self._changed.notify_all()
        if futures:
            with suppress(Exception):  # a cluster that has gone forgets by itself
                self._client.cancel(futures, force=True)  # type: ignore[no-untyped-call]

    def close(self, patience: float) -> None:
        """Let what runs end, and leave the cluster."""
        end = time.monotonic() + patience
        with self._changed:
            self._changed.wait_for(self._is_still, patience)
            self._has_ended = True
            self._changed.notify_all()
        self._landed.put(None)
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(self._sender.withdraw)
        for thread in list(self._restarting):  # they end with the cluster
            thread.join(max(end - time.monotonic(), 1.0))

    def _is_still(self) -> bool:
        return not self._flying or self._has_ended

    # --- the dispatcher -----------------------------------------------------------

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                while not (self._has_ended or self._ahead or self._may_send()):
                    if not self._changed.wait(self._tick):
                        break
                if self._has_ended:
                    return
                ahead, self._ahead = self._ahead, []
                batch = self._next_batch() if self._may_send() else None
            try:
                self._look()
                for background in ahead:
                    with suppress(Exception):  # sent with its frames, which tell why
                        self._sender.send_background(background)
                if batch is not None:
                    self._send(batch)
            except Exception as error:
                # whatever keeps a batch from being sent keeps all from it
                self._fail(error, [] if batch is None else batch.tasks)
                return

    def _may_send(self) -> bool:
        flying = self._flying.values()
        if self._again and self._again[0].is_alone:
            return not flying and not self._restarting
        if any(batch.is_alone for batch in flying):
            return False
        has_any = self._again or self._pending
        return bool(has_any) and len(flying) < _DEPTH * self.workers

    def _next_batch(self) -> Batch:
        if self._again:
            return self._again.popleft()
        first = self._pending.popleft()
        tasks, left = [first], BYTES - self._sender.nbytes(first.ref)
        most = self._sizes.frames(len(self._pending) + 1, self.workers)
        while self._pending and len(tasks) < most:
            task = self._pending[0]
            left -= self._sender.nbytes(task.ref)
            if task.stage is not first.stage or left < 0:
                break
            if dict(task.windows) != dict(first.windows):
                break
            tasks.append(self._pending.popleft())
        return Batch(tasks=tasks)

    def _send(self, batch: Batch) -> None:
        backgrounds = {
            step: self._backgrounds[value]
            for step, value in batch.tasks[0].windows.items()
            if isinstance(value, WindowValue)
        }
        batch.limit = self._sizes.limit(len(batch.tasks))
        tasks = batch.tasks
        try:
            unreadable = self._sender.send(batch, backgrounds)
        except BaseException:
            batch.tasks = tasks  # none of them has a result
            raise
        for result in unreadable:
            self._deliver(result)
        if batch.tasks:
            with self._changed:
                self._flying[batch.future] = batch
            batch.future.add_done_callback(self._landed.put)

    # --- workers that are gone or hang ----------------------------------------------

    def _look(self) -> None:
        """Look now and then at the workers, and at what they are busy with.

        Raises
        ------
        ExecutorError
            There has been no worker for a while.
        """
        now = time.monotonic()
        if now < self._looked + self._tick or self._cluster is None:
            return
        has_slept = now > self._looked + self._sizes.shortest / 2
        self._looked = now
        workers = self._cluster.workers()
        self._require_workers(sum(workers.values()), now)
        with self._changed:
            sent = [*self._flying.values(), *self._backgrounds.values()]
        if has_slept:  # and has not heard what came meanwhile
            for one in sent:
                one.begun = None if one.begun is None else now
        overdue = [s for s in sent if s.is_overdue(now) and s.worker in workers]
        if overdue:
            self._end_hung(overdue)

    def _require_workers(self, threads: int, now: float) -> None:
        self.workers = threads or self.workers
        with self._changed:
            is_idle = not (self._flying or self._pending or self._again)
        if threads or is_idle:
            self._manned = now
        elif now > self._manned + _PATIENCE:
            raise ExecutorError(f"no dask worker for {_PATIENCE:.0f} s")

    def _end_hung(self, overdue: Sequence[Sent]) -> None:
        """Restart the workers that hang, and go on without them."""
        hung = self._claimed(s for s in overdue if isinstance(s, Batch))
        backgrounds = [s for s in overdue if isinstance(s, Background)]
        with self._changed:
            flying = list(self._flying.values())
        waiting = self._claimed(b for b in flying if self._needs(b, backgrounds))
        keys: dict[str, list[str]] = {}
        for sent in (*hung, *backgrounds):
            keys.setdefault(sent.worker, []).append(sent.future.key)
        for background in backgrounds:
            background.is_inline = True
            self._drop(background)
        for batch in waiting:
            self._drop(batch)
            self._resend(batch.tasks, batch)
        for batch in hung:
            self._drop(batch)
            batch.hangs += len(batch.tasks) == 1
            self._lose(batch, _hang(batch), is_certain=batch.hangs >= _HANGS)
        for worker, taken_back in keys.items():
            self._restart(worker, taken_back)

    def _needs(self, batch: Batch, backgrounds: Sequence[Background]) -> bool:
        windows: Iterable[Any] = batch.tasks[0].windows.values()
        return any(self._backgrounds.get(w) in backgrounds for w in windows)

    def _claimed(self, batches: Iterable[Batch]) -> list[Batch]:
        """Take batches out of flight; those whose reply is being taken stay."""
        with self._changed:
            mine = [b for b in batches if b.future in self._flying and not b.has_landed]
            for batch in mine:
                del self._flying[batch.future]
        return mine

    def _drop(self, sent: Sent) -> None:
        future, sent.future = sent.future, None
        future.release()

    def _restart(self, worker: str, keys: Sequence[str]) -> None:
        """Restart a worker; it takes seconds, in which others get their batches."""
        cluster = self._cluster

        def restart() -> None:
            if cluster is not None:
                cluster.restart(worker, keys)
            with self._changed:
                self._restarting.remove(thread)
                self._changed.notify_all()

        thread = threading.Thread(target=restart, name="dask-restart", daemon=True)
        with self._changed:
            self._restarting.append(thread)
        thread.start()

    def _resend(self, tasks: list[Task], past: Batch, **changes: bool) -> None:
        again = Batch(tasks=tasks, is_alone=past.is_alone, is_inline=past.is_inline)
        again.hangs = past.hangs
        for name, value in changes.items():
            setattr(again, name, value)
        with self._changed:
            self._again.append(again)
            self._changed.notify_all()

    def _lose(self, batch: Batch, what: str, *, is_certain: bool = True) -> None:
        """Try the frames of a batch alone; record one that was alone as failed."""
        if not (batch.is_alone and is_certain):
            for task in batch.tasks:
                self._resend([task], batch, is_alone=True)
            return
        task = batch.tasks[0]
        ref = task.ref
        lost = FrameError(what)
        result = Result(ref.frame, task.stage.level, error=str(lost), exception=lost)
        result.time, result.metadata = ref.time, ref.metadata
        result.step = "(worker)"
        self._deliver(result)

    # --- the gatherer -------------------------------------------------------------

    def _gather(self) -> None:
        while (landed := self._all_landed()) is not None:
            replies = self._fetch(landed)
            for future, batch in landed.items():
                self._take(future, batch, replies.get(future))

    def _all_landed(self) -> dict[Any, Batch] | None:
        """Wait for a future; return those that are there, None at the end."""
        landed = [self._landed.get()]
        if landed[0] is None:
            return None
        with suppress(Empty):
            while len(landed) < self._sizes.replies():
                landed.append(self._landed.get_nowait())
        if None in landed:
            self._landed.put(None)
        with self._changed:  # others were given up before
            taken = {f: self._flying[f] for f in landed if f in self._flying}
            for batch in taken.values():
                batch.has_landed = True
        return taken

    def _fetch(self, landed: Iterable[Any]) -> dict[Any, Reply]:
        """Return the replies, in one round trip per worker; none where one fails."""
        done = [future for future in landed if future.status == "finished"]
        with suppress(Exception):  # asked for one by one, each has its own error
            replies = self._client.gather(done, direct=True)  # type: ignore[no-untyped-call]
            return dict(zip(done, replies, strict=True))
        return {}

    def _take(self, future: Any, batch: Batch, reply: Reply | None) -> None:
        """Deliver the results of a batch, or find out why there are none."""
        try:
            if reply is None:
                reply = self._client.gather(future, direct=True)  # type: ignore[no-untyped-call]
            self._arrive(batch, reply)
        except KilledWorker as error:
            self._lose(batch, _death(error))
        except CancelledError:
            if not self._has_ended:
                gone = ExecutorError("the dask scheduler is gone")
                self._fail(gone, batch.tasks)
        except Exception as error:
            # a worker lacks what the graph needs: no frame would fare better
            self._fail(error, batch.tasks)
        finally:
            with self._changed:
                self._flying.pop(future, None)
                self._changed.notify_all()
            future.release()

    def _arrive(self, batch: Batch, reply: Reply) -> None:
        self._sizes.learn(reply.results, reply.cpu)
        self._note(reply.results)
        windows: Any = batch.tasks[0].windows
        for step, digest in reply.hashes.items():
            if windows[step].seconds is None:
                windows[step].seconds = seconds = reply.averaging.get(step, 0.0)
                self._note_background(self._backgrounds.get(windows[step]), seconds)
            windows[step].hash = digest
        for result in reply.results:
            self._deliver(result)
        unread = [task for task in batch.tasks if task.ref.frame in reply.unread]
        if not unread:
            return
        self._sender.is_blind |= reply.is_blind
        for step in reply.unseen:
            background = self._backgrounds[windows[step]]
            background.is_inline, background.future = True, None
        is_inline = batch.is_inline or not reply.unseen
        self._resend(unread, batch, is_inline=is_inline)

    # --- the end --------------------------------------------------------------------

    def _fail(self, error: BaseException, tasks: Sequence[Task]) -> None:
        """End the run before the first frame that has no result: nothing is sent more.

        ``tasks`` are those in hand, in flight no longer, or not yet.
        """
        if not isinstance(error, ExecutorError):
            text = f"dask cannot run the graph: {one_line(error)}"
            if self._client.status != "running":  # and fails in one way or another
                text = "the dask scheduler is gone"
            cause, error = error, ExecutorError(text)
            error.__cause__ = cause
        with self._changed:
            batches = [*self._flying.values(), *self._again]
            waiting = [task for batch in batches for task in batch.tasks]
            waiting += [*tasks, *self._pending]
        task = min(waiting, key=lambda t: t.ref.frame, default=None)
        if task is not None:
            self._deliver(Result(task.ref.frame, task.stage.level, fatal=error))


def _hang(batch: Batch) -> str:
    return (
        f"its worker hung, {_HANGS} times: no result within {batch.limit:g} s while "
        "nothing else was computed; a longer timeout of executor dask lets it be slow"
    )


def _death(error: KilledWorker) -> str:
    times = int(getattr(error, "allowed_failures", 1)) + 1
    return (
        f"its worker died, {times} times while nothing else was computed "
        "(killed, out of memory, or a crash in native code)"
    )
