"""Seconds and processor time of frames, in this process and in all its workers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


@dataclass
class Flow:
    """What it took from the first frame to the last result."""

    frames: int
    seconds: float = 0.0
    #: processor seconds, user and system, of all processes
    cpu: float = 0.0

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time per frame."""
        return 1e3 * self.cpu / self.frames


def cpu_seconds() -> float:
    """Return what this process has used, and those it started, also if they ended."""
    total = 0.0
    here = psutil.Process()
    for process in [here, *here.children(recursive=True)]:
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
        # of those that ended and were waited for; 0 where the system does not tell
        total += used.children_user + used.children_system
    return total


@contextmanager
def measured(frames: int) -> Iterator[Flow]:
    """Give a flow; what happens inside is what it took."""
    flow = Flow(frames)
    before, start = cpu_seconds(), time.perf_counter()
    yield flow
    flow.seconds = time.perf_counter() - start
    flow.cpu = cpu_seconds() - before
