"""Counters, latencies and per-second summaries of a run."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_STEP = math.log(1.02)
#: Durations that percentiles are those of: the last ones.
LATE = 512


class Latency:
    """A histogram of durations with 2 % wide bins: small, whatever the count."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0
        self.total = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        index = math.floor(math.log(max(milliseconds, 1e-4)) / _STEP)
        self._bins[index] = self._bins.get(index, 0) + 1
        self.count += 1
        self.total += milliseconds

    def percentile(self, percent: float) -> float | None:
        """Return the duration in ms below which ``percent`` % lie (within 2 %)."""
        if not self.count:
            return None
        wanted, seen = self.count * percent / 100, 0
        for index in sorted(self._bins):
            seen += self._bins[index]
            if seen >= wanted:
                return math.exp((index + 0.5) * _STEP)
        return None


@dataclass(slots=True)
class Durations:
    """How long something took, frame by frame: of all in sum, of the last in full."""

    frames: int = 0
    #: of which it failed
    failed: int = 0
    seconds: float = 0.0
    late: deque[float] = field(default_factory=lambda: deque(maxlen=LATE))

    def add(self, seconds: float) -> None:
        """Count one frame."""
        self.frames += 1
        self.seconds += seconds
        self.late.append(seconds)

    def told(self) -> dict[str, float | None]:
        """Return sums, and mean and percentiles of the last `LATE` frames in ms."""
        late = sorted(self.late)
        n = len(late)
        return {
            "frames": self.frames,
            "failed": self.failed,
            "seconds": self.seconds,
            "ms": 1e3 * sum(late) / n if n else None,
            "p50": 1e3 * late[n // 2] if n else None,
            "p99": 1e3 * late[n * 99 // 100] if n else None,
        }


@dataclass
class Counters:
    """How many frames met which fate; admitted = done + failed + skipped + pending."""

    admitted: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    objects: int = 0

    @property
    def pending(self) -> int:
        """Frames admitted whose fate is still open."""
        return self.admitted - self.done - self.failed - self.skipped


@dataclass
class Metrics:
    """What a run knows of itself while it goes on; read from any thread."""

    counters: Counters = field(default_factory=Counters)
    latency: Latency = field(default_factory=Latency)
    #: of committed frames, by step, and by what is no step: (read), (encode), (commit)
    steps: dict[str, Durations] = field(default_factory=dict)
    #: by what frames wait for on their way: log, worker, computing, turn, commit
    stages: dict[str, Durations] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    finished: float | None = None
    committed_here: int = 0
    peak_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __repr__(self) -> str:
        c = self.counters
        return (
            f"<Metrics {c.admitted} admitted: {c.done} done, {c.failed} failed, "
            f"{c.skipped} skipped, {c.pending} pending; {self.fps:.1f} fps>"
        )

    @property
    def fps(self) -> float:
        """Frames committed by this process per second of its run."""
        end = self.finished if self.finished is not None else time.perf_counter()
        return self.committed_here / max(end - self.started, 1e-9)

    def step(self, name: str) -> Durations:
        """Return the durations of a step."""
        return self.steps.setdefault(name, Durations())

    def took(self, stage: str, seconds: Iterable[float]) -> None:
        """Count how long frames were in a stage (any thread)."""
        with self.lock:
            durations = self.stages.setdefault(stage, Durations())
            for each in seconds:
                durations.add(each)

    def milliseconds(self) -> dict[str, float]:
        """Return mean milliseconds per frame by step."""
        frames = max(self.committed_here, 1)
        with self.lock:
            known = dict(self.steps)
        found = {}
        for name, durations in known.items():
            plain = name.strip("()")
            name = name if plain in known else plain
            found[name] = 1e3 * durations.seconds / frames
        return found


@dataclass(slots=True)
class _Bucket:
    time: float
    done: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    objects: int = 0
    area: float = 0.0
    intensity: float = 0.0
    bytes: int = 0
    latency: Latency = field(default_factory=Latency)
    #: p50 and p99 of the last commit that computed them
    known: tuple[float | None, float | None] = (None, None)

    def row(self, seconds: int) -> tuple[Any, ...]:
        frames, objects = max(self.done, 1), max(self.objects, 1)
        return (
            seconds,
            self.time,
            self.done,
            self.failed,
            self.skipped,
            self.lost,
            self.done / seconds,
            *self.known,
            self.objects / frames,
            self.area / objects,
            self.intensity / objects,
            self.bytes,
        )


class Summary:
    """Rows of the ``summary`` table: per 1, 10 and 60 s of commit time.

    ``objects`` is the mean number per done frame, ``area`` and ``intensity`` the
    means per object of the first saved table that has them.
    """

    SECONDS = (1, 10, 60)

    def __init__(self, known: Iterable[tuple[Any, ...]] = ()) -> None:
        self._buckets: dict[int, _Bucket] = {}
        for row in known:
            seconds, start, done, failed, skipped, lost = row[:6]
            objects = round(row[9] * max(done, 1))
            self._buckets[seconds] = _Bucket(
                start,
                done,
                failed,
                skipped,
                lost,
                objects,
                row[10] * max(objects, 1),
                row[11] * max(objects, 1),
                row[12],
            )

    def add(self, now: float, group: "Added") -> list[tuple[Any, ...]]:
        """Count a group; return the rows to write in its transaction."""
        rows = []
        for seconds in self.SECONDS:
            start = now - now % seconds
            bucket = self._buckets.get(seconds)
            # a clock set back must not begin a row anew that is already written
            if bucket is None or bucket.time < start:
                bucket = self._buckets[seconds] = _Bucket(start)
            bucket.done += group.done
            bucket.failed += group.failed
            bucket.skipped += group.skipped
            bucket.lost += group.lost
            bucket.objects += group.objects
            bucket.area += group.area
            bucket.intensity += group.intensity
            bucket.bytes += group.bytes
            for value in group.latencies:
                bucket.latency.add(value)
            bucket.known = (
                bucket.latency.percentile(50),
                bucket.latency.percentile(99),
            )
            rows.append(bucket.row(seconds))
        return rows


@dataclass(slots=True)
class Added:
    """What one commit adds to the summary."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    lost: int = 0
    objects: int = 0
    area: float = 0.0
    intensity: float = 0.0
    bytes: int = 0
    latencies: list[float] = field(default_factory=list)
