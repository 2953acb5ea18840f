"""What a handle of each kind can do: one method per operator.

Written by ``python -m tests.methods`` from the signatures of `streamproc.ops`: change
them there. What is here is for editors and type checkers, and for whoever reads.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from .frame import Kind
from .handle import Handle

H = TypeVar("H", bound=Handle)


class Image(Handle):
    """An image per frame: ``(y, x)``, with z and c before where the source has them."""

    kind: Kind = "image"

    def add(
        self,
        other: "Image | None" = None,
        *,
        value: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Add another image, a number, or both. See `ops.add`."""
        given: dict[str, Any] = {"value": value}
        made: Image = self._add("add", given, name, other)
        return made

    def add_weighted(
        self,
        other: "Image | None" = None,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Blend two images: ``image * alpha + other * beta + gamma``.

        See `ops.add_weighted`.
        """
        given: dict[str, Any] = {"alpha": alpha, "beta": beta, "gamma": gamma}
        made: Image = self._add("add_weighted", given, name, other)
        return made

    def adjust_gamma(
        self, gamma: float = 1.0, *, gain: float = 1.0, name: str | None = None
    ) -> "Image":
        """Correct by a power law: ``gain * image ** gamma``. See `ops.adjust_gamma`."""
        given: dict[str, Any] = {"gamma": gamma, "gain": gain}
        made: Image = self._add("adjust_gamma", given, name)
        return made

    def affine(
        self: H,
        matrix: Sequence[Sequence[float]] | None = None,
        *,
        offset: float | Sequence[float] = 0.0,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Map by a matrix: turned, stretched, sheared, moved. See `ops.affine`."""
        given: dict[str, Any] = {
            "matrix": matrix,
            "offset": offset,
            "order": order,
            "cval": cval,
        }
        made: H = self._add("affine", given, name)
        return made

    def apply_shift(
        self,
        shift: "Value",
        *,
        order: Literal[0, 1, 3] = 3,
        mode: Literal["constant", "nearest"] = "constant",
        cval: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Move an image. See `ops.apply_shift`."""
        given: dict[str, Any] = {"order": order, "mode": mode, "cval": cval}
        made: Image = self._add("apply_shift", given, name, shift)
        return made

    def astype(
        self,
        dtype: Literal[
            "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"
        ] = "float32",
        *,
        overflow: Literal["error", "saturate"] = "error",
        name: str | None = None,
    ) -> "Image":
        """Convert to another dtype, without wrapping around. See `ops.astype`."""
        given: dict[str, Any] = {"dtype": dtype, "overflow": overflow}
        made: Image = self._add("astype", given, name)
        return made

    def background(
        self,
        method: Literal["mean", "median", "top_hat", "rolling_ball"] = "mean",
        *,
        window: int = 50,
        every: int = 25,
        radius: int = 25,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Subtract the background. See `ops.background`."""
        given: dict[str, Any] = {
            "method": method,
            "window": window,
            "every": every,
            "radius": radius,
            "shape": shape,
        }
        made: Image = self._add("background", given, name)
        return made

    def bilateral(
        self,
        sigma_color: float | None = None,
        *,
        sigma_spatial: float = 1.0,
        win_size: int | None = None,
        name: str | None = None,
    ) -> "Image":
        """Smooth within regions: the mean over neighbours of about the same grey level.

        See `ops.bilateral`.
        """
        given: dict[str, Any] = {
            "sigma_color": sigma_color,
            "sigma_spatial": sigma_spatial,
            "win_size": win_size,
        }
        made: Image = self._add("bilateral", given, name)
        return made

    def binning(
        self,
        factor: int | Sequence[int] = 2,
        *,
        method: Literal["mean", "sum", "max", "min"] = "mean",
        name: str | None = None,
    ) -> "Image":
        """Make one pixel of each block of pixels. See `ops.binning`."""
        given: dict[str, Any] = {"factor": factor, "method": method}
        made: Image = self._add("binning", given, name)
        return made

    def black_tophat(
        self,
        radius: int = 25,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Keep what is darker than its surroundings and narrower than the footprint.

        See `ops.black_tophat`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("black_tophat", given, name)
        return made

    def bleach_correction(
        self,
        reference: "Image",
        *,
        method: Literal["ratio", "histogram"] = "ratio",
        background: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Undo bleaching: give an image the brightness of a reference.

        See `ops.bleach_correction`.
        """
        given: dict[str, Any] = {"method": method, "background": background}
        made: Image = self._add("bleach_correction", given, name, reference)
        return made

    def blob_dog(
        self,
        min_sigma: float = 1.0,
        *,
        max_sigma: float = 50.0,
        sigma_ratio: float = 1.6,
        threshold: float | None = 0.5,
        overlap: float = 0.5,
        threshold_rel: float | None = None,
        exclude_border: int = 0,
        subpixel: bool = False,
        name: str | None = None,
    ) -> "Table":
        """Find bright spots and their size by differences of Gaussians.

        See `ops.blob_dog`.
        """
        given: dict[str, Any] = {
            "min_sigma": min_sigma,
            "max_sigma": max_sigma,
            "sigma_ratio": sigma_ratio,
            "threshold": threshold,
            "overlap": overlap,
            "threshold_rel": threshold_rel,
            "exclude_border": exclude_border,
            "subpixel": subpixel,
        }
        made: Table = self._add("blob_dog", given, name)
        return made

    def blob_log(
        self,
        min_sigma: float = 1.0,
        *,
        max_sigma: float = 50.0,
        num_sigma: int = 10,
        threshold: float | None = 0.2,
        overlap: float = 0.5,
        log_scale: bool = False,
        threshold_rel: float | None = None,
        exclude_border: int = 0,
        subpixel: bool = False,
        name: str | None = None,
    ) -> "Table":
        """Find bright spots and their size by Laplacians of Gaussians.

        See `ops.blob_log`.
        """
        given: dict[str, Any] = {
            "min_sigma": min_sigma,
            "max_sigma": max_sigma,
            "num_sigma": num_sigma,
            "threshold": threshold,
            "overlap": overlap,
            "log_scale": log_scale,
            "threshold_rel": threshold_rel,
            "exclude_border": exclude_border,
            "subpixel": subpixel,
        }
        made: Table = self._add("blob_log", given, name)
        return made

    def channel(self: H, channel: int | str = 0, *, name: str | None = None) -> H:
        """Choose one channel. See `ops.channel`."""
        given: dict[str, Any] = {"channel": channel}
        made: H = self._add("channel", given, name)
        return made

    def clip(
        self,
        min: float | None = None,
        *,
        max: float | None = None,
        name: str | None = None,
    ) -> "Image":
        """Limit the grey levels. See `ops.clip`."""
        given: dict[str, Any] = {"min": min, "max": max}
        made: Image = self._add("clip", given, name)
        return made

    def closing(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Fill dark gaps that are narrower than the footprint. See `ops.closing`."""
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("closing", given, name)
        return made

    def convolve(
        self,
        weights: Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]] = (
            (1.0,),
        ),
        *,
        name: str | None = None,
    ) -> "Image":
        """Spread each pixel over its neighbours by weights: `correlate`, mirrored.

        See `ops.convolve`.
        """
        given: dict[str, Any] = {"weights": weights}
        made: Image = self._add("convolve", given, name)
        return made

    def correlate(
        self,
        weights: Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]] = (
            (1.0,),
        ),
        *,
        name: str | None = None,
    ) -> "Image":
        """Replace each pixel by the sum of its neighbours times weights.

        See `ops.correlate`.
        """
        given: dict[str, Any] = {"weights": weights}
        made: Image = self._add("correlate", given, name)
        return made

    def crop(
        self: H,
        start: Sequence[int] = (0, 0),
        *,
        shape: Sequence[int] | None = None,
        name: str | None = None,
    ) -> H:
        """Cut out a rectangle, or a box. See `ops.crop`."""
        given: dict[str, Any] = {"start": start, "shape": shape}
        made: H = self._add("crop", given, name)
        return made

    def denoise_nl_means(
        self,
        h: float = 0.1,
        *,
        patch_size: int = 7,
        patch_distance: int = 11,
        sigma: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Average pixels whose surroundings look alike: non-local means.

        See `ops.denoise_nl_means`.
        """
        given: dict[str, Any] = {
            "h": h,
            "patch_size": patch_size,
            "patch_distance": patch_distance,
            "sigma": sigma,
        }
        made: Image = self._add("denoise_nl_means", given, name)
        return made

    def denoise_tv(
        self,
        weight: float = 0.1,
        *,
        eps: float = 0.0002,
        max_num_iter: int = 200,
        name: str | None = None,
    ) -> "Image":
        """Find the image nearby that varies least: flat regions, sharp edges.

        See `ops.denoise_tv`.
        """
        given: dict[str, Any] = {
            "weight": weight,
            "eps": eps,
            "max_num_iter": max_num_iter,
        }
        made: Image = self._add("denoise_tv", given, name)
        return made

    def difference_of_gaussians(
        self,
        low_sigma: float | Sequence[float] = 1.0,
        *,
        high_sigma: float | Sequence[float] | None = None,
        name: str | None = None,
    ) -> "Image":
        """Keep what is larger than ``low_sigma`` and smaller than ``high_sigma``.

        See `ops.difference_of_gaussians`.
        """
        given: dict[str, Any] = {"low_sigma": low_sigma, "high_sigma": high_sigma}
        made: Image = self._add("difference_of_gaussians", given, name)
        return made

    def dilation(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Take the brightest pixel under a disk or a box around each.

        See `ops.dilation`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("dilation", given, name)
        return made

    def divide(
        self,
        other: "Image | None" = None,
        *,
        value: float = 1.0,
        name: str | None = None,
    ) -> "Image":
        """Divide by another image, a number, or both. See `ops.divide`."""
        given: dict[str, Any] = {"value": value}
        made: Image = self._add("divide", given, name, other)
        return made

    def drift_correct(
        self,
        reference: "Image",
        *,
        upsample_factor: int = 10,
        normalization: Literal["phase"] | None = "phase",
        order: Literal[0, 1, 3] = 1,
        mode: Literal["constant", "nearest"] = "constant",
        cval: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Lay an image over its reference. See `ops.drift_correct`."""
        given: dict[str, Any] = {
            "upsample_factor": upsample_factor,
            "normalization": normalization,
            "order": order,
            "mode": mode,
            "cval": cval,
        }
        made: Image = self._add("drift_correct", given, name, reference)
        return made

    def erosion(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Take the darkest pixel under a disk or a box around each.

        See `ops.erosion`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("erosion", given, name)
        return made

    def flat_field(
        self,
        flat: str | None = None,
        *,
        dark: str | None = None,
        digest: str = "",
        name: str | None = None,
    ) -> "Image":
        """Correct for uneven light and for what the camera shows in the dark.

        See `ops.flat_field`.
        """
        given: dict[str, Any] = {"flat": flat, "dark": dark, "digest": digest}
        made: Image = self._add("flat_field", given, name)
        return made

    def flip(
        self: H, axis: Literal["z", "y", "x"] = "x", *, name: str | None = None
    ) -> H:
        """Mirror along an axis. See `ops.flip`."""
        given: dict[str, Any] = {"axis": axis}
        made: H = self._add("flip", given, name)
        return made

    def focus(
        self,
        measures: Sequence[
            Literal["brenner", "laplacian_variance", "normalized_variance", "tenengrad"]
        ] = ("laplacian_variance",),
        *,
        name: str | None = None,
    ) -> "Value":
        """Tell how sharp a frame is; larger is sharper. See `ops.focus`."""
        given: dict[str, Any] = {"measures": measures}
        made: Value = self._add("focus", given, name)
        return made

    def fourier_gaussian(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a Gaussian by Fourier transform: any sigma, one cost.

        See `ops.fourier_gaussian`.
        """
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("fourier_gaussian", given, name)
        return made

    def fourier_shift(
        self, shift: float | Sequence[float] = 0.0, *, name: str | None = None
    ) -> "Image":
        """Move an image by fractions of pixels by Fourier transform.

        See `ops.fourier_shift`.
        """
        given: dict[str, Any] = {"shift": shift}
        made: Image = self._add("fourier_shift", given, name)
        return made

    def fourier_uniform(
        self, size: float | Sequence[float] = 3.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a box by Fourier transform: any size, fractions of pixels, too.

        See `ops.fourier_uniform`.
        """
        given: dict[str, Any] = {"size": size}
        made: Image = self._add("fourier_uniform", given, name)
        return made

    def gaussian(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a Gaussian. See `ops.gaussian`."""
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("gaussian", given, name)
        return made

    def gaussian_laplace(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Add the second derivatives of the image smoothed by a Gaussian.

        See `ops.gaussian_laplace`.
        """
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("gaussian_laplace", given, name)
        return made

    def gradient_magnitude(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Measure how steep the image smoothed by a Gaussian is.

        See `ops.gradient_magnitude`.
        """
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("gradient_magnitude", given, name)
        return made

    def histogram(
        self,
        bins: int = 256,
        *,
        range: Sequence[float] | None = None,
        name: str | None = None,
    ) -> "Table":
        """Count the pixels of a frame by their grey level. See `ops.histogram`."""
        given: dict[str, Any] = {"bins": bins, "range": range}
        made: Table = self._add("histogram", given, name)
        return made

    def hysteresis(
        self,
        low: float
        | Literal["otsu", "li", "triangle", "yen", "isodata", "mean", "minimum"] = "li",
        *,
        high: float
        | Literal[
            "otsu", "li", "triangle", "yen", "isodata", "mean", "minimum"
        ] = "otsu",
        name: str | None = None,
    ) -> "Mask":
        """Mark what is above ``low`` in one piece with what is above ``high``.

        See `ops.hysteresis`.
        """
        given: dict[str, Any] = {"low": low, "high": high}
        made: Mask = self._add("hysteresis", given, name)
        return made

    def invert(self, signed_float: bool = False, *, name: str | None = None) -> "Image":
        """Make bright what is dark. See `ops.invert`."""
        given: dict[str, Any] = {"signed_float": signed_float}
        made: Image = self._add("invert", given, name)
        return made

    def laplace(self, *, name: str | None = None) -> "Image":
        """Add the second differences along all axes. See `ops.laplace`."""
        given: dict[str, Any] = {}
        made: Image = self._add("laplace", given, name)
        return made

    def local_maxima(
        self,
        connectivity: int | None = None,
        *,
        allow_borders: bool = True,
        name: str | None = None,
    ) -> "Mask":
        """Mark pixels, or plateaus of equal pixels, that are higher than all around.

        See `ops.local_maxima`.
        """
        given: dict[str, Any] = {
            "connectivity": connectivity,
            "allow_borders": allow_borders,
        }
        made: Mask = self._add("local_maxima", given, name)
        return made

    def locate(
        self,
        diameter: int = 11,
        *,
        minmass: float = 0.0,
        maxsize: float | None = None,
        separation: float | None = None,
        noise_size: float = 1.0,
        smoothing_size: int | None = None,
        threshold: float | None = None,
        invert: bool = False,
        percentile: float = 64.0,
        topn: int | None = None,
        preprocess: bool = True,
        max_iterations: int = 10,
        name: str | None = None,
    ) -> "Table":
        """Locate round particles of about one size, to a fraction of a pixel.

        See `ops.locate`.
        """
        given: dict[str, Any] = {
            "diameter": diameter,
            "minmass": minmass,
            "maxsize": maxsize,
            "separation": separation,
            "noise_size": noise_size,
            "smoothing_size": smoothing_size,
            "threshold": threshold,
            "invert": invert,
            "percentile": percentile,
            "topn": topn,
            "preprocess": preprocess,
            "max_iterations": max_iterations,
        }
        made: Table = self._add("locate", given, name)
        return made

    def maximum(self: H, size: int = 3, *, name: str | None = None) -> H:
        """Replace each pixel by the largest of the square (the cube) around it.

        See `ops.maximum`.
        """
        given: dict[str, Any] = {"size": size}
        made: H = self._add("maximum", given, name)
        return made

    def median(self: H, size: int = 3, *, name: str | None = None) -> H:
        """Replace each pixel by the median of the square (the cube) around it.

        See `ops.median`.
        """
        given: dict[str, Any] = {"size": size}
        made: H = self._add("median", given, name)
        return made

    def minimum(self: H, size: int = 3, *, name: str | None = None) -> H:
        """Replace each pixel by the smallest of the square (the cube) around it.

        See `ops.minimum`.
        """
        given: dict[str, Any] = {"size": size}
        made: H = self._add("minimum", given, name)
        return made

    def morphological_gradient(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Take the brightest less the darkest pixel under a disk or a box around each.

        See `ops.morphological_gradient`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("morphological_gradient", given, name)
        return made

    def multi_otsu(self, classes: int = 3, *, name: str | None = None) -> "Labels":
        """Number each pixel by the class of its grey level, from the darkest on.

        See `ops.multi_otsu`.
        """
        given: dict[str, Any] = {"classes": classes}
        made: Labels = self._add("multi_otsu", given, name)
        return made

    def multiply(
        self,
        other: "Image | None" = None,
        *,
        value: float = 1.0,
        name: str | None = None,
    ) -> "Image":
        """Multiply by another image, a number, or both. See `ops.multiply`."""
        given: dict[str, Any] = {"value": value}
        made: Image = self._add("multiply", given, name, other)
        return made

    def opening(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Remove bright objects that are narrower than the footprint.

        See `ops.opening`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("opening", given, name)
        return made

    def peak_local_max(
        self,
        min_distance: int = 1,
        *,
        threshold_abs: float | None = None,
        threshold_rel: float | None = None,
        exclude_border: bool | int = True,
        num_peaks: int | None = None,
        subpixel: bool = False,
        name: str | None = None,
    ) -> "Table":
        """Find peaks, the brightest first, that keep a distance from each other.

        See `ops.peak_local_max`.
        """
        given: dict[str, Any] = {
            "min_distance": min_distance,
            "threshold_abs": threshold_abs,
            "threshold_rel": threshold_rel,
            "exclude_border": exclude_border,
            "num_peaks": num_peaks,
            "subpixel": subpixel,
        }
        made: Table = self._add("peak_local_max", given, name)
        return made

    def percentile(
        self: H, percentile: float = 50.0, *, size: int = 3, name: str | None = None
    ) -> H:
        """Replace each pixel by a percentile of the square (the cube) around it.

        See `ops.percentile`.
        """
        given: dict[str, Any] = {"percentile": percentile, "size": size}
        made: H = self._add("percentile", given, name)
        return made

    def phase_cross_correlation(
        self,
        reference: "Image",
        *,
        upsample_factor: int = 1,
        normalization: Literal["phase"] | None = "phase",
        name: str | None = None,
    ) -> "Value":
        """Measure the shift that lays an image over its reference.

        See `ops.phase_cross_correlation`.
        """
        given: dict[str, Any] = {
            "upsample_factor": upsample_factor,
            "normalization": normalization,
        }
        made: Value = self._add("phase_cross_correlation", given, name, reference)
        return made

    def prewitt(self, axis: int | None = None, *, name: str | None = None) -> "Image":
        """Measure how steep the grey levels are, with Prewitt's weights.

        See `ops.prewitt`.
        """
        given: dict[str, Any] = {"axis": axis}
        made: Image = self._add("prewitt", given, name)
        return made

    def project(
        self,
        method: Literal["max", "mean", "min", "sum", "std"] = "max",
        *,
        axis: Literal["z", "y", "x"] = "z",
        name: str | None = None,
    ) -> "Image":
        """Project a volume along an axis. See `ops.project`."""
        given: dict[str, Any] = {"method": method, "axis": axis}
        made: Image = self._add("project", given, name)
        return made

    def reference(
        self, frame: Literal["first", "previous"] = "first", *, name: str | None = None
    ) -> "Image":
        """Give each frame the one that it is compared with. See `ops.reference`."""
        given: dict[str, Any] = {"frame": frame}
        made: Image = self._add("reference", given, name)
        return made

    def rescale_intensity(
        self,
        in_range: Literal[
            "image", "dtype", "uint8", "uint10", "uint12", "uint14", "uint16", "float32"
        ]
        | Sequence[float] = "image",
        *,
        out_range: Literal[
            "image", "dtype", "uint8", "uint10", "uint12", "uint14", "uint16", "float32"
        ]
        | Sequence[float] = "dtype",
        name: str | None = None,
    ) -> "Image":
        """Stretch or shrink the grey levels from one range to another.

        See `ops.rescale_intensity`.
        """
        given: dict[str, Any] = {"in_range": in_range, "out_range": out_range}
        made: Image = self._add("rescale_intensity", given, name)
        return made

    def resize(
        self: H,
        shape: Sequence[int] | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        order: Literal[0, 1, 3] | None = None,
        anti_aliasing: bool | None = None,
        name: str | None = None,
    ) -> H:
        """Show the same field of view with another number of pixels.

        See `ops.resize`.
        """
        given: dict[str, Any] = {
            "shape": shape,
            "scale": scale,
            "order": order,
            "anti_aliasing": anti_aliasing,
        }
        made: H = self._add("resize", given, name)
        return made

    def reslice_radial(
        self: H,
        angles: int = 360,
        *,
        angle_step: float = 1.0,
        start_angle: float = 0.0,
        center: Sequence[float] | None = None,
        radius: float | None = None,
        order: Literal[0, 1] | None = None,
        name: str | None = None,
    ) -> H:
        """Cut a volume along rays from its axis: a plane (z, radius) per angle.

        See `ops.reslice_radial`.
        """
        given: dict[str, Any] = {
            "angles": angles,
            "angle_step": angle_step,
            "start_angle": start_angle,
            "center": center,
            "radius": radius,
            "order": order,
        }
        made: H = self._add("reslice_radial", given, name)
        return made

    def rolling_ball(
        self, radius: int = 100, *, downscale: int = 1, name: str | None = None
    ) -> "Image":
        """Estimate the background as what a ball reaches that rolls under the image.

        See `ops.rolling_ball`.
        """
        given: dict[str, Any] = {"radius": radius, "downscale": downscale}
        made: Image = self._add("rolling_ball", given, name)
        return made

    def rot90(self: H, k: int = 1, *, name: str | None = None) -> H:
        """Rotate by a multiple of 90 degrees. See `ops.rot90`."""
        given: dict[str, Any] = {"k": k}
        made: H = self._add("rot90", given, name)
        return made

    def rotate(
        self: H,
        angle: float = 0.0,
        *,
        resize: bool = False,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Rotate around the centre. See `ops.rotate`."""
        given: dict[str, Any] = {
            "angle": angle,
            "resize": resize,
            "order": order,
            "cval": cval,
        }
        made: H = self._add("rotate", given, name)
        return made

    def shift(
        self: H,
        shift: float | Sequence[float] = 0.0,
        *,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Move the image by some pixels. See `ops.shift`."""
        given: dict[str, Any] = {"shift": shift, "order": order, "cval": cval}
        made: H = self._add("shift", given, name)
        return made

    def sobel(self, axis: int | None = None, *, name: str | None = None) -> "Image":
        """Measure how steep the grey levels are, with Sobel's weights.

        See `ops.sobel`.
        """
        given: dict[str, Any] = {"axis": axis}
        made: Image = self._add("sobel", given, name)
        return made

    def statistics(
        self,
        properties: Sequence[
            Literal["mean", "std", "min", "max", "sum", "percentiles", "entropy", "snr"]
        ] = ("mean", "std", "min", "max", "sum"),
        *,
        percentiles: Sequence[float] = (1, 50, 99),
        name: str | None = None,
    ) -> "Value":
        """Sum up the grey levels of a frame in a few numbers. See `ops.statistics`."""
        given: dict[str, Any] = {"properties": properties, "percentiles": percentiles}
        made: Value = self._add("statistics", given, name)
        return made

    def subtract(
        self,
        other: "Image | None" = None,
        *,
        value: float = 0.0,
        name: str | None = None,
    ) -> "Image":
        """Subtract another image, a number, or both. See `ops.subtract`."""
        given: dict[str, Any] = {"value": value}
        made: Image = self._add("subtract", given, name, other)
        return made

    def threshold(
        self,
        method: Literal[
            "fixed",
            "otsu",
            "li",
            "triangle",
            "yen",
            "isodata",
            "mean",
            "minimum",
            "local",
            "sauvola",
            "niblack",
        ] = "otsu",
        *,
        value: float | None = None,
        block_size: int = 51,
        weights: Literal["gaussian", "mean", "median"] = "gaussian",
        offset: float = 0.0,
        window_size: int = 15,
        k: float = 0.2,
        r: float | None = None,
        name: str | None = None,
    ) -> "Mask":
        """Mark the pixels that are brighter than a threshold. See `ops.threshold`."""
        given: dict[str, Any] = {
            "method": method,
            "value": value,
            "block_size": block_size,
            "weights": weights,
            "offset": offset,
            "window_size": window_size,
            "k": k,
            "r": r,
        }
        made: Mask = self._add("threshold", given, name)
        return made

    def uniform(
        self, size: int | Sequence[int] = 3, *, name: str | None = None
    ) -> "Image":
        """Smooth with a box: each pixel becomes the mean of the window around it.

        See `ops.uniform`.
        """
        given: dict[str, Any] = {"size": size}
        made: Image = self._add("uniform", given, name)
        return made

    def unsharp_mask(
        self,
        radius: float | Sequence[float] = 1.0,
        *,
        amount: float = 1.0,
        name: str | None = None,
    ) -> "Image":
        """Sharpen: add what a Gaussian takes away. See `ops.unsharp_mask`."""
        given: dict[str, Any] = {"radius": radius, "amount": amount}
        made: Image = self._add("unsharp_mask", given, name)
        return made

    def voronoi_otsu(
        self,
        spot_sigma: float = 2.0,
        *,
        outline_sigma: float = 2.0,
        name: str | None = None,
    ) -> "Labels":
        """Segment bright roundish objects, touching ones apart.

        See `ops.voronoi_otsu`.
        """
        given: dict[str, Any] = {
            "spot_sigma": spot_sigma,
            "outline_sigma": outline_sigma,
        }
        made: Labels = self._add("voronoi_otsu", given, name)
        return made

    def warp_polar(
        self: H,
        center: Sequence[float] | None = None,
        *,
        radius: float | None = None,
        output_shape: Sequence[int] | None = None,
        scaling: Literal["linear", "log"] = "linear",
        order: Literal[0, 1] | None = None,
        name: str | None = None,
    ) -> H:
        """Unroll an image around a centre: a row per angle, a column per radius.

        See `ops.warp_polar`.
        """
        given: dict[str, Any] = {
            "center": center,
            "radius": radius,
            "output_shape": output_shape,
            "scaling": scaling,
            "order": order,
        }
        made: H = self._add("warp_polar", given, name)
        return made

    def watershed(
        self,
        markers: "Labels",
        mask: "Mask | None" = None,
        *,
        connectivity: int = 1,
        compactness: float = 0.0,
        watershed_line: bool = False,
        name: str | None = None,
    ) -> "Labels":
        """Flood an image from markers: each becomes a basin. See `ops.watershed`."""
        given: dict[str, Any] = {
            "connectivity": connectivity,
            "compactness": compactness,
            "watershed_line": watershed_line,
        }
        made: Labels = self._add("watershed", given, name, markers, mask)
        return made

    def white_tophat(
        self,
        radius: int = 25,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Keep what is brighter than its surroundings and narrower than the footprint.

        See `ops.white_tophat`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Image = self._add("white_tophat", given, name)
        return made


class Mask(Image):
    """A mask per frame: uint8, 0 or 1."""

    kind: Kind = "mask"

    def binary_closing(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Mask":
        """Fill background into which the disk or box does not fit.

        See `ops.binary_closing`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Mask = self._add("binary_closing", given, name)
        return made

    def binary_dilation(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Mask":
        """Grow the foreground by a disk or a box (in volumes a ball or a cube).

        See `ops.binary_dilation`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Mask = self._add("binary_dilation", given, name)
        return made

    def binary_erosion(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Mask":
        """Shrink the foreground by a disk or a box (in volumes a ball or a cube).

        See `ops.binary_erosion`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Mask = self._add("binary_erosion", given, name)
        return made

    def binary_opening(
        self,
        radius: int = 1,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Mask":
        """Remove foreground into which the disk or box does not fit.

        See `ops.binary_opening`.
        """
        given: dict[str, Any] = {"radius": radius, "shape": shape}
        made: Mask = self._add("binary_opening", given, name)
        return made

    def clear_border(self: H, buffer_size: int = 0, *, name: str | None = None) -> H:
        """Remove the objects that touch the border of the image.

        See `ops.clear_border`.
        """
        given: dict[str, Any] = {"buffer_size": buffer_size}
        made: H = self._add("clear_border", given, name)
        return made

    def compare_labels(
        self, others: "Labels | Mask", *, min_iou: float = 0.5, name: str | None = None
    ) -> "Value":
        """Compare two label images: overlap of the foregrounds, and objects in common.

        See `ops.compare_labels`.
        """
        given: dict[str, Any] = {"min_iou": min_iou}
        made: Value = self._add("compare_labels", given, name, others)
        return made

    def convex_hull_image(self, *, name: str | None = None) -> "Mask":
        """Fill the smallest convex outline around all foreground.

        See `ops.convex_hull_image`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("convex_hull_image", given, name)
        return made

    def convex_hull_object(
        self, connectivity: int = 2, *, name: str | None = None
    ) -> "Mask":
        """Fill the smallest convex outline around each object.

        See `ops.convex_hull_object`.
        """
        given: dict[str, Any] = {"connectivity": connectivity}
        made: Mask = self._add("convex_hull_object", given, name)
        return made

    def distance_transform(
        self, sampling: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Give every pixel its distance to the next background pixel.

        See `ops.distance_transform`.
        """
        given: dict[str, Any] = {"sampling": sampling}
        made: Image = self._add("distance_transform", given, name)
        return made

    def fill_holes(self, *, name: str | None = None) -> "Mask":
        """Fill the background that foreground encloses. See `ops.fill_holes`."""
        given: dict[str, Any] = {}
        made: Mask = self._add("fill_holes", given, name)
        return made

    def find_boundaries(
        self,
        connectivity: int = 1,
        *,
        mode: Literal["thick", "inner", "outer"] = "thick",
        name: str | None = None,
    ) -> "Mask":
        """Mark where objects touch something else. See `ops.find_boundaries`."""
        given: dict[str, Any] = {"connectivity": connectivity, "mode": mode}
        made: Mask = self._add("find_boundaries", given, name)
        return made

    def label(
        self, connectivity: int | None = None, *, name: str | None = None
    ) -> "Labels":
        """Give the connected objects of a mask numbers from 1 on, in raster order.

        See `ops.label`.
        """
        given: dict[str, Any] = {"connectivity": connectivity}
        made: Labels = self._add("label", given, name)
        return made

    def logical_and(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in both masks. See `ops.logical_and`."""
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_and", given, name, other)
        return made

    def logical_not(self, *, name: str | None = None) -> "Mask":
        """Turn foreground into background and background into foreground.

        See `ops.logical_not`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_not", given, name)
        return made

    def logical_or(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in one of two masks, or in both.

        See `ops.logical_or`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_or", given, name, other)
        return made

    def logical_xor(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in one of two masks, but not in both.

        See `ops.logical_xor`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_xor", given, name, other)
        return made

    def remove_small_holes(
        self,
        max_size: int = 64,
        *,
        connectivity: int | None = 1,
        name: str | None = None,
    ) -> "Mask":
        """Fill the connected pieces of background of ``max_size`` pixels or fewer.

        See `ops.remove_small_holes`.
        """
        given: dict[str, Any] = {"max_size": max_size, "connectivity": connectivity}
        made: Mask = self._add("remove_small_holes", given, name)
        return made

    def remove_small_objects(
        self: H,
        max_size: int = 64,
        *,
        connectivity: int | None = 1,
        name: str | None = None,
    ) -> H:
        """Remove the objects of ``max_size`` pixels or fewer.

        See `ops.remove_small_objects`.
        """
        given: dict[str, Any] = {"max_size": max_size, "connectivity": connectivity}
        made: H = self._add("remove_small_objects", given, name)
        return made

    def skeletonize(
        self, method: Literal["zhang", "lee"] | None = None, *, name: str | None = None
    ) -> "Mask":
        """Thin the foreground to lines one pixel wide. See `ops.skeletonize`."""
        given: dict[str, Any] = {"method": method}
        made: Mask = self._add("skeletonize", given, name)
        return made


class Labels(Handle):
    """A label image per frame: uint32, 0 is background."""

    kind: Kind = "labels"

    def affine(
        self: H,
        matrix: Sequence[Sequence[float]] | None = None,
        *,
        offset: float | Sequence[float] = 0.0,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Map by a matrix: turned, stretched, sheared, moved. See `ops.affine`."""
        given: dict[str, Any] = {
            "matrix": matrix,
            "offset": offset,
            "order": order,
            "cval": cval,
        }
        made: H = self._add("affine", given, name)
        return made

    def channel(self: H, channel: int | str = 0, *, name: str | None = None) -> H:
        """Choose one channel. See `ops.channel`."""
        given: dict[str, Any] = {"channel": channel}
        made: H = self._add("channel", given, name)
        return made

    def clear_border(self: H, buffer_size: int = 0, *, name: str | None = None) -> H:
        """Remove the objects that touch the border of the image.

        See `ops.clear_border`.
        """
        given: dict[str, Any] = {"buffer_size": buffer_size}
        made: H = self._add("clear_border", given, name)
        return made

    def compare_labels(
        self, others: "Labels | Mask", *, min_iou: float = 0.5, name: str | None = None
    ) -> "Value":
        """Compare two label images: overlap of the foregrounds, and objects in common.

        See `ops.compare_labels`.
        """
        given: dict[str, Any] = {"min_iou": min_iou}
        made: Value = self._add("compare_labels", given, name, others)
        return made

    def crop(
        self: H,
        start: Sequence[int] = (0, 0),
        *,
        shape: Sequence[int] | None = None,
        name: str | None = None,
    ) -> H:
        """Cut out a rectangle, or a box. See `ops.crop`."""
        given: dict[str, Any] = {"start": start, "shape": shape}
        made: H = self._add("crop", given, name)
        return made

    def distance_transform(
        self, sampling: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Give every pixel its distance to the next background pixel.

        See `ops.distance_transform`.
        """
        given: dict[str, Any] = {"sampling": sampling}
        made: Image = self._add("distance_transform", given, name)
        return made

    def expand_labels(
        self,
        distance: float = 1.0,
        *,
        spacing: float | Sequence[float] = 1.0,
        name: str | None = None,
    ) -> "Labels":
        """Grow every object into the background, but not into other objects.

        See `ops.expand_labels`.
        """
        given: dict[str, Any] = {"distance": distance, "spacing": spacing}
        made: Labels = self._add("expand_labels", given, name)
        return made

    def find_boundaries(
        self,
        connectivity: int = 1,
        *,
        mode: Literal["thick", "inner", "outer"] = "thick",
        name: str | None = None,
    ) -> "Mask":
        """Mark where objects touch something else. See `ops.find_boundaries`."""
        given: dict[str, Any] = {"connectivity": connectivity, "mode": mode}
        made: Mask = self._add("find_boundaries", given, name)
        return made

    def flip(
        self: H, axis: Literal["z", "y", "x"] = "x", *, name: str | None = None
    ) -> H:
        """Mirror along an axis. See `ops.flip`."""
        given: dict[str, Any] = {"axis": axis}
        made: H = self._add("flip", given, name)
        return made

    def logical_and(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in both masks. See `ops.logical_and`."""
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_and", given, name, other)
        return made

    def logical_not(self, *, name: str | None = None) -> "Mask":
        """Turn foreground into background and background into foreground.

        See `ops.logical_not`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_not", given, name)
        return made

    def logical_or(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in one of two masks, or in both.

        See `ops.logical_or`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_or", given, name, other)
        return made

    def logical_xor(self, other: "Mask | Labels", *, name: str | None = None) -> "Mask":
        """Keep what is foreground in one of two masks, but not in both.

        See `ops.logical_xor`.
        """
        given: dict[str, Any] = {}
        made: Mask = self._add("logical_xor", given, name, other)
        return made

    def measure(
        self,
        intensity: "Image | None" = None,
        *,
        properties: Sequence[str] = ("area", "centroid", "mean_intensity"),
        name: str | None = None,
    ) -> "Table":
        """Measure every object of a label image. See `ops.measure`."""
        given: dict[str, Any] = {"properties": properties}
        made: Table = self._add("measure", given, name, intensity)
        return made

    def neighbors(
        self, n: int = 1, *, connectivity: int | None = None, name: str | None = None
    ) -> "Table":
        """Count every object's touching neighbours, and measure how far others are.

        See `ops.neighbors`.
        """
        given: dict[str, Any] = {"n": n, "connectivity": connectivity}
        made: Table = self._add("neighbors", given, name)
        return made

    def relabel_sequential(
        self, offset: int = 1, *, name: str | None = None
    ) -> "Labels":
        """Number objects anew, without gaps, in the order of their numbers.

        See `ops.relabel_sequential`.
        """
        given: dict[str, Any] = {"offset": offset}
        made: Labels = self._add("relabel_sequential", given, name)
        return made

    def remove_small_objects(
        self: H,
        max_size: int = 64,
        *,
        connectivity: int | None = 1,
        name: str | None = None,
    ) -> H:
        """Remove the objects of ``max_size`` pixels or fewer.

        See `ops.remove_small_objects`.
        """
        given: dict[str, Any] = {"max_size": max_size, "connectivity": connectivity}
        made: H = self._add("remove_small_objects", given, name)
        return made

    def resize(
        self: H,
        shape: Sequence[int] | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        order: Literal[0, 1, 3] | None = None,
        anti_aliasing: bool | None = None,
        name: str | None = None,
    ) -> H:
        """Show the same field of view with another number of pixels.

        See `ops.resize`.
        """
        given: dict[str, Any] = {
            "shape": shape,
            "scale": scale,
            "order": order,
            "anti_aliasing": anti_aliasing,
        }
        made: H = self._add("resize", given, name)
        return made

    def reslice_radial(
        self: H,
        angles: int = 360,
        *,
        angle_step: float = 1.0,
        start_angle: float = 0.0,
        center: Sequence[float] | None = None,
        radius: float | None = None,
        order: Literal[0, 1] | None = None,
        name: str | None = None,
    ) -> H:
        """Cut a volume along rays from its axis: a plane (z, radius) per angle.

        See `ops.reslice_radial`.
        """
        given: dict[str, Any] = {
            "angles": angles,
            "angle_step": angle_step,
            "start_angle": start_angle,
            "center": center,
            "radius": radius,
            "order": order,
        }
        made: H = self._add("reslice_radial", given, name)
        return made

    def rot90(self: H, k: int = 1, *, name: str | None = None) -> H:
        """Rotate by a multiple of 90 degrees. See `ops.rot90`."""
        given: dict[str, Any] = {"k": k}
        made: H = self._add("rot90", given, name)
        return made

    def rotate(
        self: H,
        angle: float = 0.0,
        *,
        resize: bool = False,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Rotate around the centre. See `ops.rotate`."""
        given: dict[str, Any] = {
            "angle": angle,
            "resize": resize,
            "order": order,
            "cval": cval,
        }
        made: H = self._add("rotate", given, name)
        return made

    def shift(
        self: H,
        shift: float | Sequence[float] = 0.0,
        *,
        order: Literal[0, 1, 3] | None = None,
        cval: float = 0.0,
        name: str | None = None,
    ) -> H:
        """Move the image by some pixels. See `ops.shift`."""
        given: dict[str, Any] = {"shift": shift, "order": order, "cval": cval}
        made: H = self._add("shift", given, name)
        return made

    def texture(
        self,
        intensity: "Image",
        *,
        distance: int = 1,
        levels: int = 32,
        low: float | None = None,
        high: float | None = None,
        name: str | None = None,
    ) -> "Table":
        """Measure the texture of every object by co-occurring grey levels (GLCM).

        See `ops.texture`.
        """
        given: dict[str, Any] = {
            "distance": distance,
            "levels": levels,
            "low": low,
            "high": high,
        }
        made: Table = self._add("texture", given, name, intensity)
        return made

    def touching(
        self, connectivity: int | None = None, *, name: str | None = None
    ) -> "Table":
        """List the pairs of objects that touch, and how much. See `ops.touching`."""
        given: dict[str, Any] = {"connectivity": connectivity}
        made: Table = self._add("touching", given, name)
        return made

    def warp_polar(
        self: H,
        center: Sequence[float] | None = None,
        *,
        radius: float | None = None,
        output_shape: Sequence[int] | None = None,
        scaling: Literal["linear", "log"] = "linear",
        order: Literal[0, 1] | None = None,
        name: str | None = None,
    ) -> H:
        """Unroll an image around a centre: a row per angle, a column per radius.

        See `ops.warp_polar`.
        """
        given: dict[str, Any] = {
            "center": center,
            "radius": radius,
            "output_shape": output_shape,
            "scaling": scaling,
            "order": order,
        }
        made: H = self._add("warp_polar", given, name)
        return made


class Table(Handle):
    """A table per frame: one row per object."""

    kind: Kind = "table"

    def bland_altman(
        self,
        other: "Table | Value",
        *,
        column: str = "area",
        confidence: float = 0.95,
        name: str | None = None,
    ) -> "Value":
        """Compare two methods over all frames so far: bias and limits of agreement."""
        given: dict[str, Any] = {"column": column, "confidence": confidence}
        made: Value = self._add("bland_altman", given, name, other)
        return made

    def running_count(self, *, name: str | None = None) -> "Value":
        """Count the objects of this frame and of all frames up to it, in order."""
        given: dict[str, Any] = {}
        made: Value = self._add("running_count", given, name)
        return made


class Value(Handle):
    """A small value per frame: a number, text, or a mapping of them."""

    kind: Kind = "value"

    def bland_altman(
        self,
        other: "Table | Value",
        *,
        column: str = "area",
        confidence: float = 0.95,
        name: str | None = None,
    ) -> "Value":
        """Compare two methods over all frames so far: bias and limits of agreement."""
        given: dict[str, Any] = {"column": column, "confidence": confidence}
        made: Value = self._add("bland_altman", given, name, other)
        return made

    def running_sum(self, *, name: str | None = None) -> "Value":
        """Add up the numbers of a value over all frames up to this one, in order."""
        given: dict[str, Any] = {}
        made: Value = self._add("running_sum", given, name)
        return made
