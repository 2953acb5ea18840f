"""What the levels of a frame sum up to; counted, where there are few of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._histogram import Histogram, histogram
from ._jit import jit
from ._levels import otsu
from .thresholding import find_threshold

#: Whole numbers that span more levels than this are not counted.
_COUNTED = 1 << 20


class Summary(Protocol):
    """What can be asked of the levels of a frame."""

    def mean(self) -> float:
        """Return the mean."""
        ...

    def std(self) -> float:
        """Return the standard deviation of the population."""
        ...

    def min(self) -> float:
        """Return the smallest."""
        ...

    def max(self) -> float:
        """Return the largest."""
        ...

    def sum(self) -> float:
        """Return the sum."""
        ...

    def entropy(self) -> float:
        """Return Shannon's entropy in bits."""
        ...

    def snr(self) -> float:
        """Return how far objects are above the background, in its deviations."""
        ...

    def percentiles(self, per_cent: tuple[float, ...]) -> list[float]:
        """Return the levels that so many per cent are below."""
        ...


def summary(image: Array) -> Summary | None:
    """Return the summary of a frame without its NaN pixels; None where all are NaN."""
    flat = image.reshape(-1)
    low, high = flat.min(), flat.max()
    if flat.dtype.kind == "f":
        known = flat[~np.isnan(flat)] if np.isnan(low) else flat
        return Measured(known) if known.size else None
    if int(high) - int(low) > _COUNTED:
        return Measured(flat)
    found = histogram(flat, low, high)
    return Counted(found.levels, found.counts)


@dataclass(frozen=True)
class Counted:
    """Whole numbers: every level that occurs, ascending, and its pixels."""

    levels: NDArray[np.int64]
    counts: NDArray[np.int64]

    def mean(self) -> float:
        """Return the mean."""
        return self.sum() / int(self.counts.sum())

    def std(self) -> float:
        """Return the standard deviation of the population."""
        return float(np.sqrt(np.average(self._apart() ** 2, weights=self.counts)))

    def _apart(self) -> NDArray[np.float64]:
        return np.asarray(self.levels - self.mean())

    def min(self) -> int:
        """Return the smallest."""
        return int(self.levels[0])

    def max(self) -> int:
        """Return the largest."""
        return int(self.levels[-1])

    def sum(self) -> int:
        """Return the sum."""
        return int(self.levels @ self.counts)

    def entropy(self) -> float:
        """Return Shannon's entropy in bits."""
        return _entropy(self.counts)

    def snr(self) -> float:
        """Return how far objects are above the background, in its deviations."""
        if len(self.levels) < 2:
            return float("nan")
        level = otsu(Histogram(self.counts, self.levels))
        dark = self.levels <= level
        below = Counted(self.levels[dark], self.counts[dark])
        above = Counted(self.levels[~dark], self.counts[~dark])
        return _ratio(above.mean() - below.mean(), below.std())

    def percentiles(self, per_cent: tuple[float, ...]) -> list[float]:
        """Return the levels that so many per cent are below."""
        upto = np.cumsum(self.counts)
        place = np.asarray(per_cent, np.float64) / 100 * (upto[-1] - 1)
        below = np.floor(place)
        low, high = (
            self.levels[np.searchsorted(upto, p, side="right").clip(max=len(upto) - 1)]
            for p in (below, below + 1)
        )
        return [float(v) for v in low + (high - low) * (place - below)]


@dataclass(frozen=True)
class Measured:
    """Real numbers, or whole ones too far apart to be counted; none is NaN."""

    values: Array

    def mean(self) -> float:
        """Return the mean."""
        return self.sum() / self.values.size

    def std(self) -> float:
        """Return the standard deviation of the population."""
        return float(np.sqrt(_squares(self.values, self.mean()) / self.values.size))

    def min(self) -> float:
        """Return the smallest."""
        smallest: float = self.values.min().item()
        return smallest

    def max(self) -> float:
        """Return the largest."""
        largest: float = self.values.max().item()
        return largest

    def sum(self) -> float:
        """Return the sum: of whole numbers exactly."""
        if self.values.dtype.kind == "f":
            return float(self.values.sum(dtype=np.float64))
        # halves, because 64 bits would overflow
        wide = self.values.astype(f"{self.values.dtype.kind}8", copy=False)
        high, low = wide >> 32, wide & 0xFFFFFFFF
        return (int(high.sum(dtype=np.int64)) << 32) + int(low.sum(dtype=np.uint64))

    def entropy(self) -> float:
        """Return Shannon's entropy in bits."""
        ends = np.flatnonzero(self._ordered[1:] != self._ordered[:-1]) + 1
        counts = np.diff(ends, prepend=0, append=self.values.size)
        return _entropy(counts)

    @cached_property
    def _ordered(self) -> Array:
        # quicker than selecting, and of use to all that need an order
        return np.sort(self.values)

    def snr(self) -> float:
        """Return how far objects are above the background, in its deviations."""
        bright = self.values > find_threshold(self.values[None], method="otsu")
        below, above = self.values[~bright], self.values[bright]
        if not above.size:
            return float("nan")
        dark = Measured(below)
        return _ratio(Measured(above).mean() - dark.mean(), dark.std())

    def percentiles(self, per_cent: tuple[float, ...]) -> list[float]:
        """Return the levels that so many per cent are below."""
        place = np.asarray(per_cent, np.float64) / 100 * (self.values.size - 1)
        below = np.floor(place).astype(np.intp)
        low = self._ordered[below].astype(np.float64)
        high = self._ordered[np.minimum(below + 1, self.values.size - 1)]
        with np.errstate(invalid="ignore"):
            part = np.where(low == high, 0.0, (high - low) * (place - below))
        return [float(v) for v in low + part]


def _entropy(counts: NDArray[np.int64]) -> float:
    share, times = counts / counts.sum(), np.ones_like(counts)
    if counts.max() < counts.size:
        # levels with as many pixels add the same
        times = np.bincount(counts)
        share = np.flatnonzero(times) / counts.sum()
        times = times[times > 0]
    # 0.0: no entropy is not -0.0
    return float(-(times * share * np.log2(share)).sum() + 0.0)


def _ratio(signal: float, noise: float) -> float:
    return signal / noise if noise else float("inf")


@jit
def _squares(values: Array, mean: float) -> float:
    """Return the sum of squared distances from the mean, four pixels at a time."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    last = values.size - values.size % 4
    for i in range(0, last, 4):
        a += (values[i] - mean) ** 2
        b += (values[i + 1] - mean) ** 2
        c += (values[i + 2] - mean) ** 2
        d += (values[i + 3] - mean) ** 2
    for i in range(last, values.size):
        a += (values[i] - mean) ** 2
    return a + b + c + d
