"""Functions that a pipeline imports by name."""

import os
import threading
from typing import Any, Literal, cast

import numpy as np

from tests.arrays import Array


def brighten(image: Array, gain: float = 2) -> Array:
    """Return the image times ``gain``."""
    return np.asarray(image * gain)


def foreground(image: Array) -> Literal["mask"]:
    """Say by its annotation that it gives a mask."""
    # the word is the kind, not the type
    return cast(Literal["mask"], image > image.mean())


def mean(image: Array) -> "Literal['value']":
    """Return one number."""
    return cast(Literal["value"], float(image.mean()))


def plus_total(image: Array, total: dict[str, Any]) -> Array:
    """Return pixels that depend on an ordered value."""
    return np.asarray(image + np.uint16(total["total"]))


def two_rows(value: object) -> list[dict[str, int]]:
    """Return a table of two rows."""
    return [{"a": 1}, {"a": 2}]


def slow_mean(image: Array) -> float:
    """Take 20 ms for a mean."""
    threading.Event().wait(0.02)
    return float(image.mean())


def pid_of(image: Array) -> int:
    """Tell in which process this runs."""
    return os.getpid()


def number_of(image: Array) -> int:
    """Return the first pixel, where some movies have the frame's number."""
    return int(image[0, 0])


def dies_at_seven(image: Array) -> int:
    """Take the process along, on the frame whose first pixel says so."""
    if image[0, 0] == 7:
        os._exit(1)
    return int(image[0, 0])


def fails_at_three(image: Array) -> int:
    """Refuse the frame whose first pixel says so."""
    if image[0, 0] == 3:
        raise ValueError("three")
    return int(image[0, 0])
