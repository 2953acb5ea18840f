import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.ops._runs import find_runs, number_values
from tests import oracles
from tests.ops.pictures import SHAPES, VOLUMES, Array, blobs


def assert_labels(mask: Array, connectivity: int | None) -> None:
    labels = ops.label(mask, connectivity=connectivity)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, oracles.label(mask, connectivity))


@pytest.mark.parametrize("shape", [*SHAPES, *VOLUMES, (300, 200), (1, 5, 1)])
@pytest.mark.parametrize("connectivity", [None, 1, 2])
def test_labels_are_skimages(shape: tuple[int, ...], connectivity: int | None) -> None:
    assert_labels(blobs(shape), connectivity)


@settings(deadline=None, max_examples=500)
@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=12)),
    st.sampled_from([None, 1, 2]),
)
def test_labels_of_any_mask_are_skimages(mask: Array, connectivity: int | None) -> None:
    assert_labels(mask, connectivity)
    if mask.ndim == 3:
        assert_labels(mask, 3)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98), st.sampled_from([1, 2]))
def test_labels_of_noise_are_skimages(
    seed: int, share: float, connectivity: int
) -> None:
    # widths around the eight pixels that are looked at together
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 70))
    assert_labels(rng.random((23, width)) < share, connectivity)
    assert_labels(rng.random((4, 6, width)) < share, connectivity)


@settings(deadline=None)
@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=12)),
    st.sampled_from([None, 1, 2]),
)
def test_a_drawing_has_the_runs_of_its_labels(
    mask: Array, connectivity: int | None
) -> None:
    drawing = ops.OPERATORS["label"].kernel(mask, connectivity=connectivity)
    found = find_runs(drawing.painted)
    for name in ("first", "start", "stop", "value"):
        one, other = getattr(drawing.runs, name), getattr(found, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_drawing_is_an_array_for_numpy() -> None:
    drawing = ops.OPERATORS["label"].kernel([[1, 0, 1]])
    assert np.asarray(drawing) is drawing.painted
    copied = np.array(drawing, np.float64)
    assert copied.dtype == np.float64
    assert copied.tolist() == drawing.painted.tolist() == [[1, 0, 2]]
    assert (drawing.shape, drawing.ndim) == (copied.shape, copied.ndim)


def test_any_pixel_but_0_is_foreground() -> None:
    mask = np.array([[1, 2, 255, 0, 7]], np.uint8)
    assert ops.label(mask).tolist() == [[1, 1, 1, 0, 2]]
    assert ops.label(np.array([[-1.5, 0.0, 2.0]])).tolist() == [[1, 0, 2]]


def test_an_empty_mask_has_no_labels() -> None:
    assert not ops.label(np.zeros((5, 6), np.uint8)).any()


def test_a_full_mask_has_one() -> None:
    assert (ops.label(np.ones((3, 17), bool)) == 1).all()


def test_connectivity_fits_the_image() -> None:
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.label(blobs((4, 4)), connectivity=3)
    with pytest.raises(ConfigError, match="connectivity must be >= 1, got 0"):
        ops.label(blobs((4, 4)), connectivity=0)


@pytest.mark.parametrize("shape", [(33, 48), (7, 12, 9)])
@pytest.mark.parametrize("connectivity", [1, 2, None])
@pytest.mark.parametrize("max_size", [0, 1, 5, 64, 10**6])
def test_small_objects_go(
    shape: tuple[int, ...], connectivity: int | None, max_size: int
) -> None:
    mask = blobs(shape)
    expected = oracles.remove_small_objects(mask, max_size, connectivity)
    for same in (mask, mask.astype(bool)):
        result = ops.remove_small_objects(
            same, max_size=max_size, connectivity=connectivity
        )
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, expected)


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint32, np.int32, np.uint16, np.int64]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements={"min_value": 0, "max_value": 6},
    ),
    st.integers(0, 12),
)
def test_small_labels_go_and_the_others_keep_their_number(
    labels: Array, max_size: int
) -> None:
    result = ops.remove_small_objects(labels, max_size=max_size)
    assert result.dtype == labels.dtype
    expected = oracles.remove_small_objects(labels, max_size)
    np.testing.assert_array_equal(result, expected)


def test_small_objects_go_as_in_skimage() -> None:
    morphology = oracles.morphology
    if "max_size" not in inspect.signature(morphology.remove_small_objects).parameters:
        pytest.skip("max_size came with scikit-image 0.26")
    mask = blobs((60, 70)).astype(bool)
    for connectivity in (1, 2):
        np.testing.assert_array_equal(
            ops.remove_small_objects(mask, max_size=9, connectivity=connectivity),
            morphology.remove_small_objects(
                mask, max_size=9, connectivity=connectivity
            ),
        )
    labels = ops.label(mask)
    np.testing.assert_array_equal(
        ops.remove_small_objects(labels, max_size=9),
        morphology.remove_small_objects(labels.astype(np.int64), max_size=9),
    )


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(FrameError, match="mask must hold whole numbers, got dtype flo"):
        ops.remove_small_objects(np.ones((2, 2)))


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint32]),
        st.tuples(st.integers(1, 5), st.integers(1, 40)),
        elements={"min_value": 0, "max_value": 2},
    )
)
def test_runs_paint_the_image_again(image: Array) -> None:
    runs = find_runs(image)
    again = np.zeros_like(image)
    for y in range(len(image)):
        for i in range(runs.first[y], runs.first[y + 1]):
            again[y, runs.start[i] : runs.stop[i]] = runs.value[i]
    np.testing.assert_array_equal(again, image)
    same_line = np.diff(np.repeat(np.arange(len(image)), np.diff(runs.first))) == 0
    touching = same_line & (runs.stop[:-1] == runs.start[1:])
    assert (runs.value[:-1] != runs.value[1:])[touching].all()


def test_negative_pixels_are_in_no_run() -> None:
    runs = find_runs(np.array([[-1, -1, 2, -2, 3, 0, -1]], np.int32))
    assert runs.value.tolist() == [2, 3]
    assert (runs.stop - runs.start).tolist() == [1, 1]


@pytest.mark.parametrize("values", [[], [5, 2, 5], [2**31, 7, 2**31]])
def test_values_are_numbered_in_order(values: list[int]) -> None:
    present, place = number_values(np.array(values, np.uint32))
    assert present.tolist() == sorted(set(values))
    assert [present[p] for p in place] == values
