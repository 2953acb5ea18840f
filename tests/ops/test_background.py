from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import restoration as _restoration

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests import oracles
from tests.ops.pictures import BIG_ENDIAN, DTYPES, smooth

restoration: Any = _restoration


@settings(deadline=None)
@given(
    frames=st.integers(1, 20),
    window=st.integers(1, 12),
    every=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES + BIG_ENDIAN),
)
def test_mean_background_is_that_of_the_frames_before_the_block(
    frames: int, window: int, every: int, dtype: str
) -> None:
    images = smooth((frames, 4, 5), dtype)
    result = ops.background(images, window=window, every=every)
    assert result.dtype == np.float32
    expected = oracles.background(images, "mean", window, every)
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-3)
    else:
        np.testing.assert_array_equal(result, expected)


def test_background_is_made_of_the_two_pieces_that_the_engine_uses() -> None:
    images = smooth((7, 6, 5), "float32")
    result = ops.background(images, window=4, every=3)
    mean = ops.mean_frame(images[2:6])
    np.testing.assert_array_equal(result[6], ops.subtract_background(images[6], mean))


def test_background_is_not_clipped() -> None:
    images = np.array([[[10]], [[0]]], np.uint8)
    assert ops.background(images).ravel().tolist() == [5.0, -5.0]


def test_background_takes_frames_of_volumes() -> None:
    images = np.arange(4 * 3 * 2 * 2).reshape(4, 3, 2, 2)
    result = ops.background(images, window=2, every=2)
    np.testing.assert_array_equal(result, oracles.background(images, "mean", 2, 2))


@settings(deadline=None)
@given(
    frames=st.integers(1, 60),
    dtype=st.sampled_from(DTYPES + BIG_ENDIAN),
    seed=st.integers(0, 9),
)
def test_median_frame_is_the_median_of_the_stack(
    frames: int, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    signed = np.dtype(dtype).kind != "u"
    numbers = rng.integers(-50 if signed else 0, 50, (frames, 7, 9))
    images = (numbers * rng.choice([1, 2**20])).astype(dtype)
    expected = np.median(images.astype(np.float64), axis=0)
    np.testing.assert_array_equal(ops.median_frame(images), expected)


def test_median_of_more_pixels_than_are_looked_at_together() -> None:
    images = smooth((4, 90, 101), "float32")
    expected = np.median(images.astype(np.float64), axis=0)
    np.testing.assert_array_equal(ops.median_frame(images), expected)


def test_median_has_no_place_for_nan() -> None:
    images = np.array(smooth((3, 4, 5), "float32"))
    images[1, 2, 3] = np.nan
    found = ops.median_frame(images)
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 3]]


def test_median_of_no_frame_is_refused() -> None:
    with pytest.raises(FrameError, match="at least one readable frame, got none"):
        ops.median_frame([])
    with pytest.raises(FrameError, match=r"frame of shape \(2, 3\) does not fit a"):
        ops.median_frame([np.zeros((2, 2)), np.zeros((2, 3))])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(30, 40), (6, 9, 11)])
def test_rolling_ball_of_every_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    image = smooth(shape, dtype).copy()
    if np.dtype(dtype).kind == "i":
        image -= 100
    if dtype == "uint16":
        image += 65535 - image.max()  # no room above
    for radius in (1, 4, 50):
        expected = restoration.rolling_ball(image, radius=radius, workers=1)
        found = ops.rolling_ball(image, radius=radius)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_nothing_holds_a_ball_where_nothing_is_known() -> None:
    image = np.array(smooth((20, 20), "float32"))
    image[5:8, 5:8] = np.nan
    found = ops.rolling_ball(image, radius=4)
    expected = restoration.rolling_ball(image, radius=4, nansafe=False, workers=1)
    known = ~np.isnan(image)
    np.testing.assert_array_equal(found[known], expected[known])


def test_downscale_is_near_and_never_above() -> None:
    image = smooth((128, 160), "uint16") // 8
    yy, xx = np.mgrid[:128, :160]
    lit = (image + 300 + 2 * xx + yy).astype(np.uint16)
    exact = ops.rolling_ball(lit, radius=50).astype(float)
    near = ops.rolling_ball(lit, radius=50, downscale=4).astype(float)
    assert (near <= lit).all()
    assert np.abs(near - exact).mean() < 0.03 * np.ptp(lit)
    assert ops.rolling_ball(lit, radius=2, downscale=4).shape == lit.shape


def test_background_by_rolling_ball() -> None:
    image = smooth((30, 40))
    found = ops.background(image, method="rolling_ball", radius=6)
    np.testing.assert_array_equal(found, image - ops.rolling_ball(image, radius=6))
    with pytest.raises(ConfigError, match="radius must be >= 1, got 0"):
        ops.rolling_ball(image, radius=0)


@pytest.mark.parametrize("shape", [(20, 30), (4, 9, 8)])
def test_top_hat_is_white_tophat(shape: tuple[int, ...]) -> None:
    image = smooth(shape)
    np.testing.assert_array_equal(
        ops.background(image, method="top_hat", radius=3),
        ops.white_tophat(image, radius=3),
    )


def test_mean_frame_is_exact_for_whole_numbers() -> None:
    frames = [np.full((2, 2), v, np.uint64) for v in (2**52, 1, 2**52 - 1)]
    assert ops.mean_frame(iter(frames)).tolist() == [[2**53 / 3] * 2] * 2


def test_mean_frame_adds_in_the_order_given() -> None:
    frames = [np.full((1, 1), v) for v in (1e16, 1.0, -1e16)]
    assert ops.mean_frame(frames).item() == 0.0
    assert ops.mean_frame(frames[::2] + frames[1:2]).item() == 1 / 3


def test_mean_frame_does_not_touch_its_frames() -> None:
    frame = np.ones((2, 2))
    ops.mean_frame([frame, frame])
    assert (frame == 1).all()


def test_subtraction_rounds_once() -> None:
    background = np.full((1, 2), 1 / 3)
    result = ops.subtract_background(np.array([[7, 2**31]], np.uint32), background)
    expected = (np.array([[7, 2**31]]) - background).astype(np.float32)
    assert result.tolist() == expected.tolist()


def test_mean_of_no_frame_is_refused() -> None:
    with pytest.raises(FrameError, match="at least one readable frame, got none"):
        ops.mean_frame([])


def test_frames_of_another_shape_are_refused() -> None:
    with pytest.raises(FrameError, match=r"frame of shape \(2, 3\) does not fit a"):
        ops.mean_frame([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(FrameError, match=r"image of shape \(2, 3\) does not fit a"):
        ops.subtract_background(np.zeros((2, 3)), np.zeros((2, 2)))


def test_a_stack_has_a_frame_axis() -> None:
    with pytest.raises(FrameError, match=r"a stack of frames \(t, y, x\), got shape"):
        ops.background(np.zeros(3))


@pytest.mark.parametrize("name", ["window", "every"])
def test_blocks_are_not_empty(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be >= 1, got 0"):
        ops.background(np.zeros((3, 2, 2)), **{name: 0})  # type: ignore[arg-type]  # by name
