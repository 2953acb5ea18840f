"""What OME-Zarr says: where the images are; their axes, sizes, channels, times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from streamproc.errors import SourceError, nearest

from . import _calibration, _recording

if TYPE_CHECKING:
    import zarr

_LONG = {"time": "t", "channel": "c"}
#: Axes of arrays that name none, by their number.
_USUAL = {2: "yx", 3: "tyx", 5: "tczyx"}
#: How many images of a collection a message names.
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Described:
    """One array and what is known of it; ``axes`` has a letter per dimension."""

    axes: str
    path: str = ""
    pixel_size_um: Mapping[str, float | None] = field(default_factory=dict)
    fps: float | None = None
    channels: Sequence[str] = ()


def own(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return OME's attributes: under ``ome`` since version 0.5."""
    found = attributes.get("ome", attributes)
    return found if isinstance(found, Mapping) else {}


def image(attributes: Mapping[str, Any], level: int, what: str) -> Described:
    """Return what the metadata of an OME-Zarr image says of one level.

    Raises
    ------
    SourceError
        No such level, or metadata that is not as the format has it.
    """
    try:
        scales = own(attributes)["multiscales"][0]
        datasets = scales["datasets"]
        which = _recording.chosen(what, "level", level, len(datasets))
        axes, units = _axes(scales.get("axes"))
        scale = [
            a * b
            for a, b in zip(
                _scale(scales, len(axes)),
                _scale(datasets[which], len(axes)),
                strict=True,
            )
        ]
        sizes = {
            axis: _calibration.micrometres(size, unit)
            for axis, size, unit in zip(axes, scale, units, strict=True)
        }
        seconds = [
            _calibration.seconds(size, unit)
            for axis, size, unit in zip(axes, scale, units, strict=True)
            if axis == "t" and unit
        ]
        return Described(
            axes=axes,
            path=str(datasets[which]["path"]),
            pixel_size_um=sizes,
            fps=1 / seconds[0] if seconds and seconds[0] else None,
            channels=_channels(attributes),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{what} has metadata that is no OME-Zarr image: "
            f"{type(error).__name__} {error}"
        ) from None


def _channels(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of channels: as OMERO has them, or as a run saved them."""
    omero = own(attributes).get("omero", {}).get("channels", ())
    if omero:
        return [str(c.get("label", i)) for i, c in enumerate(omero)]
    saved = attributes.get("streamproc")
    return list(map(str, saved.get("channels", ()))) if isinstance(saved, dict) else []


def plain(array: "zarr.Array[Any]", what: str) -> Described:
    """Return the axes of an array without OME metadata: by name, or as usual.

    Raises
    ------
    SourceError
        Neither its names nor their number tell.
    """
    names: Any = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    letters = [_LONG.get(str(n).lower(), str(n).lower()) for n in names if n]
    if len(letters) == array.ndim and set(letters) <= set("tczyx"):
        return Described("".join(letters))
    return Described(usual(array.ndim, what))


def usual(ndim: int, what: str) -> str:
    """Return the axes of an array by their number: yx, tyx or tczyx.

    Raises
    ------
    SourceError
        There is no usual meaning of so many.
    """
    if ndim not in _USUAL:
        raise SourceError(
            f"{what} has {ndim} dimensions without names; say which they are with "
            "axes, as in axes: tzyx"
        )
    return _USUAL[ndim]


def checked(axes: str, ndim: int, what: str) -> str:
    """Return the axes, if they are a plain subset of ``tczyx`` with y and x.

    Raises
    ------
    SourceError
        They are not, or are not as many as the array's dimensions.
    """
    letters = set(axes)
    if (
        len(axes) != ndim
        or len(letters) != ndim
        or not set("yx") <= letters <= set("tczyx")
    ):
        raise SourceError(
            f"{what} has {ndim} dimensions: axes must be as many different letters of "
            f"t, c, z, y, x with y and x, got {axes!r}"
        )
    return axes


def _axes(given: Sequence[Any] | None) -> tuple[str, list[str]]:
    """Return axes and units; before version 0.4 axes have no units, or no names."""
    if given is None:
        return "tczyx", [""] * 5
    axes = [a if isinstance(a, str) else str(a["name"]) for a in given]
    units = ["" if isinstance(a, str) else str(a.get("unit") or "") for a in given]
    letters = [_LONG.get(axis.lower(), axis.lower()) for axis in axes]
    if any(len(letter) != 1 for letter in letters):
        raise ValueError(f"with the axes {', '.join(axes)}")
    return "".join(letters), units


def _scale(owner: Mapping[str, Any], ndim: int) -> list[float]:
    """Return the scale that a multiscale or one of its levels tells."""
    for transformation in owner.get("coordinateTransformations", ()):
        if transformation.get("type") == "scale":
            return [float(size) for size in transformation["scale"]]
    return [1.0] * ndim


def choose(
    group: "zarr.Group", series: int | str | None, what: str
) -> "zarr.Array[Any] | zarr.Group":
    """Return the image of a group: the group itself, or one of its images.

    Raises
    ------
    SourceError
        There are several and none is chosen, or there is no such image.
    """
    import zarr

    if "multiscales" in own(group.attrs):
        if isinstance(series, str):
            return _member(group, series, [], what)
        if series:
            raise SourceError(f"{what} is one image, got series: {series}")
        return group
    names = _names(group)
    if isinstance(series, int):
        series = names[_recording.chosen(what, "series", series, len(names))]
    if series is None:
        if len(names) != 1:
            raise SourceError(
                f"{what} holds {_listed(names)}; choose one with series"
                if names
                else f"{what} holds no image"
            )
        series = names[0]
    node = _member(group, series, names, what)
    if isinstance(node, zarr.Array) or "multiscales" in own(node.attrs):
        return node
    return choose(node, None, f"{what}/{series}")


def _member(
    group: "zarr.Group", name: str, names: list[str], what: str
) -> "zarr.Array[Any] | zarr.Group":
    try:
        return group[name]
    except KeyError:
        known = nearest(name, names) if names else ""
        raise SourceError(f"{what} has no image {name!r}{known}") from None


def _names(group: "zarr.Group") -> list[str]:
    """Return the images of a collection, a plate or a well, in their order."""
    attributes = own(group.attrs)
    if "plate" in attributes:
        return [str(well["path"]) for well in attributes["plate"]["wells"]]
    if "well" in attributes:
        return [str(field["path"]) for field in attributes["well"]["images"]]
    if "bioformats2raw.layout" in attributes:
        series = own(group["OME"].attrs).get("series") if "OME" in group else None
        if series:
            return [str(name) for name in series]
    return sorted((n for n in group if n != "OME"), key=lambda n: (len(n), n))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
    return f"{len(names)} images ({shown})"


def times(group: "zarr.Group") -> tuple[float, ...]:
    """Return the frames' times of an image that a run saved.

    Raises
    ------
    SourceError
        The image was not saved: only its description is there.
    """
    own = group.attrs.get("streamproc")
    if not isinstance(own, dict):
        return ()
    if not own.get("saved", True):
        raise SourceError(
            f"the image {group.path or 'here'} was not saved; run again with it in save"
        )
    import zarr

    found = group.get("time")
    if not isinstance(found, zarr.Array):
        return ()
    return tuple(np.asarray(found[:], dtype=np.float64).tolist())
