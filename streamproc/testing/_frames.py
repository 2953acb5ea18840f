"""Synthetic frames whose content is known."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from streamproc.sources.simulation import Simulation

_ENDLESS = 1 << 62


def frames(
    n: int = 10,
    *,
    shape: tuple[int, int] = (128, 128),
    dtype: Literal["uint8", "uint16", "float32"] = "uint16",
    seed: int = 0,
) -> NDArray[Any]:
    """Return frames of a simulated microscope: bright cells that move and divide.

    Parameters
    ----------
    n
        How many, >= 0.
    shape
        Height and width in pixels, at least 16 each.
    dtype
        ``uint8``, ``uint16`` or ``float32``.
    seed
        Another seed is another field of cells.

    Returns
    -------
    ndarray of shape (n, y, x)
        Writeable. Frame k depends on the parameters and k alone; `truth` tells where
        its cells are.

    Examples
    --------
    >>> frames(3, shape=(64, 64)).shape
    (3, 64, 64)
    """
    import numpy as np

    source = _simulation(tuple(shape), dtype, seed)
    empty = np.empty((0, *shape), dtype)
    return np.concatenate([empty, *(source.read(k).pixels[None] for k in range(n))])


def truth(
    n: int = 10, *, shape: tuple[int, int] = (128, 128), seed: int = 0
) -> "pd.DataFrame":
    """Return the cells in `frames` of the same parameters, one row each.

    Returns
    -------
    DataFrame
        ``frame``, ``cell`` (a number that stays the cell's own), ``parent`` (0: none),
        the centre ``y, x`` and the ``radius`` in pixels. Cells do not overlap.

    Examples
    --------
    >>> truth(1, shape=(64, 64)).columns.tolist()
    ['frame', 'cell', 'parent', 'y', 'x', 'radius']
    """
    import pandas as pd

    source = _simulation(tuple(shape), "uint16", seed)
    tables = [pd.DataFrame({"frame": k, **source.truth(k)}) for k in range(n)]
    if not tables:
        return pd.DataFrame({"frame": 0, **source.truth(0)}).iloc[:0]
    return pd.concat(tables, ignore_index=True)


@lru_cache(maxsize=6)
def _simulation(
    shape: tuple[int, int], dtype: Literal["uint8", "uint16", "float32"], seed: int
) -> "Simulation":
    """Return a recording without end, kept: to draw its noise takes a while."""
    from streamproc.sources.simulation import Simulation

    return Simulation(_ENDLESS, shape=shape, dtype=dtype, seed=seed, live=False)
