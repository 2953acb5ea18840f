"""Registration."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import registration as _registration

from tests.ops.cases import Case
from tests.ops.cases.background import stack
from tests.ops.pictures import Array, smooth

registration: Any = _registration

OFFSET = {"dz": 0.4, "dy": 1.25, "dx": -2.5}


def drifted(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, Array]:
    """Return what has moved by parts of a pixel, and what it has moved from."""
    reference = smooth(shape, dtype, seed)
    spectrum = ndimage.fourier_shift(
        np.fft.fftn(reference), (1.7, -2.3, 1.2)[-len(shape) :]
    )
    image = np.fft.ifftn(spectrum).real.clip(0)
    return image.astype(dtype), reference


def correlation(factor: int, normalization: str | None = "phase") -> Callable[..., Any]:
    """Return scikit-image's shift by axis."""

    def measure(image: Array, reference: Array) -> Mapping[str, float]:
        found, _, _ = registration.phase_cross_correlation(
            reference, image, upsample_factor=factor, normalization=normalization
        )
        names = [f"d{axis}" for axis in "zyx"[-image.ndim :]]
        return dict(zip(names, map(float, found), strict=True))

    return measure


def movable(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, Any]:
    """Return an image and a shift."""
    return smooth(shape, dtype, seed), OFFSET


def moved(order: int, mode: str = "constant") -> Callable[..., Array]:
    """Return scipy.ndimage.shift."""

    def move(image: Array, offset: Mapping[str, float]) -> Array:
        by = [offset[f"d{axis}"] for axis in "zyx"[-image.ndim :]]
        out = np.empty(image.shape, image.dtype if order == 0 else np.float32)
        ndimage.shift(image, by, output=out, order=order, mode=mode)
        return out

    return move


def laid(image: Array, reference: Array) -> Array:
    """Return both in turn."""
    offset = correlation(10)(image, reference)
    return moved(1)(image, offset)


CASES = (
    Case(
        "reference",
        lambda images: np.stack([images[0]] * len(images)),
        inputs=stack,
        timed=False,
    ),
    Case(
        "phase_cross_correlation",
        correlation(1),
        inputs=drifted,
        smallest=7,
        title="phase_cross_correlation, whole pixels",
    ),
    Case(
        "phase_cross_correlation",
        correlation(10),
        {"upsample_factor": 10},
        inputs=drifted,
        smallest=7,
    ),
    Case(
        "phase_cross_correlation",
        correlation(20, None),
        {"upsample_factor": 20, "normalization": None},
        inputs=drifted,
        smallest=7,
        timed=False,
    ),
    Case("apply_shift", moved(0), {"order": 0}, inputs=movable),
    Case("apply_shift", moved(1), {"order": 1}, inputs=movable, bound=1e-6),
    Case(
        "apply_shift",
        moved(1, "nearest"),
        {"order": 1, "mode": "nearest"},
        inputs=movable,
        bound=1e-6,
    ),
    Case("apply_shift", moved(3), {"order": 3}, inputs=movable),
    Case("drift_correct", laid, inputs=drifted, smallest=7, bound=1e-6),
)
