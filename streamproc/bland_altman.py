"""Bland and Altman's limits of agreement, of differences that come bit by bit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree  # type: ignore[import-untyped]  # scipy ships no types

#: Standard deviations either side of the bias that hold 95 % of the differences.
SPREAD = 1.96


@dataclass(frozen=True, slots=True)
class Differences:
    """How many differences there are, their mean, and their squares about it.

    All that the limits of agreement need, however many there were: parts of a stream
    are summed up alone and then `merged`.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Differences":
        """Sum up differences; what is not finite is left out."""
        known = values[np.isfinite(values)]
        if not known.size:
            return cls()
        mean = float(known.mean())
        return cls(known.size, mean, float(np.square(known - mean).sum()))

    def merged(self, other: "Differences") -> "Differences":
        """Return both as one: in algebra exact, in floats to their last digits."""
        count = self.count + other.count
        if not self.count or not other.count:
            return other if other.count else self
        apart = other.mean - self.mean
        return Differences(
            count,
            self.mean + apart * other.count / count,
            self.squares
            + other.squares
            + apart * apart * self.count * other.count / count,
        )

    @property
    def sd(self) -> float:
        """Standard deviation of the differences, ``n - 1`` below; NaN of one."""
        return (
            math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else math.nan
        )

    def agreement(self, confidence: float = 0.95) -> dict[str, float]:
        """Return bias and limits of agreement, with their confidence intervals.

        Parameters
        ----------
        confidence
            Of the intervals, between 0 and 1.

        Returns
        -------
        dict
            ``pairs``, ``bias``, ``sd``, ``lower`` and ``upper`` limit (bias ∓ 1.96
            sd), and each one's interval as ``_from`` and ``_to``. NaN where there
            are too few pairs.

        References
        ----------
        J. M. Bland and D. G. Altman (1986), doi:10.1016/S0140-6736(86)90837-8; the
        limits' standard error is that of their (1999), section 2.1,
        doi:10.1177/096228029900800204.
        """
        n, sd = self.count, self.sd
        bias = self.mean if n else math.nan
        spread = SPREAD * sd
        found: dict[str, float] = {"pairs": n, "bias": bias, "sd": sd}
        found |= {"lower": bias - spread, "upper": bias + spread}
        t = _quantile(confidence, n - 1) if n > 1 else math.nan
        of_bias = sd / math.sqrt(n) if n else math.nan
        of_limit = sd * math.sqrt(1 / n + SPREAD**2 / (2 * (n - 1))) if n > 1 else sd
        errors = {"bias": of_bias, "lower": of_limit, "upper": of_limit}
        for name, error in errors.items():
            found[f"{name}_from"] = found[name] - t * error
            found[f"{name}_to"] = found[name] + t * error
        return found


def _quantile(confidence: float, freedom: int) -> float:
    """Return how many standard errors the interval reaches: Student's t."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # no types

    return float(stdtrit(freedom, (1 + confidence) / 2))


def paired(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which rows of two tables of one frame are of the same object.

    Those of the same label, where these are the same objects: their centroids are the
    same, or are not known. Else those that are each other's nearest by centroid, and
    not farther apart than the radius of the larger one: two methods number what they
    find each in its own way.
    """
    first, second = np.asarray(one["label"]), np.asarray(other["label"])
    _, mine, theirs = np.intersect1d(
        first, second, assume_unique=True, return_indices=True
    )
    axes = [a for a in "zyx" if f"centroid_{a}" in one and f"centroid_{a}" in other]
    if not axes or not len(first) or not len(second):
        return mine, theirs
    here, there = (
        np.column_stack([np.asarray(t[f"centroid_{a}"], float) for a in axes])
        for t in (one, other)
    )
    if len(first) == len(second) == len(mine) and np.allclose(
        here[mine], there[theirs]
    ):
        return mine, theirs
    far, nearest = KDTree(there).query(here)
    back = KDTree(here).query(there)[1]
    mine = np.flatnonzero(back[nearest] == np.arange(len(here)))
    if "area" in one and "area" in other:
        areas = np.asarray(other["area"], float)[nearest]
        reach = _radius(np.maximum(np.asarray(one["area"], float), areas), len(axes))
        mine = mine[(far <= reach)[mine]]
    return mine, nearest[mine]


def _radius(size: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """Return the radius of a disk (a ball) of so many pixels."""
    if axes == 3:
        return np.asarray(np.cbrt(3 * size / (4 * np.pi)))
    return np.asarray(np.sqrt(size / np.pi))
