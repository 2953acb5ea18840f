"""What is sent to dask workers: batches, backgrounds, and what these need."""

import itertools
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dask.utils import key_split
from distributed import Client

from streamproc.errors import ExecutorError, SourceError, one_line
from streamproc.frame import FrameRef, Source
from streamproc.stage import Result, Stage

from .admission import SourceAddress
from .batches import Background, Batch, Sent
from .protocol import Average, Task
from .remote import BEGUN, Parcel, View, Wire, average, keep, run_batch, warm

#: Seconds that workers may take to get ready, before frames come anyway.
_WARM = 30.0

#: Keys after which dask's memory of them is cleared: it holds 100,000, for nothing.
_FORGET = 4096


class Sender:
    """Sends the batches and backgrounds of one run (dispatcher thread).

    Workers read frames by their addresses, where they see there what we see; else
    frames are read here and sent.
    """

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._run = run
        self._numbers = itertools.count()
        self._stages: dict[int, tuple[str, Stage]] = {}
        self._view: str | None = None
        self._nbytes = 0
        self._parcels: list[str] = []
        self._sent: weakref.WeakValueDictionary[str, Sent] = (
            weakref.WeakValueDictionary()
        )
        #: a worker does not see what we see: no worker is asked to read any more
        self.is_blind = False
        client.subscribe_topic(BEGUN, self._begun)  # type: ignore[no-untyped-call]

    def send(self, batch: Batch, backgrounds: Mapping[str, Background]) -> list[Result]:
        """Send a batch.

        Frames that cannot be read, here where workers could not, are taken out of
        it: their results are returned. One that lost all has no future.
        """
        tasks, wires, failed = [], [], []
        view = self._view_of([task.ref for task in batch.tasks], batch)
        for task in batch.tasks:
            try:
                wires.append(Wire.of(task.ref, task.given, is_inline=view is None))
                tasks.append(task)
            except Exception as error:  # a source may fail in any way
                failed.append(_unreadable(task, error))
        batch.tasks = tasks
        if not tasks:
            return failed
        for background in backgrounds.values():
            if _is_gone(background.future):
                self.send_background(background)
        averages = {step: b.future for step, b in backgrounds.items()}
        stage = self._stage(tasks[0].stage)
        self._submit(batch, "stage", run_batch, stage, view, wires, averages)
        return failed

    def send_background(self, background: Background) -> None:
        """Send a background, or compute it here where workers cannot."""
        view = self._view_of(background.refs, background)
        block, method = background.block, background.method
        if view is None:
            found = Average.of(background.refs, block, method)
            background.future = self._client.submit(
                keep, found, key=self._key("background")[0], pure=False, priority=1
            )
            return
        wires = [Wire.of(ref, {}) for ref in background.refs]
        self._submit(
            background, "background", average, view, wires, block, method, priority=1
        )

    def warm(self, stage: Stage, source: Source) -> None:
        """Let each worker import, open and compile before frames come."""
        info, end = source.info, time.monotonic() + _WARM
        view = None
        if info.random_access:
            address = SourceAddress(source, 0)
            view = self._view_of([FrameRef(0, 0, None, None, address)], Sent())
        name = self._stage(stage)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        futures = [
            self._client.submit(
                warm,
                *(name, view, info),
                workers=[worker],
                key=self._key("warm")[0],
                pure=False,
            )
            for worker in workers
        ]
        for future in futures:
            future.result(timeout=max(end - time.monotonic(), 0.1))

    def nbytes(self, ref: FrameRef) -> int:
        """Return how many bytes of pixels are sent with a frame."""
        if ref.pixels is not None and ref.address is None:
            return ref.pixels.nbytes
        return self._nbytes if self.is_blind else 0

    def withdraw(self) -> None:
        """Take back from workers what they were given to keep."""
        for name in self._parcels:
            with suppress(Exception):
                self._client.unregister_worker_plugin(name)  # type: ignore[no-untyped-call]

    def _key(self, kind: str) -> tuple[tuple[str, int], str]:
        """Return a new key, and the token that tells of its task."""
        # one prefix per kind: a scheduler keeps each for ever
        number = next(self._numbers)
        if number % _FORGET == 0:
            key_split.cache_clear()
        return (f"{self._run}-{kind}", number), f"{self._run}-{number}"

    def _submit(
        self,
        sent: Sent,
        kind: str,
        function: Callable[..., Any],
        *arguments: Any,
        priority: int = 0,
    ) -> None:
        key, token = self._key(kind)
        sent.begun, sent.worker = None, ""
        self._sent[token] = sent
        sent.future = self._client.submit(
            function, token, *arguments, key=key, pure=False, priority=priority
        )

    def _begun(self, event: tuple[float, Any]) -> None:
        """Note who begins with what (the client's thread; again after a death)."""
        token, worker, more = event[1]
        sent = self._sent.get(token)
        if sent is not None:
            sent.worker, sent.begun = worker, time.monotonic() + more

    def _stage(self, stage: Stage) -> str:
        known = self._stages.get(id(stage))
        if known is None:
            name = f"{self._run}-stage-{next(self._numbers)}"
            try:
                parcel = Parcel(name, stage)
            except Exception as error:
                raise ExecutorError(
                    f"the graph cannot be sent to dask workers: {one_line(error)}"
                ) from error
            self._register(parcel)
            known = self._stages[id(stage)] = (name, stage)
        return known[0]

    def _view_of(self, refs: Sequence[FrameRef], sent: Sent) -> str | None:
        """Return the parcel through which workers read frames; None: send pixels."""
        if sent.is_inline or self.is_blind or any(r.address is None for r in refs):
            return None
        if self._view is None:
            self._open_view(refs)
        return self._view

    def _open_view(self, refs: Sequence[FrameRef]) -> None:
        """Give workers the source, with the first of the frames that can be read."""
        for ref in refs:
            address = ref.address
            source = address.source if isinstance(address, SourceAddress) else None
            try:
                pixels = replace(ref, keep=False).resolve()
            except Exception:  # told where the frame itself is sent
                continue
            self._nbytes = pixels.nbytes
            name = f"{self._run}-source"
            try:
                view = View(name, source, Wire.of(ref, {}), pixels)
            except Exception:  # a source that cannot be sent stays here
                self.is_blind = True
                return
            self._register(view)
            self._view = name
            return

    def _register(self, parcel: Parcel) -> None:
        self._client.register_plugin(parcel, name=parcel.name)
        self._parcels.append(parcel.name)


def _is_gone(future: Any) -> bool:
    """Tell whether a background was not sent yet, or its workers have died."""
    return future is None or future.status in ("error", "lost", "cancelled")


def _unreadable(task: Task, error: Exception) -> Result:
    """Return what becomes of a frame that could not be read: as on any executor."""
    ref = task.ref
    result = Result(ref.frame, task.stage.level, time=ref.time, metadata=ref.metadata)
    if isinstance(error, SourceError):
        result.fatal = error
    else:
        result.error, result.exception = one_line(error), error
    return result
