import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.ops._properties import LEVELS, PLANE_ONLY
from streamproc.ops.measurement import PROPERTIES, check_properties
from streamproc.table import Measurements
from tests import oracles
from tests.ops.pictures import (
    BIG_ENDIAN,
    DTYPES,
    SHAPES,
    VOLUMES,
    Array,
    blobs,
    shared,
    smooth,
)

ALL = tuple(PROPERTIES)
OF_VOLUMES = tuple(n for n, kind in PROPERTIES.items() if kind not in PLANE_ONLY)
WHOLE = {
    n
    for n, kind in PROPERTIES.items()
    if kind in ("euler_number", "num_pixels") or kind.startswith("area")
}


def assert_same(result: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(result) == list(expected)
    for name in map(str, result):
        mine, theirs = result[name].to_numpy(), expected[name].to_numpy()
        if name in {"label", *WHOLE} or name.startswith(("bbox_x", "bbox_y", "bbox_z")):
            assert mine.dtype == np.int64
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            continue
        assert mine.dtype == np.float64
        slack = rounding(name, theirs)
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=slack, err_msg=name)


def rounding(name: str, theirs: Array) -> float:
    """What scikit-image's own rounding may add where a measure is 0 in truth."""
    largest = float(np.max(np.abs(theirs), initial=0, where=np.isfinite(theirs)))
    if "moments" in name:
        of_level = 1e-18 if "weighted" in name else 1e-11
        free = "normalized" in name or "hu" in name
        return 1e-8 * largest + (of_level if free else 1e-5)
    # 1 - l2 / l1 of a round object and the axes of a thin one
    return 2e-6 if "axis" in name or name == "eccentricity" else 1e-9


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [*SHAPES, *VOLUMES, (90, 110)])
def test_measures_are_skimages(dtype: str, shape: tuple[int, ...]) -> None:
    labels, image = ops.label(blobs(shape)), smooth(shape, dtype)
    if not labels.any():
        return
    # shapes know no dtype
    names = [n for n in ALL if dtype == "uint16" or PROPERTIES[n] in LEVELS]
    if len(shape) == 3:
        names = [n for n in names if n in OF_VOLUMES]
    result = ops.measure(labels, image, properties=tuple(names))
    assert_same(result, oracles.measure(labels, image, names))


def touching(seed: int, shape: tuple[int, ...], labels: int) -> Array:
    """Label images of any kind: touching, scattered, at the border, with gaps."""
    rng = np.random.default_rng(seed)
    scattered = rng.integers(0, labels, shape) * 3
    if seed % 2:
        coarse = rng.integers(0, labels, tuple(s // 3 + 1 for s in shape)) * 3
        scattered = np.kron(coarse, np.ones((3,) * len(shape), int))
        scattered = scattered[tuple(slice(s) for s in shape)]
    return scattered.astype(np.uint32)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(2, 9),
)
def test_measures_of_any_labels_are_skimages(
    seed: int, shape: tuple[int, int], count: int
) -> None:
    labels, image = touching(seed, shape, count), smooth(shape, "uint16", seed % 100)
    if labels.any():
        result = ops.measure(labels, image, properties=ALL)
        assert_same(result, oracles.measure(labels, image, ALL))


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
)
def test_measures_of_any_volume_are_skimages(
    seed: int, shape: tuple[int, int, int]
) -> None:
    labels, image = touching(seed, shape, 4), smooth(shape, "float32", seed % 100)
    if labels.any():
        result = ops.measure(labels, image, properties=OF_VOLUMES)
        assert_same(result, oracles.measure(labels, image, OF_VOLUMES))


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (6, 7), elements={"min_value": 0, "max_value": 2}))
def test_perimeters_of_tiny_shapes_are_skimages(labels: Array) -> None:
    if labels.any():
        result = ops.measure(labels, properties=("perimeter",))
        assert_same(result, oracles.measure(labels, None, ("perimeter",)))


def test_intensities_are_those_of_regionprops() -> None:
    labels, image = ops.label(blobs((60, 50))), smooth((60, 50), "float64")
    names = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    theirs = oracles.regions.regionprops_table(
        labels, image, properties=("label", *names, "centroid_weighted")
    )
    mine = ops.measure(labels, image, properties=(*names, "centroid_weighted"))
    np.testing.assert_allclose(mine.to_numpy(), np.transpose(list(theirs.values())))


def test_shape_keeps_its_digits_far_from_the_corner() -> None:
    near = np.zeros((40, 40), np.uint8)
    near[3:9, 5:30] = near[9:30, 12] = 1
    far = np.zeros((40, 400_000), np.uint8)
    far[:, -40:] = near
    names = ("eccentricity", "orientation", "axis_minor_length")
    here = ops.measure(near, properties=names)
    there = ops.measure(far, properties=names)
    pd.testing.assert_frame_equal(here, there, check_exact=True)


def test_spread_keeps_its_digits_on_a_bright_ground() -> None:
    image = np.array([[1e9, 1e9 + 1, 1e9, 1e9 + 1]])
    table = ops.measure(np.ones((1, 4), int), image, properties=("std_intensity",))
    assert table["std_intensity"].item() == 0.5


