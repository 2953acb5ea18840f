"""The writer that a layout asks for."""

from pathlib import Path
from typing import TypeAlias

from .files import FileWriter
from .layout import ArrayLayout
from .platform import NATIVE, Durability, Platform
from .shards import ShardWriter

#: What appends to one array: the same verbs, with and without shards.
Writer: TypeAlias = ShardWriter | FileWriter


def open_writer(
    root: Path,
    layout: ArrayLayout,
    *,
    platform: Platform = NATIVE,
    durability: Durability = "power",
    frames_hint: int | None = None,
    fps: float | None = None,
) -> Writer:
    """Return the writer of an array, made where it is missing.

    Parameters
    ----------
    root, layout, platform, durability, frames_hint, fps
        As for `ShardWriter`.
    """
    make = FileWriter if layout.files else ShardWriter
    return make(
        root,
        layout,
        platform=platform,
        durability=durability,
        frames_hint=frames_hint,
        fps=fps,
    )
