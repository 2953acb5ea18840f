"""What readers of ffmpeg's pictures share."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from streamproc.errors import one_line
from streamproc.frame import Array

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter


def pixels(
    picture: "VideoFrame",
    reformatter: "VideoReformatter",
    color: Literal["gray", "rgb"],
    channel: int | None,
) -> Array:
    """Return a decoded picture's pixels: gray, red, green and blue, or one of them.

    Gray is the decoder's own, 16 bit where a sample has more than 8; colours have
    8 bit, axis c first.
    """
    if color == "rgb" or channel is not None:
        rgb = reformatter.reformat(picture, format="rgb24").to_ndarray()
        chosen = np.moveaxis(rgb, 2, 0) if channel is None else rgb[..., channel]
        return np.ascontiguousarray(chosen)
    deep = any(part.bits > 8 for part in picture.format.components)
    name = "gray16le" if deep else "gray"
    gray = reformatter.reformat(picture, format=name).to_ndarray()
    return np.ascontiguousarray(gray, dtype=gray.dtype.newbyteorder("="))


def reason(error: Exception) -> str:
    """Return ffmpeg's words for an error."""
    return str(getattr(error, "strerror", "") or one_line(error)).lower()
