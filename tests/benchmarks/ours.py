"""The engine on the same function, through `map`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamproc as sp

from . import analysis
from .analysis import Recording
from .meter import Flow, cpu_seconds

#: Seconds between two looks at a run.
_LOOK = 0.01


def graph(raw: sp.Image) -> dict[str, sp.Handle]:
    """Return what is saved: one function gives the labels and their table."""
    found = raw.map(analysis.analyse, kind="value")
    return {
        "nuclei": found.map(analysis.labels_of, kind="labels"),
        "cells": found.map(analysis.cells_of, kind="table"),
    }


def engine(
    recording: Recording, folder: Path, executor: str | Mapping[str, Any]
) -> Flow:
    """Run the engine; time runs from the first admission to the last commit."""
    saved = graph(sp.open(recording.path))
    # the others write no smaller copies of their labels
    store = {"pyramid": False}
    run = sp.start(saved, to=folder / "run", executor=executor, store=store)
    flow = Flow(recording.frames)
    _wait(run, lambda: run.metrics.counters.admitted > 0)
    before = cpu_seconds()
    _wait(run, lambda: run.metrics.committed_here == recording.frames)
    flow.cpu = cpu_seconds() - before
    run.wait()
    frames = sp.load(folder / "run").frames
    flow.seconds = frames["committed_at"].max() - frames["admitted_at"].min()
    return flow


def _wait(run: sp.Run, until: Any) -> None:
    while run.is_alive and not until():
        time.sleep(_LOOK)
