from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests import oracles
from tests.ops.pictures import Array, smooth


@settings(deadline=None, max_examples=200)
@given(
    hnp.arrays(
        st.sampled_from(["uint8", "int16", "uint16", "int64", "float32", "float64"]),
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.integers(0, 60),
    ),
    st.integers(2, 4),
)
def test_classes_are_those_of_scikit_image(image: Array, classes: int) -> None:
    try:
        levels = oracles.filters.threshold_multiotsu(image, classes)
    except ValueError:
        with pytest.raises(FrameError, match=f"multi_otsu needs at least {classes}"):
            ops.multi_otsu(image, classes=classes)
        return
    expected = np.digitize(image, levels)
    np.testing.assert_array_equal(ops.multi_otsu(image, classes=classes), expected)


@pytest.mark.parametrize("rare", [0.3, 0.01])
def test_empty_levels_decide_as_in_scikit_image(rare: float) -> None:
    rng = np.random.default_rng(0)
    for size in range(20, 120):
        image = rng.choice([0, 2, 3, 90], size, p=[0.97 - rare, rare, 0.02, 0.01])[None]
        if len(np.unique(image)) < 3:
            continue
        for classes in (2, 3):
            levels = oracles.filters.threshold_multiotsu(image, classes)
            result = ops.multi_otsu(image, classes=classes)
            np.testing.assert_array_equal(result, np.digitize(image, levels))


def test_many_levels_in_many_classes_take_no_longer() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([5000, 20000, 35000, 55000])
    truth = rng.integers(0, 4, (100, 100))
    image = (centres[truth] + rng.normal(0, 900, truth.shape)).astype(np.uint16)
    assert len(np.unique(image)) > 5000
    # the brightest pixel of a class is the threshold, and of the next one
    assert (ops.multi_otsu(image, classes=4) != truth).sum() <= 3


def test_what_is_not_finite_is_compared_only() -> None:
    image = smooth((30, 20), "float64").copy()
    classes = ops.multi_otsu(image[1:])
    image[0, :5], image[0, 5:10], image[0, 10:] = np.nan, -np.inf, np.inf
    result = ops.multi_otsu(image)
    assert result.dtype == np.uint32
    assert result[0].tolist() == [0] * 10 + [2] * 10
    np.testing.assert_array_equal(result[1:], classes)


@pytest.mark.parametrize("level", [7.0, np.nan])
def test_one_level_has_no_classes(level: float) -> None:
    with pytest.raises(FrameError, match="needs at least 3 grey levels for 3 classes"):
        ops.multi_otsu(np.full((3, 4), level))


def test_numbers_too_wide_to_count_have_classes() -> None:
    image = np.array([[-(2**63), 0, 5, 2**63 - 1, 2**63 - 2]])
    assert ops.multi_otsu(image).tolist() == [[0, 1, 1, 2, 2]]


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["uint8", "float32", "float64"]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
        elements=st.integers(0, 9),
    ),
    # others are single precision's own to scikit-image: see the next test
    st.floats(-1, 10, width=32),
    st.floats(-1, 10, width=32),
)
def test_hysteresis_is_scikit_images(image: Array, low: float, high: float) -> None:
    expected = oracles.filters.apply_hysteresis_threshold(image, low, high)
    np.testing.assert_array_equal(ops.hysteresis(image, low=low, high=high), expected)


def test_singles_are_compared_with_doubles() -> None:
    image = np.array([[0.1, 0.7, 0.2]], np.float32)
    # 0.1 in single precision is above 0.1, 0.7 below 0.7
    assert ops.hysteresis(image, low=0.1, high=0.1).tolist() == [[1, 1, 1]]
    assert ops.hysteresis(image, low=0.7, high=0.7).tolist() == [[0, 0, 0]]


def test_hysteresis_takes_methods() -> None:
    image = smooth((40, 50))
    low, high = (ops.find_threshold(image, method=m) for m in ("triangle", "otsu"))
    given: Any = {"low": "triangle", "high": "otsu"}
    by_name = ops.hysteresis(image, **given)
    np.testing.assert_array_equal(by_name, ops.hysteresis(image, low=low, high=high))
    with pytest.raises(ConfigError, match="low must be"):
        ops.hysteresis(image, low="ostu")  # type: ignore[arg-type]  # the mistake tested


def test_what_is_unknown_is_not_marked() -> None:
    image = np.array([[3.0, np.nan, 3.0, 9.0]])
    assert ops.hysteresis(image, low=2.0, high=5.0).tolist() == [[0, 0, 1, 1]]
