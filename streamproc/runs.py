"""Start a run of one graph on one source into one folder, or go on with one."""

import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config import Pipeline, build, parse, parse_options, read_yaml
from .errors import ExecutorError, RunFolderError
from .folder import RunFolder, existing, fingerprint, new_folder, version_of
from .job import Job, Saved, check_space, take_handles, title
from .report import Report
from .session import Run


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
        ``on_error``, ``log``, ``store``, ``limits``, ``sinks`` as in the YAML file.

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
    path: str | Path, *, force_environment: bool = False, wait: bool = True
) -> Report | Run:
    """Go on with a run from the first frame without a ledger row.

    Parameters
    ----------
    path
        The run folder.
    force_environment
        Go on although package versions differ from those it began with.
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
    graph, handles = build(pipeline, may_save_nothing=True)
    graph.form = pipeline.source
    saved = {name: handle.step for name, handle in handles.items()}
    wanted = [graph.steps[n] for n in past.get("ran", ()) if n in graph.steps]
    job = Job(
        graph, saved, pipeline.options(), wanted=wanted, frames=past.get("frames")
    )
    if job.plan.identity(graph.source.info.identity) != past.get("identity"):
        raise RunFolderError(_difference(folder, job, past))
    going = Run(job, folder, resumed=True)
    return going.wait() if wait else going


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


def _difference(folder: RunFolder, job: Job, past: Mapping[str, Any]) -> str:
    source = job.graph.source.info.identity
    if past.get("source_identity") != source:
        what = "the source is not the same (files, their sizes or pixels differ)"
    elif past.get("functions") != job.function_hashes():
        what = "the source text of a function of the graph has changed"
    else:
        what = "graph, parameters or saved names have changed"
    return f"{folder.path} cannot be resumed: {what}; start a new run instead"


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
