"""How well two methods agree: pairs, a summary, charts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..view.charts import Chart, Level, write

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two methods agree.

    ``table`` has a row per pair of numbers (``frame``, ``label``, ``a``, ``b``,
    ``mean``, ``difference`` = a - b) or, of label images, a row per frame (``dice``,
    ``iou``, ``objects_a``, ``objects_b``, ``matched``, ``f1``, ``matched_iou``);
    ``objects`` then has one per object found by both (``frame``, ``label_a``,
    ``label_b``, ``area_a``, ``area_b``, ``iou``).

    ``summary`` maps names to numbers. Of numbers: ``pairs``, ``bias``, ``sd``, limits
    of agreement ``lower`` and ``upper``, confidence intervals ``bias_from``,
    ``bias_to`` …, Pearson's ``correlation``, ``only_a`` and ``only_b`` (rows without a
    partner). Of labels: ``frames``, means of ``dice`` and ``iou``, sums of
    ``objects_a``, ``objects_b`` and ``matched``, ``f1`` over all objects, mean
    ``matched_iou``, and ``count_error``, the mean of abs(objects_a - objects_b).
    """

    kind: Literal["numbers", "labels"]
    column: str
    names: tuple[str, str]
    table: "pd.DataFrame"
    summary: Mapping[str, float]
    objects: "pd.DataFrame | None" = field(default=None, repr=False)

    def plot(self, path: str | Path) -> Path:
        """Draw it: scatter and Bland-Altman of numbers, overlap and counts of labels.

        Parameters
        ----------
        path
            A ``.png``, or an ``.html`` that needs no network. Over what is there.

        Returns
        -------
        Path
            The same.

        Raises
        ------
        ConfigError
            Another suffix.
        StoreError
            The file cannot be written.
        """
        write(Path(path), f"{self.names[0]} and {self.names[1]}", self.charts())
        return Path(path)

    def __str__(self) -> str:
        """Return what the command prints."""
        return "\n".join(f"{name:<12}  {text}" for name, text in self.rows())

    def rows(self) -> list[tuple[str, str]]:
        """Return the summary as names and texts."""
        s = self.summary
        said = [("a", self.names[0]), ("b", self.names[1])]
        if self.kind == "labels":
            said += [("frames", f"{s['frames']:,}"), ("Dice", f"{s['dice']:.4f}")]
            said.append(("IoU", f"{s['iou']:.4f}"))
            counts = f"{s['objects_a']:,} in a, {s['objects_b']:,} in b"
            said.append(("objects", f"{counts}, {s['matched']:,} in both"))
            said.append(("F1", f"{s['f1']:.4f}"))
            return [*said, ("count error", f"{s['count_error']:.2f} per frame")]
        said += [("compared", self.column), ("pairs", f"{s['pairs']:,}")]
        for name in ("bias", "lower", "upper"):
            between = f"{s[name + '_from']:.6g} to {s[name + '_to']:.6g}"
            text = {"bias": "bias (a - b)"}.get(name, f"{name} limit")
            said.append((text, f"{s[name]:.6g} ({between})"))
        said.append(("correlation", f"{s['correlation']:.4f}"))
        if s["only_a"] or s["only_b"]:
            text = f"{s['only_a']:,} in a only, {s['only_b']:,} in b only"
            said.append(("without pair", text))
        return said

    def _repr_html_(self) -> str:
        """Return the summary and the charts, as a notebook shows them."""
        from ..view.notebook import of_agreement

        return of_agreement(self)

    def charts(self) -> list[Chart]:
        """Return what `plot` draws."""
        return _of_labels(self) if self.kind == "labels" else _of_numbers(self)


def _of_numbers(found: Agreement) -> list[Chart]:
    table, s = found.table, found.summary
    known = table.dropna(subset=["a", "b"])
    hints = {n: known[n].to_numpy() for n in ("frame", "label") if n in known}
    said = f"r = {s['correlation']:.4f}, {s['pairs']:,} pairs"
    levels = tuple(
        Level(s[n], f"{text} {s[n]:.4g}", s[f"{n}_from"], s[f"{n}_to"])
        for n, text in (("upper", "+1.96 sd"), ("bias", "bias"), ("lower", "-1.96 sd"))
    )
    a, b = found.names
    scatter = Chart(
        *(
            said,
            f"{a}: {found.column}",
            f"{b}",
            _numbers(known, "a"),
            _numbers(known, "b"),
        ),
        is_square=True,
        hints=hints,
    )
    apart = Chart(
        *("Bland-Altman", "mean of both", "difference, a - b"),
        *(_numbers(known, "mean"), _numbers(known, "difference"), levels),
        hints=hints,
    )
    return [scatter, apart]


def _of_labels(found: Agreement) -> list[Chart]:
    s, t = found.summary, found.table
    hints = {n: _numbers(t, n) for n in ("iou", "f1", "matched")}
    mean = (Level(s["dice"], f"mean {s['dice']:.4f}"),)
    dice = Chart(
        *("Dice of each frame", "frame", "Dice"),
        *(_numbers(t, "frame"), _numbers(t, "dice"), mean),
        hints=hints,
    )
    said = f"objects of each frame, F1 = {s['f1']:.4f}"
    counts = Chart(
        *(said, found.names[0], found.names[1]),
        *(_numbers(t, "objects_a"), _numbers(t, "objects_b")),
        is_square=True,
        hints={"frame": _numbers(t, "frame"), **hints},
    )
    return [dice, counts]


def _numbers(table: "pd.DataFrame", name: str) -> NDArray[np.float64]:
    return table[name].to_numpy(dtype=np.float64)
