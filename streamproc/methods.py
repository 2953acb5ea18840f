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
        method: Literal["mean", "top_hat"] = "mean",
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

    def gaussian(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a Gaussian. See `ops.gaussian`."""
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("gaussian", given, name)
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

    def invert(self, signed_float: bool = False, *, name: str | None = None) -> "Image":
        """Make bright what is dark. See `ops.invert`."""
        given: dict[str, Any] = {"signed_float": signed_float}
        made: Image = self._add("invert", given, name)
        return made

    def median(self: H, size: int = 3, *, name: str | None = None) -> H:
        """Replace each pixel by the median of the square (the cube) around it.

        See `ops.median`.
        """
        given: dict[str, Any] = {"size": size}
        made: H = self._add("median", given, name)
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

    def project(
        self,
        method: Literal["max", "mean", "min", "sum", "std"] = "max",
        *,
        axis: Literal["z"] = "z",
        name: str | None = None,
    ) -> "Image":
        """Project a volume along z. See `ops.project`."""
        given: dict[str, Any] = {"method": method, "axis": axis}
        made: Image = self._add("project", given, name)
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
        method: Literal["fixed", "otsu", "li", "triangle", "local"] = "otsu",
        *,
        value: float | None = None,
        block_size: int = 51,
        weights: Literal["gaussian", "mean", "median"] = "gaussian",
        offset: float = 0.0,
        name: str | None = None,
    ) -> "Mask":
        """Mark the pixels that are brighter than a threshold. See `ops.threshold`."""
        given: dict[str, Any] = {
            "method": method,
            "value": value,
            "block_size": block_size,
            "weights": weights,
            "offset": offset,
        }
        made: Mask = self._add("threshold", given, name)
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

    def binary_closing(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Fill background into which the disk (ball) does not fit.

        See `ops.binary_closing`.
        """
        given: dict[str, Any] = {"radius": radius}
        made: Mask = self._add("binary_closing", given, name)
        return made

    def binary_dilation(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Grow the foreground by a disk (in volumes by a ball).

        See `ops.binary_dilation`.
        """
        given: dict[str, Any] = {"radius": radius}
        made: Mask = self._add("binary_dilation", given, name)
        return made

    def binary_erosion(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Shrink the foreground by a disk (in volumes by a ball).

        See `ops.binary_erosion`.
        """
        given: dict[str, Any] = {"radius": radius}
        made: Mask = self._add("binary_erosion", given, name)
        return made

    def binary_opening(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Remove foreground into which the disk (ball) does not fit.

        See `ops.binary_opening`.
        """
        given: dict[str, Any] = {"radius": radius}
        made: Mask = self._add("binary_opening", given, name)
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

    def fill_holes(self, *, name: str | None = None) -> "Mask":
        """Fill the background that foreground encloses. See `ops.fill_holes`."""
        given: dict[str, Any] = {}
        made: Mask = self._add("fill_holes", given, name)
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


class Labels(Handle):
    """A label image per frame: uint32, 0 is background."""

    kind: Kind = "labels"

    def channel(self: H, channel: int | str = 0, *, name: str | None = None) -> H:
        """Choose one channel. See `ops.channel`."""
        given: dict[str, Any] = {"channel": channel}
        made: H = self._add("channel", given, name)
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
