"""What handles, runs, reports and results look like in a notebook: plain HTML.

Called by their ``_repr_html_``. No script, no file, no fixed colour but those of
pictures and states, so that light and dark pages do; never an error, and never much
longer than a second: what takes longer is left out.
"""

import base64
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..folder import connect_readonly
from ..frame import Array
from ..store.extent import read_json

if TYPE_CHECKING:
    from ..graph import Graph, Step
    from ..handle import Handle
    from ..multirun.agreement import Agreement
    from ..report import Report
    from ..results import Results
    from ..session import Run
    from .picture import Colours
    from .sheet import Tile

T = TypeVar("T")

#: Seconds that a picture may take.
_PATIENCE = 0.8
#: Bytes of frames that are read for a picture at most.
_CHEAP = 64 << 20
#: Pixels of a picture's longer side.
_SIZE = 320
#: Pixels of a graph: boxes, the space between them, and below for long arrows.
_BOX, _HIGH, _APART, _ABOVE, _LEAP = 124, 38, 30, 12, 26
_PLAIN = "border-collapse:collapse;font-size:inherit"
_GREY = "rgba(128,128,128,.35)"
_STATES = {"finished": "#2e9e5b", "running": "#3b82d0", "stopped": "#d9534f"}


def _shows(function: Callable[[T], str]) -> Callable[[T], str]:
    """Give the text of a thing where its HTML fails in any way."""

    @wraps(function)
    def safe(thing: T) -> str:
        try:
            return f'<div style="line-height:1.45">{function(thing)}</div>'
        except Exception:
            # a notebook's output must never hide the value itself
            return f"<pre>{escape(_plain(thing))}</pre>"

    return safe


def _plain(thing: object) -> str:
    try:
        return repr(thing)
    except Exception:
        # such as of a run folder that has gone
        return object.__repr__(thing)


