"""The plots of the page: one Bokeh document per viewer, from the run's summary."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.core.templates import get_env
from bokeh.document import Document
from bokeh.events import Tap
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJS,
    DataRange1d,
    DatetimeTicker,
    DatetimeTickFormatter,
)
from bokeh.plotting import figure

from streamproc.folder import RunFolder

from .feed import SERIES, Feed

#: Rows of a plot at most; milliseconds between looks.
MOST, LOOK = 600, 500
#: Okabe and Ito's colours: apart for every kind of eye.
BLUE, ORANGE, GREEN, VERMILION, PURPLE = (
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
)
INK = "#7d8aa0"
_TELL = """
dispatchEvent(new CustomEvent("streamproc-moment", { detail: cb_obj.x / 1e3 }))
"""
#: Name in the page, and its lines: column, colour, legend.
PLOTS: dict[str, Sequence[tuple[str, str]]] = {
    "count": [("objects", BLUE)],
    "intensity": [("intensity", ORANGE)],
    "area": [("area", GREEN)],
    "latency": [("latency_p50", BLUE), ("latency_p99", VERMILION)],
    "speed": [("fps", PURPLE)],
    "losses": [("lost", VERMILION), ("failed", ORANGE), ("skipped", PURPLE)],
}


def plots(
    folder: Callable[[str], RunFolder], template: str
) -> Callable[[Document], None]:
    """Return what fills a viewer's document with the plots of its run."""
    # as Bokeh does it with a text, for every page anew
    page = get_env().from_string("{% extends base %}\n" + template)

    def fill(document: Document) -> None:
        # signed by us: the run that the page is of, and who looks
        context: Any = document.session_context
        asked: dict[str, Any] = context.token_payload
        run = folder(asked["run"])
        feed = Feed(run)
        source = ColumnDataSource({name: np.zeros(0) for name in SERIES})
        last = 0.0

        def look() -> None:
            nonlocal last
            rows = feed.series(last - 1, MOST)
            columns = dict(
                zip(SERIES, map(np.array, zip(*rows, strict=True)), strict=True)
            )
            if not columns:
                return
            columns["time"] = columns["time"] * 1e3
            known = source.data["time"]
            # the newest second is still being counted: it is sent again
            if len(known) and rows[0][0] * 1e3 <= known[-1]:
                n = int(np.searchsorted(columns["time"], known[-1], side="right"))
                if n and columns["time"][n - 1] == known[-1]:
                    index = len(known) - 1
                    source.patch({k: [(index, v[n - 1])] for k, v in columns.items()})
                columns = {name: values[n:] for name, values in columns.items()}
            last = rows[-1][0]
            if len(columns["time"]):
                source.stream({**columns}, rollover=MOST)

        for name, lines in PLOTS.items():
            document.add_root(_plot(name, source, lines))
        look()
        document.add_periodic_callback(look, LOOK)
        document.on_session_destroyed(lambda _: feed.close())
        document.title = f"{run.path.name} – streamproc"
        document.template = page
        document.template_variables.update(
            run=run.path.name,
            **{name: asked[name] for name in ("role", "several", "served")},
        )

    return fill


def _plot(name: str, source: ColumnDataSource, lines: Sequence[tuple[str, str]]) -> Any:
    """Return a plot of one or more columns over time; it follows the newest."""
    made = figure(
        name=name,
        height=150,
        sizing_mode="stretch_both",
        x_axis_type="datetime",
        tools="",
        toolbar_location=None,
        min_border=0,
        min_border_right=8,
        lod_threshold=None,
        x_range=DataRange1d(range_padding=0.02),
        y_range=DataRange1d(start=0, range_padding=0.15, min_interval=1),
    )
    # a click tells the page its moment
    made.js_on_event(Tap, CustomJS(code=_TELL))
    for column, colour in lines:
        made.line("time", column, source=source, line_color=colour, line_width=2.5)
        # a run of one second is a point
        made.scatter("time", column, source=source, size=3, color=colour)
    made.background_fill_alpha = made.border_fill_alpha = 0
    made.outline_line_color = made.xgrid.grid_line_color = None
    made.ygrid.grid_line_color, made.ygrid.grid_line_alpha = INK, 0.22
    for axis in made.axis:
        axis.axis_line_color = None
        axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_color = INK
        axis.major_label_text_font_size = "12px"
    made.yaxis[0].ticker = BasicTicker(desired_num_ticks=3)
    made.xaxis[0].ticker = DatetimeTicker(desired_num_ticks=3)
    made.xaxis.formatter = DatetimeTickFormatter(
        microseconds="",
        milliseconds="",
        seconds="%H:%M:%S",
        minsec="%H:%M:%S",
        minutes="%H:%M",
        hourmin="%H:%M",
    )
    return made
