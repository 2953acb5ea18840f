"""The same steps in plain scipy and scikit-image: slow, known to be right.

A function per operator, with its name and its parameters. Tests compare with them,
and run them in a loop as the pipeline that the engine must agree with.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, spatial  # type: ignore[import-untyped]  # scipy ships no types
from scipy.spatial import distance  # type: ignore[import-untyped]  # scipy ships no types
from skimage import filters as _filters
from skimage import measure as _regions
from skimage import morphology as _morphology
from skimage.measure import _regionprops

Array = NDArray[Any]

#: scikit-image has no types yet.
filters: Any = _filters
morphology: Any = _morphology
regions: Any = _regions

DEFAULT = ("area", "centroid", "mean_intensity")

#: The present name of every measure by its old one, and of those that are ours alone.
_CURRENT: dict[str, str] = {
    **_regionprops.PROPS,
    "median_intensity": "intensity_median",
    "sum_intensity": "intensity_sum",
}

#: Measures of single levels, in numpy.
_OF_LEVELS: dict[str, Callable[[Array], Any]] = {
    "intensity_max": np.max,
    "intensity_mean": np.mean,
    "intensity_median": np.median,
    "intensity_min": np.min,
    "intensity_std": np.std,
    "intensity_sum": np.sum,
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
    """The mean or median of the frames before each block, frame by frame."""
    if method == "top_hat":
        return white_tophat(images, radius, shape)
    out = np.empty(images.shape, np.float32)
    for t, image in enumerate(images):
        j = t // every
        past = images[max(0, j * every - window) : j * every]
        used = past if j else images[:every]
        found = used.astype(np.float64).sum(axis=0) / len(used)
        if method == "median":
            found = np.median(used.astype(np.float64), axis=0)
        out[t] = image.astype(np.float64) - found
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
    shapes = regions.regionprops(labels)
    weighed = [
        regions.regionprops(labels, np.nan_to_num(c, nan=0.0).astype(np.float64))
        for c in channels
    ]
    rows = []
    for number, region in enumerate(shapes):
        row: dict[str, Any] = {"label": region.label}
        for name in properties:
            kind = _CURRENT.get(name, name)
            if kind not in _OF_LEVELS and "weighted" not in kind:
                row |= _named(name, kind, _shape(region, kind), labels.ndim)
                continue
            for c, channel in enumerate(channels):
                value = _levels(region, weighed[c][number], channel, kind)
                for column, v in _named(name, kind, value, labels.ndim).items():
                    row[column + (f"_c{c}" if several else "")] = v
        rows.append(row)
    return pd.DataFrame(rows)


def _named(name: str, kind: str, value: Any, ndim: int) -> dict[str, float]:
    if np.ndim(value) == 0:
        return {name: value}
    axes = "zyx"[-ndim:]
    if kind == "bbox":
        ends = [f"{name}_{a}{end}" for end in (0, 1) for a in axes]
    elif kind.startswith("centroid"):
        ends = [f"{name}_{a}" for a in axes]
    else:
        indices = np.ndindex(np.shape(value))
        ends = ["_".join([name, *map(str, index)]) for index in indices]
    return dict(zip(ends, np.ravel(value), strict=True))


def _shape(region: Any, kind: str) -> Any:
    whole = ("area", "area_bbox", "area_convex", "area_filled")
    is_flat = np.linalg.matrix_rank(region.coords - region.coords[0]) < 3
    if region.image.ndim == 3 and is_flat:
        # scikit-image finds no hull of it
        hull = _convex(region.image)
        if kind == "area_convex":
            return int(hull.sum())
        if kind == "solidity":
            return region.area / hull.sum()
        if kind == "feret_diameter_max":
            return float(distance.pdist(_corners(np.argwhere(hull))).max())
    value = getattr(region, kind)
    return int(value) if kind in whole else value


def _convex(image: Array) -> Array:
    """The voxels within the hull of the middles of faces, by its planes."""
    hull = spatial.ConvexHull(_corners(np.argwhere(image)))
    places = np.indices(image.shape).reshape(3, -1)
    beyond = hull.equations[:, :3] @ places + hull.equations[:, 3:]
    return np.asarray((beyond < 1e-10).all(axis=0).reshape(image.shape))


def _corners(places: Array) -> Array:
    faces = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    return np.unique((places[:, None] + faces).reshape(-1, 3), axis=0)


def _levels(region: Any, weighed: Any, channel: Array, kind: str) -> Any:
    values = channel[region.slice][region.image].astype(np.float64)
    values = values[~np.isnan(values)]
    if kind in _OF_LEVELS:
        return float(_OF_LEVELS[kind](values)) if len(values) else np.nan
    with np.errstate(all="ignore"):
        value = np.asarray(getattr(weighed, kind))
    return value if len(values) else np.full(value.shape, np.nan)
