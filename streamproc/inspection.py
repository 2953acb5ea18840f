"""What a source or a run is, and a picture of one of its frames."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .config import read_yaml
from .errors import ConfigError, FrameError, RunFolderError, nearest
from .folder import RunFolder, connect_readonly, existing, status
from .frame import Array, Frame, Source, SourceInfo, Unreadable
from .plugins import make_source
from .reading import calibration, same_field
from .results import Results, load
from .store.extent import read_json


@dataclass(frozen=True, slots=True)
class Told:
    """What ``info`` tells, as its ``--json`` names it."""

    shape: tuple[int, ...]
    dtype: str
    axes: str
    frames: int | None
    pixel_size_um: Mapping[str, float]
    fps: float | None
    live: bool
    channels: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "axes": self.axes,
            "frames": self.frames,
            "pixel_size_um": dict(self.pixel_size_um),
            "fps": self.fps,
            "live": self.live,
            "channels": list(self.channels),
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class View:
    """One frame to draw: its pixels, and the objects found in it."""

    frame: int
    image: Array
    axes: str
    labels: Array | None = None
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)


def is_run(path: str | Path) -> bool:
    """Return whether there is a run folder at ``path``."""
    folder = RunFolder(Path(path))
    return folder.ledger.exists() and folder.pipeline.exists()


def tell_source(info: SourceInfo) -> Told:
    """Return what a source says of itself."""
    return Told(
        shape=info.shape,
        dtype=info.dtype.name,
        axes=info.axes,
        frames=info.frames,
        pixel_size_um=info.pixel_size_um,
        fps=info.fps,
        live=info.live,
        channels=info.channels,
        metadata=info.metadata,
    )


def view_source(source: Source, number: int = 0) -> View:
    """Return frame ``number`` of a source.

    Raises
    ------
    FrameError
        There is no such frame, or it cannot be read.
    """
    info = source.info
    if info.frames is not None and not 0 <= number < info.frames:
        raise FrameError(f"no frame {number}; there are {info.frames}")
    item: object = None
    if info.random_access:
        item = source.read(number)
    else:
        items = iter(source.frames(number))
        # a camera may have something to say, or to miss, before its first frame
        item = next((i for i in items if isinstance(i, Frame | Unreadable)), None)
        source.stop()
    if not isinstance(item, Frame):
        raise FrameError(
            f"frame {number} cannot be read: {getattr(item, 'error', 'none')}"
        )
    return View(number, item.pixels, info.axes, None, info.pixel_size_um)


def tell_run(path: str | Path) -> Told:
    """Return what the source of a run was, from the run folder alone.

    ``frames`` counts those admitted; ``metadata`` holds the run's state, what is
    saved, and the pipeline's source.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder.
    """
    folder = existing(path)
    counts = status(path)
    source = load(path).source
    metadata = {
        "run": str(folder.path),
        "state": counts["state"],
        "done": counts["done"],
        "failed": counts["failed"],
        "saved": counts["saved"],
        "source": read_yaml(folder.pipeline).get("source"),
    }
    return replace(tell_source(source), metadata=metadata)


def view_run(
    path: str | Path, number: int | None = None, labels: str | None = None
) -> View:
    """Return a committed frame of a run, with the objects of a label image.

    The picture is the saved source; else the source is read again; else the first
    saved image, or the labels on black. What shows another part of the sample than
    the labels (behind a crop) is left out.

    Parameters
    ----------
    path
        The run folder.
    number
        Default: the first frame that is done.
    labels
        A saved label image or mask; default: the label image saved last.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder, or holds no such frame or label image.
    """
    folder = existing(path)
    number = _done(folder, number)
    results = load(path)
    name = _labels(results, labels)
    objects = None if name is None else np.asarray(results.labels[name][number])
    place = None if name is None else f"source/labels/{name}"
    image, axes, shown = _image(folder, results, number, place)
    if image is None:
        if objects is None or place is None:
            raise RunFolderError(
                f"{path} has nothing to draw: no image is saved and its source is gone"
            )
        image, axes, shown = np.zeros(objects.shape[-2:], np.uint8), "yx", place
    _, sizes, _ = calibration(read_json(folder.images / shown / "zarr.json") or {})
    return View(number, image, axes, objects, sizes)


def _done(folder: RunFolder, number: int | None) -> int:
    with closing(connect_readonly(folder.ledger)) as db:
        if number is None:
            row = db.execute(
                "SELECT min(frame) FROM frames WHERE state='done'"
            ).fetchone()
            if row[0] is None:
                raise RunFolderError(f"{folder.path} has no frame that is done")
            return int(row[0])
        row = db.execute(
            "SELECT state, error FROM frames WHERE frame=?", (number,)
        ).fetchone()
    if row is None:
        raise RunFolderError(f"{folder.path} has no frame {number}")
    if row[0] != "done":
        raise RunFolderError(f"frame {number} of {folder.path} is {row[0]}: {row[1]}")
    return number


def _labels(results: Results, name: str | None) -> str | None:
    """Return the label image of this name, or the last saved one, or mask."""
    saved = results.status()["saved"]
    found = results.labels
    if name is not None:
        if name not in found:
            has = f"; it has {', '.join(found)}" if found else ""
            raise RunFolderError(
                f"{results.path} has no label image {name!r}{nearest(name, found)}{has}"
            )
        return name
    names = sorted(found, key=lambda n: (found[n].dtype == np.uint32, saved.index(n)))
    return names[-1] if names else None


def _image(
    folder: RunFolder, results: Results, number: int, labels: str | None
) -> tuple[Array | None, str, str]:
    """Return the picture behind the labels, its axes and its name."""
    images = results.images
    for name in ("source", *images):
        if labels is not None and not same_field(folder.images, name, labels):
            continue
        if name == "source" and name not in images:
            again = _read_again(folder, number)
            if again is not None:
                return *again, name
        if name in images and _has_pixels(folder, name, number):
            array = images[name]
            names = array.metadata.dimension_names or ()  # type: ignore[union-attr]  # v3
            axes = "".join(str(n) for n in names[1:])
            return np.asarray(array[number]), axes, name
    return None, "", ""


def _has_pixels(folder: RunFolder, name: str, number: int) -> bool:
    """Return whether a frame's pixels are there (a raw log may have been dropped)."""
    with closing(connect_readonly(folder.ledger)) as db:
        rows = db.execute(
            "SELECT shard FROM chunks WHERE array=? AND frame=?", (f"{name}/0", number)
        ).fetchall()
    return bool(rows) and all(
        (folder.images / name / "0" / r[0]).exists() for r in rows
    )


def _read_again(folder: RunFolder, number: int) -> tuple[Array, str] | None:
    """Return a frame of the run's recording, if it is still there."""
    try:
        source = make_source(read_yaml(folder.pipeline)["source"])
    except (ConfigError, OSError, ImportError):
        return None
    try:
        if source.info.live:
            return None
        view = view_source(source, number)
        return view.image, view.axes
    except (FrameError, OSError):
        return None
    finally:
        source.close()


def read_source(text: str) -> Source:
    """Open a source from a command's argument: a path, a glob, or YAML text."""
    return make_source(source_argument(text))


def source_argument(text: str) -> str | dict[str, Any]:
    """Return a source's form from text: YAML where it begins with a brace.

    Raises
    ------
    ConfigError
        The YAML cannot be read.
    """
    if not text.lstrip().startswith("{"):
        return text
    import yaml

    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(
            f"{text!r} is no YAML mapping; write {{video: clip.mp4}}, "
            "or ./ before a pattern of file names"
        )
    return given


def as_json(told: Told) -> str:
    """Return the JSON text of ``info --json``."""
    return json.dumps(told.document(), indent=2, default=str)
