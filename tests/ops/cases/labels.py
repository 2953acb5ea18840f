"""Labels and spots beside scikit-image and SciPy."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import feature as _feature
from skimage import measure as _measure
from skimage import morphology as _morphology
from skimage import segmentation as _segmentation

from streamproc import ops
from tests.ops.cases import Case
from tests.ops.pictures import Array, blobs, smooth

#: scikit-image has no types yet.
feature: Any = _feature
measure: Any = _measure
morphology: Any = _morphology
segmentation: Any = _segmentation


def distance_transform(mask: Array, **more: Any) -> Array:
    """scipy.ndimage.distance_transform_edt; infinite where there is no background."""
    if np.all(mask):
        return np.full(mask.shape, np.inf, np.float32)
    distances = ndimage.distance_transform_edt(mask != 0, **more)
    return np.asarray(distances, np.float32)


def markers(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """An image, a few labelled points, and a mask."""
    image = smooth(shape, dtype, seed)
    points = feature.peak_local_max(
        ndimage.gaussian_filter(image.astype(np.float64), 2), exclude_border=False
    )
    seeds = np.zeros(shape, np.uint32)
    seeds[tuple(points.T)] = np.arange(1, len(points) + 1)
    dark = (image.max() - image).astype(dtype)
    return dark, seeds, blobs(shape, seed)


def noise(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Noise of few levels: all that a flood meets is a tie."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 9, shape).astype(dtype)
    seeds = np.where(rng.random(shape) < 0.03, rng.integers(1, 99, shape), 0)
    return image, seeds.astype(np.uint32)


def flooded(connectivity: int = 1) -> Callable[..., Array]:
    """skimage.segmentation.watershed."""

    def oracle(image: Array, seeds: Array, mask: Array | None = None) -> Array:
        where = None if mask is None else mask != 0
        basins = segmentation.watershed(image, seeds, connectivity, mask=where)
        return np.asarray(basins, np.uint32)

    return oracle


def lined(image: Array, seeds: Array) -> Array:
    """skimage.segmentation.watershed with a line between basins."""
    basins = segmentation.watershed(image, seeds.astype(int), watershed_line=True)
    return np.asarray(basins, np.uint32)


def voronoi_otsu(image: Array) -> Array:
    """The steps of Voronoi-Otsu labelling, from our smoothed image on."""
    soft = np.asarray(ops.gaussian(image, sigma=2.0))
    if not np.ptp(image):
        return np.zeros(image.shape, np.uint32)
    mask = np.asarray(ops.threshold(soft)) != 0
    seeds = measure.label(morphology.local_maxima(soft) & mask, connectivity=soft.ndim)
    if not seeds.any():
        return np.zeros(image.shape, np.uint32)
    _, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    return np.asarray(np.where(mask, seeds[tuple(nearest)], 0), np.uint32)


def peaks(**parameters: Any) -> Callable[..., dict[str, Array]]:
    """skimage.feature.peak_local_max as columns."""

    def oracle(image: Array) -> dict[str, Array]:
        points = feature.peak_local_max(image, **parameters)
        columns = {"label": np.arange(1, len(points) + 1)}
        columns |= {a: points[:, i] for i, a in enumerate("zyx"[-image.ndim :])}
        return columns | {"intensity": image[tuple(points.T)].astype(np.float64)}

    return oracle


def spots(detect: Callable[..., Any], **parameters: Any) -> Callable[..., Any]:
    """skimage.feature.blob_log or blob_dog as columns."""

    def oracle(image: Array) -> dict[str, Array]:
        found = detect(image, **parameters).astype(np.float64)
        columns = {"label": np.arange(1, len(found) + 1)}
        columns |= {a: found[:, i] for i, a in enumerate("zyx"[-image.ndim :])}
        return columns | {"sigma": found[:, -1]}

    return oracle


def unit(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """An image that uses the range of its dtype, or 0 to 1."""
    image = smooth(shape, "float64", seed) / 4001
    if np.dtype(dtype).kind == "f":
        return (image.astype(dtype),)
    return ((image * np.iinfo(dtype).max).astype(dtype),)


def located(**parameters: Any) -> Callable[[Array], dict[str, Array]]:
    """trackpy.locate as columns."""

    def oracle(image: Array) -> dict[str, Array]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trackpy: Any = pytest.importorskip("trackpy")
            table: pd.DataFrame = trackpy.locate(image, **parameters)
        names = [*"zyx"[-image.ndim :], *PARTICLE]
        columns = {name: np.asarray(table.get(name, ()), float) for name in names}
        return {"label": np.arange(1, len(table) + 1), **columns}

    return oracle


def relabelled(labels: Array) -> Array:
    """skimage.segmentation.relabel_sequential."""
    return np.asarray(segmentation.relabel_sequential(labels)[0])


def sparse(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Labels with gaps in their numbers."""
    labels = np.asarray(ops.label(blobs(shape, seed)))
    return (np.asarray(labels * 7 % 91, np.uint32),)


