"""Start a run of one graph on one source into one folder, or go on with one."""

import multiprocessing
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import (
    LogConfig,
    Options,
    Pipeline,
    build,
    connect,
    parse,
    parse_options,
    read_yaml,
)
from .difference import difference
from .errors import ExecutorError, RunFolderError
from .folder import (
    RunFolder,
    connect_readonly,
    existing,
    fingerprint,
    new_folder,
    status,
    version_of,
)
from .frame import Source
from .graph import Graph
from .handle import Handle
from .job import Job, Saved, check_space, opened_again, take_handles, title
from .plugins import make_source
from .report import Report
from .schedule import Change, changes_in
from .session import Run
from .store.log import LogReader


def run(
    save: Saved,
    to: str | Path | None = None,
    *,
    executor: str | Mapping[str, Any] = "threads",
    frames: int | None = None,
    **options: Any,  # checked, by name, by Options
) -> Report:
    """Run a pipeline to its end and return the report.

    Parameters
    ----------
    save
        What to save: a mapping of names to handles. The kind decides where it goes:
        images and labels to OME-Zarr, tables and values to SQL. A handle, or a list
        of handles, alone: run it and save nothing (ledger and `stream` only).
    to
        The run folder, which must not exist; default ``runs/<UTC time>-<name>``.
    executor
        ``"inline"``, ``"threads"`` or ``{"threads": {"workers": 2}}``.
    frames
        Stop after so many frames.
    **options
        ``on_error``, ``log``, ``store``, ``limits``, ``sinks``, ``alerts`` as in YAML.

    Returns
    -------
    Report
        Counts, speed, latencies, and where the results are.

    Raises
    ------
    ConfigError, RunFolderError, SourceError
        Refused before the first frame; no folder is left behind.
    StreamprocError
        Stopped by an error later on; ``resume`` goes on from there.
    KeyboardInterrupt
        After Ctrl-C, once admitted frames are done.
    """
    return start(save, to, executor=executor, frames=frames, **options).wait()


def start(
    save: Saved,
    to: str | Path | None = None,
    *,
    executor: str | Mapping[str, Any] = "threads",
    frames: int | None = None,
    **options: Any,  # checked, by name, by Options
) -> Run:
    """Start a pipeline and return at once; see `run` for the parameters.

    Returns
    -------
    Run
        With ``wait``, ``drain``, ``stop`` and live counts.
    """
    executor = dict(executor) if isinstance(executor, Mapping) else executor
    checked = parse_options({"executor": executor, **options})
    graph, saved, wanted = take_handles(save)
    job = Job(graph, saved, checked, wanted=wanted, frames=frames)
    return _launch(job, to)


def start_pipeline(
    pipeline: Pipeline, to: str | Path | None = None, *, frames: int | None = None
) -> Run:
    """Start what a YAML file describes."""
    graph, handles = build(pipeline)
    saved = {name: handle.step for name, handle in handles.items()}
    graph.form = pipeline.source
    job = Job(graph, saved, pipeline.options(), frames=frames)
    return _launch(job, to or pipeline.to)


def resume(
    path: str | Path,
    *,
    skipped: bool = False,
    force_environment: bool = False,
    alerts: Mapping[str, Any] | None = None,
    wait: bool = True,
) -> Report | Run:
    """Go on with a run from the first frame without a ledger row.

    Parameters
    ----------
    path
        The run folder.
    skipped
        Analyse what is in the raw log and was skipped, or is pending, and take nothing
        from the camera. What runs in frame order runs on all frames.
    force_environment
        Go on although package versions differ from those it began with.
    alerts
        In place of those it began with, as in the YAML file.
    wait
        Return the report at its end, else the `Run`.

    Returns
    -------
    Report or Run
        As ``wait`` says.

    Raises
    ------
    RunFolderError
        No run folder, one in use, or a run that cannot be resumed; the message
        names the difference.
    """
    folder = existing(path)
    document = read_yaml(folder.pipeline)
    pipeline = parse(document, str(folder.pipeline))
    past = pipeline.recorded
    if past.get("not_resumable"):
        raise RunFolderError(f"{path} cannot be resumed: {past['not_resumable']}")
    if not force_environment:
        _same_environment(folder, past.get("environment", {}))
    pipeline.source = opened_again(pipeline.source, past)
    if alerts is not None:
        pipeline.alerts = parse_options({"alerts": alerts}).alerts
    if skipped:
        graph, handles = connect(pipeline, _logged(folder))
    else:
        graph, handles = build(pipeline, may_save_nothing=True)
    job = _recorded_job(pipeline, graph, handles, past.get("frames"))
    # of a replay; it may have died before its ledger knew them
    job.changes = [Change.of(*row) for row in past.get("changes", ())]
    differs = difference(document, job)
    if differs is not None:
        graph.source.close()
        raise RunFolderError(
            f"{folder.path} cannot be resumed: {differs}; start a new run instead"
        )
    going = Run(job, folder, resumed=True, again=skipped)
    return going.wait() if wait else going


