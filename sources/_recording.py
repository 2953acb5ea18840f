"""What recordings that are read at random have in common."""

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import xxhash

from streamproc.errors import FrameError, SourceError, nearest
from streamproc.frame import Array, Frame, Gap, SourceInfo, Unreadable

from . import _pixels
from ._colour import Choice

T = TypeVar("T")


class Recording(Generic[T]):
    """A recording that is read at random, by one reader at a time.

    A subclass calls `__init__` first, sets ``info`` and gives `read`. What it keeps
    open is ``_open``, reached under ``_lock``: it opens when it is read, and stays
    behind when the source travels to another process. `_keep` sees to its end.
    """

    info: SourceInfo
    _open: T | None = None
    _closing: "weakref.finalize[..., Recording[T]] | None" = None

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from ``start`` on; those that cannot be read are named."""
        for index in range(start, self.info.frames or 0):
            try:
                yield self.read(index)
            except FrameError as error:
                yield Unreadable(index, str(error))

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread."""
        raise NotImplementedError

    def stop(self) -> None:
        """Do nothing: a recording ends by itself."""

    def close(self) -> None:
        """Close what is open; it opens again when it is read."""
        with self._lock:
            closing, self._closing, self._open = self._closing, None, None
            if closing is not None:
                closing()

    def _keep(self, opened: T, close: Callable[[], object]) -> T:
        """Keep what was opened until `close`, or until nobody has the source any more.

        A finalizer comes before those of the parts, which warn of files left open.
        """
        self._open = opened
        self._closing = weakref.finalize(self, close)
        return opened

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but what is open."""
        left_out = ("_lock", "_open", "_closing")
        return {k: v for k, v in vars(self).items() if k not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state; the recording opens when it is read."""
        self.__dict__.update(state, _lock=threading.Lock())


def within(index: int, frames: int | None) -> None:
    """Raise `FrameError` unless there is such a frame."""
    if not 0 <= index < (frames or 0):
        raise FrameError(f"no frame {index}; there are {frames}")


def one_file(given: str) -> Path:
    """Return the path of a file that is there.

    Raises
    ------
    SourceError
        It is missing, or is a folder.
    """
    path = Path(given).expanduser()
    if not path.exists():
        raise SourceError(f"no such file: {given}")
    if path.is_dir():
        raise SourceError(f"{given} is a folder; give one file")
    return path


def chosen(what: str, kind: str, given: int, count: int) -> int:
    """Return ``given``, if there are more than so many (scenes, positions, levels)."""
    if given < count:
        return given
    several = kind if kind.endswith("s") else kind + "s"
    has = f"{count} {several}, 0 to {count - 1}" if count > 1 else f"one {kind}, 0"
    raise SourceError(f"{what} has {has}; got {kind}: {given}")


def channel_number(
    channel: int | str | None, names: Sequence[str], what: str
) -> int | None:
    """Return the number of a channel that may be given by name."""
    if not isinstance(channel, str):
        return channel
    if channel in names:
        return list(names).index(channel)
    known = nearest(channel, names) if names else "; it names none, give its number"
    raise SourceError(f"{what} has no channel {channel!r}{known}")


def arranged(image: Array, axes: str, choice: Choice, what: str) -> tuple[Array, str]:
    """Return the pixels that were asked for, native, and their axes.

    Parameters
    ----------
    image
        Pixels as stored.
    axes
        One letter of ``czyxs`` per axis, in any order; c, z and s of one are dropped.
    choice
        The colour or channel that was asked for.
    what
        Whose image it is, for messages.
    """
    keep = [
        a for a in "czyxs" if a in axes and (a in "yx" or _size(image, axes, a) > 1)
    ]
    drop = tuple(i for i, axis in enumerate(axes) if axis not in keep)
    kept = [axis for axis in axes if axis in keep]
    image = image.squeeze(drop).transpose([kept.index(axis) for axis in keep])
    _pixels.target(image.dtype)
    if choice.channel == 0 and not set(keep) & set("cs"):
        choice = Choice(choice.color)
    made = choice.axes("".join(keep), image.shape, what)
    return _pixels.native(choice.apply(image, "".join(keep))), made


def _size(image: Array, axes: str, axis: str) -> int:
    return int(image.shape[axes.index(axis)])


def channels(
    names: Sequence[str], axes: str, shape: tuple[int, ...], number: int | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names along c; without c, the one channel's name as metadata."""
    if "c" in axes:
        fits = len(names) == shape[axes.index("c")]
        return (tuple(names) if fits else ()), {}
    which = number or 0
    return (), {"channel": names[which]} if which < len(names) else {}


def pixel_size(
    said: Mapping[str, float | None], given: float | None, axes: str
) -> dict[str, float]:
    """Return micrometres by axis: what was given goes before what the file says."""
    known = {axis: said.get(axis) for axis in "zyx"}
    if given is not None:
        known |= {"y": given, "x": given}
    return {a: float(s) for a, s in known.items() if s and s > 0 and a in axes}


def first(
    pixels: Callable[[int], tuple[Array, str]], frames: int, what: str
) -> tuple[Array, str]:
    """Return the first frame that can be read.

    Raises
    ------
    SourceError
        None can.
    """
    reason = "it has none"
    for index in range(frames):
        try:
            return pixels(index)
        except FrameError as error:
            reason = reason if index else str(error)
    raise SourceError(f"no frame of {what} can be read: {reason}")


def identity(kind: str, told: object, pixels: Array) -> str:
    """Return a name of the content: what was told of it, and its first pixels."""
    content = xxhash.xxh3_64(repr(told).encode())
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    content.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return f"{kind}:{content.hexdigest()}"
