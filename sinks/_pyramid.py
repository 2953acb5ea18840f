"""The next smaller level of a picture: y and x halved, rounded up."""

import cv2
import numpy as np

from streamproc.frame import Array

_OPENCV = frozenset({"u1", "u2", "i2", "f4", "f8"})


def halve_image(pixels: Array) -> Array:
    """Return the mean of each 2 x 2 pixels, in the same dtype.

    Integers are rounded half up. An odd last row or column counts twice.
    """
    height, width = pixels.shape[-2:]
    if height % 2 or width % 2:
        edges = [(0, 0)] * (pixels.ndim - 2) + [(0, height % 2), (0, width % 2)]
        pixels = np.pad(pixels, edges, mode="edge")
        height, width = pixels.shape[-2:]
    if pixels.dtype.str[1:] not in _OPENCV or not pixels.dtype.isnative:
        return _halve_numpy(pixels)
    planes = pixels.reshape(-1, height, width)
    half = np.empty((len(planes), height // 2, width // 2), pixels.dtype)
    size = (width // 2, height // 2)
    for plane, out in zip(planes, half, strict=True):
        cv2.resize(plane, size, dst=out, interpolation=cv2.INTER_AREA)
    return half.reshape(*pixels.shape[:-2], height // 2, width // 2)


def halve_labels(pixels: Array) -> Array:
    """Return every second row and column: labels are never mixed."""
    return np.ascontiguousarray(pixels[..., ::2, ::2])


def _halve_numpy(pixels: Array) -> Array:
    parts = [pixels[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    kind = pixels.dtype.kind
    if kind == "b":
        return _halve_numpy(pixels.view(np.uint8)).view(np.bool_)
    if kind in "iu":  # the sum of four may not fit, quarters and rests do
        quarters = sum(part >> 2 for part in parts)
        rests = sum((part & 3) for part in parts)
        return np.asarray(quarters + ((rests + 2) >> 2), dtype=pixels.dtype)
    wide = np.float32 if pixels.dtype.itemsize == 2 else pixels.dtype
    mean = sum(part.astype(wide) for part in parts) / 4
    return np.asarray(mean, dtype=pixels.dtype)
