"""What each step of a preview gave, as the tiles of its sheet."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frame import Array
from ..graph import Step
from ..table import Measurements
from ..values import as_table
from .picture import (
    CHANNELS,
    axes_said,
    colours,
    flat,
    is_photograph,
    label_colours,
    limits,
    mask_colours,
    plane_of,
)
from .sheet import Tile

if TYPE_CHECKING:
    from .preview import Seen

#: Rows of a table that a tile holds at most.
_ROWS = 20


#: The parameters of `threshold` that a local method has.
_OF_METHOD = {
    "local": ("block_size", "weights", "offset"),
    "niblack": ("window_size", "k"),
    "sauvola": ("window_size", "k", "r"),
}


def operation(step: Step) -> str:
    """Return what a step does, in a line: ``gaussian(sigma=1) of source``."""
    if step.role == "source":
        return ""
    parameters = dict(step.parameters)
    name = step.operator
    if name == "map":
        name = str(parameters["function"]).rpartition(":")[2]
        parameters = dict(parameters["parameters"])
    if name == "threshold":
        own = _OF_METHOD.get(parameters["method"], ("value",))
        parameters = {k: parameters.get(k) for k in ("method", *own)}
    given = ", ".join(
        f"{key}={text(value)}"
        for key, value in parameters.items()
        if value is not None and key != "properties"
    )
    return f"{name}({given}) of {', '.join(i.name for i in step.inputs)}"


def text(value: object) -> str:
    """Return a value as a caption has it: four digits of a number."""
    if isinstance(value, bool | np.bool_) or value is None:
        return str(value)
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        value = float(value)
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(text, value))})"
    return str(value)


def tiles(steps: Iterable["Seen"], pixel_size_um: Mapping[str, float]) -> list[Tile]:
    """Return the tiles of what steps gave, in their order.

    A label image makes two: its outlines on the source, and its objects in colours.

    Parameters
    ----------
    steps
        Of a `Preview`; the source comes first.
    pixel_size_um
        Micrometres by axis; with ``x`` the source's tile has a scale bar.
    """
    steps = tuple(steps)
    source = steps[0]
    behind = colours(_plain(source.value, source.axes), source.axes)
    made: list[Tile] = []
    for seen in steps:
        made += _tiles(seen, behind, pixel_size_um.get("x"))
    return made


def _tiles(seen: "Seen", behind: Array, um: float | None) -> Iterator[Tile]:
    step, what = seen.step, operation(seen.step)
    notes = (seen.note,) if seen.note else ()
    timing = "" if seen.milliseconds is None else f"{_ms(seen.milliseconds)} ms"
    if seen.error is not None:
        yield Tile(step.name, what, error=seen.error, is_blocked=seen.is_blocked)
    elif step.kind in ("table", "value"):
        cells, said = _cells(seen.value)
        yield Tile(step.name, what, (said, *notes), timing, cells=cells)
    elif step.kind == "mask":
        said = f"{seen.value.dtype} · {np.mean(seen.value != 0):.1%} foreground"
        yield Tile(
            step.name,
            what,
            (said, *_projected(seen.value, seen.axes), *notes),
            timing,
            mask_colours(seen.value),
        )
    elif step.kind == "labels":
        yield from _label_tiles(seen, behind, timing)
    else:
        yield Tile(
            step.name,
            what or "as it was read",
            (*_image_said(seen.value, seen.axes), *notes),
            timing,
            behind
            if step.role == "source"
            else colours(_plain(seen.value, seen.axes), seen.axes),
            smooth=True,
            um_per_pixel=um if step.role == "source" else None,
        )


def _label_tiles(seen: "Seen", behind: Array, timing: str) -> Iterator[Tile]:
    labels, step = seen.value, seen.step
    # channels are labelled each for itself
    parts = labels if "c" in seen.axes else labels[None]
    count = sum(len(np.unique(part[part > 0])) for part in parts)
    facts = (
        f"{labels.dtype} · {count:,} object{'' if count == 1 else 's'}",
        *_projected(labels, seen.axes),
        *((seen.note,) if seen.note else ()),
    )
    if behind.shape[:2] == labels.shape[-2:]:
        outlined = "outlines on the source"
        yield Tile(
            step.name,
            operation(step),
            (facts[0], outlined),
            timing,
            behind,
            labels=plane_of(labels),
            smooth=True,
        )
    yield Tile(step.name, operation(step), facts, timing, label_colours(labels))


def _plain(image: Array, axes: str) -> Array:
    """Return an image with the axes it is said to have, further ones projected."""
    while image.ndim > len(axes):
        image = image.max(axis=0)
    return image


def _image_said(image: Array, axes: str) -> tuple[str, ...]:
    plane = flat(_plain(image, axes), axes)
    # NaN only where every pixel is NaN
    lowest, highest = np.fmin.reduce(image, None), np.fmax.reduce(image, None)
    said = f"{image.dtype} · min {text(lowest)} · max {text(highest)}"
    if is_photograph(plane, axes):
        shown = "shown as red, green, blue"
    else:
        parts = plane[None] if plane.ndim == 2 else plane[: len(CHANNELS)]
        ranges = (" to ".join(map(text, limits(part))) for part in parts)
        shown = f"shown from {', '.join(ranges)}"
    return (said, shown, *axes_said(image, axes))


def _projected(labels: Array, axes: str) -> list[str]:
    """Return how a mask or label image shows the axes beyond y and x."""
    sizes = dict(zip(axes, labels.shape[-len(axes) :], strict=True))
    return [f"{axis}: maximum of {sizes[axis]}" for axis in sizes if axis in "cz"]


def _cells(value: Any) -> tuple[tuple[tuple[str, ...], ...], str]:
    """Return a table's first rows, or a value's, and how many there are."""
    table = as_table(value)
    names = list(table.columns)
    if not isinstance(value, Measurements):
        names.remove("label")
        rows = [(name, text(table.columns[name][0])) for name in names]
        return (("name", "value"), *rows), "value of this frame"
    first = [_column(table.columns[name][:_ROWS]) for name in names]
    rows_of = tuple(zip(*first, strict=True))
    count = len(table)
    said = f"{count:,} row{'' if count == 1 else 's'} · {len(names)} columns"
    return (tuple(names), *rows_of), said


def _column(values: Array) -> list[str]:
    """Return cells, numbers with as many decimals as the largest one leaves room."""
    if values.dtype.kind != "f":
        return [text(v) for v in values.tolist()]
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    if largest >= 1e6 or 0 < largest < 1e-2:
        return [f"{v:.3g}" for v in values]
    decimals = max(1, 3 - len(f"{largest:.0f}")) + (largest < 1)
    return [f"{v:.{decimals}f}" for v in values]


def _ms(milliseconds: float) -> str:
    if milliseconds < 0.1:
        return "< 0.1"
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:.0f}"