PARTICLE = ("mass", "size", "ecc", "signal", "raw_mass", "ep")
SCALES: dict[str, Any] = {"min_sigma": 1.5, "max_sigma": 5.0, "threshold": 0.02}
LARGE: dict[str, Any] = {"diameter": 9, "invert": True, "minmass": 30.0}
LABELS: dict[str, Any] = {"dtypes": ("uint32",)}

CASES: tuple[Case, ...] = (
    Case("distance_transform", distance_transform, asked=2.7, **LABELS),
    Case(
        "distance_transform",
        lambda mask: distance_transform(mask, sampling=(0.5, 1.7)),
        {"sampling": (0.5, 1.7)},
        "distance_transform, pixels not square",
        ndims=(2,),
        **LABELS,
    ),
    Case(
        "expand_labels",
        lambda labels: segmentation.expand_labels(labels, 3),
        {"distance": 3.0},
        **LABELS,
    ),
    Case("watershed", flooded(), {}, "watershed in a mask", inputs=markers, asked=4.0),
    Case("watershed", flooded(), {}, "watershed of noise", inputs=noise),
    Case(
        "watershed",
        flooded(2),
        {"connectivity": 2},
        "watershed of noise, connectivity 2",
        inputs=noise,
    ),
    Case(
        "watershed",
        lined,
        {"watershed_line": True},
        "watershed with a line",
        inputs=noise,
        timed=False,
    ),
    Case("voronoi_otsu", voronoi_otsu, asked=2.0),
    Case("relabel_sequential", relabelled, inputs=sparse, **LABELS),
    *(
        Case(
            "find_boundaries",
            lambda labels, c=c, m=m: segmentation.find_boundaries(
                labels, connectivity=c, mode=m
            ).view(np.uint8),
            {"connectivity": c, "mode": m},
            timed=c == 1,
            **LABELS,
        )
        for c in (1, 2)
        for m in ("thick", "inner", "outer")
    ),
    Case(
        "local_maxima",
        lambda image: morphology.local_maxima(image).view(np.uint8),
    ),
    Case(
        "local_maxima",
        lambda image: morphology.local_maxima(
            image.copy(), connectivity=1, allow_borders=False
        ).view(np.uint8),
        {"connectivity": 1, "allow_borders": False},
        "local_maxima inside, connectivity 1",
        smallest=3,
    ),
    Case("peak_local_max", peaks()),
    Case(
        "peak_local_max",
        peaks(min_distance=4, threshold_rel=0.3, exclude_border=False, num_peaks=20),
        {
            "min_distance": 4,
            "threshold_rel": 0.3,
            "exclude_border": False,
            "num_peaks": 20,
        },
        "peak_local_max, 20 at a distance of 4",
    ),
    Case(
        "blob_log",
        spots(feature.blob_log, num_sigma=5, **SCALES),
        {"num_sigma": 5, **SCALES},
        "blob_log, 5 scales",
        inputs=unit,
    ),
    Case(
        "blob_log",
        spots(
            feature.blob_log,
            max_sigma=4,
            num_sigma=4,
            threshold=None,
            threshold_rel=0.1,
            overlap=0.2,
            log_scale=True,
            exclude_border=2,
        ),
        {
            "max_sigma": 4.0,
            "num_sigma": 4,
            "threshold": None,
            "threshold_rel": 0.1,
            "overlap": 0.2,
            "log_scale": True,
            "exclude_border": 2,
        },
        "blob_log, scales by logarithm",
        inputs=unit,
        timed=False,
    ),
    Case(
        "blob_dog", spots(feature.blob_dog, **SCALES), SCALES, "blob_dog", inputs=unit
    ),
    Case(
        "locate",
        located(diameter=5),
        {"diameter": 5},
        "locate, diameter 5",
        inputs=unit,
        smallest=5,
    ),
    Case(
        "locate",
        located(**LARGE),
        LARGE,
        "locate, dark particles",
        inputs=unit,
        smallest=9,
    ),
)
