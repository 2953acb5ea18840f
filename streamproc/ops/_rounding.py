"""Real numbers as whole ones, without wrapping around."""

from typing import Any, cast

import numpy as np

from ..device import array_module
from ..frame import Array
from ._jit import jit


def whole(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return numbers rounded, and limited to the range of a dtype; 0 for NaN."""
    xp, ends = array_module(values), np.iinfo(dtype)
    if values.dtype.kind != "f":
        own = np.iinfo(values.dtype)
        kind = values.dtype.type
        least, most = kind(max(own.min, ends.min)), kind(min(own.max, ends.max))
        if xp is not np:
            return cast(Array, xp.clip(values, least, most).astype(dtype))
        out = np.empty(values.shape, dtype)
        _limit(values.reshape(-1), least, most, out.reshape(-1))
        return out
    rounded = xp.rint(values)
    if xp.isnan(rounded.min()):
        xp.nan_to_num(rounded, copy=False, posinf=np.inf, neginf=-np.inf)
    kind = rounded.dtype.type
    most = kind(ends.max)
    if int(most) > ends.max:  # rounded up: the next one below fits
        most = np.nextafter(most, kind(0))
    xp.clip(rounded, kind(ends.min), most, out=rounded)
    return cast(Array, rounded.astype(dtype))


@jit
def _limit(values: Array, least: Any, most: Any, out: Array) -> None:
    for i in range(values.size):
        out[i] = min(max(values[i], least), most)
