"""Units and meaning of the columns that the engine writes."""

import re

_DESCRIPTIONS: dict[str, tuple[str, str]] = {
    "frame": ("", "number of the frame, in order of admission"),
    "label": ("", "number of the object in its frame's label image"),
    "area": ("px", "number of pixels (voxels in 3-D)"),
    "mean_intensity": ("grey level", "mean of the intensity image in the object"),
    "min_intensity": ("grey level", "least intensity in the object"),
    "max_intensity": ("grey level", "greatest intensity in the object"),
    "std_intensity": ("grey level", "standard deviation of the intensity"),
    "sum_intensity": ("grey level", "sum of the intensity in the object"),
    "equivalent_diameter": ("px", "diameter of the disk (ball) of the same size"),
    "eccentricity": ("", "of the ellipse with the same second moments, 0 to 1"),
    "major_axis_length": ("px", "long axis of that ellipse"),
    "minor_axis_length": ("px", "short axis of that ellipse"),
    "orientation": ("rad", "angle of the long axis to the y axis, -pi/2 to pi/2"),
    "perimeter": ("px", "length of the contour through the border pixels' centres"),
    "num_pixels": ("px", "number of pixels (voxels in 3-D)"),
    "bbox_area": ("px", "pixels of the bounding box"),
    "convex_area": ("px", "pixels of the convex hull"),
    "filled_area": ("px", "pixels with the holes filled"),
    "euler_number": ("", "objects less holes (in 3-D plus cavities)"),
    "extent": ("", "share of the bounding box that the object fills"),
    "solidity": ("", "share of the convex hull that the object fills"),
    "feret_diameter_max": ("px", "largest distance between two points of the hull"),
    "perimeter_crofton": ("px", "length of the contour by Crofton's formula"),
    "median_intensity": ("grey level", "median of the intensity in the object"),
    "inertia_tensor": ("px", "inertia tensor at these axes, in square pixels"),
    "inertia_tensor_eigvals": ("px", "eigenvalue of the inertia tensor, descending"),
    "moments": ("px", "moment of these orders about the box's corner"),
    "moments_central": ("px", "moment of these orders about the centroid"),
    "moments_normalized": ("", "central moment of these orders, free of size"),
    "moments_hu": ("", "moment that turning, moving and scaling leave alone"),
    "weighted_moments": ("grey level", "moment of these orders, weighted"),
    "weighted_moments_central": ("grey level", "central moment, weighted"),
    "weighted_moments_normalized": ("", "normalized moment, weighted"),
    "weighted_moments_hu": ("", "invariant moment, weighted"),
    "touching_count": ("", "objects that touch this one"),
    "mean_nearest_distance": ("px", "mean distance to the n nearest centroids"),
    "label_1": ("", "the lower of the two labels that touch"),
    "label_2": ("", "the higher of the two labels that touch"),
    "contact": ("px", "pairs of neighbouring pixels along the contact"),
    "z": ("px", "position along z"),
    "y": ("px", "position along y"),
    "x": ("px", "position along x"),
    "sigma": ("px", "standard deviation of the Gaussian that fits best"),
    "intensity": ("grey level", "of the image at that place"),
    "mass": ("grey level", "sum of the filtered intensity in the spot"),
    "size": ("px", "radius of gyration of the spot's intensity"),
    "ecc": ("", "eccentricity of the spot, 0 is round"),
    "signal": ("grey level", "largest filtered intensity in the spot"),
    "raw_mass": ("grey level", "sum of the intensity in the spot, as it came"),
    "ep": ("px", "estimated error of the position"),
    "low": ("grey level", "lower edge of the bin"),
    "high": ("grey level", "upper edge of the bin"),
    "count": ("", "pixels in the bin"),
    "value": ("", "the value that the step returned"),
    "objects": ("", "objects in this frame"),
    "total": ("", "objects in all frames up to this one"),
}
_NEW_SPELLING = {
    "intensity_mean": "mean_intensity",
    "intensity_min": "min_intensity",
    "intensity_max": "max_intensity",
    "intensity_std": "std_intensity",
    "equivalent_diameter_area": "equivalent_diameter",
    "axis_major_length": "major_axis_length",
    "axis_minor_length": "minor_axis_length",
    "intensity_median": "median_intensity",
    "intensity_sum": "sum_intensity",
    "area_bbox": "bbox_area",
    "area_convex": "convex_area",
    "area_filled": "filled_area",
    "moments_weighted": "weighted_moments",
    "moments_weighted_central": "weighted_moments_central",
    "moments_weighted_normalized": "weighted_moments_normalized",
    "moments_weighted_hu": "weighted_moments_hu",
}
#: What stands behind the name of an array's column: its indices.
_INDICES = re.compile(r"(_\d+)+$")


def describe(column: str) -> tuple[str, str]:
    """Return unit and description of a column; empty for one we do not know."""
    base, _, channel = column.rpartition("_c")
    name = base if base and channel.isdigit() else column
    for key in (name, _INDICES.sub("", name)):
        known = _DESCRIPTIONS.get(_NEW_SPELLING.get(key, key))
        if known is not None:
            return known
    stem, _, axis = name.rpartition("_")
    if stem == "centroid" or stem.endswith("_centroid") or "centroid_" in stem:
        return "px", f"mean position along {axis}"
    if stem == "bbox":
        side = "first" if axis.endswith("0") else "one past the last"
        return "px", f"{side} pixel along {axis[:-1]}"
    return "", ""
