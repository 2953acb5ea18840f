"""What every executor promises: each result once, windows before their frames."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamproc.errors import FrameError, SourceError
from streamproc.execution.inline import Inline
from streamproc.execution.protocol import Executor, Task, WindowValue
from streamproc.execution.threads import Threads
from streamproc.frame import Frame, FrameRef
from streamproc.ops import subtract_background
from streamproc.stage import Instruction, Result, Stage
from tests.arrays import Array, run_one, simulated


@pytest.fixture
def make(executor: str) -> Callable[[], Executor]:
    return Inline if executor == "inline" else lambda: Threads(3)


def stage(function: Callable[..., Any]) -> Stage:
    mine = Instruction("mine", "value", function, ("source",), {}, "yx", False, True)
    return Stage(0, (mine,), (), ("mine",), ())


def ref(n: int) -> FrameRef:
    pixels = np.full((4, 4), n, np.uint16)
    return FrameRef(n, n, float(n), None, None, pixels=pixels)


def run_all(executor: Executor, tasks: Iterator[Task]) -> list[Result]:
    results: list[Result] = []
    executor.start(results.append)
    for task in tasks:
        executor.submit(task)
    executor.close(30)
    return results


def test_each_result_once(make: Callable[[], Executor]) -> None:
    first = stage(lambda image: int(image[0, 0]))
    results = run_all(make(), (Task(first, ref(n)) for n in range(500)))
    assert sorted(r.frame for r in results) == list(range(500))
    assert all(r.values == {"mine": r.frame} for r in results)
    assert all(r.worker for r in results)


def test_a_function_that_exits_takes_no_worker_with_it(
    make: Callable[[], Executor],
) -> None:
    def leave(image: Any) -> int:
        raise SystemExit(2)

    results = run_all(make(), (Task(stage(leave), ref(n)) for n in range(20)))
    assert {r.error for r in results} == {"step 'mine': SystemExit: 2"}
    assert len(results) == 20


def test_windows_go_before_frames(make: Callable[[], Executor]) -> None:
    flat = Instruction(
        "flat", "image", subtract_background, ("source",), {}, "yx", True, False
    )
    plan = Stage(0, (flat,), (), ("flat",), ())
    executor = make()
    results: list[Result] = []
    executor.start(results.append)
    for block in range(20):
        refs = [ref(block), ref(block + 2)]
        window = WindowValue(("flat", block), refs, first=5 * block)
        executor.submit_window(window)
        for n in range(5):
            executor.submit(Task(plan, ref(5 * block + n), {}, {"flat": window}))
    executor.close(30)
    assert len(results) == 100
    for result in results:
        expected = result.frame - (result.frame // 5 + 1)
        assert (result.values["flat"] == expected).all()


class Slide:
    """A frame on disk that tells when it is read."""

    def __init__(self, number: int, told: Callable[[int], None]) -> None:
        self.number = number
        self.told = told

    def read(self) -> Frame:
        self.told(self.number)
        return Frame(np.full((4, 4), self.number, np.uint16), self.number)


def test_a_window_is_computed_shortly_before_its_frames() -> None:
    events: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def look(image: Any) -> int:
        begun.set()
        go.wait()
        events.append(f"frame {image[0, 0]}")
        return 1

    executor = Threads(1)
    executor.start(lambda result: None)
    plan = stage(look)
    executor.submit(Task(plan, ref(0)))
    begun.wait()
    for n in range(1, 30):
        if n == 20:
            slide = Slide(99, lambda number: events.append("window"))
            refs = [FrameRef(99, 99, None, None, slide)]
            executor.submit_window(WindowValue(("flat", 1), refs, first=20))
        executor.submit(Task(plan, ref(n)))
    go.set()
    executor.close(30)
    before = events.index("window")
    assert events[before - 1] == "frame 15"
    assert len(events) == 31


def test_who_waits_for_a_window_reads_its_frames_meanwhile() -> None:
    first, last = threading.Event(), threading.Event()
    reads: list[int] = []

    def told(number: int) -> None:
        reads.append(number)
        if number == 0:
            first.set()
            last.wait()
        if number == 9:
            last.set()

    refs = [FrameRef(n, n, None, None, Slide(n, told), keep=True) for n in range(10)]
    window = WindowValue(("flat", 0), refs)
    computing = threading.Thread(target=window.compute)
    computing.start()
    first.wait()
    # `compute` waits in frame 0 until frame 9 was read by somebody else
    assert (window.get() == 4.5).all()
    computing.join()
    assert set(reads) == set(range(10))


def test_a_window_that_fails_fails_its_frames() -> None:
    class Torn:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def read(self) -> Frame:
            raise self.error

    def window(error: Exception) -> WindowValue:
        made = WindowValue(("flat", 2), [FrameRef(0, 0, None, None, Torn(error))])
        made.compute()
        return made

    with pytest.raises(
        FrameError, match="background of block 2: the background needs a"
    ):
        window(FrameError("torn")).get()
    with pytest.raises(SourceError, match="shape changed"):
        window(SourceError("shape changed")).get()
    plan = stage(lambda image: 1)
    task = Task(plan, ref(7), {}, {"flat": window(SourceError("shape changed"))})
    result = task.run()
    assert isinstance(result.fatal, SourceError)
    assert result.time == 7.0
    failed = Task(plan, ref(7), {}, {"flat": window(FrameError("torn"))}).run()
    assert (failed.fatal, failed.time) == (None, 7.0)
    assert failed.error is not None
    abandoned = WindowValue(("flat", 0), [])
    abandoned.abandon()
    with pytest.raises(FrameError, match="background was cancelled"):
        abandoned.get()


def test_cancel_forgets_what_waits() -> None:
    executor = Threads(1)
    results: list[Result] = []
    begun, go = threading.Event(), threading.Event()

    def slow(image: Any) -> int:
        begun.set()
        go.wait()
        return 1

    executor.start(results.append)
    for n in range(50):
        executor.submit(Task(stage(slow), ref(n)))
    begun.wait()
    executor.cancel()
    go.set()
    executor.close(30)
    assert len(results) == 1


#: How many pages the system hands out anew where frames follow each other.
_FAULTS = """
import contextlib, resource
import numpy as np
from streamproc.executors import kept_memory

def frames():
    return [np.ones(1 << 17) for _ in range(32)]

with {context}:
    kept = frames()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        kept.clear()
        kept += frames()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="only glibc is told what to keep",
)
def test_frames_use_the_memory_of_those_before() -> None:
    def faults(context: str) -> int:
        code = _FAULTS.format(context=context)
        command = [sys.executable, "-c", code]
        # dask's workers are told by these, and whoever begins them remembers
        usual = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=usual
        )
        return int(done.stdout)

    assert faults("kept_memory()") < 1000 < faults("contextlib.nullcontext()")


def test_what_was_there_before_a_run_is_left_out_of_collections(
    tmp_path: Path,
) -> None:
    counts: list[int] = []

    def count(image: Array) -> int:
        counts.append(gc.get_freeze_count())
        return 0

    run_one(simulated(frames=3).map(count, kind="value"), tmp_path / "run")
    assert min(counts) > 10_000
    assert gc.get_freeze_count() == 0
