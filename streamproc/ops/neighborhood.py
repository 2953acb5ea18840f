"""How objects lie to each other: who touches whom, and how far the next ones are."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..table import Measurements
from ._objects import Objects, find_objects
from ._operator import operator
from ._touching import touching_pairs


@operator(
    ("labels",),
    gives="table",
    oracle="scipy.spatial.cKDTree, skimage.graph.RAG",
    shown=Measurements.dataframe,
)
def neighbors(
    labels: ArrayLike,
    *,
    n: Annotated[int, Ge(1)] = 1,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = None,
    channel_axis: int | None = None,
) -> Measurements:
    """Count every object's touching neighbours, and measure how far others are.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 and less is background.
    n
        How many of the nearest objects the mean distance is of; of all others where
        there are fewer.
    connectivity
        Steps along axes to a neighbouring pixel: 1 by sides only, 2 also by corners
        (edges of a volume), 3 also by corners of a volume; default all.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per object, by ascending ``label``: ``touching_count``, int64, the
        objects that have a pixel beside one of its own; ``mean_nearest_distance``,
        float64, pixels from its centroid to those of the ``n`` nearest objects, NaN
        for an object alone.

    Raises
    ------
    ConfigError
        The connectivity is larger than the number of axes.
    FrameError
        Labels are not whole numbers.

    Notes
    -----
    Equal to ``scipy.spatial.cKDTree`` of the centroids, and to the degrees of nodes in
    ``skimage.graph.RAG`` without the background, tested.

    Examples
    --------
    >>> neighbors([[1, 1, 2, 0, 0, 0, 5]]).to_dict("list")
    ... # doctest: +NORMALIZE_WHITESPACE
    {'label': [1, 2, 5], 'touching_count': [1, 1, 0],
     'mean_nearest_distance': [1.5, 1.5, 4.0]}
    """
    objects = find_objects(labels)
    pairs = touching_pairs(objects, _reach(objects, connectivity))
    both = np.concatenate([pairs.low, pairs.high])
    return Measurements(
        {
            "label": objects.present,
            "touching_count": np.bincount(both, minlength=len(objects.present)),
            "mean_nearest_distance": _distances(objects, n),
        }
    )


@operator(
    ("labels",),
    gives="table",
    oracle="skimage.graph.rag_boundary",
    shown=Measurements.dataframe,
)
def touching(
    labels: ArrayLike,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = None,
    channel_axis: int | None = None,
) -> Measurements:
    """List the pairs of objects that touch, and how much.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 and less is background.
    connectivity
        Steps along axes to a neighbouring pixel: 1 by sides only, 2 also by corners
        (edges of a volume), 3 also by corners of a volume; default all.
    channel_axis
        Not for tables: choose one channel first.

    Returns
    -------
    DataFrame
        A row per pair, int64: ``label``, the number of the pair from 1; ``label_1``
        and ``label_2``, the objects, the lower number first, ascending; ``contact``,
        the pairs of neighbouring pixels, one of each object: with ``connectivity=1``
        the length of the border in sides (faces) of pixels.

    Raises
    ------
    ConfigError
        The connectivity is larger than the number of axes.
    FrameError
        Labels are not whole numbers.

    Notes
    -----
    The pairs are the edges of ``skimage.graph.RAG`` between objects, tested; contacts
    are compared with pixels counted one by one.

    Examples
    --------
    >>> touching([[1, 1, 2], [0, 5, 2]]).to_dict("list")
    ... # doctest: +NORMALIZE_WHITESPACE
    {'label': [1, 2, 3], 'label_1': [1, 1, 2], 'label_2': [2, 5, 5],
     'contact': [2, 2, 2]}
    """
    objects = find_objects(labels)
    pairs = touching_pairs(objects, _reach(objects, connectivity))
    return Measurements(
        {
            "label": np.arange(1, len(pairs.low) + 1),
            "label_1": objects.present[pairs.low],
            "label_2": objects.present[pairs.high],
            "contact": pairs.contact,
        }
    )


def _reach(objects: Objects, connectivity: int | None) -> int:
    ndim = objects.ndim
    reach = ndim if connectivity is None else connectivity
    if reach > ndim:
        raise ConfigError(
            f"connectivity must be <= {ndim} for {ndim}-D labels, got {reach}"
        )
    return reach


def _distances(objects: Objects, n: int) -> NDArray[np.float64]:
    """Return the mean distance to the ``n`` nearest centroids."""
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]  # no types

    count = len(objects.present)
    if count < 2:
        return np.full(count, np.nan)
    centres = objects.centre()
    # the nearest is the object itself, or one around the same point
    found, _ = cKDTree(centres).query(centres, k=min(n + 1, count))
    return np.asarray(found[:, 1:].mean(axis=1))
