"""The command line: parse, build, call the library, say what happened."""

import contextlib
import json
import os
import sys
import traceback
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .commands.batch import follow_batch, run_batch
from .commands.common import (
    ERROR,
    INCOMPLETE,
    INTERRUPTED,
    OK,
    REFUSED,
    AsJson,
    ExecutorOption,
    FileArgument,
    Frames,
    RunArgument,
    Settings,
    SourceOption,
    Stopped,
    To,
    note,
    size,
)
from .commands.doctor import doctor
from .commands.export import export
from .commands.preview import preview
from .commands.schema import schema
from .commands.sweep import follow_sweep, sweep
from .errors import ConfigError, RunFolderError, StreamprocError, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from .config import Pipeline
    from .inspection import Told, View
    from .report import Report
    from .session import Run
    from .signals import Signals

#: Commands of later versions.
LATER = ("dashboard", "replay")
_VERBOSE = ("-v", "--verbose")


class _Commands(TyperGroup):
    """A group that names the nearest command for one it does not know."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer's own types
        """Find the command, or refuse in one line."""
        name = args[0]
        if ctx.resilient_parsing:  # a shell asks how a line may go on
            return super().resolve_command(ctx, args)
        if name in LATER:
            raise ConfigError(f"{name} is not supported by this version yet")
        if name not in self.commands:
            raise ConfigError(f"no command {name!r}{nearest(name, self.commands)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Streaming image processing: frames in; labels, measurements and images out.",
    epilog="Begin with: streamproc demo",
)


def dispatch(arguments: list[str]) -> int:
    """Run one command; say in one line why it was refused or stopped.

    Returns
    -------
    int
        0 all frames done; 1 stopped by an error, resumable; 2 refused before the
        first frame; 3 ended with failed or skipped frames; 130 interrupted.
    """
    verbose = any(flag in arguments for flag in _VERBOSE)
    arguments = [a for a in arguments if a not in _VERBOSE]
    _find_user_modules()
    try:
        code = app(
            arguments or ["--help"], prog_name="streamproc", standalone_mode=False
        )
        with contextlib.suppress(AttributeError, OSError):
            # a reader that has gone changes nothing of what is done
            sys.stdout.flush()
        return int(code or 0) if arguments else REFUSED
    except Stopped as stopped:
        return _say(stopped.message, stopped.code, stopped.__cause__, verbose)
    except StreamprocError as error:
        return _say(one_line(error), REFUSED, error, verbose)
    except KeyboardInterrupt as error:
        return _say("interrupted", INTERRUPTED, error, verbose)
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except Exception as error:
        # the last resort: a usage error of typer, or a bug
        usage = _usage(error)
        if usage is not None:
            return _say(usage, REFUSED, error, verbose)
        text = f"{one_line(error)}; this is a bug, rerun with -v to see where"
        return _say(text, ERROR, error, verbose)


def _find_user_modules() -> None:
    """Let functions of the current folder be imported, as ``python -m`` does."""
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _usage(error: Exception) -> str | None:
    """Return typer's usage error as one line; None for any other error."""
    if not hasattr(error, "format_message"):
        return None
    text = " ".join(str(error.format_message()).split()).rstrip(".")
    option = getattr(error, "option_name", None)
    if option and text.startswith("No such option"):
        close = getattr(error, "possibilities", None)
        return f"no option {option!r}{nearest(option, close) if close else ''}"
    return text[:1].lower() + text[1:] if text else "usage: streamproc --help"


def _say(message: str, code: int, error: BaseException | None, verbose: bool) -> int:
    if verbose and error is not None:
        traceback.print_exception(error)
    word = "" if code == INTERRUPTED else "error: "
    print(f"streamproc: {word}{message}", file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Add the traceback to an error.")
    ] = False,
) -> None:
    """Streaming image processing: frames in; labels, measurements and images out."""
    if version:
        print(f"streamproc {installed_version('streamproc')}")
        raise typer.Exit


@app.command()
def demo(
    frames: Annotated[
        int, typer.Option(min=1, help="Frames to take, 30 a second.")
    ] = 200,
    to: To = None,
    executor: ExecutorOption = None,
) -> int:
    """Run a simulated microscope, live, and compare with what it shows in truth."""
    from . import demo as library
    from .progress import next_commands, show_next, show_report
    from .signals import Signals

    with Signals() as signals:
        run = library.start_demo(frames, to, executor=_executor(executor))
        note(
            f"a simulated microscope takes {frames} frames of 512 x 512 at "
            f"{library.FPS:.0f} per second; results in {run.path}"
        )
        report, code = _follow(run, signals)
    truth = library.compare(report.path)
    show_report(report, [("truth", str(truth))] if truth else [])
    show_next(next_commands(report.path, table=library.TABLE, picture=True))
    return code


