"""Images and label images as OME-TIFF, as Bio-Formats, QuPath and Fiji open it."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..frame import Array
from .saved import SavedImage

#: What OME has a name for, and TIFF readers read.
_DTYPES = "uint8 int8 uint16 int16 uint32 int32 float32 float64".split()  # noqa: SIM905
#: Offsets in a plain TIFF are 32 bits; some room for its directories.
_PLAIN = 2**32 - 2**26
_DIRECTORY = 1024
#: Intervals that differ by less of their mean are the same.
_JITTER = 1e-3


def write_image(image: SavedImage, path: Path, notes: list[str]) -> None:
    """Write all frames, one in memory at a time; label images are compressed.

    Frames without pixels are 0, which is said in ``notes`` and in the file.

    Raises
    ------
    ConfigError
        Its dtype is none of OME's.
    """
    import tifffile

    dtype = image.array.dtype
    if dtype.name not in _DTYPES:
        raise ConfigError(
            f"{image.name!r} is {dtype.name}, which OME-TIFF does not know; "
            "choose other images with --images and --labels"
        )
    shape = (len(image.frames), *image.shape)
    planes = math.prod(shape[:-2])
    size = math.prod(shape) * dtype.itemsize + planes * _DIRECTORY
    missing = _missing(image)
    if missing:
        notes.append(f"{image.name}: {missing}")
    with tifffile.TiffWriter(path, bigtiff=size > _PLAIN, ome=True) as writer:
        writer.write(
            _planes(image),
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib" if image.is_labels else None,
            metadata=_metadata(image, missing),
        )


def _planes(image: SavedImage) -> Iterator[Array]:
    for frame in image.frames:
        pixels = image.read(frame)
        yield from np.ascontiguousarray(pixels).reshape(-1, *pixels.shape[-2:])


def _missing(image: SavedImage) -> str:
    frames = image.missing
    if not frames:
        return ""
    named = ", ".join(map(str, frames[:5])) + (" …" if len(frames) > 5 else "")
    if len(frames) == 1:
        return f"frame {named} has no pixels and is 0 here"
    return f"{len(frames):,} frames have no pixels and are 0 here: {named}"


def _metadata(image: SavedImage, missing: str) -> dict[str, Any]:
    """Return what tifffile writes as OME-XML."""
    told: dict[str, Any] = {
        "axes": "T" + image.axes.upper(),
        "Creator": f"streamproc {version('streamproc')}",
        "Name": image.name,
    }
    for axis, size in image.pixel_size_um.items():
        told[f"PhysicalSize{axis.upper()}"] = size
        told[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if "c" in image.axes and image.channels:
        told["Channel"] = {"Name": list(image.channels)}
    if missing:
        told["Description"] = missing
    return told | _times(image)


def _times(image: SavedImage) -> dict[str, Any]:
    """Return the interval if it is even, else each plane's time after the first."""
    told: dict[str, Any] = {}
    if image.fps:
        told = {"TimeIncrement": 1 / image.fps, "TimeIncrementUnit": "s"}
    times = [image.times[frame] for frame in image.frames if frame in image.times]
    if len(times) < len(image.frames):
        return told
    if times[0] >= 86400:  # others count from the start of a recording
        began = datetime.fromtimestamp(times[0], UTC).replace(microsecond=0)
        told["AcquisitionDate"] = began.replace(tzinfo=None).isoformat()
    steps = [later - earlier for earlier, later in pairwise(times)]
    if not steps:
        return told
    mean = (times[-1] - times[0]) / len(steps)
    if mean > 0 and max(abs(step - mean) for step in steps) <= _JITTER * mean:
        return told | {"TimeIncrement": mean, "TimeIncrementUnit": "s"}
    planes = math.prod(image.shape[:-2])
    after = [round(t - times[0], 6) for t in times for _ in range(planes)]
    return told | {"Plane": {"DeltaT": after, "DeltaTUnit": ["s"] * len(after)}}
