"""Functions of one pixel's value, computed once per grey level."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..device import array_module
from ..frame import Array
from ._jit import jit


def by_level(image: Array, function: Callable[..., Array], *parameters: Any) -> Array:
    """Return ``function(image, *parameters)``, for 8 and 16 bits from a table.

    ``function`` looks at each value alone and is known by name; ``parameters`` are
    hashable. Its table is kept: frames, and blocks of one, come with the same
    parameters.
    """
    if image.dtype.kind not in "ui" or image.dtype.itemsize > 2:
        return function(image, *parameters)
    xp = array_module(image)
    table = _table(image.dtype.str, function, parameters)
    places = image.view(f"u{image.dtype.itemsize}")
    if xp is not np:
        taken: Array = xp.asarray(table)[places]
        return taken
    out = np.empty(image.shape, table.dtype)
    _look_up(table, places.reshape(-1), out.reshape(-1))
    return out


@lru_cache(maxsize=32)
def _table(
    dtype: str, function: Callable[..., Array], parameters: tuple[Any, ...]
) -> Array:
    """Return the results of all values of a dtype, by their bits."""
    size = np.dtype(dtype).itemsize
    levels = np.arange(256**size).astype(f"u{size}").view(dtype)
    table = function(levels, *parameters)
    table.flags.writeable = False
    return table


@jit
def _look_up(table: Array, places: Array, out: Array) -> None:
    for i in range(places.size):
        out[i] = table[places[i]]