@app.command()
def run(
    file: FileArgument,
    to: To = None,
    source: SourceOption = None,
    executor: ExecutorOption = None,
    settings: Settings = None,
    frames: Frames = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on if the run folder exists.")
    ] = False,
) -> int:
    """Run a pipeline to its end."""
    from .folder import new_folder
    from .multirun.batch import is_batch
    from .runs import start_pipeline
    from .signals import Signals

    pipeline = _pipeline(file, source, executor, settings or [])
    place = to or (Path(pipeline.to) if pipeline.to else None)
    if resume and place is None:
        raise ConfigError(
            "--resume needs the run folder: give --to, or 'to' in the file"
        )
    place = place or new_folder(file.stem)
    if is_batch(pipeline):
        return run_batch(pipeline, place, frames=frames, resume=resume)
    with Signals() as signals:
        if resume and place.exists():
            if frames is not None:
                raise ConfigError(
                    "--frames belongs to the begin of a run; --resume goes on to the "
                    "number it was begun with; leave --frames out"
                )
            return _resume(place, signals, expected=pipeline)
        going = start_pipeline(pipeline, place, frames=frames)
        note(f"results in {place}")
        report, code = _follow(going, signals)
    _show_end(report)
    return code


@app.command()
def resume(
    path: RunArgument,
    skipped: Annotated[
        bool, typer.Option("--skipped", help="Do skipped frames (not in this version).")
    ] = False,
    force_environment: Annotated[
        bool, typer.Option(help="Go on although package versions have changed.")
    ] = False,
) -> int:
    """Go on with a run from its first frame without a result."""
    from .multirun.batch import is_batch_folder, resume_batch
    from .multirun.sweep import is_sweep_folder, resume_sweep
    from .signals import Signals

    if skipped:
        raise ConfigError("resume --skipped is not supported by this version yet")
    with Signals() as signals:
        if is_sweep_folder(path):
            going = resume_sweep(path, force_environment=force_environment)
            return follow_sweep(going, signals)
        if is_batch_folder(path):
            batch = resume_batch(path, force_environment=force_environment)
            return follow_batch(batch, signals)
        return _resume(path, signals, force_environment=force_environment)


@app.command()
def check(
    file: FileArgument,
    source: SourceOption = None,
    settings: Settings = None,
) -> int:
    """Check a pipeline without running it, and without opening hardware."""
    from .check import check as check_pipeline
    from .multirun.batch import first_readable, images_of, is_batch

    pipeline = _pipeline(file, source, None, settings or [])
    batch = images_of(pipeline) if is_batch(pipeline) else None
    steps, info = check_pipeline(first_readable(pipeline, batch) if batch else pipeline)
    print(f"ok: {file}")
    if batch is not None:
        print(f"  batch: {len(batch)} images, one run each; the first that opens:")
    if info is not None:
        count = "live" if info.live else f"{info.frames} frames"
        print(f"  source: {count}, {size(info.shape)} {info.dtype} ({info.axes})")
    for step in steps:
        if step.role != "source":
            made_of = ", ".join(i.name for i in step.inputs)
            print(f"  {step.name}: {step.operator} of {made_of} -> {step.kind}")
    print(f"  saved: {', '.join(pipeline.saved)}")
    return OK


@app.command()
def status(path: RunArgument, as_json: AsJson = False) -> int:
    """Print the counts, speed and state of a run, while it goes on too."""
    from .folder import status as read_status
    from .multirun.batch import batch_status, is_batch_folder
    from .progress import latency_text, show_rows

    found = batch_status(path) if is_batch_folder(path) else read_status(path)
    if as_json:
        print(json.dumps(found))
        return OK
    names = ("admitted", "done", "failed", "skipped", "lost", "pending")
    rows = [("state", found["state"])]
    rows += [(name, f"{found[name]:,}") for name in names]
    rows.append(("speed", f"{found['fps']:.1f} frames/s"))
    rows.append(("latency", latency_text(found["latency_ms"])))
    rows.append(("saved", ", ".join(found["saved"]) or "nothing"))
    if found["reason"]:
        rows.append(("reason", found["reason"]))
    show_rows(rows)
    return OK


