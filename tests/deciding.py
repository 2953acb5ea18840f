"""Decisions that the sink ``microscope`` imports by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import useq

Tables = Mapping[str, Sequence[Mapping[str, Any]]]
Told = Mapping[str, Any]
#: Frames after which no more is asked for.
LAST = 12


def follow(frame: int, tables: Tables, metadata: Told) -> useq.MDAEvent | None:
    """Ask for one image after another; each says which frame it answers."""
    if frame >= LAST:
        return None
    objects = len(tables.get("cells", ()))
    told = {"answers": frame, "objects": objects, "before": metadata.get("x_um")}
    return useq.MDAEvent(x_pos=10.0 * frame, y_pos=5.0, metadata=told)


def walk(frame: int, tables: Tables, metadata: Told) -> list[useq.MDAEvent]:
    """Ask for three images after each third one, up to frame 90."""
    if frame % 3 or frame >= 90:
        return []
    told = [{"answers": frame, "step": step} for step in range(3)]
    return [useq.MDAEvent(x_pos=float(frame), metadata=m) for m in told]


def stack(frame: int, tables: Tables, metadata: Told) -> useq.MDASequence | None:
    """Ask for a stack at where the first frame was."""
    if frame:
        return None
    given = {
        "channels": ["FITC"],
        "z_plan": {"range": 4, "step": 2},
        "stage_positions": [(1, 2, 3)],
    }
    return useq.MDASequence.model_validate(given)


def elsewhere(frame: int, tables: Tables, metadata: Told) -> list[useq.MDAEvent]:
    """Ask for a channel that there is not."""
    if frame:
        return []
    return [
        useq.MDAEvent.model_validate({"channel": config})
        for config in ("Infrared", "DAPI")
    ]


def refuse(frame: int, tables: Tables, metadata: Told) -> useq.MDAEvent | None:
    """Fail on the first frame."""
    if frame == 0:
        raise ValueError("nothing to see")
    return None


def misunderstand(frame: int, tables: Tables, metadata: Told) -> Any:
    """Return what is no event."""
    return "left"


def every_other(frame: int, tables: Tables, metadata: Told) -> list[useq.MDAEvent]:
    """Ask for as many events as there are rows, on even frames."""
    rows = tables.get("cells", ())
    return [] if frame % 2 else [useq.MDAEvent(x_pos=float(len(rows)))]
