"""Functions that a pipeline imports by name."""

import multiprocessing
import os
import time
from collections.abc import Sequence
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


def level(image: Array, one_in: int = 23) -> float:
    """Return the mean; fail on about one frame in so many."""
    if int(image.astype(np.float64).sum()) % one_in == 0:
        raise ValueError(f"the sum is a multiple of {one_in}")
    return float(image.mean())


def contrast(image: Array, other: Array) -> Array:
    """Return the difference of two images."""
    return np.asarray(image.astype(np.float32) - other.astype(np.float32))


def spread(table: Any) -> dict[str, float]:
    """Return the number of rows and the extent of their areas."""
    areas = table.get("area", default=np.zeros(1))
    return {"rows": len(table), "spread": float(np.ptp(areas)) if len(areas) else 0.0}


def shifted(image: Array, value: Any) -> Array:
    """Return the image plus a value: a number, or the sum of several."""
    numbers = value.values() if isinstance(value, dict) else [value]
    return np.asarray(image + np.float32(sum(numbers)))


def number(
    image: Array, fails: Sequence[int] = (), dies: Sequence[int] = ()
) -> "Literal['value']":
    """Return the first pixel, in its time; end the process on some, if it may."""
    time.sleep(0.02)
    number = int(image[0, 0])
    if number in dies and multiprocessing.parent_process() is not None:
        os._exit(1)
    if number in fails or number in dies:
        raise ValueError(f"fails on {number}")
    return cast(Literal["value"], number)


def lift(image: Array, *, by: int = 1) -> Array:
    """Return the image with ``by`` added: an operator as a plugin brings it."""
    return np.asarray(image + np.uint16(by))


def slow(image: Array, seconds: float = 0.012) -> Array:
    """Return the image, later: more than a worker can do while a camera goes on."""
    time.sleep(seconds)
    return np.asarray(image)


def picky(image: Array) -> Array:
    """Return the image, later; fail on about one frame in nine."""
    if int(image.astype(np.int64).sum()) % 9 == 0:
        raise ValueError("one in nine")
    return slow(image)


def odd_total_fails(image: Array, total: dict[str, Any]) -> Array:
    """Return pixels that depend on an ordered value; fail at one in six."""
    if total["total"] % 6 == 3:
        raise ValueError("not this total")
    return plus_total(image, total)
