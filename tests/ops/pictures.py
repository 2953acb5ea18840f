"""Small images to test operators with."""

from functools import lru_cache
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


#: Pixels from which on pictures are of cells: what the benchmark times operators on.
LARGE = 1 << 20


def smooth(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> Array:
    """Blobs on noise, read-only, using most of 8 bits or of 12."""
    if np.prod(shape) >= LARGE:
        return cells(shape, dtype, seed)
    rng = np.random.default_rng([seed, *shape])
    field = ndimage.gaussian_filter(rng.random(shape), 1.5, mode="wrap")
    field = (field - field.min()) / (float(np.ptp(field)) or 1.0)
    levels = 250 if np.dtype(dtype).itemsize == 1 else 4000
    image: Array = (field * levels + rng.random(shape)).astype(dtype)
    image.flags.writeable = False
    return image


@lru_cache(maxsize=8)
def cells(
    shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0, count: int = 300
) -> Array:
    """Nuclei of different size and brightness on a noisy background, read-only.

    About ``count`` of them, apart from each other, on a grid that was shaken.
    """
    rng = np.random.default_rng([seed, *shape])
    field = np.zeros(shape, np.float32)
    step = (np.prod(shape) / count) ** (1 / len(shape))
    grids = np.meshgrid(*(np.arange(step / 2, n, step) for n in shape), indexing="ij")
    grid = np.stack([g.ravel() for g in grids], axis=1)
    for place in grid + rng.uniform(-0.1, 0.1, grid.shape) * step:
        radius = step * rng.uniform(0.2, 0.34)
        low = np.maximum(place - radius - 1, 0).astype(int)
        window = tuple(
            slice(a, int(c + radius + 2)) for a, c in zip(low, place, strict=True)
        )
        part = field[window]
        axes = np.indices(part.shape).reshape(len(shape), -1).T + low
        inside = np.hypot.reduce((axes - place).T) < radius
        part[inside.reshape(part.shape)] = rng.uniform(0.5, 1)
    field = ndimage.gaussian_filter(field, 1.0) * 0.85 + 0.05
    field += rng.normal(0, 0.01, shape).astype(np.float32)
    levels = 250 if np.dtype(dtype).itemsize == 1 else 4000
    image: Array = (np.clip(field, 0, 1) * levels).astype(dtype)
    image.flags.writeable = False
    return image


def blobs(shape: tuple[int, ...], seed: int = 0) -> Array:
    """A mask, uint8 0/1, of about half foreground, read-only."""
    image = smooth(shape, "float64", seed)
    level = 0.2 * image.max() if np.prod(shape) >= LARGE else np.median(image)
    mask: Array = (image > level).astype(np.uint8)
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
