"""Background, calibration, bleaching."""

from typing import Any

import numpy as np
from skimage import exposure as _exposure
from skimage import restoration as _restoration

from tests import oracles
from tests.ops.cases import Case
from tests.ops.pictures import Array, smooth

exposure: Any = _exposure
restoration: Any = _restoration


def stack(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array]:
    """Return a few frames."""
    return (np.stack([smooth(shape, dtype, seed + n) for n in range(7)]),)


def rolling_ball(image: Array, radius: int = 12) -> Array:
    """scikit-image's, on one thread as ours."""
    return np.asarray(restoration.rolling_ball(image, radius=radius, workers=1))


def bleached(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, Array]:
    """Return an image at a third of its brightness, and the image."""
    reference = smooth(shape, dtype, seed)
    image = (reference / 3).astype(dtype) + np.ones((), dtype)
    return image, reference


def ratio(image: Array, reference: Array) -> Array:
    """The ratio of the means."""
    gain = reference.mean(dtype=np.float64) / image.mean(dtype=np.float64)
    return np.asarray(image * gain, np.float32)


def matched(image: Array, reference: Array) -> Array:
    """skimage.exposure.match_histograms in float32."""
    return np.asarray(exposure.match_histograms(image, reference), np.float32)


CASES = (
    Case(
        "background",
        lambda images: oracles.background(images, "mean", 3, 2),
        {"window": 3, "every": 2},
        inputs=stack,
        bound=1e-6,
        timed=False,
    ),
    Case(
        "background",
        lambda images: oracles.background(images, "median", 4, 3),
        {"method": "median", "window": 4, "every": 3},
        inputs=stack,
        timed=False,
    ),
    Case(
        "background",
        lambda image: image - rolling_ball(image, 5),
        {"method": "rolling_ball", "radius": 5},
    ),
    Case("rolling_ball", rolling_ball, {"radius": 12}),
    # without pictures; with them in test_calibration, which has files
    Case("flat_field", lambda image: image.astype(np.float32), timed=False),
    Case("bleach_correction", ratio, inputs=bleached, bound=1e-6),
    Case("bleach_correction", matched, {"method": "histogram"}, inputs=bleached),
)
