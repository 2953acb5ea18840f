"""Cells of a simulated field: where each one is, as a function of (seed, frame) alone.

Cells ride in lanes that cross the field from left to right. A lane is an endless row
of sites, one cell each, that moves with the lane's speed; a site's properties are
hashed from (seed, lane, site). Crossing the field every cell divides once. So the
population is bounded for ever, cells enter and leave only at the left and right
borders, and no frame depends on the one before it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
_Float = NDArray[np.float64]

#: Area per site in pixels where the number of cells is not given.
SITE_AREA = 62.0**2
#: Closer sites would let cells touch.
SMALLEST_SITE_AREA = 50.0**2
#: Of all sites, those with a cell in it; cells per such site, averaged over the field.
OCCUPIED, PER_SITE = 0.88, 1.5
#: Largest distance between the two daughters of a cell, in radii of their mother.
APART = 3.0
#: Frames that a division takes, and its frame from which two cells are counted.
DIVISION, COUNTED = 14.0, 8.0


def hashed(seed: int, *keys: NDArray[np.int64] | int) -> _Float:
    """Return numbers in [0, 1), one per element, by splitmix64 over seed and keys."""
    state = np.asarray(seed & 0xFFFF_FFFF_FFFF_FFFF, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in (0, *keys):
            state = state ^ np.asarray(key).astype(np.int64).view(np.uint64)
            state = state + np.uint64(0x9E37_79B9_7F4A_7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def smoothstep(t: NDArray[Any]) -> NDArray[Any]:
    """Return 0 below 0, 1 above 1, and the cubic between."""
    t = np.clip(t, 0, 1)
    step: NDArray[Any] = t * t * (3 - 2 * t)
    return step


@dataclass(frozen=True, slots=True)
class Bodies:
    """What to draw in one frame, one element per round body.

    A dividing cell is two overlapping bodies before it counts as two.
    """

    y: _Float
    x: _Float
    radius: _Float
    brightness: _Float
    angle: _Float
    stretch: _Float
    texture: _Float


@dataclass(frozen=True, slots=True)
class _Sites:
    """The sites near the field in one frame."""

    lane: NDArray[np.int64]
    site: NDArray[np.int64]
    y: _Float
    x: _Float
    phase: _Float  # frames since the division began


@dataclass(frozen=True)
class Population:
    """All cells of a field of ``shape`` (y, x); ``cells`` is their mean number."""

    seed: int
    shape: tuple[int, int]
    cells: int | None = None

    @property
    def lanes(self) -> int:
        """Number of lanes: they share the height."""
        return max(1, round(self.shape[0] / self.pitch)) if self.cells != 0 else 0

    @property
    def pitch(self) -> float:
        """Distance of two sites of a lane, in pixels."""
        if not self.cells:
            return float(np.sqrt(SITE_AREA))
        area = self.shape[0] * self.shape[1]
        return float(np.sqrt(area * OCCUPIED * PER_SITE / self.cells))

    @property
    def most(self) -> int:
        """The most cells that the field holds without touching one another."""
        area = self.shape[0] * self.shape[1]
        return max(1, int(area * OCCUPIED * PER_SITE / SMALLEST_SITE_AREA))

    def drift(self, n: int) -> tuple[float, float]:
        """Return the slow (y, x) displacement of the whole field in frame ``n``."""
        return (
            4.0 * float(np.sin(2 * np.pi * (n % 1700) / 1700)),
            6.0 * float(np.sin(2 * np.pi * (n % 1100) / 1100)),
        )

    def truth(self, n: int) -> Columns:
        """Return the cells of frame ``n`` whose centre is inside the image."""
        sites = self._sites(n)
        two = sites.phase >= COUNTED
        radius, (dy, dx) = self._radius(sites), self._half(sites)
        first = 1 + 3 * (sites.site * self.lanes + sites.lane)
        none = np.zeros_like(first)
        sign = np.array([[0.0], [-1.0], [1.0]])
        present = np.array([~two, two, two])
        table: Columns = {
            "cell": np.array([first, first + 1, first + 2]),
            "parent": np.array([none, first, first]),
            "y": sites.y + sign * dy,
            "x": sites.x + sign * dx,
            "radius": np.broadcast_to(radius, present.shape),
        }
        height, width = self.shape
        y, x = table["y"], table["x"]
        inside = (y > -0.5) & (y < height - 0.5) & (x > -0.5) & (x < width - 0.5)
        keep = present & inside
        order = np.argsort(table["cell"][keep], kind="stable")
        return {name: column[keep][order] for name, column in table.items()}

    def bodies(self, n: int) -> Bodies:
        """Return what frame ``n`` shows, the parts outside the image included."""
        sites = self._sites(n)
        begun = sites.phase > 0
        dy, dx = self._half(sites)
        sign = np.array([[-1.0], [1.0]])
        keep = np.array([np.ones_like(begun), begun])

        def both(name: int) -> _Float:
            value = hashed(self.seed, sites.lane, sites.site, name)
            return np.array([value, value])

        y, x = sites.y + sign * dy, sites.x + sign * dx
        # a cell comes into focus as it enters and leaves it as it goes: so that it
        # is seen where it counts, with its centre inside
        border = np.minimum(x, self.shape[1] - 1 - x)
        return Bodies(
            y=y[keep],
            x=x[keep],
            radius=np.array([self._radius(sites)] * 2)[keep],
            brightness=((0.85 + 0.4 * both(4)) * smoothstep((border + 4.5) / 9))[keep],
            angle=(np.pi * both(5) + 0.01 * n % (2 * np.pi))[keep],
            stretch=(1 + 0.16 * both(6))[keep],
            texture=(2 * np.pi * both(7))[keep],
        )

    def _sites(self, n: int) -> _Sites:
        """Return the occupied sites around the field in frame ``n``."""
        height, width = self.shape
        pitch, seed = self.pitch, self.seed
        lane = np.arange(self.lanes, dtype=np.int64)[:, None]
        speed = 2.2 + 1.2 * hashed(seed, lane, 1)
        head = width + 3 * pitch * hashed(seed, lane, 2)
        # the whole number of sites first: no rounding error builds up in long runs
        passed = speed * n + head
        last = np.floor(passed / pitch).astype(np.int64) + 2
        site = last - np.arange(int(width / pitch) + 6, dtype=np.int64)
        site, lane = np.maximum(site, 0), np.broadcast_to(lane, site.shape)
        x = passed - site * pitch
        x = x + 0.2 * pitch * (hashed(seed, lane, site, 8) - 0.5)
        divides_at = width * (0.04 + 0.92 * hashed(seed, lane, site, 9))
        phase = (x - divides_at) / speed
        wobble = 2 * np.pi * (n / 90 + hashed(seed, lane, site, 10))
        bend = 2 * np.pi * (x / 400 + hashed(seed, lane, 3))
        dy, dx = self.drift(n)
        y = height * (lane + 0.5) / self.lanes + 2.5 * np.sin(bend) + dy
        y = y + 0.2 * pitch * (hashed(seed, lane, site, 11) - 0.5)
        here = hashed(seed, lane, site, 12) < OCCUPIED
        here[:, 1:] &= site[:, 1:] != site[:, :-1]
        return _Sites(
            lane=lane[here],
            site=site[here],
            y=(y + 1.5 * np.sin(wobble))[here],
            x=(x + 1.5 * np.cos(wobble) + dx)[here],
            phase=phase[here],
        )

    def _radius(self, sites: _Sites) -> _Float:
        """Return radii: a cell grows until it divides, and its daughters begin anew."""
        full = 7.4 + 1.8 * hashed(self.seed, sites.lane, sites.site, 13)
        before = smoothstep(1 + sites.phase / 120)
        after = smoothstep(sites.phase / DIVISION)
        return full * (0.88 + 0.12 * before) * (1 - 0.2 * after)

    def _half(self, sites: _Sites) -> tuple[_Float, _Float]:
        """Return the (y, x) offset of one daughter; the other has the opposite one."""
        lane, site, seed = sites.lane, sites.site, self.seed
        full = 7.4 + 1.8 * hashed(seed, lane, site, 13)
        distance = 0.5 * APART * full * smoothstep(sites.phase / DIVISION)
        angle = np.pi * hashed(seed, lane, site, 14)
        return distance * np.sin(angle), distance * np.cos(angle)
