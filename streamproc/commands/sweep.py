"""``streamproc sweep``: one pipeline, several values of its parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .batch import show_table
from .common import (
    INCOMPLETE,
    INTERRUPTED,
    OK,
    FileArgument,
    Frames,
    SourceOption,
    Stopped,
    note,
    read_given,
)

if TYPE_CHECKING:
    from ..multirun.comparison import Outcome
    from ..multirun.sweep import Sweep
    from ..report import Report
    from ..session import Run
    from ..signals import Signals


def sweep(
    file: FileArgument,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="PATH=VALUE,VALUE",
            help="Such as graph.smooth.gaussian.sigma=1,2,3; several are combined.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the runs (default: runs/<UTC time>-<name>-sweep)."
        ),
    ] = None,
    source: SourceOption = None,
    frames: Frames = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on if the folder exists.")
    ] = False,
) -> int:
    """Run a pipeline with several values of its parameters, and compare."""
    from ..folder import new_folder
    from ..multirun import sweep as library
    from ..signals import Signals

    given = read_given(file, source)
    if resume and to is None:
        raise ConfigError("--resume needs the sweep's folder: give --to")
    with Signals() as signals:
        if resume and to is not None and to.exists():
            if frames is not None:
                raise ConfigError(
                    "--frames belongs to the begin of a sweep; leave it out"
                )
            going = library.resume_sweep(to, given, settings)
        else:
            place = to or new_folder(f"{file.stem}-sweep")
            going = library.start_sweep(given, settings, place, frames=frames)
        return follow_sweep(going, signals)


def follow_sweep(going: "Sweep", signals: "Signals") -> int:
    """Run a sweep to its end, show it, and return the exit code.

    Raises
    ------
    Stopped
        It was interrupted.
    """
    from .watch import Watch

    total = len(going.variants)
    note(f"{total} variants; results in {going.path}")
    with going, Watch(total, "variants", signals) as watch:

        def wait(run: "Run") -> "Report":
            return watch.wait(run, going.settled() - 1, run.path.name)

        try:
            outcomes = going.run(wait)
        except KeyboardInterrupt as error:
            text = f"interrupted; go on with: streamproc resume {going.path}"
            raise Stopped(INTERRUPTED, text) from error
    return _show(going.path, outcomes)


def _show(path: Path, outcomes: "list[Outcome]") -> int:
    from rich.console import Console

    from ..multirun.comparison import dice_names
    from ..multirun.sweep import SHEET, TABLE
    from ..progress import show_rows

    dice = dice_names(outcomes)
    head = ["variant", "frames", "objects/frame", *(f"Dice {n}" for n in dice)]
    rows = [
        [
            o.name,
            f"{o.frames:,}",
            _number(o.objects, ".1f"),
            *(_number(o.dice.get(name), ".3f") for name in dice),
            _number(o.seconds, ".4f"),
        ]
        for o in outcomes
    ]
    show_table([*head, "s/frame"], rows)
    Console().print()
    first = next((o.name for o in outcomes if o.frames), None)
    places = [("results", str(path)), ("table", str(path / TABLE))]
    if (path / SHEET).exists():
        places.append(("sheet", str(path / SHEET)))
    if dice and first is not None:
        places.append(("Dice", f"with {first}, mean over frames"))
    show_rows(places)
    failed = [o for o in outcomes if o.error]
    for outcome in failed:
        note(f"error: {outcome.name}: {outcome.error}")
    return INCOMPLETE if failed else OK


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
