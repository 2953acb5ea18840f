"""One row of numbers per object."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from ..errors import ConfigError, FrameError, nearest
from ..frame import Array
from ..table import Measurements
from ._objects import Levels, find_objects
from ._operator import operator
from ._pixels import numbers
from ._properties import LEVELS, PLANE_ONLY, SHAPE, columns
from ._properties import PROPERTIES as PROPERTIES

DEFAULT = ("area", "centroid", "mean_intensity")


@operator(
    ("labels",),
    ("image", "mask"),
    gives="table",
    optional=1,
    oracle="skimage.measure.regionprops_table",
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
        Names of `PROPERTIES`: all numeric ones of ``skimage.measure.regionprops``, old
        and new names, and ``intensity_sum``. Default: area, centroid and, with an
        intensity image, mean_intensity.
    channel_axis
        Not for tables: give several channels as ``intensity``.

    Returns
    -------
    DataFrame
        A row per object, by ascending ``label``, which is the first column; then one
        or more columns for each property, in the order asked, under the name asked
        for. Lengths are pixels, areas pixels (voxels), angles radians. Counts of
        pixels, ``euler_number`` and the half open box are int64, all others float64.

        Positions have an axis: ``centroid_y, centroid_x``, ``bbox_y0, bbox_x0, bbox_y1,
        bbox_x1``; in volumes ``_z`` comes first. Arrays have their indices:
        ``moments_0_1``, ``inertia_tensor_1_1``, ``moments_hu_6``. Several channels have
        a number at the end: ``mean_intensity_c0``.

    Raises
    ------
    ConfigError
        A property is unknown, needs an intensity image, or is for planes only.
    FrameError
        Labels are not whole numbers, or the shapes do not fit.

    Notes
    -----
    Equal to ``skimage.measure.regionprops``, tested: whole numbers exactly, others to
    1e-5. One sweep over runs of pixels finds size, place and second moments, as whole
    numbers around each object's first pixel, so that nothing is lost far from the
    corner; other properties cost a sweep of their own, and only where asked for.

    NaN pixels are left out of what is measured in the intensity image; an object of
    nothing but NaN, and a centre of brightness without brightness, are NaN.
    ``intensity_std`` is of the whole population, ``orientation`` the angle between the
    y axis and the major axis, -pi/2 to pi/2. Normalized moments below order 2 are NaN.
    ``eccentricity``, ``orientation``, the perimeters and Hu's moments are for planes.
    An object that is flat in a volume has the hull of its voxels, where scikit-image
    finds none.

    Examples
    --------
    >>> measure([[1, 1, 0], [0, 0, 4]], [[2, 4, 0], [0, 0, 7]]).to_dict("list")
    ... # doctest: +NORMALIZE_WHITESPACE
    {'label': [1, 4], 'area': [2, 1], 'centroid_y': [0.0, 1.0],
     'centroid_x': [0.5, 2.0], 'mean_intensity': [3.0, 7.0]}
    """
    objects = find_objects(labels)
    names = check_properties(
        properties,
        ndim=objects.ndim,
        has_intensity=intensity is not None,
        explicit=properties != DEFAULT,
    )
    shape = objects.shape
    channels = [(end, Levels(objects, image)) for end, image in split(intensity, shape)]
    table: dict[str, Array] = {"label": objects.present}
    for name in names:
        kind = PROPERTIES[name]
        if kind in SHAPE:
            table |= columns(name, SHAPE[kind](objects), len(shape))
            continue
        for end, levels in channels:
            for column, values in columns(name, LEVELS[kind](levels), len(shape)):
                table[column + end] = values
    return Measurements(table)


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
        if PROPERTIES[name] in LEVELS and not has_intensity:
            if not explicit:
                continue
            raise ConfigError(
                f"{name} needs an intensity image; give measure one as intensity"
            )
        if ndim == 3 and PROPERTIES[name] in PLANE_ONLY:
            raise ConfigError(f"{name} is for planes (y, x) only, got (z, y, x)")
        kept.append(name)
    return tuple(kept)


def split(
    intensity: ArrayLike | None, shape: tuple[int, ...]
) -> list[tuple[str, Array]]:
    """Return the channels to measure in, each with the end of its columns' names.

    Raises
    ------
    FrameError
        The image has another shape than the labels.
    """
    if intensity is None:
        return []
    image = numbers(intensity, "intensity")
    if image.shape == shape:
        return [("", image)]
    if image.shape[1:] == shape:
        return [(f"_c{number}", channel) for number, channel in enumerate(image)]
    raise FrameError(
        f"intensity of shape {image.shape} does not fit labels of shape {shape}"
    )
