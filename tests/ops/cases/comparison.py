"""Label images compared: by Boolean arrays, and pair by pair."""

import numpy as np
from scipy.spatial import distance  # type: ignore[import-untyped]  # no types

from tests.ops.cases import Case
from tests.ops.pictures import Array


def compared(labels: Array, others: Array, min_iou: float = 0.5) -> dict[str, float]:
    """What `compare_labels` says, object by object."""
    a, b = (labels > 0).ravel(), (others > 0).ravel()
    mine, theirs = np.unique(labels[labels > 0]), np.unique(others[others > 0])
    iou = []
    for number in mine:
        object_ = labels == number
        for other in np.unique(others[object_]):
            if other > 0:
                partner = others == other
                iou.append(np.sum(object_ & partner) / np.sum(object_ | partner))
    found = [value for value in iou if value > min_iou]
    objects = len(mine) + len(theirs)
    empty = not (a.any() or b.any())
    return {
        "dice": 1.0 if empty else 1 - float(distance.dice(a, b)),
        "iou": 1.0 if empty else 1 - float(distance.jaccard(a, b)),
        "objects_a": len(mine),
        "objects_b": len(theirs),
        "matched": len(found),
        "f1": 2 * len(found) / objects if objects else 1.0,
        "matched_iou": float(np.mean(found)) if found else float("nan"),
    }


CASES: tuple[Case, ...] = (
    Case("compare_labels", compared, dtypes=("uint16",)),
    Case(
        "compare_labels",
        lambda a, b: compared(a, b, 0.8),
        {"min_iou": 0.8},
        dtypes=("uint16",),
        timed=False,
    ),
)
