"""What every image of a folder is: told by the first one, or known before it comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamproc.errors import ConfigError, SourceError, nearest, one_line
from streamproc.frame import trailing_axes

from . import _pixels, _recording
from ._image_files import ImageFiles


@dataclass(frozen=True, slots=True)
class Expectation:
    """Shape, dtype and meaning of every frame.

    ``planes`` are the texts of c and z of which each is stacked, ``told`` is what else
    the first image says.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    channels: tuple[str, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    planes: tuple[tuple[str, ...], ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, images: ImageFiles, name: str) -> "Expectation":
        """Return what the first frame of some files says.

        Raises
        ------
        StreamprocError
            It cannot be read, or has no pixels.
        """
        pixels, axes = images.pixels(0)
        layout = images.layout(0)
        if 0 in pixels.shape:
            raise SourceError(f"{name} has frames without pixels")
        channels, one = _recording.channels(
            images.channels or (layout.channels if layout else ()),
            axes,
            pixels.shape,
            images.choice.channel,
        )
        sizes = layout.pixel_size_um if layout else {}
        told = {"first_file": name, **one}
        return cls(pixels.shape, pixels.dtype, axes, channels, sizes, (), told)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "Expectation":
        """Return what a user, or `form`, says.

        Raises
        ------
        ConfigError
            It makes no sense.
        """
        known = {"shape", "dtype", "axes", "channels", "pixel_size_um", "planes"}
        for name in given:
            if name not in known:
                raise ConfigError(f"expect has no {name!r}{nearest(name, known)}")
        try:
            shape = tuple(int(size) for size in given["shape"])
            made = cls(
                shape=shape,
                dtype=_pixels.target(np.dtype(given["dtype"])),
                axes=str(given.get("axes", trailing_axes(len(shape), "yx"))),
                channels=tuple(map(str, given.get("channels", ()))),
                pixel_size_um={
                    str(axis): float(size)
                    for axis, size in given.get("pixel_size_um", {}).items()
                },
                planes=tuple(tuple(map(str, p)) for p in given.get("planes", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError, SourceError) as error:
            raise ConfigError(
                "expect must be such as {shape: [512, 512], dtype: uint16}, "
                f"got {given} ({one_line(error)})"
            ) from None
        if len(made.axes) != len(shape) or min(shape, default=0) < 1:
            raise ConfigError(f"expect: the axes {made.axes} do not fit shape {shape}")
        return made

    def form(self, planes: list[tuple[str, ...]]) -> dict[str, Any]:
        """Return what `parse` takes, with the planes that were learned."""
        made: dict[str, Any] = {
            "shape": list(self.shape),
            "dtype": str(self.dtype),
            "axes": self.axes,
            "channels": list(self.channels),
            "pixel_size_um": dict(self.pixel_size_um),
        }
        return {**made, "planes": [list(plane) for plane in planes]} if planes else made
