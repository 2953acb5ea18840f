"""One region per seed: by flooding, or by the nearest."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, FrameError
from ..frame import Array
from . import _nearest
from ._flood import flood
from ._operator import operator
from ._pixels import foreground, pixels
from .distances import whole_labels
from .filters import Sigma, gaussian
from .labeling import label
from .spots import local_maxima
from .thresholding import threshold

#: The kernel keeps numbers in 32 bits, and negative ones for itself.
_LARGEST = 2**31 - 1


@operator(
    ("image", "mask"),
    ("labels",),
    ("mask",),
    gives="labels",
    optional=1,
    oracle="skimage.segmentation.watershed",
)
def watershed(
    image: ArrayLike,
    markers: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] = 1,
    compactness: Annotated[float, Ge(0)] = 0.0,
    watershed_line: bool = False,
    channel_axis: int | None = None,
) -> NDArray[np.uint32]:
    """Flood an image from markers: each becomes a basin.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; dark pixels are flooded first,
        NaN last.
    markers
        Labels of the same shape; every pixel that is not 0 is where its basin begins.
    mask
        Where to flood, of the same shape. Default: everywhere.
    connectivity
        How many axes a step to a neighbour may cross.
    compactness
        More than 0 makes basins more alike in shape; a tenth of the range of the
        image is much.
    watershed_line
        Whether to leave a line of 0 between basins.
    channel_axis
        Axis of channels; each is flooded on its own.

    Returns
    -------
    ndarray of uint32
        Same shape; each pixel has the number of its basin, 0 outside the mask and
        where no marker leads.

    Raises
    ------
    ConfigError
        ``connectivity`` is larger than the number of axes.
    FrameError
        Markers are not whole numbers from 0 on, or the shapes differ.

    Notes
    -----
    Pixels are flooded by their level, then in the order in which they were reached.
    Equal to ``skimage.segmentation.watershed``, ties included, tested. With
    ``compactness`` or ``watershed_line`` it is that function.

    References
    ----------
    P. Soille and M. Ansoult (1990), doi:10.1016/0165-1684(90)90127-K.

    Examples
    --------
    >>> watershed([[1, 2, 9, 3, 1]], [[4, 0, 0, 0, 2]]).tolist()
    [[4, 4, 4, 2, 2]]
    """
    plane = pixels(image)
    if connectivity > plane.ndim:
        raise ConfigError(
            f"connectivity must be <= {plane.ndim} for {plane.ndim}-D images, "
            f"got {connectivity}"
        )
    begin = _fitting(whole_labels(markers, "markers"), plane.shape, "markers")
    if begin.max() > _LARGEST:
        raise FrameError(
            f"watershed: markers must be <= {_LARGEST}, got {begin.max()}; "
            "number them anew by relabel_sequential"
        )
    if mask is None:
        where: Array = np.ones(plane.shape, np.uint8)
    else:
        where = _fitting(foreground(mask), plane.shape, "mask")
    if compactness > 0 or watershed_line:
        from skimage.segmentation import watershed as flooded

        basins = flooded(  # type: ignore[no-untyped-call]  # has no types yet
            plane,
            begin.astype(np.int64),
            connectivity,
            mask=where.astype(bool),
            compactness=compactness,
            watershed_line=watershed_line,
        )
        return np.ascontiguousarray(basins, np.uint32)
    return flood(plane, begin, where, connectivity)


def _fitting(array: Array, shape: tuple[int, ...], name: str) -> Array:
    if array.shape != shape:
        raise FrameError(
            f"watershed: {name} of shape {array.shape} do not fit an image of shape "
            f"{shape}"
        )
    return array


@operator(
    ("image",),
    gives="labels",
    oracle="pyclesperanto.voronoi_otsu_labeling, with exact distances",
)
def voronoi_otsu(
    image: ArrayLike,
    *,
    spot_sigma: Sigma = 2.0,
    outline_sigma: Sigma = 2.0,
    channel_axis: int | None = None,
) -> NDArray[np.uint32]:
    """Segment bright roundish objects, touching ones apart.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads by ``outline_sigma``
        and is background.
    spot_sigma
        How near to each other objects may be: local maxima of the image smoothed by
        this Gaussian are their seeds. In pixels.
    outline_sigma
        How smooth outlines are: Otsu's threshold of the image smoothed by this
        Gaussian parts objects from the background. In pixels.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint32
        Same shape; each pixel of the foreground has the number of its nearest seed.
        Seeds are numbered in raster order from 1 on; 0 is background. An image of one
        level has no objects.

    Notes
    -----
    `gaussian`, `local_maxima` and `threshold`, then an exact Voronoi diagram of the
    seeds in the foreground. Equal to the same steps with scikit-image and
    ``scipy.ndimage.distance_transform_edt(..., return_indices=True)`` from the
    smoothed images on, tested. pyclesperanto grows seeds step by step instead, which
    is near to that.

    Examples
    --------
    >>> image = np.zeros((9, 20))
    >>> image[4, [4, 14]] = 100
    >>> voronoi_otsu(image, spot_sigma=1, outline_sigma=1)[4, [0, 4, 9, 14]].tolist()
    [0, 1, 0, 2]
    """
    plane = pixels(image)
    if plane.min() == plane.max():
        # smoothing would leave rounding, and a threshold would part it
        return np.zeros(plane.shape, np.uint32)
    smooth = gaussian(plane, sigma=spot_sigma)
    same = spot_sigma == outline_sigma
    outline = smooth if same else gaussian(plane, sigma=outline_sigma)
    mask = threshold(outline)
    seeds = label(local_maxima(smooth) & mask)
    if not seeds.any():
        return seeds
    found = _nearest.nearest(seeds != 0, (1.0,) * seeds.ndim, mask)
    return _nearest.take(seeds, found)