def _within(seconds: float, function: Callable[[], T]) -> T | None:
    """Return what a function gives; None where it fails or takes longer."""
    found: list[T] = []

    def work() -> None:
        with suppress(BaseException):  # a picture is left out, whatever the reason
            found.append(function())

    thread = threading.Thread(target=work, name="notebook picture", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


# --- handles ------------------------------------------------------------------------


@_shows
def of_handle(handle: "Handle") -> str:
    """Return a step's graph, what it gives, and frame 0 where that is cheap."""
    step, info = handle.step, handle.graph.source.info
    frames = "live" if info.live else "frames unknown"
    if info.frames is not None:
        frames = f"{info.frames:,} frames" + (" (live)" if info.live else "")
    size = " × ".join(map(str, info.shape))
    pixel = ", ".join(f"{axis} {n:g} µm" for axis, n in info.pixel_size_um.items())
    source = f"{frames} of {size} {info.dtype} ({info.axes})"
    lines = [
        f"<b>{escape(step.name)}</b>: {escape(step.kind)} from "
        + escape(source + (f", {pixel}" if pixel else "")),
        _graph(step),
    ]
    tile = _within(_PATIENCE, lambda: _first_tile(handle.graph, step))
    if tile is not None:
        lines.append(_tile(tile))
    return "".join(f"<div>{line}</div>" for line in lines if line)


def _first_tile(graph: "Graph", step: "Step") -> "Tile | None":
    """Return what a step gives for frame 0; None where that may be dear."""
    from ..plan import make_plan
    from .preview import preview

    info = graph.source.info
    reach = sum(len(w.frames(0)) for w in make_plan(graph, {}, [step]).windows)
    if info.live or info.nbytes * (1 + reach) > _CHEAP:
        return None
    tiles = preview(graph, 0, [step]).tiles
    return next(tile for tile in tiles if tile.name == step.name)


def _tile(tile: "Tile") -> str:
    from .sheet import scaled

    said = "frame 0: " + ", ".join(tile.facts)
    if tile.error:
        return f'<span style="color:#d9534f">frame 0: {escape(tile.error)}</span>'
    picture = scaled(tile, _SIZE, _SIZE)
    if picture is not None:
        return _image(picture, tile.name) + f"<div>{escape(said)}</div>"
    head, *rows = tile.cells[:6]
    return _table(head, rows) + f"<div>{escape(said)}</div>"


def _graph(step: "Step") -> str:
    """Return a step and all it needs as a small drawing, from left to right."""
    steps = list(step.ancestors())
    if len(steps) > 40:
        return ""
    depth: dict[str, int] = {}

    def measure(one: "Step") -> int:
        if one.name not in depth:
            depth[one.name] = 1 + max((measure(i) for i in one.inputs), default=-1)
        return depth[one.name]

    measure(step)
    places: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for one in sorted(steps, key=lambda s: depth[s.name]):
        column = depth[one.name]
        places[one.name] = (column, rows.get(column, 0))
        rows[column] = rows.get(column, 0) + 1
    at = {
        name: (4 + x * (_BOX + _APART), 4 + y * (_HIGH + _ABOVE))
        for name, (x, y) in places.items()
    }
    edges = [(i.name, s.name) for s in steps for i in s.inputs]
    leaps = any(depth[end] > depth[start] + 1 for start, end in edges)
    width = 8 + max(rows) * (_BOX + _APART) + _BOX
    height = 8 + max(rows.values()) * (_HIGH + _ABOVE) - _ABOVE + _LEAP * leaps
    parts = [_edge(at[start], at[end]) for start, end in edges]
    parts += [_node(s, at[s.name], s is step) for s in steps]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="graph of {escape(step.name)}" fill="none" '
        f'stroke="currentColor">{"".join(parts)}</svg>'
    )


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return an arrow to the next column, or one that passes below those between."""
    if end[0] - start[0] > _BOX + _APART:
        x0, x1 = start[0] + _BOX // 2, end[0] + _BOX // 2
        y0, y1 = start[1] + _HIGH, end[1] + _HIGH
        low = max(y0, y1) + round(1.25 * _LEAP)
        line = f"M{x0} {y0}C{x0} {low} {x1} {low} {x1} {y1 + 2}"
        head = f"M{x1 - 4} {y1 + 7}L{x1} {y1 + 1}L{x1 + 4} {y1 + 7}"
    else:
        x0, y0 = start[0] + _BOX, start[1] + _HIGH // 2
        x1, y1 = end[0], end[1] + _HIGH // 2
        bend = _APART // 2
        line = f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1 - 2} {y1}"
        head = f"M{x1 - 7} {y1 - 4}L{x1 - 1} {y1}L{x1 - 7} {y1 + 4}"
    return f'<path d="{line}{head}" stroke-opacity=".6"/>'


def _node(step: "Step", at: tuple[int, int], is_last: bool) -> str:
    from .tiles import operation

    x, y = at
    what = operation(step).partition(" of ")[0] or "as it is read"
    words = (
        (_short(step.name, 17), 16, 12, 1.0),
        (_short(what.removesuffix("()"), 22), 30, 10, 0.65),
    )
    texts = "".join(
        f'<text x="{x + _BOX // 2}" y="{y + down}" font-size="{size}" '
        f'text-anchor="middle" fill="currentColor" fill-opacity="{ink}" '
        f'stroke="none" font-family="sans-serif">{escape(word)}</text>'
        for word, down, size, ink in words
    )
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_HIGH}" rx="5" '
        f'fill="currentColor" fill-opacity="{0.16 if is_last else 0.05}" '
        f'stroke-opacity="{0.9 if is_last else 0.35}"/>{texts}'
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# --- runs ---------------------------------------------------------------------------


@_shows
def of_run(run: "Run") -> str:
    """Return a run's progress, and its numbers so far."""
    report, total = run.report(), run.total
    frames = report.frames
    settled = frames.done + frames.failed + frames.skipped
    bar = ""
    if total:
        bar = _bar(settled / total, f"{settled:,} of {total:,} frames")
    return bar + _numbers(report)


@_shows
def of_report(report: "Report") -> str:
    """Return a report's numbers."""
    return _numbers(report)


def _numbers(report: "Report") -> str:
    frames = report.frames
    rows = [("frames", f"{frames.admitted:,} admitted, {frames.done:,} done")]
    for name in ("failed", "skipped", "pending", "lost"):
        count = getattr(frames, name)
        if count:
            rows.append((name, f"{count:,}"))
    if report.objects:
        rows.append(("objects", f"{report.objects:,}"))
    rows.append(("speed", f"{report.fps:.1f} frames/s"))
    if report.latency_ms["p50"] is not None:
        p50, p99 = report.latency_ms["p50"], report.latency_ms["p99"] or 0.0
        rows.append(("latency", f"{p50:.1f} ms median, {p99:.1f} ms 99th percentile"))
    rows.append(("saved", ", ".join(report.saved) or "nothing"))
    rows += [("note", note) for note in report.notes]
    if report.reason:
        rows.append(("reason", report.reason))
    return _state(report.state, report.path) + _pairs(rows) + _stages(report.stages)


def _stages(stages: dict[str, float]) -> str:
    """Return mean milliseconds per frame by step, with bars."""
    if not stages:
        return ""
    largest = max(max(stages.values()), 1e-9)
    rows = "".join(
        f"<tr>{_cell(name)}{_cell(f'{ms:.2f} ms', right=True)}"
        f'<td style="width:160px">{_bar(ms / largest, "")}</td></tr>'
        for name, ms in stages.items()
    )
    return (
        f"<details><summary>milliseconds per frame</summary>"
        f'<table style="{_PLAIN}">{rows}</table></details>'
    )


