"""Where the pixels of a step's result lie: axes, shape, pixel sizes, origin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .frame import SourceInfo


@dataclass(frozen=True, slots=True)
class Grid:
    """Axes and shape of an image, and the places of its pixels in the source.

    ``size`` maps the spatial axes to the distance of two pixels, ``origin`` to the
    place of the first one: micrometres where the source tells them (``known``), else
    pixels of the source.
    """

    axes: str
    shape: tuple[int, ...]
    size: Mapping[str, float] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    @classmethod
    def of(cls, info: SourceInfo) -> "Grid":
        """Return that of a source."""
        size = {a: float(info.pixel_size_um.get(a, 1.0)) for a in info.axes if a != "c"}
        return cls(
            info.axes,
            info.shape,
            size,
            dict.fromkeys(size, 0.0),
            frozenset(info.pixel_size_um) & frozenset(size),
        )

    @property
    def spatial(self) -> str:
        """The axes without that of channels."""
        return self.axes.replace("c", "")

    @property
    def pixel_size_um(self) -> dict[str, float]:
        """The known sizes."""
        return {a: s for a, s in self.size.items() if a in self.known}

    def length(self, axis: str) -> int:
        """Return how many pixels it has along an axis."""
        return self.shape[self.axes.index(axis)]

    def without(self, axis: str) -> "Grid":
        """Return what is left when an axis is gone."""
        at = self.axes.index(axis)
        return replace(
            self,
            axes=self.axes.replace(axis, ""),
            shape=self.shape[:at] + self.shape[at + 1 :],
            size={a: s for a, s in self.size.items() if a != axis},
            origin={a: o for a, o in self.origin.items() if a != axis},
            known=self.known - {axis},
        )

    def with_shape(self, lengths: Mapping[str, int]) -> "Grid":
        """Return it with other lengths of some axes."""
        shape = tuple(
            lengths.get(a, n) for a, n in zip(self.axes, self.shape, strict=True)
        )
        return replace(self, shape=shape)

    def sampled(self, step: Mapping[str, float], start: Mapping[str, float]) -> "Grid":
        """Return every ``step``-th place from ``start`` on, both in pixels."""
        size = {a: s * step.get(a, 1.0) for a, s in self.size.items()}
        origin = {
            a: o + start.get(a, 0.0) * self.size[a] for a, o in self.origin.items()
        }
        return replace(self, size=size, origin=origin)

    def turned(self, matrix: Sequence[Sequence[float]]) -> "Grid":
        """Return it with other directions: the content is moved on purpose.

        A step along an axis of the result is a column of ``matrix`` in the image:
        its length is the new pixel size. The origin is 0.
        """
        axes = self.spatial[-len(matrix) :]
        size = {
            a: math.hypot(
                *(row[n] * self.size[b] for b, row in zip(axes, matrix, strict=True))
            )
            for n, a in enumerate(axes)
        }
        return replace(
            self,
            size={**self.size, **size},
            origin=dict.fromkeys(self.origin, 0.0),
        )
