"""The same steps in plain scipy and scikit-image: slow, known to be right.

A function per operator, with its name and its parameters. Tests compare with them,
and run them in a loop as the pipeline that the engine must agree with.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import filters as _filters
from skimage import measure as _regions
from skimage import morphology as _morphology

Array = NDArray[Any]

#: scikit-image has no types yet.
filters: Any = _filters
morphology: Any = _morphology
regions: Any = _regions

DEFAULT = ("area", "centroid", "mean_intensity")

#: scikit-image's present names of the measures of shape.
_SHAPE = {
    "area": "area",
    "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length",
    "bbox": "bbox",
    "centroid": "centroid",
    "eccentricity": "eccentricity",
    "equivalent_diameter": "equivalent_diameter_area",
    "equivalent_diameter_area": "equivalent_diameter_area",
    "major_axis_length": "axis_major_length",
    "minor_axis_length": "axis_minor_length",
    "orientation": "orientation",
    "perimeter": "perimeter",
}


def gaussian(image: Array, sigma: float | Sequence[float] = 1.0) -> Array:
    """scipy.ndimage.gaussian_filter on float32."""
    return np.asarray(ndimage.gaussian_filter(image.astype(np.float32), sigma))


def difference_of_gaussians(
    image: Array, low_sigma: float = 1.0, high_sigma: float | None = None
) -> Array:
    """The difference of two of them."""
    high = 1.6 * low_sigma if high_sigma is None else high_sigma
    return gaussian(image, low_sigma) - gaussian(image, high)


def median(image: Array, size: int = 3) -> Array:
    """scipy.ndimage.median_filter."""
    return np.asarray(ndimage.median_filter(image, size, mode="nearest"))


def footprint(ndim: int, radius: int, shape: str = "disk") -> Array:
    """scikit-image's disk, ball or box."""
    if shape == "box":
        return np.ones((2 * radius + 1,) * ndim, np.uint8)
    return np.asarray((morphology.disk, morphology.ball)[ndim - 2](radius))


def white_tophat(image: Array, radius: int = 25, shape: str = "disk") -> Array:
    """skimage.morphology.white_tophat."""
    return np.asarray(
        morphology.white_tophat(image, footprint(image.ndim, radius, shape))
    )


def background(
    images: Array,
    method: str = "mean",
    window: int = 50,
    every: int = 25,
    radius: int = 25,
    shape: str = "disk",
) -> Array:
    """The mean of the frames before each block, frame by frame."""
    if method == "top_hat":
        return white_tophat(images, radius, shape)
    out = np.empty(images.shape, np.float32)
    for t, image in enumerate(images):
        j = t // every
        past = images[max(0, j * every - window) : j * every]
        used = past if j else images[:every]
        mean = used.astype(np.float64).sum(axis=0) / len(used)
        out[t] = image.astype(np.float64) - mean
    return out


def threshold(
    image: Array,
    method: str = "otsu",
    value: float | None = None,
    block_size: int = 51,
    weights: str = "gaussian",
    offset: float = 0.0,
) -> Array:
    """``image >`` what skimage.filters says."""
    if method == "fixed":
        level: Any = value
    elif method == "local":
        level = filters.threshold_local(
            image, block_size, method=weights, offset=offset
        )
    else:
        level = getattr(filters, f"threshold_{method}")(image)
    return np.asarray(image > level, np.uint8)


def binary_erosion(mask: Array, radius: int = 1) -> Array:
    """skimage.morphology.erosion of a boolean image."""
    return _binary(morphology.erosion, mask, radius)


def binary_dilation(mask: Array, radius: int = 1) -> Array:
    """skimage.morphology.dilation of a boolean image."""
    return _binary(morphology.dilation, mask, radius)


def binary_opening(mask: Array, radius: int = 1) -> Array:
    """skimage.morphology.opening of a boolean image."""
    return _binary(morphology.opening, mask, radius)


