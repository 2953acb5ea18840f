"""What the cases beside the oracles cannot say of labels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import segmentation as _segmentation

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.ops import _flood
from tests.ops.pictures import Array, blobs, smooth

#: scikit-image has no types yet.
segmentation: Any = _segmentation

SMALL = st.sampled_from(
    [(1, 1), (1, 9), (8, 1), (6, 7), (19, 23), (3, 5, 4), (6, 7, 9)]
)
DTYPES = ("uint8", "uint16", "int16", "int32", "uint32", "float32", "float64")


@settings(max_examples=60)
@given(SMALL, st.integers(0, 2**32 - 1), st.floats(0.01, 1), st.booleans())
def test_distances_are_scipys(
    shape: tuple[int, ...], seed: int, share: float, is_square: bool
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) > share
    mask.flat[rng.integers(mask.size)] = False
    sampling = (1.0,) * len(shape) if is_square else (0.3, 1.7, 2.5)[: len(shape)]
    expected = ndimage.distance_transform_edt(mask, sampling=sampling)
    ours = ops.distance_transform(mask, sampling=sampling)
    np.testing.assert_array_equal(ours, expected.astype(np.float32))


def test_without_background_it_is_infinitely_far() -> None:
    for shape in ((3, 4), (2, 3, 4)):
        assert np.isposinf(ops.distance_transform(np.ones(shape, bool))).all()


def test_a_border_is_no_background() -> None:
    mask = np.ones((5, 5), np.uint8)
    mask[0, 0] = 0
    assert ops.distance_transform(mask)[0].tolist() == [0, 1, 2, 3, 4]


def test_there_is_a_spacing_per_axis() -> None:
    for name, call in (
        ("sampling", lambda s: ops.distance_transform(blobs((4, 4)), sampling=s)),
        ("spacing", lambda s: ops.expand_labels(blobs((4, 4)), spacing=s)),
    ):
        with pytest.raises(ConfigError, match=f"{name} must be one number or 2, one p"):
            call((1.0, 1.0, 1.0))
        with pytest.raises(ConfigError, match=f"{name} must be > 0.0, got 0.0"):
            call(0.0)


@settings(max_examples=60)
@given(SMALL, st.integers(0, 2**32 - 1), st.floats(0.01, 0.6), st.floats(0, 6))
def test_expansion_is_skimages_ties_included(
    shape: tuple[int, ...], seed: int, share: float, distance: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < share, rng.integers(1, 9, shape), 0)
    labels.flat[0] = 1  # of an image without labels scikit-image looks outside
    ours = ops.expand_labels(labels, distance=distance)
    assert ours.dtype == labels.dtype
    expected = segmentation.expand_labels(labels, distance)
    np.testing.assert_array_equal(ours, expected)


def test_nothing_grows_from_nothing() -> None:
    assert not ops.expand_labels(np.zeros((4, 5), np.uint32), distance=3.0).any()


@pytest.mark.parametrize("levels", [2, 9, 200, 10**6])
@settings(max_examples=40)
@given(
    SMALL,
    st.integers(0, 2**32 - 1),
    st.sampled_from(DTYPES),
    st.sampled_from([0.02, 0.1, 0.5]),
    st.integers(1, 3),
)
def test_a_flood_is_skimages_ties_included(
    levels: int,
    shape: tuple[int, ...],
    seed: int,
    dtype: str,
    share: float,
    connectivity: int,
) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.random(shape) * levels * rng.choice([1, -1])).astype(dtype)
    markers = np.where(rng.random(shape) < share, rng.integers(1, 9, shape), 0)
    mask = rng.random(shape) < rng.choice([0.7, 1.0])
    reach = min(connectivity, len(shape))
    ours = ops.watershed(image, markers, mask, connectivity=reach)
    expected = segmentation.watershed(image, markers, reach, mask=mask)
    np.testing.assert_array_equal(ours, expected)


def test_a_flood_of_crowded_levels_is_skimages() -> None:
    """All but one pixel share a queue: a heap takes over, at once if need be."""
    rng = np.random.default_rng(0)
    image = rng.random((80, 90)).astype(np.float32)
    image[0, 0] = 1e9
    for share in (0.01, 0.5):
        markers = np.where(rng.random(image.shape) < share, rng.integers(1, 9), 0)
        markers *= rng.integers(1, 9, image.shape)
        np.testing.assert_array_equal(
            ops.watershed(image, markers), segmentation.watershed(image, markers)
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_flood_knows_no_bounds(dtype: str) -> None:
    """Levels that are infinite, or as far apart as numbers can be."""
    most = np.finfo(dtype).max
    levels = np.array([-np.inf, -most, -0.0, 0.0, 1.0, most, np.inf], dtype)
    rng = np.random.default_rng(0)
    for some in (levels, levels[-1:], levels[:1], levels[[0, -1]], levels[[1, -2]]):
        image = rng.choice(some, (30, 40))
        markers = np.where(rng.random(image.shape) < 0.02, 1, 0)
        markers *= rng.integers(1, 9, image.shape)
        np.testing.assert_array_equal(
            ops.watershed(image, markers), segmentation.watershed(image, markers)
        )


def test_parts_of_a_mask_are_flooded_apart() -> None:
    """Some have no marker, some one, some several; what touches is of one part."""
    image, mask = smooth((60, 70)), blobs((60, 70), 3)
    markers = np.zeros(mask.shape, np.uint32)
    markers[::7, ::9] = np.arange(1, 9 * 8 + 1).reshape(9, 8)
    for reach in (1, 2):
        parts = ops.label(mask, connectivity=reach)
        counts = [len(set(markers[parts == n]) - {0}) for n in range(1, parts.max())]
        assert min(counts) == 0
        assert max(counts) > 1
        ours = ops.watershed(image, markers, mask, connectivity=reach)
        expected = segmentation.watershed(image, markers, reach, mask=mask != 0)
        np.testing.assert_array_equal(ours, expected)


def test_the_order_of_equal_markers_is_skimages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a heap like scikit-image's knows which of two equal markers comes first."""
    calls: list[int] = []
    heap = _flood._by_heap

    def counted(*given: Any) -> None:
        calls.append(1)
        heap(*given)

    monkeypatch.setattr(_flood, "_by_heap", counted)
    rng = np.random.default_rng(3)
    image = rng.integers(0, 3, (40, 50)).astype(np.uint8)
    markers = np.where(rng.random(image.shape) < 0.1, rng.integers(1, 99), 0)
    markers *= rng.integers(1, 9, image.shape)
    expected = segmentation.watershed(image, markers)
    np.testing.assert_array_equal(ops.watershed(image, markers), expected)
    assert calls


