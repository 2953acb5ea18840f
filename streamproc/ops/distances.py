"""How far the background is, and which object is nearest."""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import FrameError
from ..frame import Array
from . import _nearest
from ._operator import operator
from ._pixels import foreground, pixels
from ._separable import per_axis

#: The distance between neighbours along an axis.
Spacing: TypeAlias = Annotated[float, Gt(0), Le(1e6)]


@operator(
    ("mask", "labels"), gives="image", oracle="scipy.ndimage.distance_transform_edt"
)
def distance_transform(
    mask: ArrayLike,
    *,
    sampling: Spacing | tuple[Spacing, ...] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Give every pixel its distance to the next background pixel.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    sampling
        Distance between neighbouring pixels: one number, or one per axis. Distances
        are in its unit, by default in pixels.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; the Euclidean distance, 0 in the background. Where there is no
        background at all it is infinite.

    Raises
    ------
    ConfigError
        ``sampling`` has another length than the image has axes.

    Notes
    -----
    Exact, by one sweep along each axis. Equal to
    ``scipy.ndimage.distance_transform_edt`` rounded to float32, tested; of a mask
    without background SciPy measures to a pixel outside.

    References
    ----------
    C. Maurer, R. Qi and V. Raghavan (2003), doi:10.1109/TPAMI.2003.1177156.

    Examples
    --------
    >>> distance_transform([[0, 1, 1, 1]]).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    background = np.subtract(1, foreground(mask))
    spacing = per_axis(sampling, background.ndim, "sampling")
    return _nearest.distances(background, spacing)


@operator(("labels",), gives="labels", oracle="skimage.segmentation.expand_labels")
def expand_labels(
    labels: ArrayLike,
    *,
    distance: Annotated[float, Ge(0), Le(1e6)] = 1.0,
    spacing: Spacing | tuple[Spacing, ...] = 1.0,
    channel_axis: int | None = None,
) -> Array:
    """Grow every object into the background, but not into other objects.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 is background.
    distance
        How far to grow, in the unit of ``spacing``: by default in pixels.
    spacing
        Distance between neighbouring pixels: one number, or one per axis.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype. Background within ``distance`` of an object has the
        number of the nearest one.

    Raises
    ------
    FrameError
        The labels are not whole numbers.
    ConfigError
        ``spacing`` has another length than the image has axes.

    Notes
    -----
    Of equally near objects that wins whose pixel comes first along the last axis,
    then along the one before. Equal to ``skimage.segmentation.expand_labels``, such
    ties included, tested.

    Examples
    --------
    >>> expand_labels([[0, 3, 0, 0, 0, 7]]).tolist()
    [[3, 3, 3, 0, 7, 7]]
    """
    image = whole_labels(labels)
    spaces = per_axis(spacing, image.ndim, "spacing")
    found = _nearest.nearest(
        image.astype(bool), spaces, np.equal(image, 0), float(distance)
    )
    return _nearest.take(image, found)


def whole_labels(labels: ArrayLike, name: str = "labels") -> Array:
    """Return labels as kernels read them.

    Raises
    ------
    FrameError
        They are not whole numbers from 0 on.
    """
    image = pixels(labels, name)
    if image.dtype.kind not in "iu":
        raise FrameError(f"{name} must hold whole numbers, got dtype {image.dtype}")
    if image.dtype.kind == "i" and image.min() < 0:
        raise FrameError(f"{name} must be from 0 on, got {image.min()}")
    return image
