from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import segmentation as _segmentation

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests import oracles
from tests.ops.pictures import Array, blobs, smooth

#: scikit-image has no types yet.
segmentation: Any = _segmentation


def assert_same(result: Array, expected: Array) -> None:
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)))
def test_fill_holes_is_scipys(mask: Array) -> None:
    assert_same(ops.fill_holes(mask), oracles.fill_holes(mask))


@pytest.mark.parametrize("shape", [(33, 48), (7, 12, 9)])
def test_fill_holes_of_blobs_is_scipys(shape: tuple[int, ...]) -> None:
    assert_same(ops.fill_holes(blobs(shape)), oracles.fill_holes(blobs(shape)))


MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9))


@settings(deadline=None)
@given(MASKS, st.integers(0, 12), st.integers(1, 2))
def test_small_holes_are_those_of_scikit_image(
    mask: Array, size: int, connectivity: int
) -> None:
    result = ops.remove_small_holes(mask, max_size=size, connectivity=connectivity)
    expected = oracles.morphology.remove_small_holes(
        mask, max_size=size, connectivity=connectivity
    )
    assert_same(result, expected.view(np.uint8))


def test_holes_have_as_many_axes_as_the_image() -> None:
    ring = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    assert ops.remove_small_holes(ring, max_size=1).all()
    assert not ops.remove_small_holes(ring, max_size=1, connectivity=None).all()
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.remove_small_holes(ring, connectivity=3)


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["uint16", "int32", "uint32", "int64"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
        elements=st.integers(0, 3),
    ),
    st.data(),
)
def test_clear_border_of_labels_is_scikit_images(
    labels: Array, data: st.DataObject
) -> None:
    size = data.draw(st.integers(0, min(labels.shape) - 1))
    result = ops.clear_border(labels, buffer_size=size)
    assert_same(result, segmentation.clear_border(labels, buffer_size=size))


@settings(deadline=None)
@given(MASKS)
def test_clear_border_of_masks_is_scikit_images(mask: Array) -> None:
    expected = segmentation.clear_border(mask).view(np.uint8)
    assert_same(ops.clear_border(mask), expected)
    assert_same(ops.clear_border(mask.view(np.uint8) * 255), expected)


def test_a_label_in_two_pieces_loses_the_one_at_the_border() -> None:
    labels = np.array([[0, 0, 0, 0], [5, 0, 5, 0], [0, 0, 0, 0]])
    cleared = ops.clear_border(labels)
    assert cleared.tolist() == [[0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]]


def test_clear_border_leaves_something() -> None:
    with pytest.raises(
        ConfigError, match=r"buffer_size must be smaller than each side .* got 4 for"
    ):
        ops.clear_border(blobs((4, 9)), buffer_size=4)


def test_clear_border_takes_whole_numbers() -> None:
    with pytest.raises(FrameError, match="mask must hold whole numbers, got dtype"):
        ops.clear_border(smooth((4, 9), "float32"))
