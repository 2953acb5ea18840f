"""Two methods on the same frames, compared: numbers pair by pair, labels by overlap."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..bland_altman import Differences, paired
from ..errors import ConfigError, nearest
from ..handle import Handle
from ..ops._overlap import overlap
from ..ops._pixels import lines
from ..ops.comparison import summary as summary_of
from ..reading import pixels
from .agreement import Agreement
from .sides import Saved, Side, branches, common_frames, saved

if TYPE_CHECKING:
    import pandas as pd


def compare(
    a: Side,
    b: Side | None = None,
    *,
    of: str | tuple[str, str] | None = None,
    column: str | None = None,
    per: Literal["object", "frame"] = "object",
    min_iou: float = 0.5,
    confidence: float = 0.95,
    frames: int | None = None,
    to: str | Path | None = None,
    executor: str | Mapping[str, Any] = "threads",
) -> Agreement:
    """Compare two methods: two branches of a graph, or what two runs have saved.

    Parameters
    ----------
    a, b
        Two steps of one graph (tables, values, labels or masks): they are run, and
        what they give is saved. Or two runs: folders, `Results`, `Report` or `Run`;
        a run that goes on is compared as far as it is. One run alone: ``of`` names
        two things that it has saved.
    of
        What to compare: a saved name, or one of each run. Default: the only one that
        both have.
    column
        Of tables and values. Default: ``area``, or the only column of numbers.
    per
        ``object`` pairs the objects of a frame: by label where both tables are of the
        same objects, else by centroid, each other's nearest. ``frame`` pairs the
        frames' means, whatever the objects are.
    min_iou
        Of label images: objects whose intersection over union is above this are the
        same one; from 0.5 to 1.
    confidence
        Of the confidence intervals of bias and limits.
    frames
        Compare so many frames, from the first.
    to, executor
        Where and on what steps are run, as in `run`.

    Returns
    -------
    Agreement
        ``.table``, ``.summary``, ``.plot("agreement.html")``.

    Raises
    ------
    ConfigError
        Nothing to compare, or things that cannot be compared: the line says why.
    RunFolderError
        One is no run folder.

    Notes
    -----
    Bland and Altman's limits hold where pairs are independent and their differences
    do not depend on the size of what is measured; objects of one image, and the same
    object in several frames, are no independent ones: the intervals are then too
    narrow. Compare ``per="frame"`` for those.

    References
    ----------
    J. M. Bland and D. G. Altman (1986), doi:10.1016/S0140-6736(86)90837-8, and (1999),
    doi:10.1177/096228029900800204. L. R. Dice (1945), doi:10.2307/1932409.
    """
    _check(per, min_iou, confidence, frames)
    if isinstance(a, Handle) and isinstance(b, Handle):
        sides = branches(a, b, frames, to, executor)
    else:
        sides = saved(a, b, of)
    shared = common_frames(sides, frames)
    if sides[0].is_labels:
        return _compare_labels(sides, shared, min_iou)
    return _compare_numbers(sides, shared, column, per, confidence)


def _check(per: str, min_iou: float, confidence: float, frames: int | None) -> None:
    if per not in ("object", "frame"):
        raise ConfigError(f"per must be 'object' or 'frame', got {per!r}")
    if not 0.5 <= min_iou < 1:
        raise ConfigError(f"min_iou must be >= 0.5 and < 1, got {min_iou}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be > 0 and < 1, got {confidence}")
    if frames is not None and frames < 1:
        raise ConfigError(f"frames must be >= 1, got {frames}")


# --- numbers ------------------------------------------------------------------------


def _compare_numbers(
    sides: tuple[Saved, Saved],
    frames: list[int],
    column: str | None,
    per: str,
    confidence: float,
) -> Agreement:
    one, other = (side.results.tables[side.name] for side in sides)
    chosen = column or _default_column(one, other)
    parts = [_numbers(t, chosen, per, frames) for t in (one, other)]
    if per == "object":
        table = _by_object(*parts)
    else:
        table = parts[0].merge(parts[1], on="frame", suffixes=("_a", "_b"))
        table = table.rename(columns={"number_a": "a", "number_b": "b"})
    table["mean"] = (table["a"] + table["b"]) / 2
    table["difference"] = table["a"] - table["b"]
    known = table[["a", "b"]].dropna()
    summary = Differences.of(table["difference"].to_numpy()).agreement(confidence)
    summary["correlation"] = _correlation(known["a"], known["b"])
    for name, part in zip(("only_a", "only_b"), parts, strict=True):
        summary[name] = len(part) - len(table)
    column = chosen if per == "object" else f"{chosen}, mean of each frame"
    names = (sides[0].shown, sides[1].shown)
    return Agreement("numbers", column, names, table, summary)


def _numbers(
    table: "pd.DataFrame", column: str, per: str, frames: list[int]
) -> "pd.DataFrame":
    numbers = _columns(table)
    if column not in numbers:
        raise ConfigError(f"no column of numbers {column!r}{nearest(column, numbers)}")
    places = [n for n in table if n == "area" or str(n).startswith("centroid_")]
    wanted = dict.fromkeys(["frame", "label", *places])
    found = table.loc[table["frame"].isin(frames), list(wanted)]
    found = found.assign(number=table[column].astype("float64"))
    if per == "object":
        return found
    return found[["frame", "number"]].groupby("frame", as_index=False).mean()


def _by_object(one: "pd.DataFrame", other: "pd.DataFrame") -> "pd.DataFrame":
    """Return the pairs of all frames that both tables have."""
    import pandas as pd

    theirs = dict(list(other.groupby("frame")))
    found = []
    for frame, mine in one.groupby("frame"):
        if frame in theirs:
            tables = mine, theirs[frame]
            first, second = paired(*({str(n): c for n, c in t.items()} for t in tables))
            pair = mine.iloc[first], theirs[frame].iloc[second]
            labels = {"label": pair[0]["label"], "label_b": pair[1]["label"]}
            numbers = {"a": pair[0]["number"], "b": pair[1]["number"]}
            columns = {n: c.to_numpy() for n, c in (labels | numbers).items()}
            found.append(pd.DataFrame({"frame": frame, **columns}))
    if not found:
        return pd.DataFrame(
            columns=["frame", "label", "label_b", "a", "b"], dtype=float
        )
    return pd.concat(found, ignore_index=True)


def _default_column(one: "pd.DataFrame", other: "pd.DataFrame") -> str:
    shared = [name for name in _columns(one) if name in _columns(other)]
    if "area" in shared:
        return "area"
    if len(shared) == 1:
        return shared[0]
    raise ConfigError(
        f"say which column to compare: both have {', '.join(shared) or 'none'}"
    )


def _columns(table: "pd.DataFrame") -> list[str]:
    """Return the columns that hold numbers, but for the keys."""
    numbers = table.select_dtypes("number").columns
    return [str(name) for name in numbers if name not in ("frame", "label")]


def _correlation(a: "pd.Series[float]", b: "pd.Series[float]") -> float:
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


# --- labels -------------------------------------------------------------------------


def _compare_labels(
    sides: tuple[Saved, Saved], frames: list[int], min_iou: float
) -> Agreement:
    import pandas as pd

    one, other = (side.results.labels[side.name] for side in sides)
    if one.shape[1:] != other.shape[1:]:
        raise ConfigError(
            f"label images of frames {one.shape[1:]} and {other.shape[1:]} cannot be "
            "compared; both must be of the same frames"
        )
    rows, objects = [], []
    for frame in frames:
        found = overlap(*(lines(pixels(i, frame)) for i in (one, other)))
        rows.append({"frame": frame, **summary_of(found, min_iou)})
        mine, theirs, iou = found.matched(min_iou)
        columns = {"label_a": found.first[mine], "label_b": found.second[theirs]}
        columns |= {"area_a": found.areas[mine], "area_b": found.others[theirs]}
        objects.append(pd.DataFrame({"frame": frame, **columns, "iou": iou}))
    table, pairs = pd.DataFrame(rows), pd.concat(objects, ignore_index=True)
    names = (sides[0].shown, sides[1].shown)
    return Agreement("labels", "labels", names, table, _totals(table, pairs), pairs)


def _totals(table: "pd.DataFrame", pairs: "pd.DataFrame") -> dict[str, float]:
    sums = {n: int(table[n].sum()) for n in ("objects_a", "objects_b", "matched")}
    objects = sums["objects_a"] + sums["objects_b"]
    error = (table["objects_a"] - table["objects_b"]).abs().mean()
    return {
        "frames": len(table),
        "dice": float(table["dice"].mean()),
        "iou": float(table["iou"].mean()),
        **sums,
        "f1": 2 * sums["matched"] / objects if objects else 1.0,
        "matched_iou": float(pairs["iou"].mean()),
        "count_error": float(error),
    }
