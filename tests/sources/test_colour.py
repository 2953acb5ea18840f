"""Colour samples: luma by the formula, channels as stored, clear refusals."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from streamproc.sources._colour import Choice, luma
from streamproc.sources._pixels import native, target

from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array


@given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), (3, 4, 5)))
def test_luma_is_the_rounded_weighted_sum(image: Array) -> None:
    red, green, blue = image.astype(int)
    exact = (299 * red + 587 * green + 114 * blue) / 1000
    assert np.array_equal(luma(*image), np.floor(exact + 0.5).astype(image.dtype))
    assert luma(*image).dtype == image.dtype


def test_luma_of_floats_is_not_rounded() -> None:
    image = np.random.default_rng(0).random((3, 4, 5), dtype=np.float32)
    expected = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    np.testing.assert_allclose(luma(*image), expected, rtol=1e-6)
    assert luma(*image).dtype == np.float32


def test_luma_of_a_gray_colour_is_that_gray() -> None:
    gray = np.arange(256, dtype=np.uint8)
    assert np.array_equal(luma(gray, gray, gray), gray)


@pytest.mark.parametrize(
    ("choice", "axes", "shape", "made", "pick"),
    [
        (Choice(), "yx", (4, 5), "yx", lambda a: a),
        (Choice(), "yxs", (4, 5, 2), "yx", lambda a: a[..., 0]),
        (Choice(), "cyx", (2, 4, 5), "cyx", lambda a: a),
        (Choice(), "czyx", (2, 3, 4, 5), "czyx", lambda a: a),
        (Choice("rgb"), "yxs", (4, 5, 4), "cyx", lambda a: a.transpose(2, 0, 1)[:3]),
        (Choice(channel=1), "yxs", (4, 5, 4), "yx", lambda a: a[..., 1]),
        (Choice(channel=0), "yx", (4, 5), "yx", lambda a: a),
        (Choice(channel=1), "cyx", (2, 4, 5), "yx", lambda a: a[1]),
        (Choice(channel=1), "czyx", (2, 3, 4, 5), "zyx", lambda a: a[1]),
        (Choice(channel=4), "cyxs", (2, 4, 5, 3), "yx", lambda a: a[1, ..., 1]),
    ],
)
def test_choices(
    choice: Choice,
    axes: str,
    shape: tuple[int, ...],
    made: str,
    pick: Callable[[Array], Array],
) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    assert choice.axes(axes, shape, "a") == made
    assert np.array_equal(choice.apply(image, axes), pick(image))


def test_a_channel_that_is_not_there() -> None:
    with pytest.raises(
        SourceError, match="a has 3 channels, so channel must be from 0"
    ):
        Choice(channel=3).axes("yxs", (4, 5, 3), "a")


@pytest.mark.parametrize(("axes", "shape"), [("yx", (4, 5)), ("cyx", (3, 4, 5))])
def test_no_colours(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceError, match="no red, green and blue samples, got color"):
        Choice("rgb").axes(axes, shape, "a")


def test_too_many_samples() -> None:
    with pytest.raises(SourceError, match=r"5 samples per pixel.*choose one with chan"):
        Choice().axes("yxs", (4, 5, 5), "a")


@pytest.mark.parametrize(
    ("stored", "made"),
    [
        ("bool", "uint8"),
        ("int8", "int8"),
        (">u2", "uint16"),
        ("int64", "int32"),
        (">u8", "uint32"),
        ("float16", "float32"),
        (">f8", "float32"),
    ],
)
def test_dtypes_become_native_and_narrow(stored: str, made: str) -> None:
    image = np.array([[0, 1], [1, 0]], dtype=stored)
    assert target(image.dtype) == np.dtype(made)
    assert native(image).dtype == np.dtype(made)
    assert native(image).dtype.isnative
    assert np.array_equal(native(image), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    "image", [np.array([[2**31]]), np.array([[2**32]], np.uint64), np.array([[1e39]])]
)
def test_values_that_do_not_fit(image: Array) -> None:
    with pytest.raises(FrameError, match=r"must fit into .*, got .*; rescale"):
        native(image)


def test_infinite_and_missing_values_stay() -> None:
    assert np.array_equal(
        native(np.array([[np.inf, np.nan]])), [[np.inf, np.nan]], equal_nan=True
    )


def test_complex_pixels() -> None:
    with pytest.raises(SourceError, match="whole or real numbers, got complex64"):
        target(np.dtype(np.complex64))


def test_a_part_does_not_keep_the_whole_in_memory() -> None:
    whole = np.zeros((4, 100, 100))
    made = native(whole[1].view(np.uint32))
    assert made.base is None
