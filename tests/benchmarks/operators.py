"""Every operator beside its oracle at 1024²: whether they agree, and CPU time."""

import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from streamproc import ops
from tests.ops.cases import Case, all_cases
from tests.ops.pictures import Array, cells

#: The shapes of planes and of volumes: a million pixels each.
PLANE, VOLUME = (1024, 1024), (16, 256, 256)
DTYPES = ("uint16", "float32")
#: CPU seconds that all rounds of one oracle may take, and one measurement at least.
PATIENCE, SHORTEST = 2.0, 0.02
#: How far numbers of a table may be apart, as a share of the largest in the column.
COLUMNS = 1e-5
#: Slower than this many times the oracle is never all right.
FLOOR = 0.9

Call = Callable[[], Any]


@dataclass(frozen=True)
class Timed:
    """One case on one kind of picture."""

    case: Case
    title: str
    dtype: str
    #: largest difference: 0 is equal
    apart: float
    ours: float
    oracle: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the oracle."""
        return self.oracle / self.ours

    @property
    def bound(self) -> float:
        """How far it may be from the oracle: columns of numbers to five digits."""
        gives = ops.OPERATORS[self.case.operator].gives
        return COLUMNS if gives in ("table", "value") else self.case.bound

    @property
    def agreement(self) -> str:
        """In words."""
        return "equal" if not self.apart else f"{self.apart:.1e}"

    @property
    def mark(self) -> str:
        """What is wrong with it: less than asked, slower than the oracle, too far."""
        marks = "≠" if self.apart > self.bound else ""
        if self.ratio < FLOOR:
            return f"{marks}!!"
        return f"{marks}!" if self.ratio < self.case.asked else marks


@dataclass
class Table:
    """All that was measured."""

    rows: list[Timed] = field(default_factory=list)

    def summary(self) -> str:
        """Return how many cases there are, and which are not as they should be."""
        said = [f"{len(self.rows)} rows; !: below what is asked, !!: below {FLOOR}"]
        for title, wrong in (
            (f"slower than {FLOOR} times the oracle", self._marked("!!")),
            ("below what is asked", self._marked("!")),
            ("farther from the oracle than said", self._marked("≠")),
        ):
            said.append(f"{title}: {', '.join(wrong) or 'none'}")
        return "\n".join(said)

    def _marked(self, mark: str) -> list[str]:
        found = [r for r in self.rows if mark in r.mark]
        return list(dict.fromkeys(f"{r.title} {r.dtype}" for r in found))

    def markdown(self, rounds: int) -> str:
        """Return the table for the documentation: a row per operator, dtypes aside."""
        named = ("numpy", "scipy", "scikit-image", "opencv-python-headless", "numba")
        versions = ", ".join(f"{name} {version(name)}" for name in named)
        lines = [
            f"Medians of up to {rounds} rounds in turns in one process on one core: "
            "CPU time at 1024² (volumes: 16 × 256²), ratio = oracle / ours. "
            f"Python {platform.python_version()}, {versions}.",
            "",
            "| operator | equals | agreement | " + _heads(DTYPES) + " |",
            "| --- | --- | --- |" + " --- | --- |" * len(DTYPES),
        ]
        titles = dict.fromkeys(row.title for row in self.rows)
        for title in titles:
            lines.append(self._line([r for r in self.rows if r.title == title]))
        return "\n".join([*lines, ""])

    def _line(self, rows: Sequence[Timed]) -> str:
        by_dtype = {row.dtype: row for row in rows}
        # what takes no image has one column for both
        first = rows[0]
        worst = max(rows, key=lambda row: row.apart)
        oracle = ops.OPERATORS[first.case.operator].oracle
        parts = [first.title, f"`{oracle}`" if oracle else "", worst.agreement]
        for dtype in DTYPES:
            row = by_dtype.get(dtype, first if first.dtype not in DTYPES else None)
            ms = f"{row.ours * 1e3:.3g} ms" if row else ""
            parts += [ms, f"{_times(row.ratio)}×" if row else ""]
        return f"| {' | '.join(parts)} |"


def bench_operators(
    names: Sequence[str], rounds: int, markdown: Path | None = None
) -> Table:
    """Time every case, or those of the operators named, and print a line for each."""
    cv2.setNumThreads(1)
    cases = [c for c in all_cases() if c.timed and (not names or c.operator in names)]
    print(
        f"\n{'operator':44s} {'on':9s} agreement   ours ms  oracle ms    ratio  asked"
    )
    table = Table()
    for case in sorted(cases, key=lambda case: (case.operator, str(case))):
        for title, dtype, inputs in pictures(case):
            row = measure(case, title, dtype, inputs, rounds)
            table.rows.append(row)
            print(
                f"{title:44s} {dtype:9s} {row.agreement:9s} {row.ours * 1e3:9.3f} "
                f"{row.oracle * 1e3:10.2f} {_times(row.ratio):>8s} {case.asked:6g} "
                f"{row.mark}",
                flush=True,
            )
    print(table.summary())
    if markdown is not None:
        markdown.write_text(table.markdown(rounds), encoding="utf-8")
    return table


def pictures(case: Case) -> Iterator[tuple[str, str, tuple[Array, ...]]]:
    """Yield title, dtype (or kind) and inputs of each row of a case."""
    shape = PLANE if 2 in case.ndims else VOLUME
    kinds = ops.OPERATORS[case.operator].takes[0]
    if "image" in kinds:
        for dtype in DTYPES:
            if dtype in case.dtypes:
                yield str(case), dtype, case.given(shape, dtype, 0)
        return
    kind = kinds[0]
    dtype = "uint16" if "uint16" in case.dtypes else case.dtypes[0]
    yield str(case), kind, case.given(shape, dtype, 0)
    if kind == "labels" and case.inputs is None:
        picture = cells(shape, "uint16", 0, count=3000)
        labels = np.asarray(ops.label(picture > 0.2 * picture.max()))
        _, *others = case.given(shape, dtype, 0)
        yield f"{case}, 3,000 objects", kind, (labels, *others)


def measure(
    case: Case, title: str, dtype: str, inputs: tuple[Array, ...], rounds: int
) -> Timed:
    """Compare and time one case; the first call of ours is not counted."""
    ours = case.ours(*inputs)
    start = time.process_time()
    theirs = case.oracle(*inputs)
    first = time.process_time() - start
    distance = apart(ours, theirs, inputs[0])
    # a slow oracle is called a few times, a very slow one was called once
    turns = int(min(rounds, max(PATIENCE / max(first, 1e-9), 1)))
    mine, its = in_turns(
        lambda: case.ours(*inputs),
        (lambda: case.oracle(*inputs)) if turns > 1 else None,
        rounds=max(turns, min(rounds, 3)),
    )
    return Timed(
        case,
        title,
        dtype,
        distance,
        statistics.median(mine),
        statistics.median(its) if its else first,
    )


def in_turns(
    ours: Call, oracle: Call | None, *, rounds: int
) -> tuple[list[float], list[float]]:
    """Return CPU seconds per call of both, round by round.

    What the other one left behind, garbage and cold caches, is nobody's time: a turn
    begins with a call that is not counted.
    """
    calls = [ours] if oracle is None else [ours, oracle]
    times: list[list[float]] = [[], []]
    repeats = [_repeats(call) for call in calls]
    for _ in range(rounds):
        for call, count, into in zip(calls, repeats, times, strict=False):
            gc.collect()
            if count > 1:
                call()
            start = time.process_time()
            for _ in range(count):
                call()
            into.append((time.process_time() - start) / count)
    return times[0], times[1]


def _repeats(call: Call) -> int:
    """Return how many calls make a measurement that is long enough."""
    call()
    start = time.process_time()
    call()
    return int(SHORTEST / max(time.process_time() - start, 1e-6)) + 1


def apart(ours: Any, theirs: Any, image: Array) -> float:
    """Return the largest difference, 0 where both are equal.

    Of pixels as a share of the largest pixel of the input, of columns of numbers of
    the largest number in the column.
    """
    if isinstance(ours, pd.DataFrame):
        ours = {str(name): column.to_numpy() for name, column in ours.items()}
    if isinstance(ours, Mapping):
        return max(_apart(ours[n], theirs[n], theirs[n]) for n in ours)
    return _apart(ours, theirs, image)


def _apart(ours: Any, theirs: Any, scale: Any) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return float("inf")
    if np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    largest = float(np.nanmax(np.abs(np.asarray(scale, np.float64)), initial=0.0))
    return float(np.nanmax(difference)) / (largest or 1.0)


def _times(ratio: float) -> str:
    """Return a ratio with the digits that mean something."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}"


def _heads(dtypes: Sequence[str]) -> str:
    return " | ".join(f"{dtype} | ratio" for dtype in dtypes)
