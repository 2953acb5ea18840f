"""The same function by hand, in a pool, in dask, in streamz and in the engine."""

import hashlib
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import zarr

from . import ours, peers
from .analysis import Recording, make_recording
from .meter import Flow

Contestant = Callable[[Recording, Path], Flow]
POOL, STREAMZ = "Pool(2)", "streamz.dask"
#: Two workers each, the machine's two cores.
ALL: dict[str, Contestant] = {
    "plain loop": peers.plain_loop,
    POOL: peers.pool,
    "dask Client.map": peers.dask_map,
    STREAMZ: peers.streamz_dask,
    "streamz.dask, numbers": peers.streamz_numbers,
    "ours, inline": partial(ours.engine, executor="inline"),
    "ours, threads": partial(ours.engine, executor={"threads": {"workers": 2}}),
    "ours, dask": partial(ours.engine, executor={"dask": {"workers": 2}}),
}
HEAD = """
{n} frames of {side}² uint16 from an uncompressed zarr array, one Python function for
all: label images to zarr (zstd, level 1), rows to SQLite; median of {rounds} rounds.
Speed and CPU (all processes) are from the first frame to the last result, for all:
pools and clusters were started, and warm. The last column is their start and end.
Ours also synced all results to the disk, hashed them and kept the ledger."""


@dataclass
class Results:
    """What one contestant took, round after round."""

    flows: list[Flow] = field(default_factory=list)
    #: seconds for starting and ending pools and clusters
    around: list[float] = field(default_factory=list)
    digest: str = ""

    @property
    def fps(self) -> float:
        """Median frames per second."""
        return statistics.median(flow.fps for flow in self.flows)

    @property
    def cpu_ms(self) -> float:
        """Median processor milliseconds per frame."""
        return statistics.median(flow.cpu_ms for flow in self.flows)


def compete(
    recording: Recording, names: Iterable[str], rounds: int, root: Path
) -> dict[str, Results]:
    """Let contestants take turns.

    Raises
    ------
    RuntimeError
        They do not all find the same.
    """
    results = {name: Results() for name in names}
    for number in range(rounds):
        for name, found in results.items():
            with scratch(root) as folder:
                start = time.perf_counter()
                flow = ALL[name](recording, folder)
                found.around.append(time.perf_counter() - start - flow.seconds)
                found.flows.append(flow)
                if not number:
                    found.digest = digest(folder)
    if len({found.digest for found in results.values()}) > 1:
        told = {name: found.digest for name, found in results.items()}
        raise RuntimeError(f"results differ: {told}")
    return results


def digest(folder: Path) -> str:
    """Return what tells apart label images and rows that differ."""
    run = folder / "run"
    images = run / "images.ome.zarr" / "source" / "labels" / "nuclei" / "0"
    is_ours = run.exists()
    labels = zarr.open_array(images if is_ours else folder / "labels.zarr", mode="r")
    found = hashlib.sha256()
    for number in range(labels.shape[0]):
        found.update(labels[number].tobytes())  # type: ignore[union-attr]
    database = run / "run.sqlite" if is_ours else folder / "cells.sqlite"
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT * FROM cells ORDER BY frame, label").fetchall()
    found.update(repr(rows).encode())
    return f"{len(rows)} rows, {found.hexdigest()[:12]}"


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Give an empty folder, gone afterwards."""
    folder = root / "contest"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bench_peers(root: Path, frames: int, side: int, rounds: int) -> None:
    """Compare all at one size, and our executors at twice the side."""
    recording = make_recording(root / "recording.zarr", frames, side)
    found = compete(recording, ALL, rounds, root)
    print(HEAD.format(n=frames, side=side, rounds=rounds))
    _table(found)
    fps = {name: each.fps for name, each in found.items()}
    streams = max(fps[name] for name in fps if name.startswith(STREAMZ))
    cpu = found["ours, dask"].cpu_ms / found["plain loop"].cpu_ms
    print(f"  threads / {POOL} {fps['ours, threads'] / fps[POOL]:.2f}")
    print(f"  dask / {POOL} {fps['ours, dask'] / fps[POOL]:.2f}")
    print(f"  dask / the better {STREAMZ} {fps['ours, dask'] / streams:.2f}")
    print(f"  CPU per frame, dask / plain loop {cpu:.2f}")
    shutil.rmtree(recording.path)
    large = make_recording(root / "large.zarr", max(frames // 2, 1), 2 * side)
    found = compete(large, ["ours, threads", "ours, dask"], rounds, root)
    print(f"\n{large.frames} frames of {large.side}² uint16, the same")
    _table(found)
    ratio = found["ours, dask"].fps / found["ours, threads"].fps
    print(f"  dask / threads {ratio:.2f}")


def _table(found: Mapping[str, Results]) -> None:
    for name, each in found.items():
        speeds = [flow.fps for flow in each.flows]
        print(
            f"  {name:22s} {each.fps:7.1f} fps ({min(speeds):.1f} to "
            f"{max(speeds):.1f}) {each.cpu_ms:7.2f} ms CPU "
            f"{statistics.median(each.around):6.1f} s"
        )
