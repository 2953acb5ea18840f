"""Frames of zarr arrays and OME-Zarr images, on this disk or far away."""

import datetime
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt

from streamproc.errors import (
    FrameError,
    MissingDependency,
    SourceError,
    StreamprocError,
    one_line,
)
from streamproc.frame import Array, Frame, SourceInfo

from . import _ngff, _recording
from ._colour import Choice

if TYPE_CHECKING:
    import zarr

#: Stores that obstore speaks to; fsspec has the others.
_OBJECT_STORES = ("http", "https", "s3", "gs", "az")
#: A store that does not answer is an error after this, not a wait without end.
_PATIENCE: dict[str, Any] = {
    "client_options": {"timeout": "30s", "connect_timeout": "10s", "allow_http": True},
    "retry_config": {
        "max_retries": 3,
        "retry_timeout": datetime.timedelta(seconds=30),
    },
}


class Zarr(_recording.Recording["zarr.Array[Any]"]):
    """Read a zarr array (versions 2 and 3) or an OME-Zarr image (0.1 to 0.5).

    Axis t is the frames, c and z are axes of a frame; those of length one are
    dropped. Chunks that are not there hold the fill
    value, as zarr has it, as long as the array itself is still there.

    Parameters
    ----------
    path
        A folder, or an address: s3://, gs://, az://, https://, or any of fsspec.
    series
        Which image of a collection or plate: its number, or its path within.
    level
        Which resolution, 0 being the finest.
    axes
        The array's axes where it does not tell them, or not rightly: ``tzyx``.
    channel
        Only this channel, by its number or name.
    pixel_size_um
        Micrometres per pixel (y and x); default: what the metadata says.
    fps
        Frames per second; default: what the metadata says.
    options
        For the remote store, by the names of obstore or fsspec:
        ``{skip_signature: true, region: eu-west-1}``. They are recorded with the run:
        keys and passwords belong in the environment, where the store finds them.

    Raises
    ------
    SourceError
        Nothing there, no zarr, several images of which none is chosen, an unknown
        series, level or channel, axes that do not fit; while reading, a store that
        is gone.
    MissingDependency
        The package for the address is not installed.

    Notes
    -----
    Images of a run are read with the times of their frames. Pixels are native, in
    the dtypes of `Files`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".zarr",)

    def __init__(
        self,
        path: str,
        *,
        series: Annotated[int, Ge(0)] | str | None = None,
        level: Annotated[int, Ge(0)] = 0,
        axes: str | None = None,
        channel: Annotated[int, Ge(0)] | str | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._path, self._options = path, options or {}
        try:
            array, described = self._found(series, level, axes)
        except StreamprocError:
            raise
        except Exception as error:  # each kind of store raises its own
            raise SourceError(
                f"{path} cannot be read as zarr: {_said(error)}"
            ) from None
        self._where = array.path
        self._stored = _ngff.checked(axes or described.axes, array.ndim, path)
        self._number = _recording.channel_number(channel, described.channels, path)
        self._check_channel(array)
        self.info = self._describe(array, described, pixel_size_um, fps)

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or one that cannot be decoded.
        SourceError
            The store is gone: nothing more of it can be read.
        """
        _recording.within(index, self.info.frames)
        pixels, _ = self._pixels(index)
        return Frame(pixels, index, self._time(index))

    def _found(
        self, series: int | str | None, level: int, axes: str | None
    ) -> tuple["zarr.Array[Any]", _ngff.Described]:
        """Return the array that was asked for, and what is said of it."""
        import zarr

        node = _open(self._path, self._options)
        self._times: tuple[float, ...] = ()
        if isinstance(node, zarr.Group):
            node = _ngff.choose(node, series, self._path)
        elif series is not None:
            raise SourceError(f"{self._path} is one array; leave series out")
        if isinstance(node, zarr.Array):
            if level:
                raise SourceError(
                    f"{self._path} is an array without levels, got level: {level}"
                )
            if axes is not None:
                return node, _ngff.Described(axes)
            return node, _ngff.plain(node, self._path)
        described = _ngff.image(node.attrs.asdict(), level, self._path)
        self._times = _ngff.times(node)
        array = node[described.path]
        if not isinstance(array, zarr.Array):
            raise SourceError(f"{self._path} has no array {described.path!r}")
        return array, described

    def _check_channel(self, array: "zarr.Array[Any]") -> None:
        """Raise `SourceError` where there is no such channel."""
        sizes = dict(zip(self._stored, array.shape, strict=True))
        if self._number is not None:
            _recording.chosen(self._path, "channel", self._number, sizes.get("c", 1))

    def _describe(
        self,
        array: "zarr.Array[Any]",
        described: _ngff.Described,
        pixel_size_um: float | None,
        fps: float | None,
    ) -> SourceInfo:
        """Return what the image is; its first frame tells that it can be read."""
        sizes = dict(zip(self._stored, array.shape, strict=True))
        frames = sizes.get("t", 1)
        if 0 in array.shape:
            raise SourceError(f"{self._path} has no frames yet: its shape is {sizes}")
        self._open = array
        pixels, axes = _recording.first(self._pixels, frames, self._path)
        self._fps = fps or described.fps
        told, one = _recording.channels(
            described.channels, axes, pixels.shape, self._number
        )
        name = self._path.rstrip("/").replace("\\", "/").rpartition("/")[2]
        content = (name, array.path, array.shape, self._stored, self._number)
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=_recording.identity("zarr", content, pixels),
            frames=frames,
            random_access=True,
            pixel_size_um=_recording.pixel_size(
                described.pixel_size_um, pixel_size_um, axes
            ),
            fps=self._fps,
            channels=told,
            metadata={
                "file": name,
                "array": array.path,
                "format": f"zarr {array.metadata.zarr_format}",
                "chunks": list(array.chunks),
                **one,
            },
        )

    def _opened(self) -> "zarr.Array[Any]":
        """Return the array, opened once per process."""
        with self._lock:
            if self._open is None:
                self._open = self._again()
            return self._open

    def _again(self) -> "zarr.Array[Any]":
        """Return the array, opened anew.

        Raises
        ------
        SourceError
            The store is gone.
        """
        import zarr

        try:
            node = _open(self._path, self._options)
            array = node[self._where] if isinstance(node, zarr.Group) else node
        except MissingDependency:
            raise
        except Exception as error:  # each kind of store raises its own
            raise SourceError(
                f"{self._path} is gone: {_said(error)}; resume when it is back"
            ) from None
        assert isinstance(array, zarr.Array)
        return array

    def _pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes."""
        array = self._opened()
        at = {"t": index}
        if self._number is not None:
            at["c"] = self._number
        where = tuple(at.get(axis, slice(None)) for axis in self._stored)
        left = "".join(axis for axis in self._stored if axis not in at)
        try:
            image = np.asarray(array[where])
        except Exception as error:  # each kind of store and codec raises its own
            self._again()
            raise FrameError(
                f"frame {index} cannot be decoded: {_said(error)}"
            ) from None
        # an empty chunk is what a store that is gone gives, too
        chunks = dict(zip(self._stored, array.chunks, strict=True))
        if _has_empty(image, [chunks[axis] for axis in left], array.fill_value):
            self._again()
        return _recording.arranged(image, left, Choice(), self._path)

    def _time(self, index: int) -> float | None:
        """Return the acquisition time of a frame, None where nothing tells it."""
        if index < len(self._times):
            return self._times[index] if math.isfinite(self._times[index]) else None
        return None if self._fps is None else index / self._fps


def _has_empty(image: Array, chunks: Sequence[int], empty: Any) -> bool:
    """Return whether a chunk of a frame holds nothing but the fill value."""
    steps = [range(0, n, size) for n, size in zip(image.shape, chunks, strict=True)]
    for begin in itertools.product(*steps):
        block = image[
            tuple(slice(at, at + n) for at, n in zip(begin, chunks, strict=True))
        ]
        # the first pixel tells nearly always
        if _is(block[(0,) * block.ndim], empty) and _is(block, empty).all():
            return True
    return False


def _is(pixels: Any, empty: Any) -> Any:  # truth, one or many
    """Compare with a fill value, which may be NaN, or absent (then it is 0)."""
    empty = 0 if empty is None else empty
    return pixels != pixels if empty != empty else pixels == empty


def _open(path: str, options: dict[str, Any]) -> "zarr.Array[Any] | zarr.Group":
    """Open what is at a path or address, for reading only."""
    import zarr

    try:
        return zarr.open(_store(path, options), mode="r")
    except FileNotFoundError:
        raise SourceError(f"{path} holds no zarr array or group") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} has broken metadata: {_said(error)}") from None


def _said(error: Exception) -> str:
    """Return an error in one line; obstore's goes on with its own structures."""
    return one_line(error).partition(" Debug source:")[0]


def _store(path: str, options: dict[str, Any]) -> Any:  # what zarr takes as a store
    scheme, separator, _ = path.partition("://")
    if not separator:
        folder = Path(path).expanduser()
        if not folder.exists():
            raise SourceError(f"no such folder: {path}")
        if not folder.is_dir():
            raise SourceError(f"{path} is a file; a zarr array is a folder")
        if options:
            raise SourceError(f"options are for remote stores; {path} is a folder")
        return folder
    try:
        if scheme in _OBJECT_STORES:
            from obstore.store import from_url
            from zarr.storage import ObjectStore

            patient = {k: {**v, **options.get(k, {})} for k, v in _PATIENCE.items()}
            return ObjectStore(from_url(path, **{**options, **patient}), read_only=True)
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(path, storage_options=options, read_only=True)
    except ImportError as error:
        raise MissingDependency(
            f"reading {path} needs the package {error.name or 'fsspec'}: "
            "pip install 'streamproc[remote]'"
        ) from None
