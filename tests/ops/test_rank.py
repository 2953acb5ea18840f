import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

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
    smooth,
)


def windows(image: Array, size: int, mode: str) -> Array:
    """Every pixel's window, sorted along the last axis; NaN last."""
    padded = np.pad(image, size // 2, mode=mode)  # type: ignore[call-overload]  # a word
    view = np.lib.stride_tricks.sliding_window_view(padded, (size,) * image.ndim)
    return np.sort(view.reshape(*image.shape, -1), axis=-1)


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
@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 15, 17]), st.integers(1, 65535))
def test_median_of_noise_is_scipys(seed: int, size: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (17, 23), dtype=np.uint16, endpoint=True)
    expected = oracles.median(image, size)
    np.testing.assert_array_equal(ops.median(image, size=size), expected)
    floats = image.astype(np.float64) / 7
    np.testing.assert_array_equal(ops.median(floats, size=size), expected / 7)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int64"])
@pytest.mark.parametrize("size", [3, 5, 7, 15])
@pytest.mark.parametrize("height", [17, 18])
def test_medians_of_wide_planes_are_scipys(dtype: str, size: int, height: int) -> None:
    image = smooth((height, 1100), dtype)
    np.testing.assert_array_equal(
        ops.median(image, size=size), oracles.median(image, size)
    )


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


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("size", [3, 5])
def test_median_of_volumes_of_any_dtype(dtype: str, size: int) -> None:
    image = smooth((6, 9, 300), dtype)
    expected = windows(image, size, "edge")[..., size**3 // 2]
    np.testing.assert_array_equal(ops.median(image, size=size), expected)


def test_wide_medians_of_real_numbers_are_scipys() -> None:
    image = smooth((30, 25), "float64")
    expected = ndimage.median_filter(image, 17, mode="nearest")
    np.testing.assert_array_equal(ops.median(image, size=17), expected)


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("share", [0.0, 12.5, 50.0, 99.0, 100.0])
def test_percentile_is_a_pixel_of_the_window(dtype: str, share: float) -> None:
    image = smooth((13, 17), dtype)
    result = ops.percentile(image, percentile=share, size=5)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    rank = min(int(25 * share / 100), 24)
    expected = windows(image, 5, "symmetric")[..., rank]
    np.testing.assert_array_equal(result, expected)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([3, 5, 7, 9]),
    st.floats(0, 100),
    st.sampled_from(["uint8", "uint16", "float32", "int64"]),
)
def test_percentile_of_noise(seed: int, size: int, share: float, dtype: str) -> None:
    image = np.random.default_rng(seed).integers(0, 200, (11, 14)).astype(dtype)
    count = size**2
    expected = windows(image, size, "symmetric")
    rank = min(int(count * share / 100), count - 1)
    result = ops.percentile(image, percentile=share, size=size)
    np.testing.assert_array_equal(result, expected[..., rank])


@pytest.mark.parametrize("share", [0.0, 30.0, 100.0])
@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7)])
def test_percentile_takes_nan_for_the_largest(
    share: float, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    image = rng.random(shape).astype(np.float32)
    image[rng.random(shape) < 0.3] = np.nan
    count = 3 ** len(shape)
    expected = windows(image, 3, "symmetric")[
        ..., min(int(count * share / 100), count - 1)
    ]
    np.testing.assert_array_equal(ops.percentile(image, percentile=share), expected)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_ignore_nan(name: str, shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.random(shape).astype(dtype)
    image[rng.random(shape) < 0.7] = np.nan
    image[:3, :3, ...] = np.nan
    sorted_ = windows(image, 3, "symmetric")
    known = (~np.isnan(sorted_)).sum(axis=-1, keepdims=True)
    assert (known == 0).any()
    place = np.zeros_like(known) if name == "minimum" else np.maximum(known - 1, 0)
    expected = np.take_along_axis(sorted_, place, axis=-1)[..., 0]
    result = getattr(ops, name)(image)
    assert result.dtype == image.dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7)])
def test_extremes_of_any_dtype(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    image = smooth(shape, dtype)
    place = 0 if name == "minimum" else -1
    result = getattr(ops, name)(image, size=5)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(result, windows(image, 5, "symmetric")[..., place])


@pytest.mark.parametrize("name", ["minimum", "maximum", "percentile", "median"])
def test_a_window_of_one_pixel_is_a_copy(name: str) -> None:
    image = smooth((4, 5), "float32")
    result = getattr(ops, name)(image, size=1)
    np.testing.assert_array_equal(result, image)
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize("share", [-1.0, 100.5])
def test_percentile_refuses_shares_out_of_range(share: float) -> None:
    with pytest.raises(ConfigError, match=r"percentile must be (>= 0|<= 100)"):
        ops.percentile(smooth((4, 4)), percentile=share)


@pytest.mark.parametrize("name", ["minimum", "maximum", "percentile"])
def test_rank_filters_refuse_sizes_without_a_centre(name: str) -> None:
    with pytest.raises(ConfigError, match="size must be odd, got 4"):
        getattr(ops, name)(smooth((4, 4)), size=4)
