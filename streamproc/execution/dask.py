"""Workers in other processes, here or elsewhere: small batches as dask tasks.

The *dispatcher* thread sends batches, sized so that what a task costs is a twentieth
of its kernels' time; the *gatherer* takes their replies. A batch whose workers died
is tried frame by frame, each with nothing else in flight: only a frame that kills
its workers alone is recorded as failed.
"""

import itertools
import math
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from distributed import KilledWorker

from streamproc.errors import ExecutorError, FrameError, one_line
from streamproc.frame import FrameRef, Source
from streamproc.stage import Result, Stage

from .admission import SourceAddress
from .cluster import Cluster, ClusterOptions
from .protocol import Deliver, Task, WindowValue
from .remote import Parcel, Reply, Wire, average, run_batch

#: Seconds that a task costs beside its kernels, and the share of them it may take.
_TASK, _SHARE = 0.0046, 0.05
#: A batch holds at most so many frames, bytes of pixels, and seconds of work.
_FRAMES, _BYTES, _SECONDS = 64, 64 << 20, 0.25
#: Batches in flight per thread: one runs, one waits at the worker.
_DEPTH = 2
#: Seconds between two looks at the workers, and for how long there may be none.
_LOOK, _PATIENCE = 2.0, 60.0


@dataclass(eq=False, slots=True)
class _Batch:
    tasks: list[Task]
    #: nothing else was in flight
    is_alone: bool = False


@dataclass(eq=False, slots=True)
class _Window:
    """A background on its way: its future, and what computes it again."""

    wires: list[Wire]
    block: int
    future: Any = None


