import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis.extra import numpy as hnp
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError
from tests.ops.cases.measurement import EVERY, FOCUS, counted, numbers, sharpness
from tests.ops.pictures import BIG_ENDIAN, DTYPES, Array, smooth


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_statistics_are_numpys(dtype: str) -> None:
    image = smooth((31, 40), dtype)
    found = ops.statistics(image, properties=EVERY, percentiles=(0, 12.5, 100))
    expected = numbers(image.astype(np.float64), EVERY, (0, 12.5, 100))
    expected = {k.replace("12.5", "12_5"): v for k, v in expected.items()}
    assert list(found) == list(expected)
    # scikit-image's Otsu has 256 bins for real numbers
    del found["snr"], expected["snr"]
    np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=1e-6)
    whole = image.dtype.kind in "iu"
    for name in ("min", "max", "sum"):
        assert isinstance(found[name], int) == whole


@pytest.mark.parametrize("dtype", ["uint64", "int64", "uint32", "int32"])
def test_sums_of_whole_numbers_are_exact(dtype: str) -> None:
    limits = np.iinfo(dtype)
    image = np.array([[limits.max, limits.min, limits.max, 5]], dtype)
    found = ops.statistics(image, properties=("sum", "min", "max"))
    assert found == {
        "sum": 2 * int(limits.max) + int(limits.min) + 5,
        "min": int(limits.min),
        "max": int(limits.max),
    }


def test_a_spread_on_a_bright_ground_keeps_its_digits() -> None:
    image = np.array([[1e9, 1e9 + 1, 1e9, 1e9 + 1]])
    assert ops.statistics(image, properties=("std",)) == {"std": 0.5}


def test_images_of_nothing_but_nan_are_nan() -> None:
    found = ops.statistics(np.full((2, 3), np.nan), properties=EVERY)
    assert len(found) == 10
    assert all(np.isnan(v) for v in found.values())


def test_snr_is_that_of_objects_on_a_background() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(100, 5, (200, 200))
    image[50:90, 60:100] += 40
    for given_ in (image, image.round().astype(np.uint16)):
        assert ops.statistics(given_, properties=("snr",))["snr"] == pytest.approx(
            8, rel=0.05
        )
    assert np.isnan(ops.statistics([[3, 3]], properties=("snr",))["snr"])
    assert ops.statistics([[3, 9]], properties=("snr",))["snr"] == np.inf


def test_channels_have_a_number() -> None:
    image = np.array([[[1, 3]], [[5, 7]]])
    found = ops.statistics(image, properties=("mean", "max"), channel_axis=0)
    assert found == {"mean_c0": 2.0, "max_c0": 3, "mean_c1": 6.0, "max_c1": 7}


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(
        np.float32,
        (5, 7),
        elements={"min_value": -100, "max_value": 100},
    )
)
def test_histograms_are_numpys(image: Array) -> None:
    for bins, limits in ((4, None), (9, (-50.0, 50.0)), (1, (0.0, 0.5))):
        found = ops.histogram(image, bins=bins, range=limits)
        try:
            expected = counted(image, bins, limits)
        except ValueError:  # pixels so near to each other that bins have no width
            reject()
        for name, column in expected.items():
            np.testing.assert_allclose(found[name], column, rtol=1e-6, err_msg=name)


def test_histograms_count_what_is_finite_and_in_range() -> None:
    image = [[np.nan, np.inf, -np.inf, 1.0, 2.0, 3.0]]
    assert ops.histogram(image, bins=2)["count"].tolist() == [1, 2]
    assert ops.histogram(image, bins=2, range=(2, 9))["count"].tolist() == [2, 0]
    nothing = ops.histogram([[np.nan]], bins=3)
    assert nothing["count"].tolist() == [0, 0, 0]
    assert nothing["high"].tolist()[-1] == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_histograms_of_one_level(dtype: str) -> None:
    image = np.full((3, 3), 7, dtype)
    found = ops.histogram(image, bins=2)
    assert found["count"].sum() == 9
    assert found["low"].tolist() == [6.5, 7.0]


@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", [(30, 41), (4, 12, 13)])
def test_focus_is_that_of_double_precision(dtype: str, shape: tuple[int, ...]) -> None:
    image = smooth(shape, dtype)
    found = ops.focus(image, measures=FOCUS)
    expected = sharpness(*FOCUS)(image)
    assert list(found) == list(FOCUS)
    np.testing.assert_allclose([*found.values()], [*expected.values()], rtol=1e-5)


@pytest.mark.parametrize("measure", FOCUS)
def test_blurred_images_are_less_sharp(measure: str) -> None:
    image = smooth((60, 60), "float64")
    sharp, soft = (
        ops.focus(i, measures=(measure,))[measure]  # type: ignore[arg-type]  # one of FOCUS
        for i in (image, ndimage.gaussian_filter(image, 2))
    )
    assert sharp > 1.2 * soft


def test_slopes_that_need_a_nan_pixel_do_not_count() -> None:
    image = np.tile(np.arange(9.0), (9, 1))
    image[4, 4] = np.nan
    found = ops.focus(image, measures=("tenengrad", "brenner", "laplacian_variance"))
    # a Sobel slope of 1 per pixel is 8; half of that at the border
    inner = np.full((9, 9), 64.0)
    inner[:, [0, -1]] = 16.0
    known = np.ones((9, 9), bool)
    known[3:6, 3:6] = False
    known[4, 4] = True  # its own slope does not need it
    assert found["brenner"] == 4.0
    assert found["tenengrad"] == pytest.approx(inner[known].mean(), rel=0.02)


def test_focus_of_nothing_is_nan() -> None:
    for image in (np.full((3, 4), np.nan), np.zeros((3, 4))):
        found = ops.focus(image, measures=("normalized_variance",))
        assert np.isnan(found["normalized_variance"])
    assert np.isnan(ops.focus([[1, 2]], measures=("brenner",))["brenner"])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"range must ascend, got \[3\.0, 3\.0\]"):
        ops.histogram([[1]], range=(3.0, 3.0))
    with pytest.raises(ConfigError, match="bins must be >= 1, got 0"):
        ops.histogram([[1]], bins=0)
    with pytest.raises(ConfigError, match=r"properties must be one of 'mean', 'std'"):
        ops.statistics([[1]], properties=("median",))  # type: ignore[arg-type]  # the mistake tested
    with pytest.raises(ConfigError, match=r"percentiles must be <= 100\.0, got"):
        ops.statistics([[1]], percentiles=(101.0,))
    with pytest.raises(ConfigError, match="measures must be one of 'brenner'"):
        ops.focus([[1]], measures=("sharpness",))  # type: ignore[arg-type]  # the mistake tested
    with pytest.raises(ConfigError, match="measures must"):
        ops.focus([[1]], measures=())
