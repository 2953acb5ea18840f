"""The operators, as plain functions on arrays.

Names, parameters and meaning are those of scikit-image and scipy.ndimage. They act
on ``(y, x)`` or ``(z, y, x)``; ``channel_axis`` maps them over channels.
"""

from typing import Any, cast

from ._operator import Operator
from .arithmetic import add, add_weighted, divide, multiply, subtract
from .background import background, mean_frame, subtract_background
from .binary import (
from .blobs import blob_dog, blob_log
from .background import (
    background,
    mean_frame,
    median_frame,
    rolling_ball,
    subtract_background,
)
from .calibration import bleach_correction, flat_field
from .channels import channel
from .distances import distance_transform, expand_labels
from .filters import difference_of_gaussians, gaussian, median
from .labeling import label, remove_small_objects
from .measurement import measure
from .morphology import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_opening,
)
from .channels import channel
from .cleaning import clear_border, fill_holes, remove_small_holes
from .comparison import compare_labels
from .conversion import astype
from .filters import difference_of_gaussians, gaussian, median
from .forms import convex_hull_image, convex_hull_object, skeletonize
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
from .morphology import closing, dilation, erosion, opening
from .neighborhood import neighbors, touching
from .particles import locate
from .projection import project
from .rank import maximum, median, minimum, percentile
from .statistics import focus, histogram, statistics
from .texture import texture
from .polar import reslice_radial, warp_polar
from .projection import project
from .resizing import binning, crop, resize
from .statistics import focus, histogram, statistics
from .texture import texture
from .relabeling import find_boundaries, relabel_sequential
from .segmentation import voronoi_otsu, watershed
from .spots import local_maxima, peak_local_max
from .registration import (
    drift_correct,
    phase_cross_correlation,
    reference,
    shift,
)
from .thresholding import find_threshold, threshold
from .tophat import black_tophat, morphological_gradient, white_tophat
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
    "black_tophat",
    "blob_dog",
    "blob_log",
    "bleach_correction",
    "channel",
    "clear_border",
    "clip",
    "closing",
    "compare_labels",
    "convex_hull_image",
    "convex_hull_object",
    "crop",
    "convolve",
    "correlate",
    "denoise_nl_means",
    "denoise_tv",
    "difference_of_gaussians",
    "dilation",
    "divide",
    "erosion",
    "distance_transform",
    "expand_labels",
    "drift_correct",
    "fill_holes",
    "find_boundaries",
    "find_threshold",
    "flip",
    "fourier_gaussian",
    "fourier_shift",
    "fourier_uniform",
    "focus",
    "flat_field",
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
    "morphological_gradient",
    "multiply",
    "neighbors",
    "opening",
    "project",
    "remove_small_holes",
    "local_maxima",
    "locate",
    "mean_frame",
    "measure",
    "median",
    "peak_local_max",
    "project",
    "relabel_sequential",
    "remove_small_objects",
    "rescale_intensity",
    "sobel",
    "statistics",
    "resize",
    "reslice_radial",
    "rot90",
    "rotate",
    "shift",
    "skeletonize",
    "statistics",
    "median_frame",
    "multiply",
    "phase_cross_correlation",
    "project",
    "reference",
    "remove_small_objects",
    "rescale_intensity",
    "rolling_ball",
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
    "voronoi_otsu",
    "warm",
    "watershed",
    "white_tophat",
]

#: Every built-in operator by its name in YAML.
OPERATORS: dict[str, Operator] = {
    name: cast(Any, globals()[name]).operator
    for name in __all__
    if hasattr(globals().get(name), "operator")
}
