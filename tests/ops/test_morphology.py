from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import morphology as _morphology

from streamproc import ops
from streamproc.errors import ConfigError
from streamproc.ops import _extremes
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

#: scikit-image has no types yet.
morphology: Any = _morphology

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


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("footprint", ["disk", "box"])
@pytest.mark.parametrize("radius", [2, 5, 40])
def test_wide_planes_change_in_strips_as_in_skimage(
    dtype: str,
    footprint: Literal["disk", "box"],
    radius: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_extremes, "_BOX", 1)
    monkeypatch.setattr(_extremes, "_DISK", 1)
    image = smooth((45, 333), dtype)
    under = oracles.footprint(2, radius, footprint)
    assert_same(
        ops.opening(image, radius=radius, shape=footprint),
        morphology.opening(image, under),
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["white_tophat", "black_tophat"])
def test_top_hats_of_extremes_do_not_wrap(dtype: str, name: str) -> None:
    for image in extreme(dtype):
        for radius in (1, 4):
            hat = ops.OPERATORS[name].kernel(image, radius=radius)
            other = "opening" if name == "white_tophat" else "closing"
            level = ops.OPERATORS[other].kernel(image, radius=radius)
            # Python's own numbers neither wrap nor round
            exact = [
                abs(int(a) - int(b))
                for a, b in zip(image.flat, level.flat, strict=True)
            ]
            if hat.dtype.kind == "i":
                exact = [min(e, np.iinfo(hat.dtype).max) for e in exact]
            assert hat.dtype == image.dtype
            assert hat.ravel().tolist() == exact


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


SIMPLE = ("erosion", "dilation", "opening", "closing")


@pytest.mark.parametrize("dtype", [*DTYPES, "int8", "uint64", *BIG_ENDIAN])
@pytest.mark.parametrize("footprint", ["disk", "box"])
@pytest.mark.parametrize("shape", [(1, 9), (7, 1), (33, 48), (7, 12, 9)])
def test_grey_morphology_takes_every_dtype(
    dtype: str, footprint: str, shape: tuple[int, ...]
) -> None:
    image = smooth(shape, dtype)
    if image.dtype.itemsize == 8 and image.dtype.kind in "iu":
        # numbers that neither float64 nor 32 bits hold
        image = image + image.dtype.type(2**60)
    levels, ranks = np.unique(image, return_inverse=True)
    for radius in (1, 4):
        under = oracles.footprint(len(shape), radius, footprint)
        for name in SIMPLE:
            result = ops.OPERATORS[name].kernel(image, radius=radius, shape=footprint)
            expected = getattr(oracles.morphology, name)(ranks, under)
            assert_same(result, levels[expected])


@pytest.mark.parametrize("radius", [40, 65, 100, 999])
@pytest.mark.parametrize("shape", [(60, 90), (3, 130), (9, 20, 21)])
def test_boxes_wider_than_the_image_take_it_all_in(
    radius: int, shape: tuple[int, ...]
) -> None:
    image = smooth(shape)
    result = ops.erosion(image, radius=radius, shape="box")
    places = np.indices(shape)
    for at in [(0,) * len(shape), tuple(n // 2 for n in shape)]:
        near = np.all(radius >= np.abs(places.T - at).T, axis=0)
        assert result[at] == image[near].min()


@pytest.mark.parametrize("footprint", ["disk", "box"])
@pytest.mark.parametrize("name", [*SIMPLE, "black_tophat", "morphological_gradient"])
@pytest.mark.parametrize("shape", [(12, 14), (4, 8, 9)])
def test_nan_is_ignored_and_stays(
    footprint: str, name: str, shape: tuple[int, ...]
) -> None:
    image = smooth(shape, "float32").copy()
    image[np.random.default_rng(0).random(shape) < 0.2] = np.nan
    image[..., :4, :4] = np.nan
    unknown = np.isnan(image)
    result = ops.OPERATORS[name].kernel(image, radius=1, shape=footprint)
    np.testing.assert_array_equal(np.isnan(result), unknown)
    under = oracles.footprint(len(shape), 1, footprint)
    places = np.argwhere(under) - 1

    def around(values: Array, at: Array, best: Any) -> Any:
        inside = [
            values[tuple(p)]
            for p in at + places
            if all(0 <= i < n for i, n in zip(p, shape, strict=True))
        ]
        known = [v for v in inside if not np.isnan(v)]
        return best(known) if known else np.float32(np.nan)

    def every(values: Array, best: Any) -> Array:
        out = np.empty_like(values)
        for at in np.argwhere(np.ones(shape)):
            out[tuple(at)] = around(values, at, best)
        return out

    low, high = every(image, min), every(image, max)
    expected = {
        "erosion": low,
        "dilation": high,
        "opening": every(low, max),
        "closing": every(high, min),
        "black_tophat": every(high, min) - image,
        "morphological_gradient": high - low,
    }[name]
    np.testing.assert_array_equal(result[~unknown], expected[~unknown])


@pytest.mark.parametrize("name", ["white_tophat", "morphological_gradient"])
def test_infinite_pixels_warn_nobody(name: str) -> None:
    image = np.array([[1.0, np.inf, 2.0], [-np.inf, 3.0, 4.0]])
    result = ops.OPERATORS[name].kernel(image, radius=1)
    assert result.shape == image.shape


@settings(deadline=None)
@given(
    hnp.arrays(np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.integers(1, 8),
    st.sampled_from(["disk", "box"]),
)
def test_opening_and_closing_are_what_they_are_called(
    image: Array, radius: int, shape: Literal["disk", "box"]
) -> None:
    low = ops.opening(image, radius=radius, shape=shape)
    high = ops.closing(image, radius=radius, shape=shape)
    assert (low <= image).all()
    assert (high >= image).all()
    np.testing.assert_array_equal(ops.opening(low, radius=radius, shape=shape), low)
    # the closing is the opening of the negative
    turned = ops.opening(65535 - image, radius=radius, shape=shape)
    np.testing.assert_array_equal(65535 - turned, high)
