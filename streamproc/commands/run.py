"""``streamproc demo``, ``run`` and ``resume``: a run, followed to its end."""

from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import ConfigError, RunFolderError, one_line
from .batch import follow_batch, run_batch
from .common import (
    ERROR,
    INCOMPLETE,
    INTERRUPTED,
    LOCAL,
    OK,
    REFUSED,
    Address,
    ExecutorOption,
    FileArgument,
    Frames,
    Port,
    RunArgument,
    Settings,
    SourceOption,
    Stopped,
    To,
    TokenFile,
    note,
    read_executor,
    read_pipeline,
)
from .sweep import follow_sweep

if TYPE_CHECKING:
    from ..config import Pipeline
    from ..report import Report
    from ..session import Run
    from ..signals import Signals


def demo(
    frames: Annotated[
        int, typer.Option(min=1, help="Frames to take, 30 a second.")
    ] = 200,
    to: To = None,
    executor: ExecutorOption = None,
    dashboard: Annotated[
        bool,
        typer.Option("--dashboard/--no-dashboard", help="Serve the page of the run."),
    ] = True,
) -> int:
    """Run a simulated microscope, live, and compare with what it shows in truth."""
    from .. import demo as library
    from ..progress import next_commands, show_next, show_report
    from ..signals import Signals
    from .page import Page

    with ExitStack() as stack:
        with Signals() as signals:
            run = library.start_demo(frames, to, executor=read_executor(executor))
            note(
                f"a simulated microscope takes {frames} frames of 512 x 512 at "
                f"{library.FPS:.0f} per second; results in {run.path}"
            )
            page = Page(run.path, opens=True) if dashboard else None
            if page is not None:
                stack.enter_context(page)
            report, code = follow_run(run, signals)
        truth = library.compare(report.path)
        show_report(report, [("truth", str(truth))] if truth else [])
        show_next(next_commands(report.path, table=library.TABLE, picture=True))
        if page is not None:
            page.stay()
    return code


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
    performance_report: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Write dask's report of the run to a file."),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Serve the page of the run meanwhile.")
    ] = False,
    port: Port = 0,
    address: Address = LOCAL,
    token_file: TokenFile = None,
) -> int:
    """Run a pipeline to its end."""
    from ..folder import new_folder
    from ..multirun.batch import is_batch
    from ..runs import start_pipeline
    from ..signals import Signals
    from .page import Page

    of_page = {"port": port, "address": address != LOCAL, "token-file": token_file}
    for option in (name for name, value in of_page.items() if value and not dashboard):
        raise ConfigError(f"--{option} is of the page: give --dashboard with it")
    pipeline = read_pipeline(file, source, executor, settings)
    if performance_report is not None:
        _report_to(performance_report, pipeline)
    place = to or (Path(pipeline.to) if pipeline.to else None)
    if resume and place is None:
        raise ConfigError(
            "--resume needs the run folder: give --to, or 'to' in the file"
        )
    place = place or new_folder(file.stem)
    if is_batch(pipeline):
        if performance_report is not None:
            raise ConfigError("--performance-report is of one run, a batch is many")
        if dashboard:
            raise ConfigError("--dashboard is of one run, a batch is many")
        return run_batch(pipeline, place, frames=frames, resume=resume)
    page = Page(place, port, address, token_file) if dashboard else nullcontext()
    with Signals() as signals:
        if resume and place.exists():
            if frames is not None:
                raise ConfigError(
                    "--frames belongs to the begin of a run; --resume goes on to the "
                    "number it was begun with; leave --frames out"
                )
            if performance_report is not None:
                raise ConfigError(
                    "--performance-report belongs to the begin of a run; leave it out"
                )
            with page:
                return _resume(place, signals, expected=pipeline)
        going = start_pipeline(pipeline, place, frames=frames)
        note(f"results in {place}")
        with page:
            report, code = follow_run(going, signals)
    show_end(report)
    if performance_report is not None:
        _show_report(performance_report)
    return code


def _report_to(file: Path, pipeline: "Pipeline") -> None:
    """Ask dask for its report of a run."""
    if pipeline.executor_name != "dask":
        raise ConfigError(
            "--performance-report is dask's: it needs executor dask, "
            f"got {pipeline.executor_name!r}"
        )
    given = pipeline.executor if isinstance(pipeline.executor, dict) else {}
    options = given.get("dask") or {}
    pipeline.executor = {
        "dask": {**options, "performance_report": str(file.absolute())}
    }


