"""Functions that a pipeline imports by name."""

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
