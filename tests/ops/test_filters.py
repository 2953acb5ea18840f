import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError
from streamproc.ops._separable import correlated, gaussian_weights
from tests import oracles
from tests.ops.pictures import (
    BIG_ENDIAN,
    DTYPES,
    SHAPES,
    VOLUMES,
    Array,
    shared,
    smooth,
)

SMOOTHING = ("gaussian", "uniform", "unsharp_mask", "difference_of_gaussians")
DERIVATIVES = ("sobel", "prewitt", "laplace", "gaussian_laplace", "gradient_magnitude")
OTHERS = ("correlate", "convolve", "fourier_gaussian", "fourier_shift", "bilateral")


def assert_near(result: Array, expected: Array, image: Array) -> None:
    assert result.dtype == np.float32
    bound = 1e-5 * max(float(np.abs(image.astype(float)).max()), 1e-30)
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", SHAPES + VOLUMES)
@pytest.mark.parametrize("sigma", [0, 0.5, 1, 2.3, 9])
def test_gaussian_is_scipys(dtype: str, shape: tuple[int, ...], sigma: float) -> None:
    image = smooth(shape, dtype)
    assert_near(ops.gaussian(image, sigma=sigma), oracles.gaussian(image, sigma), image)


@pytest.mark.parametrize("sigma", [(1.0, 0.0), (0.0, 3.0), (2.0, 0.7)])
def test_gaussian_takes_one_sigma_per_axis(sigma: tuple[float, float]) -> None:
    image = smooth((20, 31))
    assert_near(ops.gaussian(image, sigma=sigma), oracles.gaussian(image, sigma), image)


