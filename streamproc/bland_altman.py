"""Bland and Altman's limits of agreement, of differences that come bit by bit."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
