"""Smoothing, edges, ranks, weights, denoising, frequency space."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import filters as _filters
from skimage import restoration as _restoration
from skimage.restoration import _denoise_cy

from tests.ops.cases import Case
from tests.ops.pictures import Array

#: scikit-image has no types yet.
filters: Any = _filters
restoration: Any = _restoration
loop: Any = _denoise_cy._denoise_bilateral

#: Of smoothing and derivatives.
NEAR = 1e-5
SHARPEN = ((0.0, -0.25, 0.0), (-0.25, 1.0, 0.25), (0.0, 0.25, 0.0))
EVEN = ((0.1, 0.2, 0.3, 0.1), (0.0, -0.1, 0.2, 0.0))
WIDE = tuple(tuple((7 * i + 3 * j) % 5 / 250 for j in range(11)) for i in range(11))


def floats(function: Callable[..., Any], **options: Any) -> Callable[..., Array]:
    """Return the function on float32 pixels."""

    def oracle(image: Array) -> Array:
        return np.asarray(function(image.astype(np.float32), **options))

    return oracle


def same(function: Callable[..., Any], **options: Any) -> Callable[..., Array]:
    """Return the function on the pixels as they are."""

    def oracle(image: Array) -> Array:
        return np.asarray(function(image, **options))

    return oracle


def weighed(
    function: Callable[..., Any], weights: tuple[tuple[float, ...], ...]
) -> Callable[..., Array]:
    """Return scipy's filter of these weights, plane by plane."""

    def oracle(image: Array) -> Array:
        array = np.reshape(weights, (1,) * (image.ndim - 2) + np.shape(weights))
        return np.asarray(function(image.astype(np.float32), array))

    return oracle


def spectral(function: Callable[..., Any], value: Any) -> Callable[..., Array]:
    """Return scipy's factors between a transform and its inverse."""

    def oracle(image: Array) -> Array:
        spectrum = np.fft.fftn(image.astype(np.float64))
        return np.fft.ifftn(function(spectrum, value)).real.astype(np.float32)

    return oracle


def bilateral(image: Array) -> Array:
    """scikit-image's loop with the weights that its documentation says.

    Its own table of weights in space is one too wide, so that its loop misreads it.
    """
    if np.ptp(image) == 0:
        return image.astype(np.float32)
    plane = image.astype(np.float64)[..., None]
    side, bins, largest = 7, 1_000_000, float(image.max())
    x = np.arange(side) - side // 2
    space = np.exp(-0.5 * (x[:, None] ** 2 + x**2)).ravel()
    levels = np.linspace(0, largest, bins, endpoint=False)
    color = np.exp(-0.5 * (levels / plane.std()) ** 2)
    settings = (plane, largest, side, plane.std(), 1.0, bins, "symmetric", 0.0)
    out = np.empty_like(plane)
    loop(*settings, color, space, np.empty(1), out)
    return out[..., 0].astype(np.float32)


