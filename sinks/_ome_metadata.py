"""What OME-Zarr 0.5 says about images: groups, axes, scales."""

from collections.abc import Sequence
from typing import Any

from streamproc.frame import SourceInfo
from streamproc.grid import Grid
from streamproc.store.layout import ArrayLayout

from ._encoder import Encoder

VERSION = "0.5"
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def group(ome: dict[str, Any], extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the zarr.json of a group; ``extra`` is kept beside what OME defines."""
    attributes: dict[str, Any] = {"ome": ome}
    if extra:
        attributes["streamproc"] = extra
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def image(
    encoder: Encoder, layouts: Sequence[ArrayLayout], info: SourceInfo
) -> dict[str, Any]:
    """Return the metadata of an image or label image with these levels.

    Parameters
    ----------
    encoder
        Of the output.
    layouts
        Of its levels, the full size first.
    info
        Of the source, for the frame rate.
    """
    ome: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [_multiscale(encoder, layouts, info)],
    }
    if encoder.kind != "image":
        ome["image-label"] = {"version": VERSION, "source": {"image": "../../"}}
    return ome


def _multiscale(
    encoder: Encoder, layouts: Sequence[ArrayLayout], info: SourceInfo
) -> dict[str, Any]:
    grid, letters = encoder.grid or Grid.of(info), layouts[0].axes
    axes: list[dict[str, str]] = []
    for axis in "t" + letters:
        described = {"name": axis, "type": _TYPES[axis]}
        if axis == "t" and info.fps:
            described["unit"] = "second"
        elif axis in grid.known:
            described["unit"] = "micrometer"
        axes.append(described)
    datasets = []
    for layout in layouts:
        level = int(layout.name.rpartition("/")[2])
        scale = [1 / info.fps if info.fps else 1.0]
        shift = [0.0]
        for axis in letters:
            factor = 2**level if axis in "yx" else 1
            pixel = grid.size.get(axis, 1.0)
            scale.append(pixel * factor)
            # the mean of 2 x 2 lies between them, a label is one of them
            between = pixel * (factor - 1) / 2 if encoder.kind == "image" else 0.0
            shift.append(grid.origin.get(axis, 0.0) + between)
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            steps.append({"type": "translation", "translation": shift})
        path = str(level)
        datasets.append({"path": path, "coordinateTransformations": steps})
    return {
        "name": encoder.name,
        "axes": axes,
        "datasets": datasets,
        "type": "mean" if encoder.kind == "image" else "decimation",
    }