def test_a_flood_of_nan_comes_last() -> None:
    image = np.array([[0, np.nan, 1, 2, 0]], np.float32)
    markers = np.array([[1, 0, 0, 0, 2]])
    assert ops.watershed(image, markers).tolist() == [[1, 1, 2, 2, 2]]
    wide = image.astype(np.float64)
    assert ops.watershed(wide, markers).tolist() == [[1, 1, 2, 2, 2]]


def test_compact_basins_are_skimages() -> None:
    image, markers = smooth((30, 40)), np.zeros((30, 40), int)
    markers[::9, ::9] = np.arange(1, 21).reshape(4, 5)
    expected = segmentation.watershed(image, markers, compactness=50.0)
    ours = ops.watershed(image, markers, compactness=50.0)
    assert ours.dtype == np.uint32
    np.testing.assert_array_equal(ours, expected)


def test_what_cannot_be_flooded_is_refused() -> None:
    image, markers = smooth((5, 6)), np.zeros((5, 6), np.uint32)
    with pytest.raises(FrameError, match=r"markers of shape \(4, 6\) do not fit an im"):
        ops.watershed(image, markers[:4])
    with pytest.raises(FrameError, match=r"mask of shape \(5, 5\) do not fit an image"):
        ops.watershed(image, markers, blobs((5, 5)))
    with pytest.raises(FrameError, match="markers must hold whole numbers, got dtype"):
        ops.watershed(image, markers.astype(float))
    with pytest.raises(FrameError, match="markers must be from 0 on, got -1"):
        ops.watershed(image, markers.astype(int) - 1)
    with pytest.raises(FrameError, match="markers must be <= 2147483647, got 42949672"):
        ops.watershed(image, np.full((5, 6), 2**32 - 1, np.uint32))
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.watershed(image, markers, connectivity=3)


def test_touching_nuclei_come_apart_by_distance() -> None:
    y, x = np.mgrid[:60, :80]
    mask = np.hypot(y - 30, x - 28) < 16
    mask |= np.hypot(y - 30, x - 52) < 14
    depth = ops.gaussian(ops.distance_transform(mask), sigma=1)
    seeds = ops.label(ops.local_maxima(depth) & mask)
    nuclei = ops.watershed(-depth, seeds, mask)
    assert ops.label(mask).max() == 1
    assert nuclei.max() == 2
    assert ((nuclei > 0) == mask).all()
    assert nuclei[30, 20] != nuclei[30, 60]


def test_a_blank_image_has_no_objects() -> None:
    for level in (0, 7, 65535):
        assert not ops.voronoi_otsu(np.full((40, 50), level, np.uint16)).any()


def test_new_numbers_have_no_gaps() -> None:
    labels = np.array([[0, 9, 9], [4, 0, 200]], np.uint8)
    assert ops.relabel_sequential(labels).tolist() == [[0, 2, 2], [1, 0, 3]]
    assert ops.relabel_sequential(labels, offset=5).max() == 7
    assert not ops.relabel_sequential(np.zeros((3, 3), np.uint8)).any()


def test_more_objects_than_numbers_are_refused() -> None:
    labels = np.array([[0, 9, 9], [4, 0, 200]], np.uint8)
    rule = "3 objects from 254 on do not fit uint8; give a smaller offset or wider"
    with pytest.raises(FrameError, match=rule):
        ops.relabel_sequential(labels, offset=254)
    with pytest.raises(FrameError, match="labels must be from 0 on, got -2"):
        ops.relabel_sequential(np.array([[-2]]))


def test_boundaries_know_the_axes() -> None:
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.find_boundaries(blobs((4, 4)), connectivity=3)


@settings(max_examples=60)
@given(
    SMALL,
    st.integers(0, 2**32 - 1),
    st.sampled_from(["thick", "inner", "outer"]),
    st.integers(1, 2),
)
def test_boundaries_are_skimages(
    shape: tuple[int, ...], seed: int, mode: Any, connectivity: int
) -> None:
    labels: Array = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint16)
    ours = ops.find_boundaries(labels, connectivity=connectivity, mode=mode)
    expected = segmentation.find_boundaries(labels, connectivity, mode)
    np.testing.assert_array_equal(ours, expected)
