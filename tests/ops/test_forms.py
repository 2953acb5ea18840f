import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from streamproc import ops
from streamproc.errors import ConfigError
from tests import oracles
from tests.ops.pictures import Array, blobs

PLANES = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))


@settings(deadline=None)
@given(PLANES.filter(np.any))
def test_hulls_are_those_of_scikit_image(mask: Array) -> None:
    expected = oracles.morphology.convex_hull_image(mask)
    np.testing.assert_array_equal(ops.convex_hull_image(mask), expected)
    expected = oracles.morphology.convex_hull_object(mask)
    np.testing.assert_array_equal(ops.convex_hull_object(mask), expected)


@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=7)))
def test_a_hull_holds_its_mask_and_turns_with_it(mask: Array) -> None:
    hull = ops.convex_hull_image(mask)
    assert (hull >= mask).all()
    assert hull.any() == mask.any()
    for axes in [(0,), (1,), (0, 1)]:
        turned = ops.convex_hull_image(np.flip(mask, axes))
        np.testing.assert_array_equal(turned, np.flip(hull, axes))


def test_a_flat_object_in_a_volume_has_a_hull() -> None:
    volume = np.zeros((4, 5, 6), bool)
    volume[2, 1, 1:5:3] = volume[2, 3, 1:5:3] = True
    hull = ops.convex_hull_image(volume)
    assert hull[2, 1:4, 1:5].all()
    assert hull.sum() == 12
    volume[:] = False
    volume[1, 2, 3] = True
    np.testing.assert_array_equal(ops.convex_hull_image(volume), volume)


def test_objects_of_a_volume_have_hulls_of_their_own() -> None:
    volume = np.pad(blobs((7, 9, 8)), 1)
    labels = ops.label(volume, connectivity=1)
    expected = np.zeros_like(volume)
    for number in range(1, labels.max() + 1):
        expected |= ops.convex_hull_image(labels == number)
    result = ops.convex_hull_object(volume, connectivity=1)
    np.testing.assert_array_equal(result, expected)


def test_hulls_are_of_objects_with_as_many_axes() -> None:
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.convex_hull_object(blobs((4, 5)), connectivity=3)


def test_far_objects_have_hulls_of_their_own() -> None:
    mask = np.zeros((9, 400), bool)
    mask[2:7, 3] = mask[4, 1:6] = True
    mask[:, 200:] = np.roll(mask[:, :200], 2, axis=0)
    objects = ops.convex_hull_object(mask)
    assert not objects[:, 10:200].any()
    assert objects.sum() == 2 * 13
    assert ops.convex_hull_image(mask).sum() > 600


def test_zhangs_skeleton_is_for_planes() -> None:
    with pytest.raises(
        ConfigError, match="skeletonize: method 'zhang' is for planes, got a volume"
    ):
        ops.skeletonize(blobs((3, 4, 5)), method="zhang")


def test_a_skeleton_keeps_the_holes() -> None:
    ring = np.ones((21, 23), np.uint8)
    ring[8:12, 9:14] = 0
    ring = np.pad(ring, 3)
    thin = ops.skeletonize(ring)
    assert 0 < thin.sum() < ring.sum() / 4
    assert (thin <= ring).all()
    assert ops.fill_holes(thin).sum() > thin.sum()
