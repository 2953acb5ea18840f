"""Smoothing that keeps edges."""

from typing import Annotated, Any, TypeAlias

import numpy as np
from annotated_types import Ge, Gt, Le, Predicate
from numpy.typing import ArrayLike, NDArray

from ..frame import Array
from ._bilateral import bilateral_mean
from ._nonlocal import nonlocal_mean
from ._operator import operator
from ._pixels import odd, pixels, single
from ._variation import least_variation

#: In grey levels of the image.
Levels: TypeAlias = Annotated[float, Gt(0)]


@operator(
    ("image", "mask"), gives="image", oracle="skimage.restoration.denoise_bilateral"
)
def bilateral(
    image: ArrayLike,
    *,
    sigma_color: Levels | None = None,
    sigma_spatial: Annotated[float, Gt(0), Le(100)] = 1.0,
    win_size: Annotated[int, Ge(1), Le(255), Predicate(odd)] | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Smooth within regions: the mean over neighbours of about the same grey level.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel whose
        window holds it.
    sigma_color
        Standard deviation in grey levels of the image: a difference that still counts
        as the same region. Default: that of the image's pixels.
    sigma_spatial
        Standard deviation in pixels.
    win_size
        Side of the window in pixels, odd. Default: 3 sigma to either side, at least
        5.
    channel_axis
        Axis of channels; each is denoised on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d), and not rescaled. The
    window is square, its weights Gaussian in space and in grey level: within 1e-5 of
    the largest absolute pixel of that sum in float64, tested. That is what
    ``skimage.restoration.denoise_bilateral`` does in its loop (``mode="symmetric"``);
    scikit-image 0.26 itself gives that loop weights in space that are shifted by a
    pixel and skewed. C. Tomasi and R. Manduchi (1998), "Bilateral filtering for gray
    and color images", doi:10.1109/ICCV.1998.710815.

    Examples
    --------
    >>> bilateral([[0, 1, 0, 100, 101, 100]], sigma_color=5).round().tolist()
    [[0.0, 0.0, 0.0, 100.0, 100.0, 100.0]]
    """
    plane = pixels(image)
    # one level has no spread, and any sigma leaves it as it is
    color = sigma_color or _spread(plane) or 1.0
    side = win_size or max(5, 2 * int(np.ceil(3 * sigma_spatial)) + 1)
    return bilateral_mean(plane, side // 2, color, sigma_spatial)


@operator(
    ("image", "mask"), gives="image", oracle="skimage.restoration.denoise_tv_chambolle"
)
def denoise_tv(
    image: ArrayLike,
    *,
    weight: Levels = 0.1,
    eps: Annotated[float, Gt(0), Le(1)] = 2e-4,
    max_num_iter: Annotated[int, Ge(1), Le(100_000)] = 200,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Find the image nearby that varies least: flat regions, sharp edges.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads.
    weight
        In grey levels of the image: the larger, the flatter. About the noise's
        standard deviation; the default suits images from 0 to 1.
    eps
        It ends when the cost changes by less than this share of the first cost.
    max_num_iter
        It ends after so many rounds in any case.
    channel_axis
        Axis of channels; each is denoised on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale.

    Notes
    -----
    Nothing is rescaled. Within 1e-4 of the largest absolute pixel of
    ``skimage.restoration.denoise_tv_chambolle`` on float32, tested. A. Chambolle
    (2004), "An algorithm for total variation minimization and applications",
    doi:10.1023/B:JMIV.0000011325.36760.1e.

    Examples
    --------
    >>> denoise_tv([[0, 1, 0, 9, 8, 9]], weight=3).round().tolist()
    [[1.0, 1.0, 1.0, 8.0, 8.0, 8.0]]
    """
    return least_variation(pixels(image), weight, eps, max_num_iter)


@operator(
    ("image", "mask"), gives="image", oracle="skimage.restoration.denoise_nl_means"
)
def denoise_nl_means(
    image: ArrayLike,
    *,
    h: Levels = 0.1,
    patch_size: Annotated[int, Ge(1), Le(101), Predicate(odd)] = 7,
    patch_distance: Annotated[int, Ge(1), Le(101)] = 11,
    sigma: Annotated[float, Ge(0)] = 0.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Average pixels whose surroundings look alike: non-local means.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads.
    h
        In grey levels of the image: the larger, the more differing patches count. A
        little less than the noise's standard deviation; the default suits images from
        0 to 1.
    patch_size
        Side of the patches that are compared, in pixels, odd.
    patch_distance
        How far to look for patches, in pixels.
    sigma
        Standard deviation of the noise in grey levels, where it is known: so much
        difference is expected.
    channel_axis
        Axis of channels; each is denoised on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale.

    Notes
    -----
    Nothing is rescaled. Within 1e-5 of the largest absolute pixel of
    ``skimage.restoration.denoise_nl_means`` on float32 with ``fast_mode`` and
    ``preserve_range``, tested; in volumes it is that function. A. Buades, B. Coll
    and J.-M. Morel (2005), "A non-local algorithm for image denoising",
    doi:10.1109/CVPR.2005.38.

    Examples
    --------
    >>> denoise_nl_means([[0, 1, 0, 9, 8, 9]] * 6, h=1)[2].round().tolist()
    [0.0, 1.0, 0.0, 9.0, 8.0, 9.0]
    """
    plane = pixels(image)
    if plane.ndim == 2:
        return nonlocal_mean(plane, patch_size, patch_distance, h, sigma)
    from skimage import restoration

    denoise: Any = restoration.denoise_nl_means
    result = denoise(
        single(plane),
        patch_size=patch_size,
        patch_distance=patch_distance,
        h=h,
        sigma=sigma,
        preserve_range=True,
    )
    return np.asarray(result, np.float32).reshape(plane.shape)


@np.errstate(invalid="ignore", over="ignore")  # infinite pixels give NaN
def _spread(plane: Array) -> float:
    return float(np.std(plane, dtype=np.float64))