def binary_closing(mask: Array, radius: int = 1) -> Array:
    """skimage.morphology.closing of a boolean image."""
    return _binary(morphology.closing, mask, radius)


def _binary(change: Callable[..., Array], mask: Array, radius: int) -> Array:
    changed = change(mask != 0, footprint(mask.ndim, radius), mode="ignore")
    return changed.astype(np.uint8)


def fill_holes(mask: Array) -> Array:
    """scipy.ndimage.binary_fill_holes."""
    return np.asarray(ndimage.binary_fill_holes(mask)).astype(np.uint8)


def remove_small_objects(
    mask: Array, max_size: int = 64, connectivity: int | None = 1
) -> Array:
    """Label, count, drop; labels are counted as they are."""
    if mask.dtype in (np.uint8, np.bool_):
        objects = label(mask, connectivity)
        image = (mask != 0).astype(np.uint8)
    else:
        objects = image = mask
    _, place, counts = np.unique(objects, return_inverse=True, return_counts=True)
    small = counts[place].reshape(image.shape) <= max_size
    return np.asarray(np.where(small, 0, image), image.dtype)


def label(mask: Array, connectivity: int | None = None) -> Array:
    """skimage.measure.label of a boolean image."""
    return np.asarray(regions.label(mask != 0, connectivity=connectivity), np.uint32)


def project(image: Array, method: str = "max", axis: str = "z") -> Array:
    """The numpy function of that name."""
    if method in ("max", "min"):
        return np.asarray(getattr(image, method)(axis=0))
    if method == "sum":
        wide = {"u": np.uint64, "i": np.int64, "f": np.float64}[image.dtype.kind]
        return np.asarray(image.sum(axis=0, dtype=wide))
    return np.asarray(getattr(image.astype(np.float64), method)(axis=0), np.float32)


def measure(
    labels: Array, intensity: Array | None = None, properties: Sequence[str] = DEFAULT
) -> pd.DataFrame:
    """skimage.measure.regionprops, in our columns; NaN pixels left out."""
    if intensity is None and tuple(properties) == DEFAULT:
        properties = DEFAULT[:2]
    several = intensity is not None and intensity.ndim > labels.ndim
    channels = () if intensity is None else intensity if several else intensity[None]
    rows = []
    for region in regions.regionprops(labels):
        row: dict[str, Any] = {"label": region.label}
        for name in properties:
            if name in _SHAPE:
                row |= _named(name, getattr(region, _SHAPE[name]), labels.ndim)
                continue
            for number, channel in enumerate(channels):
                end = f"_c{number}" if several else ""
                corner = [s.start for s in region.slice]
                value = _intensity(name, region.image, channel[region.slice], corner)
                for column, v in _named(name, value, labels.ndim).items():
                    row[column + end] = v
        rows.append(row)
    table = pd.DataFrame(rows)
    for column in table.columns:
        if column in ("label", "area") or str(column).startswith("bbox"):
            table[column] = table[column].astype(np.int64)
    return table


def _named(name: str, value: float | Sequence[float], ndim: int) -> dict[str, float]:
    if isinstance(value, (int, float)):
        return {name: value}
    axes = "zyx"[-ndim:]
    if name == "bbox":
        ends = [f"bbox_{a}{end}" for end in (0, 1) for a in axes]
    else:
        ends = [f"{name}_{a}" for a in axes]
    return dict(zip(ends, value, strict=True))


def _intensity(
    name: str, image: Array, window: Array, corner: Sequence[int]
) -> float | Sequence[float]:
    kind = name.replace("intensity", "").strip("_")
    inside = image & ~np.isnan(window)
    values = window[inside].astype(np.float64)
    if "centroid" in kind:
        if not len(values) or not values.sum():
            return [np.nan] * window.ndim
        places = np.argwhere(inside) + corner
        weighted = (places * values[:, None]).sum(axis=0) / values.sum()
        return [float(w) for w in weighted]
    return float(getattr(np, kind)(values)) if len(values) else np.nan
