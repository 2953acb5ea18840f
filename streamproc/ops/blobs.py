"""Bright spots of unknown size, by Laplacians or differences of Gaussians."""

from itertools import pairwise
from typing import Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array
from ..table import Measurements
from ._operator import operator
from ._pixels import pixels
from ._points import refined, table
from ._scale_space import blurred, extrema, laplacian, unpruned

Scale: TypeAlias = Annotated[float, Gt(0), Le(1000)]
Share: TypeAlias = Annotated[float, Ge(0), Le(1)]


@operator(
    ("image",),
    gives="table",
    oracle="skimage.feature.blob_log",
    shown=Measurements.dataframe,
)
def blob_log(
    image: ArrayLike,
    *,
    min_sigma: Scale = 1.0,
    max_sigma: Scale = 50.0,
    num_sigma: Annotated[int, Ge(1), Le(1000)] = 10,
    threshold: float | None = 0.2,
    overlap: Share = 0.5,
    log_scale: bool = False,
    threshold_rel: Share | None = None,
    exclude_border: Annotated[int, Ge(0)] = 0,
    subpixel: bool = False,
    channel_axis: int | None = None,
) -> Measurements:
    """Find bright spots and their size by Laplacians of Gaussians.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype, spots brighter than what is
        around. Whole numbers are taken as a share of the largest of their dtype.
    min_sigma
        Smallest scale, in pixels: a spot of radius r is at r / sqrt(axes).
    max_sigma
        Largest scale.
    num_sigma
        How many scales, both ends included.
    threshold
        Spots answer more strongly than this, in the unit of the image as above. None:
        only ``threshold_rel`` counts.
    overlap
        Of two spots that cover more than this share of the smaller, the larger is
        kept.
    log_scale
        Whether scales are evenly spaced by their logarithm.
    threshold_rel
        Spots answer more strongly than this share of the strongest answer.
    exclude_border
        Width of the border without spots, in pixels.
    subpixel
        Whether to move each spot, along every axis, to the top of the parabola
        through the answer there and beside it: half a pixel at most.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per spot, the strongest first: ``label`` from 1 on, ``y`` and ``x`` (in
        volumes ``z`` before) and ``sigma``, all in pixels, float64.

    Raises
    ------
    ConfigError
        ``max_sigma`` is smaller than ``min_sigma``, or there is no threshold at all.

    Notes
    -----
    Whole numbers are computed in float64, float32 in float32. Memory: one image per
    scale. Equal to ``skimage.feature.blob_log``, order included (images without NaN),
    tested.

    References
    ----------
    T. Lindeberg (1998), doi:10.1023/A:1008045108935.

    Examples
    --------
    >>> image = np.zeros((15, 15))
    >>> image[6:9, 6:9] = 1
    >>> blob_log(image, max_sigma=3, num_sigma=5)[["y", "x"]].to_dict("list")
    {'y': [7.0], 'x': [7.0]}
    """
    _check(min_sigma, max_sigma, threshold, threshold_rel)
    plane = _as_float(image)
    low, high = plane.dtype.type(min_sigma), plane.dtype.type(max_sigma)
    if log_scale:
        sigmas = np.logspace(np.log10(low), np.log10(high), num_sigma)
    else:
        sigmas = np.linspace(np.array([low]), np.array([high]), num_sigma)[:, 0]
    scales = [-laplacian(plane, s) * s**2 for s in sigmas]
    return _blobs(
        scales, sigmas, threshold, threshold_rel, overlap, exclude_border, subpixel
    )


