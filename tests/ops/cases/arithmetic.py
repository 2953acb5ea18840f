"""Arithmetic, grey levels and logic beside numpy and scikit-image."""

from typing import Any

import numpy as np
from skimage import exposure as _exposure
from skimage import util as _util

from tests.ops.cases import Case
from tests.ops.pictures import Array, blobs, smooth

#: scikit-image has no types yet.
exposure: Any = _exposure
util: Any = _util


def two(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Two images of one shape."""
    return smooth(shape, dtype, seed), smooth(shape, dtype, seed + 1)


def masks(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Two masks of one shape."""
    return blobs(shape, seed), blobs(shape, seed + 1)


def floats(combine: Any) -> Any:
    """Return a function of numpy in float32."""

    def oracle(*images: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(combine(*images, dtype=np.float32))

    return oracle


def blend(image: Array, other: Array) -> Array:
    """The formula of cv2.addWeighted."""
    first, second = image.astype(np.float32), other.astype(np.float32)
    return first * 0.25 + second * 0.75 + np.float32(3)


def stretch(**ranges: Any) -> Any:
    """Return scikit-image's function, two numbers as float32."""

    def oracle(image: Array) -> Array:
        out = exposure.rescale_intensity(image, **ranges)
        is_pair = isinstance(ranges.get("out_range"), tuple)
        return np.asarray(out, np.float32 if is_pair else out.dtype)

    return oracle


def gamma(power: float, gain: float = 1.0) -> Any:
    """Return scikit-image's function, rounded and limited as it does 8 bits."""

    def oracle(image: Array) -> Array:
        if image.dtype == np.uint16:
            share = exposure.adjust_gamma(image / 65535, power, gain)
            whole = np.minimum(np.rint(share * 65535), 65535)
            return np.asarray(whole, np.uint16)
        return np.asarray(exposure.adjust_gamma(image, power, gain))

    return oracle


def rounded(image: Array) -> Array:
    """To uint8, saturated."""
    known = np.nan_to_num(image, posinf=np.inf, neginf=-np.inf)
    return np.asarray(np.clip(np.rint(known), 0, 255), np.uint8)


CASES: tuple[Case, ...] = (
    Case("add", floats(np.add), inputs=two, title="add, two images"),
    Case(
        "add",
        floats(lambda i, dtype: np.add(i, 12.5, dtype=dtype)),
        {"value": 12.5},
        nan=True,
    ),
    Case("subtract", floats(np.subtract), inputs=two, title="subtract, two images"),
    Case(
        "subtract",
        floats(lambda i, dtype: np.subtract(i, 300, dtype=dtype)),
        {"value": 300.0},
        nan=True,
    ),
    Case("multiply", floats(np.multiply), inputs=two, title="multiply, two images"),
    Case(
        "multiply",
        floats(lambda i, dtype: np.multiply(i, 2.5, dtype=dtype)),
        {"value": 2.5},
        nan=True,
    ),
    Case("divide", floats(np.divide), inputs=two, title="divide, two images"),
    Case(
        "divide",
        floats(lambda i, dtype: np.divide(i, 3, dtype=dtype)),
        {"value": 3.0},
        nan=True,
    ),
    Case(
        "add_weighted", blend, {"alpha": 0.25, "beta": 0.75, "gamma": 3.0}, inputs=two
    ),
    Case(
        "clip", lambda image: np.clip(image, 20, 200), {"min": 20, "max": 200}, nan=True
    ),
    Case("rescale_intensity", stretch(), nan=False),
    Case(
        "rescale_intensity",
        stretch(in_range=(20.0, 200.0), out_range=(0.0, 1.0)),
        {"in_range": (20.0, 200.0), "out_range": (0.0, 1.0)},
        nan=True,
    ),
    Case(
        "rescale_intensity",
        stretch(in_range="uint12", out_range="uint8"),
        {"in_range": "uint12", "out_range": "uint8"},
    ),
    Case("adjust_gamma", gamma(0.7), {"gamma": 0.7}, nan=True),
    Case("adjust_gamma", gamma(2.0, 1.5), {"gamma": 2.0, "gain": 1.5}),
    Case("invert", util.invert, nan=True),
    Case("astype", rounded, {"dtype": "uint8", "overflow": "saturate"}, nan=True),
    Case(
        "logical_and",
        lambda a, b: np.logical_and(a, b).astype(np.uint8),
        inputs=masks,
        dtypes=("uint8",),
    ),
    Case(
        "logical_or",
        lambda a, b: np.logical_or(a, b).astype(np.uint8),
        inputs=masks,
        dtypes=("uint8",),
    ),
    Case(
        "logical_xor",
        lambda a, b: np.logical_xor(a, b).astype(np.uint8),
        inputs=masks,
        dtypes=("uint8",),
    ),
    Case(
        "logical_not", lambda a: np.logical_not(a).astype(np.uint8), dtypes=("uint8",)
    ),
)
