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

    def gaussian(
        self, sigma: float | Sequence[float] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a Gaussian. See `ops.gaussian`."""
        given: dict[str, Any] = {"sigma": sigma}
        made: Image = self._add("gaussian", given, name)
        return made

    def median(self: H, size: int = 3, *, name: str | None = None) -> H:
        """Replace each pixel by the median of the square (the cube) around it.

        See `ops.median`.
        """
        given: dict[str, Any] = {"size": size}
        made: H = self._add("median", given, name)
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
