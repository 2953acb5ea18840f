"""What a user would write by hand: OpenCV in a plain loop, or in a process pool."""

import multiprocessing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

Rows = NDArray[np.float64]


def analyse(image: NDArray[np.uint16]) -> tuple[NDArray[Any], Rows]:
    """Smooth, Otsu, open, label, measure area, centroid and mean intensity."""
    smooth = cv2.GaussianBlur(image, (0, 0), 2, borderType=cv2.BORDER_REFLECT)
    _, mask = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cross)
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask)
    area = stats[1:, cv2.CC_STAT_AREA]
    total = np.bincount(labels.ravel(), image.ravel(), count)[1:]
    mean = total / np.maximum(area, 1)
    return np.asarray(labels), np.column_stack([area, centroids[1:], mean])


def _one(job: tuple[str, int, str]) -> int:
    movie, number, folder = job
    cv2.setNumThreads(1)
    image = tifffile.imread(movie, key=number)
    labels, rows = analyse(image)
    np.savez_compressed(Path(folder) / f"{number}.npz", labels=labels, rows=rows)
    return len(rows)


def plain_loop(movie: Path, frames: int, folder: Path) -> int:
    """Analyse and save frame after frame; return the number of objects."""
    return sum(_one((str(movie), n, str(folder))) for n in range(frames))


def pool(movie: Path, frames: int, folder: Path, workers: int) -> int:
    """Do the same in a multiprocessing.Pool."""
    jobs = [(str(movie), n, str(folder)) for n in range(frames)]
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        processes.map(abs, range(workers))  # started, as ours is
        return sum(processes.imap(_one, jobs, chunksize=4))
