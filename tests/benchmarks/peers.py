"""What a user would write by hand: a loop, a process pool, dask, streamz.

The workers of all of them read frames and write label images themselves; rows go to
SQLite here. Only streamz, as its documentation shows it, is given the pixels.
"""

import multiprocessing
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import streamz  # type: ignore[import-untyped]
from distributed import Client, LocalCluster, as_completed

from . import analysis
from .analysis import COLUMNS, Found, Recording
from .meter import Flow, measured

#: Seconds after which a contestant has failed.
PATIENCE = 300.0
#: Frames that streamz has on the way.
_BUFFER = 8
Rows = list[tuple[Any, ...]]


def begin(recording: str) -> None:
    """Get ready, in each process: what is imported and opened once is no frame's."""
    cv2.setNumThreads(1)
    analysis.analyse(analysis.opened(recording)[0])


def one(recording: str, labels: str, number: int) -> Rows:
    """Read, analyse and save one frame; return its rows."""
    image = analysis.opened(recording)[number]
    return save(labels, number, analysis.analyse(image))


def save(labels: str, number: int, found: Found) -> Rows:
    """Write a label image; return the rows of its table."""
    analysis.opened(labels)[number] = found["labels"]
    columns = [found["cells"][name].tolist() for name in COLUMNS]
    return [(number, n, *row) for n, row in enumerate(zip(*columns, strict=True), 1)]


@contextmanager
def table(path: Path) -> Iterator[Callable[[Rows], None]]:
    """Give what takes rows; they are committed at the end."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as db, db:
        yield inserter(db)


def inserter(db: sqlite3.Connection) -> Callable[[Rows], None]:
    """Make the table; return what puts rows into it."""
    names = ("frame", "label", *COLUMNS)
    db.execute(f"CREATE TABLE cells ({', '.join(names)})")
    text = f"INSERT INTO cells VALUES ({', '.join('?' * len(names))})"

    def insert(rows: Rows) -> None:
        db.executemany(text, rows)

    return insert


def plain_loop(recording: Recording, folder: Path) -> Flow:
    """Analyse and save frame after frame."""
    labels = _labels(recording, folder)
    begin(recording.path)
    with measured(recording.frames) as flow, table(folder / "cells.sqlite") as take:
        for number in range(recording.frames):
            take(one(recording.path, labels, number))
    return flow


def pool(recording: Recording, folder: Path, workers: int = 2) -> Flow:
    """Do the same in a multiprocessing.Pool."""
    labels = _labels(recording, folder)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers + 1)
    with context.Pool(workers, _begin_there, (recording.path, ready)) as processes:
        ready.wait(PATIENCE)
        with measured(recording.frames) as flow, table(folder / "cells.sqlite") as take:
            jobs = ((recording.path, labels, n) for n in range(recording.frames))
            for rows in processes.imap(_one_of, jobs, chunksize=4):
                take(rows)
    return flow


def _begin_there(recording: str, ready: Any) -> None:
    begin(recording)
    ready.wait(PATIENCE)


def _one_of(job: tuple[str, str, int]) -> Rows:
    return one(*job)


def dask_map(recording: Recording, folder: Path, workers: int = 2) -> Flow:
    """Do the same with ``Client.map``, one frame per task."""
    labels = _labels(recording, folder)
    with (
        _client(recording, workers) as client,
        measured(recording.frames) as flow,
        table(folder / "cells.sqlite") as take,
    ):
        futures = client.map(
            lambda number: one(recording.path, labels, number),
            range(recording.frames),
            pure=False,
        )
        done = as_completed(futures, with_results=True, timeout=PATIENCE)  # type: ignore[no-untyped-call]
        for _, rows in done:
            take(rows)
    return flow


def streamz_dask(recording: Recording, folder: Path, workers: int = 2) -> Flow:
    """Do the same with streamz.dask as documented: frames are scattered."""
    labels = _labels(recording, folder)
    array = analysis.opened(recording.path)
    with (
        _client(recording, workers),
        measured(recording.frames) as flow,
        table(folder / "cells.sqlite") as take,
    ):
        _stream(
            (array[number] for number in range(recording.frames)),
            analysis.analyse,
            lambda number, found: take(save(labels, number, found)),
            recording.frames,
        )
    return flow


def streamz_numbers(recording: Recording, folder: Path, workers: int = 2) -> Flow:
    """Do the same with streamz.dask, which is given the numbers of frames only."""
    labels = _labels(recording, folder)
    with (
        _client(recording, workers),
        measured(recording.frames) as flow,
        table(folder / "cells.sqlite") as take,
    ):
        _stream(
            iter(range(recording.frames)),
            lambda number: one(recording.path, labels, number),
            lambda _, rows: take(rows),
            recording.frames,
        )
    return flow


def _stream(
    items: Iterator[Any],
    function: Callable[[Any], Any],
    saved: Callable[[int, Any], None],
    frames: int,
) -> None:
    """Send items through streamz.dask; whatever hangs there is an error here."""
    seen: list[int] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def take(value: Any) -> None:
        saved(len(seen), value)
        seen.append(1)
        if len(seen) == frames:
            ended.set()

    def feed() -> None:
        try:
            for item in items:
                source.emit(item)
        except BaseException as error:  # told by the thread that waits
            errors.append(error)
            ended.set()

    source = streamz.Stream()
    source.scatter().map(function).buffer(_BUFFER).gather().sink(take)
    # a daemon: an emit that hangs cannot be ended
    threading.Thread(target=feed, daemon=True).start()
    if not ended.wait(PATIENCE) or errors:
        raise RuntimeError(f"streamz gave {len(seen)} of {frames}: {errors}")


@contextmanager
def _client(recording: Recording, workers: int) -> Iterator[Client]:
    """Give a warm cluster: processes of one thread, without TLS."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        client.run(begin, recording.path)
        yield client


def _labels(recording: Recording, folder: Path) -> str:
    path = folder / "labels.zarr"
    analysis.make_labels(path, recording)
    return str(path)
