"""Images, masks and label images in one OME-Zarr 0.5 store, readable all the while."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamproc.errors import ConfigError
from streamproc.frame import SourceInfo
from streamproc.grid import Grid
from streamproc.store.chunks import ChunkRow
from streamproc.store.codecs import Codec, check
from streamproc.store.extent import Extent, read_json, write_json
from streamproc.store.layout import ArrayLayout
from streamproc.store.platform import NATIVE, Durability, Platform, explained
from streamproc.store.repair import Repair
from streamproc.store.timeline import Timeline
from streamproc.store.writer import Writer, open_writer

from . import _ome_metadata
from ._encoder import Encoded, Encoder, PixelKind
from ._ome_metadata import VERSION

__all__ = ["Encoded", "Encoder", "OmeZarr"]


class OmeZarr:
    """The image store of a run; one thread appends, any process reads.

    Per group: `append` and `record_time` each frame, `flush` once, `publish` once,
    then commit the rows that `append` returned. Arrays of an output are made at its
    first frame, whose shape holds from then on.

    Parameters
    ----------
    path
        The store (``images.ome.zarr``), made where it is missing.
    info
        What the source is.
    saved_source
        Whether the source's pixels are saved; if not, an image of the same shape
        without chunks carries the labels.
    images, labels
        Codecs: ``"none"``, ``"blosc-lz4"`` or ``"zstd"``.
    pyramid
        Also write smaller levels, until y and x are at most 256.
    layout
        ``"shards"``, or ``"files"`` for one file per chunk.
    durability
        ``"power"`` syncs, ``"process"`` leaves that to the operating system.
    platform
        How to write.
    """

    def __init__(
        self,
        path: Path,
        *,
        info: SourceInfo,
        saved_source: bool,
        images: str = "none",
        labels: str = "zstd",
        pyramid: bool = True,
        layout: str = "shards",
        durability: Durability = "power",
        platform: Platform = NATIVE,
    ) -> None:
        if layout not in ("shards", "files"):
            raise ConfigError(f"layout {layout!r} is neither 'shards' nor 'files'")
        self.path = path
        self.info = info
        self.saved_source = saved_source
        self._codecs: dict[str, Codec] = {
            "image": check(images),
            "mask": check(labels),
            "labels": check(labels),
        }
        self._pyramid = pyramid
        self._files = layout == "files"
        self._durability: Durability = durability
        self._platform = platform
        self._encoders: dict[str, Encoder] = {}
        self._writers: dict[str, Writer] = {}
        self._touched: dict[str, Writer] = {}
        self._timelines: dict[str, Timeline] = {}
        self._extents: dict[str, Extent] = {}
        self._log: Writer | None = None
        self._stale: dict[Path, dict[str, Any]] = {}
        self._layouts: dict[str, list[ArrayLayout]] = {}
        self._source = self.encoder("source", "image", info.axes)
        with explained(path):
            self._begin()

    def encoder(
        self, name: str, kind: PixelKind, axes: str, grid: Grid | None = None
    ) -> Encoder:
        """Announce an output and return what makes its chunks.

        Parameters
        ----------
        name
            Of the output; ``"source"`` is the source itself.
        kind
            ``"image"`` gives an image of its own, ``"mask"`` and ``"labels"`` a label
            image of the source.
        axes
            Of one frame, within ``"czyx"``.
        grid
            Where its pixels lie; by default where those of the source lie.
        """
        encoder = Encoder(
            name,
            name if kind == "image" else f"source/labels/{name}",
            kind,
            axes,
            self._codecs[kind],
            self._pyramid,
            self._files,
            None if kind == "image" else self._source.levels(self.info.shape),
            grid or Grid.of(self.info),
        )
        self._encoders[name] = encoder
        return encoder

    def log_writer(self) -> Writer:
        """Return the writer of ``source/0`` for the raw log, which then owns it.

        It syncs, publishes, recovers and closes that array; this store leaves it
        alone, and `append` takes only the smaller levels of the source.
        """
        if self._log is None:
            layout = self._source_layouts()[0]
            self._extents.pop(layout.name, None)
            self._log = self._writers.pop(layout.name, None) or self._open(layout)
            self._writers.pop(layout.name, None)
        return self._log

    def append(self, name: str, frame: int, encoded: Encoded) -> list[ChunkRow]:
        """Stage one frame of one output and return the rows to commit.

        A frame that is already there is ignored: no rows.

        Raises
        ------
        FrameError
            The frame has another shape or dtype than those before it.
        StoreError
            The disk is full or gone.
        """
        return self.append_all(frame, {name: encoded})

    def append_all(self, frame: int, outputs: Mapping[str, Encoded]) -> list[ChunkRow]:
        """Stage one frame of several outputs: all of them, or none.

        Raises
        ------
        FrameError
            One of them has another shape or dtype than those before it.
        StoreError
            The disk is full or gone.
        """
        for name, encoded in outputs.items():
            self._check(name, frame, encoded)
        rows: list[ChunkRow] = []
        for name, encoded in outputs.items():
            if self._encoders[name].path not in self._layouts:
                self._introduce(name, encoded)
            for layout, chunks in encoded.levels:
                writer = self._touched[layout.name] = self._writers[layout.name]
                rows += writer.append(frame, chunks)
        return rows

    def record_time(self, frame: int, time: float | None) -> None:
        """Note when a frame was acquired, for all images."""
        for timeline in self._timelines.values():
            timeline.record(frame, time)

    def flush(self) -> None:
        """Put the group on the disk: each file that it touched is synced once."""
        for writer in self._touched.values():
            writer.sync()
        for timeline in self._timelines.values():
            timeline.flush()

    def publish(self) -> None:
        """Make the group visible to readers."""
        for writer in self._touched.values():
            writer.publish()
        self._touched.clear()
        self._agree()
        for path, document in list(self._stale.items()):
            self._describe(path, document)

    def forget(self) -> None:
        """Drop what was appended and not published, after a failure."""
        for writer in self._writers.values():
            writer.forget()
        self._touched.clear()

    def recover(
        self,
        rows: Iterable[ChunkRow],
        times: Iterable[tuple[int, float | None]] = (),
        since: int = 0,
    ) -> Repair:
        """Bring what is on disk in line with what was committed.

        Call it after the outputs were announced and before anything is appended.

        Parameters
        ----------
        rows
            All committed chunks, at least from the frame ``since - 255`` on.
        times
            Frame and time of committed frames, at least from ``since`` on.
        since
            The first frame that may have been written after the last clean mark.
        """
        committed: dict[str, list[ChunkRow]] = {}
        for row in rows:
            committed.setdefault(row.array, []).append(row)
        repair = Repair()
        with explained(self.path):
            for leftover in sorted(self.path.rglob("*.json.new")):
                leftover.unlink(missing_ok=True)
            for encoder in self._encoders.values():
                self._attach(encoder)
        for name, writer in self._writers.items():
            repair.merge(writer.recover(committed.pop(name, ()), since))
        if self._log is not None:
            committed.pop(self._log.layout.name, None)
        for missing in committed.values():
            repair.lost += missing
        pairs = list(times)
        for timeline in self._timelines.values():
            timeline.rebuild(pairs)
        self._agree()
        return repair

    def close(self, frames: int) -> None:
        """Finish: everything on disk, shards tight, all arrays ``frames`` long."""
        for writer in self._writers.values():
            writer.close(frames)
        for timeline in self._timelines.values():
            timeline.close(frames)
        for extent in self._extents.values():
            extent.cut(frames)
        for path, document in list(self._stale.items()):
            self._describe(path, document)

    def abandon(self) -> None:
        """Close the files without writing anything more, after a failure."""
        for writer in self._writers.values():
            writer.abandon()
        for timeline in self._timelines.values():
            timeline.abandon()

    def _begin(self) -> None:
        root = self.path / "zarr.json"
        if read_json(root) is None:
            ome = {"version": VERSION, "bioformats2raw.layout": 3}
            self._write(root, _ome_metadata.group(ome))
        self._describe_image(self._source, self._source_layouts())
        for layout in self._source_layouts():
            if self.saved_source:
                self._open(layout)
            else:
                self._extents[layout.name] = Extent(
                    self.path / layout.name, layout.metadata, **self._options()
                )

    def _source_layouts(self) -> list[ArrayLayout]:
        return self._source.all_layouts(self.info.shape, self.info.dtype)

    def _options(self) -> dict[str, Any]:
        return {
            "platform": self._platform,
            "durability": self._durability,
            "frames_hint": self.info.frames,
            "fps": self.info.fps,
        }

    def _open(self, layout: ArrayLayout) -> Writer:
        writer = open_writer(self.path, layout, **self._options())
        self._writers[layout.name] = writer
        return writer

    def _check(self, name: str, frame: int, encoded: Encoded) -> None:
        """Refuse a frame that differs from those before it."""
        known = self._layouts.get(self._encoders[name].path)
        if known is not None:
            for layout, _ in encoded.levels:
                level = int(layout.name.rpartition("/")[2])
                expected = known[min(level, len(known) - 1)]
                if layout is not expected and layout != expected:
                    expected.refuse(frame, layout.shape, layout.dtype)

    def _introduce(self, name: str, encoded: Encoded) -> None:
        """Make the arrays of an output whose first frame says what they are."""
        layouts = [layout for layout, _ in encoded.levels]
        with explained(self.path):
            for layout in layouts:
                self._open(layout)
            self._describe_image(self._encoders[name], layouts)

    def _attach(self, encoder: Encoder) -> None:
        """Open the arrays of an output that are already there."""
        found = read_json(self.path / encoder.path / "0" / "zarr.json")
        if found is None or encoder.path in self._layouts:
            return
        dtype = np.dtype(found["data_type"])
        layouts = encoder.all_layouts(tuple(found["shape"][1:]), dtype)
        for layout in layouts:
            self._open(layout)
        self._describe_image(encoder, layouts)

    def _describe_image(self, encoder: Encoder, layouts: list[ArrayLayout]) -> None:
        """Write the metadata of an image, and list it where viewers look for it."""
        self._layouts[encoder.path] = layouts
        folder = self.path / encoder.path
        extra: dict[str, Any] = {"kind": encoder.kind}
        if encoder is self._source:
            extra["saved"] = self.saved_source
        at, names = encoder.axes.find("c"), self.info.channels
        if at >= 0 and len(names) == layouts[0].shape[at]:
            extra["channels"] = list(names)
        ome = _ome_metadata.image(encoder, layouts, self.info)
        self._write(folder / "zarr.json", _ome_metadata.group(ome, extra))
        if encoder.kind == "image":
            self._begin_timeline(encoder)
            self._list(self.path / "OME" / "zarr.json", "series", encoder.path)
        else:
            parent = self.path / "source" / "labels" / "zarr.json"
            self._list(parent, "labels", encoder.name)

    def _begin_timeline(self, encoder: Encoder) -> None:
        folder = self.path / encoder.path / "time"
        source = self._timelines.get("source")
        if source is not None and not folder.exists():
            source.flush()
            shutil.copytree(source.folder, folder)
        self._timelines[encoder.name] = Timeline(folder, **self._options())

    def _list(self, path: Path, key: str, member: str) -> None:
        """Add a member to a list in a group's metadata."""
        found = self._stale.get(path) or read_json(path)
        found = found or _ome_metadata.group({"version": VERSION, key: []})
        members: list[str] = found["attributes"]["ome"][key]
        if member not in members:
            members.append(member)
            self._describe(path, found)

    def _describe(self, path: Path, document: dict[str, Any]) -> None:
        """Write metadata that a run does not depend on; tried again if it fails."""
        try:
            self._write(path, document)
            self._stale.pop(path, None)
        except OSError:
            self._stale[path] = document

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        if read_json(path) != document:
            durable = self._durability == "power"
            write_json(path, document, self._platform, durable=durable)

    def _agree(self) -> None:
        """Announce the same number of frames in all arrays."""
        extents = [writer.extent for writer in self._writers.values()]
        extents += [timeline.extent for timeline in self._timelines.values()]
        extents += self._extents.values()
        longest = max((extent.frames for extent in extents), default=0)
        for extent in extents:
            if extent.frames < longest:
                extent.cover(longest)
            else:
                extent.retry()
