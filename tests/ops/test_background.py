import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests import oracles
from tests.ops.pictures import BIG_ENDIAN, DTYPES, smooth


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
