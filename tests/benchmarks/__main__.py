"""Measure, in one run: ``python tests/benchmarks [WHAT …] [--frames N] [--rounds N]``.

Every figure is the median of rounds in which all contestants take turns, so that a
busy moment of the machine hits them alike; ratios are what counts.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# the CPU time of one core: threads of BLAS that wait for work would count, too
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import streamproc as sp
from streamproc.store.layout import ArrayLayout
from streamproc.store.platform import NATIVE, aligned_empty
from streamproc.store.shards import ShardWriter

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import peers
from tests.benchmarks.analysis import Recording, make_recording
from tests.benchmarks.chain import bench_chain
from tests.benchmarks.contest import bench_peers
from tests.benchmarks.dashboard import bench_stalled, bench_viewers
from tests.benchmarks.live import bench_live
from tests.benchmarks.memory import Memory
from tests.benchmarks.operators import bench_operators
from tests.benchmarks.scaling import bench_scaling, bench_tasks
from tests.benchmarks.steady import bench_steady

Result = dict[str, float]


def nothing(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image: an empty operator."""
    return image


def spin(image: NDArray[Any]) -> NDArray[Any]:
    """Burn 10 ms of pure Python, holding the GIL."""
    end = time.thread_time() + 0.010
    while time.thread_time() < end:
        pass
    return image