CASES: tuple[Case, ...] = (
    Case(
        "gaussian",
        floats(ndimage.gaussian_filter, sigma=1),
        {"sigma": 1.0},
        title="gaussian, sigma 1",
        bound=NEAR,
        nan=True,
        asked=10,
    ),
    Case(
        "gaussian",
        floats(ndimage.gaussian_filter, sigma=5),
        {"sigma": 5.0},
        title="gaussian, sigma 5",
        bound=NEAR,
        nan=True,
    ),
    Case(
        "difference_of_gaussians",
        floats(filters.difference_of_gaussians, low_sigma=1, mode="reflect"),
        bound=NEAR,
        nan=True,
    ),
    Case(
        "uniform",
        floats(ndimage.uniform_filter, size=11),
        {"size": 11},
        title="uniform, 11 x 11",
        bound=NEAR,
        asked=14,
    ),
    Case("uniform", floats(ndimage.uniform_filter), bound=NEAR),
    Case(
        "unsharp_mask",
        floats(filters.unsharp_mask, radius=1.5, amount=0.7, preserve_range=True),
        {"radius": 1.5, "amount": 0.7},
        title="unsharp_mask",
        bound=1.7 * NEAR,
        nan=True,
    ),
    *(
        Case(
            "median",
            same(ndimage.median_filter, size=size, mode="nearest"),
            {"size": size},
            title=f"median, {size} x {size}",
            smallest=smallest,
            asked=asked,
        )
        # scipy's own windows go wrong where they are wider than a mirrored image
        for size, asked, smallest in ((3, 400, 1), (5, 400, 3), (7, 0.9, 5), (11, 9, 7))
    ),
    Case("minimum", same(ndimage.minimum_filter, size=3)),
    Case(
        "minimum",
        same(ndimage.minimum_filter, size=21),
        {"size": 21},
        title="minimum, 21 x 21",
    ),
    Case("maximum", same(ndimage.maximum_filter, size=3)),
    Case(
        "maximum",
        same(ndimage.maximum_filter, size=21),
        {"size": 21},
        title="maximum, 21 x 21",
    ),
    *(
        Case(
            "percentile",
            same(ndimage.percentile_filter, percentile=share, size=size),
            {"percentile": share, "size": size},
            title=f"percentile {share:g}, {size} x {size}",
            smallest=smallest,
            timed=share == 20,
        )
        for share, size, smallest in (
            (20.0, 3, 1),
            (50.0, 3, 1),
            (0.0, 5, 3),
            (100.0, 5, 3),
            (20.0, 7, 5),
            (95.5, 9, 6),
        )
    ),
    Case("sobel", floats(filters.sobel), bound=NEAR, nan=True),
    Case(
        "sobel",
        floats(filters.sobel, axis=0),
        {"axis": 0},
        title="sobel, axis 0",
        bound=NEAR,
        nan=True,
    ),
    Case(
        "sobel",
        floats(lambda image: ndimage.sobel(image, -1) / 4 ** (image.ndim - 1)),
        {"axis": -1},
        title="sobel, axis -1",
        bound=NEAR,
    ),
    Case("prewitt", floats(filters.prewitt), bound=NEAR, nan=True),
    Case(
        "prewitt",
        floats(filters.prewitt, axis=1),
        {"axis": 1},
        title="prewitt, axis 1",
        bound=NEAR,
        nan=True,
    ),
    Case("laplace", floats(ndimage.laplace), bound=NEAR, nan=True),
    *(
        Case(
            "gaussian_laplace",
            floats(ndimage.gaussian_laplace, sigma=sigma),
            {"sigma": sigma},
            title=f"gaussian_laplace, sigma {sigma:g}",
            bound=NEAR,
            nan=True,
        )
        for sigma in (1.0, 2.0)
    ),
    *(
        Case(
            "gradient_magnitude",
            floats(ndimage.gaussian_gradient_magnitude, sigma=sigma),
            {"sigma": sigma},
            title=f"gradient_magnitude, sigma {sigma:g}",
            bound=NEAR,
            nan=True,
        )
        for sigma in (1.0, 2.5)
    ),
    *(
        Case(
            name,
            weighed(getattr(ndimage, name), weights),
            {"weights": weights},
            title=f"{name}, {title}",
            bound=2 * NEAR,
            nan=title != "3 x 3",
        )
        for name in ("correlate", "convolve")
        for title, weights in (("3 x 3", SHARPEN), ("2 x 4", EVEN), ("11 x 11", WIDE))
    ),
    Case("bilateral", bilateral, bound=NEAR, ndims=(2,), smallest=3),
    Case(
        "denoise_tv",
        floats(restoration.denoise_tv_chambolle, weight=30),
        {"weight": 30.0},
        title="denoise_tv",
        bound=10 * NEAR,
    ),
    Case(
        "denoise_nl_means",
        floats(
            restoration.denoise_nl_means,
            h=40,
            patch_distance=3,
            preserve_range=True,
        ),
        {"h": 40.0, "patch_distance": 3},
        title="denoise_nl_means",
        bound=NEAR,
        smallest=8,
    ),
    *(
        Case(
            name,
            spectral(getattr(ndimage, name), value),
            {parameter: value},
            title=name,
            bound=NEAR,
        )
        for name, parameter, value in (
            ("fourier_gaussian", "sigma", 1.3),
            ("fourier_uniform", "size", 3.5),
            ("fourier_shift", "shift", 2.3),
        )
    ),
)
