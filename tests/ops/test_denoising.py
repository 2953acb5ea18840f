from typing import Any

import numpy as np
import pytest
from skimage import restoration

from streamproc import ops
from streamproc.errors import ConfigError
from tests.ops.pictures import BIG_ENDIAN, DTYPES, Array, smooth

denoise_nl_means: Any = restoration.denoise_nl_means

NAMES = ("bilateral", "denoise_tv", "denoise_nl_means")


def neighbours_near(image: Array, radius: int, color: float, space: float) -> Array:
    """The sum that `ops.bilateral` approximates, in float64."""
    padded = np.pad(image.astype(np.float64), radius, mode="symmetric")
    total, weights = np.zeros(image.shape), np.zeros(image.shape)
    for offset in np.ndindex(*(2 * radius + 1,) * image.ndim):
        place = tuple(slice(o, o + n) for o, n in zip(offset, image.shape, strict=True))
        there = padded[place]
        far = sum((o - radius) ** 2 for o in offset) / space**2
        w = np.exp(-0.5 * (far + ((there - image) / color) ** 2))
        total += w * there
        weights += w
    return np.asarray(total / weights)


@pytest.mark.parametrize("shape", [(11, 13), (6, 7, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("color", [3.0, 50.0, 100_000.0])
def test_bilateral_is_its_formula(
    shape: tuple[int, ...], dtype: str, color: float
) -> None:
    image = smooth(shape, dtype)
    result = ops.bilateral(image, sigma_color=color, sigma_spatial=1.5, win_size=5)
    expected = neighbours_near(image.astype(np.float64), 2, color, 1.5)
    np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


def test_bilateral_keeps_the_two_sides_of_a_saturated_edge() -> None:
    image = np.zeros((9, 10), np.uint16)
    image[:, 5:] = 65535
    result = ops.bilateral(image, sigma_color=100)
    np.testing.assert_allclose(result, image, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES + BIG_ENDIAN)
def test_nothing_is_rescaled(name: str, dtype: str) -> None:
    image = smooth((14, 15), dtype)
    result = getattr(ops, name)(image)
    assert result.dtype == np.float32
    assert abs(float(result.mean()) / float(image.mean()) - 1) < 0.2
    np.testing.assert_allclose(
        result, getattr(ops, name)(image.astype(np.float32)), rtol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(9, 10), (8, 9, 10)])
def test_one_level_stays(name: str, shape: tuple[int, ...]) -> None:
    image = np.full(shape, 1000, np.uint16)
    np.testing.assert_allclose(getattr(ops, name)(image), image, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("shape", "size", "distance", "sigma"),
    [((50, 41), 7, 11, 0.0), ((33, 70), 3, 4, 20.0), ((9, 9), 1, 2, 0.0)],
)
def test_denoise_nl_means_is_scikit_images(
    dtype: str, shape: tuple[int, ...], size: int, distance: int, sigma: float
) -> None:
    image = smooth(shape, dtype)
    for h in (5.0, 300.0):
        result = ops.denoise_nl_means(
            image, h=h, patch_size=size, patch_distance=distance, sigma=sigma
        )
        expected = denoise_nl_means(
            image.astype(np.float32),
            size,
            distance,
            h,
            sigma=sigma,
            preserve_range=True,
        )
        np.testing.assert_allclose(result, expected, atol=1e-5 * float(image.max()))


def test_denoise_tv_of_one_round_is_the_image() -> None:
    image = smooth((9, 10), "float32")
    np.testing.assert_array_equal(ops.denoise_tv(image, max_num_iter=1), image)


def test_denoising_lowers_the_noise_and_keeps_the_edge() -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros((40, 40), np.float32)
    clean[:, 20:] = 200
    noisy = clean + rng.normal(0, 10, clean.shape).astype(np.float32)
    for result in (
        ops.bilateral(noisy, sigma_color=40, sigma_spatial=2),
        ops.denoise_tv(noisy, weight=15),
        ops.denoise_nl_means(noisy, h=15, patch_distance=5),
    ):
        assert np.abs(result - clean).mean() < 0.5 * np.abs(noisy - clean).mean()


@pytest.mark.parametrize(
    ("name", "parameter", "value", "rule"),
    [
        ("bilateral", "sigma_color", 0.0, "sigma_color must be > 0"),
        ("bilateral", "sigma_spatial", 0.0, "sigma_spatial must be > 0"),
        ("bilateral", "win_size", 4, "win_size must be odd, got 4"),
        ("denoise_tv", "weight", 0.0, "weight must be > 0"),
        ("denoise_tv", "max_num_iter", 0, "max_num_iter must be >= 1, got 0"),
        ("denoise_nl_means", "h", 0.0, "h must be > 0"),
        ("denoise_nl_means", "patch_size", 6, "patch_size must be odd, got 6"),
    ],
)
def test_senseless_parameters_are_refused(
    name: str, parameter: str, value: float, rule: str
) -> None:
    with pytest.raises(ConfigError, match=rule):
        getattr(ops, name)(smooth((8, 8)), **{parameter: value})
