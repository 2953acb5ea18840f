"""What is compared: two steps of a graph, or what runs have saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigError, nearest
from ..handle import Handle
from ..report import Report
from ..results import Results, load
from ..runs import run
from ..session import Run
from .comparison import done_frames

#: What can be compared: a step of a graph, or a run.
Side: TypeAlias = Handle | Results | Report | Run | str | Path

_PIXELS, _SMALL = ("labels", "mask"), ("table", "value")


@dataclass(frozen=True, slots=True)
class Saved:
    """One side: what a run has saved under a name."""

    results: Results
    name: str
    shown: str

    @property
    def is_labels(self) -> bool:
        """Whether it is a label image or a mask."""
        return self.name in self.results.labels


def branches(
    a: Handle,
    b: Handle,
    frames: int | None,
    to: str | Path | None,
    executor: str | Mapping[str, Any],
) -> tuple[Saved, Saved]:
    """Run two steps of a graph, and return what was saved."""
    for kinds in (_PIXELS, _SMALL):
        if a.kind in kinds and b.kind in kinds and a.name != b.name:
            report = run({a.name: a, b.name: b}, to, executor=executor, frames=frames)
            found = load(report.path)
            return Saved(found, a.name, a.name), Saved(found, b.name, b.name)
    raise ConfigError(
        f"{a.name!r} ({a.kind}) and {b.name!r} ({b.kind}) cannot be compared: give two "
        "steps that are labels or masks, or two that are tables or values"
    )


def saved(
    a: Side, b: Side | None, of: str | tuple[str, str] | None
) -> tuple[Saved, Saved]:
    """Return what two runs (or one) have saved under the names asked for."""
    one = _results(a)
    other = one if b is None else _results(b)
    mine, theirs = _names(one), _names(other)
    if of is None:
        of = _only(mine, theirs, is_one=b is None)
    first, second = (of, of) if isinstance(of, str) else of
    for name, known in ((first, mine), (second, theirs)):
        if name not in known:
            raise ConfigError(
                f"nothing to compare is saved as {name!r}{nearest(name, known)}"
            )
    if mine[first] != theirs[second]:
        raise ConfigError(
            f"{first!r} is {mine[first]}, {second!r} is {theirs[second]}: "
            "compare labels with labels, and numbers with numbers"
        )
    if one.path == other.path and first == second:
        raise ConfigError(
            f"{one.path} is compared with itself: name two things that it has saved"
        )
    if one.path == other.path:
        return Saved(one, first, first), Saved(other, second, second)
    shown = [p.name for p in (one.path, other.path)]
    if shown[0] == shown[1]:
        shown = [str(one.path), str(other.path)]
    ends = ["", ""] if first == second else [f": {first}", f": {second}"]
    return (
        Saved(one, first, shown[0] + ends[0]),
        Saved(other, second, shown[1] + ends[1]),
    )


def _results(side: Side) -> Results:
    if isinstance(side, Handle):
        raise ConfigError(
            f"compare takes two steps of a graph, or two runs, not step {side.name!r} "
            "alone"
        )
    if isinstance(side, Results):
        return side
    return load(side.path if isinstance(side, Report | Run) else side)


def _names(results: Results) -> dict[str, str]:
    """Return what a run has saved that can be compared, and what it is."""
    found = dict.fromkeys(results.labels, "a label image")
    return found | dict.fromkeys(results.tables, "a table")


def _only(mine: Mapping[str, str], theirs: Mapping[str, str], *, is_one: bool) -> str:
    shared = [name for name in mine if mine[name] == theirs.get(name)]
    if len(shared) == 1 and not is_one:
        return shared[0]
    what = ", ".join(shared) or "nothing"
    where = "the run has saved" if is_one else "both have saved"
    two = "two of them" if is_one else "one of them, or one of each"
    raise ConfigError(f"say what to compare: {where} {what}; give {two} as 'of'")


def common_frames(sides: tuple[Saved, Saved], frames: int | None) -> list[int]:
    """Return the first so many frames that are done in both."""
    one, other = (set(done_frames(side.results.path)) for side in sides)
    shared = one & other
    if not shared:
        raise ConfigError(
            f"no frame is done in both of {sides[0].results.path} and "
            f"{sides[1].results.path}: there is nothing to compare"
        )
    return sorted(shared)[:frames]