def cpu() -> float:
    """Return CPU seconds of this process and of its children that ended."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Give an empty folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main_job(recording: Recording, folder: Path, executor: str, window: bool) -> int:
    """Run our own operators, which find what `analysis.analyse` finds."""
    raw = sp.open(recording.path)
    flat = raw.background(window=50, every=25) if window else raw
    labels = flat.gaussian(sigma=2).threshold("otsu").binary_opening(radius=1).label()
    cells = labels.measure(properties=["area", "centroid", "bbox"])
    save = {"nuclei": labels, "cells": cells}
    return sp.run(save, to=folder / "run", executor=executor).objects


def rounds(
    contestants: dict[str, Callable[[Path], object]], frames: int, n: int, root: Path
) -> dict[str, Result]:
    """Let all take turns ``n`` times; return medians of frames/s and CPU ms/frame."""
    speed: dict[str, list[float]] = {name: [] for name in contestants}
    load: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(n):
        for name, run in contestants.items():
            with scratch(root) as folder:
                before, start = cpu(), time.perf_counter()
                run(folder)
                speed[name].append(frames / (time.perf_counter() - start))
                load[name].append((cpu() - before) / frames * 1e3)
    return {
        name: {
            "fps": statistics.median(speed[name]),
            "cpu_ms": statistics.median(load[name]),
        }
        for name in contestants
    }


def bench_executors(root: Path, frames: int, side: int, n: int) -> None:
    """Compare our operators on executors with OpenCV by hand."""
    movie = make_recording(root / f"movie{side}.zarr", frames, side)
    workers = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2
    contestants: dict[str, Callable[[Path], object]] = {
        "plain loop": lambda d: peers.plain_loop(movie, d),
        f"Pool({workers})": lambda d: peers.pool(movie, d, workers),
        "inline": lambda d: main_job(movie, d, "inline", False),
        "threads": lambda d: main_job(movie, d, "threads", False),
        "inline, background": lambda d: main_job(movie, d, "inline", True),
        "threads, background": lambda d: main_job(movie, d, "threads", True),
    }
    main_job(movie, root / "warm", "inline", True)
    found = rounds(contestants, frames, n, root)
    print(f"\nexecutors, {frames} frames of {side}² uint16, median of {n} rounds")
    for name, result in found.items():
        print(f"  {name:22s} {result['fps']:8.1f} fps  {result['cpu_ms']:6.2f} ms CPU")
    ratio = found["threads"]["fps"] / found["inline"]["fps"]
    head = found["threads, background"]["fps"] / found["inline, background"]["fps"]
    peer = found["threads"]["fps"] / found[f"Pool({workers})"]["fps"]
    print(
        f"  threads / inline {ratio:.2f}; with background {head:.2f}; / Pool {peer:.2f}"
    )


def bench_engine(root: Path, frames: int, n: int) -> None:
    """Measure the engine alone: an empty operator, the ledger on, nothing saved."""
    pixels = np.zeros((512, 512), np.uint16)
    contestants: dict[str, Callable[[Path], object]] = {
        name: lambda d, name=name: sp.run(  # type: ignore[misc]  # mypy: default args
            sp.open(Memory(frames, pixels)).map(nothing), to=d / "run", executor=name
        )
        for name in ("inline", "threads")
    }
    found = rounds(contestants, frames, n, root)
    print(f"\nengine alone, {frames} frames of 512², start and end included")
    for name, result in found.items():
        print(f"  {name:10s} {result['cpu_ms'] * 1e3:6.1f} µs CPU per frame")


def bench_writing(root: Path, frames: int, n: int) -> None:
    """Compare the shard appender with raw aligned writes of the same bytes."""
    pixels = np.random.default_rng(0).integers(0, 4000, (2048, 2048), dtype=np.uint16)
    raw = aligned_empty(pixels.nbytes)
    raw[:] = pixels.reshape(-1).view(np.uint8)

    def plain(folder: Path) -> None:
        fd = NATIVE.open(folder / "raw", create=True)
        NATIVE.resize_sparse(fd, frames * len(raw))
        for number in range(frames):
            NATIVE.write_at(fd, raw, number * len(raw))
            if number % 8 == 7:
                NATIVE.sync(fd)
        NATIVE.sync(fd)
        os.close(fd)

    def ours(folder: Path) -> None:
        layout = ArrayLayout.of("0", pixels.shape, pixels.dtype, "none", axes="yx")
        writer = ShardWriter(folder, layout, frames_hint=frames)
        for number in range(frames):
            writer.append(number, layout.encode(pixels))
            if number % 8 == 7:
                writer.sync()
                writer.publish()
        writer.close(frames)

    found = rounds({"raw writes": plain, "shards": ours}, frames, n, root)
    print(f"\nwriting {frames} frames of 2048² uint16 (8.4 MB each)")
    for name, result in found.items():
        print(f"  {name:10s} {result['fps'] * 8.39e-3:6.2f} GB/s")
    print(f"  shards / raw {found['shards']['fps'] / found['raw writes']['fps']:.2f}")


def bench_gil(root: Path, frames: int, n: int) -> None:
    """Compare threads with inline when a step is pure Python."""
    pixels = np.zeros((64, 64), np.uint16)
    contestants: dict[str, Callable[[Path], object]] = {
        name: lambda d, name=name: sp.run(  # type: ignore[misc]  # mypy: default args
            sp.open(Memory(frames, pixels)).map(spin), to=d / "run", executor=name
        )
        for name in ("inline", "threads")
    }
    found = rounds(contestants, frames, n, root)
    ratio = found["threads"]["fps"] / found["inline"]["fps"]
    print(f"\n10 ms of pure Python per frame: threads / inline {ratio:.2f}")


def main() -> None:
    """Run all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--fps", type=float, default=20.0, help="live, steady")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="scaling, viewers, stalled: of each"
    )
    parser.add_argument("--processes", type=int, default=8, help="scaling")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks")
    parser.add_argument("--only", nargs="+", default=[], help="operators: their names")
    parser.add_argument("--markdown", type=Path, help="operators: write the table here")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    chosen = given.what or [
        "pipeline",
        "executors",
        "engine",
        "writing",
        "gil",
    ]
    n, frames, side = given.rounds, given.frames, given.side
    benches: dict[str, Callable[[Path], object]] = {
        "pipeline": lambda root: bench_chain(side, n),
        "executors": lambda root: bench_executors(root, frames, side, n),
        "engine": lambda root: bench_engine(root, frames * 50, n),
        "writing": lambda root: bench_writing(root, frames // 2, n),
        "gil": lambda root: bench_gil(root, frames // 2, n),
        "steady": lambda root: bench_steady(root, frames, given.fps),
        "peers": lambda root: bench_peers(root, frames, side, n),
        "live": lambda root: bench_live(root, frames, side, n, given.fps),
        "scaling": lambda root: bench_scaling(root, given.seconds, given.processes),
        "tasks": lambda root: bench_tasks(root, given.tasks),
        "viewers": lambda root: bench_viewers(root, given.seconds, side),
        "stalled": lambda root: bench_stalled(root, given.seconds, side, n),
        "operators": lambda root: bench_operators(given.only, n, given.markdown),
    }
    unknown = set(chosen) - set(benches)
    if unknown:
        parser.error(f"no measurement {', '.join(unknown)}; there are {[*benches]}")
    with scratch(given.folder or Path(tempfile.gettempdir())) as root:
        for name in chosen:
            benches[name](root)


if __name__ == "__main__":
    main()
