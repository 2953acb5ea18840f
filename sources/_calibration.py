"""Pixel sizes, frame rates and dates, as files tell of them."""

import datetime
from collections.abc import Mapping
from typing import Any

_UM = {
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0}
_SECONDS |= {"ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_SECONDS |= {"millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9}
_SECONDS |= {"min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0}
#: Coarser "resolutions" (72 to 600 dpi) are meant for printers.
_FINEST_PRINT_UM = 20.0
_INCH, _CENTIMETRE = 2, 3


def micrometres(value: object, unit: str) -> float | None:
    """Return a length in micrometres, None where the unit or value is none."""
    factor = _UM.get(unit.strip().lower())
    return _positive(value, factor)


def seconds(value: object, unit: str) -> float | None:
    """Return a duration in seconds, None where the unit or value is none."""
    return _positive(value, _SECONDS.get(unit.strip().lower()))


def _positive(value: object, factor: float | None) -> float | None:
    number = _number(value) * (factor or 0.0)
    return number if 0 < number < float("inf") else None


def imagej_pixel_size(
    meta: Mapping[str, Any], tags: Mapping[str, Any]
) -> dict[str, float]:
    """Return the pixel size that ImageJ stores as unit, spacing and resolution."""
    unit = str(meta.get("unit", ""))
    known = {
        "z": micrometres(
            abs(_number(meta.get("spacing"))), str(meta.get("zunit", unit))
        ),
        "y": micrometres(_per(tags.get("YResolution")), str(meta.get("yunit", unit))),
        "x": micrometres(_per(tags.get("XResolution")), unit),
    }
    return {axis: size for axis, size in known.items() if size is not None}


def imagej_fps(meta: Mapping[str, Any]) -> float | None:
    """Return frames per second by ImageJ's frame interval (not its playing speed)."""
    interval = seconds(meta.get("finterval"), str(meta.get("tunit", "")))
    return 1 / interval if interval else None


def plain_pixel_size(tags: Mapping[str, Any]) -> dict[str, float]:
    """Return the pixel size of resolution tags that are too fine for a printer's."""
    unit = {_INCH: "inch", _CENTIMETRE: "cm"}.get(int(tags.get("ResolutionUnit") or 1))
    found = {}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        size = micrometres(_per(tags.get(name)), unit or "")
        if size is not None and size < _FINEST_PRINT_UM:
            found[axis] = size
    return found if len(found) == 2 else {}


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0


def _per(resolution: object) -> float | None:
    """Return units per pixel from a rational of pixels per unit."""
    try:
        numerator, denominator = map(float, resolution)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
    return denominator / numerator if numerator else None


def epoch(text: str | None) -> float | None:
    """Return an ISO 8601 date in seconds since the epoch; None if it is none.

    A date without a time zone counts as UTC.
    """
    try:
        moment = datetime.datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
