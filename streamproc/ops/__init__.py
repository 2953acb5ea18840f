"""The operators, as plain functions on arrays.

Names, parameters and meaning are those of scikit-image and scipy.ndimage. They act
on ``(y, x)`` or ``(z, y, x)``; ``channel_axis`` maps them over channels.
"""

from typing import Any, cast

from ._operator import Operator
from .arithmetic import add, add_weighted, divide, multiply, subtract
from .background import background, mean_frame, subtract_background
from .channels import channel
from .comparison import compare_labels
from .conversion import astype
from .filters import difference_of_gaussians, gaussian, median
from .intensity import adjust_gamma, clip, invert, rescale_intensity
from .labeling import label, remove_small_objects
from .logical import logical_and, logical_not, logical_or, logical_xor
from .measurement import measure
from .morphology import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_opening,
    fill_holes,
    white_tophat,
)
from .neighborhood import neighbors, touching
from .projection import project
from .statistics import focus, histogram, statistics
from .texture import texture
from .thresholding import find_threshold, threshold

__all__ = [
    "OPERATORS",
    "Operator",
    "add",
    "add_weighted",
    "adjust_gamma",
    "astype",
    "background",
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_opening",
    "channel",
    "clip",
    "compare_labels",
    "difference_of_gaussians",
    "divide",
    "fill_holes",
    "find_threshold",
    "focus",
    "gaussian",
    "histogram",
    "invert",
    "label",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "mean_frame",
    "measure",
    "median",
    "multiply",
    "neighbors",
    "project",
    "remove_small_objects",
    "rescale_intensity",
    "statistics",
    "subtract",
    "subtract_background",
    "texture",
    "threshold",
    "touching",
    "white_tophat",
]

#: Every built-in operator by its name in YAML.
OPERATORS: dict[str, Operator] = {
    name: cast(Any, globals()[name]).operator
    for name in __all__
    if hasattr(globals().get(name), "operator")
}
