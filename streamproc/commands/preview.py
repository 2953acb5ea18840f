"""``streamproc preview``: one frame through a pipeline, each step as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FrameError
from .common import (
    INCOMPLETE,
    OK,
    FileArgument,
    Settings,
    SourceOption,
    Stopped,
    note,
    read_pipeline,
)

if TYPE_CHECKING:
    from ..config import Pipeline


def preview(
    file: FileArgument,
    frame: Annotated[
        int, typer.Option(min=0, help="The frame, or image of a batch, from 0.")
    ] = 0,
    png: Annotated[
        Path, typer.Option(help="Draw the sheet here, over what is there.")
    ] = Path("preview.png"),
    source: SourceOption = None,
    settings: Settings = None,
) -> int:
    """Run one frame through a pipeline and draw what every step gives."""
    from ..config import build
    from ..multirun.batch import is_batch
    from ..view import preview as library
    from ..view import terminal

    pipeline, number = read_pipeline(file, source, settings=settings), frame
    if is_batch(pipeline):
        pipeline, number = _one(pipeline, frame), 0
    graph, _ = build(pipeline)
    graph.form = pipeline.source
    try:
        seen = library.preview(graph, number)
    finally:
        graph.source.close()
    seen.save(png)
    print(seen)
    on = terminal.console()
    if on is not None:
        terminal.show_tiles(seen.tiles, on)
    note(f"drew frame {frame} in {png}")
    if seen.errors:
        name, error = next(iter(seen.errors.items()))
        raise Stopped(INCOMPLETE, f"step {name!r} failed on frame {frame}: {error}")
    return OK


def _one(pipeline: "Pipeline", number: int) -> "Pipeline":
    """Return the pipeline of one image of a batch."""
    from ..multirun.batch import images_of, one

    images = images_of(pipeline)
    if number >= len(images):
        raise FrameError(f"no image {number}; the batch has {len(images)}, from 0")
    return one(pipeline, images[number][1])
