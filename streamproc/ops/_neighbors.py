"""The smallest and the largest of a pixel and its nearest neighbours, for any dtype.

Radius 1 is what is used most: each row is read once, and the loops over it are such
that eight to thirty-two pixels are compared at a time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..frame import Array
from ._jit import jit


def nearest(plane: Array, shape: str, darkest: bool, out: Array) -> None:
    """Write the extremum under a cross (``disk``) or a 3 x 3 box, without NaN.

    Outside does not count: the border is its own neighbour.
    """
    _KERNELS[shape, darkest](plane, out)


def _kernel(lower: bool, is_cross: bool) -> Callable[[Array, Array], None]:
    """Return the compiled loop; what is chosen here costs nothing there."""

    def run(image: Array, out: Array) -> None:
        height, width = image.shape
        row = np.empty(width + 2, image.dtype)
        for y in range(height):
            above = image[max(y - 1, 0)]
            here = image[y]
            below = image[min(y + 1, height - 1)]
            into = out[y]
            if is_cross:
                for x in range(width):
                    row[x + 1] = here[x]
            else:
                for x in range(width):
                    a = above[x] if lower == (above[x] < here[x]) else here[x]
                    row[x + 1] = a if lower == (a < below[x]) else below[x]
            row[0] = row[1]
            row[width + 1] = row[width]
            for x in range(width):
                a = row[x] if lower == (row[x] < row[x + 1]) else row[x + 1]
                a = a if lower == (a < row[x + 2]) else row[x + 2]
                if is_cross:
                    a = a if lower == (a < above[x]) else above[x]
                    a = a if lower == (a < below[x]) else below[x]
                into[x] = a

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
