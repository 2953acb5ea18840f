"""Measures of objects and of frames, by scikit-image, scipy and numpy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from scipy.spatial import cKDTree  # type: ignore[import-untyped]  # no types
from skimage import feature as _feature
from skimage import filters as _filters
from skimage import measure as _measure

from streamproc import ops
from streamproc.ops._properties import LEVELS, PLANE_ONLY, SHAPE
from streamproc.ops.statistics import FocusMeasure, Statistic
from tests.ops.cases import Case, Inputs
from tests.ops.pictures import Array, blobs, smooth

Columns = dict[str, Array]

#: scikit-image has no types yet.
feature: Any = _feature
filters: Any = _filters
regions: Any = _measure

EIGHT = (
    "area",
    "bbox",
    "centroid",
    "centroid_weighted",
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
)
#: scikit-image has none of objects that are flat in a volume
_HULLS = ("area_convex", "feret_diameter_max", "solidity")


def cells(count: int) -> Inputs:
    """Labels and an image; in frames of full size so many separate ellipses."""

    def given(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
        image = smooth(shape, dtype, seed)
        if min(shape[-2:]) < 256:
            return np.asarray(ops.label(blobs(shape, seed)), np.int32), image
        labels: Array = np.zeros(shape, np.int32)
        rng = np.random.default_rng(seed)
        side = int(np.ceil(np.sqrt(count)))
        pitch = shape[-1] / side
        y, x = np.ogrid[: int(pitch), : int(pitch)]
        for number in range(count):
            a, b, angle = *rng.uniform(0.25, 0.45, 2) * pitch, rng.uniform(0, np.pi)
            v, u = y - pitch / 2, x - pitch / 2
            along = v * np.cos(angle) + u * np.sin(angle)
            across = u * np.cos(angle) - v * np.sin(angle)
            top, left = (int(i * pitch) for i in divmod(number, side))
            box = labels[top : top + int(pitch), left : left + int(pitch)]
            box[(along / a) ** 2 + (across / b) ** 2 < 1] = number + 1
        return labels, image

    return given


def table(*properties: str) -> Callable[..., Columns]:
    """``regionprops_table``, in our columns."""

    def oracle(labels: Array, image: Array) -> Columns:
        with np.errstate(all="ignore"):
            found = regions.regionprops_table(
                labels, image, ("label", *properties), separator="_"
            )
        named = {_column(name, labels.ndim): v for name, v in found.items()}
        for name, values in named.items():
            if (
                "central" in name
                and sum(map(int, name.split("_central_")[1][::2])) == 1
            ):
                # 0 but for rounding
                values[:] = np.where(np.isnan(values), np.nan, 0.0)
        return named

    return oracle


def _column(name: str, ndim: int) -> str:
    kind, _, index = name.rpartition("_")
    axes = "zyx"[-ndim:]
    if kind.startswith("centroid"):
        return f"{kind}_{axes[int(index)]}"
    if kind == "bbox":
        end, axis = divmod(int(index), ndim)
        return f"bbox_{axes[axis]}{end}"
    return name


def pairs(labels: Array, connectivity: int | None = None) -> Columns:
    """Every pixel beside each of its neighbours, pair by pair."""
    ndim = labels.ndim
    found = []
    for step in np.ndindex((3,) * ndim):
        shift = np.array(step) - 1
        if tuple(shift) > (0,) * ndim and abs(shift).sum() <= (connectivity or ndim):
            here = tuple(slice(max(-s, 0), -s if s > 0 else None) for s in shift)
            there = tuple(slice(max(s, 0), s if s < 0 else None) for s in shift)
            a, b = labels[here], labels[there]
            differ = (a != b) & (a > 0) & (b > 0)
            found.append(np.stack([a[differ], b[differ]], axis=1))
    both = np.sort(np.concatenate(found), axis=1).astype(np.int64)
    unique, counts = np.unique(both, axis=0, return_counts=True)
    return {
        "label": np.arange(1, len(unique) + 1),
        "label_1": unique[:, 0],
        "label_2": unique[:, 1],
        "contact": counts,
    }


def neighborhood(labels: Array, n: int = 1, connectivity: int | None = None) -> Columns:
    """Degrees of the graph of touching pairs; centroids in a tree."""
    found = regions.regionprops_table(labels, properties=("label", "centroid"))
    numbers = found.pop("label")
    touching = pairs(labels, connectivity)
    ends = np.concatenate([touching["label_1"], touching["label_2"]])
    centres = np.stack(list(found.values()), axis=1)
    distances = np.full(len(numbers), np.nan)
    if len(numbers) > 1:
        nearest, _ = cKDTree(centres).query(centres, min(n + 1, len(numbers)))
        distances = nearest[:, 1:].mean(axis=1)
    return {
        "label": numbers,
        "touching_count": np.array([np.sum(ends == i) for i in numbers], np.int64),
        "mean_nearest_distance": distances,
    }


def glcm(labels: Array, image: Array, distance: int = 1, levels: int = 32) -> Columns:
    """``graycoprops`` of each object alone, what is outside dropped."""
    low, high = float(image.min()), float(image.max())
    scaled = (image.astype(np.float64) - low) / ((high - low) or 1.0) * levels
    reduced = np.clip(np.floor(scaled), 0, levels - 1).astype(np.uint16) + 1
    names = ["contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM"]
    rows = []
    for region in regions.regionprops(labels):
        inside = np.where(region.image, reduced[region.slice], 0)
        counts = feature.graycomatrix(
            inside, [distance], np.arange(4) * np.pi / 4, levels + 1, symmetric=True
        )[1:, 1:].astype(np.float64)
        total = counts.sum(axis=(0, 1), keepdims=True)
        counts = (counts / np.where(total, total, 1))[..., total.ravel() > 0]
        row = [np.nan] * len(names)
        if counts.size:
            row = [feature.graycoprops(counts, name).mean() for name in names]
        rows.append([region.label, *row])
    found = np.array(rows, np.float64).reshape(-1, 1 + len(names))
    columns = dict(zip(names, found[:, 1:].T, strict=True))
    return {"label": found[:, 0].astype(np.int64), **columns}


def numbers(
    image: Array,
    properties: Sequence[str] = ("mean", "std", "min", "max", "sum"),
    percentiles: Sequence[float] = (1, 50, 99),
) -> dict[str, float]:
    """numpy's functions in double precision, without NaN."""
    known = image[~np.isnan(image)]
    found: dict[str, float] = {}
    for name in properties:
        if name == "percentiles":
            values = np.percentile(known, percentiles)
            found |= {
                f"percentile_{p}": v for p, v in zip(percentiles, values, strict=True)
            }
        elif name == "entropy":
            found[name] = regions.shannon_entropy(known)
        elif name == "snr":
            found[name] = _snr(known)
        elif name in ("min", "max"):
            found[name] = getattr(known, name)()
        else:
            found[name] = getattr(known, name)(
                dtype=np.float64 if image.dtype.kind == "f" or name != "sum" else int
            )
    return found