def test_defaults_are_area_centroid_and_mean() -> None:
    labels = [[0, 2, 2], [5, 0, 0]]
    table = ops.measure(labels, [[0, 1, 2], [3, 0, 0]])
    assert table.to_dict("list") == {
        "label": [2, 5],
        "area": [2, 1],
        "centroid_y": [0.0, 1.0],
        "centroid_x": [1.5, 0.0],
        "mean_intensity": [1.5, 3.0],
    }
    assert list(ops.measure(labels)) == ["label", "area", "centroid_y", "centroid_x"]


def test_columns_have_the_names_asked_for_in_the_order_asked() -> None:
    names = ("intensity_mean", "bbox", "weighted_centroid", "area")
    table = ops.measure([[1]], [[2]], properties=names)
    assert " ".join(map(str, table)) == (
        "label intensity_mean bbox_y0 bbox_x0 bbox_y1 bbox_x1"
        " weighted_centroid_y weighted_centroid_x area"
    )


def test_columns_of_a_volume_have_z_first() -> None:
    table = ops.measure([[[1]]], [[[2]]], properties=("centroid", "bbox"))
    assert " ".join(map(str, table)) == (
        "label centroid_z centroid_y centroid_x"
        " bbox_z0 bbox_y0 bbox_x0 bbox_z1 bbox_y1 bbox_x1"
    )


@pytest.mark.parametrize("shape", [(20, 30), (5, 9, 8)])
def test_channels_have_a_number(shape: tuple[int, ...]) -> None:
    labels = ops.label(blobs(shape))
    image = np.stack([smooth(shape), 4000 - smooth(shape), smooth(shape, seed=1)])
    names = ("area", "mean_intensity", "centroid_weighted", "max_intensity")
    table = ops.measure(labels, image, properties=names)
    assert {"mean_intensity_c0", "centroid_weighted_x_c2"} < set(table)
    assert_same(table, oracles.measure(labels, image, names))


def test_one_channel_in_front_has_a_number_too() -> None:
    table = ops.measure([[1]], [[[7]]], properties=("mean_intensity",))
    assert table.to_dict("list") == {"label": [1], "mean_intensity_c0": [7.0]}


def test_nan_pixels_are_ignored() -> None:
    labels = ops.label(blobs((40, 50)))
    image = smooth((40, 50), "float32").copy()
    image[np.random.default_rng(0).random(image.shape) < 0.3] = np.nan
    image[labels == 2] = np.nan
    result = ops.measure(labels, image, properties=ALL)
    assert_same(result, oracles.measure(labels, image, ALL))
    row = result[result["label"] == 2]
    assert row["area"].item() > 0
    assert (
        row[["mean_intensity", "sum_intensity", "min_intensity"]]
        .isna()
        .to_numpy()
        .all()
    )


def test_dark_objects_have_no_weighted_centroid() -> None:
    table = ops.measure([[1]], [[0]], properties=("centroid_weighted",))
    assert table[["centroid_weighted_y", "centroid_weighted_x"]].isna().to_numpy().all()


def test_labels_may_be_few_and_far_between() -> None:
    labels = np.array([[4_000_000_000, 0, 3, 3]], np.uint32)
    table = ops.measure(labels, properties=("area",))
    assert table.to_dict("list") == {"label": [3, 4_000_000_000], "area": [2, 1]}
    assert ops.measure(np.array([[-4, 2]]), properties=("area",)).shape == (1, 2)


def test_without_objects_the_columns_are_there() -> None:
    kernel = ops.OPERATORS["measure"].kernel
    nothing = np.zeros((4, 5), np.uint32)
    table = kernel(nothing, smooth((4, 5)), properties=ALL)
    assert isinstance(table, Measurements)
    assert len(table) == 0
    full = kernel(nothing + 1, smooth((4, 5)), properties=ALL)
    assert {n: c.dtype for n, c in table.columns.items()} == {
        n: c.dtype for n, c in full.columns.items()
    }
    assert len(kernel(np.zeros((2, 3, 4), int), properties=("area", "bbox"))) == 0


def test_a_mask_is_one_object() -> None:
    assert ops.measure(np.ones((2, 3), bool), properties=("area",))["area"].item() == 6


def test_unknown_properties_are_refused_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match="no property 'centriod'; did you mean 'centr"
    ):
        ops.measure([[1]], properties=("centriod",))


def test_intensity_properties_need_an_image() -> None:
    with pytest.raises(ConfigError, match="max_intensity needs an intensity image"):
        ops.measure([[1]], properties=("max_intensity",))


