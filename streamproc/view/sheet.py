"""A contact sheet: pictures and small tables as tiles of one size, with captions."""

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..frame import Array
from .picture import Colours, Pen, outline, resize, scale_bar

#: Pixels: a tile's picture by the image's longer side, four or three in a row.
SMALL, LARGE = 400, 560
#: Pixels: the space between tiles and inside them, text sizes.
GAP, PAD, NAME, TEXT = 16, 12, 21, 16
_LINE = 22
_BACK, _PANEL, _FRAME, _BAD = (20, 17, 16), (38, 33, 31), (58, 52, 48), (96, 88, 235)
_WHITE, _BODY, _MUTED, _RED = "#ffffff", "#d6d9dd", "#9aa1a9", "#ff8f87"


@dataclass(frozen=True, slots=True)
class Tile:
    """One step's output: a picture, or cells of text in its place.

    ``picture`` is as large as the image; it is scaled here, and ``labels`` are
    outlined on it then. ``smooth`` is for pictures whose pixels may be mixed when
    they grow. ``cells`` are rows of equal length; ``error`` stands in for both.
    """

    name: str
    operation: str
    facts: tuple[str, ...] = ()
    timing: str = ""
    picture: Colours | None = None
    labels: Array | None = None
    smooth: bool = False
    cells: tuple[tuple[str, ...], ...] = ()
    error: str | None = None
    #: the error is that of a tile before
    is_blocked: bool = False
    um_per_pixel: float | None = None


