"""Small images to test operators with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

Array = NDArray[Any]

DTYPES = ("uint8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64")
BIG_ENDIAN = (">u2", ">i4", ">f4", ">f8")
SHAPES = ((1, 1), (1, 9), (7, 1), (5, 3), (33, 48))
VOLUMES = ((1, 1, 1), (2, 1, 6), (7, 12, 9))

SHARED = Path(__file__).parents[3] / "shared" / "data"


def smooth(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> Array:
    """Blobs on noise, read-only, using most of 8 bits or of 12."""
    rng = np.random.default_rng([seed, *shape])
    field = ndimage.gaussian_filter(rng.random(shape), 1.5, mode="wrap")
    field = (field - field.min()) / (float(np.ptp(field)) or 1.0)
    levels = 250 if np.dtype(dtype).itemsize == 1 else 4000
    image: Array = (field * levels + rng.random(shape)).astype(dtype)
    image.flags.writeable = False
    return image


def blobs(shape: tuple[int, ...], seed: int = 0) -> Array:
    """A mask, uint8 0/1, of about half foreground, read-only."""
    image = smooth(shape, "float64", seed)
    mask: Array = (image > np.median(image)).astype(np.uint8)
    mask.flags.writeable = False
    return mask


def extreme(dtype: str) -> list[Array]:
    """Zeros, one level, saturated, and both ends of the dtype side by side."""
    d = np.dtype(dtype)
    low, high = (0, 1) if d.kind == "f" else (np.iinfo(d).min, np.iinfo(d).max)
    ends = np.full((9, 11), low, d)
    ends[3:6, 4:8] = high
    return [
        np.zeros((9, 11), d),
        np.full((9, 11), 7, d),
        np.full((9, 11), high, d),
        ends,
    ]


def shared(name: str) -> Path:
    """A real image beside the repository, or skip."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"no shared/data/{name} beside the repository")
    return path