@pytest.mark.parametrize("name", sorted(PLANE_ONLY))
def test_some_properties_are_for_planes(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is for planes \(y, x\) only"):
        ops.measure([[[1]]], [[[1]]], properties=(name,))


def test_properties_are_checked_before_there_is_an_image() -> None:
    names = ("area", "mean_intensity")
    assert check_properties(names, has_intensity=True) == names
    assert check_properties(names, has_intensity=False, explicit=False) == ("area",)
    with pytest.raises(ConfigError, match="mean_intensity needs an intensity image"):
        check_properties(names, has_intensity=False)
    check_properties(("perimeter",), has_intensity=False)


def test_shapes_must_fit() -> None:
    with pytest.raises(
        FrameError, match=r"intensity of shape \(3, 2\) does not fit la"
    ):
        ops.measure(np.ones((2, 3), int), np.ones((3, 2)))


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(
        FrameError, match="labels must hold whole numbers, got dtype fl"
    ):
        ops.measure(np.ones((2, 3)))


def test_measures_of_real_nuclei_are_skimages() -> None:
    import tifffile

    for path in sorted(shared("bbbc038_a").glob("*_lab.tif"))[:4]:
        labels = np.asarray(tifffile.imread(path))
        image = smooth(labels.shape)
        result = ops.measure(labels, image, properties=ALL)
        assert_same(result, oracles.measure(labels, image, ALL))


def shapes_with_everything() -> Array:
    """Touching, hollow, in pieces, one pixel, lines, a spiral, at the border."""
    labels = np.zeros((40, 60), np.int32)
    labels[:9, :9] = 3
    labels[2:7, 2:7] = 0
    labels[4, 4] = 3
    labels[:9, 9:15] = 4
    labels[20, 5:40] = labels[21:35, 39] = 9
    labels[30:34, 3:8] = labels[33:39, 20:22] = 12
    labels[37, 57] = 700
    labels[12:18, 45] = 13
    for step in range(8):
        # a diagonal: its hull passes through the middles of pixels
        labels[24 + step, 48 + step] = 14
    spiral = np.ones((11, 13), np.int32)
    spiral[1:-1, 1:-2] = 0
    spiral[3:-3, 3:-1] = 1
    spiral[5, 4:9] = 0
    labels[2:13, 20:33] = 20 * spiral
    return labels


@pytest.mark.parametrize("name", ALL)
def test_every_property_of_odd_shapes_is_skimages(name: str) -> None:
    labels = shapes_with_everything()
    image = np.stack([smooth(labels.shape), smooth(labels.shape, "float32", 1)])
    holed = image.astype(np.float32)
    holed[1, 5:8, ::3] = np.nan
    result = ops.measure(labels, holed, properties=(name,))
    assert_same(result, oracles.measure(labels, holed, (name,)))


@pytest.mark.parametrize("name", OF_VOLUMES)
def test_every_property_of_odd_bodies_is_skimages(name: str) -> None:
    labels = np.zeros((9, 14, 15), np.uint16)
    labels[1:8, 1:9, 1:9] = 2
    labels[3:6, 3:6, 3:6] = 0  # hollow
    labels[2, 4, :9] = 0  # and with a tunnel to the outside
    labels[1:8, 9:12, 1:9] = 3
    labels[:, 12, 12] = labels[4, 12, 3:13] = 5
    labels[0, 0, 14] = 8
    labels[8, 2:9, 10:14] = labels[0, 13, 0] = 6  # in two pieces
    labels[3, 3:8, 11:14] = 9  # flat
    image = smooth(labels.shape, "float32")
    result = ops.measure(labels, image, properties=(name,))
    assert_same(result, oracles.measure(labels, image, (name,)))


def test_medians_do_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 501, 4000):
        for levels in (1, 2, 7, 60000):
            image = rng.integers(0, levels, (1, size)).astype(np.uint16)
            table = ops.measure(
                np.ones((1, size), int), image, properties=("intensity_median",)
            )
            assert table["intensity_median"].item() == np.median(image)


def test_hulls_are_decided_in_whole_numbers() -> None:
    """Pixels whose middle lies on the hull, in an image too wide for small numbers."""
    labels = np.zeros((60, 70_000), np.uint8)
    labels[0, 0] = labels[59, 69_995] = labels[20, 23_733] = 1
    table = ops.measure(labels, properties=("area_convex", "feret_diameter_max"))
    expected = oracles.measure(labels, None, ("area_convex",))
    assert table["area_convex"].item() == expected["area_convex"].item()
    assert table["feret_diameter_max"].item() == np.hypot(59, 69_996)


def test_arrays_have_their_indices_in_the_names_of_columns() -> None:
    table = ops.measure([[1]], [[[2]], [[3]]], properties=("weighted_moments_hu",))
    assert list(table)[1::6] == [
        "weighted_moments_hu_0_c0",
        "weighted_moments_hu_6_c0",
        "weighted_moments_hu_5_c1",
    ]
    moments = list(ops.measure([[[1]]], properties=("moments",)))
    assert moments[1:3] == ["moments_0_0_0", "moments_0_0_1"]
    assert len(moments) == 65


def test_values_below_0_in_many_runs_are_background() -> None:
    # more changes of level than runs, and than there is room for at first
    labels = np.tile(np.array([-1, -2, 5, -3], np.int8), (50, 40))
    assert ops.measure(labels, properties=("area",))["area"].item() == 2000
