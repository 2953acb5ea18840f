import warnings
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.ops._deviation import mean_and_deviation
from streamproc.ops._histogram import Histogram, extremes, histogram
from streamproc.ops._levels import isodata
from streamproc.ops._local import local_mean
from tests import oracles
from tests.ops.pictures import (
    BIG_ENDIAN,
    DTYPES,
    SHAPES,
    VOLUMES,
    Array,
    extreme,
    shared,
    smooth,
)

Method: TypeAlias = Literal["otsu", "li", "triangle"]
METHODS: tuple[Method, ...] = ("otsu", "li", "triangle")


def counted(image: Array) -> Histogram:
    return histogram(image, image.min(), image.max())


def skimages(image: Array, method: str) -> float:
    """scikit-image's threshold; it warns of volumes that look like colour."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(getattr(oracles.filters, f"threshold_{method}")(image))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [*SHAPES, *VOLUMES, (200, 150)])
def test_thresholds_are_skimages(
    method: Method, dtype: str, shape: tuple[int, ...]
) -> None:
    image = smooth(shape, dtype)
    native = image.astype(image.dtype.newbyteorder("="))
    level = skimages(native, method)
    assert ops.find_threshold(image, method=method) == level
    mask = ops.threshold(image, method=method)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, native > native.dtype.type(level))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_of_extremes_are_skimages(method: Method, dtype: str) -> None:
    for image in extreme(dtype):
        if image.min() == image.max():
            assert not ops.threshold(image, method=method).any()
            assert ops.find_threshold(image, method=method) == float(image.flat[0])
        elif image.dtype.itemsize < 4 and not (method == "li" and dtype == "int16"):
            assert ops.find_threshold(image, method=method) == skimages(image, method)
        else:
            # scikit-image would count every level between the ends, or overflow
            np.testing.assert_array_equal(
                ops.threshold(image, method=method), image == image.max()
            )


whole = st.sampled_from(["uint8", "int8", "uint16", "int16", "int32"])


@settings(deadline=None, max_examples=300)
@given(st.data(), whole, st.sampled_from(METHODS))
def test_thresholds_of_any_whole_numbers_are_skimages(
    data: st.DataObject, dtype: str, method: Method
) -> None:
    top = min(np.iinfo(dtype).max, 40000)
    low = data.draw(st.integers(0, top), "low")
    high = data.draw(st.integers(low, min(top, low + 5000)), "high")
    image = data.draw(
        hnp.arrays(
            dtype,
            st.tuples(st.just(9), st.integers(1, 30)),
            elements={
                "min_value": low,
                "max_value": high,
            },
        )
    )
    assert ops.find_threshold(image, method=method) == skimages(image, method)


@settings(deadline=None, max_examples=300)
@given(
    hnp.arrays(
        st.sampled_from(["float32", "float64"]),
        st.tuples(st.just(9), st.integers(1, 30)),
        elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
    ),
    st.sampled_from(METHODS),
)
def test_thresholds_of_any_real_numbers_are_skimages(
    image: Array, method: Method
) -> None:
    try:
        expected = skimages(image, method)
    except ValueError as error:
        # numpy makes no bins between near neighbours; we make a mask all the same
        assert "Too many bins" in str(error)  # noqa: PT017  # numpy's own message
        ops.threshold(image, method=method)
        return
    assert ops.find_threshold(image, method=method) == expected


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**32 - 1),
    st.floats(-30, 30),
    st.floats(-6, 6),
)
def test_histogram_is_numpys_up_to_the_last_bit_of_an_edge(
    dtype: str, seed: int, offset: float, decades: float
) -> None:
    rng = np.random.default_rng(seed)
    low, high = np.sort((offset + rng.random(2)) * 10**decades).astype(dtype)
    edges = np.linspace(low, high, 257, dtype=dtype)
    if not (np.diff(edges) > 0).all():
        return
    # on the edges and one bit to either side: where bins are decided
    values = np.concatenate(
        [edges, np.nextafter(edges, low), np.nextafter(edges, high)]
    )
    image = values[rng.integers(0, len(values), 4000)]
    image[:2] = low, high
    counts, there = np.histogram(image, 256)
    mine = counted(image)
    np.testing.assert_array_equal(mine.counts, counts)
    centres = (there[:-1] + there[1:]) / 2
    np.testing.assert_array_equal(mine.levels, centres)
    assert mine.levels.dtype == centres.dtype


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint64"])
def test_histogram_of_whole_numbers_has_the_levels_that_occur(dtype: str) -> None:
    image = np.array([[3, 3, 100], [7, 100, 100]], dtype)
    mine = counted(image)
    assert mine.levels.tolist() == [3, 7, 100]
    assert mine.counts.tolist() == [2, 1, 3]


def test_histogram_of_a_wide_range_needs_no_table() -> None:
    image = np.array([[-(2**31), 5, 2**31 - 1]], np.int32)
    assert counted(image).levels.tolist() == [-(2**31), 5, 2**31 - 1]


@pytest.mark.parametrize("method", METHODS)
def test_wide_ranges_have_the_threshold_of_narrow_ones(method: Method) -> None:
    image = smooth((40, 30), "int64")
    wide = image.copy()
    wide[0, 0] = 2**23
    level = ops.find_threshold(wide, method=method)
    assert level == skimages(wide, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_background_and_does_not_move_the_threshold(
    method: Method, dtype: str
) -> None:
    image = smooth((30, 20), dtype).copy()
    unknown = np.random.default_rng(0).random(image.shape) < 0.2
    image[unknown] = np.nan
    level = ops.find_threshold(image, method=method)
    assert level == skimages(image[~unknown], method)
    mask = ops.threshold(image, method=method)
    assert not mask[unknown].any()
    np.testing.assert_array_equal(mask[~unknown], image[~unknown] > level)


@pytest.mark.parametrize("method", METHODS)
def test_infinite_pixels_are_compared_only(method: Method) -> None:
    image = smooth((30, 20), "float64").copy()
    level = ops.find_threshold(image[1:], method=method)
    image[0, :10], image[0, 10:] = np.inf, -np.inf
    assert ops.find_threshold(image, method=method) == level
    assert ops.threshold(image, method=method)[0].tolist() == [1] * 10 + [0] * 10


@pytest.mark.parametrize("method", [*METHODS, "local"])
def test_an_image_of_nan_is_background(
    method: Literal["otsu", "li", "triangle", "local"],
) -> None:
    assert not ops.threshold(np.full((4, 5), np.nan), method=method).any()


def test_a_fixed_value_need_not_be_a_level() -> None:
    image = np.array([[0, 1, 254, 255]], np.uint8)

    def fixed(value: float) -> list[int]:
        mask = ops.threshold(image, method="fixed", value=value)
        row: list[int] = mask[0].tolist()
        return row

    assert fixed(0.5) == fixed(0) == [0, 1, 1, 1]
    assert fixed(254.99) == fixed(254) == [0, 0, 0, 1]
    assert fixed(-0.1) == [1, 1, 1, 1]
    assert fixed(255) == fixed(1e9) == [0, 0, 0, 0]
    with pytest.raises(ConfigError, match="value must be a finite number, got nan"):
        fixed(float("nan"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0, 2000.5, -3.5, 0.1])
def test_fixed_is_numpys_comparison(dtype: str, value: float) -> None:
    image = smooth((20, 30), dtype)
    mask = ops.threshold(image, method="fixed", value=value)
    np.testing.assert_array_equal(mask, image > value)


def test_fixed_needs_a_value() -> None:
    with pytest.raises(ConfigError, match="value: method 'fixed' needs a value"):
        ops.threshold(smooth((4, 4)), method="fixed")


def test_a_value_is_of_fixed_alone() -> None:
    with pytest.raises(ConfigError, match="value: 7 is of method 'fixed', the method"):
        ops.threshold(smooth((4, 4)), value=7.0)


def test_find_threshold_knows_its_methods() -> None:
    with pytest.raises(ConfigError, match=r"method must be one of otsu, li, .*; got"):
        ops.find_threshold(smooth((4, 4)), method="huang")  # type: ignore[arg-type]  # wrong


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("low", [0.0, 1.0, -1e6])
def test_neighbouring_real_numbers_have_a_threshold(
    method: Method, dtype: str, low: float
) -> None:
    image = np.full((5, 5), low, dtype)
    image[1, 1:3] = np.nextafter(image[0, 0], np.array(np.inf, dtype))
    # the triangle cuts off the tail, and two levels have none
    expected = 0 if method == "triangle" else 2
    assert ops.threshold(image, method=method).sum() == expected


@pytest.mark.parametrize("weights", ["gaussian", "mean", "median"])
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [(1, 9), (5, 3), (33, 48), (4, 9, 8)])
@pytest.mark.parametrize(("block_size", "offset"), [(3, 0.0), (11, 2.5), (51, -1.0)])
def test_local_thresholds_are_skimages(
    weights: str, dtype: str, shape: tuple[int, ...], block_size: int, offset: float
) -> None:
    if weights == "median" and block_size > 2 * min(shape):
        return  # scipy's own windows go wrong where they are wider than the image
    image = smooth(shape, dtype)
    native = image.astype(image.dtype.newbyteorder("="))
    given = {"block_size": block_size, "weights": weights, "offset": offset}
    mask = ops.OPERATORS["threshold"].kernel(image, method="local", **given)
    expected = oracles.threshold(native, "local", **given)  # type: ignore[arg-type]  # by name
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize("size", [3, 11, 51])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_local_mean_rounds_as_scipys(gaussian: bool, size: int, dtype: str) -> None:
    flat = np.where(smooth((40, 57)) > 2500, 255, 0).astype(dtype)
    for image in (flat, smooth((40, 57), dtype), smooth((1, 1), dtype)):
        expected = (
            ndimage.gaussian_filter(image, (size - 1) / 6)
            if gaussian
            else ndimage.uniform_filter(image, size)
        )
        result = local_mean(image, size, gaussian=gaussian)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("weights", ["gaussian", "mean", "median"])
def test_local_threshold_looks_past_nan(weights: str) -> None:
    image = np.tile(np.array([1.0, 3.0]), (12, 6))
    image[4, 4:7] = image[8, 2] = np.nan
    mask = ops.OPERATORS["threshold"].kernel(
        image, method="local", block_size=5, weights=weights
    )
    known = ~np.isnan(image)
    assert not mask[~known].any()
    if weights != "median":
        np.testing.assert_array_equal(mask[known], image[known] > 2)


@pytest.mark.parametrize("block_size", [2, 50, 1, 1001])
def test_block_size_has_a_centre(block_size: int) -> None:
    with pytest.raises(ConfigError, match=r"block_size must be (>= 3|<= 999|odd), got"):
        ops.threshold(smooth((4, 4)), method="local", block_size=block_size)


def test_blobs_have_64_objects() -> None:
    import tifffile

    image = np.asarray(tifffile.imread(shared("blobs/blobs.tif")))
    mask = ops.threshold(image, method="fixed", value=120)
    for connectivity in (1, 2):
        assert ops.label(mask, connectivity=connectivity).max() == 64
    for method in METHODS:
        assert ops.find_threshold(image, method=method) == skimages(image, method)


def found(image: Array, method: str) -> float | None:
    """scikit-image's threshold, or None where it finds none."""
    with np.errstate(all="ignore"):
        try:
            return skimages(image, method)
        except (RuntimeError, IndexError):
            return None


