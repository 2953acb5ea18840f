"""A batch: one run per image, sizes may differ, one index over all of them."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

from .. import check
from ..config import Pipeline, parse, read_yaml
from ..errors import (
    ConfigError,
    RunFolderError,
    SourceError,
    StoreError,
    one_line,
)
from ..folder import RunFolder, existing, new_folder, status
from ..job import absolute
from ..plugins import load, source_form
from ..report import Report
from ..runs import resume as resume_run
from ..runs import start_pipeline
from ..session import Run
from ..store.lock import RunLock, is_locked
from .index import RESERVED, ImageRow, Index, counts, read_images, unique_names


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The end of a batch.

    ``path`` is its folder, ``images`` has a row per image, in order, as the table
    ``images`` of ``path/index.sqlite``.
    """

    path: Path
    images: tuple[ImageRow, ...]

    @property
    def failed(self) -> tuple[ImageRow, ...]:
        """Images that failed, or have frames that did."""
        return tuple(row for row in self.images if row.error)

    def __str__(self) -> str:
        """Return the counts and the place in one line."""
        done = sum(row.state == "finished" for row in self.images)
        return f"{done} of {len(self.images)} images finished; {self.path}"


def run_batch(
    pipeline: str | Path | Mapping[str, Any],
    to: str | Path | None = None,
    *,
    frames: int | None = None,
    resume: bool = False,
) -> BatchReport:
    """Run a pipeline once per image, one after the other, and join the tables.

    An image that fails is recorded and does not stop the others, unless the pipeline
    says ``on_error: stop``. Each run is a run folder of its own, ``to/<image>/``;
    ``to/index.sqlite`` has all saved tables, with a leading column ``image``, and the
    table ``images(image, path, state, frames, objects, error, run)``.

    Parameters
    ----------
    pipeline
        A pipeline file, or the mapping in it, whose source is
        ``{files: {path: …, batch: true}}``.
    to
        The batch's folder, which must not exist; default: the pipeline's ``to``,
        else ``runs/<UTC time>-<name>``.
    frames
        Stop each run after so many frames.
    resume
        Go on with the batch in ``to``, if it exists: finished images are skipped,
        the unfinished one is resumed, failed ones are tried again.

    Returns
    -------
    BatchReport
        A row per image.

    Raises
    ------
    ConfigError, RunFolderError, SourceError
        Refused before the first image; no folder is left behind.
    StreamprocError
        Stopped by an error (``on_error: stop``, a full disk); resumable.
    KeyboardInterrupt
        After Ctrl-C, once admitted frames are done; resumable.
    """
    if isinstance(pipeline, Mapping):
        parsed, name = parse(pipeline), "batch"
    else:
        parsed, name = parse(read_yaml(Path(pipeline)), str(pipeline)), str(pipeline)
    place = Path(to or parsed.to or new_folder(Path(name).stem))
    if resume and place.exists():
        batch = resume_batch(place, expected=parsed)
    else:
        batch = start_batch(parsed, place, frames=frames)
    with batch:
        return batch.run()


def is_batch(pipeline: Pipeline) -> bool:
    """Return whether a pipeline is a batch: its source says ``batch: true``."""
    form = pipeline.source
    if isinstance(form, str) or len(form) != 1:
        return False
    (parameters,) = form.values()
    return isinstance(parameters, Mapping) and parameters.get("batch") is True


def is_batch_folder(path: str | Path) -> bool:
    """Return whether the run folder at ``path`` is a batch's."""
    folder = RunFolder(Path(path))
    if not folder.pipeline.exists() or folder.ledger.exists():
        return False
    return is_batch(parse(read_yaml(folder.pipeline), str(folder.pipeline)))


