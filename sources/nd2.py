"""Frames of Nikon's ND2 files, read by the package nd2."""

import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import Array, Frame, SourceInfo

from . import _recording
from ._colour import Choice

if TYPE_CHECKING:
    from nd2 import ND2File

#: What the package raises on files that are damaged or none of Nikon's.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    AssertionError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
#: The Julian day on which the Unix epoch begins.
_EPOCH_DAY = 2440587.5


class Nd2(_recording.Recording["ND2File"]):
    """Read a Nikon ND2 file.

    Time points are frames, with axes c and z where the file has several channels
    and planes; one stage position is read, chosen with ``position``.

    Parameters
    ----------
    path
        An ND2 file.
    position
        Which stage position, from 0.
    color
        For colour cameras: ``gray`` (luma) or ``rgb`` (axis c first).
    channel
        Only this channel, by its number or name.
    pixel_size_um
        Micrometres per pixel (y and x); default: what the file says.
    fps
        Frames per second; default: by the times of the first and last frame.

    Raises
    ------
    SourceError
        A file that is missing, cut off or no ND2, an unknown position or channel.
    MissingDependency
        The package nd2 is not installed.

    Notes
    -----
    Times are those of a frame's first plane, UTC. Pixels are native, in the dtypes
    of `Files`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".nd2",)

    def __init__(
        self,
        path: str,
        *,
        position: Annotated[int, Ge(0)] = 0,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | str | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self._path = _recording.one_file(path)
        try:
            self.info = self._describe(position, (color, channel), pixel_size_um, fps)
        except _DAMAGE as error:
            self.close()
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{path} cannot be read as ND2: {one_line(error)}; is it complete?"
            ) from None

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or one that cannot be decoded.
        """
        _recording.within(index, self.info.frames)
        pixels, _ = self._pixels(index)
        time, metadata = self._told(index)
        return Frame(pixels, index, time, metadata)

    def _describe(
        self,
        position: int,
        choice: tuple[Literal["gray", "rgb"], int | str | None],
        pixel_size_um: float | None,
        fps: float | None,
    ) -> SourceInfo:
        """Return what the file is; its first frame tells shape and dtype."""
        with self._lock:
            file = self._file()
            self._sizes = dict(file.sizes)
            places = self._sizes.get("P", 1)
            self._position = _recording.chosen(
                self._path.name, "position", position, places
            )
            self._planes = _planes(file, self._position)
            names = [c.channel.name for c in file.metadata.channels or ()]
            voxel = file.voxel_size()._asdict() if file.metadata.channels else {}
            metadata = _metadata(file)
        self._choice = Choice(
            choice[0], _recording.channel_number(choice[1], names, self._path.name)
        )
        frames = len(self._planes)
        pixels, axes = _recording.first(self._pixels, frames, self._path.name)
        told, one = _recording.channels(names, axes, pixels.shape, self._choice.channel)
        size = self._path.stat().st_size
        content = (self._path.name, size, position, self._choice)
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=_recording.identity("nd2", content, pixels),
            frames=frames,
            random_access=True,
            pixel_size_um=_recording.pixel_size(voxel, pixel_size_um, axes),
            fps=fps or self._rate(),
            channels=told,
            metadata={"file": self._path.name, "positions": places, **metadata, **one},
        )

    def _file(self) -> "ND2File":
        """Return the open file; only with the lock."""
        if self._open is None:
            try:
                from nd2 import ND2File
            except ImportError:
                raise MissingDependency(
                    "source 'nd2' needs the package nd2: "
                    "pip install 'streamproc[microscopy]'"
                ) from None
            opened = ND2File(self._path)
            return self._keep(opened, opened.close)
        return self._open

    def _pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes."""
        planes, sizes = self._planes[index], self._sizes
        shape = [sizes.get(axis, 1) for axis in "CYXS"]
        depth = sizes.get("Z", 1)
        missing = set(range(depth)) - set(planes)
        if missing:
            raise FrameError(f"frame {index} has no plane z={min(missing)}")
        import numpy as np

        stack: Array | None = None
        # one reader: the package seeks in one file, and views its memory map
        with self._lock:
            file = self._file()
            for z in range(depth):
                plane = _plane(file, planes[z], index).reshape(shape)
                if stack is None:
                    stack = np.empty((depth, *shape), plane.dtype)
                stack[z] = plane
        assert stack is not None
        return _recording.arranged(stack, "zcyxs", self._choice, self._path.name)

    def _told(self, index: int) -> tuple[float | None, dict[str, Any]]:
        """Return the time of a frame's first plane, and where the stage was."""
        with self._lock:
            try:
                told = self._file().frame_metadata(self._planes[index].get(0, 0))
            except _DAMAGE:
                return None, {}
        channels = getattr(told, "channels", None)
        if not channels:
            return None, {}
        day = getattr(channels[0].time, "absoluteJulianDayNumber", 0) or 0
        stage = getattr(channels[0].position, "stagePositionUm", None)
        where: dict[str, Any] = {}
        if stage is not None:
            where = {f"position_{a}": float(getattr(stage, a)) for a in "xyz"}
            where["position_unit"] = "µm"
        # files without a clock hold day 0
        return (day - _EPOCH_DAY) * 86400 if day > _EPOCH_DAY else None, where

    def _rate(self) -> float | None:
        """Return frames per second by the times of the first and last frame."""
        last = len(self._planes) - 1
        begin, end = self._told(0)[0], self._told(last)[0]
        if last < 1 or begin is None or end is None or end <= begin:
            return None
        return last / (end - begin)


def _planes(file: "ND2File", position: int) -> list[dict[int, int]]:
    """Return the file's own numbers of the planes of each frame, by z."""
    loops = file.loop_indices or ({},)
    found: dict[tuple[tuple[str, int], ...], dict[int, int]] = {}
    for number, at in enumerate(loops):
        if at.get("P", 0) == position:
            moment = tuple((a, i) for a, i in sorted(at.items()) if a not in "PZC")
            found.setdefault(moment, {})[at.get("Z", 0)] = number
    return [found[moment] for moment in sorted(found)]


def _plane(file: "ND2File", number: int, index: int) -> Array:
    """Return one plane with all channels, as the file holds it."""
    try:
        plane: Array = file.read_frame(number)
    except _DAMAGE as error:
        raise FrameError(
            f"frame {index} cannot be decoded: {one_line(error)}"
        ) from None
    # the package gives zeros for a plane that an acquisition never reached
    places: Mapping[int, int] | None = getattr(file._rdr, "_frame_offsets", None)
    if places is not None and not plane.any() and number not in places:
        raise FrameError(f"frame {index} was never written")
    return plane


def _metadata(file: "ND2File") -> dict[str, Any]:
    """Return plain values of the microscope."""
    told: dict[str, Any] = {"format": "nd2 " + ".".join(map(str, file.version))}
    date = (file.text_info or {}).get("date")
    if date:
        told["date"] = date
    channels = getattr(file.metadata, "channels", None)
    scope = channels[0].microscope if channels else None
    for name in ("objectiveName", "objectiveMagnification"):
        value = getattr(scope, name, None)
        if value:
            told["objective" if name == "objectiveName" else "magnification"] = value
    return told
