"""Frames of Zeiss' CZI files, read by the package czifile."""

import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from xml.etree import ElementTree

import numpy as np
from annotated_types import Ge, Gt

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import Array, Frame, SourceInfo

from . import _calibration, _recording
from ._colour import Choice

if TYPE_CHECKING:
    from czifile import CziFile  # type: ignore[import-untyped]  # untyped
    from czifile.czifile import DirectoryEntryDV, SubBlockSegment  # type: ignore[import-untyped]  # untyped

#: What the package raises on files that are damaged or none of Zeiss'.
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
    ElementTree.ParseError,
)
_ZSTD, _ZSTD_PACKED = 5, 6
#: Dimensions that are read; of all others a file may have one value.
_KNOWN = "STZCMYX0"


class Czi(_recording.Recording["CziFile"]):
    """Read a Zeiss CZI file.

    Time points are frames, with axes c and z where the file has several channels
    and planes; tiles of a mosaic are put together. One scene is read, chosen with
    ``scene``.

    Parameters
    ----------
    path
        A CZI file.
    scene
        Which scene (one of several images in the file), from 0.
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
        A file that is missing, cut off or no CZI, an unknown scene or channel, or
        dimensions that are no time, channel or space.
    MissingDependency
        The package czifile is not installed.

    Notes
    -----
    Stored, LZW and Zstandard images need nothing more; JPEG and JPEG XR need
    imagecodecs (``streamproc[codecs]``). Reduced levels are not read. Pixels are
    native, in the dtypes of `Files`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".czi",)

    def __init__(
        self,
        path: str,
        *,
        scene: Annotated[int, Ge(0)] = 0,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | str | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self._path = _recording.one_file(path)
        try:
            self.info = self._describe(scene, (color, channel), pixel_size_um, fps)
        except (*_DAMAGE, _damage()) as error:
            self.close()
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{path} cannot be read as CZI: {one_line(error)}; is it complete?"
            ) from None

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or one that is missing or cannot be decoded.
        """
        _recording.within(index, self.info.frames)
        pixels, _ = self._pixels(index)
        return Frame(pixels, index, self._time(index))

    def _describe(
        self,
        scene: int,
        choice: tuple[Literal["gray", "rgb"], int | str | None],
        pixel_size_um: float | None,
        fps: float | None,
    ) -> SourceInfo:
        """Return what the file is; its first frame tells shape and dtype."""
        name = self._path.name
        file = self._file()
        entries = dict(enumerate(file.subblock_directory))
        scenes = sorted({_start(entry).get("S", 0) for entry in entries.values()})
        which = scenes[_recording.chosen(name, "scene", scene, len(scenes))]
        self._index(name, which, entries)
        told = ElementTree.fromstring(file.metadata(raw=True))
        names = [
            str(c.get("Name") or c.get("Id"))
            for c in told.iterfind(".//Image/Dimensions/Channels/Channel")
        ]
        number = _recording.channel_number(choice[1], names, name)
        self._choice = Choice(choice[0], number)
        self._begin = _acquired(told)
        self._stamps = self._time_stamps(file)
        pixels, axes = _recording.first(self._pixels, self._frames, name)
        channels, one = _recording.channels(names, axes, pixels.shape, number)
        content = (name, self._path.stat().st_size, scene, self._choice)
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=_recording.identity("czi", content, pixels),
            frames=self._frames,
            random_access=True,
            pixel_size_um=_recording.pixel_size(_scaling(told), pixel_size_um, axes),
            fps=fps or self._rate(),
            channels=channels,
            metadata={"file": name, "scenes": len(scenes), **_microscope(told), **one},
        )

    def _file(self) -> "CziFile":
        """Return the open file, whose reads exclude each other."""
        with self._lock:
            if self._open is None:
                try:
                    from czifile import CziFile
                except ImportError:
                    raise MissingDependency(
                        "source 'czi' needs the package czifile: "
                        "pip install 'streamproc[microscopy]'"
                    ) from None
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    opened = CziFile(str(self._path))
                self._keep(opened, opened.close)
                opened._fh.lock = True
                if not opened.header.directory_position:
                    raise SourceError(
                        f"{self._path} was not finished: it has no directory of "
                        "its images; save it again with the microscope's software"
                    )
            return self._open

    def _index(
        self, name: str, scene: int, entries: "dict[int, DirectoryEntryDV]"
    ) -> None:
        """Find the blocks of one scene: their place in the file by (t, z, c)."""
        self._blocks: dict[tuple[int, int, int], list[int]] = {}
        low, high = [2**62, 2**62], [-(2**62), -(2**62)]
        other: dict[str, set[int]] = {}
        values: dict[str, set[int]] = {"T": {0}, "Z": {0}, "C": {0}}
        for number, entry in entries.items():
            start, size = _start(entry), dict(zip(entry.axes, entry.shape, strict=True))
            if entry.pyramid_type or start.get("S", 0) != scene:
                continue
            for axis in set(entry.axes) - set(_KNOWN):
                other.setdefault(axis, set()).add(start[axis])
            at = [start.get(axis, 0) for axis in "TZC"]
            for axis, value in zip("TZC", at, strict=True):
                values[axis].add(value)
            self._blocks.setdefault((at[0], at[1], at[2]), []).append(number)
            low = [min(a, start[b]) for a, b in zip(low, "YX", strict=True)]
            ends = [start[axis] + size[axis] for axis in "YX"]
            high = [max(a, b) for a, b in zip(high, ends, strict=True)]
        several = sorted(axis for axis, found in other.items() if len(found) > 1)
        if several:
            raise SourceError(
                f"{name} has several values of the dimension {several[0]}, which is "
                "no time, channel or space; save one of them as a file of its own"
            )
        self._origin = (low[0], low[1])
        self._shape = (high[0] - low[0], high[1] - low[1])
        self._frames, self._depth, self._count = (max(values[a]) + 1 for a in "TZC")

    def _pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes."""
        planes = [
            self._plane(index, z, c)
            for c in range(self._count)
            for z in range(self._depth)
        ]
        stack = np.stack(planes).reshape(self._count, self._depth, *planes[0].shape)
        return _recording.arranged(stack, "czyxs", self._choice, self._path.name)

    def _plane(self, t: int, z: int, c: int) -> Array:
        """Return one plane ``(y, x, sample)``, put together of its tiles."""
        blocks = self._blocks.get((t, z, c))
        if not blocks:
            raise FrameError(f"frame {t} has no image of z={z}, c={c}: never written")
        file = self._file()
        plane: Array | None = None
        try:
            entries = [file.subblock_directory[number] for number in blocks]
            for entry in sorted(entries, key=lambda e: e.mosaic_index or 0):
                tile = _decoded(entry)
                start = _start(entry)
                y, x = start["Y"] - self._origin[0], start["X"] - self._origin[1]
                if plane is None:
                    plane = np.zeros((*self._shape, tile.shape[2]), tile.dtype)
                plane[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        except (*_DAMAGE, _damage()) as error:
            if isinstance(error, FrameError):
                raise
            raise FrameError(
                f"frame {t} cannot be decoded: {one_line(error)}"
            ) from None
        assert plane is not None
        return plane

    def _time_stamps(self, file: "CziFile") -> tuple[float, ...]:
        """Return seconds after the start by frame; empty where not all are told."""
        if not file.header.attachment_directory_position:
            return ()
        for attachment in file.attachments():
            if attachment.attachment_entry.name == "TimeStamps":
                stamps = tuple(float(stamp) for stamp in attachment.data())
                return stamps if len(stamps) == self._frames else ()
        return ()

    def _time(self, index: int) -> float | None:
        """Return the acquisition time of a frame, None where nothing tells it."""
        if self._begin is None or not self._stamps:
            return None
        return self._begin + self._stamps[index]

    def _rate(self) -> float | None:
        """Return frames per second by the first and last time stamp."""
        stamps = self._stamps
        if len(stamps) < 2 or stamps[-1] <= stamps[0]:
            return None
        return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def _damage() -> type[Exception]:
    """Return what the package raises where a part of the file is not there."""
    try:
        from czifile.czifile import SegmentNotFoundError
    except ImportError:
        return OSError
    error: type[Exception] = SegmentNotFoundError
    return error


def _start(entry: "DirectoryEntryDV") -> dict[str, int]:
    return dict(zip(entry.axes, entry.start, strict=True))


def _decoded(entry: "DirectoryEntryDV") -> Array:
    """Return the pixels ``(y, x, sample)`` of one block."""
    block = entry.data_segment()
    if entry.compression in (_ZSTD, _ZSTD_PACKED):
        image = _zstd(block, entry)
    else:
        try:
            image = block.data()
        except KeyError:
            raise FrameError(
                f"its compression {entry.compression} needs the package imagecodecs: "
                "pip install 'streamproc[codecs]'"
            ) from None
    size = dict(zip(entry.axes, image.shape, strict=True))
    made: Array = image.reshape(size["Y"], size["X"], size.get("0", 1))
    return made


def _zstd(block: "SubBlockSegment", entry: "DirectoryEntryDV") -> Array:
    """Return the pixels of a block packed with Zstandard, as ZEN writes them today.

    Kind 6 has a header: its own length, then chunks, of which 1 says whether the
    low bytes of all pixels come before the high ones.
    """
    from numcodecs import zstd  # type: ignore[import-untyped]  # untyped

    raw, apart = block.data(raw=True), False
    if entry.compression == _ZSTD_PACKED:
        apart = raw[0] == 3 and raw[1] == 1 and bool(raw[2] & 1)
        raw = raw[raw[0] :]
    data = np.frombuffer(zstd.decompress(raw), np.uint8)
    if apart:
        data = np.ascontiguousarray(data.reshape(2, -1).T).reshape(-1)
    image = data.view(np.dtype(entry.dtype).base).reshape(entry.stored_shape)
    # samples are stored as blue, green, red
    samples = image.shape[-1]
    return np.asarray(image[..., [2, 1, 0, 3][:samples]] if samples > 2 else image)


def _scaling(told: ElementTree.Element) -> dict[str, float | None]:
    """Return micrometres per pixel; the file tells metres."""
    found: dict[str, float | None] = {}
    for distance in told.iterfind(".//Scaling/Items/Distance"):
        value = distance.findtext("Value")
        found[str(distance.get("Id")).lower()] = float(value) * 1e6 if value else None
    return found


def _acquired(told: ElementTree.Element) -> float | None:
    """Return when the acquisition began, in seconds since the epoch; None if untold.

    A file without that date has the one of its creation.
    """
    for place in ("Image/AcquisitionDateAndTime", "Document/CreationDate"):
        moment = _calibration.epoch(told.findtext(f".//Information/{place}"))
        if moment is not None:
            return moment
    return None


def _microscope(told: ElementTree.Element) -> dict[str, str]:
    """Return plain values of the microscope."""
    places = {
        "document": ".//Information/Document/Name",
        "date": ".//Information/Document/CreationDate",
        "microscope": ".//Instrument/Microscopes/Microscope/System",
        "magnification": ".//Instrument/Objectives/Objective/NominalMagnification",
    }
    found = {name: told.findtext(place) for name, place in places.items()}
    return {name: text for name, text in found.items() if text}
