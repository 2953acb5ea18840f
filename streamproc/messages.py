"""Frames as messages between programs: a JSON header, then the pixels.

The parts of a message::

    [topic]   only where one was asked for; does not begin with {
    header    {"htype": "image-1.0", "frame": 7, "shape": [512, 512], "type": "uint16",
               "compression": "none", "axes": "yx", "time": 1700000000.35,
               "metadata": {"exposure_ms": 20}, "pixel_size_um": {"y": 0.65, "x": 0.65}}
    pixels    C order, little-endian, raw or as one blosc frame

The last message is a header alone: ``{"htype": "series_end-1.0"}``. ``frame`` counts
what was taken, one more each time; a number left out is a frame lost. From
``compression`` on everything may be left out.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from .errors import FrameError
from .frame import AXES, Array, Frame, SourceInfo
from .store import codecs

#: Bytes of one frame's pixels, and of one header, at most.
MOST, MOST_HEADER = 1 << 30, 1 << 20
IMAGE: Literal["image-1.0"] = "image-1.0"
END = "series_end-1.0"

Compression: TypeAlias = Literal["none", "blosc"]
Buffer: TypeAlias = bytes | bytearray | memoryview

_CODECS: dict[Compression, codecs.Codec] = {"none": "none", "blosc": "blosc-lz4"}
#: Axes of a shape whose header names none.
_AXES = {2: "yx", 3: "zyx", 4: "czyx"}
#: A blosc frame begins with four bytes, its plain size, block size and own size.
_BLOSC = struct.Struct("<4B3I")
_HIGHEST = 2**53 - 1

Size = Annotated[int, Meta(gt=0, lt=2**31)]


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a frame."""

    htype: Literal["image-1.0"]
    frame: Annotated[int, Meta(ge=0, le=_HIGHEST)]
    shape: Annotated[tuple[Size, ...], Meta(min_length=2, max_length=4)]
    type: Literal[
        "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
        "float16", "float32", "float64",
    ]  # fmt: skip
    compression: Compression = "none"
    axes: str | None = None
    time: float | None = None
    metadata: dict[str, Any] = {}
    pixel_size_um: dict[str, Annotated[float, Meta(gt=0)]] = {}
    channels: tuple[str, ...] = ()
    fps: Annotated[float, Meta(gt=0)] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, native."""
        return np.dtype(self.type)

    @property
    def named_axes(self) -> str:
        """The axes as it says, or those that its shape has by default."""
        return _AXES[len(self.shape)] if self.axes is None else self.axes

    @property
    def nbytes(self) -> int:
        """Bytes of the plain pixels."""
        return math.prod(self.shape) * self.dtype.itemsize


class _Kind(msgspec.Struct):
    """What any header says."""

    htype: str


class MessageError(FrameError):
    """A message that is no frame; ``frame`` is its number, where it could be read."""

    def __init__(self, text: str, frame: int | None = None) -> None:
        super().__init__(text)
        self.frame = frame


@dataclass(frozen=True, slots=True)
class Message:
    """A frame's header, and its pixels as they came: of the length they must have."""

    header: Header
    data: Buffer

    def pixels(self) -> Array:
        """Return the pixels, where raw and native as a view of the message.

        Raises
        ------
        MessageError
            The compressed data are damaged.
        """
        header, wire = self.header, self.header.dtype.newbyteorder("<")
        if header.compression == "none":
            flat = np.frombuffer(self.data, wire)
        else:
            flat = np.empty(math.prod(header.shape), wire)
            packed = np.frombuffer(self.data, np.uint8)
            try:
                codecs.decode(packed, _CODECS[header.compression], flat)
            except (RuntimeError, ValueError) as error:
                text = f"the pixels cannot be decompressed: {error}"
                raise MessageError(text, header.frame) from None
        return flat.reshape(header.shape).astype(header.dtype, copy=False)


def encode(frame: Frame, info: SourceInfo, compression: Compression) -> list[Any]:
    """Return a frame's header and pixels, the parts of a message.

    Parameters
    ----------
    frame
        Its `source_index` is the number sent.
    info
        Of its source: axes and what calibrates them.
    compression
        ``none`` sends the pixels' own memory.
    """
    pixels = frame.pixels
    wire = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    header = Header(
        htype=IMAGE,
        frame=frame.source_index,
        shape=pixels.shape,
        type=pixels.dtype.name,  # type: ignore[arg-type]  # checked by the receiver
        compression=compression,
        axes=info.axes,
        time=frame.time,
        metadata=dict(frame.metadata),
        pixel_size_um=dict(info.pixel_size_um),
        channels=info.channels,
        fps=info.fps,
    )
    text = msgspec.json.encode(header, enc_hook=_plain)
    return [text, codecs.encode(wire, _CODECS[compression])]


def end() -> list[bytes]:
    """Return the message that says that no frame follows."""
    return [msgspec.json.encode({"htype": END})]


def read(parts: Sequence[Buffer]) -> Message | None:
    """Return the frame that a message is; None for the last one, which is none.

    Whatever the header says, nothing is allocated here, and the data part has the
    size that it must have (a compressed one, by its own word, too).

    Raises
    ------
    MessageError
        It is neither.
    """
    if parts and bytes(parts[0][:1]) != b"{":
        parts = parts[1:]
    if not 1 <= len(parts) <= 2:
        raise MessageError(f"a message is a header and pixels, got {len(parts)} parts")
    header = _header(parts[0])
    if header is None:
        return None
    if len(parts) == 1:
        raise MessageError("the pixels are missing", header.frame)
    _check(header, parts[1])
    return Message(header, parts[1])


def _header(text: Buffer) -> Header | None:
    """Return a frame's header; None for the end's."""
    if len(text) > MOST_HEADER:
        raise MessageError(f"a header of {len(text):,} bytes; at most {MOST_HEADER:,}")
    try:
        kind = msgspec.json.decode(text, type=_Kind).htype
        if kind == END:
            return None
        if kind != IMAGE:
            raise MessageError(
                f"htype {kind!r:.40} is not known; known: {IMAGE}, {END}"
            )
        return msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MessageError(f"the header cannot be read: {error}") from None


def _check(header: Header, data: Buffer) -> None:
    """Refuse a header and data that contradict themselves or each other."""
    axes, size, number = header.named_axes, header.nbytes, header.frame
    if axes != "".join(a for a in AXES if a in axes) or not axes.endswith("yx"):
        raise MessageError(
            f"axes {axes!r:.20} are not within {AXES!r}, or have no yx", number
        )
    if len(axes) != len(header.shape):
        raise MessageError(f"axes {axes!r} of shape {list(header.shape)}", number)
    if header.channels and (
        "c" not in axes or len(header.channels) != header.shape[axes.index("c")]
    ):
        raise MessageError(f"{len(header.channels)} names of channels", number)
    if not header.pixel_size_um.keys() <= set(axes) - {"c"}:
        raise MessageError("pixel_size_um has axes that the frame has not", number)
    if size > MOST:
        raise MessageError(f"a frame of {size:,} bytes; at most {MOST:,}", number)
    expected, said = size, len(data)
    if header.compression == "blosc":
        if said < _BLOSC.size:
            raise MessageError(f"{said:,} bytes are no blosc frame", number)
        *_, plain, _, expected = _BLOSC.unpack_from(data)
        if plain != size:
            raise MessageError(
                f"the pixels become {plain:,} bytes, {size:,} are expected", number
            )
    if said != expected:
        raise MessageError(
            f"the pixels come in {said:,} bytes, {expected:,} are expected", number
        )


def _plain(value: object) -> object:
    """Return what JSON does not know of, as metadata may hold it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
