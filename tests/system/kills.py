"""Kill runs at random moments, resume them, and compare with unbroken ones.

``python -m tests.system.kills --count 200 [--seed N] [--executor dask]`` kills whole
process trees (the run, its nannies and workers) until so many were killed. What is
killed when follows from the seed; where exactly a process is by then does not.
"""

import argparse
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from streamproc.store.platform import SWITCH
from tests.same_run import assert_same_run

REPOSITORY = Path(__file__).parents[2]
#: More than one shard holds.
FRAMES = 260
EXECUTORS: dict[str, Any] = {
    "inline": "inline",
    "threads": {"threads": {"workers": 2}},
    "dask": {"dask": {"workers": 2}},
}
#: All frames done; or all but those that the graph fails on.
FINE = (0, 3)
NOTHING: Mapping[str, str] = {}
#: Tells the processes of one run, whoever their parent is by now.
_MARK = "STREAMPROC_KILLS"


@dataclass(frozen=True)
class Case:
    """What is run."""

    executor: str
    live: bool = False
    images: str = "none"
    layout: str = "shards"
    durability: str = "power"
    keep_raw: bool = True
    #: Frames of the background's window, and of its blocks.
    window: int = 50
    every: int = 25
    #: On the least that an operating system offers.
    emulated: bool = False

    @classmethod
    def drawn(cls, chance: random.Random) -> "Case":
        """Return any case."""
        window, every = chance.choice([(50, 25), (7, 3), (20, 64)])
        return cls(
            executor=chance.choice(list(EXECUTORS)),
            live=chance.random() < 0.5,
            images=chance.choice(["none", "blosc-lz4", "zstd"]),
            layout=chance.choice(["shards", "files"]),
            durability=chance.choice(["power", "process"]),
            keep_raw=chance.random() < 0.5,
            window=window,
            every=every,
            emulated=chance.random() < 0.2,
        )

    @property
    def switch(self) -> dict[str, str]:
        """The environment of its processes."""
        return {SWITCH: "emulated"} if self.emulated else {}

    @property
    def raw(self) -> list[str]:
        """What is saved of the source: its log may be dropped."""
        return ["source"] if self.keep_raw else []

    @property
    def plain(self) -> "Case":
        """The case that must give the same frames, in the simplest way."""
        plain = Case("inline", self.live, durability="process", window=self.window)
        return replace(plain, every=self.every, keep_raw=self.keep_raw)

    def __str__(self) -> str:
        kind = "live" if self.live else "recording"
        raw = "" if self.keep_raw else " no raw"
        raw += " emulated" if self.emulated else ""
        return (
            f"{self.executor} {kind} {self.images} {self.layout} {self.durability}"
            f" window {self.window}/{self.every}{raw}"
        )

    def write(self, path: Path) -> Path:
        """Write the pipeline: two branches, an ordered step, frames that fail."""
        simulation = {"frames": FRAMES, "shape": [200, 232], "fps": None}
        measured = {"intensity": "source", "properties": ["area", "centroid"]}
        given = {
            "source": {"simulation": {**simulation, "live": self.live}},
            "graph": {
                "flat": {
                    "background": {"window": self.window, "every": self.every},
                    "of": "source",
                },
                "smooth": {"gaussian": 2, "of": "flat"},
                "mask": {"threshold": "otsu", "of": "smooth"},
                "opened": {"binary_opening": 2, "of": "mask"},
                "nuclei": {"label": {}, "of": "opened"},
                "cells": {"measure": measured, "of": "nuclei"},
                "count": {"running_count": {}, "of": "cells"},
                "start": {"reference": "first", "of": "source"},
                "before": {"reference": "previous", "of": "source"},
                "moved": {
                    "phase_cross_correlation": {"upsample_factor": 4},
                    "of": ["source", "before"],
                },
                "drift": {"running_sum": {}, "of": "moved"},
                "fixed": {"apply_shift": {"order": 1}, "of": ["start", "drift"]},
                "dim": {"median": 3, "of": "source"},
                "level": {
                    "map": {"function": "tests.functions:level", "kind": "value"},
                    "of": "dim",
                },
            },
            "save": [*self.raw, "flat", "fixed", "nuclei", "cells", "count", "level"],
            "executor": EXECUTORS[self.executor],
            "store": {
                "images": self.images,
                "layout": self.layout,
                "durability": self.durability,
            },
            "log": {"keep_raw": self.keep_raw},
            "limits": {"disk_reserve": "100MB"},
        }
        path.write_text(yaml.safe_dump(given, sort_keys=False))
        return path


Phase = Literal["starting", "opening", "running", "closing"]


@dataclass(frozen=True)
class Moment:
    """When to kill: in which phase, how far into it, and how long after that."""

    phase: Phase
    share: float
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random, phase: Phase, executor: str) -> "Moment":
        """Return any moment of a phase."""
        # an opening repairs the store, then starts a cluster, which takes its time
        opening = 5.0 if executor == "dask" else 0.5
        most = {"starting": 1.2, "opening": opening, "running": 0.05, "closing": 0.15}
        return cls(phase, chance.random(), chance.uniform(0, most[phase]))

    def is_reached(self, run: Path, since: float, done: int) -> bool:
        """Tell whether a process has come so far that began ``since``, at ``done``."""
        if self.phase == "starting":
            return True
        if self.phase == "opening":
            lock = run / "run.lock"
            return lock.exists() and lock.stat().st_mtime > since
        left = FRAMES - done
        # half of what is left: the next kill wants something, too
        ahead = left if self.phase == "closing" else math.ceil(self.share * left / 2)
        return left > 0 and committed(run) >= done + ahead


