"""Grey and binary morphology beside scikit-image and scipy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from skimage import morphology as _morphology
from skimage import segmentation as _segmentation

from streamproc import ops
from tests.ops.cases import Case
from tests.ops.pictures import Array, blobs
from tests.oracles import footprint

#: scikit-image has no types yet.
morphology: Any = _morphology
segmentation: Any = _segmentation

SHAPES = ("disk", "box")


def grey(name: str, radius: int, shape: str) -> Callable[[Array], Array]:
    """The function of scikit-image of that name."""

    def changed(image: Array) -> Array:
        under = footprint(image.ndim, radius, shape)
        return np.asarray(getattr(morphology, name)(image, under))

    return changed


def gradient(radius: int, shape: str) -> Callable[[Array], Array]:
    """scipy.ndimage.morphological_gradient."""

    def changed(image: Array) -> Array:
        under = footprint(image.ndim, radius, shape)
        return np.asarray(ndimage.morphological_gradient(image, footprint=under))

    return changed


def binary(name: str, radius: int, shape: str) -> Callable[[Array], Array]:
    """What skimage.morphology.binary_erosion and so on call; these warn of their age.

    Outside an image is foreground for an erosion, background for a dilation.
    """

    def changed(mask: Array) -> Array:
        under = footprint(mask.ndim, radius, shape)
        image = mask.view(bool)
        erode = partial(ndimage.binary_erosion, structure=under, border_value=1)
        dilate = partial(ndimage.binary_dilation, structure=under)
        for step in {
            "erosion": [erode],
            "dilation": [dilate],
            "opening": [erode, dilate],
            "closing": [dilate, erode],
        }[name]:
            image = step(image)
        return np.asarray(image).view(np.uint8)

    return changed


def masked(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of a boolean image, with 0 and 1 as its result."""
    # not a view: some of these refuse read-only memory
    return lambda mask: np.asarray(function(mask != 0)).view(np.uint8)


def hull(mask: Array) -> Array:
    """skimage.morphology.convex_hull_image; it warns of masks without foreground."""
    if not mask.any():
        return mask.copy()
    return np.asarray(morphology.convex_hull_image(mask != 0)).view(np.uint8)


def numbered(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """Labels, of which some are connected to others."""
    labels = np.asarray(ops.label(blobs(shape, seed), connectivity=1))
    return (labels % 7,)


SIMPLE = ("erosion", "dilation")
GREY = (*SIMPLE, "opening", "closing", "white_tophat", "black_tophat")

CASES: tuple[Case, ...] = (
    *(
        Case(
            name,
            grey(name, radius, shape),
            {"radius": radius, "shape": shape},
            asked=110.0 if shape == "box" and radius == 1 and name in SIMPLE else 0.9,
        )
        for name in GREY
        for radius in (1, 3, 5)
        for shape in SHAPES
    ),
    Case(
        "white_tophat",
        grey("white_tophat", 25, "disk"),
        {"radius": 25, "shape": "disk"},
        asked=40.0,
        smallest=26,  # scipy's windows go wrong where they are far wider
    ),
    Case(
        "white_tophat",
        grey("white_tophat", 25, "box"),
        {"radius": 25, "shape": "box"},
        asked=9.0,
        smallest=26,
    ),
    Case(
        "erosion",
        grey("erosion", 100, "box"),
        {"radius": 100, "shape": "box"},
        smallest=26,
    ),
    *(
        Case(
            "morphological_gradient",
            gradient(radius, shape),
            {"radius": radius, "shape": shape},
        )
        for radius in (1, 4)
        for shape in SHAPES
    ),
    *(
        Case(
            f"binary_{name}",
            binary(name, radius, shape),
            {"radius": radius, "shape": shape},
            asked=50.0 if (name, radius, shape) == ("opening", 1, "disk") else 0.9,
        )
        for name in ("erosion", "dilation", "opening", "closing")
        for radius in (1, 4)
        for shape in SHAPES
    ),
    Case("fill_holes", masked(ndimage.binary_fill_holes)),
    Case(
        "remove_small_holes",
        masked(partial(morphology.remove_small_holes, max_size=9)),
        {"max_size": 9},
    ),
    Case(
        "remove_small_holes",
        masked(partial(morphology.remove_small_holes, max_size=40, connectivity=2)),
        {"max_size": 40, "connectivity": 2},
    ),
    Case("clear_border", masked(segmentation.clear_border), title="clear_border, mask"),
    Case(
        "clear_border",
        segmentation.clear_border,
        title="clear_border, labels",
        inputs=numbered,
    ),
    Case(
        "clear_border",
        masked(partial(segmentation.clear_border, buffer_size=2)),
        {"buffer_size": 2},
        smallest=3,
    ),
    Case("skeletonize", masked(morphology.skeletonize)),
    Case(
        "skeletonize",
        masked(partial(morphology.skeletonize, method="lee")),
        {"method": "lee"},
    ),
    Case("convex_hull_image", hull, smallest=2),
    Case(
        "convex_hull_object",
        masked(morphology.convex_hull_object),
        ndims=(2,),
    ),
    Case(
        "convex_hull_object",
        masked(partial(morphology.convex_hull_object, connectivity=1)),
        {"connectivity": 1},
        ndims=(2,),
        timed=False,
    ),
)
