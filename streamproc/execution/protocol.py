"""What every executor promises; `inline`, `threads` and `dask` keep it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from streamproc.errors import FrameError, SourceError, StreamprocError
from streamproc.frame import Array, FrameRef
from streamproc.stage import Result, Stage
from streamproc.window import Method, noun

if TYPE_CHECKING:
    from .crew import Worker

Deliver = Callable[[Result], None]


@dataclass(frozen=True, slots=True)
class Average:
    """What became of a background: its pixels, or why there are none."""

    pixels: Array | None = None
    #: xxh3_64 of pixels that were computed: their identity in the ledger
    hash: str | None = None
    error: str | None = None
    #: a frame of another shape: the run ends
    fatal: SourceError | None = None
    #: that it took, the reading of its frames included
    seconds: float = 0.0

    @classmethod
    def of(
        cls, refs: Iterable[FrameRef], block: int, method: Method = "mean"
    ) -> "Average":
        """Reduce the readable frames of a window (those that fail are left out)."""
        return cls.over(_readable(refs), block, method)

    @classmethod
    def over(
        cls, frames: Iterable[Array], block: int, method: Method = "mean"
    ) -> "Average":
        """Reduce frames that are read while they are asked for."""
        from streamproc.ops.background import mean_frame, median_frame
        from streamproc.values import hash_image

        begun = time.perf_counter()
        try:
            if noun(method) == "reference":  # a frame as it is, the first to come
                pixels, digest = _reference(frames), None
            else:
                reduce = median_frame if method == "median" else mean_frame
                pixels = reduce(frames)
                digest = hash_image(pixels)
            return cls(pixels, digest, seconds=time.perf_counter() - begun)
        except SourceError as error:
            return cls(fatal=error)
        except Exception as error:
            # reported by every frame of the block that needs it
            return cls(error=f"{noun(method)} of block {block}: {error}")

    def get(self) -> Array:
        """Return the pixels.

        Raises
        ------
        FrameError
            It could not be computed.
        SourceError
            A frame of it has another shape: the run ends.
        """
        if self.fatal is not None:
            raise SourceError(str(self.fatal))
        if self.pixels is None:
            raise FrameError(self.error or "background was cancelled")
        return self.pixels


class Background(Protocol):
    """What a task needs of a background."""

    def get(self) -> Array:
        """Return its pixels; raises `FrameError` or `SourceError`."""
        ...


class WindowValue:
    """A background that the frames of one block wait for; computed once.

    `compute` runs on an executor as a task of its own, ahead of the frames.
    """

    def __init__(
        self,
        key: tuple[str, int],
        refs: list[FrameRef],
        first: int = 0,
        method: Method = "mean",
    ) -> None:
        self.key = key
        self.method = method
        #: the first frame that waits for it
        self.first = first
        self.refs: list[FrameRef] = refs
        #: xxh3_64 of the background, once computed: its identity in the ledger
        self.hash: str | None = None
        #: that it took, until somebody takes them into account
        self.seconds: float | None = None
        self._ready = threading.Event()
        self._average = Average()

    def compute(self) -> None:
        """Reduce the readable frames of the window."""
        try:
            self._average = Average.of(self.refs, self.key[1], self.method)
            self.hash, self.seconds = self._average.hash, self._average.seconds
        finally:
            self.refs = []
            self._ready.set()

    def abandon(self) -> None:
        """Give it up: frames that wait for it fail, and are not recorded."""
        self.refs = []
        self._ready.set()

    def get(self) -> Array:
        """Wait for the background; meanwhile read frames that it still needs.

        Raises
        ------
        FrameError
            It could not be computed.
        SourceError
            A frame of it has another shape: the run ends.
        """
        for ref in reversed(self.refs):
            if self._ready.is_set():
                break
            if ref.keep:
                with suppress(StreamprocError):  # `compute` meets it again
                    ref.resolve()
        self._ready.wait()
        return self._average.get()


def _reference(frames: Iterable[Array]) -> Array:
    for frame in frames:
        return frame
    raise FrameError("none of the frames that it may be can be read")


def _readable(refs: Iterable[FrameRef]) -> Iterator[Array]:
    for ref in refs:
        try:
            yield ref.resolve()
        except FrameError:
            continue


@dataclass(slots=True)
class Task:
    """One frame for one stage, with what it needs from earlier segments."""

    stage: Stage
    ref: FrameRef
    given: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, Background] = field(default_factory=dict)

    def run(self) -> Result:
        """Run the stage; a failed background fails the frame."""
        windows: dict[str, Array] = {}
        try:
            for name, value in self.windows.items():
                windows[name] = value.get()
        except FrameError as error:
            return self._failed(error=str(error), exception=error, step=name)
        except SourceError as error:
            return self._failed(fatal=error)
        return self.stage(self.ref, self.given, windows)

    def _failed(
        self,
        *,
        error: str | None = None,
        exception: BaseException | None = None,
        fatal: BaseException | None = None,
        step: str = "",
    ) -> Result:
        ref = self.ref
        result = Result(ref.frame, self.stage.level, error=error, fatal=fatal)
        result.exception, result.step = exception, step
        result.time, result.metadata = ref.time, ref.metadata
        return result


class Executor(Protocol):
    """Runs tasks anywhere and delivers each result exactly once, in any order.

    ``submit`` may run the task before it returns (inline), never blocks for long
    otherwise: the engine bounds what is in flight. After ``cancel`` tasks that have
    not started are forgotten; ``close`` waits for the rest.
    """

    name: str
    workers: int

    @property
    def appetite(self) -> int:
        """How many frames it can have at once without one of its workers waiting."""
        ...

    @property
    def page(self) -> str | None:
        """The address of a page of its own that shows what it does; None without."""
        ...

    def crew(self) -> "list[Worker]":
        """Return what each worker is at; at once, from any thread, also at the end."""
        ...

    def start(self, deliver: Deliver) -> None:
        """Get ready; results go to ``deliver``, called from any thread."""
        ...

    def submit(self, task: Task) -> None:
        """Take one frame."""
        ...

    def submit_window(self, window: WindowValue) -> None:
        """Take a background, to be computed before the frames submitted after it."""
        ...

    def cancel(self) -> None:
        """Forget what has not started."""
        ...

    def close(self, patience: float) -> None:
        """Wait up to ``patience`` seconds for what is running, and end."""
        ...