class Dask:
    """Tasks on a dask cluster: our own on this machine, or a scheduler's address."""

    name = "dask"

    def __init__(self, options: ClusterOptions, cores: int) -> None:
        self._options = options
        self._cores = cores
        self.workers = options.workers or cores
        self._run = f"streamproc-{uuid.uuid4().hex[:12]}"
        self._changed = threading.Condition()
        self._pending: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._flying: dict[Any, _Batch] = {}
        self._windows: weakref.WeakKeyDictionary[WindowValue, _Window] = (
            weakref.WeakKeyDictionary()
        )
        self._landed: SimpleQueue[Any] = SimpleQueue()
        self._parcels: dict[int, tuple[str, object]] = {}
        self._source: Source | None = None
        self._kernel: float | None = None
        # of tasks: two threads send, and a key used twice would be an old result
        self._numbers = itertools.count()
        self._has_ended = False
        self._looked = self._manned = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._cluster: Cluster | None = None

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
        self.workers = self._cluster.threads() or self.workers
        for name, loop in (("dispatcher", self._dispatch), ("gatherer", self._gather)):
            thread = threading.Thread(target=loop, name=f"dask-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, task: Task) -> None:
        """Queue a frame."""
        with self._changed:
            self._pending.append(task)
            self._changed.notify_all()

    def submit_window(self, window: WindowValue) -> None:
        """Send a background, ahead of the frames that wait for it."""
        self._know(window.refs)
        wires = [Wire.of(ref, {}) for ref in window.refs]
        window.refs = []
        planned = _Window(wires, window.key[1])
        with suppress(Exception):  # sent again with its frames, which tell why not
            self._average(planned)
        self._windows[window] = planned

    def cancel(self) -> None:
        """Forget what has not started."""
        with self._changed:
            self._has_ended = True
            self._pending.clear()
            self._suspects.clear()
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
        if self._cluster is None:
            return
        for name, _ in self._parcels.values():
            with suppress(Exception):
                self._client.unregister_worker_plugin(name)  # type: ignore[no-untyped-call]
        with suppress(Exception):
            self._cluster.close()

    def _is_still(self) -> bool:
        return not self._flying or self._has_ended

    # --- the dispatcher -----------------------------------------------------------

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                while not self._has_ended and not self._may_send():
                    if not self._changed.wait(_LOOK):
                        break
                if self._has_ended:
                    return
                batch = self._next_batch() if self._may_send() else None
            try:
                self._require_workers()
                if batch is not None:
                    self._send(batch)
            except Exception as error:
                # whatever keeps a batch from being sent keeps all from it
                self._fail(error, None if batch is None else batch.tasks[0])
                return

    def _require_workers(self) -> None:
        """Look now and then how many workers there are.

        Raises
        ------
        ExecutorError
            There has been none for a while.
        """
        now = time.monotonic()
        if now < self._looked + _LOOK or self._cluster is None:
            return
        self._looked = now
        threads = self._cluster.threads()
        self.workers = threads or self.workers
        if threads:
            self._manned = now
        elif now > self._manned + _PATIENCE:
            raise ExecutorError(f"no dask worker for {_PATIENCE:.0f} s")

    def _may_send(self) -> bool:
        if self._suspects:
            return not self._flying
        if any(batch.is_alone for batch in self._flying.values()):
            return False
        return bool(self._pending) and len(self._flying) < _DEPTH * self.workers

    def _next_batch(self) -> _Batch:
        if self._suspects:
            return _Batch([self._suspects.popleft()], is_alone=True)
        first = self._pending.popleft()
        tasks, most, left = [first], self._size(), _BYTES
        while self._pending and len(tasks) < most:
            task = self._pending[0]
            left -= 0 if task.ref.pixels is None else task.ref.pixels.nbytes
            if task.stage is not first.stage or left < 0:
                break
            if dict(task.windows) != dict(first.windows):
                break
            tasks.append(self._pending.popleft())
        return _Batch(tasks)

    def _size(self) -> int:
        """Return how many frames the next batch holds at most."""
        if self._kernel is None:
            return 1
        most = min(_TASK / (_SHARE * self._kernel), _SECONDS / self._kernel, _FRAMES)
        fair = math.ceil((len(self._pending) + 1) / self.workers)
        return max(1, min(math.ceil(most), fair))

    def _send(self, batch: _Batch) -> None:
        tasks = batch.tasks
        self._know([task.ref for task in tasks])
        stage = self._parcel(tasks[0].stage, f"stage-{tasks[0].stage.level}")
        source = self._source_parcel()
        wires = [Wire.of(task.ref, task.given) for task in tasks]
        averages = {
            step: self._usable(self._windows[value])
            for step, value in tasks[0].windows.items()
            if isinstance(value, WindowValue)
        }
        future = self._client.submit(
            run_batch,
            stage,
            source,
            wires,
            averages,
            key=(f"{self._run}-{stage}", next(self._numbers)),
            pure=False,
        )
        with self._changed:
            self._flying[future] = batch
        future.add_done_callback(self._landed.put)  # type: ignore[no-untyped-call]

    def _usable(self, window: _Window) -> Any:  # a future
        """Return the future of a background; sent again if its workers have died."""
        future = window.future
        if future is None or future.status in ("error", "lost", "cancelled"):
            self._average(window)
        return window.future

    def _average(self, window: _Window) -> None:
        window.future = self._client.submit(
            average,
            self._source_parcel(),
            window.wires,
            window.block,
            key=(f"{self._run}-background", next(self._numbers)),
            pure=False,
            priority=1,
        )

    def _know(self, refs: Sequence[FrameRef]) -> None:
        """Remember the source that frames are read from."""
        for ref in refs:
            if self._source is None and isinstance(ref.address, SourceAddress):
                self._source = ref.address.source

    def _source_parcel(self) -> str | None:
        return None if self._source is None else self._parcel(self._source, "source")

    def _parcel(self, content: Stage | Source, kind: str) -> str:
        """Return the name under which every worker has this; sent on first use."""
        with self._changed:
            known = self._parcels.get(id(content))
        if known is None:
            name = f"{self._run}-{kind}"
            try:
                parcel = Parcel(name, content)
            except Exception as error:
                raise ExecutorError(
                    f"the {kind.partition('-')[0]} cannot be sent to dask workers: "
                    f"{one_line(error)}"
                ) from error
            self._client.register_plugin(parcel, name=name)
            with self._changed:
                known = self._parcels[id(content)] = (name, content)
        return known[0]

    # --- the gatherer -------------------------------------------------------------

    def _gather(self) -> None:
        while (future := self._landed.get()) is not None:
            batch = self._flying.get(future)
            if batch is None:
                continue
            try:
                reply: Reply = self._client.gather(future, direct=True)  # type: ignore[no-untyped-call]
                self._arrive(batch, reply)
            except KilledWorker as error:
                self._lose(batch, error)
            except CancelledError:
                if not self._has_ended:
                    gone = ExecutorError("the dask scheduler is gone")
                    self._fail(gone, batch.tasks[0])
            except Exception as error:
                # a worker lacks what the graph needs: no frame would fare better
                self._fail(error, batch.tasks[0])
            finally:
                with self._changed:
                    self._flying.pop(future, None)
                    self._changed.notify_all()
                future.release()

    def _arrive(self, batch: _Batch, reply: Reply) -> None:
        seconds = sum(sum(r.seconds.values()) for r in reply.results)
        each = seconds / len(reply.results)
        known = self._kernel
        self._kernel = max(each if known is None else (known + each) / 2, 1e-6)
        windows: Mapping[str, Any] = batch.tasks[0].windows
        for step, digest in reply.hashes.items():
            windows[step].hash = digest
        for result in reply.results:
            self._deliver(result)

    def _lose(self, batch: _Batch, error: KilledWorker) -> None:
        """Try the frames of a batch alone; record one that was alone as failed."""
        if not batch.is_alone:
            with self._changed:
                self._suspects.extend(batch.tasks)
            return
        task = batch.tasks[0]
        ref = task.ref
        died = FrameError(
            f"its worker died, {_deaths(error)} times while nothing else was computed "
            "(killed, out of memory, or a crash in native code)"
        )
        result = Result(ref.frame, task.stage.level, error=str(died), exception=died)
        result.time, result.metadata = ref.time, ref.metadata
        self._deliver(result)

    def _fail(self, error: BaseException, task: Task | None = None) -> None:
        """End the run before a frame: the first in flight, unless one is given."""
        if not isinstance(error, ExecutorError):
            text = f"dask cannot run the graph: {one_line(error)}"
            if self._client.status != "running":  # and fails in one way or another
                text = "the dask scheduler is gone"
            cause, error = error, ExecutorError(text)
            error.__cause__ = cause
        if task is None:
            with self._changed:
                waiting = [t for batch in self._flying.values() for t in batch.tasks]
                waiting += [*self._suspects, *self._pending]
            task = min(waiting, key=lambda t: t.ref.frame, default=None)
        if task is not None:
            self._deliver(Result(task.ref.frame, task.stage.level, fatal=error))


def _deaths(error: KilledWorker) -> int:
    return int(getattr(error, "allowed_failures", 1)) + 1
