"""Runs of one pipeline with several values, compared: counts, Dice, time, a sheet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..folder import RunFolder, connect_readonly, status
from ..inspection import view_run
from ..ops._overlap import overlap
from ..ops._pixels import lines
from ..reading import pixels
from ..results import load


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run in the folder ``path`` went.

    ``frames`` are those done; ``objects`` is their mean number per frame (None where
    nothing tells it), ``dice`` the mean over frames of Dice with the first run that
    has frames, by saved label image or mask; ``seconds`` are per frame.
    """

    path: Path
    frames: int = 0
    objects: float | None = None
    dice: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name


def compare(folder: Path, errors: Mapping[str, str | None]) -> list[Outcome]:
    """Return how runs went, each compared with the first that has frames.

    Parameters
    ----------
    folder
        Where the runs lie.
    errors
        By the name of the run: why it could not run, or None.
    """
    outcomes = []
    first: Path | None = None
    for name, error in errors.items():
        path = folder / name
        done = done_frames(path)
        if not done:
            outcomes.append(Outcome(path, error=error or "no frame is done"))
            continue
        first = first or path
        found = status(path)
        failed = f"{found['failed']} frames failed" if found["failed"] else None
        outcomes.append(
            Outcome(
                path,
                frames=len(done),
                objects=objects_per_frame(path),
                dice=dice(first, path),
                seconds=1 / found["fps"] if found["fps"] else None,
                error=error or failed,
            )
        )
    return outcomes


def write_table(
    path: Path, outcomes: Sequence[Outcome], settings: Mapping[str, Sequence[str]]
) -> None:
    """Write the comparison as CSV; ``settings`` are ``PATH=VALUE``, by run."""
    paths = [s.partition("=")[0] for s in settings[outcomes[0].name]]
    labels = dice_names(outcomes)
    with path.open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file).writerow
        dice = [f"dice_{name}" for name in labels]
        head = ["variant", *paths, "frames", "objects_per_frame", *dice]
        write([*head, "seconds_per_frame", "error"])
        for o in outcomes:
            values = [s.partition("=")[2] for s in settings[o.name]]
            compared = [o.dice.get(name) for name in labels]
            row = [o.name, *values, o.frames, o.objects, *compared]
            write([*row, o.seconds, o.error])


def dice_names(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the label images and masks that were compared."""
    return list(dict.fromkeys(name for o in outcomes for name in o.dice))


def write_sheet(path: Path, outcomes: Sequence[Outcome], title: str) -> None:
    """Draw one frame of every run, its objects outlined; the first that all have.

    Nothing is written where no frame is done in all runs that have any.
    """
    from ..view import picture
    from ..view.sheet import Tile, draw_sheet

    frames = [set(done_frames(o.path)) for o in outcomes if o.frames]
    shared = set.intersection(*frames) if frames else set()
    if not shared:
        return
    number = min(shared)
    tiles = []
    for o in outcomes:
        if not o.frames:
            tiles.append(Tile(o.name, "", error=o.error))
            continue
        view = view_run(o.path, number)
        labels = view.labels
        objects = "" if o.objects is None else f"{o.objects:.1f} objects per frame"
        dice = (f"Dice {value:.3f} ({name})" for name, value in o.dice.items())
        tiles.append(
            Tile(
                o.name,
                objects,
                facts=tuple(dice),
                timing=f"{o.seconds * 1e3:.0f} ms" if o.seconds else "",
                picture=picture.colours(view.image, view.axes),
                labels=None if labels is None else picture.plane_of(labels),
                smooth=True,
                um_per_pixel=view.pixel_size_um.get("x"),
            )
        )
    title = f"{title}   frame {number}"
    picture.write(path, draw_sheet(title, tiles))


def done_frames(folder: Path) -> list[int]:
    """Return the frames of a run that are done; none where there is no run."""
    ledger = RunFolder(folder).ledger
    if not ledger.exists():
        return []
    with closing(connect_readonly(ledger)) as db:
        sql = "SELECT frame FROM frames WHERE state='done' ORDER BY frame"
        return [row[0] for row in db.execute(sql)]


def objects_per_frame(folder: Path) -> float | None:
    """Return the mean number of objects: rows of a table, else labels of an image."""
    results, done = load(folder), done_frames(folder)
    if not done:
        return None
    tables = [name for name in results.status()["saved"] if name in results.tables]
    if tables:
        with closing(connect_readonly(RunFolder(folder).ledger)) as db:
            # label 0 is that of a value, which counts no objects
            sql = f'SELECT count(*) FROM "{tables[0]}" WHERE label > 0'
            return float(db.execute(sql).fetchone()[0]) / len(done)
    for array in results.labels.values():
        if array.dtype == np.uint32:
            numbers = (np.unique(np.asarray(array[frame])) for frame in done)
            return sum(int((found > 0).sum()) for found in numbers) / len(done)
    return None


def dice(first: Path, second: Path) -> dict[str, float]:
    """Return the mean Dice over the frames that both have, by saved label image."""
    one, other = load(first).labels, load(second).labels
    frames = sorted(set(done_frames(first)) & set(done_frames(second)))
    return {
        name: float(np.mean(list(_each(one[name], other[name], frames))))
        for name in one
        if frames and name in other and one[name].shape[1:] == other[name].shape[1:]
    }


def _each(one: Any, other: Any, frames: Sequence[int]) -> Iterator[float]:
    for frame in frames:
        yield overlap(lines(pixels(one, frame)), lines(pixels(other, frame))).dice
