"""What runs on a dask worker: a batch of frames, or a background."""

import gc
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from streamproc.errors import FrameError
from streamproc.frame import Address, Array, FrameRef, Source, SourceInfo
from streamproc.stage import READ, Result, Stage, rehearse
from streamproc.values import hash_image
from streamproc.window import Method

from .admission import SourceAddress
from .protocol import Average, Task

#: What workers say when they begin with a task. One topic for all runs: a scheduler
#: keeps the last events of each for ever.
BEGUN = "streamproc-begun"
#: Seconds that a new worker may take to import what the graph needs.
_OPENING = 60.0


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the process that started us: it drains (our own workers)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Parcel(WorkerPlugin):
    """An object that every worker gets once, also one that joins late.

    It is unpickled by the first task that asks for it, so that what it lacks there is
    that task's error.
    """

    def __init__(self, name: str, content: object) -> None:
        self.name = name
        self._pickled: bytes = cloudpickle.dumps(content)

    def setup(self, worker: object) -> None:
        """Get ready on a worker; keep OpenCV from starting threads beside its own."""
        import cv2

        cv2.setNumThreads(1)
        self._lock = threading.Lock()

    def open(self) -> Any:  # the content
        """Return the content; the same object every time."""
        with self._lock:
            if not self.is_open:
                self._content = self._load()
        return self._content

    @property
    def is_open(self) -> bool:
        """Whether it was opened here before."""
        return hasattr(self, "_content")

    def _load(self) -> Any:  # the content
        return cloudpickle.loads(self._pickled)


@dataclass(frozen=True, slots=True)
class Wire:
    """A frame on its way to a worker.

    ``index`` is its place in the source where it is read from there, ``address`` any
    other place; ``pixels`` are sent where there is neither, or workers see neither.
    """

    frame: int
    source_index: int
    time: float | None
    metadata: str | None
    index: int | None = None
    address: Address | None = None
    pixels: Array | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ref: FrameRef, given: Mapping[str, Any], *, is_inline: bool = False
    ) -> "Wire":
        """Return what a worker needs of an admitted frame.

        With ``is_inline`` its pixels, which are read here; raises what the source
        raises where they cannot be.
        """
        address, index, pixels = ref.address, None, None
        if is_inline or address is None:
            ref = replace(ref, keep=False)
            pixels, address = ref.resolve(), None
        if isinstance(address, SourceAddress):
            index, address = address.index, None
        return cls(
            ref.frame,
            ref.source_index,
            ref.time,
            ref.metadata,
            index,
            address,
            pixels,
            dict(given),
        )

    def ref(self, source: Source | None) -> FrameRef:
        """Return the frame as stages take it."""
        address = self.address
        if self.index is not None and source is not None:
            address = SourceAddress(source, self.index)
        return FrameRef(
            self.frame,
            self.source_index,
            self.time,
            self.metadata,
            address,
            pixels=self.pixels,
        )


class View(Parcel):
    """The source that addresses lead to (None: the raw log), and one frame of it.

    It opens only where this frame is what it is at home: another machine may not see
    a path, or see another file there.
    """

    def __init__(
        self, name: str, source: Source | None, sample: Wire, pixels: Array
    ) -> None:
        super().__init__(name, source)
        self._sample = sample
        self._hash = hash_image(pixels)

    def _load(self) -> Any:  # the source
        source = super()._load()
        if hash_image(self._sample.ref(source).resolve()) != self._hash:
            raise FrameError("another file lies here")
        return (source,)


@dataclass(frozen=True, slots=True)
class Reply:
    """The results of a batch, and the hashes of the backgrounds it used, by step.

    ``averaging``: the seconds that each of them took.
    ``cpu``: seconds of the processor that its frames took, on the task's thread.
    Nothing is recorded of frames that this worker could not read (``unread``, by
    number) or whose background it could not (``unseen``, by step): they are sent
    again. ``is_blind``: it sees nothing of the source.
    """

    results: list[Result]
    hashes: dict[str, str | None] = field(default_factory=dict)
    unread: frozenset[int] = frozenset()
    unseen: tuple[str, ...] = ()
    is_blind: bool = False
    cpu: float = 0.0
    averaging: dict[str, float] = field(default_factory=dict)