def start_replay(
    path: str | Path,
    to: str | Path | None = None,
    *,
    pipeline: Pipeline | None = None,
    executor: str | Mapping[str, Any] | None = None,
    copies_source: bool = True,
) -> Run:
    """Start a run on the frames of a run that was, with its graph or another.

    A live run is replayed from its raw log, a recording from its source. With its own
    graph the changes of parameters are repeated, each at its frame. Sinks and alerts
    are not.

    Parameters
    ----------
    path
        The run folder.
    to
        The new run folder.
    pipeline
        Another graph; its source is not used. Default: the recorded one.
    executor
        Default: the recorded one, or that of ``pipeline``.
    copies_source
        Save the source's pixels again, where the run saved them.

    Raises
    ------
    RunFolderError, SourceError
        No run folder, or its frames are gone.
    ConfigError
        The graph cannot run (on this source).
    """
    folder = existing(path)
    recorded = parse(read_yaml(folder.pipeline), str(folder.pipeline))
    given = recorded if pipeline is None else pipeline
    source, frames = _replayed(folder, recorded)
    save = {k: v for k, v in given.saved.items() if copies_source or k != "source"}
    chosen = given.executor if executor is None else executor
    log = LogConfig() if given.log == "none" else given.log
    again = given.model_copy(
        update={
            "source": source,
            "save": save,
            "executor": dict(chosen) if isinstance(chosen, Mapping) else chosen,
            "log": log,
            "sinks": [],
            "alerts": None,
            # a frame that stopped the run has no row: it is no difference
            "on_error": "record",
        }
    )
    graph, handles = build(again, may_save_nothing=True)
    reader = getattr(graph.source, "log", None)
    if isinstance(reader, LogReader) and not reader.is_whole():
        raise RunFolderError(
            f"{path} cannot be replayed: the raw log of its first frames was not kept "
            "(log.keep_raw: false)"
        )
    job = _recorded_job(again, graph, handles, frames)
    if pipeline is None:
        was = recorded.recorded.get("source_identity")
        if graph.source.info.identity != was:
            raise RunFolderError(
                f"{path} cannot be replayed: the source is not the same (files, their "
                "sizes or pixels differ)"
            )
        job.changes = _changes_of(folder)
    return _launch(job, to)


def _replayed(folder: RunFolder, recorded: Pipeline) -> tuple[Any, int | None]:
    """Return the source's form of a replay, and how many of its frames were run.

    Raises
    ------
    RunFolderError
        They are gone, or there are none.
    """
    if recorded.log == "none":
        raise RunFolderError(
            f"{folder.path} cannot be replayed: its frames were kept in memory only "
            "(log: none)"
        )
    if folder.journal.exists():
        return {"log": {"path": str(folder.path.absolute())}}, None
    told = status(folder.path)
    frames = told["admitted"] - told["pending"]
    if not frames:
        raise RunFolderError(f"{folder.path} has no frame with a result to replay yet")
    return recorded.source, frames


def _changes_of(folder: RunFolder) -> list[Change]:
    """Return how parameters were changed during a run, in their order."""
    with closing(connect_readonly(folder.ledger)) as db:
        rows = db.execute("SELECT * FROM parameters ORDER BY rowid").fetchall()
    return changes_in(rows)


def _recorded_job(
    pipeline: Pipeline,
    graph: Graph,
    handles: Mapping[str, Handle],
    frames: int | None,
) -> Job:
    """Return what a run was to do, on its source or on its raw log."""
    past = pipeline.recorded
    graph.form = pipeline.source
    saved = {name: handle.step for name, handle in handles.items()}
    wanted = [graph.steps[n] for n in past.get("ran", ()) if n in graph.steps]
    return Job(
        graph, saved, _without_report(pipeline.options()), wanted=wanted, frames=frames
    )


def _without_report(options: Options) -> Options:
    """Return the options without dask's report: it was of the first session."""
    given = options.executor
    if options.executor_name != "dask" or isinstance(given, str):
        return options
    kept = {k: v for k, v in (given["dask"] or {}).items() if k != "performance_report"}
    return options.model_copy(update={"executor": {"dask": kept}})


def _logged(folder: RunFolder) -> Source:
    """Return the raw log of a live run in place of its camera.

    Raises
    ------
    RunFolderError
        It has none.
    """
    if not folder.journal.exists():
        raise RunFolderError(
            f"{folder.path} has no raw log, so none of its frames was skipped; go on "
            f"with it by: streamproc resume {folder.path}"
        )
    source = make_source({"log": {"path": str(folder.path)}})
    info = replace(source.info, live=True, random_access=False)
    source.info = info  # type: ignore[misc]  # it stands for the camera
    return source


def _same_environment(folder: RunFolder, past: Mapping[str, str]) -> None:
    # a name that is no part of every fingerprint is a plugin's package
    now = {**{name: version_of(name) for name in past}, **fingerprint()}
    changed = [
        f"{name} was {past.get(name, 'unknown')}, is {now[name]}"
        for name in now
        if past.get(name) != now[name]
    ]
    if changed:
        raise RunFolderError(
            f"{folder.path} was begun in another environment ({'; '.join(changed)}); "
            "results may differ in their last bits; --force-environment resumes anyway"
        )


def _launch(job: Job, to: str | Path | None) -> Run:
    _refuse_while_imported(job)
    path = Path(os.path.normpath(to)) if to is not None else new_folder(title(job))
    folder = RunFolder(path)
    check_space(job, path)
    folder.create(job.document())
    try:
        return Run(job, folder, resumed=False)
    except BaseException:
        folder.remove()
        raise


def _refuse_while_imported(job: Job) -> None:
    """Refuse to start dask workers in a process that is itself being started as one.

    It imports the script that starts it: without a guard that script would start
    workers again.
    """
    is_worker = getattr(multiprocessing.current_process(), "_inheriting", False)
    if is_worker and job.options.executor_name == "dask":
        raise ExecutorError(
            "a script that runs on dask is imported by its own workers; put the run "
            "below: if __name__ == '__main__':"
        )