def _snr(image: Array) -> float:
    if image.min() == image.max():
        return float("nan")
    is_bright = image > filters.threshold_otsu(image)
    dark = image[~is_bright].astype(np.float64)
    signal = image[is_bright].mean(dtype=np.float64) - dark.mean()
    return float(signal / dark.std()) if dark.std() else float("inf")


def counted(
    image: Array, bins: int = 256, limits: tuple[float, float] | None = None
) -> Columns:
    """numpy.histogram."""
    known = image[np.isfinite(image)]
    counts, edges = np.histogram(known, bins, limits)
    label = np.arange(1, bins + 1)
    return {"label": label, "low": edges[:-1], "high": edges[1:], "count": counts}


def sharpness(*measures: str) -> Callable[[Array], dict[str, float]]:
    """The derivatives of scipy.ndimage, in double precision, plane by plane."""

    def oracle(image: Array) -> dict[str, float]:
        planes = image.reshape(-1, *image.shape[-2:]).astype(np.float64)
        found: dict[str, Callable[[], Any]] = {
            "laplacian_variance": lambda: np.nanvar(
                [ndimage.laplace(p) for p in planes]
            ),
            "tenengrad": lambda: np.mean(
                [ndimage.sobel(p, 0) ** 2 + ndimage.sobel(p, 1) ** 2 for p in planes]
            ),
            "brenner": lambda: (
                np.nanmean((planes[..., 2:] - planes[..., :-2]) ** 2)
                if image.shape[-1] > 2
                else np.nan
            ),
            "normalized_variance": lambda: (
                np.nanvar(planes) / np.nanmean(planes) if planes.any() else np.nan
            ),
        }
        return {name: float(found[name]()) for name in measures}

    return oracle


def _one(name: str) -> Case:
    flat = name in PLANE_ONLY or name in _HULLS
    return Case(
        "measure",
        table(name),
        {"properties": (name,)},
        title=f"measure {name}",
        inputs=cells(300),
        ndims=(2,) if flat else (2, 3),
        dtypes=("uint8", "uint16", "float32") if name in LEVELS else ("uint16",),
    )


FOCUS: tuple[FocusMeasure, ...] = (
    "laplacian_variance",
    "tenengrad",
    "brenner",
    "normalized_variance",
)
EVERY: tuple[Statistic, ...] = (
    "mean",
    "std",
    "min",
    "max",
    "sum",
    "percentiles",
    "entropy",
    "snr",
)

CASES: tuple[Case, ...] = (
    *(
        Case(
            "measure",
            table(*EIGHT),
            {"properties": EIGHT},
            title=f"measure 8 properties of {count} objects",
            inputs=cells(count),
            ndims=(2,),
            asked=asked,
        )
        for count, asked in ((300, 22.0), (3000, 90.0))
    ),
    *(_one(name) for name in (*SHAPE, *LEVELS) if name != "intensity_sum"),
    Case("neighbors", neighborhood, inputs=lambda *a: cells(300)(*a)[:1]),
    Case(
        "neighbors",
        lambda labels: neighborhood(labels, 5, 1),
        {"n": 5, "connectivity": 1},
        dtypes=("uint16",),
        timed=False,
    ),
    Case("touching", pairs, inputs=lambda *a: cells(300)(*a)[:1]),
    Case(
        "touching",
        lambda labels: pairs(labels, 1),
        {"connectivity": 1},
        dtypes=("uint16",),
        timed=False,
    ),
    Case("texture", glcm, inputs=cells(300), ndims=(2,)),
    Case(
        "texture",
        lambda labels, image: glcm(labels, image, 3, 256),
        {"distance": 3, "levels": 256},
        inputs=cells(300),
        ndims=(2,),
        timed=False,
    ),
    Case("statistics", numbers, nan=True),
    Case(
        "statistics",
        lambda image: numbers(image, EVERY),
        {"properties": EVERY},
        title="statistics, all",
        nan=True,
    ),
    *(
        Case(
            "statistics",
            lambda image, name=name: numbers(image, (name,)),
            {"properties": (name,)},
            nan=True,
        )
        for name in ("percentiles", "entropy", "snr")
    ),
    Case("histogram", counted, nan=True),
    Case(
        "histogram",
        lambda image: counted(image, 10, (20.0, 150.5)),
        {"bins": 10, "range": (20.0, 150.5)},
        nan=True,
        timed=False,
    ),
    *(
        Case("focus", sharpness(name), {"measures": (name,)}, nan=name != "tenengrad")
        for name in FOCUS
    ),
)
