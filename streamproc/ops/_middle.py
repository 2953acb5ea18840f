"""The median of many frames, pixel by pixel, in little memory beside them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: Pixels whose past is looked at together: it stays in the processor's cache.
_AT_ONCE = 4096


def middle(frames: Sequence[Array]) -> NDArray[np.float64]:
    """Return the median of frames of one shape; NaN where one of them is NaN."""
    out = np.empty(frames[0].shape)
    flat, result = [frame.reshape(-1) for frame in frames], out.reshape(-1)
    for start in range(0, out.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        past = np.stack([frame[part] for frame in flat])
        result[part] = _middle(past)
    return out


def _middle(past: Array) -> NDArray[np.float64]:
    keys = _keys(past)
    upper = np.zeros(past.shape[1], keys.dtype)
    lower = np.zeros_like(upper)
    _select(keys, 8 * keys.itemsize, lower, upper)
    high = _values(upper, past.dtype).astype(np.float64)
    low = high if len(past) % 2 else _values(lower, past.dtype).astype(np.float64)
    found: NDArray[np.float64] = (low + high) / 2
    if past.dtype.kind == "f":
        found[np.isnan(past).any(axis=0)] = np.nan
    return found


def _keys(values: Array) -> Array:
    """Return unsigned numbers in the order of the values."""
    if values.dtype.kind == "u":
        return values
    bits = values.view(f"u{values.itemsize}")
    top = bits.dtype.type(1 << (8 * values.itemsize - 1))
    if values.dtype.kind == "i":
        return np.asarray(bits ^ top)
    return np.where(bits & top, ~bits, bits | top)


def _values(keys: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return the values of `_keys`."""
    if dtype.kind == "u":
        return keys
    top = keys.dtype.type(1 << (8 * keys.itemsize - 1))
    if dtype.kind == "i":
        return np.asarray(keys ^ top).view(dtype)
    return np.asarray(np.where(keys & top, keys ^ top, ~keys)).view(dtype)


@jit
def _select(keys: Array, bits: int, lower: Array, upper: Array) -> None:
    """Find the middle key of each column, and the one before it.

    ``upper`` is the largest number that at most half of the keys lie below: bit by
    bit, from the highest.
    """
    count, width = keys.shape
    half = count // 2
    below = np.zeros(width, np.int32)
    trial = np.zeros_like(upper)
    for bit in range(bits - 1, -1, -1):
        for i in range(width):
            trial[i] = upper[i] | (1 << bit)
            below[i] = 0
        for k in range(count):
            row = keys[k]
            for i in range(width):
                below[i] += row[i] < trial[i]
        for i in range(width):
            upper[i] = trial[i] if below[i] <= half else upper[i]
    below[:] = 0
    for k in range(count):
        row = keys[k]
        for i in range(width):
            below[i] += row[i] < upper[i]
            is_best = lower[i] < row[i] < upper[i]
            lower[i] = row[i] if is_best else lower[i]
    for i in range(width):
        lower[i] = upper[i] if below[i] < half else lower[i]
