import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import ops
from streamproc.errors import ConfigError
from tests import oracles
from tests.ops.pictures import (
    BIG_ENDIAN,
    DTYPES,
    SHAPES,
    VOLUMES,
    Array,
    extreme,
    shared,
    smooth,
)


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


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5, 7, 13])
def test_median_is_scipys(dtype: str, shape: tuple[int, ...], size: int) -> None:
    image = smooth(shape, dtype)
    result = ops.median(image, size=size)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    # scipy's own windows go wrong where they are wider than a mirrored image
    if size <= 2 * min(shape) or min(shape) == 1:
        np.testing.assert_array_equal(result, oracles.median(image, size))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", VOLUMES)
def test_median_of_a_volume_is_scipys(dtype: str, shape: tuple[int, ...]) -> None:
    image = smooth(shape, dtype)
    np.testing.assert_array_equal(ops.median(image), oracles.median(image))


# scipy passes 64-bit numbers through float64, where the ends are not themselves
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "int64"])
@pytest.mark.parametrize("size", [3, 9])
def test_median_of_extremes_is_scipys(dtype: str, size: int) -> None:
    for image in extreme(dtype):
        np.testing.assert_array_equal(
            ops.median(image, size=size), oracles.median(image, size)
        )


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 9, 15]), st.integers(1, 65535))
def test_median_of_noise_is_scipys(seed: int, size: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (17, 23), dtype=np.uint16, endpoint=True)
    expected = oracles.median(image, size)
    np.testing.assert_array_equal(ops.median(image, size=size), expected)
    floats = image.astype(np.float64) / 7
    np.testing.assert_array_equal(ops.median(floats, size=size), expected / 7)


@pytest.mark.parametrize("shape", [(12, 12), (5, 6, 6)])
@pytest.mark.parametrize("size", [3, 7])
def test_median_takes_nan_for_the_largest(shape: tuple[int, ...], size: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.random(shape).astype(np.float32)
    image[rng.random(shape) < 0.4] = np.nan
    radius = size // 2
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, radius, mode="edge"), (size,) * image.ndim
    ).reshape(*shape, -1)
    expected = np.sort(windows, axis=-1)[..., windows.shape[-1] // 2]
    np.testing.assert_array_equal(ops.median(image, size=size), expected)


@pytest.mark.parametrize("size", [2, 0, -3, 257])
def test_median_refuses_sizes_without_a_centre(size: int) -> None:
    with pytest.raises(ConfigError, match=r"size must be (>= 1|<= 255|odd), got"):
        ops.median(smooth((4, 4)), size=size)


def test_filters_agree_on_a_real_image() -> None:
    import tifffile

    image = np.asarray(tifffile.imread(shared("blobs/blobs.tif")))
    assert_near(ops.gaussian(image, sigma=2), oracles.gaussian(image, 2), image)
    np.testing.assert_array_equal(ops.median(image, size=9), oracles.median(image, 9))