@_shows
def of_results(results: "Results") -> str:
    """Return a run's counts, what it has saved, and a picture of its first frame."""
    status = results.status()
    counts = [
        f"{status[name]:,} {name}"
        for name in ("done", "failed", "skipped", "pending", "lost")
        if status[name] or name == "done"
    ]
    rows = [("frames", ", ".join(counts))]
    rows.append(("speed", f"{status['fps']:.1f} frames/s"))
    if status["reason"]:
        rows.append(("reason", status["reason"]))
    root = results._folder.images
    for name in results.images:
        rows.append((f"images[{name!r}]", _described(root / name)))
    for name in results.labels:
        rows.append((f"labels[{name!r}]", _described(root / "source/labels" / name)))
    tables = _within(_PATIENCE / 4, lambda: _tables(results._folder.ledger))
    rows += [(f"tables[{name!r}]", said) for name, said in tables or ()]
    picture = _within(_PATIENCE, lambda: _drawn(results.path))
    shown = "" if picture is None else _image(picture, "first frame")
    return _state(status["state"], results.path) + _pairs(rows) + shown


def _described(image: Path) -> str:
    """Return an array's shape and dtype, from its metadata alone."""
    array = read_json(image / "0" / "zarr.json") or {}
    axes = "".join(str(n) for n in array.get("dimension_names") or ())
    size = " × ".join(map(str, array.get("shape", ())))
    return f"{size} {array.get('data_type', '')} ({axes})"


def _tables(ledger: Path) -> list[tuple[str, str]]:
    """Return the rows and columns of every table."""
    columns: dict[str, list[str]] = {}
    with closing(connect_readonly(ledger)) as db:
        for table, column in db.execute('SELECT "table", "column" FROM columns'):
            columns.setdefault(table, []).append(column)
        return [
            (table, f"{_count(db, table):,} rows: {', '.join(names)}")
            for table, names in sorted(columns.items())
        ]


def _count(db: Any, table: str) -> int:  # a connection
    quoted = '"' + table.replace('"', '""') + '"'
    return int(db.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0])


def _drawn(path: Path) -> Array:
    """Return the first frame that is done, with its objects."""
    from ..inspection import view_run
    from .picture import draw, resize

    view = view_run(path)
    drawn = draw(
        view.image, view.axes, labels=view.labels, pixel_size_um=view.pixel_size_um
    )
    return resize(drawn, min(1.0, 1.5 * _SIZE / max(drawn.shape)))


@_shows
def of_agreement(found: "Agreement") -> str:
    """Return how well two methods agree, and its charts."""
    from .charts import draw

    title = f"{found.names[0]} and {found.names[1]}"
    drawn = draw(title, found.charts())
    return _pairs(found.rows()) + _image(drawn, "agreement", 3 * _SIZE)


# --- HTML ---------------------------------------------------------------------------


def _image(picture: "Colours", said: str, size: int = _SIZE) -> str:
    from .picture import encode

    data = base64.b64encode(encode(picture)).decode()
    height, width = picture.shape[:2]
    # more pixels than shown where there are: sharp on fine screens
    shown = round(width * min(1, size / max(height, width)))
    return (
        f'<img width="{shown}" alt="{escape(said)}" style="margin:6px 0" '
        f'src="data:image/png;base64,{data}">'
    )


def _state(state: str, path: Path) -> str:
    colour = _STATES.get(state, "#c98a00")
    return (
        f'<div><span style="background:{colour};color:#fff;border-radius:3px;'
        f'padding:1px 7px">{escape(state)}</span> '
        f"<code>{escape(str(path))}</code></div>"
    )


def _bar(part: float, said: str) -> str:
    full = 100 * min(max(part, 0.0), 1.0)
    text = f"<div>{escape(said)}</div>" if said else ""
    return (
        f'<div style="background:{_GREY};border-radius:3px;max-width:420px">'
        f'<div style="background:#3b82d0;width:{full:.1f}%;height:8px;'
        f'border-radius:3px"></div></div>{text}'
    )


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr>{_cell(name, bold=True)}{_cell(v)}</tr>" for name, v in rows)
    return f'<table style="{_PLAIN}">{body}</table>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(_cell(text, bold=True, right=True) for text in head)
    body = "".join(
        f"<tr>{''.join(_cell(text, right=True) for text in row)}</tr>" for row in rows
    )
    return f'<table style="{_PLAIN}"><tr>{top}</tr>{body}</table>'


def _cell(text: str, *, bold: bool = False, right: bool = False) -> str:
    weight = "font-weight:bold;" if bold else ""
    side = "right" if right else "left"
    style = f"{weight}text-align:{side};padding:1px 12px 1px 0"
    return f'<td style="{style}">{escape(text)}</td>'
