"""Numbers of a whole frame: its brightness, its noise, its focus."""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..table import Measurements
from ._bins import binned
from ._focus import MEASURES
from ._operator import operator
from ._pixels import pixels
from ._summary import summary

Statistic: TypeAlias = Literal[
    "mean", "std", "min", "max", "sum", "percentiles", "entropy", "snr"
]
FocusMeasure: TypeAlias = Literal[
    "brenner", "laplacian_variance", "normalized_variance", "tenengrad"
]
_NAN = float("nan")


@operator(
    ("image", "mask"),
    gives="value",
    oracle="numpy.mean, percentile …; skimage.measure.shannon_entropy",
)
def statistics(
    image: ArrayLike,
    *,
    properties: Annotated[tuple[Statistic, ...], MinLen(1)] = (
        "mean",
        "std",
        "min",
        "max",
        "sum",
    ),
    percentiles: tuple[Annotated[float, Ge(0), Le(100)], ...] = (1, 50, 99),
    channel_axis: int | None = None,
) -> dict[str, float]:
    """Sum up the grey levels of a frame in a few numbers.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN pixels are left out.
    properties
        What to give, in this order: ``mean``, ``std`` (of the population), ``min``,
        ``max``, ``sum``, ``percentiles``, ``entropy`` and ``snr``.
    percentiles
        Per cent of the pixels below, for ``percentiles``; linear between pixels. 50 is
        the median.
    channel_axis
        Axis of channels; their numbers end in ``_c0``, ``_c1`` ….

    Returns
    -------
    dict
        A number for each name, in grey levels; ``min``, ``max`` and ``sum`` of whole
        numbers are whole. Percentiles are called ``percentile_1``, ``percentile_99_9``.
        In a table of the run each name is a column, and each frame a row.

    Notes
    -----
    ``entropy`` is Shannon's, in bits, of the pixels' levels as they are. ``snr`` is the
    difference between the mean of the pixels above Otsu's threshold and the mean of
    the others, over the standard deviation of the others: the signal-to-noise ratio of
    objects on a background. It is NaN where all pixels are alike, infinite where the
    background is. An image of nothing but NaN gives NaN for all.

    Equal to ``numpy.mean``, ``std``, ``min``, ``max``, ``sum`` and ``percentile`` in
    double precision, and to ``skimage.measure.shannon_entropy``, tested.

    Examples
    --------
    >>> statistics([[1, 2], [3, 6]], properties=("mean", "max", "entropy"))
    {'mean': 3.0, 'max': 6, 'entropy': 2.0}
    """
    levels = summary(pixels(image))
    found: dict[str, float] = {}
    for name in properties:
        if name == "percentiles":
            names = [f"percentile_{p:g}".replace(".", "_") for p in percentiles]
            values = levels.percentiles(percentiles) if levels else [_NAN] * len(names)
            found |= zip(names, values, strict=True)
        else:
            found[name] = getattr(levels, name)() if levels else _NAN
    return found


@operator(
    ("image", "mask"),
    gives="table",
    oracle="numpy.histogram",
    shown=Measurements.dataframe,
)
def histogram(
    image: ArrayLike,
    *,
    bins: Annotated[int, Ge(1), Le(65536)] = 256,
    range: tuple[float, float] | None = None,
    channel_axis: int | None = None,
) -> Measurements:
    """Count the pixels of a frame by their grey level.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. Pixels that are not finite are
        left out.
    bins
        Number of bins of equal width.
    range
        Grey levels where the first bin begins and the last one ends; pixels outside
        are left out. Default: the smallest and the largest pixel of the frame. Give it
        to compare frames with each other.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per bin: ``label``, its number from 1; ``low`` and ``high``, its edges,
        float64; ``count``, int64. An edge belongs to the bin above it, the last one to
        the last bin.

    Raises
    ------
    ConfigError
        The range does not ascend.

    Notes
    -----
    Counts and edges are those of ``numpy.histogram``, tested; whole numbers are
    counted by level first.

    Examples
    --------
    >>> histogram([[0, 1, 1, 4]], bins=2).to_dict("list")
    {'label': [1, 2], 'low': [0.0, 2.0], 'high': [2.0, 4.0], 'count': [3, 1]}
    """
    if range is not None and not range[0] < range[1]:
        raise ConfigError(f"range must ascend, got {list(range)}")
    counts, edges = binned(pixels(image), bins, range)
    return Measurements(
        {
            "label": np.arange(1, bins + 1),
            "low": edges[:-1],
            "high": edges[1:],
            "count": counts,
        }
    )


@operator(
    ("image", "mask"),
    gives="value",
    oracle="scipy.ndimage.laplace, sobel",
)
def focus(
    image: ArrayLike,
    *,
    measures: Annotated[tuple[FocusMeasure, ...], MinLen(1)] = ("laplacian_variance",),
    channel_axis: int | None = None,
) -> dict[str, float]:
    """Tell how sharp a frame is; larger is sharper.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    measures
        What to give: ``laplacian_variance``, the variance of ``scipy.ndimage.laplace``;
        ``tenengrad``, the mean of the squares of ``scipy.ndimage.sobel`` along y and x;
        ``brenner``, the mean square of the difference between pixels two apart along x;
        ``normalized_variance``, the variance of the levels over their mean.
    channel_axis
        Axis of channels; their numbers end in ``_c0``, ``_c1`` ….

    Returns
    -------
    dict
        A number for each measure: grey levels squared, ``normalized_variance`` grey
        levels. In a table of the run each is a column, and each frame a row.

    Notes
    -----
    Measures of one camera, exposure and field compare with each other, others do not.
    In a volume the planes are measured one by one and go together. A pixel whose
    derivative needs a NaN pixel does not count; without any pixel a measure is NaN.
    Computed in single precision up to 16 bits, else in double; within 1e-5 of the
    value in double precision, tested.

    References
    ----------
    Y. Sun, S. Duthaler and B. Nelson (2004), doi:10.1002/jemt.20118; S. Pertuz,
    D. Puig and M. Garcia (2013), doi:10.1016/j.patcog.2012.11.011.

    Examples
    --------
    >>> focus([[0, 0, 0, 4, 4, 4]], measures=("brenner", "normalized_variance"))
    {'brenner': 8.0, 'normalized_variance': 2.0}
    """
    plane = pixels(image)
    return {name: MEASURES[name](plane) for name in measures}
