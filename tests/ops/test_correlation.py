from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

import streamproc as sp
from streamproc import ops
from streamproc.errors import ConfigError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, smooth

NAMES = ("correlate", "convolve")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_weights_of_a_volume(name: str, dtype: str) -> None:
    image = smooth((5, 8, 9), dtype)
    weights = np.random.default_rng(0).normal(size=(3, 2, 5))
    expected = getattr(ndimage, name)(image.astype(np.float64), weights)
    result = getattr(ops, name)(image, weights=weights)
    assert result.dtype == np.float32
    bound = 1e-5 * float(image.max()) * np.abs(weights).sum()
    np.testing.assert_allclose(result, expected, atol=bound)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_a_plane_act_on_each_plane(name: str) -> None:
    image = smooth((4, 8, 9))
    weights = ((0.0, 1.0), (2.0, 3.0))
    result = getattr(ops, name)(image, weights=weights)
    for plane, part in zip(image, result, strict=True):
        np.testing.assert_array_equal(getattr(ops, name)(plane, weights=weights), part)


def test_weights_are_lists_arrays_or_tuples() -> None:
    image = smooth((8, 9))
    forms: tuple[Any, ...] = ([[1, 2, 3]], np.array([[1, 2, 3]]), ((1.0, 2.0, 3.0),))
    first, *others = (ops.correlate(image, weights=form) for form in forms)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_weights_go_through_a_run_and_its_yaml(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 2, "shape": [16, 16]}})
    edges = raw.correlate([[-1, 0, 1]])
    sp.run({"source": raw, "edges": edges}, to=tmp_path / "one")
    given = yaml.safe_load((tmp_path / "one" / "pipeline.yaml").read_text())
    assert "-1" in str(given["graph"]["correlate"])
    first = sp.load(tmp_path / "one")
    frame, saved = (np.asarray(first.images[n])[0] for n in ("source", "edges"))
    np.testing.assert_array_equal(saved, ops.correlate(frame, weights=((-1, 0, 1),)))


@pytest.mark.parametrize("name", NAMES)
def test_nan_spreads_to_pixels_that_have_a_weight_for_it(name: str) -> None:
    image = np.ones((5, 7), np.float32)
    image[2, 3] = np.nan
    result = getattr(ops, name)(image, weights=[[0, 1, 0], [1, 0, 1]])
    assert np.isnan(result).sum() == 3


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        ([[1, 2], [3]], "weights must be rows of one length, got rows that differ"),
        ([[]], r"weights must be one or more finite numbers, got \[\[\]\]"),
        ([[float("nan")]], "weights must be one or more finite numbers, got"),
        ([[[1.0]]], "weights must have at most the image's 2 axes, got 3"),
        ([1.0, 2.0], "weights must be a list, got"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, rule: str) -> None:
    for name in NAMES:
        with pytest.raises(ConfigError, match=rule):
            getattr(ops, name)(smooth((4, 4)), weights=weights)
