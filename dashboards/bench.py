"""What an engineer looks at: where time goes, what is lost, what the disk takes."""

import math
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from streamproc.errors import StreamprocError
from streamproc.work import read_work, shares

from .feed import Feed

#: Seconds that the disk's rate is that of.
_MINUTE = 60.0
#: Share of their time from which on workers count as busy.
_BUSY = 0.8
#: Share of the frames that may be in work from which on no more are taken.
_FULL = 0.9
#: Words for what frames wait for.
_WAITS = {"worker": "workers", "turn": "order", "commit": "saving"}
#: Names of what is timed beside the steps.
_BESIDE = ("(encode)", "(commit)")


class Bench:
    """Reads beside a `Feed` what a run says of its work; for the same thread."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._losses: dict[tuple[str, str], dict[str, Any]] = {}
        self._last_gap = 0
        self._sizes: deque[tuple[float, int]] = deque()
        self._reserve: int | None = None

    def told(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return figures ready for JSON; ``told`` is what `Feed.told` returned."""
        is_on = told["state"] in ("running", "paused")
        work = read_work(self._feed.folder)
        return {
            "work": None if work is None else _worked(work, is_on=is_on),
            "limit": None if work is None else self._limit(work, told),
            "lag": {
                "frames": told["pending"],
                "bytes": None if work is None else told["pending"] * _nbytes(work),
            },
            "losses": self._lost(),
            "disk": self._disk(is_on),
        }

    def _lost(self) -> list[dict[str, Any]]:
        """Return what was lost, by place and reason, most first; rows only come."""
        rows = self._feed.query(
            "SELECT place, reason, count(*), sum(count), max(time), max(rowid) "
            "FROM gaps WHERE rowid > ? GROUP BY place, reason",
            (self._last_gap,),
        )
        for place, reason, gaps, frames, last, row in rows:
            known = self._losses.setdefault(
                (place, reason),
                {"place": place, "reason": reason, "gaps": 0, "frames": 0},
            )
            known["gaps"] += gaps
            known["frames"] += frames
            known["last"] = last
            self._last_gap = max(self._last_gap, row)
        return sorted(self._losses.values(), key=lambda loss: -loss["frames"])

    def _disk(self, is_on: bool) -> dict[str, Any]:
        """Return bytes saved, per second, free, and the hours until that is too few."""
        now, folder = time.time(), self._feed.folder
        found: dict[str, Any] = dict.fromkeys(("rate", "free", "hours"))
        tables = 0
        with suppress(OSError):
            tables = folder.ledger.stat().st_size
            found["free"] = shutil.disk_usage(folder.path).free
        found["written"] = self._feed.written() + tables
        rate = self._rate(now) if is_on else self._mean_rate()
        if rate is not None and is_on:
            rate += self._growth(now, tables)
        found["rate"] = rate
        if is_on and rate and found["free"] is not None:
            room = max(0, found["free"] - self._reserved())
            found["hours"] = room / rate / 3600
        return found

    def _rate(self, now: float) -> float | None:
        """Return bytes of pixels per second of the last minute."""
        rows = self._feed.query(
            "SELECT sum(bytes), (SELECT min(time) FROM summary WHERE seconds=60) "
            "FROM summary WHERE seconds=1 AND time>?",
            (now - _MINUTE,),
        )
        if not rows or rows[0][1] is None:
            return None
        nbytes, begun = rows[0]
        return float((nbytes or 0) / min(_MINUTE, max(now - begun, 1.0)))

    def _mean_rate(self) -> float | None:
        """Return bytes of pixels per second in which frames were saved."""
        rows = self._feed.query(
            "SELECT sum(bytes), sum(seconds) FROM summary WHERE seconds=1"
        )
        return rows[0][0] / rows[0][1] if rows and rows[0][1] else None

    def _growth(self, now: float, size: int) -> float:
        """Return bytes of tables per second of the last minute."""
        sizes = self._sizes
        sizes.append((now, size))
        while now - sizes[0][0] > _MINUTE:
            sizes.popleft()
        then, before = sizes[0]
        return max(0, size - before) / max(now - then, 1.0)

    def _reserved(self) -> int:
        if self._reserve is None:
            self._reserve = 0
            with suppress(StreamprocError, TypeError, ValueError):
                limits = self._feed.folder.document().get("limits") or {}
                self._reserve = int(limits.get("disk_reserve") or 0)
        return self._reserve

    def _limit(
        self, work: Mapping[str, Any], told: Mapping[str, Any]
    ) -> dict[str, str] | None:
        """Return what the run goes no faster than, and why, in words."""
        is_late = told["state"] in ("running", "paused")
        part = shares(work["steps"], late=is_late)
        if not work["workers"] or not part or told["state"] == "paused":
            return None
        busy = float(np.mean([w["occupancy"] for w in work["workers"]]))
        said = f"workers {busy:.0%} busy"
        if busy >= _BUSY:
            name = max(part, key=lambda n: part[n])
            why = f"{part[name]:.0%} of computing; {said}"
            return {"what": plain(name), "why": why}
        if not is_late:
            return None
        flight = work["flight"]
        if any(flight[n] >= _FULL * flight[f"most_{n}"] for n in ("frames", "bytes")):
            return {"what": "saving", "why": f"frames wait for it; {said}"}
        wait = _wait(work["stages"])
        if wait is not None and told["pending"] > max(told.get("fps") or 0.0, 1.0):
            name, seconds = wait
            return {"what": name, "why": f"frames wait {seconds:.1f} s for it; {said}"}
        if self._feed.folder.journal.exists():
            return {"what": "none", "why": f"keeps up; {said}"}
        return {"what": "source", "why": f"frames come no faster; {said}"}


def _wait(stages: Mapping[str, Mapping[str, Any]]) -> tuple[str, float] | None:
    """Return what the last frames waited for longest, and how many seconds."""
    waits = {n: stages[n]["ms"] or 0.0 for n in _WAITS if n in stages}
    longest = max(waits, key=lambda n: waits[n], default=None)
    return None if longest is None else (_WAITS[longest], waits[longest] / 1e3)


def plain(name: str) -> str:
    """Return what people call a step, or what is timed beside them."""
    return {"(read)": "read", "(encode)": "encode", "(commit)": "commit"}.get(
        name, name
    )


def _nbytes(work: Mapping[str, Any]) -> int:
    """Return the bytes of a frame's pixels."""
    source = work["graph"]["source"]
    return int(math.prod(source["shape"]) * np.dtype(source["dtype"]).itemsize)


def _worked(work: Mapping[str, Any], *, is_on: bool) -> dict[str, Any]:
    """Return the work with shares: of the last frames, of a run that ended of all."""
    part = shares(work["steps"], late=is_on)

    def figures(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
        mean = 1e3 * told["seconds"] / told["frames"] if told["frames"] else None
        return {
            **told,
            "name": name,
            "ms": told["ms"] if is_on else mean,
            "share": part.get(name),
        }

    steps = work["steps"]
    known = [name for name in _in_order(work) if name in steps]
    others = [name for name in steps if name not in known]
    return {
        **work,
        "is_on": is_on and not work["ended"],
        "steps": [figures(name, steps[name]) for name in (*known, *others)],
        "stages": [figures(name, told) for name, told in work["stages"].items()],
    }


def _in_order(work: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of what is timed, as frames come by."""
    names = [step["name"] for step in work["graph"]["steps"]]
    return ["(read)", *(n for n in names if n != "source"), *_BESIDE]
