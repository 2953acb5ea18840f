import numpy as np
import pytest

from streamproc import ops
from streamproc.errors import ConfigError
from tests import oracles
from tests.ops.pictures import BIG_ENDIAN, DTYPES, VOLUMES, smooth


@pytest.mark.parametrize("method", ["max", "mean", "min", "sum", "std"])
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
@pytest.mark.parametrize("shape", VOLUMES)
def test_project_is_numpys(method: str, dtype: str, shape: tuple[int, ...]) -> None:
    volume = smooth(shape, dtype)
    result = ops.OPERATORS["project"].kernel(volume, method=method)
    expected = oracles.project(volume, method)
    assert result.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_project_sums_do_not_overflow() -> None:
    volume = np.full((300, 1, 2), 255, np.uint8)
    assert ops.project(volume, method="sum").tolist() == [[300 * 255] * 2]


def test_project_refuses_a_plane() -> None:
    with pytest.raises(ConfigError, match=r"project needs a z axis, got an image of"):
        ops.project(smooth((4, 5)))
