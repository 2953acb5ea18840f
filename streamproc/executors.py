"""The executor that a run asks for, and what this process is set to while it is on."""

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

from .config import Options
from .execution.inline import Inline
from .execution.protocol import Executor
from .execution.threads import Threads
from .frame import Source
from .stage import Stage

#: Threads that run pure Python must not keep a commit waiting for the GIL.
_SWITCH_INTERVAL = 0.0005
#: glibc's numbers of what `kept_memory` sets, and bytes; workers of dask are given the
#: same. 32 MiB is the largest array that it keeps.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 128 << 20), (-3, 32 << 20)


def make_executor(options: Options, stage: Stage | None, source: Source) -> Executor:
    """Return the executor; ``stage`` and ``source`` are what its workers get ready for.

    dask is imported only where it is asked for.
    """
    if options.executor_name == "inline":
        return Inline()
    parameters = options.executor_parameters
    if options.executor_name == "threads":
        return Threads(parameters["workers"] or available_cores())
    from .execution.cluster import ClusterOptions, refuse_insecure
    from .execution.dask import Dask

    chosen = ClusterOptions(**parameters)
    if chosen.scheduler is not None:
        refuse_insecure(chosen.scheduler, insecure=chosen.insecure)
    return Dask(chosen, available_cores(), stage=stage, source=source)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def quick_switching() -> Iterator[None]:
    """Let a thread that waits for the GIL have it soon, while a run is on."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from starting threads beside ours."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Keep the memory of frames that are done for the next ones, while a run is on.

    The system hands out pages cleared, one by one: up to a fifth of all processor time
    where each array is new. Only glibc is told so; other systems keep what they wish.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):
        yield
        return
    for setting in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
        libc.mallopt(*setting)
    try:
        yield
    finally:
        libc.malloc_trim(0)


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Leave what was imported before out of garbage collections, while a run is on.

    Python looks at every object again and again: a tenth of a second each time, in
    which no frame gets on.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
