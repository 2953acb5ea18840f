"""Geometry beside numpy, scipy.ndimage and scikit-image."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import measure as _measure
from skimage import transform as _transform

from tests.ops.cases import Case
from tests.ops.pictures import Array, blobs, smooth

#: scikit-image has no types yet.
measure: Any = _measure
transform: Any = _transform

#: of the largest absolute pixel
BOUND = 1e-5
MATRIX = ((1.1, 0.2), (-0.15, 0.9))
SOLID = ((1.1, 0.2, 0.0), (-0.15, 0.9, 0.1), (0.0, 0.1, 1.2))


def wide(image: Array) -> Array:
    """In float64: what scikit-image computes in float32 is less exact."""
    return image.astype(np.float64)


def by_plane(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return a function of planes as one of volumes, too."""

    def oracle(image: Array) -> Array:
        if image.ndim == 2:
            return function(image)
        return np.stack([function(plane) for plane in image])

    return oracle


def rotated(angle: float, resize: bool = False, order: int = 1) -> Any:
    """scikit-image's rotation, grey levels kept."""

    def oracle(plane: Array) -> Array:
        out = transform.rotate(
            wide(plane), angle, resize=resize, order=order, preserve_range=True
        )
        return np.asarray(out, plane.dtype if order == 0 else np.float32)

    return by_plane(oracle)


def resized(order: int = 1, **given: Any) -> Any:
    """scikit-image's resize, grey levels kept."""

    def oracle(image: Array) -> Array:
        shape = tuple(max(1, round(n * given["scale"])) for n in image.shape)
        if order == 0:
            return np.asarray(
                transform.resize(image, shape, order=0, anti_aliasing=False)
                if image.dtype == np.float32
                else transform.resize(image, shape, order=0)
            )
        out = transform.resize(wide(image), shape, order=order, preserve_range=True)
        return np.asarray(out, np.float32)

    return oracle


