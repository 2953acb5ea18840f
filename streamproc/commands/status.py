"""``streamproc status``: the counts, speed and state of a run."""

import json

from .common import OK, AsJson, RunArgument


def status(path: RunArgument, as_json: AsJson = False) -> int:
    """Print the counts, speed and state of a run, while it goes on too."""
    from ..folder import status as read_status
    from ..multirun.batch import batch_status, is_batch_folder
    from ..progress import latency_text, show_rows

    found = batch_status(path) if is_batch_folder(path) else read_status(path)
    if as_json:
        print(json.dumps(found))
        return OK
    names = ("admitted", "done", "failed", "skipped", "lost", "pending")
    rows = [("state", found["state"])]
    rows += [(name, f"{found[name]:,}") for name in names]
    rows.append(("speed", f"{found['fps']:.1f} frames/s"))
    rows.append(("latency", latency_text(found["latency_ms"])))
    rows.append(("saved", ", ".join(found["saved"]) or "nothing"))
    if found["reason"]:
        rows.append(("reason", found["reason"]))
    show_rows(rows)
    return OK