@operator(
    ("image",),
    gives="table",
    oracle="skimage.feature.blob_dog",
    shown=Measurements.dataframe,
)
def blob_dog(
    image: ArrayLike,
    *,
    min_sigma: Scale = 1.0,
    max_sigma: Scale = 50.0,
    sigma_ratio: Annotated[float, Gt(1), Le(100)] = 1.6,
    threshold: float | None = 0.5,
    overlap: Share = 0.5,
    threshold_rel: Share | None = None,
    exclude_border: Annotated[int, Ge(0)] = 0,
    subpixel: bool = False,
    channel_axis: int | None = None,
) -> Measurements:
    """Find bright spots and their size by differences of Gaussians.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype, spots brighter than what is
        around. Whole numbers are taken as a share of the largest of their dtype.
    min_sigma
        Smallest scale, in pixels: a spot of radius r is at r / sqrt(axes).
    max_sigma
        Largest scale.
    sigma_ratio
        Between one scale and the next.
    threshold
        Spots answer more strongly than this, in the unit of the image as above. None:
        only ``threshold_rel`` counts.
    overlap
        Of two spots that cover more than this share of the smaller, the larger is
        kept.
    threshold_rel
        Spots answer more strongly than this share of the strongest answer.
    exclude_border
        Width of the border without spots, in pixels.
    subpixel
        Whether to move each spot, along every axis, to the top of the parabola
        through the answer there and beside it: half a pixel at most.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per spot, the strongest first: ``label`` from 1 on, ``y`` and ``x`` (in
        volumes ``z`` before) and ``sigma``, all in pixels, float64.

    Raises
    ------
    ConfigError
        ``max_sigma`` is smaller than ``min_sigma``, or there is no threshold at all.

    Notes
    -----
    Quicker than `blob_log`, and near to it. Whole numbers are computed in float64,
    float32 in float32. Equal to ``skimage.feature.blob_dog``, order included (images
    without NaN), tested.

    References
    ----------
    D. Lowe (2004), doi:10.1023/B:VISI.0000029664.99615.94.

    Examples
    --------
    >>> image = np.zeros((15, 15))
    >>> image[6:9, 6:9] = 1
    >>> blob_dog(image, max_sigma=3, threshold=0.2)[["y", "x"]].to_dict("list")
    {'y': [7.0], 'x': [7.0]}
    """
    _check(min_sigma, max_sigma, threshold, threshold_rel)
    plane = _as_float(image)
    low, high = plane.dtype.type(min_sigma), plane.dtype.type(max_sigma)
    count = int(np.log(high / low) / np.log(sigma_ratio) + 1)
    sigmas = np.array([low * sigma_ratio**i for i in range(count + 1)], plane.dtype)
    smooth = [blurred(plane, s) for s in sigmas]
    factor = 1 / (sigma_ratio - 1)
    scales = [(a - b) * factor for a, b in pairwise(smooth)]
    return _blobs(
        scales, sigmas, threshold, threshold_rel, overlap, exclude_border, subpixel
    )


def _check(
    min_sigma: float,
    max_sigma: float,
    threshold: float | None,
    threshold_rel: float | None,
) -> None:
    if max_sigma < min_sigma:
        raise ConfigError(
            f"max_sigma must be >= min_sigma, got {max_sigma} and {min_sigma}"
        )
    if threshold is None and threshold_rel is None:
        raise ConfigError("threshold: give threshold or threshold_rel, or both")


def _as_float(image: ArrayLike) -> Array:
    """Return whole numbers as a share of the largest of their dtype, as float64."""
    from skimage.util import img_as_float

    shares = img_as_float(pixels(image))  # type: ignore[no-untyped-call]  # no types
    return np.ascontiguousarray(shares)


def _blobs(
    scales: list[Array],
    sigmas: Array,
    threshold: float | None,
    threshold_rel: float | None,
    overlap: float,
    exclude_border: int,
    subpixel: bool,
) -> Measurements:
    least: Any = min(s.min() for s in scales) if threshold is None else threshold
    if threshold_rel is not None:
        least = max(least, threshold_rel * max(s.max() for s in scales))
    points, _ = extrema(scales, least, exclude_border)
    found = sigmas[points[:, -1]]
    keep = unpruned(points[:, :-1].astype(sigmas.dtype), found, overlap)
    points, found = points[keep], found[keep]
    places = points[:, :-1].astype(np.float64)
    if subpixel:
        for n, scale in enumerate(scales):
            mine = points[:, -1] == n
            places[mine] = refined(scale, points[mine, :-1])
    return table(places, sigma=found.astype(np.float64))
