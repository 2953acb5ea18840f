"""One whole pipeline three ways: ours, scipy with scikit-image, and OpenCV by hand.

Smooth by 2 pixels, Otsu, opening, label, then area, centroid and mean of each object:
on one core, in turns, and ours on two threads besides.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import filters, measure, morphology

import streamproc as sp
from streamproc.executors import kept_memory
from streamproc.frame import FrameRef
from streamproc.plan import make_plan
from streamproc.stage import Stage
from tests.benchmarks.memory import Memory

Image = NDArray[np.uint16]
Columns = dict[str, NDArray[Any]]
Way = Callable[[Image], Columns]

SCIPY, OPENCV = "scipy, scikit-image", "OpenCV"
PLAIN, STAGE = "ours, plain functions", "ours, one stage"
#: Times as fast as the other, asked: without background, and with.
ASKED = {(STAGE, SCIPY): (10, 11), (STAGE, OPENCV): (3, None)}
NAMES = ("area", "y", "x", "mean")
PROPERTIES = ("area", "centroid", "mean_intensity")
_OURS = ("area", "centroid_y", "centroid_x", "mean_intensity")
#: Side of the box of the top-hat that takes the background off.
BOX = 51


def plain(image: Image, background: bool = False, whole: bool = False) -> Columns:
    """Ours, function by function; ``whole`` rounds the smoothed grey levels."""
    flat = image
    if background:
        flat = sp.ops.white_tophat(image, radius=BOX // 2, shape="box")
    smooth: NDArray[Any] = sp.ops.gaussian(flat, sigma=2)
    if whole:
        smooth = np.rint(smooth).astype(np.uint16)
    mask = sp.ops.threshold(smooth, method="otsu")
    labels = sp.ops.label(sp.ops.binary_opening(mask, radius=1))
    table = sp.ops.measure(labels, image, properties=PROPERTIES)
    return {n: table[c].to_numpy() for n, c in zip(NAMES, _OURS, strict=True)}


def scientific(image: Image, background: bool = False) -> Columns:
    """As one writes it with scipy and scikit-image."""
    flat = ndimage.white_tophat(image, size=BOX) if background else image
    smooth = ndimage.gaussian_filter(flat, 2, output=np.float32)
    mask = smooth > filters.threshold_otsu(smooth)  # type: ignore[no-untyped-call]  # untyped
    mask = ndimage.binary_opening(mask, morphology.disk(1))  # type: ignore[no-untyped-call]  # untyped
    labels = measure.label(mask)  # type: ignore[no-untyped-call]  # untyped
    asked = ("area", "centroid", "intensity_mean")
    table = measure.regionprops_table(labels, image, properties=asked)  # type: ignore[no-untyped-call]  # untyped
    return dict(zip(NAMES, table.values(), strict=True))


def by_hand(image: Image) -> Columns:
    """As a careful colleague writes it with OpenCV."""
    smooth = cv2.GaussianBlur(image, (0, 0), 2, borderType=cv2.BORDER_REFLECT)
    _, mask = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cross)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
    inside = mask != 0
    sums = np.bincount(labels[inside], image[inside], count)[1:]
    area = stats[1:, cv2.CC_STAT_AREA]
    columns = (area, centres[1:, 1], centres[1:, 0], sums / area)
    return dict(zip(NAMES, columns, strict=True))


def stage(image: Image, background: bool = False) -> Stage:
    """Return the steps of `plain` as the engine runs them."""
    raw = sp.open(Memory(1, image))
    flat: sp.Image = raw
    if background:
        flat = raw.white_tophat(radius=BOX // 2, shape="box")
    mask = flat.gaussian(sigma=2).threshold("otsu").binary_opening(radius=1)
    cells = mask.label().measure(raw, properties=PROPERTIES, name="cells")
    made = make_plan(raw.graph, {}, [cells.step]).segments[0].stage
    if made is None:
        raise RuntimeError("the plan has no stage")
    instructions = tuple(
        replace(i, drops=tuple(n for n in i.drops if n != "cells"))
        for i in made.instructions
    )
    return replace(made, instructions=instructions, keep=("cells",))


def staged(made: Stage) -> Way:
    """Return a stage as a function of a frame."""

    def way(image: Image) -> Columns:
        found = made(FrameRef(0, 0, None, None, None, pixels=image), {}, {})
        if found.error is not None:
            raise RuntimeError(found.error)
        columns = found.values["cells"].columns
        return {n: columns[c] for n, c in zip(NAMES, _OURS, strict=True)}

    return way


@kept_memory()
def bench_chain(side: int, rounds: int) -> None:
    """Compare and time the ways, without and with a top-hat before them.

    Memory is kept for all of them, as it is while a run is on.
    """
    cv2.setNumThreads(1)
    image = sp.testing.frames(1, shape=(side, side), seed=1)[0]
    for background in (False, True):
        made = stage(image, background)
        ways: dict[str, Way] = {
            SCIPY: lambda i, b=background: scientific(i, b),  # type: ignore[misc]  # mypy: default args
            PLAIN: lambda i, b=background: plain(i, b),  # type: ignore[misc]  # mypy: default args
            STAGE: staged(made),
        }
        if not background:
            ways[OPENCV] = by_hand
        what = f", top-hat of a {BOX} box first" if background else ""
        print(f"\nwhole pipeline, {side}² uint16{what}; CPU on one core")
        told = {name: way(image) for name, way in ways.items()}
        cost = in_turns(ways, image, rounds)
        for name in ways:
            ratio = cost[SCIPY] / cost[name]
            # OpenCV rounds before it looks for the threshold
            to = plain(image, whole=True) if name == OPENCV else told[SCIPY]
            said = differences(to, told[name])
            print(f"  {name:22s} {cost[name]:7.2f} ms  {ratio:5.1f}x  {said}")
        for (one, other), asked in ASKED.items():
            if other in cost and asked[background] is not None:
                ratio = cost[other] / cost[one]
                print(f"  {one} / {other} {ratio:.1f} (asked: {asked[background]})")
        # OpenCV's calls hold no lock: what the machine lets two threads do
        for name, note in ((STAGE, " (asked: 1.8)"), (OPENCV, "")):
            if name in ways:
                ratio = two_threads(ways[name], image, rounds)
                print(f"  two threads / one, {name} {ratio:.2f}{note}")


def in_turns(ways: Mapping[str, Way], image: Image, rounds: int) -> dict[str, float]:
    """Return medians of CPU milliseconds per frame.

    What another way left behind, garbage and cold caches, is nobody's time: a turn
    begins with a frame that is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            repeats = 1 if name == SCIPY else 10
            gc.collect()
            way(image)
            start = time.process_time()
            for _ in range(repeats):
                way(image)
            times[name].append((time.process_time() - start) / repeats * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}


