"""Committed values on their way to the user's streamz nodes, on their own thread."""

import pickle
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from streamproc.errors import one_line

#: Values waiting in memory; more go to a temporary file.
_IN_MEMORY = 256
#: Seconds without one value delivered after which the end of a run waits no more.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Emission:
    """The committed values of one frame, by step."""

    frame: int
    time: float | None
    values: Mapping[str, Any]


class Outbox:
    """Delivers emissions in order; a slow or failing listener never stalls a run.

    Memory is bounded: beyond `_IN_MEMORY` emissions wait in a temporary file.
    """

    def __init__(
        self,
        deliver: Callable[[Emission], None],
        failed: Callable[[int, str], None],
    ) -> None:
        self._deliver = deliver
        self._failed = failed
        self._queue: deque[Emission] = deque()
        self._spill: IO[bytes] | None = None
        self._spilled = 0
        self._read = 0
        self._delivered = 0
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def put(self, emission: Emission) -> None:
        """Take the values of a committed frame; returns at once."""
        with self._condition:
            if self._spilled or len(self._queue) >= _IN_MEMORY:
                self._write(emission)
            else:
                self._queue.append(emission)
            self._condition.notify()

    def _write(self, emission: Emission) -> None:
        try:
            data = pickle.dumps(emission, protocol=5)
            if self._spill is None:
                self._spill = tempfile.TemporaryFile()  # noqa: SIM115  # closed once read
            end = self._spill.seek(0, 2)
            try:
                self._spill.write(data)
                self._spill.flush()
            except OSError:
                self._spill.truncate(end)
                raise
        except Exception as error:
            # a user's value may not pickle, the disk may be full: the run goes on
            self._failed(emission.frame, one_line(error))
        else:
            self._spilled += 1

    def _take(self) -> Emission | None:
        with self._condition:
            while not self._queue and not self._spilled:
                if self._closed:
                    return None
                self._condition.wait()
            if self._queue:
                return self._queue.popleft()
            if self._spill is None:
                return None
            self._spill.seek(self._read)
            emission: Emission = pickle.load(self._spill)
            self._read = self._spill.tell()
            self._spilled -= 1
            if not self._spilled:
                self._spill.close()
                self._spill, self._read = None, 0
            return emission

    def _run(self) -> None:
        while (emission := self._take()) is not None:
            try:
                self._deliver(emission)
            except BaseException as error:
                # a listener may fail in any way, or call sys.exit(); the run and
                # later values go on
                self._failed(emission.frame, one_line(error))
            self._delivered += 1

    def close(self) -> bool:
        """Wait until all is delivered; False where a listener hangs."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        while self._thread.is_alive():
            before = self._delivered
            self._thread.join(_PATIENCE)
            if self._thread.is_alive() and self._delivered == before:
                return False
        return True
