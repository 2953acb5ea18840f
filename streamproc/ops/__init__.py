"""The operators, as plain functions on arrays.

Names, parameters and meaning are those of scikit-image and scipy.ndimage. They act
on ``(y, x)`` or ``(z, y, x)``; ``channel_axis`` maps them over channels.
"""

from typing import Any, cast

from ._operator import Operator
from .arithmetic import add, add_weighted, divide, multiply, subtract
from .background import (
    background,
    mean_frame,
    median_frame,
    rolling_ball,
    subtract_background,
)
from .binary import binary_closing, binary_dilation, binary_erosion, binary_opening
from .blobs import blob_dog, blob_log
from .calibration import bleach_correction, flat_field
from .channels import channel
from .cleaning import clear_border, fill_holes, remove_small_holes
from .comparison import compare_labels
from .conversion import astype
from .correlation import convolve, correlate
from .denoising import bilateral, denoise_nl_means, denoise_tv
from .distances import distance_transform, expand_labels
from .edges import gaussian_laplace, gradient_magnitude, laplace, prewitt, sobel
from .filters import difference_of_gaussians, gaussian, uniform, unsharp_mask
from .forms import convex_hull_image, convex_hull_object, skeletonize
from .fourier import fourier_gaussian, fourier_shift, fourier_uniform
from .geometry import flip, rot90
from .intensity import adjust_gamma, clip, invert, rescale_intensity
from .labeling import label, remove_small_objects
from .logical import logical_and, logical_not, logical_or, logical_xor
from .measurement import measure
from .morphology import closing, dilation, erosion, opening
from .multilevel import hysteresis, multi_otsu
from .neighborhood import neighbors, touching
from .particles import locate
from .polar import reslice_radial, warp_polar
from .projection import project
from .rank import maximum, median, minimum, percentile
from .registration import apply_shift, drift_correct, phase_cross_correlation, reference
from .relabeling import find_boundaries, relabel_sequential
from .resizing import binning, crop, resize
from .segmentation import voronoi_otsu, watershed
from .spots import local_maxima, peak_local_max
from .statistics import focus, histogram, statistics
from .texture import texture
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
    "apply_shift",
    "astype",
    "background",
    "bilateral",
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_opening",
    "binning",
    "black_tophat",
    "bleach_correction",
    "blob_dog",
    "blob_log",
    "channel",
    "clear_border",
    "clip",
    "closing",
    "compare_labels",
    "convex_hull_image",
    "convex_hull_object",
    "convolve",
    "correlate",
    "crop",
    "denoise_nl_means",
    "denoise_tv",
    "difference_of_gaussians",
    "dilation",
    "distance_transform",
    "divide",
    "drift_correct",
    "erosion",
    "expand_labels",
    "fill_holes",
    "find_boundaries",
    "find_threshold",
    "flat_field",
    "flip",
    "focus",
    "fourier_gaussian",
    "fourier_shift",
    "fourier_uniform",
    "gaussian",
    "gaussian_laplace",
    "gradient_magnitude",
    "histogram",
    "hysteresis",
    "invert",
    "label",
    "laplace",
    "local_maxima",
    "locate",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "mean_frame",
    "measure",
    "median",
    "median_frame",
    "minimum",
    "morphological_gradient",
    "multi_otsu",
    "multiply",
    "neighbors",
    "opening",
    "peak_local_max",
    "percentile",
    "phase_cross_correlation",
    "prewitt",
    "project",
    "reference",
    "relabel_sequential",
    "remove_small_holes",
    "remove_small_objects",
    "rescale_intensity",
    "resize",
    "reslice_radial",
    "rolling_ball",
    "rot90",
    "rotate",
    "shift",
    "skeletonize",
    "sobel",
    "statistics",
    "subtract",
    "subtract_background",
    "texture",
    "threshold",
    "touching",
    "uniform",
    "unsharp_mask",
    "voronoi_otsu",
    "warp_polar",
    "watershed",
    "white_tophat",
]

#: Every built-in operator by its name in YAML.
OPERATORS: dict[str, Operator] = {
    name: cast(Any, globals()[name]).operator
    for name in __all__
    if hasattr(globals().get(name), "operator")
}