def ours(image: Array, method: Any) -> float | None:
    try:
        return ops.find_threshold(image, method=method)
    except FrameError:
        return None


HISTOGRAMS: tuple[str, ...] = ("yen", "isodata", "mean", "minimum")


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    st.sampled_from(HISTOGRAMS),
    st.integers(2, 400),
    st.sampled_from([3, 20, 250]),
)
def test_other_thresholds_are_skimages(
    seed: int, dtype: str, method: str, size: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    dark, bright = rng.gamma(2, levels / 12, size), rng.normal(levels / 2, 9, size // 2)
    image = np.concatenate([dark, bright])[None].clip(0, levels).astype(dtype)
    if image.min() == image.max():
        assert ops.find_threshold(image, method=method) == image.flat[0]  # type: ignore[arg-type]  # by name
        return
    assert ours(image, method) == found(image, method)


@pytest.mark.parametrize("method", HISTOGRAMS)
def test_other_thresholds_look_past_nan_and_infinity(method: Any) -> None:
    rng = np.random.default_rng(0)
    image = np.where(rng.random((40, 50)) < 0.4, 150, 50) + rng.normal(0, 12, (40, 50))
    level = ops.find_threshold(image[2:], method=method)
    image[0], image[1, :20], image[1, 20:] = np.nan, np.inf, -np.inf
    assert ops.find_threshold(image, method=method) == pytest.approx(level, rel=1e-14)
    mask = ops.threshold(image, method=method)
    assert not mask[0].any()
    assert mask[1].tolist() == [1] * 20 + [0] * 30
    assert np.isnan(ops.find_threshold(np.full((3, 4), np.nan), method=method))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_mean_of_one_level_is_that_level(dtype: str) -> None:
    image = np.full((301, 307), 0.1 if dtype == "float32" else 7).astype(dtype)
    assert ops.find_threshold(image, method="mean") == image.flat[0]
    assert not ops.threshold(image, method="mean").any()


def test_minimum_needs_two_maxima() -> None:
    with pytest.raises(FrameError, match="minimum needs a histogram of two maxima"):
        ops.threshold(np.array([[1, 2, 3, 3, 3, 4, 5]]), method="minimum")


def test_minimum_needs_a_histogram_of_a_possible_length() -> None:
    with pytest.raises(FrameError, match="a histogram of 8388609 levels is too long"):
        ops.threshold(np.array([[0, 2**23]]), method="minimum")


def test_isodata_may_find_nothing() -> None:
    # of real numbers the width of a bin may miss every level
    low = np.float32(1e8)
    image = np.array([[low, np.nextafter(low, np.float32(np.inf))]], np.float32)
    assert ours(image, "isodata") in (None, float(image[0, 0]))
    with pytest.raises(FrameError, match="isodata finds no threshold in this image"):
        isodata(Histogram(np.array([1, 1]), np.array([0.0, -1.0])))


@pytest.mark.parametrize("size", [3, 15, 31])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 57), (1, 1), (1, 9), (2, 3), (5, 12, 9)])
def test_local_deviation_rounds_as_scikit_images(
    size: int, dtype: str, shape: tuple[int, ...]
) -> None:
    flat = np.where(smooth(shape) > 2500, 255, 0).astype(dtype) / 7
    for image in (flat.astype(dtype), smooth(shape, dtype)):
        mean, deviation = mean_and_deviation(image, size)
        assert mean.dtype == deviation.dtype == image.dtype
        level = oracles.filters.threshold_niblack(image, size, k=0)
        np.testing.assert_array_equal(mean, level)
        level = oracles.filters.threshold_niblack(image, size, k=0.7)
        np.testing.assert_array_equal(mean - 0.7 * deviation, level)


