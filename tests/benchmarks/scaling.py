"""Many more workers than cores: kernels that sleep, and what the rest then costs."""

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import xxhash
from numpy.typing import NDArray

import streamproc as sp
from streamproc.execution import batches

#: Processes and their threads.
PROCESSES, THREADS = 8, 8
#: Mean seconds of a kernel.
MEANS = (0.1, 0.05, 0.02, 0.01)
#: Parts of all tasks after which memory is told.
MARKS = (0.1, 0.3, 1.0)
_LOOK = 0.02


class Numbers:
    """A recording of small frames that hold their own number."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frames: int) -> None:
        self.info = sp.SourceInfo(
            shape=(16, 16),
            dtype=np.dtype(np.uint32),
            axes="yx",
            identity=f"numbers:{frames}",
            frames=frames,
            random_access=True,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame]:
        """Yield all from ``start`` on."""
        for index in range(start, self.info.frames or 0):
            yield self.read(index)

    def read(self, index: int) -> sp.Frame:
        """Return the frame at ``index``."""
        return sp.Frame(np.full((16, 16), index, np.uint32), index)

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


def nap(image: NDArray[np.uint32], mean: float) -> float:
    """Sleep for half to one and a half times the mean, as the number says."""
    chance = xxhash.xxh3_64_intdigest(image[0, 0].tobytes()) / 2**64
    seconds = mean * (0.5 + chance)
    time.sleep(seconds)
    return seconds


def number(image: NDArray[np.uint32]) -> int:
    """Return the frame's number: a task of next to nothing."""
    return int(image[0, 0])


@dataclass
class Load:
    """What one run took."""

    fps: float
    #: the part of a core that each thread of this process took, by its name
    threads: dict[str, float]
    #: the part that all worker processes took together, in cores
    workers: float


def sleep_through(mean: float, frames: int, folder: Path, workers: Any) -> Load:
    """Run kernels that sleep on a cluster of our own."""
    raw = sp.open(Numbers(frames))
    slept = raw.map(nap, kind="value", parameters={"mean": mean}, name="slept")
    run = sp.start({"slept": slept}, to=folder / "run", executor={"dask": workers})
    # from a tenth on, when batches have found their size, until nearly the end
    first, last = frames // 10, frames * 9 // 10
    _wait(run, lambda: run.metrics.committed_here >= first)
    before, done, start = _used(), run.metrics.committed_here, time.perf_counter()
    _wait(run, lambda: run.metrics.committed_here >= last)
    after, seconds = _used(), time.perf_counter() - start
    fps = (run.metrics.committed_here - done) / seconds
    run.wait()
    part = {name: (used - before[name]) / seconds for name, used in after.items()}
    return Load(fps, part, part.pop("workers"))


def _used() -> dict[str, float]:
    """Return processor seconds by name of thread, and those of all children."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = defaultdict(float)
    here = psutil.Process()
    for thread in here.threads():
        used = thread.user_time + thread.system_time
        found[names.get(thread.id, "others")] += used
    for child in here.children(recursive=True):
        used_there = child.cpu_times()
        found["workers"] += used_there.user + used_there.system
    return found


def _wait(run: sp.Run, until: Callable[[], bool]) -> None:
    while run.is_alive and not until():
        time.sleep(_LOOK)


def bench_scaling(root: Path, seconds: float, processes: int = PROCESSES) -> None:
    """Tell frames/s and processor time against the ideal, by mean duration."""
    total = processes * THREADS
    workers = {"workers": processes, "threads_per_worker": THREADS}
    print(
        f"\n{processes} worker processes of {THREADS} threads, kernels that sleep; "
        "the engine, the scheduler and the commits in one process.\n"
        "  mean ms   ideal fps   fps    part   scheduler  engine   commits  workers"
        "   (cores)"
    )
    for mean in MEANS:
        ideal = total / mean
        frames = max(int(ideal * seconds), 20)
        load = sleep_through(mean, frames, _empty(root), workers)
        loop = load.threads.get("IO loop", 0.0)
        commits = load.threads.get("streamproc-run", 0.0)
        engine = sum(load.threads.values()) - loop - commits
        part = load.fps / ideal
        print(
            f"  {1e3 * mean:7.0f} {ideal:11.0f} {load.fps:7.0f} {part:7.2f} "
            f"{loop:10.2f} {engine:8.2f} {commits:8.2f} {load.workers:8.2f}"
        )


def bench_tasks(root: Path, tasks: int) -> None:
    """Tell the memory of the process with engine and scheduler as tasks go by.

    Batches are kept from growing: every frame is a task.
    """
    batches.FRAMES = 1
    saved = {"number": sp.open(Numbers(tasks)).map(number, kind="value")}
    workers = {"workers": 2, "threads_per_worker": 4}
    run = sp.start(saved, to=_empty(root) / "run", executor={"dask": workers})
    process = psutil.Process()
    print("\nmemory of the process that holds engine and scheduler, by tasks done")
    for mark in (round(part * tasks) for part in MARKS):
        _wait(run, lambda mark=mark: run.metrics.committed_here >= mark)  # type: ignore[misc]  # mypy: default args
        print(f"  {mark:8d} {process.memory_info().rss / 1e6:8.1f} MB")
    print(f"  {run.wait().fps:.0f} tasks/s")


def _empty(root: Path) -> Path:
    folder = root / "scaling"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
