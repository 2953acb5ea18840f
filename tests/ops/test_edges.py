import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from streamproc import ops
from streamproc.errors import ConfigError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, Array, smooth

NAMES = ("sobel", "prewitt", "laplace", "gaussian_laplace", "gradient_magnitude")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_derivatives_of_any_dtype_are_float32(name: str, dtype: str) -> None:
    image = smooth((12, 15), dtype)
    result = getattr(ops, name)(image)
    assert result.dtype == np.float32
    expected = getattr(ops, name)(image.astype(np.float32))
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


# cut at 4 sigma, the weights of gaussian_laplace do not quite cancel
@pytest.mark.parametrize("name", [n for n in NAMES if n != "gaussian_laplace"])
@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7)])
def test_one_level_has_no_edges(name: str, shape: tuple[int, ...]) -> None:
    result = getattr(ops, name)(np.full(shape, 40000, np.uint16))
    np.testing.assert_allclose(result, 0, atol=1e-5 * 40000)


@pytest.mark.parametrize(("name", "share"), [("sobel", 4), ("prewitt", 3)])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_derivative_along_an_axis_has_its_sign(
    name: str, share: int, axis: int
) -> None:
    image = smooth((6, 8, 9), "float32")
    expected = getattr(ndimage, name)(image, axis) / share**2
    result = getattr(ops, name)(image, axis=axis)
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


@pytest.mark.parametrize("name", ["sobel", "prewitt"])
def test_axes_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="axis must be one of the image's, -2 to 1"):
        getattr(ops, name)(smooth((4, 4)), axis=2)


@pytest.mark.parametrize("name", ["gaussian_laplace", "gradient_magnitude"])
def test_derivatives_take_one_sigma_per_axis(name: str) -> None:
    image = smooth((20, 31), "float32")
    function = {
        "gaussian_laplace": ndimage.gaussian_laplace,
        "gradient_magnitude": ndimage.gaussian_gradient_magnitude,
    }[name]
    result: Array = getattr(ops, name)(image, sigma=(1.0, 2.5))
    expected = function(image, (1.0, 2.5))
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


@pytest.mark.parametrize("name", ["gaussian_laplace", "gradient_magnitude"])
def test_derivatives_refuse_another_number_of_sigmas(name: str) -> None:
    with pytest.raises(ConfigError, match="sigma must be one number or 2, one per"):
        getattr(ops, name)(smooth((4, 4)), sigma=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", ["gaussian_laplace", "gradient_magnitude"])
def test_there_is_no_derivative_without_smoothing(name: str) -> None:
    with pytest.raises(ConfigError, match="sigma must be > 0"):
        getattr(ops, name)(smooth((4, 4)), sigma=0.0)
