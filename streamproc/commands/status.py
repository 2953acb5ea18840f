"""``streamproc status``: the counts, speed and state of a run."""

import json
from collections.abc import Mapping
from typing import Any

from .common import OK, AsJson, RunArgument

#: Steps that are named, the slowest first.
_MOST = 3


def status(path: RunArgument, as_json: AsJson = False) -> int:
    """Print the counts, speed and state of a run, while it goes on too."""
    from ..folder import RunFolder
    from ..folder import status as read_status
    from ..multirun.batch import batch_status, is_batch_folder
    from ..progress import latency_text, show_rows
    from ..work import read_work

    found = batch_status(path) if is_batch_folder(path) else read_status(path)
    if as_json:
        print(json.dumps(found))
        return OK
    names = ("admitted", "done", "failed", "skipped", "lost", "pending")
    rows = [("state", found["state"])]
    rows += [(name, f"{found[name]:,}") for name in names]
    rows.append(("speed", f"{found['fps']:.1f} frames/s"))
    rows.append(("latency", latency_text(found["latency_ms"])))
    rows += _work_rows(read_work(RunFolder(path)))
    rows.append(("saved", ", ".join(found["saved"]) or "nothing"))
    if found["reason"]:
        rows.append(("reason", found["reason"]))
    show_rows(rows)
    return OK


def _work_rows(work: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the steps that take most time, and how busy the workers are."""
    from ..work import shares

    if work is None or not work["workers"]:
        return []
    steps, part = work["steps"], shares(work["steps"], late=not work["ended"])
    most = sorted(part, key=lambda name: -part[name])[:_MOST]
    said = [
        f"{n.strip('()')} {part[n]:.0%} ({steps[n]['ms'] or 0:.1f} ms)" for n in most
    ]
    workers = work["workers"]
    busy = sum(w["occupancy"] for w in workers) / len(workers)
    rows = [("slowest", ", ".join(said))] if said else []
    return [*rows, ("workers", f"{len(workers)} ({work['executor']}), {busy:.0%} busy")]
