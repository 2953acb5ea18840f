"""Units and meaning of the columns that the engine writes."""

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
}


def describe(column: str) -> tuple[str, str]:
    """Return unit and description of a column; empty for one we do not know."""
    base, _, channel = column.rpartition("_c")
    name = base if base and channel.isdigit() else column
    known = _DESCRIPTIONS.get(_NEW_SPELLING.get(name, name))
    if known is not None:
        return known
    stem, _, axis = name.rpartition("_")
    if stem == "centroid" or stem.endswith("_centroid") or "centroid_" in stem:
        return "px", f"mean position along {axis}"
    if stem == "bbox":
        side = "first" if axis.endswith("0") else "one past the last"
        return "px", f"{side} pixel along {axis[:-1]}"
    return "", ""