def _show_report(file: Path) -> None:
    is_there = file.is_file()
    note(f"performance report in {file}" if is_there else f"no report in {file}")


def resume(
    path: RunArgument,
    skipped: Annotated[
        bool,
        typer.Option(
            "--skipped", help="Analyse what was skipped; take nothing from the camera."
        ),
    ] = False,
    force_environment: Annotated[
        bool, typer.Option(help="Go on although package versions have changed.")
    ] = False,
) -> int:
    """Go on with a run from its first frame without a result."""
    from ..multirun.batch import is_batch_folder, resume_batch
    from ..multirun.sweep import is_sweep_folder, resume_sweep
    from ..signals import Signals

    with Signals() as signals:
        if is_sweep_folder(path):
            going = resume_sweep(path, force_environment=force_environment)
            return follow_sweep(going, signals)
        if is_batch_folder(path):
            batch = resume_batch(path, force_environment=force_environment)
            return follow_batch(batch, signals)
        return _resume(
            path, signals, skipped=skipped, force_environment=force_environment
        )


def _resume(
    path: Path,
    signals: "Signals",
    *,
    skipped: bool = False,
    force_environment: bool = False,
    expected: "Pipeline | None" = None,
) -> int:
    from ..folder import status as read_status
    from ..runs import resume as go_on
    from ..session import Run

    if expected is not None:
        _same_pipeline(path, expected)
    found = read_status(path)
    alerts = expected.alerts if expected is not None else None
    going = go_on(
        path,
        skipped=skipped,
        force_environment=force_environment,
        # they are no part of what is computed: a file may have others by now
        alerts=None if alerts is None else alerts.model_dump(),
        wait=False,
    )
    assert isinstance(going, Run)
    note(f"going on with {path}, {found['done'] + found['failed']} frames are in it")
    report, code = follow_run(going, signals, resumed=True)
    show_end(report)
    return code


def _same_pipeline(path: Path, expected: "Pipeline") -> None:
    """Refuse to go on with a run of another pipeline than the file's."""
    from ..config import build, read_yaml
    from ..difference import difference
    from ..folder import existing
    from ..job import Job, opened_again

    document = read_yaml(existing(path).pipeline)
    expected.source = opened_again(expected.source, document.get("recorded", {}))
    graph, handles = build(expected)
    graph.form = expected.source
    saved = {name: handle.step for name, handle in handles.items()}
    job = Job(graph, saved, expected.options())
    graph.source.close()
    differs = difference(document, job)
    if differs is not None:
        raise RunFolderError(
            f"{path} holds a run of another pipeline or source: {differs}; "
            "choose another folder, or resume it by: streamproc resume"
        )


def follow_run(
    run: "Run", signals: "Signals", *, resumed: bool = False
) -> "tuple[Report, int]":
    """Show a run until its end; return its report and exit code.

    Raises
    ------
    Stopped
        It was interrupted, or stopped by an error.
    """
    from ..progress import follow

    try:
        report = follow(run, signals)
    except KeyboardInterrupt as error:
        raise Stopped(INTERRUPTED, f"interrupted: {_so_far(run)}") from error
    except Exception as error:
        _end_early(run, error, resumed)
    if report.state in ("interrupted", "stopped"):
        # by a signal, or by somebody at the control port
        raise Stopped(INTERRUPTED, f"{report.reason}: {_so_far(run)}")
    if run.damage:
        raise Stopped(ERROR, f"{run.damage}; {_so_far(run)}")
    missing = _missing(run.path)
    if missing:
        note(f"error: {missing}")
    return report, INCOMPLETE if missing else OK


def _missing(path: Path) -> str | None:
    """Return how many frames have no result, and why the first one has none."""
    from ..folder import RunFolder, connect_readonly

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
    begun = run.report().frames.admitted or resumed
    if not begun and run.owns_folder:
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


def show_end(report: "Report") -> None:
    """Print a run's counts, and what may be done with its results."""
    from ..progress import next_commands, show_next, show_report
    from ..results import load

    results = load(report.path)
    table = next((t for t in results.tables if t in report.saved), None)
    is_empty = table is not None and report.frames.done and not report.objects
    show_report(report, [("objects", "0, in no frame any")] if is_empty else [])
    picture = bool(report.frames.done and (results.images or results.labels))
    show_next(
        next_commands(
            report.path, table=table, picture=picture, source="source" in report.saved
        )
    )
