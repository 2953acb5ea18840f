"""What simplifies the form of objects: skeleton and convex hull."""

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ._hull_masks import draw_hulls
from ._operator import operator
from ._pixels import as_mask, foreground
from ._runs import find_runs
from .labeling import objects


@operator(("mask",), gives="mask", oracle="skimage.morphology.skeletonize")
def skeletonize(
    mask: ArrayLike,
    *,
    method: Literal["zhang", "lee"] | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Thin the foreground to lines one pixel wide.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    method
        ``zhang`` (planes only), the default of planes, or ``lee``, that of volumes.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Raises
    ------
    ConfigError
        Method ``zhang`` is asked for a volume.

    Notes
    -----
    It is ``skimage.morphology.skeletonize``. Outside of the image is background.

    References
    ----------
    T. Zhang and C. Suen (1984), doi:10.1145/357994.358023; T. Lee, R. Kashyap and
    C. Chu (1994), doi:10.1006/cgip.1994.1042.

    Examples
    --------
    >>> skeletonize([[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]).tolist()
    [[0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]]
    """
    from skimage import morphology

    image = foreground(mask)
    if method == "zhang" and image.ndim == 3:
        raise ConfigError(
            "skeletonize: method 'zhang' is for planes, got a volume; take 'lee'"
        )
    skeleton: Any = morphology.skeletonize  # scikit-image has no types yet
    return as_mask(np.ascontiguousarray(skeleton(image, method=method), np.bool_))


@operator(("mask",), gives="mask", oracle="skimage.morphology.convex_hull_image")
def convex_hull_image(
    mask: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Fill the smallest convex outline around all foreground.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1; 0 everywhere where there is no foreground.

    Notes
    -----
    A pixel reaches half a pixel from its centre along each axis. Equal to
    ``skimage.morphology.convex_hull_image``, tested; in planes by whole numbers. A
    volume whose foreground lies in one plane has a hull, too: scikit-image gives up.

    Examples
    --------
    >>> convex_hull_image([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    """
    image = foreground(mask)
    runs = find_runs(image)
    hull = np.zeros(image.shape, np.uint8)
    if len(runs):
        draw_hulls(runs, np.zeros(len(runs), np.int64), 1, hull)
    return hull


@operator(("mask",), gives="mask", oracle="skimage.morphology.convex_hull_object")
def convex_hull_object(
    mask: ArrayLike,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] = 2,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Fill the smallest convex outline around each object.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    connectivity
        What makes foreground one object, as in `label`.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1. Hulls may overlap or touch: they are not kept apart.

    Raises
    ------
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Equal to ``skimage.morphology.convex_hull_object``, tested; that has no volumes.
    Planes cost little more than labelling, however many objects there are.

    Examples
    --------
    >>> convex_hull_object([[1, 0, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0, 1, 0]]).tolist()
    [[1, 1, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0, 1, 0]]
    """
    image = foreground(mask)
    runs, numbers, count = objects(image, connectivity)
    hull = np.zeros(image.shape, np.uint8)
    draw_hulls(runs, numbers.astype(np.int64) - 1, count, hull)
    return hull