def two_threads(way: Way, image: Image, rounds: int, frames: int = 40) -> float:
    """Return how many times as fast two threads are as one, by the clock."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, into in speeds.items():
            with ThreadPoolExecutor(workers) as pool:
                start = time.perf_counter()
                list(pool.map(way, [image] * frames))
                into.append(frames / (time.perf_counter() - start))
    return statistics.median(speeds[2]) / statistics.median(speeds[1])


def differences(expected: Columns, found: Columns) -> str:
    """Return in words how far the objects of two ways are apart."""
    counts = len(expected["area"]), len(found["area"])
    if counts[0] != counts[1]:
        return f"{counts[1]} objects in place of {counts[0]}"
    expected, found = (_in_order(columns) for columns in (expected, found))
    same = np.logical_and.reduce(
        [np.isclose(expected[n], found[n], rtol=1e-9, atol=0) for n in NAMES]
    )
    if same.all():
        return f"{counts[0]} objects, equal"
    apart = np.abs(expected["area"] - found["area"]).max()
    return f"{counts[0]} objects, {(~same).sum()} of them by up to {apart} px"


def _in_order(columns: Columns) -> Columns:
    """Return the objects by their places: OpenCV numbers them in its own order."""
    order = np.lexsort((columns["x"], columns["y"]))
    return {name: np.asarray(column)[order] for name, column in columns.items()}
