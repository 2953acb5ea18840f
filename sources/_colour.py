"""Colour samples of one image made into the channels that were asked for."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamproc.errors import SourceError
from streamproc.frame import Array

Color = Literal["gray", "rgb"]

#: ITU-R 601 luma weights of red, green and blue.
LUMA = (0.299, 0.587, 0.114)
_LUMA_THOUSANDTHS = (299, 587, 114)


def luma(red: Array, green: Array, blue: Array) -> Array:
    """Return 0.299 R + 0.587 G + 0.114 B in the dtype of ``red``.

    Integers are computed exactly and rounded half up; floats are not rounded.
    """
    dtype = red.dtype
    if dtype.kind == "f":
        r, g, b = LUMA
        return np.asarray(r * red + g * green + b * blue, dtype=dtype)
    wide: np.dtype[Any] = np.dtype(np.int32 if dtype.itemsize <= 2 else np.int64)
    total = np.full(red.shape, 500, dtype=wide)
    for weight, part in zip(_LUMA_THOUSANDTHS, (red, green, blue), strict=True):
        total += np.multiply(part, weight, dtype=wide, casting="unsafe")
    total //= 1000
    return total.astype(dtype)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of an image's samples are wanted.

    ``gray`` makes one luma image of red, green and blue (an alpha sample is ignored),
    ``rgb`` gives them as axis c first, ``channel`` is one sample as stored.
    """

    color: Color = "gray"
    channel: int | None = None

    def axes(self, axes: str, shape: tuple[int, ...], what: str) -> str:
        """Return the axes after `apply`, for an image of ``axes`` within ``czyxs``.

        Raises
        ------
        SourceError
            The image has no such channel, or no colours.
        """
        sizes = dict(zip(axes, shape, strict=True))
        stored = sizes.get("c", 1) * sizes.get("s", 1)
        spatial = axes.replace("s", "")
        if self.channel is not None:
            if not 0 <= self.channel < stored:
                raise SourceError(
                    f"{what} has {stored} channel{'s' * (stored > 1)}, so channel "
                    f"must be from 0 to {stored - 1}, got {self.channel}"
                )
            return spatial.replace("c", "")
        if self.color == "rgb":
            if sizes.get("s", 1) < 3 or "c" in axes:
                raise SourceError(
                    f"{what} has no red, green and blue samples, got color: rgb; "
                    "leave color out"
                )
            return "c" + spatial
        if sizes.get("s", 1) > 4:
            raise SourceError(
                f"{what} has {sizes['s']} samples per pixel, which are no colours; "
                "choose one with channel: n"
            )
        return spatial

    def apply(self, image: Array, axes: str) -> Array:
        """Return the chosen samples of an image with ``axes`` within ``czyxs``."""
        if self.channel is not None:
            return self._one(image, axes)
        if "s" not in axes:
            return image
        red, *rest = np.moveaxis(image, axes.index("s"), 0)
        if self.color == "rgb":
            return np.stack([red, *rest[:2]])
        return luma(red, *rest[:2]) if len(rest) >= 2 else red

    def _one(self, image: Array, axes: str) -> Array:
        samples = "s" in axes
        if samples:
            image = np.moveaxis(image, axes.index("s"), -1)
        channels = "c" in axes
        if channels:
            image = np.moveaxis(image, axes.replace("s", "").index("c"), 0)
        index = self.channel or 0
        size = image.shape[-1] if samples else 1
        if channels:
            image = image[index // size]
        return image[..., index % size] if samples else image
