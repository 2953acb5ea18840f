"""What the cases beside the oracles cannot say of spots."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import feature as _feature
from skimage import morphology as _morphology

from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from tests.ops.pictures import Array, smooth

#: scikit-image has no types yet.
feature: Any = _feature
morphology: Any = _morphology

SMALL = st.sampled_from([(3, 3), (4, 9), (19, 23), (3, 5, 4), (6, 7, 9)])


def spot(y: float, x: float, width: float = 2.0, size: int = 41) -> Array:
    """A Gaussian between the pixels, 1 at its top."""
    rows, columns = np.mgrid[:size, :size]
    away = (rows - y) ** 2 + (columns - x) ** 2
    return np.asarray(np.exp(-away / (2 * width**2)))


@settings(max_examples=80)
@given(SMALL, st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 100]), st.booleans())
def test_maxima_are_skimages(
    shape: tuple[int, ...], seed: int, levels: int, borders: bool
) -> None:
    image = np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint8)
    for connectivity in range(1, len(shape) + 1):
        np.testing.assert_array_equal(
            ops.local_maxima(image, connectivity=connectivity, allow_borders=borders),
            morphology.local_maxima(
                image, connectivity=connectivity, allow_borders=borders
            ),
        )


def test_an_image_of_one_level_has_no_maxima() -> None:
    for shape in ((1, 1), (1, 5), (4, 4), (2, 3, 4)):
        assert not ops.local_maxima(np.full(shape, 7)).any()
        assert not len(ops.peak_local_max(np.full(shape, 7), exclude_border=False))


def test_nan_is_no_maximum_and_no_neighbour() -> None:
    image = np.array([[np.nan, 1, 0, 5, np.nan]], np.float32)
    assert ops.local_maxima(image).tolist() == [[0, 1, 0, 1, 0]]
    table = ops.peak_local_max(image, exclude_border=False)
    assert table["x"].tolist() == [3, 1]


def test_maxima_know_the_axes() -> None:
    with pytest.raises(ConfigError, match="connectivity must be <= 2 for 2-D images"):
        ops.local_maxima(smooth((4, 4)), connectivity=3)


@settings(max_examples=60)
@given(
    SMALL,
    st.integers(0, 2**32 - 1),
    st.sampled_from([3, 30, 10**4]),
    st.integers(1, 4),
    st.sampled_from([True, False, 1]),
)
def test_peaks_are_skimages_in_order(
    shape: tuple[int, ...], seed: int, levels: int, apart: int, border: bool | int
) -> None:
    image = np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint16)
    ours = ops.peak_local_max(image, min_distance=apart, exclude_border=border)
    expected = feature.peak_local_max(image, min_distance=apart, exclude_border=border)
    names = ["z", "y", "x"][-len(shape) :]
    np.testing.assert_array_equal(ours[names], expected.reshape(-1, len(shape)))
    assert ours["label"].tolist() == list(range(1, len(ours) + 1))


def test_peaks_lie_between_pixels() -> None:
    image = spot(20.3, 14.8)
    rough = ops.peak_local_max(image, threshold_rel=0.5)
    fine = ops.peak_local_max(image, threshold_rel=0.5, subpixel=True)
    assert (rough["y"][0], rough["x"][0]) == (20, 15)
    assert fine["y"][0] == pytest.approx(20.3, abs=0.03)
    assert fine["x"][0] == pytest.approx(14.8, abs=0.03)


@pytest.mark.parametrize("name", ["blob_log", "blob_dog"])
def test_blobs_lie_between_pixels(name: str) -> None:
    image = spot(20.3, 14.8, width=3.0)
    given = {"min_sigma": 2.0, "max_sigma": 5.0, "threshold": 0.1}
    rough, fine = (
        getattr(ops, name)(image, subpixel=s, **given) for s in (False, True)
    )
    assert rough[["y", "x"]].to_numpy().tolist() == [[20, 15]]
    assert fine["y"][0] == pytest.approx(20.3, abs=0.05)
    assert fine["x"][0] == pytest.approx(14.8, abs=0.05)
    assert rough["sigma"][0] == pytest.approx(3.0, abs=1.1)


def test_blobs_lie_between_planes() -> None:
    z, y, x = np.mgrid[:25, :30, :32]
    away = (z - 12.3) ** 2 + (y - 14.7) ** 2 + (x - 16.2) ** 2
    image = np.exp(-away / (2 * 2.5**2)).astype(np.float32)
    found = ops.blob_log(
        image, min_sigma=2.0, max_sigma=3.0, num_sigma=5, subpixel=True
    )
    assert list(found) == ["label", "z", "y", "x", "sigma"]
    assert found[["z", "y", "x"]].to_numpy() == pytest.approx(
        np.array([[12.3, 14.7, 16.2]]), abs=0.05
    )


@pytest.mark.parametrize("name", ["blob_log", "blob_dog"])
def test_what_is_no_range_of_scales_is_refused(name: str) -> None:
    find, image = getattr(ops, name), smooth((20, 20))
    with pytest.raises(ConfigError, match="max_sigma must be >= min_sigma, got 2"):
        find(image, min_sigma=3.0, max_sigma=2.0)
    with pytest.raises(ConfigError, match="give threshold or threshold_rel, or both"):
        find(image, threshold=None)
    with pytest.raises(ConfigError, match=r"min_sigma must be > 0\.0, got 0\.0"):
        find(image, min_sigma=0.0)


def test_no_spots_are_a_table_without_rows() -> None:
    blank = np.zeros((40, 40), np.uint8)
    for table in (
        ops.blob_log(blank, max_sigma=3.0),
        ops.blob_dog(blank, max_sigma=3.0),
        ops.peak_local_max(blank),
        ops.locate(blank),
    ):
        assert len(table) == 0
        assert list(table)[:3] == ["label", "y", "x"]


@settings(max_examples=20)
@given(st.floats(18, 22), st.floats(18, 22))
def test_particles_lie_between_pixels(y: float, x: float) -> None:
    image = (spot(y, x) * 250).astype(np.uint8)
    found = ops.locate(image, diameter=11)
    assert len(found) == 1
    assert found["y"][0] == pytest.approx(y, abs=0.1)
    assert found["x"][0] == pytest.approx(x, abs=0.1)
    assert found["size"][0] == pytest.approx(2.5, abs=0.5)


def test_particles_in_a_volume() -> None:
    z, y, x = np.mgrid[:25, :30, :32]
    away = (z - 12.3) ** 2 + (y - 14.7) ** 2 + (x - 16.2) ** 2
    found = ops.locate((250 * np.exp(-away / 8)).astype(np.uint8), diameter=9)
    assert found[["z", "y", "x"]].to_numpy() == pytest.approx(
        np.array([[12.3, 14.7, 16.2]]), abs=0.1
    )
    assert found["ecc"].isna().all()


def test_what_particles_cannot_be_found_in_is_refused() -> None:
    image = smooth((30, 30), "float32")
    with pytest.raises(ConfigError, match="smoothing_size must be > noise_size, got 3"):
        ops.locate(image, smoothing_size=3, noise_size=4.0)
    with pytest.raises(ConfigError, match="diameter must be odd, got 10"):
        ops.locate(image, diameter=10)
    holed = np.array(image)
    holed[3, 3] = np.nan
    with pytest.raises(FrameError, match="locate: the image has NaN pixels; replace"):
        ops.locate(holed)
