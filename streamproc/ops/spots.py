"""Local maxima, as a mask or as a table of points."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ..table import Measurements
from ._footprints import dilate
from ._operator import operator
from ._pixels import pixels
from ._plateaus import peaks
from ._points import refined, table
from ._spacing import spaced


@operator(("image", "mask"), gives="mask", oracle="skimage.morphology.local_maxima")
def local_maxima(
    image: ArrayLike,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = None,
    allow_borders: bool = True,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Mark pixels, or plateaus of equal pixels, that are higher than all around.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is no maximum, and no
        neighbour either.
    connectivity
        How many axes a step to a neighbour may cross. Default: as many as the image
        has, so that diagonal neighbours count.
    allow_borders
        Whether what touches the border can be a maximum.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1. An image of one level has no maximum.

    Raises
    ------
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Equal to ``skimage.morphology.local_maxima`` (images without NaN), tested.

    Examples
    --------
    >>> local_maxima([[1, 3, 3, 0, 2]]).tolist()
    [[0, 1, 1, 0, 1]]
    """
    plane = pixels(image)
    reach = plane.ndim if connectivity is None else connectivity
    if reach > plane.ndim:
        raise ConfigError(
            f"connectivity must be <= {plane.ndim} for {plane.ndim}-D images, "
            f"got {reach}"
        )
    return peaks(plane, reach, borders=allow_borders)


@operator(
    ("image", "mask"),
    gives="table",
    oracle="skimage.feature.peak_local_max",
    shown=Measurements.dataframe,
)
def peak_local_max(
    image: ArrayLike,
    *,
    min_distance: Annotated[int, Ge(1), Le(1000)] = 1,
    threshold_abs: float | None = None,
    threshold_rel: float | None = None,
    exclude_border: bool | Annotated[int, Ge(0)] = True,
    num_peaks: Annotated[int, Ge(1)] | None = None,
    subpixel: bool = False,
    channel_axis: int | None = None,
) -> Measurements:
    """Find peaks, the brightest first, that keep a distance from each other.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is darker than all else.
    min_distance
        A peak is the largest pixel of a box of ``2 * min_distance + 1``; of equal
        ones closer than this the first is taken. In pixels.
    threshold_abs
        Peaks are brighter than this. Default: the smallest pixel.
    threshold_rel
        Peaks are brighter than this share of the largest pixel.
    exclude_border
        Width of the border without peaks, in pixels. true: ``min_distance``; false: 0.
    num_peaks
        How many at most.
    subpixel
        Whether to move each peak, along every axis, to the top of the parabola
        through it and its two neighbours: half a pixel at most.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per peak, the brightest first: ``label`` from 1 on, ``y`` and ``x`` (in
        volumes ``z`` before) in pixels, ``intensity`` of the pixel. Positions are
        int64, with ``subpixel`` float64.

    Notes
    -----
    Equal to ``skimage.feature.peak_local_max``, order included (images without NaN),
    tested. An image of one level has no peak.

    Examples
    --------
    >>> peak_local_max([[0, 0, 0], [0, 7, 0], [0, 0, 0]]).to_dict("list")
    {'label': [1], 'y': [1], 'x': [1], 'intensity': [7.0]}
    """
    plane = pixels(image)
    if plane.dtype.kind == "f":
        plane = np.where(np.isnan(plane), -np.inf, plane).astype(plane.dtype)
    found = _peak_mask(plane, min_distance, threshold_abs, threshold_rel)
    width = min_distance if exclude_border is True else int(exclude_border)
    if width:
        for axis in range(plane.ndim):
            edge = np.moveaxis(found, axis, 0)
            edge[:width] = False
            edge[-width:] = False
    points = np.argwhere(found)
    heights = plane[found].astype(np.float64)
    order = np.argsort(-heights, kind="stable")
    points, heights = points[order], heights[order]
    if min_distance > 1:
        keep = spaced(points, plane.shape, min_distance)
        points, heights = points[keep], heights[keep]
    points, heights = points[:num_peaks], heights[:num_peaks]
    places = refined(plane, points) if subpixel else points
    return table(places, intensity=heights)


def _peak_mask(
    image: Array, radius: int, threshold_abs: float | None, threshold_rel: float | None
) -> NDArray[np.bool_]:
    threshold = image.min() if threshold_abs is None else threshold_abs
    if threshold_rel is not None:
        threshold = max(threshold, threshold_rel * image.max())
    if image.size == 1:
        return np.asarray(image > threshold)
    found = np.asarray(image == dilate(image, radius, "box"))
    if found.all():
        found[:] = False
    return np.asarray(found & (image > threshold))
