"""Charts of points, side by side: as a picture, or as a page that can be moved in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, StoreError
from . import picture
from .picture import Colours, Pen

if TYPE_CHECKING:
    from bokeh.plotting import figure

#: Pixels: a chart of the picture, and the space around its field.
WIDTH, HEIGHT = 720, 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 24, 56, 64
_TEXT, _HEAD = 16, 20
#: Points that a page holds: a browser slows down beyond.
MOST = 20_000
_BACK, _FIELD, _GRID = (255, 255, 255), (250, 249, 248), (232, 229, 226)
_INK, _MUTED = "#20242a", "#6a717a"
_POINT, _LINE = "#0b6e63", "#b3401c"


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line, what it is called, and the interval around it."""

    value: float
    text: str
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Chart:
    """Points of one field; ``is_square`` adds the line where both are the same.

    ``hints`` are further columns that a page shows of the point below the mouse.
    """

    title: str
    x_label: str
    y_label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    levels: tuple[Level, ...] = ()
    is_square: bool = False
    hints: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[Level, ...]:
        """The levels that there are: NaN is none."""
        return tuple(level for level in self.levels if math.isfinite(level.value))

    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return what the axes reach over, a little more than the points."""
        seen = [v for line in self.lines for v in (line.value, line.low, line.high)]
        across, up = _span(self.x), _span(np.append(self.y, seen))
        if self.is_square:
            across = up = (min(across[0], up[0]), max(across[1], up[1]))
        return across, up


def write(path: Path, title: str, charts: Sequence[Chart]) -> None:
    """Write charts as the suffix says: ``.png``, or ``.html`` that needs no network.

    Raises
    ------
    ConfigError
        Another suffix.
    StoreError
        The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        picture.write(path, draw(title, charts))
    elif suffix in (".html", ".htm"):
        try:
            path.write_text(page(title, charts), encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror or error}; choose another file"
            ) from error
    else:
        raise ConfigError(
            f"plots are .png or .html, got {path.name!r}; choose one of these suffixes"
        )


def draw(title: str, charts: Sequence[Chart]) -> Colours:
    """Return charts side by side as a picture, ``(y, x, 3)``, blue first."""
    above = 2 * _HEAD
    sheet = np.full((above + HEIGHT, WIDTH * len(charts), 3), _BACK, np.uint8)
    for number, chart in enumerate(charts):
        _draw_one(sheet[above:, number * WIDTH : (number + 1) * WIDTH], chart)
    with Pen(sheet) as pen:
        pen.write((_LEFT, 12), title, _HEAD, _INK)
    return sheet


def _draw_one(panel: Colours, chart: Chart) -> None:
    across, up = chart.ranges()
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x_of(value: float) -> float:
        return _LEFT + (value - across[0]) / (across[1] - across[0]) * (right - _LEFT)

    def y_of(value: float) -> float:
        return bottom - (value - up[0]) / (up[1] - up[0]) * (bottom - _TOP)

    panel[_TOP:bottom, _LEFT:right] = _FIELD
    for tick in ticks(*across):
        _line(panel, (x_of(tick), _TOP), (x_of(tick), bottom), _GRID)
    for tick in ticks(*up):
        _line(panel, (_LEFT, y_of(tick)), (right, y_of(tick)), _GRID)
    place = panel[_TOP:bottom, _LEFT:right]
    for level in chart.lines:
        _band(place, y_of(level.high) - _TOP, y_of(level.low) - _TOP)
    if chart.is_square:
        _line(panel, (_LEFT, bottom), (right, _TOP), _rgb(_MUTED))
    _points(panel, [(x_of(x), y_of(y)) for x, y in _finite(chart)])
    for level in chart.lines:
        at = y_of(level.value)
        _line(panel, (_LEFT, at), (right, at), _rgb(_LINE), 2)
    with Pen(panel) as pen:
        _write_axes(pen, chart, [(x_of(t), t) for t in ticks(*across)], (right, bottom))
        for tick in ticks(*up):
            wide = pen.width(f"{tick:g}", _TEXT)
            corner = (_LEFT - 8 - wide, y_of(tick) - 9)
            pen.write(corner, f"{tick:g}", _TEXT, _MUTED)
        for level in chart.lines:
            wide = pen.width(level.text, _TEXT)
            corner = (right - wide - 6, y_of(level.value) - 21)
            pen.write(corner, level.text, _TEXT, _LINE)


