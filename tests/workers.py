"""Dask workers beside the tests: functions for them, clusters, and their processes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client

import streamproc as sp
from tests.arrays import segmented

TWO: dict[str, Any] = {"dask": {"workers": 2}}

#: A module that workers can import, wherever the tests and the package lie.
FUNCTIONS = """
import os, re, time
import numpy as np
import streamproc as sp

class Sticky:
    \"\"\"Frames of one grey level each; the third can only be read at home.\"\"\"

    suffixes = ()

    def __init__(self, home):
        self.home = home
        self.info = sp.SourceInfo(
            shape=(32, 32), dtype=np.dtype("uint16"), axes="yx", identity="sticky",
            frames=8, random_access=True,
        )

    def frames(self, start=0):
        yield from (self.read(n) for n in range(start, 8))

    def read(self, index):
        while index == 3 and os.getpid() != self.home:
            time.sleep(1)
        return sp.Frame(np.full((32, 32), index, np.uint16), index)

    def stop(self):
        pass

    def close(self):
        pass

def slow_mean(image):
    time.sleep(0.02)
    return float(image.mean())

def slow_number(image):
    time.sleep(0.05)
    return int(image[0, 0])

def pid(image):
    return os.getpid()

def number(image):
    return int(image[0, 0])

def dies_at_seven(image):
    if image[0, 0] == 7:
        os._exit(1)
    return int(image[0, 0])

def fails_at_three(image):
    if image[0, 0] == 3:
        raise ValueError("three")
    return int(image[0, 0])

def hangs_at_seven(image):
    while image[0, 0] == 7:
        time.sleep(1)
    return int(image[0, 0])

def hangs_once(image):
    flag = os.environ["FLAG_OF_MINE"]
    if image[0, 0] == 20 and not os.path.exists(flag):
        open(flag, "x").close()
        time.sleep(1000)
    return int(image[0, 0])

def hangs_at_one(image):
    while image[0, 0] == 1:
        time.sleep(1)
    return int(image[0, 0])

def keeps_the_gil_at_seven(image):
    if image[0, 0] == 7:
        re.match("(a+)+$", 50 * "a" + "b")
    return int(image[0, 0])

def fills_memory_at_33(image):
    held = []
    while image[0, 0] == 33 and len(held) < 100:
        held.append(bytearray(os.urandom(1 << 20)) * 32)
        time.sleep(0.01)
    return len(held)

class SaysWhere:
    # leaves a file for each process that it reaches

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, image):
        return image

    def __setstate__(self, state):
        vars(self).update(state)
        open(os.path.join(self.folder, str(os.getpid())), "w").close()
"""


def analysed(raw: sp.Image) -> dict[str, sp.Handle]:
    """Return a graph with all kinds of steps: windowed, parallel, ordered, a map."""
    labels, cells = segmented(raw.background(window=10, every=5))
    return {
        "flat": raw.background(window=10, every=5, name="again"),
        "nuclei": labels,
        "cells": cells,
        "count": cells.running_count(),
        "mean": raw.map(np.mean, kind="value"),
    }


def frames_of(run: Path) -> list[tuple[Any, ...]]:
    """Return number, state and error of every frame."""
    frames = sp.load(run).frames
    return list(zip(frames["frame"], frames["state"], frames["error"], strict=True))


@contextmanager
def begun(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module beside the tests; it does not outlive them."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # it waits for what hangs
                process.kill()


PLACE = ("--host", "127.0.0.1", "--no-dashboard", "--nthreads", "1")


@contextmanager
def scheduler(
    tmp_path: Path, workers: int = 2
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run ``dask scheduler`` and workers beside the tests."""
    told = tmp_path / "scheduler.json"
    place = [*PLACE[:3], "--port", "0", "--scheduler-file", str(told)]
    pause = threading.Event()
    with begun("distributed.cli.dask_scheduler", *place) as head, ExitStack() as stack:
        # it is there before it is written
        while head.poll() is None and not (told.exists() and told.read_text()):
            pause.wait(0.02)
        address = str(json.loads(told.read_text())["address"])
        for _ in range(workers):
            stack.enter_context(worker(address, cwd=tmp_path))
        if workers:
            wait_for_workers(address, workers)
        yield address, head


@contextmanager
def worker(
    address: str, *arguments: str, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dask worker`` beside the tests."""
    module = "distributed.cli.dask_worker"
    with begun(module, *PLACE, *arguments, address, **options) as process:
        yield process


def wait_for_workers(address: str, count: int) -> None:
    """Wait until a cluster has so many workers."""
    with Client(address, timeout=60, set_as_default=False) as seen:  # type: ignore[no-untyped-call]
        seen.wait_for_workers(count, timeout=60)


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the worker processes of a process."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has just ended
            continue
    return found


def is_over(process: psutil.Process) -> bool:
    """Tell whether a process has ended, though nobody may have asked how."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
