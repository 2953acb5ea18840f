"""What two label images have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.cases.comparison import compared
from tests.ops.pictures import Array

small = arrays.arrays(
    np.uint32,
    st.shared(st.tuples(st.integers(1, 6), st.integers(1, 9)), key="shape"),
    elements=st.sampled_from([0, 1, 2, 3, 7, 4_000_000_000]),
)


@settings(max_examples=200)
@given(small, small, st.sampled_from([0.5, 0.6, 0.9]))
def test_it_counts_what_counting_pixels_gives(a: Array, b: Array, iou: float) -> None:
    found, expected = ops.compare_labels(a, b, min_iou=iou), compared(a, b, iou)
    assert list(found) == list(expected)
    np.testing.assert_allclose(
        list(found.values()), list(expected.values()), rtol=1e-12
    )


@given(small)
def test_labels_agree_with_themselves(a: Array) -> None:
    found = ops.compare_labels(a, a)
    assert (found["dice"], found["iou"], found["f1"]) == (1, 1, 1)
    assert found["matched"] == found["objects_a"] == found["objects_b"]


@given(small, small)
def test_no_object_has_two_partners(a: Array, b: Array) -> None:
    found, swapped = ops.compare_labels(a, b), ops.compare_labels(b, a)
    assert found["matched"] <= min(found["objects_a"], found["objects_b"])
    assert swapped["matched"] == found["matched"]
    assert swapped["dice"] == found["dice"]


def test_half_is_not_above_half() -> None:
    # both halves of the first object overlap it by exactly one half
    found = ops.compare_labels([[1, 1]], [[1, 2]])
    assert (found["matched"], found["f1"]) == (0, 0)
    assert np.isnan(found["matched_iou"])


def test_numbers_do_not_matter_masks_are_one_object() -> None:
    labels = np.array([[1, 1, 0, 2], [0, 0, 0, 2]])
    again = np.array([[9, 9, 0, 5], [0, 0, 0, 5]])
    assert ops.compare_labels(labels, again)["matched"] == 2
    mask = (labels > 0).astype(np.uint8)
    found = ops.compare_labels(labels, mask)
    assert (found["dice"], found["objects_b"], found["matched"]) == (1, 1, 0)


def test_other_shapes_and_numbers_are_refused() -> None:
    with pytest.raises(FrameError, match=r"shapes \(1, 2\) and \(2, 1\) cannot be com"):
        ops.compare_labels([[1, 1]], [[1], [1]])
    with pytest.raises(FrameError, match="others must hold whole numbers, got dtype"):
        ops.compare_labels([[1]], [[1.5]])
    with pytest.raises(ConfigError, match=r"min_iou must be >= 0\.5, got 0\.4"):
        ops.compare_labels([[1]], [[1]], min_iou=0.4)


def test_channels_are_compared_one_by_one() -> None:
    ones, twos = np.ones((2, 3, 3), int), np.zeros((2, 3, 3), int)
    twos[0] = 1
    found = ops.compare_labels(ones, twos, channel_axis=0)
    assert (found["dice_c0"], found["dice_c1"], found["objects_a_c1"]) == (1, 0, 1)
