"""Files of a pattern made into frames: ordered by t, stacked by c and z."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamproc.errors import FrameError, SourceError
from streamproc.frame import AXES, Array

from . import _paths
from ._pattern import COORDINATES, Match, Pattern, Value, groups, pattern


class Planes(NamedTuple):
    """One frame: the planes of each c and z (c slowest), and what its fields say.

    A plane is its number over all files, or why it is missing.
    """

    planes: list[int | str]
    axes: str
    shape: tuple[int, ...]
    fields: Mapping[str, Value]

    @property
    def first(self) -> int:
        """The first plane that is there; where none is, the first of all files."""
        return next((plane for plane in self.planes if isinstance(plane, int)), 0)

    def metadata(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields; the file too where there is exactly one."""
        is_one = len(self.planes) == 1 and isinstance(self.planes[0], int)
        return {**(file if is_one else {}), **self.fields}

    def pixels(self, read: Callable[[int], tuple[Array, str]]) -> tuple[Array, str]:
        """Return the frame, stacked in the order c, z, and its axes.

        Raises
        ------
        FrameError
            A plane is missing.
        SourceError
            Files of one frame differ, or have channels or depth of their own as well.
        """
        for plane in self.planes:
            if isinstance(plane, str):
                raise FrameError(plane)
        parts = [read(plane) for plane in self.planes if isinstance(plane, int)]
        first, axes = parts[0]
        for image, own in parts:
            if (image.shape, own, image.dtype) != (first.shape, axes, first.dtype):
                raise SourceError(
                    f"files of one frame differ: {axes} {first.shape} {first.dtype} "
                    f"and {own} {image.shape} {image.dtype}; they must be alike"
                )
        both = [axis for axis in self.axes if axis in axes]
        if both:
            raise SourceError(
                f"{both[0]} is a field of the path, and an axis of the files "
                f"({axes}); name the field otherwise, or choose a channel"
            )
        if not self.axes:
            return first, axes
        image = np.stack([image for image, _ in parts])
        all_axes = self.axes + axes
        made = sorted(all_axes, key=AXES.index)
        image = image.reshape(self.shape + first.shape)
        image = image.transpose([all_axes.index(axis) for axis in made])
        return np.ascontiguousarray(image), "".join(made)


class Row(NamedTuple):
    """The files of one t: the number of each, or the name of one that is missing."""

    files: list[int | str]
    fields: dict[str, Value]


@dataclass(frozen=True)
class Stack:
    """One image: its files, and where in t, c and z the planes of each belong.

    ``axes`` and ``shape`` are those by which the files of one frame are stacked.
    """

    paths: list[Path]
    rows: list[Row]
    axes: str
    shape: tuple[int, ...]
    channels: tuple[str, ...]

    def frames(self, counts: Sequence[int]) -> list[Planes]:
        """Return the frames, where each file gives ``counts`` of them.

        Raises
        ------
        SourceError
            Files are parts of each other.
        """
        if 0 in counts:
            raise SourceError(
                f"{self.paths[counts.index(0)]} is part of another file's data set; "
                f"give {self.paths[0]} as the path, without fields"
            )
        starts = [0, *accumulate(counts)]

        def plane(file: int | str, position: int) -> int | str:
            if isinstance(file, str):
                return f"no file {file}"
            if position >= counts[file]:
                name = self.paths[file].name
                return f"{name} has only {counts[file]} frames, others more"
            return starts[file] + position

        frames = []
        for row in self.rows:
            there = [counts[file] for file in row.files if isinstance(file, int)]
            for position in range(max(there, default=max(counts))):
                planes = [plane(file, position) for file in row.files]
                frames.append(Planes(planes, self.axes, self.shape, row.fields))
        return frames


def stack(given: object) -> Stack | None:
    """Return how files make the frames of one image; None for a path without fields.

    A number t between others at which no file is has a frame that cannot be read, as
    long as most are there (`_numbered`).

    Raises
    ------
    SourceError
        No file, several images, or two files for one place.
    """
    found = pattern(given)
    if found is None:
        return None
    images = groups(found)
    if len(images) > 1:
        raise SourceError(_several(found, images))
    (files,) = images.values()
    free = [name for name in COORDINATES if name in found.free]
    inner = [name for name in free if name != "t"]
    steps = {n: _sorted({match.values[n] for match in files}) for n in free}
    texts = {(n, match.values[n]): match.texts[n] for match in files for n in free}
    if "t" in free:
        steps["t"] = _numbered(steps["t"])
        width = min(len(match.texts["t"]) for match in files)
        texts |= {
            ("t", t): str(t).zfill(width) for t in steps["t"] if ("t", t) not in texts
        }
    places = _places(files, free)
    rows = []
    for t in steps.get("t", [""]):
        row: list[int | str] = []
        for planes in product(*(steps[name] for name in inner)):
            place = dict(zip(inner, planes, strict=True)) | {"t": t}
            file = places.get(tuple(place[name] for name in free))
            missing = files[0].texts | {n: texts[n, place[n]] for n in free}
            row.append(found.name(missing) if file is None else file)
        fields = {n: v for n, v in files[0].values.items() if n not in free}
        rows.append(Row(row, fields | ({"t": t} if "t" in free else {})))
    return Stack(
        paths=[match.path for match in files],
        rows=rows,
        axes="".join(inner),
        shape=tuple(len(steps[name]) for name in inner),
        channels=tuple(map(str, steps.get("c", ()))),
    )


def _places(files: Sequence[Match], free: list[str]) -> dict[tuple[Value, ...], int]:
    """Return the number of the file at each place."""
    places: dict[tuple[Value, ...], int] = {}
    for number, match in enumerate(files):
        place = tuple(match.values[name] for name in free)
        other = places.setdefault(place, number)
        if other != number:
            where = ", ".join(f"{n} {v}" for n, v in zip(free, place, strict=True))
            raise SourceError(
                f"two files for {where or 'one image'}: {files[other].path} and "
                f"{match.path}; name the rest of the path more closely"
            )
    return places


def _numbered(values: list[Value]) -> list[Value]:
    """Return the numbers t with those that are missing between them.

    They go from the first to the last in the steps in which they come (1, or the
    largest that fits all). Where most would be missing, or t is text, they are no
    numbers of frames, and stay as they are.
    """
    numbers = [value for value in values if isinstance(value, int)]
    if len(numbers) < max(len(values), 2):
        return values
    step = math.gcd(*(n - numbers[0] for n in numbers))
    whole: list[Value] = list(range(numbers[0], numbers[-1] + 1, step))
    return whole if len(whole) < 2 * len(values) else values


def _sorted(values: Iterable[Value]) -> list[Value]:
    return sorted(values, key=lambda v: _paths.natural(str(v)))


def _several(found: Pattern, images: Mapping[tuple[str, ...], Any]) -> str:
    names = [_named(found, key) for key in images]
    shown = "; ".join(names[:3]) + ("; …" if len(names) > 3 else "")
    first = dict(zip(found.grouping, next(iter(images)), strict=True))
    field = found.fields[found.grouping[0]]
    one = field._replace(value=first[field.name])
    return (
        f"{found.text} matches {len(names)} images ({shown}); give batch: true for a "
        f"run of each, or choose one in the path: {one}"
    )


def _named(found: Pattern, key: Sequence[str]) -> str:
    pairs = zip(found.grouping, key, strict=True)
    return ", ".join(f"{name} {text}" for name, text in pairs)
