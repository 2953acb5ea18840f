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
from .geometry import flip, rot90
from .intensity import adjust_gamma, clip, invert, rescale_intensity
from .correlation import convolve, correlate
from .denoising import bilateral, denoise_nl_means, denoise_tv
from .edges import gaussian_laplace, gradient_magnitude, laplace, prewitt, sobel
from .filters import difference_of_gaussians, gaussian, uniform, unsharp_mask
from .fourier import fourier_gaussian, fourier_shift, fourier_uniform
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
from .rank import maximum, median, minimum, percentile
from .statistics import focus, histogram, statistics
from .texture import texture
from .polar import reslice_radial, warp_polar
from .projection import project
from .resizing import binning, crop, resize
from .thresholding import find_threshold, threshold
from .warping import affine, rotate, shift

__all__ = [
    "OPERATORS",
    "Operator",
    "add",
    "add_weighted",
    "adjust_gamma",
    "affine",
    "astype",
    "background",
    "bilateral",
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_opening",
    "binning",
    "channel",
    "clip",
    "compare_labels",
    "crop",
    "convolve",
    "correlate",
    "denoise_nl_means",
    "denoise_tv",
    "difference_of_gaussians",
    "divide",
    "fill_holes",
    "find_threshold",
    "focus",
    "flip",
    "fourier_gaussian",
    "fourier_shift",
    "fourier_uniform",
    "gaussian",
    "gaussian_laplace",
    "gradient_magnitude",
    "histogram",
    "invert",
    "label",
    "laplace",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "mean_frame",
    "measure",
    "median",
    "minimum",
    "multiply",
    "neighbors",
    "percentile",
    "prewitt",
    "project",
    "remove_small_objects",
    "rescale_intensity",
    "sobel",
    "statistics",
    "resize",
    "reslice_radial",
    "rot90",
    "rotate",
    "shift",
    "subtract",
    "subtract_background",
    "texture",
    "threshold",
    "touching",
    "warm",
    "warp_polar",
    "uniform",
    "unsharp_mask",
    "white_tophat",
]

#: Every built-in operator by its name in YAML.
OPERATORS: dict[str, Operator] = {
    name: cast(Any, globals()[name]).operator
    for name in __all__
    if hasattr(globals().get(name), "operator")
}
