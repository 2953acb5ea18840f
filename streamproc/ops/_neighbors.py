"""The smallest and the largest of a pixel and its nearest neighbours, for any dtype.

Radius 1 is what is used most: each row is read once, and the loops over it are such
that eight to thirty-two pixels are compared at a time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Array
from ._jit import jit


def nearest(plane: Array, shape: str, darkest: bool, out: Array) -> bool:
    """Write the extremum under a cross (``disk``) or a 3 x 3 box.

    Outside does not count: the border is its own neighbour. Returns whether there is a
    NaN in the plane; what was written means nothing then.
    """
    return bool(_KERNELS[shape, darkest](plane, out))


def _kernel(lower: bool, is_cross: bool) -> Callable[[Array, Array], bool]:
    """Return the compiled loop; what is chosen here costs nothing there."""

    def run(image: Array, out: Array) -> bool:
        height, width = image.shape
        last, has_nan = width - 1, False
        row = np.empty(width + 2, image.dtype)
        for y in range(height):
            above = image[max(y - 1, 0)]
            here = image[y]
            below = image[min(y + 1, height - 1)]
            into = out[y]
            for x in range(width):
                has_nan |= here[x] != here[x]
            if is_cross:
                for x in range(1, last):
                    a = here[x] if lower == (here[x] < here[x - 1]) else here[x - 1]
                    a = a if lower == (a < here[x + 1]) else here[x + 1]
                    b = above[x] if lower == (above[x] < below[x]) else below[x]
                    into[x] = a if lower == (a < b) else b
                for x in (0, last):
                    a = above[x] if lower == (above[x] < below[x]) else below[x]
                    for b in here[max(x - 1, 0) : x + 2]:
                        a = a if lower == (a < b) else b
                    into[x] = a
            else:
                for x in range(width):
                    a = above[x] if lower == (above[x] < here[x]) else here[x]
                    row[x + 1] = a if lower == (a < below[x]) else below[x]
                row[0] = row[1]
                row[width + 1] = row[width]
                for x in range(width):
                    a = row[x] if lower == (row[x] < row[x + 1]) else row[x + 1]
                    into[x] = a if lower == (a < row[x + 2]) else row[x + 2]
        return has_nan

    return run


# numba keeps code by name and by what a function closes over: one name for each
_darkest_cross = jit(_kernel(True, True))
_darkest_box = jit(_kernel(True, False))
_brightest_cross = jit(_kernel(False, True))
_brightest_box = jit(_kernel(False, False))
_KERNELS: dict[tuple[str, bool], Any] = {
    ("disk", True): _darkest_cross,
    ("box", True): _darkest_box,
    ("disk", False): _brightest_cross,
    ("box", False): _brightest_box,
}
