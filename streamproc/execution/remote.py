"""What runs on a dask worker: a batch of frames, or a background."""

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from streamproc.frame import Address, Array, FrameRef, Source
from streamproc.stage import Result, Stage

from .admission import SourceAddress
from .protocol import Average, Task


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the process that started us: it drains (our own workers)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Parcel(WorkerPlugin):
    """An object that every worker gets once, also one that joins late.

    A stage or a source: it is unpickled by the first task that asks for it, so that
    what it lacks there is that task's error.
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
            if not hasattr(self, "_content"):
                self._content = cloudpickle.loads(self._pickled)
        return self._content


def unpacked(name: str) -> Any:  # the content of a parcel
    """Return what the parcel of this name holds on this worker."""
    parcel: Any = get_worker().plugins[name]
    return parcel.open()


@dataclass(frozen=True, slots=True)
class Wire:
    """A frame on its way to a worker.

    ``index`` is its place in the source where it is read from there, ``address`` any
    other place; ``pixels`` are sent where there is neither.
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
    def of(cls, ref: FrameRef, given: Mapping[str, Any]) -> "Wire":
        """Return what a worker needs of an admitted frame."""
        address, pixels = ref.address, ref.pixels
        index = None
        if isinstance(address, SourceAddress):
            index, address = address.index, None
        if index is not None or address is not None:
            pixels = None  # a worker reads them sooner than it gets them
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


@dataclass(frozen=True, slots=True)
class Reply:
    """The results of a batch, and the hashes of the backgrounds it used, by step."""

    results: list[Result]
    hashes: dict[str, str | None]


def run_batch(
    stage: str,
    source: str | None,
    wires: Sequence[Wire],
    averages: Mapping[str, Average],
) -> Reply:
    """Run a stage on frames, one after the other (on a worker).

    Parameters
    ----------
    stage, source
        Names of parcels.
    wires
        The frames.
    averages
        By windowed step: computed on a worker, too.
    """
    program: Stage = unpacked(stage)
    opened = None if source is None else unpacked(source)
    where = get_worker().name
    results = []
    for wire in wires:
        task = Task(program, wire.ref(opened), wire.given, averages)
        # errors travel as text: an exception of a user's need not be picklable
        results.append(replace(task.run(), exception=None, worker=f"worker-{where}"))
    return Reply(results, {step: a.hash for step, a in averages.items()})


def average(source: str | None, wires: Sequence[Wire], block: int) -> Average:
    """Compute a background (on a worker)."""
    opened = None if source is None else unpacked(source)
    return Average.of([wire.ref(opened) for wire in wires], block)
