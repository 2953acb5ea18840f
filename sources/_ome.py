"""What OME-XML says: where the planes are, how large and when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ._calibration import epoch, micrometres, seconds


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a plane is: a page of this file, or of another in the same folder."""

    page: int
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an OME file.

    ``axes`` and ``shape`` are those of its planes (``TZC`` in the file's order,
    slowest first), ``planes`` their places in that order, None where none is told.
    """

    axes: str
    shape: tuple[int, ...]
    planes: tuple[Plane | None, ...]
    pixel_size_um: dict[str, float] = field(default_factory=dict)
    fps: float | None = None
    #: names along C, empty where not every channel has one
    channels: tuple[str, ...] = ()
    start: float | None = None
    #: seconds after the start, and other values, by frame
    delta: dict[int, float] = field(default_factory=dict)
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)


def parse(xml: str, pages: int) -> list[Image]:
    """Return the images that OME-XML describes; none where it cannot be used."""
    try:
        root = ElementTree.fromstring(xml)
        uuid = root.get("UUID")
        return [
            _image(image, pixels, uuid, pages)
            for image in _children(root, "Image")
            for pixels in _children(image, "Pixels")
        ]
    except (ElementTree.ParseError, KeyError, ValueError):
        return []


def _children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _image(
    image: ElementTree.Element,
    pixels: ElementTree.Element,
    uuid: str | None,
    pages: int,
) -> Image:
    """Return one image."""
    axes = "".join(reversed(pixels.attrib["DimensionOrder"]))[:3]
    sizes = {axis: int(pixels.attrib["Size" + axis]) for axis in axes}
    samples = [int(c.get("SamplesPerPixel", 1)) for c in _children(pixels, "Channel")]
    if samples and samples[0] > 1:
        sizes["C"] = max(1, sizes["C"] // samples[0])
    shape = tuple(sizes[axis] for axis in axes)
    names = tuple(str(c.get("Name", "")) for c in _children(pixels, "Channel"))
    increment = seconds(
        pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
    )
    delta, notes = _timing(pixels)
    return Image(
        axes=axes,
        shape=shape,
        planes=_planes(pixels, axes, shape, uuid, pages),
        pixel_size_um=_pixel_size(pixels),
        fps=1 / increment if increment else None,
        channels=names if len(names) == sizes["C"] and all(names) else (),
        start=_acquired(image),
        delta=delta,
        notes=notes,
    )


def _planes(
    pixels: ElementTree.Element,
    axes: str,
    shape: tuple[int, ...],
    uuid: str | None,
    pages: int,
) -> tuple[Plane | None, ...]:
    """Return the place of every plane."""
    total = int(np.prod(shape))
    places: list[Plane | None] = [None] * total
    entries = list(_children(pixels, "TiffData"))
    for entry in entries:
        page = int(entry.get("IFD", 0))
        first = [int(entry.get("First" + axis, 0)) for axis in axes]
        plane = int(np.ravel_multi_index(first, shape))
        count = int(entry.get("PlaneCount", 1 if "IFD" in entry.attrib else 0))
        if count == 0:
            count = min(total - plane, max(1, pages - page))
        file = None
        for other in _children(entry, "UUID"):
            if uuid is None or other.text != uuid:
                file = other.get("FileName")
        for k in range(min(count, total - plane)):
            places[plane + k] = Plane(page + k, file)
    if not entries:
        places = [Plane(k) for k in range(total)]
    return tuple(places)


def _pixel_size(pixels: ElementTree.Element) -> dict[str, float]:
    known = {
        axis.lower(): micrometres(
            pixels.get("PhysicalSize" + axis),
            pixels.get(f"PhysicalSize{axis}Unit", "µm"),
        )
        for axis in "ZYX"
    }
    return {axis: size for axis, size in known.items() if size is not None}


def _acquired(image: ElementTree.Element) -> float | None:
    """Return when the acquisition began, in seconds since the epoch."""
    for name in ("AcquisitionDate", "AcquiredDate"):
        for date in _children(image, name):
            moment = epoch(date.text)
            if moment is not None:
                return moment
    return None


def _timing(
    pixels: ElementTree.Element,
) -> tuple[dict[int, float], dict[int, dict[str, Any]]]:
    """Return what is told of each frame's first plane."""
    delta: dict[int, float] = {}
    notes: dict[int, dict[str, Any]] = {}
    for plane in _children(pixels, "Plane"):
        if plane.get("TheZ", "0") != "0" or plane.get("TheC", "0") != "0":
            continue
        frame = int(plane.get("TheT", 0))
        if "DeltaT" in plane.attrib:
            unit = plane.get("DeltaTUnit", "s")
            value = float(plane.attrib["DeltaT"])
            delta[frame] = seconds(value, unit) or 0.0
        exposure = seconds(
            plane.get("ExposureTime"), plane.get("ExposureTimeUnit", "s")
        )
        note: dict[str, Any] = {}
        if exposure is not None:
            note["exposure_ms"] = 1000 * exposure
        for name in ("PositionX", "PositionY", "PositionZ"):
            if name in plane.attrib:
                unit = plane.get(name + "Unit", "")
                note[f"position_{name[-1].lower()}"] = float(plane.attrib[name])
                note["position_unit"] = unit or "reference frame"
        if note:
            notes[frame] = note
    return delta, notes