def run_batch(
    token: str,
    stage: str,
    view: str | None,
    wires: Sequence[Wire],
    averages: Mapping[str, Average | None],
) -> Reply:
    """Run a stage on frames, one after the other (on a worker).

    Parameters
    ----------
    token
        Names this task where its beginning is told.
    stage, view
        Names of parcels; no view where the pixels are sent.
    wires
        The frames.
    averages
        By windowed step: computed on a worker, too; None where that could not.
    """
    every = frozenset(wire.frame for wire in wires)
    unseen = tuple(step for step, a in averages.items() if a is None)
    if unseen:
        return Reply([], unread=every, unseen=unseen)
    program: Stage = _unpacked(stage, token)
    source, is_blind = _seen(view, token)
    if is_blind:
        return Reply([], unread=every, is_blind=True)
    _begin(token)
    known = {step: a for step, a in averages.items() if a is not None}
    results, unread = [], set()
    begun = time.thread_time()
    for wire in wires:
        result = Task(program, wire.ref(source), wire.given, known).run()
        if wire.pixels is None and _was_unread(result, known):
            unread.add(wire.frame)
            continue
        # errors travel as text: an exception of a user's need not be picklable
        worker = worker_name(get_worker().name)
        results.append(replace(result, exception=None, worker=worker))
    cpu = time.thread_time() - begun
    hashes = {step: a.hash for step, a in known.items()}
    averaging = {step: a.seconds for step, a in known.items()}
    return Reply(results, hashes, frozenset(unread), cpu=cpu, averaging=averaging)


def worker_name(name: object) -> str:
    """Return what the ledger calls one of dask's workers."""
    return f"worker-{name}"


def warm(stage: str, view: str | None, info: SourceInfo) -> None:
    """Import, open and compile what frames need (on a worker, before the first).

    What fails here fails again with the first frame, whose error it is.
    """
    plugins: Any = get_worker().plugins
    with suppress(Exception):
        rehearse(plugins[stage].open(), info)
        if view is not None:
            plugins[view].open()
    # what was imported until now stays: no collection need look at it again
    gc.collect()
    gc.freeze()


def average(
    token: str, view: str | None, wires: Sequence[Wire], block: int, method: Method
) -> Average | None:
    """Compute a background (on a worker); None where a frame of it cannot be read.

    It may be readable elsewhere, and would be missed here.
    """
    source, is_blind = _seen(view, token)
    if is_blind:
        return None
    _begin(token)
    unread: list[int] = []

    def frames() -> Iterator[Array]:
        for wire in wires:
            try:
                yield wire.ref(source).resolve()
            except Exception:  # a source may fail in any way
                unread.append(wire.frame)

    found = Average.over(frames(), block, method)
    return None if unread else found


def keep(background: Average) -> Average:
    """Take a background that was computed elsewhere (on a worker)."""
    return background


def _begin(token: str, more: float = 0.0) -> None:
    """Tell that a task begins here, and how much longer than others it may take."""
    worker = get_worker()
    worker.log_event(BEGUN, (token, worker.address, more))


def _unpacked(name: str, token: str) -> Any:  # the content of a parcel
    parcel: Any = get_worker().plugins[name]
    if not parcel.is_open:
        _begin(token, _OPENING)
    return parcel.open()


def _seen(view: str | None, token: str) -> tuple[Source | None, bool]:
    """Return the source, and whether it cannot be seen from here."""
    if view is None:
        return None, False
    try:
        (source,) = _unpacked(view, token)
    except Exception:  # it may need a file, a module, a network
        return None, True
    return source, False


def _was_unread(result: Result, averages: Mapping[str, Average]) -> bool:
    """Tell whether a frame's pixels were asked for, and did not come."""
    has_failed = result.error is not None or result.fatal is not None
    were_asked = all(a.pixels is not None for a in averages.values())
    return has_failed and were_asked and READ not in result.seconds