def draw_sheet(title: str, tiles: Sequence[Tile]) -> Colours:
    """Return the tiles as one picture, in rows, all of one size.

    Parameters
    ----------
    title
        One line above them.
    tiles
        At least one; the first that has a picture gives the shape of all.

    Returns
    -------
    ndarray of uint8
        ``(y, x, 3)``, blue first.
    """
    width, height = _box(tiles)
    across = columns_for(len(tiles), 4 if width == SMALL else 3)
    with Pen(np.zeros((1, 1, 3), np.uint8)) as pen:
        above = _LINE * max(len(_wrap(t.operation, width, pen)) for t in tiles)
    below = _LINE * max(len(t.facts) for t in tiles)
    size = (width + 2 * PAD, height + 2 * PAD + _LINE + 8 + above + below + 6)
    down = math.ceil(len(tiles) / across)
    top = GAP + 2 * NAME
    sheet = np.empty(
        (top + down * (size[1] + GAP), GAP + across * (size[0] + GAP), 3), np.uint8
    )
    sheet[...] = _BACK
    with Pen(sheet) as pen:
        pen.write((GAP, GAP), title, NAME, _WHITE)
    for number, tile in enumerate(tiles):
        y = top + (size[1] + GAP) * (number // across)
        x = GAP + (size[0] + GAP) * (number % across)
        panel = sheet[y : y + size[1], x : x + size[0]]
        _draw_tile(panel, tile, above=above, box=(width, height))
    return sheet


def columns_for(count: int, most: int) -> int:
    """Return how many tiles stand in a row, the last row as full as may be."""
    if count <= most:
        return count
    return max(range(3, most + 1), key=lambda n: (-(-count % n), n))


def _box(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Return width and height of every tile's picture."""
    shape = next((t.picture.shape for t in tiles if t.picture is not None), (3, 4))
    width = SMALL if max(shape) <= (SMALL + LARGE) / 2 else LARGE
    return width, round(width * min(max(shape[0] / shape[1], 0.5), 1.0))


def _draw_tile(panel: Colours, tile: Tile, *, above: int, box: tuple[int, int]) -> None:
    """Draw one tile: name, operation, picture or text, facts."""
    panel[...] = _PANEL
    rim = _BAD if tile.error and not tile.is_blocked else _FRAME
    cv2.rectangle(panel, (0, 0), (panel.shape[1] - 1, panel.shape[0] - 1), rim, 1)
    width, height = box
    top = PAD + _LINE + 8 + above
    place = panel[top : top + height, PAD : PAD + width]
    place[...] = _BACK
    _put(place, tile)
    with Pen(panel) as pen:
        wide = pen.width(tile.timing, TEXT)
        name = _cut(tile.name, width - wide - PAD, pen, NAME)
        pen.write((PAD, PAD - 2), name, NAME, _WHITE)
        pen.write((PAD + width - wide, PAD + 2), tile.timing, TEXT, _MUTED)
        for n, line in enumerate(_wrap(tile.operation, width, pen)):
            pen.write((PAD, PAD + _LINE + 6 + n * _LINE), line, TEXT, _MUTED)
        for n, line in enumerate(tile.facts):
            at = (PAD, top + height + 6 + n * _LINE)
            pen.write(at, _cut(line, width, pen), TEXT, _BODY)
    with Pen(place) as pen:
        if tile.error:
            ink = _MUTED if tile.is_blocked else _RED
            for n, line in enumerate(_wrap(tile.error, width - 2 * PAD, pen, lines=9)):
                pen.write((PAD, PAD + n * _LINE), line, TEXT, ink)
        elif tile.picture is None:
            _write_cells(pen, tile.cells, width - 2 * PAD, (height - PAD) // _LINE)


def scaled(tile: Tile, width: int, height: int) -> Colours | None:
    """Return a tile's picture as large as fits, outlined; None where it has none."""
    if tile.picture is None:
        return None
    down, across = tile.picture.shape[:2]
    factor = min(height / down, width / across)
    picture = resize(tile.picture, factor, smooth=tile.smooth)
    picture = picture[:height, :width].copy()
    if tile.labels is not None and tile.labels.any():
        outline(picture, tile.labels)
    return picture


def _put(place: Colours, tile: Tile) -> None:
    """Draw the tile's picture in the middle of its place."""
    picture = scaled(tile, place.shape[1], place.shape[0])
    if picture is None or tile.picture is None:
        return
    if tile.um_per_pixel:
        grown = picture.shape[1] / tile.picture.shape[1]
        scale_bar(picture, tile.um_per_pixel / grown)
    y = (place.shape[0] - picture.shape[0]) // 2
    x = (place.shape[1] - picture.shape[1]) // 2
    place[y : y + picture.shape[0], x : x + picture.shape[1]] = picture


def _write_cells(
    pen: Pen, cells: Sequence[Sequence[str]], width: float, rows: int
) -> None:
    """Write a table, its first row muted, as many rows and columns as fit."""
    left = float(PAD)
    shown = cells[:rows]
    columns = list(zip(*shown, strict=True))
    for number, column in enumerate(columns, start=1):
        wide = max(pen.width(text, TEXT) for text in column)
        spare = pen.width("…", TEXT) + PAD + 4 if number < len(columns) else 0
        if left + wide + spare > width + PAD:
            pen.write((left, PAD), "…", TEXT, _MUTED)
            return
        for n, text in enumerate(column):
            x = left + wide - pen.width(text, TEXT)
            pen.write((x, PAD + n * _LINE), text, TEXT, _BODY if n else _MUTED)
        left += wide + PAD + 4


def _wrap(text: str, width: float, pen: Pen, *, lines: int = 2) -> list[str]:
    """Return the text in lines that fit, broken at spaces; the last one may be cut."""
    found = [""]
    for word in text.split():
        longer = f"{found[-1]} {word}".strip()
        if not found[-1] or pen.width(longer, TEXT) <= width:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found[lines - 1 :] = [" ".join(found[lines - 1 :])]
    return [_cut(line, width, pen) for line in found]


def _cut(text: str, width: float, pen: Pen, size: int = TEXT) -> str:
    """Return the text, cut with an ellipsis where it is wider than ``width``."""
    if pen.width(text, size) <= width:
        return text
    most = bisect(range(len(text)), width, key=lambda n: pen.width(text[:n], size))
    while most and pen.width(f"{text[:most]}…", size) > width:
        most -= 1
    return f"{text[:most]}…"
