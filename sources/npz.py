"""Frames of NumPy's archives, .npz."""

import struct
import zipfile
import zlib
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt

from streamproc.errors import SourceError, nearest, one_line
from streamproc.frame import Array, Frame, SourceInfo

from . import _ngff, _recording
from ._colour import Choice

_DAMAGE = (OSError, ValueError, EOFError, struct.error, zipfile.BadZipFile, zlib.error)


class Npz(_recording.Recording[Array]):
    """Read a stack of images from a .npz file of NumPy.

    The array is held in memory.

    Parameters
    ----------
    path
        A .npz file.
    array
        Which array of the file; default: the only one.
    axes
        One letter of ``tczyx`` per dimension; default: yx, tyx or tczyx.
    channel
        Only this channel.
    pixel_size_um
        Micrometres per pixel (y and x).
    fps
        Frames per second.

    Raises
    ------
    SourceError
        A file that is missing, cut off or no archive, several arrays of which none is
        chosen, axes that do not fit.

    Notes
    -----
    Pixels are native, in the dtypes of `Files`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def __init__(
        self,
        path: str,
        *,
        array: str | None = None,
        axes: str | None = None,
        channel: Annotated[int, Ge(0)] | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self._path, self._name = _recording.one_file(path), array
        stack = self._opened()
        self._axes = _ngff.checked(
            axes or _ngff.usual(stack.ndim, path), stack.ndim, path
        )
        sizes = dict(zip(self._axes, stack.shape, strict=True))
        if channel is not None:
            _recording.chosen(path, "channel", channel, sizes.get("c", 1))
        if 0 in stack.shape:
            raise SourceError(f"{path} holds no pixels: its shape is {stack.shape}")
        self._channel, self._fps = channel, fps
        frames = sizes.get("t", 1)
        pixels, made = _recording.first(self._pixels, frames, path)
        content = (self._path.name, array, stack.shape, self._axes, channel)
        self.info = SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=made,
            identity=_recording.identity("npz", content, pixels),
            frames=frames,
            random_access=True,
            pixel_size_um=_recording.pixel_size({}, pixel_size_um, made),
            fps=fps,
            metadata={"file": self._path.name, **({"array": array} if array else {})},
        )

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or pixels that its dtype does not hold.
        """
        _recording.within(index, self.info.frames)
        time = None if self._fps is None else index / self._fps
        return Frame(self._pixels(index)[0], index, time)

    def _opened(self) -> Array:
        """Return the whole array, as stored."""
        with self._lock:
            if self._open is None:
                try:
                    self._open = self._loaded()
                except _DAMAGE as error:
                    if isinstance(error, SourceError):
                        raise
                    raise SourceError(
                        f"{self._path} cannot be read as .npz: {one_line(error)}; "
                        "is it complete?"
                    ) from None
            return self._open

    def _loaded(self) -> Array:
        with self._path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("it is one array, no archive")
            names = list(found.files)
            if self._name is None and len(names) != 1:
                raise SourceError(
                    f"{self._path} holds {len(names)} arrays ({', '.join(names)}); "
                    "choose one with array"
                )
            name = self._name or names[0]
            if name not in names:
                raise SourceError(
                    f"{self._path} has no array {name!r}{nearest(name, names)}"
                )
            return np.asarray(found[name])

    def _pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes."""
        at = {"t": index} | ({} if self._channel is None else {"c": self._channel})
        where = tuple(at.get(axis, slice(None)) for axis in self._axes)
        left = "".join(axis for axis in self._axes if axis not in at)
        # a copy: a view would keep the whole file in memory
        image = np.array(self._opened()[where])
        return _recording.arranged(image, left, Choice(), self._path.name)
