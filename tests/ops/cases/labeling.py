"""Connected objects, channels."""

from functools import partial
from typing import Any

import numpy as np
from skimage import measure, morphology

from tests.ops.cases import Case
from tests.ops.pictures import Array, smooth

label: Any = measure.label  # its types are not said


def labelled(connectivity: int) -> Any:
    """scikit-image's labels, in our dtype."""

    def oracle(mask: Array) -> Array:
        found = label(mask > 0, connectivity=connectivity)
        return np.asarray(found, np.uint32)

    return oracle


def without_small(mask: Array, **parameters: Any) -> Array:
    """scikit-image's masks, in our dtype."""
    found = morphology.remove_small_objects(mask.astype(bool), **parameters)
    return np.asarray(found, np.uint8)


def coloured(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
    """An image of three channels."""
    return (smooth((3, *shape), dtype, seed),)


CASES = (
    Case("label", labelled(1), {"connectivity": 1}, asked=2.5),
    Case("label", labelled(2), {"connectivity": 2}, asked=2.5),
    Case("label", labelled(3), {"connectivity": 3}, ndims=(3,)),
    Case(
        "remove_small_objects",
        partial(without_small, max_size=9, connectivity=1),
        {"max_size": 9},
    ),
    Case(
        "channel",
        lambda image: np.array(image[1]),
        {"channel": 1},
        inputs=coloured,
        timed=False,
    ),
)
