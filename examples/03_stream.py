# /// script
# requires-python = ">=3.11"
# dependencies = ["streamproc"]
# ///
"""Committed values as a streamz stream: windows, joins and sinks of your own."""

import argparse

import pandas as pd

import streamproc as sp


def main(executor: str) -> None:
    raw = sp.open({"simulation": {"frames": 30, "shape": [256, 256], "live": False}})
    nuclei = raw.gaussian(sigma=1).threshold("otsu").label(name="nuclei")
    cells = nuclei.measure(raw, name="cells")

    # what hangs here sees each frame's table once it is on disk, in frame order;
    # it has a thread of its own and cannot stall or break the run
    means: list[float] = []
    counts = cells.stream.map(len)
    counts.sliding_window(5, return_partial=False).map(average).sink(means.append)
    seen: list[pd.DataFrame] = []
    cells.stream.sink(seen.append)

    run = sp.start(
        {"nuclei": nuclei, "cells": cells}, "example_stream", executor=executor
    )
    report = run.wait()

    print(f"{len(seen)} tables seen, {report.frames.done} frames done")
    print("mean count over 5 frames:", means[:3], "…")
    print("results:", report.path)


def average(numbers: tuple[int, ...]) -> float:
    return sum(numbers) / len(numbers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="threads")
    main(parser.parse_args().executor)
