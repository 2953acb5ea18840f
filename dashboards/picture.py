"""Pictures of a run's frames, as the page takes them: a JPEG and a map of labels."""

import struct
import zlib
from collections.abc import Mapping, Sequence
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

#: Pixels along y and x that a picture has at most.
LONGEST = 1024
#: JPEG quality, and how quickly contrast follows the frames.
QUALITY, FOLLOW = 82, 0.15
#: Colours that labels have in turn; 0 is none.
COLOURS = 7
#: Magic, frame, width, height, bytes of JPEG and of labels, time in ms, black, white.
HEADER = struct.Struct("<4sIIIIIdff")
MAGIC = b"SPV1"


@dataclass(frozen=True)
class Picture:
    """A frame as it is shown: ``(y, x)`` bytes, and each object's colour there."""

    frame: int
    gray: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    ends: tuple[float, float]
    #: pixels of the frame per pixel of the picture
    scale: float

    def message(self, when: float) -> bytes:
        """Return it as one binary message; ``when`` it was taken, in s since 1970."""
        option = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        jpeg = cv2.imencode(".jpg", self.gray, option)[1].tobytes()
        labels = zlib.compress(self.labels.tobytes(), 1)
        height, width = self.gray.shape
        sizes = (self.frame, width, height, len(jpeg), len(labels))
        return HEADER.pack(MAGIC, *sizes, when * 1e3, *self.ends) + jpeg + labels


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
        self._open: dict[str, tuple[Any, float]] = {}
        self._source: Source | None = None
        self._ends: tuple[float, float] | None = None
        #: why there is no picture, if there is none
        self.reason: str | None = None

    def read(self, frame: int) -> Picture | None:
        """Return a frame; None where nothing can be shown, and `reason` says why."""
        image, scale = self._image(frame)
        labels = self._labels(frame)
        if image is None and labels is None:
            return None
        if image is None:
            assert labels is not None
            gray = np.zeros(labels.shape, np.uint8)
            ends = (0.0, 0.0)
        else:
            ends = self._follow(limits(image))
            gray = stretch(image, ends)
        if labels is None:
            labels = np.zeros(gray.shape, np.uint8)
        elif labels.shape != gray.shape:
            size = gray.shape[::-1]
            resized = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            labels = np.asarray(resized, np.uint8)
        return Picture(frame, gray, labels, ends, scale)

    def close(self) -> None:
        """Let go of the recording."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _image(self, frame: int) -> tuple[Array | None, float]:
        """Return the source's plane, small enough, and its scale."""
        found = self._plane("source", self._results.images, frame)
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

    def _labels(self, frame: int) -> NDArray[np.uint8] | None:
        """Return each object's colour."""
        for name in self._results.labels:
            found = self._plane(name, self._results.labels, frame)
            if found is not None:
                plane = found[0]
                colours = (plane.astype(np.uint32) * 5) % COLOURS + 1
                return np.where(plane > 0, colours, 0).astype(np.uint8)
        return None

    def _plane(
        self, name: str, known: Mapping[str, Any], frame: int
    ) -> tuple[Array, float] | None:
        """Return a saved image's plane, from the first level that is small enough."""
        if name not in known:
            return None
        array, scale = self._open.get(name, (None, 1.0))
        if array is None or frame >= array.shape[0]:
            levels: Sequence[Any] = self._results.levels(name)
            full = levels[0].shape[-1]
            small = (a for a in levels if max(a.shape[-2:]) <= LONGEST)
            array = next(small, levels[-1])
            scale = full / array.shape[-1]
            self._open[name] = array, scale
        if frame >= array.shape[0]:
            return None
        axes = "tczyx"[-array.ndim :]
        if array.ndim == 4:
            axes = "t" + self._results.source.axes
        plane, more = _small(self._flat(pixels(array, frame), axes[1:]))
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


def _small(plane: Array) -> tuple[Array, float]:
    """Return a plane of `LONGEST` pixels at most, and the step between its pixels."""
    step = -(-max(plane.shape) // LONGEST)
    return plane[::step, ::step], float(step)
