"""What a comparison with an oracle cannot say of arithmetic, grey levels, logic."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamproc import ops
from streamproc.device import array_module
from streamproc.errors import ConfigError, FrameError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, Array, smooth

COMBINING = ("add", "subtract", "multiply", "divide", "add_weighted")
LOGICAL = ("logical_and", "logical_or", "logical_xor")
WIDE = ("int32", "uint32", "int64", "uint64", "float64", ">i4", ">f8")


@pytest.mark.parametrize("name", COMBINING)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_results_are_of_a_real_dtype_that_holds_them(name: str, dtype: str) -> None:
    image = smooth((5, 6), dtype)
    expected = np.float64 if dtype in WIDE else np.float32
    small = smooth((5, 6), "uint8")
    assert getattr(ops, name)(image).dtype == expected
    assert getattr(ops, name)(image, small).dtype == expected
    assert getattr(ops, name)(small, image).dtype == expected


@given(arrays(np.uint16, (3, 4)), arrays(np.uint16, (3, 4)), st.integers(-70000, 70000))
def test_16_bits_neither_wrap_nor_saturate(a: Array, b: Array, value: int) -> None:
    wide, other = a.astype(np.int64), b.astype(np.int64)
    for name, exact in (("add", wide + other), ("subtract", wide - other)):
        np.testing.assert_array_equal(getattr(ops, name)(a, b), exact)
    np.testing.assert_array_equal(ops.subtract(a, value=value), wide - value)
    np.testing.assert_array_equal(ops.add(a, value=value), wide + value)


def test_big_endian_numbers_are_read_as_they_are() -> None:
    image = np.array([[1661, 2]], ">u2")
    assert ops.add(image, image).tolist() == [[3322, 4]]
    assert ops.rescale_intensity(image, in_range=(0, 3322), out_range=(0, 1))[0, 0] == (
        0.5
    )


def test_another_image_and_a_number_are_both_taken() -> None:
    image, other = np.array([[8.0]]), np.array([[2.0]])
    assert ops.add(image, other, value=3).item() == 13
    assert ops.subtract(image, other, value=3).item() == 3
    assert ops.multiply(image, other, value=3).item() == 48
    assert ops.divide(image, other, value=4).item() == 1
    assert ops.add_weighted(image, alpha=2, gamma=1).item() == 17


@pytest.mark.parametrize("name", COMBINING)
def test_a_plane_goes_to_every_plane_of_a_volume(name: str) -> None:
    volume, plane = smooth((3, 4, 5)), smooth((4, 5)) + 1
    result = getattr(ops, name)(volume, plane)
    alone = [getattr(ops, name)(z, plane) for z in volume]
    np.testing.assert_array_equal(result, np.stack(alone))


@pytest.mark.parametrize("name", COMBINING + LOGICAL)
@pytest.mark.parametrize("shape", [(5, 4), (1, 5), (2, 4, 5)])
def test_other_shapes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    image, other = np.ones((4, 5), np.uint8), np.ones(shape, np.uint8)
    with pytest.raises(FrameError, match=r"other of shape .* does not fit a"):
        getattr(ops, name)(image, other)


def test_dividing_by_zero_is_infinite_and_silent() -> None:
    result = ops.divide([[1.0, -1.0, 0.0]], [[0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(result, [[np.inf, -np.inf, np.nan]])
    with pytest.raises(ConfigError, match=r"value must be nonzero, got 0"):
        ops.divide([[1.0]], value=0.0)


def test_products_beyond_float32_are_infinite() -> None:
    image = np.array([[3e38]], np.float32)
    assert ops.multiply(image, image).item() == np.inf
    assert ops.multiply(image, value=10).item() == np.inf


def test_clip_takes_whole_limits_between_those_given() -> None:
    image = np.arange(10, dtype=np.uint8)[None]
    assert ops.clip(image, min=2.5, max=7.5).tolist() == [
        [3, 3, 3, 3, *range(4, 8), 7, 7]
    ]
    assert ops.clip(image, min=-5, max=1e9).tolist() == image.tolist()
    assert ops.clip(image).tolist() == image.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_keeps_the_dtype(dtype: str) -> None:
    assert ops.clip(smooth((4, 5), dtype), min=3, max=9).dtype == dtype


def test_clip_leaves_nan_and_infinity_without_limits() -> None:
    image = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
    np.testing.assert_array_equal(ops.clip(image), image)
    np.testing.assert_array_equal(ops.clip(image, min=-1e300, max=1e300), image)
    np.testing.assert_array_equal(ops.clip(image, max=5), [[np.nan, 5, -np.inf, 1]])


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint8", 300, None), ("uint8", None, -1), ("int32", 2.2, 2.8)],
)
def test_clip_refuses_limits_that_leave_nothing(
    dtype: str, low: float | None, high: float | None
) -> None:
    with pytest.raises(FrameError, match=f"clip: no value of {dtype} lies between"):
        ops.clip(smooth((4, 5), dtype), min=low, max=high)
    with pytest.raises(ConfigError, match=r"clip: min must be <= max, got 4"):
        ops.clip(smooth((4, 5), dtype), min=4, max=3)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float64"])
def test_rescale_intensity_is_scikit_images_for_other_dtypes(dtype: str) -> None:
    from skimage import exposure

    image = (smooth((9, 8), "float64") / 40).astype(dtype)
    for ranges in ({}, {"in_range": "dtype"}, {"in_range": (3.0, 60.0)}):
        expected = exposure.rescale_intensity(image, **ranges)  # type: ignore[no-untyped-call]  # no types yet
        result = ops.rescale_intensity(image, **ranges)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def test_rescale_intensity_of_one_level_and_of_nan() -> None:
    level = np.full((3, 4), 130, np.uint8)
    assert set(ops.rescale_intensity(level, out_range=(0, 127)).flat) == {127}
    image = np.array([[np.nan, 2, 4]], np.float32)
    np.testing.assert_array_equal(ops.rescale_intensity(image), [[np.nan, 0, 1]])


def test_rescale_intensity_names_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"in_range must be \(low, high\), got \(5"):
        ops.rescale_intensity([[1.0, 2.0]], in_range=(5, 2))
    with pytest.raises(FrameError, match=r"the image reaches from 1.0 to inf; give"):
        ops.rescale_intensity([[1.0, np.inf]])
    with pytest.raises(ConfigError, match="in_range must be"):
        ops.rescale_intensity([[1.0, 2.0]], in_range="uint11")  # type: ignore[arg-type]  # the mistake tested


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "int16", "int32", "int64"]
)
def test_adjust_gamma_saturates(dtype: str) -> None:
    most = np.iinfo(dtype).max
    image = np.array([[0, most // 2, most]], dtype)
    result = ops.adjust_gamma(image, gain=3)
    assert result[0, 0] == 0
    # the largest that a float64 holds, for 64 bits
    assert all(int(v) >= most - 2**10 for v in result[0, 1:])
    np.testing.assert_allclose(ops.adjust_gamma(image).astype(float), image)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_adjust_gamma_refuses_what_is_below_zero(dtype: str) -> None:
    with pytest.raises(FrameError, match="adjust_gamma: the image has pixels below 0"):
        ops.adjust_gamma(np.array([[-1, 4]], dtype))
    if dtype == "float32":
        with pytest.raises(FrameError, match="pixels below 0"):
            ops.adjust_gamma(np.array([[np.nan, -4]], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_invert_is_scikit_images(dtype: str) -> None:
    from skimage import util

    image = smooth((4, 5), dtype)
    for signed in (False, True):
        expected = util.invert(image, signed_float=signed)  # type: ignore[no-untyped-call]  # no types yet
        np.testing.assert_array_equal(ops.invert(image, signed_float=signed), expected)


VALUES = st.floats(width=32) | st.integers(-(2**33), 2**33).map(float)


@given(arrays(np.float64, (2, 3), elements=VALUES))
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32"])
def test_astype_takes_the_nearest_that_fits(dtype: str, image: Array) -> None:
    ends = np.iinfo(dtype)
    result = ops.astype(image, dtype=dtype, overflow="saturate")  # type: ignore[arg-type]  # a table of names
    for value, found in zip(image.flat, result.flat, strict=True):
        if np.isnan(value):
            assert found == 0
        else:
            assert found == round(min(max(value, ends.min), ends.max))


@pytest.mark.parametrize("source", ["uint16", "int16", "int64", "uint64", "float32"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32", "int32"])
def test_astype_saturates_at_the_ends(source: str, dtype: Any) -> None:
    kind = np.dtype(source)
    limits: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    image = np.array([[limits.min, 0, limits.max]], kind)
    ends = np.iinfo(dtype)
    wanted = [max(int(limits.min), ends.min), 0, min(int(limits.max), ends.max)]
    result = ops.astype(image, dtype=dtype, overflow="saturate")
    if source == "float32" and ends.max > 2**24:
        wanted[2] = int(np.nextafter(np.float32(ends.max), np.float32(0)))
    assert result.tolist() == [wanted]


@pytest.mark.parametrize("bad", [300.0, -1.0, 255.5, np.nan, np.inf])
def test_astype_fails_rather_than_wrap(bad: float) -> None:
    with pytest.raises(FrameError, match=r"astype: a pixel is .*, which does not fit"):
        ops.astype(np.array([[1.0, bad]]), dtype="uint8")


def test_astype_keeps_what_fits() -> None:
    assert ops.astype([[0.5, 1.5, 254.6]], dtype="uint8").tolist() == [[0, 2, 255]]
    assert ops.astype(np.array([[7]], np.uint16), dtype="int32").dtype == np.int32
    wide = np.array([[1e300, np.inf]])
    assert ops.astype(wide[:, 1:]).item() == np.inf
    with pytest.raises(FrameError, match=r"a pixel is 1e.300, which does not fit"):
        ops.astype(wide)
    assert ops.astype(wide, overflow="saturate").tolist() == [[np.inf, np.inf]]


@pytest.mark.parametrize("name", LOGICAL)
def test_logic_takes_whatever_is_not_zero(name: str) -> None:
    labels, mask = np.array([[0, 7, 7, 0]], np.uint32), np.array([[0, 1, 0, 255]])
    result = getattr(ops, name)(labels, mask)
    assert result.dtype == np.uint8
    expected = getattr(np, name)(labels, mask)
    np.testing.assert_array_equal(result, expected)


def test_array_module_finds_cupy_without_importing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", module)
    array = type("ndarray", (), {"__module__": "cupy"})()
    assert array_module(np.ones(3), array) is module
    assert array_module(np.ones(3), [1, 2], 3) is np
