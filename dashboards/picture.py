"""Pictures of a run's frames, as the page takes them: a JPEG and runs of labels."""

import math
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamproc.errors import StreamprocError
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


class Pictures:
    """Reads frames of a run from its store; of a recording, else, from the recording.

    Parameters
    ----------
    folder
        The run.
    channel
        Which one of several is shown.
    """

    def __init__(self, folder: RunFolder, channel: int = 0) -> None:
        self._folder, self._channel = folder, channel
        self._results = Results(folder)
        self._chunks = Chunks(folder)
        #: array, its place in the store, and pixels of the frame per pixel of it
        self._open: dict[str, tuple[Any, str, float]] = {}
        self._is_saved, self._label_names = False, list[str]()
        self._named_at = -_RENAME
        self._source: Source | None = None
        self._ends: tuple[float, float] | None = None
        #: why there is no picture, if there is none
        self.reason: str | None = None

    def read(self, frame: int) -> Picture | None:
        """Return a frame; None where nothing can be shown, and `reason` says why."""
        now = time.monotonic()
        if now - self._named_at >= _RENAME:
            self._is_saved = "source" in list(self._results.images)
            self._label_names = list(self._results.labels)
            self._named_at = now
        image, scale = self._image(frame)
        labels = self._labels(frame)
        if image is None and labels is None:
            return None
        if image is None:
            assert labels is not None
            gray = np.zeros(labels.shape, np.uint8)
            ends = (0.0, 0.0)
        else:
            step = max(1, math.isqrt(image.size // _JUDGED))
            ends = self._follow(limits(image[::step, ::step]))
            gray = stretch(image, ends)
        if labels is None:
            runs = Runs.none(gray.shape)
        elif labels.shape != gray.shape:
            runs = Runs.of(_resized(labels, gray.shape))
        else:
            runs = Runs.of(labels)
        return Picture(frame, gray, runs, ends, scale)

    def close(self) -> None:
        """Let go of the recording, and of the ledger."""
        self._chunks.close()
        if self._source is not None:
            self._source.close()
            self._source = None

    def _image(self, frame: int) -> tuple[Array | None, float]:
        """Return the source's plane, small enough, and its scale."""
        found = self._plane("source", frame) if self._is_saved else None
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
        return _small(self._flat(read.pixels, self._source.info.axes))

    def _labels(self, frame: int) -> Array | None:
        """Return the plane of labels, or of a mask."""
        for name in self._label_names:
            found = self._plane(name, frame)
            if found is not None:
                return found[0]
        return None

    def _plane(self, name: str, frame: int) -> tuple[Array, float] | None:
        """Return a saved image's plane, from the first level that is small enough."""
        array, path, scale = self._open.get(name, (None, "", 1.0))
        if array is None or frame >= array.shape[0]:
            levels: Sequence[Any] = self._results.levels(name)
            fit = (n for n, a in enumerate(levels) if max(a.shape[-2:]) <= LONGEST)
            level = next(fit, len(levels) - 1)
            array, scale = levels[level], levels[0].shape[-1] / levels[level].shape[-1]
            where = name if name == "source" else f"source/labels/{name}"
            path = f"{where}/{level}"
            self._open[name] = array, path, scale
        if frame >= array.shape[0]:
            return None
        axes = "tczyx"[-array.ndim :]
        if array.ndim == 4:
            axes = "t" + self._results.source.axes
        image = self._chunks.read(path, array, frame)
        image = pixels(array, frame) if image is None else image
        plane, more = _small(self._flat(image, axes[1:]))
        return plane, scale * more

    def _flat(self, image: Array, axes: str) -> Array:
        """Return the plane that is shown: of one channel, the brightest along z."""
        if "c" in axes:
            channel = min(self._channel, image.shape[axes.index("c")] - 1)
            image = image.take(channel, axis=axes.index("c"))
            axes = axes.replace("c", "")
        return flat(image, axes)

    def _follow(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Return black and white, a little nearer to those of this frame."""
        known = self._ends
        if known is None or not np.isfinite(known).all():
            self._ends = ends
        elif np.isfinite(ends).all():
            low, high = (k + FOLLOW * (e - k) for k, e in zip(known, ends, strict=True))
            self._ends = low, high
        assert self._ends is not None
        return self._ends


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
    """Return labels in another size, each pixel the nearest one's."""
    rows = np.arange(shape[0]) * labels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * labels.shape[1] // shape[1]
    resized: Array = labels[rows[:, None], columns]
    return resized


def _small(plane: Array) -> tuple[Array, float]:
    """Return a plane of `LONGEST` pixels at most, and the step between its pixels."""
    step = -(-max(plane.shape) // LONGEST)
    return plane[::step, ::step], float(step)
