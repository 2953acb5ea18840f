"""A run's results in other programs' formats, from what is committed so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import ConfigError, nearest
from .saved import Saved
from .target import Target

Format = Literal["parquet", "csv", "ome-tiff", "overlay"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and what they could not hold."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def export(
    run: str | Path,
    form: str,
    to: str | Path,
    *,
    tables: Sequence[str] = (),
    images: Sequence[str] = (),
    labels: Sequence[str] = (),
    frames: slice = slice(None),
    fps: float | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write results of a run, which may still go on, for other programs.

    Only committed frames are written. Each file, and a folder as a whole, gets its
    name when it is complete.

    Parameters
    ----------
    run
        The run folder.
    form
        ``parquet`` or ``csv``: tables, one row per object, with every column; units
        are in the Parquet schema. ``ome-tiff``: images and label images, ``(t, …)``,
        one file each. ``overlay``: pictures with outlines and a scale bar.
    to
        A file with one of the format's suffixes (``.parquet``; ``.csv``;
        ``.ome.tif``, ``.ome.tiff``, ``.tif``, ``.tiff``; ``.mp4`` for a video or
        ``.png`` for one frame); any other is a folder, with one file for each name
        (overlay: one PNG for each frame).
    tables
        Names of tables, or ``frames``, the fate of every frame; default: all saved
        tables.
    images, labels
        Names of images and label images; default: all for ``ome-tiff``, the source
        and the last label image for ``overlay``.
    frames
        Which frames, half open: ``slice(10, 20)``.
    fps
        Of a video, in frames per second; default: the run's if it is from 1 to 60,
        else 10.
    overwrite
        Replace what is there; a folder only if it holds nothing but such files.

    Returns
    -------
    Exported
        Paths, and notes on frames that have no pixels (0 in the file).

    Raises
    ------
    ConfigError
        An unknown format, name, frame or suffix.
    RunFolderError
        ``run`` is no run folder, or has no frame yet.
    StoreError
        The target exists already or cannot be written.
    MissingDependency
        ``parquet`` without pyarrow.
    """
    if form not in FORMATS:
        raise ConfigError(f"no format {form!r}{nearest(form, FORMATS)}")
    _refuse(form, tables=tables, images=images, labels=labels, fps=fps)
    saved = Saved(run, frames)
    target = Target(Path(to), form, overwrite=overwrite)
    notes: list[str] = []
    if form == "overlay":
        from .overlay import write_overlay

        write_overlay(saved, target, images, labels, fps, notes)
    elif form == "ome-tiff":
        from .ome_tiff import write_image

        names = saved.image_names(images, labels)
        target.each(names, lambda n, p: write_image(saved.image(n), p, notes))
    else:
        write = _table_writer(form)
        names = saved.table_names(tables)
        target.each(names, lambda n, p: write(saved, n, p))
    return Exported(tuple(target.written), tuple(notes))


def _refuse(form: str, **given: object) -> None:
    """Refuse what a format does not take."""
    takes = {
        "ome-tiff": ("images", "labels"),
        "overlay": ("images", "labels", "fps"),
    }.get(form, ("tables",))
    for name, value in given.items():
        if value and name not in takes:
            raise ConfigError(f"{form} takes {' and '.join(takes)}, not {name}")


def _table_writer(form: str) -> Callable[[Saved, str, Path], None]:
    from . import tables

    return tables.write_parquet if form == "parquet" else tables.write_csv