@pytest.mark.parametrize("sigma", [(0.0, 1.0, 2.0), (3.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_gaussian_takes_one_sigma_per_axis_of_a_volume(
    sigma: tuple[float, float, float],
) -> None:
    image = smooth((6, 14, 11))
    assert_near(ops.gaussian(image, sigma=sigma), oracles.gaussian(image, sigma), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 40), (41, 1), (2, 3), (30, 31), (120, 1301), (3, 20, 27)]
)
@pytest.mark.parametrize("sigma", [1.0, 1.3, 1.5, 2.2, 6.0, 30.0])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_weights_per_axis_are_scipys(
    dtype: str, shape: tuple[int, ...], sigma: float, order: int
) -> None:
    image = smooth(shape, dtype)
    if dtype == "int16":
        image = image - np.int16(2000)
    weights = [gaussian_weights(sigma)] * (image.ndim - 1)
    result = correlated(image, [*weights, gaussian_weights(sigma, order)])
    orders = [0] * (image.ndim - 1) + [order]
    expected = ndimage.gaussian_filter(image.astype(float), sigma, orders)
    assert_near(result, expected, image)


def test_gaussian_spreads_nan_as_far_as_a_wide_window() -> None:
    image = np.zeros((40, 50), np.float32)
    image[20, 30] = np.nan
    unknown = np.isnan(ops.gaussian(image, sigma=2.3))
    assert unknown[11:30, 21:40].all()
    assert unknown.sum() == 19 * 19


def test_gaussian_of_a_wide_window_keeps_its_accuracy() -> None:
    image = smooth((120, 90), "float32")
    assert_near(ops.gaussian(image, sigma=40), oracles.gaussian(image, 40), image)


def test_gaussian_spreads_nan_as_far_as_its_window() -> None:
    image = np.zeros((9, 9), np.float32)
    image[4, 4] = np.nan
    unknown = np.isnan(ops.gaussian(image, sigma=0.5))
    assert unknown[2:7, 2:7].all()
    assert unknown.sum() == 25


def test_gaussian_without_smoothing_is_not_the_input() -> None:
    image = smooth((4, 4), "float32")
    assert not np.shares_memory(ops.gaussian(image, sigma=0), image)


def test_gaussian_refuses_another_number_of_sigmas() -> None:
    with pytest.raises(ConfigError, match=r"sigma must be one number or 2, .* got \(1"):
        ops.gaussian(smooth((4, 4)), sigma=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf"), 1001])
def test_gaussian_refuses_sigma_out_of_range(sigma: float) -> None:
    with pytest.raises(ConfigError, match=r"sigma must be ((>=|<=) \d+|a finite)"):
        ops.gaussian(smooth((4, 4)), sigma=sigma)


@pytest.mark.parametrize("high", [None, 3.0])
def test_difference_of_gaussians_is_that(high: float | None) -> None:
    image = smooth((30, 40))
    result = ops.difference_of_gaussians(image, low_sigma=1.5, high_sigma=high)
    assert_near(result, oracles.difference_of_gaussians(image, 1.5, high), image)


def test_difference_of_gaussians_refuses_crossed_sigmas() -> None:
    with pytest.raises(ConfigError, match=r"high_sigma must be >= low_sigma, got 1\.0"):
        ops.difference_of_gaussians(smooth((4, 4)), low_sigma=2.0, high_sigma=1.0)


def test_uniform_takes_one_size_per_axis() -> None:
    image = smooth((20, 31))
    expected = ndimage.uniform_filter(image.astype(np.float32), (3, 7))
    assert_near(ops.uniform(image, size=(3, 7)), expected, image)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_uniform_spreads_what_is_no_number_as_far_as_its_window(value: float) -> None:
    image = np.ones((9, 12), np.float32)
    image[4, 5] = value
    result = ops.uniform(image, size=(3, 5))
    assert not np.isfinite(result[3:6, 3:8]).any()
    assert np.isfinite(result).sum() == image.size - 15
    np.testing.assert_allclose(result[np.isfinite(result)], 1, rtol=1e-6)


def test_uniform_of_a_volume_spreads_nan_as_far_as_its_window() -> None:
    image = np.ones((7, 6, 5), np.float32)
    image[3, 3, 2] = np.nan
    assert np.isnan(ops.uniform(image)).sum() == 27


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64"])
def test_uniform_of_a_wide_window_keeps_its_accuracy(dtype: str) -> None:
    image = smooth((120, 90), dtype)
    expected = ndimage.uniform_filter(image.astype(np.float64), 301)
    assert_near(ops.uniform(image, size=301), expected, image)


@pytest.mark.parametrize("size", [2, 0, 1003])
def test_uniform_refuses_sizes_without_a_centre(size: int) -> None:
    with pytest.raises(ConfigError, match=r"size must be (>= 1|<= 1001|odd), got"):
        ops.uniform(smooth((4, 4)), size=size)


def test_uniform_refuses_another_number_of_sizes() -> None:
    with pytest.raises(ConfigError, match="size must be one number or 3, one per axis"):
        ops.uniform(smooth((4, 4, 4)), size=(3, 3))


def test_unsharp_mask_without_amount_is_the_image() -> None:
    image = smooth((12, 9), "float32")
    np.testing.assert_array_equal(ops.unsharp_mask(image, amount=0.0), image)


def test_unsharp_mask_neither_wraps_nor_saturates() -> None:
    image = np.zeros((1, 8), np.uint8)
    image[:, 4:] = 255
    result = ops.unsharp_mask(image, amount=2.0)
    assert result.min() < -50
    assert result.max() > 305


def test_unsharp_mask_refuses_another_number_of_radii() -> None:
    with pytest.raises(ConfigError, match="radius must be one number or 2, one per"):
        ops.unsharp_mask(smooth((4, 4)), radius=(1.0, 1.0, 1.0))


def test_filters_agree_on_a_real_image() -> None:
    import tifffile

    image = np.asarray(tifffile.imread(shared("blobs/blobs.tif")))
    assert_near(ops.gaussian(image, sigma=2), oracles.gaussian(image, 2), image)
    np.testing.assert_array_equal(ops.median(image, size=9), oracles.median(image, 9))


@pytest.mark.parametrize("name", [*SMOOTHING, *DERIVATIVES, *OTHERS])
@pytest.mark.parametrize("shape", [(8, 9), (6, 7, 8)])
def test_pixels_beyond_float32_warn_of_nothing(
    name: str, shape: tuple[int, ...]
) -> None:
    for value in (np.nan, np.inf, -np.inf, 1e38, 1e300):
        image = np.ones(shape)
        image[2, 3] = value
        result = getattr(ops, name)(image)
        assert result.shape == shape
        if value == 1e300:
            assert not np.isfinite(result).all()
