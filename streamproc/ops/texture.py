"""The texture of objects: how the grey levels of neighbouring pixels go together."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ..table import Measurements
from ._cooccurrence import FEATURES, cooccurrence
from ._objects import find_objects
from ._operator import operator
from .measurement import split


@operator(
    ("labels",),
    ("image", "mask"),
    gives="table",
    oracle="skimage.feature.graycomatrix, graycoprops",
    shown=Measurements.dataframe,
)
def texture(
    labels: ArrayLike,
    intensity: ArrayLike,
    *,
    distance: Annotated[int, Ge(1), Le(99)] = 1,
    levels: Annotated[int, Ge(2), Le(256)] = 32,
    low: float | None = None,
    high: float | None = None,
    channel_axis: int | None = None,
) -> Measurements:
    """Measure the texture of every object by co-occurring grey levels (GLCM).

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 and less is background.
    intensity
        The image to measure in: of the same shape, or with channels in front.
    distance
        Pixels between the two of a pair.
    levels
        Grey levels that the image is reduced to.
    low, high
        Where the first level begins and the last one ends; what is darker or brighter
        counts to these. Default: the smallest and the largest finite pixel of the
        frame (of the channel), so that neither brightness nor contrast matters; give
        both to compare frames with each other.
    channel_axis
        Not for tables: give several channels as ``intensity``.

    Returns
    -------
    DataFrame
        A row per object, by ascending ``label``; float64 columns ``contrast``,
        ``dissimilarity``, ``homogeneity``, ``energy``, ``correlation``, ``ASM``, each
        the mean over 0, 45, 90 and 135 degrees (13 directions in a volume). A direction
        in which an object has no pair does not count; an object without any pair is
        NaN. Several channels have a number: ``contrast_c0``.

    Raises
    ------
    ConfigError
        ``high`` is not above ``low``.
    FrameError
        Labels are not whole numbers, or the shapes do not fit.

    Notes
    -----
    A pixel ``v`` has the level ``floor((v - low) / (high - low) * levels)``, in double
    precision. Pairs are those of pixels of one object, in both orders (symmetric); NaN
    pixels have none. Equal to ``skimage.feature.graycoprops`` of the normalized
    ``graycomatrix`` of each object, in volumes to pairs counted one by one, tested.

    References
    ----------
    R. Haralick, K. Shanmugam and I. Dinstein (1973), doi:10.1109/TSMC.1973.4309314.

    Examples
    --------
    >>> table = texture([[1, 1, 1]], [[0, 5, 0]], levels=2)
    >>> table[["contrast", "homogeneity", "correlation"]].to_numpy().tolist()
    [[1.0, 0.5, -1.0]]
    """
    objects = find_objects(labels)
    if low is not None and high is not None and not low < high:
        raise ConfigError(f"high must be > low, got {high} and {low}")
    table: dict[str, Array] = {"label": objects.present}
    for end, image in split(intensity, objects.shape):
        reduced = _reduced(image, levels, low, high)
        found = cooccurrence(objects, reduced, levels, distance)
        for name, column in zip(FEATURES, found.T, strict=True):
            table[name + end] = column
    return Measurements(table)


def _reduced(
    image: Array, levels: int, low: float | None, high: float | None
) -> NDArray[np.int32]:
    """Return the level of every pixel; -1 where it is NaN."""
    plane = image.astype(np.float64)
    finite = plane[np.isfinite(plane)] if image.dtype.kind == "f" else plane
    low = finite.min(initial=np.inf) if low is None else low
    high = finite.max(initial=-np.inf) if high is None else high
    if not low < high:
        # one level, or nothing between what was given and what there is
        reduced = np.where(plane > low, levels - 1, 0)
    else:
        scaled = (plane - low) / (high - low) * levels
        reduced = np.clip(np.nan_to_num(np.floor(scaled)), 0, levels - 1)
    return np.where(np.isnan(plane), -1, reduced).astype(np.int32)
