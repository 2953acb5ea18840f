"""The one function that every contestant calls, and the recording it is called on."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray
from streamproc.sources.simulation import Simulation
from zarr.codecs import ZstdCodec

import streamproc as sp

Found = dict[str, Any]
#: Columns of a row, after frame and label: where it is, how large, its centroid.
COLUMNS = ("left", "top", "width", "height", "area", "centroid_x", "centroid_y")


@dataclass(frozen=True)
class Recording:
    """Frames in an uncompressed zarr array, one chunk each."""

    path: str
    frames: int
    side: int


def analyse(image: NDArray[np.uint16]) -> Found:
    """Smooth, Otsu, open, label; give the labels and their measurements."""
    smooth = cv2.GaussianBlur(image, (0, 0), 2, borderType=cv2.BORDER_REFLECT)
    _, mask = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cross)
    _, labels, stats, centroids = cv2.connectedComponentsWithStats(mask)
    columns = (*stats[1:].astype(np.int64).T, *centroids[1:].T)
    return {
        "labels": np.asarray(labels).view(np.uint32),
        "cells": dict(zip(COLUMNS, columns, strict=True)),
    }


def labels_of(found: Found) -> NDArray[np.uint32]:
    """Return the label image of what was found."""
    return np.asarray(found["labels"])


def cells_of(found: Found) -> dict[str, NDArray[Any]]:
    """Return the table of what was found."""
    return dict(found["cells"])


def make_recording(path: Path, frames: int, side: int) -> Recording:
    """Write simulated nuclei; few are drawn, and shown in turns."""
    simulation = Simulation(min(frames, 50), shape=(side, side), seed=1, live=False)
    array = _create(path, frames, side, np.uint16, None)
    drawn = [f.pixels for f in simulation.frames() if isinstance(f, sp.Frame)]
    for number in range(frames):
        array[number] = drawn[number % len(drawn)]
    return Recording(str(path), frames, side)


def make_labels(path: Path, like: Recording) -> None:
    """Make the array that label images go to, compressed as ours are."""
    _create(path, like.frames, like.side, np.uint32, ZstdCodec(level=1))


@cache
def opened(path: str) -> Any:  # a zarr array
    """Return an array, opened once per process."""
    return zarr.open_array(path, mode="r+")


def _create(path: Path, frames: int, side: int, dtype: Any, codec: Any) -> Any:
    return zarr.create_array(
        str(path),
        shape=(frames, side, side),
        chunks=(1, side, side),
        dtype=dtype,
        compressors=codec,
        dimension_names=("t", "y", "x"),
    )