def blocks(function: Any, factor: int = 2) -> Any:
    """scikit-image's blocks, without the last ones that are not whole."""

    def oracle(image: Array) -> Array:
        kept = image[tuple(slice(0, n // factor * factor) for n in image.shape)]
        given = kept if function in (np.max, np.min) else wide(kept)
        out = measure.block_reduce(given, factor, function)
        if function is np.sum and image.dtype.kind == "u":
            return np.asarray(out, np.uint64)
        return np.asarray(out, np.float32 if function is np.mean else out.dtype)

    return oracle


def affine(matrix: Any, order: int, offset: Any = 0.0) -> Any:
    """scipy's, as the dtype that ours has."""

    def oracle(image: Array) -> Array:
        dtype = image.dtype if order == 0 else np.float32
        out = ndimage.affine_transform(
            wide(image), np.array(matrix), offset, order=order
        )
        return np.asarray(out, dtype)

    return oracle


def shifted(shift: Any, order: int) -> Any:
    """scipy's, as the dtype that ours has."""

    def oracle(image: Array) -> Array:
        dtype = image.dtype if order == 0 else np.float32
        return np.asarray(ndimage.shift(wide(image), shift, order=order), dtype)

    return oracle


def unrolled(order: int = 1, scaling: str = "linear") -> Any:
    """scikit-image's, grey levels kept."""

    def oracle(plane: Array) -> Array:
        out = transform.warp_polar(
            wide(plane), scaling=scaling, order=order, preserve_range=True
        )
        return np.asarray(out, plane.dtype if order == 0 else np.float32)

    return by_plane(oracle)


def projected(method: str, axis: int = 0) -> Any:
    """numpy's, in float64."""

    def oracle(volume: Array) -> Array:
        out = getattr(np, method)(wide(volume), axis=axis)
        kept: Any = volume.dtype if method in ("max", "min") else np.float32
        if method == "sum":
            kept = np.uint64 if volume.dtype.kind == "u" else np.float64
        return np.asarray(out, kept)

    return oracle


def labelled(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """A label image."""
    labels, _ = ndimage.label(blobs(shape, seed))
    return (labels.astype(np.uint32),)


def square(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """An image whose middle is a pixel, or lies between four."""
    side = max(shape[-2:])
    return (smooth((*shape[:-2], side, side), dtype, seed),)


CASES: tuple[Case, ...] = (
    Case("flip", lambda image: np.flip(image, -1).copy(), nan=True),
    Case("flip", lambda image: np.flip(image, -2).copy(), {"axis": "y"}),
    Case(
        "flip",
        lambda labels: np.flip(labels, 0).copy(),
        {"axis": "z"},
        inputs=labelled,
        ndims=(3,),
        timed=False,
    ),
    Case("rot90", lambda image: np.rot90(image, axes=(-2, -1)).copy(), nan=True),
    Case("rotate", rotated(27.5), {"angle": 27.5}, bound=BOUND),
    Case("rotate", rotated(-200, True), {"angle": -200.0, "resize": True}, bound=BOUND),
    Case("rotate", rotated(27.5, order=0), {"angle": 27.5, "order": 0}),
    Case("rotate", rotated(27.5, order=3), {"angle": 27.5, "order": 3}, bound=BOUND),
    Case(
        "rotate",
        by_plane(lambda image: np.rot90(image).astype(np.float32)),
        {"angle": 90.0},
        "rotate, 90 degrees",
        inputs=square,
        timed=False,
    ),
    Case("resize", resized(scale=0.37), {"scale": 0.37}, bound=BOUND),
    Case("resize", resized(scale=2.0), {"scale": 2.0}, bound=BOUND),
    Case(
        "resize",
        resized(0, scale=0.6),
        {"scale": 0.6, "order": 0},
        inputs=labelled,
        dtypes=("uint16",),
    ),
    Case("resize", resized(3, scale=1.4), {"scale": 1.4, "order": 3}, bound=BOUND),
    Case(
        "crop", lambda image: image[..., 1:, 1:].copy(), {"start": (1, 1)}, smallest=2
    ),
    Case("binning", blocks(np.mean), bound=1e-6, smallest=2),
    Case(
        "binning",
        blocks(np.sum),
        {"method": "sum"},
        smallest=2,
        dtypes=("uint8", "uint16"),
    ),
    Case("binning", blocks(np.max), {"method": "max"}, smallest=2),
    Case("binning", blocks(np.min, 3), {"method": "min", "factor": 3}, smallest=3),
    Case(
        "affine",
        affine(MATRIX, 1, (2.3, -4.7)),
        {"matrix": MATRIX, "offset": (2.3, -4.7)},
        "affine",
        bound=BOUND,
        ndims=(2,),
    ),
    Case(
        "affine",
        affine(MATRIX, 0),
        {"matrix": MATRIX, "order": 0},
        "affine of labels",
        inputs=labelled,
        dtypes=("uint16",),
        ndims=(2,),
    ),
    Case(
        "affine",
        affine(SOLID, 1),
        {"matrix": SOLID},
        "affine of volumes",
        bound=BOUND,
        ndims=(3,),
    ),
    Case(
        "affine",
        affine(MATRIX, 3),
        {"matrix": MATRIX, "order": 3},
        "affine, cubic",
        bound=BOUND,
        ndims=(2,),
    ),
    Case("shift", shifted(2.5, 1), {"shift": 2.5}, bound=BOUND),
    Case("shift", shifted(-1.3, 3), {"shift": -1.3, "order": 3}, bound=BOUND),
    Case("shift", shifted(2, 1), {"shift": 2.0}, "shift by whole pixels"),
    Case("warp_polar", unrolled(), bound=BOUND, smallest=2),
    Case(
        "warp_polar",
        unrolled(scaling="log"),
        {"scaling": "log"},
        bound=BOUND,
        smallest=5,
    ),
    Case("warp_polar", unrolled(0), {"order": 0}, smallest=2),
    Case(
        "reslice_radial",
        lambda volume: unrolled()(volume).swapaxes(0, 1),
        bound=BOUND,
        ndims=(3,),
        smallest=2,
    ),
    *(
        Case("project", projected(m), {"method": m}, bound=b, ndims=(3,))
        for m, b in (("max", 0), ("min", 0), ("mean", 1e-6), ("std", 1e-6), ("sum", 0))
    ),
    Case("project", projected("max", 2), {"axis": "x"}, ndims=(3,)),
    Case(
        "project",
        projected("mean", 1),
        {"axis": "y", "method": "mean"},
        bound=1e-6,
        ndims=(3,),
    ),
)
