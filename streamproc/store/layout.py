"""Where the chunks of a frame lie: inner chunks, shards, names and zarr metadata."""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import FrameError, StoreError
from . import codecs
from .codecs import Chunk, Codec
from .platform import BLOCK, padded

#: Inner chunks per shard: 255 entries and a checksum fit one block.
MOST_CHUNKS = 255
#: An inner chunk is one plane, or equal tiles of at most this edge.
LONGEST_EDGE = 2048
#: A shard without compression aims at this size, one of compressed chunks stays
#: below it before compression.
SHARD_BYTES, MOST_SHARD_BYTES = 256 << 20, 1 << 30
MOST_COMPRESSED_FRAMES = 64


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """The geometry of one zarr array whose first axis is time.

    ``name`` is the array's path in the store, level included
    (``"source/labels/nuclei/1"``); ``shape``, ``chunk`` and ``shard`` leave out the
    time axis; a shard holds ``frames`` frames, or part of one frame. ``files``
    means no shards: each chunk is a file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    codec: Codec
    axes: str
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    frames: int
    files: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        codec: str = "none",
        *,
        axes: str | None = None,
        files: bool = False,
    ) -> "ArrayLayout":
        """Return the layout for frames of this shape; the same for the same input.

        Parameters
        ----------
        name
            Path of the array in the store.
        shape, dtype
            Of one frame.
        codec
            ``"none"``, ``"blosc-lz4"`` or ``"zstd"``.
        axes
            One letter per dimension; the last ones of ``"czyx"`` where not given.
        files
            One file per chunk in place of shards.
        """
        kind = np.dtype(dtype).newbyteorder("<").str
        axes = "czyx"[4 - len(shape) :] if axes is None else axes
        if len(axes) != len(shape) or not shape or 0 in shape:
            raise FrameError(
                f"{name}: a frame of shape {shape} does not have the axes {axes!r}; "
                "give one letter per dimension, and no empty dimension"
            )
        return _layout(name, tuple(shape), kind, codecs.check(codec), axes, files)

    @property
    def grid(self) -> tuple[int, ...]:
        """Inner chunks of one frame, along each axis."""
        return _ceil(self.shape, self.chunk)

    @property
    def shards_per_frame(self) -> int:
        """Files that one frame is spread over."""
        return math.prod(_ceil(self.shape, self.shard))

    @property
    def slots_per_frame(self) -> int:
        """Index entries of one shard that belong to one frame."""
        return math.prod(_ceil(self.shard, self.chunk))

    @property
    def slots(self) -> int:
        """Index entries of one shard."""
        return self.frames * self.slots_per_frame

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one inner chunk before compression."""
        return math.prod(self.chunk) * np.dtype(self.dtype).itemsize

    @property
    def room(self) -> int:
        """Most bytes that one encoded chunk takes on disk."""
        return padded(codecs.bound(self.chunk_bytes, self.codec))

    @property
    def full_size(self) -> int:
        """Bytes of a shard file made to its full, sparse size."""
        return self.slots * self.room + BLOCK

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """For each chunk of a frame: which of its shards, and the entry there."""
        return _places(self.grid, _ceil(self.shard, self.chunk))

    def key(self, group: int, part: int) -> str:
        """Return the file name of a shard: ``part`` of the shards of a group."""
        at = np.unravel_index(part, _ceil(self.shape, self.shard))
        return ".".join(("c", str(group), *(str(int(i)) for i in at)))

    def group_of(self, key: str) -> int | None:
        """Return the group of the shard with this file name, None for other files."""
        fields = key.split(".")
        if len(fields) != len(self.shape) + 2 or fields[0] != "c":
            return None
        return int(fields[1]) if all(f.isdigit() for f in fields[1:]) else None

    def check(self, pixels: NDArray[Any], frame: int | None = None) -> None:
        """Raise `FrameError` unless the pixels have this shape and dtype."""
        kind = pixels.dtype.newbyteorder("<").str
        if pixels.shape != self.shape or kind != self.dtype:
            self.refuse(frame, pixels.shape, kind)

    def refuse(self, frame: int | None, shape: tuple[int, ...], dtype: str) -> None:
        """Raise `FrameError` for a frame of another shape or dtype."""
        who = "a frame" if frame is None else f"frame {frame}"
        raise FrameError(
            f"{who} of {self.name!r} is {_words(shape, dtype)}, the frames before it "
            f"are {_words(self.shape, self.dtype)}; an array holds one shape and dtype"
        )

    def encode(self, pixels: NDArray[Any]) -> tuple[Chunk, ...]:
        """Return the encoded chunks of one frame, in C order.

        Without a codec, a chunk that is a whole plane is a view of the pixels.
        """
        self.check(pixels)
        pixels = np.ascontiguousarray(pixels, dtype=self.dtype)
        return tuple(
            codecs.encode(self._full_chunk(pixels[where]), self.codec)
            for where in _windows(self.shape, self.chunk)
        )

    def decode(self, chunks: tuple[Chunk, ...]) -> NDArray[Any]:
        """Return the pixels of one frame from its encoded chunks."""
        dtype = np.dtype(self.dtype)
        if math.prod(self.grid) == 1 and self.chunk == self.shape:
            pixels = np.empty(self.shape, dtype)
            codecs.decode(chunks[0], self.codec, pixels)
            return pixels
        pixels = np.empty(self.shape, dtype)
        block = np.empty(self.chunk, dtype)
        for data, where in zip(chunks, _windows(self.shape, self.chunk), strict=True):
            codecs.decode(data, self.codec, block)
            part = pixels[where]
            part[...] = block[tuple(slice(n) for n in part.shape)]
        return pixels

    def metadata(self, frames: int) -> dict[str, Any]:
        """Return the zarr.json of the array with ``frames`` frames."""
        inner = codecs.metadata(self.codec, np.dtype(self.dtype).itemsize)
        if not self.files:
            index = [*codecs.metadata("none", 8), {"name": "crc32c"}]
            inner = [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, *self.chunk],
                        "codecs": inner,
                        "index_codecs": index,
                        "index_location": "end",
                    },
                }
            ]
        outer = (1, *self.chunk) if self.files else (self.frames, *self.shard)
        return array_metadata(
            shape=(frames, *self.shape),
            chunks=outer,
            dtype=self.dtype,
            fill_value=_fill_value(self.dtype),
            chain=inner,
            names=("t", *self.axes),
        )

    @classmethod
    def from_metadata(cls, name: str, document: dict[str, Any]) -> "ArrayLayout":
        """Return the layout of an array that this store wrote.

        Raises `StoreError` where the array is none of ours.
        """
        try:
            outer = document["codecs"][0]
            files = outer["name"] != "sharding_indexed"
            chain = document["codecs"] if files else outer["configuration"]["codecs"]
            packed = chain[1]["name"] if len(chain) > 1 else "none"
            layout = cls.of(
                name,
                tuple(document["shape"][1:]),
                np.dtype(document["data_type"]),
                "blosc-lz4" if packed == "blosc" else packed,
                axes="".join(document["dimension_names"][1:]),
                files=files,
            )
            same = layout.metadata(document["shape"][0]) == document
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StoreError(f"{name}: not an array of this store ({error})") from error
        if not same:
            raise StoreError(
                f"{name}: an array that another writer or version laid out"
            )
        return layout

    def _full_chunk(self, part: NDArray[Any]) -> NDArray[Any]:
        if part.shape == self.chunk:
            return np.ascontiguousarray(part)
        block = np.zeros(self.chunk, part.dtype)
        block[tuple(slice(n) for n in part.shape)] = part
        return block