@pytest.mark.parametrize("method", ["niblack", "sauvola"])
@pytest.mark.parametrize("shape", [(20, 24), (6, 9, 8)])
def test_local_deviation_looks_past_nan(method: Any, shape: tuple[int, ...]) -> None:
    image = smooth(shape, "float64").copy()
    rng = np.random.default_rng(0)
    image[rng.random(shape) < 0.2] = np.nan
    mean, deviation = mean_and_deviation(image, 5)
    at = tuple(n // 2 for n in shape)
    window = image[tuple(slice(i - 2, i + 3) for i in at)]
    assert mean[at] == pytest.approx(np.nanmean(window))
    assert deviation[at] == pytest.approx(np.nanstd(window))
    image[0] = np.inf
    mask = ops.threshold(image, method=method)
    assert not mask[np.isnan(image)].any()
    assert not ops.threshold(np.full(shape, np.nan), method=method).any()


@pytest.mark.parametrize(
    ("given", "rule"),
    [({"window_size": 4}, "window_size must be odd"), ({"r": 0.0}, "r must be > 0")],
)
def test_surroundings_have_a_centre_and_a_range(given: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        ops.threshold(smooth((4, 4)), method="sauvola", **given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("base", [0.0, 1e3, -1e5, 1e7, 1e-30, 1e30, -3e38])
@pytest.mark.parametrize("span", [1e-20, 1e-3, 1.0, 1e8])
def test_bins_are_those_of_their_edges(dtype: str, base: float, span: float) -> None:
    # far from zero the edges themselves are coarse
    image = (base + span * np.random.default_rng(0).random((30, 99))).astype(dtype)
    image.flags.writeable = False
    low, high = image.min(), image.max()
    if low == high:
        pytest.skip("one level")
    edges = np.linspace(low, high, 257, dtype=image.dtype)
    where = np.searchsorted(edges, image.ravel(), side="right") - 1
    expected = np.bincount(np.clip(where, 0, 255), minlength=256)
    np.testing.assert_array_equal(histogram(image, low, high).counts, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 127, 128, 129, 1000])
def test_extremes_are_numpys(dtype: str, size: int) -> None:
    rng = np.random.default_rng(size)
    tiny = np.finfo(np.dtype(dtype)).smallest_subnormal
    for scale in (1.0, 1e30, tiny):
        image = (scale * rng.integers(-9, 9, size)).astype(dtype)
        assert extremes(image) == (image.min(), image.max())
    image[size // 2] = np.inf
    assert extremes(image)[1] == np.inf
    image[size // 2] = -np.inf
    assert extremes(image)[0] == -np.inf
    for nan in (np.nan, -np.nan):
        image[size // 2] = nan
        assert np.isnan(extremes(image)).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros_of_both_signs_are_one_level(dtype: str) -> None:
    image = np.zeros((9, 40), dtype)
    image[::2] = -0.0
    assert ops.find_threshold(image) == 0
    assert not ops.threshold(image).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_of_pixels_on_the_ends_and_the_edges(dtype: str) -> None:
    # most pixels are doubtful: saturated, or on an edge
    image = np.repeat(np.array([0, 1, 255, 256], dtype), [500, 77, 1, 423])
    counts, _ = np.histogram(image, 256)
    np.testing.assert_array_equal(counted(image).counts, counts)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64"])
@pytest.mark.parametrize("size", [5, 128, 1001])
@pytest.mark.parametrize("span", [100, 5000])
def test_whole_numbers_are_counted(dtype: str, size: int, span: int) -> None:
    rng = np.random.default_rng(size)
    for low in (0, 60, 7000, -30):
        if low < np.iinfo(dtype).min or low + span > np.iinfo(dtype).max:
            continue
        image = rng.integers(low, low + span, size).astype(dtype)
        levels, counts = np.unique(image, return_counts=True)
        mine = counted(image)
        np.testing.assert_array_equal(mine.levels, levels)
        np.testing.assert_array_equal(mine.counts, counts)


@pytest.mark.parametrize("high", [3e38, 1e-44, 1e-40])
@pytest.mark.parametrize("low", [-1, 0])
def test_bins_of_huge_and_of_subnormal_ranges(low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    image = (high * rng.uniform(low, 1, (30, 99))).astype(np.float32)
    smallest, largest = image.min(), image.max()
    with np.errstate(over="ignore", invalid="ignore"):
        found = histogram(image, smallest, largest)
        edges = np.linspace(smallest, largest, 257, dtype=np.float32)
    if np.isfinite(edges).all():
        where = np.searchsorted(edges, image.ravel(), side="right") - 1
        expected = np.bincount(np.clip(where, 0, 255), minlength=256)
        np.testing.assert_array_equal(found.counts, expected)
    assert found.counts.sum() == image.size