def _write_axes(
    pen: Pen, chart: Chart, marks: list[tuple[float, float]], end: tuple[int, int]
) -> None:
    right, bottom = end
    pen.write((_LEFT, 4), chart.title, _HEAD, _INK)
    pen.write((_LEFT, 30), chart.y_label, _TEXT, _MUTED)
    wide = pen.width(chart.x_label, _TEXT)
    pen.write((right - wide, bottom + 34), chart.x_label, _TEXT, _MUTED)
    for at, tick in marks:
        half = pen.width(f"{tick:g}", _TEXT) / 2
        pen.write((at - half, bottom + 8), f"{tick:g}", _TEXT, _MUTED)


def page(title: str, charts: Sequence[Chart]) -> str:
    """Return charts as a page of HTML, everything that it needs inside."""
    from bokeh.embed import file_html
    from bokeh.layouts import row
    from bokeh.resources import INLINE

    return file_html(row([_figure(c) for c in charts]), INLINE, title)


def _figure(chart: Chart) -> "figure":
    from bokeh.models import ColumnDataSource, Range1d
    from bokeh.models.annotations import BoxAnnotation, Label, Slope, Span
    from bokeh.plotting import figure

    across, up = chart.ranges()
    shown = _thinned(len(chart.x))
    title = chart.title
    if len(shown) < len(chart.x):
        title += f" ({len(shown):,} of {len(chart.x):,} points drawn)"
    columns = {"x": chart.x, "y": chart.y, **chart.hints}
    made = figure(
        width=WIDTH,
        height=HEIGHT,
        title=title,
        x_axis_label=chart.x_label,
        y_axis_label=chart.y_label,
        x_range=Range1d(start=across[0], end=across[1]),
        y_range=Range1d(start=up[0], end=up[1]),
        tools="pan,wheel_zoom,box_zoom,reset,save,hover",
        tooltips=[(name, f"@{{{name}}}") for name in columns],
    )
    source = ColumnDataSource({n: np.asarray(c)[shown] for n, c in columns.items()})
    made.scatter("x", "y", source=source, size=6, alpha=0.5, color=_POINT)
    if chart.is_square:
        made.add_layout(Slope(gradient=1, y_intercept=0, line_color=_MUTED))
    for level in chart.lines:
        made.add_layout(Span(location=level.value, line_color=_LINE, line_width=2))
        label = Label(x=across[0], y=level.value, text=level.text, x_offset=4)
        label.text_color, label.text_font_size = _LINE, "12px"
        made.add_layout(label)
        if math.isfinite(level.low):
            band = BoxAnnotation(bottom=level.low, top=level.high, fill_alpha=0.12)
            band.fill_color, band.line_color = _LINE, None
            made.add_layout(band)
    return made


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two ends."""
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= raw * 0.999)
    first = math.ceil(low / step)
    # by whole multiples: 0.1 added up is not 0.3
    return [n * step for n in range(first, math.floor(high / step) + 1)]


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    rim = 0.05 * (high - low) or 0.5 * (abs(high) or 1.0)
    return low - rim, high + rim


def _thinned(count: int) -> NDArray[np.int64]:
    """Return which points to draw, evenly, where there are very many."""
    if count <= MOST:
        return np.arange(count)
    return np.linspace(0, count - 1, MOST).astype(np.int64)


def _finite(chart: Chart) -> NDArray[np.float64]:
    points = np.column_stack([chart.x, chart.y])
    return np.asarray(points[np.isfinite(points).all(axis=1)])


def _points(panel: Colours, places: Sequence[tuple[float, float]]) -> None:
    layer = panel.copy()
    for x, y in places:
        # cv2 counts in sixteenths of a pixel here
        at = (round(x * 16), round(y * 16))
        cv2.circle(layer, at, 56, _rgb(_POINT), cv2.FILLED, cv2.LINE_AA, 4)
    cv2.addWeighted(layer, 0.55, panel, 0.45, 0, panel)


def _band(place: Colours, top: float, bottom: float) -> None:
    if math.isfinite(top) and math.isfinite(bottom):
        rows = place[max(0, round(top)) : max(0, round(bottom))]
        rows[...] = (0.88 * rows + 0.12 * np.asarray(_rgb(_LINE))).astype(np.uint8)


def _line(
    panel: Colours,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: tuple[int, int, int],
    thick: int = 1,
) -> None:
    if all(map(math.isfinite, (*start, *end))):
        ends = [(round(x), round(y)) for x, y in (start, end)]
        cv2.line(panel, ends[0], ends[1], colour, thick, cv2.LINE_AA)


def _rgb(colour: str) -> tuple[int, int, int]:
    """Return a colour as OpenCV wants it: blue, green, red."""
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return blue, green, red
