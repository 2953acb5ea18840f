import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, SHAPES, VOLUMES, smooth

NAMES = {
    "fourier_gaussian": "sigma",
    "fourier_uniform": "size",
    "fourier_shift": "shift",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES + VOLUMES + ((4, 6, 8), (8, 1)))
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0, 2.7])
def test_fourier_filters_are_scipys(
    name: str, shape: tuple[int, ...], value: float
) -> None:
    image = smooth(shape)
    spectrum = np.fft.fftn(image.astype(np.float64))
    values = tuple(value * (1 + 0.3 * axis) for axis in range(len(shape)))
    expected = np.fft.ifftn(getattr(ndimage, name)(spectrum, values)).real
    if value == 0:
        expected = image
    result = getattr(ops, name)(image, **{NAMES[name]: values})
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_fourier_filters_of_any_dtype_are_float32(name: str, dtype: str) -> None:
    image = smooth((12, 15), dtype)
    result = getattr(ops, name)(image)
    assert result.dtype == np.float32
    expected = getattr(ops, name)(image.astype(np.float32))
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


@pytest.mark.parametrize("shape", [(8, 9), (4, 6, 10)])
def test_a_shift_by_whole_pixels_rolls(shape: tuple[int, ...]) -> None:
    image = smooth(shape)
    shift = (-2, 3, 1)[: len(shape)]
    result = ops.fourier_shift(image, shift=shift)
    expected = np.roll(image, shift, axis=tuple(range(len(shape))))
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


@pytest.mark.parametrize("name", NAMES)
def test_one_nan_makes_every_pixel_nan(name: str) -> None:
    image = np.ones((6, 7), np.float32)
    image[2, 3] = np.nan
    assert np.isnan(getattr(ops, name)(image)).all()


@pytest.mark.parametrize(("name", "parameter"), NAMES.items())
def test_fourier_filters_refuse_another_number_of_values(
    name: str, parameter: str
) -> None:
    with pytest.raises(ConfigError, match=f"{parameter} must be one number or 2, one"):
        getattr(ops, name)(smooth((4, 4)), **{parameter: (1.0, 1.0, 1.0)})
