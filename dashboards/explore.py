"""Scatter and histogram of objects: Bokeh's, filled by the page itself."""

from typing import Any

from bokeh.embed import json_item
from bokeh.models import BasicTicker, BoxSelectTool, ColumnDataSource, LassoSelectTool
from bokeh.plotting import figure

from .plots import BLUE, INK, ORANGE

#: What the page fills: a point per object; bins of all of them and of those selected.
POINTS = ("x", "y", "frame", "label")
BINS = ("left", "right", "top", "chosen")


def standalone() -> dict[str, Any]:
    """Return both plots, empty, as ``Bokeh.embed.embed_item`` takes them.

    They belong to no session: what a page looks at is kept in that page alone.
    """
    return {"scatter": json_item(_scatter()), "histogram": json_item(_histogram())}


def _scatter() -> Any:  # a figure
    source = ColumnDataSource({name: [] for name in POINTS}, name="points")
    made = _figure("pan,wheel_zoom,tap,reset")
    made.scatter(
        "x",
        "y",
        source=source,
        size=6,
        color=BLUE,
        alpha=0.45,
        line_color=None,
        selection_color=ORANGE,
        selection_alpha=1.0,
        nonselection_alpha=0.25,
    )
    made.add_tools(LassoSelectTool(continuous=False))
    _select_boxes(made, BoxSelectTool(continuous=False))
    return made


def _histogram() -> Any:  # a figure
    source = ColumnDataSource({name: [] for name in BINS}, name="bins")
    made = _figure("tap,reset")
    bars = {"left": "left", "right": "right", "bottom": 0, "source": source}
    for top, colour in (("top", BLUE), ("chosen", ORANGE)):
        made.quad(
            top=top,
            color=colour,
            line_color=None,
            nonselection_alpha=0.6,
            alpha=0.85,
            **bars,
        )
    made.y_range.start = 0
    _select_boxes(made, BoxSelectTool(dimensions="width", continuous=False))
    return made


def _select_boxes(made: Any, tool: BoxSelectTool) -> None:
    made.add_tools(tool)
    made.toolbar.active_drag = tool


def _figure(tools: str) -> Any:
    made = figure(
        sizing_mode="stretch_both",
        tools=tools,
        toolbar_location="right",
        min_border=0,
        x_axis_label=" ",
        y_axis_label=" ",
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.background_fill_alpha = made.border_fill_alpha = 0
    made.outline_line_color = None
    for grid in made.grid:
        grid.grid_line_color, grid.grid_line_alpha = INK, 0.22
    for axis in made.axis:
        axis.axis_line_color = axis.minor_tick_line_color = None
        axis.major_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 4
        axis.ticker = BasicTicker(desired_num_ticks=4)
    return made