@app.command()
def info(
    what: Annotated[
        str,
        typer.Argument(metavar="SOURCE|RUN", help="A path, glob, YAML text, or run."),
    ],
    as_json: AsJson = False,
    png: Annotated[
        Path | None, typer.Option(help="Draw a frame here; a run's with its objects.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option(help="The frame to draw; default: the first.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Of a run: the label image to outline; default: the last."),
    ] = None,
) -> int:
    """Tell what a source is, or what a run has; draw a frame of it."""
    from . import inspection
    from .view import terminal

    on = None if as_json else terminal.console()
    if inspection.is_run(what):
        told = inspection.tell_run(what)
        view = _viewed(
            lambda: inspection.view_run(what, frame, labels), png, on, frame, labels
        )
    else:
        if labels is not None:
            raise ConfigError("--labels belongs to a run; a source has no label images")
        opened = inspection.read_source(what)
        try:
            told = inspection.tell_source(opened.info)
            # a camera is opened for a picture only where one is asked for
            seen = None if told.live and frame is None else on
            view = _viewed(
                lambda: inspection.view_source(opened, frame or 0), png, seen, frame
            )
        finally:
            opened.close()
    if view is not None:
        _show_view(view, png, on)
    if as_json:
        print(inspection.as_json(told))
    else:
        _show_told(told)
    return OK


def _viewed(
    view: "Callable[[], View]", png: Path | None, on: object, *asked: object
) -> "View | None":
    """Return the frame to draw, if any; what nobody asked for is no error."""
    if png is None and on is None:
        return None
    try:
        return view()
    except StreamprocError as error:
        if png is not None or any(value is not None for value in asked):
            raise
        note(f"nothing is drawn: {one_line(error)}")
        return None


def _show_view(view: "View", png: Path | None, on: "Console | None") -> None:
    """Draw a frame where it was asked for, and in the terminal."""
    from .view import picture, terminal

    drawn = picture.draw(
        view.image, view.axes, labels=view.labels, pixel_size_um=view.pixel_size_um
    )
    said = ", ".join(picture.axes_said(view.image, view.axes))
    shown = f"frame {view.frame}" + (f" ({said})" if said else "")
    if png is not None:
        picture.write(png, drawn)
        note(f"drew {shown} in {png}")
    if on is not None:
        terminal.show(drawn, on)
        on.print(shown, style="dim", markup=False)


@app.command(name="list")
def list_(
    group: Annotated[
        str | None, typer.Argument(metavar="[sources|sinks|operators|dashboards]")
    ] = None,
) -> int:
    """List sources, sinks, operators and dashboards, with their parameters."""
    from .catalogue import GROUPS, catalogue

    for name in [group] if group else GROUPS:
        items = list(catalogue(name))
        if group is None and items:
            print(name)
        for item in items:
            print(f"  {item.name}: {item.summary}")
            if item.parameters:
                print(f"      {item.parameters}")
    return OK


@app.command()
def verify(path: RunArgument) -> int:
    """Compare a run's store with its ledger: every pixel, checksum, row and count."""
    from .verify import verify as compare

    found = compare(path)
    for problem in found.problems:
        print(problem)
    checked = (
        f"{found.frames:,} frames, {found.images:,} images, {found.chunks:,} chunks, "
        f"{found.tables:,} tables"
    )
    if found.is_sound:
        print(f"ok: {checked}")
        return OK
    raise Stopped(
        ERROR, f"{len(found.problems)} differences in {path} ({checked} checked)"
    )


def _pipeline(
    file: Path, source: str | None, executor: str | None, settings: list[str]
) -> "Pipeline":
    """Return the file's pipeline, with what the command line says in its place."""
    from .config import override, parse, read_yaml
    from .inspection import source_argument

    given = read_yaml(file)
    if source is not None:
        given["source"] = source_argument(source)
    if executor is not None:
        given["executor"] = _executor(executor)
    for setting in settings:
        override(given, setting)
    return parse(given, str(file))


def _executor(text: str | None) -> str | dict[str, Any]:
    from .inspection import source_argument

    return "threads" if text is None else source_argument(text)


def _resume(
    path: Path,
    signals: "Signals",
    *,
    force_environment: bool = False,
    expected: "Pipeline | None" = None,
) -> int:
    from .folder import status as read_status
    from .runs import resume as go_on
    from .session import Run

    if expected is not None:
        _same_pipeline(path, expected)
    found = read_status(path)
    going = go_on(path, force_environment=force_environment, wait=False)
    assert isinstance(going, Run)
    note(f"going on with {path}, {found['done'] + found['failed']} frames are in it")
    report, code = _follow(going, signals, resumed=True)
    _show_end(report)
    return code


def _same_pipeline(path: Path, expected: "Pipeline") -> None:
    """Refuse to go on with a run of another pipeline than the file's."""
    from .config import build, read_yaml
    from .folder import existing
    from .job import Job

    graph, handles = build(expected)
    graph.form = expected.source
    saved = {name: handle.step for name, handle in handles.items()}
    job = Job(graph, saved, expected.options())
    graph.source.close()
    past = read_yaml(existing(path).pipeline).get("recorded", {})
    if job.plan.identity(job.info.identity) != past.get("identity"):
        raise RunFolderError(
            f"{path} holds a run of another pipeline or source; "
            "choose another folder, or resume it by: streamproc resume"
        )


def _follow(
    run: "Run", signals: "Signals", *, resumed: bool = False
) -> "tuple[Report, int]":
    """Show a run until its end; return its report and exit code.

    Raises
    ------
    Stopped
        It was interrupted, or stopped by an error.
    """
    from .progress import follow

    try:
        report = follow(run, signals)
    except KeyboardInterrupt as error:
        raise Stopped(INTERRUPTED, f"interrupted: {_so_far(run)}") from error
    except Exception as error:
        _end_early(run, error, resumed)
    if report.state == "interrupted":
        raise Stopped(INTERRUPTED, f"interrupted: {_so_far(run)}")
    if run.damage:
        raise Stopped(ERROR, f"{run.damage}; {_so_far(run)}")
    missing = _missing(run.path)
    if missing:
        note(f"error: {missing}")
    return report, INCOMPLETE if missing else OK


def _missing(path: Path) -> str | None:
    """Return how many frames have no result, and why the first one has none."""
    from contextlib import closing

    from .folder import RunFolder, connect_readonly

    with closing(connect_readonly(RunFolder(path).ledger)) as db:
        count, first, state, error = db.execute(
            "SELECT count(*), min(frame), state, error FROM frames "
            "WHERE state != 'done'"
        ).fetchone()
    if not count:
        return None
    text = f"1 frame {state}" if count == 1 else f"{count:,} frames failed or skipped"
    return f"{text}; frame {first}: {error or state}"


def _end_early(run: "Run", error: Exception, resumed: bool) -> NoReturn:
    """Raise what ends the command after a run's failure."""
    if not run.report().frames.admitted and not resumed:
        run.folder.remove()
        raise Stopped(REFUSED, one_line(error)) from error
    text = one_line(error)
    raise Stopped(ERROR, f"{text}; {_so_far(run)}") from error


def _so_far(run: "Run") -> str:
    frames = run.report().frames
    text = f"{frames.done} frames are done in {run.path}"
    if run.job.not_resumable() is None:
        text += f"; go on with: streamproc resume {run.path}"
    return text


def _show_end(report: "Report") -> None:
    from .progress import next_commands, show_next, show_report
    from .results import load

    show_report(report)
    results = load(report.path)
    table = next((t for t in results.tables if t in report.saved), None)
    picture = bool(report.frames.done and (results.images or results.labels))
    show_next(next_commands(report.path, table=table, picture=picture))


def _show_told(told: "Told") -> None:
    from .progress import show_rows

    sizes = " x ".join(f"{size:g}" for size in told.pixel_size_um.values())
    frames = "unknown" if told.frames is None else f"{told.frames:,}"
    rows = [
        ("frames", frames + (" (live)" if told.live else "")),
        ("shape", f"{size(told.shape)} ({told.axes})"),
        ("dtype", told.dtype),
        (
            "pixel",
            f"{sizes} um ({', '.join(told.pixel_size_um)})" if sizes else "unknown",
        ),
        ("fps", f"{told.fps:g}" if told.fps else "unknown"),
        *([("channels", ", ".join(told.channels))] if told.channels else []),
    ]
    for key, value in told.metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        rows.append((key, text if len(text) <= 200 else text[:197] + "..."))
    show_rows(rows)


app.command()(doctor)
app.command()(export)
app.command()(preview)
app.command()(schema)
app.command()(sweep)
