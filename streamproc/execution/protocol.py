"""What every executor promises; `inline`, `threads` and later dask keep it."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamproc.errors import FrameError, SourceError, StreamprocError
from streamproc.frame import Array, FrameRef
from streamproc.stage import Result, Stage

Deliver = Callable[[Result], None]


class WindowValue:
    """A background that the frames of one block wait for; computed once.

    `compute` runs on an executor as a task of its own, ahead of the frames.
    """

    def __init__(
        self, key: tuple[str, int], refs: list[FrameRef], first: int = 0
    ) -> None:
        self.key = key
        #: the first frame that waits for it
        self.first = first
        self.refs: list[FrameRef] = refs
        self._ready = threading.Event()
        self._value: Array | None = None
        self._error: str | None = None
        self._fatal: SourceError | None = None
        #: xxh3_64 of the background, once computed: its identity in the ledger
        self.hash: str | None = None

    def compute(self) -> None:
        """Average the readable frames of the window (those that fail are left out)."""
        from streamproc.ops.background import mean_frame
        from streamproc.values import hash_image

        try:
            self._value = mean_frame(_readable(self.refs))
            self.hash = hash_image(self._value)
        except SourceError as error:
            self._fatal = error
        except Exception as error:
            # reported by every frame of the block that needs it
            self._error = f"background of block {self.key[1]}: {error}"
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
        if self._fatal is not None:
            raise SourceError(str(self._fatal))
        if self._value is None:
            raise FrameError(self._error or "background was cancelled")
        return self._value


def _readable(refs: list[FrameRef]) -> Any:  # a generator of arrays
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
    windows: Mapping[str, WindowValue] = field(default_factory=dict)

    def run(self) -> Result:
        """Run the stage; a failed background fails the frame."""
        windows: dict[str, Array] = {}
        try:
            for name, value in self.windows.items():
                windows[name] = value.get()
        except FrameError as error:
            return self._failed(error=str(error), exception=error)
        except SourceError as error:
            return self._failed(fatal=error)
        return self.stage(self.ref, self.given, windows)

    def _failed(
        self,
        *,
        error: str | None = None,
        exception: BaseException | None = None,
        fatal: BaseException | None = None,
    ) -> Result:
        ref = self.ref
        result = Result(ref.frame, self.stage.level, error=error, fatal=fatal)
        result.exception = exception
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
