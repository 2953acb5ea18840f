"""A frame, the address at which it can be read again, and what a source is."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import FrameError

Array: TypeAlias = NDArray[Any]
Kind: TypeAlias = Literal["image", "mask", "labels", "table", "value"]

#: Spatial and channel axes of one frame, in the order they may appear.
AXES = "czyx"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What a source says of itself before its first frame.

    ``shape`` and ``dtype`` are those of one frame, ``axes`` a subsequence of
    ``"czyx"`` of the same length (``"yx"``, ``"cyx"``, ``"zyx"``, ``"czyx"``).
    ``channels`` names the planes along c where the source tells, else it is empty.
    ``frames`` is None where the length is unknown, ``pixel_size_um`` maps the
    axes ``z, y, x`` to micrometres (only those known), ``fps`` is frames per
    second. ``random_access`` says that `Source.read` takes any index, from any
    thread; a source without it is read once, in sequence. ``identity`` names the
    content (file names and sizes, a seed), not the place: a run is resumed only on
    a source with the same identity.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    identity: str
    frames: int | None = None
    live: bool = False
    random_access: bool = False
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    fps: float | None = None
    channels: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Frame:
    """Pixels as a source yields them: native byte order, C-contiguous, own memory.

    ``source_index`` is the source's own position or counter, ``time`` the
    acquisition in seconds since the Unix epoch (None where nothing tells it),
    ``metadata`` plain JSON values (exposure_ms, stage position, file …).
    """

    pixels: Array
    source_index: int
    time: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame the source knows of and cannot give: it becomes a failed row."""

    source_index: int
    error: str
    time: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames that never reached us, by the source's own counter: a row of ``gaps``.

    A last index one below the first says that nobody can tell how many they are.
    """

    first_source_index: int
    last_source_index: int
    reason: str
    time: float | None = None
    place: str = "source"

    @property
    def count(self) -> int:
        """How many frames are missing."""
        return self.last_source_index - self.first_source_index + 1


@dataclass(frozen=True, slots=True)
class Notice:
    """What a live source has to say: a row of ``events``, and no frame's fate.

    ``kind`` is one word (``disconnect``, ``reconnect``, ``stall`` …), ``level`` as in
    `logging`, ``message`` one line.
    """

    kind: str
    message: str
    level: Literal["info", "warning", "error"] = "warning"


@runtime_checkable
class Source(Protocol):
    """Where frames come from: a recording, a live camera, a simulation.

    A class whose constructor takes the parameters of the YAML form, by the same
    names, the first one being the bare value. Opening a bad source raises
    `SourceError` with one clear line.
    """

    #: Lower-case file suffixes that ``sp.open("path")`` hands to this source.
    suffixes: ClassVar[tuple[str, ...]]

    @property
    def info(self) -> SourceInfo:
        """What this source is; known once it is constructed."""
        ...

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield every frame from position ``start`` on, in order.

        An unreadable frame is yielded as `Unreadable`, frames lost before us as
        `Gap`, what else there is to say as `Notice`; a frame of another shape or
        dtype raises `SourceError`.
        """
        ...

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``; only where ``info.random_access``.

        Safe to call from several threads at once; the pixels are in memory of their
        own, which no later call changes. Raises `FrameError` where the
        frame cannot be read.
        """
        ...

    def stop(self) -> None:
        """Ask a live source to end: `frames` returns soon after (any thread)."""
        ...

    def close(self) -> None:
        """Release files and devices; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the raw log has of one frame, pixels aside; ``error``: it is unreadable."""

    source_index: int
    metadata: Mapping[str, Any]
    error: str | None = None


@runtime_checkable
class Mindful(Protocol):
    """A live source that minds what became of its frames; no source has to.

    It may let go of what is in the raw log for good, and tell by the metadata that it
    gave what it need not give again, where a mere index does not say.
    """

    @property
    def reopen(self) -> Mapping[str, Any]:
        """Parameters, of YAML's kinds, with which a run that is resumed opens it too.

        For what it learned when it was opened first, and may not find again.
        """
        ...

    def resumed(self, frames: Iterable[Receipt]) -> None:
        """Learn what the raw log has already: before `Source.frames`, in order."""
        ...

    def admitted(self, frames: Sequence[Receipt]) -> None:
        """Learn what the raw log has now, synced: in order, from the log's thread.

        Soon after is soon enough: the log waits meanwhile. A process that is killed
        learns the rest by `resumed`.
        """
        ...


def trailing_axes(ndim: int, axes: str) -> str:
    """Return the axes of an array that a user's function gave.

    The same number of axes keeps them; fewer keeps the last ones; more takes the
    last ones of ``czyx``.
    """
    return axes[-ndim:] if ndim <= len(axes) else AXES[-ndim:]


def metadata_json(metadata: Mapping[str, Any]) -> str | None:
    """Return metadata as the ledger holds it; what JSON does not know as text."""
    if not metadata:
        return None

    def plain(value: object) -> object:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        return str(value)

    return json.dumps(dict(metadata), default=plain)


class Address(Protocol):
    """Where the pixels of a frame can be read again; small and picklable."""

    def read(self) -> Frame:
        """Return the frame; raises `FrameError` where it cannot be read."""
        ...


@dataclass(slots=True)
class FrameRef:
    """One admitted frame: its number, its fate so far and how to get its pixels.

    ``pixels`` is the hot copy; `release` drops it where an address can bring it
    back. ``error`` marks a frame that is known to be unreadable.
    """

    frame: int
    source_index: int
    time: float | None
    metadata: str | None
    address: Address | None
    pixels: Array | None = None
    error: str | None = None
    #: keep the pixels once read: other frames' windows need them too
    keep: bool = False
    #: time.time() and time.perf_counter() at admission
    admitted_at: float = 0.0
    clock: float = 0.0
    #: its state in the ledger, where an earlier session gave it one
    fate: str | None = None

    def resolve(self) -> Array:
        """Return the pixels, from memory while hot, from the address otherwise."""
        pixels = self.pixels
        if pixels is not None:
            return pixels
        if self.address is None:
            raise FrameError(f"frame {self.frame} is no longer in memory")
        frame = self.address.read()
        when = frame.time
        self.time = when if when is not None and math.isfinite(when) else None
        self.metadata = metadata_json(frame.metadata)
        if self.keep:
            self.pixels = frame.pixels
        return frame.pixels

    def release(self) -> None:
        """Drop the hot pixels, and keep none from now on."""
        self.keep = False
        self.pixels = None
