"""Round particles of one size, located to a fraction of a pixel."""

from typing import Annotated, Any

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le, Predicate
from numpy.typing import ArrayLike, NDArray
from scipy import (  # type: ignore[import-untyped]  # scipy ships no types
    ndimage,
    spatial,
)

from ..errors import ConfigError, FrameError
from ..frame import Array
from ..table import Measurements
from ._centroids import COLUMNS, ball, centred
from ._footprints import dilate
from ._operator import operator
from ._pixels import odd, pixels
from ._points import table


@operator(
    ("image",), gives="table", oracle="trackpy.locate", shown=Measurements.dataframe
)
def locate(
    image: ArrayLike,
    *,
    diameter: Annotated[int, Ge(3), Le(999), Predicate(odd)] = 11,
    minmass: float = 0.0,
    maxsize: Annotated[float, Gt(0)] | None = None,
    separation: Annotated[float, Ge(1)] | None = None,
    noise_size: Annotated[float, Ge(0)] = 1.0,
    smoothing_size: Annotated[int, Ge(3), Predicate(odd)] | None = None,
    threshold: float | None = None,
    invert: bool = False,
    percentile: Annotated[float, Ge(0), Le(100)] = 64.0,
    topn: Annotated[int, Ge(1)] | None = None,
    preprocess: bool = True,
    max_iterations: Annotated[int, Ge(1)] = 10,
    channel_axis: int | None = None,
) -> Measurements:
    """Locate round particles of about one size, to a fraction of a pixel.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype, without NaN.
    diameter
        Of the particles, in pixels, odd; rather too large than too small.
    minmass
        Particles have a larger sum of pixels of the filtered image than this: what
        tells them from noise.
    maxsize
        Particles have a smaller radius of gyration than this, in pixels.
    separation
        Of two that are closer, the one of the smaller mass is dropped. In pixels;
        default: ``diameter + 1``.
    noise_size
        Standard deviation of the Gaussian against noise, in pixels.
    smoothing_size
        Side of the box whose mean is subtracted as background, in pixels, odd.
        Default: ``diameter``.
    threshold
        What is below this after that is set to 0. Default: 1 of whole numbers, 1/255
        of real ones.
    invert
        Whether particles are darker than what is around. Whole numbers are subtracted
        from the largest of their dtype, real ones from 1.
    percentile
        The brightest pixel of a particle is above so many percent of all that are not
        0 after the filter.
    topn
        How many at most: those of the largest mass.
    preprocess
        Whether to filter at all.
    max_iterations
        How often a window may follow its centre.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per particle, float64 but for ``label`` from 1 on: ``y`` and ``x`` (in
        volumes ``z`` before) in pixels; ``mass`` and ``signal``, the sum and the
        largest of its pixels in the filtered image; ``size``, the radius of gyration
        in pixels; ``ecc``, 0 if round (NaN in volumes); ``raw_mass``, the sum in the
        image; ``ep``, the standard error of a coordinate in pixels.

    Raises
    ------
    ConfigError
        ``smoothing_size`` is not larger than ``noise_size``.
    FrameError
        The image has NaN.

    Notes
    -----
    Local maxima of the filtered image, each moved to the centre of brightness in a
    disk (ball) of ``diameter``. Equal to ``trackpy.locate``, order included, tested.

    References
    ----------
    J. Crocker and D. Grier (1996), doi:10.1006/jcis.1996.0217.

    Examples
    --------
    >>> y, x = np.mgrid[:31, :31]
    >>> spot = 200 * np.exp(-((y - 15.2) ** 2 + (x - 14.7) ** 2) / 8)
    >>> locate(spot.astype(np.uint8), diameter=9)[["y", "x"]].round(1).to_dict("list")
    {'y': [15.2], 'x': [14.7]}
    """
    raw = pixels(image)
    if raw.dtype.kind == "f" and np.isnan(raw).any():
        raise FrameError("locate: the image has NaN pixels; replace them first")
    box = diameter if smoothing_size is None else smoothing_size
    apart = diameter + 1 if separation is None else separation
    if invert:
        raw = _inverted(raw)
    filtered: Array = raw
    if preprocess:
        if box <= noise_size:
            raise ConfigError(
                f"smoothing_size must be > noise_size, got {box} and {noise_size}"
            )
        filtered = _bandpass(raw, noise_size, box, threshold)
    scale, bright = _as_whole(filtered, raw.dtype)
    radius = diameter // 2
    margin = max(radius, int(apart // 2 - 1), box // 2)
    points = _maxima(bright, apart, percentile, margin)
    rows = centred(bright, raw, points, radius, max_iterations)
    rows = rows[_apart(rows[:, : raw.ndim], rows[:, raw.ndim], apart)]
    names = COLUMNS
    columns = {name: rows[:, raw.ndim + i] for i, name in enumerate(names)}
    columns["mass"] = columns["mass"] / scale
    columns["signal"] = columns["signal"] / scale
    keep = columns["mass"] > minmass
    if maxsize is not None:
        keep &= columns["size"] < maxsize
    chosen = np.flatnonzero(keep)
    if topn is not None and len(chosen) > topn:
        chosen = chosen[np.argsort(columns["mass"][chosen])[-topn:]]
    columns = {name: values[chosen] for name, values in columns.items()}
    columns["ep"] = _error(bright, raw, radius, noise_size, columns["raw_mass"])
    return table(rows[chosen, : raw.ndim], **columns)


def _inverted(image: Array) -> Array:
    if image.dtype.kind == "f":
        return np.asarray(1.0 - image, image.dtype)
    return np.bitwise_xor(image, np.iinfo(image.dtype).max)


def _bandpass(
    image: Array, noise_size: float, box: int, threshold: float | None
) -> NDArray[np.float64]:
    """Return the image less its background, smoothed, and 0 where it is dark."""
    if threshold is None:
        threshold = 1 / 255 if image.dtype.kind == "f" else 1
    background, smooth = image.copy(), image.astype(np.float64)
    radius = int(4 * noise_size + 0.5)
    x = np.arange(-radius, radius + 1)
    for axis in range(image.ndim):
        # of whole numbers a whole mean after every axis, as in trackpy
        ndimage.uniform_filter1d(background, box, axis, background, mode="nearest")
        if noise_size > 0:
            weights = np.exp(x**2 / (-2 * noise_size**2))
            weights /= weights.sum()
            ndimage.correlate1d(smooth, weights, axis, smooth, mode="constant")
    smooth -= background
    smooth[smooth < threshold] = 0
    return smooth


def _as_whole(image: Array, dtype: np.dtype[Any]) -> tuple[float, Array]:
    """Return a factor and the image times it, as whole numbers of the full range."""
    if image.dtype.kind != "f":
        return 1.0, image
    highest = float(image.max())
    whole = np.dtype(np.uint8) if dtype.kind == "f" else dtype
    scale = 1.0 if highest == 0 else np.iinfo(whole).max / highest
    return scale, (scale * np.maximum(image, 0)).astype(whole)


def _maxima(
    image: Array, apart: float, percentile: float, margin: int
) -> NDArray[np.int64]:
    """Return the largest pixels of boxes that fit into a disk of ``apart``."""
    none = np.empty((0, image.ndim), np.int64)
    lit = image[image != 0]
    if not lit.size:
        return none
    size = int(2 * apart / np.sqrt(image.ndim))
    if image.ndim == 2 and image.dtype in (np.uint8, np.uint16):
        middle = ((size - 1) // 2,) * 2
        highest = cv2.dilate(image, np.ones((size, size), np.uint8), anchor=middle)
    else:
        highest = ndimage.grey_dilation(image, (size,) * image.ndim, mode="constant")
    found = (image == highest) & (image > np.percentile(lit, percentile))
    places = np.argwhere(found)
    last = np.array(image.shape) - margin - 1
    return places[((places >= margin) & (places <= last)).all(axis=1)]


def _apart(
    places: NDArray[np.float64], mass: NDArray[np.float64], distance: float
) -> NDArray[np.bool_]:
    """Return which to keep: of two too close ones that of the larger mass."""
    keep = np.ones(len(places), np.bool_)
    if len(places) < 2:
        return keep
    scaled = places / distance
    pairs = spatial.cKDTree(scaled, 30).query_pairs(1 - 1e-7, output_type="ndarray")
    one, other = pairs[:, 0], pairs[:, 1]
    more = mass[one] > mass[other]
    # two windows that found the same centre: the one nearer to the origin goes
    same = mass[one] == mass[other]
    more |= same & (scaled[one].sum(axis=1) > scaled[other].sum(axis=1))
    keep[np.where(more, other, one)] = False
    return keep


def _error(
    image: Array, raw: Array, radius: int, noise_size: float, mass: Array
) -> NDArray[np.float64]:
    """Return the standard error of a coordinate, from the noise of the background."""
    lit = np.not_equal(image, 0).view(np.uint8)
    dark = raw[dilate(lit, radius, "disk") == 0]
    if dark.size < 2:
        return np.full(len(mass), np.nan)
    steps = ball(radius, image.ndim)
    own = mass - len(steps) * dark.mean()
    spread = float(np.sqrt((steps[:, 0] ** 2).sum()))
    return np.asarray(dark.std() / own * noise_size * spread, np.float64)
