"""Which steps of a pipeline keep the other threads of a run waiting.

A step that holds Python's global interpreter lock (the GIL) stops all others: the
workers, and the commit, which asks for it at every system call.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .graph import Graph
from .plan import make_plan
from .stage import run
from .view.preview import preview

#: Seconds of one measurement; how long the other thread sleeps, and what is late.
_SECONDS, _SLEEP, _LATE = 0.4, 0.0005, 0.002
#: The share of late wake-ups from which a step is said to hold the lock.
_HOLDS = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """How long a step takes, and how often another thread woke up late beside it.

    ``waiting`` is that share, from 0 to 1, less what a step without the lock costs
    on this machine now.
    """

    name: str
    operator: str
    milliseconds: float
    waiting: float

    @property
    def holds(self) -> bool:
        """Whether it keeps the other threads from their work."""
        return self.waiting >= _HOLDS


def look(graph: Graph, frame: int = 0) -> list[Step]:
    """Run every step of a graph on one frame again and again beside another thread.

    Takes about half a second per step. Windowed and ordered steps are left out.

    Raises
    ------
    FrameError, SourceError, ConfigError
        The frame cannot be read, or a step cannot run.
    """
    seen = {s.step.name: s for s in preview(graph, frame).steps}
    values = {name: s.value for name, s in seen.items() if s.error is None}
    plan = make_plan(graph, {}, list(graph.steps.values()))
    usual = waiting(_without_lock)[1]
    steps = []
    for segment in plan.segments:
        for one in segment.stage.instructions if segment.stage else ():
            if one.windowed or one.name not in values:
                continue
            spent, late = waiting(lambda one=one: run(one, values, {}))  # type: ignore[misc]  # bound now
            operator = seen[one.name].step.operator
            steps.append(Step(one.name, operator, spent, max(0.0, late - usual)))
    return steps


def waiting(call: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds per call, and the share of late wake-ups beside it."""
    stop = threading.Event()
    calls = 0
    error: list[BaseException] = []

    def work() -> None:
        nonlocal calls
        try:
            while not stop.is_set():
                call()
                calls += 1
        except BaseException as raised:
            error.append(raised)

    clock = time.perf_counter
    worker = threading.Thread(target=work, name="streamproc-doctor")
    start = clock()
    worker.start()
    late = count = 0
    # a busy machine may take all the time to begin
    while not count or clock() - start < _SECONDS or (not calls and worker.is_alive()):
        before = clock()
        time.sleep(_SLEEP)
        late += clock() - before - _SLEEP > _LATE
        count += 1
    stop.set()
    worker.join()
    if error:
        raise error[0]
    return 1e3 * (clock() - start) / max(calls, 1), late / count


def _without_lock() -> None:
    """Compute for a millisecond without the lock."""
    hashlib.sha256(_ZEROS).digest()


_ZEROS = bytes(1 << 20)
