"""Two label images of one frame, compared."""

from typing import Annotated

from annotated_types import Ge, Lt
from numpy.typing import ArrayLike

from ._operator import operator
from ._overlap import Overlap, overlap
from ._pixels import pixels
from .labeling import whole


@operator(
    ("labels", "mask"),
    ("labels", "mask"),
    gives="value",
    oracle="1 - scipy.spatial.distance.dice (of foregrounds)",
)
def compare_labels(
    labels: ArrayLike,
    others: ArrayLike,
    *,
    min_iou: Annotated[float, Ge(0.5), Lt(1)] = 0.5,
    channel_axis: int | None = None,
) -> dict[str, float]:
    """Compare two label images: overlap of the foregrounds, and objects in common.

    Parameters
    ----------
    labels, others
        ``(y, x)`` or ``(z, y, x)``, whole numbers, of one shape; 0 is background. A
        mask is one object.
    min_iou
        Two objects are the same one where their intersection over union is above
        this. From 0.5 on: so none has two partners.
    channel_axis
        Axis of channels; their numbers end in ``_c0``, ``_c1`` ….

    Returns
    -------
    mapping of numbers
        ``dice`` and ``iou`` of the foregrounds, 0 to 1 (1 where both are empty);
        ``objects_a`` and ``objects_b``, how many objects each image has; ``matched``,
        how many pairs of them are the same; ``f1``, twice the matched ones as a share
        of all objects (1 where there are none); ``matched_iou``, the mean IoU of the
        pairs (NaN without one).

    Raises
    ------
    FrameError
        Labels are not whole numbers, or the shapes differ.

    Notes
    -----
    One sweep over the runs of both images. ``dice`` and ``iou`` equal one less
    ``scipy.spatial.distance.dice`` and ``jaccard`` of the foregrounds, tested.

    Examples
    --------
    >>> found = compare_labels([[1, 1, 0, 2]], [[7, 7, 7, 0]])
    >>> found["dice"], found["matched"], found["objects_b"]
    (0.6666666666666666, 1, 1)
    """
    first, second = pixels(labels, "labels"), pixels(others, "others")
    found = overlap(whole(first, "labels"), whole(second, "others"))
    return summary(found, min_iou)


def summary(found: Overlap, min_iou: float) -> dict[str, float]:
    """Return what `compare_labels` says of two label images that were counted."""
    _, _, iou = found.matched(min_iou)
    objects = len(found.first) + len(found.second)
    return {
        "dice": found.dice,
        "iou": found.iou,
        "objects_a": len(found.first),
        "objects_b": len(found.second),
        "matched": len(iou),
        "f1": 2 * len(iou) / objects if objects else 1.0,
        "matched_iou": float(iou.mean()) if len(iou) else float("nan"),
    }
