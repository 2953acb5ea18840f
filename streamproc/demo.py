"""The demo: a simulated microscope, analysed live and compared with its truth."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Pipeline, parse, read_yaml
from .folder import RunFolder, connect_readonly, new_folder
from .plugins import make_source
from .runs import start_pipeline
from .session import Run

#: Frames per second of the simulated microscope.
FPS = 30.0
FRAMES = 200
#: The saved table that is counted.
TABLE = "cells"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Objects counted against those that are there, frame by frame.

    ``error`` is the mean over frames of the difference, ``percent`` the same in
    per cent of the true count, ``worst`` the largest of a frame.
    """

    frames: int
    counted: float
    true: float
    error: float
    percent: float
    worst: int

    def __str__(self) -> str:
        return (
            f"{self.counted:.1f} cells per frame, truly {self.true:.1f}: off by "
            f"{self.error:.2f} per frame ({self.percent:.1f} %), "
            f"at most {self.worst} in one"
        )


def pipeline(frames: int = FRAMES, *, executor: Any = "threads") -> Pipeline:
    """Return the pipeline of the demo.

    Parameters
    ----------
    frames
        How many frames the microscope takes, 30 a second.
    executor
        As in YAML.
    """
    simulation = {"frames": frames, "shape": [512, 512], "fps": FPS, "live": True}
    return parse(
        {
            "source": {"simulation": simulation},
            "graph": {
                "flat": {"background": {"window": 50, "every": 25}, "of": "source"},
                "smooth": {"gaussian": {"sigma": 2}, "of": "flat"},
                "mask": {"threshold": {"method": "otsu"}, "of": "smooth"},
                "opened": {"binary_opening": {"radius": 2}, "of": "mask"},
                "nuclei": {"label": {}, "of": "opened"},
                TABLE: {"measure": {"intensity": "source"}, "of": "nuclei"},
            },
            "save": ["source", "nuclei", TABLE],
            "executor": executor,
        }
    )


def start_demo(
    frames: int = FRAMES,
    to: str | Path | None = None,
    *,
    executor: Any = "threads",
) -> Run:
    """Start the demo and return at once.

    Parameters
    ----------
    frames
        How many frames the microscope takes, 30 a second.
    to
        The run folder; default ``runs/<UTC time>-demo``.
    executor
        As in YAML.
    """
    return start_pipeline(pipeline(frames, executor=executor), to or new_folder("demo"))


def compare(path: str | Path) -> Comparison | None:
    """Compare the counts of a demo's run with the truth of its simulation.

    Returns
    -------
    Comparison or None
        None where no frame is done.
    """
    folder = RunFolder(Path(path))
    simulation: Any = make_source(read_yaml(folder.pipeline)["source"])
    with closing(connect_readonly(folder.ledger)) as db:
        rows = db.execute(
            f"SELECT f.source_index, count(c.label) FROM frames AS f "
            f'LEFT JOIN "{TABLE}" AS c ON c.frame = f.frame '
            "WHERE f.state = 'done' GROUP BY f.frame"
        ).fetchall()
    if not rows:
        return None
    true = [len(simulation.truth(index)["cell"]) for index, _ in rows]
    off = [abs(count - t) for (_, count), t in zip(rows, true, strict=True)]
    mean = sum(true) / len(rows)
    error = sum(off) / len(rows)
    return Comparison(
        frames=len(rows),
        counted=sum(count for _, count in rows) / len(rows),
        true=mean,
        error=error,
        percent=100 * error / max(mean, 1e-9),
        worst=max(off),
    )
