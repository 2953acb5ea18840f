"""Which library an array belongs to: numpy, or cupy where it lies on a GPU."""

import sys
from typing import Any

import numpy as np


def array_module(*arrays: object) -> Any:
    """Return cupy if one of the arrays is cupy's, else numpy.

    Parameters
    ----------
    arrays
        Arrays of either library, or what numpy makes arrays of.

    Returns
    -------
    module
        Its functions take the arrays and give arrays in the same memory.

    Notes
    -----
    cupy is found where its arrays came from, never imported: who has no GPU pays
    nothing.
    """
    for array in arrays:
        if type(array).__module__.partition(".")[0] == "cupy":
            return sys.modules["cupy"]
    return np
