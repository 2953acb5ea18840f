"""What the steps, stages and workers of a run are at: ``RUN/work.json``.

A thread of its own writes the file once a second and at the end, for whoever watches
from beside: it counts nothing itself, and nobody waits for it.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil

from .execution.budget import Budget
from .execution.committer import COMMIT
from .execution.crew import Worker
from .execution.protocol import Executor
from .folder import RunFolder
from .fusion import groups
from .metrics import Metrics
from .plan import Plan, levels
from .store.platform import NATIVE

#: Of the file; another one is not read.
_FORMAT = 1
#: Seconds between two writings, and those that workers' figures are of.
_EACH, _LATE = 1.0, 10.0
#: Seconds that the end of a run waits for a writing that hangs.
_PATIENCE = 2.0


class Work:
    """Tells what a run is at.

    Parameters
    ----------
    folder
        Where ``work.json`` lies; what an earlier session told there is added to.
    metrics, executor, budget
        What is told of.
    graph
        What runs, as `described`.
    guard
        Is called before anything is written; it raises where the folder is no longer
        ours.
    """

    def __init__(
        self,
        folder: RunFolder,
        metrics: Metrics,
        executor: Executor,
        budget: Budget,
        *,
        graph: Mapping[str, Any],
        guard: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._metrics = metrics
        self._executor = executor
        self._budget = budget
        self._graph = graph
        self._guard = guard
        self._before = read_work(folder) or {}
        self._process = psutil.Process()
        self._begun = time.perf_counter()
        #: the workers as they were at some moments of the last seconds
        self._past: deque[tuple[float, dict[str, Worker]]] = deque()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="work", daemon=True)

    def start(self) -> None:
        """Begin to tell, once the executor is there."""
        self._begun = time.perf_counter()
        self._past.append((self._begun, self._crew()))
        self._thread.start()

    def close(self) -> None:
        """Tell how it was in all."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE)
            if not self._thread.is_alive():
                self._write(has_ended=True)

    def _run(self) -> None:
        while not self._ending.wait(_EACH):
            self._write(has_ended=False)

    def _write(self, *, has_ended: bool) -> None:
        path = self._folder.work
        new = path.with_name(path.name + ".new")
        with suppress(Exception):  # a folder that is gone, a disk that is full
            text = json.dumps(self.told(has_ended=has_ended))
            self._guard()
            new.write_text(text, encoding="utf-8")
            NATIVE.replace(new, path)

    def told(self, *, has_ended: bool) -> dict[str, Any]:
        """Return what is written."""
        metrics, budget = self._metrics, self._budget
        with metrics.lock:
            steps = {name: d.told() for name, d in metrics.steps.items()}
            stages = {name: d.told() for name, d in metrics.stages.items()}
        return {
            "format": _FORMAT,
            "time": time.time(),
            "ended": has_ended,
            "executor": self._executor.name,
            "page": None if has_ended else self._executor.page,
            "memory": self._process.memory_info().rss,
            "flight": {
                "frames": budget.frames,
                "bytes": budget.bytes,
                "most_frames": budget.max_frames,
                "most_bytes": budget.limit,
            },
            "graph": self._graph,
            "steps": _added(steps, self._before.get("steps", {})),
            "stages": _added(stages, self._before.get("stages", {})),
            "workers": self._workers(has_ended),
        }

    def _crew(self) -> dict[str, Worker]:
        return {worker.name: worker for worker in self._executor.crew()}

    def _workers(self, has_ended: bool) -> list[dict[str, Any]]:
        """Return the workers' figures: of the last seconds, at the end of all."""
        now, crew = time.perf_counter(), self._crew()
        while len(self._past) > 1 and self._past[1][0] <= now - _LATE:
            self._past.popleft()
        then, past = (self._begun, {}) if has_ended else self._past[0]
        self._past.append((now, crew))
        return [_figures(w, past.get(w.name), now - then) for w in crew.values()]


def _figures(worker: Worker, past: Worker | None, seconds: float) -> dict[str, Any]:
    """Return what a worker is at, and what it did in the last seconds."""
    frames = worker.frames - (past.frames if past else 0)
    busy = max(worker.busy - (past.busy if past else 0.0), 0.0)
    whole = max(seconds, 1e-9)
    return {
        "name": worker.name,
        "state": worker.state,
        "frame": worker.frame,
        "since": worker.since,
        "threads": worker.threads,
        "occupancy": min(busy / (whole * worker.threads), 1.0),
        "memory": worker.memory,
        "limit": worker.limit,
        "frames": worker.frames,
        "ms": 1e3 * busy / frames if frames else None,
        "fps": frames / whole,
    }


def _added(
    now: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return durations with those of earlier sessions."""
    found = {name: dict(told) for name, told in before.items()}
    for name, told in now.items():
        known = found.get(name)
        if known is None:
            found[name] = dict(told)
            continue
        for key, value in told.items():
            if key in ("frames", "failed", "seconds"):
                known[key] += value
            elif value is not None:
                known[key] = value
    return found


def described(
    plan: Plan,
    source: Mapping[str, Any],
    observers: Sequence[tuple[str, Sequence[str] | None]],
) -> dict[str, Any]:
    """Return the plan as it runs, for who draws it.

    ``steps`` have ``name``, ``operator``, ``kind``, ``role``, ``inputs``, ``level`` (of
    the segment they run in) and ``joined`` (a number that those share which are run
    together block by block; None alone); ``outputs`` are what is saved, ``sinks`` who
    is handed which tables (None: all).
    """
    joined = _joined(plan)
    level = levels(plan.steps)
    known = range(len(plan.segments))
    return {
        "source": dict(source),
        "steps": [
            {
                "name": step.name,
                "operator": step.operator,
                "kind": step.kind,
                "role": step.role,
                "inputs": [i.name for i in step.inputs],
                "level": level[step.name],
                "joined": joined.get(step.name),
            }
            for step in plan.steps
            # while frames are skipped, steps in order wait for a later pass
            if level[step.name] in known
        ],
        "outputs": [
            {"name": o.name, "step": o.step, "kind": o.kind} for o in plan.outputs
        ],
        "sinks": [
            {"name": name, "tables": None if tables is None else list(tables)}
            for name, tables in observers
        ],
    }


def _joined(plan: Plan) -> dict[str, int]:
    found: dict[str, int] = {}
    number = 0
    for segment in plan.segments:
        for group in groups(segment.stage.instructions if segment.stage else ()):
            number += 1
            if len(group) > 1:
                found |= {instruction.name: number for instruction in group}
    return found


def read_work(folder: RunFolder) -> dict[str, Any] | None:
    """Return what a run said last of its work; None where that cannot be read."""
    try:
        found = json.loads(folder.work.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(found, dict) and found.get("format") == _FORMAT
    return found if is_ours else None


def shares(steps: Mapping[str, Mapping[str, Any]], *, late: bool) -> dict[str, float]:
    """Return which part of computing each step is; 1 together, or nothing at all.

    A commit is no part of it: it waits for the disk, for many frames at once.

    Parameters
    ----------
    steps
        As ``work.json`` has them.
    late
        Of the last frames, else of all.
    """
    key = "ms" if late else "seconds"
    spent = {n: told.get(key) or 0.0 for n, told in steps.items() if n != COMMIT}
    whole = sum(spent.values())
    return {name: value / whole for name, value in spent.items()} if whole else {}
