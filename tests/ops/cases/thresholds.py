"""Thresholds beside scikit-image's."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from skimage import filters as _filters

from tests.ops.cases import Case
from tests.ops.pictures import Array, smooth

#: scikit-image has no types yet.
filters: Any = _filters


def whole(method: str) -> Callable[[Array], Array]:
    """``image >`` scikit-image's threshold of what is known."""
    find = getattr(filters, f"threshold_{method}")

    def marked(image: Array) -> Array:
        known = image if image.dtype.kind != "f" else image[~np.isnan(image)]
        # one level has nothing above it, whatever the bins around it say
        if known.min() == known.max():
            return np.zeros(image.shape, np.uint8)
        with warnings.catch_warnings():
            # of volumes that look like colour, and of logarithms of 0
            warnings.simplefilter("ignore")
            return np.asarray(np.greater(image, find(known))).view(np.uint8)

    return marked


def around(name: str, **parameters: Any) -> Callable[[Array], Array]:
    """``image >`` scikit-image's threshold of its surroundings."""
    find = getattr(filters, f"threshold_{name}")
    return lambda image: np.greater(image, find(image, **parameters)).view(np.uint8)


def hysteresis(low: Any, high: Any) -> Callable[[Array], Array]:
    """skimage.filters.apply_hysteresis_threshold."""

    def marked(image: Array) -> Array:
        given = (
            getattr(filters, f"threshold_{v}")(image) if isinstance(v, str) else v
            for v in (low, high)
        )
        found = filters.apply_hysteresis_threshold(image, *given)
        return np.asarray(found).view(np.uint8)

    return marked


def digitized(image: Array, classes: int) -> Array:
    """Classes by skimage.filters.threshold_multiotsu."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of volumes that look like colour
        levels = filters.threshold_multiotsu(image, classes)
    return np.digitize(image, levels).astype(np.uint32)


def few(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Blobs of at most 250 levels: scikit-image tries all pairs of them."""
    return ((smooth(shape, dtype, seed) / 16).astype(dtype),)


def two_humps(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Dark and bright pixels, 200 levels, two maxima."""
    rng = np.random.default_rng([seed, *shape])
    bright = rng.random(shape) < 0.4
    image: Array = np.where(bright, 150, 50) + rng.normal(0, 12, shape)
    return (image.clip(0, 200).astype(dtype),)


CASES: tuple[Case, ...] = (
    *(
        Case(
            "threshold",
            whole(method),
            {"method": method},
            nan=True,
            asked=3.5 if method == "otsu" else 0.9,
        )
        for method in ("otsu", "li", "triangle", "yen", "mean")
    ),
    Case("threshold", whole("isodata"), {"method": "isodata"}, nan=True, smallest=2),
    Case(
        "threshold",
        whole("minimum"),
        {"method": "minimum"},
        inputs=two_humps,
        smallest=7,
    ),
    *(
        Case(
            "threshold",
            around("local", block_size=51, method=weights),
            {"method": "local", "weights": weights},
            smallest=26 if weights == "median" else 1,
            timed=weights != "median",
        )
        for weights in ("gaussian", "mean", "median")
    ),
    *(
        Case(
            "threshold",
            around(method, window_size=15),
            {"method": method},
        )
        for method in ("niblack", "sauvola")
    ),
    Case(
        "threshold",
        around("sauvola", window_size=31, k=-0.3, r=90.0),
        {"method": "sauvola", "window_size": 31, "k": -0.3, "r": 90.0},
        timed=False,
    ),
    Case("hysteresis", hysteresis(1500.5, 2000.1), {"low": 1500.5, "high": 2000.1}),
    Case("hysteresis", hysteresis("li", "otsu"), smallest=2),
    Case(
        "multi_otsu",
        partial(digitized, classes=3),
        inputs=few,
        smallest=2,
    ),
    Case(
        "multi_otsu",
        partial(digitized, classes=4),
        {"classes": 4},
        inputs=few,
        smallest=5,
        dtypes=("uint8", "uint16"),
    ),
)
