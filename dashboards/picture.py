"""Pictures of a run's frames, as the page takes them: a JPEG and runs of labels."""

import math
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from streamproc.errors import ConfigError, StreamprocError
from streamproc.folder import RunFolder
from streamproc.frame import Array, Source
from streamproc.plugins import make_source
from streamproc.reading import pixels
from streamproc.results import Results
from streamproc.view.picture import flat, limits, stretch

from .chunks import Chunks

#: Pixels along y and x that a picture has at most.
LONGEST = 1024
#: Seconds after which is looked anew which images there are: it costs as much as one.
_RENAME = 2.0
#: Pixels that contrast is taken from, about: each counts in all of them.
_JUDGED = 1 << 14
#: JPEG quality, and how quickly contrast follows the frames.
QUALITY, FOLLOW = 82, 0.15
#: Colours that labels have in turn; 0 is none.
COLOURS = 7
#: Magic, frame, width, height, bytes of JPEG, runs of labels, time in ms, black, white.
HEADER = struct.Struct("<4sIIIIIdff")
MAGIC = b"SPV1"

#: ``(y, x)`` bytes.
Mask: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Runs:
    """Each object's colour, as runs along the rows: found quicker than a map is packed.

    ``lengths`` and ``colours`` hold one value per run; each row begins a new one.
    """

    shape: tuple[int, int]
    lengths: NDArray[np.uint16]
    colours: NDArray[np.uint8]

    @classmethod
    def of(cls, labels: Array) -> "Runs":
        """Return the runs of a plane of labels, or of a mask."""
        height, width = labels.shape
        flat = np.ascontiguousarray(labels).ravel()
        begins = np.empty(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[::width] = True
        starts = np.flatnonzero(begins)
        found = flat[starts].astype(np.uint32)
        colours = np.where(found > 0, (found * 5) % COLOURS + 1, 0)
        lengths = np.diff(starts, append=flat.size)
        return cls((height, width), lengths.astype(np.uint16), colours.astype(np.uint8))

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> "Runs":
        """Return those of a picture without objects."""
        return cls.of(np.zeros(shape, np.uint8))

    def map(self) -> NDArray[np.uint8]:
        """Return the colour of each pixel, 0 where no object is."""
        return np.repeat(self.colours, self.lengths).reshape(self.shape)

    def packed(self) -> bytes:
        """Return all lengths, two bytes each, then all colours."""
        return self.lengths.astype("<u2").tobytes() + self.colours.tobytes()


@dataclass(frozen=True)
class Picture:
    """A frame as it is shown: ``(y, x)`` bytes, and each object's colour there."""

    frame: int
    gray: NDArray[np.uint8]
    runs: Runs
    ends: tuple[float, float]
    #: pixels of the frame per pixel of the picture
    scale: float

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The colour of each pixel's object, 0 where there is none."""
        return self.runs.map()

    def message(self, when: float) -> bytes:
        """Return it as one binary message; ``when`` it was taken, in s since 1970."""
        option = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        jpeg = cv2.imencode(".jpg", self.gray, option)[1].tobytes()
        height, width = self.gray.shape
        sizes = (self.frame, width, height, len(jpeg), len(self.runs.lengths))
        header = HEADER.pack(MAGIC, *sizes, when * 1e3, *self.ends)
        return header + jpeg + self.runs.packed()


@dataclass(frozen=True)
class Look:
    """How a frame is to be shown; those who want it alike are sent the same picture.

    Raises
    ------
    ConfigError
        By `of`: what a page asked for is none.
    """

    #: which one of several, and which plane; None is the brightest along z
    channel: int = 0
    z: int | None = None
    #: what becomes black and white, in the frame's units; None follows the frames
    ends: tuple[float, float] | None = None
    #: the label image whose objects are shown; None is the first
    labels: str | None = None

    @classmethod
    def of(cls, told: object) -> "Look":
        """Return what a page asked for, checked."""
        try:
            found = cls(**told)  # type: ignore[arg-type]  # checked below
        except TypeError as error:
            raise ConfigError("a look has channel, z, ends and labels") from error
        if type(found.channel) is not int or found.channel < 0:
            raise ConfigError(f"channel must be 0 or more, got {found.channel!r}")
        if found.z is not None and (type(found.z) is not int or found.z < 0):
            raise ConfigError(f"z must be 0 or more or null, got {found.z!r}")
        if found.labels is not None and type(found.labels) is not str:
            raise ConfigError(f"labels must be a name, got {found.labels!r}")
        if found.ends is None:
            return found
        ends = found.ends
        if not isinstance(ends, Sequence) or len(ends) != 2 or isinstance(ends, str):
            raise ConfigError(f"ends must be black and white, got {ends!r}")
        if any(type(end) not in (int, float) or not abs(end) < 1e30 for end in ends):
            raise ConfigError(f"black and white must be numbers, got {list(ends)!r}")
        if ends[0] >= ends[1]:
            raise ConfigError(f"black must be below white, got {list(ends)!r}")
        return replace(found, ends=(float(ends[0]), float(ends[1])))


class Pictures:
    """Reads frames of a run from its store; of a recording, else, from the recording.

    Parameters
    ----------
    folder
        The run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._results = Results(folder)
        self._chunks = Chunks(folder)
        #: array, its place in the store, and pixels of the frame per pixel of it
        self._open: dict[tuple[str, bool], tuple[Any, str, float]] = {}
        self._is_saved, self._label_names = False, list[str]()
        self._named_at = -_RENAME
        self._source: Source | None = None
        #: by channel and z: black and white of the frames of late
        self._ends: dict[tuple[int, int | None], tuple[float, float]] = {}
        #: why there is no picture, if there is none
        self.reason: str | None = None

    def read(
        self, frame: int, look: Look = Look(), *, follows: bool = False
    ) -> Picture | None:
        """Return a frame; None where nothing can be shown, and `reason` says why.

        With ``follows`` black and white move slowly from frame to frame, else they
        are the frame's own.
        """
        image, scale = self._image(frame, look)
        labels = self._numbers(frame, look)
        if image is None and labels is None:
            return None
        if image is None:
            assert labels is not None
            gray = np.zeros(labels.shape, np.uint8)
            ends = (0.0, 0.0)
        else:
            step = max(1, math.isqrt(image.size // _JUDGED))
            ends = look.ends or limits(image[::step, ::step])
            if follows and look.ends is None:
                ends = self._follow(ends, look)
            gray = stretch(image, ends)
        if labels is None:
            runs = Runs.none(gray.shape)
        else:
            runs = Runs.of(_resized(labels, gray.shape))
        return Picture(frame, gray, runs, ends, scale)

    def mask(self, frame: int, look: Look, numbers: Sequence[int]) -> Mask | None:
        """Return where some objects are in the picture of a frame, 1 there, 0 else."""
        labels = self._numbers(frame, look)
        if labels is None:
            return None
        found = np.isin(labels, numbers).astype(np.uint8)
        image = self._image(frame, look)[0]
        return found if image is None else _resized(found, image.shape)

    def whole(self, frame: int, look: Look) -> tuple[Array | None, Array | None]:
        """Return a frame's pixels and its objects' numbers as they are saved."""
        image = self._image(frame, look, whole=True)[0]
        return image, self._numbers(frame, look, whole=True)

    def close(self) -> None:
        """Let go of the recording, and of the ledger."""
        self._chunks.close()
        if self._source is not None:
            self._source.close()
            self._source = None

    def _image(
        self, frame: int, look: Look, *, whole: bool = False
    ) -> tuple[Array | None, float]:
        """Return the source's plane, small enough unless ``whole``, and its scale."""
        self._learn()
        found = None
        if self._is_saved:
            found = self._plane("source", frame, look, whole=whole)
        if found is not None:
            return found
        try:
            if self._source is None:
                self._source = _recording(self._folder)
            if self._source is None:
                self.reason = "this run saves no source images, and they came only once"
                return None, 1.0
            read = self._source.read(frame)
        except StreamprocError as error:
            self.reason = f"the source cannot be read: {error}"
            return None, 1.0
        axes = self._source.info.axes
        plane = read.pixels[_chosen(axes, read.pixels.shape, look)]
        plane = flat(plane, axes.replace("c", ""))
        return (plane, 1.0) if whole else _small(plane)

    def _numbers(self, frame: int, look: Look, *, whole: bool = False) -> Array | None:
        """Return each object's number, of the label image that is wanted."""
        self._learn()
        for name in self._label_names:
            if look.labels not in (None, name):
                continue
            found = self._plane(name, frame, look, whole=whole)
            if found is not None:
                return found[0]
        return None

    def _learn(self) -> None:
        """Look which images there are, now and then."""
        now = time.monotonic()
        if now - self._named_at >= _RENAME:
            self._is_saved = "source" in list(self._results.images)
            self._label_names = list(self._results.labels)
            self._named_at = now

    def _plane(
        self, name: str, frame: int, look: Look, *, whole: bool
    ) -> tuple[Array, float] | None:
        """Return a saved image's plane, from the first level that is small enough."""
        array, path, scale = self._open.get((name, whole), (None, "", 1.0))
        if array is None or frame >= array.shape[0]:
            levels: Sequence[Any] = self._results.levels(name)
            fit = (
                n for n, a in enumerate(levels) if whole or max(a.shape[-2:]) <= LONGEST
            )
            level = next(fit, len(levels) - 1)
            array, scale = levels[level], levels[0].shape[-1] / levels[level].shape[-1]
            where = name if name == "source" else f"source/labels/{name}"
            path = f"{where}/{level}"
            self._open[name, whole] = array, path, scale
        if frame >= array.shape[0]:
            return None
        axes = "".join(array.metadata.dimension_names[1:])
        image = self._chunks.read(path, array, frame)
        image = pixels(array, frame) if image is None else image
        plane = flat(image[_chosen(axes, image.shape, look)], axes.replace("c", ""))
        if whole:
            return plane, scale
        plane, more = _small(plane)
        return plane, scale * more

    def _follow(self, ends: tuple[float, float], look: Look) -> tuple[float, float]:
        """Return black and white, a little nearer to those of this frame."""
        key = look.channel, look.z
        known = self._ends.get(key)
        if known is not None and np.isfinite(known).all():
            if not np.isfinite(ends).all():
                return known
            low, high = (k + FOLLOW * (e - k) for k, e in zip(known, ends, strict=True))
            ends = low, high
        self._ends[key] = ends
        return ends


def _chosen(axes: str, shape: Sequence[int], look: Look) -> tuple[int | slice, ...]:
    """Return what to take of a frame: one channel; one plane (as many), or all."""
    index: list[int | slice] = []
    for axis, size in zip(axes, shape, strict=True):
        if axis == "c":
            index.append(min(look.channel, size - 1))
        elif axis == "z" and look.z is not None:
            at = min(look.z, size - 1)
            index.append(slice(at, at + 1))
        else:
            index.append(slice(None))
    return tuple(index)


def _recording(folder: RunFolder) -> Source | None:
    """Return the recording that a run was made of, if it can be read at random."""
    document = folder.document()
    # a camera must not be opened a second time
    if folder.journal.exists() or document.get("log") == "none":
        return None
    with suppress(StreamprocError):
        source = make_source(document.get("source"))
        if source.info.random_access:
            return source
        source.close()
    return None


def _resized(labels: Array, shape: tuple[int, ...]) -> Array:
    """Return labels in this size, each pixel the nearest one's."""
    if labels.shape == shape:
        return labels
    rows = np.arange(shape[0]) * labels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * labels.shape[1] // shape[1]
    resized: Array = labels[rows[:, None], columns]
    return resized


def _small(plane: Array) -> tuple[Array, float]:
    """Return a plane of `LONGEST` pixels at most, and the step between its pixels."""
    step = -(-max(plane.shape) // LONGEST)
    return plane[::step, ::step], float(step)
