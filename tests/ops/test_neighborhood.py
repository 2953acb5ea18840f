from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import graph as _graph

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.cases.measurement import neighborhood, pairs
from tests.ops.pictures import Array

#: scikit-image has no types yet.
graph: Any = _graph

SMALL = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6),
    elements={"min_value": 0, "max_value": 5},
)


@settings(deadline=None, max_examples=200)
@given(SMALL, st.integers(1, 3))
def test_pairs_are_those_counted_pixel_by_pixel(labels: Array, reach: int) -> None:
    if reach > labels.ndim:
        return
    found = ops.touching(labels, connectivity=reach)
    expected = pairs(labels, reach)
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == np.int64
        np.testing.assert_array_equal(found[name], column)


@settings(deadline=None, max_examples=60)
@given(SMALL, st.integers(1, 3))
def test_edges_are_those_of_scikit_images_graph(labels: Array, reach: int) -> None:
    # a graph needs neighbours to walk to along every axis
    if reach > labels.ndim or min(labels.shape) < 2:
        return
    edges = graph.RAG(labels.astype(np.int64), connectivity=reach).edges()
    expected = sorted(tuple(sorted(edge)) for edge in edges if 0 not in edge)
    found = ops.touching(labels, connectivity=reach)
    assert list(zip(found["label_1"], found["label_2"], strict=True)) == expected


@settings(deadline=None, max_examples=60)
@given(SMALL, st.integers(1, 9))
def test_neighbors_are_those_of_a_tree_of_centroids(labels: Array, n: int) -> None:
    if not labels.any():
        return
    found, expected = ops.neighbors(labels, n=n), neighborhood(labels, n)
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        np.testing.assert_allclose(found[name], column, rtol=1e-12)


def test_a_lone_object_has_no_distance() -> None:
    table = ops.neighbors([[0, 7, 7]], n=4)
    assert table["touching_count"].tolist() == [0]
    assert table["mean_nearest_distance"].isna().all()


def test_objects_around_one_point_are_no_distance_apart() -> None:
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 2
    assert ops.neighbors(ring)["mean_nearest_distance"].tolist() == [0.0, 0.0]


def test_gaps_in_numbers_and_corners() -> None:
    labels = [[900, 0], [0, 3]]
    assert ops.touching(labels).to_dict("list") == {
        "label": [1],
        "label_1": [3],
        "label_2": [900],
        "contact": [1],
    }
    assert len(ops.touching(labels, connectivity=1)) == 0
    assert ops.neighbors(labels, connectivity=1)["touching_count"].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["neighbors", "touching"])
def test_what_is_no_label_image_or_connectivity_is_refused(name: str) -> None:
    operator = getattr(ops, name)
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D labels, "):
        operator([[1, 2]], connectivity=3)
    with pytest.raises(FrameError, match="labels must hold whole numbers, got dtype f"):
        operator([[0.5]])
    with pytest.raises(ConfigError, match="connectivity must be >= 1, got 0"):
        operator([[1]], connectivity=0)


def test_neighbors_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="n must be >= 1, got 0"):
        ops.neighbors([[1]], n=0)
