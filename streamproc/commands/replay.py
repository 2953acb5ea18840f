"""``streamproc replay``: a recorded run once more, and what differs."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, StoreError, one_line
from .common import (
    ERROR,
    OK,
    ExecutorOption,
    RunArgument,
    Stopped,
    To,
    note,
    read_executor,
    read_pipeline,
)
from .run import follow_run, show_end

if TYPE_CHECKING:
    from ..config import Pipeline
    from ..equality import Comparison
    from ..signals import Signals

#: Differences that are printed.
_SHOWN = 10


def replay(
    path: RunArgument,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare every frame; keep nothing without --to."
        ),
    ] = False,
    pipeline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another graph on the same frames."),
    ] = None,
    to: To = None,
    executor: ExecutorOption = None,
) -> int:
    """Run a recorded graph again on the frames of a run, and compare."""
    from ..folder import existing, new_folder
    from ..signals import Signals

    existing(path)
    # "." has neither a name nor a folder beside it
    path = path.absolute()

    if verify and pipeline is not None:
        raise ConfigError(
            "--verify repeats the recorded graph, --pipeline runs another; give one"
        )
    other = None if pipeline is None else read_pipeline(pipeline)
    with Signals() as signals:
        if verify and to is None:
            return _verify_only(path, executor, signals)
        to = to or new_folder(f"replay-{path.name}")
        code = _replay(path, to, other, executor, signals)
    if verify:
        return max(code, _say_equal(path, to))
    if other is not None:
        _say_different(path, to)
    return code


def _verify_only(path: Path, executor: str | None, signals: "Signals") -> int:
    """Replay into a folder beside the run, which goes when all is compared."""
    try:
        beside = tempfile.TemporaryDirectory(prefix=".replay-", dir=path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write beside {path}: {error.strerror or error}; give --to"
        ) from error
    with beside as folder:
        to = Path(folder) / "run"
        try:
            code = _replay(path, to, None, executor, signals, copies_source=False)
        except Stopped as stopped:
            # what it says of the folder is over with the folder
            cause = stopped.__cause__
            why = one_line(cause) if isinstance(cause, Exception) else "interrupted"
            text = f"the replay of {path} ended early, nothing was compared: {why}"
            raise Stopped(stopped.code, text) from cause
        return max(code, _say_equal(path, to))


def _replay(
    path: Path,
    to: Path,
    pipeline: "Pipeline | None",
    executor: str | None,
    signals: "Signals",
    *,
    copies_source: bool = True,
) -> int:
    from ..runs import start_replay

    going = start_replay(
        path,
        to,
        pipeline=pipeline,
        executor=None if executor is None else read_executor(executor),
        copies_source=copies_source,
    )
    if copies_source:
        note(f"results in {to}")
    report, code = follow_run(going, signals)
    if copies_source:
        show_end(report)
    return code


def _say_equal(path: Path, to: Path) -> int:
    from ..equality import compare_ledgers
    from ..verify import verify

    found, stored = compare_ledgers(path, to), verify(path)
    checked = f"{found.frames:,} frames, {len(found.outputs)} outputs"
    if found.skipped:
        checked += f"; {found.skipped:,} frames were skipped, and have no result yet"
    if found.pending:
        checked += f"; {found.pending:,} frames are pending, and have no result yet"
    if not found.frames:
        raise Stopped(ERROR, f"nothing was compared: {path} has no result ({checked})")
    for text in [*found.told, *stored.problems][:_SHOWN]:
        print(text)
    if not found.is_equal:
        raise Stopped(
            ERROR,
            f"{found.differing:,} frames differ from their replay ({checked}); "
            f"{found.told[0]}",
        )
    if not stored.is_sound:
        raise Stopped(
            ERROR,
            f"the ledger equals its replay ({checked}), the store does not; "
            f"{stored.problems[0]}",
        )
    print(f"equal to its replay: {checked}")
    return OK


def _say_different(path: Path, to: Path) -> None:
    """Say what would have been different with the other graph."""
    from ..equality import compare_ledgers
    from ..multirun.comparison import dice, objects_per_frame
    from ..progress import show_rows

    found = compare_ledgers(path, to)
    rows = [("frames", f"{found.frames:,}, {_fates(found)}")]
    overlap = dice(path, to)
    for name, count in sorted(found.outputs.items()):
        text = f"differs in {count:,} frames" if count else "the same in all frames"
        if name in overlap:
            text += f", Dice {overlap[name]:.4f}"
        rows.append((name, text))
    before, after = objects_per_frame(path), objects_per_frame(to)
    if before is not None and after is not None:
        rows.append(("objects", f"{after:.2f} per frame, were {before:.2f}"))
    if not found.outputs:
        rows.append(("outputs", "no saved name is in both runs"))
    show_rows(rows)


def _fates(found: "Comparison") -> str:
    return (
        f"{found.differing:,} with another result"
        if found.differing
        else "no difference"
    )
