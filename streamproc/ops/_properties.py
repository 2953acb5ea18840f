"""Every measure of an object: its names, what it needs, the columns it fills."""

from collections.abc import Callable, Iterator

import numpy as np

from ..frame import Array
from ._objects import Levels, Objects
from ._powers import hu

#: Measures of the shape alone, by scikit-image's names.
SHAPE: dict[str, Callable[[Objects], Array]] = {
    "area": lambda o: o.shapes.area,
    "area_bbox": Objects.box_area,
    "area_convex": lambda o: o.hulls.area,
    "area_filled": Objects.filled_area,
    "axis_major_length": lambda o: o.shapes.axis_lengths()[0],
    "axis_minor_length": lambda o: o.shapes.axis_lengths()[1],
    "bbox": lambda o: _own_axes(o, o.corners),
    "centroid": lambda o: _own_axes(o, o.centre()),
    "centroid_local": lambda o: _own_axes(o, o.centre() - o.corners[:, :3]),
    "eccentricity": lambda o: o.shapes.eccentricity(),
    "equivalent_diameter_area": lambda o: o.shapes.diameter(),
    "euler_number": Objects.euler_number,
    "extent": lambda o: o.shapes.area / o.box_area(),
    "feret_diameter_max": lambda o: o.hulls.feret,
    "inertia_tensor": lambda o: o.shapes.tensor(),
    "inertia_tensor_eigvals": lambda o: o.shapes.inertia(),
    "moments": Objects.moments,
    "moments_central": lambda o: o.central_moments,
    "moments_hu": lambda o: hu(o.normalized_moments),
    "moments_normalized": lambda o: o.normalized_moments,
    "num_pixels": lambda o: o.shapes.area,
    "orientation": Objects.orientation,
    "perimeter": Objects.perimeter,
    "perimeter_crofton": lambda o: o.contacts.crofton(),
    "solidity": lambda o: o.shapes.area / o.hulls.area,
}

#: Measures of the grey levels: once for every channel.
LEVELS: dict[str, Callable[[Levels], Array]] = {
    "centroid_weighted": lambda v: _own_axes(v.objects, v.centre()),
    "centroid_weighted_local": lambda v: _own_axes(
        v.objects, v.centre() - v.objects.corners[:, :3]
    ),
    "intensity_max": lambda v: v.sums.max(),
    "intensity_mean": lambda v: v.sums.mean(),
    "intensity_median": Levels.median,
    "intensity_min": lambda v: v.sums.min(),
    "intensity_std": lambda v: v.sums.std(),
    "intensity_sum": lambda v: v.sums.sum(),
    "moments_weighted": Levels.moments,
    "moments_weighted_central": lambda v: v.central_moments,
    "moments_weighted_hu": lambda v: hu(v.normalized_moments),
    "moments_weighted_normalized": lambda v: v.normalized_moments,
}

#: Not defined for volumes.
PLANE_ONLY = {
    "eccentricity",
    "moments_hu",
    "moments_weighted_hu",
    "orientation",
    "perimeter",
    "perimeter_crofton",
}

_OLD = {
    "bbox_area": "area_bbox",
    "convex_area": "area_convex",
    "equivalent_diameter": "equivalent_diameter_area",
    "filled_area": "area_filled",
    "local_centroid": "centroid_local",
    "major_axis_length": "axis_major_length",
    "max_intensity": "intensity_max",
    "mean_intensity": "intensity_mean",
    "median_intensity": "intensity_median",
    "min_intensity": "intensity_min",
    "minor_axis_length": "axis_minor_length",
    "std_intensity": "intensity_std",
    "sum_intensity": "intensity_sum",
    "weighted_centroid": "centroid_weighted",
    "weighted_local_centroid": "centroid_weighted_local",
    "weighted_moments": "moments_weighted",
    "weighted_moments_central": "moments_weighted_central",
    "weighted_moments_hu": "moments_weighted_hu",
    "weighted_moments_normalized": "moments_weighted_normalized",
}

#: Every property by its names, old and new; the value is its name here.
PROPERTIES: dict[str, str] = dict(
    sorted({**{n: n for n in (*SHAPE, *LEVELS)}, **_OLD}.items())
)


def columns(name: str, values: Array, ndim: int) -> Iterator[tuple[str, Array]]:
    """Yield the columns of a measure under the name that was asked for.

    Positions have an axis, boxes an axis and an end, other arrays their indices.
    """
    kind, axes = PROPERTIES[name], "zyx"[-ndim:]
    if values.ndim == 1:
        yield name, values
    elif kind == "bbox":
        ends = [f"{name}_{a}{end}" for end in (0, 1) for a in axes]
        yield from zip(ends, values.T, strict=True)
    elif kind.startswith("centroid"):
        yield from zip([f"{name}_{a}" for a in axes], values.T, strict=True)
    else:
        for index in np.ndindex(values.shape[1:]):
            yield "_".join([name, *map(str, index)]), values[:, *index]


def _own_axes(objects: Objects, values: Array) -> Array:
    """Return columns for z, y, x (once or twice) as those that the image has."""
    count, width = values.shape
    kept = values.reshape(count, width // 3, 3)[:, :, 3 - objects.ndim :]
    return kept.reshape(count, width // 3 * objects.ndim)
