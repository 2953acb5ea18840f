"""Pictures that stay the same while a run goes on, from files."""

from collections.abc import Iterator
from contextlib import closing

from ..errors import ConfigError, SourceError, StreamprocError, one_line
from ..frame import Array, Frame, Source
from .background import mean_frame


def still(path: str) -> Array:
    """Return what a file shows, ``(y, x)`` in float64: the mean of its frames.

    Raises
    ------
    ConfigError
        It cannot be read, or is no gray picture.
    """
    from ..plugins import make_source

    try:
        with closing(make_source(path)) as source:
            if source.info.axes != "yx" or source.info.live:
                raise SourceError(
                    f"it has axes {source.info.axes!r}; give a file of gray pictures"
                )
            return mean_frame(_pixels(source))
    except StreamprocError as error:
        raise ConfigError(f"cannot use {path!r}: {one_line(error)}") from error


def _pixels(source: Source) -> Iterator[Array]:
    for frame in source.frames():
        if not isinstance(frame, Frame):
            raise SourceError("a frame of it cannot be read")
        yield frame.pixels