def moments(chance: random.Random, executor: str, kills: int) -> list[Moment]:
    """Return moments from the first instruction to the last, each of a new process."""
    phases: list[Phase] = chance.choices(
        ["starting", "opening", "running"], [2, 3, 6], k=kills
    )
    if kills > 2 and chance.random() < 0.5:
        phases[-2:] = ["closing", "opening"]
    return [Moment.drawn(chance, phase, executor) for phase in phases]


def committed(run: Path) -> int:
    """Return how many frames have a row."""
    path = run / "run.sqlite"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM frames").fetchone()[0])
    except sqlite3.Error:  # not there yet, or on its way
        return 0


class Program:
    """The command line in a process of its own, and whatever that starts."""

    def __init__(
        self, said: Path, *arguments: str | Path, switch: Mapping[str, str] = NOTHING
    ) -> None:
        self._mark, self.said = uuid.uuid4().hex, said
        self.since = time.time()
        with said.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamproc", *map(str, arguments)],
                stdout=file,
                stderr=file,
                cwd=REPOSITORY,
                env={**os.environ, **switch, _MARK: self._mark},
            )

    def finish(self, timeout: float = 240) -> None:
        """Wait for its end, which must be a good one."""
        try:
            code = self._process.wait(timeout)
            assert code in FINE, f"exit code {code}: {self.said.read_text()}"
        finally:
            self.kill()

    def is_over_in(self, seconds: float) -> bool:
        """Wait so long at most; tell whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill the whole tree at once; return when none of it is left."""
        while alive := list(self._tree()):
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()

    def _tree(self) -> Iterator[psutil.Process]:
        # by their environment: orphans, too, and what was started just now
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get(_MARK) == self._mark:
                yield process


def start_or_resume(
    pipeline: Path, run: Path, switch: Mapping[str, str] = NOTHING
) -> Program:
    """Begin the run, or go on where its folder exists."""
    said = run.with_suffix(".txt")
    if run.exists():
        return Program(said, "resume", run, switch=switch)
    return Program(said, "run", pipeline, "--to", run, switch=switch)


def kill_at(
    moment: Moment, pipeline: Path, run: Path, switch: Mapping[str, str]
) -> bool:
    """Begin or resume a run and kill it; tell whether it lived until then."""
    done = committed(run)
    program = start_or_resume(pipeline, run, switch)
    try:
        while not moment.is_reached(run, program.since, done):
            if program.is_over_in(0.01):
                break
        if not program.is_over_in(moment.seconds):
            program.kill()
            return True
    finally:
        program.kill()
    program.finish()
    return False


def unbroken(case: Case, folder: Path) -> Path:
    """Return the run that nobody kills; made once."""
    words = [str(word).lower() for word in astuple(case.plain)]
    run = folder / "-".join(["whole", *words])
    if not run.exists():
        pipeline = case.plain.write(folder / f"{run.name}.yaml")
        start_or_resume(pipeline, run).finish()
    return run


def broken(case: Case, plan: list[Moment], whole: Path, folder: Path) -> list[str]:
    """Kill a run at its moments, finish it, compare; return what it was killed at."""
    pipeline, run, killed = case.write(folder / "pipeline.yaml"), folder / "run", []
    for moment in plan:
        if kill_at(moment, pipeline, run, case.switch):
            killed.append(f"{moment.phase} {committed(run)}")
    start_or_resume(pipeline, run, case.switch).finish()
    assert_same_run(whole, run)
    Program(folder / "verify.txt", "verify", run).finish()
    return killed


def sweep(count: int, seed: int, executor: str | None, folder: Path) -> int:
    """Kill ``count`` times; return how many runs differed."""
    kills = runs = different = 0
    while kills < count:
        mine, runs = seed + runs, runs + 1
        chance = random.Random(mine)
        case = Case.drawn(chance)
        case = replace(case, executor=executor or case.executor)
        plan = moments(chance, case.executor, chance.randint(3, 5))
        whole, here = unbroken(case, folder), folder / f"seed-{mine}"
        here.mkdir()
        try:
            killed = broken(case, plan, whole, here)
        except AssertionError as error:
            kills, different = kills + len(plan), different + 1
            tell(f"seed {mine}: {case}: DIFFERS from {whole}, see {here}: {error}")
            continue
        kills += len(killed)
        shutil.rmtree(here)
        tell(f"seed {mine}: {case}: killed at {', '.join(killed)}: identical")
    verdict = f"{different} DIFFER" if different else "pixels and rows identical"
    tell(f"{kills} kills in {runs} runs: {verdict}")
    return different


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Sweep; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="kills (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the first run; then one up each")
    parser.add_argument("--executor", choices=EXECUTORS, help="no other")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    different = sweep(given.count, seed, given.executor, folder)
    if not different:
        shutil.rmtree(folder)
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