def images_of(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Return the images of a batch: the name and the absolute path of each.

    Raises
    ------
    SourceError
        There are none.
    ConfigError
        The source is none that a batch can be made of.
    """
    name, parameters = _source(pipeline)
    kind = load("sources", name, "source")
    if not hasattr(kind, "images"):
        raise ConfigError(f"source.{name}.batch: needs a source of files, got {name!r}")
    if "path" not in parameters:
        raise ConfigError(f"source.{name}.path: source {name!r} needs 'path'")
    found = kind.images(parameters["path"])
    return unique_names([(title, os.path.abspath(path)) for title, path in found])


def one(pipeline: Pipeline, path: str) -> Pipeline:
    """Return the pipeline of the run of one image."""
    name, parameters = _source(pipeline)
    source = {name: {**parameters, "path": path, "batch": False}}
    return pipeline.model_copy(update={"source": source, "to": None, "recorded": {}})


def first_readable(pipeline: Pipeline, images: Iterable[tuple[str, str]]) -> Pipeline:
    """Return the pipeline of the first image that opens, checked on it.

    Raises
    ------
    ConfigError
        The pipeline is wrong.
    SourceError
        None of the images opens.
    """
    reasons = []
    for _, path in images:
        pipeline_of_one = one(pipeline, path)
        try:
            steps, _ = check.check(pipeline_of_one)
        except SourceError as error:
            reasons.append(one_line(error))
            continue
        kinds = {step.name: step.kind for step in steps}
        for name, step in pipeline.saved.items():
            if name.lower() in RESERVED and kinds.get(step) in ("table", "value"):
                raise ConfigError(
                    f"save: {name!r} is a table of the batch's index; "
                    "name this step otherwise"
                )
        return pipeline_of_one
    raise SourceError(f"none of the {len(reasons)} images can be read: {reasons[0]}")


def start_batch(
    pipeline: Pipeline, to: str | Path, *, frames: int | None = None
) -> "Batch":
    """Check a batch on its first image, and make its folder."""
    if not is_batch(pipeline):
        raise ConfigError(
            "source: a batch needs {files: {path: …, batch: true}}, "
            f"got {pipeline.source!r}"
        )
    images = images_of(pipeline)
    first_readable(pipeline, images)
    folder = RunFolder(Path(os.path.normpath(to)))
    folder.create(_document(pipeline, frames))
    folder.drop_ballast()
    return Batch(folder, images)


def resume_batch(
    path: str | Path,
    *,
    expected: Pipeline | None = None,
    force_environment: bool = False,
) -> "Batch":
    """Open the folder of a batch to go on with it.

    Raises
    ------
    RunFolderError
        It is none, is in use, or is another pipeline's than the one expected.
    """
    folder = RunFolder(Path(path))
    if not is_batch_folder(path):
        existing(path)
        raise RunFolderError(f"{path} is a run of one image, no batch")
    if expected is not None:
        past = parse(read_yaml(folder.pipeline), str(folder.pipeline))
        if _matters(past) != _matters(expected):
            raise RunFolderError(
                f"{path} holds a batch of another pipeline or source; "
                "choose another folder, or resume it by: streamproc resume"
            )
    return Batch(folder, None, force_environment=force_environment)


class Batch:
    """The runs of a batch, in its folder; a context manager that holds its lock."""

    def __init__(
        self,
        folder: RunFolder,
        images: list[tuple[str, str]] | None,
        *,
        force_environment: bool = False,
    ) -> None:
        self.folder = folder
        self._force = force_environment
        self._pipeline = parse(read_yaml(folder.pipeline), str(folder.pipeline))
        self._lock = RunLock(folder.lock)
        self._lock.acquire()
        try:
            self._index = Index(folder.path)
            if not self._index.images():
                self._index.add(images or images_of(self._pipeline))
            rows = self._index.images()
        except BaseException:
            self.close()
            raise
        #: images that have ended, and those of them that failed or have frames that did
        self.settled = sum(row.state == "finished" for row in rows)
        self.failed = sum(row.state == "finished" and bool(row.error) for row in rows)

    def __enter__(self) -> "Batch":
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the index and give the lock back."""
        self.close()

    def close(self) -> None:
        """Close the index and give the lock back."""
        if hasattr(self, "_index"):
            self._index.close()
        self._lock.release()

    @property
    def images(self) -> list[ImageRow]:
        """The images, as far as they have come."""
        return self._index.images()

    def run(self, wait: Callable[[Run], Report] = Run.wait) -> BatchReport:
        """Run every image that is not finished.

        Parameters
        ----------
        wait
            Called with each run, to wait for its end.
        """
        for row in self.images:
            if row.state == "finished":
                continue
            try:
                self._run_one(row, wait)
            except StoreError:
                if not self.settled and not (self.folder.path / row.image).exists():
                    # refused before the first frame: no room
                    self.close()
                    self.folder.remove()
                raise
        return BatchReport(self.folder.path, tuple(self.images))

    def _run_one(self, row: ImageRow, wait: Callable[[Run], Report]) -> None:
        run = None
        try:
            run = self._begin(row)
            wait(run)
        except StoreError:
            # a disk that is full or gone is so for every image
            raise
        except Exception as error:
            # a run may fail in any way; the images after it need not
            self._failed(row, run, error)
            if self._pipeline.on_error == "stop":
                raise
            return
        self._finished(row, run)

    def _begin(self, row: ImageRow) -> Run:
        folder = self.folder.path / row.image
        if folder.exists():
            force = self._force
            going = resume_run(folder, force_environment=force, wait=False)
            return cast(Run, going)
        frames = self._pipeline.recorded.get("frames")
        return start_pipeline(one(self._pipeline, row.path), folder, frames=frames)

    def _failed(self, row: ImageRow, run: Run | None, error: Exception) -> None:
        state: Literal["failed"] = "failed"
        failed = replace(row, state=state, error=one_line(error))
        if run is not None and not run.report().frames.admitted:
            run.folder.remove()
        elif run is not None:
            frames, objects, _ = _counts(run)
            failed = replace(failed, frames=frames, objects=objects)
        if (self.folder.path / row.image).exists():
            failed = replace(failed, run=row.image)
        self._record(failed, run)

    def _finished(self, row: ImageRow, run: Run) -> None:
        frames, objects, error = _counts(run)
        state: Literal["finished"] = "finished"
        finished = replace(
            row,
            state=state,
            frames=frames,
            objects=objects,
            error=run.damage or error,
            run=row.image,
        )
        self._record(finished, run)

    def _record(self, row: ImageRow, run: Run | None) -> None:
        ledger = None if run is None or row.run is None else run.folder.ledger
        try:
            self._index.record(row, ledger)
        except ConfigError as error:
            state: Literal["failed"] = "failed"
            row = replace(row, state=state, error=one_line(error))
            self._index.record(row)
        self.settled += 1
        self.failed += row.error is not None


def _counts(run: Run) -> tuple[int, int | None, str | None]:
    tables = [n for n, s in run.job.saved.items() if s.operator == "measure"]
    return counts(run.folder.ledger, tables)


def batch_status(path: str | Path) -> dict[str, Any]:
    """Return the status of a batch: the keys of a run's, summed over its runs."""
    folder = RunFolder(Path(path))
    rows = read_images(folder.path)
    places = [folder.path / row.image for row in rows]
    found = [status(place) for place in places if place.is_dir()]
    waiting = not rows or any(row.state == "pending" for row in rows)
    state = "interrupted" if waiting else "finished"
    failed = [f"{row.image}: {row.error}" for row in rows if row.error]
    keys = ("admitted", "done", "failed", "skipped", "lost", "pending")
    speeds = [one["fps"] for one in found if one["fps"]]
    return {
        "state": "running" if is_locked(folder.lock) else state,
        **{key: sum(one[key] for one in found) for key in keys},
        "fps": sum(speeds) / len(speeds) if speeds else 0.0,
        "latency_ms": {"p50": None, "p99": None},
        "saved": list(dict.fromkeys(name for one in found for name in one["saved"])),
        "reason": f"{len(failed)} images failed; {failed[0]}" if failed else None,
    }


def _source(pipeline: Pipeline) -> tuple[str, dict[str, Any]]:
    form = source_form(pipeline.source) or {}
    name, parameters = next(iter(form.items()))
    return str(name), parameters


def _matters(pipeline: Pipeline) -> tuple[Any, ...]:
    """Return what two pipelines must have in common to be one batch."""
    document = _document(pipeline, None)
    return tuple(document[key] for key in ("source", "graph", "save"))


def _document(pipeline: Pipeline, frames: int | None) -> dict[str, Any]:
    """Return what the batch's ``pipeline.yaml`` says: a batch that runs again."""
    given = pipeline.model_dump(exclude={"to", "recorded"})
    return {
        **given,
        "source": absolute(pipeline.source),
        "recorded": {"streamproc": version("streamproc"), "frames": frames},
    }
