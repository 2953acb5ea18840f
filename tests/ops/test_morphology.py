import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamproc import ops
from streamproc.errors import ConfigError
from tests import oracles
from tests.ops.pictures import (
    BIG_ENDIAN,
    DTYPES,
    SHAPES,
    VOLUMES,
    Array,
    blobs,
    extreme,
    smooth,
)

BINARY = ["binary_erosion", "binary_dilation", "binary_opening", "binary_closing"]


def assert_same(result: Array, expected: Array) -> None:
    assert result.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [1, 2, 3, 4, 9])
def test_masks_change_as_in_skimage(
    name: str, shape: tuple[int, ...], radius: int
) -> None:
    mask = blobs(shape)
    expected = getattr(oracles, name)(mask, radius)
    assert_same(getattr(ops, name)(mask, radius=radius), expected)
    assert_same(getattr(ops, name)(mask.astype(bool), radius=radius), expected)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shape", VOLUMES)
@pytest.mark.parametrize("radius", [1, 2, 4])
def test_volumes_change_as_in_skimage(
    name: str, shape: tuple[int, ...], radius: int
) -> None:
    mask = blobs(shape)
    assert_same(
        getattr(ops, name)(mask, radius=radius), getattr(oracles, name)(mask, radius)
    )


@settings(deadline=None)
@given(
    hnp.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))),
    st.integers(1, 6),
    st.sampled_from(BINARY),
)
def test_any_mask_changes_as_in_skimage(mask: Array, radius: int, name: str) -> None:
    assert_same(
        getattr(ops, name)(mask, radius=radius), getattr(oracles, name)(mask, radius)
    )


@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)))
def test_fill_holes_is_scipys(mask: Array) -> None:
    assert_same(ops.fill_holes(mask), oracles.fill_holes(mask))


@pytest.mark.parametrize("shape", [(33, 48), (7, 12, 9)])
def test_fill_holes_of_blobs_is_scipys(shape: tuple[int, ...]) -> None:
    assert_same(ops.fill_holes(blobs(shape)), oracles.fill_holes(blobs(shape)))


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("footprint", ["disk", "box"])
@pytest.mark.parametrize("radius", [1, 3, 5])
def test_white_tophat_is_skimages(
    dtype: str, shape: tuple[int, ...], footprint: str, radius: int
) -> None:
    image = smooth(shape, dtype)
    result = ops.OPERATORS["white_tophat"].kernel(image, radius=radius, shape=footprint)
    assert_same(result, oracles.white_tophat(image, radius, footprint))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", VOLUMES)
@pytest.mark.parametrize("footprint", ["disk", "box"])
def test_white_tophat_of_a_volume_is_skimages(
    dtype: str, shape: tuple[int, ...], footprint: str
) -> None:
    image = smooth(shape, dtype)
    result = ops.OPERATORS["white_tophat"].kernel(image, radius=2, shape=footprint)
    assert_same(result, oracles.white_tophat(image, 2, footprint))


# scipy passes 64-bit numbers through float64, where the ends are not themselves
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "int64"])
def test_white_tophat_of_extremes_is_skimages(dtype: str) -> None:
    for image in extreme(dtype):
        for radius in (1, 4):
            assert_same(
                ops.white_tophat(image, radius=radius),
                oracles.white_tophat(image, radius),
            )


@pytest.mark.parametrize("radius", [1, 5])
def test_white_tophat_ignores_nan_and_keeps_it(radius: int) -> None:
    image = smooth((20, 20), "float32").copy()
    unknown = np.zeros(image.shape, bool)
    unknown[3, 4] = unknown[10:12, 7] = True
    image[unknown] = np.nan
    # a pixel brighter than all others never is the smallest under a footprint
    filled = np.where(unknown, np.float32(1e6), image)
    result = ops.white_tophat(image, radius=radius)
    np.testing.assert_array_equal(np.isnan(result), unknown)
    expected = oracles.white_tophat(filled, radius)
    np.testing.assert_array_equal(result[~unknown], expected[~unknown])
    assert np.isnan(ops.white_tophat(np.full((3, 3), np.nan))).all()


@pytest.mark.parametrize("radius", [0, -1, 1001])
def test_radius_is_bounded(radius: int) -> None:
    with pytest.raises(ConfigError, match=r"radius must be (>= 1|<= 1000), got"):
        ops.binary_opening(blobs((4, 4)), radius=radius)