def array_metadata(
    *,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    fill_value: object,
    chain: list[dict[str, Any]],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Return the zarr.json of an array with flat chunk names (``c.0.0.0``)."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": np.dtype(dtype).name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(chunks)},
        },
        "chunk_key_encoding": {
            "name": "default",
            "configuration": {"separator": "."},
        },
        "fill_value": fill_value,
        "codecs": chain,
        "attributes": {},
        "dimension_names": list(names),
    }


def _words(shape: tuple[int, ...], dtype: str) -> str:
    return f"{' x '.join(map(str, shape))} {np.dtype(dtype).name}"


def _fill_value(dtype: str) -> object:
    zeros: dict[str, object] = {"b": False, "f": 0.0, "c": [0.0, 0.0]}
    return zeros.get(np.dtype(dtype).kind, 0)


def _ceil(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // s) for n, s in zip(shape, step, strict=True))


def _even(count: int, most: int) -> int:
    """Return the smallest equal share when ``count`` is cut into shares of ``most``."""
    return -(-count // -(-count // most))


@lru_cache(maxsize=1024)
def _layout(
    name: str, shape: tuple[int, ...], dtype: str, codec: Codec, axes: str, files: bool
) -> ArrayLayout:
    planes = max(0, len(shape) - 2)
    chunk = (1,) * planes + tuple(_even(n, LONGEST_EDGE) for n in shape[planes:])
    room = padded(math.prod(chunk) * np.dtype(dtype).itemsize)
    if files:
        return ArrayLayout(name, shape, dtype, codec, axes, chunk, chunk, 1, True)
    inner = list(_ceil(shape, chunk))
    for axis in range(len(inner)):
        if math.prod(inner) > MOST_CHUNKS:
            rest = math.prod(inner[axis + 1 :])
            inner[axis] = _even(inner[axis], max(1, MOST_CHUNKS // rest))
    slots = math.prod(inner)
    most = SHARD_BYTES if codec == "none" else MOST_SHARD_BYTES
    frames = min(MOST_CHUNKS // slots, max(1, most // (slots * room)))
    if codec != "none":
        frames = min(frames, MOST_COMPRESSED_FRAMES)
    shard = tuple(n * c for n, c in zip(inner, chunk, strict=True))
    return ArrayLayout(name, shape, dtype, codec, axes, chunk, shard, frames)


@cache
def _places(
    grid: tuple[int, ...], inner: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    parts = _ceil(grid, inner)
    found = []
    for at in np.ndindex(*grid):
        part = [i // n for i, n in zip(at, inner, strict=True)]
        slot = [i % n for i, n in zip(at, inner, strict=True)]
        found.append(
            (
                int(np.ravel_multi_index(part, parts)),
                int(np.ravel_multi_index(slot, inner)),
            )
        )
    return tuple(found)


@cache
def _windows(
    shape: tuple[int, ...], chunk: tuple[int, ...]
) -> tuple[tuple[slice, ...], ...]:
    return tuple(
        tuple(
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(at, chunk, shape, strict=True)
        )
        for at in np.ndindex(*_ceil(shape, chunk))
    )
