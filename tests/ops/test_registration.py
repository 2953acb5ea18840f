"""Registration: what the oracles leave open."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.pictures import shared, smooth


@given(
    shape=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    by=st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    seed=st.integers(0, 9),
)
def test_whole_pixels_are_found_exactly(
    shape: tuple[int, int], by: tuple[int, int], seed: int
) -> None:
    image = np.random.default_rng(seed).random(shape)
    for normalization in ("phase", None):
        moved = np.roll(image, by, (0, 1))
        more: Any = {"normalization": normalization, "upsample_factor": 7}
        found = ops.phase_cross_correlation(moved, image, **more)
        assert found == {"dy": -by[0], "dx": -by[1]}


def test_parts_of_a_pixel_are_found_in_volumes() -> None:
    reference = smooth((16, 20, 24), "float64")
    by = (0.5, -1.25, 2.0)
    spectrum = ndimage.fourier_shift(np.fft.fftn(reference), by)
    moved = np.fft.ifftn(spectrum).real
    found = ops.phase_cross_correlation(
        moved, reference, upsample_factor=100, normalization=None
    )
    assert list(found) == ["dz", "dy", "dx"]
    np.testing.assert_allclose([*found.values()], [-0.5, 1.25, -2.0], atol=0.011)


@pytest.mark.parametrize(
    "name", ["bulk_water_a/bulk_water_000.png", "hubble/hubble_deep_field.png"]
)
@pytest.mark.parametrize("normalization", ["phase", None])
def test_real_pictures_seen_from_elsewhere(name: str, normalization: Any) -> None:
    """What leaves at one border is not what comes in at the other."""
    picture = cv2.imread(str(shared(name)), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    reference = picture[40:-40, 40:-40]
    height, width = reference.shape
    for dy, dx in ((3, -5), (11, 8), (-20, 13)):
        seen = picture[40 + dy :, 40 + dx :][:height, :width]
        found = ops.phase_cross_correlation(
            seen, reference, upsample_factor=10, normalization=normalization
        )
        assert found == {"dy": dy, "dx": dx}


def test_one_row_does_not_move_across() -> None:
    image = smooth((1, 30))
    found = ops.phase_cross_correlation(np.roll(image, 2, 1), image)
    assert found == {"dy": 0.0, "dx": -2.0}


def test_what_cannot_be_registered_is_refused() -> None:
    image = smooth((9, 9), "float32")
    holed = np.where(image > np.median(image), np.nan, image)
    for operator in (ops.phase_cross_correlation, ops.drift_correct):
        with pytest.raises(FrameError, match=r"image of shape \(9, 9\) does not fit a"):
            operator(image, image[1:])
        with pytest.raises(FrameError, match="image holds NaN or infinity: it cannot"):
            operator(holed, image)
        with pytest.raises(FrameError, match=r"reference is 3\.0 everywhere: there"):
            operator(image, np.full_like(image, 3))
    with pytest.raises(ConfigError, match="upsample_factor must be >= 1, got 0"):
        ops.phase_cross_correlation(image, image, upsample_factor=0)


def test_a_shift_has_a_number_for_each_axis() -> None:
    image = smooth((5, 6))
    rule = "shift must be one finite number for each of dy, dx, got"
    wrong: list[Any] = [
        {"dy": 1},
        (1, 2, 3),
        {"dy": 1, "dx": float("nan")},
        {"dy": 1, "dx": "two"},
    ]
    for bad in wrong:
        with pytest.raises(FrameError, match=rule):
            ops.apply_shift(image, bad)
    with pytest.raises(ConfigError, match="order must be one of 0, 1 or 3, got 2"):
        ops.apply_shift(image, (0, 0), order=2)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float64", ">u2"])
def test_shifts_keep_what_they_do_not_move(order: Any, dtype: str) -> None:
    image = smooth((8, 9), "uint8").astype(dtype)
    same = ops.apply_shift(image, (0, 0), order=order)
    assert same.dtype == (np.dtype(dtype).newbyteorder("=") if order == 0 else "f4")
    np.testing.assert_allclose(same, image, rtol=1e-6, atol=1e-4)


def test_beyond_the_border_is_cval() -> None:
    image = np.full((4, 5), 7, np.uint8)
    moved = ops.apply_shift(image, {"dy": 1, "dx": 0}, order=1, cval=2)
    assert moved.tolist() == [[2] * 5, *[[7] * 5] * 3]
    assert (ops.apply_shift(image, (99, 0), order=1, cval=-1) == -1).all()
    assert (ops.apply_shift(image, (99, 0), order=1, mode="nearest") == 7).all()


def test_channels_move_alike_or_each_by_itself() -> None:
    image = np.stack([smooth((12, 14), seed=n) for n in range(2)])
    moved = ops.apply_shift(image, (1, -2), order=1, channel_axis=0)
    for channel, alone in zip(moved, image, strict=True):
        np.testing.assert_array_equal(channel, ops.apply_shift(alone, (1, -2), order=1))
    rolled = np.roll(image, (1, -2), (1, 2))
    found = ops.phase_cross_correlation(rolled, image, channel_axis=0)
    assert found == {"dy_c0": -1.0, "dx_c0": 2.0, "dy_c1": -1.0, "dx_c1": 2.0}


def test_references_of_a_stack() -> None:
    stack = np.arange(8).reshape(4, 1, 2)
    assert (ops.reference(stack) == stack[0]).all()
    np.testing.assert_array_equal(
        ops.reference(stack, frame="previous"), stack[[0, 0, 1, 2]]
    )
    with pytest.raises(FrameError, match=r"a stack of frames \(t, y, x\), got shape"):
        ops.reference(np.zeros(3))
