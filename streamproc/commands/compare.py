"""``streamproc compare``: what two methods have in common, run by run."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import ConfigError, StoreError
from .common import OK, AsJson, note


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN [RUN]", help="One run folder, or two.")
    ],
    of: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="What to compare: a saved name, or one of each run.",
        ),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Of tables; default area.")] = None,
    per: Annotated[
        Literal["object", "frame"],
        typer.Option(help="Pair objects of one label, or the frames' means."),
    ] = "object",
    min_iou: Annotated[
        float, typer.Option(help="Objects that overlap more are the same one.")
    ] = 0.5,
    confidence: Annotated[
        float, typer.Option(help="Of the confidence intervals.")
    ] = 0.95,
    frames: Annotated[
        int | None, typer.Option(help="Compare so many, from the first.")
    ] = None,
    plot: Annotated[
        list[Path] | None, typer.Option(help="Draw it here: .png or .html.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the pairs, or the frames, here.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare what two runs have saved: numbers (Bland-Altman), labels (Dice)."""
    from ..multirun.pairs import compare as library
    from ..progress import show_rows

    if len(runs) > 2:
        raise ConfigError(f"compare takes one run or two, got {len(runs)}")
    names = tuple(of.split(",")) if of is not None else ()
    if len(names) > 2:
        raise ConfigError(f"--of takes one name or two, got {of!r}")
    found = library(
        *runs,
        of=(names[0], names[-1]) if names else None,
        column=column,
        per=per,
        min_iou=min_iou,
        confidence=confidence,
        frames=frames,
    )
    for path in plot or ():
        note(f"drew {found.plot(path)}")
    if csv is not None:
        try:
            found.table.to_csv(csv, index=False)
        except OSError as error:
            raise StoreError(
                f"cannot write {csv}: {error.strerror or error}; choose another file"
            ) from error
        note(f"wrote {csv}")
    if as_json:
        print(json.dumps(found.summary))
    else:
        show_rows(found.rows())
    return OK
