"""One row of numbers per object."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, FrameError, nearest
from ..frame import Array
from ..table import Measurements
from ._moments import Geometry, Intensity, geometry, intensities
from ._operator import operator
from ._orientation import decided
from ._perimeter import perimeters
from ._pixels import numbers, pixels
from ._runs import find_runs, number_values

#: Every property by its names, old and new; the value is its name here.
PROPERTIES: dict[str, str] = {
    "area": "area",
    "axis_major_length": "major",
    "axis_minor_length": "minor",
    "bbox": "bbox",
    "centroid": "centroid",
    "centroid_weighted": "centroid_weighted",
    "eccentricity": "eccentricity",
    "equivalent_diameter": "diameter",
    "equivalent_diameter_area": "diameter",
    "intensity_max": "max",
    "intensity_mean": "mean",
    "intensity_min": "min",
    "intensity_std": "std",
    "major_axis_length": "major",
    "max_intensity": "max",
    "mean_intensity": "mean",
    "min_intensity": "min",
    "minor_axis_length": "minor",
    "orientation": "orientation",
    "perimeter": "perimeter",
    "std_intensity": "std",
    "sum_intensity": "sum",
    "weighted_centroid": "centroid_weighted",
}
DEFAULT = ("area", "centroid", "mean_intensity")

_OF_PIXELS = {"max", "mean", "min", "std", "sum", "centroid_weighted"}
_PLANE_ONLY = {"eccentricity", "orientation", "perimeter"}


@operator(
    ("labels",),
    ("image", "mask"),
    gives="table",
    optional=1,
    shown=Measurements.dataframe,
)
def measure(
    labels: ArrayLike,
    intensity: ArrayLike | None = None,
    *,
    properties: tuple[str, ...] = DEFAULT,
    channel_axis: int | None = None,
) -> Measurements:
    """Measure every object of a label image.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 and less is background, numbers
        may be missing, an object need not be connected.
    intensity
        The image to measure in: of the same shape, or with channels in front. NaN
        pixels are ignored by its measures.
    properties
        Names of `PROPERTIES`, scikit-image's old or new ones. Default: area, centroid
        and, with an intensity image, mean_intensity.
    channel_axis
        Not for tables: give several channels as ``intensity``.

    Returns
    -------
    DataFrame
        A row per object, by ascending ``label``, which is the first column; then one
        or more columns for each property, in the order asked, under the name asked
        for. ``area`` in pixels and ``bbox_y0, bbox_x0, bbox_y1, bbox_x1`` (half open)
        are int64, all others float64. Positions have an axis: ``centroid_y,
        centroid_x``; in volumes ``_z`` comes first. Several channels have a number:
        ``mean_intensity_c0``. ``std`` is of the whole population, ``orientation`` the
        angle between the y axis and the major axis in radians, -pi/2 to pi/2. What
        has no pixels but NaN is NaN.

    Raises
    ------
    ConfigError
        A property is unknown, needs an intensity image, or is for planes only.
    FrameError
        Labels are not whole numbers, or the shapes do not fit.

    Notes
    -----
    One sweep over runs of pixels, one more for perimeters. Moments are whole numbers
    around each object's first pixel, so that shape measures do not lose digits far
    from the corner. Equal to ``skimage.measure.regionprops``, tested.

    Examples
    --------
    >>> measure([[1, 1, 0], [0, 0, 4]], [[2, 4, 0], [0, 0, 7]]).to_dict("list")
    ... # doctest: +NORMALIZE_WHITESPACE
    {'label': [1, 4], 'area': [2, 1], 'centroid_y': [0.0, 1.0],
     'centroid_x': [0.5, 2.0], 'mean_intensity': [3.0, 7.0]}
    """
    image = pixels(labels, "labels")
    if image.dtype.kind not in "iu":
        raise FrameError(f"labels must hold whole numbers, got dtype {image.dtype}")
    names = check_properties(
        properties,
        ndim=image.ndim,
        has_intensity=intensity is not None,
        explicit=properties != DEFAULT,
    )
    runs = find_runs(image)
    present, place = number_values(runs.value)
    shapes = geometry(image.shape, runs, place, len(present))
    columns: dict[str, Array] = {"label": present}
    channels = [] if intensity is None else _channels(intensity, image.shape)
    wanted = {PROPERTIES[name] for name in names}
    measured = [
        intensities(c, runs, place, shapes) for c in channels if wanted & _OF_PIXELS
    ]
    for name in names:
        kind = PROPERTIES[name]
        if kind in _OF_PIXELS:
            for number, channel in enumerate(measured):
                suffix = f"_c{number}" if _has_channels(intensity, image) else ""
                for column, values in _of_pixels(kind, name, channel, image.ndim):
                    columns[column + suffix] = values
        elif kind == "perimeter":
            columns[name] = perimeters(image, runs, place, len(present))
        elif kind == "orientation":
            columns[name] = _orientations(image, present, shapes)
        elif kind in ("centroid", "bbox"):
            columns |= _positions(kind, name, shapes)
        else:
            columns[name] = _SHAPE[kind](shapes)
    return Measurements(columns)


def check_properties(
    properties: Sequence[str],
    *,
    has_intensity: bool,
    ndim: int | None = None,
    explicit: bool = True,
) -> tuple[str, ...]:
    """Return the properties to measure.

    Parameters
    ----------
    properties
        Names, as in `measure`.
    has_intensity
        Whether there is an intensity image.
    ndim
        Axes of the labels; None where they are not known yet.
    explicit
        Whether somebody asked for them: of the default ones those that need an
        intensity image are left out where there is none.

    Raises
    ------
    ConfigError
        A property is unknown (the nearest is named), needs an intensity image, or is
        for planes only.
    """
    kept = []
    for name in properties:
        if name not in PROPERTIES:
            raise ConfigError(
                f"measure has no property {name!r}{nearest(name, PROPERTIES)}"
            )
        if PROPERTIES[name] in _OF_PIXELS and not has_intensity:
            if not explicit:
                continue
            raise ConfigError(
                f"{name} needs an intensity image; give measure one as intensity"
            )
        if ndim == 3 and PROPERTIES[name] in _PLANE_ONLY:
            raise ConfigError(f"{name} is for planes (y, x) only, got (z, y, x)")
        kept.append(name)
    return tuple(kept)


def _channels(intensity: ArrayLike, shape: tuple[int, ...]) -> list[Array]:
    image = numbers(intensity, "intensity")
    if image.shape == shape:
        return [image]
    if image.shape[1:] == shape:
        return list(image)
    raise FrameError(
        f"intensity of shape {image.shape} does not fit labels of shape {shape}"
    )


def _has_channels(intensity: ArrayLike | None, labels: Array) -> bool:
    return np.ndim(intensity) > labels.ndim if intensity is not None else False


def _orientations(
    labels: Array, present: NDArray[np.int64], shapes: Geometry
) -> NDArray[np.float64]:
    angles = shapes.orientation()
    low, high = shapes.lowest, shapes.highest
    for i in shapes.undecided():
        box = labels[low["y"][i] : high["y"][i], low["x"][i] : high["x"][i]]
        angles[i] = decided(box == present[i])
    return angles


def _positions(kind: str, name: str, shapes: Geometry) -> dict[str, Array]:
    axes = "zyx"[-shapes.ndim :]
    if kind == "centroid":
        return {f"{name}_{a}": shapes.centroid(a) for a in axes}
    return {
        f"{name}_{a}{end}": side[a]
        for end, side in enumerate((shapes.lowest, shapes.highest))
        for a in axes
    }


def _of_pixels(
    kind: str, name: str, channel: Intensity, ndim: int
) -> list[tuple[str, Array]]:
    if kind == "centroid_weighted":
        return [(f"{name}_{a}", channel.centroid(a)) for a in "zyx"[-ndim:]]
    return [(name, getattr(channel, kind))]


_SHAPE: dict[str, Callable[[Geometry], Array]] = {
    "area": lambda shapes: shapes.area,
    "diameter": Geometry.diameter,
    "eccentricity": Geometry.eccentricity,
    "major": lambda shapes: shapes.axis_lengths()[0],
    "minor": lambda shapes: shapes.axis_lengths()[1],
}
